/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * readers.h - threads that read an image at once, each a memory of its own.
 *
 * Each thread reads all host pages in an order of its own, and counts those that
 * are not what they should be.
 */
#ifndef TEST_READERS_H
#define TEST_READERS_H

#include "faultline.h"

#include <pthread.h>
#include <stdint.h>

#define TEST_READERS 6

struct test_reader {
	pthread_t thread;
	struct fl_memory *memory;
	const uint8_t *bytes;
	uint64_t hpages;
	uint64_t stride;
	uint64_t wrong;
};

struct test_readers {
	struct test_reader readers[TEST_READERS];
};

/* The pool has memories for all of them. bytes: of all wpages of the image. */
void test_readers_start(struct test_readers *readers, struct fl_pool *pool,
			struct fl_image *image, const uint8_t *bytes,
			uint64_t wpages);

/* Waits for them and gives the memories back: how many host pages were wrong. */
uint64_t test_readers_end(struct test_readers *readers);

#endif
