/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The passphrase of encrypted disks, on its way from a file, a pipe or a terminal into the rescue system's memory: it is in no argument,
 * no environment, and no file of this host that it was not in before.
 */
#include "base/cleanup.h"
#include "base/intr.h"
#include "base/mem.h"
#include "machine/rescue.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <termios.h>
#include <unistd.h>

#define KEY_MAX ((size_t)8 << 20) /* cryptsetup's own limit */
#define GIVE_MS 60000

/* One line of the terminal, which does not show it. */
static int ask(const char *name, char *line, size_t size, struct error **err)
{
	struct termios shown, hidden;
	size_t n = 0;
	ssize_t got;

	if (tcgetattr(0, &shown) < 0)
		return error_errno(err, errno, "the terminal");
	hidden = shown;
	hidden.c_lflag &= ~(tcflag_t)ECHO;
	fprintf(stderr, "Passphrase of the disks of %s: ", name);
	tcsetattr(0, TCSAFLUSH, &hidden);
	while (n < size - 1 && (got = read(0, line + n, 1)) == 1 && line[n] != '\n')
		n++;
	tcsetattr(0, TCSAFLUSH, &shown);
	fputc('\n', stderr);
	return intr_check(err) < 0 ? -1 : (int)n;
}

static int copy(int from, int to, const char *what, struct error **err)
{
	char piece[4096];
	size_t all = 0;
	ssize_t n;

	while ((n = read(from, piece, sizeof(piece))) > 0) {
		all += (size_t)n;
		if (all > KEY_MAX) {
			n = error_set(err, ERR_USAGE, "%s: a key of more than 8 MiB is none", what);
			break;
		}
		if (write(to, piece, (size_t)n) != n)
			break;
	}
	explicit_bzero(piece, sizeof(piece));
	if (*err)
		return -1;
	if (n)
		return error_errno(err, errno, "%s", what);
	return all ? 0 : error_set(err, ERR_USAGE, "%s: no key is in it", what);
}

int rescue_read_key(const struct machine *m, const char *file, struct error **err)
{
	_cleanup_close_ int to = memfd_create("luks-key", MFD_CLOEXEC), from = -1;
	char line[1024];
	int n;

	if (to < 0)
		return error_errno(err, errno, "memory for the key");
	if (strcmp(file, "-")) {
		from = open(file, O_RDONLY | O_CLOEXEC);
		if (from < 0)
			return error_errno(err, errno, "%s", file);
		return copy(from, to, file, err) < 0 ? -1 : STEAL_FD(to);
	}
	if (!isatty(0))
		return copy(0, to, "standard input", err) < 0 ? -1 : STEAL_FD(to);
	n = ask(m->name, line, sizeof(line), err);
	if (n == 0)
		error_set(err, ERR_USAGE, "no passphrase was given");
	if (n > 0 && write(to, line, (size_t)n) != n)
		n = error_errno(err, errno, "memory for the key");
	explicit_bzero(line, sizeof(line));
	return n > 0 ? STEAL_FD(to) : -1;
}

int rescue_give_key(struct agent *a, int key, struct error **err)
{
	static const char *const argv[] = { "croft-job", "key", NULL };
	_cleanup_buf_ struct buf said = BUF_INIT;
	struct agent_exec x = AGENT_EXEC_INIT;
	int status;

	if (lseek(key, 0, SEEK_SET) < 0)
		return error_errno(err, errno, "the key");
	x.argv = argv;
	x.in_fd = key;
	x.out = x.err = &said;
	x.timeout_ms = GIVE_MS;
	if (agent_exec(a, &x, &status, err) < 0)
		return -1;
	if (status == 0)
		return 0;
	error_set(err, ERR_FAILED, "the rescue system does not take the key: %s", buf_str(&said));
	return error_hint(err, "if it is of an older croft, make it again: croft image make rescue");
}
