/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/* probe.c - trying each kernel feature; see probe.h. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "probe.h"
#include "scan.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/utsname.h>
#include <unistd.h>

static const struct {
	const char *name, *since, *note, *gives;
} rows[FL__FEATURE_COUNT] = {
#define FL_FEATURE(id, name, since, note, gives) { name, since, note, gives },
#include "features.def"
#undef FL_FEATURE
};

typedef void probe_fn(struct fl__probe *probe, struct fl__probe_result *result);

static void say(struct fl__probe_result *result, enum fl_support support,
		int err, const char *reason, const char *remedy)
{
	*result = (struct fl__probe_result){ support, err, reason, remedy };
}

static void say_yes(struct fl__probe_result *result)
{
	say(result, FL_SUPPORT_YES, 0, NULL, NULL);
}

static void probe_MEMFD_SEALS(struct fl__probe *probe,
			      struct fl__probe_result *result)
{
	int fd = memfd_create("faultline-probe",
			      MFD_CLOEXEC | MFD_ALLOW_SEALING);

	(void)probe;
	if (fd < 0) {
		say(result,
		    errno == ENOSYS ? FL_SUPPORT_MISSING : FL_SUPPORT_DENIED,
		    -errno, "memfd_create failed",
		    "allow memfd_create in the seccomp profile");
		return;
	}
	if (fcntl(fd, F_ADD_SEALS,
		  F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL))
		say(result, FL_SUPPORT_BROKEN, -errno,
		    "a memory file cannot be sealed", NULL);
	else
		say_yes(result);
	close(fd);
}

static void probe_UFFD(struct fl__probe *probe, struct fl__probe_result *result)
{
	int fd = fl__uffd_open(&probe->door);

	if (fd >= 0) {
		close(fd);
		say_yes(result);
		return;
	}
	/* The handshake may fail for want of features; the row below says so. */
	for (int d = 0; d < FL__UFFD_DOORS; d++) {
		probe->door = (enum fl__uffd_door)d;
		fd = fl__uffd_open_door(probe->door);
		if (fd >= 0) {
			close(fd);
			say_yes(result);
			return;
		}
	}
	if (fd == -ENOSYS)
		say(result, FL_SUPPORT_MISSING, fd,
		    "userfaultfd answers ENOSYS: kernel without it, or a seccomp profile that hides it",
		    "use a kernel with CONFIG_USERFAULTFD, and allow userfaultfd in the seccomp profile");
	else
		say(result, FL_SUPPORT_DENIED, fd,
		    "neither /dev/userfaultfd nor userfaultfd(2) opens, not even in user-mode-only form",
		    "allow userfaultfd in the container's seccomp profile, or give the process read and write access to /dev/userfaultfd");
}

/* Two pages of a private file mapping and two of anonymous memory, tracked; the
 * second of each is written. */
struct tracked {
	uint8_t *addr;
	uint64_t hpage;
	int uffd_fd, pagemap_fd;
	uint64_t written; /* bit per page, by the scan */
};

static int on_tracked(void *user, const struct fl__kernel_region *regions,
		      size_t count)
{
	struct tracked *tracked = user;
	uint64_t base = (uintptr_t)tracked->addr, hpage = tracked->hpage;

	for (size_t i = 0; i < count; i++) {
		for (uint64_t at = regions[i].start; at < regions[i].end;
		     at += hpage)
			tracked->written |= UINT64_C(1) << (at - base) / hpage;
	}
	return 0;
}

static int tracked_map(struct tracked *tracked)
{
	size_t len = (size_t)(2 * tracked->hpage);
	int fd, err = 0;

	tracked->addr = mmap(NULL, 2 * len, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (tracked->addr == MAP_FAILED)
		return -errno;
	fd = memfd_create("faultline-probe", MFD_CLOEXEC);
	if (fd < 0 || ftruncate(fd, (off_t)len) ||
	    mmap(tracked->addr, len, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_FIXED, fd, 0) == MAP_FAILED)
		err = -errno;
	if (fd >= 0)
		close(fd);
	return err;
}

static int tracked_run(struct tracked *tracked, enum fl__scan_form form)
{
	struct fl__kernel_region regions[4];
	struct fl__scan_buffer buffer = { .regions = regions, .count = 4 };
	uint64_t start = (uintptr_t)tracked->addr, len = 4 * tracked->hpage;
	int err = fl__uffd_register_wp(tracked->uffd_fd, start, len);

	if (!err)
		err = fl__uffd_protect(tracked->uffd_fd, start, len);
	if (err)
		return err;
	*(volatile uint8_t *)(tracked->addr + tracked->hpage) = 1;
	*(volatile uint8_t *)(tracked->addr + 3 * tracked->hpage) = 1;
	tracked->written = 0;
	err = fl__scan(tracked->pagemap_fd, start, start + len, form, &buffer,
		       on_tracked, tracked);
	if (err)
		return err;
	return tracked->written == 0xa ? 0 : -EIO;
}

static int tracking_try(enum fl__scan_form form)
{
	struct tracked tracked = { .hpage = fl__os_hpage_bytes() };
	enum fl__uffd_door door;
	int err;

	tracked.uffd_fd = fl__uffd_open(&door);
	if (tracked.uffd_fd < 0)
		return tracked.uffd_fd;
	tracked.pagemap_fd = fl__scan_open();
	err = tracked.pagemap_fd < 0 ? tracked.pagemap_fd :
				       tracked_map(&tracked);
	if (!err)
		err = tracked_run(&tracked, form);
	if (tracked.addr && tracked.addr != MAP_FAILED)
		munmap(tracked.addr, (size_t)(4 * tracked.hpage));
	if (tracked.pagemap_fd >= 0)
		close(tracked.pagemap_fd);
	close(tracked.uffd_fd);
	return err;
}

static void probe_UFFD_WP_ASYNC(struct fl__probe *probe,
				struct fl__probe_result *result)
{
	enum fl__uffd_door door;
	int fd;

	if (!fl__probe_has(probe, FL__FEATURE_UFFD)) {
		*result = probe->results[FL__FEATURE_UFFD];
		result->reason = "there is no userfaultfd";
		return;
	}
	fd = fl__uffd_open(&door);
	if (fd >= 0) {
		close(fd);
		say_yes(result);
	} else {
		say(result, FL_SUPPORT_MISSING, fd,
		    "the kernel's userfaultfd has no asynchronous write-protection of private file mappings",
		    "use Linux 6.7 or newer");
	}
}

static int on_any(void *user, const struct fl__kernel_region *regions,
		  size_t count)
{
	(void)regions;
	(void)count;
	*(bool *)user = true;
	return 0;
}

static void probe_PAGEMAP_SCAN(struct fl__probe *probe,
			       struct fl__probe_result *result)
{
	uint64_t hpage = fl__os_hpage_bytes();
	uint64_t here = fl_round_down((uintptr_t)&hpage, hpage);
	struct fl__kernel_region region;
	struct fl__scan_buffer buffer = { .regions = &region, .count = 1 };
	bool is_seen = false;
	int fd = fl__scan_open(), err;

	(void)probe;
	if (fd < 0) {
		say(result, FL_SUPPORT_DENIED, fd,
		    "/proc/self/pagemap does not open",
		    "mount /proc in the container");
		return;
	}
	err = fl__scan(fd, here, here + hpage, FL__SCAN_TOUCHED, &buffer,
		       on_any, &is_seen);
	close(fd);
	if (err)
		say(result,
		    err == -ENOTTY || err == -EINVAL ? FL_SUPPORT_MISSING :
						       FL_SUPPORT_DENIED,
		    err, "the kernel's pagemap has no PAGEMAP_SCAN",
		    "use Linux 6.7 or newer");
	else if (!is_seen)
		say(result, FL_SUPPORT_BROKEN, -EIO,
		    "a scan does not see the stack it runs on", NULL);
	else
		say_yes(result);
}

/* The kernel tested the wrong bit of swapped entries before 6.9 (fixed by
 * upstream commit 2c7ad9a590d1), which shows only when a page is swapped out;
 * that cannot be provoked everywhere, so here the version decides. */
static bool kernel_misreads_swap(void)
{
	struct utsname name;
	int major, minor;

	if (uname(&name) || sscanf(name.release, "%d.%d", &major, &minor) != 2)
		return true;
	return major < 6 || (major == 6 && minor < 9);
}

static void probe_FAST_SCAN(struct fl__probe *probe,
			    struct fl__probe_result *result)
{
	int err;

	if (!fl__probe_has(probe, FL__FEATURE_UFFD_WP_ASYNC) ||
	    !fl__probe_has(probe, FL__FEATURE_PAGEMAP_SCAN)) {
		say(result, FL_SUPPORT_MISSING, 0,
		    "there is no write tracking to scan", NULL);
		return;
	}
	err = tracking_try(FL__SCAN_WRITTEN);
	if (err)
		say(result, FL_SUPPORT_BROKEN, err,
		    "a tracked write was not reported, or one that was not made was",
		    NULL);
	else if (kernel_misreads_swap())
		say(result, FL_SUPPORT_BROKEN, 0,
		    "the fast scan of this kernel misreads swapped pages; a slower form is used",
		    "use Linux 6.9 or newer");
	else
		say_yes(result);
}

static void probe_COLLAPSE(struct fl__probe *probe,
			   struct fl__probe_result *result)
{
	uint64_t size = (uint64_t)2 << 20;
	int fd = memfd_create("faultline-probe", MFD_CLOEXEC), err = 0;
	uint8_t *addr = NULL;

	(void)probe;
	if (fd < 0 || ftruncate(fd, (off_t)size) ||
	    fl__os_reserve(size, size, &addr))
		err = errno ? -errno : -ENOMEM;
	else if (mmap(addr, (size_t)size, PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_FIXED, fd, 0) == MAP_FAILED)
		err = -errno;
	if (!err) {
		*addr = 1;
		err = madvise(addr, (size_t)size, MADV_COLLAPSE) ? -errno : 0;
	}
	if (addr)
		fl__os_release(addr, size);
	if (fd >= 0)
		close(fd);
	if (err)
		say(result, FL_SUPPORT_MISSING, err,
		    "a memory file cannot be collapsed to 2 MiB folios",
		    "use Linux 6.1 or newer with CONFIG_TRANSPARENT_HUGEPAGE");
	else
		say_yes(result);
}

static void probe_advice(struct fl__probe_result *result, int advice,
			 const char *reason)
{
	size_t len = (size_t)fl__os_hpage_bytes();
	void *addr = mmap(NULL, len, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (addr == MAP_FAILED) {
		say(result, FL_SUPPORT_BROKEN, -errno, "no memory to try it",
		    NULL);
		return;
	}
	if (madvise(addr, len, advice))
		say(result, FL_SUPPORT_MISSING, -errno, reason, NULL);
	else
		say_yes(result);
	munmap(addr, len);
}

static void probe_POPULATE(struct fl__probe *probe,
			   struct fl__probe_result *result)
{
	(void)probe;
	probe_advice(
		result, MADV_POPULATE_WRITE,
		"the kernel does not know MADV_POPULATE_WRITE; pages are touched one by one");
}

static void probe_WIPEONFORK(struct fl__probe *probe,
			     struct fl__probe_result *result)
{
	(void)probe;
	probe_advice(
		result, MADV_WIPEONFORK,
		"the kernel does not know MADV_WIPEONFORK; getpid() is used");
}

static void probe_PSI(struct fl__probe *probe, struct fl__probe_result *result)
{
	int fd = open("/proc/pressure/memory", O_RDONLY | O_CLOEXEC);

	(void)probe;
	if (fd < 0) {
		say(result,
		    errno == ENOENT ? FL_SUPPORT_MISSING : FL_SUPPORT_DENIED,
		    -errno, "/proc/pressure/memory does not open",
		    "boot with psi=1 on a kernel with CONFIG_PSI");
		return;
	}
	close(fd);
	say_yes(result);
}

static probe_fn *const probes[FL__FEATURE_COUNT] = {
#define FL_FEATURE(id, name, since, note, gives) probe_##id,
#include "features.def"
#undef FL_FEATURE
};

void fl__probe_run(struct fl__probe *probe, const char *disabled)
{
	for (uint32_t i = 0; i < FL__FEATURE_COUNT; i++) {
		if (fl_name_is_listed(disabled, rows[i].name))
			say(&probe->results[i], FL_SUPPORT_DISABLED, 0,
			    "taken away by FAULTLINE_DISABLE",
			    "take its name out of FAULTLINE_DISABLE");
		else
			probes[i](probe, &probe->results[i]);
	}
}

bool fl__probe_describe(const struct fl__probe *probe, uint32_t idx,
			struct fl_feature *feature)
{
	const struct fl__probe_result *result;

	if (idx >= FL__FEATURE_COUNT)
		return false;
	result = &probe->results[idx];
	*feature = (struct fl_feature){
		.name = rows[idx].name,
		.since = rows[idx].since,
		.note = rows[idx].note,
		.gives = rows[idx].gives,
		.support = result->support,
		.err = result->err,
		.reason = result->reason,
		.remedy = result->remedy,
	};
	return true;
}
