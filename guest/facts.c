/* SPDX-License-Identifier: Apache-2.0 */
/* What the machine is, as one JSON object. */
#include "guest.h"

#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netpacket/packet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/utsname.h>
#include <time.h>

static void put_string(FILE *f, const char *s)
{
	fputc('"', f);
	for (; *s; s++) {
		unsigned char c = (unsigned char)*s;

		if (c == '"' || c == '\\')
			fprintf(f, "\\%c", c);
		else if (c < 0x20)
			fprintf(f, "\\u%04x", c);
		else
			fputc(c, f);
	}
	fputc('"', f);
}

static void put_field(FILE *f, const char *key, const char *value)
{
	fprintf(f, "\"%s\":", key);
	put_string(f, value);
	fputc(',', f);
}

/* PRETTY_NAME of os-release(5). */
static void os_name(char out[256])
{
	char text[4096], *p, *end;

	snprintf(out, 256, "%s", "linux");
	if (read_text("/etc/os-release", text, sizeof(text)) < 0)
		return;
	p = strstr(text, "PRETTY_NAME=");
	if (!p)
		return;
	p += strlen("PRETTY_NAME=");
	p += *p == '"';
	end = p + strcspn(p, "\"\n");
	snprintf(out, 256, "%.*s", (int)(end - p), p);
}

static void put_address(FILE *f, const struct ifaddrs *a)
{
	char text[INET6_ADDRSTRLEN];
	const uint8_t *mask;
	const void *addr;
	int bits = 0, n;

	if (a->ifa_addr->sa_family == AF_INET) {
		addr = &((const struct sockaddr_in *)(const void *)a->ifa_addr)->sin_addr;
		mask = (const void *)&((const struct sockaddr_in *)(const void *)a->ifa_netmask)
			       ->sin_addr;
		n = 4;
	} else {
		addr = &((const struct sockaddr_in6 *)(const void *)a->ifa_addr)->sin6_addr;
		mask = (const void *)&((const struct sockaddr_in6 *)(const void *)a->ifa_netmask)
			       ->sin6_addr;
		n = 16;
	}
	for (int i = 0; i < n; i++)
		bits += __builtin_popcount(mask[i]);
	if (inet_ntop(a->ifa_addr->sa_family, addr, text, sizeof(text)))
		fprintf(f, "\"%s/%d\"", text, bits);
}

static void put_interface(FILE *f, const struct ifaddrs *all, const struct ifaddrs *link)
{
	const struct sockaddr_ll *ll = (const void *)link->ifa_addr;
	const char *comma = "";

	fputc('{', f);
	put_field(f, "name", link->ifa_name);
	fprintf(f, "\"mac\":\"%02x:%02x:%02x:%02x:%02x:%02x\",", ll->sll_addr[0], ll->sll_addr[1],
		ll->sll_addr[2], ll->sll_addr[3], ll->sll_addr[4], ll->sll_addr[5]);
	fprintf(f, "\"up\":%s,\"addresses\":[", link->ifa_flags & IFF_UP ? "true" : "false");
	for (const struct ifaddrs *a = all; a; a = a->ifa_next) {
		if (!a->ifa_addr || !a->ifa_netmask || strcmp(a->ifa_name, link->ifa_name) != 0 ||
			(a->ifa_addr->sa_family != AF_INET && a->ifa_addr->sa_family != AF_INET6))
			continue;
		fputs(comma, f);
		put_address(f, a);
		comma = ",";
	}
	fputs("]}", f);
}

static void put_interfaces(FILE *f)
{
	struct ifaddrs *all = NULL;
	const char *comma = "";

	fputs("\"interfaces\":[", f);
	if (getifaddrs(&all) == 0) {
		for (const struct ifaddrs *a = all; a; a = a->ifa_next) {
			if (!a->ifa_addr || a->ifa_addr->sa_family != AF_PACKET ||
				(a->ifa_flags & IFF_LOOPBACK))
				continue;
			fputs(comma, f);
			put_interface(f, all, a);
			comma = ",";
		}
		freeifaddrs(all);
	}
	fputc(']', f);
}

void facts_open(struct guest *g, struct stream *s)
{
	char *text = NULL, os[256], up[64];
	size_t len = 0, n, done = 0;
	FILE *f = open_memstream(&text, &len);
	struct timespec now;
	struct utsname u;

	if (!f || uname(&u) < 0) {
		stream_error(g, s, ENOMEM, "out of memory");
		return;
	}
	os_name(os);
	fputc('{', f);
	put_field(f, "version", CROFT_VERSION);
	put_field(f, "hostname", u.nodename);
	put_field(f, "kernel", u.release);
	put_field(f, "arch", u.machine);
	put_field(f, "os", os);
	put_field(f, "boot_id", g->boot_id);
	if (read_text("/proc/uptime", up, sizeof(up)) > 0)
		fprintf(f, "\"uptime\":%.*s,", (int)strcspn(up, " "), up);
	clock_gettime(CLOCK_REALTIME, &now);
	fprintf(f, "\"time\":%lld.%03ld,", (long long)now.tv_sec, now.tv_nsec / 1000000);
	/* What it takes of a push that older ones do not. */
	fputs("\"attrs\":true,", f);
	put_interfaces(f);
	fputc('}', f);
	fclose(f);
	/* At most a window of it, which a new stream has; more is not a guest that one can describe. */
	if (len > FRAME_WINDOW)
		len = 0;
	while (done < len) {
		uint32_t part = (uint32_t)(len - done < FRAME_PAYLOAD ? len - done : FRAME_PAYLOAD);

		out_frame(g, &(struct frame){ .type = FRAME_DATA,
				     .channel = 1,
				     .stream = s->id,
				     .length = part,
				     .data = (const uint8_t *)text + done });
		done += part;
	}
	n = len;
	free(text);
	if (n)
		stream_exit(g, s, 0);
	else
		stream_error(g, s, EMSGSIZE, "facts too long");
}
