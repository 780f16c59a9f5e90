/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * store_redis.c - sessions in a Redis server, for more than one host.
 *
 * A session is a hash of two fields, version and bytes. A script of the server
 * compares the version and writes: the server runs one script at a time, whole.
 *
 * What was acknowledged survives the end of the server if the server says
 * `appendonly yes` and `appendfsync always`, and if no replica that may lag
 * takes its place. A server that ends within a put, or takes longer than the
 * limit, leaves the outcome unknown. The put may then be done later, and changes
 * something only if nobody else has changed the session meanwhile.
 */
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>

#include <hiredis.h>

#include "store.h"

/* How long a call waits for the server. */
static const struct timeval limit = { .tv_sec = 10 };

/* KEYS: the session. ARGV: the version that must lie there, the one that takes
 * its place or 0, and the bytes. */
static const char script[] =
	"local version = redis.call('HGET', KEYS[1], 'version') or '0' "
	"if version ~= ARGV[1] then return 0 end "
	"if ARGV[2] == '0' then redis.call('DEL', KEYS[1]) return 1 end "
	"redis.call('HSET', KEYS[1], 'version', ARGV[2], 'bytes', ARGV[3]) "
	"return 1";

/* A connection serves one call at a time, and is kept for the next. */
struct connection {
	struct connection *next;
	redisContext *redis;
};

struct store {
	pthread_mutex_t lock;
	struct connection *idle;
	char *where;
};

/* HOST:PORT, or the path of a socket. */
static redisContext *dial(const char *where)
{
	const char *colon = strrchr(where, ':');
	char host[256];

	if (!colon)
		return redisConnectUnixWithTimeout(where, limit);
	snprintf(host, sizeof(host), "%.*s", (int)(colon - where), where);
	return redisConnectWithTimeout(host, atoi(colon + 1), limit);
}

static struct connection *connect_new(struct store *store)
{
	struct connection *connection = calloc(1, sizeof(*connection));

	if (!connection)
		return NULL;
	connection->redis = dial(store->where);
	if (connection->redis && !connection->redis->err &&
	    redisSetTimeout(connection->redis, limit) == REDIS_OK)
		return connection;
	fprintf(stderr, "redis: %s: %s\n", store->where,
		connection->redis ? connection->redis->errstr : "no memory");
	if (connection->redis)
		redisFree(connection->redis);
	free(connection);
	return NULL;
}

static struct connection *take(struct store *store)
{
	struct connection *connection;

	pthread_mutex_lock(&store->lock);
	connection = store->idle;
	if (connection)
		store->idle = connection->next;
	pthread_mutex_unlock(&store->lock);
	return connection ? connection : connect_new(store);
}

static void drop_all(struct connection *first)
{
	for (struct connection *next; first; first = next) {
		next = first->next;
		redisFree(first->redis);
		free(first);
	}
}

/* A connection on which a call failed may still bring that call's answer, and
 * the others that are idle lead to the same server. */
static void give(struct store *store, struct connection *connection)
{
	struct connection *failed = NULL;

	pthread_mutex_lock(&store->lock);
	connection->next = store->idle;
	store->idle = connection;
	if (connection->redis->err) {
		fprintf(stderr, "redis: %s\n", connection->redis->errstr);
		failed = connection;
		store->idle = NULL;
	}
	pthread_mutex_unlock(&store->lock);
	drop_all(failed);
}

static void redis_close(struct store *store)
{
	drop_all(store->idle);
	pthread_mutex_destroy(&store->lock);
	free(store->where);
	free(store);
}

static struct store *redis_open(const char *where)
{
	struct store *store = calloc(1, sizeof(*store));
	struct connection *connection;

	if (!store)
		return NULL;
	pthread_mutex_init(&store->lock, NULL);
	store->where = strdup(where);
	connection = store->where ? take(store) : NULL;
	if (!connection) {
		redis_close(store);
		return NULL;
	}
	give(store, connection);
	return store;
}

static int complain(const redisReply *reply)
{
	fprintf(stderr, "redis: %s\n",
		reply->type == REDIS_REPLY_ERROR ? reply->str :
						   "an answer of another form");
	return STORE_FAILED;
}

static int read_value(const redisReply *reply, struct store_value *value)
{
	const redisReply *version, *bytes;

	if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 2)
		return complain(reply);
	version = reply->element[0];
	bytes = reply->element[1];
	if (version->type == REDIS_REPLY_NIL)
		return STORE_NONE;
	if (version->type != REDIS_REPLY_STRING ||
	    bytes->type != REDIS_REPLY_STRING)
		return complain(reply);
	value->bytes = malloc(bytes->len + 1);
	if (!value->bytes)
		return STORE_FAILED;
	memcpy(value->bytes, bytes->str, bytes->len);
	value->length_bytes = bytes->len;
	value->version = strtoull(version->str, NULL, 10);
	return STORE_OK;
}

static int redis_get(struct store *store, const char *key,
		     struct store_value *value)
{
	struct connection *connection = take(store);
	int result = STORE_FAILED;
	redisReply *reply;

	memset(value, 0, sizeof(*value));
	if (!connection)
		return result;
	reply = redisCommand(connection->redis,
			     "HMGET session:%s version bytes", key);
	if (reply)
		result = read_value(reply, value);
	freeReplyObject(reply);
	give(store, connection);
	return result;
}

static int change(struct store *store, const char *key, uint64_t version,
		  const struct store_value *value)
{
	struct connection *connection = take(store);
	int result = STORE_UNKNOWN;
	redisReply *reply;

	if (!connection)
		return STORE_FAILED;
	reply = redisCommand(connection->redis,
			     "EVAL %s 1 session:%s %llu %llu %b", script, key,
			     (unsigned long long)version,
			     (unsigned long long)value->version, value->bytes,
			     value->length_bytes);
	if (reply && reply->type != REDIS_REPLY_INTEGER)
		result = complain(reply);
	else if (reply)
		result = reply->integer ? STORE_OK : STORE_CONFLICT;
	freeReplyObject(reply);
	give(store, connection);
	return result;
}

static int redis_put(struct store *store, const char *key, uint64_t version,
		     const struct store_value *value)
{
	return change(store, key, version, value);
}

static int redis_delete(struct store *store, const char *key, uint64_t version)
{
	struct store_value nothing = { .bytes = "" };

	return change(store, key, version, &nothing);
}

const struct store_calls store_redis = {
	.name = "redis",
	.open = redis_open,
	.get = redis_get,
	.put = redis_put,
	.delete = redis_delete,
	.close = redis_close,
};
