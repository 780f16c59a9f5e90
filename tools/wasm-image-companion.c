/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * wasm-image-companion.c - the verb companion: a C file that includes what
 * wasm2c wrote for a module, and says what lies where in an instance.
 *
 * Takes the module and wasm2c's C; writes a struct fl_wasm2c_layout (see
 * faultline-wasm2c.h). The module tells what there is, the C how it is called.
 * Each list of one is held against the other before anything is written.
 *
 * The file that is written has no figure that depends on how a compiler lays
 * out a struct, and none that differs from one process to the next: offsetof,
 * sizeof and addresses of functions stand in their places.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "wasm-image.h"
#include "wasm-image-wasm2c.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What wasm2c writes for a maximum that the module does not give. */
#define NO_MAX_WPAGES 65536
#define NO_MAX_ELEMENTS UINT32_MAX

struct companion {
	const struct subject *subject;
	const char *other_path;
	struct wasm2c c;
	FILE *out;
	size_t wrappers_done;
	uint32_t function_rows;
};

static const struct named *item(const struct companion *x, enum list_idx list,
				size_t idx)
{
	return &x->c.lists[list].items[idx];
}

/* ------------------------------------------------------------------- names */

/* Letters, digits and _ but Z stay; any other byte is Z and its number. */
static void mangle(FILE *out, const char *name, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)name[i];
		bool is_plain = (c >= 'a' && c <= 'z') ||
				(c >= 'A' && c < 'Z') ||
				(c >= '0' && c <= '9') || c == '_';

		if (is_plain)
			putc(c, out);
		else
			fprintf(out, "Z%02X", c);
	}
}

/* before, the mangled names with "Z_" between them, after: the caller frees. */
static char *mangled(const char *before, const char *module,
		     size_t module_bytes, const char *name, size_t name_bytes,
		     const char *after)
{
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	if (!out)
		exit(fail("no memory"));
	fputs(before, out);
	mangle(out, module, module_bytes);
	if (name) {
		fputs("Z_", out);
		mangle(out, name, name_bytes);
	}
	fputs(after, out);
	if (fclose(out))
		exit(fail("no memory"));
	return text;
}

/* Does wasm2c's instance have this member for an import? */
static int check_import(const struct companion *x, const char *member)
{
	for (size_t i = 0; i < x->c.lists[LIST_IMPORTS].count; i++) {
		if (word_is(&item(x, LIST_IMPORTS, i)->name, member))
			return 0;
	}
	return fail("%s: it has no import %s, which %s imports", x->other_path,
		    member, x->subject->options->path);
}

/* ------------------------------------------------------------------ checks */

static int check_count(const struct companion *x, enum list_idx list,
		       uint64_t expected, const char *what)
{
	size_t count = x->c.lists[list].count;

	if (count == expected)
		return 0;
	return fail("%s: it has %zu %s, and %s has %" PRIu64
		    ": is it wasm2c's translation of this module?",
		    x->other_path, count, what, x->subject->options->path,
		    expected);
}

static int check_limits(const struct companion *x, enum list_idx list,
			uint32_t defined_idx, const char *what, uint64_t min,
			uint64_t max)
{
	const struct named *named = item(x, list, defined_idx);

	if (named->min == min && named->max == max)
		return 0;
	return fail("%s: its %s %.*s has limits %" PRIu64 " and %" PRIu64
		    ", those of the module are %" PRIu64 " and %" PRIu64,
		    x->other_path, what, (int)named->name.len, named->name.text,
		    named->min, named->max, min, max);
}

static int check_memories(const struct companion *x)
{
	const struct fl_module_info *info = &x->subject->info;
	uint32_t first = info->imported_memory_count;
	int status = check_count(x, LIST_MEMORIES, info->memory_count - first,
				 "memories");

	for (uint32_t i = first; !status && i < info->memory_count; i++) {
		struct fl_memory_type type = { .size = sizeof(type) };

		fl_module_memory_type(x->subject->module, i, &type);
		status = check_limits(x, LIST_MEMORIES, i - first, "memory",
				      type.min_pages,
				      type.max_pages == UINT64_MAX ?
					      NO_MAX_WPAGES :
					      type.max_pages);
	}
	return status;
}

static struct fl_table_type table_type(const struct companion *x,
				       uint32_t table_idx)
{
	struct fl_table_type type = { .size = sizeof(type) };

	if (fl_module_table_type(x->subject->module, table_idx, &type))
		exit(fail("no memory"));
	return type;
}

static int check_tables(const struct companion *x)
{
	const struct fl_module_info *info = &x->subject->info;
	uint32_t first = info->imported_table_count;
	int status = check_count(x, LIST_TABLES, info->table_count - first,
				 "tables");

	for (uint32_t i = first; !status && i < info->table_count; i++) {
		struct fl_table_type type = table_type(x, i);

		status = check_limits(x, LIST_TABLES, i - first, "table",
				      type.min_elements,
				      type.max_elements == UINT64_MAX ?
					      NO_MAX_ELEMENTS :
					      type.max_elements);
		if (!status && item(x, LIST_TABLES, i - first)->is_funcref !=
				       (type.is_func != 0))
			status = fail(
				"%s: its table %u is of another type than the module's",
				x->other_path, i);
	}
	return status;
}

/* wasm2c writes a flag for each passive segment that is not empty. */
static int check_flags(const struct companion *x)
{
	const struct fl_module_info *info = &x->subject->info;
	uint32_t passive = info->data_count - info->active_data_count;
	uint64_t elems = 0;

	for (uint32_t i = 0; i < info->element_count; i++) {
		struct fl_element_segment segment = { .size = sizeof(segment) };

		fl_module_element_segment(x->subject->module, i, &segment);
		elems += segment.mode == FL_SEGMENT_PASSIVE &&
			 segment.element_count;
	}
	if (x->c.lists[LIST_DATA_FLAGS].count > passive)
		return check_count(x, LIST_DATA_FLAGS, passive,
				   "data segments that code can drop");
	return check_count(x, LIST_ELEM_FLAGS, elems,
			   "element segments that code can drop");
}

static int check(const struct companion *x)
{
	const struct fl_module_info *info = &x->subject->info;
	int status = check_count(x, LIST_FUNCTIONS,
				 info->function_count -
					 info->imported_function_count,
				 "functions");

	if (!status)
		status = check_count(x, LIST_GLOBALS,
				     info->global_count -
					     info->imported_global_count,
				     "globals");
	if (!status)
		status = check_memories(x);
	if (!status)
		status = check_tables(x);
	return status ? status : check_flags(x);
}

/* --------------------------------------------------------------- functions */

static void write_function(struct companion *x, const struct word *name,
			   const struct fl_function *function, uint32_t idx,
			   const char *form, const char *member)
{
	fprintf(x->out, "\t{ (wasm_rt_function_ptr_t)%.*s, ", (int)name->len,
		name->text);
	if (member)
		fprintf(x->out, "offsetof(FL_COMPANION, %s)", member);
	else
		fputs("0", x->out);
	fprintf(x->out, ", %u, %u, FL_WASM2C_%s, 0 },\n", idx,
		function->type_idx, form);
	x->function_rows++;
}

static int compare_targets(const void *a, const void *b)
{
	const struct named *left = a, *right = b;
	size_t len = left->target.len < right->target.len ? left->target.len :
							    right->target.len;
	int order = memcmp(left->target.text, right->target.text, len);

	if (order)
		return order;
	if (left->target.len != right->target.len)
		return left->target.len < right->target.len ? -1 : 1;
	/* Equal targets stay in the order of the module's exports. */
	return left->name.text < right->name.text ? -1 : 1;
}

/* The first wrapper whose target does not come before the name; the wrappers
 * are sorted by targets. */
static size_t find_wrapper(const struct companion *x, const struct word *name)
{
	const struct list *list = &x->c.lists[LIST_WRAPPERS];
	struct named wanted = { .target = *name, .name.text = "" };
	size_t low = 0, high = list->count;

	/* Before any wrapper of the same target. */
	wanted.name.text = NULL;
	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (compare_targets(&list->items[middle], &wanted) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* A row for each export of the function. One of them must have the name that
 * the module gives it. */
static int write_exports(struct companion *x, const struct word *name,
			 const struct fl_function *function, uint32_t idx)
{
	const struct list *list = &x->c.lists[LIST_WRAPPERS];
	bool is_named = !function->is_exported;
	char *prefix, *expected;

	if (asprintf(&prefix, "%.*sZ_", (int)x->c.prefix.len,
		     x->c.prefix.text) < 0)
		return fail("no memory");
	expected = mangled(prefix, function->export_name,
			   function->export_name_bytes, NULL, 0, "");
	for (size_t i = find_wrapper(x, name);
	     i < list->count && list->items[i].target.len == name->len &&
	     !memcmp(list->items[i].target.text, name->text, name->len);
	     i++) {
		is_named = is_named || word_is(&list->items[i].name, expected);
		write_function(x, &list->items[i].name, function, idx, "EXPORT",
			       NULL);
		x->wrappers_done += !list->items[i].is_used;
		list->items[i].is_used = true;
	}
	if (!is_named)
		fail("%s: it has no function %s, which the module exports",
		     x->other_path, expected);
	free(expected);
	free(prefix);
	return !is_named;
}

static int write_import(struct companion *x, const struct fl_function *function,
			uint32_t idx)
{
	char *name = mangled("Z_", function->import_module,
			     function->import_module_bytes,
			     function->import_name, function->import_name_bytes,
			     "");
	char *member = mangled("Z_", function->import_module,
			       function->import_module_bytes, NULL, 0,
			       "_instance");
	struct word word = { name, strlen(name) };
	int status = check_import(x, member);

	if (!status)
		status = write_exports(x, &word, function, idx);
	if (!status && function->is_referenced) {
		write_function(x, &word, function, idx, "IMPORT", member);
		write_function(x, &word, function, idx, "IMPORT_ADDRESS",
			       member);
	}
	free(member);
	free(name);
	return status;
}

static int write_one_function(struct companion *x, uint32_t idx)
{
	const struct fl_module_info *info = &x->subject->info;
	struct fl_function function = { .size = sizeof(function) };
	const struct word *name;

	if (fl_module_function(x->subject->module, idx, &function))
		return fail("no memory");
	if (!function.is_referenced && !function.is_exported)
		return 0;
	if (function.type_idx >= x->c.type_count)
		return fail("%s: it has %" PRIu64
			    " types, and function %u is of type %u",
			    x->other_path, x->c.type_count, idx,
			    function.type_idx);
	if (function.is_imported)
		return write_import(x, &function, idx);
	name = &item(x, LIST_FUNCTIONS, idx - info->imported_function_count)
			->name;
	if (function.is_referenced)
		write_function(x, name, &function, idx, "DEFINED", NULL);
	return write_exports(x, name, &function, idx);
}

static int write_functions(struct companion *x)
{
	const struct list *list = &x->c.lists[LIST_WRAPPERS];
	int status = 0;

	if (list->count)
		qsort(list->items, list->count, sizeof(*list->items),
		      compare_targets);
	fputs("static const struct fl_wasm2c_function fl_companion_functions[] = {\n",
	      x->out);
	for (uint32_t i = 0; !status && i < x->subject->info.function_count;
	     i++)
		status = write_one_function(x, i);
	fputs("\t{ 0, 0, 0, 0, 0, 0 }\n};\n\n", x->out);
	if (!status && x->wrappers_done != list->count)
		status = fail(
			"%s: it exports %zu functions, of which the module knows %zu",
			x->other_path, list->count, x->wrappers_done);
	return status;
}

/* --------------------------------------------- globals, memories and tables */

static void write_flags(struct companion *x, uint32_t is_imported,
			uint32_t is_exported, uint32_t is_changed)
{
	fprintf(x->out, "%s%s%s0",
		is_imported ? "FL_WASM2C_IS_IMPORTED | " : "",
		is_exported ? "FL_WASM2C_IS_EXPORTED | " : "",
		is_changed ? "FL_WASM2C_IS_CHANGED | " : "");
}

/* The type that the value has in C, and its name in faultline.h. */
static const char *value_type(enum fl_value_type value, const char **c_type)
{
	switch (value) {
	case FL_VALUE_I32:
		*c_type = "u32";
		return "FL_VALUE_I32";
	case FL_VALUE_I64:
		*c_type = "u64";
		return "FL_VALUE_I64";
	case FL_VALUE_F32:
		*c_type = "f32";
		return "FL_VALUE_F32";
	case FL_VALUE_F64:
		*c_type = "f64";
		return "FL_VALUE_F64";
	case FL_VALUE_FUNCREF:
		*c_type = "wasm_rt_funcref_t";
		return "FL_VALUE_FUNCREF";
	case FL_VALUE_EXTERNREF:
		*c_type = "wasm_rt_externref_t";
		return "FL_VALUE_EXTERNREF";
	default:
		return NULL;
	}
}

/* The name of a member of the instance: of an import, or the name that wasm2c
 * gave to what the module defines. NULL after a sentence. The caller frees. */
static char *member_name(const struct companion *x, const char *module,
			 size_t module_bytes, const char *name,
			 size_t name_bytes, enum list_idx list,
			 uint32_t defined_idx)
{
	const struct word *word;
	char *member;

	if (module) {
		member = mangled("Z_", module, module_bytes, name, name_bytes,
				 "");
		if (!check_import(x, member))
			return member;
		free(member);
		return NULL;
	}
	word = &item(x, list, defined_idx)->name;
	member = strndup(word->text, word->len);
	if (!member)
		fail("no memory");
	return member;
}

static int write_global(struct companion *x, uint32_t idx)
{
	const struct fl_module_info *info = &x->subject->info;
	struct fl_global_type type = { .size = sizeof(type) };
	const char *value, *c_type, *pointer;
	char *member;

	if (fl_module_global_type(x->subject->module, idx, &type))
		return fail("no memory");
	value = value_type(type.value, &c_type);
	if (!value)
		return fail(
			"%s: global %u is of a type that wasm2c of wabt 1.0.32 cannot translate",
			x->subject->options->path, idx);
	member = member_name(x, type.import_module, type.import_module_bytes,
			     type.import_name, type.import_name_bytes,
			     LIST_GLOBALS, idx - info->imported_global_count);
	if (!member)
		return 1;
	pointer = type.is_imported ? "*" : "";
	/* An array of a negative size where the compiler disagrees. */
	fprintf(x->out,
		"\t{ offsetof(FL_COMPANION, %s), sizeof(%s) +\n"
		"\t  0 * sizeof(char[sizeof(%s((FL_COMPANION *)0)->%s) == sizeof(%s) ? 1 : -1]),\n"
		"\t  %s, ",
		member, c_type, pointer, member, c_type, value);
	write_flags(x, type.is_imported, type.is_exported, type.is_changed);
	fprintf(x->out, "%s, 0 },\n",
		type.is_mutable ? " | FL_WASM2C_IS_MUTABLE" : "");
	free(member);
	return 0;
}

static int write_globals(struct companion *x)
{
	int status = 0;

	fputs("static const struct fl_wasm2c_global fl_companion_globals[] = {\n",
	      x->out);
	for (uint32_t i = 0; !status && i < x->subject->info.global_count; i++)
		status = write_global(x, i);
	fputs("\t{ 0, 0, 0, 0, 0 }\n};\n\n", x->out);
	return status;
}

static void write_member(struct companion *x, const char *member)
{
	fprintf(x->out, "\t{ offsetof(FL_COMPANION, %s), ", member);
}

static int write_memories(struct companion *x)
{
	const struct fl_module_info *info = &x->subject->info;

	fputs("static const struct fl_wasm2c_member fl_companion_memories[] = {\n",
	      x->out);
	for (uint32_t i = 0; i < info->memory_count; i++) {
		struct fl_memory_type type = { .size = sizeof(type) };
		char *member;

		fl_module_memory_type(x->subject->module, i, &type);
		member = member_name(x, type.import_module,
				     type.import_module_bytes, type.import_name,
				     type.import_name_bytes, LIST_MEMORIES,
				     i - info->imported_memory_count);
		if (!member)
			return 1;
		write_member(x, member);
		/* Any store changes a memory. */
		write_flags(x, type.is_imported, type.export_name != NULL, 1);
		fputs(", 0 },\n", x->out);
		free(member);
	}
	fputs("\t{ 0, 0, 0 }\n};\n\n", x->out);
	return 0;
}

static int write_tables(struct companion *x)
{
	const struct fl_module_info *info = &x->subject->info;

	fputs("static const struct fl_wasm2c_member fl_companion_tables[] = {\n",
	      x->out);
	for (uint32_t i = 0; i < info->table_count; i++) {
		struct fl_table_type type = table_type(x, i);
		char *member = member_name(x, type.import_module,
					   type.import_module_bytes,
					   type.import_name,
					   type.import_name_bytes, LIST_TABLES,
					   i - info->imported_table_count);

		if (!member)
			return 1;
		write_member(x, member);
		write_flags(x, type.is_imported, type.is_exported,
			    type.is_changed);
		fprintf(x->out, "%s, 0 },\n",
			type.is_func ? " | FL_WASM2C_IS_FUNCREF" : "");
		free(member);
	}
	fputs("\t{ 0, 0, 0 }\n};\n\n", x->out);
	return 0;
}

/* ------------------------------------------------------ flags, and the rest */

/* A case for each flag, in both functions. */
static void write_cases(struct companion *x, const char *before,
			const char *after)
{
	size_t number = 0;

	for (int list = LIST_DATA_FLAGS; list <= LIST_ELEM_FLAGS; list++) {
		for (size_t i = 0; i < x->c.lists[list].count; i++) {
			const struct word *name = &item(x, list, i)->name;

			fprintf(x->out, "\tcase %zu:\n\t\t%s%.*s%s\n", number++,
				before, (int)name->len, name->text, after);
		}
	}
}

static size_t flag_count(const struct companion *x)
{
	return x->c.lists[LIST_DATA_FLAGS].count +
	       x->c.lists[LIST_ELEM_FLAGS].count;
}

static void write_flag_functions(struct companion *x)
{
	if (!flag_count(x))
		return;
	fputs("static bool fl_companion_is_dropped(const void *instance, uint32_t flag_idx)\n"
	      "{\n"
	      "\tconst FL_COMPANION *i = instance;\n\n"
	      "\tswitch (flag_idx) {\n",
	      x->out);
	write_cases(x, "return i->", ";");
	fputs("\t}\n\treturn false;\n}\n\n"
	      "static void fl_companion_set_dropped(void *instance, uint32_t flag_idx,\n"
	      "\t\t\t\t     bool is_dropped)\n"
	      "{\n"
	      "\tFL_COMPANION *i = instance;\n\n"
	      "\tswitch (flag_idx) {\n",
	      x->out);
	write_cases(x, "i->", " = is_dropped;\n\t\tbreak;");
	fputs("\t}\n}\n\n", x->out);
}

static void write_layout(struct companion *x)
{
	const struct fl_module_info *info = &x->subject->info;
	const char *flags = flag_count(x) ? "fl_companion_" : "";

	fprintf(x->out,
		"const struct fl_wasm2c_layout %.*s_layout = {\n"
		"\t.version = FL_WASM2C_LAYOUT_VERSION,\n"
		"\t.name = \"%.*s_layout\",\n"
		"\t.instance_bytes = sizeof(FL_COMPANION),\n"
		"\t.type_count = %" PRIu64 ",\n"
		"\t.func_types = %s,\n"
		"\t.functions = fl_companion_functions,\n"
		"\t.globals = fl_companion_globals,\n"
		"\t.memories = fl_companion_memories,\n"
		"\t.tables = fl_companion_tables,\n",
		(int)x->c.prefix.len, x->c.prefix.text, (int)x->c.prefix.len,
		x->c.prefix.text, x->c.type_count,
		x->c.type_count ? "func_types" : "NULL");
	fprintf(x->out,
		"\t.function_count = %u,\n\t.global_count = %u,\n"
		"\t.memory_count = %u,\n\t.table_count = %u,\n"
		"\t.data_flag_count = %zu,\n\t.elem_flag_count = %zu,\n",
		x->function_rows, info->global_count, info->memory_count,
		info->table_count, x->c.lists[LIST_DATA_FLAGS].count,
		x->c.lists[LIST_ELEM_FLAGS].count);
	fprintf(x->out, "\t.is_dropped = %s%s,\n\t.set_dropped = %s%s,\n};\n",
		flags, *flags ? "is_dropped" : "NULL", flags,
		*flags ? "set_dropped" : "NULL");
}

static int write_companion(struct companion *x)
{
	const char *slash = strrchr(x->other_path, '/');
	int status;

	fprintf(x->out,
		"/* Written by wasm-image companion: wasm2c's output, and what lies where in\n"
		" * an instance. Compile this file in place of the file that it includes. */\n"
		"#include \"%s\"\n\n"
		"#include <stddef.h>\n\n"
		"#include <faultline-wasm2c.h>\n\n"
		"#define FL_COMPANION %.*s_instance_t\n\n",
		slash ? slash + 1 : x->other_path, (int)x->c.prefix.len,
		x->c.prefix.text);
	status = write_functions(x);
	if (!status)
		status = write_globals(x);
	if (!status)
		status = write_memories(x);
	if (!status)
		status = write_tables(x);
	if (status)
		return status;
	write_flag_functions(x);
	write_layout(x);
	return 0;
}

int companion(const struct subject *subject)
{
	const struct options *options = subject->options;
	struct companion x = { .subject = subject,
			       .other_path = options->other_path };
	char *text = NULL;
	size_t len = 0;
	int status = options->out_path ? check_output(options) : 0;

	if (!status)
		status = wasm2c_open(&x.c, options->other_path);
	if (!status)
		status = check(&x);
	if (!status) {
		x.out = open_memstream(&text, &len);
		status = x.out ? write_companion(&x) : fail("no memory");
		if (x.out && fclose(x.out) && !status)
			status = fail("no memory");
	}
	if (!status && options->out_path)
		status = replace_file(options->out_path, (uint8_t *)text, len);
	else if (!status)
		fwrite(text, 1, len, stdout);
	free(text);
	wasm2c_close(&x.c);
	return status;
}
