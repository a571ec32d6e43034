/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest lists what it has (guest/sync.c), the host compares, sends what differs into a folder beside the target, and the guest
 * makes of both the new target. The memory is text, a record for each file of src: what the host's file and the guest's were when
 * they were last the same, and the digest of its contents, for files that were written anew with the same contents.
 */
#include "agent_list.h"
#include "treeattr.h"

#include "base/blake2b.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/path.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define ASK_MS 120000
#define APPLY_MS 600000
#define DIGEST_PIECE (256 * 1024)

struct entry {
	char type;
	char *facts;  /* what identifies this state of it; the host's: "MODE:SIZE:..." */
	char digest[2 * BLAKE2B_LEN + 1]; /* of the host's file; "" when it isn't known */
	char *target; /* of a link */
	uint32_t uid, gid;
	uint64_t size;
};
struct sync {
	struct agent_sync *o;
	struct map there;    /* path -> struct entry of the guest */
	struct map memory;   /* path -> "HOST|DIGEST|GUEST" of the last sync */
	struct map here;     /* path -> struct entry of the host */
	struct map changed;  /* path -> what is sent */
	const char *root;    /* of the host */
	bool absent;
};

static void entry_free(void *p)
{
	struct entry *e = p;

	free(e->facts);
	free(e->target);
	free(e);
}

static void sync_clear(struct sync *s)
{
	map_free(&s->there);
	map_free(&s->memory);
	map_free(&s->here);
	map_free(&s->changed);
}

static void take_listed(void *arg, const struct agent_listed *f)
{
	struct entry *e = xcalloc(1, sizeof(*e));

	*e = (struct entry){ .type = f->type, .facts = xstrndup(f->facts, f->facts_len), .target = xstrdup(f->target), .uid = f->uid, .gid = f->gid,
		.size = f->size };
	map_set(&((struct sync *)arg)->there, f->path, e);
}

static int list_guest(struct sync *s, struct agent *a, const char *dst, const char *stage, struct error **err)
{
	_cleanup_buf_ struct buf list = BUF_INIT;

	map_free(&s->there);
	s->there = (struct map){ .free_value = entry_free };
	return agent_list(a, dst, stage, &list, &s->absent, err) < 0 ? -1 : agent_list_each(&list, take_listed, s, err);
}

/* Digest of a file's attributes, to say that they are what they were. */
static uint32_t attrs_digest(int dir, const char *name)
{
	_cleanup_close_ int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	_cleanup_buf_ struct buf all = BUF_INIT;
	struct tree_attrs a = { 0 };
	uint8_t h[BLAKE2B_LEN];

	if (fd >= 0)
		tree_attrs_read(fd, &a);
	for (size_t i = 0; i < a.n; i++) {
		buf_addf(&all, "%s:%zu:", a.v[i].name, a.v[i].len);
		buf_add(&all, a.v[i].value, a.v[i].len);
	}
	tree_attrs_clear(&a);
	blake2b(buf_str(&all), all.len, h);
	return (uint32_t)h[0] << 24 | (uint32_t)h[1] << 16 | (uint32_t)h[2] << 8 | h[3];
}

/* Owner and attributes stand beside the mode where they travel: a file with others is another file, of the same bytes or not. */
static char *host_facts(const struct sync *s, int dir, const char *name, const struct stat *st)
{
	_cleanup_free_ char *owner = s->o->owner && !strcmp(s->o->owner, "keep") ? xasprintf("u%u.%u", st->st_uid, st->st_gid) : xstrdup("");
	_cleanup_free_ char *attrs = S_ISREG(st->st_mode) && tree_attrs_any(dir, name, 0) ? xasprintf("x%08x", attrs_digest(dir, name)) : xstrdup("");

	return xasprintf("%o%s%s:%lld:%" PRIu64 ":%" PRIu64 ":%lld.%09ld", (unsigned)st->st_mode, owner, attrs, (long long)st->st_size,
		(uint64_t)st->st_dev, (uint64_t)st->st_ino, (long long)st->st_ctim.tv_sec, st->st_ctim.tv_nsec);
}

static int scan(struct sync *s, int dir, const char *name, const char *path, struct error **err)
{
	_cleanup_closedir_ DIR *d = NULL;
	struct entry *e;
	struct stat st;
	int fd;

	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return error_errno(err, errno, "%s", *path ? path : name);
	e = xcalloc(1, sizeof(*e));
	e->type = S_ISREG(st.st_mode) ? 'f' : S_ISDIR(st.st_mode) ? 'd' : S_ISLNK(st.st_mode) ? 'l' : '?';
	e->facts = host_facts(s, dir, name, &st);
	e->size = (uint64_t)st.st_size;
	if (e->type == 'l') {
		char text[4096];
		ssize_t n = readlinkat(dir, name, text, sizeof(text) - 1);

		text[n > 0 ? n : 0] = '\0';
		e->target = xstrdup(text);
	}
	/* Files with several names are always sent: who is linked to whom must arrive whole. */
	if (e->type == 'f' && st.st_nlink > 1)
		e->type = 'h';
	map_set(&s->here, path, e);
	if (e->type != 'd')
		return 0;
	fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	d = fd < 0 ? NULL : fdopendir(fd);
	if (!d)
		return error_errno(err, errno, "%s", *path ? path : name);
	for (struct dirent *ent; (ent = readdir(d));) {
		_cleanup_free_ char *sub = xasprintf("%s%s%s", path, *path ? "/" : "", ent->d_name);

		if (strcmp(ent->d_name, ".") && strcmp(ent->d_name, "..") && scan(s, fd, ent->d_name, sub, err) < 0)
			return -1;
	}
	return 0;
}

/* "HOST|DIGEST|GUEST\tPATH\0"... */
static void read_memory(struct sync *s)
{
	const struct buf *b = s->o->memory;
	const char *p = b->data, *end = p + b->len;

	s->memory.free_value = free;
	while (p && p < end && memchr(p, 0, (size_t)(end - p))) {
		const char *tab = strchr(p, '\t');

		if (tab)
			map_set(&s->memory, tab + 1, xstrndup(p, (size_t)(tab - p)));
		p += strlen(p) + 1;
	}
}

/* Digest of a file's contents; left empty when it cannot be read. */
static void digest(const char *root, const char *path, struct entry *e)
{
	_cleanup_free_ char *full = *path ? path_join(root, path) : xstrdup(root);
	_cleanup_close_ int fd = open(full, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	_cleanup_buf_ struct buf all = BUF_INIT;
	uint8_t out[BLAKE2B_LEN];
	_cleanup_free_ char *piece = xmalloc(DIGEST_PIECE);
	ssize_t n;

	while (fd >= 0 && (n = read(fd, piece, DIGEST_PIECE)) > 0) {
		blake2b(piece, (size_t)n, (uint8_t *)buf_reserve(&all, BLAKE2B_LEN));
		all.len += BLAKE2B_LEN;
	}
	if (fd < 0 || n < 0)
		return;
	blake2b(buf_str(&all), all.len, out);
	for (size_t i = 0; i < BLAKE2B_LEN; i++)
		snprintf(e->digest + 2 * i, 3, "%02x", out[i]);
}

/* "MODE:SIZE": what two files of the same contents have in common. */
static size_t shared_facts(const char *facts)
{
	const char *colon = strchr(facts, ':');

	return (size_t)(strchr(colon + 1, ':') - facts);
}

/* Known: "HOST|DIGEST|GUEST". */
static bool same_file(const struct sync *s, const char *path, struct entry *here, const struct entry *there)
{
	const char *known = map_get(&s->memory, path), *dig = known ? strchr(known, '|') : NULL, *guest = dig ? strchr(dig + 1, '|') : NULL;
	size_t n = shared_facts(here->facts);

	if (!guest || strcmp(guest + 1, there->facts))
		return false;
	if (strlen(here->facts) == (size_t)(dig - known) && !strncmp(known, here->facts, (size_t)(dig - known))) {
		snprintf(here->digest, sizeof(here->digest), "%.*s", (int)(guest - dig - 1), dig + 1);
		return true;
	}
	/* Written anew: with the same bytes, or not. Unchanged contents keep the time that they had. */
	if (strncmp(known, here->facts, n + 1) || guest - dig - 1 != 2 * BLAKE2B_LEN)
		return false;
	digest(s->root, path, here);
	return *here->digest && !strncmp(here->digest, dig + 1, 2 * BLAKE2B_LEN);
}

static bool same(const struct sync *s, const char *path, struct entry *here)
{
	const struct entry *there = map_get(&s->there, path);

	if (!there)
		return false;
	if (here->type == 'd')
		return there->type == 'd';
	if (here->type == 'l')
		return there->type == 'l' && !strcmp(here->target, there->target);
	return here->type == 'f' && there->type == 'f' && same_file(s, path, here, there);
}

static void compare(struct sync *s)
{
	MAP_FOR(&s->here, it)
	{
		struct entry *e = it->value;

		s->o->files += e->type == 'f' || e->type == 'h';
		if (same(s, it->key, e))
			continue;
		map_set(&s->changed, it->key, it->value);
		if (e->type == 'f' || e->type == 'h') {
			s->o->sent++;
			s->o->bytes += e->size;
		}
	}
}

static bool protected_path(const struct sync *s, const char *path)
{
	for (size_t i = 0; s->o->keep && s->o->keep[i]; i++) {
		size_t n = strlen(s->o->keep[i]);

		while (n && s->o->keep[i][n - 1] == '/')
			n--;
		if (!strncmp(path, s->o->keep[i], n) && (path[n] == '/' || !path[n]))
			return true;
	}
	return false;
}

/* With delete: what the guest has and src has not. */
static bool surplus(const struct sync *s)
{
	if (!s->o->delete)
		return false;
	MAP_FOR(&s->there, it)
	if (!map_has(&s->here, it->key) && !protected_path(s, it->key))
		return true;
	return false;
}

static bool want(void *arg, const char *path, const struct stat *st)
{
	const struct sync *s = arg;

	return map_has(&s->changed, path);
}

/* What stays of the old folder, for --delete. */
static int keep_file(struct sync *s, struct error **err)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	_cleanup_close_ int fd = memfd_create("croft-keep", MFD_CLOEXEC);

	MAP_FOR(&s->here, it)
	buf_add(&b, it->key, strlen(it->key) + 1);
	for (size_t i = 0; s->o->keep && s->o->keep[i]; i++) {
		size_t n = strlen(s->o->keep[i]);

		while (n && s->o->keep[i][n - 1] == '/')
			n--;
		/* All below it, and the folders on the way to it. */
		buf_add(&b, s->o->keep[i], n);
		buf_add(&b, "/", 2);
		for (size_t k = 1; k < n; k++)
			if (s->o->keep[i][k] == '/') {
				buf_add(&b, s->o->keep[i], k);
				buf_addc(&b, '\0');
			}
	}
	if (fd < 0 || file_write_all(fd, b.data, b.len, "list of files", err) < 0 || lseek(fd, 0, SEEK_SET) < 0)
		return error_errno(err, errno, "list of files");
	return STEAL_FD(fd);
}

/* Beside dst, under a name that says what it is. */
static char *beside(const char *dst, const char *what)
{
	_cleanup_free_ char *dir = path_dirname(dst);

	return xasprintf("%s/.croft-%s-%s", strcmp(dir, "/") ? dir : "", what, path_basename(dst));
}

static char *old_path(const char *dst)
{
	return beside(dst, "old");
}

/* One of the guest program's own verbs; its status, or -1. */
static int guest_verb(struct agent *a, const char *const *argv, struct error **err)
{
	_cleanup_buf_ struct buf said = BUF_INIT;
	struct agent_exec x = AGENT_EXEC_INIT;
	int status = 0;

	x.argv = argv;
	x.err = &said;
	x.timeout_ms = APPLY_MS;
	if (agent_exec(a, &x, &status, err) < 0)
		return -1;
	return status == 0 || status == 3 ? status : error_set(err, ERR_FAILED, "%s: %s", argv[2], buf_str(&said));
}

static int apply(struct sync *s, struct agent *a, const char *stage, const char *dst, struct error **err)
{
	const char *argv[8] = { "croft-guest", "--sync-apply", stage, dst };
	_cleanup_free_ char *old = old_path(dst);
	size_t n = 4;
	_cleanup_close_ int keep = s->o->delete ? keep_file(s, err) : -1;
	_cleanup_buf_ struct buf said = BUF_INIT;
	struct agent_exec x = AGENT_EXEC_INIT;
	int status = 0;

	if (s->o->delete && keep < 0)
		return -1;
	if (s->o->delete)
		argv[n++] = "--delete";
	if (s->o->keep_old) {
		argv[n++] = "--old";
		argv[n++] = old;
	}
	x.argv = argv;
	x.in_fd = keep;
	x.err = &said;
	x.timeout_ms = APPLY_MS;
	if (agent_exec(a, &x, &status, err) < 0)
		return error_wrap(err, "sync %s", dst);
	return status ? error_set(err, ERR_FAILED, "sync %s: %s", dst, buf_str(&said)) : 0;
}

static void remember(struct sync *s)
{
	buf_clear(s->o->memory);
	MAP_FOR(&s->here, it)
	{
		const struct entry *there = map_get(&s->there, it->key);
		struct entry *e = it->value;

		if (!there || e->type != 'f')
			continue;
		if (!*e->digest)
			digest(s->root, it->key, e);
		buf_addf(s->o->memory, "%s|%s|%s\t%s", e->facts, e->digest, there->facts, it->key);
		buf_addc(s->o->memory, '\0');
	}
}

static int send_changes(struct sync *s, struct agent *a, const char *src, const char *dst, const char *stage, struct error **err)
{
	const struct entry *root = map_get(&s->there, ""), *own = map_get(&s->here, "");
	_cleanup_free_ char *owner = s->o->owner ? xstrdup(s->o->owner)
				     : root	 ? xasprintf("%u:%u", root->uid, root->gid)
						 : xstrdup("0:0");
	struct agent_copy c = AGENT_COPY_INIT;
	bool folder = own->type == 'd';

	c.owner = owner;
	c.progress = s->o->progress;
	c.arg = s->o->arg;
	c.want = folder ? want : NULL;
	c.want_arg = s;
	if (!folder) {
		_cleanup_free_ char *old = old_path(dst);

		if (s->o->keep_old && guest_verb(a, (const char *const[]){ "croft-guest", "--sync-keep", dst, old, NULL }, err) < 0)
			return -1;
		return agent_push(a, src, dst, &c, err);
	}
	return agent_push(a, src, stage, &c, err) < 0 || apply(s, a, stage, dst, err) < 0 ? -1 : 0;
}

int agent_sync(struct agent *a, const char *src, const char *dst, struct agent_sync *o, struct error **err)
{
	_cleanup_free_ char *clean = xstrdup(dst), *stage = NULL, *real = realpath(src, NULL);
	struct sync s = { .o = o, .here = { .free_value = entry_free } };
	const struct entry *own, *there;
	int rc = -1;

	o->files = o->sent = o->bytes = 0;
	o->changed = false;
	if (!real)
		return error_errno(err, errno, "%s", src);
	s.root = real;
	for (size_t n = strlen(clean); n > 1 && clean[n - 1] == '/'; n--)
		clean[n - 1] = '\0';
	if (clean[0] != '/' || !clean[1])
		return error_set(err, ERR_USAGE, "%s: the target must be an absolute path other than /", dst);
	stage = beside(clean, "sync");
	if (list_guest(&s, a, clean, stage, err) == 0 && scan(&s, AT_FDCWD, real, "", err) == 0) {
		own = map_get(&s.here, "");
		there = map_get(&s.there, "");
		if (own->type != 'd' && there && there->type == 'd') {
			/* A file for a folder goes into it, under its own name. */
			_cleanup_free_ char *inside = path_join(clean, path_basename(real));

			sync_clear(&s);
			return agent_sync(a, src, inside, o, err);
		}
		read_memory(&s);
		compare(&s);
		rc = 0;
		o->changed = s.changed.len || s.absent || surplus(&s);
		if (o->changed) {
			rc = send_changes(&s, a, real, clean, stage, err);
			if (rc == 0)
				rc = list_guest(&s, a, clean, NULL, err);
			if (rc == 0)
				remember(&s);
		}
	}
	sync_clear(&s);
	return rc;
}

/* Where a sync of src to dst has put it, as agent_sync chooses it; and what it has kept there. */
static int places(struct agent *a, const char *src, const char *dst, char **path, char **old, struct error **err)
{
	_cleanup_free_ char *clean = xstrdup(dst);
	struct agent_exec x = AGENT_EXEC_INIT;
	int status = 1;

	for (size_t n = strlen(clean); n > 1 && clean[n - 1] == '/'; n--)
		clean[n - 1] = '\0';
	x.argv = (const char *const[]){ "test", "-d", clean, NULL };
	x.timeout_ms = ASK_MS;
	if (!file_is_dir(src) && agent_exec(a, &x, &status, err) < 0)
		return -1;
	*path = status ? STEAL(clean) : path_join(clean, path_basename(src));
	*old = old_path(*path);
	return 0;
}

int agent_sync_back(struct agent *a, const char *src, const char *dst, struct error **err)
{
	_cleanup_free_ char *path = NULL, *old = NULL;
	int rc = places(a, src, dst, &path, &old, err);

	if (rc == 0)
		rc = guest_verb(a, (const char *const[]){ "croft-guest", "--sync-back", old, path, NULL }, err);
	return rc < 0 ? -1 : rc == 0;
}

/* "MODE UID GID SIZE MTIME CTIME INO": are they the same but for CTIME, which another name of the file that went has changed? */
static bool same_but_ctime(const char *a, const char *b)
{
	for (int field = 0; field < 8; field++) {
		size_t n = strcspn(a, " "), m = strcspn(b, " ");

		if (field != 6 && (n != m || strncmp(a, b, n)))
			return false;
		a += n + (a[n] == ' ');
		b += m + (b[m] == ' ');
	}
	return !*a && !*b;
}

/* What stayed in its place had a second name in the old folder: with that one gone its state is another, its contents are not. */
static int remember_again(struct agent *a, const char *dst, struct buf *memory, struct error **err)
{
	struct agent_sync o = { .memory = memory };
	struct sync s = { .o = &o };
	_cleanup_buf_ struct buf now = BUF_INIT;
	int rc;

	read_memory(&s);
	rc = list_guest(&s, a, dst, NULL, err);
	MAP_FOR(&s.memory, it)
	{
		const char *known = it->value, *guest = strrchr(known, '|');
		const struct entry *there = map_get(&s.there, it->key);
		bool moved = guest && there && same_but_ctime(guest + 1, there->facts);

		buf_addf(&now, "%.*s%s\t%s", moved ? (int)(guest + 1 - known) : (int)strlen(known), known, moved ? there->facts : "", it->key);
		buf_addc(&now, '\0');
	}
	if (rc == 0) {
		buf_clear(memory);
		buf_add(memory, now.data, now.len);
	}
	sync_clear(&s);
	return rc;
}

int agent_sync_done(struct agent *a, const char *src, const char *dst, struct buf *memory, struct error **err)
{
	_cleanup_free_ char *path = NULL, *old = NULL;
	int rc = places(a, src, dst, &path, &old, err);

	if (rc == 0) /* a link that leads nowhere stands for: there was nothing before */
		rc = guest_verb(a, (const char *const[]){ "sh", "-c", "[ -e \"$0\" ] || [ -L \"$0\" ] || exit 3; rm -rf \"$0\"", old, NULL }, err);
	if (rc)
		return rc < 0 ? -1 : 0; /* 3: nothing was kept */
	return memory && memory->len ? remember_again(a, path, memory, err) : 0;
}
