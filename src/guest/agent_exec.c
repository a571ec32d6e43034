/* SPDX-License-Identifier: Apache-2.0 */
#include "call.h"

#include "base/cleanup.h"
#include "base/intr.h"
#include "base/loop.h"
#include "base/mem.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <termios.h>
#include <unistd.h>

#define COLLECT_MAX (16u << 20)
/* So many signals without any frame from the guest between them: the user wants out. */
#define PATIENCE 3
#define GRACE_NS 5000000000ull /* of a command that is to end on a signal */

struct output {
	int fd;
	struct buf *collect;
	struct buf wait; /* not taken by fd yet; a window at most */
	bool regular;
};
struct run {
	const struct agent_exec *x;
	int in_fd;
	bool eof_sent;
	struct output out[2];
	unsigned signals; /* since the last frame */
};

static uint32_t window_size(const struct agent_exec *x)
{
	struct winsize w = { .ws_row = 24, .ws_col = 80 };

	if ((x->out_fd < 0 || ioctl(x->out_fd, TIOCGWINSZ, &w) < 0) && x->in_fd >= 0)
		ioctl(x->in_fd, TIOCGWINSZ, &w);
	return w.ws_col | (uint32_t)w.ws_row << 16;
}

static int on_data(struct call *c, int channel, const uint8_t *p, size_t n, struct error **err)
{
	struct run *r = c->arg;
	struct output *o = &r->out[channel == 2];

	r->signals = 0;
	if (r->x->on_output) {
		r->x->on_output(r->x->arg, channel == 2 ? 2 : 1, p, n);
	} else if (o->collect) {
		if (o->collect->len + n > COLLECT_MAX)
			return error_set(err, ERR_FAILED, "command printed more than 16 MiB");
		buf_add(o->collect, p, n);
	} else if (o->fd >= 0) {
		buf_add(&o->wait, p, n);
		return 0; /* credit when it was written */
	}
	call_credit(c, n);
	return 0;
}

static int on_signal(struct call *c, int signo, struct error **err)
{
	struct run *r = c->arg;

	if (signo == SIGWINCH) {
		if (r->x->tty)
			call_send(c, FRAME_RESIZE, window_size(r->x), NULL, 0);
		return 0;
	}
	if (++r->signals > PATIENCE || !c->open)
		return error_set(err, ERR_INTR, "interrupted; the command in the guest is killed");
	if (r->x->ends_on_signal && !intr_signal) {
		intr_signal = signo;
		c->deadline = loop_now() + GRACE_NS;
	}
	call_send(c, FRAME_SIGNAL, (uint32_t)signo, NULL, 0);
	return 0;
}

/* Writes what poll promised room for, so that a slow reader never blocks us. */
static int write_some(struct call *c, struct output *o, struct error **err)
{
	struct iovec v = { o->wait.data, o->wait.len };
	ssize_t r = -1;

	if (o->regular) {
		r = write(o->fd, v.iov_base, v.iov_len);
	} else {
		r = pwritev2(o->fd, &v, 1, -1, RWF_NOWAIT);
		/* Where that isn't known: a page is what poll promises of pipes and terminals. */
		if (r < 0 && (errno == EOPNOTSUPP || errno == EINVAL || errno == ESPIPE))
			r = write(o->fd, v.iov_base, v.iov_len < 4096 ? v.iov_len : 4096);
	}
	if (r < 0 && (errno == EINTR || errno == EAGAIN))
		return 0;
	if (r < 0)
		return error_errno(err, errno, "write the command's output");
	buf_consume(&o->wait, (size_t)r);
	call_credit(c, (size_t)r);
	return 0;
}

static int read_input(struct call *c, struct run *r, struct error **err)
{
	static __thread uint8_t buf[FRAME_PAYLOAD];
	size_t max = c->credit < sizeof(buf) ? (size_t)c->credit : sizeof(buf);
	ssize_t n = read(r->in_fd, buf, max);

	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return 0;
	/* A terminal that has gone reads EIO: the end of input. */
	if (n < 0 && errno != EIO)
		return error_errno(err, errno, "read the command's input");
	if (n <= 0) {
		r->in_fd = -1;
		call_send(c, FRAME_EOF, 0, NULL, 0);
		return 0;
	}
	c->credit -= (uint64_t)n;
	call_send(c, FRAME_DATA, 0, buf, (size_t)n);
	return 0;
}

static int exec_turn(struct call *c, struct run *r, struct error **err)
{
	struct pollfd p[3];
	struct output *which[3] = { NULL };
	size_t n = 0;

	if (r->in_fd >= 0 && c->open && c->credit > 0 && call_waiting(c) < CALL_BUSY)
		p[n++] = (struct pollfd){ .fd = r->in_fd, .events = POLLIN };
	for (int i = 0; i < 2; i++)
		if (r->out[i].wait.len) {
			which[n] = &r->out[i];
			p[n++] = (struct pollfd){ .fd = r->out[i].fd, .events = POLLOUT };
		}
	if (call_turn(c, p, n, true, err) < 0)
		return -1;
	for (size_t k = 0; k < n; k++) {
		if (!p[k].revents)
			continue;
		if (!which[k] && c->open && read_input(c, r, err) < 0)
			return -1;
		if (which[k] && write_some(c, which[k], err) < 0)
			return -1;
		/* stdout and stderr may be the same pipe: what poll promised is used up. */
		if (which[k])
			break;
	}
	return 0;
}

static void output_init(struct output *o, int fd, struct buf *collect)
{
	struct stat st;

	o->fd = fd;
	o->collect = collect;
	o->regular = fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
}

/* Raw mode, so that every key is the guest's. Returns whether *old must be put back. */
static bool raw_mode(const struct agent_exec *x, struct termios *old)
{
	struct termios t;

	if (!x->tty || x->in_fd < 0 || tcgetattr(x->in_fd, old) < 0)
		return false;
	t = *old;
	cfmakeraw(&t);
	return tcsetattr(x->in_fd, TCSADRAIN, &t) == 0;
}

static void make_items(const struct agent_exec *x, const char *command, struct buf *b)
{
	const char *term = getenv("TERM");

	for (size_t i = 0; !command && x->argv[i]; i++)
		item_str(b, FRAME_K_ARG, x->argv[i]);
	item_str(b, FRAME_K_SHELL, command);
	for (size_t i = 0; x->env && x->env[i]; i++)
		item_str(b, FRAME_K_ENV, x->env[i]);
	item_str(b, FRAME_K_CWD, x->cwd);
	item_str(b, FRAME_K_USER, x->user);
	if (x->in_fd >= 0)
		item_str(b, FRAME_K_STDIN, "");
	if (!x->tty)
		return;
	item_str(b, FRAME_K_TTY, term ? term : "");
	item_u32(b, FRAME_K_SIZE, window_size(x));
}

static int run(struct agent *a, const char *command, const struct agent_exec *x, int *status,
	struct error **err)
{
	_cleanup_buf_ struct buf items = BUF_INIT;
	struct run r = { .x = x, .in_fd = x->in_fd };
	struct call c = { .a = a, .what = "command", .on_data = on_data, .on_signal = on_signal,
		.arg = &r };
	struct termios old;
	bool raw;
	int ret;

	if (!command && (!x->argv || !x->argv[0]))
		return error_set(err, ERR_USAGE, "no command to run");
	output_init(&r.out[0], x->out_fd, x->out);
	output_init(&r.out[1], x->err_fd, x->err);
	make_items(x, command, &items);
	if (call_begin(&c, FRAME_EXEC, &items, x->timeout_ms, err) < 0)
		return -1;
	raw = raw_mode(x, &old);
	ret = 0;
	while (ret == 0 && (!c.over || r.out[0].wait.len || r.out[1].wait.len))
		ret = exec_turn(&c, &r, err);
	if (raw)
		tcsetattr(x->in_fd, TCSADRAIN, &old);
	call_end(&c);
	buf_free(&r.out[0].wait);
	buf_free(&r.out[1].wait);
	if (ret == 0)
		*status = (int)c.status;
	return ret;
}

int agent_exec(struct agent *a, const struct agent_exec *x, int *status, struct error **err)
{
	return run(a, NULL, x, status, err);
}

int agent_shell_command(struct agent *a, const char *command, struct agent_exec *x, int *status,
	struct error **err)
{
	return run(a, command, x, status, err);
}
