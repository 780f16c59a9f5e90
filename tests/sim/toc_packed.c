/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * toc_packed.c - image files whose pages are packed, without a file: what is made
 * is read back, under the digest of the file that is not packed, and neither a
 * number nor a frame of zstd misleads the reader, whoever made it. Files have a page
 * of each kind: packed, stored as it is, and of zeroes; packed pages are four frames,
 * or one as they once were. Of the four each can be had without the others, and
 * nothing that is unpacked takes memory.
 */
#include "tests/kit/random.h"
#include "tests/kit/test.h"
#include "tests/kit/toc_bytes.h"

#include <stdio.h>

#ifdef __GLIBC__
#include <malloc.h>
#endif

#define STATE 1000
#define ENTRIES 4

/* The pages of every file: image, page, which kind. */
static const struct {
	uint32_t image;
	uint64_t wpage;
	bool is_noise;
} pages[ENTRIES] = {
	{ 0, 1, false },
	{ 0, 3, false },
	{ 1, 0, true },
	{ 1, 9, false },
};

static const uint64_t sizes[2] = { 3 * TOC_WPAGE + 77, 20 * TOC_WPAGE };

struct file {
	uint8_t *bytes;
	uint64_t len;
	struct fl__toc toc; /* as it was made */
	uint8_t plain_digest[FL__SHA256_BYTES];
};

/* What is stored in place of page idx; NULL: what belongs there. */
struct forged {
	size_t idx;
	const uint8_t *bytes;
	uint16_t frame_bytes[FL__PAGE_FRAMES]; /* or only the first: one frame */
};

static const char *needs_zstd(void)
{
	return fl__page_pack_lacks() ? TEST_NOT_BUILT "libzstd is not there" :
				       NULL;
}

static void page_fill(size_t idx, uint8_t *page)
{
	uint64_t size = sizes[pages[idx].image];
	uint64_t len =
		fl_min_u64(size - pages[idx].wpage * TOC_WPAGE, TOC_WPAGE);
	uint32_t noise = 1;

	memset(page, 0, TOC_WPAGE);
	for (uint64_t i = 0; i < len; i++) {
		noise = noise * 1664525 + 1013904223;
		page[i] = (uint8_t)(pages[idx].is_noise ? noise >> 24 :
							  i / 9 + i % 7 + idx);
	}
	page[0] |= 1;
}

static void file_tables(struct file *file, uint8_t *page, uint8_t **head)
{
	struct fl_error error = { .text = "" };
	uint8_t state[STATE];
	struct fl__sha256 sha;

	MUST_EQ(fl__toc_begin(&file->toc, 2, 1, &error), 0);
	snprintf(file->toc.encoding, sizeof(file->toc.encoding), "packed");
	memset(state, 7, STATE);
	file->toc.state_bytes = STATE;
	toc_bytes_hash(state, STATE, file->toc.state_sha256);
	fl__sha256_init(&sha);
	for (size_t i = 0; i < ENTRIES; i++) {
		file->toc.images[pages[i].image].initial_bytes =
			sizes[pages[i].image];
		page_fill(i, page);
		MUST_EQ(fl__toc_add_wpage(&file->toc, pages[i].image,
					  pages[i].wpage, page, &sha, &error),
			0);
	}
	MUST_EQ(fl__toc_place(&file->toc, head, &error), 0);
	memcpy(file->plain_digest, file->toc.digest, FL__SHA256_BYTES);
}

static void file_put_wpage(struct file *file, size_t idx,
			   const uint16_t *frame_bytes, const uint8_t *stored)
{
	const struct fl__toc_entry *entry = &file->toc.entries[idx];

	fl__toc_pack_wpage(&file->toc, idx, frame_bytes);
	memcpy(file->bytes + entry->file_off, stored, entry->stored_bytes);
}

static void file_make(struct file *file, const struct forged *forged)
{
	uint8_t *page = malloc(TOC_WPAGE), *head = NULL;
	uint16_t frame_bytes[FL__PAGE_FRAMES];
	const uint8_t *stored;
	struct fl__page_packer *packer = NULL;

	MUST(page != NULL);
	MUST_EQ(fl__page_packer_create(&packer, NULL), 0);
	file_tables(file, page, &head);
	file->bytes = calloc(1, file->toc.file_bytes);
	MUST(file->bytes != NULL);
	memset(file->bytes + file->toc.state_off, 7, STATE);
	fl__toc_pack_begin(&file->toc);
	for (size_t i = 0; i < ENTRIES; i++) {
		page_fill(i, page);
		MUST_EQ(fl__page_pack(packer, page, frame_bytes, &stored), 0);
		if (forged && forged->idx == i)
			file_put_wpage(file, i, forged->frame_bytes,
				       forged->bytes);
		else
			file_put_wpage(file, i, frame_bytes, stored);
	}
	fl__toc_pack_end(&file->toc, head);
	/* The length of one frame stands where that of the first of four does. */
	if (forged && !forged->frame_bytes[1])
		toc_bytes_put(head + toc_bytes_index(head) + 64 * forged->idx +
				      4,
			      1, 4);
	memcpy(file->bytes, head, file->toc.state_off);
	file->len = file->toc.stored_bytes;
	fl__page_packer_destroy(packer);
	free(head);
	free(page);
}

static void file_free(struct file *file)
{
	free(file->bytes);
	fl__toc_fini(&file->toc);
}

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

static void what_is_packed_is_read(void)
{
	uint8_t content[FL__SHA256_BYTES];
	struct fl__toc_source source;
	struct fl_error error;
	struct fl__toc toc;
	struct file file;
	int err;

	file_make(&file, NULL);
	source = toc_bytes_source(file.bytes, file.len);
	MUST_EQ(fl__toc_read(&toc, &source, &error), 0);
	CHECK(toc.is_packed);
	CHECK(!memcmp(toc.digest, file.plain_digest, FL__SHA256_BYTES));
	CHECK_EQ(toc.file_bytes, file.toc.file_bytes);
	CHECK(toc.stored_bytes < toc.file_bytes / 2);
	for (size_t i = 0; i < ENTRIES; i++) {
		CHECK_EQ(fl__toc_is_packed(&toc, i), !pages[i].is_noise);
		CHECK_EQ(toc.entries[i].file_off, file.toc.entries[i].file_off);
	}
	fl__toc_fini(&toc);
	check_try(file.bytes, file.len, &err, &error, content);
	CHECK_EQ(err, 0);
	CHECK(!memcmp(content, file.plain_digest, FL__SHA256_BYTES));
	file_free(&file);
}

/* As it is, and with a header that says the new length. */
static void a_file_cut_anywhere_is_no_file(void)
{
	uint8_t content[FL__SHA256_BYTES], *copy;
	struct fl_error error;
	struct file file;
	int err;

	file_make(&file, NULL);
	copy = malloc(file.len);
	MUST(copy != NULL);
	for (uint64_t len = 0; len < file.len; len += len < 1200 ? 1 : 3977) {
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

/* An error, or the same content; mended, an error or other content. */
static void changed_bytes(void)
{
	int rounds = test_is_sanitized() ? 500 : 2500;
	uint8_t content[FL__SHA256_BYTES], *copy;
	struct test_random random;
	struct fl_error error;
	struct file file;
	int err;

	test_random_init(&random, 17);
	file_make(&file, NULL);
	copy = malloc(file.len);
	MUST(copy != NULL);
	for (int i = 0; i < rounds && !test_has_failed(); i++) {
		bool is_mended = i % 3 == 0;
		uint64_t at = test_random_below(
			&random, i % 2 ? file.toc.state_off : file.len);

		memcpy(copy, file.bytes, file.len);
		copy[at] ^= (uint8_t)(1 + test_random_below(&random, 255));
		if (is_mended)
			toc_bytes_mend(copy, file.len);
		check_try(copy, file.len, &err, &error, content);
		if (!err && !is_mended)
			CHECK(!memcmp(content, file.plain_digest,
				      sizeof(content)));
	}
	free(copy);
	file_free(&file);
}

/* Images at 512, the module at 768, the index at 832, the digest at 1088. */
#define INDEX ((uint64_t)832)

struct lie {
	uint64_t off;
	size_t len;
	uint64_t value;
	int err;
	uint64_t byte_off;
	const char *says;
	bool is_one; /* the first page is one frame */
};

#define ENOUGH "four frames"
#define ONE "1 to 65535"

static const struct lie lies[] = {
	{ 8, 4, 1, -ENOEXEC, 16, "cut or changed", 0 },
	{ 16, 8, 0, -ENOEXEC, 32, "more pages than the file", 0 },
	{ 16, 8, (uint64_t)1 << 50, -ENOEXEC, 16, "behind its last extent", 0 },
	{ 32, 8, 5, -ENOEXEC, 0, "", 0 },
	{ 32, 8, (uint64_t)1 << 47, -ENOEXEC, 32, "more pages", 0 },
	{ 88, 1, 1, -ENOEXEC, 88, "are zero", 0 },
	{ 255, 1, 1, -ENOEXEC, 88, "are zero", 0 },
	{ INDEX + 4, 4, 0, -ENOEXEC, INDEX + 24, "65536", 0 },
	{ INDEX + 4, 4, 1, -ENOEXEC, INDEX + 24, ONE, 0 },
	{ INDEX + 4, 4, 3, -ENOTSUP, INDEX + 4, "encoding 3", 0 },
	{ INDEX + 8, 8, 50, -ENOEXEC, INDEX + 8, "in an extent", 0 },
	{ INDEX + 16, 8, 0, -ENOEXEC, INDEX + 16, "follow", 0 },
	{ INDEX + 16, 8, UINT64_MAX, -ENOEXEC, INDEX + 16, "follow", 0 },
	{ INDEX + 24, 8, 0, -ENOEXEC, INDEX + 24, ENOUGH, 0 },
	{ INDEX + 24, 2, 0, -ENOEXEC, INDEX + 24, ENOUGH, 0 },
	{ INDEX + 28, 2, 0, -ENOEXEC, INDEX + 24, ENOUGH, 0 },
	{ INDEX + 30, 2, 0, -ENOEXEC, INDEX + 24, ENOUGH, 0 },
	{ INDEX + 24, 2, 65535, -ENOEXEC, INDEX + 24, ENOUGH, 0 },
	{ INDEX + 24, 8, UINT64_MAX, -ENOEXEC, INDEX + 24, ENOUGH, 0 },
	{ INDEX + 24, 8, 0x4000400040004000, -ENOEXEC, INDEX + 24, ENOUGH, 0 },
	{ INDEX + 24, 8, 0x0001000100010001, -ENOEXEC, INDEX + 64 + 16,
	  "follow", 0 },
	{ INDEX + 26, 2, 3, -ENOEXEC, INDEX + 64 + 16, "follow", 0 },
	{ INDEX + 24, 8, 0, -ENOEXEC, INDEX + 24, ONE, 1 },
	{ INDEX + 24, 8, 65536, -ENOEXEC, INDEX + 24, ONE, 1 },
	{ INDEX + 24, 8, UINT64_MAX, -ENOEXEC, INDEX + 24, ONE, 1 },
	{ INDEX + 24, 8, (uint64_t)1 << 32, -ENOEXEC, INDEX + 24, ONE, 1 },
	{ INDEX + 24, 8, 5, -ENOEXEC, INDEX + 64 + 16, "follow", 1 },
	{ INDEX + 2 * 64 + 4, 4, 1, -ENOEXEC, INDEX + 2 * 64 + 24, ONE, 0 },
	{ INDEX + 2 * 64 + 4, 4, 2, -ENOEXEC, INDEX + 2 * 64 + 24, ENOUGH, 0 },
	{ INDEX + 3 * 64 + 24, 2, 50000, -ENOEXEC, INDEX + 3 * 64 + 16,
	  "exceeds the file", 0 },
	{ INDEX + 3 * 64 + 24, 2, 10, -ENOEXEC, 0, "behind its last page", 0 },
};

static void every_number_is_checked(void)
{
	uint8_t content[FL__SHA256_BYTES], *copy;
	struct fl_error error;
	struct file file;
	int err;

	file_make(&file, NULL);
	MUST_EQ(toc_bytes_index(file.bytes), INDEX);
	copy = malloc(file.len);
	MUST(copy != NULL);
	for (size_t i = 0; i < TEST_ARRAY_SIZE(lies) && !test_has_failed();
	     i++) {
		const struct lie *lie = &lies[i];

		memcpy(copy, file.bytes, file.len);
		if (lie->off == 8)
			toc_bytes_put(copy + 80, 0, 8);
		if (lie->is_one)
			toc_bytes_put(copy + INDEX + 4, 1, 4);
		toc_bytes_put(copy + lie->off, lie->value, lie->len);
		if (lie->off != 8)
			toc_bytes_mend(copy, file.len);
		check_try(copy, file.len, &err, &error, content);
		CHECK_EQ(err, lie->err);
		if (lie->byte_off)
			CHECK_EQ(error.byte_off, lie->byte_off);
		CHECK_HAS(error.text, lie->says);
		if (test_has_failed())
			test_note("byte %ju: %s", (uintmax_t)lie->off,
				  error.text);
	}
	free(copy);
	file_free(&file);
}

#if FL_WITH_ZSTD

#define LONG_BYTES ((size_t)16 << 20)

/* What the frames of a page hold each. */
static const size_t forms[] = { TOC_WPAGE, TOC_WPAGE / FL__PAGE_FRAMES };

/* The file with other frames for page 1, each this one, says where, and which page. */
static void check_frame(size_t form, const uint8_t *frame, size_t len,
			const char *says)
{
	uint8_t content[FL__SHA256_BYTES], stored[TOC_WPAGE];
	struct forged forged = { .idx = 1, .bytes = stored };
	struct fl_error error;
	struct file file;
	int err;

	for (size_t i = 0; i < TOC_WPAGE / form; i++) {
		MUST(len && (i + 1) * len < TOC_WPAGE);
		forged.frame_bytes[i] = (uint16_t)len;
		memcpy(stored + i * len, frame, len);
	}
	file_make(&file, &forged);
	toc_bytes_mend(file.bytes, file.len);
	check_try(file.bytes, file.len, &err, &error, content);
	CHECK_EQ(err, -ENOEXEC);
	CHECK_EQ(error.byte_off, file.toc.entries[1].file_off);
	CHECK_HAS(error.text, says);
	if (test_has_failed())
		test_note("%s: %s", says, error.text);
	file_free(&file);
}

static size_t frame_of(const uint8_t *bytes, size_t len, uint8_t *frame)
{
	size_t done = ZSTD_compress(frame, TOC_WPAGE, bytes, len, 3);

	MUST(!ZSTD_isError(done));
	return done;
}

/* Where a frame that has its length in 2 or 4 bytes says so: behind the magic and
 * the descriptor, in a frame of one segment. */
#define LENGTH_OFF 5

static void check_no_page(size_t form, const uint8_t *bytes, uint8_t *frame)
{
	size_t len;

	check_frame(form, (const uint8_t *)"x", 1, "not one frame");
	check_frame(form, (const uint8_t *)"\x28\xb5\x2f\xfd", 4,
		    "not one frame");
	len = frame_of(bytes, form / 2, frame);
	len += frame_of(bytes, form / 2, frame + len);
	check_frame(form, frame, len, "not one frame");
	len = frame_of(bytes, form, frame);
	frame[len] = 0;
	check_frame(form, frame, len + 1, "not one frame");
	check_frame(form, frame, len - 1, "not one frame");
	frame[0]--;
	check_frame(form, frame, len, "not one frame");
	check_frame(form, (const uint8_t *)"\x50\x2a\x4d\x18\x03\0\0\0abc", 11,
		    "not one frame");
	check_frame(form, frame, frame_of(bytes, form + 1, frame),
		    "does not say");
	check_frame(form, frame, frame_of(bytes, 100, frame), "does not say");
	/* A bomb. */
	check_frame(form, frame, frame_of(bytes, LONG_BYTES, frame),
		    "does not say");
}

static void a_frame_that_is_no_page(void)
{
	uint8_t *bytes = malloc(LONG_BYTES), *frame = malloc(2 * TOC_WPAGE);

	MUST(bytes && frame);
	memset(bytes, 0x31, LONG_BYTES);
	for (size_t i = 0; i < TEST_ARRAY_SIZE(forms); i++)
		check_no_page(forms[i], bytes, frame);
	free(bytes);
	free(frame);
}

/* The frame says that it holds what it should, and holds more or less. */
static void a_frame_that_lies(void)
{
	uint8_t *bytes = malloc(LONG_BYTES), *frame = malloc(2 * TOC_WPAGE);

	MUST(bytes && frame);
	memset(bytes, 0x31, LONG_BYTES);
	for (size_t i = 0; i < TEST_ARRAY_SIZE(forms); i++) {
		size_t len = frame_of(bytes, LONG_BYTES / 4, frame);

		MUST_EQ(toc_bytes_get(frame + LENGTH_OFF + 1, 4),
			LONG_BYTES / 4);
		toc_bytes_put(frame + LENGTH_OFF + 1, forms[i], 4);
		check_frame(forms[i], frame, len, "cannot be unpacked");
		len = frame_of(bytes, forms[i] - 1, frame);
		MUST_EQ(toc_bytes_get(frame + LENGTH_OFF, 2),
			forms[i] - 1 - 256);
		toc_bytes_put(frame + LENGTH_OFF, forms[i] - 256, 2);
		check_frame(forms[i], frame, len, "cannot be unpacked");
	}
	free(bytes);
	free(frame);
}

static void check_other_frames(size_t form, ZSTD_CCtx *zstd, uint8_t *page,
			       uint8_t *frame)
{
	uint8_t dictionary[TOC_WPAGE / 2];
	size_t len;

	/* A page that refers to bytes which are not there. */
	page_fill(2, page);
	memset(page + form / 2, 0, TOC_WPAGE - form / 2);
	memcpy(dictionary, page, form / 2);
	len = ZSTD_compress_usingDict(zstd, frame, TOC_WPAGE, page, form,
				      dictionary, form / 2, 3);
	MUST(!ZSTD_isError(len));
	check_frame(form, frame, len, "cannot be unpacked");
	/* One without its length. */
	ZSTD_CCtx_setParameter(zstd, ZSTD_c_contentSizeFlag, 0);
	len = ZSTD_compress2(zstd, frame, TOC_WPAGE, page, form);
	MUST(!ZSTD_isError(len));
	check_frame(form, frame, len, "does not say");
	memset(page, 0, TOC_WPAGE);
	check_frame(form, frame, frame_of(page, form, frame),
		    "a page that is zero");
	memset(page, 1, TOC_WPAGE);
	check_frame(form, frame, frame_of(page, form, frame),
		    "beyond the initial size");
}

static void a_frame_with_a_dictionary(void)
{
	uint8_t *page = malloc(TOC_WPAGE), *frame = malloc(TOC_WPAGE);

	MUST(page && frame);
	for (size_t i = 0; i < TEST_ARRAY_SIZE(forms); i++) {
		ZSTD_CCtx *zstd = ZSTD_createCCtx();

		MUST(zstd != NULL);
		check_other_frames(forms[i], zstd, page, frame);
		ZSTD_freeCCtx(zstd);
	}
	free(page);
	free(frame);
}

/* The same content under the same digest. */
static void a_file_of_the_older_form(void)
{
	uint8_t content[FL__SHA256_BYTES], *older;
	struct fl__toc_source source;
	struct fl_error error;
	struct fl__toc toc;
	struct file file;
	uint64_t len;
	int err;

	file_make(&file, NULL);
	len = file.len;
	older = toc_bytes_older(file.bytes, &len);
	check_try(older, len, &err, &error, content);
	CHECK_EQ(err, 0);
	CHECK(!memcmp(content, file.plain_digest, FL__SHA256_BYTES));
	source = toc_bytes_source(older, len);
	MUST_EQ(fl__toc_read(&toc, &source, &error), 0);
	for (size_t i = 0; i < ENTRIES; i++) {
		CHECK_EQ(fl__toc_is_packed(&toc, i), !pages[i].is_noise);
		CHECK_EQ(fl__toc_unit_blocks(&toc, i),
			 pages[i].is_noise ? 1 : FL__PAGE_BLOCKS);
	}
	fl__toc_fini(&toc);
	free(older);
	file_free(&file);
}

/* Pages of both forms may be in one file. */
static void a_page_of_the_older_form(void)
{
	uint8_t *page = malloc(TOC_WPAGE), *frame = malloc(TOC_WPAGE);
	struct forged forged = { .idx = 1, .bytes = frame };
	uint8_t content[FL__SHA256_BYTES];
	struct fl_error error;
	struct file file;
	int err;

	MUST(page && frame);
	page_fill(1, page);
	forged.frame_bytes[0] = (uint16_t)frame_of(page, TOC_WPAGE, frame);
	file_make(&file, &forged);
	check_try(file.bytes, file.len, &err, &error, content);
	CHECK_EQ(err, 0);
	CHECK(!memcmp(content, file.plain_digest, FL__SHA256_BYTES));
	file_free(&file);
	free(frame);
	free(page);
}

/* ----------------------------------------------------------- parts of a page */

#define BLOCK 4096u
#define FRAME FL__PAGE_FRAME_BYTES
#define FRAMES FL__PAGE_FRAMES
#define FRAME_BLOCKS (FRAME / BLOCK)

/* A page of an index that has nothing else. */
struct part {
	uint8_t page[TOC_WPAGE];
	uint8_t stored[TOC_WPAGE];
	struct fl__toc_entry entry;
	struct fl__toc_image image;
	struct fl__toc toc;
	struct fl__page_unpacker *unpacker;
};

/* The page packs to half of it; no part of it is another. */
static struct part *part_open(void)
{
	struct part *part = calloc(1, sizeof(*part));
	struct fl__page_packer *packer;
	const uint8_t *stored;

	MUST(part != NULL);
	page_fill(2, part->page);
	for (uint32_t i = 0; i < TOC_WPAGE; i++)
		part->page[i] &= 0x0f;
	part->image.entry_count = part->toc.entry_count = 1;
	part->toc.images = &part->image;
	part->toc.entries = &part->entry;
	MUST_EQ(fl__page_unpacker_create(&part->unpacker, NULL), 0);
	MUST_EQ(fl__page_packer_create(&packer, NULL), 0);
	MUST_EQ(fl__page_pack(packer, part->page, part->entry.frame_bytes,
			      &stored),
		0);
	for (uint32_t i = 0; i < FRAMES; i++)
		part->entry.stored_bytes += part->entry.frame_bytes[i];
	MUST(part->entry.stored_bytes &&
	     part->entry.stored_bytes < TOC_WPAGE * 3 / 5);
	memcpy(part->stored, stored, part->entry.stored_bytes);
	fl__page_packer_destroy(packer);
	return part;
}

static void part_close(struct part *part)
{
	fl__page_unpacker_destroy(part->unpacker);
	free(part);
}

static uint32_t stored_before(const struct part *part, uint32_t frame)
{
	uint32_t sum = 0;

	while (frame--)
		sum += part->entry.frame_bytes[frame];
	return sum;
}

/* Frames [first, end) from allocations of their lengths. What is given without an
 * error is the page's, if it is_right. */
static bool gives_part(struct part *part, uint32_t first, uint32_t end,
		       bool is_right)
{
	uint32_t from = stored_before(part, first);
	uint32_t len = stored_before(part, end) - from;
	uint8_t *got = malloc(len ? len : 1);
	uint8_t *page = malloc((end - first) * FRAME);
	struct fl_error error = { .text = "" };
	int err;

	MUST(got && page);
	memcpy(got, part->stored + from, len);
	err = fl__toc_unpack_blocks(&part->toc, 0, part->unpacker, got,
				    first * FRAME_BLOCKS,
				    (end - first) * FRAME_BLOCKS, page, &error);
	if (is_right && !err)
		CHECK(!memcmp(page, part->page + first * FRAME,
			      (end - first) * FRAME));
	if (err) {
		CHECK_EQ(err, -ENOEXEC);
		CHECK_HAS(error.text, "page 0 of image 0");
	}
	free(got);
	free(page);
	return !err;
}

static void a_page_can_be_had_in_part(void)
{
	struct part *part = part_open();

	for (uint32_t first = 0; first < FRAMES; first++) {
		for (uint32_t end = first + 1; end <= FRAMES; end++)
			CHECK(gives_part(part, first, end, true));
	}
	part_close(part);
}

/* A frame is damaged: it is not given, and the others are. */
static void a_part_that_is_damaged(void)
{
	struct part *part = part_open();

	for (uint32_t bad = 0; bad < FRAMES; bad++) {
		uint32_t at = stored_before(part, bad);

		memset(part->stored + at, 0xff, part->entry.frame_bytes[bad]);
		for (uint32_t i = 0; i < FRAMES; i++)
			CHECK_EQ(gives_part(part, i, i + 1, true), i != bad);
		CHECK(!gives_part(part, 0, FRAMES, true));
		part_close(part);
		part = part_open();
	}
	part_close(part);
}

/* Lengths that are none of the frames' give no part, and no byte of another place. */
static void lengths_that_lie(void)
{
	struct part *part = part_open();
	uint16_t *lengths = part->entry.frame_bytes;
	int shift[] = { -9, -1, 1, 9 };

	for (uint32_t i = 0; i + 1 < FRAMES; i++) {
		for (size_t s = 0; s < TEST_ARRAY_SIZE(shift); s++) {
			lengths[i] = (uint16_t)(lengths[i] + shift[s]);
			lengths[i + 1] = (uint16_t)(lengths[i + 1] - shift[s]);
			CHECK(!gives_part(part, i, i + 1, true));
			CHECK(!gives_part(part, i + 1, i + 2, true));
			CHECK(!gives_part(part, i, i + 2, true));
			CHECK(!gives_part(part, 0, FRAMES, true));
			lengths[i] = (uint16_t)(lengths[i] - shift[s]);
			lengths[i + 1] = (uint16_t)(lengths[i + 1] + shift[s]);
		}
	}
	part_close(part);
}

/* By another writer: a checksum, or a window that is less than the content. */
static void frames_of_other_writers(void)
{
	static const struct {
		ZSTD_cParameter parameter;
		int value;
	} rows[] = {
		{ ZSTD_c_compressionLevel, 19 },
		{ ZSTD_c_checksumFlag, 1 },
		{ ZSTD_c_windowLog, 10 },
	};
	struct part *part = part_open();

	for (size_t i = 0; i < TEST_ARRAY_SIZE(rows); i++) {
		ZSTD_CCtx *zstd = ZSTD_createCCtx();
		size_t at = 0;

		MUST(zstd != NULL);
		ZSTD_CCtx_setParameter(zstd, rows[i].parameter, rows[i].value);
		for (uint32_t f = 0; f < FRAMES; f++) {
			size_t len = ZSTD_compress2(zstd, part->stored + at,
						    sizeof(part->stored) - at,
						    part->page + f * FRAME,
						    FRAME);

			MUST(!ZSTD_isError(len));
			part->entry.frame_bytes[f] = (uint16_t)len;
			at += len;
		}
		CHECK(gives_part(part, 1, 2, true));
		CHECK(gives_part(part, 0, FRAMES, true));
		ZSTD_freeCCtx(zstd);
	}
	part_close(part);
}

static uint64_t taken_bytes(void)
{
#if defined(__GLIBC__) && __GLIBC_PREREQ(2, 33)
	struct mallinfo2 info = mallinfo2();

	return (uint64_t)info.uordblks + info.hblkhd;
#else
	return 0;
#endif
}

/* Whatever comes, and however often: right frames and hostile ones, pages and parts. */
static void unpacking_takes_no_memory(void)
{
	struct part *part = part_open();
	struct test_random random;
	uint64_t before;

	test_random_init(&random, 23);
	before = taken_bytes();
	for (int i = 0; i < 20000; i++) {
		uint32_t first = (uint32_t)test_random_below(&random, FRAMES);
		uint32_t end =
			first + 1 +
			(uint32_t)test_random_below(&random, FRAMES - first);
		uint32_t at = stored_before(part, first);
		uint8_t kept;

		/* Its head, where the window's size is; or any byte. */
		at += i % 3 == 1 ?
			      4 + (uint32_t)test_random_below(&random, 4) :
			      (uint32_t)test_random_below(
				      &random, part->entry.frame_bytes[first]);
		kept = part->stored[at];
		if (i % 3)
			part->stored[at] = (uint8_t)test_random_next(&random);
		/* Only right bytes are known to be given. */
		if (!gives_part(part, first, end, i % 3 == 0))
			CHECK(i % 3);
		part->stored[at] = kept;
	}
	CHECK_EQ(taken_bytes(), before);
	part_close(part);
}

#else

static void a_frame_that_is_no_page(void)
{
}

static void a_frame_that_lies(void)
{
}

static void a_frame_with_a_dictionary(void)
{
}

static void a_file_of_the_older_form(void)
{
}

static void a_page_of_the_older_form(void)
{
}

static void a_page_can_be_had_in_part(void)
{
}

static void a_part_that_is_damaged(void)
{
}

static void lengths_that_lie(void)
{
}

static void frames_of_other_writers(void)
{
}

static void unpacking_takes_no_memory(void)
{
}

#endif

static const struct test_case cases[] = {
	TEST_CASE_NEEDS(what_is_packed_is_read, needs_zstd),
	TEST_CASE_NEEDS(a_file_cut_anywhere_is_no_file, needs_zstd),
	TEST_CASE_NEEDS(changed_bytes, needs_zstd),
	TEST_CASE_NEEDS(every_number_is_checked, needs_zstd),
	TEST_CASE_NEEDS(a_frame_that_is_no_page, needs_zstd),
	TEST_CASE_NEEDS(a_frame_that_lies, needs_zstd),
	TEST_CASE_NEEDS(a_frame_with_a_dictionary, needs_zstd),
	TEST_CASE_NEEDS(a_file_of_the_older_form, needs_zstd),
	TEST_CASE_NEEDS(a_page_of_the_older_form, needs_zstd),
	TEST_CASE_NEEDS(a_page_can_be_had_in_part, needs_zstd),
	TEST_CASE_NEEDS(a_part_that_is_damaged, needs_zstd),
	TEST_CASE_NEEDS(lengths_that_lie, needs_zstd),
	TEST_CASE_NEEDS(frames_of_other_writers, needs_zstd),
	TEST_CASE_NEEDS(unpacking_takes_no_memory, needs_zstd),
};

int main(int argc, char **argv)
{
	return test_main(argc, argv, cases, TEST_ARRAY_SIZE(cases), NULL, 0);
}
