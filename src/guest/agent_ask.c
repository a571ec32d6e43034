/* SPDX-License-Identifier: Apache-2.0 */
/* Short questions: facts, network, clock, power. */
#include "call.h"

#include "base/cleanup.h"
#include "base/mem.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#define ANSWER_MAX (1u << 20)

static int collect(struct call *c, int channel, const uint8_t *p, size_t n, struct error **err)
{
	struct buf *b = c->arg;

	if (b->len + n > ANSWER_MAX)
		return error_set(err, ERR_FAILED, "%s: answer longer than 1 MiB", c->what);
	buf_add(b, p, n);
	call_credit(c, n);
	return 0;
}

static int ask(struct agent *a, enum frame_kind kind, const char *what, const struct buf *items,
	int timeout_ms, struct buf *answer, struct error **err)
{
	struct call c = { .a = a, .what = what, .on_data = collect, .arg = answer };
	int r = call_begin(&c, kind, items, timeout_ms, err);

	if (r < 0)
		return -1;
	r = call_finish(&c, err);
	call_end(&c);
	return r;
}

char *agent_facts(struct agent *a, int timeout_ms, struct error **err)
{
	_cleanup_buf_ struct buf items = BUF_INIT, answer = BUF_INIT;

	buf_str(&answer);
	if (ask(a, FRAME_FACTS, "facts", &items, timeout_ms, &answer, err) < 0)
		return NULL;
	return buf_steal(&answer);
}

int agent_network(struct agent *a, const struct agent_net *n, int timeout_ms, struct error **err)
{
	_cleanup_buf_ struct buf items = BUF_INIT, answer = BUF_INIT;

	item_str(&items, FRAME_K_MAC, n->mac);
	item_str(&items, FRAME_K_ADDRESS, n->address);
	item_str(&items, FRAME_K_GATEWAY, n->gateway);
	item_str(&items, FRAME_K_DNS, n->dns);
	item_str(&items, FRAME_K_HOSTNAME, n->hostname);
	return ask(a, FRAME_NET, "network", &items, timeout_ms, &answer, err);
}

int agent_set_clock(struct agent *a, int timeout_ms, struct error **err)
{
	_cleanup_buf_ struct buf items = BUF_INIT, answer = BUF_INIT;
	struct timespec now;
	char text[48];

	clock_gettime(CLOCK_REALTIME, &now);
	snprintf(text, sizeof(text), "%lld.%09ld", (long long)now.tv_sec, now.tv_nsec);
	item_str(&items, FRAME_K_TIME, text);
	return ask(a, FRAME_CLOCK, "clock", &items, timeout_ms, &answer, err);
}

struct agent_freeze {
	struct call c;
	struct buf none;
};

struct agent_freeze *agent_freeze(struct agent *a, int timeout_ms, struct error **err)
{
	struct agent_freeze *f = xcalloc(1, sizeof(*f));
	uint64_t credit;

	f->c = (struct call){ .a = a, .what = "freeze", .on_data = collect, .arg = &f->none };
	buf_str(&f->none);
	if (call_begin(&f->c, FRAME_FREEZE, &f->none, timeout_ms, err) < 0) {
		free(f);
		return NULL;
	}
	credit = f->c.credit;
	while (f->c.credit == credit && !f->c.over)
		if (call_turn(&f->c, NULL, 0, true, err) < 0)
			break;
	if (!*err)
		return f;
	call_end(&f->c);
	buf_free(&f->none);
	free(f);
	return NULL;
}

int agent_thaw(struct agent_freeze *f, struct error **err)
{
	int rc = 0;

	if (!f)
		return 0;
	call_send(&f->c, FRAME_EOF, 0, NULL, 0);
	rc = call_finish(&f->c, err);
	call_end(&f->c);
	buf_free(&f->none);
	free(f);
	return rc;
}

int agent_power(struct agent *a, enum agent_power what, int timeout_ms, struct error **err)
{
	_cleanup_buf_ struct buf items = BUF_INIT, answer = BUF_INIT;

	item_str(&items, FRAME_K_NAME, what == AGENT_REBOOT ? "reboot" : "poweroff");
	return ask(a, FRAME_POWER, "power", &items, timeout_ms, &answer, err);
}
