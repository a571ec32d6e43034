/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of the store share: bytes, files, stores. */
#ifndef CROFT_TESTS_UNIT_STORE_COMMON_H
#define CROFT_TESTS_UNIT_STORE_COMMON_H

#include "../test.h"
#include "base/path.h"
#include "store/store.h"

#define MIB (1u << 20)

/* Bytes that compress a little and never repeat. */
static inline void fill(uint8_t *p, size_t n, uint64_t seed)
{
	for (size_t i = 0; i < n; i++) {
		seed = seed * 6364136223846793005ull + 1442695040888963407ull;
		p[i] = (uint8_t)(seed >> 40) & 0x3f;
	}
}

static inline char *make_file(const char *dir, const char *name, const uint8_t *p, size_t n)
{
	char *path = path_join(dir, name);
	struct error *e = NULL;

	assert_ok(file_write(path, p, n, 0600, &e), e);
	return path;
}

static inline void assert_same(const char *path, const uint8_t *p, size_t n)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	struct error *e = NULL;

	assert_ok(file_read(path, n + 1, &b, &e), e);
	assert_int_equal(b.len, n);
	assert_true(n == 0 || !memcmp(b.data, p, n));
}

static inline struct store *fresh_store(const char *dir, const char *name)
{
	_cleanup_free_ char *path = path_join(dir, name);
	struct error *e = NULL;
	struct store *s;

	assert_ok(file_remove_tree(path, &e), e);
	assert_ok(store_create(path, 4096, &e), e);
	s = store_open(path, &e);
	assert_non_null(s);
	return s;
}

static inline struct store *reopen(const char *dir, const char *name)
{
	_cleanup_free_ char *path = path_join(dir, name);
	struct error *e = NULL;
	struct store *s = store_open(path, &e);

	if (!s)
		fail_msg("%s", e->msg);
	return s;
}

static inline void put(struct store *s, const char *name, const char *path, struct store_put_result *r)
{
	struct error *e = NULL;

	assert_ok(store_put(s, name, path, &(struct store_put_opts){ .replace = true, .threads = 3 }, r, &e), e);
}

static inline void get_is(struct store *s, const char *dir, const char *name, const uint8_t *p, size_t n)
{
	_cleanup_free_ char *out = path_join(dir, "out");
	struct error *e = NULL;

	unlink(out);
	assert_ok(store_get(s, name, out, &(struct store_get_opts){ .threads = 3 }, &e), e);
	assert_same(out, p, n);
}

static inline void quiet(void *arg, const char *line)
{
	(*(int *)arg)++;
}

static inline int verify(struct store *s, int *lines, struct store_verify_result *v, struct error **err)
{
	return store_verify(s, &(struct store_verify_opts){ .threads = 2, .deep = true, .say = quiet, .arg = lines }, v, err);
}

#endif
