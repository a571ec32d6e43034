/* SPDX-License-Identifier: Apache-2.0 */
/*
 * UPnP's Internet Gateway Device (UPnP Forum: InternetGatewayDevice:1, WANIPConnection:1, WANCommonInterfaceConfig:1), of a router
 * whose "upnp" is on: what its services can, without the protocols around it (upnp.c).
 */
#ifndef CROFT_NET_IGD_H
#define CROFT_NET_IGD_H

#include "base/buf.h"
#include "net/soap.h"
#include "net/zone.h"

enum igd_service { IGD_IP, IGD_COMMON, IGD_SERVICES };
extern const char *const igd_types[IGD_SERVICES]; /* urn:schemas-upnp-org:service:... */

/* Does what the call says for the machine with that address. The answer's arguments as XML into out: 0; else an error code of UPnP. */
int igd_call(struct router *r, uint32_t client, enum igd_service s, const struct soap_call *call, struct buf *out);
const char *igd_error_text(int code);
/* Descriptions, as XML. */
void igd_describe(const struct router *r, struct buf *out);
void igd_describe_service(enum igd_service s, struct buf *out);
/* "uuid:...", of the router; 42 bytes with the end. */
void igd_uuid(const struct router *r, unsigned device, char ret[42]);

/* What maps were asked for, [[protocol, port, text], ...] (new), and back in their place. */
json_t *igd_notes(const struct router *r);
void igd_restore(struct router *r, const json_t *notes);
void igd_free(struct router *r);

#endif
