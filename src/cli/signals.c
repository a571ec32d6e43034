/* SPDX-License-Identifier: Apache-2.0 */
/* Ctrl-C: what cli.h says under "Interruption". */
#include "cli/cli.h"

#include "base/cleanup.h"
#include "base/intr.h"

#include <signal.h>
#include <stdarg.h>
#include <string.h>

enum { PATIENCE_S = 3 };

/* Two texts, so that the handler never sees one that is being written. */
static char left[2][512];
static volatile sig_atomic_t left_now;

/* Only async-signal-safe calls: the process is anywhere. */
static void end_now(void)
{
	const char *text = left[left_now];
	static const char head[] = "\ncroft: interrupted", nothing[] = "; nothing is left to do";
	ssize_t r;

	r = write(2, head, sizeof head - 1);
	if (text[0]) {
		r = write(2, "; ", 2);
		r = write(2, text, strlen(text));
	} else {
		r = write(2, nothing, sizeof nothing - 1);
	}
	r = write(2, "\n", 1);
	(void)r;
	_exit(ERR_INTR);
}

static void on_signal(int signo)
{
	if (intr_signal)
		end_now();
	intr_signal = signo;
	alarm(PATIENCE_S);
}

static void on_alarm(int signo)
{
	if (intr_signal)
		end_now();
}

void cli_signals_init(void)
{
	/* No SA_RESTART: a blocking call returns EINTR, and who made it looks why. */
	struct sigaction sa = { .sa_handler = on_signal };

	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGTERM, &sa, NULL);
	sigaction(SIGHUP, &sa, NULL);
	sa.sa_handler = on_alarm;
	sigaction(SIGALRM, &sa, NULL);
	signal(SIGPIPE, SIG_IGN);
}

int cli_interrupted(void)
{
	return intr_signal;
}

void cli_left(const char *fmt, ...)
{
	int next = !left_now;
	va_list ap;

	left[next][0] = 0;
	if (fmt) {
		va_start(ap, fmt);
		vsnprintf(left[next], sizeof left[next], fmt, ap);
		va_end(ap);
	}
	left_now = next;
}

const char *cli_left_text(void)
{
	return left[left_now];
}
