/* SPDX-License-Identifier: Apache-2.0 */
/* The initramfs, and what is read out of packages. */
#include "../test.h"
#include "image/deb.h"
#include "image/initramfs.h"
#include "image/kmod.h"
#include "image/vmlinux.h"

#include <elf.h>
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

/* An object file with .modinfo, .BTF, relocations of .BTF, and a signature behind it. */
static void make_module(struct buf *b)
{
	static const char names[] = "\0.modinfo\0.BTF\0.rela.BTF\0.shstrtab";
	Elf64_Shdr sh[5] = { { 0 },
		{ .sh_name = 1, .sh_type = SHT_PROGBITS, .sh_flags = SHF_ALLOC, .sh_size = 10, .sh_addralign = 8 },
		{ .sh_name = 10, .sh_type = SHT_PROGBITS, .sh_size = 5, .sh_addralign = 1 },
		{ .sh_name = 15, .sh_type = SHT_RELA, .sh_size = 6, .sh_info = 2, .sh_addralign = 1 },
		{ .sh_name = 25, .sh_type = SHT_STRTAB, .sh_size = sizeof(names), .sh_addralign = 1 } };
	const char *contents[] = { NULL, "depends=a", "types", "relocs", names };
	Elf64_Ehdr eh = { .e_ident = { 0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, EV_CURRENT }, .e_type = ET_REL,
		.e_shentsize = sizeof(sh[0]), .e_shnum = 5, .e_shstrndx = 4 };

	buf_add(b, &eh, sizeof(eh));
	for (size_t i = 1; i < 5; i++) {
		sh[i].sh_offset = b->len;
		buf_add(b, contents[i], sh[i].sh_size);
	}
	eh.e_shoff = b->len;
	memcpy(b->data, &eh, sizeof(eh));
	buf_add(b, sh, sizeof(sh));
	buf_adds(b, "~Module signature appended~");
}

static void stripped_module_keeps_what_it_needs(void **s)
{
	_cleanup_buf_ struct buf whole = BUF_INIT;
	struct error *e = NULL;
	struct kmod *m;
	struct kmods k;

	make_module(&whole);
	kmods_init(&k);
	for (size_t cut = 0; cut < whole.len; cut++) { /* anything shorter is taken or refused, never read past its end */
		struct buf part = BUF_INIT;

		buf_add(&part, whole.data, cut);
		kmod_strip(&part);
		buf_free(&part);
	}
	assert_ok(kmods_add(&k, "kernel/fs/x.ko", &whole, &e), e);
	m = map_get(&k.all, "x");
	assert_non_null(m);
	assert_true(strv_has(&m->depends, "a"));
	assert_null(memmem(m->data.data, m->data.len, "types", 5));
	assert_null(memmem(m->data.data, m->data.len, "relocs", 6));
	assert_null(memmem(m->data.data, m->data.len, "signature", 9));
	assert_non_null(memmem(m->data.data, m->data.len, ".shstrtab", 9));
	kmods_free(&k);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(stripped_module_keeps_what_it_needs),
		cmocka_unit_test(order_of_adding_does_not_matter),
		cmocka_unit_test(archive_reads_back),
		cmocka_unit_test(garbage_is_refused),
		cmocka_unit_test(unknown_module_is_named),
	};

	return cmocka_run_group_tests(tests, test_dir_setup, test_dir_teardown);
}
