/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Faults by request on the control socket. Each answers with the links or cuts as they are then:
 *
 *	{"op":"link","node":"sn","zone":"lan","direction":"out","clear":true,"set":{"delay":"80ms"}}	zone, direction absent: all
 *	{"op":"link","node":"sn","reset":true}		as the group file has it
 *	{"op":"cut","sets":[["sn","alice"],["bob"]]}	no set hears another
 *	{"op":"heal","sets":[["sn"],["bob"]]}		between these; without sets all: cuts, what is down, what flaps
 *	{"op":"heal","links":true}			and every other setting of links
 *	{"op":"seed","seed":7}
 *	{"op":"faults"}
 *
 * With "dry":true link, cut and heal only say whether they could be done.
 */
#include "base/cleanup.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/units.h"
#include "net/capture.h"
#include "net/faults.h"
#include "net/kernel.h"

#include <string.h>
#include <time.h>

/* One line in net.log for each change, with its time (UTC). */
static void note(struct faults *f, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void note(struct faults *f, const char *fmt, ...)
{
	_cleanup_free_ char *text = NULL;
	struct timespec t;
	struct tm tm;
	char when[32];
	va_list ap;

	va_start(ap, fmt);
	text = xvasprintf(fmt, ap);
	va_end(ap);
	clock_gettime(CLOCK_REALTIME, &t);
	gmtime_r(&t.tv_sec, &tm);
	strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%S", &tm);
	log_info("%s.%03ldZ %s", when, t.tv_nsec / 1000000, text);
	capture_note(f->net, text);
}

const char *faults_node_named(const struct faults *f, const char *name, struct error **err)
{
	_cleanup_strv_ struct strv all = STRV_INIT;
	_cleanup_free_ char *list = NULL;
	const char *near;

	for (const struct zone *z = f->net->zones; z; z = z->next)
		for (const struct port *p = z->ports; p; p = p->next) {
			if (!strcmp(p->node, name) || strv_has(&p->names, name))
				return p->node;
			if (!strv_has(&all, p->node))
				strv_add(&all, p->node);
		}
	strv_sort(&all);
	list = strv_join(&all, ", ");
	near = nearest_name(name, (const char *const *)all.v, all.len);
	error_set(err, ERR_NOT_FOUND, "group %s has no node '%s'", f->net->group, name);
	return near ? error_hint(err, "did you mean '%s'?", near), NULL : (error_hint(err, "its nodes are %s", list), NULL);
}

static json_t *link_json(const struct faults *f, const struct fault_link *l)
{
	return json_pack("{s:s, s:s, s:o, s:o}", "node", l->node, "zone", l->zone, "out", faults_spec_json(&l->now[FAULT_OUT]), "in",
		faults_spec_json(&l->now[FAULT_IN]));
}

static json_t *links_of(const struct faults *f, const char *node)
{
	json_t *list = json_array();

	for (size_t i = 0; i < f->n; i++)
		if (f->all[i].there && (!node || !strcmp(f->all[i].node, node)))
			json_array_append_new(list, link_json(f, &f->all[i]));
	return list;
}

static int change(struct link_spec *spec, const struct link_spec *base, const json_t *request, struct error **err)
{
	struct link_spec fresh = *spec;

	if (json_is_true(json_object_get(request, "clear")))
		fresh = (struct link_spec){ 0 };
	if (json_is_true(json_object_get(request, "reset")))
		fresh = *base;
	if (faults_read_spec(json_object_get(request, "set"), &fresh, err) < 0)
		return -1;
	*spec = fresh;
	return 0;
}

static bool wants_direction(const json_t *request, int dir)
{
	const char *d = json_string_value(json_object_get(request, "direction"));

	return !d || !strcmp(d, "both") || !strcmp(d, fault_directions[dir]);
}

static int done(struct faults *f, struct error **err)
{
	faults_apply(f);
	if (f->net->kernel && kernel_faults(f->net, err) < 0)
		return -1;
	return faults_save(f, err);
}

static void note_link(struct faults *f, const struct fault_link *l)
{
	_cleanup_buf_ struct buf out = BUF_INIT, in = BUF_INIT;

	link_spec_text(&l->now[FAULT_OUT], &out);
	link_spec_text(&l->now[FAULT_IN], &in);
	if (link_spec_same(&l->now[FAULT_OUT], &l->now[FAULT_IN]))
		note(f, "link %s@%s: %s", l->node, l->zone, out.len ? out.data : "perfect");
	else
		note(f, "link %s@%s: out %s; in %s", l->node, l->zone, out.len ? out.data : "perfect", in.len ? in.data : "perfect");
}

/* Whether it could be done is asked, not that it is. */
static bool dry(const json_t *request)
{
	return json_is_true(json_object_get(request, "dry"));
}

static json_t *op_link(struct faults *f, const json_t *request, struct error **err)
{
	const char *name = json_string_value(json_object_get(request, "node"));
	const char *zone = json_string_value(json_object_get(request, "zone"));
	const char *node = name ? faults_node_named(f, name, err) : NULL;
	bool changes = json_object_get(request, "set") || json_object_get(request, "clear") || json_object_get(request, "reset");
	size_t found = 0;

	if (!node)
		return name ? NULL : (error_set(err, ERR_USAGE, "link: no node is named"), NULL);
	/* Twice: nothing changes when one of them can't. */
	for (int pass = 0; pass < 2; pass++)
		for (size_t i = 0; i < f->n; i++) {
			struct fault_link *l = &f->all[i], copy = *l;

			if (!l->there || strcmp(l->node, node) || (zone && strcmp(l->zone, zone)))
				continue;
			found++;
			for (int dir = 0; changes && dir < 2; dir++)
				if (wants_direction(request, dir) && (change(&copy.now[dir], &l->base[dir], request, err) < 0 ||
								    (f->net->kernel && kernel_can(f->net, faults_port(f, l), &copy.now[dir], err) < 0)))
					return NULL;
			if (pass && changes && !dry(request)) {
				*l = copy;
				note_link(f, l);
			}
		}
	if (!found)
		return error_set(err, ERR_NOT_FOUND, "%s has no port in zone '%s'", node, zone), NULL;
	if (changes && !dry(request) && done(f, err) < 0)
		return NULL;
	return json_pack("{s:b, s:o}", "ok", 1, "links", links_of(f, node));
}

/* Each pair from different sets. Twice, so that nothing changes when a name is wrong. */
static int pairs(struct faults *f, const json_t *sets, bool cut, bool only_check, struct error **err)
{
	json_t *a, *b, *x, *y;
	size_t i, k, m, n;

	if (json_array_size(sets) < 2)
		return error_set(err, ERR_USAGE, "two sets of nodes are needed at least");
	for (int pass = 0; pass < (only_check ? 1 : 2); pass++)
		json_array_foreach(sets, i, a) json_array_foreach(sets, k, b)
		{
			if (k <= i)
				continue;
			json_array_foreach(a, m, x) json_array_foreach(b, n, y)
			{
				const char *from = faults_node_named(f, json_string_value(x) ? json_string_value(x) : "", err);
				const char *to = from ? faults_node_named(f, json_string_value(y) ? json_string_value(y) : "", err) : NULL;

				if (!to)
					return -1;
				if (!strcmp(from, to))
					return error_set(err, ERR_USAGE, "%s is in two sets", from);
				if (pass)
					faults_set_cut(f, faults_node_id(f, from), faults_node_id(f, to), cut);
			}
		}
	return 0;
}

static char *sets_text(const json_t *sets)
{
	struct buf b = BUF_INIT;
	json_t *set, *node;
	size_t i, k;

	json_array_foreach(sets, i, set)
	{
		buf_adds(&b, i ? " | " : "");
		json_array_foreach(set, k, node) buf_addf(&b, "%s%s", k ? "," : "", json_string_value(node) ? json_string_value(node) : "");
	}
	return buf_steal(&b);
}

static json_t *op_cut(struct faults *f, const json_t *request, bool cut, struct error **err)
{
	const json_t *sets = json_object_get(request, "sets");
	_cleanup_free_ char *text = sets_text(sets);

	if (pairs(f, sets, cut, dry(request), err) < 0)
		return NULL;
	if (dry(request))
		return json_pack("{s:b}", "ok", 1);
	note(f, "%s %s", cut ? "cut" : "heal", text);
	if (done(f, err) < 0)
		return NULL;
	return json_pack("{s:b, s:o}", "ok", 1, "cuts", faults_cuts(f));
}

static json_t *op_heal(struct faults *f, const json_t *request, struct error **err)
{
	bool links = json_is_true(json_object_get(request, "links"));

	if (json_object_get(request, "sets"))
		return op_cut(f, request, false, err);
	if (dry(request))
		return json_pack("{s:b}", "ok", 1);
	if (f->cuts)
		memset(f->cuts, 0, f->ncuts * sizeof(*f->cuts));
	for (size_t i = 0; i < f->n; i++)
		for (int dir = 0; dir < 2; dir++) {
			struct link_spec *s = &f->all[i].now[dir];

			s->down = false;
			s->flap_every_ns = s->flap_for_ns = 0;
			if (links)
				*s = (struct link_spec){ 0 };
		}
	note(f, "heal%s", links ? " all, links too" : "");
	if (done(f, err) < 0)
		return NULL;
	return json_pack("{s:b, s:o, s:o}", "ok", 1, "cuts", faults_cuts(f), "links", links_of(f, NULL));
}

static json_t *op_seed(struct faults *f, const json_t *request, struct error **err)
{
	const json_t *seed = json_object_get(request, "seed");

	if (!json_is_integer(seed) || json_integer_value(seed) < 0)
		return error_set(err, ERR_USAGE, "seed: a whole number is needed, not negative"), NULL;
	if (dry(request))
		return json_pack("{s:b}", "ok", 1);
	faults_reseed(f, (uint64_t)json_integer_value(seed));
	note(f, "seed %llu", (unsigned long long)f->seed);
	if (f->net->kernel && kernel_faults(f->net, err) < 0)
		return NULL;
	if (faults_save(f, err) < 0)
		return NULL;
	return json_pack("{s:b, s:I}", "ok", 1, "seed", (json_int_t)f->seed);
}

json_t *faults_op(struct faults *f, const char *op, const json_t *request, struct error **err)
{
	if (!strcmp(op, "link"))
		return op_link(f, request, err);
	if (!strcmp(op, "cut"))
		return op_cut(f, request, true, err);
	if (!strcmp(op, "heal"))
		return op_heal(f, request, err);
	if (!strcmp(op, "seed"))
		return op_seed(f, request, err);
	if (!strcmp(op, "faults"))
		return json_pack(
			"{s:b, s:I, s:o, s:o}", "ok", 1, "seed", (json_int_t)f->seed, "links", links_of(f, NULL), "cuts", faults_cuts(f));
	return NULL;
}

void faults_port_status(const struct port *p, json_t *status)
{
	for (int dir = 0; dir < 2; dir++) {
		struct link_stats st;
		json_t *j;

		if (!p->links[dir])
			continue;
		link_stats_of(p->links[dir], &st);
		j = faults_spec_json(link_spec_of(p->links[dir]));
		json_object_set_new(status, fault_directions[dir], j);
		j = json_pack("{s:I, s:I, s:I}", "in", (json_int_t)st.in, "out", (json_int_t)st.out, "held", (json_int_t)st.held);
		for (int e = 0; e < LINK_EVENTS; e++)
			if (st.events[e])
				json_object_set_new(j, link_event_names[e], json_integer((json_int_t)st.events[e]));
		json_object_set_new(status, dir == FAULT_OUT ? "out_link" : "in_link", j);
	}
	if (p->cut_frames)
		json_object_set_new(status, "cut", json_integer((json_int_t)p->cut_frames));
}
