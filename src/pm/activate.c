/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Units of type socket: they listen, start `unit` at the first connection, and hand the listening sockets to it as
 * descriptors 3, 4 ... with LISTEN_FDS and LISTEN_PID (sd_listen_fds(3)). The sockets stay open over restarts of the unit.
 */
#include "base/cleanup.h"
#include "base/error.h"
#include "base/file.h"
#include "pm/machine.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

static int listen_port(const char *where, struct error **err)
{
	struct sockaddr_in a = { .sin_family = AF_INET };
	const char *colon = strrchr(where, ':');
	char host[64] = "127.0.0.1";
	int one = 1, fd;

	if (colon && colon - where < (long)sizeof(host))
		snprintf(host, sizeof(host), "%.*s", (int)(colon - where), where);
	a.sin_port = htons((uint16_t)atoi(colon ? colon + 1 : where));
	if (!a.sin_port || inet_pton(AF_INET, host, &a.sin_addr) != 1)
		return error_set(err, ERR_USAGE, "listen: '%s' is neither a path with a slash nor [IPv4:]PORT", where);
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return error_errno(err, errno, "socket");
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0 || listen(fd, 128) < 0) {
		int code = errno;

		close(fd);
		return error_errno(err, code, "listen on %s", where);
	}
	return fd;
}

int socket_open(struct unit *u, char why[160])
{
	_cleanup_strv_ struct strv where = STRV_INIT;
	_cleanup_error_ struct error *e = NULL;
	struct launch *l = launch_of(u);

	if (params_words(&u->params, "listen", &where, &e) == 0 && where.len > LAUNCH_SOCKETS)
		error_set(&e, ERR_USAGE, "listen: more than %d sockets", LAUNCH_SOCKETS);
	for (size_t i = 0; !e && i < where.len; i++) {
		int fd = strchr(where.v[i], '/') ? unix_listen(where.v[i], 128, &e) : listen_port(where.v[i], &e);

		if (fd >= 0)
			l->socks[l->nsocks++] = fd;
	}
	if (e) {
		snprintf(why, 160, "%.150s", e->msg);
		return -1;
	}
	socket_watch(u, true);
	return 0;
}

void socket_watch(struct unit *u, bool on)
{
	struct launch *l = u->launch;

	for (int i = 0; l && i < l->nsocks; i++) {
		if (on)
			machine_watch_fd(l->socks[i], EPOLLIN, SEEN_SOCKET, u->index);
		else
			machine_unwatch_fd(l->socks[i]);
	}
}

/* A connection waits: who takes it is started, and we look away until it is down. */
void socket_ready(struct unit *u)
{
	_cleanup_strv_ struct strv ids = STRV_INIT;
	_cleanup_error_ struct error *e = NULL;
	char why[160];

	socket_watch(u, false);
	snprintf(why, sizeof(why), "connection to %.120s", u->id);
	params_words(&u->params, "unit", &ids, &e);
	for (size_t i = 0; i < ids.len; i++) {
		struct unit *t = core_find(&machine.core, ids.v[i]);

		if (!t || core_command(&machine.core, t, PM_EV_START, why, &e) < 0)
			log_line("%s: %s", u->id, t ? e->msg : "the unit that it starts does not exist");
		error_clear(&e);
	}
}

static bool names(const struct unit *s, const char *id)
{
	_cleanup_strv_ struct strv ids = STRV_INIT;
	_cleanup_error_ struct error *e = NULL;

	return params_words(&s->params, "unit", &ids, &e) == 0 && strv_has(&ids, id);
}

size_t socket_fds_of(struct unit *u, int ret[LAUNCH_SOCKETS])
{
	size_t n = 0;

	if (!machine.nsocket_units)
		return 0;
	for (uint32_t i = 0; i < machine.core.nunits; i++) {
		struct unit *s = machine.core.units[i];

		if (!s || s->type != UNIT_SOCKET || s->state != PM_RUNNING || !s->launch || !names(s, u->id))
			continue;
		for (int k = 0; k < s->launch->nsocks && n < LAUNCH_SOCKETS; k++)
			ret[n++] = s->launch->socks[k];
	}
	return n;
}

void socket_target_down(struct unit *u)
{
	for (uint32_t i = 0; machine.nsocket_units && i < machine.core.nunits; i++) {
		struct unit *s = machine.core.units[i];

		if (s && s->type == UNIT_SOCKET && s->state == PM_RUNNING && s->launch && names(s, u->id))
			socket_watch(s, true);
	}
}
