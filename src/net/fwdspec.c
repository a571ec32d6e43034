/* SPDX-License-Identifier: Apache-2.0 */
#include "net/fwdspec.h"
#include "base/cleanup.h"
#include "base/mem.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

static bool number(const char *s, unsigned *ret)
{
	unsigned long v = 0;
	size_t n = strlen(s);

	if (!n || n > 5 || strspn(s, "0123456789") != n)
		return false;
	v = strtoul(s, NULL, 10);
	*ret = (unsigned)v;
	return v > 0 && v < 65536;
}

/* Cuts "A:B" at its last colon; B NULL when there is none. */
static char *after_colon(char *s)
{
	char *colon = strrchr(s, ':');

	if (!colon)
		return NULL;
	*colon = '\0';
	return colon + 1;
}

/* "127.0.0.1", "127.0.0.1:80", "localhost:80": where the reverse leads. */
static bool is_host(const char *s)
{
	_cleanup_free_ char *copy = xstrdup(s);
	struct in_addr a;

	after_colon(copy);
	return !strcmp(copy, "localhost") || inet_pton(AF_INET, copy, &a) == 1;
}

static bool host_address(struct forward_spec *f, const char *s)
{
	char six[INET6_ADDRSTRLEN];
	struct in6_addr a;
	size_t n = strlen(s);

	if (!strcmp(s, "localhost"))
		s = "127.0.0.1";
	f->has_host = true;
	if (*s != '[')
		return inet_pton(AF_INET, s, &a) == 1 && inet_ntop(AF_INET, &a, f->host, sizeof(f->host));
	if (n < 2 || n - 2 >= sizeof(six) || s[n - 1] != ']')
		return false;
	memcpy(six, s + 1, n - 2);
	six[n - 2] = '\0';
	return inet_pton(AF_INET6, six, &a) == 1 && inet_ntop(AF_INET6, &a, f->host, sizeof(f->host));
}

/* Both are cut into pieces. */
static bool parse_reverse(struct forward_spec *f, char *left, char *right)
{
	char *port = after_colon(left), *to = after_colon(right);

	f->reverse = true;
	if (!port || !*left || !number(port, &f->port) || !host_address(f, right) || strcmp(f->host, "127.0.0.1"))
		return false;
	f->node = xstrdup(left);
	f->host_port = f->port;
	return !to || number(to, &f->host_port);
}

static bool parse_usual(struct forward_spec *f, char *left, char *right)
{
	char *port = after_colon(left), *to = after_colon(right);

	if (!number(port ? port : left, &f->host_port) || (port && !host_address(f, left)) || !*right || !strcmp(right, "*"))
		return false;
	f->node = xstrdup(right);
	f->port = f->host_port;
	return !to || number(to, &f->port);
}

int forward_spec_parse(const char *text, struct forward_spec *f, struct error **err)
{
	_cleanup_free_ char *copy = xstrdup(text);
	char *s = copy, *last, *dash;
	bool good = false;

	*f = (struct forward_spec){ .host = "127.0.0.1" };
	if (!strncmp(s, "tcp:", 4) || !strncmp(s, "udp:", 4)) {
		f->udp = *s == 'u';
		s += 4;
	}
	/* Names of machines may have dashes, what is on the other side has none. */
	last = strrchr(s, '-');
	dash = last && is_host(last + 1) ? last : strchr(s, '-');
	if (dash) {
		*dash = '\0';
		good = dash == last && is_host(dash + 1) ? parse_reverse(f, s, dash + 1) : parse_usual(f, s, dash + 1);
	}
	if (good)
		return 0;
	error_set(err, ERR_USAGE, "'%s' is not a forward", text);
	if (f->reverse)
		error_hint(err, "a machine's way to the host is [PROTO:]NODE:PORT-127.0.0.1[:PORT], as sn:5432-127.0.0.1:5432; other "
				"addresses of the host machines reach by themselves");
	else
		error_hint(err, "write [PROTO:][HOST-ADDRESS:]PORT-NODE[:PORT], as tcp:127.0.0.1:8080-sn:80, or the reverse, as "
				"sn:5432-127.0.0.1:5432; addresses of IPv6 in brackets, as [::1]:8080-sn:80");
	forward_spec_clear(f);
	return -1;
}

void forward_spec_clear(struct forward_spec *f)
{
	free(STEAL(f->node));
}

json_t *forward_spec_json(const struct forward_spec *f)
{
	json_t *j = json_pack("{s:s, s:s, s:i, s:s, s:i}", "proto", f->udp ? "udp" : "tcp", "host", f->host, "host_port", (int)f->host_port,
		"node", f->node, "port", (int)f->port);

	if (f->reverse)
		json_object_set_new(j, "reverse", json_true());
	return j;
}
