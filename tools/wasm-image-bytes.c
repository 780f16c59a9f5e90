/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/* wasm-image-bytes.c - see wasm-image-bytes.h. */
#include "wasm-image-bytes.h"

#include <string.h>

/* ----------------------------------------------------------------- reading */

uint8_t get_byte(struct in *in)
{
	if (in->off == in->end) {
		in->has_failed = true;
		return 0;
	}
	return in->bytes[in->off++];
}

uint64_t get_uleb(struct in *in)
{
	uint64_t value = 0;

	for (unsigned int shift = 0; shift < 64; shift += 7) {
		uint8_t byte = get_byte(in);

		value |= (uint64_t)(byte & 0x7f) << shift;
		if (byte < 0x80)
			return value;
	}
	in->has_failed = true;
	return 0;
}

uint32_t get_u32(struct in *in)
{
	uint64_t value = get_uleb(in);

	in->has_failed |= value > UINT32_MAX;
	return (uint32_t)value;
}

void skip(struct in *in, uint64_t len)
{
	if (len > in->end - in->off) {
		in->has_failed = true;
		len = in->end - in->off;
	}
	in->off += (size_t)len;
}

bool mention(const struct mentions *mentions, uint64_t function_idx)
{
	if (function_idx >= mentions->function_count)
		return false;
	mentions->is_mentioned[function_idx] = 1;
	return true;
}

static void skip_vector_instruction(struct in *in)
{
	/* v128.const */
	if (get_uleb(in) == 0x0c)
		skip(in, 16);
	else
		in->has_failed = true;
}

/* Go past the immediates of an instruction. */
static void skip_immediates(struct in *in, uint8_t opcode,
			    const struct mentions *mentions)
{
	switch (opcode) {
	case 0x23: /* global.get */
	case 0x41: /* i32.const */
	case 0x42: /* i64.const */
	case 0xd0: /* ref.null */
		get_uleb(in);
		break;
	case 0x43: /* f32.const */
		skip(in, 4);
		break;
	case 0x44: /* f64.const */
		skip(in, 8);
		break;
	case 0x6a: /* i32.add, sub, mul */
	case 0x6b:
	case 0x6c:
	case 0x7c: /* the same of i64 */
	case 0x7d:
	case 0x7e:
		break;
	case 0xd2: { /* ref.func */
		uint32_t function_idx = get_u32(in);

		if (mentions && !mention(mentions, function_idx))
			in->has_failed = true;
		break;
	}
	case 0xfd:
		skip_vector_instruction(in);
		break;
	default:
		in->has_failed = true;
	}
}

void skip_expression(struct in *in, const struct mentions *mentions)
{
	while (!in->has_failed) {
		uint8_t opcode = get_byte(in);

		if (opcode == 0x0b)
			return;
		skip_immediates(in, opcode, mentions);
	}
}

uint8_t get_reftype(struct in *in)
{
	uint8_t type = get_byte(in);

	/* These are followed by what they refer to. */
	if (type == 0x63 || type == 0x64)
		get_uleb(in);
	return type;
}

bool get_limits(struct in *in, struct limits *limits)
{
	limits->flags = get_byte(in);
	limits->min = get_uleb(in);
	limits->max = UINT64_MAX;
	limits->rest = in->off;
	if (limits->flags & HAS_MAX)
		limits->max = get_uleb(in);
	if (limits->flags & HAS_PAGE_BYTES)
		get_uleb(in);
	limits->end = in->off;
	return !in->has_failed && !(limits->flags & ~KNOWN_LIMITS);
}

bool next_section(struct in *in, struct section *section)
{
	uint32_t len;

	if (in->has_failed || in->off == in->end)
		return false;
	section->start = in->off;
	section->id = get_byte(in);
	len = get_u32(in);
	section->body = in->off;
	skip(in, len);
	section->end = in->off;
	return !in->has_failed;
}

/* ----------------------------------------------------------------- writing */

void put_bytes(struct sink *sink, const void *bytes, uint64_t len)
{
	if (sink->out && len)
		memcpy(sink->out + sink->len, bytes, (size_t)len);
	sink->len += len;
}

void put_byte(struct sink *sink, uint8_t byte)
{
	put_bytes(sink, &byte, 1);
}

void put_uleb(struct sink *sink, uint64_t value)
{
	for (; value >= 0x80; value >>= 7)
		put_byte(sink, (uint8_t)(value | 0x80));
	put_byte(sink, (uint8_t)value);
}

void put_sleb(struct sink *sink, int64_t value)
{
	for (; value < -64 || value > 63; value >>= 7)
		put_byte(sink, (uint8_t)((uint64_t)value | 0x80));
	put_byte(sink, (uint8_t)((uint64_t)value & 0x7f));
}

void put_address(struct sink *sink, bool is_64, uint64_t value)
{
	put_byte(sink, is_64 ? 0x42 : 0x41);
	put_sleb(sink, is_64 ? (int64_t)value : (int64_t)(int32_t)value);
	put_byte(sink, 0x0b);
}
