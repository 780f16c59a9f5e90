/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/* profile.c - see profile.h. */
#include "profile.h"

#include <errno.h>
#include <seccomp.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "uffd/kernel.h"

/* A row with a request denies that ioctl() alone. */
static const struct denied {
	const char *profile;
	int syscall;
	uint32_t request;
} denied[] = {
	{ "no-io_uring", SCMP_SYS(io_uring_setup), 0 },
	{ "no-io_uring", SCMP_SYS(io_uring_enter), 0 },
	{ "no-io_uring", SCMP_SYS(io_uring_register), 0 },
	{ "no-userfaultfd", SCMP_SYS(userfaultfd), 0 },
	{ "no-userfaultfd", SCMP_SYS(ioctl), FL_USERFAULTFD_IOC_NEW },
};

#define DENIED_COUNT (sizeof(denied) / sizeof(denied[0]))

/* The kernel looks at 32 bits of a request. */
static int deny(scmp_filter_ctx filter, const struct denied *row)
{
	struct scmp_arg_cmp request =
		SCMP_A1(SCMP_CMP_MASKED_EQ, UINT32_MAX, row->request);

	return seccomp_rule_add_array(filter, SCMP_ACT_ERRNO(EPERM),
				      row->syscall, row->request ? 1 : 0,
				      &request);
}

int profile_enter(const char *profile)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
	int err = filter ? 0 : -ENOMEM, rows = 0;

	for (size_t i = 0; !err && i < DENIED_COUNT; i++) {
		if (strcmp(denied[i].profile, profile))
			continue;
		err = deny(filter, &denied[i]);
		rows++;
	}
	if (!err)
		err = rows ? seccomp_load(filter) : -ENOENT;
	seccomp_release(filter);
	return err;
}
