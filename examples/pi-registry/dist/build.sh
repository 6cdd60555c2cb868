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

tools() {
    if ! command -v rustup >/dev/null; then
        # Debian keeps this compiler recent, beside an older `rustc`.
        need_debian cargo-web rustc-web rust-web-src
    fi
    if [[ ! -x $ZIG_TOOLS/bin/cargo-zigbuild ]]; then
        need_debian python3-venv
        python3 -m venv "$ZIG_TOOLS"
        "$ZIG_TOOLS/bin/pip" install -q "ziglang==$ZIGLANG_VERSION" "cargo-zigbuild==$CARGO_ZIGBUILD_VERSION"
    fi
    PATH=$ZIG_TOOLS/bin:$PATH
}

# library TARGET: prints what cargo must be told for its standard library.
library() {
    if command -v rustup >/dev/null; then
        # Of little-used targets there is none for each version; their source always is.
        rustup target add "$1" 2>/dev/null || rustup component add rust-src 2>/dev/null
        rustup target list --installed | grep -qx "$1" && return 0
    fi
    echo -Zbuild-std=std,panic_abort
}

build() {
    local target=${RUST_TARGET[$1]} std link=()
    std=$(library "$target")
    if [[ -n $std ]]; then
        # An unstable option of a stable compiler.
        export RUSTC_BOOTSTRAP=1
        # musl is Zig's: there is none beside a library that was not installed.
        link=(-Clink-self-contained=no)
    fi
    cargo-zigbuild rustc --locked --release -p pi-registry --bin pi-registry --target "$target" ${std:+"$std"} -- "${link[@]}"
    install -m 755 "$CARGO_TARGET_DIR/$target/release/pi-registry" "$(program "$1")"
    unset RUSTC_BOOTSTRAP
}

tools
cd "$REPO_DIR"
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$REPO_DIR/target} CARGO_INCREMENTAL=0
# Panics name the place in the source: not in this machine's folders.
RUSTFLAGS="--remap-path-prefix=$REPO_DIR=/registry --remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}=/cargo"
RUSTFLAGS+=" --remap-path-prefix=$(rustc --print sysroot)=/rust"
export RUSTFLAGS
for architecture in "${ARCHITECTURES[@]}"; do
    build "$architecture"
done
cd "$OUT"
sha256sum "${ARCHITECTURES[@]/#/pi-registry-}" | tee SHA256SUMS
wc -c "${ARCHITECTURES[@]/#/pi-registry-}"
