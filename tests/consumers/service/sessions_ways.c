/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * sessions_ways.c - ways of keeping sessions in this process: awake, as whole pages,
 * as deltas; and the way that keeps none, and replays all events in a fresh guest.
 *
 * Where a session is awake, its instance, with the module's table, is its own.
 */
#include <stdlib.h>
#include <string.h>

#include "sessions.h"

/* What an awake session of these guests takes at least, before one is measured. */
#define LIVE_BYTES (UINT64_C(400) << 10)
#define MAX_LIVE 8192u
#define MAX_RUNS 1024u

void session_tag(uint32_t session, uint8_t tag[TAG_BYTES])
{
	memset(tag, 0, TAG_BYTES);
	memcpy(tag, &session, sizeof(session));
}

/* The answer of a lane goes to a seat. */
static void lane_ask(struct lane *lane, struct seat *seat,
		     enum session_kind kind, uint32_t seed)
{
	const uint8_t *bytes;

	seat->length = lane_session(lane, kind, seed);
	bytes = lane_answer(lane, seat->length);
	if (!bytes || seat->length >= sizeof(seat->text))
		die("%s: a session has no answer", lane->guest->title);
	memcpy(seat->text, bytes, seat->length);
	seat->text[seat->length] = 0;
}

void seat_ask(struct seat *seat, enum session_kind kind, uint32_t seed)
{
	lane_ask(&seat->lane, seat, kind, seed);
}

static void lane_wake(struct lane *lane, const struct fl_delta *delta)
{
	struct fl_error error;
	int err;

	err = delta ? fl_wasm2c_wake(&lane->clones, lane->instance, delta, 0,
				     &error) :
		      fl_wasm2c_clone(&lane->clones, lane->instance, 0, &error);
	if (err)
		die("waking: %s", error.text);
}

void seat_wake(struct seat *seat, const struct fl_delta *delta)
{
	lane_wake(&seat->lane, delta);
}

struct fl_delta *seat_sleep(struct seat *seat, uint32_t session)
{
	struct lane *lane = &seat->lane;
	struct fl_delta *delta;
	struct fl_error error;
	uint8_t tag[TAG_BYTES];

	session_tag(session, tag);
	if (fl_wasm2c_suspend(&lane->clones, lane->instance, tag, &delta,
			      &error))
		die("putting to sleep: %s", error.text);
	return delta;
}

void seat_drop(struct seat *seat)
{
	fl_wasm2c_release(seat->lane.module->layout, seat->lane.instance);
}

static void kept_change(struct sessions *sessions, uint64_t less, uint64_t more)
{
	__atomic_fetch_add(&sessions->kept_bytes, more - less,
			   __ATOMIC_RELAXED);
}

/* ------------------------------------------------------------------- deltas */

static const char *deltas_open(struct sessions *sessions)
{
	sessions->held_count = sessions->count;
	return NULL;
}

static uint64_t delta_bytes(const struct fl_delta *delta)
{
	uint64_t bytes = 0;

	if (delta)
		(void)fl_delta_bytes(delta, &bytes);
	return bytes;
}

static void deltas_serve(struct seat *seat, uint32_t session,
			 enum session_kind kind, uint32_t seed)
{
	struct sessions *sessions = seat->sessions;
	struct fl_delta *old = sessions->deltas[session], *new;

	seat_wake(seat, old);
	seat_ask(seat, kind, seed);
	if (kind == SESSION_SHOW) {
		seat_drop(seat);
		return;
	}
	new = seat_sleep(seat, session);
	kept_change(sessions, delta_bytes(old), delta_bytes(new));
	fl_delta_release(old);
	sessions->deltas[session] = new;
}

/* The deltas stay, for the ways that come after. */
static void deltas_close(struct sessions *sessions)
{
	memcpy(sessions->delta_events, sessions->events,
	       sessions->count * sizeof(*sessions->events));
}

const struct session_way sessions_deltas = {
	.name = "deltas",
	.title = "deltas in memory",
	.lane_way = &ways[WAY_CLONE],
	.open = deltas_open,
	.close = deltas_close,
	.serve = deltas_serve,
};

/* --------------------------------------------------------------------- live */

static const char *live_open(struct sessions *sessions)
{
	uint64_t most = sessions->budget_bytes / LIVE_BYTES;
	struct fl_pool_config config;
	struct fl_error error;
	struct lane *lanes;

	if (most > MAX_LIVE)
		most = MAX_LIVE;
	if (most > sessions->count)
		most = sessions->count;
	pool_configure(&config, (uint32_t)most);
	if (fl_pool_config_fit(sessions->context, NULL, &config, NULL, &error))
		return "no slots for them";
	sessions->held_count = config.max_memories;
	if (fl_pool_create(sessions->context, &config, &sessions->pool, &error))
		die("%s", error.text);
	lanes = must_allocate(sessions->held_count * sizeof(*lanes));
	sessions->held = lanes;
	for (uint32_t i = 0; i < sessions->held_count; i++) {
		lane_open(&lanes[i], &ways[WAY_CLONE], sessions->guest,
			  sessions->pool);
		lane_wake(&lanes[i], sessions->deltas[i]);
	}
	return NULL;
}

static void live_serve(struct seat *seat, uint32_t session,
		       enum session_kind kind, uint32_t seed)
{
	struct lane *lanes = seat->sessions->held;

	lane_ask(&lanes[session], seat, kind, seed);
}

static void live_close(struct sessions *sessions)
{
	struct lane *lanes = sessions->held;

	for (uint32_t i = 0; i < sessions->held_count; i++) {
		fl_wasm2c_release(lanes[i].module->layout, lanes[i].instance);
		lane_close(&lanes[i]);
	}
	free(lanes);
}

const struct session_way sessions_live = {
	.name = "live",
	.title = "kept awake",
	.lane_way = &ways[WAY_CLONE],
	.open = live_open,
	.close = live_close,
	.serve = live_serve,
};

/* ------------------------------------------------------------------- replay */

static void replay_serve(struct seat *seat, uint32_t session,
			 enum session_kind kind, uint32_t seed)
{
	struct lane *lane = &seat->lane;

	lane->way->start(lane);
	for (uint32_t i = 0; i < seat->sessions->events[session]; i++)
		(void)lane_session(lane, SESSION_EVENT, seed_of(session, i));
	seat_ask(seat, kind, seed);
	lane->way->end(lane);
}

static void nothing(struct sessions *sessions)
{
	(void)sessions;
}

const struct session_way sessions_replay = {
	.name = "replay",
	.title = "started and replayed",
	.lane_way = &ways[WAY_STOCK],
	.open = deltas_open,
	.close = nothing,
	.serve = replay_serve,
};

/* -------------------------------------------------------------- whole pages */

struct pages {
	void *state; /* of the adapter */
	uint64_t state_bytes, memory_bytes, bytes;
	uint32_t run_count;
	struct fl_memory_run runs[]; /* then the bytes of all */
};

static uint8_t *pages_bytes(struct pages *pages)
{
	return (uint8_t *)&pages->runs[pages->run_count];
}

static uint64_t pages_kept(const struct pages *pages)
{
	return pages ? pages->bytes + pages->state_bytes : 0;
}

static void pages_free(struct pages *pages)
{
	if (pages)
		free(pages->state);
	free(pages);
}

static struct fl_memory *memory_of(const struct lane *lane)
{
	return fl_wasm2c_memory(lane->module->memory(lane->instance));
}

/* NULL: this rung does not tell what was written. */
static struct pages *pages_take(struct seat *seat)
{
	struct fl_written written = FL_SIZED(written);
	struct fl_memory_run runs[MAX_RUNS];
	struct lane *lane = &seat->lane;
	struct fl_memory *memory = memory_of(lane);
	struct fl_error error;
	struct pages *pages;
	uint8_t *to;

	if (fl_memory_written(memory, 0, runs, MAX_RUNS, &written, &error))
		return NULL;
	pages = must_allocate(sizeof(*pages) +
			      written.run_count * sizeof(runs[0]) +
			      written.written_bytes);
	pages->run_count = (uint32_t)written.run_count;
	pages->memory_bytes = fl_memory_length(memory);
	memcpy(pages->runs, runs, written.run_count * sizeof(runs[0]));
	to = pages_bytes(pages);
	for (uint32_t i = 0; i < pages->run_count; i++) {
		memcpy(to, memory->base + runs[i].offset_bytes,
		       runs[i].length_bytes);
		to += runs[i].length_bytes;
	}
	pages->bytes = written.written_bytes;
	if (fl_wasm2c_encode(lane->module->layout, lane->instance, NULL,
			     &pages->state, &pages->state_bytes, &error))
		die("%s", error.text);
	return pages;
}

static void pages_wake(struct seat *seat, struct pages *pages)
{
	struct lane *lane = &seat->lane;
	wasm_rt_memory_t *memory;
	struct fl_error error;
	const uint8_t *from;

	seat_wake(seat, NULL);
	if (!pages)
		return;
	memory = lane->module->memory(lane->instance);
	if (memory->size < pages->memory_bytes &&
	    wasm_rt_grow_memory(
		    memory, (uint32_t)((pages->memory_bytes - memory->size) /
				       65536)) == UINT32_MAX)
		die("a memory does not grow");
	from = pages_bytes(pages);
	for (uint32_t i = 0; i < pages->run_count; i++) {
		memcpy(memory->data + pages->runs[i].offset_bytes, from,
		       pages->runs[i].length_bytes);
		from += pages->runs[i].length_bytes;
	}
	if (fl_wasm2c_decode(lane->module->layout, lane->instance, NULL,
			     pages->state, pages->state_bytes, &error))
		die("%s", error.text);
}

static bool pages_keep(struct seat *seat, uint32_t session)
{
	struct pages **held = seat->sessions->held;
	struct pages *new = pages_take(seat);

	seat_drop(seat);
	if (!new)
		return false;
	kept_change(seat->sessions, pages_kept(held[session]), pages_kept(new));
	pages_free(held[session]);
	held[session] = new;
	return true;
}

static const char *pages_open(struct sessions *sessions)
{
	struct seat *seat = must_allocate(sizeof(*seat));
	bool is_told = true;
	uint32_t i;

	sessions->held = must_allocate(sessions->count * sizeof(void *));
	seat->sessions = sessions;
	lane_open(&seat->lane, &ways[WAY_CLONE], sessions->guest,
		  sessions->pool);
	for (i = 0; i < sessions->count && is_told &&
		    sessions->kept_bytes < sessions->budget_bytes;
	     i++) {
		seat_wake(seat, sessions->deltas[i]);
		is_told = pages_keep(seat, i);
	}
	sessions->held_count = i;
	lane_close(&seat->lane);
	free(seat);
	if (!is_told)
		free(sessions->held);
	return is_told ? NULL : "this host does not tell what was written";
}

static void pages_serve(struct seat *seat, uint32_t session,
			enum session_kind kind, uint32_t seed)
{
	struct pages **held = seat->sessions->held;

	pages_wake(seat, held[session]);
	seat_ask(seat, kind, seed);
	if (kind == SESSION_SHOW)
		seat_drop(seat);
	else if (!pages_keep(seat, session))
		die("what was written is not told any more");
}

static void pages_close(struct sessions *sessions)
{
	struct pages **held = sessions->held;

	for (uint32_t i = 0; i < sessions->held_count; i++)
		pages_free(held[i]);
	free(held);
}

const struct session_way sessions_pages = {
	.name = "pages",
	.title = "whole pages",
	.lane_way = &ways[WAY_CLONE],
	.open = pages_open,
	.close = pages_close,
	.serve = pages_serve,
};
