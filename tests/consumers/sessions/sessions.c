/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * sessions.c - examples/sessions loses no request that it acknowledged, and
 * serves no session from an older state, whatever is killed.
 *
 * Hosts are sent requests at random while one of them, or their server, is
 * killed by SIGKILL at random moments. Each answer is held against what the
 * session may be by the answers before. check.sh builds the program and says
 * where it is.
 *
 * FAULTLINE_SESSIONS_KILLS is how often the LMDB host is killed (20); of the
 * other cases each kills half as often.
 */
#include "model.h"

#include "host.h"

#include "tests/kit/check.h"
#include "tests/kit/child.h"
#include "tests/kit/clock.h"
#include "tests/kit/random.h"
#include "tests/kit/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SESSIONS 24
#define MAX_SENT 16
#define MAX_HOSTS 2
#define ANSWER_NS 30000000000u

struct session {
	unsigned int life; /* part of its name */
	struct model model;
	struct model_request sent[MODEL_MAX_GROUP];
	unsigned int host[MODEL_MAX_GROUP];
	unsigned int sent_count, open_count;
};

struct play {
	struct test_random random;
	const char *store;
	struct host hosts[MAX_HOSTS];
	unsigned int host_count, open_count;
	uint32_t next_event;
	struct session sessions[SESSIONS];
	unsigned int ok_count, conflict_count, unknown_count, failed_count;
};

static void play_begin(struct play *play, const char *store,
		       unsigned int host_count)
{
	memset(play, 0, sizeof(*play));
	test_random_init(&play->random, 11);
	play->store = store;
	play->host_count = host_count;
	for (unsigned int i = 0; i < host_count; i++)
		host_start(&play->hosts[i], store);
}

/* ----------------------------------------------------------------- requests */

static void send_one(struct play *play, struct session *session,
		     enum model_kind kind, unsigned int host)
{
	static const char *const verbs[] = { "add", "show", "end" };
	unsigned int idx = (unsigned int)(session - play->sessions);
	unsigned int slot = session->sent_count++;
	struct model_request *request = &session->sent[slot];
	char line[160], text[MODEL_TEXT_BYTES] = "";

	memset(request, 0, sizeof(*request));
	request->kind = kind;
	request->found_nothing = model_may_be_nothing(&session->model);
	if (kind == MODEL_ADD) {
		request->event = play->next_event++;
		model_text(request->event, text);
	}
	snprintf(line, sizeof(line), "%u.%u %s s%u.%u%s%s\n", idx, slot,
		 verbs[kind], idx, session->life, *text ? " " : "", text);
	session->host[slot] = host;
	session->open_count++;
	play->open_count++;
	host_send(&play->hosts[host], line);
}

static void send_some(struct play *play, struct session *session)
{
	unsigned int host = (unsigned int)test_random_below(&play->random,
							    play->host_count);
	uint64_t dice = test_random_below(&play->random, 20);

	session->sent_count = 0;
	/* What may still come would make the end of a session ambiguous. */
	if (!dice && !session->model.pending_count) {
		send_one(play, session, MODEL_END, host);
	} else if (dice < 4) {
		send_one(play, session, MODEL_SHOW, host);
	} else {
		send_one(play, session, MODEL_ADD, host);
		if (dice < 8 && play->host_count > 1)
			send_one(play, session, MODEL_ADD, !host);
	}
}

static void settle(struct session *session)
{
	const struct model *model = &session->model;
	bool has_end = false;

	MUST(model_settle(&session->model, session->sent, session->sent_count));
	for (unsigned int i = 0; i < model->pending_count; i++)
		has_end |= model->pending[i].kind == MODEL_END;
	/* Too much is open for the search: go on under another name. */
	if (model->pending_count > MODEL_MAX_PENDING - MODEL_MAX_GROUP ||
	    (has_end && model->pending_count > 1)) {
		session->life++;
		memset(&session->model, 0, sizeof(session->model));
	}
	session->sent_count = 0;
}

static void close_one(struct play *play, struct session *session,
		      unsigned int slot, enum model_outcome outcome)
{
	MUST_EQ(session->sent[slot].outcome, MODEL_SENT);
	session->sent[slot].outcome = outcome;
	play->ok_count += outcome == MODEL_OK;
	play->unknown_count += outcome == MODEL_UNKNOWN;
	play->open_count--;
	if (!--session->open_count)
		settle(session);
}

static void hear(struct play *play, const char *line)
{
	unsigned int idx, slot;
	struct session *session;
	char how[8], why[17] = "";
	int at = 0;

	MUST_EQ(sscanf(line, "%u.%u %7s %n", &idx, &slot, how, &at), 3);
	MUST(idx < SESSIONS && slot < play->sessions[idx].sent_count);
	session = &play->sessions[idx];
	if (!strcmp(how, "ok")) {
		unsigned long long count, digest;

		MUST_EQ(sscanf(line + at, "%llu %llx", &count, &digest), 2);
		session->sent[slot].count = count;
		session->sent[slot].digest = digest;
		close_one(play, session, slot, MODEL_OK);
		return;
	}
	MUST_EQ(sscanf(line + at, "%16s", why), 1);
	if (!strcmp(why, "unknown")) {
		close_one(play, session, slot, MODEL_UNKNOWN);
		return;
	}
	play->conflict_count += !strcmp(why, "conflict");
	play->failed_count += !strcmp(why, "failed");
	MUST(!strcmp(why, "conflict") || !strcmp(why, "failed"));
	close_one(play, session, slot, MODEL_REFUSED);
}

static void hear_all(struct play *play, struct host *host)
{
	char line[256];

	while (host_line(host, line, sizeof(line)))
		hear(play, line);
}

static void play_for(struct play *play, uint64_t time_ns)
{
	uint64_t now_ns = test_now_ns(), end_ns = now_ns + time_ns;

	for (; now_ns < end_ns; now_ns = test_now_ns()) {
		while (play->open_count < MAX_SENT) {
			struct session *session =
				&play->sessions[test_random_below(&play->random,
								  SESSIONS)];

			if (session->open_count)
				break;
			send_some(play, session);
		}
		host_wait(play->hosts, play->host_count, end_ns - now_ns);
		for (unsigned int i = 0; i < play->host_count; i++)
			hear_all(play, &play->hosts[i]);
	}
}

/* On until enough has happened, on a slow machine too. */
static void play_enough(struct play *play)
{
	uint64_t end_ns = test_now_ns() + ANSWER_NS;

	while (play->ok_count < 200 ||
	       (play->host_count > 1 && !play->conflict_count)) {
		MUST(test_now_ns() < end_ns);
		play_for(play, 50000000);
	}
}

/* All that was sent is answered. */
static void play_rest(struct play *play)
{
	uint64_t end_ns = test_now_ns() + ANSWER_NS;

	while (play->open_count) {
		MUST(test_now_ns() < end_ns);
		host_wait(play->hosts, play->host_count, 100000000);
		for (unsigned int i = 0; i < play->host_count; i++)
			hear_all(play, &play->hosts[i]);
	}
}

/* What it had said counts; of what it had not, nobody knows. Another one begins
 * at once. */
static void play_kill(struct play *play, unsigned int host)
{
	host_kill(&play->hosts[host]);
	hear_all(play, &play->hosts[host]);
	host_close(&play->hosts[host]);
	for (unsigned int i = 0; i < SESSIONS; i++) {
		struct session *session = &play->sessions[i];

		for (unsigned int k = 0; k < session->sent_count; k++) {
			if (session->host[k] == host &&
			    session->sent[k].outcome == MODEL_SENT)
				close_one(play, session, k, MODEL_UNKNOWN);
		}
	}
	host_start(&play->hosts[host], play->store);
}

/* Each session is as it should be, seen from each host; then all ends well. */
static void play_end(struct play *play)
{
	play_rest(play);
	for (unsigned int host = 0; host < play->host_count; host++) {
		for (unsigned int i = 0; i < SESSIONS; i++)
			send_one(play, &play->sessions[i], MODEL_SHOW, host);
		play_rest(play);
	}
	for (unsigned int i = 0; i < play->host_count; i++) {
		host_stop(&play->hosts[i]);
		host_close(&play->hosts[i]);
	}
	test_note("%u acknowledged, %u conflicts, %u unknown, %u failed",
		  play->ok_count, play->conflict_count, play->unknown_count,
		  play->failed_count);
}

/* -------------------------------------------------------------------- cases */

static unsigned int kills(void)
{
	const char *text = getenv("FAULTLINE_SESSIONS_KILLS");

	return text ? (unsigned int)strtoul(text, NULL, 10) : 20;
}

static uint64_t moment_ns(struct play *play)
{
	return test_random_below(&play->random, 80000000);
}

struct folder {
	char path[64], store[96];
};

static void folder_make(struct folder *folder, const char *store,
			const char *file)
{
	snprintf(folder->path, sizeof(folder->path), "/tmp/faultline.XXXXXX");
	MUST(mkdtemp(folder->path) != NULL);
	snprintf(folder->store, sizeof(folder->store), "%s:%s%s", store,
		 folder->path, file);
}

static void folder_remove(const struct folder *folder)
{
	const char *const argv[] = { "rm", "-rf", folder->path, NULL };

	CHECK_EQ(test_run("/dev/null", argv), 0);
}

static void memory_keeps_sessions(void)
{
	struct play play;

	play_begin(&play, "memory", 1);
	play_for(&play, 200000000);
	play_enough(&play);
	play_end(&play);
	CHECK_EQ(play.conflict_count + play.unknown_count + play.failed_count,
		 0);
}

static void lmdb_host_is_killed(void)
{
	struct folder folder;
	struct play play;

	folder_make(&folder, "lmdb", "");
	play_begin(&play, folder.store, 1);
	for (unsigned int i = 0; i < kills(); i++) {
		play_for(&play, moment_ns(&play));
		play_kill(&play, 0);
	}
	play_enough(&play);
	play_end(&play);
	/* Nobody else is there to be faster. */
	CHECK_EQ(play.conflict_count + play.failed_count, 0);
	folder_remove(&folder);
}

static void kill_one_of_two(struct play *play)
{
	for (unsigned int i = 0; i < kills() / 2; i++) {
		play_for(play, moment_ns(play));
		play_kill(play,
			  (unsigned int)test_random_below(&play->random, 2));
	}
	play_enough(play);
	play_end(play);
	CHECK_EQ(play->failed_count, 0);
}

static void lmdb_one_of_two_is_killed(void)
{
	struct folder folder;
	struct play play;

	folder_make(&folder, "lmdb", "");
	play_begin(&play, folder.store, 2);
	kill_one_of_two(&play);
	folder_remove(&folder);
}

static void redis_one_of_two_is_killed(void)
{
	struct folder folder;
	struct play play;
	pid_t server;

	folder_make(&folder, "redis", "/redis.sock");
	server = server_start(folder.path);
	play_begin(&play, folder.store, 2);
	kill_one_of_two(&play);
	test_kill(server);
	folder_remove(&folder);
}

static void redis_server_is_killed(void)
{
	struct folder folder;
	struct play play;
	pid_t server;

	folder_make(&folder, "redis", "/redis.sock");
	server = server_start(folder.path);
	play_begin(&play, folder.store, 2);
	for (unsigned int i = 0; i < kills() / 4; i++) {
		play_for(&play, 20000000 + moment_ns(&play));
		test_kill(server);
		play_for(&play, moment_ns(&play) / 8);
		server = server_start(folder.path);
	}
	play_enough(&play);
	play_end(&play);
	test_kill(server);
	folder_remove(&folder);
}

static const char *needs(const char *word, const char *reason)
{
	const char *has = getenv("FAULTLINE_SESSIONS_HAS");

	return has && strstr(has, word) ? NULL : reason;
}

static const char *needs_program(void)
{
	return needs("memory", "run this by make check-sessions");
}

static const char *needs_lmdb(void)
{
	return needs("lmdb", "install liblmdb-dev");
}

static const char *needs_redis(void)
{
	const char *reason = needs("redis", "install libhiredis-dev");

	return reason ? reason : needs("server", "install redis-server");
}

static const struct test_case cases[] = {
	TEST_CASE_NEEDS(memory_keeps_sessions, needs_program),
	TEST_CASE_NEEDS(lmdb_host_is_killed, needs_lmdb),
	TEST_CASE_NEEDS(lmdb_one_of_two_is_killed, needs_lmdb),
	TEST_CASE_NEEDS(redis_one_of_two_is_killed, needs_redis),
	TEST_CASE_NEEDS(redis_server_is_killed, needs_redis),
};

int main(int argc, char **argv)
{
	return test_main(argc, argv, cases, TEST_ARRAY_SIZE(cases), NULL, 0);
}
