/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/* fill.c - reading, checking and publishing; see fill.h. */
#include "fill.h"
#include "turns.h"

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

	if (!err)
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
	err = fl__unpack_take(unpack, load, &held, &bytes);
	if (!err)
		err = load_check(load, leaves, bytes, sha);
	load_publish(load, bytes, err);
	fl__unpack_give(unpack, held);
}

void fl__fill_check(struct fl__load *load, struct fl__sha256 *sha)
{
	const struct fl__page_leaves *leaves;

	if (load_can_be_checked(load, sha, &leaves))
		load_publish(load, load->bytes,
			     load_check(load, leaves, load->bytes, sha));
}

uint64_t fl__fill_off(const struct fl__load *load)
{
	uint64_t len;

	return fl__workset_place(&load->image->set, load->entry_idx, load->part,
				 &len) +
	       load->got_bytes;
}

int64_t fl__fill_read(const struct fl__load *load)
{
	struct fl_page_source *pages = load->image->origin->pages;
	uint64_t missing = fl__unpack_stored(load) - load->got_bytes, done = 0;

	while (done < missing) {
		int64_t got = fl__page_source_now(
			pages, fl__fill_off(load) + done,
			load->bytes + load->got_bytes + done, missing - done);

		if (got <= 0)
			return fl__page_source_error(got);
		done += (uint64_t)got;
	}
	return (int64_t)done;
}

bool fl__fill_answered(struct fl__load *load, int64_t result)
{
	if (result <= 0) {
		fl__fill_end(load, fl__page_source_error(result));
		return false;
	}
	load->got_bytes += (uint64_t)result;
	if (load->got_bytes >= fl__unpack_stored(load))
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
