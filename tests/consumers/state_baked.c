/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * state_baked.c - instances of a module that `wasm-image bake` made of
 * modules/state.wat and the snapshot of a used instance.
 *
 * state_bytes wrote the snapshot, and wasm2c and the compiler have made this
 * program's module of what was baked: stock wasm2c, which knows nothing of
 * snapshots. An instance answers as the clones of state_bytes.c do, with imports
 * of its own, from the moment that it is instantiated.
 */
#include "tests/kit/test.h"

#include "rt_threadlocal.h"
#include "state_used.h"
#include "traps.h"

static void instances_begin_as_used(void)
{
	struct guest first, second;

	guest_open(&first, 7000);
	guest_open(&second, 8000);
	used_check(&first, 7000, NULL);
	used_check(&second, 8000, NULL);
	/* What one does the other does not see. */
	Z_stateZ_put(&first.instance, 3, 0);
	used_check_null(&first, 3);
	used_check_call(&second, 3, 8);
	guest_close(&first);
	used_check(&second, 8000, NULL);
	guest_close(&second);
}

/* The memories, and the table of the importer, have what they had. */
static void the_rest_is_as_it_was(void)
{
	struct guest guest;

	guest_open(&guest, 1);
	CHECK(!memcmp(guest.instance.w2c_M1.data + 4, "first", 5));
	CHECK_EQ(guest.instance.w2c_M1.pages, 1);
	CHECK(!memcmp(Z_stateZ_secondZ20memory(&guest.instance)->data + 70000,
		      "second", 6));
	CHECK(guest.env.table.data[0].func == NULL);
	CHECK(guest.env.table.data[1].func != NULL);
	CHECK_EQ(guest.env.counter, 0);
	guest_close(&guest);
}

/* Tables grow to the maximum that they had. */
static void tables_keep_their_maximum(void)
{
	struct guest guest;

	guest_open(&guest, 1);
	CHECK_EQ(Z_stateZ_grow(&guest.instance, 7), 13);
	CHECK_EQ(Z_stateZ_grow(&guest.instance, 1), UINT32_MAX);
	CHECK_EQ(Z_stateZ_grow_hosts(&guest.instance, 2), 7);
	CHECK_EQ(Z_stateZ_grow_hosts(&guest.instance, 1), UINT32_MAX);
	guest_close(&guest);
}

static const struct test_case cases[] = {
	TEST_CASE(instances_begin_as_used),
	TEST_CASE(the_rest_is_as_it_was),
	TEST_CASE(tables_keep_their_maximum),
};

int main(int argc, char **argv)
{
	if (!traps_are_followed())
		return 77;
	if (guest_init(true))
		return 1;
	return test_main(argc, argv, cases, TEST_ARRAY_SIZE(cases), NULL, 0);
}
