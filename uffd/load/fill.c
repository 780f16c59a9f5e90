/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/* fill.c - reading, checking and publishing; see fill.h. */
#include "fill.h"

void fl__fill_end(struct fl__load *load, int err)
{
	/* What a guest or a caller is told. */
	if (err && err != -ENOMEM && err != -ENOEXEC && err != -ETIMEDOUT)
		err = -EIO;
	fl__os_lock(&load->desk->lock);
	fl__desk_end_locked(load->desk, load, err);
	fl__os_unlock(&load->desk->lock);
}

/* err: of the check. */
static void load_publish(struct fl__load *load, const uint8_t *bytes, int err)
{
	if (!err)
		err = fl__lazy_publish(load->image, load->wpage, bytes);
	fl__fill_end(load, err);
}

static int load_check(const struct fl__load *load, const uint8_t *bytes,
		      struct fl__sha256 *sha)
{
	return fl__toc_check_wpage(&load->image->origin->toc, load->entry_idx,
				   sha, bytes, NULL);
}

/* A packed page, of which all that is stored is there. */
static void load_unpack(struct fl__load *load, struct fl__unpack *unpack,
			struct fl__sha256 *sha)
{
	const uint8_t *bytes;
	uint32_t held;
	int err = fl__unpack_take(unpack, load, &held, &bytes);

	if (!err)
		err = load_check(load, bytes, sha);
	if (!err)
		err = fl__lazy_publish(load->image, load->wpage, bytes);
	fl__unpack_give(unpack, held);
	fl__fill_end(load, err);
}

void fl__fill_check(struct fl__load *load, struct fl__sha256 *sha)
{
	load_publish(load, load->bytes, load_check(load, load->bytes, sha));
}

/* Pages that are all there. Two are checked in hardly more time than one. */
static void loads_check(struct fl__load *const loads[2], uint32_t count,
			struct fl__sha256 *sha)
{
	int errs[2];

	if (count < 2) {
		if (count)
			load_publish(loads[0], loads[0]->bytes,
				     load_check(loads[0], loads[0]->bytes,
						sha));
		return;
	}
	fl__toc_check_two(
		(const struct fl__toc *const[2]){
			&loads[0]->image->origin->toc,
			&loads[1]->image->origin->toc },
		(const uint64_t[2]){ loads[0]->entry_idx, loads[1]->entry_idx },
		sha,
		(const uint8_t *const[2]){ loads[0]->bytes, loads[1]->bytes },
		errs);
	load_publish(loads[0], loads[0]->bytes, errs[0]);
	load_publish(loads[1], loads[1]->bytes, errs[1]);
}

uint64_t fl__fill_off(const struct fl__load *load)
{
	return load->image->origin->toc.entries[load->entry_idx].file_off +
	       load->got_bytes;
}

/* Read what is missing, on a thread that may wait. The bytes, or an error. */
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

/* Some bytes came, or an error. True: all of the page is there, to be checked. */
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

/* True: there is a page to be checked. */
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

/* The loads that a filler works on: up to two. */
static uint32_t loads_take_locked(struct fl__desk *desk,
				  const struct fl__sha256 *sha,
				  struct fl__load *loads[2], bool answered[2])
{
	uint32_t count = 0;

	while (count < 2) {
		struct fl__load *load =
			!count ? fl__desk_next_locked(desk, FL__READER_FILLER) :
			sha->pair ? fl__desk_beside_locked(desk, answered[0]) :
				    NULL;

		if (!load)
			break;
		answered[count] = load->state == FL__LOAD_ANSWERED;
		load->state = FL__LOAD_READING;
		loads[count++] = load;
	}
	return count;
}

static void loads_fill(struct fl__load *const loads[2], const bool answered[2],
		       uint32_t count, struct fl__unpack *unpack,
		       struct fl__sha256 *sha)
{
	struct fl__load *whole[2];
	uint32_t whole_count = 0;

	for (uint32_t i = 0; i < count; i++) {
		if (!load_fill(loads[i], answered[i]))
			continue;
		if (fl__unpack_is_for(loads[i]))
			load_unpack(loads[i], unpack, sha);
		else
			whole[whole_count++] = loads[i];
	}
	loads_check(whole, whole_count, sha);
}

bool fl__fill_turn_locked(struct fl__desk *desk, struct fl__unpack *unpack,
			  struct fl__sha256 *sha)
{
	struct fl__load *loads[2];
	bool answered[2];
	uint32_t count = loads_take_locked(desk, sha, loads, answered);

	if (!count)
		return false;
	fl__os_unlock(&desk->lock);
	loads_fill(loads, answered, count, unpack, sha);
	fl__os_lock(&desk->lock);
	while (count)
		fl__desk_put_locked(desk, loads[--count]);
	return true;
}
