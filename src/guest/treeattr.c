/* SPDX-License-Identifier: Apache-2.0 */
#include "treeattr.h"
#include "tree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

#define DEPTH_MAX 256

bool tree_attr_travels(const char *name)
{
	static const char *const whole[] = { "security.capability", "system.posix_acl_access", "system.posix_acl_default" };

	for (size_t i = 0; i < sizeof(whole) / sizeof(*whole); i++)
		if (!strcmp(name, whole[i]))
			return true;
	return !strncmp(name, "user.", 5) && name[5];
}

void tree_attrs_clear(struct tree_attrs *a)
{
	for (size_t i = 0; i < a->n; i++) {
		free(a->v[i].name);
		free(a->v[i].value);
	}
	free(a->v);
	*a = (struct tree_attrs){ 0 };
}

int tree_attrs_add(struct tree_attrs *a, const char *name, const void *value, size_t len)
{
	struct tree_attr *more = a->n < TREE_ATTRS_MAX && len <= TREE_ATTR_MAX ? realloc(a->v, (a->n + 1) * sizeof(*more)) : NULL;
	struct tree_attr at = { strdup(name), malloc(len + 1), len };

	if (more)
		a->v = more;
	if (!more || !at.name || !at.value) {
		free(at.name);
		free(at.value);
		return -1;
	}
	memcpy(at.value, value, len);
	a->v[a->n++] = at;
	return 0;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct tree_attr *)a)->name, ((const struct tree_attr *)b)->name);
}

int tree_attrs_read(int fd, struct tree_attrs *ret)
{
	char *names = NULL, *value = NULL;
	ssize_t n = flistxattr(fd, NULL, 0), len;
	int rc = 0;

	/* Most files have none, and some file systems know none. */
	if (n <= 0)
		return 0;
	names = malloc((size_t)n + 1);
	value = malloc(TREE_ATTR_MAX);
	n = names && value ? flistxattr(fd, names, (size_t)n) : -1;
	for (char *p = names; rc == 0 && n > 0 && p < names + n; p += strlen(p) + 1) {
		if (!tree_attr_travels(p))
			continue;
		len = fgetxattr(fd, p, value, TREE_ATTR_MAX);
		if (len >= 0)
			rc = tree_attrs_add(ret, p, value, (size_t)len);
	}
	free(names);
	free(value);
	if (ret->n)
		qsort(ret->v, ret->n, sizeof(*ret->v), by_name);
	return rc;
}

int tree_attrs_write(int fd, const struct tree_attrs *a, bool user_only)
{
	for (size_t i = 0; i < a->n; i++) {
		bool users = !strncmp(a->v[i].name, "user.", 5);

		if ((user_only && !users) || fsetxattr(fd, a->v[i].name, a->v[i].value, a->v[i].len, 0) == 0)
			continue;
		/* What the file system cannot hold of the users' own, and what is not ours to give. */
		if ((users && errno == EOPNOTSUPP) || (errno == EPERM && geteuid()))
			continue;
		return -1;
	}
	return 0;
}

bool tree_attrs_any(int dirfd, const char *name, int depth)
{
	char path[4096], names[4096];
	struct dirent *e;
	bool any = false;
	ssize_t n;
	DIR *d;
	int fd;

	/* There is no listxattrat() in kernels of today. */
	n = dirfd == AT_FDCWD ? snprintf(path, sizeof(path), "%s", name) : snprintf(path, sizeof(path), "/proc/self/fd/%d/%s", dirfd, name);
	if ((size_t)n >= sizeof(path))
		return false;
	n = llistxattr(path, names, sizeof(names));
	/* More than that are many. */
	if (n < 0 && errno == ERANGE)
		return true;
	for (char *p = names; n > 0 && p < names + n; p += strlen(p) + 1)
		if (tree_attr_travels(p))
			return true;
	fd = depth < DEPTH_MAX ? openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC) : -1;
	d = fd < 0 ? NULL : fdopendir(fd);
	while (d && !any && (e = readdir(d)))
		any = strcmp(e->d_name, ".") && strcmp(e->d_name, "..") && tree_attrs_any(fd, e->d_name, depth + 1);
	if (d)
		closedir(d);
	else if (fd >= 0)
		close(fd);
	return any;
}
