/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * wasm-image.h - what the files of the tool wasm-image share.
 *
 * wasm-image.c reads the command line and does the verb data-free, which is
 * short; wasm-image-load.c reads the module. Each other verb has a file of its
 * name, but wasm-image-file.c, which opens image files, shows and verifies
 * them; wasm-image-bake-verb.c gives wasm-image-bake.c its work. Functions that
 * can fail return the exit status: 0, or 1 after one sentence on stderr.
 */
#ifndef WASM_IMAGE_H
#define WASM_IMAGE_H

#include <faultline.h>

enum verb {
	VERB_SHOW = 0,
	VERB_CYCLE = 1,
	VERB_DATA_FREE = 2,
	VERB_VERIFY = 3,
	VERB_DIFF = 4,
	VERB_SAVE = 5,
	VERB_BAKE = 6,
	VERB_COMPANION = 7,
	VERB_PLAN = 8,
	VERB_DELTA = 9,
};

#define DIGEST_BYTES	32

/* The name of a state in which no instance has started: a snapshot with this
 * encoding holds a module's images, and nothing has run. */
#define INITIAL_ENCODING	"wasm-image initial"

/* More than there are fields. */
#define MAX_LIMITS	24

struct options {
	enum verb verb;
	const char *path;
	const char *other_path;		/* diff, delta, bake, companion: the second
					 * input */
	const char *out_path;		/* data-free, save, bake, companion */
	char *const *more_paths;	/* plan: up to a NULL */
	bool is_json;			/* show, verify, diff, delta, plan */
	bool is_svg;			/* show */
	bool has_digest;		/* verify */
	uint8_t digest[DIGEST_BYTES];
	bool has_memory_idx;		/* save */
	uint32_t memory_idx;
	uint32_t write_flags;		/* save */
	uint64_t count, threads;	/* cycle */
	uint64_t reads, writes;
	/* --global, by index; given[i] says which have a value. */
	uint64_t *globals;
	bool *given;
	uint32_t global_count;		/* one more than the highest index */
	/* --limit: which row of the table in wasm-image-load.c, and its value. */
	struct {
		size_t field_idx;
		uint64_t value;
	} limits[MAX_LIMITS];
	size_t limit_count;
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
/* For "%u %s": a count that may be 1. */
static inline const char *noun(uint64_t count, const char *one,
			       const char *many)
{
	return count == 1 ? one : many;
}
/* The same from an error of the library, with the place in the file. */
int fail_with(const char *path, const struct fl_error *error);

/* All bytes of a file ("-": standard input), and a NUL behind them. The caller frees *bytes, also
 * after a failure. */
int file_read(const char *path, uint8_t **bytes, size_t *length);

/* The row of a field whose name has len bytes, and its highest value; false:
 * no limit has this name. */
bool limit_find(const char *name, size_t len, size_t *field_idx, uint64_t *max);
/* Which verbs use the field, as bits. */
unsigned int limit_verbs(size_t field_idx);
/* Write the given limits over what the configuration has; NULL: there is none. */
void limits_apply(const struct options *options,
		  struct fl_context_config *context,
		  struct fl_pool_config *pool);

/* A context within the given limits. */
int context_open(const struct options *options, struct fl_context **context);

/* Read and load the module of subject->options. Whatever it returns, the
 * subject is to be closed. */
int subject_open(struct subject *subject);
void subject_close(struct subject *subject);

/* Is the output no input and, if it is there, a regular file? */
int check_output(const struct options *options);
/* A file of its own beside the target, then a rename: a reader finds the old
 * file or the whole new one. */
int replace_file(const char *path, const uint8_t *bytes, uint64_t len);

/* Decode one character of UTF-8 into *point, and give its length; U+FFFD for a
 * byte that begins no character. */
size_t text_decode(const unsigned char *text, size_t len, uint32_t *point);
/* In quotes, with everything but plain ASCII escaped as JSON does. */
void print_quoted(const char *text, size_t len);
const char *bool_text(bool value);
/* What show prints of an image, as text or as the members of an object. */
void show_image(const struct memory *memory);
void json_image(const struct memory *memory);
/* The page maps of some memories as an SVG picture; kind: what each is called. */
void svg_print(const char *path, const char *kind,
	       const struct memory *memories, uint32_t count);

/* An image file or a snapshot's file, read and checked. */
struct file {
	const char *path;
	uint64_t length_bytes;
	struct fl_snapshot *snapshot;
	struct fl_snapshot_info info;
	uint8_t digest[DIGEST_BYTES];
};

/* Whatever it returns, the file is to be closed. */
int file_open(struct fl_context *context, const char *path, struct file *file);
void file_close(struct file *file);
void print_hex(const uint8_t *bytes, size_t len);

/* Does the verb look at image files, and so read no module? For show the first
 * bytes of the file say that. */
/* What a file is that begins so and that a verb did not expect, and what to do
 * with it. NULL: it is none of the library's. */
const char *kind_of(const uint8_t *bytes, size_t length);
bool is_about_files(const struct options *options);
/* The verb of such options. */
int look_at_files(const struct options *options);

int show(const struct subject *subject);
int cycle(const struct subject *subject);
int save(const struct subject *subject);
int bake(const struct subject *subject);
int diff(const struct options *options, const struct file *a,
	 const struct file *b);
int delta(const struct options *options, const struct file *snapshot);
int companion(const struct subject *subject);
int plan(const struct options *options);

#endif
