/* SPDX-License-Identifier: Apache-2.0 */
/* What the rescue system has beyond tiny: the tools that repair and install machines, with the libraries that they need. */
#include "base/mem.h"
#include "image/internal.h"

#include <string.h>

static const char *const packages[] = { "parted", "fdisk", "gdisk", "util-linux", "mount", "e2fsprogs", "xfsprogs", "btrfs-progs", "dosfstools",
	"ntfs-3g", "lvm2", "mdadm", "cryptsetup-bin", "grub-common", "grub2-common", "grub-pc-bin", "grub-efi-amd64-bin", "efibootmgr",
	"openssh-server", "openssh-client", "rsync", "tar", "gzip", "bzip2", "xz-utils", "zstd", "arch-install-scripts", "ca-certificates",
	"curl", NULL };
/* Needed by maintainers' scripts, by a running system, or to print in other languages; the tools themselves work without. */
static const char *const skip[] = { "adduser", "debconf", "debconf-2.0", "cdebconf", "debianutils", "dpkg", "dmeventd", "fuse3", "fuse",
	"gettext-base", "init-system-helpers", "install-info", "libpam-modules", "libpam-runtime", "login", "logsave", "lsb-base",
	"passwd", "perl*", "python3*", "libicu*", "runit-helper", "sysvinit-utils", "tzdata", "ucf", "udev",
	"openssl", "initscripts", "awk", "mawk", "gawk", "pacman-package-manager", "thin-provisioning-tools", "sensible-utils", NULL };
static const char *const modules[] = { "dm_crypt", "dm_mirror", "dm_snapshot", "dm_thin_pool", "dm_raid", "raid0", "raid1", "raid10",
	"raid456", "exfat", "msdos", "ext4", "nls_iso8859_1", "nbd", "efivarfs", "xts", "aesni_intel", "algif_skcipher",
	"algif_hash", NULL };

const struct small_kind small_rescue = {
	.os = "rescue",
	.packages = packages,
	.skip = skip,
	.modules = modules,
	.overlay = "rescue",
	.efi = true,
};

int image_make_rescue(const struct image_tiny_opts *o, bool *made, struct error **err)
{
	return image_make_small(o, &small_rescue, made, err);
}
