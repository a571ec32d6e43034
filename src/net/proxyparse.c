/* SPDX-License-Identifier: Apache-2.0 */
#include "net/proxy.h"

#include <stdio.h>
#include <string.h>

#define HTTP_MAX 8192

/* VER NMETHODS METHODS: "no authentication" must be among them. */
static int greeting(const unsigned char *p, size_t n, struct proxy_request *r)
{
	if (n < 2 || n < 2u + p[1])
		return 0;
	r->kind = PROXY_GREETING;
	r->acceptable = memchr(p + 2, 0, p[1]);
	return 2 + p[1];
}

/* VER CMD RSV ATYP ADDRESS PORT */
static int socks(const unsigned char *p, size_t n, struct proxy_request *r)
{
	size_t len;

	if (n < 5)
		return 0;
	len = p[3] == 1 ? 4 : p[3] == 4 ? 16 : p[3] == 3 ? 1u + p[4] : 0;
	if (!len)
		return -1;
	if (n < 4 + len + 2)
		return 0;
	r->kind = PROXY_SOCKS;
	r->acceptable = p[1] == 1 && p[3] != 4; /* CONNECT, IPv4 or a name */
	r->port = (unsigned)p[4 + len] << 8 | p[5 + len];
	if (p[3] == 1)
		snprintf(r->host, sizeof(r->host), "%u.%u.%u.%u", p[4], p[5], p[6], p[7]);
	else if (p[3] == 3)
		snprintf(r->host, sizeof(r->host), "%.*s", (int)p[4], (const char *)p + 5);
	return (int)(4 + len + 2);
}

/* "CONNECT host:port HTTP/1.1", headers, an empty line */
static int http(const unsigned char *p, size_t n, struct proxy_request *r)
{
	const unsigned char *end = memmem(p, n, "\r\n\r\n", 4);
	char line[512], rest;
	size_t first = strcspn((const char *)(end ? p : (const unsigned char *)""), "\r");

	if (!end)
		return n > HTTP_MAX ? -1 : 0;
	r->kind = PROXY_HTTP;
	snprintf(line, sizeof(line), "%.*s", (int)(first < sizeof(line) - 1 ? first : sizeof(line) - 1), (const char *)p);
	r->acceptable = sscanf(line, "CONNECT %255[^: ]:%5u HTTP/1.%c", r->host, &r->port, &rest) == 3;
	return (int)(end - p) + 4;
}

int proxy_parse(const unsigned char *p, size_t n, bool greeted, struct proxy_request *ret)
{
	int used;

	*ret = (struct proxy_request){ 0 };
	if (!n)
		return 0;
	if (p[0] == 5)
		used = greeted ? socks(p, n, ret) : greeting(p, n, ret);
	else if (p[0] >= 'A' && p[0] <= 'Z' && !greeted)
		used = http(p, n, ret);
	else
		return -1;
	if (used > 0 && ret->kind != PROXY_GREETING && ret->acceptable)
		ret->acceptable = ret->host[0] && ret->port && ret->port < 65536 && ret->host[strcspn(ret->host, "\"\\\n\r\t ")] == '\0';
	return used;
}
