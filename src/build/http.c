/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GET and HEAD, one connection after another: installers fetch a handful of small files. HTTP/1.1 (RFC 9112) with one request a
 * connection. Paths are resolved beneath the folder's descriptor, so neither ".." nor a link leads out.
 */
#include "build/http.h"

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/mem.h"
#include "base/strv.h"
#include "base/units.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#define HEAD_MAX 16384
#define IDLE_S 5 /* a silent client must not hold up the others */
#define BLOCK 65536

struct http {
	int listen, stop, dir; /* stop: an eventfd */
	const struct val *content;
	unsigned port;
	pthread_t thread;
};

struct client {
	struct http *h;
	int fd;
};

static bool send_all(int fd, const void *p, size_t n)
{
	const char *s = p;

	while (n) {
		ssize_t w = send(fd, s, n, MSG_NOSIGNAL);

		if (w < 0 && errno == EINTR)
			continue;
		if (w <= 0)
			return false;
		s += w;
		n -= (size_t)w;
	}
	return true;
}

static void answer(int fd, const char *status, const char *type, const char *more, const void *p, size_t n, bool head)
{
	_cleanup_buf_ struct buf b = BUF_INIT;

	buf_addf(&b, "HTTP/1.1 %s\r\nContent-Length: %zu\r\nContent-Type: %s\r\n%sConnection: close\r\n\r\n", status, n, type, more);
	if (!head)
		buf_add(&b, p, n);
	send_all(fd, b.data, b.len);
}

static void answer_text(int fd, const char *status, const char *more, const char *text, bool head)
{
	answer(fd, status, "text/plain; charset=utf-8", more, text, strlen(text), head);
}

static const char *type_of(const char *path)
{
	static const char *const types[][2] = { { ".html", "text/html; charset=utf-8" }, { ".json", "application/json" }, { ".gz", "application/gzip" },
		{ ".txt", "text/plain; charset=utf-8" }, { ".cfg", "text/plain; charset=utf-8" }, { ".xml", "text/xml; charset=utf-8" } };
	const char *dot = strrchr(path, '.');

	for (size_t i = 0; dot && i < ARRAY_SIZE(types); i++)
		if (!strcmp(dot, types[i][0]))
			return types[i][1];
	return "application/octet-stream";
}

static void send_file(int fd, int file, const struct stat *st, const char *path, bool head)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	_cleanup_free_ char *block = xmalloc(BLOCK);
	ssize_t n;

	buf_addf(&b, "HTTP/1.1 200 OK\r\nContent-Length: %lld\r\nContent-Type: %s\r\nConnection: close\r\n\r\n", (long long)st->st_size, type_of(path));
	if (!send_all(fd, b.data, b.len) || head)
		return;
	while ((n = read(file, block, BLOCK)) > 0)
		if (!send_all(fd, block, (size_t)n))
			return;
}

static int open_beneath(int dir, const char *path, int flags)
{
	struct open_how how = { .flags = (uint64_t)(flags | O_CLOEXEC), .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS };

	return (int)syscall(SYS_openat2, dir, *path ? path : ".", &how, sizeof how);
}

static void list(int fd, int dirfd, bool head)
{
	_cleanup_strv_ struct strv names = STRV_INIT;
	_cleanup_buf_ struct buf b = BUF_INIT;
	DIR *d = fdopendir(dup(dirfd));
	const struct dirent *e;

	while (d && (e = readdir(d)))
		if (strcmp(e->d_name, ".") && strcmp(e->d_name, ".."))
			strv_addf(&names, "%s%s", e->d_name, e->d_type == DT_DIR ? "/" : "");
	if (d)
		closedir(d);
	strv_sort(&names);
	buf_adds(&b, "<pre>\n");
	for (size_t i = 0; i < names.len; i++) {
		_cleanup_buf_ struct buf name = BUF_INIT, url = BUF_INIT;

		for (const char *s = names.v[i]; *s; s++) {
			if (*s == '<' || *s == '&' || *s == '"')
				buf_addf(&name, "&#%d;", *s);
			else
				buf_addc(&name, *s);
			if (isalnum((unsigned char)*s) || strchr("-_.~/", *s))
				buf_addc(&url, *s);
			else
				buf_addf(&url, "%%%02X", (unsigned char)*s);
		}
		buf_addf(&b, "<a href=\"%s\">%s</a>\n", buf_str(&url), buf_str(&name));
	}
	buf_adds(&b, "</pre>\n");
	answer(fd, "200 OK", "text/html; charset=utf-8", "", b.data, b.len, head);
}

static void serve_dir(struct client *c, const char *path, bool head)
{
	const char *below = path + strspn(path, "/");
	_cleanup_close_ int fd = open_beneath(c->h->dir, below, O_RDONLY);
	size_t n = strlen(path);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0) {
		answer_text(c->fd, "404 Not Found", "", "404 page not found\n", head);
		return;
	}
	if (S_ISDIR(st.st_mode) && path[n - 1] != '/') {
		_cleanup_free_ char *more = xasprintf("Location: %s/\r\n", path);

		answer_text(c->fd, "301 Moved Permanently", more, "", head);
	} else if (S_ISDIR(st.st_mode)) {
		_cleanup_close_ int index = openat(fd, "index.html", O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

		if (index >= 0 && fstat(index, &st) == 0 && S_ISREG(st.st_mode))
			send_file(c->fd, index, &st, "index.html", head);
		else
			list(c->fd, fd, head);
	} else if (S_ISREG(st.st_mode)) {
		send_file(c->fd, fd, &st, path, head);
	} else {
		answer_text(c->fd, "403 Forbidden", "", "not a file\n", head);
	}
}

static void serve_content(struct client *c, const char *path, bool head)
{
	const struct val *content = c->h->content;
	_cleanup_free_ char *text = NULL;
	const char *near;

	for (size_t i = 0; i < content->len; i++)
		if (!strcmp(content->keys[i], path)) {
			answer(c->fd, "200 OK", type_of(path), "", content->items[i]->text, strlen(content->items[i]->text), head);
			return;
		}
	near = nearest_name(path, (const char *const *)content->keys, content->len);
	text = xasprintf("404 not found: %s%s%s\n", path, near ? "; did you mean " : "", near ? near : "");
	answer_text(c->fd, "404 Not Found", "", text, head);
}

/* %41 becomes A, in place; what stands behind '?' goes. False: a NUL or half an escape. */
static bool decode(char *s)
{
	char *to = s;

	for (; *s && *s != '?' && *s != '#'; s++) {
		unsigned v;

		if (*s != '%') {
			*to++ = *s;
			continue;
		}
		if (!isxdigit((unsigned char)s[1]) || !isxdigit((unsigned char)s[2]) || sscanf(s + 1, "%2x", &v) != 1 || !v)
			return false;
		*to++ = (char)v;
		s += 2;
	}
	*to = '\0';
	return true;
}

static void serve(struct client *arg)
{
	_cleanup_free_ struct client *c = arg;
	struct timeval idle = { .tv_sec = IDLE_S };
	char head[HEAD_MAX + 1], *path, *end;
	size_t n = 0;
	ssize_t r;
	bool only_head;

	setsockopt(c->fd, SOL_SOCKET, SO_RCVTIMEO, &idle, sizeof idle);
	setsockopt(c->fd, SOL_SOCKET, SO_SNDTIMEO, &idle, sizeof idle);
	head[0] = '\0';
	while (n < HEAD_MAX && !strstr(head, "\r\n\r\n") && !strstr(head, "\n\n") && (r = recv(c->fd, head + n, HEAD_MAX - n, 0)) > 0) {
		n += (size_t)r;
		head[n] = '\0';
	}
	only_head = !strncmp(head, "HEAD ", 5);
	path = only_head ? head + 5 : !strncmp(head, "GET ", 4) ? head + 4 : NULL;
	end = path ? path + strcspn(path, " \r\n") : NULL;
	if (!path || *path != '/') {
		answer_text(c->fd, path ? "400 Bad Request" : "405 Method Not Allowed", "", "GET is what is served\n", false);
	} else {
		*end = '\0';
		if (!decode(path))
			answer_text(c->fd, "400 Bad Request", "", "the path is not understood\n", false);
		else if (c->h->content)
			serve_content(c, path, only_head);
		else
			serve_dir(c, path, only_head);
	}
	shutdown(c->fd, SHUT_WR);
	close(c->fd);
}

static void *accept_all(void *arg)
{
	struct http *h = arg;
	struct pollfd fds[2] = { { .fd = h->listen, .events = POLLIN }, { .fd = h->stop, .events = POLLIN } };

	for (;;) {
		struct client *c;
		int fd;

		if (poll(fds, 2, -1) < 0 && errno != EINTR)
			break;
		if (fds[1].revents)
			break;
		fd = fds[0].revents ? accept4(h->listen, NULL, NULL, SOCK_CLOEXEC) : -1;
		if (fd < 0)
			continue;
		c = xcalloc(1, sizeof(*c));
		*c = (struct client){ .h = h, .fd = fd };
		serve(c);
	}
	return NULL;
}

static int listen_on(const char *address, unsigned min, unsigned max, unsigned *port, struct error **err)
{
	struct sockaddr_in at = { .sin_family = AF_INET };

	if (inet_pton(AF_INET, address, &at.sin_addr) != 1)
		return error_set(err, ERR_USAGE, "http_bind_address: '%s' is no IPv4 address", address);
	for (unsigned p = min; p <= max; p++) {
		int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;

		at.sin_port = htons((uint16_t)p);
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
		if (fd >= 0 && bind(fd, (struct sockaddr *)&at, sizeof at) == 0 && listen(fd, 64) == 0) {
			*port = p;
			return fd;
		}
		if (fd >= 0)
			close(fd);
	}
	error_set(err, ERR_STATE, "no port from %u to %u is free on %s for the HTTP server", min, max, address);
	return error_hint(err, "give others: http_port_min, http_port_max");
}

struct http *http_start(const char *dir, const struct val *content, const char *address, unsigned min, unsigned max, struct error **err)
{
	struct http *h = xcalloc(1, sizeof(*h));
	sigset_t all, old;

	h->dir = -1;
	h->stop = -1;
	h->content = dir ? NULL : content;
	h->listen = listen_on(address, min, max, &h->port, err);
	if (h->listen >= 0 && dir && (h->dir = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0)
		error_errno(err, errno, "http_directory %s", dir);
	if (!*err && (h->stop = eventfd(0, EFD_CLOEXEC)) >= 0) {
		int rc;

		/* Ctrl-C is for the main thread, whose calls it breaks off */
		sigfillset(&all);
		pthread_sigmask(SIG_SETMASK, &all, &old);
		rc = pthread_create(&h->thread, NULL, accept_all, h);
		pthread_sigmask(SIG_SETMASK, &old, NULL);
		if (rc == 0)
			return h;
		error_errno(err, rc, "the HTTP server's thread");
	}
	for (int *fd = (int[]){ h->listen, h->stop, h->dir, -2 }; *fd != -2; fd++)
		if (*fd >= 0)
			close(*fd);
	free(h);
	return NULL;
}

unsigned http_port(const struct http *h)
{
	return h ? h->port : 0;
}

void http_stop(struct http *h)
{
	uint64_t one = 1;

	if (!h)
		return;
	if (write(h->stop, &one, sizeof one) == sizeof one)
		pthread_join(h->thread, NULL);
	close(h->listen);
	close(h->stop);
	if (h->dir >= 0)
		close(h->dir);
	free(h);
}
