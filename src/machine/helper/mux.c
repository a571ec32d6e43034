/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The agent channel shared by many clients. What must happen on each frame is in the head comment of guest/proto.h
 * (HELPER); here is how it is held:
 *
 * A stream is an entry of one table, guest id -> (client, client's id). Frames are passed on as they are, with the id
 * changed. Towards the guest all go through one queue; while that is long no client is read, so it is bounded by one frame
 * for each client. Towards a client the windows that it granted bound its queue; one that grants much and does
 * not read is disconnected at CLIENT_QUEUE_MAX.
 */
#include "helper.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/path.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#define CLIENTS_MAX 64
#define STREAMS_MAX 1024
#define CLIENT_QUEUE_MAX (8u << 20)
#define GUEST_QUEUE_MAX (256u * 1024)
#define RETRY_NS 100000000ull	   /* after a lost connection to the chardev */
#define SILENCE_NS 2000000000ull /* of a guest that was running when we attached */
#define QUICK_NS 400000000ull	   /* the first times after its memory was replaced: then it is in the middle of nothing, or lost */
#define QUICK_TRIES 5

struct mux_client {
	struct mux *mux;
	struct loop_src *src;
	int fd;
	struct outq out;
	struct frame_decoder in;
};
struct stream {
	uint32_t guest_id, client_id;
	struct mux_client *client; /* NULL: free entry */
	bool open_goes_on;	   /* the last OPEN had more to come */
};
struct mux {
	struct loop *loop;
	char *qemu_path, *sock, *ready_path;
	int fd, listen_fd;
	struct loop_src *src, *listen_src, *retry;
	struct outq out;
	struct frame_decoder in;
	bool adopted, connected_once;
	const struct mux_client *holder; /* replaces the guest's memory: until it goes we stay away */
	unsigned quick;			 /* tries with QUICK_NS that are left */
	enum frame_state state;
	struct buf hello; /* items of the guest's HELLO */
	char *why;	  /* state FRAME_ENDED */
	uint32_t next_id;
	struct mux_client *clients[CLIENTS_MAX];
	struct stream *streams;
	size_t nstreams, cap_streams;
};

static void client_free(struct mux_client *c);
static void guest_lost(struct mux *m);
static void unhold(struct mux *m);
static bool still_there(const struct mux *m, const struct mux_client *c);

static struct stream *by_guest_id(struct mux *m, uint32_t id)
{
	for (size_t i = 0; i < m->nstreams; i++)
		if (m->streams[i].client && m->streams[i].guest_id == id)
			return &m->streams[i];
	return NULL;
}

static struct stream *by_client_id(struct mux *m, const struct mux_client *c, uint32_t id)
{
	for (size_t i = 0; i < m->nstreams; i++)
		if (m->streams[i].client == c && m->streams[i].client_id == id)
			return &m->streams[i];
	return NULL;
}

/* NULL when there are STREAMS_MAX already. */
static struct stream *stream_new(struct mux *m, struct mux_client *c, uint32_t client_id)
{
	struct stream *s = NULL;

	for (size_t i = 0; i < m->nstreams && !s; i++)
		if (!m->streams[i].client)
			s = &m->streams[i];
	if (!s && m->nstreams == STREAMS_MAX)
		return NULL;
	if (!s && m->nstreams == m->cap_streams) {
		m->cap_streams = m->cap_streams ? 2 * m->cap_streams : 16;
		m->streams = xreallocarray(m->streams, m->cap_streams, sizeof(*m->streams));
	}
	if (!s)
		s = &m->streams[m->nstreams++];
	*s = (struct stream){ .guest_id = m->next_id++, .client_id = client_id, .client = c };
	return s;
}

static void stream_forget(struct stream *s)
{
	s->client = NULL;
}

/* While the guest's queue is long clients wait. */
static void watch_all(struct mux *m)
{
	bool full = outq_len(&m->out) >= GUEST_QUEUE_MAX;

	if (m->src)
		loop_fd_events(m->src, EPOLLIN | (outq_len(&m->out) ? EPOLLOUT : 0u));
	for (size_t i = 0; i < CLIENTS_MAX; i++) {
		struct mux_client *c = m->clients[i];

		if (c)
			loop_fd_events(c->src, (full ? 0u : EPOLLIN) | (outq_len(&c->out) ? EPOLLOUT : 0u));
	}
}

static void to_guest(struct mux *m, const struct frame *f)
{
	uint8_t head[FRAME_HEADER];

	if (m->fd < 0)
		return;
	frame_header(head, f);
	/* A lost connection is met where it is read. */
	outq_send(&m->out, m->fd, head, sizeof(head), f->data, f->length);
}

static void say_hello(struct mux *m)
{
	to_guest(m, &(struct frame){ .type = FRAME_HELLO, .value = FRAME_VERSION, .data = (const uint8_t *)FRAME_HELLO_TEXT,
			    .length = sizeof(FRAME_HELLO_TEXT) - 1 });
}

/* -1: the client is gone and freed. */
static int to_client(struct mux_client *c, const struct frame *f)
{
	uint8_t head[FRAME_HEADER];

	frame_header(head, f);
	if (outq_len(&c->out) + f->length > CLIENT_QUEUE_MAX ||
		outq_send(&c->out, c->fd, head, sizeof(head), f->data, f->length) < 0) {
		client_free(c);
		return -1;
	}
	return 0;
}

static int send_state(struct mux_client *c)
{
	struct mux *m = c->mux;
	struct frame f = { .type = FRAME_STATE, .value = m->state };

	if (m->state == FRAME_READY) {
		f.data = (const uint8_t *)m->hello.data;
		f.length = (uint32_t)m->hello.len;
	} else if (m->state == FRAME_ENDED) {
		f.data = (const uint8_t *)m->why;
		f.length = (uint32_t)strlen(m->why);
	}
	return to_client(c, &f);
}

static void client_free(struct mux_client *c)
{
	struct mux *m = c->mux;

	for (size_t i = 0; i < m->nstreams; i++) {
		struct stream *s = &m->streams[i];

		if (s->client != c)
			continue;
		to_guest(m, &(struct frame){ .type = FRAME_CLOSE, .stream = s->guest_id });
		stream_forget(s);
	}
	for (size_t i = 0; i < CLIENTS_MAX; i++)
		if (m->clients[i] == c)
			m->clients[i] = NULL;
	if (m->holder == c)
		unhold(m);
	loop_remove(c->src);
	close(c->fd);
	outq_free(&c->out);
	frame_decoder_free(&c->in);
	free(c);
}

/* Ends all streams, then tells the new state. `text` is why, for ERROR frames. */
static void set_state(struct mux *m, enum frame_state state, const char *text)
{
	m->state = state;
	for (size_t i = 0; i < m->nstreams; i++) {
		struct stream *s = &m->streams[i];
		struct mux_client *c = s->client;
		struct frame f = { .type = FRAME_ERROR, .value = ECONNRESET, .stream = s->client_id,
			.data = (const uint8_t *)text, .length = (uint32_t)strlen(text) };

		if (!c)
			continue;
		stream_forget(s);
		to_client(c, &f);
	}
	for (size_t i = 0; i < CLIENTS_MAX; i++)
		if (m->clients[i])
			send_state(m->clients[i]);
	if (state != FRAME_READY)
		unlink(m->ready_path);
	watch_all(m);
}

/* The program's version, for people and for machine_state, which only looks whether the file is there. */
static void write_ready(struct mux *m)
{
	_cleanup_error_ struct error *e = NULL;
	struct frame_item it;
	size_t pos = 0;
	int n = 0;
	const char *version = "";

	while (frame_item_next((const uint8_t *)m->hello.data, m->hello.len, &pos, &it) > 0)
		if (it.key == FRAME_K_VERSION) {
			version = (const char *)it.data;
			n = (int)it.length;
		}
	if (file_writef(m->ready_path, 0600, &e, "%.*s\n", n, version) < 0)
		log_warn("%s", e->msg);
}

static void on_hello(struct mux *m, const struct frame *f)
{
	const size_t text = sizeof(FRAME_HELLO_TEXT) - 1;

	if (f->value != FRAME_VERSION) {
		free(m->why);
		m->why = xasprintf("the guest program speaks version %u of the protocol, this croft version %u",
			f->value, FRAME_VERSION);
		set_state(m, FRAME_ENDED, m->why);
		return;
	}
	/*
	 * Not asked for: a program that was started anew, and hunts for a HELLO in what its predecessor left unread. The answer
	 * to ours makes it ready.
	 */
	if (f->channel == 0) {
		if (m->state == FRAME_READY)
			set_state(m, FRAME_WAITING, "the guest program was started anew");
		say_hello(m);
		loop_timer_arm(m->retry, SILENCE_NS);
		return;
	}
	/* Ours and an unasked one of the guest crossed; what was opened since then came behind both of ours. */
	if (m->state == FRAME_READY)
		return;
	buf_clear(&m->hello);
	if (f->length > text)
		buf_add(&m->hello, f->data + text, f->length - text);
	else
		buf_adds(&m->hello, "");
	loop_timer_disarm(m->retry);
	write_ready(m);
	set_state(m, FRAME_READY, "");
}

static void on_guest_frame(struct mux *m, struct frame *f)
{
	struct stream *s;
	struct mux_client *c;

	if (f->type == FRAME_HELLO) {
		on_hello(m, f);
		return;
	}
	s = by_guest_id(m, f->stream);
	if (!s)
		return;
	c = s->client;
	f->stream = s->client_id;
	if (f->type == FRAME_EXIT || f->type == FRAME_ERROR)
		stream_forget(s);
	to_client(c, f);
}

static void guest_read(struct mux *m)
{
	struct frame f;
	size_t room;
	uint8_t *p = frame_space(&m->in, &room);
	ssize_t n = read(m->fd, p, room);
	int r;

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		guest_lost(m);
		return;
	}
	frame_filled(&m->in, (size_t)n);
	while ((r = frame_next(&m->in, &f)) > 0)
		on_guest_frame(m, &f);
	if (r < 0)
		guest_lost(m);
	else
		watch_all(m);
}

static void on_guest(void *arg, uint32_t events)
{
	struct mux *m = arg;

	if (events & EPOLLOUT) {
		outq_flush(&m->out, m->fd);
		watch_all(m);
	}
	if (events & (EPOLLIN | EPOLLHUP | EPOLLERR))
		guest_read(m);
}

static void guest_connect(struct mux *m)
{
	_cleanup_error_ struct error *e = NULL;

	m->fd = helper_connect(m->qemu_path, &e);
	if (m->fd < 0) {
		loop_timer_arm(m->retry, RETRY_NS);
		return;
	}
	frame_decoder_reset(&m->in);
	frame_hunt(&m->in);
	m->src = loop_fd(m->loop, m->fd, EPOLLIN, on_guest, m);
	say_hello(m);
	/* A guest that boots may be silent as long as it likes, one that was running answers. */
	if (m->adopted || m->connected_once)
		loop_timer_arm(m->retry, m->quick ? QUICK_NS : SILENCE_NS);
	m->quick -= m->quick > 0;
	m->connected_once = true;
	watch_all(m);
}

static void guest_lost(struct mux *m)
{
	loop_remove(STEAL(m->src));
	if (m->fd >= 0)
		close(STEAL_FD(m->fd));
	outq_free(&m->out);
	if (m->state == FRAME_READY)
		set_state(m, FRAME_WAITING, "the connection to the guest program was lost");
	if (!m->holder)
		loop_timer_arm(m->retry, RETRY_NS);
}

/* The guest is left alone until the client has gone. */
static int hold(struct mux_client *c)
{
	struct mux *m = c->mux;
	bool told = m->state == FRAME_READY;

	if (m->holder || m->state == FRAME_ENDED)
		return -1;
	m->holder = c;
	loop_timer_disarm(m->retry);
	guest_lost(m);
	return told || !still_there(m, c) ? 0 : send_state(c);
}

static void unhold(struct mux *m)
{
	m->holder = NULL;
	m->quick = QUICK_TRIES;
	loop_timer_arm(m->retry, RETRY_NS);
}

/* Not connected: connect. Connected and silent: the guest may wait for the rest of a frame; leave and come back. */
static void on_retry(void *arg)
{
	struct mux *m = arg;

	if (m->fd >= 0)
		guest_lost(m);
	else
		guest_connect(m);
}

/* -1: the client broke the rules and is to be disconnected. */
static int on_open(struct mux_client *c, struct frame *f)
{
	static const char not_ready[] = "the guest program is not ready", busy[] = "too many streams";
	struct mux *m = c->mux;
	struct stream *s = by_client_id(m, c, f->stream);
	const char *no = NULL;

	if (s && !s->open_goes_on)
		return -1;
	if (!s && m->state != FRAME_READY)
		no = not_ready;
	else if (!s && !(s = stream_new(m, c, f->stream)))
		no = busy;
	if (no) {
		to_client(c, &(struct frame){ .type = FRAME_ERROR, .value = EAGAIN, .stream = f->stream,
				     .data = (const uint8_t *)no, .length = (uint32_t)strlen(no) });
		return 0;
	}
	s->open_goes_on = f->channel == 1;
	f->stream = s->guest_id;
	to_guest(m, f);
	return 0;
}

static int on_client_frame(struct mux_client *c, struct frame *f)
{
	struct mux *m = c->mux;
	struct stream *s;

	if (f->type == FRAME_STATE && f->value == FRAME_WAITING)
		return hold(c);
	if (f->type == FRAME_HELLO || f->type == FRAME_STATE)
		return -1;
	if (f->type == FRAME_OPEN)
		return on_open(c, f);
	s = by_client_id(m, c, f->stream);
	if (!s)
		return 0;
	f->stream = s->guest_id;
	if (f->type == FRAME_CLOSE)
		stream_forget(s);
	to_guest(m, f);
	return 0;
}

static bool still_there(const struct mux *m, const struct mux_client *c)
{
	for (size_t i = 0; i < CLIENTS_MAX; i++)
		if (m->clients[i] == c)
			return true;
	return false;
}

static void client_read(struct mux_client *c)
{
	struct mux *m = c->mux;
	struct frame f;
	size_t room;
	uint8_t *p = frame_space(&c->in, &room);
	ssize_t n = read(c->fd, p, room);
	int r;

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		client_free(c);
		watch_all(m);
		return;
	}
	frame_filled(&c->in, (size_t)n);
	while ((r = frame_next(&c->in, &f)) > 0) {
		r = on_client_frame(c, &f);
		/* An answer that could not be sent has freed it already. */
		if (!still_there(m, c))
			break;
		if (r < 0)
			break;
	}
	if (still_there(m, c) && r < 0)
		client_free(c);
	watch_all(m);
}

static void on_client(void *arg, uint32_t events)
{
	struct mux_client *c = arg;
	struct mux *m = c->mux;

	if ((events & EPOLLOUT) && outq_flush(&c->out, c->fd) < 0) {
		client_free(c);
		watch_all(m);
		return;
	}
	if (events & (EPOLLIN | EPOLLHUP | EPOLLERR))
		client_read(c);
	else
		watch_all(m);
}

static void on_connect(void *arg, uint32_t events)
{
	struct mux *m = arg;
	struct mux_client *c;
	int fd = helper_accept(m->listen_fd);
	size_t i = 0;

	if (fd < 0)
		return;
	while (i < CLIENTS_MAX && m->clients[i])
		i++;
	c = i < CLIENTS_MAX ? xcalloc(1, sizeof(*c)) : NULL;
	if (!c || frame_decoder_init(&c->in, FRAME_MAX) < 0) {
		free(c);
		close(fd);
		return;
	}
	c->mux = m;
	c->fd = fd;
	c->src = loop_fd(m->loop, fd, EPOLLIN, on_client, c);
	m->clients[i] = c;
	if (send_state(c) == 0)
		watch_all(m);
}

struct mux *mux_new(struct loop *l, const char *dir, bool adopted, struct error **err)
{
	struct mux *m = xcalloc(1, sizeof(*m));

	*m = (struct mux){ .loop = l, .adopted = adopted, .fd = -1, .listen_fd = -1, .next_id = 1 };
	/* A link to the socket of the program that reaches the guest by ssh, in the place of QEMU's port. */
	m->qemu_path = path_join(dir, "run/way-agent.sock");
	if (!file_exists(m->qemu_path)) {
		free(m->qemu_path);
		m->qemu_path = path_join(dir, "run/qemu-agent.sock");
	}
	m->sock = path_join(dir, "run/agent.sock");
	m->ready_path = path_join(dir, "run/ready");
	unlink(m->ready_path);
	m->retry = loop_timer(l, RETRY_NS, on_retry, m);
	loop_timer_disarm(m->retry);
	if (frame_decoder_init(&m->in, FRAME_MAX) < 0)
		error_errno(err, ENOMEM, "%s", m->sock);
	else
		m->listen_fd = unix_listen(m->sock, 16, err);
	if (m->listen_fd < 0) {
		mux_free(m);
		return NULL;
	}
	fcntl(m->listen_fd, F_SETFL, O_NONBLOCK);
	m->listen_src = loop_fd(l, m->listen_fd, EPOLLIN, on_connect, m);
	guest_connect(m);
	return m;
}

void mux_ended(struct mux *m, const char *why)
{
	free(m->why);
	m->why = xstrdup(why);
	set_state(m, FRAME_ENDED, m->why);
}

void mux_free(struct mux *m)
{
	if (!m)
		return;
	for (size_t i = 0; i < CLIENTS_MAX; i++)
		if (m->clients[i])
			client_free(m->clients[i]);
	loop_remove(m->src);
	loop_remove(m->listen_src);
	loop_remove(m->retry);
	cleanup_close(&m->fd);
	cleanup_close(&m->listen_fd);
	outq_free(&m->out);
	buf_free(&m->hello);
	frame_decoder_free(&m->in);
	free(m->streams);
	free(m->why);
	free(m->qemu_path);
	free(m->sock);
	free(m->ready_path);
	free(m);
}
