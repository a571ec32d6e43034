/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sets: a node whose first entry is the list of parts (JSON) and whose others are the parts' objects. To whoever walks it for gc,
 * verify or copy it is an object like any other.
 */
#include "store/internal.h"
#include "base/cleanup.h"
#include "base/mem.h"
#include "base/path.h"

#include <jansson.h>
#include <stdlib.h>
#include <time.h>

#define PARTS_MAX 4000
#define MANIFEST_MAX (4u << 20)

static int check_parts(const struct store_part *parts, size_t n, struct error **err)
{
	if (n > PARTS_MAX)
		return error_set(err, ERR_USAGE, "a set of %zu parts: %d are allowed", n, PARTS_MAX);
	for (size_t i = 0; i < n; i++) {
		if (name_check("part", parts[i].name, err) < 0)
			return -1;
		if (parts[i].size > INT64_MAX)
			return error_set(err, ERR_USAGE, "part %s: is larger than 8 EiB", parts[i].name);
		for (size_t k = 0; k < i; k++)
			if (!strcmp(parts[i].name, parts[k].name))
				return error_set(err, ERR_USAGE, "part %s: is given twice", parts[i].name);
	}
	return 0;
}

static char *manifest_text(const struct store_part *parts, const struct node_entry *entries, size_t n, const char *info)
{
	json_t *list = json_array(), *j = NULL;
	char *text = NULL;

	for (size_t i = 0; i < n && list; i++)
		if (json_array_append_new(list, json_pack("{s:s, s:I, s:s*}", "name", parts[i].name, "size",
				(json_int_t)entries[i].len, "info", parts[i].info)) < 0) {
			json_decref(list);
			list = NULL;
		}
	if (list)
		j = json_pack("{s:s*, s:o}", "info", info, "parts", list);
	if (j)
		text = json_dumps(j, JSON_COMPACT | JSON_SORT_KEYS);
	json_decref(j);
	return text;
}

/* Stores the node of the set; entries[0] is for the manifest. */
static int put_root(struct put *p, const struct store_part *parts, struct node_entry *entries, size_t n, const char *info,
	struct hash *root, struct error **err)
{
	_cleanup_free_ char *text = manifest_text(parts, entries + 1, n, info);
	_cleanup_buf_ struct buf b = BUF_INIT;
	struct node_head h = { NODE_MAGIC, LEVELS, (uint32_t)n + 1, NODE_SET, 0 };
	struct store_part manifest = { .name = "manifest", .data = text };

	if (!text)
		return error_set(err, ERR_USAGE, "the information about the parts is not UTF-8");
	manifest.size = strlen(text);
	if (manifest.size > MANIFEST_MAX)
		return error_set(err, ERR_USAGE, "the information about the parts is larger than 4 MiB");
	if (source_open_part(&manifest, &p->src, err) < 0 || put_object(p, NULL, &entries[0].hash, err) < 0)
		return -1;
	entries[0].len = manifest.size;
	source_close(&p->src);
	for (size_t i = 0; i <= n; i++)
		h.bytes += entries[i].len;
	buf_add(&b, &h, sizeof(h));
	buf_add(&b, entries, (n + 1) * sizeof(*entries));
	hash_bytes(b.data, b.len, root);
	session_chunk(p->w, b.data, b.len);
	return 0;
}

static int put_parts(struct put *p, const char *name, const struct store_part *parts, size_t n, const char *info,
	struct error **err)
{
	struct store_ref r = { .name = (char *)name, .message = (char *)p->o->message, .time = time(NULL), .set = true };
	_cleanup_free_ struct node_entry *entries = xcalloc(n + 1, sizeof(*entries));
	struct hash root;

	for (size_t i = 0; i < n; i++) {
		if (source_open_part(&parts[i], &p->src, err) < 0 ||
			put_object(p, parts[i].base, &entries[i + 1].hash, err) < 0)
			return error_wrap(err, "part %s", parts[i].name);
		entries[i + 1].len = p->src.size;
		p->ret->size += p->src.size;
		source_close(&p->src);
	}
	if (put_root(p, parts, entries, n, info, &root, err) < 0)
		return -1;
	return put_name(p, &r, &root, err);
}

int store_put_set(struct store *s, const char *name, const struct store_part *parts, size_t n, const char *info,
	const struct store_put_opts *o, struct store_put_result *ret, struct error **err)
{
	struct session w;
	struct put p = { .w = &w, .o = o, .ret = ret, .src.fd = -1 };
	int rc = -1;

	*ret = (struct store_put_result){ 0 };
	if (ref_check_new(s, name, o->replace, err) < 0 || check_parts(parts, n, err) < 0)
		return -1;
	if (session_begin(&w, s, o->threads, o->level, err) == 0)
		rc = put_parts(&p, name, parts, n, info, err);
	session_end(&w);
	list_free(&p.list);
	source_close(&p.src);
	return rc < 0 ? error_wrap(err, "put %s", name) : 0;
}

void store_set_free(struct store_set *set)
{
	for (size_t i = 0; i < set->n; i++) {
		free(set->parts[i].name);
		free(set->parts[i].info);
	}
	free(set->parts);
	free(set->info);
	*set = (struct store_set){ 0 };
}

static int bad_manifest(const char *name, struct error **err)
{
	return error_set(err, ERR_FAILED, "%s: its list of parts is not what croft writes", name);
}

static int parse_manifest(const char *name, const struct buf *text, const struct node_entry *e, uint32_t count,
	struct store_set *ret, struct error **err)
{
	json_error_t je;
	json_t *j = json_loadb(text->data, text->len, 0, &je), *list, *item;
	const char *info = NULL, *part;
	int rc = 0;
	size_t i;

	if (!j || json_unpack(j, "{s?s, s:o}", "info", &info, "parts", &list) < 0 || !json_is_array(list) ||
		json_array_size(list) != count)
		rc = bad_manifest(name, err);
	if (rc == 0) {
		ret->info = xstrdup(info);
		ret->parts = xcalloc(count + 1, sizeof(*ret->parts));
		json_array_foreach(list, i, item) {
			struct store_part_info *p = &ret->parts[i];
			const char *about = NULL;
			json_int_t size;

			if (json_unpack(item, "{s:s, s:I, s?s}", "name", &part, "size", &size, "info", &about) < 0 ||
				(uint64_t)size != e[i].len || name_check("part", part, err) < 0) {
				error_clear(err);
				rc = bad_manifest(name, err);
				break;
			}
			*p = (struct store_part_info){ .name = xstrdup(part), .info = xstrdup(about), .size = e[i].len };
			hash_hex(&e[i].hash, p->object);
			ret->n++;
		}
	}
	json_decref(j);
	if (rc < 0)
		store_set_free(ret);
	return rc;
}

int set_read(struct store *s, const char *name, const struct hash *root, struct store_set *ret, struct error **err)
{
	_cleanup_buf_ struct buf node = BUF_INIT, text = BUF_INIT;
	const struct node_head *h;
	const struct node_entry *e;

	*ret = (struct store_set){ 0 };
	if (node_read(s, root, LEVELS + 1, &node, err) < 0)
		return -1;
	h = (const struct node_head *)node.data;
	e = (const struct node_entry *)(h + 1);
	if (h->kind != NODE_SET)
		return error_set(err, ERR_STATE, "%s: is one piece, not a set of parts", name);
	if (!h->count || e[0].len > MANIFEST_MAX)
		return bad_manifest(name, err);
	if (object_bytes(s, &e[0].hash, MANIFEST_MAX, &text, err) < 0)
		return error_wrap(err, "%s: its list of parts", name);
	return parse_manifest(name, &text, e + 1, h->count - 1, ret, err);
}

int store_parts(struct store *s, const char *name, struct store_set *ret, struct error **err)
{
	struct hash root;

	*ret = (struct store_set){ 0 };
	return store_resolve(s, name, &root, err) < 0 ? -1 : set_read(s, name, &root, ret, err);
}
