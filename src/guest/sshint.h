/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the ssh client share among themselves. */
#ifndef CROFT_GUEST_SSHINT_H
#define CROFT_GUEST_SSHINT_H

#include "guest/ssh.h"

#include <libssh/callbacks.h>
#include <libssh/libssh.h>
#include <libssh/sftp.h>

struct ssh_client {
	ssh_session session;
	char *host, *user;
	unsigned port;
	int fd; /* the connection that it was given; -1: libssh's own */
	sftp_session sftp; /* begun at first use */
	bool no_sftp;	   /* the server has none */
};

#endif
