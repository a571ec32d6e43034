/* SPDX-License-Identifier: Apache-2.0 */
/* The initramfs, and what is read out of packages. */
#include "../test.h"
#include "image/deb.h"
#include "image/initramfs.h"
#include "image/kmod.h"
#include "image/vmlinux.h"

#include <archive.h>
#include <archive_entry.h>

static void fill(struct initramfs *i, bool backwards)
{
	for (int n = 0; n < 50; n++) {
		int k = backwards ? 49 - n : n;
		_cleanup_free_ char *path = xasprintf("usr/d%d/f%d", k % 7, k);

		initramfs_file(i, path, path, strlen(path), 0644);
	}
	initramfs_link(i, "init", "usr/d0/f0");
	initramfs_node(i, "dev/console", 0600, 5, 1);
}

static void order_of_adding_does_not_matter(void **s)
{
	struct initramfs *a = initramfs_new(), *b = initramfs_new();
	_cleanup_buf_ struct buf x = BUF_INIT, y = BUF_INIT;
	struct error *e = NULL;

	fill(a, false);
	fill(b, true);
	assert_ok(initramfs_write(a, &x, &e), e);
	assert_ok(initramfs_write(b, &y, &e), e);
	assert_int_equal(x.len, y.len);
	assert_memory_equal(x.data, y.data, x.len);
	initramfs_free(a);
	initramfs_free(b);
}

/* Folders stand before what lies in them, each once; owner, mode and content are as given. */
static void archive_reads_back(void **s)
{
	struct initramfs *i = initramfs_new();
	_cleanup_buf_ struct buf out = BUF_INIT;
	struct archive *a = archive_read_new();
	struct archive_entry *ae;
	struct error *e = NULL;
	int dirs = 0, files = 0;
	char text[8] = "";

	initramfs_dir(i, "home/u", 0750, 1000);
	initramfs_file(i, "home/u/x", "old", 3, 0600);
	initramfs_file(i, "home/u/x", "hello", 5, 0755);
	assert_ok(initramfs_write(i, &out, &e), e);
	archive_read_support_filter_zstd(a);
	archive_read_support_format_cpio(a);
	assert_int_equal(archive_read_open_memory(a, out.data, out.len), ARCHIVE_OK);
	while (archive_read_next_header(a, &ae) == ARCHIVE_OK) {
		assert_int_equal(archive_entry_mtime(ae), 0);
		if (archive_entry_filetype(ae) == AE_IFDIR) {
			assert_int_equal(files, 0);
			assert_int_equal(archive_entry_perm(ae), dirs ? 0750 : 0755);
			assert_int_equal(archive_entry_uid(ae), dirs ? 1000 : 0);
			dirs++;
			continue;
		}
		files++;
		assert_int_equal(archive_entry_perm(ae), 0755);
		assert_int_equal(archive_read_data(a, text, sizeof(text)), 5);
		assert_string_equal(text, "hello");
	}
	assert_int_equal(dirs, 2);
	assert_int_equal(files, 1);
	archive_read_free(a);
	initramfs_free(i);
}

static bool want(void *arg, const struct deb_file *f)
{
	return true;
}

static int got(void *arg, const struct deb_file *f, struct buf *data, struct error **err)
{
	return 0;
}

static void garbage_is_refused(void **s)
{
	static const char *const texts[] = { "", "!<arch>\n", "no package at all",
		"!<arch>\ndata.tar        0           0     0     100644  5         `\nhello" };
	_cleanup_free_ char *path = xasprintf("%s/x.deb", (char *)*s);
	_cleanup_buf_ struct buf elf = BUF_INIT;
	struct error *e = NULL;
	struct kmods k;

	for (size_t n = 0; n < ARRAY_SIZE(texts); n++) {
		struct buf data = BUF_INIT;

		assert_ok(file_write(path, texts[n], strlen(texts[n]), 0600, &e), e);
		assert_err(deb_each(path, want, got, NULL, &e), e, ERR_FAILED, "x.deb");
		assert_err(vmlinux_extract(texts[n], strlen(texts[n]), &elf, &e), e, ERR_FAILED,
			"bzImage");
		kmods_init(&k);
		buf_adds(&data, texts[n]);
		assert_err(kmods_add(&k, "kernel/x.ko", &data, &e), e, ERR_FAILED,
			"not a kernel module");
		kmods_free(&k);
	}
}

static void unknown_module_is_named(void **s)
{
	_cleanup_strv_ struct strv order = STRV_INIT;
	struct error *e = NULL;
	struct kmods k;

	kmods_init(&k);
	kmods_builtin(&k, "kernel/fs/ext4/ext4.ko\nkernel/a/snd-x.ko\n");
	assert_ok(kmods_order(&k, "ext4", &order, &e), e);
	assert_ok(kmods_order(&k, "snd_x", &order, &e), e);
	assert_int_equal(order.len, 0);
	assert_err(kmods_order(&k, "xfs", &order, &e), e, ERR_FAILED, "xfs");
	kmods_free(&k);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(order_of_adding_does_not_matter),
		cmocka_unit_test(archive_reads_back),
		cmocka_unit_test(garbage_is_refused),
		cmocka_unit_test(unknown_module_is_named),
	};

	return cmocka_run_group_tests(tests, test_dir_setup, test_dir_teardown);
}
