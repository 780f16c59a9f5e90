/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * lazy_direct.c - lazy images of a local file that is read past the page cache.
 *
 * Tenants see what they would see of any other lazy image, by the ring and by
 * pread(), of a raw file and of a packed one, whose pages lie at odd offsets; and
 * the page cache has no page of the file. Where the way cannot be had, opening says
 * so.
 */
#include "tests/conform/direct.h"

#include <fcntl.h>
#include <sys/resource.h>

static void check_cold(struct host *host, enum fl_load_read read,
		       const char *set_path)
{
	reopen(host, read, set_path);
	procfs_drop_cached(host->fd);
	CHECK_EQ(cached(host), 0);
	read_all(host);
	CHECK(!set_path || loading_of(host->image).foreseen_wpages > 0);
	if (read == FL_READ_DIRECT) {
		CHECK_EQ(loading_of(host->image).read, FL_READ_DIRECT);
		CHECK_EQ(cached(host), 0);
	} else {
		CHECK_EQ(loading_of(host->image).read, FL_READ_CACHED);
		CHECK(cached(host) > host->file.len / HPAGE / 2);
	}
}

static void run_cold(struct host *host)
{
	uint8_t *bytes = malloc(PAGES * WPAGE);

	MUST(bytes != NULL);
	procfs_drop_cached(host->fd);
	record(host);
	CHECK_EQ(cached(host), 0);
	check_cold(host, FL_READ_DIRECT, NULL);
	check_cold(host, FL_READ_DIRECT, host->set_path);
	check_cold(host, FL_READ_CACHED, NULL);
	check_cold(host, FL_READ_DEFAULT, host->set_path);
	/* The library's own reads go past the cache too. */
	reopen(host, FL_READ_DIRECT, NULL);
	procfs_drop_cached(host->fd);
	CHECK_EQ(fl_image_read(host->image, 0, bytes, PAGES * WPAGE), 0);
	CHECK(!memcmp(bytes, host->bytes, PAGES * WPAGE));
	CHECK_EQ(cached(host), 0);
	free(bytes);
}

static void the_page_cache_has_no_page(void)
{
	each_way(run_cold);
}

/* What is written is the tenant's alone, of pages that came and that come. */
static void run_written(struct host *host)
{
	struct fl_memory *memory, *other;

	record(host);
	for (int round = 0; round < 8; round++) {
		if (round % 4 == 0)
			reopen(host, FL_READ_DIRECT,
			       round ? host->set_path : NULL);
		other = take(host);
		memory = take(host);
		for (uint64_t at = 0; at < PAGES * WPAGE; at += 20011)
			memory->base[at] ^= 0x55;
		CHECK_EQ(fl_memory_prefault(other, 0, PAGES * WPAGE / 2), 0);
		CHECK(shows(host, other));
		for (uint64_t at = 0; at < PAGES * WPAGE; at += 20011)
			CHECK_EQ(memory->base[at], host->bytes[at] ^ 0x55);
		conform_give(memory);
		memory = take(host);
		CHECK(shows(host, memory));
		conform_give(memory);
		conform_give(other);
	}
	CHECK_EQ(loading_of(host->image).failed_loads, 0);
}

static void what_is_written_goes(void)
{
	each_way(run_written);
}

static void check_refused(const struct host *host,
			  struct fl_page_source *source,
			  const struct fl_load_config *config, int err)
{
	struct fl_error error;
	struct fl_image *image;

	CHECK_EQ(open_as(host, source, config, &image, &error), err);
	CHECK(!image);
	if (err != -ENOTSUP)
		return;
	CHECK_HAS(error.text, config->read == FL_READ_DIRECT ?
				      "FL_READ_DIRECT" :
				      "FL_READ_CACHED");
	CHECK_HAS(error.text, "FL_READ_DEFAULT");
}

/* Of a source that is no file. */
static void check_no_file(struct host *host)
{
	struct fl_load_config config;
	struct fl_page_source *bytes;
	struct fl_error error;
	struct fl_image *image;

	MUST_EQ(fl_page_source_from_bytes(host->file.bytes, host->file.len,
					  NULL, NULL, &bytes, NULL),
		0);
	for (int read = FL_READ_CACHED; read <= FL_READ_DIRECT; read++) {
		config = config_of(FL_LOAD_LAZY, read);
		check_refused(host, bytes, &config, -ENOTSUP);
	}
	config = config_of(FL_LOAD_LAZY, FL_READ_DEFAULT);
	CONFORM_MUST(open_as(host, bytes, &config, &image, &error), &error);
	CHECK_EQ(loading_of(image).read, FL_READ_DEFAULT);
	fl_image_release(host->image);
	host->image = image;
	read_all(host);
	fl_page_source_release(bytes);
}

static void check_invalid(const struct host *host)
{
	static const enum fl_load_way ways[] = { FL_LOAD_AUTO, FL_LOAD_WHOLE,
						 FL_LOAD_IN_PLACE };
	struct fl_load_config config = config_of(FL_LOAD_LAZY, 3);
	struct fl_image *image;

	check_refused(host, host->source, &config, -EINVAL);
	config.read = -1;
	check_refused(host, host->source, &config, -EINVAL);
	for (size_t i = 0; i < TEST_ARRAY_SIZE(ways); i++) {
		config = config_of(ways[i], FL_READ_DIRECT);
		check_refused(host, host->source, &config, -EINVAL);
		config = config_of(ways[i], FL_READ_CACHED);
		check_refused(host, host->source, &config, -EINVAL);
		if (ways[i] == FL_LOAD_AUTO)
			continue;
		image = must_open(host, ways[i], FL_READ_DEFAULT, NULL);
		CHECK_EQ(loading_of(image).read, FL_READ_DEFAULT);
		fl_image_release(image);
	}
	config = config_of(FL_LOAD_LAZY, FL_READ_CACHED);
	config.publish = FL_PUBLISH_CONTINUE;
	check_refused(host, host->source, &config, -EINVAL);
}

/* A caller who was built with an older header says nothing of it. */
static void check_older(const struct host *host)
{
	struct fl_load_config config = config_of(FL_LOAD_LAZY, 77);
	struct fl_error error;
	struct fl_image *image;

	config.size = offsetof(struct fl_load_config, read);
	CONFORM_MUST(open_as(host, host->source, &config, &image, &error),
		     &error);
	CHECK_EQ(loading_of(image).read, FL_READ_CACHED);
	fl_image_release(image);
}

static void check_continue(const struct host *host)
{
	for (int read = 0; read <= FL_READ_DIRECT; read += FL_READ_DIRECT) {
		struct fl_load_config config = config_of(FL_LOAD_LAZY, read);
		struct fl_error error;
		struct fl_image *image;

		config.publish = FL_PUBLISH_CONTINUE;
		CONFORM_MUST(open_as(host, host->source, &config, &image,
				     &error),
			     &error);
		CHECK_EQ(loading_of(image).read, FL_READ_DIRECT);
		fl_image_release(image);
	}
}

static void run_refused(struct host *host)
{
	check_invalid(host);
	check_older(host);
	if (!conform_needs_continue())
		check_continue(host);
	check_no_file(host);
}

static void it_is_had_or_refused(void)
{
	run_file(false, run_refused);
}

/* With no descriptor left, and then one more and one more: what ran out is said, and
 * nothing is lost. */
static void run_descriptors(struct host *host)
{
	struct fl_load_config config = config_of(FL_LOAD_LAZY, FL_READ_DIRECT);
	struct rlimit before, few;
	struct fl_image *image;
	int err = -ENOMEM, fd;

	fl_image_release(host->image);
	MUST_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
	few = before;
	fd = dup(host->fd);
	MUST(fd >= 0);
	close(fd);
	for (rlim_t more = 0; more < 20 && err; more++) {
		struct fl_error error;

		few.rlim_cur = (rlim_t)fd + more;
		MUST_EQ(setrlimit(RLIMIT_NOFILE, &few), 0);
		err = open_as(host, host->source, &config, &image, &error);
		MUST_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
		if (err && !CHECK_EQ(err, -ENOMEM))
			test_note("%s", error.text);
	}
	MUST_EQ(err, 0);
	host->image = image;
	read_all(host);
}

static void descriptors_run_out(void)
{
	each_way(run_descriptors);
}

/* The caller's descriptor stays as it was, whether its file has a name or not. */
static void run_nameless(struct host *host)
{
	struct fl_page_source *source = host->source;
	struct fl_error error = { .text = "" };
	int flags = fcntl(host->fd, F_GETFL);
	uint8_t few[3];

	CONFORM_MUST(fl_page_source_from_file(NULL, host->fd, &host->source,
					      &error),
		     &error);
	fl_page_source_release(source);
	unlink(host->path);
	reopen(host, FL_READ_DIRECT, NULL);
	CHECK_EQ(fcntl(host->fd, F_GETFL), flags);
	read_all(host);
	CHECK_EQ(pread(host->fd, few, sizeof(few), 5), sizeof(few));
	CHECK(!memcmp(few, host->file.bytes + 5, sizeof(few)));
}

static void a_file_without_a_name(void)
{
	each_way(run_nameless);
}

static void run_unprivileged(struct host *host)
{
	struct fl_memory *memory = take(host);

	CHECK_EQ(fl_memory_prefault(memory, 0, PAGES * WPAGE), 0);
	CHECK(shows(host, memory));
	conform_give(memory);
	run_cold(host);
}

static int unprivileged(void *arg)
{
	(void)arg;
	MUST_EQ(setgid(65534), 0);
	MUST_EQ(setuid(65534), 0);
	each_way(run_unprivileged);
	return test_has_failed();
}

static void without_privilege(void)
{
	conform_check_child(unprivileged, NULL);
}

static const char *needs_root(void)
{
	return geteuid() ? "only root can become somebody else" :
			   needs_direct();
}

static const struct test_case cases[] = {
	TEST_CASE_NEEDS(the_page_cache_has_no_page, needs_direct),
	TEST_CASE_NEEDS(what_is_written_goes, needs_direct),
	TEST_CASE_NEEDS(it_is_had_or_refused, needs_direct),
	TEST_CASE_NEEDS(descriptors_run_out, needs_direct),
	TEST_CASE_NEEDS(a_file_without_a_name, needs_direct),
	TEST_CASE_NEEDS(without_privilege, needs_root),
};

CONFORM_MAIN(cases)
