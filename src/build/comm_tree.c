/* SPDX-License-Identifier: Apache-2.0 */
/* The communicator of roots that are built without a machine: programs run in the root itself. */
#include "build/tree.h"
#include "guest/tarup.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

struct tree_comm {
	struct comm c;
	struct tree *t;
};

static struct tree *tree_of(struct comm *c)
{
	return ((struct tree_comm *)c)->t;
}

static int run(struct comm *c, const char *command, comm_output *fn, void *arg, int timeout_ms, int *status, struct error **err)
{
	struct tree_exec x = TREE_EXEC_INIT;

	x.argv = (const char *const[]){ "/bin/sh", "-c", command, NULL };
	x.fn = fn;
	x.arg = arg;
	x.timeout_ms = timeout_ms;
	return tree_exec(tree_of(c), &x, status, err);
}

static int upload(struct comm *c, const char *src, const char *dst, int mode, struct error **err)
{
	_cleanup_close_ int fd = open(src, O_RDONLY | O_CLOEXEC);
	struct tree_exec x = TREE_EXEC_INIT;
	char perm[16];
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return error_errno(err, errno, "%s", src);
	snprintf(perm, sizeof perm, "%o", mode < 0 ? (unsigned)st.st_mode & 07777 : (unsigned)mode);
	x.argv = (const char *const[]){ "/bin/sh", "-c", "cat >\"$1\" && chmod \"$2\" \"$1\"", "sh", dst, perm, NULL };
	x.in = fd;
	return tree_run(tree_of(c), &x, err) < 0 ? error_wrap(err, "%s", dst) : 0;
}

/* Host's tar on one end, the root's on the other. */
static int upload_tree(struct comm *c, const char *src, const char *dst, struct error **err)
{
	struct proc_opts o = { .out = PROC_PIPE, .err = PROC_INHERIT };
	_cleanup_strv_ struct strv argv = STRV_INIT;
	_cleanup_proc_ struct proc p = PROC_INIT;
	struct tree_exec x = TREE_EXEC_INIT;
	int st, rc;

	if (tarup_argv(src, &argv, err) < 0)
		return -1;
	o.argv = (const char *const *)argv.v;
	if (proc_spawn(&o, &p, err) < 0)
		return -1;
	x.argv = (const char *const[]){ "/bin/sh", "-c", "mkdir -p \"$1\" && tar -xof - -C \"$1\"", "sh", dst, NULL };
	x.in = p.out;
	rc = tree_run(tree_of(c), &x, err);
	close(STEAL_FD(p.out));
	if (rc < 0)
		return error_wrap(err, "%s", dst);
	if (proc_wait(&p, -1, &st, err) < 0)
		return -1;
	return st ? error_set(err, ERR_FAILED, "%s: tar: %s", src, proc_status_text(st)) : 0;
}

static int download_file(struct tree *t, const char *src, const char *dst, struct error **err)
{
	_cleanup_free_ char *temp = xasprintf("%s.new", dst);
	_cleanup_close_ int fd = open(temp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	struct tree_exec x = TREE_EXEC_INIT;

	if (fd < 0)
		return error_errno(err, errno, "%s", temp);
	x.argv = (const char *const[]){ "/bin/sh", "-c", "exec cat \"$1\"", "sh", src, NULL };
	x.out = fd;
	if (tree_run(t, &x, err) < 0 || file_fsync(fd, temp, err) < 0 || file_rename(temp, dst, err) < 0) {
		unlink(temp);
		return error_wrap(err, "%s", src);
	}
	return 0;
}

static int download_tree(struct tree *t, const char *src, const char *dst, struct error **err)
{
	const char *argv[] = { "tar", "--extract", "--file=-", "--no-same-owner", "--directory", dst, NULL };
	struct proc_opts o = { .argv = argv, .in = PROC_PIPE, .err = PROC_INHERIT };
	_cleanup_proc_ struct proc p = PROC_INIT;
	struct tree_exec x = TREE_EXEC_INIT;
	int st, rc;

	if (file_mkdirs(dst, 0755, err) < 0 || proc_spawn(&o, &p, err) < 0)
		return -1;
	x.argv = (const char *const[]){ "/bin/sh", "-c", "exec tar -cf - -C \"$1\" .", "sh", src, NULL };
	x.out = p.in;
	rc = tree_run(t, &x, err);
	close(STEAL_FD(p.in));
	if (rc < 0)
		return error_wrap(err, "%s", src);
	if (proc_wait(&p, -1, &st, err) < 0)
		return -1;
	return st ? error_set(err, ERR_FAILED, "%s: tar: %s", dst, proc_status_text(st)) : 0;
}

static int download(struct comm *c, const char *src, const char *dst, struct error **err)
{
	return comm_is_dir(c, src) ? download_tree(tree_of(c), src, dst, err) : download_file(tree_of(c), src, dst, err);
}

static int renew(struct comm *c, int timeout_ms, struct error **err)
{
	return 0;
}

static int shell(struct comm *c, int *status, struct error **err)
{
	struct tree_exec x = TREE_EXEC_INIT;

	x.argv = (const char *const[]){ "/bin/sh", "-c", "command -v bash >/dev/null 2>&1 && exec bash -l; exec sh -l", NULL };
	x.tty = true;
	return tree_exec(tree_of(c), &x, status, err);
}

static void close_tree(struct comm *c)
{
	free(c);
}

struct comm *comm_tree(struct tree *t)
{
	static const struct comm_ops ops = { run, upload, upload_tree, download, renew, shell, close_tree, NULL };
	struct tree_comm *c = xcalloc(1, sizeof(*c));

	*c = (struct tree_comm){ .c = { .ops = &ops, .type = "root", .user = xstrdup("root"), .host = xstrdup("") }, .t = t };
	return &c->c;
}
