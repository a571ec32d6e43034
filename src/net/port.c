/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A port speaks QEMU's stream protocol: each frame behind its length, 32 bits, big-endian (QEMU
 * net/stream.c). QEMU listens and we connect, so that this process may end and come back while
 * machines run.
 */
#include "net/faults.h"
#include "net/guard.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#define RETRY_NS 2000000000u

void port_disconnect(struct port *p)
{
	if (p->fd < 0)
		return;
	loop_remove(p->src);
	close(p->fd);
	free(p->rx);
	free(p->tx);
	p->src = NULL;
	p->rx = p->tx = NULL;
	p->fd = -1;
	p->rx_len = p->tx_at = p->tx_len = 0;
	guard_forget(p);
}

static void lost(struct port *p)
{
	log_info("%s: its machine has gone", p->node);
	port_disconnect(p);
	loop_timer_arm(p->zone->net->retry, RETRY_NS);
}

static void flush(struct port *p)
{
	while (p->tx_len) {
		size_t first = TX_BYTES - p->tx_at < p->tx_len ? TX_BYTES - p->tx_at : p->tx_len;
		struct iovec v[2] = { { p->tx + p->tx_at, first }, { p->tx, p->tx_len - first } };
		ssize_t n = writev(p->fd, v, p->tx_len > first ? 2 : 1);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break; /* full, or gone: the reading side notices that */
		p->tx_at = (p->tx_at + (size_t)n) % TX_BYTES;
		p->tx_len -= (size_t)n;
	}
	loop_fd_events(p->src, p->tx_len ? EPOLLIN | EPOLLOUT : EPOLLIN);
}

static void enqueue(struct port *p, const void *data, size_t n)
{
	size_t end = (p->tx_at + p->tx_len) % TX_BYTES;
	size_t first = TX_BYTES - end < n ? TX_BYTES - end : n;

	memcpy(p->tx + end, data, first);
	memcpy(p->tx, (const uint8_t *)data + first, n - first);
	p->tx_len += n;
}

void port_mark(struct port *p)
{
	p->impaired = p->cut || p->links[FAULT_IN];
}

void port_send(struct port *p, const uint8_t *frame, size_t len)
{
	struct net *n = p->zone->net;

	if (p->impaired && faults_cut(p, n->origin))
		p->cut_frames++;
	else if (p->links[FAULT_IN])
		link_input(p->links[FAULT_IN], n->origin, frame, len);
	else
		port_write(p, frame, len);
}

void port_write(struct port *p, const uint8_t *frame, size_t len)
{
	uint8_t head[4];
	size_t sent = 0;

	if (p->kind != PORT_MACHINE) {
		p->tx_frames++;
		p->tx_bytes += len;
		(p->kind == PORT_GATEWAY ? gateway_deliver : router_deliver)(p, frame, len);
		return;
	}
	if (p->fd < 0)
		return;
	if (TX_BYTES - p->tx_len < len + 4) {
		p->dropped++;
		return;
	}
	put32(head, (uint32_t)len);
	p->tx_frames++;
	p->tx_bytes += len;
	if (!p->tx_len) {
		struct iovec v[2] = { { head, 4 }, { (void *)frame, len } };
		ssize_t n = writev(p->fd, v, 2);

		sent = n > 0 ? (size_t)n : 0;
		if (sent == len + 4)
			return;
	}
	if (sent < 4)
		enqueue(p, head + sent, 4 - sent);
	enqueue(p, frame + (sent > 4 ? sent - 4 : 0), len - (sent > 4 ? sent - 4 : 0));
	loop_fd_events(p->src, EPOLLIN | EPOLLOUT);
}

/* Hands on all whole frames; false when the stream is not what QEMU sends. */
static bool take_frames(struct port *p)
{
	size_t at = 0;

	while (p->fd >= 0 && p->rx_len - at >= 4) {
		size_t len = get32(p->rx + at);

		if (len > FRAME_MAX_BYTES)
			return false;
		if (p->rx_len - at - 4 < len)
			break;
		p->rx_frames++;
		p->rx_bytes += len;
		zone_input(p->zone, p, p->rx + at + 4, len);
		at += len + 4;
	}
	if (p->fd < 0)
		return true;
	memmove(p->rx, p->rx + at, p->rx_len - at);
	p->rx_len -= at;
	return true;
}

static void on_port(void *arg, uint32_t events)
{
	struct port *p = arg;
	struct net *net = p->zone->net;
	bool whole;
	ssize_t n;

	if (events & EPOLLOUT)
		flush(p);
	if (!(events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
		return;
	n = read(p->fd, p->rx + p->rx_len, RX_BYTES - p->rx_len);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		lost(p);
		return;
	}
	p->rx_len += (size_t)n;
	links_enter(net->faults->links, 0);
	whole = take_frames(p);
	links_leave(net->faults->links);
	if (!whole) {
		log_warn("%s: sent what is not a frame; disconnected", p->node);
		lost(p);
	}
}

void port_connect(struct port *p)
{
	_cleanup_error_ struct error *e = NULL;
	int fd;

	if (p->fd >= 0 || p->kind != PORT_MACHINE)
		return;
	fd = unix_connect_now(p->socket, &e);
	if (fd < 0) {
		log_debug("%s: %s", p->node, e->msg);
		return;
	}
	p->fd = fd;
	p->rx = xmalloc(RX_BYTES);
	p->tx = xmalloc(TX_BYTES);
	p->src = loop_fd(p->zone->net->loop, fd, EPOLLIN, on_port, p);
	log_info("%s: connected", p->node);
}

void port_free(struct port *p)
{
	port_disconnect(p);
	faults_port_gone(p);
	strv_free(&p->names);
	free(p->node);
	free(p->socket);
	free(p);
}

void net_connect_all(struct net *n)
{
	bool missing = false;

	for (struct zone *z = n->zones; z; z = z->next)
		for (struct port *p = z->ports; p; p = p->next) {
			port_connect(p);
			missing |= p->kind == PORT_MACHINE && p->fd < 0;
		}
	if (missing)
		loop_timer_arm(n->retry, RETRY_NS);
	else
		loop_timer_disarm(n->retry);
}
