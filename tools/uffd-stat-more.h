/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * uffd-stat-more.h - the two parts of uffd-stat that need a library: the full
 * screen (ncurses), and the endpoint for Prometheus (libmicrohttpd). Built
 * without the library, the part says which package to install.
 */
#ifndef UFFD_STAT_MORE_H
#define UFFD_STAT_MORE_H

#include "uffd-stat.h"

/* What the kernel tells of the pages of a slot. */
enum stat_page_state {
	STAT_PAGE_NONE = 0, /* not there */
	STAT_PAGE_SHARED, /* of the image */
	STAT_PAGE_PRIVATE, /* the slot's own, and open */
	STAT_PAGE_WATCHED, /* the slot's own, protected until written */
	STAT_PAGE_SWAPPED,
	STAT_PAGE_STATES
};

/* The page map of a slot: for each of up to count host pages from its base on, a
 * state. How many; 0: see *why. */
size_t stat_map_read(int pid, const struct stat_sample *sample, uint64_t slot,
		     uint8_t *states, size_t count, const char **why);

/* Until the user quits, or SIGINT or SIGTERM comes. The exit status. */
int stat_top(struct stat_finder *finder, double interval_s);

/* Serve /metrics at "127.0.0.1:PORT", or at a socket by its path, until SIGINT
 * or SIGTERM. The exit status. */
int stat_listen(const char *where, struct stat_finder *finder);

#endif
