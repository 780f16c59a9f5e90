/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * guest.h - the program of which each session is an instance, and its sleep.
 *
 * A session counts its events and remembers the last fifty. Between two requests
 * it is bytes; a request wakes it in a slot of the pool, runs it, and puts it
 * back to sleep. Any thread may call, each session by one at a time.
 */
#ifndef GUEST_H
#define GUEST_H

#include <stddef.h>
#include <stdint.h>

#define GUEST_MAX_EVENT_BYTES 63

/* A label of the caller's that sleeps with a session: its name and version. Bytes
 * with another label do not wake. */
#define GUEST_LABEL_BYTES 32

struct guest; /* what all sessions share */
struct guest_session; /* one that is awake */

struct guest_answer {
	uint64_t count; /* of all events */
	uint64_t digest; /* of count and of the events that are remembered */
};

/* For so many sessions awake at once. NULL, with a line on stderr, on failure;
 * so do the others. */
struct guest *guest_open(unsigned int session_count);
void guest_close(struct guest *guest);

/* A new session, or one that slept: bytes NULL, or what guest_sleep() gave. */
struct guest_session *guest_wake(struct guest *guest, const void *bytes,
				 size_t length_bytes, const void *label);
/* The event is added if it is not NULL. */
void guest_run(struct guest_session *session, const char *event,
	       struct guest_answer *answer);
/* The session ends. bytes is for free(); NULL on failure. */
void *guest_sleep(struct guest *guest, struct guest_session *session,
		  const void *label, size_t *length_bytes);
/* The session ends, and what it did is forgotten. */
void guest_drop(struct guest_session *session);

#endif
