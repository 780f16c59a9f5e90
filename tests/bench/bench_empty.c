/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * bench_empty.c - what does taking and giving back cost by itself, and do
 * threads stand in each other's way?
 *
 * Nothing is written in what is taken, so what is left is the books: an
 * instance of a module without memories or tables, a table, a stack. All
 * threads share one pool and the same modules. Beside them runs a loop that
 * shares nothing: what it does not scale by, the machine does not give.
 */
#include "bench.h"

#include <faultline.h>

#include <errno.h>
#include <stdlib.h>

#define POOL_SLOTS 256
#define MODULES_MAX 64
#define ELEMENT_BYTES 32
#define ELEMENTS_MAX (UINT64_C(1) << 24)
#define LOOP_STEPS 64

enum {
	MODULES,
	STRUCTURE,
	ELEMENTS,
	N_PARAMS,
};

static const struct bench_param params[N_PARAMS] = {
	[MODULES] = { "modules", BENCH_NUMBER, "1", NULL,
		      "empty modules, of which each thread takes one after another" },
	[STRUCTURE] = { "structure", BENCH_NUMBER, "0", NULL,
			"bytes of the runtime's structure in each instance" },
	[ELEMENTS] = { "elements", BENCH_NUMBER, "1024", NULL,
		       "size of the table, of 32 bytes each" },
};

/* What all lanes use; made by the first, dropped by the last. */
static struct {
	unsigned int n_lanes;
	struct fl_context *context;
	struct fl_pool *pool;
	struct fl_module *modules[MODULES_MAX];
	uint64_t n_modules;
} shared;

struct lane {
	const struct bench_case *c;
	struct fl_instance *instance;
	struct fl_table *table;
	struct fl_stack *stack;
	uint64_t turn;
	uint64_t sum;
};

static int load_modules(uint64_t count)
{
	static const uint8_t empty[] = { 0, 'a', 's', 'm', 1, 0, 0, 0 };
	struct fl_module_config config;
	int err = 0;

	fl_module_config_init(&config);
	config.bytes = empty;
	config.length_bytes = sizeof(empty);
	shared.n_modules = count;
	for (uint64_t i = 0; i < count && !err; i++)
		err = fl_module_load(shared.context, &config,
				     &shared.modules[i], NULL);
	return err;
}

static int shared_make(const struct bench_case *c)
{
	struct fl_pool_config config;
	int err = fl_context_create(NULL, &shared.context, NULL);

	if (!err)
		err = load_modules(c->values[MODULES]);
	if (err)
		return err;
	fl_pool_config_init(&config);
	config.max_instances = POOL_SLOTS;
	config.max_memories = 0;
	config.max_tables = POOL_SLOTS;
	config.max_table_elements = c->values[ELEMENTS];
	config.table_element_bytes = ELEMENT_BYTES;
	config.max_stacks = POOL_SLOTS;
	config.instance_bytes = c->values[STRUCTURE];
	return fl_pool_create(shared.context, &config, &shared.pool, NULL);
}

static void shared_drop(void)
{
	if (shared.n_lanes)
		return;
	fl_pool_destroy(shared.pool);
	shared.pool = NULL;
	for (uint64_t i = 0; i < MODULES_MAX; i++) {
		fl_module_release(shared.modules[i]);
		shared.modules[i] = NULL;
	}
	fl_context_destroy(shared.context);
	shared.context = NULL;
}

static int lane_setup(const struct bench_case *c,
		      const struct bench_guest *guest, void **state)
{
	struct lane *lane = NULL;
	int err = 0;

	if (!shared.n_lanes)
		err = shared_make(c);
	/* Two threads' lanes are never in one cache line. */
	if (!err && posix_memalign((void **)&lane, 256, 256))
		err = -ENOMEM;
	if (err) {
		shared_drop();
		return err;
	}
	*lane = (struct lane){ .c = c, .turn = guest->thread_idx };
	shared.n_lanes++;
	*state = lane;
	return 0;
}

static void lane_teardown(void *state)
{
	struct lane *lane = state;

	if (lane->instance)
		(void)fl_instance_release(lane->instance);
	if (lane->table)
		(void)fl_table_release(lane->table);
	if (lane->stack)
		(void)fl_stack_release(lane->stack);
	free(lane);
	shared.n_lanes--;
	shared_drop();
}

static void lane_describe(void *state, char *text, size_t size)
{
	(void)state;
	snprintf(text, size, "%s/%s", fl_context_backend(shared.context),
		 fl_context_rung(shared.context, NULL));
}

static int instance_take(void *state, uint8_t **base)
{
	struct lane *lane = state;
	uint64_t turn = lane->turn++ % shared.n_modules;
	int err = fl_instance_acquire(shared.pool, shared.modules[turn], NULL,
				      &lane->instance, NULL);

	if (!err)
		*base = fl_instance_structure(lane->instance);
	return err;
}

static int instance_give(void *state)
{
	struct lane *lane = state;
	struct fl_instance *instance = lane->instance;

	lane->instance = NULL;
	return fl_instance_release(instance);
}

static int table_take(void *state, uint8_t **base)
{
	struct lane *lane = state;
	struct fl_table_config config;
	int err;

	fl_table_config_init(&config);
	config.initial_elements = lane->c->values[ELEMENTS];
	err = fl_table_acquire(shared.pool, &config, &lane->table, NULL);
	if (!err)
		*base = lane->table->base;
	return err;
}

static int table_give(void *state)
{
	struct lane *lane = state;
	struct fl_table *table = lane->table;

	lane->table = NULL;
	return fl_table_release(table);
}

static int stack_take(void *state, uint8_t **base)
{
	struct lane *lane = state;
	int err = fl_stack_acquire(shared.pool, 0, &lane->stack, NULL);

	if (!err)
		*base = lane->stack->low;
	return err;
}

static int stack_give(void *state)
{
	struct lane *lane = state;
	struct fl_stack *stack = lane->stack;

	lane->stack = NULL;
	return fl_stack_release(stack);
}

/* Each step waits for the one before it: so many steps take the same time
 * however wide the processor is. */
static int loop_take(void *state, uint8_t **base)
{
	struct lane *lane = state;
	uint64_t sum = lane->sum;

	for (int i = 0; i < LOOP_STEPS; i++)
		sum = sum * UINT64_C(6364136223846793005) + 1;
	lane->sum = sum;
	*base = NULL;
	return 0;
}

static int loop_give(void *state)
{
	(void)state;
	return 0;
}

#define ROW(row_name, row_note, kind)                                    \
	{                                                                \
		.name = row_name, .note = row_note, .setup = lane_setup, \
		.take = kind##_take, .give = kind##_give,                \
		.teardown = lane_teardown, .describe = lane_describe,    \
	}

static const struct bench_competitor row_instance =
	ROW("faultline-instance", "an instance of an empty module", instance);
static const struct bench_competitor row_table =
	ROW("faultline-table", "a table", table);
static const struct bench_competitor row_stack =
	ROW("faultline-stack", "a stack of 256 KiB", stack);
static const struct bench_competitor row_loop =
	ROW("empty-loop", "arithmetic; shares nothing", loop);

static const struct bench_competitor *const own[] = {
	&row_instance,
	&row_table,
	&row_stack,
	NULL,
};

static const struct bench_competitor *const rivals[] = {
	&row_loop,
	NULL,
};

static void workload(uint64_t *values, struct bench_workload *w)
{
	if (!values[MODULES])
		values[MODULES] = 1;
	if (values[MODULES] > MODULES_MAX)
		values[MODULES] = MODULES_MAX;
	if (values[ELEMENTS] > ELEMENTS_MAX)
		values[ELEMENTS] = ELEMENTS_MAX;
	*w = (struct bench_workload){ .image_wpages = 1 };
}

static int op(struct bench_lane *lane)
{
	const struct bench_competitor *k = lane->competitor;
	int err = k->take(lane->state, &lane->base);

	return err ? err : k->give(lane->state);
}

/* A table must read as nulls, and a structure as zeroes. */
static int verify(struct bench_lane *bench, char *why, size_t why_size)
{
	const struct bench_competitor *k = bench->competitor;
	struct lane *lane = bench->state;
	uint64_t bytes = 0;
	int err = k->take(lane, &bench->base);

	if (err)
		return err;
	if (lane->table)
		bytes = lane->c->values[ELEMENTS] * ELEMENT_BYTES;
	if (lane->instance && bench->base)
		bytes = bench->c->values[STRUCTURE];
	for (uint64_t i = 0; i < bytes && !err; i++)
		err = bench->base[i] ? -EILSEQ : 0;
	if (lane->instance &&
	    fl_instance_module(lane->instance) !=
		    shared.modules[(lane->turn - 1) % shared.n_modules])
		err = -EILSEQ;
	if (err)
		snprintf(why, why_size, "VERIFY: what was taken is not as new");
	return err ? err : k->give(lane);
}

static const struct bench_program program = {
	.name = "empty",
	.question = "take something and give it back, on one thread and on all",
	.params = params,
	.n_params = N_PARAMS,
	.own = own,
	.rivals = rivals,
	.n_threads = 2,
	.is_scaling = true,
	.workload = workload,
	.op = op,
	.verify = verify,
};

int main(int argc, char **argv)
{
	return bench_main(&program, argc, argv);
}
