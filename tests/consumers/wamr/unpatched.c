/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * unpatched.c - a WAMR that allocates memories by itself is refused before any
 * module is loaded into it.
 */
#include "tests/kit/conform.h"

#include <faultline-wamr.h>
#include <wasm_export.h>

static void is_refused(void)
{
	struct fl_error error = { .text = "" };
	struct fl_wamr_module *module;
	struct conform conform;

	conform_open(&conform, NULL);
	MUST(wasm_runtime_init());
	CHECK_EQ(fl_wamr_use(conform.pool, &error), -ENOTSUP);
	CHECK(strstr(error.text, "does not ask here") != NULL);
	CHECK_EQ(fl_wamr_load(conform.context, "\0asm\1\0\0", 8, &module,
			      &error),
		 -ENOTSUP);
	CHECK(module == NULL);
	wasm_runtime_destroy();
	conform_close(&conform);
}

static const struct test_case cases[] = {
	TEST_CASE(is_refused),
};

CONFORM_MAIN(cases)
