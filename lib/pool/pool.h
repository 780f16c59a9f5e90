/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * pool.h - one reservation, its banks of slots, and who holds which.
 *
 * Takes a configuration; gives memories, tables, instances and stacks by index
 * and takes them back. The whole pool is one inaccessible reservation:
 *
 *	│ before │ prefix │ memory 0 ... │ after │ prefix │ memory 1 ... │ after │
 *	                  └── stride ────────────────────┘
 *	│ guard │ table 0 │ guard │ table 1 │ guard │ ... │ guard │
 *	│ guard │ structure 0 │ guard │ ... │ guard │
 *	│ guard │ stack 0 │ guard │ ... │ guard │
 *
 * A memory's trailing guard is the next one's leading guard, and so are those of
 * the others. Memories, tables and the runtime's structures are slots of three
 * banks: the backend shows images in them, tracks what is written and makes
 * them clean; bank.c decides what becomes of a slot. A table or structure is a
 * slot whose whole size is accessible. Stacks are no backend's (stack.c).
 *
 * Allocating on demand, a pool reserves nothing: each slot is a region of its
 * own, one mapping, with the same geometry (ondemand.c).
 *
 * Locks: each stock has its own, held for list work only, never across a system
 * call. A memory's grow_lock serialises its growth; the trim_lock, taken before
 * any stock's, trimming; the null_lock, under which no other is taken, the
 * building of images of nulls. Between take and give a slot belongs to one caller.
 *
 * Invariants
 * - A slot whose reset or attach failed is emptied or retired, never given.
 * - memory->state is LIVE exactly while a caller holds it; signal handlers
 *   read it, and pub, without a lock.
 */
#ifndef FL_POOL_H
#define FL_POOL_H

#include "module/module.h"
#include "slots/stock.h"

#define FL__MAX_ELEMENT_BYTES 32
#define FL__MAX_STACK_ALIGNMENT 4096u

enum fl__memory_state {
	FL__MEMORY_FREE = 0,
	FL__MEMORY_LIVE = 1,
	FL__MEMORY_RETIRED = 2,
};

struct fl__bank;
struct fl__region;

/* One slot of a bank: a memory, or what a table or a structure lies in. pub
 * comes first: a fl_memory is its fl__memory. */
struct fl__memory {
	struct fl_memory pub;		/* length_bytes is atomic */
	struct fl__space slot;
	struct fl__arena *arena;
	struct fl__bank *bank;
	struct fl_pool *pool;
	struct fl_instance *instance;	/* atomic; NULL: taken alone */
	uint32_t state;			/* atomic, enum fl__memory_state */
	bool is_lent;			/* atomic; set only while LIVE */
	uint64_t page_bytes;
	uint64_t max_bytes;
	uint64_t counted_bytes;		/* in pool->idle_kept_bytes */
	uint64_t acquired;		/* atomic; written by its owner */
	const struct fl__geometry *geometry;
	struct fl__region *region;	/* on demand; NULL: a slot of the pool */
	struct fl__os_lock grow_lock;
} __attribute__((aligned(128)));	/* two threads never share a line */

/* See faultline.h. memory NULL: made by fl_table_create(). */
struct fl__table {
	struct fl_table pub;
	struct fl__memory *memory;
	uint64_t max_elements;
	uint64_t capacity;		/* elements that fit at pub.base */
	void (*clone)(void *user, void *dst, const void *src);
	void (*drop)(void *user, void *element);
	void *user;
	uint32_t element_bytes;		/* atomic: handlers read it */
	bool is_static;
	uint8_t null[FL__MAX_ELEMENT_BYTES];
} __attribute__((aligned(128)));

struct fl_instance {
	struct fl_pool *pool;
	/* A reference. A free slot keeps that of its last instance (instance.c);
	 * NULL: none, or let go. */
	struct fl_module *module;
	struct fl__memory *structure;
	void *user;
	void (*make_element)(void *user, struct fl_instance *instance,
			     const struct fl_element *from, void *element);
	uint32_t memory_count, table_count;
	/* The module's index spaces, as many as the reader lets through: a slot
	 * allocates nothing for them, whatever module comes. */
	struct fl_memory *memories[FL__READER_MAX_MEMORIES];
	struct fl_table *tables[FL__READER_MAX_TABLES];	/* none: runtime's */
	/* One bit a segment. */
	uint64_t *dropped_data, *dropped_elements;
	size_t data_words, element_words;
	bool has_dropped_data, has_dropped_elements;
	bool is_initialised;
	uint64_t image_tables[2];	/* that began with an image; one bit each */
	/* Two instances side by side never share a cache line, wherever the
	 * first begins. */
	uint8_t apart[128];
};

struct fl__stack {
	struct fl_stack pub;
	struct fl_pool *pool;
	struct fl__region *region;	/* as of a memory */
	uint32_t idx;
	uint32_t state;			/* atomic, enum fl__memory_state */
	uint64_t acquired;		/* atomic; written by its owner */
	bool is_open;			/* accessible */
} __attribute__((aligned(128)));

enum fl__bank_kind {
	FL__BANK_MEMORY = 0,
	FL__BANK_TABLE = 1,
	FL__BANK_STRUCTURE = 2,
	FL__BANK_COUNT = 3,
};

struct fl__bank {
	struct fl_pool *pool;
	enum fl__bank_kind kind;
	struct fl__geometry geometry;
	struct fl__arena *arena;	/* NULL on demand */
	struct fl__memory *slots;
	uint64_t refused;		/* atomic */
	uint64_t live, acquired;	/* atomic; on demand only */
	struct fl__stock stock;
};

/* Where everything lies, from the start of the reservation. */
struct fl__layout {
	struct fl__geometry banks[FL__BANK_COUNT];
	/* From a memory's base on, so much is its own or inaccessible: up to the
	 * prefix of the next. */
	uint64_t memory_reach_bytes;
	uint64_t reserved_bytes;
	uint64_t align_bytes;
	uint64_t stacks_off, stack_stride_bytes, stack_bytes;
};

/* A null image: so many null references, which are not zeroes. */
struct fl__null_image {
	struct fl_image *image;		/* a reference; NULL: free */
	uint64_t element_count;
	uint32_t element_bytes;
	uint8_t null[FL__MAX_ELEMENT_BYTES];
};

#define FL__NULL_IMAGES 16

struct fl_pool {
	struct fl_context *context;	/* a reference */
	struct fl_pool *next;		/* context's list, atomic */
	struct fl_pool_config config;
	struct fl__layout layout;
	uint8_t *reservation;
	bool is_on_demand;
	struct fl__os_fork_guard fork_guard;
	struct fl__table *tables;	/* one for each slot of its bank */
	struct fl_instance *instances;	/* likewise */
	struct fl__stack *stacks;
	struct fl__region *regions;	/* atomic links; context->lock to change */
	struct fl__region *spare_regions;	/* context->lock */
	uint8_t table_null[FL__MAX_ELEMENT_BYTES];
	/* Held while slots are trimmed, so that fl_pool_destroy() does not take
	 * the pressure thread's work for a tenant. */
	struct fl__os_lock trim_lock;
	struct fl__os_lock null_lock;	/* guards the two below */
	struct fl__null_image null_images[FL__NULL_IMAGES];
	uint32_t null_next;
	struct fl__os_watch *pressure_watch;	/* NULL: none */
	uint64_t pressure_trim_bytes;

	/* Atomic; written only by pools that ask for audits or a budget. */
	uint64_t releases, audited, audit_failures, audit_pins;
	uint64_t idle_kept_bytes;

	uint64_t refused_stacks;	/* atomic */
	uint64_t live_stacks, acquired_stacks;	/* atomic; on demand only */
	uint64_t mapped_bytes;		/* likewise: of the regions */

	/* Aligned, so that what is above is only read when they are used. */
	struct fl__bank banks[FL__BANK_COUNT];
	struct fl__stock stack_stock;
};

/* Pure: lay a pool out. -EINVAL, -ENOMEM. */
int fl__layout_plan(const struct fl_pool_config *config, uint64_t hpage_bytes,
		    struct fl__layout *layout, struct fl_error *error);

/* -ECHILD in a forked child. */
int fl__pool_check_owner(const struct fl_pool *pool, struct fl_error *error);

/* ---------------------------------------------------------------- bank.c */

/* What one slot is taken with. */
struct fl__memory_request {
	struct fl_image *image;
	uint64_t initial_bytes;
	uint64_t max_bytes;
	uint64_t page_bytes;
	bool is_lent;
};

/* The bank's slots, lists and arena; close undoes it, in part too. -ENOMEM and
 * what arena_open answers. */
int fl__bank_open(struct fl__bank *bank, struct fl_pool *pool,
		  enum fl__bank_kind kind, struct fl_error *error);
void fl__bank_close(struct fl__bank *bank);
/* Slots taken now. */
uint64_t fl__bank_live(struct fl__bank *bank);

/* Prepare a memory whose base and geometry are known. -ENOMEM. */
int fl__memory_init(struct fl__memory *memory, struct fl__bank *bank,
		    const struct fl__geometry *geometry, uint32_t idx);

/* Take count slots, all or none; at most FL__READER_MAX_MEMORIES. */
int fl__bank_take(struct fl__bank *bank,
		  const struct fl__memory_request *requests, uint32_t count,
		  uint64_t timeout_ns, struct fl__memory **memories,
		  struct fl_error *error);
/* 0, or -EIO when an audit found the slot unclean: it is given back or retired
 * in any case. */
int fl__memory_give(struct fl__memory *memory);
/* Take a live memory that was taken alone from its holder; false if it is
 * neither. Of two callers one gets through, and gives it. */
bool fl__memory_claim(struct fl__memory *memory);
/* Empty an owned slot, whatever state it is in, and give it to the stock. */
void fl__memory_empty(struct fl__memory *memory);

/* ------------------------------------------------------------ ondemand.c */

/* One mapping with one memory, table, structure or stack in it. It stays, as a
 * spare one without a mapping, until the pool goes: a handle that was released
 * can be told from one that lives, as in a pool of slots. */
struct fl__region {
	struct fl__region *next;	/* atomic; pool->regions */
	uint8_t *start;
	uint64_t length_bytes;
	bool is_stack;
	struct fl__geometry geometry;
	struct fl__memory memory;
	struct fl__table table;
	struct fl_instance instance;
	struct fl__stack stack;
};

int fl__region_make(struct fl__bank *bank,
		    const struct fl__memory_request *request,
		    struct fl__memory **memory, struct fl_error *error);
/* The memory is not live, and its slot detached or never attached. */
void fl__region_drop(struct fl__region *region);
void fl__regions_free(struct fl_pool *pool);
int fl__region_make_stack(struct fl_pool *pool, struct fl__stack **stack,
			  struct fl_error *error);
/* The region that an address is in; NULL: none. Takes no lock: the caller is
 * within fl__context_walk_begin() and _end(). */
struct fl__region *fl__region_at(const struct fl_pool *pool, const void *addr);

/* --------------------------------------------------------------- table.c */

/* A table in a pool's slot. After an error nothing is held. */
int fl__table_take(struct fl_pool *pool, const struct fl_table_config *configs,
		   uint32_t count, uint64_t timeout_ns,
		   struct fl_table **tables, struct fl_error *error);
int fl__table_give(struct fl__table *table);
/* The table whose slot this is. */
struct fl__table *fl__table_at(struct fl__memory *memory);
void fl__table_forget_nulls(struct fl_pool *pool);

/* -------------------------------------------------------------- others */

/* lookup.c: the live slot whose base this is, NULL if none. Any thread, no
 * lock. */
struct fl__memory *fl__lookup_slot(const struct fl_pool *pool,
				   enum fl__bank_kind kind, const void *base);

/* The instance whose structure's slot this is. */
struct fl_instance *fl__instance_at(struct fl__memory *memory);
void fl__instance_fini(struct fl_instance *instance);
/* Free slots of instances let go of a module, or of all (NULL). Runs what the
 * modules' owners want to be told; the caller holds no lock of a stock. */
void fl__instance_forget(struct fl_pool *pool, const struct fl_module *module);

/* The second half of fl_instance_acquire(); config is complete. */
int fl__instance_initialise(struct fl_instance *instance,
			    const struct fl_instance_config *config,
			    struct fl_error *error);

/* Stacks of a pool: their slots; close undoes it. */
int fl__stacks_open(struct fl_pool *pool, struct fl_error *error);
void fl__stacks_close(struct fl_pool *pool);
uint64_t fl__stacks_live(struct fl_pool *pool);

/* validate.c: do the imports and the rest of a complete config fit the module
 * and the pool? -EINVAL, -ENOTSUP. */
int fl__instance_check(const struct fl_pool *pool,
		       const struct fl_module *module,
		       const struct fl_instance_config *config,
		       struct fl_error *error);

enum fl__audit_verdict {
	FL__AUDIT_CLEAN = 0,	/* or not this one's turn */
	FL__AUDIT_UNSURE,	/* pinned, or not to be read: to be emptied */
	FL__AUDIT_DIRTY,	/* the slot is to be retired */
};

/* A slot that was just reset, from a tenant whose size was length_bytes. */
enum fl__audit_verdict fl__audit(struct fl__memory *memory,
				 uint64_t length_bytes);
void fl__audit_info(const struct fl_pool *pool, struct fl_pool_info *info);

/* False: tables are the runtime's. */
static inline bool fl__pool_has_tables(const struct fl_pool *pool)
{
	return pool->config.max_tables != 0;
}

static inline bool fl__table_width_is_valid(uint64_t bytes)
{
	return bytes == 4 || bytes == 8 || bytes == 16 || bytes == 24 ||
	       bytes == 32;
}

static inline struct fl__memory *fl__memory_of(const struct fl_memory *pub)
{
	return (struct fl__memory *)(uintptr_t)pub;
}

static inline struct fl__table *fl__table_of(const struct fl_table *pub)
{
	return (struct fl__table *)(uintptr_t)pub;
}

static inline uint64_t fl__memory_length(const struct fl_memory *memory)
{
	return __atomic_load_n(&memory->length_bytes, __ATOMIC_ACQUIRE);
}

static inline bool fl__memory_is_live(const struct fl__memory *memory)
{
	return __atomic_load_n(&memory->state, __ATOMIC_ACQUIRE) ==
	       FL__MEMORY_LIVE;
}

#endif
