/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * wasm-image-bake.h - a module that begins with given contents of its memories.
 *
 * Takes the bytes of a module, and for each memory its size and content; gives
 * the bytes of a module whose memories begin so in any runtime:
 *
 * - The memory section has the size as minimum; the maximum stays.
 * - The data section has the stretches of content as active segments. They take
 *   the places of the active segments that were there, and more follow at the
 *   end. An active segment that is not needed becomes empty at offset 0. So
 *   every passive segment keeps its index, and memory.init and data.drop of any
 *   segment mean what they meant: an active segment counts as dropped once the
 *   instance is there, whatever the segment held.
 * - If the instance has started, the start function has run and is not called
 *   again, and no segment is written to an imported memory, which is the
 *   caller's. If not, both stay as they were.
 *
 * All else is copied as it is. Zeroes between two stretches of data are stored
 * where they are fewer than a segment costs; they are stored, too, where a
 * runtime would otherwise refuse so many segments.
 *
 * Nothing here knows the library. The bytes of the module may be anything: what
 * bake_module() cannot express, it refuses.
 */
#ifndef WASM_IMAGE_BAKE_H
#define WASM_IMAGE_BAKE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The most data segments that the JavaScript interface of WebAssembly takes,
 * and with it most runtimes. */
#define BAKE_MAX_SEGMENTS	100000
/* The largest module of the same rule. */
#define BAKE_MAX_BYTES		((uint64_t)1 << 30)
/* Zeroes that are fewer are stored. */
#define BAKE_GAP_BYTES		64

/* What a memory holds. Stretches ascend; outside of them all is zero. */
struct bake_content {
	const void *owner;
	/* The first stretch that ends after from_bytes, cut there; false if
	 * there is none. */
	bool (*next)(const void *owner, uint64_t from_bytes,
		     uint64_t *offset_bytes, uint64_t *length_bytes);
	/* Copy bytes of the content; false if they cannot be had. */
	bool (*read)(const void *owner, uint64_t offset_bytes, void *dst,
		     uint64_t length_bytes);
};

/* A memory of the module, by its index space. */
struct bake_memory {
	bool is_imported;
	bool is_64;
	uint64_t page_bytes;
	uint64_t size_bytes;
	struct bake_content content;	/* owner NULL: all zero */
};

struct bake_request {
	const uint8_t *module;
	size_t module_bytes;
	const struct bake_memory *memories;
	uint32_t memory_count;
	uint32_t max_segments;		/* BAKE_MAX_SEGMENTS */
	bool has_started;
};

struct baked {
	uint8_t *bytes;			/* the caller frees them */
	size_t length_bytes;
	uint32_t segment_count;		/* stretches of content */
	uint64_t segment_bytes;
	uint64_t gap_bytes;		/* fewer zeroes are stored */
	bool is_start_removed;
	char reason[200];		/* why not, after a failure */
};

bool bake_module(const struct bake_request *request, struct baked *baked);

#endif
