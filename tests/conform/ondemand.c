/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * ondemand.c - FL_ALLOCATION_ON_DEMAND: the same answers as pooling, no
 * limits by count, nothing left after a release. Written from the header.
 *
 * "The same" is looked at side by side: a script runs once in a pool of each
 * allocation and writes down every answer, content and trap; both tapes must be
 * equal, number for number.
 */
#define _GNU_SOURCE
#include "tests/kit/child.h"
#include "tests/kit/clock.h"
#include "tests/kit/conform_module.h"
#include "tests/kit/host.h"
#include "tests/kit/procfs.h"
#include "tests/kit/random.h"
#include "tests/kit/trap.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>

/* --------------------------------------------------------------------- tape */

struct tape_entry {
	int line;
	uint64_t value;
};

struct tape {
	struct conform conform;
	size_t count;
	struct tape_entry entries[8192];
};

#define PUT(tape, value) tape_put((tape), __LINE__, (uint64_t)(value))

static void tape_put(struct tape *tape, int line, uint64_t value)
{
	MUST(tape->count < TEST_ARRAY_SIZE(tape->entries));
	tape->entries[tape->count].line = line;
	tape->entries[tape->count].value = value;
	tape->count++;
}

/* FNV-1a, eight bytes at a time. */
static uint64_t hash(const void *bytes, uint64_t len)
{
	const uint8_t *at = bytes;
	uint64_t h = 14695981039346656037u;

	for (uint64_t off = 0; off < len; off += 8) {
		uint64_t left = len - off, word = 0;

		memcpy(&word, at + off, left < 8 ? left : 8);
		h = (h ^ word) * 1099511628211u;
		h ^= h >> 29;
	}
	return h;
}

/* By memcmp(), which the thread sanitizer sees as one access. */
static bool is_zero(const void *bytes, uint64_t len)
{
	const uint8_t *at = bytes;

	return !len || (!at[0] && !memcmp(at, at + 1, len - 1));
}

static void tape_compare(const struct tape *pooling, const struct tape *apart)
{
	CHECK_EQ(apart->count, pooling->count);
	CHECK(pooling->count > 0);
	for (size_t i = 0; i < pooling->count && i < apart->count; i++) {
		const struct tape_entry *want = &pooling->entries[i];
		const struct tape_entry *got = &apart->entries[i];

		if (CHECK_EQ(got->line, want->line) &&
		    CHECK_EQ(got->value, want->value))
			continue;
		test_note("answer %zu, of line %d", i, want->line);
		break;
	}
}

/* What both worlds run in. */
static void script_config(struct fl_pool_config *config)
{
	conform_pool_config(config);
	config->max_tables = 4;
	config->max_table_elements = 2000;
	config->table_element_bytes = 8;
	config->max_stacks = 2;
	config->stack_bytes = 16 * KIB;
	config->instance_bytes = 5000;
	config->instance_alignment_bytes = 64;
}

static void side_by_side(void (*script)(struct tape *tape),
			 const struct fl_pool_config *config)
{
	struct tape *tapes = calloc(2, sizeof(*tapes));

	MUST(tapes != NULL);
	for (int i = 0; i < 2 && !test_has_failed(); i++) {
		struct fl_pool_config mine = *config;

		mine.allocation = i ? FL_ALLOCATION_ON_DEMAND :
				      FL_ALLOCATION_POOLING;
		conform_open(&tapes[i].conform, &mine);
		script(&tapes[i]);
		conform_close(&tapes[i].conform);
	}
	if (!test_has_failed())
		tape_compare(&tapes[0], &tapes[1]);
	free(tapes);
}

static void same(void (*script)(struct tape *tape))
{
	struct fl_pool_config config;

	script_config(&config);
	side_by_side(script, &config);
}

/* ----------------------------------------------------------------- memories */

static uint8_t *addr_at(const void *from, int64_t off)
{
	return (uint8_t *)((uintptr_t)from + (uintptr_t)off);
}

/* Signals of a read and a write at each edge that is the same everywhere. */
static void put_edges(struct tape *tape, const struct fl_memory *memory)
{
	uint64_t len = fl_memory_length(memory);
	int64_t end = (int64_t)conform_round_up(len, conform_hpage());
	const int64_t offs[] = { 0,	     (int64_t)len - 1,
				 end - 1,    end,
				 end + 4095, 4 * MIB - 1,
				 4 * MIB,    4 * MIB + 64 * KIB - 1 };

	PUT(tape, len);
	for (size_t i = 0; i < TEST_ARRAY_SIZE(offs); i++) {
		struct fl_fault fault;
		uint8_t *addr = addr_at(memory->base, offs[i]);

		if (offs[i] < 0)
			continue;
		PUT(tape, test_read_signal(addr));
		PUT(tape, test_write_signal(addr));
		PUT(tape, fl_fault_lookup(tape->conform.context, addr, &fault));
		PUT(tape, fault.kind);
		PUT(tape, fault.is_trap);
		PUT(tape, fault.trap);
		PUT(tape, fault.offset_bytes);
		PUT(tape, fault.memory == memory);
	}
}

static void put_memory(struct tape *tape, const struct fl_memory *memory)
{
	put_edges(tape, memory);
	PUT(tape, hash(memory->base, fl_memory_length(memory)));
	PUT(tape, fl_memory_find(tape->conform.pool, memory->base) == memory);
	PUT(tape, fl_memory_find(tape->conform.pool, memory->base + 1) != NULL);
}

/* Zeroes, an image, one with a hole, one larger than its data. */
static void images_script(struct tape *tape)
{
	uint8_t data[70000];
	struct fl_segment segments[] = {
		{ 100, "first", 5 },
		{ 500000, data, sizeof(data) },
		{ 102, "SECOND", 6 },
	};
	struct fl_image *images[3] = { NULL };
	uint64_t old;

	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * 7 + 1);
	images[1] = conform_image(&tape->conform, 20 * WPAGE, segments, 3);
	images[2] = conform_image_of(&tape->conform, 3 * WPAGE, 0, data, 9000);
	for (int i = 0; i < 12; i++) {
		struct fl_memory *memory = conform_take(
			&tape->conform, images[i % 3], i % 3 ? 0 : 2 * WPAGE);

		put_memory(tape, memory);
		memset(memory->base + 90, i + 1, 200000 % (2 * WPAGE));
		PUT(tape, fl_memory_grow(memory, 1 + (uint64_t)i % 4, &old));
		PUT(tape, old);
		put_memory(tape, memory);
		memory->base[fl_memory_length(memory) - 1] = 1;
		PUT(tape, fl_memory_grow(memory, 0, &old));
		PUT(tape, old);
		PUT(tape, fl_memory_grow(memory, 65, NULL));
		PUT(tape, fl_memory_grow(memory, UINT64_MAX, NULL));
		put_memory(tape, memory);
		PUT(tape, fl_memory_release(memory));
	}
	fl_image_release(images[1]);
	fl_image_release(images[2]);
}

static void same_images_and_growth(void)
{
	same(images_script);
}

static void same_in_accessible_pools(void)
{
	struct fl_pool_config config;

	script_config(&config);
	config.bounds = FL_BOUNDS_ACCESSIBLE;
	side_by_side(images_script, &config);
}

static int acquire(struct tape *tape, struct fl_image *image,
		   uint64_t initial_bytes, uint64_t max_bytes,
		   uint64_t page_bytes)
{
	struct fl_error error = { .code = 0 };
	struct fl_memory *memory = NULL;
	struct fl_memory_config config;
	int err;

	fl_memory_config_init(&config);
	config.image = image;
	config.initial_bytes = initial_bytes;
	config.max_bytes = max_bytes;
	config.page_bytes = page_bytes;
	err = fl_memory_acquire(tape->conform.pool, &config, &memory, &error);
	PUT(tape, err);
	PUT(tape, error.code);
	PUT(tape, error.trap);
	PUT(tape, memory != NULL);
	if (memory) {
		PUT(tape, fl_memory_length(memory));
		PUT(tape, fl_memory_grow(memory, 1, NULL));
		PUT(tape, fl_memory_length(memory));
		PUT(tape, fl_memory_release(memory));
	}
	return err;
}

static void errors_script(struct tape *tape)
{
	struct fl_image *trapped, *fine;
	struct fl_memory *memory;

	trapped = conform_image_of(&tape->conform, WPAGE, WPAGE - 2, "abc", 3);
	fine = conform_image_of(&tape->conform, 2 * WPAGE, WPAGE, "abc", 3);
	CHECK_EQ(acquire(tape, trapped, 0, UINT64_MAX, WPAGE), -EFAULT);
	acquire(tape, fine, WPAGE, UINT64_MAX, WPAGE);
	acquire(tape, fine, WPAGE + 2, UINT64_MAX, WPAGE);
	acquire(tape, fine, 0, WPAGE, WPAGE);
	acquire(tape, NULL, 2 * WPAGE, WPAGE, WPAGE);
	acquire(tape, NULL, 100, UINT64_MAX, WPAGE);
	acquire(tape, NULL, 100, 200, 1);
	acquire(tape, NULL, 100, 100, 1);
	acquire(tape, NULL, 0, 0, WPAGE);
	acquire(tape, NULL, 0, UINT64_MAX, 3);
	acquire(tape, NULL, 0, UINT64_MAX, 0);
	acquire(tape, NULL, 4 * MIB, UINT64_MAX, WPAGE);
	acquire(tape, NULL, 4 * MIB - WPAGE, UINT64_MAX, WPAGE);
	memory = conform_take(&tape->conform, fine, 0);
	PUT(tape, fl_memory_prefault(memory, 5, 2 * WPAGE - 5));
	PUT(tape, fl_memory_prefault(memory, 5, 2 * WPAGE));
	PUT(tape, fl_memory_prefault(memory, UINT64_MAX, 2));
	PUT(tape, fl_memory_lend(memory));
	PUT(tape, fl_memory_fill(memory, 10, 9, 1000));
	PUT(tape, fl_memory_fill(memory, 10, 9, 2 * WPAGE));
	PUT(tape, fl_memory_copy(memory, 12, memory, 0, 100));
	PUT(tape, fl_memory_copy(memory, 2 * WPAGE, memory, 0, 1));
	PUT(tape, hash(memory->base, 2 * WPAGE));
	PUT(tape, fl_memory_release(memory));
	PUT(tape, conform_info(&tape->conform).live_memories);
	fl_image_release(trapped);
	fl_image_release(fine);
}

static void same_errors(void)
{
	same(errors_script);
}

static void layout_script(struct tape *tape)
{
	struct fl_memory *memories[4];

	for (int i = 0; i < 4; i++) {
		struct fl_memory *memory =
			conform_take(&tape->conform, NULL, WPAGE);

		memories[i] = memory;
		PUT(tape, (uintptr_t)memory->base % (256 * KIB));
		/* The prefix, and the guard before it. */
		PUT(tape, conform_first_data(memory->base - 100, 100));
		memset(memory->base - 100, 1, 100);
		PUT(tape, test_open(memory->base - 1));
		PUT(tape, test_open(memory->base - 100));
		for (int64_t off = 8 * KIB; off < 128 * (int64_t)KIB;
		     off += 4096)
			PUT(tape, test_traps(addr_at(memory->base, -off)));
		for (uint64_t off = WPAGE; off < 5 * MIB; off += 128 * KIB)
			PUT(tape, test_traps(memory->base + off));
	}
	for (int i = 0; i < 4; i++)
		PUT(tape, fl_memory_release(memories[i]));
}

static void same_guards_prefix_and_alignment(void)
{
	struct fl_pool_config config;

	script_config(&config);
	config.memory_alignment_bytes = 256 * KIB;
	config.guard_before_bytes = 128 * KIB;
	config.prefix_bytes = 100;
	config.guard_after_bytes = 1 * MIB;
	side_by_side(layout_script, &config);
	config.memory_stride_bytes = LARGE_STRIDE;
	side_by_side(layout_script, &config);
}

/* Whatever a 32-bit index and a 32-bit offset reach. */
static void reach_script(struct tape *tape)
{
	struct fl_memory *memory = conform_take(&tape->conform, NULL, WPAGE);

	for (uint64_t off = WPAGE; off < LARGE_STRIDE;
	     off += LARGE_STRIDE / 134) {
		struct fl_fault fault;

		PUT(tape, test_traps(memory->base + off));
		PUT(tape, fl_fault_lookup(tape->conform.context,
					  memory->base + off, &fault));
		PUT(tape, fault.kind);
		PUT(tape, fault.memory == memory);
	}
	PUT(tape, test_traps(memory->base + LARGE_STRIDE - 1));
	PUT(tape, fl_memory_release(memory));
}

static void same_reach(void)
{
	struct fl_pool_config config;

	script_config(&config);
	config.memory_stride_bytes = LARGE_STRIDE;
	config.max_memory_bytes = HALF_STRIDE;
	side_by_side(reach_script, &config);
}

/* A maximum of zero still traps wherever code without checks may go. */
static void same_reach_of_nothing(void)
{
	struct fl_pool_config config;

	script_config(&config);
	config.memory_stride_bytes = LARGE_STRIDE;
	config.max_memory_bytes = WPAGE;
	config.guard_after_bytes = 64 * KIB;
	side_by_side(reach_script, &config);
}

/* ---------------------------------------------------------------- instances */

#define TABLE_MIN 300

/* Two memories with data, the second without; a table; one passive segment. */
static struct fl_module *script_module(struct conform *conform)
{
	static const uint64_t mins[] = { 2, 1 };
	struct wasm w = { 0 }, tables = { 0 }, data = { 0 };

	wasm_header(&w);
	wasm_u(&tables, 1);
	wasm_bytes(&tables, 0x70);
	wasm_limits(&tables, 1, TABLE_MIN, 2 * TABLE_MIN);
	wasm_section(&w, WASM_TABLE, &tables);
	module_add_memories(&w, mins, 2);
	wasm_u(&data, 3);
	wasm_data_active(&data, 5, "active", 6);
	wasm_data_passive(&data, "passive", 7);
	module_add_data(&data, 1, 1000, "another");
	wasm_section(&w, WASM_DATA, &data);
	return module_load(conform, &w);
}

static void put_table(struct tape *tape, struct fl_table *table)
{
	uint64_t element = 77, old = 0;

	PUT(tape, table != NULL);
	if (!table)
		return;
	PUT(tape, fl_table_size(table));
	PUT(tape, hash(table->base, fl_table_size(table) * 8));
	PUT(tape, fl_table_get(table, 0, &element));
	PUT(tape, element);
	element = 0x1122334455667788;
	PUT(tape, fl_table_set(table, fl_table_size(table) - 1, &element));
	PUT(tape, fl_table_set(table, fl_table_size(table), &element));
	PUT(tape, fl_table_grow(table, 100, &element, &old));
	PUT(tape, old);
	PUT(tape, fl_table_grow(table, 2000, &element, &old));
	PUT(tape, fl_table_fill(table, 10, &element, 20));
	PUT(tape, fl_table_copy(table, 0, table, 9, 5));
	PUT(tape, fl_table_copy(table, 0, table, 9, 5000));
	PUT(tape, hash(table->base, fl_table_size(table) * 8));
	PUT(tape, fl_table_find(tape->conform.pool, table->base) == table);
}

static void put_instance(struct tape *tape, struct fl_instance *instance)
{
	uint8_t *structure = fl_instance_structure(instance);
	struct fl_memory *memory = fl_instance_memory(instance, 0);

	PUT(tape, (uintptr_t)structure % 64);
	PUT(tape, conform_first_data(structure, 5000));
	memset(structure, 0x3c, 5000);
	put_memory(tape, memory);
	put_memory(tape, fl_instance_memory(instance, 1));
	PUT(tape, fl_instance_memory(instance, 2) != NULL);
	PUT(tape, fl_memory_init(instance, 0, 1, 50, 1, 6));
	PUT(tape, fl_memory_init(instance, 0, 1, 50, 1, 7));
	PUT(tape, fl_memory_init(instance, 0, 0, 50, 0, 1));
	fl_data_drop(instance, 1);
	PUT(tape, fl_memory_init(instance, 0, 1, 50, 1, 1));
	PUT(tape, fl_memory_init(instance, 0, 1, 50, 0, 0));
	PUT(tape, fl_memory_release(memory));
	PUT(tape, fl_memory_grow(memory, 2, NULL));
	put_memory(tape, memory);
	put_table(tape, fl_instance_table(instance, 0));
	PUT(tape, fl_instance_table(instance, 1) != NULL);
	PUT(tape, fl_table_release(fl_instance_table(instance, 0)));
}

static void instances_script(struct tape *tape)
{
	struct fl_module *module = script_module(&tape->conform);
	struct fl_instance *instances[2];

	for (int round = 0; round < 4; round++) {
		for (int i = 0; i < 2; i++) {
			instances[i] = instance_start(&tape->conform, module);
			put_instance(tape, instances[i]);
		}
		PUT(tape, conform_info(&tape->conform).live_instances);
		PUT(tape, conform_info(&tape->conform).live_memories);
		PUT(tape, conform_info(&tape->conform).live_tables);
		for (int i = 0; i < 2; i++)
			PUT(tape, fl_instance_release(instances[i]));
	}
	PUT(tape, conform_info(&tape->conform).live_instances);
	PUT(tape, conform_info(&tape->conform).acquired_instances);
	PUT(tape, conform_info(&tape->conform).acquired_memories);
	PUT(tape, conform_info(&tape->conform).acquired_tables);
	PUT(tape, conform_info(&tape->conform).retired_memories);
	fl_module_release(module);
}

static void same_instances(void)
{
	struct fl_pool_config config;

	script_config(&config);
	config.max_memories_per_instance = 2;
	side_by_side(instances_script, &config);
}

/* Instantiation that fails: nothing is held, whatever failed. */
static void failing_script(struct tape *tape)
{
	static const uint32_t offs[] = { 0, WPAGE - 4, WPAGE - 3, UINT32_MAX };

	for (size_t i = 0; i < TEST_ARRAY_SIZE(offs); i++) {
		struct fl_module *module =
			module_simple(&tape->conform, 1, offs[i], "data");
		struct fl_instance *instance = NULL;
		struct fl_error error = { .code = 0 };

		PUT(tape, fl_pool_validate(tape->conform.pool, module, &error));
		PUT(tape, fl_instance_acquire(tape->conform.pool, module, NULL,
					      &instance, &error));
		PUT(tape, error.code);
		PUT(tape, error.trap);
		PUT(tape, instance != NULL);
		PUT(tape, conform_info(&tape->conform).live_memories);
		PUT(tape, conform_info(&tape->conform).live_instances);
		if (instance)
			PUT(tape, fl_instance_release(instance));
		fl_module_release(module);
	}
}

static void same_failures(void)
{
	same(failing_script);
}

static void tables_script(struct tape *tape)
{
	static const uint64_t null = 0xfedcba9876543210;
	uint64_t elements[50];
	struct fl_image *image;

	for (size_t i = 0; i < 50; i++)
		elements[i] = i * i + 1;
	image = conform_image_of(&tape->conform, sizeof(elements), 0, elements,
				 sizeof(elements));
	for (int i = 0; i < 9; i++) {
		struct fl_table_config config;
		struct fl_table *table = NULL;
		int err;

		fl_table_config_init(&config);
		config.initial_elements = i % 3 == 2 ? 50 : 400 * (i % 3u);
		config.image = i % 3 == 2 ? image : NULL;
		config.null = i & 1 ? &null : NULL;
		err = fl_table_acquire(tape->conform.pool, &config, &table,
				       NULL);
		PUT(tape, err);
		if (err)
			continue;
		if (fl_table_size(table))
			put_table(tape, table);
		PUT(tape, fl_table_grow(table, 30, NULL, NULL));
		PUT(tape, hash(table->base, fl_table_size(table) * 8));
		PUT(tape, fl_table_release(table));
	}
	fl_image_release(image);
}

static void same_tables(void)
{
	same(tables_script);
}

static void tunables_script(struct tape *tape)
{
	struct fl_tunables tunables;

	fl_tunables_init(&tunables);
	PUT(tape, fl_pool_adjust_tunables(tape->conform.pool, &tunables, NULL));
	PUT(tape, tunables.memory_reservation_bytes);
	PUT(tape, tunables.memory_guard_bytes);
	PUT(tape, tunables.memory_guard_before_bytes);
	PUT(tape, tunables.memory_may_move);
	PUT(tape, tunables.checks_bounds);
}

static void same_tunables(void)
{
	struct fl_pool_config config;

	script_config(&config);
	side_by_side(tunables_script, &config);
	config.memory_stride_bytes = LARGE_STRIDE;
	config.guard_before_bytes = 1 * MIB;
	side_by_side(tunables_script, &config);
	config.bounds = FL_BOUNDS_ACCESSIBLE;
	side_by_side(tunables_script, &config);
}

/* ------------------------------------------------------------- no two alike */

static void apart_config(struct fl_pool_config *config)
{
	script_config(config);
	config->allocation = FL_ALLOCATION_ON_DEMAND;
}

static void apart_open(struct conform *conform)
{
	struct fl_pool_config config;

	apart_config(&config);
	conform_open(conform, &config);
}

#define MANY (sizeof(void *) < 8 ? 300u : 1000u)

static void a_thousand_of_one(void)
{
	struct fl_memory **memories = calloc(MANY, sizeof(*memories));
	struct fl_pool_config config;
	struct conform conform;
	struct fl_image *image;

	apart_config(&config);
	config.max_memories = 1;
	config.max_instances = 1;
	conform_open(&conform, &config);
	image = conform_image_of(&conform, 2 * WPAGE, WPAGE, "image", 5);
	MUST(memories != NULL);
	for (uint32_t i = 0; i < MANY; i++) {
		memories[i] =
			conform_take(&conform, i % 2 ? image : NULL, 2 * WPAGE);
		memcpy(memories[i]->base, &i, sizeof(i));
	}
	CHECK_EQ(conform_info(&conform).live_memories, MANY);
	CHECK_EQ(conform_info(&conform).acquired_memories, MANY);
	CHECK_EQ(conform_info(&conform).refused_memories, 0);
	for (uint32_t i = 0; i < MANY; i++) {
		uint32_t idx = (i * 7 + 3) % MANY, is;

		memcpy(&is, memories[idx]->base, sizeof(is));
		CHECK_EQ(is, idx);
		CHECK_EQ(memories[idx]->base[WPAGE], idx % 2 ? 'i' : 0);
		CHECK(fl_memory_find(conform.pool, memories[idx]->base) ==
		      memories[idx]);
		conform_give(memories[idx]);
	}
	CHECK_EQ(conform_info(&conform).live_memories, 0);
	free(memories);
	fl_image_release(image);
	conform_close(&conform);
}

static void instances_beyond_the_counts(void)
{
	struct fl_instance *instances[50];
	struct fl_pool_config config;
	struct fl_module *module;
	struct conform conform;

	apart_config(&config);
	config.max_memories = 0;
	config.max_instances = 0;
	config.max_tables = 1;
	config.max_memories_per_instance = 2;
	conform_open(&conform, &config);
	module = script_module(&conform);
	CHECK_EQ(fl_pool_validate(conform.pool, module, NULL), 0);
	for (size_t i = 0; i < TEST_ARRAY_SIZE(instances); i++) {
		uint8_t *structure;

		instances[i] = instance_start(&conform, module);
		structure = fl_instance_structure(instances[i]);
		CHECK_EQ(conform_first_data(structure, 5000), 5000);
		memset(structure, (int)i + 1, 5000);
		check_text(fl_instance_memory(instances[i], 0), 5, "active");
		CHECK_EQ(fl_table_size(fl_instance_table(instances[i], 0)),
			 TABLE_MIN);
	}
	CHECK_EQ(conform_info(&conform).live_instances, 50);
	CHECK_EQ(conform_info(&conform).live_memories, 100);
	CHECK_EQ(conform_info(&conform).live_tables, 50);
	for (size_t i = 0; i < TEST_ARRAY_SIZE(instances); i++) {
		uint8_t *structure = fl_instance_structure(instances[i]);

		CHECK_EQ(structure[0], i + 1);
		CHECK_EQ(structure[4999], i + 1);
		instance_stop(instances[i]);
	}
	fl_module_release(module);
	check_nothing_held(&conform);
	conform_close(&conform);
}

/* No tables here: they are the runtime's, as in pooling. */
static void no_tables_script(struct tape *tape)
{
	struct fl_table_config config;
	struct fl_table *table = NULL;

	fl_table_config_init(&config);
	for (int i = 0; i < 3; i++) {
		config.initial_elements = 5u * i;
		PUT(tape, fl_table_acquire(tape->conform.pool, &config, &table,
					   NULL));
		PUT(tape, table != NULL);
		if (table)
			PUT(tape, fl_table_release(table));
		PUT(tape, conform_info(&tape->conform).live_tables);
	}
}

static void max_tables_of_zero(void)
{
	struct fl_instance *instance;
	struct fl_pool_config config;
	struct fl_module *module;
	struct conform conform;

	script_config(&config);
	config.max_tables = 0;
	side_by_side(no_tables_script, &config);
	apart_config(&config);
	config.max_tables = 0;
	config.max_memories_per_instance = 2;
	conform_open(&conform, &config);
	module = script_module(&conform);
	instance = instance_start(&conform, module);
	CHECK(!fl_instance_table(instance, 0));
	CHECK_EQ(conform_info(&conform).live_tables, 0);
	instance_stop(instance);
	fl_module_release(module);
	conform_close(&conform);
}

/* Larger at the start than the pool's maximum, which it then has reached. */
static void larger_than_the_maximum(void)
{
	const uint64_t len = 10 * MIB;
	struct conform conform;
	struct fl_module *module;
	struct fl_instance *instance;
	struct fl_memory *memory;
	struct fl_fault fault;
	struct fl_image *image;
	uint64_t old = 0;

	apart_open(&conform);
	image = conform_image_of(&conform, len, len - 4, "last", 4);
	for (int i = 0; i < 4; i++) {
		memory = conform_take(&conform, i % 2 ? image : NULL, len);
		CHECK_EQ(fl_memory_length(memory), len);
		CHECK(is_zero(memory->base, len - 4));
		CHECK(!memcmp(memory->base + len - 4, i % 2 ? "last" : "\0\0\0",
			      4));
		memset(memory->base, 1, len);
		CHECK(test_traps(memory->base + len));
		CHECK(test_traps(memory->base + len + 64 * KIB - 1));
		CHECK(fl_fault_lookup(conform.context, memory->base + len,
				      &fault));
		CHECK_EQ(fault.kind, FL_FAULT_OUT_OF_BOUNDS);
		CHECK(fault.memory == memory);
		CHECK_EQ(fl_memory_grow(memory, 1, NULL), -E2BIG);
		CHECK_EQ(fl_memory_grow(memory, 0, &old), 0);
		CHECK_EQ(old, len / WPAGE);
		conform_give(memory);
	}
	fl_image_release(image);
	module =
		module_simple(&conform, len / WPAGE, (uint32_t)len - 4, "last");
	CHECK_EQ(fl_pool_validate(conform.pool, module, NULL), 0);
	instance = instance_start(&conform, module);
	check_text(fl_instance_memory(instance, 0), len - 4, "last");
	CHECK_EQ(fl_memory_grow(fl_instance_memory(instance, 0), 1, NULL),
		 -E2BIG);
	instance_stop(instance);
	fl_module_release(module);
	conform_close(&conform);
}

static void tables_larger_than_the_maximum(void)
{
	struct fl_table_config config;
	struct fl_table *table = NULL;
	struct conform conform;
	uint64_t element = 5;

	apart_open(&conform);
	fl_table_config_init(&config);
	config.initial_elements = 100000;
	MUST_EQ(fl_table_acquire(conform.pool, &config, &table, NULL), 0);
	CHECK_EQ(fl_table_size(table), 100000);
	CHECK_EQ(conform_first_data(table->base, 800000), 800000);
	CHECK_EQ(fl_table_fill(table, 0, &element, 100000), FL_TRAP_NONE);
	CHECK_EQ(fl_table_grow(table, 1, NULL, NULL), -E2BIG);
	CHECK_EQ(fl_table_size(table), 100000);
	CHECK_EQ(fl_table_release(table), 0);
	conform_close(&conform);
}

/* More than any address space, or all of it: an error. */
static void larger_than_anything(void)
{
	static const uint64_t sizes[] = { 1ull << 47,
					  1ull << 48,
					  1ull << 62,
					  1ull << 63,
					  UINT64_MAX - WPAGE + 1,
					  UINT64_MAX - 2 * WPAGE + 1 };
	struct conform conform;

	apart_open(&conform);
	for (size_t i = 0; i < TEST_ARRAY_SIZE(sizes); i++) {
		struct fl_memory *memory = NULL;
		struct fl_memory_config config;
		struct fl_table_config table_config;
		struct fl_table *table = NULL;
		struct fl_error error = { .text = "" };
		int err;

		fl_memory_config_init(&config);
		config.initial_bytes = sizes[i];
		err = fl_memory_acquire(conform.pool, &config, &memory, &error);
		CHECK(err == -ENOMEM || err == -E2BIG || err == -EINVAL);
		CHECK(error.text[0]);
		CHECK(memory == NULL);
		fl_table_config_init(&table_config);
		table_config.initial_elements = sizes[i];
		err = fl_table_acquire(conform.pool, &table_config, &table,
				       &error);
		CHECK(err == -ENOMEM || err == -E2BIG || err == -EINVAL);
		CHECK(table == NULL);
	}
	CHECK_EQ(conform_info(&conform).live_memories, 0);
	CHECK_EQ(conform_info(&conform).live_tables, 0);
	conform_close(&conform);
}

/* ---------------------------------------------------------- nothing is left */

struct tenants {
	struct fl_instance *instances[5];
	struct fl_memory *memories[5];
	struct fl_table *tables[5];
	struct fl_stack *stacks[5];
};

static void tenants_enter(struct conform *conform, struct fl_module *module,
			  struct tenants *tenants)
{
	for (int i = 0; i < 5; i++) {
		struct fl_table_config config;

		tenants->instances[i] = instance_start(conform, module);
		tenants->memories[i] = conform_take(conform, NULL, WPAGE);
		CHECK_EQ(fl_memory_grow(tenants->memories[i], 3, NULL), 0);
		memset(tenants->memories[i]->base, 1, 4 * WPAGE);
		fl_table_config_init(&config);
		config.initial_elements = 10;
		MUST_EQ(fl_table_acquire(conform->pool, &config,
					 &tenants->tables[i], NULL),
			0);
		MUST_EQ(fl_stack_acquire(conform->pool, 0, &tenants->stacks[i],
					 NULL),
			0);
	}
}

static void tenants_leave(struct tenants *tenants)
{
	for (int i = 0; i < 5; i++) {
		instance_stop(tenants->instances[i]);
		conform_give(tenants->memories[i]);
		CHECK_EQ(fl_table_release(tenants->tables[i]), 0);
		CHECK_EQ(fl_stack_release(tenants->stacks[i]), 0);
	}
}

/* The first round warms malloc and what the backend keeps. */
static void all_unmapped_after_release(void)
{
	struct procfs_footprint before = { 0 }, now;
	struct fl_pool_config config;
	struct fl_module *module;
	struct tenants tenants;
	struct conform conform;
	struct fl_fault fault;

	apart_config(&config);
	config.max_memories_per_instance = 2;
	conform_open(&conform, &config);
	module = script_module(&conform);
	for (int round = 0; round < 5; round++) {
		uint8_t *base;

		tenants_enter(&conform, module, &tenants);
		base = tenants.memories[2]->base;
		now = procfs_footprint();
		CHECK(round == 0 || now.mappings > before.mappings);
		tenants_leave(&tenants);
		now = procfs_footprint();
		if (round == 0)
			before = now;
		CHECK_EQ(now.fds, before.fds);
		/* A sanitizer maps what it needs when it needs it. */
		if (!test_is_sanitized()) {
			CHECK_EQ(now.mappings, before.mappings);
			CHECK_EQ(now.address_bytes, before.address_bytes);
		}
		CHECK(!fl_fault_lookup(conform.context, base, &fault));
		CHECK(!fl_memory_find(conform.pool, base));
		CHECK(test_traps(base));
	}
	CHECK_EQ(conform_info(&conform).warm_memories, 0);
	CHECK_EQ(conform_info(&conform).warm_tables, 0);
	CHECK_EQ(conform_info(&conform).warm_instances, 0);
	CHECK_EQ(conform_info(&conform).idle_kept_bytes, 0);
	fl_module_release(module);
	conform_close(&conform);
}

/* Descriptors do not come with each tenant. */
static void descriptors_do_not_multiply(void)
{
	struct fl_memory *memories[64];
	struct procfs_footprint few, many;
	struct conform conform;

	apart_open(&conform);
	memories[0] = conform_take(&conform, NULL, WPAGE);
	few = procfs_footprint();
	for (int i = 1; i < 64; i++)
		memories[i] = conform_take(&conform, NULL, WPAGE);
	many = procfs_footprint();
	CHECK(many.fds <= few.fds + 32);
	for (int i = 0; i < 64; i++)
		conform_give(memories[i]);
	conform_close(&conform);
}

/* Random tenants, each filling all it has: never a byte of another. */
static void nothing_of_the_one_before(void)
{
	struct fl_memory *memories[8] = { NULL };
	struct test_random random;
	struct conform conform;

	test_random_init(&random, 17);
	apart_open(&conform);
	for (int i = 0; i < 400; i++) {
		uint64_t idx = test_random_below(&random, 8), len;

		if (memories[idx]) {
			conform_give(memories[idx]);
			memories[idx] = NULL;
			continue;
		}
		len = WPAGE * test_random_below(&random, 6);
		memories[idx] = conform_take(&conform, NULL, len);
		CHECK(is_zero(memories[idx]->base, len));
		memset(memories[idx]->base, 0xee, len);
		CHECK_EQ(fl_memory_grow(memories[idx], 2, NULL), 0);
		CHECK(is_zero(memories[idx]->base + len, 2 * WPAGE));
		memset(memories[idx]->base, 0xee, len + 2 * WPAGE);
	}
	for (int i = 0; i < 8; i++) {
		if (memories[i])
			conform_give(memories[i]);
	}
	conform_close(&conform);
}

/* --------------------------------------------------------------- life cycle */

static void a_live_one_keeps_the_pool(void)
{
	struct fl_table_config table_config;
	struct fl_table *table = NULL;
	struct fl_instance *instance;
	struct fl_memory *memory;
	struct fl_module *module;
	struct fl_pool_config config;
	struct conform conform;

	apart_config(&config);
	config.max_memories_per_instance = 2;
	conform_open(&conform, &config);
	module = script_module(&conform);
	memory = conform_take(&conform, NULL, WPAGE);
	CHECK_EQ(fl_pool_destroy(conform.pool), -EBUSY);
	memory->base[0] = 1;
	conform_give(memory);
	instance = instance_start(&conform, module);
	CHECK_EQ(fl_pool_destroy(conform.pool), -EBUSY);
	check_text(fl_instance_memory(instance, 0), 5, "active");
	instance_stop(instance);
	fl_table_config_init(&table_config);
	table_config.initial_elements = 3;
	MUST_EQ(fl_table_acquire(conform.pool, &table_config, &table, NULL), 0);
	CHECK_EQ(fl_pool_destroy(conform.pool), -EBUSY);
	CHECK_EQ(fl_table_release(table), 0);
	fl_module_release(module);
	conform_close(&conform);
}

/* What was released is nobody's, also while others come and go. */
static void released_twice(void)
{
	struct fl_memory *memory, *other;
	struct fl_table_config config;
	struct conform conform;

	apart_open(&conform);
	fl_table_config_init(&config);
	config.initial_elements = 3;
	other = conform_take(&conform, NULL, WPAGE);
	for (int i = 0; i < 20; i++) {
		struct fl_table *table = NULL;

		memory = conform_take(&conform, NULL, WPAGE);
		MUST_EQ(fl_table_acquire(conform.pool, &config, &table, NULL),
			0);
		conform_give(memory);
		CHECK_EQ(fl_memory_release(memory), -EINVAL);
		CHECK_EQ(fl_table_release(table), 0);
		CHECK_EQ(fl_table_release(table), -EINVAL);
		CHECK_EQ(fl_memory_release(memory), -EINVAL);
		CHECK_EQ(conform_info(&conform).live_memories, 1);
		CHECK_EQ(conform_info(&conform).live_tables, 0);
	}
	conform_give(other);
	CHECK_EQ(fl_memory_release(memory), -EINVAL);
	CHECK_EQ(fl_memory_release(other), -EINVAL);
	conform_close(&conform);
}

static uint64_t record_bytes(struct conform *conform)
{
	struct fl_pool_usage usage = { .size = sizeof(usage) };

	MUST_EQ(fl_pool_usage(conform->pool, &usage, NULL), 0);
	return usage.record_bytes;
}

static const char *needs_usage(void)
{
	return strcmp(test_rung->how, "track") &&
			       strcmp(test_rung->how, "scan") ?
		       TEST_NOT_BUILT "usage is not counted on this rung" :
		       NULL;
}

#define RECORDED 400

/* What the pool knows of tenants that went is counted, bounded and given back,
 * and a handle that was released before is an error all the same. */
static void records_go(void)
{
	static struct fl_memory *memories[RECORDED];
	static struct fl_table *tables[RECORDED];
	struct fl_table_config config;
	struct fl_instance *instance;
	struct fl_pool_config apart;
	struct fl_module *module;
	struct conform conform;
	uint64_t trimmed;

	apart_config(&apart);
	apart.max_idle_bytes = 0;
	conform_open(&conform, &apart);
	fl_table_config_init(&config);
	CHECK_EQ(record_bytes(&conform), 0);
	for (int i = 0; i < RECORDED; i++) {
		memories[i] = conform_take(&conform, NULL, 0);
		MUST_EQ(fl_table_acquire(conform.pool, &config, &tables[i],
					 NULL),
			0);
	}
	for (int i = 0; i < RECORDED; i++)
		conform_give(memories[i]);
	for (int i = 0; i < RECORDED; i++)
		CHECK_EQ(fl_table_release(tables[i]), 0);
	module = module_simple(&conform, 1, 0, "data");
	instance = instance_start(&conform, module);
	instance_stop(instance);
	fl_module_release(module);
	CHECK_EQ(conform_info(&conform).acquired_memories, RECORDED + 1);
	/* Three banks, each with its spare records. */
	CHECK(record_bytes(&conform) > 0);
	CHECK(record_bytes(&conform) <= 3 * 64 * KIB);
	CHECK_EQ(fl_pool_trim(conform.pool, UINT64_MAX, &trimmed), 0);
	CHECK(trimmed > 0);
	CHECK_EQ(record_bytes(&conform), 0);
	for (int i = 0; i < RECORDED; i++) {
		CHECK_EQ(fl_memory_release(memories[i]), -EINVAL);
		CHECK_EQ(fl_table_release(tables[i]), -EINVAL);
	}
	CHECK_EQ(fl_instance_release(instance), -EINVAL);
	CHECK_EQ(conform_info(&conform).acquired_memories, RECORDED + 1);
	conform_give(conform_take(&conform, NULL, WPAGE));
	CHECK_EQ(conform_info(&conform).acquired_memories, RECORDED + 2);
	conform_close(&conform);
}

/* What is mapped now, in place of a reservation. */
static void reserved_bytes_follow(void)
{
	struct fl_memory *memories[5];
	struct conform conform;
	uint64_t one;

	apart_open(&conform);
	CHECK_EQ(conform_info(&conform).reserved_bytes, 0);
	for (uint64_t i = 0; i < 5; i++) {
		struct procfs_footprint before = procfs_footprint();

		memories[i] = conform_take(&conform, NULL, WPAGE);
		one = conform_info(&conform).reserved_bytes / (i + 1);
		CHECK(one >= 4 * MIB);
		CHECK_EQ(conform_info(&conform).reserved_bytes, (i + 1) * one);
		if (i)
			CHECK_EQ(procfs_footprint().address_bytes,
				 before.address_bytes + one);
	}
	for (int i = 0; i < 5; i++)
		conform_give(memories[i]);
	CHECK_EQ(conform_info(&conform).reserved_bytes, 0);
	conform_close(&conform);
}

struct child {
	struct conform *conform;
	struct fl_module *module;
	struct fl_memory *memory;
	struct fl_table *table;
	struct fl_instance *instance;
};

static int child_run(void *arg)
{
	struct child *child = arg;
	struct fl_pool *pool = child->conform->pool;
	struct fl_memory_config config;
	struct fl_table_config table_config;
	struct fl_instance *instance = NULL;
	struct fl_memory *memory = NULL;
	struct fl_table *table = NULL;
	struct fl_pool_usage usage = { .size = sizeof(usage) };

	fl_memory_config_init(&config);
	fl_table_config_init(&table_config);
	CHECK_EQ(fl_memory_acquire(pool, &config, &memory, NULL), -ECHILD);
	CHECK_EQ(fl_table_acquire(pool, &table_config, &table, NULL), -ECHILD);
	CHECK_EQ(fl_instance_acquire(pool, child->module, NULL, &instance,
				     NULL),
		 -ECHILD);
	CHECK(!memory && !table && !instance);
	CHECK_EQ(fl_memory_grow(child->memory, 1, NULL), -ECHILD);
	CHECK_EQ(fl_table_grow(child->table, 1, NULL, NULL), -ECHILD);
	CHECK_EQ(fl_memory_lend(child->memory), -ECHILD);
	CHECK_EQ(fl_memory_release(child->memory), -ECHILD);
	CHECK_EQ(fl_table_release(child->table), -ECHILD);
	CHECK_EQ(fl_instance_release(child->instance), -ECHILD);
	CHECK_EQ(fl_pool_trim(pool, 1, NULL), -ECHILD);
	CHECK_EQ(fl_pool_usage(pool, &usage, NULL), -ECHILD);
	return 0;
}

static void child_gets_an_error(void)
{
	struct fl_pool_config config;
	struct fl_table_config table_config;
	struct conform conform;
	struct child child = { .conform = &conform };

	apart_config(&config);
	config.max_memories_per_instance = 2;
	conform_open(&conform, &config);
	child.module = script_module(&conform);
	child.memory = conform_take(&conform, NULL, WPAGE);
	fl_table_config_init(&table_config);
	table_config.initial_elements = 3;
	MUST_EQ(fl_table_acquire(conform.pool, &table_config, &child.table,
				 NULL),
		0);
	child.instance = instance_start(&conform, child.module);
	child.memory->base[0] = 4;
	CHECK_EQ(test_fork(child_run, &child, 20).status, 0);
	CHECK_EQ(child.memory->base[0], 4);
	CHECK_EQ(fl_memory_grow(child.memory, 1, NULL), 0);
	CHECK_EQ(fl_table_grow(child.table, 1, NULL, NULL), 0);
	conform_give(child.memory);
	CHECK_EQ(fl_table_release(child.table), 0);
	instance_stop(child.instance);
	fl_module_release(child.module);
	conform_close(&conform);
}

/* Purging and trimming find nothing to do, and are no error. */
static void nothing_is_idle(void)
{
	struct fl_pool_usage usage = { .size = sizeof(usage) };
	uint64_t trimmed = 7;
	uint32_t purged = 7;
	struct fl_memory *memory;
	struct fl_module *module;
	struct conform conform;

	apart_open(&conform);
	module = module_simple(&conform, 1, 0, "data");
	for (int i = 0; i < 3; i++)
		instance_stop(instance_start(&conform, module));
	memory = conform_take(&conform, NULL, 4 * WPAGE);
	memset(memory->base, 1, 4 * WPAGE);
	/* What is known of those that went. */
	CHECK_EQ(fl_pool_trim(conform.pool, UINT64_MAX, &trimmed), 0);
	CHECK(trimmed > 0 && trimmed < 16 * KIB);
	CHECK_EQ(fl_pool_trim(conform.pool, UINT64_MAX, &trimmed), 0);
	CHECK_EQ(trimmed, 0);
	CHECK_EQ(fl_pool_purge(conform.pool, module, NULL, &purged), 0);
	CHECK_EQ(purged, 0);
	purged = 7;
	CHECK_EQ(fl_pool_purge(conform.pool, NULL, fl_module_image(module, 0),
			       &purged),
		 0);
	CHECK_EQ(purged, 0);
	if (!fl_pool_usage(conform.pool, &usage, NULL)) {
		CHECK_EQ(usage.private_bytes, 4 * WPAGE);
		CHECK_EQ(usage.idle_private_bytes, 0);
	}
	CHECK_EQ(memory->base[0], 1);
	conform_give(memory);
	fl_module_release(module);
	conform_close(&conform);
}

static void an_audit_finds_nothing(void)
{
	struct fl_pool_config config;
	struct conform conform;

	apart_config(&config);
	config.audit_every = 1;
	config.max_idle_slot_bytes = 0;
	config.max_idle_bytes = 0;
	conform_open(&conform, &config);
	for (int i = 0; i < 5; i++) {
		struct fl_memory *memory = conform_take(&conform, NULL, WPAGE);

		memset(memory->base, 1, WPAGE);
		conform_give(memory);
	}
	CHECK_EQ(conform_info(&conform).audit_failures, 0);
	CHECK_EQ(conform_info(&conform).retired_memories, 0);
	conform_close(&conform);
}

/* ------------------------------------------------------------------ threads */

struct crew {
	struct conform conform;
	struct fl_module *module;
	struct fl_image *image;
	atomic_int next_idx;
	atomic_bool is_over;
	_Atomic(uintptr_t) shown;
};

static void *tenant_loop(void *arg)
{
	struct crew *crew = arg;
	int idx = atomic_fetch_add(&crew->next_idx, 1);

	for (int i = 0; i < 100; i++) {
		struct fl_memory *memory = conform_take(
			&crew->conform, i % 2 ? crew->image : NULL, 2 * WPAGE);
		struct fl_instance *instance;

		atomic_store(&crew->shown, (uintptr_t)memory->base);
		CHECK(is_zero(memory->base, WPAGE));
		CHECK_EQ(memory->base[WPAGE], i % 2 ? 'i' : 0);
		memset(memory->base, idx + 1, 2 * WPAGE);
		CHECK_EQ(fl_memory_grow(memory, 1, NULL), 0);
		CHECK_EQ(memory->base[2 * WPAGE], 0);
		CHECK(fl_memory_find(crew->conform.pool, memory->base) ==
		      memory);
		instance = instance_start(&crew->conform, crew->module);
		check_text(fl_instance_memory(instance, 0), 5, "active");
		CHECK_EQ(memory->base[0], idx + 1);
		CHECK_EQ(memory->base[2 * WPAGE - 1], idx + 1);
		if (i & 4)
			instance_stop(instance);
		conform_give(memory);
		if (!(i & 4))
			instance_stop(instance);
	}
	return NULL;
}

static void *lookup_loop(void *arg)
{
	struct crew *crew = arg;

	while (!atomic_load(&crew->is_over)) {
		uint8_t *at = addr_at(NULL, (int64_t)atomic_load(&crew->shown));
		struct fl_fault fault;

		fl_fault_lookup(crew->conform.context, at, &fault);
		CHECK(fault.kind == FL_FAULT_NOT_OURS ||
		      fault.kind == FL_FAULT_IN_BOUNDS ||
		      fault.kind == FL_FAULT_FREE_SLOT ||
		      fault.kind == FL_FAULT_OUT_OF_BOUNDS);
		fl_memory_find(crew->conform.pool, at);
	}
	return NULL;
}

static void *observer_loop(void *arg)
{
	struct crew *crew = arg;

	while (!atomic_load(&crew->is_over)) {
		struct fl_pool_usage usage = { .size = sizeof(usage) };

		(void)fl_pool_usage(crew->conform.pool, &usage, NULL);
		CHECK_EQ(fl_pool_trim(crew->conform.pool, 1, NULL), 0);
		CHECK(conform_info(&crew->conform).live_memories <= 12);
		test_sleep_ms(1);
	}
	return NULL;
}

#define SEEN 24

struct watch {
	struct conform conform;
	uint64_t private_bytes;
	atomic_int short_counts;
};

static void *usage_loop(void *arg)
{
	struct watch *watch = arg;

	for (int i = 0; i < 200; i++) {
		struct fl_pool_usage usage = { .size = sizeof(usage) };

		CHECK_EQ(fl_pool_usage(watch->conform.pool, &usage, NULL), 0);
		if (usage.private_bytes != watch->private_bytes)
			atomic_fetch_add(&watch->short_counts, 1);
	}
	return NULL;
}

/* None passes over a memory that the others look at. */
static void usage_asked_by_several_threads(void)
{
	struct fl_pool_usage usage = { .size = sizeof(usage) };
	struct fl_memory *memories[SEEN];
	struct fl_pool_config config;
	struct watch watch;
	pthread_t threads[4];

	memset(&watch, 0, sizeof(watch));
	apart_config(&config);
	conform_open(&watch.conform, &config);
	for (int i = 0; i < SEEN; i++) {
		memories[i] = conform_take(&watch.conform, NULL, WPAGE);
		memories[i]->base[0] = 1;
	}
	MUST_EQ(fl_pool_usage(watch.conform.pool, &usage, NULL), 0);
	CHECK(usage.private_bytes >= SEEN * 4096);
	watch.private_bytes = usage.private_bytes;
	for (size_t i = 0; i < TEST_ARRAY_SIZE(threads); i++)
		MUST_EQ(pthread_create(&threads[i], NULL, usage_loop, &watch),
			0);
	for (size_t i = 0; i < TEST_ARRAY_SIZE(threads); i++)
		pthread_join(threads[i], NULL);
	CHECK_EQ(atomic_load(&watch.short_counts), 0);
	for (int i = 0; i < SEEN; i++)
		conform_give(memories[i]);
	conform_close(&watch.conform);
}

static void tenants_from_several_threads(void)
{
	void *(*const loops[])(void *) = { lookup_loop, observer_loop,
					   tenant_loop, tenant_loop,
					   tenant_loop, tenant_loop };
	pthread_t threads[TEST_ARRAY_SIZE(loops)];
	struct fl_pool_config config;
	struct crew crew;

	memset(&crew, 0, sizeof(crew));
	apart_config(&config);
	config.max_memories_per_instance = 2;
	conform_open(&crew.conform, &config);
	crew.module = script_module(&crew.conform);
	crew.image =
		conform_image_of(&crew.conform, 2 * WPAGE, WPAGE, "image", 5);
	for (size_t i = 0; i < TEST_ARRAY_SIZE(loops); i++)
		MUST_EQ(pthread_create(&threads[i], NULL, loops[i], &crew), 0);
	for (size_t i = TEST_ARRAY_SIZE(loops); i-- > 2;)
		pthread_join(threads[i], NULL);
	atomic_store(&crew.is_over, true);
	pthread_join(threads[0], NULL);
	pthread_join(threads[1], NULL);
	check_nothing_held(&crew.conform);
	CHECK_EQ(conform_info(&crew.conform).acquired_instances, 400);
	fl_image_release(crew.image);
	fl_module_release(crew.module);
	conform_close(&crew.conform);
}

/* --------------------------------------------------------------- exhaustion */

/* Take until it fails: -ENOMEM, and all of it is whole. */
static uint32_t take_all(struct conform *conform,
			 const struct fl_memory_config *config, uint32_t limit,
			 struct fl_memory **memories)
{
	struct fl_error error = { .text = "" };
	uint32_t n = 0;
	int err = 0;

	while (n < limit && !err) {
		err = fl_memory_acquire(conform->pool, config, &memories[n],
					&error);
		if (!err) {
			memories[n]->base[0] = 1;
			CHECK_EQ(memories[n]->base[WPAGE], 'i');
			n++;
		}
	}
	CHECK_EQ(err, -ENOMEM);
	CHECK_EQ(error.code, -ENOMEM);
	CHECK(error.text[0]);
	CHECK(n > 0);
	CHECK_EQ(conform_info(conform).live_memories, n);
	CHECK_EQ(conform_info(conform).refused_memories, 1);
	CHECK_EQ(conform_info(conform).acquired_memories, n + 1);
	return n;
}

/* Everything goes back to the system, and then there is room again. */
static void exhaust(struct conform *conform, struct fl_image *image,
		    uint32_t limit)
{
	struct fl_memory **memories = calloc(limit, sizeof(*memories));
	struct fl_memory_config config;
	struct procfs_footprint before, now;
	uint32_t n;

	MUST(memories != NULL);
	conform_give(conform_take(conform, image, 2 * WPAGE));
	before = procfs_footprint();
	fl_memory_config_init(&config);
	config.image = image;
	config.initial_bytes = 2 * WPAGE;
	n = take_all(conform, &config, limit, memories);
	for (uint32_t i = 0; i < n; i++)
		CHECK_EQ(fl_memory_release(memories[i]), 0);
	CHECK_EQ(conform_info(conform).live_memories, 0);
	now = procfs_footprint();
	CHECK_EQ(now.fds, before.fds);
	CHECK(now.mappings <= before.mappings + 2);
	CHECK(now.address_bytes <= before.address_bytes + MIB);
	CHECK_EQ(fl_memory_acquire(conform->pool, &config, &memories[0], NULL),
		 0);
	conform_give(memories[0]);
	free(memories);
}

static int address_space_run(void *arg)
{
	struct rlimit limit;
	struct conform conform;
	struct fl_image *image;
	struct procfs_footprint now;

	(void)arg;
	apart_open(&conform);
	image = conform_image_of(&conform, 2 * WPAGE, WPAGE, "image", 5);
	now = procfs_footprint();
	limit.rlim_cur = limit.rlim_max = now.address_bytes + 256 * MIB;
	MUST_EQ(setrlimit(RLIMIT_AS, &limit), 0);
	exhaust(&conform, image, 2000);
	fl_image_release(image);
	conform_close(&conform);
	return 0;
}

/* Nearly as many mappings as the kernel allows: a page each, one readable and
 * one not, so that no two are one. */
static bool use_up_mappings(unsigned int leave)
{
	const uint64_t hpage = conform_hpage();
	const long limit = procfs_sysctl("vm/max_map_count");
	const unsigned int most = (unsigned int)limit;
	uint8_t *area;

	if (limit < 0 || limit > 200000)
		return false;
	area = mmap(NULL, most * hpage, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS,
		    -1, 0);
	MUST(area != MAP_FAILED);
	for (unsigned int i = procfs_footprint().mappings; i + leave + 2 < most;
	     i += 2) {
		if (mprotect(area + i * hpage, hpage, PROT_READ))
			break;
	}
	return true;
}

static int mappings_run(void *arg)
{
	struct conform conform;
	struct fl_image *image;

	(void)arg;
	apart_open(&conform);
	image = conform_image_of(&conform, 2 * WPAGE, WPAGE, "image", 5);
	if (use_up_mappings(100))
		exhaust(&conform, image, 2000);
	fl_image_release(image);
	conform_close(&conform);
	return 0;
}

static const char *needs_no_sanitizer(void)
{
	return test_is_sanitized() ? TEST_NOT_BUILT
		       "sanitizers need address space and "
		       "mappings of their own" :
				     NULL;
}

static const char *needs_limits(void)
{
	const char *reason = needs_no_sanitizer();

	return reason ? reason : test_needs_limits();
}

static void address_space_runs_out(void)
{
	CHECK_EQ(test_fork(address_space_run, NULL, 50).status, 0);
}

static void mappings_run_out(void)
{
	CHECK_EQ(test_fork(mappings_run, NULL, 50).status, 0);
}

/* Half of them can grow; growth that the kernel refuses leaves the memory as it
 * is. */
static int growth_run(void *arg)
{
	struct fl_memory *memories[40];
	struct conform conform;
	struct rlimit limit;
	int refused = 0;

	(void)arg;
	apart_open(&conform);
	for (int i = 0; i < 40; i++) {
		memories[i] = conform_take(&conform, NULL, WPAGE);
		memories[i]->base[9] = 9;
	}
	limit.rlim_cur = limit.rlim_max =
		procfs_status_kib("VmData") * KIB + 20 * 5 * WPAGE;
	MUST_EQ(setrlimit(RLIMIT_DATA, &limit), 0);
	for (int i = 0; i < 40; i++) {
		int err = fl_memory_grow(memories[i], 5, NULL);

		CHECK(!err || err == -ENOMEM);
		refused += err != 0;
		CHECK_EQ(fl_memory_length(memories[i]),
			 err ? WPAGE : 6 * WPAGE);
		CHECK_EQ(memories[i]->base[9], 9);
		CHECK_EQ(test_traps(memories[i]->base + WPAGE), err != 0);
		CHECK(test_traps(memories[i]->base + 6 * WPAGE));
	}
	CHECK(refused >= 20 && refused < 40);
	for (int i = 0; i < 40; i++)
		conform_give(memories[i]);
	conform_close(&conform);
	return 0;
}

static void growth_runs_out(void)
{
	CHECK_EQ(test_fork(growth_run, NULL, 50).status, 0);
}

static const struct test_case cases[] = {
	TEST_CASE(same_images_and_growth),
	TEST_CASE(same_in_accessible_pools),
	TEST_CASE(same_errors),
	TEST_CASE(same_guards_prefix_and_alignment),
	TEST_CASE(same_reach),
	TEST_CASE(same_reach_of_nothing),
	TEST_CASE(same_instances),
	TEST_CASE(same_failures),
	TEST_CASE(same_tables),
	TEST_CASE(same_tunables),
	TEST_CASE(a_thousand_of_one),
	TEST_CASE(instances_beyond_the_counts),
	TEST_CASE(max_tables_of_zero),
	TEST_CASE(larger_than_the_maximum),
	TEST_CASE(tables_larger_than_the_maximum),
	TEST_CASE(larger_than_anything),
	TEST_CASE(all_unmapped_after_release),
	TEST_CASE(descriptors_do_not_multiply),
	TEST_CASE(nothing_of_the_one_before),
	TEST_CASE(a_live_one_keeps_the_pool),
	TEST_CASE(released_twice),
	TEST_CASE_NEEDS(records_go, needs_usage),
	TEST_CASE(reserved_bytes_follow),
	TEST_CASE(child_gets_an_error),
	TEST_CASE(nothing_is_idle),
	TEST_CASE(an_audit_finds_nothing),
	TEST_CASE(tenants_from_several_threads),
	TEST_CASE_NEEDS(usage_asked_by_several_threads, needs_usage),
	TEST_CASE_NEEDS(address_space_runs_out, needs_limits),
	TEST_CASE_NEEDS(mappings_run_out, needs_no_sanitizer),
	TEST_CASE_NEEDS(growth_runs_out, needs_limits),
};

CONFORM_MAIN(cases)
