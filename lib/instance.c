/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * instance.c - from a module to its memories, and back in reverse.
 *
 * Takes a validated module and a pool; gives an instance whose memories show
 * what instantiation would have written. A memory whose image could not be
 * built when the module was loaded (its segments are placed by imported
 * globals) gets its segments written now, in order. Whatever fails, all that
 * was taken is given back in reverse order.
 */
#include "pool.h"
#include "sized.h"

#include <stdlib.h>

/* One instance slot is as good as another. */
#define INSTANCE_AFFINITY 1

void fl_instance_config_init(struct fl_instance_config *config)
{
	*config = (struct fl_instance_config){ .size = sizeof(*config) };
}

/* Room that stays with the slot, so that a reused one allocates nothing. */
static int instance_make_room(struct fl_instance *instance,
			      const struct fl_module *module)
{
	uint32_t memories = module->reader.memory_count;
	size_t words = module->passive_count ?
			       (size_t)module->reader.data_count / 64 + 1 :
			       0;

	if (memories > instance->memory_capacity) {
		struct fl_memory **grown =
			realloc(instance->memories, memories * sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		instance->memories = grown;
		instance->memory_capacity = memories;
	}
	if (words > instance->dropped_words) {
		uint64_t *grown = calloc(words, sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		free(instance->dropped);
		instance->dropped = grown;
		instance->dropped_words = words;
	} else if (instance->has_dropped) {
		memset(instance->dropped, 0,
		       instance->dropped_words * sizeof(*instance->dropped));
	}
	instance->has_dropped = false;
	return 0;
}

static int check_imported(const struct fl_module *module,
			  const struct fl_instance_config *config,
			  struct fl_error *error)
{
	uint32_t count = module->reader.imported_memory_count;

	if (config->imported_memory_count != count ||
	    (count && !config->imported_memories))
		return fl__error_set(
			error, -EINVAL,
			"the module imports %u memories, fl_instance_config gives %u",
			count, config->imported_memory_count);
	for (uint32_t i = 0; i < count; i++) {
		struct fl_memory *memory = config->imported_memories[i];

		if (!memory)
			return fl__error_set(error, -EINVAL,
					     "imported_memories[%u] is NULL",
					     i);
		if (fl__memory_length(memory) < module->memories[i].min_bytes)
			return fl__error_set(
				error, -EINVAL,
				"imported memory %u has %llu bytes, the module asks for %llu",
				i,
				(unsigned long long)fl__memory_length(memory),
				(unsigned long long)module->memories[i]
					.min_bytes);
		if (module->memories[i].active_end_bytes >
		    fl__memory_length(memory))
			return fl__error_set_trap(
				error, FL_TRAP_MEMORY_OUT_OF_BOUNDS,
				"a data segment ends at byte %llu of imported memory %u, which has %llu",
				(unsigned long long)module->memories[i]
					.active_end_bytes,
				i,
				(unsigned long long)fl__memory_length(memory));
	}
	return 0;
}

static int instance_apply(struct fl_memory *memory,
			  const struct fl_module *module, uint32_t memory_idx,
			  const struct fl_instance_config *config,
			  struct fl_error *error)
{
	struct fl_image_config globals;
	enum fl_trap trap;
	int err;

	fl_image_config_init(&globals);
	globals.imported_globals = config->imported_globals;
	globals.imported_global_count = config->imported_global_count;
	err = fl_memory_apply_segments(memory, module, memory_idx, &globals,
				       &trap, error);
	if (!err && trap)
		err = fl__error_set_trap(
			error, trap,
			"a data segment is out of bounds of memory %u",
			memory_idx);
	return err;
}

static void memory_request(const struct fl_module *module, uint32_t memory_idx,
			   struct fl__memory_request *request)
{
	const struct fl__limits *limits =
		&module->reader.memories[memory_idx].limits;
	const struct fl__module_memory *wanted = &module->memories[memory_idx];

	*request = (struct fl__memory_request){
		.image = wanted->image,
		.initial_bytes = wanted->min_bytes,
		.page_bytes = wanted->page_bytes,
	};
	if (fl_mul_overflow(limits->max, wanted->page_bytes,
			    &request->max_bytes))
		request->max_bytes = UINT64_MAX;
}

/* What the module defines, all or none. */
static int take_memories(struct fl_pool *pool, const struct fl_module *module,
			 uint64_t timeout_ns, struct fl_memory **memories,
			 struct fl_error *error)
{
	uint32_t first = module->reader.imported_memory_count;
	uint32_t count = module->reader.memory_count - first;
	struct fl__memory_request requests[FL__READER_MAX_MEMORIES];

	for (uint32_t i = 0; i < count; i++)
		memory_request(module, first + i, &requests[i]);
	return fl__memory_take(pool, requests, count, timeout_ns, memories,
			       error);
}

static int instance_give(struct fl_instance *instance)
{
	struct fl_pool *pool = instance->pool;
	struct fl_module *module = instance->module;
	uint32_t imported = module->reader.imported_memory_count;
	int result = 0;

	while (instance->memory_count > imported) {
		int err = fl__memory_give(fl__memory_of(
			instance->memories[--instance->memory_count]));

		result = err ? err : result;
	}
	instance->memory_count = 0;
	instance->module = NULL;
	fl__stock_give(&pool->instance_stock,
		       (uint32_t)(instance - pool->instances),
		       INSTANCE_AFFINITY);
	fl_module_release(module);
	return result;
}

/* The memories become the instance's in any case: whoever undoes it gives them
 * back. */
static void instance_own(struct fl_instance *instance,
			 const struct fl_instance_config *config,
			 struct fl_memory *const *memories)
{
	const struct fl__reader *reader = &instance->module->reader;
	uint32_t imported = reader->imported_memory_count;

	for (uint32_t i = 0; i < reader->memory_count; i++) {
		if (i < imported) {
			instance->memories[i] = config->imported_memories[i];
			continue;
		}
		instance->memories[i] = memories[i - imported];
		__atomic_store_n(
			&fl__memory_of(instance->memories[i])->instance,
			instance, __ATOMIC_RELAXED);
	}
	instance->memory_count = reader->memory_count;
}

static int instance_fill(struct fl_instance *instance,
			 const struct fl_instance_config *config,
			 struct fl_error *error)
{
	const struct fl_module *module = instance->module;
	int err = 0;

	for (uint32_t i = module->reader.imported_memory_count;
	     i < module->reader.memory_count && !err; i++) {
		if (!module->memories[i].image)
			err = instance_apply(instance->memories[i], module, i,
					     config, error);
	}
	return err;
}

static void give_memories(const struct fl_module *module,
			  struct fl_memory *const *memories)
{
	uint32_t count = module->reader.memory_count -
			 module->reader.imported_memory_count;

	while (count--)
		(void)fl__memory_give(fl__memory_of(memories[count]));
}

/*
 * The memories are taken first, and then the index: whoever holds an index
 * waits for nothing, so that nobody waits for him in a circle.
 */
static int instance_take(struct fl_pool *pool, struct fl_module *module,
			 uint64_t timeout_ns, struct fl_memory **memories,
			 struct fl_instance **out, struct fl_error *error)
{
	uint64_t affinity = INSTANCE_AFFINITY, left = timeout_ns, begin = 0;
	struct fl_instance *instance;
	uint32_t idx;
	int err;

	if (timeout_ns && timeout_ns != UINT64_MAX)
		begin = fl__os_now_ns();
	err = take_memories(pool, module, timeout_ns, memories, error);
	if (err)
		return err;
	if (begin)
		left -= fl_min_u64(left, fl__os_now_ns() - begin);
	err = fl__stock_take(&pool->instance_stock, &affinity, 1, left, &idx,
			     error);
	if (err) {
		give_memories(module, memories);
		return err;
	}
	instance = &pool->instances[idx];
	if (instance_make_room(instance, module)) {
		fl__stock_give(&pool->instance_stock, idx, affinity);
		give_memories(module, memories);
		return fl__error_set(error, -ENOMEM,
				     "no memory for an instance");
	}
	*out = instance;
	return 0;
}

static int instance_read_config(const struct fl_instance_config *config,
				struct fl_instance_config *known,
				struct fl_error *error)
{
	fl_instance_config_init(known);
	if (!config)
		return 0;
	return fl__sized_read(known, sizeof(*known), config,
			      "fl_instance_config", error);
}

int fl_instance_acquire(struct fl_pool *pool, struct fl_module *module,
			const struct fl_instance_config *config,
			struct fl_instance **out, struct fl_error *error)
{
	struct fl_memory *memories[FL__READER_MAX_MEMORIES];
	struct fl_instance_config known;
	struct fl_instance *instance = NULL;
	int err;

	err = instance_read_config(config, &known, error);
	if (!err)
		err = fl_pool_validate(pool, module, error);
	if (!err)
		err = check_imported(module, &known, error);
	if (!err)
		err = instance_take(pool, module, known.timeout_ns, memories,
				    &instance, error);
	if (err)
		return err;
	instance->pool = pool;
	instance->module = fl_module_retain(module);
	instance->user = known.user;
	instance_own(instance, &known, memories);
	err = instance_fill(instance, &known, error);
	if (err) {
		(void)instance_give(instance);
		return err;
	}
	*out = instance;
	return 0;
}

int fl_instance_release(struct fl_instance *instance)
{
	int err;

	if (!instance)
		return 0;
	err = fl__pool_check_owner(instance->pool, NULL);
	return err ? err : instance_give(instance);
}

struct fl_memory *fl_instance_memory(const struct fl_instance *instance,
				     uint32_t memory_idx)
{
	return memory_idx < instance->memory_count ?
		       instance->memories[memory_idx] :
		       NULL;
}

struct fl_module *fl_instance_module(const struct fl_instance *instance)
{
	return instance->module;
}

void *fl_instance_user(const struct fl_instance *instance)
{
	return instance->user;
}
