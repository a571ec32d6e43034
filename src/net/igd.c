/* SPDX-License-Identifier: Apache-2.0 */
#include "net/igd.h"
#include "base/mem.h"
#include "base/cleanup.h"
#include "base/strv.h"
#include "net/nat.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

/* 0 stands for no end in WANIPConnection:1; as version 2 has it, that is a week (2.3.16). */
#define LIFE_MAX 604800
#define NOTES 1024
#define ARGS_MAX 8

enum { INVALID_ACTION = 401, INVALID_ARGS = 402, FAILED = 501, NOT_AUTHORIZED = 606, BAD_INDEX = 713, NO_ENTRY = 714, NO_WILDCARD_PORT = 716,
	CONFLICT = 718, REMOTE_WILDCARD_ONLY = 726, READ_ONLY = 731 };

const char *const igd_types[IGD_SERVICES] = {
	[IGD_IP] = "urn:schemas-upnp-org:service:WANIPConnection:1",
	[IGD_COMMON] = "urn:schemas-upnp-org:service:WANCommonInterfaceConfig:1",
};

/* What a map was asked for; port 0: unused. Its text is the machine's own. */
struct igd_note {
	uint8_t proto;
	uint16_t port;
	char text[64];
};

const char *igd_error_text(int code)
{
	switch (code) {
	case INVALID_ACTION:
		return "Invalid Action";
	case INVALID_ARGS:
		return "Invalid Args";
	case NOT_AUTHORIZED:
		return "Action not authorized";
	case BAD_INDEX:
		return "SpecifiedArrayIndexInvalid";
	case NO_ENTRY:
		return "NoSuchEntryInArray";
	case NO_WILDCARD_PORT:
		return "WildCardNotPermittedInExtPort";
	case CONFLICT:
		return "ConflictInMappingEntry";
	case REMOTE_WILDCARD_ONLY:
		return "RemoteHostOnlySupportsWildcard";
	case READ_ONLY:
		return "ReadOnly";
	default:
		return "Action Failed";
	}
}

/* ---- notes ---- */

static struct igd_note *note_of(const struct router *r, uint8_t proto, uint16_t port)
{
	for (size_t i = 0; r->notes && i < NOTES; i++)
		if (r->notes[i].port == port && (!port || r->notes[i].proto == proto))
			return &r->notes[i];
	return NULL;
}

/* What has no room is cut between two characters of UTF-8. */
static void keep_text(struct igd_note *n, const char *text)
{
	size_t len = strlen(text);

	if (len >= sizeof(n->text))
		for (len = sizeof(n->text) - 1; len && (text[len] & 0xc0) == 0x80;)
			len--;
	memcpy(n->text, text, len);
	n->text[len] = '\0';
}

static void note(struct router *r, uint8_t proto, uint16_t port, const char *text)
{
	struct nat_static has;
	struct igd_note *n;

	if (!r->notes)
		r->notes = xcalloc(NOTES, sizeof(*r->notes));
	n = note_of(r, proto, port);
	if (!n)
		n = note_of(r, 0, 0);
	/* None unused: one whose map is over. There are as many as there can be maps. */
	for (size_t i = 0; i < NOTES && !n; i++)
		if (!nat_static_of(r->nat, r->notes[i].proto, r->notes[i].port, &has))
			n = &r->notes[i];
	if (n)
		*n = (struct igd_note){ .proto = proto, .port = port };
	if (n)
		keep_text(n, text);
}

static void forget_note(struct router *r, uint8_t proto, uint16_t port)
{
	struct igd_note *n = note_of(r, proto, port);

	if (n)
		n->port = 0;
}

json_t *igd_notes(const struct router *r)
{
	json_t *list = json_array();
	struct nat_static has;

	for (size_t i = 0; r->notes && i < NOTES; i++)
		if (r->notes[i].port && nat_static_of(r->nat, r->notes[i].proto, r->notes[i].port, &has))
			json_array_append_new(list, json_pack("[i, i, s]", (int)r->notes[i].proto, (int)r->notes[i].port, r->notes[i].text));
	return list;
}

void igd_restore(struct router *r, const json_t *list)
{
	const json_t *j;
	size_t i;

	igd_free(r);
	json_array_foreach(list, i, j)
	{
		json_int_t proto = json_integer_value(json_array_get(j, 0)), port = json_integer_value(json_array_get(j, 1));
		const char *text = json_string_value(json_array_get(j, 2));

		if (text && port > 0 && port < 65536 && (proto == IPPROTO_TCP || proto == IPPROTO_UDP))
			note(r, (uint8_t)proto, (uint16_t)port, text);
	}
}

void igd_free(struct router *r)
{
	free(r->notes);
	r->notes = NULL;
}

/* ---- arguments ---- */

static void escape(struct buf *out, const char *s)
{
	for (; *s; s++) {
		if (*s == '<')
			buf_adds(out, "&lt;");
		else if (*s == '>')
			buf_adds(out, "&gt;");
		else if (*s == '&')
			buf_adds(out, "&amp;");
		else
			buf_addc(out, *s);
	}
}

static void say(struct buf *out, const char *name, const char *value)
{
	buf_addf(out, "<%s>", name);
	escape(out, value);
	buf_addf(out, "</%s>", name);
}

static void say_number(struct buf *out, const char *name, uint64_t v)
{
	buf_addf(out, "<%s>%llu</%s>", name, (unsigned long long)v, name);
}

static void say_address(struct buf *out, const char *name, uint32_t ip)
{
	buf_addf(out, "<%s>%u.%u.%u.%u</%s>", name, ip >> 24, ip >> 16 & 255, ip >> 8 & 255, ip & 255, name);
}

static bool number(const struct soap_call *c, const char *name, uint32_t max, uint32_t *ret)
{
	const char *s = soap_arg(c, name);
	uint64_t v = 0;

	if (!s || !*s)
		return false;
	for (; *s; s++) {
		if (*s < '0' || *s > '9' || v > max)
			return false;
		v = v * 10 + (uint64_t)(*s - '0');
	}
	*ret = (uint32_t)v;
	return v <= max;
}

static bool protocol(const struct soap_call *c, uint8_t *ret)
{
	const char *s = soap_arg(c, "NewProtocol");

	*ret = s && !strcmp(s, "UDP") ? IPPROTO_UDP : IPPROTO_TCP;
	return s && (!strcmp(s, "UDP") || !strcmp(s, "TCP"));
}

/* The port and protocol that name an entry. 0, or an error. */
static int entry(const struct soap_call *c, uint8_t *proto, uint16_t *port)
{
	const char *remote = soap_arg(c, "NewRemoteHost");
	uint32_t v;

	if (!remote || !protocol(c, proto) || !number(c, "NewExternalPort", 65535, &v))
		return INVALID_ARGS;
	*port = (uint16_t)v;
	return *remote && strcmp(remote, "0.0.0.0") ? REMOTE_WILDCARD_ONLY : 0;
}

/* ---- actions ---- */

static int get_address(struct router *r, uint32_t client, const struct soap_call *c, struct buf *out)
{
	say_address(out, "NewExternalIPAddress", nat_settings(r->nat)->external);
	return 0;
}

static int add_mapping(struct router *r, uint32_t client, const struct soap_call *c, struct buf *out)
{
	const char *text = soap_arg(c, "NewPortMappingDescription"), *to = soap_arg(c, "NewInternalClient"), *on = soap_arg(c, "NewEnabled");
	uint64_t now = loop_now();
	struct nat_static has;
	struct in_addr ip;
	uint32_t inside, life;
	uint8_t proto;
	uint16_t port;
	int code = entry(c, &proto, &port);

	if (code)
		return code;
	if (!number(c, "NewInternalPort", 65535, &inside) || !number(c, "NewLeaseDuration", UINT32_MAX, &life) || !to ||
		inet_pton(AF_INET, to, &ip) != 1 || !text || !on)
		return INVALID_ARGS;
	/* A machine maps its own ports alone, as with PCP. */
	if (ntohl(ip.s_addr) != client)
		return NOT_AUTHORIZED;
	if (!port || !inside)
		return NO_WILDCARD_PORT;
	if (!strcmp(on, "0") || !strcasecmp(on, "false") || !strcasecmp(on, "no"))
		return FAILED; /* a map that does nothing: there is no such thing here */
	if (!life || life > LIFE_MAX)
		life = LIFE_MAX;
	if (nat_static_of(r->nat, proto, port, &has)) {
		if (has.ip != client || !has.ends)
			return CONFLICT;
		nat_unmap_asked(r->nat, proto, has.ip, has.port);
	}
	if (nat_map(r->nat, proto, port, client, (uint16_t)inside, life, now) < 0)
		return CONFLICT;
	note(r, proto, port, text);
	return 0;
}

static int delete_mapping(struct router *r, uint32_t client, const struct soap_call *c, struct buf *out)
{
	struct nat_static has;
	uint8_t proto;
	uint16_t port;
	int code = entry(c, &proto, &port);

	if (code)
		return code;
	if (!nat_static_of(r->nat, proto, port, &has))
		return NO_ENTRY;
	if (has.ip != client || !has.ends)
		return NOT_AUTHORIZED;
	nat_unmap_asked(r->nat, proto, has.ip, has.port);
	forget_note(r, proto, port);
	return 0;
}

static void say_entry(const struct router *r, const struct nat_static *m, bool generic, struct buf *out)
{
	const struct igd_note *n = note_of(r, m->proto, m->ext);
	uint64_t now = loop_now();

	if (generic) {
		say(out, "NewRemoteHost", "");
		say_number(out, "NewExternalPort", m->ext);
		say(out, "NewProtocol", m->proto == IPPROTO_UDP ? "UDP" : "TCP");
	}
	say_number(out, "NewInternalPort", m->port);
	say_address(out, "NewInternalClient", m->ip);
	say(out, "NewEnabled", "1");
	say(out, "NewPortMappingDescription", n ? n->text : "");
	say_number(out, "NewLeaseDuration", m->ends > now ? (m->ends - now) / 1000000000 : 0);
}

static int get_generic(struct router *r, uint32_t client, const struct soap_call *c, struct buf *out)
{
	struct nat_static m;
	uint32_t index;

	if (!number(c, "NewPortMappingIndex", 65535, &index))
		return INVALID_ARGS;
	if (!nat_static_at(r->nat, index, &m))
		return BAD_INDEX;
	say_entry(r, &m, true, out);
	return 0;
}

static int get_specific(struct router *r, uint32_t client, const struct soap_call *c, struct buf *out)
{
	struct nat_static m;
	uint8_t proto;
	uint16_t port;
	int code = entry(c, &proto, &port);

	if (code)
		return code;
	if (!nat_static_of(r->nat, proto, port, &m))
		return NO_ENTRY;
	say_entry(r, &m, false, out);
	return 0;
}

static int get_status(struct router *r, uint32_t client, const struct soap_call *c, struct buf *out)
{
	say(out, "NewConnectionStatus", "Connected");
	say(out, "NewLastConnectionError", "ERROR_NONE");
	say_number(out, "NewUptime", (loop_now() - r->inside->net->began) / 1000000000);
	return 0;
}

static int get_type(struct router *r, uint32_t client, const struct soap_call *c, struct buf *out)
{
	say(out, "NewConnectionType", "IP_Routed");
	say(out, "NewPossibleConnectionTypes", "IP_Routed");
	return 0;
}

static int get_nat(struct router *r, uint32_t client, const struct soap_call *c, struct buf *out)
{
	say(out, "NewRSIPAvailable", "0");
	say(out, "NewNATEnabled", "1");
	return 0;
}

static int read_only(struct router *r, uint32_t client, const struct soap_call *c, struct buf *out)
{
	return READ_ONLY;
}

static int nothing(struct router *r, uint32_t client, const struct soap_call *c, struct buf *out)
{
	return 0; /* it is connected already */
}

static int refused(struct router *r, uint32_t client, const struct soap_call *c, struct buf *out)
{
	return NOT_AUTHORIZED; /* one machine does not take the others' connection */
}

static int get_link(struct router *r, uint32_t client, const struct soap_call *c, struct buf *out)
{
	say(out, "NewWANAccessType", "Ethernet");
	say_number(out, "NewLayer1UpstreamMaxBitRate", 1000000000);
	say_number(out, "NewLayer1DownstreamMaxBitRate", 1000000000);
	say(out, "NewPhysicalLinkStatus", "Up");
	return 0;
}

/* Of the router's outer side; they are of 32 bits there. */
static int bytes_sent(struct router *r, uint32_t client, const struct soap_call *c, struct buf *out)
{
	say_number(out, "NewTotalBytesSent", (uint32_t)r->outer->rx_bytes);
	return 0;
}

static int bytes_received(struct router *r, uint32_t client, const struct soap_call *c, struct buf *out)
{
	say_number(out, "NewTotalBytesReceived", (uint32_t)r->outer->tx_bytes);
	return 0;
}

static int packets_sent(struct router *r, uint32_t client, const struct soap_call *c, struct buf *out)
{
	say_number(out, "NewTotalPacketsSent", (uint32_t)r->outer->rx_frames);
	return 0;
}

static int packets_received(struct router *r, uint32_t client, const struct soap_call *c, struct buf *out)
{
	say_number(out, "NewTotalPacketsReceived", (uint32_t)r->outer->tx_frames);
	return 0;
}

/* Arguments by the state variables that they are of. */
static const struct action {
	enum igd_service service;
	const char *name;
	int (*fn)(struct router *r, uint32_t client, const struct soap_call *c, struct buf *out);
	const char *in[ARGS_MAX + 1], *out[ARGS_MAX + 1]; /* without "New" in front */
} actions[] = {
	{ IGD_IP, "GetExternalIPAddress", get_address, { 0 }, { "ExternalIPAddress" } },
	{ IGD_IP, "AddPortMapping", add_mapping, { "RemoteHost", "ExternalPort", "Protocol", "InternalPort", "InternalClient", "Enabled",
		"PortMappingDescription", "LeaseDuration" }, { 0 } },
	{ IGD_IP, "DeletePortMapping", delete_mapping, { "RemoteHost", "ExternalPort", "Protocol" }, { 0 } },
	{ IGD_IP, "GetGenericPortMappingEntry", get_generic, { "PortMappingIndex" }, { "RemoteHost", "ExternalPort", "Protocol", "InternalPort",
		"InternalClient", "Enabled", "PortMappingDescription", "LeaseDuration" } },
	{ IGD_IP, "GetSpecificPortMappingEntry", get_specific, { "RemoteHost", "ExternalPort", "Protocol" }, { "InternalPort", "InternalClient",
		"Enabled", "PortMappingDescription", "LeaseDuration" } },
	{ IGD_IP, "GetStatusInfo", get_status, { 0 }, { "ConnectionStatus", "LastConnectionError", "Uptime" } },
	{ IGD_IP, "GetConnectionTypeInfo", get_type, { 0 }, { "ConnectionType", "PossibleConnectionTypes" } },
	{ IGD_IP, "SetConnectionType", read_only, { "ConnectionType" }, { 0 } },
	{ IGD_IP, "GetNATRSIPStatus", get_nat, { 0 }, { "RSIPAvailable", "NATEnabled" } },
	{ IGD_IP, "RequestConnection", nothing, { 0 }, { 0 } },
	{ IGD_IP, "ForceTermination", refused, { 0 }, { 0 } },
	{ IGD_COMMON, "GetCommonLinkProperties", get_link, { 0 }, { "WANAccessType", "Layer1UpstreamMaxBitRate", "Layer1DownstreamMaxBitRate",
		"PhysicalLinkStatus" } },
	{ IGD_COMMON, "GetTotalBytesSent", bytes_sent, { 0 }, { "TotalBytesSent" } },
	{ IGD_COMMON, "GetTotalBytesReceived", bytes_received, { 0 }, { "TotalBytesReceived" } },
	{ IGD_COMMON, "GetTotalPacketsSent", packets_sent, { 0 }, { "TotalPacketsSent" } },
	{ IGD_COMMON, "GetTotalPacketsReceived", packets_received, { 0 }, { "TotalPacketsReceived" } },
};

int igd_call(struct router *r, uint32_t client, enum igd_service s, const struct soap_call *call, struct buf *out)
{
	for (size_t i = 0; i < ARRAY_SIZE(actions); i++)
		if (actions[i].service == s && !strcmp(actions[i].name, call->action))
			return strcmp(call->type, igd_types[s]) ? INVALID_ACTION : actions[i].fn(r, client, call, out);
	return INVALID_ACTION;
}

/* ---- descriptions ---- */

void igd_uuid(const struct router *r, unsigned device, char ret[42])
{
	const uint8_t *m = r->outer->mac;

	snprintf(ret, 42, "uuid:63726f66-7400-4000-800%u-%02x%02x%02x%02x%02x%02x", device & 7, m[0], m[1], m[2], m[3], m[4], m[5]);
}

static void device(const struct router *r, unsigned level, struct buf *out)
{
	static const char *const types[] = { "InternetGatewayDevice", "WANDevice", "WANConnectionDevice" };
	char uuid[42];

	igd_uuid(r, level, uuid);
	buf_addf(out, "<device><deviceType>urn:schemas-upnp-org:device:%s:1</deviceType><friendlyName>", types[level]);
	escape(out, r->outer->node);
	buf_addf(out, "</friendlyName><manufacturer>croft</manufacturer><modelName>croft</modelName><UDN>%s</UDN>", uuid);
	if (level)
		buf_addf(out,
			"<serviceList><service><serviceType>%s</serviceType><serviceId>urn:upnp-org:serviceId:%s</serviceId>"
			"<SCPDURL>/%s.xml</SCPDURL><controlURL>/ctl/%s</controlURL><eventSubURL>/evt/%s</eventSubURL></service></serviceList>",
			igd_types[level == 1 ? IGD_COMMON : IGD_IP], level == 1 ? "WANCommonIFC1" : "WANIPConn1", level == 1 ? "common" : "ip",
			level == 1 ? "common" : "ip", level == 1 ? "common" : "ip");
	if (level < 2) {
		buf_adds(out, "<deviceList>");
		device(r, level + 1, out);
		buf_adds(out, "</deviceList>");
	}
	buf_adds(out, "</device>");
}

void igd_describe(const struct router *r, struct buf *out)
{
	buf_adds(out, "<?xml version=\"1.0\"?>\n<root xmlns=\"urn:schemas-upnp-org:device-1-0\"><specVersion><major>1</major><minor>0</minor>"
		      "</specVersion>");
	device(r, 0, out);
	buf_adds(out, "</root>\n");
}

static const char *type_of(const char *variable)
{
	static const struct {
		const char *name, *type;
	} types[] = { { "ExternalPort", "ui2" }, { "InternalPort", "ui2" }, { "PortMappingIndex", "ui2" }, { "Enabled", "boolean" },
		{ "RSIPAvailable", "boolean" }, { "NATEnabled", "boolean" }, { "LeaseDuration", "ui4" }, { "Uptime", "ui4" } };

	for (size_t i = 0; i < ARRAY_SIZE(types); i++)
		if (!strcmp(types[i].name, variable))
			return types[i].type;
	return !strncmp(variable, "Total", 5) || !strncmp(variable, "Layer1", 6) ? "ui4" : "string";
}

static void arguments(const char *const *names, const char *way, struct buf *out)
{
	for (; *names; names++)
		buf_addf(out, "<argument><name>New%s</name><direction>%s</direction><relatedStateVariable>%s</relatedStateVariable></argument>",
			*names, way, *names);
}

/* Each once: `seen` is what there was before. */
static void variables(const char *const *names, struct strv *seen, struct buf *out)
{
	for (; *names; names++) {
		if (strv_has(seen, *names))
			continue;
		strv_add(seen, *names);
		buf_addf(out, "<stateVariable sendEvents=\"no\"><name>%s</name><dataType>%s</dataType></stateVariable>", *names, type_of(*names));
	}
}

void igd_describe_service(enum igd_service s, struct buf *out)
{
	_cleanup_strv_ struct strv seen = STRV_INIT;

	buf_adds(out, "<?xml version=\"1.0\"?>\n<scpd xmlns=\"urn:schemas-upnp-org:service-1-0\"><specVersion><major>1</major><minor>0</minor>"
		      "</specVersion><actionList>");
	for (size_t i = 0; i < ARRAY_SIZE(actions); i++) {
		if (actions[i].service != s)
			continue;
		buf_addf(out, "<action><name>%s</name><argumentList>", actions[i].name);
		arguments(actions[i].in, "in", out);
		arguments(actions[i].out, "out", out);
		buf_adds(out, "</argumentList></action>");
	}
	buf_adds(out, "</actionList><serviceStateTable>");
	for (size_t i = 0; i < ARRAY_SIZE(actions); i++)
		if (actions[i].service == s) {
			variables(actions[i].in, &seen, out);
			variables(actions[i].out, &seen, out);
		}
	buf_adds(out, "</serviceStateTable></scpd>\n");
}
