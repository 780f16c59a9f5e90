/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * listed.h - what the files of listed.c share: what is called, and what calls have
 * answered.
 */
#ifndef FAIL_LISTED_H
#define FAIL_LISTED_H

#include "tests/kit/child.h"
#include "tests/kit/conform_module.h"
#include "tests/kit/page_source.h"

/* A pool with tenants of each kind, and something of all else that calls take. */
struct scene {
	struct conform conform;
	struct fl_module *module;
	struct fl_instance *instance; /* a clone of snapshot */
	struct fl_memory *memory; /* shows image */
	struct fl_table *table;
	struct fl_stack *stack;
	struct fl_snapshot_config capture;
	struct fl_snapshot *snapshot;
	struct fl_snapshot *parts; /* of the image, by the runtime */
	struct fl_image *image;
	struct fl_delta *delta, *parts_delta;
	struct test_file file, snapshot_file; /* of image, of snapshot */
	char folder[40];
	char path[64], snapshot_path[64];
	char new_path[64]; /* of no file */
};

/* count slots of each kind, of which one is in use; of memories and tables two. */
void scene_open(struct scene *scene, uint32_t count);
void scene_close(struct scene *scene);

/* For clones of the snapshot. */
int scene_decode_state(void *user, struct fl_instance *instance,
		       const void *bytes, uint64_t length_bytes);

/* So many deltas of parts that have something in common. */
void scene_deltas(struct scene *scene, struct fl_delta **deltas,
		  uint32_t count);
#define TRAINED 200

/* Notes that the call gave err, which must be 0 or in its list, and returns err.
 * call is what the program calls, as it is written. */
int listed_note(const char *call, int err, const struct fl_error *error);

/* The same; err is wanted. */
void listed_row(const char *call, int err, int wanted,
		const struct fl_error *error);

/* Says what this host lacks on the first rung, without which some errors cannot be
 * had. */
void listed_lacks(const char *what);

/* What calls say of themselves; those that say nothing are not asked. */
extern struct fl_error listed_error;

#define ROW(wanted, call)                                                 \
	(memset(&listed_error, 0, sizeof(listed_error)),                  \
	 listed_row(#call, call, wanted,                                  \
		    strstr(#call, "listed_error") ? &listed_error : NULL))

/* The scene's file in place, NULL where that cannot be had. */
struct fl_image *scene_in_place(struct scene *scene);

/* A case of the other files each. */
#define LISTED_CASES(CASE)    \
	CASE(of_a_full_pool)        \
	CASE(of_a_forked_child)     \
	CASE(of_modules)            \
	CASE(of_images)             \
	CASE(of_other_bytes)        \
	CASE(of_pools)              \
	CASE(of_parts)              \
	CASE(of_instances)          \
	CASE(of_snapshots)          \
	CASE(of_deltas)             \
	CASE(of_packers)            \
	CASE(of_too_little_room)    \
	CASE(of_a_cut_file)         \
	CASE(of_a_lazy_image)       \
	CASE(of_a_kernel_that_lies) \
	CASE(of_calls_that_fail)

#define LISTED_DECLARE(name) void name(void);
LISTED_CASES(LISTED_DECLARE)

#endif
