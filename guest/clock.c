/* SPDX-License-Identifier: Apache-2.0 */
/* The wall clock, after the machine was put back to another time. */
#include "guest.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SECONDS_MAX 253402300799ll /* the year 9999 */

/* "1795252724.193538000"; false when it is nothing like that. */
static bool parse(const char *s, struct timespec *t)
{
	char *end;

	if (!isdigit((unsigned char)*s))
		return false;
	errno = 0;
	t->tv_sec = strtoll(s, &end, 10);
	if (errno || t->tv_sec > SECONDS_MAX || *end++ != '.' || strlen(end) != 9 || strspn(end, "0123456789") != 9)
		return false;
	t->tv_nsec = atol(end);
	return true;
}

void clock_open(struct guest *g, struct stream *s)
{
	char *text = stream_string(s, FRAME_K_TIME);
	struct timespec t;

	if (!text || !parse(text, &t))
		stream_error(g, s, EINVAL, "a time is SECONDS.NANOSECONDS");
	else if (g->socket)
		stream_error(g, s, EPERM, "not the guest program of a machine");
	else if (clock_settime(CLOCK_REALTIME, &t) < 0)
		stream_error(g, s, errno, "clock_settime");
	else
		stream_exit(g, s, 0);
	free(text);
}
