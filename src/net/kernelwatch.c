/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Captures of the kernel engine: frames among machines don't come by this process, so while somebody looks each machine's tap has a
 * packet socket (packet(7)). What a machine sends is seen before the rules, what it is sent behind its link.
 */
#include "base/log.h"
#include "net/capture.h"
#include "net/kernel.h"

#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define READS_MAX 64

static void on_frame(void *arg, uint32_t events)
{
	static uint8_t f[FRAME_MAX_BYTES];
	struct port *p = arg;

	for (int i = 0; i < READS_MAX && p->watch; i++) {
		struct sockaddr_ll from;
		socklen_t size = sizeof(from);
		ssize_t n = recvfrom(p->watch_fd, f, sizeof(f), MSG_DONTWAIT, (struct sockaddr *)&from, &size);

		if (n < 0)
			return;
		capture_frame(p->zone->net, p, from.sll_pkttype == PACKET_OUTGOING ? CAPTURE_TO : CAPTURE_FROM, f, (size_t)n, NULL);
	}
}

void kernel_watch_end(struct port *p)
{
	if (!p->watch)
		return;
	loop_remove(p->watch);
	close(p->watch_fd);
	p->watch = NULL;
	p->watch_fd = 0;
}

static void begin(struct port *p)
{
	struct sockaddr_ll at = { .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL), .sll_ifindex = (int)p->tap_index };
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof(at)) < 0) {
		log_warn("%s: its frames can't be captured: %s", p->node, strerror(errno));
		if (fd >= 0)
			close(fd);
		return;
	}
	p->watch_fd = fd;
	p->watch = loop_fd(p->zone->net->loop, fd, EPOLLIN, on_frame, p);
}

void kernel_watch(struct net *n)
{
	for (struct zone *z = n->zones; z; z = z->next)
		for (struct port *p = z->ports; p; p = p->next) {
			if (!p->tap_index)
				continue;
			if (!n->captures)
				kernel_watch_end(p);
			else if (!p->watch)
				begin(p);
		}
}
