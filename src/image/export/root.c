/* SPDX-License-Identifier: Apache-2.0 */
#include "image/export/container.h"
#include "image/export/root.h"
#include "base/cleanup.h"
#include "base/intr.h"
#include "base/mem.h"
#include "base/units.h"

#include <errno.h>
#include <locale.h>
#include <string.h>
#include <sys/stat.h>

#define BLOCK ((size_t)1 << 20)

struct root {
	struct origin *s;
	struct extfs *x;
	char *archive;	    /* file of the tar or initramfs */
	struct archive *ar; /* that is open on it, or on the layer of a container's image */
	struct strv layers; /* of that */
	char *kind;
};

/* ---- finding it ---- */

/* What every root has, and the disk that only makes an initramfs's changes last has not. */
static bool is_root(struct extfs *x)
{
	return extfs_has(x, "etc") && (extfs_has(x, "usr") || extfs_has(x, "bin"));
}

static int find_ext(struct root *r, struct error **err)
{
	_cleanup_parts_ struct parts parts = { 0 };

	if (origin_disk(r->s, err) < 0 || parts_read(r->s, &parts, err) < 0)
		return -1;
	for (size_t i = 0; i < parts.len && !r->x; i++) {
		struct extfs *x = extfs_open(r->s, parts.v[i].start, err);

		if (*err)
			return -1;
		if (x && is_root(x)) {
			char size[16];

			r->x = x;
			r->kind = xasprintf("ext4 at %s", format_size(parts.v[i].start, size));
		} else {
			extfs_close(x);
		}
	}
	return 0;
}

struct root *root_open(struct origin *s, struct error **err)
{
	_cleanup_root_ struct root *r = xcalloc(1, sizeof(*r));
	int found;
	bool tar = s->file && (s->sniff.kind == SNIFF_TAR || s->sniff.kind == SNIFF_COMPRESSED);

	r->s = s;
	/* libarchive takes names for text; in a locale without UTF-8 it would have none for "ü". */
	setlocale(LC_CTYPE, "C.UTF-8");
	if (tar) {
		r->archive = xstrdup(s->file);
		found = container_layers(r->archive, &r->layers, err);
		if (found < 0 && s->sniff.kind == SNIFF_TAR)
			return NULL;
		error_clear(err); /* what is only compressed is no archive, which shows when it is read */
		r->kind = xstrdup(found == 0 ? "container's image" : "tar");
		return STEAL(r);
	}
	if (s->file && find_ext(r, err) < 0)
		return NULL;
	if (r->x)
		return STEAL(r);
	if (s->img && s->img->initrd) {
		r->archive = xstrdup(s->img->initrd);
		r->kind = xstrdup("initramfs");
		return STEAL(r);
	}
	error_set(err, ERR_NOT_FOUND, "%s: no root was found in it: no ext4 with /etc and /usr", s->what);
	error_hint(err, "other file systems than ext2, 3 and 4 cannot be read from outside; start a machine from the image and take a tar of it");
	return NULL;
}

static void close_archive(struct root *r)
{
	if (r->ar)
		archive_read_free(r->ar);
	r->ar = NULL;
}

void root_close(struct root *r)
{
	if (!r)
		return;
	close_archive(r);
	extfs_close(r->x);
	free(r->archive);
	free(r->kind);
	strv_free(&r->layers);
	free(r);
}

const char *root_kind(const struct root *r)
{
	return r->kind;
}

/* ---- reading ---- */

static int archive_failed(struct root *r, struct error **err)
{
	return error_set(err, ERR_FAILED, "%s: %s", r->archive, archive_error_string(r->ar));
}

static const char *plain(const char *p)
{
	while (p && (!strncmp(p, "./", 2) || *p == '/'))
		p += *p == '/' ? 1 : 2;
	return p;
}

/* A path that leads out of the root is nothing that an honest archive has. */
static bool leads_out(const char *p)
{
	return !strcmp(p, "..") || !strncmp(p, "../", 3) || strstr(p, "/../") || (strlen(p) > 3 && !strcmp(p + strlen(p) - 3, "/.."));
}

static int on_entry(struct root *r, struct archive_entry *e, root_fn *fn, void *arg, struct error **err)
{
	_cleanup_free_ char *path = xstrdup(plain(archive_entry_pathname(e))), *link = xstrdup(plain(archive_entry_hardlink(e)));
	size_t n = path ? strlen(path) : 0;

	if (!path)
		return error_set(err, ERR_FAILED, "%s: has a name that is neither UTF-8 nor marked as something else", r->archive);
	while (n && path[n - 1] == '/')
		path[--n] = '\0';
	if (!n || !strcmp(path, "."))
		return 0;
	if (leads_out(path) || (link && leads_out(link)))
		return error_set(err, ERR_FAILED, "%s: has a path that leads out of it: %s", r->archive, path);
	archive_entry_set_pathname(e, path);
	if (link)
		archive_entry_set_hardlink(e, link);
	return fn(arg, r, e, err);
}

struct layered {
	struct root *r;
	root_fn *fn;
	void *arg;
};

static int on_layered(void *arg, struct archive *ar, struct archive_entry *e, struct error **err)
{
	struct layered *l = arg;
	int rc;

	l->r->ar = ar;
	rc = on_entry(l->r, e, l->fn, l->arg, err);
	l->r->ar = NULL;
	return rc;
}

static int each_archived(struct root *r, root_fn *fn, void *arg, struct error **err)
{
	struct archive_entry *e;
	int got = ARCHIVE_OK, rc = 0;

	close_archive(r);
	r->ar = archive_read_new();
	archive_read_support_filter_all(r->ar);
	archive_read_support_format_tar(r->ar);
	archive_read_support_format_cpio(r->ar);
	if (archive_read_open_filename(r->ar, r->archive, BLOCK) != ARCHIVE_OK)
		return archive_failed(r, err);
	while (rc == 0 && (got = archive_read_next_header(r->ar, &e)) == ARCHIVE_OK)
		rc = intr_check(err) < 0 ? -1 : on_entry(r, e, fn, arg, err);
	if (rc == 0 && got != ARCHIVE_EOF)
		rc = archive_failed(r, err);
	close_archive(r);
	return rc;
}

int root_each(struct root *r, root_fn *fn, void *arg, struct error **err)
{
	struct layered l = { r, fn, arg };

	if (r->layers.len)
		return container_each(r->archive, &r->layers, on_layered, &l, err);
	return r->x ? extfs_each(r->x, r, fn, arg, err) : each_archived(r, fn, arg, err);
}

ssize_t root_read(struct root *r, void *p, size_t n, struct error **err)
{
	la_ssize_t got;

	if (r->x)
		return extfs_read(r->x, p, n, err);
	got = archive_read_data(r->ar, p, n);
	return got < 0 ? archive_failed(r, err) : got;
}

/* ---- what is left out ---- */

static bool below(const char *path, const char *dir)
{
	size_t n = strlen(dir);

	return !strncmp(path, dir, n) && path[n] == '/';
}

static bool at_or_below(const char *path, const char *dir)
{
	return !strcmp(path, dir) || below(path, dir);
}

static bool wanted_out(const struct root_filter *f, const char *path)
{
	for (size_t i = 0; f->without && i < f->without->len; i++) {
		_cleanup_free_ char *w = xstrdup(plain(f->without->v[i]));
		size_t n = strlen(w);

		while (n && w[n - 1] == '/')
			w[--n] = '\0';
		if (n && at_or_below(path, w))
			return true;
	}
	return false;
}

enum root_verdict root_filter(const struct root_filter *f, struct archive_entry *e)
{
	static const char *const emptied[] = { "dev", "proc", "sys", "run", "tmp" };
	static const char *const gone[] = { "var/lib/dbus/machine-id", "var/lib/systemd/random-seed" };
	const char *path = archive_entry_pathname(e), *key = "etc/ssh/ssh_host_";
	mode_t type = archive_entry_filetype(e);

	if (wanted_out(f, path))
		return ROOT_DROP;
	if (type == AE_IFSOCK || at_or_below(path, "lost+found"))
		return ROOT_DROP; /* of the file system alone; and a tar has no sockets */
	if (f->as_is)
		return ROOT_KEEP;
	if ((type == AE_IFCHR || type == AE_IFBLK) && !archive_entry_hardlink(e))
		return ROOT_DROP;
	for (size_t i = 0; i < ARRAY_SIZE(emptied); i++)
		if (below(path, emptied[i]))
			return ROOT_DROP;
	for (size_t i = 0; i < ARRAY_SIZE(gone); i++)
		if (at_or_below(path, gone[i]))
			return ROOT_DROP;
	if ((!f->boot && below(path, "boot")) || !strncmp(path, key, strlen(key)))
		return ROOT_DROP;
	return !strcmp(path, "etc/machine-id") && type == AE_IFREG ? ROOT_EMPTY : ROOT_KEEP;
}

/* ---- as a tar ---- */

struct tar {
	const struct root_filter *f;
	struct archive *out;
	root_write_fn *write;
	void *arg;
	struct error **err;
	char *block;
	time_t newest;
};

static la_ssize_t tar_out(struct archive *a, void *arg, const void *p, size_t n)
{
	struct tar *t = arg;

	return t->write(t->arg, p, n, t->err) < 0 ? -1 : (la_ssize_t)n;
}

static int tar_failed(struct tar *t, const char *path, struct error **err)
{
	return *err ? -1 : error_set(err, ERR_FAILED, "%s: cannot be put into a tar: %s", path, archive_error_string(t->out));
}

/* Only what is to be the same each time. */
static void tidy(struct archive_entry *e)
{
	archive_entry_unset_atime(e);
	archive_entry_unset_ctime(e);
	archive_entry_unset_birthtime(e);
	archive_entry_set_mtime(e, archive_entry_mtime(e), 0);
	archive_entry_set_uname(e, NULL);
	archive_entry_set_gname(e, NULL);
	archive_entry_set_ino(e, 0);
	archive_entry_set_dev(e, 0);
}

/* A name of a file whose first name, with the content, is left out. */
static bool orphan(const struct tar *t, struct archive_entry *e)
{
	struct archive_entry *target;
	bool gone;

	if (!archive_entry_hardlink(e))
		return false;
	target = archive_entry_new();
	archive_entry_set_pathname(target, archive_entry_hardlink(e));
	archive_entry_set_filetype(target, AE_IFREG);
	gone = root_filter(t->f, target) == ROOT_DROP;
	archive_entry_free(target);
	return gone;
}

static int tar_entry(void *arg, struct root *r, struct archive_entry *e, struct error **err)
{
	struct tar *t = arg;
	enum root_verdict v = root_filter(t->f, e);
	int64_t size = archive_entry_size(e);
	const char *path = archive_entry_pathname(e);
	ssize_t n;

	if (v == ROOT_DROP)
		return 0;
	if (orphan(t, e)) {
		error_set(err, ERR_USAGE, "/%s: is another name of /%s, which is left out", path, archive_entry_hardlink(e));
		return error_hint(err, "leave both out, or none (--without, --as-is)");
	}
	t->err = err;
	tidy(e);
	if (v == ROOT_EMPTY)
		archive_entry_set_size(e, size = 0);
	if (archive_entry_mtime(e) > t->newest)
		t->newest = archive_entry_mtime(e);
	if (archive_write_header(t->out, e) < ARCHIVE_WARN)
		return tar_failed(t, path, err);
	if (size <= 0 || archive_entry_hardlink(e) || archive_entry_filetype(e) != AE_IFREG)
		return 0;
	while ((n = root_read(r, t->block, BLOCK, err)) > 0)
		if (archive_write_data(t->out, t->block, (size_t)n) != n)
			return tar_failed(t, path, err);
	return n < 0 ? error_wrap(err, "/%s", path) : 0;
}

int root_tar(struct root *r, const struct root_filter *f, root_write_fn *write, void *arg, time_t *newest, struct error **err)
{
	_cleanup_free_ char *block = xmalloc(BLOCK);
	struct tar t = { .f = f, .out = archive_write_new(), .write = write, .arg = arg, .err = err, .block = block };
	int rc = 0;

	archive_write_set_format_pax_restricted(t.out);
	archive_write_set_options(t.out, "xattrheader=SCHILY");
	archive_write_set_bytes_per_block(t.out, (int)BLOCK);
	archive_write_set_bytes_in_last_block(t.out, 1);
	if (archive_write_open(t.out, &t, NULL, tar_out, NULL) != ARCHIVE_OK)
		rc = tar_failed(&t, r->s->what, err);
	if (rc == 0)
		rc = root_each(r, tar_entry, &t, err);
	t.err = err;
	if (rc == 0 && archive_write_close(t.out) != ARCHIVE_OK)
		rc = tar_failed(&t, r->s->what, err);
	if (rc < 0) {
		struct error *late = NULL;

		archive_write_fail(t.out); /* nothing more is written */
		t.err = &late;
		archive_write_free(t.out);
		error_clear(&late);
	} else {
		archive_write_free(t.out);
	}
	if (newest)
		*newest = t.newest;
	return rc;
}
