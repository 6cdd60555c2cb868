#!/usr/bin/env bash
# pi-registry beside other registries and nginx: how fast, at which price in CPU time, in how much memory.
#
#   cargo build --release -p pi-registry -p registry-load
#   examples/pi-registry/bench/run.sh
#
# Each server has one core for itself and the load another one, on the loopback; servers take turns, and the median of the rounds
# counts. The machine must do nothing else meanwhile. At the end comes a table in Markdown, in which a ratio is that of the first
# server to another one: above 1 is good for rates, below 1 for everything else.
#
# What is moved is checked, and the first fault ends the run. What was pushed is read back and compared as a whole. Small answers are
# compared each. Of a large pull the length is, and one MiB after the other: in each pull the next, since comparing all would make
# the client slower than the servers.
#
#   SERVERS='pi-registry docker-registry registry-v3 nginx'
#                          Debian's docker-registry is distribution 2.8; NAME=PROGRAM is another build of pi-registry
#   ONLY='pull push floor manifests head memory idle startup size'
#                          floor: receiving, hashing and writing in a bare loop, which is what a push costs at least
#   SCHEMES='http https'   for pull, push and idle; https is TLS 1.3 with AES-128-GCM and an ECDSA certificate
#   ROUNDS=3
#   PULL_DIR=/var/tmp      where the data is that is read: on a disk, since this is where registries have it, and in the page cache
#   PUSH_DIR=/dev/shm      where pushes go: a tmpfs, so that the disk's interrupts are nobody's CPU time, or a folder on a disk
#   BLOB_MIB=64            the size of what is pulled and pushed
#   PULL_MIB=4096          pulled in one round
#   PUSH_MIB=1024          pushed in one round, each blob with unique content
#   SECONDS_EACH=5         of requests in one round
#   MEMORY_MIB=128         the size of the blobs of `memory`: 8 pushes and 32 pulls of it at once
#   IDLE_CONNECTIONS=5000
#   TREE_BLOBS=100000      on the tree of `startup`, which is written first
#   SERVER_CORES=0 LOAD_CORES=1
#                          as taskset reads them; on a machine with one core nothing is pinned
#   SMOKE=1                tiny numbers for all of these: whether it works, and nothing else
#
# KEEP, TMPDIR and REGISTRY_BIN are those of ../tests/clients/lib.sh, which installs what is missing from Debian and Go.
# shellcheck source=common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
# shellcheck source=measure.sh
source "$BENCH_DIR/measure.sh"

if [[ -n ${SMOKE:-} ]]; then
    : "${ROUNDS:=1}" "${BLOB_MIB:=2}" "${PULL_MIB:=8}" "${PUSH_MIB:=8}" "${SECONDS_EACH:=0.2}" "${MEMORY_MIB:=4}"
    : "${IDLE_CONNECTIONS:=50}" "${TREE_BLOBS:=200}" "${PULL_DIR:=/dev/shm}"
fi
read -ra SERVERS <<<"${SERVERS:-pi-registry docker-registry registry-v3 nginx}"
read -ra ONLY <<<"${ONLY:-pull push floor manifests head memory idle startup size}"
read -ra SCHEMES <<<"${SCHEMES:-http https}"
ROUNDS=${ROUNDS:-3}
PULL_DIR=${PULL_DIR:-/var/tmp}
PUSH_DIR=${PUSH_DIR:-/dev/shm}
BLOB_MIB=${BLOB_MIB:-64}
PULL_MIB=${PULL_MIB:-4096}
PUSH_MIB=${PUSH_MIB:-1024}
SECONDS_EACH=${SECONDS_EACH:-5}
MEMORY_MIB=${MEMORY_MIB:-128}
IDLE_CONNECTIONS=${IDLE_CONNECTIONS:-5000}
TREE_BLOBS=${TREE_BLOBS:-100000}

PULL_ROOT=$(mktemp -d "$PULL_DIR/rc.XXXXXX")
PUSH_ROOT=$(mktemp -d "$PUSH_DIR/rc.XXXXXX")
MORE_FOLDERS+=("$PULL_ROOT" "$PUSH_ROOT")
CONTENT=$PULL_ROOT/content

about_the_machine
make_authority ca
make_certificate bench ca subjectAltName=IP:127.0.0.1 extendedKeyUsage=serverAuth
export CURL_CA_BUNDLE=$CERTS/ca.crt
make_users "$AUTH/users" 10 "$WRITER"
make_content
for name in "${SERVERS[@]}"; do prepare "$name"; done
# What is to be written should not be so while it is read.
sync -f "$PULL_ROOT"
for measurement in "${ONLY[@]}"; do
    [[ $(type -t "measure_$measurement") == function ]] || die "no such measurement: $measurement"
    "measure_$measurement"
done
show_table
