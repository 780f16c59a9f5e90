/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * sessions_store.c - sessions in LMDB, as deltas or packed.
 *
 * A worker's requests are committed together, up to BATCH of them, and each is
 * acknowledged when the commit has reached the disk: its time runs until then. What a
 * worker has not committed yet, it reads from its own batch. Deltas wake where LMDB
 * has them mapped, without a copy.
 *
 * The folder is a temporary one, and goes with the way.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sessions.h"

#ifdef FL_WITH_LMDB

#include <lmdb.h>

#define MAX_BYTES ((size_t)64 << 30)
#define FILL_AT_ONCE 4096u
/* More would be a matter of the disk alone. */
#define MAX_STORED 50000u

struct store {
	char folder[64];
	MDB_env *env;
	MDB_dbi table;
	struct fl_packer *packer; /* NULL: deltas as they are */
};

static void must(int err, const char *what)
{
	if (err)
		die("LMDB, %s: %s", what, mdb_strerror(err));
}

static MDB_val key_of(uint32_t *session)
{
	return (MDB_val){ .mv_size = sizeof(*session), .mv_data = session };
}

static void store_make(struct store *store)
{
	const char *tmp = getenv("TMPDIR");
	MDB_txn *txn;

	snprintf(store->folder, sizeof(store->folder), "%s/faultline.XXXXXX",
		 tmp && strlen(tmp) < 40 ? tmp : "/tmp");
	if (!mkdtemp(store->folder))
		die("no folder %s", store->folder);
	must(mdb_env_create(&store->env), "create");
	must(mdb_env_set_mapsize(store->env, MAX_BYTES), "size");
	must(mdb_env_open(store->env, store->folder, MDB_NOTLS, 0600), "open");
	must(mdb_txn_begin(store->env, NULL, 0, &txn), "begin");
	must(mdb_dbi_open(txn, NULL, MDB_INTEGERKEY | MDB_CREATE,
			  &store->table),
	     "table");
	must(mdb_txn_commit(txn), "commit");
}

static void store_remove(struct store *store)
{
	static const char *const files[] = { "data.mdb", "lock.mdb" };
	char path[96];

	mdb_env_close(store->env);
	for (unsigned int i = 0; i < 2; i++) {
		snprintf(path, sizeof(path), "%s/%s", store->folder, files[i]);
		(void)unlink(path);
	}
	(void)rmdir(store->folder);
	fl_packer_destroy(store->packer);
	free(store);
}

/* ------------------------------------------------------------ what is stored */

/* The caller frees *bytes. */
static void stored_make(const struct store *store, const struct fl_delta *delta,
			void **bytes, uint64_t *length)
{
	struct fl_error error;
	const void *lent = fl_delta_bytes(delta, length);

	if (!store->packer) {
		*bytes = must_allocate(*length);
		memcpy(*bytes, lent, *length);
		return;
	}
	if (fl_delta_pack(store->packer, delta, NULL, length, &error))
		die("%s", error.text);
	*bytes = malloc(*length);
	if (!*bytes ||
	    fl_delta_pack(store->packer, delta, *bytes, length, &error))
		die("a delta is not packed");
}

static struct fl_delta *stored_open(struct seat *seat, uint32_t session,
				    const void *bytes, uint64_t length)
{
	const struct store *store = seat->sessions->held;
	struct fl_delta *delta;
	struct fl_error error;
	uint8_t tag[TAG_BYTES];
	int err;

	session_tag(session, tag);
	err = store->packer ? fl_delta_unpack(store->packer, bytes, length, tag,
					      &delta, &error) :
			      fl_delta_open(seat->sessions->guest->snapshot,
					    bytes, length, FL_BYTES_BORROW, tag,
					    &delta, &error);
	if (err)
		die("a session does not wake: %s", error.text);
	return delta;
}

/* -------------------------------------------------------------------- filling */

static uint32_t store_some(struct sessions *sessions, uint32_t first)
{
	struct store *store = sessions->held;
	uint32_t i;
	MDB_txn *txn;

	must(mdb_txn_begin(store->env, NULL, 0, &txn), "begin");
	for (i = first; i < sessions->held_count && i < first + FILL_AT_ONCE;
	     i++) {
		MDB_val key = key_of(&i), value;
		void *bytes;
		uint64_t length;

		stored_make(store, sessions->deltas[i], &bytes, &length);
		value = (MDB_val){ .mv_size = length, .mv_data = bytes };
		must(mdb_put(txn, store->table, &key, &value, MDB_APPEND),
		     "put");
		sessions->kept_bytes += length;
		free(bytes);
	}
	must(mdb_txn_commit(txn), "commit");
	return i;
}

static void store_fill(struct sessions *sessions)
{
	sessions->held_count = sessions->count < MAX_STORED ? sessions->count :
							      MAX_STORED;
	for (uint32_t i = 0; i < sessions->held_count;)
		i = store_some(sessions, i);
}

static const char *lmdb_open(struct sessions *sessions)
{
	struct store *store = must_allocate(sizeof(*store));

	sessions->held = store;
	store_make(store);
	store_fill(sessions);
	return NULL;
}

static const char *packed_open(struct sessions *sessions)
{
	struct fl_packer_config config = FL_PACKER_CONFIG_INIT;
	struct store *store;
	struct fl_error error;

	if (!sessions->dictionary)
		return sessions->no_dictionary;
	store = must_allocate(sizeof(*store));
	config.snapshot = sessions->guest->snapshot;
	config.dictionary = sessions->dictionary;
	config.dictionary_bytes = sessions->dictionary_bytes;
	if (fl_packer_create(&config, &store->packer, &error))
		die("%s", error.text);
	sessions->held = store;
	store_make(store);
	store_fill(sessions);
	return NULL;
}

static void lmdb_close(struct sessions *sessions)
{
	store_remove(sessions->held);
}

/* ------------------------------------------------------------------- requests */

static void seat_open(struct seat *seat)
{
	const struct store *store = seat->sessions->held;
	MDB_txn *txn;

	must(mdb_txn_begin(store->env, NULL, MDB_RDONLY, &txn), "begin");
	mdb_txn_reset(txn);
	seat->own = txn;
}

static void seat_close(struct seat *seat)
{
	mdb_txn_abort(seat->own);
}

static struct pending *pending_of(struct seat *seat, uint32_t session)
{
	for (unsigned int i = 0; i < seat->pending_count; i++)
		if (seat->pending[i].session == session &&
		    seat->pending[i].bytes)
			return &seat->pending[i];
	return NULL;
}

static void wake(struct seat *seat, uint32_t session,
		 const struct pending *pending)
{
	const struct store *store = seat->sessions->held;
	MDB_val key = key_of(&session), value;
	struct fl_delta *delta;
	MDB_txn *txn = seat->own;

	if (pending) {
		value = (MDB_val){ .mv_size = pending->length_bytes,
				   .mv_data = pending->bytes };
	} else {
		must(mdb_txn_renew(txn), "renew");
		must(mdb_get(txn, store->table, &key, &value), "get");
	}
	delta = stored_open(seat, session, value.mv_data, value.mv_size);
	seat_wake(seat, delta);
	fl_delta_release(delta);
	if (!pending)
		mdb_txn_reset(txn);
}

/* The request before it of the same session, if that is pending too, is kept by
 * what is put now. */
static void put_aside(struct seat *seat, uint32_t session,
		      struct pending *before)
{
	struct fl_delta *delta = seat_sleep(seat, session);
	struct pending *pending = &seat->pending[seat->pending_count++];

	pending->session = session;
	stored_make(seat->sessions->held, delta, &pending->bytes,
		    &pending->length_bytes);
	fl_delta_release(delta);
	if (!before)
		return;
	free(before->bytes);
	before->bytes = NULL;
}

static void store_serve(struct seat *seat, uint32_t session,
			enum session_kind kind, uint32_t seed)
{
	struct pending *pending = pending_of(seat, session);

	wake(seat, session, pending);
	seat_ask(seat, kind, seed);
	if (kind == SESSION_SHOW)
		seat_drop(seat);
	else
		put_aside(seat, session, pending);
}

static void store_commit(struct seat *seat)
{
	const struct store *store = seat->sessions->held;
	MDB_txn *txn;

	must(mdb_txn_begin(store->env, NULL, 0, &txn), "begin");
	for (unsigned int i = 0; i < seat->pending_count; i++) {
		struct pending *pending = &seat->pending[i];
		MDB_val key = key_of(&pending->session);
		MDB_val value = { .mv_size = pending->length_bytes,
				  .mv_data = pending->bytes };

		if (pending->bytes)
			must(mdb_put(txn, store->table, &key, &value, 0),
			     "put");
		free(pending->bytes);
		pending->bytes = NULL;
	}
	must(mdb_txn_commit(txn), "commit");
}

#define STORE_CALLS                                        \
	.lane_way = &ways[WAY_CLONE], .close = lmdb_close, \
	.seat_open = seat_open, .seat_close = seat_close,  \
	.serve = store_serve, .commit = store_commit

const struct session_way sessions_lmdb = {
	.name = "lmdb",
	.title = "deltas in LMDB",
	.open = lmdb_open,
	STORE_CALLS,
};

const struct session_way sessions_packed = {
	.name = "packed",
	.title = "packed, in LMDB",
	.open = packed_open,
	STORE_CALLS,
};

#else

static const char *no_lmdb(struct sessions *sessions)
{
	(void)sessions;
	return "built without LMDB: install liblmdb-dev";
}

const struct session_way sessions_lmdb = {
	.name = "lmdb",
	.title = "deltas in LMDB",
	.open = no_lmdb,
};

const struct session_way sessions_packed = {
	.name = "packed",
	.title = "packed, in LMDB",
	.open = no_lmdb,
};

#endif
