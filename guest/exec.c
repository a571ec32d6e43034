/* SPDX-License-Identifier: Apache-2.0 */
/* Commands: pipes or a pseudo terminal, an own session, an end when the command ends. */
#include "guest.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

/* How long a terminal's last output may take from slave to master after the command's end. */
#define TTY_DRAIN_MS 50

struct exec {
	pid_t pid; /* 0: reaped or never started */
	bool exited, tty;
	uint32_t status;
	uint64_t exited_at;
	int in, out[2]; /* ours; out[1] is -1 with a terminal, where in is a duplicate of out[0] */
	int left[2];	/* after the exit: bytes that were in the pipe then */
	uint8_t *pending; /* input that the command has not taken yet; a window at most */
	size_t start, end;
	bool eof;
};

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static void exec_destroy(struct stream *s)
{
	struct exec *x = s->data;

	if (x->pid > 0)
		kill(-x->pid, SIGKILL);
	close_fd(&x->in);
	close_fd(&x->out[0]);
	close_fd(&x->out[1]);
	free(x->pending);
	free(x);
}

static void close_input(struct exec *x)
{
	/* A terminal has no end of input of its own: its end-of-file character is typed. */
	if (x->tty && x->in >= 0 && write(x->in, "\004", 1) < 0)
		errno = 0;
	close_fd(&x->in);
	x->start = x->end = 0;
}

/* Gives the command what it takes without blocking. Input that nobody reads any more is dropped. */
static size_t give(struct exec *x, const uint8_t *p, size_t n)
{
	size_t done = 0;

	while (x->in >= 0 && done < n) {
		ssize_t r = write(x->in, p + done, n - done);

		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0 && errno == EAGAIN)
			return done;
		if (r < 0)
			close_fd(&x->in);
		else
			done += (size_t)r;
	}
	return n > done && x->in < 0 ? n : done;
}

static void exec_data(struct guest *g, struct stream *s, const uint8_t *p, size_t n)
{
	struct exec *x = s->data;
	size_t done = x->start == x->end ? give(x, p, n) : 0;

	if (done < n && !x->pending)
		x->pending = malloc(FRAME_WINDOW);
	if (done < n && !x->pending) {
		stream_error(g, s, ENOMEM, "out of memory");
		return;
	}
	if (done < n) {
		if (x->start > 0) {
			memmove(x->pending, x->pending + x->start, x->end - x->start);
			x->end -= x->start;
			x->start = 0;
		}
		/* Fits: the window counts what is pending as not consumed. */
		memcpy(x->pending + x->end, p + done, n - done);
		x->end += n - done;
	}
	stream_credit(g, s, done);
}

static void exec_eof(struct guest *g, struct stream *s)
{
	struct exec *x = s->data;

	x->eof = true;
	if (x->start == x->end)
		close_input(x);
}

static void exec_signal(struct guest *g, struct stream *s, int signo)
{
	struct exec *x = s->data;

	if (x->pid > 0 && signo > 0 && signo < NSIG)
		kill(-x->pid, signo);
}

static void exec_resize(struct guest *g, struct stream *s, uint32_t size)
{
	struct winsize w = { .ws_col = (unsigned short)size, .ws_row = (unsigned short)(size >> 16) };
	struct exec *x = s->data;

	if (x->tty && x->out[0] >= 0)
		ioctl(x->out[0], TIOCSWINSZ, &w);
}

static void exec_child(struct guest *g, struct stream *s, pid_t pid, int status)
{
	struct exec *x = s->data;

	if (pid != x->pid)
		return;
	x->pid = 0;
	x->exited = true;
	x->exited_at = now_ms();
	x->status = WIFSIGNALED(status) ? 128u + (uint32_t)WTERMSIG(status) :
					  (uint32_t)WEXITSTATUS(status);
	for (int i = 0; i < 2; i++)
		if (x->out[i] < 0 || ioctl(x->out[i], FIONREAD, &x->left[i]) < 0)
			x->left[i] = 0;
	close_fd(&x->in);
}

/* Moves what one pipe holds into frames; closes it at its end. */
static void take_output(struct guest *g, struct stream *s, int i)
{
	struct exec *x = s->data;

	while (x->out[i] >= 0) {
		size_t n;
		uint8_t *p = out_begin(g, s, &n);
		ssize_t r;

		if (!p)
			return;
		if (x->exited && !x->tty && (size_t)x->left[i] < n)
			n = (size_t)x->left[i];
		r = n ? read(x->out[i], p, n) : 0;
		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0 && errno == EAGAIN) {
			/* The last process has gone when a terminal reads EIO; others may hold it for ever. */
			if (x->exited && (!x->tty || now_ms() >= x->exited_at + TTY_DRAIN_MS))
				close_fd(&x->out[i]);
			return;
		}
		if (r <= 0) {
			close_fd(&x->out[i]);
			return;
		}
		out_end(g, s, (uint8_t)(i + 1), (size_t)r);
		if (x->exited)
			x->left[i] -= (int)r;
	}
}

static size_t exec_wait(struct guest *g, struct stream *s, struct pollfd *p, int *timeout_ms)
{
	struct exec *x = s->data;
	size_t n = 0;

	if (x->start < x->end && x->in >= 0)
		p[n++] = (struct pollfd){ .fd = x->in, .events = POLLOUT };
	if (s->credit == 0 || out_waiting(g) >= OUT_BUSY)
		return n;
	if (x->exited && x->tty && (*timeout_ms < 0 || *timeout_ms > TTY_DRAIN_MS / 5))
		*timeout_ms = TTY_DRAIN_MS / 5;
	for (int i = 0; i < 2; i++)
		if (x->out[i] >= 0)
			p[n++] = (struct pollfd){ .fd = x->out[i], .events = POLLIN };
	return n;
}

static void exec_run(struct guest *g, struct stream *s, const struct pollfd *p, size_t n)
{
	struct exec *x = s->data;
	size_t done;

	if (x->start < x->end) {
		done = give(x, x->pending + x->start, x->end - x->start);
		x->start += done;
		stream_credit(g, s, done);
	}
	if (x->start == x->end && x->eof && x->in >= 0)
		close_input(x);
	for (size_t k = 0; k < n; k++)
		for (int i = 0; i < 2; i++)
			if (p[k].revents && p[k].fd == x->out[i])
				take_output(g, s, i);
	if (!x->exited)
		return;
	take_output(g, s, 0);
	take_output(g, s, 1);
	if (x->out[0] < 0 && x->out[1] < 0)
		stream_exit(g, s, x->status);
}

static const struct stream_ops exec_ops = { .data = exec_data,
	.eof = exec_eof,
	.signal = exec_signal,
	.resize = exec_resize,
	.wait = exec_wait,
	.run = exec_run,
	.child = exec_child,
	.destroy = exec_destroy };

/* The environment: a clean one, then the client's additions; a later value of a name wins. */
struct env {
	char **v;
	size_t n, cap;
};

static int env_add(struct env *e, char *s)
{
	size_t len = s ? strcspn(s, "=") : 0;

	if (!s || len == 0 || s[len] != '=') {
		free(s);
		return s ? 0 : -1;
	}
	for (size_t i = 0; i < e->n; i++)
		if (strncmp(e->v[i], s, len + 1) == 0) {
			free(e->v[i]);
			e->v[i] = s;
			return 0;
		}
	if (e->n + 2 > e->cap) {
		char **more = realloc(e->v, (2 * e->cap + 16) * sizeof(*more));

		if (!more) {
			free(s);
			return -1;
		}
		e->cap = 2 * e->cap + 16;
		e->v = more;
	}
	e->v[e->n++] = s;
	e->v[e->n] = NULL;
	return 0;
}

static int env_addf(struct env *e, const char *name, const char *value)
{
	char *s;

	return asprintf(&s, "%s=%s", name, value) < 0 ? -1 : env_add(e, s);
}

static const char *env_get(const struct env *e, const char *name)
{
	size_t len = strlen(name);

	for (size_t i = 0; i < e->n; i++)
		if (strncmp(e->v[i], name, len) == 0 && e->v[i][len] == '=')
			return e->v[i] + len + 1;
	return NULL;
}

static int make_env(struct stream *s, const struct account *a, const char *term, struct env *e)
{
	struct frame_item it;
	size_t pos = 0;
	int r = 0;

	r |= env_addf(e, "PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
	r |= env_addf(e, "HOME", a->home);
	r |= env_addf(e, "USER", a->name);
	r |= env_addf(e, "LOGNAME", a->name);
	r |= env_addf(e, "SHELL", a->shell);
	r |= env_addf(e, "LANG", "C.UTF-8");
	if (term)
		r |= env_addf(e, "TERM", *term ? term : "linux");
	while (r == 0 && stream_item(s, &pos, FRAME_K_ENV, &it))
		r |= env_add(e, strndup((const char *)it.data, it.length));
	return r;
}

/* argv from the items, or a shell with the command. */
static char **make_argv(struct stream *s)
{
	char *shell = stream_string(s, FRAME_K_SHELL), **v;
	size_t n = 0, pos = 0;
	struct frame_item it;

	while (stream_item(s, &pos, FRAME_K_ARG, &it))
		n++;
	v = calloc(n + 4, sizeof(*v));
	if (!v) {
		free(shell);
		return NULL;
	}
	if (shell) {
		v[0] = strdup(access("/bin/bash", X_OK) == 0 ? "/bin/bash" : "/bin/sh");
		v[1] = strdup("-c");
		v[2] = shell;
		return v;
	}
	for (n = pos = 0; stream_item(s, &pos, FRAME_K_ARG, &it); n++)
		v[n] = strndup((const char *)it.data, it.length);
	return v;
}

static void free_vec(char **v)
{
	for (size_t i = 0; v && v[i]; i++)
		free(v[i]);
	free(v);
}

/* Master in x->out[0]; the slave's fd or -1. */
static int open_tty(struct stream *s, struct exec *x)
{
	struct frame_item it;
	size_t pos = 0;
	int slave, unlock = 0;

	x->out[0] = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
	if (x->out[0] < 0 || ioctl(x->out[0], TIOCSPTLCK, &unlock) < 0)
		return -1;
	slave = ioctl(x->out[0], TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
	x->in = fcntl(x->out[0], F_DUPFD_CLOEXEC, 3);
	if (stream_item(s, &pos, FRAME_K_SIZE, &it) && it.length == 4)
		exec_resize(NULL, s, frame_get32(it.data));
	return slave;
}

struct child_fds {
	int in, out, err, tty;
};

static int open_pipes(struct stream *s, struct exec *x, struct child_fds *c)
{
	int p[2];

	if (stream_has(s, FRAME_K_STDIN)) {
		if (pipe2(p, O_CLOEXEC) < 0)
			return -1;
		c->in = p[0];
		x->in = p[1];
		fcntl(x->in, F_SETFL, O_NONBLOCK);
	} else {
		c->in = open("/dev/null", O_RDONLY | O_CLOEXEC);
	}
	if (c->in < 0 || pipe2(p, O_CLOEXEC) < 0)
		return -1;
	x->out[0] = p[0];
	c->out = p[1];
	if (pipe2(p, O_CLOEXEC) < 0)
		return -1;
	x->out[1] = p[0];
	c->err = p[1];
	fcntl(x->out[0], F_SETFL, O_NONBLOCK);
	fcntl(x->out[1], F_SETFL, O_NONBLOCK);
	return 0;
}

/* A command that couldn't be started says why on its stderr, as a shell would. */
static void not_started(struct guest *g, struct stream *s, const char *name, int code)
{
	size_t n;
	uint8_t *p = out_begin(g, s, &n);

	if (p) {
		int len = snprintf((char *)p, n < 4096 ? n : 4096, "croft: %s: %s\n", name,
			code == ENOENT ? "not found" : strerror(code));

		out_end(g, s, 2, len < 4096 ? (size_t)len : 4095);
	}
	stream_exit(g, s, code == ENOENT ? 127 : 126);
}

static void start(struct guest *g, struct stream *s, struct account *a, char **argv, struct env *e)
{
	struct exec *x = s->data;
	struct child_fds c = { -1, -1, -1, -1 };
	char path[PATH_MAX], *cwd = stream_string(s, FRAME_K_CWD);
	struct spawn sp = { .path = path, .argv = (const char *const *)argv,
		.envp = (const char *const *)e->v, .cwd = cwd };
	const char *fallback = access(a->home, X_OK) == 0 ? a->home : "/";
	int r;

	if (!cwd)
		sp.cwd = fallback;
	/* Dropping to root from root is no change; tests run as anybody. */
	sp.account = geteuid() == 0 ? a : NULL;
	if (x->tty) {
		c.in = c.out = c.err = c.tty = open_tty(s, x);
		r = c.tty;
	} else {
		r = open_pipes(s, x, &c);
	}
	if (r < 0) {
		stream_error(g, s, errno, "cannot make pipes or terminal");
	} else if (cwd && access(cwd, F_OK) < 0) {
		not_started(g, s, cwd, errno == ENOENT ? ENOTDIR : errno);
	} else {
		sp.in = c.in;
		sp.out = c.out;
		sp.err = c.err;
		sp.tty = c.tty;
		x->pid = spawn_lookup(argv[0], env_get(e, "PATH"), path, sizeof(path)) < 0 ?
				 -1 :
				 spawn(&sp);
		if (x->pid < 0) {
			x->pid = 0;
			not_started(g, s, argv[0], errno);
		}
	}
	free(cwd);
	if (x->tty) {
		close_fd(&c.tty);
		return;
	}
	close_fd(&c.in);
	close_fd(&c.out);
	close_fd(&c.err);
}

void exec_open(struct guest *g, struct stream *s)
{
	char *user = stream_string(s, FRAME_K_USER), *term = stream_string(s, FRAME_K_TTY);
	char **argv = make_argv(s);
	struct exec *x = calloc(1, sizeof(*x));
	struct env e = { 0 };
	struct account a;
	char text[160];

	if (x) {
		x->in = x->out[0] = x->out[1] = -1;
		x->tty = term != NULL;
		s->data = x;
		s->ops = &exec_ops;
	}
	if (!x || !argv) {
		stream_error(g, s, ENOMEM, "out of memory");
	} else if (!argv[0]) {
		stream_error(g, s, EINVAL, "no command");
	} else if (account_find(user ? user : "root", &a) < 0) {
		snprintf(text, sizeof(text), "no user %.100s in the guest", user);
		stream_error(g, s, ENOENT, text);
	} else if (make_env(s, &a, term, &e) < 0) {
		stream_error(g, s, ENOMEM, "out of memory");
	} else {
		start(g, s, &a, argv, &e);
	}
	free_vec(argv);
	free_vec(e.v);
	free(user);
	free(term);
}
