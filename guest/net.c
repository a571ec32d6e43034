/* SPDX-License-Identifier: Apache-2.0 */
/* Interfaces by ioctl (netdevice(7)), resolv.conf, host name. IPv4: addresses are given, not discovered. */
#include "guest.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <net/route.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

int net_find(const char *mac, char ifname[32])
{
	DIR *d = opendir("/sys/class/net");
	char path[320], text[64];
	struct dirent *ent;
	int r = -1;

	while (d && r < 0 && (ent = readdir(d))) {
		if (ent->d_name[0] == '.' || strlen(ent->d_name) >= IFNAMSIZ)
			continue;
		snprintf(path, sizeof(path), "/sys/class/net/%s/address", ent->d_name);
		if (read_text(path, text, sizeof(text)) < 0 || strcasecmp(text, mac) != 0)
			continue;
		snprintf(ifname, 32, "%.15s", ent->d_name);
		r = 0;
	}
	if (d)
		closedir(d);
	if (r < 0)
		errno = ENODEV;
	return r;
}

static int if_up(int fd, const char *ifname)
{
	struct ifreq r = { 0 };

	snprintf(r.ifr_name, sizeof(r.ifr_name), "%.15s", ifname);
	if (ioctl(fd, SIOCGIFFLAGS, &r) < 0)
		return -1;
	r.ifr_flags |= IFF_UP | IFF_RUNNING;
	return ioctl(fd, SIOCSIFFLAGS, &r);
}

void net_loopback(void)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || if_up(fd, "lo") < 0)
		say("lo: %s", strerror(errno));
	if (fd >= 0)
		close(fd);
}

static void set_in(struct sockaddr *a, struct in_addr ip)
{
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_addr = ip };

	memcpy(a, &in, sizeof(in));
}

static int set_address(int fd, const char *ifname, struct in_addr ip, int bits)
{
	struct in_addr mask = { htonl(bits ? 0xffffffffu << (32 - bits) : 0) };
	struct ifreq r = { 0 };

	snprintf(r.ifr_name, sizeof(r.ifr_name), "%.15s", ifname);
	set_in(&r.ifr_addr, ip);
	if (ioctl(fd, SIOCSIFADDR, &r) < 0)
		return -1;
	set_in(&r.ifr_netmask, mask);
	return ioctl(fd, SIOCSIFNETMASK, &r);
}

static int set_gateway(int fd, const char *ifname, struct in_addr gw)
{
	char dev[32];
	struct rtentry r = { .rt_flags = RTF_UP | RTF_GATEWAY, .rt_dev = dev };

	snprintf(dev, sizeof(dev), "%s", ifname);
	set_in(&r.rt_dst, (struct in_addr){ 0 });
	set_in(&r.rt_genmask, (struct in_addr){ 0 });
	set_in(&r.rt_gateway, gw);
	/* One default route of ours; an old one through the same interface makes way. */
	ioctl(fd, SIOCDELRT,
		&(struct rtentry){ .rt_flags = RTF_UP, .rt_dev = dev, .rt_dst = r.rt_dst,
			.rt_genmask = r.rt_genmask });
	return ioctl(fd, SIOCADDRT, &r) < 0 && errno != EEXIST ? -1 : 0;
}

void net_resolv(const char *dns, const char *domain)
{
	char text[1024] = "", list[256], *save, *p;
	size_t n = 0;

	if (*domain)
		n = (size_t)snprintf(text, sizeof(text), "search %.200s\n", domain);
	snprintf(list, sizeof(list), "%s", dns);
	for (p = strtok_r(list, "; ", &save); p; p = strtok_r(NULL, "; ", &save)) {
		struct in_addr a;

		if (inet_pton(AF_INET, p, &a) == 1 && n < sizeof(text) - 40)
			n += (size_t)snprintf(text + n, sizeof(text) - n, "nameserver %s\n", p);
	}
	if (n && write_text("/etc/resolv.conf", text, 0644) < 0)
		say("/etc/resolv.conf: %s", strerror(errno));
}

/* Its own name resolves without a server: many programs wait for that. */
static void hosts_entry(const char *name)
{
	char text[16384], *save, line[256];
	ssize_t n = read_text("/etc/hosts", text, sizeof(text));
	FILE *f;

	if (n > 0) {
		for (char *w = strtok_r(text, " \t\n", &save); w; w = strtok_r(NULL, " \t\n", &save))
			if (strcmp(w, name) == 0)
				return;
	}
	f = fopen("/etc/hosts", "ae");
	if (!f)
		return;
	snprintf(line, sizeof(line), "%s127.0.1.1\t%s\n", n > 0 ? "" : "127.0.0.1\tlocalhost\n", name);
	fputs(line, f);
	fclose(f);
}

int net_set_hostname(const char *name)
{
	char line[80];

	if (!*name || strlen(name) > 63) {
		errno = EINVAL;
		return -1;
	}
	if (sethostname(name, strlen(name)) < 0)
		return -1;
	snprintf(line, sizeof(line), "%s\n", name);
	if (write_text("/etc/hostname", line, 0644) < 0)
		return -1;
	hosts_entry(name);
	return 0;
}

static int fail(char *why, size_t size, int code, const char *what, const char *which)
{
	snprintf(why, size, "%s %s: %s", what, which, strerror(code));
	errno = code;
	return -1;
}

int net_apply(const struct net_config *c, char *why, size_t size)
{
	struct in_addr ip, gw;
	char address[48], ifname[32], *slash;
	long bits = 24;
	int fd, r = 0;

	snprintf(address, sizeof(address), "%s", c->address);
	slash = strchr(address, '/');
	if (slash) {
		*slash = '\0';
		bits = strtol(slash + 1, &slash, 10);
	}
	if (inet_pton(AF_INET, address, &ip) != 1 || bits < 0 || bits > 32 || (slash && *slash))
		return fail(why, size, EINVAL, "address", c->address);
	if (*c->gateway && inet_pton(AF_INET, c->gateway, &gw) != 1)
		return fail(why, size, EINVAL, "gateway", c->gateway);
	if (net_find(c->mac, ifname) < 0)
		return fail(why, size, errno, "interface with address", c->mac);
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || set_address(fd, ifname, ip, (int)bits) < 0 || if_up(fd, ifname) < 0)
		r = fail(why, size, errno, "set up", ifname);
	else if (*c->gateway && set_gateway(fd, ifname, gw) < 0)
		r = fail(why, size, errno, "route through", c->gateway);
	if (fd >= 0)
		close(fd);
	if (r < 0)
		return -1;
	if (*c->dns || *c->domain)
		net_resolv(c->dns, c->domain);
	if (*c->hostname && net_set_hostname(c->hostname) < 0)
		return fail(why, size, errno, "host name", c->hostname);
	return 0;
}

static void take(struct stream *s, uint8_t key, char *out, size_t size)
{
	char *v = stream_string(s, key);

	snprintf(out, size, "%s", v ? v : "");
	free(v);
}

void net_open(struct guest *g, struct stream *s)
{
	struct net_config c = { 0 };
	char why[256];

	take(s, FRAME_K_MAC, c.mac, sizeof(c.mac));
	take(s, FRAME_K_ADDRESS, c.address, sizeof(c.address));
	take(s, FRAME_K_GATEWAY, c.gateway, sizeof(c.gateway));
	take(s, FRAME_K_DNS, c.dns, sizeof(c.dns));
	take(s, FRAME_K_HOSTNAME, c.hostname, sizeof(c.hostname));
	if (net_apply(&c, why, sizeof(why)) < 0)
		stream_error(g, s, errno, why);
	else
		stream_exit(g, s, 0);
}
