/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a system keeps of its identity in files. A machine that was made from another one has DIR/renew-identity, with the host name of
 * that one in it, until its guest program was first reached; then machine-id, ssh host keys and the seed of random numbers are
 * made anew there, and a host name that is still the other's becomes the machine's own.
 */
#include "base/cleanup.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "internal.h"

#include <string.h>

#define MARK "renew-identity"
#define RENEW_MS 120000 /* RSA keys on an emulated processor */

/*
 * $1: the host name, $2: that of the other machine. Each file is replaced in one step, so that one that is broken off can be done
 * again. Status 1 with what went wrong.
 */
static const char script[] =
	"set -e\n"
	"if [ -n \"$2\" ] && [ \"$1\" != \"$2\" ] && [ \"$(cat /etc/hostname 2>/dev/null)\" = \"$2\" ]; then\n"
	"	if [ -f /etc/hosts ]; then\n"
	"		sed \"/^127\\.0\\.1\\.1[[:space:]]/s/\\([[:space:]]\\)$2\\([[:space:].]\\|\\$\\)/\\1$1\\2/g\" /etc/hosts >/etc/hosts.new\n"
	"		chmod 644 /etc/hosts.new && mv -f /etc/hosts.new /etc/hosts\n"
	"	fi\n"
	"	hostname \"$1\"\n"
	"	echo \"$1\" >/etc/hostname.new && chmod 644 /etc/hostname.new && mv -f /etc/hostname.new /etc/hostname\n"
	"fi\n"
	"if [ -s /etc/machine-id ]; then\n"
	"	id=$(tr -d '\\n-' </proc/sys/kernel/random/uuid)\n"
	"	echo \"$id\" >/etc/machine-id.new && chmod 444 /etc/machine-id.new && mv -f /etc/machine-id.new /etc/machine-id\n"
	"	if [ -f /var/lib/dbus/machine-id ] && [ ! -L /var/lib/dbus/machine-id ]; then cp /etc/machine-id /var/lib/dbus/machine-id; fi\n"
	"fi\n"
	"rm -f /var/lib/systemd/random-seed /var/lib/urandom/random-seed\n"
	"keys=\n"
	"for f in /etc/ssh/ssh_host_*_key; do\n"
	"	[ -f \"$f\" ] || continue\n"
	"	t=${f##*/ssh_host_}; t=${t%_key}; keys=1\n"
	"	rm -f \"$f.new\" \"$f.new.pub\"\n"
	"	ssh-keygen -q -t \"$t\" -N '' -C \"root@$(hostname)\" -f \"$f.new\" </dev/null\n"
	"	mv -f \"$f.new.pub\" \"$f.pub\" && mv -f \"$f.new\" \"$f\"\n"
	"done\n"
	"for f in /etc/dropbear/dropbear_*_host_key; do\n"
	"	[ -f \"$f\" ] || continue\n"
	"	t=${f##*/dropbear_}; t=${t%_host_key}; rm -f \"$f.new\"\n"
	"	dropbearkey -t \"$t\" -f \"$f.new\" >/dev/null 2>&1 && mv -f \"$f.new\" \"$f\"\n"
	"done\n"
	"if [ -n \"$keys\" ] && [ -d /run/systemd/system ]; then\n"
	"	systemctl try-restart ssh.service sshd.service >/dev/null 2>&1 || true\n"
	"elif [ -n \"$keys\" ] && [ -s /run/sshd.pid ]; then\n"
	"	kill -HUP \"$(cat /run/sshd.pid)\" || true\n"
	"fi\n"
	"sync\n";

int machine_renew_later(const char *dir, const char *was, struct error **err)
{
	_cleanup_free_ char *mark = xasprintf("%s/" MARK, dir);

	return file_writef(mark, 0600, err, "%s", was ? was : "");
}

static int renew(struct machine *m, const char *mark, struct agent *a, struct error **err)
{
	const char *argv[] = { "sh", "-c", script, "sh", m->def.hostname ? m->def.hostname : "", NULL, NULL };
	_cleanup_buf_ struct buf out = BUF_INIT, was = BUF_INIT;
	struct agent_exec x = AGENT_EXEC_INIT;
	int status = 0;

	if (file_read(mark, 256, &was, err) < 0)
		return -1;
	argv[5] = buf_str(&was);
	x.argv = argv;
	x.err = &out;
	x.timeout_ms = RENEW_MS;
	if (agent_exec(a, &x, &status, err) < 0)
		return -1;
	if (status)
		return error_set(err, ERR_FAILED, "status %d: %.*s", status, (int)strcspn(buf_str(&out), "\n"), buf_str(&out));
	return 0;
}

void machine_renew(struct machine *m, struct agent *a)
{
	_cleanup_free_ char *mark = machine_path(m, MARK), *lock_path = machine_path(m, "run/renew.lock");
	_cleanup_error_ struct error *e = NULL;
	_cleanup_agent_ struct agent *own = NULL;
	_cleanup_close_ int lock = -1;

	if (!file_exists(mark))
		return;
	if (!a)
		a = own = machine_agent(m, RENEW_MS, &e);
	if (!a)
		return;
	lock = file_lock(lock_path, true, -1, &e);
	/* Another command may have done it meanwhile. */
	if (lock >= 0 && file_exists(mark) && renew(m, mark, a, &e) == 0)
		file_unlink(mark, &e);
	if (e)
		log_warn("machine %s: it still has the machine-id and ssh host keys of the one that it was made from: %s", m->name, e->msg);
}
