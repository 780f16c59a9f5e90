/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * image_file.c - the file of one image: the public calls over archive.h.
 *
 * Takes an image or a file, gives the other, or the digest of both. Such a file
 * has one image, no module and no state, and names no encoding.
 */
#include "archive.h"

#include <stdlib.h>

/* The image is lent: the archive is not finished. */
static struct fl__archive archive_of(struct fl_image **image)
{
	return (struct fl__archive){ .images = image, .image_count = 1 };
}

int fl_image_write_as(const struct fl_image *image, const char *path,
		      uint32_t flags, struct fl_error *error)
{
	/* Writing changes nothing; the archive of an opener owns its images. */
	struct fl_image *lent = (struct fl_image *)(uintptr_t)image;
	struct fl__archive archive = archive_of(&lent);

	return fl__archive_write(&archive, path, flags, error);
}

int fl_image_write(const struct fl_image *image, const char *path,
		   struct fl_error *error)
{
	return fl_image_write_as(image, path, 0, error);
}

int fl_image_digest(struct fl_image *image, uint8_t digest[32],
		    struct fl_error *error)
{
	struct fl__archive archive = archive_of(&image);
	int err;

	if (fl__kept_digest_get(&image->digest, digest))
		return 0;
	err = fl__archive_digest(&archive, digest, error);
	if (!err)
		fl__kept_digest_set(&image->digest, digest);
	return err;
}

/* Take the image out of the archive, which ends. */
static int image_take(struct fl__archive *archive, struct fl_image **image,
		      struct fl_error *error)
{
	int err = 0;

	if (archive->image_count != 1 || archive->module_count ||
	    archive->state_bytes || archive->encoding[0])
		err = fl__error_set(
			error, -EINVAL,
			"the file holds a snapshot, which fl_snapshot_open() opens: %u %s, %u %s, %llu bytes beside images",
			archive->image_count,
			fl_noun(archive->image_count, "image", "images"),
			archive->module_count,
			fl_noun(archive->module_count, "module", "modules"),
			fl_llu(archive->state_bytes));
	else
		*image = fl_image_retain(archive->images[0]);
	fl__archive_fini(archive);
	return err;
}

int fl_image_open(struct fl_context *context, const char *path, int fd,
		  uint32_t flags, struct fl_image **image,
		  struct fl_error *error)
{
	struct fl__archive archive;
	int err = fl__archive_open(context, path, fd, flags, &archive, error);

	return err ? err : image_take(&archive, image, error);
}

int fl_image_write_working_set(const struct fl_image *image, const char *path,
			       struct fl_error *error)
{
	struct fl__os_new_file file;
	uint8_t *bytes;
	uint64_t len;
	int err;

	if (!image->origin)
		return fl__error_set(
			error, -EINVAL,
			"only a lazy image and one of FL_OPEN_UNCHECKED have a working set: see fl_image_loading()");
	err = fl__workset_write(&image->set, &bytes, &len);
	if (err)
		return fl__error_set(error, err, "no memory for a working set");
	err = fl__os_new_file_open(&file, path, len);
	if (!err) {
		err = fl__os_new_file_write(&file, 0, bytes, len);
		if (err)
			fl__os_new_file_abort(&file);
		else
			err = fl__os_new_file_commit(&file);
	}
	free(bytes);
	return err ? fl__error_set_file(error, fl__os_file_error(err), path, -1,
					"cannot write the working set: %s%s%s",
					strerror(-err), fl__os_remedy_lead(err),
					fl__os_remedy_text(err)) :
		     0;
}

int fl_image_open_source(struct fl_context *context,
			 struct fl_page_source *source,
			 const struct fl_load_config *config,
			 struct fl_image **image, struct fl_error *error)
{
	struct fl__archive archive;
	int err = fl__archive_open_source(context, source, config, &archive,
					  error);

	return err ? err : image_take(&archive, image, error);
}
