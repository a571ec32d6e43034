/* SPDX-License-Identifier: Apache-2.0 */
#include "testfile.h"

#include "base/cleanup.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/units.h"

#include <stdlib.h>
#include <string.h>

#define STEP_TIMEOUT_MS 60000

static int read_duration(const struct node *at, const char *key, int *ret, struct error **err)
{
	const struct node *v = node_get(at, key);
	_cleanup_error_ struct error *e = NULL;
	uint64_t ms;

	if (!v)
		return 0;
	if (!v->text || parse_duration(key, v->text, &ms, &e) < 0 || ms > 24 * 3600 * 1000)
		return node_error(v, err, "%s: a duration such as 20s is needed", key);
	*ret = (int)ms;
	return 0;
}

/* A text or a list of them, with variables. */
static int read_texts(const struct group *g, const struct node *at, const char *key, struct strv *ret, struct error **err)
{
	const struct node *v = node_get(at, key);
	size_t n = !v ? 0 : v->type == NODE_LIST ? v->len : 1;

	for (size_t i = 0; i < n; i++) {
		const struct node *s = v->type == NODE_LIST ? v->items[i] : v;
		char *text = s->text ? vars_expand(g->vars, s->text, s, NULL, err) : NULL;

		if (!s->text)
			return node_error(s, err, "%s: a text is needed, this is %s", key, node_type_name(s->type));
		if (!text)
			return -1;
		strv_take(ret, text);
	}
	return 0;
}

static int read_expect(const struct node *at, struct test_step *s, struct error **err)
{
	const struct node *v = node_get(at, "expect");
	uint64_t n = 0;

	if (!v)
		return 0;
	if (v->text && !strcmp(v->text, "any")) {
		s->status = -1;
		return 0;
	}
	if (node_u64(at, "expect", 0, 255, &n, err) < 0)
		return -1;
	s->status = (int)n;
	return 0;
}

static int read_kind(const struct group *g, const struct node *at, struct test_step *s, struct error **err)
{
	static const char *const keys[] = { "run", "host", "net", "app", "wait" };
	const struct node *what = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		const struct node *v = node_get(at, keys[i]);

		if (!v)
			continue;
		if (what)
			return node_error(v, err, "a step does one thing: '%s' stands beside '%s'", keys[i], keys[s->kind]);
		if (!v->text)
			return node_error(v, err, "%s: a text is needed, this is %s", keys[i], node_type_name(v->type));
		s->kind = (enum step_kind)i;
		what = v;
	}
	if (!what)
		return node_error(at, err, "a step needs one of run, host, net, app, wait");
	s->line = what->line;
	s->text = s->kind == STEP_WAIT ? xstrdup("") : vars_expand(g->vars, what->text, what, NULL, err);
	return s->text ? 0 : -1;
}

int test_step_read(const struct group *g, const struct node *at, struct test_step *s, struct error **err)
{
	static const char *const known[] = { "run", "host", "net", "app", "wait", "node", "expect", "contains", "lacks", "within", "timeout", NULL };
	const char *node = NULL;

	s->timeout_ms = STEP_TIMEOUT_MS;
	if (at->type != NODE_MAP)
		return node_error(at, err, "a step is a map such as { node: a, run: \"true\" }, this is %s", node_type_name(at->type));
	if (node_known(at, "step", known, err) < 0 || read_kind(g, at, s, err) < 0 || node_str(at, "node", &node, err) < 0 ||
		read_expect(at, s, err) < 0 || read_texts(g, at, "contains", &s->has, err) < 0 || read_texts(g, at, "lacks", &s->hasnt, err) < 0 ||
		read_duration(at, "within", &s->within_ms, err) < 0 || read_duration(at, "timeout", &s->timeout_ms, err) < 0 ||
		(s->kind == STEP_WAIT && read_duration(at, "wait", &s->timeout_ms, err) < 0))
		return -1;
	if (s->kind == STEP_RUN && !node)
		return node_error(at, err, "run: on which node? (`node`)");
	if (s->kind != STEP_RUN && s->kind != STEP_APP && node)
		return node_error(node_get(at, "node"), err, "node: only run and app have one");
	if (node) {
		_cleanup_error_ struct error *e = NULL;
		const struct group_node *n = group_node(g, node, &e);

		if (!n) {
			node_error(node_get(at, "node"), err, "%s", e->msg);
			return e->hint ? error_hint(err, "%s", e->hint) : -1;
		}
		s->node = xstrdup(n->name);
	}
	return 0;
}

static int read_steps(const struct group *g, const struct node *at, const char *key, struct test_steps *ret, struct error **err)
{
	struct node *list = NULL;

	if (node_list(at, key, &list, err) < 0)
		return -1;
	ret->v = xcalloc(list ? list->len + 1 : 1, sizeof(*ret->v));
	for (size_t i = 0; list && i < list->len; i++) {
		ret->n++;
		if (test_step_read(g, list->items[i], &ret->v[i], err) < 0)
			return -1;
	}
	return 0;
}

static int read_case(const struct group *g, const struct test_file *t, const struct node *at, struct test_case *c, struct error **err)
{
	static const char *const known[] = { "name", "steps", "snapshot", NULL };
	const char *name = NULL, *snapshot = NULL;

	if (at->type != NODE_MAP)
		return node_error(at, err, "a case is a map with name and steps, this is %s", node_type_name(at->type));
	if (node_known(at, "case", known, err) < 0 || node_str(at, "name", &name, err) < 0 || node_str(at, "snapshot", &snapshot, err) < 0)
		return -1;
	if (!name || !*name)
		return node_error(at, err, "a case needs a name");
	for (size_t i = 0; i + 1 < t->ncases; i++)
		if (!strcmp(t->cases[i].name, name))
			return node_error(node_get(at, "name"), err, "name: there is another case '%s'", name);
	c->name = xstrdup(name);
	c->snapshot = xstrdup(snapshot);
	if (read_steps(g, at, "steps", &c->steps, err) < 0)
		return -1;
	return c->steps.n ? 0 : node_error(at, err, "case '%s' has no steps", name);
}

static int read_all(const struct group *g, struct test_file *t, struct error **err)
{
	static const char *const known[] = { "name", "snapshot", "setup", "cases", NULL };
	const struct node *root = doc_root(t->doc);
	const char *name = path_basename(t->path), *snapshot = NULL;
	struct node *cases = NULL;

	if (node_known(root, "test file", known, err) < 0 || node_str(root, "name", &name, err) < 0 ||
		node_str(root, "snapshot", &snapshot, err) < 0 || read_steps(g, root, "setup", &t->setup, err) < 0 ||
		node_list(root, "cases", &cases, err) < 0)
		return -1;
	t->name = xstrdup(name);
	t->snapshot = xstrdup(snapshot);
	if (snapshot && name_check("snapshot", snapshot, err) < 0)
		return error_wrap(err, "%s", t->path);
	if (!cases || !cases->len)
		return node_error(root, err, "there are no cases");
	t->cases = xcalloc(cases->len, sizeof(*t->cases));
	for (size_t i = 0; i < cases->len; i++) {
		t->ncases++;
		if (read_case(g, t, cases->items[i], &t->cases[i], err) < 0)
			return -1;
	}
	return 0;
}

struct test_file *test_file_load(const struct group *g, const char *path, struct error **err)
{
	struct test_file *t = xcalloc(1, sizeof(*t));

	t->path = xstrdup(path);
	if (test_file_is_lua(path)) {
		if (test_lua_load(t, err) == 0)
			return t;
	} else if ((t->doc = doc_load(path, err)) && read_all(g, t, err) == 0) {
		return t;
	}
	test_file_free(t);
	return NULL;
}

void test_step_clear(struct test_step *s)
{
	free(s->text);
	free(s->node);
	strv_free(&s->has);
	strv_free(&s->hasnt);
}

static void steps_free(struct test_steps *s)
{
	for (size_t i = 0; i < s->n; i++)
		test_step_clear(&s->v[i]);
	free(s->v);
}

void test_file_free(struct test_file *t)
{
	if (!t)
		return;
	for (size_t i = 0; i < t->ncases; i++) {
		free(t->cases[i].name);
		free(t->cases[i].snapshot);
		steps_free(&t->cases[i].steps);
	}
	free(t->cases);
	steps_free(&t->setup);
	free(t->name);
	free(t->path);
	free(t->snapshot);
	doc_free(t->doc);
	free(t);
}
