/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * quickjs.c - the QuickJS guest: a JavaScript interpreter with two libraries
 * and quickjs.js. See guest.h.
 *
 * start() makes the interpreter and loads what sources.h holds. A request is a
 * call of handle() or session() in quickjs.js. Math.random() is replaced, because the
 * interpreter seeds its own from the clock and lets nobody renew the state.
 */
#include <string.h>

#include "guest.h"
#include "quickjs.h"
#include "sources.h"

static JSContext *js;
static JSValue handler, sessions;
static struct guest_random state = { 1, 2 };
static char text[ANSWER_BYTES];

static int load(const char *name, const unsigned char *source, size_t length)
{
	JSValue value = JS_Eval(js, (const char *)source, length, name,
				JS_EVAL_TYPE_GLOBAL);
	int failed = JS_IsException(value);

	JS_FreeValue(js, value);
	return failed ? -1 : 0;
}

static JSValue global_get(const char *name)
{
	JSValue global = JS_GetGlobalObject(js);
	JSValue value = JS_GetPropertyStr(js, global, name);

	JS_FreeValue(js, global);
	return value;
}

/* 53 bits, as many as a number has. */
static JSValue math_random(JSContext *context, JSValueConst self, int count,
			   JSValueConst *args)
{
	(void)self;
	(void)count;
	(void)args;
	return JS_NewFloat64(context,
			     (double)(guest_random_next(&state) >> 11) /
				     9007199254740992.0);
}

static int replace_random(void)
{
	JSValue math = global_get("Math");
	JSValue function = JS_NewCFunction(js, math_random, "random", 0);
	int done = JS_SetPropertyStr(js, math, "random", function);

	JS_FreeValue(js, math);
	return done > 0 ? 0 : -1;
}

GUEST(int32_t, start)(void)
{
	JSRuntime *runtime = JS_NewRuntime();

	js = runtime ? JS_NewContext(runtime) : NULL;
	if (!js)
		return 1;
	/* The arrays end with a zero, which JS_Eval() wants and is not told. */
	if (replace_random())
		return 2;
	if (load("marked.js", marked_js, sizeof(marked_js) - 1))
		return 3;
	if (load("mustache.js", mustache_js, sizeof(mustache_js) - 1))
		return 4;
	if (load("quickjs.js", quickjs_js, sizeof(quickjs_js) - 1))
		return 5;
	handler = global_get("handle");
	sessions = global_get("session");
	return JS_IsFunction(js, handler) && JS_IsFunction(js, sessions) ? 0 :
									   6;
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

static int32_t ask(JSValue function, uint32_t kind, uint32_t seed)
{
	JSValue args[] = { JS_NewUint32(js, kind), JS_NewUint32(js, seed) };
	JSValue value = JS_Call(js, function, JS_UNDEFINED, 2, args);
	int32_t length = JS_IsException(value) ? -1 : keep(value);

	JS_FreeValue(js, value);
	return length;
}

GUEST(int32_t, handle)(uint32_t kind, uint32_t seed)
{
	return ask(handler, kind, seed);
}

GUEST(int32_t, session)(uint32_t kind, uint32_t seed)
{
	return ask(sessions, kind, seed);
}

GUEST(const char *, answer)(void)
{
	return text;
}

GUEST(uint32_t, served)(void)
{
	JSValue value = global_get("served");
	uint32_t count = 0;

	JS_ToUint32(js, &count, value);
	JS_FreeValue(js, value);
	return count;
}

GUEST(void, restored)(uint64_t low, uint64_t high)
{
	guest_random_renew(&state, low, high);
}

/* Asks Math.random(), as a script would. */
GUEST(uint64_t, random)(void)
{
	JSValue math = global_get("Math");
	JSValue function = JS_GetPropertyStr(js, math, "random");
	JSValue value = JS_Call(js, function, math, 0, NULL);
	double drawn = 0;

	JS_ToFloat64(js, &drawn, value);
	JS_FreeValue(js, value);
	JS_FreeValue(js, function);
	JS_FreeValue(js, math);
	return (uint64_t)(drawn * 9007199254740992.0);
}
