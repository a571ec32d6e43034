/* SPDX-License-Identifier: Apache-2.0 */
/* Folders: everything comes back as it was; lists that lead out of the folder are refused. */
#include "common.h"
#include "store/tree.h"
#include <dirent.h>
#include <fcntl.h>
#include <sys/xattr.h>

static void make(const char *dir, const char *rel, const void *p, size_t n, mode_t mode)
{
	_cleanup_free_ char *path = path_join(dir, rel);
	struct error *e = NULL;

	assert_ok(file_write(path, p, n, 0600, &e), e);
	assert_int_equal(chmod(path, mode), 0);
}

static void fill_tree(const char *dir)
{
	static const struct timespec old[2] = { { 1000000000, 123456789 }, { 1000000000, 123456789 } };
	_cleanup_free_ uint8_t *p = xmalloc(2 * MIB);
	_cleanup_free_ char *sub = path_join(dir, "sub/deep"), *one = path_join(dir, "one"), *two = path_join(dir, "sub/two");
	_cleanup_free_ char *lnk = path_join(dir, "link"), *away = path_join(dir, "sub/away"), *sparse = path_join(dir, "sparse");
	_cleanup_free_ char *fifo = path_join(dir, "fifo"), *odd = path_join(dir, "a\n\xff");
	_cleanup_free_ char *locked = path_join(dir, "sub/deep");
	struct error *e = NULL;
	int fd;

	fill(p, 2 * MIB, 21);
	assert_ok(file_mkdirs(sub, 0755, &e), e);
	make(dir, "one", p, 100000, 04755);
	make(dir, "sub/big", p, 2 * MIB, 0640);
	make(dir, "a\n\xff", "odd", 3, 0644);
	make(dir, "sub/empty", "", 0, 0400);
	assert_int_equal(link(one, two), 0);
	assert_int_equal(symlink("sub/big", lnk), 0);
	assert_int_equal(symlink("/etc/passwd", away), 0);
	assert_int_equal(mkfifo(fifo, 0600), 0);
	fd = open(sparse, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	assert_int_equal(pwrite(fd, "x", 1, 50 * MIB), 1);
	close(fd);
	if (setxattr(odd, "user.colour", "blue", 4, 0) == 0)
		assert_int_equal(setxattr(odd, "user.none", "", 0, 0), 0);
	assert_int_equal(utimensat(AT_FDCWD, lnk, old, AT_SYMLINK_NOFOLLOW), 0);
	assert_int_equal(utimensat(AT_FDCWD, one, old, 0), 0);
	assert_int_equal(utimensat(AT_FDCWD, locked, old, 0), 0);
	assert_int_equal(chmod(locked, 0700), 0);
	assert_int_equal(chmod(dir, 0751), 0);
}

static void same_file(const char *a, const char *b)
{
	struct stat x, y;
	char la[100] = "", lb[100] = "";

	assert_int_equal(lstat(a, &x), 0);
	if (lstat(b, &y) < 0)
		fail_msg("%s is missing", b);
	if (x.st_mode != y.st_mode || x.st_uid != y.st_uid || x.st_gid != y.st_gid || x.st_nlink != y.st_nlink ||
		x.st_mtim.tv_sec != y.st_mtim.tv_sec || x.st_mtim.tv_nsec != y.st_mtim.tv_nsec ||
		(S_ISREG(x.st_mode) && x.st_size != y.st_size))
		fail_msg("%s is not as it was", b);
	if (S_ISLNK(x.st_mode)) {
		assert_int_equal(readlink(a, la, 99), readlink(b, lb, 99));
		assert_string_equal(la, lb);
	} else if (S_ISREG(x.st_mode)) {
		_cleanup_buf_ struct buf p = BUF_INIT, q = BUF_INIT;
		struct error *e = NULL;

		assert_ok(file_read(a, 100 * MIB, &p, &e), e);
		assert_ok(file_read(b, 100 * MIB, &q, &e), e);
		assert_true(p.len == q.len && (!p.len || !memcmp(p.data, q.data, p.len)));
	}
}

static int same_tree(const char *a, const char *b)
{
	_cleanup_closedir_ DIR *d = opendir(a);
	int n = 1;

	same_file(a, b);
	for (struct dirent *e; (e = readdir(d));) {
		_cleanup_free_ char *x = path_join(a, e->d_name), *y = path_join(b, e->d_name);

		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
			continue;
		if (e->d_type == DT_DIR)
			n += same_tree(x, y);
		else
			same_file(x, y);
		n++;
	}
	return n;
}

static int count(void *arg, const struct store_file *f)
{
	(*(int *)arg)++;
	return 0;
}

static void a_folder_comes_back_as_it_was(void **state)
{
	_cleanup_store_ struct store *s = fresh_store(*state, "s");
	_cleanup_free_ char *dir = path_join(*state, "tree"), *out = path_join(*state, "back"), *odd = path_join(out, "a\n\xff");
	_cleanup_free_ char *sparse = path_join(out, "sparse"), *was = path_join(dir, "a\n\xff"), *big = path_join(dir, "sub/big");
	struct store_put_result r;
	struct store_tree_result t;
	struct store_put_opts o = { .replace = true };
	struct error *e = NULL;
	struct stat st;
	char value[10];
	int n = 0;

	assert_int_equal(mkdir(dir, 0755), 0);
	fill_tree(dir);
	assert_ok(store_put_tree(s, "t", dir, &o, &r, &e), e);
	assert_true(store_is_tree(s, "t"));
	assert_ok(store_get_tree(s, "t", out, &(struct store_get_opts){ .sync = true }, &t, &e), e);
	assert_int_equal(same_tree(dir, out), 14);
	assert_int_equal(t.left_out, 0);
	assert_int_equal(stat(sparse, &st), 0);
	assert_true(st.st_blocks * 512 < MIB);
	if (getxattr(was, "user.colour", value, 10) == 4) {
		assert_int_equal(getxattr(odd, "user.colour", value, 10), 4);
		assert_memory_equal(value, "blue", 4);
		assert_int_equal(getxattr(odd, "user.none", value, 10), 0);
	}
	assert_ok(store_tree_list(s, "t", count, &n, &e), e);
	assert_int_equal(n, 12);
	/* again: nothing new but the list; a changed file costs what changed */
	assert_ok(store_put_tree(s, "t", dir, &o, &r, &e), e);
	assert_int_equal(r.fresh, 0);
	assert_int_equal(truncate(big, MIB), 0);
	assert_ok(store_put_tree(s, "t", dir, &o, &r, &e), e);
	assert_true(r.fresh > 0 && r.fresh < 100000);
	/* never over something */
	assert_err(store_get_tree(s, "t", out, &(struct store_get_opts){ 0 }, &t, &e), e, ERR_STATE, "back");
	assert_true(file_exists(odd));
	assert_err(store_get_tree(s, "t", *state, &(struct store_get_opts){ .update = true }, &t, &e), e, ERR_USAGE, "anew");
}

static void other_things_are_no_folders(void **state)
{
	_cleanup_store_ struct store *s = fresh_store(*state, "s");
	_cleanup_free_ char *out = path_join(*state, "no"), *in = make_file(*state, "in", (const uint8_t *)"x", 1);
	struct store_part part = { .name = "entries", .data = "x", .size = 1 };
	struct store_put_result r;
	struct store_tree_result t;
	struct error *e = NULL;

	put(s, "file", in, &r);
	assert_ok(store_put_set(s, "set", &part, 1, NULL, &(struct store_put_opts){ 0 }, &r, &e), e);
	assert_false(store_is_tree(s, "file") || store_is_tree(s, "set") || store_is_tree(s, "nobody"));
	assert_err(store_get_tree(s, "file", out, &(struct store_get_opts){ 0 }, &t, &e), e, ERR_STATE, "not a set");
	assert_err(store_get_tree(s, "set", out, &(struct store_get_opts){ 0 }, &t, &e), e, ERR_STATE, "not a folder");
	assert_err(store_put_tree(s, "t", in, &(struct store_put_opts){ 0 }, &r, &e), e, ERR_FAILED, "in: Not a directory");
	assert_false(file_exists(out));
}

/* What somebody else may have put into a store. */
static void lists_that_lead_out_are_refused(void **state)
{
	static const struct {
		const char *path, *link;
		uint32_t mode, hard, bytes;
	} lists[][3] = {
		{ { "../x", NULL, S_IFREG | 0644, 0, 0 } },
		{ { "/x", NULL, S_IFREG | 0644, 0, 0 } },
		{ { "a//x", NULL, S_IFREG | 0644, 0, 0 } },
		{ { "a", "..", S_IFLNK | 0777, 0, 0 }, { "a/x", NULL, S_IFREG | 0644, 0, 0 } },
		{ { "a", "..", S_IFLNK | 0777, 0, 0 }, { "a/x", "y", S_IFLNK | 0777, 0, 0 } },
		{ { "a", "..", S_IFLNK | 0777, 0, 0 }, { "a/x", NULL, S_IFDIR | 0755, 0, 0 } },
		{ { "a", "..", S_IFLNK | 0777, 0, 0 }, { "a/x", NULL, S_IFIFO | 0755, 0, 0 } },
		{ { "a", "../victim", S_IFREG | 0644, 1, 0 } },
		{ { "a", "../victim", S_IFLNK | 0644, 1, 0 } },
		{ { "a", NULL, S_IFREG | 0644, 0, 0 }, { "a", NULL, S_IFREG | 0644, 0, 0 } },
		{ { "a", NULL, S_IFREG | 0644, 0, 5 } }, /* more than there is content */
		{ { ".", NULL, S_IFREG | 0644, 0, 0 } },
	};
	_cleanup_store_ struct store *s = fresh_store(*state, "s");
	_cleanup_free_ char *out = path_join(*state, "out"), *x = path_join(*state, "x");
	_cleanup_buf_ struct buf none = BUF_INIT;

	free(make_file(*state, "victim", (const uint8_t *)"v", 1));
	for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
		_cleanup_buf_ struct buf b = BUF_INIT;
		struct store_part parts[2] = { { .name = "entries" }, { .name = "content", .data = "1234", .size = 4 } };
		struct store_put_result r;
		struct store_tree_result t;
		struct error *e = NULL;

		for (size_t k = 0; k < 3 && lists[i][k].path; k++) {
			struct tree_head h = { .mode = lists[i][k].mode, .hard = lists[i][k].hard, .bytes = lists[i][k].bytes };

			tree_add(&b, &h, lists[i][k].path, lists[i][k].link, &none);
		}
		parts[0].data = b.data;
		parts[0].size = b.len;
		parts[1].size = lists[i][0].bytes ? 4 : 0;
		assert_ok(store_put_set(s, "t", parts, 2, TREE_INFO, &(struct store_put_opts){ .replace = true }, &r, &e), e);
		if (store_get_tree(s, "t", out, &(struct store_get_opts){ 0 }, &t, &e) == 0 && !lists[i][0].bytes)
			fail_msg("list %zu was taken", i);
		error_clear(&e);
		assert_false(file_exists(x));
		assert_ok(file_remove_tree(out, &e), e);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_folder_comes_back_as_it_was),
		cmocka_unit_test(other_things_are_no_folders),
		cmocka_unit_test(lists_that_lead_out_are_refused),
	};

	return cmocka_run_group_tests(tests, test_dir_setup, test_dir_teardown);
}
