/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Taking units back. A new machine has read from disk in which state each unit was; the watcher tells which processes there
 * are and how others ended. Where the watcher was killed too, jobs/N/pid (written by each process itself) tells. What
 * neither knows never became a program: it is started again.
 */
#include "base/cleanup.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/proc.h"
#include "pm/machine.h"
#include "pm/stream.h"
#include "pm/watch.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#define INIT_STREAM_UNIT "init-stream"

static struct wire *ended; /* main processes that ended while no machine ran */
static size_t nended;

static void tell(enum wire_op op, const struct wire *about, int value, uint8_t flags)
{
	struct wire m = { .op = (uint8_t)op, .version = WIRE_VERSION, .role = about->role, .job = about->job, .unit = about->unit,
		.value = value, .flags = flags };

	machine_send(&m, NULL, 0, NULL, 0);
}

void adopt_child(const struct wire *m, int log_fd)
{
	struct unit *u = core_by_hash(&machine.core, m->unit);

	if (!u || m->role != ROLE_MAIN || m->job < u->job) {
		/* A helper command of our predecessor, or a unit that is no longer: nobody waits for it. */
		if (log_fd >= 0)
			close(log_fd);
		if (m->flags & WIRE_GONE)
			tell(WIRE_ACK, m, 0, 0);
		else
			tell(WIRE_KILL, m, SIGKILL, WIRE_GROUP);
		return;
	}
	u->job = m->job;
	if (m->flags & WIRE_GONE) {
		ended = xreallocarray(ended, nended + 1, sizeof(*ended));
		ended[nended++] = *m;
		u->pid = -1; /* not looked for */
		if (log_fd >= 0)
			u->log_fd = log_fd; /* what it still had to say is read when its end is judged */
		return;
	}
	u->pid = m->pid;
	u->log_fd = log_fd;
	if (log_fd >= 0)
		machine_watch_fd(log_fd, EPOLLIN, SEEN_LOG, u->index);
}

static bool job_file(uint32_t job, const char *file, struct buf *b)
{
	_cleanup_error_ struct error *e = NULL;
	char path[48];

	snprintf(path, sizeof(path), "jobs/%u/%s", job, file);
	buf_clear(b);
	/* An empty one is left from the job before. */
	return file_read(path, 1 << 20, b, &e) == 0 && b->len;
}

/* By jobs/N/pid: alive, though the watcher does not know it? Then it is watched from now on. */
static bool find_process(struct unit *u)
{
	_cleanup_error_ struct error *e = NULL;
	struct wire m = { .op = WIRE_ADOPT, .version = WIRE_VERSION, .role = ROLE_MAIN, .job = u->job, .unit = core_hash(u->id),
		.flags = WIRE_GROUP };
	char path[48];
	struct proc_id id;
	int log;

	snprintf(path, sizeof(path), "jobs/%u/pid", u->job);
	if (proc_id_read(path, &id, &e) < 0 || !proc_id_alive(&id))
		return false;
	m.pid = u->pid = id.pid;
	m.start = id.start;
	/* Its output is a pipe that it holds open itself; we open it again. */
	snprintf(path, sizeof(path), "/proc/%d/fd/1", (int)id.pid);
	log = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (log >= 0 && lseek(log, 0, SEEK_CUR) >= 0) { /* a file, not a pipe */
		close(log);
		log = -1;
	}
	u->log_fd = log;
	if (log >= 0)
		machine_watch_fd(log, EPOLLIN, SEEN_LOG, u->index);
	if (log >= 0)
		log = fcntl(log, F_DUPFD_CLOEXEC, 3);
	machine_send(&m, NULL, 0, &log, log >= 0 ? 1 : 0);
	return true;
}

void adopt_process(struct unit *u, int32_t pid, uint64_t start)
{
	struct wire m = { .op = WIRE_ADOPT, .version = WIRE_VERSION, .role = ROLE_MAIN, .unit = core_hash(u->id), .flags = WIRE_GROUP,
		.pid = pid, .start = start };

	machine_timer(u, TIMER_STATE, &u->timer, 0);
	home_job_begin(u, "adopted");
	home_job_pid(u->job, pid, start);
	core_restore(&machine.core, u, PM_RUNNING, true, 0);
	home_record(u, "adopted");
	u->pid = pid;
	m.job = u->job;
	/* Whether it is there is known to the watcher: it tells of an end that comes between. */
	machine_send(&m, NULL, 0, NULL, 0);
}

/* A unit's process that was started after the last line of its state could be written. */
static void look_at_job(uint32_t job)
{
	_cleanup_buf_ struct buf text = BUF_INIT;
	_cleanup_params_ struct params ps = PARAMS_INIT;
	_cleanup_error_ struct error *e = NULL;
	const char *id;
	struct unit *u;

	if (!job_file(job, "parameter", &text) || params_parse(buf_str(&text), text.len, &ps, &e) < 0)
		return;
	id = params_get(&ps, "unit");
	u = id ? core_find(&machine.core, id) : NULL;
	if (u && job > u->job && !u->pid)
		u->job = job;
}

static int by_number(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

static void look_at_jobs(void)
{
	_cleanup_closedir_ DIR *d = opendir("jobs");
	_cleanup_free_ uint32_t *known = xcalloc(machine.core.nunits + 1, sizeof(*known));
	struct dirent *de;
	size_t n = 0;

	for (uint32_t i = 0; i < machine.core.nunits; i++)
		if (machine.core.units[i])
			known[n++] = machine.core.units[i]->job;
	qsort(known, n, sizeof(*known), by_number);
	while (d && (de = readdir(d))) {
		uint32_t job = (uint32_t)strtoul(de->d_name, NULL, 10);

		if (job && !bsearch(&job, known, n, sizeof(*known), by_number))
			look_at_job(job);
	}
}

static bool has_process(const struct unit *u)
{
	return u->type == UNIT_RUN || u->type == UNIT_PM;
}

/* It shall be up, nothing of it is there: from the start again. */
static void begin_anew(struct unit *u)
{
	core_restore(&machine.core, u, PM_STOPPED, true, u->retries);
}

static void went_away(struct unit *u)
{
	_cleanup_buf_ struct buf text = BUF_INIT;

	if (job_file(u->job, "retcode", &text)) {
		text.data[strcspn(buf_str(&text), "\n")] = '\0';
		u->clean = !strcmp(text.data, "exit 0") && !params_get(&u->params, "success");
		core_event(&machine.core, u, PM_EV_GONE, text.data);
		return;
	}
	home_job_end(u->job, "lost");
	core_event(&machine.core, u, PM_EV_GONE, "ended while pm was away");
}

static void judge_starting(struct unit *u)
{
	_cleanup_buf_ struct buf text = BUF_INIT;

	if (u->pid > 0 && has_process(u)) {
		if (ready_is_exec(u))
			core_event(&machine.core, u, PM_EV_READY, "taken back");
		else
			ready_begin(u);
		machine_timer(u, TIMER_STATE, &u->timer, u->start_timeout);
	} else if (!u->pid && job_file(u->job, "pid", &text) && has_process(u)) {
		went_away(u);
	} else if (!u->pid) {
		begin_anew(u);
	} else {
		machine_timer(u, TIMER_STATE, &u->timer, u->start_timeout);
	}
}

/* It was to start when we last could write. Has it, since? Then a second one must not. */
static void judge_scheduled(struct unit *u)
{
	_cleanup_buf_ struct buf text = BUF_INIT;
	bool has_begun = u->pid || (u->job && job_file(u->job, "pid", &text) && !job_file(u->job, "retcode", &text));

	if (!has_begun) {
		begin_anew(u);
		return;
	}
	core_restore(&machine.core, u, PM_STARTING, u->up, u->retries);
	home_record(u, "started before pm died");
	judge_starting(u);
}

static void judge_running(struct unit *u)
{
	char why[160];

	kernel_watch(u);
	if (has_process(u) && !u->pid) {
		went_away(u);
	} else if (u->type == UNIT_SOCKET) {
		if (socket_open(u, why) < 0)
			core_event(&machine.core, u, PM_EV_GONE, why);
	} else if (u->type == UNIT_TIMER) {
		launch_timer(u);
	} else if (!has_process(u) && params_get(&u->params, "check")) {
		if (launch_command(u, ROLE_CHECK, "check", why) < 0)
			log_line("%s: check: %s", u->id, why);
	}
}

static void judge(struct unit *u)
{
	switch (u->state) {
	case PM_SCHE_START:
		judge_scheduled(u);
		break;
	case PM_STARTING:
		judge_starting(u);
		break;
	case PM_RUNNING:
		judge_running(u);
		break;
	case PM_STOPPING:
		machine_timer(u, TIMER_STATE, &u->timer, u->stop_timeout);
		if (!launch_ops.halt(NULL, u))
			core_event(&machine.core, u, PM_EV_SYNC, "ended while pm was away");
		break;
	case PM_STOPPED:
	case PM_FAIL:
	case PM_STARTING_FAIL:
		if (u->pid > 0) { /* its start could not be recorded */
			core_restore(&machine.core, u, PM_RUNNING, true, u->retries);
			home_record(u, "taken back");
		} else if (core_retries(u)) {
			machine_timer(u, TIMER_STATE, &u->timer, u->delay ? u->delay : u->backoff ? u->backoff : 1);
		}
		break;
	default:
		break;
	}
}

/* The init stream is a unit too: a process of ours that reads the source and sends what comes. */
static int begin_init_stream(const char *src, struct error **err)
{
	const char *words[] = { machine.self, "load", src, "--stream", "--home", machine.home };
	_cleanup_params_ struct params ps = PARAMS_INIT;
	_cleanup_buf_ struct buf run = BUF_INIT;
	int fds[3] = { -1, -1, -1 };
	struct unit *u;

	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		if (i)
			buf_addc(&run, ' ');
		stream_quote(&run, words[i]);
	}
	params_set(&ps, "title", "configuration loader");
	params_set(&ps, "run", run.data);
	/* 2: lines that were refused, which another time changes nothing about. */
	params_set(&ps, "success", "0 2");
	if (strcmp(src, "-") != 0) {
		params_set(&ps, "restart", "on-failure");
		params_set(&ps, "restart-backoff", "1s");
		params_set(&ps, "restart-limit", "20");
	}
	u = core_find(&machine.core, INIT_STREAM_UNIT);
	if (u && u->defined && u->pid)
		return 0; /* a former one is still at it */
	u = core_define(&machine.core, INIT_STREAM_UNIT, &ps, err);
	if (!u)
		return -1;
	home_defer(u);
	if (!strcmp(src, "-") && (fds[0] = fcntl(0, F_DUPFD_CLOEXEC, 3)) >= 0)
		launch_give_fds(u, fds);
	return core_command(&machine.core, u, PM_EV_START, "pm began", err);
}

void adopt_end(void)
{
	struct core *c = &machine.core;
	uint32_t alive = 0;
	struct error *e = NULL;

	look_at_jobs();
	for (uint32_t i = 0; i < c->nunits; i++) {
		struct unit *u = c->units[i];

		if (u && u->job && !u->pid && u->defined)
			find_process(u);
	}
	for (uint32_t i = 0; i < c->nunits; i++) {
		struct unit *u = c->units[i];

		if (u && u->defined)
			judge(u);
		alive += u && u->pid > 0;
	}
	for (size_t i = 0; i < nended; i++) {
		struct unit *u = core_by_hash(c, ended[i].unit);

		if (u && (u->state == PM_STOPPED || u->state == PM_FAIL || u->state == PM_STARTING_FAIL)) {
			u->pid = 0;
			tell(WIRE_ACK, &ended[i], 0, 0);
		} else if (u) {
			launch_exited(u, &ended[i]);
		}
	}
	free(STEAL(ended));
	nended = 0;
	if (alive)
		log_line("%u units taken back", alive);
	core_mark_all(c);
	core_settle(c);
	if (server_open(&e) < 0) {
		log_line("%s", e->msg);
		error_clear(&e);
	}
	if (machine.init_stream && begin_init_stream(machine.init_stream, &e) < 0) {
		log_line("init stream: %s", e->msg);
		error_clear(&e);
	}
	machine.init_stream = NULL;
	core_settle(c);
}
