/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * faultline-wasm2c-snapshot.c - clones of instances that wasm2c's code made, and
 * their sleep.
 *
 * Takes an instance that has started; gives a snapshot: the content of its
 * memories as images, and the rest of its state as values. Takes an instance
 * that was instantiated once, and makes it a clone again and again: other
 * memories, which show the images, and the state decoded over it. wasm2c's
 * references point into the instance, so an instance that stays where it is
 * keeps its tables, and a clone costs its memories and its globals.
 *
 * A clone that sleeps is a delta of its memories, with the state beside them. It
 * wakes as another clone begins, in any instance of the module, with the lines of
 * the delta over the images and the delta's state in place of the snapshot's.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

/* rand_s() of the C runtime, which asks the system's generator. */
#if defined(_WIN32) && !defined(_CRT_RAND_S)
#define _CRT_RAND_S
#endif

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "faultline-wasm2c.h"
#include "wasm2c-offer.h"

#define WPAGE_BYTES ((uint64_t)65536)
#define MAX_IMAGES 100

/* Another instance would lose its memory, or share it with a clone. */
static int check_imports(const struct fl_wasm2c_layout *layout,
			 const void *instance, struct fl_error *error)
{
	for (uint32_t i = 0; i < layout->memory_count; i++) {
		if (fl_wasm2c_is_imported(layout, i) &&
		    fl_wasm2c_is_defined(
			    fl_wasm2c_memory_at(layout, instance, i)))
			return fl_wasm2c_fail(
				error, -EINVAL,
				"memory %u of %s is another instance's: take "
				"both as a group, by "
				"fl_wasm2c_snapshot_group()",
				i, layout->name);
	}
	return 0;
}

/* The calls for one instance refuse a part of a group. */
static int check_alone(const struct fl_wasm2c_clones *clones,
		       struct fl_error *error)
{
	if (!clones->part_count)
		return 0;
	return fl_wasm2c_fail(error, -EINVAL,
			      "%s is part %u of a group of %u, which goes "
			      "together only: use the calls for groups",
			      clones->layout->name, clones->part_idx,
			      clones->part_count);
}

static int capture_images(const struct fl_wasm2c_layout *layout,
			  const void *instance, struct fl_image **images,
			  struct fl_error *error)
{
	int err = 0;

	for (uint32_t i = 0; i < layout->memory_count && !err; i++) {
		const struct fl_memory *memory = fl_wasm2c_memory(
			fl_wasm2c_memory_at(layout, instance, i));

		err = memory ? fl_image_from_memory(memory, NULL, &images[i],
						    error) :
			       fl_wasm2c_fail(
				       error, -ENOTSUP,
				       "memory %u of %s is no pool's: take it "
				       "by fl_wasm2c_begin() or "
				       "fl_wasm2c_acquire()",
				       i, layout->name);
	}
	return err;
}

int fl_wasm2c_snapshot(const struct fl_wasm2c_layout *layout,
		       const void *instance, struct fl_module *module,
		       const struct fl_wasm2c_codec *codec,
		       const char *encoding, struct fl_snapshot **snapshot,
		       struct fl_error *error)
{
	struct fl_snapshot_parts parts = FL_SNAPSHOT_PARTS_INIT;
	struct fl_image *images[MAX_IMAGES] = { NULL };
	void *state;
	int err;

	if (layout->memory_count > MAX_IMAGES)
		return fl_wasm2c_fail(error, -ENOTSUP,
				      "%s has %u memories, more than %d",
				      layout->name, layout->memory_count,
				      MAX_IMAGES);
	err = check_imports(layout, instance, error);
	if (!err)
		err = fl_wasm2c_encode(layout, instance, codec, &state,
				       &parts.state_bytes, error);
	if (err)
		return err;
	err = capture_images(layout, instance, images, error);
	if (!err) {
		parts.module = module;
		parts.images = images;
		parts.image_count = layout->memory_count;
		parts.state = state;
		parts.encoding = encoding ? encoding : FL_WASM2C_ENCODING;
		err = fl_snapshot_create(&parts, snapshot, error);
	}
	for (uint32_t i = 0; i < layout->memory_count; i++)
		fl_image_release(images[i]);
	free(state);
	return err;
}

/* ------------------------------------------------------------------- clones */

int fl_wasm2c_clones_init(struct fl_wasm2c_clones *clones, struct fl_pool *pool,
			  struct fl_snapshot *snapshot,
			  const struct fl_wasm2c_layout *layout,
			  const struct fl_wasm2c_codec *codec,
			  struct fl_error *error)
{
	struct fl_wasm2c_clones made = {
		.pool = pool,
		.snapshot = snapshot,
		.layout = layout,
		.codec = codec,
	};
	struct fl_wasm2c_offer offer;
	int err = fl_wasm2c_read_offer(pool, &offer, error);

	if (err)
		return err;
	made.max_bytes = offer.max_bytes;
	made.state = fl_snapshot_state(snapshot, 0, &made.state_bytes);
	if (!made.state)
		return fl_wasm2c_fail(error, -EINVAL,
				      "the snapshot has no state: it was not "
				      "made by fl_wasm2c_snapshot()");
	if (fl_wasm2c_state_is_part(made.state, made.state_bytes))
		return fl_wasm2c_fail(
			error, -EINVAL,
			"the snapshot is a part of a group, which "
			"goes together only: use "
			"fl_wasm2c_clones_init_group()");
	for (uint32_t i = 0; i <= layout->memory_count; i++) {
		bool has_image = fl_snapshot_image(snapshot, 0, i) != NULL;

		if (has_image != (i < layout->memory_count))
			return fl_wasm2c_fail(
				error, -EINVAL,
				"%s has %u %s, the snapshot another number: it "
				"is of another module",
				layout->name, layout->memory_count,
				layout->memory_count == 1 ? "memory" :
							    "memories");
	}
	*clones = made;
	return 0;
}

/* At most 256 bytes. */
static int system_random(uint8_t *bytes, size_t len)
{
#ifdef _WIN32
	unsigned int word;

	for (size_t i = 0; i < len; i++) {
		if (i % sizeof(word) == 0 && rand_s(&word))
			return -EIO;
		memcpy(bytes + i, (uint8_t *)&word + i % sizeof(word), 1);
	}
	return 0;
#else
	return getentropy(bytes, len) ? -EIO : 0;
#endif
}

/* Random bytes in stock, because a system call for each clone would cost a third
 * of a microsecond. Each thread has its own; a forked child begins without. */
static _Thread_local struct {
	unsigned int left;
	uint8_t bytes[256];
} stock;

static bool is_guarded;

#ifdef _WIN32
/* No process there is a child with this one's memory. */
static void stock_guard(void)
{
	is_guarded = true;
}
#else
static void stock_forget(void)
{
	stock.left = 0;
}

static void stock_guard(void)
{
	is_guarded = !pthread_atfork(NULL, NULL, stock_forget);
}
#endif

static int stock_take(uint8_t *id, size_t len)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, stock_guard);
	/* Nobody would tell a child to forget the stock. */
	if (!is_guarded)
		return system_random(id, len);
	if (stock.left < len) {
		if (system_random(stock.bytes, sizeof(stock.bytes)))
			return -EIO;
		stock.left = sizeof(stock.bytes);
	}
	stock.left -= (unsigned int)len;
	memcpy(id, stock.bytes + stock.left, len);
	memset(stock.bytes + stock.left, 0, len);
	return 0;
}

int fl_wasm2c_random_id(uint8_t *id, size_t len, struct fl_error *error)
{
	if (!stock_take(id, len))
		return 0;
	return fl_wasm2c_fail(error, -EIO, "the system gives no random bytes");
}

int fl_wasm2c_tell_restored(const struct fl_wasm2c_clones *clones,
			    void *instance, enum fl_restore_cause cause,
			    struct fl_error *error)
{
	const struct fl_wasm2c_codec *codec = clones->codec;
	struct fl_restored how = {
		.size = sizeof(how),
		.cause = cause,
	};
	int err;

	if (!codec || !codec->restored)
		return 0;
	err = fl_wasm2c_random_id(how.generation_id, sizeof(how.generation_id),
				  error);
	if (err)
		return err;
	err = codec->restored(codec->user, instance, &how);
	return err ? fl_wasm2c_fail(error, err, "restored answered %d", err) :
		     0;
}

/* What the memory held, and its size; wasm2c's code reads the size in *memory. */
static int restore_memory(const struct fl_delta *delta, uint32_t memory_idx,
			  wasm_rt_memory_t *memory, struct fl_error *error)
{
	struct fl_memory *restored = fl_wasm2c_memory(memory);
	int err = fl_delta_restore_memory(delta, memory_idx, restored, error);

	if (err)
		return err;
	memory->size = (uint32_t)restored->length_bytes;
	memory->pages = (uint32_t)(restored->length_bytes / WPAGE_BYTES);
	return 0;
}

int fl_wasm2c_take_memory(const struct fl_wasm2c_clones *clones, void *instance,
			  uint32_t memory_idx, const struct fl_delta *delta,
			  uint64_t timeout_ns, struct fl_error *error)
{
	const struct fl_wasm2c_layout *layout = clones->layout;
	wasm_rt_memory_t *memory =
		fl_wasm2c_memory_at(layout, instance, memory_idx);
	struct fl_memory_config config = FL_MEMORY_CONFIG_INIT;
	int err;

	config.image = fl_snapshot_image(clones->snapshot, 0, memory_idx);
	config.max_bytes = memory->max_pages * WPAGE_BYTES;
	if (config.max_bytes > clones->max_bytes)
		config.max_bytes = clones->max_bytes;
	config.timeout_ns = timeout_ns;
	err = fl_wasm2c_replace(clones->pool, &config,
				!fl_wasm2c_is_imported(layout, memory_idx),
				memory, error);
	if (!err && delta)
		err = restore_memory(delta, memory_idx, memory, error);
	return err;
}

static int take_memories(const struct fl_wasm2c_clones *clones, void *instance,
			 const struct fl_delta *delta, uint64_t timeout_ns,
			 struct fl_error *error)
{
	int err = 0;

	for (uint32_t i = 0; i < clones->layout->memory_count && !err; i++)
		err = fl_wasm2c_take_memory(clones, instance, i, delta,
					    timeout_ns, error);
	return err;
}

int fl_wasm2c_read_delta(const struct fl_delta *delta, void **bytes,
			 uint64_t *length_bytes, struct fl_error *error)
{
	void *made;
	int err = fl_delta_read_state(delta, 0, NULL, length_bytes);

	if (err)
		return fl_wasm2c_fail(error, err, "the delta's state: %s",
				      fl_strerror(err));
	made = malloc(*length_bytes + 1);
	err = made ? fl_delta_read_state(delta, 0, made, length_bytes) :
		     -ENOMEM;
	if (err) {
		free(made);
		return fl_wasm2c_fail(error, err, "the delta's state: %s",
				      fl_strerror(err));
	}
	*bytes = made;
	return 0;
}

/* Most states are small, and a wake is to allocate nothing for them. */
#define FEW_BYTES 2048

static int decode_delta(const struct fl_wasm2c_clones *clones, void *instance,
			const struct fl_delta *delta, struct fl_error *error)
{
	uint8_t few[FEW_BYTES];
	uint64_t length_bytes = sizeof(few);
	void *bytes = few;
	int err = fl_delta_read_state(delta, 0, bytes, &length_bytes);

	if (err == -E2BIG) {
		bytes = malloc(length_bytes);
		err = bytes ? fl_delta_read_state(delta, 0, bytes,
						  &length_bytes) :
			      -ENOMEM;
	}
	if (err)
		err = fl_wasm2c_fail(error, err, "the delta's state: %s",
				     fl_strerror(err));
	else
		err = fl_wasm2c_decode(clones->layout, instance, clones->codec,
				       bytes, length_bytes, error);
	if (bytes != few)
		free(bytes);
	return err;
}

static int decode_state(const struct fl_wasm2c_clones *clones, void *instance,
			const struct fl_delta *delta, struct fl_error *error)
{
	if (delta)
		return decode_delta(clones, instance, delta, error);
	return fl_wasm2c_decode(clones->layout, instance, clones->codec,
				clones->state, clones->state_bytes, error);
}

/* A clone that begins where the snapshot stands, or the delta. */
static int begin(const struct fl_wasm2c_clones *clones, void *instance,
		 const struct fl_delta *delta, uint64_t timeout_ns,
		 struct fl_error *error)
{
	int err = check_alone(clones, error), cancel;

	if (!err)
		err = check_imports(clones->layout, instance, error);
	if (err)
		return err;
	/* A thread that ended here would leave half a clone. */
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel);
	/* All go before one is taken: a pool may have no slot to spare. */
	fl_wasm2c_release(clones->layout, instance);
	err = take_memories(clones, instance, delta, timeout_ns, error);
	if (!err)
		err = decode_state(clones, instance, delta, error);
	if (!err)
		err = fl_wasm2c_tell_restored(
			clones, instance,
			delta ? FL_RESTORE_WOKEN : FL_RESTORE_CLONED, error);
	if (err)
		fl_wasm2c_release(clones->layout, instance);
	pthread_setcancelstate(cancel, NULL);
	return err;
}

int fl_wasm2c_clone(const struct fl_wasm2c_clones *clones, void *instance,
		    uint64_t timeout_ns, struct fl_error *error)
{
	return begin(clones, instance, NULL, timeout_ns, error);
}

void fl_wasm2c_release(const struct fl_wasm2c_layout *layout, void *instance)
{
	for (uint32_t i = layout->memory_count; i--;)
		fl_wasm2c_give(fl_wasm2c_memory_at(layout, instance, i));
}

/* -------------------------------------------------------------------- sleep */

int fl_wasm2c_wake(const struct fl_wasm2c_clones *clones, void *instance,
		   const struct fl_delta *delta, uint64_t timeout_ns,
		   struct fl_error *error)
{
	struct fl_delta_info info = { .size = sizeof(info) };

	fl_delta_info(delta, &info);
	if (info.snapshot != clones->snapshot)
		return fl_wasm2c_fail(error, -EINVAL,
				      "the delta was not opened with the "
				      "snapshot of these clones");
	return begin(clones, instance, delta, timeout_ns, error);
}

/* All memories of an instance while a call may release them. */
struct hidden {
	struct fl_memory *handles[MAX_IMAGES];
	void *entries[MAX_IMAGES];
	uint32_t count;
};

static int hide_all(const struct fl_wasm2c_layout *layout, const void *instance,
		    struct hidden *hidden, struct fl_error *error)
{
	uint32_t i;

	for (i = 0; i < layout->memory_count; i++) {
		hidden->entries[i] =
			fl_wasm2c_hide(fl_wasm2c_memory_at(layout, instance, i),
				       &hidden->handles[i]);
		if (!hidden->entries[i])
			return fl_wasm2c_fail(error, -EINVAL,
					      "memory %u of %s is no pool's: "
					      "only a clone can sleep",
					      i, layout->name);
		hidden->count++;
	}
	return 0;
}

static int suspend(const struct fl_wasm2c_clones *clones, void *instance,
		   struct fl_delta_parts *parts, struct fl_delta **delta,
		   struct fl_error *error)
{
	const struct fl_wasm2c_layout *layout = clones->layout;
	struct hidden hidden = { .count = 0 };
	int err = hide_all(layout, instance, &hidden, error);

	if (!err) {
		parts->memories = hidden.handles;
		parts->memory_count = hidden.count;
		err = fl_memory_suspend(parts, delta, error);
	}
	for (uint32_t i = hidden.count; i--;)
		fl_wasm2c_unhide(hidden.entries[i],
				 fl_wasm2c_memory_at(layout, instance, i),
				 !err);
	return err;
}

int fl_wasm2c_suspend(const struct fl_wasm2c_clones *clones, void *instance,
		      const uint8_t *tag, struct fl_delta **delta,
		      struct fl_error *error)
{
	struct fl_delta_parts parts = FL_DELTA_PARTS_INIT;
	void *state = NULL;
	int err = check_alone(clones, error), cancel;

	if (err)
		return err;
	/* A thread that ended here would leave memories that nobody finds. */
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel);
	err = fl_wasm2c_encode(clones->layout, instance, clones->codec, &state,
			       &parts.state_bytes, error);
	if (!err) {
		parts.snapshot = clones->snapshot;
		parts.state = state;
		if (tag)
			memcpy(parts.tag, tag, sizeof(parts.tag));
		err = suspend(clones, instance, &parts, delta, error);
		free(state);
	}
	pthread_setcancelstate(cancel, NULL);
	return err;
}
