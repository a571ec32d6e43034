/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Before machines go back to a snapshot nothing may be under way to them: a frame from what is the future by then would be taken
 * for a part of the same connection. "pause" stops handing frames to machines and tells how many bytes QEMU has not read
 * yet; it is asked again until there are none, and then the machines are halted. "resume", when they have been put back,
 * forgets all that is held or half sent in either direction, by connecting anew, and goes on. "attach" resumes too.
 */
#include "net/faults.h"
#include "net/kernel.h"

#include <linux/sockios.h>
#include <string.h>
#include <sys/ioctl.h>

static uint64_t unread(const struct net *n)
{
	uint64_t sum = 0;

	for (const struct zone *z = n->zones; z; z = z->next)
		for (const struct port *p = z->ports; p; p = p->next) {
			int bytes = 0;

			/* What SIOCOUTQ tells of a unix socket: sent and not yet received, unix(7). */
			if (p->kind == PORT_MACHINE && p->fd >= 0 && ioctl(p->fd, SIOCOUTQ, &bytes) == 0)
				sum += (uint64_t)bytes;
		}
	return sum;
}

static json_t *pause_begin(struct net *n)
{
	bool first = !n->paused;

	n->paused = true;
	if (n->kernel) {
		/* What QEMU has not read of a tap by then it reads at once; it is given the time until the next question. */
		kernel_pause(n, true);
		return json_pack("{s:b, s:i}", "ok", 1, "unread", (int)first);
	}
	/* A frame that is half written is lost with its connection; the rest of the ring must not follow it now. */
	for (struct zone *z = n->zones; z; z = z->next)
		for (struct port *p = z->ports; p; p = p->next)
			if (p->kind == PORT_MACHINE && p->fd >= 0) {
				p->tx_len = 0;
				loop_fd_events(p->src, EPOLLIN);
			}
	return json_pack("{s:b, s:I}", "ok", 1, "unread", (json_int_t)unread(n));
}

void pause_end(struct net *n)
{
	if (!n->paused)
		return;
	if (n->kernel)
		kernel_pause(n, false);
	for (struct zone *z = n->zones; z; z = z->next)
		for (struct port *p = z->ports; p; p = p->next) {
			for (int dir = 0; dir < 2; dir++)
				if (p->links[dir])
					link_flush(p->links[dir]); /* out, and dropped: it is paused still */
			if (p->kind == PORT_MACHINE)
				port_disconnect(p);
		}
	n->paused = false;
	net_connect_all(n);
}

json_t *pause_op(struct net *n, const char *op)
{
	if (!strcmp(op, "pause"))
		return pause_begin(n);
	if (strcmp(op, "resume"))
		return NULL;
	pause_end(n);
	return json_pack("{s:b}", "ok", 1);
}
