/* SPDX-License-Identifier: Apache-2.0 */
/* Snapshots of stopped machines, without any QEMU that runs: names, descent, what is in the disks, interruption half way. */
#include "../test.h"
#include "base/path.h"
#include "base/proc.h"
#include "machine/snapint.h"
#include "machine/snapshot.h"

static int setup(void **state)
{
	if (test_dir_setup(state) < 0)
		return -1;
	return setenv("CROFT_HOME", *state, 1);
}

static struct machine *make(const char *name)
{
	_cleanup_(machine_def_clear) struct machine_def d;
	struct error *e = NULL;
	struct machine *m;

	machine_def_init(&d);
	d.name = xstrdup(name);
	d.disks = xcalloc(2, sizeof(*d.disks));
	d.disks[d.ndisks++] = (struct machine_disk){ .size = 1 << 20, .boot = -1 };
	d.disks[d.ndisks++] = (struct machine_disk){ .size = 1 << 20, .boot = -1 };
	assert_ok(machine_create(&d, &e), e);
	m = machine_open(name, &e);
	assert_non_null(m);
	return m;
}

/* First byte of a disk's content. */
static void put(const struct machine *m, size_t disk, char c)
{
	_cleanup_free_ char *path = machine_disk_path(m, disk), *command = xasprintf("write -q -P %d 0 4096", c);
	struct error *e = NULL;

	assert_ok(proc_run((const char *const[]){ "qemu-io", "-f", "qcow2", "-c", command, path, NULL }, 20000, NULL, NULL, &e), e);
}

static bool holds(const struct machine *m, size_t disk, char c)
{
	_cleanup_free_ char *path = machine_disk_path(m, disk), *command = xasprintf("read -q -P %d 0 4096", c);
	_cleanup_error_ struct error *e = NULL;

	return proc_run((const char *const[]){ "qemu-io", "-f", "qcow2", "-c", command, path, NULL }, 20000, NULL, NULL, &e) == 0;
}

static char *take(struct machine *m, const char *name)
{
	struct error *e = NULL;
	char *ret = NULL;

	assert_ok(snapshot_take(m, &(struct snapshot_opts){ .name = name, .text = "a \"text\"" }, &ret, &e), e);
	return ret;
}

static void clean_is(const struct machine *m, const char *tags)
{
	_cleanup_strv_ struct strv want = STRV_INIT;
	_cleanup_free_ char *journal = machine_path(m, "journal.json"), *dir = snap_path(m, NULL, NULL);
	_cleanup_closedir_ DIR *d = opendir(dir);
	struct error *e = NULL;

	strv_split(&want, tags, " ");
	assert_false(file_exists(journal));
	for (size_t i = 0; i < 2; i++) {
		_cleanup_free_ char *path = machine_disk_path(m, i);

		for (size_t k = 0; k < want.len; k++)
			assert_int_equal(snap_img_has(path, want.v[k], &e), 1);
		assert_int_equal(snap_img_has(path, SNAP_BEFORE, &e), 0);
		/* neither errors nor leaked clusters */
		assert_ok(proc_run((const char *const[]){ "qemu-img", "check", "-q", path, NULL }, 20000, NULL, NULL, &e), e);
	}
	for (struct dirent *ent; d && (ent = readdir(d));)
		if (ent->d_name[0] != '.' && strcmp(ent->d_name, "CURRENT"))
			assert_true(strv_has(&want, ent->d_name));
		else
			assert_true(!strncmp(ent->d_name, "CURRENT", 7) || !strcmp(ent->d_name, ".") || !strcmp(ent->d_name, ".."));
}

static void names_and_descent(void **state)
{
	_cleanup_machine_ struct machine *m = make("n");
	_cleanup_snapshots_ struct snapshots l = { 0 };
	_cleanup_free_ char *a = NULL, *b = NULL, *c = NULL, *current = NULL;
	struct snapshot_restore_opts o = { 0 };
	struct error *e = NULL;

	assert_null(snapshot_open(m, NULL, &e));
	assert_err(-1, e, ERR_NOT_FOUND, "it has no snapshots");
	a = take(m, NULL);
	assert_string_equal(a, "S0");
	b = take(m, "S9");
	c = take(m, NULL);
	assert_string_equal(c, "S10");
	assert_ok(snapshot_restore(m, "S0", &o, NULL, &e), e);
	current = snapshot_current(m);
	assert_string_equal(current, "S0");
	free(take(m, "side"));
	assert_ok(snapshot_list(m, &l, &e), e);
	assert_int_equal(l.len, 4);
	assert_null(l.v[0]->parent);
	assert_string_equal(l.v[1]->parent, "S0");
	assert_string_equal(l.v[2]->parent, "S9");
	assert_string_equal(l.v[3]->parent, "S0");
	assert_string_equal(l.v[3]->text, "a \"text\"");
	assert_false(l.v[3]->memory);
	snapshots_clear(&l);
	/* What was made from a removed one descends from its parent. */
	assert_ok(snapshot_remove(m, "S9", NULL, &e), e);
	assert_ok(snapshot_list(m, &l, &e), e);
	assert_string_equal(l.v[1]->name, "S10");
	assert_string_equal(l.v[1]->parent, "S0");
	assert_int_equal(snapshot_take(m, &(struct snapshot_opts){ .name = "S0" }, NULL, &e), -1);
	assert_err(-1, e, ERR_STATE, "there is a snapshot S0 already");
	assert_int_equal(snapshot_take(m, &(struct snapshot_opts){ .name = "LAST" }, NULL, &e), -1);
	assert_err(-1, e, ERR_USAGE, "croft's own");
	assert_int_equal(snapshot_take(m, &(struct snapshot_opts){ .kind = SNAPSHOT_MEMORY }, NULL, &e), -1);
	assert_err(-1, e, ERR_STATE, "not running");
	assert_err(snapshot_remove(m, "sidd", NULL, &e), e, ERR_NOT_FOUND, "no snapshot sidd");
	clean_is(m, "S0 S10 side");
}

static void disks_go_back_and_forth(void **state)
{
	_cleanup_machine_ struct machine *m = make("d");
	struct snapshot_restore_opts o = { 0 };
	struct error *e = NULL;

	for (int i = 0; i < 3; i++) {
		_cleanup_free_ char *name = NULL;

		put(m, 0, (char)('a' + i));
		put(m, 1, (char)('A' + i));
		name = take(m, NULL);
	}
	for (int i = 2; i >= 0; i--) {
		_cleanup_free_ char *name = xasprintf("S%d", i);

		assert_ok(snapshot_restore(m, name, &o, NULL, &e), e);
		assert_true(holds(m, 0, (char)('a' + i)));
		assert_true(holds(m, 1, (char)('A' + i)));
	}
	assert_ok(snapshot_restore(m, "LAST", &o, NULL, &e), e);
	assert_true(holds(m, 1, 'C'));
	clean_is(m, "S0 S1 S2");
}

/* Both disks, or none: the second one cannot take it. */
static void all_disks_or_none(void **state)
{
	_cleanup_machine_ struct machine *m = make("a");
	_cleanup_free_ char *path = machine_disk_path(m, 1), *away = xasprintf("%s.away", path), *name = NULL;
	struct snapshot_restore_opts o = { 0 };
	struct error *e = NULL;

	put(m, 0, 'x');
	name = take(m, "x");
	put(m, 0, 'y');
	assert_ok(file_copy(path, away, 0600, &e), e);
	assert_ok(file_write(path, "no qcow2", 8, 0600, &e), e);
	assert_int_equal(snapshot_take(m, &(struct snapshot_opts){ .name = "z" }, NULL, &e), -1);
	error_clear(&e);
	assert_int_equal(snapshot_restore(m, "x", &o, NULL, &e), -1);
	error_clear(&e);
	assert_true(holds(m, 0, 'y'));
	assert_ok(file_rename(away, path, &e), e);
	assert_ok(snapshot_recover(m, &e), e);
	clean_is(m, "x");
	assert_null(snapshot_open(m, "z", &e));
	error_clear(&e);
}

static void journal_is_completed_or_taken_back(void **state)
{
	_cleanup_machine_ struct machine *m = make("j");
	_cleanup_free_ char *disk0 = machine_disk_path(m, 0), *half = snap_path(m, ".new-h", NULL), *s0 = NULL, *s1 = NULL;
	_cleanup_free_ char *from = NULL, *to = NULL, *current = NULL;
	struct error *e = NULL;

	put(m, 0, 'a');
	s0 = take(m, NULL);
	put(m, 0, 'b');
	s1 = take(m, NULL);
	put(m, 0, 'c');
	/* half a snapshot: one disk has it */
	assert_ok(snap_journal_write(m, &(struct snap_journal){ .op = (char *)"take", .name = (char *)"h" }, &e), e);
	assert_ok(file_mkdirs(half, 0700, &e), e);
	assert_ok(snap_img("-c", "h", disk0, &e), e);
	assert_ok(snapshot_recover(m, &e), e);
	assert_int_equal(snap_img_has(disk0, "h", &e), 0);
	clean_is(m, "S0 S1");
	/* half a removal: out of sight, still in the disks */
	from = snap_path(m, "S1", NULL);
	to = snap_path(m, ".del-S1", NULL);
	assert_ok(snap_journal_write(m, &(struct snap_journal){ .op = (char *)"remove", .name = (char *)"S1" }, &e), e);
	assert_ok(file_rename(from, to, &e), e);
	assert_ok(snapshot_recover(m, &e), e);
	assert_int_equal(snap_img_has(disk0, "S1", &e), 0);
	clean_is(m, "S0");
	current = snapshot_current(m);
	assert_string_equal(current, "S0");
	/* half a restore: done again, by whoever opens the machine */
	assert_ok(snap_journal_write(m, &(struct snap_journal){ .op = (char *)"restore", .name = (char *)"S0" }, &e), e);
	assert_ok(snap_img("-c", SNAP_BEFORE, disk0, &e), e);
	{
		_cleanup_machine_ struct machine *again = machine_open("j", &e);

		assert_non_null(again);
	}
	assert_true(holds(m, 0, 'a'));
	clean_is(m, "S0");
	/* nonsense is refused, not guessed at */
	assert_ok(snap_journal_write(m, &(struct snap_journal){ .op = (char *)"juggle", .name = (char *)"S0" }, &e), e);
	assert_err(snapshot_recover(m, &e), e, ERR_FAILED, "juggle");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_and_descent),
		cmocka_unit_test(disks_go_back_and_forth),
		cmocka_unit_test(all_disks_or_none),
		cmocka_unit_test(journal_is_completed_or_taken_back),
	};

	return cmocka_run_group_tests(tests, setup, test_dir_teardown);
}
