/* SPDX-License-Identifier: Apache-2.0 */
#include "group/diff.h"

#include "base/cleanup.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/path.h"
#include "image/fsread.h"
#include "group/ports.h"
#include "machine/snapshot.h"
#include "qemu/nbd.h"
#include "snapint.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#define PACKAGES_MAX (64u << 20)

/* One disk as it was at a snapshot. */
struct side {
	const char *snapshot;
	struct proc server;
	struct nbd *nbd;
	struct fsread_disk disk;
	uint64_t *starts;
	size_t nstarts;
	struct fsread *fs;
	struct file {
		char *path;
		struct fsread_file f;
	} *files;
	size_t n, cap;
	uint32_t latest; /* ctime of what was changed last */
};
struct diffing {
	const char *node;
	struct machine *m;
	const char *prefix; /* of paths: "" or "disk-1:" */
	struct side a, b;
	void (*fn)(void *arg, const struct group_change *c);
	void *arg;
};

static void tell(const struct diffing *d, const char *kind, const char *change, const char *name, const char *detail)
{
	_cleanup_free_ char *full = xasprintf("%s%s", !strcmp(kind, "file") ? d->prefix : "", name);

	d->fn(d->arg, &(struct group_change){ d->node, kind, change, full, detail });
}

static void two(const struct diffing *d, const char *kind, const char *name, const char *was, const char *is)
{
	_cleanup_free_ char *detail = NULL;

	if (was && is && !strcmp(was, is))
		return;
	detail = was && is ? xasprintf("%s -> %s", was, is) : xstrdup(was ? was : is);
	tell(d, kind, !was ? "added" : !is ? "removed" : "changed", name, detail);
}

static int read_nbd(void *arg, void *p, size_t n, uint64_t off, struct error **err)
{
	return nbd_read(arg, p, n, off, err);
}

static void side_close(struct side *s)
{
	for (size_t i = 0; i < s->n; i++)
		free(s->files[i].path);
	free(s->files);
	free(s->starts);
	fsread_close(s->fs);
	nbd_close(s->nbd);
	proc_release(&s->server);
	*s = (struct side){ .snapshot = s->snapshot, .server = PROC_INIT };
}

/* A snapshot does not change, so QEMU may have the file open. */
static int side_open(struct side *s, const struct diffing *d, size_t i, const char *sock, struct error **err)
{
	_cleanup_free_ char *name = xasprintf("disk-%zu.qcow2", i), *path = machine_path(d->m, d->m->def.disks[i].file ? d->m->def.disks[i].file : name);
	_cleanup_free_ char *at = xasprintf("snapshot.name=%s", s->snapshot);
	_cleanup_buf_ struct buf opts = BUF_INIT;

	buf_adds(&opts, "driver=qcow2,force-share=on,file.driver=file,file.filename=");
	for (const char *p = d->m->def.disks[i].path ? d->m->def.disks[i].path : path; *p; p++) {
		buf_addc(&opts, *p);
		if (*p == ',')
			buf_addc(&opts, ',');
	}
	s->nbd = nbd_serve(&(struct nbd_serve){ .dir = d->m->dir, .sock = sock, .disk = opts.data, .snapshot = at }, &s->server, err);
	if (!s->nbd)
		return -1;
	s->disk = (struct fsread_disk){ read_nbd, s->nbd, nbd_size(s->nbd) };
	return fsread_find(&s->disk, &s->starts, &s->nstarts, err);
}

static int add_file(void *arg, const struct fsread_file *f)
{
	struct side *s = arg;

	if (s->n == s->cap)
		s->files = xreallocarray(s->files, s->cap = s->cap ? s->cap * 2 : 1024, sizeof(*s->files));
	s->files[s->n] = (struct file){ xstrdup(f->path), *f };
	s->files[s->n].f.path = s->files[s->n].path;
	s->n++;
	if (f->ctime > s->latest)
		s->latest = f->ctime;
	return 0;
}

static int by_path(const void *a, const void *b)
{
	return strcmp(((const struct file *)a)->path, ((const struct file *)b)->path);
}

static int side_read(struct side *s, uint64_t start, struct error **err)
{
	s->fs = fsread_open(&s->disk, start, err);
	if (!s->fs || fsread_walk(s->fs, add_file, s, err) < 0)
		return -1;
	if (s->n)
		qsort(s->files, s->n, sizeof(*s->files), by_path);
	return 0;
}

static void side_forget(struct side *s)
{
	for (size_t i = 0; i < s->n; i++)
		free(s->files[i].path);
	s->n = 0;
	s->latest = 0;
	fsread_close(STEAL(s->fs));
}

/*
 * 1: another content. A file that was changed after the first snapshot has a ctime of then or later, seconds being all that is looked at: an
 * older one that is still the same is not read.
 */
static int content(const struct diffing *d, const struct file *x, const struct file *y, struct error **err)
{
	_cleanup_buf_ struct buf p = BUF_INIT, q = BUF_INIT;
	int same;

	if (x->f.size != y->f.size)
		return 1;
	if (S_ISLNK(x->f.mode)) {
		if (fsread_bytes(d->a.fs, x->f.ino, 1 << 16, &p, err) < 0 || fsread_bytes(d->b.fs, y->f.ino, 1 << 16, &q, err) < 0)
			return -1;
		return strcmp(buf_str(&p), buf_str(&q)) != 0;
	}
	if (x->f.ino == y->f.ino && x->f.ctime == y->f.ctime && x->f.ctime < d->a.latest)
		return 0;
	same = fsread_same(d->a.fs, x->f.ino, d->b.fs, y->f.ino, err);
	return same < 0 ? -1 : !same;
}

static int both(const struct diffing *d, const struct file *x, const struct file *y, struct error **err)
{
	_cleanup_buf_ struct buf what = BUF_INIT;
	int differs = 0;

	if ((x->f.mode & S_IFMT) != (y->f.mode & S_IFMT)) {
		tell(d, "file", "changed", y->path, "another kind");
		return 0;
	}
	if (S_ISREG(x->f.mode) || S_ISLNK(x->f.mode))
		differs = content(d, x, y, err);
	if (differs < 0)
		return error_wrap(err, "%s", y->path);
	if (differs)
		buf_adds(&what, S_ISLNK(x->f.mode) ? "target" : "content");
	if (x->f.mode != y->f.mode)
		buf_addf(&what, "%smode %o -> %o", what.len ? ", " : "", x->f.mode & 07777, y->f.mode & 07777);
	if (x->f.uid != y->f.uid || x->f.gid != y->f.gid)
		buf_addf(&what, "%sowner %u:%u -> %u:%u", what.len ? ", " : "", x->f.uid, x->f.gid, y->f.uid, y->f.gid);
	if (what.len)
		tell(d, "file", "changed", y->path, what.data);
	return 0;
}

static int compare_files(const struct diffing *d, struct error **err)
{
	size_t i = 0, k = 0;

	while (i < d->a.n || k < d->b.n) {
		int c = i == d->a.n ? 1 : k == d->b.n ? -1 : strcmp(d->a.files[i].path, d->b.files[k].path);

		if (c < 0)
			tell(d, "file", "removed", d->a.files[i++].path, "");
		else if (c > 0)
			tell(d, "file", "added", d->b.files[k++].path, "");
		else if (both(d, &d->a.files[i++], &d->b.files[k++], err) < 0)
			return -1;
	}
	return 0;
}

/* "NAME\nVERSION\n" of each package that dpkg or apk has installed, sorted by name. */
struct package {
	char *name, *version;
};
struct packages {
	struct package *v;
	size_t n;
};

static void packages_clear(struct packages *l)
{
	for (size_t i = 0; i < l->n; i++) {
		free(l->v[i].name);
		free(l->v[i].version);
	}
	free(l->v);
}

static void add_package(struct packages *l, char **name, char **version)
{
	if (*name && *version) {
		l->v = xreallocarray(l->v, l->n + 1, sizeof(*l->v));
		l->v[l->n++] = (struct package){ STEAL(*name), STEAL(*version) };
	}
	free(STEAL(*name));
	free(STEAL(*version));
}

static int by_package(const void *a, const void *b)
{
	return strcmp(((const struct package *)a)->name, ((const struct package *)b)->name);
}

static bool field(const char *line, const char *key, char **ret)
{
	size_t n = strlen(key);

	if (strncmp(line, key, n))
		return false;
	free(*ret);
	*ret = xstrdup(line + n);
	return true;
}

/* Paragraphs of fields: deb-control(5) with dpkg's Status, or apk's installed(5) with one letter each. */
static void parse_packages(char *text, bool dpkg, struct packages *l)
{
	char *name = NULL, *version = NULL, *rest = text;
	bool installed = true;

	for (char *line; (line = strsep(&rest, "\n"));) {
		if (!*line) {
			if (installed)
				add_package(l, &name, &version);
			free(STEAL(name));
			free(STEAL(version));
			installed = true;
		} else if (dpkg && !strncmp(line, "Status: ", 8)) {
			installed = strstr(line, " installed") != NULL;
		} else if (!field(line, dpkg ? "Package: " : "P:", &name)) {
			field(line, dpkg ? "Version: " : "V:", &version);
		}
	}
	if (installed)
		add_package(l, &name, &version);
	free(name);
	free(version);
	if (l->n)
		qsort(l->v, l->n, sizeof(*l->v), by_package);
}

static const struct file *file_ending(const struct side *s, const char *end)
{
	size_t len = strlen(end);

	for (size_t i = 0; i < s->n; i++) {
		size_t n = strlen(s->files[i].path);

		if (n >= len && !strcmp(s->files[i].path + n - len, end) && S_ISREG(s->files[i].f.mode))
			return &s->files[i];
	}
	return NULL;
}

/* Wherever the root of the system is on the disk: on those of tiny it is a folder. */
static int read_packages(const struct side *s, struct packages *l, struct error **err)
{
	static const char *const ends[] = { "/var/lib/dpkg/status", "/lib/apk/db/installed" };

	for (size_t i = 0; i < ARRAY_SIZE(ends); i++) {
		_cleanup_buf_ struct buf b = BUF_INIT;
		const struct file *f = file_ending(s, ends[i]);

		if (!f)
			continue;
		if (fsread_bytes(s->fs, f->f.ino, PACKAGES_MAX, &b, err) < 0)
			return error_wrap(err, "%s", f->path);
		buf_str(&b);
		if (b.data)
			parse_packages(b.data, i == 0, l);
		return 0;
	}
	return 0;
}

static int compare_packages(const struct diffing *d, struct error **err)
{
	_cleanup_(packages_clear) struct packages a = { 0 }, b = { 0 };
	size_t i = 0, k = 0;

	if (read_packages(&d->a, &a, err) < 0 || read_packages(&d->b, &b, err) < 0)
		return -1;
	while (i < a.n || k < b.n) {
		int c = i == a.n ? 1 : k == b.n ? -1 : strcmp(a.v[i].name, b.v[k].name);

		two(d, "package", c <= 0 ? a.v[i].name : b.v[k].name, c <= 0 ? a.v[i].version : NULL, c >= 0 ? b.v[k].version : NULL);
		i += c <= 0;
		k += c >= 0;
	}
	return 0;
}

static int compare_disk(struct diffing *d, size_t i, bool *first, struct error **err)
{
	_cleanup_free_ char *prefix = xasprintf("disk-%zu:", i);
	int rc = 0;

	if (side_open(&d->a, d, i, "diff-a.sock", err) < 0 || side_open(&d->b, d, i, "diff-b.sock", err) < 0)
		rc = -1;
	if (rc == 0 && d->a.nstarts != d->b.nstarts)
		log_warn("%s: disk %zu: its partitions differ; what is in those that one of them alone has is not shown", d->node, i);
	for (size_t k = 0; rc == 0 && k < d->a.nstarts && k < d->b.nstarts; k++) {
		d->prefix = *first ? "" : prefix;
		*first = false;
		rc = side_read(&d->a, d->a.starts[k], err) < 0 || side_read(&d->b, d->b.starts[k], err) < 0 || compare_files(d, err) < 0 ||
				compare_packages(d, err) < 0 ?
			-1 :
			0;
		side_forget(&d->a);
		side_forget(&d->b);
	}
	side_close(&d->a);
	side_close(&d->b);
	return rc < 0 ? error_wrap(err, "disk %zu", i) : 0;
}

static int compare_node(struct diffing *d, const char *full, struct error **err)
{
	_cleanup_machine_ struct machine *m = d->m = machine_open(full, err);
	_cleanup_snapshot_ struct snapshot *a = m ? snapshot_open(m, d->a.snapshot, err) : NULL, *b = a ? snapshot_open(m, d->b.snapshot, err) : NULL;
	bool first = true;

	if (!b)
		return -1;
	for (size_t i = 0; i < m->def.ndisks; i++) {
		_cleanup_free_ char *node = xasprintf("disk%zu", i);

		if (strv_has(&a->nodes, node) && strv_has(&b->nodes, node) && compare_disk(d, i, &first, err) < 0)
			return -1;
	}
	if (first)
		log_warn("%s: no ext file system on its disks: nothing is known of its files", d->node);
	return 0;
}

static int compare_ports(const struct diffing *d, const char *group, struct error **err)
{
	_cleanup_free_ char *from = gsnap_path(group, d->a.snapshot, NULL), *to = gsnap_path(group, d->b.snapshot, NULL);
	_cleanup_strv_ struct strv a = STRV_INIT, b = STRV_INIT;
	int was = ports_read(from, d->node, &a, err), is = was < 0 ? -1 : ports_read(to, d->node, &b, err);

	if (is < 0)
		return -1;
	if (!was || !is) {
		log_info("%s: its ports are not compared: its guest program did not tell them for snapshot %s", d->node,
			was ? d->b.snapshot : d->a.snapshot);
		return 0;
	}
	for (size_t i = 0; i < a.len; i++)
		if (!strv_has(&b, a.v[i]))
			tell(d, "port", "removed", a.v[i], "");
	for (size_t i = 0; i < b.len; i++)
		if (!strv_has(&a, b.v[i]))
			tell(d, "port", "added", b.v[i], "");
	return 0;
}

int group_diff(const char *group, const char *from, const char *to, void (*fn)(void *arg, const struct group_change *c), void *arg,
	struct error **err)
{
	_cleanup_group_snapshot_ struct group_snapshot *a = group_snapshot_open(group, from, err), *b = a ? group_snapshot_open(group, to, err) : NULL;

	if (!b)
		return -1;
	for (size_t i = 0; i < b->nodes.len; i++) {
		_cleanup_free_ char *full = xasprintf("%s/%s", group, b->nodes.v[i]);
		struct diffing d = { .node = b->nodes.v[i], .a = { .snapshot = a->name, .server = PROC_INIT },
			.b = { .snapshot = b->name, .server = PROC_INIT }, .fn = fn, .arg = arg };

		if (!strv_has(&a->nodes, d.node))
			log_warn("%s: it is not in snapshot %s", d.node, a->name);
		else if (compare_node(&d, full, err) < 0 || compare_ports(&d, group, err) < 0)
			return error_wrap(err, "%s", d.node);
	}
	for (size_t i = 0; i < a->nodes.len; i++)
		if (!strv_has(&b->nodes, a->nodes.v[i]))
			log_warn("%s: it is not in snapshot %s", a->nodes.v[i], b->name);
	return 0;
}
