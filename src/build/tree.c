/* SPDX-License-Identifier: Apache-2.0 */
#include "build/tree.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "base/intr.h"
#include "base/loop.h"
#include "base/mem.h"
#include "base/path.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define TAIL ((size_t)4096)
#define OPTIONS_MAX 3900 /* mount(2) takes a page of them */

/*
 * In the namespaces: DIR LOWER OPTIONS WHERE CWD [FOLDER PLACE]... -- PROGRAM ARGS. WHERE is inside or outside. work/ready is made when nothing
 * of it has failed. /dev has the devices that programs need and none of this computer's disks.
 */
static const char enter[] =
	"set -e\n"
	"cd -- \"$1\"; lower=$2; options=$3; where=$4; cwd=$5; shift 5\n"
	"mount -t overlay croft -o \"lowerdir=$lower,upperdir=work/upper,workdir=work/work$options\" root\n"
	"while [ \"$1\" != -- ]; do\n"
	"	mkdir -p \"root/$2\"; mount --bind \"$1\" \"root/$2\"; mount -o remount,bind,ro \"root/$2\" 2>/dev/null || :; shift 2\n"
	"done\n"
	"shift\n"
	"if [ \"$where\" = outside ]; then : >work/ready; cd root; exec \"$@\"; fi\n"
	"mkdir -p root/dev root/proc root/sys root/run root/tmp\n"
	"mount -t tmpfs -o mode=755 dev root/dev\n"
	"for d in null zero full random urandom tty; do : >root/dev/$d; mount --bind /dev/$d root/dev/$d; done\n"
	"mkdir root/dev/pts root/dev/shm\n"
	"mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts root/dev/pts\n"
	"ln -s pts/ptmx root/dev/ptmx; ln -s /proc/self/fd root/dev/fd\n"
	"ln -s fd/0 root/dev/stdin; ln -s fd/1 root/dev/stdout; ln -s fd/2 root/dev/stderr\n"
	"mount -t proc proc root/proc 2>/dev/null || mount --rbind /proc root/proc\n"
	"mount --rbind /sys root/sys && mount -o remount,bind,ro root/sys || :\n"
	"mount -t tmpfs -o mode=755 run root/run\n"
	"if [ -s /etc/resolv.conf ] && [ -d root/etc ]; then\n"
	"	if [ -L root/etc/resolv.conf ]; then\n"
	"		mkdir -p root/run/systemd/resolve\n"
	"		cp /etc/resolv.conf root/run/systemd/resolve/resolv.conf\n"
	"		cp /etc/resolv.conf root/run/systemd/resolve/stub-resolv.conf\n"
	"	else\n"
	"		[ -e root/etc/resolv.conf ] || : >root/etc/resolv.conf\n"
	"		mount --bind /etc/resolv.conf root/etc/resolv.conf\n"
	"	fi\n"
	"fi\n"
	": >work/ready\n"
	"exec chroot root /bin/sh -c 'cd \"$0\" && exec \"$@\"' \"$cwd\" \"$@\"\n";

/* ---- folders ---- */

static char *layer_name(const char *key)
{
	return strcmp(key, "work") ? xstrndup(key, TREE_KEY) : xstrdup(key);
}

static char *layer_path(const struct tree *t, const char *key)
{
	_cleanup_free_ char *name = layer_name(key);

	return path_join(t->dir, name);
}

static int need(const char *program, const char *package, struct error **err)
{
	_cleanup_free_ char *path = path_find_program(program);

	if (path)
		return 0;
	error_set(err, ERR_NOT_FOUND, "%s: is needed to build a root, and is not on this host", program);
	return error_hint(err, "install package %s", package);
}

int tree_open(struct tree *t, const char *dir, struct error **err)
{
	static const char *const subs[] = { "root", "none" };

	*t = (struct tree){ .dir = xstrdup(dir), .user = geteuid() != 0 };
	if (need("unshare", "util-linux", err) < 0 || need("tar", "tar", err) < 0 || (t->user && need("newuidmap", "uidmap", err) < 0))
		return -1;
	for (size_t i = 0; i < ARRAY_SIZE(subs); i++) {
		_cleanup_free_ char *path = path_join(dir, subs[i]);

		if (file_mkdirs(path, 0755, err) < 0)
			return -1;
	}
	return 0;
}

void tree_close(struct tree *t)
{
	free(t->dir);
	strv_free(&t->below);
	strv_free(&t->binds);
	*t = (struct tree){ 0 };
}

bool tree_has(const struct tree *t, const char *key)
{
	_cleanup_free_ char *path = layer_path(t, key);

	return file_is_dir(path);
}

static void add_namespaces(const struct tree *t, bool network, struct strv *argv)
{
	strv_addv(argv, (const char *const[]){ "unshare", "--mount", "--pid", "--fork", "--kill-child", NULL });
	if (t->user)
		strv_addv(argv, (const char *const[]){ "--user", "--map-root-user", "--map-auto", NULL });
	if (!network)
		strv_add(argv, "--net");
	strv_add(argv, "--");
}

/* Files of other ids than ours can be removed in the user namespace alone. */
int tree_remove(struct tree *t, const char *key, struct error **err)
{
	_cleanup_free_ char *path = layer_path(t, key);
	_cleanup_strv_ struct strv argv = STRV_INIT;
	_cleanup_error_ struct error *e = NULL;

	if (!file_exists(path) || (!t->user && file_remove_tree(path, &e) == 0))
		return 0;
	add_namespaces(t, true, &argv);
	strv_addv(&argv, (const char *const[]){ "rm", "-rf", "--", path, NULL });
	return proc_run((const char *const *)argv.v, -1, NULL, NULL, err);
}

static int fresh_work(struct tree *t, struct error **err)
{
	static const char *const subs[] = { "work/upper", "work/work" };

	if (tree_remove(t, "work", err) < 0)
		return -1;
	for (size_t i = 0; i < ARRAY_SIZE(subs); i++) {
		_cleanup_free_ char *path = path_join(t->dir, subs[i]);

		if (file_mkdirs(path, 0755, err) < 0)
			return -1;
	}
	return 0;
}

int tree_begin(struct tree *t, const struct strv *keys, struct error **err)
{
	strv_free(&t->below);
	for (size_t i = 0; keys && i < keys->len; i++) {
		if (!tree_has(t, keys->v[i]))
			return error_set(err, ERR_STATE, "%s: the kept state %.16s is gone", t->dir, keys->v[i]);
		strv_take(&t->below, layer_name(keys->v[i]));
	}
	return fresh_work(t, err);
}

int tree_commit(struct tree *t, const char *key, struct error **err)
{
	_cleanup_free_ char *to = layer_path(t, key), *from = path_join(t->dir, "work");
	_cleanup_close_ int fd = open(t->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0 || syncfs(fd) < 0)
		return error_errno(err, errno, "%s", t->dir);
	if (tree_remove(t, key, err) < 0 || file_rename(from, to, err) < 0)
		return -1;
	strv_take(&t->below, layer_name(key));
	return fresh_work(t, err);
}

static _Thread_local uint64_t counted;

static int count(const char *path, const struct stat *st, int type, struct FTW *f)
{
	counted += (uint64_t)st->st_blocks * 512;
	return 0;
}

uint64_t tree_size(const struct tree *t, const char *key)
{
	_cleanup_free_ char *layer = layer_path(t, key), *path = path_join(layer, "upper");

	counted = 0;
	nftw(path, count, 32, FTW_PHYS | FTW_MOUNT);
	return counted;
}

/* ---- running ---- */

static char *lower_of(const struct tree *t)
{
	_cleanup_buf_ struct buf b = BUF_INIT;

	for (size_t i = t->below.len; i-- > 0;)
		buf_addf(&b, "%s/upper:", t->below.v[i]);
	buf_adds(&b, "none");
	return buf_steal(&b);
}

struct flow {
	const struct tree_exec *x;
	struct buf tail; /* of both streams */
	uint64_t end;	 /* loop_now() ns; 0: none */
};

static void take(struct flow *w, int stream, const char *p, size_t n)
{
	if (w->x->fn)
		w->x->fn(w->x->arg, stream, p, n);
	buf_add(&w->tail, p, n);
	if (w->tail.len > 2 * TAIL)
		buf_consume(&w->tail, w->tail.len - TAIL);
}

static int pump(struct flow *w, struct proc *p, struct error **err)
{
	struct pollfd fds[2] = { { .fd = p->out, .events = POLLIN }, { .fd = p->err, .events = POLLIN } };
	char block[16384];

	while (fds[0].fd >= 0 || fds[1].fd >= 0) {
		if (intr_check(err) < 0)
			return -1;
		if (w->end && loop_now() > w->end)
			return error_set(err, ERR_TIMEOUT, "it did not end in its time");
		if (poll(fds, 2, 200) <= 0)
			continue;
		for (int i = 0; i < 2; i++) {
			ssize_t n = fds[i].revents ? read(fds[i].fd, block, sizeof block) : -2;

			if (n > 0)
				take(w, i + 1, block, (size_t)n);
			else if (n != -2 && !(n < 0 && errno == EINTR))
				fds[i].fd = -1;
		}
	}
	return 0;
}

/* What runs there knows nothing of our own environment but the way to the network. */
static void add_environment(const struct tree_exec *x, struct strv *argv)
{
	static const char *const kept[] = { "http_proxy", "https_proxy", "no_proxy", "TERM", "SOURCE_DATE_EPOCH" };

	strv_addv(argv, (const char *const[]){ "env", "-i", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root",
				"USER=root", "LANG=C.UTF-8", NULL });
	for (size_t i = 0; i < ARRAY_SIZE(kept); i++)
		if (getenv(kept[i]))
			strv_addf(argv, "%s=%s", kept[i], getenv(kept[i]));
	if (x->env)
		strv_addv(argv, x->env);
}

static void add_arguments(const struct tree *t, const struct tree_exec *x, const char *lower, struct strv *argv)
{
	strv_addv(argv, (const char *const[]){ "sh", "-c", enter, "sh", t->dir, lower, t->user ? ",userxattr" : "", x->outside ? "outside" : "inside",
				x->cwd ? x->cwd : "/", NULL });
	for (size_t i = 0; i < t->binds.len; i++)
		strv_add(argv, t->binds.v[i]);
	strv_add(argv, "--");
	strv_addv(argv, x->argv);
}

static int spawn(struct tree *t, const struct tree_exec *x, const char *ready, struct proc *p, struct error **err)
{
	_cleanup_free_ char *lower = lower_of(t);
	_cleanup_strv_ struct strv argv = STRV_INIT;
	struct proc_opts o = { .in = x->in >= 0 ? PROC_FD : PROC_NULL, .in_fd = x->in, .out = x->out >= 0 ? PROC_FD : PROC_PIPE, .out_fd = x->out,
		.err = PROC_PIPE, .die_with_us = true };

	if (strlen(lower) > OPTIONS_MAX)
		return error_set(err, ERR_FAILED, "%zu layers are more than an overlay takes", t->below.len);
	if (x->tty) {
		o.in = o.out = o.err = PROC_INHERIT;
		o.same_group = true;
	}
	add_namespaces(t, !t->offline || x->outside, &argv);
	add_environment(x, &argv);
	add_arguments(t, x, lower, &argv);
	o.argv = (const char *const *)argv.v;
	return file_unlink(ready, err) < 0 ? -1 : proc_spawn(&o, p, err);
}

static int not_entered(struct tree *t, struct flow *w, struct error **err)
{
	const char *text = buf_str(&w->tail);

	error_set(err, ERR_FAILED, "%s: the root cannot be entered: %.*s", t->dir, (int)strcspn(text, "\n"), text);
	return error_hint(err, t->user ? "croft needs overlayfs in user namespaces (Linux 5.11) and ids in /etc/subuid and /etc/subgid" :
					 "croft needs the right to mount, which containers often take away");
}

static int run(struct tree *t, const struct tree_exec *x, struct flow *w, int *status, struct error **err)
{
	_cleanup_free_ char *ready = path_join(t->dir, "work/ready");
	_cleanup_proc_ struct proc p = PROC_INIT;
	int st = 0;

	if (spawn(t, x, ready, &p, err) < 0)
		return -1;
	w->end = x->timeout_ms < 0 ? 0 : loop_now() + (uint64_t)x->timeout_ms * 1000000;
	if ((!x->tty && pump(w, &p, err) < 0) || proc_wait(&p, -1, &st, err) < 0)
		return -1;
	*status = WIFSIGNALED(st) ? 128 + WTERMSIG(st) : WEXITSTATUS(st);
	return file_exists(ready) ? 0 : not_entered(t, w, err);
}

int tree_exec(struct tree *t, const struct tree_exec *x, int *status, struct error **err)
{
	struct flow w = { .x = x };
	int rc = run(t, x, &w, status, err);

	buf_free(&w.tail);
	return rc;
}

int tree_run(struct tree *t, const struct tree_exec *x, struct error **err)
{
	struct flow w = { .x = x };
	int status = 0, rc = run(t, x, &w, &status, err);

	if (rc == 0 && status) {
		while (w.tail.len && w.tail.data[w.tail.len - 1] == '\n')
			w.tail.data[--w.tail.len] = '\0';
		rc = error_set(err, ERR_FAILED, "%s: status %d%s%s", x->argv[0], status, w.tail.len ? ": " : "", w.tail.len ? buf_str(&w.tail) : "");
	}
	buf_free(&w.tail);
	return rc;
}
