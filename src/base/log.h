/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages for people, to stderr: "croft: ..." lines. Data goes to stdout and
 * never through here. Level from -v/-q or CROFT_LOG (error warn info debug).
 */
#ifndef CROFT_BASE_LOG_H
#define CROFT_BASE_LOG_H

#include <stdbool.h>

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

extern enum log_level log_level; /* LOG_INFO at start */
void log_init(const char *program); /* the name in front of each line; reads CROFT_LOG */
void log_msg(enum log_level l, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
#define log_error(...) log_msg(LOG_ERROR, __VA_ARGS__)
#define log_warn(...) log_msg(LOG_WARN, __VA_ARGS__)
#define log_info(...) log_msg(LOG_INFO, __VA_ARGS__)
#define log_debug(...) log_msg(LOG_DEBUG, __VA_ARGS__)
/* True when fd is a terminal, TERM is not dumb and NO_COLOR is unset or empty. */
bool log_colour(int fd);

#endif
