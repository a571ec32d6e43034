/* SPDX-License-Identifier: Apache-2.0 */
#include "base/units.h"
#include "base/cleanup.h"
#include "base/mem.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* Digits with an optional decimal fraction; *end at the unit. Refuses signs, exponents, hex. */
static int number(const char *what, const char *s, const char **end, long double *ret, struct error **err)
{
	long double v = 0, scale = 1;
	const char *p = s;

	if (!*s)
		return error_set(err, ERR_USAGE, "%s: empty, a number is needed", what);
	if (*s == '-')
		return error_set(err, ERR_USAGE, "%s: '%s' is negative", what, s);
	if (!isdigit((unsigned char)*s))
		return error_set(err, ERR_USAGE, "%s: '%s' is not a number", what, s);
	for (; isdigit((unsigned char)*p); p++)
		v = v * 10 + (*p - '0');
	if (*p == '.' && isdigit((unsigned char)p[1]))
		for (p++; isdigit((unsigned char)*p); p++)
			v += (*p - '0') * (scale /= 10);
	*end = p;
	*ret = v;
	return 0;
}

int parse_size(const char *what, const char *s, uint64_t *ret, struct error **err)
{
	static const char letters[] = "kmgtp";
	const char *unit, *l;
	long double v, factor = 1;

	if (number(what, s, &unit, &v, err) < 0)
		return -1;
	l = *unit ? strchr(letters, tolower((unsigned char)*unit)) : NULL;
	if (l) {
		int power = (int)(l - letters) + 1;

		unit++;
		factor = powl(strcasecmp(unit, "b") ? 1024 : 1000, power);
		if (!strcasecmp(unit, "ib") || !strcasecmp(unit, "b"))
			unit += strlen(unit);
	} else if (!strcasecmp(unit, "b")) {
		unit++;
	}
	if (*unit)
		return error_set(err, ERR_USAGE, "%s: '%s' has '%s' after the number (units: K M G T P, KB MB ...)",
			what, s, unit);
	v = roundl(v * factor);
	if (v > 9223372036854775807.0L)
		return error_set(err, ERR_USAGE, "%s: '%s' is too big", what, s);
	*ret = (uint64_t)v;
	return 0;
}

int parse_duration(const char *what, const char *s, uint64_t *ret_ms, struct error **err)
{
	static const struct {
		const char *unit;
		long double ms;
	} units[] = { { "", 1e3 }, { "s", 1e3 }, { "ms", 1 }, { "m", 6e4 }, { "min", 6e4 }, { "h", 3.6e6 },
		{ "d", 8.64e7 } };
	const char *unit;
	long double v;

	if (number(what, s, &unit, &v, err) < 0)
		return -1;
	for (size_t i = 0; i < ARRAY_SIZE(units); i++) {
		if (strcmp(unit, units[i].unit))
			continue;
		if (v * units[i].ms > 1e15L)
			return error_set(err, ERR_USAGE, "%s: '%s' is too long", what, s);
		*ret_ms = (uint64_t)(v * units[i].ms);
		return 0;
	}
	return error_set(err, ERR_USAGE, "%s: '%s' has '%s' after the number (units: ms s m h d)", what, s, unit);
}

int parse_u64(const char *what, const char *s, uint64_t min, uint64_t max, uint64_t *ret, struct error **err)
{
	char *end;

	if (!*s)
		return error_set(err, ERR_USAGE, "%s: empty, a number is needed", what);
	if (*s == '-')
		return error_set(err, ERR_USAGE, "%s: '%s' is negative", what, s);
	if (!isdigit((unsigned char)*s))
		return error_set(err, ERR_USAGE, "%s: '%s' is not a number", what, s);
	errno = 0;
	*ret = strtoull(s, &end, 10);
	if (*end)
		return error_set(err, ERR_USAGE, "%s: '%s' has '%s' after the number", what, s, end);
	if (errno == ERANGE || *ret > max)
		return error_set(err, ERR_USAGE, "%s: %s is more than %llu", what, s, (unsigned long long)max);
	if (*ret < min)
		return error_set(err, ERR_USAGE, "%s: %s is less than %llu", what, s, (unsigned long long)min);
	return 0;
}

char *format_size(uint64_t n, char buf[16])
{
	static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
	double v = (double)n;
	size_t u = 0;

	for (; v >= 1023.95 && u + 1 < ARRAY_SIZE(units); u++)
		v /= 1024;
	if (u == 0 || v == (double)(uint64_t)v)
		snprintf(buf, 16, "%.0f %s", v, units[u]);
	else
		snprintf(buf, 16, "%.1f %s", v, units[u]);
	return buf;
}

/* Damerau-Levenshtein distance (adjacent transposition counts one), case-insensitive. */
static size_t distance(const char *a, const char *b)
{
	size_t la = strlen(a), lb = strlen(b), best;
	_cleanup_free_ size_t *d = xcalloc((la + 1) * (lb + 1), sizeof(*d));
#define D(i, j) d[(i) * (lb + 1) + (j)]

	for (size_t i = 0; i <= la; i++)
		D(i, 0) = i;
	for (size_t j = 0; j <= lb; j++)
		D(0, j) = j;
	for (size_t i = 1; i <= la; i++) {
		for (size_t j = 1; j <= lb; j++) {
			int ca = tolower((unsigned char)a[i - 1]), cb = tolower((unsigned char)b[j - 1]);

			best = D(i - 1, j - 1) + (ca != cb);
			if (D(i - 1, j) + 1 < best)
				best = D(i - 1, j) + 1;
			if (D(i, j - 1) + 1 < best)
				best = D(i, j - 1) + 1;
			if (i > 1 && j > 1 && ca == tolower((unsigned char)b[j - 2]) &&
				tolower((unsigned char)a[i - 2]) == cb && D(i - 2, j - 2) + 1 < best)
				best = D(i - 2, j - 2) + 1;
			D(i, j) = best;
		}
	}
	return D(la, lb);
#undef D
}

const char *nearest_name(const char *s, const char *const *names, size_t n)
{
	size_t best = SIZE_MAX, len = strlen(s);
	const char *found = NULL;

	if (len > 64)
		return NULL;
	for (size_t i = 0; i < n; i++) {
		size_t d = strlen(names[i]) > 128 ? SIZE_MAX : distance(s, names[i]);

		if (d < best) {
			best = d;
			found = names[i];
		}
	}
	/* One slip for short names, one in three letters for long ones. */
	return best <= (len < 4 ? 1 : len / 3 + (len < 6)) ? found : NULL;
}
