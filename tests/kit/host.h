/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * host.h - what a host has that a case needs: answers for TEST_CASE_NEEDS().
 *
 * A host's system is asked, by the calls of os.h that the library makes, because
 * a system may lack what POSIX does not have.
 */
#ifndef TEST_HOST_H
#define TEST_HOST_H

/* NULL: there is room for reservations of more than 64 GiB. Addresses cost an
 * emulator time and memory, so that FAULTLINE_TEST_SPACE_GIB bounds them; without
 * it there is room, except in programs of 32 bits. */
const char *test_needs_space(void);

/* NULL: addresses have 64 bits, so that 4 GiB and more of them are a small part. */
const char *test_needs_64_bits(void);

/* NULL: the system says which pages are resident, accessible or not. */
const char *test_needs_resident(void);

/* NULL: the system leaves memory out of core dumps, and shows that. */
const char *test_needs_dump_flags(void);

/* NULL: /proc shows this program's mappings and pages at the program's addresses. */
const char *test_needs_own_mappings(void);

/* NULL: the name of a file that somebody reads may be given to another one. */
const char *test_needs_names_that_go(void);

/* NULL: limits of address space that a process sets for itself act. An emulator of
 * one program may pass them over, because they would be the emulator's too. */
const char *test_needs_limits(void);

/* NULL: the kernel writes into a process by process_vm_writev(). */
const char *test_needs_process_writes(void);

/* NULL: files in /tmp can be read past the page cache. */
const char *test_needs_direct(void);

/* NULL: events have a descriptor. */
const char *test_needs_events(void);

#endif
