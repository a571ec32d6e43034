/* SPDX-License-Identifier: Apache-2.0 */
/* Desired states: any bytes. What is taken must come back the same from its written form. */
#include <sys/types.h>

#include "pm/dispatch/dispatch.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static bool same(const struct document *a, const struct document *b)
{
	for (size_t i = 0; a->n == b->n && i < a->n; i++) {
		const struct desired *x = &a->units[i], *y = &b->units[i];

		if (strcmp(x->id, y->id) != 0 || x->up != y->up || x->params.n != y->params.n ||
			(x->params.n && memcmp(x->params.p, y->params.p, x->params.n) != 0))
			return false;
	}
	return a->n == b->n;
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	_cleanup_document_ struct document d = { 0 }, again = { 0 };
	_cleanup_buf_ struct buf text = BUF_INIT;
	struct error *e = NULL;

	if (document_parse(&d, (const char *)p, n, "it", &e) < 0) {
		error_clear(&e);
		return 0;
	}
	document_format(&d, &text);
	if (document_parse(&again, buf_str(&text), text.len, "again", &e) < 0 || !same(&d, &again))
		abort();
	return 0;
}
