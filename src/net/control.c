/* SPDX-License-Identifier: Apache-2.0 */
/* DIR/control.sock: one JSON request a line, one JSON answer a line. */
#include "net/capture.h"
#include "net/faults.h"
#include "net/forwards.h"
#include "net/kernel.h"
#include "net/reach.h"
#include "net/trace.h"
#include "net/zoneops.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/path.h"

#include <arpa/inet.h>
#include <errno.h>
#include <jansson.h>
#include <string.h>
#include <sys/socket.h>

#define CLIENTS 16
#define REQUEST_MAX 65536

struct client {
	struct control *control;
	int fd; /* -1: free */
	struct loop_src *src;
	struct buf in;
	json_t *back;	  /* a session's: faults to go back to when the client is gone */
	struct reach *reach;
	json_t *becoming; /* the request after which it only listens */
};

struct control {
	struct net *net;
	char *path;
	int fd;
	struct loop_src *src;
	struct client clients[CLIENTS];
};

static void format_ip(uint32_t ip, char out[16])
{
	snprintf(out, 16, "%u.%u.%u.%u", ip >> 24, ip >> 16 & 255, ip >> 8 & 255, ip & 255);
}

static json_t *port_status(const struct port *p)
{
	uint64_t count[4] = { p->rx_frames, p->rx_bytes, p->tx_frames, p->tx_bytes };
	char ip[16], mac[18];
	json_t *j;

	if (p->tap_index)
		kernel_counters(p, count);
	format_ip(p->ip, ip);
	snprintf(mac, sizeof(mac), "%02x:%02x:%02x:%02x:%02x:%02x", p->mac[0], p->mac[1], p->mac[2],
		p->mac[3], p->mac[4], p->mac[5]);
	j = json_pack("{s:s, s:s, s:s, s:s, s:b, s:I, s:I, s:I, s:I, s:I, s:I}", "node", p->node,
		"zone", p->zone->name, "address", ip, "mac", mac, "connected", p->kind != PORT_MACHINE || p->fd >= 0 || p->tap_index,
		"frames_from", (json_int_t)count[0], "bytes_from", (json_int_t)count[1],
		"frames_to", (json_int_t)count[2], "bytes_to", (json_int_t)count[3],
		"dropped", (json_int_t)p->dropped, "spoofed", (json_int_t)p->spoofed);
	if (p->has_ip6) {
		char six[INET6_ADDRSTRLEN];

		inet_ntop(AF_INET6, p->ip6, six, sizeof(six));
		json_object_set_new(j, "address6", json_string(six));
	}
	if (p->leased)
		json_object_set_new(j, "leased", json_integer(p->leased));
	if (p->tap)
		json_object_set_new(j, "tap", json_string(p->tap));
	faults_port_status(p, j);
	return j;
}

static json_t *zone_status(const struct zone *z)
{
	char prefix[16], gateway[16], whole[24];
	json_t *j;

	format_ip(z->prefix, prefix);
	format_ip(z->gateway, gateway);
	snprintf(whole, sizeof(whole), "%s/%u", prefix, z->prefix_len);
	j = json_pack("{s:s, s:s, s:s, s:s, s:b, s:i, s:o}", "name", z->name, "prefix", whole, "gateway", gateway, "domain", z->domain, "outside",
		z->has_outside, "mtu", (int)z->mtu, "router", zone_router_status(z));
	if (z->tap) {
		kernel_bridge_name(z, prefix);
		json_object_set_new(j, "bridge", json_string(prefix));
	}
	if (z->v6) {
		char six[INET6_ADDRSTRLEN];

		inet_ntop(AF_INET6, z->prefix6, six, sizeof(six));
		json_object_set_new(j, "prefix6", json_sprintf("%s/64", six));
	}
	return j;
}

static json_t *status(const struct net *n)
{
	json_t *ports = json_array(), *zones = json_array();

	for (const struct zone *z = n->zones; z; z = z->next) {
		json_array_append_new(zones, zone_status(z));
		for (const struct port *p = z->gw->next; p; p = p->next)
			json_array_append_new(ports, port_status(p));
	}
	return json_pack("{s:b, s:s, s:o, s:o, s:o, s:o}", "ok", 1, "group", n->group, "zones", zones, "ports", ports, "forwards",
		forwards_json(n, false), "faults", faults_state(n->faults));
}

/*
 * {"op":"session"}: when this client goes, the faults become what they were now; {"op":"done"} ends that. {"op":"capture"}: after
 * the answer nothing but the capture is sent. {"op":"log-dns","on":true}
 */
static json_t *client_op(struct client *c, const char *op, const json_t *request, struct error **err)
{
	struct faults *f = c->control->net->faults;

	if (!strcmp(op, "session") || !strcmp(op, "done")) {
		json_decref(c->back);
		c->back = *op == 's' ? faults_state(f) : NULL;
		return json_pack("{s:b, s:I}", "ok", 1, "seed", (json_int_t)f->seed);
	}
	if (!strcmp(op, "log-dns")) {
		c->control->net->log_names = json_is_true(json_object_get(request, "on"));
		return json_pack("{s:b}", "ok", 1);
	}
	if (!strcmp(op, "reach"))
		return reach_op(c->control->net, &c->reach, request, err);
	if (strcmp(op, "capture") || capture_check(c->control->net, request, err) < 0)
		return NULL;
	c->becoming = json_deep_copy(request);
	return json_pack("{s:b}", "ok", 1);
}

/* Chance of older kernels has no seed. */
static bool refused_by_kernel(struct net *n, const char *op, struct error **err)
{
	if (strcmp(op, "seed") || kernel_seeds(n))
		return false;
	error_set(err, ERR_STATE, "seed: the group's engine is the kernel, and the netem of this one has none (Linux 6.6 has, with a tc as new)");
	error_hint(err, "leave `engine: kernel` out of the group's file: with the default engine the same seed has the same faults");
	return true;
}

static json_t *handle(struct client *c, const char *line)
{
	struct net *n = c->control->net;
	json_t *request = json_loads(line, 0, NULL), *answer = NULL;
	const char *op = json_string_value(json_object_get(request, "op"));
	_cleanup_error_ struct error *e = NULL;

	if (op && n->kernel && refused_by_kernel(n, op, &e)) {
		answer = json_pack("{s:b, s:i, s:s, s:s?}", "ok", 0, "class", (int)e->cls, "error", e->msg, "hint", e->hint);
	} else if (op && (answer = pause_op(n, op))) {
		/* done */
	} else if (op && ((answer = client_op(c, op, request, &e)) || (!e && (answer = faults_op(n->faults, op, request, &e))) || (!e && (answer = zone_op(n, op, request, &e))) ||
			  (!e && (answer = trace_op(n, op, request, &e))))) {
		/* done */
	} else if (e) {
		answer = json_pack("{s:b, s:i, s:s, s:s?}", "ok", 0, "class", (int)e->cls, "error", e->msg, "hint", e->hint);
	} else if (op && !strcmp(op, "reload") && net_load(n, &e) < 0) {
		answer = json_pack("{s:b, s:i, s:s}", "ok", 0, "class", (int)e->cls, "error", e->msg);
	} else if (op && (!strcmp(op, "reload") || !strcmp(op, "attach"))) {
		/* Whoever paused it and did not come back. */
		pause_end(n);
		net_connect_all(n);
		answer = status(n);
	} else if (op && !strcmp(op, "status")) {
		answer = status(n);
	} else if (op && !strcmp(op, "stop")) {
		answer = json_pack("{s:b}", "ok", 1);
		loop_stop(n->loop, 0);
	} else {
		answer = json_pack("{s:b, s:s}", "ok", 0, "error",
			"not a request that is known: status, faults, link, cut, heal, seed, session, capture, trace, zones, nat, table, forwards, forward, "
			"unforward, attach, reload, pause, resume, save, load, stop");
	}
	json_decref(request);
	return answer;
}

static void end_session(struct client *c)
{
	struct faults *f = c->control->net->faults;
	_cleanup_error_ struct error *e = NULL;
	json_t *back = STEAL(c->back);

	if (!back)
		return;
	if (faults_restore(f, back, &e) == 0) {
		faults_apply(f);
		if (!f->net->kernel || kernel_faults(f->net, &e) == 0)
			faults_save(f, &e);
	}
	log_info("a session ended early: faults are what they were before it%s%s", e ? ": " : "", e ? e->msg : "");
	json_decref(back);
}

static void client_end(struct client *c)
{
	end_session(c);
	reach_end(c->control->net, &c->reach);
	json_decref(c->becoming);
	c->becoming = NULL;
	loop_remove(c->src);
	c->src = NULL;
	cleanup_close(&c->fd);
	c->fd = -1;
	buf_free(&c->in);
}

static void hand_over(struct client *c)
{
	json_t *request = STEAL(c->becoming);

	loop_remove(STEAL(c->src));
	capture_start(c->control->net, STEAL_FD(c->fd), request);
	json_decref(request);
	client_end(c);
}

static void on_client(void *arg, uint32_t events)
{
	struct client *c = arg;
	ssize_t n = read(c->fd, buf_reserve(&c->in, 4096), 4096);
	char *end;

	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	if (n <= 0 || c->in.len + (size_t)n > REQUEST_MAX) {
		client_end(c);
		return;
	}
	c->in.len += (size_t)n;
	c->in.data[c->in.len] = '\0';
	while (c->fd >= 0 && (end = strchr(c->in.data, '\n'))) {
		_cleanup_free_ char *text = NULL;
		json_t *answer;

		*end = '\0';
		answer = handle(c, c->in.data);
		text = json_dumps(answer, JSON_COMPACT);
		json_decref(answer);
		buf_consume(&c->in, (size_t)(end - c->in.data) + 1);
		/* A client that doesn't read its answer is left; nobody waits for it. */
		if (send(c->fd, text, strlen(text), MSG_DONTWAIT | MSG_NOSIGNAL) !=
				(ssize_t)strlen(text) ||
			send(c->fd, "\n", 1, MSG_DONTWAIT | MSG_NOSIGNAL) != 1)
			client_end(c);
		else if (c->becoming)
			hand_over(c);
	}
}

static void on_connect(void *arg, uint32_t events)
{
	struct control *c = arg;
	int fd = accept4(c->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd < 0)
		return;
	for (size_t i = 0; i < CLIENTS; i++) {
		if (c->clients[i].fd >= 0)
			continue;
		c->clients[i] = (struct client){ .control = c, .fd = fd };
		c->clients[i].src = loop_fd(c->net->loop, fd, EPOLLIN, on_client, &c->clients[i]);
		return;
	}
	close(fd);
}

struct control *control_new(struct net *n, struct error **err)
{
	struct control *c = xcalloc(1, sizeof(*c));

	c->net = n;
	c->path = path_join(n->dir, "control.sock");
	for (size_t i = 0; i < CLIENTS; i++)
		c->clients[i].fd = -1;
	c->fd = unix_listen(c->path, 16, err);
	if (c->fd < 0) {
		control_free(c);
		return NULL;
	}
	c->src = loop_fd(n->loop, c->fd, EPOLLIN, on_connect, c);
	return c;
}

void control_free(struct control *c)
{
	if (!c)
		return;
	for (size_t i = 0; i < CLIENTS; i++)
		if (c->clients[i].fd >= 0)
			client_end(&c->clients[i]);
	loop_remove(c->src);
	if (c->fd >= 0) {
		close(c->fd);
		unlink(c->path);
	}
	free(c->path);
	free(c);
}
