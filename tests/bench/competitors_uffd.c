/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * competitors_uffd.c - missing faults to one handler thread, in the way of
 * Wasmtime's userfaultfd allocator of 2021.
 *
 * One userfaultfd and one thread for the process. The thread reads one
 * message at a time, blocking, and fills a whole wasm page: a copy of the
 * image's page, or zeroes beyond the image. Slots are made accessible and
 * registered once; growing is bookkeeping; reset is MADV_DONTNEED. (There,
 * accesses between the current and the maximal size were caught too. These
 * guests make none.)
 *
 * The handler finds the slot from the address (a slot is aligned to its
 * size), so it needs no table and no lock. It is ended by a fault on a page
 * of its own, the bell: a blocking read has no other wake-up that is free.
 *
 * The shared part is counted by setup and teardown, which the harness never
 * calls concurrently.
 */
#include "competitors.h"
#include "kernel_abi.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

struct handler {
	const struct bench_case *c;
	unsigned int n_users;
	int fd;
	bool user_mode_only;
	uint8_t *bell;
	pthread_t thread;
};

struct slot {
	const struct bench_case *c;
	struct handler *handler;
	uint8_t *base;
	uint64_t size_bytes;
};

/* The one of the process; see above for who may touch it. */
static struct handler handler = { .fd = -1 };

static int open_uffd(bool *user_mode_only)
{
	int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC);

	*user_mode_only = false;
	if (fd >= 0 || errno != EPERM)
		return fd < 0 ? -errno : fd;
	*user_mode_only = true;
	fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY);
	return fd < 0 ? -errno : fd;
}

static bool have_uffd(const struct bench_case *c, char *reason, size_t size)
{
	bool user_mode_only;
	int fd = open_uffd(&user_mode_only);

	(void)c;
	if (fd >= 0) {
		close(fd);
		return true;
	}
	snprintf(reason, size, "userfaultfd: %s (%s)", strerror(-fd),
		 fd == -ENOSYS ? "not in this kernel" :
		 fd == -EPERM  ? "refused by the kernel or by seccomp" :
				 "it cannot be opened");
	return false;
}

/* Whoever faulted would sleep for ever: better no process than that. */
static void die(const char *what)
{
	fprintf(stderr, "uffd-thread: %s: %s\n", what, strerror(errno));
	_exit(1);
}

static void fill_image(const struct handler *h, uint64_t at, uint64_t off)
{
	struct uffdio_copy copy = {
		.dst = at,
		.src = (uintptr_t)h->c->image + off,
		.len = BENCH_WPAGE_BYTES,
	};

	while (ioctl(h->fd, UFFDIO_COPY, &copy)) {
		if (errno != EAGAIN)
			die("UFFDIO_COPY");
		if (copy.copy > 0) {
			copy.dst += (uint64_t)copy.copy;
			copy.src += (uint64_t)copy.copy;
			copy.len -= (uint64_t)copy.copy;
		}
		copy.copy = 0;
	}
}

static void fill_zero(const struct handler *h, uint64_t at, uint64_t bytes)
{
	struct uffdio_zeropage zero = { .range = { at, bytes } };

	while (ioctl(h->fd, UFFDIO_ZEROPAGE, &zero)) {
		if (errno != EAGAIN)
			die("UFFDIO_ZEROPAGE");
		if (zero.zeropage > 0) {
			zero.range.start += (uint64_t)zero.zeropage;
			zero.range.len -= (uint64_t)zero.zeropage;
		}
		zero.zeropage = 0;
	}
}

static void *handle(void *arg)
{
	const struct handler *h = arg;
	const uint64_t bell = (uintptr_t)h->bell;

	for (;;) {
		struct uffd_msg msg;
		ssize_t n = read(h->fd, &msg, sizeof(msg));
		uint64_t at, off;

		if (n < 0 && (errno == EINTR || errno == EAGAIN))
			continue;
		if (n != sizeof(msg) || msg.event != UFFD_EVENT_PAGEFAULT)
			die("reading a message");
		at = msg.arg.pagefault.address & ~(BENCH_WPAGE_BYTES - 1);
		if (at == bell) {
			fill_zero(h, at, BENCH_WPAGE_BYTES);
			return NULL;
		}
		off = at & (BENCH_SLOT_BYTES - 1);
		if (off < h->c->image_bytes)
			fill_image(h, at, off);
		else
			fill_zero(h, at, BENCH_WPAGE_BYTES);
	}
}

static int register_missing(const struct handler *h, const uint8_t *at,
			    uint64_t bytes)
{
	struct uffdio_register reg = {
		.range = { (uintptr_t)at, bytes },
		.mode = UFFDIO_REGISTER_MODE_MISSING,
	};

	return ioctl(h->fd, UFFDIO_REGISTER, &reg) ? -errno : 0;
}

static int hang_bell(struct handler *h)
{
	int err = bench_slot_reserve(&h->bell);

	if (!err)
		err = bench_slot_allow(h->bell, BENCH_WPAGE_BYTES);
	if (!err)
		err = register_missing(h, h->bell, BENCH_WPAGE_BYTES);
	return err;
}

static void abandon(struct handler *h)
{
	if (h->bell)
		bench_slot_release(h->bell);
	if (h->fd >= 0)
		close(h->fd);
	*h = (struct handler){ .fd = -1 };
}

static int start(struct handler *h, const struct bench_case *c)
{
	struct uffdio_api api = { .api = UFFD_API };
	int err = 0;

	h->c = c;
	h->fd = open_uffd(&h->user_mode_only);
	if (h->fd < 0)
		err = h->fd;
	else if (ioctl(h->fd, UFFDIO_API, &api))
		err = -errno;
	if (!err)
		err = hang_bell(h);
	if (!err)
		err = -pthread_create(&h->thread, NULL, handle, h);
	if (err)
		abandon(h);
	return err;
}

static void stop(struct handler *h)
{
	volatile uint8_t *bell = h->bell;

	(void)*bell;
	pthread_join(h->thread, NULL);
	abandon(h);
}

static void uffd_teardown(void *state)
{
	struct slot *s = state;
	struct handler *h = s->handler;

	if (s->base)
		bench_slot_release(s->base);
	free(s);
	if (!--h->n_users)
		stop(h);
}

static int uffd_setup(const struct bench_case *c,
		      const struct bench_guest *guest, void **state)
{
	uint64_t bytes = c->image_bytes + c->grow_bytes;
	struct slot *s = calloc(1, sizeof(*s));
	int err = 0;

	(void)guest;
	if (!s)
		return -ENOMEM;
	s->c = c;
	s->handler = &handler;
	s->size_bytes = c->image_bytes;
	if (!handler.n_users)
		err = start(&handler, c);
	if (err) {
		free(s);
		return err;
	}
	handler.n_users++;
	err = bench_slot_reserve(&s->base);
	if (!err)
		err = bench_slot_allow(s->base, bytes);
	if (!err)
		err = register_missing(&handler, s->base, bytes);
	if (err)
		uffd_teardown(s);
	else
		*state = s;
	return err;
}

static int uffd_take(void *state, uint8_t **base)
{
	struct slot *s = state;

	*base = s->base;
	return 0;
}

static int uffd_grow(void *state)
{
	struct slot *s = state;

	s->size_bytes = s->c->image_bytes + s->c->grow_bytes;
	return 0;
}

static int uffd_give(void *state)
{
	struct slot *s = state;
	int err = bench_slot_drop(s->base, s->size_bytes);

	s->size_bytes = s->c->image_bytes;
	return err;
}

static void uffd_describe(void *state, char *text, size_t size)
{
	const struct slot *s = state;

	snprintf(text, size, "userfaultfd-missing%s",
		 s->handler->user_mode_only ? ", user-mode-only" : "");
}

const struct bench_competitor bench_uffd_thread = {
	.name = "uffd-thread",
	.note = "missing faults to a thread, 64 KiB: Wasmtime 2021",
	.features = "userfaultfd-missing",
	.probe = have_uffd,
	.setup = uffd_setup,
	.take = uffd_take,
	.grow = uffd_grow,
	.give = uffd_give,
	.teardown = uffd_teardown,
	.describe = uffd_describe,
};
