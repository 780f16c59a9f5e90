/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * faultline-nbd.c - a page source over libnbd.
 *
 * One thread owns the connection. Other threads queue reads, mark them cancelled
 * and ring a bell; the thread alone sends, copies and answers, so an answer is
 * given once. Each read goes into memory of its own and not into the library's,
 * because an NBD command cannot be taken back: a cancelled read is answered
 * while the server may still send its bytes. The copy is small beside the
 * network.
 *
 * A read is on the list until libnbd lets go of it. The lock is held for work on
 * the list alone; whoever holds it does not wait.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "faultline-nbd.h"

#include <errno.h>
#include <libnbd.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

struct nbd {
	struct nbd_handle *handle; /* the thread's; NULL: not connected */
	char *uri;
	uint64_t timeout_ns;
	uint64_t length_bytes;
	uint64_t min_bytes; /* reads begin and end on multiples */
	uint64_t max_bytes; /* of one read */
	int bell_fd;
	pthread_t thread;
	pthread_mutex_t lock; /* for what follows */
	struct request *requests;
	bool is_stopping;
};

struct request {
	struct nbd *nbd;
	struct request *next;
	struct fl_page_read read;
	uint8_t *bytes;
	uint64_t skip_bytes; /* read before what was asked for */
	int64_t result;
	bool is_cancelled; /* under the lock */
	bool is_sent, is_answered; /* the thread's */
};

static int error_set(struct fl_error *error, int err, const char *what)
{
	const char *why = nbd_get_error();

	if (error) {
		memset(error, 0, sizeof(*error));
		error->code = err;
		error->trap = FL_TRAP_NONE;
		error->byte_off = FL_ERROR_NO_OFFSET;
		snprintf(error->text, sizeof(error->text), "%s%s%s", what,
			 why ? ": " : "", why ? why : "");
	}
	return err;
}

/* -------------------------------------------------------------- connection */

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static int wait_connected(struct nbd_handle *handle, uint64_t timeout_ns)
{
	const uint64_t begun_ns = now_ns();

	while (nbd_aio_is_connecting(handle) == 1) {
		uint64_t gone_ns = now_ns() - begun_ns, left_ms;

		if (gone_ns >= timeout_ns)
			return -ETIMEDOUT;
		left_ms = (timeout_ns - gone_ns) / 1000000 + 1;
		if (nbd_poll(handle, left_ms < 60000 ? (int)left_ms : 60000) <
		    0)
			return -EIO;
	}
	return nbd_aio_is_ready(handle) == 1 ? 0 : -EIO;
}

/* -EINVAL: not a URI, or none that libnbd takes. */
static int connect_new(const struct nbd *nbd, struct nbd_handle **out)
{
	struct nbd_handle *handle = nbd_create();
	int err = 0;

	if (!handle)
		return -ENOMEM;
	if (nbd_aio_connect_uri(handle, nbd->uri))
		err = nbd_get_errno() == EINVAL ? -EINVAL : -EIO;
	else
		err = wait_connected(handle, nbd->timeout_ns);
	if (err)
		nbd_close(handle);
	else
		*out = handle;
	return err;
}

static uint64_t size_or(struct nbd_handle *handle, int which,
			uint64_t otherwise)
{
	int64_t size = nbd_get_block_size(handle, which);

	return size > 0 ? (uint64_t)size : otherwise;
}

/* A page of 64 KiB may lie across blocks. Larger blocks are no NBD. */
static int export_read(struct nbd *nbd, struct fl_error *error)
{
	int64_t size = nbd_get_size(nbd->handle);

	if (size < 0)
		return error_set(error, -EIO, "the export has no size");
	nbd->length_bytes = (uint64_t)size;
	nbd->min_bytes = size_or(nbd->handle, LIBNBD_SIZE_MINIMUM, 1);
	nbd->max_bytes = size_or(nbd->handle, LIBNBD_SIZE_MAXIMUM, 1 << 20);
	if (nbd->max_bytes > 1 << 20)
		nbd->max_bytes = 1 << 20;
	if (nbd->min_bytes > 65536 || nbd->max_bytes < 2 * nbd->min_bytes)
		return error_set(error, -EIO,
				 "the server's block sizes make no sense");
	return 0;
}

static bool is_connected(struct nbd *nbd)
{
	if (nbd->handle || connect_new(nbd, &nbd->handle))
		return !!nbd->handle;
	if (nbd_get_size(nbd->handle) == (int64_t)nbd->length_bytes &&
	    size_or(nbd->handle, LIBNBD_SIZE_MINIMUM, 1) <= nbd->min_bytes)
		return true;
	nbd_close(nbd->handle);
	nbd->handle = NULL;
	return false;
}

/* ---------------------------------------------------------------- requests */

/* The thread's. Not after the last reference has gone, which nobody awaits. */
static void request_answer(struct request *request, int64_t result)
{
	const struct fl_page_read *read = &request->read;

	if (request->is_answered)
		return;
	request->is_answered = true;
	if (result > 0)
		memcpy(read->dst, request->bytes + request->skip_bytes,
		       (size_t)result);
	fl_page_source_done(read->source, read->ticket, result);
}

static void request_free(struct request *request)
{
	free(request->bytes);
	free(request);
}

/* libnbd has let go of the request, also when it could not be sent. */
static void request_end(void *user)
{
	struct request *request = user, **link;
	struct nbd *nbd = request->nbd;
	bool is_stopping;

	pthread_mutex_lock(&nbd->lock);
	for (link = &nbd->requests; *link != request; link = &(*link)->next)
		;
	*link = request->next;
	is_stopping = nbd->is_stopping;
	pthread_mutex_unlock(&nbd->lock);
	if (!is_stopping)
		request_answer(request, request->result);
	request_free(request);
}

static int request_done(void *user, int *error)
{
	struct request *request = user;

	if (!*error)
		request->result = (int64_t)request->read.length_bytes;
	return 1;
}

/* Out to blocks, and no more than the server takes at once. */
static void request_send(struct nbd *nbd, struct request *request)
{
	struct fl_page_read *read = &request->read;
	nbd_completion_callback done = { request_done, request, request_end };
	uint64_t start = read->offset_bytes / nbd->min_bytes * nbd->min_bytes;
	uint64_t end = read->offset_bytes + read->length_bytes;

	if (end - start > nbd->max_bytes - nbd->min_bytes)
		end = start + nbd->max_bytes - nbd->min_bytes;
	read->length_bytes = end - read->offset_bytes;
	end = (end + nbd->min_bytes - 1) / nbd->min_bytes * nbd->min_bytes;
	if (end > nbd->length_bytes)
		end = nbd->length_bytes;
	request->skip_bytes = read->offset_bytes - start;
	request->bytes = malloc((size_t)(end - start));
	request->is_sent = true;
	if (!request->bytes || !is_connected(nbd)) {
		request->result = request->bytes ? -EIO : -ENOMEM;
		request_end(request);
		return;
	}
	(void)nbd_aio_pread(nbd->handle, request->bytes, (size_t)(end - start),
			    start, done, 0);
}

/* The next request for which there is something to do; its state cannot change
 * but by the thread. */
static struct request *request_next(struct nbd *nbd, bool *is_cancelled)
{
	struct request *request;

	pthread_mutex_lock(&nbd->lock);
	for (request = nbd->requests; request; request = request->next) {
		if (!request->is_sent ||
		    (request->is_cancelled && !request->is_answered))
			break;
	}
	*is_cancelled = request && request->is_cancelled;
	if (nbd->is_stopping)
		request = NULL;
	pthread_mutex_unlock(&nbd->lock);
	return request;
}

static void requests_serve(struct nbd *nbd)
{
	struct request *request;
	bool is_cancelled;

	while ((request = request_next(nbd, &is_cancelled))) {
		if (is_cancelled)
			request_answer(request, -EIO);
		if (!request->is_sent && is_cancelled)
			request_end(request);
		else if (!request->is_sent)
			request_send(nbd, request);
	}
}

/* ------------------------------------------------------------------- thread */

static void connection_serve(struct nbd *nbd, const struct pollfd *fd)
{
	unsigned int direction = nbd_aio_get_direction(nbd->handle);

	if (fd->revents & (POLLIN | POLLHUP | POLLERR) &&
	    direction & LIBNBD_AIO_DIRECTION_READ)
		(void)nbd_aio_notify_read(nbd->handle);
	else if (fd->revents & (POLLOUT | POLLHUP | POLLERR) &&
		 direction & LIBNBD_AIO_DIRECTION_WRITE)
		(void)nbd_aio_notify_write(nbd->handle);
}

/* What is under way fails with it. */
static void connection_drop_dead(struct nbd *nbd)
{
	if (nbd->handle && (nbd_aio_is_dead(nbd->handle) == 1 ||
			    nbd_aio_is_closed(nbd->handle) == 1)) {
		nbd_close(nbd->handle);
		nbd->handle = NULL;
	}
}

static bool is_stopping(struct nbd *nbd)
{
	bool is;

	pthread_mutex_lock(&nbd->lock);
	is = nbd->is_stopping;
	pthread_mutex_unlock(&nbd->lock);
	return is;
}

static void *nbd_run(void *arg)
{
	struct nbd *nbd = arg;
	struct pollfd fds[2] = { { .fd = nbd->bell_fd, .events = POLLIN } };
	uint64_t rings;

	while (!is_stopping(nbd)) {
		unsigned int direction;

		requests_serve(nbd);
		connection_drop_dead(nbd);
		direction = nbd->handle ? nbd_aio_get_direction(nbd->handle) :
					  0;
		fds[1].fd = nbd->handle ? nbd_aio_get_fd(nbd->handle) : -1;
		fds[1].events =
			(short)((direction & LIBNBD_AIO_DIRECTION_READ ?
					 POLLIN :
					 0) |
				(direction & LIBNBD_AIO_DIRECTION_WRITE ?
					 POLLOUT :
					 0));
		fds[0].revents = fds[1].revents = 0;
		if (poll(fds, 2, -1) < 0)
			continue;
		if (fds[0].revents)
			(void)!read(nbd->bell_fd, &rings, sizeof(rings));
		if (fds[1].revents && nbd->handle)
			connection_serve(nbd, &fds[1]);
		connection_drop_dead(nbd);
	}
	nbd_close(nbd->handle);
	nbd->handle = NULL;
	return NULL;
}

static void bell_ring(const struct nbd *nbd)
{
	uint64_t one = 1;

	(void)!write(nbd->bell_fd, &one, sizeof(one));
}

/* ------------------------------------------------------- calls of the source */

static int64_t source_read(void *user, const struct fl_page_read *read)
{
	struct nbd *nbd = user;
	struct request *request = calloc(1, sizeof(*request)), **link;

	if (!request)
		return -ENOMEM;
	request->nbd = nbd;
	request->read = *read;
	request->result = -EIO;
	pthread_mutex_lock(&nbd->lock);
	for (link = &nbd->requests; *link; link = &(*link)->next)
		;
	*link = request;
	pthread_mutex_unlock(&nbd->lock);
	bell_ring(nbd);
	return 0;
}

static void source_cancel(void *user, uint64_t ticket)
{
	struct nbd *nbd = user;

	pthread_mutex_lock(&nbd->lock);
	for (struct request *at = nbd->requests; at; at = at->next)
		at->is_cancelled |= at->read.ticket == ticket;
	pthread_mutex_unlock(&nbd->lock);
	bell_ring(nbd);
}

static void nbd_free(struct nbd *nbd)
{
	struct request *request;

	nbd_close(nbd->handle);
	while ((request = nbd->requests)) {
		nbd->requests = request->next;
		request_free(request);
	}
	if (nbd->bell_fd >= 0)
		close(nbd->bell_fd);
	pthread_mutex_destroy(&nbd->lock);
	free(nbd->uri);
	free(nbd);
}

static void source_close(void *user)
{
	struct nbd *nbd = user;

	pthread_mutex_lock(&nbd->lock);
	nbd->is_stopping = true;
	pthread_mutex_unlock(&nbd->lock);
	bell_ring(nbd);
	pthread_join(nbd->thread, NULL);
	nbd_free(nbd);
}

/* -------------------------------------------------------------------- opening */

/* The thread takes no signals: they are the host's. */
static int thread_start(struct nbd *nbd)
{
	sigset_t all, before;
	int err;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	err = pthread_create(&nbd->thread, NULL, nbd_run, nbd);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return err ? -ENOMEM : 0;
}

static int nbd_new(const char *uri, uint64_t timeout_ns, struct nbd **out)
{
	struct nbd *nbd = calloc(1, sizeof(*nbd));

	if (!nbd)
		return -ENOMEM;
	if (pthread_mutex_init(&nbd->lock, NULL)) {
		free(nbd);
		return -ENOMEM;
	}
	nbd->timeout_ns = timeout_ns;
	nbd->uri = strdup(uri);
	nbd->bell_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (!nbd->uri || nbd->bell_fd < 0) {
		nbd_free(nbd);
		return -ENOMEM;
	}
	*out = nbd;
	return 0;
}

static int source_open(const char *uri, uint64_t connect_timeout_ns,
		       struct fl_page_source **source, struct fl_error *error)
{
	struct fl_page_source_config config;
	struct nbd *nbd;
	int err = uri ? nbd_new(uri, connect_timeout_ns, &nbd) : -EINVAL;

	if (err)
		return error_set(error, err, "no source over NBD was made");
	err = connect_new(nbd, &nbd->handle);
	if (err) {
		error_set(error, err, "the NBD server cannot be used");
		goto free_nbd;
	}
	err = export_read(nbd, error);
	if (err)
		goto free_nbd;
	err = thread_start(nbd);
	if (err) {
		error_set(error, err, "no thread for a source over NBD");
		goto free_nbd;
	}
	fl_page_source_config_init(&config);
	config.length_bytes = nbd->length_bytes;
	config.user = nbd;
	config.read = source_read;
	config.cancel = source_cancel;
	config.close = source_close;
	config.is_async = 1;
	err = fl_page_source_create(&config, source, error);
	if (err)
		source_close(nbd);
	return err;

free_nbd:
	nbd_free(nbd);
	return err;
}

/* To connect is to wait. A thread that was cancelled meanwhile would take the
 * connection with it. */
int fl_nbd_source_open(const char *uri, uint64_t connect_timeout_ns,
		       struct fl_page_source **source, struct fl_error *error)
{
	int err, cancel;

	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel);
	err = source_open(uri, connect_timeout_ns, source, error);
	pthread_setcancelstate(cancel, NULL);
	return err;
}
