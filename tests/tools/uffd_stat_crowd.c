/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * uffd_stat_crowd.c - a thousand processes with statistics: uffd-stat has each
 * one's own number, tells those that were killed from those that live, and says
 * what a look costs.
 *
 * A process of the crowd publishes a page by the library's own code and holds as
 * many userfaultfds as a context does. It makes no pool, which would take the
 * test a minute.
 */
#define _GNU_SOURCE
#include "tests/kit/test.h"

#include "slots/stats.h"
#include "tools/uffd-stat.h"

#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef UFFD_USER_MODE_ONLY
#define UFFD_USER_MODE_ONLY 1
#endif

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define CROWD 200
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define CROWD 200
#endif
#endif
#ifndef CROWD
#define CROWD 1000
#endif
#define LOOKS 5
#define UFFDS 4

static pid_t pids[CROWD];

static uint64_t acquired_by(int i, uint64_t round)
{
	return 1000000 + 7 * (uint64_t)i + round * (uint64_t)(i % 5);
}

/* Each byte of the pipe is a round: some acquire more, others rest. */
static void live(int i, int ready_fd, int round_fd)
{
	struct fl__stats_about about = {
		.pool = "crowd",
		.backend = "linux",
		.rung = "track",
		.serial = 1,
		.how = FL_STATISTICS_PUBLISHED,
	};
	struct fl__stats *stats = NULL;
	char byte;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (int j = 0; j < UFFDS; j++)
		(void)syscall(SYS_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY);
	if (fl__stats_open(&about, &stats) || stats->fd < 0)
		_exit(1);
	fl__stats_add(stats, FL__WORD_memories_acquired, acquired_by(i, 0));
	for (uint64_t t = 1; t <= 100; t++)
		fl__stats_time(stats, FL__TIMES_release, t * 1000);
	for (;;) {
		if (write(ready_fd, "", 1) != 1 ||
		    read(round_fd, &byte, 1) != 1)
			_exit(0);
		fl__stats_add(stats, FL__WORD_memories_acquired,
			      (uint64_t)(i % 5));
		if (i % 5)
			fl__stats_time(stats, FL__TIMES_release, 5000);
	}
}

struct crowd {
	int ready[2], round[CROWD];
	int count;
};

static void all_ready(const struct crowd *crowd, int count)
{
	char byte;

	for (int i = 0; i < count; i++)
		MUST_EQ(read(crowd->ready[0], &byte, 1), 1);
}

/* What a host allows a user may be fewer. */
static void crowd_open(struct crowd *crowd)
{
	struct rlimit limit;

	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
	MUST_EQ(pipe(crowd->ready), 0);
	for (crowd->count = 0; crowd->count < CROWD; crowd->count++) {
		int i = crowd->count, fds[2];

		if (pipe2(fds, O_CLOEXEC))
			break;
		pids[i] = fork();
		if (!pids[i]) {
			for (int j = 0; j < i; j++)
				close(crowd->round[j]);
			close(fds[1]);
			close(crowd->ready[0]);
			live(i, crowd->ready[1], fds[0]);
		}
		close(fds[0]);
		crowd->round[i] = fds[1];
		if (pids[i] < 0) {
			close(fds[1]);
			break;
		}
	}
	if (crowd->count < CROWD)
		test_note("%d processes, more are not allowed here",
			  crowd->count);
	MUST(crowd->count > 0);
	all_ready(crowd, crowd->count);
}

static void crowd_close(struct crowd *crowd)
{
	for (int i = 0; i < crowd->count; i++) {
		kill(pids[i], SIGKILL);
		close(crowd->round[i]);
	}
	for (int i = 0; i < crowd->count; i++)
		waitpid(pids[i], NULL, 0);
	close(crowd->ready[0]);
	close(crowd->ready[1]);
}

static const struct stat_target *target_of(const struct stat_moment *moment,
					   int pid)
{
	for (size_t i = 0; i < moment->target_count; i++) {
		if (moment->targets[i].pid == pid)
			return &moment->targets[i];
	}
	return NULL;
}

static void check_all(const struct crowd *crowd,
		      const struct stat_moment *before,
		      const struct stat_moment *moment, uint64_t round)
{
	for (int i = 0; i < crowd->count; i++) {
		const struct stat_target *target = target_of(moment, pids[i]);
		const struct stat_sample *sample, *earlier;
		uint64_t count;

		MUST(target != NULL);
		MUST_EQ(target->pool_count, 1);
		sample = target->pools[0].sample;
		MUST(sample != NULL);
		CHECK_EQ(stat_value(sample, "memories_acquired"),
			 acquired_by(i, round));
		(void)stat_quantile(NULL, sample, "release", 500, &count);
		CHECK_EQ(count, 100 + (i % 5 ? round : 0));
		earlier = stat_earlier(before, target, sample);
		if (!before)
			continue;
		MUST(earlier != NULL);
		(void)stat_quantile(earlier, sample, "release", 500, &count);
		CHECK_EQ(count, i % 5 ? 1 : 0);
	}
}

static double cpu_ms(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1e3 +
	       (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e3;
}

static double look_and_print(struct stat_finder *finder, FILE *out,
			     const struct stat_moment *before,
			     struct stat_moment **now, struct stat_style *style)
{
	double start = cpu_ms();

	*now = stat_look(finder);
	MUST(*now != NULL);
	stat_print_columns(out, before, *now, style);
	fflush(out);
	return cpu_ms() - start;
}

static void a_thousand_processes(void)
{
	struct stat_finder *finder = stat_finder_new(NULL, 0, false);
	struct stat_moment *before = NULL, *now;
	struct stat_style style = { .lines = 0 };
	FILE *out = fopen("/dev/null", "w");
	double first = 0, later = 0, ms;
	struct crowd crowd;

	MUST(finder && out);
	crowd_open(&crowd);
	for (uint64_t look = 0; look < LOOKS; look++) {
		ms = look_and_print(finder, out, before, &now, &style);
		*(look ? &later : &first) += ms;
		check_all(&crowd, before, now, look);
		stat_moment_free(before);
		before = now;
		for (int i = 0; i < crowd.count; i++)
			MUST_EQ(write(crowd.round[i], "", 1), 1);
		all_ready(&crowd, crowd.count);
	}
	test_note("%d processes: %.0f ms of CPU at first, %.1f an interval",
		  crowd.count, first, later / (LOOKS - 1));
	/* Who is gone is gone, and nobody has another's number. */
	for (int i = 0; i < crowd.count; i += 3) {
		kill(pids[i], SIGKILL);
		waitpid(pids[i], NULL, 0);
	}
	now = stat_look(finder);
	MUST(now != NULL);
	for (int i = 0; i < crowd.count; i++) {
		const struct stat_target *target = target_of(now, pids[i]);

		CHECK_EQ(target != NULL, i % 3 != 0);
		if (target)
			CHECK_EQ(stat_value(target->pools[0].sample,
					    "memories_acquired"),
				 acquired_by(i, LOOKS));
	}
	stat_moment_free(before);
	stat_moment_free(now);
	stat_finder_free(finder);
	crowd_close(&crowd);
	fclose(out);
}

int main(int argc, char **argv)
{
	static const struct test_case cases[] = {
		TEST_CASE(a_thousand_processes),
	};

	return test_main(argc, argv, cases, TEST_ARRAY_SIZE(cases), NULL, 0);
}
