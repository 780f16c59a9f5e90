/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * ask.h - what is known of a slot's pages.
 *
 * Asks the page tables, and tracking; changes nothing. The calls are those of
 * backend.h: accounts, account, changed, written, is_touched.
 */
#ifndef FL_ASK_H
#define FL_ASK_H

#include "arena.h"

bool fl__ask_accounts(const struct fl__host *host);
int fl__ask_account(const struct fl__arena *arena,
		    const struct fl__space *space, struct fl_pool_usage *usage);
int fl__ask_changed(const struct fl__arena *arena,
		    const struct fl__space *space, uint64_t size_bytes,
		    fl__changed_fn *fn, void *user);
int fl__ask_written(struct fl__arena *arena, struct fl__space *space,
		    uint64_t size_bytes, bool is_anew, fl__changed_fn *fn,
		    void *user);
bool fl__ask_is_touched(const struct fl__arena *arena,
			const struct fl__space *space, uint64_t offset_bytes,
			uint64_t length_bytes, bool is_swapless);

#endif
