/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * attack_host.h - what an attack needs of the host: swap, KSM, large folios.
 *
 * It is set up by attack_host_open() once per program and put back by a process
 * of its own, also when the program dies.
 */
#ifndef ATTACK_HOST_H
#define ATTACK_HOST_H

#include <stdbool.h>
#include <stddef.h>

enum attack_host {
	ATTACK_SWAP = 1,
	ATTACK_KSM = 2,
	ATTACK_HUGE = 4, /* khugepaged at once, 64 KiB folios on advice */
	ATTACK_STRICT = 8, /* every accessible byte is charged */
};

/* Before test_main(): what can be had is had, the rest is skipped. */
void attack_host_open(unsigned int wanted);
void attack_host_close(void);

/* CONFORM_MAIN, with what is wanted of the host while it runs. */
#define ATTACK_HOST_MAIN(cases, wanted)                                       \
	int main(int argc, char **argv)                                       \
	{                                                                     \
		int status;                                                   \
                                                                              \
		attack_host_open(wanted);                                     \
		status = test_main(argc, argv, cases, TEST_ARRAY_SIZE(cases), \
				   conform_rungs,                             \
				   TEST_ARRAY_SIZE(conform_rungs));           \
		attack_host_close();                                          \
		return status;                                                \
	}

const char *attack_needs_swap(void);
const char *attack_needs_ksm(void);
const char *attack_needs_huge(void);
const char *attack_needs_strict(void);
const char *attack_needs_root(void);

/* Swap everything in again, and have swap again. */
bool attack_swap_cycle(void);
bool attack_write_text(const char *path, const char *text);
long attack_read_number(const char *path);

/* A new file in a directory on a disk, where there is one; its path is left in
 * path. -1 if there can be none. */
int attack_temp_open(char *path, size_t size);

#endif
