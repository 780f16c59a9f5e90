/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * wasm2c-map.h - from the base of a memory or table to its handle. Not installed.
 *
 * Takes handles as they are acquired and bases as they are released; gives the
 * handle of a base, and whether the memory lies in the instance that defines it.
 *
 * A map has a fixed size and bounded probing, and is lock-free. An entry is
 * made before anyone knows the base and removed before the memory or table is
 * released, so that no base is in the map twice. A caller that looks for a base
 * owns the memory or table of that base: no found entry can change meanwhile.
 */
#ifndef WASM2C_MAP_H
#define WASM2C_MAP_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MAP_PROBES 32u

struct map_entry {
	_Atomic(uintptr_t) base; /* 0: empty */
	_Atomic(void *) handle;
};

struct map {
	struct map_entry *entries;
	unsigned int bits;
};

/* In a handle's lowest bit, which is 0 in every address of one: the memory lies in
 * the instance that defines it. */
#define MAP_DEFINED ((uintptr_t)1)

static inline struct map_entry *map_probe(const struct map *map, uintptr_t base,
					  unsigned int probe)
{
	/* Fibonacci hashing: bases differ in few and high bits. */
	uint64_t hash = (uint64_t)(base >> 12) * 0x9e3779b97f4a7c15u;

	return &map->entries[((hash >> (64 - map->bits)) + probe) %
			     (1u << map->bits)];
}

/* NULL: no handle has this base. */
static inline struct map_entry *map_find(const struct map *map,
					 const void *base)
{
	for (unsigned int i = 0; base && i < MAP_PROBES; i++) {
		struct map_entry *entry = map_probe(map, (uintptr_t)base, i);

		if (atomic_load_explicit(&entry->base, memory_order_relaxed) ==
		    (uintptr_t)base)
			return entry;
	}
	return NULL;
}

static inline uintptr_t map_word(const struct map_entry *entry)
{
	return (uintptr_t)atomic_load_explicit(&entry->handle,
					       memory_order_relaxed);
}

/* NULL of no entry. */
static inline void *map_handle(const struct map_entry *entry)
{
	return entry ? (void *)(map_word(entry) & ~MAP_DEFINED) : NULL;
}

static inline bool map_is_defined(const struct map_entry *entry)
{
	return map_word(entry) & MAP_DEFINED;
}

/* False: there is no room. */
static inline bool map_add(const struct map *map, const void *base,
			   void *handle, bool is_defined)
{
	for (unsigned int i = 0; i < MAP_PROBES; i++) {
		struct map_entry *entry = map_probe(map, (uintptr_t)base, i);
		uintptr_t empty = 0;

		if (!atomic_compare_exchange_strong(&entry->base, &empty,
						    (uintptr_t)base))
			continue;
		atomic_store_explicit(&entry->handle,
				      (char *)handle +
					      (is_defined ? MAP_DEFINED : 0),
				      memory_order_relaxed);
		return true;
	}
	return false;
}

static inline void map_remove(struct map_entry *entry)
{
	atomic_store_explicit(&entry->base, 0, memory_order_release);
}

#endif
