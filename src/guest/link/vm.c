/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The way to a virtual machine that has no guest program of croft's: croft-machine starts us beside QEMU, with a listening socket, and
 * takes who serves it for the guest. The guest's ssh port is reached by a forward of its group's network, on the loopback of this
 * computer. As long as QEMU lives there is one connection, or the attempt at one: the guest may take minutes until it has a server and
 * our key, and after a restored snapshot it knows nothing of the connection of before.
 */
#include "link.h"

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/proc.h"
#include "net/net.h"

#include <arpa/inet.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define NET_MS 5000
/* Long ones: each attempt that is given up is a process of the server for a while, and it has but ten (sshd_config, MaxStartups). */
#define KNOCK_MS 120000
#define LOGIN_MS 60000
#define AGAIN_MS 1000 /* doubled each time, up to */
#define AGAIN_MAX_MS 10000

struct vm {
	const struct link_opts *o;
	unsigned port; /* of the forward; 0: there is none */
	int qemu;      /* pidfd; -1: not known yet */
	char *told;    /* what was said last, so that it isn't said again */
	int again_ms;
};

/* QEMU's end is ours. Waits at most so long. */
static bool qemu_ended(struct vm *v, int wait_ms)
{
	_cleanup_free_ char *path = xasprintf("%s/run/qemu.pid", v->o->dir);
	_cleanup_error_ struct error *none = NULL;
	struct proc_id id;

	if (v->qemu < 0 && proc_id_read(path, &id, &none) == 0) {
		v->qemu = proc_id_open(&id);
		if (v->qemu < 0)
			return true;
	}
	return poll(&(struct pollfd){ .fd = v->qemu, .events = POLLIN }, 1, wait_ms) > 0;
}

/* A port of the loopback that nobody has at the moment; 0: none. */
static unsigned free_port(void)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	_cleanup_close_ int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	socklen_t n = sizeof(a);

	return fd >= 0 && bind(fd, (struct sockaddr *)&a, sizeof(a)) == 0 && getsockname(fd, (struct sockaddr *)&a, &n) == 0 ? ntohs(a.sin_port) : 0;
}

static int ask_net(struct vm *v, const char *op, struct error **err)
{
	_cleanup_free_ char *request = xasprintf("{\"op\":\"%s\",\"proto\":\"tcp\",\"host\":\"127.0.0.1\",\"host_port\":%u,\"node\":\"%s\",\"port\":%u}", op,
		v->port, v->o->node, v->o->port ? v->o->port : SSH_PORT);
	_cleanup_free_ char *answer = net_request(v->o->net, request, NET_MS, err);

	return answer ? 0 : -1;
}

/* For the next one, should we be killed: the network lives longer than a machine. */
static char *port_file(const struct vm *v)
{
	return xasprintf("%s/run/ssh.port", v->o->dir);
}

static int note_port(const struct vm *v, struct error **err)
{
	_cleanup_free_ char *path = port_file(v);

	return file_writef(path, 0600, err, "%u\n", v->port);
}

static void read_port(struct vm *v)
{
	_cleanup_free_ char *path = port_file(v);
	_cleanup_error_ struct error *none = NULL;
	_cleanup_buf_ struct buf b = BUF_INIT;

	if (file_exists(path) && file_read(path, 16, &b, &none) == 0)
		v->port = (unsigned)strtoul(buf_str(&b), NULL, 10) & 0xffff;
}

static void unforward(struct vm *v)
{
	_cleanup_error_ struct error *none = NULL;

	if (v->port)
		ask_net(v, "unforward", &none);
	v->port = 0;
}

static int forward(struct vm *v, struct error **err)
{
	unforward(v);
	v->port = free_port();
	if (v->port && note_port(v, err) == 0 && ask_net(v, "forward", err) == 0)
		return 0;
	v->port = 0;
	return *err ? -1 : error_set(err, ERR_FAILED, "no port of the loopback is free");
}

/* Its name stands for it in known_hosts: the port is another each time. */
static struct ssh_client *try(struct vm *v, char **command, struct error **err)
{
	struct ssh_client *c = NULL;
	int fd = forward(v, err) < 0 ? -1 : ssh_knock(v->port, KNOCK_MS, err);

	if (fd >= 0)
		c = ssh_client_open(&(struct ssh_opts){ .host = v->o->host, .user = v->o->user, .key_file = v->o->key, .known_hosts = v->o->known_hosts,
					    .pin = true, .timeout_ms = LOGIN_MS, .fd = fd }, err);
	if (c && !(*command = link_install(c, v->o->guest, err))) {
		ssh_client_close(c);
		c = NULL;
	}
	if (!c)
		unforward(v);
	return c;
}

/* Until it stands; NULL: QEMU has ended. */
static struct ssh_client *connect_patiently(struct vm *v, char **command)
{
	while (!qemu_ended(v, 0)) {
		_cleanup_error_ struct error *e = NULL;
		struct ssh_client *c = try(v, command, &e);

		if (c) {
			v->again_ms = AGAIN_MS;
			return c;
		}
		/* While it boots nobody speaks at one port after the other. */
		if (!v->told || (strcmp(v->told, e->msg) && e->cls != ERR_TIMEOUT))
			log_warn("%s%s%s", e->msg, e->hint ? "; " : "", e->hint ? e->hint : "");
		free(v->told);
		v->told = xstrdup(e->msg);
		if (qemu_ended(v, v->again_ms))
			break;
		v->again_ms = v->again_ms * 2 < AGAIN_MAX_MS ? v->again_ms * 2 : AGAIN_MAX_MS;
	}
	return NULL;
}

int link_vm(const struct link_opts *o)
{
	struct vm v = { .o = o, .qemu = -1, .again_ms = AGAIN_MS };
	struct ssh_client *c;
	char *command = NULL;

	read_port(&v);
	unforward(&v);
	while ((c = connect_patiently(&v, &command))) {
		_cleanup_error_ struct error *e = NULL;
		struct link_serving s = { .listener = o->listen, .command = command, .machine = true, .once = true, .end = v.qemu };

		log_info("%s: connected as %s", o->host, c->user);
		if (link_serve(c, &s, &e) < 0)
			log_warn("%s: %s", o->host, e->msg);
		ssh_client_close(c);
		free(STEAL(command));
	}
	unforward(&v);
	free(v.told);
	cleanup_close(&v.qemu);
	return 0;
}
