/* SPDX-License-Identifier: Apache-2.0 */
/* The applets of Debian's busybox-static that tiny has in /bin; those that croft's program stands
 * for are left out. */
#include "base/cleanup.h"
#include "base/mem.h"
#include "base/strv.h"
#include "image/internal.h"

static const char applets[] =
	"[ [[ acpid adjtimex ar arch arp arping ascii ash awk base64 basename bc blkdiscard "
	"blockdev brctl bunzip2 bzcat bzip2 cal cat chgrp chmod chown chroot clear cmp cp "
	"cpio crc32 crond crontab cttyhack cut date dc dd depmod devmem df diff dirname "
	"dmesg dnsdomainname dos2unix du dumpleases echo ed egrep env expand expr factor "
	"fallocate false fdisk fgrep find findfs fold free fsfreeze fstrim ftpget ftpput "
	"getopt getty grep groups gunzip gzip halt head hexdump hostid hostname httpd hwclock id "
	"ifconfig ifdown ifup insmod ionice ip ipcalc ipneigh kill killall klogd last less "
	"link linux32 linux64 ln logger login logname logread losetup ls lsmod lsscsi lzcat "
	"lzma lzop md5sum mdev mim mkdir mkdosfs mke2fs mkfifo mknod mkpasswd mkswap mktemp "
	"modinfo modprobe more mount mt mv nameif nc netstat nl nologin nproc nsenter "
	"nslookup nuke od partprobe passwd paste patch pidof ping ping6 pivot_root poweroff printf "
	"ps "
	"pwd rdate readlink realpath reboot renice reset resume rev rm rmdir rmmod route run-parts "
	"sed seq setpriv setsid sh sha1sum sha256sum sha3sum sha512sum shred shuf sleep sort "
	"ssl_client start-stop-daemon stat strings stty su sulogin swapoff swapon "
	"switch_root sync sysctl syslogd tac tail tar taskset tc tee telnet telnetd test "
	"tftp time timeout top touch tr traceroute traceroute6 true truncate ts tty udhcpc "
	"udhcpd uevent umount uname uncompress unexpand uniq unix2dos unlink unlzma unshare "
	"unxz unzip uptime usleep uudecode uuencode vconfig vi w watch watchdog wc wget "
	"which who whoami xargs xxd xz xzcat yes zcat ";
void busybox_links(struct initramfs *i)
{
	_cleanup_strv_ struct strv names = STRV_INIT;

	strv_split(&names, applets, " ");
	for (size_t n = 0; n < names.len; n++) {
		_cleanup_free_ char *path = xasprintf("bin/%s", names.v[n]),
				    *other = xasprintf("usr/bin/%s", names.v[n]);

		if (!initramfs_has(i, path) && !initramfs_has(i, other))
			initramfs_link(i, path, "busybox");
	}
}
