/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * archive.h - image files: images and a string of state, in a file and back.
 *
 * Takes images of a context, and bytes that only the layer above understands;
 * gives a file of the form that toc.h describes. Takes any file, and gives
 * images of its context, whose bytes the backend keeps, and those bytes.
 *
 * A file is hostile until each byte that is used was checked. Reading copies:
 * every page is read once, by pread, into private memory and checked there,
 * and what was checked is what the image gets. So a file that is changed, cut
 * or replaced meanwhile makes an error or no difference, and never a signal.
 * Memory is used for what was read, never for what a file merely claims. Of a
 * packed file, what was read can become some hundred times as much, so its pages
 * are held against the context's limit before the first is unpacked.
 *
 * In place is the exception that a caller asks for (FL_OPEN_IN_PLACE): the file
 * is checked as a whole, and then mapped as it is. Who says so promises that
 * nobody changes the file. What the library or the host reads for itself, tables
 * and structures, is copied all the same. FL_OPEN_UNCHECKED maps without a look at
 * the pages: header, tables and index are checked, and the rest is promised.
 *
 * Locks: none. An archive is plain data of one owner; images are shared.
 */
#ifndef FL_ARCHIVE_H
#define FL_ARCHIVE_H

#include "image/toc.h"
#include "store.h"

struct fl__archive_file;

struct fl__archive {
	struct fl_image **images;
	/* Copies of images in place, NULL where nobody asked for one. */
	struct fl_image **copies;
	struct fl__archive_file *file;	/* until fini, set by open alone */
	uint8_t (*module_digests)[FL__SHA256_BYTES];	/* of their bytes */
	void *state;
	uint64_t state_bytes;
	uint32_t image_count;
	uint32_t module_count;		/* 0 in a file of one image */
	/* The runtime's name for how it encodes its state; NUL-terminated. The
	 * layer above compares it, and answers -ENOTSUP for another. */
	char encoding[FL__TOC_ENCODING_BYTES];
	uint8_t digest[FL__SHA256_BYTES];	/* set by open alone */
};

/* The digest that a file of this content has; reads every page of data, writes
 * nothing. Errors: as write, without those of files. */
int fl__archive_digest(const struct fl__archive *archive,
		       uint8_t digest[FL__SHA256_BYTES],
		       struct fl_error *error);

/*
 * Write a file: whole and durable, or not at all; see struct fl__os_new_file.
 * flags: enum fl_write_flags.
 *
 * Errors: -EINVAL (the path names no place for a file; encoding has no end; flags),
 * -ENOTSUP (FL_WRITE_ZSTD without libzstd),
 * -EPERM, -E2BIG (more than toc.h allows), -EFAULT (an image at whose end
 * instantiation traps), -ENOMEM (memory, room, quota or RLIMIT_FSIZE), -EIO (also:
 * an image in place was cut, or changed meanwhile). The one error after which the
 * new file is there is -EIO of the folder, and the message says so.
 */
int fl__archive_write(const struct fl__archive *archive, const char *path,
		      uint32_t flags, struct fl_error *error);

/*
 * Read and check a file, by path, or by fd when path is NULL; fd stays open, and
 * where it stands stays the same. flags: enum fl_open_flags. The caller owns all
 * that *archive gets and ends it by fini.
 *
 * Errors: -EINVAL (no such file, not a regular file, flags), -EPERM, -ENOEXEC (no
 * image file: byte_off 0; cut, changed or damaged: the byte), -ENOTSUP (a newer
 * version; the flag), -E2BIG, -ENOMEM, -EIO (the system cannot read).
 */
int fl__archive_open(struct fl_context *context, const char *path, int fd,
		     uint32_t flags, struct fl__archive *archive,
		     struct fl_error *error);

/* The same of a page source, by the way that config asks for; NULL: the defaults. The
 * working set that config names goes to the image that it is of, if one can take it.
 * Errors: as above, without those of paths; -ENOTSUP (the way), -ETIMEDOUT. */
int fl__archive_open_source(struct fl_context *context,
			    struct fl_page_source *pages,
			    const struct fl_load_config *config,
			    struct fl__archive *archive,
			    struct fl_error *error);

/* The image itself, or a copy of an image in place, checked like any copy; the
 * archive lends it. Needs the file: the caller's fd is open still. Errors: as
 * open. */
int fl__archive_copied(struct fl__archive *archive, uint32_t image_idx,
		       struct fl_image **image, struct fl_error *error);

/* Give back what open gave. */
void fl__archive_fini(struct fl__archive *archive);

#endif
