/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * ways.c - five ways of having an instance for a request.
 *
 * What is timed is start, request and end; what a way can do once for all
 * requests of a thread it does in open. A request is the same call in all ways.
 *
 * A clone begins as the capture stood, for the price of a memory that shows the
 * capture's image. wasm2c's table holds pointers to the instance that the table
 * belongs to. So a thread has one instance struct for all of its clones, which
 * open instantiates, and whose table nothing can change. Each clone gets 128
 * random bits when it was restored, because it has inherited the capture's
 * random state.
 *
 * Guests are called inside rt_try(), which catches traps; a trap that nobody
 * waits for ends the program.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "rt_threadlocal.h"
#include "service.h"

/* One call of a guest, for rt_try(). */
struct call {
	const struct module *module;
	void *instance;
	uint32_t kind, seed;
	uint32_t length, at, served;
	uint64_t low, high;
};

static void try_or_die(const struct guest *guest, void (*body)(void *arg),
		       void *arg, const char *what)
{
	wasm_rt_trap_t trap = rt_try(body, arg);

	if (trap)
		die("%s: %s trapped: %s", guest->title, what,
		    wasm_rt_strerror(trap));
}

static void body_instantiate(void *arg)
{
	struct call *call = arg;

	call->module->instantiate(call->instance);
}

static void body_start(void *arg)
{
	struct call *call = arg;

	call->module->instantiate(call->instance);
	call->module->initialize(call->instance);
	call->length = call->module->start(call->instance);
}

static void body_request(void *arg)
{
	struct call *call = arg;

	call->length =
		call->module->handle(call->instance, call->kind, call->seed);
}

static void body_session(void *arg)
{
	struct call *call = arg;

	call->length =
		call->module->session(call->instance, call->kind, call->seed);
}

static void body_look(void *arg)
{
	struct call *call = arg;

	call->at = call->module->answer(call->instance);
	call->served = call->module->served(call->instance);
}

static void body_restored(void *arg)
{
	struct call *call = arg;

	call->module->restored(call->instance, call->low, call->high);
}

static void body_random(void *arg)
{
	struct call *call = arg;

	call->low = call->module->random(call->instance);
}

static void body_peek(void *arg)
{
	struct call *call = arg;

	call->module->peek(call->instance, call->at);
}

static struct call call_of(const struct lane *lane)
{
	return (struct call){ .module = lane->module,
			      .instance = lane->instance };
}

/* ------------------------------------------------------------ common parts */

static void instantiate(struct lane *lane)
{
	struct call call = call_of(lane);

	memset(lane->instance, 0, lane->module->instance_bytes);
	try_or_die(lane->guest, body_instantiate, &call, "instantiating");
}

static void start(struct lane *lane)
{
	struct call call = call_of(lane);

	try_or_die(lane->guest, body_start, &call, "starting");
	if (call.length)
		die("%s does not start: step %u", lane->guest->title,
		    call.length);
}

static uint64_t entropy_word(struct entropy *entropy)
{
	uint64_t word;

	if (entropy->left < sizeof(word)) {
		if (getrandom(entropy->bytes, ENTROPY_BYTES, 0) !=
		    ENTROPY_BYTES)
			die("the kernel gives no random bytes");
		entropy->left = ENTROPY_BYTES;
	}
	entropy->left -= (unsigned int)sizeof(word);
	memcpy(&word, entropy->bytes + entropy->left, sizeof(word));
	return word;
}

static void renew_random(struct lane *lane)
{
	struct call call = call_of(lane);

	call.low = entropy_word(&lane->entropy);
	call.high = entropy_word(&lane->entropy);
	try_or_die(lane->guest, body_restored, &call, "restored()");
}

static void nothing(struct lane *lane)
{
	(void)lane;
}

static void free_instance(struct lane *lane)
{
	lane->module->free(lane->instance);
}

static const struct module *whole(const struct guest *guest)
{
	return guest->whole;
}

/* ---------------------------------------------------------- a: stock wasm2c */

static void stock_start(struct lane *lane)
{
	memset(lane->instance, 0, lane->module->instance_bytes);
	start(lane);
}

/* ------------------------------- a2: stock wasm2c, a module started before */

static const struct module *baked(const struct guest *guest)
{
	return guest->baked;
}

static void baked_start(struct lane *lane)
{
	instantiate(lane);
	renew_random(lane);
}

/* How many requests the module had seen is known to the module alone. */
static void baked_open(struct lane *lane)
{
	struct call call = call_of(lane);

	baked_start(lane);
	try_or_die(lane->guest, body_look, &call, "looking");
	lane->served = call.served;
	free_instance(lane);
}

/* --------------------------------------------- b: a pool, without snapshots */

static const struct module *data_free(const struct guest *guest)
{
	return guest->free;
}

static void pool_start(struct lane *lane)
{
	struct fl_error error;

	memset(lane->instance, 0, lane->module->instance_bytes);
	if (fl_wasm2c_begin(&lane->batch, lane->pool, lane->guest->module,
			    lane->instance, lane->module->instance_bytes, 0,
			    &error))
		die("%s", error.text);
	start(lane);
	fl_wasm2c_end(&lane->batch);
}

/* --------------------------------------------------------------- c: clones */

static int clone_restored(void *user, void *instance,
			  const struct fl_restored *how)
{
	const struct lane *lane = user;
	struct call call = call_of(lane);

	(void)instance;
	memcpy(&call.low, how->generation_id, 8);
	memcpy(&call.high, how->generation_id + 8, 8);
	try_or_die(lane->guest, body_restored, &call, "restored()");
	return 0;
}

static void clone_open(struct lane *lane)
{
	struct fl_error error;

	instantiate(lane);
	lane->codec.restored = clone_restored;
	lane->codec.user = lane;
	if (fl_wasm2c_clones_init(&lane->clones, lane->pool,
				  lane->guest->snapshot, lane->module->layout,
				  &lane->codec, &error))
		die("%s", error.text);
	lane->served = lane->guest->served;
}

static void clone_start(struct lane *lane)
{
	struct fl_error error;

	if (fl_wasm2c_clone(&lane->clones, lane->instance, 0, &error))
		die("%s", error.text);
}

static void clone_end(struct lane *lane)
{
	fl_wasm2c_release(lane->module->layout, lane->instance);
}

/* --------------------------------------------------------------- d: reused */

static void reuse_open(struct lane *lane)
{
	stock_start(lane);
	lane_warm(lane);
}

const struct way ways[WAYS] = {
	[WAY_STOCK] = {
		.letter = "a",
		.name = "stock",
		.title = "stock wasm2c",
		.is_fresh = true,
		.module = whole,
		.open = nothing,
		.start = stock_start,
		.end = free_instance,
		.close = nothing,
	},
	[WAY_BAKED] = {
		.letter = "a2",
		.name = "baked",
		.title = "the same, baked",
		.is_fresh = true,
		.module = baked,
		.open = baked_open,
		.start = baked_start,
		.end = free_instance,
		.close = nothing,
	},
	[WAY_POOL] = {
		.letter = "b",
		.name = "pool",
		.title = "pool, no snapshot",
		.is_fresh = true,
		.module = data_free,
		.open = nothing,
		.start = pool_start,
		.end = free_instance,
		.close = nothing,
	},
	[WAY_CLONE] = {
		.letter = "c",
		.name = "clone",
		.title = "pool, clones",
		.is_fresh = true,
		.module = data_free,
		.open = clone_open,
		.start = clone_start,
		.end = clone_end,
		.close = free_instance,
	},
	[WAY_REUSE] = {
		.letter = "d",
		.name = "reuse",
		.title = "reused, not clean",
		.module = whole,
		.open = reuse_open,
		.start = nothing,
		.end = nothing,
		.close = free_instance,
	},
};

/* ------------------------------------------------------------------- lanes */

bool way_is_there(const struct way *way, const struct guest *guest)
{
	return way->module(guest);
}

void lane_open(struct lane *lane, const struct way *way,
	       const struct guest *guest, struct fl_pool *pool)
{
	memset(lane, 0, sizeof(*lane));
	lane->guest = guest;
	lane->way = way;
	lane->module = way->module(guest);
	lane->pool = pool;
	lane->instance = must_allocate(lane->module->instance_bytes);
	way->open(lane);
}

void lane_close(struct lane *lane)
{
	lane->way->close(lane);
	free(lane->instance);
}

uint32_t lane_request(struct lane *lane, uint32_t kind, uint32_t seed)
{
	struct call call = call_of(lane);

	call.kind = kind;
	call.seed = seed;
	try_or_die(lane->guest, body_request, &call, "a request");
	return call.length;
}

static const uint8_t *answer_of(const struct lane *lane, struct call *call,
				uint32_t length)
{
	const wasm_rt_memory_t *memory = lane->module->memory(lane->instance);

	try_or_die(lane->guest, body_look, call, "looking at the answer");
	if (length > memory->size || call->at > memory->size - length)
		return NULL;
	return memory->data + call->at;
}

uint32_t lane_session(struct lane *lane, uint32_t kind, uint32_t seed)
{
	struct call call = call_of(lane);

	call.kind = kind;
	call.seed = seed;
	try_or_die(lane->guest, body_session, &call, "a session's request");
	return call.length;
}

const uint8_t *lane_answer(struct lane *lane, uint32_t length)
{
	struct call call = call_of(lane);

	return answer_of(lane, &call, length);
}

void lane_check(struct lane *lane, uint32_t kind, uint32_t seed,
		uint32_t length)
{
	const struct guest *guest = lane->guest;
	const struct text *text = &guest->answers[kind][seed];
	struct call call = call_of(lane);
	const uint8_t *bytes = answer_of(lane, &call, length);

	if (!bytes || length != text->length ||
	    memcmp(bytes, text->bytes, length))
		die("%s, %s: %s %u: not the answer of the native build",
		    guest->title, lane->way->title, guest->kinds[kind], seed);
	if (call.served != lane->served + 1)
		die("%s, %s: %s %u: the instance has seen %u requests, not %u",
		    guest->title, lane->way->title, guest->kinds[kind], seed,
		    call.served, lane->served + 1);
	if (!lane->way->is_fresh)
		lane->served++;
}

/* The instance stays, so what it has seen grows. */
void lane_warm(struct lane *lane)
{
	uint32_t served = lane->served;

	for (uint32_t i = 0; i < WARM_REQUESTS; i++) {
		for (uint32_t kind = 0; kind < KINDS; kind++) {
			lane->served = served++;
			lane_check(lane, kind, i % SEEDS,
				   lane_request(lane, kind, i % SEEDS));
		}
	}
	lane->served = served;
}

uint64_t lane_random(struct lane *lane)
{
	struct call call = call_of(lane);

	try_or_die(lane->guest, body_random, &call, "random()");
	return call.low;
}

wasm_rt_trap_t lane_peek(struct lane *lane, uint32_t address)
{
	struct call call = call_of(lane);

	call.at = address;
	return rt_try(body_peek, &call);
}
