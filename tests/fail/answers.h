/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * answers.h - is an error one of those that faultline.h lists for the call?
 * errors.awk makes the rows of the header's comments.
 */
#ifndef TEST_FAIL_ANSWERS_H
#define TEST_FAIL_ANSWERS_H

#include "tests/kit/test.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static const struct {
	const char *call, *codes;
} answers[] = {
#include "tests/fail/errors.inc"
};

static inline const char *answer_code(int err)
{
	switch (-err) {
#define FL_ERROR(code, meaning) \
	case code:              \
		return #code;
#include "base/error.def"
#undef FL_ERROR
	}
	return "an error of no name";
}

/* call begins with the name of the call, as a program writes it. */
static inline void check_answer(const char *call, int err)
{
	size_t len = strcspn(call, "(");
	char code[40];

	snprintf(code, sizeof(code), " %s ", answer_code(err));
	for (size_t i = 0; i < TEST_ARRAY_SIZE(answers); i++) {
		if (strlen(answers[i].call) != len ||
		    memcmp(answers[i].call, call, len))
			continue;
		if (!CHECK(strstr(answers[i].codes, code) != NULL))
			test_note("%s() answers -%s, and its list has%s",
				  answers[i].call, answer_code(err),
				  answers[i].codes);
		return;
	}
	CHECK(!"a call of faultline.h");
	test_note("no call: %s", call);
}

#endif
