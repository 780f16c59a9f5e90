/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * fuzz_pack.c - any bytes as a packed delta.
 *
 * A libFuzzer target, or a program that replays a directory, as fuzz_delta.c. The
 * eight bytes that name the dictionary are mended, so that the frame behind them is
 * met: the first byte's lowest bit says whether there is one. What comes out has the
 * length that was claimed, and no more than a packer allows.
 */
#include "tests/fuzz/replay.h"
#include "tests/fuzz/delta_snapshot.h"
#include "instance/delta_pack.h"

#include <string.h>

#define MAX_DELTA_BYTES 100000u
#define HEAD 12u

static const char dictionary[] =
	"FLD, and what sessions often hold: {\"event\": 1, \"kind\": \"bought\"}";

static struct fl_packer *packer_make(struct fl_snapshot *snapshot,
				     bool has_dictionary)
{
	struct fl_packer_config config = FL_PACKER_CONFIG_INIT;
	struct fl_packer *packer = NULL;

	config.snapshot = snapshot;
	config.max_delta_bytes = MAX_DELTA_BYTES;
	if (has_dictionary) {
		config.dictionary = dictionary;
		config.dictionary_bytes = sizeof(dictionary);
	}
	(void)fl_packer_create(&config, &packer, NULL);
	return packer;
}

static void require(bool is_right, const char *what)
{
	if (!is_right) {
		printf("%s\n", what);
		abort();
	}
}

static void try_one(struct fl_packer *packer, const uint8_t *bytes,
		    size_t length)
{
	struct fl_packed_info info = FL_SIZED(info);
	struct fl_error error = { .text = "" };
	struct fl_delta *delta;
	uint64_t len;

	if (fl__delta_unpack_bytes(packer, bytes, length, &delta, &len,
				   &error)) {
		require(error.text[0] != '\0', "an error without words");
		return;
	}
	require(!fl_packed_info(bytes, length, &info, NULL) &&
			info.delta_bytes == len && len <= MAX_DELTA_BYTES,
		"another length than was claimed");
	free(delta);
	/* As a delta: any error, and nothing is left over. */
	if (!fl_delta_unpack(packer, bytes, length, NULL, &delta, &error))
		fl_delta_release(delta);
}

int LLVMFuzzerTestOneInput(const uint8_t *given, size_t length)
{
	static struct state_world world;
	static struct fl_packer *packers[2];
	static bool is_begun;
	bool has_dictionary = length && (given[0] & 1);
	uint8_t *bytes = malloc(length + !length);
	const uint8_t digest[FL__SHA256_BYTES] = { 1 };
	struct fl_snapshot *snapshot;
	uint64_t id;

	require(bytes != NULL, "no memory");
	if (!is_begun) {
		snapshot = snapshot_make(&world);
		/* No bytes are there to compute it of. */
		fl__kept_digest_set(&snapshot->digest, digest);
		packers[0] = packer_make(snapshot, false);
		packers[1] = packer_make(snapshot, true);
		is_begun = true;
	}
	if (length)
		memcpy(bytes, given, length);
	if (length >= HEAD) {
		memcpy(bytes, "FLZ\1", 4);
		id = fl__packer_dictionary(packers[has_dictionary]);
		for (unsigned int i = 0; i < 8; i++)
			bytes[4 + i] = (uint8_t)(id >> (8 * i));
	}
	try_one(packers[has_dictionary], bytes, length);
	free(bytes);
	return 0;
}
