/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * lazy_continue.c - lazy images whose pages are read to where they stay.
 *
 * No processor copies a page: the frame that the disk wrote is the one that guests
 * map, and the page cache has none. So the image's memory file has bytes that nobody
 * has checked, or that are wrong. No slot sees such a byte, whatever other slots of
 * the image do meanwhile, and whoever changes the file on its disk.
 */
#include "tests/conform/stats_page.h"
#include "tests/kit/clock.h"
#include "tests/kit/conform.h"
#include "tests/kit/page_source.h"
#include "tests/kit/procfs.h"
#include "tests/kit/random.h"
#include "tests/kit/trap.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGES ((uint64_t)48)
#define HPAGE ((uint64_t)4096)
#define SLOTS 6

/* Pages of zeroes inside the extent, which the file leaves out. */
static bool is_hole(uint64_t wpage)
{
	return wpage == 7 || wpage == 20 || wpage == 21;
}

#define HOLES 3

struct host {
	struct conform conform;
	struct test_file file;
	struct fl_page_source *source;
	struct fl_image *image;
	uint8_t *bytes;
	char path[64];
	int fd;
};

static struct fl_context *watched;
static struct fl_fault seen;

static void see(const void *addr)
{
	fl_fault_lookup(watched, addr, &seen);
}

static int open_published(const struct host *host,
			  struct fl_page_source *source,
			  enum fl_load_publish publish, struct fl_image **image,
			  struct fl_error *error)
{
	struct fl_load_config config;

	fl_load_config_init(&config);
	config.way = FL_LOAD_LAZY;
	config.publish = publish;
	return fl_image_open_source(host->conform.context, source, &config,
				    image, error);
}

static void image_open(struct host *host)
{
	struct fl_error error = { .text = "" };

	CONFORM_MUST(open_published(host, host->source, FL_PUBLISH_CONTINUE,
				    &host->image, &error),
		     &error);
}

static void image_close(struct host *host)
{
	CHECK_EQ(fl_pool_purge(host->conform.pool, NULL, host->image, NULL), 0);
	fl_image_release(host->image);
}

static void bytes_make(struct host *host)
{
	struct test_random random;

	host->bytes = calloc(PAGES, WPAGE);
	MUST(host->bytes != NULL);
	test_random_init(&random, 23);
	for (uint64_t i = 0; i < PAGES * WPAGE; i += 8) {
		uint64_t value = test_random_next(&random);

		if (!is_hole(i / WPAGE))
			memcpy(host->bytes + i, &value, 8);
	}
}

static void file_write(const struct host *host)
{
	MUST_EQ(pwrite(host->fd, host->file.bytes, host->file.len, 0),
		(ssize_t)host->file.len);
}

static void host_open(struct host *host)
{
	struct fl_error error = { .text = "" };
	struct fl_pool_config config;
	struct fl_image *plain;

	conform_pool_config(&config);
	config.max_memories = config.max_instances = SLOTS;
	config.audit_every = 1;
	conform_open(&host->conform, &config);
	bytes_make(host);
	plain = conform_image_of(&host->conform, PAGES * WPAGE, 0, host->bytes,
				 PAGES * WPAGE);
	host->file = test_file_of(plain);
	fl_image_release(plain);
	strcpy(host->path, "/tmp/fl-continue-XXXXXX");
	host->fd = mkstemp(host->path);
	MUST(host->fd >= 0);
	file_write(host);
	CONFORM_MUST(fl_page_source_from_file(host->path, -1, &host->source,
					      &error),
		     &error);
	image_open(host);
	watched = host->conform.context;
}

static void host_close(struct host *host)
{
	CHECK_EQ(conform_info(&host->conform).retired_memories, 0);
	fl_image_release(host->image);
	fl_page_source_release(host->source);
	conform_close(&host->conform);
	close(host->fd);
	unlink(host->path);
	free(host->file.bytes);
	free(host->bytes);
}

static struct fl_memory *take(struct host *host)
{
	return conform_take(&host->conform, host->image, 0);
}

static bool shows(const struct host *host, const struct fl_memory *memory)
{
	return !memcmp(memory->base, host->bytes, PAGES * WPAGE);
}

static uint64_t now(const char *name)
{
	return number_of_fd(procfs_find_fd("faultline-loads", 0), name);
}

/* Where the file has the page; holes are left out. */
static off_t file_off(const struct host *host, uint64_t wpage)
{
	uint64_t behind = 0;

	for (uint64_t w = wpage; w < PAGES; w++)
		behind += !is_hole(w);
	return (off_t)(host->file.len - behind * WPAGE);
}

/* The image's memory file, as it is, checked or not. */
static int memory_file(void)
{
	int fd = procfs_reopen(procfs_find_fd("faultline-image", 0), O_RDONLY);

	MUST(fd >= 0);
	return fd;
}

static struct procfs_mapping window;

static bool is_window(const struct procfs_mapping *mapping, void *arg)
{
	if (strstr(mapping->name, "faultline-image") &&
	    mapping->perms[3] == 's' &&
	    mapping->end - mapping->start == *(const uint64_t *)arg)
		window = *mapping;
	return true;
}

/* May the library write to what it shows of the file? */
static bool window_is_open(void)
{
	uint64_t len = PAGES * WPAGE;

	window.start = 0;
	procfs_each_mapping(is_window, &len);
	MUST(window.start != 0);
	return window.perms[1] == 'w';
}

/* -------------------------------------------------------------------- cases */

/* How many host pages of the image the page cache has of the file. */
static uint64_t cached(const struct host *host)
{
	return procfs_cached(host->fd, (uint64_t)file_off(host, 0));
}

/* Each frame that a guest maps is the memory file's own. */
static uint64_t frames_differ(const struct fl_memory *memory)
{
	int fd = memory_file();
	const volatile uint8_t *file =
		mmap(NULL, PAGES * WPAGE, PROT_READ, MAP_SHARED, fd, 0);
	uint64_t count = 0;

	MUST(file != MAP_FAILED);
	for (uint64_t off = 0; off < PAGES * WPAGE; off += HPAGE) {
		uint64_t frame;

		(void)file[off];
		(void)((const volatile uint8_t *)memory->base)[off];
		frame = procfs_frame(memory->base + off);
		count += !frame ||
			 frame != procfs_frame((const void *)(uintptr_t)(file +
									 off));
	}
	munmap((void *)(uintptr_t)file, PAGES * WPAGE);
	close(fd);
	return count;
}

/* What the disk wrote is what the guest maps: no other page ever had the bytes. By
 * copy, the page cache has them. */
static void nothing_is_copied(void)
{
	struct fl_error error = { .text = "" };
	struct fl_memory *memory, *second;
	struct host host;

	host_open(&host);
	procfs_drop_cached(host.fd);
	CHECK_EQ(cached(&host), 0);
	memory = take(&host);
	CHECK(shows(&host, memory));
	second = take(&host);
	CHECK(shows(&host, second));
	CHECK_EQ(now("bytes_copied"), 0);
	CHECK_EQ(cached(&host), 0);
	CHECK_EQ(frames_differ(memory), 0);
	CHECK_EQ(frames_differ(second), 0);
	conform_give(second);
	conform_give(memory);
	image_close(&host);
	CONFORM_MUST(open_published(&host, host.source, FL_PUBLISH_COPY,
				    &host.image, &error),
		     &error);
	memory = take(&host);
	CHECK(shows(&host, memory));
	CHECK_EQ(now("bytes_copied"), PAGES * WPAGE);
	conform_give(memory);
	host_close(&host);
}

/* Some bytes of a page of the file become others, and right again. */
static void page_harm(const struct host *host, uint64_t wpage)
{
	uint8_t wrong[300];
	off_t off = file_off(host, wpage) + 9 * (off_t)HPAGE;

	for (size_t i = 0; i < sizeof(wrong); i++)
		wrong[i] = (uint8_t)~host->file.bytes[(size_t)off + i];
	MUST_EQ(pwrite(host->fd, wrong, sizeof(wrong), off), sizeof(wrong));
}

static void check_lost(const uint8_t *at)
{
	uint8_t byte;

	memset(&seen, 0, sizeof(seen));
	test_threads_catch(see);
	CHECK(!test_thread_read(at, &byte));
	test_threads_catch_end();
	CHECK_EQ(seen.kind, FL_FAULT_NOT_LOADED);
	CHECK_EQ(seen.load_error, -ENOEXEC);
}

/* The page with wrong bytes is in the memory file, and in no slot: of those that were
 * there before, that were written before, and that come later. */
static void wrong_bytes_are_in_the_file_alone(void)
{
	const uint64_t w = 30, at = w * WPAGE + 9 * HPAGE;
	struct fl_memory *slots[SLOTS];
	struct fl_error error = { .text = "" };
	struct fl_image *copy = NULL;
	struct host host;
	uint8_t byte = 0;
	int fd;

	host_open(&host);
	page_harm(&host, w);
	for (int i = 0; i < 4; i++)
		slots[i] = take(&host);
	slots[1]->base[(w - 1) * WPAGE] ^= 1;
	CHECK_EQ(slots[1]->base[(w + 1) * WPAGE], host.bytes[(w + 1) * WPAGE]);
	check_lost(slots[0]->base + at);
	fd = memory_file();
	MUST_EQ(pread(fd, &byte, 1, (off_t)at), 1);
	CHECK_EQ(byte, (uint8_t)~host.bytes[at]);
	close(fd);
	check_lost(slots[1]->base + at);
	check_lost(slots[2]->base + w * WPAGE);
	CHECK_EQ(fl_memory_prefault(slots[3], at, 1), -ENOEXEC);
	CHECK_EQ(fl_image_read(host.image, at, &byte, 1), -EIO);
	CHECK(fl_image_from_memory(slots[3], NULL, &copy, &error) != 0);
	slots[4] = take(&host);
	CHECK_EQ(test_write_signal(slots[4]->base + at), SIGSEGV);
	CHECK_EQ(slots[4]->base[(w + 1) * WPAGE], host.bytes[(w + 1) * WPAGE]);
	file_write(&host);
	slots[5] = take(&host);
	CHECK(shows(&host, slots[5]));
	CHECK(shows(&host, slots[3]));
	for (int i = 0; i < SLOTS; i++)
		conform_give(slots[i]);
	slots[0] = take(&host);
	CHECK(shows(&host, slots[0]));
	conform_give(slots[0]);
	host_close(&host);
}

/* Once all is loaded, the kernel shows a slot what it touches, and asks nobody; and
 * nobody writes to the file any more. */
static void a_whole_image_is_shown_by_the_kernel(void)
{
	struct fl_memory *memory;
	struct host host;
	uint64_t waits;

	host_open(&host);
	memory = take(&host);
	for (uint64_t w = 0; w < PAGES / 2; w++)
		CHECK_EQ(memory->base[w * WPAGE + 5],
			 host.bytes[w * WPAGE + 5]);
	CHECK(window_is_open());
	CHECK(shows(&host, memory));
	(void)conform_loading(host.image, PAGES - HOLES);
	CHECK(!window_is_open());
	conform_give(memory);
	CHECK_EQ(fl_pool_trim(host.conform.pool, UINT64_MAX, NULL), 0);
	waits = now("waits_begun");
	memory = take(&host);
	CHECK(shows(&host, memory));
	memory->base[7 * WPAGE] = 1; /* a hole */
	conform_give(memory);
	memory = take(&host);
	CHECK(shows(&host, memory));
	conform_give(memory);
	CHECK_EQ(now("waits_begun"), waits);
	host_close(&host);
}

/* What a tenant wrote is told, and is the next one's no more: of pages that were
 * there, that came meanwhile, and that the file leaves out. */
static void written_round(struct host *host, struct test_random *random)
{
	struct fl_memory_run runs[PAGES * 16];
	struct fl_written info = { .size = sizeof(info) };
	struct fl_memory *memory = take(host);
	struct fl_error error = { .text = "" };
	uint64_t writes = test_random_below(random, 40);
	uint8_t *expected = malloc(PAGES * WPAGE);

	MUST(expected != NULL);
	memcpy(expected, host->bytes, PAGES * WPAGE);
	while (writes--) {
		uint64_t at = test_random_below(random, PAGES * WPAGE);

		memory->base[at] = expected[at] = (uint8_t)~host->bytes[at];
		if (writes % 3 == 0)
			at = test_random_below(random, PAGES * WPAGE);
		CHECK_EQ(memory->base[at], expected[at]);
	}
	if (test_random_below(random, 3) == 0)
		CHECK(!memcmp(memory->base, expected, PAGES * WPAGE));
	CONFORM_MUST(fl_memory_written(memory, 0, runs, PAGES * 16, &info,
				       &error),
		     &error);
	for (uint64_t i = 0; i < info.run_count; i++) {
		uint64_t off = runs[i].offset_bytes;

		CHECK(memcmp(expected + off, host->bytes + off,
			     runs[i].length_bytes) != 0);
		memcpy(expected + off, host->bytes + off, runs[i].length_bytes);
	}
	CHECK(!memcmp(expected, host->bytes, PAGES * WPAGE));
	if (test_random_below(random, 4) == 0)
		CHECK_EQ(fl_memory_reset(memory), 0);
	free(expected);
	conform_give(memory);
}

static void what_is_written_goes(void)
{
	struct test_random random;
	struct host host;

	test_random_init(&random, 3);
	host_open(&host);
	for (int i = 0; i < 120 && !test_has_failed(); i++) {
		written_round(&host, &random);
		if (i % 10 == 9)
			CHECK_EQ(fl_pool_trim(host.conform.pool, UINT64_MAX,
					      NULL),
				 0);
		if (i % 30 == 29) {
			image_close(&host);
			image_open(&host);
		}
	}
	host_close(&host);
}

/* The publishing that is asked for is had, or the reason says what is wanting. */
static void check_refused(const struct host *host,
			  struct fl_page_source *source, const char *why)
{
	struct fl_error error = { .text = "" };
	struct fl_image *image = NULL;

	CHECK_EQ(open_published(host, source, FL_PUBLISH_CONTINUE, &image,
				&error),
		 -ENOTSUP);
	if (!CHECK(strstr(error.text, why) != NULL))
		test_note("%s", error.text);
	CHECK_EQ(open_published(host, source, FL_PUBLISH_COPY, &image, &error),
		 0);
	fl_image_release(image);
}

static void check_disabled(const char *feature)
{
	struct conform_disabled before;
	struct fl_context *context;
	struct host host;

	host_open(&host);
	context = host.conform.context;
	before = conform_disable(feature);
	host.conform.context = conform_context();
	check_refused(&host, host.source, feature);
	fl_context_destroy(host.conform.context);
	host.conform.context = context;
	conform_enable(&before);
	host_close(&host);
}

static void check_packed(const struct host *host)
{
	struct fl_page_source *source = NULL;
	struct fl_image *plain =
		conform_image_of((struct conform *)(uintptr_t)&host->conform,
				 PAGES * WPAGE, 0, host->bytes, PAGES * WPAGE);
	struct test_file file = test_packed_file_of(plain);
	char path[64] = "/tmp/fl-continue-XXXXXX";
	int fd = mkstemp(path);

	MUST(fd >= 0);
	MUST_EQ(write(fd, file.bytes, file.len), (ssize_t)file.len);
	MUST_EQ(fl_page_source_from_file(NULL, fd, &source, NULL), 0);
	check_refused(host, source, "packed");
	fl_page_source_release(source);
	close(fd);
	unlink(path);
	free(file.bytes);
	fl_image_release(plain);
}

static void check_invalid(const struct host *host)
{
	struct fl_error error = { .text = "" };
	struct fl_load_config config;
	struct fl_image *image = NULL;

	fl_load_config_init(&config);
	CHECK_EQ(config.publish, FL_PUBLISH_DEFAULT);
	config.publish = FL_PUBLISH_CONTINUE;
	CHECK_EQ(fl_image_open_source(host->conform.context, host->source,
				      &config, &image, &error),
		 -EINVAL);
	CHECK_EQ(open_published(host, host->source, (enum fl_load_publish)3,
				&image, &error),
		 -EINVAL);
}

static void it_is_had_or_refused(void)
{
	struct fl_page_source *source = NULL;
	struct host host;

	host_open(&host);
	check_invalid(&host);
	MUST_EQ(fl_page_source_from_bytes(host.file.bytes, host.file.len, NULL,
					  NULL, &source, NULL),
		0);
	check_refused(&host, source, "no file");
	fl_page_source_release(source);
	if (!test_needs_zstd())
		check_packed(&host);
	host_close(&host);
	check_disabled("uffd-minor");
	check_disabled("io-uring");
}

/* ------------------------------------------------------- children and users */

static int child_reads(void *arg)
{
	const struct fl_memory *memory = arg;

	for (uint64_t w = 0; w < PAGES; w += 5) {
		if (test_read_signal(memory->base + w * WPAGE) != SIGSEGV)
			return 1;
	}
	return 0;
}

/* A child has neither the slots nor what the ring writes to. */
static void a_child_has_no_page(void)
{
	struct fl_memory *memory;
	struct host host;

	host_open(&host);
	memory = take(&host);
	CHECK_EQ(memory->base[3 * WPAGE], host.bytes[3 * WPAGE]);
	conform_check_child(child_reads, memory);
	CHECK(shows(&host, memory));
	conform_give(memory);
	host_close(&host);
}

/* A system call gets EFAULT where this memory has not touched a page, and not after a
 * prefault, loaded or not. */
static int unprivileged(void *arg)
{
	struct fl_memory *memory, *other;
	struct host host;
	int fds[2];

	(void)arg;
	MUST_EQ(setgid(65534), 0);
	MUST_EQ(setuid(65534), 0);
	MUST_EQ(pipe(fds), 0);
	host_open(&host);
	other = take(&host);
	CHECK_EQ(other->base[4 * WPAGE], host.bytes[4 * WPAGE]);
	memory = take(&host);
	CHECK_EQ(write(fds[1], memory->base + 9 * WPAGE, 10), -1);
	CHECK_EQ(errno, EFAULT);
	for (uint64_t w = 4; w < 24; w += 3) {
		CHECK_EQ(fl_memory_prefault(memory, w * WPAGE + 20, 10), 0);
		CHECK_EQ(write(fds[1], memory->base + w * WPAGE, 10), 10);
		CHECK_EQ(read(fds[0], memory->base + w * WPAGE + 100, 10), 10);
		CHECK(!memcmp(memory->base + w * WPAGE + 100,
			      host.bytes + w * WPAGE, 10));
	}
	CHECK_EQ(fl_memory_prefault(memory, 0, PAGES * WPAGE), 0);
	CHECK_EQ(write(fds[1], memory->base + 40 * WPAGE, 10), 10);
	conform_give(memory);
	memory = take(&host);
	CHECK(shows(&host, memory));
	conform_give(memory);
	conform_give(other);
	host_close(&host);
	close(fds[0]);
	close(fds[1]);
	return test_has_failed();
}

static void without_privilege(void)
{
	conform_check_child(unprivileged, NULL);
}

/* ------------------------------------------------------------------- storm */

struct stormer {
	pthread_t thread;
	struct host *host;
	uint64_t seed, end_ns;
	uint64_t reads, traps;
};

/* Random reads and writes, up to the first trap. */
static void storm_tenant(struct stormer *stormer, struct test_random *random)
{
	struct host *host = stormer->host;
	struct fl_memory *memory = take(host);
	uint64_t count = 1 + test_random_below(random, 80);

	while (count--) {
		uint64_t at = test_random_below(random, PAGES * WPAGE);
		uint8_t byte;

		if (!test_thread_read(memory->base + at, &byte)) {
			stormer->traps++;
			break;
		}
		CHECK_EQ(byte, host->bytes[at]);
		stormer->reads++;
		if (count % 4 == 0) {
			memory->base[at] ^= 0xff;
			CHECK_EQ(memory->base[at], host->bytes[at] ^ 0xff);
			memory->base[at] ^= 0xff;
		}
		if (count == 3)
			memset(memory->base + at / HPAGE * HPAGE, 0xd1, HPAGE);
		if (count == 3)
			break;
	}
	CHECK_EQ(fl_memory_release(memory), 0);
}

static void *storm_run(void *arg)
{
	struct stormer *stormer = arg;
	struct test_random random;

	test_random_init(&random, stormer->seed);
	while (test_now_ns() < stormer->end_ns && !test_has_failed())
		storm_tenant(stormer, &random);
	return NULL;
}

/* The file's bytes change and change back while they are read. */
static void *harm_run(void *arg)
{
	struct stormer *stormer = arg;
	const struct host *host = stormer->host;
	struct test_random random;

	test_random_init(&random, stormer->seed);
	while (test_now_ns() < stormer->end_ns) {
		uint64_t w = test_random_below(&random, PAGES);

		if (is_hole(w))
			continue;
		page_harm(host, w);
		if (test_random_below(&random, 2))
			usleep(200);
		MUST_EQ(pwrite(host->fd, host->file.bytes + file_off(host, w),
			       WPAGE, file_off(host, w)),
			WPAGE);
	}
	return NULL;
}

static void storm_round(uint64_t round, uint64_t *reads, uint64_t *traps)
{
	struct stormer stormers[SLOTS];
	struct host host;

	host_open(&host);
	for (uint64_t i = 0; i < SLOTS; i++) {
		stormers[i] = (struct stormer){
			.host = &host,
			.seed = round * SLOTS + i + 1,
			.end_ns = test_now_ns() + 25000000,
		};
		MUST_EQ(pthread_create(&stormers[i].thread, NULL,
				       i ? storm_run : harm_run, &stormers[i]),
			0);
	}
	for (int i = 0; i < SLOTS; i++) {
		pthread_join(stormers[i].thread, NULL);
		*reads += stormers[i].reads;
		*traps += stormers[i].traps;
	}
	host_close(&host);
}

static void a_file_that_changes_as_it_is_read(void)
{
	uint64_t reads = 0, traps = 0;

	test_threads_catch(NULL);
	for (uint64_t i = 0; i < 40 && !test_has_failed(); i++)
		storm_round(i, &reads, &traps);
	test_threads_catch_end();
	CHECK(reads > 0);
	test_note("%llu reads, %llu traps", (unsigned long long)reads,
		  (unsigned long long)traps);
}

static const char *needs_frames(void)
{
	int here = 1;

	if (!procfs_frame(&here))
		return "this process sees no frame numbers";
	return conform_needs_continue();
}

static const char *needs_unprivileged(void)
{
	if (geteuid())
		return "only root can become somebody else";
	if (!access("/dev/userfaultfd", F_OK) &&
	    procfs_sysctl("vm/unprivileged_userfaultfd") == 1)
		return "every user has the whole userfaultfd here";
	return conform_needs_continue();
}

static const struct test_case cases[] = {
	TEST_CASE_NEEDS(nothing_is_copied, needs_frames),
	TEST_CASE_NEEDS(wrong_bytes_are_in_the_file_alone,
			conform_needs_continue),
	TEST_CASE_NEEDS(a_whole_image_is_shown_by_the_kernel,
			conform_needs_continue),
	TEST_CASE_NEEDS(what_is_written_goes, conform_needs_continue),
	TEST_CASE_NEEDS(it_is_had_or_refused, conform_needs_continue),
	TEST_CASE_NEEDS(a_child_has_no_page, conform_needs_continue),
	TEST_CASE_NEEDS(without_privilege, needs_unprivileged),
	TEST_CASE_NEEDS(a_file_that_changes_as_it_is_read,
			conform_needs_continue),
};

CONFORM_MAIN(cases)
