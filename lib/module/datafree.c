/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * datafree.c - the module that goes with its images.
 *
 * Takes a loaded module; gives the bytes of one in which active data segments
 * are empty and end where the whole ones ended. One that cannot trap has no effect
 * left, and instantiating it still takes a runtime's time: it is left out where no
 * code names a segment, and the section that counts them with it. Everything outside the data
 * section is copied as it is; a segment that must stay whole is copied as it
 * is too. A first walk sizes a section, a second writes it, by the same
 * function: the bytes written are the bytes counted.
 *
 * With state exports, the export section gets more at its end, so that an export
 * keeps its index, and the start section goes. Nothing else of the module changes:
 * types, code, and the indices of everything are the same bytes.
 *
 * A resumable module gets two types, two functions and their exports, each at the
 * end of its section, so that all else keeps its index. The functions say by a trap
 * what an interface without globals cannot: whether memory is all that has changed.
 *
 * Why: no C runtime has a switch to skip its own copying of data segments. A
 * module without content needs no switch and no patch. Each offset is moved to
 * the end of its segment, so that the runtime checks bounds as before.
 */
#include "module.h"
#include "base/sized.h"
#include "resumable.h"
#include "sink.h"
#include "wasm/cursor.h"
#include "wasm/opcodes.h"

#include <stdlib.h>

/* Ids of sections, as the binary format numbers them. */
enum {
	SECTION_TYPE = 1,
	SECTION_FUNCTION = 3,
	SECTION_EXPORT = 7,
	SECTION_START = 8,
	SECTION_CODE = 10,
	SECTION_DATA = 11,
	SECTION_DATA_COUNT = 12,
};

/* NULL when the segment can be emptied, and then *end is where it ends. */
static const char *keep_reason(const struct fl_module *module,
			       uint32_t data_idx, uint64_t *end)
{
	const struct fl__data *data = &module->reader.data[data_idx];
	const struct fl__globals none = { NULL, 0, NULL };
	struct fl_segment segment;
	bool is_64 = module->reader.memories[data->memory_idx].limits.is_64;

	if (fl__module_place(module, data_idx, &none, &segment, NULL))
		return "its offset depends on an imported global";
	if (fl_add_overflow(segment.offset_bytes, segment.length_bytes, end) ||
	    (!is_64 && *end > UINT32_MAX))
		return "it ends beyond the address type";
	return NULL;
}

static void write_emptied(const struct fl_module *module,
			  const struct fl__data *data, uint64_t end,
			  struct fl__sink *sink)
{
	bool is_64 = module->reader.memories[data->memory_idx].limits.is_64;

	fl__sink_byte(sink, data->memory_idx ? 2 : 0);
	if (data->memory_idx)
		fl__sink_uleb(sink, data->memory_idx);
	fl__sink_byte(sink, is_64 ? FL__OP_I64_CONST : FL__OP_I32_CONST);
	fl__sink_sleb(sink, is_64 ? (int64_t)end : (int64_t)(int32_t)end);
	fl__sink_byte(sink, FL__OP_END);
	fl__sink_uleb(sink, 0);
}

static void report_kept(struct fl_data_free_report *report, uint32_t data_idx,
			uint64_t bytes, const char *reason)
{
	if (!report->kept_count) {
		report->first_kept_idx = data_idx;
		report->kept_reason = reason;
	}
	report->kept_count++;
	report->kept_bytes += bytes;
}

/* What is written of a module beside its own bytes. */
struct plan {
	const struct fl_module *module;
	const struct fl_state_export *exports;
	uint32_t export_count; /* 0: exports and start stay as they are */
	const struct fl__resumable *resumable; /* NULL: no functions more */
	bool leaves_out; /* segments without effect; no code names any */
	struct fl_data_free_report report;
};

/* Does an empty segment that ends there trap in no instance? Memories are at least
 * as large as their minimum, imported ones too. */
static bool never_traps(const struct fl_module *module,
			const struct fl__data *data, uint64_t end)
{
	const struct fl__limits *limits =
		&module->reader.memories[data->memory_idx].limits;

	return limits->min > UINT64_MAX >> limits->page_log2 ||
	       end <= limits->min << limits->page_log2;
}

/* Can segments be left out, so that later ones get other indices? Code can name
 * them only where there is a data count section. */
static bool can_leave_out(const struct fl_module *module)
{
	const struct fl__reader *reader = &module->reader;
	struct fl__cursor c = fl__cursor_at(
		reader->bytes, (struct fl__view){ 8, reader->length - 8 });
	const struct fl__survey *survey;
	uint8_t marks = 0, id = 0;

	while (c.off < c.end && id != SECTION_DATA_COUNT) {
		id = fl__cursor_u8(&c, "");
		fl__cursor_skip(&c, "", fl__cursor_u32(&c, ""));
		fl_assert(!c.err);
	}
	if (id != SECTION_DATA_COUNT)
		return true;
	if (fl__module_survey(module, &survey) || !survey->is_code_known)
		return false;
	for (uint32_t i = 0; i < reader->data_count; i++)
		marks |= survey->marks.data[i];
	return !marks;
}

/* The number of segments that are written. */
static uint32_t write_segments(struct plan *plan, struct fl__sink *sink)
{
	const struct fl__reader *reader = &plan->module->reader;
	struct fl_data_free_report *report = &plan->report;
	/* Of which memories segments stay whole from here on. */
	bool keeps[FL__READER_MAX_MEMORIES] = { false };
	uint32_t count = 0;

	*report = (struct fl_data_free_report){ .size = sizeof(*report) };
	for (uint32_t i = 0; i < reader->data_count; i++) {
		const struct fl__data *data = &reader->data[i];
		const char *reason = NULL;
		uint64_t end = 0;

		if (data->mode == FL__SEGMENT_ACTIVE) {
			reason = keep_reason(plan->module, i, &end);
			if (!reason && keeps[data->memory_idx])
				reason = "an earlier one of its memory is kept";
			if (!reason) {
				report->emptied_count++;
				report->emptied_bytes += data->bytes.len;
				if (plan->leaves_out &&
				    never_traps(plan->module, data, end))
					continue;
				write_emptied(plan->module, data, end, sink);
				count++;
				continue;
			}
			keeps[data->memory_idx] = true;
			report_kept(report, i, data->bytes.len, reason);
		}
		fl__sink_bytes(sink, reader->bytes + data->whole.off,
			       data->whole.len);
		count++;
	}
	return count;
}

static void write_data(struct plan *plan, struct fl__sink *sink)
{
	struct fl__sink counted = { 0 };

	fl__sink_uleb(sink, write_segments(plan, &counted));
	write_segments(plan, sink);
}

/* ---------------------------------------------------------------- sections */

static void write_export(const char *name, uint8_t kind, uint32_t idx,
			 struct fl__sink *sink)
{
	size_t len = strlen(name);

	fl__sink_uleb(sink, len);
	fl__sink_bytes(sink, name, len);
	fl__sink_byte(sink, kind);
	fl__sink_uleb(sink, idx);
}

static void write_exports(const struct plan *plan, struct fl__sink *sink)
{
	const struct fl__reader *reader = &plan->module->reader;
	uint32_t more = plan->resumable ? FL__RESUMABLE_FUNCTIONS :
					  plan->export_count;

	fl__sink_uleb(sink, (uint64_t)reader->export_count + more);
	fl__sink_bytes(sink, reader->bytes + reader->exports.off,
		       reader->exports.len);
	if (plan->resumable) {
		write_export(FL_RESUMABLE_UNCHANGED, FL_STATE_FUNCTION,
			     reader->func_count, sink);
		write_export(FL_RESUMABLE_GROW, FL_STATE_FUNCTION,
			     reader->func_count + 1, sink);
		return;
	}
	for (uint32_t i = 0; i < plan->export_count; i++) {
		const struct fl_state_export *made = &plan->exports[i];

		write_export(made->name,
			     made->kind == FL_STATE_START ? FL_STATE_FUNCTION :
							    (uint8_t)made->kind,
			     made->idx, sink);
	}
}

static void write_contents(struct plan *plan, uint8_t id, struct fl__sink *sink)
{
	switch (id) {
	case SECTION_TYPE:
		fl__resumable_types(plan->resumable, sink);
		break;
	case SECTION_FUNCTION:
		fl__resumable_functions(plan->resumable, sink);
		break;
	case SECTION_EXPORT:
		write_exports(plan, sink);
		break;
	case SECTION_CODE:
		fl__resumable_code(plan->resumable, sink);
		break;
	default:
		write_data(plan, sink);
		break;
	}
}

static void write_new_section(struct plan *plan, uint8_t id,
			      struct fl__sink *sink)
{
	struct fl__sink counted = { 0 };

	write_contents(plan, id, &counted);
	fl__sink_byte(sink, id);
	fl__sink_uleb(sink, counted.len);
	write_contents(plan, id, sink);
}

/* Does this section get another content? */
static bool is_written_anew(const struct plan *plan, uint8_t id)
{
	return id == SECTION_DATA ||
	       (plan->export_count && id == SECTION_EXPORT) ||
	       (plan->resumable &&
		(id == SECTION_TYPE || id == SECTION_FUNCTION ||
		 id == SECTION_CODE));
}

/* Does the export section come before this one? Custom ones are anywhere. */
static bool is_after_exports(uint8_t id)
{
	return id > SECTION_EXPORT && id <= SECTION_DATA_COUNT;
}

/* Without the section that counts segments, no code names any. */
static bool is_left_out(const struct plan *plan, uint8_t id)
{
	return (id == SECTION_START && plan->export_count) ||
	       (id == SECTION_DATA_COUNT && plan->leaves_out);
}

/* The reader has checked the sections: no cursor fails. */
static void write_module(struct plan *plan, struct fl__sink *sink)
{
	const struct fl__reader *reader = &plan->module->reader;
	struct fl__cursor c = fl__cursor_at(
		reader->bytes, (struct fl__view){ 8, reader->length - 8 });
	bool has_exports = !plan->export_count;

	fl__sink_bytes(sink, reader->bytes, 8);
	while (c.off < c.end) {
		uint64_t from = c.off;
		uint8_t id = fl__cursor_u8(&c, "");

		fl__cursor_skip(&c, "", fl__cursor_u32(&c, ""));
		fl_assert(!c.err);
		if (!has_exports && is_after_exports(id)) {
			write_new_section(plan, SECTION_EXPORT, sink);
			has_exports = true;
		}
		if (is_written_anew(plan, id))
			write_new_section(plan, id, sink);
		else if (!is_left_out(plan, id))
			fl__sink_bytes(sink, reader->bytes + from,
				       c.off - from);
		has_exports |= id == SECTION_EXPORT;
	}
	if (!has_exports)
		write_new_section(plan, SECTION_EXPORT, sink);
}

static int write_planned(struct plan *plan, void **bytes,
			 uint64_t *length_bytes,
			 struct fl_data_free_report *report,
			 struct fl_error *error)
{
	struct fl__sink counted = { 0 }, written = { 0 };

	plan->report.size = sizeof(plan->report);
	plan->leaves_out = can_leave_out(plan->module);
	write_module(plan, &counted);
	written.out = malloc((size_t)counted.len + 1);
	if (!written.out)
		return fl__error_set(error, -ENOMEM,
				     "no memory to write a module");
	write_module(plan, &written);
	fl_assert(written.len == counted.len);
	*bytes = written.out;
	*length_bytes = written.len;
	if (report)
		fl__sized_write(report, &plan->report, sizeof(plan->report));
	return 0;
}

int fl_module_write_data_free(const struct fl_module *module, void **bytes,
			      uint64_t *length_bytes,
			      struct fl_data_free_report *report,
			      struct fl_error *error)
{
	struct plan plan = { .module = module };

	return write_planned(&plan, bytes, length_bytes, report, error);
}

static int plan_exports(struct plan *plan, struct fl_state_export **exports,
			struct fl_error *error)
{
	int err = fl_module_state_exports(plan->module, NULL, 0,
					  &plan->export_count, error);

	*exports = NULL;
	if (err)
		return err;
	*exports = calloc(plan->export_count + (size_t)1, sizeof(**exports));
	if (!*exports)
		return fl__error_set(error, -ENOMEM,
				     "no memory to write a module");
	plan->exports = *exports;
	return fl_module_state_exports(plan->module, *exports,
				       plan->export_count, &plan->export_count,
				       error);
}

int fl_module_write_state_exports(const struct fl_module *module, void **bytes,
				  uint64_t *length_bytes,
				  struct fl_data_free_report *report,
				  struct fl_error *error)
{
	struct plan plan = { .module = module };
	struct fl_state_export *exports;
	int err = plan_exports(&plan, &exports, error);

	if (!err)
		err = write_planned(&plan, bytes, length_bytes, report, error);
	free(exports);
	return err;
}

/* --------------------------------------------------------------- resumable */

static int write_whole_plan(struct plan *plan, void **bytes,
			    uint64_t *length_bytes,
			    struct fl_data_free_report *report,
			    struct fl_error *error)
{
	int err = write_planned(plan, bytes, length_bytes, report, error);

	if (err || !plan->report.kept_count)
		return err;
	free(*bytes);
	*bytes = NULL;
	return fl__error_set(
		error, -ENOTSUP,
		"data segment %u would be copied over a captured memory: %s",
		plan->report.first_kept_idx, plan->report.kept_reason);
}

int fl_module_write_resumable(const struct fl_module *module, void **bytes,
			      uint64_t *length_bytes,
			      struct fl_data_free_report *report,
			      struct fl_error *error)
{
	struct fl__resumable resumable = { .reader = &module->reader };
	struct plan plan = { .module = module, .resumable = &resumable };
	struct fl_state_export *exports;
	int err = plan_exports(&plan, &exports, error);

	resumable.exports = plan.exports;
	resumable.export_count = plan.export_count;
	if (!err)
		err = fl__resumable_check(&resumable, error);
	if (!err)
		err = write_whole_plan(&plan, bytes, length_bytes, report,
				       error);
	free(exports);
	return err;
}

void fl_bytes_free(void *bytes)
{
	free(bytes);
}
