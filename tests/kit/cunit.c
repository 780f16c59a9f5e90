/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/* cunit.c - leaves running and counting to CUnit's registry; see runner.h. */
#include "runner.h"

#include <CUnit/CUnit.h>
#include <CUnit/TestDB.h>
#include <CUnit/TestRun.h>
#include <stdio.h>
#include <string.h>

static const struct runner_calls *runner_calls;

static void set_up(void)
{
	runner_calls->begin(CU_get_current_suite()->pName,
			    CU_get_current_test()->pName);
}

static void tear_down(void)
{
	runner_calls->end();
}

static void completed(const CU_pTest test, const CU_pSuite suite,
		      const CU_pFailureRecord failure)
{
	runner_calls->done(suite->pName, test->pName, failure);
}

bool runner_open(const struct runner_calls *calls)
{
	runner_calls = calls;
	if (CU_initialize_registry() != CUE_SUCCESS)
		return false;
	CU_set_error_action(CUEA_IGNORE);
	CU_set_test_complete_handler(completed);
	return true;
}

bool runner_add(const char *suite, const char *name, void (*fn)(void))
{
	static CU_pSuite last;

	if (!last || strcmp(last->pName, suite))
		last = CU_add_suite_with_setup_and_teardown(suite, NULL, NULL,
							    set_up, tear_down);
	if (last && CU_add_test(last, name, fn))
		return true;
	printf("CUnit: %s\n", CU_get_error_msg());
	return false;
}

struct runner_counts runner_run(void)
{
	CU_run_all_tests();
	return (struct runner_counts){ CU_get_number_of_tests_run(),
				       CU_get_number_of_tests_failed(), 0 };
}

void runner_close(void)
{
	CU_cleanup_registry();
}

void runner_fail(bool is_fatal, const char *file, int line, const char *text)
{
	CU_assertImplementation(CU_FALSE, (unsigned int)line, text, file, "",
				is_fatal ? CU_TRUE : CU_FALSE);
}

unsigned int runner_failures(void)
{
	return CU_get_number_of_failures();
}
