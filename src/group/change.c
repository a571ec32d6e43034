/* SPDX-License-Identifier: Apache-2.0 */
#include "change.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/units.h"

#include <inttypes.h>
#include <string.h>

#define NOW "now"
#define NEXT_START "at its next start"
#define MADE_AGAIN "when it is made again"
#define PRUNED "with --prune"

static const char *const words[] = {
	[CHANGE_CREATE] = "create",
	[CHANGE_START] = "start",
	[CHANGE_SET] = "change",
	[CHANGE_NICS] = "change",
	[CHANGE_REMAKE] = "keep",
	[CHANGE_COMMANDS] = "run",
	[CHANGE_REMOVE] = "remove",
	[CHANGE_NETWORK] = "network",
	[CHANGE_INSTALL] = "install",
	[CHANGE_RUN] = "start",
	[CHANGE_UNINSTALL] = "uninstall",
};

const char *change_word(enum change_kind kind)
{
	return words[kind];
}

void changes_clear(struct changes *c)
{
	for (size_t i = 0; i < c->n; i++) {
		free(c->v[i].app);
		free(c->v[i].what);
		free(c->v[i].set);
	}
	free(c->v);
	*c = (struct changes){ 0 };
}

struct change *changes_add(struct changes *c, enum change_kind kind, const struct group_node *n, const char *when, char *what)
{
	if ((c->n & (c->n - 1)) == 0)
		c->v = xreallocarray(c->v, c->n ? 2 * c->n : 1, sizeof(*c->v));
	c->v[c->n] = (struct change){ .kind = kind, .node = n, .when = when, .what = what };
	return &c->v[c->n++];
}

static bool runs(const struct machine *m)
{
	enum machine_state s = machine_state(m);

	return s != MACHINE_STOPPED && s != MACHINE_CRASHED;
}

static uint64_t cpus_of(const struct machine_def *d)
{
	return (uint64_t)d->sockets * d->cores * d->threads;
}

static void compare_cpus(const struct group_node *n, const struct machine *m, bool running, struct changes *ret)
{
	uint64_t have = cpus_of(&m->def);
	struct change *c;

	if (!n->has_cpu || have == n->cpu)
		return;
	c = changes_add(ret, CHANGE_SET, n, running && (n->cpu < have || n->cpu > m->def.max_cpus) ? NEXT_START : NOW,
		xasprintf("cpu %" PRIu64 " -> %" PRIu64, have, n->cpu));
	c->set = xasprintf("cpus=%" PRIu64, n->cpu);
}

/* As machine_set does it: less by the balloon, more where max_memory left room. */
static void compare_memory(const struct group_node *n, const struct machine *m, bool running, struct changes *ret)
{
	bool live = n->memory < m->def.memory ? m->def.balloon : n->memory <= m->def.max_memory;
	char a[16], b[16];
	struct change *c;

	if (!n->has_memory || m->def.memory == n->memory)
		return;
	c = changes_add(ret, CHANGE_SET, n, running && !live ? NEXT_START : NOW,
		xasprintf("memory %s -> %s", format_size(m->def.memory, a), format_size(n->memory, b)));
	c->set = xasprintf("memory=%" PRIu64, n->memory);
}

static bool same_text(const char *a, const char *b)
{
	return a && b ? !strcmp(a, b) : a == b;
}

static void compare_nics(const struct group_node *n, const struct machine_def *want, const struct machine *m, bool running,
	struct changes *ret)
{
	const struct machine_def *have = &m->def;
	_cleanup_strv_ struct strv what = STRV_INIT;
	size_t max = want->nnics > have->nnics ? want->nnics : have->nnics;

	for (size_t i = 0; i < max; i++) {
		const struct machine_nic *a = i < have->nnics ? &have->nics[i] : NULL, *b = i < want->nnics ? &want->nics[i] : NULL;

		if (a && b && same_text(a->address, b->address) && same_text(a->gateway, b->gateway) && same_text(a->net, b->net) && same_text(a->tap, b->tap))
			continue;
		/* Cards that somebody added by hand are theirs. */
		if (a && !b && !same_text(a->net, "group"))
			continue;
		strv_addf(&what, "%s%zu %s", b ? (a ? "card " : "+card ") : "-card ", i, b ? b->address : a->address);
	}
	if (what.len)
		changes_add(ret, CHANGE_NICS, n, running ? NEXT_START : NOW, strv_join(&what, ", "));
}

static void compare_rest(const struct group_node *n, const struct machine_def *want, const struct machine *m, struct changes *ret)
{
	const struct machine_def *have = &m->def;
	char a[16], b[16];

	if (!same_text(want->image, have->image))
		changes_add(ret, CHANGE_REMAKE, n, MADE_AGAIN,
			xasprintf("image %s -> %s", have->image ? have->image : "none", want->image ? want->image : "none"));
	else if (!same_text(want->ssh, have->ssh))
		changes_add(ret, CHANGE_REMAKE, n, MADE_AGAIN,
			xasprintf("ssh %s -> %s", have->ssh ? have->ssh : "none", want->ssh ? want->ssh : "none"));
	else if (n->has_disk && want->ndisks && have->ndisks && want->disks[0].size > have->disks[0].size && have->disks[0].size)
		changes_add(ret, CHANGE_REMAKE, n, MADE_AGAIN,
			xasprintf("disk %s -> %s", format_size(have->disks[0].size, a), format_size(want->disks[0].size, b)));
}

/* It is known by its host: another one is another machine. */
static void compare_host(const struct group_node *n, const struct machine_def *want, const struct machine *m, struct changes *ret)
{
	if (!same_text(want->host, m->def.host))
		changes_add(ret, CHANGE_REMAKE, n, MADE_AGAIN, xasprintf("host %s -> %s", m->def.host ? m->def.host : "none", want->host));
	else if (!same_text(want->ssh_key, m->def.ssh_key))
		changes_add(ret, CHANGE_REMAKE, n, MADE_AGAIN, xasprintf("ssh_key -> %s", want->ssh_key ? want->ssh_key : "none"));
}

int group_node_changes(const struct group *g, const struct group_node *n, const struct machine *m, struct changes *ret, struct error **err)
{
	bool running = runs(m);
	struct machine_def want;
	int rc = group_machine_def(g, n, &want, err);

	if (rc == 0 && n->host) {
		compare_host(n, &want, m, ret);
	} else if (rc == 0) {
		compare_cpus(n, m, running, ret);
		compare_memory(n, m, running, ret);
		compare_nics(n, &want, m, running, ret);
		compare_rest(n, &want, m, ret);
	}
	machine_def_clear(&want);
	return rc;
}

static void commands_left(const struct group_node *n, struct changes *ret)
{
	static const char *const phases[] = { "init", "instance" };

	for (size_t i = 0; i < ARRAY_SIZE(phases); i++) {
		size_t left = group_commands_left(n, phases[i]);

		if (left)
			changes_add(ret, CHANGE_COMMANDS, n, NOW, xasprintf("%zu %s_commands", left, phases[i]));
	}
}

static void create(const struct group_node *n, struct changes *ret)
{
	char a[16];

	if (n->host)
		changes_add(ret, CHANGE_CREATE, n, NOW, xasprintf("real computer %s: connect", n->host));
	else
		changes_add(ret, CHANGE_CREATE, n, NOW, xasprintf("%s, %" PRIu64 " cpu, %s, %s", n->taken ? n->taken : "image", n->cpu,
		format_size(n->memory, a), n->address));
}

int group_machine_changes(const struct group *g, struct changes *ret, struct error **err)
{
	for (size_t i = 0; i < g->nnodes; i++) {
		const struct group_node *n = &g->nodes[i];
		_cleanup_machine_ struct machine *m = NULL;

		if (n->gone) {
			changes_add(ret, CHANGE_REMOVE, n, PRUNED, xstrdup("the file names it no longer"));
			continue;
		}
		if (!group_node_exists(n)) {
			create(n, ret);
			commands_left(n, ret);
			continue;
		}
		m = machine_open(n->full, err);
		if (!m || group_node_changes(g, n, m, ret, err) < 0)
			return -1;
		if (!runs(m))
			changes_add(ret, CHANGE_START, n, NOW, xstrdup(machine_state_name(machine_state(m))));
		commands_left(n, ret);
	}
	return 0;
}
