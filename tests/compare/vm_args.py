#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# vm_args.py FILE [run]: what a QEMU command line (one argument a line) makes of a machine, one fact a line, however it is spelled. With `run` all
# that a machine is; without, what a rescue system takes from the machine and its profile.
import json
import re
import sys


def words(value):
    """OPTION=VALUE,... as a dictionary; the first word may have no name. ",," is a comma."""
    out = {}
    for part in value.replace(",,", "\0").split(","):
        key, _, val = part.replace("\0", ",").partition("=")
        out.setdefault(key, val)
    return out


def of_machine(args):
    """What only a machine's own run has: board, processor, screen, order of boot."""
    facts = []
    for name, value in zip(args, args[1:]):
        opts = words(value) if value and not value.startswith("{") else {}
        first = next(iter(opts), "")
        if name == "-machine":
            facts.append("machine " + opts.get("type", first))
        elif name == "-cpu":
            facts.append("cpu " + value)
        elif name == "-smp":
            facts.append("sockets %s cores %s" % (opts["sockets"], opts["cores"]))
        elif name == "-name":
            facts.append("name " + (opts.get("guest") or value))
        elif name == "-smbios" and opts.get("uefi"):
            facts.append("smbios uefi")
        elif name == "-spice":
            facts += ["screen %s port %s" % (opts["addr"].strip("[]"), opts["port"])]
            facts += ["screen with a password"] if "password-secret" in opts else []
        elif name == "-vga" or (name == "-device" and first == "qxl-vga"):
            facts.append("video " + first.split("-")[0])
        elif name == "-boot":
            facts += ["boot menu"] if opts.get("menu") == "on" else []
            facts += ["the CD comes first"] if opts.get("once") == "d" else []
        elif name == "-device":
            if first.startswith("virtio-rng"):
                facts.append("rng")
            elif first in ("ide-cd", "scsi-cd") and opts.get("bootindex") == "0":
                facts.append("the CD comes first")
            elif first.startswith("virtio-net"):
                facts.append("card virtio-net")
            elif first == "edu" or (first == "usb-tablet" and "-spice" in args):
                facts.append("device " + first)
            elif first == "virtio-blk-pci" and opts.get("write-cache") == "off":
                facts.append("VIRT without a write cache")
        elif name == "-netdev":
            facts += ["guest forward " + f for f in re.findall(r"guestfwd=([^,]*)", value)]
        elif name in ("-rtc", "-global"):
            facts.append("%s %s" % (name, value))
    return facts + (["no reboot"] if "-no-reboot" in args else [])


def main(path, run):
    args = open(path).read().split("\n")
    drives, nodes, shares, facts, order = {}, {}, {}, [], []
    kinds = {"ide-hd": "AHCI", "scsi-hd": "SCSI", "nvme": "NVME", "virtio-blk-pci": "VIRT"}
    for name, value in zip(args, args[1:]):
        if name == "-m":
            size = words(value)
            text = size.get("size") or next(iter(size))
            number, unit = re.fullmatch(r"(\d+)([MG]?)", text).groups()
            facts.append("memory %d MiB" % (int(number) * (1024 if unit == "G" else 1)))
        elif name == "-smp":
            smp = words(value)
            facts.append("processors %d" % (int(smp.get("sockets", 1)) * int(smp.get("cores", 1)) * int(smp.get("threads", 1))))
        elif name == "-drive":
            drive = words(value)
            if drive.get("if") == "pflash":
                facts += ["firmware UEFI"] if drive.get("readonly") == "on" else []
            else:
                drives[drive["id"]] = (drive["file"], drive["format"])
        elif name == "-blockdev":
            if value.startswith("{"):
                node = json.loads(value)
                nodes[node["node-name"]] = node
            else:
                facts += ["firmware UEFI"] if "OVMF_CODE" in value else []
        elif name == "-cdrom":
            facts += ["cd " + value] if value else []  # -cdrom "" is an empty drive
        elif name == "-fsdev":
            share = words(value)
            shares[share["id"]] = (share["path"], "ro" if share.get("readonly") == "on" else "rw")
        elif name == "-netdev":
            facts += ["forward " + f for f in re.findall(r"hostfwd=([^,]*)", value)] + ["network"]
        elif name == "-device":
            device = words(value)
            kind = next(iter(device))
            if kind.startswith("virtio-9p"):
                order.append("share %s %s %s" % ((device["mount_tag"],) + shares[device["fsdev"]]))
            elif kind in kinds:
                if device["drive"] in drives:
                    order.append("disk %s %s %s" % ((kinds[kind],) + drives[device["drive"]]))
                else:
                    node = nodes[device["drive"]]
                    order.append("disk %s %s %s" % (kinds[kind], node["file"]["filename"], node["driver"]))
            elif kind in ("ide-cd", "scsi-cd") and device.get("drive") in nodes:
                facts.append("cd " + nodes[device["drive"]]["file"]["filename"])
    if run:
        facts += of_machine(args)
    # shares in any order: a guest takes them by their tags
    disks = [o for o in order if o.startswith("disk")]
    print("\n".join(sorted(set(facts)) + disks + sorted(o for o in order if o.startswith("share"))))


main(sys.argv[1], sys.argv[2:] == ["run"])
