/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/* memfd.c - making and sealing memory files; see memfd.h. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "memfd.h"
#include "kernel.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define LARGE_FOLIO_BYTES ((uint64_t)2 << 20)
#define SEAL_RETRIES 20

int fl__memfd_open(void)
{
	const unsigned int flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
	int fd = memfd_create("faultline-image", flags | FL_MFD_NOEXEC_SEAL);

	/* Kernels that do not know the flag refuse it. */
	if (fd < 0 && errno == EINVAL)
		fd = memfd_create("faultline-image", flags);
	return fd < 0 ? -errno : fd;
}

/* An extent: where it is in the file and the memory, and its length. */
static uint64_t extent_off(const struct fl__image_map *map, uint32_t i)
{
	return map->extents[i].hpage_off * map->hpage_bytes;
}

static uint64_t extent_len(const struct fl__image_map *map, uint32_t i)
{
	return map->extents[i].hpage_len * map->hpage_bytes;
}

/* Map the extents alone: gaps between them take no address space, which a
 * 64-bit memory may have much of. On an error the caller unmaps all. */
static int memfd_map_extents(int fd, const struct fl__image_map *map,
			     uint8_t *bytes)
{
	uint64_t first = fl__image_map_first_off(map), end = first;

	for (uint32_t i = 0; i < map->extent_count; i++) {
		uint64_t off = extent_off(map, i);

		if (mmap(bytes + (off - first), (size_t)extent_len(map, i),
			 PROT_READ, MAP_SHARED | MAP_FIXED, fd,
			 (off_t)off) == MAP_FAILED)
			return -errno;
	}
	for (uint32_t i = 0; i < map->extent_count; i++) {
		uint64_t off = extent_off(map, i);

		if (off > end)
			fl__os_release(bytes + (end - first), off - end);
		end = off + extent_len(map, i);
	}
	return 0;
}

/*
 * Map the file at an address congruent to the offset modulo a large folio, so
 * that one folio can be one page table entry.
 */
static int memfd_map(int fd, const struct fl_image *image, uint8_t **bytes)
{
	uint64_t first = fl__image_map_first_off(&image->map);
	uint64_t span = fl__image_map_span_bytes(&image->map);
	uint64_t lead = first % LARGE_FOLIO_BYTES;
	uint8_t *reserved;
	int err;

	err = fl__os_reserve(lead + span, LARGE_FOLIO_BYTES, &reserved);
	if (err)
		return err;
	if (lead)
		fl__os_release(reserved, lead);
	*bytes = reserved + lead;
	err = memfd_map_extents(fd, &image->map, *bytes);
	/* The module has this content too, and a dump would make pages of the
	 * holes. */
	if (!err)
		fl__os_dump(*bytes, span, false);
	if (err)
		fl__os_release(*bytes, span);
	return err;
}

/* Mostly data: such a chunk is worth one large folio, and its holes are memory
 * from the beginning. */
static bool is_dense(const struct fl__image_map *map, uint64_t chunk_off)
{
	uint64_t chunk_hpages = LARGE_FOLIO_BYTES / map->hpage_bytes;

	return fl__runs_overlap(&map->data, chunk_off / map->hpage_bytes,
				chunk_hpages) >= chunk_hpages * 3 / 4;
}

static void memfd_collapse(const struct fl_image *image, uint8_t *bytes)
{
	const struct fl__image_map *map = &image->map;
	uint64_t first = fl__image_map_first_off(map);

	for (uint32_t i = 0; i < map->extent_count; i++) {
		uint64_t off = extent_off(map, i);
		uint64_t end = off + extent_len(map, i);

		for (off = fl_round_up(off, LARGE_FOLIO_BYTES);
		     off + LARGE_FOLIO_BYTES <= end; off += LARGE_FOLIO_BYTES) {
			/* Holes would become memory. */
			if (is_dense(map, off))
				(void)madvise(bytes + (off - first),
					      LARGE_FOLIO_BYTES,
					      FL_MADV_COLLAPSE);
		}
	}
}

struct target {
	int fd;
	uint64_t first;
};

/* Written by calls and not through a mapping: no page is zeroed before it is
 * filled, and there are no page faults. */
static int memfd_put(void *user, uint64_t off, const void *bytes, uint64_t len)
{
	const struct target *target = user;
	const uint8_t *from = bytes;

	for (off += target->first; len;) {
		ssize_t count =
			pwrite(target->fd, from, (size_t)len, (off_t)off);

		if (count < 0 && errno == EINTR)
			continue;
		if (count <= 0)
			return count ? -errno : -EIO;
		from += count;
		off += (uint64_t)count;
		len -= (uint64_t)count;
	}
	return 0;
}

/*
 * Whatever holds a page of the file for long makes the kernel answer EBUSY, after it
 * has waited 150 ms: a thread of the kernel's own that other threads keep from running
 * while it looks at the page, too.
 */
static int memfd_seal(int fd)
{
	for (int i = 0;
	     fcntl(fd, F_ADD_SEALS,
		   F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL);
	     i++) {
		if (errno != EBUSY || i >= SEAL_RETRIES)
			return -errno;
	}
	return 0;
}

static int memfd_fill(int fd, struct fl_image *image,
		      const struct fl__segments *segments, bool can_collapse)
{
	uint64_t first = fl__image_map_first_off(&image->map);
	uint64_t span = fl__image_map_span_bytes(&image->map);
	struct target target = { fd, first };
	uint8_t *bytes;
	int err;

	if (!fl__os_file_may_reach(first + span))
		return -EFBIG;
	if (ftruncate(fd, (off_t)(first + span)))
		return -errno;
	err = fl__image_map_fill(&image->map, segments, memfd_put, &target);
	if (err)
		return err;
	err = memfd_seal(fd);
	if (err)
		return err;
	err = memfd_map(fd, image, &bytes);
	if (err)
		return err;
	if (can_collapse)
		memfd_collapse(image, bytes);
	fl__image_map_refine(&image->map, bytes);
	image->bytes = bytes;
	return 0;
}

int fl__memfd_create(struct fl_image *image,
		     const struct fl__segments *segments, bool can_collapse,
		     struct fl_error *error)
{
	const char *remedy;
	int fd, err;

	if (!image->map.extent_count)
		return 0;
	fd = fl__memfd_open();
	err = fd < 0 ? fd : memfd_fill(fd, image, segments, can_collapse);
	if (err) {
		remedy = fl__os_remedy(err);
		if (fd >= 0)
			close(fd);
		return fl__error_set(
			error, fl__error_fold(err),
			"cannot store an image of %llu bytes in a memory file: %s%s%s",
			fl_llu(fl__image_map_span_bytes(&image->map)),
			strerror(-err), remedy ? "; " : "",
			remedy ? remedy : "");
	}
	image->fd = fd;
	for (uint32_t i = 0; i < image->map.extent_count; i++)
		image->file_offs[i] = image->map.extents[i].hpage_off *
				      image->map.hpage_bytes;
	return 0;
}

void fl__memfd_destroy(struct fl_image *image)
{
	uint64_t first = fl__image_map_first_off(&image->map);

	if (image->fd < 0)
		return;
	for (uint32_t i = 0; image->bytes && i < image->map.extent_count; i++)
		(void)munmap((void *)(uintptr_t)(image->bytes +
						 (extent_off(&image->map, i) -
						  first)),
			     (size_t)extent_len(&image->map, i));
	close(image->fd);
}

/* ------------------------------------------------------------------- holes */

static uint64_t file_bytes(int fd)
{
	struct stat status;

	return fstat(fd, &status) ? 0 : (uint64_t)status.st_blocks * 512;
}

void fl__memfd_settle(struct fl_image *image)
{
	image->settled_bytes = image->fd < 0 ? 0 : file_bytes(image->fd);
}

uint64_t fl__memfd_filled(const struct fl_image *image)
{
	uint64_t now = image->fd < 0 ? 0 : file_bytes(image->fd);

	return now > image->settled_bytes ? now - image->settled_bytes : 0;
}

/* The pages of a hole, [off, off + len) of the file, that are memory. They read
 * as zeroes and were never written, so the kernel reclaims them at once, as it
 * does clean pages of any file, if no other mapping shows them. */
static void stretch_drain(const struct fl_image *image, uint64_t off,
			  uint64_t len)
{
	void *at = mmap(NULL, (size_t)len, PROT_READ, MAP_SHARED, image->fd,
			(off_t)off);

	if (at == MAP_FAILED)
		return;
	if (!madvise(at, (size_t)len, FL_MADV_POPULATE_READ))
		(void)madvise(at, (size_t)len, MADV_PAGEOUT);
	(void)munmap(at, (size_t)len);
}

static void hole_drain(const struct fl_image *image, uint64_t off, uint64_t len)
{
	uint64_t end = off + len;

	while (off < end) {
		off_t from = lseek(image->fd, (off_t)off, SEEK_DATA), to;

		if (from < 0 || (uint64_t)from >= end)
			return;
		to = lseek(image->fd, from, SEEK_HOLE);
		if (to <= from)
			return;
		off = fl_min_u64((uint64_t)to, end);
		stretch_drain(image, (uint64_t)from, off - (uint64_t)from);
	}
}

/* A hole, but for what of it lies in dense chunks: only at its ends can one
 * be. */
static void piece_drain(const struct fl_image *image,
			const struct fl__piece *piece)
{
	uint64_t at = piece->off, end = piece->off + piece->len;
	uint64_t first = fl_round_down(at, LARGE_FOLIO_BYTES);
	uint64_t last = fl_round_down(end - 1, LARGE_FOLIO_BYTES);

	if (is_dense(&image->map, first))
		at = fl_min_u64(end, first + LARGE_FOLIO_BYTES);
	if (last > first && is_dense(&image->map, last))
		end = last;
	if (at < end)
		hole_drain(image, fl__image_file_off(image, at), end - at);
}

void fl__memfd_drain(const struct fl_image *image)
{
	const struct fl__image_map *map = &image->map;

	for (uint32_t i = 0; i < map->extent_count; i++) {
		uint64_t at = extent_off(map, i);
		uint64_t end = at + extent_len(map, i);
		struct fl__piece piece;

		for (; fl__image_map_next_data(map, NULL, at, end, &piece);
		     at += piece.len) {
			if (!piece.is_data)
				piece_drain(image, &piece);
		}
	}
}
