/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * guests.c - the guests, what they should answer, and the capture of a started
 * one.
 *
 * The native build of a guest answers each request once, before anything is
 * measured. Then an instance is started in a pool, answers some requests of each
 * kind, each compared, and is captured.
 */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "file.h"
#include "service.h"

#include "qjs.h"
#include "qjsfree.h"
#include "sql.h"
#include "sqlfree.h"

/* Of the companion files that wasm-image has written. Both forms of a guest have
 * the same struct, types and functions. */
extern const struct fl_wasm2c_layout Z_qjs_layout, Z_sql_layout;

DEFINE_MODULE(qjs, qjs, "whole", NULL);
DEFINE_MODULE(qjsfree, qjs, "data-free", &Z_qjs_layout);
DEFINE_MODULE(sql, sql, "whole", NULL);
DEFINE_MODULE(sqlfree, sql, "data-free", &Z_sql_layout);

int32_t qjs_native_start(void), sql_native_start(void);
int32_t qjs_native_handle(uint32_t kind, uint32_t seed);
int32_t sql_native_handle(uint32_t kind, uint32_t seed);
int32_t qjs_native_session(uint32_t kind, uint32_t seed);
int32_t sql_native_session(uint32_t kind, uint32_t seed);
const char *qjs_native_answer(void), *sql_native_answer(void);

struct guest guests[GUESTS] = {
	{
		.name = "quickjs",
		.title = "QuickJS",
		.kinds = { "greeting", "mustache", "markdown" },
		.wasm_path = "quickjs/qjs.wasm",
		.baked_path = "quickjs/baked.so",
		.whole = &module_qjs,
		.free = &module_qjsfree,
		.native_start = qjs_native_start,
		.native_handle = qjs_native_handle,
		.native_session = qjs_native_session,
		.native_answer = qjs_native_answer,
	},
	{
		.name = "sqlite",
		.title = "SQLite",
		.kinds = { "lookup", "report", "order" },
		.wasm_path = "sqlite/sql.wasm",
		.baked_path = "sqlite/baked.so",
		.whole = &module_sql,
		.free = &module_sqlfree,
		.native_start = sql_native_start,
		.native_handle = sql_native_handle,
		.native_session = sql_native_session,
		.native_answer = sql_native_answer,
	},
};

static void answer_keep(struct guest *guest, uint32_t kind, uint32_t seed)
{
	struct text *text = &guest->answers[kind][seed];
	int32_t length = guest->native_handle(kind, seed);

	if (length < 0)
		die("the native %s has no answer to %s %u", guest->title,
		    guest->kinds[kind], seed);
	text->length = (uint32_t)length;
	text->bytes = must_allocate(text->length + 1u);
	memcpy(text->bytes, guest->native_answer(), text->length);
}

static void answers_make(struct guest *guest)
{
	int32_t step = guest->native_start();

	if (step)
		die("the native %s does not start: step %d", guest->title,
		    step);
	for (uint32_t kind = 0; kind < KINDS; kind++)
		for (uint32_t seed = 0; seed < SEEDS; seed++)
			answer_keep(guest, kind, seed);
}

void guest_load(struct guest *guest, struct fl_context *context,
		const char *guests_dir)
{
	struct fl_module_config config;
	struct fl_error error;
	char path[4096];
	void *bytes;

	snprintf(path, sizeof(path), "%s/%s", guests_dir, guest->wasm_path);
	fl_module_config_init(&config);
	bytes = file_read(path, &config.length_bytes);
	if (!bytes)
		die("cannot read %s", path);
	config.bytes = bytes;
	if (fl_module_load(context, &config, &guest->module, &error))
		die("%s: %s", path, error.text);
	free(bytes);
}

void baked_load(struct guest *guest, const char *guests_dir)
{
	const struct module *(*baked_module)(void);
	char path[4096];
	void *object;

	snprintf(path, sizeof(path), "%s/%s", guests_dir, guest->baked_path);
	if (access(path, R_OK))
		return;
	object = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	if (!object)
		die("%s", dlerror());
	*(void **)&baked_module = dlsym(object, "baked_module");
	if (!baked_module)
		die("%s has no baked_module()", path);
	guest->baked = baked_module();
	guest->baked->init();
}

static void capture(struct guest *guest, struct fl_context *context)
{
	const struct module *module = guest->free;
	struct fl_pool *pool = pool_open(context);
	struct fl_error error;
	struct lane lane;
	uint64_t before_ns;

	lane_open(&lane, &ways[WAY_POOL], guest, pool);
	before_ns = now_ns();
	lane.way->start(&lane);
	guest->start_ns = now_ns() - before_ns;
	lane_warm(&lane);
	guest->served = module->served(lane.instance);
	guest->memory_bytes = module->memory(lane.instance)->size;
	before_ns = now_ns();
	if (fl_wasm2c_snapshot(module->layout, lane.instance, guest->module,
			       NULL, NULL, &guest->snapshot, &error))
		die("%s", error.text);
	guest->capture_ns = now_ns() - before_ns;
	lane.way->end(&lane);
	lane_close(&lane);
	pool_close(pool);
}

void guest_open(struct guest *guest, struct fl_context *context,
		const char *guests_dir)
{
	guest->whole->init();
	guest->free->init();
	guest_load(guest, context, guests_dir);
	answers_make(guest);
	capture(guest, context);
}

void guest_close(struct guest *guest)
{
	for (uint32_t kind = 0; kind < KINDS; kind++)
		for (uint32_t seed = 0; seed < SEEDS; seed++)
			free(guest->answers[kind][seed].bytes);
	fl_snapshot_release(guest->snapshot);
	fl_module_release(guest->module);
}
