/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * wasm-image-bake-verb.c - the verb bake: a module and a snapshot of one
 * instance of it become a module.
 *
 * Takes a loaded module and the path of a snapshot's file; gives a file that
 * any runtime can instantiate. The snapshot must be of this module. Only the
 * content of memories is baked. So whatever else an instance can change must be
 * known to be unchanged: either nothing has run, or the module has nothing
 * else. The rest is refused, and the message names what is missing.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "wasm-image-bake.h"
#include "wasm-image.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* With the end; fl_snapshot_config says so. */
#define MAX_ENCODING_BYTES 256

static bool next_run(const void *owner, uint64_t from_bytes,
		     uint64_t *offset_bytes, uint64_t *length_bytes)
{
	struct fl_image_run run;

	if (!fl_image_next_run(owner, from_bytes, &run))
		return false;
	*offset_bytes = run.offset_bytes;
	*length_bytes = run.length_bytes;
	return true;
}

static bool read_image(const void *owner, uint64_t offset_bytes, void *dst,
		       uint64_t length_bytes)
{
	return !fl_image_read(owner, offset_bytes, dst, length_bytes);
}

/* Open the snapshot and check that it is of one instance of the module. */
static int open_bound(const struct subject *subject,
		      struct fl_snapshot **snapshot)
{
	struct fl_snapshot_binding binding = FL_SNAPSHOT_BINDING_INIT;
	struct fl_snapshot_info info = { .size = sizeof(info) };
	const char *path = subject->options->other_path;
	char encoding[MAX_ENCODING_BYTES];
	struct fl_error error;
	struct file file;
	int status = file_open(subject->context, path, &file);

	if (!status && !file.info.module_count)
		status = fail(
			"%s is an image file and names no module; a snapshot's file does",
			path);
	if (!status)
		snprintf(encoding, sizeof(encoding), "%s", file.info.encoding);
	file_close(&file);
	if (status)
		return status;
	/* Whatever the encoding is, it is this one. */
	binding.encoding = encoding;
	binding.modules = &subject->module;
	binding.module_count = 1;
	if (fl_snapshot_open(subject->context, path, -1, 0, &binding, snapshot,
			     &error))
		return fail_with(path, &error);
	fl_snapshot_info(*snapshot, &info);
	if (info.instance_count == 1)
		return 0;
	fl_snapshot_release(*snapshot);
	return fail("%s has %u instances; one module is the place of one", path,
		    info.instance_count);
}

static uint32_t passive_elements(const struct subject *subject)
{
	struct fl_element_segment segment = { .size = sizeof(segment) };
	uint32_t count = 0;

	for (uint32_t i = 0; i < subject->info.element_count; i++) {
		fl_module_element_segment(subject->module, i, &segment);
		count += segment.mode == FL_SEGMENT_PASSIVE;
	}
	return count;
}

static uint32_t defined_tables(const struct subject *subject)
{
	struct fl_table_type type = { .size = sizeof(type) };
	uint32_t count = 0;

	for (uint32_t i = 0; i < subject->info.table_count; i++) {
		fl_module_table_type(subject->module, i, &type);
		count += !type.is_imported;
	}
	return count;
}

/* Of an instance that has started: is there anything but memories? */
static int check_rest(const struct subject *subject,
		      const struct fl_snapshot_info *info)
{
	const struct fl_module_info *module = &subject->info;
	const char *path = subject->options->other_path;
	uint32_t globals, tables, passive;

	globals = module->global_count - module->imported_global_count;
	tables = defined_tables(subject);
	passive = module->data_count - module->active_data_count +
		  passive_elements(subject);
	if (info->state_bytes)
		return fail(
			"%s has %" PRIu64
			" bytes of state (\"%s\"), and bake knows no encoding of state: the values of %u globals and %u tables are missing",
			path, info->state_bytes, info->encoding, globals,
			tables);
	if (globals)
		return fail("%s has no values of the module's %u globals", path,
			    globals);
	if (tables)
		return fail("%s has no values of the module's %u tables", path,
			    tables);
	if (passive)
		return fail(
			"%s does not say which of the module's %u passive segments were dropped",
			path, passive);
	return 0;
}

static int fill_memory(const struct subject *subject,
		       const struct fl_snapshot *snapshot, uint32_t memory_idx,
		       struct bake_memory *memory)
{
	const struct fl_memory_type *type = &subject->memories[memory_idx].type;
	struct fl_image *image = fl_snapshot_image(snapshot, 0, memory_idx);
	struct fl_image_info info = { .size = sizeof(info) };

	if (!image && !type->is_imported)
		return fail("%s has no image of memory %u",
			    subject->options->other_path, memory_idx);
	*memory = (struct bake_memory){
		.is_imported = type->is_imported,
		.is_64 = type->is_64,
		.page_bytes = type->page_bytes,
		.content = { .owner = image,
			     .next = next_run,
			     .read = read_image },
	};
	if (image) {
		fl_image_info(image, &info);
		memory->size_bytes = info.initial_bytes;
	}
	return 0;
}

static int write_baked(const struct subject *subject,
		       const struct bake_request *request)
{
	const struct options *options = subject->options;
	struct baked baked;
	int status;

	if (!bake_module(request, &baked))
		return fail("%s: %s", options->path, baked.reason);
	status = replace_file(options->out_path, baked.bytes,
			      baked.length_bytes);
	free(baked.bytes);
	if (status)
		return status;
	printf("%s: %zu bytes, from %zu\n"
	       "data       %u active segments of %" PRIu64
	       " bytes; gaps below %" PRIu64 " bytes are stored\n"
	       "start      %s\n",
	       options->out_path, baked.length_bytes, request->module_bytes,
	       baked.segment_count, baked.segment_bytes, baked.gap_bytes,
	       baked.is_start_removed  ? "removed: it has run" :
	       subject->info.has_start ? "kept: it has not run" :
					 "none");
	return 0;
}

static int bake_from(const struct subject *subject,
		     const struct fl_snapshot *snapshot)
{
	struct fl_snapshot_info info = { .size = sizeof(info) };
	struct bake_request request = {
		.module = subject->bytes,
		.module_bytes = subject->length_bytes,
		.memory_count = subject->info.memory_count,
		.max_segments = BAKE_MAX_SEGMENTS,
	};
	struct bake_memory *memories =
		calloc((size_t)request.memory_count + 1, sizeof(*memories));
	int status = memories ? 0 : fail("no memory");

	fl_snapshot_info(snapshot, &info);
	request.memories = memories;
	request.has_started = info.state_bytes ||
			      strcmp(info.encoding, INITIAL_ENCODING) != 0;
	if (!status && request.has_started)
		status = check_rest(subject, &info);
	for (uint32_t i = 0; i < request.memory_count && !status; i++)
		status = fill_memory(subject, snapshot, i, &memories[i]);
	if (!status)
		status = write_baked(subject, &request);
	free(memories);
	return status;
}

int bake(const struct subject *subject)
{
	struct fl_snapshot *snapshot;
	int status = check_output(subject->options);

	if (status)
		return status;
	status = open_bound(subject, &snapshot);
	if (status)
		return status;
	status = bake_from(subject, snapshot);
	fl_snapshot_release(snapshot);
	return status;
}
