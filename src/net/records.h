/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names that the group's file adds to those of its machines. net.json: "records":[{"name":"api.example.org","type":"A",
 * "value":"10.1.2.3"},...]; types A, AAAA, CNAME, TXT, SRV ("value" the target, "priority", "weight", "port"). A name that begins
 * with "*." stands for all below it that have no records of their own (RFC 4592).
 */
#ifndef CROFT_NET_RECORDS_H
#define CROFT_NET_RECORDS_H

#include "base/error.h"
#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

enum { DNS_A = 1, DNS_CNAME = 5, DNS_PTR = 12, DNS_TXT = 16, DNS_AAAA = 28, DNS_SRV = 33, DNS_OPT = 41, DNS_ANY = 255 };
#define DNS_NAME_MAX 255

struct record {
	char *name;	/* lower case, without a dot at the end */
	uint16_t type;
	uint8_t *data;	/* as in an answer; of CNAME and SRV without the name */
	size_t len;
	char *target;	/* CNAME, SRV */
};
struct records {
	struct record *v;
	size_t n;
};

/* In the place of what there is; on error nothing changes. */
int records_load(struct records *r, const json_t *list, struct error **err);
void records_free(struct records *r);
/* The next record of a name after `at` (NULL: first), wildcards included when the name has none of its own. */
const struct record *records_find(const struct records *r, const char *name, const struct record *at);

#endif
