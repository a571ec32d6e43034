/* SPDX-License-Identifier: Apache-2.0 */
#include "../test.h"
#include "guest/proto.h"
#include "guest/tree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>

static const struct tree_in_opts keep = { .uid = (uid_t)-1, .gid = (gid_t)-1, .mode = -1,
	.mask = 07777, .dirs = true };

/* One entry of a stream, made by hand. */
static size_t entry(uint8_t *out, char type, const char *path, const char *target, uint64_t size)
{
	memset(out, 0, TREE_ENTRY);
	out[0] = (uint8_t)type;
	frame_put16(out + 2, (uint16_t)strlen(path));
	frame_put32(out + 4, 0755);
	frame_put32(out + 28, (uint32_t)strlen(target));
	frame_put64(out + 32, size);
	memcpy(out + TREE_ENTRY, path, strlen(path));
	memcpy(out + TREE_ENTRY + strlen(path), target, strlen(target));
	return TREE_ENTRY + strlen(path) + strlen(target);
}

static int receive(const char *dst, const struct tree_in_opts *o, const uint8_t *p, size_t n,
	size_t step, struct tree_error *e)
{
	struct tree_in *t = tree_in_open(dst, o, e);
	int r = t ? 0 : -1;

	for (size_t i = 0; r == 0 && i < n; i += step)
		r = tree_in_write(t, p + i, n - i < step ? n - i : step, e);
	if (r == 0)
		r = tree_in_finish(t, e);
	tree_in_free(t);
	return r;
}

static void expect_empty(const char *dir)
{
	_cleanup_closedir_ DIR *d = opendir(dir);
	struct dirent *ent;

	assert_non_null(d);
	while ((ent = readdir(d)))
		if (ent->d_name[0] != '.' || strlen(ent->d_name) > 2)
			fail_msg("left behind: %s/%s", dir, ent->d_name);
}

static void escapes(void **state)
{
	_cleanup_free_ char *dst = xasprintf("%s/escapes", (char *)*state);
	const char *paths[] = { "../out", "a/../../out", "/etc/out", ".", "..", "a//b", "a/", "./a" };
	uint8_t s[1024];
	struct tree_error e;
	size_t n;

	for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
		n = entry(s, 'd', "", "", 0);
		n += entry(s + n, 'd', "a", "", 0);
		n += entry(s + n, 'f', paths[i], "", 0);
		n += entry(s + n, 'e', "", "", 0);
		assert_int_equal(receive(dst, &keep, s, n, n, &e), -1);
		assert_int_equal(e.code, EPROTO);
	}
	/* through a link that the stream brought itself */
	n = entry(s, 'd', "", "", 0);
	n += entry(s + n, 'l', "way", *state, 0);
	n += entry(s + n, 'f', "way/out", "", 0);
	n += entry(s + n, 'e', "", "", 0);
	assert_int_equal(receive(dst, &keep, s, n, n, &e), -1);
	assert_true(e.code == ELOOP || e.code == ENOTDIR);
	/* a hard link to what lies outside */
	n = entry(s, 'd', "", "", 0);
	n += entry(s + n, 'h', "mine", "../../etc/passwd", 0);
	assert_int_equal(receive(dst, &keep, s, n, n, &e), -1);
	assert_int_equal(e.code, EPROTO);
	_cleanup_free_ char *out = xasprintf("%s/out", (char *)*state);
	assert_int_equal(access(out, F_OK), -1);
}

static void malformed(void **state)
{
	_cleanup_free_ char *dir = xasprintf("%s/malformed", (char *)*state);
	_cleanup_free_ char *dst = xasprintf("%s/f", dir);
	uint8_t s[1024];
	struct tree_error e;
	size_t n, whole;

	assert_int_equal(mkdir(dir, 0700), 0);
	/* a complete file, cut everywhere: an error, and nothing is left */
	whole = entry(s, 'f', "", "", 10);
	s[whole++] = 'D';
	frame_put64(s + whole, 4);
	whole += 8;
	memcpy(s + whole, "abcd", 4);
	whole += 4;
	s[whole++] = 'H';
	frame_put64(s + whole, 6);
	whole += 8;
	size_t end_of_file = whole;
	whole += entry(s + whole, 'e', "", "", 0);
	for (size_t cut = 0; cut < end_of_file; cut++) {
		assert_int_equal(receive(dst, &keep, s, cut, 7, &e), -1);
		expect_empty(dir);
	}
	for (size_t step = 1; step <= whole; step++) {
		assert_int_equal(receive(dst, &keep, s, whole, step, &e), 0);
		assert_int_equal(unlink(dst), 0);
	}
	/* bytes after the end */
	assert_int_equal(receive(dst, &keep, s, whole + 1, 5, &e), -1);
	unlink(dst);
	/* extents that don't fit */
	n = entry(s, 'f', "", "", 10);
	s[n] = 'D';
	frame_put64(s + n + 1, 11);
	assert_int_equal(receive(dst, &keep, s, n + 9, 3, &e), -1);
	frame_put64(s + n + 1, 0);
	assert_int_equal(receive(dst, &keep, s, n + 9, 3, &e), -1);
	s[n] = 'X';
	assert_int_equal(receive(dst, &keep, s, n + 9, 3, &e), -1);
	/* size beyond what a file can have, unknown types, entries below a file, a second root */
	n = entry(s, 'f', "", "", UINT64_MAX);
	assert_int_equal(receive(dst, &keep, s, n, n, &e), -1);
	n = entry(s, 'b', "", "", 0);
	assert_int_equal(receive(dst, &keep, s, n, n, &e), -1);
	n = entry(s, 'f', "", "", 0);
	n += entry(s + n, 'f', "below", "", 0);
	assert_int_equal(receive(dst, &keep, s, n, n, &e), -1);
	n = entry(s, 'f', "", "", 0);
	n += entry(s + n, 'f', "", "", 0);
	assert_int_equal(receive(dst, &keep, s, n, n, &e), -1);
	n = entry(s, 'e', "", "", 0);
	assert_int_equal(receive(dst, &keep, s, n, n, &e), -1);
	/* attributes with a path, without a name, too large, that nobody sends */
	n = entry(s, 'x', "p", "user.a", 0);
	assert_int_equal(receive(dst, &keep, s, n, n, &e), -1);
	n = entry(s, 'x', "", "", 0);
	assert_int_equal(receive(dst, &keep, s, n, n, &e), -1);
	n = entry(s, 'x', "", "user.a", 65537);
	assert_int_equal(receive(dst, &keep, s, n, n, &e), -1);
	n = entry(s, 'x', "", "trusted.a", 0);
	assert_int_equal(receive(dst, &keep, s, n, n, &e), -1);
	assert_non_null(strstr(e.text, "not a copy's extended attribute"));
	unlink(dst);
	expect_empty(dir);
}

static void destinations(void **state)
{
	_cleanup_free_ char *dir = xasprintf("%s/dest", (char *)*state);
	_cleanup_free_ char *slash = xasprintf("%s/", dir), *inside = xasprintf("%s/name", dir);
	_cleanup_free_ char *missing = xasprintf("%s/no/", dir), *deep = xasprintf("%s/no/x", dir);
	struct tree_in_opts o = keep;
	uint8_t s[256];
	struct tree_error e;
	size_t n = entry(s, 'f', "", "", 0);

	n += entry(s + n, 'e', "", "", 0);
	assert_int_equal(mkdir(dir, 0700), 0);
	o.into = "name";
	assert_int_equal(receive(dir, &o, s, n, n, &e), 0);
	assert_int_equal(unlink(inside), 0);
	assert_int_equal(receive(slash, &o, s, n, n, &e), 0);
	assert_int_equal(unlink(inside), 0);
	assert_int_equal(receive(inside, &o, s, n, n, &e), 0);
	assert_int_equal(unlink(inside), 0);
	assert_int_equal(receive(missing, &o, s, n, n, &e), -1);
	assert_int_equal(receive(deep, &o, s, n, n, &e), -1);
	assert_int_equal(e.code, ENOENT);
	o.into = "../name";
	assert_int_equal(receive(dir, &o, s, n, n, &e), -1);
	expect_empty(dir);
	/* a directory where none is allowed */
	o = keep;
	o.dirs = false;
	n = entry(s, 'd', "", "", 0);
	assert_int_equal(receive(inside, &o, s, n, n, &e), -1);
	assert_int_equal(e.code, EISDIR);
}

static void base_names(void **state)
{
	char b[256];

	assert_string_equal(tree_base_name("/a/b", b), "b");
	assert_string_equal(tree_base_name("b//", b), "b");
	assert_string_equal(tree_base_name("ä b", b), "ä b");
	assert_null(tree_base_name("/", b));
	assert_null(tree_base_name("", b));
	assert_null(tree_base_name("..", b));
	assert_null(tree_base_name("a/.", b));
}

static void sources(void **state)
{
	struct tree_error e;

	assert_null(tree_out_open("/nonexistent/x", true, false, &e));
	assert_int_equal(e.code, ENOENT);
	assert_non_null(strstr(e.text, "/nonexistent/x"));
	assert_null(tree_out_open("/dev/null", true, false, &e));
	assert_int_equal(e.code, EOPNOTSUPP);
	assert_null(tree_out_open(*state, false, false, &e));
	assert_int_equal(e.code, EISDIR);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(escapes), cmocka_unit_test(malformed),
		cmocka_unit_test(destinations), cmocka_unit_test(base_names),
		cmocka_unit_test(sources) };

	return cmocka_run_group_tests(tests, test_dir_setup, test_dir_teardown);
}
