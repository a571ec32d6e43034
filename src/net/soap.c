/* SPDX-License-Identifier: Apache-2.0 */
#include "net/soap.h"

#include <expat.h>
#include <string.h>

#define ENVELOPE "http://schemas.xmlsoap.org/soap/envelope/"
#define SEPARATOR '|'
#define XML_MAX 16384

struct reading {
	struct soap_call *call;
	XML_Parser parser;
	int depth;
	size_t value; /* bytes of the argument that is read */
	bool in_body, bad;
};

static void stop(struct reading *r)
{
	r->bad = true;
	XML_StopParser(r->parser, XML_FALSE);
}

/* "NAMESPACE|NAME" into two; what is too long is none of ours. */
static bool split(const char *name, char *ns, size_t ns_size, char *local)
{
	const char *bar = strrchr(name, SEPARATOR);
	size_t n = bar ? (size_t)(bar - name) : 0;

	name = bar ? bar + 1 : name;
	if (n >= ns_size || strlen(name) >= SOAP_NAME)
		return false;
	memcpy(ns, bar ? bar - n : "", n);
	ns[n] = '\0';
	strcpy(local, name);
	return true;
}

static void on_start(void *arg, const XML_Char *name, const XML_Char **attributes)
{
	struct reading *r = arg;
	struct soap_call *c = r->call;
	char ns[128], local[SOAP_NAME];
	int depth = r->depth++;

	if (!split(name, ns, sizeof(ns), local)) {
		stop(r);
		return;
	}
	if (depth == 0 && (strcmp(ns, ENVELOPE) || strcmp(local, "Envelope")))
		stop(r);
	if (depth == 1)
		r->in_body = !strcmp(ns, ENVELOPE) && !strcmp(local, "Body");
	if (depth < 2 || !r->in_body)
		return;
	if (depth == 2 && !*c->action) {
		strcpy(c->type, ns);
		strcpy(c->action, local);
	} else if (depth == 3 && c->nargs < SOAP_ARGS) {
		strcpy(c->args[c->nargs++].name, local);
		r->value = 0;
	} else {
		stop(r); /* a second action, too many arguments, or one that has parts */
	}
}

static void on_end(void *arg, const XML_Char *name)
{
	((struct reading *)arg)->depth--;
}

static void on_text(void *arg, const XML_Char *s, int len)
{
	struct reading *r = arg;
	char *value;

	if (r->depth != 4 || !r->in_body || !r->call->nargs)
		return;
	if (r->value + (size_t)len >= SOAP_VALUE) {
		stop(r);
		return;
	}
	value = r->call->args[r->call->nargs - 1].value;
	memcpy(value + r->value, s, (size_t)len);
	r->value += (size_t)len;
	value[r->value] = '\0';
}

/* Nobody needs document types here, and entities come by them. */
static void on_doctype(void *arg, const XML_Char *name, const XML_Char *sys, const XML_Char *pub, int has_internal)
{
	stop(arg);
}

bool soap_parse(const char *xml, size_t len, struct soap_call *ret)
{
	struct reading r = { .call = ret };

	memset(ret, 0, sizeof(*ret));
	r.parser = len <= XML_MAX ? XML_ParserCreateNS(NULL, SEPARATOR) : NULL;
	if (!r.parser)
		return false;
	XML_SetUserData(r.parser, &r);
	XML_SetElementHandler(r.parser, on_start, on_end);
	XML_SetCharacterDataHandler(r.parser, on_text);
	XML_SetStartDoctypeDeclHandler(r.parser, on_doctype);
	if (XML_Parse(r.parser, xml, (int)len, 1) != XML_STATUS_OK)
		r.bad = true;
	XML_ParserFree(r.parser);
	return !r.bad && *ret->action;
}

const char *soap_arg(const struct soap_call *c, const char *name)
{
	for (size_t i = 0; i < c->nargs; i++)
		if (!strcmp(c->args[i].name, name))
			return c->args[i].value;
	return NULL;
}
