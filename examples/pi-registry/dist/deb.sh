#!/usr/bin/env bash
# Debian packages of the programs that build.sh made: `deb.sh [amd64|arm64|armhf]...`
#
# In DIST_OUT it leaves pi-registry_VERSION_ARCHITECTURE.deb, with a systemd service, manual pages and completions. The same
# program gives the same bytes. VERSION is the workspace's, unless it is set.
# shellcheck source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

SCRATCH=$(mktemp -d)
trap 'rm -rf "$SCRATCH"' EXIT

# package ARCHITECTURE
package() {
    local root=$SCRATCH/$1 homepage
    homepage=$(sed -n 's/^repository = "\(.*\)"$/\1/p' "$REPO_DIR/Cargo.toml")
    mkdir -p "$root/usr" "$root/DEBIAN"
    cp -r "$SCRATCH/documents/share" "$root/usr"
    install -D -m 755 "$(program "$1")" "$root/usr/bin/pi-registry"
    install -D -m 644 -t "$root/lib/systemd/system" "$DIST_DIR"/debian/*.service
    install -D -m 644 "$DIST_DIR/debian/config.yml" "$root/etc/pi-registry/config.yml"
    mkdir -p "$root/usr/share/doc/pi-registry"
    cat "$REPO_DIR/LICENSE-MIT" "$REPO_DIR/LICENSE-APACHE" >"$root/usr/share/doc/pi-registry/copyright"
    sed "s/@version@/$VERSION/; s/@architecture@/$1/; s#@homepage@#$homepage#" "$DIST_DIR/debian/control" >"$root/DEBIAN/control"
    echo /etc/pi-registry/config.yml >"$root/DEBIAN/conffiles"
    install -m 755 "$DIST_DIR"/debian/{preinst,postinst,prerm,postrm} "$root/DEBIAN"
    find "$root" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
    dpkg-deb --root-owner-group -Zxz --build "$root" "$OUT/pi-registry_${VERSION}_$1.deb"
}

need_programs
# By this machine's own compiler: they are the same for all.
cargo run -q --manifest-path "$REPO_DIR/Cargo.toml" --locked -p pi-registry --example documents -- "$SCRATCH/documents"
gzip -9n "$SCRATCH"/documents/share/man/man1/*
for architecture in "${ARCHITECTURES[@]}"; do
    package "$architecture"
done
