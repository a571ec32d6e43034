/* SPDX-License-Identifier: Apache-2.0 */
#include "link.h"

#include "base/blake2b.h"
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/strv.h"

#include <string.h>
#include <sys/utsname.h>

#define GUEST_MAX (64u << 20)
#define ASK_MS 30000

static void collect(void *arg, int stream, const void *p, size_t n)
{
	if (((struct buf *)arg)->len < 65536)
		buf_add(arg, p, n);
}

/* script: for the POSIX shell, without a '. What it printed, both streams, into said. */
static int run(struct ssh_client *c, const char *script, struct buf *said, int *status, struct error **err)
{
	_cleanup_free_ char *line = xasprintf("sh -c '%s'", script);
	struct ssh_exec x = SSH_EXEC_INIT;

	x.on_output = collect;
	x.arg = said;
	x.timeout_ms = ASK_MS;
	if (ssh_client_exec(c, line, &x, status, err) < 0)
		return -1;
	if (*status == SSH_LOST)
		return error_set(err, ERR_STATE, "%s: the connection broke", c->host);
	return 0;
}

struct place {
	char *dir, *key;
	bool have;
	char how; /* r root, s sudo without a question, n neither */
};

/* The last lines are ours; a login script may have said something before. */
static int read_answer(struct ssh_client *c, const char *text, struct place *p, struct error **err)
{
	_cleanup_strv_ struct strv lines = STRV_INIT;
	struct utsname here;
	char there[160];
	size_t at;

	strv_split(&lines, text, "\n");
	for (at = 0; at < lines.len && strcmp(lines.v[at], "croft-link"); at++)
		;
	if (lines.len < at + 5)
		return error_set(err, ERR_FAILED, "%s@%s: its shell does not do what a shell does; it said: %.300s", c->user, c->host, text);
	uname(&here);
	snprintf(there, sizeof(there), "%s %s", here.sysname, here.machine);
	if (strcmp(lines.v[at + 1], there)) {
		error_set(err, ERR_STATE, "%s: it is %s, and croft's program for machines is for %s", c->host, lines.v[at + 1], there);
		return error_hint(err, "croft of that kind of computer can reach it");
	}
	p->dir = xstrdup(lines.v[at + 2]);
	p->how = lines.v[at + 3][0];
	p->have = !strcmp(lines.v[at + 4], "have");
	return 0;
}

static int ask(struct ssh_client *c, struct place *p, struct error **err)
{
	_cleanup_free_ char *script = xasprintf(
		"umask 077; d=\"${XDG_CACHE_HOME:-$HOME/.cache}/croft\"; mkdir -p \"$d\" || exit 1; echo croft-link; uname -sm; echo \"$d\"; "
		"if [ \"$(id -u)\" = 0 ]; then echo r; elif sudo -n true >/dev/null 2>&1; then echo s; else echo n; fi; "
		"if [ -x \"$d/guest-%s\" ]; then echo have; else echo absent; fi",
		p->key);
	_cleanup_buf_ struct buf said = BUF_INIT;
	int status;

	if (run(c, script, &said, &status, err) < 0)
		return -1;
	if (status)
		return error_set(err, ERR_FAILED, "%s@%s: no folder for croft's program: status %d: %.300s", c->user, c->host, status,
			buf_str(&said));
	return read_answer(c, buf_str(&said), p, err);
}

/* Under its name only when it is complete; those of other versions go. */
static int put(struct ssh_client *c, const char *guest, const struct place *p, struct error **err)
{
	_cleanup_free_ char *temp = xasprintf("%s/.guest-%d", p->dir, (int)getpid());
	_cleanup_free_ char *script = xasprintf("cd \"%s\" && rm -f guest-* && mv .guest-%d guest-%s", p->dir, (int)getpid(), p->key);
	_cleanup_buf_ struct buf said = BUF_INIT;
	int status;

	if (ssh_client_upload(c, guest, temp, 0700, err) < 0 || run(c, script, &said, &status, err) < 0)
		return -1;
	return status ? error_set(err, ERR_FAILED, "%s: croft's program cannot be put into %s: %.300s", c->host, p->dir, buf_str(&said)) : 0;
}

static int try(struct ssh_client *c, const char *command, struct error **err)
{
	_cleanup_buf_ struct buf said = BUF_INIT;
	_cleanup_free_ char *script = xasprintf("%s --version", command);
	int status;

	if (run(c, script, &said, &status, err) < 0)
		return -1;
	if (status)
		return error_set(err, ERR_FAILED, "%s: croft's program does not run there: status %d: %.300s", c->host, status, buf_str(&said));
	return 0;
}

static char *key_of(const char *guest, struct error **err)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	uint8_t h[BLAKE2B_LEN];
	char hex[25];

	if (file_read(guest, GUEST_MAX, &b, err) < 0)
		return NULL;
	blake2b(b.data, b.len, h);
	for (int i = 0; i < 12; i++)
		snprintf(hex + 2 * i, 3, "%02x", h[i]);
	return xstrdup(hex);
}

char *link_install(struct ssh_client *c, const char *guest, struct error **err)
{
	struct place p = { .key = key_of(guest, err) };
	char *command = NULL;
	int rc = p.key ? ask(c, &p, err) : -1;

	if (rc == 0 && strpbrk(p.dir, "'\"$`\\\n"))
		rc = error_set(err, ERR_STATE, "%s: the folder %s has a name that a shell does not take as it is", c->host, p.dir);
	if (rc == 0 && !p.have)
		rc = put(c, guest, &p, err);
	if (rc == 0) {
		command = xasprintf("exec %s\"%s/guest-%s\"", p.how == 's' ? "sudo -n " : "", p.dir, p.key);
		rc = try(c, command, err);
	}
	if (rc == 0 && p.how == 'n')
		log_warn("%s: user %s is not root there and has no sudo without a password: commands run as this user", c->host, c->user);
	if (rc < 0)
		free(STEAL(command));
	free(p.dir);
	free(p.key);
	return command;
}
