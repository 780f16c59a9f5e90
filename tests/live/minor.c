/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * minor.c - what the kernel does with minor faults of private mappings of a memory
 * file: pages are read straight into the file, and UFFDIO_CONTINUE lets those who
 * wait have them. The library can publish so (uffd/load/lazy.h); these cases show what
 * kernel-notes/uffd-missing.md says of the kernel alone.
 */
#include "tests/kit/test.h"

#include "uffd/uffd.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define BLOCK ((uint64_t)65536)
#define BLOCKS 256
#define HPAGE ((uint64_t)4096)
#define SLOTS 2

/* A memory file, filled through a window, and slots that map it privately. */
struct host {
	int uffd_fd, fd;
	uint8_t *window, *slots[SLOTS];
	uint8_t is_whole[BLOCKS]; /* atomic */
	uint32_t told; /* atomic */
	uint32_t wrong; /* atomic */
	bool is_over; /* atomic */
};

static const char *needs_minor(void)
{
	int fd = fl__uffd_open_missing(false, true);

	if (fd < 0)
		return "there are no minor faults of shared memory";
	close(fd);
	return NULL;
}

static uint8_t *map(const struct host *host, int flags)
{
	uint8_t *bytes = mmap(NULL, BLOCKS * BLOCK, PROT_READ | PROT_WRITE,
			      flags, host->fd, 0);

	MUST(bytes != MAP_FAILED);
	return bytes;
}

static void host_open(struct host *host)
{
	*host = (struct host){ .uffd_fd = fl__uffd_open_missing(false, true) };
	MUST(host->uffd_fd >= 0);
	host->fd = (int)syscall(SYS_memfd_create, "minor", 0);
	MUST(host->fd >= 0);
	MUST_EQ(ftruncate(host->fd, BLOCKS * BLOCK), 0);
	host->window = map(host, MAP_SHARED);
	for (int i = 0; i < SLOTS; i++) {
		host->slots[i] = map(host, MAP_PRIVATE);
		MUST_EQ(fl__uffd_register(host->uffd_fd,
					  (uintptr_t)host->slots[i],
					  BLOCKS * BLOCK,
					  FL__UFFD_MISSING | FL__UFFD_MINOR),
			0);
	}
}

static void host_close(struct host *host)
{
	for (int i = 0; i < SLOTS; i++)
		munmap(host->slots[i], BLOCKS * BLOCK);
	munmap(host->window, BLOCKS * BLOCK);
	close(host->fd);
	close(host->uffd_fd);
}

static uint8_t byte_of(uint64_t off)
{
	return (uint8_t)(1 + off / HPAGE % 255);
}

/* As a read into the pages of the file would: zeroes are there before. */
static void block_fill(struct host *host, uint64_t idx)
{
	for (uint64_t off = idx * BLOCK; off < (idx + 1) * BLOCK; off += HPAGE)
		host->window[off] = 0;
	sched_yield();
	for (uint64_t off = idx * BLOCK; off < (idx + 1) * BLOCK; off += HPAGE)
		memset(host->window + off, byte_of(off), HPAGE);
	__atomic_store_n(&host->is_whole[idx], 1, __ATOMIC_RELEASE);
}

static void block_publish(const struct host *host, const uint8_t *slot,
			  uint64_t idx)
{
	uint64_t start = (uintptr_t)slot + idx * BLOCK, mapped;

	/* EEXIST: a page of the block is mapped; whoever waits tries again. */
	(void)fl__uffd_continue(host->uffd_fd, start, BLOCK, false, &mapped);
	fl__uffd_wake(host->uffd_fd, start, BLOCK);
}

static void fault_serve(struct host *host, uint64_t addr)
{
	for (int i = 0; i < SLOTS; i++) {
		uint64_t off = addr - (uintptr_t)host->slots[i];

		if (off >= BLOCKS * BLOCK)
			continue;
		__atomic_add_fetch(&host->told, 1, __ATOMIC_RELAXED);
		if (!host->is_whole[off / BLOCK])
			block_fill(host, off / BLOCK);
		block_publish(host, host->slots[i], off / BLOCK);
	}
}

static void *serve(void *arg)
{
	struct host *host = arg;
	struct pollfd ready = { .fd = host->uffd_fd, .events = POLLIN };
	struct uffd_msg msg;

	while (!__atomic_load_n(&host->is_over, __ATOMIC_RELAXED)) {
		if (poll(&ready, 1, 20) == 1 &&
		    read(host->uffd_fd, &msg, sizeof(msg)) == sizeof(msg))
			fault_serve(host, msg.arg.pagefault.address);
	}
	return NULL;
}

struct tenant {
	pthread_t thread;
	struct host *host;
	int slot;
};

/* Each host page, as soon as it can be had. */
static void *read_all(void *arg)
{
	const struct tenant *tenant = arg;
	const uint8_t *slot = tenant->host->slots[tenant->slot];

	for (uint64_t i = 0; i < BLOCKS * BLOCK / HPAGE; i++) {
		uint64_t off =
			(tenant->slot ? i : i * 37 % (BLOCKS * BLOCK / HPAGE)) *
			HPAGE;
		const volatile uint8_t *page = slot + off;

		if (page[0] != byte_of(off) || page[HPAGE - 1] != byte_of(off))
			__atomic_add_fetch(&tenant->host->wrong, 1,
					   __ATOMIC_RELAXED);
	}
	return NULL;
}

/* Two tenants read every block while it is filled in the very pages that they
 * map: both see it whole. */
static void blocks_are_seen_whole(void)
{
	struct tenant tenants[SLOTS];
	pthread_t handler;
	struct host host;

	host_open(&host);
	MUST_EQ(pthread_create(&handler, NULL, serve, &host), 0);
	for (int i = 0; i < SLOTS; i++) {
		tenants[i] = (struct tenant){ .host = &host, .slot = i };
		MUST_EQ(pthread_create(&tenants[i].thread, NULL, read_all,
				       &tenants[i]),
			0);
	}
	for (int i = 0; i < SLOTS; i++)
		pthread_join(tenants[i].thread, NULL);
	__atomic_store_n(&host.is_over, true, __ATOMIC_RELAXED);
	pthread_join(handler, NULL);
	CHECK_EQ(host.wrong, 0);
	/* Each slot is told of each block, loaded or not. */
	CHECK(host.told >= SLOTS * BLOCKS);
	host_close(&host);
}

/* A slot that comes later waits for nothing if all that is loaded is continued
 * when it begins; a write makes a private page, as ever. */
static void a_later_slot_is_continued_at_once(void)
{
	struct pollfd ready;
	struct host host;
	uint64_t mapped;

	host_open(&host);
	for (uint64_t i = 0; i < BLOCKS; i++)
		block_fill(&host, i);
	CHECK_EQ(fl__uffd_continue(host.uffd_fd, (uintptr_t)host.slots[0],
				   BLOCKS * BLOCK, false, &mapped),
		 0);
	CHECK_EQ(mapped, BLOCKS * BLOCK);
	for (uint64_t off = 0; off < BLOCKS * BLOCK; off += HPAGE)
		CHECK_EQ(host.slots[0][off], byte_of(off));
	ready = (struct pollfd){ .fd = host.uffd_fd, .events = POLLIN };
	CHECK_EQ(poll(&ready, 1, 0), 0);
	host.slots[0][5 * BLOCK] = 0xee;
	CHECK_EQ(host.window[5 * BLOCK], byte_of(5 * BLOCK));
	host_close(&host);
}

/* The kernel answers to a move of a page: 0 or an errno. */
static int move(const struct host *host, uint8_t *to, const uint8_t *from)
{
	struct fl__kernel_move page = {
		.dst = (uintptr_t)to,
		.src = (uintptr_t)from,
		.len = HPAGE,
	};

	return fl__kernel_ioctl(host->uffd_fd, FL_UFFDIO_MOVE, &page) ? errno :
									0;
}

/* A page that is there, or missing. */
static uint8_t *anonymous(const struct host *host, bool is_there)
{
	uint8_t *bytes = mmap(NULL, HPAGE, PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	MUST(bytes != MAP_FAILED);
	if (is_there)
		*bytes = 7;
	MUST_EQ(fl__uffd_register(host->uffd_fd, (uintptr_t)bytes, HPAGE,
				  FL__UFFD_MISSING),
		0);
	return bytes;
}

/* A page moves from anonymous memory to anonymous memory, and neither into a private
 * mapping of a memory file nor out of one: a slot that shows a file cannot be given a
 * page so. */
static void a_page_does_not_move_to_a_file(void)
{
	uint8_t *from, *to, *other;
	struct host host;

	host_open(&host);
	from = anonymous(&host, true);
	to = anonymous(&host, false);
	other = anonymous(&host, false);
	CHECK_EQ(move(&host, host.slots[0], from), EINVAL);
	CHECK_EQ(move(&host, host.window, from), EINVAL);
	block_fill(&host, 0);
	CHECK_EQ(move(&host, other, host.window), EINVAL);
	CHECK_EQ(move(&host, to, from), 0);
	CHECK_EQ(*to, 7);
	munmap(from, HPAGE);
	munmap(to, HPAGE);
	munmap(other, HPAGE);
	host_close(&host);
}

/* Since 6.8. */
static const char *needs_move(void)
{
	struct uffdio_api api = { .api = UFFD_API };
	int fd = fl__uffd_open_plain(), err = -1;

	if (fd >= 0) {
		err = ioctl(fd, UFFDIO_API, &api);
		close(fd);
	}
	return err || !(api.features & FL_UFFD_FEATURE_MOVE) ?
		       "the kernel moves no pages" :
		       needs_minor();
}

static const struct test_case cases[] = {
	TEST_CASE_NEEDS(blocks_are_seen_whole, needs_minor),
	TEST_CASE_NEEDS(a_later_slot_is_continued_at_once, needs_minor),
	TEST_CASE_NEEDS(a_page_does_not_move_to_a_file, needs_move),
};

int main(int argc, char **argv)
{
	return test_main(argc, argv, cases, TEST_ARRAY_SIZE(cases), NULL, 0);
}
