/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Captures: every frame that passes a port, as pcapng (draft-ietf-opsawg-pcapng), to a client of the control socket. One interface a
 * port, named NODE@ZONE, times in ns. What happened to a frame (lost, cut off, corrupted, ...) is the comment of a packet; so is
 * what changed the network before it. A client that is too slow loses packets; the next one says how many (epb_dropcount).
 */
#ifndef CROFT_NET_CAPTURE_H
#define CROFT_NET_CAPTURE_H

#include "net/zone.h"
#include <jansson.h>

enum capture_way { CAPTURE_FROM = 1, CAPTURE_TO = 2 }; /* from the machine, to it: pcapng's inbound and outbound, seen from the switch */

/* {"node":"sn"}: its ports alone; checked. */
int capture_check(const struct net *n, const json_t *request, struct error **err);
/* Takes the fd; ends when the client goes. */
void capture_start(struct net *n, int fd, const json_t *request);
void capture_end_all(struct net *n);
void capture_frame(struct net *n, const struct port *p, enum capture_way way, const uint8_t *frame, size_t len, const char *comment);
/* The comment of the next packet of each capture. */
void capture_note(struct net *n, const char *text);

#endif
