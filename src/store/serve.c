/* SPDX-License-Identifier: Apache-2.0 */
/* The other end of a copy: answers questions about one store. The chunks it takes have the names that they hash to, whatever is said. */
#include "store/framer.h"
#include "store/internal.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/path.h"

#include <jansson.h>
#include <poll.h>
#include <stdlib.h>

struct serve {
	struct wire w;
	struct store *s;
	struct session put;
	struct framer *frames; /* answers to WIRE_GET that are being made */
	bool writing;
	struct buf in, chunks;
};

static int hello(struct serve *v, const struct wire_head *h, const char *path, bool make, struct error **err)
{
	const char *asked = v->in.len > 1 ? v->in.data + 1 : path;
	_cleanup_free_ char *header = path_join(asked, "header.json");
	bool write = v->in.len && v->in.data[0];

	if (h->type != WIRE_HELLO || h->n != WIRE_VERSION || v->s)
		return error_set(err, ERR_FAILED, "this croft speaks version %d of the copy", WIRE_VERSION);
	if (write && make && !file_exists(header) && store_create(asked, 0, err) < 0)
		return -1;
	v->s = store_open(asked, err);
	if (!v->s)
		return -1;
	if (write) {
		v->writing = true;
		if (session_begin(&v->put, v->s, 0, 0, err) < 0)
			return -1;
	}
	return wire_send(&v->w, WIRE_OK, v->s->chunker.max, NULL, 0, err);
}

static int list(struct serve *v, struct error **err)
{
	struct store_ref *refs = NULL;
	_cleanup_free_ char *text = NULL;
	json_t *j = json_array();
	size_t n;

	if (store_list(v->s, &refs, &n, err) < 0) {
		json_decref(j);
		return -1;
	}
	for (size_t i = 0; i < n; i++) {
		json_array_append_new(j, ref_json(&refs[i]));
		store_ref_free(&refs[i]);
	}
	free(refs);
	text = json_dumps(j, JSON_COMPACT);
	json_decref(j);
	if (!text || strlen(text) > WIRE_MAX)
		return error_set(err, ERR_FAILED, "the list of names is too long to be sent");
	return wire_send(&v->w, WIRE_OK, (uint32_t)n, text, strlen(text), err);
}

static int check_hashes(const struct serve *v, const struct wire_head *h, struct error **err)
{
	return h->n <= WIRE_HASHES && v->in.len == h->n * sizeof(struct hash) ? 0 : wire_bad(&v->w, "a list of hashes", err);
}

static int have(struct serve *v, const struct wire_head *h, struct error **err)
{
	const struct hash *list = (const struct hash *)v->in.data;
	uint8_t there[WIRE_HASHES];

	if (check_hashes(v, h, err) < 0)
		return -1;
	for (uint32_t i = 0; i < h->n; i++)
		there[i] = store_has(v->s, &list[i]);
	return wire_send(&v->w, WIRE_OK, h->n, there, h->n, err);
}

/* The oldest answer that is being made. */
static int send_next(struct serve *v, struct error **err)
{
	struct frame *x = framer_next(v->frames);
	int rc = x->err ? error_move(err, &x->err) : wire_send(&v->w, WIRE_CHUNKS, x->n, x->body.data, x->body.len, err);

	frame_free(x);
	return rc;
}

static int get(struct serve *v, const struct wire_head *h, struct error **err)
{
	if (check_hashes(v, h, err) < 0)
		return -1;
	if (!v->frames)
		v->frames = framer_new(v->s, false);
	if (framer_full(v->frames) && send_next(v, err) < 0)
		return -1;
	framer_add(v->frames, (const struct hash *)v->in.data, h->n);
	return 0;
}

/* Answers go out in order: all of them when the question is of another kind, or while there is no other to be read. */
static int send_ready(struct serve *v, bool all, struct error **err)
{
	while (v->frames && framer_pending(v->frames)) {
		struct pollfd p = { .fd = v->w.in, .events = POLLIN };

		if (!all && !framer_full(v->frames) && poll(&p, 1, 0) == 1)
			return 0;
		if (send_next(v, err) < 0)
			return -1;
	}
	return 0;
}

static int put(struct serve *v, const struct wire_head *h, struct error **err)
{
	const struct rec_chunk *table = (const struct rec_chunk *)v->in.data;
	uint64_t want = 0;
	const char *p;

	if (!v->writing)
		return error_set(err, ERR_STATE, "this copy was opened for reading");
	if (h->n > WIRE_HASHES || v->in.len < h->n * sizeof(*table))
		return wire_bad(&v->w, "a table of chunks", err);
	for (uint32_t i = 0; i < h->n; i++) {
		if (table[i].len > v->s->chunker.max && table[i].len > SLAB_DATA)
			return wire_bad(&v->w, "a chunk that is too large", err);
		want += table[i].len;
	}
	if (wire_unpack(&v->w, &v->in, h->n * sizeof(*table), want, &v->chunks, err) < 0)
		return -1;
	p = v->chunks.data;
	for (uint32_t i = 0; i < h->n; i++) {
		session_chunk(&v->put, p, table[i].len);
		p += table[i].len;
		if (v->put.nmetaq > 1 && session_flush_meta(&v->put, err) < 0)
			return -1;
	}
	return 0;
}

static int present(void *arg, const struct hash *h, uint64_t len, int level, struct error **err)
{
	struct serve *v = arg;

	if ((level < 0 && hash_is_hole(h)) || store_has(v->s, h))
		return 0;
	return error_set(err, ERR_FAILED, "the object is not complete");
}

/* Everything that came to disk, then the name, when what it stands for is there. */
static int ref(struct serve *v, const struct wire_head *h, struct error **err)
{
	_cleanup_store_ref_ struct store_ref r = { 0 };
	struct hash root;

	if (!v->writing)
		return error_set(err, ERR_STATE, "this copy was opened for reading");
	if (ref_parse(v->in.data, v->in.len, &r) < 0 || !r.name)
		return wire_bad(&v->w, "a name", err);
	if (ref_check_new(v->s, r.name, h->n, err) < 0)
		return -1;
	hash_parse(r.object, &root);
	if (session_flush_meta(&v->put, err) < 0 || session_drain(&v->put, err) < 0 || session_seal(&v->put, err) < 0 ||
		store_walk(v->s, &root, present, v, err) < 0 || ref_write(v->s, &r, h->n, err) < 0)
		return -1;
	store_merge_indexes(v->s);
	return wire_send(&v->w, WIRE_OK, 0, NULL, 0, err);
}

static int answer(struct serve *v, const struct wire_head *h, const char *path, bool make, struct error **err)
{
	if (!v->s || h->type == WIRE_HELLO)
		return hello(v, h, path, make, err);
	switch (h->type) {
	case WIRE_LIST:
		return list(v, err);
	case WIRE_HAVE:
		return have(v, h, err);
	case WIRE_GET:
		return get(v, h, err);
	case WIRE_PUT:
		return put(v, h, err);
	case WIRE_REF:
		return ref(v, h, err);
	}
	return wire_bad(&v->w, "an answer without a question", err);
}

/* The other side is told as well; it may be gone. */
static void tell(struct serve *v, const struct error *e)
{
	_cleanup_error_ struct error *ignored = NULL;
	_cleanup_buf_ struct buf b = BUF_INIT;

	buf_adds(&b, e->msg);
	if (e->hint) {
		buf_addc(&b, '\0');
		buf_adds(&b, e->hint);
	}
	wire_send(&v->w, WIRE_ERROR, (uint32_t)e->cls, b.data, b.len, &ignored);
}

int store_serve(int in, int out, const char *path, bool make, struct error **err)
{
	struct serve v = { .w = { in, out, "the other side" }, .put = { .lock = -1, .pack.fd = -1 } };
	struct wire_head h = { 0 };
	int rc;

	while ((rc = wire_recv(&v.w, true, &h, &v.in, err)) == 0 && h.type) {
		buf_str(&v.in);
		rc = send_ready(&v, h.type != WIRE_GET, err);
		if (rc == 0)
			rc = answer(&v, &h, path, make, err);
		if (rc == 0)
			rc = send_ready(&v, false, err);
		if (rc < 0) {
			tell(&v, *err);
			error_clear(err);
			rc = 1;
			break;
		}
	}
	if (v.writing)
		session_end(&v.put);
	store_close(v.s);
	buf_free(&v.in);
	framer_free(v.frames);
	buf_free(&v.chunks);
	return rc;
}
