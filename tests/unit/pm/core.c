/* SPDX-License-Identifier: Apache-2.0 */
/* The state machine: each cell, then what follows between units. */
#include "fake.h"

/* The table of the specification and its additions, written out a second time by hand. NO: the event means nothing there. */
#define NO -1
static const int want[PM_NSTATES][PM_NEVENTS] = {
	/* in the order of PM_EVENTS: START STOP RESTART RELOAD RESET DEPS_OK DEP_FAIL NEED_LOST READY UNREADY GONE TIMEOUT DEPS_QUIT SYNC */
	[PM_STOPPED] = { PM_SCHE_START, PM_STOPPED, PM_SCHE_START, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO },
	[PM_SCHE_START] = { PM_SCHE_START, PM_STOPPED, PM_SCHE_START, NO, NO, PM_STARTING, PM_STOPPED, NO, NO, NO, NO, PM_STOPPED,
		NO, NO },
	[PM_STARTING] = { PM_STARTING, PM_SCHE_STOP, PM_SCHE_STOP, NO, NO, NO, NO, PM_SCHE_STOP, PM_RUNNING, PM_STARTING_FAIL,
		PM_STARTING_FAIL, PM_STARTING, NO, NO },
	[PM_RUNNING] = { PM_RUNNING, PM_SCHE_STOP, PM_SCHE_STOP, PM_RUNNING, NO, NO, NO, PM_SCHE_STOP, NO, NO, PM_FAIL, NO, NO, NO },
	[PM_STARTING_FAIL] = { PM_STOPPED, PM_STOPPED, PM_STOPPED, NO, PM_STOPPED, NO, NO, NO, NO, NO, NO, PM_STOPPED, NO, NO },
	[PM_SCHE_STOP] = { PM_SCHE_STOP, PM_SCHE_STOP, PM_SCHE_STOP, NO, NO, NO, NO, NO, NO, NO, PM_SCHE_STOP, NO, PM_STOPPING, NO },
	[PM_STOPPING] = { PM_STOPPING, PM_STOPPING, PM_STOPPING, NO, NO, NO, NO, NO, NO, NO, PM_STOPPED, PM_STOPPING, NO, PM_STOPPED },
	[PM_FAIL] = { PM_STOPPED, PM_STOPPED, PM_STOPPED, NO, PM_STOPPED, NO, NO, NO, NO, NO, NO, PM_STOPPED, NO, NO },
};

static void every_transition(void **state)
{
	for (int s = 0; s < PM_NSTATES; s++) {
		for (int e = 0; e < PM_NEVENTS; e++) {
			struct fake f;
			struct unit *u;
			bool known;

			fake_init(&f);
			u = fake_unit(&f, "u", NULL, NULL);
			core_restore(&f.core, u, (enum pm_state)s, true, 0);
			f.exists[u->index] = s == PM_STARTING || s == PM_RUNNING || s == PM_SCHE_STOP || s == PM_STOPPING;
			known = core_event(&f.core, u, (enum pm_event)e, "test");
			if (known != (want[s][e] != NO) || u->state != (known ? want[s][e] : s))
				fail_msg("%s + %s: %s", pm_state_name(s), pm_event_name(e), pm_state_name(u->state));
			assert_int_equal(f.core.count[u->state], 1);
			fake_free(&f);
		}
	}
}

static void start_and_stop_in_order(void **state)
{
	struct fake f;
	struct unit *a, *b;

	fake_init(&f);
	b = fake_unit(&f, "b", "needs=a", NULL); /* before a exists */
	a = fake_unit(&f, "a", NULL, NULL);
	fake_command(&f, b, PM_EV_START);
	fake_saw(&f, "b:SCHE_START a:SCHE_START a:STARTING ");
	fake_event(&f, a, PM_EV_READY);
	fake_saw(&f, "a:RUNNING b:STARTING ");
	fake_event(&f, b, PM_EV_READY);
	fake_saw(&f, "b:RUNNING ");
	fake_command(&f, a, PM_EV_STOP);
	fake_saw(&f, "a:SCHE_STOP b:SCHE_STOP b:STOPPING ");
	fake_event(&f, b, PM_EV_GONE);
	fake_saw(&f, "b:STOPPED a:STOPPING ");
	fake_event(&f, a, PM_EV_GONE);
	fake_saw(&f, "a:STOPPED ");
	assert_false(a->up || b->up);
	fake_free(&f);
}

static void restart_takes_dependents_along(void **state)
{
	struct fake f;
	struct unit *a, *b;

	fake_init(&f);
	a = fake_unit(&f, "a", NULL, NULL);
	b = fake_unit(&f, "b", "needs=a", NULL);
	fake_command(&f, b, PM_EV_START);
	fake_event(&f, a, PM_EV_READY);
	fake_event(&f, b, PM_EV_READY);
	buf_clear(&f.seen);
	fake_command(&f, a, PM_EV_RESTART);
	fake_event(&f, b, PM_EV_GONE);
	fake_event(&f, a, PM_EV_GONE);
	fake_event(&f, a, PM_EV_READY);
	fake_event(&f, b, PM_EV_READY);
	fake_saw(&f, "a:SCHE_STOP b:SCHE_STOP b:STOPPING b:STOPPED b:SCHE_START a:STOPPING a:STOPPED a:SCHE_START a:STARTING "
		     "a:RUNNING b:STARTING b:RUNNING ");
	fake_free(&f);
}

/* needs stays when its need merely fails; binds-to goes and comes back with it. */
static void needs_and_binds(void **state)
{
	struct fake f;
	struct unit *a, *n, *b;

	fake_init(&f);
	a = fake_unit(&f, "a", "restart=always", "restart-delay=5s");
	n = fake_unit(&f, "n", "needs=a", NULL);
	b = fake_unit(&f, "b", "binds-to=a", NULL);
	fake_command(&f, n, PM_EV_START);
	fake_command(&f, b, PM_EV_START);
	fake_event(&f, a, PM_EV_READY);
	fake_event(&f, n, PM_EV_READY);
	fake_event(&f, b, PM_EV_READY);
	buf_clear(&f.seen);
	fake_event(&f, a, PM_EV_GONE);
	fake_saw(&f, "a:FAIL b:SCHE_STOP b:STOPPING ");
	fake_event(&f, b, PM_EV_GONE);
	fake_saw(&f, "b:STOPPED b:SCHE_START ");
	assert_int_equal(f.due[a->index], f.now + 5000);
	fake_event(&f, a, PM_EV_TIMEOUT);
	fake_saw(&f, "a:STOPPED a:SCHE_START a:STARTING ");
	fake_event(&f, a, PM_EV_READY);
	fake_saw(&f, "a:RUNNING b:STARTING ");
	assert_int_equal(n->state, PM_RUNNING);
	fake_free(&f);
}

static void dependency_that_cannot_be(void **state)
{
	struct fake f;
	struct unit *b, *d, *a;

	fake_init(&f);
	b = fake_unit(&f, "b", "needs=ghost", NULL);
	fake_command(&f, b, PM_EV_START);
	fake_saw(&f, "b:SCHE_START b:STOPPED ");
	assert_false(b->up);
	a = fake_unit(&f, "a", NULL, NULL);
	d = fake_unit(&f, "d", "needs=a", NULL);
	fake_command(&f, d, PM_EV_START);
	f.exists[a->index] = false;
	fake_event(&f, a, PM_EV_GONE); /* no restart policy: given up */
	fake_saw(&f, "d:SCHE_START a:SCHE_START a:STARTING a:STARTING_FAIL d:STOPPED ");
	assert_false(d->up);
	fake_free(&f);
}

static void start_is_remembered(void **state)
{
	struct fake f;
	struct unit *a;

	fake_init(&f);
	a = fake_unit(&f, "a", NULL, NULL);
	fake_command(&f, a, PM_EV_START);
	fake_command(&f, a, PM_EV_STOP); /* in STARTING */
	fake_saw(&f, "a:SCHE_START a:STARTING a:SCHE_STOP a:STOPPING ");
	fake_command(&f, a, PM_EV_START);
	fake_event(&f, a, PM_EV_GONE);
	fake_saw(&f, "a:STOPPED a:SCHE_START a:STARTING ");
	fake_free(&f);
}

static void back_off_and_limit(void **state)
{
	static const uint32_t delays[] = { 10, 100, 200, 300 };
	struct fake f;
	struct unit *a;

	fake_init(&f);
	a = fake_unit(&f, "a", "restart=on-failure", "restart-limit=4");
	a->delay = 10;
	a->max_delay = 300;
	fake_command(&f, a, PM_EV_START);
	fake_event(&f, a, PM_EV_READY);
	for (int i = 0; i < 4; i++) {
		fake_event(&f, a, PM_EV_GONE);
		assert_int_equal(a->state, PM_FAIL);
		assert_int_equal(f.due[a->index], f.now + delays[i]);
		fake_event(&f, a, PM_EV_TIMEOUT);
		fake_event(&f, a, PM_EV_READY);
		assert_int_equal(a->state, PM_RUNNING);
	}
	fake_event(&f, a, PM_EV_GONE);
	assert_int_equal(a->state, PM_FAIL);
	assert_false(a->up);
	assert_int_equal(f.due[a->index], 0);
	fake_command(&f, a, PM_EV_RESET);
	assert_int_equal(a->state, PM_STOPPED);
	/* A long run ends the row. */
	fake_command(&f, a, PM_EV_START);
	a->retries = 4;
	fake_event(&f, a, PM_EV_READY);
	f.now += 10000;
	fake_event(&f, a, PM_EV_GONE);
	assert_int_equal(a->retries, 1);
	/* on-failure does not restart what ended well. */
	fake_event(&f, a, PM_EV_TIMEOUT);
	fake_event(&f, a, PM_EV_READY);
	a->clean = true;
	fake_event(&f, a, PM_EV_GONE);
	assert_int_equal(a->state, PM_STOPPED);
	fake_free(&f);
}

static void time_outs_kill_first(void **state)
{
	struct fake f;
	struct unit *a;

	fake_init(&f);
	a = fake_unit(&f, "a", "start-timeout=2s", "stop-timeout=3s");
	fake_command(&f, a, PM_EV_START);
	assert_int_equal(f.due[a->index], f.now + 2000);
	fake_event(&f, a, PM_EV_TIMEOUT);
	assert_int_equal(a->state, PM_STARTING); /* the process is still there */
	assert_true(a->forced);
	fake_event(&f, a, PM_EV_GONE);
	assert_int_equal(a->state, PM_STARTING_FAIL);
	fake_command(&f, a, PM_EV_START);
	fake_event(&f, a, PM_EV_READY);
	fake_command(&f, a, PM_EV_STOP);
	assert_int_equal(f.due[a->index], f.now + 3000);
	fake_event(&f, a, PM_EV_TIMEOUT);
	assert_int_equal(a->state, PM_STOPPING);
	assert_true(a->forced);
	fake_event(&f, a, PM_EV_GONE);
	assert_int_equal(a->state, PM_STOPPED);
	fake_free(&f);
}

static void conflicts(void **state)
{
	struct fake f;
	struct error *e = NULL;
	struct unit *a, *b, *c;

	fake_init(&f);
	a = fake_unit(&f, "a", "conflicts=b", NULL);
	b = fake_unit(&f, "b", NULL, NULL);
	c = fake_unit(&f, "c", "needs=a", NULL);
	fake_command(&f, b, PM_EV_START);
	fake_event(&f, b, PM_EV_READY);
	assert_err(core_command(&f.core, a, PM_EV_START, "command", &e), e, ERR_STATE, "conflicts with b, which is RUNNING");
	buf_clear(&f.seen);
	fake_command(&f, c, PM_EV_START);
	fake_saw(&f, "c:SCHE_START a:SCHE_START a:STOPPED c:STOPPED ");
	/* Told to stop but not gone: the other waits. */
	fake_command(&f, b, PM_EV_STOP);
	fake_command(&f, a, PM_EV_START);
	assert_int_equal(a->state, PM_SCHE_START);
	assert_err(core_command(&f.core, b, PM_EV_START, "command", &e), e, ERR_STATE, "conflicts with a");
	fake_event(&f, b, PM_EV_GONE);
	assert_int_equal(a->state, PM_STARTING);
	fake_free(&f);
}

static struct unit *set_up(struct fake *f, const char *id, const char *type, const char *a, const char *b)
{
	_cleanup_params_ struct params ps = PARAMS_INIT;
	struct error *e = NULL;
	const char *const words[] = { type, "start=x", a, b };

	for (size_t i = 0; i < ARRAY_SIZE(words) && words[i]; i++)
		assert_ok(params_assign(&ps, words[i], &e), e);
	assert_ok(core_define(&f->core, id, &ps, &e) ? 0 : -1, e);
	return core_find(&f->core, id);
}

/* Set-up units of one name in one root, without being told. */
static void one_set_up_at_a_time(void **state)
{
	struct fake f;
	struct error *e = NULL;
	struct unit *a, *b;
	static const char *const other[] = { "app-v2!setup@cfg@r", "app-v2!setup@s", "app-doc-2.0!setup@r", "app-v2!install@r" };

	fake_init(&f);
	a = set_up(&f, "app-v1.0!setup@r", "type=setup", NULL, NULL);
	b = set_up(&f, "app-v2.0!setup@r", "type=setup", NULL, NULL);
	for (size_t i = 0; i < ARRAY_SIZE(other); i++)
		set_up(&f, other[i], strstr(other[i], "install") ? "type=install" : "type=setup", NULL, NULL);
	fake_command(&f, a, PM_EV_START);
	fake_event(&f, a, PM_EV_READY);
	assert_err(core_command(&f.core, b, PM_EV_START, "command", &e), e, ERR_STATE, "conflicts with app-v1.0!setup@r, which is RUNNING");
	assert_err(core_command(&f.core, core_find(&f.core, "set-up of app in r"), PM_EV_START, "command", &e), e, ERR_NOT_FOUND, "no such");
	for (size_t i = 0; i < ARRAY_SIZE(other); i++) {
		fake_command(&f, core_find(&f.core, other[i]), PM_EV_START);
		assert_int_equal(core_find(&f.core, other[i])->state, PM_STARTING);
	}
	/* The first is on its way out: the second waits for the place. */
	fake_command(&f, a, PM_EV_STOP);
	fake_command(&f, b, PM_EV_START);
	assert_int_equal(b->state, PM_SCHE_START);
	fake_event(&f, a, PM_EV_GONE);
	assert_int_equal(b->state, PM_STARTING);
	fake_event(&f, b, PM_EV_READY);
	/* By the keys, whatever the units are called; no longer when the root is another one. */
	set_up(&f, "x", "type=setup", "name=app", "root=/r");
	set_up(&f, "y", "type=setup", "name=app", "root=/r");
	fake_command(&f, core_find(&f.core, "x"), PM_EV_START);
	assert_err(core_command(&f.core, core_find(&f.core, "y"), PM_EV_START, "command", &e), e, ERR_STATE, "conflicts with x");
	set_up(&f, "y", "type=setup", "name=app", "root=/s");
	fake_command(&f, core_find(&f.core, "y"), PM_EV_START);
	assert_int_equal(core_find(&f.core, "y")->state, PM_STARTING);
	fake_free(&f);
}

static void cycles(void **state)
{
	struct fake f;
	struct error *e = NULL;
	struct unit *a, *c;

	fake_init(&f);
	fake_unit(&f, "a", "needs=b", NULL);
	fake_unit(&f, "b", "after=c", NULL);
	assert_err(fake_try(&f, "c", &e, "binds-to=a", NULL), e, ERR_USAGE, "c -> a -> b -> c");
	assert_err(fake_try(&f, "a", &e, "needs=b a", NULL), e, ERR_USAGE, "a -> a");
	/* Nothing has changed: c is still only a name, a still needs b alone. */
	c = core_find(&f.core, "c");
	a = core_find(&f.core, "a");
	assert_false(c->defined);
	assert_int_equal(c->ndeps, 0);
	assert_int_equal(a->ndeps, 1);
	fake_unit(&f, "c", NULL, NULL);
	assert_err(fake_try(&f, "c", &e, "needs=x y a z", NULL), e, ERR_USAGE, "c -> a -> b -> c");
	assert_null(core_find(&f.core, "x"));
	assert_null(core_find(&f.core, "z"));
	/* Turned round: first the old edge goes. */
	fake_unit(&f, "b", NULL, NULL);
	fake_unit(&f, "c", "needs=a", NULL);
	assert_true(core_find(&f.core, "b")->order < a->order && a->order < c->order);
	fake_free(&f);
}

/* Any order of lines gives an order that fits, and removing leaves nothing behind. */
static void order_holds(void **state)
{
	struct error *e = NULL;
	uint32_t seed = 1;

	for (int round = 0; round < 50; round++) {
		char id[8], needs[64];
		struct fake f;

		fake_init(&f);
		for (int i = 0; i < 40; i++) {
			int me, other;

			seed = seed * 1103515245 + 12345;
			me = (int)(seed >> 16) % 40;
			seed = seed * 1103515245 + 12345;
			other = (int)(seed >> 16) % 40;
			snprintf(id, sizeof(id), "u%d", me);
			snprintf(needs, sizeof(needs), "needs=u%d u%d", other, (other * 7 + me) % 40);
			if (fake_try(&f, id, &e, needs, NULL) < 0) {
				assert_non_null(strstr(e->msg, " -> "));
				error_clear(&e);
			}
			for (uint32_t k = 0; k < f.core.nunits; k++) {
				struct unit *u = f.core.units[k];

				for (uint32_t d = 0; u && d < u->ndeps; d++)
					assert_true(f.core.units[DEP_UNIT(u->deps[d])]->order < u->order);
			}
		}
		for (uint32_t k = 0; k < f.core.nunits; k++) {
			struct unit *u = f.core.units[k];

			if (u && u->defined)
				assert_ok(core_remove(&f.core, u, &e), e);
		}
		assert_int_equal(f.core.live, 0);
		assert_int_equal(f.core.used_slots, 0);
		fake_free(&f);
	}
}

static void wrong_units(void **state)
{
	struct fake f;
	struct error *e = NULL;

	fake_init(&f);
	assert_err(fake_try(&f, "a", &e, "rnu=x", NULL), e, ERR_USAGE, "'rnu': no such key");
	assert_err(fake_try(&f, "a", &e, "type=timer", NULL), e, ERR_USAGE, "a unit of type timer needs the key 'every'");
	assert_err(fake_try(&f, "a", &e, "restart=sometimes", NULL), e, ERR_USAGE, "'sometimes' is not a value");
	assert_err(fake_try(&f, "a", &e, "ready=port:0", NULL), e, ERR_USAGE, "ready: port");
	assert_err(fake_try(&f, "a", &e, "stop-signal=NOPE", NULL), e, ERR_USAGE, "'NOPE' is not a signal");
	assert_err(fake_try(&f, "a", &e, "run='x", NULL), e, ERR_USAGE, "no closing '");
	assert_err(fake_try(&f, "a b", &e, NULL, NULL), e, ERR_USAGE, "no blanks");
	assert_err(fake_try(&f, "", &e, NULL, NULL), e, ERR_USAGE, "is empty");
	assert_int_equal(f.core.used_slots, 0);
	fake_free(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_transition),
		cmocka_unit_test(start_and_stop_in_order),
		cmocka_unit_test(restart_takes_dependents_along),
		cmocka_unit_test(needs_and_binds),
		cmocka_unit_test(dependency_that_cannot_be),
		cmocka_unit_test(start_is_remembered),
		cmocka_unit_test(back_off_and_limit),
		cmocka_unit_test(time_outs_kill_first),
		cmocka_unit_test(conflicts),
		cmocka_unit_test(one_set_up_at_a_time),
		cmocka_unit_test(cycles),
		cmocka_unit_test(order_holds),
		cmocka_unit_test(wrong_units),
	};

	return cmocka_run_group_tests_name("pm/core", tests, NULL, NULL);
}
