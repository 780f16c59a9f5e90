/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * memory.c - linear memories: taken alone, grown, lent, found, given back.
 *
 * Takes a caller's configuration and calls; gives slots of the pool's bank of
 * memories.
 */
#include "memory.h"
#include "base/config.h"

static int memory_init(struct fl__slot *slot)
{
	struct fl__memory *memory = fl__slot_side(slot);

	memory->pub.base = slot->space.base;
	return fl__os_lock_init(&memory->grow_lock);
}

static void memory_end(struct fl__slot *slot)
{
	struct fl__memory *memory = fl__slot_side(slot);

	fl__os_lock_fini(&memory->grow_lock);
}

static uint64_t memory_describe(struct fl__slot *slot, struct fl_fault *fault)
{
	fault->memory = fl__slot_side(slot);
	fault->trap = FL_TRAP_MEMORY_OUT_OF_BOUNDS;
	return fl__memory_length(fault->memory);
}

const struct fl__kind fl__kind_memory = {
	.plural = "memories",
	.what = "memory",
	.side_bytes = sizeof(struct fl__memory),
	.init = memory_init,
	.end = memory_end,
	.describe = memory_describe,
};

/* Growth ends at the pool's maximum, which need not be whole host pages. On
 * demand a memory may start beyond that maximum, and then does not grow. */
struct fl_memory *fl__memory_begin(struct fl__slot *slot,
				   const struct fl__request *request,
				   const struct fl__memory_shape *shape)
{
	struct fl__memory *memory = fl__slot_side(slot);

	memory->since = FL__SINCE_ACQUIRE;
	/* Field by field: the struct as one would be read back from the stack
	 * while the stores of its fields are still on their way. */
	memory->shape.page_bytes = shape->page_bytes;
	memory->shape.max_bytes =
		fl_min_u64(shape->max_bytes,
			   fl_max_u64(slot->bank->pool->config.max_memory_bytes,
				      request->initial_bytes));
	memory->shape.max_pages = shape->max_pages;
	memory->shape.address_bits = shape->address_bits;
	memory->shape.is_shared = shape->is_shared;
	memory->quota = NULL;
	memory->user = NULL;
	__atomic_store_n(&memory->pub.length_bytes, request->initial_bytes,
			 __ATOMIC_RELEASE);
	return &memory->pub;
}

struct fl__memory_shape fl__memory_shape_of(const struct fl_module *module,
					    uint32_t memory_idx)
{
	const struct fl__module_memory *memory = &module->memories[memory_idx];
	const struct fl__limits *limits =
		&module->reader.memories[memory_idx].limits;

	return (struct fl__memory_shape){
		.page_bytes = memory->page_bytes,
		.max_bytes = memory->most_bytes,
		.max_pages = limits->max,
		.address_bits = limits->is_64 ? 64 : 32,
		.is_shared = limits->is_shared,
	};
}

int fl__memory_give(struct fl_memory *memory)
{
	return fl__slot_give(fl__slot_of_side(memory),
			     fl__memory_length(memory));
}

int fl__memory_restart(struct fl_memory *pub)
{
	struct fl__memory *memory = fl__memory_of(pub);
	struct fl__slot *slot = fl__slot_of_side(pub);
	int err;

	fl__os_lock(&memory->grow_lock);
	err = fl__slot_restart(slot, fl__memory_length(pub));
	memory->since = FL__SINCE_ACQUIRE;
	if (err)
		memory->shape.max_bytes = 0;
	__atomic_store_n(&pub->length_bytes,
			 err ? 0 : slot->space.attached_bytes,
			 __ATOMIC_RELEASE);
	if (err)
		(void)fl__slot_shut(slot);
	fl__os_unlock(&memory->grow_lock);
	return err;
}

/* So many bytes a memory can have whose addresses, and whose size in pages, are
 * integers of that width. */
static uint64_t address_space(uint32_t address_bits, uint64_t page_bytes)
{
	if (address_bits != 32)
		return UINT64_MAX;
	return fl_min_u64((uint64_t)1 << 32, UINT32_MAX * page_bytes);
}

static int check_addresses(const struct fl_memory_config *known,
			   struct fl_error *error)
{
	uint64_t reach = address_space(known->address_bits, known->page_bytes);

	if (known->address_bits && known->address_bits != 32 &&
	    known->address_bits != 64)
		return fl__error_set(
			error, -EINVAL,
			"address_bits is %u; use 32, 64, or 0 for a memory whose type is not known",
			known->address_bits);
	if (known->initial_bytes > reach)
		return fl__error_set(
			error, -EINVAL,
			"the memory starts with %llu bytes, but address_bits is 32: such a memory has at most %llu",
			fl_llu(known->initial_bytes), fl_llu(reach));
	return 0;
}

static int read_config(const struct fl_pool *pool,
		       const struct fl_memory_config *config,
		       struct fl_memory_config *known, struct fl_error *error)
{
	int err = fl__config_read(FL_MEMORY_CONFIG, known, config, error);

	if (err)
		return err;
	if (!fl_is_pow2(known->page_bytes) ||
	    known->page_bytes > FL_WPAGE_BYTES)
		return fl__error_set(
			error, -EINVAL,
			"page_bytes is %llu; it must be a power of two up to 65536",
			fl_llu(known->page_bytes));
	if (!known->initial_bytes && known->image)
		known->initial_bytes = known->image->map.initial_bytes;
	if (known->initial_bytes > known->max_bytes)
		return fl__error_set(
			error, -EINVAL,
			"the memory starts with %llu bytes, more than its max_bytes of %llu",
			fl_llu(known->initial_bytes), fl_llu(known->max_bytes));
	if (known->initial_bytes > pool->limits.max_memory_bytes)
		return fl__error_set(
			error, -E2BIG,
			"the memory starts with %llu bytes, the pool allows %llu; raise max_memory_bytes",
			fl_llu(known->initial_bytes),
			fl_llu(pool->limits.max_memory_bytes));
	return check_addresses(known, error);
}

static struct fl__memory_shape shape_alone(const struct fl_memory_config *known)
{
	uint64_t reach = address_space(known->address_bits, known->page_bytes);

	return (struct fl__memory_shape){
		.page_bytes = known->page_bytes,
		.max_bytes = fl_min_u64(known->max_bytes, reach),
		.address_bits = (uint8_t)known->address_bits,
		.is_shared = known->is_shared != 0,
	};
}

static int memory_acquire(struct fl_pool *pool,
			  const struct fl_memory_config *config,
			  struct fl_memory **out, struct fl_error *error)
{
	struct fl_memory_config known;
	struct fl__memory_shape shape;
	struct fl__request request;
	struct fl__os_wait wait = { 0 };
	struct fl__memory *memory;
	struct fl__slot *slot;
	int err = read_config(pool, config, &known, error);

	if (err)
		return err;
	request = (struct fl__request){
		.image = known.image,
		.initial_bytes = known.initial_bytes,
		.is_lent = known.is_lent != 0,
	};
	wait.timeout_ns = known.timeout_ns;
	err = fl__bank_take(&pool->banks[FL__BANK_MEMORY], &request, 1, &wait,
			    &slot, error);
	if (err)
		return err;
	/* Here, where few stores are on their way that the claim waits for. */
	fl__stats_add(pool->stats, FL__WORD_memories_acquired, 1);
	shape = shape_alone(&known);
	*out = fl__memory_begin(slot, &request, &shape);
	memory = fl__memory_of(*out);
	memory->user = known.user;
	/* A division by page_bytes, which takes a tenth as long. */
	memory->shape.max_pages = memory->shape.max_bytes >>
				  __builtin_ctzll(memory->shape.page_bytes);
	fl__slot_publish(slot, NULL);
	return 0;
}

int fl_memory_acquire(struct fl_pool *pool,
		      const struct fl_memory_config *config,
		      struct fl_memory **out, struct fl_error *error)
{
	int err = fl__pool_check_owner(pool, error);
	uint64_t start_ns;

	if (err)
		return err;
	start_ns =
		fl__stats_begin_word(pool->stats, FL__WORD_memories_acquired);
	err = memory_acquire(pool, config, out, error);
	if (!err)
		fl__stats_end(pool->stats, FL__TIMES_acquire, start_ns);
	return fl__stats_answer(pool->stats, err);
}

/* -ECHILD in a forked child. */
static int check_owner(const struct fl_memory *memory)
{
	return fl__slot_check_owner(fl__slot_of_side(memory), NULL);
}

int fl_memory_release(struct fl_memory *memory)
{
	struct fl__stats *stats;
	struct fl__slot *slot;
	uint64_t start_ns;
	int err = memory ? check_owner(memory) : -EINVAL;

	if (err)
		return err;
	slot = fl__slot_of_side(memory);
	if (!fl__slot_claim(slot))
		return -EINVAL;
	stats = slot->bank->pool->stats;
	start_ns = fl__stats_begin(stats, fl__slot_turn(slot));
	err = fl__memory_give(memory);
	fl__stats_end(stats, FL__TIMES_release, start_ns);
	return fl__stats_answer(stats, err);
}

int fl_memory_reset(struct fl_memory *memory)
{
	struct fl__slot *slot = fl__slot_of_side(memory);
	int err = check_owner(memory);

	if (err)
		return err;
	return fl__slot_is_live(slot) && !slot->instance ?
		       fl__memory_restart(memory) :
		       -EINVAL;
}

int fl_memory_lend(struct fl_memory *memory)
{
	int err = check_owner(memory);

	if (!err)
		__atomic_store_n(&fl__slot_of_side(memory)->is_lent, true,
				 __ATOMIC_RELAXED);
	return err;
}

struct fl_memory *fl_memory_find(const struct fl_pool *pool, const void *base)
{
	const struct fl__source *source = pool->banks[FL__BANK_MEMORY].source;
	struct fl__slot *slot = source->calls->at_base(source, base);

	return slot ? fl__slot_side(slot) : NULL;
}

void *fl_memory_user(const struct fl_memory *memory)
{
	return fl__memory_of(memory)->user;
}

static int grown_bytes(const struct fl__memory *memory, uint64_t old_bytes,
		       uint64_t delta_pages, uint64_t *new_bytes)
{
	if (fl_mul_overflow(delta_pages, memory->shape.page_bytes, new_bytes) ||
	    fl_add_overflow(*new_bytes, old_bytes, new_bytes))
		*new_bytes = UINT64_MAX;
	return *new_bytes > memory->shape.max_bytes ? -E2BIG : 0;
}

static int memory_grow(struct fl__memory *memory, uint64_t delta_pages,
		       uint64_t *old_pages)
{
	struct fl__slot *slot = fl__slot_of_side(memory);
	uint64_t old_bytes = fl__memory_length(&memory->pub), new_bytes;
	struct fl_growth growth;
	int err;

	if (grown_bytes(memory, old_bytes, delta_pages, &new_bytes))
		return -E2BIG;
	growth = (struct fl_growth){
		.size = sizeof(growth),
		.memory = &memory->pub,
		.old_bytes = old_bytes,
		.new_bytes = new_bytes,
	};
	err = fl__quota_grow(memory->quota, &growth);
	if (err)
		return err;
	if (new_bytes > old_bytes)
		err = slot->bank->backend->grow(slot->arena, &slot->space,
						new_bytes);
	if (err) {
		fl__quota_undo(memory->quota, &growth);
		return err;
	}
	/* Pairs with readers of the length: a reader that sees the new length may
	 * touch the new bytes. */
	__atomic_store_n(&memory->pub.length_bytes, new_bytes,
			 __ATOMIC_RELEASE);
	if (old_pages)
		*old_pages = old_bytes / memory->shape.page_bytes;
	return 0;
}

int fl_memory_grow(struct fl_memory *pub, uint64_t delta_pages,
		   uint64_t *old_pages)
{
	struct fl__stats *stats = fl__slot_of_side(pub)->bank->pool->stats;
	struct fl__memory *memory = fl__memory_of(pub);
	uint64_t start_ns;
	int err = check_owner(pub);

	if (err)
		return err;
	start_ns = fl__stats_begin_word(stats, FL__WORD_grows);
	fl__os_lock(&memory->grow_lock);
	err = memory_grow(memory, delta_pages, old_pages);
	fl__os_unlock(&memory->grow_lock);
	fl__stats_end(stats, FL__TIMES_grow, start_ns);
	if (!err && delta_pages) {
		fl__stats_add(stats, FL__WORD_grows, 1);
		fl__slot_count_calls(fl__slot_of_side(pub));
	}
	return fl__stats_answer(stats, err);
}

/* The shape has the least of several maxima. Which one is it? The type's of a
 * memory taken alone is what is left: max_bytes. */
static int explain_growth(const struct fl__memory *memory, uint64_t new_bytes,
			  struct fl_error *error)
{
	const struct fl__memory_shape *shape = &memory->shape;
	const struct fl__slot *slot = fl__slot_of_side(memory);
	uint64_t pools = slot->bank->pool->config.max_memory_bytes;
	uint64_t reach = address_space(shape->address_bits, shape->page_bytes);
	uint64_t types;

	if (fl_mul_overflow(shape->max_pages, shape->page_bytes, &types))
		types = UINT64_MAX;
	if (new_bytes > pools)
		return fl__error_set(
			error, -E2BIG,
			"the pool ends growth at %llu bytes; raise max_memory_bytes of fl_pool_config",
			fl_llu(pools));
	if (new_bytes > reach)
		return fl__error_set(
			error, -E2BIG,
			"addresses of 32 bits end growth at %llu bytes",
			fl_llu(reach));
	if (!slot->instance)
		return fl__error_set(
			error, -E2BIG,
			"max_bytes of fl_memory_config ends growth at %llu bytes",
			fl_llu(shape->max_bytes));
	if (new_bytes > types)
		return fl__error_set(
			error, -E2BIG,
			"the maximum of the memory's type ends growth at %llu bytes",
			fl_llu(types));
	return fl__error_set(
		error, -E2BIG,
		"max_memory_bytes of fl_instance_config ends growth at %llu bytes",
		fl_llu(shape->max_bytes));
}

int fl_memory_check_growth(const struct fl_memory *pub, uint64_t delta_pages,
			   struct fl_error *error)
{
	const struct fl__memory *memory = fl__memory_of(pub);
	uint64_t old_bytes, new_bytes;
	int err =
		fl__pool_check_owner(fl__slot_of_side(pub)->bank->pool, error);

	if (err)
		return err;
	old_bytes = fl__memory_length(pub);
	if (grown_bytes(memory, old_bytes, delta_pages, &new_bytes))
		return explain_growth(memory, new_bytes, error);
	if (fl__quota_has_room(memory->quota, new_bytes - old_bytes))
		return 0;
	return fl__error_set(
		error, -E2BIG,
		"max_total_bytes of fl_instance_config ends growth: the instance may have %llu bytes in all",
		fl_llu(memory->quota->max_total_bytes));
}

int fl_memory_prefault(struct fl_memory *memory, uint64_t offset_bytes,
		       uint64_t length_bytes)
{
	struct fl__slot *slot = fl__slot_of_side(memory);
	uint64_t hpage = slot->geometry->hpage_bytes;
	uint64_t first = fl_round_down(offset_bytes, hpage);
	int err = check_owner(memory);

	if (err)
		return err;
	if (!fl_range_fits(offset_bytes, length_bytes,
			   fl__memory_length(memory)))
		return -EINVAL;
	if (!length_bytes)
		return 0;
	return slot->bank->backend->prefault(
		slot->arena, &slot->space, first,
		fl_round_up(offset_bytes + length_bytes - first, hpage));
}

/*
 * A page of the image's file that somebody cut, or that is not loaded yet, is
 * written by the kernel, which answers. So is asked for memory, where every byte is
 * charged, a page that is a hole of the image's storage: a store would be SIGBUS
 * when nothing is left.
 */
int fl__memory_put(struct fl_memory *memory, uint64_t off, const void *bytes,
		   uint64_t len)
{
	const struct fl__slot *slot = fl__slot_of_side(memory);
	const struct fl_image *image = slot->space.image;
	bool is_fetched = image && fl__image_is_fetched(image);
	int err = 0;

	if (!len)
		return 0;
	if (is_fetched ||
	    (image && slot->bank->pool->context->is_commit_strict &&
	     fl__image_map_has_hole(&image->map, off, len)))
		err = fl_memory_prefault(memory, off, len);
	if (err)
		return err == -ENOMEM || err == -EPERM ? err : -EIO;
	if (is_fetched)
		return fl__os_poke(memory->base + off, bytes, len) ? -EIO : 0;
	memcpy(memory->base + off, bytes, (size_t)len);
	return 0;
}

int fl__memory_cannot_put(const char *what, int err, struct fl_error *error)
{
	const char *remedy = fl__os_remedy(err);

	if (err == -EIO)
		return fl__error_set(
			error, err,
			"%s cannot be written: the memory's image file was cut or cannot be read",
			what);
	return fl__error_set(error, err, "%s cannot be written: %s%s%s", what,
			     fl_strerror(err), remedy ? "; " : "",
			     remedy ? remedy : "");
}
