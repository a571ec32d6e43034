/* SPDX-License-Identifier: Apache-2.0 */
#include "qemu/nbd.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "base/mem.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>

#define ANSWER_MS 120000
#define PIECE (16u << 20)
#define STATUS_PIECE (1u << 30)
#define TEXT_MAX (64u << 10)

enum { OPT_GO = 7, OPT_STRUCTURED = 8, OPT_SET_META = 10 };
enum { REP_ACK = 1, REP_INFO = 3, REP_META = 4 };
enum { CMD_READ = 0, CMD_WRITE = 1, CMD_DISC = 2, CMD_FLUSH = 3, CMD_ZERO = 6, CMD_STATUS = 7 };
enum { CHUNK_NONE = 0, CHUNK_DATA = 1, CHUNK_HOLE = 2, CHUNK_STATUS = 5, CHUNK_ERROR = 0x8000 };
#define OPT_MAGIC 0x49484156454f5054ull
#define OPT_REPLY_MAGIC 0x3e889045565a9ull
#define REQUEST_MAGIC 0x25609513u
#define SIMPLE_MAGIC 0x67446698u
#define STRUCTURED_MAGIC 0x668e33efu

struct nbd {
	int fd;
	char *what; /* for messages: "SOCK, export NAME" */
	uint64_t size, cookie;
	uint32_t bitmap; /* id of its context; the other one is base:allocation */
	bool has_bitmap;
	pthread_mutex_t mutex;
};

static void put16be(uint8_t *p, uint16_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}
static void put32be(uint8_t *p, uint32_t v)
{
	put16be(p, (uint16_t)(v >> 16));
	put16be(p + 2, (uint16_t)v);
}
static void put64be(uint8_t *p, uint64_t v)
{
	put32be(p, (uint32_t)(v >> 32));
	put32be(p + 4, (uint32_t)v);
}
static uint16_t get16be(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}
static uint32_t get32be(const uint8_t *p)
{
	return (uint32_t)get16be(p) << 16 | get16be(p + 2);
}
static uint64_t get64be(const uint8_t *p)
{
	return (uint64_t)get32be(p) << 32 | get32be(p + 4);
}

static int take(struct nbd *n, void *p, size_t len, struct error **err)
{
	while (len) {
		struct pollfd f = { .fd = n->fd, .events = POLLIN };
		int r = poll(&f, 1, ANSWER_MS);
		ssize_t got;

		if (r < 0 && errno == EINTR)
			continue;
		if (r == 0)
			return error_set(err, ERR_TIMEOUT, "%s: no answer in %d s", n->what, ANSWER_MS / 1000);
		got = recv(n->fd, p, len, 0);
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return error_set(err, ERR_STATE, "%s: the connection was closed", n->what);
		p = (char *)p + got;
		len -= (size_t)got;
	}
	return 0;
}

static int give(struct nbd *n, const void *p, size_t len, struct error **err)
{
	while (len) {
		ssize_t done = send(n->fd, p, len, MSG_NOSIGNAL);

		if (done < 0 && errno == EINTR)
			continue;
		if (done <= 0)
			return error_set(err, ERR_STATE, "%s: the connection was closed", n->what);
		p = (const char *)p + done;
		len -= (size_t)done;
	}
	return 0;
}

static int option(struct nbd *n, uint32_t opt, const void *data, uint32_t len, struct error **err)
{
	uint8_t head[16];

	put64be(head, OPT_MAGIC);
	put32be(head + 8, opt);
	put32be(head + 12, len);
	return give(n, head, sizeof(head), err) < 0 ? -1 : give(n, data, len, err);
}

/* One reply to an option: its type, its data in text (TEXT_MAX). */
static int option_reply(struct nbd *n, uint32_t *type, uint8_t *text, uint32_t *len, struct error **err)
{
	uint8_t head[20];

	if (take(n, head, sizeof(head), err) < 0)
		return -1;
	*type = get32be(head + 12);
	*len = get32be(head + 16);
	if (get64be(head) != OPT_REPLY_MAGIC || *len > TEXT_MAX)
		return error_set(err, ERR_FAILED, "%s: not NBD", n->what);
	if (take(n, text, *len, err) < 0)
		return -1;
	if (*type & 0x80000000u)
		return error_set(err, *type == 0x80000006u ? ERR_NOT_FOUND : ERR_FAILED, "%s: refused: %.*s", n->what, (int)*len, text);
	return 0;
}

/* base:allocation, and the bitmap. */
static int choose_contexts(struct nbd *n, const char *export, const char *bitmap, uint8_t *text, struct error **err)
{
	const char *const alloc = "base:allocation";
	_cleanup_free_ char *dirty = bitmap ? xasprintf("qemu:dirty-bitmap:%s", bitmap) : NULL;
	const char *const queries[] = { alloc, dirty };
	size_t at = 0, ne = strlen(export);
	uint32_t type = 0, len;

	put32be(text, (uint32_t)ne);
	memcpy(text + 4, export, ne);
	at = 4 + ne;
	put32be(text + at, bitmap ? 2 : 1);
	at += 4;
	for (size_t i = 0; i < (bitmap ? 2u : 1u); i++) {
		size_t k = strlen(queries[i]);

		put32be(text + at, (uint32_t)k);
		memcpy(text + at + 4, queries[i], k);
		at += 4 + k;
	}
	if (option(n, OPT_SET_META, text, (uint32_t)at, err) < 0)
		return -1;
	for (;;) {
		if (option_reply(n, &type, text, &len, err) < 0)
			return -1;
		if (type != REP_META || len < 4)
			break;
		if (dirty && len - 4 == strlen(dirty) && !memcmp(text + 4, dirty, len - 4)) {
			n->bitmap = get32be(text);
			n->has_bitmap = true;
		}
	}
	if (bitmap && !n->has_bitmap)
		return error_set(err, ERR_NOT_FOUND, "%s: it has no bitmap %s", n->what, bitmap);
	return 0;
}

static int negotiate(struct nbd *n, const char *export, const char *bitmap, uint8_t *text, struct error **err)
{
	uint32_t type = 0, len;
	size_t ne = strlen(export);

	if (take(n, text, 18, err) < 0)
		return -1;
	if (memcmp(text, "NBDMAGIC", 8) || get64be(text + 8) != OPT_MAGIC)
		return error_set(err, ERR_FAILED, "%s: not NBD", n->what);
	put32be(text, 3); /* fixed newstyle, no zeroes behind the handshake */
	if (give(n, text, 4, err) < 0 || option(n, OPT_STRUCTURED, NULL, 0, err) < 0 || option_reply(n, &type, text, &len, err) < 0 ||
		choose_contexts(n, export, bitmap, text, err) < 0)
		return -1;
	put32be(text, (uint32_t)ne);
	memcpy(text + 4, export, ne);
	put16be(text + 4 + ne, 0);
	if (option(n, OPT_GO, text, (uint32_t)(6 + ne), err) < 0)
		return -1;
	do {
		if (option_reply(n, &type, text, &len, err) < 0)
			return -1;
		if (type == REP_INFO && len >= 12 && get16be(text) == 0)
			n->size = get64be(text + 2);
	} while (type != REP_ACK);
	return 0;
}

struct nbd *nbd_connect(const char *sock, const char *export, const char *bitmap, struct error **err)
{
	_cleanup_nbd_ struct nbd *n = xcalloc(1, sizeof(*n));
	_cleanup_free_ uint8_t *text = xmalloc(TEXT_MAX);

	pthread_mutex_init(&n->mutex, NULL);
	n->what = xasprintf("%s, export %s", sock, export);
	n->fd = strlen(export) + (bitmap ? strlen(bitmap) : 0) < 4096 ? unix_connect(sock, err) : error_set(err, ERR_USAGE, "%s: name too long", n->what);
	if (n->fd < 0 || negotiate(n, export, bitmap, text, err) < 0)
		return NULL;
	return STEAL(n);
}

static int request(struct nbd *n, uint16_t command, uint64_t off, uint32_t len, struct error **err)
{
	uint8_t head[28];

	put32be(head, REQUEST_MAGIC);
	put16be(head + 4, 0);
	put16be(head + 6, command);
	put64be(head + 8, ++n->cookie);
	put64be(head + 16, off);
	put32be(head + 24, len);
	return give(n, head, sizeof(head), err);
}

void nbd_close(struct nbd *n)
{
	_cleanup_error_ struct error *e = NULL;

	if (!n)
		return;
	if (n->fd >= 0) {
		request(n, CMD_DISC, 0, 0, &e);
		close(n->fd);
	}
	pthread_mutex_destroy(&n->mutex);
	free(n->what);
	free(n);
}

uint64_t nbd_size(const struct nbd *n)
{
	return n->size;
}

struct run {
	uint64_t len;
	bool set;
};
struct told {
	struct run *v;
	size_t n, cap;
	uint64_t sum;
};
/* Takes one chunk of an answer; `on` handles its payload. 1: more come, 0: that was the last. */
struct answer {
	int (*on)(struct nbd *n, struct answer *a, uint16_t type, uint32_t len, struct error **err);
	uint8_t *to; /* read: where byte `off` goes */
	uint64_t off, len;
	struct told told[2]; /* status: zeros; dirty */
};

static int failed(struct nbd *n, uint32_t len, struct error **err)
{
	uint8_t b[TEXT_MAX];
	uint16_t k;

	if (len < 6 || len > sizeof(b))
		return error_set(err, ERR_FAILED, "%s: malformed answer", n->what);
	if (take(n, b, len, err) < 0)
		return -1;
	k = get16be(b + 4);
	return error_set(err, ERR_FAILED, "%s: %s: %.*s", n->what, strerror((int)get32be(b)), k <= len - 6 ? (int)k : 0, b + 6);
}

static int chunk(struct nbd *n, struct answer *a, struct error **err)
{
	uint8_t head[20];
	uint32_t magic, len;
	uint16_t flags, type;
	int rc = 0;

	if (take(n, head, 16, err) < 0)
		return -1;
	magic = get32be(head);
	if (magic == SIMPLE_MAGIC) {
		if (get32be(head + 4))
			return error_set(err, ERR_FAILED, "%s: %s", n->what, strerror((int)get32be(head + 4)));
		return a->on ? error_set(err, ERR_FAILED, "%s: an answer without data", n->what) : 0;
	}
	if (magic != STRUCTURED_MAGIC || take(n, head + 16, 4, err) < 0)
		return *err ? -1 : error_set(err, ERR_FAILED, "%s: not an NBD answer", n->what);
	flags = get16be(head + 4);
	type = get16be(head + 6);
	len = get32be(head + 16);
	if (get64be(head + 8) != n->cookie)
		return error_set(err, ERR_FAILED, "%s: an answer to another request", n->what);
	if (type & CHUNK_ERROR)
		return failed(n, len, err);
	if (type != CHUNK_NONE)
		rc = a->on ? a->on(n, a, type, len, err) : error_set(err, ERR_FAILED, "%s: unexpected data", n->what);
	return rc < 0 ? -1 : !(flags & 1);
}

static int whole_answer(struct nbd *n, struct answer *a, struct error **err)
{
	int rc;

	while ((rc = chunk(n, a, err)) > 0)
		;
	/* After an error the two sides may not agree any more where in the stream they are. */
	if (rc < 0)
		shutdown(n->fd, SHUT_RDWR);
	return rc;
}

static int on_data(struct nbd *n, struct answer *a, uint16_t type, uint32_t len, struct error **err)
{
	uint8_t head[12];
	uint64_t off, size;

	if (len < (type == CHUNK_HOLE ? 12 : 8) || take(n, head, type == CHUNK_HOLE ? 12 : 8, err) < 0)
		return *err ? -1 : error_set(err, ERR_FAILED, "%s: malformed answer", n->what);
	off = get64be(head);
	size = type == CHUNK_HOLE ? get32be(head + 8) : len - 8;
	if ((type != CHUNK_HOLE && type != CHUNK_DATA) || off < a->off || off - a->off > a->len || size > a->len - (off - a->off))
		return error_set(err, ERR_FAILED, "%s: data that was not asked for", n->what);
	if (type == CHUNK_DATA)
		return take(n, a->to + (off - a->off), size, err);
	memset(a->to + (off - a->off), 0, size);
	return 0;
}

static int one(struct nbd *n, uint16_t command, uint64_t off, uint32_t len, const void *data, struct answer *a, struct error **err)
{
	int rc;

	pthread_mutex_lock(&n->mutex);
	rc = request(n, command, off, len, err);
	if (rc == 0 && data)
		rc = give(n, data, len, err);
	if (rc == 0)
		rc = whole_answer(n, a, err);
	pthread_mutex_unlock(&n->mutex);
	return rc;
}

int nbd_read(struct nbd *n, void *p, size_t len, uint64_t off, struct error **err)
{
	for (size_t done = 0; done < len;) {
		uint32_t k = len - done < PIECE ? (uint32_t)(len - done) : PIECE;
		struct answer a = { .on = on_data, .to = (uint8_t *)p + done, .off = off + done, .len = k };

		if (one(n, CMD_READ, off + done, k, NULL, &a, err) < 0)
			return -1;
		done += k;
	}
	return 0;
}

int nbd_write(struct nbd *n, const void *p, size_t len, uint64_t off, struct error **err)
{
	for (size_t done = 0; done < len;) {
		uint32_t k = len - done < PIECE ? (uint32_t)(len - done) : PIECE;
		struct answer a = { 0 };

		if (one(n, CMD_WRITE, off + done, k, (const uint8_t *)p + done, &a, err) < 0)
			return -1;
		done += k;
	}
	return 0;
}

int nbd_zero(struct nbd *n, uint64_t len, uint64_t off, struct error **err)
{
	while (len) {
		uint32_t k = len < PIECE ? (uint32_t)len : PIECE;
		struct answer a = { 0 };

		if (one(n, CMD_ZERO, off, k, NULL, &a, err) < 0)
			return -1;
		off += k;
		len -= k;
	}
	return 0;
}

int nbd_flush(struct nbd *n, struct error **err)
{
	struct answer a = { 0 };

	return one(n, CMD_FLUSH, 0, 0, NULL, &a, err);
}

/* What one context tells, in order and without gaps from the request's start on. */
static void note(struct told *t, uint64_t len, bool set)
{
	if (t->n && t->v[t->n - 1].set == set) {
		t->v[t->n - 1].len += len;
	} else {
		if (t->n == t->cap) {
			t->cap = t->cap ? 2 * t->cap : 64;
			t->v = xreallocarray(t->v, t->cap, sizeof(*t->v));
		}
		t->v[t->n++] = (struct run){ len, set };
	}
	t->sum += len;
}

static int on_status(struct nbd *n, struct answer *a, uint16_t type, uint32_t len, struct error **err)
{
	_cleanup_free_ uint8_t *b = len >= 4 && len <= (64u << 20) ? xmalloc(len) : NULL;
	struct told *t;
	bool dirty;

	if (!b || type != CHUNK_STATUS || take(n, b, len, err) < 0)
		return *err ? -1 : error_set(err, ERR_FAILED, "%s: malformed answer", n->what);
	dirty = n->has_bitmap && get32be(b) == n->bitmap;
	t = &a->told[dirty];
	for (uint32_t i = 4; i + 8 <= len && t->sum < a->len; i += 8) {
		uint64_t k = get32be(b + i);

		/* base:allocation: bit 1 reads as zeros; a bitmap: bit 0 dirty */
		note(t, k < a->len - t->sum ? k : a->len - t->sum, get32be(b + i + 4) & (dirty ? 1 : 2));
	}
	return 0;
}

struct extents {
	struct nbd_extent *v;
	size_t n, cap;
};

static void add_extent(struct extents *l, uint64_t start, uint64_t len, bool zero, bool dirty)
{
	struct nbd_extent *last = l->n ? &l->v[l->n - 1] : NULL;

	if (last && last->zero == zero && last->dirty == dirty) {
		last->len += len;
		return;
	}
	if (l->n == l->cap) {
		l->cap = l->cap ? 2 * l->cap : 64;
		l->v = xreallocarray(l->v, l->cap, sizeof(*l->v));
	}
	l->v[l->n++] = (struct nbd_extent){ start, len, zero, dirty };
}

/* Both lists side by side, for `len` bytes that both tell of. */
static void merge(struct extents *l, const struct told *zero, const struct told *dirty, uint64_t off, uint64_t len)
{
	size_t z = 0, d = 0;
	uint64_t zleft = zero->n ? zero->v[0].len : len, dleft = dirty->n ? dirty->v[0].len : len;

	while (len) {
		uint64_t k = zleft < dleft ? zleft : dleft;

		k = k < len ? k : len;
		if (k)
			add_extent(l, off, k, zero->n && zero->v[z].set, !dirty->n || dirty->v[d].set);
		off += k;
		len -= k;
		zleft -= k;
		dleft -= k;
		if (!zleft && len)
			zleft = zero->v[++z].len;
		if (!dleft && len)
			dleft = dirty->v[++d].len;
	}
}

int nbd_extents(struct nbd *n, struct nbd_extent **ret, size_t *len, struct error **err)
{
	struct extents l = { 0 };
	int rc = 0;

	for (uint64_t off = 0; rc == 0 && off < n->size;) {
		uint32_t piece = n->size - off < STATUS_PIECE ? (uint32_t)(n->size - off) : STATUS_PIECE;
		struct answer a = { .on = on_status, .off = off, .len = piece };
		uint64_t done = 0;

		rc = one(n, CMD_STATUS, off, piece, NULL, &a, err);
		/* QEMU tells a part when there is much; what it told for both is taken, the rest asked for again. */
		if (rc == 0)
			done = n->has_bitmap && a.told[1].sum < a.told[0].sum ? a.told[1].sum : a.told[0].sum;
		if (rc == 0 && !done)
			rc = error_set(err, ERR_FAILED, "%s: it does not tell where its data is", n->what);
		merge(&l, &a.told[0], &a.told[1], off, done);
		free(a.told[0].v);
		free(a.told[1].v);
		off += done;
	}
	if (rc < 0) {
		free(l.v);
		return -1;
	}
	*ret = l.v;
	*len = l.n;
	return 0;
}
