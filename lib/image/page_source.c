/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/* page_source.c - sources of bytes and their reads; see page_source.h. */
#include "page_source.h"
#include "base/config.h"

#include <errno.h>
#include <stdlib.h>

struct fl_page_source {
	uint32_t refs; /* atomic */
	int fd; /* of a file, which the source owns */
	struct fl_page_source_config calls;
	/* Of bytes in memory. */
	const uint8_t *bytes;
	void (*release)(void *user, const void *bytes);
	void *release_user;
	/* Of a source that answers later. What is below belongs to the process
	 * that made the source: in a forked child no thread answers, and one of
	 * the parent's may have held the lock. */
	struct fl__os_fork_guard fork_guard;
	struct fl__os_lock lock;
	struct fl__page_read *reads;
	uint64_t last_ticket;
};

static int source_alloc(struct fl_page_source **out, struct fl_error *error)
{
	struct fl_page_source *source = calloc(1, sizeof(*source));

	if (!source || fl__os_lock_init(&source->lock)) {
		free(source);
		return fl__error_set(error, -ENOMEM,
				     "no memory for a page source");
	}
	source->refs = 1;
	source->fd = -1;
	*out = source;
	return 0;
}

int fl_page_source_create(const struct fl_page_source_config *config,
			  struct fl_page_source **out, struct fl_error *error)
{
	struct fl_page_source_config known;
	struct fl_page_source *source;
	int err = fl__config_read(FL_PAGE_SOURCE_CONFIG, &known, config, error);

	if (err)
		return err;
	if (!known.read)
		return fl__error_set(error, -EINVAL,
				     "a page source needs the call read");
	err = source_alloc(&source, error);
	if (err)
		return err;
	if (known.is_async &&
	    fl__os_fork_guard_init(&source->fork_guard, false)) {
		fl_page_source_release(source);
		return fl__error_set(error, -ENOMEM,
				     "no memory for a page source");
	}
	source->calls = known;
	*out = source;
	return 0;
}

static bool source_is_parents(const struct fl_page_source *source)
{
	return source->calls.is_async && fl__os_is_forked(&source->fork_guard);
}

/* Where the file ends, fewer bytes than were asked for. */
static int64_t file_read(void *user, const struct fl_page_read *read)
{
	const struct fl_page_source *source = user;
	uint64_t done;
	int err = fl__os_file_read(source->fd, read->offset_bytes, read->dst,
				   read->length_bytes, &done);

	return err && !done ? err : (int64_t)done;
}

int fl_page_source_from_file(const char *path, int fd,
			     struct fl_page_source **out,
			     struct fl_error *error)
{
	struct fl_page_source *source;
	int err = source_alloc(&source, error);

	if (err)
		return err;
	source->calls.read = file_read;
	source->calls.user = source;
	if (path) {
		err = fl__os_file_open(path, &source->fd,
				       &source->calls.length_bytes);
	} else {
		err = fl__os_file_lent(fd, &source->calls.length_bytes);
		if (!err)
			err = fl__os_file_dup(fd, &source->fd);
	}
	if (!err) {
		*out = source;
		return 0;
	}
	source->fd = -1;
	fl_page_source_release(source);
	return fl__error_set_file(
		error, fl__os_file_error(err), path, fd,
		"cannot open the file: %s%s%s",
		err == -EINVAL ? fl__os_file_lacks(path) : strerror(-err),
		fl__os_remedy_lead(err), fl__os_remedy_text(err));
}

static int64_t bytes_read(void *user, const struct fl_page_read *read)
{
	const struct fl_page_source *source = user;
	uint64_t length = source->calls.length_bytes, len;

	if (read->offset_bytes >= length)
		return 0;
	len = fl_min_u64(read->length_bytes, length - read->offset_bytes);
	memcpy(read->dst, source->bytes + read->offset_bytes, (size_t)len);
	return (int64_t)len;
}

int fl_page_source_from_bytes(const void *bytes, uint64_t length_bytes,
			      void (*release)(void *user, const void *bytes),
			      void *user, struct fl_page_source **out,
			      struct fl_error *error)
{
	struct fl_page_source *source;
	int err;

	if (length_bytes && !bytes)
		return fl__error_set(error, -EINVAL,
				     "a page source has a length and no bytes");
	err = source_alloc(&source, error);
	if (err)
		return err;
	source->calls.read = bytes_read;
	source->calls.user = source;
	source->calls.length_bytes = length_bytes;
	source->bytes = bytes;
	source->release = release;
	source->release_user = user;
	*out = source;
	return 0;
}

struct fl_page_source *fl_page_source_retain(struct fl_page_source *source)
{
	__atomic_fetch_add(&source->refs, 1, __ATOMIC_RELAXED);
	return source;
}

/* Take the read of a ticket off the list; NULL: there is none. Ticket 0 is any
 * read. */
static struct fl__page_read *reads_take(struct fl_page_source *source,
					uint64_t ticket)
{
	struct fl__page_read **link, *read;

	fl__os_lock(&source->lock);
	link = &source->reads;
	while (*link && ticket && (*link)->ticket != ticket)
		link = &(*link)->next;
	read = *link;
	if (read)
		*link = read->next;
	fl__os_unlock(&source->lock);
	return read;
}

void fl_page_source_release(struct fl_page_source *source)
{
	struct fl__page_read *read;

	/* The last one out must see what the others wrote. */
	if (!source || __atomic_sub_fetch(&source->refs, 1, __ATOMIC_ACQ_REL) ||
	    source_is_parents(source))
		return;
	if (source->calls.close)
		source->calls.close(source->calls.user);
	if (source->release)
		source->release(source->release_user, source->bytes);
	if (source->fd >= 0)
		fl__os_file_close(source->fd);
	/* The source touches nothing any more, whatever it has not answered. */
	while ((read = reads_take(source, 0)))
		read->done(read, -EIO);
	fl__os_fork_guard_fini(&source->fork_guard);
	fl__os_lock_fini(&source->lock);
	free(source);
}

void fl_page_source_done(struct fl_page_source *source, uint64_t ticket,
			 int64_t result)
{
	struct fl__page_read *read = ticket && !source_is_parents(source) ?
					     reads_take(source, ticket) :
					     NULL;

	if (!read)
		return;
	if (result > 0 && (uint64_t)result > read->len)
		result = -EIO;
	read->done(read, result);
}

/* What a source says, if that is an errno. */
static int errno_of(int64_t result)
{
	return result < -4095 || result >= 0 ? -EIO : (int)result;
}

int fl__page_source_error(int64_t result)
{
	int err = errno_of(result);

	if (err == -ETIMEDOUT)
		return err;
	/* No limit of this process. */
	return err == -EAGAIN ? -EIO : fl__error_fold(err);
}

uint64_t fl__page_source_length(const struct fl_page_source *source)
{
	return source->calls.length_bytes;
}

bool fl__page_source_is_blocking(const struct fl_page_source *source)
{
	return !source->calls.is_async;
}

bool fl__page_source_is_foreign(const struct fl_page_source *source)
{
	return source->calls.read != file_read &&
	       source->calls.read != bytes_read;
}

int fl__page_source_fd(const struct fl_page_source *source)
{
	return source->fd;
}

int64_t fl__page_source_now(struct fl_page_source *source, uint64_t off,
			    void *dst, uint64_t len)
{
	struct fl_page_read read = {
		.size = sizeof(read),
		.source = source,
		.offset_bytes = off,
		.length_bytes = len,
		.dst = dst,
	};
	int64_t result = source->calls.read(source->calls.user, &read);

	return result > 0 && (uint64_t)result > len ? -EIO : result;
}

int fl__page_source_start(struct fl_page_source *source,
			  struct fl__page_read *read)
{
	struct fl_page_read asked = {
		.size = sizeof(asked),
		.source = source,
		.offset_bytes = read->off,
		.length_bytes = read->len,
		.dst = read->dst,
	};
	int64_t err;

	if (source_is_parents(source))
		return -EIO;
	fl__os_lock(&source->lock);
	asked.ticket = ++source->last_ticket;
	__atomic_store_n(&read->ticket, asked.ticket, __ATOMIC_RELAXED);
	read->next = source->reads;
	source->reads = read;
	fl__os_unlock(&source->lock);
	err = source->calls.read(source->calls.user, &asked);
	/* A source that fails and has called done all the same was done. */
	if (err < 0 && reads_take(source, asked.ticket))
		return errno_of(err);
	return 0;
}

void fl__page_source_cancel(struct fl_page_source *source, uint64_t ticket)
{
	if (source->calls.cancel)
		source->calls.cancel(source->calls.user, ticket);
}

/* ------------------------------------------------- reading a range at once */

/* A read that a thread waits for. The thread may give up: then whoever ends the
 * read frees it. */
struct waited {
	struct fl__page_read read;
	struct fl__os_lock lock;
	struct fl__os_cond cond;
	int64_t result;
	bool is_done, is_left;
	uint8_t bytes[FL_WPAGE_BYTES];
};

static void waited_free(struct waited *waited)
{
	fl__os_cond_fini(&waited->cond);
	fl__os_lock_fini(&waited->lock);
	free(waited);
}

static void waited_done(struct fl__page_read *read, int64_t result)
{
	struct waited *waited = (struct waited *)read;
	bool is_left;

	fl__os_lock(&waited->lock);
	waited->result = result;
	waited->is_done = true;
	is_left = waited->is_left;
	fl__os_cond_signal(&waited->cond);
	fl__os_unlock(&waited->lock);
	if (is_left)
		waited_free(waited);
}

static int waited_alloc(struct waited **out)
{
	struct waited *waited = malloc(sizeof(*waited));

	if (!waited)
		return -ENOMEM;
	waited->is_done = waited->is_left = false;
	if (fl__os_lock_init(&waited->lock))
		goto err_free;
	if (fl__os_cond_init(&waited->cond))
		goto err_lock;
	*out = waited;
	return 0;
err_lock:
	fl__os_lock_fini(&waited->lock);
err_free:
	free(waited);
	return -ENOMEM;
}

/* Of a source that answers later: up to a page. */
static int64_t read_waiting(struct fl_page_source *source, uint64_t off,
			    void *dst, uint64_t len, uint64_t timeout_ns)
{
	fl__os_no_cancel();
	uint64_t deadline, ticket;
	struct waited *waited;
	int64_t result = waited_alloc(&waited);
	bool is_done;

	if (result)
		return result;
	waited->read = (struct fl__page_read){
		.off = off,
		.len = fl_min_u64(len, FL_WPAGE_BYTES),
		.dst = waited->bytes,
		.done = waited_done,
	};
	deadline = fl__os_now_ns();
	if (fl_add_overflow(deadline, timeout_ns, &deadline))
		deadline = UINT64_MAX;
	result = fl__page_source_start(source, &waited->read);
	if (result) {
		waited_free(waited);
		return result;
	}
	fl__os_lock(&waited->lock);
	while (!waited->is_done &&
	       fl__os_cond_wait(&waited->cond, &waited->lock, deadline, NULL,
				NULL))
		;
	is_done = waited->is_done;
	waited->is_left = !is_done;
	ticket = waited->read.ticket;
	fl__os_unlock(&waited->lock);
	if (!is_done) {
		fl__page_source_cancel(source, ticket);
		return -ETIMEDOUT;
	}
	result = waited->result;
	if (result > 0)
		memcpy(dst, waited->bytes, (size_t)result);
	waited_free(waited);
	return result;
}

int fl__page_source_read(struct fl_page_source *source, uint64_t off, void *dst,
			 uint64_t len, uint64_t timeout_ns, uint64_t *done)
{
	uint8_t *to = dst;

	*done = 0;
	while (*done < len) {
		int64_t got =
			fl__page_source_is_blocking(source) ?
				fl__page_source_now(source, off + *done,
						    to + *done, len - *done) :
				read_waiting(source, off + *done, to + *done,
					     len - *done, timeout_ns);

		if (got < 0)
			return errno_of(got);
		if (!got)
			return 0;
		*done += (uint64_t)got;
	}
	return 0;
}
