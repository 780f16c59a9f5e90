/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/* cursor.c - the primitives of the binary format. See cursor.h. */
#include "cursor.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

void fl__cursor_fail(struct fl__cursor *c, int code, uint64_t off,
		     const char *fmt, ...)
{
	char text[sizeof(((struct fl_error *)0)->text)];
	va_list args;

	if (c->err)
		return;
	c->err = code;
	c->end = c->off;
	if (!c->error)
		return;
	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	if (c->item)
		fl__error_set_at(c->error, code, off, "%s %" PRIu32 ": %s",
				 c->item, c->item_idx, text);
	else
		fl__error_set_at(c->error, code, off, "%s", text);
}

void fl__cursor_fail_proposal(struct fl__cursor *c, uint64_t off,
			      const char *things, const char *proposal)
{
	fl__cursor_fail(
		c, -ENOTSUP, off,
		"%s are of the %s proposal, which Faultline does not support",
		things, proposal);
}

static void cursor_cut(struct fl__cursor *c, const char *what, uint64_t off)
{
	fl__cursor_fail(c, -ENOEXEC, off,
			"the %s is cut off: the %s ends at byte %" PRIu64, what,
			c->scope, c->end);
}

uint8_t fl__cursor_u8(struct fl__cursor *c, const char *what)
{
	if (c->off < c->end)
		return c->bytes[c->off++];
	cursor_cut(c, what, c->off);
	return 0;
}

/* The byte at `shift` is the last one that an integer of `bits` may have:
 * it must not go on, and its bits that do not fit must be zero or, of a signed
 * integer, copies of the sign. */
static void cursor_check_last(struct fl__cursor *c, const char *what,
			      unsigned bits, bool is_signed, unsigned shift,
			      uint64_t start_off)
{
	uint8_t byte = c->bytes[c->off - 1];
	unsigned used = bits - shift - is_signed;
	unsigned spare = (0x7fu << used) & 0x7f;

	if (byte & 0x80)
		fl__cursor_fail(
			c, -ENOEXEC, start_off,
			"the %s takes more than the %u bytes that an integer of %u bits may have",
			what, (bits + 6) / 7, bits);
	else if ((byte & spare) && (!is_signed || (byte & spare) != spare))
		fl__cursor_fail(c, -ENOEXEC, start_off,
				"the %s does not fit %u bits", what, bits);
}

static uint64_t cursor_leb(struct fl__cursor *c, const char *what,
			   unsigned bits, bool is_signed)
{
	uint64_t start_off = c->off;
	uint64_t result = 0;
	unsigned shift = 0;
	uint8_t byte;

	do {
		if (c->off >= c->end) {
			cursor_cut(c, what, start_off);
			return 0;
		}
		byte = c->bytes[c->off++];
		if (bits - shift < 7)
			cursor_check_last(c, what, bits, is_signed, shift,
					  start_off);
		result |= (uint64_t)(byte & 0x7f) << shift;
		shift += 7;
	} while (byte & 0x80);
	if (is_signed && (byte & 0x40) && shift < 64)
		result |= UINT64_MAX << shift;
	return c->err ? 0 : result;
}

uint64_t fl__cursor_unsigned(struct fl__cursor *c, const char *what,
			     unsigned bits)
{
	return cursor_leb(c, what, bits, false);
}

int64_t fl__cursor_signed(struct fl__cursor *c, const char *what, unsigned bits)
{
	return (int64_t)cursor_leb(c, what, bits, true);
}

uint8_t fl__cursor_choice(struct fl__cursor *c, const char *what, uint8_t max,
			  const char *expected)
{
	uint64_t start_off = c->off;
	uint8_t byte = fl__cursor_u8(c, what);

	if (byte <= max)
		return byte;
	fl__cursor_fail(c, -ENOEXEC, start_off, "the %s is 0x%02x, expected %s",
			what, byte, expected);
	return 0;
}

struct fl__view fl__cursor_skip(struct fl__cursor *c, const char *what,
				uint64_t len)
{
	struct fl__view view = { .off = c->off, .len = len };

	if (len > fl__cursor_left(c)) {
		fl__cursor_fail(c, -ENOEXEC, c->off,
				"the %s should take %" PRIu64
				" bytes, but the %s has only %" PRIu64 " left",
				what, len, c->scope, fl__cursor_left(c));
		view.len = 0;
	}
	c->off += view.len;
	return view;
}

uint32_t fl__cursor_count(struct fl__cursor *c, const char *what,
			  uint32_t item_bytes, uint32_t max)
{
	uint64_t start_off = c->off;
	uint32_t count = fl__cursor_u32(c, what);

	if (count > fl__cursor_left(c) / item_bytes)
		fl__cursor_fail(c, -ENOEXEC, start_off,
				"the %s is %" PRIu32 ", but the %" PRIu64
				" bytes left in the %s cannot hold them",
				what, count, fl__cursor_left(c), c->scope);
	else if (count > max)
		fl__cursor_fail(c, -E2BIG, start_off,
				"the %s is %" PRIu32
				": Faultline reads at most %" PRIu32,
				what, count, max);
	return c->err ? 0 : count;
}

struct fl__view fl__cursor_name(struct fl__cursor *c, const char *what)
{
	struct fl__view view =
		fl__cursor_skip(c, what, fl__cursor_u32(c, what));
	uint64_t end = view.off + view.len;
	unsigned step;

	for (uint64_t off = view.off; off < end; off += step) {
		step = fl_utf8_sequence(c->bytes + off, end - off);
		if (step)
			continue;
		fl__cursor_fail(
			c, -ENOEXEC, off,
			"the %s is not UTF-8: byte 0x%02x is out of place",
			what, c->bytes[off]);
		break;
	}
	return view;
}

void fl__cursor_check_index(struct fl__cursor *c, uint64_t off,
			    const char *what, uint32_t idx, uint32_t count,
			    const char *of)
{
	if (idx >= count && count == 1)
		fl__cursor_fail(c, -ENOEXEC, off,
				"the %s is %" PRIu32 ", but of %s there is 1",
				what, idx, of);
	else if (idx >= count)
		fl__cursor_fail(c, -ENOEXEC, off,
				"the %s is %" PRIu32 ", but there are %" PRIu32
				" %s",
				what, idx, count, of);
}

uint32_t fl__cursor_index(struct fl__cursor *c, const char *what,
			  uint32_t count, const char *of)
{
	uint64_t start_off = c->off;
	uint32_t idx = fl__cursor_u32(c, what);

	fl__cursor_check_index(c, start_off, what, idx, count, of);
	return c->err ? 0 : idx;
}
