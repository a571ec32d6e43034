/* SPDX-License-Identifier: Apache-2.0 */
/* croft store copy and serve: between stores here, and over ssh. */
#include "cli/cli.h"
#include "cli/cmd/cmd.h"
#include "cli/cmd/store.h"

#include "base/cleanup.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/proc.h"
#include "store/store.h"

#include <ctype.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

struct ssh_url {
	char *host, *port, *path; /* host with user; port and path may be NULL */
};

static void ssh_url_free(struct ssh_url *u)
{
	free(u->host);
	free(u->port);
	free(u->path);
}
#define _cleanup_ssh_url_ __attribute__((cleanup(ssh_url_free)))

static bool is_http(const char *where)
{
	return !strncmp(where, "http://", 7) || !strncmp(where, "https://", 8);
}

static bool is_remote(const char *where)
{
	return !strncmp(where, "ssh:", 4) || is_http(where);
}

/* "ssh://[USER@]HOST[:PORT][/PATH]" or, with a path below the home there, "ssh:[USER@]HOST[:PATH]". */
static int parse_ssh(const char *where, struct ssh_url *u, struct error **err)
{
	const char *p = where + 4, *end;

	if (!strncmp(p, "//", 2)) {
		p += 2;
		end = strchrnul(p, '/');
		if (*end)
			u->path = xstrdup(end);
		u->host = xstrndup(p, (size_t)(end - p));
		if (strrchr(u->host, ':') && !strchr(strrchr(u->host, ':'), ']')) {
			char *colon = strrchr(u->host, ':');

			*colon = '\0';
			u->port = xstrdup(colon + 1);
		}
	} else {
		end = strchrnul(p, ':');
		u->host = xstrndup(p, (size_t)(end - p));
		if (*end && end[1])
			u->path = xstrdup(end + 1);
	}
	if (!*u->host || *u->host == '-' || u->host[strcspn(u->host, " \t\n'\"\\$`;&|<>()")] ||
		(u->port && (!*u->port || u->port[strspn(u->port, "0123456789")]))) {
		error_set(err, ERR_USAGE, "store %s: not a place that ssh can reach", where);
		return error_hint(err, "ssh://USER@HOST:PORT/PATH or ssh:USER@HOST:PATH");
	}
	return 0;
}

/* The command is always the same: the path goes over the line, not through the shell there. */
static int spawn_ssh(const struct ssh_url *u, struct proc *p, struct error **err)
{
	const char *program = getenv("CROFT_SSH"), *argv[12];
	struct proc_opts o = { .argv = argv, .in = PROC_PIPE, .out = PROC_PIPE, .err = PROC_INHERIT, .die_with_us = true };
	int n = 0;

	argv[n++] = program && *program ? program : "ssh";
	argv[n++] = "-T";
	argv[n++] = "-o";
	argv[n++] = "ServerAliveInterval=15";
	if (u->port) {
		argv[n++] = "-p";
		argv[n++] = u->port;
	}
	argv[n++] = u->host;
	argv[n++] = "croft";
	argv[n++] = "store";
	argv[n++] = "serve";
	argv[n] = NULL;
	return proc_spawn(&o, p, err);
}

/* A program of croft's that reads the files of a web server, and speaks as a croft at the other end does. */
static int spawn_http(const char *url, struct proc *p, struct error **err)
{
	_cleanup_free_ char *program = path_libexec("croft-store-http", err);
	const char *argv[] = { program, url, NULL };
	struct proc_opts o = { .argv = argv, .in = PROC_PIPE, .out = PROC_PIPE, .err = PROC_INHERIT, .die_with_us = true };

	return program ? proc_spawn(&o, p, err) : -1;
}

/* After an error: what ssh's own end says about it. */
static int explain(struct proc *p, bool ssh, int rc, struct error **err)
{
	_cleanup_error_ struct error *why = NULL;
	int status = 0;

	close(p->in);
	p->in = -1;
	if (proc_wait(p, rc < 0 ? 2000 : 60000, &status, &why) < 0)
		return rc;
	if (!ssh)
		return rc;
	if (rc < 0 && WIFEXITED(status) && WEXITSTATUS(status) == 127)
		return error_hint(err, "croft must be installed there, in the PATH of a shell that ssh starts");
	if (rc < 0 && WIFEXITED(status) && WEXITSTATUS(status) == 255)
		return error_hint(err, "ssh itself failed; its message is above");
	return rc;
}

static int copy_remote(const struct cmd_args *a, const char *const *names, size_t n, struct store_copy_result *r,
	struct error **err)
{
	const char *from = arg_words(a)->v[0], *to = arg_words(a)->v[1];
	bool push = is_remote(to), replace = arg_flag(a, "replace");
	const char *there = push ? to : from, *here = push ? from : to;
	_cleanup_ssh_url_ struct ssh_url u = { 0 };
	_cleanup_proc_ struct proc p = PROC_INIT;
	_cleanup_store_ struct store *s = NULL;
	struct store_peer *peer;
	int rc = -1;

	if (is_remote(here)) {
		error_set(err, ERR_USAGE, "store copy: one of the two stores must be on this computer");
		return -1;
	}
	if (is_http(to)) {
		error_set(err, ERR_USAGE, "store %s: stores are read over http, not written", to);
		return error_hint(err, "copy to ssh://HOST/PATH, or to a folder");
	}
	if (!is_http(there) && parse_ssh(there, &u, err) < 0)
		return -1;
	s = store_cmd_open(here, !push, NULL, err);
	if (!s || (is_http(there) ? spawn_http(there, &p, err) : spawn_ssh(&u, &p, err)) < 0)
		return -1;
	peer = store_peer_open(p.out, p.in, there, u.path, push, err);
	if (peer)
		rc = push ? store_push(s, peer, names, n, replace, r, err) : store_pull(peer, s, names, n, replace, r, err);
	store_peer_close(peer);
	return explain(&p, !is_http(there), rc, err);
}

static int copy_run(const struct cmd_args *a, struct error **err)
{
	const struct strv *w = arg_words(a);
	const char *const *names = (const char *const *)w->v + 2;
	struct store_copy_result r;
	int rc;

	if (is_remote(w->v[0]) || is_remote(w->v[1])) {
		rc = copy_remote(a, names, w->len - 2, &r, err);
	} else {
		_cleanup_store_ struct store *src = store_cmd_open(w->v[0], false, NULL, err);
		_cleanup_store_ struct store *dst = src ? store_cmd_open(w->v[1], true, NULL, err) : NULL;

		rc = dst ? store_copy(src, dst, names, w->len - 2, arg_flag(a, "replace"), &r, err) : -1;
	}
	if (rc < 0)
		return -1;
	return store_cmd_print(json_pack("{s:I s:I s:I}", "chunks", (json_int_t)r.chunks, "copied", (json_int_t)r.missing, "bytes",
		(json_int_t)r.bytes), err);
}

static int serve_run(const struct cmd_args *a, struct error **err)
{
	_cleanup_free_ char *path = store_cmd_path(a);

	if (isatty(0) || isatty(1))
		return error_set(err, ERR_USAGE, "store serve: speaks with the croft at the other end of a copy, not with people");
	return store_serve(0, 1, path, true, err);
}

static const struct opt copy_opts[] = {
	{ 0, "replace", OPT_FLAG, NULL, "The name may exist already", NULL },
	OPT_END,
};
static int publish_run(const struct cmd_args *a, struct error **err)
{
	_cleanup_free_ char *path = store_cmd_path(a);
	_cleanup_store_ struct store *s = store_cmd_open(path, false, NULL, err);

	return s ? store_publish(s, err) : -1;
}

static const struct opt publish_opts[] = {
	{ 0, "store", OPT_STRING, "DIR", "The store; default: croft's own", "file" },
	OPT_END,
};
static const struct opt serve_opts[] = {
	{ 0, "store", OPT_STRING, "DIR", "The store when the other side names none", "file" },
	OPT_END,
};

const struct command cmd_store_copy = {
	.path = "store copy", .args = "SRC DST [NAME]...", .summary = "Copy names from one store to another",
	.help = "Only chunks that DST lacks are sent. Copying again after an interruption goes on where it was. One of the stores may be "
		"on another computer: ssh://USER@HOST:PORT/PATH, or ssh:USER@HOST:PATH with a path below the home there, or ssh:HOST for "
		"its default store; croft must be installed there. CROFT_SSH names another program than ssh. SRC may also be http:// or "
		"https://HOST/PATH, where a web server serves the folder of a store that was published; ~/.netrc may hold a password for it, "
		"and CURL_CA_BUNDLE names the certificates to trust.",
	.opts = copy_opts, .min_words = 2, .max_words = -1, .complete = "file", .run = copy_run,
	.examples = "  croft store copy ~/.local/share/croft/store ssh:backup@attic web-2024",
};
const struct command cmd_store_serve = {
	.path = "store serve", .summary = "Answer the croft at the other end of a copy, on stdin and stdout",
	.help = "`croft store copy` starts this through ssh.", .opts = serve_opts, .run = serve_run,
};
const struct command cmd_store_publish = {
	.path = "store publish", .summary = "Let a store be copied from a web server that serves its folder",
	.help = "Writes listing.json, which web servers' readers need since they cannot list folders; every change of the store then keeps it up to "
		"date. `croft store copy http://HOST/PATH DST` reads it. Removing the file ends that.",
	.opts = publish_opts, .run = publish_run,
	.examples = "  croft store publish --store /srv/www/store",
};
