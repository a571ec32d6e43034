/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/units.h"
#include "job.h"

#include <dirent.h>
#include <string.h>

#define SUFFIX ".job"
#define HEAD_LINES 20
#define HEAD_MAX 4096

void job_clear(struct job *j)
{
	free(STEAL(j->name));
	free(STEAL(j->dir));
	free(STEAL(j->text));
}

void jobs_clear(struct jobs *l)
{
	for (size_t i = 0; i < l->len; i++)
		job_clear(&l->v[i]);
	free(l->v);
	*l = (struct jobs){ 0 };
}

char *job_own_dir(struct error **err)
{
	_cleanup_free_ char *dir = path_libexec("jobs", err);

	return dir ? realpath(dir, NULL) : NULL;
}

void job_dirs(struct strv *dirs)
{
	_cleanup_error_ struct error *e = NULL;
	char *own = job_own_dir(&e);

	strv_take(dirs, path_config("jobs"));
	if (own)
		strv_take(dirs, own);
}

/* What follows a word at the start of a line, without blanks around it; new, or NULL. */
static char *after(const char *line, size_t len, const char *word)
{
	size_t n = strlen(word);

	if (len < n || strncmp(line, word, n))
		return NULL;
	for (line += n, len -= n; len && strchr(" \t", *line); line++, len--)
		;
	while (len && strchr(" \t\r", line[len - 1]))
		len--;
	return xstrndup(line, len);
}

static void read_needs(struct job *j, const char *text)
{
	_cleanup_strv_ struct strv words = STRV_INIT;

	strv_split(&words, text, " \t,");
	j->readonly |= strv_has(&words, "read-only");
	j->bios |= strv_has(&words, "bios");
	j->ssh |= strv_has(&words, "ssh");
}

static void read_head(struct job *j, const char *path)
{
	_cleanup_fclose_ FILE *f = fopen(path, "re");
	char head[HEAD_MAX + 1];
	size_t n = f ? fread(head, 1, HEAD_MAX, f) : 0;
	const char *s = head;

	head[n] = '\0';
	for (int i = 0; i < HEAD_LINES && *s; i++) {
		size_t len = strcspn(s, "\n");
		_cleanup_free_ char *needs = after(s, len, "# needs:");

		if (!j->text)
			j->text = after(s, len, "# job:");
		if (needs)
			read_needs(j, needs);
		s += len + (s[len] == '\n');
	}
}

static bool has_suffix(const char *s)
{
	size_t n = strlen(s);

	return n > strlen(SUFFIX) && !strcmp(s + n - strlen(SUFFIX), SUFFIX);
}

/* *ret is set when DIR/NAME.job is a file. */
static bool look(const char *dir, const char *name, struct job *ret)
{
	_cleanup_free_ char *path = xasprintf("%s/%s" SUFFIX, dir, name);

	if (!file_exists(path) || file_is_dir(path))
		return false;
	*ret = (struct job){ .name = xstrdup(name), .dir = path_absolute(dir) };
	read_head(ret, path);
	return true;
}

static int not_found(const char *name, const struct strv *dirs, struct error **err)
{
	_cleanup_free_ char *where = strv_join(dirs, ", ");
	_cleanup_jobs_ struct jobs all = { 0 };
	_cleanup_free_ const char **names = NULL;
	const char *near;

	job_list(dirs, &all);
	names = xcalloc(all.len + 1, sizeof(*names));
	for (size_t i = 0; i < all.len; i++)
		names[i] = all.v[i].name;
	near = nearest_name(name, names, all.len);
	error_set(err, ERR_NOT_FOUND, "job %s: there is no %s" SUFFIX " in %s", name, name, where);
	return near ? error_hint(err, "did you mean '%s'?", near) : error_hint(err, "croft job list shows those that exist");
}

int job_find(const char *name, const struct strv *dirs, struct job *ret, struct error **err)
{
	_cleanup_free_ char *plain = has_suffix(name) ? xstrndup(name, strlen(name) - strlen(SUFFIX)) : xstrdup(name);

	if (!*plain)
		return error_set(err, ERR_USAGE, "the name of the job is empty");
	if (strchr(plain, '/')) {
		_cleanup_free_ char *dir = path_dirname(plain);

		if (look(dir, path_basename(plain), ret))
			return 0;
		return error_set(err, ERR_NOT_FOUND, "job %s: %s" SUFFIX " is not there", name, plain);
	}
	for (size_t i = 0; i < dirs->len; i++)
		if (look(dirs->v[i], plain, ret))
			return 0;
	return not_found(plain, dirs, err);
}

static bool listed(const struct jobs *l, const char *name)
{
	for (size_t i = 0; i < l->len; i++)
		if (!strcmp(l->v[i].name, name))
			return true;
	return false;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct job *)a)->name, ((const struct job *)b)->name);
}

void job_list(const struct strv *dirs, struct jobs *ret)
{
	for (size_t i = 0; i < dirs->len; i++) {
		_cleanup_closedir_ DIR *d = opendir(dirs->v[i]);

		for (struct dirent *e; d && (e = readdir(d));) {
			_cleanup_free_ char *name = has_suffix(e->d_name) ? xstrndup(e->d_name, strlen(e->d_name) - strlen(SUFFIX)) : NULL;
			struct job j;

			if (!name || listed(ret, name) || !look(dirs->v[i], name, &j))
				continue;
			ret->v = xreallocarray(ret->v, ret->len + 1, sizeof(j));
			ret->v[ret->len++] = j;
		}
	}
	if (ret->len)
		qsort(ret->v, ret->len, sizeof(*ret->v), by_name);
}
