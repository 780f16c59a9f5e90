/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * sink.h - where the bytes of a module that is written go.
 *
 * Takes bytes and numbers in the encodings of the binary format; counts them, and
 * writes them where there is room. A first walk counts, a second writes by the same
 * calls, so what is written is what was counted. Pure.
 */
#ifndef FL_SINK_H
#define FL_SINK_H

#include <stdint.h>
#include <string.h>

/* Writes when out is not NULL, counts always. */
struct fl__sink {
	uint8_t *out;
	uint64_t len;
};

static inline void fl__sink_bytes(struct fl__sink *sink, const void *bytes,
				  uint64_t len)
{
	if (sink->out)
		memcpy(sink->out + sink->len, bytes, (size_t)len);
	sink->len += len;
}

static inline void fl__sink_byte(struct fl__sink *sink, uint8_t byte)
{
	fl__sink_bytes(sink, &byte, 1);
}

static inline void fl__sink_uleb(struct fl__sink *sink, uint64_t value)
{
	for (; value >= 0x80; value >>= 7)
		fl__sink_byte(sink, (uint8_t)(value | 0x80));
	fl__sink_byte(sink, (uint8_t)value);
}

static inline void fl__sink_sleb(struct fl__sink *sink, int64_t value)
{
	for (; value < -64 || value > 63; value >>= 7)
		fl__sink_byte(sink, (uint8_t)((uint64_t)value | 0x80));
	fl__sink_byte(sink, (uint8_t)((uint64_t)value & 0x7f));
}

#endif
