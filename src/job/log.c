/* SPDX-License-Identifier: Apache-2.0 */
#include "base/cleanup.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/path.h"
#include "internal.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* A job that prints without end fills no disk. */
#define LOG_MAX (64ull << 20)
#define FULL "\n*** job.log is full; the rest of the output is not kept ***\n"

struct job_log {
	int fd, code; /* errno of the first write that failed */
	char *path;
	uint64_t size;
	bool deaf; /* nobody reads stdout any more */
};

struct job_log *job_log_open(const char *out, struct error **err)
{
	_cleanup_free_ char *path = path_join(out, "job.log");
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	struct job_log *l;

	if (fd < 0) {
		error_errno(err, errno, "%s", path);
		return NULL;
	}
	l = xcalloc(1, sizeof(*l));
	l->fd = fd;
	l->path = STEAL(path);
	return l;
}

static bool put(int fd, const void *p, size_t n)
{
	_cleanup_error_ struct error *e = NULL;

	if (file_write_all(fd, p, n, "job.log", &e) == 0)
		return true;
	errno = e->code;
	return false;
}

void job_log_add(struct job_log *l, const void *p, size_t n)
{
	if (!l->deaf && !put(STDOUT_FILENO, p, n))
		l->deaf = true;
	if (l->code || l->size > LOG_MAX)
		return;
	if (!put(l->fd, p, n))
		l->code = errno ? errno : EIO;
	l->size += n;
	if (l->size > LOG_MAX && !put(l->fd, FULL, strlen(FULL)))
		l->code = errno ? errno : EIO;
}

int job_log_close(struct job_log *l, struct error **err)
{
	int rc = 0;

	if (!l)
		return 0;
	if (l->code)
		rc = error_errno(err, l->code, "%s", l->path);
	close(l->fd);
	free(l->path);
	free(l);
	return rc;
}

int job_note_time(const char *out, const char *name, struct error **err)
{
	_cleanup_free_ char *path = path_join(out, name);
	time_t now = time(NULL);
	char text[32];
	struct tm tm;
	size_t n;

	localtime_r(&now, &tm);
	n = strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S\n", &tm);
	return file_write(path, text, n, 0644, err);
}

int job_note_status(const char *out, int status, struct error **err)
{
	_cleanup_free_ char *path = path_join(out, "STATUS");

	return file_writef(path, 0644, err, "%d\n", status);
}
