/* SPDX-License-Identifier: Apache-2.0 */
/* State from files and live processes alone: fast, and nobody is asked who might not answer. */
#include "base/cleanup.h"
#include "base/file.h"
#include "base/mem.h"
#include "internal.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#define TAIL_BYTES 65536

const char *machine_state_name(enum machine_state s)
{
	static const char *const names[] = {
		[MACHINE_STOPPED] = "stopped",
		[MACHINE_STARTING] = "starting",
		[MACHINE_RUNNING] = "running",
		[MACHINE_PAUSED] = "paused",
		[MACHINE_CRASHED] = "crashed",
	};

	return names[s];
}

static bool read_id(const struct machine *m, const char *sub, struct proc_id *id)
{
	_cleanup_free_ char *path = machine_path(m, sub);
	_cleanup_error_ struct error *e = NULL;

	return proc_id_read(path, id, &e) == 0;
}

bool machine_qemu(const struct machine *m, struct proc_id *id)
{
	return read_id(m, "run/qemu.pid", id) && proc_id_alive(id);
}

bool machine_helper(const struct machine *m, struct proc_id *id)
{
	return read_id(m, "run/helper.pid", id) && proc_id_alive(id);
}

static bool have(const struct machine *m, const char *sub)
{
	_cleanup_free_ char *path = machine_path(m, sub);

	return file_exists(path);
}

/* First line of run/status, or NULL. */
static char *status_line(const struct machine *m)
{
	_cleanup_free_ char *path = machine_path(m, "run/status");
	_cleanup_buf_ struct buf b = BUF_INIT;
	_cleanup_error_ struct error *e = NULL;

	if (file_read(path, 4096, &b, &e) < 0)
		return NULL;
	return xstrndup(b.data, strcspn(b.data, "\n"));
}

/* A pid file of QEMU without QEMU: nobody was there to note its end. */
static bool end_unseen(const struct machine *m, bool *this_boot)
{
	struct proc_id id, self;
	_cleanup_error_ struct error *e = NULL;

	if (!read_id(m, "run/qemu.pid", &id))
		return false;
	*this_boot = proc_id_of(getpid(), &self, &e) == 0 && !strcmp(self.boot, id.boot);
	return true;
}

char *machine_last_end(const struct machine *m)
{
	struct proc_id id;
	char *line;
	bool this_boot;

	if (machine_qemu(m, &id))
		return NULL;
	if (have(m, "run/killed"))
		return xstrdup("killed on request");
	line = status_line(m);
	if (line)
		return line;
	if (!end_unseen(m, &this_boot))
		return NULL;
	return xstrdup(this_boot ? "ended while no helper watched it" : "ended with the host");
}

enum machine_state machine_state(const struct machine *m)
{
	_cleanup_free_ char *status = NULL;
	struct proc_id id;
	bool this_boot;

	if (machine_qemu(m, &id)) {
		if (have(m, "run/paused"))
			return MACHINE_PAUSED;
		return have(m, "run/ready") ? MACHINE_RUNNING : MACHINE_STARTING;
	}
	if (have(m, "run/killed"))
		return MACHINE_STOPPED;
	status = status_line(m);
	if (!status) {
		/* The helper is there before QEMU is. */
		if (machine_helper(m, &id))
			return MACHINE_STARTING;
		return end_unseen(m, &this_boot) && this_boot ? MACHINE_CRASHED : MACHINE_STOPPED;
	}
	return !strcmp(status, "exited with status 0") || strstr(status, "not seen") ? MACHINE_STOPPED : MACHINE_CRASHED;
}

const char *machine_state_text(const struct machine *m)
{
	enum machine_state s = machine_state(m);
	struct proc_id id;

	if ((s == MACHINE_STOPPED || s == MACHINE_CRASHED) && read_id(m, "rescue/run/qemu.pid", &id) && proc_id_alive(&id))
		return "rescue";
	return machine_state_name(s);
}

/* The last n lines of a file, without its older part; 0 when there is nothing. */
static int tail(const char *path, int lines, struct buf *b)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	_cleanup_free_ char *text = NULL;
	const char *s;
	struct stat st;
	ssize_t n;
	int found = 0;

	if (fd < 0 || fstat(fd, &st) < 0 || lines <= 0)
		return 0;
	text = xmalloc(TAIL_BYTES);
	n = pread(fd, text, TAIL_BYTES, st.st_size > TAIL_BYTES ? st.st_size - TAIL_BYTES : 0);
	while (n > 0 && (text[n - 1] == '\n' || text[n - 1] == '\r'))
		n--;
	if (n <= 0)
		return 0;
	for (s = text + n; s > text; s--)
		if (s[-1] == '\n' && ++found == lines)
			break;
	for (; s < text + n; s++)
		if (*s != '\r' && *s)
			buf_addc(b, *s);
	buf_addc(b, '\n');
	return found + (found < lines);
}

void machine_console_tail(const struct machine *m, int lines, struct buf *b)
{
	_cleanup_free_ char *now = machine_path(m, "log/console.log"), *old = machine_path(m, "log/console.log.1");
	_cleanup_buf_ struct buf recent = BUF_INIT;
	int n = tail(now, lines, &recent);

	tail(old, lines - n, b);
	buf_add(b, buf_str(&recent), recent.len);
}

void machine_explain(const struct machine *m, struct error **err)
{
	_cleanup_free_ char *log = machine_path(m, "log/qemu.log");
	_cleanup_buf_ struct buf qemu = BUF_INIT, console = BUF_INIT;

	if (!*err)
		return;
	tail(log, 5, &qemu);
	machine_console_tail(m, 8, &console);
	if (qemu.len || console.len) {
		_cleanup_free_ char *msg = xstrdup((*err)->msg);

		free((*err)->msg);
		(*err)->msg = xasprintf("%s%s%s%s%s", msg, qemu.len ? "\nQEMU said:\n" : "", buf_str(&qemu),
			console.len ? "\nlast lines of the console:\n" : "", buf_str(&console));
		for (size_t n = strlen((*err)->msg); n && (*err)->msg[n - 1] == '\n';)
			(*err)->msg[--n] = '\0';
	}
}
