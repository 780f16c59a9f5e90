/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * coldstart.h - what bench_coldstart measures by: a file, and the pages of it that
 * are touched.
 *
 * A way opens what it needs, calls touch() once, and closes it. True: every page
 * was right. Time is taken at the end of touch(): what comes after is another
 * matter.
 */
#ifndef COLDSTART_H
#define COLDSTART_H

#include "faultline.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HPAGE ((uint64_t)4096)
#define MIB ((uint64_t)1 << 20)

struct bench {
	uint64_t image_bytes;
	uint64_t cluster_hpages;
	uint64_t *clusters; /* offsets, in the order of touching */
	size_t cluster_count;
	uint64_t data_off; /* of the image's byte 0 in the file */
	const char *set_path; /* of lazy images */
	const char *place_set_path; /* of the file in place */
	const char *path, *packed_path;
	int fd, packed_fd; /* packed_fd -1: the library packs nothing */
	struct fl_context *context;
	struct fl_pool *pool;
};

/* Else say what failed and why, and end. */
void check(bool holds, const char *what);
bool touch(const struct bench *b, const uint8_t *base);

/* Ways of others: coldstart_others.c. */
bool run_mmap(const struct bench *b);
bool run_mmap_random(const struct bench *b);
bool run_mmap_willneed(const struct bench *b);
bool run_mmap_pages(const struct bench *b);
bool run_read(const struct bench *b);
/* Why a way by io_uring is not possible here; NULL: it is. */
const char *needs_ring(const struct bench *b);
const char *needs_direct(const struct bench *b);
bool run_uring(const struct bench *b);
bool run_uring_direct(const struct bench *b);
bool run_uring_set(const struct bench *b);

#endif
