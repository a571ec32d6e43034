/* SPDX-License-Identifier: Apache-2.0 */
/* Parts of exports that need no other program: what files are, tar headers, compression in pieces, what roots leave out. */
#include "../test.h"

#include "base/path.h"
#include "image/export/output.h"
#include "image/export/root.h"
#include "image/export/sniff.h"
#include "image/export/squeeze.h"
#include "image/export/ustar.h"

#include <fcntl.h>

static char *dir;

static void put(const char *path, const void *p, size_t n, off_t size)
{
	struct error *e = NULL;

	assert_ok(file_write(path, p, n, 0600, &e), e);
	if (size)
		assert_int_equal(truncate(path, size), 0);
}

static void content_tells_what_a_file_is(void **s)
{
	static const struct {
		const char *begin;
		size_t n;
		enum sniff_kind kind;
		const char *format;
	} rows[] = {
		{ "\x1f\x8b\x08", 3, SNIFF_COMPRESSED, "gzip" },
		{ "\x28\xb5\x2f\xfd", 4, SNIFF_COMPRESSED, "zstd" },
		{ "vhdxfile", 8, SNIFF_DISK, "vhdx" },
		{ "hsqs", 4, SNIFF_SQUASHFS, "squashfs" },
		{ "anything", 8, SNIFF_DISK, "raw" },
	};
	_cleanup_free_ char *path = path_join(dir, "ü.qcow2");
	struct error *e = NULL;
	struct sniff is;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		put(path, rows[i].begin, rows[i].n, 4096);
		assert_ok(sniff_file(path, &is, &e), e);
		assert_int_equal(is.kind, rows[i].kind);
		assert_string_equal(is.format, rows[i].format);
	}
	put(path, "QED\0", 4, 4096);
	assert_err(sniff_file(path, &is, &e), e, ERR_FAILED, "QED");
	put(path, "KDMV", 4, 4096); /* capacity 0: its extents are elsewhere */
	assert_err(sniff_file(path, &is, &e), e, ERR_FAILED, "extents");
	put(path, "QFI\xfb\0\0\0\3\0\0\0\0\0\0\2\0", 16, 4096);
	assert_err(sniff_file(path, &is, &e), e, ERR_FAILED, "backing file");
	put(path, "QFI\xfb\0\0\0\1", 8, 4096);
	assert_err(sniff_file(path, &is, &e), e, ERR_FAILED, "version 1");
	put(path, "", 0, 0);
	assert_err(sniff_file(path, &is, &e), e, ERR_FAILED, "empty");
	assert_err(sniff_file(dir, &is, &e), e, ERR_USAGE, "not a file");
}

static void tar_headers_are_read_by_others(void **s)
{
	static const uint64_t sizes[] = { 0, 1, 511, ((uint64_t)8 << 30) - 1, (uint64_t)8 << 30, (uint64_t)1 << 40 };
	char h[USTAR_BLOCK];

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		struct archive *ar = archive_read_new();
		struct archive_entry *e;

		ustar_header(h, "a b ü.vmdk", sizes[i], 1704067200);
		archive_read_support_format_tar(ar);
		assert_int_equal(archive_read_open_memory(ar, h, sizeof(h)), ARCHIVE_OK);
		assert_true(archive_read_next_header(ar, &e) >= ARCHIVE_WARN);
		assert_int_equal(archive_entry_size(e), sizes[i]);
		assert_int_equal(archive_entry_mtime(e), 1704067200);
		assert_int_equal(archive_entry_mode(e), AE_IFREG | 0644);
		archive_read_free(ar);
	}
	assert_int_equal(ustar_room(0), 512);
	assert_int_equal(ustar_room(513), 512 + 1024);
}

/* Pieces of odd sizes, over the borders of members. */
static void compression_comes_back(void **s)
{
	static const char *const kinds[] = { "gz", "zst", "xz", NULL };
	_cleanup_free_ char *path = path_join(dir, "packed"), *data = xmalloc(3000001), *back = xmalloc(3000001);
	struct error *e = NULL;

	for (size_t i = 0; i < 3000001; i++)
		data[i] = (char)(i * i >> 11);
	for (size_t k = 0; k < ARRAY_SIZE(kinds); k++) {
		for (size_t total = 0; total <= 3000001; total += 3000001) {
			_cleanup_close_ int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
			struct sink to = { .fd = fd, .what = path };
			_cleanup_squeeze_ struct squeeze *q = squeeze_new(kinds[k], 0, &to);
			struct archive *ar = archive_read_new();
			struct archive_entry *entry;
			struct stat st;

			for (size_t at = 0, n; at < total; at += n) {
				n = total - at < 77777 ? total - at : 77777;
				assert_ok(squeeze_write(q, data + at, n, &e), e);
			}
			assert_ok(squeeze_end(q, &e), e);
			assert_int_equal(fstat(fd, &st), 0);
			assert_int_equal(st.st_size, to.pos);
			if (total) {
				archive_read_support_filter_all(ar);
				archive_read_support_format_raw(ar);
				assert_int_equal(archive_read_open_filename(ar, path, 10240), ARCHIVE_OK);
				assert_int_equal(archive_read_next_header(ar, &entry), ARCHIVE_OK);
				for (size_t at = 0; at < total;) {
					la_ssize_t n = archive_read_data(ar, back + at, total - at);

					assert_true(n > 0);
					at += (size_t)n;
				}
				assert_memory_equal(data, back, total);
			}
			archive_read_free(ar);
		}
	}
}

static void roots_leave_their_identity(void **s)
{
	static const struct {
		const char *path;
		unsigned type;
		enum root_verdict plain, boot, as_is;
	} rows[] = {
		{ "etc/machine-id", AE_IFREG, ROOT_EMPTY, ROOT_EMPTY, ROOT_KEEP },
		{ "etc/ssh/ssh_host_rsa_key", AE_IFREG, ROOT_DROP, ROOT_DROP, ROOT_KEEP },
		{ "etc/ssh/sshd_config", AE_IFREG, ROOT_KEEP, ROOT_KEEP, ROOT_KEEP },
		{ "boot/vmlinuz-1", AE_IFREG, ROOT_DROP, ROOT_KEEP, ROOT_KEEP },
		{ "boot", AE_IFDIR, ROOT_KEEP, ROOT_KEEP, ROOT_KEEP },
		{ "proc", AE_IFDIR, ROOT_KEEP, ROOT_KEEP, ROOT_KEEP },
		{ "proc/1", AE_IFDIR, ROOT_DROP, ROOT_DROP, ROOT_KEEP },
		{ "process", AE_IFREG, ROOT_KEEP, ROOT_KEEP, ROOT_KEEP },
		{ "opt/node", AE_IFCHR, ROOT_DROP, ROOT_DROP, ROOT_KEEP },
		{ "opt/socket", AE_IFSOCK, ROOT_DROP, ROOT_DROP, ROOT_DROP },
		{ "srv/x/y", AE_IFREG, ROOT_DROP, ROOT_KEEP, ROOT_KEEP },
		{ "srv/xy", AE_IFREG, ROOT_KEEP, ROOT_KEEP, ROOT_KEEP },
	};
	_cleanup_strv_ struct strv without = STRV_INIT;
	const struct root_filter plain = { .without = &without }, boot = { .boot = true }, as_is = { .as_is = true };

	strv_add(&without, "/srv/x/");
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct archive_entry *e = archive_entry_new();

		archive_entry_set_pathname(e, rows[i].path);
		archive_entry_set_filetype(e, rows[i].type);
		assert_int_equal(root_filter(&plain, e), rows[i].plain);
		assert_int_equal(root_filter(&boot, e), rows[i].boot);
		assert_int_equal(root_filter(&as_is, e), rows[i].as_is);
		archive_entry_free(e);
	}
}

static void outputs_are_whole_or_absent(void **s)
{
	_cleanup_free_ char *path = path_join(dir, "out ü");
	_cleanup_buf_ struct buf b = BUF_INIT;
	struct error *e = NULL;
	struct output o;

	assert_ok(output_open(&o, path, true, false, &e), e);
	assert_ok(file_write_all(o.fd, "new", 3, path, &e), e);
	assert_false(file_exists(path));
	output_abort(&o);
	assert_false(file_exists(path));
	put(path, "old", 3, 0);
	assert_err(output_open(&o, path, true, false, &e), e, ERR_STATE, "is there already");
	output_abort(&o);
	assert_ok(output_open(&o, path, true, true, &e), e);
	assert_ok(file_write_all(o.fd, "new", 3, path, &e), e);
	assert_ok(output_commit(&o, &e), e);
	output_abort(&o);
	assert_ok(file_read(path, 10, &b, &e), e);
	assert_string_equal(buf_str(&b), "new");
	assert_err(output_open(&o, dir, true, true, &e), e, ERR_USAGE, "folder");
	output_abort(&o);
}

static int setup(void **state)
{
	if (test_dir_setup(state) < 0)
		return -1;
	dir = *state;
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(content_tells_what_a_file_is),
		cmocka_unit_test(tar_headers_are_read_by_others),
		cmocka_unit_test(compression_comes_back),
		cmocka_unit_test(roots_leave_their_identity),
		cmocka_unit_test(outputs_are_whole_or_absent),
	};

	return cmocka_run_group_tests(tests, setup, test_dir_teardown);
}
