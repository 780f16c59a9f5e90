/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * snapshot.h - what was captured of instances: an immutable object.
 *
 * capture.c fills a snapshot from live instances; restore.c makes clones of a
 * snapshot. A memory, a plain table and a plain structure are images, which
 * clones show like a module's own. What holds pointers is here as the numbers
 * and bytes that the runtime's encoders gave, so no address of the captured
 * instance is in a snapshot. Any thread.
 */
#ifndef FL_SNAPSHOT_H
#define FL_SNAPSHOT_H

#include "module/module.h"
#include "slots/layout.h"

/* A stretch of elements that are not null. */
struct fl__captured_run {
	uint64_t first_idx, count;
};

struct fl__captured_table {
	uint64_t length;		/* in elements */
	uint32_t element_bytes;
	struct fl_image *image;		/* a plain table's; NULL: runs */
	uint8_t null[FL__MAX_ELEMENT_BYTES];	/* with an image */
	/* In order, apart, not empty; all else is null. */
	struct fl__captured_run *runs;
	uint64_t *values;		/* of the elements in runs */
	uint64_t run_count, value_count;
	/* Of what these values decode to, as of an image: never used twice. 0:
	 * there are none. */
	uint64_t serial;
};

/* Where an imported memory or table comes from. */
struct fl__link {
	bool is_linked;			/* false: the caller gives it */
	uint32_t instance_idx;		/* of the snapshot, an earlier one */
	uint32_t idx;			/* in that instance's index space */
};

/* One instance. */
struct fl__captured {
	struct fl_module *module;	/* a reference */
	/* By the index spaces of the module. */
	struct fl_image *images[FL__READER_MAX_MEMORIES]; /* NULL: imported */
	struct fl__captured_table tables[FL__READER_MAX_TABLES];
	struct fl__link memory_links[FL__READER_MAX_MEMORIES];
	struct fl__link table_links[FL__READER_MAX_TABLES];
	bool has_tables;		/* false: the runtime keeps tables */
	bool is_parts;			/* by fl_snapshot_create() */
	struct fl_image *structure;	/* a plain structure's, or NULL */
	/* Where plain tables and the plain structure were captured
	 * (base/ctypes.h); 0: here. */
	uint32_t ctypes;
	/* Bits by segment; NULL: none was dropped. */
	uint64_t *dropped_data, *dropped_elements;
	void *state;			/* the runtime's bytes */
	uint64_t state_bytes;
	/* Of what a clone's structure becomes, as of an image: never used
	 * twice. 0: no clone has one. */
	uint64_t serial;
};

#define FL__SNAPSHOT_MAX_INSTANCES 1024u

struct fl_snapshot {
	uint32_t refs;			/* atomic */
	uint32_t count;
	struct fl__kept_digest digest;	/* of a file of this snapshot */
	char encoding[256];
	/* Of a file that was opened: its modules' digests, 32 bytes each. */
	uint8_t *module_digests;
	uint32_t module_count;
	/* Of a file that was opened only to be looked at: count is 0, and this
	 * is what the file holds. */
	struct fl_image **images;
	uint32_t image_count;
	void *state;
	uint64_t state_bytes;
	struct fl__captured instances[];
};

/* A snapshot of count instances, of which nothing is known yet. -E2BIG for too
 * many, -EINVAL when the encoding's name is too long, -ENOMEM. */
int fl__snapshot_alloc(uint32_t count, const char *encoding,
		       struct fl_snapshot **snapshot, struct fl_error *error);

/* Has a table an image, which only a plain one has? */
bool fl__captured_has_plain_table(const struct fl__captured *captured);

/* Say that no clone can be had of a snapshot that was opened only to be looked at;
 * count is 0. -ENOTSUP. */
int fl__snapshot_not_bound(struct fl_error *error);

/* Let go of all that was captured of an instance. */
void fl__captured_fini(struct fl__captured *captured);

#endif
