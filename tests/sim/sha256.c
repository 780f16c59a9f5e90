/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * sha256.c - SHA-256 against the vectors of the standard's examples and of
 * NIST's validation system, in one part and in many, by the processor's
 * instructions and without.
 */
#include "tests/kit/random.h"
#include "tests/kit/test.h"

#include "base/sha256.h"

#include <stdio.h>
#include <stdlib.h>

struct vector {
	const char *text; /* repeated */
	uint64_t repeat;
	const char *digest;
};

static const struct vector vectors[] = {
	{ "", 1,
	  "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" },
	{ "abc", 1,
	  "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" },
	{ "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 1,
	  "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1" },
	{ "abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmn"
	  "hijklmnoijklmnopjklmnopqklmnopqrlmnopqrsmnopqrstnopqrstu",
	  1,
	  "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1" },
	{ "a", 1000000,
	  "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0" },
	{ "\xbd", 1,
	  "68325720aabd7c82f30f554b313d0570c95accbb7dc4b5aae11204c08ffe732b" },
	{ "U", 1005,
	  "f4d62ddec0f3dd90ea1380fa16a5ff8dc4c54b21740650f24afc4120903552b0" },
};

static void init(struct fl__sha256 *sha, bool is_portable)
{
	fl__sha256_init(sha);
	if (!is_portable)
		return;
	sha->blocks = fl__sha256_blocks_portable;
	sha->pair = NULL;
}

static bool is_digest(const uint8_t *digest, const char *hex)
{
	char text[2 * FL__SHA256_BYTES + 1];

	for (size_t i = 0; i < FL__SHA256_BYTES; i++)
		snprintf(text + 2 * i, 3, "%02x", digest[i]);
	return !strcmp(text, hex);
}

static void check_vectors(bool is_portable)
{
	uint8_t digest[FL__SHA256_BYTES];
	struct fl__sha256 sha;

	for (size_t v = 0; v < TEST_ARRAY_SIZE(vectors); v++) {
		init(&sha, is_portable);
		for (uint64_t i = 0; i < vectors[v].repeat; i++)
			fl__sha256_add(&sha, vectors[v].text,
				       strlen(vectors[v].text));
		fl__sha256_end(&sha, digest);
		CHECK(is_digest(digest, vectors[v].digest));
	}
}

static void vectors_of_the_standard(void)
{
	check_vectors(true);
}

static void the_same_by_instructions(void)
{
	check_vectors(false);
}

/* 64 KiB of zeroes, a page of an image file. */
static void a_page_of_zeroes(void)
{
	uint8_t digest[FL__SHA256_BYTES], *page = calloc(1, 65536);
	struct fl__sha256 sha;

	MUST(page != NULL);
	fl__sha256_init(&sha);
	for (int round = 0; round < 2; round++) {
		fl__sha256_restart(&sha);
		fl__sha256_add(&sha, page, 65536);
		fl__sha256_end(&sha, digest);
		CHECK(is_digest(digest, "de2f256064a0af797747c2b97505dc0b"
					"9f3df0de4f489eac731c23ae9ca9cc31"));
	}
	free(page);
}

static void hash_parts(struct test_random *random, const uint8_t *bytes,
		       uint64_t len, bool is_portable, uint8_t *digest)
{
	struct fl__sha256 sha;

	init(&sha, is_portable);
	for (uint64_t done = 0; done < len;) {
		uint64_t part = test_random_below(random, 200);

		part = fl_min_u64(part, len - done);
		fl__sha256_add(&sha, bytes + done, part);
		done += part;
	}
	fl__sha256_end(&sha, digest);
}

/* Any length, cut anywhere, by either way. */
static void parts_make_the_whole(void)
{
	uint8_t bytes[1000], whole[FL__SHA256_BYTES], parts[FL__SHA256_BYTES];
	struct test_random random;
	struct fl__sha256 sha;

	test_random_init(&random, 256);
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)test_random_next(&random);
	for (uint64_t len = 0; len <= sizeof(bytes); len++) {
		init(&sha, true);
		fl__sha256_add(&sha, bytes, len);
		fl__sha256_end(&sha, whole);
		hash_parts(&random, bytes, len, true, parts);
		CHECK(!memcmp(whole, parts, sizeof(whole)));
		hash_parts(&random, bytes, len, false, parts);
		CHECK(!memcmp(whole, parts, sizeof(whole)));
	}
}

/* The ways to hash many: by the plain code alone, and with what the processor has. */
enum {
	WAY_PLAIN,
	WAY_PAIRS,
	WAY_LANES,
	WAY_ALL,
	WAYS
};

static void init_way(struct fl__sha256 *sha, int way)
{
	init(sha, way == WAY_PLAIN);
	if (way == WAY_PLAIN || way == WAY_PAIRS)
		sha->lanes = NULL;
	if (way == WAY_LANES)
		sha->pair = NULL;
}

#define MOST_MESSAGES 35

static void hash_many(const uint8_t *bytes, uint64_t len, size_t count, int way)
{
	uint8_t digests[MOST_MESSAGES + 1][FL__SHA256_BYTES];
	uint8_t digest[FL__SHA256_BYTES];
	struct fl__sha256 sha;

	memset(digests, 0x5a, sizeof(digests));
	init_way(&sha, way);
	fl__sha256_many(&sha, bytes, len, count, digests);
	for (size_t i = 0; i < count; i++) {
		init(&sha, true);
		fl__sha256_add(&sha, bytes + i * len, len);
		fl__sha256_end(&sha, digest);
		CHECK(!memcmp(digest, digests[i], sizeof(digest)));
	}
	for (size_t i = 0; i < FL__SHA256_BYTES; i++)
		CHECK_EQ(digests[count][i], 0x5a);
}

/* Many messages have the digests that each has alone, and no others are written. */
static void many_at_once(void)
{
	static const uint64_t lens[] = { 0, 1, 63, 64, 65, 512, 1000, 4096 };
	uint8_t *bytes = malloc(MOST_MESSAGES * 4096);
	struct test_random random;

	MUST(bytes != NULL);
	test_random_init(&random, 512);
	for (size_t i = 0; i < MOST_MESSAGES * 4096; i++)
		bytes[i] = (uint8_t)test_random_next(&random);
	for (int way = 0; way < WAYS; way++)
		for (size_t l = 0; l < TEST_ARRAY_SIZE(lens); l++)
			for (size_t count = 0; count <= MOST_MESSAGES; count++)
				hash_many(bytes, lens[l], count, way);
	free(bytes);
}

static const struct test_case cases[] = {
	TEST_CASE(vectors_of_the_standard),
	TEST_CASE(the_same_by_instructions),
	TEST_CASE(a_page_of_zeroes),
	TEST_CASE(parts_make_the_whole),
	TEST_CASE(many_at_once),
};

int main(int argc, char **argv)
{
	return test_main(argc, argv, cases, TEST_ARRAY_SIZE(cases), NULL, 0);
}
