/* SPDX-License-Identifier: Apache-2.0 */
/* What a build says, to stdout, in the form that people and programs know from Packer. */
#ifndef CROFT_BUILD_UI_H
#define CROFT_BUILD_UI_H

#include "base/error.h"
#include "base/strv.h"
#include <stdbool.h>
#include <stddef.h>

struct ui {
	bool machine_readable, timestamps, colour;
	const struct strv *hidden; /* texts that are shown as <sensitive>; or NULL */
};
/* "==> NAME: TEXT"; a text of several lines is several lines. target may be NULL. */
void ui_say(const struct ui *u, const char *target, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* "    NAME: TEXT" */
void ui_message(const struct ui *u, const char *target, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
void ui_error(const struct ui *u, const char *target, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* A line of --machine-readable output; nothing otherwise. fields: NULL-terminated. */
void ui_fact(const struct ui *u, const char *target, const char *category, const char *const *fields);
/* Lines of a command's output as they come; what stands behind the last newline waits in `rest`. error: of its stderr. */
struct ui_stream {
	const struct ui *u;
	const char *target;
	bool error;
	char *rest;
	size_t len;
};
void ui_stream(struct ui_stream *s, const void *p, size_t n);
void ui_stream_end(struct ui_stream *s);
/* Waits for Enter; returns false at once when there is no terminal. *answer: the first character, or 0. */
bool ui_ask(const struct ui *u, const char *target, char *answer, const char *fmt, ...) __attribute__((format(printf, 4, 5)));

#endif
