/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * wasm-image-file.c - image files and the files of snapshots: opens, shows and
 * verifies them.
 *
 * Takes paths; gives text or one JSON object. The library checks the whole file
 * when it opens the file, so what is printed here was checked. No module is
 * needed to look at a file: the state is counted and compared, not understood.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "wasm-image.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAGIC_BYTES 8
/* lib/image/toc.h */
static const uint8_t image_magic[MAGIC_BYTES] = { 0x89, 'F',  'L',  'I',
						  '\r', '\n', 0x1a, '\n' };

const char *kind_of(const uint8_t *bytes, size_t length)
{
	static const struct {
		const char *magic, *kind;
	} kinds[] = {
		{ "\x89"
		  "FLI",
		  "an image file or a snapshot's, where a module is needed: show and verify look at it, by its name" },
		{ "\x89"
		  "FLW",
		  "a working set, which working_set_path of fl_load_config takes and no verb shows" },
		{ "FLD",
		  "a delta: the verb delta shows it, with its snapshot's file named behind it" },
		{ "FLZ",
		  "a packed delta: unpack it first, by fl_delta_unpack()" },
	};

	for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++) {
		size_t len = strlen(kinds[i].magic);

		if (length >= len && !memcmp(bytes, kinds[i].magic, len))
			return kinds[i].kind;
	}
	return NULL;
}

/* An error of the library, or what the file is in place of what is needed. */
static int refuse(const char *path, int fd, const struct fl_error *error)
{
	uint8_t begin[MAGIC_BYTES];
	ssize_t got = pread(fd, begin, sizeof(begin), 0);
	const char *kind = NULL;

	/* The rest of the magic tells damage, which the library's error says. */
	if (got == sizeof(begin) && memcmp(begin, image_magic, 4))
		kind = kind_of(begin, sizeof(begin));
	return kind ? fail("%s is %s", path, kind) : fail_with(path, error);
}

int file_open(struct fl_context *context, const char *path, struct file *file)
{
	struct fl_error error;
	struct stat stat;
	int fd, err;

	*file = (struct file){ .path = path,
			       .info = { .size = sizeof(file->info) } };
	/* A pipe must not make the tool wait; the library refuses the pipe. */
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0 || fstat(fd, &stat)) {
		err = fail("cannot open %s: %s", path, strerror(errno));
		if (fd >= 0)
			close(fd);
		return err;
	}
	file->length_bytes = (uint64_t)stat.st_size;
	err = fl_snapshot_open(context, NULL, fd, 0, NULL, &file->snapshot,
			       &error);
	if (!err)
		err = fl_snapshot_digest(file->snapshot, file->digest, &error);
	if (err)
		err = refuse(path, fd, &error);
	close(fd);
	if (err)
		return err;
	fl_snapshot_info(file->snapshot, &file->info);
	return 0;
}

void file_close(struct file *file)
{
	fl_snapshot_release(file->snapshot);
}

void print_hex(const uint8_t *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++)
		printf("%02x", bytes[i]);
}

static bool has_magic(const char *path)
{
	uint8_t begin[MAGIC_BYTES];
	struct stat stat_of;
	bool is_one;
	int fd;

	/* A pipe would lose the bytes. */
	if (stat(path, &stat_of) || !S_ISREG(stat_of.st_mode))
		return false;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	is_one = read(fd, begin, sizeof(begin)) == (ssize_t)sizeof(begin) &&
		 !memcmp(begin, image_magic, sizeof(begin));
	close(fd);
	return is_one;
}

bool is_about_files(const struct options *options)
{
	if (options->verb == VERB_SHOW)
		return has_magic(options->path);
	return options->verb == VERB_VERIFY || options->verb == VERB_DIFF ||
	       options->verb == VERB_DELTA;
}

/* -------------------------------------------------------------------- show */

static struct memory image_at(const struct file *file, uint32_t image_idx)
{
	struct memory memory = { .info = { .size = sizeof(memory.info) } };

	memory.image = fl_snapshot_image(file->snapshot, 0, image_idx);
	fl_image_info(memory.image, &memory.info);
	return memory;
}

static void show_text(const struct fl_context *context, const struct file *file)
{
	const struct fl_snapshot_info *info = &file->info;

	printf("%s: %s, %" PRIu64 " bytes, backend %s\ndigest     ", file->path,
	       info->module_count ? "snapshot" : "image file",
	       file->length_bytes, fl_context_backend(context));
	print_hex(file->digest, DIGEST_BYTES);
	printf("\nencoding   ");
	print_quoted(info->encoding, strlen(info->encoding));
	printf("\nstate      %" PRIu64 " bytes%s\n", info->state_bytes,
	       info->module_count ? ", with what it says of each instance" :
				    "");
	for (uint32_t i = 0; i < info->module_count; i++) {
		printf("module %u   ", i);
		print_hex(info->module_digests + (size_t)i * DIGEST_BYTES,
			  DIGEST_BYTES);
		putchar('\n');
	}
	for (uint32_t i = 0; i < info->image_count; i++) {
		struct memory memory = image_at(file, i);

		printf("image %u:\n", i);
		show_image(&memory);
	}
}

static void json_head(const struct file *file)
{
	printf("{\"file\":");
	print_quoted(file->path, strlen(file->path));
	printf(",\"length_bytes\":%" PRIu64 ",\"digest\":\"",
	       file->length_bytes);
	print_hex(file->digest, DIGEST_BYTES);
	putchar('"');
}

static void show_json(const struct fl_context *context, const struct file *file)
{
	const struct fl_snapshot_info *info = &file->info;

	json_head(file);
	printf(",\"is_snapshot\":%s,\"backend\":\"%s\",\"hpage_bytes\":%" PRIu64
	       ",\"stored_bytes\":%" PRIu64 ",\"state_bytes\":%" PRIu64
	       ",\"encoding\":",
	       bool_text(info->module_count), fl_context_backend(context),
	       hpage_bytes(), info->stored_bytes, info->state_bytes);
	print_quoted(info->encoding, strlen(info->encoding));
	printf(",\"module_digests\":[");
	for (uint32_t i = 0; i < info->module_count; i++) {
		printf("%s\"", i ? "," : "");
		print_hex(info->module_digests + (size_t)i * DIGEST_BYTES,
			  DIGEST_BYTES);
		putchar('"');
	}
	printf("],\"images\":[");
	for (uint32_t i = 0; i < info->image_count; i++) {
		struct memory memory = image_at(file, i);

		printf("%s{\"image_idx\":%u", i ? "," : "", i);
		json_image(&memory);
		putchar('}');
	}
	printf("]}\n");
}

static int show_svg(const struct file *file)
{
	uint32_t count = file->info.image_count;
	struct memory *memories = calloc(count + 1, sizeof(*memories));

	if (!memories)
		return fail("no memory for %u images", count);
	for (uint32_t i = 0; i < count; i++)
		memories[i] = image_at(file, i);
	svg_print(file->path, "image", memories, count);
	free(memories);
	return 0;
}

/* ------------------------------------------------------------------ verify */

static int verify(const struct options *options, const struct file *file)
{
	bool is_wanted = !options->has_digest ||
			 !memcmp(options->digest, file->digest, DIGEST_BYTES);

	if (options->is_json) {
		json_head(file);
		printf(",\"is_expected\":%s}\n",
		       options->has_digest ? bool_text(is_wanted) : "null");
	} else {
		print_hex(file->digest, DIGEST_BYTES);
		printf("  %s\n", file->path);
	}
	return is_wanted ?
		       0 :
		       fail("%s is whole and has another digest than the one given",
			    file->path);
}

static int look_at_file(const struct options *options,
			const struct fl_context *context,
			const struct file *file)
{
	if (options->verb == VERB_VERIFY)
		return verify(options, file);
	if (options->global_count)
		return fail("%s is an image file; --global is for modules",
			    file->path);
	if (options->is_svg)
		return show_svg(file);
	if (options->is_json)
		show_json(context, file);
	else
		show_text(context, file);
	return 0;
}

int look_at_files(const struct options *options)
{
	struct file file = { .path = NULL }, other = { .path = NULL };
	struct fl_context *context;
	int status;

	if (context_open(options, &context))
		return 1;
	status = file_open(context,
			   options->verb == VERB_DELTA ? options->other_path :
							 options->path,
			   &file);
	if (!status && options->verb == VERB_DELTA) {
		status = delta(options, &file);
	} else if (!status && options->verb == VERB_DIFF) {
		status = file_open(context, options->other_path, &other);
		if (!status)
			status = diff(options, &file, &other);
	} else if (!status) {
		status = look_at_file(options, context, &file);
	}
	file_close(&other);
	file_close(&file);
	fl_context_destroy(context);
	return status;
}
