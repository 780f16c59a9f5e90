/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * many.c - up to five modules, instantiated and ended in random order
 * from pools of random configuration, pooling and on demand. Each instance must
 * begin with its module's content, whoever had its slots before, and keep what
 * it wrote whatever the others do.
 */
#include "tests/kit/conform_module.h"
#include "tests/kit/random.h"

#define MODULES 5
#define LIVE 8
#define ELEMENT 8
#define MAX_WPAGES 12
#define MAX_TABLE 600

/* What a module is made of, and so what its instances begin with. */
struct kind {
	struct fl_module *module;
	bool has_memory, has_table;
	uint64_t wpages, elements;
	uint32_t data_off;
	char text[8]; /* empty: no data */
};

struct tenant {
	struct fl_instance *instance;
	const struct kind *kind;
	uint8_t mark;
};

static void kind_build(struct conform *conform, struct test_random *random,
		       uint32_t idx, struct kind *kind)
{
	struct wasm w = { 0 }, tables = { 0 };

	*kind = (struct kind){
		.has_memory = test_random_below(random, 8) != 0,
		.has_table = test_random_below(random, 3) != 0,
		.wpages = test_random_below(random, MAX_WPAGES / 2),
		.elements = test_random_below(random, MAX_TABLE / 2),
	};
	wasm_header(&w);
	if (kind->has_table) {
		wasm_bytes(&tables, 1, 0x70);
		wasm_limits(&tables, 0, kind->elements, 0);
		wasm_section(&w, WASM_TABLE, &tables);
	}
	if (kind->has_memory)
		wasm_one_memory(&w, kind->wpages, WASM_NO_MAX);
	if (kind->has_memory && kind->wpages && test_random_below(random, 2)) {
		snprintf(kind->text, sizeof(kind->text), "text %u", idx);
		kind->data_off = (uint32_t)test_random_below(
			random, kind->wpages * WPAGE - sizeof(kind->text));
		wasm_one_data(&w, kind->data_off, kind->text,
			      strlen(kind->text));
	}
	kind->module = module_load(conform, &w);
}

static void pool_config(struct test_random *random,
			struct fl_pool_config *config)
{
	static const uint64_t budgets[] = { 0, 8192, UINT64_MAX };

	fl_pool_config_init(config);
	config->max_instances = 1 + (uint32_t)test_random_below(random, LIVE);
	config->max_memories = 1 + (uint32_t)test_random_below(random, LIVE);
	config->max_tables = 1 + (uint32_t)test_random_below(random, LIVE);
	config->max_memory_bytes = MAX_WPAGES * WPAGE;
	config->memory_stride_bytes = 0;
	config->max_table_elements = MAX_TABLE;
	config->table_element_bytes = ELEMENT;
	config->instance_bytes = test_random_below(random, 9000);
	config->bounds = test_random_below(random, 2) ? FL_BOUNDS_GUARDED :
							FL_BOUNDS_ACCESSIBLE;
	config->strategy = (enum fl_strategy)test_random_below(random, 3);
	config->max_warm_memories = (uint32_t)test_random_below(random, 20);
	config->random_seed = test_random_next(random);
	config->prefix_bytes = test_random_below(random, 2) * 24;
	config->max_idle_slot_bytes = budgets[test_random_below(random, 3)];
	config->max_idle_bytes = budgets[test_random_below(random, 3)];
	config->audit_every = (uint32_t)test_random_below(random, 3);
	config->allocation = test_random_below(random, 4) ?
				     FL_ALLOCATION_POOLING :
				     FL_ALLOCATION_ON_DEMAND;
	if (!test_random_below(random, 2))
		config->table_null = "\xff\xff\xff\xff\xff\xff\xff\xff";
}

static bool all_are(const void *bytes, uint64_t len, uint8_t value)
{
	const uint8_t *at = bytes;

	return !len || (*at == value && !memcmp(at, at + 1, (size_t)len - 1));
}

/* The module's text in zeroes. */
static void check_fresh_memory(const struct kind *kind,
			       const struct fl_memory *memory)
{
	uint64_t len = fl_memory_length(memory);
	uint64_t end = kind->data_off + strlen(kind->text);

	CHECK_EQ(len, kind->wpages * WPAGE);
	CHECK(all_are(memory->base, kind->data_off, 0));
	CHECK(!memcmp(memory->base + kind->data_off, kind->text,
		      strlen(kind->text)));
	CHECK(all_are(memory->base + end, len - end, 0));
}

static void tenant_begin(struct tenant *tenant,
			 const struct fl_pool_config *config)
{
	struct fl_memory *memory = fl_instance_memory(tenant->instance, 0);
	struct fl_table *table = fl_instance_table(tenant->instance, 0);
	uint8_t *structure = fl_instance_structure(tenant->instance);
	uint8_t null = config->table_null ? 0xff : 0, mark = tenant->mark;
	uint8_t element[ELEMENT];

	memset(element, mark, sizeof(element));
	if (memory) {
		uint64_t room = MAX_WPAGES - tenant->kind->wpages;

		check_fresh_memory(tenant->kind, memory);
		CHECK_EQ(fl_memory_grow(memory, mark % (room + 1), NULL), 0);
		CHECK(all_are(memory->base + tenant->kind->wpages * WPAGE,
			      mark % (room + 1) * WPAGE, 0));
		memset(memory->base, mark, fl_memory_length(memory));
	}
	if (table) {
		CHECK_EQ(fl_table_size(table), tenant->kind->elements);
		CHECK(all_are(table->base, table->length * ELEMENT, null));
		CHECK_EQ(fl_table_grow(table, mark, NULL, NULL), 0);
		CHECK(all_are(table->base, table->length * ELEMENT, null));
		CHECK_EQ(fl_table_fill(table, 0, element, table->length), 0);
	}
	if (structure) {
		CHECK(all_are(structure, config->instance_bytes, 0));
		memset(structure, mark, config->instance_bytes);
	}
}

static void tenant_end(struct tenant *tenant,
		       const struct fl_pool_config *config)
{
	struct fl_memory *memory = fl_instance_memory(tenant->instance, 0);
	struct fl_table *table = fl_instance_table(tenant->instance, 0);
	uint8_t *structure = fl_instance_structure(tenant->instance);

	if (memory)
		CHECK(all_are(memory->base, fl_memory_length(memory),
			      tenant->mark));
	if (table)
		CHECK(all_are(table->base, table->length * ELEMENT,
			      tenant->mark));
	if (structure)
		CHECK(all_are(structure, config->instance_bytes, tenant->mark));
	instance_stop(tenant->instance);
	tenant->instance = NULL;
}

static void step(struct conform *conform, struct test_random *random,
		 const struct fl_pool_config *config, const struct kind *kinds,
		 struct tenant *tenants)
{
	struct tenant *tenant = &tenants[test_random_below(random, LIVE)];
	struct fl_error error = { .text = "" };
	int err;

	if (tenant->instance) {
		tenant_end(tenant, config);
		return;
	}
	tenant->kind = &kinds[test_random_below(random, MODULES)];
	tenant->mark = (uint8_t)(1 + test_random_below(random, 254));
	err = fl_instance_acquire(conform->pool, tenant->kind->module, NULL,
				  &tenant->instance, &error);
	if (err) {
		/* Full, and only that. */
		CHECK_EQ(err, -EAGAIN);
		CHECK_EQ(config->allocation, FL_ALLOCATION_POOLING);
		tenant->instance = NULL;
		return;
	}
	tenant_begin(tenant, config);
}

static void one_pool(struct test_random *random, int steps)
{
	struct tenant tenants[LIVE] = { { 0 } };
	struct kind kinds[MODULES];
	struct fl_pool_config config;
	struct conform conform;
	uint32_t i;

	pool_config(random, &config);
	conform_open(&conform, &config);
	for (i = 0; i < MODULES; i++)
		kind_build(&conform, random, i, &kinds[i]);
	while (steps--) {
		step(&conform, random, &config, kinds, tenants);
		if (!test_random_below(random, 50))
			CHECK_EQ(fl_pool_trim(conform.pool, 4096, NULL), 0);
		if (!test_random_below(random, 50))
			CHECK_EQ(fl_pool_purge(conform.pool, kinds[0].module,
					       NULL, NULL),
				 0);
	}
	for (i = 0; i < LIVE; i++) {
		if (tenants[i].instance)
			tenant_end(&tenants[i], &config);
	}
	check_nothing_held(&conform);
	for (i = 0; i < MODULES; i++)
		fl_module_release(kinds[i].module);
	conform_close(&conform);
}

static void random_instances_of_random_pools(void)
{
	struct test_random random;
	int rounds = test_is_sanitized() ? 3 : 12;

	test_random_init(&random, 2021);
	while (rounds--)
		one_pool(&random, 150);
}

/* In any order, not only in reverse. */
static void ended_in_any_order(void)
{
	struct fl_instance *instances[4];
	struct fl_pool_config config;
	struct fl_module *module;
	struct conform conform;

	conform_pool_config(&config);
	config.max_tables = 4;
	conform_open(&conform, &config);
	module = module_simple(&conform, 2, 70000, "here");
	for (uint32_t order = 0; order < 24; order++) {
		bool ended[4] = { false };

		for (size_t i = 0; i < 4; i++) {
			instances[i] = instance_start(&conform, module);
			check_text(fl_instance_memory(instances[i], 0), 70000,
				   "here");
			memset(fl_instance_memory(instances[i], 0)->base, 1,
			       2 * WPAGE);
		}
		for (uint32_t left = 4, code = order; left; left--) {
			uint32_t skip = code % left, i = 0;

			code /= left;
			while (ended[i] || skip--)
				i++;
			while (ended[i])
				i++;
			ended[i] = true;
			instance_stop(instances[i]);
		}
	}
	check_nothing_held(&conform);
	fl_module_release(module);
	conform_close(&conform);
}

static const struct test_case cases[] = {
	TEST_CASE(random_instances_of_random_pools),
	TEST_CASE(ended_in_any_order),
};

CONFORM_MAIN(cases)
