/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"
#include "base/buf.h"
#include "base/progress.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum log_level log_level = LOG_INFO;
static const char *program_name = "croft";
static const char *const level_names[] = { "error", "warn", "info", "debug" };

void log_init(const char *program)
{
	const char *want = getenv("CROFT_LOG");

	program_name = program;
	for (size_t i = 0; want && i < sizeof(level_names) / sizeof(level_names[0]); i++)
		if (!strcmp(want, level_names[i]))
			log_level = (enum log_level)i;
}

bool log_colour(int fd)
{
	const char *term = getenv("TERM"), *no = getenv("NO_COLOR");

	return isatty(fd) && term && strcmp(term, "dumb") && !(no && *no);
}

void log_msg(enum log_level l, const char *fmt, ...)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	va_list ap;

	if (l > log_level)
		return;
	progress_hide();
	buf_addf(&b, "%s: %s", program_name, l == LOG_WARN ? "warning: " : l == LOG_DEBUG ? "debug: " : "");
	va_start(ap, fmt);
	buf_addvf(&b, fmt, ap);
	va_end(ap);
	buf_addc(&b, '\n');
	/* One write, so that lines of processes that share a terminal do not mix. */
	if (write(STDERR_FILENO, b.data, b.len) < 0)
		return;
}
