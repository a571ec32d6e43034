/* SPDX-License-Identifier: Apache-2.0 */
#include "image/ext4.h"
#include "base/cleanup.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/proc.h"

#include <ext2fs/ext2fs.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

#define BLOCK ((size_t)1 << 20)

struct ext4 {
	ext2_filsys fs;
	char *file;
	struct map dirs; /* path -> inode number */
};

int ext4_make(const char *file, uint64_t offset, uint64_t size, const char *label, const char *uuid, time_t now, struct error **err)
{
	/* Nothing is left for the guest to initialise: each machine would write it into its own overlay. */
	_cleanup_free_ char *more = xasprintf("offset=%" PRIu64 ",hash_seed=%s,lazy_itable_init=0,lazy_journal_init=0,nodiscard",
		offset, uuid);
	_cleanup_free_ char *blocks = xasprintf("%" PRIu64, size / 4096), *time = xasprintf("%lld", (long long)now);
	const char *argv[] = { "mke2fs", "-q", "-F", "-t", "ext4", "-b", "4096", "-I", "256", "-m", "1", "-L", label, "-U", uuid,
		"-E", more, file, blocks, NULL };
	int rc;

	setenv("E2FSPROGS_FAKE_TIME", time, 1);
	rc = proc_run(argv, 300000, NULL, NULL, err);
	unsetenv("E2FSPROGS_FAKE_TIME");
	return rc < 0 ? error_hint(err, "e2fsprogs is needed") : 0;
}

static int failed(const struct ext4 *e, errcode_t code, const char *path, struct error **err)
{
	if (code == EXT2_ET_BLOCK_ALLOC_FAIL || code == EXT2_ET_INODE_ALLOC_FAIL || code == EXT2_ET_DIR_NO_SPACE)
		return error_set(err, ERR_FAILED, "/%s: no room left in the image's root file system", path);
	return error_set(err, ERR_FAILED, "%s: /%s: %s", e->file, path, error_message(code));
}

struct ext4 *ext4_open(const char *file, uint64_t offset, time_t now, struct error **err)
{
	_cleanup_free_ char *options = xasprintf("offset=%" PRIu64, offset);
	struct ext4 *e = xcalloc(1, sizeof(*e));
	errcode_t code;

	initialize_ext2_error_table();
	e->file = xstrdup(file);
	code = ext2fs_open2(file, options, EXT2_FLAG_RW | EXT2_FLAG_64BITS, 0, 0, unix_io_manager, &e->fs);
	if (code == 0) {
		e->fs->now = now;
		code = ext2fs_read_bitmaps(e->fs);
	}
	if (code) {
		failed(e, code, "", err);
		if (e->fs)
			ext2fs_free(e->fs);
		free(e->file);
		free(e);
		return NULL;
	}
	return e;
}

int ext4_close(struct ext4 *e, struct error **err)
{
	errcode_t code;
	int rc = 0;

	if (!e)
		return 0;
	code = ext2fs_close_free(&e->fs);
	if (code)
		rc = failed(e, code, "", err);
	map_free(&e->dirs);
	free(e->file);
	free(e);
	return rc;
}

static void fill(struct ext2_inode *i, mode_t type, const struct ext4_meta *m)
{
	i->i_mode = (__u16)(type | (m->mode & 07777));
	i->i_uid = (__u16)m->uid;
	i->i_gid = (__u16)m->gid;
	ext2fs_set_i_uid_high(*i, (__u16)(m->uid >> 16));
	ext2fs_set_i_gid_high(*i, (__u16)(m->gid >> 16));
	i->i_atime = i->i_ctime = i->i_mtime = (__u32)m->mtime;
}

/* A full directory is made longer by a block. The library would enter a name twice. */
static errcode_t enter(struct ext4 *e, ext2_ino_t dir, const char *name, ext2_ino_t ino, int type)
{
	ext2_ino_t there;
	errcode_t code = ext2fs_lookup(e->fs, dir, name, (int)strlen(name), NULL, &there);

	if (code != EXT2_ET_FILE_NOT_FOUND)
		return code ? code : EXT2_ET_FILE_EXISTS;
	code = ext2fs_link(e->fs, dir, name, ino, type);
	if (code == EXT2_ET_DIR_NO_SPACE) {
		code = ext2fs_expand_dir(e->fs, dir);
		if (!code)
			code = ext2fs_link(e->fs, dir, name, ino, type);
	}
	return code;
}

static errcode_t set_meta(struct ext4 *e, ext2_ino_t ino, const struct ext4_meta *m)
{
	struct ext2_inode inode;
	errcode_t code = ext2fs_read_inode(e->fs, ino, &inode);

	if (code)
		return code;
	fill(&inode, inode.i_mode & S_IFMT, m);
	return ext2fs_write_inode(e->fs, ino, &inode);
}

static errcode_t make_dir(struct ext4 *e, ext2_ino_t parent, const char *name, ext2_ino_t *ino)
{
	errcode_t code = ext2fs_lookup(e->fs, parent, name, (int)strlen(name), NULL, ino);

	if (code != EXT2_ET_FILE_NOT_FOUND)
		return code;
	code = ext2fs_mkdir(e->fs, parent, 0, name);
	if (code == EXT2_ET_DIR_NO_SPACE) {
		code = ext2fs_expand_dir(e->fs, parent);
		if (!code)
			code = ext2fs_mkdir(e->fs, parent, 0, name);
	}
	return code ? code : ext2fs_lookup(e->fs, parent, name, (int)strlen(name), NULL, ino);
}

/* Inode of a folder; made with all above it when it is not there. 0: failed. */
static ext2_ino_t folder(struct ext4 *e, const char *path, struct error **err)
{
	static const struct ext4_meta plain = { 0755, 0, 0, 0 };
	_cleanup_free_ char *above = NULL;
	const char *name = path_basename(path);
	struct ext4_meta m = plain;
	ext2_ino_t ino, parent = EXT2_ROOT_INO;
	errcode_t code;

	if (!*path)
		return EXT2_ROOT_INO;
	ino = (ext2_ino_t)(uintptr_t)map_get(&e->dirs, path);
	if (ino)
		return ino;
	if (strchr(path, '/')) {
		above = path_dirname(path);
		parent = folder(e, above, err);
		if (!parent)
			return 0;
	}
	m.mtime = e->fs->now;
	code = make_dir(e, parent, name, &ino);
	if (!code)
		code = set_meta(e, ino, &m);
	if (code) {
		failed(e, code, path, err);
		return 0;
	}
	map_set(&e->dirs, path, (void *)(uintptr_t)ino);
	return ino;
}

static ext2_ino_t folder_of(struct ext4 *e, const char *path, struct error **err)
{
	_cleanup_free_ char *above = strchr(path, '/') ? path_dirname(path) : xstrdup("");

	return folder(e, above, err);
}

int ext4_dir(struct ext4 *e, const char *path, const struct ext4_meta *m, struct error **err)
{
	ext2_ino_t ino = folder(e, path, err);
	errcode_t code;

	if (!ino)
		return -1;
	code = set_meta(e, ino, m);
	return code ? failed(e, code, path, err) : 0;
}

/* An empty regular file with its name. */
static errcode_t make_file(struct ext4 *e, ext2_ino_t dir, const char *name, const struct ext4_meta *m, ext2_ino_t *ino)
{
	struct ext2_inode inode = { 0 };
	ext2_extent_handle_t extents;
	errcode_t code = ext2fs_new_inode(e->fs, dir, LINUX_S_IFREG | 0644, NULL, ino);

	if (!code)
		code = enter(e, dir, name, *ino, EXT2_FT_REG_FILE);
	if (code)
		return code;
	ext2fs_inode_alloc_stats2(e->fs, *ino, +1, 0);
	fill(&inode, S_IFREG, m);
	inode.i_links_count = 1;
	/* Writes the header of an empty extent tree into the inode. */
	code = ext2fs_extent_open2(e->fs, *ino, &inode, &extents);
	if (code)
		return code;
	ext2fs_extent_free(extents);
	return ext2fs_write_new_inode(e->fs, *ino, &inode);
}

static int write_content(struct ext4 *e, const char *path, ext2_file_t f, ext4_read_fn *read, void *arg, struct error **err)
{
	_cleanup_free_ char *block = xmalloc(BLOCK);
	ssize_t n;

	while ((n = read(arg, block, BLOCK, err)) > 0) {
		const char *p = block;

		while (n > 0) {
			unsigned done = 0;
			errcode_t code = ext2fs_file_write(f, p, (unsigned)n, &done);

			if (code)
				return failed(e, code, path, err);
			p += done;
			n -= done;
		}
	}
	return n < 0 ? -1 : 0;
}

int ext4_file(struct ext4 *e, const char *path, const struct ext4_meta *m, ext4_read_fn *read, void *arg, struct error **err)
{
	ext2_ino_t dir = folder_of(e, path, err), ino;
	ext2_file_t f;
	errcode_t code;
	int rc;

	if (!dir)
		return -1;
	code = make_file(e, dir, path_basename(path), m, &ino);
	if (!code)
		code = ext2fs_file_open(e->fs, ino, EXT2_FILE_WRITE, &f);
	if (code)
		return failed(e, code, path, err);
	rc = write_content(e, path, f, read, arg, err);
	code = ext2fs_file_close(f);
	if (rc == 0 && !code)
		code = set_meta(e, ino, m); /* writing has set the times */
	return rc < 0 ? -1 : code ? failed(e, code, path, err) : 0;
}

struct bytes {
	const char *p;
	size_t n;
};

static ssize_t read_bytes(void *arg, void *p, size_t n, struct error **err)
{
	struct bytes *b = arg;

	if (n > b->n)
		n = b->n;
	if (n)
		memcpy(p, b->p, n);
	b->p += n;
	b->n -= n;
	return (ssize_t)n;
}

int ext4_bytes(struct ext4 *e, const char *path, const struct ext4_meta *m, const void *p, size_t n, struct error **err)
{
	return ext4_file(e, path, m, read_bytes, &(struct bytes){ p, n }, err);
}

int ext4_symlink(struct ext4 *e, const char *path, const struct ext4_meta *m, const char *target, struct error **err)
{
	ext2_ino_t dir = folder_of(e, path, err), ino;
	const char *name = path_basename(path);
	struct ext4_meta all = *m;
	errcode_t code;

	if (!dir)
		return -1;
	code = ext2fs_symlink(e->fs, dir, 0, name, target);
	if (code == EXT2_ET_DIR_NO_SPACE) {
		code = ext2fs_expand_dir(e->fs, dir);
		if (!code)
			code = ext2fs_symlink(e->fs, dir, 0, name, target);
	}
	if (!code)
		code = ext2fs_lookup(e->fs, dir, name, (int)strlen(name), NULL, &ino);
	all.mode = 0777;
	if (!code)
		code = set_meta(e, ino, &all);
	return code ? failed(e, code, path, err) : 0;
}

int ext4_hardlink(struct ext4 *e, const char *path, const char *target, struct error **err)
{
	ext2_ino_t dir = folder_of(e, path, err), ino;
	struct ext2_inode inode;
	errcode_t code;

	if (!dir)
		return -1;
	code = ext2fs_namei(e->fs, EXT2_ROOT_INO, EXT2_ROOT_INO, target, &ino);
	if (!code)
		code = ext2fs_read_inode(e->fs, ino, &inode);
	if (!code)
		code = enter(e, dir, path_basename(path), ino, EXT2_FT_REG_FILE);
	if (!code) {
		inode.i_links_count++;
		code = ext2fs_write_inode(e->fs, ino, &inode);
	}
	return code ? failed(e, code, path, err) : 0;
}

int ext4_xattr(struct ext4 *e, const char *path, const char *name, const void *value, size_t n, struct error **err)
{
	struct ext2_xattr_handle *h;
	ext2_ino_t ino = EXT2_ROOT_INO;
	errcode_t code = *path ? ext2fs_namei(e->fs, EXT2_ROOT_INO, EXT2_ROOT_INO, path, &ino) : 0;

	if (!code)
		code = ext2fs_xattrs_open(e->fs, ino, &h);
	if (code)
		return failed(e, code, path, err);
	code = ext2fs_xattrs_read(h);
	if (!code)
		code = ext2fs_xattr_set(h, name, value, n);
	ext2fs_xattrs_close(&h);
	return code ? failed(e, code, path, err) : 0;
}
