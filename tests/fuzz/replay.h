/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * replay.h - what a fuzz target is without libFuzzer: a program that replays
 * every file of the directory it is given, and counts them as one case.
 *
 * Each file's bytes lie in an allocation of exactly their size, so that a
 * sanitizer sees a read beyond the end.
 */
#ifndef FUZZ_REPLAY_H
#define FUZZ_REPLAY_H

#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

#ifndef FL_LIBFUZZER
static int replay_file(const char *directory, const char *name)
{
	char path[4096];
	uint8_t *bytes = NULL;
	long length = -1;
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", directory, name);
	file = fopen(path, "rb");
	if (file && !fseek(file, 0, SEEK_END))
		length = ftell(file);
	if (length >= 0)
		bytes = malloc(length ? (size_t)length : 1);
	if (!bytes || fseek(file, 0, SEEK_SET) ||
	    fread(bytes, 1, (size_t)length, file) != (size_t)length) {
		printf("cannot read %s\n", path);
		length = -1;
	} else {
		LLVMFuzzerTestOneInput(bytes, (size_t)length);
	}
	free(bytes);
	if (file)
		fclose(file);
	return length < 0;
}

int main(int argc, char **argv)
{
	struct dirent *entry;
	unsigned int files = 0, failed = 0;
	DIR *directory = argc == 2 ? opendir(argv[1]) : NULL;

	if (!directory) {
		printf("usage: %s DIRECTORY, one that can be read\n"
		       "0 passed, 1 failed, 0 skipped\n",
		       argv[0]);
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

#endif
