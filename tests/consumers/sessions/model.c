/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/* model.c - see model.h. All orders are tried: there are few. */
#include "model.h"

#include <stdio.h>
#include <string.h>

#define MAX_ITEMS (MODEL_MAX_PENDING + MODEL_MAX_GROUP)

/* A search over what is pending and what has just ended. */
struct search {
	struct model_request items[MAX_ITEMS];
	unsigned int count, old_count;
	bool is_used[MAX_ITEMS];
	/* The first explanation. */
	struct model_state state;
	bool is_left[MAX_ITEMS];
};

void model_text(uint32_t event, char text[MODEL_TEXT_BYTES])
{
	static const char pad[] = "........................................";

	snprintf(text, MODEL_TEXT_BYTES, "event %u%.*s", event,
		 (int)(event % sizeof(pad)), pad);
}

static uint64_t mix(uint64_t digest, const void *bytes, size_t length_bytes)
{
	const unsigned char *at = bytes;

	while (length_bytes--)
		digest = (digest ^ *at++) * 1099511628211u;
	return digest;
}

/* As the example's guest has it. */
static uint64_t digest_of(const struct model_state *state)
{
	uint64_t digest =
		mix(14695981039346656037u, &state->count, sizeof(state->count));
	uint64_t i = state->count < MODEL_EVENTS ? 0 :
						   state->count - MODEL_EVENTS;
	char text[MODEL_TEXT_BYTES];

	for (; i < state->count; i++) {
		model_text(state->events[i % MODEL_EVENTS], text);
		digest = mix(digest, text, strlen(text));
	}
	return digest;
}

static void apply(struct model_state *state, const struct model_request *item)
{
	if (item->kind == MODEL_END)
		memset(state, 0, sizeof(*state));
	else if (item->kind == MODEL_ADD)
		state->events[state->count++ % MODEL_EVENTS] = item->event;
}

/* A session that is none, or was ended, answers 0 and 0. */
static bool is_answer(const struct model_request *item,
		      const struct model_state *state)
{
	return item->count == state->count &&
	       item->digest == (state->count ? digest_of(state) : 0);
}

/* An old request can be done over a newer change only where its host found
 * nothing, and nothing is there again. */
static bool may_follow(const struct search *search, unsigned int item,
		       const struct model_state *state, bool is_changed)
{
	return item >= search->old_count || !is_changed ||
	       (search->items[item].found_nothing && !state->count);
}

static bool explain(struct search *search, const struct model_state *state,
		    bool is_changed, unsigned int ok_left);

static bool try(struct search *search, unsigned int i,
		const struct model_state *state, bool is_changed,
		unsigned int ok_left)
{
	const struct model_request *item = &search->items[i];
	bool is_ok = item->outcome == MODEL_OK, is_found;
	struct model_state next = *state;

	if (search->is_used[i] || !may_follow(search, i, state, is_changed))
		return false;
	apply(&next, item);
	if (is_ok && !is_answer(item, &next))
		return false;
	search->is_used[i] = true;
	is_found = explain(search, &next,
			   is_changed || (is_ok && item->kind != MODEL_SHOW),
			   ok_left - is_ok);
	search->is_used[i] = false;
	return is_found;
}

static bool explain(struct search *search, const struct model_state *state,
		    bool is_changed, unsigned int ok_left)
{
	if (!ok_left) {
		search->state = *state;
		for (unsigned int i = 0; i < search->count; i++)
			search->is_left[i] = !search->is_used[i] &&
					     (i >= search->old_count ||
					      !is_changed ||
					      search->items[i].found_nothing);
		return true;
	}
	for (unsigned int i = 0; i < search->count; i++) {
		if (try(search, i, state, is_changed, ok_left))
			return true;
	}
	return false;
}

bool model_may_be_nothing(const struct model *model)
{
	bool may = !model->state.count;

	for (unsigned int i = 0; i < model->pending_count; i++)
		may = may || model->pending[i].kind == MODEL_END;
	return may;
}

bool model_settle(struct model *model, const struct model_request *requests,
		  unsigned int count)
{
	struct search search = { .old_count = model->pending_count };
	unsigned int ok_count = 0;
	bool is_changed = false;

	memcpy(search.items, model->pending, sizeof(model->pending));
	search.count = search.old_count;
	for (unsigned int i = 0; i < count; i++) {
		bool is_ok = requests[i].outcome == MODEL_OK;

		ok_count += is_ok;
		is_changed |= is_ok && requests[i].kind != MODEL_SHOW;
		if (is_ok || (requests[i].outcome == MODEL_UNKNOWN &&
			      requests[i].kind != MODEL_SHOW))
			search.items[search.count++] = requests[i];
	}
	if (!explain(&search, &model->state, false, ok_count))
		return false;
	/* A look settles nothing: what is pending may come behind it. */
	if (!is_changed)
		search.state = model->state;
	model->state = search.state;
	model->pending_count = 0;
	for (unsigned int i = 0; i < search.count; i++) {
		bool is_pending = search.items[i].outcome == MODEL_UNKNOWN &&
				  (search.is_left[i] || !is_changed);

		if (is_pending && model->pending_count < MODEL_MAX_PENDING)
			model->pending[model->pending_count++] =
				search.items[i];
	}
	return true;
}
