/* SPDX-License-Identifier: Apache-2.0 */
/*
 * croft-ssh: the way to a computer that is reached by ssh. It holds one connection, puts croft's guest program there, and gives each
 * client of a local socket a channel with a guest program of its own at its end: who connects speaks the frames of guest/proto.h as
 * with a virtual machine. The host's key is pinned at first contact.
 *
 * A program of its own since libssh is slow to load. croft starts it (machine/real.c) and finds it by its files in DIR/run:
 *
 *	qemu.pid, helper.pid	of croft-ssh, which is both for a real computer
 *	agent.sock, ready	while the connection stands
 *	status			how it ended: "exited with status 0" when asked to, else why
 *
 * For a virtual machine without a guest program (--listen) it is one of the programs beside QEMU instead: link/vm.c.
 */
#ifndef CROFT_GUEST_LINK_H
#define CROFT_GUEST_LINK_H

#include "base/error.h"
#include "guest/sshint.h"

struct link_opts {
	const char *dir; /* of the machine */
	const char *host, *user, *key, *known_hosts, *guest;
	unsigned port;
	/* Of a virtual machine: the socket, the folder of its group's network, its name there. listen -1: a real computer */
	int listen;
	const char *net, *node;
};
/*
 * Puts the guest program `guest` into the user's cache over there unless it is there. Returns the command line that runs it, as root
 * where that is possible without a question; new. ERR_STATE when the computer is of another kind than the program.
 */
char *link_install(struct ssh_client *c, const char *guest, struct error **err);
struct link_serving {
	int listener;
	const char *command; /* of link_install */
	bool machine;	     /* the guest program acts for the whole machine: clock, freeze, power */
	bool once;	     /* until the last client has gone */
	int end;	     /* and until this can be read; -1: none */
};
/* Serves clients of the listening socket until SIGTERM, or an end as above (0), or until the connection ends (-1 and why). */
int link_serve(struct ssh_client *c, const struct link_serving *how, struct error **err);
/* The whole life of one beside QEMU; the exit status. */
int link_vm(const struct link_opts *o);

#endif
