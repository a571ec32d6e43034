/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CROFT_NET_UPNP_H
#define CROFT_NET_UPNP_H

#include "net/ip.h"
#include "net/zone.h"

#define SSDP_GROUP 0xeffffffau /* 239.255.255.250 */

/* What a machine sends to SSDP_GROUP. */
void upnp_search(struct port *from, const struct ip4 *p);

#endif
