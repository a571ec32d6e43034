/* SPDX-License-Identifier: Apache-2.0 */
#include "build/quote.h"

#include "base/buf.h"

char *shell_quote(const char *s)
{
	_cleanup_buf_ struct buf b = BUF_INIT;

	buf_addc(&b, '\'');
	for (; *s; s++) {
		if (*s == '\'')
			buf_adds(&b, "'\"'\"'");
		else
			buf_addc(&b, *s);
	}
	buf_addc(&b, '\'');
	return buf_steal(&b);
}
