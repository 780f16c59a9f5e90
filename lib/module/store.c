/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/* store.c - image objects; see store.h. */
#include "store.h"
#include "base/sized.h"
#include "holes.h"
#include "slots/stats.h"

#include <stdio.h>
#include <stdlib.h>

struct fl__image_allowance fl__image_allowance(const struct fl_context *context,
					       uint64_t input_bytes)
{
	struct fl__image_allowance allowance = {
		.span_bytes = context->limits.max_module_image_span_bytes,
	};

	if (fl_add_overflow(context->limits.max_module_image_bytes, input_bytes,
			    &allowance.bytes))
		allowance.bytes = UINT64_MAX;
	return allowance;
}

/* One sum and its limit: a module's, or the context's. */
static int too_much(struct fl__image_allowance *allowance, uint64_t wanted,
		    uint64_t left, const char *whose, const char *field,
		    struct fl_error *error)
{
	if (allowance)
		allowance->is_over = true;
	return fl__error_set(
		error, -E2BIG,
		"the image takes %llu bytes, and the images of %s may take %llu more; raise %s of fl_context_config",
		fl_llu(wanted), whose, fl_llu(left), field);
}

/* Add to a sum that may not pass limit; *left gets what there was room for. */
static bool charge(fl_atomic64 *sum, uint64_t wanted, uint64_t limit,
		   uint64_t *left)
{
	uint64_t before = __atomic_load_n(sum, __ATOMIC_RELAXED);

	do {
		*left = limit > before ? limit - before : 0;
		if (wanted > *left)
			return false;
	} while (!__atomic_compare_exchange_n(sum, &before, before + wanted,
					      true, __ATOMIC_RELAXED,
					      __ATOMIC_RELAXED));
	return true;
}

static void image_uncharge(struct fl_context *context,
			   const struct fl_image *image)
{
	__atomic_sub_fetch(&context->image_bytes, image->charged_bytes,
			   __ATOMIC_RELAXED);
	__atomic_sub_fetch(&context->image_span_bytes,
			   image->charged_span_bytes, __ATOMIC_RELAXED);
}

static int context_charge(struct fl_context *context, struct fl_image *image,
			  struct fl__image_allowance *allowance, uint64_t bytes,
			  uint64_t span, struct fl_error *error)
{
	uint64_t left;

	if (!charge(&context->image_bytes, bytes,
		    context->limits.max_image_bytes, &left))
		return too_much(allowance, bytes, left, "this context",
				"max_image_bytes", error);
	image->charged_bytes = bytes;
	if (!charge(&context->image_span_bytes, span,
		    context->limits.max_image_span_bytes, &left)) {
		image_uncharge(context, image);
		return too_much(allowance, span, left, "this context",
				"max_image_span_bytes", error);
	}
	image->charged_span_bytes = span;
	return 0;
}

/* What the storage of a map may take; *has_holes: and more, once guests touch
 * its holes. */
static uint64_t map_bytes(const struct fl__image_map *map, bool *has_holes)
{
	uint64_t data = fl__runs_total(&map->data) * map->hpage_bytes;
	uint64_t extents = fl__image_map_extent_bytes(map);

	/* Few are not worth a look at each release. */
	*has_holes = extents - data > FL__IMAGE_FEW_HOLE_BYTES;
	return *has_holes ? data : extents;
}

/* Before anything is stored. */
static int image_charge(struct fl_context *context, struct fl_image *image,
			struct fl__image_allowance *allowance,
			struct fl_error *error)
{
	uint64_t bytes = map_bytes(&image->map, &image->has_holes);
	uint64_t span = fl__image_map_extent_bytes(&image->map);
	int err;

	if (allowance && bytes > allowance->bytes)
		return too_much(allowance, bytes, allowance->bytes,
				"this module", "max_module_image_bytes", error);
	if (allowance && span > allowance->span_bytes)
		return too_much(allowance, span, allowance->span_bytes,
				"this module", "max_module_image_span_bytes",
				error);
	err = context_charge(context, image, allowance, bytes, span, error);
	if (!err && allowance) {
		allowance->bytes -= bytes;
		allowance->span_bytes -= span;
	}
	return err;
}

static int image_store(struct fl_context *context, struct fl_image *image,
		       const struct fl__segments *segments,
		       struct fl__image_allowance *allowance,
		       struct fl_error *error)
{
	int err = image_charge(context, image, allowance, error);

	if (err)
		return err;
	err = context->backend->image_create(context->host, image, segments,
					     error);
	if (err)
		image_uncharge(context, image);
	return err;
}

int fl__image_create(struct fl_context *context,
		     const struct fl__segments *segments,
		     uint64_t initial_bytes,
		     struct fl__image_allowance *allowance,
		     struct fl_image **out, struct fl_error *error)
{
	struct fl_image *image = calloc(1, sizeof(*image));
	int err;

	if (!image)
		return fl__error_set(error, -ENOMEM, "no memory for an image");
	image->refs = 1;
	image->fd = -1;
	err = fl__image_map_plan(&image->map, segments, initial_bytes,
				 fl__os_hpage_bytes(), error);
	if (!err)
		err = image_store(context, image, segments, allowance, error);
	if (err) {
		fl__image_map_fini(&image->map);
		free(image);
		return err;
	}
	image->context = fl__context_retain(context);
	image->serial = fl__context_serial(context);
	fl__holes_add(image);
	*out = image;
	return 0;
}

static int in_place_fill(struct fl_context *context, struct fl_image *image,
			 int fd, const uint64_t *file_offs,
			 struct fl_error *error)
{
	int err;

	if (!context->backend->image_map)
		return fl__error_set(
			error, -ENOTSUP,
			"the backend \"%s\" cannot map files: open the file without FL_OPEN_IN_PLACE",
			context->backend->name);
	/* Nothing to map. */
	if (!image->map.extent_count)
		return 0;
	err = fl__os_file_dup(fd, &image->fd);
	if (err)
		return fl__error_set(error, fl__error_fold(err),
				     "cannot keep the image file open: %s%s%s",
				     strerror(-err), fl__os_remedy_lead(err),
				     fl__os_remedy_text(err));
	memcpy(image->file_offs, file_offs, sizeof(image->file_offs));
	err = context->backend->image_map(context->host, image, error);
	if (err)
		fl__os_file_close(image->fd);
	return err;
}

/* An image of a map that is known already. Finishes map on failure. */
static int image_alloc(struct fl__image_map *map, struct fl_image **out,
		       struct fl_error *error)
{
	struct fl_image *image = calloc(1, sizeof(*image));

	if (!image) {
		fl__image_map_fini(map);
		return fl__error_set(error, -ENOMEM, "no memory for an image");
	}
	image->refs = 1;
	image->fd = -1;
	image->map = *map;
	*out = image;
	return 0;
}

/* The image has its storage, or err says why not. */
static int image_finish(struct fl_context *context, struct fl_image *image,
			int err, struct fl_image **out)
{
	if (err) {
		image_uncharge(context, image);
		fl__image_map_fini(&image->map);
		fl__workset_fini(&image->set);
		fl__origin_release(image->origin);
		free(image);
		return err;
	}
	image->context = fl__context_retain(context);
	image->serial = fl__context_serial(context);
	fl__holes_add(image);
	*out = image;
	return 0;
}

/* The image that the side file is of takes it; for the others it is no side file. */
static void set_read(struct fl_image *image, const char *path)
{
	uint64_t len, done = 0;
	uint8_t *bytes;
	int fd;

	if (fl__os_file_open(path, &fd, &len))
		return;
	bytes = len <= fl__workset_max_bytes(&image->set) ?
			malloc((size_t)len + 1) :
			NULL;
	if (bytes && !fl__os_file_read(fd, 0, bytes, len, &done))
		(void)fl__workset_read(&image->set, bytes, done);
	free(bytes);
	fl__os_file_close(fd);
}

/* has_parts: parts of pages can be had. */
static int image_set(struct fl_image *image, struct fl__origin *origin,
		     uint32_t image_idx, bool has_parts, struct fl_error *error)
{
	struct fl__workset *set = &image->set;
	int err;

	image->origin = fl__origin_retain(origin);
	image->origin_idx = image_idx;
	err = fl__workset_init(set, &origin->toc, image_idx);
	if (!err && has_parts)
		err = fl__workset_take_parts(set, image->map.hpage_bytes);
	if (err)
		return fl__error_set(error, -ENOMEM,
				     "no memory for a working set");
	if (origin->set_path)
		set_read(image, origin->set_path);
	return 0;
}

int fl__image_create_in_place(struct fl_context *context,
			      struct fl__image_map *map, int fd,
			      const uint64_t *file_offs,
			      struct fl__origin *origin, uint32_t image_idx,
			      struct fl_image **out, struct fl_error *error)
{
	struct fl_image *image;
	int err = image_alloc(map, &image, error);

	if (err)
		return err;
	(void)map_bytes(&image->map, &image->has_holes);
	if (origin)
		err = image_set(image, origin, image_idx, false, error);
	if (!err)
		err = in_place_fill(context, image, fd, file_offs, error);
	return image_finish(context, image, err, out);
}

const char *fl__image_load_lacks(const struct fl_context *context)
{
	if (fl__os_is_forked(&context->fork_guard))
		return "this process was forked from the context's owner; make a context of its own";
	return context->backend->load_lacks ?
		       context->backend->load_lacks(context->host) :
		       "the backend does not load on demand";
}

/* An image's name among the numbers is how its file's digest begins, as
 * wasm-image prints it, and which image of the file it is. */
static int loads_open(struct fl_context *context, struct fl_image *image)
{
	const struct fl__toc *toc = &image->origin->toc;
	char name[32];
	struct fl__stats_about about = {
		.of = FL__STATS_OF_LOADS,
		.pool = name,
		.backend = context->backend->name,
		.rung = "lazy",
		.serial = __atomic_add_fetch(&context->last_pool, 1,
					     __ATOMIC_RELAXED),
		.how = context->statistics,
	};
	bool may_publish = about.how == FL_STATISTICS_PUBLISHED;
	int err;

	(void)snprintf(name, sizeof(name), "%02x%02x%02x%02x%02x%02x:%u",
		       toc->digest[0], toc->digest[1], toc->digest[2],
		       toc->digest[3], toc->digest[4], toc->digest[5],
		       image->origin_idx);
	if (may_publish)
		about.private_reason = fl__context_publish(
			context, &context->published_loads,
			"16 lazy images of this context are published already");
	err = fl__stats_open(&about, &image->loads);
	image->is_published = may_publish && !about.private_reason;
	fl__stats_set(image->loads, FL__LOADS_LEVEL_image_pages,
		      toc->images[image->origin_idx].entry_count);
	return err;
}

static void loads_close(struct fl_context *context, struct fl_image *image)
{
	fl__stats_close(image->loads);
	if (image->is_published)
		__atomic_sub_fetch(&context->published_loads, 1,
				   __ATOMIC_RELAXED);
}

static int image_load(struct fl_context *context, struct fl_image *image,
		      struct fl_error *error)
{
	int err = loads_open(context, image);

	if (err)
		(void)fl__error_set(error, err, "no memory for statistics");
	else
		err = context->backend->image_load(context->host, image, error);
	if (err)
		loads_close(context, image);
	return err;
}

int fl__image_create_lazy(struct fl_context *context, struct fl__image_map *map,
			  struct fl__origin *origin, uint32_t image_idx,
			  struct fl_image **out, struct fl_error *error)
{
	const char *lacks = fl__image_load_lacks(context);
	struct fl_image *image;
	int err = image_alloc(map, &image, error);

	if (err)
		return err;
	err = image_set(image, origin, image_idx, true, error);
	if (!err && lacks)
		err = fl__error_set(
			error, -ENOTSUP,
			"images cannot be loaded on demand here: %s; use FL_LOAD_AUTO",
			lacks);
	/* What is loaded, and what guests make of holes meanwhile. */
	else if (!err)
		err = context_charge(context, image, NULL,
				     fl__image_map_extent_bytes(&image->map),
				     fl__image_map_extent_bytes(&image->map),
				     error);
	/* Nothing to load. */
	if (!err && image->map.extent_count)
		err = image_load(context, image, error);
	return image_finish(context, image, err, out);
}

struct fl_image *fl_image_retain(struct fl_image *image)
{
	__atomic_fetch_add(&image->refs, 1, __ATOMIC_RELAXED);
	return image;
}

void fl_image_release(struct fl_image *image)
{
	struct fl_context *context;

	/* The last one out must see what the others wrote. */
	if (!image || __atomic_sub_fetch(&image->refs, 1, __ATOMIC_ACQ_REL))
		return;
	context = image->context;
	fl__holes_remove(image);
	context->backend->image_destroy(image);
	image_uncharge(context, image);
	/* Zeroes where there is none. */
	loads_close(context, image);
	fl__workset_fini(&image->set);
	fl__image_map_fini(&image->map);
	fl__origin_release(image->origin);
	free(image);
	fl_context_destroy(context);
}

static enum fl__segment_status list_get(const struct fl__segments *segments,
					size_t idx, struct fl_segment *segment,
					struct fl_error *error)
{
	(void)error;
	*segment = ((const struct fl_segment *)segments->owner)[idx];
	return FL__SEGMENT_OURS;
}

int fl_image_from_segments(struct fl_context *context, uint64_t initial_bytes,
			   const struct fl_segment *list, size_t count,
			   struct fl_image **image, struct fl_error *error)
{
	struct fl__segments segments = {
		.count = count,
		.owner = list,
		.get = list_get,
	};

	struct fl__image_allowance allowance;
	uint64_t input_bytes = 0;

	for (size_t i = 0; i < count; i++) {
		if (list[i].length_bytes && !list[i].bytes)
			return fl__error_set(
				error, -EINVAL,
				"segment %zu has a length and no bytes", i);
		if (fl_add_overflow(input_bytes, list[i].length_bytes,
				    &input_bytes))
			input_bytes = UINT64_MAX;
	}
	allowance = fl__image_allowance(context, input_bytes);
	return fl__image_create(context, &segments, initial_bytes, &allowance,
				image, error);
}

/* How many pages of unit_hpages hold data. */
static uint64_t image_data_units(const struct fl__image_map *map,
				 uint64_t unit_hpages)
{
	uint64_t units = 0, counted_end = 0;

	for (size_t i = 0; i < map->data.count; i++) {
		const struct fl__run *run = &map->data.items[i];
		uint64_t first = run->hpage_off / unit_hpages;
		uint64_t end =
			(run->hpage_off + run->hpage_len - 1) / unit_hpages + 1;

		first = fl_max_u64(first, counted_end);
		if (end > first)
			units += end - first;
		counted_end = fl_max_u64(counted_end, end);
	}
	return units;
}

static uint64_t image_spanned_units(const struct fl__image_map *map,
				    uint64_t unit_bytes)
{
	if (!map->data_end_bytes)
		return 0;
	return (map->data_end_bytes - 1) / unit_bytes -
	       map->data_first_bytes / unit_bytes + 1;
}

void fl_image_info(const struct fl_image *image, struct fl_image_info *info)
{
	const struct fl__image_map *map = &image->map;
	uint64_t hpage = map->hpage_bytes;
	struct fl_image_info filled = {
		.initial_bytes = map->initial_bytes,
		.data_first_bytes = map->data_first_bytes,
		.data_end_bytes = map->data_end_bytes,
		.spanned_wpages = image_spanned_units(map, FL_WPAGE_BYTES),
		.data_wpages = image_data_units(map, FL_WPAGE_BYTES / hpage),
		.spanned_hpages = image_spanned_units(map, hpage),
		.data_hpages = image_data_units(map, 1),
		.stored_bytes = fl__runs_total(&map->data) * hpage,
		.extent_count = map->extent_count,
		.trap = map->trap,
		.trap_segment_idx = (uint32_t)map->trap_segment_idx,
		.serial = image->serial,
	};

	fl__sized_write(info, &filled, sizeof(filled));
}

void fl_image_loading(const struct fl_image *image,
		      struct fl_image_loading *loading)
{
	struct fl_image_loading filled = {
		.way = image->way ? image->way : FL_LOAD_WHOLE,
		.reason = image->way ? image->way_reason :
				       "the image was made in memory",
	};

	if (image->way == FL_LOAD_LAZY)
		filled.wpages = image->set.entry_count;
	if (image->lazy)
		image->context->backend->image_loading(image, &filled);
	filled.foreseen_wpages =
		__atomic_load_n(&image->set.foreseen_count, __ATOMIC_RELAXED);
	filled.recorded_tenants = (uint32_t)fl_min_u64(
		__atomic_load_n(&image->set.tenants, __ATOMIC_RELAXED),
		FL__WORKSET_TENANTS);
	fl__sized_write(loading, &filled, sizeof(filled));
}

int fl_image_next_run(const struct fl_image *image, uint64_t from_bytes,
		      struct fl_image_run *run)
{
	const struct fl__image_map *map = &image->map;
	uint64_t hpage = map->hpage_bytes, low, high;
	size_t i = fl__runs_find(&map->data, from_bytes / hpage);

	if (i == map->data.count || from_bytes >= map->initial_bytes)
		return 0;
	low = map->data.items[i].hpage_off * hpage;
	high = low + map->data.items[i].hpage_len * hpage;
	run->offset_bytes = fl_max_u64(low, from_bytes);
	run->length_bytes =
		fl_min_u64(high, map->initial_bytes) - run->offset_bytes;
	return 1;
}

int fl_image_read(const struct fl_image *image, uint64_t offset_bytes,
		  void *dst, uint64_t length_bytes)
{
	uint64_t end = offset_bytes + length_bytes;
	struct fl__piece piece;

	if (!fl_range_fits(offset_bytes, length_bytes,
			   image->map.initial_bytes))
		return -EINVAL;
	for (uint64_t at = offset_bytes; fl__image_map_next_data(
		     &image->map, image->bytes, at, end, &piece);
	     at += piece.len) {
		uint8_t *to = (uint8_t *)dst + (at - offset_bytes);
		int err = 0;

		if (piece.is_data)
			err = fl__image_fetch(image, at, to, piece.len);
		else
			memset(to, 0, (size_t)piece.len);
		if (err)
			return err;
	}
	return 0;
}
