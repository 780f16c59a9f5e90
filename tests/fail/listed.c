/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * listed.c - each error that faultline.h lists for a call is one that the call gives,
 * and each that a call gives is listed.
 *
 * The files listed_*.c have the cases that provoke errors. What calls answer there is
 * noted for all rungs together, because some errors can be had on some rungs alone.
 * On the last rung nothing may be missing, but what `not_here` has.
 */
#define _GNU_SOURCE
#include "answers.h"
#include "listed.h"

#include <sys/mman.h>

/* What no test can provoke, and why. */
static const struct {
	const char *call, *code, *why;
} not_here[] = {
#define NO_ROOM \
	"a snapshot with more than 1 GiB of state takes as much memory twice"
	{ "fl_snapshot_write", "E2BIG", NO_ROOM },
	{ "fl_snapshot_write_as", "E2BIG", NO_ROOM },
	{ "fl_snapshot_digest", "E2BIG", NO_ROOM },
	{ "fl_delta_open", "E2BIG", NO_ROOM },
	{ "fl_packer_create", "E2BIG", NO_ROOM },
#define NO_ZSTD "the library has libzstd, or has none of what goes with it"
	{ "fl_image_write_as", "ENOTSUP", NO_ZSTD },
	{ "fl_snapshot_write_as", "ENOTSUP", NO_ZSTD },
	{ "fl_packer_create", "ENOTSUP", NO_ZSTD },
	{ "fl_packer_train", "ENOTSUP", NO_ZSTD },
	{ "fl_pool_wait_fd", "ENOTSUP", "Linux has event descriptors" },
};

/* Bits by error.def, of each call of answers. Shared with forked children. */
static uint32_t *seen;
/* Cases that have run. */
static uint32_t *ran;

struct fl_error listed_error;
static const char *lacking;

static const char *const codes[] = {
#define FL_ERROR(code, meaning) #code,
#include "base/error.def"
#undef FL_ERROR
};

static uint32_t code_bit(int err)
{
	const char *code = answer_code(err);

	for (uint32_t i = 0; i < TEST_ARRAY_SIZE(codes); i++)
		if (!strcmp(code, codes[i]))
			return UINT32_C(1) << i;
	return 0;
}

int listed_note(const char *call, int err, const struct fl_error *error)
{
	size_t len = strcspn(call, "(");

	if (!err)
		return 0;
	check_answer(call, err);
	if (error) {
		CHECK_EQ(error->code, err);
		CHECK(error->text[0] != '\0');
	}
	for (size_t i = 0; i < TEST_ARRAY_SIZE(answers); i++)
		if (strlen(answers[i].call) == len &&
		    !memcmp(answers[i].call, call, len)) {
			seen[i] |= code_bit(err);
		}
	return err;
}

void listed_row(const char *call, int err, int wanted,
		const struct fl_error *error)
{
	if (!CHECK_EQ(err, wanted))
		test_note("%s answers %d", call, err);
	listed_note(call, err, error);
}

void listed_lacks(const char *what)
{
	if (test_rung == conform_rungs)
		lacking = what;
}

static bool is_not_here(const char *call, const char *code)
{
	for (size_t i = 0; i < TEST_ARRAY_SIZE(not_here); i++)
		if (!strcmp(not_here[i].call, call) &&
		    !strcmp(not_here[i].code, code))
			return true;
	return false;
}

static void check_call(size_t idx)
{
	char word[40];

	for (size_t i = 0; i < TEST_ARRAY_SIZE(codes); i++) {
		bool is_seen = seen[idx] & UINT32_C(1) << i;

		snprintf(word, sizeof(word), " %s ", codes[i]);
		if (!strstr(answers[idx].codes, word) ||
		    is_seen != is_not_here(answers[idx].call, codes[i]))
			continue;
		CHECK(!"an error that is listed was seen, or is not here");
		test_note("%s() lists -%s, which %s", answers[idx].call,
			  codes[i], is_seen ? "can be had" : "no case has got");
	}
}

#define ONE(name) +1
#define CASES (LISTED_CASES(ONE))

/* What some errors need, NULL if nothing lacks. */
static const char *lacks(void)
{
	if (*ran < CASES * TEST_ARRAY_SIZE(conform_rungs))
		return "not all cases have run on all rungs";
	if (!FL_WITH_UFFD)
		return "the library was built without the engine";
	if (test_needs_zstd())
		return test_needs_zstd();
	if (access("/proc/pressure/memory", R_OK))
		return "the kernel has no pressure files";
	return lacking;
}

static void each_is_had(void)
{
	if (test_rung != &conform_rungs[TEST_ARRAY_SIZE(conform_rungs) - 1])
		return;
	if (lacks()) {
		test_note("lists are not compared: %s", lacks());
		return;
	}
	for (size_t i = 0; i < TEST_ARRAY_SIZE(answers); i++)
		check_call(i);
}

#define COUNTED(name)                  \
	static void count_##name(void) \
	{                              \
		name();                \
		++*ran;                \
	}
LISTED_CASES(COUNTED)

#define CASE(name) { #name, count_##name, NULL },
static const struct test_case cases[] = { LISTED_CASES(CASE)
						  TEST_CASE(each_is_had) };

int main(int argc, char **argv)
{
	size_t len = sizeof(*seen) * (TEST_ARRAY_SIZE(answers) + 1);

	seen = mmap(NULL, len, PROT_READ | PROT_WRITE,
		    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (seen == MAP_FAILED)
		return 1;
	ran = seen + TEST_ARRAY_SIZE(answers);
	return test_main(argc, argv, cases, TEST_ARRAY_SIZE(cases),
			 conform_rungs, TEST_ARRAY_SIZE(conform_rungs));
}
