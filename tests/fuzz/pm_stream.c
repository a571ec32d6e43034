/* SPDX-License-Identifier: Apache-2.0 */
/* Command lines and parameter files: any bytes. What is taken must come back the same from its quoted form. */
#include "pm/core.h"
#include "pm/stream.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	_cleanup_strv_ struct strv words = STRV_INIT, again = STRV_INIT;
	_cleanup_params_ struct params ps = PARAMS_INIT, file = PARAMS_INIT;
	_cleanup_buf_ struct buf line = BUF_INIT;
	struct error *e = NULL;

	if (stream_split((const char *)p, n, &words, &e) == 0) {
		for (size_t i = 0; i < words.len; i++) {
			if (i)
				buf_addc(&line, ' ');
			stream_quote(&line, words.v[i]);
			if (params_assign(&ps, words.v[i], &e) < 0)
				error_clear(&e);
		}
		if (stream_split(buf_str(&line), line.len, &again, &e) < 0 || again.len != words.len)
			abort();
		for (size_t i = 0; i < words.len; i++)
			if (strcmp(words.v[i], again.v[i]) != 0)
				abort();
		buf_clear(&line);
		params_format(&ps, &line);
		if (params_parse(buf_str(&line), line.len, &file, &e) < 0 || file.n != ps.n || (ps.n && memcmp(file.p, ps.p, ps.n) != 0))
			abort();
		params_free(&file);
	}
	error_clear(&e);
	if (params_parse((const char *)p, n, &file, &e) < 0)
		error_clear(&e);
	return 0;
}
