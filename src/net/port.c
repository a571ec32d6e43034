/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A port speaks QEMU's stream protocol: each frame behind its length, 32 bits, big-endian (QEMU
 * net/stream.c). QEMU listens and we connect, so that this process may end and come back while
 * machines run.
 *
 * Frames are not copied on their way from one machine to the other. All that a machine has sent is read at once into one
 * buffer, the same for all ports; what goes to another machine as it is, is noted there as a piece of that buffer, its
 * length in front included, and written with one call when the buffer has been gone through. Frames that follow each other
 * to the same machine are one piece. What its socket does not take, and frames that come from elsewhere meanwhile (links,
 * routers), are copied into the port's ring, and that is written with one call too.
 */
#include "net/capture.h"
#include "net/faults.h"
#include "net/guard.h"
#include "net/kernel.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#define RETRY_NS 2000000000u
#define READS_MAX 4 /* from one port, before the others have their turn */

/* What has been read of one port and is being gone through. One thread, and nothing that takes frames in reads more. */
static struct {
	_Alignas(64) uint8_t bytes[RX_BYTES];
	bool active;
	struct port *dirty, **end; /* with what is not written yet, in the order in which it came; end NULL: none */
} batch;

void port_disconnect(struct port *p)
{
	if (p->fd < 0)
		return;
	loop_remove(p->src);
	close(p->fd);
	free(p->rest);
	free(p->tx);
	p->src = NULL;
	p->rest = p->tx = NULL;
	p->fd = -1;
	p->rest_len = p->tx_at = p->tx_len = 0;
	p->npieces = 0;
	p->unsent = false;
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
	p->unsent = false;
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

/* What the socket doesn't take goes into the ring. It has room: port_write looked, and one batch is half of it. */
static void write_vector(struct port *p, const struct iovec *v, int n)
{
	ssize_t sent = 0;

	if (!p->tx_len)
		do
			sent = writev(p->fd, v, n);
		while (sent < 0 && errno == EINTR);
	if (sent < 0)
		sent = 0;
	for (int i = 0; i < n; i++) {
		size_t skip = (size_t)sent < v[i].iov_len ? (size_t)sent : v[i].iov_len;

		sent -= (ssize_t)skip;
		if (skip < v[i].iov_len)
			enqueue(p, (const uint8_t *)v[i].iov_base + skip, v[i].iov_len - skip);
	}
	if (p->tx_len)
		loop_fd_events(p->src, EPOLLIN | EPOLLOUT);
}

static void write_pieces(struct port *p)
{
	int n = (int)p->npieces;

	p->npieces = 0;
	if (n)
		write_vector(p, p->pieces, n);
}

static bool in_batch(const uint8_t *frame, size_t len)
{
	return batch.active && frame >= batch.bytes + 4 && frame + len <= batch.bytes + sizeof(batch.bytes) && get32(frame - 4) == len;
}

static void mark_dirty(struct port *p)
{
	if (p->dirty)
		return;
	p->dirty = true;
	p->next_dirty = NULL;
	*(batch.end ? batch.end : &batch.dirty) = p;
	batch.end = &p->next_dirty;
}

static void add_piece(struct port *p, const uint8_t *at, size_t n)
{
	struct iovec *last = p->npieces ? &p->pieces[p->npieces - 1] : NULL;

	if (last && (const uint8_t *)last->iov_base + last->iov_len == at) {
		last->iov_len += n;
		return;
	}
	if (p->npieces == PORT_PIECES) {
		write_pieces(p);
		if (p->tx_len) {
			enqueue(p, at, n);
			return;
		}
	}
	p->pieces[p->npieces++] = (struct iovec){ (void *)at, n };
	mark_dirty(p);
}

void port_mark(struct port *p)
{
	p->impaired = p->cut || p->links[FAULT_IN];
}

void port_send(struct port *p, const uint8_t *frame, size_t len)
{
	struct net *n = p->zone->net;

	if (p->impaired && faults_cut(p, n->origin)) {
		p->cut_frames++;
		if (n->captures)
			capture_frame(n, p, CAPTURE_TO, frame, len, "dropped: cut off from each other");
	} else if (p->links[FAULT_IN])
		link_input(p->links[FAULT_IN], n->origin, frame, len);
	else
		port_write(p, frame, len);
}

void port_write(struct port *p, const uint8_t *frame, size_t len)
{
	uint8_t head[4];

	if (p->zone->net->captures && !p->tap)
		capture_frame(p->zone->net, p, CAPTURE_TO, frame, len, NULL);
	if (p->kind != PORT_MACHINE) {
		p->tx_frames++;
		p->tx_bytes += len;
		(p->kind == PORT_GATEWAY ? gateway_deliver : router_deliver)(p, frame, len);
		return;
	}
	if (p->tap) {
		kernel_send(p->zone, frame, len);
		return;
	}
	if (p->fd < 0 || p->zone->net->paused)
		return;
	if (TX_BYTES - p->tx_len < len + 4 && p->unsent)
		flush(p);
	if (TX_BYTES - p->tx_len < len + 4) {
		p->dropped++; /* the machine is too slow */
		return;
	}
	p->tx_frames++;
	p->tx_bytes += len;
	if (!p->tx_len && in_batch(frame, len)) {
		add_piece(p, frame - 4, len + 4);
		return;
	}
	put32(head, (uint32_t)len);
	write_pieces(p);
	if (!batch.active) {
		write_vector(p, (struct iovec[]){ { head, 4 }, { (void *)frame, len } }, 2);
		return;
	}
	enqueue(p, head, 4);
	enqueue(p, frame, len);
	p->unsent = true;
	mark_dirty(p);
}

/* Hands on all whole frames; returns where they end, or -1 when the stream is not what QEMU sends. */
static ssize_t take_frames(struct port *p, size_t len)
{
	size_t at = 0;

	while (p->fd >= 0 && len - at >= 4) {
		size_t n = get32(batch.bytes + at);

		if (n > FRAME_MAX_BYTES)
			return -1;
		if (len - at - 4 < n)
			break;
		p->rx_frames++;
		p->rx_bytes += n;
		zone_input(p->zone, p, batch.bytes + at + 4, n);
		at += n + 4;
	}
	return (ssize_t)at;
}

void ports_hold(void)
{
	batch.active = true;
}

void ports_write(void)
{
	while (batch.dirty) {
		struct port *p = batch.dirty;

		batch.dirty = p->next_dirty;
		p->dirty = false;
		write_pieces(p);
		if (p->unsent)
			flush(p);
	}
	batch.end = NULL;
	batch.active = false;
}

/* One reading; true when there may be more at once. */
static bool read_port(struct port *p)
{
	struct links *links = p->zone->net->faults->links;
	size_t room = RX_BYTES - p->rest_len, len;
	ssize_t n, taken;

	/* The beginning of a frame whose end is to come now. */
	memcpy(batch.bytes, p->rest, p->rest_len);
	n = read(p->fd, batch.bytes + p->rest_len, room);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	if (n <= 0) {
		lost(p);
		return false;
	}
	len = p->rest_len + (size_t)n;
	ports_hold();
	links_enter(links, 0);
	taken = take_frames(p, len);
	links_leave(links);
	ports_write();
	if (taken < 0) {
		log_warn("%s: sent what is not a frame; disconnected", p->node);
		lost(p);
	}
	if (p->fd < 0)
		return false;
	p->rest_len = len - (size_t)taken;
	memcpy(p->rest, batch.bytes + taken, p->rest_len);
	return n == (ssize_t)room;
}

static void on_port(void *arg, uint32_t events)
{
	struct port *p = arg;

	if (events & EPOLLOUT)
		flush(p);
	if (!(events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
		return;
	for (int i = 0; i < READS_MAX; i++)
		if (!read_port(p))
			break;
}

void port_connect(struct port *p)
{
	_cleanup_error_ struct error *e = NULL;
	int fd;

	if (p->fd >= 0 || p->kind != PORT_MACHINE || p->tap)
		return;
	fd = unix_connect_now(p->socket, &e);
	if (fd < 0) {
		log_debug("%s: %s", p->node, e->msg);
		return;
	}
	p->fd = fd;
	p->rest = xmalloc(FRAME_MAX_BYTES + 4);
	p->tx = xmalloc(TX_BYTES);
	p->src = loop_fd(p->zone->net->loop, fd, EPOLLIN, on_port, p);
	log_info("%s: connected", p->node);
}

void port_free(struct port *p)
{
	port_disconnect(p);
	kernel_watch_end(p);
	kernel_unshaped(p);
	faults_port_gone(p);
	strv_free(&p->names);
	free(p->node);
	free(p->socket);
	free(p->tap);
	free(p);
}

void net_connect_all(struct net *n)
{
	bool missing = false;

	if (n->kernel) {
		kernel_attach(n);
		return;
	}
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
