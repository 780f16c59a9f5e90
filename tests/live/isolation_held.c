/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * isolation_held.c - the preconditions of fl_memory_release(), from both
 * sides: what leaks when one is broken, and that nothing leaks when it is kept
 * or the memory is declared lent.
 *
 * That keeping it helps is demanded. The leak is only reported, for a kernel may
 * close it one day, and some need luck; a note says whether it was seen. Then
 * the slot is put right by fl_memory_lend(), which is demanded to work.
 */
#define _GNU_SOURCE
#include "tests/kit/attack.h"
#include "tests/kit/attack_ring.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>

#ifndef MSG_ZEROCOPY
#define MSG_ZEROCOPY 0x4000000
#endif
#ifndef SO_ZEROCOPY
#define SO_ZEROCOPY 60
#endif

#define HELD_HPAGES 16 /* what is lent, in host pages ... */
#define HELD_FIRST 96 /* ... from here on: data of the small image */
#define SECRET_A 0xa1
#define SECRET_B 0xb2
#define FILE_BYTE 0xa7

/* How the release is prepared. */
enum care {
	CARELESS,
	LENT, /* fl_memory_lend() before the pages are */
	LENT_AT_ONCE, /* fl_memory_config.is_lent */
	REAPED, /* nothing is in flight any more */
	CARES,
};

static const char *const care_names[CARES] = {
	"nothing is done about it",
	"fl_memory_lend()",
	"is_lent",
	"cancelled and reaped",
};

/* One attack on one slot. */
struct held {
	struct attack attack;
	struct tenant tenant;
	enum care care;
	struct attack_ring ring;
	int file;
	int ends[2]; /* out of [0], into [1] */
	uint8_t *bytes; /* of the size that is held */
};

static uint64_t held_len(void)
{
	return HELD_HPAGES * conform_hpage();
}

static uint8_t *held_at(const struct held *held)
{
	return held->tenant.base + HELD_FIRST * conform_hpage();
}

static void held_open(struct held *held)
{
	memset(held, 0, sizeof(*held));
	held->file = held->ends[0] = held->ends[1] = -1;
	held->bytes = malloc(held_len());
	MUST(held->bytes != NULL);
	attack_open(&held->attack, FL_BOUNDS_GUARDED);
}

static void held_close(struct held *held)
{
	attack_close(&held->attack);
	free(held->bytes);
	for (int i = 0; i < 2; i++)
		if (held->ends[i] >= 0)
			close(held->ends[i]);
	if (held->file >= 0)
		close(held->file);
}

/* Tenants before: none, or enough for the pages to be watched, or hot. */
static void held_warm(struct held *held, unsigned int tenancies)
{
	struct tenant tenant;

	while (tenancies--) {
		attack_begin(&held->attack, &tenant, ATTACK_SMALL_IMAGE);
		attack_pick_run(&tenant, HELD_FIRST, HELD_HPAGES / 2);
		attack_pick_run(&tenant, 64, 4);
		attack_write(&tenant);
		attack_end(&tenant);
	}
}

static void held_begin(struct held *held, enum care care)
{
	struct fl_memory_config config;

	held->care = care;
	if (care != LENT_AT_ONCE) {
		attack_begin(&held->attack, &held->tenant, ATTACK_SMALL_IMAGE);
		attack_check(&held->tenant);
		if (care == LENT)
			CHECK_EQ(fl_memory_lend(held->tenant.memory), 0);
		return;
	}
	fl_memory_config_init(&config);
	config.image = held->attack.images[ATTACK_SMALL_IMAGE];
	config.is_lent = true;
	held->tenant.memory = conform_acquire(&held->attack.conform, &config);
	held->tenant.base = held->tenant.memory->base;
	held->tenant.length_bytes = fl_memory_length(held->tenant.memory);
	attack_check(&held->tenant);
}

/* A releases, B has the slot; what it finds is not checked yet. */
static void held_next(struct held *held)
{
	uint8_t *base = held->tenant.base;

	attack_end(&held->tenant);
	attack_begin(&held->attack, &held->tenant, ATTACK_SMALL_IMAGE);
	CHECK(held->tenant.base == base);
}

/* B goes; the one after it must find everything in order again, and for that a
 * slot that was spoilt on purpose is renewed. */
static void held_end(struct held *held, bool was_spoilt)
{
	if (was_spoilt)
		CHECK_EQ(fl_memory_lend(held->tenant.memory), 0);
	attack_end(&held->tenant);
	attack_begin(&held->attack, &held->tenant, ATTACK_SMALL_IMAGE);
	attack_check(&held->tenant);
	attack_end(&held->tenant);
}

/* The leak must not be there when care was taken, and may be otherwise. */
static void held_judge(enum care care, unsigned int leaks, unsigned int tries,
		       const char *what)
{
	if (care == CARELESS)
		test_note("%s, %s: %u leaks in %u tries", what,
			  care_names[care], leaks, tries);
	else if (leaks)
		test_note("%s, %s: leaked", what, care_names[care]);
	CHECK(care == CARELESS || !leaks);
}

/* fn makes one attack and answers whether it leaked. */
typedef bool held_fn(struct held *held, enum care care);

static void held_try(struct held *held, held_fn *fn, const char *what,
		     unsigned int cares, unsigned int tries)
{
	static const unsigned int warm[] = { 0, 3, 12 };

	for (int care = 0; care < CARES; care++) {
		unsigned int leaks = 0, n = 0;

		if (!(cares & 1u << care))
			continue;
		while (n < tries && !test_has_failed()) {
			held_warm(held, warm[n % TEST_ARRAY_SIZE(warm)]);
			leaks += fn(held, (enum care)care);
			n++;
		}
		held_judge((enum care)care, leaks, n, what);
	}
}

#define CARE(care) (1u << (care))
#define LENDING (CARE(CARELESS) | CARE(LENT) | CARE(LENT_AT_ONCE))

/* ---------------------------------------------------------------- in flight */

static const char *needs_direct_ring(void)
{
	const char *reason = attack_needs_ring();
	int fd;

	if (reason)
		return reason;
	fd = attack_file_open(O_DIRECT);
	if (fd < 0)
		return "no directory for temporary files takes O_DIRECT: set TMPDIR";
	close(fd);
	return NULL;
}

static void cancel_and_reap(struct held *held)
{
	const struct attack_op cancel = {
		.opcode = IORING_OP_ASYNC_CANCEL,
		.fd = -1,
		.addr = (void *)(uintptr_t)1,
		.user = 2,
	};

	CHECK(attack_ring_submit(&held->ring, &cancel));
	attack_ring_reap(&held->ring, NULL, NULL);
	attack_ring_reap(&held->ring, NULL, NULL);
}

/* A read of 64 KiB from a disk, which ends while B has the slot. */
static bool try_direct(struct held *held, enum care care)
{
	struct attack_op op = {
		.opcode = IORING_OP_READ,
		.fd = held->file,
		.len = (uint32_t)held_len(),
		.user = 1,
	};
	bool leaked;

	held_begin(held, care);
	op.addr = held_at(held);
	CHECK(attack_ring_submit(&held->ring, &op));
	if (care == REAPED)
		cancel_and_reap(held);
	held_next(held);
	if (care != REAPED)
		attack_ring_reap(&held->ring, NULL, NULL);
	leaked = attack_diff(&held->tenant) != MODEL_EQUAL;
	held_end(held, leaked);
	return leaked;
}

static void direct_read_in_flight(void)
{
	struct held held;

	held_open(&held);
	held.file = attack_file_open(O_DIRECT);
	MUST(attack_ring_open(&held.ring));
	held_try(&held, try_direct, "O_DIRECT read in flight",
		 LENDING | CARE(REAPED), 30);
	attack_ring_close(&held.ring);
	held_close(&held);
}

/* A read from an empty pipe knows an address, not pages: it finds the next
 * tenant on every rung, and lending does not help. */
static bool try_pending(struct held *held, enum care care)
{
	struct attack_op op = {
		.opcode = IORING_OP_READ,
		.fd = held->ends[0],
		.len = (uint32_t)held_len(),
		.user = 1,
	};
	bool leaked;

	held_begin(held, care);
	op.addr = held_at(held);
	CHECK(attack_ring_submit(&held->ring, &op));
	if (care == REAPED)
		cancel_and_reap(held);
	held_next(held);
	CHECK_EQ(write(held->ends[1], held->bytes, 4096), 4096);
	if (care == REAPED)
		CHECK_EQ(read(held->ends[0], held->bytes, 4096), 4096);
	else
		attack_ring_reap(&held->ring, NULL, NULL);
	leaked = attack_diff(&held->tenant) != MODEL_EQUAL;
	held_end(held, leaked);
	return leaked;
}

static void buffered_read_pending(void)
{
	struct held held;

	held_open(&held);
	MUST(!pipe2(held.ends, O_CLOEXEC));
	memset(held.bytes, FILE_BYTE, held_len());
	MUST(attack_ring_open(&held.ring));
	held_try(&held, try_pending, "buffered read pending",
		 CARE(CARELESS) | CARE(REAPED), 6);
	attack_ring_close(&held.ring);
	held_close(&held);
}

/* -------------------------------------------------------- registered buffer */

static int ring_fixed(struct held *held, uint8_t opcode, int fd, void *addr)
{
	const struct attack_op op = {
		.opcode = opcode,
		.fd = fd,
		.addr = addr,
		.len = (uint32_t)conform_hpage(),
		.off = opcode == IORING_OP_READ_FIXED ? 0 : UINT64_MAX,
	};

	return attack_ring_do(&held->ring, &op);
}

/* Is a byte of B's among what comes out of the other end? */
static bool drained_secret(struct held *held, uint64_t want)
{
	uint64_t got = 0;
	bool is_there = false;

	while (got < want) {
		ssize_t n =
			read(held->ends[0], held->bytes,
			     want - got < held_len() ? want - got : held_len());

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		is_there |= memchr(held->bytes, SECRET_B, (size_t)n) != NULL;
		got += (uint64_t)n;
	}
	CHECK_EQ(got, want);
	return is_there;
}

static void registered_register(struct held *held)
{
	struct iovec iov = { held_at(held), held_len() };

	CHECK_EQ(attack_ring_register(&held->ring, IORING_REGISTER_BUFFERS,
				      &iov, 1),
		 0);
}

static void registered_unregister(struct held *held)
{
	CHECK_EQ(attack_ring_register(&held->ring, IORING_UNREGISTER_BUFFERS,
				      NULL, 0),
		 0);
}

/* A keeps its pages registered: through them it reads what B writes, and what
 * it has read into them shows up at B's, and at C's. */
static bool try_registered(struct held *held, enum care care)
{
	bool leaked = false;
	uint8_t *at;

	held_begin(held, care);
	at = held_at(held);
	memset(at, SECRET_A, held_len());
	registered_register(held);
	held_next(held);
	ring_fixed(held, IORING_OP_READ_FIXED, held->file, at);
	leaked |= attack_diff(&held->tenant) != MODEL_EQUAL;
	memset(at, SECRET_B, held_len());
	CHECK_EQ(ring_fixed(held, IORING_OP_WRITE_FIXED, held->ends[1], at),
		 conform_hpage());
	leaked |= drained_secret(held, conform_hpage());
	held_next(held);
	ring_fixed(held, IORING_OP_READ_FIXED, held->file, at);
	leaked |= attack_diff(&held->tenant) != MODEL_EQUAL;
	registered_unregister(held);
	held_end(held, leaked);
	return leaked;
}

static const char *needs_pinning(void)
{
	const char *reason = attack_needs_ring();
	struct attack_ring ring;
	struct iovec iov;

	if (reason || !attack_ring_open(&ring))
		return reason;
	iov.iov_base = aligned_alloc(conform_hpage(), held_len());
	iov.iov_len = held_len();
	if (attack_ring_register(&ring, IORING_REGISTER_BUFFERS, &iov, 1))
		reason = "memory cannot be pinned: raise `ulimit -l`";
	attack_ring_close(&ring);
	free(iov.iov_base);
	return reason;
}

static void registered_open(struct held *held)
{
	held->file = attack_file_open(0);
	MUST(held->file >= 0);
	MUST(!pipe2(held->ends, O_CLOEXEC));
	MUST(attack_ring_open(&held->ring));
}

static void registered_over_release(void)
{
	struct held held;

	held_open(&held);
	registered_open(&held);
	held_try(&held, try_registered, "registered buffer held", LENDING, 6);
	attack_ring_close(&held.ring);
	held_close(&held);
}

/* An audit sees that memory is pinned, though nobody said so. */
static void registered_and_audited(void)
{
	struct fl_pool_config config;
	struct held held;
	bool leaked = false;

	held_open(&held);
	attack_close(&held.attack);
	attack_pool_config(&config);
	config.audit_every = 1;
	attack_open_with(&held.attack, &config);
	registered_open(&held);
	for (int i = 0; i < 6 && !test_has_failed(); i++) {
		held_warm(&held, (unsigned int)i * 2);
		leaked |= try_registered(&held, CARELESS);
	}
	CHECK(!leaked);
	attack_ring_close(&held.ring);
	held_close(&held);
}

/* ----------------------------------------------------------- on the way out */

static unsigned int splice_flags;

/* A's pages wait in a pipe, by reference. */
static bool try_vmsplice(struct held *held, enum care care)
{
	struct iovec iov;
	bool leaked;
	ssize_t len;

	held_begin(held, care);
	memset(held_at(held), SECRET_A, held_len());
	iov = (struct iovec){ held_at(held), held_len() };
	do
		len = vmsplice(held->ends[1], &iov, 1, splice_flags);
	while (len < 0 && errno == EINTR);
	CHECK_EQ(len, held_len());
	held_next(held);
	memset(held_at(held), SECRET_B, held_len());
	leaked = drained_secret(held, held_len());
	held_end(held, leaked);
	return leaked;
}

static void splice_out(unsigned int flags, const char *what)
{
	struct held held;

	splice_flags = flags;
	held_open(&held);
	MUST(!pipe2(held.ends, O_CLOEXEC));
	held_try(&held, try_vmsplice, what, LENDING, 6);
	held_close(&held);
}

static void vmsplice_out(void)
{
	splice_out(0, "vmsplice out");
}

static void vmsplice_gift_out(void)
{
	splice_out(SPLICE_F_GIFT, "vmsplice out as a gift");
}

/* A connect() that a signal disturbs goes on by itself. */
static bool is_connected(int fd, const struct sockaddr_in *addr)
{
	int err;

	do
		err = connect(fd, (const struct sockaddr *)addr, sizeof(*addr));
	while (err && (errno == EINTR || errno == EALREADY));
	return !err || errno == EISCONN;
}

static int accept_one(int listener)
{
	int fd;

	do
		fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	while (fd < 0 && errno == EINTR);
	return fd;
}

/* A connection whose receiver reads so slowly that the rest waits, by
 * reference, in the sender's queue. */
static bool loopback_open(int ends[2])
{
	struct sockaddr_in addr = { .sin_family = AF_INET };
	socklen_t len = sizeof(addr);
	int small = 4096, large = 1 << 20, one = 1;
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool is_open;

	addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	ends[1] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	setsockopt(listener, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
	setsockopt(ends[1], SOL_SOCKET, SO_SNDBUF, &large, sizeof(large));
	is_open = listener >= 0 && ends[1] >= 0 &&
		  !bind(listener, (const struct sockaddr *)&addr, len) &&
		  !listen(listener, 1) &&
		  !getsockname(listener, (struct sockaddr *)&addr, &len) &&
		  is_connected(ends[1], &addr) &&
		  !setsockopt(ends[1], SOL_SOCKET, SO_ZEROCOPY, &one,
			      sizeof(one));
	ends[0] = is_open ? accept_one(listener) : -1;
	close(listener);
	return ends[0] >= 0;
}

static void loopback_close(int ends[2])
{
	for (int i = 0; i < 2; i++) {
		if (ends[i] >= 0)
			close(ends[i]);
		ends[i] = -1;
	}
}

static const char *needs_zerocopy(void)
{
	int ends[2] = { -1, -1 };
	const char *reason =
		loopback_open(ends) ?
			NULL :
			"no TCP connection to the loopback with SO_ZEROCOPY";

	loopback_close(ends);
	return reason;
}

static bool try_zerocopy(struct held *held, enum care care)
{
	bool leaked;

	MUST(loopback_open(held->ends));
	held_begin(held, care);
	memset(held_at(held), SECRET_A, held_len());
	CHECK_EQ(send(held->ends[1], held_at(held), held_len(), MSG_ZEROCOPY),
		 held_len());
	held_next(held);
	memset(held_at(held), SECRET_B, held_len());
	leaked = drained_secret(held, held_len());
	held_end(held, leaked);
	loopback_close(held->ends);
	return leaked;
}

static void zerocopy_send_in_flight(void)
{
	struct held held;

	held_open(&held);
	held_try(&held, try_zerocopy, "MSG_ZEROCOPY in flight", LENDING, 6);
	held_close(&held);
}

/* ------------------------------------------------------------- mapped over */

/* A host that maps a shared file into a guest's memory has lent it, too: the
 * mapping stays, and with it whoever else has it. */
static bool try_mapped_over(struct held *held, enum care care)
{
	uint8_t *view;
	bool leaked;

	held_begin(held, care);
	MUST(mmap(held_at(held), held_len(), PROT_READ | PROT_WRITE,
		  MAP_SHARED | MAP_FIXED, held->file, 0) != MAP_FAILED);
	memset(held_at(held), SECRET_A, held_len());
	held_next(held);
	leaked = attack_diff(&held->tenant) != MODEL_EQUAL;
	memset(held_at(held), SECRET_B, held_len());
	view = mmap(NULL, held_len(), PROT_READ, MAP_SHARED, held->file, 0);
	MUST(view != MAP_FAILED);
	leaked |= memchr(view, SECRET_B, held_len()) != NULL;
	munmap(view, held_len());
	held_end(held, leaked);
	return leaked;
}

static void file_mapped_over(void)
{
	struct held held;

	held_open(&held);
	held.file = memfd_create("test", MFD_CLOEXEC);
	MUST(held.file >= 0);
	MUST(!ftruncate(held.file, (off_t)held_len()));
	held_try(&held, try_mapped_over, "shared file mapped over", LENDING, 6);
	held_close(&held);
}

static const struct test_case cases[] = {
	TEST_CASE_NEEDS(direct_read_in_flight, needs_direct_ring),
	TEST_CASE_NEEDS(buffered_read_pending, attack_needs_ring),
	TEST_CASE_NEEDS(registered_over_release, needs_pinning),
	TEST_CASE_NEEDS(registered_and_audited, needs_pinning),
	TEST_CASE(vmsplice_out),
	TEST_CASE(vmsplice_gift_out),
	TEST_CASE_NEEDS(zerocopy_send_in_flight, needs_zerocopy),
	TEST_CASE(file_mapped_over),
};

CONFORM_MAIN(cases)
