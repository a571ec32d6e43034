/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `pm shell`: a terminal that stands for a pm. The shell is a unit with the key when-ended=shutdown, so that pm itself ends with
 * it, whatever becomes of us; we only carry bytes between the user's terminal and that of the unit.
 */
#include "base/cleanup.h"
#include "base/mem.h"
#include "base/strv.h"
#include "pm/pm_main.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <termios.h>
#include <unistd.h>

struct carrier {
	struct client_conn conn;
	int master, signals; /* -1: the unit has our own streams */
	struct termios before;
	bool raw;
	int status; /* -1: not known yet */
};

static void take_size(const struct carrier *c)
{
	struct winsize w;

	if (ioctl(0, TIOCGWINSZ, &w) == 0)
		ioctl(c->master, TIOCSWINSZ, &w);
}

/* A pseudo terminal; its other end's name goes into the unit. */
static int open_terminal(struct carrier *c, char *name, size_t size, struct error **err)
{
	struct termios t;
	sigset_t set;

	c->master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (c->master < 0 || grantpt(c->master) < 0 || unlockpt(c->master) < 0 || ptsname_r(c->master, name, size) != 0)
		return error_errno(err, errno, "no terminal for the shell");
	sigemptyset(&set);
	sigaddset(&set, SIGWINCH);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	c->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (c->signals < 0 || tcgetattr(0, &c->before) < 0)
		return error_errno(err, errno, "terminal");
	take_size(c);
	t = c->before;
	cfmakeraw(&t);
	c->raw = tcsetattr(0, TCSAFLUSH, &t) == 0;
	return 0;
}

static int carry(int from, int to)
{
	char text[4096];
	ssize_t n = read(from, text, sizeof(text));

	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return 0;
	for (ssize_t done = 0, k; done < n; done += k) {
		k = write(to, text + done, (size_t)(n - done));
		if (k < 0 && errno == EINTR)
			k = 0;
		else if (k < 0)
			return -1;
	}
	return n > 0 ? 0 : -1;
}

/* -1: pm has gone. */
static int answers(struct carrier *c, struct buf *unit, struct error **err)
{
	for (;;) {
		_cleanup_error_ struct error *e = NULL;
		char *line;
		int mark = client_next(&c->conn, &line, 0, &e);

		if (mark == '-' && !unit->len)
			buf_adds(unit, line + 2);
		else if (mark == '=')
			c->status = atoi(line + 2);
		if (mark == '=' && !unit->len && c->status) /* refused before anything ran */
			return error_set(err, (enum error_class)c->status, "%s", line + 2 + strcspn(line + 2, " ") + 1);
		if (mark <= 0)
			return mark < 0 && e->cls == ERR_TIMEOUT ? 0 : -1;
	}
}

/* Until the shell has ended; where pm ends with it until that has gone. */
static void serve(struct carrier *c, bool ends, struct buf *unit, struct error **err)
{
	struct pollfd p[4] = { { .fd = c->conn.fd, .events = POLLIN }, { .fd = c->master, .events = POLLIN },
		{ .fd = c->master < 0 ? -1 : 0, .events = POLLIN }, { .fd = c->signals, .events = POLLIN } };

	for (;;) {
		struct signalfd_siginfo si;

		if (c->status >= 0 && !ends)
			return;
		if (poll(p, 4, -1) < 0 && errno != EINTR)
			return;
		/* The last words come before the end. The other side is closed while the shell is on its way and after it. */
		if ((p[1].revents & POLLIN) && carry(c->master, 1) < 0)
			p[1].fd = -1;
		else if (p[1].revents & (POLLHUP | POLLERR) && c->status >= 0)
			p[1].fd = -1;
		else if (p[1].revents == POLLHUP)
			poll(NULL, 0, 20);
		if (p[2].revents && carry(0, c->master) < 0)
			p[2].fd = -1;
		while (p[3].revents && read(c->signals, &si, sizeof(si)) == sizeof(si)) {
			if (si.ssi_signo != SIGWINCH)
				return; /* our end of the terminal closes, which is a hang-up for the shell */
			take_size(c);
		}
		if (p[0].revents && answers(c, unit, err) < 0)
			return;
	}
}

static void shell_words(struct strv *words, const char *home, bool ends, const char *terminal, const char *const *command)
{
	_cleanup_free_ char *pmhome = xasprintf("env=PMHOME=%s", home), *cwd = getcwd(NULL, 0), *dir = xasprintf("directory=%s", cwd ? cwd : "/");
	static const char *const streams[] = { "stdin", "stdout", "stderr" };
	const char *shell = getenv("SHELL");

	strv_add(words, "invoke");
	strv_add(words, "title=terminal");
	strv_add(words, "env-inherit=all");
	strv_add(words, pmhome);
	strv_add(words, dir);
	/* The environment of pm may be another terminal's. */
	if (getenv("TERM")) {
		_cleanup_free_ char *term = xasprintf("env=TERM=%s", getenv("TERM"));

		strv_add(words, term);
	}
	strv_add(words, "stop-signal=HUP");
	if (ends)
		strv_add(words, "when-ended=shutdown");
	for (size_t i = 0; i < ARRAY_SIZE(streams); i++) {
		_cleanup_free_ char *w = xasprintf("%s=%s%s", streams[i], *terminal ? "terminal:" : "inherit", terminal);

		strv_add(words, w);
	}
	strv_add(words, "--");
	strv_add(words, *command ? *command : shell && *shell == '/' ? shell : "/bin/sh");
	for (; *command && command[1]; command++)
		strv_add(words, command[1]);
}

int shell_run(const char *home, bool ends, const char *const *command, struct error **err)
{
	static const int ours[3] = { 0, 1, 2 };
	struct carrier c = { .master = -1, .signals = -1, .status = -1 };
	_cleanup_strv_ struct strv words = STRV_INIT;
	_cleanup_buf_ struct buf unit = BUF_INIT;
	char terminal[64] = "";

	if (client_open(&c.conn, home, err) < 0)
		return -1;
	if (!isatty(0) || open_terminal(&c, terminal, sizeof(terminal), err) == 0) {
		shell_words(&words, home, ends, terminal, command);
		if (client_send(&c.conn, (const char *const *)words.v, words.len, *terminal ? NULL : ours, err) == 0)
			serve(&c, ends, &unit, err);
	}
	if (c.raw)
		tcsetattr(0, TCSAFLUSH, &c.before);
	if (!ends && unit.len && c.status >= 0) { /* it has done its duty */
		_cleanup_error_ struct error *e = NULL;
		const char *rm[] = { "remove", unit.data };

		if (client_send(&c.conn, rm, 2, NULL, &e) == 0)
			client_follow(&c.conn, NULL, false, 5000, &e);
	}
	client_close(&c.conn);
	if (c.master >= 0)
		close(c.master);
	if (*err)
		return -1;
	return c.status < 0 ? 1 : c.status;
}
