/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * reservation.h - what overflow.c needs of a reservation beside the calls that
 * every source has: to wait for a slot without missing one that is free
 * elsewhere.
 */
#ifndef FL_RESERVATION_H
#define FL_RESERVATION_H

#include "pool.h"
#include "stock.h"

/* As the call take, but FL__STOCK_POKED when the reservation was poked since
 * fl__reservation_pokes() gave pokes. */
int fl__reservation_wait(struct fl__source *source,
			 const struct fl__request *requests, uint32_t count,
			 const struct fl__os_wait *wait, uint64_t pokes,
			 struct fl__slot **slots, struct fl_error *error);
uint64_t fl__reservation_pokes(struct fl__source *source);
/* A slot is free elsewhere. */
void fl__reservation_poke(struct fl__source *source);

#endif
