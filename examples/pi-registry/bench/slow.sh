#!/usr/bin/env bash
# Whether pulls from a slow disk delay others: pi-registry beside other registries.
#
#   cargo build --release -p pi-registry -p registry-load
#   examples/pi-registry/bench/slow.sh
#
# A file system of its own, in a file, is mounted anew for each measurement, so that nothing of it is in memory, and a control group
# lets the server read so much of it per second as a worn SD card or a busy USB stick gives. All servers get the same tree. Then,
# while so many pulls go on, each of a blob that nobody has read before, it is measured how long manifests take to answer:
#
#   warm    of one tag, asked for again and again: no disk is needed for it
#   cold    of tags that nobody has asked for since the start: each waits for the disk some ten times, behind what the pulls read
#
# The table has milliseconds: the median, what 99 of 100 stay within, the slowest. 0 pulls is what there is without.
#
#   SERVERS='pi-registry docker-registry registry-v3'
#                          as of run.sh
#   PULLS='0 1 32'         how many at once
#   READ_KIB=2048          per second
#   READ_OPERATIONS=200    per second
#   BLOB_MIB=40            of each pull; one that ends too early ends the run
#   TAGS=60                cold ones, each in a repository of its own
#   SECONDS_EACH=3         of requests
#   IMAGE_DIR=/var/tmp     where the file is that holds the file system
#   SERVER_CORES=0 LOAD_CORES=1 SMOKE=1
#                          as of run.sh
#
# It needs root, loop devices, and control groups that can limit block devices; where one is missing it says so, and ends well.
# shellcheck source=common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

if [[ -n ${SMOKE:-} ]]; then
    : "${SERVERS:=pi-registry}" "${PULLS:=0 4}" "${BLOB_MIB:=16}" "${TAGS:=4}" "${SECONDS_EACH:=0.3}" "${IMAGE_DIR:=/dev/shm}"
fi
read -ra SERVERS <<<"${SERVERS:-pi-registry docker-registry registry-v3}"
read -ra PULLS <<<"${PULLS:-0 1 32}"
READ_KIB=${READ_KIB:-2048}
READ_OPERATIONS=${READ_OPERATIONS:-200}
BLOB_MIB=${BLOB_MIB:-40}
TAGS=${TAGS:-60}
SECONDS_EACH=${SECONDS_EACH:-3}
IMAGE_DIR=${IMAGE_DIR:-/var/tmp}

# --- the slow disk ------------------------------------------------------------------------------------------------------------

skip() {
    echo "skipped: $*"
    exit 0
}

CONTROL=/sys/fs/cgroup
[[ $(id -u) == 0 ]] || skip 'not root'
[[ -e /dev/loop-control ]] || skip 'no loop devices'
command -v mkfs.ext4 >/dev/null || skip 'no mkfs.ext4'
if [[ -e $CONTROL/blkio/blkio.throttle.read_bps_device ]]; then
    VERSION=1 CONTROL+=/blkio
elif grep -qsw io "$CONTROL/cgroup.controllers" && echo +io 2>/dev/null >"$CONTROL/cgroup.subtree_control"; then
    VERSION=2
else
    skip 'no control groups that limit block devices'
fi
GROUP=$(mktemp -d "$CONTROL/rc.XXXXXX" 2>/dev/null) || skip 'no control group can be made'
CONTROL_GROUPS+=("$GROUP")
[[ $VERSION == 1 || -e $GROUP/io.max ]] || skip 'no control groups that limit block devices'

# limit_reads BYTES OPERATIONS: per second, by the server from the mounted disk; `max` is any number.
limit_reads() {
    local device
    device=$(mountpoint -d "$DISK")
    if [[ $VERSION == 1 ]]; then
        echo "$device ${1/max/0}" >"$GROUP/blkio.throttle.read_bps_device"
        echo "$device ${2/max/0}" >"$GROUP/blkio.throttle.read_iops_device"
    else
        echo "$device rbps=$1 riops=$2" >"$GROUP/io.max"
    fi
}

DISK=$WORK/disk
IMAGE_FOLDER=$(mktemp -d "$IMAGE_DIR/rc.XXXXXX")
MORE_FOLDERS+=("$IMAGE_FOLDER")

make_disk() {
    local most=0 pulls
    for pulls in "${PULLS[@]}"; do ((pulls <= most)) || most=$pulls; done
    BLOBS=$most
    mkdir "$DISK"
    # With room for the file system's own.
    truncate -s $((BLOBS * BLOB_MIB * 11 / 10 + 128))M "$IMAGE_FOLDER/image"
    mkfs.ext4 -q -F "$IMAGE_FOLDER/image"
    mount_disk || skip 'no file system can be mounted'
}

mount_disk() {
    local device
    mount -o loop "$IMAGE_FOLDER/image" "$DISK" || return
    device=$(mountpoint -d "$DISK")
    # As disks have it; a loop device may have twenty times as much, behind which everything else would wait.
    echo 128 >"/sys/dev/block/$device/queue/read_ahead_kb"
}

cat >"$WORK/limited" <<SH
#!/bin/sh
echo \$\$ >"$GROUP/cgroup.procs"
exec "\$@"
SH
chmod +x "$WORK/limited"

# --- what is on it ------------------------------------------------------------------------------------------------------------

# An index without images: no registry asks for anything else before it takes one.
manifest() {
    jq -cn --arg n "$1" '{schemaVersion: 2, mediaType: "application/vnd.oci.image.index.v1+json", manifests: [],
        annotations: {number: $n}}' >"$WORK/manifest-$1"
}

fill_disk() {
    local name=${SERVERS[0]} i
    serve "$name" http "$DISK/tree"
    DIGESTS=()
    for ((i = 0; i < BLOBS; i++)); do
        noise "slow $i" $((BLOB_MIB << 20)) >"$WORK/blob"
        DIGESTS+=("$(digest_of "$WORK/blob")")
        expect 'push' 201 "$(push_blob slow/layers "$WORK/blob" "${DIGESTS[i]}")"
    done
    for i in warm $(seq 0 $((TAGS - 1))); do
        manifest "$i"
        expect 'push' 201 "$(put_manifest "slow/$i" latest "$WORK/manifest-$i")"
    done
    stop "$name"
    umount "$DISK"
}

# --- measuring ----------------------------------------------------------------------------------------------------------------

# requests NAME TAG [ARGUMENT...]: of the tag in the repository named by TAG.
requests() {
    load requests --connections 4 --header "Accept: $ACCEPT" --content "$WORK/manifest-$2" "${@:3}" \
        "${AT[$1]}/v2/slow/$2/manifests/latest"
}

# record_latency WHAT NAME MEDIAN NINETY-NINE SLOWEST
record_latency() {
    echo "$1: $2: half within $3 ms, 99 % within $4, all within $5"
    record "$1: median" "$2" "$3" 2 less
    record "$1: 99 %" "$2" "$4" 2 less
    record "$1: slowest" "$2" "$5" 2 less
}

# measure NAME PULLS
measure() {
    local name=$1 pulls=$2 i pid pulling=() words on_server=("${ON_SERVER[@]}")
    mount_disk || die 'the file system cannot be mounted again'
    limit_reads $((READ_KIB << 10)) "$READ_OPERATIONS"
    ON_SERVER=("$WORK/limited" "${ON_SERVER[@]}")
    serve "$name" http "$DISK/tree"
    ON_SERVER=("${on_server[@]}")
    requests "$name" warm --seconds 0.1 >"$WORK/warmed"
    for ((i = 0; i < pulls; i++)); do
        "${ON_LOAD[@]}" curl -sf -o /dev/null "${AT[$name]}/v2/slow/layers/blobs/${DIGESTS[i]}" &
        pulling+=($!)
    done
    STARTED_PIDS+=("${pulling[@]}")
    sleep 1
    read -ra words < <(requests "$name" warm --seconds "$SECONDS_EACH")
    record_latency "warm, $pulls pulls" "$name" "${words[@]:3}"
    read -ra words < <(requests "$name" '{}' --seconds "$SECONDS_EACH" --each "$TAGS")
    record_latency "cold, $pulls pulls" "$name" "${words[@]:3}"
    for pid in "${pulling[@]}"; do kill "$pid" 2>/dev/null || die "a pull from $name has ended: BLOB_MIB is too small"; done
    ((pulls == 0)) || wait "${pulling[@]}" 2>/dev/null || true
    # What it still waits for would keep it from ending.
    limit_reads max max
    stop "$name"
    umount "$DISK"
}

for name in "${SERVERS[@]}"; do install_server "$name"; done
make_disk
fill_disk
echo "reads: $READ_KIB KiB and $READ_OPERATIONS operations per second; blobs of $BLOB_MIB MiB; kernel: $(uname -srm)"
for pulls in "${PULLS[@]}"; do
    for name in "${SERVERS[@]}"; do measure "$name" "$pulls"; done
done
show_table
