/* SPDX-License-Identifier: Apache-2.0 */
#include "store/http/web.h"
#include "base/loop.h"
#include "base/mem.h"

#include <curl/curl.h>
#include <stdlib.h>
#include <string.h>

#define CONNECTIONS 8L
#define TRIES 5
#define PAUSE_NS (200ull * 1000 * 1000) /* before the second try; each further one waits twice as long */
#define STALL_S 30L /* with less than a byte a second for so long a transfer is given up */

struct web {
	char *base;
	CURLM *multi;
	struct web_get **waiting; /* to be tried again */
	size_t nwaiting;
};

struct web *web_new(const char *url)
{
	struct web *w = xcalloc(1, sizeof(*w));
	size_t n = strlen(url);

	while (n && url[n - 1] == '/')
		n--;
	w->base = xstrndup(url, n);
	curl_global_init(CURL_GLOBAL_DEFAULT);
	w->multi = curl_multi_init();
	curl_multi_setopt(w->multi, CURLMOPT_MAX_TOTAL_CONNECTIONS, CONNECTIONS);
	return w;
}

void web_free(struct web *w)
{
	if (!w)
		return;
	curl_multi_cleanup(w->multi);
	curl_global_cleanup();
	free(w->waiting);
	free(w->base);
	free(w);
}

static size_t on_data(char *p, size_t size, size_t n, void *arg)
{
	struct web_get *g = arg;

	if (size * n > g->max - g->body.len)
		return 0;
	buf_add(&g->body, p, size * n);
	return size * n;
}

static void begin(struct web *w, struct web_get *g)
{
	CURL *c = g->easy = curl_easy_init();
	const char *ca = getenv("CURL_CA_BUNDLE");
	char range[64];

	buf_clear(&g->body);
	curl_easy_setopt(c, CURLOPT_URL, g->url);
	curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(c, CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 1L);
	curl_easy_setopt(c, CURLOPT_MAXREDIRS, 5L);
	curl_easy_setopt(c, CURLOPT_FAILONERROR, 1L);
	curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT, STALL_S);
	curl_easy_setopt(c, CURLOPT_LOW_SPEED_LIMIT, 1L);
	curl_easy_setopt(c, CURLOPT_LOW_SPEED_TIME, STALL_S);
	curl_easy_setopt(c, CURLOPT_NETRC, (long)CURL_NETRC_OPTIONAL);
	curl_easy_setopt(c, CURLOPT_USERAGENT, "croft/" CROFT_VERSION);
	curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_data);
	curl_easy_setopt(c, CURLOPT_WRITEDATA, g);
	curl_easy_setopt(c, CURLOPT_PRIVATE, g);
	if (ca && *ca)
		curl_easy_setopt(c, CURLOPT_CAINFO, ca);
	if (!g->whole) {
		if (g->len)
			snprintf(range, sizeof(range), "%llu-%llu", (unsigned long long)g->from, (unsigned long long)(g->from + g->len - 1));
		else
			snprintf(range, sizeof(range), "%llu-", (unsigned long long)g->from);
		curl_easy_setopt(c, CURLOPT_RANGE, range);
	}
	curl_multi_add_handle(w->multi, c);
}

static void end(struct web *w, struct web_get *g)
{
	if (!g->easy)
		return;
	curl_multi_remove_handle(w->multi, g->easy);
	curl_easy_cleanup(g->easy);
	g->easy = NULL;
}

static struct web_get *start(struct web *w, const char *path, bool whole, uint64_t from, uint64_t len, size_t max)
{
	struct web_get *g = xcalloc(1, sizeof(*g));

	g->url = xasprintf("%s/%s", w->base, path);
	g->path = g->url + strlen(w->base) + 1;
	g->whole = whole;
	g->from = from;
	g->len = len;
	g->max = max;
	begin(w, g);
	return g;
}

struct web_get *web_start(struct web *w, const char *path, uint64_t from, uint64_t len, size_t max)
{
	return start(w, path, false, from, len, max);
}

void web_get_free(struct web *w, struct web_get *g)
{
	if (!g)
		return;
	end(w, g);
	for (size_t i = 0; i < w->nwaiting; i++)
		if (w->waiting[i] == g)
			w->waiting[i] = w->waiting[--w->nwaiting];
	error_clear(&g->err);
	buf_free(&g->body);
	free(g->url);
	free(g);
}

/* Worth another try: the line, or a server that is busy. */
static bool passes(CURLcode rc, long status)
{
	return (rc == CURLE_HTTP_RETURNED_ERROR && (status >= 500 || status == 429)) || rc == CURLE_COULDNT_CONNECT ||
		rc == CURLE_OPERATION_TIMEDOUT || rc == CURLE_SEND_ERROR || rc == CURLE_RECV_ERROR || rc == CURLE_GOT_NOTHING ||
		rc == CURLE_PARTIAL_FILE;
}

static void finish(struct web *w, struct web_get *g, CURLcode rc)
{
	long status = 0;

	curl_easy_getinfo(g->easy, CURLINFO_RESPONSE_CODE, &status);
	end(w, g);
	if (rc != CURLE_OK && passes(rc, status) && ++g->tries < TRIES) {
		g->due = loop_now() + (PAUSE_NS << (g->tries - 1));
		w->waiting = xreallocarray(w->waiting, w->nwaiting + 1, sizeof(*w->waiting));
		w->waiting[w->nwaiting++] = g;
		return;
	}
	g->done = true;
	if (rc == CURLE_HTTP_RETURNED_ERROR && (status == 404 || status == 410)) {
		error_set(&g->err, ERR_NOT_FOUND, "%s: is not there", g->path);
	} else if (rc == CURLE_HTTP_RETURNED_ERROR) {
		error_set(&g->err, ERR_FAILED, "%s: the server answered with status %ld", g->path, status);
	} else if (rc == CURLE_WRITE_ERROR && status == 200 && !g->whole) {
		error_set(&g->err, ERR_FAILED, "%s: the server sends whole files where a part was asked for", g->path);
		error_hint(&g->err, "serve the store with a web server that knows ranges, as most do");
	} else if (rc == CURLE_WRITE_ERROR) {
		error_set(&g->err, ERR_FAILED, "%s: is larger than it can be", g->path);
	} else if (rc != CURLE_OK) {
		error_set(&g->err, ERR_FAILED, "%s: %s", g->path, curl_easy_strerror(rc));
	} else if (!g->whole && status != 206) {
		/* All of a small file may fit into what is allowed. */
		error_set(&g->err, ERR_FAILED, "%s: the server sends whole files where a part was asked for", g->path);
		error_hint(&g->err, "serve the store with a web server that knows ranges, as most do");
	}
}

/* Those whose pause is over; how many ms the others have to wait, at most ms. */
static int begin_due(struct web *w, int ms)
{
	uint64_t now = loop_now();

	for (size_t i = w->nwaiting; i-- > 0;) {
		struct web_get *g = w->waiting[i];

		if (g->due <= now) {
			w->waiting[i] = w->waiting[--w->nwaiting];
			begin(w, g);
		} else if ((g->due - now) / 1000000 + 1 < (uint64_t)ms) {
			ms = (int)((g->due - now) / 1000000 + 1);
		}
	}
	return ms;
}

int web_step(struct web *w, int fd, int ms, struct error **err)
{
	struct curl_waitfd extra = { .fd = fd, .events = CURL_WAIT_POLLIN };
	int running, left;
	CURLMcode rc;
	bool some = false;

	ms = begin_due(w, ms);
	rc = curl_multi_perform(w->multi, &running);
	for (CURLMsg *m; rc == CURLM_OK && (m = curl_multi_info_read(w->multi, &left));)
		if (m->msg == CURLMSG_DONE) {
			struct web_get *g = NULL;
			CURLcode result = m->data.result;

			curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, (char **)&g);
			finish(w, g, result);
			some = true;
		}
	if (rc == CURLM_OK && !some)
		rc = curl_multi_poll(w->multi, &extra, fd >= 0, ms, NULL);
	return rc == CURLM_OK ? 0 : error_set(err, ERR_FAILED, "%s: %s", w->base, curl_multi_strerror(rc));
}

int web_file(struct web *w, const char *path, size_t max, struct buf *ret, struct error **err)
{
	struct web_get *g = start(w, path, true, 0, 0, max);
	int rc = 0;

	while (rc == 0 && !g->done)
		rc = web_step(w, -1, 1000, err);
	if (rc == 0 && g->err)
		rc = error_move(err, &g->err);
	if (rc == 0)
		buf_add(ret, g->body.data, g->body.len);
	web_get_free(w, g);
	return rc;
}
