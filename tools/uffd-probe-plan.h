/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * uffd-probe-plan.h - a pool as asked for, and as this process can have it.
 *
 * Takes words KEY=VALUE, the integer fields of fl_pool_config and fl_pool_load
 * that decide what a pool costs; prints a table. Exit status: 0 all of it fits,
 * 1 less of it does, 3 nothing does, 64 a word is wrong.
 */
#ifndef UFFD_PROBE_PLAN_H
#define UFFD_PROBE_PLAN_H

int plan(char **words);

#endif
