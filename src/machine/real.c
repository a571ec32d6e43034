/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Machines that are real computers, reached by ssh: `host: user@addr`. What "runs" here is the connection, which croft-ssh
 * (guest/link/link.h) keeps; to start one is to connect, to stop it is to let go. The computer itself is left on.
 */
#include "base/cleanup.h"
#include "base/file.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/units.h"
#include "internal.h"

#include <errno.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <string.h>

#define CONNECT_MS 90000 /* croft-ssh has limits of its own */
#define LET_GO_MS 3000
#define NOTE_MS 1000
#define RESOLVE_MS 5000

int machine_need_virtual(const struct machine *m, struct error **err)
{
	if (!m->def.host)
		return 0;
	error_set(err, ERR_STATE, "machine %s: it is a real computer (%s): croft has no hand on its disks, memory and screen", m->name, m->def.host);
	return error_hint(err, "this works with virtual machines; real ones can be connected to, asked, pushed to and pulled from");
}

int machine_host_parse(const char *text, char **user, char **host, unsigned *port, struct error **err)
{
	const char *at = strrchr(text, '@'), *h = at ? at + 1 : text, *end, *colon;
	uint64_t n = 0;

	if (*h == '[') {
		end = strchr(++h, ']');
		colon = end && end[1] == ':' ? end + 1 : NULL;
		if (!end || (end[1] && !colon))
			return error_set(err, ERR_USAGE, "host: '%s': an IPv6 address is written as [fe80::1]:22", text);
	} else {
		colon = strchr(h, ':');
		/* Two of them: an IPv6 address without brackets has no port. */
		if (colon && strchr(colon + 1, ':'))
			colon = NULL;
		end = colon ? colon : h + strlen(h);
	}
	if (end == h || *h == '-' || *text == '-' || at == text || text[strcspn(text, " \t\n'\"")])
		return error_set(err, ERR_USAGE, "host: '%s' is not [USER@]ADDRESS[:PORT]", text);
	if (colon && parse_u64("host: port", colon + 1, 1, 65535, &n, err) < 0)
		return -1;
	*user = at ? xstrndup(text, (size_t)(at - text)) : NULL;
	*host = xstrndup(h, (size_t)(end - h));
	*port = (unsigned)n;
	return 0;
}

static void set(char **to, const char *text)
{
	free(*to);
	*to = xstrdup(text);
}

/* One line of `ssh -G`, a lower-case key and its value. */
static void take_line(const char *line, char **user, char **host, unsigned *port, struct strv *more)
{
	static const char *const further[] = { "identityfile ", "proxyjump ", "proxycommand ", "hostkeyalias " };
	uint64_t n;

	if (!strncmp(line, "hostname ", 9))
		set(host, line + 9);
	else if (!strncmp(line, "user ", 5))
		set(user, line + 5);
	else if (!strncmp(line, "port ", 5) && parse_u64("port", line + 5, 1, 65535, &n, NULL) == 0)
		*port = (unsigned)n;
	for (size_t i = 0; more && i < ARRAY_SIZE(further); i++)
		if (!strncmp(line, further[i], strlen(further[i])))
			strv_add(more, line);
}

int machine_host_resolve(const char *text, char **user, char **host, unsigned *port, struct strv *more, struct error **err)
{
	/* As ssh and libssh do, not by HOME. */
	const struct passwd *pw = getpwuid(getuid());
	_cleanup_free_ char *config = xasprintf("%s/.ssh/config", pw ? pw->pw_dir : "");
	_cleanup_error_ struct error *none = NULL;
	_cleanup_strv_ struct strv argv = STRV_INIT, lines = STRV_INIT;
	_cleanup_buf_ struct buf out = BUF_INIT;

	if (machine_host_parse(text, user, host, port, err) < 0)
		return -1;
	if (!file_exists(config))
		return 0;
	strv_addv(&argv, (const char *const[]){ "ssh", "-G", NULL });
	if (*user)
		strv_addv(&argv, (const char *const[]){ "-l", *user, NULL });
	if (*port)
		strv_add(&argv, "-p"), strv_addf(&argv, "%u", *port);
	strv_addv(&argv, (const char *const[]){ "--", *host, NULL });
	if (proc_run((const char *const *)argv.v, RESOLVE_MS, &out, NULL, &none) < 0) {
		log_debug("%s: %s", text, none->msg);
		return 0;
	}
	strv_split(&lines, buf_str(&out), "\n");
	for (size_t i = 0; i < lines.len; i++)
		take_line(lines.v[i], user, host, port, more);
	return 0;
}

int machine_real_check(struct machine_def *d, struct error **err)
{
	_cleanup_free_ char *user = NULL, *host = NULL;
	unsigned port;

	if (machine_host_parse(d->host, &user, &host, &port, err) < 0)
		return error_wrap(err, "machine %s", d->name);
	if (d->image || d->ndisks || d->nnics || d->nshares || d->kernel || d->usb.len || d->pci.len || d->qemu_args.len)
		return error_set(err, ERR_USAGE, "machine %s: it has a host, so it is a real computer: no image, disk, card or device can be given to it",
			d->name);
	if (d->ssh)
		return error_set(err, ERR_USAGE, "machine %s: ssh: a real computer is reached by ssh anyway: the user stands in host", d->name);
	if (d->ssh_key && !file_exists(d->ssh_key))
		return error_set(err, ERR_NOT_FOUND, "machine %s: ssh_key: there is no file %s", d->name, d->ssh_key);
	return 0;
}

/* The keys of all hosts, kept longer than machines and groups. */
char *machine_known_hosts(void)
{
	return path_data("known_hosts");
}

static int argv_of(const struct machine *m, struct strv *argv, struct error **err)
{
	_cleanup_free_ char *exe = path_libexec("croft-ssh", err), *guest = exe ? path_libexec("croft-guest", err) : NULL;
	_cleanup_free_ char *user = NULL, *host = NULL, *known = machine_known_hosts();
	unsigned port;

	if (!guest || machine_host_parse(m->def.host, &user, &host, &port, err) < 0)
		return -1;
	strv_addv(argv, (const char *const[]){ exe, "--dir", m->dir, "--host", host, "--known-hosts", known, "--guest", guest, NULL });
	if (port)
		strv_addf(argv, "--port"), strv_addf(argv, "%u", port);
	if (user)
		strv_addv(argv, (const char *const[]){ "--user", user, NULL });
	if (m->def.ssh_key)
		strv_addv(argv, (const char *const[]){ "--key", m->def.ssh_key, NULL });
	return 0;
}

/* Its stdout ends when the connection stands, or when it does not; what it said is why. */
static int hear(struct proc *p, struct buf *said, struct error **err)
{
	uint64_t end = loop_now() + CONNECT_MS * 1000000ull;

	for (;;) {
		struct pollfd f = { .fd = p->out, .events = POLLIN };
		uint64_t now = loop_now();
		int r = now >= end ? 0 : poll(&f, 1, (int)((end - now) / 1000000) + 1);
		ssize_t n;

		if (r < 0 && errno == EINTR)
			return error_set(err, ERR_INTR, "interrupted while connecting");
		if (r <= 0)
			return error_set(err, ERR_TIMEOUT, "croft-ssh has not connected in %d s", CONNECT_MS / 1000);
		n = read(p->out, buf_reserve(said, 4096), 4096);
		if (n <= 0 && errno != EINTR)
			return 0;
		said->len += n > 0 ? (size_t)n : 0;
		said->data[said->len] = '\0';
	}
}

static int connect_now(const struct machine *m, struct error **err)
{
	_cleanup_strv_ struct strv argv = STRV_INIT;
	_cleanup_proc_ struct proc p = PROC_INIT;
	_cleanup_buf_ struct buf said = BUF_INIT;
	int status = 0;

	if (argv_of(m, &argv, err) < 0 ||
		proc_spawn(&(struct proc_opts){ .argv = (const char *const *)argv.v, .cwd = "/", .out = PROC_PIPE, .err = PROC_INHERIT, .detach = true },
			&p, err) < 0)
		return -1;
	if (hear(&p, &said, err) < 0) {
		kill(p.pid, SIGKILL);
		return -1;
	}
	if (!said.len) {
		struct proc_id id;

		if (machine_qemu(m, &id))
			return 0;
		return error_set(err, ERR_FAILED, "croft-ssh ended without a word");
	}
	if (proc_wait(&p, 5000, &status, err) < 0)
		return -1;
	return error_set(err, WIFEXITED(status) && WEXITSTATUS(status) ? (enum error_class)WEXITSTATUS(status) : ERR_FAILED, "%s", said.data);
}

int machine_real_start(struct machine *m, bool *already, struct error **err)
{
	_cleanup_close_ int lock = machine_lock_alone(m, err);
	_cleanup_free_ char *sock = machine_path(m, "run/agent.sock");
	struct proc_id id;

	if (lock < 0)
		return -1;
	if (machine_qemu(m, &id)) {
		if (already)
			*already = true;
		return 0;
	}
	if (machine_clean_run(m, err) < 0 || file_unlink(sock, err) < 0)
		return -1;
	return connect_now(m, err) < 0 ? error_wrap(err, "machine %s", m->name) : 0;
}

int machine_real_stop(struct machine *m, struct error **err)
{
	_cleanup_close_ int lock = machine_lock_alone(m, err);
	struct proc_id id;

	if (lock < 0)
		return -1;
	if (machine_qemu(m, &id))
		kill(id.pid, SIGTERM);
	return machine_wait_end(m, LET_GO_MS) ? 0 : machine_kill(m, err);
}

/* Until somebody lets go of it, each use tries again. */
static void keep_lost(const struct machine *m)
{
	_cleanup_free_ char *status = machine_path(m, "run/status");
	_cleanup_error_ struct error *e = NULL;

	if (file_writef(status, 0600, &e, "the connection was lost\n") < 0)
		log_debug("%s", e->msg);
}

struct agent *machine_real_agent(struct machine *m, int timeout_ms, struct error **err)
{
	_cleanup_free_ char *sock = machine_path(m, "run/agent.sock");
	struct agent *a = NULL;
	struct proc_id id;

	for (int i = 0; i < 2 && !a; i++) {
		error_clear(err);
		if (machine_qemu(m, &id))
			a = agent_connect(sock, timeout_ms, err);
		else
			error_set(err, ERR_STATE, "it is not connected");
		if (a || (*err)->cls == ERR_TIMEOUT || (*err)->cls == ERR_INTR)
			break;
		/* The other side was started again, or the way was cut: croft-ssh may just be about to note it. */
		machine_wait_end(m, NOTE_MS);
		if (machine_state(m) != MACHINE_CRASHED) {
			error_hint(err, "connect to it: croft vm start %s", m->name);
			break;
		}
		error_clear(err);
		if (machine_real_start(m, NULL, err) < 0) {
			keep_lost(m);
			return NULL;
		}
	}
	if (!a)
		error_wrap(err, "machine %s", m->name);
	return a;
}
