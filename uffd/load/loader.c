/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/* loader.c - the thread that reads faults, and the threads that fill; see
 * loader.h. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "loader.h"
#include "chores.h"
#include "fill.h"
#include "foresee.h"
#include "turns.h"
#include "uffd/filter.h"
#include "uffd/ring.h"
#include "uffd/uffd.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#define CALLERS 4
#define MESSAGES 16
#define RING_AGAIN_NS 1000000u

struct fl__loader {
	struct fl__desk desk; /* first: a load finds its desk */
	struct fl__os_lock life; /* images come and go; above the desk's */
	uint32_t image_count;
	struct fl__loader_config config;
	struct fl__os_fork_guard fork_guard;
	struct fl__ring *ring; /* the handler's; NULL: none */
	struct fl__unpack unpack; /* the fillers', once an image is packed */
	struct fl__filter filter; /* of all threads but the callers */
	pthread_t handler;
	pthread_t fillers[FL__MAX_LOAD_THREADS];
	uint32_t filler_count;
	pthread_t callers[CALLERS];
	uint32_t caller_count;
	/* Threads that have begun, and what kept one from being confined. Under
	 * the desk's lock. */
	uint32_t running_count;
	int confine_err;
};

static struct fl__loader *loader_of(struct fl__desk *desk)
{
	return (struct fl__loader *)desk;
}

static void loader_free(struct fl__loader *loader)
{
	fl__os_fork_guard_fini(&loader->fork_guard);
	fl__os_lock_fini(&loader->life);
	fl__desk_fini(&loader->desk);
	free(loader);
}

/* A thread has begun: what a thread calls to begin is behind it. */
static void thread_says_so(struct fl__loader *loader, int confine_err)
{
	fl__os_lock(&loader->desk.lock);
	loader->running_count++;
	if (confine_err)
		loader->confine_err = confine_err;
	fl__os_cond_broadcast(&loader->desk.answered);
	fl__os_unlock(&loader->desk.lock);
}

/* From here on the thread can load pages and do nothing else. */
static void thread_confine(struct fl__loader *loader)
{
	thread_says_so(loader, fl__filter_enter(&loader->filter));
}

/* ----------------------------------------------------------------- filling */

static void *filler_run(void *arg)
{
	struct fl__loader *loader = arg;
	struct fl__desk *desk = &loader->desk;
	struct fl__sha256 sha;

	thread_confine(loader);
	fl__sha256_init(&sha);
	fl__os_lock(&desk->lock);
	while (!desk->is_stopping) {
		if (fl__chore_ahead_locked(desk) ||
		    fl__fill_turn_locked(desk, &loader->unpack, &sha) ||
		    fl__chore_collapse_locked(desk))
			continue;
		fl__os_cond_wait(&desk->filler, &desk->lock, UINT64_MAX, NULL,
				 NULL);
	}
	fl__os_unlock(&desk->lock);
	return NULL;
}

/* ----------------------------------------------------------- asking the host */

static void on_done(struct fl__page_read *read, int64_t result)
{
	struct fl__load *load = (struct fl__load *)read;
	struct fl__loader *loader = loader_of(load->desk);

	/* The last answer that was owed, after the context has gone. */
	if (fl__desk_answer(load->desk, load, result))
		loader_free(loader);
}

/* Begin to read what is missing. done() may have been called on return. */
static void load_call(struct fl__load *load)
{
	struct fl_page_source *pages = load->image->origin->pages;
	int err;

	if (fl__page_source_is_blocking(pages)) {
		(void)fl__desk_answer(load->desk, load, fl__fill_read(load));
		return;
	}
	load->read.off = fl__fill_off(load);
	load->read.len = fl__fill_missing(load);
	load->read.dst = fl__fill_to(load);
	load->read.done = on_done;
	err = fl__page_source_start(pages, &load->read);
	if (err)
		fl__fill_end(load, fl__page_source_error(err));
}

static void load_cancel(struct fl__load *load)
{
	struct fl_page_source *pages = load->image->origin->pages;

	if (!fl__page_source_is_blocking(pages))
		fl__page_source_cancel(pages,
				       __atomic_load_n(&load->read.ticket,
						       __ATOMIC_RELAXED));
}

static void *caller_run(void *arg)
{
	struct fl__desk *desk = &((struct fl__loader *)arg)->desk;

	thread_says_so(arg, 0);
	fl__os_lock(&desk->lock);
	while (!desk->is_stopping) {
		struct fl__load *cancelled, *load;

		cancelled = fl__turns_to_cancel_locked(desk, FL__READER_CALLER);
		load = cancelled ?
			       cancelled :
			       fl__turns_next_locked(desk, FL__READER_CALLER);
		if (!load) {
			fl__os_cond_wait(&desk->caller, &desk->lock, UINT64_MAX,
					 NULL, NULL);
			continue;
		}
		if (!cancelled)
			load->state = FL__LOAD_READING;
		fl__os_unlock(&desk->lock);
		if (cancelled)
			load_cancel(load);
		else
			load_call(load);
		fl__os_lock(&desk->lock);
		fl__desk_put_locked(desk, load);
	}
	fl__os_unlock(&desk->lock);
	return NULL;
}

/* -------------------------------------------------------------- reading ahead */

static int read_fd(const struct fl_image *image)
{
	return image->lazy->direct.fd >= 0 ?
		       image->lazy->direct.fd :
		       fl__page_source_fd(image->origin->pages);
}

/* Give the ring all that it is to read and to cancel. False: it has to be asked
 * again soon. */
static bool ring_fill(struct fl__loader *loader)
{
	struct fl__desk *desk = &loader->desk;
	bool has_room = true;
	struct fl__load *load;

	fl__os_lock(&desk->lock);
	while (has_room &&
	       (load = fl__turns_next_locked(desk, FL__READER_RING))) {
		has_room = fl__ring_read(loader->ring, read_fd(load->image),
					 fl__fill_off(load), fl__fill_to(load),
					 (uint32_t)fl__fill_missing(load),
					 load);
		if (has_room) {
			load->state = FL__LOAD_READING;
			load->image->lazy->reading_count++;
		}
		fl__desk_put_locked(desk, load);
	}
	while (has_room &&
	       (load = fl__turns_to_cancel_locked(desk, FL__READER_RING))) {
		has_room = fl__ring_cancel(loader->ring, load);
		load->is_to_cancel = load->is_told = has_room;
		fl__desk_put_locked(desk, load);
	}
	fl__os_unlock(&desk->lock);
	return fl__ring_go(loader->ring) && has_room;
}

/* Take back what was read. False: nothing was. *only: the only one, if there is one
 * and it is not packed. */
static bool ring_drain(struct fl__loader *loader, struct fl__load **only)
{
	struct fl__desk *desk = &loader->desk;
	struct fl__load *load, *first = NULL;
	uint32_t count = 0;
	int64_t result;

	fl__os_lock(&desk->lock);
	while ((load = fl__ring_next(loader->ring, &result))) {
		load->image->lazy->reading_count--;
		if (result == -EINTR || result == -EAGAIN) {
			fl__desk_again_locked(desk, load);
			continue;
		}
		/* A thread would have to be woken for each that came before. */
		if (first)
			fl__desk_answer_locked(desk, first, first->result);
		load->result = result;
		first = load;
		count++;
	}
	*only = count == 1 && !fl__unpack_is_for(first) ? first : NULL;
	if (*only)
		first->users++;
	else if (first)
		fl__desk_answer_locked(desk, first, first->result);
	fl__os_unlock(&desk->lock);
	return count;
}

/*
 * Read by the ring. A page that comes alone is filled here: a guest waits for the
 * page, and to wake a filler would take as long again. Pages that come together
 * are for the fillers, and so is all that is packed; the disk gets its next reads
 * before they are filled. False: the kernel did not take all reads.
 */
static bool ring_turn(struct fl__loader *loader, struct fl__sha256 *sha)
{
	struct fl__desk *desk = &loader->desk;
	struct fl__load *load;
	bool is_taken;

	do {
		is_taken = ring_fill(loader);
		if (!ring_drain(loader, &load))
			return is_taken;
		if (!load)
			return ring_fill(loader);
		if (fl__fill_answered(load, load->result))
			fl__fill_check(load, sha);
		fl__os_lock(&desk->lock);
		fl__desk_put_locked(desk, load);
		fl__os_unlock(&desk->lock);
	} while (true);
}

/* ------------------------------------------------------------------ faults */

static void faults_read(struct fl__desk *desk, uint32_t room)
{
	struct uffd_msg messages[MESSAGES];
	size_t count = room < MESSAGES ? room : MESSAGES;
	ssize_t len = read(desk->uffd_fd, messages, count * sizeof(*messages));

	fl__os_lock(&desk->lock);
	for (ssize_t i = 0; i < len / (ssize_t)sizeof(*messages); i++) {
		if (messages[i].event == UFFD_EVENT_PAGEFAULT)
			fl__desk_fault_locked(
				desk, messages[i].arg.pagefault.address);
	}
	fl__os_unlock(&desk->lock);
}

static int wait_ms(uint64_t deadline_ns)
{
	uint64_t now = fl__os_now_ns(), ms;

	if (deadline_ns == UINT64_MAX)
		return -1;
	ms = deadline_ns <= now ? 0 : (deadline_ns - now) / 1000000 + 1;
	return (int)fl_min_u64(ms, 1000000);
}

static void *handler_run(void *arg)
{
	struct fl__loader *loader = arg;
	struct fl__desk *desk = &loader->desk;
	struct pollfd fds[3] = {
		{ .fd = desk->wake_fd, .events = POLLIN },
		{ .events = POLLIN },
		{ .fd = loader->ring ? fl__ring_fd(loader->ring) : -1,
		  .events = POLLIN },
	};
	uint64_t deadline_ns, rings;
	struct fl__sha256 sha;
	uint32_t room;

	thread_confine(loader);
	fl__sha256_init(&sha);
	for (;;) {
		fl__os_lock(&desk->lock);
		deadline_ns = fl__desk_tick_locked(desk);
		room = desk->free_waiter_count;
		if (desk->is_stopping)
			break;
		fl__os_unlock(&desk->lock);
		/* Nothing rings when the kernel could take more. */
		if (loader->ring && !ring_turn(loader, &sha))
			deadline_ns = fl_min_u64(
				deadline_ns, fl__os_now_ns() + RING_AGAIN_NS);
		/* With no waiter free, faults stay where they are. */
		fds[1].fd = room ? desk->uffd_fd : -1;
		if (poll(fds, 3, wait_ms(deadline_ns)) <= 0)
			continue;
		if (fds[0].revents)
			(void)!read(desk->wake_fd, &rings, sizeof(rings));
		if (fds[1].revents)
			faults_read(desk, room);
	}
	fl__os_unlock(&desk->lock);
	return NULL;
}

/* ------------------------------------------------------- beginning and end */

int fl__loader_open(const struct fl__loader_config *config,
		    struct fl__loader **out)
{
	struct fl__loader *loader = calloc(1, sizeof(*loader));
	int err = loader ? fl__desk_init(&loader->desk) : -ENOMEM;

	if (!err && fl__os_lock_init(&loader->life)) {
		fl__desk_fini(&loader->desk);
		err = -ENOMEM;
	}
	if (!err &&
	    fl__os_fork_guard_init(&loader->fork_guard, config->can_wipe)) {
		loader_free(loader);
		return -ENOMEM;
	}
	if (err) {
		free(loader);
		return err;
	}
	loader->config = *config;
	*out = loader;
	return 0;
}

/* In a forked child there is no thread to end or to wait for, the ring is not
 * mapped, and whoever held a lock does so for ever. */
static bool loader_is_parents(const struct fl__loader *loader)
{
	return fl__os_is_forked(&loader->fork_guard);
}

/* A source that owes an answer may write to a buffer: the last answer frees. */
void fl__loader_close(struct fl__loader *loader)
{
	if (loader && !loader_is_parents(loader) &&
	    fl__desk_close(&loader->desk))
		loader_free(loader);
}

static int fds_open(struct fl__loader *loader)
{
	struct fl__desk *desk = &loader->desk;
	int err;

	desk->uffd_fd = fl__uffd_open_missing(loader->config.with_wp,
					      loader->config.with_minor);
	if (desk->uffd_fd < 0)
		return desk->uffd_fd;
	desk->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	err = desk->wake_fd < 0 ? -errno : 0;
	if (!err && loader->config.with_ring)
		err = fl__ring_open(FL__DESK_LOADS, &loader->ring);
	if (!err && loader->config.with_filter)
		err = fl__filter_make(&loader->filter);
	if (!err)
		return 0;
	fl__ring_close(loader->ring);
	loader->ring = NULL;
	if (desk->wake_fd >= 0)
		close(desk->wake_fd);
	close(desk->uffd_fd);
	desk->wake_fd = desk->uffd_fd = -1;
	return err;
}

static void threads_stop(struct fl__loader *loader, bool has_handler)
{
	struct fl__desk *desk = &loader->desk;
	uint64_t one = 1;

	fl__os_lock(&desk->lock);
	desk->is_stopping = true;
	fl__os_cond_broadcast(&desk->filler);
	fl__os_cond_broadcast(&desk->caller);
	(void)!write(desk->wake_fd, &one, sizeof(one));
	fl__os_unlock(&desk->lock);
	if (has_handler)
		pthread_join(loader->handler, NULL);
	while (loader->filler_count)
		pthread_join(loader->fillers[--loader->filler_count], NULL);
	while (loader->caller_count)
		pthread_join(loader->callers[--loader->caller_count], NULL);
	/* No image is left, and so no read. */
	fl__ring_close(loader->ring);
	loader->ring = NULL;
	fl__filter_free(&loader->filter);
	fl__unpack_fini(&loader->unpack);
	/* Who still owes an answer rings no bell. */
	fl__os_lock(&desk->lock);
	close(desk->wake_fd);
	close(desk->uffd_fd);
	desk->wake_fd = desk->uffd_fd = -1;
	desk->is_stopping = false;
	if (!desk->taken_count)
		fl__buffers_rest(&desk->buffers);
	fl__os_unlock(&desk->lock);
}

/* The system's number. The new threads take no signals. */
static int threads_make(struct fl__loader *loader, void *(*run)(void *arg),
			pthread_t *threads, uint32_t *count, uint32_t wanted)
{
	sigset_t all, before;
	int err = 0;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	while (!err && *count < wanted) {
		err = pthread_create(&threads[*count], NULL, run, loader);
		*count += !err;
	}
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return -err;
}

/* All threads that were made run on return, or have said why they cannot: a host may
 * confine itself then, by a filter that lets no thread begin. */
static int threads_wait(struct fl__loader *loader)
{
	struct fl__desk *desk = &loader->desk;
	uint32_t made = 1 + loader->filler_count + loader->caller_count;
	int err;

	fl__os_lock(&desk->lock);
	while (loader->running_count < made)
		fl__os_cond_wait(&desk->answered, &desk->lock, UINT64_MAX, NULL,
				 NULL);
	err = loader->confine_err;
	fl__os_unlock(&desk->lock);
	return err;
}

static int threads_start(struct fl__loader *loader)
{
	uint32_t handlers = 0;
	int err = fds_open(loader);

	if (err)
		return err;
	loader->running_count = 0;
	loader->confine_err = 0;
	err = threads_make(loader, handler_run, &loader->handler, &handlers, 1);
	if (!err)
		err = threads_make(loader, filler_run, loader->fillers,
				   &loader->filler_count,
				   loader->config.filler_count);
	if (!err)
		err = threads_wait(loader);
	if (err)
		threads_stop(loader, handlers);
	return err;
}

/* An image is to be loaded; is_foreign: by calls of the host; is_packed: and its
 * pages are to be unpacked. */
static int loader_enter(struct fl__loader *loader, bool is_foreign,
			bool is_packed)
{
	fl__os_no_cancel();
	bool is_started = false;
	int err = 0;

	fl__os_lock(&loader->life);
	if (!loader->image_count) {
		err = threads_start(loader);
		is_started = !err;
	}
	if (!err && is_foreign)
		err = threads_make(loader, caller_run, loader->callers,
				   &loader->caller_count, CALLERS);
	if (!err && is_foreign)
		err = threads_wait(loader);
	if (!err && is_packed)
		err = fl__unpack_ready(&loader->unpack,
				       loader->config.filler_count);
	if (err && is_started)
		threads_stop(loader, true);
	loader->image_count += !err;
	fl__os_unlock(&loader->life);
	return err;
}

static void loader_leave(struct fl__loader *loader)
{
	fl__os_lock(&loader->life);
	if (!--loader->image_count)
		threads_stop(loader, true);
	fl__os_unlock(&loader->life);
}

/* The range is in extents, whose pages all have a place in the file. */
static int loader_ready(const struct fl_image *image, uint64_t off,
			uint64_t len)
{
	struct fl__desk *desk = image->lazy->desk;
	struct fl_image *lent = (struct fl_image *)(uintptr_t)image;
	uint64_t end = off + len, next;
	int err = 0;

	for (; !err && off < end; off = next) {
		uint64_t w = off / FL_WPAGE_BYTES;

		next = fl_min_u64(end, (w + 1) * FL_WPAGE_BYTES);
		/* Of a page that is not loaded these bytes may be there. */
		if (fl__lazy_has(image, w) ||
		    fl__lazy_bytes(image, off, next - off))
			continue;
		/* A child has no thread that would answer. */
		err = loader_is_parents(loader_of(desk)) ?
			      -EIO :
			      fl__desk_want(desk, lent, w);
	}
	return err;
}

static const char *start_remedy(int err)
{
	const char *remedy = err == -EAGAIN ? fl__os_thread_remedy() :
					      fl__os_remedy(err);

	return remedy ? remedy : "FL_LOAD_WHOLE needs none";
}

int fl__loader_refuse(const struct fl__origin *origin, const char *reason,
		      struct fl_error *error)
{
	const char *wish = "FL_READ_CACHED", *instead = "FL_READ_DEFAULT";

	if (origin->read == FL_READ_DIRECT)
		wish = "FL_READ_DIRECT";
	if (origin->publish == FL_PUBLISH_CONTINUE) {
		wish = "FL_PUBLISH_CONTINUE";
		instead = "FL_PUBLISH_DEFAULT";
	}
	return fl__error_set(error, -ENOTSUP,
			     "%s cannot be had here: %s; use %s", wish, reason,
			     instead);
}

/* Where the image's file is to be read past the page cache. */
static int direct_open(const struct fl_image *image,
		       struct fl__lazy_direct *direct, struct fl_error *error)
{
	const struct fl__origin *origin = image->origin;
	int fd = -1;

	*direct = (struct fl__lazy_direct){ -1, 0 };
	if (origin->read != FL_READ_DIRECT)
		return 0;
	fd = fl__direct_open(fl__page_source_fd(origin->pages),
			     &direct->unit_bytes);
	if (fd == -ENOTSUP)
		return fl__loader_refuse(
			origin, "the file system does not read by O_DIRECT",
			error);
	if (fd == -ENOENT)
		return fl__loader_refuse(
			origin, "there is no /proc to open the file anew by",
			error);
	if (fd < 0)
		return fl__error_set(
			error, fl__error_fold(fd),
			"cannot open the file anew, to read it past the page cache: %s%s%s",
			strerror(-fd), fl__os_remedy_lead(fd),
			fl__os_remedy_text(fd));
	direct->fd = fd;
	return 0;
}

static void buffers_enlarge(struct fl__desk *desk)
{
	fl__os_lock(&desk->lock);
	fl__buffers_enlarge(&desk->buffers, desk->taken_count);
	fl__os_unlock(&desk->lock);
}

int fl__loader_add(struct fl__loader *loader, struct fl_image *image,
		   struct fl_error *error)
{
	const struct fl_page_source *pages = image->origin->pages;
	bool is_foreign = fl__page_source_is_foreign(pages);
	struct fl__lazy_direct direct;
	int err = direct_open(image, &direct, error);

	if (err)
		return err;
	if (direct.fd < 0)
		fl__foresee_open(image);
	err = loader_enter(loader, is_foreign, image->origin->toc.is_packed);
	if (err && direct.fd >= 0)
		close(direct.fd);
	if (err)
		return fl__error_set(
			error, err == -ENOTSUP ? err : fl__error_fold(err),
			"cannot start the threads that load images: %s; %s",
			strerror(-err), start_remedy(err));
	err = fl__lazy_create(image, &loader->desk, loader->desk.uffd_fd,
			      direct, loader->config.with_wp, error);
	if (err) {
		loader_leave(loader);
		return err;
	}
	if (fl__lazy_is_direct_copy(image->lazy))
		buffers_enlarge(&loader->desk);
	if (is_foreign)
		image->lazy->reader = FL__READER_CALLER;
	else if (loader->ring && fl__page_source_fd(pages) >= 0)
		image->lazy->reader = FL__READER_RING;
	image->lazy->can_collapse = loader->config.can_collapse;
	/* What is read past the page cache is not asked for ahead. */
	image->lazy->can_ask = fl__page_source_fd(pages) >= 0 && direct.fd < 0;
	fl__desk_add_image(&loader->desk, image);
	image->ready = loader_ready;
	image->has = fl__lazy_holds;
	return 0;
}

void fl__loader_remove(struct fl_image *image)
{
	fl__os_no_cancel();
	struct fl__loader *loader = loader_of(image->lazy->desk);
	bool is_parents = loader_is_parents(loader);

	if (!is_parents)
		fl__desk_drop_image(&loader->desk, image);
	fl__lazy_destroy(image, is_parents);
	if (!is_parents)
		loader_leave(loader);
}

int fl__loader_uffd(const struct fl__loader *loader)
{
	return loader->desk.uffd_fd;
}

struct fl__desk *fl__loader_desk(struct fl__loader *loader)
{
	return &loader->desk;
}

int fl__loader_show(struct fl__loader *loader, struct fl_image *image,
		    struct fl__space *space, uint64_t start, uint64_t end)
{
	int err = 0;

	/* See lazy.h. */
	if (madvise((void *)(uintptr_t)start, (size_t)(end - start),
		    MADV_DONTFORK))
		err = -errno;
	if (!err)
		err = fl__desk_add_place(&loader->desk, start, end, image,
					 space);
	/* A reset that marks pages registers for that too. Until then the kernel
	 * maps what is loaded around each fault. */
	if (!err)
		err = fl__uffd_register(loader->desk.uffd_fd, start,
					end - start, fl__lazy_modes(image));
	return fl__error_fold(err);
}

void fl__loader_tell(const struct fl_image *image,
		     struct fl_image_loading *loading)
{
	loading->publish = image->lazy->is_continue ? FL_PUBLISH_CONTINUE :
						      FL_PUBLISH_COPY;
	if (fl__page_source_fd(image->origin->pages) >= 0)
		loading->read = image->lazy->direct.fd >= 0 ? FL_READ_DIRECT :
							      FL_READ_CACHED;
	loading->loaded_wpages =
		__atomic_load_n(&image->lazy->loaded_count, __ATOMIC_RELAXED);
	loading->failed_loads =
		__atomic_load_n(&image->lazy->failed_count, __ATOMIC_RELAXED);
}
