/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * describe.c - a module's tables, globals and functions, in the caller's
 * structs.
 *
 * Takes an index; gives what the reader and the survey know of the thing. A
 * caller whose struct is too old for what the survey finds does not cause one.
 */
#include "module.h"
#include "base/sized.h"

int fl_module_table_type(const struct fl_module *module, uint32_t table_idx,
			 struct fl_table_type *type)
{
	const struct fl__survey *survey;
	const struct fl__table_type *read;
	struct fl_table_type filled;

	if (table_idx >= module->reader.table_count)
		return -EINVAL;
	read = &module->reader.tables[table_idx];
	filled = (struct fl_table_type){
		.min_elements = read->limits.min,
		.max_elements = read->limits.max,
		.init_elements = read->init_elements,
		.is_imported = table_idx < module->reader.imported_table_count,
		.is_64 = read->limits.is_64,
		.is_func = read->is_func,
		.has_init = read->has_init,
		.is_exported = read->export_name.off != 0,
	};
	if (type->size > offsetof(struct fl_table_type, is_changed)) {
		if (fl__module_survey(module, &survey))
			return -ENOMEM;
		filled.is_changed = survey->marks.tables[table_idx] &
				    FL__CODE_CHANGES;
	}
	filled.import_module = fl__module_name(module, &read->import_module,
					       &filled.import_module_bytes);
	filled.import_name = fl__module_name(module, &read->import_name,
					     &filled.import_name_bytes);
	filled.export_name = fl__module_name(module, &read->export_name,
					     &filled.export_name_bytes);
	fl__sized_write(type, &filled, sizeof(filled));
	return 0;
}

static enum fl_value_type value_type(struct fl__valtype type)
{
	if (type.code != FL__TYPE_REF)
		return (enum fl_value_type)type.code;
	if (type.is_nullable && type.heap == FL__HEAP_FUNC)
		return FL_VALUE_FUNCREF;
	if (type.is_nullable && type.heap == FL__HEAP_EXTERN)
		return FL_VALUE_EXTERNREF;
	return FL_VALUE_REF;
}

int fl_module_global_type(const struct fl_module *module, uint32_t global_idx,
			  struct fl_global_type *type)
{
	const struct fl__survey *survey;
	const struct fl__global *read;
	struct fl_global_type filled;

	if (global_idx >= module->reader.global_count)
		return -EINVAL;
	if (fl__module_survey(module, &survey))
		return -ENOMEM;
	read = &module->reader.globals[global_idx];
	filled = (struct fl_global_type){
		.value = value_type(read->type),
		.is_mutable = read->is_mutable,
		.is_imported = global_idx <
			       module->reader.imported_global_count,
		.is_exported = read->export_name.off != 0,
		.is_changed = survey->marks.globals[global_idx] &
				      FL__CODE_CHANGES &&
			      read->is_mutable,
	};
	filled.import_module = fl__module_name(module, &read->import_module,
					       &filled.import_module_bytes);
	filled.import_name = fl__module_name(module, &read->import_name,
					     &filled.import_name_bytes);
	filled.export_name = fl__module_name(module, &read->export_name,
					     &filled.export_name_bytes);
	fl__sized_write(type, &filled, sizeof(filled));
	return 0;
}

int fl_module_function(const struct fl_module *module, uint32_t function_idx,
		       struct fl_function *function)
{
	static const struct fl__func_import no_import;
	const struct fl__reader *reader = &module->reader;
	const struct fl__func_import *import = &no_import;
	const struct fl__survey *survey;
	struct fl_function filled;
	uint32_t number;
	bool is_imported = function_idx < reader->imported_func_count;

	if (function_idx >= reader->func_count)
		return -EINVAL;
	if (fl__module_survey(module, &survey))
		return -ENOMEM;
	if (is_imported)
		import = &reader->func_imports[function_idx];
	number = survey->functions[function_idx].export_number;
	filled = (struct fl_function){
		.type_idx = survey->functions[function_idx].type_idx,
		.is_imported = is_imported,
		.is_exported = number != 0,
		.is_referenced = (survey->marks.functions[function_idx] &
				  FL__CODE_USES) != 0,
	};
	filled.import_module = fl__module_name(module, &import->import_module,
					       &filled.import_module_bytes);
	filled.import_name = fl__module_name(module, &import->import_name,
					     &filled.import_name_bytes);
	if (number)
		filled.export_name = fl__module_name(
			module, &survey->export_names[number - 1],
			&filled.export_name_bytes);
	fl__sized_write(function, &filled, sizeof(filled));
	return 0;
}
