/* SPDX-License-Identifier: Apache-2.0 */
/* The files of a service below a root: checked all before one is written, replaced whole, taken away with what was made for them. */
#include "host.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum state { ABSENT, OURS, FOREIGN };

static int full_path(const struct host_place *p, const char *path, char out[HOST_PATH], char *why)
{
	int n = *path == '~' ? snprintf(out, HOST_PATH, "%s%s", p->userhome, path + 1)
			     : snprintf(out, HOST_PATH, "%s%s", p->root, path);

	if (n < HOST_PATH)
		return 0;
	snprintf(why, HOST_WHY, "the path of %s is too long", path);
	return -1;
}

static bool wanted(const struct host_file *f, const struct host_place *p)
{
	char path[HOST_PATH];
	struct stat st;

	if (!f->need)
		return true;
	snprintf(path, sizeof(path), "%s%s", p->root, f->need);
	return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

/* A link is ours when it points where we would let it point; a file when our mark is in its first lines. */
static enum state look(const char *path, const struct host_file *f)
{
	char text[HOST_PATH];
	struct stat st;
	ssize_t n;
	int fd;

	if (lstat(path, &st) < 0)
		return ABSENT;
	if (f->mode == 0) {
		n = readlink(path, text, sizeof(text) - 1);
		if (n < 0)
			return FOREIGN;
		text[n] = '\0';
		return strcmp(text, f->text) == 0 ? OURS : FOREIGN;
	}
	if (!S_ISREG(st.st_mode))
		return FOREIGN;
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	n = fd < 0 ? -1 : read(fd, text, 512);
	if (fd >= 0)
		close(fd);
	text[n > 0 ? n : 0] = '\0';
	return strstr(text, HOST_MARK) ? OURS : FOREIGN;
}

static int make_parents(char *path)
{
	for (char *at = path + 1; (at = strchr(at, '/')); at++) {
		*at = '\0';
		if (mkdir(path, 0755) < 0 && errno != EEXIST) {
			*at = '/';
			return -1;
		}
		*at = '/';
	}
	return 0;
}

/* Written beside, on disk, then renamed: a power cut leaves the old file or the new one. */
static int write_file(const char *path, const char *text, mode_t mode)
{
	char temp[HOST_PATH + 16];
	size_t n = strlen(text), at = 0;
	int fd, code;

	snprintf(temp, sizeof(temp), "%s.%d", path, (int)getpid());
	fd = open(temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
	if (fd < 0)
		return -1;
	while (at < n) {
		ssize_t k = write(fd, text + at, n - at);

		if (k < 0 && errno != EINTR)
			break;
		at += k > 0 ? (size_t)k : 0;
	}
	if (at == n && fchmod(fd, mode) == 0 && fsync(fd) == 0 && rename(temp, path) == 0) {
		close(fd);
		return 0;
	}
	code = errno;
	close(fd);
	unlink(temp);
	errno = code;
	return -1;
}

static int write_link(const char *path, const char *to)
{
	char temp[HOST_PATH + 16];

	snprintf(temp, sizeof(temp), "%s.%d", path, (int)getpid());
	if (symlink(to, temp) < 0)
		return -1;
	if (rename(temp, path) == 0)
		return 0;
	unlink(temp);
	return -1;
}

static int put_away(const char *path)
{
	char before[HOST_PATH + 16];

	snprintf(before, sizeof(before), "%s" HOST_BEFORE, path);
	return rename(path, before);
}

static int write_one(const struct host_file *f, const struct host_system *s, char *path, const struct host_values *v, char *why)
{
	char *text = f->mode ? host_render(f->text, s->style, v, why) : NULL;
	int r;

	if (f->mode && !text)
		return -1;
	r = make_parents(path) < 0 || (look(path, f) == FOREIGN && put_away(path) < 0) ||
			(f->mode ? write_file(path, text, f->mode) : write_link(path, f->text)) < 0
		? -1 : 0;
	if (r < 0)
		snprintf(why, HOST_WHY, "%.400s: %s", path, strerror(errno));
	free(text);
	return r;
}

int host_write(const struct host_system *s, const struct host_place *p, const struct host_values *v, bool *foreign,
	char why[HOST_WHY])
{
	char path[HOST_PATH];
	int n = 0, links = 0;

	*foreign = false;
	for (const struct host_file *f = s->files; f->path; f++) {
		if (!wanted(f, p))
			continue;
		if (full_path(p, f->path, path, why) < 0)
			return -1;
		if (look(path, f) == FOREIGN && !p->force) {
			*foreign = true;
			snprintf(why, HOST_WHY, "%.300s exists and is not pm's; --force moves it to %.100s" HOST_BEFORE, path,
				strrchr(path, '/') + 1);
			return -1;
		}
		links += f->mode == 0;
	}
	for (const struct host_file *f = s->files; f->path; f++) {
		if (!wanted(f, p))
			continue;
		full_path(p, f->path, path, why);
		if (write_one(f, s, path, v, why) < 0)
			return -1;
		n++;
	}
	/* Where all links depend on a directory, none of which exists, the service would never run. */
	if (links == 0 && s->files[1].path && s->files[1].mode == 0)
		snprintf(why, HOST_WHY, "no directory of %s's services was found: link %s into the one that it reads", s->name,
			s->files[0].path);
	else
		why[0] = '\0';
	return n;
}

int host_erase(const struct host_system *s, const struct host_place *p, char why[HOST_WHY])
{
	char path[HOST_PATH], before[HOST_PATH + 16];
	const struct host_file *last = s->files;
	int n = 0;

	while (last->path)
		last++;
	/* Links first: what they point to is there as long as they are. */
	while (last-- > s->files) {
		struct stat st;

		if (full_path(p, last->path, path, why) < 0)
			return -1;
		if (look(path, last) != OURS)
			continue;
		if (unlink(path) < 0) {
			snprintf(why, HOST_WHY, "%.400s: %s", path, strerror(errno));
			return -1;
		}
		n++;
		snprintf(before, sizeof(before), "%s" HOST_BEFORE, path);
		if (lstat(before, &st) == 0 && rename(before, path) < 0) {
			snprintf(why, HOST_WHY, "%.400s: %s", before, strerror(errno));
			return -1;
		}
		/* Directories that were made for pm alone: /etc/sv/pm. Others are not empty, or not named so. */
		*strrchr(path, '/') = '\0';
		if (strcmp(strrchr(path, '/') ? strrchr(path, '/') : "", "/pm") == 0)
			rmdir(path);
	}
	return n;
}

bool host_installed(const struct host_system *s, const struct host_place *p, char path[HOST_PATH])
{
	char why[HOST_WHY];

	return full_path(p, s->files[0].path, path, why) == 0 && look(path, s->files) == OURS;
}
