/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CROFT_NET_TRACE_H
#define CROFT_NET_TRACE_H

#include "net/zone.h"
#include <jansson.h>

/* The request "trace" of the control socket; NULL without an error when it is another one. */
json_t *trace_op(struct net *n, const char *op, const json_t *request, struct error **err);

#endif
