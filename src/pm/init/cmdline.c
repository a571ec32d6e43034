/* SPDX-License-Identifier: Apache-2.0 */
#include "init.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The value when the word is KEY=VALUE, cut to size; a value that does not fit is not taken in part. */
static void value(const char *word, size_t n, const char *key, char *out, size_t size)
{
	size_t k = strlen(key);

	if (n <= k || strncmp(word, key, k) != 0)
		return;
	if (n - k >= size) {
		init_say("%s is too long on the kernel's command line", key);
		return;
	}
	memcpy(out, word + k, n - k);
	out[n - k] = '\0';
}

void init_cmdline(const char *text, struct init_config *c)
{
	char seconds[16] = "";

	for (const char *at = text; *at;) {
		size_t n;

		at += strspn(at, " \t\n");
		/* Quotes keep blanks in a value together, and go. */
		for (n = 0; at[n] && !strchr(" \t\n", at[n]);)
			if (at[n] == '"') {
				size_t q = strcspn(at + n + 1, "\"");

				n += q + 1 + (at[n + 1 + q] == '"');
			} else {
				n++;
			}
		if (n == 8 && strncmp(at, "pm.shell", n) == 0)
			c->shell = true;
		value(at, n, "pm.home=", c->home, sizeof(c->home));
		value(at, n, "pm.stop-timeout=", seconds, sizeof(seconds));
		if (n > 17 && strncmp(at, "pm.init-stream=\"", 16) == 0 && at[n - 1] == '"' && n - 17 < sizeof(c->stream)) {
			memcpy(c->stream, at + 16, n - 17);
			c->stream[n - 17] = '\0';
		} else {
			value(at, n, "pm.init-stream=", c->stream, sizeof(c->stream));
		}
		at += n;
	}
	if (*seconds) {
		char *end;
		unsigned long s = strtoul(seconds, &end, 10);

		if (*end || s > 86400)
			init_say("pm.stop-timeout=%s: not a number of seconds, %u it is", seconds, c->stop_timeout);
		else
			c->stop_timeout = (unsigned)s;
	}
	if (*c->home && *c->home != '/') {
		init_say("pm.home=%s does not begin with /: not used", c->home);
		c->home[0] = '\0';
	}
}
