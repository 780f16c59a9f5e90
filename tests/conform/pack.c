/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * pack.c - deltas packed for a store come back as they were, and what was packed is
 * hostile input.
 *
 * Sessions write records of one form into a memory, as programs do. Without libzstd
 * the calls say what is missing, which is a case of its own.
 */
#define _GNU_SOURCE
#include "tests/kit/conform_module.h"
#include "tests/kit/delta_bytes.h"
#include "tests/kit/random.h"

#include <pthread.h>
#include <stdlib.h>

#define SESSIONS 200
#define RECORDS 30
#define RECORD_BYTES 96
#define DICTIONARY_BYTES 8192
#define HEAD 12

struct world {
	struct conform conform;
	struct test_random random;
	struct fl_module *module;
	struct fl_snapshot *snapshot;
	struct fl_delta *deltas[SESSIONS];
	uint8_t *dictionary;
	uint64_t dictionary_bytes;
};

static struct fl_snapshot *snapshot_make(struct world *w, uint8_t value)
{
	struct fl_snapshot_parts parts = FL_SNAPSHOT_PARTS_INIT;
	struct fl_segment segment = { 5000, &value, 1 };
	struct fl_error error = { .text = "" };
	struct fl_snapshot *snapshot;
	struct fl_image *image;

	image = conform_image(&w->conform, 2 * WPAGE, &segment, 1);
	parts.module = w->module;
	parts.images = &image;
	parts.image_count = 1;
	CONFORM_MUST(fl_snapshot_create(&parts, &snapshot, &error), &error);
	fl_image_release(image);
	return snapshot;
}

static struct fl_delta *session_make(struct world *w, uint32_t who)
{
	struct fl_delta_parts parts = FL_DELTA_PARTS_INIT;
	struct fl_error error = { .text = "" };
	struct fl_delta *delta;
	struct fl_memory *memory;

	memory = conform_take(&w->conform, fl_snapshot_image(w->snapshot, 0, 0),
			      0);
	for (uint32_t i = 0; i < RECORDS; i++)
		snprintf(
			(char *)memory->base + 1000 + RECORD_BYTES * i,
			RECORD_BYTES,
			"{\"event\": %u, \"session\": \"name of %u\", \"kind\": \"%s\", \"price\": %u}",
			i, who, i % 3 ? "bought" : "looked at",
			(uint32_t)test_random_below(&w->random, 10000));
	parts.snapshot = w->snapshot;
	parts.memories = &memory;
	parts.memory_count = 1;
	memcpy(parts.tag, &who, sizeof(who));
	CONFORM_MUST(fl_memory_suspend(&parts, &delta, &error), &error);
	return delta;
}

static void world_open(struct world *w)
{
	struct wasm_parts parts = { 0 };
	struct wasm built = { 0 };

	memset(w, 0, sizeof(*w));
	test_random_init(&w->random, 3);
	conform_open(&w->conform, NULL);
	wasm_limits(wasm_add(&parts, WASM_MEMORY), 1, 1, 16);
	wasm_parts_build(&parts, &built);
	w->module = module_load(&w->conform, &built);
	w->snapshot = snapshot_make(w, 7);
	for (uint32_t i = 0; i < SESSIONS; i++)
		w->deltas[i] = session_make(w, i);
}

static void world_close(struct world *w)
{
	for (uint32_t i = 0; i < SESSIONS; i++)
		fl_delta_release(w->deltas[i]);
	free(w->dictionary);
	fl_snapshot_release(w->snapshot);
	fl_module_release(w->module);
	conform_close(&w->conform);
}

static void world_train(struct world *w)
{
	struct fl_error error = { .text = "" };

	w->dictionary = malloc(DICTIONARY_BYTES);
	MUST(w->dictionary != NULL);
	w->dictionary_bytes = DICTIONARY_BYTES;
	CONFORM_MUST(fl_packer_train(w->deltas, SESSIONS, w->dictionary,
				     &w->dictionary_bytes, &error),
		     &error);
	CHECK(w->dictionary_bytes <= DICTIONARY_BYTES);
}

static struct fl_packer *packer_make(struct world *w, bool has_dictionary)
{
	struct fl_packer_config config = FL_PACKER_CONFIG_INIT;
	struct fl_error error = { .text = "" };
	struct fl_packer *packer = NULL;

	config.snapshot = w->snapshot;
	config.dictionary = has_dictionary ? w->dictionary : NULL;
	config.dictionary_bytes = has_dictionary ? w->dictionary_bytes : 0;
	CONFORM_MUST(fl_packer_create(&config, &packer, &error), &error);
	return packer;
}

/* In an allocation of exactly their size. */
static uint8_t *pack(struct fl_packer *packer, const struct fl_delta *delta,
		     uint64_t *len)
{
	struct fl_error error = { .text = "" };
	uint8_t *bytes;

	CHECK_EQ(fl_delta_pack(packer, delta, NULL, len, &error), 0);
	bytes = malloc(*len);
	MUST(bytes != NULL);
	CONFORM_MUST(fl_delta_pack(packer, delta, bytes, len, &error), &error);
	bytes = realloc(bytes, *len);
	MUST(bytes != NULL);
	return bytes;
}

static bool is_same(const struct fl_delta *a, const struct fl_delta *b)
{
	uint64_t a_len, b_len;
	const void *a_bytes = fl_delta_bytes(a, &a_len);
	const void *b_bytes = fl_delta_bytes(b, &b_len);

	return a_len == b_len && !memcmp(a_bytes, b_bytes, a_len);
}

static uint64_t packed_bytes_of_all(struct world *w, struct fl_packer *packer)
{
	uint64_t sum = 0, len;

	for (uint32_t i = 0; i < SESSIONS; i++) {
		uint8_t *bytes = pack(packer, w->deltas[i], &len);
		struct fl_error error = { .text = "" };
		struct fl_delta *delta;
		uint8_t tag[32] = { (uint8_t)i, (uint8_t)(i >> 8) };

		CONFORM_MUST(fl_delta_unpack(packer, bytes, len, tag, &delta,
					     &error),
			     &error);
		CHECK(is_same(delta, w->deltas[i]));
		fl_delta_release(delta);
		free(bytes);
		sum += len;
	}
	return sum / SESSIONS;
}

static void packed_is_what_was(void)
{
	struct fl_packer *plain, *trained;
	uint64_t whole, without, with;
	struct world w;

	world_open(&w);
	world_train(&w);
	plain = packer_make(&w, false);
	trained = packer_make(&w, true);
	(void)fl_delta_bytes(w.deltas[0], &whole);
	without = packed_bytes_of_all(&w, plain);
	with = packed_bytes_of_all(&w, trained);
	test_note("%ju bytes, packed %ju, with a dictionary %ju",
		  (uintmax_t)whole, (uintmax_t)without, (uintmax_t)with);
	CHECK(without < whole / 2 && with < without * 3 / 4);
	fl_packer_destroy(trained);
	fl_packer_destroy(plain);
	world_close(&w);
}

/* A session wakes by what was packed. */
static void what_was_packed_wakes(void)
{
	struct fl_error error = { .text = "" };
	struct fl_memory *memory;
	struct fl_packer *packer;
	struct fl_delta *delta;
	struct world w;
	uint8_t *bytes;
	uint64_t len;

	world_open(&w);
	packer = packer_make(&w, false);
	bytes = pack(packer, w.deltas[4], &len);
	CONFORM_MUST(fl_delta_unpack(packer, bytes, len, NULL, &delta, &error),
		     &error);
	fl_packer_destroy(packer);
	free(bytes);
	memory = conform_take(&w.conform, fl_snapshot_image(w.snapshot, 0, 0),
			      0);
	CONFORM_MUST(fl_delta_restore_memory(delta, 0, memory, &error), &error);
	CHECK(memmem(memory->base, 1200, "name of 4\"", 10) != NULL);
	CHECK_EQ(memory->base[5000], 7);
	conform_give(memory);
	fl_delta_release(delta);
	world_close(&w);
}

#define CHECK_REFUSED(call, code, words)        \
	do {                                    \
		error = (struct fl_error){ 0 }; \
		CHECK_EQ(call, code);           \
		CHECK_HAS(error.text, words);   \
	} while (0)

static void dictionaries_are_named(void)
{
	struct fl_packed_info info = FL_SIZED(info);
	struct fl_packer *plain, *trained;
	struct fl_delta *delta = NULL;
	struct fl_error error;
	char name[32];
	struct world w;
	uint8_t *bytes;
	uint64_t len;

	world_open(&w);
	world_train(&w);
	plain = packer_make(&w, false);
	trained = packer_make(&w, true);
	bytes = pack(trained, w.deltas[0], &len);
	CHECK_EQ(fl_packed_info(bytes, len, &info, &error), 0);
	CHECK(info.dictionary_id != 0);
	snprintf(name, sizeof(name), "%016jx", (uintmax_t)info.dictionary_id);
	CHECK_REFUSED(fl_delta_unpack(plain, bytes, len, NULL, &delta, &error),
		      -EINVAL, name);
	CHECK_HAS(error.text, "has none");
	/* Another one, which begins in the same way. */
	fl_packer_destroy(plain);
	w.dictionary[w.dictionary_bytes - 1] ^= 1;
	plain = packer_make(&w, true);
	CHECK_REFUSED(fl_delta_unpack(plain, bytes, len, NULL, &delta, &error),
		      -EINVAL, name);
	fl_packer_destroy(plain);
	free(bytes);
	plain = packer_make(&w, false);
	bytes = pack(plain, w.deltas[0], &len);
	CHECK_EQ(fl_packed_info(bytes, len, &info, &error), 0);
	CHECK_EQ(info.dictionary_id, 0);
	CHECK_REFUSED(fl_delta_unpack(trained, bytes, len, NULL, &delta,
				      &error),
		      -EINVAL, "without a dictionary");
	CHECK(delta == NULL);
	free(bytes);
	fl_packer_destroy(trained);
	fl_packer_destroy(plain);
	world_close(&w);
}

static void what_is_refused(void)
{
	struct fl_packer_config config = FL_PACKER_CONFIG_INIT;
	struct fl_packer *packer = NULL, *other = NULL;
	struct fl_delta *delta = NULL, *mixed[SESSIONS];
	struct fl_snapshot *snapshot;
	struct fl_error error;
	uint8_t buffer[2048], tag[32] = { 9 };
	uint64_t len, whole;
	uint8_t *bytes;
	struct world w;

	world_open(&w);
	snapshot = snapshot_make(&w, 8);
	CHECK_REFUSED(fl_packer_create(&config, &packer, &error), -EINVAL,
		      "snapshot");
	config.snapshot = snapshot;
	config.dictionary = buffer;
	CHECK_REFUSED(fl_packer_create(&config, &packer, &error), -EINVAL,
		      "dictionary_bytes");
	/* It says that it is one of zstd's, and is not. */
	memcpy(buffer, "\x37\xa4\x30\xec damaged", 12);
	config.dictionary_bytes = 12;
	CHECK_REFUSED(fl_packer_create(&config, &packer, &error), -EINVAL,
		      "damaged");
	config.dictionary = NULL;
	config.dictionary_bytes = 0;
	config.level = 99;
	CHECK_REFUSED(fl_packer_create(&config, &packer, &error), -EINVAL,
		      "level");
	CHECK(packer == NULL);
	config.level = 1;
	CONFORM_MUST(fl_packer_create(&config, &other, &error), &error);
	len = sizeof(buffer);
	CHECK_REFUSED(fl_delta_pack(other, w.deltas[0], buffer, &len, &error),
		      -EINVAL, "another snapshot");
	fl_packer_destroy(other);
	(void)fl_delta_bytes(w.deltas[0], &whole);
	config.snapshot = w.snapshot;
	config.max_delta_bytes = whole - 1;
	CONFORM_MUST(fl_packer_create(&config, &other, &error), &error);
	packer = packer_make(&w, false);
	bytes = pack(packer, w.deltas[0], &len);
	CHECK_REFUSED(fl_delta_unpack(other, bytes, len, NULL, &delta, &error),
		      -E2BIG, "max_delta_bytes");
	CHECK_REFUSED(fl_delta_pack(other, w.deltas[0], bytes, &len, &error),
		      -E2BIG, "max_delta_bytes");
	CHECK_REFUSED(fl_delta_unpack(packer, bytes, len, tag, &delta, &error),
		      -EINVAL, "tag");
	free(bytes);
	for (len = 0; len < 40; len += 4) {
		uint64_t room = len;

		CHECK_REFUSED(fl_delta_pack(packer, w.deltas[0], buffer, &room,
					    &error),
			      -E2BIG, "too small");
	}
	len = sizeof(buffer);
	CHECK_REFUSED(fl_packer_train(w.deltas, 1, buffer, &len, &error),
		      -EINVAL, "more deltas");
	len = 100;
	CHECK_REFUSED(fl_packer_train(w.deltas, SESSIONS, buffer, &len, &error),
		      -EINVAL, "1024");
	CHECK(delta == NULL);
	fl_packer_destroy(other);
	fl_packer_destroy(packer);
	/* What is of two snapshots makes no dictionary. */
	memcpy(mixed, w.deltas, sizeof(mixed));
	fl_snapshot_release(w.snapshot);
	w.snapshot = snapshot;
	mixed[5] = session_make(&w, 5);
	len = sizeof(buffer);
	CHECK_REFUSED(fl_packer_train(mixed, SESSIONS, buffer, &len, &error),
		      -EINVAL, "deltas[5]");
	fl_delta_release(mixed[5]);
	world_close(&w);
}

/* -------------------------------------------------------------- hostile bytes */

/* Taken: as it was, whatever was changed. */
static bool try_bytes(struct fl_packer *packer, const uint8_t *given,
		      uint64_t len, const struct fl_delta *was)
{
	struct fl_error error = { .text = "" };
	struct fl_delta *delta = NULL;
	uint8_t *bytes = malloc(len + !len);
	int err;

	MUST(bytes != NULL);
	if (len)
		memcpy(bytes, given, len);
	err = fl_delta_unpack(packer, bytes, len, NULL, &delta, &error);
	free(bytes);
	CHECK_EQ(err != 0, delta == NULL);
	CHECK(!err || error.text[0]);
	CHECK(err == 0 || err == -ENOEXEC || err == -EINVAL ||
	      err == -ENOTSUP || err == -E2BIG);
	CHECK(err || is_same(delta, was));
	fl_delta_release(delta);
	return !err;
}

static void hostile(bool has_dictionary)
{
	long changes = test_is_sanitized() ? 500 : 4000;
	struct fl_packer *packer;
	struct world w;
	uint8_t *bytes, *copy;
	uint64_t len;

	world_open(&w);
	if (has_dictionary)
		world_train(&w);
	packer = packer_make(&w, has_dictionary);
	bytes = pack(packer, w.deltas[0], &len);
	copy = malloc(len + 1);
	MUST(copy != NULL);
	for (uint64_t cut = 0; cut < len; cut++)
		CHECK(!try_bytes(packer, bytes, cut, w.deltas[0]));
	memcpy(copy, bytes, len);
	copy[len] = 0;
	CHECK(!try_bytes(packer, copy, len + 1, w.deltas[0]));
	for (long i = 0; i < changes && !test_has_failed(); i++) {
		uint64_t times = 1 + test_random_below(&w.random, 3);

		memcpy(copy, bytes, len);
		while (times--)
			copy[test_random_below(&w.random, len)] ^=
				(uint8_t)(1 +
					  test_random_below(&w.random, 255));
		(void)try_bytes(packer, copy, len, w.deltas[0]);
	}
	free(copy);
	free(bytes);
	fl_packer_destroy(packer);
	world_close(&w);
}

static void changed_bytes(void)
{
	hostile(false);
}

static void changed_bytes_with_a_dictionary(void)
{
	hostile(true);
}

/* ------------------------------------------------------------------- threads */

struct sharer {
	struct world *world;
	struct fl_packer *packer;
	uint32_t first;
	bool is_right;
};

static void *share(void *arg)
{
	struct sharer *sharer = arg;
	struct world *w = sharer->world;
	uint8_t buffer[8192];

	sharer->is_right = true;
	for (uint32_t i = 0; i < SESSIONS; i++) {
		const struct fl_delta *delta =
			w->deltas[(i + sharer->first) % SESSIONS];
		uint64_t len = sizeof(buffer);
		struct fl_delta *back = NULL;

		sharer->is_right &= !fl_delta_pack(sharer->packer, delta,
						   buffer, &len, NULL) &&
				    !fl_delta_unpack(sharer->packer, buffer,
						     len, NULL, &back, NULL) &&
				    is_same(back, delta);
		fl_delta_release(back);
	}
	return NULL;
}

static void threads_share_a_packer(void)
{
	struct sharer sharers[3];
	pthread_t threads[3];
	struct fl_packer *packer;
	struct world w;

	world_open(&w);
	world_train(&w);
	packer = packer_make(&w, true);
	for (uint32_t i = 0; i < 3; i++) {
		sharers[i] = (struct sharer){ &w, packer, i * 50, false };
		MUST_EQ(pthread_create(&threads[i], NULL, share, &sharers[i]),
			0);
	}
	for (uint32_t i = 0; i < 3; i++) {
		pthread_join(threads[i], NULL);
		CHECK(sharers[i].is_right);
	}
	fl_packer_destroy(packer);
	world_close(&w);
}

/* ---------------------------------------------------------- without libzstd */

static const char *needs_zstd(void)
{
	struct fl_packed_info info = FL_SIZED(info);

	return fl_packed_info(NULL, 0, &info, NULL) == -ENOTSUP ? TEST_NOT_BUILT
		       "libzstd is not there" :
								  NULL;
}

static void without_libzstd(void)
{
	struct fl_packer_config config = FL_PACKER_CONFIG_INIT;
	struct fl_packed_info info = FL_SIZED(info);
	struct fl_packer *packer = NULL;
	struct fl_error error;
	uint64_t len = 0;

	if (!needs_zstd())
		return;
	CHECK_REFUSED(fl_packer_create(&config, &packer, &error), -ENOTSUP,
		      "libzstd-dev");
	CHECK_REFUSED(fl_packer_train(NULL, 0, NULL, &len, &error), -ENOTSUP,
		      "libzstd-dev");
	CHECK_REFUSED(fl_packed_info(NULL, 0, &info, &error), -ENOTSUP,
		      "libzstd-dev");
	fl_packer_destroy(packer);
}

static const struct test_case cases[] = {
	TEST_CASE_NEEDS(packed_is_what_was, needs_zstd),
	TEST_CASE_NEEDS(what_was_packed_wakes, needs_zstd),
	TEST_CASE_NEEDS(dictionaries_are_named, needs_zstd),
	TEST_CASE_NEEDS(what_is_refused, needs_zstd),
	TEST_CASE_NEEDS(changed_bytes, needs_zstd),
	TEST_CASE_NEEDS(changed_bytes_with_a_dictionary, needs_zstd),
	TEST_CASE_NEEDS(threads_share_a_packer, needs_zstd),
	TEST_CASE(without_libzstd),
};

CONFORM_MAIN(cases)
