/* SPDX-License-Identifier: Apache-2.0 */
/* Images on disk: import of sound and odd files, replacement, removal, what killed makers left. */
#include "../test.h"

#include <sys/utsname.h>
#include "base/path.h"
#include "base/proc.h"
#include "image/image.h"
#include "image/internal.h"

static char *dir;

static char *in_dir(const char *name)
{
	return path_join(dir, name);
}

static void qemu_img(const char *const *argv)
{
	struct error *e = NULL;

	assert_ok(proc_run(argv, 60000, NULL, NULL, &e), e);
}

static void import_ok(const char *file, const char *name, bool force)
{
	struct error *e = NULL;

	assert_ok(image_import(file, name, NULL, force, &e), e);
}

static size_t count_files(const char *path)
{
	_cleanup_closedir_ DIR *d = opendir(path);
	size_t n = 0;

	for (struct dirent *e; d && (e = readdir(d));)
		n += strcmp(e->d_name, ".") && strcmp(e->d_name, "..") &&
		     strcmp(e->d_name, FILE_LOCK_NAME);
	return n;
}

static void sound_files_are_taken(void **s)
{
	_cleanup_free_ char *raw = in_dir("a b.img"), *q = in_dir("q.qcow2"), *iso = in_dir("i.iso");
	const char *mk[] = { "qemu-img", "create", "-q", "-f", "qcow2", q, "3M", NULL };
	char *sector = xcalloc(1, 17 * 2048);
	struct error *e = NULL;

	assert_ok(file_write(raw, "hello", 5, 0600, &e), e);
	assert_int_equal(truncate(raw, 1 << 20), 0);
	memcpy(sector + 16 * 2048, "\1CD001", 6);
	assert_ok(file_write(iso, sector, 17 * 2048, 0600, &e), e);
	free(sector);
	qemu_img(mk);
	import_ok(raw, "raw", false);
	import_ok(q, NULL, false);
	import_ok(iso, NULL, false);
	{
		static const struct {
			const char *name, *format;
			uint64_t size;
		} rows[] = { { "raw", "raw", 1 << 20 }, { "q", "qcow2", 3 << 20 },
			{ "i", "iso", 17 * 2048 } };

		for (size_t n = 0; n < ARRAY_SIZE(rows); n++) {
			_cleanup_image_ struct image *i = image_open(rows[n].name, &e);

			assert_ok(i ? 0 : -1, e);
			assert_string_equal(i->format, rows[n].format);
			assert_int_equal(i->disk_size, rows[n].size);
			assert_true(file_exists(i->disk));
			assert_int_equal(strlen(i->sha256), 64);
			assert_false(i->agent);
			assert_null(i->kernel);
		}
	}
}

static void architecture_is_kept(void **s)
{
	_cleanup_free_ char *raw = in_dir("arm.img");
	_cleanup_image_ struct image *i = NULL, *own = NULL;
	struct error *e = NULL;
	struct utsname host;

	uname(&host);
	assert_ok(file_write(raw, "hello", 5, 0600, &e), e);
	assert_int_equal(truncate(raw, 1 << 20), 0);
	assert_ok(image_import(raw, "arm", "aarch64", false, &e), e);
	i = image_open("arm", &e);
	assert_ok(i ? 0 : -1, e);
	assert_string_equal(i->arch, "aarch64");
	import_ok(raw, "own", false);
	own = image_open("own", &e);
	assert_ok(own ? 0 : -1, e);
	assert_string_equal(own->arch, host.machine);
}

static void odd_files_are_refused(void **s)
{
	_cleanup_free_ char *empty = in_dir("empty"), *over = in_dir("over"), *bad = in_dir("bad"),
			    *vdi = in_dir("v.vdi"), *gone = in_dir("gone"), *q = in_dir("q.qcow2"),
			    *images = path_data("images");
	const char *mkover[] = { "qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", q,
		over, NULL };
	const char *mkvdi[] = { "qemu-img", "create", "-q", "-f", "vdi", vdi, "1M", NULL };
	size_t before = count_files(images);
	struct error *e = NULL;

	assert_ok(file_write(empty, "", 0, 0600, &e), e);
	assert_ok(file_write(bad, "QFI\xfb\0\0\0\3garbage", 15, 0600, &e), e);
	qemu_img(mkover);
	qemu_img(mkvdi);
	assert_err(image_import(gone, "x", NULL, false, &e), e, ERR_NOT_FOUND, "gone");
	assert_err(image_import(dir, "x", NULL, false, &e), e, ERR_USAGE, "is not a file");
	assert_err(image_import(empty, "x", NULL, false, &e), e, ERR_FAILED, "is empty");
	assert_err(image_import(over, "x", NULL, false, &e), e, ERR_FAILED, "a backing file");
	assert_err(image_import(bad, "x", NULL, false, &e), e, ERR_FAILED, "bad");
	assert_ok(image_import(vdi, "x", NULL, false, &e), e);
	assert_ok(image_remove("x", false, &e), e);
	assert_err(image_import(q, "../x", NULL, false, &e), e, ERR_USAGE, "../x");
	assert_err(image_import(q, "q", NULL, false, &e), e, ERR_STATE, "the name is taken");
	assert_int_equal(count_files(images), before);
}

static void in_use_is_kept(void **s)
{
	_cleanup_free_ char *m = path_data("machines/g/m"), *json = path_join(m, "machine.json"),
			    *q = in_dir("q.qcow2"), *machines = path_data("machines");
	static const char text[] = "{\"disks\":[{\"image\":\"q\"}]}";
	struct error *e = NULL;

	assert_ok(file_mkdirs(m, 0700, &e), e);
	assert_ok(file_write(json, text, strlen(text), 0600, &e), e);
	assert_err(image_remove("q", false, &e), e, ERR_STATE, "g/m");
	assert_err(image_import(q, "q", NULL, true, &e), e, ERR_STATE, "g/m");
	assert_ok(file_remove_tree(machines, &e), e);
	import_ok(q, "q", true);
	assert_ok(image_remove("q", false, &e), e);
	assert_err(image_remove("q", false, &e), e, ERR_NOT_FOUND, "image q");
}

/* A killed maker's folder is no image, is not listed, and goes away with the next making. */
static void killed_makers_leave_nothing(void **s)
{
	_cleanup_free_ char *images = path_data("images"), *raw = in_dir("a b.img"), *tmp = NULL;
	_cleanup_strv_ struct strv names = STRV_INIT;
	struct error *e = NULL;
	int lock = -1;

	tmp = image_begin("half", &lock, &e);
	assert_ok(tmp ? 0 : -1, e);
	assert_err(image_import(raw, "late", NULL, false, &e), e, ERR_STATE, "");
	close(lock);
	assert_true(file_is_dir(tmp));
	assert_ok(image_names(&names, &e), e);
	assert_false(strv_has(&names, "half"));
	import_ok(raw, "raw", true);
	assert_false(file_exists(tmp));
	assert_int_equal(count_files(images), names.len);
}

static int home_setup(void **state)
{
	if (test_dir_setup(state) < 0)
		return -1;
	dir = *state;
	return setenv("CROFT_HOME", dir, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sound_files_are_taken),
		cmocka_unit_test(architecture_is_kept),
		cmocka_unit_test(odd_files_are_refused),
		cmocka_unit_test(in_use_is_kept),
		cmocka_unit_test(killed_makers_leave_nothing),
	};

	return cmocka_run_group_tests(tests, home_setup, test_dir_teardown);
}
