/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * probes.h - points at which tracers may stop by: the provider `faultline` of
 * SystemTap's static probes, which bpftrace and perf read too.
 *
 * A probe that no tracer has enabled is one no-op. Without <sys/sdt.h> at build
 * time there are no probes, and their arguments are not computed.
 */
#ifndef FL_PROBES_H
#define FL_PROBES_H

#ifdef FL_WITH_SDT
#include <sys/sdt.h>
#define fl_probe2(name, a, b)	 DTRACE_PROBE2(faultline, name, a, b)
#define fl_probe3(name, a, b, c) DTRACE_PROBE3(faultline, name, a, b, c)
#else
#define fl_probe2(name, a, b)	 ((void)sizeof(a), (void)sizeof(b))
#define fl_probe3(name, a, b, c) (fl_probe2(name, a, b), (void)sizeof(c))
#endif

#endif
