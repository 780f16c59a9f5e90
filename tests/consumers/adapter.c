/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * adapter.c - tests of the wasm2c adapter with the modules of modules/, as
 * wasm2c translated them.
 *
 * Built twice: with rt_threadlocal.c in place of wasm-rt's implementation,
 * and, with STOCK_RT defined, with Debian's libwasm-rt-impl.a, which has
 * one thread and frees only a part of a memory's address space. The adapter
 * must serve both. The thread-local runtime has its own tests at the end.
 *
 * The module's bytes that Faultline reads are the whole ones, those that
 * wasm2c was given are data-free, unless a name ends in "whole".
 */
#include "tests/kit/child.h"
#include "tests/kit/test.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include <faultline-wasm2c.h>

#include "file.h"
#include "overfree.h"
#include "overimpfree.h"
#include "overimpwhole.h"
#include "overwhole.h"
#include "small.h"
#include "smallimp.h"
#include "tables.h"
#include "tableimp.h"
#include "tableother.h"
#include "traps.h"

#ifdef STOCK_RT
#include <wasm-rt-impl.h>
#else
#include "rt_threadlocal.h"
#endif

#define WPAGE 65536u
#define TRAPS 1000

struct Z_env_instance_t {
	wasm_rt_memory_t memory;
	wasm_rt_funcref_table_t table;
};

static struct fl_context *context;
static struct fl_pool *pool;
static struct sigaction trap_handler;

wasm_rt_memory_t *Z_envZ_memory(struct Z_env_instance_t *env)
{
	return &env->memory;
}

wasm_rt_funcref_table_t *Z_envZ_table(struct Z_env_instance_t *env)
{
	return &env->table;
}

#ifdef STOCK_RT
static wasm_rt_trap_t try(void (*body)(void *arg), void *arg)
{
	int trap = wasm_rt_impl_try();

	if (!trap)
		body(arg);
	return (wasm_rt_trap_t)trap;
}
#else
static wasm_rt_trap_t try(void (*body)(void *arg), void *arg)
{
	return rt_try(body, arg);
}

static bool is_guest(void *user, const void *address)
{
	struct fl_fault fault;

	(void)user;
	return context && fl_fault_lookup(context, address, &fault) &&
	       fault.is_trap;
}
#endif

/* ----------------------------------------------------------------- set-up */

static struct fl_module *load(const char *name)
{
	struct fl_error error = { .text = "" };
	struct fl_module_config config;
	struct fl_module *module = NULL;
	char path[4096];
	void *bytes;

	fl_module_config_init(&config);
	snprintf(path, sizeof(path), "%s/%s.wasm", MODULES_DIR, name);
	bytes = file_read(path, &config.length_bytes);
	MUST(bytes != NULL);
	config.bytes = bytes;
	if (fl_module_load(context, &config, &module, &error))
		test_note("%s: %s", path, error.text);
	free(bytes);
	MUST(module != NULL);
	return module;
}

static void open_pool_as(const struct fl_pool_config *config)
{
	struct fl_error error = { .text = "" };

	MUST_EQ(fl_context_create(NULL, &context, &error), 0);
	if (fl_pool_create(context, config, &pool, &error))
		test_note("%s", error.text);
	MUST(pool != NULL);
}

static void open_pool(uint32_t memories, uint64_t stride_bytes)
{
	struct fl_pool_config config;

	fl_pool_config_init(&config);
	config.max_instances = 0;
	config.max_memories = memories;
	if (stride_bytes) {
		config.memory_stride_bytes = stride_bytes;
		config.max_memory_bytes = stride_bytes / 2;
	}
	open_pool_as(&config);
}

/* Not wasm2c's null. */
static const uint64_t other_null[3] = { 1, 2, 3 };

static void open_table_pool(uint32_t memories, uint32_t tables)
{
	struct fl_pool_config config;

	fl_pool_config_init(&config);
	config.max_instances = 0;
	config.max_memories = memories;
	config.max_tables = tables;
	config.max_table_elements = 8;
	config.table_element_bytes = sizeof(wasm_rt_funcref_t);
	config.table_null = other_null;
	open_pool_as(&config);
}

static void close_pool(void)
{
	CHECK_EQ(fl_pool_destroy(pool), 0);
	fl_context_destroy(context);
	pool = NULL;
	context = NULL;
}

static uint32_t live(void)
{
	struct fl_pool_info info = { .size = sizeof(info) };

	fl_pool_info(pool, &info);
	return info.live_memories;
}

static uint32_t live_tables(void)
{
	struct fl_pool_info info = { .size = sizeof(info) };

	fl_pool_info(pool, &info);
	return info.live_tables;
}

/* ----------------------------------------------------------- calls to guests */

enum call {
	INSTANTIATE,
	PEEK,
	POKE,
	FAR,
	GROW,
	SIZE
};

struct guest {
	Z_small_instance_t small;
	uint32_t argument;
	uint32_t value;
	uint32_t result;
	enum call call;
};

static void call_body(void *arg)
{
	struct guest *guest = arg;
	Z_small_instance_t *small = &guest->small;

	switch (guest->call) {
	case INSTANTIATE:
		Z_small_instantiate(small);
		break;
	case PEEK:
		guest->result = Z_smallZ_peek(small, guest->argument);
		break;
	case POKE:
		Z_smallZ_poke(small, guest->argument, guest->value);
		break;
	case FAR:
		guest->result = Z_smallZ_far(small, guest->argument);
		break;
	case GROW:
		guest->result = Z_smallZ_grow(small, guest->argument);
		break;
	case SIZE:
		guest->result = Z_smallZ_size(small);
		break;
	}
}

static wasm_rt_trap_t call(struct guest *guest, enum call which,
			   uint32_t argument, uint32_t value)
{
	guest->call = which;
	guest->argument = argument;
	guest->value = value;
	return try(call_body, guest);
}

static uint32_t peek(struct guest *guest, uint32_t address)
{
	CHECK_EQ(call(guest, PEEK, address, 0), WASM_RT_TRAP_NONE);
	return guest->result;
}

static int make(struct guest *guest, const struct fl_module *module,
		struct fl_error *error)
{
	struct fl_wasm2c_batch batch;
	int err;

	memset(guest, 0, sizeof(*guest));
	err = fl_wasm2c_begin(&batch, pool, module, &guest->small,
			      sizeof(guest->small), 0, error);
	if (err)
		return err;
	CHECK_EQ(call(guest, INSTANTIATE, 0, 0), WASM_RT_TRAP_NONE);
	fl_wasm2c_end(&batch);
	return 0;
}

static void make_must(struct guest *guest, const struct fl_module *module)
{
	struct fl_error error = { .text = "" };

	if (!MUST_EQ(make(guest, module, &error), 0))
		test_note("%s", error.text);
}

/* ---------------------------------------------------------------- the image */

static void check_fresh(struct guest *guest)
{
	CHECK_EQ(peek(guest, 7), 0);
	CHECK_EQ(peek(guest, 8), 'f');
	CHECK_EQ(peek(guest, 16), 'e');
	CHECK_EQ(peek(guest, 17), 0);
	CHECK_EQ(peek(guest, 65530), 'l');
	CHECK_EQ(peek(guest, 65535), 's');
	CHECK_EQ(call(guest, SIZE, 0, 0), WASM_RT_TRAP_NONE);
	CHECK_EQ(guest->result, 1);
	CHECK_EQ(call(guest, PEEK, 65536, 0), WASM_RT_TRAP_OOB);
}

static void image_is_there_each_time(void)
{
	struct fl_module *module;
	struct guest guest;
	int i;

	open_pool(2, 0);
	module = load("small");
	/* More often than the adapter's map has places for one base. */
	for (i = 0; i < 40; i++) {
		make_must(&guest, module);
		CHECK(fl_wasm2c_memory(&guest.small.w2c_memory) != NULL);
		check_fresh(&guest);
		CHECK_EQ(call(&guest, POKE, 8, 'X'), WASM_RT_TRAP_NONE);
		CHECK_EQ(call(&guest, POKE, 40000, 'X'), WASM_RT_TRAP_NONE);
		CHECK_EQ(call(&guest, GROW, 2, 0), WASM_RT_TRAP_NONE);
		CHECK_EQ(call(&guest, POKE, 3 * WPAGE - 1, 'X'),
			 WASM_RT_TRAP_NONE);
		Z_small_free(&guest.small);
		CHECK_EQ(live(), 0);
	}
	fl_module_release(module);
	close_pool();
}

/* WRAPPED:
 * fl_pool_info */
static int infos;
void __real_fl_pool_info(const struct fl_pool *of, struct fl_pool_info *info);
void __wrap_fl_pool_info(const struct fl_pool *of, struct fl_pool_info *info);
void __wrap_fl_pool_info(const struct fl_pool *of, struct fl_pool_info *info)
{
	infos++;
	__real_fl_pool_info(of, info);
}

/* fl_pool_info() looks at each slot that was ever used, and takes the slots that
 * processors have at hand away. No instance pays for that. */
static void taking_looks_at_no_other_slot(void)
{
	struct fl_memory_config config;
	struct fl_error error = { .text = "" };
	struct fl_module *module;
	wasm_rt_memory_t memory;
	struct guest guest;

	open_pool(2, 0);
	module = load("small");
	infos = 0;
	make_must(&guest, module);
	Z_small_free(&guest.small);
	fl_memory_config_init(&config);
	config.initial_bytes = WPAGE;
	MUST_EQ(fl_wasm2c_acquire(pool, &config, &memory, &error), 0);
	wasm_rt_free_memory(&memory);
	CHECK_EQ(infos, 0);
	CHECK_EQ(live(), 0);
	CHECK_EQ(infos, 1);
	fl_module_release(module);
	close_pool();
}

static void out_of_bounds_is_a_trap(void)
{
	static const uint32_t outside[] = {
		65536,	    65537,	100000,	    1u << 20,
		0x7fffffff, 0x80000000, 0xffffffff,
	};
	struct fl_module *module;
	struct guest guest;
	size_t i;

	open_pool(2, 0);
	module = load("small");
	make_must(&guest, module);
	for (i = 0; i < TEST_ARRAY_SIZE(outside); i++) {
		CHECK_EQ(call(&guest, PEEK, outside[i], 0), WASM_RT_TRAP_OOB);
		CHECK_EQ(call(&guest, POKE, outside[i], 1), WASM_RT_TRAP_OOB);
		CHECK_EQ(call(&guest, FAR, outside[i], 1), WASM_RT_TRAP_OOB);
	}
	CHECK_EQ(peek(&guest, 65535), 's');
	Z_small_free(&guest.small);
	fl_module_release(module);
	close_pool();
}

static void grow_is_in_place(void)
{
	struct fl_module *module;
	struct guest guest;
	uint8_t *base;

	open_pool(2, 0);
	module = load("small");
	make_must(&guest, module);
	base = guest.small.w2c_memory.data;
	CHECK_EQ(call(&guest, GROW, 0, 0), WASM_RT_TRAP_NONE);
	CHECK_EQ(guest.result, 1);
	CHECK_EQ(call(&guest, GROW, 1, 0), WASM_RT_TRAP_NONE);
	CHECK_EQ(guest.result, 1);
	CHECK(guest.small.w2c_memory.data == base);
	CHECK_EQ(guest.small.w2c_memory.pages, 2);
	CHECK_EQ(guest.small.w2c_memory.size, 2 * WPAGE);
	CHECK_EQ(peek(&guest, WPAGE), 0);
	CHECK_EQ(peek(&guest, 2 * WPAGE - 1), 0);
	CHECK_EQ(call(&guest, PEEK, 2 * WPAGE, 0), WASM_RT_TRAP_OOB);
	CHECK_EQ(call(&guest, GROW, 2, 0), WASM_RT_TRAP_NONE);
	CHECK_EQ(guest.result, UINT32_MAX);
	CHECK_EQ(call(&guest, GROW, UINT32_MAX, 0), WASM_RT_TRAP_NONE);
	CHECK_EQ(guest.result, UINT32_MAX);
	CHECK_EQ(guest.small.w2c_memory.pages, 2);
	CHECK_EQ(call(&guest, GROW, 1, 0), WASM_RT_TRAP_NONE);
	CHECK_EQ(guest.result, 2);
	Z_small_free(&guest.small);
	fl_module_release(module);
	close_pool();
}

/* --------------------------------------------------------------- the batch */

static void unused_memories_go_back(void)
{
	struct fl_wasm2c_batch outer, inner;
	struct fl_error error = { .text = "" };
	struct fl_module *module;
	struct guest guest;

	memset(&guest, 0, sizeof(guest));
	open_pool(3, 0);
	module = load("small");
	MUST_EQ(fl_wasm2c_begin(&outer, pool, module, &guest.small,
				sizeof(guest.small), 0, &error),
		0);
	MUST_EQ(fl_wasm2c_begin(&inner, pool, module, &inner, 1, 0, &error), 0);
	CHECK_EQ(live(), 2);
	/* The outer batch serves, though the inner one is open. */
	CHECK_EQ(call(&guest, INSTANTIATE, 0, 0), WASM_RT_TRAP_NONE);
	fl_wasm2c_end(&inner);
	CHECK_EQ(live(), 1);
	fl_wasm2c_end(&outer);
	CHECK_EQ(live(), 1);
	check_fresh(&guest);
	Z_small_free(&guest.small);
	CHECK_EQ(live(), 0);
	fl_module_release(module);
	close_pool();
}

static void errors_hold_nothing(void)
{
	struct fl_error error = { .text = "" };
	struct guest guests[3];
	struct fl_module *module;
	struct fl_wasm2c_batch batch;

	open_pool(2, 0);
	module = load("small");
	make_must(&guests[0], module);
	make_must(&guests[1], module);
	CHECK_EQ(make(&guests[2], module, &error), -EAGAIN);
	CHECK_EQ(error.code, -EAGAIN);
	CHECK(error.text[0] != '\0');
	CHECK_EQ(live(), 2);
	Z_small_free(&guests[0].small);
	make_must(&guests[2], module);
	check_fresh(&guests[2]);
	Z_small_free(&guests[1].small);
	Z_small_free(&guests[2].small);
	close_pool();

	open_pool(2, 8 << 20);
	CHECK_EQ(fl_wasm2c_begin(&batch, pool, module, &guests[0],
				 sizeof(guests[0]), 0, &error),
		 -ENOTSUP);
	CHECK_HAS(error.text, "memory_stride_bytes");
	CHECK_EQ(live(), 0);
	fl_module_release(module);
	close_pool();
}

static void check_refused(const struct fl_pool_config *config, const char *says)
{
	struct fl_error error = { .text = "" };
	struct fl_wasm2c_batch batch;
	struct fl_module *module;
	struct guest guest;

	open_pool_as(config);
	module = load("small");
	CHECK_EQ(fl_wasm2c_begin(&batch, pool, module, &guest, sizeof(guest), 0,
				 &error),
		 -ENOTSUP);
	CHECK_HAS(error.text, says);
	CHECK_EQ(live(), 0);
	fl_module_release(module);
	close_pool();
}

/* Two bases are 8 GiB apart, but before the second one is its prefix, which the code
 * of the first memory would reach. */
static void no_code_reaches_a_prefix(void)
{
	struct fl_pool_config config;

	fl_pool_config_init(&config);
	config.max_instances = 0;
	config.max_memories = 2;
	config.max_memory_bytes = 4 * WPAGE;
	config.memory_stride_bytes = ((uint64_t)8 << 30) - WPAGE;
	config.prefix_bytes = WPAGE;
	check_refused(&config, "memory_stride_bytes");
}

/* All up to the maximum would be the guest's, whatever its length. */
static void no_pool_is_accessible(void)
{
	struct fl_pool_config config;

	fl_pool_config_init(&config);
	config.max_instances = 0;
	config.max_memories = 2;
	config.bounds = FL_BOUNDS_ACCESSIBLE;
	check_refused(&config, "FL_BOUNDS_GUARDED");
}

/* Begun for the module of that name, what instantiates another one traps. */
static void check_wrong_module(const char *name, void (*instantiate)(void *arg),
			       void *instance, size_t size)
{
	struct fl_error error = { .text = "" };
	struct fl_module *module = load(name);
	struct fl_wasm2c_batch batch;

	MUST_EQ(fl_wasm2c_begin(&batch, pool, module, instance, size, 0,
				&error),
		0);
	CHECK_EQ(try(instantiate, instance), WASM_RT_TRAP_UNREACHABLE);
	fl_wasm2c_end(&batch);
	fl_module_release(module);
}

static void instantiate_overfree(void *arg)
{
	Z_overfree_instantiate(arg);
}

/* The data-free module of another module must not run without its data. */
static void wrong_module_is_a_trap(void)
{
	Z_overfree_instance_t instance = { 0 };

	open_pool(2, 0);
	check_wrong_module("smallimp", instantiate_overfree, &instance,
			   sizeof(instance));
	CHECK_EQ(live(), 0);
	close_pool();
}

/* ------------------------------------------------------- beside the adapter */

/* What takes memory from wasm-rt itself runs in a child, because Debian's
 * runtime keeps 8 GiB of each memory mapped. The child opens its own pool. */
static int child_main(void *arg)
{
	sigaction(SIGSEGV, &trap_handler, NULL);
	(*(void (**)(void))arg)();
	return test_has_failed();
}

static void in_child(void (*fn)(void))
{
	struct test_end end = test_fork(child_main, &fn, 20);

	CHECK_EQ(end.signo, 0);
	CHECK_EQ(end.status, 0);
}

static void foreign_memory(void)
{
	struct fl_error error = { .text = "" };
	struct fl_wasm2c_batch batch;
	struct fl_module *module;
	wasm_rt_memory_t memory;
	struct guest guest;

	memset(&guest, 0, sizeof(guest));
	open_pool(2, 0);
	module = load("small");
	MUST_EQ(fl_wasm2c_begin(&batch, pool, module, &guest.small,
				sizeof(guest.small), 0, &error),
		0);
	wasm_rt_allocate_memory(&memory, 1, 2);
	CHECK(fl_wasm2c_memory(&memory) == NULL);
	CHECK_EQ(call(&guest, INSTANTIATE, 0, 0), WASM_RT_TRAP_NONE);
	fl_wasm2c_end(&batch);
	CHECK(fl_wasm2c_memory(&guest.small.w2c_memory) != NULL);
	CHECK_EQ(live(), 1);
	CHECK_EQ(memory.size, WPAGE);
	CHECK_EQ(wasm_rt_grow_memory(&memory, 1), 1);
	CHECK_EQ(wasm_rt_grow_memory(&memory, 1), UINT32_MAX);
	CHECK_EQ(memory.pages, 2);
	memory.data[2 * WPAGE - 1] = 1;
	CHECK(fl_memory_find(pool, memory.data) == NULL);
	wasm_rt_free_memory(&memory);
	CHECK_EQ(live(), 1);
	check_fresh(&guest);
	Z_small_free(&guest.small);
	CHECK_EQ(live(), 0);
	/* Without a batch the same instance gets a memory of the runtime. */
	CHECK_EQ(call(&guest, INSTANTIATE, 0, 0), WASM_RT_TRAP_NONE);
	CHECK(fl_wasm2c_memory(&guest.small.w2c_memory) == NULL);
	CHECK_EQ(peek(&guest, 8), 0);
	Z_small_free(&guest.small);
	CHECK_EQ(live(), 0);
	fl_module_release(module);
	close_pool();
}

static void other_memories_fall_through(void)
{
	in_child(foreign_memory);
}

/* ----------------------------------------------------- segments out of bounds */

struct over {
	Z_overwhole_instance_t whole;
	Z_overfree_instance_t free;
	Z_overimpwhole_instance_t impwhole;
	Z_overimpfree_instance_t impfree;
	struct Z_env_instance_t env;
};

static void over_whole(void *arg)
{
	Z_overwhole_instantiate(&((struct over *)arg)->whole);
}

static void over_free(void *arg)
{
	Z_overfree_instantiate(&((struct over *)arg)->free);
}

static void over_imp_whole(void *arg)
{
	struct over *over = arg;

	Z_overimpwhole_instantiate(&over->impwhole, &over->env);
}

static void over_imp_free(void *arg)
{
	struct over *over = arg;

	Z_overimpfree_instantiate(&over->impfree, &over->env);
}

/* Both forms of both modules, on the runtime's own memory. */
static void segments_on_stock_memory(void)
{
	struct over over;

	memset(&over, 0, sizeof(over));
	CHECK_EQ(try(over_whole, &over), WASM_RT_TRAP_OOB);
	CHECK_EQ(try(over_free, &over), WASM_RT_TRAP_OOB);
	/* The first segment was written before the trap, by the whole one. */
	CHECK_EQ(over.whole.w2c_memory.data[8], 'f');
	CHECK_EQ(over.free.w2c_memory.data[8], 0);
	wasm_rt_allocate_memory(&over.env.memory, 1, 3);
	CHECK_EQ(try(over_imp_whole, &over), WASM_RT_TRAP_OOB);
	CHECK_EQ(try(over_imp_free, &over), WASM_RT_TRAP_OOB);
	CHECK_EQ(over.env.memory.data[8], 'f');
}

static void bad_segment_traps_without_pool(void)
{
	in_child(segments_on_stock_memory);
}

static void bad_segment_traps_with_pool(void)
{
	struct fl_error error = { .text = "" };
	struct fl_memory_config config;
	struct fl_wasm2c_batch batch;
	struct fl_module *module;
	struct over over;

	memset(&over, 0, sizeof(over));
	open_pool(2, 0);
	module = load("over");
	CHECK_EQ(fl_wasm2c_begin(&batch, pool, module, &over.free,
				 sizeof(over.free), 0, &error),
		 -EFAULT);
	CHECK_EQ(error.trap, FL_TRAP_MEMORY_OUT_OF_BOUNDS);
	fl_module_release(module);

	module = load("overimp");
	fl_memory_config_init(&config);
	config.image = fl_module_image(module, 0);
	CHECK_EQ(fl_wasm2c_acquire(pool, &config, &over.env.memory, &error),
		 -EFAULT);
	CHECK_EQ(error.trap, FL_TRAP_MEMORY_OUT_OF_BOUNDS);
	CHECK(over.env.memory.data == NULL);
	CHECK_EQ(live(), 0);

	/* A host that brings a memory of its own choice still gets the trap. */
	fl_memory_config_init(&config);
	config.initial_bytes = WPAGE;
	MUST_EQ(fl_wasm2c_acquire(pool, &config, &over.env.memory, &error), 0);
	CHECK_EQ(try(over_imp_free, &over), WASM_RT_TRAP_OOB);
	CHECK_EQ(try(over_imp_whole, &over), WASM_RT_TRAP_OOB);
	wasm_rt_free_memory(&over.env.memory);
	CHECK_EQ(live(), 0);
	fl_module_release(module);
	close_pool();
}

/* --------------------------------------------------------- imported memories */

struct importer {
	Z_smallimp_instance_t smallimp;
	struct Z_env_instance_t env;
};

static void importer_instantiate(void *arg)
{
	struct importer *importer = arg;

	Z_smallimp_instantiate(&importer->smallimp, &importer->env);
}

static void importer_far(void *arg)
{
	struct importer *importer = arg;

	Z_smallimpZ_far(&importer->smallimp, 0);
}

static void imported_memory_has_the_image(void)
{
	struct fl_error error = { .text = "" };
	struct fl_memory_config config;
	struct importer importer;
	struct fl_module *module;
	int i;

	open_pool(1, 0);
	module = load("smallimp");
	fl_memory_config_init(&config);
	config.image = fl_module_image(module, 0);
	config.max_bytes = 3 * WPAGE;
	for (i = 0; i < 3; i++) {
		MUST_EQ(fl_wasm2c_acquire(pool, &config, &importer.env.memory,
					  &error),
			0);
		CHECK_EQ(importer.env.memory.max_pages, 3);
		CHECK_EQ(importer.env.memory.size, WPAGE);
		CHECK_EQ(try(importer_instantiate, &importer),
			 WASM_RT_TRAP_NONE);
		CHECK(!memcmp(importer.env.memory.data + 8, "faultline", 10));
		CHECK(!memcmp(importer.env.memory.data + 65530, "limits", 6));
		CHECK_EQ(Z_smallimpZ_grow(&importer.smallimp, 2), 1);
		CHECK_EQ(Z_smallimpZ_grow(&importer.smallimp, 1), UINT32_MAX);
		memset(importer.env.memory.data, 'X', 3 * WPAGE);
		CHECK_EQ(try(importer_far, &importer), WASM_RT_TRAP_OOB);
		Z_smallimp_free(&importer.smallimp);
		wasm_rt_free_memory(&importer.env.memory);
		CHECK_EQ(live(), 0);
	}
	fl_module_release(module);
	close_pool();
}

/* -------------------------------------------------------------------- tables */

struct tabled {
	Z_tables_instance_t tables;
	uint32_t argument;
	uint32_t result;
	wasm_rt_externref_t host;
};

static void table_instantiate(void *arg)
{
	Z_tables_instantiate(&((struct tabled *)arg)->tables);
}

static void table_call(void *arg)
{
	struct tabled *tabled = arg;

	tabled->result = Z_tablesZ_call(&tabled->tables, tabled->argument);
}

static void table_get_host(void *arg)
{
	struct tabled *tabled = arg;

	tabled->host = Z_tablesZ_get_host(&tabled->tables, tabled->argument);
}

static wasm_rt_trap_t call_at(struct tabled *tabled, uint32_t idx)
{
	tabled->argument = idx;
	return try(table_call, tabled);
}

static wasm_rt_trap_t host_at(struct tabled *tabled, uint32_t idx)
{
	tabled->argument = idx;
	return try(table_get_host, tabled);
}

static int make_tabled(struct tabled *tabled, const struct fl_module *module,
		       struct fl_error *error)
{
	struct fl_wasm2c_batch batch;
	int err;

	memset(tabled, 0, sizeof(*tabled));
	err = fl_wasm2c_begin(&batch, pool, module, &tabled->tables,
			      sizeof(tabled->tables), 0, error);
	if (err)
		return err;
	CHECK_EQ(try(table_instantiate, tabled), WASM_RT_TRAP_NONE);
	fl_wasm2c_end(&batch);
	return 0;
}

static void check_tables(struct tabled *tabled)
{
	CHECK_EQ(Z_tablesZ_size(&tabled->tables), 3);
	CHECK_EQ(Z_tablesZ_size_host(&tabled->tables), 2);
	CHECK_EQ(call_at(tabled, 0), WASM_RT_TRAP_NONE);
	CHECK_EQ(tabled->result, 7);
	CHECK_EQ(call_at(tabled, 1), WASM_RT_TRAP_NONE);
	CHECK_EQ(tabled->result, 8);
	CHECK_EQ(call_at(tabled, 2), WASM_RT_TRAP_CALL_INDIRECT);
	CHECK_EQ(call_at(tabled, 3), WASM_RT_TRAP_CALL_INDIRECT);
	CHECK_EQ(host_at(tabled, 1), WASM_RT_TRAP_NONE);
	CHECK(tabled->host == NULL);
	CHECK_EQ(host_at(tabled, 2), WASM_RT_TRAP_OOB);
}

static void tables_are_the_pools_and_clean(void)
{
	struct fl_error error = { .text = "" };
	struct fl_module *module;
	struct tabled tabled;
	int i;

	open_table_pool(1, 2);
	module = load("tables");
	for (i = 0; i < 40; i++) {
		MUST_EQ(make_tabled(&tabled, module, &error), 0);
		CHECK_EQ(live_tables(), 2);
		CHECK(fl_wasm2c_funcref_table(&tabled.tables.w2c_functions) !=
		      NULL);
		CHECK(fl_wasm2c_externref_table(&tabled.tables.w2c_hosts) !=
		      NULL);
		check_tables(&tabled);
		Z_tablesZ_put(&tabled.tables, 2);
		CHECK_EQ(call_at(&tabled, 2), WASM_RT_TRAP_NONE);
		Z_tablesZ_put_host(&tabled.tables, 1, &tabled);
		CHECK_EQ(Z_tablesZ_grow(&tabled.tables, 3), 3);
		CHECK_EQ(call_at(&tabled, 5), WASM_RT_TRAP_NONE);
		CHECK_EQ(tabled.result, 8);
		Z_tables_free(&tabled.tables);
		CHECK_EQ(live_tables(), 0);
		CHECK_EQ(live(), 0);
	}
	fl_module_release(module);
	close_pool();
}

static void table_grows_in_place(void)
{
	struct fl_error error = { .text = "" };
	struct fl_module *module;
	struct tabled tabled;
	const void *functions, *hosts;

	open_table_pool(1, 2);
	module = load("tables");
	MUST_EQ(make_tabled(&tabled, module, &error), 0);
	functions = tabled.tables.w2c_functions.data;
	hosts = tabled.tables.w2c_hosts.data;
	CHECK_EQ(tabled.tables.w2c_functions.max_size, 6);
	CHECK_EQ(Z_tablesZ_grow(&tabled.tables, 0), 3);
	CHECK_EQ(Z_tablesZ_grow(&tabled.tables, 2), 3);
	/* The module's maximum, then the pool's. */
	CHECK_EQ(Z_tablesZ_grow(&tabled.tables, 2), UINT32_MAX);
	CHECK_EQ(Z_tablesZ_grow(&tabled.tables, UINT32_MAX), UINT32_MAX);
	CHECK_EQ(Z_tablesZ_size(&tabled.tables), 5);
	CHECK_EQ(tabled.tables.w2c_hosts.max_size, UINT32_MAX);
	CHECK_EQ(Z_tablesZ_grow_host(&tabled.tables, 6, &error), 2);
	CHECK_EQ(Z_tablesZ_grow_host(&tabled.tables, 1, &error), UINT32_MAX);
	CHECK_EQ(Z_tablesZ_size_host(&tabled.tables), 8);
	CHECK_EQ(host_at(&tabled, 1), WASM_RT_TRAP_NONE);
	CHECK(tabled.host == NULL);
	CHECK_EQ(host_at(&tabled, 7), WASM_RT_TRAP_NONE);
	CHECK(tabled.host == &error);
	CHECK(tabled.tables.w2c_functions.data == functions);
	CHECK(tabled.tables.w2c_hosts.data == hosts);
	Z_tables_free(&tabled.tables);
	fl_module_release(module);
	close_pool();
}

static void pool_without_tables(void)
{
	struct fl_error error = { .text = "" };
	struct fl_module *module;
	struct tabled tabled;

	open_pool(1, 0);
	module = load("tables");
	MUST_EQ(make_tabled(&tabled, module, &error), 0);
	CHECK_EQ(live(), 1);
	CHECK(!fl_wasm2c_funcref_table(&tabled.tables.w2c_functions));
	CHECK(!fl_wasm2c_externref_table(&tabled.tables.w2c_hosts));
	check_tables(&tabled);
	CHECK_EQ(Z_tablesZ_grow(&tabled.tables, 3), 3);
	CHECK_EQ(Z_tablesZ_grow_host(&tabled.tables, 100, NULL), 2);
	Z_tables_free(&tabled.tables);
	CHECK_EQ(live(), 0);
	fl_module_release(module);
	close_pool();
}

static void errors_hold_no_tables(void)
{
	struct fl_error error = { .text = "" };
	struct fl_pool_config config;
	struct fl_wasm2c_batch batch;
	struct fl_module *module;
	struct tabled tabled;

	open_table_pool(2, 3);
	module = load("tables");
	MUST_EQ(make_tabled(&tabled, module, &error), 0);
	CHECK_EQ(fl_wasm2c_begin(&batch, pool, module, &batch, 1, 0, &error),
		 -EAGAIN);
	CHECK_EQ(live(), 1);
	CHECK_EQ(live_tables(), 2);
	Z_tables_free(&tabled.tables);
	/* What nobody takes goes back. */
	MUST_EQ(fl_wasm2c_begin(&batch, pool, module, &batch, 1, 0, &error), 0);
	CHECK_EQ(live_tables(), 2);
	fl_wasm2c_end(&batch);
	CHECK_EQ(live_tables(), 0);
	CHECK_EQ(live(), 0);
	fl_module_release(module);
	close_pool();

	fl_pool_config_init(&config);
	config.max_instances = 0;
	config.max_tables = 2;
	config.max_table_elements = 2;
	open_pool_as(&config);
	module = load("tables");
	CHECK_EQ(fl_wasm2c_begin(&batch, pool, module, &batch, 1, 0, &error),
		 -E2BIG);
	CHECK_HAS(error.text, "max_table_elements");
	CHECK_EQ(live(), 0);
	fl_module_release(module);
	close_pool();
}

static void instantiate_tableother(void *arg)
{
	Z_tableother_instantiate(arg);
}

/* Elements of another width would reach beyond the slot. */
static void wrong_kinds_of_tables_are_a_trap(void)
{
	/* The second one is a module without tables. */
	static const char *const names[] = { "tables", "small" };
	Z_tableother_instance_t instance;

	open_table_pool(1, 2);
	for (size_t i = 0; i < TEST_ARRAY_SIZE(names); i++) {
		memset(&instance, 0, sizeof(instance));
		check_wrong_module(names[i], instantiate_tableother, &instance,
				   sizeof(instance));
		Z_tableother_free(&instance);
		CHECK_EQ(live_tables(), 0);
		CHECK_EQ(live(), 0);
	}
	close_pool();
}

struct table_importer {
	Z_tableimp_instance_t importer;
	struct Z_env_instance_t env;
	uint32_t argument;
	uint32_t result;
};

static void table_importer_instantiate(void *arg)
{
	struct table_importer *it = arg;

	Z_tableimp_instantiate(&it->importer, &it->env);
}

static void table_importer_call(void *arg)
{
	struct table_importer *it = arg;

	it->result = Z_tableimpZ_call(&it->importer, it->argument);
}

static void imported_table_of_the_pool(void)
{
	struct fl_error error = { .text = "" };
	struct fl_table_config config;
	struct table_importer it;
	int i;

	memset(&it, 0, sizeof(it));
	open_table_pool(1, 1);
	fl_table_config_init(&config);
	config.initial_elements = 4;
	config.max_elements = 8;
	for (i = 0; i < 3; i++) {
		MUST_EQ(fl_wasm2c_acquire_funcref_table(pool, &config,
							&it.env.table, &error),
			0);
		CHECK_EQ(it.env.table.size, 4);
		CHECK_EQ(it.env.table.max_size, 8);
		CHECK_EQ(try(table_importer_instantiate, &it),
			 WASM_RT_TRAP_NONE);
		it.argument = 1;
		CHECK_EQ(try(table_importer_call, &it), WASM_RT_TRAP_NONE);
		CHECK_EQ(it.result, 9);
		it.argument = 0;
		CHECK_EQ(try(table_importer_call, &it),
			 WASM_RT_TRAP_CALL_INDIRECT);
		CHECK_EQ(Z_tableimpZ_grow(&it.importer, 4), 4);
		CHECK_EQ(Z_tableimpZ_grow(&it.importer, 1), UINT32_MAX);
		wasm_rt_free_funcref_table(&it.env.table);
		CHECK_EQ(live_tables(), 0);
		/* The importer outlives what it imports. */
		it.argument = 1;
		CHECK_EQ(try(table_importer_call, &it),
			 WASM_RT_TRAP_CALL_INDIRECT);
		Z_tableimp_free(&it.importer);
	}
	config.element_bytes = 8;
	config.drop = (void (*)(void *, void *))abort;
	CHECK_EQ(fl_wasm2c_acquire_funcref_table(pool, &config, &it.env.table,
						 &error),
		 -ENOTSUP);
	CHECK_EQ(live_tables(), 0);
	close_pool();
}

/* The second free of an instance must not end the slots' next tenant. */
static void freed_twice(void)
{
	struct fl_error error = { .text = "" };
	struct tabled first, second;
	struct fl_module *module;
	struct guest guests[2];

	open_table_pool(1, 2);
	module = load("tables");
	MUST_EQ(make_tabled(&first, module, &error), 0);
	Z_tables_free(&first.tables);
	MUST_EQ(make_tabled(&second, module, &error), 0);
	Z_tables_free(&first.tables);
	CHECK_EQ(live(), 1);
	CHECK_EQ(live_tables(), 2);
	CHECK_EQ(call_at(&first, 0), WASM_RT_TRAP_CALL_INDIRECT);
	check_tables(&second);
	Z_tables_free(&second.tables);
	fl_module_release(module);

	module = load("small");
	make_must(&guests[0], module);
	Z_small_free(&guests[0].small);
	make_must(&guests[1], module);
	CHECK_EQ(Z_smallZ_grow(&guests[0].small, 1), UINT32_MAX);
	Z_small_free(&guests[0].small);
	CHECK_EQ(live(), 1);
	check_fresh(&guests[1]);
	Z_small_free(&guests[1].small);
	CHECK_EQ(live(), 0);
	fl_module_release(module);
	close_pool();
}

/* --------------------------------------------------------------- the runtime */

static void recurse(void *arg)
{
	struct guest *guest = arg;

	guest->result = Z_smallZ_recurse(&guest->small, guest->argument);
}

static void deep_recursion_is_exhaustion(void)
{
	struct fl_module *module;
	struct guest guest;

	open_pool(1, 0);
	module = load("small");
	make_must(&guest, module);
	guest.argument = 100;
	CHECK_EQ(try(recurse, &guest), WASM_RT_TRAP_NONE);
	guest.argument = 0x7fffffff;
	CHECK_EQ(try(recurse, &guest), WASM_RT_TRAP_EXHAUSTION);
	check_fresh(&guest);
	Z_small_free(&guest.small);
	fl_module_release(module);
	close_pool();
}

#ifndef STOCK_RT
/* Traps of one thread must not disturb another's guest: each counts its own. */
static void *trap_often(void *arg)
{
	struct fl_module *module = arg;
	struct guest guest;
	uint32_t i;

	CHECK_EQ(rt_thread_init(), 0);
	for (i = 0; i < TRAPS; i++) {
		struct fl_error error;

		if (!CHECK_EQ(make(&guest, module, &error), 0))
			break;
		CHECK_EQ(call(&guest, POKE, 100, i), WASM_RT_TRAP_NONE);
		CHECK_EQ(call(&guest, PEEK, 65536 + i, 0), WASM_RT_TRAP_OOB);
		CHECK_EQ(peek(&guest, 100), i % 256);
		Z_small_free(&guest.small);
	}
	MUST_EQ(make(&guest, module, NULL), 0);
	guest.argument = 0x7fffffff;
	CHECK_EQ(try(recurse, &guest), WASM_RT_TRAP_EXHAUSTION);
	Z_small_free(&guest.small);
	rt_thread_exit();
	return NULL;
}

static void threads_trap_apart(void)
{
	struct fl_module *module;
	pthread_t threads[2];
	int i;

	open_pool(2, 0);
	module = load("small");
	for (i = 0; i < 2; i++)
		MUST_EQ(pthread_create(&threads[i], NULL, trap_often, module),
			0);
	for (i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	CHECK_EQ(live(), 0);
	fl_module_release(module);
	close_pool();
}

static void inner(void *arg)
{
	(void)arg;
	wasm_rt_trap(WASM_RT_TRAP_DIV_BY_ZERO);
}

static void outer(void *arg)
{
	CHECK_EQ(rt_try(inner, arg), WASM_RT_TRAP_DIV_BY_ZERO);
	wasm_rt_trap(WASM_RT_TRAP_UNREACHABLE);
}

static void tries_nest(void)
{
	CHECK_EQ(rt_try(outer, NULL), WASM_RT_TRAP_UNREACHABLE);
	CHECK_HAS(wasm_rt_strerror(WASM_RT_TRAP_UNREACHABLE), "unreachable");
}

static void touch_nothing(void *arg)
{
	*(volatile char *)arg = 1;
}

static void host_handler(int sig)
{
	(void)sig;
	_exit(42);
}

/* A bug of the host inside a call to a guest is no trap of the guest. */
static int fault_of_the_host(void *arg)
{
	wasm_rt_free();
	if (arg)
		signal(SIGSEGV, host_handler);
	else
		signal(SIGSEGV, SIG_DFL);
	wasm_rt_init();
	rt_try(touch_nothing, (void *)64);
	return 0;
}

static void faults_of_the_host_are_passed_on(void)
{
	struct test_end end = test_fork(fault_of_the_host, &end, 10);

	CHECK_EQ(end.status, 42);
	end = test_fork(fault_of_the_host, NULL, 10);
	CHECK_EQ(end.signo, SIGSEGV);
}
#endif

static const struct test_case cases[] = {
	TEST_CASE(image_is_there_each_time),
	TEST_CASE(taking_looks_at_no_other_slot),
	TEST_CASE(out_of_bounds_is_a_trap),
	TEST_CASE(grow_is_in_place),
	TEST_CASE(unused_memories_go_back),
	TEST_CASE(errors_hold_nothing),
	TEST_CASE(no_code_reaches_a_prefix),
	TEST_CASE(no_pool_is_accessible),
	TEST_CASE(wrong_module_is_a_trap),
	TEST_CASE(other_memories_fall_through),
	TEST_CASE(bad_segment_traps_without_pool),
	TEST_CASE(bad_segment_traps_with_pool),
	TEST_CASE(imported_memory_has_the_image),
	TEST_CASE(tables_are_the_pools_and_clean),
	TEST_CASE(table_grows_in_place),
	TEST_CASE(pool_without_tables),
	TEST_CASE(errors_hold_no_tables),
	TEST_CASE(wrong_kinds_of_tables_are_a_trap),
	TEST_CASE(imported_table_of_the_pool),
	TEST_CASE(freed_twice),
	TEST_CASE(deep_recursion_is_exhaustion),
#ifndef STOCK_RT
	TEST_CASE(threads_trap_apart),
	TEST_CASE(tries_nest),
	TEST_CASE(faults_of_the_host_are_passed_on),
#endif
};

int main(int argc, char **argv)
{
	if (!traps_are_followed())
		return 77;
	wasm_rt_init();
	sigaction(SIGSEGV, NULL, &trap_handler);
#ifndef STOCK_RT
	rt_set_lookup(is_guest, NULL);
	if (rt_thread_init())
		return 1;
#endif
	Z_small_init_module();
	Z_smallimp_init_module();
	Z_tables_init_module();
	Z_tableimp_init_module();
	Z_tableother_init_module();
	Z_overwhole_init_module();
	Z_overfree_init_module();
	Z_overimpwhole_init_module();
	Z_overimpfree_init_module();
	return test_main(argc, argv, cases, TEST_ARRAY_SIZE(cases), NULL, 0);
}
