/* SPDX-License-Identifier: Apache-2.0 */
/* Names of signals. */
#include "base/cleanup.h"
#include "pm/param.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define S(n) { SIG##n, #n }
static const struct {
	int signo;
	const char *name;
} names[] = { S(HUP), S(INT), S(QUIT), S(ILL), S(TRAP), S(ABRT), S(BUS), S(FPE), S(KILL), S(USR1), S(SEGV), S(USR2), S(PIPE),
	S(ALRM), S(TERM), S(STKFLT), S(CHLD), S(CONT), S(STOP), S(TSTP), S(TTIN), S(TTOU), S(URG), S(XCPU), S(XFSZ), S(VTALRM),
	S(PROF), S(WINCH), S(IO), S(PWR), S(SYS) };

int signal_parse(const char *s)
{
	char *end;
	long n = strtol(s, &end, 10);

	if (*s && !*end)
		return n > 0 && n <= 64 ? (int)n : -1;
	if (!strncasecmp(s, "SIG", 3))
		s += 3;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (!strcasecmp(s, names[i].name))
			return names[i].signo;
	return -1;
}

const char *signal_name(int signo)
{
	static char number[16];

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (names[i].signo == signo)
			return names[i].name;
	snprintf(number, sizeof(number), "%d", signo);
	return number;
}
