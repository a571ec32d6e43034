/* SPDX-License-Identifier: Apache-2.0 */
/* The QMP client against a process that plays QEMU by a script. */
#include "../test.h"
#include "base/path.h"
#include "qemu/qmp.h"
#include <errno.h>
#include <sys/socket.h>
#include <sys/wait.h>

#define GREETING "{\"QMP\": {\"version\": {}, \"capabilities\": []}}\r\n"

struct fake {
	char *sock;
	pid_t pid;
};

/* Sends parts[0] at once, then one part after each line that comes; at the end of the parts it hangs up. */
static void play(struct fake *f, void **state, const char *const *parts)
{
	struct error *e = NULL;
	int fd;

	f->sock = path_join(*state, "qmp.sock");
	fd = unix_listen(f->sock, 1, &e);
	if (fd < 0)
		fail_msg("%s", e->msg);
	f->pid = fork();
	if (f->pid == 0) {
		int c = accept(fd, NULL, NULL);
		char b;

		for (size_t i = 0; parts[i]; i++) {
			if (write(c, parts[i], strlen(parts[i])) < 0)
				_exit(1);
			/* A request is one object in one send, without a line end: its last byte is the second closing brace. */
			if (parts[i + 1]) {
				int depth = 0;

				while (read(c, &b, 1) == 1) {
					depth += b == '{' ? 1 : b == '}' ? -1 : 0;
					if (b == '}' && !depth)
						break;
				}
			}
		}
		_exit(0);
	}
	close(fd);
}

static void played(struct fake *f)
{
	while (waitpid(f->pid, NULL, 0) < 0 && errno == EINTR)
		;
	free(f->sock);
}

static void answers_refusals_and_events(void **state)
{
	static const char *const parts[] = { GREETING, "{\"return\": {}, \"id\": 0}\r\n",
		"{\"event\": \"STOP\", \"data\": {\"n\": 1}}\r\n{\"return\": 7, \"id\": 99}\r\n{\"return\": {\"a\": 1}, ",
		NULL };
	struct fake f;
	struct error *e = NULL;

	play(&f, state, parts);
	{
		_cleanup_qmp_ struct qmp *q = qmp_connect(f.sock, 10000, &e);

		assert_non_null(q);
		/* half an answer, then the end */
		assert_err(qmp_command(q, "query-x", NULL, 10000, NULL, &e), e, ERR_STATE, "closed the connection");
		assert_ok(qmp_wait_event(q, "STOP", 1000, NULL, &e), e);
	}
	played(&f);
}

static void results_and_errors(void **state)
{
	static const char *const parts[] = { GREETING, "{\"return\": {}, \"id\": 0}\r\n", "{\"return\": {\"a\": 5}, \"id\": 1}\r\n",
		"{\"error\": {\"class\": \"GenericError\", \"desc\": \"no such thing\"}, \"id\": 2}\r\n", NULL };
	struct fake f;
	struct error *e = NULL;
	json_t *ret = NULL;

	play(&f, state, parts);
	{
		_cleanup_qmp_ struct qmp *q = qmp_connect(f.sock, 10000, &e);

		assert_non_null(q);
		assert_ok(qmp_command(q, "query-a", NULL, 10000, &ret, &e), e);
		assert_int_equal(json_integer_value(json_object_get(ret, "a")), 5);
		assert_err(qmp_command(q, "b", NULL, 10000, NULL, &e), e, ERR_FAILED, "QEMU refused b: no such thing");
	}
	json_decref(ret);
	played(&f);
}

static void garbage_and_silence_are_errors(void **state)
{
	static const char *const garbage[] = { "SSH-2.0-x\r\n", NULL }, *const other[] = { "{\"hello\": 1}\n", NULL };
	static const char *const silent[] = { "", "", NULL };
	const char *const *scripts[] = { garbage, other };
	const char *const says[] = { "not QMP", "does not speak QMP" };
	struct error *e = NULL;
	struct fake f;

	for (size_t i = 0; i < ARRAY_SIZE(scripts); i++) {
		play(&f, state, scripts[i]);
		assert_null(qmp_connect(f.sock, 10000, &e));
		assert_err(-1, e, ERR_FAILED, says[i]);
		played(&f);
	}
	play(&f, state, silent);
	assert_null(qmp_connect(f.sock, 50, &e));
	assert_err(-1, e, ERR_TIMEOUT, "no answer");
	played(&f);
}

static void nobody_there_is_a_state(void **state)
{
	_cleanup_free_ char *sock = path_join(*state, "absent.sock");
	struct error *e = NULL;

	assert_null(qmp_connect(sock, 1000, &e));
	assert_err(-1, e, ERR_STATE, "absent.sock");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(answers_refusals_and_events),
		cmocka_unit_test(results_and_errors),
		cmocka_unit_test(garbage_and_silence_are_errors),
		cmocka_unit_test(nobody_there_is_a_state),
	};

	return cmocka_run_group_tests(tests, test_dir_setup, test_dir_teardown);
}
