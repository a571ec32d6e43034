/* SPDX-License-Identifier: Apache-2.0 */
/*
 * UPnP Device Architecture 1.0: searches by multicast (SSDP) are answered, descriptions and calls (SOAP) are served by HTTP at the
 * gateway's port 5000, for zones whose router has "upnp" on. There are no events, and nothing is announced unasked.
 */
#include "net/upnp.h"
#include "base/cleanup.h"
#include "base/mem.h"
#include "net/igd.h"
#include "net/services.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define HTTP_PORT 5000
#define SSDP_PORT 1900
#define HEAD_MAX 8192
#define BODY_MAX 16384
#define SERVER "croft/1 UPnP/1.0 croft/1"

static bool offered(const struct zone *z)
{
	return z->router && z->router->nat && z->router->upnp;
}

/* The value of a header in `head`, which ends with an empty line; its length, SIZE_MAX when it is not there. */
static size_t header(const char *head, const char *name, const char **value)
{
	size_t n = strlen(name);

	for (const char *line = strstr(head, "\r\n"); line; line = strstr(line, "\r\n")) {
		line += 2;
		if (strncasecmp(line, name, n) || line[n] != ':')
			continue;
		line += n + 1;
		line += strspn(line, " \t");
		*value = line;
		n = strcspn(line, "\r\n");
		while (n && (line[n - 1] == ' ' || line[n - 1] == '\t'))
			n--;
		return n;
	}
	return SIZE_MAX;
}

/* ---- SSDP ---- */

static bool is(const char *a, size_t n, const char *b)
{
	return n == strlen(b) && !memcmp(a, b, n);
}

static void found(struct zone *z, const struct port *from, uint16_t port, const char *st, const char *usn)
{
	char m[1024];
	int n = snprintf(m, sizeof(m),
		"HTTP/1.1 200 OK\r\nCACHE-CONTROL: max-age=1800\r\nEXT:\r\nLOCATION: http://%u.%u.%u.%u:%u/igd.xml\r\nSERVER: " SERVER "\r\n"
		"ST: %s\r\nUSN: %s\r\nCONTENT-LENGTH: 0\r\n\r\n",
		z->gateway >> 24, z->gateway >> 16 & 255, z->gateway >> 8 & 255, z->gateway & 255, HTTP_PORT, st, usn);

	if (n > 0 && (size_t)n < sizeof(m))
		gateway_send_udp(z, from->mac, from->ip, SSDP_PORT, port, (const uint8_t *)m, (size_t)n);
}

/* One thing that can be searched for, if st stands for it. */
static void offer(struct zone *z, const struct port *from, uint16_t port, const char *st, size_t n, unsigned device, const char *what)
{
	char uuid[42], usn[128];

	igd_uuid(z->router, device, uuid);
	snprintf(usn, sizeof(usn), "%s%s%s", uuid, what ? "::" : "", what ? what : "");
	if (is(st, n, "ssdp:all") || is(st, n, what ? what : uuid))
		found(z, from, port, what ? what : uuid, usn);
}

void upnp_search(struct port *from, const struct ip4 *p)
{
	static const char *const devices[] = { "urn:schemas-upnp-org:device:InternetGatewayDevice:1", "urn:schemas-upnp-org:device:WANDevice:1",
		"urn:schemas-upnp-org:device:WANConnectionDevice:1" };
	const uint8_t *udp = p->h + p->hlen;
	struct zone *z = from->zone;
	char text[HEAD_MAX];
	const char *st, *man;
	size_t len, n;

	if (!offered(z) || p->proto != IPPROTO_UDP || (p->frag & (IP4_MF | IP4_OFFSET)) || p->len - p->hlen < UDP_BYTES ||
		get16(udp + 2) != SSDP_PORT || p->src != from->ip)
		return;
	len = get16(udp + 4);
	if (len < UDP_BYTES || len > p->len - p->hlen || len - UDP_BYTES >= sizeof(text) ||
		(get16(udp + 6) && inet_checksum(udp, len, pseudo4(p->src, p->dst, IPPROTO_UDP, len))))
		return;
	len -= UDP_BYTES;
	memcpy(text, udp + UDP_BYTES, len);
	text[len] = '\0';
	if (strncmp(text, "M-SEARCH * HTTP/1.", 18) || (n = header(text, "MAN", &man)) == SIZE_MAX || !is(man, n, "\"ssdp:discover\"") ||
		(n = header(text, "ST", &st)) == SIZE_MAX)
		return;
	offer(z, from, get16(udp), st, n, 0, "upnp:rootdevice");
	for (unsigned i = 0; i < ARRAY_SIZE(devices); i++) {
		offer(z, from, get16(udp), st, n, i, NULL);
		offer(z, from, get16(udp), st, n, i, devices[i]);
	}
	offer(z, from, get16(udp), st, n, 1, igd_types[IGD_COMMON]);
	offer(z, from, get16(udp), st, n, 2, igd_types[IGD_IP]);
}

/* ---- HTTP ---- */

static void respond(struct service_conn *c, const char *status, struct buf *body)
{
	buf_addf(&c->out,
		"HTTP/1.1 %s\r\nContent-Type: text/xml; charset=\"utf-8\"\r\nContent-Length: %zu\r\nConnection: close\r\nServer: " SERVER "\r\n"
		"EXT:\r\n\r\n",
		status, body->len);
	buf_add(&c->out, buf_str(body), body->len);
	c->closing = true;
}

static void fail(struct service_conn *c, const char *status)
{
	_cleanup_buf_ struct buf none = BUF_INIT;

	respond(c, status, &none);
}

static void get(struct service_conn *c, const char *path)
{
	_cleanup_buf_ struct buf body = BUF_INIT;

	if (!strcmp(path, "/igd.xml"))
		igd_describe(c->zone->router, &body);
	else if (!strcmp(path, "/ip.xml"))
		igd_describe_service(IGD_IP, &body);
	else if (!strcmp(path, "/common.xml"))
		igd_describe_service(IGD_COMMON, &body);
	if (body.len)
		respond(c, "200 OK", &body);
	else
		fail(c, "404 Not Found");
}

#define ENVELOPE                                                                                                                       \
	"<?xml version=\"1.0\"?>\n<s:Envelope xmlns:s=\"http://schemas.xmlsoap.org/soap/envelope/\" "                                      \
	"s:encodingStyle=\"http://schemas.xmlsoap.org/soap/encoding/\"><s:Body>"

static void call(struct service_conn *c, enum igd_service s, const char *xml, size_t len)
{
	_cleanup_buf_ struct buf out = BUF_INIT, args = BUF_INIT;
	struct soap_call q;
	int code = soap_parse(xml, len, &q) ? igd_call(c->zone->router, c->ip, s, &q, &args) : 402;

	if (code == 0)
		buf_addf(&out, ENVELOPE "<u:%sResponse xmlns:u=\"%s\">%s</u:%sResponse></s:Body></s:Envelope>\n", q.action, igd_types[s],
			buf_str(&args), q.action);
	else
		buf_addf(&out,
			ENVELOPE "<s:Fault><faultcode>s:Client</faultcode><faultstring>UPnPError</faultstring><detail>"
				 "<UPnPError xmlns=\"urn:schemas-upnp-org:control-1-0\"><errorCode>%d</errorCode>"
				 "<errorDescription>%s</errorDescription></UPnPError></detail></s:Fault></s:Body></s:Envelope>\n",
			code, igd_error_text(code));
	respond(c, code ? "500 Internal Server Error" : "200 OK", &out);
}

/* Whole numbers only; SIZE_MAX: not one, or too many. */
static size_t body_length(const char *head)
{
	const char *v = NULL;
	size_t n = header(head, "Content-Length", &v), sum = 0;

	if (n == SIZE_MAX)
		return 0;
	for (size_t i = 0; i < n; i++) {
		if (!isdigit((unsigned char)v[i]) || sum > BODY_MAX)
			return SIZE_MAX;
		sum = sum * 10 + (size_t)(v[i] - '0');
	}
	return n && sum <= BODY_MAX ? sum : SIZE_MAX;
}

static void request(struct service_conn *c, const char *line, const char *body, size_t len)
{
	char method[16], path[64], rest;

	if (sscanf(line, "%15s %63s HTTP/1.%c", method, path, &rest) != 3)
		fail(c, "400 Bad Request");
	else if (!strcmp(method, "GET"))
		get(c, path);
	else if (!strcmp(method, "POST") && !strcmp(path, "/ctl/ip"))
		call(c, IGD_IP, body, len);
	else if (!strcmp(method, "POST") && !strcmp(path, "/ctl/common"))
		call(c, IGD_COMMON, body, len);
	else
		fail(c, !strcmp(method, "POST") ? "404 Not Found" : "501 Not Implemented");
}

static void input(struct service_conn *c)
{
	char *end = strstr(c->in.data, "\r\n\r\n");
	size_t head = end ? (size_t)(end - c->in.data) + 4 : 0, len;
	_cleanup_free_ char *text = NULL;

	if (!end || head > HEAD_MAX) {
		if (c->in.len > HEAD_MAX || strlen(c->in.data) < c->in.len)
			fail(c, "400 Bad Request");
		return;
	}
	text = xstrndup(c->in.data, head);
	len = body_length(text);
	if (len == SIZE_MAX)
		fail(c, "413 Payload Too Large");
	else if (c->in.len - head >= len)
		request(c, text, c->in.data + head, len);
}

const struct service service_upnp = { .port = HTTP_PORT, .offered = offered, .input = input };
