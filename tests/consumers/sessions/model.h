/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * model.h - what a session of examples/sessions may be, by the answers so far.
 *
 * Takes the requests that were sent and how they ended; says whether an order of
 * them explains the answers. An acknowledged request happened, once, in the
 * state that its answer tells. One that was refused did not happen. One whose
 * outcome is unknown may have happened, or may still, but never over a change
 * that its host had not seen.
 */
#ifndef SESSIONS_MODEL_H
#define SESSIONS_MODEL_H

#include <stdbool.h>
#include <stdint.h>

#define MODEL_EVENTS 50
#define MODEL_MAX_PENDING 6
#define MODEL_MAX_GROUP 2

enum model_kind { MODEL_ADD, MODEL_SHOW, MODEL_END };

enum model_outcome {
	MODEL_SENT,
	MODEL_OK,
	MODEL_REFUSED,
	MODEL_UNKNOWN,
};

struct model_request {
	enum model_kind kind;
	enum model_outcome outcome;
	uint32_t event; /* of MODEL_ADD */
	bool found_nothing; /* the session may have been none then */
	uint64_t count, digest; /* of MODEL_OK */
};

struct model_state {
	uint64_t count;
	uint32_t events[MODEL_EVENTS];
};

struct model {
	struct model_state state;
	struct model_request pending[MODEL_MAX_PENDING];
	unsigned int pending_count;
};

/* The text of an event, which is all that a session has of it. */
#define MODEL_TEXT_BYTES 64
void model_text(uint32_t event, char text[MODEL_TEXT_BYTES]);

/* May the session be none just now? */
bool model_may_be_nothing(const struct model *model);

/* Requests that were sent together, or one, have ended. false: nothing explains
 * their answers. */
bool model_settle(struct model *model, const struct model_request *requests,
		  unsigned int count);

#endif
