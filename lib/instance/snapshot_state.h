/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * snapshot_state.h - a snapshot without its images, as bytes.
 *
 * Takes a snapshot; gives bytes that hold in any process. Takes such bytes,
 * which are hostile, with the images and modules that they speak of; gives the
 * snapshot, or an error that names the byte. Pure.
 *
 * Memories, indices, sizes and encoded values mean the same on every system. An
 * image of a table or structure does not: it is plain bytes of a runtime's C
 * types, and so the state says how these lie where the image was captured.
 *
 * What is loaded could have been captured: sizes are within the module's limits,
 * a link leads to an earlier instance and to the type of the import, and only
 * passive segments were dropped. Memory is taken for bytes that were seen, and a
 * struct fl__captured for each instance. Values and the runtime's bytes may be
 * anything.
 *
 * All integers are LEB128, unsigned, in the encodings that the WebAssembly
 * binary format allows. An index that may be missing is one more than itself,
 * and 0 where it is missing.
 *
 *	state		version (1), number of instances, instances
 *	instance	module: index among the file's modules
 *			flags: 1, the pool had tables; 2, made of parts; 4, a
 *			table or the structure has an image
 *			with flag 4, how C's types lie (base/ctypes.h)
 *			memories: a count, that of the module's index space, and
 *			for each its image (0: imported)
 *			memory links: for each imported memory its instance
 *			(0: the caller's) and, if any, its index there
 *			if the pool had tables:
 *			    table links, likewise
 *			    for each table that the module defines a table
 *			structure: its image (0: none)
 *			dropped data segments: a count, then indices upwards
 *			dropped element segments, likewise
 *			the runtime's bytes: a length, then the bytes
 *	table		length, bytes of an element, image (0: none), with an
 *			image the null reference's bytes, number of runs, runs
 *	run		nulls before the run, number of elements, their values
 */
#ifndef FL_SNAPSHOT_STATE_H
#define FL_SNAPSHOT_STATE_H

#include "snapshot.h"

/* The images and modules that a state speaks of. A module or image that occurs
 * twice is listed once. */
struct fl__parts_list {
	struct fl_image **images;	/* references are the snapshot's */
	struct fl_module **modules;
	uint32_t image_count, module_count;
};

/* List the parts of a snapshot and write its state; the caller frees *bytes and
 * ends the list. -ENOMEM. */
int fl__snapshot_save(const struct fl_snapshot *snapshot,
		      struct fl__parts_list *parts, uint8_t **bytes,
		      uint64_t *length_bytes, struct fl_error *error);

/* The snapshot takes references of its own. -ENOEXEC with the byte, -ENOMEM. */
int fl__snapshot_load(const uint8_t *bytes, uint64_t length_bytes,
		      const struct fl__parts_list *parts, const char *encoding,
		      struct fl_snapshot **snapshot, struct fl_error *error);

void fl__parts_list_fini(struct fl__parts_list *parts);

#endif
