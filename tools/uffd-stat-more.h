/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * uffd-stat-more.h - the two parts of uffd-stat that need a library: the full
 * screen (ncurses), and the endpoint for Prometheus (libmicrohttpd). Built
 * without the library, the part says which package to install.
 */
#ifndef UFFD_STAT_MORE_H
#define UFFD_STAT_MORE_H

#include "uffd-stat.h"

/* Until the user quits, or SIGINT or SIGTERM comes. The exit status. */
int stat_top(struct stat_finder *finder, double interval_s);

/* Serve /metrics at "127.0.0.1:PORT", or at a socket by its path, until SIGINT
 * or SIGTERM. The exit status. */
int stat_listen(const char *where, struct stat_finder *finder);

#endif
