/* SPDX-License-Identifier: Apache-2.0 */
#include "net/reach.h"
#include "base/cleanup.h"
#include "base/mem.h"
#include "net/faults.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#define LOOPBACK 0x7f000001u
#define REACHES_MAX 256

struct reach {
	char *zone; /* by name: zones are made anew when the configuration is read again */
	uint16_t host_port;
	struct reach *next;
};

static struct zone *zone_named(const struct net *n, const char *name)
{
	for (struct zone *z = n->zones; z; z = z->next)
		if (!strcmp(z->name, name))
			return z;
	return NULL;
}

/* A TCP port of the loopback that nobody has just now. */
static int free_port(uint16_t *ret, struct error **err)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
	_cleanup_close_ int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	socklen_t n = sizeof(a);

	if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0 || getsockname(fd, (struct sockaddr *)&a, &n) < 0)
		return error_errno(err, errno, "a port of 127.0.0.1");
	*ret = ntohs(a.sin_port);
	return 0;
}

/* The machine's zone, and its address. */
static struct zone *find(struct net *n, const char *to, const char *zone, uint32_t *ip, struct error **err)
{
	struct in_addr a;
	const char *node;

	if (zone) {
		struct zone *z = zone_named(n, zone);

		if (!z)
			return error_set(err, ERR_NOT_FOUND, "no zone is named '%s'", zone), NULL;
		if (inet_pton(AF_INET, to, &a) == 1)
			*ip = ntohl(a.s_addr);
		else if (!dns_address(z, to, ip))
			return error_set(err, ERR_NOT_FOUND, "zone %s knows no name '%s'", zone, to), NULL;
		return z;
	}
	for (struct zone *z = n->zones; z; z = z->next) {
		if (inet_pton(AF_INET, to, &a) == 1)
			*ip = ntohl(a.s_addr);
		else if (!dns_address(z, to, ip))
			break; /* names are known in all or in none */
		if (zone_by_ip(z, *ip))
			return z;
	}
	node = faults_node_named(n->faults, to, err);
	return node ? (error_set(err, ERR_NOT_FOUND, "%s has no address here", to), NULL) : NULL;
}

json_t *reach_op(struct net *n, struct reach **r, const json_t *request, struct error **err)
{
	const char *to = json_string_value(json_object_get(request, "to")), *zone = json_string_value(json_object_get(request, "zone"));
	json_int_t port = json_integer_value(json_object_get(request, "port"));
	struct zone *z;
	struct reach *one;
	uint32_t ip = 0;
	size_t count = 0;
	uint16_t host_port = 0;

	if (!to || port < 1 || port > 65535)
		return error_set(err, ERR_USAGE, "reach: to and port are needed"), NULL;
	for (one = *r; one; one = one->next)
		count++;
	if (count >= REACHES_MAX)
		return error_set(err, ERR_STATE, "reach: %d ways in are open already", REACHES_MAX), NULL;
	z = find(n, to, zone, &ip, err);
	if (!z || free_port(&host_port, err) < 0)
		return NULL;
	if (!z->outside)
		z->outside = outside_new(z); /* machines don't get out by it: has_outside stays as it is */
	if (!z->outside)
		return error_set(err, ERR_FAILED, "zone %s: libslirp does not start", z->name), NULL;
	if (outside_forward(z->outside, false, LOOPBACK, host_port, ip, (uint16_t)port, err) < 0)
		return NULL;
	one = xcalloc(1, sizeof(*one));
	*one = (struct reach){ xstrdup(z->name), host_port, *r };
	*r = one;
	return json_pack("{s:b, s:i}", "ok", 1, "port", (int)host_port);
}

void reach_end(struct net *n, struct reach **r)
{
	while (*r) {
		struct reach *one = *r;
		struct zone *z = zone_named(n, one->zone);

		if (z && z->outside)
			outside_unforward(z->outside, false, LOOPBACK, one->host_port);
		*r = one->next;
		free(one->zone);
		free(one);
	}
}
