/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * nth.c - a whole life, from context to destroyed pool, in which the 1st,
 * 2nd, ... nth allocation or system call fails, until none is left to fail.
 *
 * Each time: every call answers from the closed set, what was taken before is
 * given back (allocations, file descriptors, mappings), what a memory shows is
 * image and zeroes and nothing of the tenant before, and the next life without
 * a failure succeeds. Once only the nth call fails, once all from there on.
 *
 * inject.h counts and fails the calls.
 */
#define _GNU_SOURCE
#include "answers.h"
#include "inject.h"

#include "tests/kit/child.h"
#include "tests/kit/conform.h"
#include "tests/kit/page_source.h"
#include "tests/kit/procfs.h"
#include "tests/kit/resources.h"
#include "tests/kit/trap.h"
#include "tests/kit/wasm_build.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

/* ------------------------------------------------------------------- a life */

#define MIN_WPAGES 4

struct life {
	struct wasm wasm;
	struct fl_context *context;
	struct fl_module *module;
	struct fl_pool *pool;
	char folder[32]; /* for the image's file */
	char file[48];
	bool is_written; /* the file */
	bool is_whole; /* no step failed */
};

/* Memory 0 with data in two places far apart, memory 1 without; a global. */
static void build_module(struct wasm *w)
{
	struct wasm memories = { 0 }, data = { 0 };

	wasm_header(w);
	wasm_u(&memories, 2);
	wasm_limits(&memories, 0, MIN_WPAGES, 0);
	wasm_limits(&memories, 0, 1, 0);
	wasm_section(w, WASM_MEMORY, &memories);
	wasm_section_bytes(w, WASM_GLOBAL, 1, 0x7f, 1, 0x41, 0, 0x0b);
	wasm_u(&data, 3);
	wasm_data_active(&data, 100, "first", 5);
	wasm_data_passive(&data, "passive", 7);
	wasm_data_active(&data, 3 * 65536 + 50, "second", 6);
	wasm_section(w, WASM_DATA, &data);
}

/* Nothing but what the call lists, and a sentence for each. */
static bool answered(struct life *life, const char *call, int err,
		     const struct fl_error *error)
{
	if (!err)
		return true;
	life->is_whole = false;
	CHECK(strcmp(fl_strerror(err), "unknown error"));
	check_answer(call, err);
	if (error) {
		CHECK_EQ(error->code, err);
		CHECK(error->text[0] != '\0');
	}
	if (!inject.failed)
		test_note("%s, with nothing failed: %s", fl_strerror(err),
			  error ? error->text : "");
	return false;
}

#define succeeds(life, call, error) answered(life, #call, call, error)

static void check_clean(struct fl_instance *instance)
{
	struct fl_memory *memory = fl_instance_memory(instance, 0);
	struct fl_memory *other = fl_instance_memory(instance, 1);
	struct model model;
	bool was_armed = inject.is_armed;

	/* The model's own allocations are none of the library's. */
	inject.is_armed = false;
	model_init(&model, MIN_WPAGES * WPAGE, UINT64_MAX, WPAGE);
	model_put(&model, 100, "first", 5, 0, 5);
	model_put(&model, 3 * WPAGE + 50, "second", 6, 0, 6);
	CHECK_EQ(model_diff(&model, memory), MODEL_EQUAL);
	model_fini(&model);
	CHECK_EQ(fl_memory_length(other), WPAGE);
	CHECK_EQ(conform_first_data(other->base, WPAGE), WPAGE);
	inject.is_armed = was_armed;
}

static void use_instance(struct life *life, struct fl_instance *instance)
{
	struct fl_memory *memory = fl_instance_memory(instance, 0);
	uint64_t len = fl_memory_length(memory), old = 0;

	check_clean(instance);
	memset(memory->base, 0xe1, len);
	memset(fl_instance_memory(instance, 1)->base, 0xe2, WPAGE);
	if (succeeds(life, fl_memory_grow(memory, 3, &old), NULL)) {
		CHECK_EQ(old, MIN_WPAGES);
		CHECK_EQ(conform_first_data(memory->base + len, 3 * WPAGE),
			 3 * WPAGE);
		memset(memory->base + len, 0xe3, 3 * WPAGE);
	} else {
		CHECK_EQ(fl_memory_length(memory), len);
		CHECK(test_traps(memory->base + len));
	}
	succeeds(life, fl_memory_prefault(memory, 0, len), NULL);
	CHECK_EQ(memory->base[len - 1], 0xe1);
	CHECK_EQ(fl_memory_init(instance, 0, 1, 7, 0, 7), FL_TRAP_NONE);
	fl_data_drop(instance, 1);
	CHECK(!memcmp(memory->base + 7, "passive", 7));
}

/* A release always succeeds, and says so if the slot could not be emptied: then
 * the slot is retired until it can. */
static void check_released(const struct life *life, int err)
{
	struct fl_pool_info info = { .size = sizeof(info) };

	if (!err)
		return;
	CHECK(inject.failed);
	CHECK_EQ(err, -ENOMEM);
	fl_pool_info(life->pool, &info);
	CHECK(info.retired_memories + info.retired_instances > 0);
}

/* What it wrote, and the instance once more in place. After a failure it is only
 * to be released. */
static void begin_again(struct life *life, struct fl_instance *instance)
{
	struct fl_memory *memory = fl_instance_memory(instance, 0);
	struct fl_written written = { .size = sizeof(written) };
	struct fl_memory_run runs[64];
	struct fl_error error = { .text = "" };
	int err;

	err = fl_memory_written(memory, FL_WRITTEN_BEGIN, runs, 64, &written,
				&error);
	/* The rung "discard" cannot tell, and neither can another without the
	 * page table. */
	if (answered(life, "fl_memory_written", err == -ENOTSUP ? 0 : err,
		     &error) &&
	    !err)
		CHECK(written.run_count > 0 && runs[0].offset_bytes == 0);
	memory->base[0] = 0x55;
	if (!succeeds(life, fl_instance_reset(instance, NULL, &error), &error))
		return;
	if (!succeeds(life, fl_instance_initialise(instance, NULL, &error),
		      &error))
		return;
	check_clean(instance);
	memset(memory->base, 0xe6, fl_memory_length(memory));
}

/* Tenants one after the other, more than it takes an engine to warm up. */
static void use_pool(struct life *life)
{
	struct fl_instance *instance = NULL;
	struct fl_memory_config config;
	struct fl_memory *memory = NULL;
	struct fl_error error;

	for (int i = 0; i < 6; i++) {
		error.text[0] = '\0';
		if (!succeeds(life,
			      fl_instance_acquire(life->pool, life->module,
						  NULL, &instance, &error),
			      &error))
			continue;
		use_instance(life, instance);
		begin_again(life, instance);
		check_released(life, fl_instance_release(instance));
	}
	fl_memory_config_init(&config);
	config.initial_bytes = 2 * WPAGE;
	if (succeeds(life,
		     fl_memory_acquire(life->pool, &config, &memory, &error),
		     &error)) {
		CHECK_EQ(conform_first_data(memory->base, 2 * WPAGE),
			 2 * WPAGE);
		memset(memory->base, 0xe4, 2 * WPAGE);
		check_released(life, fl_memory_release(memory));
	}
}

/* One more than there is room for, and then nobody, who waits for an event. */
static void overflow_pool(struct life *life)
{
	struct fl_memory *memories[6] = { NULL };
	struct fl_memory_config config;
	struct fl_error error = { .text = "" };
	int fd, n = 0;

	succeeds(life, fl_pool_wait_fd(life->pool, &fd, &error), &error);
	fl_memory_config_init(&config);
	config.initial_bytes = WPAGE;
	for (; n < 6; n++) {
		int err = fl_memory_acquire(life->pool, &config, &memories[n],
					    &error);

		/* With slots that are retired, the pool is full sooner. */
		if (err == -EAGAIN && n)
			break;
		if (!answered(life, "fl_memory_acquire", err, &error))
			break;
		memset(memories[n]->base, 0xe7, WPAGE);
	}
	CHECK(n < 6);
	while (n--)
		check_released(life, fl_memory_release(memories[n]));
}

/* What the host asks of a memory that shows the file. */
static void act_in_place(struct life *life, struct fl_memory *memory)
{
	struct fl_image *captured = NULL;
	struct fl_error error = { .text = "" };
	enum fl_trap trap;
	uint8_t bytes[6];

	memset(memory->base + WPAGE, 0x31, 2 * WPAGE);
	succeeds(life,
		 fl_memory_apply_segments(memory, life->module, 0, NULL, &trap,
					  &error),
		 &error);
	CHECK_EQ(trap, FL_TRAP_NONE);
	if (!succeeds(life,
		      fl_image_from_memory(memory, NULL, &captured, &error),
		      &error)) {
		CHECK(captured == NULL);
		return;
	}
	CHECK_EQ(fl_image_read(captured, 3 * WPAGE + 50, bytes, 6), 0);
	CHECK(!memcmp(bytes, "second", 6));
	CHECK_EQ(fl_image_read(captured, 3 * WPAGE - 1, bytes, 1), 0);
	CHECK_EQ(bytes[0], 0x31);
	fl_image_release(captured);
}

/* A file in place is read by the kernel alone, which may fail: then a release
 * says so, and the next tenant finds a clean slot all the same. */
static void use_in_place(struct life *life)
{
	struct fl_memory_config config;
	struct fl_image *image = NULL;
	struct fl_memory *memory;
	struct fl_error error;
	int err;

	err = fl_image_open(life->context, life->file, -1, FL_OPEN_IN_PLACE,
			    &image, &error);
	if (err == -ENOTSUP && !inject.failed)
		return;
	if (!answered(life, "fl_image_open", err, &error))
		return;
	fl_memory_config_init(&config);
	config.image = image;
	for (int i = 0; i < 6; i++) {
		if (!succeeds(life,
			      fl_memory_acquire(life->pool, &config, &memory,
						&error),
			      &error))
			continue;
		CHECK_EQ(conform_first_data(memory->base, 3 * WPAGE), 100);
		CHECK(!memcmp(memory->base + 3 * WPAGE + 50, "second", 6));
		act_in_place(life, memory);
		memset(memory->base, 0xe5, i % 2 ? 100 : MIN_WPAGES * WPAGE);
		err = fl_memory_release(memory);
		if (err != -EIO)
			check_released(life, err);
		answered(life, "fl_memory_release", err, NULL);
	}
	fl_image_release(image);
}

/* Failures are over, the pool is the same: it works, has all its slots, and
 * shows nothing of its past. */
static void use_pool_again(struct life *life)
{
	struct fl_pool_info info = { .size = sizeof(info) };
	struct fl_instance *instance = NULL;
	int err;

	inject.is_armed = false;
	fl_pool_info(life->pool, &info);
	CHECK_EQ(info.live_memories, 0);
	CHECK_EQ(info.live_instances, 0);
	inject.is_armed = true;
	inject.fail_at = 0;
	err = fl_instance_acquire(life->pool, life->module, NULL, &instance,
				  NULL);
	if (CHECK_EQ(err, 0)) {
		check_clean(instance);
		CHECK_EQ(fl_instance_release(instance), 0);
	}
	CHECK_EQ(fl_pool_trim(life->pool, UINT64_MAX, NULL), 0);
	inject.is_armed = false;
	fl_pool_info(life->pool, &info);
	CHECK_EQ(info.retired_memories + info.retired_instances, 0);
	inject.is_armed = true;
}

/* The file is as it was, or the whole new one, and nothing is beside it. */
static void check_folder(const struct life *life, bool is_written)
{
	bool was_armed = inject.is_armed;
	char bytes[4] = "";
	unsigned int names = 0;
	struct dirent *entry;
	DIR *folder;
	int fd;

	inject.is_armed = false;
	folder = opendir(life->folder);
	MUST(folder != NULL);
	while ((entry = readdir(folder)))
		names += entry->d_name[0] != '.' || entry->d_name[1] == 'f';
	closedir(folder);
	CHECK_EQ(names, 1);
	fd = open(life->file, O_RDONLY | O_CLOEXEC);
	CHECK(fd >= 0 && pread(fd, bytes, 3, 0) == 3);
	CHECK(!strcmp(bytes, is_written ? "\x89"
					  "FL" :
					  "old"));
	close(fd);
	inject.is_armed = was_armed;
}

static void put_old_file(const struct life *life)
{
	int fd = open(life->file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC,
		      0600);

	MUST(fd >= 0 && write(fd, "old", 3) == 3);
	close(fd);
}

/* The same with packed pages, of which the library that packs takes memory too. On
 * one rung: it has no part in this. */
static void use_packed_file(struct life *life)
{
	struct fl_image *image = fl_module_image(life->module, 0);
	struct fl_error error = { .text = "" };
	struct fl_image *opened = NULL;
	bool is_written;
	char bytes[6];
	int err;

	if (test_needs_zstd() || test_rung != conform_rungs)
		return;
	err = fl_image_write_as(image, life->file, FL_WRITE_ZSTD, &error);
	is_written = answered(life, "fl_image_write_as", err, &error);
	check_folder(life, is_written || strstr(error.text,
						"folder cannot be synced"));
	if (is_written && succeeds(life,
				   fl_image_open(life->context, life->file, -1,
						 0, &opened, &error),
				   &error)) {
		CHECK_EQ(fl_image_read(opened, 3 * WPAGE + 50, bytes, 6), 0);
		CHECK(!memcmp(bytes, "second", 6));
		fl_image_release(opened);
	}
	inject.is_armed = false;
	put_old_file(life);
	inject.is_armed = true;
}

/* An image out to a file and back. */
static void use_file(struct life *life)
{
	struct fl_image *image = fl_module_image(life->module, 0);
	struct fl_error error = { .text = "" };
	struct fl_image *opened = NULL;
	uint8_t digests[2][32];
	char bytes[6];
	bool is_written;

	is_written = succeeds(life, fl_image_write(image, life->file, &error),
			      &error);
	/* The last step makes the name durable, and has it already. */
	life->is_written = is_written;
	check_folder(life, is_written || strstr(error.text,
						"folder cannot be synced"));
	if (!is_written || !succeeds(life,
				     fl_image_open(life->context, life->file,
						   -1, 0, &opened, &error),
				     &error))
		return;
	CHECK_EQ(fl_image_read(opened, 3 * WPAGE + 50, bytes, 6), 0);
	CHECK(!memcmp(bytes, "second", 6));
	if (succeeds(life, fl_image_digest(image, digests[0], &error),
		     &error) &&
	    succeeds(life, fl_image_digest(opened, digests[1], &error), &error))
		CHECK(!memcmp(digests[0], digests[1], 32));
	fl_image_release(opened);
}

/* The first answer makes the module's survey. */
static void ask_module(struct life *life)
{
	struct fl_global_type type = { .size = sizeof(type) };

	if (succeeds(life, fl_module_global_type(life->module, 0, &type), NULL))
		CHECK_EQ(type.is_changed, 0);
}

static void live_on(struct life *life)
{
	struct fl_context_config context_config;
	struct fl_module_config module_config;
	struct fl_pool_config pool_config;
	struct fl_error error = { .text = "" };

	fl_context_config_init(&context_config);
	context_config.backend = test_rung->backend;
	if (!succeeds(life,
		      fl_context_create(&context_config, &life->context,
					&error),
		      &error))
		return;
	fl_module_config_init(&module_config);
	module_config.bytes = life->wasm.bytes;
	module_config.length_bytes = life->wasm.length;
	if (!succeeds(life,
		      fl_module_load(life->context, &module_config,
				     &life->module, &error),
		      &error))
		return;
	use_packed_file(life);
	use_file(life);
	ask_module(life);
	conform_pool_config(&pool_config);
	pool_config.max_memories_per_instance = 2;
	pool_config.max_memory_bytes = MIB;
	pool_config.overflow_memories = 1;
	if (!succeeds(life,
		      fl_pool_create(life->context, &pool_config, &life->pool,
				     &error),
		      &error))
		return;
	use_pool(life);
	overflow_pool(life);
	if (life->is_written)
		use_in_place(life);
	use_pool_again(life);
}

/* Constructors write *out only on success. */
static void live(struct life *life, uint64_t fail_at, bool is_sticky,
		 int instead)
{
	life->context = NULL;
	life->module = NULL;
	life->pool = NULL;
	life->is_whole = true;
	life->is_written = false;
	put_old_file(life);
	memset(&inject, 0, sizeof(inject));
	inject.fail_at = fail_at;
	inject.is_sticky = is_sticky;
	inject.instead = instead;
	inject.is_armed = true;
	live_on(life);
	CHECK_EQ(fl_pool_destroy(life->pool), 0);
	fl_module_release(life->module);
	fl_context_destroy(life->context);
	inject.is_armed = false;
	CHECK_EQ(inject.live_allocations, 0);
}

static void run_lives(bool is_sticky, uint64_t step, int even, int odd)
{
	struct test_resources before;
	struct life life = { .wasm = { 0 } };
	uint64_t at = 0;

	build_module(&life.wasm);
	/* Each life waits for the disk if there is one. */
	strcpy(life.folder, access("/dev/shm", W_OK) ?
				    "/tmp/fl-nth-XXXXXX" :
				    "/dev/shm/fl-nth-XXXXXX");
	MUST(mkdtemp(life.folder) != NULL);
	snprintf(life.file, sizeof(life.file), "%s/image", life.folder);
	/* Once without, to see that the wrapping works at all. */
	live(&life, 0, false, 0);
	CHECK(life.is_whole);
	CHECK(inject.allocations > 3);
	CHECK(inject.system_calls > 1);
	test_resources(&before);
	do {
		at += step;
		live(&life, at, is_sticky, at / step % 2 ? odd : even);
		test_check_resources(&before);
		if (test_has_failed())
			test_note("call %ju failed: %s", (uintmax_t)at,
				  inject.first_failed ? inject.first_failed :
							"none");
	} while (inject.failed && at < 4000 && !test_has_failed());
	test_note("%ju calls failed, one by one", (uintmax_t)(at / step - 1));
	CHECK(at > 10);
	/* The next attempt works. */
	live(&life, 0, false, 0);
	CHECK(life.is_whole);
	CHECK_EQ(unlink(life.file), 0);
	CHECK_EQ(rmdir(life.folder), 0);
	wasm_free(&life.wasm);
}

static void one_call_fails(void)
{
	run_lives(false, 1, 0, 0);
}

/* What a filter or a security module says, and what no call says for a reason that
 * is known here, in turn. */
static void one_call_says_something_else(void)
{
	run_lives(false, 2, EPERM, EXDEV);
}

static void all_calls_fail_from_then_on(void)
{
	run_lives(true, 1, 0, 0);
}

/* ---------------------------------------------------------------- warm slot */

static void count_from_here(void)
{
	memset(&inject, 0, sizeof(inject));
	inject.is_armed = true;
}

struct cost {
	uint64_t allocations, system_calls;
};

static struct cost cost_so_far(void)
{
	inject.is_armed = false;
	return (struct cost){ inject.allocations, inject.system_calls };
}

static void check_cycle(struct conform *conform, struct fl_module *module,
			int round)
{
	bool is_linux = !strcmp(test_rung->backend, "linux");
	bool is_dontneed = !strcmp(test_rung->how, "dontneed");
	bool grows = round % 4 == 3, is_warm = round >= 8;
	struct fl_instance *instance = NULL;
	struct cost cost;

	count_from_here();
	MUST_EQ(fl_instance_acquire(conform->pool, module, NULL, &instance,
				    NULL),
		0);
	cost = cost_so_far();
	if (is_warm)
		CHECK_EQ(cost.allocations, 0);
	if (is_warm && is_linux)
		CHECK_EQ(cost.system_calls, 0);
	fl_instance_memory(instance, 0)->base[round * 1000] = 1;
	count_from_here();
	if (grows)
		CHECK_EQ(fl_memory_grow(fl_instance_memory(instance, 0), 1,
					NULL),
			 0);
	cost = cost_so_far();
	CHECK(cost.system_calls <= grows);
	count_from_here();
	CHECK_EQ(fl_instance_release(instance), 0);
	cost = cost_so_far();
	if (is_warm)
		CHECK_EQ(cost.allocations, 0);
	if (is_warm && is_dontneed)
		CHECK(cost.system_calls <= 1u + grows);
	if (is_warm && round < 12)
		test_note("release%s: %ju system calls",
			  grows ? " after growth" : "",
			  (uintmax_t)cost.system_calls);
}

/* A slot that last held the image: nothing is allocated, and the engine makes
 * no system call to acquire it; where it drops what was written, one to release
 * it, and one more if it grew. */
static void warm_slot_is_cheap(void)
{
	struct fl_pool_config pool_config;
	struct fl_module_config config;
	struct fl_module *module = NULL;
	struct conform conform;
	struct wasm w = { 0 };

	conform_pool_config(&pool_config);
	/* The same slot again, also where the thread was moved meanwhile. */
	pool_config.max_instances = 1;
	pool_config.max_memories = 1;
	/* The pages of one memory are in one page table, wherever the pool lies:
	 * what is known of them is allocated for each. */
	pool_config.memory_alignment_bytes = 2 * MIB;
	conform_open(&conform, &pool_config);
	wasm_header(&w);
	wasm_one_memory(&w, 4, WASM_NO_MAX);
	wasm_one_data(&w, 70000, "content", 7);
	fl_module_config_init(&config);
	config.bytes = w.bytes;
	config.length_bytes = w.length;
	MUST_EQ(fl_module_load(conform.context, &config, &module, NULL), 0);
	for (int round = 0; round < 40; round++)
		check_cycle(&conform, module, round);
	fl_module_release(module);
	conform_close(&conform);
	wasm_free(&w);
}

/* Valgrind, and emulators, answer EINVAL to a mapping that is too large for them:
 * that is address space, and the error says what to lower. */
static void a_reservation_too_large_for_an_emulator(void)
{
	struct fl_context *context = conform_context();
	struct fl_error error = { .text = "" };
	struct fl_pool_config config;
	struct fl_pool *pool = NULL;
	bool was_mapped = false;
	int err = 0;

	conform_pool_config(&config);
	for (uint64_t nth = 1; !err || !was_mapped; nth++) {
		memset(&inject, 0, sizeof(inject));
		inject.fail_at = nth;
		inject.instead = EINVAL;
		inject.is_armed = true;
		err = fl_pool_create(context, &config, &pool, &error);
		inject.is_armed = false;
		if (!err)
			fl_pool_destroy(pool);
		if (!inject.failed)
			break;
		was_mapped = err && strstr(error.text, "address space");
	}
	CHECK(was_mapped);
	CHECK_EQ(err, -ENOMEM);
	CHECK_HAS(error.text, "lower max_memories or max_memory_bytes");
	memset(&inject, 0, sizeof(inject));
	fl_context_destroy(context);
}

/* A thread of the kernel holds a page while the file is sealed. */
static void a_seal_that_is_busy(void)
{
	struct fl_context *context = conform_context();
	const struct fl_segment segment = { 3, "abc", 3 };
	struct fl_image *image;
	bool was_busy = false;
	int err;

	for (uint64_t nth = 1;; nth++) {
		memset(&inject, 0, sizeof(inject));
		inject.fail_at = nth;
		inject.instead = EBUSY;
		inject.is_armed = true;
		err = fl_image_from_segments(context, WPAGE, &segment, 1,
					     &image, NULL);
		inject.is_armed = false;
		if (!err)
			fl_image_release(image);
		if (!inject.failed)
			break;
		if (!strcmp(inject.first_failed, "fcntl") ||
		    !strcmp(inject.first_failed, "fcntl64")) {
			was_busy = true;
			CHECK_EQ(err, 0);
		}
	}
	CHECK_EQ(err, 0);
	CHECK(was_busy || strcmp(fl_context_backend(context), "linux"));
	memset(&inject, 0, sizeof(inject));
	fl_context_destroy(context);
}

static const struct test_case cases[] = {
	TEST_CASE(one_call_fails),
	TEST_CASE(one_call_says_something_else),
	TEST_CASE(all_calls_fail_from_then_on),
	TEST_CASE(warm_slot_is_cheap),
	TEST_CASE(a_reservation_too_large_for_an_emulator),
	TEST_CASE(a_seal_that_is_busy),
};

CONFORM_MAIN(cases)
