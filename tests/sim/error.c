/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * error.c - the closed set of errors: every row of error.def has its
 * sentence, nothing else has one, and no sentence says the same as another.
 */
#include "tests/kit/test.h"

#include "base/error.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static const struct {
	int code;
	const char *meaning;
} rows[] = {
#define FL_ERROR(code, meaning) { code, meaning },
#include "base/error.def"
#undef FL_ERROR
};

static bool is_in_set(int code)
{
	for (size_t i = 0; i < TEST_ARRAY_SIZE(rows); i++) {
		if (rows[i].code == code)
			return true;
	}
	return false;
}

static void every_row_has_its_sentence(void)
{
	for (size_t i = 0; i < TEST_ARRAY_SIZE(rows); i++) {
		CHECK(rows[i].code > 0);
		CHECK(!strcmp(fl_strerror(-rows[i].code), rows[i].meaning));
		for (size_t k = 0; k < i; k++) {
			CHECK(rows[i].code != rows[k].code);
			CHECK(strcmp(rows[i].meaning, rows[k].meaning));
		}
	}
}

static void other_numbers_have_none(void)
{
	for (int number = -300; number < 300; number++) {
		if (number && !is_in_set(-number))
			CHECK(!strcmp(fl_strerror(number), "unknown error"));
	}
	CHECK(strcmp(fl_strerror(0), "unknown error"));
	CHECK(!strcmp(fl_strerror(-2147483647 - 1), "unknown error"));
	CHECK(!strcmp(fl_strerror(2147483647), "unknown error"));
}

/* What the public header names must be in the set. */
static void set_is_what_the_header_says(void)
{
	static const int named[] = { EINVAL, ENOEXEC, ENOTSUP,	 E2BIG,
				     ENOMEM, EPERM,   EBUSY,	 EAGAIN,
				     EFAULT, ECHILD,  ETIMEDOUT, EIO };

	CHECK_EQ(TEST_ARRAY_SIZE(rows), TEST_ARRAY_SIZE(named));
	for (size_t i = 0; i < TEST_ARRAY_SIZE(named); i++)
		CHECK(is_in_set(named[i]));
}

/* Something is used up that the set has no number of its own for. */
static bool is_exhaustion(int number)
{
	return number == ENOMEM || number == EMFILE || number == ENFILE ||
	       number == EFBIG || number == ENOSPC || number == EDQUOT ||
	       number == EAGAIN;
}

/* EAGAIN is the pool's word for "no slot now", EFAULT a trap's, EINVAL one for the
 * caller's argument: never the kernel's. */
static void kernel_numbers_fold_into_the_set(void)
{
	CHECK_EQ(fl__error_fold(0), 0);
	for (int number = 1; number < 200; number++)
		CHECK_EQ(fl__error_fold(-number),
			 is_exhaustion(number)		     ? -ENOMEM :
			 number == EPERM || number == EACCES ? -EPERM :
							       -EIO);
}

static void answers_of_the_runtime_stay_in_the_set(void)
{
	for (int number = -200; number < 200; number++)
		CHECK_EQ(fl__error_answer(number),
			 number < 0 && is_in_set(-number) ? number : -EIO);
}

static void setting_an_error(void)
{
	struct fl_error error;

	CHECK_EQ(fl__error_set(NULL, -EINVAL, "%d", 1), -EINVAL);
	memset(&error, 0x5a, sizeof(error));
	CHECK_EQ(fl__error_set(&error, -E2BIG, "raise %s", "it"), -E2BIG);
	CHECK_EQ(error.code, -E2BIG);
	CHECK_EQ(error.trap, FL_TRAP_NONE);
	CHECK_EQ(error.byte_off, FL_ERROR_NO_OFFSET);
	CHECK(!strcmp(error.text, "raise it"));
	CHECK_EQ(fl__error_set_at(&error, -ENOEXEC, 17, "here"), -ENOEXEC);
	CHECK_EQ(error.byte_off, 17);
	CHECK_EQ(fl__error_set_trap(&error, FL_TRAP_MEMORY_OUT_OF_BOUNDS, "x"),
		 -EFAULT);
	CHECK_EQ(error.code, -EFAULT);
	CHECK_EQ(error.trap, FL_TRAP_MEMORY_OUT_OF_BOUNDS);
	CHECK_EQ(error.byte_off, FL_ERROR_NO_OFFSET);
}

static void long_sentences_are_cut(void)
{
	struct fl_error error;
	char text[1000];

	memset(text, 'a', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	CHECK_EQ(fl__error_set(&error, -EINVAL, "%s", text), -EINVAL);
	CHECK_EQ(strlen(error.text), sizeof(error.text) - 1);
}

static void names_of_traps(void)
{
	CHECK(!strcmp(fl_trap_name(FL_TRAP_NONE), "none"));
	CHECK(!strcmp(fl_trap_name(FL_TRAP_MEMORY_OUT_OF_BOUNDS),
		      "out of bounds memory access"));
	CHECK(!strcmp(fl_trap_name(FL_TRAP_TABLE_OUT_OF_BOUNDS),
		      "out of bounds table access"));
	CHECK(fl_trap_name((enum fl_trap)77) != NULL);
}

static void version_is_three_numbers(void)
{
	unsigned int major, minor, patch;
	char rest;

	CHECK_EQ(sscanf(fl_version(), "%u.%u.%u%c", &major, &minor, &patch,
			&rest),
		 3);
}

static const struct test_case cases[] = {
	TEST_CASE(every_row_has_its_sentence),
	TEST_CASE(other_numbers_have_none),
	TEST_CASE(set_is_what_the_header_says),
	TEST_CASE(kernel_numbers_fold_into_the_set),
	TEST_CASE(answers_of_the_runtime_stay_in_the_set),
	TEST_CASE(setting_an_error),
	TEST_CASE(long_sentences_are_cut),
	TEST_CASE(names_of_traps),
	TEST_CASE(version_is_three_numbers),
};

int main(int argc, char **argv)
{
	return test_main(argc, argv, cases, TEST_ARRAY_SIZE(cases), NULL, 0);
}
