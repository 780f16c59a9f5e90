/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/* cursor.c - the primitives of the binary format. See cursor.h. */
#include "cursor.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

int fl__cursor_fail(const struct fl__cursor *c, int code, uint64_t off,
		    const char *fmt, ...)
{
	char text[sizeof(((struct fl_error *)0)->text)];
	va_list args;

	if (!c->error)
		return code;
	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	if (c->item)
		return fl__error_set_at(c->error, code, off,
					"%s %" PRIu32 ": %s", c->item,
					c->item_idx, text);
	return fl__error_set_at(c->error, code, off, "%s", text);
}

static int cursor_cut(const struct fl__cursor *c, const char *what,
		      uint64_t off)
{
	return fl__cursor_fail(
		c, -ENOEXEC, off,
		"the %s is cut off: the %s ends at byte %" PRIu64, what,
		c->scope, c->end);
}

int fl__cursor_u8(struct fl__cursor *c, const char *what, uint8_t *value)
{
	if (c->off >= c->end)
		return cursor_cut(c, what, c->off);
	*value = c->bytes[c->off++];
	return 0;
}

/* The byte at `shift` is the last one that an integer of `bits` may have:
 * it must not go on, and its bits that do not fit must be zero or, of a signed
 * integer, copies of the sign. */
static int cursor_check_last(const struct fl__cursor *c, const char *what,
			     unsigned bits, bool is_signed, unsigned shift,
			     uint64_t start_off)
{
	uint8_t byte = c->bytes[c->off - 1];
	unsigned used = bits - shift;
	unsigned spare;

	if (byte & 0x80)
		return fl__cursor_fail(
			c, -ENOEXEC, start_off,
			"the %s takes more than the %u bytes that an integer of %u bits may have",
			what, (bits + 6) / 7, bits);
	if (is_signed) {
		spare = (0x7fu << (used - 1)) & 0x7f;
		if ((byte & spare) == spare)
			return 0;
	} else {
		spare = (0x7fu << used) & 0x7f;
	}
	if (byte & spare)
		return fl__cursor_fail(c, -ENOEXEC, start_off,
				       "the %s does not fit %u bits", what,
				       bits);
	return 0;
}

static int cursor_leb(struct fl__cursor *c, const char *what, unsigned bits,
		      bool is_signed, uint64_t *value)
{
	uint64_t start_off = c->off;
	uint64_t result = 0;
	unsigned shift = 0;
	uint8_t byte;
	int err;

	do {
		if (c->off >= c->end)
			return cursor_cut(c, what, start_off);
		byte = c->bytes[c->off++];
		if (bits - shift < 7) {
			err = cursor_check_last(c, what, bits, is_signed, shift,
						start_off);
			if (err)
				return err;
		}
		result |= (uint64_t)(byte & 0x7f) << shift;
		shift += 7;
	} while (byte & 0x80);
	if (is_signed && (byte & 0x40) && shift < 64)
		result |= UINT64_MAX << shift;
	*value = result;
	return 0;
}

int fl__cursor_u32(struct fl__cursor *c, const char *what, uint32_t *value)
{
	uint64_t wide;
	int err = cursor_leb(c, what, 32, false, &wide);

	if (!err)
		*value = (uint32_t)wide;
	return err;
}

int fl__cursor_u64(struct fl__cursor *c, const char *what, uint64_t *value)
{
	return cursor_leb(c, what, 64, false, value);
}

int fl__cursor_signed(struct fl__cursor *c, const char *what, unsigned bits,
		      int64_t *value)
{
	uint64_t raw;
	int err = cursor_leb(c, what, bits, true, &raw);

	if (!err)
		memcpy(value, &raw, sizeof(raw));
	return err;
}

int fl__cursor_skip(struct fl__cursor *c, const char *what, uint64_t len,
		    struct fl__view *view)
{
	if (len > fl__cursor_left(c))
		return fl__cursor_fail(c, -ENOEXEC, c->off,
				       "the %s should take %" PRIu64
				       " bytes, but the %s has only %" PRIu64
				       " left",
				       what, len, c->scope, fl__cursor_left(c));
	if (view)
		*view = (struct fl__view){ .off = c->off, .len = len };
	c->off += len;
	return 0;
}

int fl__cursor_count(struct fl__cursor *c, const char *what,
		     uint32_t item_bytes, uint32_t max, uint32_t *count)
{
	uint64_t start_off = c->off;
	uint32_t value;
	int err = fl__cursor_u32(c, what, &value);

	if (err)
		return err;
	if (value > fl__cursor_left(c) / item_bytes)
		return fl__cursor_fail(c, -ENOEXEC, start_off,
				       "the %s is %" PRIu32 ", but the %" PRIu64
				       " bytes left in the %s cannot hold them",
				       what, value, fl__cursor_left(c),
				       c->scope);
	if (value > max)
		return fl__cursor_fail(c, -E2BIG, start_off,
				       "the %s is %" PRIu32
				       ": Faultline reads at most %" PRIu32,
				       what, value, max);
	*count = value;
	return 0;
}

/* The length of the well-formed sequence at p, 0 if there is none. The second
 * byte's range excludes overlong forms, surrogates and what is past
 * U+10FFFF. */
static unsigned utf8_sequence(const uint8_t *p, uint64_t left)
{
	uint8_t low = 0x80, high = 0xbf;
	unsigned len;

	if (p[0] < 0x80)
		return 1;
	if (p[0] < 0xc2 || p[0] > 0xf4)
		return 0;
	len = p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
	if (left < len)
		return 0;
	if (p[0] == 0xe0)
		low = 0xa0;
	else if (p[0] == 0xed)
		high = 0x9f;
	else if (p[0] == 0xf0)
		low = 0x90;
	else if (p[0] == 0xf4)
		high = 0x8f;
	if (p[1] < low || p[1] > high)
		return 0;
	for (unsigned i = 2; i < len; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	}
	return len;
}

int fl__cursor_name(struct fl__cursor *c, const char *what,
		    struct fl__view *view)
{
	uint32_t len;
	uint64_t end;
	int err = fl__cursor_u32(c, what, &len);

	if (!err)
		err = fl__cursor_skip(c, what, len, view);
	if (err)
		return err;
	end = view->off + view->len;
	for (uint64_t off = view->off; off < end;) {
		unsigned step = utf8_sequence(c->bytes + off, end - off);

		if (!step)
			return fl__cursor_fail(
				c, -ENOEXEC, off,
				"the %s is not UTF-8: byte 0x%02x is out of place",
				what, c->bytes[off]);
		off += step;
	}
	return 0;
}

int fl__cursor_index(struct fl__cursor *c, const char *what, uint32_t count,
		     const char *of, uint32_t *idx)
{
	uint64_t start_off = c->off;
	int err = fl__cursor_u32(c, what, idx);

	if (err)
		return err;
	if (*idx >= count)
		return fl__cursor_fail(c, -ENOEXEC, start_off,
				       "the %s is %" PRIu32
				       ", but there are %" PRIu32 " %s",
				       what, *idx, count, of);
	return 0;
}
