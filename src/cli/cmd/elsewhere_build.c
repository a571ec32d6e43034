/* SPDX-License-Identifier: Apache-2.0 */
/* Commands that croft-build runs; see cmd.h. */
#include "cli/cli.h"
#include "cli/cmd/cmd.h"

int image_build_run(const struct cmd_args *a, struct error **err)
{
	return cli_exec_libexec("croft-build", err);
}

int image_validate_run(const struct cmd_args *a, struct error **err)
{
	return cli_exec_libexec("croft-build", err);
}

int image_inspect_run(const struct cmd_args *a, struct error **err)
{
	return cli_exec_libexec("croft-build", err);
}

int image_fix_run(const struct cmd_args *a, struct error **err)
{
	return cli_exec_libexec("croft-build", err);
}
