/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * uffd-probe-plan.c - see uffd-probe-plan.h.
 *
 * The answer is that of fl_pool_config_fit(), for a process that has nothing
 * else: a host program has mappings and descriptors of its own.
 */
#include "uffd-probe-plan.h"

#include <faultline.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STATUS_LESS 1
#define STATUS_NOTHING 3
#define STATUS_USAGE 64

struct asked {
	struct fl_pool_config config;
	struct fl_pool_load load;
};

static const struct {
	const char *name;
	size_t off, bytes;
	int is_count;
} keys[] = {
#define FIELD(part, field, is_count)                                      \
	{                                                                 \
#field, offsetof(struct asked, part.field),               \
			sizeof(((struct asked *)0)->part.field), is_count \
	}
	FIELD(config, max_instances, 1),
	FIELD(config, max_memories, 1),
	FIELD(config, max_tables, 1),
	FIELD(config, max_stacks, 1),
	FIELD(config, overflow_instances, 1),
	FIELD(config, overflow_memories, 1),
	FIELD(config, overflow_tables, 1),
	FIELD(config, overflow_stacks, 1),
	FIELD(config, max_memory_bytes, 0),
	FIELD(config, memory_stride_bytes, 0),
	FIELD(config, memory_alignment_bytes, 0),
	FIELD(config, guard_before_bytes, 0),
	FIELD(config, guard_after_bytes, 0),
	FIELD(config, prefix_bytes, 0),
	FIELD(config, bounds, 0),
	FIELD(config, max_table_elements, 0),
	FIELD(config, table_element_bytes, 0),
	FIELD(config, instance_bytes, 0),
	FIELD(config, instance_alignment_bytes, 0),
	FIELD(config, stack_bytes, 0),
	FIELD(config, stack_guard_bytes, 0),
	FIELD(load, image_extents, 0),
	FIELD(load, images, 0),
	FIELD(load, images_per_instance, 0),
	FIELD(load, spare_descriptors, 0),
	FIELD(load, spare_mappings, 0),
	FIELD(load, spare_address_bytes, 0),
	FIELD(load, memory_bytes, 0),
	FIELD(load, touched_bytes, 0),
#undef FIELD
};

#define KEY_COUNT (sizeof(keys) / sizeof(keys[0]))

static uint64_t value_of(const struct asked *asked, size_t key)
{
	const char *at = (const char *)asked + keys[key].off;
	uint64_t wide;
	uint32_t narrow;

	if (keys[key].bytes == sizeof(wide)) {
		memcpy(&wide, at, sizeof(wide));
		return wide;
	}
	memcpy(&narrow, at, sizeof(narrow));
	return narrow;
}

static int set_value(struct asked *asked, size_t key, const char *text)
{
	char *at = (char *)asked + keys[key].off, *end;
	uint64_t wide;
	uint32_t narrow;

	errno = 0;
	wide = strtoull(text, &end, 0);
	narrow = (uint32_t)wide;
	if (*text < '0' || *text > '9' || *end || errno ||
	    (keys[key].bytes == sizeof(narrow) && narrow != wide))
		return -1;
	if (keys[key].bytes == sizeof(wide))
		memcpy(at, &wide, sizeof(wide));
	else
		memcpy(at, &narrow, sizeof(narrow));
	return 0;
}

static int parse(struct asked *asked, char **words)
{
	for (; *words; words++) {
		size_t len = strcspn(*words, "="), key = 0;

		while (key < KEY_COUNT && (strlen(keys[key].name) != len ||
					   memcmp(*words, keys[key].name, len)))
			key++;
		if (key < KEY_COUNT && (*words)[len] &&
		    !set_value(asked, key, *words + len + 1))
			continue;
		fprintf(stderr,
			"uffd-probe: \"%s\" is no KEY=NUMBER; keys:", *words);
		for (key = 0; key < KEY_COUNT; key++)
			fprintf(stderr, " %s", keys[key].name);
		fputc('\n', stderr);
		return STATUS_USAGE;
	}
	return 0;
}

static void print_number(uint64_t number)
{
	if (number == UINT64_MAX)
		printf(" %20s", "-");
	else
		printf(" %20" PRIu64, number);
}

static void print_plan(const struct asked *asked, const struct asked *fitted,
		       const struct fl_pool_fit *fit)
{
	printf("%-20s %20s %20s\n", "COUNT", "ASKED", "FITS");
	for (size_t i = 0; i < KEY_COUNT; i++) {
		if (keys[i].is_count && value_of(asked, i))
			printf("%-20s %20" PRIu64 " %20" PRIu64 "\n",
			       keys[i].name, value_of(asked, i),
			       fitted ? value_of(fitted, i) : 0);
	}
	printf("\n%-14s %20s %20s %20s\n", "LIMIT", "ALLOWED", "TAKEN",
	       "ASKED");
	for (int i = FL_LIMIT_NONE + 1; i < FL_LIMIT_COUNT; i++) {
		const struct fl_pool_limit *limit = &fit->limits[i];

		printf("%-14s", limit->name);
		print_number(limit->allowed);
		print_number(limit->used);
		print_number(limit->asked);
		printf("\n");
		if (limit->remedy[0])
			printf("    change: %s\n", limit->remedy);
	}
	printf("\ndecided by %s\n", fit->limits[fit->decided].name);
}

int plan(char **words)
{
	struct fl_pool_fit fit = { .size = sizeof(fit) };
	struct fl_context *context;
	struct asked asked, fitted;
	struct fl_error error;
	int err, status;

	fl_pool_config_init(&asked.config);
	fl_pool_load_init(&asked.load);
	status = parse(&asked, words);
	if (status)
		return status;
	if (fl_context_create(NULL, &context, &error)) {
		fprintf(stderr, "uffd-probe: %s\n", error.text);
		return STATUS_NOTHING;
	}
	fitted = asked;
	err = fl_pool_config_fit(context, &fitted.load, &fitted.config, &fit,
				 &error);
	fl_context_destroy(context);
	if (err)
		fprintf(stderr, "uffd-probe: %s\n", error.text);
	if (err && !fit.limits[FL_LIMIT_MAPPINGS].name)
		return STATUS_NOTHING;
	print_plan(&asked, err ? NULL : &fitted, &fit);
	if (err)
		return STATUS_NOTHING;
	return fit.decided == FL_LIMIT_NONE ? 0 : STATUS_LESS;
}
