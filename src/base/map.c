/* SPDX-License-Identifier: Apache-2.0 */
#include "base/map.h"
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

/* FNV-1a: short keys, no adversary that could choose them at scale. */
static uint32_t hash_of(const char *key)
{
	uint32_t h = 2166136261u;

	for (; *key; key++)
		h = (h ^ (unsigned char)*key) * 16777619u;
	return h;
}

void map_free(struct map *m)
{
	MAP_FOR(m, it)
	{
		free(it->key);
		if (m->free_value)
			m->free_value(it->value);
	}
	free(m->items);
	free(m->slots);
	*m = (struct map){ .free_value = m->free_value };
}

/* Rebuilds the slots with room for twice the items. */
static void rehash(struct map *m)
{
	size_t n = 16;

	while (n < (m->len + 1) * 2)
		n *= 2;
	free(m->slots);
	m->slots = xcalloc(n, sizeof(*m->slots));
	m->nslots = n;
	for (size_t i = 0; i < m->len; i++) {
		size_t s = m->items[i].hash & (n - 1);

		while (m->slots[s])
			s = (s + 1) & (n - 1);
		m->slots[s] = (uint32_t)i + 1;
	}
}

static struct map_item *find(const struct map *m, const char *key, uint32_t h)
{
	if (!m->nslots)
		return NULL;
	for (size_t s = h & (m->nslots - 1); m->slots[s]; s = (s + 1) & (m->nslots - 1)) {
		struct map_item *it = &m->items[m->slots[s] - 1];

		if (it->hash == h && !strcmp(it->key, key))
			return it;
	}
	return NULL;
}

void *map_get(const struct map *m, const char *key)
{
	struct map_item *it = find(m, key, hash_of(key));

	return it ? it->value : NULL;
}

bool map_has(const struct map *m, const char *key)
{
	return find(m, key, hash_of(key)) != NULL;
}

void map_set(struct map *m, const char *key, void *value)
{
	uint32_t h = hash_of(key);
	struct map_item *it = find(m, key, h);
	size_t s;

	if (it) {
		if (m->free_value && it->value != value)
			m->free_value(it->value);
		it->value = value;
		return;
	}
	if (m->len == m->cap) {
		m->cap = m->cap ? m->cap * 2 : 8;
		m->items = xreallocarray(m->items, m->cap, sizeof(*m->items));
	}
	m->items[m->len] = (struct map_item){ xstrdup(key), value, h };
	m->len++;
	if (m->len * 2 > m->nslots) {
		rehash(m);
		return;
	}
	for (s = h & (m->nslots - 1); m->slots[s];)
		s = (s + 1) & (m->nslots - 1);
	m->slots[s] = (uint32_t)m->len;
}

bool map_remove(struct map *m, const char *key)
{
	struct map_item *it = find(m, key, hash_of(key));
	size_t i;

	if (!it)
		return false;
	free(it->key);
	if (m->free_value)
		m->free_value(it->value);
	i = (size_t)(it - m->items);
	memmove(it, it + 1, (m->len - i - 1) * sizeof(*it));
	m->len--;
	rehash(m);
	return true;
}
