/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * lazy.c - images whose pages are loaded when a tenant first touches them.
 *
 * Every tenant of every slot sees the image and nothing else, while pages come
 * late, in parts, twice and out of order. What cannot be loaded is a trap with a
 * reason and no hang, and the next tenant tries again. Nothing is left over:
 * the kit counts threads, descriptors and mappings after each case.
 */
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
#include <sched.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#define PAGES 50
#define DATA 38 /* pages of the file */
#define HPAGE ((uint64_t)4096)
/* In which a page comes, however busy the host. */
#define PATIENCE_MS 40000

/* An image in memory, its file, a source of the file, a lazy image of it. */
struct lazy {
	struct conform conform;
	struct fl_image *plain;
	struct test_file file;
	struct test_source source;
	struct fl_image *image;
	uint8_t *bytes; /* of all pages */
};

static struct fl_context *watched;
static struct fl_fault seen;

static void see(const void *addr)
{
	fl_fault_lookup(watched, addr, &seen);
}

/* Noise, with pages of zeroes inside the extent, which the file leaves out. Of two
 * pages in three the second half is not noise: these can be packed. */
static void bytes_fill(uint8_t *bytes)
{
	struct test_random random;

	test_random_init(&random, 5);
	memset(bytes, 0, PAGES * WPAGE);
	for (uint64_t w = 1; w < 1 + DATA + 3; w++) {
		if (w == 7 || w == 20 || w == 21)
			continue;
		for (uint64_t i = w * WPAGE; i < (w + 1) * WPAGE; i += 8) {
			uint64_t value = test_random_next(&random);

			if (w % 3 && i % WPAGE >= WPAGE / 2)
				value = w;
			memcpy(bytes + i, &value, 8);
		}
	}
}

static struct fl_image *must_open(struct conform *conform,
				  struct fl_page_source *source,
				  uint64_t deadline_ns)
{
	struct fl_error error = { .text = "" };
	struct fl_load_config config;
	struct fl_image *image = NULL;
	int err;

	fl_load_config_init(&config);
	config.way = FL_LOAD_LAZY;
	config.deadline_ns = deadline_ns;
	/* Where the machine is busy, opening may take longer than a load may. */
	do
		err = fl_image_open_source(conform->context, source, &config,
					   &image, &error);
	while (err == -ETIMEDOUT);
	CONFORM_MUST(err, &error);
	return image;
}

static void lazy_open_file(struct lazy *lazy, bool is_async, bool is_packed,
			   uint64_t deadline_ms)
{
	struct fl_pool_config config;

	conform_pool_config(&config);
	config.max_memories = 8;
	config.max_instances = 8;
	conform_open(&lazy->conform, &config);
	lazy->bytes = malloc(PAGES * WPAGE);
	MUST(lazy->bytes != NULL);
	bytes_fill(lazy->bytes);
	lazy->plain = conform_image_of(&lazy->conform, PAGES * WPAGE, 0,
				       lazy->bytes, PAGES * WPAGE);
	lazy->file = is_packed ? test_packed_file_of(lazy->plain) :
				 test_file_of(lazy->plain);
	test_source_open(&lazy->source, lazy->file, is_async);
	lazy->image = must_open(&lazy->conform, lazy->source.source,
				deadline_ms * 1000000);
	watched = lazy->conform.context;
}

static void lazy_open(struct lazy *lazy, bool is_async, uint64_t deadline_ms)
{
	lazy_open_file(lazy, is_async, false, deadline_ms);
}

/* Every kind of source, and of file. */
static int ways(void)
{
	return test_needs_zstd() ? 2 : 4;
}

static void lazy_open_way(struct lazy *lazy, int way, uint64_t deadline_ms)
{
	lazy_open_file(lazy, way % 2, way / 2, deadline_ms);
}

static void lazy_close(struct lazy *lazy)
{
	fl_image_release(lazy->plain);
	fl_image_release(lazy->image);
	conform_close(&lazy->conform);
	fl_page_source_release(lazy->source.source);
	CHECK(lazy->source.is_closed);
	free(lazy->file.bytes);
	free(lazy->bytes);
}

static struct fl_image_loading loading_of(const struct fl_image *image)
{
	struct fl_image_loading loading = { .size = sizeof(loading) };

	fl_image_loading(image, &loading);
	return loading;
}

static void set(uint32_t *field, uint32_t value)
{
	__atomic_store_n(field, value, __ATOMIC_RELAXED);
}

static uint64_t get(const uint64_t *count)
{
	return __atomic_load_n(count, __ATOMIC_RELAXED);
}

static bool shows(const struct lazy *lazy, const struct fl_memory *memory)
{
	return !memcmp(memory->base, lazy->bytes, PAGES * WPAGE);
}

static void tenants_see_the_image(void)
{
	for (int way = 0; way < ways(); way++) {
		struct lazy lazy;
		struct fl_memory *memory;

		lazy_open_way(&lazy, way, PATIENCE_MS);
		CHECK_EQ(loading_of(lazy.image).way, FL_LOAD_LAZY);
		CHECK_EQ(loading_of(lazy.image).wpages, DATA);
		CHECK_EQ(loading_of(lazy.image).loaded_wpages, 0);
		for (int round = 0; round < 4; round++) {
			memory = conform_take(&lazy.conform, lazy.image, 0);
			CHECK(shows(&lazy, memory));
			for (uint64_t at = 0; at < PAGES * WPAGE; at += 30011)
				memory->base[at] ^= 0x55;
			conform_give(memory);
		}
		(void)conform_loading(lazy.image, DATA);
		CHECK_EQ(loading_of(lazy.image).failed_loads, 0);
		CHECK_EQ(get(&lazy.source.reads), DATA);
		lazy_close(&lazy);
	}
}

/* Written before anybody read it, and only some pages. Releases mark the slots
 * meanwhile: what is not loaded is waited for all the same. */
static void written_first(void)
{
	struct lazy lazy;

	lazy_open(&lazy, true, PATIENCE_MS);
	for (int round = 0; round < 12; round++) {
		struct fl_memory *memory =
			conform_take(&lazy.conform, lazy.image, 0);
		uint64_t base = (uint64_t)(round % 5) * 9 * WPAGE;

		for (uint64_t at = base; at < base + 5 * WPAGE; at += HPAGE)
			memory->base[at + 7] = (uint8_t)~lazy.bytes[at + 7];
		for (uint64_t at = base; at < base + 5 * WPAGE; at++) {
			if (at % HPAGE != 7 &&
			    memory->base[at] != lazy.bytes[at]) {
				CHECK_EQ(memory->base[at], lazy.bytes[at]);
				break;
			}
		}
		conform_give(memory);
		memory = conform_take(&lazy.conform, lazy.image, 0);
		CHECK(!memcmp(memory->base + base, lazy.bytes + base,
			      5 * WPAGE));
		conform_give(memory);
	}
	lazy_close(&lazy);
}

struct reader {
	pthread_t thread;
	struct lazy *lazy;
	struct fl_memory *memory;
	bool is_backward;
	uint32_t wrong;
};

/* Each block once, as soon as it can be had. */
static void *read_all(void *arg)
{
	struct reader *reader = arg;
	uint64_t hpages = PAGES * WPAGE / HPAGE;

	for (uint64_t i = 0; i < hpages; i++) {
		uint64_t at =
			(reader->is_backward ? hpages - 1 - i : i) * HPAGE;

		reader->wrong += memcmp(reader->memory->base + at,
					reader->lazy->bytes + at, HPAGE) != 0;
	}
	return NULL;
}

/* A page is read once, and is whole for everybody who sees it. */
static void many_read_while_it_loads(void)
{
	for (int way = 0; way < ways(); way++) {
		bool is_async = way % 2;
		struct reader readers[8];
		struct lazy lazy;

		lazy_open_way(&lazy, way, PATIENCE_MS);
		set(&lazy.source.mischief.is_late, 1);
		set(&lazy.source.mischief.is_short, (uint32_t)is_async);
		set(&lazy.source.mischief.is_twice, 1);
		set(&lazy.source.mischief.is_unordered, 1);
		for (int i = 0; i < 8; i++) {
			/* Two of them share a slot. */
			readers[i] = (struct reader){
				.lazy = &lazy,
				.memory = i == 7 ? readers[0].memory :
						   conform_take(&lazy.conform,
								lazy.image, 0),
				.is_backward = i % 2,
			};
		}
		for (int i = 0; i < 8; i++)
			MUST_EQ(pthread_create(&readers[i].thread, NULL,
					       read_all, &readers[i]),
				0);
		for (int i = 0; i < 8; i++) {
			pthread_join(readers[i].thread, NULL);
			CHECK_EQ(readers[i].wrong, 0);
		}
		(void)conform_loading(lazy.image, DATA);
		if (!is_async)
			CHECK_EQ(get(&lazy.source.reads), DATA);
		for (int i = 0; i < 7; i++)
			conform_give(readers[i].memory);
		lazy_close(&lazy);
	}
}

static void check_trap(struct lazy *lazy, uint64_t at, int load_error)
{
	struct fl_memory *memory = conform_take(&lazy->conform, lazy->image, 0);
	uint8_t byte;

	memset(&seen, 0, sizeof(seen));
	test_threads_catch(see);
	CHECK(!test_thread_read(memory->base + at, &byte));
	test_threads_catch_end();
	CHECK_EQ(seen.kind, FL_FAULT_NOT_LOADED);
	CHECK_EQ(seen.load_error, load_error);
	CHECK_EQ(seen.is_trap, 1);
	CHECK_EQ(seen.trap, FL_TRAP_NONE);
	CHECK(seen.memory == memory);
	CHECK_EQ(seen.offset_bytes, at);
	conform_give(memory);
}

static void check_works(struct lazy *lazy)
{
	struct fl_memory *memory = conform_take(&lazy->conform, lazy->image, 0);

	CHECK(shows(lazy, memory));
	conform_give(memory);
}

/* The same with little patience. Where the machine is busy, a load may take longer than
 * it may: its page is read again, by another tenant. */
static void check_works_in_the_end(struct lazy *lazy)
{
	struct fl_memory *memory = conform_take(&lazy->conform, lazy->image, 0);
	uint8_t byte;

	test_threads_catch(see);
	for (uint64_t at = 77; at < PAGES * WPAGE; at += WPAGE) {
		while (!test_thread_read(memory->base + at, &byte)) {
			MUST_EQ(seen.load_error, -ETIMEDOUT);
			conform_give(memory);
			memory = conform_take(&lazy->conform, lazy->image, 0);
		}
		CHECK_EQ(byte, lazy->bytes[at]);
	}
	test_threads_catch_end();
	conform_give(memory);
}

/* The source does not answer, and is told that nobody waits any more. Where the machine
 * is busy, the time may be over before the source is asked: then once more. */
static void check_cancelled(struct lazy *lazy, uint64_t at)
{
	uint64_t reads = get(&lazy->source.reads);
	uint64_t cancels = get(&lazy->source.cancels);

	do
		check_trap(lazy, at, -ETIMEDOUT);
	while (get(&lazy->source.reads) == reads && !test_has_failed());
	/* A cancel may come a moment after the guest has its trap. */
	for (int i = 0; i < 20000 && get(&lazy->source.cancels) == cancels; i++)
		usleep(1000);
	CHECK_EQ(get(&lazy->source.reads), reads + 1);
	CHECK_EQ(get(&lazy->source.cancels), cancels + 1);
}

/* The same source, and little patience. */
static void check_time_out(struct lazy *lazy)
{
	struct test_mischief *m = &lazy->source.mischief;
	struct fl_image *patient = lazy->image;

	lazy->image = must_open(&lazy->conform, lazy->source.source, 100000000);
	set(&m->is_silent, 1);
	check_cancelled(lazy, 33 * WPAGE + 5);
	set(&m->is_deaf, 1);
	check_cancelled(lazy, 33 * WPAGE + 5);
	set(&m->is_silent, 0);
	CHECK(loading_of(lazy->image).failed_loads >= 2);
	CHECK_EQ(fl_pool_purge_image(lazy->conform.pool, lazy->image, NULL), 0);
	fl_image_release(lazy->image);
	lazy->image = patient;
	set(&m->is_deaf, 0);
	test_source_kick(&lazy->source);
}

/* Every way in which a source fails, one after the other on one image. */
static void a_page_that_cannot_be_loaded(void)
{
	for (int way = 0; way < ways(); way++) {
		struct test_mischief *m;
		struct lazy lazy;

		lazy_open_way(&lazy, way, PATIENCE_MS);
		m = &lazy.source.mischief;
		__atomic_store_n(&m->fail_err, -EIO, __ATOMIC_RELAXED);
		set(&m->fail_every, 1);
		check_trap(&lazy, 3 * WPAGE + 100, -EIO);
		__atomic_store_n(&m->fail_err, -ENOMEM, __ATOMIC_RELAXED);
		check_trap(&lazy, 3 * WPAGE + 100, -ENOMEM);
		__atomic_store_n(&m->fail_err, -EBADF, __ATOMIC_RELAXED);
		check_trap(&lazy, 12 * WPAGE, -EIO);
		/* What only the library can find. */
		__atomic_store_n(&m->fail_err, -ENOEXEC, __ATOMIC_RELAXED);
		check_trap(&lazy, 12 * WPAGE, -EIO);
		set(&m->fail_every, 0);
		set(&m->wrong_every, 1);
		check_trap(&lazy, 15 * WPAGE + 5, -ENOEXEC);
		set(&m->wrong_every, 0);
		set(&m->end_early, 100000);
		check_trap(&lazy, 30 * WPAGE + 5, -EIO);
		set(&m->end_early, 0);
		CHECK(loading_of(lazy.image).failed_loads >= 6);
		CHECK_EQ(get(&lazy.source.cancels), 0);
		if (way % 2)
			check_time_out(&lazy);
		check_works(&lazy);
		CHECK_EQ(conform_info(&lazy.conform).retired_memories, 0);
		lazy_close(&lazy);
	}
}

/* All loads are lost to a source that never answers: nobody hangs. The source is
 * closed after the context. */
static void a_source_that_never_answers(void)
{
	struct lazy lazy;
	uint8_t byte;

	lazy_open(&lazy, true, 10);
	set(&lazy.source.mischief.is_silent, 1);
	set(&lazy.source.mischief.is_deaf, 1);
	test_threads_catch(see);
	for (uint64_t i = 0; i < 40; i++) {
		struct fl_memory *memory =
			conform_take(&lazy.conform, lazy.image, 0);

		CHECK(!test_thread_read(memory->base + (1 + i % 6) * WPAGE,
					&byte));
		CHECK_EQ(seen.load_error, -ETIMEDOUT);
		conform_give(memory);
	}
	test_threads_catch_end();
	CHECK_EQ(fl_image_read(lazy.image, 5 * WPAGE, &byte, 1), -EIO);
	lazy_close(&lazy);
}

/* A guest waits for a page. */
static void wait_asked(struct lazy *lazy)
{
	for (int i = 0; i < 20000 && !get(&lazy->source.reads); i++)
		usleep(1000);
	CHECK(get(&lazy->source.reads) > 0);
}

static void *read_one(void *arg)
{
	struct reader *reader = arg;
	uint8_t byte;

	if (!test_thread_read(reader->memory->base + 9 * WPAGE, &byte))
		reader->wrong = 2;
	else if (byte != reader->lazy->bytes[9 * WPAGE])
		reader->wrong = 1;
	return NULL;
}

/* Five threads wait for one page in three slots. All get the answer. */
static void all_who_wait_are_answered(void)
{
	for (uint32_t is_error = 0; is_error < 2; is_error++) {
		struct reader readers[5];
		struct lazy lazy;

		lazy_open(&lazy, true, is_error ? 150 : PATIENCE_MS);
		set(&lazy.source.mischief.is_silent, 1);
		test_threads_catch(NULL);
		for (int i = 0; i < 5; i++) {
			readers[i] = (struct reader){
				.lazy = &lazy,
				.memory = i > 2 ? readers[0].memory :
						  conform_take(&lazy.conform,
							       lazy.image, 0),
			};
			MUST_EQ(pthread_create(&readers[i].thread, NULL,
					       read_one, &readers[i]),
				0);
		}
		if (!is_error) {
			wait_asked(&lazy);
			set(&lazy.source.mischief.is_silent, 0);
			test_source_kick(&lazy.source);
		}
		for (int i = 0; i < 5; i++) {
			pthread_join(readers[i].thread, NULL);
			CHECK_EQ(readers[i].wrong, is_error ? 2 : 0);
		}
		test_threads_catch_end();
		for (int i = 0; i < 3; i++)
			conform_give(readers[i].memory);
		set(&lazy.source.mischief.is_silent, 0);
		check_works_in_the_end(&lazy);
		lazy_close(&lazy);
	}
}

/* What the library itself reads, it loads or refuses. */
static void calls_load_what_they_need(void)
{
	struct fl_error error = { .text = "" };
	struct fl_image *copy = NULL;
	uint8_t digests[2][32], byte;
	struct fl_memory *memory;
	struct lazy lazy;

	lazy_open(&lazy, true, PATIENCE_MS);
	__atomic_store_n(&lazy.source.mischief.fail_err, -EIO,
			 __ATOMIC_RELAXED);
	set(&lazy.source.mischief.fail_every, 1);
	memory = conform_take(&lazy.conform, lazy.image, 0);
	CHECK_EQ(fl_memory_prefault(memory, 2 * WPAGE, 3 * WPAGE), -EIO);
	CHECK_EQ(fl_image_read(lazy.image, 2 * WPAGE, &byte, 1), -EIO);
	CHECK(fl_image_from_memory(memory, NULL, &copy, &error) != 0);
	CHECK(fl_image_digest(lazy.image, digests[0], &error) != 0);
	set(&lazy.source.mischief.fail_every, 0);
	CHECK_EQ(fl_memory_prefault(memory, 2 * WPAGE, 3 * WPAGE), 0);
	CHECK(loading_of(lazy.image).loaded_wpages >= 3);
	memory->base[30 * WPAGE + 1] = 77;
	CONFORM_MUST(fl_image_from_memory(memory, NULL, &copy, &error), &error);
	conform_give(memory);
	memory = conform_take(&lazy.conform, copy, 0);
	CHECK_EQ(memory->base[30 * WPAGE + 1], 77);
	memory->base[30 * WPAGE + 1] = lazy.bytes[30 * WPAGE + 1];
	CHECK(shows(&lazy, memory));
	conform_give(memory);
	fl_image_release(copy);
	CHECK_EQ(fl_image_digest(lazy.image, digests[0], &error), 0);
	CHECK_EQ(fl_image_digest(lazy.plain, digests[1], &error), 0);
	CHECK(!memcmp(digests[0], digests[1], 32));
	lazy_close(&lazy);
}

/* The image goes while pages that nobody needs any more are on their way. */
static void the_image_goes_at_any_moment(void)
{
	int rounds = test_is_sanitized() ? 8 : 20;

	for (int i = 0; i < rounds; i++) {
		struct fl_memory *memory;
		struct lazy lazy;

		lazy_open_way(&lazy, i % ways(), PATIENCE_MS);
		set(&lazy.source.mischief.is_late, 1);
		memory = conform_take(&lazy.conform, lazy.image, 0);
		for (uint64_t w = 1; w < 1 + (uint64_t)i % 4; w++)
			CHECK_EQ(memory->base[w * WPAGE],
				 lazy.bytes[w * WPAGE]);
		conform_give(memory);
		if (i % 3)
			usleep((useconds_t)i * 37);
		lazy_close(&lazy);
	}
}

struct child {
	struct lazy *lazy;
	struct fl_memory *memory;
};

static int child_reads(void *arg)
{
	const struct child *child = arg;

	return test_read_signal(child->memory->base + 11 * WPAGE) == SIGSEGV ?
		       0 :
		       1;
}

#define MAPPINGS 4

/* Where the parent maps files of images. */
struct inheritance {
	struct fl_image *image;
	uint8_t *starts[MAPPINGS];
	uint64_t lens[MAPPINGS];
	bool is_own[MAPPINGS];
};

/* What the child has not inherited, its own memory may lie where it was. */
static int own_memory(struct inheritance *from)
{
	int count = 0;

	for (int i = 0; i < MAPPINGS && from->starts[i]; i++) {
		uint8_t *own = mmap(
			from->starts[i], from->lens[i], PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1,
			0);

		from->is_own[i] = own == from->starts[i];
		count += from->is_own[i];
		if (from->is_own[i])
			memset(own, 0x5a, from->lens[i]);
	}
	return count;
}

static int child_gives_back(void *arg)
{
	struct inheritance *from = arg;

	if (!own_memory(from))
		return 1;
	fl_image_release(from->image);
	for (int i = 0; i < MAPPINGS; i++) {
		if (from->is_own[i] &&
		    (test_read_signal(from->starts[i]) ||
		     test_read_signal(from->starts[i] + from->lens[i] - 1)))
			return 2;
	}
	return 0;
}

/* None of the loading threads is in the child, nor the mapping that they fill. */
static void a_child_gives_its_reference_back(void)
{
	struct inheritance from = { .is_own = { false } };
	struct lazy lazy;

	lazy_open(&lazy, true, PATIENCE_MS);
	from.image = lazy.image;
	for (unsigned int i = 0; i < MAPPINGS; i++)
		from.starts[i] =
			procfs_find_shared("faultline-image", i, &from.lens[i]);
	conform_check_child(child_gives_back, &from);
	lazy_close(&lazy);
}

/* Nothing can be mapped meanwhile, not even over what is mapped. */
static uint64_t trim_without_room(struct lazy *lazy)
{
	struct rlimit before, none;
	uint64_t trimmed = 0;

	MUST_EQ(getrlimit(RLIMIT_AS, &before), 0);
	none = before;
	none.rlim_cur = HPAGE;
	MUST_EQ(setrlimit(RLIMIT_AS, &none), 0);
	CHECK_EQ(fl_pool_trim(lazy->conform.pool, UINT64_MAX, &trimmed), 0);
	MUST_EQ(setrlimit(RLIMIT_AS, &before), 0);
	return trimmed;
}

/* A slot that cannot be emptied stays what it was: its next tenant's faults find
 * it. */
static void a_slot_that_cannot_be_emptied(void)
{
	struct fl_memory *memory;
	struct lazy lazy;

	for (int way = 0; way < ways(); way++) {
		lazy_open_way(&lazy, way, PATIENCE_MS);
		memory = conform_take(&lazy.conform, lazy.image, 0);
		CHECK_EQ(memory->base[2 * WPAGE], lazy.bytes[2 * WPAGE]);
		conform_give(memory);
		CHECK_EQ(trim_without_room(&lazy), 0);
		CHECK_EQ(conform_info(&lazy.conform).warm_memories, 1);
		memory = conform_take(&lazy.conform, lazy.image, 0);
		CHECK(!memcmp(memory->base, lazy.bytes, PAGES * WPAGE));
		conform_give(memory);
		lazy_close(&lazy);
	}
}

struct look {
	const uint8_t *addr;
	uint8_t value;
};

static void look(void *arg)
{
	struct look *at = arg;

	at->value = *(const volatile uint8_t *)at->addr;
}

/* The access ends, by a signal of which the lookup gives the reason. */
static void check_shut(const uint8_t *addr)
{
	struct look at = { addr, 0 };
	struct test_trap trap;

	memset(&seen, 0, sizeof(seen));
	trap = test_catch_seen(look, &at, see);
	CHECK_EQ(trap.signo, SIGSEGV);
	CHECK_EQ(seen.is_trap, 1);
	CHECK_EQ(seen.kind, FL_FAULT_OUT_OF_BOUNDS);
}

/* A live memory that cannot be mapped anew leaves the loader: a page of it that is
 * not loaded is no page to wait for. */
static void a_reset_that_fails(void)
{
	struct rlimit before, none;
	struct fl_memory *memory;
	struct lazy lazy;

	for (int way = 0; way < ways(); way++) {
		lazy_open_way(&lazy, way, PATIENCE_MS);
		memory = conform_take(&lazy.conform, lazy.image, 0);
		CHECK_EQ(memory->base[2 * WPAGE], lazy.bytes[2 * WPAGE]);
		/* What is lent is mapped anew. */
		CHECK_EQ(fl_memory_lend(memory), 0);
		MUST_EQ(getrlimit(RLIMIT_AS, &before), 0);
		none = before;
		none.rlim_cur = HPAGE;
		MUST_EQ(setrlimit(RLIMIT_AS, &none), 0);
		CHECK_EQ(fl_memory_reset(memory), -ENOMEM);
		MUST_EQ(setrlimit(RLIMIT_AS, &before), 0);
		CHECK_EQ(fl_memory_length(memory), 0);
		check_shut(memory->base + 2 * WPAGE);
		check_shut(memory->base + 5 * WPAGE);
		check_shut(memory->base + (PAGES - 1) * WPAGE);
		conform_give(memory);
		memory = conform_take(&lazy.conform, lazy.image, 0);
		CHECK(shows(&lazy, memory));
		conform_give(memory);
		lazy_close(&lazy);
	}
}

static struct test_file file_of_noise(struct conform *conform)
{
	uint8_t *bytes = malloc(PAGES * WPAGE);
	struct test_file file;
	struct fl_image *plain;

	MUST(bytes != NULL);
	bytes_fill(bytes);
	plain = conform_image_of(conform, PAGES * WPAGE, 0, bytes,
				 PAGES * WPAGE);
	file = test_file_of(plain);
	fl_image_release(plain);
	free(bytes);
	return file;
}

/* A source whose end trims the pool. */
struct closing {
	struct test_file file;
	struct fl_pool *pool;
	int closed;
};

static int64_t closing_read(void *user, const struct fl_page_read *read)
{
	const struct closing *closing = user;

	memcpy(read->dst, closing->file.bytes + read->offset_bytes,
	       read->length_bytes);
	return (int64_t)read->length_bytes;
}

static void closing_close(void *user)
{
	struct closing *closing = user;

	closing->closed++;
	CHECK_EQ(fl_pool_trim(closing->pool, UINT64_MAX, NULL), 0);
}

/* The last reference is a slot's, which is emptied by a trim, or by the release
 * because the pool keeps no idle bytes. */
static void close_calls_the_pool(bool is_by_release)
{
	struct closing closing = { .closed = 0 };
	struct fl_page_source_config source_config = {
		.size = sizeof(source_config),
		.user = &closing,
		.read = closing_read,
		.close = closing_close,
	};
	struct fl_page_source *source = NULL;
	struct fl_pool_config config;
	struct fl_memory *memory;
	struct fl_image *image;
	struct conform conform;

	conform_pool_config(&config);
	if (is_by_release)
		config.max_idle_bytes = 0;
	conform_open(&conform, &config);
	closing.file = file_of_noise(&conform);
	closing.pool = conform.pool;
	source_config.length_bytes = closing.file.len;
	MUST_EQ(fl_page_source_create(&source_config, &source, NULL), 0);
	image = must_open(&conform, source, 5000000000);
	fl_page_source_release(source);
	memory = conform_take(&conform, image, 0);
	memory->base[3 * WPAGE] = 1;
	fl_image_release(image);
	CHECK_EQ(closing.closed, 0);
	conform_give(memory);
	CHECK_EQ(closing.closed, is_by_release);
	CHECK_EQ(fl_pool_trim(closing.pool, UINT64_MAX, NULL), 0);
	CHECK_EQ(closing.closed, 1);
	conform_close(&conform);
	free(closing.file.bytes);
}

static void a_close_that_calls_the_pool(void)
{
	close_calls_the_pool(false);
	close_calls_the_pool(true);
}

/* A child that reads a hole would make zeroes of it, for the parent too. */
static void a_fork_with_faults_pending(void)
{
	struct reader reader;
	struct child child;
	struct lazy lazy;

	lazy_open(&lazy, true, PATIENCE_MS);
	set(&lazy.source.mischief.is_silent, 1);
	reader = (struct reader){
		.lazy = &lazy,
		.memory = conform_take(&lazy.conform, lazy.image, 0),
	};
	test_threads_catch(NULL);
	MUST_EQ(pthread_create(&reader.thread, NULL, read_one, &reader), 0);
	wait_asked(&lazy);
	child = (struct child){ &lazy, reader.memory };
	conform_check_child(child_reads, &child);
	set(&lazy.source.mischief.is_silent, 0);
	test_source_kick(&lazy.source);
	pthread_join(reader.thread, NULL);
	test_threads_catch_end();
	CHECK_EQ(reader.wrong, 0);
	CHECK(shows(&lazy, reader.memory));
	conform_give(reader.memory);
	lazy_close(&lazy);
}

/* An audit of a slot finds it clean, and loads nothing. */
static void audits_load_nothing(void)
{
	struct fl_pool_config config;
	struct fl_memory *memory;
	struct conform audited;
	struct lazy lazy;

	lazy_open(&lazy, true, PATIENCE_MS);
	conform_pool_config(&config);
	config.audit_every = 1;
	audited.context = lazy.conform.context;
	CHECK_EQ(fl_pool_create(audited.context, &config, &audited.pool, NULL),
		 0);
	for (int i = 0; i < 4; i++) {
		memory = conform_take(&audited, lazy.image, 0);
		memory->base[5 * WPAGE + 3] ^= 1;
		CHECK_EQ(memory->base[6 * WPAGE], lazy.bytes[6 * WPAGE]);
		memory->base[7 * WPAGE] ^= 1; /* not in the file */
		conform_give(memory);
	}
	CHECK(loading_of(lazy.image).loaded_wpages < 20);
	CHECK_EQ(fl_pool_destroy(audited.pool), 0);
	lazy_close(&lazy);
}

static void touch_some(struct lazy *lazy, uint64_t first)
{
	struct fl_memory *memory = conform_take(&lazy->conform, lazy->image, 0);

	for (uint64_t w = first; w < 36; w += 5)
		CHECK_EQ(memory->base[w * WPAGE + 9],
			 lazy->bytes[w * WPAGE + 9]);
	conform_give(memory);
}

static void reopen(struct lazy *lazy, const char *set_path)
{
	struct fl_error error = { .text = "" };
	struct fl_load_config config;

	CHECK_EQ(fl_pool_purge(lazy->conform.pool, NULL, lazy->image, NULL), 0);
	fl_image_release(lazy->image);
	fl_load_config_init(&config);
	config.way = FL_LOAD_LAZY;
	config.working_set_path = set_path;
	CONFORM_MUST(fl_image_open_source(lazy->conform.context,
					  lazy->source.source, &config,
					  &lazy->image, &error),
		     &error);
}

/* Tenants read every page in turn, each up to its first trap. How many traps. */
static uint64_t read_through(struct lazy *lazy)
{
	struct fl_memory *memory = conform_take(&lazy->conform, lazy->image, 0);
	uint64_t traps = 0;
	uint8_t byte;

	for (uint64_t at = 0; at < PAGES * WPAGE; at += WPAGE) {
		if (test_thread_read(memory->base + at + 77, &byte)) {
			CHECK_EQ(byte, lazy->bytes[at + 77]);
			continue;
		}
		traps++;
		conform_give(memory);
		memory = conform_take(&lazy->conform, lazy->image, 0);
	}
	conform_give(memory);
	return traps;
}

/* The source fails at each nth read, for several n: a page is right or a trap,
 * and a later tenant gets what an earlier one did not. A page that nobody waits
 * for fails unseen and is read again. */
static void each_nth_read_fails(void)
{
	for (int way = 0; way < ways(); way++) {
		struct lazy lazy;

		lazy_open_way(&lazy, way, PATIENCE_MS);
		__atomic_store_n(&lazy.source.mischief.fail_err, -EIO,
				 __ATOMIC_RELAXED);
		for (uint32_t n = 1; n <= 10; n += 1 + n / 3) {
			set(&lazy.source.mischief.fail_every, n);
			test_threads_catch(NULL);
			CHECK(read_through(&lazy) > 0 || n > 1);
			test_threads_catch_end();
			CHECK(loading_of(lazy.image).failed_loads > 0);
			set(&lazy.source.mischief.fail_every, 0);
			check_works(&lazy);
			CHECK_EQ(conform_info(&lazy.conform).retired_memories,
				 0);
			reopen(&lazy, NULL);
		}
		lazy_close(&lazy);
	}
}

static void wait_foreseen(struct lazy *lazy, uint64_t wpages)
{
	for (int i = 0; i < 20000; i++) {
		if (loading_of(lazy->image).foreseen_wpages >= wpages)
			break;
		usleep(1000);
	}
	CHECK_EQ(loading_of(lazy->image).foreseen_wpages, wpages);
}

/* The pages of a working set's file, in their order: see image/workset.h. */
static size_t set_pages(const char *path, uint64_t *wpages, size_t room)
{
	uint8_t bytes[8192];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t len = read(fd, bytes, sizeof(bytes));
	size_t count = 0;

	MUST(fd >= 0 && len >= 0);
	for (ssize_t at = 48; at + 16 <= len && count < room;) {
		wpages[count++] = bytes[at];
		at += 16 + 32 * bytes[at + 14];
	}
	close(fd);
	return count;
}

/* What a guest waited for first is first in the working set. */
static void a_working_set_has_the_guests_order(void)
{
	static const uint64_t order[] = { 26, 6, 31, 1, 16, 11 };
	struct fl_error error = { .text = "" };
	char path[64] = "/tmp/fl-set-XXXXXX";
	struct fl_memory *memory;
	uint64_t wpages[16];
	struct lazy lazy;
	int fd = mkstemp(path);

	MUST(fd >= 0);
	close(fd);
	lazy_open(&lazy, true, PATIENCE_MS);
	memory = conform_take(&lazy.conform, lazy.image, 0);
	for (size_t i = 0; i < TEST_ARRAY_SIZE(order); i++)
		CHECK_EQ(memory->base[order[i] * WPAGE + 9],
			 lazy.bytes[order[i] * WPAGE + 9]);
	conform_give(memory);
	CONFORM_MUST(fl_image_write_working_set(lazy.image, path, &error),
		     &error);
	/* Without a record of tenants the file is empty. */
	if (loading_of(lazy.image).recorded_tenants) {
		CHECK_EQ(set_pages(path, wpages, 16), TEST_ARRAY_SIZE(order));
		for (size_t i = 0; i < TEST_ARRAY_SIZE(order); i++)
			CHECK_EQ(wpages[i], order[i]);
	}
	unlink(path);
	lazy_close(&lazy);
}

/* What the tenants of one run touch is there before the next run's tenant asks,
 * and goes when nobody touches it any more. */
static void working_set(void)
{
	struct fl_error error = { .text = "" };
	char path[64] = "/tmp/fl-set-XXXXXX";
	struct fl_memory *memory;
	struct lazy lazy;
	int fd = mkstemp(path);

	MUST(fd >= 0);
	close(fd);
	lazy_open(&lazy, true, PATIENCE_MS);
	CHECK_EQ(fl_image_write_working_set(lazy.plain, path, &error), -EINVAL);
	touch_some(&lazy, 1);
	if (!loading_of(lazy.image).recorded_tenants) {
		/* Nothing tells what was touched. */
		unlink(path);
		lazy_close(&lazy);
		return;
	}
	CHECK_EQ(loading_of(lazy.image).foreseen_wpages, 0);
	CONFORM_MUST(fl_image_write_working_set(lazy.image, path, &error),
		     &error);
	reopen(&lazy, path);
	CHECK_EQ(loading_of(lazy.image).loaded_wpages, 0);
	memory = conform_take(&lazy.conform, lazy.image, 0);
	wait_foreseen(&lazy, 6); /* 1 6 11 16 26 31; 21 is not in the file */
	CHECK(shows(&lazy, memory));
	conform_give(memory);
	/* Other pages in two runs: the first ones are forgotten. */
	for (int run = 0; run < 3; run++) {
		reopen(&lazy, path);
		touch_some(&lazy, 3);
		CONFORM_MUST(fl_image_write_working_set(lazy.image, path,
							&error),
			     &error);
	}
	reopen(&lazy, path);
	memory = conform_take(&lazy.conform, lazy.image, 0);
	wait_foreseen(&lazy, 7); /* 3 8 13 18 23 28 33 */
	conform_give(memory);
	/* Of another image, or damaged: no error and nothing foreseen. */
	MUST_EQ(truncate(path, 20), 0);
	reopen(&lazy, path);
	touch_some(&lazy, 2);
	CHECK_EQ(loading_of(lazy.image).foreseen_wpages, 0);
	unlink(path);
	reopen(&lazy, path);
	lazy_close(&lazy);
}

/* In user-mode-only form the kernel's own accesses are denied until the page is
 * loaded. */
static int unprivileged(void *arg)
{
	struct fl_memory *memory;
	struct lazy lazy;
	int fds[2];

	(void)arg;
	MUST_EQ(setgid(65534), 0);
	MUST_EQ(setuid(65534), 0);
	lazy_open(&lazy, true, PATIENCE_MS);
	MUST_EQ(pipe(fds), 0);
	memory = conform_take(&lazy.conform, lazy.image, 0);
	CHECK_EQ(write(fds[1], memory->base + 4 * WPAGE, 10), -1);
	CHECK_EQ(errno, EFAULT);
	CHECK_EQ(fl_memory_prefault(memory, 4 * WPAGE, 10), 0);
	CHECK_EQ(write(fds[1], memory->base + 4 * WPAGE, 10), 10);
	CHECK_EQ(read(fds[0], memory->base + 4 * WPAGE + 100, 10), 10);
	CHECK(!memcmp(memory->base + 4 * WPAGE + 100, lazy.bytes + 4 * WPAGE,
		      10));
	conform_give(memory);
	check_works(&lazy);
	lazy_close(&lazy);
	close(fds[0]);
	close(fds[1]);
	return test_has_failed();
}

static const char *needs_unprivileged(void)
{
	if (geteuid())
		return "only root can become somebody else";
	if (!access("/dev/userfaultfd", F_OK) &&
	    procfs_sysctl("vm/unprivileged_userfaultfd") == 1)
		return "every user has the whole userfaultfd here";
	return conform_needs_lazy();
}

static void without_privilege(void)
{
	conform_check_child(unprivileged, NULL);
}

/* The handler, and as many as the host says; they load what four would. */
static void check_load_threads(uint32_t count)
{
	struct fl_context_config context = FL_CONTEXT_CONFIG_INIT;
	struct fl_pool_config pool = FL_POOL_CONFIG_INIT;
	struct fl_error error = { .text = "" };
	struct lazy lazy = { .bytes = malloc(PAGES * WPAGE) };
	struct fl_page_source *source;
	unsigned int before;

	context.load_threads = count;
	CONFORM_MUST(fl_context_create(&context, &lazy.conform.context, &error),
		     &error);
	conform_pool_config(&pool);
	CONFORM_MUST(fl_pool_create(lazy.conform.context, &pool,
				    &lazy.conform.pool, &error),
		     &error);
	MUST(lazy.bytes != NULL);
	bytes_fill(lazy.bytes);
	lazy.plain = conform_image_of(&lazy.conform, PAGES * WPAGE, 0,
				      lazy.bytes, PAGES * WPAGE);
	lazy.file = test_file_of(lazy.plain);
	CONFORM_MUST(fl_page_source_from_bytes(lazy.file.bytes, lazy.file.len,
					       NULL, NULL, &source, &error),
		     &error);
	before = procfs_count_threads();
	lazy.image = must_open(&lazy.conform, source, UINT64_C(10000000000));
	CHECK_EQ(procfs_count_threads() - before, 1 + count);
	check_works(&lazy);
	CHECK_EQ(fl_pool_destroy(lazy.conform.pool), 0);
	fl_image_release(lazy.image);
	CHECK_EQ(procfs_count_threads(), before);
	fl_image_release(lazy.plain);
	fl_context_destroy(lazy.conform.context);
	fl_page_source_release(source);
	free(lazy.file.bytes);
	free(lazy.bytes);
}

static void the_host_says_how_many_threads(void)
{
	struct fl_context_config config = FL_CONTEXT_CONFIG_INIT;
	struct fl_context *context = NULL;
	struct fl_error error;

	check_load_threads(1);
	check_load_threads(16);
	config.load_threads = 17;
	CHECK_EQ(fl_context_create(&config, &context, &error), -EINVAL);
	CHECK_HAS(error.text, "load_threads is 17");
}

/* Eight threads, a source that does all it can, and fresh images all the time. */
/* ------------------------------------------------------------------- storm */

struct storm {
	struct lazy lazy;
	uint64_t end_ns;
	uint64_t reads, traps; /* atomic */
};

struct stormer {
	struct storm *storm;
	uint64_t seed;
};

/* Of one tenant: random reads, some writes. */
static void storm_tenant(struct storm *storm, struct test_random *random)
{
	struct lazy *lazy = &storm->lazy;
	struct fl_memory *memory = conform_take(&lazy->conform, lazy->image, 0);
	uint64_t count = 1 + test_random_below(random, 60);

	while (count--) {
		uint64_t at = test_random_below(random, PAGES * WPAGE);
		uint8_t byte;

		if (!test_thread_read(memory->base + at, &byte)) {
			__atomic_add_fetch(&storm->traps, 1, __ATOMIC_RELAXED);
			break;
		}
		CHECK_EQ(byte, lazy->bytes[at]);
		if (count % 4 == 0 && (at + 1) % HPAGE) {
			memory->base[at + 1] ^= 0xff;
			CHECK_EQ(memory->base[at + 1],
				 lazy->bytes[at + 1] ^ 0xff);
			memory->base[at + 1] ^= 0xff;
			memory->base[at] = byte;
		}
		__atomic_add_fetch(&storm->reads, 1, __ATOMIC_RELAXED);
	}
	CHECK_EQ(fl_memory_release(memory), 0);
}

static void *storm_run(void *arg)
{
	const struct stormer *stormer = arg;
	struct test_random random;

	random.state = stormer->seed;
	while (test_now_ns() < stormer->storm->end_ns && !test_has_failed())
		storm_tenant(stormer->storm, &random);
	return NULL;
}

static void storm_round(struct storm *storm, uint32_t round, uint64_t ns)
{
	struct test_mischief *m;
	struct stormer stormers[8];
	pthread_t threads[8];

	lazy_open(&storm->lazy, round % 2, round % 5 == 4 ? 1 : 50);
	m = &storm->lazy.source.mischief;
	__atomic_store_n(&m->fail_err, -EIO, __ATOMIC_RELAXED);
	set(&m->fail_every, round % 3 ? 7 : 0);
	set(&m->wrong_every, round % 4 ? 11 : 0);
	set(&m->is_late, round % 5 > 2);
	set(&m->is_short, round % 7 == 1);
	set(&m->is_twice, 1);
	set(&m->is_unordered, round % 3 == 2);
	storm->end_ns = test_now_ns() + ns;
	for (uint64_t i = 0; i < 8; i++) {
		stormers[i] = (struct stormer){ storm, round * 8 + i + 1 };
		MUST_EQ(pthread_create(&threads[i], NULL, storm_run,
				       &stormers[i]),
			0);
	}
	for (int i = 0; i < 8; i++)
		pthread_join(threads[i], NULL);
	lazy_close(&storm->lazy);
}

/* FAULTLINE_TEST_STORM_MS is for how long, by default for a second. */
static void a_storm_of_faults(void)
{
	const char *text = getenv("FAULTLINE_TEST_STORM_MS");
	uint32_t ms = text ? (uint32_t)atoi(text) : 1000;
	struct storm storm = { .reads = 0 };

	/* Opening and closing an image takes longer than faulting, where a
	 * sanitizer looks. */
	test_more_time(ms / 1000 * 8);
	test_threads_catch(NULL);
	for (uint32_t i = 0; i < ms / 100 && !test_has_failed(); i++)
		storm_round(&storm, i, 100000000);
	test_threads_catch_end();
	CHECK(storm.reads > 0);
	test_note("%llu reads, %llu traps", (unsigned long long)storm.reads,
		  (unsigned long long)storm.traps);
}

static const char *needs_limits(void)
{
	return test_is_sanitized() ? TEST_NOT_BUILT
		       "a sanitizer needs address space" :
				     conform_needs_lazy();
}

static const struct test_case cases[] = {
	TEST_CASE_NEEDS(tenants_see_the_image, conform_needs_lazy),
	TEST_CASE_NEEDS(written_first, conform_needs_lazy),
	TEST_CASE_NEEDS(many_read_while_it_loads, conform_needs_lazy),
	TEST_CASE_NEEDS(a_page_that_cannot_be_loaded, conform_needs_lazy),
	TEST_CASE_NEEDS(each_nth_read_fails, conform_needs_lazy),
	TEST_CASE_NEEDS(a_source_that_never_answers, conform_needs_lazy),
	TEST_CASE_NEEDS(all_who_wait_are_answered, conform_needs_lazy),
	TEST_CASE_NEEDS(calls_load_what_they_need, conform_needs_lazy),
	TEST_CASE_NEEDS(the_image_goes_at_any_moment, conform_needs_lazy),
	TEST_CASE_NEEDS(a_child_gives_its_reference_back, conform_needs_lazy),
	TEST_CASE_NEEDS(a_slot_that_cannot_be_emptied, needs_limits),
	TEST_CASE_NEEDS(a_reset_that_fails, needs_limits),
	TEST_CASE_NEEDS(a_close_that_calls_the_pool, conform_needs_lazy),
	TEST_CASE_NEEDS(a_fork_with_faults_pending, conform_needs_lazy),
	TEST_CASE_NEEDS(audits_load_nothing, conform_needs_lazy),
	TEST_CASE_NEEDS(working_set, conform_needs_lazy),
	TEST_CASE_NEEDS(a_working_set_has_the_guests_order, conform_needs_lazy),
	TEST_CASE_NEEDS(the_host_says_how_many_threads, conform_needs_lazy),
	TEST_CASE_NEEDS(without_privilege, needs_unprivileged),
	TEST_CASE_NEEDS(a_storm_of_faults, conform_needs_lazy),
};

CONFORM_MAIN(cases)
