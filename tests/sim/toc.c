/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * toc.c - the form of image files, without a file: what is made is read back,
 * where it is placed, and that no bytes whatever mislead the reader. Hostile
 * files come in two kinds: changed, which the hashes find, and changed and
 * mended, which only the checks of each number find.
 */
#include "tests/kit/random.h"
#include "tests/kit/test.h"
#include "tests/kit/toc_bytes.h"

#include <stdio.h>

#define MAX_IMAGES 4
#define MAX_WPAGES 24

/* What a file is made of. Page i of an image is filled by its number. */
struct sample {
	uint32_t image_count, module_count;
	struct {
		uint64_t initial_bytes;
		uint32_t wpage_count;
		uint64_t wpages[MAX_WPAGES];
	} images[MAX_IMAGES];
	uint64_t state_bytes;
	const char *encoding;
};

struct file {
	uint8_t *bytes;
	uint64_t len;
	struct fl__toc toc; /* as it was made */
	uint8_t content[FL__SHA256_BYTES];
};

static void sample_wpage(uint32_t image, uint64_t wpage, uint64_t size,
			 uint8_t *page)
{
	uint64_t len = fl_min_u64(size - wpage * TOC_WPAGE, TOC_WPAGE);

	memset(page, 0, TOC_WPAGE);
	for (uint64_t i = (wpage * 7 + image) % 64; i < len; i += 64)
		page[i] = (uint8_t)(wpage * 3 + image + i / 64 + 1);
	page[0] |= 1;
}

static void sample_add(struct fl__toc *toc, const struct sample *sample)
{
	uint8_t *page = malloc(TOC_WPAGE);
	struct fl_error error = { .text = "" };
	struct fl__sha256 sha;

	MUST(page != NULL);
	fl__sha256_init(&sha);
	for (uint32_t i = 0; i < sample->image_count; i++) {
		uint64_t size = sample->images[i].initial_bytes;

		toc->images[i].initial_bytes = size;
		for (uint32_t k = 0; k < sample->images[i].wpage_count; k++) {
			uint64_t wpage = sample->images[i].wpages[k];

			sample_wpage(i, wpage, size, page);
			MUST_EQ(fl__toc_add_wpage(toc, i, wpage, page, &sha,
						  &error),
				0);
		}
	}
	free(page);
}

static void sample_make(const struct sample *sample, struct file *file)
{
	struct fl_error error = { .text = "" };
	struct fl__toc *toc = &file->toc;
	uint8_t *head = NULL, *state;

	MUST_EQ(fl__toc_begin(toc, sample->image_count, sample->module_count,
			      &error),
		0);
	snprintf(toc->encoding, sizeof(toc->encoding), "%s", sample->encoding);
	for (uint32_t i = 0; i < sample->module_count; i++)
		memset(toc->module_digests[i], (int)i + 1, FL__SHA256_BYTES);
	state = calloc(1, sample->state_bytes + 1);
	MUST(state != NULL);
	for (uint64_t i = 0; i < sample->state_bytes; i++)
		state[i] = (uint8_t)(i * 5 + 3);
	toc->state_bytes = sample->state_bytes;
	toc_bytes_hash(state, sample->state_bytes, toc->state_sha256);
	sample_add(toc, sample);
	MUST_EQ(fl__toc_place(toc, &head, &error), 0);
	memcpy(file->content, toc->digest, FL__SHA256_BYTES);
	file->len = toc->file_bytes;
	file->bytes = calloc(1, file->len);
	MUST(file->bytes != NULL);
	memcpy(file->bytes, head, toc->state_off);
	memcpy(file->bytes + toc->state_off, state, sample->state_bytes);
	for (uint64_t i = 0; i < toc->entry_count; i++) {
		const struct fl__toc_entry *entry = &toc->entries[i];

		MUST(fl_range_fits(entry->file_off, TOC_WPAGE, file->len));
		sample_wpage(entry->image_idx, entry->wpage,
			     toc->images[entry->image_idx].initial_bytes,
			     file->bytes + entry->file_off);
	}
	free(state);
	free(head);
}

static void file_free(struct file *file)
{
	free(file->bytes);
	fl__toc_fini(&file->toc);
}

/* Sizes off the page, two extents, no data, no bytes; modules and a state. */
static const struct sample some = {
	.image_count = 4,
	.module_count = 3,
	.images = {
		{ 3 * TOC_WPAGE + 77, 2, { 1, 3 } },
		{ 20 * TOC_WPAGE, 2, { 0, 9 } },
		{ 5, 0, { 0 } },
		{ 0, 0, { 0 } },
	},
	.state_bytes = 1000,
	.encoding = "a runtime's state, 1",
};

static void random_sample(struct sample *sample, struct test_random *random)
{
	*sample = (struct sample){
		.image_count =
			(uint32_t)test_random_below(random, MAX_IMAGES + 1),
		.module_count = (uint32_t)test_random_below(random, 4),
		.state_bytes = test_random_below(random, 3) ?
				       test_random_below(random, 9000) :
				       0,
		.encoding = "e",
	};
	for (uint32_t i = 0; i < sample->image_count; i++) {
		uint64_t wpage = 0, dense = 1 + test_random_below(random, 40);
		uint32_t n = (uint32_t)test_random_below(random, MAX_WPAGES);

		for (uint32_t k = 0; k < n; k++) {
			wpage += test_random_below(random, dense);
			sample->images[i].wpages[k] = wpage++;
		}
		sample->images[i].wpage_count = n;
		sample->images[i].initial_bytes =
			(n ? wpage * TOC_WPAGE - TOC_WPAGE + 1 : 0) +
			test_random_below(random, 3 * TOC_WPAGE);
	}
}

/* ------------------------------------------------------------ made and read */

static void check_same(const struct fl__toc *a, const struct fl__toc *b)
{
	CHECK_EQ(a->file_bytes, b->file_bytes);
	CHECK_EQ(a->state_off, b->state_off);
	CHECK_EQ(a->state_bytes, b->state_bytes);
	CHECK_EQ(a->image_count, b->image_count);
	CHECK_EQ(a->module_count, b->module_count);
	CHECK_EQ(a->entry_count, b->entry_count);
	CHECK(!strcmp(a->encoding, b->encoding));
	CHECK(!memcmp(a->digest, b->digest, FL__SHA256_BYTES));
	CHECK(!memcmp(a->module_digests, b->module_digests,
		      a->module_count * (size_t)FL__SHA256_BYTES));
	for (uint32_t i = 0; i < a->image_count; i++)
		CHECK(!memcmp(&a->images[i], &b->images[i],
			      sizeof(*a->images)));
	for (uint64_t i = 0; i < a->entry_count; i++) {
		CHECK_EQ(a->entries[i].image_idx, b->entries[i].image_idx);
		CHECK_EQ(a->entries[i].wpage, b->entries[i].wpage);
		CHECK_EQ(a->entries[i].file_off, b->entries[i].file_off);
	}
}

static void check_reads(const struct file *file)
{
	struct fl__toc_source source = toc_bytes_source(file->bytes, file->len);
	uint8_t content[FL__SHA256_BYTES];
	struct fl_error error;
	struct fl__toc toc;
	int err;

	MUST_EQ(fl__toc_read(&toc, &source, &error), 0);
	check_same(&toc, &file->toc);
	fl__toc_fini(&toc);
	CHECK(!toc_bytes_try(file->bytes, file->len, content, &err, &error));
	CHECK_EQ(err, 0);
	CHECK(!memcmp(content, file->content, sizeof(content)));
}

static void what_is_made_is_read(void)
{
	struct test_random random;
	struct sample sample;
	struct file file;

	test_random_init(&random, 11);
	sample_make(&some, &file);
	check_reads(&file);
	file_free(&file);
	for (int round = test_rounds(60); round > 0; round--) {
		random_sample(&sample, &random);
		sample_make(&sample, &file);
		check_reads(&file);
		file_free(&file);
	}
}

static void check_extents(const struct file *file)
{
	uint64_t place = file->toc.state_off + file->toc.state_bytes;

	for (uint32_t i = 0; i < file->toc.image_count; i++) {
		const struct fl__toc_image *image = &file->toc.images[i];
		uint64_t wpage = 0;

		for (uint32_t k = 0; k < image->extent_count; k++) {
			const struct fl__toc_extent *e = &image->extents[k];
			uint64_t off = e->first_wpage * TOC_WPAGE;
			uint64_t unit = e->wpage_count < 32 ? TOC_WPAGE :
							      2 << 20;

			CHECK(e->first_wpage >= wpage);
			CHECK(e->file_off >= place);
			CHECK(e->file_off - place < unit);
			CHECK_EQ(e->file_off % unit, off % unit);
			wpage = e->first_wpage + e->wpage_count;
			place = e->file_off + e->wpage_count * TOC_WPAGE;
		}
	}
	CHECK_EQ(place, file->len);
}

/* Each extent as near as its place in a large page allows, in order. */
static void extents_are_placed(void)
{
	struct test_random random;
	struct sample sample;
	struct file file;

	test_random_init(&random, 12);
	for (int round = test_rounds(60); round > 0; round--) {
		random_sample(&sample, &random);
		sample_make(&sample, &file);
		check_extents(&file);
		file_free(&file);
	}
}

/* A digest is a promise beyond one version of the library: this one was
 * computed from the description, by other code. */
static void digest_is_for_good(void)
{
	char text[2 * FL__SHA256_BYTES + 1];
	struct file file;

	sample_make(&some, &file);
	for (size_t i = 0; i < FL__SHA256_BYTES; i++)
		snprintf(text + 2 * i, 3, "%02x", file.content[i]);
	CHECK(!strcmp(text, "d48636c90607bb6a73cb74cff9b5367f"
			    "8de0c9b2ae54dd219cad0adbcb1146af"));
	if (test_has_failed())
		test_note("the digest is %s", text);
	file_free(&file);
}

static void zero_pages_are_left_out(void)
{
	struct fl_error error = { .text = "" };
	uint8_t *page = calloc(1, TOC_WPAGE), *head = NULL;
	struct fl__sha256 sha;
	struct fl__toc toc;

	MUST(page != NULL);
	MUST_EQ(fl__toc_begin(&toc, 1, 0, &error), 0);
	toc.images[0].initial_bytes = 10 * TOC_WPAGE;
	fl__sha256_init(&sha);
	CHECK_EQ(fl__toc_add_wpage(&toc, 0, 4, page, &sha, &error), 0);
	CHECK_EQ(fl__toc_place(&toc, &head, &error), 0);
	CHECK_EQ(toc.entry_count, 0);
	CHECK_EQ(toc.images[0].extent_count, 0);
	CHECK_EQ(toc.file_bytes, toc.state_off);
	free(head);
	free(page);
	fl__toc_fini(&toc);
}

static void too_much_is_refused(void)
{
	struct fl_error error = { .text = "" };
	uint8_t *head = NULL;
	struct fl__toc toc;

	CHECK_EQ(fl__toc_begin(&toc, FL__TOC_MAX_IMAGES + 1, 0, &error),
		 -E2BIG);
	CHECK_EQ(fl__toc_begin(&toc, 0, FL__TOC_MAX_MODULES + 1, &error),
		 -E2BIG);
	MUST_EQ(fl__toc_begin(&toc, 0, 0, &error), 0);
	toc.state_bytes = FL__TOC_MAX_STATE_BYTES + 1;
	CHECK_EQ(fl__toc_place(&toc, &head, &error), -E2BIG);
	fl__toc_fini(&toc);
}

/* ------------------------------------------------------------------ hostile */

/* An allocation of exactly len bytes, so that a sanitizer sees its end. */
static void check_try(const uint8_t *bytes, uint64_t len, int *err,
		      struct fl_error *error, uint8_t *content)
{
	uint8_t *copy = malloc(len ? len : 1);
	const char *wrong;

	MUST(copy != NULL);
	memcpy(copy, bytes, len);
	wrong = toc_bytes_try(copy, len, content, err, error);
	if (!CHECK(!wrong))
		test_note("%s: %s", wrong, error->text);
	free(copy);
}

/* As it is, and with a header that says the new length. */
static void a_file_cut_anywhere_is_no_file(void)
{
	uint8_t content[FL__SHA256_BYTES];
	struct fl_error error;
	struct file file;
	unsigned int step;
	uint8_t *copy;
	int err;

	sample_make(&some, &file);
	copy = malloc(file.len);
	MUST(copy != NULL);
	step = 4096u / (unsigned int)test_rounds(4096);
	/* Inside a page each cut is as good as another. */
	for (uint64_t len = 0; len < file.len;
	     len += len < 4096 ? step : TOC_WPAGE / 2 - 1) {
		check_try(file.bytes, len, &err, &error, content);
		CHECK_EQ(err, -ENOEXEC);
		memcpy(copy, file.bytes, len);
		toc_bytes_mend(copy, len);
		check_try(copy, len, &err, &error, content);
		CHECK_EQ(err, -ENOEXEC);
	}
	free(copy);
	file_free(&file);
}

/* Most changes hit what is small and means much. */
static uint64_t random_byte(struct test_random *random, const struct file *file)
{
	return test_random_below(random, test_random_below(random, 10) ?
						 file->toc.state_off + 64 :
						 file->len);
}

static void a_change(struct test_random *random, const struct file *file,
		     uint8_t *copy, bool is_mended)
{
	uint64_t at = random_byte(random, file);
	uint8_t content[FL__SHA256_BYTES], was = copy[at];
	struct fl_error error;
	int err;

	copy[at] ^= (uint8_t)(1 + test_random_below(random, 255));
	if (is_mended)
		toc_bytes_mend(copy, file->len);
	check_try(copy, file->len, &err, &error, content);
	if (!err && !is_mended)
		CHECK(!memcmp(content, file->content, sizeof(content)));
	copy[at] = was;
	if (is_mended)
		memcpy(copy, file->bytes, file->toc.state_off);
}

/* An error, or the same content: what lies between the parts is none. */
static void changed_bytes(void)
{
	static const struct sample small = {
		.image_count = 2,
		.module_count = 1,
		.images = { { 100, 1, { 0 } }, { 9 * TOC_WPAGE, 1, { 8 } } },
		.state_bytes = 100,
		.encoding = "small",
	};
	int rounds = test_rounds(test_is_sanitized() ? 10000 : 100000);
	struct test_random random;
	struct file file;
	uint8_t *copy;

	test_random_init(&random, 13);
	sample_make(&small, &file);
	copy = malloc(file.len);
	MUST(copy != NULL);
	memcpy(copy, file.bytes, file.len);
	for (int i = 0; i < rounds && !test_has_failed(); i++)
		a_change(&random, &file, copy, false);
	CHECK(!memcmp(copy, file.bytes, file.len));
	for (int i = 0; i < rounds / 10 && !test_has_failed(); i++)
		a_change(&random, &file, copy, true);
	free(copy);
	file_free(&file);
}

/* One number of the file changed, all hashes made to fit. byte 0: wherever. */
struct lie {
	uint64_t off;
	size_t len;
	uint64_t value;
	int err;
	uint64_t byte_off;
	const char *says;
};

/* Of `some`: images at 512, modules at 1024, index at 1152, digest at 1408. */
#define INDEX ((uint64_t)1152)

static const struct lie lies[] = {
	{ 24, 4, 65537, -E2BIG, 24, "65537 images" },
	{ 28, 4, UINT32_MAX, -E2BIG, 28, "modules" },
	{ 24, 4, 65536, -ENOEXEC, 24, "exceed the file" },
	{ 32, 8, UINT64_MAX, -ENOEXEC, 32, "more pages than the file" },
	{ 32, 8, (uint64_t)1 << 48, -ENOEXEC, 32, "more pages" },
	{ 40, 8, ((uint64_t)1 << 30) + 1, -E2BIG, 40, "bytes of state" },
	{ 40, 8, 1 << 29, -ENOEXEC, 24, "exceed the file" },
	{ 80, 1, 1, -ENOEXEC, 80, "are zero" },
	{ 100, 1, 1, -ENOEXEC, 88, "are zero" },
	{ 255, 1, 1, -ENOEXEC, 88, "are zero" },
	{ 511, 1, 'x', -ENOEXEC, 256, "encoding" },
	{ 512, 4, 0, -ENOEXEC, 512, "kind" },
	{ 512, 4, 2, -ENOEXEC, 512, "kind" },
	{ 516, 4, 5, -ENOEXEC, 516, "at most 4" },
	{ 516, 4, 0, -ENOEXEC, 544, "not used" },
	{ 516, 4, 2, -ENOEXEC, 568, "extent" },
	{ 520, 8, 3 * TOC_WPAGE, -ENOEXEC, 544, "initial size" },
	{ 520, 8, 3 * TOC_WPAGE + 1, -ENOEXEC, 0, "beyond the initial size" },
	{ 530, 1, 1, -ENOEXEC, 528, "are zero" },
	{ 544, 8, UINT64_MAX, -ENOEXEC, 544, "initial size" },
	{ 544, 8, 2, -ENOEXEC, 544, "initial size" },
	{ 552, 8, 0, -ENOEXEC, 544, "in order" },
	{ 552, 8, UINT64_MAX, -ENOEXEC, 544, "initial size" },
	{ 560, 8, 0, -ENOEXEC, 560, "place" },
	{ 560, 8, 65537, -ENOEXEC, 560, "place" },
	{ 560, 8, UINT64_MAX - 65535, -ENOEXEC, 560, "place" },
	{ 560, 8, 2 * TOC_WPAGE, -ENOEXEC, 0, "place" },
	{ INDEX - 1, 1, 1, -ENOEXEC, 1120, "precede the index" },
	{ INDEX, 4, 4, -ENOEXEC, INDEX, "in order" },
	{ INDEX, 4, 2, -ENOEXEC, INDEX + 8, "place" },
	{ INDEX + 4, 4, 1, -ENOTSUP, INDEX + 4, "encoding 1" },
	{ INDEX + 8, 8, 2, -ENOEXEC, INDEX + 8, "place" },
	{ INDEX + 8, 8, UINT64_MAX, -ENOEXEC, INDEX + 8, "place" },
	{ INDEX + 16, 8, UINT64_MAX, -ENOEXEC, INDEX + 8, "place" },
	{ INDEX + 24, 8, 4096, -ENOEXEC, INDEX + 24, "65536" },
	{ INDEX + 64, 4, 1, -ENOEXEC, INDEX + 72, "place" },
	{ INDEX + 64 + 8, 8, 1, -ENOEXEC, INDEX + 64, "in order" },
};

static void check_lie(const struct file *file, const struct lie *lie,
		      uint8_t *copy)
{
	uint8_t content[FL__SHA256_BYTES];
	struct fl_error error;
	int err;

	memcpy(copy, file->bytes, file->len);
	toc_bytes_put(copy + lie->off, lie->value, lie->len);
	toc_bytes_mend(copy, file->len);
	check_try(copy, file->len, &err, &error, content);
	CHECK_EQ(err, lie->err);
	if (lie->byte_off)
		CHECK_EQ(error.byte_off, lie->byte_off);
	CHECK_HAS(error.text, lie->says);
	if (test_has_failed())
		test_note("byte %ju: %s", (uintmax_t)lie->off, error.text);
}

static void every_number_is_checked(void)
{
	struct file file;
	uint8_t *copy;

	sample_make(&some, &file);
	MUST_EQ(toc_bytes_index(file.bytes), INDEX);
	copy = malloc(file.len);
	MUST(copy != NULL);
	for (size_t i = 0; i < TEST_ARRAY_SIZE(lies) && !test_has_failed(); i++)
		check_lie(&file, &lies[i], copy);
	free(copy);
	file_free(&file);
}

/* What has no hash to be mended. */
static void other_files(void)
{
	static const struct {
		uint64_t off;
		uint8_t value;
		int err;
		uint64_t byte_off;
		const char *says;
	} others[] = {
		{ 0, 'x', -ENOEXEC, 0, "no Faultline image file" },
		{ 4, '\n', -ENOEXEC, 0, "no Faultline image file" },
		{ 8, 0, -ENOEXEC, 8, "no such version" },
		{ 8, 3, -ENOTSUP, 8, "newer library" },
		{ 12, 1, -ENOEXEC, 12, "65536" },
		{ 16, 1, -ENOEXEC, 16, "cut or changed" },
		{ 48, 1, -ENOEXEC, 1408, "digest" },
		{ 1408, 1, -ENOEXEC, 1408, "digest" },
		{ 1440, 1, -ENOEXEC, 1440, "state" },
		{ 2 * TOC_WPAGE - 1, 1, -ENOEXEC, TOC_WPAGE, "hash" },
	};
	uint8_t content[FL__SHA256_BYTES], was;
	struct fl_error error;
	struct file file;
	int err;

	sample_make(&some, &file);
	for (size_t i = 0; i < TEST_ARRAY_SIZE(others); i++) {
		was = file.bytes[others[i].off];
		file.bytes[others[i].off] = others[i].value;
		check_try(file.bytes, file.len, &err, &error, content);
		CHECK_EQ(err, others[i].err);
		CHECK_EQ(error.byte_off, others[i].byte_off);
		CHECK_HAS(error.text, others[i].says);
		file.bytes[others[i].off] = was;
	}
	check_reads(&file);
	file_free(&file);
}

/* Else a small file could become large memory. */
static void a_zero_page_is_refused(void)
{
	uint8_t content[FL__SHA256_BYTES];
	struct fl_error error;
	struct file file;
	uint64_t off;
	int err;

	sample_make(&some, &file);
	off = file.toc.entries[1].file_off;
	memset(file.bytes + off, 0, TOC_WPAGE);
	toc_bytes_mend(file.bytes, file.len);
	check_try(file.bytes, file.len, &err, &error, content);
	CHECK_EQ(err, -ENOEXEC);
	CHECK_EQ(error.byte_off, off);
	CHECK_HAS(error.text, "zero");
	file_free(&file);
}

/* Each block of a page passes by the page's leaves, and no other block does. */
static void check_blocks(const struct fl__toc *toc, uint64_t entry_idx,
			 uint8_t *page, const struct fl__page_leaves *leaves)
{
	struct fl__sha256 sha;

	fl__sha256_init(&sha);
	for (uint32_t first = 0; first < FL__PAGE_BLOCKS; first++) {
		uint8_t *at = page + first * FL__PAGE_BLOCK_BYTES;

		for (uint32_t count = 1; first + count <= FL__PAGE_BLOCKS;
		     count += 3)
			CHECK_EQ(fl__toc_check_blocks(toc, entry_idx, &sha,
						      leaves, first, count, at),
				 0);
		at[77 * first] ^= 1;
		CHECK_EQ(fl__toc_check_blocks(toc, entry_idx, &sha, leaves,
					      first, 1, at),
			 -ENOEXEC);
		CHECK_EQ(fl__toc_check_blocks(toc, entry_idx, &sha, leaves, 0,
					      FL__PAGE_BLOCKS, page),
			 -ENOEXEC);
		at[77 * first] ^= 1;
	}
}

static void blocks_are_checked_alone(void)
{
	uint8_t *page = malloc(TOC_WPAGE);
	struct fl__page_leaves leaves;
	struct fl__sha256 sha;
	struct file file;

	MUST(page != NULL);
	fl__sha256_init(&sha);
	sample_make(&some, &file);
	for (uint64_t i = 0; i < file.toc.entry_count; i++) {
		const struct fl__toc_entry *entry = &file.toc.entries[i];

		sample_wpage(entry->image_idx, entry->wpage,
			     file.toc.images[entry->image_idx].initial_bytes,
			     page);
		fl__page_leaves_of(&sha, page, 0, FL__PAGE_BLOCKS, &leaves);
		CHECK_EQ(fl__toc_check_leaves(&file.toc, i, &sha, &leaves), 0);
		check_blocks(&file.toc, i, page, &leaves);
		leaves.sha256[i % FL__PAGE_BLOCKS][i % FL__SHA256_BYTES] ^= 4;
		CHECK_EQ(fl__toc_check_leaves(&file.toc, i, &sha, &leaves),
			 -ENOEXEC);
	}
	file_free(&file);
	free(page);
}

/* The leaves are the page's, and the page has a byte where the image has ended. */
static void a_block_ends_with_its_image(void)
{
	uint8_t *page = calloc(1, TOC_WPAGE);
	struct fl__page_leaves leaves;
	struct fl__sha256 sha;
	struct file file;
	struct fl__toc_image *image;

	MUST(page != NULL);
	fl__sha256_init(&sha);
	sample_make(&some, &file);
	image = &file.toc.images[file.toc.entries[0].image_idx];
	image->initial_bytes =
		file.toc.entries[0].wpage * FL_WPAGE_BYTES + 5000;
	page[4999] = page[5000] = 1;
	fl__page_leaves_of(&sha, page, 0, FL__PAGE_BLOCKS, &leaves);
	CHECK_EQ(fl__toc_check_blocks(&file.toc, 0, &sha, &leaves, 0, 1, page),
		 0);
	CHECK_EQ(fl__toc_check_blocks(&file.toc, 0, &sha, &leaves, 1, 1,
				      page + FL__PAGE_BLOCK_BYTES),
		 -ENOEXEC);
	page[5000] = 0;
	fl__page_leaves_of(&sha, page, 0, FL__PAGE_BLOCKS, &leaves);
	CHECK_EQ(fl__toc_check_blocks(&file.toc, 0, &sha, &leaves, 1, 1,
				      page + FL__PAGE_BLOCK_BYTES),
		 0);
	CHECK_EQ(fl__toc_check_blocks(&file.toc, 0, &sha, &leaves, 2, 14,
				      page + 2 * FL__PAGE_BLOCK_BYTES),
		 0);
	file_free(&file);
	free(page);
}

static const struct test_case cases[] = {
	TEST_CASE(what_is_made_is_read),
	TEST_CASE(extents_are_placed),
	TEST_CASE(digest_is_for_good),
	TEST_CASE(zero_pages_are_left_out),
	TEST_CASE(too_much_is_refused),
	TEST_CASE(a_file_cut_anywhere_is_no_file),
	TEST_CASE(changed_bytes),
	TEST_CASE(every_number_is_checked),
	TEST_CASE(other_files),
	TEST_CASE(a_zero_page_is_refused),
	TEST_CASE(blocks_are_checked_alone),
	TEST_CASE(a_block_ends_with_its_image),
};

int main(int argc, char **argv)
{
	return test_main(argc, argv, cases, TEST_ARRAY_SIZE(cases), NULL, 0);
}
