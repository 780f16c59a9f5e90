/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * memory.h - a linear memory in a slot.
 *
 * The slot's side bytes are the memory. The public struct comes first, so that
 * one address serves for both structs. The grow_lock of a memory serialises
 * what changes its slot: growth, and watching its pages anew.
 */
#ifndef FL_MEMORY_H
#define FL_MEMORY_H

#include "module/module.h"
#include "quota.h"
#include "slots/bank.h"

/* What a memory is by its type, whatever its content and size. */
struct fl__memory_shape {
	uint64_t page_bytes;
	uint64_t max_bytes;		/* where growth ends */
	/* As an import sees it; UINT64_MAX: none. Of a memory taken alone,
	 * where its growth ends. */
	uint64_t max_pages;
	uint8_t address_bits;		/* 0: not said */
	bool is_shared;
};

/* What fl_memory_written() may say of the time since its last beginning. */
enum fl__since {
	FL__SINCE_ACQUIRE = 0,		/* there was none */
	FL__SINCE_WATCHED,
	FL__SINCE_UNWATCHED,		/* the pages could not be watched anew */
};

struct fl__memory {
	struct fl_memory pub;		/* length_bytes is atomic */
	struct fl__memory_shape shape;
	struct fl__quota *quota;	/* NULL: no tenant of several */
	void *user;			/* of a memory taken alone */
	enum fl__since since;		/* with begun_bytes: grow_lock */
	uint64_t begun_bytes;		/* the size then */
	struct fl__os_lock grow_lock;
};

extern const struct fl__kind fl__kind_memory;

/* Begin a memory in a slot that shows request and is not published yet. */
struct fl_memory *fl__memory_begin(struct fl__slot *slot,
				   const struct fl__request *request,
				   const struct fl__memory_shape *shape);

/* Store bytes that lie within the memory, as the host: what would be a signal of
 * the guest is -ENOMEM, -EPERM or -EIO here. */
int fl__memory_put(struct fl_memory *memory, uint64_t off, const void *bytes,
		   uint64_t len);
/* Say that what could not be stored, because of err; gives err. */
int fl__memory_cannot_put(const char *what, int err, struct fl_error *error);

/* The shape of memories that a module defines. */
struct fl__memory_shape fl__memory_shape_of(const struct fl_module *module,
					    uint32_t memory_idx);
/* As fl__slot_give(). */
int fl__memory_give(struct fl_memory *memory);
/* As fl__slot_restart(); a memory that shows nothing has no bytes. */
int fl__memory_restart(struct fl_memory *memory);

static inline struct fl__memory *fl__memory_of(const struct fl_memory *pub)
{
	return (struct fl__memory *)(uintptr_t)pub;
}

static inline uint64_t fl__memory_length(const struct fl_memory *memory)
{
	return __atomic_load_n(&memory->length_bytes, __ATOMIC_ACQUIRE);
}

#endif
