#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# etcd and the C library that it needs, out of Debian's packages, into dist/etcd. Nothing is installed here.
set -eu
cd "$(dirname "$0")"
rm -rf dist/packages
mkdir -p dist/packages dist/etcd
cd dist/packages
apt-get download -q etcd-server etcd-client libc6
for p in *.deb; do
	dpkg-deb -x "$p" .
done
cp usr/bin/etcd usr/bin/etcdctl ../etcd/
cp -L lib/x86_64-linux-gnu/libc.so.6 lib/x86_64-linux-gnu/ld-linux-x86-64.so.2 ../etcd/
for p in etcd etcdctl; do
	printf '#!/bin/sh\nexec /opt/etcd/ld-linux-x86-64.so.2 --library-path /opt/etcd /opt/etcd/%s "$@"\n' "$p" >"../etcd/run-$p"
	chmod 755 "../etcd/run-$p"
done
rm -rf ../packages
