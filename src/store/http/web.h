/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A store that a web server has, for croft-store-http: files as a whole, and records of packs by ranges, several at once. One thread.
 */
#ifndef CROFT_STORE_HTTP_WEB_H
#define CROFT_STORE_HTTP_WEB_H

#include "base/buf.h"
#include "base/error.h"
#include <stdbool.h>
#include <stdint.h>

struct web;
struct web *web_new(const char *url);
void web_free(struct web *w);

struct web_get {
	char *url;
	const char *path; /* in it, below the store: for errors, whose reader knows the rest */
	uint64_t from, len; /* len 0: up to the end; all of the file when whole */
	bool whole;
	size_t max;	    /* bytes; more is an error */
	struct buf body;
	bool done;
	struct error *err; /* when done */
	int tries;
	uint64_t due; /* when waiting to be tried again: then, by loop_now() */
	void *easy; /* the transfer; NULL when none is under way */
};
/* Begins; path is below the store's URL. It goes on in web_step. */
struct web_get *web_start(struct web *w, const char *path, uint64_t from, uint64_t len, size_t max);
void web_get_free(struct web *w, struct web_get *g); /* also one that is under way */
/* Moves everything on; waits at most ms, or until fd (unless -1) can be read. */
int web_step(struct web *w, int fd, int ms, struct error **err);
/* A whole file, waited for; appended. */
int web_file(struct web *w, const char *path, size_t max, struct buf *ret, struct error **err);

#endif
