/* SPDX-License-Identifier: Apache-2.0 */
#include "link.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/proc.h"
#include "base/units.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define CONNECT_MS 20000
#define LOST_MS 60000 /* without an answer of the other side */

static const char usage[] = "usage: croft-ssh --dir DIR --host HOST [--port N] [--user USER] [--key FILE] --known-hosts FILE --guest FILE "
			    "[--listen FD --net DIR --node NODE]\n       croft-ssh --make-key FILE "
			    "(croft runs this, not people)";

static int parse(int argc, char **argv, struct link_opts *o)
{
	_cleanup_error_ struct error *e = NULL;
	uint64_t port = 0, listen = 0;

	for (int i = 1; i + 1 < argc; i += 2) {
		const struct {
			const char *name, **to;
		} texts[] = { { "--dir", &o->dir }, { "--host", &o->host }, { "--user", &o->user }, { "--key", &o->key },
			{ "--known-hosts", &o->known_hosts }, { "--guest", &o->guest }, { "--net", &o->net }, { "--node", &o->node } };
		size_t k;

		for (k = 0; k < ARRAY_SIZE(texts) && strcmp(argv[i], texts[k].name); k++)
			;
		if (k < ARRAY_SIZE(texts))
			*texts[k].to = argv[i + 1];
		else if (!strcmp(argv[i], "--listen")) {
			if (parse_u64("listen", argv[i + 1], 3, 1000, &listen, &e) < 0)
				return -1;
		} else if (strcmp(argv[i], "--port") || parse_u64("port", argv[i + 1], 1, 65535, &port, &e) < 0)
			return -1;
	}
	o->port = (unsigned)port;
	o->listen = listen ? (int)listen : -1;
	return argc % 2 && o->dir && o->host && o->known_hosts && o->guest && (o->listen < 0 || (o->net && o->node)) ? 0 : -1;
}

/* Two that connect to a new host at once would both pin it. */
static struct ssh_client *connect_to(const struct link_opts *o, struct error **err)
{
	_cleanup_free_ char *dir = path_dirname(o->known_hosts), *lock = xasprintf("%s.lock", o->known_hosts);
	_cleanup_close_ int fd = file_mkdirs(dir, 0700, err) < 0 ? -1 : file_lock(lock, true, CONNECT_MS, err);
	struct ssh_client *c;
	int ms = LOST_MS;

	if (fd < 0)
		return NULL;
	c = ssh_client_open(&(struct ssh_opts){ .host = o->host, .port = o->port, .user = o->user, .key_file = o->key, .agent = true,
				    .own_keys = true, .own_config = true, .known_hosts = o->known_hosts, .pin = true, .timeout_ms = CONNECT_MS },
		err);
	if (c)
		setsockopt(ssh_get_fd(c->session), IPPROTO_TCP, TCP_USER_TIMEOUT, &ms, sizeof(ms));
	return c;
}

static void unlink_in(const struct link_opts *o, const char *name)
{
	_cleanup_free_ char *path = xasprintf("%s/run/%s", o->dir, name);

	unlink(path);
}

/* helper.pid goes last: whoever waits for it sees the rest gone. */
static void remove_traces(const struct link_opts *o)
{
	static const char *const all[] = { "agent.sock", "ready", "qemu.pid", "helper.pid" };

	for (size_t i = 0; i < ARRAY_SIZE(all); i++)
		unlink_in(o, all[i]);
}

static int note_self(const struct link_opts *o, struct error **err)
{
	_cleanup_free_ char *qemu = xasprintf("%s/run/qemu.pid", o->dir), *helper = xasprintf("%s/run/helper.pid", o->dir),
			    *ready = xasprintf("%s/run/ready", o->dir);
	struct proc_id id;

	if (proc_id_of(getpid(), &id, err) < 0 || proc_id_write(helper, &id, err) < 0 || proc_id_write(qemu, &id, err) < 0)
		return -1;
	return file_write(ready, "", 0, 0600, err);
}

/* Whoever started us reads our stdout until it ends: nothing, or why it did not work. What we say later is in the log. */
static void report(const struct link_opts *o, const char *text)
{
	_cleanup_free_ char *path = xasprintf("%s/log/ssh.log", o->dir);
	int null = open("/dev/null", O_RDWR | O_CLOEXEC), log = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	if (text && write(1, text, strlen(text)) < 0)
		log_error("%s", text);
	dup2(log < 0 ? null : log, 2);
	dup2(null, 0);
	dup2(null, 1);
	close(null);
	if (log >= 0)
		close(log);
}

static int serve(const struct link_opts *o, struct ssh_client *c, int listener, const char *command)
{
	_cleanup_free_ char *status = xasprintf("%s/run/status", o->dir);
	_cleanup_error_ struct error *e = NULL, *e2 = NULL;
	int rc = link_serve(c, &(struct link_serving){ .listener = listener, .command = command, .end = -1 }, &e);

	if (file_writef(status, 0600, &e2, "%s\n", rc < 0 ? e->msg : "exited with status 0") < 0)
		log_error("%s", e2->msg);
	remove_traces(o);
	return rc < 0;
}

/* A key pair for a machine of ours, FILE and FILE.pub. */
static int make_key(const char *path)
{
	_cleanup_free_ char *line = NULL, *pub = xasprintf("%s.pub", path);
	_cleanup_error_ struct error *e = NULL;

	line = ssh_client_make_key(path, "croft", &e);
	if (line && file_writef(pub, 0600, &e, "%s\n", line) == 0)
		return 0;
	log_error("%s", e->msg);
	return e->cls;
}

int main(int argc, char **argv)
{
	struct link_opts o = { 0 };
	_cleanup_error_ struct error *e = NULL;
	_cleanup_free_ char *sock = NULL, *command = NULL;
	_cleanup_close_ int listener = -1;
	_cleanup_ssh_ struct ssh_client *c = NULL;

	log_init("croft");
	if (argc == 3 && !strcmp(argv[1], "--make-key"))
		return make_key(argv[2]);
	if (parse(argc, argv, &o) < 0) {
		log_error("%s", usage);
		return ERR_USAGE;
	}
	signal(SIGPIPE, SIG_IGN);
	umask(0077);
	if (o.listen >= 0)
		return link_vm(&o);
	sock = xasprintf("%s/run/agent.sock", o.dir);
	c = connect_to(&o, &e);
	if (c && (command = link_install(c, o.guest, &e)) && (listener = unix_listen(sock, 16, &e)) >= 0 && note_self(&o, &e) == 0) {
		report(&o, NULL);
		return serve(&o, c, listener, command);
	}
	remove_traces(&o);
	sock = (free(sock), error_text(e));
	report(&o, sock);
	return e->cls;
}
