/* SPDX-License-Identifier: Apache-2.0 */
#include "base/cleanup.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/path.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/*
 * sun_path holds 108 bytes and home directories don't care. A path through the
 * open directory, /proc/self/fd/N/NAME, is always short; *dirfd keeps it valid.
 */
static int address_of(const char *path, struct sockaddr_un *sa, int *dirfd, struct error **err)
{
	_cleanup_free_ char *dir = NULL;
	int n;

	*sa = (struct sockaddr_un){ .sun_family = AF_UNIX };
	if (strlen(path) < sizeof(sa->sun_path)) {
		strcpy(sa->sun_path, path);
		return 0;
	}
	dir = path_dirname(path);
	*dirfd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (*dirfd < 0)
		return error_errno(err, errno, "%s", dir);
	n = snprintf(sa->sun_path, sizeof(sa->sun_path), "/proc/self/fd/%d/%s", *dirfd, path_basename(path));
	if (n < 0 || (size_t)n >= sizeof(sa->sun_path))
		return error_errno(err, ENAMETOOLONG, "%s", path);
	return 0;
}

int unix_listen(const char *path, int backlog, struct error **err)
{
	_cleanup_close_ int fd = -1, dirfd = -1;
	struct sockaddr_un sa;
	mode_t old;
	int rc;

	if (address_of(path, &sa, &dirfd, err) < 0)
		return -1;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return error_errno(err, errno, "socket");
	if (unlink(path) < 0 && errno != ENOENT)
		return error_errno(err, errno, "%s: cannot remove the old socket", path);
	old = umask(0177);
	rc = bind(fd, (struct sockaddr *)&sa, sizeof(sa));
	umask(old);
	if (rc < 0 || listen(fd, backlog) < 0)
		return error_errno(err, errno, "%s: cannot listen", path);
	return STEAL_FD(fd);
}

static int connect_to(const char *path, int flags, struct error **err)
{
	_cleanup_close_ int fd = -1, dirfd = -1;
	struct sockaddr_un sa;

	if (address_of(path, &sa, &dirfd, err) < 0)
		return -1;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);
	if (fd < 0)
		return error_errno(err, errno, "socket");
	while (connect(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0)
		if (errno != EINTR)
			return error_errno(err, errno, "%s: cannot connect", path);
	return STEAL_FD(fd);
}

int unix_connect(const char *path, struct error **err)
{
	return connect_to(path, 0, err);
}

int unix_connect_now(const char *path, struct error **err)
{
	return connect_to(path, SOCK_NONBLOCK, err);
}
