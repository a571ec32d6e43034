/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Helpers that the watcher starts. `pm .exec HOME JOB KEY` is the process of a unit with surroundings of its own: it reads
 * jobs/JOB/parameter, applies isolate.h to itself and becomes the command of KEY. A failure goes as text through
 * descriptor LAUNCH_STATUS_FD, which closes by itself when all went well.
 */
#include "base/cleanup.h"
#include "base/file.h"
#include "base/mem.h"
#include "pm/cgroup.h"
#include "pm/isolate.h"
#include "pm/machine.h"
#include "pm/pm_main.h"
#include "pm/stream.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct isolate_plan plan;

static int fail(const char *text)
{
	if (write(LAUNCH_STATUS_FD, text, strlen(text)) < 0)
		fprintf(stderr, "pm: %s\n", text);
	return 126;
}

static int read_job(const char *home, const char *job, struct params *ps, struct error **err)
{
	_cleanup_free_ char *path = xasprintf("%s/jobs/%s/parameter", home, job);
	_cleanup_buf_ struct buf text = BUF_INIT;

	if (file_read(path, 1 << 20, &text, err) < 0)
		return -1;
	return params_parse(buf_str(&text), text.len, ps, err) < 0 ? error_wrap(err, "%s", path) : 0;
}

/* The command of the key; for those that pm composes itself the program and what follows. */
static int command_of(const struct params *ps, const char *key, struct strv *argv, struct error **err)
{
	_cleanup_free_ char *self = main_self();
	const char *value = params_get(ps, key);

	if (!strcmp(key, "mount") || !strcmp(key, "umount")) {
		strv_add(argv, self);
		strv_add(argv, !strcmp(key, "mount") ? ".mount" : ".umount");
		return params_words(ps, "mount", argv, err);
	}
	if (!strcmp(key, "home")) {
		const char *const args[] = { "main", "--home", value, NULL };

		if (params_words(ps, "run", argv, err) < 0)
			return -1;
		if (!argv->len)
			strv_add(argv, self);
		strv_addv(argv, args);
		return 0;
	}
	if (!strcmp(key, "ready") && value)
		value = strchr(value, ':') + 1;
	if (!value)
		return error_set(err, ERR_FAILED, "the job has no key '%s'", key);
	return stream_split(value, strlen(value), argv, err);
}

/* What the machine has put into our environment comes on top of the planned one. */
static void keep_env(void)
{
	static const char *const names[] = { "PM_UNIT", "PM_JOB", "PM_HOME", "NOTIFY_SOCKET", "MAINPID", "LISTEN_FDS" };
	char number[16];

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (getenv(names[i]))
			isolate_env_add(&plan, names[i], getenv(names[i]));
	snprintf(number, sizeof(number), "%d", (int)getpid());
	if (getenv("LISTEN_FDS"))
		isolate_env_add(&plan, "LISTEN_PID", number);
}

int exec_main(int argc, char **argv)
{
	_cleanup_params_ struct params ps = PARAMS_INIT;
	_cleanup_strv_ struct strv command = STRV_INIT;
	_cleanup_error_ struct error *e = NULL;
	const char **pairs = NULL, *k, *v;
	struct isolate_failure failure = { 0 };
	char why[ISOLATE_WHY];
	size_t n = 0;

	if (argc != 5)
		return 2;
	/* Only the main process is given the pipe; the number may be anything else in other helpers. */
	if (fcntl(LAUNCH_STATUS_FD, F_SETFD, FD_CLOEXEC) < 0 && dup2(2, LAUNCH_STATUS_FD) >= 0)
		fcntl(LAUNCH_STATUS_FD, F_SETFD, FD_CLOEXEC);
	if (read_job(argv[2], argv[3], &ps, &e) < 0 || command_of(&ps, argv[4], &command, &e) < 0)
		return fail(e->msg);
	for (uint32_t pos = 0; params_next(&ps, &pos, &k, &v);) {
		pairs = xreallocarray(pairs, n + 1, 2 * sizeof(*pairs));
		pairs[n * 2] = k;
		pairs[n++ * 2 + 1] = v;
	}
	if (isolate_plan(&plan, pairs, n, why) < 0)
		return fail(why);
	if (cgroup_for_unit(params_get(&ps, "unit"), getppid(), &plan.cgroup, &plan.cgroup_fd, why) < 0)
		return fail(why);
	if (*why) /* what is left out: into the log of the unit */
		fprintf(stderr, "pm: %s\n", why);
	keep_env();
	plan.log_fd = fcntl(1, F_DUPFD_CLOEXEC, 10);
	if (isolate_apply(&plan, &failure) == 0) {
		isolate_exec(&plan, (const char *const *)command.v);
		failure = (struct isolate_failure){ ISOLATE_EXEC, 0, errno };
	}
	isolate_failure_text(&failure, &plan, why);
	return fail(why);
}
