/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/* clock.h - what time it is, and waiting. */
#ifndef TEST_CLOCK_H
#define TEST_CLOCK_H

#include <stdint.h>

uint64_t test_now_ns(void);
void test_sleep_ms(unsigned int ms);

#endif
