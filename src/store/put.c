/* SPDX-License-Identifier: Apache-2.0 */
#include "store/internal.h"
#include "base/cleanup.h"
#include "base/mem.h"

#include <stdlib.h>
#include <time.h>
#include <unistd.h>

/* Reads [from, to) of the source, a slab at a time, and cuts it without looking back. */
int put_pump(struct put *p, uint64_t from, uint64_t to, struct error **err)
{
	const struct chunker *c = &p->w->s->chunker;
	size_t ncarry = 0, cap = SLAB_DATA + c->max, n, rest;
	uint8_t *carry = xmalloc(cap);
	uint64_t hole = 0, base = from;
	bool end = false;
	int rc = 0;

	p->after_hole = false;
	source_seek(&p->src, from, to);
	while (rc == 0 && !end) {
		struct slab *b = session_slab(p->w, err);

		if (!b) {
			rc = -1;
			break;
		}
		b->listed = true;
		session_slab_data(p->w, b);
		memcpy(b->data, carry, ncarry);
		b->len = ncarry;
		do {
			rc = source_read(&p->src, b->data + b->len, cap - b->len, &n, &hole, err);
			b->len += n;
		} while (rc == 0 && n && b->len < cap);
		end = rc == 0 && !n && !hole;
		rest = itemise(c, b, base, &p->after_hole, hole || end);
		base += rest + hole;
		ncarry = b->len - rest;
		memcpy(carry, b->data + rest, ncarry);
		if (hole) {
			slab_add(b, 0, hole, true);
			p->after_hole = true;
			hole = 0;
		}
		if (session_submit(p->w, b, err) < 0)
			rc = -1;
		if (p->o->progress)
			p->o->progress(p->o->arg, p->before + base);
	}
	if (p->src.stream)
		p->src.size = base;
	free(carry);
	return rc;
}

static int listed(void *arg, const struct slab *b, struct error **err)
{
	struct put *p = arg;

	for (size_t i = 0; i < b->nguesses; i++)
		p->guessed += b->guesses[i].len;
	p->right += b->right;
	for (size_t i = 0; i < b->n; i++) {
		const struct slab_item *it = &b->items[i];

		if (it->hole)
			p->ret->holes += it->len;
		else
			p->ret->chunks++;
		if (list_add(&p->list, it->len, &it->hash, err) < 0)
			return -1;
	}
	return 0;
}

int put_object(struct put *p, const char *base, struct hash *root, struct error **err)
{
	struct hash from;
	int rc;

	p->guessed = p->right = 0;
	p->list.w = p->w;
	p->w->listed = listed;
	p->w->arg = p;
	if (base && !p->src.stream) {
		if (store_resolve(p->w->s, base, &from, err) < 0)
			return -1;
		rc = put_along(p, &from, p->src.changed != NULL, err);
	} else {
		rc = put_pump(p, 0, p->src.size, err);
	}
	if (rc < 0 || session_drain(p->w, err) < 0 || list_finish(&p->list, root, err) < 0)
		return -1;
	p->before += p->src.size;
	return 0;
}

/* A version from which chunks may be guessed: the name's last one, or else the newest of the same size. */
static char *likely_base(struct store *s, const char *name, uint64_t size)
{
	_cleanup_error_ struct error *why = NULL;
	struct store_ref *refs = NULL;
	const struct store_ref *best = NULL;
	char *ret = NULL;
	size_t n = 0;

	if (store_list(s, &refs, &n, &why) < 0)
		return NULL;
	for (size_t i = 0; i < n; i++) {
		bool same = !strcmp(refs[i].name, name);

		if (!refs[i].set && (same || refs[i].size == size) &&
			(!best || (same || (refs[i].time > best->time && strcmp(best->name, name)))))
			best = &refs[i];
	}
	if (best)
		ret = xstrdup(best->object);
	for (size_t i = 0; i < n; i++)
		store_ref_free(&refs[i]);
	free(refs);
	return ret;
}

static int put_all(struct put *p, const char *name, struct error **err)
{
	struct store_ref r = { .name = (char *)name, .message = (char *)p->o->message, .time = time(NULL) };
	_cleanup_free_ char *base = p->src.stream ? NULL : likely_base(p->w->s, name, p->src.size);
	struct hash root;

	if (put_object(p, base, &root, err) < 0)
		return -1;
	p->ret->size = p->src.size;
	return put_name(p, &r, &root, err);
}

struct staged {
	struct store *s;
	const struct store_ref *r;
	char *temp;
	struct error *err;
};

static void *stage(void *arg)
{
	struct staged *g = arg;

	ref_stage(g->s, g->r, &g->temp, &g->err);
	return NULL;
}

/* The name goes to disk beside what it names, and gets its place after that. */
static int seal_named(struct put *p, const struct store_ref *r, struct error **err)
{
	struct staged g = { .s = p->w->s, .r = r };
	pthread_t thread;
	bool beside = pthread_create(&thread, NULL, stage, &g) == 0;
	int rc = session_seal(p->w, err);

	if (beside)
		pthread_join(thread, NULL);
	else
		stage(&g);
	if (rc == 0 && g.err)
		rc = error_move(err, &g.err);
	if (rc == 0)
		rc = ref_commit(p->w->s, r, p->o->replace, g.temp, err);
	else if (g.temp)
		unlink(g.temp);
	error_clear(&g.err);
	free(g.temp);
	return rc;
}

int put_name(struct put *p, struct store_ref *r, const struct hash *root, struct error **err)
{
	if (session_flush_meta(p->w, err) < 0 || session_drain(p->w, err) < 0)
		return -1;
	hash_hex(root, p->ret->object);
	p->ret->fresh = p->w->fresh;
	p->ret->stored = p->w->stored;
	memcpy(r->object, p->ret->object, sizeof(r->object));
	r->size = p->ret->size;
	r->stored = p->ret->stored;
	if (seal_named(p, r, err) < 0)
		return -1;
	store_merge_indexes(p->w->s);
	return 0;
}

int store_put(struct store *s, const char *name, const char *path, const struct store_put_opts *o,
	struct store_put_result *ret, struct error **err)
{
	struct session w;
	struct put p = { .w = &w, .o = o, .ret = ret, .src.fd = -1 };
	int rc = -1;

	*ret = (struct store_put_result){ 0 };
	if (ref_check_new(s, name, o->replace, err) < 0)
		return -1;
	if (session_begin(&w, s, o->threads, o->level, err) == 0 && source_open(path, &p.src, err) == 0)
		rc = put_all(&p, name, err);
	session_end(&w);
	list_free(&p.list);
	source_close(&p.src);
	return rc < 0 ? error_wrap(err, "put %s", name) : 0;
}
