#!/usr/bin/env bash
# Runs a command on a machine that starts ARM programs as its own: `emulate.sh COMMAND...`. Needs root.
#
# qemu-user emulates the processor, not a machine: system calls are this kernel's. What the kernel did not know before it forgets
# when the command has ended; who comes meanwhile waits.
set -euo pipefail
BINFMT=/proc/sys/fs/binfmt_misc NAMES=(qemu-arm qemu-aarch64)

exec {lock}>/run/lock/registry-emulate
flock "$lock"
ours=() mounted=
forget() {
    local status=$? name
    set +e
    for name in "${ours[@]}"; do [[ ! -e $BINFMT/$name ]] || echo -1 >"$BINFMT/$name"; done
    [[ -z $mounted ]] || umount "$BINFMT"
    exit "$status"
}
trap forget EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
if [[ ! -e $BINFMT/register ]]; then
    mount -t binfmt_misc none "$BINFMT"
    mounted=1
fi
# Before the package, which makes them known itself on some machines.
for name in "${NAMES[@]}"; do [[ -e $BINFMT/$name ]] || ours+=("$name"); done
if [[ ! -e /usr/lib/binfmt.d/qemu-arm.conf ]]; then
    { apt-get update -q && apt-get install -y -q --no-install-recommends qemu-user-static; } >&2
fi
for name in "${ours[@]}"; do
    [[ -e $BINFMT/$name ]] || cat "/usr/lib/binfmt.d/$name.conf" >"$BINFMT/register"
done
"$@" {lock}>&-
