/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * forked.c - a forked child gives back what it inherited, and never waits.
 *
 * At the fork a thread of the parent may hold any lock, and in the child that
 * lock stays held. So each case holds the lock while a child is forked: a child
 * that asks for the lock hangs, and the kit ends it.
 */
#include "tests/kit/conform_module.h"

#include "context.h"

static int child_releases_the_image(void *image)
{
	fl_image_release(image);
	return 0;
}

static void images_with_holes(void)
{
	struct fl_segment segments[8];
	struct conform conform;
	struct fl_image *image;

	conform_open(&conform, NULL);
	/* More gaps than extents can leave out. */
	for (uint64_t i = 0; i < 8; i++)
		segments[i] = (struct fl_segment){ i * MIB / 2, "x", 1 };
	image = conform_image(&conform, 4 * MIB, segments, 8);
	CHECK(image->has_holes);
	fl__os_lock(&conform.context->holes_lock);
	conform_check_child(child_releases_the_image, image);
	fl__os_unlock(&conform.context->holes_lock);
	fl_image_release(image);
	conform_close(&conform);
}

static int child_releases_the_module(void *module)
{
	fl_module_release(module);
	return 0;
}

static void modules(void)
{
	struct conform conform;
	struct fl_module *module;

	conform_open(&conform, NULL);
	module = module_simple(&conform, 1, 9, "parent");
	fl__os_lock(&conform.context->twins_lock);
	conform_check_child(child_releases_the_module, module);
	fl__os_unlock(&conform.context->twins_lock);
	fl_module_release(module);
	conform_close(&conform);
}

/* The last reference is the child's own, as the parent's is the parent's. */
static int child_destroys_the_context(void *arg)
{
	struct fl_context *context = arg;

	context->refs = 1;
	fl_context_destroy(context);
	return 0;
}

static void contexts(void)
{
	struct conform conform;

	conform_open(&conform, NULL);
	fl__os_lock(&conform.context->holes_lock);
	fl__os_lock(&conform.context->twins_lock);
	fl__os_lock(&conform.context->lock);
	conform_check_child(child_destroys_the_context, conform.context);
	fl__os_unlock(&conform.context->lock);
	fl__os_unlock(&conform.context->twins_lock);
	fl__os_unlock(&conform.context->holes_lock);
	conform_close(&conform);
}

/* Of a source that answers later. */
struct late {
	struct fl_page_source *source;
	struct fl__os_lock lock; /* of what would answer */
	int closed;
};

static int64_t late_read(void *user, const struct fl_page_read *read)
{
	(void)user;
	(void)read;
	return -EIO;
}

/* As one that ends the thread which answers. */
static void late_close(void *user)
{
	struct late *late = user;

	fl__os_lock(&late->lock);
	late->closed++;
	fl__os_unlock(&late->lock);
}

static int child_releases_the_source(void *arg)
{
	struct late *late = arg;

	fl_page_source_done(late->source, 1, 0);
	fl_page_source_release(late->source);
	return late->closed;
}

static void sources_that_answer_later(void)
{
	struct late late = { .closed = 0 };
	struct fl_page_source_config config = {
		.size = sizeof(config),
		.length_bytes = 1,
		.user = &late,
		.read = late_read,
		.close = late_close,
		.is_async = 1,
	};

	MUST_EQ(fl__os_lock_init(&late.lock), 0);
	MUST_EQ(fl_page_source_create(&config, &late.source, NULL), 0);
	fl__os_lock(&late.lock);
	conform_check_child(child_releases_the_source, &late);
	fl__os_unlock(&late.lock);
	fl_page_source_release(late.source);
	CHECK_EQ(late.closed, 1);
	fl__os_lock_fini(&late.lock);
}

static const struct test_case cases[] = {
	TEST_CASE(images_with_holes),
	TEST_CASE(modules),
	TEST_CASE(contexts),
	TEST_CASE(sources_that_answer_later),
};

CONFORM_MAIN(cases)
