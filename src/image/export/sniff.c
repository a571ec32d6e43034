/* SPDX-License-Identifier: Apache-2.0 */
#include "image/export/sniff.h"
#include "base/cleanup.h"
#include "base/mem.h"
#include "base/qcow2.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#define HEAD ((size_t)64 << 10)
/* QCOW2 (QEMU docs/interop/qcow2.txt): incompatible feature bit 2 is an external data file. */
#define QCOW2_BACKING 8
#define QCOW2_FEATURES 72
#define QCOW2_DATA_FILE 4
/* VMDK (Virtual Disk Format 5.0): capacity, and where the descriptor lies, in sectors. */
#define VMDK_CAPACITY 12
#define VMDK_DESC_OFFSET 28
#define VMDK_DESC_SIZE 36
/* VHD (Virtual Hard Disk Image Format Specification): type of the disk in its footer. */
#define VHD_TYPE 60
enum { VHD_FIXED = 2, VHD_DYNAMIC = 3 };

struct head {
	int fd;
	const char *what;
	size_t len;
	uint64_t size;
	char p[HEAD];
};

static bool at(const struct head *h, size_t off, const char *magic, size_t n)
{
	return off + n <= h->len && !memcmp(h->p + off, magic, n);
}

static uint64_t be64_at(const char *p)
{
	uint64_t v;

	memcpy(&v, p, 8);
	return be64toh(v);
}

static uint64_t le64_at(const char *p)
{
	uint64_t v;

	memcpy(&v, p, 8);
	return le64toh(v);
}

static uint32_t le32_at(const char *p)
{
	uint32_t v;

	memcpy(&v, p, 4);
	return le32toh(v);
}

static uint32_t be32_at(const char *p)
{
	uint32_t v;

	memcpy(&v, p, 4);
	return be32toh(v);
}

static int leans(const struct head *h, const char *on, struct error **err)
{
	error_set(err, ERR_FAILED, "%s: needs another file (%s), and images from outside must be whole: croft opens no file that an image names",
		h->what, on);
	return error_hint(err, "where it comes from: qemu-img convert -O qcow2 FILE WHOLE.qcow2");
}

static int check_qcow2(const struct head *h, struct error **err)
{
	uint32_t version = be32_at(h->p + 4);

	if (version != 2 && version != 3) {
		error_set(err, ERR_FAILED, "%s: is qcow of version %u; 2 and 3 are read", h->what, version);
		return error_hint(err, "qemu-img convert -f qcow -O qcow2 FILE NEW.qcow2");
	}
	if (be64_at(h->p + QCOW2_BACKING))
		return leans(h, "a backing file", err);
	if (version == 3 && be64_at(h->p + QCOW2_FEATURES) & QCOW2_DATA_FILE)
		return leans(h, "an external data file", err);
	return 0;
}

/* The descriptor of a sparse VMDK: a child of another disk, and one that lists further files, are refused. */
static int check_vmdk(const struct head *h, struct error **err)
{
	uint64_t off = le64_at(h->p + VMDK_DESC_OFFSET) * 512, n = le64_at(h->p + VMDK_DESC_SIZE) * 512;
	_cleanup_free_ char *text = NULL;
	const char *parent;

	if (!le64_at(h->p + VMDK_CAPACITY))
		return leans(h, "the extents of its descriptor", err);
	if (!off || !n)
		return 0;
	if (n > 1 << 20 || off > h->size || h->size - off < n)
		return error_set(err, ERR_FAILED, "%s: its VMDK header is damaged", h->what);
	text = xcalloc(1, n + 1);
	if (pread(h->fd, text, n, (off_t)off) != (ssize_t)n)
		return error_set(err, ERR_FAILED, "%s: its VMDK descriptor cannot be read", h->what);
	parent = strstr(text, "parentCID=");
	if (parent && strncasecmp(parent + 10, "ffffffff", 8))
		return leans(h, "a parent", err);
	return 0;
}

/* VDI (header 1.1): where the blocks begin, how long one is, how many there are. Nobody else notices that some are missing. */
static int check_vdi(const struct head *h, struct error **err)
{
	uint64_t data, block, blocks;

	if (h->len < 512)
		return error_set(err, ERR_FAILED, "%s: ends within its header", h->what);
	data = le32_at(h->p + 0x158);
	block = le32_at(h->p + 0x178);
	blocks = le32_at(h->p + 0x184);
	if (h->size < data || (h->size - data) / (block ? block : 1) < blocks)
		return error_set(err, ERR_FAILED, "%s: is cut off: it lacks blocks that its header counts", h->what);
	return 0;
}

static int check_vhd(const struct head *h, struct error **err)
{
	char footer[512];
	uint32_t type;

	if (h->size < 512 || pread(h->fd, footer, 512, (off_t)(h->size - 512)) != 512)
		return error_set(err, ERR_FAILED, "%s: its VHD footer cannot be read", h->what);
	type = be32_at(footer + VHD_TYPE);
	if (type != VHD_FIXED && type != VHD_DYNAMIC)
		return leans(h, "the disk that it differs from", err);
	return 0;
}

static const struct {
	size_t off;
	const char *magic;
	size_t n;
	enum sniff_kind kind;
	const char *format; /* NULL: refused */
	const char *name;
} magics[] = {
	{ 0, QCOW2_MAGIC, 4, SNIFF_DISK, "qcow2", NULL },
	{ 0, "KDMV", 4, SNIFF_DISK, "vmdk", NULL },
	{ 0, "vhdxfile", 8, SNIFF_DISK, "vhdx", NULL },
	{ 64, "\x7f\x10\xda\xbe", 4, SNIFF_DISK, "vdi", NULL },
	{ 0, "conectix", 8, SNIFF_DISK, "vpc", NULL },
	{ 0, "\x1f\x8b\x08", 3, SNIFF_COMPRESSED, "gzip", NULL },
	{ 0, "\xfd" "7zXZ\0", 6, SNIFF_COMPRESSED, "xz", NULL },
	{ 0, "\x28\xb5\x2f\xfd", 4, SNIFF_COMPRESSED, "zstd", NULL },
	{ 0, "BZh", 3, SNIFF_COMPRESSED, "bzip2", NULL },
	{ 0, "\x04\x22\x4d\x18", 4, SNIFF_COMPRESSED, "lz4", NULL },
	{ 257, "ustar", 5, SNIFF_TAR, "tar", NULL },
	{ 0, "hsqs", 4, SNIFF_SQUASHFS, "squashfs", NULL },
	{ 1024, "\xe2\xe1\xf5\xe0", 4, SNIFF_EROFS, "erofs", NULL },
	{ 0, "# Disk DescriptorFile", 21, SNIFF_DISK, NULL, "a VMDK descriptor, whose data is in other files" },
	{ 0, "COWD", 4, SNIFF_DISK, NULL, "a VMDK of ESX's old sparse kind" },
	{ 0, "QED", 4, SNIFF_DISK, NULL, "a QED disk" },
	{ 0, "WithoutFreeSpace", 16, SNIFF_DISK, NULL, "a Parallels disk" },
	{ 0, "WithouFreSpacExt", 16, SNIFF_DISK, NULL, "a Parallels disk" },
	{ 0, "PK\x03\x04", 4, SNIFF_DISK, NULL, "a ZIP archive" },
	{ 0, "MSWIM\0\0\0", 8, SNIFF_DISK, NULL, "a WIM archive" },
};

/* ISO 9660 (ECMA-119, 8.1): the volume descriptors begin at sector 16. */
static bool is_iso(const struct head *h)
{
	return at(h, 16 * 2048 + 1, "CD001", 5);
}

static int check(const struct head *h, const char *format, struct error **err)
{
	if (!strcmp(format, "qcow2") && h->len >= 104)
		return check_qcow2(h, err);
	if (!strcmp(format, "vmdk") && h->len >= 512)
		return check_vmdk(h, err);
	if (!strcmp(format, "vpc"))
		return check_vhd(h, err);
	if (!strcmp(format, "vdi"))
		return check_vdi(h, err);
	return strcmp(format, "qcow2") && strcmp(format, "vmdk") ? 0 : error_set(err, ERR_FAILED, "%s: ends within its header", h->what);
}

static int judge(const struct head *h, struct sniff *ret, struct error **err)
{
	char footer[8];

	if (is_iso(h)) {
		*ret = (struct sniff){ SNIFF_ISO, "raw" };
		return 0;
	}
	for (size_t i = 0; i < ARRAY_SIZE(magics); i++) {
		if (!at(h, magics[i].off, magics[i].magic, magics[i].n))
			continue;
		if (!magics[i].format) {
			error_set(err, ERR_FAILED, "%s: is %s", h->what, magics[i].name);
			return error_hint(err, "make it one file in a common format first: qemu-img convert -O qcow2 FILE NEW.qcow2");
		}
		*ret = (struct sniff){ magics[i].kind, magics[i].format };
		return check(h, magics[i].format, err);
	}
	/* A VHD of fixed size is raw with a footer. */
	if (h->size >= 1024 && pread(h->fd, footer, 8, (off_t)(h->size - 512)) == 8 && !memcmp(footer, "conectix", 8)) {
		*ret = (struct sniff){ SNIFF_DISK, "vpc" };
		return check_vhd(h, err);
	}
	*ret = (struct sniff){ SNIFF_DISK, "raw" };
	return 0;
}

int sniff_fd(int fd, const char *what, struct sniff *ret, struct error **err)
{
	_cleanup_free_ struct head *h = xcalloc(1, sizeof(*h));
	struct stat st;
	ssize_t n;

	h->fd = fd;
	h->what = what;
	if (fstat(fd, &st) < 0)
		return error_errno(err, errno, "%s", what);
	if (!S_ISREG(st.st_mode))
		return error_set(err, ERR_USAGE, "%s: is not a file", what);
	n = pread(fd, h->p, HEAD, 0);
	if (n < 0)
		return error_errno(err, errno, "%s", what);
	if (n == 0)
		return error_set(err, ERR_FAILED, "%s: is empty", what);
	h->len = (size_t)n;
	h->size = (uint64_t)st.st_size;
	return judge(h, ret, err);
}

int sniff_file(const char *path, struct sniff *ret, struct error **err)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);

	return fd < 0 ? error_errno(err, errno, "%s", path) : sniff_fd(fd, path, ret, err);
}
