/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * workset.c - working sets without an image: what tenants touch is foreseen in
 * the next run, by page and by block of 4 KiB, goes when nobody touches it any
 * more, and no side file whatever makes a byte foreseen that the index lacks, or has
 * leaves used that are not the page's.
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
	{ .wpage = 2, .file_off = 10 * WPAGE, .stored_bytes = WPAGE },
	{ .wpage = 3, .file_off = 11 * WPAGE, .stored_bytes = WPAGE },
	{ .wpage = 4, .file_off = 12 * WPAGE, .stored_bytes = WPAGE },
	{ .wpage = 8, .file_off = 20 * WPAGE, .stored_bytes = WPAGE },
	{ .wpage = 9, .file_off = 21 * WPAGE, .stored_bytes = WPAGE },
	{ .wpage = 12, .file_off = 24 * WPAGE, .stored_bytes = WPAGE },
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

/* ------------------------------------------------------------------ parts */

#define LEAVES_BYTES ((uint64_t)16 * 32)
#define HEAD_BYTES 48
#define RECORD_BYTES (16 + LEAVES_BYTES)

/* Leaves of an entry's page, which are noise; the index's hash fits them. */
static struct fl__page_leaves leaves_of(uint64_t entry)
{
	struct fl__page_leaves leaves;
	struct test_random random;

	random.state = entry + 1;
	for (size_t i = 0; i < sizeof(leaves); i += 8) {
		uint64_t value = test_random_next(&random);

		memcpy((uint8_t *)&leaves + i, &value, 8);
	}
	return leaves;
}

static void index_make(void)
{
	struct fl__sha256 sha;

	fl__sha256_init(&sha);
	for (uint64_t i = 0; i < ENTRIES; i++) {
		struct fl__page_leaves leaves = leaves_of(i);

		fl__page_root(&sha, &leaves, entries[i].sha256);
	}
}

static void begin_parts(struct fl__workset *set, const struct file *file,
			uint64_t hpage)
{
	MUST_EQ(fl__workset_init(set, &toc, 0), 0);
	MUST_EQ(fl__workset_take_parts(set, hpage), 0);
	if (file)
		CHECK(fl__workset_read(set, file->bytes, file->len));
}

/* A run in which one tenant touches blocks of entry 0's page, and some pages are
 * loaded whole: their bits are set in loaded. */
static void run_parts(struct file *file, bool is_first, uint32_t blocks,
		      uint32_t loaded)
{
	struct fl__workset_tenant tenant = { .touched_end = 0 };
	struct fl__workset set;

	begin_parts(&set, is_first ? NULL : file, BLOCK);
	CHECK(fl__workset_begin(&set));
	for (uint64_t i = 0; i < ENTRIES; i++) {
		struct fl__page_leaves leaves = leaves_of(i);

		if (loaded >> i & 1)
			fl__workset_learn(&set, i, &leaves);
	}
	for (uint64_t b = 0; b < 16; b++) {
		uint64_t at = 2 * WPAGE + b * BLOCK;

		if (blocks >> b & 1)
			fl__workset_touch(&set, &tenant, at, at + BLOCK, false);
	}
	end(&set, file);
}

static void check_parts(const struct file *file, uint64_t hpage,
			const struct fl__part *parts, size_t count)
{
	struct fl__workset set;
	struct fl__part part;
	uint64_t at = 0, entry;

	begin_parts(&set, file, hpage);
	for (size_t i = 0; i < count; i++) {
		MUST(fl__workset_next_part(&set, &at, &entry, &part));
		CHECK_EQ(entry, 0);
		CHECK_EQ(part.first, parts[i].first);
		CHECK_EQ(part.count, parts[i].count);
		/* Whoever waits for a block of it waits for the same. */
		for (uint32_t b = 0; b < part.count; b++) {
			struct fl__part at_block =
				fl__workset_part_at(&set, 0, part.first + b);

			CHECK_EQ(at_block.first, part.first);
			CHECK_EQ(at_block.count, part.count);
		}
	}
	CHECK(!fl__workset_next_part(&set, &at, &entry, &part));
	fl__workset_fini(&set);
}

static void pages_come_in_parts(void)
{
	static const struct {
		uint32_t blocks;
		uint64_t hpage;
		struct fl__part parts[3];
	} rows[] = {
		{ 0x0001, BLOCK, { { 0, 1 } } },
		{ 0x8000, BLOCK, { { 15, 1 } } },
		{ 0x8001, BLOCK, { { 0, 1 }, { 15, 1 } } },
		/* Gaps of one, two and three. */
		{ 0x0005, BLOCK, { { 0, 3 } } },
		{ 0x0012, BLOCK, { { 1, 4 } } },
		{ 0x0022, BLOCK, { { 1, 1 }, { 5, 1 } } },
		{ 0x0842, BLOCK, { { 1, 1 }, { 6, 1 }, { 11, 1 } } },
		/* Most of it is the page. */
		{ 0x07ff, BLOCK, { { 0, 11 } } },
		{ 0x0fff, BLOCK, { { 0, 16 } } },
		{ 0x9249, BLOCK, { { 0, 16 } } },
		/* Host pages of four blocks, and of sixteen. */
		{ 0x0010, 4 * BLOCK, { { 4, 4 } } },
		{ 0x1008, 4 * BLOCK, { { 0, 4 }, { 12, 4 } } },
		{ 0x0810, 4 * BLOCK, { { 4, 8 } } },
		{ 0x0810, 16 * BLOCK, { { 0, 16 } } },
	};

	for (size_t i = 0; i < TEST_ARRAY_SIZE(rows); i++) {
		struct file file = { NULL, 0 };
		size_t count = 0;

		while (count < 3 && rows[i].parts[count].count)
			count++;
		run_parts(&file, true, rows[i].blocks, 1);
		test_note("%#x", rows[i].blocks);
		check_parts(&file, rows[i].hpage, rows[i].parts, count);
		free(file.bytes);
	}
}

/* Of a packed page a part is whole frames, or host pages where those are larger, and
 * lies where its frames do. */
static void packed_pages_come_by_frames(void)
{
	static const uint16_t frame_bytes[4] = { 8000, 20, 16504, 9000 };
	static const struct {
		uint32_t blocks;
		uint64_t hpage;
		struct fl__part parts[2];
		uint64_t at, len; /* of the first */
	} rows[] = {
		{ 0x0001, BLOCK, { { 0, 4 } }, 0, 8000 },
		{ 0x0008, BLOCK, { { 0, 4 } }, 0, 8000 },
		{ 0x0010, BLOCK, { { 4, 4 } }, 8000, 20 },
		{ 0x0018, BLOCK, { { 0, 8 } }, 0, 8020 },
		{ 0x0101, BLOCK, { { 0, 4 }, { 8, 4 } }, 0, 8000 },
		{ 0x8010, BLOCK, { { 4, 4 }, { 12, 4 } }, 8000, 20 },
		{ 0x1800, BLOCK, { { 8, 8 } }, 8020, 25504 },
		{ 0x8000, BLOCK, { { 12, 4 } }, 24524, 9000 },
		{ 0x0111, BLOCK, { { 0, 16 } }, 0, 33524 },
		{ 0x0800, 4 * BLOCK, { { 8, 4 } }, 8020, 16504 },
		{ 0x0800, 8 * BLOCK, { { 8, 8 } }, 8020, 25504 },
		{ 0x0800, 16 * BLOCK, { { 0, 16 } }, 0, 33524 },
	};
	uint64_t len;

	entries[0].stored_bytes = 33524;
	memcpy(entries[0].frame_bytes, frame_bytes, sizeof(frame_bytes));
	for (size_t i = 0; i < TEST_ARRAY_SIZE(rows); i++) {
		const struct fl__part *part = rows[i].parts;
		struct file file = { NULL, 0 };
		struct fl__workset set;

		run_parts(&file, true, rows[i].blocks, 1);
		test_note("%#x", rows[i].blocks);
		check_parts(&file, rows[i].hpage, part, part[1].count ? 2 : 1);
		begin_parts(&set, NULL, BLOCK);
		CHECK_EQ(fl__workset_place(&set, 0, *part, &len),
			 10 * WPAGE + rows[i].at);
		CHECK_EQ(len, rows[i].len);
		/* Of a page that is stored as it is. */
		CHECK_EQ(fl__workset_place(&set, 1, *part, &len),
			 11 * WPAGE + part->first * BLOCK);
		CHECK_EQ(len, part->count * BLOCK);
		fl__workset_fini(&set);
		free(file.bytes);
	}
	memset(entries[0].frame_bytes, 0, sizeof(frame_bytes));
	entries[0].stored_bytes = WPAGE;
}

/* One that is a single frame comes whole, whatever is foreseen of it. */
static void a_page_of_one_frame_comes_whole(void)
{
	static const struct fl__part whole = { 0, 16 };
	uint64_t len;

	entries[0].stored_bytes = 32000;
	for (uint32_t blocks = 1; blocks < 0x10000; blocks <<= 1) {
		struct file file = { NULL, 0 };
		struct fl__workset set;

		run_parts(&file, true, blocks, 1);
		check_parts(&file, BLOCK, &whole, 1);
		begin_parts(&set, NULL, BLOCK);
		CHECK_EQ(fl__workset_place(&set, 0, whole, &len), 10 * WPAGE);
		CHECK_EQ(len, 32000);
		fl__workset_fini(&set);
		free(file.bytes);
	}
	entries[0].stored_bytes = WPAGE;
}

/* Without leaves a page comes whole; leaves stay from run to run, whoever loads
 * what; and rough blocks count only where nothing is known better. */
static void leaves_are_kept(void)
{
	static const struct fl__part whole[] = { { 0, 16 } };
	static const struct fl__part part[] = { { 3, 1 } };
	struct fl__workset_tenant tenant = { .is_rough = true };
	struct file file = { NULL, 0 };
	struct fl__workset set;
	struct fl__sha256 sha;

	fl__sha256_init(&sha);
	run_parts(&file, true, 1 << 3, 0);
	CHECK_EQ(file.len, HEAD_BYTES + 16);
	check_parts(&file, BLOCK, whole, 1);
	run_parts(&file, false, 1 << 3, 0x3f);
	CHECK_EQ(file.len, HEAD_BYTES + RECORD_BYTES);
	check_parts(&file, BLOCK, part, 1);
	run_parts(&file, false, 1 << 3, 0);
	check_parts(&file, BLOCK, part, 1);
	begin_parts(&set, &file, BLOCK);
	CHECK(fl__workset_leaves(&set, 0, &sha) != NULL);
	CHECK(fl__workset_leaves(&set, 1, &sha) == NULL);
	CHECK(fl__workset_begin(&set));
	fl__workset_touch(&set, &tenant, 2 * WPAGE, 3 * WPAGE, false);
	CHECK_EQ(set.blocks[0], 0);
	CHECK_EQ(set.rough_blocks[0], 0xffff);
	end(&set, &file);
	/* All of it is foreseen: the next run needs no leaves. */
	CHECK_EQ(file.len, HEAD_BYTES + 16);
	check_parts(&file, BLOCK, whole, 1);
	free(file.bytes);
}

/* Eight tenants are recorded; pages that come later have no leaves. */
static void leaves_end_with_the_record(void)
{
	struct fl__page_leaves leaves = leaves_of(0);
	struct fl__workset set;
	struct fl__sha256 sha;

	fl__sha256_init(&sha);
	begin_parts(&set, NULL, BLOCK);
	for (int i = 0; i < FL__WORKSET_TENANTS; i++)
		CHECK(fl__workset_begin(&set));
	fl__workset_learn(&set, 0, &leaves);
	CHECK(fl__workset_leaves(&set, 0, &sha) == NULL);
	fl__workset_fini(&set);
}

/* What is used of leaves was checked: they are the page's, or are not used. */
static void check_leaves(const struct file *file, uint64_t len)
{
	struct fl__workset set;
	struct fl__sha256 sha;
	struct fl__part part;
	uint64_t at = 0, entry, total = 0;

	fl__sha256_init(&sha);
	MUST_EQ(fl__workset_init(&set, &toc, 0), 0);
	MUST_EQ(fl__workset_take_parts(&set, BLOCK), 0);
	(void)fl__workset_read(&set, file->bytes, len);
	while (fl__workset_next_part(&set, &at, &entry, &part)) {
		CHECK(entry < ENTRIES && part.count);
		CHECK(part.first + part.count <= 16);
		total += part.count;
	}
	CHECK(total <= ENTRIES * 16);
	for (uint64_t i = 0; i < ENTRIES; i++) {
		const struct fl__page_leaves *leaves =
			fl__workset_leaves(&set, i, &sha);
		struct fl__page_leaves own = leaves_of(i);

		CHECK(!leaves || !memcmp(leaves, &own, sizeof(own)));
		/* Those that were not are not asked for a second time. */
		CHECK(leaves ||
		      fl__part_is_whole(fl__workset_part_at(&set, i, 3)));
	}
	fl__workset_fini(&set);
}

static void file_of_leaves(struct file *file)
{
	struct fl__workset_tenant tenant = { .touched_end = 0 };
	struct fl__workset set;

	begin_parts(&set, NULL, BLOCK);
	CHECK(fl__workset_begin(&set));
	for (uint64_t i = 0; i < ENTRIES; i++) {
		struct fl__page_leaves leaves = leaves_of(i);
		uint64_t at = entries[i].wpage * WPAGE + 3 * BLOCK;

		fl__workset_learn(&set, i, &leaves);
		fl__workset_touch(&set, &tenant, at, at + i * BLOCK + 1, false);
	}
	end(&set, file);
	CHECK_EQ(file->len, HEAD_BYTES + ENTRIES * RECORD_BYTES);
}

/* A file in place has no use for leaves, and reads on behind them. */
static void leaves_are_skipped(void)
{
	uint64_t runs[ENTRIES][2];
	struct file file = { NULL, 0 };

	for (uint64_t i = 0; i < ENTRIES; i++) {
		runs[i][0] = entries[i].file_off + 3 * BLOCK;
		runs[i][1] = (i + 1) * BLOCK;
	}
	file_of_leaves(&file);
	check_runs(&file, (const uint64_t(*)[2])runs, ENTRIES);
	free(file.bytes);
}

static void hostile_leaves(void)
{
	struct file file = { NULL, 0 };
	struct test_random random;

	test_random_init(&random, 7);
	file_of_leaves(&file);
	for (uint64_t len = 0; len <= file.len; len++)
		check_leaves(&file, len);
	for (uint64_t at = 0; at < file.len; at++) {
		uint8_t before = file.bytes[at];

		file.bytes[at] ^= 1u << test_random_below(&random, 8);
		check_leaves(&file, file.len);
		file.bytes[at] = (uint8_t)test_random_next(&random);
		check_leaves(&file, test_random_below(&random, file.len + 1));
		file.bytes[at] = before;
	}
	free(file.bytes);
}

/* Once a part's leaves were found to be wrong, the page is loaded whole: no other part
 * of it is worth a load. */
static void no_part_follows_bad_leaves(void)
{
	struct file file = { NULL, 0 };
	struct fl__workset set;
	struct fl__sha256 sha;
	struct fl__part part;
	uint64_t at = 0, entry;

	run_parts(&file, true, 0xf00f, 1);
	begin_parts(&set, &file, BLOCK);
	MUST(fl__workset_next_part(&set, &at, &entry, &part));
	CHECK_EQ(part.first, 0);
	CHECK_EQ(part.count, 4);
	set.leaves[0].sha256[9][0] ^= 1;
	fl__sha256_init(&sha);
	CHECK(fl__workset_leaves(&set, 0, &sha) == NULL);
	CHECK(!fl__workset_next_part(&set, &at, &entry, &part));
	fl__workset_fini(&set);
	free(file.bytes);
}

/* ------------------------------------------------------------------ order */

#define BATCH 64u
#define MANY (3 * BATCH)

static struct fl__toc_entry many_entries[MANY];
static struct fl__toc_image many_image = { .entry_count = MANY };
static const struct fl__toc many_toc = {
	.images = &many_image,
	.entries = many_entries,
	.entry_count = MANY,
	.image_count = 1,
	.digest = { 4, 5, 6 },
};

/* A tenant touches pages [0, touched), and guests wait for some in this order. */
static void run_many(struct file *file, bool is_first, const uint32_t *waits,
		     size_t wait_count, uint64_t touched)
{
	struct fl__workset_tenant tenant = { .touched_end = 0 };
	struct fl__workset set;

	for (uint64_t i = 0; i < MANY; i++)
		many_entries[i] = (struct fl__toc_entry){
			.wpage = i, .file_off = i * WPAGE, .stored_bytes = WPAGE
		};
	MUST_EQ(fl__workset_init(&set, &many_toc, 0), 0);
	if (!is_first)
		CHECK(fl__workset_read(&set, file->bytes, file->len));
	CHECK(fl__workset_begin(&set));
	fl__workset_touch(&set, &tenant, 0, touched * WPAGE, false);
	for (size_t i = 0; i < wait_count; i++)
		fl__workset_wait(&set, waits[i]);
	end(&set, file);
}

static int compare_entries(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

/* Pages are foreseen in this order, but that they ascend in a batch. */
static void check_order(const struct file *file, uint32_t *order, size_t count)
{
	struct fl__workset set;
	struct fl__part part;
	uint64_t at = 0, entry;

	MUST_EQ(fl__workset_init(&set, &many_toc, 0), 0);
	CHECK(fl__workset_read(&set, file->bytes, file->len));
	for (size_t i = 0; i < count; i++) {
		if (i % BATCH == 0)
			qsort(order + i, fl_min_u64(BATCH, count - i),
			      sizeof(*order), compare_entries);
		MUST(fl__workset_next_part(&set, &at, &entry, &part));
		CHECK_EQ(entry, order[i]);
		CHECK(fl__part_is_whole(part));
	}
	CHECK(!fl__workset_next_part(&set, &at, &entry, &part));
	fl__workset_fini(&set);
}

/* A page that nobody waited for follows the one before it: the odd ones here. A
 * second wait for a page says nothing. */
static void pages_come_as_guests_waited(void)
{
	uint32_t waits[MANY], order[MANY];
	struct file file = { NULL, 0 };

	for (uint32_t i = 0; i < MANY / 2; i++) {
		waits[i] = i * 37 % (MANY / 2) * 2;
		waits[MANY / 2 + i] = i * 2;
		order[2 * i] = waits[i];
		order[2 * i + 1] = waits[i] + 1;
	}
	run_many(&file, true, waits, MANY, MANY);
	check_order(&file, order, MANY);
	free(file.bytes);
}

static void pages_keep_their_places(void)
{
	uint32_t waits[BATCH], order[2 * BATCH];
	struct file file = { NULL, 0 };

	for (uint32_t i = 0; i < BATCH; i++) {
		waits[i] = BATCH - 1 - i;
		order[i] = waits[i];
	}
	run_many(&file, true, waits, BATCH, BATCH);
	/* The pages of the first run are there before anybody waits; others are not,
	 * of which the first one that is waited for comes first. */
	for (uint32_t i = 0; i < BATCH; i++) {
		waits[i] = 2 * BATCH - 1 - i;
		order[BATCH + i] = waits[i];
	}
	run_many(&file, false, waits, BATCH, 2 * BATCH);
	check_order(&file, order, 2 * BATCH);
	free(file.bytes);
}

/* However often a side file names a page, the page has the first place. */
static void a_page_has_one_place(void)
{
	static const uint32_t waits[] = { 3, 1, 2 };
	struct file file = { NULL, 0 };
	uint8_t *twice;

	run_many(&file, true, waits, 3, 4);
	twice = malloc(2 * file.len);
	MUST(twice != NULL);
	memcpy(twice, file.bytes, file.len);
	memcpy(twice + file.len, file.bytes + 48, file.len - 48);
	free(file.bytes);
	file = (struct file){ twice, 2 * file.len - 48 };
	check_order(&file, (uint32_t[]){ 0, 1, 2, 3 }, 4);
	free(twice);
}

static const struct test_case cases[] = {
	TEST_CASE(blocks_make_runs),
	TEST_CASE(a_page_counts_once),
	TEST_CASE(blocks_are_forgotten),
	TEST_CASE(hostile_files),
	TEST_CASE(pages_come_in_parts),
	TEST_CASE(packed_pages_come_by_frames),
	TEST_CASE(a_page_of_one_frame_comes_whole),
	TEST_CASE(leaves_are_kept),
	TEST_CASE(leaves_end_with_the_record),
	TEST_CASE(leaves_are_skipped),
	TEST_CASE(hostile_leaves),
	TEST_CASE(no_part_follows_bad_leaves),
	TEST_CASE(pages_come_as_guests_waited),
	TEST_CASE(pages_keep_their_places),
	TEST_CASE(a_page_has_one_place),
};

int main(int argc, char **argv)
{
	index_make();
	return test_main(argc, argv, cases, TEST_ARRAY_SIZE(cases), NULL, 0);
}
