/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/* touch.c - the part of os.h that needs no system: writes that change nothing. */
#include "os.h"

void fl__os_touch(uint8_t *addr, uint64_t len)
{
	uint64_t hpage = fl__os_hpage_bytes();

	for (uint64_t off = 0; off < len; off += hpage) {
		/* Volatile: without it a compiler may leave a mere load. */
		volatile uint8_t *byte = addr + off;
		uint8_t there = __atomic_load_n(byte, __ATOMIC_RELAXED);

		/* Either this writes the byte, or another thread just has. */
		(void)__atomic_compare_exchange_n(byte, &there, there, false,
						  __ATOMIC_RELAXED,
						  __ATOMIC_RELAXED);
	}
}
