/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * uffd-probe-helper.c - what the library found on this host, for uffd-probe.
 *
 * Makes a context with the public interface, which probes every feature, and
 * prints one record a line. Tabs separate a record's fields; an empty field is
 * "-":
 *
 *	library  version
 *	backend  name
 *	rung     name
 *	reason   why not a better rung
 *	refused  why not the linux backend
 *	feature  name since support errno note gives reason remedy
 *	syscall  name rule argument mask value reason
 *
 * With the argument --plan it does what uffd-probe-plan.h says. Otherwise:
 *
 * Exit status: 0 the best rung of the linux backend, 1 a lower one, 2 another
 * backend, 3 none; 4 the output could not be written.
 */
#include "uffd-probe-plan.h"

#include <faultline.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

struct errno_name {
	int number;
	const char *name;
};

/* What the calls that are probed can answer. */
static const struct errno_name errno_names[] = {
#define NAME(number)            \
	{                       \
		number, #number \
	}
	NAME(E2BIG),  NAME(EACCES), NAME(EAGAIN), NAME(EBADF),
	NAME(EBUSY),  NAME(EEXIST), NAME(EFAULT), NAME(EINTR),
	NAME(EINVAL), NAME(EIO),    NAME(EMFILE), NAME(ENFILE),
	NAME(ENODEV), NAME(ENOENT), NAME(ENOMEM), NAME(ENOSPC),
	NAME(ENOSYS), NAME(ENOTTY), NAME(ENXIO),  NAME(EOPNOTSUPP),
	NAME(EPERM),  NAME(EROFS),  NAME(ESRCH),
#undef NAME
};

static void field_errno(int err)
{
	if (!err) {
		printf("\t-");
		return;
	}
	for (size_t i = 0; i < sizeof(errno_names) / sizeof(*errno_names);
	     i++) {
		if (errno_names[i].number == -err) {
			printf("\t%s", errno_names[i].name);
			return;
		}
	}
	printf("\t%d", -err);
}

static void field(const char *text)
{
	printf("\t%s", text && *text ? text : "-");
}

static void record(const char *key, const char *text)
{
	fputs(key, stdout);
	field(text);
	putchar('\n');
}

static void record_features(const struct fl_context *context)
{
	struct fl_feature feature = { .size = sizeof(feature) };

	for (uint32_t i = 0; !fl_context_feature(context, i, &feature); i++) {
		fputs("feature", stdout);
		field(feature.name);
		field(feature.since);
		field(fl_support_name(feature.support));
		field_errno(feature.err);
		field(feature.note);
		field(feature.gives);
		field(feature.reason);
		field(feature.remedy);
		putchar('\n');
	}
}

static void record_syscalls(const struct fl_context *context)
{
	static const char *const rules[] = {
		[FL_SYSCALL_ANY] = "any",
		[FL_SYSCALL_MASKED] = "masked",
		[FL_SYSCALL_OWN_PID] = "own-pid",
	};
	struct fl_syscall row = { .size = sizeof(row) };

	for (uint32_t i = 0; !fl_context_syscall(context, i, &row); i++) {
		fputs("syscall", stdout);
		field(row.name);
		field(rules[row.rule]);
		printf("\t%" PRIu32 "\t%" PRIu64 "\t%" PRIu64, row.arg_idx,
		       row.arg_mask, row.arg_value);
		field(row.reason);
		putchar('\n');
	}
}

/* Why the linux backend is not in use: ask for that backend by name. */
static void record_refusal(void)
{
	struct fl_context_config config;
	struct fl_context *context;
	struct fl_error error;

	fl_context_config_init(&config);
	config.backend = "linux";
	if (fl_context_create(&config, &context, &error))
		record("refused", error.text);
	else
		fl_context_destroy(context);
}

static int report(void)
{
	struct fl_context *context;
	struct fl_error error;
	const char *reason = NULL;
	int status = 0;

	record("library", fl_version());
	if (fl_context_create(NULL, &context, &error)) {
		record("refused", error.text);
		return 3;
	}
	record("backend", fl_context_backend(context));
	record("rung", fl_context_rung(context, &reason));
	record("reason", reason);
	record_features(context);
	record_syscalls(context);
	if (strcmp(fl_context_backend(context), "linux")) {
		record_refusal();
		status = 2;
	} else if (reason) {
		status = 1;
	}
	fl_context_destroy(context);
	return status;
}

int main(int argc, char **argv)
{
	int status = argc > 1 && !strcmp(argv[1], "--plan") ? plan(argv + 2) :
							      report();

	if (fflush(stdout) || ferror(stdout)) {
		perror("uffd-probe-helper: standard output");
		return 4;
	}
	return status;
}
