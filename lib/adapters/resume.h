/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * resume.h - clones and deltas where memory is all that an instance is made of: what
 * the adapters for interpreters share.
 *
 * Takes a memory of an instance whose FL_RESUMABLE_UNCHANGED has just returned;
 * gives a snapshot of one image without a state, or a delta against one. What
 * another runtime captured has a state, or another encoding, and is refused.
 *
 * Adapters see the public header alone.
 */
#ifndef FL_ADAPTERS_RESUME_H
#define FL_ADAPTERS_RESUME_H

#include "fail.h"

#include <errno.h>
#include <string.h>

/* Nothing but memories. */
#define RESUME_ENCODING "fl_memory 1"

static int resume_check(const struct fl_module *module,
			const struct fl_snapshot *snapshot,
			struct fl_error *error)
{
	struct fl_snapshot_info info = { .size = sizeof(info) };

	fl_snapshot_info(snapshot, &info);
	if (info.instance_count != 1 || info.state_bytes || !info.encoding ||
	    strcmp(info.encoding, RESUME_ENCODING) != 0)
		return fail(
			error, -ENOTSUP,
			"the snapshot is another runtime's: it holds more than a memory");
	if (fl_snapshot_module(snapshot, 0) != module ||
	    !fl_snapshot_image(snapshot, 0, 0))
		return fail(error, -EINVAL,
			    "the snapshot is of another module");
	return 0;
}

/* The image that a clone's memory begins with; the size is the image's. */
static void resume_configure(const struct fl_snapshot *snapshot,
			     struct fl_memory_config *config)
{
	config->image = fl_snapshot_image(snapshot, 0, 0);
	config->initial_bytes = 0;
}

/* What the session has changed since. */
static int resume_restore(const struct fl_delta *delta,
			  struct fl_memory *memory, struct fl_error *error)
{
	return delta ? fl_delta_restore_memory(delta, 0, memory, error) : 0;
}

static int resume_capture(struct fl_module *module,
			  const struct fl_memory *memory,
			  struct fl_snapshot **snapshot, struct fl_error *error)
{
	struct fl_snapshot_parts parts;
	struct fl_image *image;
	int err = fl_image_from_memory(memory, NULL, &image, error);

	if (err)
		return err;
	fl_snapshot_parts_init(&parts);
	parts.module = module;
	parts.images = &image;
	parts.image_count = 1;
	parts.encoding = RESUME_ENCODING;
	err = fl_snapshot_create(&parts, snapshot, error);
	fl_image_release(image);
	return err;
}

static int resume_delta(struct fl_snapshot *snapshot, struct fl_memory *memory,
			struct fl_delta **delta, struct fl_error *error)
{
	struct fl_delta_parts parts;

	fl_delta_parts_init(&parts);
	parts.snapshot = snapshot;
	parts.memories = &memory;
	parts.memory_count = 1;
	return fl_memory_delta(&parts, delta, error);
}

#endif
