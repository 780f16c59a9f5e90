/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * guest.c - see guest.h.
 *
 * To be read in five minutes, the guest is C that works on a memory of the pool
 * as compiled code would: offsets are the guest's, and nothing else is. It sleeps
 * as a copy of the part that it uses.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <faultline.h>

#include "guest.h"

/* (module (memory (export "memory") 2) (data (i32.const 8) "cold")) */
static const unsigned char wasm[] =
	"\0asm\1\0\0\0\5\3\1\0\2\7\12\1\6memory\2\0\13\12\1\0\101\10\13\4cold";

/* Where the guest keeps what: a count, and a ring of texts. */
enum {
	COUNT_AT = 1024,
	RING_AT = 2048,
	EVENT_BYTES = GUEST_MAX_EVENT_BYTES + 1,
	EVENTS = 50,
	END_AT = RING_AT + EVENTS * EVENT_BYTES,
};

struct guest {
	struct fl_context *context;
	struct fl_module *module;
	struct fl_pool *pool;
};

static int complain(const char *what, const struct fl_error *error)
{
	fprintf(stderr, "sessions: %s: %s\n", what, error->text);
	return -1;
}

void guest_close(struct guest *guest)
{
	if (guest->module)
		fl_module_release(guest->module);
	if (guest->pool)
		fl_pool_destroy(guest->pool);
	if (guest->context)
		fl_context_destroy(guest->context);
	free(guest);
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
	    fl_pool_create(guest->context, &pool, &guest->pool, &error)) {
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

struct guest_session *guest_wake(struct guest *guest, const void *bytes,
				 size_t length_bytes, const void *label)
{
	struct fl_memory_config config = FL_MEMORY_CONFIG_INIT;
	struct fl_memory *memory;
	struct fl_error error;

	config.image = fl_module_image(guest->module, 0);
	if (fl_memory_acquire(guest->pool, &config, &memory, &error)) {
		complain("wake", &error);
		return NULL;
	}
	if (bytes) {
		if (length_bytes != GUEST_LABEL_BYTES + END_AT ||
		    memcmp(bytes, label, GUEST_LABEL_BYTES)) {
			fprintf(stderr, "sessions: other bytes\n");
			fl_memory_release(memory);
			return NULL;
		}
		memcpy(memory->base, (const char *)bytes + GUEST_LABEL_BYTES,
		       END_AT);
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

void *guest_sleep(struct guest_session *session, const void *label,
		  size_t *length_bytes)
{
	struct fl_memory *memory = memory_of(session);
	char *bytes = malloc(GUEST_LABEL_BYTES + END_AT);

	if (bytes) {
		memcpy(bytes, label, GUEST_LABEL_BYTES);
		memcpy(bytes + GUEST_LABEL_BYTES, memory->base, END_AT);
		*length_bytes = GUEST_LABEL_BYTES + END_AT;
	}
	fl_memory_release(memory);
	return bytes;
}

void guest_drop(struct guest_session *session)
{
	fl_memory_release(memory_of(session));
}
