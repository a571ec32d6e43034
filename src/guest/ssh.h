/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Client of ssh servers (libssh), for systems that have no guest program of croft: commands with their streams and status, files. A
 * library of its own, since libssh is slow to load: croft itself is not linked with it. One thread a connection.
 */
#ifndef CROFT_GUEST_SSH_H
#define CROFT_GUEST_SSH_H

#include "base/error.h"
#include <stdbool.h>
#include <stddef.h>

#define SSH_PORT 22

struct ssh_opts {
	const char *host;
	unsigned port; /* 0: 22 */
	const char *user, *password;
	const char *key_file; /* private key, or NULL */
	const char *key_text; /* the same as its text (PEM or OpenSSH), or NULL */
	bool agent;	      /* ask ssh-agent */
	bool own_keys;	      /* try the user's own keys, ~/.ssh/id_* */
	bool own_config; /* host is a name as for ssh: what ~/.ssh/config says of it counts, but for what is given here and known_hosts */
	const char *known_hosts; /* the server's key must be there; NULL: it is not checked, for machines that croft has just made */
	bool pin;		 /* a server of which known_hosts holds no key yet is trusted, and its key is kept there */
	const char *ciphers, *kex; /* comma-separated, or NULL */
	int timeout_ms;	      /* of connecting and logging in; -1: 30 s */
	int fd; /* a connection that is there already, as of ssh_knock(); given away. 0: none */
};
struct ssh_client;
/*
 * ERR_STATE: nobody listens there (yet), or the connection broke before the login; ERR_TIMEOUT; ERR_FAILED: the login was refused, or
 * the server's key is another one.
 */
struct ssh_client *ssh_client_open(const struct ssh_opts *o, struct error **err);
void ssh_client_close(struct ssh_client *c); /* NULL allowed */
static inline void ssh_client_closep(struct ssh_client **c)
{
	ssh_client_close(*c);
}
#define _cleanup_ssh_ __attribute__((cleanup(ssh_client_closep)))

/*
 * Waits until an ssh server speaks at a port of 127.0.0.1 that a user-mode network forwards to a
 * guest, which may not be up yet. The connection; -1: ERR_STATE nobody listens at the port at all,
 * ERR_TIMEOUT, ERR_INTR.
 */
int ssh_knock(unsigned port, int timeout_ms, struct error **err);

#define SSH_LOST (-1) /* status: the connection broke */
struct ssh_exec {
	const void *in; /* its standard input, in_len bytes; or from in_fd, -1: empty */
	size_t in_len;
	int in_fd;
	void (*on_output)(void *arg, int stream, const void *p, size_t n); /* stream 1 or 2; NULL: dropped */
	void *arg;
	bool pty;
	int timeout_ms; /* -1: none; the channel is closed then, which ends most commands */
};
#define SSH_EXEC_INIT { .in_fd = -1, .timeout_ms = -1 }
/* Runs a command line by the user's shell. *status: exit status, 128 + signal, or SSH_LOST. */
int ssh_client_exec(struct ssh_client *c, const char *command, const struct ssh_exec *x, int *status, struct error **err);

/*
 * Files by SFTP, or where the server has none by `cat` in its shell. Exactly dst; mode -1: that of the source.
 */
int ssh_client_upload(struct ssh_client *c, const char *src, const char *dst, int mode, struct error **err);
int ssh_client_download(struct ssh_client *c, const char *src, const char *dst, struct error **err);
/* Removes a file by SFTP; false: it is not gone, or there is no SFTP. */
bool ssh_client_remove(struct ssh_client *c, const char *path);
/* What is in the folder src, into the folder dst, which is made when absent. Symbolic links are copied as links. */
int ssh_client_upload_tree(struct ssh_client *c, const char *src, const char *dst, struct error **err);
/* The same the other way; needs SFTP. */
int ssh_client_download_tree(struct ssh_client *c, const char *src, const char *dst, struct error **err);

/* A new key pair (Ed25519): the private key into a file of mode 0600, the public one as a line of authorized_keys; new string. */
char *ssh_client_make_key(const char *path, const char *comment, struct error **err);
/* The public key of such a file as a line; new. */
char *ssh_client_public_key(const char *path, const char *comment, struct error **err);

#endif
