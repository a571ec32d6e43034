/* SPDX-License-Identifier: Apache-2.0 */
#include "../test.h"
#include "base/path.h"
#include "machine/machine.h"
#include <signal.h>

/* A store of its own with one image that has a kernel and a disk, and a program that says it is QEMU. */
static int setup(void **state)
{
	_cleanup_free_ char *qemu = NULL, *dir = NULL;
	struct error *e = NULL;

	if (test_dir_setup(state) < 0)
		return -1;
	signal(SIGPIPE, SIG_IGN);
	setenv("CROFT_HOME", *state, 1);
	qemu = path_join(*state, "qemu");
	setenv("CROFT_QEMU", qemu, 1);
	dir = path_data("images/k");
	if (file_mkdirs(dir, 0700, &e) < 0 ||
		file_writef(qemu, 0700, &e, "#!/bin/sh\necho '{\"QMP\": {\"version\": {\"qemu\": {\"micro\": 0, \"minor\": 2, "
					   "\"major\": 8}, \"package\": \"\"}}}'\n") < 0)
		return -1;
	for (const char *const *f = (const char *const[]){ "vmlinux", "initrd", "disk.qcow2", NULL }; *f; f++) {
		_cleanup_free_ char *p = path_join(dir, *f);

		if (file_write(p, "x", 1, 0600, &e) < 0)
			return -1;
	}
	free(qemu);
	qemu = path_join(dir, "image.json");
	return file_writef(qemu, 0600, &e,
		"{\"name\": \"k\", \"arch\": \"x86_64\", \"os\": \"tiny\", \"kernel\": \"vmlinux\", \"initrd\": \"initrd\", \"cmdline\": "
		"\"quiet\", \"disk\": \"disk.qcow2\", \"format\": \"qcow2\", \"disk_size\": 1048576, \"firmware\": \"any\", \"agent\": true}");
}

static char *argv_text(struct machine *m)
{
	_cleanup_strv_ struct strv argv = STRV_INIT;
	struct error *e = NULL;

	assert_ok(machine_qemu_argv(m, "tcg", &argv, &e), e);
	return strv_join(&argv, "\n");
}

static struct machine *machine_new(const char *name)
{
	struct machine *m = xcalloc(1, sizeof(*m));
	struct error *e = NULL;
	static const char text[] = "image: k\nmemory: 300M\ncores: 2\nkernel_args: extra, one\nhostname: h\nfirmware: bios\n"
				   "disks: [{image: k, serial: croft-root}]\n"
				   "nics: [{net: group, mac: '52:54:00:00:00:01', address: 10.1.2.3/24, gateway: 10.1.2.1, dns: 10.1.2.2}]\n"
				   "qemu_args: ['-foo', 'a,b']\n";
	_cleanup_doc_ struct doc *doc = doc_parse("m", text, strlen(text), &e);

	machine_def_init(&m->def);
	assert_ok(machine_def_read(&m->def, doc_root(doc), &e), e);
	m->name = xstrdup(name);
	m->dir = path_data("machines/g/m");
	return m;
}

static void all_parts_are_there(void **state)
{
	_cleanup_machine_ struct machine *m = machine_new("g/m");
	_cleanup_free_ char *text = argv_text(m), *again = argv_text(m), *kernel = path_data("images/k/vmlinux");
	_cleanup_free_ char *kernel_arg = xasprintf("\n-kernel\n%s\n", kernel);
	const char *parts[] = { "-nodefaults\n-no-user-config\n", "\n-name\nguest=g/m\n", "-accel\ntcg,thread=multi,tb-size=150\n", "-cpu\nmax,-erms\n",
		"cpus=2,sockets=1,cores=2,threads=1", "\n-m\n300M\n", "-sandbox\non,obsolete=deny",
		"socket,id=qmp,fd=10,server=on,wait=off", "socket,id=console,fd=11,", "socket,id=agent,fd=12,",
		"name=org.croft.agent.0", "stream,id=net0,server=on,addr.type=fd,addr.str=20", "serial=croft-root", kernel_arg,
		"\n-append\nquiet croft.hostname=h croft.net=52:54:00:00:00:01,10.1.2.3/24,10.1.2.1,10.1.2.2 extra, one\n",
		"\n-foo\na,b" };

	assert_string_equal(text, again);
	for (size_t i = 0; i < ARRAY_SIZE(parts); i++)
		if (!strstr(text, parts[i]))
			fail_msg("'%s' is not in\n%s", parts[i], text);
}

static void initramfs_apart_from_a_tpm(void **state)
{
	_cleanup_machine_ struct machine *m = machine_new("g/m");
	_cleanup_strv_ struct strv argv = STRV_INIT;
	struct error *e = NULL;
	char *text;

	m->def.tpm = true;
	text = argv_text(m);
	assert_null(strstr(text, "\n-initrd\n"));
	/* 300M: 16 MiB below the end, in a whole MiB of its own */
	assert_non_null(strstr(text, "/initrd,addr=0x11b00000,force-raw=on\n"));
	assert_non_null(strstr(text, " extra, one initrdmem=0x11b00000,1 memmap=0x100000$0x11b00000\n"));
	free(text);
	/* not above what every board has below 4 GiB */
	m->def.memory = 8ull << 30;
	text = argv_text(m);
	assert_non_null(strstr(text, " initrdmem=0x7ef00000,1 "));
	free(text);
	m->def.memory = 100 << 20;
	assert_err(machine_qemu_argv(m, "tcg", &argv, &e), e, ERR_USAGE, "beside a TPM");
}

static void missing_images_are_errors(void **state)
{
	_cleanup_machine_ struct machine *m = machine_new("g/m");
	_cleanup_strv_ struct strv argv = STRV_INIT;
	struct error *e = NULL;

	free(m->def.image);
	m->def.image = xstrdup("gone");
	assert_err(machine_qemu_argv(m, "tcg", &argv, &e), e, ERR_NOT_FOUND, "gone");
	assert_err(machine_qemu_argv(m, "warp", &argv, &e), e, ERR_USAGE, "'warp'");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_parts_are_there),
		cmocka_unit_test(initramfs_apart_from_a_tpm),
		cmocka_unit_test(missing_images_are_errors),
	};

	return cmocka_run_group_tests(tests, setup, test_dir_teardown);
}
