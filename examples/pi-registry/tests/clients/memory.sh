#!/usr/bin/env bash
# The most memory that the server ever held, with eight pushes and then 32 pulls of 128 MiB each at once.
#
#   memory.sh [LIMIT_MIB]    fails above the limit (default 64), so a body that is held in memory shows at once
#   PULLS=32
#   GROUP_MIB=128            in a control group that gets no more, with the page cache. Needs root
#
# Of a 32-bit program that qemu-user emulates its own memory counts, by samples: the emulator holds as much again.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need curl jq ss openssl

LIMIT=${1:-64}
PUSHES=8
PULLS=${PULLS:-32}
MIB=128

# The clients' side is kept in memory where there is room, so that the disk belongs to the server.
CLIENT_DIR=$WORK/client
if [[ $(df --output=avail -m /dev/shm 2>/dev/null | tail -n 1) -gt $((PUSHES * MIB + 200)) ]]; then
    CLIENT_DIR=$(mktemp -d /dev/shm/rc.XXXXXX)
    MORE_FOLDERS+=("$CLIENT_DIR")
fi
mkdir -p "$CLIENT_DIR"

# Half of them as docker pushes (one request without a length), half as containerd does (one PUT with a length).
push() {
    local number=$1 file=$CLIENT_DIR/$1 digest url
    digest=$(cat "$file.digest")
    if ((number % 2)); then
        expect "push $number" 201 "$(push_blob "memory/$number" "$file" "$digest")"
    else
        url=$(upload_url "memory/$number")
        url=$(curl -fsS -o /dev/null -D - -X PATCH -H 'Content-Type: application/octet-stream' -H 'Transfer-Encoding: chunked' \
            -H 'Expect:' -T "$file" "$url" | tr -d '\r' | sed -n 's/^location: //Ip')
        [[ $url != /* ]] || url=http://$HOST$url
        expect "push $number" 201 \
            "$(curl -s -o /dev/null -w '%{http_code}' -X PUT -H 'Content-Length: 0' "$(with_digest "$url" "$digest")")"
    fi
}

# The rate makes sure that all pulls are open at the same time, and that the server waits for slow readers. Only two are
# hashed, because the clients share the machine's cores with the server.
pull() {
    local number=$1 blob=$((1 + $1 % PUSHES)) digest url
    digest=$(cat "$CLIENT_DIR/$blob.digest")
    url=http://$HOST/v2/memory/$blob/blobs/$digest
    if ((number <= 2)); then
        expect "pull $number" "$digest" "$(hash_of "$url")"
    else
        expect "pull $number" "200 $((MIB << 20))" \
            "$(curl -sS --limit-rate 30M -o /dev/null -w '%{http_code} %{size_download}' "$url")"
    fi
}

# at_once FUNCTION COUNT
at_once() {
    local i pids=()
    for ((i = 1; i <= $2; i++)); do
        "$1" "$i" &
        pids+=($!)
    done
    wait_all "${pids[@]}"
}

# limited: the program is started in a control group of its own.
limited() {
    local control=/sys/fs/cgroup limit=memory.max program=${REGISTRY_BIN:-${CARGO_TARGET_DIR:-$REPO_DIR/target}/release/pi-registry}
    MOST=memory.peak
    [[ -x $program ]] || die "GROUP_MIB is for one program without arguments: $program is none"
    if [[ -e $control/memory/memory.limit_in_bytes ]]; then
        control+=/memory limit=memory.limit_in_bytes MOST=memory.max_usage_in_bytes
    else
        # It stays switched on for groups here: others may have come to rely on it.
        echo +memory >$control/cgroup.subtree_control
    fi
    GROUP=$(mktemp -d "$control/rc.XXXXXX")
    CONTROL_GROUPS+=("$GROUP")
    echo $((GROUP_MIB << 20)) >"$GROUP/$limit"
    printf '#!/bin/sh\necho $$ >%q\nexec %q "$@"\n' "$GROUP/cgroup.procs" "$program" >"$WORK/limited"
    chmod +x "$WORK/limited"
    REGISTRY_BIN=$WORK/limited
}

# own: from here on, samples of what an emulated 32-bit program holds: qemu keeps its address space above 4 GiB, as it was told.
own() {
    [[ $(readlink "/proc/$REGISTRY_PID/exe") == *qemu-arm* ]] || return 0
    peak() { sort -n "$WORK/samples" | awk 'END { print int(($1 + 1023) / 1024) }'; }
    from_now_on() { cat "$WORK/samples" >>"$WORK/earlier" && : >"$WORK/samples"; }
    while sample >>"$WORK/samples" 2>/dev/null; do sleep 0.1; done &
    STARTED_PIDS+=($!)
    sleep 1
}
export QEMU_GUEST_BASE=0x100000000
# KiB that are resident, and of these what no file backs.
sample() {
    awk '/^[0-9a-f]+-[0-9a-f]+ / { split($1, at, "-"); mine = length(at[1]) == 9 && at[1] ~ /^1/ }
        mine && $1 == "Rss:" { rss += $2 }
        mine && $1 == "Anonymous:" { anonymous += $2 }
        END { print rss + 0, anonymous + 0; exit !rss }' "/proc/$REGISTRY_PID/smaps"
}

under_limit() { (($1 <= LIMIT)) || { echo "$1 MiB, the limit is $LIMIT MiB" && return 1; }; }

for ((i = 1; i <= PUSHES; i++)); do
    noise "memory $i" $((MIB << 20)) >"$CLIENT_DIR/$i"
    digest_of "$CLIENT_DIR/$i" >"$CLIENT_DIR/$i.digest"
done
[[ -z ${GROUP_MIB:-} ]] || limited
registry_start "$WORK/data"
own
idle=$(peak)
from_now_on
scenario memory "$PUSHES pushes of $MIB MiB at once" at_once push "$PUSHES"
pushing=$(peak)
from_now_on
scenario memory "$PULLS pulls of $MIB MiB at once" at_once pull "$PULLS"
pulling=$(peak)
echo "most memory in MiB: idle $idle, $PUSHES pushes $pushing, $PULLS pulls $pulling"
[[ -z ${GROUP_MIB:-} ]] || echo "the group, in MiB with the page cache: $(($(cat "$GROUP/$MOST") >> 20)) of $GROUP_MIB"
[[ ! -e $WORK/samples ]] || awk 'FNR == 1 { file++ }
    file < 3 { samples++; if ($2 > own) own = $2 }
    /^VmHWM:/ { printf "of that heap and stacks at most %.1f MiB, by %d samples; with the emulator %.1f MiB\n", own / 1024, samples, $2 / 1024 }
    ' "$WORK/earlier" "$WORK/samples" "/proc/$REGISTRY_PID/status"
scenario memory "$pushing MiB while pushing, at most $LIMIT" under_limit "$pushing"
scenario memory "$pulling MiB while pulling, at most $LIMIT" under_limit "$pulling"
summary
