/* SPDX-License-Identifier: Apache-2.0 */
/* The environment of a unit: clean, then what is inherited, what follows from the user, env files, env keys; later ones win. */
#include "isolate_ids.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DEFAULT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#define FILE_MAX_BYTES (256 * 1024)

extern char **environ;

static int put(struct isolate_plan *p, const char *name, size_t n, const char *value, bool replace)
{
	size_t i = 0, v = strlen(value);
	char *text;

	while (i < p->nvars && (strncmp(p->vars[i], name, n) != 0 || p->vars[i][n] != '='))
		i++;
	if (i < p->nvars && !replace)
		return 0;
	if (p->nvars + 2 > p->cap_vars) {
		size_t cap = p->cap_vars ? 2 * p->cap_vars : 16;
		const char **vars = isolate_alloc(p, cap * sizeof(*vars));

		if (!vars)
			return -1;
		if (p->nvars)
			memcpy(vars, p->vars, p->nvars * sizeof(*vars));
		p->vars = vars;
		p->cap_vars = cap;
	}
	text = isolate_alloc(p, n + v + 2);
	if (!text)
		return -1;
	memcpy(text, name, n);
	text[n] = '=';
	memcpy(text + n + 1, value, v + 1);
	p->vars[i] = text;
	p->nvars += i == p->nvars;
	p->vars[p->nvars] = NULL;
	p->env = (char *const *)p->vars;
	return 0;
}

int isolate_env_add(struct isolate_plan *p, const char *name, const char *value)
{
	return put(p, name, strlen(name), value, true);
}

/* The value in place, without its quotes; -1: a quote is not closed or something follows it. */
static int unquote(char *v)
{
	char *to = v, quote = *v;
	size_t n;

	if (quote != '"' && quote != '\'') {
		n = strlen(v);
		while (n && (v[n - 1] == ' ' || v[n - 1] == '\t' || v[n - 1] == '\r'))
			v[--n] = '\0';
		return 0;
	}
	for (char *at = v + 1; *at; at++) {
		if (*at == quote) {
			*to = '\0';
			at++;
			return at[strspn(at, " \t\r")] ? -1 : 0;
		}
		if (*at == '\\' && quote == '"' && at[1])
			at++;
		*to++ = *at;
	}
	return -1;
}

/* A variable that an env key gave already stays: keys win over files. */
static int env_line(struct isolate_plan *p, const char *path, unsigned number, char *line, size_t own, char *why)
{
	char *eq;

	line += strspn(line, " \t");
	if (!*line || *line == '#' || *line == '\r')
		return 0;
	if (strncmp(line, "export ", 7) == 0)
		line += 7;
	eq = strchr(line, '=');
	if (!eq || eq == line || strcspn(line, " \t") < (size_t)(eq - line) || unquote(eq + 1) < 0) {
		snprintf(why, ISOLATE_WHY, "env-file: %.120s, line %u: not NAME=VALUE, or a quote is not closed", path, number);
		return -1;
	}
	for (size_t i = 0; i < own; i++)
		if (strncmp(p->vars[i], line, (size_t)(eq - line) + 1) == 0)
			return 0;
	if (put(p, line, (size_t)(eq - line), eq + 1, true) == 0)
		return 0;
	snprintf(why, ISOLATE_WHY, "env-file: %.120s: the environment is too large", path);
	return -1;
}

static int env_file(struct isolate_plan *p, const char *path, size_t own, char *why)
{
	bool may_lack = *path == '-';
	unsigned number = 0;
	struct stat st;
	char *text = NULL;
	ssize_t n;
	int fd, r = 0;

	path += may_lack;
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0 && errno == ENOENT && may_lack)
		return 0;
	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size > FILE_MAX_BYTES ||
		!(text = isolate_alloc(p, (size_t)st.st_size + 1)) ||
		(n = read(fd, text, (size_t)st.st_size)) < 0) {
		snprintf(why, ISOLATE_WHY, "env-file: %.160s: %s", path,
			fd < 0 ? strerror(errno) : !S_ISREG(st.st_mode) ? "not a file" : "larger than 256 KiB, or unreadable");
		r = -1;
	} else {
		text[n] = '\0';
		for (char *line = text, *next; r == 0 && line; line = next) {
			next = strchr(line, '\n');
			if (next)
				*next++ = '\0';
			r = env_line(p, path, ++number, line, own, why);
		}
	}
	if (fd >= 0)
		close(fd);
	return r;
}

static int inherit(struct isolate_plan *p)
{
	bool all = p->env_inherit && strcmp(p->env_inherit, "all") == 0;

	for (char **e = environ; p->env_inherit && e && *e; e++) {
		size_t n = strcspn(*e, "=");
		bool want = all;

		for (const char *at = p->env_inherit; !want && *at; at += strcspn(at, ", "), at += *at != '\0')
			want = strcspn(at, ", ") == n && strncmp(at, *e, n) == 0;
		if (want && (*e)[n] == '=' && put(p, *e, n, *e + n + 1, false) < 0)
			return -1;
	}
	return 0;
}

int isolate_environment(struct isolate_plan *p, char *why)
{
	size_t own = p->nvars; /* from env keys: never replaced by what follows */

	for (size_t i = 0; i < p->nenv_files; i++)
		if (env_file(p, p->env_files[i], own, why) < 0)
			return -1;
	if ((p->user_name && (put(p, "USER", 4, p->user_name, false) < 0 || put(p, "LOGNAME", 7, p->user_name, false) < 0 ||
		put(p, "HOME", 4, p->home, false) < 0 || put(p, "SHELL", 5, p->shell, false) < 0)) ||
		inherit(p) < 0 || put(p, "PATH", 4, DEFAULT_PATH, false) < 0) {
		snprintf(why, ISOLATE_WHY, "the environment is too large (%d bytes)", ISOLATE_ARENA);
		return -1;
	}
	return 0;
}
