/* SPDX-License-Identifier: Apache-2.0 */
/* `pm adopt`: a process is handed over to a pm that may have to be started first, or is just ending. */
#include "base/cleanup.h"
#include "base/mem.h"
#include "pm/pm_main.h"

#include <errno.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define TRIES 100
#define TRY_MS 50

/* Another one may do the same at this moment, or the last pm is just leaving: whether it worked is seen by asking again. */
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

static int try_once(const char *home, const char *const *words, size_t n, struct error **err)
{
	struct client_conn c;
	int rc = -1;

	if (client_open(&c, home, err) == 0 && client_send(&c, words, n, NULL, err) == 0)
		rc = client_follow(&c, NULL, false, 10000, err);
	client_close(&c);
	return rc;
}

int client_adopt(const char *home, const char *const *words, size_t n, bool begin, struct error **err)
{
	for (int i = 0;; i++) {
		_cleanup_error_ struct error *e = NULL;
		int rc = try_once(home, words, n, &e);

		/* -1: it does not run, or has ended while it was asked. */
		if (!e || !begin || i == TRIES || (rc > 0 && rc != ERR_STATE)) {
			error_move(err, &e);
			return rc;
		}
		if (rc < 0)
			begin_pm(home);
		nanosleep(&(struct timespec){ 0, i ? TRY_MS * 1000000 : 0 }, NULL);
	}
}
