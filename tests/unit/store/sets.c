/* SPDX-License-Identifier: Apache-2.0 */
/* Sets of parts, and putting along an earlier version: what is read, what is stored, what comes back. */
#include "common.h"

#define AVG 4096u

/* A disk that counts what is read of it. */
struct disk {
	uint8_t *p;
	size_t n;
	uint64_t bytes, last;
};

static int disk_read(void *arg, void *p, size_t n, uint64_t off, struct error **err)
{
	struct disk *d = arg;

	assert_true(off >= d->last && off + n <= d->n && n <= MIB + 4 * 65536);
	d->last = off;
	d->bytes += n;
	memcpy(p, d->p + off, n);
	return 0;
}

static struct store_part part_of(struct disk *d, const char *base, const struct store_range *r, size_t n)
{
	d->bytes = d->last = 0;
	return (struct store_part){ .name = "disk-0", .info = "{\"bus\":\"virtio\"}", .read = disk_read, .arg = d, .size = d->n,
		.ranges = r, .nranges = n, .base = base };
}

static void put_disk(struct store *s, const char *name, struct disk *d, const char *base, const struct store_range *r, size_t n,
	struct store_put_result *ret)
{
	struct store_part parts[] = { part_of(d, base, r, n), { .name = "vars.fd", .data = "abc", .size = 3 } };
	struct error *e = NULL;

	assert_ok(store_put_set(s, name, parts, 2, "the machine", &(struct store_put_opts){ .threads = 3 }, ret, &e), e);
}

static void disk_is(struct store *s, const char *dir, const char *name, const struct disk *d)
{
	_cleanup_free_ char *part = xasprintf("%s/disk-0", name);

	get_is(s, dir, part, d->p, d->n);
}

static void parts_are_listed_and_come_back(void **state)
{
	_cleanup_store_ struct store *s = fresh_store(*state, "s");
	_cleanup_store_set_ struct store_set set = { 0 };
	_cleanup_store_ref_ struct store_ref ref = { 0 };
	_cleanup_free_ char *in = NULL;
	_cleanup_buf_ struct buf b = BUF_INIT;
	struct disk d = { xmalloc(3 * MIB), 3 * MIB, 0, 0 };
	struct store_put_result r;
	struct store_verify_result v;
	struct store_gc_result g;
	struct error *e = NULL;
	int lines = 0;

	fill(d.p, d.n, 1);
	put_disk(s, "m", &d, NULL, NULL, 0, &r);
	assert_ok(store_parts(s, "m", &set, &e), e);
	assert_int_equal(set.n, 2);
	assert_string_equal(set.info, "the machine");
	assert_string_equal(set.parts[0].name, "disk-0");
	assert_string_equal(set.parts[0].info, "{\"bus\":\"virtio\"}");
	assert_int_equal(set.parts[0].size, d.n);
	assert_null(set.parts[1].info);
	disk_is(s, *state, "m", &d);
	get_is(s, *state, set.parts[0].object, d.p, d.n);
	assert_ok(store_get_bytes(s, "m/vars.fd", 10, &b, &e), e);
	assert_string_equal(b.data, "abc");
	assert_err(store_get_bytes(s, "m/vars.fd", 2, &b, &e), e, ERR_FAILED, "larger than 2");
	assert_ok(store_show(s, "m", &ref, &e), e);
	assert_true(ref.set && ref.size == d.n + 3);
	assert_err(store_get_bytes(s, "m", 10, &b, &e), e, ERR_STATE, "a set of 2 parts");
	assert_err(store_get_bytes(s, "m/no", 10, &b, &e), e, ERR_NOT_FOUND, "has no part 'no'");
	assert_err(store_get_bytes(s, "no/no", 10, &b, &e), e, ERR_NOT_FOUND, "nothing is named 'no'");
	store_set_free(&set);
	assert_err(store_parts(s, "m/vars.fd", &set, &e), e, ERR_STATE, "not a set");
	in = make_file(*state, "in", d.p, 1000);
	put(s, "plain", in, &r);
	assert_err(store_parts(s, "plain", &set, &e), e, ERR_STATE, "not a set");
	/* gc and verify see through it */
	assert_ok(store_gc(s, &g, &e), e);
	assert_int_equal(g.live, g.chunks);
	assert_ok(verify(s, &lines, &v, &e), e);
	assert_int_equal(v.bad + v.bad_names, 0);
	disk_is(s, *state, "m", &d);
	free(d.p);
}

static void wrong_parts_are_refused(void **state)
{
	_cleanup_store_ struct store *s = fresh_store(*state, "s");
	struct store_part twice[] = { { .name = "a" }, { .name = "a" } };
	struct store_range bad[] = { { 5000, 10, false }, { 100, 10, false } }, behind[] = { { 9000, 2000, false } };
	struct disk d = { xcalloc(1, 10000), 10000, 0, 0 };
	struct store_part p = part_of(&d, NULL, bad, 2);
	struct store_put_opts o = { 0 };
	struct store_put_result r;
	struct error *e = NULL;

	assert_err(store_put_set(s, "x", twice, 2, NULL, &o, &r, &e), e, ERR_USAGE, "part a: is given twice");
	assert_err(store_put_set(s, "x", &p, 1, NULL, &o, &r, &e), e, ERR_USAGE, "out of order");
	p.ranges = behind;
	p.nranges = 1;
	assert_err(store_put_set(s, "x", &p, 1, NULL, &o, &r, &e), e, ERR_USAGE, "behind its end");
	p.nranges = 0;
	p.base = "nobody/disk-0";
	assert_err(store_put_set(s, "x", &p, 1, NULL, &o, &r, &e), e, ERR_NOT_FOUND, "nobody");
	p.base = NULL;
	p.name = "a/b";
	assert_err(store_put_set(s, "x", &p, 1, NULL, &o, &r, &e), e, ERR_USAGE, "a/b");
	assert_err(store_size(s, "x", &(uint64_t){ 0 }, &e), e, ERR_NOT_FOUND, "x");
	free(d.p);
}

/* Only chunks around changed ranges are read; what comes back is the new disk. */
static void only_changes_are_read(void **state)
{
	_cleanup_store_ struct store *s = fresh_store(*state, "s");
	struct disk d = { xmalloc(20 * MIB), 16 * MIB, 0, 0 };
	struct store_range ranges[] = { { 1 * MIB + 5, 3000, false }, { 5 * MIB, MIB, true }, { 7 * MIB, 65536, false } };
	struct store_put_result r;
	struct store_part whole;
	struct error *e = NULL;

	fill(d.p, 20 * MIB, 2);
	memset(d.p + 9 * MIB, 0, 3 * MIB);
	put_disk(s, "a", &d, NULL, NULL, 0, &r);
	fill(d.p + 1 * MIB + 5, 3000, 3);
	memset(d.p + 5 * MIB, 0, MIB);
	fill(d.p + 7 * MIB, 65536, 4);
	put_disk(s, "b", &d, "a/disk-0", ranges, 3, &r);
	disk_is(s, *state, "b", &d);
	assert_true(d.bytes >= 3000 + 65536 && d.bytes < 3000 + 65536 + 12 * 4 * AVG);
	assert_true(r.fresh < 3000 + 65536 + 12 * 4 * AVG + 65536);
	/* nothing changed: nothing is read, the object is the same */
	put_disk(s, "c", &d, "b/disk-0", ranges, 0, &r);
	assert_int_equal(d.bytes, 0);
	disk_is(s, *state, "c", &d);
	/* grown, what is new in a range; then shrunk */
	d.n = 20 * MIB;
	memset(d.p + 16 * MIB, 0, 2 * MIB);
	memset(d.p + 18 * MIB + 100000, 0, 2 * MIB - 100000);
	put_disk(s, "d", &d, "c/disk-0", (struct store_range[]){ { 18 * MIB, 100000, false } }, 1, &r);
	assert_true(d.bytes < 500000);
	disk_is(s, *state, "d", &d);
	d.n = 7 * MIB + 12345;
	put_disk(s, "e", &d, "d/disk-0", ranges, 0, &r);
	assert_true(d.bytes <= 4 * AVG);
	disk_is(s, *state, "e", &d);
	/* without ranges everything is read, along the base */
	d.n = 16 * MIB;
	d.p[2 * MIB] ^= 1;
	put_disk(s, "f", &d, "c/disk-0", NULL, 0, &r);
	assert_true(d.bytes > 8 * MIB);
	assert_true(r.fresh < 200000);
	disk_is(s, *state, "f", &d);
	/* without base: ranges tell where data is */
	whole = part_of(&d, NULL, ranges, 1);
	assert_ok(store_put_set(s, "g", &whole, 1, NULL, &(struct store_put_opts){ 0 }, &r, &e), e);
	assert_int_equal(d.bytes, 3000);
	memset(d.p, 0, MIB + 5);
	memset(d.p + MIB + 3005, 0, d.n - MIB - 3005);
	disk_is(s, *state, "g", &d);
	free(d.p);
}

/* A base of which gc has removed parts: what is missing is read. */
static void a_base_without_a_name_may_be_in_pieces(void **state)
{
	_cleanup_store_ struct store *s = fresh_store(*state, "s");
	_cleanup_store_set_ struct store_set set = { 0 };
	struct disk d = { xmalloc(4 * MIB), 4 * MIB, 0, 0 };
	_cleanup_free_ char *in = NULL;
	struct store_put_result r;
	struct store_gc_result g;
	struct error *e = NULL;
	struct store_range none = { 0 };
	struct store_part p;

	fill(d.p, d.n, 5);
	in = make_file(*state, "in", d.p, MIB);
	put(s, "keep", in, &r);
	put_disk(s, "a", &d, NULL, NULL, 0, &r);
	assert_ok(store_parts(s, "a", &set, &e), e);
	assert_ok(store_remove(s, "a", &e), e);
	assert_ok(store_gc(s, &g, &e), e);
	/* its list is gone as well now: an error, nothing half done */
	p = part_of(&d, set.parts[0].object, &none, 0);
	assert_err(store_put_set(s, "b", &p, 1, NULL, &(struct store_put_opts){ 0 }, &r, &e), e, ERR_NOT_FOUND, "has no object");
	p.base = NULL;
	p.ranges = NULL;
	assert_ok(store_put_set(s, "b", &p, 1, NULL, &(struct store_put_opts){ 0 }, &r, &e), e);
	disk_is(s, *state, "b", &d);
	free(d.p);
}

struct seen {
	uint8_t *p;
	size_t n;
	uint64_t next;
};

static int see(void *arg, const void *p, size_t n, uint64_t off, struct error **err)
{
	struct seen *s = arg;

	assert_true(off >= s->next && off + n <= s->n);
	memcpy(s->p + off, p, n);
	s->next = off + n;
	return 0;
}

static int see_zero(void *arg, uint64_t len, uint64_t off, struct error **err)
{
	struct seen *s = arg;

	assert_true(off >= s->next && off + len <= s->n);
	memset(s->p + off, 0, len);
	s->next = off + len;
	return 0;
}

static void ranges_come_out(void **state)
{
	static const struct {
		uint64_t start, len;
	} tries[] = { { 0, 1 }, { 4095, 2 }, { MIB - 1, 3 * MIB }, { 0, UINT64_MAX }, { 3 * MIB, 0 }, { 4 * MIB, 5 }, { 2 * MIB - 5000, 100000 } };
	_cleanup_store_ struct store *s = fresh_store(*state, "s");
	uint8_t *p = xmalloc(4 * MIB), *q = xmalloc(4 * MIB);
	_cleanup_free_ char *in = NULL;
	struct store_put_result r;
	struct error *e = NULL;

	fill(p, 4 * MIB, 6);
	memset(p + 2 * MIB, 0, 500000);
	in = make_file(*state, "in", p, 4 * MIB);
	put(s, "x", in, &r);
	for (size_t i = 0; i < ARRAY_SIZE(tries); i++) {
		struct seen seen = { q, 4 * MIB, tries[i].start };
		struct store_sink sink = { see, see_zero, NULL, &seen };
		uint64_t end = tries[i].len < 4 * MIB - tries[i].start ? tries[i].start + tries[i].len : 4 * MIB;

		memset(q, 'q', 4 * MIB);
		assert_ok(store_get_range(s, "x", tries[i].start, tries[i].len, &sink, &(struct store_get_opts){ .threads = 2 }, &e), e);
		assert_int_equal(seen.next, end);
		assert_memory_equal(q + tries[i].start, p + tries[i].start, end - tries[i].start);
		for (uint64_t k = 0; k < 4 * MIB; k++)
			if ((k < tries[i].start || k >= end) && q[k] != 'q')
				fail_msg("byte %llu was written", (unsigned long long)k);
	}
	assert_err(store_get_range(s, "x", 4 * MIB + 1, 1, &(struct store_sink){ see, see_zero, NULL, NULL },
		&(struct store_get_opts){ 0 }, &e), e, ERR_USAGE, "behind its end");
	free(p);
	free(q);
}

/* Putting along an earlier version stores the same bytes as putting alone, whatever has changed. */
static void along_is_never_wrong(void **state)
{
	_cleanup_store_ struct store *s = fresh_store(*state, "s");
	size_t n = 24 * MIB;
	uint8_t *p = xmalloc(n);
	uint64_t seed = 7;
	struct store_put_result r;

	fill(p, n, 8);
	for (int round = 0; round < 12; round++) {
		_cleanup_free_ char *in = make_file(*state, "in", p, n), *name = xasprintf("v%d", round);

		put(s, name, in, &r); /* the newest of the same size is the base */
		get_is(s, *state, name, p, n);
		if (round > 0 && round < 9)
			assert_true(r.fresh < n / 3);
		for (int k = 0; k < 6; k++) {
			size_t at, len;

			seed = seed * 6364136223846793005ull + 1442695040888963407ull;
			at = (seed >> 20) % (n - MIB);
			len = (seed >> 44) % 300000;
			if (k == 0)
				memset(p + (at & ~4095ul), 0, len);
			else if (k == 1)
				memmove(p + at, p + at + 1, len); /* shifted by a byte */
			else
				fill(p + at, len, seed);
		}
		if (round == 8)
			fill(p + 8 * MIB, 12 * MIB, seed); /* most guesses fail */
	}
	free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parts_are_listed_and_come_back),
		cmocka_unit_test(wrong_parts_are_refused),
		cmocka_unit_test(only_changes_are_read),
		cmocka_unit_test(a_base_without_a_name_may_be_in_pieces),
		cmocka_unit_test(ranges_come_out),
		cmocka_unit_test(along_is_never_wrong),
	};

	return cmocka_run_group_tests(tests, test_dir_setup, test_dir_teardown);
}
