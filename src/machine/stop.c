/* SPDX-License-Identifier: Apache-2.0 */
#include "base/cleanup.h"
#include "base/file.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/mem.h"
#include "base/path.h"
#include "internal.h"
#include "qemu/qmp.h"

#include <dirent.h>
#include <errno.h>
#include <jansson.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define KILL_MS 20000
#define START_LOOK_MS 10
#define ASK_MS 5000
#define ARGV_MAX (4u << 20)

static int left_ms(uint64_t end)
{
	uint64_t now = loop_now();

	return now >= end ? 0 : (int)((end - now) / 1000000) + 1;
}

/* By pidfd: the process that is meant, or none. A pid could have become another's. */
static void kill_id(const struct proc_id *id)
{
	_cleanup_close_ int fd = proc_id_open(id);

	if (fd >= 0)
		syscall(SYS_pidfd_send_signal, fd, SIGKILL, NULL, 0);
}

/* The QEMU that was started with exactly these arguments in this folder (they hold the machine's name); 0: none. */
static pid_t find_by_argv(const char *run, const struct buf *argv)
{
	_cleanup_closedir_ DIR *d = opendir("/proc");

	for (struct dirent *e; d && (e = readdir(d));) {
		_cleanup_free_ char *cwd = xasprintf("/proc/%s/cwd", e->d_name), *cmdline = xasprintf("/proc/%s/cmdline", e->d_name);
		_cleanup_free_ char *is = atoi(e->d_name) > 0 ? realpath(cwd, NULL) : NULL, *want = is ? realpath(run, NULL) : NULL;
		_cleanup_buf_ struct buf b = BUF_INIT;
		_cleanup_error_ struct error *err = NULL;

		if (!is || !want || strcmp(is, want) || file_read(cmdline, ARGV_MAX, &b, &err) < 0)
			continue;
		if (b.len == argv->len && !memcmp(b.data, argv->data, b.len))
			return atoi(e->d_name);
	}
	return 0;
}

void machine_kill_unseen(const struct machine *m)
{
	_cleanup_free_ char *path = machine_path(m, "run/argv"), *status = machine_path(m, "run/status");
	_cleanup_free_ char *run = m->def.workdir ? xstrdup(m->def.workdir) : machine_path(m, "run");
	_cleanup_error_ struct error *e = NULL;
	_cleanup_buf_ struct buf argv = BUF_INIT;
	_cleanup_close_ int fd = -1;
	struct proc_id id;
	pid_t pid;

	/* Only a run without a noted end can have left one. */
	if (file_exists(status) || machine_qemu(m, &id) || machine_helper(m, &id) || file_read(path, ARGV_MAX, &argv, &e) < 0)
		return;
	pid = find_by_argv(run, &argv);
	if (!pid || proc_id_of(pid, &id, &e) < 0)
		return;
	log_info("machine %s: ending process %d, a QEMU whose helper died as it started it", m->name, (int)pid);
	fd = proc_id_open(&id);
	kill_id(&id);
	/* The pidfd tells when the last thread has gone; only then are the locks on the disks free. */
	if (fd >= 0 && poll(&(struct pollfd){ .fd = fd, .events = POLLIN }, 1, KILL_MS) <= 0)
		log_warn("machine %s: process %d does not end", m->name, (int)pid);
}

/* QEMU, also one that its helper is about to start: a kill just after a start must not miss it. */
static bool await_qemu(const struct machine *m, struct proc_id *id)
{
	uint64_t end = loop_now() + (uint64_t)KILL_MS * 1000000;

	while (!machine_qemu(m, id)) {
		if (!machine_helper(m, id) || loop_now() >= end)
			return machine_qemu(m, id);
		poll(NULL, 0, START_LOOK_MS);
	}
	return true;
}

int machine_kill(struct machine *m, struct error **err)
{
	_cleanup_free_ char *mark = machine_path(m, "run/killed"), *run = machine_path(m, "run");
	struct proc_id id;

	if (!file_is_dir(run))
		return 0;
	machine_kill_unseen(m);
	if (await_qemu(m, &id)) {
		/* First the note that this end was wanted, then the end. */
		if (file_write(mark, "", 0, 0600, err) < 0)
			return -1;
		kill_id(&id);
	}
	if (!machine_wait_end(m, KILL_MS)) {
		/* A helper that hangs: it holds nothing that its end would harm. */
		if (machine_helper(m, &id))
			kill_id(&id);
		if (!machine_wait_end(m, KILL_MS))
			return error_set(err, ERR_TIMEOUT, "machine %s: QEMU cannot be killed (process %d)", m->name, (int)id.pid);
		machine_kill_unseen(m);
	}
	return 0;
}

/* The guest program ends the guest in order. True when QEMU has ended. */
static bool stop_by_guest(struct machine *m, int timeout_ms)
{
	_cleanup_error_ struct error *e = NULL;
	_cleanup_agent_ struct agent *a = NULL;
	uint64_t end = loop_now() + (uint64_t)timeout_ms * 1000000;

	if (machine_state(m) != MACHINE_RUNNING)
		return false;
	a = machine_agent(m, left_ms(end) < ASK_MS ? left_ms(end) : ASK_MS, &e);
	if (!a || agent_power(a, AGENT_POWEROFF, left_ms(end) < ASK_MS ? left_ms(end) : ASK_MS, &e) < 0) {
		log_debug("machine %s: its guest program was asked to power off: %s", m->name, e ? e->msg : "");
		/* It may have ended before it could answer. */
		return machine_wait_end(m, 200) > 0;
	}
	return machine_wait_end(m, left_ms(end)) > 0;
}

static bool stop_by_acpi(struct machine *m, int timeout_ms)
{
	_cleanup_free_ char *sock = machine_path(m, "run/qmp.sock");
	_cleanup_error_ struct error *e = NULL;
	uint64_t end = loop_now() + (uint64_t)timeout_ms * 1000000;
	_cleanup_qmp_ struct qmp *q = qmp_connect(sock, left_ms(end) < ASK_MS ? left_ms(end) : ASK_MS, &e);

	if (q && qmp_command(q, "system_powerdown", NULL, ASK_MS, NULL, &e) == 0)
		return machine_wait_end(m, left_ms(end)) > 0;
	log_debug("machine %s: ACPI power button: %s", m->name, e->msg);
	return machine_wait_end(m, 0) > 0;
}

static int stop_locked(struct machine *m, int timeout_ms, const char **how, struct error **err)
{
	uint64_t end = loop_now() + (uint64_t)timeout_ms * 1000000;
	struct proc_id id;

	if (!machine_qemu(m, &id)) {
		machine_wait_end(m, 5000);
		return 0;
	}
	if (machine_ensure_helper(m, err) < 0)
		return -1;
	*how = "guest";
	if (stop_by_guest(m, timeout_ms / 2))
		return 0;
	*how = "acpi";
	if (stop_by_acpi(m, left_ms(end)))
		return 0;
	*how = "killed";
	return machine_kill(m, err);
}

int machine_stop(struct machine *m, int timeout_ms, const char **how, struct error **err)
{
	_cleanup_close_ int lock = m->def.host ? -1 : machine_lock(m, err);
	const char *unused;

	if (!how)
		how = &unused;
	*how = "let go";
	if (m->def.host)
		return machine_real_stop(m, err);
	if (lock < 0)
		return -1;
	*how = "guest";
	return stop_locked(m, timeout_ms, how, err);
}

int machine_remove(const char *name, bool force, struct error **err)
{
	_cleanup_machine_ struct machine *m = machine_at(name, err);
	_cleanup_free_ char *parent = NULL, *temp = NULL;
	_cleanup_close_ int lock = -1;
	struct proc_id id;

	if (!m)
		return -1;
	lock = machine_lock_alone(m, err);
	if (lock < 0 || rescue_check(m, force, err) < 0)
		return -1;
	if (machine_qemu(m, &id) && !force) {
		error_set(err, ERR_STATE, "machine %s: it is running", name);
		return error_hint(err, "stop it first (croft vm stop %s), or remove it with --force", name);
	}
	if (machine_kill(m, err) < 0)
		return -1;
	/* Out of sight in one step; a crash after it leaves a folder that the next command clears away. */
	parent = path_dirname(m->dir);
	machine_sweep(parent);
	temp = xasprintf("%s/.tmp-%d-%s", parent, (int)getpid(), path_basename(m->dir));
	if (file_remove_tree(temp, err) < 0 || file_rename(m->dir, temp, err) < 0 || file_remove_tree(temp, err) < 0)
		return error_wrap(err, "machine %s", name);
	if (strchr(name, '/'))
		rmdir(parent); /* the group's last machine takes the folder along */
	return 0;
}

struct agent *machine_agent(struct machine *m, int timeout_ms, struct error **err)
{
	_cleanup_free_ char *sock = machine_path(m, "run/agent.sock");
	struct proc_id id;
	struct agent *a;

	if (m->def.host)
		return machine_real_agent(m, timeout_ms, err);
	if (!machine_qemu(m, &id)) {
		error_set(err, ERR_STATE, "machine %s: it is not running", m->name);
		error_hint(err, "start it: croft vm start %s", m->name);
		return NULL;
	}
	if (machine_ensure_helper(m, err) < 0)
		return NULL;
	a = agent_connect(sock, timeout_ms, err);
	if (!a)
		error_wrap(err, "machine %s", m->name);
	return a;
}

/* machine_state knows a pause by this file. */
static int note_pause(struct machine *m, const char *command, struct error **err)
{
	_cleanup_free_ char *path = machine_path(m, "run/paused");

	if (!strcmp(command, "stop"))
		return file_write(path, "", 0, 0600, err);
	return !strcmp(command, "cont") ? file_unlink(path, err) : 0;
}

char *machine_qmp(struct machine *m, const char *command, const char *arguments, int timeout_ms, struct error **err)
{
	_cleanup_free_ char *sock = machine_path(m, "run/qmp.sock");
	json_t *args = NULL, *ret = NULL;
	struct proc_id id;
	json_error_t je;
	char *text = NULL;
	struct qmp *q = NULL;

	if (arguments) {
		args = json_loads(arguments, 0, &je);
		if (!json_is_object(args)) {
			error_set(err, ERR_USAGE, "arguments of %s: %s", command, args ? "not a JSON object" : je.text);
			json_decref(args);
			return NULL;
		}
	}
	if (machine_need_virtual(m, err) == 0 && !machine_qemu(m, &id))
		error_set(err, ERR_STATE, "it is not running");
	else if (!*err && machine_ensure_helper(m, err) == 0)
		q = qmp_connect(sock, timeout_ms, err);
	if (q && qmp_command(q, command, args, timeout_ms, &ret, err) == 0 && note_pause(m, command, err) == 0)
		text = json_dumps(ret, JSON_ENCODE_ANY | JSON_COMPACT);
	if (!text)
		error_wrap(err, "machine %s", m->name);
	json_decref(ret);
	json_decref(args);
	qmp_free(q);
	return text;
}
