# SPDX-License-Identifier: Apache-2.0
"""tree_diff.py A B: commands of debugfs that make the file system of tree A into that of B."""
import filecmp
import os
import stat
import sys

a, b = sys.argv[1:3]
for top, dirs, files in os.walk(b):
    rel = os.path.relpath(top, b)
    rel = "" if rel == "." else rel + "/"
    for name in sorted(dirs + files):
        old, new, path = os.path.join(a, rel, name), os.path.join(b, rel, name), "/" + rel + name
        mode = os.lstat(new).st_mode
        if stat.S_ISLNK(mode):
            if not os.path.lexists(old):
                print(f'symlink "{path}" "{os.readlink(new)}"')
        elif stat.S_ISDIR(mode):
            if not os.path.isdir(old):
                print(f'mkdir "{path}"')
        elif stat.S_ISREG(mode):
            if os.path.lexists(old):
                if filecmp.cmp(old, new, False):
                    continue
                print(f'rm "{path}"')
            print(f'write "{new}" "{path}"')
