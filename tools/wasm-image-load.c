/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * wasm-image-load.c - a module's file, read, loaded and imaged.
 *
 * The file is read and not mapped, because a mapping would fault if another
 * process cut the file short meanwhile. An image that the library did not build
 * when it loaded the module is built here with the values of --global. If there
 * can be no image, the reason is kept in its place.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "wasm-image.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The most that fl_module_load() takes; a longer file is refused while
 * reading. */
#define MAX_FILE_BYTES ((size_t)1 << 30)

static int read_all(int fd, const char *path, uint8_t **bytes, size_t *length)
{
	size_t room = 0, used = 0;
	ssize_t got;

	for (;;) {
		if (used == room) {
			uint8_t *grown;

			room = room ? room * 2 : 65536;
			grown = realloc(*bytes, room);
			if (!grown)
				return fail("%s: no memory for %zu bytes", path,
					    room);
			*bytes = grown;
		}
		got = read(fd, *bytes + used, room - used);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return fail("cannot read %s: %s", path,
				    strerror(errno));
		if (!got)
			break;
		used += (size_t)got;
		if (used > MAX_FILE_BYTES)
			return fail(
				"%s is larger than 1 GiB, the most that wasm-image reads",
				path);
	}
	/* The last read had room for a byte. */
	(*bytes)[used] = 0;
	*length = used;
	return 0;
}

int file_read(const char *path, uint8_t **bytes, size_t *length)
{
	int fd, status;

	if (!strcmp(path, "-"))
		return read_all(STDIN_FILENO, "standard input", bytes, length);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return fail("cannot open %s: %s", path, strerror(errno));
	status = read_all(fd, path, bytes, length);
	close(fd);
	return status;
}

/* The text format begins with a parenthesis, or with a comment. */
static bool is_text(const uint8_t *bytes, size_t length)
{
	size_t at = 0;

	while (at < length && strchr(" \t\r\n", bytes[at]) && bytes[at])
		at++;
	return at < length &&
	       (bytes[at] == '(' ||
		(bytes[at] == ';' && at + 1 < length && bytes[at + 1] == ';'));
}

static int build_with(const struct subject *subject, uint32_t memory_idx,
		      uint64_t *globals, uint32_t count,
		      struct fl_image **image, struct fl_error *error)
{
	struct fl_image_config config;

	fl_image_config_init(&config);
	config.imported_globals = globals;
	config.imported_global_count = count;
	return fl_image_from_module(subject->context, subject->module,
				    memory_idx, &config, image, error);
}

static void explain_missing(const struct subject *subject,
			    struct memory *memory)
{
	uint32_t needed = memory->type.image_global_count;
	uint32_t count = subject->info.imported_global_count;

	if (needed > count)
		snprintf(
			memory->reason, sizeof(memory->reason),
			"a data segment's offset is not a number known before instantiation");
	else
		snprintf(
			memory->reason, sizeof(memory->reason),
			"a data segment's offset depends on imported globals: give the values of the first %u of %u with --global N=VALUE, N from 0",
			needed, count);
}

static int memory_open(const struct subject *subject, uint32_t memory_idx)
{
	const struct options *options = subject->options;
	struct memory *memory = &subject->memories[memory_idx];
	struct fl_error error;
	int err = 0;

	memory->type.size = sizeof(memory->type);
	fl_module_memory_type(subject->module, memory_idx, &memory->type);
	memory->image = fl_module_image(subject->module, memory_idx);
	if (memory->image)
		fl_image_retain(memory->image);
	else
		err = build_with(subject, memory_idx, options->globals,
				 options->global_count, &memory->image, &error);
	if (err == -ENOMEM || err == -EPERM || err == -EIO)
		return fail_with(options->path, &error);
	if (err == -EINVAL)
		explain_missing(subject, memory);
	else if (err)
		snprintf(memory->reason, sizeof(memory->reason), "%s",
			 error.text);
	memory->info.size = sizeof(memory->info);
	if (!err)
		fl_image_info(memory->image, &memory->info);
	return 0;
}

static int check_globals(const struct subject *subject)
{
	const struct options *options = subject->options;

	if (options->global_count > subject->info.imported_global_count)
		return fail("--global %u has a value, but %s imports %u %s",
			    options->global_count - 1, options->path,
			    subject->info.imported_global_count,
			    noun(subject->info.imported_global_count, "global",
				 "globals"));
	for (uint32_t i = 0; i < options->global_count; i++) {
		if (!options->given[i])
			return fail(
				"--global %u has a value and %u has none; give every one up to the last, 0 where it does not matter",
				options->global_count - 1, i);
	}
	return 0;
}

static int subject_open_memories(struct subject *subject)
{
	int status;

	subject->memories = calloc((size_t)subject->info.memory_count + 1,
				   sizeof(*subject->memories));
	if (!subject->memories)
		return fail("no memory");
	status = check_globals(subject);
	for (uint32_t i = 0; i < subject->info.memory_count && !status; i++)
		status = memory_open(subject, i);
	return status;
}

/* The fields that errors of this tool's calls name. */
#define CONTEXT(field)                                                   \
	{                                                                \
#field, true, offsetof(struct fl_context_config, field), \
			sizeof(((struct fl_context_config *)0)->field)   \
	}
#define POOL(field)                                                    \
	{                                                              \
#field, false, offsetof(struct fl_pool_config, field), \
			sizeof(((struct fl_pool_config *)0)->field)    \
	}
static const struct {
	const char *name;
	bool is_context;
	size_t off, size;
} limit_fields[] = {
	CONTEXT(max_module_image_bytes),
	CONTEXT(max_module_image_span_bytes),
	CONTEXT(max_image_bytes),
	CONTEXT(max_image_span_bytes),
	CONTEXT(descriptor_shards),
	CONTEXT(load_threads),
	POOL(max_instances),
	POOL(max_memories),
	POOL(max_memories_per_instance),
	POOL(max_tables),
	POOL(max_tables_per_instance),
	POOL(max_memory_bytes),
	POOL(memory_stride_bytes),
	POOL(memory_alignment_bytes),
	POOL(guard_before_bytes),
	POOL(guard_after_bytes),
	POOL(max_table_elements),
	POOL(table_element_bytes),
};

bool limit_find(const char *name, size_t len, size_t *field_idx, uint64_t *max)
{
	for (size_t i = 0; i < sizeof(limit_fields) / sizeof(*limit_fields);
	     i++) {
		if (strlen(limit_fields[i].name) != len ||
		    memcmp(limit_fields[i].name, name, len))
			continue;
		*field_idx = i;
		*max = limit_fields[i].size == sizeof(uint32_t) ? UINT32_MAX :
								  UINT64_MAX;
		return true;
	}
	return false;
}

unsigned int limit_verbs(size_t field_idx)
{
	const unsigned int no_context = 1u << VERB_DATA_FREE |
					1u << VERB_COMPANION;

	return limit_fields[field_idx].is_context ? ~no_context :
						    1u << VERB_CYCLE;
}

void limits_apply(const struct options *options,
		  struct fl_context_config *context,
		  struct fl_pool_config *pool)
{
	for (size_t i = 0; i < options->limit_count; i++) {
		size_t field_idx = options->limits[i].field_idx;
		uint32_t small = (uint32_t)options->limits[i].value;
		void *at = limit_fields[field_idx].is_context ?
				   (void *)context :
				   (void *)pool;

		if (!at)
			continue;
		memcpy((char *)at + limit_fields[field_idx].off,
		       limit_fields[field_idx].size == sizeof(small) ?
			       (const void *)&small :
			       &options->limits[i].value,
		       limit_fields[field_idx].size);
	}
}

int context_open(const struct options *options, struct fl_context **context)
{
	struct fl_context_config config;
	struct fl_error error;

	fl_context_config_init(&config);
	limits_apply(options, &config, NULL);
	if (fl_context_create(&config, context, &error))
		return fail("%s", error.text);
	return 0;
}

int subject_open(struct subject *subject)
{
	struct fl_module_config config;
	struct fl_error error;
	const char *kind;
	int status = file_read(subject->options->path, &subject->bytes,
			       &subject->length_bytes);

	if (status)
		return status;
	if (is_text(subject->bytes, subject->length_bytes))
		return fail(
			"%s is in the text format; convert it first: wat2wasm %s -o module.wasm",
			subject->options->path, subject->options->path);
	kind = kind_of(subject->bytes, subject->length_bytes);
	if (kind)
		return fail("%s is %s", subject->options->path, kind);
	/* What these two write needs no images, hence no context. */
	if (subject->options->verb != VERB_DATA_FREE &&
	    subject->options->verb != VERB_COMPANION &&
	    context_open(subject->options, &subject->context))
		return 1;
	fl_module_config_init(&config);
	config.bytes = subject->bytes;
	config.length_bytes = subject->length_bytes;
	config.ownership = FL_BYTES_BORROW;
	if (fl_module_load(subject->context, &config, &subject->module, &error))
		return fail_with(subject->options->path, &error);
	subject->info.size = sizeof(subject->info);
	fl_module_info(subject->module, &subject->info);
	return subject->context ? subject_open_memories(subject) : 0;
}

void subject_close(struct subject *subject)
{
	uint32_t count = subject->memories ? subject->info.memory_count : 0;

	for (uint32_t i = 0; i < count; i++)
		fl_image_release(subject->memories[i].image);
	free(subject->memories);
	fl_module_release(subject->module);
	fl_context_destroy(subject->context);
	free(subject->bytes);
}
