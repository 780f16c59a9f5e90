/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * wasm-image-plan.c - which pool some modules need, and how many instances this
 * host holds.
 *
 * Takes modules; gives limits of fl_pool_config that all of them fit, sizes not
 * below the defaults, so that memories can grow, and what fl_pool_config_fit()
 * makes of more instances than any host has room for. Memory that guests touch is
 * not counted, because no guest runs.
 */
#include "wasm-image.h"

#include <inttypes.h>
#include <stdio.h>

/* More than there are addresses for, at the default stride. */
#define ASKED 1000000

struct need {
	struct fl_pool_config config;
	struct fl_pool_load load;
	uint32_t module_count;
};

static uint32_t most_u32(uint32_t a, uint32_t b)
{
	return a > b ? a : b;
}

static uint64_t most_u64(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

static void add_memories(const struct subject *subject, struct need *need)
{
	uint32_t defined = 0;

	for (uint32_t i = 0; i < subject->info.memory_count; i++) {
		const struct memory *memory = &subject->memories[i];

		if (memory->image) {
			need->load.images++;
			need->load.image_extents =
				most_u32(need->load.image_extents,
					 memory->info.extent_count);
		}
		/* An imported one is another's, in the same pool or not. */
		defined += !memory->type.is_imported;
		need->config.max_memory_bytes = most_u64(
			need->config.max_memory_bytes,
			memory->type.min_pages * memory->type.page_bytes);
	}
	need->config.max_memories_per_instance =
		most_u32(need->config.max_memories_per_instance, defined);
}

static int add_tables(const struct subject *subject, struct need *need)
{
	uint32_t defined = 0;

	for (uint32_t i = 0; i < subject->info.table_count; i++) {
		struct fl_table_type type = { .size = sizeof(type) };

		if (fl_module_table_type(subject->module, i, &type))
			return fail("no memory");
		defined += !type.is_imported;
		need->config.max_table_elements = most_u64(
			need->config.max_table_elements, type.min_elements);
	}
	need->config.max_tables_per_instance =
		most_u32(need->config.max_tables_per_instance, defined);
	return 0;
}

static int add_module(const struct options *options, const char *path,
		      struct need *need)
{
	struct options of_one = *options;
	struct subject subject = { .options = &of_one };
	int status;

	of_one.path = path;
	status = subject_open(&subject);
	if (!status) {
		need->module_count++;
		add_memories(&subject, need);
		status = add_tables(&subject, need);
	}
	subject_close(&subject);
	return status;
}

/* A count is below 2^32. */
static uint32_t bounded(uint32_t count)
{
	return count < 1000 ? count : 1000;
}

static void ask(struct need *need)
{
	struct fl_pool_config *config = &need->config;
	uint64_t stride = config->memory_stride_bytes;

	config->max_instances = ASKED;
	config->max_memories =
		ASKED * bounded(config->max_memories_per_instance);
	config->max_tables = ASKED * bounded(config->max_tables_per_instance);
	/* A memory larger than the default stride leaves room for none. */
	if (config->max_memory_bytes + config->guard_after_bytes > stride)
		config->memory_stride_bytes = 0;
}

static void print_text(const struct need *need, const struct fl_pool_fit *fit)
{
	const struct fl_pool_config *config = &need->config;
	const struct fl_pool_limit *limit = &fit->limits[fit->decided];

	printf("modules                    %u\n"
	       "max_memories_per_instance  %u\n"
	       "max_tables_per_instance    %u\n"
	       "max_memory_bytes           %" PRIu64 "\n"
	       "memory_stride_bytes        %" PRIu64 "\n"
	       "max_table_elements         %" PRIu64 "\n"
	       "images                     %u, of up to %u extents\n"
	       "max_instances              %u: %s decide%s\n",
	       need->module_count, config->max_memories_per_instance,
	       config->max_tables_per_instance, config->max_memory_bytes,
	       config->memory_stride_bytes, config->max_table_elements,
	       need->load.images, need->load.image_extents,
	       config->max_instances, limit->name,
	       fit->decided == FL_LIMIT_NONE ? "; no limit is near" : "");
	if (limit->remedy[0])
		printf("for up to %-16u %s\n", ASKED, limit->remedy);
}

static void print_json(const struct need *need, const struct fl_pool_fit *fit)
{
	const struct fl_pool_config *config = &need->config;

	printf("{\"module_count\":%u,\"max_memories_per_instance\":%u"
	       ",\"max_tables_per_instance\":%u,\"max_memory_bytes\":%" PRIu64
	       ",\"memory_stride_bytes\":%" PRIu64
	       ",\"max_table_elements\":%" PRIu64
	       ",\"images\":%u,\"image_extents\":%u,\"max_instances\":%u"
	       ",\"max_memories\":%u,\"max_tables\":%u,\"decided\":\"%s\""
	       ",\"limits\":[",
	       need->module_count, config->max_memories_per_instance,
	       config->max_tables_per_instance, config->max_memory_bytes,
	       config->memory_stride_bytes, config->max_table_elements,
	       need->load.images, need->load.image_extents,
	       config->max_instances, config->max_memories, config->max_tables,
	       fit->limits[fit->decided].name);
	for (int i = FL_LIMIT_NONE + 1; i < FL_LIMIT_COUNT; i++) {
		const struct fl_pool_limit *limit = &fit->limits[i];

		printf("%s{\"name\":\"%s\",\"unit\":\"%s\",\"allowed\":",
		       i > 1 ? "," : "", limit->name, limit->unit);
		if (limit->allowed == UINT64_MAX)
			printf("null");
		else
			printf("%" PRIu64, limit->allowed);
		printf(",\"used\":%" PRIu64 ",\"asked\":%" PRIu64
		       ",\"fitted\":%" PRIu64 ",\"remedy\":\"%s\"}",
		       limit->used, limit->asked, limit->fitted, limit->remedy);
	}
	printf("]}\n");
}

static int fit_and_print(const struct options *options, struct need *need)
{
	struct fl_pool_fit fit = { .size = sizeof(fit) };
	struct fl_context *context;
	struct fl_error error;
	int status = 0;

	if (fl_context_create(NULL, &context, &error))
		return fail("%s", error.text);
	if (fl_pool_config_fit(context, &need->load, &need->config, &fit,
			       &error))
		status = fail("%s", error.text);
	else if (options->is_json)
		print_json(need, &fit);
	else
		print_text(need, &fit);
	fl_context_destroy(context);
	return status;
}

int plan(const struct options *options)
{
	struct need need;
	int status;

	fl_pool_config_init(&need.config);
	fl_pool_load_init(&need.load);
	need.load.image_extents = 0;
	need.config.max_memories_per_instance = 0;
	need.config.max_tables_per_instance = 0;
	need.module_count = 0;
	status = add_module(options, options->path, &need);
	for (char *const *path = options->more_paths; *path && !status; path++)
		status = add_module(options, *path, &need);
	if (status)
		return status;
	ask(&need);
	return fit_and_print(options, &need);
}
