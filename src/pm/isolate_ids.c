/* SPDX-License-Identifier: Apache-2.0 */
/* Reads the two files itself: a static program can't load the modules of the name service. */
#include "isolate_ids.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LINE 1024

static int is_number(const char *s, uint32_t *ret)
{
	char *end;
	unsigned long n;

	errno = 0;
	n = strtoul(s, &end, 10);
	if (*s < '0' || *s > '9' || *end || errno || n >= UINT32_MAX)
		return 0;
	*ret = (uint32_t)n;
	return 1;
}

/* Splits in place at colons; how many there are. */
static size_t fields(char *line, char **f, size_t max)
{
	size_t n = 0;

	line[strcspn(line, "\n")] = '\0';
	for (char *at = line; n < max; at++) {
		f[n++] = at;
		at = strchr(at, ':');
		if (!at)
			break;
		*at = '\0';
	}
	return n;
}

/* One line of name:x:id..., by name or number; 1 found, 0 not, -1 errno. */
static int look_up(const char *path, const char *name, char line[LINE], char **f, size_t want)
{
	FILE *file = fopen(path, "re");
	uint32_t number = 0, id;
	int numeric = is_number(name, &number), found = 0;

	if (!file)
		return errno == ENOENT ? 0 : -1;
	while (!found && fgets(line, LINE, file)) {
		if (fields(line, f, want) < want)
			continue;
		found = is_number(f[2], &id) && (strcmp(f[0], name) == 0 || (numeric && id == number));
	}
	fclose(file);
	return found;
}

static int user(struct isolate_plan *p, char *why)
{
	char line[LINE], *f[7];
	uint32_t id;
	int r = look_up("/etc/passwd", p->user_text, line, f, 7);

	if (r < 0) {
		snprintf(why, ISOLATE_WHY, "user: /etc/passwd: %s", strerror(errno));
		return -1;
	}
	if (r == 0 && !is_number(p->user_text, &p->uid)) {
		snprintf(why, ISOLATE_WHY, "user: '%.80s' is not in /etc/passwd", p->user_text);
		return -1;
	}
	if (r == 0) {
		if (p->has_group)
			return 0;
		snprintf(why, ISOLATE_WHY, "user: %.80s is not in /etc/passwd, so its group is not known: say group=", p->user_text);
		return -1;
	}
	is_number(f[2], &p->uid);
	if (!p->has_group) {
		if (!is_number(f[3], &id)) {
			snprintf(why, ISOLATE_WHY, "user: no group for '%.80s' in /etc/passwd", p->user_text);
			return -1;
		}
		p->gid = id;
	}
	p->user_name = isolate_strn(p, f[0], strlen(f[0]));
	p->home = isolate_strn(p, f[5], strlen(f[5]));
	p->shell = isolate_strn(p, f[6], strlen(f[6]));
	if (!p->user_name || !p->home || !p->shell) {
		snprintf(why, ISOLATE_WHY, "user: out of memory");
		return -1;
	}
	return 0;
}

static int group(const char *key, const char *name, gid_t *ret, char *why)
{
	char line[LINE], *f[3];
	uint32_t id;

	if (is_number(name, &id)) {
		*ret = id;
		return 0;
	}
	if (look_up("/etc/group", name, line, f, 3) == 1 && is_number(f[2], &id)) {
		*ret = id;
		return 0;
	}
	snprintf(why, ISOLATE_WHY, "%s: '%.80s' is not in /etc/group", key, name);
	return -1;
}

static int named_groups(struct isolate_plan *p, char *why)
{
	char name[80];

	if (strcmp(p->groups_text, "none") == 0)
		return 0;
	for (const char *at = p->groups_text; *at;) {
		size_t n = strcspn(at, ", ");

		if (n >= sizeof(name) || p->ngroups == ISOLATE_GROUPS) {
			snprintf(why, ISOLATE_WHY, "groups: more than %d, or a name that is too long", ISOLATE_GROUPS);
			return -1;
		}
		memcpy(name, at, n);
		name[n] = '\0';
		if (n && group("groups", name, &p->groups[p->ngroups++], why) < 0)
			return -1;
		at += n + (at[n] != '\0');
	}
	return 0;
}

static int listed(const char *list, const char *name)
{
	size_t n = strlen(name);

	for (;; list++) {
		if (strncmp(list, name, n) == 0 && (list[n] == ',' || list[n] == '\0'))
			return 1;
		list = strchr(list, ',');
		if (!list)
			return 0;
	}
}

/* As login does: every group that lists the user. */
static void users_groups(struct isolate_plan *p)
{
	FILE *file = fopen("/etc/group", "re");
	char line[LINE], *f[4];
	uint32_t id;

	while (file && fgets(line, sizeof(line), file) && p->ngroups < ISOLATE_GROUPS)
		if (fields(line, f, 4) == 4 && is_number(f[2], &id) && id != p->gid && listed(f[3], p->user_name))
			p->groups[p->ngroups++] = id;
	if (file)
		fclose(file);
}

/* "INSIDE OUTSIDE COUNT\n" for each map; our own id as root when none is given. */
static void map_text(char *out, size_t size, const struct isolate_map *m, size_t n, uint32_t own)
{
	struct isolate_map self = { 0, own, 1 };
	size_t at = 0;

	if (!n) {
		m = &self;
		n = 1;
	}
	for (size_t i = 0; i < n; i++)
		at += (size_t)snprintf(out + at, size - at, "%u %u %u\n", m[i].inside, m[i].outside, m[i].count);
}

/* What the kernel allows without privilege: one id, our own. */
static int maps(struct isolate_plan *p, char *why)
{
	if (!(p->namespaces & CLONE_NEWUSER))
		return 0;
	map_text(p->maps[0], sizeof(p->maps[0]), p->uid_map, p->nuid_map, p->our_uid);
	map_text(p->maps[1], sizeof(p->maps[1]), p->gid_map, p->ngid_map, p->our_gid);
	if (p->our_uid == 0)
		return 0;
	if (p->nuid_map > 1 || p->ngid_map > 1 ||
		(p->nuid_map && (p->uid_map->count != 1 || p->uid_map->outside != p->our_uid)) ||
		(p->ngid_map && (p->gid_map->count != 1 || p->gid_map->outside != p->our_gid))) {
		snprintf(why, ISOLATE_WHY, "uid-map, gid-map: without being root only our own ids can be mapped: "
			"INSIDE:%u:1 and INSIDE:%u:1", (unsigned)p->our_uid, (unsigned)p->our_gid);
		return -1;
	}
	return 0;
}

int ids_resolve(struct isolate_plan *p, char *why)
{
	if (p->has_group && group("group", p->group_text, &p->gid, why) < 0)
		return -1;
	if (p->has_user && user(p, why) < 0)
		return -1;
	p->has_group |= p->has_user;
	if (p->has_groups) {
		if (named_groups(p, why) < 0)
			return -1;
	} else if (p->user_name) {
		users_groups(p);
	}
	/* A new user never keeps the groups of the old one. */
	p->has_groups |= p->has_user;
	return maps(p, why);
}
