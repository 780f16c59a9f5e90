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

/* Take a memory, and describe it in *memory, whose max_pages stays. Errors as
 * fl_memory_acquire(); *memory is as it was then. */
int fl_wasm2c_replace(struct fl_pool *pool,
		      const struct fl_memory_config *config,
		      wasm_rt_memory_t *memory, struct fl_error *error);

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
