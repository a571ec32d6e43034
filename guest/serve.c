/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The loop. The port is a virtio-serial port: reading it gives 0 and poll says POLLHUP for as long as the
 * host side isn't connected (drivers/char/virtio_console.c); connecting is told by SIGIO.
 */
#include "guest.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define GREET_AFTER_MS 100
#define ANSWER_MS 2000 /* for the host to answer a HELLO */
#define PROVOKE_MAX 5
#define IN_BUFFER (256 * 1024)

int serve_init(struct guest *g)
{
	char id[64];
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigaddset(&set, SIGIO);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGPWR);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGUSR2);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	g->port = -1;
	g->sigfd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	g->out_cap = OUT_BUSY + 2 * FRAME_MAX;
	g->out = malloc(g->out_cap);
	if (!g->out || frame_decoder_init(&g->in, IN_BUFFER) < 0 || g->sigfd < 0)
		return -1;
	read_text("/proc/sys/kernel/random/boot_id", id, sizeof(id));
	g->boot_id = strdup(id);
	return g->boot_id ? 0 : -1;
}

static void greet(struct guest *g, bool answer)
{
	uint8_t p[256];
	size_t n = sizeof(FRAME_HELLO_TEXT) - 1;

	memcpy(p, FRAME_HELLO_TEXT, n);
	frame_item_add(p, sizeof(p), &n, FRAME_K_BOOT_ID, g->boot_id, strlen(g->boot_id));
	frame_item_add(
		p, sizeof(p), &n, FRAME_K_VERSION, CROFT_VERSION, sizeof(CROFT_VERSION) - 1);
	out_frame(g, &(struct frame){ .type = FRAME_HELLO,
			     .channel = answer,
			     .value = FRAME_VERSION,
			     .length = (uint32_t)n,
			     .data = p });
	g->greeted = true;
	g->provoke_at = answer || g->socket || g->provoked == PROVOKE_MAX ? 0 : now_ms() + ((uint64_t)ANSWER_MS << g->provoked);
	if (answer)
		g->provoked = 0;
	out_flush(g);
}

/* Our HELLO was not answered: the host is in the middle of a frame that nobody will end, or there is no helper. */
static void provoke(struct guest *g)
{
	static const uint8_t zeros[FRAME_MAX];

	g->provoke_at = 0;
	if (out_waiting(g)) /* nobody reads at all */
		return;
	if (out_bytes(g, zeros, sizeof(zeros)) < 0)
		return;
	g->provoked++;
	greet(g, false);
}

/* SIGIO is for the time without a host side only: else each arriving page would raise it. */
static void set_async(struct guest *g, bool on)
{
	int flags = fcntl(g->port, F_GETFL);

	if (!g->socket && g->port >= 0)
		fcntl(g->port, F_SETFL, on ? flags | O_ASYNC : flags & ~O_ASYNC);
}

static void disconnected(struct guest *g)
{
	set_async(g, true);
	stream_end_all(g);
	out_drop(g);
	g->connected = g->greeted = false;
	g->provoke_at = 0;
}

static void connected(struct guest *g)
{
	frame_decoder_reset(&g->in);
	frame_hunt(&g->in);
	set_async(g, false);
	g->connected = true;
	g->greeted = false;
	g->greet_at = now_ms() + GREET_AFTER_MS;
}

void serve_set_port(struct guest *g, int fd)
{
	struct stat st;
	int flags = fcntl(fd, F_GETFL);

	g->port = fd;
	g->socket = fstat(fd, &st) == 0 && S_ISSOCK(st.st_mode);
	fcntl(fd, F_SETFL, flags | O_NONBLOCK | (g->socket ? 0 : O_ASYNC));
	fcntl(fd, F_SETOWN, getpid());
	g->connected = false;
	if (!g->socket)
		return;
	/* Nothing was sent by an older connection here, and nobody asks first. */
	connected(g);
	g->in.hunting = false;
	greet(g, false);
}

int serve_open_port(struct guest *g)
{
	DIR *d = opendir("/sys/class/virtio-ports");
	char path[300], name[128];
	struct dirent *ent;
	int fd = -1;

	if (!d)
		return -1;
	errno = ENOENT;
	while (fd < 0 && (ent = readdir(d))) {
		if (ent->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "/sys/class/virtio-ports/%s/name", ent->d_name);
		if (read_text(path, name, sizeof(name)) < 0 || strcmp(name, FRAME_PORT) != 0)
			continue;
		snprintf(path, sizeof(path), "/dev/%s", ent->d_name);
		fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	}
	closedir(d);
	if (fd >= 0)
		serve_set_port(g, fd);
	return fd < 0 ? -1 : 0;
}

/* Garbage, or an I/O error: opening anew drops what the kernel still holds. */
static int reopen(struct guest *g)
{
	disconnected(g);
	frame_decoder_reset(&g->in);
	if (g->port >= 0)
		close(g->port);
	g->port = -1;
	return g->socket ? -1 : 0;
}

void serve_frame(struct guest *g, const struct frame *f)
{
	struct stream *s;

	if (f->type == FRAME_HELLO) {
		stream_end_all(g);
		greet(g, true);
		return;
	}
	if (f->type == FRAME_OPEN) {
		if (f->stream != 0)
			stream_open(g, f);
		return;
	}
	s = stream_find(g, f->stream);
	if (!s)
		return;
	switch (f->type) {
	case FRAME_DATA:
		if (f->length > s->window) {
			stream_error(g, s, EPROTO, "data beyond the window");
			break;
		}
		s->window -= f->length;
		if (s->ops && s->ops->data && !s->opening)
			s->ops->data(g, s, f->data, f->length);
		break;
	case FRAME_EOF:
		if (s->ops && s->ops->eof)
			s->ops->eof(g, s);
		break;
	case FRAME_CREDIT:
		s->credit += f->value;
		break;
	case FRAME_SIGNAL:
		if (s->ops && s->ops->signal)
			s->ops->signal(g, s, (int)f->value);
		break;
	case FRAME_RESIZE:
		if (s->ops && s->ops->resize)
			s->ops->resize(g, s, f->value);
		break;
	case FRAME_CLOSE:
		s->over = true;
		break;
	default:
		/* STATE, EXIT, ERROR are never the host's to send here. */
		stream_error(g, s, EPROTO, "unexpected frame");
	}
}

/* Handles what is decoded. Before we are ready only HELLO is; the rest waits in the buffer. */
static int take_frames(struct guest *g)
{
	struct frame f;
	int r = 0;

	while (g->ready || g->in.hunting) {
		r = frame_next(&g->in, &f);
		if (r <= 0)
			break;
		serve_frame(g, &f);
		stream_collect(g);
	}
	return r < 0 ? -1 : 0;
}

static int read_port(struct guest *g)
{
	for (int i = 0; i < 64; i++) {
		size_t n;
		uint8_t *p;
		ssize_t r;

		if (out_waiting(g) > OUT_STUCK)
			return 0;
		p = frame_space(&g->in, &n);
		if (n == 0)
			return 0;
		r = read(g->port, p, n);
		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0 && errno == EAGAIN)
			return 0;
		if (r < 0)
			return -1;
		if (r == 0) {
			disconnected(g);
			return g->socket ? -1 : 0;
		}
		frame_filled(&g->in, (size_t)r);
		/* The port gives a page at a time: decode when a frame may be complete. */
		if (take_frames(g) < 0)
			return -1;
	}
	return 0;
}

static void reap(struct guest *g)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		stream_child(g, pid, status);
}

static void signals(struct guest *g)
{
	struct signalfd_siginfo si;

	while (read(g->sigfd, &si, sizeof(si)) == sizeof(si)) {
		switch (si.ssi_signo) {
		case SIGCHLD:
			reap(g);
			break;
		case SIGIO:
			break;
		case SIGINT: /* Ctrl-Alt-Del */
			g->power = g->pid1 ? 'r' : 'x';
			break;
		case SIGTERM:
			/* busybox reboot sends TERM, poweroff USR2, halt USR1 to init */
			g->power = g->pid1 ? 'r' : 'x';
			break;
		default:
			g->power = g->pid1 ? 'p' : g->power;
		}
	}
}

/* What the port wants to be polled for; while the host side is away only SIGIO tells. */
static short port_events(struct guest *g)
{
	size_t n = 0;

	if (g->port < 0)
		return 0;
	if (!g->connected) {
		struct pollfd p = { .fd = g->port, .events = POLLOUT };

		if (poll(&p, 1, 0) < 0 || (p.revents & POLLHUP))
			return 0;
		connected(g);
	}
	frame_space(&g->in, &n);
	return (short)((out_waiting(g) > OUT_STUCK || n == 0 ? 0 : POLLIN) |
		       (out_waiting(g) ? POLLOUT : 0));
}

static int port_turn(struct guest *g, short revents)
{
	if (revents & (POLLIN | POLLHUP | POLLERR) && read_port(g) < 0)
		return reopen(g);
	if (g->connected && !g->greeted && now_ms() >= g->greet_at)
		greet(g, false);
	if (g->provoke_at && now_ms() >= g->provoke_at)
		provoke(g);
	return 0;
}

static void wait_until(uint64_t when, int *timeout_ms)
{
	uint64_t now = now_ms();
	int left = when > now ? (int)(when - now) : 0;

	if (*timeout_ms < 0 || left < *timeout_ms)
		*timeout_ms = left;
}

int serve_turn(struct guest *g, int timeout_ms, struct pollfd *extra, size_t nextra)
{
	static struct pollfd fds[2 + 16 + STREAMS_MAX * STREAM_FDS];
	size_t n = 0, first[STREAMS_MAX + 1], i = 0;

	if (g->ready && take_frames(g) < 0 && reopen(g) < 0)
		return -1;
	fds[n++] = (struct pollfd){ .fd = g->sigfd, .events = POLLIN };
	fds[n] = (struct pollfd){ .events = port_events(g) };
	fds[n++].fd = g->connected ? g->port : -1;
	for (i = 0; i < nextra && i < 16; i++)
		fds[n++] = extra[i];
	nextra = i;
	i = 0;
	for (struct stream *s = g->streams; s; s = s->next) {
		first[i++] = n;
		if (s->ops && s->ops->wait)
			n += s->ops->wait(g, s, fds + n, &timeout_ms);
	}
	first[i] = n;
	if (g->connected && !g->greeted)
		wait_until(g->greet_at, &timeout_ms);
	else if (g->provoke_at)
		wait_until(g->provoke_at, &timeout_ms);
	/* In case that a kernel does not raise SIGIO. */
	if (g->port >= 0 && !g->connected && (timeout_ms < 0 || timeout_ms > 1000))
		timeout_ms = 1000;
	if (poll(fds, n, timeout_ms) < 0 && errno != EINTR)
		return -1;
	if (fds[0].revents)
		signals(g);
	/* Streams first: a frame handled below may add or end some. */
	i = 0;
	for (struct stream *s = g->streams; s; s = s->next, i++)
		if (s->ops && s->ops->run && !s->over)
			s->ops->run(g, s, fds + first[i], first[i + 1] - first[i]);
	stream_collect(g);
	for (size_t k = 0; k < nextra; k++)
		extra[k].revents = fds[2 + k].revents;
	if (g->connected && port_turn(g, fds[1].revents) < 0)
		return -1;
	if (g->connected && out_flush(g) < 0)
		return reopen(g);
	return 0;
}

void serve_close(struct guest *g)
{
	stream_end_all(g);
	if (g->port >= 0)
		close(g->port);
	if (g->sigfd >= 0)
		close(g->sigfd);
	frame_decoder_free(&g->in);
	free(g->out);
	free(g->boot_id);
}
