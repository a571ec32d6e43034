/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stand-in for sudo in the tiny guest, where everybody may do everything: sudo [options] [NAME=VALUE]... COMMAND.
 * Installed set-user-id, it serves ordinary users too.
 */
#include "guest.h"

#include <errno.h>
#include <getopt.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct wish {
	const char *user;
	bool shell, login, nothing;
};

/* The options that scripts use; those that ask, audit or limit have nothing to do here. */
static int options(int argc, char **argv, struct wish *w)
{
	static const struct option longs[] = { { "user", 1, NULL, 'u' }, { "group", 1, NULL, 'g' },
		{ "prompt", 1, NULL, 'p' }, { "login", 0, NULL, 'i' }, { "shell", 0, NULL, 's' },
		{ "preserve-env", 2, NULL, 'E' }, { "set-home", 0, NULL, 'H' },
		{ "non-interactive", 0, NULL, 'n' }, { "stdin", 0, NULL, 'S' },
		{ "validate", 0, NULL, 'v' }, { "list", 0, NULL, 'l' },
		{ "reset-timestamp", 0, NULL, 'k' }, { NULL, 0, NULL, 0 } };
	int c;

	while ((c = getopt_long(argc, argv, "+u:g:p:C:isEHnSAbPvlkK", longs, NULL)) != -1) {
		switch (c) {
		case 'u':
			w->user = optarg;
			break;
		case 'i':
			w->login = w->shell = true;
			break;
		case 's':
			w->shell = true;
			break;
		case 'v':
		case 'l':
		case 'k':
		case 'K':
			w->nothing = true;
			break;
		case '?':
			return -1;
		}
	}
	return 0;
}

static int become(const struct account *a)
{
	char number[16];

	snprintf(number, sizeof(number), "%u", (unsigned)getuid());
	setenv("SUDO_UID", number, 1);
	snprintf(number, sizeof(number), "%u", (unsigned)getgid());
	setenv("SUDO_GID", number, 1);
	setenv("SUDO_USER", getenv("USER") ? getenv("USER") : "root", 1);
	setenv("USER", a->name, 1);
	setenv("LOGNAME", a->name, 1);
	setenv("HOME", a->home, 1);
	setenv("SHELL", a->shell, 1);
	setenv("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", 1);
	if (setgroups(a->ngroups, a->groups) < 0 || setresgid(a->gid, a->gid, a->gid) < 0 ||
		setresuid(a->uid, a->uid, a->uid) < 0)
		return -1;
	return 0;
}

int sudo_main(int argc, char **argv)
{
	struct wish w = { .user = "root" };
	char *shell[4] = { NULL }, path[4096];
	struct account a;

	if (options(argc, argv, &w) < 0)
		return 1;
	for (; optind < argc && strchr(argv[optind], '=') && argv[optind][0] != '='; optind++)
		if (putenv(argv[optind]) != 0)
			return 1;
	if (optind == argc && w.nothing)
		return 0;
	if (optind == argc && !w.shell) {
		fputs("usage: sudo [-nEHis] [-u USER] [--] [NAME=VALUE]... COMMAND [ARG]...\n", stderr);
		return 1;
	}
	if (account_find(w.user, &a) < 0) {
		fprintf(stderr, "sudo: unknown user %s\n", w.user);
		return 1;
	}
	if (become(&a) < 0) {
		fprintf(stderr, "sudo: becoming %s: %s\n", w.user, strerror(errno));
		return 1;
	}
	argv += optind;
	if (optind == argc) {
		shell[0] = a.shell;
		shell[1] = w.login ? strdup("-l") : NULL;
		argv = shell;
	}
	if (w.login && chdir(a.home) < 0)
		errno = 0; /* as sudo: stays where it is */
	if (spawn_lookup(argv[0], getenv("PATH"), path, sizeof(path)) == 0)
		execv(path, argv);
	fprintf(stderr, "sudo: %s: %s\n", argv[0], errno == ENOENT ? "command not found" : strerror(errno));
	return errno == ENOENT ? 127 : 126;
}
