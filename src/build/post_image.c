/* SPDX-License-Identifier: Apache-2.0 */
/* Images for elsewhere: docker-import, docker-tag, docker-save without a daemon, over archives; croft's own export. */
#include "post.h"
#include "image/export/export.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/units.h"

#include <string.h>

#define IMPORT_ID "packer.post-processor.docker-import"
#define SUFFIX ".docker.tar"

/* Of what a builder has made, the disk or the root; of a container's chain, its archive. */
static const char *main_file(const struct artifact *a, bool archive)
{
	static const char *const beside[] = { ".kernel", ".initrd", ".cmdline" };

	for (size_t i = 0; i < a->files.len; i++) {
		const char *f = a->files.v[i];
		size_t n = strlen(f), s = strlen(SUFFIX);
		bool is_archive = n > s && !strcmp(f + n - s, SUFFIX), skip = false;

		for (size_t k = 0; k < ARRAY_SIZE(beside); k++)
			skip = skip || (n > strlen(beside[k]) && !strcmp(f + n - strlen(beside[k]), beside[k]));
		if (!skip && is_archive == archive)
			return f;
	}
	return NULL;
}

int image_of_root(const char *root, const char *to, const char *name, const struct strv *changes, struct error **err)
{
	struct image_export_opts o = { .format = "oci", .name = name, .changes = changes, .force = true };

	return image_export(root, to, &o, err);
}

/* ---- docker-import ---- */

/* docker-tag's, too. */
int check_docker_import(const struct conf *c, struct error **err)
{
	if (!conf_given(c, "repository"))
		return val_error(c->map, err, "%s: repository must be specified", c->c->type);
	return 0;
}

static char *reference(const struct conf *c, const char *tag)
{
	tag = tag ? tag : conf_text(c, "tag");
	return tag && *tag ? xasprintf("%s:%s", conf_text(c, "repository"), tag) : xasprintf("%s:latest", conf_text(c, "repository"));
}

int run_docker_import(struct build *b, const struct conf *c, const struct funcs *f, const struct artifact *in, struct artifact *out,
	struct error **err)
{
	const char *root = main_file(in, false);
	_cleanup_free_ char *name = reference(c, NULL), *to = NULL;
	_cleanup_strv_ struct strv changes = STRV_INIT;

	if (!root) {
		error_set(err, ERR_USAGE, "there is no root in what it gets");
		return error_hint(err, "it takes a disk or a tar: of the builders croft, qemu, root, of docker with export_path, or of artifice");
	}
	to = b->out ? xasprintf("%s/%s" SUFFIX, b->out, b->vm_name) : xasprintf("%s" SUFFIX, b->name);
	conf_list(c, "changes", &changes);
	ui_say(b->ui, b->name, "Importing %s as %s, without a daemon: %s", root, name, to);
	if (image_of_root(root, to, name, &changes, err) < 0)
		return -1;
	*out = (struct artifact){ .builder_id = xstrdup(IMPORT_ID), .id = STEAL(name) };
	strv_take(&out->files, path_absolute(to));
	return 0;
}

/* ---- docker-tag ---- */

static const char *need_archive(const struct artifact *in, struct error **err)
{
	const char *file = main_file(in, true);

	if (file)
		return file;
	error_set(err, ERR_USAGE, "there is no container's image in what it gets");
	error_hint(err, "put docker-import before it, or build with the builder docker and \"commit\": true");
	return NULL;
}

int run_docker_tag(struct build *b, const struct conf *c, const struct funcs *f, const struct artifact *in, struct artifact *out,
	struct error **err)
{
	_cleanup_strv_ struct strv tags = STRV_INIT, names = STRV_INIT;
	const char *file = need_archive(in, err);

	if (!file)
		return -1;
	conf_list(c, "tags", &tags);
	conf_list(c, "tag", &tags);
	for (size_t i = 0; i < tags.len; i++)
		strv_take(&names, reference(c, tags.v[i]));
	if (!tags.len)
		strv_take(&names, reference(c, NULL));
	for (size_t i = 0; i < names.len; i++)
		ui_say(b->ui, b->name, "Tagging %s: %s", file, names.v[i]);
	/* the name that the builder gave it for want of another goes */
	if (image_retag(file, &names, in->builder_id && !strcmp(in->builder_id, IMPORT_ID), err) < 0)
		return -1;
	*out = (struct artifact){ .builder_id = xstrdup(IMPORT_ID), .id = xstrdup(names.v[0]) };
	strv_addv(&out->files, (const char *const *)in->files.v);
	return 0;
}

/* ---- docker-save ---- */

int run_docker_save(struct build *b, const struct conf *c, const struct funcs *f, const struct artifact *in, struct artifact *out,
	struct error **err)
{
	const char *file = need_archive(in, err);
	_cleanup_free_ char *to = path_absolute(conf_text(c, "path")), *temp = xasprintf("%s.new", to), *dir = path_dirname(to);

	if (!file)
		return -1;
	ui_say(b->ui, b->name, "Saving the image to %s", to);
	if (file_mkdirs(dir, 0755, err) < 0 || file_unlink(temp, err) < 0 || file_copy(file, temp, 0644, err) < 0 || file_rename(temp, to, err) < 0)
		return -1;
	*out = (struct artifact){ .builder_id = xstrdup("packer.post-processor.docker-save"), .id = xstrdup(to) };
	strv_take(&out->files, STEAL(to));
	return 0;
}

/* ---- export ---- */

static int export_opts(const struct conf *c, struct image_export_opts *o, struct error **err)
{
	*o = (struct image_export_opts){ .format = conf_text(c, "format"), .compress = conf_text(c, "compress"), .name = conf_text(c, "name"),
		.bus = conf_text(c, "bus"), .firmware = conf_text(c, "firmware"), .manifest = conf_text(c, "manifest"), .as_is = conf_bool(c, "as_is"),
		.cpus = (unsigned)conf_number(c, "cpus"), .level = (int)conf_number(c, "level"), .force = true };
	return conf_given(c, "memory") ? parse_size("memory", conf_text(c, "memory"), &o->memory, err) : 0;
}

int check_export(const struct conf *c, struct error **err)
{
	struct image_export_opts o;

	return export_opts(c, &o, err);
}

int run_export(struct build *b, const struct conf *c, const struct funcs *f, const struct artifact *in, struct artifact *out, struct error **err)
{
	_cleanup_strv_ struct strv without = STRV_INIT, env = STRV_INIT, cmd = STRV_INIT, changes = STRV_INIT;
	_cleanup_map_ struct map fields = { .free_value = free };
	_cleanup_free_ char *to = NULL, *abs = NULL, *dir = NULL;
	const char *from = main_file(in, false);
	struct image_export_opts o;

	map_set(&fields, "BuildName", xstrdup(b->name));
	map_set(&fields, "BuilderType", xstrdup(b->b->c->type));
	if (!from)
		return error_set(err, ERR_USAGE, "there is no disk and no root in what it gets");
	if (export_opts(c, &o, err) < 0 || conf_late(c, "output", f, &fields, &to, err) < 0)
		return -1;
	conf_list(c, "without", &without);
	conf_list(c, "env", &env);
	conf_list(c, "cmd", &cmd);
	conf_list(c, "changes", &changes);
	o.without = &without;
	o.env = &env;
	o.cmd = &cmd;
	o.changes = &changes;
	abs = path_absolute(to);
	dir = path_dirname(abs);
	ui_say(b->ui, b->name, "Exporting %s to %s", from, to);
	if (file_mkdirs(dir, 0755, err) < 0 || image_export(from, abs, &o, err) < 0)
		return -1;
	*out = (struct artifact){ .builder_id = xstrdup("croft.export"), .id = xstrdup(to) };
	strv_take(&out->files, STEAL(abs));
	return 0;
}
