/* SPDX-License-Identifier: Apache-2.0 */
#include "base/cleanup.h"
#include "base/mem.h"
#include "image/export/root.h"

#include <errno.h>
#include <libfdisk/libfdisk.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define EDGE ((size_t)1 << 20)

/* libfdisk wants a file: one in memory that has the disk's size and its two ends, where the tables are. */
static int edges(struct origin *s, struct error **err)
{
	_cleanup_close_ int fd = memfd_create("croft-table", MFD_CLOEXEC);
	_cleanup_free_ char *block = xmalloc(EDGE);
	size_t n = s->size < EDGE ? (size_t)s->size : EDGE;

	if (fd < 0 || ftruncate(fd, (off_t)s->size) < 0)
		return error_errno(err, errno, "memory for the partition table of %s", s->what);
	for (int end = 0; end < 2; end++) {
		uint64_t at = end ? s->size - n : 0;

		if (origin_read(s, block, n, at, err) < 0)
			return -1;
		if (pwrite(fd, block, n, (off_t)at) != (ssize_t)n)
			return error_errno(err, errno, "memory for the partition table of %s", s->what);
	}
	return STEAL_FD(fd);
}

static void add(struct parts *p, uint64_t start, uint64_t size, unsigned number, const char *type, const char *name)
{
	p->v = xreallocarray(p->v, p->len + 1, sizeof(*p->v));
	p->v[p->len++] = (struct part){ start, size, number, xstrdup(type), xstrdup(name) };
}

static void take(struct fdisk_context *c, struct parts *p)
{
	struct fdisk_table *t = NULL;
	uint64_t sector = fdisk_get_sector_size(c);

	if (!fdisk_has_label(c) || fdisk_get_partitions(c, &t) < 0)
		return;
	p->label = xstrdup(fdisk_label_get_name(fdisk_get_label(c, NULL)));
	for (size_t i = 0; i < fdisk_table_get_nents(t); i++) {
		struct fdisk_partition *x = fdisk_table_get_partition(t, i);
		struct fdisk_parttype *type = fdisk_partition_get_type(x);

		if (fdisk_partition_has_start(x) && fdisk_partition_has_size(x))
			add(p, fdisk_partition_get_start(x) * sector, fdisk_partition_get_size(x) * sector,
				(unsigned)fdisk_partition_get_partno(x) + 1, type ? fdisk_parttype_get_name(type) : NULL,
				fdisk_partition_get_name(x));
	}
	fdisk_unref_table(t);
}

int parts_read(struct origin *s, struct parts *ret, struct error **err)
{
	_cleanup_close_ int fd = edges(s, err);
	_cleanup_free_ char *path = xasprintf("/proc/self/fd/%d", fd);
	struct fdisk_context *c;

	*ret = (struct parts){ 0 };
	if (fd < 0)
		return -1;
	c = fdisk_new_context();
	fdisk_disable_dialogs(c, 1);
	if (c && fdisk_assign_device(c, path, 1) == 0) {
		take(c, ret);
		fdisk_deassign_device(c, 1);
	}
	fdisk_unref_context(c);
	if (!ret->len)
		add(ret, 0, s->size, 0, NULL, NULL);
	return 0;
}

void parts_free(struct parts *p)
{
	for (size_t i = 0; i < p->len; i++) {
		free(p->v[i].type);
		free(p->v[i].name);
	}
	free(p->v);
	free(p->label);
	*p = (struct parts){ 0 };
}
