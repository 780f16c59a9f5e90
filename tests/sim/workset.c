/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * workset.c - working sets without an image: what tenants touch is foreseen in
 * the next run, by page and by block of 4 KiB, goes when nobody touches it any
 * more, and no side file whatever makes a byte foreseen that the index lacks.
 */
#include "tests/kit/random.h"
#include "tests/kit/test.h"

#include "image/workset.h"

#include <stdlib.h>
#include <string.h>

#define WPAGE FL_WPAGE_BYTES
#define BLOCK ((uint64_t)4096)
#define ENTRIES 6

/* Pages 2 3 4 8 9 12; in the file page 8 does not follow page 4. */
static struct fl__toc_entry entries[ENTRIES] = {
	{ .wpage = 2, .file_off = 10 * WPAGE },
	{ .wpage = 3, .file_off = 11 * WPAGE },
	{ .wpage = 4, .file_off = 12 * WPAGE },
	{ .wpage = 8, .file_off = 20 * WPAGE },
	{ .wpage = 9, .file_off = 21 * WPAGE },
	{ .wpage = 12, .file_off = 24 * WPAGE },
};

static struct fl__toc_image image = { .entry_count = ENTRIES };

static const struct fl__toc toc = {
	.images = &image,
	.entries = entries,
	.entry_count = ENTRIES,
	.image_count = 1,
	.digest = { 1, 2, 3 },
};

struct file {
	uint8_t *bytes;
	uint64_t len;
};

static void begin(struct fl__workset *set, const struct file *file)
{
	MUST_EQ(fl__workset_init(set, &toc, 0), 0);
	if (file)
		CHECK(fl__workset_read(set, file->bytes, file->len));
}

/* The side file of a run; the old one goes. */
static void end(struct fl__workset *set, struct file *file)
{
	free(file->bytes);
	MUST_EQ(fl__workset_write(set, &file->bytes, &file->len), 0);
	fl__workset_fini(set);
}

/* One tenant of a run touches a range. */
static void run(struct file *file, bool is_first, uint64_t from, uint64_t to)
{
	struct fl__workset_tenant tenant = { .touched_end = 0 };
	struct fl__workset set;

	begin(&set, is_first ? NULL : file);
	CHECK(fl__workset_begin(&set));
	fl__workset_touch(&set, &tenant, from, to, false);
	end(&set, file);
}

static void check_runs(const struct file *file, const uint64_t (*runs)[2],
		       size_t count)
{
	uint64_t at = 0, off, len;
	struct fl__workset set;

	begin(&set, file);
	for (size_t i = 0; i < count; i++) {
		MUST(fl__workset_next_run(&set, &at, &off, &len));
		CHECK_EQ(off, runs[i][0]);
		CHECK_EQ(len, runs[i][1]);
	}
	CHECK(!fl__workset_next_run(&set, &at, &off, &len));
	fl__workset_fini(&set);
}

static void blocks_make_runs(void)
{
	/* One run over three pages; none where the index has no page; a run that
	 * ends with a place in the file. */
	static const uint64_t runs[][2] = {
		{ 11 * WPAGE - BLOCK, WPAGE + 2 * BLOCK },
		{ 20 * WPAGE, WPAGE + BLOCK },
	};
	struct fl__workset_tenant tenant = { .touched_end = 0 };
	struct file file = { NULL, 0 };
	struct fl__workset set;

	begin(&set, NULL);
	CHECK(fl__workset_begin(&set));
	fl__workset_touch(&set, &tenant, 3 * WPAGE - BLOCK, 3 * WPAGE, true);
	fl__workset_touch(&set, &tenant, 3 * WPAGE, 4 * WPAGE + 1, false);
	fl__workset_touch(&set, &tenant, 5 * WPAGE, 7 * WPAGE, false);
	fl__workset_touch(&set, &tenant, 7 * WPAGE, 9 * WPAGE + BLOCK, false);
	end(&set, &file);
	check_runs(&file, runs, 2);
	free(file.bytes);
}

/* However many ranges of a page a tenant touched, the page counts once. */
static void a_page_counts_once(void)
{
	struct fl__workset_tenant tenant = { .touched_end = 0 };
	struct fl__workset set;

	begin(&set, NULL);
	for (uint64_t b = 0; b < 16; b += 2)
		fl__workset_touch(&set, &tenant, 2 * WPAGE + b * BLOCK,
				  2 * WPAGE + (b + 1) * BLOCK, b > 6);
	CHECK_EQ(set.touched[0], 1);
	CHECK_EQ(set.written[0], 1);
	CHECK_EQ(set.blocks[0], 0x5555);
	fl__workset_fini(&set);
}

/* A block that two runs did not touch is asked for no more, while its page is. */
static void blocks_are_forgotten(void)
{
	static const uint64_t both[][2] = { { 10 * WPAGE, 2 * BLOCK } };
	static const uint64_t second[][2] = { { 10 * WPAGE + BLOCK, BLOCK } };
	struct file file = { NULL, 0 };

	run(&file, true, 2 * WPAGE, 2 * WPAGE + BLOCK);
	run(&file, false, 2 * WPAGE + BLOCK, 2 * WPAGE + 2 * BLOCK);
	check_runs(&file, both, 1);
	run(&file, false, 2 * WPAGE + BLOCK, 2 * WPAGE + 2 * BLOCK);
	check_runs(&file, second, 1);
	/* A run without a tenant says nothing. */
	for (int i = 0; i < 3; i++) {
		struct fl__workset set;

		begin(&set, &file);
		end(&set, &file);
	}
	check_runs(&file, second, 1);
	for (int i = 0; i < 3; i++)
		run(&file, false, 12 * WPAGE, 12 * WPAGE + 1);
	check_runs(&file, (const uint64_t[][2]){ { 24 * WPAGE, BLOCK } }, 1);
	free(file.bytes);
}

/* Of any bytes nothing is foreseen that lies outside the pages of the index. */
static void hostile_files(void)
{
	struct file file = { NULL, 0 };
	struct test_random random;

	test_random_init(&random, 3);
	run(&file, true, 0, 20 * WPAGE);
	for (int i = 0; i < 20000; i++) {
		uint64_t at = test_random_below(&random, file.len);
		uint64_t from = 0, off, len, total = 0;
		uint8_t before = file.bytes[at];
		struct fl__workset set;

		file.bytes[at] = (uint8_t)test_random_next(&random);
		MUST_EQ(fl__workset_init(&set, &toc, 0), 0);
		(void)fl__workset_read(&set, file.bytes,
				       test_random_below(&random,
							 file.len + 1));
		while (fl__workset_next_run(&set, &from, &off, &len)) {
			CHECK(off >= 10 * WPAGE && off + len <= 25 * WPAGE);
			total += len;
		}
		CHECK(total <= ENTRIES * WPAGE);
		fl__workset_fini(&set);
		file.bytes[at] = before;
	}
	free(file.bytes);
}

static const struct test_case cases[] = {
	TEST_CASE(blocks_make_runs),
	TEST_CASE(a_page_counts_once),
	TEST_CASE(blocks_are_forgotten),
	TEST_CASE(hostile_files),
};

int main(int argc, char **argv)
{
	return test_main(argc, argv, cases, TEST_ARRAY_SIZE(cases), NULL, 0);
}
