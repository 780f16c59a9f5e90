/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * config.c - the defaults of every configuration struct, for the caller's size.
 *
 * Takes a kind and the size of the struct that the caller knows; gives the
 * defaults that the initialisers of faultline.h hold, cut at that size, and
 * zeroes beyond what this library knows. Never writes past the caller's size.
 */
#include "util.h"
#include "faultline.h"

static const struct fl_context_config context_config = FL_CONTEXT_CONFIG_INIT;
static const struct fl_module_config module_config = FL_MODULE_CONFIG_INIT;
static const struct fl_image_config image_config = FL_IMAGE_CONFIG_INIT;
static const struct fl_pool_config pool_config = FL_POOL_CONFIG_INIT;
static const struct fl_tunables tunables = FL_TUNABLES_INIT;
static const struct fl_pressure_config pressure_config =
	FL_PRESSURE_CONFIG_INIT;
static const struct fl_memory_config memory_config = FL_MEMORY_CONFIG_INIT;
static const struct fl_table_config table_config = FL_TABLE_CONFIG_INIT;
static const struct fl_instance_config instance_config =
	FL_INSTANCE_CONFIG_INIT;

static const struct defaults {
	const void *bytes;
	size_t size_bytes;
} defaults[] = {
	[FL_CONTEXT_CONFIG] = { &context_config, sizeof(context_config) },
	[FL_MODULE_CONFIG] = { &module_config, sizeof(module_config) },
	[FL_IMAGE_CONFIG] = { &image_config, sizeof(image_config) },
	[FL_POOL_CONFIG] = { &pool_config, sizeof(pool_config) },
	[FL_TUNABLES] = { &tunables, sizeof(tunables) },
	[FL_PRESSURE_CONFIG] = { &pressure_config, sizeof(pressure_config) },
	[FL_MEMORY_CONFIG] = { &memory_config, sizeof(memory_config) },
	[FL_TABLE_CONFIG] = { &table_config, sizeof(table_config) },
	[FL_INSTANCE_CONFIG] = { &instance_config, sizeof(instance_config) },
};

void fl_config_init(enum fl_config_kind kind, void *config, size_t size_bytes)
{
	memset(config, 0, size_bytes);
	if ((size_t)kind < FL_ARRAY_SIZE(defaults)) {
		const struct defaults *known = &defaults[kind];

		memcpy(config, known->bytes,
		       (size_t)fl_min_u64(known->size_bytes, size_bytes));
	}
	memcpy(config, &size_bytes,
	       (size_t)fl_min_u64(sizeof(size_bytes), size_bytes));
}
