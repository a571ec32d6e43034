/* SPDX-License-Identifier: Apache-2.0 */
/* SOAP 1.1 as UPnP uses it (UPnP Device Architecture 1.0, 3.2): one action with flat arguments. */
#ifndef CROFT_NET_SOAP_H
#define CROFT_NET_SOAP_H

#include <stdbool.h>
#include <stddef.h>

#define SOAP_ARGS 16
#define SOAP_NAME 64
#define SOAP_VALUE 256
struct soap_call {
	char type[128], action[SOAP_NAME]; /* type: the namespace, which is the service's */
	struct {
		char name[SOAP_NAME], value[SOAP_VALUE];
	} args[SOAP_ARGS];
	size_t nargs;
};
/* Any bytes; false: not such a call, or longer than there is room. */
bool soap_parse(const char *xml, size_t len, struct soap_call *ret);
const char *soap_arg(const struct soap_call *c, const char *name); /* NULL: it has none of that name */

#endif
