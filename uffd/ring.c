/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/* ring.c - a ring of liburing that is restricted; see ring.h. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "ring.h"
#include "base/util.h"
#include "uffd/kernel.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#if FL_WITH_LIBURING
#include <liburing.h>

struct fl__ring {
	struct io_uring io;
};

static int ring_register(const struct fl__ring *ring, unsigned int op,
			 const void *arg, unsigned int count)
{
	/* Debian's liburing.so 2.3 has no calls for these two. */
	return syscall(SYS_io_uring_register, ring->io.ring_fd, op, arg,
		       count) < 0 ?
		       -errno :
		       0;
}

static int ring_restrict(const struct fl__ring *ring)
{
	const struct io_uring_restriction allowed[] = {
		{ .opcode = IORING_RESTRICTION_SQE_OP,
		  .sqe_op = IORING_OP_READ },
		{ .opcode = IORING_RESTRICTION_SQE_OP,
		  .sqe_op = IORING_OP_ASYNC_CANCEL },
	};
	int err = ring_register(ring, IORING_REGISTER_RESTRICTIONS, allowed,
				FL_ARRAY_SIZE(allowed));

	return err ? err :
		     ring_register(ring, IORING_REGISTER_ENABLE_RINGS, NULL, 0);
}

int fl__ring_open(uint32_t count, struct fl__ring **out)
{
	struct io_uring_params params = { .flags = IORING_SETUP_R_DISABLED };
	struct fl__ring *ring = calloc(1, sizeof(*ring));
	int err = ring ? 0 : -ENOMEM;

	/* Each read may have a cancel beside it. */
	if (!err)
		err = io_uring_queue_init_params(2 * count, &ring->io, &params);
	if (err) {
		free(ring);
		return err;
	}
	err = io_uring_ring_dontfork(&ring->io);
	if (!err)
		err = ring_restrict(ring);
	if (err) {
		fl__ring_close(ring);
		return err;
	}
	*out = ring;
	return 0;
}

void fl__ring_close(struct fl__ring *ring)
{
	if (!ring)
		return;
	io_uring_queue_exit(&ring->io);
	free(ring);
}

int fl__ring_try(struct fl__ring *ring)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&ring->io);
	struct io_uring_cqe *cqe;
	int err;

	io_uring_prep_nop(sqe);
	err = io_uring_submit(&ring->io);
	if (err < 0)
		return err;
	/* A refusal is there at once. */
	if (io_uring_peek_cqe(&ring->io, &cqe))
		return -EIO;
	err = cqe->res == -EACCES ? 0 : -EINVAL;
	io_uring_cqe_seen(&ring->io, cqe);
	return err;
}

int fl__ring_fd(const struct fl__ring *ring)
{
	return ring->io.ring_fd;
}

bool fl__ring_read(struct fl__ring *ring, int fd, uint64_t off, void *dst,
		   uint32_t len, void *user)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&ring->io);

	if (!sqe)
		return false;
	io_uring_prep_read(sqe, fd, dst, len, off);
	io_uring_sqe_set_data(sqe, user);
	return true;
}

bool fl__ring_cancel(struct fl__ring *ring, void *user)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&ring->io);

	if (!sqe)
		return false;
	io_uring_prep_cancel(sqe, user, 0);
	/* What became of the cancel, the read says. */
	io_uring_sqe_set_data(sqe, NULL);
	return true;
}

bool fl__ring_go(struct fl__ring *ring)
{
	if (io_uring_sq_ready(&ring->io))
		(void)io_uring_submit(&ring->io);
	return !io_uring_sq_ready(&ring->io);
}

void *fl__ring_next(struct fl__ring *ring, int64_t *result)
{
	struct io_uring_cqe *cqe;
	void *user = NULL;

	while (!user && !io_uring_peek_cqe(&ring->io, &cqe)) {
		user = io_uring_cqe_get_data(cqe);
		*result = cqe->res;
		io_uring_cqe_seen(&ring->io, cqe);
	}
	return user;
}

#else

int fl__ring_open(uint32_t count, struct fl__ring **ring)
{
	(void)count;
	(void)ring;
	return -ENOSYS;
}

void fl__ring_close(struct fl__ring *ring)
{
	(void)ring;
}

int fl__ring_try(struct fl__ring *ring)
{
	(void)ring;
	return -ENOSYS;
}

int fl__ring_fd(const struct fl__ring *ring)
{
	(void)ring;
	return -1;
}

bool fl__ring_read(struct fl__ring *ring, int fd, uint64_t off, void *dst,
		   uint32_t len, void *user)
{
	(void)ring;
	(void)fd;
	(void)off;
	(void)dst;
	(void)len;
	(void)user;
	return false;
}

bool fl__ring_cancel(struct fl__ring *ring, void *user)
{
	(void)ring;
	(void)user;
	return false;
}

bool fl__ring_go(struct fl__ring *ring)
{
	(void)ring;
	return true;
}

void *fl__ring_next(struct fl__ring *ring, int64_t *result)
{
	(void)ring;
	(void)result;
	return NULL;
}

#endif
