/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Makes the core's decisions happen. Processes are named to the watcher by (job, role), so a signal can be sent before the
 * pid is known: messages are handled in order.
 */
#include "base/cleanup.h"
#include "base/mem.h"
#include "pm/isolate.h"
#include "pm/machine.h"
#include "pm/stream.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/wait.h>
#include <unistd.h>

#define DEFAULT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

#define ENV_MAX 2000

struct launch *launch_of(struct unit *u)
{
	if (u->launch)
		return u->launch;
	u->launch = xcalloc(1, sizeof(*u->launch));
	u->launch->aux_log = u->launch->status_fd = u->launch->ready_fd = u->launch->port_fd = -1;
	for (int i = 0; i < 3; i++)
		u->launch->given[i] = -1;
	return u->launch;
}

static void drop_fd(int *fd)
{
	if (*fd < 0)
		return;
	machine_unwatch_fd(*fd);
	close(*fd);
	*fd = -1;
}

static void tell_watcher(enum wire_op op, const struct unit *u, enum wire_role role, int value, uint8_t flags)
{
	struct wire m = { .op = (uint8_t)op, .version = WIRE_VERSION, .role = (uint8_t)role, .flags = flags, .job = u->job,
		.unit = core_hash(u->id), .value = value };

	machine_send(&m, NULL, 0, NULL, 0);
}

void launch_free(struct unit *u)
{
	struct launch *l = u->launch;

	if (!l)
		return;
	if (l->aux_running)
		tell_watcher(WIRE_KILL, u, l->aux, SIGKILL, WIRE_GROUP);
	if (l->forked)
		tell_watcher(WIRE_ACK, u, ROLE_MAIN, 0, 0);
	drop_fd(&l->aux_log);
	drop_fd(&l->status_fd);
	drop_fd(&l->ready_fd);
	drop_fd(&l->port_fd);
	for (int i = 0; i < 3; i++)
		drop_fd(&l->given[i]);
	for (int i = 0; i < l->nsocks; i++)
		drop_fd(&l->socks[i]);
	machine_timer(u, TIMER_LAUNCH, &l->timer, 0);
	free(STEAL(u->launch));
}

void launch_poll(struct unit *u, uint32_t ms)
{
	machine_timer(u, TIMER_LAUNCH, &launch_of(u)->timer, ms);
}

void launch_give_fds(struct unit *u, const int fds[3])
{
	memcpy(launch_of(u)->given, fds, 3 * sizeof(int));
}

void launch_kill(struct unit *u, int signo, bool group)
{
	tell_watcher(WIRE_KILL, u, ROLE_MAIN, signo, group ? WIRE_GROUP : 0);
}

const char *launch_status_text(int status)
{
	static char text[48];

	if (status == WIRE_LOST)
		return "lost";
	if (WIFSIGNALED(status))
		snprintf(text, sizeof(text), "signal %s", signal_name(WTERMSIG(status)));
	else
		snprintf(text, sizeof(text), "exit %d", WEXITSTATUS(status));
	return text;
}

/* Starting a process. */

struct spawn {
	struct wire m;
	struct buf strings;
	int fds[WIRE_FDS];
	size_t nfds;
};

static void add_string(struct spawn *s, uint16_t *count, const char *text)
{
	buf_add(&s->strings, text, strlen(text) + 1);
	++*count;
}

static void add_env(struct spawn *s, const char *name, const char *value)
{
	buf_addf(&s->strings, "%s=%s", name, value);
	buf_addc(&s->strings, '\0');
	s->m.envc++;
}

static void add_fd(struct spawn *s, int fd, int target)
{
	s->m.targets[s->nfds] = (uint8_t)target;
	s->fds[s->nfds++] = fd;
}

static int find_program(struct buf *path, const char *name, char why[160])
{
	const char *dir = DEFAULT_PATH, *end;

	if (strchr(name, '/')) {
		buf_adds(path, name);
		return 0;
	}
	for (; *dir; dir = *end ? end + 1 : end) {
		end = dir + strcspn(dir, ":");
		buf_clear(path);
		buf_addf(path, "%.*s/%s", (int)(end - dir), dir, name);
		if (access(path->data, X_OK) == 0)
			return 0;
	}
	snprintf(why, 160, "%.60s: not found in " DEFAULT_PATH, name);
	return -1;
}

/* A key that is not ours: only `pm .exec` can apply it. */
static bool isolated(const struct unit *u)
{
	const char *k, *v;

	for (uint32_t pos = 0; params_next(&u->params, &pos, &k, &v);) {
		bool ours = false;

		for (unsigned i = 0; i < param_nkeys && !ours; i++)
			ours = !strcmp(param_keys[i].key, k);
		if (!ours)
			return true;
	}
	return false;
}

/* Checks the surroundings now, where a mistake has a name. */
static int plan_isolation(const struct unit *u, char why[160])
{
	static struct isolate_plan plan;
	_cleanup_free_ const char **pairs = NULL;
	char text[ISOLATE_WHY];
	const char *k, *v;
	size_t n = 0;

	for (uint32_t pos = 0; params_next(&u->params, &pos, &k, &v);) {
		pairs = xreallocarray(pairs, n + 1, 2 * sizeof(*pairs));
		pairs[n * 2] = k;
		pairs[n++ * 2 + 1] = v;
	}
	if (isolate_plan(&plan, pairs, n, text) < 0) {
		snprintf(why, 160, "%.150s", text);
		return -1;
	}
	isolate_plan_free(&plan);
	return 0;
}

/* argv: the program's own. Through `pm .exec HOME JOB KEY` when its surroundings are to be made first. */
static int fill(struct spawn *s, struct unit *u, const char *key, const struct strv *argv, bool helper, char why[160])
{
	_cleanup_buf_ struct buf path = BUF_INIT;
	char job[16];
	uint16_t ignored = 0;

	if (helper) {
		const char *args[] = { "pm", ".exec", machine.home, job, key };

		snprintf(job, sizeof(job), "%u", u->job);
		add_string(s, &ignored, machine.self);
		for (size_t i = 0; i < ARRAY_SIZE(args); i++)
			add_string(s, &s->m.argc, args[i]);
		return plan_isolation(u, why);
	}
	if (find_program(&path, argv->v[0], why) < 0)
		return -1;
	add_string(s, &ignored, path.data);
	for (size_t i = 0; i < argv->len; i++)
		add_string(s, &s->m.argc, argv->v[i]);
	return 0;
}

/* Ours, from which `pm .exec` takes what env-inherit names. */
static void fill_own_env(struct spawn *s)
{
	static const char *const set_anew[] = { "PM_UNIT", "PM_JOB", "PM_HOME", "NOTIFY_SOCKET", "MAINPID", "LISTEN_FDS", "LISTEN_PID" };

	for (char **e = environ; *e && s->m.envc < ENV_MAX; e++) {
		bool ours = false;

		for (size_t i = 0; i < ARRAY_SIZE(set_anew) && !ours; i++)
			ours = !strncmp(*e, set_anew[i], strlen(set_anew[i])) && (*e)[strlen(set_anew[i])] == '=';
		if (!ours)
			add_string(s, &s->m.envc, *e);
	}
}

static void fill_env(struct spawn *s, struct unit *u, size_t nsockets)
{
	const char *ready = params_get(&u->params, "ready");
	_cleanup_free_ char *notify = NULL;
	char number[24];

	if (params_get(&u->params, "env-inherit"))
		fill_own_env(s);
	else
		add_env(s, "PATH", DEFAULT_PATH);
	add_env(s, "PM_UNIT", u->id);
	snprintf(number, sizeof(number), "%u", u->job);
	add_env(s, "PM_JOB", number);
	add_env(s, "PM_HOME", machine.home);
	if (ready && !strcmp(ready, "notify")) {
		notify = xasprintf("%s/notify", machine.home);
		add_env(s, "NOTIFY_SOCKET", notify);
	}
	if (s->m.role != ROLE_MAIN && u->pid > 0) {
		snprintf(number, sizeof(number), "%d", (int)u->pid);
		add_env(s, "MAINPID", number);
	}
	if (nsockets) {
		snprintf(number, sizeof(number), "%zu", nsockets);
		add_env(s, "LISTEN_FDS", number);
	}
}

/* The descriptors of a main process beside the log. False: none can be had. */
static bool fill_fds(struct spawn *s, struct unit *u, bool helper, const int *socks, size_t nsocks)
{
	struct launch *l = u->launch;
	int write_end = -1, target;

	for (size_t i = 0; i < nsocks; i++) {
		int copy = fcntl(socks[i], F_DUPFD_CLOEXEC, 3);

		if (copy < 0)
			return false;
		add_fd(s, copy, 3 + (int)i);
	}
	if ((target = ready_open(u, &write_end)) > 0)
		add_fd(s, write_end, target);
	else if (target < 0)
		return false;
	for (int i = 0; l && i < 3; i++)
		if (l->given[i] >= 0)
			add_fd(s, STEAL_FD(l->given[i]), i);
	if (helper) {
		int status[2];

		if (pipe2(status, O_CLOEXEC | O_NONBLOCK) < 0)
			return false;
		l = launch_of(u);
		drop_fd(&l->status_fd);
		l->status_fd = status[0];
		machine_watch_fd(status[0], EPOLLIN, SEEN_STATUS, u->index);
		add_fd(s, status[1], LAUNCH_STATUS_FD);
	}
	return true;
}

static int spawn(struct unit *u, enum wire_role role, const char *key, const struct strv *argv, char why[160])
{
	const char *log = params_get(&u->params, "log"), *mode = params_get(&u->params, "kill-mode"), *ready;
	struct spawn s = { .m = { .op = WIRE_SPAWN, .version = WIRE_VERSION, .role = (uint8_t)role, .job = u->job } };
	int socks[LAUNCH_SOCKETS];
	size_t nsocks = role == ROLE_MAIN ? socket_fds_of(u, socks) : 0;
	bool helper = nsocks || isolated(u);
	int rc = -1;

	s.m.unit = core_hash(u->id);
	ready = params_get(&u->params, "ready");
	if (!log || strcmp(log, "off"))
		s.m.flags |= WIRE_LOG;
	if ((!mode || strcmp(mode, "process")) && !(ready && !strncmp(ready, "pidfile:", 8)))
		s.m.flags |= WIRE_GROUP;
	if (role == ROLE_MAIN)
		s.m.flags |= WIRE_PIDFILE;
	if (fill(&s, u, key, argv, helper, why) == 0) {
		fill_env(&s, u, nsocks);
		if (s.strings.len + sizeof(s.m) > WIRE_MAX || s.m.argc > 4000)
			snprintf(why, 160, "%s: the command is too long", key);
		else if (role == ROLE_MAIN && !fill_fds(&s, u, helper, socks, nsocks))
			snprintf(why, 160, "descriptors for it: %s", strerror(errno));
		else
			rc = 0;
	}
	if (rc == 0)
		machine_send(&s.m, s.strings.data, s.strings.len, s.fds, s.nfds);
	else
		while (s.nfds > 0)
			close(s.fds[--s.nfds]);
	buf_free(&s.strings);
	return rc;
}

int launch_command(struct unit *u, enum wire_role role, const char *key, char why[160])
{
	_cleanup_strv_ struct strv argv = STRV_INIT;
	_cleanup_error_ struct error *e = NULL;
	const char *value = params_get(&u->params, key);
	struct launch *l = launch_of(u);

	if (!strcmp(key, "ready") && value) /* command:COMMAND */
		value = strchr(value, ':') + 1;
	if (value && stream_split(value, strlen(value), &argv, &e) < 0) {
		snprintf(why, 160, "%s: %.140s", key, e->msg);
		return -1;
	}
	if (l->aux_running) {
		snprintf(why, 160, "%s: another command of the unit is still under way", key);
		return -1;
	}
	if (!strcmp(key, "umount")) {
		strv_add(&argv, machine.self);
		strv_add(&argv, ".umount");
		if (params_words(&u->params, "mount", &argv, &e) < 0)
			return -1;
	}
	if (!argv.len || spawn(u, role, key, &argv, why) < 0)
		return -1;
	l->aux_running = true;
	l->aux = (uint8_t)role;
	return 0;
}

/*
 * U is never followed by R: a pm without root's rights cannot hold one that has them, nor one that needs them to be what it
 * is. And a user's pm under root must be given a user.
 */
int launch_may_hold(const struct params *ps, struct error **err)
{
	const char *type = params_get(ps, "type"), *kind = params_get(ps, "kind");

	if (!type || !kind || strcmp(type, "pm") != 0)
		return 0;
	if (strcmp(kind, "user") != 0 && geteuid() != 0)
		return error_set(err, ERR_STATE, "kind: a user pm is never followed by a %s one: this pm is not root's",
			kind[0] == 'r' ? "root" : kind);
	if (!strcmp(kind, "user") && geteuid() == 0 && !params_get(ps, "user"))
		return error_set(err, ERR_USAGE, "kind: a user pm under root's needs the key 'user'");
	return 0;
}

static int start_main(struct unit *u, char why[160])
{
	_cleanup_strv_ struct strv argv = STRV_INIT;
	_cleanup_error_ struct error *e = NULL;
	const char *key = u->type == UNIT_RUN ? "run" : "start";

	if (u->type == UNIT_MOUNT && params_get(&u->params, "mount")) {
		key = "mount";
		strv_add(&argv, machine.self);
		strv_add(&argv, ".mount");
	} else if (u->type == UNIT_PM) {
		const char *const args[] = { "main", "--home", params_get(&u->params, "home"), NULL };

		key = "home";
		if (params_words(&u->params, "run", &argv, &e) < 0 || !argv.len)
			strv_add(&argv, machine.self);
		strv_addv(&argv, args);
	}
	if (u->type != UNIT_PM && params_words(&u->params, key, &argv, &e) < 0) {
		snprintf(why, 160, "%.150s", e->msg);
		return -1;
	}
	if (spawn(u, ROLE_MAIN, key, &argv, why) < 0)
		return -1;
	u->pid = -1;
	if (u->launch)
		u->launch->step = STEP_MAIN;
	return 0;
}

static int op_launch(void *ctx, struct unit *u, char why[160])
{
	drop_fd(&u->log_fd);
	u->status = 127 << 8; /* until there is one */
	if (u->type == UNIT_TIMER)
		return 1;
	if (u->type == UNIT_SOCKET)
		return socket_open(u, why) < 0 ? -1 : 1;
	if (!params_get(&u->params, "pre"))
		return start_main(u, why);
	if (launch_command(u, ROLE_PRE, "pre", why) < 0)
		return -1;
	u->launch->step = STEP_PRE;
	return 0;
}

static bool op_halt(void *ctx, struct unit *u)
{
	const char *sig = params_get(&u->params, "stop-signal"), *mode = params_get(&u->params, "kill-mode");
	bool umount = u->type == UNIT_MOUNT && params_get(&u->params, "mount");
	char why[160];

	if (u->launch && u->launch->aux_running) { /* a start that was broken off, a check */
		tell_watcher(WIRE_KILL, u, u->launch->aux, SIGKILL, WIRE_GROUP);
		if (!u->pid && u->launch->step == STEP_PRE)
			return true;
		u->launch->aux_running = false;
	}
	if (params_get(&u->params, "stop") || umount) {
		launch_of(u)->step = STEP_STOP;
		if (launch_command(u, ROLE_STOP, umount ? "umount" : "stop", why) == 0)
			return true;
		log_line("%s: stop: %s", u->id, why);
	}
	if (!u->pid)
		return false;
	launch_kill(u, sig ? signal_parse(sig) : SIGTERM, !mode || strcmp(mode, "process"));
	return true;
}

static bool op_force(void *ctx, struct unit *u)
{
	bool aux = u->launch && u->launch->aux_running;

	if (aux)
		tell_watcher(WIRE_KILL, u, u->launch->aux, SIGKILL, WIRE_GROUP);
	if (u->pid)
		launch_kill(u, SIGKILL, true);
	return aux || u->pid;
}

static void op_reload(void *ctx, struct unit *u)
{
	const char *how = params_get(&u->params, "reload");
	char why[160];

	if (how && !strncmp(how, "signal:", 7)) {
		launch_kill(u, signal_parse(how + 7), false);
		server_reloaded(u, NULL);
	} else if (launch_command(u, ROLE_RELOAD, "reload", why) < 0) {
		server_reloaded(u, why);
	}
}

static void op_arm(void *ctx, struct unit *u, uint32_t ms)
{
	machine_timer(u, TIMER_STATE, &u->timer, ms);
}

static uint64_t op_now(void *ctx)
{
	return machine.now;
}

/* What runs beside a unit that is RUNNING: its checks, its clock. */
static void begin_running(struct unit *u)
{
	_cleanup_error_ struct error *e = NULL;
	uint32_t every = 0;

	ready_end(u);
	kernel_watch(u);
	params_ms(&u->params, u->type == UNIT_TIMER ? "every" : "check-every", 0, &every, &e);
	if (u->type != UNIT_SOCKET && u->launch && !every && !u->launch->aux_running)
		launch_free(u);
	if (every)
		launch_poll(u, every);
}

static void op_changed(void *ctx, struct unit *u, enum pm_state from, const char *reason)
{
	const char *ended;

	if (u->state == PM_STARTING && from != PM_STARTING) { /* its number belongs to the record */
		home_job_begin(u, u->cause ? u->cause : "start");
		free(STEAL(u->cause));
	}
	home_record(u, reason);
	server_changed(u, from, reason);
	if (from == u->state)
		return;
	switch (u->state) {
	case PM_SCHE_START:
		free(u->cause);
		u->cause = xstrdup(reason);
		break;
	case PM_RUNNING:
		begin_running(u);
		break;
	case PM_STOPPED:
	case PM_FAIL:
	case PM_STARTING_FAIL:
		launch_free(u);
		socket_target_down(u);
		ended = params_get(&u->params, "when-ended");
		if (ended && !u->up && !strcmp(ended, "shutdown"))
			machine.shall_end = true;
		break;
	case PM_SCHE_STOP:
		ready_end(u);
		if (u->launch)
			machine_timer(u, TIMER_LAUNCH, &u->launch->timer, 0);
		break;
	default:
		break;
	}
}

const struct core_ops launch_ops = {
	.launch = op_launch,
	.halt = op_halt,
	.force = op_force,
	.reload = op_reload,
	.arm = op_arm,
	.changed = op_changed,
	.now = op_now,
};

/* What the watcher tells. */

static void event(struct unit *u, enum pm_event ev, const char *reason)
{
	core_event(&machine.core, u, ev, reason);
}

/* Main is the program now. */
static void main_runs(struct unit *u)
{
	if (u->state != PM_STARTING || (u->type != UNIT_RUN && u->type != UNIT_PM))
		return; /* others are ready when it has ended */
	if (ready_is_exec(u))
		event(u, PM_EV_READY, "started");
	else
		ready_begin(u);
}

static void spawn_failed(struct unit *u, const struct wire *m)
{
	char why[160];

	snprintf(why, sizeof(why), "cannot be executed: %s", strerror(m->value));
	tell_watcher(WIRE_ACK, u, m->role, 0, 0);
	if (m->role != ROLE_MAIN) {
		struct wire ended = *m;

		ended.value = 127 << 8;
		log_unit_note(u, why);
		launch_exited(u, &ended);
		return;
	}
	u->pid = 0;
	u->status = 127 << 8;
	home_job_end(u->job, why);
	event(u, u->state == PM_STARTING ? PM_EV_UNREADY : PM_EV_GONE, why);
}

void launch_spawned(struct unit *u, const struct wire *m, int log_fd)
{
	if (m->job != u->job || (m->role != ROLE_MAIN && !u->launch)) {
		if (log_fd >= 0)
			close(log_fd);
		return; /* EXITED will come and be acknowledged */
	}
	if (m->flags & WIRE_GONE || m->pid <= 0) {
		spawn_failed(u, m);
		return;
	}
	if (m->role != ROLE_MAIN) {
		drop_fd(&u->launch->aux_log);
		u->launch->aux_log = log_fd;
		if (log_fd >= 0)
			machine_watch_fd(log_fd, EPOLLIN, SEEN_AUX_LOG, u->index);
		return;
	}
	u->pid = m->pid;
	u->log_fd = log_fd;
	if (log_fd >= 0)
		machine_watch_fd(log_fd, EPOLLIN, SEEN_LOG, u->index);
	if (!u->launch || u->launch->status_fd < 0)
		main_runs(u);
}

void launch_status(struct unit *u)
{
	char text[200];
	ssize_t n = read(u->launch->status_fd, text, sizeof(text) - 1);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	drop_fd(&u->launch->status_fd);
	if (n <= 0) {
		main_runs(u);
		return;
	}
	text[n] = '\0';
	log_unit_note(u, text);
	/* It has ended or is about to; the process is not ours to wait for any more. */
	event(u, PM_EV_UNREADY, text);
}

void launch_forked(struct unit *u, int32_t pid, uint64_t start)
{
	struct wire m = { .op = WIRE_ADOPT, .version = WIRE_VERSION, .role = ROLE_MAIN, .job = u->job, .unit = core_hash(u->id),
		.pid = pid, .start = start };

	u->pid = pid;
	u->launch->forked = false;
	machine_send(&m, NULL, 0, NULL, 0);
}

static bool is_success(const struct unit *u, int status)
{
	_cleanup_strv_ struct strv words = STRV_INIT;
	_cleanup_error_ struct error *e = NULL;
	char number[24];

	if (status == WIRE_LOST || !WIFEXITED(status))
		return false;
	if (!params_get(&u->params, "success"))
		return WEXITSTATUS(status) == 0;
	snprintf(number, sizeof(number), "%d", WEXITSTATUS(status));
	return params_words(&u->params, "success", &words, &e) == 0 && strv_has(&words, number);
}

static void main_exited(struct unit *u, const struct wire *m)
{
	const char *ready = params_get(&u->params, "ready");
	const char *text = launch_status_text(m->value);
	char why[80];

	if (u->log_fd >= 0)
		log_read(u, &u->log_fd);
	home_job_end(u->job, text);
	snprintf(why, sizeof(why), "%s", text);
	u->pid = 0;
	u->status = m->value;
	u->clean = is_success(u, m->value);
	if (u->state == PM_STARTING && u->type == UNIT_RUN && u->clean && ready && !strncmp(ready, "pidfile:", 8)) {
		launch_of(u)->forked = true; /* not acknowledged: the daemon takes its place */
		return;
	}
	tell_watcher(WIRE_ACK, u, ROLE_MAIN, 0, 0);
	if (u->launch && u->launch->status_fd >= 0) { /* what `pm .exec` said comes first */
		launch_status(u);
		if (u->state == PM_STARTING_FAIL)
			return;
	}
	if (u->type == UNIT_RUN || u->type == UNIT_PM || u->state != PM_STARTING) {
		event(u, PM_EV_GONE, why);
		return;
	}
	event(u, u->clean ? PM_EV_READY : PM_EV_UNREADY, why);
	u->clean = false; /* that was its start; going away later is no good end */
}

static void aux_exited(struct unit *u, enum wire_role role, int status)
{
	bool ok = status != WIRE_LOST && WIFEXITED(status) && WEXITSTATUS(status) == 0;
	const char *text = launch_status_text(status);
	char why[160];

	switch (role) {
	case ROLE_PRE:
		snprintf(why, sizeof(why), "pre: %s", text);
		if (u->state == PM_STOPPING)
			event(u, PM_EV_SYNC, "start was broken off");
		else if (u->state == PM_STARTING && (!ok || start_main(u, why) < 0))
			event(u, PM_EV_UNREADY, why);
		break;
	case ROLE_STOP:
		snprintf(why, sizeof(why), "stop: %s", text);
		if (u->state == PM_STOPPING && !u->pid)
			event(u, PM_EV_SYNC, why);
		break;
	case ROLE_RELOAD:
		snprintf(why, sizeof(why), "reload: %s", text);
		server_reloaded(u, ok ? NULL : why);
		break;
	case ROLE_CHECK:
		snprintf(why, sizeof(why), "check: %s", text);
		if (!ok && u->state == PM_RUNNING && !u->pid)
			event(u, PM_EV_GONE, why);
		else if (!ok && u->state == PM_RUNNING)
			launch_kill(u, SIGKILL, true); /* there, but not well: GONE follows */
		break;
	case ROLE_READY:
		if (ok)
			event(u, PM_EV_READY, "the ready command says so");
		break;
	default:
		break;
	}
}

void launch_exited(struct unit *u, const struct wire *m)
{
	if (m->job != u->job || (m->role == ROLE_MAIN && u->pid == 0)) {
		struct wire ack = { .op = WIRE_ACK, .version = WIRE_VERSION, .job = m->job, .role = m->role };

		machine_send(&ack, NULL, 0, NULL, 0);
		return;
	}
	if (m->role == ROLE_MAIN) {
		main_exited(u, m);
		return;
	}
	tell_watcher(WIRE_ACK, u, m->role, 0, 0);
	if (!u->launch)
		return;
	if (u->launch->aux_log >= 0)
		log_read(u, &u->launch->aux_log);
	if (u->launch->aux != m->role)
		return;
	u->launch->aux_running = false;
	aux_exited(u, m->role, m->value);
}

void launch_timer(struct unit *u)
{
	_cleanup_strv_ struct strv ids = STRV_INIT;
	_cleanup_error_ struct error *e = NULL;
	char why[160];

	if (u->state == PM_STARTING) {
		ready_poll(u);
		return;
	}
	if (u->state != PM_RUNNING)
		return;
	if (u->type != UNIT_TIMER) {
		if (!u->launch->aux_running && launch_command(u, ROLE_CHECK, "check", why) < 0)
			log_line("%s: check: %s", u->id, why);
		begin_running(u);
		return;
	}
	snprintf(why, sizeof(why), "timer %.120s", u->id);
	params_words(&u->params, "unit", &ids, &e);
	for (size_t i = 0; i < ids.len; i++) {
		struct unit *t = core_find(&machine.core, ids.v[i]);

		if (!t || core_command(&machine.core, t, PM_EV_START, why, &e) < 0)
			log_line("%s: %s", u->id, t ? e->msg : "the unit that it starts does not exist");
		error_clear(&e);
	}
	begin_running(u);
}
