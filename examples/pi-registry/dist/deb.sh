#!/usr/bin/env bash
# A Debian package of a static program:
#
#   deb.sh PROGRAM ARCHITECTURE DIR     ARCHITECTURE: amd64, arm64 or armhf; prints the path of DIR/pi-registry_*.deb
#
# The same program gives the same bytes. VERSION is the workspace's, unless it is set. Manual pages and completions are made by the workspace's cargo.
set -euo pipefail

(($# == 3)) || { echo 'deb.sh: PROGRAM ARCHITECTURE DIR' >&2 && exit 2; }
PROGRAM=$1 ARCHITECTURE=$2 OUT=$3
DIST=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
REPO=$(cd "$DIST/../../.." && pwd)
VERSION=${VERSION:-$(cargo pkgid --manifest-path "$REPO/Cargo.toml" -p pi-registry | sed 's/.*[#@]//')}
# Of the last change, so that it says when this was and not when it was packed.
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git -C "$REPO" log -1 --format=%ct 2>/dev/null || echo 0)}
export SOURCE_DATE_EPOCH

ROOT=$(mktemp -d)
trap 'rm -rf "$ROOT"' EXIT
umask 022
cargo run -q --manifest-path "$REPO/Cargo.toml" --locked -p pi-registry --example documents -- "$ROOT/usr"
gzip -9n "$ROOT"/usr/share/man/man1/*
install -D -m 755 "$PROGRAM" "$ROOT/usr/bin/pi-registry"
install -D -m 644 "$DIST/debian/pi-registry.service" "$ROOT/lib/systemd/system/pi-registry.service"
install -D -m 644 "$DIST/debian/config.yml" "$ROOT/etc/pi-registry/config.yml"
install -D -m 644 "$REPO/LICENSE-MIT" "$ROOT/usr/share/doc/pi-registry/copyright"
cat "$REPO/LICENSE-APACHE" >>"$ROOT/usr/share/doc/pi-registry/copyright"
mkdir "$ROOT/DEBIAN"
sed "s/@version@/$VERSION/; s/@architecture@/$ARCHITECTURE/
    s#@homepage@#$(sed -n 's/^repository = "\(.*\)"$/\1/p' "$REPO/Cargo.toml")#" "$DIST/debian/control" >"$ROOT/DEBIAN/control"
echo /etc/pi-registry/config.yml >"$ROOT/DEBIAN/conffiles"
install -m 755 "$DIST"/debian/{postinst,prerm,postrm} "$ROOT/DEBIAN"
find "$ROOT" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
mkdir -p "$OUT"
DEB=$OUT/pi-registry_${VERSION}_$ARCHITECTURE.deb
dpkg-deb --root-owner-group -Zxz --build "$ROOT" "$DEB" >/dev/null
echo "$DEB"
