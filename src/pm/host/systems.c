/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One entry a system, after the manuals: systemd.unit(5) and systemd.exec(5), openrc-run(8), the LSB's init scripts, runsv(8), s6's
 * servicedir, rc.subr(8), launchd.plist(5). In a template @args@ is pm's command line, quoted as the format wants it,
 * @home@ and @log@ are values; a line that begins with ?log or ?home is left out when there is no such value.
 */
#include "host.h"

#include <string.h>

#define LIST(...) ((const char *const[]){ __VA_ARGS__, NULL })

static const char systemd_unit[] =
	"# " HOST_MARK "; 'pm host remove' takes it away.\n"
	"[Unit]\n"
	"Description=pm, the process manager of croft\n"
	"After=network.target\n"
	"\n"
	"[Service]\n"
	"Type=simple\n"
	"?home Environment=@PMHOME=home@\n"
	"ExecStart=@args@\n"
	"?log StandardOutput=append:@log@\n"
	"?log StandardError=append:@log@\n"
	"# pm ends its units itself, in their order; what is left after that goes with the cgroup.\n"
	"KillMode=mixed\n"
	"TimeoutStopSec=120\n"
	"Restart=on-failure\n"
	"# Units have their own cgroups below this one.\n"
	"Delegate=yes\n"
	"TasksMax=infinity\n"
	"LimitNOFILE=65536\n"
	"OOMPolicy=continue\n"
	"\n"
	"[Install]\n"
	"WantedBy=@target@\n";

static const char openrc_script[] =
	"#!/sbin/openrc-run\n"
	"# " HOST_MARK "; 'pm host remove' takes it away.\n"
	"\n"
	"description=\"pm, the process manager of croft\"\n"
	"supervisor=supervise-daemon\n"
	"command=@program@\n"
	"command_args=@rest@\n"
	"?home supervise_daemon_args=@--env PMHOME=home@\n"
	"?log output_log=@log@\n"
	"?log error_log=@log@\n"
	"retry=\"TERM/120/KILL/5\"\n"
	"rc_ulimit=\"-n 65536\"\n"
	"\n"
	"depend() {\n"
	"\tneed localmount\n"
	"\tafter bootmisc net\n"
	"}\n";

static const char sysv_script[] =
	"#!/bin/sh\n"
	"# " HOST_MARK "; 'pm host remove' takes it away.\n"
	"### BEGIN INIT INFO\n"
	"# Provides:          pm\n"
	"# Required-Start:    $local_fs $remote_fs\n"
	"# Required-Stop:     $local_fs $remote_fs\n"
	"# Should-Start:      $network\n"
	"# Default-Start:     2 3 4 5\n"
	"# Default-Stop:      0 1 6\n"
	"# Short-Description: pm, the process manager of croft\n"
	"### END INIT INFO\n"
	"\n"
	"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n"
	"pidfile=/var/run/pm.pid\n"
	"log=@log-or-null@\n"
	"?home PMHOME=@home@\n"
	"?home export PMHOME\n"
	"\n"
	"# The pid alone may be another's by now.\n"
	"running() {\n"
	"\tread -r pid rest 2>/dev/null <\"$pidfile\" && kill -0 \"$pid\" 2>/dev/null || return 1\n"
	"\t[ ! -r \"/proc/$pid/comm\" ] || [ \"$(cat \"/proc/$pid/comm\")\" = pm ]\n"
	"}\n"
	"\n"
	"case \"$1\" in\n"
	"start)\n"
	"\trunning && exit 0\n"
	"\tulimit -n 65536 2>/dev/null\n"
	"\tcd / || exit 1\n"
	"\tsetsid sh -c 'echo $$ >\"$0\" && exec \"$@\"' \"$pidfile\" @args@ </dev/null >>\"$log\" 2>&1 &\n"
	"\t;;\n"
	"stop)\n"
	"\trunning || exit 0\n"
	"\tkill -TERM \"$pid\"\n"
	"\tn=0\n"
	"\twhile running; do\n"
	"\t\tn=$((n + 1))\n"
	"\t\tif [ \"$n\" -gt 120 ]; then\n"
	"\t\t\techo \"pm (pid $pid) does not end\" >&2\n"
	"\t\t\texit 1\n"
	"\t\tfi\n"
	"\t\tsleep 1\n"
	"\tdone\n"
	"\trm -f \"$pidfile\"\n"
	"\t;;\n"
	"restart | force-reload)\n"
	"\t\"$0\" stop && exec \"$0\" start\n"
	"\t;;\n"
	"status)\n"
	"\tif running; then echo \"pm is running (pid $pid)\"; exit 0; fi\n"
	"\techo \"pm is not running\"\n"
	"\texit 3\n"
	"\t;;\n"
	"*)\n"
	"\techo \"usage: $0 start|stop|restart|force-reload|status\" >&2\n"
	"\texit 2\n"
	"\t;;\n"
	"esac\n";

/* runit and s6: the supervisor starts it again; TERM ends it in order. */
static const char run_script[] =
	"#!/bin/sh\n"
	"# " HOST_MARK "; 'pm host remove' takes it away.\n"
	"?log exec >>@log@\n"
	"exec 2>&1\n"
	"?home PMHOME=@home@\n"
	"?home export PMHOME\n"
	"ulimit -n 65536 2>/dev/null\n"
	"exec @args@\n";

static const char bsd_script[] =
	"#!/bin/sh\n"
	"# " HOST_MARK "; 'pm host remove' takes it away.\n"
	"#\n"
	"# PROVIDE: pm\n"
	"# REQUIRE: LOGIN FILESYSTEMS\n"
	"# KEYWORD: shutdown\n"
	"\n"
	". /etc/rc.subr\n"
	"\n"
	"name=\"pm\"\n"
	"rcvar=\"pm_enable\"\n"
	"desc=\"pm, the process manager of croft\"\n"
	"pidfile=\"/var/run/pm.pid\"\n"
	"procname=@program@\n"
	"start_cmd=\"pm_start\"\n"
	"\n"
	"pm_start() {\n"
	"?home \tPMHOME=@home@; export PMHOME\n"
	"\t@args@ </dev/null >>@log-or-null@ 2>&1 &\n"
	"\techo $! >\"$pidfile\"\n"
	"}\n"
	"\n"
	"load_rc_config \"$name\"\n"
	": \"${pm_enable:=NO}\"\n"
	"run_rc_command \"$1\"\n";

static const char bsd_enable[] = "# " HOST_MARK "; 'pm host remove' takes it away.\npm_enable=\"YES\"\n";

static const char launchd_plist[] =
	"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
	"<!-- " HOST_MARK "; 'pm host remove' takes it away. -->\n"
	"<!DOCTYPE plist PUBLIC \"-//Apple//DTD PLIST 1.0//EN\" \"http://www.apple.com/DTDs/PropertyList-1.0.dtd\">\n"
	"<plist version=\"1.0\">\n"
	"<dict>\n"
	"\t<key>Label</key>\n"
	"\t<string>croft.pm</string>\n"
	"\t<key>ProgramArguments</key>\n"
	"\t<array>\n"
	"@args@"
	"\t</array>\n"
	"?home \t<key>EnvironmentVariables</key>\n"
	"?home \t<dict><key>PMHOME</key><string>@home@</string></dict>\n"
	"?log \t<key>StandardOutPath</key>\n"
	"?log \t<string>@log@</string>\n"
	"?log \t<key>StandardErrorPath</key>\n"
	"?log \t<string>@log@</string>\n"
	"\t<key>RunAtLoad</key>\n"
	"\t<true/>\n"
	"\t<key>KeepAlive</key>\n"
	"\t<dict><key>SuccessfulExit</key><false/></dict>\n"
	"\t<key>ExitTimeOut</key>\n"
	"\t<integer>120</integer>\n"
	"</dict>\n"
	"</plist>\n";

static const struct host_file systemd_files[] = {
	{ "/etc/systemd/system/pm.service", systemd_unit, NULL, 0644 },
	{ "/etc/systemd/system/multi-user.target.wants/pm.service", "../pm.service", NULL, 0 }, { 0 } };
static const struct host_file systemd_user_files[] = {
	{ "~/.config/systemd/user/pm.service", systemd_unit, NULL, 0644 },
	{ "~/.config/systemd/user/default.target.wants/pm.service", "../pm.service", NULL, 0 }, { 0 } };
static const struct host_file openrc_files[] = { { "/etc/init.d/pm", openrc_script, NULL, 0755 },
	{ "/etc/runlevels/default/pm", "/etc/init.d/pm", NULL, 0 }, { 0 } };
static const struct host_file sysv_files[] = { { "/etc/init.d/pm", sysv_script, NULL, 0755 },
	{ "/etc/rc2.d/S20pm", "../init.d/pm", "/etc/rc2.d", 0 }, { "/etc/rc3.d/S20pm", "../init.d/pm", "/etc/rc3.d", 0 },
	{ "/etc/rc4.d/S20pm", "../init.d/pm", "/etc/rc4.d", 0 }, { "/etc/rc5.d/S20pm", "../init.d/pm", "/etc/rc5.d", 0 },
	{ "/etc/rc0.d/K01pm", "../init.d/pm", "/etc/rc0.d", 0 }, { "/etc/rc1.d/K01pm", "../init.d/pm", "/etc/rc1.d", 0 },
	{ "/etc/rc6.d/K01pm", "../init.d/pm", "/etc/rc6.d", 0 }, { 0 } };
/* Debian's runsvdir reads /etc/service, Void's /var/service, others' /service. */
static const struct host_file runit_files[] = { { "/etc/sv/pm/run", run_script, NULL, 0755 },
	{ "/etc/service/pm", "/etc/sv/pm", "/etc/service", 0 },
	{ "/etc/runit/runsvdir/default/pm", "/etc/sv/pm", "/etc/runit/runsvdir/default", 0 },
	{ "/service/pm", "/etc/sv/pm", "/service", 0 }, { 0 } };
static const struct host_file s6_files[] = { { "/etc/s6/sv/pm/run", run_script, NULL, 0755 },
	{ "/etc/s6/service/pm", "../sv/pm", "/etc/s6/service", 0 },
	{ "/etc/s6-linux-init/current/run-image/service/pm", "/etc/s6/sv/pm", "/etc/s6-linux-init/current/run-image/service", 0 },
	{ "/run/service/pm", "/etc/s6/sv/pm", "/run/service", 0 }, { 0 } };
static const struct host_file bsd_files[] = { { "/usr/local/etc/rc.d/pm", bsd_script, NULL, 0755 },
	{ "/etc/rc.conf.d/pm", bsd_enable, NULL, 0644 }, { 0 } };
static const struct host_file launchd_files[] = {
	{ "/Library/LaunchDaemons/croft.pm.plist", launchd_plist, NULL, 0644 }, { 0 } };
static const struct host_file launchd_user_files[] = {
	{ "~/Library/LaunchAgents/croft.pm.plist", launchd_plist, NULL, 0644 }, { 0 } };

const struct host_system host_systems[] = {
	{ "systemd", STYLE_UNIT, true, false, systemd_files, LIST("systemctl", "daemon-reload"),
		LIST("systemctl", "start", "pm.service"), LIST("systemctl", "stop", "pm.service") },
	{ "systemd", STYLE_UNIT, true, true, systemd_user_files, LIST("systemctl", "--user", "daemon-reload"),
		LIST("systemctl", "--user", "start", "pm.service"), LIST("systemctl", "--user", "stop", "pm.service") },
	{ "openrc", STYLE_SH, true, false, openrc_files, NULL, LIST("rc-service", "pm", "start"),
		LIST("rc-service", "pm", "stop") },
	{ "sysvinit", STYLE_SH, true, false, sysv_files, NULL, LIST("/etc/init.d/pm", "start"),
		LIST("/etc/init.d/pm", "stop") },
	{ "runit", STYLE_SH, true, false, runit_files, NULL, LIST("sv", "-w", "120", "up", "/etc/sv/pm"),
		LIST("sv", "-w", "120", "down", "/etc/sv/pm") },
	{ "s6", STYLE_SH, true, false, s6_files, NULL, LIST("s6-svc", "-wu", "-u", "/etc/s6/sv/pm"),
		LIST("s6-svc", "-wD", "-d", "/etc/s6/sv/pm") },
	{ "bsd", STYLE_SH, false, false, bsd_files, NULL, LIST("service", "pm", "start"), LIST("service", "pm", "stop") },
	{ "launchd", STYLE_XML, false, false, launchd_files, NULL,
		LIST("launchctl", "bootstrap", "system", "/Library/LaunchDaemons/croft.pm.plist"),
		LIST("launchctl", "bootout", "system/croft.pm") },
	{ "launchd", STYLE_XML, false, true, launchd_user_files, NULL, LIST("launchctl", "start", "croft.pm"),
		LIST("launchctl", "stop", "croft.pm") },
	{ 0 } };

const struct host_system *host_system_find(const char *name, bool user)
{
	for (const struct host_system *s = host_systems; s->name; s++)
		if (strcmp(s->name, name) == 0 && s->user == user)
			return s;
	return NULL;
}
