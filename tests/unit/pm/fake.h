/* SPDX-License-Identifier: Apache-2.0 */
/* A world for the core: processes are flags, time is a number, what happened is a string. */
#ifndef CROFT_TESTS_PM_FAKE_H
#define CROFT_TESTS_PM_FAKE_H

#include "../test.h"
#include "base/buf.h"
#include "pm/core.h"

struct fake {
	struct core core;
	struct buf seen; /* "ID:STATE " for each transition */
	uint64_t now;
	uint64_t due[64]; /* by index of the unit; 0: no time-out */
	bool exists[64];  /* a process */
	bool slow;	  /* launch does not make it ready at once */
	bool refuse;	  /* launch fails */
};

static int fake_launch(void *ctx, struct unit *u, char why[160])
{
	struct fake *f = ctx;

	if (f->refuse) {
		snprintf(why, 160, "no");
		return -1;
	}
	f->exists[u->index] = true;
	return 0;
}
static bool fake_exists(void *ctx, struct unit *u)
{
	return ((struct fake *)ctx)->exists[u->index];
}
static void fake_reload(void *ctx, struct unit *u)
{
	buf_addf(&((struct fake *)ctx)->seen, "%s:reload ", u->id);
}
static void fake_arm(void *ctx, struct unit *u, uint32_t ms)
{
	struct fake *f = ctx;

	f->due[u->index] = ms ? f->now + ms : 0;
}
static void fake_changed(void *ctx, struct unit *u, enum pm_state from, const char *reason)
{
	struct fake *f = ctx;

	assert_non_null(reason);
	if (from != u->state)
		buf_addf(&f->seen, "%s:%s ", u->id, pm_state_name(u->state));
}
static uint64_t fake_now(void *ctx)
{
	return ((struct fake *)ctx)->now;
}
static const struct core_ops fake_ops = {
	.launch = fake_launch,
	.halt = fake_exists,
	.force = fake_exists,
	.reload = fake_reload,
	.arm = fake_arm,
	.changed = fake_changed,
	.now = fake_now,
};

static inline void fake_init(struct fake *f)
{
	*f = (struct fake){ .now = 1000 };
	core_init(&f->core, &fake_ops, f);
}
static inline void fake_free(struct fake *f)
{
	core_free(&f->core);
	buf_free(&f->seen);
}
/* "run=x" is added. */
static inline int fake_try(struct fake *f, const char *id, struct error **err, const char *a, const char *b)
{
	_cleanup_params_ struct params ps = PARAMS_INIT;

	if (params_assign(&ps, "run=x", err) < 0 || (a && params_assign(&ps, a, err) < 0) ||
		(b && params_assign(&ps, b, err) < 0))
		return -1;
	return core_define(&f->core, id, &ps, err) ? 0 : -1;
}
static inline struct unit *fake_unit(struct fake *f, const char *id, const char *a, const char *b)
{
	struct error *e = NULL;

	assert_ok(fake_try(f, id, &e, a, b), e);
	assert_true(core_find(&f->core, id)->index < 64);
	return core_find(&f->core, id);
}
static inline void fake_command(struct fake *f, struct unit *u, enum pm_event ev)
{
	struct error *e = NULL;

	assert_ok(core_command(&f->core, u, ev, "command", &e), e);
	core_settle(&f->core);
}
static inline void fake_event(struct fake *f, struct unit *u, enum pm_event ev)
{
	if (ev == PM_EV_GONE || ev == PM_EV_SYNC || ev == PM_EV_UNREADY)
		f->exists[u->index] = false;
	core_event(&f->core, u, ev, "event");
	core_settle(&f->core);
}
/* Compares what happened since the last time. */
static inline void fake_saw(struct fake *f, const char *want)
{
	assert_string_equal(buf_str(&f->seen), want);
	buf_clear(&f->seen);
}

#endif
