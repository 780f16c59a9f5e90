/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * bulk.c - bulk memory operations with the specification's trap rules.
 *
 * Takes live memories and offsets of any value; gives a trap, or the bytes
 * moved. Bounds are checked against the size at the start and before anything
 * is written, so a trap changes nothing. A live memory never shrinks, so a size
 * that was read stays good.
 */
#include "bulk.h"
#include "base/config.h"
#include "instance.h"

static bool memory_fits(const struct fl_memory *memory, uint64_t off,
			uint64_t len)
{
	return fl_range_fits(off, len, fl__memory_length(memory));
}

enum fl_trap fl_memory_copy(struct fl_memory *dst, uint64_t dst_off,
			    const struct fl_memory *src, uint64_t src_off,
			    uint64_t len)
{
	if (!memory_fits(dst, dst_off, len) || !memory_fits(src, src_off, len))
		return FL_TRAP_MEMORY_OUT_OF_BOUNDS;
	memmove(dst->base + dst_off, src->base + src_off, (size_t)len);
	return FL_TRAP_NONE;
}

enum fl_trap fl_memory_fill(struct fl_memory *memory, uint64_t off,
			    uint8_t value, uint64_t len)
{
	if (!memory_fits(memory, off, len))
		return FL_TRAP_MEMORY_OUT_OF_BOUNDS;
	memset(memory->base + off, value, (size_t)len);
	return FL_TRAP_NONE;
}

enum fl_trap fl_memory_init(struct fl_instance *instance, uint32_t memory_idx,
			    uint32_t data_idx, uint64_t dst_off,
			    uint64_t src_off, uint64_t len)
{
	const struct fl__reader *reader = &instance->module->reader;
	struct fl_memory *memory = fl_instance_memory(instance, memory_idx);
	const struct fl__data *data;
	uint64_t available = 0;

	if (!memory || data_idx >= reader->data_count)
		return FL_TRAP_MEMORY_OUT_OF_BOUNDS;
	data = &reader->data[data_idx];
	/* Instantiation has dropped active segments. */
	if (data->mode == FL__SEGMENT_PASSIVE &&
	    !fl_bit_get(instance->dropped_data.bits, data_idx))
		available = data->bytes.len;
	if (!fl_range_fits(src_off, len, available) ||
	    !memory_fits(memory, dst_off, len))
		return FL_TRAP_MEMORY_OUT_OF_BOUNDS;
	memcpy(memory->base + dst_off,
	       reader->bytes + data->bytes.off + src_off, (size_t)len);
	return FL_TRAP_NONE;
}

void fl_data_drop(struct fl_instance *instance, uint32_t data_idx)
{
	const struct fl__reader *reader = &instance->module->reader;

	if (data_idx >= reader->data_count ||
	    reader->data[data_idx].mode != FL__SEGMENT_PASSIVE)
		return;
	fl__dropped_set(&instance->dropped_data, data_idx);
}

static int segment_write(struct fl_memory *memory,
			 const struct fl_segment *segment,
			 struct fl_error *error)
{
	int err = fl__memory_put(memory, segment->offset_bytes, segment->bytes,
				 segment->length_bytes);

	return err ? fl__memory_cannot_put("a data segment", err, error) : 0;
}

int fl__data_write(struct fl_memory *memory, const struct fl_module *module,
		   uint32_t data_idx, const struct fl__globals *globals,
		   struct fl_error *error)
{
	struct fl_segment segment;
	int err = fl__module_place(module, data_idx, globals, &segment, error);

	if (err)
		return err;
	if (!memory_fits(memory, segment.offset_bytes, segment.length_bytes))
		return fl__error_set_trap(
			error, FL_TRAP_MEMORY_OUT_OF_BOUNDS,
			"data segment %u is out of bounds of memory %u, which has %llu bytes",
			data_idx, module->reader.data[data_idx].memory_idx,
			fl_llu(fl__memory_length(memory)));
	return segment_write(memory, &segment, error);
}

static int apply_all(struct fl_memory *memory, const struct fl_module *module,
		     uint32_t memory_idx, const struct fl__globals *globals,
		     struct fl_error *error)
{
	const struct fl__module_memory *of = &module->memories[memory_idx];
	const uint32_t *list = module->by_memory + of->first_data;
	int err = 0;

	for (uint32_t i = 0; i < of->data_count && !err; i++)
		err = fl__data_write(memory, module, list[i], globals, error);
	return err;
}

int fl_memory_apply_segments(struct fl_memory *memory,
			     const struct fl_module *module,
			     uint32_t memory_idx,
			     const struct fl_image_config *config,
			     enum fl_trap *trap, struct fl_error *error)
{
	struct fl_image_config known;
	struct fl__globals globals;
	struct fl_error found;
	int err = fl__pool_check_owner(fl__slot_of_side(memory)->bank->pool,
				       error);

	*trap = FL_TRAP_NONE;
	if (!err)
		err = fl__config_read(FL_IMAGE_CONFIG, &known, config, error);
	if (err)
		return err;
	if (memory_idx >= module->reader.memory_count)
		return fl__error_set(
			error, -EINVAL,
			"the module has %u %s; there is no memory %u",
			module->reader.memory_count,
			fl_noun(module->reader.memory_count, "memory",
				"memories"),
			memory_idx);
	fl__module_globals_begin(module, known.imported_globals,
				 known.imported_global_count, &globals);
	err = apply_all(memory, module, memory_idx, &globals, &found);
	fl__module_globals_end(&globals);
	if (err == -EFAULT) {
		*trap = found.trap;
		return 0;
	}
	if (err && error)
		*error = found;
	return err;
}
