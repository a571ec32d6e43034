/* SPDX-License-Identifier: Apache-2.0 */
/* croft.hostname=NAME croft.domain=D croft.net=MAC,ADDR/PREFIX,GW,DNS on the kernel command line. */
#include "boot.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#define NETS_MAX 16
/* Named, because distributions build busybox with different places for it. */
#define DHCP_SCRIPT "/usr/share/udhcpc/default.script"

/* The next part up to a comma, into out; moves on. */
static void part(char **p, char *out, size_t size)
{
	size_t n = strcspn(*p, ",");

	snprintf(out, size, "%.*s", (int)n, *p);
	*p += n;
	if (**p)
		(*p)++;
}

static void parse_net(char *v, struct net_config *c)
{
	part(&v, c->mac, sizeof(c->mac));
	part(&v, c->address, sizeof(c->address));
	part(&v, c->gateway, sizeof(c->gateway));
	part(&v, c->dns, sizeof(c->dns));
}

static void dhcp(const char *ifname)
{
	char hostname[80] = "", option[100], path[128];
	const char *argv[] = { "udhcpc", "-b", "-S", "-s", DHCP_SCRIPT, "-i", ifname, "-x",
		option, NULL };
	const char *env[] = { "PATH=/usr/sbin:/usr/bin:/sbin:/bin", NULL };
	struct spawn sp = { .path = path, .argv = argv, .envp = env, .in = 0, .out = 2, .err = 2,
		.tty = -1 };

	gethostname(hostname, sizeof(hostname) - 1);
	snprintf(option, sizeof(option), "hostname:%s", hostname);
	if (spawn_lookup("udhcpc", env[0] + 5, path, sizeof(path)) < 0 || spawn(&sp) < 0)
		say("udhcpc for %s: %s", ifname, strerror(errno));
}

/* Every interface that no croft.net= speaks of. */
static void dhcp_others(const struct net_config *nets, size_t n)
{
	DIR *d = opendir("/sys/class/net");
	char path[320], mac[64];
	struct dirent *ent;

	while (d && (ent = readdir(d))) {
		size_t i = 0;

		if (ent->d_name[0] == '.' || strcmp(ent->d_name, "lo") == 0)
			continue;
		/* Only Ethernet (ARPHRD_ETHER): tunnels that modules bring along have no DHCP. */
		snprintf(path, sizeof(path), "/sys/class/net/%s/type", ent->d_name);
		if (read_text(path, mac, sizeof(mac)) < 0 || strcmp(mac, "1") != 0)
			continue;
		snprintf(path, sizeof(path), "/sys/class/net/%s/address", ent->d_name);
		if (read_text(path, mac, sizeof(mac)) < 0)
			continue;
		while (i < n && strcasecmp(nets[i].mac, mac) != 0)
			i++;
		if (i == n)
			dhcp(ent->d_name);
	}
	if (d)
		closedir(d);
}

void config_apply(void)
{
	static struct net_config nets[NETS_MAX];
	char line[4096], *save, domain[128] = "", hostname[128] = "tiny", why[256];
	size_t n = 0;

	read_text("/proc/cmdline", line, sizeof(line));
	for (char *w = strtok_r(line, " \n", &save); w; w = strtok_r(NULL, " \n", &save)) {
		if (strncmp(w, "croft.hostname=", 15) == 0)
			snprintf(hostname, sizeof(hostname), "%s", w + 15);
		else if (strncmp(w, "croft.domain=", 13) == 0)
			snprintf(domain, sizeof(domain), "%s", w + 13);
		else if (strncmp(w, "croft.net=", 10) == 0 && n < NETS_MAX)
			parse_net(w + 10, &nets[n++]);
	}
	if (net_set_hostname(hostname) < 0)
		say("host name %s: %s", hostname, strerror(errno));
	net_loopback();
	for (size_t i = 0; i < n; i++) {
		snprintf(nets[i].domain, sizeof(nets[i].domain), "%s", domain);
		if (net_apply(&nets[i], why, sizeof(why)) < 0)
			say("croft.net: %s", why);
	}
	dhcp_others(nets, n);
}
