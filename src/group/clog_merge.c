/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One view of many logs. A line's time is what it begins with: ISO 8601 (RFC 3339), seconds since 1970, or that of syslog (RFC 3164,
 * whose year is that of the file). Lines without a time belong to the one before. Each file's lines stay in their order.
 */
#include "clog_merge.h"
#include "internal.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/path.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#define FILE_MAX ((size_t)512 << 20)

struct source {
	char *label; /* "NODE/path" */
	struct buf text;
	size_t at;   /* of the line that is next */
	double time; /* of it */
	double ahead;
	int year;
};
struct merge {
	struct source *v;
	size_t n;
};

static int digits(const char *s, int n)
{
	int v = 0;

	for (int i = 0; i < n; i++) {
		if (!isdigit((unsigned char)s[i]))
			return -1;
		v = v * 10 + (s[i] - '0');
	}
	return v;
}

/* ".123" or ",123" as seconds; *p moves behind it. */
static double fraction(const char **p)
{
	double v = 0, scale = 0.1;

	if (**p != '.' && **p != ',')
		return 0;
	for (++*p; isdigit((unsigned char)**p); ++*p, scale /= 10)
		v += (**p - '0') * scale;
	return v;
}

static bool iso_time(const char *s, double *ret)
{
	struct tm t = { 0 };
	int zone = 0;
	double part;

	if (digits(s, 4) < 1970 || s[4] != '-' || digits(s + 5, 2) < 1 || s[7] != '-' || digits(s + 8, 2) < 1 || (s[10] != 'T' && s[10] != ' ') ||
		digits(s + 11, 2) < 0 || s[13] != ':' || digits(s + 14, 2) < 0 || s[16] != ':' || digits(s + 17, 2) < 0)
		return false;
	t.tm_year = digits(s, 4) - 1900;
	t.tm_mon = digits(s + 5, 2) - 1;
	t.tm_mday = digits(s + 8, 2);
	t.tm_hour = digits(s + 11, 2);
	t.tm_min = digits(s + 14, 2);
	t.tm_sec = digits(s + 17, 2);
	s += 19;
	part = fraction(&s);
	if ((*s == '+' || *s == '-') && digits(s + 1, 2) >= 0) {
		int minutes = s[3] == ':' ? digits(s + 4, 2) : digits(s + 3, 2);

		zone = (digits(s + 1, 2) * 60 + (minutes > 0 ? minutes : 0)) * (*s == '-' ? -60 : 60);
	}
	*ret = (double)timegm(&t) + part - zone;
	return true;
}

static bool syslog_time(const char *s, int year, double *ret)
{
	static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
	struct tm t = { .tm_year = year - 1900 };
	char name[4] = { s[0], s[0] ? s[1] : 0, s[0] && s[1] ? s[2] : 0, 0 };
	const char *m = strlen(name) == 3 ? strstr(months, name) : NULL;

	if (!m || (m - months) % 3 || s[3] != ' ' || !s[4])
		return false;
	t.tm_mon = (int)(m - months) / 3;
	t.tm_mday = s[4] == ' ' ? digits(s + 5, 1) : digits(s + 4, 2);
	if (t.tm_mday < 1 || s[6] != ' ' || digits(s + 7, 2) < 0 || s[9] != ':' || digits(s + 10, 2) < 0 || s[12] != ':' || digits(s + 13, 2) < 0)
		return false;
	t.tm_hour = digits(s + 7, 2);
	t.tm_min = digits(s + 10, 2);
	t.tm_sec = digits(s + 13, 2);
	*ret = (double)timegm(&t);
	return true;
}

bool clog_time(const char *line, int year, double *ret)
{
	const char *s = line + strspn(line, " \t[<");
	double part;

	if (iso_time(s, ret))
		return true;
	/* Seconds since 1970: ten digits, or thirteen for milliseconds. */
	if (digits(s, 10) > 0 && !isdigit((unsigned char)s[10])) {
		*ret = strtod(s, NULL);
		s += 10;
		part = fraction(&s);
		*ret = (double)(long long)*ret + part;
		return true;
	}
	if (digits(s, 9) > 0 && digits(s + 9, 4) >= 0 && !isdigit((unsigned char)s[13])) {
		*ret = strtod(s, NULL) / 1000;
		return true;
	}
	return syslog_time(s, year, ret);
}

/* Time of the line at `at`; that of the line before when it has none. */
static void look(struct source *s)
{
	char line[64];
	size_t n = 0;
	double t;

	while (n < sizeof(line) - 1 && s->at + n < s->text.len && s->text.data[s->at + n] != '\n') {
		line[n] = s->text.data[s->at + n];
		n++;
	}
	line[n] = '\0';
	if (clog_time(line, s->year, &t))
		s->time = t - s->ahead;
}

static int add_file(struct merge *m, const char *path, const char *label, double ahead, struct error **err)
{
	struct source s = { .label = xstrdup(label), .ahead = ahead };
	struct stat st;
	struct tm tm;

	if (file_read(path, FILE_MAX, &s.text, err) < 0) {
		free(s.label);
		buf_free(&s.text);
		return -1;
	}
	s.year = stat(path, &st) == 0 && gmtime_r(&st.st_mtime, &tm) ? tm.tm_year + 1900 : 1970;
	look(&s);
	m->v = xreallocarray(m->v, m->n + 1, sizeof(*m->v));
	m->v[m->n++] = s;
	return 0;
}

static int add_folder(struct merge *m, const char *path, const char *label, double ahead, struct error **err)
{
	_cleanup_closedir_ DIR *d = opendir(path);

	if (!d)
		return error_errno(err, errno, "%s", path);
	for (struct dirent *e; (e = readdir(d));) {
		_cleanup_free_ char *sub = path_join(path, e->d_name), *name = xasprintf("%s/%s", label, e->d_name);
		struct stat st;

		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, "..") || lstat(sub, &st) < 0)
			continue;
		if (S_ISDIR(st.st_mode) ? add_folder(m, sub, name, ahead, err) < 0 : S_ISREG(st.st_mode) && add_file(m, sub, name, ahead, err) < 0)
			return -1;
	}
	return 0;
}

static double read_clock(const char *dir, const char *node)
{
	_cleanup_free_ char *path = xasprintf("%s/%s.clock", dir, node);
	_cleanup_error_ struct error *e = NULL;
	_cleanup_buf_ struct buf b = BUF_INIT;

	return file_exists(path) && file_read(path, 100, &b, &e) == 0 ? strtod(buf_str(&b), NULL) : 0;
}

static int by_label(const void *a, const void *b)
{
	return strcmp(((const struct source *)a)->label, ((const struct source *)b)->label);
}

static int add_all(struct merge *m, const char *dir, struct error **err)
{
	_cleanup_closedir_ DIR *d = opendir(dir);

	if (!d)
		return error_errno(err, errno, "%s", dir);
	for (struct dirent *e; (e = readdir(d));) {
		_cleanup_free_ char *path = path_join(dir, e->d_name);

		if (e->d_name[0] != '.' && file_is_dir(path) && add_folder(m, path, e->d_name, read_clock(dir, e->d_name), err) < 0)
			return -1;
	}
	if (m->n)
		qsort(m->v, m->n, sizeof(*m->v), by_label);
	return 0;
}

/* One line of the source with the earliest time, under its label. */
static int put_line(struct merge *m, struct buf *out)
{
	struct source *s = NULL;
	const char *nl;
	size_t n;

	for (size_t i = 0; i < m->n; i++)
		if (m->v[i].at < m->v[i].text.len && (!s || m->v[i].time < s->time))
			s = &m->v[i];
	if (!s)
		return 0;
	nl = memchr(s->text.data + s->at, '\n', s->text.len - s->at);
	n = nl ? (size_t)(nl - s->text.data) - s->at : s->text.len - s->at;
	buf_addf(out, "%s | ", s->label);
	buf_add(out, s->text.data + s->at, n);
	buf_addc(out, '\n');
	s->at += n + (nl != NULL);
	look(s);
	return 1;
}

int group_clog_merge(const char *dir, int fd, struct error **err)
{
	_cleanup_buf_ struct buf out = BUF_INIT;
	struct merge m = { 0 };
	int rc = add_all(&m, dir, err);

	while (rc == 0 && put_line(&m, &out))
		if (out.len > 65536) {
			rc = file_write_all(fd, out.data, out.len, "merged log", err);
			buf_clear(&out);
		}
	if (rc == 0)
		rc = file_write_all(fd, out.data, out.len, "merged log", err);
	for (size_t i = 0; i < m.n; i++) {
		free(m.v[i].label);
		buf_free(&m.v[i].text);
	}
	free(m.v);
	return rc;
}
