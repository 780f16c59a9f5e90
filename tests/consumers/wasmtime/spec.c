/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * spec.c LIST - Wasmtime's validator over what the library writes of the
 * specification's modules. LIST.tsv and LIST.bin are those of tests/spec/modules.mjs.
 *
 * Each valid module that can have state exports is validated as it is and as it is
 * written: Wasmtime takes both or neither. tests/spec/reader.c holds the bytes of
 * all other sections against one another.
 */
#include "runtime.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct counts {
	unsigned int passed, failed, skipped;
};

static void *read_file(const char *list, const char *suffix, size_t *length)
{
	char path[4096];
	char *bytes = NULL;
	FILE *file;
	long size;

	snprintf(path, sizeof(path), "%s%s", list, suffix);
	file = fopen(path, "rb");
	runtime_need(file != NULL, path);
	fseek(file, 0, SEEK_END);
	size = ftell(file);
	rewind(file);
	bytes = malloc((size_t)size + 1);
	runtime_need(bytes && fread(bytes, 1, (size_t)size, file) ==
				      (size_t)size,
		     path);
	fclose(file);
	bytes[size] = '\0';
	*length = (size_t)size;
	return bytes;
}

static bool is_valid(wasm_engine_t *engine, const void *bytes, size_t length)
{
	wasmtime_error_t *error =
		wasmtime_module_validate(engine, bytes, length);

	if (error)
		wasmtime_error_delete(error);
	return !error;
}

static void check(wasm_engine_t *engine, const char *where, const void *bytes,
		  size_t length, struct counts *counts)
{
	struct fl_module_config config = FL_MODULE_CONFIG_INIT;
	struct fl_module *module;
	bool is_right;
	uint64_t written_length;
	void *written;
	int err;

	config.bytes = bytes;
	config.length_bytes = length;
	if (fl_module_load(NULL, &config, &module, NULL))
		return;
	err = fl_module_write_state_exports(module, &written, &written_length,
					    NULL, NULL);
	fl_module_release(module);
	if (err == -ENOTSUP)
		return;
	runtime_need(!err, where);
	is_right = is_valid(engine, bytes, length) ==
		   is_valid(engine, written, (size_t)written_length);
	fl_bytes_free(written);
	if (!is_right)
		printf("FAILED %s\n", where);
	counts->failed += !is_right;
	counts->passed += is_right;
}

int main(int argc, char **argv)
{
	struct counts counts = { 0, 0, 0 };
	wasm_config_t *config = wasm_config_new();
	size_t list_length, length;
	const uint8_t *bytes;
	wasm_engine_t *engine;
	char *list, *line;

	runtime_need(argc == 2, "usage: spec LIST");
	wasmtime_config_wasm_memory64_set(config, true);
	wasmtime_config_wasm_multi_memory_set(config, true);
	wasmtime_config_wasm_tail_call_set(config, true);
	wasmtime_config_wasm_function_references_set(config, true);
	wasmtime_config_wasm_gc_set(config, true);
	engine = wasm_engine_new_with_config(config);
	list = read_file(argv[1], ".tsv", &list_length);
	bytes = read_file(argv[1], ".bin", &length);
	for (line = strtok(list, "\n"); line; line = strtok(NULL, "\n")) {
		char where[200];
		unsigned long long off, size;

		if (sscanf(line, "valid\t%*s\t%199s\t%llu\t%llu", where, &off,
			   &size) != 3)
			continue;
		runtime_need(off <= length && size <= length - off, where);
		check(engine, where, bytes + off, (size_t)size, &counts);
	}
	wasm_engine_delete(engine);
	printf("%u passed, %u failed, %u skipped\n", counts.passed,
	       counts.failed, counts.skipped);
	return counts.failed || !counts.passed;
}
