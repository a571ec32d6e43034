/* SPDX-License-Identifier: Apache-2.0 */
/* How answers look. */
#include "base/cleanup.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/strv.h"
#include "pm/machine.h"
#include "pm/pm_main.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/param.h>
#include <sys/stat.h>
#include <unistd.h>

enum { F_ID, F_STATE, F_GOAL, F_TYPE, F_PID, F_JOB, F_SINCE, F_RETRIES, F_WAITS, NFIELDS };
static const char *const field_names[NFIELDS] = { "unit", "state", "goal", "type", "pid", "job", "seconds", "restarts", "waits_for" };

struct row {
	char *f[NFIELDS];
};

/* Cuts at tabs, in place; what is missing is "". */
static void cut(char *line, char **f, int n)
{
	for (int i = 0; i < n; i++) {
		f[i] = line;
		line += strcspn(line, "\t");
		if (*line)
			*line++ = '\0';
	}
}

/* Merges halves, from small ones on: many rows are mostly in order already, and the library's sort moves each of them often. */
static struct row *sorted(struct row *rows, size_t n)
{
	struct row *from = rows, *to = xcalloc(n, sizeof(*to)), *swap;

	for (size_t half = 1; half < n; half *= 2) {
		for (size_t start = 0; start < n; start += 2 * half) {
			size_t i = start, middle = MIN(start + half, n), j = middle, end = MIN(start + 2 * half, n);

			for (size_t k = start; k < end; k++)
				to[k] = j == end || (i < middle && strcmp(from[i].f[0], from[j].f[0]) <= 0) ? from[i++] : from[j++];
		}
		swap = from;
		from = to;
		to = swap;
	}
	free(to);
	return from;
}

static struct row *rows_of(char *text, size_t *n)
{
	struct row *rows = NULL;

	*n = 0;
	for (char *line = text, *next; *line; line = next) {
		next = line + strcspn(line, "\n");
		if (*next)
			*next++ = '\0';
		if ((*n & (*n - 1)) == 0)
			rows = xreallocarray(rows, *n ? *n * 2 : 1, sizeof(*rows));
		cut(line, rows[(*n)++].f, NFIELDS);
	}
	return rows ? sorted(rows, *n) : NULL;
}

static void json_string(struct buf *out, const char *s)
{
	buf_addc(out, '"');
	for (; *s; s++) {
		if (*s == '"' || *s == '\\')
			buf_addc(out, '\\');
		if ((unsigned char)*s < ' ')
			buf_addf(out, "\\u%04x", (unsigned char)*s);
		else
			buf_addc(out, *s);
	}
	buf_addc(out, '"');
}

static void print_json(const struct row *rows, size_t n, struct buf *out)
{
	buf_addc(out, '[');
	for (size_t i = 0; i < n; i++) {
		buf_adds(out, i ? ",\n {" : "\n {");
		for (int k = 0; k < NFIELDS; k++) {
			bool number = k == F_PID || k == F_JOB || k == F_SINCE || k == F_RETRIES;

			buf_adds(out, k ? ", \"" : "\"");
			buf_adds(out, field_names[k]);
			buf_adds(out, "\": ");
			if (number)
				buf_adds(out, *rows[i].f[k] ? rows[i].f[k] : "0");
			else
				json_string(out, rows[i].f[k]);
		}
		buf_addc(out, '}');
	}
	buf_adds(out, "\n]\n");
}

static const char *age(const char *seconds, char to[32])
{
	unsigned long s = strtoul(seconds, NULL, 10);

	if (s < 120)
		snprintf(to, 32, "%lus", s);
	else if (s < 7200)
		snprintf(to, 32, "%lumin", s / 60);
	else if (s < 172800)
		snprintf(to, 32, "%luh", s / 3600);
	else
		snprintf(to, 32, "%lud", s / 86400);
	return to;
}

/* Eight texts; the first to fifth in columns. */
static void table_row(struct buf *out, int width, const char *const *f)
{
	const int widths[] = { width, 13, 8, -7, -6 }; /* less than 0: to the right */

	for (size_t i = 0; i < 8; i++) {
		int w = i < ARRAY_SIZE(widths) ? widths[i] : 0, room = (w < 0 ? -w : w) - (int)strlen(f[i]);

		for (; w < 0 && room > 0; room--)
			buf_addc(out, ' ');
		buf_adds(out, f[i]);
		for (; room > 0; room--)
			buf_addc(out, ' ');
		if (w)
			buf_adds(out, "  ");
	}
	buf_addc(out, '\n');
}

int show_list(const char *data, const char *format)
{
	_cleanup_buf_ struct buf out = BUF_INIT;
	_cleanup_free_ char *text = xstrdup(data);
	_cleanup_free_ struct row *rows = NULL;
	int width = 4;
	size_t n;

	rows = rows_of(text, &n);
	if (!strcmp(format, "json")) {
		print_json(rows, n, &out);
		fwrite(out.data, 1, out.len, stdout);
		return 0;
	}
	for (size_t i = 0; i < n; i++)
		if ((int)strlen(rows[i].f[F_ID]) > width && width < 40)
			width = strlen(rows[i].f[F_ID]) > 40 ? 40 : (int)strlen(rows[i].f[F_ID]);
	table_row(&out, width, (const char *const[]){ "UNIT", "STATE", "TYPE", "PID", "SINCE", "", "", "" });
	for (size_t i = 0; i < n; i++) {
		char **f = rows[i].f, since[32];
		bool again = strcmp(f[F_RETRIES], "0") != 0;

		table_row(&out, width, (const char *const[]){ f[F_ID], f[F_STATE], f[F_TYPE], strcmp(f[F_PID], "0") ? f[F_PID] : "-",
			age(f[F_SINCE], since), f[F_WAITS], !again ? "" : *f[F_WAITS] ? "; restarts: " : "restarts: ", again ? f[F_RETRIES] : "" });
	}
	fwrite(out.data, 1, out.len, stdout);
	return 0;
}

/* The last lines of a text, n of them. */
static const char *tail(const char *text, size_t len, long n)
{
	const char *p = text + len;

	if (p > text && p[-1] == '\n')
		p--;
	while (p > text && (p[-1] != '\n' || --n > 0))
		p--;
	return p;
}

static void print_log_tail(const char *home, const char *id, long lines, const char *before)
{
	_cleanup_buf_ struct buf name = BUF_INIT, path = BUF_INIT, text = BUF_INIT;
	_cleanup_error_ struct error *e = NULL;

	home_name(&name, id);
	buf_addf(&path, "%s/units/%s/log", home, name.data);
	if (file_read(path.data, 64 << 20, &text, &e) == 0 && text.len)
		printf("%s%s", before, tail(text.data, text.len, lines));
}

int show_status(const char *home, const char *id, const char *data)
{
	_cleanup_free_ char *text = xstrdup(data);
	char *lines[3] = { text, NULL, NULL }, *f[NFIELDS], *last[6], since[32];

	for (int i = 0; i < 2 && lines[i]; i++) {
		lines[i + 1] = strchr(lines[i], '\n');
		if (lines[i + 1])
			*lines[i + 1]++ = '\0';
	}
	cut(lines[0], f, NFIELDS);
	printf("%s: %s", f[F_ID], f[F_STATE]);
	if (strcmp(f[F_PID], "0") != 0)
		printf(", pid %s", f[F_PID]);
	printf(", since %s, goal %s, type %s", age(f[F_SINCE], since), f[F_GOAL], f[F_TYPE]);
	if (atoi(f[F_RETRIES]))
		printf(", %s restarts", f[F_RETRIES]);
	printf("\n");
	if (*f[F_WAITS])
		printf("  waits: %s\n", f[F_WAITS]);
	for (int i = 1; i < 3 && lines[i] && *lines[i]; i++) {
		char *end = strchr(lines[i], '\n');

		if (end)
			*end = '\0';
		if (!strncmp(lines[i], "title\t", 6)) {
			printf("  title: %s\n", lines[i] + 6);
		} else if (!strncmp(lines[i], "last\t", 5)) {
			cut(lines[i] + 5, last, 6);
			printf("  reason: %s (%s)\n", last[5], last[0]);
		}
	}
	print_log_tail(home, id, 5, "  log:\n");
	if (!strcmp(f[F_STATE], "RUNNING"))
		return 0;
	return !strcmp(f[F_STATE], "FAIL") || !strcmp(f[F_STATE], "STARTING_FAIL") ? 1 : ERR_STATE;
}

int show_deps(const char *id, const char *data)
{
	_cleanup_free_ char *text = xstrdup(data);

	printf("%s\n", id);
	for (char *line = text, *next; *line; line = next) {
		char *f[4];

		next = line + strcspn(line, "\n");
		if (*next)
			*next++ = '\0';
		cut(line, f, 4);
		printf("%*s%s %s (%s)\n", 2 + 2 * atoi(f[0]), "", f[1], f[2], f[3]);
	}
	return 0;
}

/* Follows a file that is appended to and sometimes renamed away, until interrupted. */
static int follow_file(const char *dir, const char *file, off_t at, struct error **err)
{
	_cleanup_free_ char *path = xasprintf("%s/%s", dir, file);
	_cleanup_close_ int watch = inotify_init1(IN_CLOEXEC), fd = open(path, O_RDONLY | O_CLOEXEC);
	char chunk[16384];
	ssize_t n;

	if (watch < 0 || inotify_add_watch(watch, dir, IN_MODIFY | IN_CREATE | IN_MOVED_FROM) < 0)
		return error_errno(err, errno, "cannot watch %s", dir);
	if (fd >= 0)
		lseek(fd, at, SEEK_SET);
	for (;;) {
		int next;

		while (fd >= 0 && (n = read(fd, chunk, sizeof(chunk))) > 0)
			if (fwrite(chunk, 1, (size_t)n, stdout) != (size_t)n)
				return 0;
		if (fflush(stdout))
			return 0;
		if (read(watch, chunk, sizeof(chunk)) < 0 && errno != EINTR)
			return 0;
		while (fd >= 0 && (n = read(fd, chunk, sizeof(chunk))) > 0)
			fwrite(chunk, 1, (size_t)n, stdout);
		/* Rotated: what the old one still had is out, on with the new one. */
		next = open(path, O_RDONLY | O_CLOEXEC);
		if (next >= 0) {
			struct stat a, b;

			if (fd < 0 || (fstat(fd, &a) == 0 && fstat(next, &b) == 0 && a.st_ino != b.st_ino)) {
				if (fd >= 0)
					close(fd);
				fd = STEAL_FD(next);
			} else {
				close(next);
			}
		}
	}
}

int show_log(const char *home, const char *id, long lines, bool follow, struct error **err)
{
	_cleanup_buf_ struct buf dir = BUF_INIT, path = BUF_INIT, text = BUF_INIT;
	_cleanup_error_ struct error *e = NULL;
	size_t old;

	buf_adds(&dir, home);
	if (id) {
		buf_adds(&dir, "/units/");
		home_name(&dir, id);
		if (!file_is_dir(dir.data))
			return error_set(err, ERR_NOT_FOUND, "%s: no such unit in %s", id, home);
	}
	buf_addf(&path, "%s/log.1", dir.data);
	if (file_read(path.data, 256 << 20, &text, &e) < 0)
		error_clear(&e);
	old = text.len;
	path.data[path.len - 2] = '\0';
	if (file_read(path.data, 256 << 20, &text, &e) < 0)
		error_clear(&e);
	if (text.len)
		fputs(lines >= 0 ? lines ? tail(text.data, text.len, lines) : "" : text.data, stdout);
	fflush(stdout);
	return follow ? follow_file(dir.data, "log", (off_t)(text.len - old), err) : 0;
}

int show_from_files(const char *home, struct buf *data, struct error **err)
{
	_cleanup_closedir_ DIR *d = NULL;
	struct dirent *de;

	if (chdir(home) < 0)
		return error_errno(err, errno, "home %s", home);
	d = opendir("units");
	if (!d)
		return error_errno(err, errno, "home %s: units", home);
	while ((de = readdir(d))) {
		_cleanup_buf_ struct buf line = BUF_INIT;
		char id[PM_ID_MAX + 1], *f[6];

		if (de->d_name[0] == '.' || !home_id(de->d_name, id))
			continue;
		if (home_last(id, &line)) {
			cut(line.data, f, 6);
			buf_addf(data, "%s\t%s\t%s\t?\t0\t%s\t0\t%s\t\n", id, f[1], f[2], f[3], f[4]);
		} else {
			buf_addf(data, "%s\tSTOPPED\tdown\t?\t0\t0\t0\t0\t\n", id);
		}
	}
	return 0;
}

static int tree_of(const char *home, int depth, struct error **err)
{
	_cleanup_buf_ struct buf data = BUF_INIT;
	_cleanup_free_ struct row *rows = NULL;
	const char *const list[] = { "list" };
	struct client_conn c;
	size_t n;
	int rc;

	if (client_open(&c, home, err) < 0)
		return -1;
	rc = client_send(&c, list, 1, NULL, err) < 0 ? -1 : client_follow(&c, &data, false, 10000, err);
	client_close(&c);
	if (rc)
		return -1;
	buf_reserve(&data, 1);
	rows = rows_of(data.data, &n);
	for (size_t i = 0; i < n; i++) {
		_cleanup_buf_ struct buf path = BUF_INIT, text = BUF_INIT;
		_cleanup_params_ struct params ps = PARAMS_INIT;
		_cleanup_error_ struct error *e = NULL;
		const char *below;

		printf("%*s%s %s\n", depth * 2, "", rows[i].f[F_ID], rows[i].f[F_STATE]);
		if (strcmp(rows[i].f[F_TYPE], "pm") != 0)
			continue;
		buf_addf(&path, "%s/units/", home);
		home_name(&path, rows[i].f[F_ID]);
		buf_adds(&path, "/parameter");
		if (file_read(path.data, 1 << 20, &text, &e) == 0 && params_parse(text.data, text.len, &ps, &e) == 0 &&
			(below = params_get(&ps, "home")) && depth < 32 && tree_of(below, depth + 1, &e) < 0)
			printf("%*s(%s)\n", depth * 2 + 2, "", e->msg);
	}
	return 0;
}

int show_tree(const char *home, struct error **err)
{
	return tree_of(home, 0, err);
}
