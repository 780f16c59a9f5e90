/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/* attack.c - tenancies, picks, host events, rings; see attack.h. */
#define _GNU_SOURCE
#include "attack.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/swap.h>
#include <sys/syscall.h>
#include <sys/wait.h>

bool attack_wants_evidence;

/* ---------------------------------------------------------------- tenancies */

/* Page i of an image begins with a byte that says so; none is zero. */
static void fill_pattern(uint8_t *bytes, uint64_t len, unsigned int salt)
{
	for (uint64_t i = 0; i < len; i++)
		bytes[i] = (uint8_t)(i % 249 + i / 4096 * 7 + salt) | 1;
}

static const struct {
	uint64_t initial_bytes;
	struct {
		uint64_t start, end;
	} data[2];
} kinds[ATTACK_KINDS] = {
	[ATTACK_SMALL_IMAGE] = { 6 * MIB,
				 { { 128 * KIB + 40, 1536 * KIB - 3 },
				   { 2304 * KIB, 2560 * KIB + 1000 } } },
	[ATTACK_LARGE_IMAGE] = { 5 * MIB, { { MIB, 4608 * KIB }, { 0, 0 } } },
	[ATTACK_NO_IMAGE] = { 3 * MIB, { { 0, 0 }, { 0, 0 } } },
};

/* What each kind shows, built once: it costs more than most cases. */
static struct model kind_models[ATTACK_KINDS];
static uint8_t *kind_bytes[ATTACK_KINDS][2];

static size_t kind_segments(enum attack_kind kind, struct fl_segment *segments)
{
	size_t count = 0;

	while (count < 2 && kinds[kind].data[count].end) {
		uint64_t start = kinds[kind].data[count].start;
		uint64_t len = kinds[kind].data[count].end - start;
		uint8_t **bytes = &kind_bytes[kind][count];

		if (!*bytes) {
			*bytes = malloc(len);
			MUST(*bytes != NULL);
			fill_pattern(*bytes, len,
				     (unsigned int)kind * 50 + (unsigned)count);
		}
		segments[count].offset_bytes = start;
		segments[count].bytes = *bytes;
		segments[count].length_bytes = len;
		count++;
	}
	return count;
}

static void kind_build(struct attack *attack, enum attack_kind kind)
{
	struct model *model = &kind_models[kind];
	struct fl_segment segments[2];
	size_t count = kind_segments(kind, segments);

	/* As long as any memory: what is beyond the image is zero. */
	if (!model->length_bytes) {
		model_init(model, ATTACK_MAX_BYTES, ATTACK_MAX_BYTES, WPAGE);
		model_apply(model, segments, count);
	}
	attack->images[kind] = count ? conform_image(&attack->conform,
						     kinds[kind].initial_bytes,
						     segments, count) :
				       NULL;
}

void attack_pool_config(struct fl_pool_config *config)
{
	conform_pool_config(config);
	config->max_memories = 1;
	config->max_memory_bytes = ATTACK_MAX_BYTES;
	config->memory_alignment_bytes = 2 * MIB;
	config->prefix_bytes = ATTACK_PREFIX_BYTES;
}

void attack_open_with(struct attack *attack,
		      const struct fl_pool_config *config)
{
	memset(attack, 0, sizeof(*attack));
	test_random_init(&attack->random, 4);
	conform_open(&attack->conform, config);
	attack->prefix_bytes = config->prefix_bytes;
	attack->is_guarded = config->bounds == FL_BOUNDS_GUARDED;
	attack->models = kind_models;
	for (int kind = 0; kind < ATTACK_KINDS; kind++)
		kind_build(attack, (enum attack_kind)kind);
}

void attack_open(struct attack *attack, enum fl_bounds bounds)
{
	struct fl_pool_config config;

	attack_pool_config(&config);
	config.bounds = bounds;
	attack_open_with(attack, &config);
}

void attack_close(struct attack *attack)
{
	for (int kind = 0; kind < ATTACK_KINDS; kind++)
		fl_image_release(attack->images[kind]);
	conform_close(&attack->conform);
}

bool attack_rung_keeps_pages(void)
{
	return strcmp(test_rung->how, "dontneed") &&
	       strcmp(test_rung->how, "discard");
}

bool attack_rung_tracks(void)
{
	return !strcmp(test_rung->how, "track");
}

uint64_t attack_diff(const struct tenant *tenant)
{
	return model_diff_range(&tenant->attack->models[tenant->kind],
				tenant->memory, 0, tenant->length_bytes);
}

bool attack_check(const struct tenant *tenant)
{
	uint64_t diff = attack_diff(tenant);
	uint64_t prefix = tenant->attack->prefix_bytes;
	const uint8_t *before;

	if (!CHECK_EQ(diff, MODEL_EQUAL)) {
		test_note("tenancy %u, kind %d, host page %ju holds 0x%02x",
			  tenant->cycle, (int)tenant->kind,
			  (uintmax_t)(diff / conform_hpage()),
			  tenant->base[diff]);
		return false;
	}
	if (!prefix)
		return true;
	prefix = conform_round_up(prefix, conform_hpage());
	before = tenant->base - prefix;
	return CHECK_EQ(conform_first_data(before, prefix), prefix);
}

void attack_begin(struct attack *attack, struct tenant *tenant,
		  enum attack_kind kind)
{
	memset(tenant, 0, sizeof(*tenant));
	tenant->attack = attack;
	tenant->kind = kind;
	tenant->cycle = attack->cycle++;
	tenant->memory = conform_take(&attack->conform, attack->images[kind],
				      kinds[kind].initial_bytes);
	tenant->base = tenant->memory->base;
	tenant->length_bytes = fl_memory_length(tenant->memory);
}

void attack_grow(struct tenant *tenant, uint64_t delta_wpages)
{
	uint64_t room = (ATTACK_MAX_BYTES - tenant->length_bytes) / WPAGE;

	if (delta_wpages > room)
		delta_wpages = room;
	CHECK_EQ(fl_memory_grow(tenant->memory, delta_wpages, NULL), 0);
	tenant->length_bytes = fl_memory_length(tenant->memory);
}

void attack_end(struct tenant *tenant)
{
	CHECK_EQ(fl_memory_release(tenant->memory), 0);
	CHECK_EQ(conform_info(&tenant->attack->conform).retired_memories, 0);
}

/* -------------------------------------------------------------------- picks */

void attack_pick(struct tenant *tenant, uint32_t hpage_idx)
{
	if (hpage_idx >= tenant->length_bytes / conform_hpage() ||
	    tenant->pick_count == ATTACK_MAX_PICKS)
		return;
	for (uint32_t i = 0; i < tenant->pick_count; i++) {
		if (tenant->picks[i] == hpage_idx)
			return;
	}
	tenant->picks[tenant->pick_count++] = hpage_idx;
}

void attack_pick_run(struct tenant *tenant, uint32_t first, uint32_t count)
{
	while (count--)
		attack_pick(tenant, first++);
}

/* Hot: in data, across page tables, in zeroes between data, in the zeroes
 * behind. For six tenancies of twelve: thirty more, so that they cost a sweep
 * while nobody writes them. */
void attack_pick_by_cycle(struct tenant *tenant)
{
	static const uint32_t hot[] = { 40, 41, 400, 511, 512, 1300 };
	struct test_random *random = &tenant->attack->random;
	uint32_t count = (uint32_t)(tenant->length_bytes / conform_hpage());
	unsigned int cycle = tenant->cycle;

	/* Nothing at all; what was missed before would show now. */
	if (cycle % 9 == 5)
		return;
	for (size_t i = 0; i < TEST_ARRAY_SIZE(hot); i++)
		attack_pick(tenant, hot[i]);
	if (cycle / 6 % 2 == 0)
		for (uint32_t i = 0; i < 30; i++)
			attack_pick(tenant, 100 + 17 * i);
	for (unsigned int i = 0; i < cycle % 5 * 3; i++)
		attack_pick(tenant, (uint32_t)test_random_below(random, count));
	if (cycle % 7 == 3)
		attack_pick_run(tenant,
				(uint32_t)test_random_below(random, count), 80);
	attack_pick(tenant, count - 1);
}

uint8_t *attack_picked(const struct tenant *tenant, uint32_t pick_idx)
{
	return tenant->base + tenant->picks[pick_idx] * conform_hpage();
}

/* Whole pages, one byte, and zeroes, which may be what was there. */
void attack_write(struct tenant *tenant)
{
	uint64_t hpage = conform_hpage();

	for (uint32_t i = 0; i < tenant->pick_count; i++) {
		uint8_t *at = attack_picked(tenant, i);

		if (i % 4 == 0)
			memset(at, 0xd0 + (int)(i % 16), hpage);
		else if (i % 4 == 3 && tenant->cycle % 2)
			memset(at, 0, hpage);
		else
			at[test_random_below(&tenant->attack->random, hpage)] ^=
				0xff;
	}
}

void attack_count_dirt(struct tenant *tenant)
{
	uint64_t hpage = conform_hpage();

	for (uint32_t i = 0; i < tenant->pick_count; i++) {
		uint64_t diff = model_diff_range(
			&tenant->attack->models[tenant->kind], tenant->memory,
			tenant->picks[i] * hpage, hpage);

		tenant->attack->dirt += diff != MODEL_EQUAL;
	}
	tenant->was_counted = true;
}

/* The same image long enough for an engine to learn, then switches. */
static enum attack_kind kind_of(unsigned int cycle)
{
	if (cycle < 24)
		return ATTACK_SMALL_IMAGE;
	if (cycle >= 28 && cycle < 35)
		return ATTACK_LARGE_IMAGE;
	return (enum attack_kind)(cycle % ATTACK_KINDS);
}

static void run_tenancy(struct attack *attack, attack_fn *fn)
{
	struct tenant tenant;

	attack_begin(attack, &tenant, kind_of(attack->cycle % 40));
	/* Reading is an access too: not every time. */
	if (tenant.cycle < 4 || test_random_below(&attack->random, 10) < 7)
		attack_check(&tenant);
	if (attack->is_guarded && tenant.cycle % 4 == 3)
		CHECK(test_traps(tenant.base + tenant.length_bytes));
	if (tenant.cycle % 4 == 2)
		attack_grow(&tenant, tenant.cycle % 16 + 1);
	attack_pick_by_cycle(&tenant);
	/* All that can be written there, not only what was asked for. */
	memset(tenant.base - conform_hpage(), 0xee, conform_hpage());
	fn(&tenant);
	if (!tenant.was_counted)
		attack_count_dirt(&tenant);
	attack_end(&tenant);
}

static void run_pool(attack_fn *fn, enum fl_bounds bounds, unsigned int cycles)
{
	struct attack attack;
	struct tenant tenant;

	attack_open(&attack, bounds);
	for (unsigned int i = 0; i < cycles && !test_has_failed(); i++)
		run_tenancy(&attack, fn);
	for (int kind = 0; kind < ATTACK_KINDS && !test_has_failed(); kind++) {
		attack_begin(&attack, &tenant, (enum attack_kind)kind);
		attack_grow(&tenant, ATTACK_MAX_BYTES / WPAGE);
		attack_check(&tenant);
		attack_end(&tenant);
	}
	/* A means that does nothing proves nothing. */
	CHECK(attack.dirt >= cycles);
	if (attack_wants_evidence)
		CHECK(attack.evidence > 0);
	if (attack.evidence)
		test_note("the kernel did it %u times", attack.evidence);
	attack_close(&attack);
}

void attack_repeat_times(attack_fn *fn, unsigned int cycles)
{
	if (!attack_rung_keeps_pages())
		cycles = cycles * 3 / 10 + 4;
	run_pool(fn, FL_BOUNDS_GUARDED, cycles);
	if (!test_has_failed())
		run_pool(fn, FL_BOUNDS_ACCESSIBLE, cycles / 2);
}

void attack_repeat(attack_fn *fn)
{
	attack_repeat_times(fn, 40);
}

/* -------------------------------------------------------------------- pages */

#define PAGEMAP_SWAPPED ((uint64_t)1 << 62)

uint64_t attack_swapped(const void *addr, uint64_t len)
{
	uint64_t hpage = conform_hpage(), count = 0, entries[512];
	uint64_t at = (uintptr_t)addr / hpage, end = at + len / hpage;
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);

	while (fd >= 0 && at < end) {
		uint64_t n = end - at < 512 ? end - at : 512;
		ssize_t got = pread(fd, entries, n * 8, (off_t)(at * 8));

		if (got <= 0)
			break;
		for (ssize_t i = 0; i < got / 8; i++)
			count += !!(entries[i] & PAGEMAP_SWAPPED);
		at += (uint64_t)got / 8;
	}
	if (fd >= 0)
		close(fd);
	return count;
}

/* -------------------------------------------------------------- descriptors */

int attack_find_fd(const char *text, unsigned int idx)
{
	char path[300], target[300];
	struct dirent *entry;
	DIR *dir = opendir("/proc/self/fd");
	int fd = -1;

	while (dir && fd < 0 && (entry = readdir(dir))) {
		ssize_t len;

		snprintf(path, sizeof(path), "/proc/self/fd/%s", entry->d_name);
		len = readlink(path, target, sizeof(target) - 1);
		if (len <= 0)
			continue;
		target[len] = '\0';
		if (strstr(target, text) && !idx--)
			fd = atoi(entry->d_name);
	}
	if (dir)
		closedir(dir);
	return fd;
}

static int temp_open(char *path, size_t size)
{
	const char *dirs[] = { getenv("TMPDIR"), "/var/tmp", "." };

	for (size_t i = 0; i < TEST_ARRAY_SIZE(dirs); i++) {
		int fd;

		if (!dirs[i])
			continue;
		snprintf(path, size, "%s/faultline-test.XXXXXX", dirs[i]);
		fd = mkostemp(path, O_CLOEXEC);
		if (fd >= 0)
			return fd;
	}
	return -1;
}

int attack_file_open(int flags)
{
	uint8_t *bytes = malloc(ATTACK_FILE_BYTES);
	char path[4096];
	int fd = temp_open(path, sizeof(path)), again = -1;

	if (fd >= 0 && bytes) {
		memset(bytes, 0xa7, ATTACK_FILE_BYTES);
		if (write(fd, bytes, ATTACK_FILE_BYTES) ==
		    (ssize_t)ATTACK_FILE_BYTES)
			again = open(path, O_RDWR | O_CLOEXEC | flags);
		unlink(path);
	}
	if (fd >= 0) {
		fsync(fd);
		close(fd);
	}
	free(bytes);
	return again;
}

/* --------------------------------------------------------------------- host */

#define SWAP_BYTES ((uint64_t)96 << 20)
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
	uint64_t hpage = conform_hpage();
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

/* A file of our own, or the device that FAULTLINE_TEST_SWAP names (zram, for
 * instance), unless it is in use. */
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
		fd = temp_open(report->swap_path, sizeof(report->swap_path));
		report->is_swap_file = fd >= 0;
		is_made = fd >= 0 && !fallocate(fd, 0, 0, SWAP_BYTES) &&
			  swap_write(fd, SWAP_BYTES);
	}
	if (fd >= 0)
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
		swapoff(report->swap_path);
	if (report->is_swap_file)
		unlink(report->swap_path);
}

/* Programs that change the same settings wait for each other. */
static bool settings_lock(void)
{
	int fd = open(KSM "run", O_RDONLY | O_CLOEXEC);

	for (int i = 0; fd >= 0 && i < 600; i++) {
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
	if (wanted & ATTACK_SWAP)
		swap_on(&report);
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

bool attack_swap_cycle(void)
{
	return !swapoff(host.report.swap_path) &&
	       !swapon(host.report.swap_path, 0);
}

/* ----------------------------------------------------------------- io_uring */

#define RING_ENTRIES 8

const char *attack_needs_ring(void)
{
	static char reason[100];
	struct attack_ring ring;

	if (attack_ring_open(&ring)) {
		attack_ring_close(&ring);
		return NULL;
	}
	snprintf(reason, sizeof(reason), "io_uring cannot be used: %s",
		 strerror(errno));
	return reason;
}

static uint64_t max_u64(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

static uint32_t *ring_word(struct attack_ring *ring, uint32_t off)
{
	return (uint32_t *)(void *)(ring->rings + off);
}

bool attack_ring_open(struct attack_ring *ring)
{
	struct io_uring_params params = { 0 };

	memset(ring, 0, sizeof(*ring));
	ring->fd = (int)syscall(SYS_io_uring_setup, RING_ENTRIES, &params);
	if (ring->fd < 0)
		return false;
	ring->sqes_bytes = params.sq_entries * sizeof(struct io_uring_sqe);
	ring->rings_bytes = max_u64(
		params.sq_off.array + params.sq_entries * sizeof(uint32_t),
		params.cq_off.cqes +
			params.cq_entries * sizeof(struct io_uring_cqe));
	ring->rings = mmap(NULL, ring->rings_bytes, PROT_READ | PROT_WRITE,
			   MAP_SHARED | MAP_POPULATE, ring->fd,
			   IORING_OFF_SQ_RING);
	ring->sqes = mmap(NULL, ring->sqes_bytes, PROT_READ | PROT_WRITE,
			  MAP_SHARED | MAP_POPULATE, ring->fd, IORING_OFF_SQES);
	if (ring->rings == MAP_FAILED || ring->sqes == MAP_FAILED)
		return false;
	ring->sq_tail_off = params.sq_off.tail;
	ring->sq_array_off = params.sq_off.array;
	ring->sq_mask = *ring_word(ring, params.sq_off.ring_mask);
	ring->cq_head_off = params.cq_off.head;
	ring->cq_tail_off = params.cq_off.tail;
	ring->cq_mask = *ring_word(ring, params.cq_off.ring_mask);
	ring->cqes_off = params.cq_off.cqes;
	return true;
}

void attack_ring_close(struct attack_ring *ring)
{
	munmap(ring->rings, ring->rings_bytes);
	munmap(ring->sqes, ring->sqes_bytes);
	close(ring->fd);
}

bool attack_ring_submit(struct attack_ring *ring, const struct attack_op *op)
{
	uint32_t *tail = ring_word(ring, ring->sq_tail_off);
	uint32_t idx = *tail & ring->sq_mask;
	struct io_uring_sqe *sqe = (struct io_uring_sqe *)ring->sqes + idx;

	memset(sqe, 0, sizeof(*sqe));
	sqe->opcode = op->opcode;
	sqe->flags = op->flags;
	sqe->fd = op->fd;
	sqe->addr = (uintptr_t)op->addr;
	sqe->len = op->len;
	sqe->off = op->off;
	sqe->buf_index = op->buf_idx;
	sqe->user_data = op->user;
	ring_word(ring, ring->sq_array_off)[idx] = idx;
	__atomic_store_n(tail, *tail + 1, __ATOMIC_RELEASE);
	return syscall(SYS_io_uring_enter, ring->fd, 1, 0, 0, NULL, 0) == 1;
}

int attack_ring_reap(struct attack_ring *ring, uint64_t *user, uint32_t *flags)
{
	uint32_t *head = ring_word(ring, ring->cq_head_off);
	uint32_t *tail = ring_word(ring, ring->cq_tail_off);
	const struct io_uring_cqe *cqe;
	int res;

	while (*head == __atomic_load_n(tail, __ATOMIC_ACQUIRE)) {
		if (syscall(SYS_io_uring_enter, ring->fd, 0, 1,
			    IORING_ENTER_GETEVENTS, NULL, 0) < 0 &&
		    errno != EINTR)
			return -errno;
	}
	cqe = (const struct io_uring_cqe *)(const void *)(ring->rings +
							  ring->cqes_off) +
	      (*head & ring->cq_mask);
	res = cqe->res;
	if (user)
		*user = cqe->user_data;
	if (flags)
		*flags = cqe->flags;
	__atomic_store_n(head, *head + 1, __ATOMIC_RELEASE);
	return res;
}

int attack_ring_do(struct attack_ring *ring, const struct attack_op *op)
{
	if (!attack_ring_submit(ring, op))
		return -errno;
	return attack_ring_reap(ring, NULL, NULL);
}

int attack_ring_register(struct attack_ring *ring, unsigned int opcode,
			 void *arg, unsigned int count)
{
	long res = syscall(SYS_io_uring_register, ring->fd, opcode, arg, count);

	return res < 0 ? -errno : (int)res;
}
