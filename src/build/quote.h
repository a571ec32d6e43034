/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CROFT_BUILD_QUOTE_H
#define CROFT_BUILD_QUOTE_H

/* One word for a POSIX shell, in single quotes; new. */
char *shell_quote(const char *s);

#endif
