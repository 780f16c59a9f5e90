/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/* attack_ring.h - the least of io_uring, by plain system calls. */
#ifndef ATTACK_RING_H
#define ATTACK_RING_H

#include <stdbool.h>
#include <stdint.h>

struct attack_ring {
	int fd;
	uint8_t *rings;
	uint64_t rings_bytes;
	void *sqes;
	uint64_t sqes_bytes;
	uint32_t sq_tail_off, sq_mask, sq_array_off;
	uint32_t cq_head_off, cq_tail_off, cq_mask, cqes_off;
};

const char *attack_needs_ring(void);
bool attack_ring_open(struct attack_ring *ring);
void attack_ring_close(struct attack_ring *ring);

struct attack_op {
	uint8_t opcode;
	uint8_t flags;
	uint16_t buf_idx; /* registered buffer, or buffer group */
	int fd;
	void *addr;
	uint32_t len;
	uint64_t off;
	uint64_t user;
};

/* Hand one operation to the kernel; true if it took it. */
bool attack_ring_submit(struct attack_ring *ring, const struct attack_op *op);
/* Wait for the next completion. */
int attack_ring_reap(struct attack_ring *ring, uint64_t *user, uint32_t *flags);
/* Both. */
int attack_ring_do(struct attack_ring *ring, const struct attack_op *op);
/* io_uring_register(). */
int attack_ring_register(struct attack_ring *ring, unsigned int opcode,
			 void *arg, unsigned int count);

#endif
