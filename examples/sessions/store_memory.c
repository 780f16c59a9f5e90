/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * store_memory.c - sessions in a table of this process. They end with it.
 *
 * A chained hash table under one lock, which grows with what it keeps.
 */
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store.h"

struct entry {
	struct entry *next;
	char key[STORE_MAX_KEY_BYTES + 1];
	uint64_t version;
	size_t length_bytes;
	void *bytes;
};

struct store {
	pthread_mutex_t lock;
	struct entry **chains;
	size_t chain_count; /* a power of two */
	size_t entry_count;
};

static size_t hash(const char *key)
{
	uint64_t sum = 14695981039346656037u;

	while (*key)
		sum = (sum ^ (unsigned char)*key++) * 1099511628211u;
	return (size_t)(sum ^ (sum >> 32));
}

/* Where the pointer to the key's entry is, or would be. */
static struct entry **place(struct store *store, const char *key)
{
	struct entry **at =
		&store->chains[hash(key) & (store->chain_count - 1)];

	while (*at && strcmp((*at)->key, key))
		at = &(*at)->next;
	return at;
}

static struct store *memory_open(const char *where)
{
	struct store *store = calloc(1, sizeof(*store));

	(void)where;
	if (!store)
		goto fail;
	store->chain_count = 1024;
	store->chains = calloc(store->chain_count, sizeof(*store->chains));
	if (!store->chains)
		goto fail;
	pthread_mutex_init(&store->lock, NULL);
	return store;
fail:
	free(store);
	fprintf(stderr, "memory: no memory for a table\n");
	return NULL;
}

static int memory_get(struct store *store, const char *key,
		      struct store_value *value)
{
	const struct entry *entry;
	int result = STORE_NONE;

	memset(value, 0, sizeof(*value));
	pthread_mutex_lock(&store->lock);
	entry = *place(store, key);
	if (entry) {
		result = STORE_FAILED;
		value->bytes = malloc(entry->length_bytes + 1);
	}
	if (value->bytes) {
		result = STORE_OK;
		memcpy(value->bytes, entry->bytes, entry->length_bytes);
		value->length_bytes = entry->length_bytes;
		value->version = entry->version;
	}
	pthread_mutex_unlock(&store->lock);
	return result;
}

/* Without memory for it, the table stays as it is and only gets slower. */
static void grow(struct store *store)
{
	size_t old_count = store->chain_count;
	struct entry **old = store->chains;

	if (store->entry_count < old_count)
		return;
	store->chains = calloc(old_count * 2, sizeof(*old));
	if (!store->chains) {
		store->chains = old;
		return;
	}
	store->chain_count = old_count * 2;
	for (size_t i = 0; i < old_count; i++) {
		for (struct entry *entry = old[i], *next; entry; entry = next) {
			struct entry **at = place(store, entry->key);

			next = entry->next;
			entry->next = *at;
			*at = entry;
		}
	}
	free(old);
}

static struct entry *add(struct store *store, const char *key)
{
	struct entry *entry = calloc(1, sizeof(*entry)), **at;

	if (!entry)
		return NULL;
	grow(store);
	at = place(store, key);
	snprintf(entry->key, sizeof(entry->key), "%s", key);
	entry->next = *at;
	*at = entry;
	store->entry_count++;
	return entry;
}

static int memory_put(struct store *store, const char *key, uint64_t version,
		      const struct store_value *value)
{
	void *bytes = malloc(value->length_bytes + 1);
	struct entry *entry;
	int result = STORE_FAILED;

	if (!bytes)
		return result;
	memcpy(bytes, value->bytes, value->length_bytes);
	pthread_mutex_lock(&store->lock);
	entry = *place(store, key);
	if ((entry ? entry->version : 0) != version)
		result = STORE_CONFLICT;
	else if (entry || (entry = add(store, key)))
		result = STORE_OK;
	if (result == STORE_OK) {
		void *old = entry->bytes;

		entry->bytes = bytes;
		entry->length_bytes = value->length_bytes;
		entry->version = value->version;
		bytes = old;
	}
	pthread_mutex_unlock(&store->lock);
	free(bytes);
	return result;
}

static int memory_delete(struct store *store, const char *key, uint64_t version)
{
	struct entry **at, *entry;
	int result = STORE_CONFLICT;

	pthread_mutex_lock(&store->lock);
	at = place(store, key);
	entry = *at;
	if (entry && entry->version == version) {
		*at = entry->next;
		store->entry_count--;
		free(entry->bytes);
		free(entry);
		result = STORE_OK;
	}
	pthread_mutex_unlock(&store->lock);
	return result;
}

static void memory_close(struct store *store)
{
	for (size_t i = 0; i < store->chain_count; i++) {
		for (struct entry *entry = store->chains[i], *next; entry;
		     entry = next) {
			next = entry->next;
			free(entry->bytes);
			free(entry);
		}
	}
	pthread_mutex_destroy(&store->lock);
	free(store->chains);
	free(store);
}

const struct store_calls store_memory = {
	.name = "memory",
	.open = memory_open,
	.get = memory_get,
	.put = memory_put,
	.delete = memory_delete,
	.close = memory_close,
};
