/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * npm.c - real modules, read and imaged.
 *
 * The modules of npm/modules.tsv, fetched by npm/fetch.sh into the directory
 * that FAULTLINE_NPM_DIR names, are loaded through the public interface, and
 * what was found in them is compared with the list: number and bytes of
 * segments, where the data ends, how many of the pages spanned hold data. Each
 * image is compared byte by byte with the segments applied to an array. The
 * smaller ones are also cut at their sections' edges and at random places.
 */
#include "faultline.h"
#include "tests/kit/clock.h"
#include "tests/kit/reader_check.h"
#include "tests/kit/test.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CUT_BYTES (1u << 20)

struct npm_module {
	char name[32], package[64], version[16], path[96], sha256[65];
	uint64_t file_bytes, segments, bytes, end;
	uint64_t data_wpages, spanned_wpages, data_hpages, spanned_hpages;
};

static const char *needs_modules(void)
{
	if (!getenv("FAULTLINE_NPM_DIR"))
		return "FAULTLINE_NPM_DIR is not set: tests/npm/fetch.sh DIR fetches the modules, then set it to DIR";
	return NULL;
}

static FILE *list_open(void)
{
	const char *srcdir = getenv("srcdir");
	char path[4096];
	FILE *list;

	snprintf(path, sizeof(path), "%s/tests/npm/modules.tsv",
		 srcdir ? srcdir : ".");
	list = fopen(path, "re");
	if (!list)
		test_note("%s cannot be opened: set srcdir", path);
	MUST(list);
	return list;
}

/* False at the end of the list. */
static bool list_next(FILE *list, struct npm_module *m)
{
	char line[512];

	while (fgets(line, sizeof(line), list)) {
		if (line[0] == '#' || line[0] == '\n')
			continue;
		MUST_EQ(sscanf(line,
			       "%31s %63s %15s %95s %64s %" SCNu64 " %" SCNu64
			       " %" SCNu64 " %" SCNu64 " %" SCNu64 "/%" SCNu64
			       " %" SCNu64 "/%" SCNu64,
			       m->name, m->package, m->version, m->path,
			       m->sha256, &m->file_bytes, &m->segments,
			       &m->bytes, &m->end, &m->data_wpages,
			       &m->spanned_wpages, &m->data_hpages,
			       &m->spanned_hpages),
			13);
		return true;
	}
	return false;
}

/* The file's bytes, to be freed; NULL, and a failure, when they are not as
 * listed. */
static uint8_t *module_bytes(const struct npm_module *m)
{
	uint8_t *bytes = malloc(m->file_bytes + 1);
	char path[4096];
	size_t length = 0;
	FILE *file;

	MUST(bytes);
	snprintf(path, sizeof(path), "%s/%s.wasm", getenv("FAULTLINE_NPM_DIR"),
		 m->name);
	file = fopen(path, "rbe");
	if (file) {
		length = fread(bytes, 1, m->file_bytes + 1, file);
		fclose(file);
	}
	if (CHECK_EQ(length, m->file_bytes))
		return bytes;
	test_note(
		"%s is missing or not what the list says: run tests/npm/fetch.sh",
		path);
	free(bytes);
	return NULL;
}

/* The initial content, the plain way: all segments applied in order. */
static uint8_t *reference_memory(const uint8_t *bytes, uint64_t length,
				 uint64_t memory_bytes)
{
	uint8_t *memory = calloc(1, memory_bytes);
	const struct fl__globals none = { NULL, 0, NULL };
	struct fl__reader r;
	uint64_t offset;

	MUST(memory);
	MUST_EQ(fl__reader_read(&r, bytes, length, NULL), 0);
	for (uint32_t i = 0; i < r.data_count; i++) {
		const struct fl__data *data = &r.data[i];

		if (data->mode != FL__SEGMENT_ACTIVE)
			continue;
		MUST(fl__reader_eval(&r, &data->offset, &none, &offset));
		MUST(fl_range_fits(offset, data->bytes.len, memory_bytes));
		memcpy(memory + offset, bytes + data->bytes.off,
		       data->bytes.len);
	}
	fl__reader_fini(&r);
	return memory;
}

static void check_content(const struct fl_image *image, const uint8_t *bytes,
			  const struct npm_module *m, uint64_t initial_bytes)
{
	uint8_t *expected =
		reference_memory(bytes, m->file_bytes, initial_bytes);
	uint8_t *actual = malloc(initial_bytes);

	MUST(actual);
	CHECK_EQ(fl_image_read(image, 0, actual, initial_bytes), 0);
	CHECK(!memcmp(actual, expected, initial_bytes));
	free(actual);
	free(expected);
}

static void check_figures(const struct fl_module *module,
			  const struct npm_module *m, const uint8_t *bytes)
{
	struct fl_module_info module_info = { .size = sizeof(module_info) };
	struct fl_image_info info = { .size = sizeof(info) };
	struct fl_image *image = fl_module_image(module, 0);

	fl_module_info(module, &module_info);
	CHECK_EQ(module_info.memory_count, 1);
	CHECK_EQ(module_info.active_data_count, m->segments);
	CHECK_EQ(module_info.active_data_bytes, m->bytes);
	if (!CHECK(image))
		return;
	fl_image_info(image, &info);
	CHECK_EQ(info.trap, FL_TRAP_NONE);
	CHECK_EQ(info.data_end_bytes, m->end);
	CHECK_EQ(info.data_wpages, m->data_wpages);
	CHECK_EQ(info.spanned_wpages, m->spanned_wpages);
	/* The list counts pages of 4 KiB. */
	if (sysconf(_SC_PAGESIZE) == 4096) {
		CHECK_EQ(info.data_hpages, m->data_hpages);
		CHECK_EQ(info.spanned_hpages, m->spanned_hpages);
	}
	check_content(image, bytes, m, info.initial_bytes);
}

static void check_module(struct fl_context *context, const struct npm_module *m)
{
	struct fl_module_config config;
	struct fl_error error = { 0 };
	struct fl_module *module;
	uint8_t *bytes = module_bytes(m);
	uint64_t started_ns, taken_ns;
	int err;

	if (!bytes)
		return;
	fl_module_config_init(&config);
	config.bytes = bytes;
	config.length_bytes = m->file_bytes;
	config.ownership = FL_BYTES_BORROW;
	started_ns = test_now_ns();
	err = fl_module_load(context, &config, &module, &error);
	taken_ns = test_now_ns() - started_ns;
	if (CHECK_EQ(err, 0)) {
		test_note("%s %s: %" PRIu64
			  " segments, read and imaged in %" PRIu64 " us",
			  m->package, m->version, m->segments, taken_ns / 1000);
		check_figures(module, m, bytes);
		fl_module_release(module);
	} else {
		test_note("%s: %s (at byte %" PRIu64 ")", m->name, error.text,
			  error.byte_off);
	}
	free(bytes);
}

static void npm_modules_have_the_figures_of_the_list(void)
{
	struct fl_context *context;
	struct npm_module m;
	unsigned int count = 0;
	FILE *list = list_open();

	MUST_EQ(fl_context_create(NULL, &context, NULL), 0);
	while (list_next(list, &m)) {
		check_module(context, &m);
		count++;
	}
	CHECK_EQ(count, 8);
	fl_context_destroy(context);
	fclose(list);
}

static void small_npm_modules_cut_are_no_modules(void)
{
	struct npm_module m;
	FILE *list = list_open();

	while (list_next(list, &m)) {
		uint8_t *bytes;

		if (m.file_bytes > CUT_BYTES)
			continue;
		bytes = module_bytes(&m);
		if (!bytes)
			continue;
		check_cuts(bytes, m.file_bytes);
		free(bytes);
	}
	fclose(list);
}

static const struct test_case cases[] = {
	TEST_CASE_NEEDS(npm_modules_have_the_figures_of_the_list,
			needs_modules),
	TEST_CASE_NEEDS(small_npm_modules_cut_are_no_modules, needs_modules),
};

int main(int argc, char **argv)
{
	return test_main(argc, argv, cases, TEST_ARRAY_SIZE(cases), NULL, 0);
}
