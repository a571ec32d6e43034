/* SPDX-License-Identifier: Apache-2.0 */
/* Parts of planning, for isolate.c alone: memory of the plan, names to ids, the environment. */
#ifndef CROFT_PM_ISOLATE_IDS_H
#define CROFT_PM_ISOLATE_IDS_H

#include "isolate.h"

void *isolate_alloc(struct isolate_plan *p, size_t n); /* not zeroed but fresh pages; NULL when full */
char *isolate_strn(struct isolate_plan *p, const char *s, size_t n);

/* user, group, groups and the maps: text -> numbers, by /etc/passwd and /etc/group. */
int ids_resolve(struct isolate_plan *p, char *why);
/* Inherited variables, env files, what follows from the user; makes p->env. */
int isolate_environment(struct isolate_plan *p, char *why);

#endif
