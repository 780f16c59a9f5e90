/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * page_source.h - where the bytes of an image file are read from.
 *
 * Takes the calls of a page source (faultline.h), or a file, or bytes in memory;
 * gives reads that end once. A source is somebody else's code and may break
 * every rule: what it says late, twice, of no read at all or of more bytes than
 * were asked for changes nothing but a count. So a read has a ticket that is
 * never used again, and a completion finds its read by the ticket alone.
 *
 * Memory that a read writes to belongs to the source until the read is done,
 * also after the library has given the read up. Hence a read lives in memory of
 * its owner, and done() says when the memory is the owner's again. The last
 * release closes the source, and then ends the reads that are still open.
 *
 * Locks: one for the list of reads, held for list work only; no call of the
 * source and no done() is made under it.
 */
#ifndef FL_PAGE_SOURCE_H
#define FL_PAGE_SOURCE_H

#include "base/error.h"
#include "os/os.h"

/* A read that was started; its owner's. */
struct fl__page_read {
	struct fl__page_read *next;	/* the source's list */
	fl_atomic64 ticket;
	uint64_t off;
	uint64_t len;
	void *dst;
	/* Called once, by any thread: how many bytes, or a negative errno. */
	void (*done)(struct fl__page_read *read, int64_t result);
};

uint64_t fl__page_source_length(const struct fl_page_source *source);

/* Does a read return when it is done? Then only fl__page_source_now() reads,
 * on a thread that may wait. */
bool fl__page_source_is_blocking(const struct fl_page_source *source);

/* Are the calls of the source the host's own code? */
bool fl__page_source_is_foreign(const struct fl_page_source *source);

/* The descriptor of a file, else -1. */
int fl__page_source_fd(const struct fl_page_source *source);

/* What the caller of the library is told where a source says that. Nothing that a
 * source says is an argument of that caller's: -EIO, -ENOMEM, -EPERM,
 * -ETIMEDOUT. */
int fl__page_source_error(int64_t result);

/* Bytes read, which may be fewer than len, or a negative errno. */
int64_t fl__page_source_now(struct fl_page_source *source, uint64_t off,
			    void *dst, uint64_t len);

/* Start a read, whose off, len, dst and done are set; done() may run before
 * this returns. An error (any errno) means that done() was not and will not be
 * called. */
int fl__page_source_start(struct fl_page_source *source,
			  struct fl__page_read *read);

/* Ask the source to end the read of this ticket soon. done() comes all the same;
 * a ticket of no open read does nothing. */
void fl__page_source_cancel(struct fl_page_source *source, uint64_t ticket);

/*
 * Read all of a range, in parts, by any kind of source, each part within
 * timeout_ns. *done (less than len only after an error or where the source ends)
 * says how far that came. Errors: any errno, the source's above all; -ETIMEDOUT,
 * -ENOMEM.
 */
int fl__page_source_read(struct fl_page_source *source, uint64_t off, void *dst,
			 uint64_t len, uint64_t timeout_ns, uint64_t *done);

#endif
