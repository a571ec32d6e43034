/* SPDX-License-Identifier: Apache-2.0 */
/* Options of `vm`, as getopt_long(3) takes them: long ones may be abbreviated, and the first word that is none ends them. */
#include "vm.h"

#include "base/cleanup.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/units.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>

enum { OPT_NO_KEEP = 256, OPT_NO_UEFI, OPT_NO_NETDEV, OPT_TMPDIR, OPT_INPLACE };

static const struct option longs[] = {
	{ "disks", required_argument, NULL, 'D' },
	{ "host", required_argument, NULL, 'H' },
	{ "sockets", required_argument, NULL, 'S' },
	{ "arch", required_argument, NULL, 'a' },
	{ "cores", required_argument, NULL, 'c' },
	{ "hostdir", required_argument, NULL, 'd' },
	{ "forward", required_argument, NULL, 'f' },
	{ "image", required_argument, NULL, 'i' },
	{ "keep-cd", no_argument, NULL, 'k' },
	{ "no-keep-cd", no_argument, NULL, OPT_NO_KEEP },
	{ "memory", required_argument, NULL, 'm' },
	{ "no-colors", no_argument, NULL, 'n' },
	{ "port", required_argument, NULL, 'p' },
	{ "rescue", required_argument, NULL, 'r' },
	{ "share", required_argument, NULL, 's' },
	{ "timeout", required_argument, NULL, 't' },
	{ "uefi", no_argument, NULL, 'u' },
	{ "no-uefi", no_argument, NULL, OPT_NO_UEFI },
	{ "no-netdev", no_argument, NULL, OPT_NO_NETDEV },
	{ "use-tmpdir", no_argument, NULL, OPT_TMPDIR },
	{ "inplace", no_argument, NULL, OPT_INPLACE },
	{ "no-tmpdir", no_argument, NULL, OPT_INPLACE },
	{ "version", no_argument, NULL, 'v' },
	{ "help", no_argument, NULL, 'h' },
	{ NULL, 0, NULL, 0 },
};

/* Options that are a setting by another name. */
static const struct {
	int opt;
	const char *name, *value; /* value NULL: the option's argument */
} settings[] = {
	{ 'D', "DISKS", NULL }, { 'H', "HOST", NULL }, { 'S', "SOCKETS", NULL }, { 'c', "CORES", NULL }, { 'm', "MEMORY", NULL },
	{ 'p', "PORT", NULL }, { 'k', "KEEPCD", "1" }, { OPT_NO_KEEP, "KEEPCD", "" }, { OPT_NO_NETDEV, "USENETDEV", "" },
	{ OPT_TMPDIR, "INPLACE", "" }, { OPT_INPLACE, "INPLACE", "1" },
};

static void replace(char **field, const char *value)
{
	free(*field);
	*field = xstrdup(value);
}

static int set_hostdir(struct vm *v, const char *dir, struct error **err)
{
	char *real = realpath(*dir ? dir : ".", NULL);

	if (!real) {
		_cleanup_error_ struct error *e = NULL;
		struct machine *m = machine_open(dir, &e);

		/* The name of a machine of croft's stands for its folder. */
		if (!m)
			return error_set(err, ERR_NOT_FOUND, "option --hostdir: %s is neither a folder nor a machine", dir);
		real = xstrdup(m->def.home ? m->def.home : m->dir);
		machine_free(m);
	}
	free(v->hostdir);
	v->hostdir = real;
	return 0;
}

static void add_forward(struct vm *v, const char *value)
{
	if (!*value || !strncmp(value, "hostfwd=", 8) || !strncmp(value, "guestfwd=", 9))
		strv_add(&v->forwards, value);
	else
		strv_addf(&v->forwards, "hostfwd=%s", value);
}

static int take(struct vm *v, int c, const char *value, struct error **err)
{
	for (size_t i = 0; i < ARRAY_SIZE(settings); i++) {
		if (settings[i].opt != c)
			continue;
		strv_add(&v->options, settings[i].name);
		strv_add(&v->options, settings[i].value ? settings[i].value : value);
		return 0;
	}
	switch (c) {
	case 'a':
		replace(&v->arch, *value ? vm_arch(value) : "");
		break;
	case 'd':
		return set_hostdir(v, value, err);
	case 'f':
		add_forward(v, value);
		break;
	case 'i':
		if (*value)
			strv_add(&v->images, value);
		break;
	case 'n':
		v->colour = false;
		break;
	case 'r':
		replace(&v->rescue, value);
		break;
	case 's':
		strv_add(&v->shares, value);
		break;
	case 't':
		replace(&v->timeout, value);
		break;
	case 'u':
	case OPT_NO_UEFI:
		replace(&v->uefi, c == 'u' ? "1" : "");
		break;
	default:
		break;
	}
	return 0;
}

static void print_help(void)
{
	puts("Usage: vm [OPTION]... [--] [[@]COMMAND [ARGUMENT]...]...\n"
	     "       vm [OPTION]... [--] [ISOIMAGE]\n\n"
	     "Commands, in batches; without one: run");
	for (const struct vm_command *c = vm_commands; c->name; c++)
		printf("  [@]%-8s %-26s %s\n", c->name, c->args, c->help);
	puts("\nOptions:\n"
	     "  -D, --disks TYPE=SIZE,..  disks that create makes: AHCI, NVME, SCSI, VIRT (AHCI=30G)\n"
	     "  -H, --host ADDRESS        where SPICE listens (localhost)\n"
	     "  -p, --port PORT           its port (5900); empty: no SPICE\n"
	     "  -S, --sockets N           processor sockets (1)\n"
	     "  -c, --cores N             cores a socket (2)\n"
	     "  -m, --memory SIZE         memory (2G)\n"
	     "  -a, --arch ARCH           the guest's architecture (this host's)\n"
	     "  -d, --hostdir DIR         the machine's folder, or its name in croft (.)\n"
	     "  -f, --forward RULE        hostfwd=RULE or guestfwd=RULE; RULE alone is hostfwd; repeatable, empty clears\n"
	     "  -i, --image TYPE=[FORMAT=]PATH  one more disk from an existing file; repeatable\n"
	     "  -s, --share ID:[rw:]DIR   folder that the guest mounts by 9p under the tag ID; repeatable, empty clears\n"
	     "  -k, --keep-cd             the CD stays in the drive after the set-up\n"
	     "      --no-keep-cd          it does not\n"
	     "  -u, --uefi                UEFI firmware\n"
	     "      --no-uefi             BIOS\n"
	     "      --no-netdev           no network card\n"
	     "  -r, --rescue PROFILE      rescue profile for jobs (rescue-ARCH)\n"
	     "  -t, --timeout SECONDS     time for a job (none)\n"
	     "      --use-tmpdir          work in a folder below $TMPDIR (the default)\n"
	     "      --inplace, --no-tmpdir  work in the machine's folder\n"
	     "  -n, --no-colors           no colours\n"
	     "  -v, --version, -h, --help\n\n"
	     "@MEDIA@, @MIRROR@, @HOSTDIR@, @INDIR@ and @DATADIR@ may begin paths of shares and images.\n\n"
	     "Example:\n"
	     "  vm -c 8 -m 4G @create WS10 /iso/image.iso @job prepare @run @backup");
}

/* getopt_long prints nothing itself; this says what is wrong with argv[optind - 1]. */
static int wrong_option(int c, char **argv, struct error **err)
{
	const char *word = argv[optind - 1];
	const char *names[ARRAY_SIZE(longs)];
	const char *near = NULL;
	size_t n = 0;

	if (c == ':') {
		error_set(err, ERR_USAGE, "option %s: its value is missing", word);
	} else if (!strncmp(word, "--", 2)) {
		_cleanup_free_ char *name = xstrndup(word + 2, strcspn(word + 2, "="));

		for (const struct option *o = longs; o->name; o++) {
			if (!strncmp(o->name, name, strlen(name)))
				n++;
			if (!strcmp(o->name, name))
				return error_set(err, ERR_USAGE, "option --%s takes no value", name);
		}
		if (n > 1)
			return error_set(err, ERR_USAGE, "option --%s: several begin so", name);
		n = 0;
		for (const struct option *o = longs; o->name; o++)
			names[n++] = o->name;
		near = nearest_name(name, names, n);
		error_set(err, ERR_USAGE, "option --%s is not known", name);
	} else {
		error_set(err, ERR_USAGE, "option -%c is not known", optopt);
	}
	return near ? error_hint(err, "did you mean --%s?", near) : error_hint(err, "`vm -h` lists the options");
}

int vm_parse(struct vm *v, int argc, char **argv, int *first, struct error **err)
{
	int c;

	optind = 0; /* glibc: begin anew */
	opterr = 0;
	while ((c = getopt_long(argc, argv, "+:D:H:S:a:c:d:f:i:km:np:r:s:t:uvh", longs, NULL)) != -1) {
		if (c == '?' || c == ':')
			return wrong_option(c, argv, err);
		if (c == 'h') {
			print_help();
			return 1;
		}
		if (c == 'v') {
			puts("vm, croft " CROFT_VERSION);
			return 1;
		}
		if (take(v, c, optarg, err) < 0)
			return -1;
	}
	*first = optind;
	return 0;
}
