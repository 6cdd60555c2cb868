#!/usr/bin/env bash
# Static programs for boards and servers: `build.sh [amd64|arm64|armhf]...`, all three without arguments.
#
# On a Debian machine with Rust by rustup, or with Debian's own `rustc-web`. Zig, which PyPI has, brings musl, a C compiler
# and a linker for each target. Where rustup has no library of a target, the library is compiled from its source.
#
#   DIST_OUT=target/dist   where they go: pi-registry-amd64, pi-registry-arm64, pi-registry-armhf, and their checksums
#
# The compilers are pinned or told, dependencies locked, and paths of this machine kept out, so that builds can be compared.
# shellcheck source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=zig.sh
source "$DIST_DIR/zig.sh"

build() {
    local target=${RUST_TARGET[$1]}
    for_target "$target"
    cargo-zigbuild rustc --locked --release -p pi-registry --bin pi-registry --target "$target" "${STD[@]}"
    install -m 755 "$CARGO_TARGET_DIR/$target/release/pi-registry" "$(program "$1")"
}

tools
cd "$REPO_DIR"
for architecture in "${ARCHITECTURES[@]}"; do
    build "$architecture"
done
cd "$OUT"
sha256sum "${ARCHITECTURES[@]/#/pi-registry-}" | tee SHA256SUMS
wc -c "${ARCHITECTURES[@]/#/pi-registry-}"
