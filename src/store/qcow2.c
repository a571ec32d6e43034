/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Starting qemu-img takes as long as reading 50 MB, so the plain case is read here: the table of tables (L1), and tables of clusters (L2) whose
 * entries have the place in bits 9 to 55, a flag for compressed clusters (62) and, from version 3 on, one for those that read as zeros (0).
 */
#include "store/qcow2.h"
#include "base/cleanup.h"
#include "base/mem.h"
#include "base/qcow2.h"

#include <endian.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define OFFSET 0x00fffffffffffe00ull
#define COMPRESSED (1ull << 62)
#define ZERO 1ull
#define DIRTY 1ull /* of incompatible features: reference counts may be wrong, which a reader does not need */
#define L1_MAX (32u << 20) /* bytes; QEMU's own limit */

static bool read_at(int fd, void *p, size_t n, uint64_t off)
{
	for (size_t got = 0; got < n;) {
		ssize_t r = pread(fd, (char *)p + got, n - got, (off_t)(off + got));

		if (r <= 0)
			return false;
		got += (size_t)r;
	}
	return true;
}

/* Does a QEMU write to it? It holds bytes 101 to 103 then (block/file-posix.c: 100 and the permission's number: write, write the same, resize). */
static bool is_written(int fd)
{
	struct flock l = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 101, .l_len = 3 };

	return fcntl(fd, F_OFD_GETLK, &l) < 0 || l.l_type != F_UNLCK;
}

static bool plain(const struct qcow2_header *h)
{
	uint32_t version = be32toh(h->version), bits = be32toh(h->cluster_bits);

	return (version == 2 || version == 3) && !h->backing && !h->crypt && bits >= 9 && bits <= 21 &&
		be64toh(h->size) <= INT64_MAX && !(be64toh(h->incompatible) & ~DIRTY);
}

bool qcow2_map(int fd, uint64_t *size, void (*fn)(void *arg, uint64_t start, uint64_t len, uint64_t off), void *arg)
{
	_cleanup_free_ uint64_t *l1 = NULL, *l2 = NULL;
	uint64_t cluster, per, need, zero, file;
	struct qcow2_header h;
	struct stat st;

	if (!qcow2_read_header(fd, &h) || !plain(&h) || is_written(fd) ||
		fstat(fd, &st) < 0)
		return false;
	*size = be64toh(h.size);
	cluster = 1ull << be32toh(h.cluster_bits);
	per = cluster / 8;
	need = (*size + cluster * per - 1) / (cluster * per);
	zero = be32toh(h.version) == 3 ? ZERO : 0;
	file = (uint64_t)st.st_size;
	if (need > be32toh(h.l1_size) || need * 8 > L1_MAX)
		return false;
	l1 = xcalloc(need + 1, 8);
	l2 = xmalloc(cluster);
	if (!read_at(fd, l1, need * 8, be64toh(h.l1_offset)))
		return false;
	for (uint64_t i = 0; i < need; i++) {
		uint64_t table = be64toh(l1[i]) & OFFSET;

		if (!table)
			continue;
		if (table % cluster || !read_at(fd, l2, cluster, table))
			return false;
		for (uint64_t k = 0; k < per; k++) {
			uint64_t e = be64toh(l2[k]), off = e & OFFSET, start = (i * per + k) * cluster;
			uint64_t len = start + cluster > *size ? *size - start : cluster;

			if (start >= *size)
				break;
			if (e & COMPRESSED)
				return false;
			if (!off || (e & zero))
				continue;
			if (off % cluster || off + len > file)
				return false;
			fn(arg, start, len, off);
		}
	}
	return true;
}
