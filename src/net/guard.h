/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CROFT_NET_GUARD_H
#define CROFT_NET_GUARD_H

#include "net/zone.h"

/* Whether the machine at p may send this frame; IPv6 addresses that nobody has become its own by this. */
bool guard_allows(struct port *p, const uint8_t *frame, size_t len);
/* The port's machine has gone, and its IPv6 addresses with it. */
void guard_forget(struct port *p);

#endif
