/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * archive_write.c - image files, written; see archive.h.
 *
 * Takes an archive, and gives a file of it, or the digest that the file would
 * have. Each page of data is read twice, for its hash and for the file; of an
 * image in place, both must be the same bytes.
 */
#include "archive.h"

#include <errno.h>
#include <stdlib.h>

/* A page of an image, zeroes behind the end. */
static int read_wpage(const struct fl_image *image, uint64_t wpage,
		      uint8_t *bytes)
{
	uint64_t off = wpage * FL_WPAGE_BYTES;
	uint64_t len =
		fl_min_u64(FL_WPAGE_BYTES, image->map.initial_bytes - off);

	memset(bytes + len, 0, (size_t)(FL_WPAGE_BYTES - len));
	return fl_image_read(image, off, bytes, len);
}

/* Each page that may have data, in order; bytes holds one. */
static int contents_image(struct fl__toc *toc, const struct fl_image *image,
			  uint32_t image_idx, struct fl__sha256 *sha,
			  uint8_t *bytes, struct fl_error *error)
{
	uint64_t from = 0;
	struct fl_image_run run;

	if (image->map.trap)
		return fl__error_set_trap(
			error, image->map.trap,
			"image %u cannot be written: its data segment %zu is out of bounds",
			image_idx, image->map.trap_segment_idx);
	toc->images[image_idx].initial_bytes = image->map.initial_bytes;
	while (fl_image_next_run(image, from, &run)) {
		uint64_t wpage = run.offset_bytes / FL_WPAGE_BYTES;
		int err = read_wpage(image, wpage, bytes);

		if (err)
			return fl__error_set(
				error, err,
				"cannot read image %u: its file was cut, or a page cannot be loaded",
				image_idx);
		err = fl__toc_add_wpage(toc, image_idx, wpage, bytes, sha,
					error);
		if (err)
			return err;
		from = (wpage + 1) * FL_WPAGE_BYTES;
	}
	return 0;
}

static int contents_fill(struct fl__toc *toc, const struct fl__archive *archive,
			 struct fl_error *error)
{
	uint8_t *bytes = malloc(FL_WPAGE_BYTES);
	struct fl__sha256 sha;
	int err = 0;

	if (!bytes)
		return fl__error_set(error, -ENOMEM, "no memory for a page");
	if (archive->module_count)
		memcpy(toc->module_digests, archive->module_digests,
		       (size_t)archive->module_count * FL__SHA256_BYTES);
	memcpy(toc->encoding, archive->encoding, sizeof(toc->encoding));
	toc->state_bytes = archive->state_bytes;
	fl__sha256_init(&sha);
	fl__sha256_add(&sha, archive->state, archive->state_bytes);
	fl__sha256_end(&sha, toc->state_sha256);
	for (uint32_t i = 0; !err && i < archive->image_count; i++)
		err = contents_image(toc, archive->images[i], i, &sha, bytes,
				     error);
	free(bytes);
	return err;
}

/* On success the caller finishes toc and frees *bytes. */
static int contents_make(struct fl__toc *toc, const struct fl__archive *archive,
			 uint8_t **bytes, struct fl_error *error)
{
	int err;

	if (!memchr(archive->encoding, 0, sizeof(archive->encoding)))
		return fl__error_set(
			error, -EINVAL,
			"the encoding's name is longer than %d bytes",
			FL__TOC_ENCODING_BYTES - 1);
	err = fl__toc_begin(toc, archive->image_count, archive->module_count,
			    error);
	if (err)
		return err;
	err = contents_fill(toc, archive, error);
	if (!err)
		err = fl__toc_place(toc, bytes, error);
	if (err)
		fl__toc_fini(toc);
	return err;
}

int fl__archive_digest(const struct fl__archive *archive,
		       uint8_t digest[FL__SHA256_BYTES], struct fl_error *error)
{
	struct fl__toc toc;
	uint8_t *bytes;
	int err = contents_make(&toc, archive, &bytes, error);

	if (err)
		return err;
	memcpy(digest, toc.digest, FL__SHA256_BYTES);
	free(bytes);
	fl__toc_fini(&toc);
	return 0;
}

/* Zeroes stay a hole of the file. */
static int write_state(struct fl__os_new_file *file, const struct fl__toc *toc,
		       const uint8_t *state)
{
	for (uint64_t done = 0; done < toc->state_bytes;) {
		uint64_t len =
			fl_min_u64(FL_WPAGE_BYTES, toc->state_bytes - done);
		int err = fl_is_zero(state + done, len) ?
				  0 :
				  fl__os_new_file_write(file,
							toc->state_off + done,
							state + done, len);

		if (err)
			return err;
		done += len;
	}
	return 0;
}

/* Is a page still what its hash was made of? Only the bytes of a file in place
 * may have changed since. */
static bool is_unchanged(const struct fl_image *image, const uint8_t *bytes,
			 const struct fl__toc_entry *entry,
			 struct fl__sha256 *sha)
{
	uint8_t digest[FL__SHA256_BYTES];

	if (!fl__image_is_in_place(image))
		return true;
	fl__page_hash(sha, bytes, digest);
	return !memcmp(digest, entry->sha256, sizeof(digest));
}

/* A page of the index, still what its hash was made of. */
static int read_entry(const struct fl__archive *archive,
		      const struct fl__toc_entry *entry, uint8_t *bytes,
		      struct fl__sha256 *sha)
{
	const struct fl_image *image = archive->images[entry->image_idx];
	int err = read_wpage(image, entry->wpage, bytes);

	if (!err && !is_unchanged(image, bytes, entry, sha))
		err = -EIO;
	return err;
}

/* Where the page belongs, as it is; or behind the page before, packed. */
static int write_wpage(struct fl__os_new_file *file, struct fl__toc *toc,
		       uint64_t entry_idx, struct fl__page_packer *packer,
		       const uint8_t *bytes)
{
	const struct fl__toc_entry *entry = &toc->entries[entry_idx];
	uint16_t frame_bytes[FL__PAGE_FRAMES];

	if (packer) {
		int err = fl__page_pack(packer, bytes, frame_bytes, &bytes);

		if (err)
			return err;
		fl__toc_pack_wpage(toc, entry_idx, frame_bytes);
		if (!fl__os_file_may_reach(toc->stored_bytes))
			return -EFBIG;
	}
	return fl__os_new_file_write(file, entry->file_off, bytes,
				     entry->stored_bytes);
}

static int write_wpages(struct fl__os_new_file *file, struct fl__toc *toc,
			const struct fl__archive *archive,
			struct fl__page_packer *packer)
{
	uint8_t *bytes = malloc(FL_WPAGE_BYTES);
	struct fl__sha256 sha;
	int err = bytes ? 0 : -ENOMEM;

	fl__sha256_init(&sha);
	for (uint64_t i = 0; !err && i < toc->entry_count; i++) {
		err = read_entry(archive, &toc->entries[i], bytes, &sha);
		if (!err)
			err = write_wpage(file, toc, i, packer, bytes);
	}
	free(bytes);
	return err;
}

/* Tables last: they say where packed pages came to lie. packer: NULL, or the
 * pages are packed. */
static int write_file(struct fl__toc *toc, uint8_t *bytes,
		      const struct fl__archive *archive,
		      struct fl__page_packer *packer, const char *path,
		      bool *is_there)
{
	struct fl__os_new_file file;
	int err;

	*is_there = false;
	if (packer)
		fl__toc_pack_begin(toc);
	err = fl__os_new_file_open(&file, path, toc->stored_bytes);
	if (err)
		return err;
	err = write_state(&file, toc, archive->state);
	if (!err)
		err = write_wpages(&file, toc, archive, packer);
	if (!err && packer)
		fl__toc_pack_end(toc, bytes);
	if (!err)
		err = fl__os_new_file_write(&file, 0, bytes, toc->state_off);
	if (err) {
		fl__os_new_file_abort(&file);
		return err;
	}
	err = fl__os_new_file_commit(&file);
	*is_there = file.is_there;
	return err;
}

static int write_failed(const struct fl__toc *toc, int err, bool is_there,
			const char *path, struct fl_error *error)
{
	if (is_there)
		return fl__error_set_file(
			error, -EIO, path, -1,
			"the image file is written, but its name may not outlast a crash of the host: the folder cannot be synced: %s",
			strerror(-err));
	return fl__error_set_file(
		error, fl__os_file_error(err), path, -1,
		"cannot write an image file of %llu bytes: %s%s%s",
		fl_llu(toc->stored_bytes), strerror(-err),
		fl__os_remedy_lead(err), fl__os_remedy_text(err));
}

static int write_contents(const struct fl__archive *archive, const char *path,
			  struct fl__page_packer *packer,
			  struct fl_error *error)
{
	struct fl__toc toc;
	uint8_t *bytes;
	bool is_there;
	int err = contents_make(&toc, archive, &bytes, error);

	if (err)
		return err;
	err = write_file(&toc, bytes, archive, packer, path, &is_there);
	if (err)
		err = write_failed(&toc, err, is_there, path, error);
	free(bytes);
	fl__toc_fini(&toc);
	return err;
}

int fl__archive_write(const struct fl__archive *archive, const char *path,
		      uint32_t flags, struct fl_error *error)
{
	struct fl__page_packer *packer = NULL;
	int err = 0;

	if (flags & ~(uint32_t)FL_WRITE_ZSTD)
		return fl__error_set(error, -EINVAL,
				     "there is no such flag: 0x%x", flags);
	if (flags & FL_WRITE_ZSTD)
		err = fl__page_packer_create(&packer, error);
	if (!err)
		err = write_contents(archive, path, packer, error);
	fl__page_packer_destroy(packer);
	return err;
}
