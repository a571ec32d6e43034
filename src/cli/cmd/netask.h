/* SPDX-License-Identifier: Apache-2.0 */
/* What the commands `croft net GROUP ...` share. */
#ifndef CROFT_CLI_NETASK_H
#define CROFT_CLI_NETASK_H

#include "cli/command.h"
#include <jansson.h>

/* Sends the request (its reference is taken) to the group that the first word names; the answer, a new reference. */
json_t *net_cmd_ask(const struct cmd_args *a, json_t *request, struct error **err);
/* {"delay":"80ms"} as "delay 80ms"; new, NULL when there is nothing. */
char *net_cmd_spec(const json_t *spec);
/* net_forward.c: forwards as a table. */
void net_cmd_print_forwards(const json_t *list);
/* net_see.c: {"delay":"80ms"} of both directions of a port; new, NULL: nothing. */
char *net_cmd_link_cell(const json_t *port);
void net_cmd_print_cuts(const json_t *list);

#endif
