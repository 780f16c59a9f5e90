/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * desk.c - loads without a kernel. Of pages that are read to where they stay, no
 * block is where two sources may write, and none is read once guests may see it,
 * however late an answer comes. Of a file that is read past the page cache, a disk has
 * reads under way while pages are filled.
 */
#include "tests/kit/test.h"

#include "uffd/load/fill.h"
#include "uffd/load/turns.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define ENTRIES 128u
#define BLOCK FL__PAGE_BLOCK_BYTES
#define FOR_EVER UINT64_MAX

struct ground {
	struct fl__desk desk;
	struct fl__toc_entry entries[ENTRIES];
	struct fl__toc_image toc_image;
	struct fl__origin origin;
	struct fl_image image;
	struct fl__lazy lazy;
	uint8_t loaded[ENTRIES];
	uint16_t present[ENTRIES];
	uint8_t *window; /* nothing reads or writes it */
};

static void ground_open(struct ground *ground, bool is_continue)
{
	struct fl__origin *origin = &ground->origin;

	memset(ground, 0, sizeof(*ground));
	MUST_EQ(fl__desk_init(&ground->desk), 0);
	for (uint64_t i = 0; i < ENTRIES; i++)
		ground->entries[i] = (struct fl__toc_entry){
			.wpage = i,
			.file_off = (1 + i) * FL_WPAGE_BYTES,
			.stored_bytes = FL_WPAGE_BYTES,
		};
	ground->toc_image.entry_count = ENTRIES;
	origin->deadline_ns = 20000000;
	origin->toc = (struct fl__toc){
		.images = &ground->toc_image,
		.entries = ground->entries,
		.entry_count = ENTRIES,
		.image_count = 1,
	};
	MUST_EQ(fl__workset_init(&ground->image.set, &origin->toc, 0), 0);
	MUST_EQ(fl__workset_take_parts(&ground->image.set, BLOCK), 0);
	ground->window = malloc(ENTRIES * FL_WPAGE_BYTES);
	MUST(ground->window != NULL);
	ground->lazy = (struct fl__lazy){
		.desk = &ground->desk,
		.window = ground->window,
		.span_bytes = ENTRIES * FL_WPAGE_BYTES,
		.loaded = ground->loaded,
		.present = ground->present,
		.is_continue = is_continue,
		.reader = FL__READER_RING,
		.last_wpage = UINT64_MAX - 1,
	};
	ground->image.origin = origin;
	ground->image.lazy = &ground->lazy;
	ground->image.map.hpage_bytes = BLOCK;
	fl__desk_add_image(&ground->desk, &ground->image);
}

static void ground_close(struct ground *ground)
{
	fl__workset_fini(&ground->image.set);
	fl__desk_fini(&ground->desk);
	free(ground->window);
}

static struct fl__part part(uint32_t first, uint32_t count)
{
	return (struct fl__part){ first, count };
}

static bool is_lent(struct ground *ground, uint64_t wpage, struct fl__part of)
{
	return fl__desk_is_lent_locked(&ground->desk, &ground->image, wpage,
				       of);
}

/* A load that the ring reads. */
static struct fl__load *reading(struct ground *ground, uint64_t wpage,
				struct fl__part of, uint64_t deadline_ns)
{
	struct fl__desk *desk = &ground->desk;
	struct fl__load *load = fl__desk_begin_locked(
		desk, &ground->image, wpage, of, deadline_ns, false);

	MUST(load != NULL);
	MUST(fl__turns_next_locked(desk, FL__READER_RING) == load);
	load->state = FL__LOAD_READING;
	fl__desk_put_locked(desk, load);
	return load;
}

struct wanter {
	pthread_t thread;
	struct ground *ground;
	uint64_t wpage;
	int err;
	bool is_over; /* atomic */
};

static void *want_run(void *arg)
{
	struct wanter *wanter = arg;

	wanter->err = fl__desk_want(&wanter->ground->desk,
				    &wanter->ground->image, wanter->wpage);
	__atomic_store_n(&wanter->is_over, true, __ATOMIC_RELEASE);
	return NULL;
}

static void want_start(struct wanter *wanter, struct ground *ground,
		       uint64_t wpage)
{
	*wanter = (struct wanter){ .ground = ground, .wpage = wpage };
	MUST_EQ(pthread_create(&wanter->thread, NULL, want_run, wanter), 0);
}

/* A thread keeps the time and begins what can be read; NULL: nothing could until the
 * wanter was answered, or for ten seconds. */
static struct fl__load *next_read(struct ground *ground,
				  const struct wanter *wanter)
{
	struct fl__desk *desk = &ground->desk;
	struct fl__load *load = NULL;

	for (int i = 0; i < 20000 && !load &&
			!__atomic_load_n(&wanter->is_over, __ATOMIC_ACQUIRE);
	     i++) {
		usleep(500);
		fl__os_lock(&desk->lock);
		(void)fl__desk_tick_locked(desk);
		load = fl__turns_next_locked(desk, FL__READER_RING);
		fl__os_unlock(&desk->lock);
	}
	return load;
}

static void load_end(struct ground *ground, struct fl__load *load, int err)
{
	fl__os_lock(&ground->desk.lock);
	fl__desk_end_locked(&ground->desk, load, err);
	fl__os_unlock(&ground->desk.lock);
}

/* The time of a read is over, and the kernel may still write. Whoever wants the page
 * gets no second read, but the same answer; and the page once the kernel has given
 * the first one back. */
static void a_late_read_is_alone(void)
{
	struct ground ground;
	struct fl__load *load, *next;
	struct wanter wanter;

	ground_open(&ground, true);
	fl__os_lock(&ground.desk.lock);
	load = reading(&ground, 3, part(2, 3), 1);
	CHECK(fl__desk_find_locked(&ground.desk, &ground.image, 3,
				   part(3, 1)) == load);
	(void)fl__desk_tick_locked(&ground.desk);
	CHECK(load->is_left);
	CHECK(!fl__desk_find_locked(&ground.desk, &ground.image, 3,
				    part(3, 1)));
	CHECK(is_lent(&ground, 3, part(4, 1)));
	CHECK(is_lent(&ground, 3, FL__PART_WHOLE));
	CHECK(!is_lent(&ground, 3, part(5, 11)));
	CHECK(!is_lent(&ground, 3, part(0, 2)));
	CHECK(!is_lent(&ground, 4, FL__PART_WHOLE));
	CHECK(fl__turns_to_cancel_locked(&ground.desk, FL__READER_RING) ==
	      load);
	fl__desk_put_locked(&ground.desk, load);
	fl__os_unlock(&ground.desk.lock);

	want_start(&wanter, &ground, 3);
	CHECK(!next_read(&ground, &wanter));
	pthread_join(wanter.thread, NULL);
	CHECK_EQ(wanter.err, -ETIMEDOUT);
	CHECK_EQ(ground.desk.taken_count, 1);

	ground.origin.deadline_ns = UINT64_C(60000000000);
	want_start(&wanter, &ground, 3);
	usleep(5000);
	CHECK(!fl__desk_answer(&ground.desk, load, -ECANCELED));
	load_end(&ground, load, -EIO);
	next = next_read(&ground, &wanter);
	MUST(next != NULL);
	CHECK(fl__part_is_whole(next->part));
	load_end(&ground, next, 0);
	pthread_join(wanter.thread, NULL);
	CHECK_EQ(wanter.err, 0);
	CHECK(fl__lazy_has(&ground.image, 3));
	ground_close(&ground);
}

/* By copy each load has a buffer of its own. */
static void buffers_are_not_lent(void)
{
	struct ground ground;

	ground_open(&ground, false);
	fl__os_lock(&ground.desk.lock);
	(void)reading(&ground, 3, part(2, 3), FOR_EVER);
	CHECK(!is_lent(&ground, 3, FL__PART_WHOLE));
	(void)reading(&ground, 3, FL__PART_WHOLE, FOR_EVER);
	fl__os_unlock(&ground.desk.lock);
	ground_close(&ground);
}

/* A part that cannot be checked becomes the page, but not beside another part of it. */
static void a_part_is_not_widened_over_another(void)
{
	struct fl__waiter waiter = { .deadline_ns = FOR_EVER };
	struct fl__load *first, *second, *next;
	struct ground ground;

	ground_open(&ground, true);
	fl__os_lock(&ground.desk.lock);
	first = reading(&ground, 5, part(0, 2), FOR_EVER);
	second = reading(&ground, 5, part(8, 1), FOR_EVER);
	waiter.image = &ground.image;
	waiter.wpage = 5;
	waiter.part = part(0, 1);
	first->waiters = &waiter;
	fl__desk_widen_locked(&ground.desk, first);
	CHECK_EQ(ground.desk.taken_count, 1);
	CHECK(ground.desk.unserved == &waiter);
	(void)fl__desk_tick_locked(&ground.desk);
	CHECK(!fl__turns_next_locked(&ground.desk, FL__READER_RING));
	fl__desk_end_locked(&ground.desk, second, -EIO);
	(void)fl__desk_tick_locked(&ground.desk);
	next = fl__turns_next_locked(&ground.desk, FL__READER_RING);
	MUST(next != NULL);
	CHECK(fl__part_is_whole(next->part));
	next->state = FL__LOAD_READING;
	fl__desk_put_locked(&ground.desk, next);
	/* Alone it is widened. */
	second = reading(&ground, 6, part(8, 1), FOR_EVER);
	fl__desk_widen_locked(&ground.desk, second);
	CHECK(fl__part_is_whole(second->part));
	fl__desk_end_locked(&ground.desk, next, 0);
	CHECK(waiter.is_answered && !waiter.err);
	fl__os_unlock(&ground.desk.lock);
	ground_close(&ground);
}

/* Where the next read goes, from which byte of the page, and how long it is. */
static void check_next(const struct ground *ground, const struct fl__load *load,
		       uint64_t from, uint64_t len)
{
	CHECK(fl__fill_to(load) ==
	      ground->window + load->wpage * FL_WPAGE_BYTES + from);
	CHECK_EQ(fl__fill_off(load), (1 + load->wpage) * FL_WPAGE_BYTES + from);
	CHECK_EQ(fl__fill_missing(load), len);
}

/* The ring has read so much, and goes on if that is not all. */
static bool answer(struct fl__load *load, int64_t bytes)
{
	bool is_all = fl__fill_answered(load, bytes);

	load->state = FL__LOAD_READING;
	return is_all;
}

/* A page of which some blocks were published is read around them. */
static void what_guests_see_is_not_read(void)
{
	struct fl__load *load;
	struct ground ground;

	ground_open(&ground, true);
	fl__lazy_set_present(&ground.image, 2, part(3, 2), false);
	fl__lazy_set_present(&ground.image, 2, part(9, 1), false);
	fl__os_lock(&ground.desk.lock);
	load = reading(&ground, 2, FL__PART_WHOLE, FOR_EVER);
	fl__os_unlock(&ground.desk.lock);
	check_next(&ground, load, 0, 3 * BLOCK);
	CHECK(!answer(load, BLOCK + 512));
	check_next(&ground, load, BLOCK + 512, 2 * BLOCK - 512);
	CHECK(!answer(load, 2 * BLOCK - 512));
	check_next(&ground, load, 5 * BLOCK, 4 * BLOCK);
	CHECK(!answer(load, 4 * BLOCK));
	check_next(&ground, load, 10 * BLOCK, 6 * BLOCK);
	CHECK(answer(load, 6 * BLOCK));
	/* The last blocks are there. */
	fl__lazy_set_present(&ground.image, 4, part(0, 1), false);
	fl__lazy_set_present(&ground.image, 4, part(12, 4), false);
	fl__os_lock(&ground.desk.lock);
	load = reading(&ground, 4, FL__PART_WHOLE, FOR_EVER);
	fl__os_unlock(&ground.desk.lock);
	check_next(&ground, load, BLOCK, 11 * BLOCK);
	CHECK(answer(load, 11 * BLOCK));
	/* And a part, in its place. */
	fl__os_lock(&ground.desk.lock);
	load = reading(&ground, 7, part(6, 3), FOR_EVER);
	fl__os_unlock(&ground.desk.lock);
	check_next(&ground, load, 6 * BLOCK, 3 * BLOCK);
	CHECK(answer(load, 3 * BLOCK));
	ground_close(&ground);
}

/* All pages are foreseen, and a slot shows the image. */
static void foresee_all(struct ground *ground)
{
	struct fl__workset *set = &ground->image.set;

	memset(set->old_touched, 255, ENTRIES);
	for (uint32_t i = 0; i < ENTRIES; i++) {
		set->old_blocks[i] = 1;
		set->turns[i] = i;
	}
	set->turn_count = ENTRIES;
	ground->lazy.is_shown = true;
}

/* The ring takes all that it may. */
static uint32_t ring_takes(struct fl__desk *desk, struct fl__load **taken)
{
	struct fl__load *load;
	uint32_t count = 0;

	while ((load = fl__turns_next_locked(desk, FL__READER_RING))) {
		load->state = FL__LOAD_READING;
		load->image->lazy->reading_count++;
		fl__desk_put_locked(desk, load);
		taken[count++] = load;
	}
	return count;
}

static void ring_gives(struct fl__desk *desk, struct fl__load **taken,
		       uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		taken[i]->image->lazy->reading_count--;
		fl__desk_answer_locked(desk, taken[i], FL_WPAGE_BYTES);
	}
}

static bool has_rung(const struct fl__desk *desk)
{
	uint64_t rings = 0;

	return read(desk->wake_fd, &rings, sizeof(rings)) == sizeof(rings);
}

/* A disk reads while what it read before is filled, and the ring is told when there is
 * room for half of what may be foreseen. */
static void a_disk_reads_meanwhile(void)
{
	struct fl__load *first[FL__DESK_LOADS], *second[FL__DESK_LOADS];
	struct ground ground;
	struct fl__desk *desk = &ground.desk;
	uint32_t ended = 0;

	ground_open(&ground, false);
	ground.lazy.direct.unit_bytes = 512;
	foresee_all(&ground);
	desk->wake_fd = eventfd(0, EFD_NONBLOCK);
	MUST(desk->wake_fd >= 0);
	CHECK_EQ(ring_takes(desk, first), FL__DESK_DIRECT_READS);
	ring_gives(desk, first, FL__DESK_DIRECT_READS);
	CHECK_EQ(ring_takes(desk, second), FL__DESK_DIRECT_READS);
	ring_gives(desk, second, FL__DESK_DIRECT_READS);
	CHECK_EQ(ring_takes(desk, second), 0);
	(void)has_rung(desk);
	while (ended < FL__DESK_DIRECT_READS && !has_rung(desk))
		fl__desk_end_locked(desk, first[ended++], 0);
	CHECK_EQ(ended, FL__DESK_DIRECT_READS);
	CHECK(has_rung(desk));
	CHECK_EQ(ring_takes(desk, second), FL__DESK_DIRECT_READS);
	close(desk->wake_fd);
	ground_close(&ground);
}

/* However many loads are held by sources that do not answer, what is foreseen goes on when
 * one of the others ends. */
static void held_loads_stop_nothing(void)
{
	struct fl__load *taken[FL__DESK_LOADS];
	struct ground ground;
	struct fl__desk *desk = &ground.desk;
	uint32_t held = FL__DESK_FORESEEN_MAX - FL__DESK_DIRECT_READS - 3;

	ground_open(&ground, false);
	ground.lazy.direct.unit_bytes = 512;
	desk->wake_fd = eventfd(0, EFD_NONBLOCK);
	MUST(desk->wake_fd >= 0);
	for (uint32_t i = 0; i < held; i++)
		(void)reading(&ground, ENTRIES - 1 - i, FL__PART_WHOLE,
			      FOR_EVER);
	foresee_all(&ground);
	CHECK_EQ(ring_takes(desk, taken), FL__DESK_DIRECT_READS);
	ring_gives(desk, taken, FL__DESK_DIRECT_READS);
	CHECK_EQ(ring_takes(desk, taken + FL__DESK_DIRECT_READS), 3);
	(void)has_rung(desk);
	for (uint32_t i = 0; i < FL__DESK_DIRECT_READS; i++) {
		fl__desk_end_locked(desk, taken[i], 0);
		CHECK(has_rung(desk));
		CHECK_EQ(ring_takes(desk, taken + i), 1);
		ring_gives(desk, taken + i, 1);
	}
	close(desk->wake_fd);
	ground_close(&ground);
}

/* A file whose reads do not end stops no set of another. */
static void a_hung_file_stops_no_other(void)
{
	struct fl__load *taken[FL__DESK_LOADS];
	struct fl__lazy second_lazy;
	struct fl_image second;
	struct ground ground;
	uint32_t count;

	ground_open(&ground, false);
	ground.lazy.direct.unit_bytes = 512;
	foresee_all(&ground);
	second = ground.image;
	second_lazy = ground.lazy;
	second.lazy = &second_lazy;
	fl__desk_add_image(&ground.desk, &second);
	ground.lazy.reading_count = FL__DESK_DIRECT_READS;
	count = ring_takes(&ground.desk, taken);
	CHECK_EQ(count, FL__DESK_DIRECT_READS);
	while (count)
		CHECK(taken[--count]->image == &second);
	ground_close(&ground);
}

/* As many as may be foreseen, none of which has come to its end. Through the page cache,
 * where the kernel reads ahead, these are fewer. */
static uint32_t foresee_most(struct ground *ground)
{
	struct fl__load *taken[FL__DESK_LOADS];
	uint32_t count, sum = 0;

	foresee_all(ground);
	while ((count = ring_takes(&ground->desk, taken))) {
		ring_gives(&ground->desk, taken, count);
		sum += count;
	}
	return sum;
}

/* Somebody who waits for a page has it read whatever is foreseen of the image. */
static void demands_find_a_load(void)
{
	for (int is_direct = 0; is_direct < 2; is_direct++) {
		struct wanter wanter;
		struct ground ground;
		struct fl__load *load;

		ground_open(&ground, false);
		ground.origin.deadline_ns = UINT64_C(60000000000);
		ground.lazy.direct.unit_bytes = is_direct ? 4096 : 0;
		CHECK_EQ(foresee_most(&ground),
			 is_direct ? FL__DESK_DIRECT_LOADS :
				     FL__DESK_FORESEEN_LOADS);
		want_start(&wanter, &ground, ENTRIES - 1);
		load = next_read(&ground, &wanter);
		MUST(load != NULL);
		CHECK_EQ(load->wpage, ENTRIES - 1);
		load_end(&ground, load, 0);
		pthread_join(wanter.thread, NULL);
		CHECK_EQ(wanter.err, 0);
		ground_close(&ground);
	}
}

/* What is read past the page cache begins and ends at multiples of a unit, and the part
 * is found within. */
static void units_are_read_around_a_part(void)
{
	struct ground ground;
	struct fl__load *load;
	uint64_t at;

	ground_open(&ground, false);
	ground.lazy.direct.unit_bytes = 512;
	ground.entries[3].file_off = at = 3 * FL_WPAGE_BYTES + 700;
	load = reading(&ground, 3, FL__PART_WHOLE, FOR_EVER);
	CHECK_EQ(fl__fill_off(load), at - 188);
	CHECK_EQ(fl__fill_missing(load), FL_WPAGE_BYTES + 512);
	CHECK(fl__fill_to(load) == load->bytes);
	/* The disk gave less, and the file ends behind the part. */
	CHECK(!answer(load, 512));
	CHECK_EQ(fl__fill_off(load), at - 188 + 512);
	CHECK_EQ(fl__fill_missing(load), FL_WPAGE_BYTES);
	CHECK(fl__fill_to(load) == load->bytes + 512);
	CHECK(!answer(load, FL_WPAGE_BYTES - 512));
	CHECK(answer(load, 188));
	/* A part of a page, at such a place or not. */
	load = reading(&ground, 3, part(2, 3), FOR_EVER);
	CHECK_EQ(fl__fill_off(load), at + 2 * BLOCK - 188);
	CHECK_EQ(fl__fill_missing(load), 3 * BLOCK + 512);
	load = reading(&ground, 4, part(2, 3), FOR_EVER);
	CHECK_EQ(fl__fill_off(load), 5 * FL_WPAGE_BYTES + 2 * BLOCK);
	CHECK_EQ(fl__fill_missing(load), 3 * BLOCK);
	/* The most that a buffer takes. */
	ground.lazy.direct.unit_bytes = FL__DIRECT_MAX_BYTES;
	ground.entries[5].file_off = 9 * FL_WPAGE_BYTES - 1;
	load = reading(&ground, 5, FL__PART_WHOLE, FOR_EVER);
	CHECK_EQ(fl__fill_missing(load), FL__BUFFER_BYTES);
	ground_close(&ground);
}

/* A load past its deadline is cancelled, but not once its answer has come: a thread that
 * looks at the answer ends the load, and its image goes. */
static void an_answer_comes_before_the_cancel(void)
{
	struct ground ground;
	struct fl__desk *desk = &ground.desk;
	struct fl__load *answered, *silent;

	ground_open(&ground, false);
	answered = reading(&ground, 0, FL__PART_WHOLE, 1);
	silent = reading(&ground, 1, FL__PART_WHOLE, 1);
	(void)fl__desk_tick_locked(desk);
	CHECK(answered->is_left && answered->is_to_cancel);
	CHECK(!fl__desk_answer(desk, answered, FL_WPAGE_BYTES));
	MUST(fl__turns_next_locked(desk, FL__READER_FILLER) == answered);
	answered->state = FL__LOAD_READING;
	CHECK(fl__turns_to_cancel_locked(desk, FL__READER_RING) == silent);
	CHECK(!fl__turns_to_cancel_locked(desk, FL__READER_RING));
	fl__desk_end_locked(desk, answered, -ETIMEDOUT);
	fl__desk_put_locked(desk, answered);
	CHECK(!fl__turns_to_cancel_locked(desk, FL__READER_RING));
	fl__desk_put_locked(desk, silent);
	ground_close(&ground);
}

static const struct test_case cases[] = {
	TEST_CASE(a_disk_reads_meanwhile),
	TEST_CASE(a_late_read_is_alone),
	TEST_CASE(an_answer_comes_before_the_cancel),
	TEST_CASE(buffers_are_not_lent),
	TEST_CASE(demands_find_a_load),
	TEST_CASE(held_loads_stop_nothing),
	TEST_CASE(a_hung_file_stops_no_other),
	TEST_CASE(a_part_is_not_widened_over_another),
	TEST_CASE(units_are_read_around_a_part),
	TEST_CASE(what_guests_see_is_not_read),
};

int main(int argc, char **argv)
{
	return test_main(argc, argv, cases, TEST_ARRAY_SIZE(cases), NULL, 0);
}
