/* SPDX-License-Identifier: Apache-2.0 */
#include "image/export/ovf.h"
#include "base/cleanup.h"

#include <inttypes.h>
#include <string.h>

#define VMDK_URI "http://www.vmware.com/interfaces/specifications/vmdk.html#streamOptimized"

/* Kinds of controllers (CIM_ResourceAllocationSettingData.ResourceType) in the words that all readers know. */
static const struct {
	const char *bus, *adapter, *title, *subtype;
	unsigned type;
} buses[] = {
	{ "sata", "lsilogic", "SATA Controller", "AHCI", 20 },
	{ "scsi", "lsilogic", "SCSI Controller", "lsilogic", 6 },
	{ "ide", "ide", "IDE Controller", "PIIX4", 5 },
};
/* Operating systems: CIM_OperatingSystem.OSType, and VMware's own word. */
static const struct {
	const char *begin;
	unsigned id;
	const char *vmware, *title;
} systems[] = {
	{ "debian", 96, "debian11_64Guest", "Debian GNU/Linux (64-bit)" },
	{ "ubuntu", 94, "ubuntu64Guest", "Ubuntu Linux (64-bit)" },
	{ "", 101, "otherLinux64Guest", "Linux (64-bit)" },
};

const char *ovf_adapter(const char *bus)
{
	for (size_t i = 0; i < ARRAY_SIZE(buses); i++)
		if (!strcmp(buses[i].bus, bus))
			return buses[i].adapter;
	return NULL;
}

static void add_text(struct buf *b, const char *s)
{
	for (; *s; s++) {
		if (*s == '&')
			buf_adds(b, "&amp;");
		else if (*s == '<')
			buf_adds(b, "&lt;");
		else if (*s == '>')
			buf_adds(b, "&gt;");
		else if (*s == '"')
			buf_adds(b, "&quot;");
		else
			buf_addc(b, *s);
	}
}

/* The schema wants an item's children in the order of the alphabet; NULL leaves one out. */
struct item {
	const char *address, *address_on_parent, *units, *automatic, *connection, *name, *resource, *parent, *subtype;
	unsigned id, type;
	uint64_t quantity; /* 0: none */
};

static void child(struct buf *b, const char *tag, const char *value)
{
	if (!value)
		return;
	buf_addf(b, "        <rasd:%s>", tag);
	add_text(b, value);
	buf_addf(b, "</rasd:%s>\n", tag);
}

static void add_item(struct buf *b, const struct item *i)
{
	buf_adds(b, "      <Item>\n");
	child(b, "Address", i->address);
	child(b, "AddressOnParent", i->address_on_parent);
	child(b, "AllocationUnits", i->units);
	child(b, "AutomaticAllocation", i->automatic);
	child(b, "Caption", i->name);
	child(b, "Connection", i->connection);
	child(b, "Description", i->name);
	child(b, "ElementName", i->name);
	child(b, "HostResource", i->resource);
	buf_addf(b, "        <rasd:InstanceID>%u</rasd:InstanceID>\n", i->id);
	child(b, "Parent", i->parent);
	child(b, "ResourceSubType", i->subtype);
	buf_addf(b, "        <rasd:ResourceType>%u</rasd:ResourceType>\n", i->type);
	if (i->quantity)
		buf_addf(b, "        <rasd:VirtualQuantity>%" PRIu64 "</rasd:VirtualQuantity>\n", i->quantity);
	buf_adds(b, "      </Item>\n");
}

static void add_hardware(const struct ovf *o, struct buf *b)
{
	size_t k = 0;

	while (k + 1 < ARRAY_SIZE(buses) && strcmp(buses[k].bus, o->bus))
		k++;
	buf_adds(b, "    <VirtualHardwareSection>\n      <Info>Virtual hardware</Info>\n      <System>\n"
		    "        <vssd:ElementName>Virtual Hardware Family</vssd:ElementName>\n"
		    "        <vssd:InstanceID>0</vssd:InstanceID>\n        <vssd:VirtualSystemIdentifier>");
	add_text(b, o->name);
	buf_adds(b, "</vssd:VirtualSystemIdentifier>\n"
		    "        <vssd:VirtualSystemType>vmx-10</vssd:VirtualSystemType>\n      </System>\n");
	add_item(b, &(struct item){ .units = "hertz * 10^6", .name = "Virtual CPUs", .id = 1, .type = 3, .quantity = o->cpus });
	add_item(b, &(struct item){ .units = "byte * 2^20", .name = "Memory", .id = 2, .type = 4, .quantity = o->memory >> 20 });
	add_item(b, &(struct item){ .address = "0", .name = buses[k].title, .id = 3, .subtype = buses[k].subtype, .type = buses[k].type });
	add_item(b, &(struct item){ .address_on_parent = "0", .name = "Disk 1", .resource = "ovf:/disk/vmdisk1", .id = 4, .parent = "3",
			    .type = 17 });
	add_item(b, &(struct item){ .automatic = "true", .connection = "NAT", .name = "Ethernet 1", .id = 5, .subtype = "E1000", .type = 10 });
	/* virt-v2v and VMware; VirtualBox has its own section. */
	buf_addf(b, "      <vmw:Config ovf:required=\"false\" vmw:key=\"firmware\" vmw:value=\"%s\"/>\n", o->uefi ? "efi" : "bios");
	buf_adds(b, "    </VirtualHardwareSection>\n");
}

/* What VirtualBox alone takes UEFI from. */
static void add_virtualbox(const struct ovf *o, struct buf *b)
{
	if (!o->uefi)
		return;
	buf_adds(b, "    <vbox:Machine ovf:required=\"false\" version=\"1.15-linux\" uuid=\"{00000000-0000-4000-8000-000000000001}\" name=\"");
	add_text(b, o->name);
	buf_adds(b, "\">\n      <ovf:Info>What VirtualBox cannot take from the rest</ovf:Info>\n"
		    "      <Hardware>\n        <Firmware type=\"EFI\"/>\n      </Hardware>\n    </vbox:Machine>\n");
}

void ovf_write(const struct ovf *o, struct buf *b)
{
	size_t s = 0;

	while (strncmp(o->os, systems[s].begin, strlen(systems[s].begin)) != 0)
		s++;
	buf_adds(b, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
		    "<Envelope ovf:version=\"1.0\" xml:lang=\"en-US\" xmlns=\"http://schemas.dmtf.org/ovf/envelope/1\"\n"
		    "  xmlns:ovf=\"http://schemas.dmtf.org/ovf/envelope/1\"\n"
		    "  xmlns:rasd=\"http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData\"\n"
		    "  xmlns:vssd=\"http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_VirtualSystemSettingData\"\n"
		    "  xmlns:vmw=\"http://www.vmware.com/schema/ovf\" xmlns:vbox=\"http://www.virtualbox.org/ovf/machine\">\n"
		    "  <References>\n    <File ovf:id=\"file1\" ovf:href=\"");
	add_text(b, o->disk);
	buf_addf(b, "\" ovf:size=\"%" PRIu64 "\"/>\n  </References>\n  <DiskSection>\n    <Info>Disks</Info>\n", o->disk_size);
	buf_addf(b, "    <Disk ovf:diskId=\"vmdisk1\" ovf:fileRef=\"file1\" ovf:capacity=\"%" PRIu64
		"\" ovf:capacityAllocationUnits=\"byte\" ovf:populatedSize=\"%" PRIu64 "\" ovf:format=\"" VMDK_URI "\"/>\n  </DiskSection>\n",
		(o->capacity + 511) / 512 * 512, o->data);
	buf_adds(b, "  <NetworkSection>\n    <Info>Networks</Info>\n    <Network ovf:name=\"NAT\">\n"
		    "      <Description>A network that leads out</Description>\n    </Network>\n  </NetworkSection>\n  <VirtualSystem ovf:id=\"");
	add_text(b, o->name);
	buf_adds(b, "\">\n    <Info>A virtual machine</Info>\n    <Name>");
	add_text(b, o->name);
	buf_addf(b, "</Name>\n    <OperatingSystemSection ovf:id=\"%u\" vmw:osType=\"%s\">\n      <Info>The operating system</Info>\n"
		"      <Description>%s</Description>\n    </OperatingSystemSection>\n",
		systems[s].id, systems[s].vmware, systems[s].title);
	add_hardware(o, b);
	add_virtualbox(o, b);
	buf_adds(b, "  </VirtualSystem>\n</Envelope>\n");
}
