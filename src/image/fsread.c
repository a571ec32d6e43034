/* SPDX-License-Identifier: Apache-2.0 */
#include "image/fsread.h"
#include "image/extio.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "base/mem.h"

#include <errno.h>
#include <libfdisk/libfdisk.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define TABLE (1u << 20) /* where partition tables lie */
#define PIECE (256u << 10)
#define DEPTH_MAX 256

struct fsread {
	struct extio io;
	ext2_filsys fs;
};

static int failed(struct fsread *f, const char *what, errcode_t code, struct error **err)
{
	if (f->io.err)
		return error_move(err, &f->io.err);
	return error_set(err, code == EXT2_ET_FILE_NOT_FOUND ? ERR_NOT_FOUND : ERR_FAILED, "%s: %s", what, error_message(code));
}

static bool is_ext(const struct fsread_disk *d, uint64_t start, struct error **err)
{
	unsigned char magic[2];

	if (start + 2048 > d->size || d->read(d->arg, magic, 2, start + 1024 + 56, err) < 0)
		return false;
	return magic[0] == 0x53 && magic[1] == 0xef; /* s_magic of the super block */
}

/* libfdisk reads files: it gets one as large as the disk with the beginning of it. */
static int table_of(const struct fsread_disk *d, struct error **err)
{
	_cleanup_free_ char *head = xmalloc(TABLE);
	_cleanup_close_ int fd = memfd_create("table", MFD_CLOEXEC);
	size_t n = d->size < TABLE ? (size_t)d->size : TABLE;

	if (fd < 0 || ftruncate(fd, (off_t)d->size) < 0)
		return error_errno(err, errno, "memory for a partition table");
	if (d->read(d->arg, head, n, 0, err) < 0)
		return -1;
	return file_write_all(fd, head, n, "partition table", err) < 0 ? -1 : STEAL_FD(fd);
}

int fsread_find(const struct fsread_disk *d, uint64_t **ret, size_t *n, struct error **err)
{
	_cleanup_close_ int fd = -1;
	_cleanup_free_ char *path = NULL;
	struct fdisk_context *c;
	struct fdisk_table *t = NULL;
	int rc = 0;

	*ret = NULL;
	*n = 0;
	if (is_ext(d, 0, err)) {
		*ret = xcalloc(1, sizeof(**ret));
		*n = 1;
		return 0;
	}
	if (*err || (fd = table_of(d, err)) < 0)
		return -1;
	path = xasprintf("/proc/self/fd/%d", fd);
	c = fdisk_new_context();
	if (c && fdisk_assign_device(c, path, 1) == 0 && fdisk_has_label(c) && fdisk_get_partitions(c, &t) == 0)
		for (size_t i = 0; rc == 0 && i < fdisk_table_get_nents(t); i++) {
			struct fdisk_partition *p = fdisk_table_get_partition(t, i);
			uint64_t start = fdisk_partition_has_start(p) ? fdisk_partition_get_start(p) * fdisk_get_sector_size(c) : 0;

			if (start && is_ext(d, start, err)) {
				*ret = xreallocarray(*ret, *n + 1, sizeof(**ret));
				(*ret)[(*n)++] = start;
			}
			rc = *err ? -1 : 0;
		}
	fdisk_unref_table(t);
	if (c)
		fdisk_deassign_device(c, 1);
	fdisk_unref_context(c);
	return rc;
}

struct fsread *fsread_open(const struct fsread_disk *d, uint64_t start, struct error **err)
{
	struct fsread *f = xcalloc(1, sizeof(*f));
	errcode_t code;

	f->io = (struct extio){ .read = d->read, .arg = d->arg, .size = d->size, .start = start };
	code = extio_open(&f->io, "disk", EXT2_FLAG_64BITS | EXT2_FLAG_SOFTSUPP_FEATURES, &f->fs);
	if (!code)
		return f;
	failed(f, "file system", code, err);
	fsread_close(f);
	return NULL;
}

void fsread_close(struct fsread *f)
{
	if (!f)
		return;
	if (f->fs)
		ext2fs_close_free(&f->fs);
	extio_clear(&f->io);
	free(f);
}

struct walk {
	struct fsread *f;
	int (*fn)(void *arg, const struct fsread_file *file);
	void *arg;
	struct buf path;
	int depth;
	struct error *err;
};

static int walk_dir(struct walk *w, ext2_ino_t dir);

static int one(struct walk *w, ext2_ino_t ino)
{
	struct ext2_inode i;
	errcode_t code = ext2fs_read_inode(w->f->fs, ino, &i);
	struct fsread_file file = { .path = buf_str(&w->path), .ino = ino };

	if (code)
		return failed(w->f, buf_str(&w->path), code, &w->err);
	file.mode = i.i_mode;
	file.uid = inode_uid(i);
	file.gid = inode_gid(i);
	file.ctime = i.i_ctime;
	file.size = EXT2_I_SIZE(&i);
	if (w->fn(w->arg, &file))
		return -1;
	return LINUX_S_ISDIR(i.i_mode) ? walk_dir(w, ino) : 0;
}

static int each(struct ext2_dir_entry *e, int offset, int blocksize, char *buf, void *arg)
{
	struct walk *w = arg;
	size_t len = (size_t)ext2fs_dirent_name_len(e), was = w->path.len;
	int rc;

	if ((len == 1 && e->name[0] == '.') || (len == 2 && e->name[0] == '.' && e->name[1] == '.'))
		return 0;
	buf_addc(&w->path, '/');
	buf_add(&w->path, e->name, len);
	rc = one(w, e->inode);
	w->path.len = was;
	w->path.data[was] = '\0';
	return rc < 0 ? DIRENT_ABORT : 0;
}

static int walk_dir(struct walk *w, ext2_ino_t dir)
{
	errcode_t code;

	/* A damaged file system may have folders in a circle. */
	if (w->depth == DEPTH_MAX)
		return error_set(&w->err, ERR_FAILED, "%s: folders are too deep", buf_str(&w->path));
	w->depth++;
	code = ext2fs_dir_iterate(w->f->fs, dir, 0, NULL, each, w);
	w->depth--;
	if (code && !w->err)
		return failed(w->f, buf_str(&w->path), code, &w->err);
	return w->err ? -1 : 0;
}

int fsread_walk(struct fsread *f, int (*fn)(void *arg, const struct fsread_file *file), void *arg, struct error **err)
{
	struct walk w = { .f = f, .fn = fn, .arg = arg, .path = BUF_INIT };
	int rc = walk_dir(&w, EXT2_ROOT_INO);

	buf_free(&w.path);
	return rc < 0 ? error_move(err, &w.err) : 0;
}

static int link_target(struct fsread *f, const struct ext2_inode *i, struct buf *ret)
{
	if (!ext2fs_is_fast_symlink((struct ext2_inode *)i))
		return 0;
	buf_add(ret, (const char *)i->i_block, strnlen((const char *)i->i_block, EXT2_I_SIZE(i)));
	return 1;
}

int fsread_bytes(struct fsread *f, uint32_t ino, size_t max, struct buf *ret, struct error **err)
{
	struct ext2_inode i;
	ext2_file_t file = NULL;
	errcode_t code = ext2fs_read_inode(f->fs, ino, &i);

	if (code)
		return failed(f, "inode", code, err);
	if (LINUX_S_ISLNK(i.i_mode) && link_target(f, &i, ret))
		return 0;
	if (EXT2_I_SIZE(&i) > max)
		return error_set(err, ERR_FAILED, "a file of %llu bytes is larger than %zu", (unsigned long long)EXT2_I_SIZE(&i), max);
	code = ext2fs_file_open2(f->fs, ino, &i, 0, &file);
	for (unsigned got = 1; !code && got;) {
		code = ext2fs_file_read(file, buf_reserve(ret, PIECE), PIECE, &got);
		ret->len += code ? 0 : got;
		ret->data[ret->len] = '\0';
	}
	if (file)
		ext2fs_file_close(file);
	return code ? failed(f, "file", code, err) : 0;
}

int fsread_same(struct fsread *a, uint32_t ino_a, struct fsread *b, uint32_t ino_b, struct error **err)
{
	_cleanup_free_ char *x = xmalloc(PIECE), *y = xmalloc(PIECE);
	ext2_file_t fa = NULL, fb = NULL;
	errcode_t code = ext2fs_file_open(a->fs, ino_a, 0, &fa);
	unsigned n = 1, m = 1;
	int same = 1;

	if (!code)
		code = ext2fs_file_open(b->fs, ino_b, 0, &fb);
	while (!code && same && n) {
		code = ext2fs_file_read(fa, x, PIECE, &n);
		if (!code)
			code = ext2fs_file_read(fb, y, PIECE, &m);
		same = n == m && !memcmp(x, y, n);
	}
	if (fa)
		ext2fs_file_close(fa);
	if (fb)
		ext2fs_file_close(fb);
	return code ? failed(a->io.err ? a : b, "file", code, err) : same;
}
