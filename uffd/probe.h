/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * probe.h - what can this kernel, in this process, do?
 *
 * Takes the names that FAULTLINE_DISABLE lists, and what the rung leaves no use
 * for; gives, for each row of features.def, what the probe found: a verdict, the
 * errno, and what a user would change. The result is a value, filled once. A
 * version number decides only for FAST_SCAN, and a comment there says why.
 *
 * What is disabled or of no use is not called: a seccomp filter may kill for it.
 * A call that fails because descriptors, memory or mappings have run out tells
 * nothing of a feature; it ends the run with an error. No trial is killed by a
 * limit: none makes a file longer than the process may, or writes to a file
 * through a mapping.
 */
#ifndef FL_PROBE_H
#define FL_PROBE_H

#include "backend.h"
#include "uffd.h"

enum fl__feature {
#define FL_FEATURE(id, name, since, note, gives) FL__FEATURE_##id,
#include "features.def"
#undef FL_FEATURE
	FL__FEATURE_COUNT,
};

struct fl__probe {
	struct fl_feature features[FL__FEATURE_COUNT];
	struct fl_feature *current;	/* the row that is being tried */
};

#define FL__FEATURE_BIT(feature) ((uint32_t)1 << (feature))

const char *fl__feature_name(enum fl__feature feature);

/* unused: bits of the features not to try. -ENOTSUP without memfd-seals, which
 * everything here builds on; -ENOMEM. */
int fl__probe_run(struct fl__probe *probe, const char *disabled,
		  uint32_t unused, struct fl_error *error);

static inline bool fl__probe_has(const struct fl__probe *probe,
				 enum fl__feature feature)
{
	return probe->features[feature].support == FL_SUPPORT_YES;
}

#endif
