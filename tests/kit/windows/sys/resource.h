/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/* sys/resource.h - Windows limits no process; see ../compat.h. */
#ifndef TEST_SYS_RESOURCE_H
#define TEST_SYS_RESOURCE_H

#include "../compat.h"

#define RLIMIT_FSIZE 1
#define RLIMIT_DATA 2
#define RLIMIT_NOFILE 7
#define RLIMIT_MEMLOCK 8
#define RLIMIT_AS 9
#define RLIM_INFINITY (~(rlim_t)0)

typedef unsigned long long rlim_t;

#define RUSAGE_SELF 0

struct rusage {
	long ru_minflt;
};

static inline int getrusage(int who, struct rusage *usage)
{
	(void)who;
	(void)usage;
	compat_lacks("count of page faults");
}

struct rlimit {
	rlim_t rlim_cur, rlim_max;
};

static inline int getrlimit(int resource, struct rlimit *limit)
{
	(void)resource;
	limit->rlim_cur = limit->rlim_max = RLIM_INFINITY;
	return 0;
}

static inline int setrlimit(int resource, const struct rlimit *limit)
{
	(void)resource;
	(void)limit;
	compat_lacks("limits of a process");
}

#endif
