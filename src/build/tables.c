/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every key that templates may hold (Packer 1.11 and its plugins qemu, virtualbox and docker; packer-plugin-sdk), and what croft makes
 * of it.
 */
#include "build/schema.h"

#include <stddef.h>

#define END { NULL, KEY_TEXT, 0, NULL, NULL, NULL }
#define TEXT(n, d) { n, KEY_TEXT, 0, d, NULL, NULL }
#define NUMBER(n, d) { n, KEY_NUMBER, 0, d, NULL, NULL }
#define BOOL(n) { n, KEY_BOOL, 0, "false", NULL, NULL }
#define DURATION(n, d) { n, KEY_DURATION, 0, d, NULL, NULL }
#define LIST(n, d) { n, KEY_LIST, 0, d, NULL, NULL }
#define MAP(n) { n, KEY_MAP, 0, NULL, NULL, NULL }
#define LATE(n, t, d, f) { n, t, 0, d, f, NULL }
#define REQUIRED(n, t) { n, t, KEY_REQUIRED, NULL, NULL, NULL }
#define IGNORED(n, t, why) { n, t, KEY_IGNORED, NULL, NULL, why }
#define SILENT(n, t) { n, t, KEY_SILENT, NULL, NULL, NULL }
#define REFUSED(n, t, why) { n, t, KEY_REFUSED, NULL, NULL, why }

#define NO_WINDOW "the machine shows itself by `croft vm display`, on a socket that only you can open"
#define NO_VBOX "it is a matter of VirtualBox, and QEMU builds the machine"

#define BUILD_FIELDS                                                                                                                \
	"ID", "Host", "Port", "User", "Password", "ConnType", "PackerRunUUID", "PackerHTTPIP", "PackerHTTPPort", "PackerHTTPAddr",  \
		"SSHPublicKey", "SSHPrivateKey", "WinRMPassword"

static const char *const boot_fields[] = { "HTTPIP", "HTTPPort", "Name", "SSHPublicKey", NULL };
static const char *const args_fields[] = { "HTTPIP", "HTTPPort", "HTTPDir", "HTTPContent", "OutputDir", "Name", "SSHHostPort", NULL };
static const char *const vbox_fields[] = { "Name", "HTTPIP", "HTTPPort", NULL };
static const char *const version_fields[] = { "Version", NULL };
static const char *const shell_fields[] = { "Vars", "EnvVarFile", "Path", BUILD_FIELDS, NULL };
static const char *const local_fields[] = { "Vars", "Script", "Command", BUILD_FIELDS, NULL };
static const char *const checksum_fields[] = { "BuildName", "BuilderType", "ChecksumType", NULL };
static const char *const compress_fields[] = { "BuildName", "BuilderType", NULL };
static const char *const vagrant_fields[] = { "BuildName", "Provider", "ArtifactId", NULL };

/* ---- builders ---- */

static const struct key machine_keys[] = {
	TEXT("output_directory", NULL), TEXT("vm_name", NULL), TEXT("format", "qcow2"), TEXT("accelerator", "auto"),
	BOOL("disk_compression"), BOOL("skip_compaction"), TEXT("shutdown_command", NULL), DURATION("shutdown_timeout", "5m"),
	LIST("croft_inputs", NULL), END,
};

static const struct key ssh_keys[] = {
	TEXT("communicator", NULL), DURATION("pause_before_connecting", NULL), TEXT("ssh_host", NULL), NUMBER("ssh_port", "22"),
	TEXT("ssh_username", NULL), TEXT("ssh_password", NULL), TEXT("ssh_private_key_file", NULL), BOOL("ssh_pty"),
	DURATION("ssh_timeout", NULL), NUMBER("ssh_handshake_attempts", NULL), BOOL("ssh_agent_auth"),
	IGNORED("ssh_file_transfer_method", KEY_TEXT, "files go by SFTP, or by cat where there is none"),
	IGNORED("ssh_read_write_timeout", KEY_DURATION, "a connection is waited for as long as it lives"),
	IGNORED("ssh_keep_alive_interval", KEY_DURATION, "the connection does not leave this host"),
	IGNORED("ssh_clear_authorized_keys", KEY_BOOL, "the guest's keys stay as they are"),
	IGNORED("temporary_key_pair_type", KEY_TEXT, "croft makes an Ed25519 key"),
	IGNORED("temporary_key_pair_bits", KEY_NUMBER, "croft makes an Ed25519 key"),
	SILENT("temporary_key_pair_name", KEY_TEXT), SILENT("ssh_disable_agent_forwarding", KEY_BOOL),
	IGNORED("ssh_keypair_name", KEY_TEXT, "it names keys of clouds"),
	IGNORED("ssh_certificate_file", KEY_TEXT, "croft logs in by key or password"), LIST("ssh_ciphers", NULL),
	LIST("ssh_key_exchange_algorithms", NULL), REFUSED("ssh_bastion_host", KEY_TEXT, "croft reaches its machines directly"),
	IGNORED("ssh_bastion_port", KEY_NUMBER, "there is no bastion"), IGNORED("ssh_bastion_agent_auth", KEY_BOOL, "there is no bastion"),
	IGNORED("ssh_bastion_username", KEY_TEXT, "there is no bastion"), IGNORED("ssh_bastion_password", KEY_TEXT, "there is no bastion"),
	IGNORED("ssh_bastion_interactive", KEY_BOOL, "there is no bastion"), IGNORED("ssh_bastion_private_key_file", KEY_TEXT, "there is no bastion"),
	REFUSED("ssh_proxy_host", KEY_TEXT, "croft reaches its machines directly"), IGNORED("ssh_proxy_port", KEY_NUMBER, "there is no proxy"),
	IGNORED("ssh_proxy_username", KEY_TEXT, "there is no proxy"), IGNORED("ssh_proxy_password", KEY_TEXT, "there is no proxy"),
	REFUSED("ssh_local_tunnels", KEY_LIST, "croft makes no tunnels"), REFUSED("ssh_remote_tunnels", KEY_LIST, "croft makes no tunnels"),
	IGNORED("winrm_username", KEY_TEXT, "croft has no WinRM"), IGNORED("winrm_password", KEY_TEXT, "croft has no WinRM"),
	IGNORED("winrm_host", KEY_TEXT, "croft has no WinRM"), IGNORED("winrm_port", KEY_NUMBER, "croft has no WinRM"),
	IGNORED("winrm_timeout", KEY_DURATION, "croft has no WinRM"), IGNORED("winrm_use_ssl", KEY_BOOL, "croft has no WinRM"),
	IGNORED("winrm_insecure", KEY_BOOL, "croft has no WinRM"), IGNORED("winrm_use_ntlm", KEY_BOOL, "croft has no WinRM"),
	IGNORED("winrm_no_proxy", KEY_BOOL, "croft has no WinRM"), END,
};

static const struct key croft_keys[] = {
	TEXT("image", NULL), TEXT("machine", NULL), TEXT("snapshot", NULL), TEXT("kernel", NULL), TEXT("initrd", NULL), TEXT("cmdline", NULL),
	TEXT("disk_image", NULL), TEXT("disk_size", NULL), TEXT("memory", "512"), NUMBER("cpus", "1"), TEXT("firmware", NULL),
	TEXT("machine_type", NULL), DURATION("boot_timeout", "10m"), TEXT("arch", NULL),
	REFUSED("root", KEY_TEXT, "a root without a machine is built by the builder root"), END,
};

static const struct key root_keys[] = {
	TEXT("release", NULL), TEXT("mirror", NULL), LIST("packages", NULL), BOOL("offline"), TEXT("root", NULL), TEXT("image", NULL),
	TEXT("output_directory", NULL), TEXT("vm_name", NULL), LIST("croft_inputs", NULL), END,
};

#define NO_DAEMON "there is no daemon: the root is changed in place"
static const struct key docker_keys[] = {
	REQUIRED("image", KEY_TEXT), SILENT("communicator", KEY_TEXT), BOOL("commit"), BOOL("discard"), TEXT("export_path", NULL), LIST("changes", NULL),
	TEXT("output_directory", NULL), TEXT("vm_name", NULL), LIST("croft_inputs", NULL), IGNORED("message", KEY_TEXT, NO_DAEMON),
	IGNORED("author", KEY_TEXT, NO_DAEMON), IGNORED("pull", KEY_BOOL, NO_DAEMON), IGNORED("run_command", KEY_LIST, NO_DAEMON),
	IGNORED("privileged", KEY_BOOL, NO_DAEMON), IGNORED("cap_add", KEY_LIST, NO_DAEMON), IGNORED("cap_drop", KEY_LIST, NO_DAEMON),
	IGNORED("container_dir", KEY_TEXT, NO_DAEMON), IGNORED("device", KEY_LIST, NO_DAEMON), IGNORED("exec_user", KEY_TEXT, NO_DAEMON),
	IGNORED("fix_upload_owner", KEY_BOOL, NO_DAEMON), IGNORED("tmpfs", KEY_LIST, NO_DAEMON), IGNORED("platform", KEY_TEXT, NO_DAEMON),
	IGNORED("docker_path", KEY_TEXT, NO_DAEMON), IGNORED("login", KEY_BOOL, NO_DAEMON), IGNORED("login_username", KEY_TEXT, NO_DAEMON),
	IGNORED("login_password", KEY_TEXT, NO_DAEMON), IGNORED("login_server", KEY_TEXT, NO_DAEMON), IGNORED("ecr_login", KEY_BOOL, NO_DAEMON),
	REFUSED("volumes", KEY_MAP, "the root has no volumes; upload with the provisioner file"),
	REFUSED("build", KEY_MAP, "croft reads no Dockerfiles"), REFUSED("windows_container", KEY_BOOL, "it builds Linux roots"), END,
};

/* Of every builder that installs from media. */
static const struct key media_keys[] = {
	TEXT("iso_url", NULL), LIST("iso_urls", NULL), TEXT("iso_checksum", NULL), TEXT("iso_target_path", NULL),
	TEXT("iso_target_extension", "iso"), BOOL("iso_skip_cache"), LATE("boot_command", KEY_LIST, NULL, boot_fields),
	LATE("boot_steps", KEY_LISTS, NULL, boot_fields), DURATION("boot_wait", "10s"), DURATION("boot_key_interval", NULL),
	IGNORED("boot_keygroup_interval", KEY_DURATION, "keys are sent one by one, at boot_key_interval"), TEXT("http_directory", NULL), MAP("http_content"), NUMBER("http_port_min", "8000"),
	NUMBER("http_port_max", "9000"), TEXT("http_bind_address", NULL),
	IGNORED("http_interface", KEY_TEXT, "the guest reaches the server through its gateway"),
	IGNORED("http_network_protocol", KEY_TEXT, "it is TCP over IPv4"), LIST("floppy_files", NULL), LIST("floppy_dirs", NULL),
	MAP("floppy_content"), TEXT("floppy_label", "packer"), LIST("cd_files", NULL), MAP("cd_content"), TEXT("cd_label", "packer"),
	BOOL("headless"), NUMBER("cpus", "1"), NUMBER("memory", "512"), NUMBER("host_port_min", "2222"), NUMBER("host_port_max", "4444"),
	BOOL("skip_nat_mapping"), SILENT("run_once", KEY_BOOL), END,
};

static const struct key qemu_keys[] = {
	BOOL("disk_image"), IGNORED("use_backing_file", KEY_BOOL, "what is written stands by itself"), TEXT("disk_size", "40960M"), LIST("disk_additional_size", NULL), BOOL("skip_resize_disk"),
	TEXT("disk_interface", "virtio"), TEXT("disk_cache", "writeback"), TEXT("disk_discard", "ignore"),
	IGNORED("disk_detect_zeroes", KEY_TEXT, "croft leaves it off"), TEXT("cdrom_interface", ""), TEXT("machine_type", "pc"),
	NUMBER("sockets", NULL), NUMBER("cores", NULL), NUMBER("threads", NULL), TEXT("cpu_model", ""), TEXT("vga", ""), BOOL("efi_boot"),
	TEXT("efi_firmware_code", NULL), TEXT("efi_firmware_vars", NULL),
	IGNORED("efi_drop_efivars", KEY_BOOL, "no efivars.fd is written"), TEXT("firmware", NULL), BOOL("use_pflash"),
	BOOL("vtpm"), REFUSED("use_tpm1", KEY_BOOL, "croft's TPM is a TPM 2.0"), IGNORED("tpm_device_type", KEY_TEXT, "croft takes the one that fits the machine"),
	TEXT("net_device", "virtio-net"), REFUSED("net_bridge", KEY_TEXT, "a bridge needs root; the machine has the user network"),
	IGNORED("display", KEY_TEXT, NO_WINDOW), IGNORED("use_default_display", KEY_BOOL, NO_WINDOW),
	IGNORED("vnc_bind_address", KEY_TEXT, NO_WINDOW), IGNORED("vnc_port_min", KEY_NUMBER, NO_WINDOW),
	IGNORED("vnc_port_max", KEY_NUMBER, NO_WINDOW), IGNORED("vnc_use_password", KEY_BOOL, "the display is on a socket that only you can open"),
	IGNORED("vnc_password", KEY_TEXT, "the display is on a socket that only you can open"), BOOL("disable_vnc"), SILENT("qmp_enable", KEY_BOOL),
	IGNORED("qmp_socket_path", KEY_TEXT, "`croft vm qemu` shows the machine's monitor"), TEXT("qemu_binary", "qemu-system-x86_64"),
	LATE("qemuargs", KEY_LISTS, NULL, args_fields), IGNORED("qemu_img_args", KEY_MAP, "croft calls qemu-img in its own way"), END,
};

static const struct key vbox_keys[] = {
	TEXT("guest_os_type", "Other"), TEXT("disk_size", "40000"), LIST("disk_additional_size", NULL), TEXT("hard_drive_interface", "ide"),
	TEXT("iso_interface", "ide"), SILENT("sata_port_count", KEY_NUMBER), SILENT("nvme_port_count", KEY_NUMBER), BOOL("hard_drive_discard"),
	SILENT("hard_drive_nonrotational", KEY_BOOL), TEXT("sound", "none"), SILENT("usb", KEY_BOOL), SILENT("usb_controller", KEY_TEXT),
	SILENT("audio_controller", KEY_TEXT), SILENT("mouse", KEY_TEXT), SILENT("keyboard", KEY_TEXT), SILENT("gfx_controller", KEY_TEXT),
	SILENT("gfx_vram_size", KEY_NUMBER), SILENT("gfx_accelerate_3d", KEY_BOOL), SILENT("gfx_efi_resolution", KEY_TEXT),
	TEXT("nic_type", "82540EM"), TEXT("chipset", "piix3"), TEXT("firmware", "bios"), TEXT("rtc_time_base", "UTC"),
	SILENT("nested_virt", KEY_BOOL), TEXT("output_filename", NULL), IGNORED("export_opts", KEY_LIST, NO_VBOX),
	LATE("vboxmanage", KEY_LISTS, NULL, vbox_fields), LATE("vboxmanage_post", KEY_LISTS, NULL, vbox_fields),
	SILENT("virtualbox_version_file", KEY_TEXT), TEXT("guest_additions_mode", "upload"),
	LATE("guest_additions_path", KEY_TEXT, NULL, version_fields), LATE("guest_additions_url", KEY_TEXT, NULL, version_fields),
	SILENT("guest_additions_sha256", KEY_TEXT), SILENT("guest_additions_interface", KEY_TEXT), IGNORED("bundle_iso", KEY_BOOL, NO_VBOX),
	IGNORED("keep_registered", KEY_BOOL, NO_VBOX), IGNORED("skip_export", KEY_BOOL, NO_VBOX), SILENT("vrdp_bind_address", KEY_TEXT), SILENT("vrdp_port_min", KEY_NUMBER), SILENT("vrdp_port_max", KEY_NUMBER),
	BOOL("acpi_shutdown"), IGNORED("disable_shutdown", KEY_BOOL, NO_VBOX), DURATION("post_shutdown_delay", "2s"), END,
};

/* ---- provisioners and post-processors ---- */

static const struct key inputs_keys[] = { LIST("croft_inputs", NULL), END };

static const struct key shell_keys[] = {
	LIST("inline", NULL), TEXT("script", NULL), LIST("scripts", NULL), LIST("environment_vars", NULL), MAP("env"),
	TEXT("env_var_format", NULL), BOOL("use_env_var_file"), TEXT("inline_shebang", "/bin/sh -e"),
	LATE("execute_command", KEY_TEXT, NULL, shell_fields), TEXT("remote_folder", "/tmp"), TEXT("remote_file", NULL), TEXT("remote_path", NULL),
	BOOL("binary"), BOOL("skip_clean"), BOOL("expect_disconnect"), LIST("valid_exit_codes", NULL), DURATION("start_retry_timeout", "5m"),
	DURATION("pause_after", NULL), END,
};

static const struct key file_keys[] = {
	TEXT("source", NULL), LIST("sources", NULL), TEXT("content", NULL), REQUIRED("destination", KEY_TEXT), TEXT("direction", "upload"),
	BOOL("generated"), END,
};

static const struct key local_keys[] = {
	TEXT("command", NULL), LIST("inline", NULL), TEXT("script", NULL), LIST("scripts", NULL),
	LATE("execute_command", KEY_LIST, NULL, local_fields), LIST("environment_vars", NULL), MAP("env"), TEXT("env_var_format", NULL),
	TEXT("inline_shebang", "/bin/sh -e"), TEXT("tempfile_extension", NULL), LIST("only_on", NULL), LIST("valid_exit_codes", NULL),
	SILENT("use_linux_pathing", KEY_BOOL), END,
};

static const struct key breakpoint_keys[] = { TEXT("note", NULL), BOOL("disable"), END };
static const struct key sleep_keys[] = { REQUIRED("duration", KEY_DURATION), END };

static const struct key job_keys[] = { REQUIRED("job", KEY_TEXT), LIST("files", NULL), LIST("environment_vars", NULL), END };

static const struct key ansible_keys[] = {
	REQUIRED("playbook_file", KEY_TEXT), TEXT("command", "ansible-playbook"), LIST("extra_arguments", NULL), LIST("ansible_env_vars", NULL),
	LIST("groups", NULL), LIST("empty_groups", NULL), TEXT("host_alias", "default"), TEXT("user", NULL), TEXT("inventory_directory", NULL),
	TEXT("galaxy_file", NULL), TEXT("galaxy_command", "ansible-galaxy"), BOOL("use_proxy"),
	IGNORED("local_port", KEY_NUMBER, "ansible connects to the machine itself"), IGNORED("ssh_host_key_file", KEY_TEXT, "ansible connects to the machine itself"),
	IGNORED("ssh_authorized_key_file", KEY_TEXT, "ansible connects to the machine itself"), IGNORED("sftp_command", KEY_TEXT, "ansible connects to the machine itself"), END,
};

static const struct key ansible_local_keys[] = {
	TEXT("playbook_file", NULL), LIST("playbook_files", NULL), TEXT("playbook_dir", NULL), TEXT("command", "ANSIBLE_FORCE_COLOR=1 PYTHONUNBUFFERED=1 ansible-playbook"),
	LIST("extra_arguments", NULL), TEXT("group_vars", NULL), TEXT("host_vars", NULL), TEXT("inventory_file", NULL), LIST("inventory_groups", NULL),
	LIST("playbook_paths", NULL), LIST("role_paths", NULL), TEXT("staging_directory", NULL), BOOL("clean_staging_directory"),
	TEXT("galaxy_file", NULL), TEXT("galaxy_command", "ansible-galaxy"), END,
};

static const struct key checksum_keys[] = {
	LIST("checksum_types", "md5"), LATE("output", KEY_TEXT, "packer_{{.BuildName}}_{{.BuilderType}}_{{.ChecksumType}}.checksum", checksum_fields), END,
};

static const struct key compress_keys[] = {
	LATE("output", KEY_TEXT, "packer_{{.BuildName}}_{{.BuilderType}}", compress_fields), TEXT("format", NULL), NUMBER("compression_level", "-1"), END,
};

static const struct key vagrant_keys[] = {
	LATE("output", KEY_TEXT, "packer_{{.BuildName}}_{{.Provider}}.box", vagrant_fields), NUMBER("compression_level", "-1"), LIST("include", NULL),
	TEXT("vagrantfile_template", NULL), BOOL("vagrantfile_template_generated"), TEXT("provider_override", NULL),
	IGNORED("architecture", KEY_TEXT, "the machine is an amd64"), END,
};

static const struct key manifest_keys[] = {
	TEXT("output", "packer-manifest.json"), BOOL("strip_path"), BOOL("strip_time"), MAP("custom_data"), END,
};

static const struct key artifice_keys[] = { REQUIRED("files", KEY_LIST), END };

static const struct key docker_import_keys[] = {
	TEXT("repository", NULL), TEXT("tag", NULL), LIST("changes", NULL), IGNORED("platform", KEY_TEXT, NO_DAEMON),
	IGNORED("docker_path", KEY_TEXT, NO_DAEMON), END,
};

static const struct key docker_tag_keys[] = {
	TEXT("repository", NULL), LIST("tags", NULL), LIST("tag", NULL), SILENT("force", KEY_BOOL), IGNORED("docker_path", KEY_TEXT, NO_DAEMON), END,
};

static const struct key docker_save_keys[] = { REQUIRED("path", KEY_TEXT), IGNORED("docker_path", KEY_TEXT, NO_DAEMON), END };

static const struct key export_keys[] = {
	{ "output", KEY_TEXT, KEY_REQUIRED, NULL, compress_fields, NULL }, TEXT("format", NULL), TEXT("compress", NULL), NUMBER("level", NULL),
	TEXT("name", NULL), NUMBER("cpus", NULL), TEXT("memory", NULL), TEXT("bus", NULL), TEXT("firmware", NULL), TEXT("manifest", NULL),
	LIST("without", NULL), LIST("env", NULL), LIST("cmd", NULL), LIST("changes", NULL), BOOL("as_is"), END,
};

#define NO_UPLOAD "croft does not upload"
#define NO_CLOUD "croft builds on this computer, not in clouds"
#define TABLES(...) (const struct key *const[]){ __VA_ARGS__, NULL }
#define NO_TABLES (const struct key *const[]){ NULL }

const struct component components[] = {
	{ PART_BUILDER, "croft", TABLES(croft_keys, machine_keys, ssh_keys), NULL },
	{ PART_BUILDER, "qemu", TABLES(qemu_keys, media_keys, machine_keys, ssh_keys), NULL },
	{ PART_BUILDER, "virtualbox-iso", TABLES(vbox_keys, media_keys, machine_keys, ssh_keys), NULL },
	{ PART_BUILDER, "null", TABLES(ssh_keys, inputs_keys), NULL },
	{ PART_BUILDER, "root", TABLES(root_keys), NULL },
	{ PART_BUILDER, "docker", TABLES(docker_keys), NULL },
	{ PART_BUILDER, "virtualbox-ovf", NO_TABLES, "import the appliance's disk and build with the builder qemu and disk_image" },
	{ PART_BUILDER, "vmware-iso", NO_TABLES, "croft runs QEMU; make it a builder qemu" },
	{ PART_BUILDER, "hyperv-iso", NO_TABLES, "croft runs QEMU; make it a builder qemu" },
	{ PART_BUILDER, "parallels-iso", NO_TABLES, "croft runs QEMU; make it a builder qemu" },
	{ PART_BUILDER, "vmware-vmx", NO_TABLES, "croft runs QEMU; make it a builder qemu" },
	{ PART_BUILDER, "parallels-pvm", NO_TABLES, "croft runs QEMU; make it a builder qemu" },
	{ PART_BUILDER, "vsphere-iso", NO_TABLES, NO_CLOUD },
	{ PART_BUILDER, "proxmox", NO_TABLES, NO_CLOUD },
	{ PART_BUILDER, "proxmox-iso", NO_TABLES, NO_CLOUD },
	{ PART_BUILDER, "amazon-ebs", NO_TABLES, NO_CLOUD },
	{ PART_BUILDER, "googlecompute", NO_TABLES, NO_CLOUD },
	{ PART_BUILDER, "azure-arm", NO_TABLES, NO_CLOUD },
	{ PART_BUILDER, "digitalocean", NO_TABLES, NO_CLOUD },
	{ PART_BUILDER, "openstack", NO_TABLES, NO_CLOUD },
	{ PART_BUILDER, "lxc", NO_TABLES, "a root without a machine is built by the builder root" },
	{ PART_PROVISIONER, "shell", TABLES(shell_keys, inputs_keys), NULL },
	{ PART_PROVISIONER, "file", TABLES(file_keys, inputs_keys), NULL },
	{ PART_PROVISIONER, "shell-local", TABLES(local_keys, inputs_keys), NULL },
	{ PART_PROVISIONER, "breakpoint", TABLES(breakpoint_keys), NULL },
	{ PART_PROVISIONER, "sleep", TABLES(sleep_keys), NULL },
	{ PART_PROVISIONER, "croft-job", TABLES(job_keys, inputs_keys), NULL },
	{ PART_PROVISIONER, "ansible", TABLES(ansible_keys, inputs_keys), NULL },
	{ PART_PROVISIONER, "ansible-local", TABLES(ansible_local_keys, inputs_keys), NULL },
	{ PART_PROVISIONER, "powershell", NO_TABLES, "croft does not provision Windows" },
	{ PART_PROVISIONER, "windows-shell", NO_TABLES, "croft does not provision Windows" },
	{ PART_PROVISIONER, "windows-restart", NO_TABLES, "croft does not provision Windows" },
	{ PART_PROVISIONER, "chef-solo", NO_TABLES, "croft does not run Chef; a shell provisioner can" },
	{ PART_PROVISIONER, "puppet-masterless", NO_TABLES, "croft does not run Puppet; a shell provisioner can" },
	{ PART_PROVISIONER, "salt-masterless", NO_TABLES, "croft does not run Salt; a shell provisioner can" },
	{ PART_POST, "checksum", TABLES(checksum_keys), NULL },
	{ PART_POST, "compress", TABLES(compress_keys), NULL },
	{ PART_POST, "manifest", TABLES(manifest_keys), NULL },
	{ PART_POST, "shell-local", TABLES(local_keys, inputs_keys), NULL },
	{ PART_POST, "artifice", TABLES(artifice_keys), NULL },
	{ PART_POST, "vagrant", TABLES(vagrant_keys), NULL },
	{ PART_POST, "docker-import", TABLES(docker_import_keys), NULL },
	{ PART_POST, "docker-save", TABLES(docker_save_keys), NULL },
	{ PART_POST, "docker-tag", TABLES(docker_tag_keys), NULL },
	{ PART_POST, "export", TABLES(export_keys), NULL },
	{ PART_POST, "vagrant-cloud", NO_TABLES, NO_UPLOAD },
	{ PART_POST, "atlas", NO_TABLES, "the service is gone" },
	{ PART_POST, "vsphere", NO_TABLES, NO_UPLOAD },
	{ PART_POST, "vsphere-template", NO_TABLES, NO_UPLOAD },
	{ PART_POST, "amazon-import", NO_TABLES, NO_UPLOAD },
	{ PART_POST, "googlecompute-import", NO_TABLES, NO_UPLOAD },
	{ PART_POST, "docker-push", NO_TABLES, "croft does not upload: docker-save, then skopeo copy" },
	{ PART_BUILDER, NULL, NULL, NULL },
};
