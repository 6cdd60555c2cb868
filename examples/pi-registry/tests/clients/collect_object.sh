#!/usr/bin/env bash
# Garbage is collected in a bucket of a real MinIO that two replicas serve, by a third process: while real clients push
# what is just being removed, each request to one replica or the other, and with kill -9 in the middle.
#
#   ROUNDS=10  KILLS=3  SEED=1  collect_object.sh
#
# The long run has ROUNDS=200 KILLS=20. There is no grace period in any of it: pushes may be refused, but not lie.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=engines.sh
source "$CLIENTS_DIR/engines.sh"
# shellcheck source=object_lib.sh
source "$CLIENTS_DIR/object_lib.sh"
# shellcheck source=both_ways_lib.sh
source "$CLIENTS_DIR/both_ways_lib.sh"
# shellcheck source=collect_lib.sh
source "$CLIENTS_DIR/collect_lib.sh"
need curl jq ss openssl tar gzip split crane skopeo oras docker dockerd containerd minio

ROUNDS=${ROUNDS:-10}
KILLS=${KILLS:-3}

collect() { "${COLLECT[@]}" "$@"; }

# use_bucket NAME: a new one, with two replicas on it.
use_bucket() {
    local name
    BUCKET=$1
    bucket_make "$BUCKET"
    store_settings
    COLLECT=(env -u REGISTRY_BIN "${STORE[@]}" "$PROGRAM" garbage-collect --grace=0s)
    HOSTS=()
    for name in a b; do
        replica_start "$name"
        HOSTS+=("$HOST")
    done
}
end_replicas() {
    local name
    for name in a b; do end "${REPLICA_PID[$name]}"; done
}

# blobs_in NAME: of an image.
blobs_in() { (cd "$IMAGES/$1/blobs/sha256" && ls); }

# content: which blobs and links there are.
content() { keys "$ROOT/blobs/" && keys "$ROOT/repositories/"; }

# Afterwards one more collection leaves nothing but what the tags need.
only_what_is_tagged() {
    collect -m
    {
        needed_blobs
        blobs_in one
    } | sort -u >"$WORK/needed"
    keys "$ROOT/blobs/" | sed 's|/data$||; s|.*/||' | sort -u >"$WORK/there"
    same 'blobs' "$WORK/needed" "$WORK/there"
    expect 'tombstones' '' "$(keys "$ROOT/tombstones/")"
    expect 'pushes' '' "$(keys "$ROOT/pushes/")"
}

# --- kill -9 ----------------------------------------------------------------------------------------------------------

# refill: the garbage is there again.
refill() {
    on_machine curl -fsS -Z --parallel-max 16 --aws-sigv4 "aws:amz:$STORE_REGION:s3" --user "$STORE_KEY:$STORE_SECRET" \
        -K "$WORK/refill"
}

# Images that live, in repositories of which one has all the garbage.
fill_for_kills() {
    local began path
    push_live
    garbage "$WORK/tree"
    (cd "$WORK/tree" && find "$ROOT" -type f) | while read -r path; do
        printf 'upload-file = "%s"\nurl = "%s"\n' "$WORK/tree/$path" "$MINIO/$BUCKET/$path"
    done >"$WORK/refill"
    refill
    # The store tells time in seconds.
    sleep 1
    # How long one takes that nothing disturbs, and what it leaves.
    began=${EPOCHREALTIME/./}
    collect -m
    echo $(((${EPOCHREALTIME/./} - began) / 1000)) >"$WORK/takes"
    content >"$WORK/content"
    expect 'blobs left' "$(wc -l <"$WORK/digests")" "$(grep -c '/data$' "$WORK/content")"
    live_is_whole
}

killed() {
    local i
    for ((i = 1; i <= KILLS; i++)); do
        refill
        kill_one
        echo "$STATUS $(keys "$ROOT/tombstones/" | wc -l)" >>"$WORK/kills"
        live_is_whole
        collect -m -q
        content >"$WORK/now"
        same 'blobs and links' "$WORK/content" "$WORK/now"
        live_is_whole
    done
    push two live/two:again
}

# refused_where_none_is: of a bucket without a registry.
refused_where_none_is() {
    local status=0
    env REGISTRY_STORAGE_S3_ROOTDIRECTORY=/elsewhere "${COLLECT[@]}" 2>"$WORK/err" || status=$?
    cat "$WORK/err"
    expect 'exit code' 1 "$status"
    grep -q '^pi-registry: nothing was removed: .*elsewhere' "$WORK/err"
    expect 'lines' 1 "$(wc -l <"$WORK/err")"
    if grep -F -e "$STORE_SECRET" "$WORK/err"; then return 1; fi
}

# ----------------------------------------------------------------------------------------------------------------------

make_images
busy_images
minio_start plain
use_bucket busy
# Where there is nothing, there is no registry.
push one kept/one:v1
rounds_report
scenario rounds 'one more collection leaves just that' only_what_is_tagged
scenario refused 'where no registry is, in one line' refused_where_none_is
end_replicas

: >"$WORK/kills"
use_bucket kill
scenario kill 'images, and garbage that is collected undisturbed' fill_for_kills
scenario kill 'what lives is whole after each, and the next collection leaves no garbage' killed
CUT=$(awk '$1 == 137' "$WORK/kills" | wc -l)
echo "$(wc -l <"$WORK/kills") kills, in the end within $(<"$WORK/takes") ms: $CUT in the middle," \
    "$(awk '$2 > 0' "$WORK/kills" | wc -l) left tombstones, $(cut -d ' ' -f 2 "$WORK/kills" | sort -n | tail -n 1) at most"
scenario kill "enough were killed in the middle: $CUT" test "$CUT" -ge $(((KILLS + 2) / 3))
end_replicas
summary
