/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * trim.c - what a pool's slots take, and giving back what free slots keep.
 *
 * Takes a pool whose guests may run; gives figures that the backend reads from
 * the page tables, slot by slot, and gives emptied slots. Trimming takes a slot
 * from its source as a tenant would, so that no acquire can meet a slot that is
 * half emptied. The host can leave trimming to a thread that waits for memory
 * pressure.
 */
#include "base/config.h"
#include "base/probes.h"
#include "base/sized.h"
#include "instance/bind.h"
#include "module/holes.h"

/* Add what a slot takes. -ENOTSUP: the backend cannot tell. */
static int usage_add(struct fl__slot *slot, void *user)
{
	struct fl_pool_usage *usage = user;
	uint64_t private_before = usage->private_bytes;
	int err;

	if (slot->bank->kind->held_bytes)
		usage->record_bytes += slot->bank->kind->held_bytes(slot);
	if (!slot->geometry->max_bytes)
		return 0;
	/* Nothing is mapped where nobody lives. */
	if (!slot->source->calls->keeps_slots && !fl__slot_is_live(slot))
		return 0;
	/* Nothing but the system knows a stack's pages. */
	if (!slot->bank->backend) {
		usage->stack_bytes += fl__os_resident(
			slot->space.base, slot->geometry->max_bytes);
		return 0;
	}
	if (!slot->bank->backend->account)
		return -ENOTSUP;
	err = slot->bank->backend->account(slot->arena, &slot->space, usage);
	usage->record_bytes +=
		__atomic_load_n(&slot->bound_bytes, __ATOMIC_RELAXED);
	if (!fl__slot_is_live(slot))
		usage->idle_private_bytes +=
			usage->private_bytes - private_before;
	return err;
}

static void usage_publish(struct fl_pool *pool,
			  const struct fl_pool_usage *usage)
{
#define FL_METRIC_USAGE(name, unit, field, help) \
	fl__stats_set(pool->stats, FL__LEVEL_##name, usage->field);
#include "base/stats.def"
	if (pool->stats)
		fl__stats_set(pool->stats, FL__LEVEL_usage_at_ns,
			      fl__os_now_ns());
}

static int bank_usage(const struct fl__bank *bank, struct fl_pool_usage *usage)
{
	const struct fl__source_calls *calls = bank->source->calls;

	if (calls->record_bytes)
		usage->record_bytes += calls->record_bytes(bank->source);
	return calls->each(bank->source, usage_add, usage);
}

int fl_pool_usage(struct fl_pool *pool, struct fl_pool_usage *usage,
		  struct fl_error *error)
{
	struct fl_pool_usage filled = { .size = sizeof(filled) };
	const struct fl_context *context = pool->context;
	int err = fl__pool_check_owner(pool, error);

	if (err)
		return err;
	if (!context->backend->accounts ||
	    !context->backend->accounts(context->host))
		return fl__error_set(
			error, -ENOTSUP,
			"the page tables cannot be read: usage needs rung \"scan\" or \"track\"");
	for (int i = 0; i < FL__BANK_COUNT && !err; i++)
		err = bank_usage(&pool->banks[i], &filled);
	filled.hole_bytes = fl__holes_filled(pool->context);
	if (err)
		return fl__error_set(error, err,
				     "the page tables cannot be read: %s",
				     fl_strerror(err));
	usage_publish(pool, &filled);
	fl__sized_write(usage, &filled, sizeof(filled));
	return 0;
}

/* Empty a slot, and add what that gave back, as far as the backend can tell.
 * As fl__slot_trim(). */
static bool slot_trim(struct fl__slot *slot, uint64_t *trimmed,
		      struct fl_image **image)
{
	struct fl_pool_usage usage = { .size = sizeof(usage) };

	/* What is counted for the budgets is the next best. */
	if (usage_add(slot, &usage))
		usage = (struct fl_pool_usage){
			.private_bytes = slot->space.kept_bytes
		};
	if (!fl__slot_trim(slot, image))
		return false;
	fl__stats_add(slot->bank->pool->stats, FL__WORD_trimmed, 1);
	*trimmed += usage.private_bytes + usage.stack_bytes +
		    fl__overhead_counts(usage.table_bytes + usage.record_bytes);
	return true;
}

/* With the trim_lock, which is left after each slot: takers who find none wait for
 * one slot at most, and the slot's image goes. filled: how much of holes was
 * memory. How many slots were emptied. */
static uint64_t slots_trim(struct fl_pool *pool, uint64_t bytes,
			   uint64_t filled, uint64_t *trimmed)
{
	uint64_t count = 0, holes = 0;
	int i = 0;

	/* Memories come first, because memories are the largest. */
	while (*trimmed + holes < bytes && i < FL__BANK_COUNT) {
		struct fl__slot *slot = fl__bank_take_warm(&pool->banks[i], 0);
		struct fl_image *image;

		if (!slot || !slot_trim(slot, trimmed, &image)) {
			i++;
			continue;
		}
		count++;
		fl__os_unlock(&pool->trim_lock);
		fl_image_release(image);
		fl__os_lock(&pool->trim_lock);
		holes = fl__holes_given_back(pool->context, filled);
	}
	return count;
}

int fl_pool_trim(struct fl_pool *pool, uint64_t bytes, uint64_t *trimmed_bytes)
{
	uint64_t trimmed = 0, trimmed_count, filled;
	int i, err = fl__pool_check_owner(pool, NULL);

	if (err)
		return err;
	filled = fl__holes_filled(pool->context);
	fl__os_lock(&pool->trim_lock);
	trimmed_count = slots_trim(pool, bytes, filled, &trimmed);
	for (i = 0; i < FL__BANK_COUNT; i++) {
		fl__bank_recall(&pool->banks[i]);
		if (pool->source->tidy)
			trimmed += pool->source->tidy(pool->banks[i].source);
	}
	for (i = 0; i < FL__BANK_COUNT && trimmed_count; i++)
		fl__bank_join(&pool->banks[i]);
	fl__os_unlock(&pool->trim_lock);
	/* Slots that live keep what they map, and nothing else. */
	fl__holes_drain(pool->context);
	trimmed += fl__holes_given_back(pool->context, filled);
	/* Every free slot is empty, and may still hold a module. */
	if (trimmed < bytes)
		fl__instance_forget(pool, NULL);
	fl_probe2(trim, pool->name, trimmed);
	if (trimmed_bytes)
		*trimmed_bytes = trimmed;
	return 0;
}

/* With the trim_lock, so that a taker which does not wait is not turned away
 * while a slot is being emptied. */
static uint32_t purge_serial(struct fl__bank *bank, uint64_t serial)
{
	struct fl__slot *slot;
	struct fl_image *image;
	uint32_t count = 0;

	while ((slot = fl__bank_take_warm(bank, serial)) &&
	       fl__slot_trim(slot, &image)) {
		/* Not the last: the purge's caller has one, or what is bound
		 * here reads from no source. */
		fl_image_release(image);
		fl__stats_add(bank->pool->stats, FL__WORD_trimmed, 1);
		count++;
	}
	return count;
}

/* What is bound to free slots and has to do with a module or an image. */
struct bound_list {
	const struct fl_module *module;
	const struct fl_image *image;
	uint64_t serials[64];
	uint32_t count;
};

static int bound_list_add(struct fl__slot *slot, void *user)
{
	struct bound_list *list = user;
	uint64_t serial = fl__bound_serial(slot);

	if (!serial ||
	    (!fl__bind_is_of(slot->bound, list->module, list->image) &&
	     (!list->image || slot->space.image != list->image)))
		return 0;
	for (uint32_t i = 0; i < list->count; i++) {
		if (list->serials[i] == serial)
			return 0;
	}
	if (list->count == FL_ARRAY_SIZE(list->serials))
		return -EAGAIN;
	list->serials[list->count++] = serial;
	return 0;
}

static uint32_t purge_bound_in(struct fl__bank *bank, struct bound_list *list)
{
	uint32_t from = 0, count = 0;
	int err;

	do {
		list->count = 0;
		err = bank->source->calls->each_unused(bank->source, &from,
						       bound_list_add, list);
		while (list->count)
			count += purge_serial(bank,
					      list->serials[--list->count]);
	} while (err);
	return count;
}

static uint32_t purge_bound(struct fl_pool *pool,
			    const struct fl_module *module,
			    const struct fl_image *image)
{
	struct bound_list list = { .module = module, .image = image };
	uint32_t count = 0;

	if (!__atomic_load_n(&pool->has_bound, __ATOMIC_RELAXED))
		return 0;
	fl__os_lock(&pool->trim_lock);
	count += purge_bound_in(&pool->banks[FL__BANK_TABLE], &list);
	count += purge_bound_in(&pool->banks[FL__BANK_STRUCTURE], &list);
	fl__os_unlock(&pool->trim_lock);
	return count;
}

static uint32_t purge_image(struct fl_pool *pool, struct fl_image *image)
{
	uint32_t count = 0;

	if (!image)
		return 0;
	count += purge_bound(pool, NULL, image);
	fl__os_lock(&pool->trim_lock);
	for (int i = 0; i < FL__BANK_COUNT; i++)
		count += purge_serial(&pool->banks[i], image->serial);
	fl__os_unlock(&pool->trim_lock);
	fl__image_drain(image);
	return count;
}

int fl_pool_purge(struct fl_pool *pool, const struct fl_module *module,
		  const struct fl_image *image, uint32_t *purged)
{
	uint32_t memory_count = module ? module->reader.memory_count : 0;
	uint32_t count;
	int err = fl__pool_check_owner(pool, NULL);

	if (!err && !module && !image)
		err = -EINVAL;
	if (err)
		return err;
	count = purge_image(pool, (struct fl_image *)(uintptr_t)image);
	for (uint32_t i = 0; i < memory_count; i++)
		count += purge_image(pool, module->memories[i].image);
	if (module) {
		count += purge_bound(pool, module, NULL);
		fl__instance_forget(pool, module);
	}
	if (purged)
		*purged = count;
	return 0;
}

static void on_pressure(void *user)
{
	struct fl_pool *pool = user;

	(void)fl_pool_trim(pool, pool->pressure_trim_bytes, NULL);
}

/* With the trim_lock: a new thread that trims at once waits until all is
 * set. */
static int pressure_start(struct fl_pool *pool,
			  const struct fl_pressure_config *config,
			  struct fl_error *error)
{
	const char *why;
	int err;

	if (pool->pressure_watch)
		return fl__error_set(error, -EBUSY,
				     "the pool is trimmed on pressure already");
	pool->pressure_trim_bytes = config->trim_bytes;
	err = fl__os_watch_pressure(config->path, config->stall_us,
				    config->window_us, on_pressure, pool,
				    &pool->pressure_watch, &why);
	if (!err)
		return 0;
	return fl__error_set(
		error, err,
		"cannot watch %s for %u us of stall in %u us: %s%s%s",
		config->path, config->stall_us, config->window_us,
		fl_strerror(err), why ? "; " : "", why ? why : "");
}

int fl_pool_trim_on_pressure(struct fl_pool *pool,
			     const struct fl_pressure_config *config,
			     struct fl_error *error)
{
	struct fl_pressure_config known;
	const char *reason = NULL;
	int err = fl__pool_check_owner(pool, error);

	if (!err)
		err = fl__config_read(FL_PRESSURE_CONFIG, &known, config,
				      error);
	if (err)
		return err;
	if (fl__context_lacks(pool->context, "memory-pressure", &reason))
		return fl__error_set(error, -ENOTSUP, "%s", reason);
	if (!known.path)
		known.path = "/proc/pressure/memory";
	fl__os_lock(&pool->trim_lock);
	err = pressure_start(pool, &known, error);
	fl__os_unlock(&pool->trim_lock);
	return err;
}
