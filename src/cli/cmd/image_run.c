/* SPDX-License-Identifier: Apache-2.0 */
/* The commands that make images, as the program croft-image runs them. */
#include "conf/settings.h"
#include "cli/cli.h"
#include "cli/cmd/cmd.h"

#include "base/cleanup.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/units.h"
#include "image/image.h"

#include <stdlib.h>
#include <string.h>

static int made_or_not(const char *name, int rc, bool made, struct error **err)
{
	if (rc < 0)
		return error_wrap(err, "image %s", name);
	log_info("image %s: %s", name, made ? "made" : "is there already, made from the same inputs");
	return 0;
}

typedef int make_fn(const struct image_tiny_opts *o, bool *made, struct error **err);

static int make_small(const struct cmd_args *a, const char *name, make_fn *make, struct error **err)
{
	const char *init = arg_str(a, "init");
	const struct image_tiny_opts o = {
		.name = arg_str(a, "name"),
		.arch = arg_str(a, "arch"),
		.mirror = arg_str(a, "mirror") ? arg_str(a, "mirror") : settings_get("mirror"),
		.release = arg_str(a, "release") ? arg_str(a, "release") : settings_get("release"),
		.offline = arg_flag(a, "offline"),
		.force = arg_flag(a, "force"),
		.pm = init && strcmp(init, "pm") == 0,
	};
	bool made = false;
	int rc;

	name = o.name ? o.name : name;
	if (init && !o.pm && strcmp(init, "guest") != 0)
		return error_set(err, ERR_USAGE, "--init %s: guest (the default) or pm", init);
	image_widen_path();
	rc = make(&o, &made, err);
	return made_or_not(name, rc, made, err);
}

int image_make_tiny_run(const struct cmd_args *a, struct error **err)
{
	return make_small(a, "tiny", image_make_tiny, err);
}

int image_make_rescue_run(const struct cmd_args *a, struct error **err)
{
	return make_small(a, "rescue", image_make_rescue, err);
}

int image_make_debian_run(const struct cmd_args *a, struct error **err)
{
	_cleanup_strv_ struct strv packages = STRV_INIT;
	const struct strv *given = arg_list(a, "packages");
	struct image_debian_opts o = {
		.name = arg_str(a, "name"),
		.mirror = arg_str(a, "mirror") ? arg_str(a, "mirror") : settings_get("mirror"),
		.release = arg_str(a, "release") ? arg_str(a, "release") : settings_get("release"),
		.packages = &packages,
		.cloud_init = arg_flag(a, "cloud-init"),
		.offline = arg_flag(a, "offline"),
		.force = arg_flag(a, "force"),
	};
	const char *name = o.name ? o.name : "debian", *size = arg_str(a, "size");
	bool made = false;
	int rc;

	for (size_t i = 0; given && i < given->len; i++)
		strv_split(&packages, given->v[i], ", ");
	if (size && parse_size("--size", size, &o.size, err) < 0)
		return -1;
	image_widen_path();
	rc = image_make_debian(&o, &made, err);
	return made_or_not(name, rc, made, err);
}

int image_import_run(const struct cmd_args *a, struct error **err)
{
	const char *file = arg_words(a)->v[0];

	if (image_import(file, arg_str(a, "name"), arg_str(a, "arch"), arg_flag(a, "force"), err) < 0)
		return error_wrap(err, "image import");
	log_info("%s is imported", file);
	return 0;
}
