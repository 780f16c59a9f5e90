/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * file.h - read a whole file, for the small programs of this folder.
 */
#ifndef CONSUMERS_FILE_H
#define CONSUMERS_FILE_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

/* The bytes of a file, for free(); NULL, with a line on stderr, when it cannot
 * be read. */
static inline void *file_read(const char *path, uint64_t *length_bytes)
{
	FILE *file = fopen(path, "rb");
	void *bytes = NULL;
	long length;

	if (!file) {
		perror(path);
		return NULL;
	}
	if (fseek(file, 0, SEEK_END) || (length = ftell(file)) < 0 ||
	    fseek(file, 0, SEEK_SET)) {
		perror(path);
		goto out;
	}
	bytes = malloc(length ? (size_t)length : 1);
	if (!bytes || fread(bytes, 1, (size_t)length, file) != (size_t)length) {
		perror(path);
		free(bytes);
		bytes = NULL;
		goto out;
	}
	*length_bytes = (uint64_t)length;
out:
	fclose(file);
	return bytes;
}

#endif
