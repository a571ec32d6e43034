/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Units of any parameters, defined, redefined, removed, started and stopped in any order: each line is a command as pm takes it. After
 * each the graph must be whole: in order, every edge on both sides.
 */
#include "base/cleanup.h"
#include "pm/core.h"
#include "pm/stream.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static int launch(void *ctx, struct unit *u, char why[160])
{
	strcpy(why, "not here");
	return u->hash % 3 == 0 ? -1 : 1;
}
static bool nothing(void *ctx, struct unit *u)
{
	return false;
}
static void ignore(void *ctx, struct unit *u)
{
}
static void arm(void *ctx, struct unit *u, uint32_t ms)
{
}
static void changed(void *ctx, struct unit *u, enum pm_state from, const char *reason)
{
	if (!reason || u->state >= PM_NSTATES)
		abort();
}
static uint64_t now(void *ctx)
{
	return 1;
}
static const struct core_ops ops = { launch, nothing, nothing, ignore, arm, changed, now };

static bool has(const uint32_t *list, uint32_t n, uint32_t edge)
{
	for (uint32_t i = 0; i < n; i++)
		if (list[i] == edge)
			return true;
	return false;
}

static void check(const struct core *c)
{
	for (uint32_t i = 0; i < c->nunits; i++) {
		const struct unit *u = c->units[i];

		for (uint32_t k = 0; u && k < u->ndeps; k++) {
			const struct unit *on = c->units[DEP_UNIT(u->deps[k])];

			if (!on || !has(on->rdeps, on->nrdeps, (u->deps[k] & ~0x0fffffffu) | u->index) ||
				(DEP_KIND(u->deps[k]) != DEP_CONFLICTS && on->order >= u->order))
				abort();
		}
		if (u && core_find(c, u->id) != u)
			abort();
	}
}

static int define(struct core *c, const struct strv *words, struct error **err)
{
	struct params ps = PARAMS_INIT;
	int rc = 0;

	for (size_t i = 2; i < words->len && rc == 0; i++)
		rc = params_assign(&ps, words->v[i], err);
	if (rc == 0)
		rc = core_define(c, words->v[1], &ps, err) ? 0 : -1;
	params_free(&ps);
	return rc;
}

static void command(struct core *c, const struct strv *words)
{
	static const struct {
		const char *name;
		enum pm_event event;
	} events[] = { { "start", PM_EV_START }, { "stop", PM_EV_STOP }, { "restart", PM_EV_RESTART }, { "reset-failed", PM_EV_RESET } };
	struct error *e = NULL;
	struct unit *u;

	if (words->len < 2)
		return;
	u = core_find(c, words->v[1]);
	if (!strcmp(words->v[0], "unit"))
		define(c, words, &e);
	else if (u && !strcmp(words->v[0], "remove"))
		core_remove(c, u, &e);
	else
		for (size_t i = 0; u && !e && i < ARRAY_SIZE(events); i++)
			if (!strcmp(words->v[0], events[i].name))
				core_command(c, u, events[i].event, "asked", &e);
	error_clear(&e);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	const char *at = (const char *)p, *end = at + n;
	struct core c;

	core_init(&c, &ops, NULL);
	for (int lines = 0; at < end && lines < 200; lines++) {
		const char *nl = memchr(at, '\n', (size_t)(end - at));
		size_t len = (size_t)((nl ? nl : end) - at);
		_cleanup_strv_ struct strv words = STRV_INIT;
		struct error *e = NULL;

		if (stream_split(at, len, &words, &e) == 0)
			command(&c, &words);
		error_clear(&e);
		core_settle(&c);
		check(&c);
		at += len + 1;
	}
	core_free(&c);
	return 0;
}
