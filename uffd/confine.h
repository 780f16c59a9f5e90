/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * confine.h - which system calls Faultline makes, for filters.
 *
 * The list is confine.def, which is the same on every host and rung.
 */
#ifndef FL_UFFD_CONFINE_H
#define FL_UFFD_CONFINE_H

#include "faultline.h"

#include <stdbool.h>

/* Row idx; false past the last one. */
bool fl__confine_syscall(uint32_t idx, struct fl_syscall *out);

#endif
