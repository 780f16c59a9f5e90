/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/* coldstart_others.c - ways of others to a working set; see coldstart.h. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "coldstart.h"
#include "uffd/ring.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

/* ahead_bytes: 0, or what is asked for is a multiple of this. */
static bool run_mapping(const struct bench *b, int advice, uint64_t ahead_bytes)
{
	uint64_t len = b->cluster_hpages * HPAGE;
	uint8_t *base = mmap(NULL, b->image_bytes, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE, b->fd, (off_t)b->data_off);
	bool is_right;

	check(base != MAP_FAILED, "mmap");
	if (advice)
		(void)madvise(base, b->image_bytes, advice);
	if (ahead_bytes > len)
		len = ahead_bytes;
	for (size_t i = 0; ahead_bytes && i < b->cluster_count; i++)
		(void)madvise(base + b->clusters[i] / len * len, len,
			      MADV_WILLNEED);
	is_right = touch(b, base);
	munmap(base, b->image_bytes);
	return is_right;
}

bool run_mmap(const struct bench *b)
{
	return run_mapping(b, 0, 0);
}

bool run_mmap_random(const struct bench *b)
{
	return run_mapping(b, MADV_RANDOM, 0);
}

bool run_mmap_willneed(const struct bench *b)
{
	return run_mapping(b, MADV_RANDOM, HPAGE);
}

bool run_mmap_pages(const struct bench *b)
{
	return run_mapping(b, MADV_RANDOM, 65536);
}

bool run_read(const struct bench *b)
{
	uint8_t *base = mmap(NULL, b->image_bytes, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	bool is_right;

	check(base != MAP_FAILED, "mmap");
	for (uint64_t done = 0; done < b->image_bytes;) {
		ssize_t got = pread(b->fd, base + done, b->image_bytes - done,
				    (off_t)(b->data_off + done));

		check(got > 0, "pread");
		done += (uint64_t)got;
	}
	is_right = touch(b, base);
	munmap(base, b->image_bytes);
	return is_right;
}

/* ------------------------------------------- by io_uring into a memory file */

#define DEPTH 32
#define READ_BYTES MIB

struct filler {
	struct fl__ring *ring;
	int fd;
	uint8_t *window; /* of the memory file */
	uint64_t data_off;
	uint32_t under_way;
};

/* Until so many are under way at most. */
static void filler_wait(struct filler *filler, uint32_t most)
{
	struct pollfd ready = { fl__ring_fd(filler->ring), POLLIN, 0 };
	int64_t result;

	check(fl__ring_go(filler->ring), "io_uring_enter");
	while (filler->under_way > most) {
		while (fl__ring_next(filler->ring, &result)) {
			check(result > 0, "a read by io_uring");
			filler->under_way--;
		}
		if (filler->under_way > most)
			poll(&ready, 1, -1);
	}
}

static void filler_read(struct filler *filler, uint64_t off, uint64_t len)
{
	for (uint64_t end = off + len, part; off < end; off += part) {
		part = end - off < READ_BYTES ? end - off : READ_BYTES;
		if (filler->under_way == DEPTH)
			filler_wait(filler, DEPTH - 1);
		check(fl__ring_read(
			      filler->ring, filler->fd, filler->data_off + off,
			      filler->window + off, (uint32_t)part, filler),
		      "the ring has no room");
		filler->under_way++;
	}
}

/* Ascending, as a recorded set is kept. */
static int compare_offs(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static void filler_read_set(struct filler *filler, const struct bench *b)
{
	uint64_t *offs = malloc(b->cluster_count * sizeof(*offs));

	check(offs != NULL, "no memory");
	for (size_t i = 0; i < b->cluster_count; i++)
		offs[i] = b->clusters[i];
	qsort(offs, b->cluster_count, sizeof(*offs), compare_offs);
	for (size_t i = 0; i < b->cluster_count; i++)
		filler_read(filler, offs[i], b->cluster_hpages * HPAGE);
	free(offs);
}

const char *needs_ring(const struct bench *b)
{
	struct fl__ring *ring;

	(void)b;
	if (fl__ring_open(1, &ring))
		return "no io_uring here";
	fl__ring_close(ring);
	return NULL;
}

const char *needs_direct(const struct bench *b)
{
	int fd = open(b->path, O_RDONLY | O_CLOEXEC | O_DIRECT);

	if (fd < 0)
		return "the file system has no O_DIRECT";
	close(fd);
	return needs_ring(b);
}

static bool run_ring(const struct bench *b, int flags, bool is_set)
{
	struct filler filler = { .data_off = b->data_off };
	int memfd = memfd_create("coldstart", MFD_CLOEXEC);
	bool is_right;
	uint8_t *base;

	filler.fd = open(b->path, O_RDONLY | O_CLOEXEC | flags);
	check(memfd >= 0 && filler.fd >= 0, "open");
	check(!ftruncate(memfd, (off_t)b->image_bytes), "ftruncate");
	errno = -fl__ring_open(DEPTH, &filler.ring);
	check(!errno, "io_uring");
	filler.window = mmap(NULL, b->image_bytes, PROT_READ | PROT_WRITE,
			     MAP_SHARED, memfd, 0);
	check(filler.window != MAP_FAILED, "mmap");
	if (is_set)
		filler_read_set(&filler, b);
	else
		filler_read(&filler, 0, b->image_bytes);
	filler_wait(&filler, 0);
	base = mmap(NULL, b->image_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE,
		    memfd, 0);
	check(base != MAP_FAILED, "mmap");
	is_right = touch(b, base);
	munmap(base, b->image_bytes);
	munmap(filler.window, b->image_bytes);
	fl__ring_close(filler.ring);
	close(filler.fd);
	close(memfd);
	return is_right;
}

bool run_uring(const struct bench *b)
{
	return run_ring(b, 0, false);
}

bool run_uring_direct(const struct bench *b)
{
	return run_ring(b, O_DIRECT, false);
}

bool run_uring_set(const struct bench *b)
{
	return run_ring(b, O_DIRECT, true);
}
