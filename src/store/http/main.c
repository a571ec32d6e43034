/* SPDX-License-Identifier: Apache-2.0 */
/*
 * croft-store-http URL: stands between `croft store copy` and a web server that serves a store's files: on stdin and stdout it answers as
 * `croft store serve` does, for reading only. It loads libcurl, which croft itself does without. What is asked for it finds by the
 * store's indexes, which it fetches first, and fetches record by record, many at once.
 */
#include "store/http/web.h"
#include "store/internal.h"
#include "store/listing.h"
#include "store/wire.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/mem.h"

#include <inttypes.h>
#include <jansson.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define HEADER_MAX 4096u
#define LISTING_MAX (64u << 20)
#define INDEX_MAX (4ull << 30)
#define RECORD_MAX (RAW_MAX + REC_CHUNKS_MAX * sizeof(struct rec_chunk) + sizeof(struct rec_head))
#define QUESTIONS 32
#define KEPT 64 /* records that are kept for the next question: neighbours are asked for one after the other */

struct record {
	uint64_t pack, used;
	uint32_t off;
	unsigned users;
	struct web_get *get;
};
struct question {
	struct hash hashes[WIRE_HASHES];
	struct record *in[WIRE_HASHES]; /* NULL: no index has it */
	uint32_t inner[WIRE_HASHES], len[WIRE_HASHES];
	uint32_t n;
};
struct start {
	uint64_t pack;
	uint32_t off;
};
struct http {
	struct wire w;
	struct web *web;
	uint32_t chunk_max;
	json_t *listing;
	struct index *ix;
	size_t nix;
	struct start *starts; /* of all records, in order of place */
	size_t nstarts;
	struct record **records;
	size_t nrecords;
	uint64_t clock;
	struct question *queue[QUESTIONS];
	size_t nqueue;
	struct block block;
	struct buf in, out, chunks;
};

static int wrong(const char *what, struct error **err)
{
	return error_set(err, ERR_FAILED, "%s: not what croft writes there", what);
}

static int hello(struct http *x, const struct wire_head *h, struct error **err)
{
	_cleanup_buf_ struct buf b = BUF_INIT, list = BUF_INIT;
	int version = 0, avg = 0;
	const char *hash = "";
	json_error_t je;
	json_t *j;
	bool ok;

	if (h->type != WIRE_HELLO || h->n != WIRE_VERSION)
		return error_set(err, ERR_FAILED, "this croft speaks version %d of the copy", WIRE_VERSION);
	if (x->in.len && x->in.data[0])
		return error_set(err, ERR_USAGE, "stores are read over http, not written");
	if (web_file(x->web, "header.json", HEADER_MAX, &b, err) < 0) {
		if ((*err)->cls == ERR_NOT_FOUND)
			error_hint(err, "no store is there");
		return -1;
	}
	j = json_loadb(buf_str(&b), b.len, 0, &je);
	ok = j && json_unpack(j, "{s:i, s:s, s:i}", "croft-store", &version, "hash", &hash, "chunk", &avg) == 0 && version == 1 &&
		!strcmp(hash, "blake2b-256") && avg >= 4096 && avg <= 256 << 10 && !(avg & (avg - 1));
	json_decref(j);
	if (!ok)
		return wrong("header.json", err);
	x->chunk_max = (uint32_t)avg * 4;
	if (web_file(x->web, LISTING, LISTING_MAX, &list, err) < 0) {
		if ((*err)->cls == ERR_NOT_FOUND)
			error_hint(err, "whoever has the store must say once: croft store publish --store DIR");
		return -1;
	}
	x->listing = json_loadb(buf_str(&list), list.len, 0, &je);
	if (!json_is_array(json_object_get(x->listing, "names")) || !json_is_array(json_object_get(x->listing, "indexes")))
		return wrong(LISTING, err);
	return wire_send(&x->w, WIRE_OK, x->chunk_max, NULL, 0, err);
}

static int list(struct http *x, struct error **err)
{
	json_t *names = json_object_get(x->listing, "names");
	_cleanup_free_ char *text = json_dumps(names, JSON_COMPACT);

	if (!text || strlen(text) > WIRE_MAX)
		return wrong(LISTING, err);
	return wire_send(&x->w, WIRE_OK, (uint32_t)json_array_size(names), text, strlen(text), err);
}

/* An index must be as it was written: it says where to read. */
static int take_index(struct http *x, const char *name, const struct buf *b, struct error **err)
{
	_cleanup_close_ int fd = memfd_create("index", MFD_CLOEXEC);
	_cleanup_free_ char *path = xasprintf("/proc/self/fd/%d", fd);
	struct index ix;

	if (fd < 0 || file_write_all(fd, b->data, b->len, name, err) < 0 || index_open(path, &ix, err) < 0)
		return error_wrap(err, "index/%s", name);
	if (!index_check(&ix)) {
		index_close(&ix);
		return error_set(err, ERR_FAILED, "index/%s: is damaged", name);
	}
	x->ix = xreallocarray(x->ix, x->nix + 1, sizeof(*x->ix));
	x->ix[x->nix++] = ix;
	return 0;
}

static int by_start(const void *a, const void *b)
{
	const struct start *x = a, *y = b;

	if (x->pack != y->pack)
		return x->pack < y->pack ? -1 : 1;
	return x->off < y->off ? -1 : x->off > y->off;
}

static void sort_starts(struct http *x)
{
	size_t all = 0, n = 0;

	for (size_t i = 0; i < x->nix; i++)
		all += x->ix[i].head->count;
	x->starts = xcalloc(all + 1, sizeof(*x->starts));
	for (size_t i = 0; i < x->nix; i++)
		for (uint64_t k = 0; k < x->ix[i].head->count; k++) {
			const struct idx_entry *e = &x->ix[i].entries[k];

			if (e->pack < x->ix[i].head->npacks)
				x->starts[n++] = (struct start){ x->ix[i].packs[e->pack], e->off };
		}
	if (n)
		qsort(x->starts, n, sizeof(*x->starts), by_start);
	for (size_t i = 0; i < n; i++)
		if (!x->nstarts || by_start(&x->starts[x->nstarts - 1], &x->starts[i]))
			x->starts[x->nstarts++] = x->starts[i];
}

static int load_indexes(struct http *x, struct error **err)
{
	json_t *item;
	size_t i;

	json_array_foreach(json_object_get(x->listing, "indexes"), i, item) {
		_cleanup_free_ char *path = NULL;
		_cleanup_buf_ struct buf b = BUF_INIT;
		const char *name = json_string_value(item);

		if (!name || strlen(name) != 20 || strspn(name, "0123456789abcdef") != 16 || strcmp(name + 16, ".idx"))
			return wrong(LISTING, err);
		path = xasprintf("index/%s", name);
		if (web_file(x->web, path, INDEX_MAX, &b, err) < 0)
			return (*err)->cls == ERR_NOT_FOUND ? error_hint(err, "the store has changed meanwhile: copy again") : -1;
		if (take_index(x, name, &b, err) < 0)
			return -1;
	}
	sort_starts(x);
	return 0;
}

/* The record there, on its way or here. Its end is where the next one of the pack begins. */
static struct record *record_at(struct http *x, uint64_t pack, uint32_t off)
{
	_cleanup_free_ char *path = NULL;
	const struct start *s;
	struct record *r;
	uint64_t len = 0;

	for (size_t i = 0; i < x->nrecords; i++)
		if (x->records[i]->pack == pack && x->records[i]->off == off)
			return x->records[i];
	s = bsearch(&(struct start){ pack, off }, x->starts, x->nstarts, sizeof(*s), by_start);
	if (s && s + 1 < x->starts + x->nstarts && s[1].pack == pack)
		len = s[1].off - off;
	path = xasprintf("packs/%016" PRIx64 ".pack", pack);
	r = xcalloc(1, sizeof(*r));
	r->pack = pack;
	r->off = off;
	/* The last one of a pack may be followed by one that the index does not know: what is behind it is cut off. */
	r->get = web_start(x->web, path, off, len ? len : RECORD_MAX, RECORD_MAX);
	x->records = xreallocarray(x->records, x->nrecords + 1, sizeof(*x->records));
	x->records[x->nrecords++] = r;
	return r;
}

static void drop_old(struct http *x)
{
	while (x->nrecords > KEPT) {
		size_t oldest = x->nrecords;

		for (size_t i = 0; i < x->nrecords; i++)
			if (!x->records[i]->users && (oldest == x->nrecords || x->records[i]->used < x->records[oldest]->used))
				oldest = i;
		if (oldest == x->nrecords)
			return;
		web_get_free(x->web, x->records[oldest]->get);
		free(x->records[oldest]);
		x->records[oldest] = x->records[--x->nrecords];
	}
}

static int ask(struct http *x, const struct wire_head *h, struct error **err)
{
	const struct hash *hashes = (const struct hash *)x->in.data;
	struct question *q;

	if (h->n > WIRE_HASHES || x->in.len != h->n * sizeof(*hashes))
		return wire_bad(&x->w, "a list of hashes", err);
	if (!x->ix && load_indexes(x, err) < 0)
		return -1;
	q = x->queue[x->nqueue++] = xcalloc(1, sizeof(*q));
	q->n = h->n;
	for (uint32_t i = 0; i < h->n; i++) {
		const struct idx_entry *e = NULL;

		q->hashes[i] = hashes[i];
		for (size_t k = x->nix; k-- && !e;) {
			e = index_find(&x->ix[k], &hashes[i]);
			if (e)
				q->in[i] = record_at(x, x->ix[k].packs[e->pack], e->off);
		}
		if (!e)
			continue;
		q->inner[i] = e->inner;
		q->len[i] = e->len;
		q->in[i]->users++;
		q->in[i]->used = ++x->clock;
	}
	return 0;
}

static bool ready(const struct question *q)
{
	for (uint32_t i = 0; i < q->n; i++)
		if (q->in[i] && !q->in[i]->get->done)
			return false;
	return true;
}

/* Unpacks the record unless it is the one of before. */
static int unpack(struct http *x, struct record *r, struct error **err)
{
	const struct rec_head *h = (const struct rec_head *)r->get->body.data;
	size_t len = r->get->body.len;

	if (r->get->err)
		return error_move(err, &r->get->err);
	if (x->block.valid && x->block.pack == r->pack && x->block.off == r->off)
		return 0;
	if (len >= sizeof(*h) && len > (uint64_t)sizeof(*h) + (uint64_t)h->nchunks * sizeof(struct rec_chunk) + h->stored)
		len = sizeof(*h) + h->nchunks * sizeof(struct rec_chunk) + h->stored;
	if (block_parse(&x->block, r->get->body.data, len, r->get->path, err) < 0)
		return -1;
	x->block.pack = r->pack;
	x->block.off = r->off;
	return 0;
}

static int answer(struct http *x, struct error **err)
{
	_cleanup_free_ struct question *q = x->queue[0];

	memmove(x->queue, x->queue + 1, --x->nqueue * sizeof(*x->queue));
	buf_clear(&x->out);
	buf_clear(&x->chunks);
	for (uint32_t i = 0; i < q->n; i++) {
		uint32_t len = WIRE_LACKS;

		if (q->in[i] && x->chunks.len < WIRE_MAX / 2) {
			if (unpack(x, q->in[i], err) < 0)
				return -1;
			if ((uint64_t)q->inner[i] + q->len[i] <= x->block.rawlen) {
				len = q->len[i];
				buf_add(&x->chunks, x->block.raw + q->inner[i], len);
			}
		}
		buf_add(&x->out, &len, sizeof(len));
	}
	for (uint32_t i = 0; i < q->n; i++)
		if (q->in[i])
			q->in[i]->users--;
	drop_old(x);
	if (wire_pack(&x->out, &x->chunks, WIRE_NEAR, err) < 0)
		return -1;
	return wire_send(&x->w, WIRE_CHUNKS, q->n, x->out.data, x->out.len, err);
}

/* One frame, when it may be read now: 0; 1 at the end of the input. */
static int take_frame(struct http *x, struct error **err)
{
	struct wire_head h;

	if (wire_recv(&x->w, true, &h, &x->in, err) < 0)
		return -1;
	if (!h.type)
		return 1;
	if (!x->listing)
		return hello(x, &h, err);
	if (h.type == WIRE_GET)
		return ask(x, &h, err);
	while (x->nqueue) /* answers come in the order of the questions */
		if ((ready(x->queue[0]) ? answer(x, err) : web_step(x->web, -1, 1000, err)) < 0)
			return -1;
	return h.type == WIRE_LIST ? list(x, err) : wire_bad(&x->w, "a question that this server does not know", err);
}

static int run(struct http *x, struct error **err)
{
	int rc = 0;

	while (rc == 0) {
		struct pollfd p = { .fd = x->w.in, .events = POLLIN };

		if (x->nqueue && ready(x->queue[0]))
			rc = answer(x, err);
		else if (x->nqueue < QUESTIONS && poll(&p, 1, x->nqueue ? 0 : -1) == 1)
			rc = take_frame(x, err);
		else
			rc = web_step(x->web, x->nqueue < QUESTIONS ? x->w.in : -1, 1000, err);
	}
	return rc < 0 ? -1 : 0;
}

int main(int argc, char **argv)
{
	struct http x = { .w = { 0, 1, "croft" } };
	struct error *e = NULL;
	_cleanup_buf_ struct buf b = BUF_INIT;

	if (argc != 2) {
		fprintf(stderr, "usage: croft-store-http URL, started by `croft store copy`\n");
		return 2;
	}
	signal(SIGPIPE, SIG_IGN);
	x.web = web_new(argv[1]);
	if (run(&x, &e) == 0)
		return 0;
	buf_adds(&b, e->msg);
	if (e->hint) {
		buf_addc(&b, '\0');
		buf_adds(&b, e->hint);
	}
	wire_send(&x.w, WIRE_ERROR, (uint32_t)e->cls, b.data, b.len, &(struct error *){ NULL });
	return 1;
}
