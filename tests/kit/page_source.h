/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * page_source.h - image files as page sources that misbehave.
 *
 * Takes an image; gives its file's bytes, and a source of these bytes that
 * answers from a thread of its own: at once or late, in order or not, short,
 * twice, never, or with an error. What it does is set by atomics, at any time.
 */
#ifndef TEST_PAGE_SOURCE_H
#define TEST_PAGE_SOURCE_H

#include "faultline.h"

#include <stdbool.h>
#include <stdint.h>

struct test_file {
	uint8_t *bytes;
	uint64_t len;
};

/* The bytes of an image's file; the caller frees bytes. */
struct test_file test_file_of(const struct fl_image *image);
/* The same of a packed file. */
struct test_file test_packed_file_of(const struct fl_image *image);
/* NULL: files can be packed. Else why not. */
const char *test_needs_zstd(void);
struct test_file test_file_of_snapshot(const struct fl_snapshot *snapshot);

/* What a source does wrong; 0: nothing. All atomic. */
struct test_mischief {
	uint32_t fail_every;	/* each nth read fails with fail_err */
	int32_t fail_err;
	uint32_t is_late;	/* answers wait some hundred microseconds */
	uint32_t is_short;	/* fewer bytes than were asked for */
	uint32_t is_twice;	/* done is called twice */
	uint32_t is_unordered;	/* the newest read is answered first */
	uint32_t is_silent;	/* no answer until a cancel or the end */
	uint32_t is_deaf;	/* nor after a cancel */
	uint32_t is_stubborn;	/* what was cancelled is answered with its bytes */
	uint32_t silent_below;	/* both of reads of fewer bytes alone; 0: of all */
	uint32_t wrong_every;	/* each nth read has a wrong byte */
	uint32_t end_early;	/* reads beyond this byte give nothing; 0: none */
};

struct test_source {
	struct fl_page_source *source;
	struct test_mischief mischief;
	uint64_t reads;		/* atomic: reads of more than 4 KiB */
	uint64_t cancels;	/* atomic */
	bool is_closed;		/* atomic */
	struct test_source_threads *threads;
	struct test_file file;
};

/* A source of file's bytes, which outlive the source: answering later, or (not
 * is_async) waiting. The struct outlives the source, whose one reference is the
 * caller's. */
void test_source_open(struct test_source *source, struct test_file file,
		      bool is_async);

void test_source_set(uint32_t *field, uint32_t value);
/* No mischief from here on. */
void test_source_behave(struct test_source *source);
/* The mischief has changed: look at the open reads again. */
void test_source_kick(struct test_source *source);

#endif
