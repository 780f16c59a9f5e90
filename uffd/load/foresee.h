/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * foresee.h - working sets and slots: what a tenant touched, and what a file in
 * place is asked for ahead.
 *
 * Takes a slot whose tenant has gone and which no reset has marked yet; counts the
 * touched pages of its image in the image's working set. Takes an image in place
 * with a set of earlier runs; has the kernel begin to read the pages of the set,
 * so that the guest's faults find them. Lazy images load their sets themselves
 * (turns.h); of those that are read through the page cache the beginning of the set is
 * asked for here, when they are opened.
 *
 * All of this is advice: what fails makes a guess less, and no error.
 */
#ifndef FL_FORESEE_H
#define FL_FORESEE_H

#include "backend.h"

/* The slot was just mapped, and its tenant may be recorded: of the first tenants of
 * the image the kernel maps no page that the tenant does not touch, as it would
 * around each fault. uffd_fd: what will track the slot; -1: nothing will, and the
 * record, if there is one, has blocks too many. So it has where pages are continued
 * (lazy.h): nobody is watched there. */
void fl__foresee_watch(int uffd_fd, struct fl__space *space,
		       struct fl_image *image);

/* The image has a working set, and this tenant is to be recorded: note what it
 * touched. Not of a slot in which pages were mapped ahead. pagemap_fd is open. */
void fl__foresee_record(int pagemap_fd, struct fl__space *space);

/* A lazy image is about to be opened: ask for the first bytes of its set, which
 * come while the threads begin. Does not wait for them. */
void fl__foresee_open(struct fl_image *image);

/* The first slot that shows an image in place asks for the image's set. Does not
 * wait for the pages. Of a lazy image the desk asks. False: nothing was asked for. */
bool fl__foresee_ask(struct fl_image *image);

#endif
