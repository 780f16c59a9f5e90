/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * archive_read.c - image files and page sources, opened; see archive.h.
 *
 * Takes a file, or a page source; reads its tables and its state, decides by which
 * way each image's pages come, and has the images made. One of them gets the working
 * set that an earlier run has recorded.
 */
#include "archive_pages.h"
#include "base/config.h"

#include <errno.h>
#include <stdlib.h>

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

	if (err == -ETIMEDOUT && origin->pages)
		return fl__error_set_at(
			error, err, off + done,
			"the page source has not answered in time; raise deadline_ns of fl_load_config, which is %llu",
			fl_llu(origin->deadline_ns));
	if (err)
		return fl__error_set_at(
			error,
			origin->pages ? fl__page_source_error(err) :
					fl__os_file_error(err),
			off + done, "cannot read the %s: %s",
			origin->pages ? "page source" : "image file",
			strerror(-err));
	if (done < len)
		return fl__error_set_at(
			error, -ENOEXEC, off + done,
			"the %s ends at byte %llu%s",
			origin->pages ? "page source" : "image file",
			fl_llu(off + done),
			origin->pages ? ", before its length_bytes" :
					": it was cut while it was read");
	return 0;
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
		err = fl__archive_open_in_place(file, idx, image, error);
		file->way = err == -ENOTSUP ? FL_LOAD_AUTO : FL_LOAD_IN_PLACE;
		file->way_reason = "the caller promises that the file stays";
		if (err != -ENOTSUP)
			return err;
	}
	if (is_auto && !lacks) {
		file->way = FL_LOAD_LAZY;
		file->way_reason = file->origin->toc.is_packed ?
					   "the pages of the file are packed" :
					   "the bytes come from a page source";
	} else if (is_auto) {
		file->way = FL_LOAD_WHOLE;
		file->way_reason = lacks;
	}
	if (file->way == FL_LOAD_IN_PLACE)
		return fl__archive_open_in_place(file, idx, image, error);
	if (file->way == FL_LOAD_LAZY)
		return fl__archive_open_lazy(file, idx, image, error);
	return fl__archive_open_whole(file, idx, image, error);
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
				     "no memory for a list of %u %s",
				     file->origin->toc.image_count,
				     fl_noun(file->origin->toc.image_count,
					     "image", "images"));
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
		err = fl__archive_open_whole(archive->file, image_idx, copy,
					     error);
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
		     fl__os_file_lent(fd, length_bytes);
	if (err)
		return fl__error_set_file(
			error, fl__os_file_error(err), path, fd,
			"cannot open the image file: %s%s%s",
			err == -EINVAL ? fl__os_file_lacks(path) :
					 strerror(-err),
			fl__os_remedy_lead(err), fl__os_remedy_text(err));
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
	if ((unsigned int)config->publish > FL_PUBLISH_CONTINUE)
		return fl__error_set(error, -EINVAL,
				     "publish %u of fl_load_config is none",
				     (unsigned int)config->publish);
	if ((unsigned int)config->read > FL_READ_DIRECT)
		return fl__error_set(error, -EINVAL,
				     "read %u of fl_load_config is none",
				     (unsigned int)config->read);
	if (config->publish != FL_PUBLISH_DEFAULT &&
	    config->way != FL_LOAD_LAZY)
		return fl__error_set(
			error, -EINVAL,
			"publish of fl_load_config is for FL_LOAD_LAZY: pages that come at once need no way to be published");
	if (config->read != FL_READ_DEFAULT && config->way != FL_LOAD_LAZY)
		return fl__error_set(
			error, -EINVAL,
			"read of fl_load_config is for FL_LOAD_LAZY: by the other ways the kernel's page cache is used");
	if (config->read == FL_READ_CACHED &&
	    config->publish == FL_PUBLISH_CONTINUE)
		return fl__error_set(
			error, -EINVAL,
			"FL_PUBLISH_CONTINUE reads past the page cache: leave read of fl_load_config at FL_READ_DEFAULT");
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
	archive.file->origin->publish = known.publish;
	archive.file->origin->read = known.publish == FL_PUBLISH_CONTINUE ?
					     FL_READ_DIRECT :
					     known.read;
	archive.file->way = known.way;
	archive.file->way_reason = "fl_load_config asks for it";
	archive.file->fd = fl__page_source_fd(pages);
	archive.file->source.length_bytes = fl__page_source_length(pages);
	archive.file->origin->set_path = known.working_set_path;
	err = archive_fill(&archive, out, 0, error);
	if (!err)
		out->file->origin->set_path = NULL;
	return err;
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
