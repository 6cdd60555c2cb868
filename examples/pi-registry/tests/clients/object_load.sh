#!/usr/bin/env bash
# Pushes to MinIO and pulls from it: throughput, and CPU seconds of the registry per GB, beside Debian's docker-registry on the same
# MinIO. Not one of all.sh's, since figures need a machine that does nothing else.
#
#   object_load.sh                      the release build
#   object_load.sh NAME=PROGRAM...      other builds
#
# The registries have the first core for themselves, MinIO and curl the second. MinIO's data is on /dev/shm (4 GB) where there is
# room. MB=1000 says how much each pushes and pulls in a round, ROUNDS=3 how often they take turns; the median counts.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=engines.sh
source "$CLIENTS_DIR/engines.sh"
# The programs are named by the arguments.
(($# == 0)) || REGISTRY_BIN=${1#*=}
# shellcheck source=object_lib.sh
source "$CLIENTS_DIR/object_lib.sh"
need curl jq ss openssl taskset docker-registry
(($(nproc) >= 2)) || die 'it takes two cores'

MB=${MB:-1000}
ROUNDS=${ROUNDS:-3}
BYTES=$((MB * 1000000))
SERVERS=()

# serve NAME PROGRAM: the options of a program of ours are for it alone.
serve() {
    local program=$2
    SERVERS+=("$1")
    if [[ $program == peer ]]; then
        OURS='' REGISTRY_BIN="taskset -c 0 docker-registry serve $WORK/config.yml" replica_start "$1"
    else
        OURS=1 REGISTRY_BIN="taskset -c 0 $program $WORK/config.yml" replica_start "$1"
    fi
}

# cpu: hundredths of a second that the registry has used.
cpu() {
    local user system
    read -r user system < <(sed 's/.*) //' "/proc/$REGISTRY_PID/stat" | cut -d ' ' -f 12,13)
    echo $((user + system))
}

# measured WHAT NAME COMMAND...: a line with the hundredths of a second, of the clock and of the processor.
measured() {
    local what=$1 name=$2 before began
    shift 2
    before=$(cpu) began=$(date +%s%N)
    "$@"
    echo "$(($(date +%s%N) / 10000000 - began / 10000000)) $(($(cpu) - before))" >>"$WORK/$what.$name"
}

push() {
    local url
    url=$(curl -fsS -o /dev/null -D - -X PATCH -H 'Content-Type: application/octet-stream' -H 'Transfer-Encoding: chunked' -H 'Expect:' \
        -T "$LAYER" "$(upload_url load)" | tr -d '\r' | sed -n 's/^location: //Ip')
    [[ $url != /* ]] || url=http://$HOST$url
    expect push 201 "$(curl -s -o /dev/null -w '%{http_code}' -X PUT -H 'Content-Length: 0' "$(with_digest "$url" "$DIGEST")")"
}
pull() {
    expect pull "200 $BYTES" "$(curl -s -o /dev/null -w '%{http_code} %{size_download}' "http://$HOST/v2/load/blobs/$DIGEST")"
}

# --- all of it -----------------------------------------------------------------------------------------------------------------

builds=("$@")
((${#builds[@]})) || builds=("pi-registry=$PROGRAM")
taskset -p -c 1 $$ >/dev/null
if [[ $(df --output=avail -m /dev/shm | tail -n 1) -gt $((MB * 4)) ]]; then
    dir=$(mktemp -d /dev/shm/rc.XXXXXX)
    MORE_FOLDERS+=("$dir")
    MINIO_DATA=$dir/minio LAYER=$dir/layer
else
    LAYER=$WORK/layer
fi
minio_start plain
bucket_make "$BUCKET"
for build in "${builds[@]}"; do serve "${build%%=*}" "${build#*=}"; done
serve docker-registry peer
for ((round = 0; round <= ROUNDS; round++)); do
    for name in "${SERVERS[@]}"; do
        replica_use "$name"
        noise "$name $round" "$BYTES" >"$LAYER"
        DIGEST=$(digest_of "$LAYER")
        measured push "$name" push
        rm "$LAYER"
        measured pull "$name" pull
        key_delete "$(blob_key "$DIGEST")"
        # The first round is for the caches, and counts nothing.
        ((round > 0)) || rm -f "$WORK"/{push,pull}."$name"
    done
done

# median WHAT NAME COLUMN
median() { cut -d ' ' -f "$3" "$WORK/$1.$2" | sort -n | sed -n "$(((ROUNDS + 1) / 2))p"; }
printf 'MB/s and CPU seconds per GB, beside docker-registry; the median of %s\n' "$ROUNDS"
for what in push pull; do
    for name in "${SERVERS[@]}"; do
        echo "$name $(median "$what" "$name" 1) $(median "$what" "$name" 2) $(median "$what" docker-registry 1) $(median "$what" docker-registry 2)"
    done | awk -v what="$what" -v mb="$MB" '{ printf "%s  %-16s %7.0f MB/s  x %.2f   %6.3f s/GB  x %.2f\n",
        what, $1, mb * 100 / $2, $4 / $2, $3 * 10 / mb, $3 / $5 }'
done
