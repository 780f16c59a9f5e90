/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * bench_wasm3.c - a fresh guest in wasm3, on its own memory and on a pool's, in
 * turn: load, write so many host pages of a memory of 4 MiB with 2 MiB of data,
 * free. Medians of what each way took.
 *
 * glibc keeps a freed memory for the next guest once it has seen one, so a lone
 * guest after another finds its pages there. The second table is without that,
 * as where memories of other sizes or many guests at once come between.
 *
 *	bench_wasm3 [ROUNDS]
 */
#include "runtime.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define SAMPLES 200

static double now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static double cycle_us(const struct guest_module *module, struct fl_pool *pool,
		       uint32_t pages)
{
	struct fl_error error = { .text = "" };
	struct guest guest;
	uint32_t answer;
	double start = now_us();

	if (guest_start(module, pool, &guest, &error) ||
	    guest_call(&guest, "touch", pages, &answer)) {
		fprintf(stderr, "bench_wasm3: %s\n", error.text);
		exit(1);
	}
	guest_end(&guest);
	return now_us() - start;
}

static void bench(const struct guest_module *module, struct fl_pool *pool,
		  uint32_t pages, int rounds)
{
	static double stock[SAMPLES], pooled[SAMPLES];
	int count = rounds < SAMPLES ? rounds : SAMPLES;
	double a, b;

	for (int i = -5; i < count; i++) {
		a = cycle_us(module, NULL, pages);
		/* The caches are the pool's own, as in a row of guests. */
		cycle_us(module, pool, pages);
		b = cycle_us(module, pool, pages);
		if (i >= 0) {
			stock[i] = a;
			pooled[i] = b;
		}
	}
	qsort(stock, (size_t)count, sizeof(*stock), compare);
	qsort(pooled, (size_t)count, sizeof(*pooled), compare);
	printf("%5u %10.1f %10.1f %8.1f\n", pages, stock[count / 2],
	       pooled[count / 2], stock[count / 2] / pooled[count / 2]);
}

static void bench_all(const struct guest_module *module, struct fl_pool *pool,
		      const char *what, int rounds)
{
	static const uint32_t pages[] = { 0, 4, 16, 64, 256 };

	printf("pages   stock us  pooled us    times   %s\n", what);
	for (size_t i = 0; i < sizeof(pages) / sizeof(*pages); i++)
		bench(module, pool, pages[i], rounds);
}

int main(int argc, char **argv)
{
	int rounds = argc > 1 ? atoi(argv[1]) : SAMPLES;
	struct guest_module module;
	struct fl_context *context;
	struct fl_pool *pool;

	if (fl_context_create(NULL, &context, NULL))
		return 1;
	guest_module_open(&module, context, "work");
	pool = guest_pool(context, 1);
	printf("%s/%s\n", fl_context_backend(context),
	       fl_context_rung(context, NULL));
	bench_all(&module, pool, "(malloc keeps what was freed)", rounds);
	mallopt(M_MMAP_THRESHOLD, 128 << 10);
	malloc_trim(0);
	bench_all(&module, pool, "(malloc gives it back)", rounds);
	fl_pool_destroy(pool);
	guest_module_close(&module);
	fl_context_destroy(context);
	return 0;
}
