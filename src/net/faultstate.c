/* SPDX-License-Identifier: Apache-2.0 */
/* What commands changed, as JSON: DIR/faults.json, and what a scenario goes back to when it is broken off. */
#include "base/cleanup.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/path.h"
#include "net/faults.h"

#include <string.h>

#define STATE_MAX ((size_t)16 << 20)

/* {"delay":"80ms","mtu":1400,"down":true}; NULL: nothing set. */
int faults_read_spec(const json_t *j, struct link_spec *spec, struct error **err)
{
	const char *key;
	json_t *v;

	json_object_foreach((json_t *)j, key, v)
	{
		_cleanup_free_ char *text = json_is_string(v) ? xstrdup(json_string_value(v)) : json_dumps(v, JSON_ENCODE_ANY);

		if (!text || link_spec_set(spec, key, text, err) < 0)
			return -1;
	}
	return link_spec_check(spec, err);
}

json_t *faults_spec_json(const struct link_spec *spec)
{
	_cleanup_buf_ struct buf b = BUF_INIT;

	link_spec_json(spec, &b);
	return json_loads(buf_str(&b), 0, NULL);
}

static uint32_t known_id(const struct faults *f, const char *node)
{
	for (size_t i = 0; i < f->nodes.len; i++)
		if (!strcmp(f->nodes.v[i], node))
			return (uint32_t)i + 1;
	return 0;
}

/* Pairs of names, in their order. */
json_t *faults_cuts(const struct faults *f)
{
	_cleanup_strv_ struct strv names = STRV_INIT;
	json_t *cuts = json_array();

	for (size_t i = 0; i < f->nodes.len; i++)
		strv_add(&names, f->nodes.v[i]);
	strv_sort(&names);
	for (size_t a = 0; a < names.len; a++)
		for (size_t b = a + 1; b < names.len; b++)
			if (faults_is_cut(f, known_id(f, names.v[a]), known_id(f, names.v[b])))
				json_array_append_new(cuts, json_pack("[s, s]", names.v[a], names.v[b]));
	return cuts;
}

json_t *faults_state(const struct faults *f)
{
	json_t *links = json_array();

	for (size_t i = 0; i < f->n; i++) {
		const struct fault_link *l = &f->all[i];

		if (link_spec_same(&l->base[0], &l->now[0]) && link_spec_same(&l->base[1], &l->now[1]))
			continue;
		json_array_append_new(links,
			json_pack("{s:s, s:s, s:o, s:o}", "node", l->node, "zone", l->zone, "out", faults_spec_json(&l->now[FAULT_OUT]), "in",
				faults_spec_json(&l->now[FAULT_IN])));
	}
	return json_pack("{s:I, s:o, s:o}", "seed", (json_int_t)f->seed, "links", links, "cuts", faults_cuts(f));
}

static int restore_links(struct faults *f, const json_t *list, struct error **err)
{
	json_t *j;
	size_t i;

	for (i = 0; i < f->n; i++)
		memcpy(f->all[i].now, f->all[i].base, sizeof(f->all[i].now));
	json_array_foreach(list, i, j)
	{
		const char *node = json_string_value(json_object_get(j, "node"));
		const char *zone = json_string_value(json_object_get(j, "zone"));
		struct fault_link *l = node && zone ? faults_find(f, node, zone) : NULL;

		if (!l)
			continue; /* a machine that is no longer of the group */
		for (int dir = 0; dir < 2; dir++) {
			struct link_spec spec = { 0 };

			if (faults_read_spec(json_object_get(j, fault_directions[dir]), &spec, err) < 0)
				return -1;
			l->now[dir] = spec;
		}
	}
	return 0;
}

static int from_file(const struct faults *f, json_t **ret, struct error **err)
{
	_cleanup_free_ char *path = path_join(f->net->dir, "faults.json");
	_cleanup_buf_ struct buf b = BUF_INIT;
	json_error_t je;

	if (!file_exists(path))
		return 0;
	if (file_read(path, STATE_MAX, &b, err) < 0)
		return -1;
	*ret = json_loads(buf_str(&b), 0, &je);
	return *ret ? 0 : error_set(err, ERR_USAGE, "%s:%d:%d: %s", path, je.line, je.column, je.text);
}

/* state NULL: that of DIR/faults.json, when there is one. */
int faults_restore(struct faults *f, const json_t *state, struct error **err)
{
	json_t *read = NULL, *pair;
	size_t i;
	int rc = state ? 0 : from_file(f, &read, err);

	if (rc < 0 || (!state && !read))
		return rc;
	if (!state)
		state = read;
	if (json_is_integer(json_object_get(state, "seed")))
		f->seed = (uint64_t)json_integer_value(json_object_get(state, "seed"));
	if (f->cuts)
		memset(f->cuts, 0, f->ncuts * sizeof(*f->cuts));
	json_array_foreach(json_object_get(state, "cuts"), i, pair)
	{
		const char *a = json_string_value(json_array_get(pair, 0)), *b = json_string_value(json_array_get(pair, 1));

		if (a && b)
			faults_set_cut(f, faults_node_id(f, a), faults_node_id(f, b), true);
	}
	rc = restore_links(f, json_object_get(state, "links"), err);
	json_decref(read);
	return rc;
}

int faults_save(const struct faults *f, struct error **err)
{
	_cleanup_free_ char *path = path_join(f->net->dir, "faults.json"), *text = NULL;
	json_t *state = faults_state(f);

	text = json_dumps(state, JSON_COMPACT);
	json_decref(state);
	return file_write(path, text, strlen(text), 0600, err);
}
