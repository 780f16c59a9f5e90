/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * contents.h - what a module holds, as the reader found it.
 *
 * Plain data: views into the module's bytes, value types, limits, and the
 * memories, tables, globals and segments that hang on a struct fl__reader. The
 * files of lib/wasm fill the struct from below to above; what comes after the
 * reader reads the struct. No function is declared here.
 */
#ifndef FL_CONTENTS_H
#define FL_CONTENTS_H

#include <stdbool.h>
#include <stdint.h>

/* Limits copied from what engines agree on; more is -E2BIG. */
#define FL__READER_MAX_BYTES ((uint64_t)1 << 30)
#define FL__READER_MAX_SEGMENTS 100000u
#define FL__READER_MAX_MEMORIES 100u
#define FL__READER_MAX_TABLES 100u
#define FL__READER_MAX_IMPORTS 1000000u
#define FL__READER_MAX_GLOBALS 1000000u
#define FL__READER_MAX_EXPORTS 1000000u
/* An integer expression that takes more steps, the steps of the globals it reads
 * included, or goes through more globals one behind the other, counts as
 * not known: evaluation stays short and shallow. */
#define FL__READER_MAX_STEPS 1000u
#define FL__READER_MAX_NESTING 32u

/* A half-open range of the module's bytes. */
struct fl__view {
	uint64_t off;
	uint64_t len;
};

/* Value types: the code is the type's byte, any reference is FL__TYPE_REF. */
#define FL__TYPE_I32 0x7fu
#define FL__TYPE_I64 0x7eu
#define FL__TYPE_F32 0x7du
#define FL__TYPE_F64 0x7cu
#define FL__TYPE_V128 0x7bu
#define FL__TYPE_REF 0x64u

/* Heap types: the byte of an abstract one, or a defined type, of which only
 * the instruction that made it may tell the kind. */
enum fl__heap {
	FL__HEAP_DEFINED = 0,
	FL__HEAP_DEFINED_FUNC = 1,
	FL__HEAP_DEFINED_STRUCT = 2,
	FL__HEAP_DEFINED_ARRAY = 3,
	FL__HEAP_EXN = 0x69,
	FL__HEAP_ARRAY = 0x6a,
	FL__HEAP_STRUCT = 0x6b,
	FL__HEAP_I31 = 0x6c,
	FL__HEAP_EQ = 0x6d,
	FL__HEAP_ANY = 0x6e,
	FL__HEAP_EXTERN = 0x6f,
	FL__HEAP_FUNC = 0x70,
	FL__HEAP_NONE = 0x71,
	FL__HEAP_NOEXTERN = 0x72,
	FL__HEAP_NOFUNC = 0x73,
	FL__HEAP_NOEXN = 0x74,
};

struct fl__valtype {
	uint8_t code;
	uint8_t heap; /* enum fl__heap, of references */
	bool is_nullable;
};

/* Is the value of a constant expression known before instantiation? */
enum fl__known {
	FL__KNOWN_NO = 0, /* no integer, or past the limits above */
	FL__KNOWN_YES = 1,
	FL__KNOWN_IMPORT = 2, /* once the imported globals have values */
};

struct fl__const {
	enum fl__known known;
	uint16_t steps; /* that evaluating it takes, capped */
	uint16_t nesting; /* of globals that wait for imports, capped */
	uint32_t needs; /* how many imported globals must have values: all up to
			 * the last that it reads, itself or by other globals */
	uint64_t value; /* i32 zero-extended; 0 without YES */
	struct fl__view expr; /* from its first opcode, `end` included */
};

struct fl__limits {
	/* Pages of a memory, elements of a table; min << page_log2 of a 64-bit
	 * memory may be 1 << 64. */
	uint64_t min;
	uint64_t max; /* UINT64_MAX: none given */
	/* Where growth ends: at max, or at what an address, or memory.size and
	 * table.size in a value of the address type, can say. */
	uint64_t most;
	bool is_shared;
	bool is_64;
	uint8_t page_log2; /* memories: 16, or 0 */
};

struct fl__memory_type {
	struct fl__limits limits;
	/* No name is at offset 0: there is none. The first export counts. */
	struct fl__view import_module;
	struct fl__view import_name;
	struct fl__view export_name;
};

struct fl__table_type {
	struct fl__limits limits;
	struct fl__valtype type; /* of its elements */
	bool is_func; /* of functions, or of a defined type */
	bool has_init;
	struct fl__const init; /* with has_init; a reference, never known */
	uint64_t init_elements; /* in active segments for this table */
	struct fl__view import_module; /* names: as of a memory */
	struct fl__view import_name;
	struct fl__view export_name;
};

struct fl__global {
	struct fl__valtype type;
	bool is_mutable;
	struct fl__const init; /* imported: no expr, FL__KNOWN_IMPORT, or NO
				 * if it is mutable or no integer */
	struct fl__view import_module; /* names: as of a memory */
	struct fl__view import_name;
	struct fl__view export_name;
};

struct fl__func_import {
	struct fl__view import_module;
	struct fl__view import_name;
	uint32_t type_idx;
};

enum fl__segment_mode {
	FL__SEGMENT_ACTIVE = 0,
	FL__SEGMENT_PASSIVE = 1,
	FL__SEGMENT_DECLARED = 2, /* elements only */
};

struct fl__data {
	enum fl__segment_mode mode;
	uint32_t memory_idx; /* active */
	struct fl__const offset; /* active */
	struct fl__view whole; /* from the flags to the end of the bytes */
	struct fl__view bytes;
};

struct fl__elem {
	enum fl__segment_mode mode;
	uint32_t table_idx;
	uint32_t count;
	struct fl__const offset;
	struct fl__valtype type;
	struct fl__view items; /* indices or expressions, after the count */
	bool is_expressions;
	uint32_t first_mark; /* in the reader's marks */
	uint32_t mark_count;
};

/* Where an item of an element segment begins. */
struct fl__mark {
	uint32_t idx; /* in its segment */
	uint32_t off; /* from the first item */
};
/* An item that begins this far behind the mark before it has a mark. */
#define FL__MARK_BYTES 64u

/* In each array, what is imported comes first. */
struct fl__reader {
	const uint8_t *bytes;
	uint64_t length;

	struct fl__memory_type *memories;
	struct fl__table_type *tables;
	struct fl__global *globals;
	struct fl__data *data;
	struct fl__elem *elems;
	struct fl__mark *marks; /* of all element segments, in order */
	struct fl__func_import *func_imports; /* imported_func_count */
	uint32_t memory_count, imported_memory_count;
	uint32_t table_count, imported_table_count;
	uint32_t global_count, imported_global_count;
	uint32_t data_count;
	uint32_t elem_count;
	uint32_t mark_count;
	uint32_t func_count, imported_func_count; /* counts: imports too */
	uint32_t tag_count;
	bool has_start;
	uint32_t start_idx; /* with has_start */
	/* The items, after their count. */
	struct fl__view functions; /* a type index for each defined function */
	struct fl__view exports;
	struct fl__view bodies; /* one for each defined function */
	uint32_t export_count;
};

#endif
