/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/* clock.h - what time it is, and waiting. */
#ifndef TEST_CLOCK_H
#define TEST_CLOCK_H

#include <stdint.h>

uint64_t test_now_ns(void);
/* What this thread has run: a limit that a busy host does not reach. */
uint64_t test_cpu_ns(void);
void test_sleep_ms(unsigned int ms);

#endif
