/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/* delta_bytes.c - reading a delta's bytes, which were checked; see delta_bytes.h. */
#include "delta_bytes.h"

#define LINE FL__DELTA_LINE_BYTES
#define HEAD FL__DELTA_HEAD_BYTES

uint64_t fl__delta_line_count(const uint8_t *bytes)
{
	return fl__delta_get(bytes + FL__DELTA_LINES_OFF, 8);
}

const uint8_t *fl__delta_digest(const uint8_t *bytes)
{
	return bytes + FL__DELTA_DIGEST_OFF;
}

const uint8_t *fl__delta_tag(const uint8_t *bytes)
{
	return bytes + FL__DELTA_TAG_OFF;
}

/* Of bytes that were checked. */
static uint64_t get(const uint8_t **at)
{
	uint64_t value = *(*at)++, byte = value;

	if (value < 128)
		return value;
	value &= 127;
	for (unsigned int shift = 7; byte & 128; shift += 7) {
		byte = *(*at)++;
		value |= (byte & 127) << shift;
	}
	return value;
}

void fl__delta_walk(struct fl__delta_walk *walk, const uint8_t *bytes)
{
	const uint8_t *lines = bytes + HEAD;
	const uint8_t *at = lines + fl__delta_line_count(bytes) * LINE;
	uint64_t len = get(&at);

	at += len;
	walk->instance_count = (uint32_t)get(&at);
	walk->part = (struct fl__delta_part){ .at = at, .line = lines };
}

bool fl__delta_next_run(struct fl__delta_part *part, struct fl__delta_run *run)
{
	run->count = get(&part->at);
	if (!run->count)
		return false;
	run->first = part->end + get(&part->at);
	run->lines = part->line;
	part->end = run->first + run->count;
	if (fl__delta_has_lines(part->kind))
		part->line += run->count * LINE;
	return true;
}

/* Behind the part's runs, and what follows these. */
static void part_skip(struct fl__delta_part *part)
{
	struct fl__delta_run run;
	uint64_t items = 0;

	while (fl__delta_next_run(part, &run))
		items += run.count;
	while (part->kind == FL__DELTA_VALUES && items--)
		(void)get(&part->at);
}

bool fl__delta_walk_next(struct fl__delta_walk *walk)
{
	struct fl__delta_part *part = &walk->part;

	if (part->kind != FL__DELTA_END)
		part_skip(part);
	while (part->instance_idx < walk->instance_count) {
		part->kind = (enum fl__delta_kind)get(&part->at);
		if (part->kind != FL__DELTA_END) {
			part->idx = fl__delta_has_index(part->kind) ?
					    (uint32_t)get(&part->at) :
					    0;
			part->length = get(&part->at);
			part->end = 0;
			return true;
		}
		part->instance_idx++;
	}
	return false;
}

const uint8_t *fl__delta_values(const struct fl__delta_part *part)
{
	struct fl__delta_part skipped = *part;
	struct fl__delta_run run;

	while (fl__delta_next_run(&skipped, &run))
		continue;
	return skipped.at;
}

uint64_t fl__delta_next_value(const uint8_t **at)
{
	return get(at) - 1;
}

bool fl__delta_find(const uint8_t *bytes, uint32_t instance_idx,
		    enum fl__delta_kind kind, uint32_t idx,
		    struct fl__delta_part *part)
{
	struct fl__delta_walk walk;

	fl__delta_walk(&walk, bytes);
	while (fl__delta_walk_next(&walk)) {
		*part = walk.part;
		if (part->instance_idx > instance_idx)
			return false;
		if (part->instance_idx == instance_idx && part->kind == kind &&
		    part->idx == idx)
			return true;
	}
	return false;
}
