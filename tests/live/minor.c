/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * minor.c - what the kernel does with minor faults of private mappings of a memory
 * file: pages are read straight into the file, and UFFDIO_CONTINUE lets those who
 * wait have them. The library does not publish so; kernel-notes/uffd-missing.md
 * says why, and these cases show what it says.
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

#ifndef UFFD_FEATURE_MINOR_SHMEM
#define UFFD_FEATURE_MINOR_SHMEM (1 << 10)
#endif
#ifndef UFFDIO_REGISTER_MODE_MINOR
#define UFFDIO_REGISTER_MODE_MINOR (1 << 2)
#endif
#ifndef UFFDIO_CONTINUE
struct uffdio_continue {
	struct uffdio_range range;
	uint64_t mode;
	int64_t mapped;
};
#define UFFDIO_CONTINUE _IOWR(UFFDIO, 7, struct uffdio_continue)
#endif

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

static int open_minor(void)
{
	struct uffdio_api api = {
		.api = UFFD_API,
		.features = UFFD_FEATURE_MINOR_SHMEM |
			    UFFD_FEATURE_MISSING_SHMEM,
	};
	int fd = fl__uffd_open_plain();

	if (fd < 0 || fcntl(fd, F_SETFL, O_NONBLOCK) ||
	    ioctl(fd, UFFDIO_API, &api)) {
		if (fd >= 0)
			close(fd);
		return -1;
	}
	return fd;
}

static const char *needs_minor(void)
{
	int fd = open_minor();

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
	*host = (struct host){ .uffd_fd = open_minor() };
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
					  UFFDIO_REGISTER_MODE_MISSING |
						  UFFDIO_REGISTER_MODE_MINOR),
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
	struct uffdio_continue publish = {
		.range = { (uintptr_t)slot + idx * BLOCK, BLOCK },
	};

	/* EEXIST: a page of the block is mapped; whoever waits tries again. */
	if (ioctl(host->uffd_fd, UFFDIO_CONTINUE, &publish))
		fl__uffd_wake(host->uffd_fd, publish.range.start, BLOCK);
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
	struct uffdio_continue publish;
	struct pollfd ready;
	struct host host;

	host_open(&host);
	for (uint64_t i = 0; i < BLOCKS; i++)
		block_fill(&host, i);
	publish = (struct uffdio_continue){
		.range = { (uintptr_t)host.slots[0], BLOCKS * BLOCK },
	};
	CHECK_EQ(ioctl(host.uffd_fd, UFFDIO_CONTINUE, &publish), 0);
	CHECK_EQ(publish.mapped, (int64_t)(BLOCKS * BLOCK));
	for (uint64_t off = 0; off < BLOCKS * BLOCK; off += HPAGE)
		CHECK_EQ(host.slots[0][off], byte_of(off));
	ready = (struct pollfd){ .fd = host.uffd_fd, .events = POLLIN };
	CHECK_EQ(poll(&ready, 1, 0), 0);
	host.slots[0][5 * BLOCK] = 0xee;
	CHECK_EQ(host.window[5 * BLOCK], byte_of(5 * BLOCK));
	host_close(&host);
}

static const struct test_case cases[] = {
	TEST_CASE_NEEDS(blocks_are_seen_whole, needs_minor),
	TEST_CASE_NEEDS(a_later_slot_is_continued_at_once, needs_minor),
};

int main(int argc, char **argv)
{
	return test_main(argc, argv, cases, TEST_ARRAY_SIZE(cases), NULL, 0);
}
