/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * store_lmdb.c - sessions in a database of this host, in a folder that exists.
 *
 * Puts and deletes of all threads that come while one commit is under way go
 * together into the next: a commit waits for the disk, so many threads take
 * hardly longer than one. The thread that finds no commit under way makes it,
 * for itself and for all that wait.
 *
 * A committed session survives the end of the process, also by SIGKILL, and of
 * the host, as far as its disk keeps what it says it has written. Several
 * processes of one host may open one folder.
 */
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <lmdb.h>

#include "store.h"

/* How large the database may become: address space, not memory. */
#define MAX_BYTES ((size_t)16 << 30)

/* One put or delete, on the stack of the thread that waits for it. */
struct change {
	struct change *next;
	const char *key;
	uint64_t version;
	const struct store_value *value; /* NULL deletes */
	int result;
	bool is_done;
};

struct store {
	MDB_env *env;
	MDB_dbi sessions;
	pthread_mutex_t lock;
	pthread_cond_t done;
	struct change *first, **last; /* what waits for the next commit */
	bool is_committing;
};

/* Before the bytes lies the version, in the order of this host: the file is of
 * this host anyway. */
#define HEAD_BYTES sizeof(uint64_t)

static int complain(const char *call, int err)
{
	fprintf(stderr, "lmdb: %s: %s\n", call, mdb_strerror(err));
	return err;
}

static int open_database(struct store *store, const char *where)
{
	MDB_txn *txn;
	int err, dead;

	err = mdb_env_create(&store->env);
	if (err)
		return complain("mdb_env_create", err);
	err = mdb_env_set_mapsize(store->env, MAX_BYTES);
	/* Read transactions of a thread, not of all its store's threads. */
	if (!err)
		err = mdb_env_open(store->env, where, MDB_NOTLS, 0600);
	if (err)
		return complain(where, err);
	/* Readers that were killed would keep old pages in use. */
	mdb_reader_check(store->env, &dead);
	err = mdb_txn_begin(store->env, NULL, 0, &txn);
	if (err)
		return complain("mdb_txn_begin", err);
	err = mdb_dbi_open(txn, NULL, MDB_CREATE, &store->sessions);
	if (err) {
		mdb_txn_abort(txn);
		return complain("mdb_dbi_open", err);
	}
	err = mdb_txn_commit(txn);
	return err ? complain("mdb_txn_commit", err) : 0;
}

static struct store *lmdb_open(const char *where)
{
	struct store *store = calloc(1, sizeof(*store));

	if (!store || open_database(store, where)) {
		if (store && store->env)
			mdb_env_close(store->env);
		free(store);
		return NULL;
	}
	store->last = &store->first;
	pthread_mutex_init(&store->lock, NULL);
	pthread_cond_init(&store->done, NULL);
	return store;
}

static MDB_val key_of(const char *key)
{
	MDB_val val = { .mv_size = strlen(key) };

	/* LMDB does not write to keys. */
	memcpy(&val.mv_data, &key, sizeof(key));
	return val;
}

/* 0, MDB_NOTFOUND or what failed; *val is good until txn ends. */
static int look_up(struct store *store, MDB_txn *txn, const char *key,
		   MDB_val *val, uint64_t *version)
{
	MDB_val name = key_of(key);
	int err = mdb_get(txn, store->sessions, &name, val);

	*version = 0;
	if (!err && val->mv_size < HEAD_BYTES)
		err = MDB_CORRUPTED;
	if (!err)
		memcpy(version, val->mv_data, HEAD_BYTES);
	return err;
}

static int lmdb_get(struct store *store, const char *key,
		    struct store_value *value)
{
	int err, result = STORE_FAILED;
	MDB_txn *txn;
	MDB_val val;

	memset(value, 0, sizeof(*value));
	err = mdb_txn_begin(store->env, NULL, MDB_RDONLY, &txn);
	if (err) {
		complain("mdb_txn_begin", err);
		return result;
	}
	err = look_up(store, txn, key, &val, &value->version);
	if (err == MDB_NOTFOUND)
		result = STORE_NONE;
	else if (err)
		complain("mdb_get", err);
	else
		value->bytes = malloc(val.mv_size - HEAD_BYTES + 1);
	if (value->bytes) {
		value->length_bytes = val.mv_size - HEAD_BYTES;
		memcpy(value->bytes, (char *)val.mv_data + HEAD_BYTES,
		       value->length_bytes);
		result = STORE_OK;
	}
	mdb_txn_abort(txn);
	return result;
}

/* ------------------------------------------------------------------ commits */

static int change_one(struct store *store, MDB_txn *txn, struct change *change)
{
	MDB_val name = key_of(change->key), val;
	uint64_t version;
	int err = look_up(store, txn, change->key, &val, &version);

	if (err && err != MDB_NOTFOUND)
		return err;
	if (version != change->version) {
		change->result = STORE_CONFLICT;
		return 0;
	}
	if (!change->value)
		return mdb_del(txn, store->sessions, &name, NULL);
	val.mv_size = HEAD_BYTES + change->value->length_bytes;
	err = mdb_put(txn, store->sessions, &name, &val, MDB_RESERVE);
	if (err)
		return err;
	memcpy(val.mv_data, &change->value->version, HEAD_BYTES);
	memcpy((char *)val.mv_data + HEAD_BYTES, change->value->bytes,
	       change->value->length_bytes);
	return 0;
}

/* All of the batch is written, or nothing of it. */
static void commit(struct store *store, struct change *batch)
{
	int err, failed = STORE_FAILED;
	struct change *change;
	MDB_txn *txn;

	err = mdb_txn_begin(store->env, NULL, 0, &txn);
	if (!err) {
		for (change = batch; change && !err; change = change->next)
			err = change_one(store, txn, change);
		if (err) {
			mdb_txn_abort(txn);
		} else {
			/* A disk that fails here may have kept it. */
			failed = STORE_UNKNOWN;
			err = mdb_txn_commit(txn);
		}
	}
	if (!err)
		return;
	complain("commit", err);
	for (change = batch; change; change = change->next)
		change->result = failed;
}

/* With the lock held, which it gives up meanwhile. */
static void commit_all(struct store *store)
{
	struct change *batch = store->first, *next;

	store->first = NULL;
	store->last = &store->first;
	store->is_committing = true;
	pthread_mutex_unlock(&store->lock);
	commit(store, batch);
	pthread_mutex_lock(&store->lock);
	store->is_committing = false;
	/* A change that is done may be gone. */
	for (; batch; batch = next) {
		next = batch->next;
		batch->is_done = true;
	}
	pthread_cond_broadcast(&store->done);
}

static int change(struct store *store, const char *key, uint64_t version,
		  const struct store_value *value)
{
	struct change mine = {
		.key = key,
		.version = version,
		.value = value,
		.result = STORE_OK,
	};

	pthread_mutex_lock(&store->lock);
	*store->last = &mine;
	store->last = &mine.next;
	while (!mine.is_done) {
		if (store->is_committing)
			pthread_cond_wait(&store->done, &store->lock);
		else
			commit_all(store);
	}
	pthread_mutex_unlock(&store->lock);
	return mine.result;
}

static int lmdb_put(struct store *store, const char *key, uint64_t version,
		    const struct store_value *value)
{
	return change(store, key, version, value);
}

static int lmdb_delete(struct store *store, const char *key, uint64_t version)
{
	return change(store, key, version, NULL);
}

static void lmdb_close(struct store *store)
{
	mdb_env_close(store->env);
	pthread_cond_destroy(&store->done);
	pthread_mutex_destroy(&store->lock);
	free(store);
}

const struct store_calls store_lmdb = {
	.name = "lmdb",
	.open = lmdb_open,
	.get = lmdb_get,
	.put = lmdb_put,
	.delete = lmdb_delete,
	.close = lmdb_close,
};
