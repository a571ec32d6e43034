/* SPDX-License-Identifier: Apache-2.0 */
/* Copying to and from a store that `croft store serve` has at the other end of a pair of pipes. */
#include "store/framer.h"
#include "store/internal.h"
#include "base/cleanup.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/strv.h"

#include <jansson.h>
#include <stdlib.h>

#define AHEAD 16 /* questions on their way: the line is full while answers are worked on */
#define FLYING_MAX 1024u /* hashes in them: they fit into a pipe, so that nobody waits for both ends of it */

struct store_peer {
	struct wire w;
	char *what;
	uint32_t chunk_max;
	struct buf in, chunks;
	/* push */
	struct store *src;
	struct node_entry ask[WIRE_HASHES];
	size_t nask;
	struct framer *frames;
	/* pull */
	struct session put;
	struct hash want[WIRE_HASHES];
	size_t nwant, wanted; /* of them asked for and not yet come: `flying` */
	struct hash *flying;
	uint32_t nflying[AHEAD];
	size_t flights;
	struct store_copy_result *ret;
};

struct store_peer *store_peer_open(int in, int out, const char *what, const char *path, bool write, struct error **err)
{
	struct store_peer *p = xcalloc(1, sizeof(*p));
	_cleanup_buf_ struct buf b = BUF_INIT;
	struct wire_head h;

	p->what = xstrdup(what);
	p->w = (struct wire){ in, out, p->what };
	p->put = (struct session){ .lock = -1, .pack.fd = -1 };
	p->flying = xcalloc(WIRE_HASHES + FLYING_MAX, sizeof(*p->flying));
	buf_addc(&b, write);
	buf_adds(&b, path ? path : "");
	if (wire_send(&p->w, WIRE_HELLO, WIRE_VERSION, b.data, b.len, err) < 0) {
		error_clear(err); /* what it said before it went is more to the point */
	}
	if (wire_answer(&p->w, WIRE_OK, &h, &p->in, err) < 0) {
		store_peer_close(p);
		return NULL;
	}
	p->chunk_max = h.n;
	return p;
}

void store_peer_close(struct store_peer *p)
{
	if (!p)
		return;
	buf_free(&p->in);
	buf_free(&p->chunks);
	framer_free(p->frames);
	free(p->flying);
	free(p->what);
	free(p);
}

/* A question and its answer. When the line broke, why is what the other side said last. */
static int ask(struct store_peer *p, enum wire_type type, uint32_t n, const void *data, size_t len, enum wire_type want,
	struct wire_head *h, struct error **err)
{
	_cleanup_error_ struct error *sent = NULL;

	if (wire_send(&p->w, type, n, data, len, &sent) < 0) {
		if (wire_answer(&p->w, WIRE_ERROR, h, &p->in, err) == 0)
			return error_set(err, ERR_FAILED, "%s: %s", p->what, buf_str(&p->in));
		error_clear(err);
		return error_move(err, &sent);
	}
	return wire_answer(&p->w, want, h, &p->in, err);
}

/* ---- push ---- */

/* The oldest frame that was made; what the other side says about it comes with the answer to the next question. */
static int send_next(struct store_peer *p, struct error **err)
{
	_cleanup_error_ struct error *sent = NULL;
	struct frame *x = framer_next(p->frames);
	struct wire_head h;
	int rc = x->err ? error_move(err, &x->err) : 0;

	p->ret->missing += x->n;
	p->ret->bytes += x->bytes;
	if (rc == 0 && wire_send(&p->w, WIRE_PUT, x->n, x->body.data, x->body.len, &sent) < 0)
		rc = wire_answer(&p->w, WIRE_OK, &h, &p->in, err) < 0 ? -1 : error_move(err, &sent);
	frame_free(x);
	return rc;
}

static int send_all(struct store_peer *p, struct error **err)
{
	while (framer_pending(p->frames))
		if (send_next(p, err) < 0)
			return -1;
	return 0;
}

static int send_chunks(struct store_peer *p, const struct node_entry *list, size_t n, struct error **err)
{
	struct hash batch[WIRE_HASHES];
	uint64_t bytes = 0;
	uint32_t k = 0;

	for (size_t i = 0; i < n; i++) {
		batch[k++] = list[i].hash;
		bytes += list[i].len;
		if (i + 1 < n && bytes < WIRE_BATCH)
			continue;
		if (framer_full(p->frames) && send_next(p, err) < 0)
			return -1;
		framer_add(p->frames, batch, k);
		k = 0;
		bytes = 0;
	}
	return 0;
}

static int push_asked(struct store_peer *p, struct error **err)
{
	struct hash list[WIRE_HASHES];
	struct wire_head h;
	size_t n = p->nask, lacks = 0;

	p->nask = 0;
	if (!n)
		return 0;
	for (size_t i = 0; i < n; i++)
		list[i] = p->ask[i].hash;
	if (ask(p, WIRE_HAVE, (uint32_t)n, list, n * sizeof(*list), WIRE_OK, &h, err) < 0)
		return -1;
	if (p->in.len != n)
		return wire_bad(&p->w, "what it has", err);
	for (size_t i = 0; i < n; i++)
		if (!p->in.data[i])
			p->ask[lacks++] = p->ask[i];
	return send_chunks(p, p->ask, lacks, err);
}

static int push_visit(void *arg, const struct hash *h, uint64_t len, int level, struct error **err)
{
	struct store_peer *p = arg;

	if (level < 0 && hash_is_hole(h))
		return 0;
	p->ret->chunks++;
	/* Of a node, len is what lies below it. */
	p->ask[p->nask++] = (struct node_entry){ level < 0 ? len : NODE_MAX * sizeof(struct node_entry) / 4, *h };
	return p->nask == WIRE_HASHES / 4 ? push_asked(p, err) : 0;
}

static int push_name(struct store_peer *p, const struct store_ref *r, bool replace, struct error **err)
{
	struct hash root;
	struct wire_head h;
	json_t *j = ref_json(r);
	_cleanup_free_ char *text = json_dumps(j, JSON_COMPACT);

	json_decref(j);
	hash_parse(r->object, &root);
	if (store_walk(p->src, &root, push_visit, p, err) < 0 || push_asked(p, err) < 0 || send_all(p, err) < 0)
		return -1;
	return ask(p, WIRE_REF, replace, text, strlen(text), WIRE_OK, &h, err);
}

int store_push(struct store *src, struct store_peer *p, const char *const *names, size_t n, bool replace,
	struct store_copy_result *ret, struct error **err)
{
	_cleanup_strv_ struct strv all = STRV_INIT;

	*ret = (struct store_copy_result){ 0 };
	p->src = src;
	p->ret = ret;
	p->frames = framer_new(src, true);
	if (src->chunker.max > p->chunk_max)
		return error_set(err, ERR_FAILED, "%s: has larger chunks than %s can take", src->path, p->what);
	for (size_t i = 0; i < n; i++)
		strv_add(&all, names[i]);
	if (!n && ref_names(src, &all, err) < 0)
		return -1;
	for (size_t i = 0; i < all.len; i++) {
		_cleanup_store_ref_ struct store_ref r = { 0 };

		if (store_show(src, all.v[i], &r, err) < 0 || push_name(p, &r, replace, err) < 0)
			return error_wrap(err, "copy %s", all.v[i]);
	}
	return 0;
}

/* ---- pull ---- */

/* The answer to the oldest question, into the session. */
static int land(struct store_peer *p, struct error **err)
{
	const uint32_t n = p->nflying[0];
	const uint32_t *len;
	struct wire_head h;
	uint64_t want = 0;
	const char *at;

	if (wire_answer(&p->w, WIRE_CHUNKS, &h, &p->in, err) < 0)
		return -1;
	if (h.n != n || p->in.len < n * sizeof(*len))
		return wire_bad(&p->w, "chunks that were not asked for", err);
	len = (const uint32_t *)p->in.data;
	for (uint32_t i = 0; i < n; i++) {
		if (len[i] == WIRE_LACKS || len[i] > SLAB_DATA)
			return error_set(err, ERR_FAILED, "%s: a chunk is damaged or missing there", p->what);
		want += len[i];
	}
	if (wire_unpack(&p->w, &p->in, n * sizeof(*len), want, &p->chunks, err) < 0)
		return -1;
	at = p->chunks.data;
	for (uint32_t i = 0; i < n; i++) {
		struct hash is;

		hash_bytes(at, len[i], &is);
		if (memcmp(&is, &p->flying[i], sizeof(is)))
			return error_set(err, ERR_FAILED, "%s: sent a chunk with another hash", p->what);
		session_chunk(&p->put, at, len[i]);
		at += len[i];
		p->ret->missing++;
		p->ret->bytes += len[i];
		if (p->put.nmetaq > 1 && session_flush_meta(&p->put, err) < 0)
			return -1;
	}
	p->flights--;
	memmove(p->nflying, p->nflying + 1, p->flights * sizeof(*p->nflying));
	memmove(p->flying, p->flying + n, (WIRE_HASHES + FLYING_MAX - n) * sizeof(*p->flying));
	return 0;
}

static int land_all(struct store_peer *p, struct error **err)
{
	while (p->flights)
		if (land(p, err) < 0)
			return -1;
	return 0;
}

static int take_off(struct store_peer *p, struct error **err)
{
	size_t at = 0;

	if (!p->nwant)
		return 0;
	for (size_t i = 0; i < p->flights; i++)
		at += p->nflying[i];
	while (p->flights && (p->flights == AHEAD || at + p->nwant > FLYING_MAX)) {
		at -= p->nflying[0];
		if (land(p, err) < 0)
			return -1;
	}
	memcpy(p->flying + at, p->want, p->nwant * sizeof(*p->want));
	if (wire_send(&p->w, WIRE_GET, (uint32_t)p->nwant, p->want, p->nwant * sizeof(*p->want), err) < 0)
		return -1;
	p->nflying[p->flights++] = (uint32_t)p->nwant;
	p->nwant = p->wanted = 0;
	return 0;
}

/* A node, from here or from there: then it is stored as well. */
static int pull_node(struct store_peer *p, const struct hash *h, int below, struct buf *b, struct error **err)
{
	struct wire_head head;
	uint32_t len;
	struct hash is;

	if (store_has(p->put.s, h))
		return node_read(p->put.s, h, below, b, err);
	if (land_all(p, err) < 0 || ask(p, WIRE_GET, 1, h, sizeof(*h), WIRE_CHUNKS, &head, err) < 0)
		return -1;
	if (head.n != 1 || p->in.len < sizeof(len))
		return wire_bad(&p->w, "a node", err);
	memcpy(&len, p->in.data, sizeof(len));
	if (len == WIRE_LACKS || len > SLAB_DATA)
		return error_set(err, ERR_FAILED, "%s: part of the object is damaged or missing there", p->what);
	if (wire_unpack(&p->w, &p->in, sizeof(len), len, b, err) < 0)
		return -1;
	hash_bytes(b->data, b->len, &is);
	if (memcmp(&is, h, sizeof(is)))
		return error_set(err, ERR_FAILED, "%s: sent a chunk with another hash", p->what);
	session_chunk(&p->put, b->data, b->len);
	p->ret->missing++;
	p->ret->bytes += b->len;
	return node_check(h, below, b, err);
}

static int pull_tree(struct store_peer *p, const struct hash *h, int below, struct error **err)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	const struct node_head *n;
	const struct node_entry *e;

	if (pull_node(p, h, below, &b, err) < 0)
		return -1;
	p->ret->chunks++;
	n = (const struct node_head *)b.data;
	e = (const struct node_entry *)(n + 1);
	for (uint32_t i = 0; i < n->count; i++) {
		if (n->level) {
			if (pull_tree(p, &e[i].hash, (int)n->level, err) < 0)
				return -1;
			continue;
		}
		if (hash_is_hole(&e[i].hash))
			continue;
		p->ret->chunks++;
		if (store_has(p->put.s, &e[i].hash))
			continue;
		p->want[p->nwant++] = e[i].hash;
		p->wanted += e[i].len;
		if ((p->nwant == WIRE_HASHES || p->wanted >= WIRE_BATCH) && take_off(p, err) < 0)
			return -1;
	}
	return 0;
}

static int pull_name(struct store_peer *p, const struct store_ref *r, bool replace, struct error **err)
{
	struct store_ref made = *r;
	uint64_t before = p->put.stored;
	struct hash root;

	if (ref_check_new(p->put.s, r->name, replace, err) < 0)
		return -1;
	hash_parse(r->object, &root);
	if (pull_tree(p, &root, LEVELS + 1, err) < 0 || take_off(p, err) < 0 || land_all(p, err) < 0 ||
		session_flush_meta(&p->put, err) < 0 || session_drain(&p->put, err) < 0 || session_seal(&p->put, err) < 0)
		return -1;
	made.stored = p->put.stored - before;
	return ref_write(p->put.s, &made, replace, err);
}

static bool among(const char *const *names, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (!strcmp(names[i], name))
			return true;
	return !n;
}

static int pull_all(struct store_peer *p, json_t *list, const char *const *names, size_t n, bool replace, struct error **err)
{
	size_t i, done = 0;
	json_t *item;

	json_array_foreach(list, i, item) {
		_cleanup_store_ref_ struct store_ref r = { 0 };
		_cleanup_free_ char *text = json_dumps(item, JSON_COMPACT);

		if (!text || ref_parse(text, strlen(text), &r) < 0 || !r.name || name_check("name", r.name, err) < 0) {
			error_clear(err);
			return wire_bad(&p->w, "a name", err);
		}
		if (!among(names, n, r.name))
			continue;
		if (pull_name(p, &r, replace, err) < 0)
			return error_wrap(err, "copy %s", r.name);
		done++;
	}
	for (size_t k = 0; k < n && done < n; k++) {
		bool there = false;

		json_array_foreach(list, i, item)
			there |= json_string_value(json_object_get(item, "name")) &&
				!strcmp(json_string_value(json_object_get(item, "name")), names[k]);
		if (!there)
			return error_set(err, ERR_NOT_FOUND, "%s: nothing is named '%s'", p->what, names[k]);
	}
	return 0;
}

int store_pull(struct store_peer *p, struct store *dst, const char *const *names, size_t n, bool replace,
	struct store_copy_result *ret, struct error **err)
{
	struct wire_head h;
	json_error_t je;
	json_t *list = NULL;
	int rc = -1;

	*ret = (struct store_copy_result){ 0 };
	p->ret = ret;
	if (p->chunk_max > dst->chunker.max)
		return error_set(err, ERR_FAILED, "%s: has larger chunks than %s can take", p->what, dst->path);
	if (ask(p, WIRE_LIST, 0, NULL, 0, WIRE_OK, &h, err) < 0)
		return -1;
	list = json_loadb(buf_str(&p->in), p->in.len, 0, &je);
	if (!json_is_array(list))
		rc = wire_bad(&p->w, "a list of names", err);
	else if (session_begin(&p->put, dst, 0, 0, err) == 0)
		rc = pull_all(p, list, names, n, replace, err);
	if (p->put.s)
		session_end(&p->put);
	json_decref(list);
	return rc;
}
