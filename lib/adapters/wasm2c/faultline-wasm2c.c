/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * faultline-wasm2c.c - see faultline-wasm2c.h.
 *
 * The functions of faultline-wasm2c-route.h stand in for wasm-rt's, and so do
 * the __wrap_ functions, which are the same by the name that the linker makes.
 * Where --wrap is not given, __real_ is not there and the plain name is real.
 * Two questions decide what they do:
 *
 * - allocate: does the struct to be filled lie inside the instance of an open
 *   batch of this thread? Asking where it lies, and not in which order calls
 *   come, keeps memories and tables apart that a host function allocates while
 *   an instance is made.
 * - grow and free: is the memory or table one of ours? wasm-rt has no room for
 *   a handle in its structs, so a map from base to handle answers, that of
 *   wasm2c-map.h. A map and not fl_memory_find(), because that needs the pool,
 *   and a list of pools would have to be kept in step with their destruction.
 *
 * wasm2c's null references are all zero, and so are the tables that are taken
 * here, whatever null the pool has for others.
 *
 * State: two maps, and per thread the innermost open batch.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define FL_WASM2C_NO_ROUTE
#include "faultline-wasm2c-route.h"
#include "wasm2c-map.h"
#include "wasm2c-offer.h"

_Static_assert(_Generic(&wasm_rt_allocate_memory,
			void (*)(wasm_rt_memory_t *, uint32_t, uint32_t) : 1,
			default : 0),
	       "wasm-rt.h must be that of wabt 1.0.32");
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "wasm2c keeps memories in reverse on big-endian hosts: no image fits"
#endif

_Static_assert(FL_WASM2C_MAX_TABLES <= 32, "is_funcref has 32 bits");

#define WPAGE_BYTES ((uint64_t)65536)
/* wasm_rt_memory_t.size has 32 bits, so 65,536 pages do not fit. */
#define MAX_WPAGES ((uint64_t)65535)
/* A 32-bit index plus a 32-bit offset. */
#define MIN_STRIDE_BYTES ((uint64_t)8 << 30)

/* Where a freed memory's struct points to: far from NULL and from the 47 bits
 * that mappings get, and a fault on every 64-bit host. */
#if UINTPTR_MAX > UINT32_MAX
#define NOWHERE ((uint8_t *)((uintptr_t)1 << 55))
#else
#define NOWHERE ((uint8_t *)NULL)
#endif

/* 2^15 bases 8 GiB apart are more than an address space of 47 bits holds. */
#define MEMORY_MAP_BITS 15
/* Tables lie closer: four for each memory that fits. */
#define TABLE_MAP_BITS 17

static struct map_entry memory_entries[1u << MEMORY_MAP_BITS];
static struct map_entry table_entries[1u << TABLE_MAP_BITS];
static const struct map memories = { memory_entries, MEMORY_MAP_BITS };
static const struct map tables = { table_entries, TABLE_MAP_BITS };
static _Thread_local struct fl_wasm2c_batch *innermost;

/* What the linker's --wrap makes of a function of wasm-rt, and what there is
 * without. Files of Windows have no symbol that may be missing, so there the
 * preprocessor sends the calls, and the plain name is real. */
#ifdef _WIN32
#define WRAPPED(name) _Static_assert(1, "")
#define REAL(name) wasm_rt_##name
#else
#define WRAPPED(name)                                       \
	__typeof__(wasm_rt_##name) __wrap_wasm_rt_##name    \
		__attribute__((alias("fl_wasm2c_" #name))); \
	__typeof__(wasm_rt_##name) __real_wasm_rt_##name __attribute__((weak))
#define REAL(name) \
	(__real_wasm_rt_##name ? __real_wasm_rt_##name : wasm_rt_##name)
#endif

WRAPPED(allocate_memory);
WRAPPED(grow_memory);
WRAPPED(free_memory);
WRAPPED(allocate_funcref_table);
WRAPPED(grow_funcref_table);
WRAPPED(free_funcref_table);
WRAPPED(allocate_externref_table);
WRAPPED(grow_externref_table);
WRAPPED(free_externref_table);

int fl_wasm2c_fail(struct fl_error *error, int err, const char *format, ...)
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

static int add(const struct map *map, const void *base, void *handle,
	       bool is_defined, struct fl_error *error)
{
	if (map_add(map, base, handle, is_defined))
		return 0;
	return fl_wasm2c_fail(
		error, -ENOMEM,
		"too many wasm2c memories or tables live at once: the "
		"adapter knows at most %u of this kind",
		1u << map->bits);
}

/* ---------------------------------------------------------------- memories */

static int acquire(struct fl_pool *pool, const struct fl_memory_config *config,
		   bool is_defined, struct fl_memory **memory,
		   struct fl_error *error)
{
	int err = fl_memory_acquire(pool, config, memory, error);

	if (err)
		return err;
	err = add(&memories, (*memory)->base, *memory, is_defined, error);
	if (err)
		fl_memory_release(*memory);
	return err;
}

static void release(struct map_entry *entry)
{
	struct fl_memory *memory = map_handle(entry);

	map_remove(entry);
	fl_memory_release(memory);
}

static void describe(wasm_rt_memory_t *memory, const struct fl_memory *from,
		     uint32_t max_pages)
{
	memory->data = from->base;
	memory->size = (uint32_t)from->length_bytes;
	memory->pages = (uint32_t)(from->length_bytes / WPAGE_BYTES);
	memory->max_pages = max_pages;
}

int fl_wasm2c_read_offer(const struct fl_pool *pool,
			 struct fl_wasm2c_offer *offer, struct fl_error *error)
{
	struct fl_pool_config config = { .size = sizeof(config) };

	fl_pool_config_of(pool, &config);
#if WASM_RT_MEMCHECK_SIGNAL_HANDLER
	if (config.memory_stride_bytes < MIN_STRIDE_BYTES)
		return fl_wasm2c_fail(
			error, -ENOTSUP,
			"wasm2c's code checks no bounds "
			"and needs a memory_stride_bytes of at least "
			"8 GiB: the pool has %llu",
			(unsigned long long)config.memory_stride_bytes);
	if (config.bounds == FL_BOUNDS_ACCESSIBLE)
		return fl_wasm2c_fail(
			error, -ENOTSUP,
			"wasm2c's code checks no bounds, and nothing would stop "
			"it at the end of a memory: make the pool "
			"FL_BOUNDS_GUARDED");
#else
	(void)error;
#endif
	offer->max_bytes = MAX_WPAGES * WPAGE_BYTES;
	if (config.max_memory_bytes < offer->max_bytes)
		offer->max_bytes = config.max_memory_bytes;
	/* A pool's elements are 24 bytes wide, not the 12 of 32-bit hosts. */
	offer->has_tables = config.max_tables > 0 &&
			    sizeof(wasm_rt_funcref_t) % 8 == 0;
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
	return fl_wasm2c_fail(error, -ENOTSUP,
			      "memory %u %s: wasm2c of wabt 1.0.32 "
			      "cannot run it",
			      memory_idx, what);
}

static int acquire_defined(struct fl_wasm2c_batch *batch, struct fl_pool *pool,
			   const struct fl_module *module, uint32_t memory_idx,
			   uint64_t limit_bytes, uint64_t timeout_ns,
			   struct fl_error *error)
{
	struct fl_memory_type type = { .size = sizeof(type) };
	struct fl_memory_config config;
	int err;

	err = fl_module_memory_type(module, memory_idx, &type);
	if (err)
		return fl_wasm2c_fail(error, err, "%s", fl_strerror(err));
	err = check_type(&type, memory_idx, error);
	if (err)
		return err;
	fl_memory_config_init(&config);
	config.image = fl_module_image(module, memory_idx);
	config.initial_bytes = type.min_pages * WPAGE_BYTES;
	config.max_bytes = limit_bytes;
	if (type.max_pages < limit_bytes / WPAGE_BYTES)
		config.max_bytes = type.max_pages * WPAGE_BYTES;
	config.timeout_ns = timeout_ns;
	err = acquire(pool, &config, true, &batch->memories[batch->count],
		      error);
	if (!err)
		batch->count++;
	return err;
}

/* ------------------------------------------------------------------ tables */

static int table_acquire(struct fl_pool *pool,
			 const struct fl_table_config *config,
			 struct fl_table **table, struct fl_error *error)
{
	int err = fl_table_acquire(pool, config, table, error);

	if (err)
		return err;
	err = add(&tables, (*table)->base, *table, false, error);
	if (err)
		fl_table_release(*table);
	return err;
}

static void table_release(struct map_entry *entry)
{
	struct fl_table *table = map_handle(entry);

	map_remove(entry);
	fl_table_release(table);
}

/* As large as wasm2c's fields can say, and with its null. */
static void table_limit(struct fl_table_config *config, size_t element_bytes)
{
	static const unsigned char zeroes[sizeof(wasm_rt_funcref_t)];

	config->size = sizeof(*config);
	config->element_bytes = (uint32_t)element_bytes;
	config->null = zeroes;
	if (config->max_elements > UINT32_MAX)
		config->max_elements = UINT32_MAX;
}

static int table_acquire_defined(struct fl_wasm2c_batch *batch,
				 struct fl_pool *pool,
				 const struct fl_module *module,
				 uint32_t table_idx, uint64_t timeout_ns,
				 struct fl_error *error)
{
	/* Without is_changed: an instance does not wait for a walk through the
	 * module's code. */
	struct fl_table_type type = {
		.size = offsetof(struct fl_table_type, is_changed),
	};
	struct fl_table_config config;
	int err;

	err = fl_module_table_type(module, table_idx, &type);
	if (err)
		return fl_wasm2c_fail(error, err, "%s", fl_strerror(err));
	if (type.is_64 || type.has_init)
		return fl_wasm2c_fail(
			error, -ENOTSUP,
			"table %u has %s: wasm2c of wabt 1.0.32 cannot "
			"run it",
			table_idx,
			type.is_64 ? "64-bit indices" : "an initialiser");
	fl_table_config_init(&config);
	config.initial_elements = type.min_elements;
	config.max_elements = type.max_elements;
	config.timeout_ns = timeout_ns;
	table_limit(&config, type.is_func ? sizeof(wasm_rt_funcref_t) :
					    sizeof(wasm_rt_externref_t));
	err = table_acquire(pool, &config, &batch->tables[batch->table_count],
			    error);
	if (err)
		return err;
	if (type.is_func)
		batch->is_funcref |= UINT32_C(1) << batch->table_count;
	batch->table_count++;
	return 0;
}

/* ------------------------------------------------------------------- batch */

static void give_back_rest(struct fl_wasm2c_batch *batch)
{
	while (batch->table_count > batch->table_taken) {
		const struct fl_table *table =
			batch->tables[--batch->table_count];

		table_release(map_find(&tables, table->base));
	}
	while (batch->count > batch->taken) {
		const struct fl_memory *memory =
			batch->memories[--batch->count];

		release(map_find(&memories, memory->base));
	}
}

static int check_counts(const struct fl_module_info *info,
			const struct fl_wasm2c_offer *offer,
			struct fl_error *error)
{
	uint32_t memory_count =
		info->memory_count - info->imported_memory_count;
	uint32_t table_count = info->table_count - info->imported_table_count;

	if (memory_count > FL_WASM2C_MAX_MEMORIES)
		return fl_wasm2c_fail(
			error, -E2BIG,
			"the module defines %u memories: the wasm2c "
			"adapter serves %d",
			memory_count, FL_WASM2C_MAX_MEMORIES);
	if (offer->has_tables && table_count > FL_WASM2C_MAX_TABLES)
		return fl_wasm2c_fail(
			error, -E2BIG,
			"the module defines %u tables: the wasm2c adapter "
			"serves %d, from a pool without max_tables any",
			table_count, FL_WASM2C_MAX_TABLES);
	return 0;
}

static int acquire_all(struct fl_wasm2c_batch *batch, struct fl_pool *pool,
		       const struct fl_module *module,
		       const struct fl_module_info *info,
		       const struct fl_wasm2c_offer *offer, uint64_t timeout_ns,
		       struct fl_error *error)
{
	uint32_t i;
	int err = 0;

	for (i = info->imported_memory_count; !err && i < info->memory_count;
	     i++)
		err = acquire_defined(batch, pool, module, i, offer->max_bytes,
				      timeout_ns, error);
	if (!offer->has_tables)
		return err;
	for (i = info->imported_table_count; !err && i < info->table_count; i++)
		err = table_acquire_defined(batch, pool, module, i, timeout_ns,
					    error);
	return err;
}

#define REMEDY                                                 \
	"compile wasm2c's output and the host with `-include " \
	"faultline-wasm2c-route.h`, which needs no --wrap of the linker"

int fl_wasm2c_check_routes(const struct fl_wasm2c_routes *routes,
			   struct fl_error *error)
{
	if (routes->allocate_memory == fl_wasm2c_allocate_memory &&
	    routes->grow_memory == fl_wasm2c_grow_memory &&
	    routes->free_memory == fl_wasm2c_free_memory)
		return 0;
	return fl_wasm2c_fail(
		error, -ENOTSUP,
		"wasm-rt's calls do not come to the adapter: " REMEDY);
}

int(fl_wasm2c_begin)(struct fl_wasm2c_batch *batch, struct fl_pool *pool,
		     const struct fl_module *module, const void *instance,
		     size_t instance_bytes, uint64_t timeout_ns,
		     struct fl_error *error)
{
	struct fl_module_info info = { .size = sizeof(info) };
	struct fl_wasm2c_offer offer;
	int err, cancel;

	err = fl_wasm2c_read_offer(pool, &offer, error);
	if (err)
		return err;
	fl_module_info(module, &info);
	err = check_counts(&info, &offer, error);
	if (err)
		return err;
	*batch = (struct fl_wasm2c_batch){
		.instance = (uintptr_t)instance,
		.instance_bytes = instance_bytes,
		.has_tables = offer.has_tables,
	};
	/* A thread that ended here would take with it what it has so far. */
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel);
	err = acquire_all(batch, pool, module, &info, &offer, timeout_ns,
			  error);
	pthread_setcancelstate(cancel, NULL);
	if (err) {
		give_back_rest(batch);
		return err;
	}
	batch->outer = innermost;
	innermost = batch;
	return 0;
}

/* The struct was zero before: something was instantiated in it. */
static bool is_filled(const struct fl_wasm2c_batch *batch)
{
	const unsigned char *bytes = (const unsigned char *)batch->instance;

	for (size_t i = 0; i < batch->instance_bytes; i++) {
		if (bytes[i])
			return true;
	}
	return false;
}

int fl_wasm2c_end(struct fl_wasm2c_batch *batch)
{
	bool is_bypassed = !batch->is_refused &&
			   ((batch->count && !batch->taken) ||
			    (batch->table_count && !batch->table_taken)) &&
			   is_filled(batch);

	innermost = batch->outer;
	give_back_rest(batch);
	batch->error.text[0] = '\0';
	if (!is_bypassed)
		return batch->error.code = 0;
	return fl_wasm2c_fail(
		&batch->error, -ENOTSUP,
		"the instance took nothing from the pool and lacks its content; "
		"do not call the instance, free it: " REMEDY);
}

/* ------------------------------------------------ what the host takes alone */

int(fl_wasm2c_acquire)(struct fl_pool *pool,
		       const struct fl_memory_config *config,
		       wasm_rt_memory_t *memory, struct fl_error *error)
{
	struct fl_memory_config limited;
	struct fl_memory *taken;
	struct fl_wasm2c_offer offer;
	int err;

	fl_memory_config_init(&limited);
	memcpy(&limited, config,
	       config->size < sizeof(limited) ? config->size : sizeof(limited));
	limited.size = sizeof(limited);
	if (limited.is_shared || limited.page_bytes != WPAGE_BYTES)
		return fl_wasm2c_fail(
			error, -ENOTSUP,
			"wasm2c of wabt 1.0.32 has no "
			"shared memories and no custom page sizes");
	err = fl_wasm2c_read_offer(pool, &offer, error);
	if (err)
		return err;
	if (limited.max_bytes > offer.max_bytes)
		limited.max_bytes = offer.max_bytes;
	err = acquire(pool, &limited, false, &taken, error);
	if (!err)
		describe(memory, taken,
			 (uint32_t)(limited.max_bytes / WPAGE_BYTES));
	return err;
}

int fl_wasm2c_replace(struct fl_pool *pool,
		      const struct fl_memory_config *config, bool is_defined,
		      wasm_rt_memory_t *memory, struct fl_error *error)
{
	struct fl_memory *taken;
	int err = acquire(pool, config, is_defined, &taken, error);

	if (!err)
		describe(memory, taken, memory->max_pages);
	return err;
}

static int table_acquire_alone(struct fl_pool *pool,
			       const struct fl_table_config *config,
			       size_t element_bytes, struct fl_table **table,
			       uint32_t *max_size, struct fl_error *error)
{
	struct fl_table_config limited;
	int err;

	fl_table_config_init(&limited);
	memcpy(&limited, config,
	       config->size < sizeof(limited) ? config->size : sizeof(limited));
	if (limited.clone || limited.drop || limited.storage)
		return fl_wasm2c_fail(
			error, -ENOTSUP,
			"wasm2c's code writes to tables itself: clone, "
			"drop and storage are not for its tables");
	table_limit(&limited, element_bytes);
	err = table_acquire(pool, &limited, table, error);
	if (!err)
		*max_size = (uint32_t)limited.max_elements;
	return err;
}

struct fl_memory *fl_wasm2c_memory(const wasm_rt_memory_t *memory)
{
	return map_handle(map_find(&memories, memory->data));
}

bool fl_wasm2c_is_defined(const wasm_rt_memory_t *memory)
{
	const struct map_entry *entry = map_find(&memories, memory->data);

	return entry && map_is_defined(entry);
}

/* ---------------------------------------------------- in place of wasm-rt's */

static struct fl_wasm2c_batch *batch_of(const void *filled)
{
	struct fl_wasm2c_batch *batch = innermost;

	while (batch &&
	       (uintptr_t)filled - batch->instance >= batch->instance_bytes)
		batch = batch->outer;
	return batch;
}

/* The call came here, and its memory or table is of another module. */
static void refuse(struct fl_wasm2c_batch *batch)
{
	batch->is_refused = 1;
	wasm_rt_trap(WASM_RT_TRAP_UNREACHABLE);
}

void fl_wasm2c_allocate_memory(wasm_rt_memory_t *memory, uint32_t initial_pages,
			       uint32_t max_pages)
{
	struct fl_wasm2c_batch *batch = batch_of(memory);

	if (!batch) {
		REAL(allocate_memory)(memory, initial_pages, max_pages);
		return;
	}
	/* Another module than the one that the memories were taken for: its
	 * instance would show the wrong content. */
	if (batch->taken == batch->count ||
	    batch->memories[batch->taken]->length_bytes !=
		    initial_pages * WPAGE_BYTES)
		refuse(batch);
	describe(memory, batch->memories[batch->taken++], max_pages);
}

uint32_t fl_wasm2c_grow_memory(wasm_rt_memory_t *memory, uint32_t pages)
{
	struct fl_memory *grown = fl_wasm2c_memory(memory);
	uint64_t old_pages;

	if (!grown)
		return REAL(grow_memory)(memory, pages);
	if (fl_memory_grow(grown, pages, &old_pages))
		return UINT32_MAX;
	memory->pages = (uint32_t)(old_pages + pages);
	memory->size = (uint32_t)((old_pages + pages) * WPAGE_BYTES);
	return (uint32_t)old_pages;
}

/* A memory that was given is out of reach: a second free must not release the
 * slot's next tenant. */
static void describe_nothing(wasm_rt_memory_t *memory)
{
	memory->data = NOWHERE;
	memory->pages = memory->size = 0;
}

void fl_wasm2c_free_memory(wasm_rt_memory_t *memory)
{
	struct map_entry *entry = map_find(&memories, memory->data);

	if (entry) {
		describe_nothing(memory);
		release(entry);
	} else if (memory->data != NOWHERE) {
		REAL(free_memory)(memory);
	}
}

/* No base: mappings begin on pages. */
#define HIDDEN ((uintptr_t)1)

void *fl_wasm2c_hide(const wasm_rt_memory_t *memory, struct fl_memory **handle)
{
	struct map_entry *entry = map_find(&memories, memory->data);

	if (!entry)
		return NULL;
	*handle = map_handle(entry);
	atomic_store_explicit(&entry->base, HIDDEN, memory_order_relaxed);
	return entry;
}

void fl_wasm2c_unhide(void *hidden, wasm_rt_memory_t *memory, bool is_released)
{
	struct map_entry *entry = hidden;

	if (is_released) {
		map_remove(entry);
		describe_nothing(memory);
		return;
	}
	atomic_store_explicit(&entry->base, (uintptr_t)memory->data,
			      memory_order_relaxed);
}

void fl_wasm2c_give(wasm_rt_memory_t *memory)
{
	if (!memory->data)
		return;
	fl_wasm2c_free_memory(memory);
	describe_nothing(memory);
}

/* The batch's next table; NULL if the table to be filled is in no batch of
 * tables. */
static const struct fl_table *take_table(const void *filled, uint32_t elements,
					 bool is_funcref)
{
	struct fl_wasm2c_batch *batch = batch_of(filled);
	const struct fl_table *table;

	if (!batch || !batch->has_tables)
		return NULL;
	if (batch->table_taken == batch->table_count)
		refuse(batch);
	table = batch->tables[batch->table_taken];
	/* Another module than the one that the tables were taken for: elements
	 * of another width would reach beyond the slot. */
	if (table->length != elements ||
	    (batch->is_funcref >> batch->table_taken & 1) != is_funcref)
		refuse(batch);
	batch->table_taken++;
	return table;
}

/* The two kinds of tables differ in their types alone. */
#define DEFINE_TABLE(type, is_funcref)                                        \
	int fl_wasm2c_acquire_##type##_table(                                 \
		struct fl_pool *pool, const struct fl_table_config *config,   \
		wasm_rt_##type##_table_t *table, struct fl_error *error)      \
	{                                                                     \
		struct fl_table *taken;                                       \
		uint32_t max_size;                                            \
		int err = table_acquire_alone(pool, config,                   \
					      sizeof(wasm_rt_##type##_t),     \
					      &taken, &max_size, error);      \
                                                                              \
		if (!err)                                                     \
			*table = (wasm_rt_##type##_table_t){                  \
				.data = taken->base,                          \
				.max_size = max_size,                         \
				.size = (uint32_t)taken->length,              \
			};                                                    \
		return err;                                                   \
	}                                                                     \
                                                                              \
	struct fl_table *fl_wasm2c_##type##_table(                            \
		const wasm_rt_##type##_table_t *table)                        \
	{                                                                     \
		return map_handle(map_find(&tables, table->data));            \
	}                                                                     \
                                                                              \
	void fl_wasm2c_allocate_##type##_table(                               \
		wasm_rt_##type##_table_t *table, uint32_t elements,           \
		uint32_t max_elements)                                        \
	{                                                                     \
		const struct fl_table *taken =                                \
			take_table(table, elements, is_funcref);              \
                                                                              \
		if (taken)                                                    \
			*table = (wasm_rt_##type##_table_t){                  \
				.data = taken->base,                          \
				.max_size = max_elements,                     \
				.size = elements,                             \
			};                                                    \
		else                                                          \
			REAL(allocate_##type##_table)                         \
		(table, elements, max_elements);                              \
	}                                                                     \
                                                                              \
	uint32_t fl_wasm2c_grow_##type##_table(                               \
		wasm_rt_##type##_table_t *table, uint32_t delta,              \
		wasm_rt_##type##_t init)                                      \
	{                                                                     \
		struct fl_table *grown = fl_wasm2c_##type##_table(table);     \
		uint64_t old_size;                                            \
                                                                              \
		if (!grown)                                                   \
			return REAL(grow_##type##_table)(table, delta, init); \
		if (fl_table_grow(grown, delta, &init, &old_size))            \
			return UINT32_MAX;                                    \
		table->size = (uint32_t)(old_size + delta);                   \
		return (uint32_t)old_size;                                    \
	}                                                                     \
                                                                              \
	void fl_wasm2c_free_##type##_table(wasm_rt_##type##_table_t *table)   \
	{                                                                     \
		struct map_entry *entry = map_find(&tables, table->data);     \
                                                                              \
		if (!entry) {                                                 \
			REAL(free_##type##_table)(table);                     \
			return;                                               \
		}                                                             \
		table->data = NULL;                                           \
		table->size = 0;                                              \
		table_release(entry);                                         \
	}

DEFINE_TABLE(funcref, true)
DEFINE_TABLE(externref, false)
