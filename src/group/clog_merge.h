/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CROFT_GROUP_CLOG_MERGE_H
#define CROFT_GROUP_CLOG_MERGE_H

#include <stdbool.h>

/* Seconds since 1970 that a log line begins with; times without a zone are UTC. year: for formats that have none. */
bool clog_time(const char *line, int year, double *ret);

#endif
