/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * faultline-seccomp.c - rows of fl_context_syscall() as rules of libseccomp.
 *
 * A library of its own, because only an embedder that filters wants libseccomp.
 * The list is the engine's and is not repeated here.
 */
#include "faultline-seccomp.h"

#include <errno.h>

/* EEXIST: the filter has the rule. */
static int fold(int err)
{
	switch (err) {
	case 0:
	case -EEXIST:
		return 0;
	case -ENOMEM:
	case -EINVAL:
		return err;
	default:
		return -ENOTSUP;
	}
}

/* What the library does without gets an error, which a filter that allows the call
 * already does not take. */
static int rule_add(scmp_filter_ctx filter, const struct fl_syscall *row)
{
	const uint32_t does = FL_SYSCALL_POOLS | FL_SYSCALL_HANDLER;
	struct scmp_arg_cmp arg = { row->arg_idx, SCMP_CMP_MASKED_EQ,
				    row->arg_mask, row->arg_value };
	int number = seccomp_syscall_resolve_name(row->name);

	if (number == __NR_SCMP_ERROR)
		return -ENOTSUP;
	if (!(row->uses & does))
		return row->uses & FL_SYSCALL_COUNT ?
			       fold(seccomp_rule_add(filter,
						     SCMP_ACT_ERRNO(EACCES),
						     number, 0)) :
			       0;
	return fold(seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, number,
					   row->rule != FL_SYSCALL_ANY, &arg));
}

int fl_seccomp_allow(const struct fl_context *context, scmp_filter_ctx filter)
{
	struct fl_syscall row = { .size = sizeof(row) };
	uint32_t otherwise, idx = 0;
	int err = 0;

	if (!filter ||
	    seccomp_attr_get(filter, SCMP_FLTATR_ACT_DEFAULT, &otherwise))
		return -EINVAL;
	/* libseccomp takes no rule that changes nothing. */
	if (otherwise == SCMP_ACT_ALLOW)
		return 0;
	while (!err && !fl_context_syscall(context, idx, &row)) {
		err = rule_add(filter, &row);
		idx++;
	}
	return idx ? err : -ENOTSUP;
}
