#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# vm_args.py FILE: what a QEMU command line (one argument a line) makes of a rescue system, one fact a line, however it is spelled.
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


def main(path):
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
            facts.append("cd " + value)
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
    # shares in any order: a guest takes them by their tags
    disks = [o for o in order if o.startswith("disk")]
    print("\n".join(sorted(set(facts)) + disks + sorted(o for o in order if o.startswith("share"))))


main(sys.argv[1])
