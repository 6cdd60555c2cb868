# Shared by the scripts in this folder: architectures, places, and what makes two builds of one commit alike.
# shellcheck shell=bash
set -euo pipefail

DIST_DIR=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
REPO_DIR=$(cd "$DIST_DIR/../../.." && pwd)
# shellcheck source=../../../.ci/versions
source "$REPO_DIR/.ci/versions"

export LC_ALL=C DEBIAN_FRONTEND=noninteractive
umask 022

# Debian's names of the architectures, and Rust's of what runs on them.
declare -A RUST_TARGET=([amd64]=x86_64-unknown-linux-musl [arm64]=aarch64-unknown-linux-musl [armhf]=armv7-unknown-linux-musleabihf)
ARCHITECTURES=("$@")
((${#ARCHITECTURES[@]})) || ARCHITECTURES=(amd64 arm64 armhf)
for architecture in "${ARCHITECTURES[@]}"; do
    [[ -n ${RUST_TARGET[$architecture]:-} ]] || { echo "$architecture is none of: ${!RUST_TARGET[*]}" >&2 && exit 2; }
done

OUT=${DIST_OUT:-$REPO_DIR/target/dist}
mkdir -p "$OUT"
# No file is newer than the commit that it was made from.
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git -C "$REPO_DIR" log -1 --format=%ct)}
VERSION=${VERSION:-$(sed -n 's/^version = "\(.*\)"$/\1/p' "$REPO_DIR/Cargo.toml" | head -n 1)}
# Where build.sh keeps its compilers.
ZIG_TOOLS=${XDG_CACHE_HOME:-$HOME/.cache}/registry-tools/zig-$ZIGLANG_VERSION-$CARGO_ZIGBUILD_VERSION
export SOURCE_DATE_EPOCH VERSION ZIG_TOOLS

# program ARCHITECTURE: where build.sh leaves it.
program() { echo "$OUT/pi-registry-$1"; }

# What the head of a program says of the machine that it is for.
declare -A ELF_MACHINE=([amd64]=62 [arm64]=183 [armhf]=40)

# need_programs: ends the script unless all of them are there, each for its machine.
need_programs() {
    local architecture machine
    for architecture in "${ARCHITECTURES[@]}"; do
        machine=$(od -An -tu2 -j 18 -N 2 "$(program "$architecture")" 2>/dev/null | tr -d ' ' || true)
        [[ $machine != "${ELF_MACHINE[$architecture]}" ]] || continue
        echo "$(program "$architecture"): there is no program for $architecture; run $DIST_DIR/build.sh $architecture" >&2
        exit 1
    done
}

# need_debian PACKAGE...: installs what is missing.
need_debian() {
    dpkg-query -W -f '${Status}\n' "$@" 2>/dev/null | grep -c '^install ok' | grep -x "$#" >/dev/null && return 0
    apt-get update -q && apt-get install -y -q --no-install-recommends "$@"
}
