/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * lookup.c - what fl_fault_lookup() says of every host page of a pool
 * that holds memories, tables, instances with structures, and stacks; and
 * fl_memory_find(), fl_table_find() beside it. Written from the header; pooled
 * and on demand. What is special to memories is in conform/bounds.c.
 *
 * A world is a pool with two of each; the tests know where everything is, walk
 * all addresses around, and compare the answer with what they know.
 */
#define _GNU_SOURCE
#include "tests/kit/conform_module.h"
#include "tests/kit/trap.h"

#include <pthread.h>
#include <stdatomic.h>

#define STACK_BYTES (32 * KIB)
#define STRUCTURE_BYTES 10000
#define ELEMENTS 600
#define ELEMENT_BYTES 24

struct world {
	struct conform conform;
	bool is_on_demand;
	struct fl_module *module;
	struct fl_memory *memories[2];
	struct fl_table *tables[2];
	struct fl_instance *instances[2];
	struct fl_stack *stacks[2];
};

static uint8_t *addr_at(const void *from, int64_t off)
{
	return (uint8_t *)((uintptr_t)from + (uintptr_t)off);
}

static void world_config(struct fl_pool_config *config,
			 enum fl_allocation allocation)
{
	conform_pool_config(config);
	config->allocation = allocation;
	config->max_memory_bytes = 512 * KIB;
	config->max_tables = 4;
	config->max_table_elements = 1000;
	config->table_element_bytes = ELEMENT_BYTES;
	config->max_stacks = 2;
	config->stack_bytes = STACK_BYTES;
	config->instance_bytes = STRUCTURE_BYTES;
}

/* A memory of one wpage with data, and a table of 600 functions. */
static struct fl_module *world_module(struct conform *conform)
{
	struct wasm w = { 0 }, tables = { 0 };

	wasm_header(&w);
	wasm_u(&tables, 1);
	wasm_bytes(&tables, 0x70);
	wasm_limits(&tables, 0, ELEMENTS, 0);
	wasm_section(&w, WASM_TABLE, &tables);
	wasm_one_memory(&w, 1, WASM_NO_MAX);
	wasm_one_data(&w, 10, "world", 5);
	return module_load(conform, &w);
}

static struct fl_table *world_table(struct world *world)
{
	struct fl_error error = { .text = "" };
	struct fl_table_config config;
	struct fl_table *table = NULL;

	fl_table_config_init(&config);
	config.initial_elements = ELEMENTS;
	CONFORM_MUST(fl_table_acquire(world->conform.pool, &config, &table,
				      &error),
		     &error);
	return table;
}

static void world_fill(struct world *world)
{
	struct fl_error error = { .text = "" };

	for (int i = 0; i < 2; i++) {
		world->memories[i] = conform_take(&world->conform, NULL, WPAGE);
		world->tables[i] = world_table(world);
		world->instances[i] =
			instance_start(&world->conform, world->module);
		CONFORM_MUST(fl_stack_acquire(world->conform.pool, 0,
					      &world->stacks[i], &error),
			     &error);
	}
}

static void world_open(struct world *world, const struct fl_pool_config *config)
{
	memset(world, 0, sizeof(*world));
	world->is_on_demand = config->allocation == FL_ALLOCATION_ON_DEMAND;
	conform_open(&world->conform, config);
	world->module = world_module(&world->conform);
	world_fill(world);
}

static void world_empty(struct world *world)
{
	for (int i = 0; i < 2; i++) {
		CHECK_EQ(fl_stack_release(world->stacks[i]), 0);
		instance_stop(world->instances[i]);
		CHECK_EQ(fl_table_release(world->tables[i]), 0);
		conform_give(world->memories[i]);
	}
}

static void world_close(struct world *world)
{
	fl_module_release(world->module);
	conform_close(&world->conform);
}

static void each_allocation(void (*fn)(const struct fl_pool_config *config))
{
	for (int i = 0; i < 2 && !test_has_failed(); i++) {
		struct fl_pool_config config;

		world_config(&config, i ? FL_ALLOCATION_ON_DEMAND :
					  FL_ALLOCATION_POOLING);
		fn(&config);
		if (test_has_failed())
			test_note("%s", i ? "on demand" : "pooling");
	}
}

/* ----------------------------------------------------------------- expected */

static bool is_within(const void *addr, const void *low, uint64_t len)
{
	return (uintptr_t)addr - (uintptr_t)low < len;
}

/* Inside the size of something that lives; false: not known. */
static bool expect_live(const struct world *world, const uint8_t *addr,
			struct fl_fault *want)
{
	*want = (struct fl_fault){ .kind = FL_FAULT_IN_BOUNDS };
	for (int i = 0; i < 2; i++) {
		struct fl_instance *instance = world->instances[i];
		struct fl_memory *memories[] = {
			world->memories[i], fl_instance_memory(instance, 0)
		};
		struct fl_table *tables[] = { world->tables[i],
					      fl_instance_table(instance, 0) };
		const struct fl_stack *stack = world->stacks[i];

		for (int j = 0; j < 2; j++) {
			want->instance = j ? instance : NULL;
			want->memory = memories[j];
			if (is_within(addr, memories[j]->base,
				      memories[j]->length_bytes))
				return true;
			want->memory = NULL;
			want->table = tables[j];
			if (is_within(addr, tables[j]->base,
				      tables[j]->length * ELEMENT_BYTES))
				return true;
			want->table = NULL;
		}
		want->instance = instance;
		if (is_within(addr, fl_instance_structure(instance),
			      STRUCTURE_BYTES))
			return true;
		want->instance = NULL;
		want->stack = world->stacks[i];
		if (is_within(addr, stack->low,
			      (uint64_t)(stack->high - stack->low)))
			return true;
		want->stack = NULL;
	}
	return false;
}

/* What holds of any answer. */
static bool check_consistent(const struct fl_fault *fault)
{
	int named = !!fault->memory + !!fault->table + !!fault->stack;

	CHECK(named <= 1);
	switch (fault->kind) {
	case FL_FAULT_OUT_OF_BOUNDS:
		/* Beside a structure no guest can have trapped. */
		CHECK_EQ(fault->is_trap, fault->memory || fault->table);
		CHECK(fault->memory || fault->table || fault->instance);
		CHECK(!fault->stack);
		if (fault->memory)
			CHECK_EQ(fault->trap, FL_TRAP_MEMORY_OUT_OF_BOUNDS);
		if (fault->table)
			CHECK_EQ(fault->trap, FL_TRAP_TABLE_OUT_OF_BOUNDS);
		break;
	case FL_FAULT_STACK_GUARD:
		CHECK(fault->stack != NULL);
		CHECK_EQ(fault->trap, FL_TRAP_NONE);
		break;
	case FL_FAULT_IN_BOUNDS:
		CHECK(!fault->is_trap);
		CHECK_EQ(fault->trap, FL_TRAP_NONE);
		CHECK(named || fault->instance);
		break;
	default:
		CHECK(!fault->is_trap);
		CHECK_EQ(fault->trap, FL_TRAP_NONE);
		CHECK(!named && !fault->instance);
	}
	return !test_has_failed();
}

static void check_addr(const struct world *world, const uint8_t *addr)
{
	struct fl_fault fault, want;
	bool is_live = expect_live(world, addr, &want), is_ours;

	memset(&fault, 0xa5, sizeof(fault));
	is_ours = fl_fault_lookup(world->conform.context, addr, &fault);
	CHECK_EQ(is_ours, fault.kind != FL_FAULT_NOT_OURS);
	if (!check_consistent(&fault))
		test_note("%p: kind %d, trap %d %d, m %p t %p s %p i %p at %jd",
			  (const void *)addr, fault.kind, fault.is_trap,
			  fault.trap, (void *)fault.memory, (void *)fault.table,
			  (void *)fault.stack, (void *)fault.instance,
			  (intmax_t)fault.offset_bytes);
	if (is_live) {
		CHECK_EQ(fault.kind, FL_FAULT_IN_BOUNDS);
		CHECK(fault.memory == want.memory);
		CHECK(fault.table == want.table);
		CHECK(fault.stack == want.stack);
		CHECK(fault.instance == want.instance);
	} else {
		CHECK(fault.kind != FL_FAULT_IN_BOUNDS);
	}
	if (fault.memory)
		CHECK(fault.memory->base + fault.offset_bytes == addr);
	if (fault.table)
		CHECK((uint8_t *)fault.table->base + fault.offset_bytes ==
		      addr);
}

/* --------------------------------------------------------------- every page */

/* The end of what is ours around addr, in steps of a host page. */
static uint8_t *edge(const struct world *world, uint8_t *addr, int64_t step)
{
	struct fl_fault fault;

	while (fl_fault_lookup(world->conform.context, addr, &fault))
		addr = addr_at(addr, step);
	return addr;
}

/* From a host page before what is ours around addr to one after. */
static uint64_t walk(const struct world *world, void *addr)
{
	int64_t hpage = (int64_t)conform_hpage();
	uint8_t *at = (uint8_t *)((uintptr_t)addr & -(uintptr_t)hpage);
	uint8_t *low = edge(world, at, -hpage);
	uint8_t *high = edge(world, at, hpage);

	for (at = low; at <= high && !test_has_failed(); at += hpage) {
		check_addr(world, at);
		check_addr(world, at + 1);
		check_addr(world, at + hpage / 2 - 8);
		check_addr(world, at + hpage - 1);
	}
	return (uint64_t)(high - low - hpage);
}

static void walk_all(const struct world *world)
{
	for (int i = 0; i < 2 && world->is_on_demand; i++) {
		struct fl_instance *instance = world->instances[i];

		walk(world, world->memories[i]->base);
		walk(world, world->tables[i]->base);
		walk(world, world->stacks[i]->low);
		walk(world, fl_instance_memory(instance, 0)->base);
		walk(world, fl_instance_table(instance, 0)->base);
		walk(world, fl_instance_structure(instance));
	}
	/* A pool is one stretch, all of it ours. */
	if (!world->is_on_demand)
		CHECK_EQ(walk(world, world->memories[0]->base),
			 conform_info(&world->conform).reserved_bytes);
}

static void check_every_page(const struct fl_pool_config *config)
{
	struct world world;

	world_open(&world, config);
	walk_all(&world);
	CHECK_EQ(fl_memory_grow(world.memories[0], 3, NULL), 0);
	CHECK_EQ(fl_table_grow(world.tables[1], 200, NULL, NULL), 0);
	walk_all(&world);
	world_empty(&world);
	world_fill(&world);
	walk_all(&world);
	world_empty(&world);
	world_close(&world);
}

static void every_page(void)
{
	each_allocation(check_every_page);
}

static void check_odd_layout(const struct fl_pool_config *config)
{
	struct fl_pool_config mine = *config;
	struct world world;

	mine.guard_before_bytes = 100 * KIB;
	mine.prefix_bytes = 5000;
	mine.memory_alignment_bytes = 1 * MIB;
	mine.guard_after_bytes = 0;
	mine.instance_alignment_bytes = 64 * KIB;
	mine.stack_growth = FL_STACK_GROWS_UP;
	world_open(&world, &mine);
	walk_all(&world);
	world_empty(&world);
	world_close(&world);
}

/* Tables and structures have no guards between them. */
static void check_accessible(const struct fl_pool_config *config)
{
	struct fl_pool_config mine = *config;
	struct world world;

	mine.bounds = FL_BOUNDS_ACCESSIBLE;
	world_open(&world, &mine);
	walk_all(&world);
	world_empty(&world);
	world_close(&world);
}

static void every_page_of_an_accessible_pool(void)
{
	each_allocation(check_accessible);
}

static void every_page_with_gaps_guards_and_prefixes(void)
{
	each_allocation(check_odd_layout);
}

/* ------------------------------------------------------------------- bounds */

static struct fl_fault look(const struct world *world, const void *addr)
{
	struct fl_fault fault;

	memset(&fault, 0xa5, sizeof(fault));
	CHECK(fl_fault_lookup(world->conform.context, addr, &fault));
	check_consistent(&fault);
	return fault;
}

/* Past the size of a table: the table's trap; past its slot's elements too. */
static void check_tables(const struct fl_pool_config *config)
{
	struct world world;

	world_open(&world, config);
	for (int i = 0; i < 4; i++) {
		struct fl_instance *instance = i & 1 ? world.instances[i / 2] :
						       NULL;
		struct fl_table *table =
			instance ? fl_instance_table(instance, 0) :
				   world.tables[i / 2];
		int64_t past = ELEMENTS * ELEMENT_BYTES;
		struct fl_fault fault;

		fault = look(&world, addr_at(table->base, past - 1));
		CHECK_EQ(fault.kind, FL_FAULT_IN_BOUNDS);
		CHECK(fault.table == table);
		for (int64_t off = past; off < 1000 * ELEMENT_BYTES; off += 8) {
			fault = look(&world, addr_at(table->base, off));
			CHECK_EQ(fault.kind, FL_FAULT_OUT_OF_BOUNDS);
			CHECK_EQ(fault.trap, FL_TRAP_TABLE_OUT_OF_BOUNDS);
			CHECK(fault.table == table);
			CHECK(fault.instance == instance);
			CHECK_EQ(fault.offset_bytes, off);
		}
		CHECK(fl_table_find(world.conform.pool, table->base) == table);
		CHECK(!fl_table_find(world.conform.pool,
				     addr_at(table->base, 8)));
		CHECK(!fl_memory_find(world.conform.pool, table->base));
	}
	world_empty(&world);
	world_close(&world);
}

static void beyond_a_table(void)
{
	each_allocation(check_tables);
}

/* An access that a compiler of a large reservation does not check: anywhere
 * in the stride, and the memory is named. */
static void check_stride(const struct fl_pool_config *config)
{
	struct fl_pool_config mine = *config;
	struct world world;

	mine.memory_stride_bytes = LARGE_STRIDE;
	mine.max_memory_bytes = HALF_STRIDE;
	world_open(&world, &mine);
	for (int i = 0; i < 2; i++) {
		struct fl_instance *instance = world.instances[i];
		struct fl_memory *memory = fl_instance_memory(instance, 0);
		static const int64_t offs[] = { WPAGE, LARGE_STRIDE / 8,
						HALF_STRIDE - 1, HALF_STRIDE,
						LARGE_STRIDE - 8 };

		for (size_t j = 0; j < TEST_ARRAY_SIZE(offs); j++) {
			uint8_t *addr = addr_at(memory->base, offs[j]);
			struct fl_fault fault = look(&world, addr);

			CHECK_EQ(fault.kind, FL_FAULT_OUT_OF_BOUNDS);
			CHECK(fault.memory == memory);
			CHECK(fault.instance == instance);
			CHECK_EQ(fault.offset_bytes, offs[j]);
			CHECK(test_traps(addr));
		}
	}
	world_empty(&world);
	world_close(&world);
}

static void anywhere_in_the_stride(void)
{
	each_allocation(check_stride);
}

/* At the structure: the instance and nothing else. */
static void check_structures(const struct fl_pool_config *config)
{
	struct world world;

	world_open(&world, config);
	for (int i = 0; i < 2; i++) {
		uint8_t *at = fl_instance_structure(world.instances[i]);

		for (int64_t off = 0; off < STRUCTURE_BYTES; off += 100) {
			struct fl_fault fault = look(&world, at + off);

			CHECK_EQ(fault.kind, FL_FAULT_IN_BOUNDS);
			CHECK(fault.instance == world.instances[i]);
			CHECK(!fault.memory && !fault.table && !fault.stack);
		}
	}
	world_empty(&world);
	world_close(&world);
}

static void at_a_structure(void)
{
	each_allocation(check_structures);
}

/* --------------------------------------------------------------------- free */

static void check_gone(const struct world *world, const void *addr)
{
	struct fl_fault fault;
	bool is_ours;

	memset(&fault, 0xa5, sizeof(fault));
	is_ours = fl_fault_lookup(world->conform.context, addr, &fault);
	CHECK_EQ(is_ours, !world->is_on_demand);
	CHECK_EQ(fault.kind,
		 world->is_on_demand ? FL_FAULT_NOT_OURS : FL_FAULT_FREE_SLOT);
	check_consistent(&fault);
	CHECK(!fl_memory_find(world->conform.pool, addr));
	CHECK(!fl_table_find(world->conform.pool, addr));
}

static void check_free(const struct fl_pool_config *config)
{
	struct world world;
	void *addrs[12];

	world_open(&world, config);
	for (int i = 0; i < 2; i++) {
		struct fl_instance *instance = world.instances[i];

		addrs[6 * i] = world.memories[i]->base;
		addrs[6 * i + 1] = world.tables[i]->base;
		addrs[6 * i + 2] = world.stacks[i]->low;
		addrs[6 * i + 3] = fl_instance_memory(instance, 0)->base;
		addrs[6 * i + 4] = fl_instance_table(instance, 0)->base;
		addrs[6 * i + 5] = fl_instance_structure(instance);
	}
	world_empty(&world);
	for (size_t i = 0; i < TEST_ARRAY_SIZE(addrs); i++)
		check_gone(&world, addrs[i]);
	CHECK_EQ(fl_pool_trim(world.conform.pool, UINT64_MAX, NULL), 0);
	for (size_t i = 0; i < TEST_ARRAY_SIZE(addrs); i++)
		check_gone(&world, addrs[i]);
	world_close(&world);
}

static void after_release(void)
{
	each_allocation(check_free);
}

static void check_foreign(const struct fl_pool_config *config)
{
	struct fl_context *other = conform_context();
	const void *addrs[4];
	struct world world;

	world_open(&world, config);
	addrs[0] = NULL;
	addrs[1] = (const void *)UINTPTR_MAX;
	addrs[2] = &world;
	addrs[3] = addr_at(NULL, 4096);
	for (size_t i = 0; i < TEST_ARRAY_SIZE(addrs); i++) {
		struct fl_fault fault;

		memset(&fault, 0xa5, sizeof(fault));
		CHECK(!fl_fault_lookup(world.conform.context, addrs[i],
				       &fault));
		CHECK_EQ(fault.kind, FL_FAULT_NOT_OURS);
		check_consistent(&fault);
		CHECK(!fl_memory_find(world.conform.pool, addrs[i]));
		CHECK(!fl_table_find(world.conform.pool, addrs[i]));
		/* Another context's pools are another's. */
		CHECK(!fl_fault_lookup(other, world.memories[0]->base, &fault));
		CHECK(!fl_fault_lookup(other, world.stacks[0]->low, &fault));
	}
	world_empty(&world);
	world_close(&world);
	fl_context_destroy(other);
}

static void what_is_not_ours(void)
{
	each_allocation(check_foreign);
}

/* Two pools of a context, one of each allocation. */
static void two_pools(void)
{
	struct fl_pool_config config;
	struct world world, second;
	struct fl_fault fault;
	uint8_t *base;

	world_config(&config, FL_ALLOCATION_POOLING);
	world_open(&world, &config);
	memset(&second, 0, sizeof(second));
	second.conform.context = world.conform.context;
	second.module = world.module;
	second.is_on_demand = true;
	config.allocation = FL_ALLOCATION_ON_DEMAND;
	MUST_EQ(fl_pool_create(second.conform.context, &config,
			       &second.conform.pool, NULL),
		0);
	world_fill(&second);
	for (int i = 0; i < 2; i++) {
		check_addr(&world, world.memories[i]->base);
		check_addr(&world, world.tables[i]->base);
		check_addr(&world, world.stacks[i]->low);
		check_addr(&second, second.memories[i]->base);
		check_addr(&second, second.tables[i]->base);
		check_addr(&second, second.stacks[i]->low);
		CHECK(!fl_memory_find(world.conform.pool,
				      second.memories[i]->base));
		CHECK(!fl_memory_find(second.conform.pool,
				      world.memories[i]->base));
	}
	base = second.memories[0]->base;
	world_empty(&second);
	check_gone(&second, base);
	CHECK_EQ(fl_pool_destroy(second.conform.pool), 0);
	CHECK(!fl_fault_lookup(world.conform.context, base, &fault));
	walk_all(&world);
	world_empty(&world);
	world_close(&world);
}

/* There is nothing to find, and nothing to divide by. */
static void check_nothing(const struct fl_pool_config *config)
{
	struct conform conform;
	struct fl_fault fault;

	conform_open(&conform, config);
	for (uintptr_t addr = 0; addr < 5 * 4096; addr += 8) {
		const void *at = addr_at(NULL, (int64_t)addr);

		CHECK(!fl_memory_find(conform.pool, at));
		CHECK(!fl_table_find(conform.pool, at));
		CHECK(!fl_fault_lookup(conform.context, at, &fault));
	}
	CHECK(!fl_memory_find(conform.pool, config));
	CHECK(!fl_table_find(conform.pool, config));
	CHECK(!fl_fault_lookup(conform.context, config, &fault));
	conform_close(&conform);
}

/* Counts of 0, and counts of what has no size. */
static void check_none(const struct fl_pool_config *config)
{
	struct fl_pool_config mine = *config;

	mine.instance_bytes = 0;
	mine.max_table_elements = 0;
	mine.max_memories = 0;
	mine.max_stacks = 0;
	check_nothing(&mine);
	mine.max_tables = 0;
	mine.max_instances = 0;
	check_nothing(&mine);
	mine.max_table_elements = 100;
	check_nothing(&mine);
}

static void pool_of_nothing(void)
{
	each_allocation(check_none);
}

/* Tables that never have an element have no address of their own. */
static void check_empty_tables(const struct fl_pool_config *config)
{
	struct fl_pool_config mine = *config;
	struct fl_table *tables[2] = { NULL };
	struct fl_table_config table_config;
	struct conform conform;

	mine.max_table_elements = 0;
	conform_open(&conform, &mine);
	fl_table_config_init(&table_config);
	for (int i = 0; i < 2; i++) {
		MUST_EQ(fl_table_acquire(conform.pool, &table_config,
					 &tables[i], NULL),
			0);
		CHECK_EQ(fl_table_size(tables[i]), 0);
		CHECK_EQ(fl_table_grow(tables[i], 1, NULL, NULL), -E2BIG);
		(void)fl_table_find(conform.pool, tables[i]->base);
	}
	for (int i = 0; i < 2; i++)
		CHECK_EQ(fl_table_release(tables[i]), 0);
	conform_close(&conform);
}

static void tables_of_nothing(void)
{
	each_allocation(check_empty_tables);
}

/* ------------------------------------------------------------------ threads */

struct crew {
	struct world world;
	atomic_bool is_over;
	_Atomic(uintptr_t) shown[4];
};

static void *tenant_loop(void *arg)
{
	struct crew *crew = arg;

	for (int i = 0; i < 30; i++) {
		struct world mine = crew->world;

		world_fill(&mine);
		atomic_store(&crew->shown[0],
			     (uintptr_t)mine.memories[0]->base);
		atomic_store(&crew->shown[1], (uintptr_t)mine.tables[0]->base);
		atomic_store(&crew->shown[2], (uintptr_t)mine.stacks[0]->low);
		atomic_store(&crew->shown[3], (uintptr_t)fl_instance_structure(
						      mine.instances[1]));
		CHECK_EQ(look(&mine, mine.tables[1]->base).kind,
			 FL_FAULT_IN_BOUNDS);
		CHECK(look(&mine, mine.stacks[1]->low).stack == mine.stacks[1]);
		CHECK(look(&mine, mine.memories[1]->base).memory ==
		      mine.memories[1]);
		CHECK(fl_table_find(mine.conform.pool, mine.tables[0]->base) ==
		      mine.tables[0]);
		world_empty(&mine);
	}
	return NULL;
}

/* Whatever it is by now, the answer is one of those that are possible. */
static void *lookup_loop(void *arg)
{
	struct crew *crew = arg;

	while (!atomic_load(&crew->is_over)) {
		for (int i = 0; i < 4; i++) {
			uintptr_t addr = atomic_load(&crew->shown[i]);
			struct fl_fault fault;

			fl_fault_lookup(crew->world.conform.context,
					addr_at(NULL, (int64_t)addr), &fault);
			check_consistent(&fault);
			CHECK(fault.kind != FL_FAULT_OUT_OF_BOUNDS || i == 0 ||
			      crew->world.is_on_demand);
			fl_memory_find(crew->world.conform.pool,
				       addr_at(NULL, (int64_t)addr));
			fl_table_find(crew->world.conform.pool,
				      addr_at(NULL, (int64_t)addr));
		}
	}
	return NULL;
}

static void check_threads(const struct fl_pool_config *config)
{
	struct fl_pool_config mine = *config;
	pthread_t tenants[2], lookers[2];
	struct crew crew;

	memset(&crew, 0, sizeof(crew));
	mine.max_memories *= 2;
	mine.max_tables *= 2;
	mine.max_stacks *= 2;
	mine.max_instances *= 2;
	world_open(&crew.world, &mine);
	world_empty(&crew.world);
	for (int i = 0; i < 2; i++) {
		MUST_EQ(pthread_create(&lookers[i], NULL, lookup_loop, &crew),
			0);
		MUST_EQ(pthread_create(&tenants[i], NULL, tenant_loop, &crew),
			0);
	}
	for (int i = 0; i < 2; i++)
		pthread_join(tenants[i], NULL);
	atomic_store(&crew.is_over, true);
	for (int i = 0; i < 2; i++)
		pthread_join(lookers[i], NULL);
	world_close(&crew.world);
}

static void beside_acquire_and_release(void)
{
	each_allocation(check_threads);
}

static const struct test_case cases[] = {
	TEST_CASE(every_page),
	TEST_CASE(every_page_of_an_accessible_pool),
	TEST_CASE(every_page_with_gaps_guards_and_prefixes),
	TEST_CASE(beyond_a_table),
	TEST_CASE(anywhere_in_the_stride),
	TEST_CASE(at_a_structure),
	TEST_CASE(after_release),
	TEST_CASE(what_is_not_ours),
	TEST_CASE(two_pools),
	TEST_CASE(pool_of_nothing),
	TEST_CASE(tables_of_nothing),
	TEST_CASE(beside_acquire_and_release),
};

CONFORM_MAIN(cases)
