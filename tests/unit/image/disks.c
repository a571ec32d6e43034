/* SPDX-License-Identifier: Apache-2.0 */
/* Partition table, boot sectors and file systems written by offset: read again by the tools that own the formats. */
#include "../test.h"

#include "base/proc.h"
#include "image/disk.h"
#include "image/ext4.h"

#include <fcntl.h>

#define SIZE ((off_t)256 << 20)
#define UUID "00112233-4455-8677-a899-aabbccddeeff"
#define NOW 1700000000

static char *disk_file(void **state, const char *name)
{
	char *path = xasprintf("%s/%s", (char *)*state, name);
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, SIZE), 0);
	close(fd);
	return path;
}

static void read_at(const char *path, off_t at, void *p, size_t n)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	assert_int_equal(pread(fd, p, n, at), n);
	close(fd);
}

static void partition(const char *path)
{
	const char *uuids[4] = { UUID, "00000000-0000-8000-a000-000000000001", "00000000-0000-8000-a000-000000000002",
		"00000000-0000-8000-a000-000000000003" };
	struct error *e = NULL;

	assert_ok(disk_partition(path, uuids, &e), e);
}

static uint64_t le64(const unsigned char *p)
{
	uint64_t v = 0;

	for (int i = 7; i >= 0; i--)
		v = v << 8 | p[i];
	return v;
}

/* UEFI 2.10, 5.3: header in the second sector, entries of 128 bytes from the third on. */
static void gpt_has_three_partitions(void **state)
{
	_cleanup_free_ char *path = disk_file(state, "gpt");
	static const unsigned char bios[16] = "Hah!IdontNeedEFI";
	unsigned char header[512], entry[4][128], tail[8];

	partition(path);
	read_at(path, 512, header, sizeof(header));
	assert_memory_equal(header, "EFI PART", 8);
	assert_int_equal(le64(header + 32), SIZE / 512 - 1);
	read_at(path, SIZE - 512, tail, sizeof(tail));
	assert_memory_equal(tail, "EFI PART", 8);
	read_at(path, 1024, entry, sizeof(entry));
	assert_memory_equal(entry[0], bios, 16);
	assert_int_equal(le64(entry[0] + 32) * 512, DISK_BIOS_START);
	assert_int_equal(le64(entry[1] + 32) * 512, DISK_ESP_START);
	assert_int_equal((le64(entry[1] + 40) + 1) * 512, DISK_ESP_START + DISK_ESP_SIZE);
	assert_int_equal(le64(entry[2] + 32) * 512, DISK_ROOT_START);
	assert_int_equal((le64(entry[2] + 40) + 1) * 512, SIZE - DISK_TAIL);
	assert_int_equal(entry[2][16 + 15], 3);
	assert_int_equal(le64(entry[3]), 0);
}

/* The chain: first sector -> core.img's first sector -> the rest of it. */
static void boot_sectors_point_to_one_another(void **state)
{
	_cleanup_free_ char *path = disk_file(state, "boot");
	_cleanup_buf_ struct buf boot = BUF_INIT, core = BUF_INIT, small = BUF_INIT;
	unsigned char before[512], first[512], image[1024];
	struct error *e = NULL;

	partition(path);
	read_at(path, 0, before, sizeof(before));
	memset(buf_reserve(&boot, 512), 'b', 512);
	boot.len = 512;
	memset(buf_reserve(&core, 3000), 'c', 3000);
	core.len = 3000;
	assert_ok(disk_grub_bios(path, &boot, &core, &e), e);
	read_at(path, 0, first, sizeof(first));
	assert_int_equal(le64(first + 0x5c), DISK_BIOS_START / 512);
	assert_int_equal(first[0x64], 0xff);
	assert_int_equal(first[0x66], 0x90);
	assert_int_equal(first[0x67], 0x90);
	assert_int_equal(first[0], 'b');
	assert_memory_equal(first + 440, before + 440, 72);
	read_at(path, (off_t)DISK_BIOS_START, image, sizeof(image));
	assert_int_equal(le64(image + 500), DISK_BIOS_START / 512 + 1);
	assert_int_equal(image[508] | image[509] << 8, 5); /* 3000 bytes are six sectors */
	assert_int_equal(image[510] | image[511] << 8, 0x820);
	assert_int_equal(image[512], 'c');
	buf_adds(&small, "x");
	assert_err(disk_grub_bios(path, &small, &core, &e), e, ERR_FAILED, "GRUB's images");
}

static void esp_holds_the_loader(void **state)
{
	_cleanup_free_ char *a = disk_file(state, "esp1"), *b = disk_file(state, "esp2");
	_cleanup_free_ char *drive = xasprintf("%s@@%llu", a, (unsigned long long)DISK_ESP_START);
	const char *type[] = { "mtype", "-i", drive, "::/EFI/BOOT/BOOTX64.EFI", NULL }, *cmp[] = { "cmp", a, b, NULL };
	_cleanup_buf_ struct buf loader = BUF_INIT, out = BUF_INIT;
	struct error *e = NULL;

	buf_adds(&loader, "MZ loader");
	assert_ok(disk_esp(a, 0x12345678, &loader, NOW, &e), e);
	assert_ok(disk_esp(b, 0x12345678, &loader, NOW, &e), e);
	assert_ok(proc_run(type, 10000, &out, NULL, &e), e);
	assert_string_equal(buf_str(&out), "MZ loader");
	assert_ok(proc_run(cmp, 10000, NULL, NULL, &e), e);
}

static void fill(const char *path)
{
	struct ext4_meta m = { 04755, 70000, 8, NOW - 5 }, dir = { 01777, 0, 0, NOW };
	_cleanup_buf_ struct buf big = BUF_INIT;
	struct error *e = NULL;
	struct ext4 *x;

	memset(buf_reserve(&big, 3 << 20), 'x', 3 << 20);
	big.len = 3 << 20;
	assert_ok(ext4_make(path, DISK_ROOT_START, 128 << 20, "root", UUID, NOW, &e), e);
	x = ext4_open(path, DISK_ROOT_START, NOW, &e);
	assert_ok(x ? 0 : -1, e);
	assert_ok(ext4_bytes(x, "usr/bin/big", &m, big.data, big.len, &e), e);
	assert_ok(ext4_dir(x, "tmp", &dir, &e), e);
	assert_ok(ext4_symlink(x, "bin", &m, "usr/bin", &e), e);
	assert_ok(ext4_hardlink(x, "tmp/again", "usr/bin/big", &e), e);
	assert_ok(ext4_xattr(x, "usr/bin/big", "user.note", "hello", 5, &e), e);
	/* More names than one block of a directory holds. */
	for (int i = 0; i < 600; i++) {
		_cleanup_free_ char *name = xasprintf("many/%03d-a-name-of-some-length", i);

		assert_ok(ext4_bytes(x, name, &m, "", 0, &e), e);
	}
	assert_ok(ext4_close(x, &e), e);
}

static char *debugfs(const char *path, const char *command)
{
	_cleanup_free_ char *at = xasprintf("%s?offset=%llu", path, (unsigned long long)DISK_ROOT_START);
	const char *argv[] = { "debugfs", "-R", command, at, NULL };
	_cleanup_buf_ struct buf out = BUF_INIT;
	struct error *e = NULL;

	assert_ok(proc_run(argv, 10000, &out, NULL, &e), e);
	return xstrdup(buf_str(&out));
}

static void ext4_holds_what_was_put_in(void **state)
{
	_cleanup_free_ char *path = disk_file(state, "ext4"), *at = xasprintf("%s?offset=%llu", path, (unsigned long long)DISK_ROOT_START);
	const char *fsck[] = { "e2fsck", "-f", "-n", at, NULL };
	_cleanup_free_ char *stat = NULL, *link = NULL, *attr = NULL, *many = NULL, *tmp = NULL;
	struct error *e = NULL;
	int names = 0;

	fill(path);
	assert_ok(proc_run(fsck, 60000, NULL, NULL, &e), e);
	stat = debugfs(path, "stat /usr/bin/big");
	assert_non_null(strstr(stat, "Mode:  04755"));
	assert_non_null(strstr(stat, "User: 70000   Group:     8"));
	assert_non_null(strstr(stat, "Size: 3145728"));
	assert_non_null(strstr(stat, "Links: 2"));
	assert_non_null(strstr(stat, "mtime: 0x6553f0fb"));
	attr = debugfs(path, "ea_get /usr/bin/big user.note");
	assert_non_null(strstr(attr, "hello"));
	link = debugfs(path, "stat /bin");
	assert_non_null(strstr(link, "Fast link dest: \"usr/bin\""));
	tmp = debugfs(path, "stat /tmp");
	assert_non_null(strstr(tmp, "Mode:  01777"));
	many = debugfs(path, "ls -p /many");
	for (const char *p = many; (p = strstr(p, "-a-name-of-some-length")); p++)
		names++;
	assert_int_equal(names, 600);
}

static void ext4_is_the_same_each_time(void **state)
{
	_cleanup_free_ char *a = disk_file(state, "same1"), *b = disk_file(state, "same2");
	const char *cmp[] = { "cmp", a, b, NULL };
	struct error *e = NULL;

	fill(a);
	sleep(1); /* a time of today anywhere would differ */
	fill(b);
	assert_ok(proc_run(cmp, 10000, NULL, NULL, &e), e);
}

static void ext4_says_when_it_is_full(void **state)
{
	_cleanup_free_ char *path = disk_file(state, "full"), *big = xcalloc(1, 40 << 20);
	struct ext4_meta m = { 0644, 0, 0, NOW };
	struct error *e = NULL;
	struct ext4 *x;

	assert_ok(ext4_make(path, DISK_ROOT_START, 32 << 20, "root", UUID, NOW, &e), e);
	x = ext4_open(path, DISK_ROOT_START, NOW, &e);
	assert_err(ext4_bytes(x, "big", &m, big, 40 << 20, &e), e, ERR_FAILED, "no room left");
	assert_ok(ext4_close(x, &e), e);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(gpt_has_three_partitions),
		cmocka_unit_test(boot_sectors_point_to_one_another),
		cmocka_unit_test(esp_holds_the_loader),
		cmocka_unit_test(ext4_holds_what_was_put_in),
		cmocka_unit_test(ext4_is_the_same_each_time),
		cmocka_unit_test(ext4_says_when_it_is_full),
	};

	setenv("PATH", "/usr/bin:/bin:/usr/sbin:/sbin", 1);
	return cmocka_run_group_tests(tests, test_dir_setup, test_dir_teardown);
}
