/* SPDX-License-Identifier: Apache-2.0 */
#include "build/fixers.h"

#include "base/cleanup.h"
#include "base/mem.h"

#include <ctype.h>
#include <string.h>

static void note(struct strv *notes, const struct val *at, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
static void note(struct strv *notes, const struct val *at, const char *fmt, ...)
{
	_cleanup_free_ char *place = val_place(at), *text = NULL;
	va_list ap;

	va_start(ap, fmt);
	text = xvasprintf(fmt, ap);
	va_end(ap);
	strv_addf(notes, "%s%s", place, text);
}

static void rename_key(struct val *map, const char *from, const char *to, struct strv *notes)
{
	long i = val_find(map, from);

	if (i < 0)
		return;
	note(notes, map->items[i], "'%s' is now called '%s'", map->keys[i], to);
	if (val_get(map, to)) {
		val_drop(map, from);
		return;
	}
	free(map->keys[i]);
	map->keys[i] = xstrdup(to);
}

/* The value of key becomes text, with the position that it had. */
static void set_text(struct val *map, const char *key, const struct val *at, char *text)
{
	val_set(map, key, val_text(text, at ? at->at : NULL));
	free(text);
}

static void fix_checksum(struct val *b, struct strv *notes)
{
	static const char *const old[] = { "md5", "sha1", "sha256", "sha512" };
	struct val *type = val_get(b, "iso_checksum_type"), *url = val_get(b, "iso_checksum_url");
	const char *sum = val_str(b, "iso_checksum");

	for (size_t i = 0; i < ARRAY_SIZE(old); i++) {
		_cleanup_free_ char *key = xasprintf("iso_%s", old[i]);
		const struct val *v = val_get(b, key);

		if (!v || !v->text)
			continue;
		note(notes, v, "'%s' is now iso_checksum \"%s:...\"", key, old[i]);
		set_text(b, "iso_checksum", v, xasprintf("%s:%s", old[i], v->text));
		val_drop(b, key);
	}
	if (url && url->text && *url->text) {
		note(notes, url, "'iso_checksum_url' is now iso_checksum \"file:...\"");
		set_text(b, "iso_checksum", url, xasprintf("file:%s", url->text));
	} else if (type && type->text) {
		note(notes, type, "'iso_checksum_type' is now part of iso_checksum");
		if (!strcmp(type->text, "none"))
			set_text(b, "iso_checksum", type, xstrdup("none"));
		else if (sum && !strchr(sum, ':'))
			set_text(b, "iso_checksum", val_get(b, "iso_checksum"), xasprintf("%s:%s", type->text, sum));
	}
	val_drop(b, "iso_checksum_type");
	val_drop(b, "iso_checksum_url");
}

static void fix_builder(struct val *b, struct strv *notes)
{
	static const char *const renamed[][2] = { { "ssh_wait_timeout", "ssh_timeout" }, { "ssh_host_port_min", "host_port_min" },
		{ "ssh_host_port_max", "host_port_max" }, { "ssh_key_path", "ssh_private_key_file" },
		{ "ssh_skip_nat_mapping", "skip_nat_mapping" }, { "communicator_type", "communicator" } };
	const char *type = val_str(b, "type");
	struct val *size = val_get(b, "disk_size"), *attach = val_get(b, "guest_additions_attach");

	if (type && !strcmp(type, "virtualbox")) {
		note(notes, val_get(b, "type"), "the builder virtualbox is now called virtualbox-iso");
		set_text(b, "type", val_get(b, "type"), xstrdup("virtualbox-iso"));
		type = "virtualbox-iso";
	}
	fix_checksum(b, notes);
	for (size_t i = 0; i < ARRAY_SIZE(renamed); i++)
		rename_key(b, renamed[i][0], renamed[i][1], notes);
	if (attach) {
		note(notes, attach, "'guest_additions_attach' is now guest_additions_mode \"attach\"");
		if (attach->text && !strcmp(attach->text, "true"))
			set_text(b, "guest_additions_mode", attach, xstrdup("attach"));
		val_drop(b, "guest_additions_attach");
	}
	if (type && !strcmp(type, "qemu") && size && size->type == NODE_NUMBER) {
		note(notes, size, "disk_size %s is now written \"%sM\"", size->text, size->text);
		set_text(b, "disk_size", size, xasprintf("%sM", size->text));
	}
}

static void fix_post(struct val *p, struct strv *notes)
{
	const char *type;
	struct val *tag;

	for (size_t i = 0; p->type == NODE_LIST && i < p->len; i++)
		fix_post(p->items[i], notes);
	type = val_str(p, "type");
	if (!type)
		return;
	if (!strcmp(type, "manifest"))
		rename_key(p, "filename", "output", notes);
	tag = !strcmp(type, "docker-tag") ? val_get(p, "tag") : NULL;
	if (tag) {
		struct val *list = val_list(tag->at);

		note(notes, tag, "'tag' is now a list, 'tags'");
		for (size_t i = 0; i < tag->len; i++)
			val_add(list, val_clone(tag->items[i]));
		if (tag->type == NODE_STRING)
			val_add(list, val_clone(tag));
		val_set(p, "tags", list);
		val_drop(p, "tag");
	}
}

/* {{.CreateTime}} is {{timestamp}} today, wherever it stands. */
static void fix_create_time(struct val *v, struct strv *notes)
{
	char *at, *end;

	for (size_t i = 0; i < v->len; i++)
		fix_create_time(v->items[i], notes);
	while (v->type == NODE_STRING && (at = strstr(v->text, ".CreateTime")) && (end = strstr(at, "}}"))) {
		char *open = at, *old = v->text;

		while (open > v->text && isspace((unsigned char)open[-1]))
			open--;
		if (open < v->text + 2 || strncmp(open - 2, "{{", 2))
			return;
		note(notes, v, "{{.CreateTime}} is now {{timestamp}}");
		v->text = xasprintf("%.*s{{timestamp}}%s", (int)(open - 2 - old), old, end + 2);
		free(old);
	}
}

void fixers_apply(struct val *root, struct strv *notes)
{
	struct val *builders = val_get(root, "builders"), *posts = val_get(root, "post-processors");

	for (size_t i = 0; builders && builders->type == NODE_LIST && i < builders->len; i++)
		if (builders->items[i]->type == NODE_MAP)
			fix_builder(builders->items[i], notes);
	if (posts)
		fix_post(posts, notes);
	fix_create_time(root, notes);
}
