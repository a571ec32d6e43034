/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CROFT_NET_PCP_H
#define CROFT_NET_PCP_H

#include "net/zone.h"

#define PCP_PORT 5351
#define PCP_MAX 64 /* bytes of an answer */

/* The answer to a message of NAT-PMP or PCP from the machine at p into out (PCP_MAX bytes); 0: none. */
size_t pcp_answer(const struct port *p, const uint8_t *msg, size_t len, uint8_t *out);

#endif
