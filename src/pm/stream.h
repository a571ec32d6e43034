/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The command stream: one command a line, words separated by blanks. The same rules split a unit's command into argv.
 *
 *	line    = blanks [ word { blanks word } ] [ blanks "#" anything ]
 *	word    = one or more of: plain byte, '...' (nothing is special), "..." and \X
 *	\X      = \n \t \r \e \0 (these bytes), \xHH (that byte, not \x00 in effect: a word cannot hold NUL), \ and
 *	          any other byte (that byte); the same inside of "...", not inside of '...'
 *
 * Nothing is expanded: no variables, no patterns, no commands. "#" starts a comment only at the start of a word.
 *
 * Commands (server.c executes them; docs/pm.md describes them):
 *	unit ID KEY=VALUE...		defines or redefines a unit
 *	set-property ID KEY=VALUE...	changes parameters ("KEY=" removes one)
 *	remove ID...
 *	start|stop|restart|reload|try-restart|reload-or-restart|try-reload-or-restart|reset-failed ID...
 *	kill ID [SIGNAL]
 *	list | status ID | cat ID | list-dependencies ID | jobs | wait ID... | shutdown | upgrade | ...
 * A word before the command that starts with "@" is given back in front of every line of its answer.
 */
#ifndef CROFT_PM_STREAM_H
#define CROFT_PM_STREAM_H

#include "base/buf.h"
#include "base/error.h"
#include "base/strv.h"

/* Splits s (n bytes, no newline needed at its end) and appends the words. ERR_USAGE names the column. */
int stream_split(const char *s, size_t n, struct strv *words, struct error **err);
/* Appends one word so quoted that stream_split gives the same bytes back; plain words stay as they are. */
void stream_quote(struct buf *b, const char *word);

#endif
