/* SPDX-License-Identifier: Apache-2.0 */
#include "net/linkspec.h"
#include "base/cleanup.h"
#include "base/units.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define DELAY_MAX_NS (3600ull * 1000000000u)
#define RATE_MAX 1000000000000ull

static const char *const distributions[] = { "uniform", "normal", "pareto", "exponential" };

struct unit {
	const char *name;
	double factor;
};
static const struct unit times[] = { { "ns", 1 }, { "us", 1e3 }, { "ms", 1e6 }, { "s", 1e9 }, { "m", 60e9 }, { "h", 3600e9 } };
static const struct unit rates[] = { { "bit", 1 }, { "kbit", 1e3 }, { "mbit", 1e6 }, { "gbit", 1e9 }, { "bps", 8 }, { "kbps", 8e3 },
	{ "mbps", 8e6 }, { "gbps", 8e9 } };

/* "1.5ms": a number that is not negative and one of the units. `form` tells how it should look. */
static int quantity(const char *key, const char *s, const struct unit *units, size_t n, const char *form, double max, uint64_t *ret,
	struct error **err)
{
	char *end;
	double v;

	/* strtod reads "inf", "nan" and "0x1" too; those are no quantities. */
	if (!*s || strspn(s, "0123456789.") == 0)
		return error_set(err, ERR_USAGE, "%s: '%s' is not %s", key, s, form);
	v = strtod(s, &end);
	if (end - s > (ptrdiff_t)strspn(s, "0123456789."))
		return error_set(err, ERR_USAGE, "%s: '%s' is not %s", key, s, form);
	if (!*end && v == 0) {
		*ret = 0;
		return 0;
	}
	for (size_t i = 0; i < n; i++)
		if (!strcasecmp(end, units[i].name)) {
			if (v * units[i].factor > max)
				return error_set(err, ERR_USAGE, "%s: %s is too much", key, s);
			*ret = (uint64_t)llround(v * units[i].factor);
			return 0;
		}
	return error_set(err, ERR_USAGE, "%s: '%s' is not %s", key, s, form);
}

static int set_time(const char *key, const char *s, uint64_t *ret, struct error **err)
{
	return quantity(key, s, times, ARRAY_SIZE(times), "a time like 80ms, 500us or 1.5s", DELAY_MAX_NS, ret, err);
}

static int set_share(const char *key, const char *s, double *ret, struct error **err)
{
	static const struct unit percent[] = { { "%", 1e6 } };
	uint64_t v;

	if (quantity(key, s, percent, 1, "a share like 2% or 0.1%", 100e6, &v, err) < 0)
		return -1;
	*ret = (double)v / 100e6;
	return 0;
}

static int set_number(const char *key, const char *s, uint64_t max, uint32_t *ret, struct error **err)
{
	uint64_t v;

	if (parse_u64(key, s, 0, max, &v, err) < 0)
		return -1;
	*ret = (uint32_t)v;
	return 0;
}

static int set_distribution(const char *s, struct link_spec *spec, struct error **err)
{
	for (size_t i = 0; i < ARRAY_SIZE(distributions); i++)
		if (!strcmp(s, distributions[i])) {
			spec->distribution = (enum jitter_kind)i;
			return 0;
		}
	return error_set(err, ERR_USAGE, "distribution: '%s' is none of uniform, normal, pareto, exponential", s);
}

static int set_burst(const char *s, struct link_spec *spec, struct error **err)
{
	char *end;
	double v = strtod(s, &end);

	if (end == s || *end || !(v == 0 || (v >= 1 && v <= 100000)))
		return error_set(err, ERR_USAGE, "burst: '%s' is no mean number of frames lost in a row (1 to 100000)", s);
	spec->burst = v > 1 ? v : 0;
	return 0;
}

/* "2s/500ms": every 2 s for 500 ms. */
static int set_flap(const char *s, struct link_spec *spec, struct error **err)
{
	const char *slash = strchr(s, '/');
	char every[32];
	uint64_t e, f;

	if (!strcmp(s, "0")) {
		spec->flap_every_ns = spec->flap_for_ns = 0;
		return 0;
	}
	if (!slash || (size_t)(slash - s) >= sizeof(every))
		return error_set(err, ERR_USAGE, "flap: '%s' is not EVERY/FOR, like 2s/500ms", s);
	snprintf(every, sizeof(every), "%.*s", (int)(slash - s), s);
	if (set_time("flap", every, &e, err) < 0 || set_time("flap", slash + 1, &f, err) < 0)
		return -1;
	if (!f || f >= e)
		return error_set(err, ERR_USAGE, "flap: %s: the time down must be less than the time from one to the next, and not 0", s);
	spec->flap_every_ns = e;
	spec->flap_for_ns = f;
	return 0;
}

static int set_down(const char *s, bool *ret, struct error **err)
{
	if (!strcmp(s, "true") || !strcmp(s, "yes") || !strcmp(s, "1"))
		*ret = true;
	else if (!strcmp(s, "false") || !strcmp(s, "no") || !strcmp(s, "0"))
		*ret = false;
	else
		return error_set(err, ERR_USAGE, "down: '%s' is neither true nor false", s);
	return 0;
}

const char *const link_keys[] = { "delay", "jitter", "distribution", "loss", "burst", "duplicate", "reorder", "corrupt", "rate", "queue",
	"mtu", "down", "flap", NULL };

int link_spec_set(struct link_spec *s, const char *key, const char *value, struct error **err)
{
	if (!strcmp(value, "none"))
		value = strcmp(key, "distribution") ? "0" : "uniform";
	if (!strcmp(key, "delay"))
		return set_time(key, value, &s->delay_ns, err);
	if (!strcmp(key, "jitter"))
		return set_time(key, value, &s->jitter_ns, err);
	if (!strcmp(key, "distribution"))
		return set_distribution(value, s, err);
	if (!strcmp(key, "loss"))
		return set_share(key, value, &s->loss, err);
	if (!strcmp(key, "burst"))
		return set_burst(value, s, err);
	if (!strcmp(key, "duplicate"))
		return set_share(key, value, &s->duplicate, err);
	if (!strcmp(key, "reorder"))
		return set_share(key, value, &s->reorder, err);
	if (!strcmp(key, "corrupt"))
		return set_share(key, value, &s->corrupt, err);
	if (!strcmp(key, "rate"))
		return quantity(key, value, rates, ARRAY_SIZE(rates), "a rate like 10mbit, 500kbit or 1gbit", RATE_MAX, &s->rate_bps, err);
	if (!strcmp(key, "queue"))
		return set_number(key, value, 1000000, &s->queue, err);
	if (!strcmp(key, "mtu"))
		return set_number(key, value, 65535, &s->mtu, err);
	if (!strcmp(key, "down"))
		return set_down(value, &s->down, err);
	if (!strcmp(key, "flap"))
		return set_flap(value, s, err);
	error_set(err, ERR_USAGE, "'%s' is nothing that a link has", key);
	for (size_t n = 0; link_keys[n]; n++)
		if (!link_keys[n + 1]) {
			const char *near = nearest_name(key, link_keys, n + 1);

			return near ? error_hint(err, "did you mean '%s'?", near) :
				      error_hint(err, "delay, jitter, distribution, loss, burst, duplicate, reorder, corrupt, rate, "
						      "queue, mtu, down, flap");
		}
	return -1;
}

int link_spec_check(const struct link_spec *s, struct error **err)
{
	if (s->reorder > 0 && !s->delay_ns) {
		error_set(err, ERR_USAGE, "reorder: frames overtake others that are delayed; this link delays none");
		return error_hint(err, "give it a delay too, 10ms for example");
	}
	if (s->burst > 1 && s->loss > s->burst / (s->burst + 1)) {
		error_set(err, ERR_USAGE, "burst: runs of %.9g on average can't make a loss of %.9g%%", s->burst, s->loss * 100);
		return error_hint(err, "take a longer burst or a smaller loss");
	}
	if (s->mtu && s->mtu < 68)
		return error_set(err, ERR_USAGE, "mtu: %u is less than IPv4 allows (68)", s->mtu);
	return 0;
}

bool link_spec_same(const struct link_spec *a, const struct link_spec *b)
{
	return a->delay_ns == b->delay_ns && a->jitter_ns == b->jitter_ns && a->distribution == b->distribution && a->loss == b->loss &&
	       a->burst == b->burst && a->duplicate == b->duplicate && a->reorder == b->reorder && a->corrupt == b->corrupt &&
	       a->rate_bps == b->rate_bps && a->queue == b->queue && a->mtu == b->mtu && a->down == b->down &&
	       a->flap_every_ns == b->flap_every_ns && a->flap_for_ns == b->flap_for_ns;
}

/* Values that do nothing alone (queue without rate, burst without loss) don't make it imperfect. */
bool link_spec_perfect(const struct link_spec *s)
{
	return !s->delay_ns && !s->jitter_ns && s->loss == 0 && s->duplicate == 0 && s->reorder == 0 && s->corrupt == 0 && !s->rate_bps &&
	       !s->mtu && !s->down && !s->flap_every_ns;
}

/* The largest unit in which the value has at most three digits behind the point and loses nothing, else ns. */
static void format_time(uint64_t ns, char out[32])
{
	if (ns % 1000000 == 0 && ns >= 1000000000 && ns / 1000000 % 10 == 0)
		snprintf(out, 32, "%.9gs", (double)ns / 1e9);
	else if (ns % 1000 == 0 && ns >= 1000000)
		snprintf(out, 32, "%.9gms", (double)ns / 1e6);
	else if (ns >= 1000 && ns < 1000000)
		snprintf(out, 32, "%.9gus", (double)ns / 1e3);
	else
		snprintf(out, 32, "%lluns", (unsigned long long)ns);
}

static void format_rate(uint64_t bps, char out[32])
{
	if (bps >= 1000000000 && bps % 1000000 == 0)
		snprintf(out, 32, "%.9ggbit", (double)bps / 1e9);
	else if (bps >= 1000000 && bps % 1000 == 0)
		snprintf(out, 32, "%.9gmbit", (double)bps / 1e6);
	else if (bps >= 1000)
		snprintf(out, 32, "%.12gkbit", (double)bps / 1e3);
	else
		snprintf(out, 32, "%llubit", (unsigned long long)bps);
}

typedef void emit_fn(struct buf *b, const char *key, const char *value);

static void emit_share(emit_fn *emit, struct buf *b, const char *key, double v)
{
	char t[32];

	if (v == 0)
		return;
	snprintf(t, sizeof(t), "%.9g%%", v * 100);
	emit(b, key, t);
}

static void emit_all(const struct link_spec *s, struct buf *b, emit_fn *emit)
{
	char t[72], u[32];

	if (s->delay_ns)
		format_time(s->delay_ns, t), emit(b, "delay", t);
	if (s->jitter_ns)
		format_time(s->jitter_ns, t), emit(b, "jitter", t);
	if (s->jitter_ns && s->distribution)
		emit(b, "distribution", distributions[s->distribution]);
	emit_share(emit, b, "loss", s->loss);
	if (s->burst > 1)
		snprintf(t, sizeof(t), "%.9g", s->burst), emit(b, "burst", t);
	emit_share(emit, b, "duplicate", s->duplicate);
	emit_share(emit, b, "reorder", s->reorder);
	emit_share(emit, b, "corrupt", s->corrupt);
	if (s->rate_bps)
		format_rate(s->rate_bps, t), emit(b, "rate", t);
	if (s->queue)
		snprintf(t, sizeof(t), "%u", s->queue), emit(b, "queue", t);
	if (s->mtu)
		snprintf(t, sizeof(t), "%u", s->mtu), emit(b, "mtu", t);
	if (s->down)
		emit(b, "down", "true");
	if (s->flap_every_ns) {
		format_time(s->flap_every_ns, t);
		format_time(s->flap_for_ns, u);
		strcat(strcat(t, "/"), u);
		emit(b, "flap", t);
	}
}

static void emit_json(struct buf *b, const char *key, const char *value)
{
	buf_addf(b, "%s\"%s\":\"%s\"", b->data[b->len - 1] == '{' ? "" : ",", key, value);
}

void link_spec_json(const struct link_spec *s, struct buf *b)
{
	buf_addc(b, '{');
	emit_all(s, b, emit_json);
	buf_addc(b, '}');
}

static void emit_text(struct buf *b, const char *key, const char *value)
{
	bool down = !strcmp(key, "down");

	buf_addf(b, "%s%s%s%s", b->len ? ", " : "", key, down ? "" : " ", down ? "" : value);
}

void link_spec_text(const struct link_spec *s, struct buf *b)
{
	struct buf t = BUF_INIT;

	emit_all(s, &t, emit_text);
	buf_add(b, buf_str(&t), t.len);
	buf_free(&t);
}
