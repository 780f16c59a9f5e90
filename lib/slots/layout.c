/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/* layout.c - offsets and strides, checked; see layout.h. */
#include "layout.h"

/* Where the stride allows, bases are aligned to a large page, so that image and
 * slot are congruent modulo a large page. */
#define LARGE_PAGE_BYTES ((uint64_t)2 << 20)

/* From here on the least stride is a multiple of a large page too, which costs
 * less than a hundredth: no slot then shares a page table with what lies behind
 * it, and a scan of an accessible slot ends where nobody else is. */
#define LONG_SLOT_BYTES ((uint64_t)256 << 20)

#define LAYOUT_MAX_BYTES (UINT64_MAX >> 1)

/* count: what says how many slots there are, or NULL where one does not fit. */
static int layout_too_large(struct fl_error *error, const char *count,
			    const char *field)
{
	return fl__error_set(
		error, -ENOMEM,
		"the pool does not fit any address space; lower %s%s%s",
		count ? count : "", count ? " or " : "", field);
}

struct term {
	uint64_t bytes;
	const char *field;
};

/* Of equal terms the first. */
static const char *largest_term(const struct term *terms, size_t count)
{
	size_t largest = 0;

	for (size_t i = 1; i < count; i++)
		if (terms[i].bytes > terms[largest].bytes)
			largest = i;
	return terms[largest].field;
}

static const char *memory_term(const struct fl_pool_config *config)
{
	const struct term given[] = {
		{ config->memory_stride_bytes, "memory_stride_bytes" },
		{ config->prefix_bytes, "prefix_bytes" },
	};
	const struct term all[] = {
		{ config->max_memory_bytes, "max_memory_bytes" },
		{ config->guard_after_bytes, "guard_after_bytes" },
		{ config->guard_before_bytes, "guard_before_bytes" },
		{ config->prefix_bytes, "prefix_bytes" },
		{ config->memory_alignment_bytes, "memory_alignment_bytes" },
	};

	/* A stride that is given holds all but the prefix. */
	return config->memory_stride_bytes ?
		       largest_term(given, FL_ARRAY_SIZE(given)) :
		       largest_term(all, FL_ARRAY_SIZE(all));
}

const char *fl__layout_largest_field(const struct fl_pool_config *config,
				     enum fl__bank_idx bank)
{
	const struct term structure[] = {
		{ config->instance_bytes, "instance_bytes" },
		{ config->instance_alignment_bytes,
		  "instance_alignment_bytes" },
	};
	const struct term stack[] = {
		{ config->stack_bytes, "stack_bytes" },
		{ config->stack_guard_bytes, "stack_guard_bytes" },
	};

	switch (bank) {
	case FL__BANK_TABLE:
		return "max_table_elements";
	case FL__BANK_STRUCTURE:
		return largest_term(structure, FL_ARRAY_SIZE(structure));
	case FL__BANK_STACK:
		return largest_term(stack, FL_ARRAY_SIZE(stack));
	default:
		return memory_term(config);
	}
}

static int layout_check_enums(const struct fl_pool_config *config,
			      struct fl_error *error)
{
	const struct {
		unsigned int value, last;
		const char *field, *type;
	} enums[] = {
		{ config->bounds, FL_BOUNDS_ACCESSIBLE, "bounds", "fl_bounds" },
		{ config->strategy, FL_STRATEGY_RANDOM, "strategy",
		  "fl_strategy" },
		{ config->stack_growth, FL_STACK_GROWS_UP, "stack_growth",
		  "fl_stack_growth" },
	};

	for (size_t i = 0; i < FL_ARRAY_SIZE(enums); i++) {
		if (enums[i].value > enums[i].last)
			return fl__error_set(
				error, -EINVAL,
				"%s is %d; use an enumerator of enum %s",
				enums[i].field, (int)enums[i].value,
				enums[i].type);
	}
	return 0;
}

static int layout_check_alignments(const struct fl_pool_config *config,
				   struct fl_error *error)
{
	const struct {
		uint64_t value, most;
		const char *field;
	} alignments[] = {
		{ config->memory_alignment_bytes, UINT64_MAX,
		  "memory_alignment_bytes" },
		{ config->instance_alignment_bytes, LARGE_PAGE_BYTES,
		  "instance_alignment_bytes" },
		{ config->stack_alignment_bytes, FL__MAX_STACK_ALIGNMENT,
		  "stack_alignment_bytes" },
	};

	for (size_t i = 0; i < FL_ARRAY_SIZE(alignments); i++) {
		uint64_t value = alignments[i].value;

		if (!value ||
		    (fl_is_pow2(value) && value <= alignments[i].most))
			continue;
		if (alignments[i].most == UINT64_MAX)
			return fl__error_set(error, -EINVAL,
					     "%s is %llu; use a power of two",
					     alignments[i].field,
					     fl_llu(value));
		return fl__error_set(
			error, -EINVAL,
			"%s is %llu; use a power of two up to %llu",
			alignments[i].field, fl_llu(value),
			fl_llu(alignments[i].most));
	}
	return 0;
}

static int layout_check(const struct fl_pool_config *config,
			struct fl_error *error)
{
	int err = layout_check_enums(config, error);

	if (!err)
		err = layout_check_alignments(config, error);
	if (err)
		return err;
	/* The default is none that a caller would set to 0. */
	if (!config->stack_alignment_bytes)
		return fl__error_set(
			error, -EINVAL,
			"stack_alignment_bytes is 0; fill struct fl_pool_config with its init call first, or use a power of two up to %u",
			FL__MAX_STACK_ALIGNMENT);
	if (config->max_tables &&
	    !fl__table_width_is_valid(config->table_element_bytes))
		return fl__error_set(
			error, -EINVAL,
			"table_element_bytes is %llu; use 4, 8, 16, 24 or 32",
			fl_llu(config->table_element_bytes));
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
	if (!config->memory_stride_bytes) {
		need = fl_max_u64(need, align);
		if (config->bounds == FL_BOUNDS_ACCESSIBLE &&
		    need >= LONG_SLOT_BYTES && need > config->max_memory_bytes)
			align = fl_max_u64(align, LARGE_PAGE_BYTES);
		if (fl_round_up_overflow(need, align, stride))
			return layout_too_large(error, NULL,
						memory_term(config));
		return 0;
	}
	*stride = config->memory_stride_bytes;
	if (*stride < need)
		return fl__error_set(
			error, -EINVAL,
			"memory_stride_bytes is %llu; max_memory_bytes and %s together need %llu",
			fl_llu(*stride),
			config->guard_before_bytes > config->guard_after_bytes ?
				"guard_before_bytes" :
				"guard_after_bytes",
			fl_llu(need));
	if (*stride % align)
		return fl__error_set(
			error, -EINVAL,
			"memory_stride_bytes is %llu; it must be a multiple of %llu (memory_alignment_bytes, or the host page)",
			fl_llu(*stride), fl_llu(align));
	return 0;
}

/* Round every size to host pages. After that no sum of sizes can overflow,
 * because each size is at most 2^63 / 8. */
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
			return layout_too_large(error, NULL, sizes[i].field);
		*sizes[i].rounded = fl_round_up(sizes[i].value, hpage);
	}
	if (config->memory_alignment_bytes > LAYOUT_MAX_BYTES / 8)
		return layout_too_large(error, NULL, "memory_alignment_bytes");
	return 0;
}

/* Reserve geometry's slots after what is laid out already. */
static int layout_reserve(const struct fl_pool_config *config,
			  enum fl__bank_idx bank, uint32_t count,
			  struct fl__layout *layout, struct fl_error *error)
{
	static const char *const counts[FL__BANK_COUNT] = {
		[FL__BANK_MEMORY] = "max_memories",
		[FL__BANK_TABLE] = "max_tables",
		[FL__BANK_STRUCTURE] = "max_instances",
		[FL__BANK_STACK] = "max_stacks",
	};
	struct fl__geometry *geometry = &layout->banks[bank];
	uint64_t start = layout->reserved_bytes, bytes;

	geometry->slot_count = count;
	if (!count)
		return 0;
	if (fl_mul_overflow(geometry->stride_bytes, count, &bytes) ||
	    fl_add_overflow(bytes, geometry->first_off, &bytes) ||
	    fl_add_overflow(bytes, start, &bytes) || bytes > LAYOUT_MAX_BYTES)
		return layout_too_large(error, counts[bank],
					fl__layout_largest_field(config, bank));
	geometry->first_off += start;
	layout->reserved_bytes = bytes;
	return 0;
}

static int layout_memories(const struct fl_pool_config *config, uint64_t hpage,
			   bool is_apart, struct fl__layout *layout,
			   struct fl_error *error)
{
	uint32_t count = is_apart ? 0 : config->max_memories;
	bool may_exist = is_apart || count;
	struct fl__geometry *geometry = &layout->banks[FL__BANK_MEMORY];
	uint64_t prefix, before, after, align, reach;
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
	/* Without memories nothing is there to guard. */
	if (config->bounds == FL_BOUNDS_GUARDED && may_exist &&
	    reach == geometry->max_bytes)
		return fl__error_set(
			error, -EINVAL,
			"bounds is FL_BOUNDS_GUARDED, but guard_after_bytes is 0 and memory_stride_bytes leaves no room behind max_memory_bytes; raise guard_after_bytes or memory_stride_bytes");
	layout->memory_reach_bytes = reach;
	/* The next memory's prefix is writable, and so lies beyond the
	 * reach. */
	geometry->stride_bytes = reach + fl_round_up(prefix, align);
	/* Before the first slot is whatever the process maps there. */
	geometry->first_off =
		fl_round_up(fl_max_u64(before, hpage) + prefix, align);
	geometry->prefix_bytes = prefix;
	geometry->lead_bytes = prefix + config->guard_before_bytes;
	geometry->first_lead_bytes = geometry->first_off;
	geometry->hpage_bytes = hpage;
	geometry->is_accessible = config->bounds == FL_BOUNDS_ACCESSIBLE;
	geometry->max_kept_bytes = config->max_idle_slot_bytes;
	geometry->avoids_huge_pages = config->avoids_huge_pages;
	geometry->dump = config->dumps_memories ? FL__DUMP_ACCESSIBLE :
						  FL__DUMP_NONE;
	layout->align_bytes = align;
	return layout_reserve(config, FL__BANK_MEMORY, count, layout, error);
}

/* Slots that are accessible as a whole. */
struct row {
	enum fl__bank_idx bank;
	uint32_t count;
	uint64_t slot_bytes, align_bytes, guard_bytes;
	bool guard_is_above;
	/* May the slots lie side by side? Then neighbours are fewer
	 * mappings. */
	bool may_touch;
};

/* A guard before each slot, or before the first alone where slots may touch,
 * and one after all slots. */
static int layout_row(const struct fl_pool_config *config,
		      const struct row *row, struct fl__layout *layout,
		      struct fl_error *error)
{
	struct fl__geometry *geometry = &layout->banks[row->bank];
	uint64_t hpage = layout->banks[FL__BANK_MEMORY].hpage_bytes;
	uint64_t start = layout->reserved_bytes;
	uint64_t align = fl_max_u64(row->align_bytes, hpage);
	bool is_dense = row->may_touch && row->count && row->slot_bytes;
	uint64_t guard, between;
	int err;

	if (row->slot_bytes > LAYOUT_MAX_BYTES / 8 ||
	    row->guard_bytes > LAYOUT_MAX_BYTES / 8)
		return layout_too_large(error, NULL,
					fl__layout_largest_field(config,
								 row->bank));
	guard = fl_round_up(fl_max_u64(row->guard_bytes, 1), hpage);
	between = is_dense ? 0 : guard;
	*geometry = (struct fl__geometry){
		.max_bytes = fl_round_up(row->slot_bytes, hpage),
		.hpage_bytes = hpage,
		.lead_bytes = between,
		.first_lead_bytes = guard,
		.trail_bytes = is_dense ? guard : 0,
		.guard_is_above = row->guard_is_above,
		.is_accessible = true,
		.max_kept_bytes = config->max_idle_slot_bytes,
		.avoids_huge_pages = config->avoids_huge_pages,
	};
	/* With guards between, the last slot's stride ends with the guard after
	 * all slots. */
	geometry->stride_bytes =
		fl_round_up(geometry->max_bytes + between, align);
	geometry->first_off = fl_round_up(start + guard, align) - start;
	/* Slots of no bytes are only counted. */
	if (row->count && !row->slot_bytes) {
		geometry->stride_bytes = geometry->first_off = 0;
		geometry->slot_count = row->count;
		return 0;
	}
	layout->align_bytes = fl_max_u64(layout->align_bytes, align);
	err = layout_reserve(config, row->bank, row->count, layout, error);
	if (!err)
		layout->reserved_bytes += geometry->trail_bytes;
	return err;
}

/* Without tables, the limits of tables must not stand in the way. */
static uint64_t table_bytes(const struct fl_pool_config *config)
{
	uint64_t bytes;

	if (!config->max_tables)
		return 0;
	if (fl_mul_overflow(config->max_table_elements,
			    config->table_element_bytes, &bytes))
		return UINT64_MAX;
	return bytes;
}

int fl__layout_plan(const struct fl_pool_config *config, uint64_t hpage_bytes,
		    bool is_apart, struct fl__layout *layout,
		    struct fl_error *error)
{
	bool may_touch = config->bounds == FL_BOUNDS_ACCESSIBLE;
	const struct row rows[] = {
		{ FL__BANK_TABLE, is_apart ? 0 : config->max_tables,
		  table_bytes(config), 0, 0, false, may_touch },
		{ FL__BANK_STRUCTURE, is_apart ? 0 : config->max_instances,
		  config->instance_bytes, config->instance_alignment_bytes, 0,
		  false, may_touch },
		{ FL__BANK_STACK, is_apart ? 0 : config->max_stacks,
		  is_apart || config->max_stacks ? config->stack_bytes : 0, 0,
		  is_apart || config->max_stacks ? config->stack_guard_bytes :
						   0,
		  config->stack_growth == FL_STACK_GROWS_DOWN, false },
	};
	int err = layout_check(config, error);

	*layout = (struct fl__layout){ 0 };
	if (!err)
		err = layout_memories(config, hpage_bytes, is_apart, layout,
				      error);
	for (size_t i = 0; i < FL_ARRAY_SIZE(rows) && !err; i++)
		err = layout_row(config, &rows[i], layout, error);
	return err;
}

/* A larger guard takes page tables that are worth a mapping. */
#define MARKED_GUARD_BYTES ((uint64_t)1 << 20)

void fl__layout_mark_guards(struct fl__layout *layout)
{
	for (int i = FL__BANK_TABLE; i < FL__BANK_COUNT; i++) {
		struct fl__geometry *geometry = &layout->banks[i];
		uint64_t gap = geometry->stride_bytes - geometry->max_bytes;

		if (geometry->slot_count && geometry->stride_bytes &&
		    gap <= MARKED_GUARD_BYTES)
			geometry->marked_bytes = gap;
	}
}
