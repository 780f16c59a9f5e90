/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/* attack_ring.c - see attack_ring.h. */
#define _GNU_SOURCE
#include "attack_ring.h"

#include <errno.h>
#include <linux/io_uring.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define RING_ENTRIES 8

const char *attack_needs_ring(void)
{
	static char reason[100];
	struct attack_ring ring;

	if (attack_ring_open(&ring)) {
		attack_ring_close(&ring);
		return NULL;
	}
	snprintf(reason, sizeof(reason), "io_uring cannot be used: %s",
		 strerror(errno));
	return reason;
}

static uint64_t max_u64(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

static uint32_t *ring_word(struct attack_ring *ring, uint32_t off)
{
	return (uint32_t *)(void *)(ring->rings + off);
}

bool attack_ring_open(struct attack_ring *ring)
{
	struct io_uring_params params = { 0 };

	memset(ring, 0, sizeof(*ring));
	ring->fd = (int)syscall(SYS_io_uring_setup, RING_ENTRIES, &params);
	if (ring->fd < 0)
		return false;
	ring->sqes_bytes = params.sq_entries * sizeof(struct io_uring_sqe);
	ring->rings_bytes = max_u64(
		params.sq_off.array + params.sq_entries * sizeof(uint32_t),
		params.cq_off.cqes +
			params.cq_entries * sizeof(struct io_uring_cqe));
	ring->rings = mmap(NULL, ring->rings_bytes, PROT_READ | PROT_WRITE,
			   MAP_SHARED | MAP_POPULATE, ring->fd,
			   IORING_OFF_SQ_RING);
	ring->sqes = mmap(NULL, ring->sqes_bytes, PROT_READ | PROT_WRITE,
			  MAP_SHARED | MAP_POPULATE, ring->fd, IORING_OFF_SQES);
	if (ring->rings == MAP_FAILED || ring->sqes == MAP_FAILED)
		return false;
	ring->sq_tail_off = params.sq_off.tail;
	ring->sq_array_off = params.sq_off.array;
	ring->sq_mask = *ring_word(ring, params.sq_off.ring_mask);
	ring->cq_head_off = params.cq_off.head;
	ring->cq_tail_off = params.cq_off.tail;
	ring->cq_mask = *ring_word(ring, params.cq_off.ring_mask);
	ring->cqes_off = params.cq_off.cqes;
	return true;
}

void attack_ring_close(struct attack_ring *ring)
{
	munmap(ring->rings, ring->rings_bytes);
	munmap(ring->sqes, ring->sqes_bytes);
	close(ring->fd);
}

bool attack_ring_submit(struct attack_ring *ring, const struct attack_op *op)
{
	uint32_t *tail = ring_word(ring, ring->sq_tail_off);
	uint32_t idx = *tail & ring->sq_mask;
	struct io_uring_sqe *sqe = (struct io_uring_sqe *)ring->sqes + idx;

	memset(sqe, 0, sizeof(*sqe));
	sqe->opcode = op->opcode;
	sqe->flags = op->flags;
	sqe->fd = op->fd;
	sqe->addr = (uintptr_t)op->addr;
	sqe->len = op->len;
	sqe->off = op->off;
	sqe->buf_index = op->buf_idx;
	sqe->user_data = op->user;
	ring_word(ring, ring->sq_array_off)[idx] = idx;
	__atomic_store_n(tail, *tail + 1, __ATOMIC_RELEASE);
	return syscall(SYS_io_uring_enter, ring->fd, 1, 0, 0, NULL, 0) == 1;
}

int attack_ring_reap(struct attack_ring *ring, uint64_t *user, uint32_t *flags)
{
	uint32_t *head = ring_word(ring, ring->cq_head_off);
	uint32_t *tail = ring_word(ring, ring->cq_tail_off);
	const struct io_uring_cqe *cqe;
	int res;

	while (*head == __atomic_load_n(tail, __ATOMIC_ACQUIRE)) {
		if (syscall(SYS_io_uring_enter, ring->fd, 0, 1,
			    IORING_ENTER_GETEVENTS, NULL, 0) < 0 &&
		    errno != EINTR)
			return -errno;
	}
	cqe = (const struct io_uring_cqe *)(const void *)(ring->rings +
							  ring->cqes_off) +
	      (*head & ring->cq_mask);
	res = cqe->res;
	if (user)
		*user = cqe->user_data;
	if (flags)
		*flags = cqe->flags;
	__atomic_store_n(head, *head + 1, __ATOMIC_RELEASE);
	return res;
}

int attack_ring_do(struct attack_ring *ring, const struct attack_op *op)
{
	if (!attack_ring_submit(ring, op))
		return -errno;
	return attack_ring_reap(ring, NULL, NULL);
}

int attack_ring_register(struct attack_ring *ring, unsigned int opcode,
			 void *arg, unsigned int count)
{
	long res = syscall(SYS_io_uring_register, ring->fd, opcode, arg, count);

	return res < 0 ? -errno : (int)res;
}
