/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * guest.c - the QuickJS guest: a JavaScript interpreter with two libraries and
 * guest.js, as one WebAssembly module that imports nothing.
 *
 * start() makes the interpreter and loads what sources.h holds. handle() then
 * answers one request, and answer() says where the text lies until the next
 * call. served() tells how many requests this interpreter has seen, so that a
 * host can see what it got: a fresh one, a clone or one used before.
 *
 * The system calls of the C library are defined here and do nothing. The clock
 * stands still, so that Math.random() and with it each answer depends on the
 * request alone.
 */
#include <stdint.h>
#include <string.h>

#include "quickjs.h"
#include "sources.h"

#define EXPORT(name) __attribute__((export_name(#name)))

#define ANSWER_BYTES 65536

/* A day in 2026, in nanoseconds. */
#define STANDING_NS UINT64_C(1780000000000000000)

#define ENOSYS_WASI 52

static JSContext *js;
static JSValue handler;
static char text[ANSWER_BYTES];

int32_t __imported_wasi_snapshot_preview1_clock_time_get(int32_t clock,
							 int64_t precision,
							 int32_t result)
{
	(void)clock;
	(void)precision;
	*(uint64_t *)(uintptr_t)result = STANDING_NS;
	return 0;
}

int32_t __imported_wasi_snapshot_preview1_fd_write(int32_t fd, int32_t vectors,
						   int32_t count,
						   int32_t written)
{
	(void)fd;
	(void)vectors;
	(void)count;
	(void)written;
	return ENOSYS_WASI;
}

int32_t __imported_wasi_snapshot_preview1_fd_seek(int32_t fd, int64_t offset,
						  int32_t whence,
						  int32_t result)
{
	(void)fd;
	(void)offset;
	(void)whence;
	(void)result;
	return ENOSYS_WASI;
}

int32_t __imported_wasi_snapshot_preview1_fd_close(int32_t fd)
{
	(void)fd;
	return ENOSYS_WASI;
}

int32_t __imported_wasi_snapshot_preview1_fd_fdstat_get(int32_t fd,
							int32_t result)
{
	(void)fd;
	(void)result;
	return ENOSYS_WASI;
}

_Noreturn void __imported_wasi_snapshot_preview1_proc_exit(int32_t status)
{
	(void)status;
	__builtin_trap();
}

static int load(const char *name, const unsigned char *source, size_t length)
{
	JSValue value = JS_Eval(js, (const char *)source, length, name,
				JS_EVAL_TYPE_GLOBAL);
	int failed = JS_IsException(value);

	JS_FreeValue(js, value);
	return failed ? -1 : 0;
}

/* Once. 0, or the number of what went wrong. */
EXPORT(start) int32_t start(void)
{
	JSRuntime *runtime = JS_NewRuntime();
	JSValue global;

	js = runtime ? JS_NewContext(runtime) : NULL;
	if (!js)
		return 1;
	/* The arrays end with a zero, which JS_Eval() wants and is not told. */
	if (load("marked.js", marked_js, sizeof(marked_js) - 1))
		return 2;
	if (load("mustache.js", mustache_js, sizeof(mustache_js) - 1))
		return 3;
	if (load("guest.js", guest_js, sizeof(guest_js) - 1))
		return 4;
	global = JS_GetGlobalObject(js);
	handler = JS_GetPropertyStr(js, global, "handle");
	JS_FreeValue(js, global);
	return JS_IsFunction(js, handler) ? 0 : 5;
}

static int32_t keep(JSValue value)
{
	size_t length;
	const char *bytes = JS_ToCStringLen(js, &length, value);

	if (!bytes || length > sizeof(text))
		return -1;
	memcpy(text, bytes, length);
	JS_FreeCString(js, bytes);
	return (int32_t)length;
}

/* The length of the answer in bytes, -1 where there is none. */
EXPORT(handle) int32_t handle(uint32_t kind, uint32_t seed)
{
	JSValue args[] = { JS_NewUint32(js, kind), JS_NewUint32(js, seed) };
	JSValue value = JS_Call(js, handler, JS_UNDEFINED, 2, args);
	int32_t length = JS_IsException(value) ? -1 : keep(value);

	JS_FreeValue(js, value);
	return length;
}

EXPORT(answer) const char *answer(void)
{
	return text;
}

EXPORT(served) uint32_t served(void)
{
	JSValue global = JS_GetGlobalObject(js);
	JSValue value = JS_GetPropertyStr(js, global, "served");
	uint32_t count = 0;

	JS_ToUint32(js, &count, value);
	JS_FreeValue(js, value);
	JS_FreeValue(js, global);
	return count;
}
