/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/* archive.c - image files, written and opened; see archive.h. */
#include "archive.h"
#include "base/config.h"

#include <errno.h>
#include <stdlib.h>

/* ----------------------------------------------------------------- writing */

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
				"cannot read image %u: its file was cut",
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
	fl__sha256_restart(sha);
	fl__sha256_add(sha, bytes, FL_WPAGE_BYTES);
	fl__sha256_end(sha, digest);
	return !memcmp(digest, entry->sha256, sizeof(digest));
}

static int write_wpages(struct fl__os_new_file *file, const struct fl__toc *toc,
			const struct fl__archive *archive)
{
	uint8_t *bytes = malloc(FL_WPAGE_BYTES);
	struct fl__sha256 sha;
	int err = bytes ? 0 : -ENOMEM;

	fl__sha256_init(&sha);
	for (uint64_t i = 0; !err && i < toc->entry_count; i++) {
		const struct fl__toc_entry *entry = &toc->entries[i];
		const struct fl_image *image =
			archive->images[entry->image_idx];

		err = read_wpage(image, entry->wpage, bytes);
		if (!err && !is_unchanged(image, bytes, entry, &sha))
			err = -EIO;
		if (!err)
			err = fl__os_new_file_write(file, entry->file_off,
						    bytes, FL_WPAGE_BYTES);
	}
	free(bytes);
	return err;
}

static int write_file(const struct fl__toc *toc, const uint8_t *bytes,
		      const struct fl__archive *archive, const char *path,
		      bool *is_there)
{
	struct fl__os_new_file file;
	int err = fl__os_new_file_open(&file, path, toc->file_bytes);

	*is_there = false;
	if (err)
		return err;
	err = fl__os_new_file_write(&file, 0, bytes, toc->state_off);
	if (!err)
		err = write_state(&file, toc, archive->state);
	if (!err)
		err = write_wpages(&file, toc, archive);
	if (err) {
		fl__os_new_file_abort(&file);
		return err;
	}
	err = fl__os_new_file_commit(&file);
	*is_there = file.is_there;
	return err;
}

static int write_failed(const struct fl__toc *toc, int err, bool is_there,
			struct fl_error *error)
{
	if (is_there)
		return fl__error_set(
			error, -EIO,
			"the image file is written, but its name may not outlast a crash of the host: the folder cannot be synced: %s",
			strerror(-err));
	return fl__error_set(error, fl__os_file_error(err),
			     "cannot write an image file of %llu bytes: %s%s",
			     fl_llu(toc->file_bytes), strerror(-err),
			     err == -EFBIG ? "; raise `ulimit -f`" : "");
}

int fl__archive_write(const struct fl__archive *archive, const char *path,
		      struct fl_error *error)
{
	struct fl__toc toc;
	uint8_t *bytes;
	bool is_there;
	int err = contents_make(&toc, archive, &bytes, error);

	if (err)
		return err;
	err = write_file(&toc, bytes, archive, path, &is_there);
	if (err)
		err = write_failed(&toc, err, is_there, error);
	free(bytes);
	fl__toc_fini(&toc);
	return err;
}

/* ----------------------------------------------------------------- opening */

/* A file that is open, and what its tables say. */
struct fl__archive_file {
	struct fl_context *context;
	struct fl__toc_source source;
	struct fl__origin *origin;
	enum fl_load_way way; /* once the first image is opened, not AUTO */
	const char *way_reason;
	uint32_t flags;
	int fd; /* -1: not a file */
	bool is_ours; /* the descriptor */
};

static int file_read(const struct fl__toc_source *source, uint64_t off,
		     void *dst, uint64_t len, struct fl_error *error)
{
	const struct fl__archive_file *file = source->owner;
	const struct fl__origin *origin = file->origin;
	uint64_t done;
	int err = origin->pages ?
			  fl__page_source_read(origin->pages, off, dst, len,
					       origin->deadline_ns, &done) :
			  fl__os_file_read(file->fd, off, dst, len, &done);

	if (err)
		return fl__error_set_at(
			error,
			err == -ETIMEDOUT ? -ETIMEDOUT : fl__os_file_error(err),
			off + done, "cannot read the image file: %s",
			strerror(-err));
	if (done < len)
		return fl__error_set_at(
			error, -ENOEXEC, off + done,
			"the image file ends at byte %llu: it was cut while it was read",
			fl_llu(off + done));
	return 0;
}

/* The pages of one image, read and checked, and the segments they make. */
struct pages {
	uint8_t *bytes;
	struct fl_segment *segments;
	size_t segment_count;
};

static void pages_fini(struct pages *pages)
{
	free(pages->bytes);
	free(pages->segments);
}

static void pages_add(struct pages *pages, uint64_t wpage, const uint8_t *bytes)
{
	uint64_t off = wpage * FL_WPAGE_BYTES;
	struct fl_segment *segment = &pages->segments[pages->segment_count];

	if (pages->segment_count &&
	    segment[-1].offset_bytes + segment[-1].length_bytes == off) {
		segment[-1].length_bytes += FL_WPAGE_BYTES;
		return;
	}
	*segment = (struct fl_segment){
		.offset_bytes = off,
		.bytes = bytes,
		.length_bytes = FL_WPAGE_BYTES,
	};
	pages->segment_count++;
}

/* The first segment begins, and the last one ends, with a byte that is not
 * zero: a page has one. */
static void pages_trim(struct pages *pages)
{
	struct fl_segment *first = pages->segments, *last;
	const uint8_t *bytes;

	if (!pages->segment_count)
		return;
	last = &first[pages->segment_count - 1];
	for (bytes = first->bytes; !*bytes; bytes++) {
		first->offset_bytes++;
		first->length_bytes--;
	}
	first->bytes = bytes;
	bytes = last->bytes;
	while (!bytes[last->length_bytes - 1])
		last->length_bytes--;
}

static int pages_read(struct pages *pages, const struct fl__toc *toc,
		      const struct fl__toc_source *source,
		      const struct fl__toc_image *image, struct fl_error *error)
{
	size_t count = (size_t)image->entry_count;
	struct fl__sha256 sha;
	int err = 0;

	*pages = (struct pages){
		.bytes = malloc(count * FL_WPAGE_BYTES + 1),
		.segments = calloc(count + 1, sizeof(*pages->segments)),
	};
	if (!pages->bytes || !pages->segments)
		err = fl__error_set(error, -ENOMEM,
				    "no memory to read %zu pages of an image",
				    count);
	fl__sha256_init(&sha);
	for (size_t i = 0; !err && i < count; i++) {
		uint8_t *dst = pages->bytes + i * FL_WPAGE_BYTES;
		uint64_t idx = image->first_entry + i;

		err = fl__toc_read_wpage(toc, source, idx, &sha, dst, error);
		if (!err)
			pages_add(pages, toc->entries[idx].wpage, dst);
	}
	if (err)
		pages_fini(pages);
	else
		pages_trim(pages);
	return err;
}

static int open_image(const struct fl__archive_file *file, uint32_t image_idx,
		      struct fl_image **image, struct fl_error *error)
{
	const struct fl__toc_image *from = &file->origin->toc.images[image_idx];
	struct pages pages;
	int err = pages_read(&pages, &file->origin->toc, &file->source, from,
			     error);

	if (err)
		return err;
	err = fl_image_from_segments(file->context, from->initial_bytes,
				     pages.segments, pages.segment_count, image,
				     error);
	pages_fini(&pages);
	return err;
}

/* What of a page of the file goes into the map. */
static int map_add(struct fl__image_map *map, uint64_t wpage,
		   const uint8_t *bytes)
{
	uint64_t off = wpage * FL_WPAGE_BYTES;
	int err = 0;

	for (uint64_t i = 0; !err && i < FL_WPAGE_BYTES;
	     i += map->hpage_bytes) {
		const uint8_t *hpage = bytes + i;
		uint64_t first = 0, end = map->hpage_bytes;

		if (fl_is_zero(hpage, map->hpage_bytes))
			continue;
		while (!hpage[first])
			first++;
		while (!hpage[end - 1])
			end--;
		if (!map->data_end_bytes)
			map->data_first_bytes = off + i + first;
		map->data_end_bytes = off + i + end;
		err = fl__runs_append(&map->data, (off + i) / map->hpage_bytes,
				      1);
	}
	return err;
}

/* No page of the host lies behind the initial size. */
static int map_place(struct fl__image_map *map,
		     const struct fl__toc_extent *extent,
		     struct fl_error *error)
{
	uint64_t end = extent->first_wpage + extent->wpage_count;
	uint64_t hpages = FL_WPAGE_BYTES / map->hpage_bytes;
	uint64_t last = (map->initial_bytes - 1) / map->hpage_bytes + 1;

	if (end > FL__IMAGE_MAX_END_BYTES / FL_WPAGE_BYTES)
		return fl__error_set(
			error, -E2BIG,
			"initial content ends at page %llu; an image ends at 1 TiB or before",
			fl_llu(end));
	map->extents[map->extent_count++] = (struct fl__run){
		extent->first_wpage * hpages,
		fl_min_u64(end * hpages, last) - extent->first_wpage * hpages,
	};
	return 0;
}

/* Check one extent as it will be mapped. */
static int map_extent(struct fl__image_map *map, const struct fl__toc *toc,
		      const struct fl__toc_source *source, uint32_t image_idx,
		      const struct fl__toc_extent *extent, uint64_t *entry_idx,
		      uint8_t *bytes, struct fl_error *error)
{
	uint64_t end = extent->first_wpage + extent->wpage_count;
	struct fl__sha256 sha;
	int err = map_place(map, extent, error);

	fl__sha256_init(&sha);
	for (uint64_t w = extent->first_wpage; !err && w < end; w++) {
		err = fl__toc_read_place(toc, source, image_idx, w, entry_idx,
					 &sha, bytes, error);
		if (!err && map_add(map, w, bytes))
			err = fl__error_set(error, -ENOMEM,
					    "no memory to plan an image");
	}
	return err;
}

static int map_make(struct fl__image_map *map, uint64_t *file_offs,
		    const struct fl__toc *toc,
		    const struct fl__toc_source *source, uint32_t image_idx,
		    struct fl_error *error)
{
	const struct fl__toc_image *from = &toc->images[image_idx];
	uint64_t entry_idx = from->first_entry;
	uint8_t *bytes = malloc(FL_WPAGE_BYTES);
	int err = 0;

	*map = (struct fl__image_map){
		.initial_bytes = from->initial_bytes,
		.hpage_bytes = fl__os_hpage_bytes(),
	};
	if (!bytes)
		return fl__error_set(error, -ENOMEM, "no memory for a page");
	for (uint32_t i = 0; !err && i < from->extent_count; i++) {
		file_offs[i] = from->extents[i].file_off;
		err = map_extent(map, toc, source, image_idx, &from->extents[i],
				 &entry_idx, bytes, error);
	}
	free(bytes);
	if (err)
		fl__image_map_fini(map);
	return err;
}

/* What the index alone says: a page that it names is data. */
static int map_index(struct fl__image_map *map, const struct fl__toc *toc,
		     uint32_t image_idx, struct fl_error *error)
{
	const struct fl__toc_image *from = &toc->images[image_idx];
	uint64_t hpage_bytes = fl__os_hpage_bytes(), end = 0;
	int err = 0;

	*map = (struct fl__image_map){
		.initial_bytes = from->initial_bytes,
		.hpage_bytes = hpage_bytes,
	};
	for (uint32_t i = 0; !err && i < from->extent_count; i++)
		err = map_place(map, &from->extents[i], error);
	for (uint64_t i = 0; !err && i < from->entry_count; i++) {
		uint64_t off = toc->entries[from->first_entry + i].wpage *
			       FL_WPAGE_BYTES;

		end = fl_min_u64(off + FL_WPAGE_BYTES, from->initial_bytes);
		if (!i)
			map->data_first_bytes = off;
		if (fl__runs_append(&map->data, off / hpage_bytes,
				    (end - off - 1) / hpage_bytes + 1))
			err = fl__error_set(error, -ENOMEM,
					    "no memory to plan an image");
	}
	map->data_end_bytes = end;
	if (err)
		fl__image_map_fini(map);
	return err;
}

static int open_lazy(const struct fl__archive_file *file, uint32_t image_idx,
		     struct fl_image **image, struct fl_error *error)
{
	struct fl__image_map map;
	int err = map_index(&map, &file->origin->toc, image_idx, error);

	return err ? err :
		     fl__image_create_lazy(file->context, &map, file->origin,
					   image_idx, image, error);
}

static int open_in_place(const struct fl__archive_file *file,
			 uint32_t image_idx, struct fl_image **image,
			 struct fl_error *error)
{
	uint64_t file_offs[FL__IMAGE_MAX_EXTENTS] = { 0 };
	const struct fl__toc *toc = &file->origin->toc;
	const struct fl__toc_image *from = &toc->images[image_idx];
	bool is_unchecked = file->flags & FL_OPEN_UNCHECKED;
	struct fl__image_map map;
	int err;

	if (is_unchecked) {
		for (uint32_t i = 0; i < from->extent_count; i++)
			file_offs[i] = from->extents[i].file_off;
		err = map_index(&map, toc, image_idx, error);
	} else {
		err = map_make(&map, file_offs, toc, &file->source, image_idx,
			       error);
	}
	/* What was checked is in memory, and needs no working set. */
	return err ? err :
		     fl__image_create_in_place(
			     file->context, &map, file->fd, file_offs,
			     is_unchecked ? file->origin : NULL, image_idx,
			     image, error);
}

static int open_state(struct fl__archive *archive, const struct fl__toc *toc,
		      const struct fl__toc_source *source,
		      struct fl_error *error)
{
	archive->state = calloc(1, (size_t)toc->state_bytes + 1);
	if (!archive->state)
		return fl__error_set(error, -ENOMEM,
				     "no memory for %llu bytes of state",
				     fl_llu(toc->state_bytes));
	archive->state_bytes = toc->state_bytes;
	return fl__toc_read_state(toc, source, archive->state, error);
}

static int open_one(struct fl__archive_file *file, uint32_t idx,
		    struct fl_image **image, struct fl_error *error)
{
	const char *lacks = fl__image_load_lacks(file->context);
	bool is_auto = file->way == FL_LOAD_AUTO;
	int err;

	if (is_auto && file->fd >= 0 && file->flags & FL_OPEN_IN_PLACE) {
		err = open_in_place(file, idx, image, error);
		file->way = err == -ENOTSUP ? FL_LOAD_AUTO : FL_LOAD_IN_PLACE;
		file->way_reason = "the caller promises that the file stays";
		if (err != -ENOTSUP)
			return err;
	}
	if (is_auto && !lacks) {
		file->way = FL_LOAD_LAZY;
		file->way_reason = "the bytes come from a page source";
	} else if (is_auto) {
		file->way = FL_LOAD_WHOLE;
		file->way_reason = lacks;
	}
	if (file->way == FL_LOAD_IN_PLACE)
		return open_in_place(file, idx, image, error);
	if (file->way == FL_LOAD_LAZY)
		return open_lazy(file, idx, image, error);
	return open_image(file, idx, image, error);
}

static int open_images(struct fl__archive *archive, struct fl_error *error)
{
	struct fl__archive_file *file = archive->file;
	size_t room = (size_t)file->origin->toc.image_count + 1;
	int err = 0;

	archive->images = calloc(room, sizeof(*archive->images));
	archive->copies = calloc(room, sizeof(*archive->copies));
	if (!archive->images || !archive->copies)
		return fl__error_set(error, -ENOMEM,
				     "no memory for a list of %u images",
				     file->origin->toc.image_count);
	while (!err && archive->image_count < file->origin->toc.image_count) {
		uint32_t idx = archive->image_count;

		err = open_one(file, idx, &archive->images[idx], error);
		if (err)
			break;
		archive->images[idx]->way = file->way;
		archive->images[idx]->way_reason = file->way_reason;
		archive->image_count++;
	}
	return err;
}

int fl__archive_copied(struct fl__archive *archive, uint32_t image_idx,
		       struct fl_image **image, struct fl_error *error)
{
	struct fl_image **copy = &archive->copies[image_idx];
	int err = 0;

	if (!fl__image_is_in_place(archive->images[image_idx])) {
		*image = archive->images[image_idx];
		return 0;
	}
	if (!*copy)
		err = open_image(archive->file, image_idx, copy, error);
	*image = *copy;
	return err;
}

/* toc stays with the file, but for the digests of modules. */
static int open_all(struct fl__archive *archive, struct fl_error *error)
{
	struct fl__toc *toc = &archive->file->origin->toc;
	int err = fl__toc_read(toc, &archive->file->source, error);

	if (err) {
		*toc = (struct fl__toc){ 0 };
		return err;
	}
	archive->module_count = toc->module_count;
	archive->module_digests = toc->module_digests;
	toc->module_digests = NULL;
	memcpy(archive->encoding, toc->encoding, sizeof(archive->encoding));
	memcpy(archive->digest, toc->digest, sizeof(archive->digest));
	err = open_state(archive, toc, &archive->file->source, error);
	return err ? err : open_images(archive, error);
}

static int open_path(struct fl__archive_file *file, const char *path, int fd,
		     struct fl_error *error)
{
	uint64_t *length_bytes = &file->source.length_bytes;
	int err;

	file->fd = fd;
	err = path ? fl__os_file_open(path, &file->fd, length_bytes) :
		     fl__os_file_look(fd, length_bytes);
	if (err)
		return fl__error_set(error, fl__os_file_error(err),
				     "cannot open the image file: %s",
				     err == -EINVAL ? "not a regular file" :
						      strerror(-err));
	file->is_ours = path != NULL;
	return 0;
}

static int check_flags(uint32_t flags, struct fl_error *error)
{
	if (flags & ~(uint32_t)(FL_OPEN_IN_PLACE | FL_OPEN_IMMUTABLE |
				FL_OPEN_UNCHECKED))
		return fl__error_set(error, -EINVAL,
				     "there is no such flag: 0x%x", flags);
	if (flags & FL_OPEN_UNCHECKED && !(flags & FL_OPEN_IN_PLACE))
		return fl__error_set(
			error, -EINVAL,
			"FL_OPEN_UNCHECKED is for FL_OPEN_IN_PLACE: a file that is copied is checked");
	if (flags == FL_OPEN_IMMUTABLE)
		return fl__error_set(
			error, -EINVAL,
			"FL_OPEN_IMMUTABLE is for FL_OPEN_IN_PLACE: a file that is copied may change");
	return 0;
}

/* Asked before the first page is checked, so that what is checked stays. */
static int check_immutable(const struct fl__archive_file *file,
			   struct fl_error *error)
{
	if (!(file->flags & FL_OPEN_IMMUTABLE) || file->fd < 0 ||
	    fl__os_file_is_immutable(file->fd))
		return 0;
	return fl__error_set(
		error, -EPERM,
		"the image file can change: seal it (a memory file under F_SEAL_WRITE and F_SEAL_SHRINK, or fs-verity), or open it without FL_OPEN_IMMUTABLE");
}

/* An archive that has a file, not opened yet. */
static int archive_alloc(struct fl_context *context,
			 struct fl_page_source *pages, uint64_t deadline_ns,
			 uint32_t flags, struct fl__archive *archive,
			 struct fl_error *error)
{
	struct fl__archive_file *file = calloc(1, sizeof(*file));

	*archive = (struct fl__archive){ .file = file };
	if (file)
		file->origin = fl__origin_alloc(pages, deadline_ns);
	if (!file || !file->origin) {
		free(file);
		return fl__error_set(error, -ENOMEM, "no memory for a file");
	}
	file->context = context;
	file->source.owner = file;
	file->source.read = file_read;
	file->flags = flags;
	file->fd = -1;
	return 0;
}

static int archive_fill(struct fl__archive *archive, struct fl__archive *out,
			int err, struct fl_error *error)
{
	if (!err)
		err = check_immutable(archive->file, error);
	if (!err)
		err = open_all(archive, error);
	if (err)
		fl__archive_fini(archive);
	else
		*out = *archive;
	return err;
}

int fl__archive_open(struct fl_context *context, const char *path, int fd,
		     uint32_t flags, struct fl__archive *out,
		     struct fl_error *error)
{
	struct fl__archive archive;
	struct fl__archive_file *file;
	int err = check_flags(flags, error);

	if (!err)
		err = archive_alloc(context, NULL, 0, flags, &archive, error);
	if (err)
		return err;
	file = archive.file;
	file->way = flags & FL_OPEN_IN_PLACE ? FL_LOAD_IN_PLACE : FL_LOAD_WHOLE;
	file->way_reason =
		flags & FL_OPEN_IN_PLACE ?
			"FL_OPEN_IN_PLACE" :
			"the file was opened without FL_OPEN_IN_PLACE";
	err = open_path(file, path, fd, error);
	return archive_fill(&archive, out, err, error);
}

static int check_way(const struct fl_load_config *config,
		     const struct fl_page_source *pages, struct fl_error *error)
{
	if ((unsigned int)config->way > FL_LOAD_WHOLE)
		return fl__error_set(error, -EINVAL,
				     "way %u of fl_load_config is none",
				     (unsigned int)config->way);
	if (config->way == FL_LOAD_IN_PLACE && fl__page_source_fd(pages) < 0)
		return fl__error_set(
			error, -ENOTSUP,
			"FL_LOAD_IN_PLACE is for a page source of a file");
	if (config->way == FL_LOAD_IN_PLACE &&
	    !(config->open_flags & FL_OPEN_IN_PLACE))
		return fl__error_set(
			error, -EINVAL,
			"FL_LOAD_IN_PLACE needs FL_OPEN_IN_PLACE in open_flags: the promise is the caller's");
	return check_flags(config->open_flags, error);
}

int fl__archive_open_source(struct fl_context *context,
			    struct fl_page_source *pages,
			    const struct fl_load_config *config,
			    struct fl__archive *out, struct fl_error *error)
{
	struct fl_load_config known;
	struct fl__archive archive;
	int err = fl__config_read(FL_LOAD_CONFIG, &known, config, error);

	if (!err)
		err = check_way(&known, pages, error);
	if (!err)
		err = archive_alloc(context, pages, known.deadline_ns,
				    known.open_flags, &archive, error);
	if (err)
		return err;
	archive.file->way = known.way;
	archive.file->way_reason = "fl_load_config asks for it";
	archive.file->fd = fl__page_source_fd(pages);
	archive.file->source.length_bytes = fl__page_source_length(pages);
	return archive_fill(&archive, out, 0, error);
}

void fl__archive_fini(struct fl__archive *archive)
{
	for (uint32_t i = 0; i < archive->image_count; i++) {
		fl_image_release(archive->images[i]);
		fl_image_release(archive->copies[i]);
	}
	if (archive->file) {
		if (archive->file->is_ours)
			fl__os_file_close(archive->file->fd);
		fl__origin_release(archive->file->origin);
	}
	free(archive->file);
	free(archive->images);
	free(archive->copies);
	free(archive->module_digests);
	free(archive->state);
	*archive = (struct fl__archive){ 0 };
}
