/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/* wasm2c-offer.h - what the adapter's files share: errors, what a pool offers,
 * and memories that come and go in a wasm-rt struct. Not installed. */
#ifndef WASM2C_OFFER_H
#define WASM2C_OFFER_H

#include <stdbool.h>

#include "faultline-wasm2c.h"

/* Fill in error, which may be NULL; gives err. */
__attribute__((format(printf, 3, 4))) int
fl_wasm2c_fail(struct fl_error *error, int err, const char *format, ...);

/* What the pool offers: the largest memory that it and wasm2c allow, and
 * whether it has tables. */
struct fl_wasm2c_offer {
	uint64_t max_bytes;
	bool has_tables;
};

/* -ENOTSUP: the generated code needs a larger stride. */
int fl_wasm2c_read_offer(const struct fl_pool *pool,
			 struct fl_wasm2c_offer *offer, struct fl_error *error);

/* Take a memory, and describe it in *memory, whose max_pages stays. is_defined:
 * *memory is an instance's own. Errors as fl_memory_acquire(); *memory is as it
 * was then. */
int fl_wasm2c_replace(struct fl_pool *pool,
		      const struct fl_memory_config *config, bool is_defined,
		      wasm_rt_memory_t *memory, struct fl_error *error);

/* Does a pool's memory lie in the instance that defines it? False for what the
 * host made for an import. */
bool fl_wasm2c_is_defined(const wasm_rt_memory_t *memory);

/* The struct of a memory, whoever's it is. */
static inline wasm_rt_memory_t *
fl_wasm2c_memory_at(const struct fl_wasm2c_layout *layout, const void *instance,
		    uint32_t memory_idx)
{
	const struct fl_wasm2c_member *member = &layout->memories[memory_idx];
	char *at = (char *)(uintptr_t)instance + member->offset;

	if (member->flags & FL_WASM2C_IS_IMPORTED)
		return *(wasm_rt_memory_t **)(void *)at;
	return (wasm_rt_memory_t *)(void *)at;
}

static inline bool fl_wasm2c_is_imported(const struct fl_wasm2c_layout *layout,
					 uint32_t memory_idx)
{
	return layout->memories[memory_idx].flags & FL_WASM2C_IS_IMPORTED;
}

/* fl_wasm2c_encode() and fl_wasm2c_decode() of one of count parts, whose functions
 * the others may hold. Of the others layout and instance are looked at. */
int fl_wasm2c_encode_part(const struct fl_wasm2c_part *parts, uint32_t count,
			  uint32_t part_idx, void **bytes,
			  uint64_t *length_bytes, struct fl_error *error);
int fl_wasm2c_decode_part(const struct fl_wasm2c_part *parts, uint32_t count,
			  uint32_t part_idx, const void *bytes,
			  uint64_t length_bytes, struct fl_error *error);

/* A memory of a clone that shows the snapshot's image, and with a delta (may be
 * NULL) what the delta says. */
int fl_wasm2c_take_memory(const struct fl_wasm2c_clones *clones, void *instance,
			  uint32_t memory_idx, const struct fl_delta *delta,
			  uint64_t timeout_ns, struct fl_error *error);

/* The state that a delta holds, in memory for free(). */
int fl_wasm2c_read_delta(const struct fl_delta *delta, void **bytes,
			 uint64_t *length_bytes, struct fl_error *error);

int fl_wasm2c_tell_restored(const struct fl_wasm2c_clones *clones,
			    void *instance, enum fl_restore_cause cause,
			    struct fl_error *error);

/* Random bits that no other gets. */
int fl_wasm2c_random_id(uint8_t *id, size_t len, struct fl_error *error);

/* Is that the state of a part of a group? */
bool fl_wasm2c_state_is_part(const void *state, uint64_t state_bytes);

/* A pool's memory that a call of the library may release: until that has ended
 * nobody finds the memory by its base, and no other memory takes its entry.
 * *handle gets the pool's memory. NULL: the memory is no pool's. */
void *fl_wasm2c_hide(const wasm_rt_memory_t *memory, struct fl_memory **handle);
/* The end of that, with what fl_wasm2c_hide() gave: released or not. */
void fl_wasm2c_unhide(void *hidden, wasm_rt_memory_t *memory, bool is_released);

/* Give a memory back to whom it came from, a pool or wasm-rt; accesses fault
 * from then on. */
void fl_wasm2c_give(wasm_rt_memory_t *memory);

#endif
