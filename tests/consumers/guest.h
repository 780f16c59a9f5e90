/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * guest.h - the two guests of the real consumer, as wasm2c translated them,
 * behind one interface; and what the measuring programs tell each other.
 *
 * Both guests are serve_app.c with bzip2 and zlib. "own" is what clang makes
 * by default: the module defines its memory. "imp" is linked with
 * --import-memory: the host brings the memory, and wasm-ld writes .bss to the
 * module as a segment of zeroes.
 *
 * Programs that link Faultline link the data-free translation of the modules,
 * those that measure wasm2c without it link the whole ones. The generated
 * headers are the same for both.
 */
#ifndef GUEST_H
#define GUEST_H

#include <stdbool.h>
#include <stdint.h>

#include <wasm-rt.h>

#include "imp.h"
#include "own.h"

/* What the host gives to a guest that imports its memory. */
struct Z_env_instance_t {
	wasm_rt_memory_t memory;
};

struct guest_instance {
	struct Z_env_instance_t env;
	union {
		Z_own_instance_t own;
		Z_imp_instance_t imp;
	} of;
};

struct guest {
	const char *name;
	bool imports_memory;
	void (*init_module)(void);
	/* env.memory is the host's to allocate before, where it is imported.
	 * These may trap, and instantiate takes memory from wasm-rt. */
	void (*instantiate)(struct guest_instance *instance);
	/* Frees an imported memory, too. */
	void (*release)(struct guest_instance *instance);
	uint32_t (*request)(struct guest_instance *instance, uint32_t seed,
			    uint32_t length_bytes);
};

#define GUEST_COUNT 2
extern const struct guest guests[GUEST_COUNT];

/* NULL when there is no guest of that name. */
const struct guest *guest_find(const char *name);

/* What was measured for one instance. */
struct sample {
	uint32_t instantiate_ns;
	uint32_t run_ns;
	uint32_t release_ns;
	uint32_t answer; /* 0 where no request was made */
};

/* Workers at the same time, at most. */
#define MAX_WORKERS 2

/* Instances that a worker makes before it measures. */
#define WARM_UP 16

/* What one worker (a thread of this process or of a child) did; a child writes
 * it to its standard output, followed by the worker's samples. */
struct worker_report {
	uint64_t begin_ns; /* CLOCK_MONOTONIC */
	uint64_t end_ns;
	uint64_t page_faults;
	uint64_t sample_count;
};

/* The request with this number. */
uint32_t request_seed(uint32_t request_idx);
uint32_t request_bytes(uint32_t request_idx);

uint64_t now_ns(void);

#endif
