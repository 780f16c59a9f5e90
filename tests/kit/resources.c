/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/* resources.c - see resources.h. */
#include "resources.h"

#include "check.h"
#include "clock.h"
#include "procfs.h"

#include <string.h>

#define STACK_GUARD_BYTES ((uint64_t)65536)

static bool count_mapping(const struct procfs_mapping *mapping, void *arg)
{
	struct test_resources *now = arg;
	uint64_t len = mapping->end - mapping->start;

	if (strstr(mapping->name, "memfd:") ||
	    strstr(mapping->name, "userfaultfd"))
		now->memfds++;
	/* At the start of the address space the sanitizers keep theirs. */
	if (!strncmp(mapping->perms, "---", 3) && len > STACK_GUARD_BYTES &&
	    !strstr(mapping->name, ".so"))
		now->reserved_bytes += len;
	return true;
}

void test_resources(struct test_resources *now)
{
	*now = (struct test_resources){ 0 };
	now->fds = procfs_count_fds();
	now->threads = procfs_count_threads();
	procfs_each_mapping(count_mapping, now);
}

void test_check_resources(const struct test_resources *before)
{
	struct test_resources now;

	test_resources(&now);
	/* A joined thread may still be in /proc for a moment. */
	for (int i = 0; i < 1000 && now.threads > before->threads; i++) {
		test_sleep_ms(10);
		test_resources(&now);
	}
	CHECK_EQ(now.fds, before->fds);
	/* An emulator's own threads come and go: fewer are no leak. */
	if (now.threads > before->threads)
		CHECK_EQ(now.threads, before->threads);
	CHECK_EQ(now.memfds, before->memfds);
	if (now.reserved_bytes > before->reserved_bytes)
		CHECK_EQ(now.reserved_bytes, before->reserved_bytes);
}
