/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * data_free.c - write the data-free form of a module, for wasm2c.
 *
 *	data_free IN.wasm OUT.wasm
 *
 * A step of the build: clang makes IN, wasm2c translates OUT. Says what was
 * emptied; fails, because the measurement would not mean what it says, when a
 * segment had to be kept whole.
 */
#include <stdio.h>
#include <stdlib.h>

#include <faultline.h>

#include "file.h"

static int write_file(const char *path, const void *bytes,
		      uint64_t length_bytes)
{
	FILE *file = fopen(path, "wb");

	if (!file) {
		perror(path);
		return 1;
	}
	if (fwrite(bytes, 1, length_bytes, file) != length_bytes) {
		perror(path);
		fclose(file);
		return 1;
	}
	if (fclose(file)) {
		perror(path);
		return 1;
	}
	return 0;
}

static int rewrite(const struct fl_module *module, const char *path)
{
	struct fl_data_free_report report = { .size = sizeof(report) };
	uint64_t length_bytes;
	struct fl_error error;
	void *bytes;
	int failed;

	if (fl_module_write_data_free(module, &bytes, &length_bytes, &report,
				      &error)) {
		fprintf(stderr, "data_free: %s\n", error.text);
		return 1;
	}
	failed = write_file(path, bytes, length_bytes);
	fl_bytes_free(bytes);
	if (report.kept_count) {
		fprintf(stderr,
			"data_free: segment %u keeps its "
			"bytes: %s\n",
			report.first_kept_idx, report.kept_reason);
		return 1;
	}
	printf("%s: %u data segments emptied, %llu bytes\n", path,
	       report.emptied_count, (unsigned long long)report.emptied_bytes);
	return failed;
}

int main(int argc, char **argv)
{
	struct fl_module_config config;
	struct fl_module *module;
	struct fl_error error;
	void *bytes;
	int failed;

	if (argc != 3) {
		fprintf(stderr, "usage: data_free IN.wasm OUT.wasm\n");
		return 2;
	}
	fl_module_config_init(&config);
	bytes = file_read(argv[1], &config.length_bytes);
	if (!bytes)
		return 1;
	config.bytes = bytes;
	if (fl_module_load(NULL, &config, &module, &error)) {
		fprintf(stderr, "data_free: %s: %s\n", argv[1], error.text);
		free(bytes);
		return 1;
	}
	failed = rewrite(module, argv[2]);
	fl_module_release(module);
	free(bytes);
	return failed;
}
