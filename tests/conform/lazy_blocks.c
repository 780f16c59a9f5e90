/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * lazy_blocks.c - lazy images of which some blocks come before their pages.
 *
 * A side file says which blocks of 4 KiB an earlier run's tenants touched, and what
 * the pages' leaves are. The blocks come alone. Whoever wants another block has the
 * whole page; a tenant never sees a wrong byte, whatever the side file says, however
 * the source behaves, and whatever the tenant before wrote.
 *
 * Where a page is read to where it stays, what is there of it is read no second time.
 * Of a packed file a part is whole frames of 16 KiB: most cases are run with such a
 * file too.
 */
#include "tests/conform/stats_page.h"
#include "tests/kit/clock.h"
#include "tests/kit/conform.h"
#include "tests/kit/page_source.h"
#include "tests/kit/procfs.h"
#include "tests/kit/random.h"
#include "tests/kit/toc_bytes.h"
#include "tests/kit/trap.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#define PAGES ((uint64_t)24)
#define BLOCK ((uint64_t)4096)
#define BLOCKS 16
#define LEAVES_BYTES (BLOCKS * 32)
#define HEAD_BYTES 48
#define RECORD_BYTES (16 + LEAVES_BYTES)

/* What the side file has, and which parts that makes: gaps of up to two blocks are
 * read, and pages of which most is there are loaded whole. */
struct foreseen {
	uint64_t wpage;
	uint32_t blocks, loaded;
	uint32_t parts;
};

#define FORESEEN 8

static const struct foreseen plain_foreseen[FORESEEN] = {
	{ 2, 0x000c, 0x000c, 1 },  { 5, 0xc030, 0xc030, 2 },
	{ 6, 0x0003, 0x0003, 1 },  { 7, 0xc000, 0xc000, 1 },
	{ 9, 0x0264, 0x03fc, 1 },  { 13, 0x0ff0, 0x0ff0, 1 },
	{ 19, 0x8001, 0x8001, 2 }, { 23, 0x00c3, 0x00c3, 2 },
};

/* Of a packed page whole frames come, of four blocks each. This page is stored as it
 * is. */
#define NOISE_PAGE 19
#define FRAMES 4
#define FRAME_BLOCKS 4

static const struct foreseen packed_foreseen[FORESEEN] = {
	{ 2, 0x000c, 0x000f, 1 },	   { 5, 0xc030, 0xf0f0, 2 },
	{ 6, 0x0090, 0x00f0, 1 },	   { 7, 0xc000, 0xf000, 1 },
	{ 9, 0x0240, 0x0ff0, 1 },	   { 13, 0x0ff0, 0x0ff0, 1 },
	{ NOISE_PAGE, 0x8001, 0x8001, 2 }, { 23, 0x00c3, 0x00ff, 1 },
};

static const struct foreseen *foreseen = plain_foreseen;
/* How each page packs. */
static enum {
	CONTENT_PLAIN,
	CONTENT_EVEN,
	CONTENT_UNEVEN, /* its first blocks take most of what is stored */
	CONTENT_OLDER, /* even, and each packed page is one frame */
} content;

enum way {
	WAY_NOW,
	WAY_LATER,
	WAY_FILE,
	WAY_DIRECT, /* the file, read past the page cache */
	WAY_CONTINUE, /* the file, read to where pages stay */
	WAYS
};

struct lazy {
	struct conform conform;
	struct test_file file;
	struct test_source source;
	struct fl_page_source *pages; /* of the file, where that is the way */
	struct fl_image *image;
	uint8_t *bytes;
	uint8_t digest[32];
	char path[64], file_path[64];
	uint64_t deadline_ms;
	enum way way;
};

static struct fl_context *watched;
static struct fl_fault seen;

static void see(const void *addr)
{
	fl_fault_lookup(watched, addr, &seen);
}

static void ignore(const void *addr)
{
	(void)addr;
}

static void set(uint32_t *field, uint32_t value)
{
	__atomic_store_n(field, value, __ATOMIC_RELAXED);
}

/* ------------------------------------------------------------ the side file */

static void record_make(const struct lazy *lazy, const struct foreseen *page,
			uint8_t record[RECORD_BYTES])
{
	struct fl__page_leaves leaves;
	struct fl__sha256 sha;

	fl__sha256_init(&sha);
	fl__page_leaves_of(&sha, lazy->bytes + page->wpage * WPAGE, 0, BLOCKS,
			   &leaves);
	memset(record, 0, 16);
	toc_bytes_put(record, page->wpage, 8);
	record[8] = 255;
	toc_bytes_put(record + 10, page->blocks & 0xf0f0, 2);
	toc_bytes_put(record + 12, page->blocks, 2);
	toc_bytes_put(record + 14, BLOCKS, 2);
	memcpy(record + 16, leaves.sha256, LEAVES_BYTES);
}

/* harm: the byte of each page's record that is wrong; 0: none. */
static void set_make(const struct lazy *lazy, uint64_t harm)
{
	uint8_t record[RECORD_BYTES], head[HEAD_BYTES] = {
		0x89, 'F', 'L', 'W', '\r', '\n', 0x1a, '\n', 3,
	};
	FILE *file = fopen(lazy->path, "wb");

	MUST(file != NULL);
	memcpy(head + 16, lazy->digest, 32);
	MUST_EQ(fwrite(head, 1, sizeof(head), file), sizeof(head));
	for (size_t i = 0; i < FORESEEN; i++) {
		record_make(lazy, &foreseen[i], record);
		if (harm)
			record[harm] ^= 0x10;
		MUST_EQ(fwrite(record, 1, sizeof(record), file),
			sizeof(record));
	}
	MUST_EQ(fclose(file), 0);
}

/* ---------------------------------------------------------------- the image */

static void image_open(struct lazy *lazy)
{
	struct fl_error error = { .text = "" };
	struct fl_load_config config;
	int err;

	fl_load_config_init(&config);
	config.way = FL_LOAD_LAZY;
	config.working_set_path = lazy->path;
	config.deadline_ns = lazy->deadline_ms * 1000000;
	if (lazy->way == WAY_CONTINUE)
		config.publish = FL_PUBLISH_CONTINUE;
	if (lazy->way == WAY_DIRECT)
		config.read = FL_READ_DIRECT;
	/* Where the machine is busy, opening may take longer than a load may. */
	do
		err = fl_image_open_source(lazy->conform.context,
					   lazy->pages ? lazy->pages :
							 lazy->source.source,
					   &config, &lazy->image, &error);
	while (err == -ETIMEDOUT);
	CONFORM_MUST(err, &error);
}

static void image_close(struct lazy *lazy)
{
	CHECK_EQ(fl_pool_purge(lazy->conform.pool, NULL, lazy->image, NULL), 0);
	fl_image_release(lazy->image);
}

/* Half of each byte is noise, or some of each page. */
static void content_soften(struct lazy *lazy)
{
	for (uint64_t i = 0; i < PAGES * WPAGE; i++) {
		if (i / WPAGE == NOISE_PAGE)
			continue;
		if (content != CONTENT_UNEVEN)
			lazy->bytes[i] &= 0x0f;
		else if (i % WPAGE >= 6 * BLOCK)
			lazy->bytes[i] = (uint8_t)(i / BLOCK);
	}
}

/* As an older library would have written it. */
static void file_age(struct test_file *file)
{
#if FL_WITH_ZSTD
	uint8_t *bytes;

	if (content != CONTENT_OLDER)
		return;
	bytes = toc_bytes_older(file->bytes, &file->len);
	free(file->bytes);
	file->bytes = bytes;
#else
	(void)file;
#endif
}

static void content_make(struct lazy *lazy)
{
	struct fl_error error = { .text = "" };
	struct test_random random;
	struct fl_image *plain;

	lazy->bytes = malloc(PAGES * WPAGE);
	MUST(lazy->bytes != NULL);
	test_random_init(&random, 17);
	test_random_fill(&random, lazy->bytes, PAGES * WPAGE);
	if (content != CONTENT_PLAIN)
		content_soften(lazy);
	plain = conform_image_of(&lazy->conform, PAGES * WPAGE, 0, lazy->bytes,
				 PAGES * WPAGE);
	CONFORM_MUST(fl_image_digest(plain, lazy->digest, &error), &error);
	lazy->file = content == CONTENT_PLAIN ? test_file_of(plain) :
						test_packed_file_of(plain);
	fl_image_release(plain);
	file_age(&lazy->file);
}

/* What is stored of a page, and where. All pages are in the index. */
static uint64_t stored(const struct lazy *lazy, uint64_t wpage, uint64_t *off)
{
	*off = toc_bytes_off(lazy->file.bytes, wpage);
	return toc_bytes_stored(toc_bytes_entry(lazy->file.bytes, wpage));
}

/* No read for a whole page is shorter, and each for a part is. */
static uint32_t whole_bytes(const struct lazy *lazy)
{
	uint64_t least = WPAGE, off;

	for (uint64_t w = 0; w < PAGES; w++)
		least = fl_min_u64(least, stored(lazy, w, &off));
	return (uint32_t)least;
}

static void file_open(struct lazy *lazy)
{
	struct fl_error error = { .text = "" };
	int fd;

	strcpy(lazy->file_path, "/tmp/fl-blocks-XXXXXX");
	fd = mkstemp(lazy->file_path);
	MUST(fd >= 0);
	MUST_EQ(write(fd, lazy->file.bytes, lazy->file.len),
		(ssize_t)lazy->file.len);
	close(fd);
	CONFORM_MUST(fl_page_source_from_file(lazy->file_path, -1, &lazy->pages,
					      &error),
		     &error);
}

static void lazy_open(struct lazy *lazy, enum way way, uint64_t deadline_ms)
{
	struct fl_pool_config config;
	int fd;

	memset(lazy, 0, sizeof(*lazy));
	lazy->deadline_ms = deadline_ms;
	conform_pool_config(&config);
	config.max_memories = config.max_instances = 8;
	config.audit_every = 1;
	conform_open(&lazy->conform, &config);
	content_make(lazy);
	strcpy(lazy->path, "/tmp/fl-blocks-set-XXXXXX");
	fd = mkstemp(lazy->path);
	MUST(fd >= 0);
	close(fd);
	set_make(lazy, 0);
	test_source_open(&lazy->source, lazy->file, way == WAY_LATER);
	lazy->way = way;
	if (way >= WAY_FILE)
		file_open(lazy);
	image_open(lazy);
	watched = lazy->conform.context;
}

static void lazy_close(struct lazy *lazy)
{
	CHECK_EQ(conform_info(&lazy->conform).retired_memories, 0);
	fl_image_release(lazy->image);
	conform_close(&lazy->conform);
	fl_page_source_release(lazy->source.source);
	fl_page_source_release(lazy->pages);
	if (lazy->file_path[0])
		unlink(lazy->file_path);
	unlink(lazy->path);
	free(lazy->file.bytes);
	free(lazy->bytes);
}

static uint64_t now(const char *name)
{
	return number_of_fd(procfs_find_fd("faultline-loads", 0), name);
}

static void wait_for(const char *name, uint64_t value)
{
	for (int i = 0; i < 5000 && now(name) != value; i++)
		usleep(1000);
	CHECK_EQ(now(name), value);
}

/* All loads that were begun have ended. What has ended is read first: the numbers of
 * one reading may be of two moments. */
static void wait_idle(void)
{
	uint64_t ended = 0, begun = 1;

	for (int i = 0; i < 5000 && ended != begun; i++) {
		if (i)
			usleep(1000);
		ended = now("loads_ended");
		begun = now("loads_begun");
	}
	CHECK_EQ(ended, begun);
}

static uint64_t foreseen_blocks(void)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < FORESEEN; i++)
		sum += (uint64_t)__builtin_popcount(foreseen[i].loaded);
	return sum;
}

static uint64_t foreseen_parts(void)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < FORESEEN; i++)
		sum += foreseen[i].parts;
	return sum;
}

static bool shows(const struct lazy *lazy, const struct fl_memory *memory)
{
	return !memcmp(memory->base, lazy->bytes, PAGES * WPAGE);
}

/* All blocks that come ahead, and no other byte. */
static bool shows_foreseen(const struct lazy *lazy,
			   const struct fl_memory *memory)
{
	for (uint32_t i = 0; i < FORESEEN * BLOCKS; i++) {
		const struct foreseen *page = &foreseen[i / BLOCKS];
		uint64_t off = page->wpage * WPAGE + i % BLOCKS * BLOCK;

		if (page->loaded >> i % BLOCKS & 1 &&
		    memcmp(memory->base + off, lazy->bytes + off, BLOCK) != 0)
			return false;
	}
	return true;
}

/* Of each foreseen page the first block, the last, or one that nobody foresees. */
static uint64_t a_block(const struct foreseen *page, bool is_foreseen)
{
	uint32_t blocks = is_foreseen ? page->loaded : ~page->loaded;

	return page->wpage * WPAGE + (uint64_t)__builtin_ctz(blocks) * BLOCK;
}

/* Packed pages are not read to where they stay. */
static enum way ways(void)
{
	if (test_needs_direct())
		return WAY_DIRECT;
	return content == CONTENT_PLAIN && !conform_needs_continue() ?
		       WAYS :
		       WAY_CONTINUE;
}

/* Whoever wants a file, by each way of publishing that can be had. */
static void each_file_way(void (*run)(enum way way))
{
	for (enum way way = WAY_FILE; way < ways(); way++)
		run(way);
}

/* -------------------------------------------------------------------- cases */

static void check_way(enum way way)
{
	struct fl_image_loading loading = { .size = sizeof(loading) };
	struct fl_memory *first, *second;
	struct lazy lazy;

	lazy_open(&lazy, way, 10000);
	first = conform_take(&lazy.conform, lazy.image, 0);
	wait_for("foreseen_blocks", foreseen_blocks());
	wait_for("loads_ended", foreseen_parts());
	CHECK(shows_foreseen(&lazy, first));
	CHECK_EQ(now("blocks_loaded"), foreseen_blocks());
	CHECK_EQ(now("foreseen_begun"), foreseen_parts());
	/* What is read to where it stays is shown when it is touched. */
	if (way != WAY_CONTINUE)
		CHECK_EQ(now("waits_begun"), 0);
	CHECK_EQ(now("pages_loaded"), 0);
	if (way < WAY_FILE)
		CHECK_EQ(__atomic_load_n(&lazy.source.reads, __ATOMIC_RELAXED),
			 foreseen_parts() - 2); /* two have one block */
	fl_image_loading(lazy.image, &loading);
	CHECK_EQ(loading.foreseen_wpages, FORESEEN);
	CHECK_EQ(loading.loaded_wpages, 0);
	/* Other blocks, in another slot; then all of it in the first. */
	second = conform_take(&lazy.conform, lazy.image, 0);
	for (size_t i = 0; i < FORESEEN; i++) {
		uint64_t off = a_block(&foreseen[i], false);

		CHECK_EQ(second->base[off], lazy.bytes[off]);
	}
	CHECK(shows(&lazy, first));
	CHECK(shows(&lazy, second));
	wait_for("pages_loaded", PAGES);
	CHECK_EQ(now("bytes_copied"), way == WAY_CONTINUE ? 0 : PAGES * WPAGE);
	conform_give(second);
	conform_give(first);
	CHECK_EQ(now("loads_failed"), 0);
	lazy_close(&lazy);
}

static void blocks_come_ahead(void)
{
	for (enum way way = 0; way < ways(); way++)
		check_way(way);
}

static const char *const disabled[] = {
	"io-uring",
	"io-uring,madv-collapse",
	"madv-collapse",
};

#define DISABLED (sizeof(disabled) / sizeof(disabled[0]))

/* By other means, as the kernel may lack the better ones. */
static void each_means(void (*run)(void))
{
	run();
	for (size_t i = 0; i < DISABLED; i++) {
		struct conform_disabled before = conform_disable(disabled[i]);

		run();
		conform_enable(&before);
	}
}

static void run_file(void)
{
	check_way(WAY_FILE);
	if (ways() > WAY_DIRECT)
		check_way(WAY_DIRECT);
}

static void files_by_all_means(void)
{
	each_means(run_file);
}

/* A byte of each block, each host page, or the whole block. */
static void scribble(const struct lazy *lazy, struct fl_memory *memory,
		     int round)
{
	for (uint32_t i = 0; i < FORESEEN * BLOCKS; i++) {
		const struct foreseen *page = &foreseen[i / BLOCKS];
		uint64_t off = page->wpage * WPAGE + i % BLOCKS * BLOCK;

		if (!(page->loaded >> i % BLOCKS & 1) || (round + i) % 4 == 3)
			continue;
		if (round % 3 == 2)
			memset(memory->base + off, 0xe5, BLOCK);
		else
			memory->base[off + 77] =
				(uint8_t)~lazy->bytes[off + 77];
	}
}

/* No page is whole, and what a tenant wrote of its blocks is the next one's no
 * more. */
static void run_written(void)
{
	struct fl_memory *memory, *other;
	struct lazy lazy;

	lazy_open(&lazy, WAY_LATER, 10000);
	other = conform_take(&lazy.conform, lazy.image, 0);
	wait_for("blocks_loaded", foreseen_blocks());
	for (int round = 0; round < 20; round++) {
		memory = conform_take(&lazy.conform, lazy.image, 0);
		CHECK(shows_foreseen(&lazy, memory));
		scribble(&lazy, memory, round);
		CHECK(shows_foreseen(&lazy, other));
		conform_give(memory);
	}
	CHECK_EQ(now("pages_loaded"), 0);
	memory = conform_take(&lazy.conform, lazy.image, 0);
	scribble(&lazy, memory, 2);
	CHECK(shows(&lazy, other));
	conform_give(memory);
	memory = conform_take(&lazy.conform, lazy.image, 0);
	CHECK(shows(&lazy, memory));
	conform_give(memory);
	conform_give(other);
	lazy_close(&lazy);
}

static void written_blocks_are_clean_again(void)
{
	each_means(run_written);
}

/* What was written of pages that are there in part is told, and taken, and none of
 * it makes the pages come but the taking. */
static void written_blocks_are_told(void)
{
	struct fl_memory_run runs[FORESEEN * BLOCKS];
	struct fl_written info = { .size = sizeof(info) };
	struct fl_error error = { .text = "" };
	struct fl_memory *memory, *again;
	struct fl_image *copy;
	struct lazy lazy;

	for (int round = 0; round < 8; round++) {
		uint64_t told = 0, written = 0;

		lazy_open(&lazy, (enum way)(round % ways()), 20000);
		memory = conform_take(&lazy.conform, lazy.image, 0);
		wait_for("blocks_loaded", foreseen_blocks());
		if (round % 2) {
			conform_give(memory);
			memory = conform_take(&lazy.conform, lazy.image, 0);
		}
		scribble(&lazy, memory, round);
		for (uint32_t i = 0; i < FORESEEN * BLOCKS; i++)
			written += foreseen[i / BLOCKS].loaded >> i % BLOCKS &
					   1 &&
				   (round + i) % 4 != 3;
		CONFORM_MUST(fl_memory_written(memory, 0, runs,
					       FORESEEN * BLOCKS, &info,
					       &error),
			     &error);
		for (uint64_t i = 0; i < info.run_count; i++)
			told += runs[i].length_bytes;
		CHECK_EQ(told, written * BLOCK);
		CHECK_EQ(now("pages_loaded"), 0);
		CONFORM_MUST(fl_image_from_memory(memory, NULL, &copy, &error),
			     &error);
		again = conform_take(&lazy.conform, copy, 0);
		CHECK(!memcmp(memory->base, again->base, PAGES * WPAGE));
		conform_give(again);
		fl_image_release(copy);
		conform_give(memory);
		memory = conform_take(&lazy.conform, lazy.image, 0);
		CHECK(shows(&lazy, memory));
		conform_give(memory);
		lazy_close(&lazy);
	}
}

/* Tenants write blocks the moment they come, and go while others come. */
static void written_as_they_come(void)
{
	for (int i = 0; i < 40; i++) {
		struct fl_memory *memory;
		struct lazy lazy;

		enum way way = i % 4 == 2 ? (enum way)(ways() - 1) : WAY_FILE;

		lazy_open(&lazy, i % 2 ? WAY_LATER : way, 10000);
		set(&lazy.source.mischief.is_late, i % 4 == 1);
		for (int round = 0; round < 4; round++) {
			memory = conform_take(&lazy.conform, lazy.image, 0);
			for (size_t f = 0; f < FORESEEN; f++) {
				uint64_t off = a_block(&foreseen[f], true);

				CHECK_EQ(memory->base[off], lazy.bytes[off]);
				memory->base[off] ^= 0xff;
				if ((int)f == i % 9)
					break;
			}
			conform_give(memory);
		}
		memory = conform_take(&lazy.conform, lazy.image, 0);
		CHECK(shows(&lazy, memory));
		conform_give(memory);
		lazy_close(&lazy);
	}
}

struct reader {
	pthread_t thread;
	const struct lazy *lazy;
	struct fl_memory *memory; /* NULL: the library reads */
	uint64_t off;
	uint32_t wrong;
};

static void *read_one(void *arg)
{
	struct reader *reader = arg;
	uint8_t page[WPAGE];

	if (reader->memory)
		reader->wrong = reader->memory->base[reader->off] !=
				reader->lazy->bytes[reader->off];
	else
		reader->wrong = fl_image_read(reader->lazy->image,
					      reader->off / WPAGE * WPAGE, page,
					      WPAGE) != 0 ||
				memcmp(page,
				       reader->lazy->bytes +
					       reader->off / WPAGE * WPAGE,
				       WPAGE) != 0;
	return NULL;
}

static void readers_join(struct reader *readers, int count)
{
	for (int i = 0; i < count; i++) {
		pthread_join(readers[i].thread, NULL);
		CHECK_EQ(readers[i].wrong, 0);
	}
}

/* Parts are under way. A guest that wants a foreseen block waits for one; a guest
 * that wants another block, and a call, have the page without it. */
static void a_page_is_wanted_meanwhile(void)
{
	struct fl_memory *memory, *other;
	struct reader readers[3];
	struct lazy lazy;

	for (uint32_t unordered = 0; unordered < 2; unordered++) {
		lazy_open(&lazy, WAY_LATER, 20000);
		set(&lazy.source.mischief.silent_below, whole_bytes(&lazy));
		set(&lazy.source.mischief.is_silent, 1);
		set(&lazy.source.mischief.is_unordered, unordered);
		memory = conform_take(&lazy.conform, lazy.image, 0);
		other = conform_take(&lazy.conform, lazy.image, 0);
		/* The queue has this depth on its way up too. */
		wait_for("foreseen_begun", foreseen_parts());
		wait_for("queue_depth", foreseen_parts() - 2);
		/* Page 2 a call's, page 5 a guest's, page 13 both of one slot. */
		readers[0] =
			(struct reader){ .lazy = &lazy,
					 .off = foreseen[0].wpage * WPAGE };
		readers[1] = (struct reader){
			.lazy = &lazy,
			.memory = other,
			.off = a_block(&foreseen[1], false),
		};
		for (int i = 0; i < 2; i++)
			MUST_EQ(pthread_create(&readers[i].thread, NULL,
					       read_one, &readers[i]),
				0);
		readers_join(readers, 2);
		CHECK_EQ(now("pages_loaded"), 2);
		for (int i = 0; i < 3; i++) {
			readers[i] = (struct reader){
				.lazy = &lazy,
				.memory = i == 2 ? NULL : memory,
				.off = a_block(&foreseen[5], i != 1),
			};
			MUST_EQ(pthread_create(&readers[i].thread, NULL,
					       read_one, &readers[i]),
				0);
			usleep(5000);
		}
		usleep(20000);
		set(&lazy.source.mischief.is_silent, 0);
		test_source_kick(&lazy.source);
		readers_join(readers, 3);
		wait_idle();
		CHECK_EQ(now("loads_failed"), 0);
		CHECK(shows(&lazy, memory) && shows(&lazy, other));
		conform_give(memory);
		conform_give(other);
		lazy_close(&lazy);
	}
}

struct guest {
	pthread_t thread;
	const uint8_t *at;
	uint8_t byte;
	bool is_trapped;
};

static void *guest_run(void *arg)
{
	struct guest *guest = arg;

	guest->is_trapped = !test_thread_read(guest->at, &guest->byte);
	return NULL;
}

static void guest_start(struct guest *guest, const struct fl_memory *memory,
			uint64_t off)
{
	uint64_t waits = now("waits_begun");

	*guest = (struct guest){ .at = memory->base + off };
	MUST_EQ(pthread_create(&guest->thread, NULL, guest_run, guest), 0);
	for (int i = 0; i < 100 && now("waits_begun") == waits; i++)
		usleep(1000);
}

static void guest_check(struct guest *guest, uint8_t byte)
{
	pthread_join(guest->thread, NULL);
	CHECK(!guest->is_trapped);
	CHECK_EQ(guest->byte, byte);
}

/* A part does not come, but its page does, which somebody else wants: a call, a
 * guest of another slot, or one of the same slot. All have what they wait for. */
static void a_page_comes_before_its_part(void)
{
	test_threads_catch(ignore);
	for (int who = 0; who < 3; who++) {
		struct fl_memory *memory, *other;
		struct guest first, second;
		uint8_t page[WPAGE];
		struct lazy lazy;

		/* The parts' time is not over before the case is. */
		lazy_open(&lazy, WAY_LATER, 30000);
		set(&lazy.source.mischief.silent_below, whole_bytes(&lazy));
		set(&lazy.source.mischief.is_silent, 1);
		memory = conform_take(&lazy.conform, lazy.image, 0);
		other = conform_take(&lazy.conform, lazy.image, 0);
		guest_start(&first, memory, a_block(&foreseen[5], true));
		if (who == 0)
			CHECK_EQ(fl_image_read(lazy.image,
					       foreseen[5].wpage * WPAGE, page,
					       WPAGE),
				 0);
		else
			guest_start(&second, who == 1 ? other : memory,
				    a_block(&foreseen[5], false));
		guest_check(&first, lazy.bytes[a_block(&foreseen[5], true)]);
		if (who)
			guest_check(&second,
				    lazy.bytes[a_block(&foreseen[5], false)]);
		CHECK_EQ(now("loads_failed"), 0);
		wait_for("waiting", 0);
		CHECK_EQ(now("pages_loaded"), 1);
		set(&lazy.source.mischief.is_silent, 0);
		test_source_kick(&lazy.source);
		conform_give(memory);
		conform_give(other);
		lazy_close(&lazy);
	}
	test_threads_catch_end();
}

/* Whole pages do not come, but the parts do: whoever has a block goes on. */
static void a_block_is_enough(void)
{
	struct fl_memory *memory;
	struct reader reader;
	struct lazy lazy;

	lazy_open(&lazy, WAY_NOW, 10000);
	__atomic_store_n(&lazy.source.mischief.fail_err, -EIO,
			 __ATOMIC_RELAXED);
	set(&lazy.source.mischief.is_late, 1);
	memory = conform_take(&lazy.conform, lazy.image, 0);
	for (size_t i = FORESEEN; i--;) {
		reader = (struct reader){
			.lazy = &lazy,
			.memory = memory,
			.off = a_block(&foreseen[i], true),
		};
		read_one(&reader);
		CHECK_EQ(reader.wrong, 0);
	}
	wait_for("blocks_loaded", foreseen_blocks());
	wait_idle();
	CHECK_EQ(now("pages_loaded"), 0);
	CHECK_EQ(now("loads_failed"), 0);
	CHECK(now("foreseen_blocks") <= now("blocks_loaded"));
	conform_give(memory);
	lazy_close(&lazy);
}

/* Leaves that are not the page's: the page comes whole, and checked. */
static void leaves_that_do_not_fit(void)
{
	static const uint64_t harms[] = { 16, 16 + 2 * 32 + 5, 16 + 511 };

	for (size_t h = 0; h < 3; h++) {
		struct fl_error error = { .text = "" };
		struct fl_memory *memory;
		struct lazy lazy;

		lazy_open(&lazy, h % 2 ? WAY_LATER : WAY_NOW, 10000);
		image_close(&lazy);
		set_make(&lazy, harms[h]);
		image_open(&lazy);
		memory = conform_take(&lazy.conform, lazy.image, 0);
		wait_for("pages_loaded", FORESEEN);
		wait_idle();
		CHECK_EQ(now("blocks_loaded"), 0);
		CHECK_EQ(now("loads_failed"), 0);
		/* Once each, however many parts were under way; two have one
		 * block. */
		CHECK(__atomic_load_n(&lazy.source.reads, __ATOMIC_RELAXED) <=
		      foreseen_parts() - 2 + FORESEEN);
		CHECK(shows(&lazy, memory));
		conform_give(memory);
		/* The next side file does not have them. */
		CONFORM_MUST(fl_image_write_working_set(lazy.image, lazy.path,
							&error),
			     &error);
		image_close(&lazy);
		image_open(&lazy);
		memory = conform_take(&lazy.conform, lazy.image, 0);
		CHECK(shows(&lazy, memory));
		CHECK_EQ(now("loads_failed"), 0);
		conform_give(memory);
		lazy_close(&lazy);
	}
}

/* A new tenant reads there: why that is a trap; 0: it is not. */
static int access_once(struct lazy *lazy, uint64_t off)
{
	struct fl_memory *memory = conform_take(&lazy->conform, lazy->image, 0);
	uint8_t byte = 0;

	memset(&seen, 0, sizeof(seen));
	test_threads_catch(see);
	if (test_thread_read(memory->base + off, &byte))
		CHECK_EQ(byte, lazy->bytes[off]);
	else
		CHECK_EQ(seen.kind, FL_FAULT_NOT_LOADED);
	test_threads_catch_end();
	conform_give(memory);
	return seen.load_error;
}

/* With so much time for each load, one that is late is one that nobody answered. */
#define PATIENT_MS 30000

/* Where the machine is busy and there is little time, a load may take longer than it
 * may though the source does nothing wrong: such an access is made again, by another
 * tenant. With much time it is a fault. */
static void check_access(struct lazy *lazy, uint64_t off, int load_error)
{
	int err;

	do
		err = access_once(lazy, off);
	while (err == -ETIMEDOUT && load_error != -ETIMEDOUT &&
	       lazy->deadline_ms < PATIENT_MS);
	CHECK_EQ(err, load_error);
}

/* All of the image, with little time for each load. */
static void check_all(struct lazy *lazy)
{
	for (uint64_t off = 0; off < PAGES * WPAGE; off += BLOCK)
		check_access(lazy, off, 0);
}

/* The image is opened anew, and each load of it has little time. */
static void check_late(struct lazy *lazy)
{
	struct test_mischief *m = &lazy->source.mischief;

	image_close(lazy);
	lazy->deadline_ms = 300;
	image_open(lazy);
	set(&m->is_silent, 1);
	check_access(lazy, a_block(&foreseen[3], true), -ETIMEDOUT);
	set(&m->is_deaf, 1);
	check_access(lazy, a_block(&foreseen[4], true), -ETIMEDOUT);
	set(&m->is_silent, 0);
	test_source_kick(&lazy->source);
	check_access(lazy, a_block(&foreseen[3], true), 0);
	check_access(lazy, a_block(&foreseen[4], true), 0);
	CHECK_EQ(now("pages_loaded"), 0);
	check_all(lazy);
}

/* Blocks that are wrong, missing or late are traps of whoever wants them, and the
 * next tenant has them. */
static void blocks_that_do_not_come(void)
{
	for (int is_later = 0; is_later < 2; is_later++) {
		struct test_mischief *m;
		struct fl_memory *memory;
		struct lazy lazy;

		lazy_open(&lazy, is_later ? WAY_LATER : WAY_NOW, PATIENT_MS);
		m = &lazy.source.mischief;
		set(&m->wrong_every, 1);
		check_access(&lazy, a_block(&foreseen[0], true), -ENOEXEC);
		/* Parts of one block are not the mischief's. */
		wait_for("blocks_loaded", 2);
		/* No read that was begun meanwhile is to be a good one. */
		wait_idle();
		CHECK_EQ(now("pages_loaded"), 0);
		set(&m->wrong_every, 0);
		check_access(&lazy, a_block(&foreseen[0], true), 0);
		__atomic_store_n(&m->fail_err, -ENOMEM, __ATOMIC_RELAXED);
		set(&m->fail_every, 1);
		check_access(&lazy, a_block(&foreseen[1], true), -ENOMEM);
		set(&m->fail_every, 0);
		check_access(&lazy, a_block(&foreseen[1], true), 0);
		CHECK_EQ(now("pages_loaded"), 0);
		memory = conform_take(&lazy.conform, lazy.image, 0);
		CHECK(shows(&lazy, memory));
		conform_give(memory);
		if (is_later)
			check_late(&lazy);
		lazy_close(&lazy);
	}
}

/* Each load that was begun is being read, and those of one block, which the source
 * does not count, have ended. */
static bool all_asked(const struct lazy *lazy)
{
	for (int i = 0; i < 1000; i++) {
		uint64_t reads =
			__atomic_load_n(&lazy->source.reads, __ATOMIC_RELAXED);
		uint64_t begun = now("loads_begun");

		if (begun >= foreseen_parts() && begun == reads + 2 &&
		    now("blocks_loaded") == 2)
			return true;
		usleep(1000);
	}
	return false;
}

/* Where the machine is busy, a part's time may be over before it is read at all. Then
 * the image is opened anew, and nothing is owed by the source. */
static void all_are_late(struct lazy *lazy)
{
	struct test_mischief *m = &lazy->source.mischief;

	for (;;) {
		set(&m->is_silent, 1);
		check_access(lazy, a_block(&foreseen[4], true), -ETIMEDOUT);
		if (all_asked(lazy))
			return;
		set(&m->is_silent, 0);
		test_source_kick(&lazy->source);
		wait_idle();
		image_close(lazy);
		image_open(lazy);
		__atomic_store_n(&lazy->source.reads, 0, __ATOMIC_RELAXED);
	}
}

/* A part comes after all when its time is over and another is read in its place: its
 * blocks count once. */
static void a_part_that_comes_twice(void)
{
	struct fl_memory *memory;
	struct test_mischief *m;
	struct lazy lazy;

	lazy_open(&lazy, WAY_LATER, 200);
	m = &lazy.source.mischief;
	set(&m->is_deaf, 1);
	set(&m->is_stubborn, 1);
	all_are_late(&lazy);
	set(&m->is_unordered, 1);
	set(&m->is_silent, 0);
	check_access(&lazy, a_block(&foreseen[4], true), 0);
	wait_for("blocks_loaded", foreseen_blocks());
	wait_idle();
	CHECK_EQ(now("blocks_loaded"), foreseen_blocks());
	CHECK(now("foreseen_blocks") <= now("blocks_loaded"));
	memory = conform_take(&lazy.conform, lazy.image, 0);
	CHECK(shows_foreseen(&lazy, memory));
	CHECK_EQ(now("pages_loaded"), 0);
	conform_give(memory);
	lazy_close(&lazy);
}

/* The image goes while parts are on their way. */
static void the_image_goes_at_any_moment(void)
{
	struct fl_memory *memory;
	struct lazy lazy;

	for (enum way way = 0; way < ways(); way++) {
		lazy_open(&lazy, way, 10000);
		set(&lazy.source.mischief.is_late, 1);
		for (int i = 0; i < 20; i++) {
			memory = conform_take(&lazy.conform, lazy.image, 0);
			usleep((useconds_t)i * 41);
			if (i % 3 == 0)
				CHECK_EQ(memory->base[5 * WPAGE],
					 lazy.bytes[5 * WPAGE]);
			conform_give(memory);
			image_close(&lazy);
			image_open(&lazy);
		}
		lazy_close(&lazy);
	}
}

/* ------------------------------------------------------------------- storm */

struct stormer {
	pthread_t thread;
	struct lazy *lazy;
	struct test_random random;
	uint64_t end_ns;
};

static void storm_tenant(struct stormer *stormer)
{
	struct lazy *lazy = stormer->lazy;
	struct fl_memory *memory = conform_take(&lazy->conform, lazy->image, 0);
	uint64_t count = test_random_below(&stormer->random, 40);

	while (count--) {
		const struct foreseen *page =
			&foreseen[test_random_below(&stormer->random, FORESEEN)];
		uint64_t off = page->wpage * WPAGE +
			       test_random_below(&stormer->random, WPAGE - 1);
		uint8_t byte;

		if (!test_thread_read(memory->base + off, &byte))
			break;
		CHECK_EQ(byte, lazy->bytes[off]);
		/* A later read of this tenant may not find it changed. */
		if (count % 4 == 0)
			memset(memory->base + off / BLOCK * BLOCK, 0x77, BLOCK);
		if (count % 4 == 0)
			break;
	}
	conform_give(memory);
}

static void *storm_run(void *arg)
{
	struct stormer *stormer = arg;

	while (test_now_ns() < stormer->end_ns && !test_has_failed())
		storm_tenant(stormer);
	return NULL;
}

static void storm(struct lazy *lazy, uint32_t round)
{
	struct stormer stormers[6];

	for (uint64_t i = 0; i < 6; i++) {
		stormers[i] = (struct stormer){
			.lazy = lazy,
			.random.state = round * 6 + i + 1,
			.end_ns = test_now_ns() + 40000000,
		};
		MUST_EQ(pthread_create(&stormers[i].thread, NULL, storm_run,
				       &stormers[i]),
			0);
	}
	for (int i = 0; i < 6; i++)
		pthread_join(stormers[i].thread, NULL);
}

static void storm_round(uint32_t round)
{
	struct test_mischief *m;
	struct lazy lazy;

	lazy_open(&lazy, round % ways(), round % 5 == 4 ? 2 : 50);
	m = &lazy.source.mischief;
	__atomic_store_n(&m->fail_err, -EIO, __ATOMIC_RELAXED);
	set(&m->fail_every, round % 3 ? 7 : 0);
	set(&m->wrong_every, round % 4 ? 5 : 0);
	set(&m->is_late, round % 5 > 2);
	set(&m->is_short, round % 3 == 1);
	set(&m->is_twice, 1);
	set(&m->is_unordered, round % 2);
	storm(&lazy, round);
	lazy_close(&lazy);
}

static void a_storm_of_faults(void)
{
	test_threads_catch(ignore);
	for (uint32_t i = 0; i < 20 && !test_has_failed(); i++)
		storm_round(i);
	test_threads_catch_end();
}

/* Threads of one slot, and of others, want blocks and pages in any order. The source
 * is odd and no read fails: so each access has its byte. */
static void *share_run(void *arg)
{
	struct reader *reader = arg;
	const struct lazy *lazy = reader->lazy;
	struct test_random random;

	test_random_init(&random, reader->off);
	for (int i = 0; i < 300 && !reader->wrong; i++) {
		const struct foreseen *page =
			&foreseen[test_random_below(&random, FORESEEN)];
		uint64_t off =
			page->wpage * WPAGE + test_random_below(&random, WPAGE);

		if (i % 3 == 0)
			off = test_random_below(&random, PAGES * WPAGE);
		reader->wrong = reader->memory->base[off] != lazy->bytes[off];
	}
	return NULL;
}

static void share_round(uint32_t round)
{
	struct fl_memory *memories[3];
	struct reader readers[9];
	struct test_mischief *m;
	struct lazy lazy;

	lazy_open(&lazy, round % ways(), 30000);
	if (round % 2) {
		image_close(&lazy);
		set_make(&lazy, 16 + round);
		image_open(&lazy);
	}
	m = &lazy.source.mischief;
	set(&m->is_late, round % 5 < 3);
	set(&m->is_short, round % 4 > 1);
	set(&m->is_twice, 1);
	set(&m->is_unordered, round % 7 > 3);
	for (int i = 0; i < 3; i++)
		memories[i] = conform_take(&lazy.conform, lazy.image, 0);
	for (uint32_t i = 0; i < 9; i++) {
		readers[i] = (struct reader){ .lazy = &lazy,
					      .memory = memories[i / 3],
					      .off = round * 9 + i };
		MUST_EQ(pthread_create(&readers[i].thread, NULL, share_run,
				       &readers[i]),
			0);
	}
	readers_join(readers, 9);
	for (int i = 0; i < 3; i++) {
		CHECK(shows(&lazy, memories[i]));
		conform_give(memories[i]);
	}
	CHECK_EQ(now("loads_failed"), 0);
	lazy_close(&lazy);
}

static void threads_of_one_slot(void)
{
	for (uint32_t i = 0; i < 30 && !test_has_failed(); i++)
		share_round(i);
}

/* Any bytes may be in a side file: cut, doubled, grown, changed. */
static void side_harm(const struct lazy *lazy, struct test_random *random)
{
	static uint8_t bytes[65536];
	FILE *file = fopen(lazy->path, "r+b");
	size_t len, flips = (size_t)test_random_below(random, 20);

	MUST(file != NULL);
	len = fread(bytes, 1, sizeof(bytes), file);
	while (flips--)
		bytes[HEAD_BYTES + test_random_below(random, len - HEAD_BYTES)] =
			(uint8_t)test_random_next(random);
	rewind(file);
	if (test_random_below(random, 3) == 0)
		len -= (size_t)test_random_below(random, len);
	fwrite(bytes, 1, len, file);
	if (test_random_below(random, 3) == 0 && len > HEAD_BYTES)
		fwrite(bytes + HEAD_BYTES, 1, len - HEAD_BYTES, file);
	MUST_EQ(ftruncate(fileno(file), ftell(file)), 0);
	fclose(file);
}

static void run_any_side_file(enum way way)
{
	struct test_random random;
	struct fl_memory *memory;
	struct lazy lazy;

	test_random_init(&random, 5);
	lazy_open(&lazy, way, 30000);
	for (int i = 0; i < 150 && !test_has_failed(); i++) {
		struct fl_error error = { .text = "" };

		image_close(&lazy);
		set_make(&lazy, 0);
		side_harm(&lazy, &random);
		image_open(&lazy);
		memory = conform_take(&lazy.conform, lazy.image, 0);
		CHECK(shows(&lazy, memory));
		conform_give(memory);
		CHECK_EQ(now("loads_failed"), 0);
		CONFORM_MUST(fl_image_write_working_set(lazy.image, lazy.path,
							&error),
			     &error);
	}
	lazy_close(&lazy);
}

static void any_side_file(void)
{
	each_file_way(run_any_side_file);
}

/* ---------------------------------------------------------------- recording */

/* What a tenant touched comes ahead in the next run, and no block more, where the
 * kernel can be kept from mapping blocks around. */
static void run_recorded(enum way way)
{
	static const uint32_t touched[2][5] = { { 0, 1, 5, 9, 15 },
						{ 9, 10, 11, 12, 13 } };
	bool is_packed = content != CONTENT_PLAIN;
	const uint32_t *block = touched[is_packed];
	struct fl_image_loading loading = { .size = sizeof(loading) };
	struct fl_error error = { .text = "" };
	struct fl_memory *memory;
	struct lazy lazy;

	lazy_open(&lazy, way, 10000);
	image_close(&lazy);
	MUST_EQ(truncate(lazy.path, 0), 0);
	image_open(&lazy);
	memory = conform_take(&lazy.conform, lazy.image, 0);
	for (uint64_t w = 1; w < PAGES; w += 3) {
		for (size_t i = 0; i < 5; i++)
			CHECK_EQ(memory->base[w * WPAGE + block[i] * BLOCK],
				 lazy.bytes[w * WPAGE + block[i] * BLOCK]);
	}
	conform_give(memory);
	fl_image_loading(lazy.image, &loading);
	CONFORM_MUST(fl_image_write_working_set(lazy.image, lazy.path, &error),
		     &error);
	image_close(&lazy);
	image_open(&lazy);
	memory = conform_take(&lazy.conform, lazy.image, 0);
	/* Nobody is watched: each page that was touched. */
	if (loading.recorded_tenants && way == WAY_CONTINUE)
		wait_for("pages_loaded", PAGES / 3);
	else if (loading.recorded_tenants)
		/* Block by block, the gaps of more than two left out where a page
		 * is stored as it is; else two frames. */
		wait_for("blocks_loaded",
			 is_packed ? (PAGES / 3 - 1) * 2 * FRAME_BLOCKS + 5 :
				     PAGES / 3 * 5);
	CHECK(way == WAY_CONTINUE || !now("pages_loaded"));
	CHECK(shows(&lazy, memory));
	conform_give(memory);
	lazy_close(&lazy);
}

static void blocks_are_recorded(void)
{
	each_file_way(run_recorded);
}

/* What a tenant touches is mapped, and nothing around it, though the file has it. The
 * kernel maps no page around that it holds at the moment, and may take one away: one
 * that is mapped in any of several places says that the tenant is not watched. */
static bool is_watched(const struct fl_memory *memory)
{
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	bool is_alone = true, is_there = false;

	MUST(fd >= 0);
	for (uint64_t wpage = 0; wpage < PAGES; wpage += 3) {
		const volatile uint8_t *block =
			memory->base + wpage * WPAGE + 4 * BLOCK;
		uint64_t entries[2];

		(void)*block;
		MUST_EQ(pread(fd, entries, sizeof(entries),
			      (off_t)((uintptr_t)block / BLOCK *
				      sizeof(*entries))),
			sizeof(entries));
		is_there |= entries[0] >> 63;
		is_alone &= !(entries[1] >> 63);
	}
	close(fd);
	CHECK(is_there);
	return is_alone;
}

/* A tenant that is watched takes a fault for each block, as long as it is there. So
 * only one is, however many come before the first one goes; and none is whose slot
 * nobody records. */
static void check_watched(enum way way, enum fl_allocation allocation)
{
	uint64_t watched_count = 0;
	struct fl_error error = { .text = "" };
	struct fl_memory *memories[4];
	struct fl_pool_config config;
	struct lazy lazy;

	lazy_open(&lazy, way, 10000);
	image_close(&lazy);
	CHECK_EQ(fl_pool_destroy(lazy.conform.pool), 0);
	conform_pool_config(&config);
	config.allocation = allocation;
	CONFORM_MUST(fl_pool_create(lazy.conform.context, &config,
				    &lazy.conform.pool, &error),
		     &error);
	MUST_EQ(truncate(lazy.path, 0), 0);
	image_open(&lazy);
	for (int i = 0; i < 4; i++)
		memories[i] = conform_take(&lazy.conform, lazy.image, 0);
	CHECK_EQ(fl_image_read(lazy.image, 0, lazy.file.bytes, PAGES * WPAGE),
		 0);
	for (int i = 0; i < 4; i++)
		watched_count += is_watched(memories[i]);
	test_note("%llu of 4 are watched", (unsigned long long)watched_count);
	CHECK(watched_count <=
	      (allocation == FL_ALLOCATION_POOLING && way != WAY_CONTINUE));
	for (int i = 0; i < 4; i++)
		conform_give(memories[i]);
	lazy_close(&lazy);
}

static void run_watched(enum way way)
{
	check_watched(way, FL_ALLOCATION_POOLING);
	check_watched(way, FL_ALLOCATION_ON_DEMAND);
}

static void one_tenant_is_watched(void)
{
	each_file_way(run_watched);
}

/* ------------------------------------------------------------- packed files */

static void run_packed(void (*run)(void))
{
	foreseen = packed_foreseen;
	content = CONTENT_EVEN;
	run();
	foreseen = plain_foreseen;
	content = CONTENT_PLAIN;
}

#define PACKED(name)                    \
	static void packed_##name(void) \
	{                               \
		run_packed(name);       \
	}

PACKED(blocks_come_ahead)
PACKED(files_by_all_means)
PACKED(written_blocks_are_clean_again)
PACKED(written_blocks_are_told)
PACKED(written_as_they_come)
PACKED(a_page_is_wanted_meanwhile)
PACKED(a_page_comes_before_its_part)
PACKED(a_block_is_enough)
PACKED(leaves_that_do_not_fit)
PACKED(blocks_that_do_not_come)
PACKED(a_part_that_comes_twice)
PACKED(the_image_goes_at_any_moment)
PACKED(a_storm_of_faults)
PACKED(threads_of_one_slot)
PACKED(any_side_file)
PACKED(blocks_are_recorded)

static void frame_harm(struct lazy *lazy, uint64_t wpage, int frame,
		       uint64_t from_eighth)
{
	const uint8_t *entry = toc_bytes_entry(lazy->file.bytes, wpage);
	uint64_t off = toc_bytes_off(lazy->file.bytes, wpage);
	uint64_t len = toc_bytes_frame(entry, frame);

	for (int i = 0; i < frame; i++)
		off += toc_bytes_frame(entry, i);
	for (uint64_t at = len * from_eighth / 8; at < len; at++)
		lazy->file.bytes[off + at] ^= 0x5a;
}

/* Bytes of frames change from a part of each on: of those that come ahead, or of the
 * others. What was changed is as it was when this is called again. */
static void frames_harm(struct lazy *lazy, bool is_foreseen,
			uint64_t from_eighth)
{
	for (int i = 0; i < FORESEEN * FRAMES; i++) {
		const struct foreseen *page = &foreseen[i / FRAMES];
		int frame = i % FRAMES;

		if (page->wpage != NOISE_PAGE &&
		    is_foreseen == (page->loaded >> frame * FRAME_BLOCKS & 1))
			frame_harm(lazy, page->wpage, frame, from_eighth);
	}
}

/* The parts come, and whoever wants more has an error, again and again. */
static void run_other_harm(void)
{
	struct fl_memory *memory;
	struct lazy lazy;

	for (int is_later = 0; is_later < 2; is_later++) {
		lazy_open(&lazy, is_later ? WAY_LATER : WAY_NOW, PATIENT_MS);
		frames_harm(&lazy, false, 0);
		memory = conform_take(&lazy.conform, lazy.image, 0);
		wait_for("foreseen_blocks", foreseen_blocks());
		CHECK(shows_foreseen(&lazy, memory));
		wait_idle();
		CHECK_EQ(now("loads_failed"), 0);
		CHECK_EQ(now("pages_loaded"), 0);
		/* A page that follows another would have the next ones loaded. */
		for (size_t i = 0; i < 6; i += 2) {
			check_access(&lazy, a_block(&foreseen[i], false),
				     -ENOEXEC);
			check_access(&lazy, a_block(&foreseen[i], true), 0);
		}
		CHECK(shows_foreseen(&lazy, memory));
		CHECK_EQ(now("pages_loaded"), 0);
		frames_harm(&lazy, false, 0);
		conform_give(memory);
		memory = conform_take(&lazy.conform, lazy.image, 0);
		CHECK(shows(&lazy, memory));
		conform_give(memory);
		lazy_close(&lazy);
	}
}

static void a_frame_is_wrong_beside_the_part(void)
{
	run_packed(run_other_harm);
}

/* So is the part: no byte of it is shown. */
static void run_part_harm(void)
{
	for (uint64_t eighth = 0; eighth < 8; eighth += 3) {
		struct fl_memory *memory;
		struct lazy lazy;

		lazy_open(&lazy, eighth ? WAY_LATER : WAY_NOW, PATIENT_MS);
		frames_harm(&lazy, true, eighth);
		memory = conform_take(&lazy.conform, lazy.image, 0);
		/* The two are of the page that is stored as it is. */
		wait_for("blocks_loaded", 2);
		wait_for("loads_failed", foreseen_parts() - 2);
		conform_give(memory);
		for (size_t i = 0; i < 3; i++)
			check_access(&lazy, a_block(&foreseen[i], true),
				     -ENOEXEC);
		CHECK_EQ(now("pages_loaded"), 0);
		frames_harm(&lazy, true, eighth);
		for (size_t i = 0; i < 3; i++)
			check_access(&lazy, a_block(&foreseen[i], true), 0);
		CHECK_EQ(now("pages_loaded"), 0);
		memory = conform_take(&lazy.conform, lazy.image, 0);
		CHECK(shows(&lazy, memory));
		conform_give(memory);
		lazy_close(&lazy);
	}
}

static void a_frame_is_wrong_in_the_part(void)
{
	run_packed(run_part_harm);
}

/* A page has two parts, of which one is wrong: the other comes, and so does what is
 * foreseen of other pages. */
static void run_one_harm(void)
{
	const struct foreseen *page = &foreseen[1];

	for (int frame = 1; frame < FRAMES; frame += 2) {
		uint64_t start = page->wpage * WPAGE;
		uint64_t bad = start + (uint64_t)frame * FRAME_BLOCKS * BLOCK;
		uint64_t good = start + (uint64_t)(FRAMES - frame) *
						FRAME_BLOCKS * BLOCK;
		struct fl_memory *memory;
		struct lazy lazy;

		lazy_open(&lazy, frame == 1 ? WAY_NOW : WAY_LATER, PATIENT_MS);
		frame_harm(&lazy, page->wpage, frame, 0);
		memory = conform_take(&lazy.conform, lazy.image, 0);
		wait_for("blocks_loaded", foreseen_blocks() - FRAME_BLOCKS);
		wait_for("loads_failed", 1);
		conform_give(memory);
		check_access(&lazy, bad, -ENOEXEC);
		check_access(&lazy, good, 0);
		check_access(&lazy, bad, -ENOEXEC);
		CHECK_EQ(now("pages_loaded"), 0);
		frame_harm(&lazy, page->wpage, frame, 0);
		check_access(&lazy, bad, 0);
		memory = conform_take(&lazy.conform, lazy.image, 0);
		CHECK(shows_foreseen(&lazy, memory));
		CHECK_EQ(now("pages_loaded"), 0);
		CHECK(shows(&lazy, memory));
		conform_give(memory);
		lazy_close(&lazy);
	}
}

static void one_part_of_a_page_is_wrong(void)
{
	run_packed(run_one_harm);
}

/* Frames of a few bytes and of as many as they hold, read by many reads or by one. */
static void run_uneven(void)
{
	content = CONTENT_UNEVEN;
	for (enum way way = 0; way < ways(); way++) {
		struct fl_memory *memory;
		struct lazy lazy;

		lazy_open(&lazy, way, PATIENT_MS);
		set(&lazy.source.mischief.is_short, way == WAY_LATER);
		memory = conform_take(&lazy.conform, lazy.image, 0);
		wait_for("foreseen_blocks", foreseen_blocks());
		wait_idle();
		CHECK(shows_foreseen(&lazy, memory));
		CHECK_EQ(now("pages_loaded"), 0);
		CHECK_EQ(now("loads_failed"), 0);
		CHECK_EQ(now("loads_begun"), foreseen_parts());
		CHECK(shows(&lazy, memory));
		conform_give(memory);
		lazy_close(&lazy);
	}
}

static void frames_of_any_length(void)
{
	run_packed(run_uneven);
}

/* Pages of one frame come whole, and what the run recorded makes them come so again. */
static void run_older(void)
{
	content = CONTENT_OLDER;
	for (enum way way = 0; way < ways(); way++) {
		struct fl_error error = { .text = "" };
		struct fl_memory *memory;
		struct lazy lazy;

		lazy_open(&lazy, way, PATIENT_MS);
		for (int run = 0; run < 2; run++) {
			memory = conform_take(&lazy.conform, lazy.image, 0);
			wait_for("pages_loaded", FORESEEN - 1);
			wait_for("blocks_loaded", 2);
			wait_idle();
			CHECK_EQ(now("waits_begun"), 0);
			CHECK(shows_foreseen(&lazy, memory));
			CHECK_EQ(now("pages_loaded"), FORESEEN - 1);
			CHECK_EQ(now("loads_failed"), 0);
			conform_give(memory);
			image_close(&lazy);
			image_open(&lazy);
		}
		memory = conform_take(&lazy.conform, lazy.image, 0);
		CHECK(shows(&lazy, memory));
		conform_give(memory);
		CONFORM_MUST(fl_image_write_working_set(lazy.image, lazy.path,
							&error),
			     &error);
		image_close(&lazy);
		image_open(&lazy);
		memory = conform_take(&lazy.conform, lazy.image, 0);
		CHECK(shows(&lazy, memory));
		CHECK_EQ(now("loads_failed"), 0);
		conform_give(memory);
		lazy_close(&lazy);
	}
}

static void a_file_of_the_older_form(void)
{
	run_packed(run_older);
}

/* The file of a source that is one, too. */
static void file_write(const struct lazy *lazy)
{
	int fd;

	if (!lazy->pages)
		return;
	fd = open(lazy->file_path, O_WRONLY);
	MUST(fd >= 0);
	MUST_EQ(pwrite(fd, lazy->file.bytes, lazy->file.len, 0),
		(ssize_t)lazy->file.len);
	close(fd);
}

/* Some bytes of frames are others: those of the heads above all, or of blocks. */
static void frames_change(struct lazy *lazy, struct test_random *random)
{
	for (size_t i = 0; i < FORESEEN; i++) {
		uint64_t off, count = test_random_below(random, 4);
		uint64_t len = stored(lazy, foreseen[i].wpage, &off);

		while (count--) {
			uint64_t most = count % 2 ? len : 24;

			lazy->file.bytes[off + test_random_below(random, most)] =
				(uint8_t)test_random_next(random);
		}
	}
	file_write(lazy);
}

static void change_round(uint32_t round)
{
	struct test_random random;
	struct test_mischief *m;
	struct fl_memory *memory;
	struct lazy lazy;
	uint8_t *kept;

	test_random_init(&random, round);
	content = round % 4 == 3 ? CONTENT_OLDER :
		  round % 3	 ? CONTENT_EVEN :
				   CONTENT_UNEVEN;
	lazy_open(&lazy, round % ways(), round % 5 == 4 ? 3 : 50);
	kept = malloc(lazy.file.len);
	MUST(kept != NULL);
	memcpy(kept, lazy.file.bytes, lazy.file.len);
	frames_change(&lazy, &random);
	m = &lazy.source.mischief;
	set(&m->is_late, round % 5 > 2);
	set(&m->is_short, round % 4 == 1);
	set(&m->is_unordered, round % 2);
	set(&m->is_silent, round % 7 == 6);
	set(&m->is_stubborn, round % 2);
	set(&m->silent_below, (uint32_t)test_random_below(&random, WPAGE));
	test_threads_catch(ignore);
	storm(&lazy, round);
	test_threads_catch_end();
	test_source_behave(&lazy.source);
	if (round % ways() == WAY_LATER)
		test_source_kick(&lazy.source);
	wait_idle();
	/* Nobody reads the file while it is mended. */
	image_close(&lazy);
	fl_page_source_release(lazy.source.source);
	memcpy(lazy.file.bytes, kept, lazy.file.len);
	file_write(&lazy);
	free(kept);
	test_source_open(&lazy.source, lazy.file, round % ways() == WAY_LATER);
	lazy.deadline_ms = PATIENT_MS;
	image_open(&lazy);
	memory = conform_take(&lazy.conform, lazy.image, 0);
	CHECK(shows(&lazy, memory));
	conform_give(memory);
	lazy_close(&lazy);
}

/* Whatever frames hold, whoever wants what of them, and however the source gives it:
 * what is shown is right, and each load ends. Nothing is left of them for the next
 * image, of the file that was mended. */
static void run_any_frames(void)
{
	for (uint32_t i = 0; i < 21 && !test_has_failed(); i++)
		change_round(i);
}

static void any_frames(void)
{
	run_packed(run_any_frames);
}

static const char *needs_blocks(void)
{
	return conform_hpage() > BLOCK ? "host pages have several blocks" :
					 conform_needs_lazy();
}

static const char *needs_packed(void)
{
	const char *lacks = test_needs_zstd();

	return lacks ? lacks : needs_blocks();
}

static const struct test_case cases[] = {
	TEST_CASE_NEEDS(blocks_come_ahead, needs_blocks),
	TEST_CASE_NEEDS(files_by_all_means, needs_blocks),
	TEST_CASE_NEEDS(written_blocks_are_clean_again, needs_blocks),
	TEST_CASE_NEEDS(written_blocks_are_told, needs_blocks),
	TEST_CASE_NEEDS(written_as_they_come, needs_blocks),
	TEST_CASE_NEEDS(a_page_is_wanted_meanwhile, needs_blocks),
	TEST_CASE_NEEDS(a_page_comes_before_its_part, needs_blocks),
	TEST_CASE_NEEDS(a_block_is_enough, needs_blocks),
	TEST_CASE_NEEDS(leaves_that_do_not_fit, needs_blocks),
	TEST_CASE_NEEDS(blocks_that_do_not_come, needs_blocks),
	TEST_CASE_NEEDS(a_part_that_comes_twice, needs_blocks),
	TEST_CASE_NEEDS(the_image_goes_at_any_moment, needs_blocks),
	TEST_CASE_NEEDS(a_storm_of_faults, needs_blocks),
	TEST_CASE_NEEDS(threads_of_one_slot, needs_blocks),
	TEST_CASE_NEEDS(any_side_file, needs_blocks),
	TEST_CASE_NEEDS(blocks_are_recorded, needs_blocks),
	TEST_CASE_NEEDS(one_tenant_is_watched, needs_blocks),
	TEST_CASE_NEEDS(packed_blocks_come_ahead, needs_packed),
	TEST_CASE_NEEDS(packed_files_by_all_means, needs_packed),
	TEST_CASE_NEEDS(packed_written_blocks_are_clean_again, needs_packed),
	TEST_CASE_NEEDS(packed_written_blocks_are_told, needs_packed),
	TEST_CASE_NEEDS(packed_written_as_they_come, needs_packed),
	TEST_CASE_NEEDS(packed_a_page_is_wanted_meanwhile, needs_packed),
	TEST_CASE_NEEDS(packed_a_page_comes_before_its_part, needs_packed),
	TEST_CASE_NEEDS(packed_a_block_is_enough, needs_packed),
	TEST_CASE_NEEDS(packed_leaves_that_do_not_fit, needs_packed),
	TEST_CASE_NEEDS(packed_blocks_that_do_not_come, needs_packed),
	TEST_CASE_NEEDS(packed_a_part_that_comes_twice, needs_packed),
	TEST_CASE_NEEDS(packed_the_image_goes_at_any_moment, needs_packed),
	TEST_CASE_NEEDS(packed_a_storm_of_faults, needs_packed),
	TEST_CASE_NEEDS(packed_threads_of_one_slot, needs_packed),
	TEST_CASE_NEEDS(packed_any_side_file, needs_packed),
	TEST_CASE_NEEDS(packed_blocks_are_recorded, needs_packed),
	TEST_CASE_NEEDS(a_frame_is_wrong_beside_the_part, needs_packed),
	TEST_CASE_NEEDS(a_frame_is_wrong_in_the_part, needs_packed),
	TEST_CASE_NEEDS(one_part_of_a_page_is_wrong, needs_packed),
	TEST_CASE_NEEDS(frames_of_any_length, needs_packed),
	TEST_CASE_NEEDS(a_file_of_the_older_form, needs_packed),
	TEST_CASE_NEEDS(any_frames, needs_packed),
};

CONFORM_MAIN(cases)
