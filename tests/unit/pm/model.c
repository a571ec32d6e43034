/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The state machine against a model of it, in random worlds. The model is a set of rules that say when a transition is allowed,
 * written down from the specification and not from core.c; core's every transition, told through core_ops, must be
 * allowed by one of them at that moment, and when core has settled no rule that acts by itself may be left to act. So the
 * order in which core looks at its units is free, and what it does is not.
 *
 * A world has up to UNITS units with random dependencies and policies, processes that become ready, fail, ignore signals and
 * die, a clock, commands, redefinitions, and now and then a pm that is killed and reads its states back. At the end each world
 * becomes friendly: then every unit must reach its goal.
 *
 * PM_MODEL_SEED and PM_MODEL_STEPS run other worlds, or more.
 */
#include "../test.h"

#include "base/buf.h"
#include "pm/core.h"

#include <time.h>

#define UNITS 10
#define WORLD_STEPS 1500

struct m_unit {
	struct unit *u;
	enum pm_state state;
	bool up, defined;
	bool alive;	  /* there is a process */
	bool unkillable;  /* survives SIGKILL for a while */
	bool killed;	  /* SIGKILL was sent: dies soon */
	bool wanted;	  /* in this batch, by a unit that needs it */
	bool no_launch;	  /* the next launch fails */
	bool clean;	  /* how it will have ended */
	uint64_t due;	  /* time-out that core asked for; 0: none */
	uint64_t entered;
	unsigned inputs;  /* bits of enum pm_event given in this batch */
	unsigned retries;
	enum dep_kind kind[UNITS]; /* of what it depends on; DEP_NKINDS: not at all */
	/* policy */
	enum restart_policy restart;
	unsigned limit, delay, backoff, max_delay, reset, fail_keep, wait, start, stop;
};
static struct {
	struct core core;
	struct m_unit m[UNITS];
	unsigned n;
	uint64_t now, rng;
	uint64_t steps, transitions, launches, crashes, simulated;
	unsigned told; /* transitions since the last settle */
	bool friendly;
	char trace[32][200];
	unsigned traces;
} w;

static uint64_t random_number(void)
{
	/* xorshift64*: the same worlds everywhere for one seed */
	w.rng ^= w.rng >> 12;
	w.rng ^= w.rng << 25;
	w.rng ^= w.rng >> 27;
	return (w.rng * 2685821657736338717u) >> 16;
}

static unsigned below(unsigned n)
{
	return (unsigned)(random_number() % n);
}

static void note(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static void note(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(w.trace[w.traces++ % ARRAY_SIZE(w.trace)], sizeof(w.trace[0]), fmt, ap);
	va_end(ap);
}

static _Noreturn void wrong(const struct m_unit *m, const char *what)
{
	for (unsigned i = w.traces > ARRAY_SIZE(w.trace) ? w.traces - ARRAY_SIZE(w.trace) : 0; i < w.traces; i++)
		print_error("  %s\n", w.trace[i % ARRAY_SIZE(w.trace)]);
	for (unsigned i = 0; i < w.n; i++) {
		char deps[200] = "";

		for (unsigned k = 0; k < w.n; k++)
			if (w.m[i].kind[k] != DEP_NKINDS)
				snprintf(deps + strlen(deps), sizeof(deps) - strlen(deps), " %s:u%u",
					(const char *[]){ "needs", "binds", "after", "conflicts" }[w.m[i].kind[k]], k);
		print_error("u%u %s %s%s%s%s\n", i, pm_state_name(w.m[i].state), w.m[i].up ? "up" : "down",
			w.m[i].alive ? " alive" : "", w.m[i].defined ? "" : " undefined", deps);
	}
	fail_msg("u%d: %s (step %llu)", m ? (int)(m - w.m) : -1, what, (unsigned long long)w.steps);
	abort();
}

/* The rules. */

static bool is_active(const struct m_unit *m)
{
	return m->state != PM_STOPPED && m->state != PM_FAIL && m->state != PM_STARTING_FAIL;
}

static bool is_ending(const struct m_unit *m)
{
	return m->state == PM_SCHE_STOP || m->state == PM_STOPPING;
}

static bool conflict(unsigned a, unsigned b)
{
	return w.m[a].kind[b] == DEP_CONFLICTS || w.m[b].kind[a] == DEP_CONFLICTS;
}

static bool strong(enum dep_kind k)
{
	return k == DEP_NEEDS || k == DEP_BINDS;
}

/* Something u needs will not come by itself. */
static bool cannot_start(unsigned u)
{
	for (unsigned d = 0; d < w.n; d++) {
		if (strong(w.m[u].kind[d]) && (!w.m[d].defined || (w.m[d].state != PM_RUNNING && !w.m[d].up)))
			return true;
		if (conflict(u, d) && is_active(&w.m[d]) && w.m[d].up)
			return true;
	}
	return false;
}

static bool may_start(unsigned u)
{
	for (unsigned d = 0; d < w.n; d++) {
		const struct m_unit *o = &w.m[d];

		if (strong(w.m[u].kind[d]) && (o->state != PM_RUNNING || !o->defined))
			return false;
		if (conflict(u, d) && is_active(o))
			return false;
		if (w.m[u].kind[d] == DEP_AFTER && (o->state == PM_SCHE_START || o->state == PM_STARTING || is_ending(o) ||
			(o->state == PM_STOPPED && o->up)))
			return false;
	}
	return true;
}

/* STARTING or RUNNING must not go on: a need leaves on purpose, or what it is bound to is not there. */
static bool must_leave(unsigned u)
{
	for (unsigned d = 0; d < w.n; d++)
		if ((strong(w.m[u].kind[d]) && is_ending(&w.m[d])) ||
			(w.m[u].kind[d] == DEP_BINDS && w.m[d].state != PM_RUNNING))
			return true;
	return false;
}

static bool need_goes_down(unsigned u)
{
	for (unsigned d = 0; d < w.n; d++)
		if (strong(w.m[u].kind[d]) && is_ending(&w.m[d]) && !w.m[d].up)
			return true;
	return false;
}

static bool has_dependents(unsigned u)
{
	for (unsigned r = 0; r < w.n; r++) {
		enum pm_state s = w.m[r].state;

		if (strong(w.m[r].kind[u]) && (s == PM_STARTING || s == PM_RUNNING || is_ending(&w.m[r])))
			return true;
	}
	return false;
}

static bool is_held(unsigned u)
{
	for (unsigned r = 0; r < w.n; r++)
		if (w.m[r].kind[u] == DEP_AFTER && is_ending(&w.m[r]))
			return true;
	return has_dependents(u);
}

/* A unit that needs it was scheduled, if only to be stopped again before core looked. */
static bool wanted_by_another(unsigned u)
{
	return w.m[u].wanted;
}

static void want_needs(unsigned u)
{
	for (unsigned d = 0; d < w.n; d++)
		if (strong(w.m[u].kind[d]))
			w.m[d].wanted = true;
}

#define GIVEN(m, e) ((m)->inputs >> PM_EV_##e & 1)

static bool timed_out(const struct m_unit *m)
{
	return GIVEN(m, TIMEOUT);
}

/* Whether the rules know a reason to go from one state to the other, now. */
static bool allowed(unsigned i, enum pm_state from, enum pm_state to)
{
	const struct m_unit *m = &w.m[i];

	switch (from << 4 | to) {
	case PM_STOPPED << 4 | PM_SCHE_START:
		return m->defined;
	case PM_SCHE_START << 4 | PM_STARTING:
		return may_start(i) && !m->alive;
	case PM_SCHE_START << 4 | PM_STOPPED:
		return GIVEN(m, STOP) || cannot_start(i) || timed_out(m);
	case PM_STARTING << 4 | PM_RUNNING:
		return GIVEN(m, READY) && m->alive;
	case PM_STARTING << 4 | PM_STARTING_FAIL:
		return (GIVEN(m, UNREADY) || GIVEN(m, GONE) || m->no_launch) && !m->alive;
	case PM_STARTING << 4 | PM_SCHE_STOP:
	case PM_RUNNING << 4 | PM_SCHE_STOP:
		return GIVEN(m, STOP) || GIVEN(m, RESTART) || must_leave(i);
	case PM_RUNNING << 4 | PM_FAIL:
		return GIVEN(m, GONE) && !m->alive;
	case PM_SCHE_STOP << 4 | PM_STOPPING:
		return !is_held(i);
	case PM_STOPPING << 4 | PM_STOPPED:
		return !m->alive;
	case PM_FAIL << 4 | PM_STOPPED:
	case PM_STARTING_FAIL << 4 | PM_STOPPED:
		return GIVEN(m, START) || GIVEN(m, RESTART) || GIVEN(m, STOP) || GIVEN(m, RESET) || timed_out(m) ||
			wanted_by_another(i) || m->due == w.now;
	default:
		return false;
	}
}

/* What a failure does to the goal and to the number of tries, and after how long the state is left; 0: at once. */
static bool after_failure(struct m_unit *m, enum pm_state from, uint64_t *wait)
{
	bool failure = from == PM_STARTING || !m->clean;
	bool again = m->up && (m->restart == RESTART_ALWAYS || (m->restart == RESTART_ON_FAILURE && failure));

	if (from == PM_RUNNING && w.now - m->entered >= m->reset)
		m->retries = 0;
	*wait = failure ? m->fail_keep : 0;
	if (!again || (m->limit && m->retries >= m->limit))
		return false;
	*wait = m->delay;
	if (m->retries) {
		*wait = m->backoff;
		for (unsigned i = 1; i < m->retries && *wait < m->max_delay; i++)
			*wait *= 2;
		if (*wait > m->max_delay)
			*wait = m->max_delay;
	}
	m->retries++;
	return true;
}

static bool goal_may_become(unsigned i, enum pm_state from, enum pm_state to, bool up)
{
	const struct m_unit *m = &w.m[i];

	if (up)
		return GIVEN(m, START) || GIVEN(m, RESTART) || wanted_by_another(i);
	return GIVEN(m, STOP) || need_goes_down(i) || (from == PM_SCHE_START && to == PM_STOPPED);
}

static void expect_failure(struct m_unit *m, enum pm_state from)
{
	uint64_t wait;
	bool again = after_failure(m, from, &wait);

	if (m->u->up != again)
		wrong(m, again ? "gave up although its policy has another try" : "keeps its goal although its policy says no");
	if (m->u->retries != m->retries)
		wrong(m, "counts its tries otherwise");
	if (wait && m->due != w.now + wait)
		wrong(m, "waits for another time than its policy says");
	if (!wait)
		m->due = w.now; /* leaves at once */
	m->up = again;
}

/* core_ops: the world. */

static int w_launch(void *ctx, struct unit *u, char why[160])
{
	struct m_unit *m = &w.m[u->index];

	w.launches++;
	if (m->alive)
		wrong(m, "a second process is started");
	if (m->no_launch) {
		snprintf(why, 160, "no");
		return -1;
	}
	m->alive = true;
	m->killed = false;
	m->unkillable = !w.friendly && below(20) == 0;
	return 0;
}

static bool w_halt(void *ctx, struct unit *u)
{
	return w.m[u->index].alive;
}

static bool w_force(void *ctx, struct unit *u)
{
	w.m[u->index].killed = w.m[u->index].alive;
	return w.m[u->index].alive;
}

static void w_reload(void *ctx, struct unit *u)
{
	if (w.m[u->index].state != PM_RUNNING)
		wrong(&w.m[u->index], "is reloaded while it does not run");
}

static void w_arm(void *ctx, struct unit *u, uint32_t ms)
{
	w.m[u->index].due = ms ? w.now + ms : 0;
}

static void w_changed(void *ctx, struct unit *u, enum pm_state from, const char *reason)
{
	struct m_unit *m = &w.m[u->index];

	w.transitions++;
	note("%llu u%u %s -> %s %s: %s", (unsigned long long)w.now, u->index, pm_state_name(from), pm_state_name(u->state),
		u->up ? "up" : "down", reason);
	if (!*reason)
		wrong(m, "gives no reason");
	if (++w.told > 40 * UNITS)
		wrong(m, "does not settle");
	if (m->state != from)
		wrong(m, "is in another state than was told");
	if (u->state != from && !allowed(u->index, from, (enum pm_state)u->state))
		wrong(m, "goes where no rule leads");
	if (u->state != from && (u->state == PM_FAIL || u->state == PM_STARTING_FAIL)) {
		m->state = (enum pm_state)u->state;
		expect_failure(m, from);
		m->no_launch = false;
	} else if (m->up != u->up && !goal_may_become(u->index, from, (enum pm_state)u->state, u->up)) {
		wrong(m, "changes its goal without a reason");
	}
	m->state = (enum pm_state)u->state;
	m->up = u->up;
	if (m->state == PM_SCHE_START && from != PM_SCHE_START)
		want_needs(u->index);
	if (m->state != from)
		m->entered = w.now;
}

static uint64_t w_now(void *ctx)
{
	return w.now;
}

static const struct core_ops ops = { .launch = w_launch, .halt = w_halt, .force = w_force, .reload = w_reload, .arm = w_arm,
	.changed = w_changed, .now = w_now };

/* When all is settled. */
static void check_settled(void)
{
	for (unsigned i = 0; i < w.n; i++) {
		struct m_unit *m = &w.m[i];

		if (m->u->state != m->state || m->u->up != m->up)
			wrong(m, "changed without telling");
		if (m->state == PM_STOPPED && m->up && m->defined)
			wrong(m, "is forgotten: stopped, and shall be up");
		if (m->state == PM_SCHE_START && (may_start(i) || cannot_start(i)))
			wrong(m, "is forgotten in SCHE_START");
		if ((m->state == PM_STARTING || m->state == PM_RUNNING) && must_leave(i))
			wrong(m, "goes on without what it needs");
		if (m->state == PM_SCHE_STOP && !is_held(i))
			wrong(m, "is forgotten in SCHE_STOP");
		if (m->state == PM_STOPPING && (has_dependents(i) || !m->alive))
			wrong(m, "STOPPING with dependents, or with nothing to wait for");
		if (!is_active(m) && m->alive)
			wrong(m, "has a process in a state that has none");
		if ((m->state == PM_STARTING || m->state == PM_RUNNING) && !m->alive)
			wrong(m, "runs without a process");
		if ((m->state == PM_FAIL || m->state == PM_STARTING_FAIL) && m->up && !m->due)
			wrong(m, "is to be tried again, but never will be");
		m->inputs = 0;
		m->wanted = false;
	}
	w.told = 0;
}

static void settle(void)
{
	core_settle(&w.core);
	check_settled();
}

/* Building a world. */

static void add_words(struct buf *b, unsigned i, enum dep_kind k)
{
	for (unsigned d = 0; d < w.n; d++)
		if (w.m[i].kind[d] == k)
			buf_addf(b, "%su%u", b->len ? " " : "", d);
}

static void set_number(struct params *ps, const char *key, unsigned n, const char *unit)
{
	char text[32];

	snprintf(text, sizeof(text), "%u%s", n, unit);
	params_set(ps, key, text);
}

static void policy(struct m_unit *m, struct params *ps)
{
	static const char *const names[] = { "never", "on-failure", "always" };

	m->restart = (enum restart_policy)below(3);
	m->limit = below(4);
	m->delay = below(3) * 50;
	m->backoff = 1 + below(200);
	m->max_delay = 1 + below(2000);
	m->reset = 1 + below(5000);
	m->fail_keep = 1 + below(3000);
	m->wait = below(3) ? 0 : 1 + below(4000);
	m->start = 1 + below(3000);
	m->stop = 1 + below(3000);
	params_set(ps, "run", "x");
	params_set(ps, "restart", names[m->restart]);
	set_number(ps, "restart-limit", m->limit, "");
	set_number(ps, "restart-delay", m->delay, "ms");
	set_number(ps, "restart-backoff", m->backoff, "ms");
	set_number(ps, "restart-max-delay", m->max_delay, "ms");
	set_number(ps, "restart-reset", m->reset, "ms");
	set_number(ps, "fail-keep", m->fail_keep, "ms");
	set_number(ps, "wait-timeout", m->wait, "ms");
	set_number(ps, "start-timeout", m->start, "ms");
	set_number(ps, "stop-timeout", m->stop, "ms");
}

/* Dependencies only on units with a smaller number: no cycle. Conflicts go both ways. */
static void define(unsigned i)
{
	static const char *const keys[] = { "needs", "binds-to", "after", "conflicts" };
	_cleanup_params_ struct params ps = PARAMS_INIT;
	struct m_unit *m = &w.m[i];
	struct error *err = NULL;

	for (unsigned d = 0; d < UNITS; d++)
		m->kind[d] = DEP_NKINDS;
	for (unsigned d = 0; d < i; d++)
		if (below(3) == 0)
			m->kind[d] = below(8) ? (enum dep_kind)below(3) : DEP_CONFLICTS;
	policy(m, &ps);
	for (unsigned k = 0; k < DEP_NKINDS; k++) {
		_cleanup_buf_ struct buf b = BUF_INIT;

		add_words(&b, i, (enum dep_kind)k);
		if (b.len)
			params_set(&ps, keys[k], b.data);
	}
	char id[8];
	snprintf(id, sizeof(id), "u%u", i);
	m->u = core_define(&w.core, id, &ps, &err);
	if (!m->u)
		fail_msg("%s", err->msg);
	assert_int_equal(m->u->index, i);
	m->defined = true;
}

/* Not while one is on its way down: it would then have dependents that it did not wait for. */
static void redefine(unsigned i)
{
	for (unsigned k = 0; k < w.n; k++)
		if (is_ending(&w.m[k]))
			return;
	note("u%u is defined anew", i);
	define(i);
	core_mark_all(&w.core);
	settle();
}

static void world_new(uint64_t seed)
{
	struct m_unit none = { 0 };

	w.rng = seed * 2654435761u + 88172645463325252u;
	w.n = 2 + below(UNITS - 1);
	w.friendly = false;
	w.traces = 0;
	core_init(&w.core, &ops, NULL);
	for (unsigned i = 0; i < w.n; i++) {
		char id[8];

		w.m[i] = none;
		snprintf(id, sizeof(id), "u%u", i);
		w.m[i].u = core_name(&w.core, id); /* indexes are numbers */
	}
	for (unsigned i = 0; i < w.n; i++)
		define(i);
	settle();
}

/* A killed pm: the next one has the same units, the states that were written, and what time-outs its owner sets anew. */
static void crash(void)
{
	struct m_unit *m;

	w.crashes++;
	note("crash");
	/* What was defined last counts: rebuild from the parameters. */
	struct params ps[UNITS] = { { NULL, 0 } };
	for (unsigned i = 0; i < w.n; i++)
		params_copy(&ps[i], &w.m[i].u->params);
	core_free(&w.core);
	core_init(&w.core, &ops, NULL);
	for (unsigned i = 0; i < w.n; i++) {
		char id[8];

		snprintf(id, sizeof(id), "u%u", i);
		w.m[i].u = core_name(&w.core, id);
	}
	for (unsigned i = 0; i < w.n; i++) {
		struct error *err = NULL;
		char id[8];

		snprintf(id, sizeof(id), "u%u", i);
		w.m[i].u = core_define(&w.core, id, &ps[i], &err);
		assert_ok(w.m[i].u ? 0 : -1, err);
		params_free(&ps[i]);
		m = &w.m[i];
		core_restore(&w.core, m->u, m->state, m->up, m->retries);
		m->entered = w.now;
	}
	for (unsigned i = 0; i < w.n; i++) {
		m = &w.m[i];
		/* Some processes died while nobody looked. */
		if (m->alive && below(3) == 0 && !m->unkillable)
			m->alive = false;
		m->clean = false;
		if (!m->alive && is_active(m) && m->state != PM_SCHE_START) {
			m->inputs |= 1u << PM_EV_GONE;
			core_event(&w.core, m->u, PM_EV_GONE, "gone meanwhile");
		}
	}
	core_mark_all(&w.core);
	settle();
}

/* Steps. */

static bool refused(const struct m_unit *m, enum pm_event e)
{
	if (e == PM_EV_RELOAD)
		return m->state != PM_RUNNING;
	if (e != PM_EV_START && e != PM_EV_RESTART)
		return false;
	for (unsigned d = 0; d < w.n; d++)
		if (conflict((unsigned)(m - w.m), d) && w.m[d].up)
			return true;
	return false;
}

static void command(struct m_unit *m, enum pm_event e)
{
	bool no = refused(m, e);
	struct error *err = NULL;
	int r;

	note("%llu command %s u%u", (unsigned long long)w.now, pm_event_name(e), (unsigned)(m - w.m));
	m->inputs |= 1u << e;
	if (!no && (e == PM_EV_START || e == PM_EV_RESTART || e == PM_EV_RESET))
		m->retries = 0;
	r = core_command(&w.core, m->u, e, "command", &err);
	if ((r < 0) != no)
		wrong(m, no ? "takes a command that is to be refused" : err->msg);
	if (no && err->cls != ERR_STATE)
		wrong(m, "refuses with another class");
	error_clear(&err);
}

static void event(struct m_unit *m, enum pm_event e)
{
	m->inputs |= 1u << e;
	core_event(&w.core, m->u, e, "event");
}

/* The process ends, cleanly or not. */
static void die(struct m_unit *m, bool clean)
{
	m->alive = m->unkillable = m->killed = false;
	m->clean = m->u->clean = clean;
	event(m, m->state == PM_STARTING && below(2) ? PM_EV_UNREADY : m->state == PM_STOPPING && below(2) ? PM_EV_SYNC : PM_EV_GONE);
}

static void process_step(struct m_unit *m)
{
	if (!m->alive)
		return;
	if (m->state == PM_STARTING && !m->killed && below(4))
		event(m, PM_EV_READY);
	else if (m->killed && m->unkillable && below(4))
		return;
	else if (m->state == PM_STARTING || is_ending(m) || m->killed || below(4) == 0)
		die(m, below(3) == 0);
}

static void pass(uint64_t ms)
{
	w.now += ms;
	w.simulated += ms;
	for (unsigned i = 0; i < w.n; i++) {
		struct m_unit *m = &w.m[i];

		if (!m->due || m->due > w.now || (m->state != PM_SCHE_START && m->state != PM_STARTING && m->state != PM_STOPPING &&
			m->state != PM_FAIL && m->state != PM_STARTING_FAIL))
			continue;
		m->due = 0;
		m->inputs |= 1u << PM_EV_TIMEOUT;
		note("%llu time-out u%u", (unsigned long long)w.now, i);
		core_event(&w.core, m->u, PM_EV_TIMEOUT, "time-out");
	}
}

static void step(void)
{
	static const enum pm_event commands[] = { PM_EV_START, PM_EV_START, PM_EV_START, PM_EV_STOP, PM_EV_RESTART, PM_EV_RELOAD,
		PM_EV_RESET };
	struct m_unit *m = &w.m[below(w.n)];

	w.steps++;
	switch (below(12)) {
	case 0:
	case 1:
	case 2:
		command(m, commands[below(ARRAY_SIZE(commands))]);
		break;
	case 3:
		m->no_launch = below(4) == 0 && m->state != PM_STARTING;
		break;
	case 4:
	case 5:
		pass(1 + below(below(4) ? 200 : 5000));
		break;
	default:
		process_step(m);
		break;
	}
	if (below(4)) /* else the next step is of the same batch */
		settle();
}

/* Processes do what is asked of them, and nobody commands any more: all goals are reached in bounded time. */
static void friendly_end(void)
{
	settle();
	w.friendly = true;
	for (unsigned i = 0; i < w.n; i++)
		w.m[i].unkillable = w.m[i].no_launch = false;
	for (int turn = 0; turn < 400; turn++) {
		for (unsigned i = 0; i < w.n; i++) {
			struct m_unit *m = &w.m[i];

			if (m->alive && (is_ending(m) || m->killed))
				die(m, true);
			else if (m->alive && m->state == PM_STARTING)
				event(m, PM_EV_READY);
			settle();
		}
		pass(100);
		settle();
	}
	for (unsigned i = 0; i < w.n; i++)
		if (w.m[i].state != (w.m[i].up ? PM_RUNNING : PM_STOPPED))
			wrong(&w.m[i], "does not reach its goal although nothing is in its way");
}

static uint64_t from_env(const char *name, uint64_t fallback)
{
	const char *s = getenv(name);

	return s ? strtoull(s, NULL, 10) : fallback;
}

static void random_worlds(void **state)
{
	uint64_t seed = from_env("PM_MODEL_SEED", 1), limit = from_env("PM_MODEL_STEPS", 2000000);

	memset(&w, 0, sizeof(w));
	w.now = 1000;
	for (; w.steps < limit; seed++) {
		world_new(seed);
		note("seed %llu", (unsigned long long)seed);
		for (int i = 0; i < WORLD_STEPS; i++) {
			step();
			if (below(500) == 0) {
				settle();
				crash();
			}
			if (below(300) == 0) {
				settle();
				redefine(below(w.n));
			}
		}
		friendly_end();
		core_free(&w.core);
	}
	/* A model that saw nothing proves nothing. */
	assert_true(w.transitions > w.steps / 4);
	assert_true(w.launches > w.steps / 40);
	assert_true(limit < 100000 || w.crashes > 100);
	print_message("# %llu steps, %llu transitions, %llu starts, %llu crashes, %llu h of their time\n", (unsigned long long)w.steps,
		(unsigned long long)w.transitions, (unsigned long long)w.launches, (unsigned long long)w.crashes,
		(unsigned long long)(w.simulated / 3600000));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_worlds),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
