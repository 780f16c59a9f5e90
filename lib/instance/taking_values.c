/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/* taking_values.c - values and segments that differ; see taking_values.h. */
#include "taking_values.h"
#include "base/bits.h"

/* The values of a captured table, asked for upwards. */
struct values {
	const struct fl__captured_table *table;
	uint64_t run, taken; /* values before the run */
};

static uint64_t value_at(struct values *values, uint64_t idx)
{
	const struct fl__captured_table *table = values->table;

	while (values->run < table->run_count) {
		const struct fl__captured_run *run = &table->runs[values->run];

		if (idx < run->first_idx)
			break;
		if (idx - run->first_idx < run->count)
			return table->values[values->taken +
					     (idx - run->first_idx)];
		values->taken += run->count;
		values->run++;
	}
	return UINT64_MAX;
}

/* The next element from idx on that has another value; the length: none. */
static uint64_t next_changed(struct values *now, struct values *was,
			     uint64_t idx, uint64_t *value)
{
	for (; idx < now->table->length; idx++) {
		*value = value_at(now, idx);
		if (*value != value_at(was, idx))
			break;
	}
	return idx;
}

void fl__taking_each_value(const struct fl__captured_table *now,
			   const struct fl__captured_table *was,
			   void (*fn)(void *user, uint64_t idx), void *user)
{
	struct values n = { now, 0, 0 }, w = { was, 0, 0 };
	uint64_t idx = 0, value = 0;

	while ((idx = next_changed(&n, &w, idx, &value)) < now->length)
		fn(user, idx++);
}

static void count_one(void *user, uint64_t idx)
{
	(void)idx;
	++*(uint64_t *)user;
}

uint64_t fl__taking_count_values(const struct fl__captured_table *now,
				 const struct fl__captured_table *was)
{
	uint64_t count = 0;

	fl__taking_each_value(now, was, count_one, &count);
	return count;
}

void fl__taking_values(struct fl__delta_out *out, uint32_t table_idx,
		       const struct fl__captured_table *now,
		       const struct fl__captured_table *was)
{
	struct values n = { now, 0, 0 }, w = { was, 0, 0 };
	uint64_t idx = 0, value = 0;

	fl__delta_part(out, FL__DELTA_VALUES, table_idx, now->length);
	while ((idx = next_changed(&n, &w, idx, &value)) < now->length)
		fl__delta_item(out, idx++);
	if (!fl__delta_part_end(out, was->length))
		return;
	n = (struct values){ now, 0, 0 };
	w = (struct values){ was, 0, 0 };
	for (idx = 0; (idx = next_changed(&n, &w, idx, &value)) < now->length;
	     idx++)
		fl__delta_value(out, value);
}

void fl__taking_dropped(struct fl__delta_out *out, enum fl__delta_kind kind,
			const uint64_t *now, const uint64_t *was,
			uint32_t count)
{
	fl__delta_part(out, kind, 0, count);
	for (uint32_t i = 0; now && i < count; i++) {
		if (fl_bit_get(now, i) && !(was && fl_bit_get(was, i)))
			fl__delta_item(out, i);
	}
	(void)fl__delta_part_end(out, count);
}
