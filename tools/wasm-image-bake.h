/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * wasm-image-bake.h - a module that begins as an instance stands.
 *
 * Takes the bytes of a module, for each memory its size and content, and what
 * else the instance holds; gives the bytes of a module whose instances begin so
 * in any runtime:
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
 * With a state, which an instance that has started may have:
 *
 * - The globals of the state have their values as initialisers.
 * - The tables of the state have their size as minimum, and active element
 *   segments with their functions. These go as data segments go; other tables,
 *   imported ones too, keep their segments. Where nulls lie between functions a
 *   segment ends and another begins, so that a module without expressions in
 *   segments needs none afterwards; a table with more than BAKE_MAX_RUNS such
 *   pieces gets one segment of expressions.
 * - A passive segment that was dropped becomes an empty one of the same kind.
 *   Code cannot tell one from the other.
 * - A function that code refers to must occur outside of code, too. Where the
 *   one place of a function goes, the caller says which functions are to be
 *   declared, in one more element segment at the end.
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
#define BAKE_MAX_SEGMENTS 100000
/* The largest module of the same rule. */
#define BAKE_MAX_BYTES ((uint64_t)1 << 30)
/* Zeroes that are fewer are stored. */
#define BAKE_GAP_BYTES 64
/* A table in more pieces gets one segment of expressions. */
#define BAKE_MAX_RUNS 1000

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
	struct bake_content content; /* owner NULL: all zero */
};

/* The value of a global. */
struct bake_global {
	uint32_t global_idx;
	uint8_t type; /* as the binary format has it */
	bool is_null; /* references */
	uint64_t value; /* a number's bits; a function's index */
};

/* What a table holds; what the entries leave out is null. */
struct bake_entry {
	uint32_t place, function_idx;
};

struct bake_table {
	uint32_t table_idx;
	bool is_func; /* a table of host references has none */
	uint64_t size;
	const struct bake_entry *entries; /* by place */
	size_t entry_count;
};

/* What else an instance holds. Lists are in the order of the index spaces;
 * imported globals and tables are in none. */
struct bake_state {
	uint32_t function_count, imported_global_count, imported_table_count;
	const struct bake_global *globals;
	uint32_t global_count;
	const struct bake_table *tables;
	uint32_t table_count;
	/* Was the segment dropped? A byte for each passive segment that is not
	 * empty. */
	const uint8_t *data_flags, *elem_flags;
	uint32_t data_flag_count, elem_flag_count;
	/* A byte for each function; NULL: none is to be declared. */
	const uint8_t *is_declared;
};

struct bake_request {
	const uint8_t *module;
	size_t module_bytes;
	const struct bake_memory *memories;
	uint32_t memory_count;
	uint32_t max_segments; /* BAKE_MAX_SEGMENTS */
	bool has_started;
	const struct bake_state *state; /* NULL: nothing else has changed */
};

struct baked {
	uint8_t *bytes; /* the caller frees them */
	size_t length_bytes;
	uint32_t segment_count; /* stretches of content */
	uint64_t segment_bytes;
	uint64_t gap_bytes; /* fewer zeroes are stored */
	bool is_start_removed;
	/* With a state, a byte for each function: the module referred to it
	 * outside of code and no longer does. The caller frees them. */
	uint8_t *is_unmentioned;
	char reason[200]; /* why not, after a failure */
};

bool bake_module(const struct bake_request *request, struct baked *baked);

#endif
