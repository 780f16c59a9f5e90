/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * probe.h - what can this kernel, in this process, do?
 *
 * Takes the names that FAULTLINE_DISABLE lists; gives, for each row of
 * features.def, what the probe found: a verdict, the errno, and what a user
 * would change. The result is a value, filled once. A version number decides
 * only for FAST_SCAN, and a comment there says why.
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

void fl__probe_run(struct fl__probe *probe, const char *disabled);

static inline bool fl__probe_has(const struct fl__probe *probe,
				 enum fl__feature feature)
{
	return probe->features[feature].support == FL_SUPPORT_YES;
}

#endif
