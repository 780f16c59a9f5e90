/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/* filter.c - confine.def as a program for the kernel; see filter.h. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "filter.h"
#include "base/util.h"
#include "confine.h"
#include "kernel.h"
#include "os/os.h"

#include <errno.h>
#include <linux/seccomp.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

/* Defined by a sanitizer's runtime library, wherever in the process that is. */
extern void __asan_init(void) __attribute__((weak));
extern void __hwasan_init(void) __attribute__((weak));
extern void __msan_init(void) __attribute__((weak));
extern void __tsan_init(void) __attribute__((weak));
extern int __lsan_do_recoverable_leak_check(void) __attribute__((weak));

bool fl__filter_harms(void)
{
	return __asan_init || __hwasan_init || __msan_init || __tsan_init ||
	       __lsan_do_recoverable_leak_check;
}

int fl__filter_try(void)
{
	/* Where filters are allowed, the address is what is wrong. */
	if (!syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, NULL))
		return -EIO;
	return errno == EFAULT ? 0 : -errno;
}

int fl__filter_enter(const struct fl__filter *filter)
{
	struct sock_fprog program = { filter->count, filter->code };

	if (!filter->code)
		return 0;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
	    syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program))
		return -errno;
	return 0;
}

void fl__filter_free(struct fl__filter *filter)
{
	free(filter->code);
	filter->code = NULL;
}

#if FL_WITH_SECCOMP
#include <seccomp.h>

/* When a host changes its user, the C library makes the call in each thread, and
 * aborts the host where one thread gets another answer. */
static const char *const for_host[] = {
	"setuid",    "setgid",	  "setreuid",  "setregid",
	"setresuid", "setresgid", "setgroups",
};

static int rule_add(scmp_filter_ctx rules, const struct fl_syscall *row)
{
	struct scmp_arg_cmp arg = { row->arg_idx, SCMP_CMP_MASKED_EQ,
				    row->arg_mask, row->arg_value };
	int number = seccomp_syscall_resolve_name(row->name), err;

	if (number == __NR_SCMP_ERROR)
		return -ENOTSUP;
	err = seccomp_rule_add_array(rules, SCMP_ACT_ALLOW, number,
				     row->rule != FL_SYSCALL_ANY, &arg);
	return err == -EEXIST ? 0 : err;
}

static int rules_add(scmp_filter_ctx rules)
{
	struct fl_syscall row = { .size = sizeof(row) };
	int err = 0;

	for (uint32_t i = 0; !err && fl__confine_syscall(i, &row); i++) {
		if (row.uses & FL_SYSCALL_HANDLER)
			err = rule_add(rules, &row);
	}
	row = (struct fl_syscall){ .rule = FL_SYSCALL_ANY };
	for (size_t i = 0; !err && i < FL_ARRAY_SIZE(for_host); i++) {
		row.name = for_host[i];
		err = rule_add(rules, &row);
	}
	return err;
}

/* The program lies in a file, as libseccomp writes it. */
static int program_read(struct fl__filter *filter, int fd)
{
	const size_t one = sizeof(*filter->code);
	off_t len = lseek(fd, 0, SEEK_END);

	if (len <= 0 || (size_t)len % one || (size_t)len / one > BPF_MAXINSNS)
		return -ENOTSUP;
	filter->code = malloc((size_t)len);
	if (!filter->code)
		return -ENOMEM;
	filter->count = (uint16_t)((size_t)len / one);
	if (pread(fd, filter->code, (size_t)len, 0) == len)
		return 0;
	fl__filter_free(filter);
	return -ENOTSUP;
}

int fl__filter_make(struct fl__filter *filter)
{
	scmp_filter_ctx rules = seccomp_init(SCMP_ACT_ERRNO(EPERM));
	int fd = -1, err = rules ? rules_add(rules) : -ENOMEM;

	filter->code = NULL;
	if (!err) {
		fd = memfd_create("faultline-filter", MFD_CLOEXEC);
		err = fd < 0 ? -errno : seccomp_export_bpf(rules, fd);
	}
	if (!err)
		err = program_read(filter, fd);
	if (fd >= 0)
		close(fd);
	if (rules)
		seccomp_release(rules);
	return err;
}

#else

int fl__filter_make(struct fl__filter *filter)
{
	filter->code = NULL;
	return -ENOTSUP;
}

#endif
