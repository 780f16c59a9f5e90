/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * delta_bytes.h - a delta as bytes: what differs from a snapshot.
 *
 * Takes what is known of live memories and states, a stretch at a time, and gives
 * bytes that hold in any process: no address, no host page size. Takes such
 * bytes, which are hostile, with the snapshot that they belong to; gives them as
 * parts, or an error that names the byte. Pure.
 *
 * What is checked could have been written here: lengths are those that the
 * module lets a memory or table of the snapshot grow to, runs go upwards and are
 * apart, and bytes beyond a length are zero. What the lines, the values and the
 * runtime's bytes say may be anything. The checksum notices damage; it is no
 * authentication, and whoever stores deltas where others write signs them.
 *
 *	off	bytes
 *	0	3	"FLD"
 *	3	1	version, 1
 *	4	4	bytes of the tables
 *	8	8	checksum of all other bytes (base/checksum.h: of the bytes
 *			from 16 on, seeded with the first eight)
 *	16	8	number of lines
 *	24	32	digest of the snapshot, as fl_snapshot_digest() gives it
 *	56	32	tag, the caller's
 *	88		lines, 64 bytes each
 *			tables
 *
 * The head's integers are little-endian. All others are LEB128, unsigned, in the
 * encodings that the WebAssembly binary format allows.
 *
 *	tables		encoding of the runtime's bytes: a length and the bytes;
 *			number of instances; for each its parts, and a 0
 *	part		kind; index, but of kinds 4 to 7; length; runs, and a 0.
 *			Parts are in order of kind and index. What has no part is
 *			as in the snapshot.
 *	run		how many items, at least one; how many items before it are
 *			as in the snapshot, since the run before, at least one but
 *			before the first run
 *	values		of a part of kind 3, behind the 0: for each item 0 for null,
 *			or the value + 1
 *
 *	kind	of			length in	items
 *	1	a memory		bytes		lines
 *	2	a plain table		bytes		lines
 *	3	an encoded table	elements	elements; their values follow
 *	4	a plain structure	bytes		lines
 *	5	dropped data segments	segments	none: they were dropped since
 *	6	the same of elements	segments	none
 *	7	the runtime's bytes	bytes		lines
 *
 * A line is 64 bytes at a multiple of 64. It holds what is there now; bytes
 * beyond the length are zero. In the snapshot, zeroes follow what it has. Of the
 * runtime's bytes every line beyond the snapshot's is there, so that a length is
 * no reason to take memory.
 * The lines of all parts follow one another, in order.
 *
 * Lines, because guests write little of a page. What a clone of the JavaScript
 * guest (tests/consumers/guests) differs by from its image after so many requests,
 * in bytes of changed lines and two for each run, mean of 40 clones (make
 * bench-quickjs BENCH_FLAGS=--lines):
 *
 *	request, how many	32	64	128	256	4096
 *	greeting	1	1532	2454	3714	6145	64941
 *	greeting	50	1569	2461	3726	6125	64634
 *	mustache	1	6606	8558	11713	16886	86042
 *	mustache	50	6777	8647	11520	16048	73748
 *	markdown	1	18464	22928	29656	40384	241414
 *	markdown	50	165565	179206	194442	215233	353949
 *	mixed		10	32488	37607	44196	55125	251449
 *
 * Against 64, pages take 2 to 26 times as much, 256 bytes 1.2 to 2.5 times, 128
 * bytes 1.1 to 1.5 times. Lines of 32 save 8 to 38 %, with more runs; 64 is what
 * caches move, and one word says which lines of 4 KiB differ. Runs,
 * because a bitmap for each page would take eight bytes where one line changed,
 * and would depend on the size of a page.
 *
 * A delta is against the snapshot and never against another delta: in a chain all
 * links have to be kept and read, and none can be dropped. Nor would a chain save
 * the scan: kernel-notes/pagemap-scan.md has what one between requests costs.
 */
#ifndef FL_DELTA_BYTES_H
#define FL_DELTA_BYTES_H

#include "delta_head.h"
#include "snapshot.h"

enum fl__delta_kind {
	FL__DELTA_END = 0,
	FL__DELTA_MEMORY = 1,
	FL__DELTA_TABLE = 2,
	FL__DELTA_VALUES = 3,
	FL__DELTA_STRUCTURE = 4,
	FL__DELTA_DROPPED_DATA = 5,
	FL__DELTA_DROPPED_ELEMENTS = 6,
	FL__DELTA_STATE = 7,
};

/* -------------------------------------------------------------------- writing */

/* What is to be written takes this much at most. Sums of what tenants have stay
 * far from overflow. */
struct fl__delta_bound {
	uint64_t lines, table_bytes;
};

/* A delta of so many instances. */
void fl__delta_bound_begin(struct fl__delta_bound *bound, const char *encoding,
			   uint32_t instance_count);
/* A part with lines in so many bytes of its length, which lie in so many
 * stretches; or with so many items of kind 3, 5 or 6. */
void fl__delta_bound_lines(struct fl__delta_bound *bound, uint64_t stretches,
			   uint64_t bytes);
void fl__delta_bound_items(struct fl__delta_bound *bound, uint64_t items);
/* False: the sum fits no 64 bits, or the tables no 32. */
bool fl__delta_bound_bytes(const struct fl__delta_bound *bound,
			   uint64_t *bytes);

/* All fields are delta_write.c's. */
struct fl__delta_out {
	uint8_t *bytes;
	uint64_t lines, tables_off, at;
	/* Of the part: where it began, what it had then, its runs. */
	uint64_t part_at, part_lines, length, run_first, run_count, last_end;
	enum fl__delta_kind kind;
	bool has_runs;
};

/* Write to bytes, which have the room that fl__delta_bound_bytes() says. */
void fl__delta_begin(struct fl__delta_out *out,
		     const struct fl__delta_bound *bound, uint8_t *bytes,
		     const char *encoding, uint32_t instance_count);

void fl__delta_part(struct fl__delta_out *out, enum fl__delta_kind kind,
		    uint32_t idx, uint64_t length);
/* Take the lines of [off, off + len) that differ. off is a multiple of 64, and
 * len too but at the part's length. there: the snapshot's bytes, NULL for
 * zeroes. */
void fl__delta_lines(struct fl__delta_out *out, uint64_t off, const void *here,
		     const void *there, uint64_t len);
/* The same of whole lines, each of which gets the snapshot's bytes as it is
 * taken. True: some line differed. */
bool fl__delta_lines_back(struct fl__delta_out *out, uint64_t off, void *here,
			  const void *there, uint64_t len);
/* Take all lines of [off, off + len), in the same way. */
void fl__delta_all_lines(struct fl__delta_out *out, uint64_t off,
			 const void *here, uint64_t len);
/* Item idx, which is beyond the ones before. */
void fl__delta_item(struct fl__delta_out *out, uint64_t idx);
/* was_length: the snapshot's. False: the part is as in the snapshot, and left
 * out. */
bool fl__delta_part_end(struct fl__delta_out *out, uint64_t was_length);
/* After a part of kind 3 that was not left out, once for each item; UINT64_MAX
 * stands for null. */
void fl__delta_value(struct fl__delta_out *out, uint64_t value);
void fl__delta_instance_end(struct fl__delta_out *out);

/* Close the gap behind the lines, and write the head. The length in bytes. */
uint64_t fl__delta_end(struct fl__delta_out *out, const uint8_t *digest,
		       const uint8_t *tag);

/* ------------------------------------------------------------------- checking */

/*
 * Check bytes of anywhere. With the snapshot they must belong to it; a snapshot
 * that was opened only to be looked at has no sizes to compare. tag (may be
 * NULL) must be equal. -ENOEXEC with the byte, -ENOTSUP (another version or
 * encoding), -EINVAL (another snapshot or tag), -E2BIG.
 */
int fl__delta_check(const uint8_t *bytes, uint64_t length_bytes,
		    const struct fl_snapshot *snapshot, const uint8_t *digest,
		    const uint8_t *tag, struct fl_error *error);

/* -------------------------------------------------------------------- reading */

uint64_t fl__delta_line_count(const uint8_t *bytes);
/* Fields of the head. */
const uint8_t *fl__delta_digest(const uint8_t *bytes);
const uint8_t *fl__delta_tag(const uint8_t *bytes);

/* A part of bytes that were checked. fl__delta_next_run() moves through it. */
struct fl__delta_part {
	enum fl__delta_kind kind;
	uint32_t instance_idx, idx;
	uint64_t length;
	const uint8_t *at;		/* the next run */
	const uint8_t *line;		/* the next run's lines */
	uint64_t end;			/* of the last run, in items */
};

struct fl__delta_run {
	uint64_t first, count;		/* items */
	const uint8_t *lines;		/* of kinds with lines */
};

/* To walk: begin, then next until it says false, in order. */
struct fl__delta_walk {
	struct fl__delta_part part;
	uint32_t instance_count;
};

void fl__delta_walk(struct fl__delta_walk *walk, const uint8_t *bytes);
/* The next part is walk->part. To move through its runs, copy it. */
bool fl__delta_walk_next(struct fl__delta_walk *walk);

bool fl__delta_next_run(struct fl__delta_part *part,
			struct fl__delta_run *run);
/* Of a part of kind 3 of which no run was asked for: its values, to be read one
 * by one. UINT64_MAX stands for null. */
const uint8_t *fl__delta_values(const struct fl__delta_part *part);
uint64_t fl__delta_next_value(const uint8_t **at);

/* The part that is asked for; false: all is as in the snapshot. */
bool fl__delta_find(const uint8_t *bytes, uint32_t instance_idx,
		    enum fl__delta_kind kind, uint32_t idx,
		    struct fl__delta_part *part);

static inline bool fl__delta_has_lines(enum fl__delta_kind kind)
{
	return kind != FL__DELTA_VALUES && kind != FL__DELTA_DROPPED_DATA &&
	       kind != FL__DELTA_DROPPED_ELEMENTS;
}

static inline bool fl__delta_has_index(enum fl__delta_kind kind)
{
	return kind <= FL__DELTA_VALUES;
}

#endif
