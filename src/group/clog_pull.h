/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CROFT_GROUP_CLOG_PULL_H
#define CROFT_GROUP_CLOG_PULL_H

#include "guest/agent.h"

struct clog_pulled {
	uint64_t files, bytes; /* all that is there now */
	uint64_t came;	       /* bytes that came from the guest for it */
};
/*
 * Makes the folder `to` (which must not be there) equal to the guest's `from`. memory is a file that tells where the files of the last
 * time are and what they were: what is unchanged is copied from there, of what has only grown the new part is pulled. It is written anew
 * with `final`, the path that the caller gives `to` afterwards.
 */
int clog_pull(struct agent *a, const char *from, const char *to, const char *final, const char *memory, struct clog_pulled *ret, struct error **err);

#endif
