/* SPDX-License-Identifier: Apache-2.0 */
#include "store/internal.h"
#include "base/cleanup.h"

#include <stdlib.h>
#include <sys/stat.h>

int store_stats(struct store *s, struct store_stats *ret, struct error **err)
{
	struct store_ref *refs;
	size_t n;

	*ret = (struct store_stats){ .indexes = s->nix };
	for (size_t i = 0; i < s->nix; i++) {
		const struct index *ix = &s->ix[i];

		ret->chunks += ix->head->count;
		ret->packs += ix->head->npacks;
		ret->stored += ix->size;
		for (uint64_t k = 0; k < ix->head->count; k++)
			ret->raw += ix->entries[k].len;
		for (uint32_t k = 0; k < ix->head->npacks; k++) {
			_cleanup_free_ char *path = pack_path(s->path, ix->packs[k]);
			struct stat st;

			if (stat(path, &st) == 0)
				ret->stored += (uint64_t)st.st_size;
		}
	}
	if (store_list(s, &refs, &n, err) < 0)
		return -1;
	ret->names = n;
	for (size_t i = 0; i < n; i++) {
		ret->named += refs[i].size;
		store_ref_free(&refs[i]);
	}
	free(refs);
	return 0;
}
