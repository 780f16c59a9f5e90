/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * faultline-wasm2c-group.c - snapshots, clones and sleep of instances that use each
 * other's memories, tables and functions.
 *
 * Takes instances, its parts; gives a snapshot of each, or makes each a clone, or
 * puts each to sleep, all or none. A memory belongs to the part that defines it, or,
 * if the host made it, to the first part that imports it; that part alone captures
 * and replaces it. The state of a part names functions of the others by the number
 * of the part.
 *
 * What a part has before its state says which part of which group it is, and which
 * memory each of its memories is. So no part goes without the others, none goes with
 * those of another capture, and no instances take a group whose imports they do not
 * have.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "wasm2c-offer.h"

#define MAX_IMAGES 100u
#define NUMBER_BYTES 16u
#define NUMBER_OFF 8u
/* From here on the head is the same for every capture and sleep of a group. */
#define SHAPE_OFF (NUMBER_OFF + NUMBER_BYTES)
#define HEAD_BYTES(memory_count) (SHAPE_OFF + 16u + 8u * (memory_count))
#define MAX_HEAD_BYTES HEAD_BYTES(MAX_IMAGES)

static const uint8_t magic[8] = { 'F', 'L', 'w', '2', 'c', 'g', '0', '1' };

bool fl_wasm2c_state_is_part(const void *state, uint64_t state_bytes)
{
	return state_bytes >= sizeof(magic) &&
	       !memcmp(state, magic, sizeof(magic));
}

/* ------------------------------------------------------------- whose memory */

/* A memory, by the part that it belongs to. */
struct place {
	uint32_t part, memory;
};

static wasm_rt_memory_t *memory_of(const struct fl_wasm2c_part *parts,
				   uint32_t part, uint32_t memory)
{
	return fl_wasm2c_memory_at(parts[part].layout, parts[part].instance,
				   memory);
}

static bool lies_in(const struct fl_wasm2c_part *part, const void *at)
{
	return (uintptr_t)at - (uintptr_t)part->instance <
	       part->layout->instance_bytes;
}

/* Which memory of a part, defined or imported, has this struct; false: none. */
static bool find_struct(const struct fl_wasm2c_part *parts, uint32_t part,
			bool is_imported, const wasm_rt_memory_t *memory,
			struct place *place)
{
	const struct fl_wasm2c_layout *layout = parts[part].layout;

	for (uint32_t i = 0; i < layout->memory_count; i++) {
		if (fl_wasm2c_is_imported(layout, i) != is_imported ||
		    memory_of(parts, part, i) != memory)
			continue;
		*place = (struct place){ part, i };
		return true;
	}
	return false;
}

static int find_owner(const struct fl_wasm2c_part *parts, uint32_t count,
		      uint32_t part, uint32_t memory_idx, struct place *owner,
		      struct fl_error *error)
{
	const wasm_rt_memory_t *memory = memory_of(parts, part, memory_idx);

	*owner = (struct place){ part, memory_idx };
	if (!fl_wasm2c_is_imported(parts[part].layout, memory_idx))
		return 0;
	for (uint32_t i = 0; i < count; i++) {
		if (lies_in(&parts[i], memory) &&
		    find_struct(parts, i, false, memory, owner))
			return 0;
	}
	/* The part itself imports it, so something is found. */
	for (uint32_t i = 0; i <= part; i++) {
		if (find_struct(parts, i, true, memory, owner))
			break;
	}
	if (!fl_wasm2c_is_defined(memory))
		return 0;
	return fl_wasm2c_fail(error, -EINVAL,
			      "memory %u of %s (part %u) is imported from an "
			      "instance that is no part of the group",
			      memory_idx, parts[part].layout->name, part);
}

static bool is_own(const struct place *owner, uint32_t part, uint32_t memory)
{
	return owner->part == part && owner->memory == memory;
}

/* --------------------------------------------------------------------- heads */

static void put_u32(uint8_t *at, uint32_t value)
{
	/* The host is little-endian, as the adapter asks. */
	memcpy(at, &value, sizeof(value));
}

/* What comes before the state of a part of a group with these instances. */
static int make_head(const struct fl_wasm2c_part *parts, uint32_t count,
		     uint32_t part, const uint8_t *number, uint8_t *head,
		     struct fl_error *error)
{
	uint32_t memory_count = parts[part].layout->memory_count;
	uint8_t *at = head + SHAPE_OFF + 16;

	memcpy(head, magic, sizeof(magic));
	memcpy(head + NUMBER_OFF, number, NUMBER_BYTES);
	put_u32(head + SHAPE_OFF, count);
	put_u32(head + SHAPE_OFF + 4, part);
	put_u32(head + SHAPE_OFF + 8, memory_count);
	put_u32(head + SHAPE_OFF + 12, 0);
	for (uint32_t i = 0; i < memory_count; i++, at += 8) {
		struct place owner;
		int err = find_owner(parts, count, part, i, &owner, error);

		if (err)
			return err;
		put_u32(at, owner.part);
		put_u32(at + 4, owner.memory);
	}
	return 0;
}

static int check_parts(const struct fl_wasm2c_part *parts, uint32_t count,
		       struct fl_error *error)
{
	if (!count || count > FL_WASM2C_MAX_PARTS)
		return fl_wasm2c_fail(error, -EINVAL,
				      "a group has 1 to %d parts, not %u",
				      FL_WASM2C_MAX_PARTS, count);
	for (uint32_t i = 0; i < count; i++) {
		if (parts[i].layout->memory_count > MAX_IMAGES)
			return fl_wasm2c_fail(error, -ENOTSUP,
					      "%s has %u memories, more than "
					      "%u",
					      parts[i].layout->name,
					      parts[i].layout->memory_count,
					      MAX_IMAGES);
		for (uint32_t k = 0; k < i; k++) {
			if (parts[i].instance &&
			    parts[i].instance == parts[k].instance)
				return fl_wasm2c_fail(error, -EINVAL,
						      "parts %u and %u of the "
						      "group are one instance",
						      k, i);
		}
	}
	return 0;
}

/* The head and the state of a part, in memory for free(). */
static int encode_part(const struct fl_wasm2c_part *parts, uint32_t count,
		       uint32_t part, const uint8_t *number, uint8_t **bytes,
		       uint64_t *length_bytes, struct fl_error *error)
{
	size_t head_bytes = HEAD_BYTES(parts[part].layout->memory_count);
	uint8_t *whole = NULL;
	void *state = NULL;
	int err = fl_wasm2c_encode_part(parts, count, part, &state,
					length_bytes, error);

	if (err)
		return err;
	whole = malloc(head_bytes + *length_bytes);
	if (!whole)
		err = fl_wasm2c_fail(error, -ENOMEM,
				     "no memory for an instance's state");
	else
		err = make_head(parts, count, part, number, whole, error);
	if (!err) {
		memcpy(whole + head_bytes, state, *length_bytes);
		*length_bytes += head_bytes;
		*bytes = whole;
		whole = NULL;
	}
	free(state);
	free(whole);
	return err;
}

/* ------------------------------------------------------------------ snapshots */

static int capture_images(const struct fl_wasm2c_part *parts, uint32_t count,
			  uint32_t part, struct fl_image **images,
			  struct fl_error *error)
{
	const struct fl_wasm2c_layout *layout = parts[part].layout;
	int err = 0;

	for (uint32_t i = 0; i < layout->memory_count && !err; i++) {
		const struct fl_memory *memory =
			fl_wasm2c_memory(memory_of(parts, part, i));
		struct place owner;

		err = find_owner(parts, count, part, i, &owner, error);
		if (err || !is_own(&owner, part, i))
			continue;
		err = memory ? fl_image_from_memory(memory, NULL, &images[i],
						    error) :
			       fl_wasm2c_fail(error, -ENOTSUP,
					      "memory %u of %s (part %u) is no "
					      "pool's: take it by "
					      "fl_wasm2c_begin() or "
					      "fl_wasm2c_acquire()",
					      i, layout->name, part);
	}
	return err;
}

static int capture_part(const struct fl_wasm2c_part *parts, uint32_t count,
			uint32_t part, const uint8_t *number,
			const char *encoding, struct fl_snapshot **snapshot,
			struct fl_error *error)
{
	struct fl_snapshot_parts made = FL_SNAPSHOT_PARTS_INIT;
	struct fl_image *images[MAX_IMAGES] = { NULL };
	uint8_t *state = NULL;
	int err = encode_part(parts, count, part, number, &state,
			      &made.state_bytes, error);

	if (!err)
		err = capture_images(parts, count, part, images, error);
	if (!err) {
		made.module = parts[part].module;
		made.images = images;
		made.image_count = parts[part].layout->memory_count;
		made.state = state;
		made.encoding = encoding ? encoding : FL_WASM2C_GROUP_ENCODING;
		err = fl_snapshot_create(&made, snapshot, error);
	}
	for (uint32_t i = 0; i < MAX_IMAGES; i++)
		fl_image_release(images[i]);
	free(state);
	return err;
}

/* That an instance is missing is said before anything else. */
static int check_owners(const struct fl_wasm2c_part *parts, uint32_t count,
			struct fl_error *error)
{
	uint8_t number[NUMBER_BYTES] = { 0 }, head[MAX_HEAD_BYTES];
	int err = 0;

	for (uint32_t i = 0; i < count && !err; i++)
		err = make_head(parts, count, i, number, head, error);
	return err;
}

int fl_wasm2c_snapshot_group(const struct fl_wasm2c_part *parts,
			     uint32_t part_count, const char *encoding,
			     struct fl_snapshot **snapshots,
			     struct fl_error *error)
{
	struct fl_snapshot *made[FL_WASM2C_MAX_PARTS];
	uint8_t number[NUMBER_BYTES];
	uint32_t done = 0;
	int err = check_parts(parts, part_count, error);

	if (!err)
		err = check_owners(parts, part_count, error);
	if (!err)
		err = fl_wasm2c_random_id(number, sizeof(number), error);
	while (!err && done < part_count) {
		err = capture_part(parts, part_count, done, number, encoding,
				   &made[done], error);
		done += !err;
	}
	if (err) {
		while (done--)
			fl_snapshot_release(made[done]);
		return err;
	}
	memcpy(snapshots, made, part_count * sizeof(*made));
	return 0;
}

/* --------------------------------------------------------------------- clones */

/* Is that a head of this part, with the number of the first part? */
static bool head_is_of(const uint8_t *state, uint64_t state_bytes,
		       const uint8_t *first, const uint8_t *like,
		       uint32_t memory_count)
{
	return state_bytes >= HEAD_BYTES(memory_count) &&
	       !memcmp(state, magic, sizeof(magic)) &&
	       !memcmp(state + NUMBER_OFF, first + NUMBER_OFF, NUMBER_BYTES) &&
	       !memcmp(state + SHAPE_OFF, like,
		       HEAD_BYTES(memory_count) - SHAPE_OFF);
}

static uint32_t get_u32(const uint8_t *at)
{
	uint32_t value;

	memcpy(&value, at, sizeof(value));
	return value;
}

/* The head of a snapshot's part, against what the caller says that it is. */
static int check_head(const struct fl_wasm2c_clones *clones,
		      const struct fl_wasm2c_clones *first,
		      struct fl_error *error)
{
	uint32_t memory_count = clones->layout->memory_count;
	const uint8_t *head = clones->state;
	bool is_part = head && first->state_bytes >= SHAPE_OFF &&
		       clones->state_bytes >= HEAD_BYTES(memory_count) &&
		       fl_wasm2c_state_is_part(head, clones->state_bytes);

	if (!is_part ||
	    memcmp(head + NUMBER_OFF,
		   (const uint8_t *)first->state + NUMBER_OFF, NUMBER_BYTES) ||
	    get_u32(head + SHAPE_OFF) != clones->part_count ||
	    get_u32(head + SHAPE_OFF + 4) != clones->part_idx ||
	    get_u32(head + SHAPE_OFF + 8) != memory_count)
		return fl_wasm2c_fail(error, -EINVAL,
				      "the snapshot of %s is not part %u of %u "
				      "of the group that the first snapshot is "
				      "of",
				      clones->layout->name, clones->part_idx,
				      clones->part_count);
	head += SHAPE_OFF + 16;
	for (uint32_t i = 0; i <= memory_count; i++, head += 8) {
		bool has_image = fl_snapshot_image(clones->snapshot, 0, i);
		bool is_here = i < memory_count &&
			       get_u32(head) == clones->part_idx &&
			       get_u32(head + 4) == i;

		if (has_image != is_here)
			return fl_wasm2c_fail(error, -EINVAL,
					      "the snapshot of %s (part %u) "
					      "has other memories than it says",
					      clones->layout->name,
					      clones->part_idx);
	}
	return 0;
}

int fl_wasm2c_clones_init_group(struct fl_wasm2c_clones *clones,
				struct fl_pool *pool,
				struct fl_snapshot *const *snapshots,
				const struct fl_wasm2c_part *parts,
				uint32_t part_count, struct fl_error *error)
{
	struct fl_wasm2c_clones made[FL_WASM2C_MAX_PARTS];
	struct fl_wasm2c_offer offer;
	int err = check_parts(parts, part_count, error);

	if (!err)
		err = fl_wasm2c_read_offer(pool, &offer, error);
	for (uint32_t i = 0; i < part_count && !err; i++) {
		made[i] = (struct fl_wasm2c_clones){
			.pool = pool,
			.snapshot = snapshots[i],
			.layout = parts[i].layout,
			.codec = parts[i].codec,
			.max_bytes = offer.max_bytes,
			.part_count = part_count,
			.part_idx = i,
		};
		made[i].state = fl_snapshot_state(snapshots[i], 0,
						  &made[i].state_bytes);
		err = check_head(&made[i], &made[0], error);
	}
	if (!err)
		memcpy(clones, made, part_count * sizeof(*made));
	return err;
}

/* The parts as the clones are made of them. */
static int parts_of(const struct fl_wasm2c_clones *clones,
		    void *const *instances, uint32_t count,
		    struct fl_wasm2c_part *parts, struct fl_error *error)
{
	if (!count || count > FL_WASM2C_MAX_PARTS)
		return fl_wasm2c_fail(error, -EINVAL,
				      "a group has 1 to %d parts, not %u",
				      FL_WASM2C_MAX_PARTS, count);
	for (uint32_t i = 0; i < count; i++) {
		if (clones[i].part_count != count || clones[i].part_idx != i ||
		    memcmp(clones[i].state, clones[0].state, SHAPE_OFF))
			return fl_wasm2c_fail(error, -EINVAL,
					      "clones[%u], of %s, are not part "
					      "%u of %u of the group",
					      i, clones[i].layout->name, i,
					      count);
		parts[i] = (struct fl_wasm2c_part){
			.layout = clones[i].layout,
			.instance = instances[i],
			.codec = clones[i].codec,
		};
	}
	return check_parts(parts, count, error);
}

/* Do the instances import from each other as the captured ones did? */
static int check_shape(const struct fl_wasm2c_clones *clones,
		       const struct fl_wasm2c_part *parts, uint32_t count,
		       struct fl_error *error)
{
	static const uint8_t no_number[NUMBER_BYTES];
	uint8_t head[MAX_HEAD_BYTES];
	int err;

	for (uint32_t i = 0; i < count; i++) {
		err = make_head(parts, count, i, no_number, head, error);
		if (err)
			return err;
		if (memcmp(head + SHAPE_OFF,
			   (const uint8_t *)clones[i].state + SHAPE_OFF,
			   HEAD_BYTES(parts[i].layout->memory_count) -
				   SHAPE_OFF) != 0)
			return fl_wasm2c_fail(
				error, -EINVAL,
				"%s (part %u) imports other memories than the "
				"captured instance did",
				parts[i].layout->name, i);
	}
	return 0;
}

/* States of parts, head and all: of the snapshots, or of deltas. */
struct states {
	const uint8_t *bytes[FL_WASM2C_MAX_PARTS];
	uint64_t lengths[FL_WASM2C_MAX_PARTS];
	void *own[FL_WASM2C_MAX_PARTS]; /* to be freed; NULL: a snapshot's */
};

static void states_free(struct states *states)
{
	for (uint32_t i = 0; i < FL_WASM2C_MAX_PARTS; i++)
		free(states->own[i]);
}

static int read_delta(const struct fl_wasm2c_clones *clones,
		      const struct fl_delta *delta, uint32_t part,
		      struct states *states, struct fl_error *error)
{
	struct fl_delta_info info = { .size = sizeof(info) };
	int err;

	fl_delta_info(delta, &info);
	if (info.snapshot != clones[part].snapshot)
		return fl_wasm2c_fail(error, -EINVAL,
				      "deltas[%u] was not opened with the "
				      "snapshot of clones[%u]",
				      part, part);
	err = fl_wasm2c_read_delta(delta, &states->own[part],
				   &states->lengths[part], error);
	if (err)
		return err;
	states->bytes[part] = states->own[part];
	if (states->lengths[0] >= SHAPE_OFF &&
	    head_is_of(states->bytes[part], states->lengths[part],
		       states->bytes[0],
		       (const uint8_t *)clones[part].state + SHAPE_OFF,
		       clones[part].layout->memory_count))
		return 0;
	return fl_wasm2c_fail(error, -EINVAL,
			      "deltas[%u] is not of the sleep that deltas[0] "
			      "is of",
			      part);
}

static int read_states(const struct fl_wasm2c_clones *clones, uint32_t count,
		       struct fl_delta *const *deltas, struct states *states,
		       struct fl_error *error)
{
	int err = 0;

	for (uint32_t i = 0; i < count && !err; i++) {
		states->bytes[i] = clones[i].state;
		states->lengths[i] = clones[i].state_bytes;
		if (deltas)
			err = read_delta(clones, deltas[i], i, states, error);
	}
	return err;
}

static void release_all(const struct fl_wasm2c_part *parts, uint32_t count)
{
	while (count--)
		fl_wasm2c_release(parts[count].layout, parts[count].instance);
}

static int take_memories(const struct fl_wasm2c_clones *clones,
			 const struct fl_wasm2c_part *parts, uint32_t part,
			 const struct fl_delta *delta, uint64_t timeout_ns,
			 struct fl_error *error)
{
	int err = 0;

	/* What is another part's has no image here. */
	for (uint32_t i = 0; i < parts[part].layout->memory_count && !err;
	     i++) {
		if (fl_snapshot_image(clones[part].snapshot, 0, i))
			err = fl_wasm2c_take_memory(&clones[part],
						    parts[part].instance, i,
						    delta, timeout_ns, error);
	}
	return err;
}

static int begin_parts(const struct fl_wasm2c_clones *clones,
		       const struct fl_wasm2c_part *parts, uint32_t count,
		       struct fl_delta *const *deltas,
		       const struct states *states, uint64_t timeout_ns,
		       struct fl_error *error)
{
	int err = 0;

	for (uint32_t i = 0; i < count && !err; i++)
		err = take_memories(clones, parts, i, deltas ? deltas[i] : NULL,
				    timeout_ns, error);
	for (uint32_t i = 0; i < count && !err; i++) {
		uint64_t head = HEAD_BYTES(parts[i].layout->memory_count);

		err = fl_wasm2c_decode_part(parts, count, i,
					    states->bytes[i] + head,
					    states->lengths[i] - head, error);
	}
	for (uint32_t i = 0; i < count && !err; i++)
		err = fl_wasm2c_tell_restored(
			&clones[i], parts[i].instance,
			deltas ? FL_RESTORE_WOKEN : FL_RESTORE_CLONED, error);
	return err;
}

static int begin_group(const struct fl_wasm2c_clones *clones,
		       void *const *instances, struct fl_delta *const *deltas,
		       uint32_t count, uint64_t timeout_ns,
		       struct fl_error *error)
{
	struct fl_wasm2c_part parts[FL_WASM2C_MAX_PARTS];
	struct states states = { .own = { NULL } };
	int err, cancel;

	/* A thread that ended here would leave half a group. */
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel);
	err = parts_of(clones, instances, count, parts, error);
	if (!err)
		err = check_shape(clones, parts, count, error);
	if (!err)
		err = read_states(clones, count, deltas, &states, error);
	if (!err) {
		/* All go before one is taken, as for one instance. */
		release_all(parts, count);
		err = begin_parts(clones, parts, count, deltas, &states,
				  timeout_ns, error);
		if (err)
			release_all(parts, count);
	}
	states_free(&states);
	pthread_setcancelstate(cancel, NULL);
	return err;
}

int fl_wasm2c_clone_group(const struct fl_wasm2c_clones *clones,
			  void *const *instances, uint32_t part_count,
			  uint64_t timeout_ns, struct fl_error *error)
{
	return begin_group(clones, instances, NULL, part_count, timeout_ns,
			   error);
}

int fl_wasm2c_wake_group(const struct fl_wasm2c_clones *clones,
			 void *const *instances, struct fl_delta *const *deltas,
			 uint32_t part_count, uint64_t timeout_ns,
			 struct fl_error *error)
{
	return begin_group(clones, instances, deltas, part_count, timeout_ns,
			   error);
}

/* ---------------------------------------------------------------------- sleep */

static int checkpoint(const struct fl_wasm2c_clones *clones,
		      const struct fl_wasm2c_part *parts, uint32_t count,
		      uint32_t part, const uint8_t *number, const uint8_t *tag,
		      struct fl_delta **delta, struct fl_error *error)
{
	const struct fl_wasm2c_layout *layout = parts[part].layout;
	struct fl_delta_parts made = FL_DELTA_PARTS_INIT;
	struct fl_memory *memories[MAX_IMAGES] = { NULL };
	uint8_t *state = NULL;
	int err;

	for (uint32_t i = 0; i < layout->memory_count; i++) {
		if (!fl_snapshot_image(clones[part].snapshot, 0, i))
			continue;
		memories[i] = fl_wasm2c_memory(memory_of(parts, part, i));
		if (!memories[i])
			return fl_wasm2c_fail(error, -EINVAL,
					      "memory %u of %s (part %u) is no "
					      "pool's: only clones can sleep",
					      i, layout->name, part);
	}
	err = encode_part(parts, count, part, number, &state, &made.state_bytes,
			  error);
	if (err)
		return err;
	made.snapshot = clones[part].snapshot;
	made.memories = memories;
	made.memory_count = layout->memory_count;
	made.state = state;
	if (tag)
		memcpy(made.tag, tag, sizeof(made.tag));
	err = fl_memory_delta(&made, delta, error);
	free(state);
	return err;
}

int fl_wasm2c_suspend_group(const struct fl_wasm2c_clones *clones,
			    void *const *instances, uint32_t part_count,
			    const uint8_t *tag, struct fl_delta **deltas,
			    struct fl_error *error)
{
	struct fl_wasm2c_part parts[FL_WASM2C_MAX_PARTS];
	struct fl_delta *made[FL_WASM2C_MAX_PARTS];
	uint8_t number[NUMBER_BYTES];
	uint32_t done = 0;
	int err, cancel;

	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel);
	err = parts_of(clones, instances, part_count, parts, error);
	if (!err)
		err = check_shape(clones, parts, part_count, error);
	if (!err)
		err = fl_wasm2c_random_id(number, sizeof(number), error);
	while (!err && done < part_count) {
		err = checkpoint(clones, parts, part_count, done, number, tag,
				 &made[done], error);
		done += !err;
	}
	if (!err) {
		release_all(parts, part_count);
		memcpy(deltas, made, part_count * sizeof(*made));
	} else {
		while (done--)
			fl_delta_release(made[done]);
	}
	pthread_setcancelstate(cancel, NULL);
	return err;
}
