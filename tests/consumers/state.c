/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * state.c - tests of a companion file, with the module modules/state.wat.
 *
 * `wasm-image companion` wrote the layout that is looked at here, and a
 * compiler of the two that are tried has compiled it with wasm2c's output. Each
 * row of the layout is held against what wasm2c's code does: the guest puts a
 * reference where the test can see it, sets a global, drops a segment.
 */
#include "tests/kit/test.h"

#include <string.h>

#include "rt_threadlocal.h"
#include "state_guest.h"
#include "traps.h"

#define ALL_EXPORTS 25

static const struct fl_wasm2c_layout *const layout = &Z_state_layout;
static struct guest whole;
static struct Z_env_instance_t *const env = &whole.env;
static Z_state_instance_t *const guest = &whole.instance;

static void open_guest(void)
{
	guest_open(&whole, 1000);
}

static void close_guest(void)
{
	guest_close(&whole);
}

/* ------------------------------------------------------------------ layout */

static const void *at(size_t offset)
{
	return (const char *)guest + offset;
}

static const struct fl_wasm2c_function *row_of(uint32_t function_idx,
					       enum fl_wasm2c_form form)
{
	for (uint32_t i = 0; i < layout->function_count; i++) {
		const struct fl_wasm2c_function *row = &layout->functions[i];

		if (row->function_idx == function_idx && row->form == form)
			return row;
	}
	MUST(!"the layout has no such function");
	return NULL;
}

/* Is the reference what the row says? */
static void check_reference(const wasm_rt_funcref_t *reference,
			    uint32_t function_idx, enum fl_wasm2c_form form)
{
	const struct fl_wasm2c_function *row = row_of(function_idx, form);
	const void *instance = guest;

	CHECK(reference->func == row->func);
	CHECK_EQ(reference->func_type, layout->func_types[row->type_idx]);
	if (form == FL_WASM2C_IMPORT)
		instance = *(void *const *)at(row->import_offset);
	else if (form == FL_WASM2C_IMPORT_ADDRESS)
		instance = at(row->import_offset);
	CHECK(reference->module_instance == instance);
}

static void layout_is_the_instances(void)
{
	CHECK_EQ(layout->version, FL_WASM2C_LAYOUT_VERSION);
	CHECK(!strcmp(layout->name, "Z_state_layout"));
	CHECK_EQ(layout->instance_bytes, sizeof(Z_state_instance_t));
	CHECK_EQ(layout->global_count, 13);
	CHECK_EQ(layout->memory_count, 3);
	CHECK_EQ(layout->table_count, 5);
	CHECK_EQ(layout->data_flag_count, 2);
	CHECK_EQ(layout->elem_flag_count, 3);
	/* 5 defined, 2 imported in two forms each, and exports. */
	CHECK_EQ(layout->function_count, 9 + ALL_EXPORTS + 2);
}

static void rows_are_in_order(void)
{
	for (uint32_t i = 1; i < layout->function_count; i++) {
		const struct fl_wasm2c_function *row = &layout->functions[i];

		CHECK(row[-1].function_idx < row->function_idx ||
		      (row[-1].function_idx == row->function_idx &&
		       row[-1].form <= row->form));
	}
}

static void references_are_what_the_rows_say(void)
{
	const wasm_rt_funcref_t *functions;

	open_guest();
	functions = guest->w2c_functions.data;
	Z_stateZ_put(guest, 4, 1);
	Z_stateZ_put(guest, 5, 2);
	Z_stateZ_put(guest, 6, 3);
	Z_stateZ_init(guest, 7, 0, 3);
	check_reference(&functions[0], 2, FL_WASM2C_DEFINED);
	check_reference(&functions[1], 0, FL_WASM2C_IMPORT_ADDRESS);
	check_reference(&functions[2], 1, FL_WASM2C_IMPORT_ADDRESS);
	check_reference(&functions[3], 3, FL_WASM2C_DEFINED);
	check_reference(&functions[4], 5, FL_WASM2C_DEFINED);
	check_reference(&functions[5], 0, FL_WASM2C_IMPORT);
	check_reference(&functions[6], 1, FL_WASM2C_IMPORT);
	check_reference(&functions[7], 4, FL_WASM2C_DEFINED);
	check_reference(&functions[8], 0, FL_WASM2C_IMPORT_ADDRESS);
	check_reference(&functions[9], 3, FL_WASM2C_DEFINED);
	check_reference(&env->table.data[1], 2, FL_WASM2C_DEFINED);
	check_reference(at(layout->globals[9].offset), 2, FL_WASM2C_DEFINED);
	check_reference(at(layout->globals[10].offset), 0, FL_WASM2C_IMPORT);
	Z_stateZ_set_function(guest, 1);
	check_reference(at(layout->globals[9].offset), 0, FL_WASM2C_IMPORT);
	close_guest();
}

/* What others get by the module's header. */
static void exports_are_what_the_rows_say(void)
{
#define EXPORT(name) ((wasm_rt_function_ptr_t)Z_stateZ_##name)
	static const wasm_rt_function_ptr_t exports[] = {
		EXPORT(put),	      EXPORT(init),	  EXPORT(grow),
		EXPORT(copy),	      EXPORT(call),	  EXPORT(call_twice),
		EXPORT(call_fixed),   EXPORT(call_inner), EXPORT(put_host),
		EXPORT(get_host),     EXPORT(grow_hosts), EXPORT(set_numbers),
		EXPORT(small),	      EXPORT(large),	  EXPORT(single),
		EXPORT(double_float), EXPORT(moved),	  EXPORT(set_function),
		EXPORT(set_value),    EXPORT(value),	  EXPORT(use_constants),
		EXPORT(read_passive), EXPORT(drop_data),  EXPORT(drop_elem),
		EXPORT(drop_others),
	};
	const struct fl_wasm2c_function *eight = row_of(3, FL_WASM2C_EXPORT);

	for (uint32_t i = 0; i < ALL_EXPORTS; i++)
		CHECK(row_of(6 + i, FL_WASM2C_EXPORT)->func == exports[i]);
	CHECK(row_of(0, FL_WASM2C_EXPORT)->func == EXPORT(hostZ20again));
	CHECK(eight[0].func == EXPORT(eight));
	CHECK(eight[1].func == EXPORT(alsoZ20eight));
	CHECK_EQ(eight[1].form, FL_WASM2C_EXPORT);
#undef EXPORT
}

static void check_global(uint32_t idx, const void *value, size_t length,
			 enum fl_value_type type, uint32_t flags)
{
	const struct fl_wasm2c_global *global = &layout->globals[idx];
	const void *place = at(global->offset);

	if (flags & FL_WASM2C_IS_IMPORTED)
		memcpy(&place, at(global->offset), sizeof(place));
	CHECK_EQ(global->length_bytes, length);
	CHECK_EQ(global->value, type);
	CHECK_EQ(global->flags, flags);
	CHECK(!memcmp(place, value, length));
}

#define CHECK_GLOBAL(idx, type, value, flags)             \
	check_global(idx, &(type){ value }, sizeof(type), \
		     sizeof(type) == 8 ? FL_VALUE_I64 : FL_VALUE_I32, flags)

static void globals_are_what_the_rows_say(void)
{
	const uint32_t changes = FL_WASM2C_IS_CHANGED | FL_WASM2C_IS_MUTABLE;
	int host_value;
	void *pointer = &host_value;

	open_guest();
	Z_stateZ_set_numbers(guest, 50, UINT64_C(60) << 32, 70.5f, 80.25);
	Z_stateZ_set_value(guest, &host_value);
	env->counter = 99;
	*Z_stateZ_shown(guest) = 110;
	CHECK_GLOBAL(0, uint32_t, 1000, FL_WASM2C_IS_IMPORTED);
	CHECK_GLOBAL(1, uint32_t, 99, FL_WASM2C_IS_IMPORTED | changes);
	CHECK_GLOBAL(2, uint32_t, 50, changes);
	CHECK_GLOBAL(3, uint64_t, UINT64_C(60) << 32, changes);
	check_global(4, &(float){ 70.5f }, 4, FL_VALUE_F32, changes);
	check_global(5, &(double){ 80.25 }, 8, FL_VALUE_F64, changes);
	CHECK_GLOBAL(6, uint32_t, 9, 0);
	CHECK_GLOBAL(7, uint32_t, 10, FL_WASM2C_IS_MUTABLE);
	CHECK_GLOBAL(8, uint32_t, 110,
		     FL_WASM2C_IS_MUTABLE | FL_WASM2C_IS_EXPORTED);
	CHECK_EQ(layout->globals[9].value, FL_VALUE_FUNCREF);
	CHECK_EQ(layout->globals[9].length_bytes, sizeof(wasm_rt_funcref_t));
	CHECK_EQ(layout->globals[9].flags, changes);
	CHECK_EQ(layout->globals[10].flags, 0);
	check_global(11, &pointer, sizeof(pointer), FL_VALUE_EXTERNREF,
		     changes);
	CHECK_GLOBAL(12, uint32_t, 1000, 0);
	close_guest();
}

static void memories_and_tables_are_what_the_rows_say(void)
{
	const struct fl_wasm2c_member *m = layout->memories;
	const struct fl_wasm2c_member *t = layout->tables;
	const uint32_t changed = FL_WASM2C_IS_CHANGED;
	const uint32_t funcref = FL_WASM2C_IS_FUNCREF;

	open_guest();
	CHECK_EQ(m[0].flags, FL_WASM2C_IS_IMPORTED | changed);
	CHECK_EQ(m[1].flags, changed);
	CHECK_EQ(m[2].flags, FL_WASM2C_IS_EXPORTED | changed);
	CHECK(*(void *const *)at(m[0].offset) == &env->memory);
	CHECK_EQ(((const wasm_rt_memory_t *)at(m[1].offset))->pages, 1);
	CHECK_EQ(((const wasm_rt_memory_t *)at(m[1].offset))->max_pages, 3);
	CHECK(at(m[2].offset) == Z_stateZ_secondZ20memory(guest));
	CHECK_EQ(t[0].flags, FL_WASM2C_IS_IMPORTED | funcref);
	CHECK_EQ(t[1].flags, FL_WASM2C_IS_EXPORTED | changed | funcref);
	CHECK_EQ(t[2].flags, changed);
	CHECK_EQ(t[3].flags, funcref);
	CHECK_EQ(t[4].flags, changed | funcref);
	CHECK(*(void *const *)at(t[0].offset) == &env->table);
	CHECK(at(t[1].offset) == Z_stateZ_functions(guest));
	Z_stateZ_put_host(guest, 3, env);
	CHECK(((const wasm_rt_externref_table_t *)at(t[2].offset))->data[3] ==
	      env);
	check_reference(
		&((const wasm_rt_funcref_table_t *)at(t[3].offset))->data[2], 5,
		FL_WASM2C_DEFINED);
	Z_stateZ_copy(guest, 1, 3);
	check_reference(
		&((const wasm_rt_funcref_table_t *)at(t[4].offset))->data[1], 3,
		FL_WASM2C_DEFINED);
	close_guest();
}

static unsigned int dropped(void)
{
	unsigned int bits = 0;

	for (uint32_t i = 0; i < 5; i++)
		bits |= (unsigned int)layout->is_dropped(guest, i) << i;
	return bits;
}

static void init_after_drop(void *arg)
{
	(void)arg;
	Z_stateZ_init(guest, 0, 0, 1);
}

static void flags_are_what_the_rows_say(void)
{
	open_guest();
	CHECK_EQ(dropped(), 0);
	Z_stateZ_drop_data(guest);
	CHECK_EQ(dropped(), 1);
	Z_stateZ_drop_elem(guest);
	CHECK_EQ(dropped(), 5);
	CHECK_EQ(rt_try(init_after_drop, NULL), WASM_RT_TRAP_OOB);
	Z_stateZ_drop_others(guest);
	CHECK_EQ(dropped(), 0x1f);
	for (uint32_t i = 0; i < 5; i++) {
		layout->set_dropped(guest, i, false);
		CHECK_EQ(dropped(), 0x1fu & ~(1u << i));
		layout->set_dropped(guest, i, true);
	}
	layout->set_dropped(guest, 2, false);
	CHECK_EQ(rt_try(init_after_drop, NULL), WASM_RT_TRAP_NONE);
	layout->set_dropped(guest, 2, true);
	CHECK_EQ(rt_try(init_after_drop, NULL), WASM_RT_TRAP_OOB);
	close_guest();
}

static const struct test_case cases[] = {
	TEST_CASE(layout_is_the_instances),
	TEST_CASE(rows_are_in_order),
	TEST_CASE(references_are_what_the_rows_say),
	TEST_CASE(exports_are_what_the_rows_say),
	TEST_CASE(globals_are_what_the_rows_say),
	TEST_CASE(memories_and_tables_are_what_the_rows_say),
	TEST_CASE(flags_are_what_the_rows_say),
};

int main(int argc, char **argv)
{
	if (!traps_are_followed())
		return 77;
	if (guest_init(true))
		return 1;
	return test_main(argc, argv, cases, TEST_ARRAY_SIZE(cases), NULL, 0);
}
