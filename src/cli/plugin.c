/* SPDX-License-Identifier: Apache-2.0 */
/* Commands of others: `croft WORD ARG...` is `croft-WORD ARG...` where croft has no WORD and PATH has such a program. */
#include "cli/cli.h"

#include "base/cleanup.h"
#include "base/mem.h"
#include "base/path.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

int plugin_exec(char **argv, struct error **err)
{
	const char *word = argv[1];
	_cleanup_free_ char *name = NULL, *path = NULL;

	if (!word || !isalnum((unsigned char)word[0]) || strchr(word, '/') || help_has_prefix((const char *const *)&word, 1))
		return 0;
	name = xasprintf("croft-%s", word);
	path = path_find_program(name);
	if (!path)
		return 0;
	execv(path, argv + 1);
	return error_errno(err, errno, "%s", path);
}
