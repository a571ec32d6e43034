/* SPDX-License-Identifier: Apache-2.0 */
/* passwd and group files, read directly: the C library's functions need shared objects in a static program. */
#include "guest.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Splits a line at ':' in place; absent fields are "". */
static void fields(char *line, char **f, size_t n)
{
	static char empty[1];

	line[strcspn(line, "\n")] = '\0';
	for (size_t i = 0; i < n; i++) {
		char *p = line;

		f[i] = p ? p : empty;
		line = p ? strchr(p, ':') : NULL;
		if (line)
			*line++ = '\0';
	}
}

static bool number(const char *s, uint32_t *ret)
{
	char *end;
	unsigned long v;

	if (*s < '0' || *s > '9')
		return false;
	errno = 0;
	v = strtoul(s, &end, 10);
	if (*end || errno || v >= UINT32_MAX)
		return false;
	*ret = (uint32_t)v;
	return true;
}

static void groups(struct account *a)
{
	FILE *f = fopen("/etc/group", "re");
	char *line = NULL, *v[4], *save;
	size_t cap = 0;
	uint32_t gid;

	a->groups[a->ngroups++] = a->gid;
	while (f && getline(&line, &cap, f) > 0) {
		fields(line, v, 4);
		if (!number(v[2], &gid) || gid == a->gid)
			continue;
		for (char *m = strtok_r(v[3], ",", &save); m; m = strtok_r(NULL, ",", &save))
			if (strcmp(m, a->name) == 0 &&
				a->ngroups < sizeof(a->groups) / sizeof(a->groups[0]))
				a->groups[a->ngroups++] = gid;
	}
	free(line);
	if (f)
		fclose(f);
}

int account_find(const char *name, struct account *a)
{
	FILE *f = fopen("/etc/passwd", "re");
	char *line = NULL, *v[7];
	uint32_t want = UINT32_MAX, uid, gid;
	bool by_number = number(name, &want), found = false;
	size_t cap = 0;

	memset(a, 0, sizeof(*a));
	while (f && !found && getline(&line, &cap, f) > 0) {
		fields(line, v, 7);
		if (!number(v[2], &uid) || !number(v[3], &gid))
			continue;
		found = strcmp(v[0], name) == 0 || (by_number && uid == want);
		if (!found)
			continue;
		snprintf(a->name, sizeof(a->name), "%s", v[0]);
		snprintf(a->home, sizeof(a->home), "%s", v[5]);
		snprintf(a->shell, sizeof(a->shell), "%s", *v[6] ? v[6] : "/bin/sh");
		a->uid = uid;
		a->gid = gid;
	}
	free(line);
	if (f)
		fclose(f);
	/* A number needs no entry, and root exists even without the file. */
	if (!found && (by_number || strcmp(name, "root") == 0)) {
		a->uid = a->gid = by_number ? want : 0;
		snprintf(a->name, sizeof(a->name), "%s", name);
		snprintf(a->home, sizeof(a->home), "%s", a->uid ? "/" : "/root");
		snprintf(a->shell, sizeof(a->shell), "/bin/sh");
		found = true;
	}
	if (!found) {
		errno = ENOENT;
		return -1;
	}
	groups(a);
	return 0;
}

static int group_find(const char *name, gid_t *ret)
{
	FILE *f = fopen("/etc/group", "re");
	char *line = NULL, *v[4];
	bool found = number(name, ret);
	size_t cap = 0;

	while (f && !found && getline(&line, &cap, f) > 0) {
		fields(line, v, 4);
		found = strcmp(v[0], name) == 0 && number(v[2], ret);
	}
	free(line);
	if (f)
		fclose(f);
	return found ? 0 : -1;
}

int owner_parse(const char *s, uid_t *uid, gid_t *gid)
{
	char user[128];
	size_t n = strcspn(s, ":");
	struct account a;

	errno = ENOENT;
	if (n >= sizeof(user))
		return -1;
	memcpy(user, s, n);
	user[n] = '\0';
	if (n > 0) {
		if (account_find(user, &a) < 0)
			return -1;
		*uid = a.uid;
		*gid = a.gid;
	}
	if (s[n] == ':' && s[n + 1] && group_find(s + n + 1, gid) < 0) {
		errno = ENOENT;
		return -1;
	}
	return 0;
}
