/* SPDX-License-Identifier: Apache-2.0 */
/* A pm of our own in a scratch directory, driven as a user drives it: by its program. */
#ifndef CROFT_TESTS_PM_LIVE_H
#define CROFT_TESTS_PM_LIVE_H

#include "../test.h"
#include "base/buf.h"
#include "base/proc.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>

struct live {
	char *dir;  /* scratch, with a blank and UTF-8 in its name */
	char *home; /* in it */
	pid_t watcher;
};

static inline void nap(int ms)
{
	nanosleep(&(struct timespec){ ms / 1000, (ms % 1000) * 1000000L }, NULL);
}

/* Runs pm with these words; output into out (or NULL). The exit status. */
static inline int live_pm(struct live *l, struct buf *out, const char *const *words)
{
	_cleanup_buf_ struct buf text = BUF_INIT;
	_cleanup_free_ char *env = xasprintf("PMHOME=%s", l->home);
	const char *argv[64] = { PM_PROGRAM }, *envs[] = { env, NULL };
	_cleanup_proc_ struct proc p = PROC_INIT;
	struct error *e = NULL;
	char chunk[4096];
	size_t n = 1;
	int status;
	ssize_t got;

	while (*words && n < 62)
		argv[n++] = *words++;
	assert_ok(proc_spawn(&(struct proc_opts){ .argv = argv, .env = envs, .out = PROC_PIPE, .err = PROC_INHERIT }, &p, &e), e);
	while ((got = read(p.out, chunk, sizeof(chunk))) > 0)
		buf_add(&text, chunk, (size_t)got);
	assert_ok(proc_wait(&p, 120000, &status, &e), e);
	if (out) {
		buf_clear(out);
		buf_adds(out, buf_str(&text));
	}
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
#define PM(l, ...) live_pm((l), NULL, (const char *const[]){ __VA_ARGS__, NULL })
#define PM_OUT(l, out, ...) live_pm((l), (out), (const char *const[]){ __VA_ARGS__, NULL })

/* Starts the watcher as our child; commands are taken when it returns. */
static inline void live_start(struct live *l, const char *a, const char *b)
{
	char *const argv[] = { (char *)PM_PROGRAM, (char *)"main", (char *)"--home", l->home, (char *)a, (char *)b, NULL };
	_cleanup_free_ char *socket = xasprintf("%s/socket", l->home);

	unlink(socket);
	l->watcher = fork();
	assert_true(l->watcher >= 0);
	if (l->watcher == 0) {
		prctl(PR_SET_PDEATHSIG, SIGTERM);
		execv(PM_PROGRAM, argv);
		_exit(127);
	}
	for (int i = 0; access(socket, F_OK) != 0; i++) {
		assert_int_equal(waitpid(l->watcher, NULL, WNOHANG), 0);
		if (i > 6000)
			fail_msg("pm does not come up");
		nap(5);
	}
	while (PM(l, "jobs", "-q") != 0)
		nap(5);
}

static inline void live_new(struct live *l)
{
	char *dir = xstrdup("/tmp/croft-pm-XXXXXX");

	prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
	assert_non_null(mkdtemp(dir));
	l->dir = dir;
	l->home = xasprintf("%s/höme of pm", dir);
	l->watcher = 0;
}

/* The only child of pid that is a `pm .machine`. */
static inline pid_t live_machine(struct live *l)
{
	for (int i = 0; i < 2000; i++, nap(5)) {
		char path[64], text[4096], *at = text;
		FILE *f;

		snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)l->watcher, (int)l->watcher);
		f = fopen(path, "r");
		if (!f || !fgets(text, sizeof(text), f))
			*text = '\0';
		if (f)
			fclose(f);
		for (char *end; *at; at = end) {
			pid_t pid = (pid_t)strtol(at, &end, 10);
			char cmd[256] = "";
			int fd;

			if (end == at)
				break;
			snprintf(path, sizeof(path), "/proc/%d/cmdline", (int)pid);
			fd = open(path, O_RDONLY);
			if (fd >= 0 && read(fd, cmd, sizeof(cmd) - 1) > 0 && !strcmp(cmd + strlen(cmd) + 1, ".machine")) {
				close(fd);
				return pid;
			}
			if (fd >= 0)
				close(fd);
		}
	}
	fail_msg("the watcher has no machine");
	return 0;
}

/* One word of a unit: of `pm list --format json`. New string. */
static inline char *live_field(struct live *l, const char *id, const char *field)
{
	_cleanup_buf_ struct buf out = BUF_INIT;
	_cleanup_free_ char *unit = xasprintf("{\"unit\": \"%s\"", id), *name = xasprintf("\"%s\": ", field);
	const char *at;
	size_t n;

	assert_int_equal(PM_OUT(l, &out, "list", "--format", "json"), 0);
	at = strstr(buf_str(&out), unit);
	if (!at)
		return xstrdup("");
	at = strstr(at, name);
	assert_non_null(at);
	at += strlen(name);
	at += *at == '"';
	n = strcspn(at, "\",}");
	return xstrndup(at, n);
}

static inline pid_t live_pid(struct live *l, const char *id)
{
	_cleanup_free_ char *v = live_field(l, id, "pid");

	return (pid_t)atoi(v);
}

/* Waits until a field has this value. */
static inline void live_until(struct live *l, const char *id, const char *field, const char *want)
{
	char last[64] = "";

	for (int i = 0; i < 3000; i++, nap(10)) {
		_cleanup_free_ char *v = live_field(l, id, field);

		if (!strcmp(v, want))
			return;
		snprintf(last, sizeof(last), "%s", v);
	}
	fail_msg("%s: %s is '%s', never '%s'", id, field, last, want);
}

static inline void live_wait_gone(pid_t pid)
{
	for (int i = 0; i < 6000; i++, nap(5)) {
		while (waitpid(-1, NULL, WNOHANG) > 0)
			;
		if (kill(pid, 0) < 0 && errno == ESRCH)
			return;
	}
	fail_msg("process %d does not end", (int)pid);
}

static inline void live_end(struct live *l)
{
	struct error *e = NULL;

	if (l->watcher > 0) {
		PM(l, "shutdown", "-q");
		live_wait_gone(l->watcher);
	}
	file_remove_tree(l->dir, &e);
	error_clear(&e);
	free(l->dir);
	free(l->home);
}

/* Bytes of a file below the scratch directory. */
static inline size_t live_file(struct live *l, const char *name, struct buf *b)
{
	_cleanup_free_ char *path = xasprintf("%s/%s", l->dir, name);
	struct error *e = NULL;

	buf_clear(b);
	file_read(path, 64 << 20, b, &e);
	error_clear(&e);
	return b->len;
}

/* Resident memory of a process, and how much it may grow where nothing is to be kept: ASan keeps what was freed for a while. */
static inline long live_rss_kb(pid_t pid)
{
	char path[64], line[256];
	long kb = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	f = fopen(path, "r");
	assert_non_null(f);
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, "VmRSS: %ld", &kb) == 1)
			break;
	fclose(f);
	return kb;
}
#ifdef __SANITIZE_ADDRESS__
#define LIVE_GROWTH_KB(kb) (300 * 1024)
#else
#define LIVE_GROWTH_KB(kb) (kb)
#endif

#endif
