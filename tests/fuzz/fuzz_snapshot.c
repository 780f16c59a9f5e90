/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * fuzz_snapshot.c - any bytes as the state of a snapshot.
 *
 * Built with -fsanitize=fuzzer and -DFL_LIBFUZZER this is a libFuzzer target;
 * without, a program that replays every file of the directory it is given and
 * counts them as one case. The bytes lie in an allocation of exactly their size.
 * What the loader takes is looked over, saved, and loaded again; see
 * state_bytes.h for the modules and images that the bytes speak of.
 */
#include "tests/kit/state_bytes.h"

#include <dirent.h>
#include <stdio.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
	static struct state_world world;
	struct fl_error error;
	const char *wrong;
	int err;

	if (!world.parts.image_count)
		state_world_open(&world);
	wrong = state_try(&world, bytes, length, &err, &error);
	if (wrong) {
		printf("%s: %d, %s\n", wrong, err, error.text);
		abort();
	}
	return 0;
}

#ifndef FL_LIBFUZZER
static int replay_file(const char *directory, const char *name)
{
	static uint8_t bytes[1 << 20];
	char path[4096];
	size_t length;
	FILE *file;
	int failed;

	snprintf(path, sizeof(path), "%s/%s", directory, name);
	file = fopen(path, "rb");
	if (!file) {
		printf("cannot read %s\n", path);
		return 1;
	}
	length = fread(bytes, 1, sizeof(bytes), file);
	failed = ferror(file) != 0;
	fclose(file);
	if (!failed)
		LLVMFuzzerTestOneInput(bytes, length);
	return failed;
}

int main(int argc, char **argv)
{
	struct dirent *entry;
	unsigned int files = 0, failed = 0;
	DIR *directory = argc == 2 ? opendir(argv[1]) : NULL;

	if (!directory) {
		printf("usage: fuzz_snapshot DIRECTORY, one that can be read\n"
		       "0 passed, 1 failed, 0 skipped\n");
		return 1;
	}
	while ((entry = readdir(directory))) {
		if (entry->d_name[0] == '.')
			continue;
		failed += (unsigned int)replay_file(argv[1], entry->d_name);
		files++;
	}
	closedir(directory);
	printf("%u files replayed, %u could not be read\n", files, failed);
	failed = failed || !files;
	printf("%u passed, %u failed, 0 skipped\n", !failed, failed);
	return (int)failed;
}
#endif
