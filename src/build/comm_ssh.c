/* SPDX-License-Identifier: Apache-2.0 */
/* The communicator ssh: to the build's machine through a port of this computer, or to a host that is there already. */
#include "guest/ssh.h"
#include "box.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "base/intr.h"
#include "base/loop.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/proc.h"

#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define MS 1000000ull
#define TRY_MS 20000
#define TRY_AGAIN_NS 300000000ll
#define KEY_MAX 65536
#define ATTEMPTS 10

struct ssh_comm {
	struct comm c;
	struct build *b;
	struct ssh_client *client;
	struct ssh_opts o;
	char *key_file, *ciphers, *kex;
	bool forwarded; /* through a port of QEMU's user network */
	long attempts; /* how often the login may be refused; 0: without end */
};

/* ---- connecting ---- */

/* What the console showed last helps more than "connection refused". */
static int no_answer(struct ssh_comm *s, int timeout_ms, const struct error *last, struct error **err)
{
	_cleanup_buf_ struct buf tail = BUF_INIT;

	error_set(err, ERR_TIMEOUT, "Timeout waiting for SSH: %s@%s port %u has not let croft in for %d s%s%s", s->c.user, s->c.host, s->c.port,
		timeout_ms / 1000, last ? "; last: " : "", last ? last->msg : "");
	if (s->b->vm && s->b->vm->m)
		machine_console_tail(s->b->vm->m, 10, &tail);
	if (tail.len)
		return error_hint(err, "the console's last lines:\n%s", tail.data);
	return error_hint(err, "a longer time: \"ssh_timeout\"");
}

static bool machine_ended(const struct ssh_comm *s)
{
	enum machine_state state = s->b->vm && s->b->vm->m ? machine_state(s->b->vm->m) : MACHINE_RUNNING;

	return state == MACHINE_STOPPED || state == MACHINE_CRASHED;
}

/* end: 0, or when there is no time left (loop_now()). */
static int try_once(struct ssh_comm *s, uint64_t end, struct error **err)
{
	uint64_t now = loop_now();
	int fd = 0;

	s->o.timeout_ms = TRY_MS;
	if (end && end < now + TRY_MS * MS)
		s->o.timeout_ms = end > now ? (int)((end - now) / MS) + 1 : 1;
	if (s->forwarded) {
		fd = ssh_knock(s->c.port, s->o.timeout_ms, err);
		if (fd < 0)
			return -1;
	}
	s->o.fd = fd;
	s->o.timeout_ms = TRY_MS;
	s->client = ssh_client_open(&s->o, err);
	return s->client ? 0 : -1;
}

static int renew(struct comm *c, int timeout_ms, struct error **err)
{
	struct ssh_comm *s = (struct ssh_comm *)c;
	uint64_t end = timeout_ms < 0 ? 0 : loop_now() + (uint64_t)timeout_ms * 1000000;
	struct error *last = NULL;
	long refused = 0;
	int rc = -1;

	ssh_client_close(STEAL(s->client));
	while (rc < 0) {
		error_clear(&last);
		if (intr_check(err) < 0 || try_once(s, end, &last) == 0) {
			rc = *err ? -1 : 0;
			break;
		}
		if (last->cls == ERR_INTR || last->cls == ERR_USAGE)
			return error_move(err, &last);
		if (machine_ended(s)) {
			error_clear(&last);
			return error_set(err, ERR_STATE, "the machine has ended while croft waited for its ssh");
		}
		if (last->cls == ERR_FAILED && s->attempts && ++refused >= s->attempts) {
			error_wrap(&last, "%ld attempts", refused);
			return error_move(err, &last);
		}
		if (end && loop_now() > end) {
			no_answer(s, timeout_ms, last, err);
			error_clear(&last);
			return -1;
		}
		if (build_sleep(TRY_AGAIN_NS, err) < 0)
			break;
	}
	error_clear(&last);
	return rc;
}

/* ---- calls ---- */

static int run(struct comm *c, const char *command, comm_output *fn, void *arg, int timeout_ms, int *status, struct error **err)
{
	struct ssh_comm *s = (struct ssh_comm *)c;
	struct ssh_exec x = SSH_EXEC_INIT;

	if (!s->client && renew(c, box_patience(s->b), err) < 0)
		return -1;
	x.on_output = fn;
	x.arg = arg;
	x.pty = conf_bool(&s->b->conf, "ssh_pty");
	x.timeout_ms = timeout_ms;
	if (ssh_client_exec(s->client, command, &x, status, err) < 0)
		return -1;
	if (*status == SSH_LOST)
		*status = COMM_LOST;
	return 0;
}

static int upload(struct comm *c, const char *src, const char *dst, int mode, struct error **err)
{
	return ssh_client_upload(((struct ssh_comm *)c)->client, src, dst, mode, err);
}

static int upload_tree(struct comm *c, const char *src, const char *dst, struct error **err)
{
	return ssh_client_upload_tree(((struct ssh_comm *)c)->client, src, dst, err);
}

static int download(struct comm *c, const char *src, const char *dst, struct error **err)
{
	struct ssh_comm *s = (struct ssh_comm *)c;

	return comm_is_dir(c, src) ? ssh_client_download_tree(s->client, src, dst, err) : ssh_client_download(s->client, src, dst, err);
}

static bool remove_file(struct comm *c, const char *path)
{
	struct ssh_comm *s = (struct ssh_comm *)c;

	return s->client && ssh_client_remove(s->client, path);
}

static int shell(struct comm *c, int *status, struct error **err)
{
	struct ssh_comm *s = (struct ssh_comm *)c;
	_cleanup_free_ char *port = xasprintf("%u", c->port), *to = xasprintf("%s@%s", c->user, c->host);
	const char *argv[] = { "ssh", "-q", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-p", port, to,
		s->key_file ? "-i" : NULL, s->key_file, NULL };
	struct proc_opts o = { .argv = argv, .in = PROC_INHERIT, .out = PROC_INHERIT, .err = PROC_INHERIT, .same_group = true };
	_cleanup_proc_ struct proc p = PROC_INIT;
	int st;

	if (proc_spawn(&o, &p, err) < 0)
		return (*err)->cls == ERR_NOT_FOUND ? error_hint(err, "install the package openssh-client") : -1;
	if (proc_wait(&p, -1, &st, err) < 0)
		return -1;
	*status = WIFEXITED(st) ? WEXITSTATUS(st) : 128 + WTERMSIG(st);
	return 0;
}

static void close_ssh(struct comm *c)
{
	struct ssh_comm *s = (struct ssh_comm *)c;

	ssh_client_close(s->client);
	free(s->key_file);
	free(s->ciphers);
	free(s->kex);
	free(s);
}

/* ---- settings ---- */

static char *home_path(const char *path)
{
	const char *home = getenv("HOME");

	return path[0] == '~' && path[1] == '/' && home ? path_join(home, path + 2) : xstrdup(path);
}

static char *joined(const struct conf *c, const char *key)
{
	_cleanup_strv_ struct strv l = STRV_INIT;

	conf_list(c, key, &l);
	return l.len ? strv_join(&l, ",") : NULL;
}

/* When only one of timeout and attempts is given, the other has no end (packer-plugin-sdk). */
static long attempts_of(const struct conf *c)
{
	if (conf_given(c, "ssh_handshake_attempts"))
		return (long)conf_number(c, "ssh_handshake_attempts");
	return conf_given(c, "ssh_timeout") ? 0 : ATTEMPTS;
}

static int note_facts(struct build *b, struct ssh_comm *s, struct error **err)
{
	_cleanup_buf_ struct buf key = BUF_INIT;

	map_set(&b->facts, "Host", xstrdup(s->c.host));
	map_set(&b->facts, "Port", xasprintf("%u", s->c.port));
	map_set(&b->facts, "User", xstrdup(s->c.user));
	map_set(&b->facts, "Password", xstrdup(s->c.password ? s->c.password : ""));
	map_set(&b->facts, "ConnType", xstrdup("ssh"));
	if (!s->key_file)
		return 0;
	if (file_read(s->key_file, KEY_MAX, &key, err) < 0)
		return -1;
	map_set(&b->facts, "SSHPrivateKey", buf_steal(&key));
	return 0;
}

static struct ssh_comm *make(struct build *b, const char *host, unsigned port)
{
	static const struct comm_ops ops = { run, upload, upload_tree, download, renew, shell, close_ssh, remove_file };
	const struct conf *c = &b->conf;
	const char *key = conf_text(c, "ssh_private_key_file");
	struct ssh_comm *s = xcalloc(1, sizeof(*s));

	s->c = (struct comm){ .ops = &ops, .type = "ssh", .host = xstrdup(host), .port = port, .user = xstrdup(conf_text(c, "ssh_username")),
		.password = xstrdup(conf_text(c, "ssh_password")) };
	s->b = b;
	s->attempts = attempts_of(c);
	if (key && *key)
		s->key_file = home_path(key);
	else if (b->vm && !conf_given(c, "ssh_password"))
		s->key_file = box_path(b, "ssh-key");
	s->ciphers = joined(c, "ssh_ciphers");
	s->kex = joined(c, "ssh_key_exchange_algorithms");
	s->o = (struct ssh_opts){ .host = s->c.host, .port = port, .user = s->c.user, .password = s->c.password, .key_file = s->key_file,
		.agent = conf_bool(c, "ssh_agent_auth"), .ciphers = s->ciphers, .kex = s->kex };
	return s;
}

static int connect_to(struct build *b, const char *host, unsigned port, bool forwarded, int patience, struct error **err)
{
	struct ssh_comm *s;

	if (b->comm)
		return b->comm->ops->renew(b->comm, patience, err);
	s = make(b, host, port);
	s->forwarded = forwarded;
	b->comm = &s->c;
	if (note_facts(b, s, err) < 0 || renew(b->comm, patience, err) < 0)
		return -1;
	if (conf_ns(&b->conf, "pause_before_connecting")) {
		ssh_client_close(STEAL(s->client));
		ui_say(b->ui, b->name, "Pausing before connecting...");
		if (build_sleep(conf_ns(&b->conf, "pause_before_connecting"), err) < 0)
			return -1;
		return renew(b->comm, patience, err);
	}
	return 0;
}

/* "tcp:127.0.0.1:2222-:22": the port of this computer. */
static unsigned forwarded_port(const struct machine_def *d)
{
	const char *rule = d->nnics && d->nics[0].forwards.len ? d->nics[0].forwards.v[0] : NULL, *dash = rule ? strrchr(rule, '-') : NULL;

	while (dash && dash > rule && dash[-1] != ':')
		dash--;
	return dash ? (unsigned)atoi(dash) : 0;
}

int comm_ssh_connect(struct build *b, struct error **err)
{
	const char *host = conf_text(&b->conf, "ssh_host");
	unsigned port = forwarded_port(&b->vm->m->def);

	if (host && *host && !port)
		return connect_to(b, host, (unsigned)conf_number(&b->conf, "ssh_port"), false, box_patience(b), err);
	if (!port)
		return error_set(err, ERR_USAGE, "ssh: skip_nat_mapping leaves no way to the guest; give ssh_host");
	return connect_to(b, "127.0.0.1", port, true, box_patience(b), err);
}

int comm_of_null(struct build *b, struct error **err)
{
	const char *type = conf_text(&b->conf, "communicator");
	int patience = box_patience(b);

	if (type && !strcmp(type, "none")) {
		b->comm = comm_none();
		return 0;
	}
	if (type && !strcmp(type, "agent"))
		return error_set(err, ERR_USAGE, "null: it has no machine of croft's, so no agent; use ssh or none");
	return connect_to(b, conf_text(&b->conf, "ssh_host"), (unsigned)conf_number(&b->conf, "ssh_port"), false, patience < 0 ? 300000 : patience, err);
}
