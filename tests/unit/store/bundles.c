/* SPDX-License-Identifier: Apache-2.0 */
/* Bundles: what goes in comes out; what was changed or cut on the way is never taken for whole. */
#include "common.h"
#include "store/bundle.h"

#include <fcntl.h>
#include <unistd.h>

static const struct bundle_opts opts = { .what = "b.croft", .threads = 2 };

/* A file with data, a hole, and zeros; one in memory; one without anything. */
static void make(const char *dir, const char *name, size_t n)
{
	_cleanup_free_ char *path = path_join(dir, name), *file = path_join(dir, "in");
	_cleanup_close_ int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	_cleanup_close_ int in = open(file, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);
	_cleanup_bundle_out_ struct bundle_out *b = NULL;
	uint8_t *p = xcalloc(1, n);
	struct error *e = NULL;

	fill(p, n, 3);
	assert_int_equal(pwrite(in, p, n, 0), n);
	assert_int_equal(pwrite(in, p, n / 2, (off_t)(7 * MIB + 4096)), n / 2);
	free(p);
	b = bundle_create(fd, &opts, &e);
	assert_non_null(b);
	assert_ok(bundle_put_bytes(b, "m.json", "{}", 2, &e), e);
	assert_ok(bundle_put_file(b, "d/é disk", file, &e), e);
	assert_ok(bundle_put_bytes(b, "empty", "", 0, &e), e);
	assert_err(bundle_put_bytes(b, "a/../b", "", 0, &e), e, ERR_USAGE, "not a name");
	assert_ok(bundle_finish(b, &e), e);
}

/* 0: all of it came, and the file is what was sent; 1: an error. */
static int take(const char *dir, int fd)
{
	_cleanup_free_ char *out = path_join(dir, "out");
	_cleanup_error_ struct error *e = NULL;
	_cleanup_bundle_in_ struct bundle_in *b = bundle_open(fd, &opts, &e);
	_cleanup_buf_ struct buf text = BUF_INIT;
	struct bundle_part part;
	int rc = b ? 1 : -1, n = 0;

	unlink(out);
	while (rc > 0 && (rc = bundle_next(b, &part, &e)) > 0) {
		n++;
		if ((!strchr(part.name, '/') ? bundle_get_bytes(b, &text, &e) : bundle_get_file(b, out, &e)) < 0)
			rc = -1;
	}
	assert_true((rc < 0) == (e != NULL));
	if (rc < 0)
		return 1;
	assert_int_equal(n, 3);
	assert_string_equal(buf_str(&text), "{}");
	return 0;
}

static void what_goes_in_comes_out(void **state)
{
	_cleanup_free_ char *path = path_join(*state, "b"), *in = path_join(*state, "in"), *out = path_join(*state, "out");
	_cleanup_close_ int fd = -1;
	_cleanup_buf_ struct buf x = BUF_INIT, y = BUF_INIT;
	struct error *e = NULL;
	struct stat st;

	make(*state, "b", 5 * MIB + 17);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_int_equal(take(*state, fd), 0);
	assert_ok(file_read(in, 64 * MIB, &x, &e), e);
	assert_ok(file_read(out, 64 * MIB, &y, &e), e);
	assert_int_equal(x.len, y.len);
	assert_memory_equal(x.data, y.data, x.len);
	assert_int_equal(stat(out, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0640);
}

static void every_flip_and_cut_is_found(void **state)
{
	_cleanup_free_ char *path = path_join(*state, "c");
	_cleanup_close_ int fd = -1;
	struct stat st;

	make(*state, "c", 300);
	fd = open(path, O_RDWR | O_CLOEXEC);
	assert_int_equal(fstat(fd, &st), 0);
	for (off_t i = 0; i < st.st_size; i++) {
		uint8_t was, is;

		assert_int_equal(pread(fd, &was, 1, i), 1);
		is = (uint8_t)(was ^ (1 << (i % 8)));
		assert_int_equal(pwrite(fd, &is, 1, i), 1);
		lseek(fd, 0, SEEK_SET);
		if (take(*state, fd) == 0)
			fail_msg("bit %d of byte %ld was flipped and nobody saw it", (int)(i % 8), (long)i);
		assert_int_equal(pwrite(fd, &was, 1, i), 1);
	}
	assert_int_equal(pwrite(fd, "", 1, st.st_size), 1);
	lseek(fd, 0, SEEK_SET);
	assert_int_equal(take(*state, fd), 1);
	for (off_t n = st.st_size; n-- > 0;) {
		assert_int_equal(ftruncate(fd, n), 0);
		lseek(fd, 0, SEEK_SET);
		assert_int_equal(take(*state, fd), 1);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_goes_in_comes_out),
		cmocka_unit_test(every_flip_and_cut_is_found),
	};

	return cmocka_run_group_tests(tests, test_dir_setup, test_dir_teardown);
}
