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
#include "tests/fuzz/replay.h"
#include "tests/kit/state_bytes.h"

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
