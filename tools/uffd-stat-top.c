/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * uffd-stat-top.c - the full screen: all pools, sorted, and one of them in
 * detail.
 *
 * Keys: q ends, arrows choose a pool, Enter shows its histogram, m the page map of
 * a slot, left and right another slot, s sorts by the next column, / filters by
 * name. The terminal is given back as it was, however
 * the program ends by itself or by SIGINT, SIGTERM or SIGHUP.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "uffd-stat-more.h"

#ifdef FL_WITH_NCURSES
#include <locale.h>
#include <ncurses.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum sort {
	SORT_PID,
	SORT_CYCLES,
	SORT_LIVE,
	SORT_KEPT,
	SORT_COUNT
};
static const char *const sort_names[SORT_COUNT] = { "pid", "cycles", "live",
						    "kept" };

struct entry {
	const struct stat_target *target;
	const struct stat_sample *now, *before;
	double cycles; /* a second */
};

enum detail {
	DETAIL_NONE,
	DETAIL_HISTOGRAM,
	DETAIL_MAP,
};

struct top {
	struct stat_finder *finder;
	struct stat_moment *before, *now;
	struct entry *entries;
	size_t entry_count, chosen;
	enum sort sort;
	enum detail detail;
	uint64_t slot;
	bool is_typing;
	char filter[32];
};

/* Set by handlers; ncurses is told outside of them. */
static volatile sig_atomic_t is_ended;

static void on_end(int signo)
{
	(void)signo;
	is_ended = 1;
}

static double cycles_of(const struct stat_moment *before,
			const struct stat_moment *now,
			const struct entry *entry)
{
	const char *word = stat_value(entry->now, "instances_acquired") ?
				   "instances_released" :
				   "memories_released";
	uint64_t from = entry->before ? before->now_ns :
					entry->now->about.made_ns;
	uint64_t old = stat_value(entry->before, word);
	uint64_t new = stat_value(entry->now, word);

	return new < old || from >= now->now_ns ?
		       0 :
		       (double)(new - old) * 1e9 / (double)(now->now_ns - from);
}

static uint64_t live_of(const struct stat_sample *sample)
{
	return stat_value(sample, stat_value(sample, "instances_acquired") ?
					  "instances_live" :
					  "memories_live");
}

static double key_of(const struct entry *entry, enum sort sort)
{
	switch (sort) {
	case SORT_CYCLES:
		return -entry->cycles;
	case SORT_LIVE:
		return -(double)live_of(entry->now);
	case SORT_KEPT:
		return -(double)stat_value(entry->now, "kept_bytes");
	default:
		return entry->target->pid;
	}
}

static int by_key(const void *a, const void *b, void *sort)
{
	double one = key_of(a, *(enum sort *)sort);
	double other = key_of(b, *(enum sort *)sort);

	return (one > other) - (one < other);
}

static void entries_make(struct top *top)
{
	size_t count = 0;

	for (size_t i = 0; i < top->now->target_count; i++)
		count += top->now->targets[i].pool_count;
	free(top->entries);
	top->entries = calloc(count + 1, sizeof(*top->entries));
	top->entry_count = 0;
	for (size_t i = 0; top->entries && i < top->now->target_count; i++) {
		const struct stat_target *target = &top->now->targets[i];

		for (size_t j = 0; j < target->pool_count; j++) {
			const struct stat_sample *now = target->pools[j].sample;
			struct entry *entry = &top->entries[top->entry_count];

			if (!now || now->schema->is_loads ||
			    (!strstr(now->about.pool, top->filter) &&
			     !strstr(target->command, top->filter)))
				continue;
			entry->target = target;
			entry->now = now;
			entry->before = stat_earlier(top->before, target, now);
			entry->cycles = cycles_of(top->before, top->now, entry);
			top->entry_count++;
		}
	}
	if (top->entry_count)
		qsort_r(top->entries, top->entry_count, sizeof(*top->entries),
			by_key, &top->sort);
	if (top->chosen >= top->entry_count)
		top->chosen = top->entry_count ? top->entry_count - 1 : 0;
}

static void look(struct top *top)
{
	struct stat_moment *now = stat_look(top->finder);

	if (!now)
		return;
	stat_moment_free(top->before);
	top->before = top->now;
	top->now = now;
	entries_make(top);
}

static double micros(const struct entry *entry, const char *name,
		     uint32_t per_mille)
{
	uint64_t count;

	return (double)stat_quantile(entry->before, entry->now, name, per_mille,
				     &count) /
	       1000;
}

static void row_draw(int y, const struct entry *entry, bool is_chosen)
{
	if (is_chosen)
		attron(A_REVERSE);
	mvprintw(y, 0,
		 "%7d %-12.12s %-14.14s %6llu %9.0f %7.1f %7.1f %7.1f %9llu",
		 entry->target->pid, entry->target->command,
		 entry->now->about.pool[0] ? entry->now->about.pool : "-",
		 (unsigned long long)live_of(entry->now), entry->cycles,
		 micros(entry, "acquire", 500), micros(entry, "release", 500),
		 micros(entry, "release", 990),
		 (unsigned long long)(stat_value(entry->now, "kept_bytes") >>
				      10));
	if (is_chosen)
		attroff(A_REVERSE);
}

/* Powers of two of the times of a release since the pool was made. */
static void histogram_draw(int y, const struct entry *entry)
{
	const uint64_t *times = stat_buckets(entry->now, "release");
	uint32_t bits = entry->now->about.bucket_bits;
	uint64_t sums[64] = { 0 }, most = 1;
	int width = COLS - 32;

	if (!times || width < 4)
		return;
	for (uint32_t i = 0; i < entry->now->about.bucket_count; i++)
		sums[(i >> bits) & 63] += times[i];
	for (size_t i = 0; i < 64; i++)
		most = sums[i] > most ? sums[i] : most;
	mvprintw(y++, 0,
		 "release, pool \"%s\" of %d, rung %s:", entry->now->about.pool,
		 entry->target->pid, entry->now->about.rung);
	for (size_t i = 0; i < 64 && y < LINES - 1; i++) {
		if (!sums[i])
			continue;
		mvprintw(y, 0, "%9.1f us %12llu  ",
			 (double)((uint64_t)1 << (bits + (i ? i - 1 : 0))) /
				 1000,
			 (unsigned long long)sums[i]);
		for (int x = 0;
		     x < (int)((double)sums[i] / (double)most * (double)width);
		     x++)
			addch('#');
		y++;
	}
}

/* What a glyph that stands for several pages says: the state that comes last in
 * the enum has the most to tell. */
static char glyph(const uint8_t *states, size_t count)
{
	static const char glyphs[STAT_PAGE_STATES + 1] = ".sPwx";
	uint8_t most = STAT_PAGE_NONE;

	for (size_t i = 0; i < count; i++) {
		if (states[i] == STAT_PAGE_PRIVATE)
			return glyphs[STAT_PAGE_PRIVATE];
		most = states[i] > most ? states[i] : most;
	}
	return glyphs[most];
}

/* The first 16 MiB of a slot at most, in the lines that are left. */
static void map_draw(int y, const struct top *top, const struct entry *entry)
{
	static uint8_t states[4096];
	size_t lines = LINES - 3 > y ? (size_t)(LINES - 3 - y) : 0;
	size_t count, each = 1;
	const char *why;

	if (!lines || COLS < 80)
		return;
	count = stat_map_read(entry->target->pid, entry->now, top->slot, states,
			      sizeof(states), &why);
	if (!count) {
		mvprintw(y, 0, "no page map of pool \"%s\" of %d: %s",
			 entry->now->about.pool, entry->target->pid, why);
		return;
	}
	while (count > 64 * lines * each)
		each *= 2;
	mvprintw(y++, 0,
		 "slot %llu of pool \"%s\" of %d, %zu host page%s a letter:",
		 (unsigned long long)top->slot, entry->now->about.pool,
		 entry->target->pid, each, each == 1 ? "" : "s");
	for (size_t i = 0; i < count; i += 64 * each, y++) {
		mvprintw(y, 0, "%8zu KiB ",
			 i * (size_t)sysconf(_SC_PAGESIZE) / 1024);
		for (size_t j = i; j < count && j < i + 64 * each; j += each)
			addch((chtype)glyph(states + j, count - j < each ?
								count - j :
								each));
	}
	mvprintw(
		y, 0,
		". none, or watched and swapped  s image's  P own, open  w own, watched  x swapped");
}

static void draw(const struct top *top)
{
	int rows = top->detail ? (LINES - 3) / 3 : LINES - 3;
	size_t first = top->chosen >= (size_t)(rows > 0 ? rows : 1) ?
			       top->chosen - (size_t)rows + 1 :
			       0;

	erase();
	mvprintw(0, 0, "uffd-stat: %zu pools, by %s%s%s%s", top->entry_count,
		 sort_names[top->sort],
		 *top->filter || top->is_typing ? ", filter /" : "",
		 top->filter, top->is_typing ? "_" : "");
	attron(A_BOLD);
	mvprintw(1, 0, "%7s %-12s %-14s %6s %9s %7s %7s %7s %9s", "PID",
		 "COMMAND", "POOL", "LIVE", "CYCLE/s", "ACQ50", "REL50",
		 "REL99", "KEPT KiB");
	attroff(A_BOLD);
	for (int y = 0; y < rows && first + (size_t)y < top->entry_count; y++)
		row_draw(y + 2, &top->entries[first + (size_t)y],
			 first + (size_t)y == top->chosen);
	if (top->detail == DETAIL_HISTOGRAM && top->entry_count)
		histogram_draw(rows + 2, &top->entries[top->chosen]);
	if (top->detail == DETAIL_MAP && top->entry_count)
		map_draw(rows + 2, top, &top->entries[top->chosen]);
	mvprintw(
		LINES - 1, 0,
		"q quit  s sort  / filter  up down choose  Enter histogram  m page map  < > slot");
	refresh();
}

static void type(struct top *top, int key)
{
	size_t len = strlen(top->filter);

	if (key == '\n' || key == 27)
		top->is_typing = false;
	else if ((key == KEY_BACKSPACE || key == 127) && len)
		top->filter[len - 1] = '\0';
	else if (key >= 0x20 && key < 0x7f && len + 1 < sizeof(top->filter))
		top->filter[len] = (char)key;
}

/* False: quit. */
static bool key_take(struct top *top, int key)
{
	if (top->is_typing) {
		type(top, key);
	} else if (key == 'q') {
		return false;
	} else if (key == 's') {
		top->sort = (top->sort + 1) % SORT_COUNT;
	} else if (key == '/') {
		top->is_typing = true;
		memset(top->filter, 0, sizeof(top->filter));
	} else if (key == KEY_DOWN) {
		top->chosen++;
	} else if (key == KEY_UP && top->chosen) {
		top->chosen--;
	} else if (key == '\n') {
		top->detail = top->detail == DETAIL_HISTOGRAM ?
				      DETAIL_NONE :
				      DETAIL_HISTOGRAM;
	} else if (key == 'm') {
		top->detail = top->detail == DETAIL_MAP ? DETAIL_NONE :
							  DETAIL_MAP;
	} else if (key == KEY_RIGHT || key == '>') {
		top->slot++;
	} else if ((key == KEY_LEFT || key == '<') && top->slot) {
		top->slot--;
	}
	entries_make(top);
	return true;
}

static double seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* Of a terminal that went, every read ends at once: nobody is there to wait
 * for. */
static bool is_hung_up(void)
{
	struct pollfd input = { .fd = STDIN_FILENO, .events = POLLIN };

	return poll(&input, 1, 0) > 0 &&
	       (input.revents & (POLLHUP | POLLERR | POLLNVAL));
}

static void loop(struct top *top, double interval_s)
{
	double due = seconds() + interval_s;

	look(top);
	while (!is_ended && top->now) {
		int key;

		draw(top);
		timeout(due > seconds() ? (int)((due - seconds()) * 1000) + 1 :
					  0);
		key = getch();
		if (key == ERR && is_hung_up())
			break;
		if (key != ERR && key != KEY_RESIZE && !key_take(top, key))
			break;
		if (seconds() >= due) {
			look(top);
			due = seconds() + interval_s;
		}
	}
}

int stat_top(struct stat_finder *finder, double interval_s)
{
	struct top top = { .finder = finder, .sort = SORT_CYCLES };
	struct sigaction end = { .sa_handler = on_end };
	SCREEN *screen;

	setlocale(LC_CTYPE, "");
	screen = isatty(STDIN_FILENO) && isatty(STDOUT_FILENO) ?
			 newterm(NULL, stdout, stdin) :
			 NULL;
	if (!screen) {
		fputs("uffd-stat: --top needs a terminal, and TERM that says which\n",
		      stderr);
		return 1;
	}
	sigaction(SIGINT, &end, NULL);
	sigaction(SIGTERM, &end, NULL);
	sigaction(SIGHUP, &end, NULL);
	cbreak();
	noecho();
	keypad(stdscr, TRUE);
	curs_set(0);
	loop(&top, interval_s);
	endwin();
	delscreen(screen);
	free(top.entries);
	stat_moment_free(top.before);
	stat_moment_free(top.now);
	return 0;
}
#else
int stat_top(struct stat_finder *finder, double interval_s)
{
	(void)finder;
	(void)interval_s;
	fputs("uffd-stat: built without --top: install libncurses-dev and build again\n",
	      stderr);
	return 1;
}
#endif
