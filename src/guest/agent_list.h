/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CROFT_GUEST_AGENT_LIST_H
#define CROFT_GUEST_AGENT_LIST_H

#include "guest/agent.h"
#include <time.h>

struct agent_listed {
	char type; /* 'f' file, 'd' folder, 'l' link, '?' another */
	unsigned mode, uid, gid;
	uint64_t size, ino;
	struct timespec mtime;
	const char *path;   /* below the folder; "" is itself */
	const char *target; /* of a link */
	const char *facts;  /* all that was said of it but for path and target, as text */
	size_t facts_len;
};
/*
 * The list of dir (or the one file), parents before children, for agent_list_each; appended to ret. stage (or NULL): this folder is
 * removed and dir's parents are made, for what is about to be sent.
 */
int agent_list(struct agent *a, const char *dir, const char *stage, struct buf *ret, bool *absent, struct error **err);
/* The strings live as long as the list. */
int agent_list_each(const struct buf *list, void (*each)(void *arg, const struct agent_listed *f), void *arg, struct error **err);

#endif
