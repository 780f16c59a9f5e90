/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/* delta_write.c - bounding and writing a delta's bytes; see delta_bytes.h. */
#include "delta_bytes.h"
#include "base/copy.h"

#define LINE FL__DELTA_LINE_BYTES
#define HEAD FL__DELTA_HEAD_BYTES
#define LEB_MAX 10u

/* ----------------------------------------------------------------- bounding */

void fl__delta_bound_begin(struct fl__delta_bound *bound, const char *encoding,
			   uint32_t instance_count)
{
	*bound = (struct fl__delta_bound){
		.table_bytes = 2 * LEB_MAX + strlen(encoding) + instance_count,
	};
}

/* Kind, index, length and end. */
static void bound_part(struct fl__delta_bound *bound)
{
	bound->table_bytes += 2 + 2 * LEB_MAX;
}

/* In a stretch of n lines at most every second line begins a run. A run of fewer
 * than 128 lines takes two bytes, as many as the lines that it and the line before
 * it are; longer runs and gaps take one byte more for each 127 lines. */
void fl__delta_bound_lines(struct fl__delta_bound *bound, uint64_t stretches,
			   uint64_t bytes)
{
	uint64_t lines = fl__delta_lines_of(bytes) + stretches;

	bound_part(bound);
	bound->lines += lines;
	bound->table_bytes += lines + lines / 32 + 2 * LEB_MAX * stretches;
}

void fl__delta_bound_items(struct fl__delta_bound *bound, uint64_t items)
{
	bound_part(bound);
	bound->table_bytes += 3 * LEB_MAX * items;
}

bool fl__delta_bound_bytes(const struct fl__delta_bound *bound, uint64_t *bytes)
{
	return bound->table_bytes <= UINT32_MAX &&
	       !fl_mul_overflow(bound->lines, LINE, bytes) &&
	       !fl_add_overflow(*bytes, HEAD + bound->table_bytes, bytes);
}

/* ------------------------------------------------------------------ writing */

static void put(struct fl__delta_out *out, uint64_t value)
{
	for (; value > 127; value >>= 7)
		out->bytes[out->at++] = (uint8_t)(value | 128);
	out->bytes[out->at++] = (uint8_t)value;
}

void fl__delta_begin(struct fl__delta_out *out,
		     const struct fl__delta_bound *bound, uint8_t *bytes,
		     const char *encoding, uint32_t instance_count)
{
	size_t len = strlen(encoding);

	*out = (struct fl__delta_out){ .bytes = bytes };
	out->tables_off = out->at = HEAD + bound->lines * LINE;
	put(out, len);
	memcpy(bytes + out->at, encoding, len);
	out->at += len;
	put(out, instance_count);
}

void fl__delta_part(struct fl__delta_out *out, enum fl__delta_kind kind,
		    uint32_t idx, uint64_t length)
{
	out->part_at = out->at;
	out->part_lines = out->lines;
	out->kind = kind;
	out->length = length;
	out->last_end = out->run_first = out->run_count = 0;
	out->has_runs = false;
	put(out, kind);
	if (fl__delta_has_index(kind))
		put(out, idx);
	put(out, length);
}

static void run_flush(struct fl__delta_out *out)
{
	if (!out->run_count)
		return;
	put(out, out->run_count);
	put(out, out->run_first - out->last_end);
	out->last_end = out->run_first + out->run_count;
	out->run_count = 0;
	out->has_runs = true;
}

void fl__delta_value(struct fl__delta_out *out, uint64_t value)
{
	put(out, value + 1);
}

static void items_add(struct fl__delta_out *out, uint64_t idx, uint64_t count)
{
	if (out->run_count && idx == out->run_first + out->run_count) {
		out->run_count += count;
		return;
	}
	run_flush(out);
	out->run_first = idx;
	out->run_count = count;
}

void fl__delta_item(struct fl__delta_out *out, uint64_t idx)
{
	items_add(out, idx, 1);
}

static uint8_t *lines_add(struct fl__delta_out *out, uint64_t line,
			  uint64_t count)
{
	uint8_t *to = out->bytes + HEAD + out->lines * LINE;

	out->lines += count;
	fl_assert(HEAD + out->lines * LINE <= out->tables_off);
	items_add(out, line, count);
	return to;
}

static void line_add(struct fl__delta_out *out, uint64_t line,
		     const uint8_t *here, uint64_t len)
{
	uint8_t *to = lines_add(out, line, 1);

	memcpy(to, here, (size_t)len);
	if (len < LINE)
		memset(to + len, 0, (size_t)(LINE - len));
}

/* Take the lines of at most 64 that differ, and put those of there in their
 * place where they are to be brought back. */
static inline bool masked_lines(struct fl__delta_out *out, uint64_t line,
				uint8_t *here, const uint8_t *there,
				size_t count, bool brings_back)
{
	uint64_t mask = fl__copy_differ(here, there, count);
	bool is_any = mask != 0;

	while (mask) {
		unsigned int first = (unsigned int)__builtin_ctzll(mask);
		uint64_t above = ~(mask >> first);
		unsigned int n = above ? (unsigned int)__builtin_ctzll(above) :
					 64;
		uint8_t *at = here + first * LINE;
		uint8_t *to = lines_add(out, line + first, n);

		/* Line by line: most runs are of one. */
		for (unsigned int i = 0; i < n; i++, at += LINE, to += LINE) {
			memcpy(to, at, LINE);
			if (brings_back && there)
				memcpy(at, there + (at - here), LINE);
			else if (brings_back)
				memset(at, 0, LINE);
		}
		mask = first + n < 64 ? mask & UINT64_MAX << (first + n) : 0;
	}
	return is_any;
}

void fl__delta_lines(struct fl__delta_out *out, uint64_t off, const void *here,
		     const void *there, uint64_t len)
{
	static const uint8_t zeroes[LINE];
	/* Nothing is brought back. */
	uint8_t *at = (uint8_t *)(uintptr_t)here;
	const uint8_t *was = there;
	uint64_t line = off / LINE, step;

	fl_assert(off % LINE == 0);
	for (; len >= LINE; len -= step * LINE, line += step) {
		step = fl_min_u64(len / LINE, 64);
		(void)masked_lines(out, line, at, was, (size_t)step, false);
		at += step * LINE;
		was = was ? was + step * LINE : NULL;
	}
	if (len && memcmp(at, was ? was : zeroes, (size_t)len) != 0)
		line_add(out, line, at, len);
}

bool fl__delta_lines_back(struct fl__delta_out *out, uint64_t off, void *here,
			  const void *there, uint64_t len)
{
	uint8_t *at = here;
	const uint8_t *was = there;
	uint64_t line = off / LINE, step;
	bool is_any = false;

	fl_assert(off % LINE == 0 && len % LINE == 0);
	for (; len; len -= step * LINE, line += step) {
		step = fl_min_u64(len / LINE, 64);
		is_any |= masked_lines(out, line, at, was, (size_t)step, true);
		at += step * LINE;
		was = was ? was + step * LINE : NULL;
	}
	return is_any;
}

void fl__delta_all_lines(struct fl__delta_out *out, uint64_t off,
			 const void *here, uint64_t len)
{
	const uint8_t *at = here;

	fl_assert(off % LINE == 0);
	for (uint64_t done = 0; done < len; done += LINE)
		line_add(out, (off + done) / LINE, at + done,
			 fl_min_u64(len - done, LINE));
}

bool fl__delta_part_end(struct fl__delta_out *out, uint64_t was_length)
{
	run_flush(out);
	if (!out->has_runs && out->length == was_length) {
		out->at = out->part_at;
		return false;
	}
	put(out, 0);
	return true;
}

void fl__delta_instance_end(struct fl__delta_out *out)
{
	put(out, FL__DELTA_END);
}

uint64_t fl__delta_end(struct fl__delta_out *out, const uint8_t *digest,
		       const uint8_t *tag)
{
	uint64_t off = HEAD + out->lines * LINE;
	uint64_t table_bytes = out->at - out->tables_off;

	memmove(out->bytes + off, out->bytes + out->tables_off,
		(size_t)table_bytes);
	memcpy(out->bytes, FL__DELTA_MAGIC, FL__DELTA_FORMAT_OFF);
	out->bytes[FL__DELTA_FORMAT_OFF] = FL__DELTA_FORMAT;
	fl__delta_put(out->bytes + FL__DELTA_TABLES_OFF, table_bytes, 4);
	fl__delta_put(out->bytes + FL__DELTA_LINES_OFF, out->lines, 8);
	memcpy(out->bytes + FL__DELTA_DIGEST_OFF, digest, FL__SHA256_BYTES);
	memcpy(out->bytes + FL__DELTA_TAG_OFF, tag, FL__DELTA_TAG_BYTES);
	fl__delta_put(out->bytes + FL__DELTA_SUM_OFF,
		      fl__delta_sum(out->bytes, off + table_bytes), 8);
	return off + table_bytes;
}
