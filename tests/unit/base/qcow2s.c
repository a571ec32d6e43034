/* SPDX-License-Identifier: Apache-2.0 */
#include "../test.h"
#include "base/proc.h"
#include "base/qcow2.h"

#include <inttypes.h>

#define GIB (1ull << 30)

static char *dir;

static char *at(const char *name)
{
	return xasprintf("%s/%s", dir, name);
}

static char *output(const char *const *argv)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	struct error *err = NULL;


	assert_ok(proc_run(argv, 30000, &b, NULL, &err), err);
	return xstrdup(buf_str(&b));
}

/* Without how much of it lies on the disk: ours has holes. */
static char *info(const char *path)
{
	char *text = output((const char *const[]){ "qemu-img", "info", "--output=json", path, NULL }), *from = strstr(text, "\"actual-size\"");
	size_t n = from ? strcspn(from, "\n") : 0;

	assert_non_null(from);
	memmove(from, from + n, strlen(from + n) + 1);
	return text;
}

static bool have_qemu_img(void)
{
	return system("qemu-img --version >/dev/null 2>&1") == 0;
}

/* What qemu-img says of ours is what it says of its own, which has the same name at the time, and it finds the same in both. */
static void same_as_qemu_img(const char *backing, const char *format, uint64_t size)
{
	_cleanup_free_ char *path = at("disk.qcow2"), *aside = at("ours.qcow2"), *ours = NULL, *theirs = NULL, *check = NULL;
	char bytes[24];
	const char *create[12] = { "qemu-img", "create", "-q", "-f", "qcow2", path, bytes };
	struct error *err = NULL;

	snprintf(bytes, sizeof(bytes), "%" PRIu64, size);
	if (backing)
		memcpy(create + 7, ((const char *[]){ "-b", backing, "-F", format }), 4 * sizeof(char *));
	assert_ok(qcow2_create(path, backing, format, size, &err), err);
	assert_true(qcow2_size(path) >= size && qcow2_size(path) < size + 512);
	ours = info(path);
	check = output((const char *const[]){ "qemu-img", "check", "-f", "qcow2", path, NULL });
	assert_non_null(strstr(check, "No errors"));
	assert_int_equal(rename(path, aside), 0);
	free(output(create));
	theirs = info(path);
	assert_string_equal(ours, theirs);
	free(output((const char *const[]){ "qemu-img", "compare", "-q", path, aside, NULL }));
	unlink(path);
	unlink(aside);
}

static void as_qemu_img_makes_them(void **state)
{
	_cleanup_free_ char *raw = at("below.raw"), *below = at("below.qcow2");
	struct error *err = NULL;
	uint64_t n[] = { 0, 512, 1000, GIB / 2, GIB / 2 + 512, 5 * GIB, 4096 * GIB, 4096 * GIB + 1, 20000 * GIB };

	if (!have_qemu_img())
		skip_test("no qemu-img");
	for (size_t i = 0; i < ARRAY_SIZE(n); i++)
		same_as_qemu_img(NULL, NULL, n[i]);
	assert_ok(file_write(raw, "text", 4, 0600, &err), err);
	assert_ok(qcow2_create(below, raw, "raw", GIB, &err), err);
	same_as_qemu_img(raw, "raw", GIB);
	same_as_qemu_img(below, "qcow2", 5 * GIB);
	/* What is below shows through. */
	free(output((const char *const[]){ "qemu-img", "compare", "-q", "-f", "raw", raw, below, NULL }));
}

static void takes_only_what_fits(void **state)
{
	_cleanup_free_ char *path = at("x.qcow2"), *text = at("text"), *longest = xmalloc(1100);
	struct error *err = NULL;

	assert_err(qcow2_create(path, NULL, NULL, UINT64_MAX, &err), err, ERR_USAGE, "more than a qcow2 disk can have");
	assert_err(qcow2_create(path, "relative", "raw", GIB, &err), err, ERR_USAGE, "'relative' cannot be named");
	memset(longest, 'a', 1099);
	longest[0] = '/';
	longest[1099] = '\0';
	assert_err(qcow2_create(path, longest, "raw", GIB, &err), err, ERR_USAGE, "cannot be named");
	assert_false(file_exists(path));
	assert_ok(file_write(text, "QFI", 3, 0600, &err), err);
	assert_false(qcow2_is(text));
	assert_ok(file_write(text, QCOW2_MAGIC "\0\0\0\3", 8, 0600, &err), err);
	assert_true(qcow2_is(text));
	assert_int_equal(qcow2_size(text), 0);
	assert_false(qcow2_is(path));
}

static int enter(void **state)
{
	int rc = test_dir_setup(state);

	dir = *state;
	return rc;
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(as_qemu_img_makes_them), cmocka_unit_test(takes_only_what_fits) };

	return cmocka_run_group_tests(tests, enter, test_dir_teardown);
}
