/* SPDX-License-Identifier: Apache-2.0 */
#include "helper.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/path.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>

struct helper {
	char *dir, *run;
	struct loop *loop;
	struct qemu_child qemu;
	struct console *console;
	struct mux *mux;
	struct loop_src *death;
	int lock;
};

static int note_self(struct helper *h, struct error **err)
{
	_cleanup_free_ char *path = path_join(h->run, "helper.pid");
	struct proc_id id;

	if (proc_id_of(getpid(), &id, err) < 0)
		return -1;
	return proc_id_write(path, &id, err);
}

static void unlink_in(const char *dir, const char *name)
{
	_cleanup_free_ char *path = path_join(dir, name);

	unlink(path);
}

/* All that says "it runs" goes; argv, status and the locks stay. helper.pid goes last: whoever waits for it sees the rest gone. */
static void remove_traces(struct helper *h)
{
	_cleanup_closedir_ DIR *d = opendir(h->run);

	for (struct dirent *e; d && (e = readdir(d));) {
		size_t n = strlen(e->d_name);

		if ((n > 5 && !strcmp(e->d_name + n - 5, ".sock")) || !strcmp(e->d_name, "ready") ||
			!strcmp(e->d_name, "paused") || !strncmp(e->d_name, "snap-", 5))
			unlink_in(h->run, e->d_name);
	}
	unlink_in(h->run, "qemu.pid");
	unlink_in(h->run, "helper.pid");
}

static void on_death(void *arg, uint32_t events)
{
	struct helper *h = arg;
	_cleanup_free_ char *path = path_join(h->run, "status"), *how = NULL, *text = NULL;
	_cleanup_error_ struct error *e = NULL;

	loop_remove(STEAL(h->death));
	/* What QEMU printed last is still in the console's socket. */
	console_free(STEAL(h->console));
	how = qemu_child_end(&h->qemu);
	if (file_writef(path, 0600, &e, "%s\n", how) < 0)
		log_error("%s", e->msg);
	text = xasprintf("QEMU %s", how);
	mux_ended(h->mux, text);
	mux_free(STEAL(h->mux));
	remove_traces(h);
	loop_stop(h->loop, 0);
}

static int helper_begin(struct helper *h, bool adopt, struct error **err)
{
	_cleanup_free_ char *lock = path_join(h->run, "helper.lock"), *status = path_join(h->run, "status");

	h->lock = file_lock(lock, true, 0, err);
	if (h->lock < 0)
		return -1;
	if (note_self(h, err) < 0)
		return -1;
	if (adopt) {
		if (qemu_child_adopt(h->dir, &h->qemu, err) < 0)
			return -1;
	} else if (file_unlink(status, err) < 0 || qemu_child_start(h->dir, &h->qemu, err) < 0) {
		return -1;
	}
	h->loop = loop_new();
	h->death = loop_fd(h->loop, h->qemu.pidfd, EPOLLIN, on_death, h);
	h->console = console_new(h->loop, h->dir, adopt, err);
	if (h->console)
		h->mux = mux_new(h->loop, h->dir, adopt, err);
	return h->mux ? 0 : -1;
}

/* Whoever started us reads our stdout until it ends: nothing, or why it did not work. Then stdio goes where nobody waits. */
static void report(const char *text)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (text && write(1, text, strlen(text)) < 0)
		log_error("%s", text);
	for (int fd = 0; fd < 2; fd++)
		dup2(null, fd);
	close(null);
}

static int helper_fail(struct helper *h, bool adopt, struct error *e)
{
	_cleanup_free_ char *text = error_text(e);

	if (!adopt && h->qemu.pid > 0) {
		_cleanup_free_ char *how = NULL;

		kill(h->qemu.pid, SIGKILL);
		how = qemu_child_end(&h->qemu);
	}
	/* Somebody else's lock: his files. A QEMU that could not be adopted stays known. */
	if (h->lock >= 0 && !adopt)
		remove_traces(h);
	else if (h->lock >= 0)
		unlink_in(h->run, "helper.pid");
	report(text);
	return e->cls;
}

/*
 * pm has seen a helper end. It was killed when its pid file is still there and nobody else has taken its place; one that has ended
 * with its QEMU has removed the file. A QEMU that is gone too is left to the next command, which tells.
 */
static bool wanted_again(const struct helper *h)
{
	_cleanup_free_ char *own = path_join(h->run, "helper.pid"), *qemu = path_join(h->run, "qemu.pid");
	_cleanup_error_ struct error *e = NULL, *e2 = NULL;
	struct proc_id id;

	return proc_id_read(own, &id, &e) == 0 && !proc_id_alive(&id) && proc_id_read(qemu, &id, &e2) == 0 && proc_id_alive(&id);
}

int main(int argc, char **argv)
{
	bool again = argc == 3 && !strcmp(argv[1], "--again"), adopt = again || (argc == 3 && !strcmp(argv[1], "--adopt"));
	_cleanup_error_ struct error *e = NULL;
	struct helper h = { .lock = -1, .qemu = { .pidfd = -1 } };

	log_init("croft-machine");
	if (argc != (adopt ? 3 : 2) || argv[argc - 1][0] == '-') {
		log_error("usage: croft-machine [--adopt|--again] DIR (croft runs this, not people)");
		return ERR_USAGE;
	}
	signal(SIGPIPE, SIG_IGN);
	umask(0077);
	/* Large buffers go back to the system when freed, and arenas don't grow beyond what is used. */
	mallopt(M_MMAP_THRESHOLD, 32 * 1024);
	mallopt(M_TRIM_THRESHOLD, 64 * 1024);
	h.dir = path_absolute(argv[argc - 1]);
	h.run = path_join(h.dir, "run");
	if (again && !wanted_again(&h))
		return 0;
	if (helper_begin(&h, adopt, &e) < 0)
		return helper_fail(&h, adopt, e);
	report(NULL);
	return loop_run(h.loop);
}
