/* SPDX-License-Identifier: Apache-2.0 */
/* The commands that make images, as the program croft-image runs them. */
#include "cli/cli.h"
#include "cli/cmd/cmd.h"

#include "base/log.h"
#include "base/units.h"
#include "image/image.h"

int image_make_tiny_run(const struct cmd_args *a, struct error **err)
{
	const struct image_tiny_opts o = {
		.name = arg_str(a, "name"),
		.arch = arg_str(a, "arch"),
		.mirror = arg_str(a, "mirror"),
		.release = arg_str(a, "release"),
		.offline = arg_flag(a, "offline"),
		.force = arg_flag(a, "force"),
	};
	const char *name = o.name ? o.name : "tiny";
	bool made = false;

	if (image_make_tiny(&o, &made, err) < 0)
		return error_wrap(err, "image %s", name);
	log_info("image %s: %s", name, made ? "made" : "is there already, made from the same inputs");
	return 0;
}

int image_make_debian_run(const struct cmd_args *a, struct error **err)
{
	struct image_debian_opts o = {
		.name = arg_str(a, "name"),
		.release = arg_str(a, "release"),
		.mirror = arg_str(a, "mirror"),
		.arch = arg_str(a, "arch"),
		.cloud_init = arg_flag(a, "cloud-init"),
		.offline = arg_flag(a, "offline"),
		.force = arg_flag(a, "force"),
	};
	const struct strv *packages = arg_list(a, "packages");
	bool made = false;

	if (arg_str(a, "size") && parse_size("option --size", arg_str(a, "size"), &o.size, err) < 0)
		return -1;
	for (size_t i = 0; i < packages->len; i++)
		strv_split(&o.packages, packages->v[i], ", ");
	if (image_make_debian(&o, &made, err) < 0) {
		strv_free(&o.packages);
		return error_wrap(err, "image make debian");
	}
	strv_free(&o.packages);
	log_info("image %s: %s", o.name ? o.name : "debian",
		made ? "made" : "is there already, made from the same inputs");
	return 0;
}

int image_import_run(const struct cmd_args *a, struct error **err)
{
	const char *file = arg_words(a)->v[0];

	if (image_import(file, arg_str(a, "name"), arg_flag(a, "force"), err) < 0)
		return error_wrap(err, "image import");
	log_info("%s is imported", file);
	return 0;
}
