/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * state_exports.c - by which exports a runtime's interface can reach what an
 * instance's content is made of.
 *
 * Takes a loaded module; gives the list: each memory, each global and table that
 * something can change, each function of which one of these can hold a
 * reference, the start function. Or says why such a list cannot be all that an
 * instance is made of.
 *
 * Invariants
 * - What is in no list has the same content in each instance of the module, as
 *   long as imports are the same: only code, and holders of an export, change
 *   globals and tables, and the survey knows what code names.
 * - Where the survey cannot follow the code, there is no list.
 *
 * Pure but for the survey. Lists are ordered: memories, globals, tables,
 * functions, start; each by index.
 */
#include "module.h"

#include <stdio.h>

/* With which words the names of state exports begin. */
#define PREFIX "faultline:"

struct list {
	struct fl_state_export *exports;
	uint32_t capacity;
	uint32_t count;
};

static void add(struct list *list, enum fl_state_kind kind, uint32_t idx,
		enum fl_value_type value)
{
	static const char letters[] = { 'f', 't', 'm', 'g' };
	struct fl_state_export *export;

	if (list->count++ >= list->capacity)
		return;
	export = &list->exports[list->count - 1];
	*export = (struct fl_state_export){
		.kind = kind,
		.idx = idx,
		.value = value,
	};
	if (kind == FL_STATE_START)
		snprintf(export->name, sizeof(export->name), PREFIX "start");
	else
		snprintf(export->name, sizeof(export->name), PREFIX "%c%u",
			 letters[kind], idx);
}

/* ----------------------------------------------------------------- refusals */

static bool is_function(const struct fl__valtype *type)
{
	return type->heap == FL__HEAP_FUNC || type->heap == FL__HEAP_NOFUNC;
}

/* A value that is the same in every instance: a host's, or null. */
static bool is_host_value(const struct fl__valtype *type)
{
	return type->heap == FL__HEAP_EXTERN || type->heap == FL__HEAP_NOEXTERN;
}

static int refuse_import(struct fl_error *error, const char *what, uint32_t idx)
{
	return fl__error_set(error, -ENOTSUP,
			     "%s %u is imported: what it holds is not the "
			     "instance's, and no snapshot can hold it",
			     what, idx);
}

static int check_imports(const struct fl__reader *r, struct fl_error *error)
{
	if (r->imported_memory_count)
		return refuse_import(error, "memory", 0);
	if (r->imported_table_count)
		return refuse_import(error, "table", 0);
	for (uint32_t i = 0; i < r->imported_global_count; i++) {
		if (r->globals[i].is_mutable)
			return refuse_import(error, "the mutable global", i);
	}
	return 0;
}

/* Objects of the garbage collector have content of their own, and a host's
 * references mean nothing elsewhere. */
static int check_types(const struct fl__reader *r, struct fl_error *error)
{
	for (uint32_t i = 0; i < r->global_count; i++) {
		const struct fl__global *global = &r->globals[i];

		if (global->type.code == FL__TYPE_REF &&
		    !is_function(&global->type) &&
		    (global->is_mutable || !is_host_value(&global->type)))
			return fl__error_set(
				error, -ENOTSUP,
				"global %u holds references other than to "
				"functions, which no snapshot can hold",
				i);
	}
	for (uint32_t i = 0; i < r->table_count; i++) {
		if (!is_function(&r->tables[i].type))
			return fl__error_set(
				error, -ENOTSUP,
				"table %u holds references other than of type "
				"funcref, which no snapshot can hold",
				i);
	}
	for (uint32_t i = 0; i < r->elem_count; i++) {
		if (!is_function(&r->elems[i].type) &&
		    !is_host_value(&r->elems[i].type))
			return fl__error_set(
				error, -ENOTSUP,
				"element segment %u holds references other than "
				"to functions, which no snapshot can hold",
				i);
	}
	return 0;
}

/* Which segments are dropped no interface tells. */
static int check_drops(const struct fl__reader *r, const struct fl__survey *s,
		       struct fl_error *error)
{
	if (!s->is_code_known)
		return fl__error_set(
			error, -ENOTSUP,
			"the code has instructions that the library does not know, and may change anything");
	for (uint32_t i = 0; i < r->data_count; i++) {
		if (s->marks.data[i] & FL__CODE_DROPS)
			return fl__error_set(
				error, -ENOTSUP,
				"the code drops data segment %u (data.drop), and nobody can ask whether it has: build the guest without",
				i);
	}
	for (uint32_t i = 0; i < r->elem_count; i++) {
		if (s->marks.elems[i] & FL__CODE_DROPS)
			return fl__error_set(
				error, -ENOTSUP,
				"the code drops element segment %u (elem.drop), and nobody can ask whether it has: build the guest without",
				i);
	}
	return 0;
}

static int check_names(const struct fl__reader *r, const struct fl__survey *s,
		       struct fl_error *error)
{
	const size_t len = sizeof(PREFIX) - 1;

	for (uint32_t i = 0; i < r->export_count; i++) {
		if (s->export_names[i].len >= len &&
		    !memcmp(r->bytes + s->export_names[i].off, PREFIX, len))
			return fl__error_set(
				error, -ENOTSUP,
				"export %u has a name that begins with \"" PREFIX
				"\", which is reserved",
				i);
	}
	return 0;
}

static int check(const struct fl_module *module, const struct fl__survey *s,
		 struct fl_error *error)
{
	const struct fl__reader *r = &module->reader;
	int err = check_imports(r, error);

	if (!err)
		err = check_types(r, error);
	if (!err)
		err = check_drops(r, s, error);
	return err ? err : check_names(r, s, error);
}

/* ---------------------------------------------------------------- the list */

/* True if functions can be in it. */
static bool add_globals(const struct fl__reader *r, const struct fl__survey *s,
			struct list *list)
{
	bool has_functions = false;

	for (uint32_t i = 0; i < r->global_count; i++) {
		const struct fl__global *global = &r->globals[i];
		bool is_ref = global->type.code == FL__TYPE_REF;

		if (!global->is_mutable ||
		    !(s->marks.globals[i] & FL__CODE_CHANGES ||
		      global->export_name.off))
			continue;
		add(list, FL_STATE_GLOBAL, i,
		    is_ref ? FL_VALUE_FUNCREF :
			     (enum fl_value_type)global->type.code);
		has_functions |= is_ref;
	}
	return has_functions;
}

static bool add_tables(const struct fl__reader *r, const struct fl__survey *s,
		       struct list *list)
{
	uint32_t before = list->count;

	for (uint32_t i = 0; i < r->table_count; i++) {
		if (s->marks.tables[i] & FL__CODE_CHANGES ||
		    r->tables[i].export_name.off)
			add(list, FL_STATE_TABLE, i, FL_VALUE_FUNCREF);
	}
	return list->count != before;
}

static void add_functions(const struct fl__reader *r,
			  const struct fl__survey *s, struct list *list)
{
	for (uint32_t i = 0; i < r->func_count; i++) {
		if (s->marks.functions[i] & FL__CODE_USES ||
		    s->functions[i].export_number)
			add(list, FL_STATE_FUNCTION, i, FL_VALUE_FUNCREF);
	}
}

static void add_all(const struct fl__reader *r, const struct fl__survey *s,
		    struct list *list)
{
	bool has_functions;

	for (uint32_t i = 0; i < r->memory_count; i++)
		add(list, FL_STATE_MEMORY, i, FL_VALUE_I32);
	has_functions = add_globals(r, s, list);
	has_functions |= add_tables(r, s, list);
	if (has_functions)
		add_functions(r, s, list);
	if (r->has_start)
		add(list, FL_STATE_START, r->start_idx, FL_VALUE_FUNCREF);
}

int fl_module_state_exports(const struct fl_module *module,
			    struct fl_state_export *exports, uint32_t capacity,
			    uint32_t *count, struct fl_error *error)
{
	struct list list = { .exports = exports, .capacity = capacity };
	const struct fl__survey *survey;
	int err;

	if (fl__module_survey(module, &survey))
		return fl__error_set(error, -ENOMEM,
				     "no memory for what the code does");
	err = check(module, survey, error);
	if (err)
		return err;
	add_all(&module->reader, survey, &list);
	*count = list.count;
	return 0;
}
