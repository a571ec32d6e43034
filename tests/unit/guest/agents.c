/* SPDX-License-Identifier: Apache-2.0 */
/* The real guest program as a process, the real client against it. */
#include "../test.h"
#include "base/loop.h"
#include "base/proc.h"
#include "guest/agent.h"
#include "guest/proto.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>

struct fixture {
	char *dir, *sock;
	struct proc guest;
	struct agent *a;
};

static int setup(void **state)
{
	struct fixture *f = xcalloc(1, sizeof(*f));
	struct error *e = NULL;
	void *dir;

	*state = f;
	if (test_dir_setup(&dir) < 0)
		return -1;
	f->dir = dir;
	f->sock = xasprintf("%s/port", f->dir);
	const char *argv[] = { GUEST_PROGRAM, "--port", f->sock, NULL };
	struct proc_opts o = { .argv = argv, .err = PROC_INHERIT, .die_with_us = true };
	if (proc_spawn(&o, &f->guest, &e) < 0)
		return -1;
	/* The name is there a moment before it is listened at. */
	for (int i = 0; i < 1000 && !(f->a = agent_connect(f->sock, 10000, &e)); i++) {
		if (e->code != ENOENT && e->code != ECONNREFUSED)
			break;
		if (i < 999)
			error_clear(&e);
		poll(NULL, 0, 5);
	}
	if (!f->a)
		fprintf(stderr, "%s\n", e->msg);
	return f->a ? 0 : -1;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	void *dir = f->dir;
	struct error *e = NULL;
	int status, r;

	agent_free(f->a);
	if (f->guest.pid > 0) /* 0 would be our own group */
		kill(f->guest.pid, SIGTERM);
	/* 0 also says that no sanitizer complained */
	r = proc_wait(&f->guest, 20000, &status, &e);
	if (r < 0 || status != 0)
		fprintf(stderr, "guest program: %s\n", r < 0 ? e->msg : proc_status_text(status));
	error_clear(&e);
	proc_release(&f->guest);
	free(f->sock);
	free(f);
	test_dir_teardown(&dir);
	return r < 0 || status != 0 ? -1 : 0;
}

static int shell(struct fixture *f, const char *command, struct buf *out, struct buf *errout)
{
	struct agent_exec x = AGENT_EXEC_INIT;
	struct error *e = NULL;
	int status = -1;

	x.out = out;
	x.err = errout;
	x.timeout_ms = 60000;
	assert_ok(agent_shell_command(f->a, command, &x, &status, &e), e);
	return status;
}

static int program(struct fixture *f, const char *const *argv, struct buf *errout)
{
	struct agent_exec x = AGENT_EXEC_INIT;
	struct error *e = NULL;
	int status = -1;

	x.argv = argv;
	x.err = errout;
	assert_ok(agent_exec(f->a, &x, &status, &e), e);
	return status;
}

static void output_and_status(void **state)
{
	_cleanup_buf_ struct buf out = BUF_INIT, errout = BUF_INIT;

	assert_int_equal(shell(*state, "echo out; echo err >&2; exit 3", &out, &errout), 3);
	assert_string_equal(out.data, "out\n");
	assert_string_equal(errout.data, "err\n");
	assert_int_equal(shell(*state, "kill -KILL $$", NULL, NULL), 128 + SIGKILL);
	assert_int_equal(shell(*state, "true", NULL, NULL), 0);
}

static void not_started(void **state)
{
	struct fixture *f = *state;
	_cleanup_buf_ struct buf errout = BUF_INIT;
	_cleanup_free_ char *file = xasprintf("%s/not executable", f->dir);
	struct agent_exec x = AGENT_EXEC_INIT;
	struct error *e = NULL;
	int status;

	const char *missing[] = { "no-such-program", "x", NULL };
	assert_int_equal(program(f, missing, &errout), 127);
	assert_non_null(strstr(errout.data, "no-such-program: not found"));
	const char *missing_path[] = { "/no/such/program", NULL };
	assert_int_equal(program(f, missing_path, NULL), 127);
	assert_ok(file_write(file, "x", 1, 0644, &e), e);
	const char *denied[] = { file, NULL };
	assert_int_equal(program(f, denied, NULL), 126);
	const char *dir[] = { f->dir, NULL };
	assert_int_equal(program(f, dir, NULL), 126);
	/* a script without #! runs as the shell would run it */
	assert_ok(file_write(file, "exit 7\n", 7, 0755, &e), e);
	assert_int_equal(program(f, denied, NULL), 7);
	x.argv = denied;
	x.user = "nobody-of-that-name";
	assert_err(agent_exec(f->a, &x, &status, &e), e, ERR_NOT_FOUND, "nobody-of-that-name");
	x.argv = (const char *const[]){ NULL };
	assert_err(agent_exec(f->a, &x, &status, &e), e, ERR_USAGE, "no command");
}

static void environment(void **state)
{
	struct fixture *f = *state;
	_cleanup_buf_ struct buf out = BUF_INIT;
	struct agent_exec x = AGENT_EXEC_INIT;
	struct error *e = NULL;
	int status;
	const char *env[] = { "A=1 2", "LANG=de_DE.UTF-8", "A=last", NULL };

	setenv("CROFT_TEST_LEAK", "1", 1);
	x.env = env;
	x.cwd = f->dir;
	x.out = &out;
	assert_ok(agent_shell_command(f->a, "echo $A $LANG $USER [$CROFT_TEST_LEAK]; pwd", &x, &status,
			  &e), e);
	_cleanup_free_ char *want = xasprintf("last de_DE.UTF-8 root []\n%s\n", f->dir);
	assert_string_equal(out.data, want);
	x.cwd = "/nonexistent";
	assert_ok(agent_shell_command(f->a, "true", &x, &status, &e), e);
	assert_int_equal(status, 126);
}

/* 90 KB of arguments: OPEN in two parts. */
static void long_arguments(void **state)
{
	_cleanup_free_ char *a = xmalloc(90001);
	_cleanup_buf_ struct buf out = BUF_INIT;
	struct agent_exec x = AGENT_EXEC_INIT;
	struct error *e = NULL;
	int status;

	memset(a, 'x', 90000);
	a[90000] = '\0';
	const char *argv[] = { "sh", "-c", "echo ${#1} $2", "sh", a, "end", NULL };
	x.argv = argv;
	x.out = &out;
	assert_ok(agent_exec(((struct fixture *)*state)->a, &x, &status, &e), e);
	assert_int_equal(status, 0);
	assert_string_equal(out.data, "90000 end\n");
}

/*
 * Others hold the pipes; the command has ended all the same, with all that it wrote. Waiting for the
 * other would never end: the test runner's limit would say so.
 */
static void background_children(void **state)
{
	_cleanup_buf_ struct buf out = BUF_INIT, errout = BUF_INIT;
	int pid;

	assert_int_equal(shell(*state, "sleep 100000 & echo hi; head -c 60000 /dev/zero; echo $! >&2",
				 &out, &errout), 0);
	assert_int_equal(out.len, 60003);
	pid = atoi(buf_str(&errout));
	assert_true(pid > 1);
	assert_int_equal(kill(pid, SIGKILL), 0);
}

static void *feeder(void *arg)
{
	_cleanup_close_ int fd = *(int *)arg;
	static char block[10000];

	for (int i = 0; i < 1000; i++) {
		struct error *e = NULL;

		memset(block, 'a' + i % 26, sizeof(block));
		if (file_write_all(fd, block, sizeof(block), "pipe", &e) < 0) {
			error_clear(&e);
			break;
		}
	}
	return NULL;
}

static void input_ten_megabytes(void **state)
{
	struct fixture *f = *state;
	_cleanup_buf_ struct buf out = BUF_INIT;
	struct agent_exec x = AGENT_EXEC_INIT;
	struct error *e = NULL;
	pthread_t t;
	int p[2], status;

	assert_int_equal(pipe2(p, O_CLOEXEC), 0);
	assert_int_equal(pthread_create(&t, NULL, feeder, &p[1]), 0);
	x.in_fd = p[0];
	x.out = &out;
	assert_ok(agent_shell_command(f->a, "cat", &x, &status, &e), e);
	pthread_join(t, NULL);
	close(p[0]);
	assert_int_equal(out.len, 10000000);
	for (int i = 0; i < 1000; i++)
		assert_int_equal(out.data[i * 10000 + 9999], 'a' + i % 26);
	/* a command that ends without reading it */
	assert_int_equal(pipe2(p, O_CLOEXEC), 0);
	signal(SIGPIPE, SIG_IGN);
	assert_int_equal(pthread_create(&t, NULL, feeder, &p[1]), 0);
	x.in_fd = p[0];
	x.out = NULL;
	assert_ok(agent_shell_command(f->a, "exit 5", &x, &status, &e), e);
	assert_int_equal(status, 5);
	close(p[0]);
	pthread_join(t, NULL);
}

static void time_out_kills(void **state)
{
	struct fixture *f = *state;
	_cleanup_free_ char *mark = xasprintf("%s/mark", f->dir);
	_cleanup_free_ char *command = xasprintf("(while :; do echo x >>'%s'; sleep 0.02; done) & wait", mark);
	struct agent_exec x = AGENT_EXEC_INIT;
	struct error *e = NULL;
	struct stat before, after;
	int status;

	x.timeout_ms = 300;
	assert_err(agent_shell_command(f->a, command, &x, &status, &e), e, ERR_TIMEOUT, "timed out");
	/* The group is dead when a later command has run and waited. */
	shell(f, "sleep 0.3", NULL, NULL);
	assert_int_equal(stat(mark, &before), 0);
	shell(f, "sleep 0.3", NULL, NULL);
	assert_int_equal(stat(mark, &after), 0);
	assert_int_equal(before.st_size, after.st_size);
}

static void *interrupter(void *arg)
{
	poll(NULL, 0, 300);
	kill(getpid(), SIGINT);
	return NULL;
}

static void signal_forwarded(void **state)
{
	_cleanup_buf_ struct buf out = BUF_INIT;
	sigset_t set, old;
	pthread_t t;

	/* The other thread must not take it. */
	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	pthread_sigmask(SIG_BLOCK, &set, &old);
	assert_int_equal(pthread_create(&t, NULL, interrupter, NULL), 0);
	assert_int_equal(shell(*state, "trap 'echo got; exit 9' INT; while :; do sleep 0.05; done",
				 &out, NULL), 9);
	pthread_join(t, NULL);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	assert_string_equal(out.data, "got\n");
}

static void terminal(void **state)
{
	struct fixture *f = *state;
	_cleanup_buf_ struct buf out = BUF_INIT;
	struct agent_exec x = AGENT_EXEC_INIT;
	struct error *e = NULL;
	int p[2], status;

	assert_int_equal(pipe2(p, O_CLOEXEC), 0);
	assert_int_equal(write(p[1], "echo you said $((40+2))\nexit 4\n", 31), 31);
	close(p[1]);
	setenv("TERM", "vt102", 1);
	x.tty = true;
	x.in_fd = p[0];
	x.out = &out;
	assert_ok(agent_shell_command(f->a, "tty; echo $TERM; stty size; exec sh", &x, &status, &e), e);
	close(p[0]);
	assert_int_equal(status, 4);
	assert_non_null(strstr(out.data, "/dev/pts/"));
	assert_non_null(strstr(out.data, "vt102"));
	assert_non_null(strstr(out.data, "24 80"));
	assert_non_null(strstr(out.data, "you said 42"));
	/* all output arrives though the command ends at once */
	buf_clear(&out);
	x.in_fd = -1;
	assert_ok(agent_shell_command(f->a, "seq 1 3000", &x, &status, &e), e);
	assert_non_null(strstr(out.data, "\n3000\r\n"));
}

/* A client that does not read gets no more than its window, and others go on. */
static void stalled_reader(void **state)
{
	struct fixture *f = *state;
	uint8_t frame[FRAME_MAX], items[64];
	struct frame_decoder d;
	struct frame got;
	size_t n = 0, room, data = 0;
	_cleanup_close_ int fd = -1;
	int pair[2];
	char number[16];
	struct error *e = NULL;
	bool echoed = false;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	snprintf(number, sizeof(number), "%d", pair[1]);
	const char *argv[] = { GUEST_PROGRAM, "--port", number, NULL };
	const int keep[] = { pair[1] };
	struct proc_opts o = { .argv = argv, .err = PROC_INHERIT, .keep_fds = keep, .nkeep_fds = 1 };
	_cleanup_proc_ struct proc guest = PROC_INIT;
	assert_ok(proc_spawn(&o, &guest, &e), e);
	close(pair[1]);
	fd = pair[0];
	frame_item_add(items, sizeof(items), &n, FRAME_K_SHELL, "cat /dev/zero", 13);
	frame_header(frame, &(struct frame){ .type = FRAME_OPEN, .stream = 1, .value = FRAME_EXEC,
				    .length = (uint32_t)n });
	memcpy(frame + FRAME_HEADER, items, n);
	assert_int_equal(write(fd, frame, FRAME_HEADER + n), FRAME_HEADER + n);
	assert_int_equal(frame_decoder_init(&d, 0), 0);
	/* Stream 1 never gets credit. When its window is used up, stream 2 is opened and answered. */
	while (!echoed) {
		uint8_t *at = frame_space(&d, &room);
		ssize_t r = read(fd, at, room);

		assert_true(r > 0);
		frame_filled(&d, (size_t)r);
		while (frame_next(&d, &got) > 0) {
			if (got.type == FRAME_DATA && got.stream == 1)
				data += got.length;
			if (got.type == FRAME_DATA && got.stream == 2)
				echoed = true;
			if (got.type != FRAME_DATA || got.stream != 1 || data != FRAME_WINDOW)
				continue;
			n = 0;
			frame_item_add(items, sizeof(items), &n, FRAME_K_SHELL, "echo hi", 7);
			frame_header(frame, &(struct frame){ .type = FRAME_OPEN, .stream = 2,
						    .value = FRAME_EXEC, .length = (uint32_t)n });
			memcpy(frame + FRAME_HEADER, items, n);
			assert_int_equal(write(fd, frame, FRAME_HEADER + n), FRAME_HEADER + n);
		}
		assert_true(data <= FRAME_WINDOW);
	}
	frame_decoder_free(&d);
	proc_release(&guest);
	(void)f;
}

#define MANY 40
/* Many streams at once on one connection, spoken by hand: each echoes its own input. */
static void many_streams(void **state)
{
	uint8_t frame[1024], items[64];
	struct frame_decoder d;
	struct frame f;
	size_t n, room, exits = 0, right = 0;
	int pair[2];
	char number[16];
	struct error *e = NULL;
	_cleanup_proc_ struct proc guest = PROC_INIT;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	snprintf(number, sizeof(number), "%d", pair[1]);
	const char *argv[] = { GUEST_PROGRAM, "--port", number, NULL };
	const int keep[] = { pair[1] };
	struct proc_opts o = { .argv = argv, .err = PROC_INHERIT, .keep_fds = keep, .nkeep_fds = 1 };
	assert_ok(proc_spawn(&o, &guest, &e), e);
	close(pair[1]);
	for (uint32_t id = 1; id <= MANY; id++) {
		char text[32];
		struct frame h = { .type = FRAME_OPEN, .stream = id, .value = FRAME_EXEC };

		n = 0;
		frame_item_add(items, sizeof(items), &n, FRAME_K_SHELL, "read x; echo $x; exit $x", 24);
		frame_item_add(items, sizeof(items), &n, FRAME_K_STDIN, "", 0);
		h.length = (uint32_t)n;
		frame_header(frame, &h);
		memcpy(frame + FRAME_HEADER, items, n);
		n += FRAME_HEADER;
		h = (struct frame){ .type = FRAME_DATA, .stream = id,
			.length = (uint32_t)snprintf(text, sizeof(text), "%u\n", id) };
		frame_header(frame + n, &h);
		memcpy(frame + n + FRAME_HEADER, text, h.length);
		n += FRAME_HEADER + h.length;
		assert_int_equal(write(pair[0], frame, n), n);
	}
	assert_int_equal(frame_decoder_init(&d, 0), 0);
	while (exits < MANY) {
		uint8_t *at = frame_space(&d, &room);
		ssize_t r = read(pair[0], at, room);

		assert_true(r > 0);
		frame_filled(&d, (size_t)r);
		while (frame_next(&d, &f) > 0) {
			if (f.type == FRAME_DATA)
				right += (uint32_t)strtoul((const char *)f.data, NULL, 10) == f.stream;
			if (f.type == FRAME_EXIT) {
				assert_int_equal(f.value, f.stream);
				exits++;
			}
		}
	}
	assert_int_equal(right, MANY);
	frame_decoder_free(&d);
	close(pair[0]);
}

/* Runs a shell command on this side. */
static void local(const char *command)
{
	const char *argv[] = { "sh", "-c", command, NULL };
	struct error *e = NULL;

	assert_ok(proc_run(argv, 60000, NULL, NULL, &e), e);
}

static void copy_tree(void **state)
{
	struct fixture *f = *state;
	_cleanup_free_ char *d = xasprintf("%s/copy", f->dir), *src = xasprintf("%s/täst tree", d);
	_cleanup_free_ char *there = xasprintf("%s/there", d), *back = xasprintf("%s/back", d);
	_cleanup_free_ char *make = xasprintf(
		"set -e; mkdir -p '%s'; cd '%s'; mkdir -p 'a b/ü/deep' empty ../there; "
		"echo one >'a b/one'; ln 'a b/one' 'a b/hard'; ln -s '../nowhere ü' 'a b/soft'; "
		"ln -s /abs abs; printf '' >none; head -c 300000 /dev/urandom >'a b/ü/deep/r'; "
		"truncate -s 50M sparse; echo mid | dd of=sparse bs=1 seek=20000000 conv=notrunc status=none; "
		"echo tail | dd of=sparse bs=1 seek=52428000 conv=notrunc status=none; "
		"mkfifo pipe; chmod 4711 'a b/one'; chmod 1777 empty; chmod 500 'a b/ü'; "
		"touch -d '2001-02-03 04:05:06.789' 'a b/one' empty 'a b/ü'; "
		"touch -h -d '2002-02-03 04:05:06' abs; for i in $(seq 500); do echo $i >'a b/ü/deep/'$i; done; "
		"touch -d '2003-01-01' 'a b/ü/deep' 'a b' .", src, src);
	struct agent_copy c = AGENT_COPY_INIT;
	struct error *e = NULL;
	struct stat st, st2;

	local(make);
	assert_ok(agent_push(f->a, src, there, &c, &e), e);
	assert_ok(agent_pull(f->a, there, back, &c, &e), e);
	/* names, types, modes, link targets, times, sizes; set-user-id and sticky bits don't come back */
	_cleanup_free_ char *compare = xasprintf(
		"set -e; l() { cd \"$1\"; find . ! -path . -printf '%%p %%y %%m %%l %%n %%TY-%%Tm-%%Td.%%TT ' "
		"\\( -type d -printf '\\n' -o -printf '%%s\\n' \\) | sort; }; "
		"(l '%s') >'%s/1'; (l '%s/täst tree') >'%s/2'; cmp '%s/1' '%s/2'; "
		"(l '%s/täst tree') | sed 's/ f 711 / f 4711 /; s/ d 777 / d 1777 /' >'%s/3'; cmp '%s/1' '%s/3'; "
		"for f in 'a b/one' 'a b/ü/deep/r' sparse none; do cmp '%s'/\"$f\" '%s/täst tree'/\"$f\"; done",
		src, d, there, d, d, d, back, d, d, d, src, back);
	local(compare);
	/* sparse stays sparse, links of one file stay one file */
	_cleanup_free_ char *sparse = xasprintf("%s/täst tree/sparse", back);
	_cleanup_free_ char *one = xasprintf("%s/täst tree/a b/one", back);
	_cleanup_free_ char *hard = xasprintf("%s/täst tree/a b/hard", back);
	assert_int_equal(stat(sparse, &st), 0);
	assert_true(st.st_blocks * 512 < 1 << 20);
	assert_int_equal(stat(one, &st), 0);
	assert_int_equal(stat(hard, &st2), 0);
	assert_int_equal(st.st_ino, st2.st_ino);
}

static void count_progress(void *arg, uint64_t done, uint64_t total)
{
	uint64_t *last = arg;

	assert_true(done >= last[0] && done <= total);
	last[0] = done;
	last[1] = total;
}

static void copy_file(void **state)
{
	struct fixture *f = *state;
	_cleanup_free_ char *src = xasprintf("%s/big", f->dir), *dst = xasprintf("%s/big2", f->dir);
	_cleanup_free_ char *dir = xasprintf("%s/made", f->dir);
	_cleanup_free_ char *make = xasprintf("head -c 20000001 /dev/urandom >'%s'; mkdir '%s'", src, dir);
	_cleanup_free_ char *cmp = xasprintf("cmp '%s' '%s' && cmp '%s' '%s/big'", src, dst, src, dir);
	struct agent_copy c = AGENT_COPY_INIT;
	struct error *e = NULL;
	uint64_t last[2] = { 0, 0 };
	struct stat st;

	local(make);
	c.mode = 0640;
	c.progress = count_progress;
	c.arg = last;
	assert_ok(agent_push(f->a, src, dst, &c, &e), e);
	assert_int_equal(last[0], 20000001);
	assert_int_equal(last[1], 20000001);
	assert_int_equal(stat(dst, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0640);
	last[0] = 0;
	assert_ok(agent_pull(f->a, src, dir, &c, &e), e);
	assert_int_equal(last[0], 20000001);
	local(cmp);
	/* what cannot be copied is said, and the connection goes on */
	c = (struct agent_copy)AGENT_COPY_INIT;
	assert_err(agent_push(f->a, "/nonexistent", dst, &c, &e), e, ERR_NOT_FOUND, "/nonexistent");
	assert_err(agent_push(f->a, src, "/nonexistent/x", &c, &e), e, ERR_NOT_FOUND, "/nonexistent");
	assert_err(agent_pull(f->a, "/nonexistent", dst, &c, &e), e, ERR_NOT_FOUND, "/nonexistent");
	assert_err(agent_pull(f->a, "/dev/null", dst, &c, &e), e, ERR_FAILED, "device");
	c.recursive_ok = false;
	assert_err(agent_push(f->a, dir, dst, &c, &e), e, ERR_FAILED, "not copied");
	assert_err(agent_pull(f->a, dir, dst, &c, &e), e, ERR_FAILED, "not copied");
	c.owner = "no-such-user:";
	assert_err(agent_push(f->a, src, dst, &c, &e), e, ERR_NOT_FOUND, "user");
	assert_int_equal(shell(f, "true", NULL, NULL), 0);
}

static void questions(void **state)
{
	struct fixture *f = *state;
	struct agent_net n = { .mac = "52:54:00:ff:ff:fe", .address = "10.0.0.1/24" };
	struct error *e = NULL;
	_cleanup_free_ char *facts = agent_facts(f->a, 5000, &e);

	assert_non_null(facts);
	assert_non_null(strstr(facts, "\"boot_id\":\""));
	assert_non_null(strstr(facts, "\"interfaces\":["));
	assert_err(agent_network(f->a, &n, 5000, &e), e, ERR_FAILED, "interface");
	n.address = "10.0.0.1/33";
	assert_err(agent_network(f->a, &n, 5000, &e), e, ERR_FAILED, "10.0.0.1/33");
	/* As a plain process it must not turn this machine off. */
	assert_err(agent_power(f->a, AGENT_POWEROFF, 5000, &e), e, ERR_FAILED, "not the guest program");
	/* the time that it sends is one that the guest program understands */
	assert_err(agent_set_clock(f->a, 5000, &e), e, ERR_FAILED, "not the guest program");
	assert_null(agent_freeze(f->a, 5000, &e));
	assert_err(-1, e, ERR_FAILED, "not the guest program");
}

/* Garbage ends the connection, not the program. Its commands die with it. */
static void garbage(void **state)
{
	struct fixture *f = *state;
	struct error *e = NULL;
	uint8_t bytes[4096];
	int fd, status;
	struct agent_exec x = AGENT_EXEC_INIT;

	agent_free(f->a);
	srandom(7);
	for (int i = 0; i < 50; i++) {
		fd = unix_connect(f->sock, &e);
		assert_true(fd >= 0);
		for (size_t k = 0; k < sizeof(bytes); k++)
			bytes[k] = (uint8_t)random();
		if (i & 1)
			frame_header(bytes, &(struct frame){ .type = (uint8_t)(1 + i % 11),
						    .stream = (uint32_t)i, .length = (uint32_t)i });
		assert_true(send(fd, bytes, sizeof(bytes), MSG_NOSIGNAL) > 0);
		/* the guest program hangs up */
		shutdown(fd, SHUT_WR);
		while (read(fd, bytes, sizeof(bytes)) > 0)
			;
		close(fd);
	}
	f->a = agent_connect(f->sock, 10000, &e);
	assert_non_null(f->a);
	x.argv = (const char *const[]){ "true", NULL };
	assert_ok(agent_exec(f->a, &x, &status, &e), e);
	assert_int_equal(status, 0);
}

static void no_answer(void **state)
{
	struct fixture *f = *state;
	_cleanup_free_ char *path = xasprintf("%s/mute", f->dir);
	struct error *e = NULL;
	_cleanup_close_ int fd = unix_listen(path, 4, &e);

	assert_true(fd >= 0);
	assert_null(agent_connect(path, 100, &e));
	assert_int_equal(e->cls, ERR_TIMEOUT);
	error_clear(&e);
	/* a helper that says that its machine has ended */
	uint8_t b[FRAME_HEADER + 4];
	int c = -1;
	struct frame s = { .type = FRAME_STATE, .value = FRAME_ENDED, .length = 4 };
	pid_t pid = fork();
	if (pid == 0) {
		for (int i = 0; i < 2; i++) /* the first is the connection from above */
			c = accept(fd, NULL, NULL);
		frame_header(b, &s);
		memcpy(b + FRAME_HEADER, "boom", 4);
		_exit(write(c, b, sizeof(b)) < 0);
	}
	assert_null(agent_connect(path, 10000, &e));
	assert_int_equal(e->cls, ERR_STATE);
	assert_non_null(strstr(e->msg, "boom"));
	error_clear(&e);
	waitpid(pid, NULL, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(output_and_status),
		cmocka_unit_test(not_started), cmocka_unit_test(environment),
		cmocka_unit_test(long_arguments), cmocka_unit_test(background_children),
		cmocka_unit_test(input_ten_megabytes), cmocka_unit_test(time_out_kills),
		cmocka_unit_test(signal_forwarded), cmocka_unit_test(terminal),
		cmocka_unit_test(stalled_reader), cmocka_unit_test(many_streams),
		cmocka_unit_test(copy_tree), cmocka_unit_test(copy_file),
		cmocka_unit_test(questions), cmocka_unit_test(garbage),
		cmocka_unit_test(no_answer) };

	return cmocka_run_group_tests(tests, setup, teardown);
}
