/* SPDX-License-Identifier: Apache-2.0 */
#include "../test.h"
#include "base/path.h"
#include "base/proc.h"
#include "job/internal.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>

static void put(const char *dir, const char *name, const char *text)
{
	_cleanup_free_ char *path = path_join(dir, name);
	struct error *e = NULL;

	assert_int_equal(file_write(path, text, strlen(text), 0644, &e), 0);
}

static char *folder(void **state, const char *name)
{
	char *dir = path_join(*state, name);
	struct error *e = NULL;

	assert_int_equal(file_mkdirs(dir, 0755, &e), 0);
	return dir;
}

static void first_folder_wins(void **state)
{
	_cleanup_free_ char *one = folder(state, "one"), *two = folder(state, "two"), *path = NULL;
	_cleanup_strv_ struct strv dirs = STRV_INIT;
	_cleanup_jobs_ struct jobs all = { 0 };
	_cleanup_job_ struct job j = { 0 }, k = { 0 };
	struct error *e = NULL;

	put(one, "fix.job", "#!/bin/sh\n# job:  repairs it \r\n# needs: bios,read-only\n");
	put(two, "fix.job", "# job: hidden\n");
	put(two, "other.job", "echo\n# job: not in a comment's place but found\n# needs: ssh nonsense\n");
	put(two, "other.job.bak", "");
	put(two, ".job", "");
	strv_add(&dirs, one);
	strv_add(&dirs, two);
	assert_int_equal(job_find("fix", &dirs, &j, &e), 0);
	assert_string_equal(j.dir, one);
	assert_string_equal(j.text, "repairs it");
	assert_true(j.bios && j.readonly && !j.ssh);
	path = path_join(two, "fix.job");
	assert_int_equal(job_find(path, &dirs, &k, &e), 0);
	assert_string_equal(k.text, "hidden");
	job_list(&dirs, &all);
	assert_int_equal(all.len, 2);
	assert_string_equal(all.v[0].dir, one);
	assert_string_equal(all.v[1].name, "other");
	assert_true(all.v[1].ssh);
}

static void absent_ones_are_named(void **state)
{
	_cleanup_free_ char *one = folder(state, "one");
	_cleanup_strv_ struct strv dirs = STRV_INIT;
	struct job j = { 0 };
	struct error *e = NULL;

	strv_add(&dirs, one);
	assert_int_equal(job_find("fxi", &dirs, &j, &e), -1);
	assert_int_equal(e->cls, ERR_NOT_FOUND);
	assert_string_equal(e->hint, "did you mean 'fix'?");
	error_clear(&e);
	assert_int_equal(job_find("./fix", &dirs, &j, &e), -1);
	assert_int_equal(e->cls, ERR_NOT_FOUND);
	error_clear(&e);
	assert_int_equal(job_find(".job", &dirs, &j, &e), -1);
	error_clear(&e);
	assert_int_equal(job_find("", &dirs, &j, &e), -1);
	assert_int_equal(e->cls, ERR_USAGE);
	error_clear(&e);
}

/* What a job prints goes to stdout whole, and to the log as far as that may grow. */
static void log_is_bounded(void **state)
{
	_cleanup_free_ char *out = folder(state, "out"), *path = path_join(out, "job.log");
	static char piece[1 << 20];
	struct error *e = NULL;
	struct job_log *l = job_log_open(out, &e);
	int null = open("/dev/null", O_WRONLY | O_CLOEXEC), saved = dup(1);
	struct stat st;

	assert_non_null(l);
	memset(piece, 'x', sizeof(piece));
	dup2(null, 1);
	for (int i = 0; i < 80; i++)
		job_log_add(l, piece, sizeof(piece));
	dup2(saved, 1);
	close(saved);
	close(null);
	assert_int_equal(job_log_close(l, &e), 0);
	assert_int_equal(stat(path, &st), 0);
	assert_in_range(st.st_size, 64 << 20, 66 << 20);
	unlink(path);
}

static void full_disk_is_told(void **state)
{
	_cleanup_free_ char *out = folder(state, "full"), *path = path_join(out, "job.log");
	struct error *e = NULL;
	struct job_log *l;
	int saved = dup(1), null = open("/dev/null", O_WRONLY | O_CLOEXEC);

	assert_int_equal(symlink("/dev/full", path), 0);
	l = job_log_open(out, &e);
	assert_non_null(l);
	dup2(null, 1);
	job_log_add(l, "text", 4);
	dup2(saved, 1);
	close(saved);
	close(null);
	assert_int_equal(job_log_close(l, &e), -1);
	assert_int_equal(e->code, ENOSPC);
	error_clear(&e);
}

/* Variables by the environment, arrays by arguments: whatever is in them stays text. */
static void host_scripts_get_variables(void **state)
{
	_cleanup_free_ char *dir = folder(state, "it's \"ä\""), *in = folder(state, "in"), *said = path_join(in, "said");
	_cleanup_strv_ struct strv vars = STRV_INIT, arrays = STRV_INIT;
	_cleanup_buf_ struct buf b = BUF_INIT;
	struct machine m = { .name = (char *)"web", .dir = *state, .def = { .arch = (char *)"x86_64", .firmware = (char *)"uefi" } };
	struct job j = { .name = (char *)"a job", .dir = dir };
	struct job_opts o = { .in = in, .out = *state, .vars = &vars, .arrays = &arrays, .timeout_ms = 2500 };
	struct job_work w = { .m = &m, .job = &j, .o = &o };
	struct error *e = NULL;

	strv_add(&vars, "TEXT=$(touch x) `id` \"'");
	strv_addv(&arrays, (const char *const[]){ "LIST", "2", "a b", "$(id)", "EMPTY", "0", NULL });
	put(dir, "a job.pre",
		"printf '%s|' \"$GUESTNAME\" \"$UEFI\" \"$TEXT\" \"${LIST[@]}\" \"${#LIST[@]}\" \"${#EMPTY[@]}\" \"${#SSHKEYS[@]}\" \"$TIMEOUT\" $# *"
		" >\"$INDIR/said\"\n");
	assert_int_equal(job_host_script(&w, "pre", &e), 0);
	assert_int_equal(file_read(said, 4096, &b, &e), 0);
	assert_string_equal(b.data, "web|1|$(touch x) `id` \"'|a b|$(id)|2|0|0|3|0|*|");
	assert_int_equal(job_host_script(&w, "post", &e), 0); /* there is none */
	put(dir, "a job.post", "false\ntouch \"$INDIR/never\"\n");
	assert_int_equal(job_host_script(&w, "post", &e), -1);
	assert_non_null(strstr(e->msg, "a job.post: exited with status 1"));
	error_clear(&e);
}

/* On a CD nobody but the script can set them; a shell takes each as it was given. */
static void variables_stand_before_the_script_of_a_cd(void **state)
{
	_cleanup_free_ char *dir = folder(state, "a cd"), *path = path_join(dir, "job.sh"), *script = xasprintf(". '%s'", path);
	const char *const argv[] = { "sh", "-euc", script, NULL };
	_cleanup_strv_ struct strv vars = STRV_INIT;
	struct job_opts o = { .in = dir, .vars = &vars };
	struct job_work w = { .o = &o };
	_cleanup_buf_ struct buf b = BUF_INIT;
	struct error *e = NULL;

	put(dir, "job.sh", "#!/bin/sh\nprintf '%s|' \"$TEXT\" \"$EMPTY\"; env | grep -c '^TEXT='\n");
	assert_int_equal(job_cd_vars(&w, &e), 0); /* none */
	strv_add(&vars, "TEXT=it's $(touch x) `id` \"\\ \n=ü");
	strv_add(&vars, "EMPTY=");
	assert_int_equal(job_cd_vars(&w, &e), 0);
	assert_int_equal(proc_run(argv, 10000, &b, NULL, &e), 0);
	assert_string_equal(buf_str(&b), "it's $(touch x) `id` \"\\ \n=ü||1\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(first_folder_wins),
		cmocka_unit_test(absent_ones_are_named),
		cmocka_unit_test(log_is_bounded),
		cmocka_unit_test(full_disk_is_told),
		cmocka_unit_test(host_scripts_get_variables),
		cmocka_unit_test(variables_stand_before_the_script_of_a_cd),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, test_dir_setup, test_dir_teardown);
}
