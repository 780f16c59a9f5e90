/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/* storage.c - memory files, files in place, lazy images; see storage.h. */
#include "storage.h"
#include "memfd.h"
#include "uffd/load/loader.h"

int fl__storage_create(struct fl__host *host, struct fl_image *image,
		       const struct fl__segments *segments,
		       struct fl_error *error)
{
	fl__os_no_cancel();
	int err = fl__memfd_create(
		image, segments,
		fl__probe_has(&host->probe, FL__FEATURE_COLLAPSE), error);

	if (!err)
		fl__memfd_settle(image);
	return err;
}

/* A file of somebody else's. What the library does with such memory must fail
 * and not be killed, so two calls of the kernel have to be there. */
int fl__storage_map(struct fl__host *host, struct fl_image *image,
		    struct fl_error *error)
{
	uint8_t byte = 1, copy = 0;

	if (!fl__probe_has(&host->probe, FL__FEATURE_POPULATE))
		return fl__error_set(
			error, -ENOTSUP,
			"mapping a file in place needs MADV_POPULATE_WRITE: open the file without FL_OPEN_IN_PLACE");
	if (fl__os_peek(&copy, &byte, 1) || fl__os_poke(&copy, &byte, 1))
		return fl__error_set(
			error, -ENOTSUP,
			"mapping a file in place needs process_vm_readv() and process_vm_writev(), which this process may not call: open the file without FL_OPEN_IN_PLACE");
	image->bytes = NULL;
	fl__memfd_settle(image);
	return 0;
}

/* What the library itself does with memory that can be missing must fail and
 * not wait for ever, so the calls for files in place have to be there too. */
const char *fl__storage_load_lacks(const struct fl__host *host)
{
	const struct fl_feature *missing =
		&host->probe.features[FL__FEATURE_UFFD_MISSING];
	uint8_t byte = 1, copy = 0;

	if (missing->support != FL_SUPPORT_YES)
		return missing->reason;
	if (fl__os_peek(&copy, &byte, 1) || fl__os_poke(&copy, &byte, 1))
		return "this process may not call process_vm_readv() and process_vm_writev()";
	return NULL;
}

/* Why the image cannot be read or published as its origin wants; NULL: it can. */
static const char *wish_lacks(const struct fl__host *host,
			      const struct fl__origin *origin)
{
	const struct fl_feature *features = host->probe.features;

	if (origin->read != FL_READ_DEFAULT &&
	    fl__page_source_fd(origin->pages) < 0)
		return "the page source is no file";
	if (origin->publish != FL_PUBLISH_CONTINUE)
		return NULL;
	if (features[FL__FEATURE_UFFD_MINOR].support != FL_SUPPORT_YES)
		return features[FL__FEATURE_UFFD_MINOR].reason;
	if (features[FL__FEATURE_IO_URING].support != FL_SUPPORT_YES)
		return features[FL__FEATURE_IO_URING].reason;
	return origin->toc.is_packed ? "the pages of the file are packed" :
				       NULL;
}

int fl__storage_load(struct fl__host *host, struct fl_image *image,
		     struct fl_error *error)
{
	fl__os_no_cancel();
	const struct fl__probe *probe = &host->probe;
	const struct fl__loader_config config = {
		.with_wp = host->rung == FL__RUNG_TRACK,
		.with_minor = fl__probe_has(probe, FL__FEATURE_UFFD_MINOR),
		.with_ring = fl__probe_has(probe, FL__FEATURE_IO_URING),
		.with_filter = fl__probe_has(probe, FL__FEATURE_SECCOMP),
		.can_wipe = fl__probe_has(probe, FL__FEATURE_WIPEONFORK),
		.can_collapse = fl__probe_has(probe, FL__FEATURE_COLLAPSE),
		.filler_count = host->load_threads,
	};
	const char *lacks = wish_lacks(host, image->origin);
	int err = 0;

	if (lacks)
		return fl__loader_refuse(image->origin, lacks, error);
	fl__os_lock(&host->lock);
	if (!host->loader)
		err = fl__loader_open(&config, &host->loader);
	fl__os_unlock(&host->lock);
	if (err)
		return fl__error_set(error, err,
				     "no memory to load images with");
	return fl__loader_add(host->loader, image, error);
}

void fl__storage_destroy(struct fl_image *image)
{
	fl__os_no_cancel();

	if (image->lazy)
		fl__loader_remove(image);
	else
		fl__memfd_destroy(image);
}

/* A file in place that was cut gives guests signals, and a reset nothing to
 * restore. To ask is cheap beside what such an image costs anyway. */
int fl__storage_look(const struct fl_image *image)
{
	const struct fl__image_map *map;
	uint64_t length_bytes, end = 0;

	if (!image || !fl__image_is_in_place(image) || image->lazy)
		return 0;
	map = &image->map;
	for (uint32_t i = 0; i < map->extent_count; i++)
		end = fl_max_u64(end, image->file_offs[i] +
					      map->extents[i].hpage_len *
						      map->hpage_bytes);
	return fl__os_file_look(image->fd, &length_bytes) ||
			       length_bytes < end ?
		       -EIO :
		       0;
}
