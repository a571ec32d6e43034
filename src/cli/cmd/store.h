/* SPDX-License-Identifier: Apache-2.0 */
/* What the store's commands share. */
#ifndef CROFT_CLI_CMD_STORE_H
#define CROFT_CLI_CMD_STORE_H

#include "base/error.h"
#include <jansson.h>
#include <stdbool.h>

struct cmd_args;
struct store;
char *store_cmd_path(const struct cmd_args *a); /* --store or the default; new */
/* With make, a store that is not there yet is made; chunk: --chunk or NULL. */
struct store *store_cmd_open(const char *path, bool make, const char *chunk, struct error **err);
int store_cmd_print(json_t *j, struct error **err); /* takes j */

#endif
