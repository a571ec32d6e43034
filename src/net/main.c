/* SPDX-License-Identifier: Apache-2.0 */
/* croft-net DIR: the network of one group; see net.h. Says "ok" or the error on standard output
 * when it has begun. */
#include "base/cleanup.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/proc.h"
#include "net/capture.h"
#include "net/faults.h"
#include "net/forwards.h"
#include "net/frag.h"
#include "net/kernel.h"
#include "net/ping6.h"
#include "net/services.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#define CLAIM_MS 3000

static bool ended;

static void on_term(void *arg, int signo)
{
	loop_stop(arg, 0);
	ended = true;
}

static void on_retry(void *arg)
{
	net_connect_all(arg);
}

static void on_tick(void *arg)
{
	struct net *n = arg;

	state_tick(n);
	services_tick(n);
	pings6_tick(n);
	if (n->kernel)
		kernel_attach(n);
	loop_timer_arm(n->tick, 1000000000);
}

static int claim(const char *dir, int *lock, struct error **err)
{
	_cleanup_free_ char *lock_path = path_join(dir, "net.lock"),
			    *pid_path = path_join(dir, "net.pid");
	struct proc_id id;

	/* One that was killed has it until all that it had open is closed. */
	*lock = file_lock(lock_path, true, CLAIM_MS, err);
	if (*lock < 0 || proc_id_of(getpid(), &id, err) < 0)
		return -1;
	return proc_id_write(pid_path, &id, err);
}

/* slirp wants to be asked before and after each wait. */
static void turn(struct net *n)
{
	int timeout = -1;

	for (struct zone *z = n->zones; z; z = z->next) {
		int t = z->outside ? outside_prepare(z->outside) : -1;

		if (t >= 0 && (timeout < 0 || t < timeout))
			timeout = t;
	}
	loop_once(n->loop, timeout);
	for (struct zone *z = n->zones; z; z = z->next)
		if (z->outside)
			outside_dispatch(z->outside);
}

/* Each connection of a machine to the outside is a descriptor. */
static void more_files(void)
{
	struct rlimit r;

	if (getrlimit(RLIMIT_NOFILE, &r) == 0 && r.rlim_cur < r.rlim_max) {
		r.rlim_cur = r.rlim_max;
		setrlimit(RLIMIT_NOFILE, &r);
	}
}

static bool stopping(struct net *n)
{
	return ended || loop_stopped(n->loop);
}

static int serve(struct net *n, struct error **err)
{
	struct control *control;

	n->loop = loop_new();
	n->began = loop_now();
	loop_signal(n->loop, SIGTERM, on_term, n->loop);
	loop_signal(n->loop, SIGINT, on_term, n->loop);
	n->retry = loop_timer(n->loop, 1, on_retry, n);
	n->resolver = resolver_new(n);
	n->faults = faults_new(n);
	if (net_load(n, err) < 0)
		return -1;
	state_begin(n);
	n->tick = loop_timer(n->loop, 1000000000, on_tick, n);
	control = control_new(n, err);
	if (!control)
		return -1;
	puts("ok");
	fclose(stdout);
	while (!stopping(n))
		turn(n);
	control_free(control);
	state_end(n);
	return 0;
}

/*
 * pm has seen the process end. It was killed when its pid file is still there and nobody has taken its place; one that was told to
 * end has removed the file. Messages go where those of the first one went.
 */
static bool wanted_again(const char *dir)
{
	_cleanup_free_ char *pid = path_join(dir, "net.pid"), *log = path_join(dir, "net.log");
	_cleanup_error_ struct error *e = NULL;
	struct proc_id id;
	int fd;

	if (proc_id_read(pid, &id, &e) < 0 || proc_id_alive(&id))
		return false;
	fd = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	if (fd >= 0) {
		dup2(fd, 2);
		close(fd);
	}
	log_warn("the network was killed and is started again");
	return true;
}

/* In one line, which net_start reads. */
static void say_error(const struct error *e)
{
	printf("%s%s%s\n", e->msg, e->hint ? "; " : "", e->hint ? e->hint : "");
}

int main(int argc, char **argv)
{
	_cleanup_error_ struct error *e = NULL;
	_cleanup_error_ struct error *none = NULL;
	_cleanup_close_ int lock = -1;
	_cleanup_free_ char *pid_path = NULL;
	struct net n = { 0 };
	bool again;
	int rc;

	log_init("croft-net");
	more_files();
	signal(SIGPIPE, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	/* What a killed one of the kernel engine has left. */
	if (argc == 3 && !strcmp(argv[1], "--clean")) {
		rc = kernel_clean(argv[2], &e);
		if (rc < 0)
			log_error("%s", e->msg);
		return rc < 0 ? (int)e->cls : 0;
	}
	again = argc == 3 && !strcmp(argv[1], "--again");
	if (argc != (again ? 3 : 2)) {
		log_error("usage: croft-net [--again | --clean] DIR");
		return ERR_USAGE;
	}
	n.dir = argv[argc - 1];
	if (again && !wanted_again(n.dir))
		return 0;
	if (claim(n.dir, &lock, &e) < 0) {
		say_error(e);
		return (int)e->cls;
	}
	rc = serve(&n, &e);
	if (rc < 0)
		say_error(e);
	/* Else nobody would; where machines run what there is serves them. */
	if (rc < 0 && n.kernel && !kernel_in_use(&n) && kernel_clean(n.dir, &none) < 0)
		log_warn("%s", none->msg);
	forwards_clear(&n);
	net_clear(&n);
	services_free(&n);
	pings6_free(&n);
	frags_free(n.frags);
	resolver_free(n.resolver);
	faults_free(n.faults);
	records_free(&n.records);
	loop_free(n.loop);
	pid_path = path_join(n.dir, "net.pid");
	unlink(pid_path);
	return rc < 0 ? (int)e->cls : 0;
}
