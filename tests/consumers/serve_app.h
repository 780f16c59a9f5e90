/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * serve_app.h - what the guest of the real consumer and its hosts agree on.
 */
#ifndef SERVE_APP_H
#define SERVE_APP_H

#include <stdint.h>

/* Size of the guest's memory at the start; the guest is linked with
 * --initial-memory of this many WebAssembly pages, and --stack-first so that a
 * guest that overflows its stack traps. */
#define SERVE_INITIAL_WPAGES 16

/* The longest request. */
#define SERVE_MAX_BYTES (192 * 1024)

/* See serve_app.c. The native build of the guest. */
uint32_t serve_request(uint32_t seed, uint32_t length_bytes);

/* Make the native build as fresh as a new instance. */
void serve_native_reset(void);

#endif
