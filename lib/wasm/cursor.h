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
 * - The first failure is kept in err and fills in the caller's error. It empties
 *   the window, so that every later read gives 0 and says nothing: a reader
 *   looks at err before it uses an index or believes a loop's end, and nowhere
 *   else.
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
#include "contents.h"

struct fl__cursor {
	const uint8_t *bytes; /* of the whole module: offsets count from here */
	uint64_t off;
	uint64_t end;
	int err; /* the first failure, 0 before */
	struct fl_error *error; /* may be NULL */
	/* For messages: what ends at `end`, and which item is being read. */
	const char *scope;
	const char *item; /* NULL: none */
	uint32_t item_idx;
};

/* Over a range that was read before; its failures are told to nobody. */
static inline struct fl__cursor fl__cursor_at(const uint8_t *bytes,
					      struct fl__view view)
{
	return (struct fl__cursor){ .bytes = bytes,
				    .off = view.off,
				    .end = view.off + view.len };
}

/* Fail with code, if nothing has failed before; error->text gets "data segment
 * 7: " and the sentence. */
void fl__cursor_fail(struct fl__cursor *c, int code, uint64_t off,
		     const char *fmt, ...) FL_PRINTF(4, 5);

/* Fail because of things ("shared tables") of a proposal. */
void fl__cursor_fail_proposal(struct fl__cursor *c, uint64_t off,
			      const char *things, const char *proposal);

static inline uint64_t fl__cursor_left(const struct fl__cursor *c)
{
	return c->end - c->off;
}

/* The next byte, which stays; 0 at the end. */
static inline uint8_t fl__cursor_peek(const struct fl__cursor *c)
{
	return c->off < c->end ? c->bytes[c->off] : 0;
}

uint8_t fl__cursor_u8(struct fl__cursor *c, const char *what);
/* Unsigned, of 32 or 64 bits. */
uint64_t fl__cursor_unsigned(struct fl__cursor *c, const char *what,
			     unsigned bits);

/* Most integers are one byte. */
static inline uint64_t fl__cursor_u64(struct fl__cursor *c, const char *what)
{
	if (c->off < c->end && c->bytes[c->off] < 0x80)
		return c->bytes[c->off++];
	return fl__cursor_unsigned(c, what, 64);
}

static inline uint32_t fl__cursor_u32(struct fl__cursor *c, const char *what)
{
	if (c->off < c->end && c->bytes[c->off] < 0x80)
		return c->bytes[c->off++];
	return (uint32_t)fl__cursor_unsigned(c, what, 32);
}

/* Signed, of 32, 33 or 64 bits, extended to 64. */
int64_t fl__cursor_signed(struct fl__cursor *c, const char *what,
			  unsigned bits);

/* A byte of at most max; expected says so in words. */
uint8_t fl__cursor_choice(struct fl__cursor *c, const char *what, uint8_t max,
			  const char *expected);

/* Step over len bytes. */
struct fl__view fl__cursor_skip(struct fl__cursor *c, const char *what,
				uint64_t len);

/* A count of items that take item_bytes or more each: -ENOEXEC when the bytes
 * left cannot hold them, -E2BIG above max. */
uint32_t fl__cursor_count(struct fl__cursor *c, const char *what,
			  uint32_t item_bytes, uint32_t max);

/* A length and as many bytes of UTF-8. */
struct fl__view fl__cursor_name(struct fl__cursor *c, const char *what);

/* An index below count; of is the plural of what is counted. After a failure 0,
 * which may not be below count. */
uint32_t fl__cursor_index(struct fl__cursor *c, const char *what,
			  uint32_t count, const char *of);
/* The same check of an index that was read at off. */
void fl__cursor_check_index(struct fl__cursor *c, uint64_t off,
			    const char *what, uint32_t idx, uint32_t count,
			    const char *of);

#endif
