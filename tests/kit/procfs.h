/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * procfs.h - what the kernel shows of this process and of the host in /proc.
 *
 * Counts are 0, descriptors and addresses -1 or NULL where /proc does not show
 * them. An end of an address range is one past its last byte.
 */
#ifndef TEST_PROCFS_H
#define TEST_PROCFS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* ------------------------------------------------------------ what there is */

unsigned int procfs_count_fds(void);
unsigned int procfs_count_threads(void);

struct procfs_mapping {
	uint64_t start;
	uint64_t end;
	char perms[5]; /* "rwxp" */
	char name[256]; /* empty without a file */
};

/* Call fn for each mapping of this process, until fn answers false. */
void procfs_each_mapping(bool (*fn)(const struct procfs_mapping *, void *arg),
			 void *arg);

struct procfs_footprint {
	unsigned int mappings;
	unsigned int fds;
	uint64_t address_bytes;
};

struct procfs_footprint procfs_footprint(void);

/* The idx-th shared mapping with that text in its name, and its length. */
uint8_t *procfs_find_shared(const char *text, unsigned int idx, uint64_t *len);

/* A field of /proc/self/status, in KiB: "VmData". */
uint64_t procfs_status_kib(const char *field);

/* -------------------------------------------------------------------- pages */

struct procfs_resident {
	uint64_t private_bytes;
	uint64_t shared_bytes;
	uint64_t swapped_bytes;
};

/* Of the mappings that touch [start, end). The zero page does not count. */
struct procfs_resident procfs_resident(const void *start, const void *end);

/* Is a mapping that touches [start, end) registered with userfaultfd? Adds to
 * *mappings how many there are. */
bool procfs_is_registered(const void *start, const void *end, int *mappings);

/* How much of [start, end) is in mappings whose VmFlags lack a flag. */
uint64_t procfs_bytes_without(const void *start, const void *end,
			      const char *flag);

/* How much of [start, end) is in mappings that core dumps take (VmFlags: no dd)
 * once a page of them was written. */
uint64_t procfs_dumped_bytes(const void *start, const void *end);

/* Pages of [addr, addr + len) that are swapped out. */
uint64_t procfs_swapped(const void *addr, uint64_t len);

/* The number of the frame behind an address; 0 if it is not shown. */
uint64_t procfs_frame(const void *addr);

/* -------------------------------------------------------------- descriptors */

/* The idx-th descriptor that is shown as a link with that text in it, or -1. */
int procfs_find_fd(const char *text, unsigned int idx);

/* What the file takes on its disk, or in memory. */
uint64_t procfs_file_bytes(int fd);

/* How many host pages of a file from off on, a multiple of theirs, are in the page
 * cache; and let those go that need not be there. */
uint64_t procfs_cached(int fd, uint64_t off);
void procfs_drop_cached(int fd);

/* A new description of the file behind fd. */
int procfs_reopen(int fd, int flags);

/* This process's memory as a file, to read and write; a process's pagemap. */
int procfs_open_memory(void);
int procfs_open_pagemap(pid_t pid);

/* ------------------------------------------------------------------ threads */

/* The thread that was started last. */
pid_t procfs_newest_thread(void);
/* Bit n - 1: the thread blocks signal n. */
uint64_t procfs_blocked_signals(pid_t tid);
/* Threads of this process with a filter of system calls that its first thread does
 * not have: a container's filter is on all. */
unsigned int procfs_count_filtered_threads(void);

/* --------------------------------------------------------------------- host */

/* The pressure file of the whole host. */
#define PROCFS_PRESSURE "/proc/pressure/memory"

/* A number of /proc/sys: "vm/max_map_count"; -1 if it is not there. */
long procfs_sysctl(const char *name);
bool procfs_sysctl_may_write(const char *name);
bool procfs_sysctl_write(const char *name, const char *text);

struct procfs_mount {
	char at[400];
	char type[40];
	char options[400];
};

/* The idx-th mount; false after the last. */
bool procfs_mount(unsigned int idx, struct procfs_mount *mount);

#endif
