/* SPDX-License-Identifier: Apache-2.0 */
#include "image/bootstrap.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/intr.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/proc.h"

#include <errno.h>
#include <poll.h>
#include <pwd.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>

#define END_MS 60000 /* for mmdebstrap to tidy up */
#define BLOCK ((size_t)256 << 10)
#define LOG_KEPT ((size_t)16 << 10)

struct run {
	struct proc p;
	struct progress *progress;
	struct buf log; /* the last of stderr */
	char *block;
	struct error **err;
	bool broken; /* *err is set */
};

/* ---- what the host must have ---- */

static bool user_namespaces(void)
{
	int status;
	pid_t pid = fork();

	if (pid == 0)
		_exit(unshare(CLONE_NEWUSER) < 0);
	while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return pid > 0 && status == 0;
}

/* Does /etc/subuid give this user other ids (subuid(5))? */
static bool has_subids(const char *file)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	_cleanup_error_ struct error *e = NULL;
	_cleanup_strv_ struct strv lines = STRV_INIT;
	struct passwd *pw = getpwuid(getuid());
	_cleanup_free_ char *by_name = xasprintf("%s:", pw ? pw->pw_name : "?"), *by_id = xasprintf("%u:", (unsigned)getuid());

	if (file_read(file, 1 << 20, &b, &e) < 0)
		return false;
	strv_split(&lines, buf_str(&b), "\n");
	for (size_t i = 0; i < lines.len; i++)
		if (!strncmp(lines.v[i], by_name, strlen(by_name)) || !strncmp(lines.v[i], by_id, strlen(by_id)))
			return true;
	return false;
}

static int check_program(const char *name, const char *package, struct error **err)
{
	_cleanup_free_ char *path = path_find_program(name);

	if (path)
		return 0;
	error_set(err, ERR_NOT_FOUND, "%s: is needed to make a Debian image, and is not on this host", name);
	return error_hint(err, "install package %s", package);
}

int bootstrap_check(struct error **err)
{
	if (check_program("mmdebstrap", "mmdebstrap", err) < 0 || check_program("mke2fs", "e2fsprogs", err) < 0 ||
		check_program("mkfs.vfat", "dosfstools", err) < 0 || check_program("mcopy", "mtools", err) < 0 ||
		check_program("qemu-img", "qemu-utils", err) < 0)
		return -1;
	if (geteuid() == 0)
		return 0;
	if (check_program("newuidmap", "uidmap", err) < 0)
		return -1;
	if (!has_subids("/etc/subuid") || !has_subids("/etc/subgid")) {
		error_set(err, ERR_FAILED, "/etc/subuid, /etc/subgid: give no further ids to this user, and unpacking packages "
			"without root needs them");
		return error_hint(err, "as root: usermod --add-subuids 100000-165535 --add-subgids 100000-165535 USER");
	}
	if (!user_namespaces()) {
		error_set(err, ERR_FAILED, "this kernel gives ordinary users no user namespaces, and unpacking packages without root "
			"needs them");
		return error_hint(err, "run as root, or allow them: sysctl kernel.unprivileged_userns_clone=1 "
			"(Ubuntu: kernel.apparmor_restrict_unprivileged_userns=0)");
	}
	return 0;
}

/* ---- the run ---- */

/* mmdebstrap says on stderr what it does, a line each ("I: installing ..."). */
static void take_log(struct run *r, const char *p, size_t n)
{
	const char *end, *start;

	buf_add(&r->log, p, n);
	if (r->log.len > 2 * LOG_KEPT)
		buf_consume(&r->log, r->log.len - LOG_KEPT);
	end = memrchr(r->log.data, '\n', r->log.len);
	if (!end)
		return;
	start = memrchr(r->log.data, '\n', (size_t)(end - r->log.data));
	start = start ? start + 1 : r->log.data;
	if (end - start > 3 && !strncmp(start, "I: ", 3))
		progress_state(r->progress, "%.*s", (int)(end - start - 3), start + 3);
}

/* Waits for the tar stream, keeps stderr flowing meanwhile. */
static la_ssize_t next_block(struct archive *ar, void *arg, const void **block)
{
	struct run *r = arg;
	char text[4096];

	*block = r->block;
	for (;;) {
		struct pollfd f[2] = { { .fd = r->p.out, .events = POLLIN }, { .fd = r->p.err, .events = POLLIN } };
		ssize_t n;

		if (poll(f, 2, -1) < 0 && errno == EINTR) {
			if (intr_check(r->err) == 0)
				continue;
			r->broken = true;
			archive_set_error(ar, EINTR, "interrupted");
			return -1;
		}
		if (f[1].revents) {
			n = read(r->p.err, text, sizeof(text));
			if (n > 0)
				take_log(r, text, (size_t)n);
			else if (n == 0 || errno != EINTR)
				close(STEAL_FD(r->p.err));
		}
		if (f[0].revents) {
			n = read(r->p.out, r->block, BLOCK);
			if (n >= 0 || errno != EINTR)
				return n;
		}
	}
}

static int each_entry(struct run *r, bootstrap_entry_fn *entry, void *arg, struct error **err)
{
	struct archive *ar = archive_read_new();
	struct archive_entry *e;
	int rc = ARCHIVE_OK;

	archive_read_support_format_tar(ar);
	archive_read_support_format_empty(ar);
	rc = archive_read_open(ar, r, NULL, next_block, NULL);
	while (rc == ARCHIVE_OK && !r->broken) {
		rc = archive_read_next_header(ar, &e);
		if (rc == ARCHIVE_WARN)
			rc = ARCHIVE_OK;
		if (rc == ARCHIVE_OK && entry(arg, ar, e, err) < 0)
			r->broken = true;
	}
	if (rc != ARCHIVE_EOF && rc != ARCHIVE_OK && !r->broken) {
		error_set(err, ERR_FAILED, "mmdebstrap's archive: %s", archive_error_string(ar));
		r->broken = true;
	}
	archive_read_free(ar);
	return r->broken ? -1 : 0;
}

/*
 * Its children are in its process group: all are told, and it waits for them and removes its folder. That takes longer than
 * the program's patience with an interruption (an alarm) and must not be broken off by a second Ctrl-C: where we have no
 * privileges we could not remove what is left.
 */
static void end_early(struct run *r)
{
	_cleanup_error_ struct error *ignored = NULL;
	sigset_t block, old;
	int status;

	cleanup_close(&r->p.out);
	r->p.out = -1;
	if (r->p.pid <= 0)
		return;
	alarm(0);
	sigemptyset(&block);
	sigaddset(&block, SIGINT);
	sigaddset(&block, SIGTERM);
	sigaddset(&block, SIGHUP);
	sigprocmask(SIG_BLOCK, &block, &old);
	progress_state(r->progress, "ending mmdebstrap, which removes its files");
	kill(-r->p.pid, SIGTERM);
	proc_wait(&r->p, END_MS, &status, &ignored);
	while (sigtimedwait(&block, NULL, &(struct timespec){ 0 }) > 0)
		; /* the second Ctrl-C, which would end us before the caller has tidied up */
	sigprocmask(SIG_SETMASK, &old, NULL);
}

/* The first line that tells of an error is the cause, later ones are its consequences. */
static int explain(struct run *r, const struct bootstrap *b, int status, struct error **err)
{
	_cleanup_free_ char *path = path_join(b->cache, "log"), *why = NULL;
	_cleanup_error_ struct error *ignored = NULL;
	const char *text = buf_str(&r->log), *p = strstr(text, "\nE: ");

	why = p ? xstrndup(p + 4, strcspn(p + 4, "\n")) : xstrdup(proc_status_text(status));
	error_set(err, ERR_FAILED, "mmdebstrap: %s", why);
	if (file_write(path, text, r->log.len, 0600, &ignored) == 0)
		error_hint(err, "the last of what it said is in %s", path);
	return -1;
}

static int finish(struct run *r, const struct bootstrap *b, struct error **err)
{
	char rest[4096];
	ssize_t n;
	int status;

	while (r->p.err >= 0 && ((n = read(r->p.err, rest, sizeof(rest))) > 0 || (n < 0 && errno == EINTR)))
		if (n > 0)
			take_log(r, rest, (size_t)n);
	if (proc_wait(&r->p, -1, &status, err) < 0)
		return -1;
	return status == 0 ? 0 : explain(r, b, status, err);
}

/* mmdebstrap splits these hooks into words as a shell would, without being one. */
static char *quoted(const char *path)
{
	_cleanup_buf_ struct buf b = BUF_INIT;

	for (; *path; path++) {
		if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-", *path))
			buf_addc(&b, '\\');
		buf_addc(&b, *path);
	}
	return buf_steal(&b);
}

/*
 * Packages and indexes travel through folders of the cache: mmdebstrap copies them in before, and out after the last install,
 * without those that the archive has no longer.
 */
static void cache_options(struct strv *argv, const struct bootstrap *b)
{
	_cleanup_free_ char *cache = quoted(b->cache);

	strv_add(argv, "--setup-hook=mkdir -p \"$1/var/cache/apt/archives\" \"$1/var/lib/apt/lists\"");
	strv_addf(argv, "--setup-hook=sync-in %s/archives /var/cache/apt/archives", cache);
	if (b->offline)
		strv_addf(argv, "--setup-hook=sync-in %s/lists /var/lib/apt/lists", cache);
	strv_add(argv, "--customize-hook=APT_CONFIG=\"$MMDEBSTRAP_APT_CONFIG\" apt-get -q -y autoclean >&2");
	strv_addf(argv, "--customize-hook=sync-out /var/cache/apt/archives %s/archives.new", cache);
	strv_addf(argv, "--customize-hook=sync-out /var/lib/apt/lists %s/lists.new", cache);
	strv_add(argv, "--skip=download/empty");
	strv_add(argv, "--skip=essential/unlink");
	if (b->offline)
		strv_add(argv, "--skip=update");
}

/* before: folders to copy into. After a good run they take the place of the old ones; after a bad one they go. */
static int cache_folders(const struct bootstrap *b, bool before, bool keep, struct error **err)
{
	static const char *const names[] = { "archives", "lists" };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		_cleanup_free_ char *old = path_join(b->cache, names[i]), *new = xasprintf("%s.new", old);

		if (!keep && file_remove_tree(new, err) < 0)
			return -1;
		if (before && (file_mkdirs(old, 0755, err) < 0 || file_mkdirs(new, 0755, err) < 0))
			return -1;
		if (keep && (file_remove_tree(old, err) < 0 || file_rename(new, old, err) < 0))
			return -1;
	}
	return 0;
}

static int start(struct run *r, const struct bootstrap *b, struct error **err)
{
	_cleanup_free_ char *include = strv_join(b->packages, ","), *epoch = xasprintf("SOURCE_DATE_EPOCH=%lld", (long long)b->epoch);
	_cleanup_strv_ struct strv argv = STRV_INIT;
	const char *env[] = { epoch, "LC_ALL=C.UTF-8", NULL };
	struct proc_opts o = { .env = env, .out = PROC_PIPE, .err = PROC_PIPE };

	/*
	 * For root too in a namespace: /dev, /proc and /sys of the host are bound into the new root while packages are installed,
	 * and a mount that outlived a killed mmdebstrap would lead whoever clears up its folder into the host's own files.
	 */
	if (user_namespaces()) {
		strv_addv(&argv, (const char *const[]){ "mmdebstrap", "--mode=unshare", NULL });
	} else {
		strv_addv(&argv, (const char *const[]){ "unshare", "--mount", "--propagation", "private", "--", "mmdebstrap",
					 "--mode=root", NULL });
	}
	strv_add(&argv, "--format=tar");
	strv_add(&argv, "--variant=apt");
	strv_addf(&argv, "--architectures=%s", b->arch);
	strv_addf(&argv, "--include=%s", include);
	strv_add(&argv, "--aptopt=Acquire::Retries \"3\"");
	cache_options(&argv, b);
	if (b->setup)
		strv_addf(&argv, "--customize-hook=%s", b->setup);
	strv_add(&argv, b->release);
	strv_add(&argv, "-");
	for (size_t i = 0; i < b->sources->len; i++)
		strv_add(&argv, b->sources->v[i]);
	o.argv = (const char *const *)argv.v;
	return proc_spawn(&o, &r->p, err);
}

int bootstrap_run(const struct bootstrap *b, bootstrap_entry_fn *entry, void *arg, struct error **err)
{
	struct run r = { .p = PROC_INIT, .progress = b->progress, .err = err };
	_cleanup_error_ struct error *ignored = NULL;
	int rc = cache_folders(b, true, false, err);

	if (rc == 0)
		rc = start(&r, b, err);
	if (r.p.pid > 0) {
		r.block = xmalloc(BLOCK);
		rc = each_entry(&r, entry, arg, err);
		if (rc < 0)
			end_early(&r);
		else
			rc = finish(&r, b, err);
	}
	if (rc == 0)
		rc = cache_folders(b, false, true, err);
	else
		cache_folders(b, false, false, &ignored);
	proc_release(&r.p);
	buf_free(&r.log);
	free(r.block);
	return rc;
}
