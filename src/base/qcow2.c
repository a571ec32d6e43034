/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An empty file is, in clusters of 64 KiB: the header, its extensions and the backing file's name; the table of reference count blocks; the
 * one block that all of it needs; the table of tables (L1), of which no entry points anywhere: a hole.
 */
#include "base/qcow2.h"
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/file.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#define SECTOR 512
#define CLUSTER_BITS 16
#define CLUSTER (1ull << CLUSTER_BITS)
#define L1_COVERS (CLUSTER / 8 * CLUSTER)	/* bytes of the disk, by one entry */
#define L1_MAX (32u << 20)			/* bytes; QEMU's own limit */
#define HEADER 112				/* bytes, with what QEMU writes since 5.1: the kind of compression, and padding */
#define BACKING_MAX 1023			/* bytes of a name */
#define EXT_BACKING_FORMAT 0xe2792acau
#define EXT_FEATURE_NAMES 0x6803f857u

enum { AT_REFCOUNTS = 1, AT_BLOCK, AT_L1 };	/* clusters */

/* What a program that does not know a bit of the header calls it in its error; kinds: 0 incompatible, 1 compatible, 2 autoclear. */
static const struct {
	uint8_t kind, bit;
	const char name[46];
} features[] = { { 0, 0, "dirty bit" }, { 0, 1, "corrupt bit" }, { 0, 2, "external data file" }, { 0, 3, "compression type" },
	{ 0, 4, "extended L2 entries" }, { 1, 0, "lazy refcounts" }, { 2, 0, "bitmaps" }, { 2, 1, "raw external data" } };
_Static_assert(sizeof(features) == 8 * 48, "layout on disk");

bool qcow2_read_header(int fd, struct qcow2_header *h)
{
	ssize_t n = pread(fd, h, sizeof(*h), 0);

	if (n < 72 || memcmp(&h->magic, QCOW2_MAGIC, 4) || (be32toh(h->version) >= 3 && n < (ssize_t)sizeof(*h)))
		return false;
	if (be32toh(h->version) < 3)
		h->incompatible = h->compatible = h->autoclear = 0;
	return true;
}

bool qcow2_is_fd(int fd)
{
	char magic[4];

	return pread(fd, magic, sizeof(magic), 0) == sizeof(magic) && !memcmp(magic, QCOW2_MAGIC, sizeof(magic));
}

/* Nothing that isn't a file is waited for. */
static int open_to_look(const char *path)
{
	return open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
}

bool qcow2_is(const char *path)
{
	_cleanup_close_ int fd = open_to_look(path);

	return fd >= 0 && qcow2_is_fd(fd);
}

uint64_t qcow2_size(const char *path)
{
	_cleanup_close_ int fd = open_to_look(path);
	struct qcow2_header h;

	return fd >= 0 && qcow2_read_header(fd, &h) ? be64toh(h.size) : 0;
}

static void add_extension(struct buf *b, uint32_t type, const void *data, size_t len)
{
	uint32_t head[2] = { htobe32(type), htobe32((uint32_t)len) };

	buf_add(b, head, sizeof(head));
	buf_add(b, data, len);
	buf_add(b, "\0\0\0\0\0\0\0", (8 - len % 8) % 8);
}

static void add_header(struct buf *b, const char *backing, const char *format, uint64_t size, uint64_t l1)
{
	struct qcow2_header h = { .version = htobe32(3), .cluster_bits = htobe32(CLUSTER_BITS), .size = htobe64(size),
		.l1_size = htobe32((uint32_t)l1), .l1_offset = htobe64(l1 ? AT_L1 * CLUSTER : 0), .refcounts = htobe64(AT_REFCOUNTS * CLUSTER),
		.refcount_clusters = htobe32(1) };
	/* Reference counts of 16 bits (2 to the 4th); deflate, and padding. */
	uint32_t rest[(HEADER - sizeof(h)) / 4] = { htobe32(4), htobe32(HEADER) };

	memcpy(&h.magic, QCOW2_MAGIC, 4);
	buf_add(b, &h, sizeof(h));
	buf_add(b, rest, sizeof(rest));
	if (backing)
		add_extension(b, EXT_BACKING_FORMAT, format, strlen(format));
	add_extension(b, EXT_FEATURE_NAMES, features, sizeof(features));
	add_extension(b, 0, "", 0);
	if (!backing)
		return;
	h.backing = htobe64(b->len);
	h.backing_len = htobe32((uint32_t)strlen(backing));
	memcpy(b->data, &h, sizeof(h));
	buf_adds(b, backing);
}

static int write_at(int fd, uint64_t at, const void *p, size_t n, const char *path, struct error **err)
{
	if (lseek(fd, (off_t)at, SEEK_SET) < 0)
		return error_errno(err, errno, "%s", path);
	return file_write_all(fd, p, n, path, err);
}

static int fill(int fd, const struct buf *head, uint64_t l1, const char *path, struct error **err)
{
	uint64_t clusters = AT_L1 + (l1 * 8 + CLUSTER - 1) / CLUSTER, block = htobe64(AT_BLOCK * CLUSTER);
	uint16_t counts[AT_L1 + L1_MAX / CLUSTER];

	for (uint64_t i = 0; i < clusters; i++)
		counts[i] = htobe16(1);
	/* The header last: without it the file is none. */
	if (write_at(fd, AT_REFCOUNTS * CLUSTER, &block, sizeof(block), path, err) < 0 ||
		write_at(fd, AT_BLOCK * CLUSTER, counts, clusters * sizeof(counts[0]), path, err) < 0)
		return -1;
	if (ftruncate(fd, (off_t)(AT_L1 * CLUSTER + l1 * 8)) < 0)
		return error_errno(err, errno, "%s", path);
	return write_at(fd, 0, head->data, head->len, path, err) < 0 ? -1 : file_fsync(fd, path, err);
}

int qcow2_create(const char *path, const char *backing, const char *format, uint64_t size, struct error **err)
{
	_cleanup_buf_ struct buf head = BUF_INIT;
	_cleanup_close_ int fd = -1;
	uint64_t l1;

	if (size > L1_MAX / 8 * L1_COVERS)
		return error_set(err, ERR_USAGE, "%s: %" PRIu64 " bytes are more than a qcow2 disk can have", path, size);
	if (backing && (*backing != '/' || strlen(backing) > BACKING_MAX))
		return error_set(err, ERR_USAGE, "%s: '%s' cannot be named as its backing file", path, backing);
	size = (size + SECTOR - 1) / SECTOR * SECTOR;
	l1 = (size + L1_COVERS - 1) / L1_COVERS;
	add_header(&head, backing, format, size, l1);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (fd < 0)
		return error_errno(err, errno, "%s", path);
	return fill(fd, &head, l1, path, err);
}
