/* SPDX-License-Identifier: Apache-2.0 */
#include "boot.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/input.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/utsname.h>
#include <termios.h>
#include <unistd.h>

#define RESPAWN_MS 1000

static void console_open(struct console *c)
{
	struct utsname u;
	struct termios t;

	c->fd = open(c->path, O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
	if (c->fd < 0 || tcgetattr(c->fd, &t) < 0) {
		if (c->fd >= 0)
			close(c->fd);
		c->fd = -1;
		return;
	}
	if (uname(&u) == 0)
		dprintf(c->fd, "\r\n%s: croft " CROFT_VERSION ", Linux %s; type for a shell\r\n",
			u.nodename, u.release);
}

/*
 * The kernel's consoles, as /sys/class/tty/console/active has them. "tty0" is whichever virtual terminal is to be seen, and no shell can have it as
 * its own: that is the first one.
 */
size_t consoles_open(struct console *c, size_t n)
{
	char active[128], *rest = active, *name;
	size_t got = 0;

	read_text("/sys/class/tty/console/active", active, sizeof(active));
	while (got < n && (name = strsep(&rest, " \n")))
		if (*name)
			snprintf(c[got++].path, sizeof(c->path), "/dev/%.50s", strcmp(name, "tty0") ? name : "tty1");
	if (!got && n)
		snprintf(c[got++].path, sizeof(c->path), "/dev/ttyS0");
	for (size_t i = 0; i < got; i++)
		console_open(&c[i]);
	return got;
}

/* What was typed stays in the terminal: the shell reads it. */
static void start_shell(struct console *c)
{
	const char *bash = access("/bin/bash", X_OK) == 0 ? "/bin/bash" : "/bin/sh";
	const char *argv[] = { bash, "-l", NULL };
	const char *env[] = { "HOME=/root", "USER=root", "LOGNAME=root", "SHELL=/bin/bash", "TERM=linux",
		"LANG=C.UTF-8", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		NULL };
	int fd = open(c->path, O_RDWR | O_NOCTTY | O_CLOEXEC);
	struct spawn sp = { .path = bash, .argv = argv, .envp = env, .in = fd, .out = fd, .err = fd,
		.tty = fd, .cwd = access("/root", X_OK) == 0 ? "/root" : "/" };

	if (fd < 0)
		return;
	c->shell = spawn(&sp);
	close(fd);
	close(c->fd);
	c->fd = -1;
	c->again = now_ms() + RESPAWN_MS;
	if (c->shell < 0)
		say("%s: %s", bash, strerror(errno));
}

void console_turn(struct console *c, short revents)
{
	if (c->fd >= 0 && (revents & POLLIN))
		start_shell(c);
	/* Children are reaped elsewhere: a pid that is gone is a shell that ended. */
	if (c->fd < 0 && c->path[0] && now_ms() >= c->again &&
		(c->shell <= 0 || kill(c->shell, 0) < 0)) {
		c->shell = 0;
		c->again = now_ms() + RESPAWN_MS;
		console_open(c);
	}
}

size_t buttons_open(int *fds, size_t n)
{
	size_t got = 0;

	for (int i = 0; i < 16 && got < n; i++) {
		unsigned char keys[KEY_MAX / 8 + 1] = { 0 };
		char path[32];
		int fd;

		snprintf(path, sizeof(path), "/dev/input/event%d", i);
		fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
		if (fd < 0)
			continue;
		if (ioctl(fd, EVIOCGBIT(EV_KEY, sizeof(keys)), keys) >= 0 &&
			(keys[KEY_POWER / 8] & 1 << KEY_POWER % 8))
			fds[got++] = fd;
		else
			close(fd);
	}
	return got;
}

bool button_pressed(int fd)
{
	struct input_event e;
	bool pressed = false;

	while (read(fd, &e, sizeof(e)) == sizeof(e))
		pressed |= e.type == EV_KEY && e.code == KEY_POWER && e.value == 1;
	return pressed;
}
