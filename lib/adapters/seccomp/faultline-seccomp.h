/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * faultline-seccomp.h - Faultline inside a seccomp filter made by libseccomp.
 *
 * For a runtime that confines itself once it has started. Link with
 * pkg-config faultline-seccomp.
 */
#ifndef FAULTLINE_SECCOMP_H
#define FAULTLINE_SECCOMP_H

#include <faultline.h>
#include <seccomp.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Add to a filter what the pools of the context need, so that a filter which
 * kills everything else lets the context go on. Call it after the last pool was
 * made, once for each context, then load the filter; the call itself loads
 * nothing. With SCMP_FLTATR_CTL_TSYNC the filter holds for threads that run
 * already; the threads of the library may then go on too. But threads that load
 * images have a filter of their own, and the kernel refuses to put another beside it:
 * with SCMP_FLTATR_CTL_TSYNC take the feature "seccomp-filter" away by
 * FAULTLINE_DISABLE where lazy images are open.
 *
 * Instances, memories, tables and stacks can then be taken, used, grown, reset
 * and given back; pools can be counted, trimmed, purged and destroyed. Not
 * allowed: making contexts, modules, images and pools, writing files, and pools
 * that allocate on demand, which open descriptors at each acquire. What the
 * calls of a page source make is the source's to allow.
 *
 * mmap() and mprotect() are allowed without PROT_EXEC, madvise() and ioctl() for
 * the values that the library uses. The rows of fl_context_syscall() say all of
 * it.
 *
 * No file may be opened. The filter answers openat() with EACCES, unless it allows
 * openat() already, and the library does without: audits do not notice pinned
 * pages, and on the rung "dontneed" fl_pool_usage() is -ENOTSUP and
 * fl_memory_written() tells the whole memory.
 *
 * A filter whose default is to allow stays as it is.
 *
 * Errors: -EINVAL (no filter), -ENOTSUP (the segmented backend, or a call that
 * this libseccomp does not know), -ENOMEM. The filter may then have some of the
 * rules: release it.
 */
FL_API int fl_seccomp_allow(const struct fl_context *context,
			    scmp_filter_ctx filter);

#ifdef __cplusplus
}
#endif

#endif
