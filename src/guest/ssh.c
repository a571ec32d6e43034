/* SPDX-License-Identifier: Apache-2.0 */
/* Connecting, logging in, commands. Files: sshfile.c. */
#include "guest/sshint.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "base/intr.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/mem.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#define CONNECT_MS 30000
#define TURN_MS 50
#define BLOCK 32768

static int ssh_fail(struct ssh_client *c, enum error_class cls, struct error **err, const char *what)
{
	return error_set(err, cls, "%s@%s port %u: %s: %s", c->user, c->host, c->port, what, ssh_get_error(c->session));
}

/* ---- connecting ---- */

/* Where the user's settings lead, for messages and the names of keys. */
static void note_resolved(struct ssh_client *c)
{
	char *text = NULL;

	if (ssh_options_get(c->session, SSH_OPTIONS_HOST, &text) == SSH_OK) {
		free(c->host);
		c->host = xstrdup(text);
		ssh_string_free_char(STEAL(text));
	}
	/* The user's own name where nothing says another. */
	if (ssh_options_get(c->session, SSH_OPTIONS_USER, &text) != SSH_OK)
		ssh_options_set(c->session, SSH_OPTIONS_USER, NULL);
	ssh_string_free_char(STEAL(text));
	if (ssh_options_get(c->session, SSH_OPTIONS_USER, &text) == SSH_OK) {
		free(c->user);
		c->user = xstrdup(text);
		ssh_string_free_char(text);
	}
	ssh_options_get_port(c->session, &c->port);
}

static int set_options(struct ssh_client *c, const struct ssh_opts *o)
{
	long seconds = (o->timeout_ms < 0 ? CONNECT_MS : o->timeout_ms + 999) / 1000;
	/* Without being strict libssh takes every host that is not known yet for known. */
	int strict = o->known_hosts != NULL, level = SSH_LOG_NOLOG, no = 0, yes = 1;

	ssh_options_set(c->session, SSH_OPTIONS_HOST, o->host);
	/* Read first: what is set after it wins. */
	if (o->own_config && ssh_options_parse_config(c->session, NULL) < 0)
		return -1;
	if (o->port || !o->own_config)
		ssh_options_set(c->session, SSH_OPTIONS_PORT, &c->port);
	if (o->user || !o->own_config)
		ssh_options_set(c->session, SSH_OPTIONS_USER, o->user);
	if (o->own_config)
		note_resolved(c);
	ssh_options_set(c->session, SSH_OPTIONS_TIMEOUT, &seconds);
	ssh_options_set(c->session, SSH_OPTIONS_STRICTHOSTKEYCHECK, &strict);
	ssh_options_set(c->session, SSH_OPTIONS_LOG_VERBOSITY, &level);
	/* what the user has set for ssh is not for machines of croft */
	ssh_options_set(c->session, SSH_OPTIONS_PROCESS_CONFIG, &no);
	/* a command is some small packets, each of which would wait for the answer to the last */
	ssh_options_set(c->session, SSH_OPTIONS_NODELAY, &yes);
	if (o->fd > 0)
		ssh_options_set(c->session, SSH_OPTIONS_FD, &o->fd);
	if (o->known_hosts)
		ssh_options_set(c->session, SSH_OPTIONS_KNOWNHOSTS, o->known_hosts);
	if (o->ciphers && (ssh_options_set(c->session, SSH_OPTIONS_CIPHERS_C_S, o->ciphers) < 0 ||
				  ssh_options_set(c->session, SSH_OPTIONS_CIPHERS_S_C, o->ciphers) < 0))
		return -1;
	return o->kex ? ssh_options_set(c->session, SSH_OPTIONS_KEY_EXCHANGE, o->kex) : 0;
}

/* "SHA256:..." as ssh-keygen -l prints it, or ""; new. */
static char *fingerprint(struct ssh_client *c)
{
	unsigned char *hash = NULL;
	ssh_key key = NULL;
	char *text = NULL, *ret;
	size_t n = 0;

	if (ssh_get_server_publickey(c->session, &key) == SSH_OK && ssh_get_publickey_hash(key, SSH_PUBLICKEY_HASH_SHA256, &hash, &n) == 0)
		text = ssh_get_fingerprint_hash(SSH_PUBLICKEY_HASH_SHA256, hash, n);
	ret = xstrdup(text ? text : "");
	ssh_string_free_char(text);
	ssh_clean_pubkey_hash(&hash);
	ssh_key_free(key);
	return ret;
}

static int pin(struct ssh_client *c, const struct ssh_opts *o, struct error **err)
{
	_cleanup_free_ char *print = fingerprint(c);

	if (ssh_session_update_known_hosts(c->session) != SSH_OK)
		return error_set(err, ERR_FAILED, "%s: the host key of %s cannot be kept there: %s", o->known_hosts, c->host,
			ssh_get_error(c->session));
	log_info("%s port %u: first contact, its host key %s is kept in %s", c->host, c->port, print, o->known_hosts);
	return 0;
}

static int other_key(struct ssh_client *c, const struct ssh_opts *o, struct error **err)
{
	_cleanup_free_ char *print = fingerprint(c);
	_cleanup_free_ char *name = c->port == SSH_PORT ? xstrdup(c->host) : xasprintf("[%s]:%u", c->host, c->port);

	error_set(err, ERR_FAILED, "%s port %u: its host key %s is not the one in %s", c->host, c->port, print, o->known_hosts);
	return error_hint(err, "somebody may sit in between; when the machine was made anew, take the old key out: ssh-keygen -R '%s' -f '%s'",
		name, o->known_hosts);
}

static int check_host(struct ssh_client *c, const struct ssh_opts *o, struct error **err)
{
	if (!o->known_hosts)
		return 0;
	switch (ssh_session_is_known_server(c->session)) {
	case SSH_KNOWN_HOSTS_OK:
		return 0;
	case SSH_KNOWN_HOSTS_NOT_FOUND:
	case SSH_KNOWN_HOSTS_UNKNOWN:
		if (o->pin)
			return pin(c, o, err);
		error_set(err, ERR_FAILED, "%s port %u: its host key is not in %s", c->host, c->port, o->known_hosts);
		return error_hint(err, "add it when you trust it: ssh-keyscan -p %u %s >> %s", c->port, c->host, o->known_hosts);
	default:
		return other_key(c, o, err);
	}
}

/* 1: logged in, 0: refused, -1: error. */
static int by_key(struct ssh_client *c, ssh_key key, struct error **err)
{
	int rc = ssh_userauth_publickey(c->session, NULL, key);

	if (rc == SSH_AUTH_ERROR)
		return ssh_fail(c, ERR_STATE, err, "logging in by key");
	return rc == SSH_AUTH_SUCCESS;
}

static int by_key_of(struct ssh_client *c, const struct ssh_opts *o, struct error **err)
{
	ssh_key key = NULL;
	int rc = o->key_text ? ssh_pki_import_privkey_base64(o->key_text, NULL, NULL, NULL, &key) :
			       ssh_pki_import_privkey_file(o->key_file, NULL, NULL, NULL, &key);

	if (rc != SSH_OK) {
		error_set(err, ERR_USAGE, "%s: is no private key that can be read without a passphrase", o->key_text ? "the key" : o->key_file);
		return -1;
	}
	rc = by_key(c, key, err);
	ssh_key_free(key);
	return rc;
}

/* Servers that ask for the password as a question (PAM) are answered with it. */
static int by_question(struct ssh_client *c, const char *password)
{
	int rc = ssh_userauth_kbdint(c->session, NULL, NULL);

	for (int round = 0; rc == SSH_AUTH_INFO && round < 8; round++) {
		for (int i = 0; i < ssh_userauth_kbdint_getnprompts(c->session); i++)
			ssh_userauth_kbdint_setanswer(c->session, (unsigned)i, password);
		rc = ssh_userauth_kbdint(c->session, NULL, NULL);
	}
	return rc;
}

static int by_password(struct ssh_client *c, const struct ssh_opts *o, struct error **err)
{
	int methods = ssh_userauth_list(c->session, NULL), rc = SSH_AUTH_DENIED;

	if (methods & SSH_AUTH_METHOD_PASSWORD)
		rc = ssh_userauth_password(c->session, NULL, o->password);
	if (rc == SSH_AUTH_DENIED && (methods & SSH_AUTH_METHOD_INTERACTIVE))
		rc = by_question(c, o->password);
	if (rc == SSH_AUTH_ERROR)
		return ssh_fail(c, ERR_STATE, err, "logging in by password");
	return rc == SSH_AUTH_SUCCESS;
}

static int log_in(struct ssh_client *c, const struct ssh_opts *o, struct error **err)
{
	int rc = ssh_userauth_none(c->session, NULL);

	if (rc == SSH_AUTH_SUCCESS)
		return 0;
	if (rc == SSH_AUTH_ERROR)
		return ssh_fail(c, ERR_STATE, err, "logging in");
	rc = 0;
	if (o->key_text || o->key_file)
		rc = by_key_of(c, o, err);
	if (!rc && o->agent)
		rc = ssh_userauth_agent(c->session, NULL) == SSH_AUTH_SUCCESS;
	if (!rc && o->own_keys)
		rc = ssh_userauth_publickey_auto(c->session, NULL, NULL) == SSH_AUTH_SUCCESS;
	if (!rc && o->password)
		rc = by_password(c, o, err);
	if (rc)
		return rc < 0 ? -1 : 0;
	error_set(err, ERR_FAILED, "%s@%s port %u: the login is refused (tried: %s%s%s)", c->user, c->host, c->port,
		o->key_text || o->key_file ? "key " : "", o->agent ? "agent " : "", o->password ? "password" : o->own_keys ? "~/.ssh/id_*" : "none");
	return -1;
}

static int open_session(struct ssh_client *c, const struct ssh_opts *o, struct error **err)
{
	if (set_options(c, o) < 0)
		return ssh_fail(c, ERR_USAGE, err, "settings");
	if (ssh_connect(c->session) != SSH_OK) {
		if (intr_check(err) < 0)
			return -1;
		return ssh_fail(c, strstr(ssh_get_error(c->session), "imeout") ? ERR_TIMEOUT : ERR_STATE, err, "cannot connect");
	}
	return check_host(c, o, err) < 0 ? -1 : log_in(c, o, err);
}

struct ssh_client *ssh_client_open(const struct ssh_opts *o, struct error **err)
{
	struct ssh_client *c = xcalloc(1, sizeof(*c));

	c->session = ssh_new();
	if (!c->session)
		abort(); /* only for want of memory */
	c->host = xstrdup(o->host);
	c->user = xstrdup(o->user ? o->user : "root");
	c->port = o->port ? o->port : SSH_PORT;
	c->fd = o->fd > 0 ? o->fd : -1;
	if (open_session(c, o, err) == 0)
		return c;
	ssh_client_close(c);
	return NULL;
}

void ssh_client_close(struct ssh_client *c)
{
	if (!c)
		return;
	if (c->sftp)
		sftp_free(c->sftp);
	ssh_disconnect(c->session);
	ssh_free(c->session);
	cleanup_close(&c->fd); /* libssh leaves a connection that it was given open */
	free(c->host);
	free(c->user);
	free(c);
}

/* ---- commands ---- */

struct running {
	struct ssh_client *c;
	const struct ssh_exec *x;
	ssh_channel ch;
	size_t sent;
	bool in_over;
	int signal; /* that ended it, 0: none */
	uint64_t deadline;
};

static void on_exit_signal(ssh_session session, ssh_channel ch, const char *name, int core, const char *message, const char *lang, void *arg)
{
	static const struct {
		const char *name;
		int number;
	} names[] = { { "HUP", 1 }, { "INT", 2 }, { "QUIT", 3 }, { "ILL", 4 }, { "ABRT", 6 }, { "FPE", 8 }, { "KILL", 9 }, { "SEGV", 11 },
		{ "PIPE", 13 }, { "ALRM", 14 }, { "TERM", 15 } };
	struct running *r = arg;

	r->signal = 9;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (!strcmp(names[i].name, name))
			r->signal = names[i].number;
}

/* Some of the input; the rest when the server has room for it. */
static int feed(struct running *r, struct error **err)
{
	char block[BLOCK];
	const char *p = block;
	ssize_t n = 0;

	if (r->in_over || !ssh_channel_window_size(r->ch))
		return 0;
	if (r->x->in) {
		p = (const char *)r->x->in + r->sent;
		n = r->x->in_len - r->sent < BLOCK ? (ssize_t)(r->x->in_len - r->sent) : BLOCK;
	} else if (r->x->in_fd >= 0) {
		n = read(r->x->in_fd, block, sizeof block);
		if (n < 0 && errno != EINTR)
			return error_errno(err, errno, "its input cannot be read");
	}
	if (n > 0 && ssh_channel_write(r->ch, p, (uint32_t)n) != n)
		return 0; /* the connection's end is found by the reading side */
	r->sent += n > 0 ? (size_t)n : 0;
	if (n == 0) {
		ssh_channel_send_eof(r->ch);
		r->in_over = true;
	}
	return 0;
}

static bool drain(struct running *r, int timeout_ms)
{
	char block[BLOCK];
	bool any = false;

	for (int err = 0; err < 2; err++) {
		int n = err || !timeout_ms ? ssh_channel_read_nonblocking(r->ch, block, sizeof block, err) :
					     ssh_channel_read_timeout(r->ch, block, sizeof block, err, timeout_ms);

		if (n <= 0)
			continue;
		any = true;
		if (r->x->on_output)
			r->x->on_output(r->x->arg, err + 1, block, (size_t)n);
	}
	return any;
}

static int pump(struct running *r, struct error **err)
{
	while (ssh_channel_is_open(r->ch) && !ssh_channel_is_eof(r->ch)) {
		if (intr_check(err) < 0 || feed(r, err) < 0)
			return -1;
		if (r->deadline && loop_now() > r->deadline)
			return error_set(err, ERR_TIMEOUT, "the command did not end in time");
		drain(r, r->in_over ? TURN_MS : 1);
	}
	while (drain(r, 0))
		;
	return 0;
}

/* The status comes behind the last output. */
static int status_of(struct running *r)
{
	int status = -1;

	for (int i = 0; i < 100 && status < 0 && !r->signal && ssh_channel_is_open(r->ch) && ssh_is_connected(r->c->session); i++) {
		status = ssh_channel_get_exit_status(r->ch);
		if (status < 0)
			drain(r, TURN_MS);
	}
	if (status < 0 && !r->signal)
		status = ssh_channel_get_exit_status(r->ch);
	return r->signal ? 128 + r->signal : status < 0 ? SSH_LOST : status;
}

int ssh_client_exec(struct ssh_client *c, const char *command, const struct ssh_exec *x, int *status, struct error **err)
{
	struct running r = { .c = c, .x = x, .ch = ssh_channel_new(c->session) };
	struct ssh_channel_callbacks_struct cb = { .userdata = &r, .channel_exit_signal_function = on_exit_signal };
	int rc = -1;

	*status = SSH_LOST;
	r.deadline = x->timeout_ms >= 0 ? loop_now() + (uint64_t)x->timeout_ms * 1000000 : 0;
	ssh_callbacks_init(&cb);
	ssh_set_channel_callbacks(r.ch, &cb);
	if (ssh_channel_open_session(r.ch) != SSH_OK || (x->pty && ssh_channel_request_pty(r.ch) != SSH_OK) ||
		ssh_channel_request_exec(r.ch, command) != SSH_OK)
		ssh_fail(c, ERR_STATE, err, "cannot run a command");
	else
		rc = pump(&r, err);
	if (rc == 0)
		*status = status_of(&r);
	ssh_remove_channel_callbacks(r.ch, &cb);
	ssh_channel_close(r.ch);
	ssh_channel_free(r.ch);
	return rc;
}

/* ---- keys ---- */

static char *public_line(ssh_key key, const char *comment, struct error **err)
{
	char *b64 = NULL, *line;

	if (ssh_pki_export_pubkey_base64(key, &b64) != SSH_OK) {
		error_set(err, ERR_FAILED, "the public key cannot be written");
		return NULL;
	}
	line = xasprintf("%s %s %s", ssh_key_type_to_char(ssh_key_type(key)), b64, comment);
	ssh_string_free_char(b64);
	return line;
}

char *ssh_client_make_key(const char *path, const char *comment, struct error **err)
{
	ssh_key key = NULL;
	char *line = NULL;
	mode_t old = umask(077);

	if (ssh_pki_generate(SSH_KEYTYPE_ED25519, 0, &key) != SSH_OK)
		error_set(err, ERR_FAILED, "no key can be made");
	else if (ssh_pki_export_privkey_file(key, NULL, NULL, NULL, path) != SSH_OK)
		error_set(err, ERR_FAILED, "%s: the key cannot be written", path);
	else
		line = public_line(key, comment, err);
	umask(old);
	ssh_key_free(key);
	return line;
}

char *ssh_client_public_key(const char *path, const char *comment, struct error **err)
{
	ssh_key key = NULL;
	char *line = NULL;

	if (ssh_pki_import_privkey_file(path, NULL, NULL, NULL, &key) != SSH_OK)
		error_set(err, ERR_FAILED, "%s: is no private key that can be read", path);
	else
		line = public_line(key, comment, err);
	ssh_key_free(key);
	return line;
}
