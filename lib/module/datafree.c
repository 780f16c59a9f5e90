/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * datafree.c - the module that goes with its images.
 *
 * Takes a loaded module; gives the bytes of one in which active data segments
 * are empty and end where the whole ones ended. Everything outside the data
 * section is copied as it is; a segment that must stay whole is copied as it
 * is too. A first walk sizes the section, a second writes it, by the same
 * function: the bytes written are the bytes counted.
 *
 * Why: no C runtime has a switch to skip its own copying of data segments. A
 * module without content needs no switch and no patch. Each offset is moved to
 * the end of its segment, so that the runtime checks bounds as before.
 */
#include "module.h"
#include "base/sized.h"
#include "wasm/opcodes.h"

#include <stdlib.h>

/* Writes when out is not NULL, counts always. */
struct sink {
	uint8_t *out;
	uint64_t len;
};

static void sink_bytes(struct sink *sink, const void *bytes, uint64_t len)
{
	if (sink->out)
		memcpy(sink->out + sink->len, bytes, (size_t)len);
	sink->len += len;
}

static void sink_byte(struct sink *sink, uint8_t byte)
{
	sink_bytes(sink, &byte, 1);
}

static void sink_uleb(struct sink *sink, uint64_t value)
{
	for (; value >= 0x80; value >>= 7)
		sink_byte(sink, (uint8_t)(value | 0x80));
	sink_byte(sink, (uint8_t)value);
}

static void sink_sleb(struct sink *sink, int64_t value)
{
	for (; value < -64 || value > 63; value >>= 7)
		sink_byte(sink, (uint8_t)((uint64_t)value | 0x80));
	sink_byte(sink, (uint8_t)((uint64_t)value & 0x7f));
}

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
			  struct sink *sink)
{
	bool is_64 = module->reader.memories[data->memory_idx].limits.is_64;

	sink_byte(sink, data->memory_idx ? 2 : 0);
	if (data->memory_idx)
		sink_uleb(sink, data->memory_idx);
	sink_byte(sink, is_64 ? FL__OP_I64_CONST : FL__OP_I32_CONST);
	sink_sleb(sink, is_64 ? (int64_t)end : (int64_t)(int32_t)end);
	sink_byte(sink, FL__OP_END);
	sink_uleb(sink, 0);
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

static void write_section(const struct fl_module *module, struct sink *sink,
			  struct fl_data_free_report *report)
{
	const struct fl__reader *reader = &module->reader;
	/* Of which memories segments stay whole from here on. */
	bool keeps[FL__READER_MAX_MEMORIES] = { false };

	*report = (struct fl_data_free_report){ .size = sizeof(*report) };
	sink_uleb(sink, reader->data_count);
	for (uint32_t i = 0; i < reader->data_count; i++) {
		const struct fl__data *data = &reader->data[i];
		const char *reason = NULL;
		uint64_t end = 0;

		if (data->mode == FL__SEGMENT_ACTIVE) {
			reason = keep_reason(module, i, &end);
			if (!reason && keeps[data->memory_idx])
				reason = "an earlier one of its memory is kept";
			if (!reason) {
				write_emptied(module, data, end, sink);
				report->emptied_count++;
				report->emptied_bytes += data->bytes.len;
				continue;
			}
			keeps[data->memory_idx] = true;
			report_kept(report, i, data->bytes.len, reason);
		}
		sink_bytes(sink, reader->bytes + data->whole.off,
			   data->whole.len);
	}
}

static void write_module(const struct fl_module *module, uint64_t section_len,
			 struct sink *sink, struct fl_data_free_report *report)
{
	const struct fl__reader *reader = &module->reader;
	uint64_t after = reader->data_section.off + reader->data_section.len;

	if (after) {
		sink_bytes(sink, reader->bytes, reader->data_section.off);
		sink_byte(sink, 11);
		sink_uleb(sink, section_len);
		write_section(module, sink, report);
	}
	sink_bytes(sink, reader->bytes + after, reader->length - after);
}

int fl_module_write_data_free(const struct fl_module *module, void **bytes,
			      uint64_t *length_bytes,
			      struct fl_data_free_report *report,
			      struct fl_error *error)
{
	struct fl_data_free_report filled = { .size = sizeof(filled) };
	struct sink section = { 0 }, whole = { 0 }, written = { 0 };

	write_section(module, &section, &filled);
	write_module(module, section.len, &whole, &filled);
	written.out = malloc((size_t)whole.len + 1);
	if (!written.out)
		return fl__error_set(error, -ENOMEM,
				     "no memory to write a module");
	write_module(module, section.len, &written, &filled);
	fl_assert(written.len == whole.len);
	*bytes = written.out;
	*length_bytes = written.len;
	if (report)
		fl__sized_write(report, &filled, sizeof(filled));
	return 0;
}

void fl_bytes_free(void *bytes)
{
	free(bytes);
}
