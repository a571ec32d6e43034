/* SPDX-License-Identifier: Apache-2.0 */
#include "net/capture.h"
#include "base/cleanup.h"
#include "base/mem.h"
#include "net/faults.h"
#include "net/kernel.h"
#include "net/stream.h"

#include <string.h>
#include <time.h>

#define RING_BYTES ((size_t)4 << 20)
#define NOTE_MAX 1000

struct interface {
	char *node, *zone;
};
struct capture {
	struct net *net;
	struct stream *stream;
	char *node; /* NULL: all */
	struct interface *interfaces;
	size_t ninterfaces;
	uint64_t dropped, epoch; /* epoch: CLOCK_REALTIME where CLOCK_MONOTONIC is 0 */
	char note[NOTE_MAX];
	struct capture *next;
};

/* A block under construction: head and options; the packet's bytes lie apart. */
struct block {
	uint8_t b[4096];
	size_t n;
};

static void put_u16(struct block *k, uint16_t v)
{
	memcpy(k->b + k->n, &v, 2);
	k->n += 2;
}

static void put_u32(struct block *k, uint32_t v)
{
	memcpy(k->b + k->n, &v, 4);
	k->n += 4;
}

static size_t padding(size_t n)
{
	return -n & 3;
}

static void option(struct block *k, uint16_t code, const void *p, size_t n)
{
	put_u16(k, code);
	put_u16(k, (uint16_t)n);
	memcpy(k->b + k->n, p, n);
	memset(k->b + k->n + n, 0, padding(n));
	k->n += n + padding(n);
}

/* Fills in the length at both ends and sends. */
static void send_block(struct capture *c, struct block *k)
{
	uint32_t total = (uint32_t)k->n + 4;

	memcpy(k->b + 4, &total, 4);
	put_u32(k, total);
	stream_put(c->stream, k->b, k->n);
}

static void send_section(struct capture *c)
{
	struct block k = { .n = 0 };

	put_u32(&k, 0x0a0d0d0a);
	put_u32(&k, 0);
	put_u32(&k, 0x1a2b3c4d);
	put_u16(&k, 1);
	put_u16(&k, 0);
	put_u32(&k, UINT32_MAX); /* length not known */
	put_u32(&k, UINT32_MAX);
	option(&k, 4, "croft " CROFT_VERSION, strlen("croft " CROFT_VERSION));
	option(&k, 0, "", 0);
	send_block(c, &k);
}

static void send_interface(struct capture *c, const struct interface *i)
{
	_cleanup_free_ char *name = xasprintf("%.100s@%.100s", i->node, i->zone);
	_cleanup_free_ char *text = xasprintf("%.100s's port of zone %.100s; inbound: from it", i->node, i->zone);
	struct block k = { .n = 0 };

	put_u32(&k, 1);
	put_u32(&k, 0);
	put_u16(&k, 1); /* LINKTYPE_ETHERNET */
	put_u16(&k, 0);
	put_u32(&k, 0);
	option(&k, 2, name, strlen(name));
	option(&k, 3, text, strlen(text));
	option(&k, 9, "\x09", 1); /* times in 10^-9 s */
	option(&k, 0, "", 0);
	send_block(c, &k);
}

/* Its number; made when it is new. */
static uint32_t interface_of(struct capture *c, const struct port *p)
{
	for (size_t i = 0; i < c->ninterfaces; i++)
		if (!strcmp(c->interfaces[i].node, p->node) && !strcmp(c->interfaces[i].zone, p->zone->name))
			return (uint32_t)i;
	c->interfaces = xreallocarray(c->interfaces, c->ninterfaces + 1, sizeof(*c->interfaces));
	c->interfaces[c->ninterfaces] = (struct interface){ xstrdup(p->node), xstrdup(p->zone->name) };
	send_interface(c, &c->interfaces[c->ninterfaces]);
	return (uint32_t)c->ninterfaces++;
}

static void comment_packet(struct capture *c, struct block *k, const char *comment)
{
	if (c->note[0])
		option(k, 1, c->note, strlen(c->note));
	if (comment)
		option(k, 1, comment, strnlen(comment, NOTE_MAX));
	c->note[0] = '\0';
	if (c->dropped)
		option(k, 4, &c->dropped, 8);
	c->dropped = 0;
}

static void send_packet(struct capture *c, const struct port *p, uint32_t way, const uint8_t *frame, size_t len, const char *comment)
{
	uint64_t at = c->epoch + links_now(c->net->faults->links);
	uint32_t interface = interface_of(c, p), total;
	struct block head = { .n = 0 }, tail = { .n = 0 };

	put_u32(&head, 6);
	put_u32(&head, 0);
	put_u32(&head, interface);
	put_u32(&head, (uint32_t)(at >> 32));
	put_u32(&head, (uint32_t)at);
	put_u32(&head, (uint32_t)len);
	put_u32(&head, (uint32_t)len);
	memset(tail.b, 0, 4);
	tail.n = padding(len);
	option(&tail, 2, &way, 4);
	comment_packet(c, &tail, comment);
	option(&tail, 0, "", 0);
	total = (uint32_t)(head.n + len + tail.n + 4);
	memcpy(head.b + 4, &total, 4);
	put_u32(&tail, total);
	stream_put(c->stream, head.b, head.n);
	stream_put(c->stream, frame, len);
	stream_put(c->stream, tail.b, tail.n);
	stream_push(c->stream);
}

void capture_frame(struct net *n, const struct port *p, enum capture_way way, const uint8_t *frame, size_t len, const char *comment)
{
	for (struct capture *c = n->captures; c; c = c->next) {
		if (c->node && strcmp(c->node, p->node))
			continue;
		if (stream_room(c->stream, len + 2 * sizeof(struct block)))
			send_packet(c, p, way, frame, len, comment);
		else
			c->dropped++;
	}
}

void capture_note(struct net *n, const char *text)
{
	for (struct capture *c = n->captures; c; c = c->next) {
		size_t used = strlen(c->note);

		snprintf(c->note + used, NOTE_MAX - used, "%s%s", used ? "; " : "", text);
	}
}

static void capture_free(struct capture *c)
{
	for (struct capture **at = &c->net->captures; *at; at = &(*at)->next)
		if (*at == c) {
			*at = c->next;
			break;
		}
	if (c->net->kernel)
		kernel_watch(c->net);
	stream_free(c->stream);
	for (size_t i = 0; i < c->ninterfaces; i++) {
		free(c->interfaces[i].node);
		free(c->interfaces[i].zone);
	}
	free(c->interfaces);
	free(c->node);
	free(c);
}

static void on_gone(void *arg)
{
	capture_free(arg);
}

int capture_check(const struct net *n, const json_t *request, struct error **err)
{
	const char *node = json_string_value(json_object_get(request, "node"));

	return !node || faults_node_named(n->faults, node, err) ? 0 : -1;
}

void capture_start(struct net *n, int fd, const json_t *request)
{
	const char *node = json_string_value(json_object_get(request, "node"));
	struct capture *c = xcalloc(1, sizeof(*c));
	_cleanup_error_ struct error *e = NULL;
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	c->epoch = (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec - loop_now();
	c->net = n;
	c->node = node ? xstrdup(faults_node_named(n->faults, node, &e)) : NULL;
	c->stream = stream_new(n->loop, fd, RING_BYTES, on_gone, c);
	c->next = n->captures;
	n->captures = c;
	send_section(c);
	/* All ports at once, so that a file without packets is one with interfaces. */
	for (const struct zone *z = n->zones; z; z = z->next)
		for (const struct port *p = z->ports; p; p = p->next)
			if (!c->node || !strcmp(c->node, p->node))
				interface_of(c, p);
	stream_push(c->stream);
	if (n->kernel)
		kernel_watch(n);
}

void capture_end_all(struct net *n)
{
	while (n->captures)
		capture_free(n->captures);
}
