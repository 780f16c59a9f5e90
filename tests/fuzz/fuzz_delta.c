/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * fuzz_delta.c - any bytes as a delta.
 *
 * Built with -fsanitize=fuzzer and -DFL_LIBFUZZER this is a libFuzzer target;
 * without, a program that replays every file of the directory it is given and
 * counts them as one case. The bytes lie in an allocation of exactly their size. The
 * head's sizes and checksum are mended, so that the checks behind them are met. What
 * is taken is walked through, and must keep what delta_bytes.h promises.
 *
 * The snapshot is of one instance of module 0 of state_bytes.h, which no pool and no
 * kernel made.
 */
#include "tests/fuzz/replay.h"
#include "tests/fuzz/delta_snapshot.h"
#include "tests/kit/delta_bytes.h"
#include "instance/wake.h"

#define LINE FL__DELTA_LINE_BYTES

static void require(bool is_right, const char *what)
{
	if (!is_right) {
		printf("%s\n", what);
		abort();
	}
}

static void read_values(const struct fl_snapshot *snapshot,
			const struct fl__delta_part *part)
{
	uint64_t *values = calloc((size_t)part->length, sizeof(*values));

	require(values && part->length <= 100, "a table out of its limits");
	fl__wake_values(&snapshot->instances[0].tables[part->idx], part,
			values);
	free(values);
}

static void read_part(const struct fl_snapshot *snapshot,
		      const struct fl__delta_part *part, const uint8_t *end)
{
	struct fl__delta_part runs = *part;
	struct fl__delta_run run;
	uint64_t at = 0, bytes;

	while (fl__delta_next_run(&runs, &run)) {
		require(run.count && run.first >= at, "runs are not in order");
		at = run.first + run.count;
		bytes = fl__delta_has_lines(part->kind) ? at * LINE : at;
		require(bytes < part->length + LINE, "a run out of place");
		require(!fl__delta_has_lines(part->kind) ||
				run.lines + run.count * LINE <= end,
			"lines beyond the end");
	}
	if (part->kind == FL__DELTA_VALUES)
		read_values(snapshot, part);
}

static int on_difference(void *user, const struct fl_difference *d)
{
	uint64_t most = d->length > d->was_length ? d->length : d->was_length;

	(void)user;
	require(d->first <= most && d->count <= most - d->first,
		"a difference beyond its part");
	require(d->is_touched || !d->count, "a difference that is not there");
	return 0;
}

static void read_state(struct fl_snapshot *snapshot, const uint8_t *bytes,
		       size_t length)
{
	struct fl_delta delta = { .snapshot = snapshot, .bytes = bytes };
	uint64_t len;
	uint8_t *state;

	fl__delta_read_state(&delta, 0, NULL, &len);
	require(len <= STATE_LENGTH + length, "a state of nothing");
	state = malloc((size_t)len + 1);
	require(state != NULL, "no memory");
	fl__delta_read_state(&delta, 0, state, &len);
	free(state);
	require(!fl_delta_differences(&delta, on_difference, NULL),
		"a list without an end");
}

int LLVMFuzzerTestOneInput(const uint8_t *given, size_t length)
{
	static struct state_world world;
	static struct fl_snapshot *snapshot;
	struct fl_error error = { .text = "" };
	uint8_t *bytes = malloc(length + !length);
	struct fl__delta_walk walk;
	const uint8_t digest[32] = { 0 };

	require(bytes != NULL, "no memory");
	if (length)
		memcpy(bytes, given, length);
	if (!snapshot)
		snapshot = snapshot_make(&world);
	delta_bytes_mend(bytes, length);
	if (fl__delta_check(bytes, length, snapshot,
			    length >= DELTA_HEAD ? bytes + 24 : digest, NULL,
			    &error)) {
		require(error.text[0] != '\0', "an error without words");
		free(bytes);
		return 0;
	}
	fl__delta_walk(&walk, bytes);
	require(walk.instance_count == 1, "another number of instances");
	while (fl__delta_walk_next(&walk))
		read_part(snapshot, &walk.part, bytes + length);
	read_state(snapshot, bytes, length);
	free(bytes);
	return 0;
}
