/* SPDX-License-Identifier: Apache-2.0 */
#include "store/internal.h"
#include "base/cleanup.h"
#include "base/mem.h"

#include <stdlib.h>

struct copy {
	struct store *src;
	struct session w;
	struct store_copy_result *ret;
};

static int visit(void *arg, const struct hash *h, uint64_t len, int level, struct error **err)
{
	struct copy *c = arg;
	_cleanup_buf_ struct buf b = BUF_INIT;
	struct found f;

	if (level < 0 && hash_is_hole(h))
		return 0;
	c->ret->chunks++;
	if (store_has(c->w.s, h))
		return 0;
	c->ret->missing++;
	if (level < 0) {
		if (!store_find(c->src, h, &f) && store_find_again(c->src, h, &f, err) < 0)
			return -1;
		c->ret->bytes += f.len;
		return session_carry(&c->w, c->src, h, &f, err);
	}
	/* The walk has just read it. */
	if (store_chunk(c->src, h, &b, err) < 0)
		return -1;
	c->ret->bytes += b.len;
	session_chunk(&c->w, b.data, b.len);
	return 0; /* it goes on its way with the chunks */
}

static int copy_name(struct copy *c, const struct store_ref *r, bool replace, struct error **err)
{
	struct store_ref made = *r;
	uint64_t before = c->w.stored;
	struct hash root;

	if (ref_check_new(c->w.s, r->name, replace, err) < 0)
		return -1;
	hash_parse(r->object, &root);
	if (store_walk(c->src, &root, visit, c, err) < 0 || session_carry_end(&c->w, err) < 0 ||
		session_drain(&c->w, err) < 0 || session_seal(&c->w, err) < 0)
		return -1;
	made.stored = c->w.stored - before;
	return ref_write(c->w.s, &made, replace, err);
}

static int copy_all(struct copy *c, const char *const *names, size_t n, bool replace, struct error **err)
{
	struct store_ref *refs = NULL;
	size_t all = 0;
	int rc = 0;

	if (!n && store_list(c->src, &refs, &all, err) < 0)
		return -1;
	for (size_t i = 0; i < (n ? n : all) && rc == 0; i++) {
		_cleanup_store_ref_ struct store_ref one = { 0 };

		if (n && store_show(c->src, names[i], &one, err) < 0)
			rc = -1;
		else if (copy_name(c, n ? &one : &refs[i], replace, err) < 0)
			rc = error_wrap(err, "copy %s", n ? names[i] : refs[i].name);
	}
	for (size_t i = 0; i < all; i++)
		store_ref_free(&refs[i]);
	free(refs);
	return rc;
}

int store_copy(struct store *src, struct store *dst, const char *const *names, size_t n, bool replace,
	struct store_copy_result *ret, struct error **err)
{
	struct copy c = { .src = src, .ret = ret };
	int rc = -1;

	*ret = (struct store_copy_result){ 0 };
	if (src->chunker.max > dst->chunker.max)
		return error_set(err, ERR_FAILED, "%s: has larger chunks than %s can take", src->path, dst->path);
	if (session_begin(&c.w, dst, 0, 0, err) == 0)
		rc = copy_all(&c, names, n, replace, err);
	session_end(&c.w);
	return rc;
}
