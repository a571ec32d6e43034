/* SPDX-License-Identifier: Apache-2.0 */
/*
 * verify --repair-from: packs with damage are written anew without it, with chunks of the other store in place of what cannot be read;
 * then names whose objects still lack something are completed from there. Old packs go only when the new ones are on disk.
 */
#include "store/internal.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/strv.h"

#include <inttypes.h>
#include <stdlib.h>

struct repair {
	struct store *s, *other;
	const struct store_verify_opts *o;
	struct session w;
	struct store_verify_result *ret;
	const struct bad_record *bad;
	size_t nbad;
};

/* The packs that have damage, each once. */
static size_t bad_packs(const struct repair *r, uint64_t **ret)
{
	size_t n = 0;

	*ret = xcalloc(r->nbad + 1, sizeof(**ret));
	for (size_t i = 0; i < r->nbad; i++)
		if (!n || (*ret)[n - 1] != r->bad[i].pack)
			(*ret)[n++] = r->bad[i].pack;
	return n;
}

static int mend(struct repair *r, const struct hash *h, struct buf *b, struct error **err)
{
	_cleanup_error_ struct error *why = NULL;

	if (store_chunk(r->s, h, b, &why) == 0) {
		session_chunk(&r->w, b->data, b->len);
	} else {
		error_clear(&why);
		if (store_chunk(r->other, h, b, &why) == 0) {
			session_chunk(&r->w, b->data, b->len);
			r->ret->mended++;
		} else {
			char hex[STORE_HASH * 2 + 1];
			_cleanup_free_ char *line = NULL;

			hash_hex(h, hex);
			line = xasprintf("chunk %.16s...: is lost: %s has no whole one either", hex, r->other->path);
			r->o->say(r->o->arg, line);
			r->ret->lost++;
		}
	}
	return r->w.nmetaq > 1 ? session_flush_meta(&r->w, err) : 0;
}

/* All chunks of these packs into new ones; in the order in which they lie, since each record is unpacked once then. */
static int rewrite(struct repair *r, const uint64_t *packs, size_t npacks, struct error **err)
{
	_cleanup_free_ struct found *list = NULL;
	_cleanup_buf_ struct buf b = BUF_INIT;
	size_t n = store_entries_of(r->s, packs, npacks, &list);

	for (size_t i = 0; i < n; i++) {
		struct hash h = r->s->ix[list[i].ix].entries[list[i].pos].hash;

		if (mend(r, &h, &b, err) < 0)
			return -1;
	}
	if (session_flush_meta(&r->w, err) < 0 || session_drain(&r->w, err) < 0 || session_seal(&r->w, err) < 0)
		return -1;
	return store_drop_packs(r->s, packs, npacks, err);
}

static int lacks(void *arg, const struct hash *h, uint64_t len, int level, struct error **err)
{
	struct repair *r = arg;
	_cleanup_buf_ struct buf b = BUF_INIT;
	struct found f;

	if ((level < 0 && hash_is_hole(h)) || store_find(r->s, h, &f))
		return 0;
	if (store_chunk(r->other, h, &b, err) < 0)
		return -1;
	session_chunk(&r->w, b.data, b.len);
	r->ret->mended++;
	return r->w.nmetaq > 1 ? session_flush_meta(&r->w, err) : 0;
}

/* Objects of names, as far as the other store has them. */
static int complete(struct repair *r, struct error **err)
{
	_cleanup_strv_ struct strv names = STRV_INIT;

	if (ref_names(r->s, &names, err) < 0)
		return -1;
	for (size_t i = 0; i < names.len; i++) {
		_cleanup_error_ struct error *why = NULL;
		struct hash root;

		if (store_resolve(r->s, names.v[i], &root, &why) < 0)
			continue;
		/* What the other lacks is said by the last verify. */
		if (store_walk(r->other, &root, lacks, r, &why) < 0 && why->cls != ERR_FAILED)
			return error_move(err, &why);
	}
	if (session_flush_meta(&r->w, err) < 0 || session_drain(&r->w, err) < 0)
		return -1;
	return session_seal(&r->w, err);
}

static int drop_bad_indexes(struct store *s, struct error **err)
{
	for (size_t i = 0; i < s->nix; i++)
		if (!index_check(&s->ix[i]) && file_unlink(s->ix[i].path, err) < 0)
			return -1;
	return store_load(s, err);
}

int store_repair(struct store *s, const struct store_verify_opts *o, const struct bad_record *bad, size_t nbad,
	struct store_verify_result *ret, struct error **err)
{
	_cleanup_close_ int gate = gate_remover(s, err);
	struct repair r = { .s = s, .other = o->repair_from, .o = o, .ret = ret, .bad = bad, .nbad = nbad };
	struct store_verify_opts again = *o;
	_cleanup_free_ struct bad_record *left = NULL;
	_cleanup_free_ uint64_t *packs = NULL;
	uint64_t mended, lost;
	size_t npacks, nleft;
	int rc;

	/* It takes chunks away that writers may rely on: they wait. */
	if (gate < 0 || gate_close(gate, err) < 0 || drop_bad_indexes(s, err) < 0 || session_begin_locked(&r.w, s, o->threads, err) < 0)
		return -1;
	npacks = bad_packs(&r, &packs);
	store_set_condemned(s, packs, npacks);
	rc = npacks ? rewrite(&r, packs, npacks, err) : 0;
	store_set_condemned(s, NULL, 0);
	if (rc == 0)
		rc = complete(&r, err);
	session_end(&r.w);
	mended = ret->mended;
	lost = ret->lost;
	again.repair_from = NULL;
	if (rc < 0 || verify_all(s, &again, &left, &nleft, ret, err) < 0)
		return -1;
	ret->mended = mended;
	ret->lost = lost;
	return 0;
}
