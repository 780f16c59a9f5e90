/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * snapshot_model.c - random guests are captured at random moments, and every
 * clone must hold what the captured guest held then, by the model of guests.h:
 * memories, tables, dropped segments, structure, the runtime's own bytes.
 *
 * Guests, clones, clones of clones and plain instances of the same modules share
 * two pools, and a clone may be in another pool than the captured guest. Each goes
 * on by itself, and what one does shows in no other. Clones sleep as deltas, and wake
 * in another slot or pool as they were. Snapshots come and go, slots
 * are trimmed and purged while clones live.
 */
#define _GNU_SOURCE
#include "guests.h"

#define POOLS 2
#define SHAPES 3
#define GUESTS 5
#define SHOTS 4

/* Captures in all, on each rung. */
#define CAPTURES 1000

/* A snapshot and what was captured. */
struct shot {
	struct fl_snapshot *snapshot; /* NULL: none */
	const struct shape *shape;
	struct content content;
	struct fl_image *imported_memory, *imported_table; /* the caller's */
};

struct world {
	struct fl_context *context;
	struct conform conforms[POOLS]; /* of that context */
	struct fl_pool_config pools[POOLS];
	struct test_random random;
	struct elements elements;
	struct shape shapes[SHAPES];
	struct guest guests[GUESTS];
	struct shot shots[SHOTS];
	bool encodes_tables, counts_references, is_plain_structure;
	int64_t live; /* references */
	unsigned int captures, clones, full, resets, naps;
	enum fl_restore_cause cause; /* that is expected */
	uint8_t last_id[16];
	char calls[40]; /* of the acquire that runs */
	struct content *decoded; /* own bytes and structure, by decode_state */
};

/* ------------------------------------------------------------ runtime's calls */

static struct world *the_world; /* of the running case */

static void make_element(void *user, struct fl_instance *instance,
			 const struct fl_element *from, void *element)
{
	struct world *world = user;

	(void)instance;
	CHECK_EQ(from->kind, FL_ELEMENT_FUNC);
	element_bytes(&world->elements, from->idx, element);
	world->live++;
}

static void clone_element(void *user, void *dst, const void *src)
{
	struct world *world = user;

	CHECK(element_number(&world->elements, src) != NONE);
	memcpy(dst, src, world->elements.width);
	world->live++;
}

static void drop_element(void *user, void *element)
{
	struct world *world = user;

	CHECK(element_number(&world->elements, element) != NONE);
	memset(element, 0xdd, world->elements.width);
	world->live--;
}

static struct guest *guest_of(struct fl_instance *instance)
{
	for (int i = 0; i < GUESTS; i++) {
		if (the_world->guests[i].instance == instance)
			return &the_world->guests[i];
	}
	MUST(!"the instance is one of ours");
	return NULL;
}

/* The values are the numbers, less what only this process knows. */
static int encode_elements(void *user, struct fl_instance *instance,
			   uint32_t table_idx, uint64_t first_idx,
			   const void *elements, uint64_t count,
			   uint64_t *values)
{
	struct world *world = user;
	const struct numbers *t =
		&guest_of(instance)->content.tables[table_idx];
	const uint8_t *at = elements;

	CHECK(count > 0);
	MUST(first_idx + count <= t->length);
	for (uint64_t i = 0; i < count; i++) {
		uint32_t number = element_number(
			&world->elements, at + i * world->elements.width);

		CHECK(number != NONE);
		CHECK_EQ(number, t->at[first_idx + i]);
		values[i] = number + 7000000000u;
	}
	return 0;
}

static int decode_elements(void *user, struct fl_instance *instance,
			   uint32_t table_idx, uint64_t first_idx,
			   const uint64_t *values, uint64_t count,
			   void *elements)
{
	struct world *world = user;
	struct fl_table *table = fl_instance_table(instance, table_idx);
	uint8_t *at = elements;

	MUST(table != NULL);
	MUST(first_idx + count <= fl_table_size(table));
	for (uint64_t i = 0; i < count; i++) {
		MUST(values[i] >= 7000000000u && values[i] != UINT64_MAX);
		element_bytes(&world->elements,
			      (uint32_t)(values[i] - 7000000000u),
			      at + i * world->elements.width);
		world->live++;
	}
	if (!strchr(world->calls, 'D'))
		strcat(world->calls, "D");
	return 0;
}

static int encode_state(void *user, struct fl_instance *instance, void *buffer,
			uint64_t *length_bytes)
{
	struct world *world = user;
	const struct content *c = &guest_of(instance)->content;
	uint64_t more = world->is_plain_structure ? 0 : STRUCTURE_BYTES;

	*length_bytes = c->own_bytes + more;
	if (!buffer)
		return 0;
	memcpy(buffer, c->own, c->own_bytes);
	if (more)
		memcpy((uint8_t *)buffer + c->own_bytes, c->structure, more);
	return 0;
}

static int decode_state(void *user, struct fl_instance *instance,
			const void *bytes, uint64_t length_bytes)
{
	struct world *world = user;
	uint64_t more = world->is_plain_structure ? 0 : STRUCTURE_BYTES;
	uint8_t *structure = fl_instance_structure(instance);
	struct content *c = world->decoded;

	MUST(length_bytes >= more && length_bytes <= more + OWN_BYTES);
	c->own_bytes = length_bytes - more;
	memcpy(c->own, bytes, c->own_bytes);
	if (more && structure)
		memcpy(structure, (const uint8_t *)bytes + c->own_bytes, more);
	strcat(world->calls, "S");
	return 0;
}

static int rebind(void *user, struct fl_instance *instance)
{
	struct world *world = user;

	(void)instance;
	strcat(world->calls, "R");
	return 0;
}

static int restored(void *user, struct fl_instance *instance,
		    const struct fl_restored *how)
{
	struct world *world = user;

	(void)instance;
	CHECK_EQ(how->size, sizeof(*how));
	CHECK_EQ(how->cause, world->cause);
	CHECK(memcmp(how->generation_id, world->last_id, 16) != 0);
	memcpy(world->last_id, how->generation_id, 16);
	strcat(world->calls, "F");
	return 0;
}

/* -------------------------------------------------------------------- world */

static uint64_t pick(struct world *world, uint64_t limit)
{
	return test_random_below(&world->random, limit);
}

static void world_pool_config(struct world *world, struct fl_pool_config *pool)
{
	static const uint64_t budgets[] = { 0, 16384, UINT64_MAX };

	conform_pool_config(pool);
	pool->max_instances = 3 + (uint32_t)pick(world, GUESTS - 2);
	pool->max_memories = 2 * MEMORIES + (uint32_t)pick(world, 4 * MEMORIES);
	pool->max_memories_per_instance = MEMORIES;
	pool->max_memory_bytes = MAX_BYTES;
	pool->max_tables = 2 * TABLES + (uint32_t)pick(world, 4 * TABLES);
	pool->max_tables_per_instance = TABLES;
	pool->max_table_elements = MAX_ELEMENTS;
	pool->table_element_bytes = world->elements.width;
	pool->table_null = world->elements.null;
	pool->instance_bytes = STRUCTURE_BYTES;
	pool->prefix_bytes = pick(world, 2) * PREFIX_BYTES;
	pool->bounds = pick(world, 2) ? FL_BOUNDS_GUARDED :
					FL_BOUNDS_ACCESSIBLE;
	pool->strategy = (enum fl_strategy)pick(world, 3);
	pool->random_seed = test_random_next(&world->random);
	pool->max_warm_memories = (uint32_t)pick(world, 20);
	pool->audit_every = pick(world, 3) ? 1 : 0;
	pool->max_idle_slot_bytes = budgets[pick(world, 3)];
	pool->max_idle_bytes = budgets[pick(world, 3)];
	pool->allocation = pick(world, 4) ? FL_ALLOCATION_POOLING :
					    FL_ALLOCATION_ON_DEMAND;
}

static void world_open(struct world *world)
{
	the_world = world;
	elements_init(&world->elements, element_widths[pick(world, 5)],
		      (unsigned int)pick(world, 3));
	world->encodes_tables = pick(world, 2);
	world->counts_references = world->encodes_tables && pick(world, 2);
	world->is_plain_structure = pick(world, 2);
	world->context = conform_context();
	for (int i = 0; i < POOLS; i++) {
		struct fl_error error = { .text = "" };

		world_pool_config(world, &world->pools[i]);
		world->conforms[i].context = world->context;
		CONFORM_MUST(fl_pool_create(world->context, &world->pools[i],
					    &world->conforms[i].pool, &error),
			     &error);
	}
	for (int i = 0; i < SHAPES; i++)
		shape_make(&world->conforms[0], &world->random,
			   !world->counts_references, &world->shapes[i]);
}

static void shot_end(struct shot *shot)
{
	fl_snapshot_release(shot->snapshot);
	fl_image_release(shot->imported_memory);
	fl_image_release(shot->imported_table);
	content_end(&shot->content);
	memset(shot, 0, sizeof(*shot));
}

static void guest_end(struct guest *g)
{
	if (g->instance)
		CHECK_EQ(fl_instance_release(g->instance), 0);
	if (g->imported_memory)
		CHECK_EQ(fl_memory_release(g->imported_memory), 0);
	if (g->imported_table)
		CHECK_EQ(fl_table_release(g->imported_table), 0);
	fl_snapshot_release(g->origin);
	content_end(&g->content);
	memset(g, 0, sizeof(*g));
}

static void check_pool(const struct conform *conform)
{
	struct fl_pool_info info = conform_info(conform);

	CHECK_EQ(info.live_memories + info.live_tables + info.live_instances,
		 0);
	CHECK_EQ(info.retired_memories + info.retired_tables +
			 info.retired_instances,
		 0);
	CHECK_EQ(info.audit_failures, 0);
}

static void world_close(struct world *world)
{
	for (int i = 0; i < GUESTS; i++)
		guest_end(&world->guests[i]);
	for (int i = 0; i < SHOTS; i++)
		shot_end(&world->shots[i]);
	if (world->counts_references)
		CHECK_EQ(world->live, 0);
	for (int i = 0; i < POOLS; i++)
		check_pool(&world->conforms[i]);
	for (int i = 0; i < SHAPES; i++)
		fl_module_release(world->shapes[i].module);
	for (int i = 0; i < POOLS; i++)
		CHECK_EQ(fl_pool_destroy(world->conforms[i].pool), 0);
	fl_context_destroy(world->context);
}

/* ------------------------------------------------------------------- guests */

/* Full, and only that. */
static bool is_taken(struct world *world, const struct guest *g, int err,
		     const struct fl_error *error)
{
	if (!err)
		return true;
	if (err != -EAGAIN)
		test_note("%s", error->text);
	CHECK_EQ(err, -EAGAIN);
	CHECK_EQ(world->pools[g->pool_idx].allocation, FL_ALLOCATION_POOLING);
	world->full++;
	return false;
}

/* What the guest's module imports; shot NULL: zeroes and nulls. */
static bool take_imports(struct world *world, struct guest *g,
			 const struct shot *shot)
{
	struct fl_pool *pool = world->conforms[g->pool_idx].pool;
	struct fl_error error = { .text = "" };
	struct fl_memory_config memory;
	struct fl_table_config table;

	fl_memory_config_init(&memory);
	fl_table_config_init(&table);
	memory.initial_bytes = shot ? 0 : WPAGE;
	memory.image = shot ? shot->imported_memory : NULL;
	memory.max_bytes = MAX_BYTES;
	table.initial_elements = shot ? shot->content.tables[0].length : 5;
	table.image = shot ? shot->imported_table : NULL;
	if (g->shape->imports_memory &&
	    !is_taken(world, g,
		      fl_memory_acquire(pool, &memory, &g->imported_memory,
					&error),
		      &error))
		return false;
	return !g->shape->imports_table ||
	       is_taken(world, g,
			fl_table_acquire(pool, &table, &g->imported_table,
					 &error),
			&error);
}

static void guest_config(struct world *world, const struct guest *g,
			 const struct shot *shot,
			 struct fl_instance_config *config)
{
	fl_instance_config_init(config);
	config->user = world;
	config->make_element = make_element;
	config->imported_memories = &g->imported_memory;
	config->imported_memory_count = g->shape->imports_memory;
	config->imported_tables = &g->imported_table;
	config->imported_table_count = g->shape->imports_table;
	if (world->counts_references) {
		config->clone_element = clone_element;
		config->drop_element = drop_element;
	}
	config->snapshot = shot ? shot->snapshot : g->origin;
	if (!config->snapshot)
		return;
	config->decode_elements = world->encodes_tables ? decode_elements :
							  NULL;
	config->decode_state = decode_state;
	config->rebind = rebind;
	config->restored = restored;
}

/* decoded is what the runtime was given back. */
static void guest_expect(struct guest *g, const struct shot *shot,
			 const struct content *decoded)
{
	if (!shot) {
		content_begin(&g->content, g->shape);
		return;
	}
	content_copy(&g->content, &shot->content);
	CHECK_EQ(decoded->own_bytes, shot->content.own_bytes);
	CHECK(!memcmp(decoded->own, shot->content.own, decoded->own_bytes));
}

/* The guest acts, and begins again in place: as the same kind of instance, at
 * the same addresses. What it imports would stay as the guest leaves it. */
static void guest_begin_again(struct world *world, struct guest *g,
			      const struct shot *shot,
			      const struct fl_instance_config *config)
{
	struct content decoded = { .own_bytes = 0 };
	struct fl_error error = { .text = "" };
	uint8_t *base;

	if (g->shape->imports_memory || g->shape->imports_table)
		return;
	base = g->shape->memory_count ? guest_memory(g, 0)->base : NULL;
	guest_act(g, &world->random, 1 + (unsigned int)pick(world, 30));
	content_end(&g->content);
	CONFORM_MUST(fl_instance_reset(g->instance, config, &error), &error);
	world->decoded = &decoded;
	world->calls[0] = '\0';
	CONFORM_MUST(fl_instance_initialise(g->instance, config, &error),
		     &error);
	guest_expect(g, shot, &decoded);
	guest_check(g);
	CHECK(!base || guest_memory(g, 0)->base == base);
	world->resets++;
}

/* An instance of the shape, or a clone of the shot. */
static bool guest_begin(struct world *world, struct guest *g,
			const struct shape *shape, const struct shot *shot)
{
	struct fl_error error = { .text = "" };
	struct fl_instance_config config;
	struct content decoded = { .own_bytes = 0 };
	int64_t live = world->live;
	int err;

	*g = (struct guest){ .shape = shape,
			     .elements = &world->elements,
			     .counts_references = world->counts_references,
			     .pool_idx = (unsigned int)pick(world, POOLS) };
	g->prefix_bytes = world->pools[g->pool_idx].prefix_bytes;
	world->decoded = &decoded;
	world->calls[0] = '\0';
	if (take_imports(world, g, shot)) {
		guest_config(world, g, shot, &config);
		err = fl_instance_acquire(world->conforms[g->pool_idx].pool,
					  shape->module, &config, &g->instance,
					  &error);
		if (is_taken(world, g, err, &error)) {
			guest_expect(g, shot, &decoded);
			guest_check(g);
			guest_check_prefixes(g);
			if (shot)
				g->origin = fl_snapshot_retain(shot->snapshot);
			if (!pick(world, 3))
				guest_begin_again(world, g, shot, &config);
			return true;
		}
	}
	g->instance = NULL;
	guest_end(g);
	if (world->counts_references)
		CHECK_EQ(world->live, live);
	return false;
}

static void start(struct world *world, struct guest *g)
{
	if (guest_begin(world, g, &world->shapes[pick(world, SHAPES)], NULL))
		CHECK(!strcmp(world->calls, ""));
}

static bool start_clone(struct world *world, struct guest *g,
			const struct shot *shot)
{
	const char *calls = world->calls;

	if (!guest_begin(world, g, shot->shape, shot))
		return false;
	/* In this order; nothing to decode, no such call. */
	calls += *calls == 'D';
	calls += *calls == 'S';
	CHECK(!strcmp(calls, "RF"));
	world->clones++;
	return true;
}

/* Somebody else has to go where there is no room. */
static struct guest *make_room(struct world *world, const struct guest *g)
{
	uint64_t i = pick(world, GUESTS);

	if (&world->guests[i] == g)
		i = (i + 1) % GUESTS;
	guest_end(&world->guests[i]);
	return &world->guests[i];
}

/* ---------------------------------------------------------------- snapshots */

static void check_snapshot(const struct shot *shot, const struct fl_module *mod)
{
	struct fl_snapshot_info info = { .size = sizeof(info) };

	fl_snapshot_info(shot->snapshot, &info);
	CHECK_EQ(info.instance_count, 1);
	CHECK(!strcmp(info.encoding, "guests"));
	CHECK(fl_snapshot_module(shot->snapshot, 0) == mod);
	CHECK(fl_snapshot_module(shot->snapshot, 1) == NULL);
	CHECK(fl_snapshot_image(shot->snapshot, 1, 0) == NULL);
	for (uint32_t i = 0; i <= shot->shape->memory_count; i++) {
		const struct model *model = &shot->content.memories[i];
		struct fl_image *image =
			fl_snapshot_image(shot->snapshot, 0, i);
		uint8_t *bytes;

		if (i == shot->shape->memory_count ||
		    (i == 0 && shot->shape->imports_memory)) {
			CHECK(image == NULL);
			continue;
		}
		MUST(image != NULL);
		bytes = guests_alloc(model->length_bytes);
		CHECK_EQ(fl_image_read(image, 0, bytes, model->length_bytes),
			 0);
		CHECK_EQ(model_diff_bytes(model, bytes, model->length_bytes),
			 MODEL_EQUAL);
		CHECK_EQ(fl_image_read(image, model->length_bytes, bytes, 1),
			 -EINVAL);
		free(bytes);
	}
}

static void capture_imports(const struct guest *g,
			    const struct fl_snapshot_config *config,
			    struct shot *shot)
{
	struct fl_snapshot_config plain = *config;
	struct fl_error error = { .text = "" };

	plain.plain_tables = 1;
	if (g->imported_memory)
		CONFORM_MUST(fl_image_from_memory(g->imported_memory, NULL,
						  &shot->imported_memory,
						  &error),
			     &error);
	if (g->imported_table)
		CONFORM_MUST(fl_image_from_table(g->imported_table, &plain,
						 &shot->imported_table, &error),
			     &error);
}

/* What was written and opened again takes the place of the snapshot. */
static void go_through_a_file(struct world *world, const struct guest *g,
			      struct shot *shot)
{
	struct fl_snapshot_binding binding = FL_SNAPSHOT_BINDING_INIT;
	const char *tmp = getenv("TMPDIR");
	struct fl_error error = { .text = "" };
	struct fl_snapshot *opened = NULL;
	uint8_t written[32], read[32];
	char path[256];

	snprintf(path, sizeof(path), "%s/faultline-model.%d",
		 tmp ? tmp : "/tmp", (int)getpid());
	binding.modules = &g->shape->module;
	binding.module_count = 1;
	binding.encoding = "guests";
	binding.plain_tables = !world->encodes_tables;
	binding.plain_structure = world->is_plain_structure;
	CONFORM_MUST(fl_snapshot_write(shot->snapshot, path, &error), &error);
	CONFORM_MUST(fl_snapshot_open(world->conforms[0].context, path, -1, 0,
				      &binding, &opened, &error),
		     &error);
	CHECK_EQ(unlink(path), 0);
	CONFORM_MUST(fl_snapshot_digest(shot->snapshot, written, &error),
		     &error);
	CONFORM_MUST(fl_snapshot_digest(opened, read, &error), &error);
	CHECK(!memcmp(written, read, sizeof(read)));
	fl_snapshot_release(shot->snapshot);
	shot->snapshot = opened;
}

static void capture_config(struct world *world,
			   struct fl_snapshot_config *config)
{
	fl_snapshot_config_init(config);
	config->encoding = "guests";
	config->user = world;
	config->plain_tables = !world->encodes_tables;
	config->encode_elements = world->encodes_tables ? encode_elements :
							  NULL;
	config->plain_structure = world->is_plain_structure;
	config->encode_state = encode_state;
}

static void capture(struct world *world, struct guest *g, struct shot *shot)
{
	struct fl_error error = { .text = "" };
	struct fl_snapshot_config config;
	int64_t live = world->live;

	capture_config(world, &config);
	CONFORM_MUST(fl_instance_snapshot(&g->instance, 1, &config,
					  &shot->snapshot, &error),
		     &error);
	CHECK_EQ(world->live, live);
	capture_imports(g, &config, shot);
	shot->shape = g->shape;
	content_copy(&shot->content, &g->content);
	world->captures++;
	if (pick(world, 8) == 0)
		go_through_a_file(world, g, shot);
	if (pick(world, 4) == 0)
		check_snapshot(shot, g->shape->module);
	/* The captured guest is as it was, and goes on. */
	guest_check(g);
	guest_act(g, &world->random, 3);
}

/* The clone after a clone that wrote is like the first one. */
static void capture_and_clone(struct world *world, struct guest *g)
{
	struct shot *shot = &world->shots[pick(world, SHOTS)];
	struct guest *clone = make_room(world, g);

	shot_end(shot);
	capture(world, g, shot);
	for (int i = 0; i < 2 && start_clone(world, clone, shot); i++) {
		guest_act(clone, &world->random, 4);
		guest_check(clone);
		guest_end(clone);
	}
	guest_check(g);
}

/* ------------------------------------------------------------------ deltas */

/* Bytes of a checkpoint, in an allocation of their size, are opened. */
static struct fl_delta *reopened(const struct guest *g,
				 const struct fl_delta *delta)
{
	struct fl_error error = { .text = "" };
	struct fl_delta *opened = NULL;
	uint64_t len;
	const void *bytes = fl_delta_bytes(delta, &len);
	void *copy = malloc(len);

	MUST(copy != NULL);
	memcpy(copy, bytes, len);
	CONFORM_MUST(fl_delta_open(g->origin, copy, len, FL_BYTES_COPY, NULL,
				   &opened, &error),
		     &error);
	free(copy);
	return opened;
}

/* A checkpoint changes nothing, and a suspend gives the same. */
static struct fl_delta *sleep_guest(struct world *world, struct guest *g)
{
	struct fl_delta_config config = FL_DELTA_CONFIG_INIT;
	struct fl_delta *checkpoint = NULL, *delta = NULL;
	struct fl_error error = { .text = "" };
	struct fl_snapshot_config capture;
	uint64_t lengths[2];
	const void *bytes;

	capture_config(world, &capture);
	config.snapshot = g->origin;
	config.capture = &capture;
	CONFORM_MUST(fl_instance_delta(&g->instance, 1, &config, &checkpoint,
				       &error),
		     &error);
	guest_check(g);
	CONFORM_MUST(fl_instance_suspend(&g->instance, 1, &config, &delta,
					 &error),
		     &error);
	g->instance = NULL;
	bytes = fl_delta_bytes(delta, &lengths[0]);
	CHECK(!memcmp(bytes, fl_delta_bytes(checkpoint, &lengths[1]),
		      lengths[0] < lengths[1] ? lengths[0] : lengths[1]));
	CHECK_EQ(lengths[0], lengths[1]);
	fl_delta_release(checkpoint);
	if (pick(world, 2)) {
		checkpoint = reopened(g, delta);
		fl_delta_release(delta);
		delta = checkpoint;
	}
	return delta;
}

static void check_woken(struct world *world, const struct guest *g,
			const struct content *decoded)
{
	const char *calls = world->calls;

	calls += *calls == 'D';
	calls += *calls == 'S';
	CHECK(!strcmp(calls, "RF"));
	CHECK_EQ(decoded->own_bytes, g->content.own_bytes);
	CHECK(!memcmp(decoded->own, g->content.own, decoded->own_bytes));
	guest_check(g);
}

/* Undone: what the guest did since it woke. */
static void return_to_delta(struct world *world, struct guest *g,
			    const struct fl_instance_config *config,
			    struct content *decoded)
{
	struct fl_error error = { .text = "" };
	struct content then;

	if (g->shape->imports_memory || g->shape->imports_table)
		return;
	content_copy(&then, &g->content);
	guest_act(g, &world->random, 10);
	content_end(&g->content);
	g->content = then;
	memset(decoded, 0, sizeof(*decoded));
	world->calls[0] = '\0';
	CONFORM_MUST(fl_instance_reset(g->instance, config, &error), &error);
	CONFORM_MUST(fl_instance_initialise(g->instance, config, &error),
		     &error);
	check_woken(world, g, decoded);
}

static void nap(struct world *world, struct guest *g)
{
	struct content decoded = { .own_bytes = 0 };
	struct fl_error error = { .text = "" };
	struct fl_instance_config config;
	int64_t live = world->live;
	struct fl_delta *delta = sleep_guest(world, g);
	int err;

	if (!g->shape->imports_memory && !g->shape->imports_table)
		g->pool_idx = (unsigned int)pick(world, POOLS);
	g->prefix_bytes = world->pools[g->pool_idx].prefix_bytes;
	guest_config(world, g, NULL, &config);
	if (pick(world, 2))
		config.snapshot = NULL;
	config.delta = delta;
	world->decoded = &decoded;
	world->calls[0] = '\0';
	world->cause = FL_RESTORE_WOKEN;
	err = fl_instance_acquire(world->conforms[g->pool_idx].pool,
				  g->shape->module, &config, &g->instance,
				  &error);
	if (is_taken(world, g, err, &error)) {
		check_woken(world, g, &decoded);
		if (world->counts_references)
			CHECK_EQ(world->live, live);
		if (pick(world, 3) == 0)
			return_to_delta(world, g, &config, &decoded);
		world->naps++;
	} else {
		g->instance = NULL;
		guest_end(g);
	}
	world->cause = FL_RESTORE_CLONED;
	fl_delta_release(delta);
}

static void purge(struct world *world, const struct shot *shot)
{
	struct fl_image *image = fl_snapshot_image(shot->snapshot, 0,
						   shot->shape->imports_memory);

	if (image)
		CHECK_EQ(fl_pool_purge(world->conforms[pick(world, POOLS)].pool,
				       NULL, image, NULL),
			 0);
}

static void step(struct world *world)
{
	struct guest *g = &world->guests[pick(world, GUESTS)];
	struct shot *shot = &world->shots[pick(world, SHOTS)];

	if (!g->instance) {
		if (shot->snapshot && pick(world, 3))
			(void)start_clone(world, g, shot);
		else
			start(world, g);
		return;
	}
	switch (pick(world, 14)) {
	case 0:
	case 1:
		guest_check(g);
		guest_end(g);
		break;
	case 2:
		CHECK_EQ(fl_pool_trim(world->conforms[pick(world, POOLS)].pool,
				      pick(world, 2) ? 8192 : UINT64_MAX, NULL),
			 0);
		break;
	case 3:
		if (shot->snapshot)
			purge(world, shot);
		break;
	case 4:
	case 5:
	case 6:
		capture_and_clone(world, g);
		break;
	case 7:
	case 8:
	case 9:
		if (g->origin)
			nap(world, g);
		break;
	default:
		guest_act(g, &world->random, 8);
	}
}

static void random_moments_of_random_guests(void)
{
	unsigned int captures = 0, clones = 0, full = 0, resets = 0, worlds = 0;
	unsigned int naps = 0;
	unsigned int wanted = test_is_sanitized() ? 100 : CAPTURES;
	struct world *world = guests_alloc(sizeof(*world));
	struct test_random random;

	test_random_init(&random, 11);
	while (captures < wanted && !test_has_failed()) {
		memset(world, 0, sizeof(*world));
		world->random.state = test_random_next(&random);
		world_open(world);
		for (int i = 0; i < 120 && !test_has_failed(); i++)
			step(world);
		if (test_has_failed())
			test_note("world %u, width %u, encoded %d, counted %d",
				  worlds, world->elements.width,
				  world->encodes_tables,
				  world->counts_references);
		world_close(world);
		captures += world->captures;
		clones += world->clones;
		full += world->full;
		resets += world->resets;
		naps += world->naps;
		worlds++;
	}
	test_note(
		"%u captures, %u clones, %u naps, %u resets in place, %u found the pool full, %u pools",
		captures, clones, naps, resets, full, worlds);
	CHECK(clones > captures / 2);
	CHECK(resets > captures / 10);
	CHECK(naps > captures / 10);
	free(world);
}

static const struct test_case cases[] = {
	TEST_CASE(random_moments_of_random_guests),
};

CONFORM_MAIN(cases)
