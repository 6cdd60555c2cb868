#!/usr/bin/env bash
# Runs a command on a machine that starts ARM programs as its own: `emulate.sh COMMAND...`. Needs root.
#
# qemu-user emulates the processor, not a machine: system calls are this kernel's. What the kernel did not know before it forgets
# when the command has ended.
set -euo pipefail
BINFMT=/proc/sys/fs/binfmt_misc

if [[ ! -e /usr/lib/binfmt.d/qemu-arm.conf ]]; then
    { apt-get update -q && apt-get install -y -q --no-install-recommends qemu-user-static; } >&2
fi
ours=()
forget() { for name in "${ours[@]}"; do echo -1 >"$BINFMT/$name"; done; }
trap forget EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
[[ -e $BINFMT/register ]] || mount -t binfmt_misc none "$BINFMT"
for name in qemu-arm qemu-aarch64; do
    if [[ ! -e $BINFMT/$name ]]; then
        cat "/usr/lib/binfmt.d/$name.conf" >"$BINFMT/register"
        ours+=("$name")
    fi
done
"$@"
