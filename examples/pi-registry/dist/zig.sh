# Shared by the scripts that compile for other machines: Zig's tools, and what cargo must be told. Sourced after lib.sh.
# shellcheck shell=bash

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

# for_target TARGET: sets STD, what cargo must be told for the target's standard library, and RUSTFLAGS.
for_target() {
    STD=()
    unset RUSTC_BOOTSTRAP RUST_LIBC_UNSTABLE_MUSL_V1_2_3
    # mimalloc has the date of its compilation in it, and both cargo and Zig keep what was compiled for another one.
    ZIG_GLOBAL_CACHE_DIR=$(realpath -m "$CARGO_TARGET_DIR")/zig
    export SOURCE_DATE_EPOCH=0 ZIG_GLOBAL_CACHE_DIR
    # Panics name the place in the source: not in this machine's folders.
    RUSTFLAGS="--remap-path-prefix=$REPO_DIR=/registry --remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}=/cargo"
    RUSTFLAGS+=" --remap-path-prefix=$(rustc --print sysroot)=/rust"
    export RUSTFLAGS
    if [[ $1 == armv7-* ]]; then
        # Time has 32 bits otherwise, and ends in January 2038: in the library, which reads the variable, and in the crates.
        export RUST_LIBC_UNSTABLE_MUSL_V1_2_3=1
        RUSTFLAGS+=' --cfg=libc_unstable_musl_v1_2'
        # What the allocator would have from GCC's libatomic is in Zig's own runtime: any library that is linked anyway will do.
        export DEP_ATOMIC=c
        ! command -v rustup >/dev/null || rustup component add rust-src 2>/dev/null
    elif command -v rustup >/dev/null; then
        # Of little-used targets there is none for each version; their source always is.
        rustup target add "$1" 2>/dev/null || rustup component add rust-src 2>/dev/null
        rustup target list --installed | grep -x "$1" >/dev/null && return 0
    fi
    # shellcheck disable=SC2034,SC2054
    STD=(-Zbuild-std=std,panic_abort)
    # An unstable option of a stable compiler.
    export RUSTC_BOOTSTRAP=1
    # musl is Zig's: there is none beside a library that was not installed.
    RUSTFLAGS+=' -Clink-self-contained=no'
}

export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$REPO_DIR/target} CARGO_INCREMENTAL=0
