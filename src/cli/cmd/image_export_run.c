/* SPDX-License-Identifier: Apache-2.0 */
/* Exports, as the program croft-image runs them. */
#include "cli/cli.h"
#include "cli/cmd/cmd.h"

#include "base/cleanup.h"
#include "base/mem.h"
#include "base/units.h"
#include "image/export/compare.h"
#include "image/export/export.h"

#include <stdio.h>
#include <string.h>

static int run(const struct cmd_args *a, const char *what, struct error **err)
{
	const char *cpus = arg_str(a, "cpus"), *memory = arg_str(a, "memory"), *level = arg_str(a, "level");
	struct image_export_opts o = {
		.format = arg_str(a, "format"),
		.compress = arg_str(a, "compress"),
		.name = arg_str(a, "name"),
		.bus = arg_str(a, "bus"),
		.firmware = arg_str(a, "firmware"),
		.manifest = arg_str(a, "manifest"),
		.without = arg_list(a, "without"),
		.as_is = arg_flag(a, "as-is"),
		.env = arg_list(a, "env"),
		.cmd = arg_list(a, "cmd"),
		.changes = arg_list(a, "change"),
		.force = arg_flag(a, "force"),
		.dry_run = arg_flag(a, "dry-run"),
	};
	uint64_t v;

	if (level && parse_u64("--level", level, 1, 12, &v, err) < 0)
		return -1;
	o.level = level ? (int)v : 0;
	if (cpus && parse_u64("--cpus", cpus, 1, 1024, &v, err) < 0)
		return -1;
	o.cpus = cpus ? (unsigned)v : 0;
	if (memory && parse_size("--memory", memory, &o.memory, err) < 0)
		return -1;
	image_widen_path();
	return image_export(what, arg_words(a)->v[1], &o, err);
}

int image_export_run(const struct cmd_args *a, struct error **err)
{
	return run(a, arg_words(a)->v[0], err);
}

int image_convert_run(const struct cmd_args *a, struct error **err)
{
	const char *file = arg_words(a)->v[0];
	/* Never an image of the store, whatever their names are. */
	_cleanup_free_ char *path = strchr(file, '/') ? xstrdup(file) : xasprintf("./%s", file);

	return run(a, path, err);
}

static int verify_one(const char *name, void *arg, struct error **err)
{
	_cleanup_free_ char *what = NULL;

	if (image_verify(name, &what, err) < 0)
		return -1;
	printf("%s: good: %s\n", name, what);
	return 0;
}

int image_verify_run(const struct cmd_args *a, struct error **err)
{
	return for_each_word(arg_words(a), verify_one, NULL);
}

static void diff_line(void *arg, char how, const char *path)
{
	printf("%c /%s\n", how, path);
}

int image_diff_run(const struct cmd_args *a, struct error **err)
{
	const struct strv *w = arg_words(a);
	int n = image_diff(w->v[0], w->v[1], diff_line, NULL, err);

	return n < 0 ? -1 : n > 0;
}
