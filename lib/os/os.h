/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * os.h - what the portable core asks of an operating system.
 *
 * This is one of the two seams; the other is backend.h. Preconditions, stated
 * once: addresses and lengths are multiples of fl__os_hpage_bytes(), a range
 * lies within what one fl__os_reserve() gave, a length of 0 does nothing. Calls
 * return 0 or a negative errno of the closed set. No call keeps state, and
 * every call is safe from any thread.
 */
#ifndef FL_OS_H
#define FL_OS_H

#include "base/util.h"

#include <pthread.h>

/* Size of a host page; a power of two that does not change. */
uint64_t fl__os_hpage_bytes(void);

/*
 * What a caller would change so that a call which failed with err (the system's
 * own number, or -ENOMEM of this header) succeeds: a limit of this process that
 * is in force, found by asking; a phrase like "raise `ulimit -v`". NULL: nothing
 * known, or not short of anything.
 */
const char *fl__os_remedy(int err);

/* For the end of a sentence, by %s%s: what leads over to the remedy, and the remedy;
 * "" and "" without one. */
static inline const char *fl__os_remedy_lead(int err)
{
	return fl__os_remedy(err) ? "; " : "";
}

static inline const char *fl__os_remedy_text(int err)
{
	const char *remedy = fl__os_remedy(err);

	return remedy ? remedy : "";
}

/* The same where no thread could be started: a phrase, always. */
const char *fl__os_thread_remedy(void);

/*
 * What this process may have, and what it has, as far as the system tells:
 * UINT64_MAX for what is not limited or not told, 0 for what it has and is not
 * told. Bytes, but for mappings and descriptors.
 */
struct fl__os_limits {
	uint64_t hole_bytes;		/* addresses in one piece */
	uint64_t space_max, space;	/* `ulimit -v` */
	uint64_t locked_max, locked;	/* where new mappings are locked */
	uint64_t mapping_max, mappings;
	uint64_t fd_max, fds;
	uint64_t data_max, data;	/* `ulimit -d` */
	uint64_t commit_max, commit;	/* where commitments are strict */
	uint64_t group_max, group;	/* the narrowest control group */
	uint64_t memory_max, memory;	/* the host's */
	/* In the ranges that are counted apart: mappings (not in mappings), and
	 * what is writable and private. */
	uint64_t apart_mappings, apart_writable_bytes;
};

/* Nothing is told. */
#define FL__OS_NO_LIMITS               \
	((struct fl__os_limits){       \
		.hole_bytes = UINT64_MAX,  \
		.space_max = UINT64_MAX,   \
		.locked_max = UINT64_MAX,  \
		.mapping_max = UINT64_MAX, \
		.fd_max = UINT64_MAX,      \
		.data_max = UINT64_MAX,    \
		.commit_max = UINT64_MAX,  \
		.group_max = UINT64_MAX,   \
		.memory_max = UINT64_MAX,  \
	})

/* A range of addresses. */
struct fl__os_range {
	uint64_t start, end;
};

/* Ranges may be in any order. */
void fl__os_limits(const struct fl__os_range *apart, size_t apart_count,
		   struct fl__os_limits *limits);

/* Under mlockall(MCL_FUTURE): must all that is mapped fit `ulimit -l`? */
bool fl__os_is_locked_ahead(void);

/* Linux: is every accessible byte charged, touched or not? */
bool fl__os_is_commit_strict(void);

/* May this process make a file so long? Where not, the kernel would send
 * SIGXFSZ, which ends the host: every call of ours that makes a file longer asks
 * before. */
bool fl__os_file_may_reach(uint64_t length_bytes);

/* len zeroes of the heap, at the start of a pair of cache lines, which processors
 * fetch together. NULL: no memory. */
void *fl__os_alloc(size_t len);
void fl__os_free(void *bytes);

/* The most of one reservation: a ptrdiff_t says how far two of its addresses lie
 * apart. */
#define FL__OS_RESERVE_MAX ((uint64_t)(SIZE_MAX >> 1))

/* Address space without memory: inaccessible, uncommitted, aligned to
 * align_bytes (a power of two). */
int fl__os_reserve(uint64_t len, uint64_t align_bytes, uint8_t **addr);
void fl__os_release(uint8_t *addr, uint64_t len);

/* The same, in parts: off is counted from what fl__os_reserve() gave. Addresses of
 * a part may stay reserved until the last part goes. */
void fl__os_release_part(uint8_t *addr, uint64_t off, uint64_t len,
			 bool is_last);

/* Make a range readable and writable. A page that was never accessible reads as
 * zero; a page that was resident keeps its bytes. */
int fl__os_allow(uint8_t *addr, uint64_t len);

/* Make a range inaccessible. Its bytes stay. */
int fl__os_deny(uint8_t *addr, uint64_t len);

/* Guards within a mapping: accesses to the range, which is anonymous memory that
 * never held anything, are SIGSEGV from now on, also where the range is made
 * accessible, until something is mapped over it. After an error nothing has
 * changed. Only where the backend says so: fl__backend.marks_guards. */
int fl__os_mark_guard(uint8_t *addr, uint64_t len);
/* The advice that does it, Linux 6.13. */
#define FL__OS_GUARD_INSTALL 102

/* Drop the bytes of a range of anonymous memory: the range reads as zero from
 * now on and takes no memory. Access stays as it was. */
int fl__os_discard(uint8_t *addr, uint64_t len);

/* Replace whatever is mapped by fresh reserved address space: inaccessible
 * and empty. The way back from any failure. */
int fl__os_renew(uint8_t *addr, uint64_t len);

/* Is the range part of core dumps? A new mapping is; the answer of its last call
 * stays with a range until something is mapped over it. A system that cannot
 * leave memory out has it in, so there is no error. */
void fl__os_dump(uint8_t *addr, uint64_t len, bool is_in);

/* No page of the range, accessible or not, is larger than a host page from now on,
 * until something is mapped over it. A system without such pages needs none of
 * it, so there is no error. */
void fl__os_avoid_huge_pages(uint8_t *addr, uint64_t len);

/* Make every host page of an accessible range resident and writable, by a write
 * that changes nothing; safe beside threads that use the range. */
void fl__os_touch(uint8_t *addr, uint64_t len);

/* Does the system refuse an advice that nobody knows? Emulators of programs take
 * every madvise() and do nothing, so that their yes tells nothing. */
#define FL__OS_NO_ADVICE 0x7fffffff
bool fl__os_heeds_advice(void);

/*
 * A word that a forked child sees as gone. Process numbers tell less: those of
 * two namespaces repeat. can_wipe allows the system to clear the word, and a
 * question is a load. Otherwise the word's page is not passed on to children,
 * and a question is a system call that compares the word. A system that can
 * neither has its process numbers compared.
 */
struct fl__os_fork_guard {
	volatile uint32_t *word;	/* NULL: none */
	uint32_t expected;		/* random, where the page is not passed on */
	bool is_wiped;
	uint64_t owner;
};
int fl__os_fork_guard_init(struct fl__os_fork_guard *guard, bool can_wipe);
void fl__os_fork_guard_fini(struct fl__os_fork_guard *guard);
bool fl__os_is_forked(const struct fl__os_fork_guard *guard);

/*
 * A thread that calls fn whenever the kernel reports memory pressure: stall_us of
 * stall within window_us, by the file at path. Nothing is written to a file that
 * is no pressure file of the kernel (-EINVAL). -ENOTSUP, -EPERM, -ENOMEM; *why
 * says what to change, NULL if that is not known. Stopping waits for a call under
 * way; NULL is allowed.
 */
struct fl__os_watch;
int fl__os_watch_pressure(const char *path, uint32_t stall_us,
			  uint32_t window_us, void (*fn)(void *user),
			  void *user, struct fl__os_watch **watch,
			  const char **why);
void fl__os_watch_stop(struct fl__os_watch *watch);

/*
 * Files. These calls return the system's own negative errno, so that the caller
 * can say what the system said. None is interrupted by a signal, and none waits
 * for a writer of a pipe.
 *
 * Open a file for reading: only a regular file, else -EINVAL. The same check for
 * a descriptor, and the file's length. Of a descriptor of the caller's, whether it
 * reads any bytes (not with O_DIRECT, for one), else -EINVAL too.
 */
int fl__os_file_open(const char *path, int *fd, uint64_t *length_bytes);
int fl__os_file_look(int fd, uint64_t *length_bytes);
int fl__os_file_lent(int fd, uint64_t *length_bytes);
/* What -EINVAL of these says; path NULL: of a descriptor. */
static inline const char *fl__os_file_lacks(const char *path)
{
	return path ? "not a regular file" :
		      "not a regular file, or not open for reading without O_DIRECT";
}

/* Does the system keep every byte of this file, whoever has it open? */
bool fl__os_file_is_immutable(int fd);
/* Up to len bytes from byte off on, without moving the descriptor. *done is less
 * only where the file ends. */
int fl__os_file_read(int fd, uint64_t off, void *dst, uint64_t len,
		     uint64_t *done);
/* Another descriptor of the same file. */
int fl__os_file_dup(int fd, int *copy);
void fl__os_file_close(int fd);

/* What the system says of a file, in the closed set. */
int fl__os_file_error(int err);

/* Copy memory of this process that a file is mapped to: -EFAULT, not a signal,
 * where the file does not reach any more. -ENOTSUP where the system cannot. */
int fl__os_peek(void *dst, const void *src, uint64_t len);
/* The same, of memory to write to. Bytes before the lost ones may be written. */
int fl__os_poke(void *dst, const void *src, uint64_t len);

/*
 * A file that appears whole or not at all: a temporary file in the folder of
 * path, of length_bytes zeroes, which its owner alone may read. Commit makes the
 * bytes durable and gives the file its name, in place of a file that has the
 * name; a symbolic link is replaced, not followed. Until then the folder's other
 * files stay as they are, and abort removes the temporary file. -EFBIG, not a
 * signal, where the process may not write so large a file. path outlives the
 * struct. After a commit, failed or not, and after a failed open, nothing is
 * held. is_there: the file has its name, also when the commit failed to make the
 * name durable.
 */
struct fl__os_new_file {
	const char *path;
	int folder_fd;
	int fd;
	char temporary[48];
	bool is_there;
};
int fl__os_new_file_open(struct fl__os_new_file *file, const char *path,
			 uint64_t length_bytes);
int fl__os_new_file_write(struct fl__os_new_file *file, uint64_t off,
			  const void *bytes, uint64_t len);
int fl__os_new_file_commit(struct fl__os_new_file *file);
void fl__os_new_file_abort(struct fl__os_new_file *file);

/* Bytes of a range of whole host pages that are resident; 0 when the system does
 * not tell. Of anonymous memory, that is memory that the range takes. */
uint64_t fl__os_resident(const uint8_t *addr, uint64_t len);

/*
 * Memory of len zeroes that this process writes, and that others find by name
 * among this process's descriptors and can only read. No write to it can fail.
 * Give the memory back by fl__os_release(), and *fd by fl__os_file_close().
 * -ENOTSUP, or the system's own negative errno.
 */
int fl__os_publish(const char *name, uint64_t len, uint8_t **bytes, int *fd);

/* Memory of this process that is pinned, as far as the system tells. The file
 * that tells stays open, because a later change of user or root may hide the
 * file: a descriptor, or the system's own -errno. */
int fl__os_status_open(void);
uint64_t fl__os_pinned_bytes(int status_fd);

/* Is any private page of this process swapped out? True when the system does
 * not tell. */
bool fl__os_is_swapped(int status_fd);

/* Nanoseconds of a clock that never goes back. */
uint64_t fl__os_now_ns(void);

/* Unpredictable bytes, at most 256. -EIO. */
int fl__os_random(void *bytes, size_t len);

/* An environment variable, NULL in programs with raised privileges. */
const char *fl__os_getenv(const char *name);

struct fl__os_lock {
	pthread_mutex_t mutex;
};

struct fl__os_cond {
	pthread_cond_t cond;
};

int fl__os_lock_init(struct fl__os_lock *lock);
void fl__os_lock_fini(struct fl__os_lock *lock);
static inline void fl__os_lock(struct fl__os_lock *lock)
{
	pthread_mutex_lock(&lock->mutex);
}

static inline void fl__os_unlock(struct fl__os_lock *lock)
{
	pthread_mutex_unlock(&lock->mutex);
}

/* A descriptor that is readable as long as events are posted and not read: each
 * read of 8 bytes takes one. Non-blocking, close-on-exec. The descriptor, or
 * -errno of the closed set; -ENOTSUP. */
int fl__os_event_open(void);
void fl__os_event_post(int fd, uint64_t count);
void fl__os_event_close(int fd);

int fl__os_cond_init(struct fl__os_cond *cond);
void fl__os_cond_fini(struct fl__os_cond *cond);
/* Wait until signalled or until fl__os_now_ns() reaches deadline_ns
 * (UINT64_MAX: no deadline). False when the deadline has passed. May wake
 * early; the caller loops. A thread that is cancelled here has the lock again,
 * calls cancelled(user), which unlocks, and ends. NULL: after
 * fl__os_no_cancel(). */
bool fl__os_cond_wait(struct fl__os_cond *cond, struct fl__os_lock *lock,
		      uint64_t deadline_ns, void (*cancelled)(void *user),
		      void *user);
void fl__os_cond_signal(struct fl__os_cond *cond);
void fl__os_cond_broadcast(struct fl__os_cond *cond);

/*
 * pthread_cancel() must not end a thread that holds a lock, a slot or a
 * descriptor. From this line to the end of the block no cancellation point acts.
 * Each function of ours that reaches such a point, or calls the host back, has
 * this line. Waiting for a slot alone can be cancelled: fl__os_cond_wait().
 */
#define fl__os_no_cancel()                                                \
	int fl_cancel __attribute__((unused, cleanup(fl__os_let_cancel))) = \
		fl__os_hold_cancel()
int fl__os_hold_cancel(void);
void fl__os_let_cancel(int *before);

/* A wait, and what the waiter holds: undo gives all of that back when the waiter
 * is cancelled. NULL: the waiter holds nothing. */
struct fl__os_wait {
	uint64_t timeout_ns;
	void (*undo)(void *user);
	void *user;
};

static inline void fl__os_wait_undo(const struct fl__os_wait *wait)
{
	if (wait->undo)
		wait->undo(wait->user);
}

/* How many processors there are; at least 1. */
uint32_t fl__os_cpus(void);

/* Let other threads run. */
void fl__os_yield(void);

/* Processors that the system may ever run this process on; at least 1. */
uint32_t fl__os_cpu_count(void);

/* The number of this process. */
uint64_t fl__os_process(void);

/* A number for where the calling thread runs now: the same for threads on one
 * processor, mostly different on two. Only a hint. */
uint32_t fl__os_cpu(void);

#endif
