/* SPDX-License-Identifier: Apache-2.0 */
#include "base/cleanup.h"
#include "base/mem.h"
#include "image/apt.h"

#include <string.h>

/* The name in "  name:any (>= 1) [amd64]"; new. */
static char *name_of(const char *s)
{
	s += strspn(s, " \t");
	return xstrndup(s, strcspn(s, " \t:(["));
}

/* Names that end in '*' stand for all that begin so. */
static bool left_out(const struct strv *skip, const char *name)
{
	for (size_t i = 0; i < skip->len; i++) {
		size_t n = strlen(skip->v[i]);

		if (!strcmp(skip->v[i], name) || (n && skip->v[i][n - 1] == '*' && !strncmp(skip->v[i], name, n - 1)))
			return true;
	}
	return false;
}

/*
 * One of "a | b (>= 1)": one that is taken already, or left out on purpose (*ret NULL); else the first that the index has.
 */
static int choose(struct apt *a, const char *text, const struct strv *skip, const struct strv *taken, char **ret, struct error **err)
{
	_cleanup_strv_ struct strv any = STRV_INIT;
	_cleanup_free_ char *first = NULL;

	strv_split(&any, text, "|");
	for (size_t i = 0; i < any.len; i++) {
		_cleanup_free_ char *name = name_of(any.v[i]), *file = apt_field(a, name, "Filename");

		if (strv_has(taken, name) || left_out(skip, name))
			return 0;
		if (file && !first)
			first = STEAL(name);
	}
	if (!first)
		return error_set(err, ERR_FAILED, "no package in the archive is '%s'", text + strspn(text, " "));
	*ret = STEAL(first);
	return 0;
}

static int add_needs(struct apt *a, const char *package, const char *field, const struct strv *skip, struct strv *taken, struct error **err)
{
	_cleanup_free_ char *text = apt_field(a, package, field);
	_cleanup_strv_ struct strv needs = STRV_INIT;

	strv_split(&needs, text ? text : "", ",");
	for (size_t i = 0; i < needs.len; i++) {
		_cleanup_free_ char *name = NULL;

		if (choose(a, needs.v[i], skip, taken, &name, err) < 0)
			return error_wrap(err, "package %s", package);
		if (name)
			strv_take(taken, STEAL(name));
	}
	return 0;
}

int apt_closure(struct apt *a, const struct strv *skip, struct strv *packages, struct error **err)
{
	/* Grows while it is gone through. */
	for (size_t i = 0; i < packages->len; i++)
		if (add_needs(a, packages->v[i], "Pre-Depends", skip, packages, err) < 0 ||
			add_needs(a, packages->v[i], "Depends", skip, packages, err) < 0)
			return -1;
	return 0;
}
