/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * fit.c - the most slots within all limits: random configurations and hosts.
 *
 * What was fitted stays within each limit, one step more would not, and the
 * limit that decided is named with what raises it. Pure; nothing of the kernel is
 * needed.
 */
#include "tests/kit/random.h"
#include "tests/kit/test.h"

#include "pool/fit.h"

#include <errno.h>
#include <string.h>

#define HPAGE ((uint64_t)4096)
#define MIB ((uint64_t)1 << 20)
#define GIB ((uint64_t)1 << 30)

static void host_init(struct fl__fit_host *host)
{
	*host = (struct fl__fit_host){
		.hpage_bytes = HPAGE,
		.shows_images = true,
		.tracks = true,
	};
	for (int i = 0; i < FL_LIMIT_COUNT; i++)
		host->allowed[i] = UINT64_MAX;
}

static bool is_within(const struct fl__fit_host *host, int limit, uint64_t cost)
{
	return host->allowed[limit] == UINT64_MAX ||
	       (host->used[limit] <= host->allowed[limit] &&
		cost <= host->allowed[limit] - host->used[limit]);
}

static bool all_within(const struct fl_pool_config *config,
		       const struct fl_pool_load *load,
		       const struct fl__fit_host *host)
{
	uint64_t cost[FL_LIMIT_COUNT];

	CHECK_EQ(fl__fit_cost(config, load, host, cost, NULL), 0);
	for (int i = 0; i < FL_LIMIT_COUNT; i++) {
		if (!is_within(host, i, cost[i]))
			return false;
	}
	return true;
}

/* One limit is short of what the default pool costs, to a part. */
static void each_limit_decides_alone(void)
{
	struct fl_pool_config config, asked;
	struct fl_pool_load load;
	struct fl_pool_fit fit = { .size = sizeof(fit) };
	struct fl_error error;
	struct fl__fit_host host;
	uint64_t cost[FL_LIMIT_COUNT];

	fl_pool_load_init(&load);
	load.images_per_instance = 1;
	load.touched_bytes = MIB;
	for (int i = FL_LIMIT_NONE + 1; i < FL_LIMIT_COUNT; i++) {
		host_init(&host);
		fl_pool_config_init(&config);
		config.max_tables = config.max_stacks = 500;
		asked = config;
		CHECK_EQ(fl__fit_cost(&config, &load, &host, cost, NULL), 0);
		host.used[i] = 1000;
		host.allowed[i] = cost[i] + 999;
		CHECK_EQ(fl__fit(&config, &load, &host, &fit, &error), 0);
		CHECK_EQ(fit.decided, i);
		CHECK_EQ(config.max_memories, 999);
		CHECK_EQ(config.max_instances, 999);
		CHECK_EQ(config.max_tables, 500);
		CHECK(fit.limits[i].remedy[0] != '\0');
		CHECK_EQ(fit.limits[i].asked, cost[i]);
		CHECK(fit.limits[i].fitted < cost[i]);
		/* Room for exactly all of them. */
		config = asked;
		host.allowed[i]++;
		CHECK_EQ(fl__fit(&config, &load, &host, &fit, &error), 0);
		CHECK_EQ(fit.decided, FL_LIMIT_NONE);
		CHECK_EQ(config.max_memories, 1000);
		CHECK_EQ(fit.limits[i].remedy[0], '\0');
		/* And for none. */
		config = asked;
		host.allowed[i] = 1000;
		CHECK_EQ(fl__fit(&config, &load, &host, &fit, &error), -ENOMEM);
		CHECK_EQ(fit.decided, i);
		CHECK_HAS(error.text, fit.limits[i].name);
		CHECK_EQ(config.max_memories, 1000);
	}
}

/* What takes most of the addresses is what to lower. */
static void remedies_name_the_largest_field(void)
{
	static const int limits[] = { FL_LIMIT_ADDRESSES,
				      FL_LIMIT_ADDRESS_SPACE };
	struct fl_pool_fit fit = { .size = sizeof(fit) };
	struct fl_pool_config config;
	struct fl_pool_load load;
	struct fl__fit_host host;
	struct fl_error error;

	fl_pool_load_init(&load);
	for (size_t i = 0; i < TEST_ARRAY_SIZE(limits); i++) {
		const char *remedy = fit.limits[limits[i]].remedy;

		host_init(&host);
		host.allowed[limits[i]] = 1024 * MIB * 1024;
		fl_pool_config_init(&config);
		CHECK_EQ(fl__fit(&config, &load, &host, &fit, &error), 0);
		CHECK_HAS(remedy, "lower memory_stride_bytes");
		fl_pool_config_init(&config);
		config.prefix_bytes = 16384 * MIB;
		CHECK_EQ(fl__fit(&config, &load, &host, &fit, &error), 0);
		CHECK_HAS(remedy, "lower prefix_bytes");
		fl_pool_config_init(&config);
		config.memory_stride_bytes = 0;
		config.stack_bytes = 65536 * MIB;
		config.max_stacks = 1000;
		CHECK_EQ(fl__fit(&config, &load, &host, &fit, &error), 0);
		CHECK_HAS(remedy, "lower stack_bytes");
	}
}

/* The number in a remedy is enough. */
static void a_remedy_is_enough(void)
{
	struct fl_pool_fit fit = { .size = sizeof(fit) };
	struct fl_pool_config config;
	struct fl_pool_load load;
	struct fl__fit_host host;
	unsigned long long number = 0;

	fl_pool_load_init(&load);
	fl_pool_config_init(&config);
	host_init(&host);
	host.allowed[FL_LIMIT_MAPPINGS] = 5000;
	host.used[FL_LIMIT_MAPPINGS] = 77;
	CHECK_EQ(fl__fit(&config, &load, &host, &fit, NULL), 0);
	CHECK(config.max_memories < 1000);
	CHECK_HAS(fit.limits[FL_LIMIT_MAPPINGS].remedy, "vm.max_map_count=");
	for (const char *c = fit.limits[FL_LIMIT_MAPPINGS].remedy; *c; c++) {
		if (*c >= '0' && *c <= '9')
			number = 10 * number + (unsigned int)(*c - '0');
	}
	host.allowed[FL_LIMIT_MAPPINGS] = number;
	config.max_memories = config.max_instances = 1000;
	CHECK_EQ(fl__fit(&config, &load, &host, &fit, NULL), 0);
	CHECK_EQ(fit.decided, FL_LIMIT_NONE);
	CHECK_EQ(config.max_memories, 1000);
}

/* Counts keep their proportion, and what is there stays there. */
static void counts_stay_in_proportion(void)
{
	struct fl_pool_fit fit = { .size = sizeof(fit) };
	struct fl_pool_config config;
	struct fl_pool_load load;
	struct fl__fit_host host;

	fl_pool_load_init(&load);
	fl_pool_config_init(&config);
	config.max_instances = 1000;
	config.max_memories = 4000;
	config.max_tables = 2000;
	config.max_stacks = 3;
	config.overflow_memories = 400;
	host_init(&host);
	host.allowed[FL_LIMIT_ADDRESS_SPACE] = 400 * 8 * GIB;
	CHECK_EQ(fl__fit(&config, &load, &host, &fit, NULL), 0);
	CHECK_EQ(fit.decided, FL_LIMIT_ADDRESS_SPACE);
	CHECK(config.max_memories > 300 && config.max_memories < 400);
	CHECK_EQ(config.max_instances, (config.max_memories + 3) / 4);
	CHECK_EQ(config.max_tables, (config.max_memories + 1) / 2);
	CHECK_EQ(config.max_stacks, 1);
	CHECK_EQ(config.overflow_memories, (config.max_memories + 9) / 10);
}

/* What the pool itself would refuse, and a pool of nothing. */
static void what_no_limit_decides(void)
{
	struct fl_pool_fit fit = { .size = sizeof(fit) };
	struct fl_pool_config config;
	struct fl_pool_load load;
	struct fl__fit_host host;
	struct fl_error error;

	fl_pool_load_init(&load);
	fl_pool_config_init(&config);
	host_init(&host);
	config.memory_stride_bytes = 4096;
	CHECK_EQ(fl__fit(&config, &load, &host, &fit, &error), -EINVAL);
	CHECK_HAS(error.text, "memory_stride_bytes");
	fl_pool_config_init(&config);
	config.max_memories = config.max_instances = 0;
	CHECK_EQ(fl__fit(&config, &load, &host, &fit, &error), 0);
	CHECK_EQ(fit.decided, FL_LIMIT_NONE);
	/* More than any layout can count is an address space too large. */
	fl_pool_config_init(&config);
	config.max_memories = UINT32_MAX;
	config.memory_stride_bytes = (uint64_t)1 << 40;
	host.allowed[FL_LIMIT_ADDRESSES] = (uint64_t)85 << 40;
	CHECK_EQ(fl__fit(&config, &load, &host, &fit, &error), 0);
	CHECK_EQ(fit.decided, FL_LIMIT_ADDRESSES);
	CHECK_EQ(config.max_memories, 84);
}

static uint64_t any_size(struct test_random *random)
{
	return test_random_next(random) >> test_random_below(random, 64);
}

static void random_one(struct test_random *random,
		       struct fl_pool_config *config, struct fl_pool_load *load,
		       struct fl__fit_host *host)
{
	fl_pool_config_init(config);
	config->max_memories = (uint32_t)any_size(random);
	config->max_instances = (uint32_t)any_size(random);
	config->max_tables = (uint32_t)any_size(random);
	config->max_stacks = (uint32_t)any_size(random);
	config->overflow_tables = (uint32_t)any_size(random);
	config->instance_bytes = test_random_below(random, 100000);
	config->prefix_bytes = test_random_below(random, 2) * 4096;
	config->bounds = (enum fl_bounds)test_random_below(random, 2);
	if (config->bounds == FL_BOUNDS_ACCESSIBLE)
		config->memory_stride_bytes = config->guard_after_bytes = 0;
	fl_pool_load_init(load);
	load->image_extents = (uint32_t)test_random_below(random, 6);
	load->images_per_instance = (uint32_t)test_random_below(random, 2);
	load->memory_bytes = any_size(random);
	load->touched_bytes = any_size(random);
	host_init(host);
	host->tracks = test_random_below(random, 2);
	host->shows_images = test_random_below(random, 2);
	host->marks_guards = test_random_below(random, 2);
	for (int i = FL_LIMIT_NONE + 1; i < FL_LIMIT_COUNT; i++) {
		if (test_random_below(random, 2))
			host->allowed[i] = any_size(random);
		host->used[i] = any_size(random) >> 8;
	}
}

static uint32_t largest(const struct fl_pool_config *config)
{
	const uint32_t counts[] = {
		config->max_memories,	 config->max_instances,
		config->max_tables,	 config->max_stacks,
		config->overflow_tables,
	};
	uint32_t most = 0;

	for (size_t i = 0; i < TEST_ARRAY_SIZE(counts); i++)
		most = counts[i] > most ? counts[i] : most;
	return most;
}

/* The next step is the count that steps are counted by, plus one. */
static void check_next(const struct fl_pool_config *asked,
		       const struct fl_pool_config *fitted,
		       const struct fl_pool_load *load,
		       const struct fl__fit_host *host)
{
	uint64_t step = largest(fitted), steps = largest(asked);
	struct fl_pool_config next = *asked;

#define NEXT(field) \
	next.field = (uint32_t)((asked->field * (step + 1) + steps - 1) / steps)
	NEXT(max_memories);
	NEXT(max_instances);
	NEXT(max_tables);
	NEXT(max_stacks);
	NEXT(overflow_tables);
#undef NEXT
	CHECK(!all_within(&next, load, host));
}

static void random_limits(void)
{
	struct fl_pool_fit fit = { .size = sizeof(fit) };
	struct fl_pool_config asked, fitted;
	struct fl_pool_load load;
	struct fl__fit_host host;
	struct test_random random;
	uint32_t lowered = 0, none = 0;
	int err;

	test_random_init(&random, 613);
	for (int i = 0; i < 4000; i++) {
		random_one(&random, &asked, &load, &host);
		fitted = asked;
		err = fl__fit(&fitted, &load, &host, &fit, NULL);
		CHECK(!err || err == -ENOMEM);
		if (err) {
			CHECK(!memcmp(&fitted, &asked, sizeof(asked)));
			none++;
			continue;
		}
		CHECK(all_within(&fitted, &load, &host));
		CHECK_EQ(fit.decided == FL_LIMIT_NONE,
			 largest(&fitted) == largest(&asked));
		if (fit.decided == FL_LIMIT_NONE)
			continue;
		lowered++;
		check_next(&asked, &fitted, &load, &host);
	}
	test_note("%u lowered, %u without room", lowered, none);
	CHECK(lowered > 100);
	CHECK(none > 100);
}

static const struct test_case cases[] = {
	TEST_CASE(each_limit_decides_alone),
	TEST_CASE(remedies_name_the_largest_field),
	TEST_CASE(a_remedy_is_enough),
	TEST_CASE(counts_stay_in_proportion),
	TEST_CASE(what_no_limit_decides),
	TEST_CASE(random_limits),
};

int main(int argc, char **argv)
{
	return test_main(argc, argv, cases, TEST_ARRAY_SIZE(cases), NULL, 0);
}
