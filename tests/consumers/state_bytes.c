/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * state_bytes.c - tests of fl_wasm2c_encode() and fl_wasm2c_decode(), with the
 * module modules/state.wat.
 *
 * An instance is used until everything in it that can change has changed; its
 * state goes into another instance, in this process or another one, compiled
 * by the other compiler too; both then answer alike, and give the same bytes.
 * Then bytes are cut and changed, and references that have no index refused.
 * Last, instances are captured with their memories, and become clones.
 *
 * With the argument "encode" the program writes a used instance's state to
 * standard output: the other process. With "snapshot" and a path it writes the
 * snapshot of a used instance that has no host references, for state_baked.c.
 */
#include "tests/kit/child.h"
#include "tests/kit/random.h"
#include "tests/kit/test.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "file.h"
#include "rt_threadlocal.h"
#include "state_guest.h"
#include "traps.h"
#include "state_used.h"

#define CHANGES 100000

static const struct fl_wasm2c_layout *const layout = &Z_state_layout;

/* ---------------------------------------------------------- host references */

static int hosts[4];

static int encode_host(void *user, wasm_rt_externref_t reference,
		       uint64_t *number)
{
	for (int i = 0; i < 4; i++) {
		if (reference == &hosts[i]) {
			*number = (uint64_t)i + 100;
			return 0;
		}
	}
	(void)user;
	return -EBUSY;
}

static int decode_host(void *user, uint64_t number,
		       wasm_rt_externref_t *reference)
{
	(void)user;
	if (number - 100 >= 4)
		return -EPERM;
	*reference = &hosts[number - 100];
	return 0;
}

static const struct fl_wasm2c_codec codec = {
	.encode = encode_host,
	.decode = decode_host,
};

/* -------------------------------------------------------------- an instance */

static void use(struct guest *guest)
{
	used_make(guest, hosts);
}

static void check_used(struct guest *guest, uint32_t base)
{
	used_check(guest, base, hosts);
	CHECK(layout->is_dropped(&guest->instance, 0));
	CHECK(!layout->is_dropped(&guest->instance, 1));
}

struct state {
	void *bytes;
	uint64_t length;
};

static struct state encode(const struct guest *guest)
{
	struct state state = { NULL, 0 };
	struct fl_error error = { .text = "" };

	if (!MUST_EQ(fl_wasm2c_encode(layout, &guest->instance, &codec,
				      &state.bytes, &state.length, &error),
		     0))
		test_note("%s", error.text);
	return state;
}

static int decode(const struct state *state, struct guest *guest,
		  struct fl_error *error)
{
	return fl_wasm2c_decode(layout, &guest->instance, &codec, state->bytes,
				state->length, error);
}

static void decode_must(const struct state *state, struct guest *guest)
{
	struct fl_error error = { .text = "" };

	if (!MUST_EQ(decode(state, guest, &error), 0))
		test_note("%s", error.text);
}

static void check_state(const struct guest *guest, const struct state *expected)
{
	struct state state = encode(guest);

	CHECK_EQ(state.length, expected->length);
	CHECK(state.length == expected->length &&
	      !memcmp(state.bytes, expected->bytes, state.length));
	free(state.bytes);
}

/* ------------------------------------------------------------- there and back */

static void state_goes_to_another_instance(void)
{
	struct guest first, second, third;
	struct state state;

	guest_open(&first, 1000);
	guest_open(&second, 2000);
	use(&first);
	check_used(&first, 1000);
	state = encode(&first);
	decode_must(&state, &second);
	/* What belongs to the first must not be needed. */
	guest_close(&first);
	check_used(&second, 2000);
	check_state(&second, &state);
	guest_open(&third, 3000);
	decode_must(&state, &third);
	check_used(&third, 3000);
	guest_close(&third);
	guest_close(&second);
	free(state.bytes);
}

/* An instance that was used goes back to its beginning, but for the sizes of
 * tables. */
static void state_of_a_new_instance(void)
{
	struct guest first, second;
	struct state state;

	guest_open(&first, 1);
	guest_open(&second, 2);
	state = encode(&first);
	decode_must(&state, &second);
	check_state(&second, &state);
	Z_stateZ_set_numbers(&second.instance, 1, 2, 3, 4);
	Z_stateZ_put(&second.instance, 0, 0);
	Z_stateZ_put(&second.instance, 9, 1);
	Z_stateZ_put_host(&second.instance, 2, &hosts[0]);
	Z_stateZ_set_value(&second.instance, &hosts[0]);
	Z_stateZ_set_function(&second.instance, 0);
	Z_stateZ_drop_elem(&second.instance);
	decode_must(&state, &second);
	check_state(&second, &state);
	used_check_call(&second, 0, 7);
	used_check_null(&second, 9);
	guest_close(&second);
	guest_close(&first);
	free(state.bytes);
}

/* What code cannot change is neither in the bytes nor written. */
static void constant_things_stay(void)
{
	struct guest first, second;
	struct state state;

	guest_open(&first, 1);
	guest_open(&second, 2);
	state = encode(&first);
	second.instance.w2c_g6 = 90;
	second.instance.w2c_g7 = 91;
	second.instance.w2c_T3.data[0].func = NULL;
	second.env.counter = 92;
	decode_must(&state, &second);
	CHECK_EQ(second.instance.w2c_g6, 90);
	CHECK_EQ(second.instance.w2c_g7, 91);
	CHECK(!second.instance.w2c_T3.data[0].func);
	CHECK_EQ(second.env.counter, 92);
	check_state(&second, &state);
	guest_close(&second);
	guest_close(&first);
	free(state.bytes);
}

/* ------------------------------------------------------------ other processes */

static int encode_to_stdout(void)
{
	struct state state = { NULL, 0 };
	struct guest guest;
	int failed;

	if (guest_init(true))
		return 1;
	guest_open(&guest, 4000);
	use(&guest);
	failed = fl_wasm2c_encode(layout, &guest.instance, &codec, &state.bytes,
				  &state.length, NULL);
	if (!failed)
		failed = fwrite(state.bytes, 1, state.length, stdout) !=
				 state.length ||
			 fflush(stdout);
	free(state.bytes);
	guest_close(&guest);
	rt_thread_exit();
	wasm_rt_free();
	return failed != 0;
}

/* The program beside this one; false if it was not built. */
static bool run_beside(const char *name, const char *output)
{
	char path[4096];
	ssize_t length = readlink("/proc/self/exe", path, sizeof(path) - 100);
	char *slash;

	MUST(length > 0);
	path[length] = '\0';
	slash = strrchr(path, '/');
	strcpy(slash + 1, name);
	if (access(path, X_OK))
		return false;
	CHECK_EQ(test_run(output,
			  (const char *const[]){ path, "encode", NULL }),
		 0);
	return true;
}

static void state_of_another_process(void)
{
	static const char *const programs[] = { "state_bytes",
						"state_bytes_clang" };
	char output[] = "/tmp/state-bytes-XXXXXX";
	int fd = mkstemp(output);
	unsigned int runs = 0;

	MUST(fd >= 0);
	close(fd);
	for (size_t i = 0; i < TEST_ARRAY_SIZE(programs); i++) {
		struct guest guest;
		struct state state;

		if (!run_beside(programs[i], output))
			continue;
		runs++;
		state.bytes = file_read(output, &state.length);
		MUST(state.bytes != NULL);
		guest_open(&guest, 5000);
		decode_must(&state, &guest);
		check_used(&guest, 5000);
		check_state(&guest, &state);
		guest_close(&guest);
		free(state.bytes);
	}
	unlink(output);
	test_note("states of %u programs", runs);
	CHECK(runs >= 1);
}

/* ------------------------------------------------------------------ refusals */

static void check_refused(const struct guest *guest,
			  const struct fl_wasm2c_codec *with, int err,
			  const char *says)
{
	struct fl_error error = { .text = "" };
	struct state state = { &error, 77 };

	CHECK_EQ(fl_wasm2c_encode(layout, &guest->instance, with, &state.bytes,
				  &state.length, &error),
		 err);
	CHECK_EQ(error.code, err);
	CHECK_HAS(error.text, says);
	CHECK(state.bytes == &error);
	CHECK_EQ(state.length, 77);
}

static void references_without_an_index_are_refused(void)
{
	struct guest guest, other;
	wasm_rt_funcref_t *functions;

	guest_open(&guest, 1);
	guest_open(&other, 2);
	functions = guest.instance.w2c_functions.data;
	functions[5] = other.instance.w2c_functions.data[0];
	check_refused(&guest, &codec, -ENOTSUP,
		      "table 1 holds at 5 a function of another instance");
	functions[5] = other.instance.w2c_functions.data[1];
	check_refused(&guest, &codec, -ENOTSUP, "of another instance");
	functions[5] = functions[0];
	functions[5].func_type++;
	check_refused(&guest, &codec, -ENOTSUP,
		      "table 1 holds at 5 a function with another type");
	functions[5].func = (wasm_rt_function_ptr_t)guest_close;
	check_refused(&guest, &codec, -ENOTSUP,
		      "a function that the layout does not have");
	Z_stateZ_put(&guest.instance, 5, 0);
	guest.instance.w2c_g9 = other.instance.w2c_functions.data[0];
	check_refused(&guest, &codec, -ENOTSUP,
		      "global 9 holds a function of another instance");
	Z_stateZ_set_function(&guest.instance, 0);
	Z_stateZ_put_host(&guest.instance, 3, &hosts[1]);
	check_refused(&guest, NULL, -ENOTSUP,
		      "table 2 holds at 3 a host reference");
	Z_stateZ_put_host(&guest.instance, 3, &guest);
	check_refused(&guest, &codec, -EBUSY, "table 2");
	Z_stateZ_put_host(&guest.instance, 3, NULL);
	Z_stateZ_set_value(&guest.instance, &hosts[1]);
	check_refused(&guest, NULL, -ENOTSUP, "global 11 holds a host");
	guest_close(&other);
	guest_close(&guest);
}

static void layout_of_another_version_is_refused(void)
{
	struct fl_wasm2c_layout newer = *layout;
	struct fl_error error = { .text = "" };
	struct guest guest;
	struct state state;

	newer.version++;
	guest_open(&guest, 1);
	CHECK_EQ(fl_wasm2c_encode(&newer, &guest.instance, &codec, &state.bytes,
				  &state.length, &error),
		 -EINVAL);
	CHECK_HAS(error.text, "write the companion again");
	CHECK_EQ(fl_wasm2c_decode(&newer, &guest.instance, &codec, "", 0, NULL),
		 -EINVAL);
	guest_close(&guest);
}

static void decoding_needs_the_codec(void)
{
	struct guest guest, other;
	struct state state, before;
	struct fl_error error = { .text = "" };

	guest_open(&guest, 1);
	guest_open(&other, 2);
	use(&guest);
	state = encode(&guest);
	before = encode(&other);
	CHECK_EQ(fl_wasm2c_decode(layout, &other.instance, NULL, state.bytes,
				  state.length, &error),
		 -ENOTSUP);
	CHECK_HAS(error.text, "codec");
	check_state(&other, &before);
	free(before.bytes);
	free(state.bytes);
	guest_close(&other);
	guest_close(&guest);
}

/* -------------------------------------------------------------- hostile bytes */

/* Bytes against an instance. The instance is a new one after bytes that were
 * taken. */
struct trial {
	struct guest guest;
	struct state before;
	uint32_t taken;
};

static void trial_open(struct trial *trial)
{
	guest_open(&trial->guest, 1);
	trial->before = encode(&trial->guest);
}

static void trial_close(struct trial *trial)
{
	free(trial->before.bytes);
	guest_close(&trial->guest);
}

/* Refused without a trace, or a state that an instance may have. */
static int try_bytes(struct trial *trial, const struct state *state)
{
	struct fl_error error = { .text = "" };
	int err = decode(state, &trial->guest, &error);

	if (err == -ENOEXEC) {
		check_state(&trial->guest, &trial->before);
		CHECK(error.byte_off <= state->length && error.text[0]);
		return err;
	}
	if (!err) {
		struct state after = encode(&trial->guest);

		CHECK_EQ(after.length, state->length);
		free(after.bytes);
		trial->taken++;
	} else {
		/* The codec's error. */
		CHECK_EQ(err, -EPERM);
	}
	trial_close(trial);
	trial_open(trial);
	return err;
}

static void cut_bytes_are_refused(void)
{
	struct trial trial = { .taken = 0 };
	struct guest guest;
	struct state state;

	guest_open(&guest, 1);
	use(&guest);
	state = encode(&guest);
	trial_open(&trial);
	for (uint64_t length = 0; length < state.length; length++) {
		/* The bytes end where the allocation ends. */
		struct state cut = { malloc(length ? length : 1), length };

		MUST(cut.bytes != NULL);
		memcpy(cut.bytes, state.bytes, length);
		CHECK_EQ(try_bytes(&trial, &cut), -ENOEXEC);
		free(cut.bytes);
	}
	state.bytes = realloc(state.bytes, state.length + 1);
	MUST(state.bytes != NULL);
	((uint8_t *)state.bytes)[state.length++] = 0;
	CHECK_EQ(try_bytes(&trial, &state), -ENOEXEC);
	CHECK_EQ(trial.taken, 0);
	trial_close(&trial);
	free(state.bytes);
	guest_close(&guest);
}

static void changed_bytes_are_refused_or_a_state(void)
{
	struct trial trial = { .taken = 0 };
	struct test_random random;
	struct guest guest;
	struct state state;
	uint8_t *bytes;

	guest_open(&guest, 1);
	use(&guest);
	state = encode(&guest);
	bytes = state.bytes;
	trial_open(&trial);
	test_random_init(&random, 23);
	for (uint32_t i = 0; i < CHANGES; i++) {
		uint64_t off = test_random_below(&random, state.length);
		uint8_t old = bytes[off];

		bytes[off] = (uint8_t)test_random_below(&random, 256);
		if (test_random_below(&random, 2))
			bytes[off] =
				(uint8_t)(old + test_random_below(&random, 3) -
					  1);
		try_bytes(&trial, &state);
		bytes[off] = old;
	}
	test_note("%u of %u changed states are states", trial.taken, CHANGES);
	CHECK(trial.taken > 0);
	trial_close(&trial);
	free(state.bytes);
	guest_close(&guest);
}

/* ------------------------------------------------------------- in a pool */

static struct fl_module *load(struct fl_context *context)
{
	struct fl_module_config config = FL_MODULE_CONFIG_INIT;
	struct fl_module *module = NULL;
	void *bytes =
		file_read(MODULES_DIR "/state.wasm", &config.length_bytes);

	MUST(bytes != NULL);
	config.bytes = bytes;
	MUST_EQ(fl_module_load(context, &config, &module, NULL), 0);
	free(bytes);
	return module;
}

/* Tables of a pool with room for so many elements. */
static void decode_in_pool(const struct state *state, uint64_t elements,
			   int expected)
{
	struct fl_pool_config config = FL_POOL_CONFIG_INIT;
	struct fl_context *context;
	struct fl_module *module;
	struct fl_pool *pool;
	struct fl_wasm2c_batch batch;
	struct fl_error error = { .text = "" };
	struct guest guest;

	config.max_instances = 0;
	config.max_memories = 2;
	config.max_tables = 4;
	config.max_table_elements = elements;
	config.table_element_bytes = sizeof(wasm_rt_funcref_t);
	MUST_EQ(fl_context_create(NULL, &context, NULL), 0);
	MUST_EQ(fl_pool_create(context, &config, &pool, &error), 0);
	module = load(context);
	/* Twice: the second in slots that were used. */
	for (int i = 0; i < 2; i++) {
		guest_open_imports(&guest, 6000);
		MUST_EQ(fl_wasm2c_begin(&batch, pool, module, &guest.instance,
					sizeof(guest.instance), 0, &error),
			0);
		guest_instantiate(&guest);
		fl_wasm2c_end(&batch);
		CHECK_EQ(decode(state, &guest, &error), expected);
		if (!expected) {
			check_used(&guest, 6000);
			check_state(&guest, state);
		}
		guest_close(&guest);
	}
	fl_module_release(module);
	CHECK_EQ(fl_pool_destroy(pool), 0);
	fl_context_destroy(context);
}

static void tables_of_a_pool_grow_in_place(void)
{
	struct guest guest;
	struct state state;

	guest_open(&guest, 1);
	use(&guest);
	state = encode(&guest);
	decode_in_pool(&state, 13, 0);
	decode_in_pool(&state, 12, -ENOMEM);
	free(state.bytes);
	guest_close(&guest);
}

/* ------------------------------------------------------------------- clones */

struct clones {
	struct fl_context *context;
	struct fl_module *module;
	struct fl_pool *pool;
	struct fl_snapshot *snapshot;
	struct fl_wasm2c_codec codec;
	uint8_t ids[2][16];
	unsigned int restored;
	int answer; /* of restored */
};

static int clone_restored(void *user, void *instance,
			  const struct fl_restored *how)
{
	struct clones *clones = user;

	CHECK_EQ(((Z_state_instance_t *)instance)->w2c_functions.size, 13);
	CHECK_EQ(how->cause, FL_RESTORE_CLONED);
	memcpy(clones->ids[clones->restored++ % 2], how->generation_id, 16);
	return clones->answer;
}

static void clones_open(struct clones *clones)
{
	struct fl_pool_config config = FL_POOL_CONFIG_INIT;
	struct fl_error error = { .text = "" };

	*clones = (struct clones){ .codec = codec };
	clones->codec.restored = clone_restored;
	clones->codec.user = clones;
	/* As many as two instances have: a clone gives before it takes. */
	config.max_instances = 0;
	config.max_memories = 6;
	MUST_EQ(fl_context_create(NULL, &clones->context, NULL), 0);
	MUST_EQ(fl_pool_create(clones->context, &config, &clones->pool, &error),
		0);
	clones->module = load(clones->context);
}

static void clones_close(struct clones *clones)
{
	fl_snapshot_release(clones->snapshot);
	fl_module_release(clones->module);
	CHECK_EQ(fl_pool_destroy(clones->pool), 0);
	fl_context_destroy(clones->context);
}

/* All of its memories are the pool's, the imported one too. */
static void open_in_pool(struct clones *clones, struct guest *guest,
			 uint32_t base)
{
	struct fl_memory_config config = FL_MEMORY_CONFIG_INIT;
	struct fl_error error = { .text = "" };
	struct fl_wasm2c_batch batch;

	guest_open_imports(guest, base);
	wasm_rt_free_memory(&guest->env.memory);
	config.initial_bytes = config.max_bytes = 65536;
	MUST_EQ(fl_wasm2c_acquire(clones->pool, &config, &guest->env.memory,
				  &error),
		0);
	MUST_EQ(fl_wasm2c_begin(&batch, clones->pool, clones->module,
				&guest->instance, sizeof(guest->instance), 0,
				&error),
		0);
	guest_instantiate(guest);
	fl_wasm2c_end(&batch);
}

static wasm_rt_memory_t *second_of(struct guest *guest)
{
	return Z_stateZ_secondZ20memory(&guest->instance);
}

/* An instance that was used, captured, and used up. */
static void capture_used(struct clones *clones)
{
	struct fl_error error = { .text = "" };
	struct guest guest;

	open_in_pool(clones, &guest, 1);
	use(&guest);
	memcpy(guest.env.memory.data + 100, "imported", 8);
	memcpy(second_of(&guest)->data + 70000, "second", 6);
	if (fl_wasm2c_snapshot(layout, &guest.instance, clones->module,
			       &clones->codec, NULL, &clones->snapshot, &error))
		printf("  %s\n", error.text);
	MUST(clones->snapshot != NULL);
	memset(second_of(&guest)->data, 0x5a, 65536);
	guest_close(&guest);
}

static void check_memories(struct guest *guest)
{
	CHECK_EQ(guest->env.memory.size, 65536);
	CHECK(!memcmp(guest->env.memory.data + 100, "imported", 8));
	CHECK_EQ(guest->env.memory.data[99], 0);
	CHECK_EQ(second_of(guest)->pages, 2);
	CHECK(!memcmp(second_of(guest)->data + 70000, "second", 6));
	CHECK_EQ(second_of(guest)->data[0], 0);
}

static void play_clones(struct clones *clones, struct guest *guest,
			uint32_t base)
{
	struct fl_error error = { .text = "" };
	struct fl_wasm2c_clones made;

	MUST_EQ(fl_wasm2c_clones_init(&made, clones->pool, clones->snapshot,
				      layout, &clones->codec, &error),
		0);
	for (int i = 0; i < 4; i++) {
		guest->env.counter = 20;
		MUST_EQ(fl_wasm2c_clone(&made, &guest->instance, 0, &error), 0);
		check_memories(guest);
		check_used(guest, base);
		CHECK(memcmp(clones->ids[0], clones->ids[1], 16) != 0);
		memset(guest->env.memory.data, 0xaa, 65536);
		memset(second_of(guest)->data, 0xbb, 131072);
		Z_stateZ_set_numbers(&guest->instance, 1, 2, 3, 4);
		if (i % 2)
			fl_wasm2c_release(layout, &guest->instance);
	}
	/* What the runtime answers is the call's error, and nothing is held. */
	clones->answer = -EBUSY;
	CHECK_EQ(fl_wasm2c_clone(&made, &guest->instance, 0, &error), -EBUSY);
	CHECK_EQ(second_of(guest)->size, 0);
	clones->answer = 0;
	MUST_EQ(fl_wasm2c_clone(&made, &guest->instance, 0, &error), 0);
	check_memories(guest);
}

/* The instance may have been instantiated in the pool, or outside of it. */
static void clones_are_as_the_captured_one(void)
{
	struct clones clones;
	struct guest guest;

	clones_open(&clones);
	capture_used(&clones);
	open_in_pool(&clones, &guest, 300);
	play_clones(&clones, &guest, 300);
	guest_close(&guest);
	guest_open(&guest, 4000);
	play_clones(&clones, &guest, 4000);
	guest_close(&guest);
	clones_close(&clones);
}

static void clones_of_a_file(void)
{
	struct fl_snapshot_binding binding = FL_SNAPSHOT_BINDING_INIT;
	char path[] = "/tmp/fl-state-XXXXXX";
	struct fl_error error = { .text = "" };
	struct clones clones;
	struct guest guest;
	int fd = mkstemp(path);

	MUST(fd >= 0);
	close(fd);
	clones_open(&clones);
	capture_used(&clones);
	MUST_EQ(fl_snapshot_write(clones.snapshot, path, &error), 0);
	fl_snapshot_release(clones.snapshot);
	clones.snapshot = NULL;
	binding.modules = &clones.module;
	binding.module_count = 1;
	binding.encoding = FL_WASM2C_ENCODING;
	MUST_EQ(fl_snapshot_open(clones.context, path, -1, 0, &binding,
				 &clones.snapshot, &error),
		0);
	CHECK_EQ(unlink(path), 0);
	guest_open(&guest, 50);
	play_clones(&clones, &guest, 50);
	guest_close(&guest);
	clones_close(&clones);
}

static void what_is_no_snapshot_of_ours_is_refused(void)
{
	struct fl_snapshot_parts parts = FL_SNAPSHOT_PARTS_INIT;
	struct fl_snapshot *none = NULL;
	struct fl_error error = { .text = "" };
	struct fl_wasm2c_clones made;
	struct clones clones;
	struct guest guest;

	clones_open(&clones);
	guest_open(&guest, 1);
	/* Its memories are wasm-rt's. */
	CHECK_EQ(fl_wasm2c_snapshot(layout, &guest.instance, clones.module,
				    &clones.codec, NULL, &none, &error),
		 -ENOTSUP);
	CHECK(strstr(error.text, "no pool's") != NULL);
	parts.module = clones.module;
	MUST_EQ(fl_snapshot_create(&parts, &clones.snapshot, &error), 0);
	CHECK_EQ(fl_wasm2c_clones_init(&made, clones.pool, clones.snapshot,
				       layout, NULL, &error),
		 -EINVAL);
	guest_close(&guest);
	clones_close(&clones);
}

/* ------------------------------------------------------------- for state_baked */

static int write_snapshot(const char *path)
{
	struct fl_error error = { .text = "" };
	struct clones clones;
	struct guest guest;
	int err;

	if (guest_init(false))
		return 1;
	clones_open(&clones);
	open_in_pool(&clones, &guest, 1000);
	used_make(&guest, NULL);
	memcpy(second_of(&guest)->data + 70000, "second", 6);
	err = fl_wasm2c_snapshot(layout, &guest.instance, clones.module, NULL,
				 NULL, &clones.snapshot, &error);
	if (!err)
		err = fl_snapshot_write(clones.snapshot, path, &error);
	if (err)
		fprintf(stderr, "%s: %s\n", path, error.text);
	guest_close(&guest);
	clones_close(&clones);
	return err != 0;
}

static const struct test_case cases[] = {
	TEST_CASE(state_goes_to_another_instance),
	TEST_CASE(state_of_a_new_instance),
	TEST_CASE(constant_things_stay),
	TEST_CASE(state_of_another_process),
	TEST_CASE(references_without_an_index_are_refused),
	TEST_CASE(layout_of_another_version_is_refused),
	TEST_CASE(decoding_needs_the_codec),
	TEST_CASE(cut_bytes_are_refused),
	TEST_CASE(changed_bytes_are_refused_or_a_state),
	TEST_CASE(tables_of_a_pool_grow_in_place),
	TEST_CASE(clones_are_as_the_captured_one),
	TEST_CASE(clones_of_a_file),
	TEST_CASE(what_is_no_snapshot_of_ours_is_refused),
};

int main(int argc, char **argv)
{
	/* No trap ends this, so every build can do it. */
	if (argc == 3 && !strcmp(argv[1], "snapshot"))
		return write_snapshot(argv[2]);
	if (!traps_are_followed())
		return 77;
	if (argc == 2 && !strcmp(argv[1], "encode"))
		return encode_to_stdout();
	if (guest_init(false))
		return 1;
	return test_main(argc, argv, cases, TEST_ARRAY_SIZE(cases), NULL, 0);
}
