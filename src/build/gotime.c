/* SPDX-License-Identifier: Apache-2.0 */
#include "build/gotime.h"

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/mem.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

static const char *const months[] = { "January", "February", "March", "April", "May", "June", "July", "August", "September", "October",
	"November", "December" };
static const char *const days[] = { "Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday" };

enum part { P_YEAR4, P_YEAR2, P_MONTH, P_MON, P_MM, P_M, P_DAY, P_DAY3, P_DD, P_D_, P_D, P_YDAY3, P_YDAY_, P_H24, P_HH, P_H, P_MIN2, P_MIN,
	P_SEC2, P_SEC, P_AM, P_am, P_ZONE, P_Z, P_OFF };

/* Longer ones before those that they begin with. Offsets of UTC: "Z..." is Z, the others are zeros of their form. */
static const struct {
	const char *text;
	enum part part;
	const char *zero;
} parts[] = {
	{ "2006", P_YEAR4, NULL }, { "January", P_MONTH, NULL }, { "Jan", P_MON, NULL }, { "Monday", P_DAY, NULL }, { "Mon", P_DAY3, NULL },
	{ "MST", P_ZONE, NULL }, { "002", P_YDAY3, NULL }, { "__2", P_YDAY_, NULL }, { "_2006", P_YEAR4, NULL }, { "_2", P_D_, NULL },
	{ "01", P_MM, NULL }, { "02", P_DD, NULL }, { "03", P_HH, NULL }, { "04", P_MIN2, NULL }, { "05", P_SEC2, NULL },
	{ "06", P_YEAR2, NULL }, { "15", P_H24, NULL }, { "PM", P_AM, NULL }, { "pm", P_am, NULL }, { "Z07:00:00", P_Z, NULL },
	{ "Z070000", P_Z, NULL }, { "Z07:00", P_Z, NULL }, { "Z0700", P_Z, NULL }, { "Z07", P_Z, NULL }, { "-07:00:00", P_OFF, "+00:00:00" },
	{ "-070000", P_OFF, "+000000" }, { "-07:00", P_OFF, "+00:00" }, { "-0700", P_OFF, "+0000" }, { "-07", P_OFF, "+00" },
	{ "1", P_M, NULL }, { "2", P_D, NULL }, { "3", P_H, NULL }, { "4", P_MIN, NULL }, { "5", P_SEC, NULL },
};

static void add_part(struct buf *b, const struct tm *tm, size_t i)
{
	int h12 = tm->tm_hour % 12 ? tm->tm_hour % 12 : 12;

	switch (parts[i].part) {
	case P_YEAR4:
		buf_addf(b, "%s%04d", parts[i].text[0] == '_' ? "_" : "", tm->tm_year + 1900);
		break;
	case P_YEAR2: buf_addf(b, "%02d", tm->tm_year % 100); break;
	case P_MONTH: buf_adds(b, months[tm->tm_mon]); break;
	case P_MON: buf_addf(b, "%.3s", months[tm->tm_mon]); break;
	case P_MM: buf_addf(b, "%02d", tm->tm_mon + 1); break;
	case P_M: buf_addf(b, "%d", tm->tm_mon + 1); break;
	case P_DAY: buf_adds(b, days[tm->tm_wday]); break;
	case P_DAY3: buf_addf(b, "%.3s", days[tm->tm_wday]); break;
	case P_DD: buf_addf(b, "%02d", tm->tm_mday); break;
	case P_D_: buf_addf(b, "%2d", tm->tm_mday); break;
	case P_D: buf_addf(b, "%d", tm->tm_mday); break;
	case P_YDAY3: buf_addf(b, "%03d", tm->tm_yday + 1); break;
	case P_YDAY_: buf_addf(b, "%3d", tm->tm_yday + 1); break;
	case P_H24: buf_addf(b, "%02d", tm->tm_hour); break;
	case P_HH: buf_addf(b, "%02d", h12); break;
	case P_H: buf_addf(b, "%d", h12); break;
	case P_MIN2: buf_addf(b, "%02d", tm->tm_min); break;
	case P_MIN: buf_addf(b, "%d", tm->tm_min); break;
	case P_SEC2: buf_addf(b, "%02d", tm->tm_sec); break;
	case P_SEC: buf_addf(b, "%d", tm->tm_sec); break;
	case P_AM: buf_adds(b, tm->tm_hour < 12 ? "AM" : "PM"); break;
	case P_am: buf_adds(b, tm->tm_hour < 12 ? "am" : "pm"); break;
	case P_ZONE: buf_adds(b, "UTC"); break;
	case P_Z: buf_addc(b, 'Z'); break;
	case P_OFF: buf_adds(b, parts[i].zero); break;
	}
}

/* ".000" or ",999": a fraction of the second, when no digit follows. 9s leave zeros at the end out. Length taken, 0: it is none. */
static size_t add_fraction(struct buf *b, const char *s, long ns)
{
	size_t n = strspn(s + 1, s[1] == '9' ? "9" : "0"), keep;
	char digits[10];

	if (!n || n > 9 || isdigit((unsigned char)s[1 + n]))
		return 0;
	snprintf(digits, sizeof digits, "%09ld", ns);
	keep = n;
	while (s[1] == '9' && keep && digits[keep - 1] == '0')
		keep--;
	if (keep)
		buf_addf(b, "%c%.*s", s[0], (int)keep, digits);
	return 1 + n;
}

char *go_time_format(time_t t, long ns, const char *layout)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	struct tm tm;

	gmtime_r(&t, &tm);
	while (*layout) {
		size_t i = 0, n = *layout == '.' || *layout == ',' ? add_fraction(&b, layout, ns) : 0;

		if (n) {
			layout += n;
			continue;
		}
		while (i < ARRAY_SIZE(parts) && strncmp(layout, parts[i].text, strlen(parts[i].text)))
			i++;
		/* Go takes these two only where no small letter follows: "Month" is no Monday */
		if (i < ARRAY_SIZE(parts) && (parts[i].part == P_MON || parts[i].part == P_DAY3) && islower((unsigned char)layout[3]))
			i = ARRAY_SIZE(parts);
		if (i == ARRAY_SIZE(parts)) {
			buf_addc(&b, *layout++);
			continue;
		}
		add_part(&b, &tm, i);
		layout += strlen(parts[i].text);
	}
	buf_str(&b);
	return buf_steal(&b);
}

int go_duration(const char *what, const char *s, int64_t *ns, struct error **err)
{
	static const struct {
		const char *name;
		double ns;
	} units[] = { { "ns", 1 }, { "us", 1e3 }, { "µs", 1e3 }, { "ms", 1e6 }, { "s", 1e9 }, { "m", 6e10 }, { "h", 3.6e12 } };
	const char *p = s + (*s == '-' || *s == '+');
	double all = 0;

	if (!*p)
		goto wrong;
	if (!p[strspn(p, "0123456789")]) {
		*ns = strtoll(s, NULL, 10);
		return 0;
	}
	while (*p) {
		size_t digits = strspn(p, "0123456789."), i = 0;
		char *end;
		double v = strtod(p, &end);

		if (!digits || end != p + digits)
			goto wrong;
		p = end;
		while (i < ARRAY_SIZE(units) &&
			(strncmp(p, units[i].name, strlen(units[i].name)) || isalpha((unsigned char)p[strlen(units[i].name)])))
			i++;
		if (i == ARRAY_SIZE(units))
			goto wrong;
		p += strlen(units[i].name);
		all += v * units[i].ns;
	}
	if (all > 9e18)
		goto wrong;
	*ns = (int64_t)(all + 0.5);
	if (*s == '-')
		*ns = -*ns;
	return 0;
wrong:
	return error_set(err, ERR_USAGE, "%s: '%s' is no duration; durations are written 90s, 1m30s, 1.5h, 250ms", what, s);
}
