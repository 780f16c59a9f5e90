/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/* uffd-stat-read.h - a page of another process, from one look to the next. */
#ifndef UFFD_STAT_READ_H
#define UFFD_STAT_READ_H

#include "uffd-stat.h"

#include <sys/types.h>

#define STAT_MAX_PAGE_BYTES ((uint64_t)8 << 20)

/* A page of a process, and what was read of it. */
struct stat_page {
	int fd;
	ino_t inode;
	struct fl_statistics_head head;
	struct stat_sample *sample; /* NULL: not read yet, or no page */
	uint8_t *counts; /* the bytes of stat_page_counts() */
	bool is_settled; /* they were the same before */
};

struct stat_reader {
	struct stat_schemas schemas;
	uint8_t *bytes; /* STAT_MAX_PAGE_BYTES, a page at a time */
};

/* Look at page->fd of a process. NULL, and page->sample is what the page says now;
 * or why not. */
const char *stat_page_read(struct stat_reader *reader, int pid,
			   struct stat_page *page);
void stat_page_forget(struct stat_page *page);

#endif
