/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CROFT_GROUP_APPLY_H
#define CROFT_GROUP_APPLY_H

#include "group/app_state.h"
#include "group/change.h"

/* What the file says otherwise of a machine that is there: now, or noted for its next start; what cannot be done is only said. */
int group_apply_node(const struct group *g, const struct group_node *n, struct machine *m, struct error **err);
/* Removes the machines of nodes that are gone, and the nodes from g. */
int group_prune(struct group *g, struct error **err);
/* Uninstalls apps that nodes have no longer. */
int group_prune_apps(const struct group *g, struct error **err);
/* Installs and starts, on nodes that run, what isn't. */
int group_apply_apps(const struct group *g, struct error **err);

/* All apps of the nodes that the file names; none: success with an empty set. */
int group_select_apps(const struct group *g, struct app_set *ret, struct error **err);
bool app_wants_install(const struct app *a, const struct app_state *s);
bool app_wants_start(const struct app *a, const struct app_state *s);

#endif
