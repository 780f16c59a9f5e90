/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/* fill.c - reading, checking and publishing; see fill.h. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "fill.h"
#include "turns.h"

#include <errno.h>
#include <unistd.h>

void fl__fill_end(struct fl__load *load, int err)
{
	/* What a guest or a caller is told. */
	if (err && err != -ENOMEM && err != -ENOEXEC && err != -ETIMEDOUT)
		err = -EIO;
	fl__os_lock(&load->desk->lock);
	fl__desk_end_locked(load->desk, load, err);
	fl__os_unlock(&load->desk->lock);
}

/* What was read is checked or not, as err says: publish it. */
static void load_publish(struct fl__load *load, const uint8_t *bytes, int err)
{
	struct fl_image *image = load->image;

	if (!err && !image->lazy->is_continue)
		err = fl__lazy_publish(image, load->wpage, load->part, bytes);
	if (!err && !fl__part_is_whole(load->part))
		fl__lazy_set_present(image, load->entry_idx, load->part,
				     load->is_foreseen);
	fl__fill_end(load, err);
}

/* A whole page. What its leaves are is known then. */
static int page_check(const struct fl__load *load, const uint8_t *bytes,
		      struct fl__sha256 *sha)
{
	struct fl__page_leaves leaves;
	int err = fl__toc_check_wpage(&load->image->origin->toc,
				      load->entry_idx, sha, bytes, &leaves,
				      NULL);

	if (!err)
		fl__workset_learn(&load->image->set, load->entry_idx, &leaves);
	return err;
}

/* Is there what the load is checked by? *leaves are the page's; NULL: the page is
 * checked as a whole. Else the whole page is to be read. */
static bool load_can_be_checked(struct fl__load *load, struct fl__sha256 *sha,
				const struct fl__page_leaves **leaves)
{
	*leaves = NULL;
	if (fl__part_is_whole(load->part))
		return true;
	*leaves = fl__workset_leaves(&load->image->set, load->entry_idx, sha);
	if (*leaves)
		return true;
	fl__os_lock(&load->desk->lock);
	fl__desk_widen_locked(load->desk, load);
	fl__os_unlock(&load->desk->lock);
	return false;
}

static int load_check(const struct fl__load *load,
		      const struct fl__page_leaves *leaves,
		      const uint8_t *bytes, struct fl__sha256 *sha)
{
	return leaves ? fl__toc_check_blocks(&load->image->origin->toc,
					     load->entry_idx, sha, leaves,
					     load->part.first, load->part.count,
					     bytes) :
			page_check(load, bytes, sha);
}

/* Where in the file the part lies, of which *len bytes are stored. */
static uint64_t part_place(const struct fl__load *load, uint64_t *len)
{
	return fl__workset_place(&load->image->set, load->entry_idx, load->part,
				 len);
}

/* What is read before the part, so that the read begins at a multiple. */
static uint64_t load_lead(const struct fl__load *load)
{
	uint64_t len;

	return part_place(load, &len) &
	       (fl__lazy_unit_bytes(load->image->lazy) - 1);
}

/* Where in the memory the load's part lies. */
static uint64_t part_off(const struct fl__load *load)
{
	return load->wpage * FL_WPAGE_BYTES +
	       load->part.first * FL__PAGE_BLOCK_BYTES;
}

static uint64_t part_end(const struct fl__load *load)
{
	return part_off(load) + load->part.count * FL__PAGE_BLOCK_BYTES;
}

/* Where the part is, once it was read. */
static uint8_t *load_bytes(const struct fl__load *load)
{
	return load->image->lazy->is_continue ?
		       fl__lazy_at(load->image, part_off(load)) :
		       load->bytes + load_lead(load);
}

/* A packed page, of which all that was to be read is there. */
static void load_unpack(struct fl__load *load, struct fl__unpack *unpack,
			struct fl__sha256 *sha)
{
	const struct fl__page_leaves *leaves;
	const uint8_t *bytes;
	uint32_t held;
	int err;

	if (!load_can_be_checked(load, sha, &leaves))
		return;
	err = fl__unpack_take(unpack, load, load_bytes(load), &held, &bytes);
	if (!err)
		err = load_check(load, leaves, bytes, sha);
	load_publish(load, bytes, err);
	fl__unpack_give(unpack, held);
}

void fl__fill_check(struct fl__load *load, struct fl__sha256 *sha)
{
	const struct fl__page_leaves *leaves;

	if (load_can_be_checked(load, sha, &leaves))
		load_publish(load, load_bytes(load),
			     load_check(load, leaves, load_bytes(load), sha));
}

/* How much of what is to be read is there or need not be read: guests may see blocks
 * that were published before. */
static uint64_t load_got(const struct fl__load *load)
{
	if (!load->image->lazy->is_continue)
		return load->got_bytes;
	return fl__lazy_seek(load->image, part_off(load) + load->got_bytes,
			     part_end(load), false) -
	       part_off(load);
}

/* How much is to be read, so that the part is there. */
static uint64_t load_wanted(const struct fl__load *load)
{
	return load_lead(load) + fl__unpack_stored(load);
}

uint64_t fl__fill_off(const struct fl__load *load)
{
	uint64_t len;

	return part_place(load, &len) - load_lead(load) + load_got(load);
}

uint64_t fl__fill_missing(const struct fl__load *load)
{
	uint64_t got = load_got(load);

	/* Where the file ends there may be less. */
	if (!load->image->lazy->is_continue)
		return fl_round_up(load_wanted(load),
				   fl__lazy_unit_bytes(load->image->lazy)) -
		       got;
	return fl__lazy_seek(load->image, part_off(load) + got, part_end(load),
			     true) -
	       part_off(load) - got;
}

uint8_t *fl__fill_to(const struct fl__load *load)
{
	return load_bytes(load) - load_lead(load) + load_got(load);
}

static int64_t read_now(const struct fl__load *load, uint64_t off, uint8_t *to,
			uint64_t len)
{
	struct fl_page_source *pages = load->image->origin->pages;
	ssize_t got;

	if (!fl__lazy_is_direct_copy(load->image->lazy))
		return fl__page_source_now(pages, off, to, len);
	do {
		got = pread(load->image->lazy->direct.fd, to, (size_t)len,
			    (off_t)off);
	} while (got < 0 && errno == EINTR);
	return got < 0 ? -errno : got;
}

int64_t fl__fill_read(const struct fl__load *load)
{
	uint64_t missing = fl__fill_missing(load), done = 0;
	uint64_t wanted =
		fl_min_u64(missing, load_wanted(load) - load_got(load));

	while (done < wanted) {
		int64_t len = read_now(load, fl__fill_off(load) + done,
				       fl__fill_to(load) + done,
				       missing - done);

		if (len <= 0)
			return fl__page_source_error(len);
		done += (uint64_t)len;
	}
	return (int64_t)done;
}

bool fl__fill_answered(struct fl__load *load, int64_t result)
{
	/* No page for the bytes: of a buffer of ours that cannot be. */
	if (result == -EFAULT && load->image->lazy->is_continue)
		result = -ENOMEM;
	if (result <= 0) {
		fl__fill_end(load, fl__page_source_error(result));
		return false;
	}
	load->got_bytes = load_got(load) + (uint64_t)result;
	if (load_got(load) >= load_wanted(load))
		return true;
	fl__os_lock(&load->desk->lock);
	fl__desk_again_locked(load->desk, load);
	fl__os_unlock(&load->desk->lock);
	return false;
}

/* True: there is something to be checked. */
static bool load_fill(struct fl__load *load, bool is_answered)
{
	if (is_answered)
		return fl__fill_answered(load, load->result);
	if (!load->is_zero)
		return fl__fill_answered(load, fl__fill_read(load));
	if (load->image->lazy->is_continue) {
		fl__fill_end(load,
			     fl__lazy_make_zeroes(load->image, load->wpage));
		return false;
	}
	memset(load->bytes, 0, FL_WPAGE_BYTES);
	load_publish(load, load->bytes, 0);
	return false;
}

bool fl__fill_turn_locked(struct fl__desk *desk, struct fl__unpack *unpack,
			  struct fl__sha256 *sha)
{
	struct fl__load *load = fl__turns_next_locked(desk, FL__READER_FILLER);
	bool is_answered;

	if (!load)
		return false;
	is_answered = load->state == FL__LOAD_ANSWERED;
	load->state = FL__LOAD_READING;
	fl__os_unlock(&desk->lock);
	if (load_fill(load, is_answered)) {
		if (fl__unpack_is_for(load))
			load_unpack(load, unpack, sha);
		else
			fl__fill_check(load, sha);
	}
	fl__os_lock(&desk->lock);
	fl__desk_put_locked(desk, load);
	return true;
}
