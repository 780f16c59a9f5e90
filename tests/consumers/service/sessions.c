/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * sessions.c - sessions of a guest, many more than could be awake: each has a
 * counter, the last fifty events and a document, and is asked now and then.
 *
 * First all of them sleep as deltas in memory, with an event each: as many as asked
 * for, or as a quarter of the free memory holds and FILL_S can make, up to
 * MAX_SESSIONS. The other ways begin with the same sessions, as many as they can
 * hold. Then requests come, each an event of a session that is drawn by Zipf's law
 * (exponent 1), until the time is up, from one worker and from two; each worker has
 * the sessions of one remainder.
 *
 * Each answer says how many events the session has had, which is compared. At the end
 * of each way the whole content of a sample is compared with that of the native
 * build, to which all events of the session are told anew.
 */
#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "rt_threadlocal.h"
#include "sessions.h"

#define MAX_SESSIONS 1000000u
#define FILL_S 15.0
#define TRIED 1000u
#define COMPARED 40u
#define MAX_REPLAYED 5000u
#define SMOKE_SESSIONS 300u
#define SMOKE_REQUESTS 40u
#define TRAINED_ON 1000u
#define DICTIONARY_BYTES 65536u
#define PROGRESS_NS UINT64_C(5000000000)

static const struct session_way *const all_ways[SESSION_WAYS] = {
	[SESSIONS_LIVE] = &sessions_live,
	[SESSIONS_REPLAY] = &sessions_replay,
	[SESSIONS_PAGES] = &sessions_pages,
	[SESSIONS_DELTAS] = &sessions_deltas,
	[SESSIONS_LMDB] = &sessions_lmdb,
	[SESSIONS_PACKED] = &sessions_packed,
};

const struct session_way *session_way(int way)
{
	return all_ways[way];
}

uint32_t seed_of(uint32_t session, uint32_t event)
{
	uint64_t bits = (uint64_t)session << 32 | event;

	bits = (bits ^ bits >> 31) * UINT64_C(0x7fb5d329728ea185);
	bits = (bits ^ bits >> 27) * UINT64_C(0x81dadef4bc2dd44d);
	return (uint32_t)(bits >> 33);
}

/* ----------------------------------------------------------------- requests */

static double draw_unit(struct seat *seat)
{
	seat->random ^= seat->random << 13;
	seat->random ^= seat->random >> 7;
	seat->random ^= seat->random << 17;
	return (double)(seat->random >> 11) / 9007199254740992.0;
}

/* The density of x in [1, n + 1) is as 1/x. */
static uint32_t draw_session(struct seat *seat)
{
	const struct sessions *sessions = seat->sessions;
	uint32_t n = sessions->held_count / sessions->workers;
	double x = exp(draw_unit(seat) * log((double)n + 1));
	uint32_t rank = (uint32_t)x - 1;

	return (rank < n ? rank : n - 1) * sessions->workers + seat->idx;
}

static void event(struct seat *seat, uint32_t session)
{
	struct sessions *sessions = seat->sessions;
	uint32_t events = sessions->events[session];

	sessions->way->serve(seat, session, SESSION_EVENT,
			     seed_of(session, events));
	if (strtoul(seat->text, NULL, 10) != events + 1)
		die("%s, %s: session %u says %.40s after %u events",
		    sessions->guest->title, sessions->way->title, session,
		    seat->text, events + 1);
	sessions->events[session] = events + 1;
}

static void sample_add(struct seat *seat, uint64_t ns)
{
	if (seat->ns_count == seat->ns_room) {
		seat->ns_room = seat->ns_room ? seat->ns_room * 2 : 65536;
		seat->ns = realloc(seat->ns, seat->ns_room * sizeof(*seat->ns));
		if (!seat->ns)
			die("no memory for samples");
	}
	seat->ns[seat->ns_count++] = (uint32_t)ns;
}

static void commit(struct seat *seat, const uint64_t *start_ns)
{
	uint64_t now;

	if (!seat->pending_count)
		return;
	seat->sessions->way->commit(seat);
	now = now_ns();
	for (unsigned int i = 0; i < seat->pending_count; i++)
		sample_add(seat, now - start_ns[i]);
	seat->pending_count = 0;
}

static void requests(struct seat *seat)
{
	const struct options *options = seat->sessions->options;
	uint64_t begin = now_ns(), now = begin, starts[BATCH];
	uint64_t length = (uint64_t)(options->seconds / 3 * 1e9);
	uint32_t left = SMOKE_REQUESTS;

	while (options->is_smoke ? left-- > 0 : now - begin < length) {
		uint64_t start = now_ns();

		event(seat, draw_session(seat));
		now = now_ns();
		if (!seat->sessions->way->commit) {
			sample_add(seat, now - start);
			continue;
		}
		starts[seat->pending_count - 1] = start;
		if (seat->pending_count == BATCH)
			commit(seat, starts);
	}
	commit(seat, starts);
}

static void seat_begin(struct seat *seat)
{
	const struct session_way *way = seat->sessions->way;

	lane_open(&seat->lane, way->lane_way, seat->sessions->guest,
		  seat->sessions->pool);
	if (way->seat_open)
		way->seat_open(seat);
}

static void seat_end(struct seat *seat)
{
	const struct session_way *way = seat->sessions->way;

	if (way->seat_close)
		way->seat_close(seat);
	lane_close(&seat->lane);
}

/* ------------------------------------------------------------------- filling */

struct crew {
	struct sessions *sessions;
	void (*work)(struct seat *seat);
	uint32_t first, end; /* to be filled */
	uint32_t done; /* atomic */
	pthread_barrier_t together;
	uint64_t began_ns;
};

struct member {
	struct crew *crew;
	struct seat seat;
	uint64_t busy_ns;
};

static void fill(struct crew *crew, struct seat *seat)
{
	struct sessions *sessions = crew->sessions;
	uint64_t told_ns = now_ns();

	for (uint32_t i = crew->first + seat->idx; i < crew->end;
	     i += sessions->workers) {
		event(seat, i);
		__atomic_fetch_add(&crew->done, 1, __ATOMIC_RELAXED);
		if (seat->idx || i % 256 || sessions->options->is_smoke ||
		    now_ns() - told_ns < PROGRESS_NS)
			continue;
		told_ns = now_ns();
		fprintf(stderr, "%s: %u of %u sessions have begun\n",
			sessions->guest->title, crew->first + crew->done,
			crew->end);
	}
}

static void *member_run(void *arg)
{
	struct member *member = arg;
	struct crew *crew = member->crew;
	uint64_t before;

	if (rt_thread_init())
		die("no signal stack");
	seat_begin(&member->seat);
	pthread_barrier_wait(&crew->together);
	before = now_ns();
	if (crew->end)
		fill(crew, &member->seat);
	else
		requests(&member->seat);
	member->busy_ns = now_ns() - before;
	seat_end(&member->seat);
	rt_thread_exit();
	return NULL;
}

/* The members are the caller's to free. */
static struct member *crew_run(struct crew *crew)
{
	uint32_t workers = crew->sessions->workers;
	struct member *members = must_allocate(workers * sizeof(*members));
	pthread_t threads[MAX_WORKERS];

	pthread_barrier_init(&crew->together, NULL, workers);
	for (uint32_t i = 0; i < workers; i++) {
		members[i].crew = crew;
		members[i].seat.sessions = crew->sessions;
		members[i].seat.idx = i;
		members[i].seat.random = UINT64_C(0x9e3779b97f4a7c15) * (i + 3);
		if (pthread_create(&threads[i], NULL, member_run, &members[i]))
			die("cannot start a thread");
	}
	for (uint32_t i = 0; i < workers; i++)
		pthread_join(threads[i], NULL);
	pthread_barrier_destroy(&crew->together);
	return members;
}

/* Sessions [first, end) begin. Seconds. */
static double fill_some(struct sessions *sessions, uint32_t first, uint32_t end)
{
	struct crew crew = { .sessions = sessions, .first = first, .end = end };
	uint64_t before = now_ns();

	sessions->workers = MAX_WORKERS;
	if (first < end)
		free(crew_run(&crew));
	return (double)(now_ns() - before) / 1e9;
}

/* As many as there is memory and time for. */
static uint32_t count_choose(const struct sessions *sessions, double tried_s)
{
	double each = (double)sessions->kept_bytes / TRIED + 128;
	double by_memory = (double)sessions->budget_bytes / each;
	double by_time = TRIED * FILL_S / tried_s;
	double most = by_memory < by_time ? by_memory : by_time;

	if (most > MAX_SESSIONS)
		most = MAX_SESSIONS;
	return most < TRIED ? TRIED : (uint32_t)most;
}

static void arrays_grow(struct sessions *sessions, uint32_t count)
{
	size_t were = sessions->count;

	sessions->deltas =
		realloc(sessions->deltas, count * sizeof(*sessions->deltas));
	sessions->events =
		realloc(sessions->events, count * sizeof(*sessions->events));
	sessions->delta_events = realloc(sessions->delta_events,
					 count * sizeof(*sessions->events));
	if (!sessions->deltas || !sessions->events || !sessions->delta_events)
		die("no memory for %u sessions", count);
	memset(sessions->deltas + were, 0,
	       (count - were) * sizeof(*sessions->deltas));
	memset(sessions->events + were, 0,
	       (count - were) * sizeof(*sessions->events));
	sessions->count = sessions->held_count = count;
}

static double fill_all(struct sessions *sessions)
{
	const struct options *options = sessions->options;
	double seconds;
	uint32_t tried = TRIED;

	if (options->is_smoke)
		tried = SMOKE_SESSIONS;
	else if (options->sessions > 0 && options->sessions < (long)tried)
		tried = (uint32_t)options->sessions;
	arrays_grow(sessions, tried);
	seconds = fill_some(sessions, 0, tried);
	if (options->is_smoke)
		return seconds;
	arrays_grow(sessions, options->sessions > 0 ?
				      (uint32_t)options->sessions :
				      count_choose(sessions, seconds));
	return seconds + fill_some(sessions, tried, sessions->count);
}

/* ---------------------------------------------------------------- comparing */

/* What the session holds, by the native build. */
static const char *replay_natively(const struct guest *guest, uint32_t session,
				   uint32_t events, uint32_t *length)
{
	int32_t shown;

	if (guest->native_session(SESSION_BEGIN, 0) < 0)
		die("the native %s does not begin anew", guest->title);
	for (uint32_t i = 0; i < events; i++)
		if (guest->native_session(SESSION_EVENT, seed_of(session, i)) <
		    0)
			die("the native %s has no answer", guest->title);
	shown = guest->native_session(SESSION_SHOW, 0);
	if (shown < 0)
		die("the native %s shows nothing", guest->title);
	*length = (uint32_t)shown;
	return guest->native_answer();
}

/* From the most asked ones to the least, as far as a replay takes no minutes. */
static uint32_t compare_sample(struct sessions *sessions)
{
	struct seat *seat = must_allocate(sizeof(*seat));
	uint32_t compared = 0, length, session;
	double step = pow(sessions->held_count, 1.0 / COMPARED), at = 1;
	const char *expected;

	seat->sessions = sessions;
	seat_begin(seat);
	for (uint32_t i = 0; i < 2 * COMPARED; i++) {
		session = i < COMPARED ? i : (uint32_t)(at *= step) - 1;
		if (session >= sessions->held_count ||
		    sessions->events[session] > MAX_REPLAYED)
			continue;
		sessions->way->serve(seat, session, SESSION_SHOW, 0);
		expected = replay_natively(sessions->guest, session,
					   sessions->events[session], &length);
		if (length != seat->length ||
		    memcmp(expected, seat->text, length))
			die("%s, %s: session %u of %u events is not as the "
			    "native build has it",
			    sessions->guest->title, sessions->way->title,
			    session, sessions->events[session]);
		compared++;
	}
	seat_end(seat);
	free(seat);
	return compared;
}

/* ----------------------------------------------------------------- measuring */

static int by_value(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

static void figures_take(struct session_figures *figures,
			 struct member *members, uint32_t workers)
{
	size_t count = 0, at = 0;
	uint32_t *ns;

	for (uint32_t i = 0; i < workers; i++)
		count += members[i].seat.ns_count;
	ns = must_allocate(count * sizeof(*ns));
	for (uint32_t i = 0; i < workers; i++) {
		struct seat *seat = &members[i].seat;

		if (seat->ns_count)
			memcpy(ns + at, seat->ns, seat->ns_count * sizeof(*ns));
		at += seat->ns_count;
		figures->per_s += (double)seat->ns_count * 1e9 /
				  (double)(members[i].busy_ns + 1);
		free(seat->ns);
	}
	qsort(ns, count, sizeof(*ns), by_value);
	figures->requests = count;
	if (count) {
		figures->p50_us = ns[count / 2] / 1e3;
		figures->p99_us = ns[(count - 1) * 99 / 100] / 1e3;
	}
	free(ns);
}

static double private_mib(void)
{
	return (field_kib("/proc/self/status", "RssAnon:") +
		field_kib("/proc/self/status", "RssShmem:")) /
	       1024;
}

static double tables_mib(void)
{
	return field_kib("/proc/self/status", "VmPTE:") / 1024;
}

static void figures_rest(struct sessions *sessions, int way,
			 struct session_figures *figures, double private_was,
			 double tables_was)
{
	figures->workers = sessions->workers;
	figures->held_count = sessions->held_count;
	figures->private_mib = private_mib() - private_was;
	figures->tables_mib = tables_mib() - tables_was;
	figures->bytes = (double)sessions->kept_bytes / sessions->held_count;
	if (way == SESSIONS_LIVE)
		figures->bytes = (figures->private_mib + figures->tables_mib) *
				 1048576 / sessions->held_count;
}

static void measure_workers(struct sessions *sessions, int way,
			    uint32_t workers, double private_was,
			    double tables_was)
{
	struct session_figures figures = { .left_out = NULL };
	struct crew crew = { .sessions = sessions };
	struct member *members;

	sessions->workers = workers;
	members = crew_run(&crew);
	figures_take(&figures, members, workers);
	free(members);
	figures_rest(sessions, way, &figures, private_was, tables_was);
	if (workers == MAX_WORKERS ||
	    sessions->options->workers == (int)workers) {
		sessions->workers = 1;
		figures.compared = compare_sample(sessions);
	}
	sessions_row(sessions, way, &figures);
}

static void pool_begin(struct sessions *sessions)
{
	sessions->pool = pool_open(sessions->context);
}

/* Between open and close a way has the pool to itself; live makes another. */
static unsigned int way_run(struct sessions *sessions, int way,
			    double private_was, double tables_was)
{
	const struct options *options = sessions->options;
	struct fl_pool *pool;
	const char *left_out;

	sessions->way = all_ways[way];
	sessions->held = NULL;
	if (way != SESSIONS_DELTAS) {
		memcpy(sessions->events, sessions->delta_events,
		       sessions->count * sizeof(*sessions->events));
		sessions->kept_bytes = 0;
		pool_begin(sessions);
	}
	pool = sessions->pool;
	left_out = sessions->way->open(sessions);
	for (uint32_t workers = 1; !left_out && workers <= MAX_WORKERS;
	     workers++)
		if (options->workers < 0 || options->workers == (int)workers)
			measure_workers(sessions, way, workers, private_was,
					tables_was);
	if (left_out)
		sessions_row(sessions, way,
			     &(struct session_figures){ .left_out = left_out });
	else
		sessions->way->close(sessions);
	pool_close(sessions->pool);
	if (pool != sessions->pool)
		pool_close(pool);
	return !left_out;
}

static void train(struct sessions *sessions)
{
	uint32_t count = sessions->count < TRAINED_ON ? sessions->count :
							TRAINED_ON;
	struct fl_delta **sample = must_allocate(count * sizeof(*sample));
	void *dictionary = must_allocate(DICTIONARY_BYTES);
	uint64_t length = DICTIONARY_BYTES;
	struct fl_error error;
	int err;

	for (uint32_t i = 0; i < count; i++)
		sample[i] =
			sessions->deltas[(uint64_t)i * sessions->count / count];
	err = fl_packer_train(sample, count, dictionary, &length, &error);
	sessions->no_dictionary = err == -ENOTSUP ?
					  "built without libzstd" :
					  "zstd makes no dictionary of these";
	if (!err) {
		sessions->dictionary = dictionary;
		sessions->dictionary_bytes = length;
		dictionary = NULL;
	}
	free(dictionary);
	free(sample);
}

static void sessions_free(struct sessions *sessions)
{
	for (uint32_t i = 0; i < sessions->count; i++)
		fl_delta_release(sessions->deltas[i]);
	free(sessions->deltas);
	free(sessions->events);
	free(sessions->delta_events);
	free((void *)(uintptr_t)sessions->dictionary);
	free(sessions);
}

unsigned int sessions_run(const struct options *options,
			  const struct guest *guest, struct fl_context *context)
{
	struct sessions *sessions = must_allocate(sizeof(*sessions));
	double private_was = private_mib(), tables_was = tables_mib(), fill_s;
	unsigned int cases = 1;

	sessions->options = options;
	sessions->guest = guest;
	sessions->context = context;
	sessions->budget_bytes =
		(uint64_t)(field_kib("/proc/meminfo", "MemAvailable:") * 256);
	sessions->way = &sessions_deltas;
	pool_begin(sessions);
	fill_s = fill_all(sessions);
	sessions_head(sessions, fill_s);
	way_run(sessions, SESSIONS_DELTAS, private_was, tables_was);
	train(sessions);
	for (int way = 0; way < SESSION_WAYS; way++)
		if (way != SESSIONS_DELTAS)
			cases += way_run(sessions, way, private_mib(),
					 tables_mib());
	sessions_free(sessions);
	return cases;
}
