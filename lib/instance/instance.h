/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * instance.h - a module's memories, tables and structure, taken together.
 *
 * The side bytes of a structure's slot are the instance. A slot that becomes
 * free keeps the reference to its module for its next instance. Without that,
 * all threads that use a module would write the module's count, twice an
 * instance: two threads would take 0.45 us a cycle in place of 0.064 us, which
 * one thread alone takes too (bench_empty --elements 0). Where instances of
 * several modules take turns the counts are written, and a cycle takes 0.31 us.
 * The slot lets go when its next instance is of another module, or when the
 * pool says so (fl__instance_forget). A slot with the last reference of all
 * lets go at once.
 *
 * An instance's lists are in its slot, as long as the reader lets index spaces
 * be. Only the bits of dropped segments are allocated, once for the largest
 * module that the slot has seen. So a warm acquire allocates nothing.
 */
#ifndef FL_INSTANCE_H
#define FL_INSTANCE_H

#include "base/bits.h"
#include "memory.h"
#include "snapshot.h"

/* Which passive segments of one sort were dropped. */
struct fl__dropped {
	uint64_t *bits;
	size_t words;			/* allocated */
	bool has_any;
};

static inline void fl__dropped_set(struct fl__dropped *dropped, uint32_t idx)
{
	fl_bit_set(dropped->bits, idx, true);
	dropped->has_any = true;
}

struct fl_instance {
	/* A reference; NULL: none, or let go. */
	struct fl_module *module;
	void *user;
	void (*make_element)(void *user, struct fl_instance *instance,
			     const struct fl_element *from, void *element);
	uint32_t memory_count, table_count;
	/* The module's index spaces, as large as the reader lets them be: a
	 * slot allocates nothing for the spaces of any module. */
	struct fl_memory *memories[FL__READER_MAX_MEMORIES];
	struct fl_table *tables[FL__READER_MAX_TABLES];	/* none: runtime's */
	struct fl__dropped dropped_data, dropped_elements;
	bool is_initialised;
	/* Atomic. Calls of the runtime are on the stack that may not give the
	 * instance back, because an acquire goes on with it or gives it back. */
	bool is_restoring;
	/* What the instance was allocated with; 0: no snapshot. By its number,
	 * because the snapshot may be gone, and another at its address. */
	uint64_t captured_serial;
	/* Random bytes of the system for generation ids, used from the end. */
	uint16_t random_left;
	uint8_t random[256];
	struct fl__quota quota;
	/* Tables that began with an image. */
	uint64_t image_tables[(FL__READER_MAX_TABLES + 63) / 64];
};

extern const struct fl__kind fl__kind_structure;

/* fl_instance_allocate() by a complete configuration. With captured (may be NULL)
 * the instance shows what was captured, and not what its module says. outer
 * undoes what the caller holds if the thread is cancelled while it waits. */
int fl__instance_allocate(struct fl_pool *pool, struct fl_module *module,
			  const struct fl_instance_config *config,
			  const struct fl__captured *captured,
			  const struct fl__os_wait *outer,
			  struct fl_instance **instance,
			  struct fl_error *error);

/* What an instance by this configuration begins with: NULL for what the module
 * says. -EINVAL when the snapshot holds several instances. */
int fl__instance_captured(const struct fl_instance_config *config,
			  const struct fl__captured **captured,
			  struct fl_error *error);

/* Give back all of an instance, as fl__slot_give(). */
int fl__instance_give(struct fl_instance *instance);

/* Free slots of instances let go of a module, or of all modules (NULL). This
 * may call the owners of modules, so the caller holds no lock of a stock. */
void fl__instance_forget(struct fl_pool *pool, const struct fl_module *module);

static inline struct fl__slot *
fl__instance_slot(const struct fl_instance *instance)
{
	return fl__slot_of_side(instance);
}

/* Was the instance allocated with that? NULL: with no snapshot. Numbers are a
 * context's, and so is the module. */
static inline bool fl__instance_began_as(const struct fl_instance *instance,
					 const struct fl__captured *captured)
{
	if (!captured)
		return !instance->captured_serial;
	return captured->serial == instance->captured_serial &&
	       captured->module == instance->module;
}

#endif
