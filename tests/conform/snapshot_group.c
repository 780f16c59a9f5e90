/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * snapshot_group.c - instances that use each other's memories and tables are
 * captured in one call, and cloned in one call, which links the clones as the
 * captured instances were linked. A part of the group alone is refused; a group
 * that cannot be cloned as a whole holds nothing.
 *
 * A defines a memory and a table. B imports both and defines a memory. C imports
 * the memories of A and B, and a memory and a table that the caller took alone.
 */
#define _GNU_SOURCE
#include "runtime.h"

#define A 0
#define B 1
#define C 2
#define GROUP 3
#define STRUCTURE_BYTES 64

struct group {
	struct conform conform;
	struct fl_module *modules[GROUP];
	struct fl_instance *instances[GROUP];
	struct fl_instance_config configs[GROUP];
	const struct fl_instance_config *config_list[GROUP];
	struct fl_memory *memories[GROUP]; /* that C imports */
	struct fl_table *table; /* that C imports */
	struct fl_memory *unlinked[GROUP]; /* the same, as clones get it */
	struct fl_table *no_table;
	struct fl_memory *a_memory;
	struct fl_table *a_table;
	struct fl_snapshot *snapshot;
	struct fl_error error;
	unsigned int restored;
	unsigned int fails_at; /* so many are restored before one fails */
	uint8_t ids[2 * GROUP][16];
};

/* Imports are linked before the runtime is called. */
static int restored(void *user, struct fl_instance *instance,
		    const struct fl_restored *how)
{
	struct group *group = user;

	CHECK(fl_instance_memory(instance, 0) != NULL);
	memcpy(group->ids[group->restored % (2 * GROUP)], how->generation_id,
	       16);
	group->restored++;
	return group->restored > group->fails_at ? -EBUSY : 0;
}

static void make_element(void *user, struct fl_instance *instance,
			 const struct fl_element *from, void *element)
{
	uint64_t number = FUNC(from->idx);

	(void)user;
	(void)instance;
	memcpy(element, &number, 8);
}

/* ------------------------------------------------------------ open and close */

static void load(struct group *group, int idx, struct wasm_parts *parts)
{
	struct wasm w = { 0 };

	wasm_parts_build(parts, &w);
	group->modules[idx] = module_load(&group->conform, &w);
}

static void load_modules(struct group *group)
{
	struct wasm_parts parts = { 0 };

	wasm_import_funcs(&parts, 4);
	wasm_add_memory(&parts, 2);
	wasm_add_table(&parts, 10, 50);
	wasm_add_data(&parts, 5, "of A");
	wasm_add_funcs(&parts, 0, 1, 0, 3);
	load(group, A, &parts);
	wasm_import_funcs(&parts, 4);
	wasm_import_memory(&parts, 1);
	wasm_import_table(&parts, 5);
	wasm_add_memory(&parts, 1);
	/* A clone must not run this again. */
	wasm_add_funcs(&parts, 0, 4, 2, 1);
	load(group, B, &parts);
	wasm_import_memory(&parts, 1);
	wasm_import_memory(&parts, 1);
	wasm_import_memory(&parts, 1);
	wasm_import_table(&parts, 2);
	wasm_add_memory(&parts, 1);
	load(group, C, &parts);
}

static void group_pool(struct group *group, enum fl_allocation allocation)
{
	struct fl_pool_config pool;

	memset(group, 0, sizeof(*group));
	group->fails_at = UINT32_MAX;
	runtime_pool_config(&pool);
	pool.max_instances = 3 * GROUP;
	pool.max_memories = 20;
	pool.max_memories_per_instance = 4;
	pool.max_tables = 8;
	pool.instance_bytes = STRUCTURE_BYTES;
	pool.audit_every = 1;
	pool.allocation = allocation;
	conform_open(&group->conform, &pool);
	load_modules(group);
	for (int i = 0; i < GROUP; i++) {
		fl_instance_config_init(&group->configs[i]);
		group->configs[i].user = group;
		group->configs[i].make_element = make_element;
		group->configs[i].decode_elements = words_decode;
		group->configs[i].restored = restored;
		group->config_list[i] = &group->configs[i];
	}
}

static void start(struct group *group, int idx)
{
	CONFORM_MUST(fl_instance_acquire(group->conform.pool,
					 group->modules[idx],
					 &group->configs[idx],
					 &group->instances[idx], &group->error),
		     &group->error);
	memset(fl_instance_structure(group->instances[idx]), 'A' + idx,
	       STRUCTURE_BYTES);
}

static void start_all(struct group *group)
{
	start(group, A);
	group->a_memory = fl_instance_memory(group->instances[A], 0);
	group->a_table = fl_instance_table(group->instances[A], 0);
	group->configs[B].imported_memories = &group->a_memory;
	group->configs[B].imported_memory_count = 1;
	group->configs[B].imported_tables = &group->a_table;
	group->configs[B].imported_table_count = 1;
	start(group, B);
	group->memories[0] = group->a_memory;
	group->memories[1] = fl_instance_memory(group->instances[B], 1);
	group->memories[2] = conform_take(&group->conform, NULL, WPAGE);
	group->table = runtime_table(2);
	group->configs[C].imported_memories = group->memories;
	group->configs[C].imported_memory_count = 3;
	group->configs[C].imported_tables = &group->table;
	group->configs[C].imported_table_count = 1;
	start(group, C);
}

/* Each writes what the others can see. */
static void act(struct group *group)
{
	uint64_t element = FUNC(90);

	memcpy(fl_instance_memory(group->instances[B], 0)->base + 70000,
	       "B in A", 6);
	memcpy(fl_instance_memory(group->instances[C], 1)->base + 11, "C in B",
	       6);
	memcpy(fl_instance_memory(group->instances[C], 3)->base + 9, "C", 1);
	CHECK_EQ(fl_memory_grow(group->a_memory, 1, NULL), 0);
	CHECK_EQ(fl_table_set(group->a_table, 4, &element), FL_TRAP_NONE);
	CHECK_EQ(fl_table_grow(group->a_table, 1, &element, NULL), 0);
}

static void group_open(struct group *group, enum fl_allocation allocation)
{
	group_pool(group, allocation);
	start_all(group);
	act(group);
}

static int capture(struct group *group, struct fl_instance *const *instances,
		   uint32_t count)
{
	struct fl_snapshot_config config;

	fl_snapshot_config_init(&config);
	config.encode_elements = words_encode;
	config.plain_structure = 1;
	group->error = (struct fl_error){ .text = "" };
	return fl_instance_snapshot(instances, count, &config, &group->snapshot,
				    &group->error);
}

static void stop_instances(struct fl_instance **instances)
{
	for (int i = GROUP; i--;)
		CHECK_EQ(fl_instance_release(instances[i]), 0);
}

/* Imports that are the library's to give are NULL. */
static void capture_all(struct group *group)
{
	CONFORM_MUST(capture(group, group->instances, GROUP), &group->error);
	group->unlinked[2] = group->memories[2];
	group->configs[C].imported_memories = group->unlinked;
	group->a_memory = NULL;
	group->a_table = NULL;
}

static void group_close(struct group *group)
{
	fl_snapshot_release(group->snapshot);
	conform_give(group->memories[2]);
	CHECK_EQ(fl_table_release(group->table), 0);
	check_nothing_is_held(&group->conform);
	CHECK_EQ(conform_info(&group->conform).audit_failures, 0);
	for (int i = 0; i < GROUP; i++)
		fl_module_release(group->modules[i]);
	conform_close(&group->conform);
}

/* -------------------------------------------------------------------- clones */

static int clone(struct group *group, struct fl_instance **clones)
{
	group->restored = 0;
	group->error = (struct fl_error){ .text = "" };
	for (int i = 0; i < GROUP; i++)
		clones[i] = NULL;
	return fl_snapshot_acquire(group->conform.pool, group->snapshot,
				   group->config_list, clones, &group->error);
}

static void check_links(struct fl_instance **clones, const struct group *group)
{
	struct fl_memory *a = fl_instance_memory(clones[A], 0);
	struct fl_memory *b = fl_instance_memory(clones[B], 1);

	CHECK(fl_instance_memory(clones[B], 0) == a);
	CHECK(fl_instance_table(clones[B], 0) ==
	      fl_instance_table(clones[A], 0));
	CHECK(fl_instance_memory(clones[C], 0) == a);
	CHECK(fl_instance_memory(clones[C], 1) == b);
	CHECK(fl_instance_memory(clones[C], 2) == group->memories[2]);
	CHECK(fl_instance_table(clones[C], 0) == group->table);
	CHECK(fl_instance_memory(clones[A], 1) == NULL);
	CHECK(fl_instance_memory(clones[C], 4) == NULL);
}

static void check_clones(struct fl_instance **clones, const struct group *group)
{
	struct fl_memory *a = fl_instance_memory(clones[A], 0);
	struct fl_memory *b = fl_instance_memory(clones[B], 1);
	struct fl_memory *c = fl_instance_memory(clones[C], 3);

	check_links(clones, group);
	CHECK_EQ(fl_memory_length(a), 3 * WPAGE);
	check_text(a, 5, "of A");
	check_text(a, 70000, "B in A");
	CHECK_EQ(conform_first_data(a->base, 5), 5);
	CHECK_EQ(conform_first_data(a->base + 9, 69991), 69991);
	CHECK_EQ(conform_first_data(a->base + 70006, 3 * WPAGE - 70006),
		 3 * WPAGE - 70006);
	CHECK_EQ(fl_memory_length(b), WPAGE);
	CHECK_EQ(conform_first_data(b->base, WPAGE), 11);
	check_text(b, 11, "C in B");
	CHECK_EQ(conform_first_data(b->base + 17, WPAGE - 17), WPAGE - 17);
	CHECK_EQ(conform_first_data(c->base, WPAGE), 9);
	CHECK_EQ(c->base[9], 'C');
	CHECK_TABLE(fl_instance_table(clones[A], 0), NONE, FUNC(0), FUNC(1),
		    FUNC(2), FUNC(90), NONE, NONE, NONE, NONE, NONE, FUNC(90));
	for (int i = 0; i < GROUP; i++) {
		uint8_t *structure = fl_instance_structure(clones[i]);

		CHECK_EQ(structure[0], 'A' + i);
		CHECK_EQ(structure[STRUCTURE_BYTES - 1], 'A' + i);
		CHECK(fl_instance_module(clones[i]) == group->modules[i]);
		CHECK(fl_instance_user(clones[i]) == group);
	}
}

static void spoil(struct fl_instance **clones)
{
	struct fl_table *table = fl_instance_table(clones[A], 0);
	uint64_t element = FUNC(66);

	memset(fl_instance_memory(clones[A], 0)->base, 0xaa, 3 * WPAGE);
	memset(fl_instance_memory(clones[B], 1)->base, 0xbb, WPAGE);
	memset(fl_instance_memory(clones[C], 3)->base, 0xcc, WPAGE);
	CHECK_EQ(fl_table_fill(table, 0, &element, fl_table_size(table)),
		 FL_TRAP_NONE);
	for (int i = 0; i < GROUP; i++)
		memset(fl_instance_structure(clones[i]), 0xdd, STRUCTURE_BYTES);
}

static void play(enum fl_allocation allocation)
{
	struct fl_instance *clones[GROUP], *others[GROUP];
	struct group group;

	group_open(&group, allocation);
	capture_all(&group);
	check_clones(group.instances, &group);
	spoil(group.instances);
	for (int round = 0; round < 5 && !test_has_failed(); round++) {
		CONFORM_MUST(clone(&group, clones), &group.error);
		CHECK_EQ(group.restored, GROUP);
		check_clones(clones, &group);
		spoil(clones);
		CONFORM_MUST(clone(&group, others), &group.error);
		check_clones(others, &group);
		CHECK(fl_instance_memory(others[A], 0) !=
		      fl_instance_memory(clones[A], 0));
		stop_instances(clones);
		check_clones(others, &group);
		stop_instances(others);
	}
	/* What the caller gave to the clones is the caller's. */
	CHECK_EQ(conform_info(&group.conform).live_memories, 4);
	stop_instances(group.instances);
	/* The snapshot needs nobody. */
	CONFORM_MUST(clone(&group, clones), &group.error);
	check_clones(clones, &group);
	stop_instances(clones);
	group_close(&group);
}

static void clones_are_linked(void)
{
	play(FL_ALLOCATION_POOLING);
}

static void clones_are_linked_on_demand(void)
{
	play(FL_ALLOCATION_ON_DEMAND);
}

static void each_has_a_generation(void)
{
	struct fl_instance *clones[2][GROUP];
	struct group group;
	uint8_t zeroes[16] = { 0 };

	group_open(&group, FL_ALLOCATION_POOLING);
	capture_all(&group);
	CONFORM_MUST(clone(&group, clones[0]), &group.error);
	memcpy(group.ids[GROUP], group.ids[0], sizeof(group.ids) / 2);
	CONFORM_MUST(clone(&group, clones[1]), &group.error);
	for (int i = 0; i < 2 * GROUP; i++) {
		CHECK(memcmp(group.ids[i], zeroes, 16) != 0);
		for (int k = 0; k < i; k++)
			CHECK(memcmp(group.ids[i], group.ids[k], 16) != 0);
	}
	stop_instances(clones[0]);
	stop_instances(clones[1]);
	stop_instances(group.instances);
	group_close(&group);
}

/* Clones of clones, as a group again. */
static void clones_are_captured(void)
{
	struct fl_instance *clones[GROUP], *second[GROUP];
	struct fl_snapshot *first;
	struct group group;

	group_open(&group, FL_ALLOCATION_POOLING);
	capture_all(&group);
	first = group.snapshot;
	CONFORM_MUST(clone(&group, clones), &group.error);
	stop_instances(group.instances);
	fl_instance_memory(clones[A], 0)->base[3 * WPAGE - 1] = 0x77;
	CONFORM_MUST(capture(&group, clones, GROUP), &group.error);
	fl_snapshot_release(first);
	stop_instances(clones);
	CONFORM_MUST(clone(&group, second), &group.error);
	check_links(second, &group);
	CHECK_EQ(fl_instance_memory(second[C], 0)->base[3 * WPAGE - 1], 0x77);
	fl_instance_memory(second[C], 0)->base[3 * WPAGE - 1] = 0;
	check_clones(second, &group);
	stop_instances(second);
	group_close(&group);
}

/* A group sleeps whole, wakes linked, and a part of it does not sleep. */
static void a_group_sleeps_and_wakes(void)
{
	struct fl_instance *clones[GROUP], *woken[GROUP];
	struct fl_delta_config config = FL_DELTA_CONFIG_INIT;
	struct fl_snapshot_config capture;
	struct fl_delta *delta = NULL;
	uint64_t element = FUNC(77);
	struct group group;

	group_open(&group, FL_ALLOCATION_POOLING);
	capture_all(&group);
	fl_snapshot_config_init(&capture);
	capture.encode_elements = words_encode;
	capture.plain_structure = 1;
	config.snapshot = group.snapshot;
	config.capture = &capture;
	CONFORM_MUST(clone(&group, clones), &group.error);
	CHECK_EQ(fl_instance_suspend(clones, 2, &config, &delta, &group.error),
		 -EINVAL);
	CHECK_EQ(fl_instance_suspend(group.instances, GROUP, &config, &delta,
				     &group.error),
		 -EINVAL);
	CHECK(delta == NULL);
	check_clones(clones, &group);
	fl_instance_memory(clones[C], 1)->base[WPAGE - 1] = 0x55;
	CHECK_EQ(fl_memory_grow(fl_instance_memory(clones[B], 1), 1, NULL), 0);
	CHECK_EQ(fl_table_set(fl_instance_table(clones[B], 0), 4, &element), 0);
	CHECK_EQ(fl_table_set(fl_instance_table(clones[B], 0), 5, &element), 0);
	((uint8_t *)fl_instance_structure(clones[C]))[9] = 0;
	CONFORM_MUST(fl_instance_suspend(clones, GROUP, &config, &delta,
					 &group.error),
		     &group.error);
	group.restored = 0;
	for (int round = 0; round < 2; round++) {
		CONFORM_MUST(fl_delta_acquire(group.conform.pool, delta,
					      group.config_list, woken,
					      &group.error),
			     &group.error);
		check_links(woken, &group);
		CHECK_EQ(fl_memory_length(fl_instance_memory(woken[C], 1)),
			 2 * WPAGE);
		CHECK_EQ(fl_instance_memory(woken[C], 1)->base[WPAGE - 1],
			 0x55);
		CHECK_EQ(element_at(fl_instance_table(woken[A], 0), 4),
			 FUNC(77));
		CHECK_EQ(element_at(fl_instance_table(woken[A], 0), 5),
			 FUNC(77));
		CHECK_EQ(((uint8_t *)fl_instance_structure(woken[C]))[9], 0);
		stop_instances(woken);
	}
	CHECK_EQ(group.restored, 2 * GROUP);
	fl_delta_release(delta);
	stop_instances(group.instances);
	group_close(&group);
}

/* ------------------------------------------------------------------ refusals */

static void parts_are_refused(void)
{
	static const int orders[][GROUP] = {
		{ B, -1, -1 }, { C, -1, -1 }, { B, A, -1 }, { B, C, -1 },
		{ A, C, -1 },  { A, C, B },   { C, B, A },  { B, A, C },
	};
	struct fl_instance *part[GROUP];
	struct group group;

	group_open(&group, FL_ALLOCATION_POOLING);
	for (size_t i = 0; i < TEST_ARRAY_SIZE(orders); i++) {
		uint32_t count = 0;

		while (count < GROUP && orders[i][count] >= 0) {
			part[count] = group.instances[orders[i][count]];
			count++;
		}
		if (!CHECK_EQ(capture(&group, part, count), -EINVAL))
			test_note("order %zu", i);
		CHECK(group.snapshot == NULL);
		CHECK_EQ(group.error.code, -EINVAL);
		CHECK_HAS(group.error.text, "import");
	}
	check_clones(group.instances, &group);
	/* A alone uses nobody; A and B without C are whole. */
	CHECK_EQ(capture(&group, group.instances, 1), 0);
	fl_snapshot_release(group.snapshot);
	CHECK_EQ(capture(&group, group.instances, 2), 0);
	stop_instances(group.instances);
	group_close(&group);
}

/* A snapshot of several is not for fl_instance_acquire(). */
static void a_group_is_acquired_whole(void)
{
	struct fl_instance *clone = NULL;
	struct fl_instance_config config;
	struct group group;

	group_open(&group, FL_ALLOCATION_POOLING);
	capture_all(&group);
	config = group.configs[A];
	config.snapshot = group.snapshot;
	group.error = (struct fl_error){ .text = "" };
	CHECK_EQ(fl_instance_acquire(group.conform.pool, group.modules[A],
				     &config, &clone, &group.error),
		 -EINVAL);
	CHECK(clone == NULL);
	CHECK(group.error.text[0] != '\0');
	stop_instances(group.instances);
	group_close(&group);
}

static void clone_is_refused(struct group *group)
{
	struct fl_pool_info before = conform_info(&group->conform);
	struct fl_instance *clones[GROUP];

	CHECK_EQ(clone(group, clones), -EINVAL);
	CHECK(group->error.text[0] != '\0');
	CHECK_EQ(conform_info(&group->conform).live_instances,
		 before.live_instances);
	CHECK_EQ(conform_info(&group->conform).live_memories,
		 before.live_memories);
}

/* What no instance of the snapshot defines is the caller's to give. */
static void imports_of_the_caller(void)
{
	struct fl_memory *own = NULL;
	struct fl_instance *clones[GROUP];
	struct group group;

	group_open(&group, FL_ALLOCATION_POOLING);
	capture_all(&group);
	group.unlinked[2] = NULL;
	clone_is_refused(&group);
	CHECK_HAS(group.error.text, "memor");
	group.unlinked[2] = group.memories[2];
	group.configs[C].imported_tables = &group.no_table;
	clone_is_refused(&group);
	CHECK_HAS(group.error.text, "table");
	group.configs[C].imported_tables = &group.table;
	group.configs[C].imported_memory_count = 2;
	clone_is_refused(&group);
	group.configs[C].imported_memory_count = 3;
	/* Another one each time is as good. */
	own = conform_take(&group.conform, NULL, WPAGE);
	group.unlinked[2] = own;
	CONFORM_MUST(clone(&group, clones), &group.error);
	CHECK(fl_instance_memory(clones[C], 2) == own);
	stop_instances(clones);
	conform_give(own);
	stop_instances(group.instances);
	group_close(&group);
}

/* What the caller gives for a memory of the group is not taken for it. */
static void links_are_the_snapshots(void)
{
	struct fl_instance *clones[GROUP];
	struct fl_memory *own;
	struct group group;

	group_open(&group, FL_ALLOCATION_POOLING);
	capture_all(&group);
	own = conform_take(&group.conform, NULL, 3 * WPAGE);
	group.unlinked[0] = own;
	group.unlinked[1] = own;
	group.a_memory = own;
	CONFORM_MUST(clone(&group, clones), &group.error);
	check_clones(clones, &group);
	stop_instances(clones);
	conform_check_zero(own);
	conform_give(own);
	stop_instances(group.instances);
	group_close(&group);
}

/* ------------------------------------------------------------------ failures */

/* So many of the pool's things are left; all is as before afterwards. */
static void check_full(struct group *group, int err)
{
	struct fl_pool_info before = conform_info(&group->conform), after;
	struct fl_instance *clones[GROUP];

	CHECK_EQ(clone(group, clones), err);
	CHECK_EQ(group->error.code, err);
	after = conform_info(&group->conform);
	CHECK_EQ(after.live_memories, before.live_memories);
	CHECK_EQ(after.live_tables, before.live_tables);
	CHECK_EQ(after.live_instances, before.live_instances);
	CHECK_EQ(after.retired_memories + after.retired_tables +
			 after.retired_instances,
		 0);
}

/* A group needs three memories, one table, three instances. */
static void a_full_pool_holds_nothing_of_it(void)
{
	struct fl_instance *clones[GROUP];
	struct fl_memory *fillers[20];
	struct fl_pool_info info;
	struct group group;
	uint32_t count = 0;

	group_open(&group, FL_ALLOCATION_POOLING);
	capture_all(&group);
	info = conform_info(&group.conform);
	while (count < info.max_memories - info.live_memories)
		fillers[count++] = conform_take(&group.conform, NULL, WPAGE);
	for (int left = 0; left < 3; left++) {
		check_full(&group, -EAGAIN);
		conform_give(fillers[--count]);
	}
	CONFORM_MUST(clone(&group, clones), &group.error);
	check_clones(clones, &group);
	spoil(clones);
	check_full(&group, -EAGAIN);
	stop_instances(clones);
	CONFORM_MUST(clone(&group, clones), &group.error);
	check_clones(clones, &group);
	stop_instances(clones);
	while (count)
		conform_give(fillers[--count]);
	stop_instances(group.instances);
	group_close(&group);
}

/* Instances run out at each instance of the group in its turn. */
static void instances_run_out(void)
{
	struct fl_instance *fillers[3 * GROUP];
	struct fl_instance *clones[GROUP];
	struct group group;
	uint32_t count = 0;

	group_open(&group, FL_ALLOCATION_POOLING);
	capture_all(&group);
	while (count < 2 * GROUP)
		fillers[count++] =
			instance_start(&group.conform, group.modules[A]);
	for (int left = 0; left < GROUP; left++) {
		check_full(&group, -EAGAIN);
		instance_stop(fillers[--count]);
	}
	CONFORM_MUST(clone(&group, clones), &group.error);
	check_clones(clones, &group);
	stop_instances(clones);
	while (count)
		instance_stop(fillers[--count]);
	stop_instances(group.instances);
	group_close(&group);
}

static void each_restore_may_fail(void)
{
	struct fl_instance *clones[GROUP];
	struct group group;

	for (int allocation = 0; allocation < 2; allocation++) {
		group_open(&group, allocation ? FL_ALLOCATION_ON_DEMAND :
						FL_ALLOCATION_POOLING);
		capture_all(&group);
		for (uint32_t i = 0; i < GROUP; i++) {
			group.fails_at = i;
			check_full(&group, -EBUSY);
			CHECK_EQ(group.restored, i + 1);
		}
		group.fails_at = UINT32_MAX;
		CONFORM_MUST(clone(&group, clones), &group.error);
		check_clones(clones, &group);
		stop_instances(clones);
		stop_instances(group.instances);
		group_close(&group);
	}
}

static const struct test_case cases[] = {
	TEST_CASE(clones_are_linked),
	TEST_CASE(clones_are_linked_on_demand),
	TEST_CASE(each_has_a_generation),
	TEST_CASE(clones_are_captured),
	TEST_CASE(a_group_sleeps_and_wakes),
	TEST_CASE(parts_are_refused),
	TEST_CASE(a_group_is_acquired_whole),
	TEST_CASE(imports_of_the_caller),
	TEST_CASE(links_are_the_snapshots),
	TEST_CASE(a_full_pool_holds_nothing_of_it),
	TEST_CASE(instances_run_out),
	TEST_CASE(each_restore_may_fail),
};

CONFORM_MAIN(cases)
