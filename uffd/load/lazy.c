/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/* lazy.c - sparse memory files and publishing; see lazy.h. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "lazy.h"
#include "slots/stats.h"
#include "uffd/memfd.h"
#include "uffd/uffd.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

static const struct fl__toc_image *toc_image(const struct fl_image *image)
{
	return &image->origin->toc.images[image->origin_idx];
}

static int window_map(struct fl__lazy *lazy, int fd)
{
	uint64_t lead = lazy->first_off % FL__LAZY_CHUNK_BYTES;
	uint8_t *reserved;
	int err = fl__os_reserve(lead + lazy->span_bytes, FL__LAZY_CHUNK_BYTES,
				 &reserved);

	if (err)
		return err;
	if (lead)
		fl__os_release(reserved, lead);
	lazy->window = reserved + lead;
	return mmap(lazy->window, (size_t)lazy->span_bytes,
		    PROT_READ | PROT_WRITE,
		    MAP_SHARED | MAP_NORESERVE | MAP_FIXED, fd,
		    (off_t)lazy->first_off) == MAP_FAILED ?
		       -errno :
		       0;
}

/* Nobody writes by the window any more. A mere precaution. */
static void window_close(const struct fl__lazy *lazy)
{
	(void)mprotect(lazy->window, (size_t)lazy->span_bytes, PROT_READ);
}

static int lazy_map(struct fl__lazy *lazy, int fd)
{
	uint64_t end = lazy->first_off + lazy->span_bytes;
	struct rlimit limit;
	int err;

	/* Past this limit the kernel would send SIGXFSZ, which ends the host. */
	if (!getrlimit(RLIMIT_FSIZE, &limit) &&
	    limit.rlim_cur != RLIM_INFINITY && end > limit.rlim_cur)
		return -EFBIG;
	if (ftruncate(fd, (off_t)end))
		return -errno;
	err = window_map(lazy, fd);
	if (err)
		return err;
	/* The window can be filled all the same; nobody else writes. */
	if (fcntl(fd, F_ADD_SEALS,
		  FL_F_SEAL_FUTURE_WRITE | F_SEAL_GROW | F_SEAL_SHRINK) ||
	    madvise(lazy->window, (size_t)lazy->span_bytes, MADV_DONTFORK))
		return -errno;
	/* The ring writes to it. */
	if (lazy->is_continue)
		return 0;
	window_close(lazy);
	return fl__uffd_register(lazy->uffd_fd, (uintptr_t)lazy->window,
				 lazy->span_bytes, FL__UFFD_MISSING);
}

static void lazy_free(struct fl__lazy *lazy)
{
	if (lazy->direct.fd >= 0)
		close(lazy->direct.fd);
	if (lazy->window)
		fl__os_release(lazy->window, lazy->span_bytes);
	free(lazy->chunk_loaded);
	free(lazy->loaded);
	free(lazy->present);
	free(lazy);
}

static void lazy_plan(struct fl_image *image, struct fl__lazy *lazy)
{
	const struct fl__toc_image *from = toc_image(image);
	const struct fl__toc_extent *last =
		&from->extents[from->extent_count - 1];

	lazy->first_off = from->extents[0].first_wpage * FL_WPAGE_BYTES;
	lazy->span_bytes =
		(last->first_wpage + last->wpage_count) * FL_WPAGE_BYTES -
		lazy->first_off;
	for (uint32_t i = 0; i < image->map.extent_count; i++)
		image->file_offs[i] = image->map.extents[i].hpage_off *
				      image->map.hpage_bytes;
}

/* What is known of entries and chunks. */
static int books_make(struct fl_image *image, struct fl__lazy *lazy)
{
	size_t count = (size_t)toc_image(image)->entry_count + 1;

	lazy->loaded = calloc(count, sizeof(*lazy->loaded));
	lazy->present = calloc(count, sizeof(*lazy->present));
	lazy_plan(image, lazy);
	lazy->chunk_loaded = calloc(
		(size_t)(lazy->span_bytes / FL__LAZY_CHUNK_BYTES) + 2, 1);
	return lazy->loaded && lazy->present && lazy->chunk_loaded ? 0 :
								     -ENOMEM;
}

int fl__lazy_create(struct fl_image *image, struct fl__desk *desk, int uffd_fd,
		    struct fl__lazy_direct direct, bool with_wp,
		    struct fl_error *error)
{
	struct fl__lazy *lazy = calloc(1, sizeof(*lazy));
	int fd = -1, err = -ENOMEM;

	if (lazy) {
		lazy->desk = desk;
		lazy->uffd_fd = uffd_fd;
		lazy->direct = direct;
		lazy->is_continue = image->origin->publish ==
				    FL_PUBLISH_CONTINUE;
		lazy->with_wp = with_wp;
		lazy->last_wpage = lazy->foreseen_wpage = UINT64_MAX;
		err = books_make(image, lazy);
	}
	if (!err) {
		fd = fl__memfd_open();
		err = fd < 0 ? fd : lazy_map(lazy, fd);
	}
	if (!err) {
		image->fd = fd;
		image->lazy = lazy;
		return 0;
	}
	if (fd >= 0)
		close(fd);
	if (lazy)
		lazy_free(lazy);
	else if (direct.fd >= 0)
		close(direct.fd);
	return fl__error_set(
		error, fl__error_fold(err),
		"cannot make the memory file of a lazy image: %s%s%s",
		strerror(-err), fl__os_remedy_lead(err),
		fl__os_remedy_text(err));
}

void fl__lazy_destroy(struct fl_image *image, bool is_parents)
{
	if (is_parents)
		image->lazy->window = NULL;
	lazy_free(image->lazy);
	close(image->fd);
}

static bool entry_is_loaded(const struct fl_image *image, uint64_t entry_idx)
{
	/* Pairs with fl__lazy_set_loaded(). */
	return __atomic_load_n(
		&image->lazy->loaded[entry_idx - toc_image(image)->first_entry],
		__ATOMIC_ACQUIRE);
}

bool fl__lazy_has(const struct fl_image *image, uint64_t wpage)
{
	uint64_t entry_idx;

	return !fl__toc_find(&image->origin->toc, image->origin_idx, wpage,
			     &entry_idx) ||
	       entry_is_loaded(image, entry_idx);
}

static uint16_t *present_of(const struct fl_image *image, uint64_t entry_idx)
{
	return &image->lazy->present[entry_idx - toc_image(image)->first_entry];
}

/* Which blocks of an entry's page are known to be in the file. */
static uint32_t entry_blocks(const struct fl_image *image, uint64_t entry_idx)
{
	if (entry_is_loaded(image, entry_idx))
		return fl__part_mask(FL__PART_WHOLE);
	/* Pairs with fl__lazy_set_present(). */
	return __atomic_load_n(present_of(image, entry_idx), __ATOMIC_ACQUIRE);
}

bool fl__lazy_has_part(const struct fl_image *image, uint64_t entry_idx,
		       struct fl__part part)
{
	return !(fl__part_mask(part) & ~entry_blocks(image, entry_idx));
}

static uint32_t wpage_blocks(const struct fl_image *image, uint64_t wpage)
{
	uint64_t entry_idx;

	return fl__toc_find(&image->origin->toc, image->origin_idx, wpage,
			    &entry_idx) ?
		       entry_blocks(image, entry_idx) :
		       0;
}

uint64_t fl__lazy_seek(const struct fl_image *image, uint64_t at, uint64_t end,
		       bool is_loaded)
{
	while (at < end) {
		uint64_t start = fl_round_down(at, FL_WPAGE_BYTES);
		uint64_t first = (at - start) / FL__PAGE_BLOCK_BYTES;
		uint32_t blocks = wpage_blocks(image, start / FL_WPAGE_BYTES);

		if (!is_loaded)
			blocks ^= fl__part_mask(FL__PART_WHOLE);
		blocks = blocks >> first << first;
		if (!blocks) {
			at = start + FL_WPAGE_BYTES;
			continue;
		}
		first = (uint64_t)__builtin_ctz(blocks);
		return fl_min_u64(
			end,
			fl_max_u64(at, start + first * FL__PAGE_BLOCK_BYTES));
	}
	return end;
}

bool fl__lazy_next(const struct fl_image *image, uint64_t at, uint64_t end,
		   uint64_t *off, uint64_t *len)
{
	*off = fl__lazy_seek(image, at, end, true);
	if (*off >= end)
		return false;
	*len = fl__lazy_seek(image, *off, end, false) - *off;
	return true;
}

/* Is a byte of [off, end) in the file, whatever it is? */
static bool file_has(const struct fl_image *image, uint64_t off, uint64_t end)
{
	off_t data = lseek(image->fd, (off_t)off, SEEK_DATA);

	return data >= 0 && (uint64_t)data < end;
}

/* Are all of them? The file ends with no hole. */
static bool file_has_all(const struct fl_image *image, uint64_t off,
			 uint64_t end)
{
	return lseek(image->fd, (off_t)off, SEEK_HOLE) >= (off_t)end;
}

static bool is_named(const struct fl_image *image, uint64_t off)
{
	uint64_t entry_idx;

	return fl__toc_find(&image->origin->toc, image->origin_idx,
			    off / FL_WPAGE_BYTES, &entry_idx);
}

static uint64_t wpage_end(uint64_t off, uint64_t end)
{
	return fl_min_u64(end,
			  fl_round_down(off, FL_WPAGE_BYTES) + FL_WPAGE_BYTES);
}

/* What the file has of a page that the index names, the state says. The file says
 * it of others, which have nothing but zeroes. */
static bool states_hold(const struct fl_image *image, uint64_t off,
			uint64_t end)
{
	bool holds = false;

	for (uint64_t next; off < end && !holds; off = next) {
		next = wpage_end(off, end);
		holds = is_named(image, off) ?
				fl__lazy_seek(image, off, next, true) < next :
				file_has(image, off, next);
	}
	return holds;
}

bool fl__lazy_holds(const struct fl_image *image, uint64_t off, uint64_t len)
{
	return image->lazy->is_continue ? states_hold(image, off, off + len) :
					  file_has(image, off, off + len);
}

uint8_t *fl__lazy_at(const struct fl_image *image, uint64_t off)
{
	return image->lazy->window + (off - image->lazy->first_off);
}

/* Of [off, end) a byte is not loaded. */
static bool is_published(const struct fl_image *image, uint64_t off,
			 uint64_t end)
{
	if (!image->lazy->is_continue)
		return file_has_all(image, off, end);
	for (uint64_t next; off < end; off = next) {
		next = wpage_end(off, end);
		if (is_named(image, off) ?
			    fl__lazy_seek(image, off, next, false) < next :
			    !file_has_all(image, off, next))
			return false;
	}
	return true;
}

const uint8_t *fl__lazy_bytes(const struct fl_image *image, uint64_t off,
			      uint64_t len)
{
	if (fl__lazy_seek(image, off, off + len, false) < off + len &&
	    !is_published(image, off, off + len))
		return NULL;
	return fl__lazy_at(image, off);
}

int fl__lazy_publish(const struct fl_image *image, uint64_t wpage,
		     struct fl__part part, const uint8_t *bytes)
{
	const struct fl__lazy *lazy = image->lazy;
	uint64_t to = (uintptr_t)fl__lazy_at(
		image,
		wpage * FL_WPAGE_BYTES + part.first * FL__PAGE_BLOCK_BYTES);
	uint64_t len = part.count * FL__PAGE_BLOCK_BYTES, done = 0;

	while (done < len) {
		uint64_t copied;
		int err = fl__uffd_copy(lazy->uffd_fd, to + done, bytes + done,
					len - done, &copied);

		done += copied;
		fl__stats_add(image->loads, FL__LOADS_bytes_copied, copied);
		/* A part of the page, or a load that was left, came before. */
		if (err == -EEXIST)
			done += image->map.hpage_bytes;
		else if (err && err != -EAGAIN)
			return err == -ENOMEM ? -ENOMEM : -EIO;
	}
	return 0;
}

int fl__lazy_make_zeroes(const struct fl_image *image, uint64_t wpage)
{
	/* An access would be a signal where there is no memory. */
	return madvise(fl__lazy_at(image, wpage * FL_WPAGE_BYTES),
		       FL_WPAGE_BYTES, FL_MADV_POPULATE_READ) ?
		       -ENOMEM :
		       0;
}

/* Map as much as one call does of what is in the file. Part of the range may be
 * mapped otherwise than the rest, or gone: then a page. */
static int pages_map_some(const struct fl_image *image, uint64_t start,
			  uint64_t len, uint64_t *mapped, uint32_t *calls)
{
	const struct fl__lazy *lazy = image->lazy;
	int err = fl__uffd_continue(lazy->uffd_fd, start, len, lazy->with_wp,
				    mapped);

	++*calls;
	if (err == -ENOENT && len > image->map.hpage_bytes && ++*calls)
		err = fl__uffd_continue(lazy->uffd_fd, start,
					image->map.hpage_bytes, lazy->with_wp,
					mapped);
	return err == -EAGAIN ? 0 : err;
}

/* A slot that goes, and one that began when the image was whole (-EINVAL), need no
 * answer but to try again. */
static int pages_map(const struct fl_image *image, uint64_t start, uint64_t len,
		     uint64_t skip, uint32_t *calls)
{
	uint64_t done = 0, mapped;

	while (done < len) {
		uint64_t at = start + done;
		int err = pages_map_some(image, at, len - done, &mapped, calls);

		done += mapped;
		if (err == -EEXIST || err == -ENOENT)
			done = fl_round_down(start + done + skip, skip) - start;
		else if (err == -EINVAL || err == -ESRCH)
			return 0;
		else if (err)
			return err == -ENOMEM ? -ENOMEM : -EIO;
	}
	return 0;
}

static int runs_map(const struct fl_image *image, uint64_t base, uint64_t at,
		    uint64_t end, uint64_t skip, uint64_t most,
		    uint32_t most_calls, uint32_t *calls)
{
	uint64_t off, len;
	int err = 0;

	for (; !err && most && *calls < most_calls &&
	       fl__lazy_next(image, at, end, &off, &len);
	     at = off + len) {
		len = fl_min_u64(len, most);
		most -= len;
		err = pages_map(image, base + off, len, skip, calls);
	}
	return err;
}

/* To map so much takes some milliseconds, in so many calls too. */
#define AHEAD_BYTES (UINT64_C(128) << 20)
#define AHEAD_CALLS 4096

uint32_t fl__lazy_show_ahead(const struct fl_image *image, uint64_t base,
			     uint64_t start, uint64_t end)
{
	uint32_t calls = 0;

	(void)runs_map(image, base, start - base, end - base, FL_WPAGE_BYTES,
		       AHEAD_BYTES, AHEAD_CALLS, &calls);
	return calls;
}

int fl__lazy_show(const struct fl_image *image, uint64_t base, uint64_t start,
		  uint64_t end)
{
	uint64_t hpage = image->map.hpage_bytes;
	uint32_t calls = 0;
	int err = 0;

	for (uint64_t at = start - base, next; !err && at < end - base;
	     at = next) {
		next = wpage_end(at, end - base);
		if (is_named(image, at)) {
			err = runs_map(image, base, at, next, hpage,
				       FL_WPAGE_BYTES, UINT32_MAX, &calls);
			continue;
		}
		err = fl__lazy_make_zeroes(image, at / FL_WPAGE_BYTES);
		if (!err)
			err = pages_map(image, base + at, next - at, hpage,
					&calls);
	}
	return err;
}

bool fl__lazy_is_whole(const struct fl_image *image)
{
	/* Pairs with fl__lazy_set_loaded(). */
	return __atomic_load_n(&image->lazy->loaded_count, __ATOMIC_ACQUIRE) ==
	       toc_image(image)->entry_count;
}

uint64_t fl__lazy_modes(const struct fl_image *image)
{
	const struct fl__lazy *lazy = image->lazy;

	if (!lazy->is_continue || fl__lazy_is_whole(image))
		return FL__UFFD_MISSING;
	return FL__UFFD_MISSING | FL__UFFD_MINOR |
	       (lazy->with_wp ? FL__UFFD_WP : 0);
}

void fl__lazy_set_present(const struct fl_image *image, uint64_t entry_idx,
			  struct fl__part part, bool is_foreseen)
{
	uint32_t mask = fl__part_mask(part);
	/* Whoever sees this sees the blocks in the window. */
	uint32_t before = __atomic_fetch_or(present_of(image, entry_idx),
					    (uint16_t)mask, __ATOMIC_ACQ_REL);
	/* A load that was left may have come after all. */
	uint64_t count = (uint64_t)__builtin_popcount(mask & ~before);

	fl__stats_add(image->loads, FL__LOADS_blocks_loaded, count);
	if (is_foreseen)
		fl__stats_add(image->loads, FL__LOADS_foreseen_blocks, count);
}

bool fl__lazy_set_loaded(const struct fl_image *image, uint64_t entry_idx,
			 enum fl__lazy_page how)
{
	struct fl__lazy *lazy = image->lazy;
	uint8_t *loaded =
		&lazy->loaded[entry_idx - toc_image(image)->first_entry];
	uint8_t absent = FL__PAGE_ABSENT;

	/* Whoever sees this sees the page in the window. */
	if (!__atomic_compare_exchange_n(loaded, &absent, (uint8_t)how, false,
					 __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
		return false;
	__atomic_add_fetch(&lazy->loaded_count, 1, __ATOMIC_ACQ_REL);
	if (lazy->is_continue && fl__lazy_is_whole(image))
		window_close(lazy);
	fl__stats_add(image->loads, FL__LOADS_pages_loaded, 1);
	if (how != FL__PAGE_ASKED)
		fl__stats_add(image->loads, FL__LOADS_foreseen_loaded, 1);
	if (how == FL__PAGE_USED)
		fl__stats_add(image->loads, FL__LOADS_foreseen_used, 1);
	return true;
}

void fl__lazy_touched(const struct fl_image *image, uint64_t wpage)
{
	uint8_t foreseen = FL__PAGE_FORESEEN;
	uint64_t entry_idx;

	if (!fl__toc_find(&image->origin->toc, image->origin_idx, wpage,
			  &entry_idx))
		return;
	if (__atomic_compare_exchange_n(
		    &image->lazy->loaded[entry_idx -
					 toc_image(image)->first_entry],
		    &foreseen, FL__PAGE_USED, false, __ATOMIC_ACQ_REL,
		    __ATOMIC_RELAXED))
		fl__stats_add(image->loads, FL__LOADS_foreseen_used, 1);
}
