/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * sessions.c - a host whose sessions sleep in a store between requests.
 *
 *	sessions memory
 *	sessions lmdb:FOLDER
 *	sessions redis:SOCKET	or redis:HOST:PORT
 *
 * A line of the input is a request, a line of the output its answer. TAG is any
 * word, by which the answer is known; answers come in the order in which they
 * are ready.
 *
 *	TAG add SESSION TEXT	TAG ok COUNT DIGEST
 *	TAG show SESSION	TAG ok COUNT DIGEST
 *	TAG end SESSION		TAG ok 0 0
 *				TAG error WHY
 *
 * "ok" is said when the store has promised to keep what the request changed.
 * "error conflict": another host was faster, and nothing happened. "error
 * unknown": it may have happened, or may happen in a moment. "error failed" and
 * "error bad": nothing happened.
 *
 * Requests of one session are served in turn, by the worker that its name
 * chooses. So hosts conflict with each other, and never with themselves.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "guest.h"
#include "store.h"

#define WORKERS 8
#define LINE_BYTES 256

static const struct store_calls *const stores[] = {
	&store_memory,
#ifdef HAVE_LMDB
	&store_lmdb,
#endif
#ifdef HAVE_REDIS
	&store_redis,
#endif
};
#define STORE_COUNT (sizeof(stores) / sizeof(stores[0]))

struct request {
	struct request *next;
	char tag[32], verb[8], session[STORE_MAX_KEY_BYTES + 1];
	char event[GUEST_MAX_EVENT_BYTES + 1];
};

struct worker {
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t more;
	struct request *first, **last;
	bool is_last; /* no request comes behind those in the list */
	struct host *host;
};

struct host {
	const struct store_calls *calls;
	struct store *store;
	struct guest *guest;
	struct worker workers[WORKERS];
};

static const char *const words[] = {
	[STORE_OK] = "ok",
	[STORE_NONE] = "none",
	[STORE_CONFLICT] = "conflict",
	[STORE_UNKNOWN] = "unknown",
	[STORE_FAILED] = "failed",
};

/* The name, filled up with zeroes, and the version. */
static void label_of(const char *session, uint64_t version,
		     unsigned char *label)
{
	memset(label, 0, GUEST_LABEL_BYTES);
	memcpy(label, session, strnlen(session, STORE_MAX_KEY_BYTES));
	for (unsigned int i = 0; i < 8; i++)
		label[STORE_MAX_KEY_BYTES + i] =
			(unsigned char)(version >> (8 * i));
}

static bool new_version(uint64_t *version)
{
	do {
		if (getrandom(version, sizeof(*version), 0) != sizeof(*version))
			return false;
	} while (!*version);
	return true;
}

/* Wake, run; then sleep and commit if the request changes the session. */
static int run(const struct host *host, const struct request *request,
	       const struct store_value *old, struct guest_answer *answer)
{
	bool is_add = !strcmp(request->verb, "add");
	unsigned char label[GUEST_LABEL_BYTES];
	struct guest_session *session;
	struct store_value new;
	int result = STORE_FAILED;

	label_of(request->session, old->version, label);
	session = guest_wake(host->guest, old->bytes, old->length_bytes, label);
	if (!session)
		return result;
	guest_run(session, is_add ? request->event : NULL, answer);
	if (!is_add || !new_version(&new.version)) {
		guest_drop(session);
		return is_add ? result : STORE_OK;
	}
	label_of(request->session, new.version, label);
	new.bytes = guest_sleep(host->guest, session, label, &new.length_bytes);
	if (new.bytes)
		result = host->calls->put(host->store, request->session,
					  old->version, &new);
	free(new.bytes);
	return result;
}

static int serve(const struct host *host, const struct request *request,
		 struct guest_answer *answer)
{
	struct store_value old;
	int result;

	memset(answer, 0, sizeof(*answer));
	result = host->calls->get(host->store, request->session, &old);
	if (result == STORE_NONE && strcmp(request->verb, "add"))
		return STORE_OK; /* nothing to show, or to end */
	if (result != STORE_OK && result != STORE_NONE)
		return result;
	if (!strcmp(request->verb, "end"))
		result = host->calls->delete (host->store, request->session,
					      old.version);
	else
		result = run(host, request, &old, answer);
	free(old.bytes);
	return result;
}

static struct request *next_request(struct worker *worker)
{
	struct request *request;

	pthread_mutex_lock(&worker->lock);
	while (!worker->first && !worker->is_last)
		pthread_cond_wait(&worker->more, &worker->lock);
	request = worker->first;
	if (request) {
		worker->first = request->next;
		if (!worker->first)
			worker->last = &worker->first;
	}
	pthread_mutex_unlock(&worker->lock);
	return request;
}

static void *work(void *arg)
{
	struct worker *worker = arg;
	struct guest_answer answer;
	struct request *request;

	while ((request = next_request(worker))) {
		int result = serve(worker->host, request, &answer);

		if (result == STORE_OK)
			printf("%s ok %llu %016llx\n", request->tag,
			       (unsigned long long)answer.count,
			       (unsigned long long)answer.digest);
		else
			printf("%s error %s\n", request->tag, words[result]);
		free(request);
	}
	return NULL;
}

static bool parse(const char *line, struct request *request)
{
	int at = 0, fields;

	memset(request, 0, sizeof(*request));
	fields = sscanf(line, "%31s %7s %24s%n", request->tag, request->verb,
			request->session, &at);
	if (fields != 3 || (line[at] != ' ' && line[at] != '\n'))
		return false;
	if (!strcmp(request->verb, "add"))
		return sscanf(line + at, " %63[^\n]%n", request->event,
			      &fields) == 1 &&
		       line[at + fields] == '\n';
	return !strcmp(request->verb, "show") || !strcmp(request->verb, "end");
}

static void hand_over(struct host *host, struct request *request)
{
	const char *name = request->session;
	unsigned int sum = 0;
	struct worker *worker;

	while (*name)
		sum = sum * 31 + (unsigned char)*name++;
	worker = &host->workers[sum % WORKERS];
	pthread_mutex_lock(&worker->lock);
	*worker->last = request;
	worker->last = &request->next;
	pthread_cond_signal(&worker->more);
	pthread_mutex_unlock(&worker->lock);
}

static bool read_requests(struct host *host)
{
	char line[LINE_BYTES];

	while (fgets(line, sizeof(line), stdin)) {
		struct request *request = malloc(sizeof(*request));

		if (!request)
			return false;
		if (parse(line, request)) {
			hand_over(host, request);
			continue;
		}
		printf("%s error bad\n", *request->tag ? request->tag : "-");
		free(request);
		/* The rest of a line that is too long is part of it. */
		while (!strchr(line, '\n') && fgets(line, sizeof(line), stdin))
			;
	}
	return true;
}

static bool start(struct host *host)
{
	for (unsigned int i = 0; i < WORKERS; i++) {
		struct worker *worker = &host->workers[i];

		worker->host = host;
		worker->last = &worker->first;
		pthread_mutex_init(&worker->lock, NULL);
		pthread_cond_init(&worker->more, NULL);
		if (pthread_create(&worker->thread, NULL, work, worker)) {
			fprintf(stderr, "sessions: no thread to be had\n");
			return false;
		}
	}
	return true;
}

static void finish(struct host *host)
{
	for (unsigned int i = 0; i < WORKERS; i++) {
		struct worker *worker = &host->workers[i];

		pthread_mutex_lock(&worker->lock);
		worker->is_last = true;
		pthread_cond_signal(&worker->more);
		pthread_mutex_unlock(&worker->lock);
		pthread_join(worker->thread, NULL);
		pthread_cond_destroy(&worker->more);
		pthread_mutex_destroy(&worker->lock);
	}
}

static bool open_store(struct host *host, const char *name)
{
	size_t length = strcspn(name, ":");

	for (size_t i = 0; i < STORE_COUNT; i++) {
		if (strlen(stores[i]->name) != length ||
		    strncmp(stores[i]->name, name, length))
			continue;
		host->calls = stores[i];
		host->store =
			stores[i]->open(name[length] ? name + length + 1 : "");
		return host->store != NULL;
	}
	fprintf(stderr, "sessions: no store %s; this program has", name);
	for (size_t i = 0; i < STORE_COUNT; i++)
		fprintf(stderr, " %s", stores[i]->name);
	fprintf(stderr, "\n");
	return false;
}

int main(int argc, char **argv)
{
	static struct host host;
	bool is_good;

	if (argc != 2) {
		fprintf(stderr, "sessions memory | lmdb:FOLDER | "
				"redis:SOCKET | redis:HOST:PORT\n");
		return 2;
	}
	/* A server that has gone is an error of a call. */
	signal(SIGPIPE, SIG_IGN);
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (!open_store(&host, argv[1]))
		return 1;
	host.guest = guest_open(WORKERS);
	if (!host.guest || !start(&host))
		return 1;
	is_good = read_requests(&host);
	finish(&host);
	guest_close(host.guest);
	host.calls->close(host.store);
	return is_good ? 0 : 1;
}
