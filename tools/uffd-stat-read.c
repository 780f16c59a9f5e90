/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * uffd-stat-read.c - reading a page of another process.
 *
 * A page is a descriptor of the process, opened here for reading and read into a
 * buffer. It is never mapped: a page that its owner cuts would end this program.
 *
 * A host may have thousands of pages, so a look reads what changes. Of a page that
 * was read before, known by the file's inode and the page's head, it reads the
 * words. Where these are as they were twice, so are the times, and the sample
 * stays.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "uffd-stat-read.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

void stat_page_forget(struct stat_page *page)
{
	stat_sample_put(page->sample);
	free(page->counts);
	page->sample = NULL;
	page->counts = NULL;
	page->is_settled = false;
}

/* Bytes of a page to their place in the buffer. */
static bool range_read(struct stat_reader *reader, int fd,
		       struct stat_range range)
{
	uint64_t done = 0;

	if (range.off > STAT_MAX_PAGE_BYTES ||
	    range.len > STAT_MAX_PAGE_BYTES - range.off)
		return false;
	while (done < range.len) {
		ssize_t got = pread(fd, reader->bytes + range.off + done,
				    (size_t)(range.len - done),
				    (off_t)(range.off + done));

		if (got <= 0)
			return false;
		done += (uint64_t)got;
	}
	return true;
}

/* True: the page was read before, and is read now. */
static bool page_read_again(struct stat_reader *reader, int fd,
			    struct stat_page *page)
{
	const struct stat_range head = { 0, sizeof(page->head) };
	struct stat_range counts = stat_page_counts(&page->head);
	struct stat_sample *sample;
	bool is_same;

	if (!page->sample || !page->counts || !range_read(reader, fd, head) ||
	    memcmp(reader->bytes, &page->head, sizeof(page->head)) != 0 ||
	    !range_read(reader, fd, counts))
		return false;
	is_same = !memcmp(reader->bytes + counts.off, page->counts,
			  (size_t)counts.len);
	if (is_same && page->is_settled)
		return true;
	if (!range_read(reader, fd, stat_page_times(&page->head)))
		return false;
	sample = stat_page_again(reader->bytes, page->sample);
	if (!sample)
		return false;
	stat_sample_put(page->sample);
	page->sample = sample;
	memcpy(page->counts, reader->bytes + counts.off, (size_t)counts.len);
	/* A time is counted a moment after its call. */
	page->is_settled = is_same;
	return true;
}

static const char *page_read_whole(struct stat_reader *reader, int fd,
				   uint64_t len, struct stat_page *page)
{
	struct stat_range counts;
	const char *why;

	stat_page_forget(page);
	if (!range_read(reader, fd, (struct stat_range){ 0, len }))
		return "cut";
	why = stat_page_parse(&reader->schemas, reader->bytes, (size_t)len,
			      &page->sample);
	if (why)
		return why;
	memcpy(&page->head, reader->bytes, sizeof(page->head));
	counts = stat_page_counts(&page->head);
	page->counts = malloc((size_t)counts.len + 1);
	if (page->counts)
		memcpy(page->counts, reader->bytes + counts.off,
		       (size_t)counts.len);
	return NULL;
}

const char *stat_page_read(struct stat_reader *reader, int pid,
			   struct stat_page *page)
{
	const char *why = NULL;
	char path[64];
	struct stat about;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/fd/%d", pid, page->fd);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return "gone";
	/* Only a file can be read by pread() without waiting. */
	if (fstat(fd, &about) || !S_ISREG(about.st_mode) ||
	    (uint64_t)about.st_size > STAT_MAX_PAGE_BYTES)
		why = "not of this form";
	if (!why && about.st_ino != page->inode)
		stat_page_forget(page);
	page->inode = about.st_ino;
	if (!why && !page_read_again(reader, fd, page))
		why = page_read_whole(reader, fd, (uint64_t)about.st_size,
				      page);
	close(fd);
	/* A forked child has its parent's page. */
	if (!why && page->sample->about.process != (uint64_t)pid)
		why = "of another process";
	if (why)
		stat_page_forget(page);
	return why;
}
