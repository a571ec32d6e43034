/* SPDX-License-Identifier: Apache-2.0 */
#include "net/records.h"
#include "base/cleanup.h"
#include "base/mem.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define TXT_MAX 4096

static void put(uint8_t *p, uint16_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

/* Labels of 1 to 63 bytes, 253 in all. */
static char *name_of(const char *s, struct error **err)
{
	size_t n = strlen(s), label = 0;
	char *name;

	if (n && s[n - 1] == '.')
		n--;
	for (size_t i = 0; i <= n; i++) {
		if (i < n && s[i] != '.') {
			label++;
			if (!isgraph((unsigned char)s[i]))
				label = 64;
		} else if (!label || label > 63 || n > 253) {
			error_set(err, ERR_USAGE, "'%s' is no domain name", s);
			return NULL;
		} else {
			label = 0;
		}
	}
	name = xstrndup(s, n);
	for (char *c = name; *c; c++)
		*c = (char)tolower((unsigned char)*c);
	return name;
}

static int read_address(struct record *r, int family, const char *value, struct error **err)
{
	r->len = family == AF_INET ? 4 : 16;
	r->data = xmalloc(r->len);
	if (inet_pton(family, value, r->data) == 1)
		return 0;
	return error_set(err, ERR_USAGE, "%s: '%s' is no IPv%c address", r->name, value, family == AF_INET ? '4' : '6');
}

/* Strings of at most 255 bytes, one behind the other (RFC 1035, 3.3.14). */
static int read_txt(struct record *r, const char *value, struct error **err)
{
	size_t n = strlen(value);

	if (n > TXT_MAX)
		return error_set(err, ERR_USAGE, "%s: TXT of %zu bytes; %d are possible", r->name, n, TXT_MAX);
	r->data = xmalloc(n + n / 255 + 2);
	do {
		size_t k = n > 255 ? 255 : n;

		r->data[r->len++] = (uint8_t)k;
		memcpy(r->data + r->len, value, k);
		r->len += k;
		value += k;
		n -= k;
	} while (n);
	return 0;
}

static int read_srv(struct record *r, const json_t *j, struct error **err)
{
	static const char *const keys[] = { "priority", "weight", "port" };

	r->data = xcalloc(1, 6);
	r->len = 6;
	for (size_t i = 0; i < 3; i++) {
		json_int_t v = json_integer_value(json_object_get(j, keys[i]));

		if (v < 0 || v > 65535)
			return error_set(err, ERR_USAGE, "%s: SRV: %s is not 0 to 65535", r->name, keys[i]);
		put(r->data + 2 * i, (uint16_t)v);
	}
	return 0;
}

static int read_record(struct record *r, const json_t *j, struct error **err)
{
	const char *name = json_string_value(json_object_get(j, "name")), *type = json_string_value(json_object_get(j, "type"));
	const char *value = json_string_value(json_object_get(j, "value"));

	if (!name || !type || !value)
		return error_set(err, ERR_USAGE, "records: name, type and value are needed");
	r->name = name_of(name, err);
	if (!r->name)
		return -1;
	if (!strcmp(type, "A"))
		return r->type = DNS_A, read_address(r, AF_INET, value, err);
	if (!strcmp(type, "AAAA"))
		return r->type = DNS_AAAA, read_address(r, AF_INET6, value, err);
	if (!strcmp(type, "TXT"))
		return r->type = DNS_TXT, read_txt(r, value, err);
	if (strcmp(type, "CNAME") && strcmp(type, "SRV"))
		return error_set(err, ERR_USAGE, "%s: '%s' is none of A, AAAA, CNAME, TXT, SRV", r->name, type);
	r->type = *type == 'C' ? DNS_CNAME : DNS_SRV;
	r->target = name_of(value, err);
	if (!r->target)
		return -1;
	return r->type == DNS_SRV ? read_srv(r, j, err) : 0;
}

/* RFC 1034, 3.6.2: a name with a CNAME has nothing else. */
static int check_aliases(const struct records *r, struct error **err)
{
	for (size_t i = 0; i < r->n; i++)
		for (size_t k = 0; k < r->n; k++)
			if (k != i && r->v[i].type == DNS_CNAME && !strcmp(r->v[i].name, r->v[k].name))
				return error_set(err, ERR_USAGE, "%s: a name that stands for another can have nothing else", r->v[i].name);
	return 0;
}

int records_load(struct records *r, const json_t *list, struct error **err)
{
	struct records fresh = { xcalloc(json_array_size(list) + 1, sizeof(struct record)), 0 };
	const json_t *j;
	size_t i;
	int rc = 0;

	json_array_foreach(list, i, j)
	{
		fresh.n++;
		rc = read_record(&fresh.v[i], j, err);
		if (rc < 0)
			break;
	}
	if (rc == 0)
		rc = check_aliases(&fresh, err);
	if (rc < 0) {
		records_free(&fresh);
		return -1;
	}
	records_free(r);
	*r = fresh;
	return 0;
}

void records_free(struct records *r)
{
	for (size_t i = 0; i < r->n; i++) {
		free(r->v[i].name);
		free(r->v[i].data);
		free(r->v[i].target);
	}
	free(r->v);
	*r = (struct records){ 0 };
}

static bool has(const struct records *r, const char *name)
{
	for (size_t i = 0; i < r->n; i++)
		if (!strcasecmp(r->v[i].name, name))
			return true;
	return false;
}

/* The name itself, or the nearest wildcard above it; NULL: nothing. */
static const char *owner(const struct records *r, const char *name, char wild[DNS_NAME_MAX + 3])
{
	if (has(r, name))
		return name;
	for (const char *dot = strchr(name, '.'); dot; dot = strchr(dot + 1, '.')) {
		snprintf(wild, DNS_NAME_MAX + 3, "*%s", dot);
		if (has(r, wild))
			return wild;
		if (has(r, dot + 1))
			return NULL; /* RFC 4592, 4.3: what exists between hides the wildcard above */
	}
	return NULL;
}

const struct record *records_find(const struct records *r, const char *name, const struct record *at)
{
	char wild[DNS_NAME_MAX + 3];
	const char *own = r->n ? owner(r, name, wild) : NULL;

	for (size_t i = at ? (size_t)(at - r->v) + 1 : 0; own && i < r->n; i++)
		if (!strcasecmp(r->v[i].name, own))
			return &r->v[i];
	return NULL;
}
