#!/usr/bin/env bash
# The programs that build.sh made for ARM, run by qemu-user and used by real clients: `test_arm_clients.sh [arm64|armhf]...`, both
# without arguments. The conformance suite, pushes and pulls of every client, kill -9 among pushes, times after 2038; of 32 bits
# also a blob of 5 GB, and the memory with 8 pushes and 16 pulls on 128 MiB. Needs root.
#
#   DIST_OUT=target/dist   where the programs are
[[ $# != 0 ]] || set -- armhf arm64
# shellcheck source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

need_programs
status=0
for architecture in "${ARCHITECTURES[@]}"; do
    echo "=== $architecture"
    scripts=(conformance clients crash after_2038)
    [[ $architecture != armhf ]] || scripts+=(memory large)
    env REGISTRY_BIN="$(realpath "$(program "$architecture")")" PULLS=16 GROUP_MIB=128 \
        "$DIST_DIR/emulate.sh" bash "$DIST_DIR/../tests/clients/all.sh" "${scripts[@]}" || status=1
done
exit "$status"
