/* SPDX-License-Identifier: Apache-2.0 */
/* croft vm console: the serial console, by the socket in the machine's run directory. */
#include "cli/cli.h"
#include "cli/cmd/cmd.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "base/log.h"
#include "machine/machine.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <termios.h>

static struct termios saved;

static void restore_terminal(int *active)
{
	if (*active)
		tcsetattr(0, TCSAFLUSH, &saved);
}

static int raw_terminal(void)
{
	struct termios t;

	if (!isatty(0) || tcgetattr(0, &saved) < 0)
		return 0;
	t = saved;
	cfmakeraw(&t);
	return tcsetattr(0, TCSAFLUSH, &t) == 0;
}

/* "^]" or a character; the byte that it sends. */
static int detach_key(const char *s, unsigned char *ret, struct error **err)
{
	*ret = 0x1d;
	if (!s)
		return 0;
	if (s[0] == '^' && s[1] >= '@' && s[1] <= '_' && !s[2])
		*ret = (unsigned char)(s[1] & 0x1f);
	else if (s[0] == '^' && s[1] >= 'a' && s[1] <= 'z' && !s[2])
		*ret = (unsigned char)(s[1] & 0x1f);
	else
		return error_set(err, ERR_USAGE, "option --detach: '%s' is not a control key as ^] or ^a", s);
	return 0;
}

/* Moves what the person typed to the socket. 1: the detach key, 0: go on, -1: error. */
static int from_terminal(int sock, unsigned char key, bool tty, bool *in_open, struct error **err)
{
	unsigned char p[4096], *end;
	ssize_t n = read(0, p, sizeof p);

	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return 0;
	if (n <= 0) {
		*in_open = false;
		return 0;
	}
	end = tty ? memchr(p, key, (size_t)n) : NULL;
	if (end)
		n = end - p;
	if (n && file_write_all(sock, p, (size_t)n, "console", err) < 0)
		return -1;
	return end ? 1 : 0;
}

static int relay(const struct machine *m, int sock, unsigned char key, bool tty, struct error **err)
{
	bool in_open = true;

	while (!cli_interrupted()) {
		struct pollfd p[2] = { { sock, POLLIN, 0 }, { in_open ? 0 : -1, POLLIN, 0 } };
		char b[8192];
		ssize_t n;
		int r;

		if (poll(p, 2, -1) < 0)
			continue;
		if (p[0].revents) {
			n = read(sock, b, sizeof b);
			if (n == 0 || (n < 0 && errno == ECONNRESET)) {
				log_info("machine %s: its console has closed", m->name);
				return 0;
			}
			if (n < 0 && errno != EINTR)
				return error_errno(err, errno, "machine %s: console", m->name);
			if (n > 0 && file_write_all(1, b, (size_t)n, "standard output", err) < 0)
				return -1;
		}
		if (p[1].revents) {
			r = from_terminal(sock, key, tty, &in_open, err);
			if (r)
				return r < 0 ? -1 : 0;
		}
	}
	return ERR_INTR;
}

static int vm_console_run(const struct cmd_args *a, struct error **err)
{
	_cleanup_machine_ struct machine *m = machine_open(arg_words(a)->v[0], err);
	_cleanup_free_ char *path = NULL;
	_cleanup_close_ int sock = -1;
	_cleanup_buf_ struct buf tail = BUF_INIT;
	unsigned char key;

	if (!m || machine_need_virtual(m, err) < 0 || detach_key(arg_str(a, "detach"), &key, err) < 0)
		return -1;
	switch (machine_state(m)) {
	case MACHINE_STOPPED:
	case MACHINE_CRASHED:
		error_set(err, ERR_STATE, "machine %s: is not running", m->name);
		return error_hint(err, "`croft vm log %s` prints its last console", m->name);
	default:
		break;
	}
	path = machine_path(m, "run/console.sock");
	sock = unix_connect(path, err);
	if (sock < 0)
		return error_wrap(err, "machine %s: console", m->name);
	machine_console_tail(m, 20, &tail);
	fwrite(buf_str(&tail), 1, tail.len, stdout);
	fflush(stdout);
	if (isatty(0))
		log_info("machine %s: console; Ctrl-%c leaves it", m->name, key + '@');

	_cleanup_(restore_terminal) int tty = raw_terminal();

	return relay(m, sock, key, tty, err);
}

static const struct opt console_opts[] = {
	{ 0, "detach", OPT_STRING, "KEY", "Key that leaves the console; default ^]", NULL },
	OPT_END,
};

const struct command cmd_vm_console = {
	.path = "vm console",
	.args = "NAME",
	.summary = "Use the serial console of a machine",
	.help = "Begins with the last lines of what was printed before. Ctrl-] leaves; the machine goes on.",
	.opts = console_opts,
	.min_words = 1,
	.max_words = 1,
	.complete = "machine",
	.run = vm_console_run,
};
