/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The network of a group as its users (group/, cli/) see it. One process a group, `croft-net DIR`,
 *without privileges: a learning switch over QEMU's stream sockets, DHCP, DNS, the way out through
 *libslirp. DIR = DATA/groups/NAME/net:
 *
 *	net.json	configuration (below), written by net_configure
 *	net.pid		proc id of the process; net.lock held by it
 *	control.sock	one JSON request a line, one JSON answer a line
 *	net.log		its messages (bounded)
 *
 * {"group":"G","zones":[{"name":"lan","prefix":"10.1.2.0/24","gateway":"10.1.2.1","domain":"G.croft","outside":true}],
 *  "ports":[{"node":"sn","zone":"lan","mac":"52:54:..","address":"10.1.2.10","names":["sn","sn.G.croft"],
 *            "socket":"/abs/path/of/machine/run/net0.sock"}],
 *  "forwards":[{"proto":"tcp","host":"127.0.0.1","host_port":8080,"node":"sn","port":80}]}
 *
 * QEMU listens on each port's socket (-netdev stream,server=on) and croft-net connects, so that the
 *network process may die and come back without the machines being restarted (QEMU 7.2's client side
 *does not reconnect).
 */
#ifndef CROFT_NET_NET_H
#define CROFT_NET_NET_H

#include "base/error.h"
#include "base/proc.h"

/* Replaces DIR/net.json; a running process is told to read it again (ports and forwards change
 * live). */
int net_configure(const char *dir, const char *json, struct error **err);
/* Starts the process unless it runs; returns when its control socket answers. */
int net_start(const char *dir, struct error **err);
int net_stop(const char *dir, struct error **err); /* not running: success */
/* The process itself. */
int net_process(const char *dir, struct proc_id *id, struct error **err);
/* 1 running, 0 not. */
int net_running(const char *dir);
/* Whether it answers, too. One that was killed a moment ago may be there still, for it closes what it had open: its end is waited for. */
bool net_answers(const char *dir);
/* One request to the control socket, JSON text both ways (new string). {"op":"attach"} makes it
 * connect to all ports now; {"op":"status"}; {"op":"reload"}. */
char *net_request(const char *dir, const char *json, int timeout_ms, struct error **err);
/* A connection that stays, after its first request has been answered with success; and further requests on it. */
int net_open(const char *dir, const char *json, int timeout_ms, struct error **err);
char *net_ask(int fd, const char *json, int timeout_ms, struct error **err);

#endif
