/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * fuzz_archive.c - any bytes as an image file.
 *
 * Built with -fsanitize=fuzzer and -DFL_LIBFUZZER this is a libFuzzer target;
 * without, a program that replays every file of the directory it is given and
 * counts them as one case. The bytes are read twice: as they are, and with sizes
 * and hashes made to fit, because no fuzzer guesses a SHA-256. They lie in an
 * allocation of exactly their size. What the reader takes is read to the last
 * page, and put into a new table.
 *
 * Pages are 64 KiB and a corpus should be small: where an input ends with the
 * byte 'P' for each page, the pages are made, each of its own number.
 */
#include "tests/fuzz/replay.h"
#include "tests/kit/toc_bytes.h"

#define MAX_PAGES 40

/* The input with its pages, on page borders behind the rest. */
static uint8_t *expand(const uint8_t *bytes, size_t length, uint64_t *len)
{
	uint64_t pages = 0, head;
	uint8_t *whole;

	while (length && bytes[length - 1] == 'P' && pages < MAX_PAGES) {
		length--;
		pages++;
	}
	head = pages ? (length + TOC_WPAGE - 1) / TOC_WPAGE * TOC_WPAGE :
		       length;
	*len = head + pages * TOC_WPAGE;
	whole = calloc(1, *len ? *len : 1);
	if (!whole)
		abort();
	if (length)
		memcpy(whole, bytes, length);
	for (uint64_t i = 0; i < pages; i++)
		whole[head + i * TOC_WPAGE] = (uint8_t)(i + 1);
	return whole;
}

static void try(const uint8_t *bytes, uint64_t len)
{
	uint8_t content[FL__SHA256_BYTES];
	struct fl_error error;
	const char *wrong;
	int err;

	wrong = toc_bytes_try(bytes, len, content, &err, &error);
	if (wrong) {
		printf("%s: %d, %s\n", wrong, err, error.text);
		abort();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
	uint64_t len;
	uint8_t *whole = expand(bytes, length, &len);

	try(whole, len);
	toc_bytes_mend(whole, len);
	try(whole, len);
	free(whole);
	return 0;
}
