/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * competitors.h - the ways to keep instance memory that others use.
 *
 * None of them is Faultline and none uses the library. A slot is an address
 * space of BENCH_SLOT_BYTES, aligned to its size, all PROT_NONE at first, so
 * that an address tells its slot.
 */
#ifndef BENCH_COMPETITORS_H
#define BENCH_COMPETITORS_H

#include "bench.h"

/* competitors.c */
int bench_slot_reserve(uint8_t **base);
void bench_slot_release(uint8_t *base);
int bench_slot_allow(uint8_t *at, uint64_t bytes);
int bench_slot_deny(uint8_t *at, uint64_t bytes);
int bench_slot_drop(uint8_t *at, uint64_t bytes);
/* The case's table, zeroed, or NULL if it has none. */
int bench_table_map(const struct bench_case *c, uint8_t **table);
void bench_table_unmap(const struct bench_case *c, uint8_t *table);
extern const struct bench_competitor bench_mmap_memcpy;
extern const struct bench_competitor bench_plain_mmap;
extern const struct bench_competitor bench_memcpy_floor;

/* competitors_cow.c */
extern const struct bench_competitor bench_cow_dontneed;
extern const struct bench_competitor bench_cow_keep;
extern const struct bench_competitor bench_cow_scan;
extern const struct bench_competitor bench_cow_scan_32;

/* competitors_uffd.c */
extern const struct bench_competitor bench_uffd_thread;

/* competitors_grow.c */
extern const struct bench_competitor bench_grow_dontneed;
extern const struct bench_competitor bench_grow_memset;
extern const struct bench_competitor bench_grow_huge;
extern const struct bench_competitor bench_grow_remap;
extern const struct bench_competitor bench_grow_guard;
extern const struct bench_competitor bench_grow_accessible;
extern const struct bench_competitor bench_grow_floor;

#endif
