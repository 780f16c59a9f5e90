/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * wasm-image.h - what the files of the tool wasm-image share.
 *
 * wasm-image.c reads the command line, wasm-image-load.c the module;
 * wasm-image-show.c, wasm-image-cycle.c and wasm-image-companion.c do a verb
 * each, and the fourth, which is short, is done in wasm-image.c. Functions that
 * can fail return the exit status: 0, or 1 after one sentence on stderr.
 */
#ifndef WASM_IMAGE_H
#define WASM_IMAGE_H

#include <faultline.h>

enum verb {
	VERB_SHOW = 0,
	VERB_CYCLE = 1,
	VERB_DATA_FREE = 2,
	VERB_COMPANION = 3,
};

struct options {
	enum verb verb;
	const char *path;
	const char *out_path;		/* data-free, companion */
	const char *c_path;		/* companion: what wasm2c wrote */
	bool is_json;			/* show */
	uint64_t count, threads;	/* cycle */
	uint64_t reads, writes;
	/* --global, by index; given[i] says which have a value. */
	uint64_t *globals;
	bool *given;
	uint32_t global_count;		/* one more than the highest index */
};

/* A memory of the module, with its image if it has one. */
struct memory {
	struct fl_memory_type type;
	struct fl_image *image;		/* a reference */
	struct fl_image_info info;
	char reason[240];		/* why it has none */
};

/* A module that was read, and what it is made from. */
struct subject {
	const struct options *options;
	uint8_t *bytes;
	size_t length_bytes;
	struct fl_context *context;
	struct fl_module *module;
	struct fl_module_info info;
	struct memory *memories;
};

uint64_t hpage_bytes(void);

/* One sentence on stderr, without what could disturb a terminal; always 1. */
__attribute__((format(printf, 1, 2))) int fail(const char *format, ...);
/* The same from an error of the library, with the place in the file. */
int fail_with(const char *path, const struct fl_error *error);

/* All bytes of a file, and a NUL behind them. The caller frees *bytes, also
 * after a failure. */
int file_read(const char *path, uint8_t **bytes, size_t *length);
/* A file of its own beside the target, then a rename: a reader finds the old
 * file or the whole new one. */
int replace_file(const char *path, const uint8_t *bytes, uint64_t len);
/* May options->out_path be written: is it no input, and no device? */
int check_output(const struct options *options);

/* Read and load the module of subject->options. Whatever it returns, the
 * subject is to be closed. */
int subject_open(struct subject *subject);
void subject_close(struct subject *subject);

int show(const struct subject *subject);
int cycle(const struct subject *subject);
int companion(const struct subject *subject);

#endif
