/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * wasi.c - the system under a guest in WebAssembly: none.
 *
 * Defines the system calls that the C library would import, so that the module
 * imports nothing. The clock stands still; the others fail. Also peek(), which
 * lets a host have a guest trap.
 */
#include <stdint.h>

#include "guest.h"

#define ENOSYS_WASI 52

int32_t __imported_wasi_snapshot_preview1_clock_time_get(int32_t clock,
							 int64_t precision,
							 int32_t result)
{
	(void)clock;
	(void)precision;
	*(uint64_t *)(uintptr_t)result = STANDING_NS;
	return 0;
}

int32_t __imported_wasi_snapshot_preview1_fd_write(int32_t fd, int32_t vectors,
						   int32_t count,
						   int32_t written)
{
	(void)fd;
	(void)vectors;
	(void)count;
	(void)written;
	return ENOSYS_WASI;
}

int32_t __imported_wasi_snapshot_preview1_fd_seek(int32_t fd, int64_t offset,
						  int32_t whence,
						  int32_t result)
{
	(void)fd;
	(void)offset;
	(void)whence;
	(void)result;
	return ENOSYS_WASI;
}

int32_t __imported_wasi_snapshot_preview1_fd_close(int32_t fd)
{
	(void)fd;
	return ENOSYS_WASI;
}

int32_t __imported_wasi_snapshot_preview1_fd_fdstat_get(int32_t fd,
							int32_t result)
{
	(void)fd;
	(void)result;
	return ENOSYS_WASI;
}

_Noreturn void __imported_wasi_snapshot_preview1_proc_exit(int32_t status)
{
	(void)status;
	__builtin_trap();
}

GUEST(uint32_t, peek)(uint32_t address)
{
	return *(volatile uint8_t *)(uintptr_t)address;
}
