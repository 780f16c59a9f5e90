/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * checksum.h - a sum of bytes that notices damage, and no attack.
 *
 * Takes bytes and a seed; gives 64 bits, the same on every host. Each step is a
 * bijection of what was summed before and of the eight bytes that it takes, so
 * that a change within eight aligned bytes always shows, and any other with all
 * but one chance in 2^64. Whoever wants to, can make bytes of a given sum; a
 * digest is sha256.h's. Eight sums go side by side: a step takes seven cycles, in
 * which a processor begins seven others; or all eight are steps of one register,
 * where a processor multiplies such (AVX-512DQ: 4,250 bytes in 126 ns, else in
 * 254). Pure, any thread.
 */
#ifndef FL_CHECKSUM_H
#define FL_CHECKSUM_H

#include "util.h"

uint64_t fl__checksum(uint64_t seed, const void *bytes, uint64_t len);

#endif
