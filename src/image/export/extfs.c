/* SPDX-License-Identifier: Apache-2.0 */
/* Reading an ext2, 3 or 4 in any disk that croft can read, by libext2fs. Nothing is written. */
#include "base/cleanup.h"
#include "base/intr.h"
#include "base/map.h"
#include "base/mem.h"
#include "image/export/root.h"
#include "image/extio.h"

#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

#define SUPER 1024 /* offset of the superblock */
#define MAGIC_AT (SUPER + 56)
#define RUN_MAX ((size_t)1 << 20)

struct extfs {
	struct origin *s;
	uint64_t offset;
	ext2_filsys fs;
	struct extio io;
	struct map links;      /* inode -> first path */
	/* the file that is being read */
	ext2_ino_t ino;
	struct ext2_inode inode;
	uint64_t pos, size;
	ext2_file_t inlined;
};

/* ---- open and close ---- */

static int failed(struct extfs *x, errcode_t code, const char *path, struct error **err)
{
	if (x->io.err)
		return error_move(err, &x->io.err);
	return error_set(err, ERR_FAILED, "%s: /%s: its ext4 is damaged: %s", x->s->what, path, error_message(code));
}

bool extfs_has(struct extfs *x, const char *path)
{
	ext2_ino_t ino;

	return ext2fs_namei(x->fs, EXT2_ROOT_INO, EXT2_ROOT_INO, path, &ino) == 0;
}

static int read_origin(void *arg, void *p, size_t n, uint64_t off, struct error **err)
{
	return origin_read(arg, p, n, off, err);
}

struct extfs *extfs_open(struct origin *s, uint64_t offset, struct error **err)
{
	char magic[2];
	struct extfs *x;
	errcode_t code;

	if (s->size < offset + 4 * SUPER)
		return NULL;
	if (origin_read(s, magic, 2, offset + MAGIC_AT, err) < 0 || memcmp(magic, "\x53\xef", 2))
		return NULL;
	initialize_ext2_error_table();
	x = xcalloc(1, sizeof(*x));
	x->s = s;
	x->offset = offset;
	x->io = (struct extio){ .read = read_origin, .arg = s, .size = s->size, .start = offset };
	/* A journal that is to be replayed does no harm to what fsync has seen; the tree as it lies there is what is read. */
	code = extio_open(&x->io, s->what, EXT2_FLAG_64BITS, &x->fs);
	if (code) {
		failed(x, code, "", err);
		extfs_close(x);
		return NULL;
	}
	return x;
}

void extfs_close(struct extfs *x)
{
	if (!x)
		return;
	if (x->inlined)
		ext2fs_file_close(x->inlined);
	if (x->fs)
		ext2fs_free(x->fs);
	extio_clear(&x->io);
	map_free(&x->links);
	free(x);
}

/* ---- content ---- */

/* Blocks from `block` on that lie side by side on the disk: *disk is 0 for zeros. */
static errcode_t run_of(struct extfs *x, blk64_t block, size_t max, blk64_t *disk, size_t *n)
{
	blk64_t next;
	int flags = 0;
	errcode_t code = ext2fs_bmap2(x->fs, x->ino, &x->inode, NULL, 0, block, &flags, disk);

	if (flags & BMAP_RET_UNINIT)
		*disk = 0;
	for (*n = 1; !code && *n < max; ++*n) {
		flags = 0;
		code = ext2fs_bmap2(x->fs, x->ino, &x->inode, NULL, 0, block + *n, &flags, &next);
		if (flags & BMAP_RET_UNINIT)
			next = 0;
		if (next != (*disk ? *disk + *n : 0))
			break;
	}
	return code;
}

ssize_t extfs_read(struct extfs *x, void *p, size_t n, struct error **err)
{
	size_t unit = x->fs->blocksize, in = x->pos % unit, blocks, got;
	blk64_t disk;
	errcode_t code;

	if (n > x->size - x->pos)
		n = (size_t)(x->size - x->pos);
	if (n > RUN_MAX)
		n = RUN_MAX;
	if (!n)
		return 0;
	if (x->inlined) {
		unsigned part = 0;

		code = ext2fs_file_read(x->inlined, p, (unsigned)n, &part);
		x->pos += part;
		return code ? failed(x, code, "", err) : (ssize_t)part;
	}
	code = run_of(x, x->pos / unit, (in + n + unit - 1) / unit, &disk, &blocks);
	if (code)
		return failed(x, code, "", err);
	got = blocks * unit - in < n ? blocks * unit - in : n;
	if (!disk)
		memset(p, 0, got);
	else if (x->offset + disk * unit + in + got > x->s->size)
		return failed(x, EXT2_ET_BAD_BLOCK_NUM, "", err);
	else if (origin_read(x->s, p, got, x->offset + disk * unit + in, err) < 0)
		return -1;
	x->pos += got;
	return (ssize_t)got;
}

static errcode_t open_content(struct extfs *x, ext2_ino_t ino, const struct ext2_inode *inode)
{
	if (x->inlined)
		ext2fs_file_close(STEAL(x->inlined));
	x->ino = ino;
	x->inode = *inode;
	x->pos = 0;
	x->size = LINUX_S_ISREG(inode->i_mode) ? EXT2_I_SIZE(inode) : 0;
	return inode->i_flags & EXT4_INLINE_DATA_FL ? ext2fs_file_open2(x->fs, ino, &x->inode, 0, &x->inlined) : 0;
}

/* ---- the walk ---- */

struct child {
	char *name;
	ext2_ino_t ino;
};
struct children {
	struct child *v;
	size_t len;
};

static int collect(ext2_ino_t dir, int entry, struct ext2_dir_entry *d, int offset, int blocksize, char *buf, void *arg)
{
	struct children *c = arg;
	int n = ext2fs_dirent_name_len(d);

	if (entry != DIRENT_OTHER_FILE || !d->inode)
		return 0;
	c->v = xreallocarray(c->v, c->len + 1, sizeof(*c->v));
	c->v[c->len++] = (struct child){ xstrndup(d->name, (size_t)n), d->inode };
	return 0;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct child *)a)->name, ((const struct child *)b)->name);
}

static int add_xattr(char *name, char *value, size_t n, void *arg)
{
	if (strcmp(name, "system.data"))
		archive_entry_xattr_add_entry(arg, name, value, n);
	return 0;
}

static errcode_t add_xattrs(struct extfs *x, ext2_ino_t ino, struct archive_entry *e)
{
	struct ext2_xattr_handle *h;
	errcode_t code = ext2fs_xattrs_open(x->fs, ino, &h);

	if (code)
		return code;
	code = ext2fs_xattrs_read(h);
	if (!code)
		code = ext2fs_xattrs_iterate(h, add_xattr, e);
	ext2fs_xattrs_close(&h);
	return code;
}

static errcode_t add_target(struct extfs *x, ext2_ino_t ino, struct ext2_inode *inode, struct archive_entry *e)
{
	char target[4097] = "";
	uint64_t n = EXT2_I_SIZE(inode);
	errcode_t code = 0;

	if (n >= sizeof(target))
		return EXT2_ET_BAD_BLOCK_NUM;
	if (ext2fs_is_fast_symlink(inode)) {
		memcpy(target, inode->i_block, n < sizeof(inode->i_block) ? n : sizeof(inode->i_block));
	} else {
		ext2_file_t f;
		unsigned got;

		code = ext2fs_file_open2(x->fs, ino, inode, 0, &f);
		if (code)
			return code;
		code = ext2fs_file_read(f, target, (unsigned)n, &got);
		ext2fs_file_close(f);
	}
	archive_entry_set_symlink(e, target);
	return code;
}

/* Is it one more name of a file that has come? */
static bool known_link(struct extfs *x, ext2_ino_t ino, const struct ext2_inode *inode, const char *path, struct archive_entry *e)
{
	_cleanup_free_ char *key = NULL;
	const char *first;

	if (LINUX_S_ISDIR(inode->i_mode) || inode->i_links_count < 2)
		return false;
	key = xasprintf("%u", ino);
	first = map_get(&x->links, key);
	if (first) {
		archive_entry_set_hardlink(e, first);
		archive_entry_unset_size(e);
		return true;
	}
	x->links.free_value = free;
	map_set(&x->links, key, xstrdup(path));
	return false;
}

static errcode_t describe(struct extfs *x, ext2_ino_t ino, struct ext2_inode *inode, const char *path, struct archive_entry *e)
{
	errcode_t code;

	archive_entry_set_pathname(e, path);
	archive_entry_set_mode(e, inode->i_mode);
	archive_entry_set_uid(e, (int64_t)inode_uid(*inode));
	archive_entry_set_gid(e, (int64_t)inode_gid(*inode));
	archive_entry_set_mtime(e, inode->i_mtime, 0);
	archive_entry_set_size(e, LINUX_S_ISREG(inode->i_mode) ? (int64_t)EXT2_I_SIZE(inode) : 0);
	if (known_link(x, ino, inode, path, e))
		return 0;
	code = add_xattrs(x, ino, e);
	if (!code && LINUX_S_ISLNK(inode->i_mode))
		code = add_target(x, ino, inode, e);
	return code ? code : open_content(x, ino, inode);
}

struct walk {
	struct extfs *x;
	struct root *r;
	root_fn *fn;
	void *arg;
	unsigned depth;
};

static int walk_dir(struct walk *w, ext2_ino_t dir, const char *prefix, struct error **err);

static int walk_one(struct walk *w, const struct child *c, const char *prefix, struct error **err)
{
	_cleanup_free_ char *path = *prefix ? xasprintf("%s/%s", prefix, c->name) : xstrdup(c->name);
	struct archive_entry *e;
	struct ext2_inode inode;
	errcode_t code;
	int rc;

	if (intr_check(err) < 0)
		return -1;
	/* Names come from outside. */
	if (!*c->name || strchr(c->name, '/') || !strcmp(c->name, "..") || !strcmp(c->name, "."))
		return failed(w->x, EXT2_ET_DIR_CORRUPTED, path, err);
	code = ext2fs_read_inode(w->x->fs, c->ino, &inode);
	if (code)
		return failed(w->x, code, path, err);
	e = archive_entry_new();
	code = describe(w->x, c->ino, &inode, path, e);
	rc = code ? failed(w->x, code, path, err) : w->fn(w->arg, w->r, e, err);
	archive_entry_free(e);
	return rc == 0 && LINUX_S_ISDIR(inode.i_mode) ? walk_dir(w, c->ino, path, err) : rc;
}

static int walk_dir(struct walk *w, ext2_ino_t dir, const char *prefix, struct error **err)
{
	struct children c = { NULL, 0 };
	errcode_t code = ext2fs_dir_iterate2(w->x->fs, dir, 0, NULL, collect, &c);
	int rc = 0;

	if (code || ++w->depth > 256)
		rc = failed(w->x, code ? code : EXT2_ET_DIR_CORRUPTED, prefix, err);
	if (c.len)
		qsort(c.v, c.len, sizeof(*c.v), by_name);
	for (size_t i = 0; i < c.len; i++) {
		if (rc == 0)
			rc = walk_one(w, &c.v[i], prefix, err);
		free(c.v[i].name);
	}
	free(c.v);
	w->depth--;
	return rc;
}

int extfs_each(struct extfs *x, struct root *r, root_fn *fn, void *arg, struct error **err)
{
	struct walk w = { x, r, fn, arg, 0 };

	map_free(&x->links);
	return walk_dir(&w, EXT2_ROOT_INO, "", err);
}
