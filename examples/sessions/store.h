/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * store.h - what keeps sleeping sessions: five calls, for anything that keeps
 * bytes.
 *
 * A key is a session's name. Under a key lie bytes and their version, and a put
 * or a delete says which version it replaces: where another version lies,
 * nothing is written. So of two hosts that wake one session, one commits and the
 * other learns that its answer is worth nothing. The caller chooses versions and
 * takes random ones, so a session that was deleted and begun anew has none that
 * it had before.
 *
 * STORE_OK of a put or a delete is a promise: whatever dies from then on, no get
 * sees anything older. What a store promises of power failures is in its file.
 * Without STORE_OK the caller must not show anybody what it computed. Any thread
 * may call get, put and delete.
 */
#ifndef STORE_H
#define STORE_H

#include <stddef.h>
#include <stdint.h>

#define STORE_MAX_KEY_BYTES 24

enum store_result {
	STORE_OK,
	STORE_NONE, /* get: nothing lies under the key */
	STORE_CONFLICT, /* another version lies there; nothing was written */
	STORE_UNKNOWN, /* it may have been written, now or in a moment */
	STORE_FAILED, /* not read, or not written */
};

struct store_value {
	uint64_t version; /* 0: nothing lies there */
	size_t length_bytes;
	void *bytes; /* of get: the caller frees them */
};

struct store;

struct store_calls {
	const char *name;
	/* NULL, with a line on stderr, if there is no such store. */
	struct store *(*open)(const char *where);
	int (*get)(struct store *store, const char *key,
		   struct store_value *value);
	/* If version lies under the key, 0 for nothing, value takes its place. */
	int (*put)(struct store *store, const char *key, uint64_t version,
		   const struct store_value *value);
	int (*delete)(struct store *store, const char *key, uint64_t version);
	/* No other call is under way. */
	void (*close)(struct store *store);
};

extern const struct store_calls store_memory;
#ifdef HAVE_LMDB
extern const struct store_calls store_lmdb;
#endif
#ifdef HAVE_REDIS
extern const struct store_calls store_redis;
#endif

#endif
