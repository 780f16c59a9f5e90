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
#include "../test.h"

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

#ifdef STOCK_RT
#include <wasm-rt-impl.h>
#else
#include "rt_threadlocal.h"
#endif

#define WPAGE 65536u
#define TRAPS 1000

struct Z_env_instance_t {
	wasm_rt_memory_t memory;
};

static struct fl_context *context;
static struct fl_pool *pool;
static struct sigaction trap_handler;

wasm_rt_memory_t *Z_envZ_memory(struct Z_env_instance_t *env)
{
	return &env->memory;
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

static void open_pool(uint32_t memories, uint64_t stride_bytes)
{
	struct fl_error error = { .text = "" };
	struct fl_pool_config config;

	MUST_EQ(fl_context_create(NULL, &context, &error), 0);
	fl_pool_config_init(&config);
	config.max_instances = 0;
	config.max_memories = memories;
	if (stride_bytes) {
		config.memory_stride_bytes = stride_bytes;
		config.max_memory_bytes = stride_bytes / 2;
	}
	if (fl_pool_create(context, &config, &pool, &error))
		test_note("%s", error.text);
	MUST(pool != NULL);
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

static void instantiate_overfree(void *arg)
{
	Z_overfree_instantiate(arg);
}

/* The data-free module of another module must not run without its data. */
static void wrong_module_is_a_trap(void)
{
	Z_overfree_instance_t instance = { 0 };
	struct fl_error error = { .text = "" };
	struct fl_wasm2c_batch batch;
	struct fl_module *imports;

	open_pool(2, 0);
	imports = load("smallimp");
	MUST_EQ(fl_wasm2c_begin(&batch, pool, imports, &instance,
				sizeof(instance), 0, &error),
		0);
	CHECK_EQ(try(instantiate_overfree, &instance),
		 WASM_RT_TRAP_UNREACHABLE);
	fl_wasm2c_end(&batch);
	CHECK_EQ(live(), 0);
	fl_module_release(imports);
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
	TEST_CASE(out_of_bounds_is_a_trap),
	TEST_CASE(grow_is_in_place),
	TEST_CASE(unused_memories_go_back),
	TEST_CASE(errors_hold_nothing),
	TEST_CASE(wrong_module_is_a_trap),
	TEST_CASE(other_memories_fall_through),
	TEST_CASE(bad_segment_traps_without_pool),
	TEST_CASE(bad_segment_traps_with_pool),
	TEST_CASE(imported_memory_has_the_image),
	TEST_CASE(deep_recursion_is_exhaustion),
#ifndef STOCK_RT
	TEST_CASE(threads_trap_apart),
	TEST_CASE(tries_nest),
	TEST_CASE(faults_of_the_host_are_passed_on),
#endif
};

#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define THREAD_SANITIZER 1
#endif
#elif defined(__SANITIZE_THREAD__)
#define THREAD_SANITIZER 1
#endif

int main(int argc, char **argv)
{
#ifdef THREAD_SANITIZER
	printf("skipped: the thread sanitizer does not follow a jump out of a "
	       "signal handler, which is how a trap ends a guest\n");
	return 77;
#endif
	wasm_rt_init();
	sigaction(SIGSEGV, NULL, &trap_handler);
#ifndef STOCK_RT
	rt_set_lookup(is_guest, NULL);
	if (rt_thread_init())
		return 1;
#endif
	Z_small_init_module();
	Z_smallimp_init_module();
	Z_overwhole_init_module();
	Z_overfree_init_module();
	Z_overimpwhole_init_module();
	Z_overimpfree_init_module();
	return test_main(argc, argv, cases, TEST_ARRAY_SIZE(cases), NULL, 0);
}
