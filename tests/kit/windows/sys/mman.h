/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/* sys/mman.h - anonymous mappings on Windows; see ../compat.h. */
#ifndef TEST_SYS_MMAN_H
#define TEST_SYS_MMAN_H

#include <stddef.h>
#include <sys/types.h>

#define PROT_NONE 0
#define PROT_READ 1
#define PROT_WRITE 2

#define MAP_SHARED 1
#define MAP_PRIVATE 2
#define MAP_FIXED 16
#define MAP_ANONYMOUS 32
#define MAP_NORESERVE 64
#define MAP_FIXED_NOREPLACE 128
#define MAP_FAILED ((void *)-1)

#define MCL_FUTURE 2

#define MADV_DONTNEED 4
#define MFD_CLOEXEC 1

/* Anonymous, and where the system chooses; all else is lacking. */
int memfd_create(const char *name, unsigned int flags);
void *mmap(void *addr, size_t len, int prot, int flags, int fd, off_t off);
int munmap(void *addr, size_t len);
int mprotect(void *addr, size_t len, int prot);
int madvise(void *addr, size_t len, int advice);
int mincore(void *addr, size_t len, unsigned char *there);
int mlockall(int flags);
int munlockall(void);

#endif
