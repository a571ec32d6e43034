/* SPDX-License-Identifier: Apache-2.0 */
/* The commands that make images, as the program croft-image runs them. */
#include "cli/cli.h"
#include "cli/cmd/cmd.h"

#include "base/log.h"
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

int image_import_run(const struct cmd_args *a, struct error **err)
{
	const char *file = arg_words(a)->v[0];

	if (image_import(file, arg_str(a, "name"), arg_flag(a, "force"), err) < 0)
		return error_wrap(err, "image import");
	log_info("%s is imported", file);
	return 0;
}
