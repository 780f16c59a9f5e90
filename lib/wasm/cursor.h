/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * cursor.h - reading hostile bytes, one primitive at a time.
 *
 * Takes a module's bytes and a window [off, end) of them; gives integers in
 * LEB128, names, counts and views, or an error that says what was being read,
 * what was expected, and at which byte.
 *
 * Invariants
 * - No byte outside [off, end) is read; off never passes end.
 * - A failed read leaves off where it was or further on; the caller gives up.
 * - An integer is taken only in the encodings the specification allows: at
 *   most ceil(N / 7) bytes, and no bit set that does not fit N bits.
 * - A count is never larger than the items that the bytes left can hold, so
 *   it is safe to allocate by.
 *
 * A cursor is the caller's, on one thread. `what` in the calls names the
 * thing that is read, without article: "count of memories".
 */
#ifndef FL_CURSOR_H
#define FL_CURSOR_H

#include "base/error.h"
#include "reader.h"

struct fl__cursor {
	const uint8_t *bytes; /* of the whole module: offsets count from here */
	uint64_t off;
	uint64_t end;
	struct fl_error *error; /* may be NULL */
	/* For messages: what ends at `end`, and which item is being read. */
	const char *scope;
	const char *item; /* NULL: none */
	uint32_t item_idx;
};

/* error->text gets "data segment 7: " and the sentence; returns code. */
int fl__cursor_fail(const struct fl__cursor *c, int code, uint64_t off,
		    const char *fmt, ...) FL_PRINTF(4, 5);

static inline uint64_t fl__cursor_left(const struct fl__cursor *c)
{
	return c->end - c->off;
}

int fl__cursor_u8(struct fl__cursor *c, const char *what, uint8_t *value);
int fl__cursor_u32(struct fl__cursor *c, const char *what, uint32_t *value);
int fl__cursor_u64(struct fl__cursor *c, const char *what, uint64_t *value);

/* Signed, of 32, 33 or 64 bits; *value is extended to 64. */
int fl__cursor_signed(struct fl__cursor *c, const char *what, unsigned bits,
		      int64_t *value);

/* Step over len bytes; view may be NULL. */
int fl__cursor_skip(struct fl__cursor *c, const char *what, uint64_t len,
		    struct fl__view *view);

/* A count of items that take item_bytes or more each: -ENOEXEC when the bytes
 * left cannot hold them, -E2BIG above max. */
int fl__cursor_count(struct fl__cursor *c, const char *what,
		     uint32_t item_bytes, uint32_t max, uint32_t *count);

/* A length and as many bytes of UTF-8. */
int fl__cursor_name(struct fl__cursor *c, const char *what,
		    struct fl__view *view);

/* An index below count; of is the plural of what is counted. */
int fl__cursor_index(struct fl__cursor *c, const char *what, uint32_t count,
		     const char *of, uint32_t *idx);

#endif
