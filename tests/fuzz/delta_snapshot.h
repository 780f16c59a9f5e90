/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/* delta_snapshot.h - the snapshot that fuzzed deltas are held against. */
#ifndef FUZZ_DELTA_SNAPSHOT_H
#define FUZZ_DELTA_SNAPSHOT_H

#include "tests/kit/state_bytes.h"

#include <stdlib.h>

#define TABLE_LENGTH 20
#define STATE_LENGTH 100

/* Of one instance of module 0 of state_bytes.h, which no pool and no kernel made. */
static struct fl_snapshot *snapshot_make(struct state_world *world)
{
	struct fl_snapshot *snapshot;
	struct fl__captured *captured;

	state_world_open(world);
	if (fl__snapshot_alloc(1, "fuzz", &snapshot, NULL))
		abort();
	captured = snapshot->instances;
	captured->module = world->module_list[0];
	captured->images[0] = world->image_list[0];
	captured->images[1] = world->image_list[1];
	captured->has_tables = true;
	captured->tables[0].length = TABLE_LENGTH;
	captured->tables[0].element_bytes = 8;
	captured->state = calloc(1, STATE_LENGTH);
	captured->state_bytes = STATE_LENGTH;
	return snapshot;
}

#endif
