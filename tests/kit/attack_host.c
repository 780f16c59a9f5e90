/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/* attack_host.c - swap, KSM and large folios on demand; see attack_host.h. */
#define _GNU_SOURCE
#include "attack_host.h"

#include "check.h"
#include "clock.h"
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/swap.h>
#include <sys/wait.h>
#include <unistd.h>

#define SWAP_BYTES ((uint64_t)96 << 20)
#define TEMP_NAME "/faultline-test."
#define KSM "/sys/kernel/mm/ksm/"
#define THP "/sys/kernel/mm/transparent_hugepage/"

/* What is changed while the program runs, and put back after it. */
static const struct {
	enum attack_host for_what;
	const char *path;
	const char *value;
} settings[] = {
	{ ATTACK_KSM, KSM "run", "0" },
	{ ATTACK_KSM, KSM "sleep_millisecs", "0" },
	{ ATTACK_KSM, KSM "pages_to_scan", "20000" },
	{ ATTACK_KSM, KSM "smart_scan", "0" },
	{ ATTACK_KSM, KSM "use_zero_pages", "0" },
	{ ATTACK_HUGE, THP "khugepaged/scan_sleep_millisecs", "1" },
	{ ATTACK_HUGE, THP "khugepaged/alloc_sleep_millisecs", "1" },
	{ ATTACK_HUGE, THP "khugepaged/pages_to_scan", "65536" },
	{ ATTACK_HUGE, THP "hugepages-64kB/enabled", "madvise" },
	{ ATTACK_STRICT, "/proc/sys/vm/overcommit_memory", "2" },
};

/* From the janitor to the program, once everything is set up. */
struct host_report {
	unsigned int had;
	bool is_swap_file; /* ours, to be removed */
	char swap_path[4096];
	char why_no_swap[100];
};

static struct {
	struct host_report report;
	int hold_fd; /* closed: the janitor cleans up */
	pid_t janitor;
} host = { .hold_fd = -1 };

int attack_temp_open(char *path, size_t size)
{
	const char *dirs[] = { getenv("TMPDIR"), "/var/tmp", "." };

	for (size_t i = 0; i < TEST_ARRAY_SIZE(dirs); i++) {
		int fd;

		if (!dirs[i])
			continue;
		snprintf(path, size, "%s" TEMP_NAME "XXXXXX", dirs[i]);
		fd = mkostemp(path, O_CLOEXEC);
		if (fd >= 0)
			return fd;
	}
	return -1;
}

bool attack_write_text(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	bool is_done;

	if (fd < 0)
		return false;
	is_done = write(fd, text, strlen(text)) == (ssize_t)strlen(text);
	close(fd);
	return is_done;
}

long attack_read_number(const char *path)
{
	FILE *file = fopen(path, "re");
	long value = -1;

	if (file && fscanf(file, "%ld", &value) != 1)
		value = -1;
	if (file)
		fclose(file);
	return value;
}

/* Of "always [madvise] never" the word in brackets; one word as it is. */
static void setting_read(const char *path, char *value, size_t size)
{
	FILE *file = fopen(path, "re");
	char line[200], *start;

	value[0] = '\0';
	if (file && fgets(line, sizeof(line), file)) {
		line[strcspn(line, "\n")] = '\0';
		start = strchr(line, '[');
		if (start)
			start[strcspn(start, "]")] = '\0';
		snprintf(value, size, "%s", start ? start + 1 : line);
	}
	if (file)
		fclose(file);
}

/* A swap area as mkswap makes it: version 1, no bad pages. */
static bool swap_write(int fd, uint64_t len)
{
	uint64_t hpage = (uint64_t)sysconf(_SC_PAGESIZE);
	uint8_t *header = calloc(1, hpage);
	const uint32_t info[] = { 1, (uint32_t)(len / hpage - 1), 0 };
	bool is_done;

	if (!header)
		return false;
	memcpy(header + 1024, info, sizeof(info));
	memcpy(header + hpage - 10, "SWAPSPACE2", 10);
	is_done = pwrite(fd, header, hpage, 0) == (ssize_t)hpage && !fsync(fd);
	free(header);
	return is_done;
}

/* The kernel gives up where it has something else to do for the thread, signal or
 * none. What is left is less each time. */
static int swap_take(const char *path)
{
	int err = -1;

	for (int i = 0; i < 1000 && err; i++) {
		err = swapoff(path);
		if (err && errno != EINTR)
			break;
	}
	return err;
}

/* The swap file of a janitor that was killed: nobody holds its lock. */
static void swap_drop_if_left(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return;
	if (!flock(fd, LOCK_EX | LOCK_NB) && !swap_take(path))
		unlink(path);
	close(fd);
}

static void swaps_drop_left(void)
{
	FILE *file = fopen("/proc/swaps", "re");
	char line[4200];

	while (file && fgets(line, sizeof(line), file)) {
		line[strcspn(line, " \t\n")] = '\0';
		if (strstr(line, TEMP_NAME))
			swap_drop_if_left(line);
	}
	if (file)
		fclose(file);
}

/* A file of our own, or the device that FAULTLINE_TEST_SWAP names (zram, for
 * instance), unless it is in use. The file stays open and locked. */
static bool swap_make(struct host_report *report)
{
	const char *device = getenv("FAULTLINE_TEST_SWAP");
	bool is_made;
	int fd;

	if (device) {
		snprintf(report->swap_path, sizeof(report->swap_path), "%s",
			 device);
		fd = open(device, O_RDWR | O_EXCL | O_CLOEXEC);
		is_made = fd >= 0 &&
			  swap_write(fd, (uint64_t)lseek(fd, 0, SEEK_END));
	} else {
		fd = attack_temp_open(report->swap_path,
				      sizeof(report->swap_path));
		report->is_swap_file = fd >= 0;
		is_made = fd >= 0 && !flock(fd, LOCK_EX | LOCK_NB) &&
			  !fallocate(fd, 0, 0, SWAP_BYTES) &&
			  swap_write(fd, SWAP_BYTES);
	}
	if (fd >= 0 && !report->is_swap_file)
		close(fd);
	return is_made;
}

static void swap_on(struct host_report *report)
{
	if (!swap_make(report) || swapon(report->swap_path, 0))
		snprintf(report->why_no_swap, sizeof(report->why_no_swap),
			 "a swap area cannot be used: %s", strerror(errno));
	else
		report->had |= ATTACK_SWAP;
}

static void swap_off(const struct host_report *report)
{
	if (report->had & ATTACK_SWAP)
		swap_take(report->swap_path);
	if (report->is_swap_file)
		unlink(report->swap_path);
}

/* Programs that change the same settings wait for each other. */
static bool settings_lock(void)
{
	int fd = open(KSM "run", O_RDONLY | O_CLOEXEC);

	for (int i = 0; fd >= 0 && i < 1500; i++) {
		if (!flock(fd, LOCK_EX | LOCK_NB))
			return true;
		test_sleep_ms(100);
	}
	return false;
}

/* The process that puts back what was changed, whatever becomes of the program:
 * it sees the other end of the pipe close. */
static void janitor(unsigned int wanted, int hold_fd, int report_fd)
{
	static struct host_report report;
	char saved[TEST_ARRAY_SIZE(settings)][200];
	unsigned int lost = 0;
	char byte;

	setsid();
	signal(SIGINT, SIG_IGN);
	signal(SIGTERM, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	if (wanted & (ATTACK_KSM | ATTACK_HUGE) && !settings_lock())
		wanted &= ATTACK_SWAP;
	for (size_t i = 0; i < TEST_ARRAY_SIZE(settings); i++) {
		saved[i][0] = '\0';
		if (!(wanted & settings[i].for_what))
			continue;
		setting_read(settings[i].path, saved[i], sizeof(saved[i]));
		if (!attack_write_text(settings[i].path, settings[i].value) &&
		    saved[i][0])
			lost |= settings[i].for_what;
		report.had |= saved[i][0] ? settings[i].for_what : 0;
	}
	report.had &= ~lost;
	if (wanted & ATTACK_SWAP) {
		swaps_drop_left();
		swap_on(&report);
	}
	if (write(report_fd, &report, sizeof(report)) < 0)
		report.had |= 0;
	close(report_fd);
	while (read(hold_fd, &byte, 1) < 0 && errno == EINTR)
		;
	for (size_t i = 0; i < TEST_ARRAY_SIZE(settings); i++)
		if (saved[i][0])
			attack_write_text(settings[i].path, saved[i]);
	swap_off(&report);
	_exit(0);
}

void attack_host_open(unsigned int wanted)
{
	int hold[2], report[2];

	snprintf(host.report.why_no_swap, sizeof(host.report.why_no_swap),
		 "only root may add swap");
	if (geteuid() || pipe2(hold, O_CLOEXEC) || pipe2(report, O_CLOEXEC))
		return;
	host.janitor = fork();
	if (!host.janitor) {
		close(hold[1]);
		close(report[0]);
		janitor(wanted, hold[0], report[1]);
	}
	close(hold[0]);
	close(report[1]);
	host.hold_fd = hold[1];
	if (host.janitor < 0 ||
	    read(report[0], &host.report, sizeof(host.report)) < 0)
		host.report.had = 0;
	close(report[0]);
}

void attack_host_close(void)
{
	if (host.hold_fd < 0)
		return;
	close(host.hold_fd);
	waitpid(host.janitor, NULL, 0);
}

const char *attack_needs_root(void)
{
	return geteuid() ? "only root may do this to the host" : NULL;
}

const char *attack_needs_swap(void)
{
	return host.report.had & ATTACK_SWAP ? NULL : host.report.why_no_swap;
}

const char *attack_needs_ksm(void)
{
	if (attack_needs_root())
		return "only root may start KSM";
	return host.report.had & ATTACK_KSM ? NULL :
					      "KSM cannot be controlled here";
}

const char *attack_needs_huge(void)
{
	if (attack_needs_root())
		return "only root may change when folios are large";
	return host.report.had & ATTACK_HUGE ?
		       NULL :
		       "large folios cannot be controlled here";
}

const char *attack_needs_strict(void)
{
	if (attack_needs_root())
		return "only root may have every byte charged";
	return host.report.had & ATTACK_STRICT ?
		       NULL :
		       "vm.overcommit_memory cannot be set here";
}

bool attack_swap_cycle(void)
{
	if (swap_take(host.report.swap_path)) {
		test_note("swapoff: %s", strerror(errno));
		return false;
	}
	if (swapon(host.report.swap_path, 0)) {
		test_note("swapon: %s", strerror(errno));
		return false;
	}
	return true;
}
