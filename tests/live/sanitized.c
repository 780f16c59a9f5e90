/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * sanitized.c - a host that was built with a sanitizer, and a library that was not.
 *
 * A sanitizer's runtime library makes system calls of its own in each thread, also
 * when a thread ends: under the filter of the threads that load these failed, and
 * the host waited for ever for such a thread. One function that a runtime library
 * defines stands here for all of it.
 */
#include "tests/kit/conform.h"

void __hwasan_init(void);
__attribute__((weak)) void __hwasan_init(void)
{
}

static void threads_are_not_confined(void)
{
	struct fl_feature feature = { .size = sizeof(feature) };
	struct fl_context *context = conform_context();
	uint32_t i = 0;

	while (!fl_context_feature(context, i, &feature) &&
	       strcmp(feature.name, "seccomp-filter"))
		i++;
	CHECK(!strcmp(feature.name, "seccomp-filter"));
	CHECK_EQ(feature.support, FL_SUPPORT_UNTRIED);
	CHECK_HAS(feature.reason, "a sanitizer");
	fl_context_destroy(context);
}

static const struct test_case cases[] = {
	TEST_CASE_NEEDS(threads_are_not_confined, conform_needs_lazy),
};

int main(int argc, char **argv)
{
	return test_main(argc, argv, cases, TEST_ARRAY_SIZE(cases),
			 conform_best_rung(), 1);
}
