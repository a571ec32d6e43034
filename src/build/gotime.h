/* SPDX-License-Identifier: Apache-2.0 */
/* Times and durations as Go programs write them; templates are full of them. */
#ifndef CROFT_BUILD_GOTIME_H
#define CROFT_BUILD_GOTIME_H

#include "base/error.h"
#include <stdint.h>
#include <time.h>

/*
 * Formats a UTC time by a layout that shows how the reference time, Mon Jan 2 15:04:05 MST 2006, would look (Go, package time). New string.
 */
char *go_time_format(time_t t, long ns, const char *layout);
#define GO_RFC3339 "2006-01-02T15:04:05Z07:00"

/*
 * "1m30s", "1.5h", "300ms", "-2s", "0": nanoseconds. A bare number is nanoseconds too, as Go's own decoders take it. ERR_USAGE names the
 * text; what: for the message.
 */
int go_duration(const char *what, const char *s, int64_t *ns, struct error **err);

#endif
