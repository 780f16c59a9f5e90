/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * profile.h - a filter that denies some system calls, as a container's profile does.
 *
 * A profile is the part of Docker's default profile that concerns Faultline: all
 * other calls are allowed, and a denied one answers EPERM. Docker denies the three
 * calls of io_uring since 25.0 ("no-io_uring"), and has always denied userfaultfd(2)
 * ("no-userfaultfd"). It also shows a container no /dev/userfaultfd; here the device
 * opens and gives no descriptor, so that no mount namespace is needed.
 */
#ifndef TEST_PROFILE_H
#define TEST_PROFILE_H

/* From now on the calling thread has the filter, and so have threads and children
 * that it makes; with the filter comes PR_SET_NO_NEW_PRIVS, so that a user without
 * rights can have it. 0, -ENOENT: no such profile, or the kernel's answer. */
int profile_enter(const char *profile);

#endif
