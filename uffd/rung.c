/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/* rung.c - which rung a host gets; see rung.h. */
#include "rung.h"

static const char *const rung_names[] = { FL__LINUX_RUNGS };
_Static_assert(FL_ARRAY_SIZE(rung_names) == FL__RUNG_COUNT, "a name each");

/* The features that one rung alone uses, in the order in which they are missed.
 * Features in no row serve all rungs. */
static const struct {
	enum fl__rung rung;
	enum fl__feature feature;
	bool is_needed;
} rung_uses[] = {
	{ FL__RUNG_TRACK, FL__FEATURE_PAGEMAP_SCAN, true },
	{ FL__RUNG_TRACK, FL__FEATURE_UFFD, true },
	{ FL__RUNG_TRACK, FL__FEATURE_UFFD_WP_ASYNC, true },
	{ FL__RUNG_TRACK, FL__FEATURE_FAST_SCAN, false },
	{ FL__RUNG_SCAN, FL__FEATURE_PAGEMAP_SCAN, true },
};

/* A feature that was found wanting is a better answer than one that was not
 * tried for that reason. */
static const char *rung_lacks(const struct fl__probe *probe, enum fl__rung rung)
{
	const char *untried = NULL;

	for (size_t i = 0; i < FL_ARRAY_SIZE(rung_uses); i++) {
		const struct fl_feature *feature =
			&probe->features[rung_uses[i].feature];

		if (rung_uses[i].rung != rung || !rung_uses[i].is_needed ||
		    feature->support == FL_SUPPORT_YES)
			continue;
		if (feature->support != FL_SUPPORT_UNTRIED)
			return feature->reason;
		untried = feature->reason;
	}
	return untried;
}

/* The features that no rung uses which is left by the caller's choice and by
 * what is disabled. */
uint32_t fl__rung_unused(const char *disabled, const char *wanted)
{
	bool is_out[FL__RUNG_COUNT];
	uint32_t all = 0, used = 0;

	for (int r = 0; r < FL__RUNG_COUNT; r++)
		is_out[r] = wanted && strcmp(wanted, rung_names[r]);
	for (size_t i = 0; i < FL_ARRAY_SIZE(rung_uses); i++)
		is_out[rung_uses[i].rung] |=
			rung_uses[i].is_needed &&
			fl_name_is_listed(
				disabled,
				fl__feature_name(rung_uses[i].feature));
	for (size_t i = 0; i < FL_ARRAY_SIZE(rung_uses); i++) {
		all |= FL__FEATURE_BIT(rung_uses[i].feature);
		if (!is_out[rung_uses[i].rung])
			used |= FL__FEATURE_BIT(rung_uses[i].feature);
	}
	return all & ~used;
}

const char *fl__rung_name(enum fl__rung rung)
{
	return rung_names[rung];
}

int fl__rung_choose(const struct fl__probe *probe, const char *wanted,
		    enum fl__rung *rung, const char **reason,
		    struct fl_error *error)
{
	*reason = NULL;
	for (int r = 0; r < FL__RUNG_COUNT; r++) {
		const char *lacks = rung_lacks(probe, (enum fl__rung)r);

		*rung = (enum fl__rung)r;
		if (wanted && strcmp(wanted, rung_names[r])) {
			*reason = "a lower rung was asked for";
			continue;
		}
		if (!lacks)
			return 0;
		*reason = lacks;
		if (wanted)
			return fl__error_set(error, -ENOTSUP,
					     "rung \"%s\" cannot be had: %s",
					     wanted, lacks);
	}
	/* A rung that needs nothing is the last. */
	fl_assert(false);
	return -EIO;
}
