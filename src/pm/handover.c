/* SPDX-License-Identifier: Apache-2.0 */
/* `pm adopt`: a process is handed over to a pm that may have to be started first, or is just ending and must not go before. */
#include "base/cleanup.h"
#include "base/file.h"
#include "base/mem.h"
#include "pm/pm_main.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define TRIES 100
#define TRY_MS 50

/* Another one may do the same at this moment: whether it worked is seen by asking again. */
static void begin_pm(const char *home)
{
	_cleanup_free_ char *self = main_self();
	const char *argv[] = { "pm", "main", "--home", home, "--until-idle", "--detach", NULL };
	pid_t pid = vfork();

	if (pid == 0) {
		dup2(0, 2); /* /dev/null; the second one's "runs already" is no news */
		execv(self, (char *const *)argv);
		_exit(127);
	}
	while (pid > 0 && waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
}

/*
 * The shared lock on the home's directory: a pm that would end with its last unit stays while somebody has it (home_leave). What we
 * waited for may have removed that directory: then there is another one, or none.
 */
static int hold(const char *home, struct error **err)
{
	for (int i = 0; i < TRIES; i++) {
		struct stat ours, there;
		int fd;

		if (file_mkdirs(home, 0700, err) < 0)
			return -1;
		fd = open(home, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (fd >= 0 && flock(fd, LOCK_SH) == 0 && fstat(fd, &ours) == 0 && stat(home, &there) == 0 &&
			ours.st_ino == there.st_ino && ours.st_dev == there.st_dev)
			return fd;
		if (fd >= 0)
			close(fd);
	}
	return error_set(err, ERR_FAILED, "%s: this folder comes and goes; no process can be handed over there", home);
}

/* The connection stays open. */
static int ask(struct client_conn *c, const char *home, const char *const *words, size_t n, struct error **err)
{
	if (client_open(c, home, err) < 0 || client_send(c, words, n, NULL, err) < 0)
		return -1;
	return client_follow(c, NULL, false, 10000, err);
}

int client_adopt(const char *home, const char *const *words, size_t n, bool begin, struct error **err)
{
	_cleanup_close_ int held = begin ? hold(home, err) : -1;

	if (begin && held < 0)
		return -1;
	for (int i = 0;; i++) {
		_cleanup_error_ struct error *e = NULL;
		struct client_conn c;
		int rc = ask(&c, home, words, n, &e);
		/* -1: it does not run, or has died while it was asked. */
		bool again = e && begin && i < TRIES && (rc <= 0 || rc == ERR_STATE);

		/* Before the connection, whose end makes pm look whether it may go. */
		if (!again && held >= 0)
			close(STEAL_FD(held));
		client_close(&c);
		if (!again) {
			error_move(err, &e);
			return rc;
		}
		if (rc < 0)
			begin_pm(home);
		nanosleep(&(struct timespec){ 0, i ? TRY_MS * 1000000 : 0 }, NULL);
	}
}
