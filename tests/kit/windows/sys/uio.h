/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/* sys/uio.h - see ../compat.h. */
#ifndef TEST_SYS_UIO_H
#define TEST_SYS_UIO_H

#include "../compat.h"

struct iovec {
	void *iov_base;
	size_t iov_len;
};

static inline ssize_t process_vm_writev(int pid, const struct iovec *from,
					unsigned long from_count,
					const struct iovec *to,
					unsigned long to_count,
					unsigned long flags)
{
	(void)pid;
	(void)from;
	(void)from_count;
	(void)to;
	(void)to_count;
	(void)flags;
	compat_lacks("process_vm_writev()");
}

#endif
