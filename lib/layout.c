/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * layout.c - the arithmetic of a pool's reservation.
 *
 * Takes a configuration and the host page size, gives offsets and strides, or
 * names the two values that contradict each other. Pure.
 */
#include "pool.h"

/* Where the stride allows it, bases are aligned to this, so that image and
 * memory are congruent modulo a large page. */
#define LARGE_PAGE_BYTES ((uint64_t)2 << 20)

#define LAYOUT_MAX_BYTES (UINT64_MAX >> 1)

static unsigned long long ull(uint64_t value)
{
	return value;
}

static int layout_too_large(struct fl_error *error, const char *field)
{
	return fl__error_set(
		error, -ENOMEM,
		"the pool does not fit any address space; lower %s", field);
}

static int layout_check(const struct fl_pool_config *config,
			struct fl_error *error)
{
	if (!fl_is_pow2(config->memory_alignment_bytes) &&
	    config->memory_alignment_bytes)
		return fl__error_set(
			error, -EINVAL,
			"memory_alignment_bytes is %llu; it must be a power of two",
			ull(config->memory_alignment_bytes));
	if (config->bounds != FL_BOUNDS_GUARDED &&
	    config->bounds != FL_BOUNDS_ACCESSIBLE)
		return fl__error_set(
			error, -EINVAL,
			"bounds is %d; use an enumerator of enum fl_bounds",
			(int)config->bounds);
	if (config->strategy != FL_STRATEGY_REUSE_AFFINITY &&
	    config->strategy != FL_STRATEGY_NEXT_AVAILABLE &&
	    config->strategy != FL_STRATEGY_RANDOM)
		return fl__error_set(
			error, -EINVAL,
			"strategy is %d; use an enumerator of enum fl_strategy",
			(int)config->strategy);
	if (config->max_tables && !config->table_element_bytes)
		return fl__error_set(
			error, -EINVAL,
			"max_tables is %u but table_element_bytes is 0",
			config->max_tables);
	if (config->max_stacks && !config->stack_bytes)
		return fl__error_set(error, -EINVAL,
				     "max_stacks is %u but stack_bytes is 0",
				     config->max_stacks);
	return 0;
}

static int layout_stride(const struct fl_pool_config *config, uint64_t align,
			 uint64_t need, uint64_t *stride,
			 struct fl_error *error)
{
	need = fl_max_u64(need, align);
	if (!config->memory_stride_bytes) {
		if (fl_round_up_overflow(need, align, stride))
			return layout_too_large(error, "max_memory_bytes");
		return 0;
	}
	*stride = config->memory_stride_bytes;
	if (*stride < need)
		return fl__error_set(
			error, -EINVAL,
			"memory_stride_bytes is %llu; max_memory_bytes and %s together need %llu",
			ull(*stride),
			config->guard_before_bytes > config->guard_after_bytes ?
				"guard_before_bytes" :
				"guard_after_bytes",
			ull(need));
	if (*stride % align)
		return fl__error_set(
			error, -EINVAL,
			"memory_stride_bytes is %llu; it must be a multiple of %llu (memory_alignment_bytes, or the host page)",
			ull(*stride), ull(align));
	return 0;
}

/* Round every size to host pages; the sums cannot overflow after that, as each
 * is below 2^63 / 8. */
static int layout_sizes(const struct fl_pool_config *config, uint64_t hpage,
			uint64_t *max, uint64_t *prefix, uint64_t *before,
			uint64_t *after, struct fl_error *error)
{
	const struct {
		uint64_t value;
		uint64_t *rounded;
		const char *field;
	} sizes[] = {
		{ config->max_memory_bytes, max, "max_memory_bytes" },
		{ config->prefix_bytes, prefix, "prefix_bytes" },
		{ config->guard_before_bytes, before, "guard_before_bytes" },
		{ config->guard_after_bytes, after, "guard_after_bytes" },
	};

	for (size_t i = 0; i < FL_ARRAY_SIZE(sizes); i++) {
		if (sizes[i].value > LAYOUT_MAX_BYTES / 8)
			return layout_too_large(error, sizes[i].field);
		*sizes[i].rounded = fl_round_up(sizes[i].value, hpage);
	}
	if (config->memory_alignment_bytes > LAYOUT_MAX_BYTES / 8)
		return layout_too_large(error, "memory_alignment_bytes");
	return 0;
}

static int layout_memories(const struct fl_pool_config *config, uint64_t hpage,
			   struct fl__layout *layout, struct fl_error *error)
{
	struct fl__geometry *geometry = &layout->memories;
	uint64_t prefix, before, after, align, reach, bytes;
	int err;

	err = layout_sizes(config, hpage, &geometry->max_bytes, &prefix,
			   &before, &after, error);
	if (err)
		return err;
	align = fl_max_u64(config->memory_alignment_bytes, hpage);
	err = layout_stride(config, align,
			    geometry->max_bytes + fl_max_u64(before, after),
			    &reach, error);
	if (err)
		return err;
	if (reach % LARGE_PAGE_BYTES == 0)
		align = fl_max_u64(align, LARGE_PAGE_BYTES);
	/* The next one's prefix is writable: it lies beyond the reach. */
	geometry->stride_bytes = reach + fl_round_up(prefix, align);
	geometry->first_off = fl_round_up(before + prefix, align);
	geometry->prefix_bytes = prefix;
	geometry->hpage_bytes = hpage;
	geometry->slot_count = config->max_memories;
	geometry->is_accessible = config->bounds == FL_BOUNDS_ACCESSIBLE;
	geometry->max_kept_bytes = config->max_idle_slot_bytes;
	layout->align_bytes = align;
	layout->reserved_bytes = 0;
	if (!geometry->slot_count)
		return 0;
	if (fl_mul_overflow(geometry->stride_bytes, geometry->slot_count,
			    &bytes) ||
	    bytes > LAYOUT_MAX_BYTES - geometry->first_off)
		return layout_too_large(error,
					"max_memories or memory_stride_bytes");
	layout->reserved_bytes = geometry->first_off + bytes;
	return 0;
}

/* count slots of slot_bytes, a guard page before each and one after all. */
static int layout_append(struct fl__layout *layout, uint64_t count,
			 uint64_t slot_bytes, uint64_t hpage, uint64_t *off,
			 uint64_t *stride, const char *field,
			 struct fl_error *error)
{
	uint64_t bytes;

	*off = layout->reserved_bytes;
	*stride = 0;
	if (!count)
		return 0;
	if (slot_bytes > LAYOUT_MAX_BYTES / 8)
		return layout_too_large(error, field);
	*stride = fl_round_up(slot_bytes, hpage) + hpage;
	if (fl_mul_overflow(*stride, count, &bytes) ||
	    bytes > LAYOUT_MAX_BYTES - layout->reserved_bytes - hpage)
		return layout_too_large(error, field);
	layout->reserved_bytes += bytes + hpage;
	return 0;
}

int fl__layout_plan(const struct fl_pool_config *config, uint64_t hpage_bytes,
		    struct fl__layout *layout, struct fl_error *error)
{
	uint64_t table_bytes;
	int err;

	*layout = (struct fl__layout){ 0 };
	err = layout_check(config, error);
	if (!err)
		err = layout_memories(config, hpage_bytes, layout, error);
	if (err)
		return err;
	if (fl_mul_overflow(config->max_table_elements,
			    config->table_element_bytes, &table_bytes))
		table_bytes = UINT64_MAX;
	err = layout_append(layout, config->max_tables, table_bytes,
			    hpage_bytes, &layout->tables_off,
			    &layout->table_stride_bytes,
			    "max_tables or max_table_elements", error);
	if (err)
		return err;
	return layout_append(layout, config->max_stacks, config->stack_bytes,
			     hpage_bytes, &layout->stacks_off,
			     &layout->stack_stride_bytes,
			     "max_stacks or stack_bytes", error);
}
