/* SPDX-License-Identifier: Apache-2.0 */
/* Which ports the guests of a group listen on: noted with each group snapshot, compared by `croft group NAME diff`. */
#ifndef CROFT_GROUP_PORTS_H
#define CROFT_GROUP_PORTS_H

#include "base/error.h"
#include "base/strv.h"
#include <stddef.h>

struct machine;
/*
 * Lines "tcp 0.0.0.0:22", sorted, each once, from the tables of proc_net_tcp(5): several after each other, each behind a line "#tcp"
 * or "#udp" ("#tcp6", "#udp6"). tcp: listening; udp: bound, and connected to nobody.
 */
void ports_parse(const char *text, struct strv *ret);
/*
 * Notes those of the machines that run and whose guest program answers in DIR/NODE.ports. What can't be had is left out: a
 * snapshot does not fail for it. nodes: n names, one for each machine.
 */
void ports_note(const char *dir, struct machine *const *machines, const char *const *nodes, size_t n);
/* What was noted: 1; 0 when nothing was. */
int ports_read(const char *dir, const char *node, struct strv *ret, struct error **err);

#endif
