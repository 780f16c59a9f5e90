/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/* backends.c - the backends and the choice among them; see backends.h. */
#include "backends.h"

#ifndef FL_WITH_UFFD
static int absent_open(const char *disabled,
		       const struct fl_context_config *config,
		       struct fl__host **host, struct fl_error *error)
{
	(void)disabled;
	(void)config;
	(void)host;
	return fl__error_set(error, -ENOTSUP,
			     "this library was built --without-uffd");
}

/* The name means the same to every build. */
static const struct fl__backend backend_absent = {
	.name = "linux",
	.rungs = { FL__LINUX_RUNGS },
	.open = absent_open,
};
#endif

/* In order of preference; NULL ends the list. */
static const struct fl__backend *const backends[] = {
#ifdef FL_WITH_UFFD
	&fl__backend_linux,
#else
	&backend_absent,
#endif
	&fl__backend_segmented,
	NULL,
};

static bool name_is_known(const char *name, size_t len)
{
	/* Read by the context. */
	if (fl_name_is(name, len, "statistics"))
		return true;
	for (size_t i = 0; backends[i]; i++) {
		if (fl_name_is(name, len, backends[i]->name) ||
		    (backends[i]->knows && backends[i]->knows(name, len)))
			return true;
	}
	return false;
}

/* A name with a slip in it would take nothing away, and a test would pass that
 * tested nothing. */
static int names_check(const char *disabled, struct fl_error *error)
{
	const char *name;
	size_t len;

	while ((name = fl_name_next(&disabled, &len))) {
		if (!name_is_known(name, len))
			return fl__error_set(
				error, -EINVAL,
				"FAULTLINE_DISABLE names \"%.*s\", which is no backend and no feature of this library; uffd-probe lists the features",
				(int)fl_min_u64(len, 40), name);
	}
	return 0;
}

static bool has_rung(const struct fl__backend *backend, const char *rung)
{
	for (size_t i = 0; i < FL_ARRAY_SIZE(backend->rungs); i++) {
		if (backend->rungs[i] && !strcmp(rung, backend->rungs[i]))
			return true;
	}
	return false;
}

static int rung_check(const char *rung, struct fl_error *error)
{
	for (size_t i = 0; backends[i]; i++) {
		if (!rung || has_rung(backends[i], rung))
			return 0;
	}
	return fl__error_set(
		error, -EINVAL,
		"there is no rung \"%s\"; the comment of fl_context_rung() lists them",
		rung);
}

/* Open what is asked for by no name, or by its own. */
static int backend_try(const struct fl__backend *backend,
		       const struct fl_context_config *config,
		       const char *disabled, struct fl__host **host,
		       struct fl_error *error)
{
	if (fl_name_is_listed(disabled, backend->name))
		return fl__error_set(
			error, -ENOTSUP,
			"backend \"%s\" is taken away by FAULTLINE_DISABLE",
			backend->name);
	if (config->rung && !has_rung(backend, config->rung))
		return fl__error_set(error, -ENOTSUP,
				     "backend \"%s\" has no rung \"%s\"",
				     backend->name, config->rung);
	return backend->open(disabled, config, host, error);
}

int fl__backend_open(const struct fl_context_config *config,
		     const char *disabled, const struct fl__backend **backend,
		     struct fl__host **host, struct fl_error *error)
{
	const char *name = config->backend, *rung = config->rung;
	struct fl_error found;
	int err = names_check(disabled, error);

	if (!err)
		err = rung_check(rung, error);
	if (err)
		return err;
	err = fl__error_set(
		&found, -ENOTSUP,
		"this library has no backend \"%.80s\"; it has \"%s\" and \"%s\"",
		name ? name : "", backends[0]->name, backends[1]->name);
	for (size_t i = 0; backends[i]; i++) {
		if (name && strcmp(name, backends[i]->name))
			continue;
		err = backend_try(backends[i], config, disabled, host, &found);
		if (!err) {
			*backend = backends[i];
			return 0;
		}
		/* A shortage says nothing of the host. A caller that asks for a
		 * rung is told why there is no such rung here, not that another
		 * backend lacks the rung too. */
		if (err == -ENOMEM || (rung && has_rung(backends[i], rung)))
			break;
	}
	if (error)
		*error = found;
	return err;
}
