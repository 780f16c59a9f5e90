/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * wasm-image-bake-state.h - the sections of a module that hold what an instance
 * has besides its memories: tables, globals, element segments.
 *
 * Takes the module's sections one by one, as they come, and a state; gives the
 * same sections with the state in them. wasm-image-bake.h says what becomes of
 * what. Until rewrite_read() was given a section, that section has nothing to
 * put.
 */
#ifndef WASM_IMAGE_BAKE_STATE_H
#define WASM_IMAGE_BAKE_STATE_H

#include "wasm-image-bake.h"
#include "wasm-image-bytes.h"

/* Functions and segments, or expressions and segments, with nulls between. */
struct run {
	const struct bake_table *table;
	size_t first, count; /* of its entries */
	bool has_nulls;
};

struct old_table {
	size_t off;
	uint8_t type;
	struct limits limits;
	const struct bake_table *now; /* NULL: as it was */
};

struct old_global {
	size_t off, expr, end;
	const struct bake_global *now; /* likewise */
};

enum fate {
	FATE_STAYS,
	FATE_EMPTY, /* dropped */
	FATE_FREE, /* its place is for a run */
};

struct old_element {
	size_t off, end;
	enum fate fate;
	uint32_t flags, table_idx, count;
	uint8_t type; /* of expressions */
};

struct rewrite {
	const struct bake_state *state;
	const uint8_t *module;
	char *reason; /* why not, after a failure */
	size_t reason_bytes;
	struct old_table *tables;
	struct old_global *globals;
	struct old_element *elements;
	uint32_t table_count, global_count, element_count;
	struct run *runs;
	size_t run_count;
	uint32_t declared_count;
	struct mentions gone, kept;
};

/* The first call. Whatever it returns, rewrite_close() is to follow. */
bool rewrite_open(struct rewrite *rewrite, const struct bake_request *request,
		  char *reason, size_t reason_bytes);
void rewrite_close(struct rewrite *rewrite);

/* A section of the module: tables, globals or element segments. */
bool rewrite_read(struct rewrite *rewrite, enum section_id id, struct in in);
/* There are no more sections. Does the module have all that the state is of? */
bool rewrite_finish(struct rewrite *rewrite);

/* Does the module need an element section where it has none? */
bool rewrite_adds_elements(const struct rewrite *rewrite);

void rewrite_put_tables(const struct rewrite *rewrite, struct sink *sink);
void rewrite_put_globals(const struct rewrite *rewrite, struct sink *sink);
void rewrite_put_elements(const struct rewrite *rewrite, struct sink *sink);

#endif
