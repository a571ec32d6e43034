/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/sshint.h"
#include "guest/tarup.h"

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/intr.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/proc.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#define BLOCK 32768
#define NO_TAR 97 /* status: the server's system has none */
#define SMALL_MS 60000

/* NULL: the server has no SFTP. */
static sftp_session sftp_of(struct ssh_client *c)
{
	if (c->sftp || c->no_sftp)
		return c->sftp;
	c->sftp = sftp_new(c->session);
	if (c->sftp && sftp_init(c->sftp) != SSH_OK) {
		sftp_free(c->sftp);
		c->sftp = NULL;
	}
	c->no_sftp = !c->sftp;
	return c->sftp;
}

static int sftp_fail(struct ssh_client *c, const char *path, struct error **err)
{
	int code = sftp_get_error(c->sftp);

	switch (code) {
	case SSH_FX_NO_SUCH_FILE:
	case SSH_FX_NO_SUCH_PATH:
		return error_set(err, ERR_NOT_FOUND, "%s: no such file or folder on %s", path, c->host);
	case SSH_FX_PERMISSION_DENIED:
		return error_set(err, ERR_FAILED, "%s: permission denied on %s for user %s", path, c->host, c->user);
	default:
		return error_set(err, ssh_is_connected(c->session) ? ERR_FAILED : ERR_STATE, "%s on %s: SFTP error %d: %s", path, c->host, code,
			ssh_get_error(c->session));
	}
}

static void quote(struct buf *b, const char *s)
{
	buf_addc(b, '\'');
	for (; *s; s++)
		buf_adds(b, *s == '\'' ? "'\\''" : (const char[]){ *s, 0 });
	buf_addc(b, '\'');
}

static void collect(void *arg, int stream, const void *p, size_t n)
{
	if (((struct buf *)arg)->len < 4096)
		buf_add(arg, p, n);
}

/* COMMAND 'path' in the server's shell. */
static int shell(struct ssh_client *c, const char *command, const char *path, const struct ssh_exec *x, struct error **err)
{
	_cleanup_buf_ struct buf line = BUF_INIT, said = BUF_INIT;
	struct ssh_exec y = *x;
	int status;

	buf_addf(&line, "%s ", command);
	quote(&line, path);
	if (!y.on_output) {
		y.on_output = collect;
		y.arg = &said;
	}
	if (ssh_client_exec(c, line.data, &y, &status, err) < 0)
		return -1;
	if (status == SSH_LOST)
		return error_set(err, ERR_STATE, "%s: the connection to %s broke", path, c->host);
	while (said.len && said.data[said.len - 1] == '\n')
		said.data[--said.len] = '\0';
	return status ? error_set(err, ERR_FAILED, "%s on %s: %s", path, c->host, said.len ? said.data : "the command failed") : 0;
}

static int set_mode(struct ssh_client *c, const char *path, int mode, struct error **err)
{
	_cleanup_free_ char *command = xasprintf("chmod %o", (unsigned)mode);

	if (!sftp_of(c))
		return shell(c, command, path, &(struct ssh_exec)SSH_EXEC_INIT, err);
	return sftp_chmod(c->sftp, path, (mode_t)mode) == SSH_OK ? 0 : sftp_fail(c, path, err);
}

/* ---- up ---- */

static int send_file(struct ssh_client *c, int fd, const char *dst, int mode, struct error **err)
{
	sftp_file f = sftp_open(c->sftp, dst, O_WRONLY | O_CREAT | O_TRUNC, (mode_t)mode);
	char block[BLOCK];
	ssize_t n;
	int rc = 0;

	if (!f)
		return sftp_fail(c, dst, err);
	while (rc == 0 && (n = read(fd, block, sizeof block)) != 0) {
		if (intr_check(err) < 0)
			rc = -1;
		else if (n < 0)
			rc = errno == EINTR ? 0 : error_errno(err, errno, "cannot read");
		else if (sftp_write(f, block, (size_t)n) != n)
			rc = sftp_fail(c, dst, err);
	}
	if (sftp_close(f) != SSH_OK && rc == 0)
		rc = sftp_fail(c, dst, err);
	return rc;
}

bool ssh_client_remove(struct ssh_client *c, const char *path)
{
	return sftp_of(c) && sftp_unlink(c->sftp, path) == SSH_OK;
}

int ssh_client_upload(struct ssh_client *c, const char *src, const char *dst, int mode, struct error **err)
{
	_cleanup_close_ int fd = open(src, O_RDONLY | O_CLOEXEC);
	struct ssh_exec x = SSH_EXEC_INIT;
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return error_errno(err, errno, "%s", src);
	mode = mode < 0 ? (int)(st.st_mode & 07777) : mode;
	if (sftp_of(c))
		return send_file(c, fd, dst, mode, err) < 0 ? -1 : set_mode(c, dst, mode, err);
	x.in_fd = fd;
	return shell(c, "cat >", dst, &x, err) < 0 ? -1 : set_mode(c, dst, mode, err);
}

static int make_dir(struct ssh_client *c, const char *path, struct error **err)
{
	struct ssh_exec x = SSH_EXEC_INIT;

	x.timeout_ms = SMALL_MS;
	return shell(c, "mkdir -p", path, &x, err);
}

static int make_link(struct ssh_client *c, const char *src, const char *dst, struct error **err)
{
	_cleanup_buf_ struct buf line = BUF_INIT;
	struct ssh_exec x = SSH_EXEC_INIT;
	char target[4096];
	ssize_t n = readlink(src, target, sizeof target - 1);

	if (n < 0)
		return error_errno(err, errno, "%s", src);
	target[n] = '\0';
	buf_adds(&line, "ln -sfn ");
	quote(&line, target);
	return shell(c, line.data, dst, &x, err);
}

/* One by one, for servers whose system has no tar. */
static int upload_each(struct ssh_client *c, const char *src, const char *dst, struct error **err)
{
	_cleanup_closedir_ DIR *d = opendir(src);
	const struct dirent *e;
	int rc = 0;

	if (!d)
		return error_errno(err, errno, "%s", src);
	if (make_dir(c, dst, err) < 0)
		return -1;
	while (rc == 0 && (e = readdir(d))) {
		_cleanup_free_ char *from = xasprintf("%s/%s", src, e->d_name), *to = xasprintf("%s/%s", dst, e->d_name);
		struct stat st;

		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
			continue;
		if (lstat(from, &st) < 0)
			rc = error_errno(err, errno, "%s", from);
		else if (S_ISDIR(st.st_mode))
			rc = upload_each(c, from, to, err);
		else if (S_ISLNK(st.st_mode))
			rc = make_link(c, from, to, err);
		else if (S_ISREG(st.st_mode))
			rc = ssh_client_upload(c, from, to, -1, err);
	}
	return rc;
}

/*
 * Through tar on both sides: a stream does not wait for an answer to each block, as SFTP does, which counts where the guest is slow to answer.
 */
int ssh_client_upload_tree(struct ssh_client *c, const char *src, const char *dst, struct error **err)
{
	struct proc_opts o = { .out = PROC_PIPE, .err = PROC_INHERIT };
	_cleanup_strv_ struct strv argv = STRV_INIT;
	_cleanup_buf_ struct buf line = BUF_INIT, said = BUF_INIT;
	_cleanup_proc_ struct proc p = PROC_INIT;
	struct ssh_exec x = SSH_EXEC_INIT;
	int status = 0, st;

	buf_addf(&line, "command -v tar >/dev/null || exit %d; mkdir -p ", NO_TAR);
	quote(&line, dst);
	buf_adds(&line, " && tar -xpof - -C ");
	quote(&line, dst);
	if (tarup_argv(src, &argv, err) < 0)
		return -1;
	o.argv = (const char *const *)argv.v;
	if (proc_spawn(&o, &p, err) < 0)
		return -1;
	x.in_fd = p.out;
	x.on_output = collect;
	x.arg = &said;
	if (ssh_client_exec(c, line.data, &x, &status, err) < 0)
		return -1;
	close(STEAL_FD(p.out));
	if (status == NO_TAR)
		return upload_each(c, src, dst, err);
	if (status == SSH_LOST)
		return error_set(err, ERR_STATE, "%s: the connection to %s broke", dst, c->host);
	while (said.len && said.data[said.len - 1] == '\n')
		said.data[--said.len] = '\0';
	if (status)
		return error_set(err, ERR_FAILED, "%s on %s: %s", dst, c->host, said.len ? said.data : "tar failed");
	if (proc_wait(&p, -1, &st, err) < 0)
		return -1;
	return st ? error_set(err, ERR_FAILED, "%s: tar: %s", src, proc_status_text(st)) : 0;
}

/* ---- down ---- */

struct sink {
	int fd;
	const char *path;
	struct error **err;
	int rc;
};

static void into_file(void *arg, int stream, const void *p, size_t n)
{
	struct sink *s = arg;

	if (stream == 1 && s->rc == 0)
		s->rc = file_write_all(s->fd, p, n, s->path, s->err);
}

static int receive(struct ssh_client *c, const char *src, struct sink *s, struct error **err)
{
	sftp_file f = sftp_open(c->sftp, src, O_RDONLY, 0);
	char block[BLOCK];
	ssize_t n;

	if (!f)
		return sftp_fail(c, src, err);
	while (s->rc == 0 && (n = sftp_read(f, block, sizeof block)) != 0) {
		if (n < 0)
			s->rc = sftp_fail(c, src, err);
		else if (intr_check(err) < 0)
			s->rc = -1;
		else
			into_file(s, 1, block, (size_t)n);
	}
	sftp_close(f);
	return s->rc;
}

int ssh_client_download(struct ssh_client *c, const char *src, const char *dst, struct error **err)
{
	_cleanup_free_ char *temp = xasprintf("%s.croft-part", dst);
	_cleanup_close_ int fd = open(temp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	struct ssh_exec x = SSH_EXEC_INIT;
	struct sink s = { .fd = fd, .path = temp, .err = err };
	int rc;

	if (fd < 0)
		return error_errno(err, errno, "%s", temp);
	x.on_output = into_file;
	x.arg = &s;
	rc = sftp_of(c) ? receive(c, src, &s, err) : shell(c, "cat", src, &x, err) < 0 ? -1 : s.rc;
	if (rc == 0)
		rc = file_rename(temp, dst, err);
	if (rc < 0)
		unlink(temp);
	return rc;
}

static int download_entry(struct ssh_client *c, const sftp_attributes a, const char *from, const char *to, struct error **err)
{
	char *target;
	int rc = 0;

	if (a->type == SSH_FILEXFER_TYPE_DIRECTORY)
		return ssh_client_download_tree(c, from, to, err);
	if (a->type == SSH_FILEXFER_TYPE_REGULAR)
		return ssh_client_download(c, from, to, err) < 0 ? -1 : chmod(to, a->permissions & 07777) < 0 ? error_errno(err, errno, "%s", to) : 0;
	if (a->type != SSH_FILEXFER_TYPE_SYMLINK)
		return 0;
	target = sftp_readlink(c->sftp, from);
	if (!target)
		return sftp_fail(c, from, err);
	if (symlink(target, to) < 0 && errno != EEXIST)
		rc = error_errno(err, errno, "%s", to);
	ssh_string_free_char(target);
	return rc;
}

int ssh_client_download_tree(struct ssh_client *c, const char *src, const char *dst, struct error **err)
{
	sftp_dir d;
	sftp_attributes a;
	int rc = 0;

	if (!sftp_of(c))
		return error_set(err, ERR_FAILED, "%s: a folder can only be fetched by SFTP, which %s does not have", src, c->host);
	d = sftp_opendir(c->sftp, src);
	if (!d)
		return sftp_fail(c, src, err);
	if (file_mkdirs(dst, 0777, err) < 0)
		rc = -1;
	while (rc == 0 && (a = sftp_readdir(c->sftp, d))) {
		/* a name with a slash would lead out of dst */
		if (strcmp(a->name, ".") && strcmp(a->name, "..") && !strchr(a->name, '/')) {
			_cleanup_free_ char *from = xasprintf("%s/%s", src, a->name), *to = xasprintf("%s/%s", dst, a->name);

			rc = download_entry(c, a, from, to, err);
		}
		sftp_attributes_free(a);
	}
	sftp_closedir(d);
	return rc;
}
