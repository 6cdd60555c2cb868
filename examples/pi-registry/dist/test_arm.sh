#!/usr/bin/env bash
# The tests of the crates and of the program as ARM programs, run by qemu-user: `test_arm.sh [arm64|armhf]...`, both without
# arguments. Needs root, and what build.sh needs.
[[ $# != 0 ]] || set -- armhf arm64
# shellcheck source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=zig.sh
source "$DIST_DIR/zig.sh"

PACKAGES=(registry-spec registry-storage registry-auth registry-tls pi-registry)

test_on() {
    local target=${RUST_TARGET[$1]}
    for_target "$target"
    [[ -z ${STD[*]} ]] || STD[0]+=,test
    "$DIST_DIR/emulate.sh" cargo-zigbuild test --locked --target "$target" "${STD[@]}" --lib --bins --tests --no-fail-fast \
        "${PACKAGES[@]/#/-p}"
}

tools
cd "$REPO_DIR"
# An emulated processor is slow enough.
export CARGO_PROFILE_DEV_OPT_LEVEL=1 CARGO_PROFILE_DEV_DEBUG=0
status=0
for architecture in "${ARCHITECTURES[@]}"; do
    test_on "$architecture" || status=1
done
exit "$status"
