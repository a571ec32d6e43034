/* SPDX-License-Identifier: Apache-2.0 */
#include "qemu/args.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "base/proc.h"
#include "base/qcow2.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define CONVERT_MS 60000

/* Where distributions keep the EDK2 builds: code and template of the variables belong together. */
static const struct firmware {
	const char *arch, *code, *vars;
	bool secure;
} firmwares[] = {
	{ "x86_64", "/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd", false },
	{ "x86_64", "/usr/share/OVMF/OVMF_CODE.fd", "/usr/share/OVMF/OVMF_VARS.fd", false },
	{ "x86_64", "/usr/share/edk2/ovmf/OVMF_CODE.fd", "/usr/share/edk2/ovmf/OVMF_VARS.fd", false },
	{ "x86_64", "/usr/share/edk2/x64/OVMF_CODE.4m.fd", "/usr/share/edk2/x64/OVMF_VARS.4m.fd", false },
	{ "x86_64", "/usr/share/qemu/edk2-x86_64-code.fd", "/usr/share/qemu/edk2-i386-vars.fd", false },
	{ "x86_64", "/usr/share/OVMF/OVMF_CODE_4M.secboot.fd", "/usr/share/OVMF/OVMF_VARS_4M.ms.fd", true },
	{ "x86_64", "/usr/share/OVMF/OVMF_CODE.secboot.fd", "/usr/share/OVMF/OVMF_VARS.ms.fd", true },
	{ "x86_64", "/usr/share/edk2/ovmf/OVMF_CODE.secboot.fd", "/usr/share/edk2/ovmf/OVMF_VARS.secboot.fd", true },
	{ "i386", "/usr/share/OVMF/OVMF32_CODE_4M.secboot.fd", "/usr/share/OVMF/OVMF32_VARS_4M.fd", false },
	{ "i386", "/usr/share/qemu/edk2-i386-code.fd", "/usr/share/qemu/edk2-i386-vars.fd", false },
	{ "aarch64", "/usr/share/AAVMF/AAVMF_CODE.fd", "/usr/share/AAVMF/AAVMF_VARS.fd", false },
	{ "aarch64", "/usr/share/edk2/aarch64/QEMU_EFI-pflash.raw", "/usr/share/edk2/aarch64/vars-template-pflash.raw", false },
	{ "aarch64", "/usr/share/qemu/edk2-aarch64-code.fd", "/usr/share/qemu/edk2-arm-vars.fd", false },
};

/* nvram, when it is there: only firmware fits whose variables have the same size; builds of 2 and of 4 MiB are about. */
static const struct firmware *find(const char *arch, bool secure, const char *nvram, struct error **err)
{
	uint64_t size = nvram ? qcow2_size(nvram) : 0;
	bool known = false;
	struct stat st;

	for (size_t i = 0; i < ARRAY_SIZE(firmwares); i++) {
		if (strcmp(firmwares[i].arch, arch) || firmwares[i].secure != secure)
			continue;
		known = true;
		if (file_exists(firmwares[i].code) && stat(firmwares[i].vars, &st) == 0 && (!size || (uint64_t)st.st_size == size))
			return &firmwares[i];
	}
	error_set(err, ERR_NOT_FOUND, "no UEFI firmware%s for %s is installed", secure ? " with secure boot" : "", arch);
	if (known)
		error_hint(err, "install the package %s, or use firmware: bios",
			!strcmp(arch, "aarch64") ? "qemu-efi-aarch64" : !strcmp(arch, "i386") ? "ovmf-ia32" : "ovmf");
	return NULL;
}

int qemu_add_uefi(struct strv *argv, const char *arch, bool secure, const char *nvram, const char **machine, struct error **err)
{
	const struct firmware *f = find(arch, secure, nvram, err);
	_cleanup_free_ char *vars = NULL;

	if (!f)
		return -1;
	vars = qemu_quote(nvram);
	strv_add(argv, "-blockdev");
	strv_addf(argv, "driver=raw,node-name=fw-code,read-only=on,file.driver=file,file.read-only=on,file.filename=%s", f->code);
	strv_add(argv, "-blockdev");
	strv_addf(argv, "driver=qcow2,node-name=fw-vars,file.driver=file,file.filename=%s", vars);
	if (secure) {
		strv_add(argv, "-global");
		strv_add(argv, "driver=cfi.pflash01,property=secure,value=on");
	}
	*machine = secure ? ",smm=on,pflash0=fw-code,pflash1=fw-vars" : ",pflash0=fw-code,pflash1=fw-vars";
	return 0;
}

int qemu_make_nvram(const char *arch, bool secure, const char *nvram, struct error **err)
{
	const struct firmware *f = find(arch, secure, NULL, err);

	if (!f)
		return -1;
	/* qcow2, as every writable drive: otherwise no snapshot with memory could be taken. */
	return proc_run((const char *const[]){ "qemu-img", "convert", "-q", "-f", "raw", "-O", "qcow2", f->vars, nvram, NULL },
		CONVERT_MS, NULL, NULL, err);
}
