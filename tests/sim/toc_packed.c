/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * toc_packed.c - image files whose pages are packed, without a file: what is made
 * is read back, under the digest of the file that is not packed, and neither a
 * number nor a frame of zstd misleads the reader, whoever made it. Files have a page
 * of each kind: packed, stored as it is, and of zeroes. The first bytes of a page come
 * from the first of its frame, and nothing that is unpacked takes memory.
 */
#include "tests/kit/random.h"
#include "tests/kit/test.h"
#include "tests/kit/toc_bytes.h"

#include <stdio.h>

#ifdef __GLIBC__
#include <malloc.h>
#endif

#if FL_WITH_ZSTD
#include <zstd.h>
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
	size_t len;
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

static void file_make(struct file *file, const struct forged *forged)
{
	uint8_t *page = malloc(TOC_WPAGE), *head = NULL;
	struct fl__page_packer *packer = NULL;

	MUST(page != NULL);
	MUST_EQ(fl__page_packer_create(&packer, NULL), 0);
	file_tables(file, page, &head);
	file->bytes = calloc(1, file->toc.file_bytes);
	MUST(file->bytes != NULL);
	memset(file->bytes + file->toc.state_off, 7, STATE);
	fl__toc_pack_begin(&file->toc);
	for (size_t i = 0; i < ENTRIES; i++) {
		bool is_forged = forged && forged->idx == i;
		const uint8_t *stored = is_forged ? forged->bytes : NULL;
		uint32_t len = is_forged ? (uint32_t)forged->len : 0;

		page_fill(i, page);
		if (!is_forged)
			len = fl__page_pack(packer, page, &stored);
		fl__toc_pack_wpage(&file->toc, i, len);
		memcpy(file->bytes + file->toc.entries[i].file_off, stored,
		       len);
	}
	fl__toc_pack_end(&file->toc, head);
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
};

static const struct lie lies[] = {
	{ 8, 4, 1, -ENOEXEC, 16, "cut or changed" },
	{ 16, 8, 0, -ENOEXEC, 32, "more pages than the file" },
	{ 16, 8, (uint64_t)1 << 50, -ENOEXEC, 16, "behind its last extent" },
	{ 32, 8, 5, -ENOEXEC, 0, "" },
	{ 32, 8, (uint64_t)1 << 47, -ENOEXEC, 32, "more pages" },
	{ 88, 1, 1, -ENOEXEC, 88, "are zero" },
	{ 255, 1, 1, -ENOEXEC, 88, "are zero" },
	{ INDEX + 4, 4, 0, -ENOEXEC, INDEX + 24, "65536" },
	{ INDEX + 4, 4, 2, -ENOTSUP, INDEX + 4, "encoding 2" },
	{ INDEX + 8, 8, 50, -ENOEXEC, INDEX + 8, "in an extent" },
	{ INDEX + 16, 8, 0, -ENOEXEC, INDEX + 16, "follow" },
	{ INDEX + 16, 8, UINT64_MAX, -ENOEXEC, INDEX + 16, "follow" },
	{ INDEX + 24, 8, 0, -ENOEXEC, INDEX + 24, "1 to 65535" },
	{ INDEX + 24, 8, 65536, -ENOEXEC, INDEX + 24, "1 to 65535" },
	{ INDEX + 24, 8, UINT64_MAX, -ENOEXEC, INDEX + 24, "1 to 65535" },
	{ INDEX + 24, 8, (uint64_t)1 << 32, -ENOEXEC, INDEX + 24,
	  "1 to 65535" },
	{ INDEX + 24, 8, 5, -ENOEXEC, INDEX + 64 + 16, "follow" },
	{ INDEX + 2 * 64 + 4, 4, 1, -ENOEXEC, INDEX + 2 * 64 + 24,
	  "1 to 65535" },
	{ INDEX + 3 * 64 + 24, 8, 60000, -ENOEXEC, INDEX + 3 * 64 + 16,
	  "exceeds the file" },
	{ INDEX + 3 * 64 + 24, 8, 10, -ENOEXEC, 0, "behind its last page" },
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

/* The file with another frame for page 1 says where, and which page. */
static void check_frame(const uint8_t *frame, size_t len, const char *says)
{
	struct forged forged = { 1, frame, len };
	uint8_t content[FL__SHA256_BYTES];
	struct fl_error error;
	struct file file;
	int err;

	MUST(len && len < TOC_WPAGE);
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

static void a_frame_that_is_no_page(void)
{
	uint8_t *bytes = calloc(1, LONG_BYTES), *frame = malloc(2 * TOC_WPAGE);
	size_t len;

	MUST(bytes && frame);
	memset(bytes, 0x31, LONG_BYTES);
	check_frame((const uint8_t *)"x", 1, "not one frame");
	check_frame((const uint8_t *)"\x28\xb5\x2f\xfd", 4, "not one frame");
	len = frame_of(bytes, 32768, frame);
	len += frame_of(bytes, 32768, frame + len);
	check_frame(frame, len, "not one frame");
	len = frame_of(bytes, TOC_WPAGE, frame);
	frame[len] = 0;
	check_frame(frame, len + 1, "not one frame");
	check_frame(frame, len - 1, "not one frame");
	frame[0]--;
	check_frame(frame, len, "not one frame");
	check_frame((const uint8_t *)"\x50\x2a\x4d\x18\x03\0\0\0abc", 11,
		    "not one frame");
	check_frame(frame, frame_of(bytes, TOC_WPAGE + 1, frame),
		    "does not say");
	check_frame(frame, frame_of(bytes, 100, frame), "does not say");
	/* A bomb. */
	check_frame(frame, frame_of(bytes, LONG_BYTES, frame), "does not say");
	free(bytes);
	free(frame);
}

/* The frame says that it holds a page, and holds more or less. */
static void a_frame_that_lies(void)
{
	uint8_t *bytes = calloc(1, LONG_BYTES), *frame = malloc(2 * TOC_WPAGE);
	size_t len;

	MUST(bytes && frame);
	memset(bytes, 0x31, LONG_BYTES);
	len = frame_of(bytes, LONG_BYTES / 4, frame);
	MUST_EQ(toc_bytes_get(frame + LENGTH_OFF + 1, 4), LONG_BYTES / 4);
	toc_bytes_put(frame + LENGTH_OFF + 1, TOC_WPAGE, 4);
	check_frame(frame, len, "cannot be unpacked");
	len = frame_of(bytes, TOC_WPAGE - 1, frame);
	MUST_EQ(toc_bytes_get(frame + LENGTH_OFF, 2), TOC_WPAGE - 1 - 256);
	toc_bytes_put(frame + LENGTH_OFF, TOC_WPAGE - 256, 2);
	check_frame(frame, len, "cannot be unpacked");
	free(bytes);
	free(frame);
}

static void a_frame_with_a_dictionary(void)
{
	uint8_t *page = malloc(TOC_WPAGE), *frame = malloc(TOC_WPAGE);
	uint8_t dictionary[32768];
	ZSTD_CCtx *zstd = ZSTD_createCCtx();
	size_t len;

	MUST(page && frame && zstd);
	/* A page that refers to bytes which are not there. */
	page_fill(2, page);
	memset(page + 32768, 0, TOC_WPAGE - 32768);
	memcpy(dictionary, page, sizeof(dictionary));
	len = ZSTD_compress_usingDict(zstd, frame, TOC_WPAGE, page, TOC_WPAGE,
				      dictionary, sizeof(dictionary), 3);
	MUST(!ZSTD_isError(len));
	check_frame(frame, len, "cannot be unpacked");
	/* One without its length. */
	ZSTD_CCtx_setParameter(zstd, ZSTD_c_contentSizeFlag, 0);
	len = ZSTD_compress2(zstd, frame, TOC_WPAGE, page, TOC_WPAGE);
	MUST(!ZSTD_isError(len));
	check_frame(frame, len, "does not say");
	memset(page, 0, TOC_WPAGE);
	check_frame(frame, frame_of(page, TOC_WPAGE, frame),
		    "a page that is zero");
	memset(page, 1, TOC_WPAGE);
	check_frame(frame, frame_of(page, TOC_WPAGE, frame),
		    "beyond the initial size");
	ZSTD_freeCCtx(zstd);
	free(page);
	free(frame);
}

/* ------------------------------------------------------- a page's first bytes */

#define BLOCK 4096u

struct frame {
	uint8_t page[TOC_WPAGE];
	uint8_t bytes[2 * TOC_WPAGE];
	uint32_t len;
	struct fl__page_unpacker *unpacker;
};

/* The page packs to half of it, and each part of it does. */
static struct frame *frame_open(void)
{
	struct frame *frame = malloc(sizeof(*frame));

	MUST(frame != NULL);
	page_fill(2, frame->page);
	for (uint32_t i = 0; i < TOC_WPAGE; i++)
		frame->page[i] &= 0x0f;
	MUST_EQ(fl__page_unpacker_create(&frame->unpacker, NULL), 0);
	return frame;
}

static void frame_close(struct frame *frame)
{
	fl__page_unpacker_destroy(frame->unpacker);
	free(frame);
}

/* By the library's packer. */
static void frame_pack(struct frame *frame)
{
	struct fl__page_packer *packer;
	const uint8_t *stored;

	MUST_EQ(fl__page_packer_create(&packer, NULL), 0);
	frame->len = fl__page_pack(packer, frame->page, &stored);
	MUST(frame->len < TOC_WPAGE);
	memcpy(frame->bytes, stored, frame->len);
	fl__page_packer_destroy(packer);
}

/* By another writer: one block, a checksum, or a window that is less than the page. */
static void frame_write(struct frame *frame, ZSTD_cParameter parameter,
			int value)
{
	ZSTD_CCtx *zstd = ZSTD_createCCtx();
	size_t len;

	MUST(zstd != NULL);
	MUST(!ZSTD_isError(ZSTD_CCtx_setParameter(zstd, parameter, value)));
	len = ZSTD_compress2(zstd, frame->bytes, sizeof(frame->bytes),
			     frame->page, TOC_WPAGE);
	MUST(!ZSTD_isError(len));
	frame->len = (uint32_t)len;
	ZSTD_freeCCtx(zstd);
}

/* The page's first bytes from the frame's first bytes, in an allocation of their
 * length. What is given is right, and nothing else is written. */
static bool gives_start(struct frame *frame, uint32_t got_bytes,
			uint32_t wanted)
{
	uint8_t *got = malloc(got_bytes ? got_bytes : 1);
	uint8_t *page = malloc(TOC_WPAGE);
	bool is_given;

	MUST(got && page);
	memcpy(got, frame->bytes, got_bytes);
	memset(page, 0xa5, TOC_WPAGE);
	is_given = !fl__page_unpack_start(frame->unpacker, got, got_bytes, page,
					  wanted);
	if (is_given)
		CHECK(!memcmp(page, frame->page, wanted));
	free(got);
	free(page);
	return is_given;
}

/* The fewest bytes of the frame that give the page's first ones. */
static uint32_t least_for(struct frame *frame, uint32_t wanted)
{
	uint32_t low = 0, high = frame->len;

	while (low < high) {
		uint32_t mid = (low + high) / 2;

		if (gives_start(frame, mid, wanted))
			high = mid;
		else
			low = mid + 1;
	}
	return low;
}

/* Any part's end, from all of the frame and from no more than the part takes, which
 * is guessed well where the page packs evenly. What follows may be anything. */
static void a_page_can_be_had_in_part(void)
{
	struct frame *frame = frame_open();

	frame_pack(frame);
	for (uint32_t wanted = BLOCK; wanted <= TOC_WPAGE; wanted += BLOCK) {
		uint32_t least = least_for(frame, wanted);
		uint32_t guess = fl__page_stored_for(frame->len, wanted);
		uint8_t after[2 * TOC_WPAGE];

		CHECK(gives_start(frame, frame->len, wanted));
		CHECK(guess >= least && guess <= frame->len);
		CHECK(guess < least + frame->len / 4);
		memcpy(after, frame->bytes, frame->len);
		memset(frame->bytes + least, 0xff, frame->len - least);
		CHECK(gives_start(frame, frame->len, wanted));
		memcpy(frame->bytes, after, frame->len);
	}
	CHECK_EQ(fl__page_stored_for(frame->len, TOC_WPAGE), frame->len);
	CHECK(least_for(frame, BLOCK) < frame->len * 3 / 5);
	CHECK_EQ(least_for(frame, BLOCK), least_for(frame, 8 * BLOCK));
	frame_close(frame);
}

/* Noise, and then hardly anything: the guess is too low, and an error says so. */
static void a_page_that_packs_unevenly(void)
{
	struct frame *frame = frame_open();
	uint32_t guess;

	page_fill(2, frame->page); /* noise */
	memset(frame->page + 3 * BLOCK, 3, TOC_WPAGE - 3 * BLOCK);
	frame_pack(frame);
	guess = fl__page_stored_for(frame->len, BLOCK);
	CHECK(guess < frame->len);
	CHECK(!gives_start(frame, guess, BLOCK));
	CHECK(gives_start(frame, frame->len, BLOCK));
	frame_close(frame);
}

static void frames_of_other_writers(void)
{
	static const struct {
		ZSTD_cParameter parameter;
		int value;
		bool is_needed_whole;
	} rows[] = {
		{ ZSTD_c_compressionLevel, 19, false },
		{ ZSTD_c_checksumFlag, 1, false },
		{ ZSTD_c_windowLog, 10, true },
		{ ZSTD_c_windowLog, 15, true },
	};
	struct frame *frame = frame_open();

	for (size_t i = 0; i < TEST_ARRAY_SIZE(rows); i++) {
		frame_write(frame, rows[i].parameter, rows[i].value);
		test_note("row %zu, %u bytes", i, frame->len);
		for (uint32_t wanted = BLOCK; wanted <= TOC_WPAGE;
		     wanted += BLOCK) {
			CHECK(gives_start(frame, frame->len, wanted));
			CHECK(!rows[i].is_needed_whole ||
			      least_for(frame, wanted) == frame->len);
		}
	}
	frame_close(frame);
}

/* A frame that is no page's is none of a part's. */
static void a_start_that_is_none(void)
{
	struct frame *frame = frame_open();
	uint8_t *page = calloc(1, TOC_WPAGE + 1);

	MUST(page != NULL);
	memset(page, 0x31, TOC_WPAGE + 1);
	frame->len = (uint32_t)frame_of(page, TOC_WPAGE + 1, frame->bytes);
	CHECK(!gives_start(frame, frame->len, BLOCK));
	frame->len = (uint32_t)frame_of(page, 3 * BLOCK, frame->bytes);
	CHECK(!gives_start(frame, frame->len, BLOCK));
	/* It says that it holds a page, and ends early. */
	MUST_EQ(toc_bytes_get(frame->bytes + LENGTH_OFF, 2), 3 * BLOCK - 256);
	toc_bytes_put(frame->bytes + LENGTH_OFF, TOC_WPAGE - 256, 2);
	CHECK(!gives_start(frame, frame->len, 3 * BLOCK));
	CHECK(!gives_start(frame, frame->len, 4 * BLOCK));
	for (uint32_t len = 0; len < 8; len++)
		CHECK(!gives_start(frame, len, BLOCK));
	free(page);
	frame_close(frame);
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

/* Whatever comes, and however often: right frames, hostile ones, pages and parts. zstd
 * itself would make a stream's memory larger and smaller. */
static void unpacking_takes_no_memory(void)
{
	struct frame *frame = frame_open();
	uint8_t *page = malloc(TOC_WPAGE), *kept = malloc(TOC_WPAGE);
	struct test_random random;
	uint64_t before;

	MUST(page && kept);
	test_random_init(&random, 23);
	frame_pack(frame);
	memcpy(kept, frame->bytes, frame->len);
	before = taken_bytes();
	for (int i = 0; i < 20000; i++) {
		uint32_t wanted =
			BLOCK * (uint32_t)(1 + test_random_below(&random, 16));
		uint32_t at = (uint32_t)test_random_below(&random, frame->len);

		/* Its head, where the window's size is; or any byte. */
		if (i % 3 == 1)
			at = 4 + at % 4;
		if (i % 3)
			frame->bytes[at] = (uint8_t)test_random_next(&random);
		/* Only right bytes are known to be given. */
		if (fl__page_unpack_start(frame->unpacker, frame->bytes,
					  frame->len, page, wanted) == NULL &&
		    i % 3 == 0)
			CHECK(!memcmp(page, frame->page, wanted));
		frame->bytes[at] = kept[at];
	}
	CHECK_EQ(taken_bytes(), before);
	free(page);
	free(kept);
	frame_close(frame);
}

#else

static void a_frame_that_is_no_page(void)
{
}

static void a_page_can_be_had_in_part(void)
{
}

static void a_page_that_packs_unevenly(void)
{
}

static void frames_of_other_writers(void)
{
}

static void a_start_that_is_none(void)
{
}

static void unpacking_takes_no_memory(void)
{
}

static void a_frame_that_lies(void)
{
}

static void a_frame_with_a_dictionary(void)
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
	TEST_CASE_NEEDS(a_page_can_be_had_in_part, needs_zstd),
	TEST_CASE_NEEDS(a_page_that_packs_unevenly, needs_zstd),
	TEST_CASE_NEEDS(frames_of_other_writers, needs_zstd),
	TEST_CASE_NEEDS(a_start_that_is_none, needs_zstd),
	TEST_CASE_NEEDS(unpacking_takes_no_memory, needs_zstd),
};

int main(int argc, char **argv)
{
	return test_main(argc, argv, cases, TEST_ARRAY_SIZE(cases), NULL, 0);
}
