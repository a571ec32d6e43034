/* SPDX-License-Identifier: Apache-2.0 */
/* Backups of all machines of a group, several at once, each at an instant of its own. */
#ifndef CROFT_GROUP_BACKUP_H
#define CROFT_GROUP_BACKUP_H

#include "base/error.h"

struct group_backup_opts {
	const char *store; /* its path; it is there */
	const char *name;  /* the same for all; NULL: S0, S1, ... */
	const char *text;
};
/* The name they have, new. Those that were made stay when others fail; the error tells of each that failed. */
int group_backup(const char *group, const struct group_backup_opts *o, char **ret, struct error **err);

#endif
