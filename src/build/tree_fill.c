/* SPDX-License-Identifier: Apache-2.0 */
/* What a root starts from, through the host's tar into its work folder; and the root as a tar. */
#include "build/tree.h"
#include "image/apt.h"
#include "image/bootstrap.h"
#include "image/export/root.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/path.h"

#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* tar reads on a thread's pipe what is written here. */
struct sack {
	struct tree *t;
	int in, out; /* of the pipe */
	pthread_t thread;
	struct error *err; /* tar's */
};

static void *unpack(void *arg)
{
	struct sack *s = arg;
	struct tree_exec x = TREE_EXEC_INIT;

	/* devices cannot be made without privileges, and /dev is the kernel's to fill */
	x.argv = (const char *const[]){ "tar", "--extract", "--file=-", "--numeric-owner", "--same-owner", "--same-permissions", "--xattrs",
		"--xattrs-include=security.*", "--xattrs-include=user.*", "--anchored", "--exclude=dev/*", "--exclude=./dev/*", "--warning=no-timestamp", NULL };
	x.outside = true;
	x.in = s->in;
	tree_run(s->t, &x, &s->err);
	close(STEAL_FD(s->in));
	return NULL;
}

static int sack_open(struct sack *s, struct tree *t, struct error **err)
{
	int fds[2];

	*s = (struct sack){ .t = t, .in = -1, .out = -1 };
	if (pipe2(fds, O_CLOEXEC) < 0)
		return error_errno(err, errno, "a pipe to tar");
	s->in = fds[0];
	s->out = fds[1];
	signal(SIGPIPE, SIG_IGN);
	errno = pthread_create(&s->thread, NULL, unpack, s);
	return errno ? error_errno(err, errno, "a thread for tar") : 0;
}

/* rc: how the writing has gone. What tar says is the cause when both have failed. */
static int sack_close(struct sack *s, int rc, struct error **err)
{
	if (s->out >= 0)
		close(STEAL_FD(s->out));
	pthread_join(s->thread, NULL);
	if (s->err && (rc == 0 || (*err)->code == EPIPE)) {
		error_clear(err);
		return error_move(err, &s->err);
	}
	error_clear(&s->err);
	return rc;
}

static int to_sack(void *arg, const void *p, size_t n, struct error **err)
{
	return file_write_all(((struct sack *)arg)->out, p, n, "tar", err);
}

/* ---- Debian ---- */

struct debian {
	struct sack sack;
	struct archive *out;
};

static int copy_entry(void *arg, struct archive *ar, struct archive_entry *e, struct error **err)
{
	struct debian *d = arg;
	char block[65536];
	la_ssize_t n = 0;

	if (archive_write_header(d->out, e) != ARCHIVE_OK)
		return error_set(err, ERR_FAILED, "tar: %s", archive_error_string(d->out));
	while (archive_entry_size(e) && (n = archive_read_data(ar, block, sizeof block)) > 0)
		if (archive_write_data(d->out, block, (size_t)n) != n)
			return error_set(err, ERR_FAILED, "tar: %s", archive_error_string(d->out));
	return n < 0 ? error_set(err, ERR_FAILED, "mmdebstrap's archive: %s", archive_error_string(ar)) : 0;
}

static int from_debian(struct tree *t, const struct tree_start *s, struct error **err)
{
	struct apt_source src;
	_cleanup_strv_ struct strv sources = STRV_INIT;
	_cleanup_free_ char *cache = NULL, *kept = NULL;
	struct debian d = { .out = archive_write_new() };
	struct bootstrap b;
	int rc = -1;

	apt_source_init(&src, s->mirror, s->release, "amd64", s->offline);
	strv_addf(&sources, "deb %s%s%s%s %s main", strcmp(src.keyring, APT_DEFAULT_KEYRING) ? "[signed-by=" : "",
		strcmp(src.keyring, APT_DEFAULT_KEYRING) ? src.keyring : "", strcmp(src.keyring, APT_DEFAULT_KEYRING) ? "] " : "", src.mirror, src.release);
	cache = path_cache("debian");
	kept = xasprintf("%s/root-%s-%s", cache, src.release, src.arch);
	b = (struct bootstrap){ .release = src.release, .arch = src.arch, .sources = &sources, .packages = s->packages, .cache = kept,
		.offline = s->offline, .epoch = 1, .progress = progress_start(src.release, 0, 0) };
	if (bootstrap_check(err) == 0 && file_mkdirs(kept, 0755, err) == 0 && sack_open(&d.sack, t, err) == 0) {
		archive_write_set_format_pax_restricted(d.out);
		archive_write_open_fd(d.out, d.sack.out);
		rc = bootstrap_run(&b, copy_entry, &d, err);
		if (rc == 0 && archive_write_close(d.out) != ARCHIVE_OK)
			rc = error_set(err, ERR_FAILED, "tar: %s", archive_error_string(d.out));
		rc = sack_close(&d.sack, rc, err);
	}
	progress_end(b.progress, rc == 0 ? "unpacked" : "failed");
	archive_write_free(d.out);
	apt_source_clear(&src);
	return rc;
}

/* ---- a folder, an archive, a disk ---- */

static int from_folder(struct tree *t, const char *path, struct error **err)
{
	/* without privileges what is there can only be the user's own, who is root inside */
	const char *owner = t->user ? "--owner=0" : "--numeric-owner", *group = t->user ? "--group=0" : "--numeric-owner";
	const char *argv[] = { "tar", "--create", "--file=-", owner, group, "--xattrs", "--one-file-system", "--sort=name", "--directory", path, ".", NULL };
	struct proc_opts o = { .argv = argv, .out = PROC_PIPE, .err = PROC_INHERIT };
	_cleanup_proc_ struct proc p = PROC_INIT;
	struct sack s = { .t = t };
	int st;

	if (proc_spawn(&o, &p, err) < 0)
		return -1;
	s.in = STEAL_FD(p.out);
	unpack(&s);
	if (s.err)
		return error_move(err, &s.err);
	if (proc_wait(&p, -1, &st, err) < 0)
		return -1;
	return st ? error_set(err, ERR_FAILED, "%s: tar: %s", path, proc_status_text(st)) : 0;
}

static int from_origin(struct tree *t, const char *what, struct error **err)
{
	static const struct root_filter all = { .as_is = true, .boot = true };
	_cleanup_origin_ struct origin from = { .fd = -1, .server = PROC_INIT };
	_cleanup_root_ struct root *r = NULL;
	struct sack s;

	if (origin_open(&from, what, err) < 0)
		return -1;
	r = root_open(&from, err);
	if (!r || sack_open(&s, t, err) < 0)
		return -1;
	return sack_close(&s, root_tar(r, &all, to_sack, &s, NULL, err), err);
}

int tree_fill(struct tree *t, const struct tree_start *s, struct error **err)
{
	/* libarchive takes names for text; in a locale without UTF-8 it would have none for "ü" */
	setlocale(LC_CTYPE, "C.UTF-8");
	if (s->release)
		return from_debian(t, s, err);
	return file_is_dir(s->root) ? from_folder(t, s->root, err) : from_origin(t, s->root, err);
}

int tree_tar(struct tree *t, const char *sub, const char *to, struct error **err)
{
	_cleanup_free_ char *temp = xasprintf("%s.new", to), *dir = xasprintf("./%s", sub ? sub : "");
	_cleanup_close_ int fd = open(temp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	struct tree_exec x = TREE_EXEC_INIT;

	if (fd < 0)
		return error_errno(err, errno, "%s", temp);
	x.argv = (const char *const[]){ "tar", "--create", "--file=-", "--numeric-owner", "--xattrs", "--one-file-system", "--sort=name", "--format=posix",
		"--pax-option=delete=atime,delete=ctime", "--anchored", "--exclude=./dev/*", "--exclude=./proc/*", "--exclude=./sys/*", "--exclude=./run/*",
		"--directory", dir, ".", NULL };
	x.outside = true;
	x.out = fd;
	if (tree_run(t, &x, err) < 0 || file_fsync(fd, temp, err) < 0 || file_rename(temp, to, err) < 0) {
		unlink(temp);
		return -1;
	}
	return 0;
}
