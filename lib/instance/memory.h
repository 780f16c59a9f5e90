/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * memory.h - a linear memory in a slot.
 *
 * The slot's side bytes are the memory. The public struct comes first, so that
 * one address serves for both structs. The grow_lock of a memory serialises its
 * growth.
 */
#ifndef FL_MEMORY_H
#define FL_MEMORY_H

#include "slots/bank.h"

struct fl__memory {
	struct fl_memory pub;		/* length_bytes is atomic */
	uint64_t page_bytes;
	uint64_t max_bytes;
	bool is_shared;
	struct fl__os_lock grow_lock;
};

extern const struct fl__kind fl__kind_memory;

/* Begin a memory in a slot that shows request and is not published yet. */
struct fl_memory *fl__memory_begin(struct fl__slot *slot,
				   const struct fl__request *request,
				   uint64_t max_bytes, uint64_t page_bytes);
/* As fl__slot_give(). */
int fl__memory_give(struct fl_memory *memory);

static inline struct fl__memory *fl__memory_of(const struct fl_memory *pub)
{
	return (struct fl__memory *)(uintptr_t)pub;
}

static inline uint64_t fl__memory_length(const struct fl_memory *memory)
{
	return __atomic_load_n(&memory->length_bytes, __ATOMIC_ACQUIRE);
}

#endif
