/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/* toc_pages.c - what the tables say of pages and of the state, read and held
 * against it; see toc.h. */
#include "toc_form.h"

bool fl__toc_find(const struct fl__toc *toc, uint32_t image_idx, uint64_t wpage,
		  uint64_t *entry_idx)
{
	const struct fl__toc_image *image = &toc->images[image_idx];
	uint64_t low = image->first_entry;
	uint64_t end = low + image->entry_count, high = end;

	while (low < high) {
		uint64_t mid = low + (high - low) / 2;

		if (toc->entries[mid].wpage < wpage)
			low = mid + 1;
		else
			high = mid;
	}
	*entry_idx = low;
	return low < end && toc->entries[low].wpage == wpage;
}

/* How much of a page lies within the image's initial size. */
static uint64_t wpage_bytes(const struct fl__toc *toc,
			    const struct fl__toc_entry *entry)
{
	return fl_min_u64(toc->images[entry->image_idx].initial_bytes -
				  entry->wpage * FL_WPAGE_BYTES,
			  FL_WPAGE_BYTES);
}

/* What is to be checked of a page beside its hash. */
static int check_rest(const struct fl__toc *toc, uint64_t entry_idx,
		      const uint8_t digest[FL__SHA256_BYTES],
		      const uint8_t *bytes, struct fl_error *error)
{
	const struct fl__toc_entry *entry = &toc->entries[entry_idx];
	uint64_t rest = wpage_bytes(toc, entry);

	if (fl_is_zero(bytes, FL_WPAGE_BYTES))
		return fl__toc_bad(error, entry->file_off,
				   "the index names a page that is zero");
	if (memcmp(digest, entry->sha256, FL__SHA256_BYTES))
		return fl__toc_bad(
			error, entry->file_off,
			"the page does not have the hash of the index");
	if (!fl_is_zero(bytes + rest, FL_WPAGE_BYTES - rest))
		return fl__toc_bad(
			error,
			entry->file_off +
				(fl__toc_is_packed(toc, entry_idx) ? 0 : rest),
			"the page has bytes beyond the initial size");
	return 0;
}

int fl__toc_check_wpage(const struct fl__toc *toc, uint64_t entry_idx,
			struct fl__sha256 *sha, const uint8_t *bytes,
			struct fl__page_leaves *leaves, struct fl_error *error)
{
	uint8_t digest[FL__SHA256_BYTES];
	struct fl__page_leaves ours;

	leaves = leaves ? leaves : &ours;
	fl__page_leaves_of(sha, bytes, 0, FL__PAGE_BLOCKS, leaves);
	fl__page_root(sha, leaves, digest);
	return check_rest(toc, entry_idx, digest, bytes, error);
}

int fl__toc_check_leaves(const struct fl__toc *toc, uint64_t entry_idx,
			 struct fl__sha256 *sha,
			 const struct fl__page_leaves *leaves)
{
	uint8_t digest[FL__SHA256_BYTES];

	fl__page_root(sha, leaves, digest);
	return memcmp(digest, toc->entries[entry_idx].sha256,
		      FL__SHA256_BYTES) ?
		       -ENOEXEC :
		       0;
}

int fl__toc_check_blocks(const struct fl__toc *toc, uint64_t entry_idx,
			 struct fl__sha256 *sha,
			 const struct fl__page_leaves *leaves, uint32_t first,
			 uint32_t count, const uint8_t *bytes)
{
	uint64_t size = wpage_bytes(toc, &toc->entries[entry_idx]);
	uint64_t start = first * FL__PAGE_BLOCK_BYTES;
	uint64_t len = count * FL__PAGE_BLOCK_BYTES;
	uint64_t used = fl_min_u64(size - fl_min_u64(size, start), len);
	struct fl__page_leaves found;

	fl_assert(first < FL__PAGE_BLOCKS && count <= FL__PAGE_BLOCKS - first);
	fl__page_leaves_of(sha, bytes, first, count, &found);
	return memcmp(found.sha256[first], leaves->sha256[first],
		      count * FL__SHA256_BYTES) ||
			       !fl_is_zero(bytes + used, len - used) ?
		       -ENOEXEC :
		       0;
}

static const char *unpack_frames(const struct fl__toc_entry *entry,
				 struct fl__page_unpacker *unpacker,
				 const uint8_t *stored, uint32_t first,
				 uint32_t end, uint8_t *dst)
{
	const char *wrong = NULL;

	for (uint32_t i = first; !wrong && i < end; i++) {
		wrong = fl__page_unpack(unpacker, stored, entry->frame_bytes[i],
					dst, FL__PAGE_FRAME_BYTES);
		stored += entry->frame_bytes[i];
		dst += FL__PAGE_FRAME_BYTES;
	}
	return wrong;
}

int fl__toc_unpack_blocks(const struct fl__toc *toc, uint64_t entry_idx,
			  struct fl__page_unpacker *unpacker,
			  const uint8_t *stored, uint32_t first, uint32_t count,
			  uint8_t *dst, struct fl_error *error)
{
	const struct fl__toc_entry *entry = &toc->entries[entry_idx];
	uint32_t unit = fl__toc_unit_blocks(toc, entry_idx);
	const char *wrong;

	fl_assert(first % unit == 0 && count % unit == 0);
	wrong = unit == FL__PAGE_BLOCKS ?
			fl__page_unpack(unpacker, stored, entry->stored_bytes,
					dst, FL_WPAGE_BYTES) :
			unpack_frames(entry, unpacker, stored, first / unit,
				      (first + count) / unit, dst);
	return wrong ? fl__error_set_at(
			       error, -ENOEXEC, entry->file_off,
			       "the image file is damaged at byte %llu: page %llu of image %u cannot be unpacked: %s",
			       fl_llu(entry->file_off), fl_llu(entry->wpage),
			       entry->image_idx, wrong) :
		       0;
}

void fl__toc_reader_init(struct fl__toc_reader *reader)
{
	fl__sha256_init(&reader->sha);
	reader->unpacker = NULL;
}

void fl__toc_reader_fini(struct fl__toc_reader *reader)
{
	fl__page_unpacker_destroy(reader->unpacker);
}

static int read_packed(const struct fl__toc *toc,
		       const struct fl__toc_source *source, uint64_t entry_idx,
		       struct fl__toc_reader *reader, uint8_t *dst,
		       struct fl_error *error)
{
	const struct fl__toc_entry *entry = &toc->entries[entry_idx];
	uint8_t *stored;
	int err = 0;

	if (!reader->unpacker)
		err = fl__page_unpacker_create(&reader->unpacker, error);
	if (err)
		return err;
	stored = fl__page_unpacker_buffer(reader->unpacker);
	err = source->read(source, entry->file_off, stored, entry->stored_bytes,
			   error);
	return err ? err :
		     fl__toc_unpack_blocks(toc, entry_idx, reader->unpacker,
					   stored, 0, FL__PAGE_BLOCKS, dst,
					   error);
}

int fl__toc_read_wpage(const struct fl__toc *toc,
		       const struct fl__toc_source *source, uint64_t entry_idx,
		       struct fl__toc_reader *reader, uint8_t *dst,
		       struct fl_error *error)
{
	int err = fl__toc_is_packed(toc, entry_idx) ?
			  read_packed(toc, source, entry_idx, reader, dst,
				      error) :
			  source->read(source, toc->entries[entry_idx].file_off,
				       dst, FL_WPAGE_BYTES, error);

	return err ? err :
		     fl__toc_check_wpage(toc, entry_idx, &reader->sha, dst,
					 NULL, error);
}

int fl__toc_read_place(const struct fl__toc *toc,
		       const struct fl__toc_source *source, uint32_t image_idx,
		       uint64_t wpage, uint64_t *entry_idx,
		       struct fl__toc_reader *reader, uint8_t *dst,
		       struct fl_error *error)
{
	const struct fl__toc_image *image = &toc->images[image_idx];
	uint64_t off = 0;
	bool has_place = fl__toc_place_of(image, wpage, &off);
	int err;

	fl_assert(has_place && !toc->is_packed);
	(void)has_place;
	if (*entry_idx < image->first_entry + image->entry_count &&
	    toc->entries[*entry_idx].wpage == wpage)
		return fl__toc_read_wpage(toc, source, (*entry_idx)++, reader,
					  dst, error);
	err = source->read(source, off, dst, FL_WPAGE_BYTES, error);
	if (!err && !fl_is_zero(dst, FL_WPAGE_BYTES))
		err = fl__toc_bad(
			error, off,
			"a page that the index does not name is not zero");
	return err;
}

#define STATE_PART_BYTES 4096

int fl__toc_read_state(const struct fl__toc *toc,
		       const struct fl__toc_source *source, uint8_t *dst,
		       struct fl_error *error)
{
	uint8_t digest[FL__SHA256_BYTES], part[STATE_PART_BYTES];
	struct fl__sha256 sha;

	fl__sha256_init(&sha);
	for (uint64_t done = 0; done < toc->state_bytes;) {
		uint64_t len =
			fl_min_u64(STATE_PART_BYTES, toc->state_bytes - done);
		int err = source->read(source, toc->state_off + done, part, len,
				       error);

		if (err)
			return err;
		fl__sha256_add(&sha, part, len);
		if (!fl_is_zero(part, len))
			memcpy(dst + done, part, (size_t)len);
		done += len;
	}
	fl__sha256_end(&sha, digest);
	if (memcmp(digest, toc->state_sha256, FL__SHA256_BYTES))
		return fl__toc_bad(
			error, toc->state_off,
			"the state does not have the hash of the header");
	return 0;
}
