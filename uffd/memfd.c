/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/* memfd.c - making and sealing memory files; see memfd.h. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "memfd.h"
#include "kernel.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#define LARGE_FOLIO_BYTES ((uint64_t)2 << 20)

static int memfd_open(void)
{
	const unsigned int flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
	int fd = memfd_create("faultline-image", flags | FL_MFD_NOEXEC_SEAL);

	/* Kernels that do not know the flag refuse it. */
	if (fd < 0 && errno == EINVAL)
		fd = memfd_create("faultline-image", flags);
	return fd < 0 ? -errno : fd;
}

/*
 * Map [first, first + span) of the file at an address congruent to the offset
 * modulo a large folio, so that one folio can be one page table entry.
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
	if (mmap(*bytes, (size_t)span, PROT_READ, MAP_SHARED | MAP_FIXED, fd,
		 (off_t)first) != MAP_FAILED)
		return 0;
	err = -errno;
	fl__os_release(*bytes, span);
	return err;
}

static void memfd_collapse(const struct fl_image *image, uint8_t *bytes)
{
	const struct fl__image_map *map = &image->map;
	uint64_t first = fl__image_map_first_off(map);
	uint64_t end = first + fl__image_map_span_bytes(map);
	uint64_t chunk_hpages = LARGE_FOLIO_BYTES / map->hpage_bytes;

	for (uint64_t off = fl_round_up(first, LARGE_FOLIO_BYTES);
	     off + LARGE_FOLIO_BYTES <= end; off += LARGE_FOLIO_BYTES) {
		/* Holes would become memory. */
		if (fl__runs_overlap(&map->data, off / map->hpage_bytes,
				     chunk_hpages) >= chunk_hpages * 3 / 4)
			(void)madvise(bytes + (off - first), LARGE_FOLIO_BYTES,
				      FL_MADV_COLLAPSE);
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
		ssize_t count = pwrite(target->fd, from, (size_t)len,
				       (off_t)off);

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
	if (fcntl(fd, F_ADD_SEALS,
		  F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL))
		return -errno;
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
	fd = memfd_open();
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
	if (image->fd < 0)
		return;
	if (image->bytes)
		(void)munmap((void *)(uintptr_t)image->bytes,
			     (size_t)fl__image_map_span_bytes(&image->map));
	close(image->fd);
}
