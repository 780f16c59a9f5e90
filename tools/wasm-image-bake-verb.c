/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * wasm-image-bake-verb.c - the verb bake: a module and a snapshot of one
 * instance of it become a module.
 *
 * Takes a loaded module and the path of a snapshot's file; gives a file that
 * any runtime can instantiate. The snapshot must be of this module. What else
 * than memories an instance can change is known where the library's adapter for
 * wasm2c has made the snapshot, or where nothing has run, or where the module
 * has nothing else. The rest is refused, and the message names what is missing.
 *
 * What was written is read again by the library before it goes to the file.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "wasm-image-bake.h"
#include "wasm-image-state.h"
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
			" bytes of state (\"%s\"), and bake does not know this encoding: the values of %u %s and %u %s are missing",
			path, info->state_bytes, info->encoding, globals,
			noun(globals, "global", "globals"), tables,
			noun(tables, "table", "tables"));
	if (globals)
		return fail("%s has no values of the module's %u %s", path,
			    globals, noun(globals, "global", "globals"));
	if (tables)
		return fail("%s has no values of the module's %u %s", path,
			    tables, noun(tables, "table", "tables"));
	if (passive)
		return fail(
			"%s does not say which of the module's %u passive %s dropped",
			path, passive,
			noun(passive, "segment was", "segments were"));
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

static void print_state(const struct bake_state *state)
{
	uint64_t dropped = 0, entries = 0;

	for (uint32_t i = 0; i < state->data_flag_count; i++)
		dropped += state->data_flags[i];
	for (uint32_t i = 0; i < state->elem_flag_count; i++)
		dropped += state->elem_flags[i];
	for (uint32_t i = 0; i < state->table_count; i++)
		entries += state->tables[i].entry_count;
	printf("state      %u %s, %u %s with %" PRIu64 " %s, %" PRIu64
	       " dropped %s\n",
	       state->global_count,
	       noun(state->global_count, "global", "globals"),
	       state->table_count, noun(state->table_count, "table", "tables"),
	       entries, noun(entries, "function", "functions"), dropped,
	       noun(dropped, "segment", "segments"));
}

static void print_baked(const struct subject *subject,
			const struct bake_request *request,
			const struct baked *baked)
{
	printf("%s: %zu bytes, from %zu\n"
	       "data       %u active %s of %" PRIu64
	       " bytes; gaps below %" PRIu64 " bytes are stored\n",
	       subject->options->out_path, baked->length_bytes,
	       request->module_bytes, baked->segment_count,
	       noun(baked->segment_count, "segment", "segments"),
	       baked->segment_bytes, baked->gap_bytes);
	if (request->state)
		print_state(request->state);
	printf("start      %s\n",
	       baked->is_start_removed ? "removed: it has run" :
	       subject->info.has_start ? "kept: it has not run" :
					 "none");
}

static int load_baked(const struct subject *subject, const struct baked *baked,
		      struct fl_module **module)
{
	struct fl_module_config config = FL_MODULE_CONFIG_INIT;
	struct fl_error error;

	config.bytes = baked->bytes;
	config.length_bytes = baked->length_bytes;
	if (fl_module_load(subject->context, &config, module, &error))
		return fail_with("the baked module", &error);
	return 0;
}

/* The functions of which the code of the baked module makes references, and
 * which no other part of that module names any more. */
static int find_undeclared(const struct subject *subject,
			   const struct baked *baked, uint8_t *is_declared,
			   uint32_t *count)
{
	struct fl_module *module;
	int status = load_baked(subject, baked, &module);

	*count = 0;
	if (status)
		return status;
	for (uint32_t i = 0; i < subject->info.function_count; i++) {
		struct fl_function function = { .size = sizeof(function) };

		if (fl_module_function(module, i, &function)) {
			status = fail("no memory");
			break;
		}
		is_declared[i] = baked->is_unmentioned[i] &&
				 function.is_referenced &&
				 !function.is_exported;
		*count += is_declared[i];
	}
	fl_module_release(module);
	return status;
}

static void baked_free(struct baked *baked)
{
	free(baked->bytes);
	free(baked->is_unmentioned);
	baked->bytes = NULL;
	baked->is_unmentioned = NULL;
}

static int bake_once(const struct subject *subject,
		     const struct bake_request *request, struct baked *baked)
{
	if (bake_module(request, baked))
		return 0;
	return fail("%s: %s", subject->options->path, baked->reason);
}

/* Bake, see what is to be declared, and bake again if anything is. */
static int bake_declared(const struct subject *subject,
			 const struct bake_request *request,
			 struct baked *baked)
{
	struct bake_request again = *request;
	struct bake_state state;
	uint8_t *is_declared;
	uint32_t count = 0;
	int status = bake_once(subject, request, baked);

	if (status || !request->state)
		return status;
	state = *request->state;
	is_declared = calloc((size_t)state.function_count + 1, 1);
	status = is_declared ?
			 find_undeclared(subject, baked, is_declared, &count) :
			 fail("no memory");
	if (!status && count) {
		state.is_declared = is_declared;
		again.state = &state;
		baked_free(baked);
		status = bake_once(subject, &again, baked);
	}
	free(is_declared);
	return status;
}

static int write_baked(const struct subject *subject,
		       const struct bake_request *request)
{
	const struct options *options = subject->options;
	struct fl_module *module = NULL;
	struct baked baked = { .bytes = NULL };
	int status = bake_declared(subject, request, &baked);

	if (!status)
		status = load_baked(subject, &baked, &module);
	fl_module_release(module);
	if (!status)
		status = replace_file(options->out_path, baked.bytes,
				      baked.length_bytes);
	if (!status)
		print_baked(subject, request, &baked);
	baked_free(&baked);
	return status;
}

static int bake_memories(const struct subject *subject,
			 const struct fl_snapshot *snapshot,
			 struct bake_request *request)
{
	struct bake_memory *memories =
		calloc((size_t)request->memory_count + 1, sizeof(*memories));
	int status = memories ? 0 : fail("no memory");

	request->memories = memories;
	for (uint32_t i = 0; i < request->memory_count && !status; i++)
		status = fill_memory(subject, snapshot, i, &memories[i]);
	if (!status)
		status = write_baked(subject, request);
	free(memories);
	return status;
}

static int bake_state(const struct subject *subject,
		      const struct fl_snapshot *snapshot,
		      struct bake_request *request)
{
	struct state state;
	uint64_t length;
	const void *bytes = fl_snapshot_state(snapshot, 0, &length);
	int status = state_open(&state, subject->module,
				subject->options->other_path, bytes, length);

	request->state = &state.is;
	if (!status)
		status = bake_memories(subject, snapshot, request);
	state_close(&state);
	return status;
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
	int status = 0;

	fl_snapshot_info(snapshot, &info);
	request.has_started = info.state_bytes ||
			      strcmp(info.encoding, INITIAL_ENCODING) != 0;
	if (!strcmp(info.encoding, STATE_ENCODING))
		return bake_state(subject, snapshot, &request);
	if (request.has_started)
		status = check_rest(subject, &info);
	return status ? status : bake_memories(subject, snapshot, &request);
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
