/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * overflow.c - a reservation, and regions for what it has no room for.
 *
 * Takes a bank with a geometry for each of the two; gives slots of the
 * reservation as long as it has enough for a request, then regions up to a limit
 * of their own. A request is served by one of the two alone. Each slot remembers
 * the source that made it, which takes it back.
 *
 * A taker that waits sleeps in the reservation's stock. A region that goes pokes
 * the stock, and the taker looks at both again. The taker notes the pokes before
 * it looks, so that no poke is missed between its look and its sleep.
 */
#include "region.h"
#include "reservation.h"

#include <stdlib.h>

struct overflow {
	struct fl__source source;
	struct fl__source *reservation, *regions;
};

static struct overflow *of_source(const struct fl__source *source)
{
	return (struct overflow *)(uintptr_t)source;
}

static void overflow_close(struct fl__source *source)
{
	struct overflow *from = of_source(source);

	if (from->regions)
		fl__source_regions.close(from->regions);
	if (from->reservation)
		fl__source_reservation.close(from->reservation);
	free(from);
}

static void on_given(void *user)
{
	fl__reservation_poke(of_source(user)->reservation);
}

static int overflow_open(struct fl__bank *bank, struct fl__source **source,
			 struct fl_error *error)
{
	struct overflow *from = calloc(1, sizeof(*from));
	int err;

	if (!from)
		return fl__error_set(error, -ENOMEM, "no memory for a bank");
	from->source = (struct fl__source){ &fl__source_overflow, bank };
	err = fl__source_reservation.open(bank, &from->reservation, error);
	if (!err)
		err = fl__source_regions.open(bank, &from->regions, error);
	if (err) {
		overflow_close(&from->source);
		return err;
	}
	fl__regions_limit(from->regions, &bank->overflow_geometry,
			  bank->max_overflow, on_given, from);
	*source = &from->source;
	return 0;
}

static int take_now(struct overflow *from, const struct fl__request *requests,
		    uint32_t count, struct fl__slot **slots,
		    struct fl_error *error)
{
	const struct fl__os_wait no_wait = { 0 };
	int err = fl__source_reservation.take(from->reservation, requests,
					      count, &no_wait, slots, error);

	if (err != -EAGAIN || !from->source.bank->max_overflow)
		return err;
	return fl__source_regions.take(from->regions, requests, count, &no_wait,
				       slots, error);
}

static int overflow_take(struct fl__source *source,
			 const struct fl__request *requests, uint32_t count,
			 const struct fl__os_wait *wait,
			 struct fl__slot **slots, struct fl_error *error)
{
	struct overflow *from = of_source(source);
	struct fl__os_wait rest = *wait;
	uint64_t deadline_ns, now_ns, pokes;
	int err;

	if (!wait->timeout_ns)
		return take_now(from, requests, count, slots, error);
	if (fl_add_overflow(fl__os_now_ns(), wait->timeout_ns, &deadline_ns))
		deadline_ns = UINT64_MAX;
	do {
		pokes = fl__reservation_pokes(from->reservation);
		err = take_now(from, requests, count, slots, error);
		if (err != -EAGAIN)
			return err;
		now_ns = fl__os_now_ns();
		if (now_ns >= deadline_ns)
			return fl__error_set(
				error, -ETIMEDOUT,
				"no %s became free in time; release one, wait longer, or raise max_%s or overflow_%s",
				source->bank->kind->what,
				source->bank->kind->plural,
				source->bank->kind->plural);
		rest.timeout_ns = deadline_ns - now_ns;
		err = fl__reservation_wait(from->reservation, requests, count,
					   &rest, pokes, slots, error);
	} while (err == FL__STOCK_POKED);
	return err;
}

static void overflow_arm(struct fl__source *source, int event_fd)
{
	fl__source_reservation.arm(of_source(source)->reservation, event_fd);
}

static void overflow_disarm(struct fl__source *source)
{
	fl__source_reservation.disarm(of_source(source)->reservation);
}

static struct fl__slot *overflow_take_laid_up(struct fl__source *source,
					      uint32_t *from)
{
	return fl__source_reservation.take_laid_up(
		of_source(source)->reservation, from);
}

static void overflow_join(struct fl__source *source)
{
	fl__source_reservation.join(of_source(source)->reservation);
}

static struct fl__slot *overflow_take_warm(struct fl__source *source,
					   uint64_t serial)
{
	return fl__source_reservation.take_warm(of_source(source)->reservation,
						serial);
}

static struct fl__slot *overflow_at_address(const struct fl__source *source,
					    const void *addr)
{
	const struct overflow *from = of_source(source);
	struct fl__slot *slot =
		fl__source_reservation.at_address(from->reservation, addr);

	return slot ? slot : fl__source_regions.at_address(from->regions, addr);
}

static struct fl__slot *overflow_at_base(const struct fl__source *source,
					 const void *base)
{
	const struct overflow *from = of_source(source);
	struct fl__slot *slot =
		fl__source_reservation.at_base(from->reservation, base);

	return slot ? slot : fl__source_regions.at_base(from->regions, base);
}

static int overflow_each(struct fl__source *source, fl__slot_fn *fn, void *user)
{
	struct overflow *from = of_source(source);
	int err = fl__source_reservation.each(from->reservation, fn, user);

	return err ? err : fl__source_regions.each(from->regions, fn, user);
}

static int overflow_each_unused(struct fl__source *source, uint32_t *idx,
				fl__slot_fn *fn, void *user)
{
	return fl__source_reservation.each_unused(
		of_source(source)->reservation, idx, fn, user);
}

static void overflow_count(struct fl__source *source,
			   struct fl__source_counts *counts)
{
	struct overflow *from = of_source(source);
	struct fl__source_counts beyond;

	/* A region that goes pokes the reservation: regions first. */
	fl__source_regions.count(from->regions, &beyond);
	fl__source_reservation.count(from->reservation, counts);
	counts->live += beyond.live;
	counts->acquired += beyond.acquired;
	counts->mapped_bytes += beyond.mapped_bytes;
	counts->overflow = beyond.live;
	counts->overflowed = beyond.overflowed;
}

static uint64_t overflow_record_bytes(struct fl__source *source)
{
	return fl__source_regions.record_bytes(of_source(source)->regions);
}

static uint64_t overflow_tidy(struct fl__source *source)
{
	return fl__source_regions.tidy(of_source(source)->regions);
}

/* No call gives or retires: a slot is given to the source that made it. */
const struct fl__source_calls fl__source_overflow = {
	.name = "pooling",
	.keeps_slots = true,
	.open = overflow_open,
	.close = overflow_close,
	.take = overflow_take,
	.arm = overflow_arm,
	.disarm = overflow_disarm,
	.take_laid_up = overflow_take_laid_up,
	.join = overflow_join,
	.take_warm = overflow_take_warm,
	.at_address = overflow_at_address,
	.at_base = overflow_at_base,
	.each = overflow_each,
	.each_unused = overflow_each_unused,
	.count = overflow_count,
	.record_bytes = overflow_record_bytes,
	.tidy = overflow_tidy,
};
