/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * isolation_io.c - what the kernel writes into a guest's memory is undone
 * like what the guest writes itself: read(), O_DIRECT, sockets, splicing,
 * io_uring with all its kinds of buffers.
 *
 * Everything here is completed, and buffers are given back, before the release;
 * what happens otherwise is in live/isolation_held.c.
 */
#define _GNU_SOURCE
#include "tests/kit/attack.h"
#include "tests/kit/attack_ring.h"

#include <fcntl.h>
#include <linux/io_uring.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>

/* What the running case reads from, and through. */
static struct {
	int file; /* ATTACK_FILE_BYTES of 0xa7 */
	int ends[2]; /* pipe or socket pair: out of [0], into [1] */
	struct attack_ring ring;
	uint8_t *bytes; /* of 0xa7 too, two host pages */
} io = { .file = -1, .ends = { -1, -1 } };

static void io_open(int file_flags)
{
	io.file = attack_file_open(file_flags);
	MUST(io.file >= 0);
	io.bytes = malloc(2 * conform_hpage());
	MUST(io.bytes != NULL);
	memset(io.bytes, 0xa7, 2 * conform_hpage());
}

static void io_close(void)
{
	close(io.file);
	free(io.bytes);
}

static void pipe_open(void)
{
	io_open(0);
	MUST(!pipe2(io.ends, O_CLOEXEC));
}

static void pipe_close(void)
{
	close(io.ends[0]);
	close(io.ends[1]);
	io_close();
}

static void ring_open(int file_flags)
{
	io_open(file_flags);
	MUST(attack_ring_open(&io.ring));
}

static void ring_close(void)
{
	attack_ring_close(&io.ring);
	io_close();
}

/* Part of a page, whole pages, or pages in a row; never past the memory. */
static uint64_t pick_len(const struct tenant *tenant, uint32_t pick_idx)
{
	uint64_t hpage = conform_hpage();
	uint64_t room = tenant->length_bytes - tenant->picks[pick_idx] * hpage;
	uint64_t len = pick_idx % 5 == 4 ? 3 * hpage : hpage;

	return len < room ? len : room;
}

/* ------------------------------------------------------------- system calls */

static void do_read(struct tenant *tenant)
{
	for (uint32_t i = 0; i < tenant->pick_count; i++) {
		uint64_t off = i % 3 ? 0 : 100 + i;
		uint64_t len = pick_len(tenant, i) - off;

		CHECK_EQ(pread(io.file, attack_picked(tenant, i) + off, len,
			       512),
			 len);
	}
}

static void read_completed(void)
{
	io_open(0);
	attack_repeat(do_read);
	io_close();
}

static void do_readv(struct tenant *tenant)
{
	struct iovec iov[ATTACK_MAX_PICKS];
	uint64_t sum = 0;

	for (uint32_t i = 0; i < tenant->pick_count; i++) {
		iov[i].iov_base = attack_picked(tenant, i) + i;
		iov[i].iov_len = i % 2 ? 1 : 700;
		sum += iov[i].iov_len;
	}
	if (tenant->pick_count)
		CHECK_EQ(preadv(io.file, iov, (int)tenant->pick_count, 0), sum);
}

static void readv_completed(void)
{
	io_open(0);
	attack_repeat(do_readv);
	io_close();
}

static const char *needs_direct(void)
{
	int fd = attack_file_open(O_DIRECT);

	if (fd < 0)
		return "no directory for temporary files takes O_DIRECT: set TMPDIR";
	close(fd);
	return NULL;
}

static void do_direct(struct tenant *tenant)
{
	for (uint32_t i = 0; i < tenant->pick_count; i++) {
		uint64_t len = pick_len(tenant, i);

		CHECK_EQ(pread(io.file, attack_picked(tenant, i), len, 0), len);
	}
}

static void direct_read_completed(void)
{
	io_open(O_DIRECT);
	attack_repeat(do_direct);
	io_close();
}

static void do_recvmsg(struct tenant *tenant)
{
	for (uint32_t i = 0; i < tenant->pick_count; i++) {
		struct iovec iov[2] = {
			{ attack_picked(tenant, i) + 7, 300 },
			{ attack_picked(tenant, i) + 2000, 900 },
		};
		struct msghdr msg = { .msg_iov = iov, .msg_iovlen = 2 };

		CHECK_EQ(send(io.ends[1], io.bytes, 1200, 0), 1200);
		CHECK_EQ(recvmsg(io.ends[0], &msg, 0), 1200);
	}
}

static void recvmsg_completed(void)
{
	io_open(0);
	MUST(!socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, io.ends));
	attack_repeat(do_recvmsg);
	pipe_close();
}

/* Of a pipe's read end, vmsplice() copies into the memory. */
static void do_vmsplice_in(struct tenant *tenant)
{
	uint64_t hpage = conform_hpage();

	for (uint32_t i = 0; i < tenant->pick_count; i++) {
		struct iovec iov = { attack_picked(tenant, i), hpage };
		ssize_t len;

		CHECK_EQ(write(io.ends[1], io.bytes, hpage), hpage);
		do
			len = vmsplice(io.ends[0], &iov, 1, 0);
		while (len < 0 && errno == EINTR);
		CHECK_EQ(len, hpage);
	}
}

static void vmsplice_in_completed(void)
{
	pipe_open();
	attack_repeat(do_vmsplice_in);
	pipe_close();
}

static void do_getrandom(struct tenant *tenant)
{
	for (uint32_t i = 0; i < tenant->pick_count; i++)
		CHECK_EQ(getrandom(attack_picked(tenant, i) + 9, 64, 0), 64);
}

static void getrandom_completed(void)
{
	attack_repeat(do_getrandom);
}

/* System calls that store a small result. */
static void do_small_results(struct tenant *tenant)
{
	for (uint32_t i = 0; i < tenant->pick_count; i++) {
		uint8_t *at = attack_picked(tenant, i);
		void *into = at + 64;

		switch (i % 4) {
		case 0:
			CHECK(!fstat(io.file, into));
			break;
		case 1:
			CHECK(!clock_gettime(CLOCK_THREAD_CPUTIME_ID, into));
			break;
		case 2:
			CHECK(getcwd(into, 1024) != NULL);
			break;
		default:
			CHECK(!mincore(at, 1, into));
			at[64] |= 2;
			break;
		}
	}
}

static void small_results(void)
{
	io_open(0);
	attack_repeat(do_small_results);
	io_close();
}

/* ----------------------------------------------------------------- io_uring */

/* Not every operation is in every kernel. */
static bool ring_took(struct tenant *tenant, int res, uint64_t len)
{
	if (res == (int)len) {
		tenant->attack->evidence++;
		return true;
	}
	CHECK_EQ(res, len);
	return false;
}

static void do_ring_read(struct tenant *tenant)
{
	for (uint32_t i = 0; i < tenant->pick_count; i++) {
		uint32_t len = (uint32_t)pick_len(tenant, i);
		struct attack_op op = {
			.opcode = IORING_OP_READ,
			.flags = i % 4 == 1 ? IOSQE_ASYNC : 0,
			.fd = io.file,
			.addr = attack_picked(tenant, i),
			.len = len,
		};

		if (!ring_took(tenant, attack_ring_do(&io.ring, &op), len))
			return;
	}
}

static void ring_read_completed(void)
{
	ring_open(0);
	attack_repeat(do_ring_read);
	ring_close();
}

static void ring_direct_read_completed(void)
{
	ring_open(O_DIRECT);
	attack_repeat(do_ring_read);
	ring_close();
}

/* Four pages of the memory at a time as a group of buffers that the kernel
 * chooses from. */
static void do_provided(struct tenant *tenant)
{
	uint32_t hpage = (uint32_t)conform_hpage();

	for (uint32_t i = 0; i < tenant->pick_count; i++) {
		struct attack_op give = {
			.opcode = IORING_OP_PROVIDE_BUFFERS,
			.fd = 1,
			.addr = attack_picked(tenant, i),
			.len = hpage,
			.off = i,
			.buf_idx = 3,
		};
		struct attack_op op = {
			.opcode = IORING_OP_READ,
			.flags = IOSQE_BUFFER_SELECT,
			.fd = io.file,
			.len = hpage,
			.buf_idx = 3,
		};

		CHECK(attack_ring_do(&io.ring, &give) >= 0);
		if (!ring_took(tenant, attack_ring_do(&io.ring, &op), hpage))
			return;
	}
}

static void provided_buffers(void)
{
	ring_open(0);
	attack_repeat(do_provided);
	ring_close();
}

#define BUFFER_RING_ENTRIES 256

/* The ring of buffers itself is the host's; the buffers are the guest's. */
static void buffer_ring_fill(struct io_uring_buf *bufs, struct tenant *tenant)
{
	/* The tail lies over the last field of the first entry. */
	uint16_t *tail = &bufs[0].resv;

	for (uint32_t i = 0; i < tenant->pick_count; i++) {
		bufs[i].addr = (uintptr_t)attack_picked(tenant, i);
		bufs[i].len = (uint32_t)conform_hpage();
		bufs[i].bid = (uint16_t)i;
	}
	__atomic_store_n(tail, (uint16_t)tenant->pick_count, __ATOMIC_RELEASE);
}

static struct io_uring_buf *buffer_ring_map(void)
{
	void *map = mmap(NULL,
			 BUFFER_RING_ENTRIES * sizeof(struct io_uring_buf),
			 PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

	MUST(map != MAP_FAILED);
	return map;
}

static void do_buffer_ring(struct tenant *tenant)
{
	uint32_t hpage = (uint32_t)conform_hpage();
	struct io_uring_buf *bufs = buffer_ring_map();
	struct io_uring_buf_reg reg = {
		.ring_addr = (uintptr_t)bufs,
		.ring_entries = BUFFER_RING_ENTRIES,
		.bgid = 5,
	};
	struct attack_op op = {
		.opcode = IORING_OP_READ,
		.flags = IOSQE_BUFFER_SELECT,
		.fd = io.file,
		.len = hpage,
		.buf_idx = 5,
	};

	MUST_EQ(attack_ring_register(&io.ring, IORING_REGISTER_PBUF_RING, &reg,
				     1),
		0);
	buffer_ring_fill(bufs, tenant);
	for (uint32_t i = 0; i < tenant->pick_count; i++)
		ring_took(tenant, attack_ring_do(&io.ring, &op), hpage);
	CHECK_EQ(attack_ring_register(&io.ring, IORING_UNREGISTER_PBUF_RING,
				      &reg, 1),
		 0);
	munmap(bufs, BUFFER_RING_ENTRIES * sizeof(struct io_uring_buf));
}

static const char *needs_buffer_ring(void)
{
	const char *reason = attack_needs_ring();
	struct io_uring_buf_reg reg = {
		.ring_entries = BUFFER_RING_ENTRIES,
		.bgid = 5,
	};
	struct attack_ring ring;
	void *map;

	if (reason || !attack_ring_open(&ring))
		return reason;
	map = mmap(NULL, BUFFER_RING_ENTRIES * sizeof(struct io_uring_buf),
		   PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	reg.ring_addr = (uintptr_t)map;
	if (attack_ring_register(&ring, IORING_REGISTER_PBUF_RING, &reg, 1))
		reason = "io_uring has no rings of buffers here (Linux 5.19)";
	attack_ring_close(&ring);
	munmap(map, BUFFER_RING_ENTRIES * sizeof(struct io_uring_buf));
	return reason;
}

static void buffer_rings(void)
{
	ring_open(0);
	attack_repeat(do_buffer_ring);
	ring_close();
}

/* Registered and given back within the tenancy; what is written after the
 * registration goes to pages that are already pinned and need no fault. */
static void do_registered(struct tenant *tenant)
{
	struct iovec iov[ATTACK_MAX_PICKS];
	uint32_t count = tenant->pick_count < 40 ? tenant->pick_count : 40;

	if (tenant->cycle % 3 == 0)
		attack_write(tenant);
	for (uint32_t i = 0; i < count; i++)
		iov[i] = (struct iovec){ attack_picked(tenant, i),
					 conform_hpage() };
	if (!count)
		return;
	CHECK_EQ(attack_ring_register(&io.ring, IORING_REGISTER_BUFFERS, iov,
				      count),
		 0);
	for (uint32_t i = 0; i < count; i++) {
		struct attack_op op = {
			.opcode = IORING_OP_READ_FIXED,
			.fd = io.file,
			.addr = attack_picked(tenant, i),
			.len = (uint32_t)conform_hpage(),
			.buf_idx = (uint16_t)i,
		};

		ring_took(tenant, attack_ring_do(&io.ring, &op), op.len);
	}
	CHECK_EQ(attack_ring_register(&io.ring, IORING_UNREGISTER_BUFFERS, NULL,
				      0),
		 0);
}

static const char *needs_registered(void)
{
	const char *reason = attack_needs_ring();
	struct attack_ring ring;
	struct iovec iov;
	uint64_t len = 40 * conform_hpage();

	if (reason || !attack_ring_open(&ring))
		return reason;
	iov.iov_base = aligned_alloc(conform_hpage(), len);
	iov.iov_len = len;
	if (attack_ring_register(&ring, IORING_REGISTER_BUFFERS, &iov, 1))
		reason = "memory cannot be pinned: raise `ulimit -l`";
	attack_ring_close(&ring);
	free(iov.iov_base);
	return reason;
}

static void registered_within_a_tenancy(void)
{
	ring_open(0);
	attack_repeat(do_registered);
	ring_close();
}

static const struct test_case cases[] = {
	TEST_CASE(read_completed),
	TEST_CASE(readv_completed),
	TEST_CASE_NEEDS(direct_read_completed, needs_direct),
	TEST_CASE(recvmsg_completed),
	TEST_CASE(vmsplice_in_completed),
	TEST_CASE(getrandom_completed),
	TEST_CASE(small_results),
	TEST_CASE_NEEDS(ring_read_completed, attack_needs_ring),
	TEST_CASE_NEEDS(ring_direct_read_completed, attack_needs_ring),
	TEST_CASE_NEEDS(provided_buffers, attack_needs_ring),
	TEST_CASE_NEEDS(buffer_rings, needs_buffer_ring),
	TEST_CASE_NEEDS(registered_within_a_tenancy, needs_registered),
};

CONFORM_MAIN(cases)
