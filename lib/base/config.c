/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/* config.c - the initialisers of faultline.h, by kind; see config.h. */
#include "config.h"

/* The header has the initialisers; this is the one other list of them. */
#define FL_CONFIGS                                                           \
	CONFIG(FL_CONTEXT_CONFIG, fl_context_config, FL_CONTEXT_CONFIG_INIT) \
	CONFIG(FL_MODULE_CONFIG, fl_module_config, FL_MODULE_CONFIG_INIT)    \
	CONFIG(FL_IMAGE_CONFIG, fl_image_config, FL_IMAGE_CONFIG_INIT)       \
	CONFIG(FL_POOL_CONFIG, fl_pool_config, FL_POOL_CONFIG_INIT)          \
	CONFIG(FL_TUNABLES, fl_tunables, FL_TUNABLES_INIT)                   \
	CONFIG(FL_PRESSURE_CONFIG, fl_pressure_config,                       \
	       FL_PRESSURE_CONFIG_INIT)                                      \
	CONFIG(FL_MEMORY_CONFIG, fl_memory_config, FL_MEMORY_CONFIG_INIT)    \
	CONFIG(FL_TABLE_CONFIG, fl_table_config, FL_TABLE_CONFIG_INIT)       \
	CONFIG(FL_INSTANCE_CONFIG, fl_instance_config,                       \
	       FL_INSTANCE_CONFIG_INIT)                                      \
	CONFIG(FL_SNAPSHOT_CONFIG, fl_snapshot_config,                       \
	       FL_SNAPSHOT_CONFIG_INIT)                                      \
	CONFIG(FL_SNAPSHOT_PARTS, fl_snapshot_parts, FL_SNAPSHOT_PARTS_INIT) \
	CONFIG(FL_SNAPSHOT_BINDING, fl_snapshot_binding,                     \
	       FL_SNAPSHOT_BINDING_INIT)                                     \
	CONFIG(FL_PAGE_SOURCE_CONFIG, fl_page_source_config,                 \
	       FL_PAGE_SOURCE_CONFIG_INIT)                                   \
	CONFIG(FL_LOAD_CONFIG, fl_load_config, FL_LOAD_CONFIG_INIT)          \
	CONFIG(FL_DELTA_PARTS, fl_delta_parts, FL_DELTA_PARTS_INIT)          \
	CONFIG(FL_DELTA_CONFIG, fl_delta_config, FL_DELTA_CONFIG_INIT)       \
	CONFIG(FL_POOL_LOAD, fl_pool_load, FL_POOL_LOAD_INIT)                \
	CONFIG(FL_PACKER_CONFIG, fl_packer_config, FL_PACKER_CONFIG_INIT)

#define CONFIG(kind, type, init) \
	static const struct type type##_defaults = init;
FL_CONFIGS
#undef CONFIG

static const struct {
	const char *name;
	const void *defaults;
	size_t bytes;
} configs[] = {
#define CONFIG(kind, type, init) \
	[kind] = { #type, &type##_defaults, sizeof(struct type) },
	FL_CONFIGS
#undef CONFIG
};

void fl_config_init(enum fl_config_kind kind, void *config, size_t size_bytes)
{
	size_t bytes =
		(size_t)kind < FL_ARRAY_SIZE(configs) ?
			(size_t)fl_min_u64(configs[kind].bytes, size_bytes) :
			0;

	if (bytes)
		memcpy(config, configs[kind].defaults, bytes);
	if (bytes < size_bytes)
		memset((uint8_t *)config + bytes, 0, size_bytes - bytes);
	memcpy(config, &size_bytes,
	       (size_t)fl_min_u64(sizeof(size_bytes), size_bytes));
}

int fl__config_read(enum fl_config_kind kind, void *known, const void *config,
		    struct fl_error *error)
{
	const uint8_t *given = config;
	size_t bytes = configs[kind].bytes, size;

	if (!config) {
		memcpy(known, configs[kind].defaults, bytes);
		return 0;
	}
	memcpy(&size, config, sizeof(size));
	if (size < sizeof(size))
		return fl__error_set(
			error, -EINVAL,
			"struct %s has no size; fill it with its init call first",
			configs[kind].name);
	for (size_t i = bytes; i < size; i++) {
		if (given[i])
			return fl__error_set(
				error, -EINVAL,
				"struct %s sets a field at byte %zu that version %s does not know",
				configs[kind].name, i, FL_VERSION);
	}
	if (size < bytes)
		memcpy(known, configs[kind].defaults, bytes);
	memcpy(known, config, (size_t)fl_min_u64(size, bytes));
	/* The copy is as long as this library knows the struct. */
	memcpy(known, &bytes, sizeof(bytes));
	return 0;
}

int fl__config_name(char name[FL__NAME_BYTES], const char *given,
		    const char *what, struct fl_error *error)
{
	size_t len = given ? strnlen(given, FL__NAME_BYTES) : 0;
	unsigned step;

	if (len == FL__NAME_BYTES)
		return fl__error_set(
			error, -EINVAL,
			"%s has more than %d bytes; give a shorter name", what,
			FL__NAME_BYTES - 1);
	for (size_t off = 0; off < len; off += step) {
		step = fl_utf8_sequence((const uint8_t *)given + off,
					len - off);
		if (!step)
			return fl__error_set(
				error, -EINVAL,
				"%s is not UTF-8: byte %zu, 0x%02x, is out of place",
				what, off, (uint8_t)given[off]);
	}
	if (len)
		memcpy(name, given, len);
	memset(name + len, 0, FL__NAME_BYTES - len);
	return 0;
}
