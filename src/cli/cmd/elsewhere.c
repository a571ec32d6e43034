/* SPDX-License-Identifier: Apache-2.0 */
/* Commands that another program of croft's runs; see cmd.h. */
#include "cli/cli.h"
#include "cli/cmd/cmd.h"

int image_make_tiny_run(const struct cmd_args *a, struct error **err)
{
	return cli_exec_libexec("croft-image", err);
}

int image_make_rescue_run(const struct cmd_args *a, struct error **err)
{
	return cli_exec_libexec("croft-image", err);
}

int image_make_debian_run(const struct cmd_args *a, struct error **err)
{
	return cli_exec_libexec("croft-image", err);
}

int image_import_run(const struct cmd_args *a, struct error **err)
{
	return cli_exec_libexec("croft-image", err);
}

int image_export_run(const struct cmd_args *a, struct error **err)
{
	return cli_exec_libexec("croft-image", err);
}

int image_convert_run(const struct cmd_args *a, struct error **err)
{
	return cli_exec_libexec("croft-image", err);
}

int image_verify_run(const struct cmd_args *a, struct error **err)
{
	return cli_exec_libexec("croft-image", err);
}

int image_diff_run(const struct cmd_args *a, struct error **err)
{
	return cli_exec_libexec("croft-image", err);
}

int group_diff_run(const struct cmd_args *a, struct error **err)
{
	return cli_exec_libexec("croft-image", err);
}
