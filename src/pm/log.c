/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Output. Each unit has units/ID/log, a line of output a line, behind its time; when it is larger than `log-size` it becomes
 * log.1. Readers read the file, so one that stops reading holds nobody up. What cannot be written is dropped, and
 * counted where there is room again.
 */
#include "base/cleanup.h"
#include "base/mem.h"
#include "base/units.h"
#include "pm/machine.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define OWN_LOG_SIZE (1 << 20)
#define MIDLINE 1 /* log_flags: the last line has no end yet */
#define DROPPED 2

size_t log_time(char *to)
{
	static time_t second;
	static char text[24];
	struct timespec t;
	struct tm tm;

	clock_gettime(CLOCK_REALTIME, &t);
	if (t.tv_sec != second || !text[0]) {
		gmtime_r(&t.tv_sec, &tm);
		strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S.", &tm);
		second = t.tv_sec;
	}
	return (size_t)sprintf(to, "%s%03ldZ", text, t.tv_nsec / 1000000);
}

/* Appends to a log that is rotated at `max` bytes. 0, or -1 when it could not be written. */
static int append(const char *path, uint64_t max, const char *p, size_t n)
{
	int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
	_cleanup_buf_ struct buf old = BUF_INIT;
	struct stat st;
	ssize_t done;

	if (fd < 0)
		return -1;
	if (fstat(fd, &st) == 0 && st.st_size > 0 && (uint64_t)st.st_size + n > max) {
		buf_addf(&old, "%s.1", path);
		close(fd);
		rename(path, old.data);
		fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
		if (fd < 0)
			return -1;
	}
	done = write(fd, p, n);
	close(fd);
	return done == (ssize_t)n ? 0 : -1;
}

static void append_unit(struct unit *u, const char *path, uint64_t max, struct buf *text)
{
	if (append(path, max, text->data, text->len) < 0)
		u->log_flags |= DROPPED;
	else
		u->log_flags &= (uint8_t)~DROPPED;
	buf_clear(text);
}

static void put(struct unit *u, const char *p, size_t n)
{
	_cleanup_buf_ struct buf path = BUF_INIT, text = BUF_INIT;
	_cleanup_error_ struct error *e = NULL;
	const char *size = params_get(&u->params, "log-size");
	uint64_t max = 256 << 10;
	char when[32];

	if (size && parse_size("log-size", size, &max, &e) < 0)
		max = 256 << 10;
	home_path(&path, "units", u->id, "log");
	log_time(when);
	if (u->log_flags & DROPPED) {
		buf_addf(&text, "%s%s pm: output was lost here: the log could not be written\n", u->log_flags & MIDLINE ? "\n" : "", when);
		u->log_flags &= (uint8_t)~MIDLINE;
	}
	while (n > 0) {
		const char *end = memchr(p, '\n', n);
		size_t k = end ? (size_t)(end - p) + 1 : n;

		if (!(u->log_flags & MIDLINE))
			buf_addf(&text, "%s ", when);
		buf_add(&text, p, k);
		u->log_flags = (uint8_t)(end ? u->log_flags & ~MIDLINE : u->log_flags | MIDLINE);
		p += k;
		n -= k;
		if (text.len > 8192) /* the times make it longer than what was read: rotated in between */
			append_unit(u, path.data, max, &text);
	}
	if (text.len)
		append_unit(u, path.data, max, &text);
}

void log_unit_note(struct unit *u, const char *text)
{
	_cleanup_buf_ struct buf b = BUF_INIT;

	buf_addf(&b, "%spm: %s\n", u->log_flags & MIDLINE ? "\n" : "", text);
	put(u, b.data, b.len);
}

void log_read(struct unit *u, int *fd)
{
	static char chunk[32768];
	ssize_t n;

	/* Some, not all: others are waiting too. */
	for (int i = 0; i < 4; i++) {
		n = read(*fd, chunk, sizeof(chunk));
		if (n <= 0)
			break;
		put(u, chunk, (size_t)n);
		if (n < (ssize_t)sizeof(chunk))
			return;
	}
	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
		machine_unwatch_fd(*fd);
		close(*fd);
		*fd = -1;
	}
}

void log_line(const char *fmt, ...)
{
	_cleanup_free_ char *msg = NULL;
	_cleanup_buf_ struct buf b = BUF_INIT;
	char when[32];
	va_list ap;

	va_start(ap, fmt);
	msg = xvasprintf(fmt, ap);
	va_end(ap);
	log_time(when);
	buf_addf(&b, "%s %s\n", when, msg);
	append("log", OWN_LOG_SIZE, b.data, b.len);
	fprintf(stderr, "pm: %s\n", msg);
}
