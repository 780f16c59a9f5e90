/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/* holes.c - counting the slots that show an image with holes; see holes.h. */
#include "holes.h"

/* While other slots show the image, a look through its holes is worth its price
 * when more of them became memory since the last look, and now and then. */
#define DRAIN_EVERY 64

static bool is_worth_draining(struct fl_image *image, uint64_t filled)
{
	uint64_t last = __atomic_load_n(&image->drained_to, __ATOMIC_RELAXED);

	return filled > last + last / 8 ||
	       __atomic_add_fetch(&image->looks, 1, __ATOMIC_RELAXED) %
			       DRAIN_EVERY ==
		       0;
}

uint64_t fl__image_filled(const struct fl_image *image)
{
	const struct fl__backend *backend = image->context->backend;

	return image->has_holes && backend->image_filled ?
		       backend->image_filled(image) :
		       0;
}

void fl__image_drain(struct fl_image *image)
{
	if (!fl__image_filled(image))
		return;
	image->context->backend->image_drain(image);
	__atomic_store_n(&image->drained_to, fl__image_filled(image),
			 __ATOMIC_RELAXED);
}

void fl__image_show(struct fl_image *image)
{
	if (image && image->has_holes)
		__atomic_add_fetch(&image->shown, 1, __ATOMIC_RELAXED);
}

void fl__image_unshow(struct fl_image *image)
{
	uint64_t filled;
	bool is_last;

	if (!image || !image->has_holes)
		return;
	is_last = !__atomic_sub_fetch(&image->shown, 1, __ATOMIC_RELAXED);
	filled = fl__image_filled(image);
	/* The last reference, the slot's, takes the storage along. */
	if (filled && __atomic_load_n(&image->refs, __ATOMIC_RELAXED) > 1 &&
	    (is_last || is_worth_draining(image, filled)))
		fl__image_drain(image);
}

void fl__holes_add(struct fl_image *image)
{
	struct fl_context *context = image->context;

	if (!image->has_holes ||
	    !fl__context_lock(context, &context->holes_lock))
		return;
	image->next = context->holes;
	if (image->next)
		image->next->prev = image;
	context->holes = image;
	fl__os_unlock(&context->holes_lock);
}

void fl__holes_remove(struct fl_image *image)
{
	struct fl_context *context = image->context;

	if (!image->has_holes ||
	    !fl__context_lock(context, &context->holes_lock))
		return;
	if (image->next)
		image->next->prev = image->prev;
	if (image->prev)
		image->prev->next = image->next;
	else
		context->holes = image->next;
	fl__os_unlock(&context->holes_lock);
}

uint64_t fl__holes_filled(struct fl_context *context)
{
	uint64_t filled = 0;

	if (!fl__context_lock(context, &context->holes_lock))
		return 0;
	for (struct fl_image *at = context->holes; at; at = at->next)
		filled += fl__image_filled(at);
	fl__os_unlock(&context->holes_lock);
	return filled;
}

uint64_t fl__holes_given_back(struct fl_context *context, uint64_t before)
{
	uint64_t now = before ? fl__holes_filled(context) : 0;

	return before > now ? before - now : 0;
}

void fl__holes_drain(struct fl_context *context)
{
	if (!fl__context_lock(context, &context->holes_lock))
		return;
	for (struct fl_image *at = context->holes; at; at = at->next)
		fl__image_drain(at);
	fl__os_unlock(&context->holes_lock);
}
