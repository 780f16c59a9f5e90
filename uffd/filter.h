/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * filter.h - a filter of system calls for the threads that load.
 *
 * Takes the rows of confine.def whose use is HANDLER; gives a program for the
 * kernel, made once by libseccomp, which each thread puts over itself. What is not
 * in the rows answers EPERM: a call that nobody foresaw must not end the host, and
 * an error of a load is a trap of one guest. Without libseccomp there is no
 * program.
 *
 * Entering allocates nothing. The filter is the thread's for ever, and so is
 * no_new_privs, which only an exec would feel. The rest of the process has
 * neither.
 *
 * See kernel-notes/seccomp.md.
 */
#ifndef FL_FILTER_H
#define FL_FILTER_H

#include <linux/filter.h>
#include <stdbool.h>
#include <stdint.h>

#ifndef FL_WITH_SECCOMP
#define FL_WITH_SECCOMP 0
#endif

struct fl__filter {
	struct sock_filter *code;	/* NULL: none */
	uint16_t count;
};

/* -ENOMEM; -ENOTSUP: libseccomp does not know a row. */
int fl__filter_make(struct fl__filter *filter);
void fl__filter_free(struct fl__filter *filter);

/* Is there anything in this process that makes system calls of its own in each
 * thread? A sanitizer does, also when the host alone was built with it. */
bool fl__filter_harms(void);
/* Does the kernel have filters, and may a thread set one? */
int fl__filter_try(void);
/* The calling thread is under the filter from here on. Without a program nothing
 * happens. */
int fl__filter_enter(const struct fl__filter *filter);

#endif
