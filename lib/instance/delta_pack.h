/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * delta_pack.h - deltas packed for a store, by zstd.
 *
 * Takes deltas, and gives bytes that faultline.h describes; takes such bytes, which
 * are hostile, and gives a delta's bytes, which are as hostile until delta_bytes.h
 * has checked them. Never makes more of them than the packer allows, and takes that
 * memory without touching it first.
 *
 * A dictionary is named by its SHA-256 and not by the number that zstd keeps in it:
 * that number is 32 bits of whoever trained, and any bytes may be a dictionary. The
 * frame carries neither that number nor a checksum, because a delta has its own.
 *
 * Any thread. What a thread packs with is put aside for the next one, under a lock
 * that is held for the list alone.
 */
#ifndef FL_DELTA_PACK_H
#define FL_DELTA_PACK_H

#include "delta.h"

#ifndef FL_WITH_ZSTD
#define FL_WITH_ZSTD 0
#endif

/* Give the bytes that were packed, in a delta of no snapshot, unchecked.
 * *delta_bytes: their length. -EINVAL, -ENOEXEC, -ENOTSUP, -E2BIG, -ENOMEM. */
int fl__delta_unpack_bytes(struct fl_packer *packer, const uint8_t *bytes,
			   uint64_t length_bytes, struct fl_delta **out,
			   uint64_t *delta_bytes, struct fl_error *error);

/* The name of its dictionary, 0 without one. */
uint64_t fl__packer_dictionary(const struct fl_packer *packer);

#endif
