/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * conform.h - what tests with a pool share: the rungs, and contexts, pools and
 * memories that must come into being.
 *
 * A rung is a backend, or the Linux engine with features of features.def taken
 * away, which makes it do the same by other means. The whole table of a program
 * runs once on each.
 */
#ifndef CONFORM_H
#define CONFORM_H

#include "child.h"
#include "faultline.h"
#include "host.h"
#include "model.h"
#include "test.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifndef FL_WITH_UFFD
#define FL_WITH_UFFD 0
#endif

#define KIB ((uint64_t)1024)
#define MIB (1024 * KIB)
#define GIB (1024 * MIB)
#define WPAGE ((uint64_t)65536)

/* The stride that compiled code wants, of which a program of 32 bits has not even
 * one, and so takes as much as several pools have room for. */
#define LARGE_STRIDE (sizeof(void *) < 8 ? 128 * MIB : 8 * GIB)
#define HALF_STRIDE (LARGE_STRIDE / 2)

static inline uint64_t conform_hpage(void)
{
	return (uint64_t)sysconf(_SC_PAGESIZE);
}

static inline uint64_t conform_round_up(uint64_t value, uint64_t unit)
{
	return (value + unit - 1) / unit * unit;
}

/* Does a host page of the image's [off, off + len) hold data? */
static inline int conform_has_data(const struct fl_image *image, uint64_t off,
				   uint64_t len)
{
	struct fl_image_run run;

	return fl_image_next_run(image, off, &run) &&
	       run.offset_bytes - off < len;
}

/* Report what a call said when it failed. */
#define CONFORM_OK(err, error) \
	conform_ok((err), (error), false, __FILE__, __LINE__)
#define CONFORM_MUST(err, error) \
	conform_ok((err), (error), true, __FILE__, __LINE__)

static inline bool conform_ok(int err, const struct fl_error *error, bool fatal,
			      const char *file, int line)
{
	if (!err)
		return true;
	return test_check(false, fatal, file, line,
			  error->text[0] ? error->text : fl_strerror(err));
}

static inline struct fl_context *conform_context(void)
{
	struct fl_error error = { .text = "" };
	struct fl_context *context = NULL;
	struct fl_context_config config;

	fl_context_config_init(&config);
	config.backend = test_rung->backend;
	CONFORM_MUST(fl_context_create(&config, &context, &error), &error);
	return context;
}

/* Small and dense: four memories of at most 4 MiB. */
static inline void conform_pool_config(struct fl_pool_config *config)
{
	fl_pool_config_init(config);
	config->max_instances = 4;
	config->max_memories = 4;
	config->max_memory_bytes = 4 * MIB;
	config->memory_stride_bytes = 0;
}

/* A context and a pool of it. */
struct conform {
	struct fl_context *context;
	struct fl_pool *pool;
};

/* config NULL: conform_pool_config(). */
static inline void conform_open(struct conform *conform,
				const struct fl_pool_config *config)
{
	struct fl_error error = { .text = "" };
	struct fl_pool_config small;

	conform_pool_config(&small);
	conform->context = conform_context();
	conform->pool = NULL;
	CONFORM_MUST(fl_pool_create(conform->context, config ? config : &small,
				    &conform->pool, &error),
		     &error);
}

static inline void conform_close(struct conform *conform)
{
	CHECK_EQ(fl_pool_destroy(conform->pool), 0);
	fl_context_destroy(conform->context);
}

/* Does the context use a feature of the host? */
static inline bool conform_has(const struct fl_context *context,
			       const char *name)
{
	struct fl_feature feature = { .size = sizeof(feature) };

	for (uint32_t i = 0; !fl_context_feature(context, i, &feature); i++) {
		if (!strcmp(feature.name, name))
			return feature.support == FL_SUPPORT_YES;
	}
	return false;
}

/* FAULTLINE_DISABLE as it was before conform_disable() added to it. */
struct conform_disabled {
	char text[300];
	bool is_set;
};

static inline struct conform_disabled conform_disable(const char *features)
{
	const char *before = getenv("FAULTLINE_DISABLE");
	struct conform_disabled disabled = { .is_set = before != NULL };
	char text[400];

	snprintf(disabled.text, sizeof(disabled.text), "%s",
		 before ? before : "");
	snprintf(text, sizeof(text), "%s,%s", disabled.text, features);
	setenv("FAULTLINE_DISABLE", text, 1);
	return disabled;
}

static inline void conform_enable(const struct conform_disabled *disabled)
{
	if (disabled->is_set)
		setenv("FAULTLINE_DISABLE", disabled->text, 1);
	else
		unsetenv("FAULTLINE_DISABLE");
}

static inline struct fl_image *conform_image(struct conform *conform,
					     uint64_t initial_bytes,
					     const struct fl_segment *segments,
					     size_t count)
{
	struct fl_error error = { .text = "" };
	struct fl_image *image = NULL;

	CONFORM_MUST(fl_image_from_segments(conform->context, initial_bytes,
					    segments, count, &image, &error),
		     &error);
	return image;
}

/* One segment, the bytes value repeated len times. */
static inline struct fl_image *conform_image_of(struct conform *conform,
						uint64_t initial_bytes,
						uint64_t off, const void *bytes,
						uint64_t len)
{
	struct fl_segment segment = { off, bytes, len };

	return conform_image(conform, initial_bytes, &segment, 1);
}

static inline struct fl_memory *
conform_acquire(struct conform *conform, const struct fl_memory_config *config)
{
	struct fl_error error = { .text = "" };
	struct fl_memory *memory = NULL;

	CONFORM_MUST(fl_memory_acquire(conform->pool, config, &memory, &error),
		     &error);
	return memory;
}

/* The image may be NULL; 0 bytes with an image: the image's. */
static inline struct fl_memory *conform_take(struct conform *conform,
					     struct fl_image *image,
					     uint64_t initial_bytes)
{
	struct fl_memory_config config;

	fl_memory_config_init(&config);
	config.image = image;
	config.initial_bytes = initial_bytes;
	return conform_acquire(conform, &config);
}

static inline void conform_give(struct fl_memory *memory)
{
	CHECK_EQ(fl_memory_release(memory), 0);
}

/* A guest sees a page of a lazy image a moment before the page is counted. */
static inline struct fl_image_loading
conform_loading(const struct fl_image *image, uint64_t loaded_wpages)
{
	struct fl_image_loading loading = { .size = sizeof(loading) };

	for (int i = 0; i < 20000; i++) {
		fl_image_loading(image, &loading);
		if (loading.loaded_wpages >= loaded_wpages)
			break;
		usleep(1000);
	}
	CHECK_EQ(loading.loaded_wpages, loaded_wpages);
	return loading;
}

static inline struct fl_pool_info conform_info(const struct conform *conform)
{
	struct fl_pool_info info = { .size = sizeof(info) };

	fl_pool_info(conform->pool, &info);
	return info;
}

/* Offset of the first byte that is not zero, or len. */
static inline uint64_t conform_first_data(const void *bytes, uint64_t len)
{
	const uint8_t *at = bytes;

	for (uint64_t i = 0; i < len; i++) {
		if (at[i])
			return i;
	}
	return len;
}

static inline struct fl_memory *conform_take_sized(struct conform *conform,
						   uint64_t initial_bytes,
						   uint64_t max_bytes,
						   uint64_t page_bytes)
{
	struct fl_memory_config config;

	fl_memory_config_init(&config);
	config.initial_bytes = initial_bytes;
	config.max_bytes = max_bytes;
	config.page_bytes = page_bytes;
	return conform_acquire(conform, &config);
}

static inline void conform_check_zero(const struct fl_memory *memory)
{
	uint64_t len = fl_memory_length(memory);

	CHECK_EQ(conform_first_data(memory->base, len), len);
}

/* One slot, so that every acquire is a reuse. */
static inline void conform_open_one_slot(struct conform *conform)
{
	struct fl_pool_config config;

	conform_pool_config(&config);
	config.max_memories = 1;
	conform_open(conform, &config);
}

/* A child that runs fn(arg) ends well: its calls failed as they should. */
static inline void conform_check_child(int (*fn)(void *arg), void *arg)
{
	struct test_end end = test_fork(fn, arg, 10);

	CHECK_EQ(end.status, 0);
	CHECK_EQ(end.signo, 0);
}

/* What a case needs in which malloc() is asked for more than there is. */
static inline const char *conform_malloc_fails(void)
{
	return test_is_sanitized() ? TEST_NOT_BUILT
		       "a sanitizer's malloc() ends the program" :
				     NULL;
}

static inline const char *conform_rung_needs(void)
{
	static char reason[400];
	struct fl_error error = { .text = "" };
	struct fl_context *context = NULL;
	struct fl_context_config config;
	const char *how, *why = NULL;

	fl_context_config_init(&config);
	config.backend = test_rung->backend;
	if (fl_context_create(&config, &context, &error)) {
		memcpy(reason, error.text, sizeof(error.text));
		return reason;
	}
	how = fl_context_rung(context, &why);
	snprintf(reason, sizeof(reason),
		 "the rung here is \"%s\", not \"%s\": %s", how, test_rung->how,
		 why ? why : "no reason given");
	why = strcmp(how, test_rung->how) ? reason : NULL;
	fl_context_destroy(context);
	return why;
}

/* Why no image is loaded on demand on this rung; NULL: images are. */
static inline const char *conform_needs_lazy(void)
{
	static char reason[240];
	struct fl_context *context = conform_context();
	struct fl_feature feature = { .size = sizeof(feature) };
	const char *lacks = TEST_NOT_BUILT
		"the backend does not load on demand";

	for (uint32_t i = 0; !fl_context_feature(context, i, &feature); i++) {
		if (strcmp(feature.name, "uffd-missing"))
			continue;
		lacks = feature.reason;
		if (lacks) {
			snprintf(reason, sizeof(reason), "%s%s",
				 feature.support == FL_SUPPORT_DISABLED ||
						 feature.support ==
							 FL_SUPPORT_UNTRIED ?
					 TEST_NOT_BUILT :
					 "",
				 lacks);
			lacks = reason;
		}
	}
	fl_context_destroy(context);
	return lacks;
}

/* Why pages of a file in /tmp are not read to where they stay; NULL: they are. */
static inline const char *conform_needs_continue(void)
{
	struct fl_context *context = conform_context();
	struct fl_feature feature = { .size = sizeof(feature) };
	const char *lacks = test_needs_direct();

	for (uint32_t i = 0; !fl_context_feature(context, i, &feature); i++)
		if (feature.support != FL_SUPPORT_YES &&
		    (!strcmp(feature.name, "uffd-minor") ||
		     !strcmp(feature.name, "io-uring")))
			lacks = TEST_NOT_BUILT
				"pages are not read to where they stay";
	fl_context_destroy(context);
	return conform_needs_lazy() ? conform_needs_lazy() : lacks;
}

static const struct test_rung conform_rungs[] = {
#if FL_WITH_UFFD
	{ "linux", "linux", "track", NULL, conform_rung_needs },
	{ "linux_slow_scan", "linux", "track", "pagemap-fast-scan,guard-markers",
	  conform_rung_needs },
	{ "linux_scan_alone", "linux", "scan", "userfaultfd",
	  conform_rung_needs },
	{ "linux_dontneed", "linux", "dontneed", "pagemap-scan",
	  conform_rung_needs },
	{ "linux_bare", "linux", "dontneed",
	  "userfaultfd,uffd-wp-async,uffd-missing,uffd-minor,io-uring,seccomp-filter,pagemap-scan,pagemap-fast-scan,"
	  "madv-collapse,madv-populate,guard-markers,madv-wipeonfork,memory-pressure",
	  conform_rung_needs },
#endif
	{ "segmented", "segmented", "discard", NULL, conform_rung_needs },
};

/* The first rung that this host has, for programs whose cases choose others
 * themselves: where a container's profile denies userfaultfd, not "track". */
static inline const struct test_rung *conform_best_rung(void)
{
	const struct test_rung *best = conform_rungs;
	const struct test_rung *last =
		conform_rungs + TEST_ARRAY_SIZE(conform_rungs) - 1;
	struct fl_context_config config;
	struct fl_context *context = NULL;

	fl_context_config_init(&config);
	config.backend = best->backend;
	if (fl_context_create(&config, &context, NULL))
		return best;
	while (best < last &&
	       strcmp(best->how, fl_context_rung(context, NULL)) != 0)
		best++;
	fl_context_destroy(context);
	return best;
}

#define CONFORM_MAIN(cases)                                                 \
	int main(int argc, char **argv)                                     \
	{                                                                   \
		return test_main(argc, argv, cases, TEST_ARRAY_SIZE(cases), \
				 conform_rungs,                             \
				 TEST_ARRAY_SIZE(conform_rungs));           \
	}

#endif
