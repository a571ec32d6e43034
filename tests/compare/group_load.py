#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""group_load.py ORIGINAL CROFT [FILE...]: group files as the original tool's parser (a checkout of buckyos/buckyos-devkit) and croft
read them: nodes, sizes, directories, commands, apps with their parameters and commands. Files: dev_configs/NAME.json; default: those
beside this script and examples/2zone_sn. CROFT_HOME must have the image tiny. By hand: it needs the original."""
import contextlib
import io
import json
import os
import subprocess
import sys
from pathlib import Path

SIZES = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


def size(text):
    return int(text[:-1]) * SIZES[text[-1]] if text[-1] in SIZES else int(text)


def listed(value):
    return [value] if isinstance(value, str) else list(value or [])


def original(path, base):
    from src.remote.app_list import AppList
    from src.remote.vm_mgr import VMNodeList

    nodes, apps = VMNodeList().load_from_file(path), AppList(path.parent / "apps")
    with contextlib.redirect_stdout(io.StringIO()):
        apps.load_app_list()
        apps.load_external_app_configs(nodes.app_configs, base)
    order = nodes.get_node_id_by_init_orders()
    facts = set()
    for name in nodes.get_all_node_ids():
        n = nodes.get_node(name)
        facts.add((name, "node_id", n.node_id))
        facts.add((name, "cpu", str(n.vm_params.get("cpu", 1))))
        facts.add((name, "memory", str(size(n.vm_params.get("memory", "1G")))))
        facts.add((name, "disk", str(size(n.vm_params.get("disk", "5G")))))
        facts |= {(name, "directories." + k, v) for k, v in n.directories.items()}
        facts.add((name, "init", len(listed(n.init_commands))))
        facts.add((name, "instance", len(listed(n.instance_commands)) if name in order else 0))
        for app in n.apps:
            config = apps.get_app(app)
            for command in config.commands:
                facts.add((name, app, command))
    return facts


def croft(program, path):
    def ask(*words):
        p = subprocess.run([program, "group", str(path), *words], capture_output=True, text=True, timeout=60)
        if p.returncode:
            sys.exit("%s: %s" % (path, p.stderr))
        return json.loads(p.stdout)

    facts, variables = set(), ask("vars", "--format", "json")
    names = [n["name"] for n in ask("info_vms", "--format", "json")["nodes"]]
    plan = ask("plan", "--format", "json")
    for name in names:
        v = {k: x[0] if isinstance(x, list) else x for k, x in variables[name].items()}
        facts |= {(name, k, v[k]) for k in ("node_id", "cpu", "memory", "disk")}
        facts |= {(name, k, x) for k, x in v.items() if k.startswith("directories.")}
        for phase in ("init", "instance"):
            n = [int(c["what"].split()[0]) for c in plan if c["node"] == name and c["what"].endswith(" %s_commands" % phase)]
            facts.add((name, phase, sum(n)))
    return facts


def commands(program, path, name, app):
    """What croft knows of an app: an unknown command's error names them all."""
    p = subprocess.run([program, "group", str(path), "exec", app + ".no-such-command", "--device", name], capture_output=True, text=True, timeout=60)
    known = p.stderr.rsplit("it has ", 1)
    return {(name, app, c.strip()) for c in known[1].strip().split(",")} if len(known) == 2 else {(name, app, p.stderr)}


def main():
    here = Path(__file__).resolve().parent
    sys.path.insert(0, sys.argv[1])
    program = os.path.abspath(sys.argv[2])
    files = [Path(f).resolve() for f in sys.argv[3:]] or [here / "groups/dev_configs/lab.json", here / "../../examples/2zone_sn/2zone_sn.json"]
    bad = 0
    for path in files:
        base = path.parent.parent if path.parent.name == "dev_configs" else path.parent
        theirs, ours = original(path, base), croft(program, path)
        for name, app in sorted({(n, a) for n, a, c in theirs if (path.parent / "apps" / (a + ".json")).exists() or a == "web3-gateway"}):
            ours |= commands(program, path, name, app)
        for who, facts in (("only the original", theirs - ours), ("only croft", ours - theirs)):
            for fact in sorted(facts, key=str):
                print("%s: %s: %s" % (path.name, who, " ".join(map(str, fact))))
                bad = 1
        print("%s: %d facts of the original, %d of croft" % (path.name, len(theirs), len(ours)))
    return bad


sys.exit(main())
