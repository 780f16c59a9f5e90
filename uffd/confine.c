/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/* confine.c - the rows of confine.def; see confine.h. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "confine.h"
#include "base/util.h"
#include "os/os.h"
#include "uffd/kernel.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

enum {
	START = FL_SYSCALL_START,
	POOLS = FL_SYSCALL_POOLS,
	HANDLER = FL_SYSCALL_HANDLER,
	COUNT = FL_SYSCALL_COUNT,
};

/* An advice is an int, a request an unsigned int. */
#define ADVICE UINT32_MAX
#define REQUEST UINT32_MAX

#define ANY FL_SYSCALL_ANY, 0, 0, 0
#define ONLY(idx, mask, value) \
	FL_SYSCALL_MASKED, (idx), (uint64_t)(mask), (uint64_t)(value)
#define OWN_PID(idx) FL_SYSCALL_OWN_PID, (idx), UINT32_MAX, 0
#define FL_CONFINE(name, uses, rule, reason) \
	{ sizeof(struct fl_syscall), (name), (reason), (uses), rule },

static const struct fl_syscall rows[] = {
#include "confine.def"
};

bool fl__confine_syscall(uint32_t idx, struct fl_syscall *out)
{
	if (idx >= FL_ARRAY_SIZE(rows))
		return false;
	*out = rows[idx];
	if (out->rule == FL_SYSCALL_OWN_PID)
		out->arg_value = (uint64_t)getpid();
	return true;
}
