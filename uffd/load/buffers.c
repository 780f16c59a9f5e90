/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/* buffers.c - staging buffers in small pages or large; see buffers.h. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "buffers.h"

#include <sys/mman.h>

/* Where a large page can begin. */
#define LARGE_BYTES (UINT64_C(2) << 20)

static uint64_t length(const struct fl__buffers *buffers)
{
	return buffers->count * FL__BUFFER_BYTES;
}

static void advise(const struct fl__buffers *buffers, int advice)
{
	/* What is not heeded makes a read slower, or keeps memory, or gives a child a
	 * copy that it does not use. */
	(void)madvise(buffers->bytes, (size_t)length(buffers), advice);
}

int fl__buffers_make(struct fl__buffers *buffers, uint32_t count)
{
	int err;

	*buffers = (struct fl__buffers){ .count = count };
	err = fl__os_reserve(length(buffers), LARGE_BYTES, &buffers->bytes);
	if (err)
		return err;
	err = fl__os_allow(buffers->bytes, length(buffers));
	if (err)
		fl__buffers_free(buffers);
	return err;
}

void fl__buffers_free(struct fl__buffers *buffers)
{
	fl__os_release(buffers->bytes, length(buffers));
}

uint8_t *fl__buffers_at(const struct fl__buffers *buffers, uint32_t idx)
{
	return buffers->bytes + idx * FL__BUFFER_BYTES;
}

void fl__buffers_rest(struct fl__buffers *buffers)
{
	advise(buffers, MADV_DONTNEED);
	if (buffers->is_large)
		advise(buffers, MADV_NOHUGEPAGE);
	buffers->is_large = false;
}

void fl__buffers_enlarge(struct fl__buffers *buffers, bool is_used)
{
	if (buffers->is_large)
		return;
	if (!is_used)
		advise(buffers, MADV_DONTNEED);
	/* The kernel breaks up large pages that a child shares. */
	advise(buffers, MADV_DONTFORK);
	advise(buffers, MADV_HUGEPAGE);
	buffers->is_large = true;
}
