/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * config.c - fl_config_init() and the initialisers of faultline.h: each kind
 * has the same defaults by both, and a struct of any size, from an older or a
 * newer header, is filled to its end and not beyond.
 */
#include "tests/kit/test.h"

#include "base/config.h"
#include "faultline.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define GUARD_BYTES 64
#define LONGER_BYTES 80
#define UNTOUCHED 0xa5

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

static const struct {
	enum fl_config_kind kind;
	const void *bytes;
	size_t size_bytes;
} rows[] = {
	{ FL_CONTEXT_CONFIG, &context_config, sizeof(context_config) },
	{ FL_MODULE_CONFIG, &module_config, sizeof(module_config) },
	{ FL_IMAGE_CONFIG, &image_config, sizeof(image_config) },
	{ FL_POOL_CONFIG, &pool_config, sizeof(pool_config) },
	{ FL_TUNABLES, &tunables, sizeof(tunables) },
	{ FL_PRESSURE_CONFIG, &pressure_config, sizeof(pressure_config) },
	{ FL_MEMORY_CONFIG, &memory_config, sizeof(memory_config) },
	{ FL_TABLE_CONFIG, &table_config, sizeof(table_config) },
	{ FL_INSTANCE_CONFIG, &instance_config, sizeof(instance_config) },
};

static bool all_are(const uint8_t *bytes, size_t len, uint8_t value)
{
	for (size_t i = 0; i < len; i++) {
		if (bytes[i] != value)
			return false;
	}
	return true;
}

/* size_bytes that the call has filled, then GUARD_BYTES. */
static uint8_t *filled(enum fl_config_kind kind, size_t size_bytes)
{
	uint8_t *config = malloc(size_bytes + GUARD_BYTES);

	MUST(config != NULL);
	memset(config, UNTOUCHED, size_bytes + GUARD_BYTES);
	fl_config_init(kind, config, size_bytes);
	return config;
}

/* The size in front, the known defaults, zeroes, and nothing past the end. */
static void check_fill(size_t row, size_t size_bytes)
{
	size_t known = rows[row].size_bytes, fields = sizeof(size_t);
	uint8_t *config = filled(rows[row].kind, size_bytes);

	if (known > size_bytes)
		known = size_bytes;
	if (fields > size_bytes)
		fields = size_bytes;
	CHECK(!memcmp(config, &size_bytes, fields));
	CHECK(!memcmp(config + fields,
		      (const uint8_t *)rows[row].bytes + fields,
		      known - fields));
	CHECK(all_are(config + known, size_bytes - known, 0));
	if (!CHECK(all_are(config + size_bytes, GUARD_BYTES, UNTOUCHED)))
		test_note("kind %d, %zu bytes", (int)rows[row].kind,
			  size_bytes);
	free(config);
}

static void structs_of_any_size(void)
{
	for (size_t i = 0; i < TEST_ARRAY_SIZE(rows); i++) {
		size_t end = rows[i].size_bytes + LONGER_BYTES;

		for (size_t size = 0; size <= end; size++)
			check_fill(i, size);
	}
}

#define CHECK_WRAPPER(tag, by_macro)                                    \
	do {                                                            \
		struct tag by_call;                                     \
		memset(&by_call, UNTOUCHED, sizeof(by_call));           \
		tag##_init(&by_call);                                   \
		CHECK_EQ(by_call.size, sizeof(by_call));                \
		CHECK(!memcmp(&by_call, &(by_macro), sizeof(by_call))); \
	} while (0)

/* Bytes of padding too: what a newer header has there must be zero. */
static void initialisers_equal_calls(void)
{
	CHECK_WRAPPER(fl_context_config, context_config);
	CHECK_WRAPPER(fl_module_config, module_config);
	CHECK_WRAPPER(fl_image_config, image_config);
	CHECK_WRAPPER(fl_pool_config, pool_config);
	CHECK_WRAPPER(fl_tunables, tunables);
	CHECK_WRAPPER(fl_pressure_config, pressure_config);
	CHECK_WRAPPER(fl_memory_config, memory_config);
	CHECK_WRAPPER(fl_table_config, table_config);
	CHECK_WRAPPER(fl_instance_config, instance_config);
}

static void kinds_of_a_newer_header(void)
{
	static const int kinds[] = { FL_INSTANCE_CONFIG + 1, 1000, INT32_MAX };

	for (size_t i = 0; i < TEST_ARRAY_SIZE(kinds); i++) {
		for (size_t size = 0; size < 200; size++) {
			uint8_t *config =
				filled((enum fl_config_kind)kinds[i], size);
			size_t field = size < sizeof(size) ? size :
							     sizeof(size);

			CHECK(!memcmp(config, &size, field));
			CHECK(all_are(config + field, size - field, 0));
			CHECK(all_are(config + size, GUARD_BYTES, UNTOUCHED));
			free(config);
		}
	}
}

/* What the call has filled is accepted, at any size that holds its size. */
static void filled_structs_are_read(void)
{
	for (size_t i = 0; i < TEST_ARRAY_SIZE(rows); i++) {
		size_t known = rows[i].size_bytes;

		for (size_t size = sizeof(size); size < known + LONGER_BYTES;
		     size++) {
			uint8_t *config = filled(rows[i].kind, size);
			uint8_t *read = filled(rows[i].kind, known);

			CHECK_EQ(fl__config_read(rows[i].kind, read, config,
						 NULL),
				 0);
			CHECK(!memcmp(read + sizeof(size),
				      (const uint8_t *)rows[i].bytes +
					      sizeof(size),
				      known - sizeof(size)));
			free(read);
			free(config);
		}
	}
}

/* JSON and readers of the statistics take names for UTF-8. */
static void names_are_utf_8(void)
{
	static const char *const good[] = { "",		"a",
					    "\xc3\xa4", "\xe2\x82\xac",
					    "tab\t",	"\xf0\x9f\x98\x80" };
	static const char *const bad[] = {
		"bad\xff",	   "\x80",     "\xc3",
		"cut\xe2\x82",	   "\xc0\xaf", "\xed\xa0\x80",
		"\xf4\x90\x80\x80"
	};
	struct fl_error error = { .text = "" };
	char name[FL__NAME_BYTES];

	for (size_t i = 0; i < TEST_ARRAY_SIZE(good); i++) {
		CHECK_EQ(fl__config_name(name, good[i], "name", &error), 0);
		CHECK(!strcmp(name, good[i]));
	}
	for (size_t i = 0; i < TEST_ARRAY_SIZE(bad); i++) {
		CHECK_EQ(fl__config_name(name, bad[i], "name", &error),
			 -EINVAL);
		CHECK(strstr(error.text, "name is not UTF-8: byte ") != NULL);
	}
	CHECK_EQ(fl__config_name(name, bad[0], "name", &error), -EINVAL);
	CHECK(strstr(error.text, "byte 3, 0xff") != NULL);
}

static const struct test_case cases[] = {
	TEST_CASE(structs_of_any_size),	    TEST_CASE(initialisers_equal_calls),
	TEST_CASE(kinds_of_a_newer_header), TEST_CASE(filled_structs_are_read),
	TEST_CASE(names_are_utf_8),
};

int main(int argc, char **argv)
{
	return test_main(argc, argv, cases, TEST_ARRAY_SIZE(cases), NULL, 0);
}
