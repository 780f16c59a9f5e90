/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * guest.c - see guest.h.
 *
 * To be read in five minutes, the guest is C that works on a memory of the pool
 * as compiled code would: offsets are the guest's, and nothing else is.
 *
 * The guest starts once, when the host does, and its snapshot is what every
 * session begins with. A session sleeps as a delta: what it changed since. The
 * start is the same in every host, so their snapshots have one digest and wake each
 * other's sessions. A guest that reads clocks or random numbers while it starts is
 * started once for all hosts, and its snapshot handed on by fl_snapshot_write().
 * A new version of the guest is another snapshot, and the sessions of the old one
 * need the old one: see README.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <faultline.h>

#include "guest.h"

/* (module (memory (export "memory") 2) (data (i32.const 8) "cold")) */
static const unsigned char wasm[] =
	"\0asm\1\0\0\0\5\3\1\0\2\7\12\1\6memory\2\0\13\12\1\0\101\10\13\4cold";

/* Where the guest keeps what: a table that its start fills, a count, and a ring of
 * texts. */
enum {
	TABLE_AT = 65536,
	TABLE_WORDS = 8192,
	COUNT_AT = 1024,
	RING_AT = 2048,
	EVENT_BYTES = GUEST_MAX_EVENT_BYTES + 1,
	EVENTS = 50,
};

struct guest {
	struct fl_context *context;
	struct fl_module *module;
	struct fl_pool *pool;
	struct fl_snapshot *snapshot;
};

static int complain(const char *what, const struct fl_error *error)
{
	fprintf(stderr, "sessions: %s: %s\n", what, error->text);
	return -1;
}

void guest_close(struct guest *guest)
{
	fl_snapshot_release(guest->snapshot);
	if (guest->module)
		fl_module_release(guest->module);
	if (guest->pool)
		fl_pool_destroy(guest->pool);
	if (guest->context)
		fl_context_destroy(guest->context);
	free(guest);
}

/* What real guests do slowly: an interpreter builds its heap. */
static void start(uint8_t *base)
{
	uint64_t square;

	for (uint64_t i = 0; i < TABLE_WORDS; i++) {
		square = i * i;
		memcpy(base + TABLE_AT + i * 8, &square, 8);
	}
}

/* Start once, and capture what every session begins with. */
static int capture(struct guest *guest, struct fl_error *error)
{
	struct fl_snapshot_parts parts = FL_SNAPSHOT_PARTS_INIT;
	struct fl_memory_config config = FL_MEMORY_CONFIG_INIT;
	struct fl_image *image = NULL;
	struct fl_memory *memory;
	int err;

	config.image = fl_module_image(guest->module, 0);
	err = fl_memory_acquire(guest->pool, &config, &memory, error);
	if (err)
		return err;
	start(memory->base);
	err = fl_image_from_memory(memory, NULL, &image, error);
	fl_memory_release(memory);
	if (err)
		return err;
	parts.module = guest->module;
	parts.images = &image;
	parts.image_count = 1;
	parts.encoding = "sessions 1";
	err = fl_snapshot_create(&parts, &guest->snapshot, error);
	fl_image_release(image);
	return err;
}

struct guest *guest_open(unsigned int session_count)
{
	struct fl_module_config module = FL_MODULE_CONFIG_INIT;
	struct fl_pool_config pool = FL_POOL_CONFIG_INIT;
	struct guest *guest = calloc(1, sizeof(*guest));
	struct fl_error error;

	if (!guest)
		return NULL;
	module.bytes = wasm;
	module.length_bytes = sizeof(wasm) - 1;
	pool.max_instances = 0;
	pool.max_memories = session_count;
	if (fl_context_create(NULL, &guest->context, &error) ||
	    fl_module_load(guest->context, &module, &guest->module, &error) ||
	    fl_pool_create(guest->context, &pool, &guest->pool, &error) ||
	    capture(guest, &error)) {
		complain("start", &error);
		guest_close(guest);
		return NULL;
	}
	return guest;
}

/* A session is its memory. */
static struct fl_memory *memory_of(struct guest_session *session)
{
	return (struct fl_memory *)session;
}

static int wake(struct guest *guest, const void *bytes, size_t length_bytes,
		const void *label, struct fl_memory *memory,
		struct fl_error *error)
{
	struct fl_delta *delta;
	int err;

	err = fl_delta_open(guest->snapshot, bytes, length_bytes,
			    FL_BYTES_BORROW, label, &delta, error);
	if (err)
		return err;
	err = fl_delta_restore_memory(delta, 0, memory, error);
	fl_delta_release(delta);
	return err;
}

struct guest_session *guest_wake(struct guest *guest, const void *bytes,
				 size_t length_bytes, const void *label)
{
	struct fl_memory_config config = FL_MEMORY_CONFIG_INIT;
	struct fl_memory *memory = NULL;
	struct fl_error error;
	int err;

	config.image = fl_snapshot_image(guest->snapshot, 0, 0);
	err = fl_memory_acquire(guest->pool, &config, &memory, &error);
	if (!err && bytes)
		err = wake(guest, bytes, length_bytes, label, memory, &error);
	if (err) {
		complain("wake", &error);
		if (memory)
			fl_memory_release(memory);
		return NULL;
	}
	return (struct guest_session *)memory;
}

static uint64_t mix(uint64_t digest, const void *bytes, size_t length_bytes)
{
	const unsigned char *at = bytes;

	while (length_bytes--)
		digest = (digest ^ *at++) * 1099511628211u;
	return digest;
}

void guest_run(struct guest_session *session, const char *event,
	       struct guest_answer *answer)
{
	uint8_t *base = memory_of(session)->base;
	uint64_t count, first;

	memcpy(&count, base + COUNT_AT, sizeof(count));
	if (event) {
		char *place =
			(char *)base + RING_AT + count++ % EVENTS * EVENT_BYTES;

		snprintf(place, EVENT_BYTES, "%s", event);
		memcpy(base + COUNT_AT, &count, sizeof(count));
	}
	answer->count = count;
	answer->digest = mix(14695981039346656037u, &count, sizeof(count));
	for (first = count < EVENTS ? 0 : count - EVENTS; first < count;
	     first++) {
		const char *text = (const char *)base + RING_AT +
				   first % EVENTS * EVENT_BYTES;

		answer->digest =
			mix(answer->digest, text, strnlen(text, EVENT_BYTES));
	}
}

void *guest_sleep(struct guest *guest, struct guest_session *session,
		  const void *label, size_t *length_bytes)
{
	struct fl_delta_parts parts = FL_DELTA_PARTS_INIT;
	struct fl_memory *memory = memory_of(session);
	struct fl_delta *delta;
	struct fl_error error;
	uint64_t length;
	const void *lent;
	void *bytes;

	parts.snapshot = guest->snapshot;
	parts.memories = &memory;
	parts.memory_count = 1;
	memcpy(parts.tag, label, sizeof(parts.tag));
	if (fl_memory_suspend(&parts, &delta, &error)) {
		complain("sleep", &error);
		fl_memory_release(memory);
		return NULL;
	}
	lent = fl_delta_bytes(delta, &length);
	bytes = malloc(length);
	if (bytes)
		memcpy(bytes, lent, length);
	fl_delta_release(delta);
	*length_bytes = length;
	return bytes;
}

void guest_drop(struct guest_session *session)
{
	fl_memory_release(memory_of(session));
}
