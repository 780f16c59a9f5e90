/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * memory.c - what instances take, and what a request writes.
 *
 * An instance's private memory is what the process has more of while some
 * instances live, divided by their number: anonymous pages and page tables. The
 * pool is a new one for each way, so that no slot has kept anything. Pages of
 * an image that nobody wrote are the image's and do not count.
 *
 * What a request writes is seen in an instance whose memory is mapped privately
 * from a file with the memory's own content: a page that is no longer the file's
 * was written. The pages are then copied from one buffer to another, run by run.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <fcntl.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "service.h"

#define LANES 16u
#define WRITTEN_SEEDS 8u
#define COPIES 101u
#define PAGEMAP_IS_FILE (UINT64_C(1) << 61)
#define PAGEMAP_IS_SWAPPED (UINT64_C(1) << 62)
#define PAGEMAP_IS_PRESENT (UINT64_C(1) << 63)

/* ----------------------------------------------------- private memory */

double field_kib(const char *path, const char *name)
{
	FILE *file = fopen(path, "r");
	unsigned long long kib = 0;
	char line[256];

	if (!file)
		return 0;
	while (fgets(line, sizeof(line), file))
		if (!strncmp(line, name, strlen(name)))
			sscanf(line + strlen(name), "%llu", &kib);
	fclose(file);
	return (double)kib;
}

static double private_kib(void)
{
	malloc_trim(0);
	return field_kib("/proc/self/smaps_rollup", "Anonymous:") +
	       field_kib("/proc/self/status", "VmPTE:");
}

static void footprint_measure(const struct way *way, const struct guest *guest,
			      struct fl_context *context,
			      struct footprint *footprint)
{
	struct lane *lanes = must_allocate(LANES * sizeof(*lanes));
	struct fl_pool *pool = pool_open(context);
	double before_kib, idle_kib, live_kib;

	memset(lanes, 0, LANES * sizeof(*lanes));
	before_kib = private_kib();
	for (unsigned int i = 0; i < LANES; i++) {
		lane_open(&lanes[i], way, guest, pool);
		way->start(&lanes[i]);
	}
	idle_kib = private_kib() - before_kib;
	for (unsigned int i = 0; i < LANES; i++)
		for (uint32_t kind = 0; kind < KINDS; kind++)
			lane_request(&lanes[i], kind, i);
	live_kib = private_kib() - before_kib;
	for (unsigned int i = 0; i < LANES; i++) {
		way->end(&lanes[i]);
		lane_close(&lanes[i]);
	}
	pool_close(pool);
	free(lanes);
	*footprint = (struct footprint){
		.is_there = true,
		.idle_kib = idle_kib / LANES,
		.live_kib = live_kib / LANES,
	};
}

void footprints_measure(const struct guest *guest, struct fl_context *context,
			struct footprint footprints[WAYS])
{
	memset(footprints, 0, WAYS * sizeof(footprints[0]));
	for (int way = 0; way < WAYS; way++)
		if (way_is_there(&ways[way], guest))
			footprint_measure(&ways[way], guest, context,
					  &footprints[way]);
}

/* ------------------------------------------------------------ written pages */

struct pages {
	bool *is_written;
	size_t count, room;
};

/* A file with the content of a memory. */
static int content_file(const wasm_rt_memory_t *memory)
{
	int fd = memfd_create("written", MFD_CLOEXEC);
	size_t done = 0;

	if (fd < 0)
		die("no memory file");
	while (done < memory->size) {
		ssize_t step =
			write(fd, memory->data + done, memory->size - done);

		if (step <= 0)
			die("the memory file cannot be written");
		done += (size_t)step;
	}
	return fd;
}

static void pages_read(struct pages *pages, const uint8_t *data, size_t room)
{
	uint64_t *entries = must_allocate(room * sizeof(*entries));
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	off_t at = (off_t)((uintptr_t)data / HPAGE_BYTES * sizeof(*entries));

	if (fd < 0 || pread(fd, entries, room * sizeof(*entries), at) !=
			      (ssize_t)(room * sizeof(*entries)))
		die("/proc/self/pagemap cannot be read");
	close(fd);
	pages->count = 0;
	for (size_t i = 0; i < room; i++) {
		bool is_there = entries[i] &
				(PAGEMAP_IS_PRESENT | PAGEMAP_IS_SWAPPED);

		pages->is_written[i] = is_there &&
				       !(entries[i] & PAGEMAP_IS_FILE);
		pages->count += pages->is_written[i];
	}
	free(entries);
}

static void pages_copy(const struct pages *pages, uint8_t *to,
		       const uint8_t *from)
{
	for (size_t i = 0, end; i < pages->room; i = end + 1) {
		for (end = i; end < pages->room && pages->is_written[end];)
			end++;
		memcpy(to + i * HPAGE_BYTES, from + i * HPAGE_BYTES,
		       (end - i) * HPAGE_BYTES);
	}
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* The median of several copies. */
static double pages_copy_us(const struct pages *pages, uint8_t *to,
			    const uint8_t *from)
{
	double us[COPIES];

	for (unsigned int i = 0; i < COPIES; i++) {
		uint64_t before_ns = now_ns();

		pages_copy(pages, to, from);
		us[i] = (double)(now_ns() - before_ns) / 1e3;
	}
	qsort(us, COPIES, sizeof(us[0]), by_value);
	return us[COPIES / 2];
}

/* One request in a memory that is as the file. */
static void pages_of_request(struct lane *lane, int fd, uint32_t kind,
			     uint32_t seed, struct pages *pages)
{
	wasm_rt_memory_t *memory = lane->module->memory(lane->instance);

	if (mmap(memory->data, pages->room * HPAGE_BYTES,
		 PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED, fd,
		 0) == MAP_FAILED)
		die("the memory file cannot be mapped");
	lane_request(lane, kind, seed);
	pages_read(pages, memory->data, pages->room);
}

void written_measure(const struct guest *guest, uint32_t kind,
		     struct written *written)
{
	wasm_rt_memory_t *memory;
	struct pages pages;
	struct lane lane;
	uint8_t *from, *to;
	int fd;

	lane_open(&lane, &ways[WAY_REUSE], guest, NULL);
	memory = lane.module->memory(lane.instance);
	pages.room = memory->size / HPAGE_BYTES;
	pages.is_written = must_allocate(pages.room);
	from = must_allocate(memory->size);
	to = must_allocate(memory->size);
	memcpy(from, memory->data, memory->size);
	fd = content_file(memory);
	memset(written, 0, sizeof(*written));
	for (uint32_t seed = 0; seed < WRITTEN_SEEDS; seed++) {
		pages_of_request(&lane, fd, kind, seed, &pages);
		written->hpages += (double)pages.count / WRITTEN_SEEDS;
		written->memcpy_us +=
			pages_copy_us(&pages, to, from) / WRITTEN_SEEDS;
	}
	close(fd);
	free(from);
	free(to);
	free(pages.is_written);
	lane_close(&lane);
}
