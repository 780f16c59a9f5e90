/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * workload.c - the image, the page lists and the guest that touches them.
 *
 * All comes from fixed seeds, so that each competitor, and each run, has the
 * same image and the same pages. Words of the image have their highest bit
 * clear and words that a guest writes have it set: a write always changes
 * the memory, and a byte left behind is always found by the comparison.
 *
 * The place within a host page varies with the page, or all accesses would
 * fall into the same sets of the processor's caches.
 */
#include "bench.h"
#include "kernel_abi.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SEED UINT64_C(0x9e3779b97f4a7c15)
#define WRITTEN_BIT (UINT64_C(1) << 63)

static uint64_t word_off(const struct bench_case *c, uint64_t hpage_idx)
{
	return (hpage_idx * 40503 * 8) & (c->hpage_bytes - 8);
}

static uint64_t *word_at(const struct bench_case *c, uint8_t *base,
			 uint64_t hpage_idx)
{
	return (uint64_t *)(void *)(base + hpage_idx * c->hpage_bytes +
				    word_off(c, hpage_idx));
}

static int check_parts(const struct bench_workload *w, uint64_t hpage_bytes,
		       char *why, size_t why_size)
{
	if (w->table_elements > UINT64_C(1) << 24 ||
	    w->table_writes > w->table_elements) {
		snprintf(why, why_size,
			 "a table has up to 16777216 elements, "
			 "and --table-writes no more than --table");
		return -EINVAL;
	}
	if (w->structure_bytes > UINT64_C(1) << 30 ||
	    w->structure_writes * hpage_bytes > w->structure_bytes) {
		snprintf(why, why_size,
			 "a structure has up to 1 GiB, and "
			 "--structure-writes is no more than its host pages");
		return -EINVAL;
	}
	return 0;
}

static int check_workload(const struct bench_workload *w, uint64_t hpages,
			  uint64_t grown, char *why, size_t why_size)
{
	if (!w->image_wpages || w->image_wpages + w->grow_wpages > 65536) {
		snprintf(why, why_size,
			 "the image and its growth must have 1 "
			 "to 65536 wasm pages: change --image-wpages or "
			 "--grow");
		return -EINVAL;
	}
	if (w->zero_wpages >= w->image_wpages) {
		snprintf(why, why_size,
			 "--zero-wpages leave no image: lower them or raise "
			 "--image-wpages");
		return -EINVAL;
	}
	if (w->spread_mib && w->spread_mib * 16 > w->image_wpages) {
		snprintf(why, why_size,
			 "--spread within:%llu is more than "
			 "the image: lower it or raise --image-wpages",
			 (unsigned long long)w->spread_mib);
		return -EINVAL;
	}
	if (w->reads > hpages || w->writes > hpages) {
		snprintf(why, why_size,
			 "only %llu host pages to choose from: "
			 "lower --reads, --writes or --both, or raise "
			 "--image-wpages or --spread",
			 (unsigned long long)hpages);
		return -EINVAL;
	}
	if (w->grow_touch_hpages > grown) {
		snprintf(why, why_size,
			 "%llu grown host pages cannot be "
			 "touched, only %llu are grown: lower --touch",
			 (unsigned long long)w->grow_touch_hpages,
			 (unsigned long long)grown);
		return -EINVAL;
	}
	return 0;
}

static uint32_t *numbers(uint64_t n)
{
	uint32_t *at = calloc(n ? n : 1, sizeof(*at));

	for (uint64_t i = 0; at && i < n; i++)
		at[i] = (uint32_t)i;
	return at;
}

static void shuffle(uint32_t *at, uint64_t n)
{
	uint64_t rng = SEED;

	for (uint64_t i = n; i > 1; i--) {
		uint64_t j = bench_rng_next(&rng) % i;
		uint32_t held = at[i - 1];

		at[i - 1] = at[j];
		at[j] = held;
	}
}

/*
 * The written pages are others than the read ones as long as there are
 * enough, or all the same ones (both).
 */
static int choose(struct bench_case *c, uint64_t hpages)
{
	const struct bench_workload *w = &c->w;
	uint32_t *order = numbers(hpages);

	c->read_idx = numbers(w->reads);
	c->write_idx = numbers(w->writes);
	c->n_reads = w->reads;
	c->n_writes = w->writes;
	if (!order || !c->read_idx || !c->write_idx) {
		free(order);
		return -ENOMEM;
	}
	if (w->choice == BENCH_RANDOM)
		shuffle(order, hpages);
	for (uint64_t i = 0; i < w->reads; i++)
		c->read_idx[i] = w->choice == BENCH_STRIDED ?
					 (uint32_t)(i * hpages / w->reads) :
					 order[i];
	for (uint64_t i = 0; i < w->writes; i++) {
		if (w->both)
			c->write_idx[i] = c->read_idx[i];
		else if (w->choice == BENCH_STRIDED)
			c->write_idx[i] = (uint32_t)((2 * i + 1) * hpages /
						     (2 * w->writes));
		else
			c->write_idx[i] = order[(w->reads + i) % hpages];
	}
	free(order);
	return 0;
}

static int choose_grown(struct bench_case *c)
{
	uint64_t hpages = c->grow_bytes / c->hpage_bytes;
	uint64_t n = c->w.grow_touch_hpages ? c->w.grow_touch_hpages : hpages;

	c->grow_idx = numbers(n);
	c->n_grow = n;
	if (!c->grow_idx)
		return -ENOMEM;
	for (uint64_t i = 0; i < n; i++)
		c->grow_idx[i] = (uint32_t)(i * hpages / n);
	return 0;
}

/* Evenly spread. */
static int choose_parts(struct bench_case *c)
{
	const struct bench_workload *w = &c->w;
	uint64_t hpages = w->structure_bytes / c->hpage_bytes;

	c->table_bytes = w->table_elements * BENCH_ELEMENT_BYTES;
	c->structure_bytes = w->structure_bytes;
	c->element_idx = numbers(w->table_writes);
	c->table_idx = numbers(w->table_writes);
	c->structure_idx = numbers(w->structure_writes);
	if (!c->element_idx || !c->table_idx || !c->structure_idx)
		return -ENOMEM;
	for (uint64_t i = 0; i < w->table_writes; i++) {
		uint64_t idx = i * w->table_elements / w->table_writes;
		uint32_t hpage_idx =
			(uint32_t)(idx * BENCH_ELEMENT_BYTES / c->hpage_bytes);

		c->element_idx[c->n_elements++] = (uint32_t)idx;
		if (!c->n_table || c->table_idx[c->n_table - 1] != hpage_idx)
			c->table_idx[c->n_table++] = hpage_idx;
	}
	for (uint64_t i = 0; i < w->structure_writes; i++)
		c->structure_idx[c->n_structure++] =
			(uint32_t)(i * hpages / w->structure_writes);
	return 0;
}

static int fill_image(struct bench_case *c)
{
	uint64_t zero_bytes = c->w.zero_wpages * BENCH_WPAGE_BYTES;
	uint64_t rng = SEED + 1;
	void *at = NULL;

	if (posix_memalign(&at, BENCH_WPAGE_BYTES, c->image_bytes))
		return -ENOMEM;
	c->image = at;
	for (uint64_t off = 0; off < c->image_bytes; off += 8) {
		uint64_t word = bench_rng_next(&rng) & ~WRITTEN_BIT;

		if (off < zero_bytes || c->image_bytes - off <= zero_bytes)
			word = 0;
		memcpy(c->image + off, &word, sizeof(word));
	}
	return 0;
}

static int store_image(struct bench_case *c)
{
	uint64_t off = 0;

	c->memfd = memfd_create("bench-image", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (c->memfd < 0)
		return -errno;
	while (off < c->image_bytes) {
		ssize_t done = pwrite(c->memfd, c->image + off,
				      c->image_bytes - off, (off_t)off);

		if (done <= 0)
			return done ? -errno : -EIO;
		off += (uint64_t)done;
	}
	if (fcntl(c->memfd, F_ADD_SEALS,
		  F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL))
		return -errno;
	return 0;
}

static int build_case(struct bench_case *c, char *why, size_t why_size)
{
	struct bench_workload *w = &c->w;
	uint64_t hpages;
	int err;

	if (c->hpage_bytes > BENCH_WPAGE_BYTES) {
		snprintf(why, why_size,
			 "host pages larger than 64 KiB are "
			 "not supported");
		return -ENOTSUP;
	}
	if (w->both)
		w->reads = w->writes = w->both;
	c->image_bytes = w->image_wpages * BENCH_WPAGE_BYTES;
	c->image_hpages = c->image_bytes / c->hpage_bytes;
	c->grow_bytes = w->grow_wpages * BENCH_WPAGE_BYTES;
	hpages = w->spread_mib ? (w->spread_mib << 20) / c->hpage_bytes :
				 c->image_hpages;
	err = check_workload(w, hpages, c->grow_bytes / c->hpage_bytes, why,
			     why_size);
	if (!err)
		err = check_parts(w, c->hpage_bytes, why, why_size);
	if (err)
		return err;
	snprintf(why, why_size,
		 "no memory for the image: lower "
		 "--image-wpages");
	err = choose(c, hpages);
	if (!err)
		err = choose_grown(c);
	if (!err)
		err = choose_parts(c);
	if (!err)
		err = fill_image(c);
	if (!err)
		err = store_image(c);
	return err;
}

int bench_case_create(const struct bench_workload *w, const uint64_t *values,
		      struct bench_case **out, char *why, size_t why_size)
{
	struct bench_case *c = calloc(1, sizeof(*c));
	int err;

	if (!c) {
		snprintf(why, why_size, "no memory");
		return -ENOMEM;
	}
	c->w = *w;
	c->values = values;
	c->memfd = -1;
	c->pagemap_fd = -1;
	c->hpage_bytes = (uint64_t)sysconf(_SC_PAGESIZE);
	err = build_case(c, why, why_size);
	if (err) {
		bench_case_destroy(c);
		return err;
	}
	c->pagemap_fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	*out = c;
	return 0;
}

void bench_case_destroy(struct bench_case *c)
{
	if (c->memfd >= 0)
		close(c->memfd);
	if (c->pagemap_fd >= 0)
		close(c->pagemap_fd);
	free(c->image);
	free(c->read_idx);
	free(c->write_idx);
	free(c->grow_idx);
	free(c->element_idx);
	free(c->table_idx);
	free(c->structure_idx);
	free(c);
}

int bench_guest_init(struct bench_guest *g, const struct bench_case *c,
		     unsigned int thread_idx)
{
	*g = (struct bench_guest){
		.thread_idx = thread_idx,
		.rng = SEED + 2 + thread_idx,
		.drawn_idx = numbers(c->w.random_writes),
	};
	return g->drawn_idx ? 0 : -ENOMEM;
}

static void write_word(struct bench_guest *g, const struct bench_case *c,
		       uint8_t *base, uint64_t hpage_idx)
{
	volatile uint64_t *word = word_at(c, base, hpage_idx);

	*word = WRITTEN_BIT | g->tick;
}

void bench_guest_touch(struct bench_guest *g, const struct bench_case *c,
		       uint8_t *base)
{
	g->tick++;
	for (size_t i = 0; i < c->n_reads; i++) {
		uint64_t hpage_idx = c->read_idx[i];
		volatile uint8_t *byte = base + hpage_idx * c->hpage_bytes +
					 word_off(c, hpage_idx);

		g->sink += *byte;
	}
	for (size_t i = 0; i < c->n_writes; i++)
		write_word(g, c, base, c->write_idx[i]);
	g->n_drawn = c->w.random_writes;
	for (size_t i = 0; i < g->n_drawn; i++) {
		g->drawn_idx[i] = (uint32_t)((bench_rng_next(&g->rng) >> 32) %
					     c->image_hpages);
		write_word(g, c, base, g->drawn_idx[i]);
	}
}

void bench_guest_touch_grown(struct bench_guest *g, const struct bench_case *c,
			     uint8_t *base)
{
	for (size_t i = 0; i < c->n_grow; i++)
		write_word(g, c, base + c->image_bytes, c->grow_idx[i]);
}

static void write_element(struct bench_guest *g, uint8_t *table, uint64_t idx)
{
	volatile uint64_t *word =
		(uint64_t *)(void *)(table + idx * BENCH_ELEMENT_BYTES);

	for (uint64_t i = 0; i < BENCH_ELEMENT_BYTES / sizeof(*word); i++)
		word[i] = WRITTEN_BIT | g->tick;
}

void bench_guest_touch_parts(struct bench_guest *g, const struct bench_case *c,
			     const struct bench_parts *parts)
{
	for (size_t i = 0; i < c->n_elements; i++)
		write_element(g, parts->table, c->element_idx[i]);
	for (size_t i = 0; i < c->n_structure; i++)
		write_word(g, c, parts->structure, c->structure_idx[i]);
}
