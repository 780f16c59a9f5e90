/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * wasm-image-save.c - the verb save: the images of a module in a file.
 *
 * Takes a loaded module with its images; gives the file of a snapshot of them,
 * bound to the module, or the image file of one memory. Nothing has run in such
 * a snapshot. Its encoding says so, and its state is empty.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "wasm-image.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static int check_image(const struct subject *subject, uint32_t memory_idx)
{
	const struct memory *memory = &subject->memories[memory_idx];

	if (memory->image)
		return 0;
	return fail("%s: memory %u has no image: %s", subject->options->path,
		    memory_idx, memory->reason);
}

static int save_image(const struct subject *subject)
{
	const struct options *options = subject->options;
	struct fl_error error;

	if (options->memory_idx >= subject->info.memory_count)
		return fail(
			"--memory is %u, but %s has %u %s", options->memory_idx,
			options->path, subject->info.memory_count,
			noun(subject->info.memory_count, "memory", "memories"));
	if (check_image(subject, options->memory_idx))
		return 1;
	if (fl_image_write_as(subject->memories[options->memory_idx].image,
			      options->out_path, options->write_flags, &error))
		return fail_with(options->out_path, &error);
	printf("%s: image file of memory %u\n", options->out_path,
	       options->memory_idx);
	return 0;
}

static int save_snapshot(const struct subject *subject,
			 struct fl_image *const *images)
{
	struct fl_snapshot_parts parts = FL_SNAPSHOT_PARTS_INIT;
	const char *out_path = subject->options->out_path;
	struct fl_snapshot *snapshot;
	struct fl_error error;
	int err;

	parts.module = subject->module;
	parts.images = images;
	parts.image_count = subject->info.memory_count;
	parts.encoding = INITIAL_ENCODING;
	if (fl_snapshot_create(&parts, &snapshot, &error))
		return fail_with(out_path, &error);
	err = fl_snapshot_write_as(snapshot, out_path,
				   subject->options->write_flags, &error);
	fl_snapshot_release(snapshot);
	if (err)
		return fail_with(out_path, &error);
	printf("%s: snapshot of %u %s, before anything ran\n", out_path,
	       parts.image_count,
	       parts.image_count == 1 ? "memory" : "memories");
	return 0;
}

int save(const struct subject *subject)
{
	struct fl_image **images;
	int status = check_output(subject->options);

	if (status)
		return status;
	if (subject->options->has_memory_idx)
		return save_image(subject);
	images =
		calloc((size_t)subject->info.memory_count + 1, sizeof(*images));
	if (!images)
		return fail("no memory");
	for (uint32_t i = 0; i < subject->info.memory_count && !status; i++) {
		status = check_image(subject, i);
		images[i] = subject->memories[i].image;
	}
	if (!status)
		status = save_snapshot(subject, images);
	free(images);
	return status;
}
