/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * wasm-image-wasm2c.h - the names in the C that wasm2c of wabt 1.0.32 wrote.
 *
 * Takes the text of the .c file; gives the names by which the file knows the
 * module's functions, globals, memories, tables and segments, in the order of
 * their index spaces, and what else tells one module from another: counts,
 * limits, imports.
 *
 * The text is read line by line, by the forms in which wasm2c writes it, and
 * comments are skipped, because an export's name in a comment may hold
 * anything. What does not look like wasm2c's is refused. Nothing is compiled
 * here: a wrong name is the compiler's to find.
 */
#ifndef WASM_IMAGE_WASM2C_H
#define WASM_IMAGE_WASM2C_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A part of the text. */
struct word {
	const char *text;
	size_t len;
};

/* One thing that the C file names. */
struct named {
	struct word name;
	struct word target;	/* wrappers: what the wrapper calls */
	uint64_t min, max;	/* memories, tables */
	bool is_funcref;	/* tables */
	bool is_used;		/* wrappers: some row has the name */
};

enum list_idx {
	LIST_FUNCTIONS,		/* defined */
	LIST_GLOBALS,		/* defined */
	LIST_MEMORIES,		/* defined */
	LIST_TABLES,		/* defined */
	LIST_DATA_FLAGS,	/* segments that can be dropped */
	LIST_ELEM_FLAGS,
	LIST_WRAPPERS,		/* functions for exports that are functions */
	LIST_IMPORTS,		/* members that point to imports */
	LISTS
};

struct list {
	struct named *items;
	size_t count, room;
};

struct wasm2c {
	char *text;		/* the file, comments blanked */
	struct word prefix;	/* "Z_app" of Z_app_init_module() */
	uint64_t type_count;
	struct list lists[LISTS];
};

/* Read the file. Whatever the call returns, wasm2c_close() is to follow. The
 * exit status: 0, or 1 after one sentence on stderr. */
int wasm2c_open(struct wasm2c *c, const char *path);
void wasm2c_close(struct wasm2c *c);

/* Is the word this text? */
bool word_is(const struct word *word, const char *text);

#endif
