/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * faultline-wasm2c.c - see faultline-wasm2c.h.
 *
 * The three __wrap_ functions stand in for wasm-rt's. Two questions decide
 * what they do:
 *
 * - allocate: does the struct to be filled lie inside the instance of an open
 *   batch of this thread? Asking where it lies, and not in which order calls
 *   come, keeps memories apart that a host function allocates while an
 *   instance is made.
 * - grow and free: is the memory one of ours? wasm-rt has no room for a handle
 *   in its struct, so a map from base to memory answers. A map and not
 *   fl_memory_find(), because that needs the pool, and a list of pools would
 *   have to be kept in step with their destruction.
 *
 * The map is a table of fixed size with bounded probing, lock-free. An entry
 * is made before anyone knows the base and removed before the memory is
 * released, so that a base is never in it twice, and whoever looks for a base
 * owns the memory: no entry that is found can change meanwhile.
 *
 * State: the map, and per thread the innermost open batch.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "faultline-wasm2c.h"

_Static_assert(_Generic(&wasm_rt_allocate_memory,
			void (*)(wasm_rt_memory_t *, uint32_t, uint32_t) : 1,
			default : 0),
	       "wasm-rt.h must be that of wabt 1.0.32");
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "wasm2c keeps memories in reverse on big-endian hosts: no image fits"
#endif

#define WPAGE_BYTES ((uint64_t)65536)
/* wasm_rt_memory_t.size has 32 bits, so 65,536 pages do not fit. */
#define MAX_WPAGES ((uint64_t)65535)
/* A 32-bit index plus a 32-bit offset. */
#define MIN_STRIDE_BYTES ((uint64_t)8 << 30)

/* 2^15 bases 8 GiB apart are more than an address space of 47 bits holds. */
#define MAP_BITS 15
#define MAP_ENTRIES (1u << MAP_BITS)
#define MAP_PROBES 32u

struct map_entry {
	_Atomic(uintptr_t) base; /* 0: empty */
	_Atomic(struct fl_memory *) memory;
};

static struct map_entry map[MAP_ENTRIES];
static _Thread_local struct fl_wasm2c_batch *innermost;

void __wrap_wasm_rt_allocate_memory(wasm_rt_memory_t *memory,
				    uint32_t initial_pages, uint32_t max_pages);
uint32_t __wrap_wasm_rt_grow_memory(wasm_rt_memory_t *memory, uint32_t pages);
void __wrap_wasm_rt_free_memory(wasm_rt_memory_t *memory);
void __real_wasm_rt_allocate_memory(wasm_rt_memory_t *memory,
				    uint32_t initial_pages, uint32_t max_pages);
uint32_t __real_wasm_rt_grow_memory(wasm_rt_memory_t *memory, uint32_t pages);
void __real_wasm_rt_free_memory(wasm_rt_memory_t *memory);

__attribute__((format(printf, 3, 4))) static int
fail(struct fl_error *error, int err, const char *format, ...)
{
	va_list args;

	if (!error)
		return err;
	error->code = err;
	error->trap = FL_TRAP_NONE;
	error->byte_off = FL_ERROR_NO_OFFSET;
	va_start(args, format);
	vsnprintf(error->text, sizeof(error->text), format, args);
	va_end(args);
	return err;
}

/* --------------------------------------------------------------------- map */

static struct map_entry *map_probe(uintptr_t base, unsigned int probe)
{
	/* Fibonacci hashing: bases differ in few and high bits. */
	uint64_t hash = (uint64_t)(base >> 12) * 0x9e3779b97f4a7c15u;

	return &map[((hash >> (64 - MAP_BITS)) + probe) % MAP_ENTRIES];
}

static struct map_entry *map_find(uintptr_t base)
{
	unsigned int i;

	for (i = 0; base && i < MAP_PROBES; i++) {
		struct map_entry *entry = map_probe(base, i);

		if (atomic_load_explicit(&entry->base, memory_order_relaxed) ==
		    base)
			return entry;
	}
	return NULL;
}

static bool map_add(struct fl_memory *memory)
{
	uintptr_t base = (uintptr_t)memory->base;
	unsigned int i;

	for (i = 0; i < MAP_PROBES; i++) {
		struct map_entry *entry = map_probe(base, i);
		uintptr_t empty = 0;

		if (!atomic_compare_exchange_strong(&entry->base, &empty, base))
			continue;
		atomic_store_explicit(&entry->memory, memory,
				      memory_order_relaxed);
		return true;
	}
	return false;
}

static void map_remove(struct map_entry *entry)
{
	atomic_store_explicit(&entry->base, 0, memory_order_release);
}

/* ---------------------------------------------------------------- memories */

static int acquire(struct fl_pool *pool, const struct fl_memory_config *config,
		   struct fl_memory **memory, struct fl_error *error)
{
	struct fl_memory *taken;
	int err;

	err = fl_memory_acquire(pool, config, &taken, error);
	if (err)
		return err;
	if (!map_add(taken)) {
		fl_memory_release(taken);
		return fail(error, -ENOMEM,
			    "too many wasm2c memories live at "
			    "once: at most %u fit",
			    MAP_ENTRIES);
	}
	*memory = taken;
	return 0;
}

static int release(struct map_entry *entry)
{
	struct fl_memory *memory =
		atomic_load_explicit(&entry->memory, memory_order_relaxed);

	map_remove(entry);
	return fl_memory_release(memory);
}

static void describe(wasm_rt_memory_t *memory, const struct fl_memory *from,
		     uint32_t max_pages)
{
	memory->data = from->base;
	memory->size = (uint32_t)from->length_bytes;
	memory->pages = (uint32_t)(from->length_bytes / WPAGE_BYTES);
	memory->max_pages = max_pages;
}

/* The largest size that both the pool and wasm2c allow. */
static int pool_limit(const struct fl_pool *pool, uint64_t *max_bytes,
		      struct fl_error *error)
{
	struct fl_pool_info info = { .size = sizeof(info) };

	fl_pool_info(pool, &info);
#if WASM_RT_MEMCHECK_SIGNAL_HANDLER
	if (info.memory_stride_bytes < MIN_STRIDE_BYTES)
		return fail(error, -ENOTSUP,
			    "wasm2c's code checks no bounds "
			    "and needs a memory_stride_bytes of at least "
			    "8 GiB: the pool has %llu",
			    (unsigned long long)info.memory_stride_bytes);
#endif
	*max_bytes = MAX_WPAGES * WPAGE_BYTES;
	if (info.max_memory_bytes < *max_bytes)
		*max_bytes = info.max_memory_bytes;
	return 0;
}

static int check_type(const struct fl_memory_type *type, uint32_t memory_idx,
		      struct fl_error *error)
{
	const char *what = NULL;

	if (type->is_64)
		what = "has 64-bit addresses";
	else if (type->is_shared)
		what = "is shared";
	else if (type->page_bytes != WPAGE_BYTES)
		what = "has pages of a custom size";
	else if (type->min_pages > MAX_WPAGES)
		what = "starts with 65,536 pages, one too many for the size "
		       "field of wasm-rt.h";
	if (!what)
		return 0;
	return fail(error, -ENOTSUP,
		    "memory %u %s: wasm2c of wabt 1.0.32 "
		    "cannot run it",
		    memory_idx, what);
}

static int acquire_defined(struct fl_wasm2c_batch *batch, struct fl_pool *pool,
			   const struct fl_module *module, uint32_t memory_idx,
			   uint64_t timeout_ns, struct fl_error *error)
{
	struct fl_memory_type type = { .size = sizeof(type) };
	struct fl_memory_config config;
	uint64_t limit_bytes;
	int err;

	err = fl_module_memory_type(module, memory_idx, &type);
	if (err)
		return fail(error, err, "%s", fl_strerror(err));
	err = check_type(&type, memory_idx, error);
	if (!err)
		err = pool_limit(pool, &limit_bytes, error);
	if (err)
		return err;
	fl_memory_config_init(&config);
	config.image = fl_module_image(module, memory_idx);
	config.initial_bytes = type.min_pages * WPAGE_BYTES;
	config.max_bytes = limit_bytes;
	if (type.max_pages < limit_bytes / WPAGE_BYTES)
		config.max_bytes = type.max_pages * WPAGE_BYTES;
	config.timeout_ns = timeout_ns;
	err = acquire(pool, &config, &batch->memories[batch->count], error);
	if (!err)
		batch->count++;
	return err;
}

static void give_back_rest(struct fl_wasm2c_batch *batch)
{
	while (batch->count > batch->taken) {
		const struct fl_memory *memory =
			batch->memories[--batch->count];

		release(map_find((uintptr_t)memory->base));
	}
}

int fl_wasm2c_begin(struct fl_wasm2c_batch *batch, struct fl_pool *pool,
		    const struct fl_module *module, const void *instance,
		    size_t instance_bytes, uint64_t timeout_ns,
		    struct fl_error *error)
{
	struct fl_module_info info = { .size = sizeof(info) };
	uint32_t i;
	int err;

	fl_module_info(module, &info);
	if (info.memory_count - info.imported_memory_count >
	    FL_WASM2C_MAX_MEMORIES)
		return fail(error, -E2BIG,
			    "the module defines %u memories: "
			    "the wasm2c adapter serves %d",
			    info.memory_count - info.imported_memory_count,
			    FL_WASM2C_MAX_MEMORIES);
	batch->instance = (uintptr_t)instance;
	batch->instance_bytes = instance_bytes;
	batch->count = 0;
	batch->taken = 0;
	for (i = info.imported_memory_count; i < info.memory_count; i++) {
		err = acquire_defined(batch, pool, module, i, timeout_ns,
				      error);
		if (err) {
			give_back_rest(batch);
			return err;
		}
	}
	batch->outer = innermost;
	innermost = batch;
	return 0;
}

void fl_wasm2c_end(struct fl_wasm2c_batch *batch)
{
	innermost = batch->outer;
	give_back_rest(batch);
}

int fl_wasm2c_acquire(struct fl_pool *pool,
		      const struct fl_memory_config *config,
		      wasm_rt_memory_t *memory, struct fl_error *error)
{
	struct fl_memory_config limited;
	struct fl_memory *taken;
	uint64_t limit_bytes;
	int err;

	fl_memory_config_init(&limited);
	memcpy(&limited, config,
	       config->size < sizeof(limited) ? config->size : sizeof(limited));
	limited.size = sizeof(limited);
	if (limited.is_shared || limited.page_bytes != WPAGE_BYTES)
		return fail(error, -ENOTSUP,
			    "wasm2c of wabt 1.0.32 has no "
			    "shared memories and no custom page sizes");
	err = pool_limit(pool, &limit_bytes, error);
	if (err)
		return err;
	if (limited.max_bytes > limit_bytes)
		limited.max_bytes = limit_bytes;
	err = acquire(pool, &limited, &taken, error);
	if (!err)
		describe(memory, taken,
			 (uint32_t)(limited.max_bytes / WPAGE_BYTES));
	return err;
}

struct fl_memory *fl_wasm2c_memory(const wasm_rt_memory_t *memory)
{
	struct map_entry *entry = map_find((uintptr_t)memory->data);

	return entry ? atomic_load_explicit(&entry->memory,
					    memory_order_relaxed) :
		       NULL;
}

/* ---------------------------------------------------- in place of wasm-rt's */

static struct fl_wasm2c_batch *batch_of(const wasm_rt_memory_t *memory)
{
	struct fl_wasm2c_batch *batch = innermost;

	while (batch &&
	       (uintptr_t)memory - batch->instance >= batch->instance_bytes)
		batch = batch->outer;
	return batch;
}

void __wrap_wasm_rt_allocate_memory(wasm_rt_memory_t *memory,
				    uint32_t initial_pages, uint32_t max_pages)
{
	struct fl_wasm2c_batch *batch = batch_of(memory);
	const struct fl_memory *taken;

	if (!batch) {
		__real_wasm_rt_allocate_memory(memory, initial_pages,
					       max_pages);
		return;
	}
	/* Another module than the one that the memories were taken for: its
	 * instance would show the wrong content. */
	if (batch->taken == batch->count ||
	    batch->memories[batch->taken]->length_bytes !=
		    initial_pages * WPAGE_BYTES)
		wasm_rt_trap(WASM_RT_TRAP_UNREACHABLE);
	taken = batch->memories[batch->taken++];
	describe(memory, taken, max_pages);
}

uint32_t __wrap_wasm_rt_grow_memory(wasm_rt_memory_t *memory, uint32_t pages)
{
	struct fl_memory *grown = fl_wasm2c_memory(memory);
	uint64_t old_pages;

	if (!grown)
		return __real_wasm_rt_grow_memory(memory, pages);
	if (fl_memory_grow(grown, pages, &old_pages))
		return UINT32_MAX;
	memory->pages = (uint32_t)(old_pages + pages);
	memory->size = (uint32_t)((old_pages + pages) * WPAGE_BYTES);
	return (uint32_t)old_pages;
}

void __wrap_wasm_rt_free_memory(wasm_rt_memory_t *memory)
{
	struct map_entry *entry = map_find((uintptr_t)memory->data);

	if (entry)
		release(entry);
	else
		__real_wasm_rt_free_memory(memory);
}
