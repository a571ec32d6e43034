/* SPDX-License-Identifier: Apache-2.0 */
#include "base/cleanup.h"
#include "base/file.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/mem.h"
#include "base/path.h"
#include "helper/helper.h"
#include "internal.h"
#include "pm/keep.h"
#include "qemu/qmp.h"
#include "snapint.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>

#define HELPER_MS 30000	 /* for croft-machine to start QEMU */
#define GREETING_MS 60000 /* for QEMU to make its devices, on a busy host */
#define SAID_MAX 65536

char *machine_snap_path(const struct machine *m, size_t index)
{
	return xasprintf("%s/run/snap-%zu.qcow2", m->dir, index);
}

/* The helper's stdout ends when QEMU runs, or when it does not; what it said is why. */
static int hear_helper(struct proc *p, struct buf *said, struct error **err)
{
	uint64_t end = loop_now() + HELPER_MS * 1000000ull;

	for (;;) {
		struct pollfd f = { .fd = p->out, .events = POLLIN };
		uint64_t now = loop_now();
		ssize_t n;
		int r = now >= end ? 0 : poll(&f, 1, (int)((end - now) / 1000000) + 1);

		if (r < 0 && errno == EINTR)
			continue;
		if (r <= 0)
			return error_set(err, ERR_TIMEOUT, "croft-machine has not started QEMU in %d s", HELPER_MS / 1000);
		n = read(p->out, buf_reserve(said, 4096), 4096);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return 0;
		said->len += (size_t)n;
		said->data[said->len] = '\0';
		if (said->len > SAID_MAX)
			return error_set(err, ERR_FAILED, "croft-machine says too much: %.200s", said->data);
	}
}

/* Killed, it is started again by pm, to take its QEMU back. */
static void keep_helper(const struct machine *m)
{
	_cleanup_free_ char *unit = xasprintf("machine/%s", m->name);
	const char *args[] = { "--again", m->dir, NULL };
	struct proc_id id;

	if (machine_helper(m, &id))
		pm_keep(unit, &id, "croft-machine", args);
}

int machine_spawn_helper(const struct machine *m, bool adopt, struct error **err)
{
	_cleanup_free_ char *exe = path_libexec("croft-machine", err);
	const char *argv[4] = { exe, m->dir };
	_cleanup_proc_ struct proc p = PROC_INIT;
	_cleanup_buf_ struct buf said = BUF_INIT;
	int status = 0;

	if (!exe)
		return -1;
	if (adopt) {
		argv[1] = "--adopt";
		argv[2] = m->dir;
	}
	/* Its own session and no working directory of ours: it outlives this command. */
	if (proc_spawn(&(struct proc_opts){ .argv = argv, .cwd = "/", .out = PROC_PIPE, .detach = true }, &p, err) < 0 ||
		hear_helper(&p, &said, err) < 0)
		return -1;
	if (!said.len) {
		/* It may have died without a word. */
		if (waitpid(p.pid, &status, WNOHANG) != p.pid || !status) {
			keep_helper(m);
			return 0;
		}
		return error_set(err, ERR_FAILED, "croft-machine %s before it had started QEMU", proc_status_text(status));
	}
	if (proc_wait(&p, 5000, &status, err) < 0)
		return -1;
	return error_set(err, WIFEXITED(status) && WEXITSTATUS(status) ? (enum error_class)WEXITSTATUS(status) : ERR_FAILED,
		"%s", said.data);
}

int machine_ensure_helper(const struct machine *m, struct error **err)
{
	struct proc_id id;

	/* The pid file of QEMU is only there while it runs, or when nobody saw its end. */
	if (!machine_qemu(m, &id) || machine_helper(m, &id))
		return 0;
	log_debug("machine %s: its helper is gone, starting another one", m->name);
	if (machine_spawn_helper(m, true, err) < 0) {
		/* Another command was quicker. */
		if ((*err)->cls == ERR_STATE && machine_helper(m, &id)) {
			error_clear(err);
			return 0;
		}
		return error_wrap(err, "machine %s: cannot take back its QEMU", m->name);
	}
	return 0;
}

/* The run with the CD to install from is over when one has ended by itself and well; until then the CD stays in. */
static int settle_first_run(const struct machine *m, struct error **err)
{
	_cleanup_free_ char *mark = machine_path(m, "first-run"), *killed = machine_path(m, "run/killed"), *end = machine_last_end(m);
	_cleanup_buf_ struct buf b = BUF_INIT;

	if (!file_exists(mark))
		return 0;
	if (file_read(mark, 64, &b, err) < 0)
		return -1;
	if (!strcmp(b.data, "started") && end && !strcmp(end, "exited with status 0") && !file_exists(killed))
		return file_unlink(mark, err);
	return file_write(mark, "started", 7, 0600, err);
}

int machine_clean_run(const struct machine *m, struct error **err)
{
	static const char *const stale[] = { "run/qemu.pid", "run/helper.pid", "run/ready", "run/paused", "run/killed", "run/status",
		"run/cwd", "run/way-agent.sock" };
	_cleanup_free_ char *run = machine_path(m, "run"), *log = machine_path(m, "log");

	if (file_mkdirs(run, 0700, err) < 0 || file_mkdirs(log, 0700, err) < 0)
		return -1;
	for (size_t i = 0; i < ARRAY_SIZE(stale); i++) {
		_cleanup_free_ char *path = machine_path(m, stale[i]);

		if (file_unlink(path, err) < 0)
			return -1;
	}
	for (size_t i = 0; i < HELPER_SIDES_MAX; i++) {
		_cleanup_free_ char *name = xasprintf("run/side-%zu", i), *path = machine_path(m, name);

		if (file_unlink(path, err) < 0)
			return -1;
	}
	return 0;
}

static int make_snaps(const struct machine *m, struct error **err)
{
	for (size_t i = 0; i < m->def.ndisks; i++) {
		_cleanup_free_ char *disk = machine_disk_path(m, i), *snap = machine_snap_path(m, i);

		if (!m->def.disks[i].snapshot || !file_exists(disk))
			continue;
		if (file_unlink(snap, err) < 0 || machine_make_overlay(snap, disk, "qcow2", 0, err) < 0)
			return error_wrap(err, "disk %zu", i);
	}
	return 0;
}

static int write_argv(const struct machine *m, const struct machine_start_opts *o, struct error **err)
{
	_cleanup_free_ char *path = machine_path(m, "run/argv"), *cwd = machine_path(m, "run/cwd");
	_cleanup_strv_ struct strv argv = STRV_INIT;
	_cleanup_buf_ struct buf b = BUF_INIT;

	if (machine_qemu_argv(m, o ? o->accel : NULL, &argv, err) < 0)
		return -1;
	if (o && o->paused)
		strv_add(&argv, "-S");
	for (size_t i = 0; i < argv.len; i++)
		buf_add(&b, argv.v[i], strlen(argv.v[i]) + 1);
	if (m->def.workdir && file_write(cwd, m->def.workdir, strlen(m->def.workdir), 0600, err) < 0)
		return -1;
	return machine_write_sides(m, err) < 0 ? -1 : file_write(path, b.data, b.len, 0600, err);
}

/* QEMU runs when its monitor greets. One that dies before has said why. */
static int await_greeting(const struct machine *m, struct error **err)
{
	_cleanup_free_ char *sock = machine_path(m, "run/qmp.sock");
	_cleanup_error_ struct error *why = NULL;
	_cleanup_qmp_ struct qmp *q = qmp_connect(sock, GREETING_MS, &why);
	_cleanup_free_ char *end = NULL;
	struct proc_id id;

	if (q)
		return 0;
	if (why->cls == ERR_TIMEOUT) {
		if (machine_qemu(m, &id))
			kill(id.pid, SIGKILL);
		error_set(err, ERR_TIMEOUT, "machine %s: QEMU has not come up in %d s", m->name, GREETING_MS / 1000);
		machine_wait_end(m, 10000);
		machine_explain(m, err);
		return -1;
	}
	machine_wait_end(m, 10000);
	end = machine_last_end(m);
	error_set(err, ERR_FAILED, "machine %s: QEMU %s", m->name, end ? end : why->msg);
	machine_explain(m, err);
	return -1;
}

static int mark_paused(const struct machine *m, struct error **err)
{
	_cleanup_free_ char *path = machine_path(m, "run/paused");

	return file_write(path, "", 0, 0600, err);
}

int machine_start_locked(struct machine *m, const struct machine_start_opts *o, bool *already, struct error **err)
{
	struct proc_id id;

	if (machine_qemu(m, &id)) {
		*already = true;
		return machine_ensure_helper(m, err);
	}
	/* A helper that is still tidying up after the last run is done in a moment. */
	machine_wait_end(m, 5000);
	machine_kill_unseen(m);
	if (settle_first_run(m, err) < 0 || machine_clean_run(m, err) < 0 || machine_check_host(m, err) < 0 || machine_check_ports(&m->def, err) < 0 || make_snaps(m, err) < 0 || machine_write_seed(m, err) < 0 ||
		write_argv(m, o, err) < 0 || (o && o->paused && mark_paused(m, err) < 0) ||
		machine_spawn_helper(m, false, err) < 0)
		return error_wrap(err, "machine %s", m->name);
	return await_greeting(m, err);
}

int machine_start(struct machine *m, const struct machine_start_opts *o, bool *already, struct error **err)
{
	_cleanup_close_ int lock = m->def.host ? -1 : machine_lock(m, err);
	bool was = false;

	if (m->def.host)
		return machine_real_start(m, already, err);
	if (lock < 0 || snap_recover_locked(m, err) < 0 || machine_start_locked(m, o, &was, err) < 0)
		return -1;
	if (already)
		*already = was;
	return 0;
}
