/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * sessions.h - what the files of the sessions share.
 *
 *	sessions.c	fills, measures, compares with native replays
 *	sessions_ways.c	ways that keep sessions in this process
 *	sessions_store.c	ways that keep them in LMDB
 *	sessions_report.c	the table and the JSON
 *
 * A session is a number, and its events are those of seed_of(session, 0, 1, ...). So
 * all that a test has to know of a session is how many events there were.
 */
#ifndef SESSIONS_H
#define SESSIONS_H

#include <stdio.h>

#include "service.h"

#define BATCH 64u
#define SESSION_ANSWER_BYTES 16384u
#define TAG_BYTES 32u

enum session_kind {
	SESSION_EVENT,
	SESSION_SHOW,
	SESSION_BEGIN,
};

/* The sessions of one guest. */
struct sessions {
	const struct options *options;
	const struct guest *guest;
	struct fl_context *context;
	uint32_t count, workers;
	/* In memory: what all other ways begin with. */
	struct fl_delta **deltas;
	uint32_t *delta_events;
	/* For the ways that hold them. */
	uint64_t budget_bytes;
	const void *dictionary;
	uint64_t dictionary_bytes;
	const char *no_dictionary; /* why there is none */
	/* The way that runs now. */
	const struct session_way *way;
	struct fl_pool *pool;
	void *held; /* the way's own */
	uint32_t held_count; /* of all, the first ones */
	uint32_t *events; /* of each */
	uint64_t kept_bytes; /* of all, atomic */
};

/* A request that is not acknowledged yet. */
struct pending {
	uint32_t session;
	uint64_t start_ns;
	void *bytes;
	uint64_t length_bytes;
};

/* One thread's place. */
struct seat {
	struct sessions *sessions;
	unsigned int idx; /* of so many workers: sessions of this remainder */
	struct lane lane;
	uint64_t random;
	char text[SESSION_ANSWER_BYTES];
	uint32_t length; /* of the answer */
	void *own; /* the way's */
	struct pending pending[BATCH];
	unsigned int pending_count;
	uint32_t *ns;
	size_t ns_count, ns_room;
};

struct session_way {
	const char *name, *title;
	const struct way *lane_way;
	/* NULL, or why the way is left out, and nothing is to be closed. Sets
	 * held_count. */
	const char *(*open)(struct sessions *sessions);
	void (*close)(struct sessions *sessions);
	void (*seat_open)(struct seat *seat); /* may be NULL, so below */
	void (*seat_close)(struct seat *seat);
	/* The answer is in the seat when this returns. */
	void (*serve)(struct seat *seat, uint32_t session,
		      enum session_kind kind, uint32_t seed);
	/* Acknowledge what is pending; NULL: serve does. */
	void (*commit)(struct seat *seat);
};

enum {
	SESSIONS_LIVE,
	SESSIONS_REPLAY,
	SESSIONS_PAGES,
	SESSIONS_DELTAS,
	SESSIONS_LMDB,
	SESSIONS_PACKED,
	SESSION_WAYS
};
extern const struct session_way sessions_live, sessions_replay, sessions_pages,
	sessions_deltas, sessions_lmdb, sessions_packed;

struct session_figures {
	const char *left_out; /* NULL: the rest is there */
	unsigned int workers;
	uint32_t held_count, compared;
	size_t requests;
	double per_s, p50_us, p99_us;
	double bytes; /* of a session, where it sleeps */
	double private_mib, tables_mib; /* that the process grew by */
};

uint32_t seed_of(uint32_t session, uint32_t event);

/* Calls the guest, and takes the answer into the seat. */
void seat_ask(struct seat *seat, enum session_kind kind, uint32_t seed);
/* What goes on from a delta, NULL for the snapshot, and back to one. */
void seat_wake(struct seat *seat, const struct fl_delta *delta);
struct fl_delta *seat_sleep(struct seat *seat, uint32_t session);
void seat_drop(struct seat *seat);
void session_tag(uint32_t session, uint8_t tag[TAG_BYTES]);

void sessions_head(const struct sessions *sessions, double fill_s);
void sessions_row(const struct sessions *sessions, int way,
		  const struct session_figures *figures);
const struct session_way *session_way(int way);

#endif
