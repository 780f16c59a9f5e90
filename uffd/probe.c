/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/* probe.c - trying each kernel feature; see probe.h. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "probe.h"
#include "filter.h"
#include "ring.h"
#include "scan.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/utsname.h>
#include <unistd.h>

/* Judge the feature that is being tried; a probe that says nothing found
 * support. */
static void say(struct fl__probe *probe, enum fl_support support, int err,
		const char *reason, const char *remedy)
{
	probe->current->support = support;
	probe->current->err = err;
	probe->current->reason = reason;
	probe->current->remedy = remedy;
}

/* A call failed with errno; a kernel without the call answers `missing`. */
static void say_errno(struct fl__probe *probe, int missing, const char *reason,
		      const char *remedy)
{
	say(probe, errno == missing ? FL_SUPPORT_MISSING : FL_SUPPORT_DENIED,
	    -errno, reason, remedy);
}

/* Every rung drops pages by madvise(), and believes its answer. */
static void probe_MEMFD_SEALS(struct fl__probe *probe)
{
	int fd;

	if (!fl__os_heeds_advice()) {
		say(probe, FL_SUPPORT_BROKEN, -ENOTSUP,
		    "madvise() takes what no kernel knows, as emulators do that drop no page",
		    NULL);
		return;
	}
	fd = memfd_create("faultline-probe", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0) {
		say_errno(probe, ENOSYS, "memfd_create failed",
			  "allow memfd_create in the seccomp profile");
		return;
	}
	if (fcntl(fd, F_ADD_SEALS,
		  F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL))
		say(probe, FL_SUPPORT_BROKEN, -errno,
		    "a memory file cannot be sealed", NULL);
	close(fd);
}

static void probe_UFFD(struct fl__probe *probe)
{
	int fd = fl__uffd_open_plain();

	if (fd >= 0)
		close(fd);
	else if (fd == -ENOSYS)
		say(probe, FL_SUPPORT_MISSING, fd,
		    "userfaultfd answers ENOSYS: kernel without it, or a seccomp profile that hides it",
		    "use a kernel with CONFIG_USERFAULTFD, and allow userfaultfd in the seccomp profile");
	else
		say(probe, FL_SUPPORT_DENIED, fd,
		    "neither /dev/userfaultfd nor userfaultfd(2) opens, not even in user-mode-only form",
		    "allow userfaultfd in the container's seccomp profile, or give the process read and write access to /dev/userfaultfd");
}

static void probe_UFFD_WP_ASYNC(struct fl__probe *probe)
{
	const struct fl_feature *uffd = &probe->features[FL__FEATURE_UFFD];
	int fd;

	if (uffd->support != FL_SUPPORT_YES) {
		say(probe, uffd->support, uffd->err, uffd->reason,
		    uffd->remedy);
		return;
	}
	fd = fl__uffd_open();
	if (fd >= 0)
		close(fd);
	else
		say(probe, FL_SUPPORT_MISSING, fd,
		    "the kernel's userfaultfd has no asynchronous write-protection of private file mappings",
		    "use Linux 6.7 or newer");
}

/* Map a new memory file over a range. A byte is in the file by a call: where
 * the host has no memory for it, a store would be SIGBUS. */
static int lay_file(void *addr, size_t len, int flags)
{
	int fd, err = 0;

	if (!fl__os_file_may_reach(len))
		return -EFBIG;
	fd = memfd_create("faultline-probe", MFD_CLOEXEC);
	if (fd < 0 || ftruncate(fd, (off_t)len) || pwrite(fd, "", 1, 0) != 1 ||
	    mmap(addr, len, PROT_READ | PROT_WRITE, flags | MAP_FIXED, fd, 0) ==
		    MAP_FAILED)
		err = -errno;
	if (fd >= 0)
		close(fd);
	return err;
}

static const char short_files[] =
	"this process may make no file as long as the trial needs";
static const char longer_files[] = "raise `ulimit -f` to 2 MiB or more";

/* Fill the missing second page of a memory file, through a shared mapping. */
static int missing_try(int uffd_fd)
{
	size_t len = (size_t)fl__os_hpage_bytes();
	uint8_t *pages = mmap(NULL, 3 * len, PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint8_t *missing, *from;
	uint64_t copied = 0;
	int err;

	if (pages == MAP_FAILED)
		return -errno;
	missing = pages + len;
	from = pages + 2 * len;
	*from = 1;
	err = lay_file(pages, 2 * len, MAP_SHARED);
	if (!err)
		err = fl__uffd_register(uffd_fd, (uintptr_t)missing, len,
					FL__UFFD_MISSING);
	if (!err)
		err = fl__uffd_copy(uffd_fd, (uintptr_t)missing, from, len,
				    &copied);
	if (!err && (copied != len || *missing != 1))
		err = -EIO;
	munmap(pages, 3 * len);
	return err;
}

static void probe_UFFD_MISSING(struct fl__probe *probe)
{
	const struct fl_feature *uffd = &probe->features[FL__FEATURE_UFFD];
	int fd, err;

	if (uffd->support != FL_SUPPORT_YES) {
		say(probe, uffd->support, uffd->err, uffd->reason,
		    uffd->remedy);
		return;
	}
	fd = fl__uffd_open_missing(false, false);
	err = fd < 0 ? fd : missing_try(fd);
	if (fd >= 0)
		close(fd);
	if (err == -EFBIG)
		say(probe, FL_SUPPORT_DENIED, err, short_files, longer_files);
	else if (err)
		say(probe, FL_SUPPORT_MISSING, err,
		    "the kernel's userfaultfd does not fill missing pages of memory files",
		    "use Linux 4.11 or newer with CONFIG_SHMEM");
}

/* Show the first page of a memory file, which is in the file, in a private mapping. */
static int minor_try(int uffd_fd)
{
	size_t len = (size_t)fl__os_hpage_bytes();
	uint8_t *page = mmap(NULL, len, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint64_t mapped = 0;
	int err;

	if (page == MAP_FAILED)
		return -errno;
	err = lay_file(page, len, MAP_PRIVATE);
	if (!err)
		err = fl__uffd_register(uffd_fd, (uintptr_t)page, len,
					FL__UFFD_MISSING | FL__UFFD_MINOR);
	if (!err)
		err = fl__uffd_continue(uffd_fd, (uintptr_t)page, len, false,
					&mapped);
	if (!err && mapped != len)
		err = -EIO;
	munmap(page, len);
	return err;
}

static void probe_UFFD_MINOR(struct fl__probe *probe)
{
	int fd, err;

	if (!fl__probe_has(probe, FL__FEATURE_UFFD_MISSING)) {
		say(probe, FL_SUPPORT_UNTRIED, 0,
		    "not tried, because no image is loaded on demand here",
		    NULL);
		return;
	}
	fd = fl__uffd_open_missing(false, true);
	err = fd < 0 ? fd : minor_try(fd);
	if (fd >= 0)
		close(fd);
	if (err == -EFBIG)
		say(probe, FL_SUPPORT_DENIED, err, short_files, longer_files);
	else if (err)
		say(probe, FL_SUPPORT_MISSING, err,
		    "the kernel's userfaultfd does not tell of pages of memory files that are not mapped yet",
		    "use Linux 5.14 or newer with CONFIG_SHMEM");
}

static void say_no_ring(struct fl__probe *probe, int err)
{
	if (err == -ENOSYS)
		say(probe, FL_SUPPORT_MISSING, err,
		    FL_WITH_LIBURING ?
			    "the kernel has no io_uring, or a seccomp profile hides it; pages are read with pread()" :
			    "the library was built without liburing; pages are read with pread()",
		    FL_WITH_LIBURING ?
			    "use a kernel with CONFIG_IO_URING, and allow io_uring_setup, io_uring_enter and io_uring_register in the seccomp profile" :
			    "build with liburing-dev installed");
	else if (err == -EINVAL)
		say(probe, FL_SUPPORT_MISSING, err,
		    "a ring of this kernel cannot be restricted; pages are read with pread()",
		    "use Linux 5.10 or newer");
	/* Old kernels count rings as locked memory: another moment does not help. */
	else if (err == -ENOMEM)
		say(probe, FL_SUPPORT_DENIED, -EPERM,
		    "no locked memory for a ring; pages are read with pread()",
		    "raise `ulimit -l`");
	else
		say(probe, FL_SUPPORT_DENIED, err,
		    "a ring does not open, or takes nothing; pages are read with pread()",
		    "allow io_uring in the container's seccomp profile, or set the sysctl kernel.io_uring_disabled to 0");
}

static void probe_IO_URING(struct fl__probe *probe)
{
	struct fl__ring *ring = NULL;
	int err;

	if (!fl__probe_has(probe, FL__FEATURE_UFFD_MISSING)) {
		say(probe, FL_SUPPORT_UNTRIED, 0,
		    "not tried, because no image is loaded on demand here",
		    NULL);
		return;
	}
	err = fl__ring_open(1, &ring);
	if (!err)
		err = fl__ring_try(ring);
	fl__ring_close(ring);
	if (err)
		say_no_ring(probe, err);
}

static void probe_SECCOMP(struct fl__probe *probe)
{
	int err;

	if (!fl__probe_has(probe, FL__FEATURE_UFFD_MISSING)) {
		say(probe, FL_SUPPORT_UNTRIED, 0,
		    "not tried, because no image is loaded on demand here",
		    NULL);
		return;
	}
	if (fl__filter_harms()) {
		say(probe, FL_SUPPORT_UNTRIED, 0,
		    "not tried, because a sanitizer in this process makes system calls of its own in each thread",
		    "run without a sanitizer");
		return;
	}
	err = FL_WITH_SECCOMP ? fl__filter_try() : -ENOSYS;
	if (!FL_WITH_SECCOMP)
		say(probe, FL_SUPPORT_MISSING, err,
		    "the library was built without libseccomp; threads that load are not confined",
		    "build with libseccomp-dev installed");
	else if (err)
		say(probe,
		    err == -ENOSYS || err == -EINVAL ? FL_SUPPORT_MISSING :
						       FL_SUPPORT_DENIED,
		    err,
		    "the kernel takes no filter; threads that load are not confined",
		    "use a kernel with CONFIG_SECCOMP_FILTER, and allow seccomp in the container's profile");
}

/* What a scan over a few pages reports. */
struct scanned {
	uint64_t start;
	uint64_t hpage;
	uint64_t seen; /* a bit per page */
};

static int on_scanned(void *user, const struct fl__kernel_region *region,
		      size_t count, int step)
{
	struct scanned *scanned = user;

	for (; count; count--, region += step) {
		for (uint64_t at = region->start; at < region->end;
		     at += scanned->hpage)
			scanned->seen |= UINT64_C(1) << (at - scanned->start) /
								scanned->hpage;
	}
	return 0;
}

static int scan_pages(int pagemap_fd, struct scanned *scanned, uint64_t hpages,
		      enum fl__scan_form form)
{
	struct fl__kernel_region regions[4];
	struct fl__scan_buffer buffer = { .regions = regions, .count = 4 };

	return fl__scan(pagemap_fd, scanned->start,
			scanned->start + hpages * scanned->hpage, form, &buffer,
			on_scanned, scanned);
}

static void probe_PAGEMAP_SCAN(struct fl__probe *probe)
{
	uint64_t hpage = fl__os_hpage_bytes();
	struct scanned stack = { fl_round_down((uintptr_t)&hpage, hpage), hpage,
				 0 };
	int fd = fl__scan_open(), err;

	if (fd < 0) {
		say(probe, FL_SUPPORT_DENIED, fd,
		    "/proc/self/pagemap does not open",
		    fd == -EACCES || fd == -EPERM ?
			    "make the context before the process changes its user, or call prctl(PR_SET_DUMPABLE, 1) after that" :
			    "mount /proc in the container");
		return;
	}
	err = scan_pages(fd, &stack, 1, FL__SCAN_TOUCHED);
	close(fd);
	if (err)
		say(probe,
		    err == -ENOTTY || err == -EINVAL ? FL_SUPPORT_MISSING :
						       FL_SUPPORT_DENIED,
		    err, "the kernel's pagemap has no PAGEMAP_SCAN",
		    "use Linux 6.7 or newer");
	else if (!stack.seen)
		say(probe, FL_SUPPORT_BROKEN, -EIO,
		    "a scan does not see the stack it runs on", NULL);
}

/* Two pages of a private file mapping, then two of anonymous memory: is the
 * second of each, which is written, reported, and no other? Behind these, two
 * that are not registered: the one that is there must be reported. */
static int tracked_run(int uffd_fd, int pagemap_fd)
{
	uint64_t hpage = fl__os_hpage_bytes(), len = 4 * hpage;
	uint8_t *pages = mmap(NULL, (size_t)(6 * hpage), PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct scanned scanned = { (uintptr_t)pages, hpage, 0 };
	int err;

	if (pages == MAP_FAILED)
		return -errno;
	err = lay_file(pages, (size_t)len / 2, MAP_PRIVATE);
	if (!err)
		err = fl__uffd_register_wp(uffd_fd, scanned.start, len);
	if (!err)
		err = fl__uffd_protect(uffd_fd, scanned.start, len);
	if (!err) {
		*(volatile uint8_t *)(pages + hpage) = 1;
		*(volatile uint8_t *)(pages + 3 * hpage) = 1;
		*(volatile uint8_t *)(pages + 5 * hpage) = 1;
		err = scan_pages(pagemap_fd, &scanned, 6, FL__SCAN_WRITTEN);
	}
	if (!err && (scanned.seen & 0x2f) != 0x2a)
		err = -EIO;
	munmap(pages, (size_t)(6 * hpage));
	return err;
}

static int tracking_try(void)
{
	int uffd_fd = fl__uffd_open(), pagemap_fd = fl__scan_open();
	int err = uffd_fd < 0	 ? uffd_fd :
		  pagemap_fd < 0 ? pagemap_fd :
				   tracked_run(uffd_fd, pagemap_fd);

	if (pagemap_fd >= 0)
		close(pagemap_fd);
	if (uffd_fd >= 0)
		close(uffd_fd);
	return err;
}

/* The kernel tested the wrong bit of swapped entries before 6.9 (fixed by
 * upstream commit 2c7ad9a590d1). This shows only when a page is swapped out,
 * and no probe can swap a page out everywhere, so here the version decides. */
static bool kernel_misreads_swap(void)
{
	struct utsname name;
	int major, minor;

	if (uname(&name) || sscanf(name.release, "%d.%d", &major, &minor) != 2)
		return true;
	return major < 6 || (major == 6 && minor < 9);
}

static void probe_FAST_SCAN(struct fl__probe *probe)
{
	int err;

	if (!fl__probe_has(probe, FL__FEATURE_UFFD_WP_ASYNC) ||
	    !fl__probe_has(probe, FL__FEATURE_PAGEMAP_SCAN)) {
		say(probe, FL_SUPPORT_MISSING, 0,
		    "there is no write tracking to scan", NULL);
		return;
	}
	err = tracking_try();
	if (err == -EFBIG)
		say(probe, FL_SUPPORT_DENIED, err, short_files, longer_files);
	else if (err)
		say(probe, FL_SUPPORT_BROKEN, err,
		    "a tracked write was not reported, or a page without a write was",
		    NULL);
	else if (kernel_misreads_swap())
		say(probe, FL_SUPPORT_BROKEN, 0,
		    "the fast scan of this kernel misreads swapped pages; a slower form is used",
		    "use Linux 6.9 or newer");
}

/* A kernel that has no such folio to spare now knows the call all the same. */
static int collapse_try(uint8_t *addr, uint64_t size)
{
	int err = lay_file(addr, (size_t)size, MAP_SHARED);

	if (err)
		return err;
	err = madvise(addr, (size_t)size, FL_MADV_COLLAPSE) ? -errno : 0;
	return err == -ENOMEM || err == -EAGAIN || err == -EBUSY ? 0 : err;
}

static void probe_COLLAPSE(struct fl__probe *probe)
{
	uint64_t size = (uint64_t)2 << 20;
	uint8_t *addr = NULL;
	int err = fl__os_reserve(size, size, &addr);

	if (!err)
		err = collapse_try(addr, size);
	if (addr)
		fl__os_release(addr, size);
	if (err == -EFBIG)
		say(probe, FL_SUPPORT_DENIED, err, short_files, longer_files);
	else if (err == -EINVAL && prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0) > 0)
		say(probe, FL_SUPPORT_DENIED, err,
		    "large pages are turned off for this process",
		    "do not set PR_SET_THP_DISABLE, or make the context before");
	else if (err)
		say(probe, FL_SUPPORT_MISSING, err,
		    "a memory file cannot be collapsed to 2 MiB folios",
		    "use Linux 6.1 or newer with CONFIG_TRANSPARENT_HUGEPAGE");
}

static void probe_advice(struct fl__probe *probe, int advice,
			 const char *reason)
{
	size_t len = (size_t)fl__os_hpage_bytes();
	void *addr = mmap(NULL, len, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (addr == MAP_FAILED) {
		say(probe, FL_SUPPORT_BROKEN, -errno,
		    "no memory for a page to try", NULL);
		return;
	}
	if (madvise(addr, len, advice))
		say(probe, FL_SUPPORT_MISSING, -errno, reason, NULL);
	munmap(addr, len);
}

static void probe_POPULATE(struct fl__probe *probe)
{
	probe_advice(
		probe, FL_MADV_POPULATE_WRITE,
		"the kernel does not know MADV_POPULATE_WRITE; pages are touched one by one");
}

/* What the kernel answers for a page that it is to make writable. */
static int populate_errno(uint8_t *addr, size_t len)
{
	return madvise(addr, len, FL_MADV_POPULATE_WRITE) ? errno : 0;
}

/* Whoever takes the advice and marks nothing would leave a hole in every guard:
 * so a marked page has to be a guard in an accessible mapping, also after its
 * neighbour was dropped with it, and the neighbour none. */
static const char *markers_lack(uint8_t *addr, size_t hpage)
{
	if (fl__os_mark_guard(addr, hpage))
		return "the kernel does not know MADV_GUARD_INSTALL; each guard is a mapping";
	if (mprotect(addr, 2 * hpage, PROT_READ | PROT_WRITE) ||
	    populate_errno(addr + hpage, hpage))
		return "no memory for a page to try";
	if (populate_errno(addr, hpage) != EFAULT ||
	    madvise(addr, 2 * hpage, MADV_DONTNEED) ||
	    populate_errno(addr, hpage) != EFAULT)
		return "MADV_GUARD_INSTALL makes no guard here; each guard is a mapping";
	return NULL;
}

static void probe_GUARD_MARKERS(struct fl__probe *probe)
{
	size_t hpage = (size_t)fl__os_hpage_bytes();
	const char *lacks;
	void *addr;

	if (!fl__probe_has(probe, FL__FEATURE_POPULATE)) {
		say(probe, FL_SUPPORT_UNTRIED, 0,
		    "to try guards takes MADV_POPULATE_WRITE", NULL);
		return;
	}
	addr = mmap(NULL, 2 * hpage, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
		    0);
	if (addr == MAP_FAILED) {
		say(probe, FL_SUPPORT_BROKEN, -errno,
		    "no memory for a page to try", NULL);
		return;
	}
	errno = 0;
	lacks = markers_lack(addr, hpage);
	if (lacks)
		say(probe, FL_SUPPORT_MISSING, -errno, lacks, NULL);
	munmap(addr, 2 * hpage);
}

static void probe_WIPEONFORK(struct fl__probe *probe)
{
	probe_advice(
		probe, MADV_WIPEONFORK,
		"the kernel does not know MADV_WIPEONFORK; getpid() is used");
}

static void probe_PSI(struct fl__probe *probe)
{
	int fd = open("/proc/pressure/memory", O_RDONLY | O_CLOEXEC);
	int err = errno;

	if (fd >= 0)
		close(fd);
	else if (err == ENOENT && access("/proc/meminfo", F_OK))
		say(probe, FL_SUPPORT_DENIED, -err,
		    "/proc shows nothing of the host: it is not mounted, or with subset=pid",
		    "mount /proc without subset=pid, or name a control group's memory.pressure");
	else
		say(probe,
		    err == ENOENT ? FL_SUPPORT_MISSING : FL_SUPPORT_DENIED,
		    -err, "/proc/pressure/memory does not open",
		    "boot with psi=1 on a kernel with CONFIG_PSI");
}

/* Others of these features may be of use all the same, but would need a call
 * that the choice excludes. */
#define UNTRIED \
	" was not tried, because the rung that was asked for, or FAULTLINE_DISABLE, excludes each rung that uses it"
static const struct {
	struct fl_feature feature;
	const char *disabled, *enable, *untried;
	void (*probe)(struct fl__probe *probe);
} rows[FL__FEATURE_COUNT] = {
#define FL_FEATURE(id, name, since, note, gives)                          \
	{ { 0, name, since, note, gives, FL_SUPPORT_YES, 0, NULL, NULL }, \
	  name " is taken away by FAULTLINE_DISABLE",                     \
	  "take " name " out of FAULTLINE_DISABLE",                       \
	  name UNTRIED,                                                   \
	  probe_##id },
#include "features.def"
#undef FL_FEATURE
#undef UNTRIED
};

const char *fl__feature_name(enum fl__feature feature)
{
	return rows[feature].feature.name;
}

/* Did a trial fail for want of something that another moment may have? */
static bool is_shortage(int err)
{
	return err == -ENOMEM || err == -EAGAIN || err == -EMFILE ||
	       err == -ENFILE || err == -ENOSPC;
}

static int probe_one(struct fl__probe *probe, uint32_t idx,
		     const char *disabled, uint32_t unused,
		     struct fl_error *error)
{
	struct fl_feature *feature = &probe->features[idx];
	const char *remedy;

	probe->current = feature;
	*feature = rows[idx].feature;
	if (fl_name_is_listed(disabled, feature->name))
		say(probe, FL_SUPPORT_DISABLED, 0, rows[idx].disabled,
		    rows[idx].enable);
	else if (unused & FL__FEATURE_BIT(idx))
		say(probe, FL_SUPPORT_UNTRIED, 0, rows[idx].untried,
		    "ask for a better rung, or take names out of FAULTLINE_DISABLE");
	else
		rows[idx].probe(probe);
	if (!is_shortage(feature->err))
		return 0;
	remedy = fl__os_remedy(feature->err);
	return fl__error_set(error, -ENOMEM,
			     "cannot try the feature \"%s\": %s%s%s",
			     feature->name, strerror(-feature->err),
			     remedy ? "; " : "", remedy ? remedy : "");
}

int fl__probe_run(struct fl__probe *probe, const char *disabled,
		  uint32_t unused, struct fl_error *error)
{
	int err = 0;

	for (uint32_t i = 0; i < FL__FEATURE_COUNT && !err; i++) {
		err = probe_one(probe, i, disabled, unused, error);
		if (!err && i == FL__FEATURE_MEMFD_SEALS &&
		    !fl__probe_has(probe, FL__FEATURE_MEMFD_SEALS))
			return fl__error_set(
				error, -ENOTSUP,
				"the linux backend needs sealed memory files: %s",
				probe->current->reason);
	}
	return err;
}
