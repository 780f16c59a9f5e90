/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/* host.c - see host.h. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "host.h"

#include "child.h"
#include "lib/os/os.h"
#include "procfs.h"
#include "test.h"

#include <stdlib.h>
#ifdef __linux__
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/uio.h>
#include <unistd.h>
#endif

const char *test_needs_space(void)
{
	const char *gib = getenv("FAULTLINE_TEST_SPACE_GIB");

	if (sizeof(void *) < 8)
		return "more than 64 GiB of addresses, in a program of 32 bits";
	return gib && strtoull(gib, NULL, 10) <= 64 ?
		       "more than 64 GiB of addresses: FAULTLINE_TEST_SPACE_GIB says less" :
		       NULL;
}

const char *test_needs_64_bits(void)
{
	return sizeof(void *) < 8 ?
		       "4 GiB of addresses, in a program of 32 bits" :
		       NULL;
}

/* A page that was written. */
static uint8_t *page_new(uint64_t hpage)
{
	uint8_t *page;

	if (fl__os_reserve(hpage, hpage, &page))
		return NULL;
	if (fl__os_allow(page, hpage)) {
		fl__os_release(page, hpage);
		return NULL;
	}
	*page = 1;
	return page;
}

const char *test_needs_resident(void)
{
	uint64_t hpage = fl__os_hpage_bytes();
	uint8_t *page = page_new(hpage);
	bool is_told = page && !fl__os_deny(page, hpage) &&
		       fl__os_resident(page, hpage) == hpage;

	if (page)
		fl__os_release(page, hpage);
	return is_told ? NULL : "the system does not say what is resident";
}

const char *test_needs_dump_flags(void)
{
	uint64_t hpage = fl__os_hpage_bytes();
	uint8_t *page = page_new(hpage);
	bool is_shown = page &&
			procfs_dumped_bytes(page, page + hpage) == hpage;
	bool is_left_out = false;

	if (page) {
		fl__os_dump(page, hpage, false);
		is_left_out = !procfs_dumped_bytes(page, page + hpage);
		fl__os_release(page, hpage);
	}
	if (!is_shown)
		return "the kernel shows no flags of mappings";
	return is_left_out ? NULL :
			     "the system leaves no memory out of core dumps";
}

/* An emulator of one program shows its own mappings, at other addresses; what was
 * just asked for is not among them. */
const char *test_needs_own_mappings(void)
{
	return test_needs_dump_flags() ?
		       "the system does not show what was mapped" :
		       NULL;
}

#ifdef __linux__
#define GIB ((uint64_t)1 << 30)

/* 0: the limit acts. */
static int reserve_too_much(void *arg)
{
	struct rlimit limit = { GIB, GIB };

	(void)arg;
	return setrlimit(RLIMIT_AS, &limit) ||
	       mmap(NULL, (size_t)(GIB + GIB / 2), PROT_NONE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1,
		    0) != MAP_FAILED;
}

const char *test_needs_limits(void)
{
	return test_fork(reserve_too_much, NULL, 10).status ?
		       "the system passes over limits of address space" :
		       NULL;
}

const char *test_needs_process_writes(void)
{
	char from = 1, to = 0;
	struct iovec source = { &from, 1 }, place = { &to, 1 };

	return process_vm_writev(getpid(), &source, 1, &place, 1, 0) == 1 ?
		       NULL :
		       "the system has no process_vm_writev()";
}
#else
const char *test_needs_limits(void)
{
	return "limits of address space are tried on Linux";
}

const char *test_needs_process_writes(void)
{
	return "process_vm_writev() is Linux's";
}
#endif

const char *test_needs_direct(void)
{
#ifdef __linux__
	int fd = open("/tmp", O_TMPFILE | O_RDWR | O_DIRECT | O_CLOEXEC, 0600);

	if (fd >= 0) {
		close(fd);
		return NULL;
	}
#endif
	return "a file system of /tmp that reads past the page cache";
}

const char *test_needs_events(void)
{
	int fd = fl__os_event_open();

	if (fd < 0)
		return "the system has no descriptor for events";
	fl__os_event_close(fd);
	return NULL;
}

const char *test_needs_names_that_go(void)
{
#ifdef _WIN32
	return "the system keeps the name of a file that is open";
#else
	return NULL;
#endif
}
