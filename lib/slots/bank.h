/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * bank.h - taking slots, giving them back clean, and what becomes of a slot that
 * is not clean.
 *
 * Takes requests; gives slots that show their image, and takes them back. Here
 * a slot's fate is decided: an attach that failed empties the slot, a reset that
 * failed empties the slot, and a slot that cannot even be emptied is retired
 * until it can. A slot that an audit found unclean is retired for good.
 */
#ifndef FL_BANK_H
#define FL_BANK_H

#include "pool.h"

/* Open a bank: the kind's slots, made by the pool's source. Close also takes
 * down a bank that was opened in part. -ENOMEM and what arena_open answers. */
int fl__bank_open(struct fl__bank *bank, struct fl_pool *pool,
		  const struct fl__kind *kind,
		  const struct fl__geometry *geometry, struct fl_error *error);
void fl__bank_close(struct fl__bank *bank);

/*
 * Take count slots, all or none; at most FL__TAKE_MAX. They show what was asked
 * for and are not live yet: the taker fills their side bytes and publishes them,
 * or gives them back.
 */
int fl__bank_take(struct fl__bank *bank, const struct fl__request *requests,
		  uint32_t count, const struct fl__os_wait *wait, struct fl__slot **slots,
		  struct fl_error *error);

/* The same without an attach: of a bare kind. */
int fl__bank_take_slots(struct fl__bank *bank,
			const struct fl__request *requests, uint32_t count,
			const struct fl__os_wait *wait, struct fl__slot **slots,
			struct fl_error *error);

/* What a slot keeps counts for the pool's budget from now on; 0 while it has a
 * tenant. */
void fl__slot_count(struct fl__slot *slot, uint64_t kept_bytes);

/* Give back a clean slot that keeps space.kept_bytes, within the budgets. */
void fl__slot_shelve(struct fl__slot *slot);

/* Count a tenant that was turned away. */
void fl__bank_refuse(struct fl__bank *bank);

/* Take a free slot that is not empty: a slot of an image or of what is bound to
 * the slot, by serial, or for 0 the slot that has been free longest. NULL: none.
 * With the trim_lock. */
struct fl__slot *fl__bank_take_warm(struct fl__bank *bank, uint64_t serial);

/* Try again to empty the slots that could not be emptied. With the trim_lock. */
void fl__bank_recall(struct fl__bank *bank);

/* Slots were emptied: give back what they share. With the trim_lock. */
void fl__bank_join(struct fl__bank *bank);

/*
 * Give a slot back whose tenant's size was up to used_bytes. The tenant has lost
 * the slot in any case. -EIO: an audit found the slot unclean. -ENOMEM: the slot
 * could be neither reset nor emptied, and is retired until it can.
 */
int fl__slot_give(struct fl__slot *slot, uint64_t used_bytes);

/* Can a slot be reset with a taker, ahead of its give? */
bool fl__slot_can_settle(const struct fl__slot *slot);

/*
 * Reset a slot that can settle, telling the taker what goes. The slot is the
 * caller's alone, who gives it next. After an error, which the give answers for,
 * what the taker was not told is as it was.
 */
int fl__slot_settle(struct fl__slot *slot, struct fl__taker *taker);

/*
 * Make a live slot what it was when its tenant took it, at the same addresses.
 * used_bytes as in fl__slot_give(). After an error the slot shows nothing, and is
 * only to be given: -EIO when an audit found it unclean, or what the backend
 * answers.
 */
int fl__slot_restart(struct fl__slot *slot, uint64_t used_bytes);
/* A live slot that shows nothing any more becomes inaccessible: an access is a
 * SIGSEGV. After an error it is what it was. */
int fl__slot_shut(struct fl__slot *slot);

/* Empty a clean slot that fl__bank_take_warm() gave, and give the slot to its
 * source. False: the slot cannot be emptied now, and is as it was. *image is the
 * slot's reference, which the caller releases with no lock held: the last one may
 * close a page source, which is a call of the host's. */
bool fl__slot_trim(struct fl__slot *slot, struct fl_image **image);

/* What of the slot could not be mapped for a tenant, as words: gives err, and says
 * what to change where that is known. */
int fl__slot_refused(const struct fl__slot *slot, const char *what, int err,
		     struct fl_error *error);

/* Count the release of a slot that is not given by fl__slot_give(). */
void fl__slot_count_release(struct fl__slot *slot);
/* Count that the slot is mapped or not, and a slot that is retired or comes
 * back (-1). */
void fl__slot_count_open(struct fl__slot *slot, bool is_open);
/* What system calls the backend made for the slot since the last count. */
void fl__slot_count_calls(struct fl__slot *slot);
void fl__slot_count_retired(struct fl__slot *slot, int count);

#endif
