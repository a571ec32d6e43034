/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Load for a switch, as QEMU's netdevs make it: one process sends Ethernet frames, another receives them. One frame a system call
 * when sending, as many as come when receiving, as QEMU does.
 *
 *	frames rate stream A.sock B.sock SECONDS SIZE	listens on both (-netdev stream,server=on) until a switch connects
 *	frames rate vde SWITCH SECONDS SIZE		two plugs of a vde_switch
 *	frames rate pair SECONDS SIZE			no switch: a bare socket pair
 *	frames trip stream|vde|pair ... COUNT SIZE	round trips, one after the other
 *	frames delay A.sock B.sock SECONDS PER_SECOND	how exactly a delay is kept, sent at this rate in bursts of some
 *	frames crowd PREFIX N				listens on PREFIX1 .. PREFIXN, sends from each to all; "ready"; until it is ended
 *
 * prints one number: frames received a second; the median of a round trip in ns; for delay the 99th percentile of the time on the
 * way, in us.
 */
#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define FRAME_MAX 65536
#define BURST_NS 100000
#define SAMPLES (1 << 22)

static const uint8_t mac[2][6] = { { 0x52, 0x54, 0, 0, 0, 1 }, { 0x52, 0x54, 0, 0, 0, 2 } };
static int ends[2];
static int datagrams;
static struct shared {
	volatile int go, done;
	uint64_t received, first, last, n;
	uint64_t samples[SAMPLES];
} *shared;

static void die(const char *what)
{
	fprintf(stderr, "frames: %s: %s\n", what, strerror(errno));
	exit(2);
}

static uint64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static int listen_at(const char *path)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	strncpy(a.sun_path, path, sizeof(a.sun_path) - 1);
	unlink(path);
	if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0 || listen(fd, 4) < 0)
		die(path);
	return fd;
}

static void open_stream(char **path)
{
	int l[2] = { listen_at(path[0]), listen_at(path[1]) };

	printf("listening\n");
	fflush(stdout);
	for (int i = 0; i < 2; i++)
		if ((ends[i] = accept(l[i], NULL, NULL)) < 0)
			die("accept");
}

/* A plug of a vde_switch: the request on its control socket names the socket that we receive on, the answer that to send to. */
static int plug(const char *dir, int i)
{
	struct {
		uint32_t magic, version;
		uint32_t type;
		struct sockaddr_un sock;
		char description[128];
	} __attribute__((packed)) request = { 0xfeedface, 3, 0, { .sun_family = AF_UNIX }, "" };
	struct sockaddr_un a = { .sun_family = AF_UNIX }, to;
	int control = socket(AF_UNIX, SOCK_STREAM, 0), fd = socket(AF_UNIX, SOCK_DGRAM, 0);

	snprintf(a.sun_path, sizeof(a.sun_path), "%s/ctl", dir);
	snprintf(request.sock.sun_path, sizeof(request.sock.sun_path), "%s.plug%d", dir, i);
	unlink(request.sock.sun_path);
	if (bind(fd, (struct sockaddr *)&request.sock, sizeof(request.sock)) < 0 ||
		connect(control, (struct sockaddr *)&a, sizeof(a)) < 0 || write(control, &request, sizeof(request)) < 0 ||
		read(control, &to, sizeof(to)) <= 0 || connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0)
		die("vde_switch");
	return fd; /* control stays open: closing it pulls the plug */
}

static void open_ends(char ***arg)
{
	const char *kind = *(*arg)++;

	if (!strcmp(kind, "stream")) {
		open_stream(*arg);
		*arg += 2;
	} else if (!strcmp(kind, "vde")) {
		ends[0] = plug(**arg, 0);
		ends[1] = plug(**arg, 1);
		datagrams = 1;
		(*arg)++;
	} else if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends) < 0) {
		die("socketpair");
	}
}

static void make_frame(uint8_t *f, int from)
{
	memset(f, 0, FRAME_MAX);
	memcpy(f, mac[!from], 6);
	memcpy(f + 6, mac[from], 6);
	f[12] = 0x88;
	f[13] = 0xb5;
}

static int send_frame(int fd, const uint8_t *f, size_t len)
{
	uint32_t head = __builtin_bswap32((uint32_t)len);
	struct iovec v[2] = { { &head, 4 }, { (void *)f, len } };

	if (datagrams) {
		while (send(fd, f, len, 0) < 0)
			if (errno != EINTR && errno != ENOBUFS && errno != EAGAIN)
				return -1;
		return 0;
	}
	for (size_t done = 0; done < len + 4;) {
		ssize_t n = writev(fd, v, 2);

		if (n < 0 && errno != EINTR)
			return -1;
		for (int i = 0; i < 2 && n > 0; i++) {
			size_t k = (size_t)n < v[i].iov_len ? (size_t)n : v[i].iov_len;

			v[i].iov_base = (char *)v[i].iov_base + k;
			v[i].iov_len -= k;
			n -= (ssize_t)k;
			done += k;
		}
	}
	return 0;
}

/* Whole frames as they come; 0 when nothing has come for `wait` ms. */
struct receiver {
	int fd;
	size_t at, len;
	uint8_t b[4 * (FRAME_MAX + 4)];
};
static size_t receive(struct receiver *r, int wait, const uint8_t **frame)
{
	for (;;) {
		ssize_t n;

		if (!datagrams && r->len - r->at >= 4) {
			uint32_t size;

			memcpy(&size, r->b + r->at, 4);
			size = __builtin_bswap32(size);
			if (r->len - r->at - 4 >= size) {
				*frame = r->b + r->at + 4;
				r->at += size + 4;
				return size;
			}
		}
		memmove(r->b, r->b + r->at, r->len - r->at);
		r->len -= r->at;
		r->at = 0;
		if (wait >= 0) {
			struct pollfd p = { .fd = r->fd, .events = POLLIN };

			if (poll(&p, 1, wait) <= 0)
				return 0;
		}
		n = datagrams ? recv(r->fd, r->b, FRAME_MAX, 0) : read(r->fd, r->b + r->len, FRAME_MAX + 4);
		if (n <= 0)
			return 0;
		if (datagrams) {
			*frame = r->b;
			return (size_t)n;
		}
		r->len += (size_t)n;
	}
}

static int ours(const uint8_t *f, size_t n)
{
	return n >= 60 && f[12] == 0x88 && f[13] == 0xb5;
}

static void count(void)
{
	static struct receiver r;
	const uint8_t *f;
	size_t n;

	r.fd = ends[1];
	while ((n = receive(&r, 300, &f))) {
		if (!ours(f, n))
			continue;
		if (!shared->received++)
			shared->first = now();
		if ((shared->received & 63) == 0)
			shared->last = now();
	}
}

static pid_t in_child(void (*fn)(void))
{
	pid_t p = fork();

	if (p < 0)
		die("fork");
	if (!p) {
		fn();
		_exit(0);
	}
	return p;
}

static void rate(char **arg)
{
	static uint8_t f[FRAME_MAX];
	uint64_t end;
	size_t size;
	pid_t p;

	open_ends(&arg);
	size = (size_t)atoi(arg[1]);
	make_frame(f, 0);
	usleep(100000);
	p = in_child(count);
	end = now() + (uint64_t)(atof(arg[0]) * 1e9);
	while (now() < end)
		for (int i = 0; i < 16; i++)
			if (send_frame(ends[0], f, size) < 0)
				die("send");
	waitpid(p, NULL, 0);
	if (shared->last <= shared->first) {
		fprintf(stderr, "frames: none arrived\n");
		exit(1);
	}
	printf("%.0f\n", (double)(shared->received & ~63ull) * 1e9 / (double)(shared->last - shared->first));
}

static size_t trip_size;
static void echo(void)
{
	static uint8_t f[FRAME_MAX];
	static struct receiver r;
	const uint8_t *got;
	size_t n;

	r.fd = ends[1];
	make_frame(f, 1);
	while ((n = receive(&r, 3000, &got)))
		if (ours(got, n) && send_frame(ends[1], f, trip_size) < 0)
			return;
}

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static void trip(char **arg)
{
	static uint8_t f[FRAME_MAX];
	static struct receiver r;
	const uint8_t *got;
	size_t n;
	pid_t p;

	open_ends(&arg);
	trip_size = (size_t)atoi(arg[1]);
	make_frame(f, 0);
	r.fd = ends[0];
	usleep(100000);
	p = in_child(echo);
	for (int i = 0; i < atoi(arg[0]); i++) {
		uint64_t start = now();

		if (send_frame(ends[0], f, trip_size) < 0)
			die("send");
		do
			n = receive(&r, 3000, &got);
		while (n && !ours(got, n));
		if (!n)
			die("no answer");
		shared->samples[shared->n++] = now() - start;
	}
	close(ends[0]);
	close(ends[1]);
	waitpid(p, NULL, 0);
	qsort(shared->samples, shared->n, sizeof(uint64_t), compare);
	printf("%llu\n", (unsigned long long)shared->samples[shared->n / 2]);
}

static void stamp(void)
{
	static struct receiver r;
	const uint8_t *f;
	size_t n;

	r.fd = ends[1];
	while (shared->n < SAMPLES && (n = receive(&r, 2000, &f))) {
		uint64_t sent;

		if (!ours(f, n))
			continue;
		memcpy(&sent, f + 14, 8);
		shared->samples[shared->n++] = now() - sent;
	}
}

static void delay(char **arg)
{
	static uint8_t f[FRAME_MAX];
	uint64_t start, per_second = (uint64_t)atoll(arg[3]), total = (uint64_t)(atof(arg[2]) * (double)per_second);
	pid_t p;

	open_stream(arg);
	make_frame(f, 0);
	prctl(PR_SET_TIMERSLACK, 1);
	usleep(100000);
	p = in_child(stamp);
	start = now();
	for (uint64_t i = 0; i < total; i++) {
		uint64_t due = start + i * 1000000000u / per_second, t;

		/* In bursts of some: who sends must not take the processor that the switch needs. */
		while ((t = now()) < due)
			nanosleep(&(struct timespec){ 0, BURST_NS }, NULL);
		memcpy(f + 14, &t, 8);
		if (send_frame(ends[0], f, 100) < 0)
			die("send");
	}
	waitpid(p, NULL, 0);
	qsort(shared->samples, shared->n, sizeof(uint64_t), compare);
	if (shared->n < total / 2) {
		fprintf(stderr, "frames: only %llu of %llu arrived\n", (unsigned long long)shared->n, (unsigned long long)total);
		exit(1);
	}
	printf("%.1f\n", (double)shared->samples[shared->n * 99 / 100] / 1e3);
}

static void crowd(char **arg)
{
	static uint8_t f[FRAME_MAX], sink[FRAME_MAX];
	int n = atoi(arg[1]), fds[64];

	if (n < 1 || n > 64)
		n = 64;
	for (int i = 0; i < n; i++) {
		char path[108];

		snprintf(path, sizeof(path), "%s%d.sock", arg[0], i + 1);
		fds[i] = listen_at(path);
	}
	printf("listening\n");
	fflush(stdout);
	for (int i = 0; i < n; i++)
		if ((fds[i] = accept(fds[i], NULL, NULL)) < 0)
			die("accept");
	make_frame(f, 0);
	memset(f, 255, 6);
	for (int k = 0; k < 200; k++)
		for (int i = 0; i < n; i++) {
			f[11] = (uint8_t)(i + 1);
			if (send_frame(fds[i], f, 1514) < 0)
				die("send");
			for (int j = 0; j < n; j++)
				while (recv(fds[j], sink, sizeof(sink), MSG_DONTWAIT) > 0)
					;
		}
	printf("ready\n");
	fflush(stdout);
	pause();
}

int main(int argc, char **argv)
{
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED)
		die("mmap");
	if (argc > 4 && !strcmp(argv[1], "rate"))
		rate(argv + 2);
	else if (argc > 4 && !strcmp(argv[1], "trip"))
		trip(argv + 2);
	else if (argc == 6 && !strcmp(argv[1], "delay"))
		delay(argv + 2);
	else if (argc == 4 && !strcmp(argv[1], "crowd"))
		crowd(argv + 2);
	else
		return fprintf(stderr, "usage: see the head of frames.c\n"), 2;
	return 0;
}
