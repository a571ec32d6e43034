/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Map from string to pointer that keeps the order of insertion. Keys are
 * copied; values belong to the caller unless `free_value` is set. A zeroed
 * struct is an empty map.
 */
#ifndef CROFT_BASE_MAP_H
#define CROFT_BASE_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct map_item {
	char *key;
	void *value;
	uint32_t hash;
};
struct map {
	struct map_item *items; /* in order of insertion; len of them */
	size_t len, cap;
	uint32_t *slots;	/* open addressing over items, index + 1 */
	size_t nslots;
	void (*free_value)(void *);
};
#define _cleanup_map_ __attribute__((cleanup(map_free)))

void map_free(struct map *m);
void *map_get(const struct map *m, const char *key); /* NULL when absent */
bool map_has(const struct map *m, const char *key);
void map_set(struct map *m, const char *key, void *value); /* replaces; frees the old value */
bool map_remove(struct map *m, const char *key);	   /* O(n): keeps the order */
#define MAP_FOR(m, it)                                                                             \
	for (struct map_item *it = (m)->items; it && it < (m)->items + (m)->len; it++)

#endif
