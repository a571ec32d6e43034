/* SPDX-License-Identifier: Apache-2.0 */
/* `croft pm ...` becomes the program pm, which has its own commands, options and help. */
#include "base/cleanup.h"
#include "base/path.h"
#include "cli/cli.h"
#include "cli/cmd/cmd.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

int pm_exec(char **argv, struct error **err)
{
	_cleanup_free_ char *path = path_libexec("pm", err);

	if (!path)
		return -1;
	execv(path, argv);
	return error_errno(err, errno, "%s", path);
}

/* Only reached by `croft help pm` and the like: cli_main hands all of `croft pm` on before it reads options. */
static int pm_run(const struct cmd_args *a, struct error **err)
{
	char *argv[] = { (char *)"pm", (char *)"--help", NULL };

	return pm_exec(argv, err);
}

const struct command cmd_pm = {
	.path = "pm",
	.args = "COMMAND [ARG]...",
	.summary = "Supervise programs, mounts and other pms",
	.help = "The program pm by this name: units with dependencies, readiness, restart policies and logs. "
		"`croft pm --help` lists its commands, docs/pm.md describes it.",
	.max_words = -1,
	.run = pm_run,
	.examples = "croft pm main --detach\n"
		    "croft pm unit web run='httpd -p 8080' restart=on-failure\n"
		    "croft pm start web",
};
