#!/usr/bin/env bash
# One large layer to MinIO and back: how much memory the registry holds meanwhile, and how long the last request of the push takes,
# for which containerd waits 30 seconds.
#
# 600 MB, or with CI_EXTRA=1 5.5 GB, which is more than what S3 copies at once (5 GiB), and three times as much of free disk; or
# what LARGE_BYTES says.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=engines.sh
source "$CLIENTS_DIR/engines.sh"
# shellcheck source=object_lib.sh
source "$CLIENTS_DIR/object_lib.sh"
need curl jq ss openssl

BYTES=${LARGE_BYTES:-600000000}
[[ -z ${CI_EXTRA:-} || -n ${LARGE_BYTES:-} ]] || BYTES=5500000000
LIMIT=96
PATIENCE=30

# The parts, the copy, and what MinIO keeps free.
free=$(df --output=avail -B 1 "$WORK" | tail -n 1)
((free > BYTES * 3 + 2000000000)) ||
    die "$((BYTES / 1000000)) MB need $((BYTES * 3 / 1000000 + 2000)) MB of free disk in $WORK, which has $((free / 1000000)) MB: see TMPDIR"

layer() { noise large "$BYTES"; }

# stream: as docker does, a request of unknown length.
stream() {
    curl -fsS -o "$WORK/answer" -D "$WORK/headers" -X PATCH -H 'Content-Type: application/octet-stream' -H 'Transfer-Encoding: chunked' -H 'Expect:' \
        -T - "$(upload_url large)" < <(layer)
}

finish() {
    local url status seconds
    url=$(tr -d '\r' <"$WORK/headers" | sed -n 's/^location: //Ip')
    [[ $url != /* ]] || url=http://$HOST$url
    read -r status seconds < <(curl -sS -o "$WORK/answer" -w '%{http_code} %{time_total}\n' -X PUT -H 'Content-Length: 0' "$(with_digest "$url" "$DIGEST")")
    echo "$seconds" >"$WORK/finish"
    cat "$WORK/answer"
    expect 'the last request' 201 "$status"
}
in_time() { awk -v t="$(cat "$WORK/finish")" -v most="$PATIENCE" 'BEGIN { exit !(t > 0 && t < most) }'; }

pull() { expect 'what is pulled' "$DIGEST" "$(hash_of "http://$HOST/v2/large/blobs/$DIGEST")"; }

# part: in the middle, across parts.
part() {
    local from=$((BYTES / 2 - 7000000))
    cmp <(curl -fsS -r "$from-$((from + 14999999))" "http://$HOST/v2/large/blobs/$DIGEST") \
        <(layer 2>/dev/null | tail -c "+$((from + 1))" | head -c 15000000)
}

nothing_left() {
    expect 'uploads left' '' "$(keys "$ROOT/repositories/large/_uploads/")"
    expect 'unfinished multipart uploads' 0 "$(unfinished)"
    expect 'size in the store' "$BYTES" "$(key_header content-length "$(blob_key "$DIGEST")")"
}

under_limit() { (($1 <= LIMIT)) || { echo "$1 MiB, the limit is $LIMIT MiB" && return 1; }; }

DIGEST=$(layer | digest_of -)
minio_start plain
bucket_make "$BUCKET"
object_start
began=$SECONDS
scenario large "$((BYTES / 1000000)) MB are pushed" stream
streamed=$((SECONDS - began))
scenario large 'and finished' finish
pushing=$(peak)
scenario large "the last request takes $(cat "$WORK/finish") s, at most $PATIENCE" in_time
scenario large "$pushing MiB while pushing, at most $LIMIT" under_limit "$pushing"
from_now_on
began=$SECONDS
scenario large 'it is pulled, byte for byte' pull
echo "pushed in $streamed s, pulled and hashed in $((SECONDS - began)) s"
pulling=$(peak)
scenario large "$pulling MiB while pulling, at most $LIMIT" under_limit "$pulling"
scenario large 'a range of it' part
scenario large 'the store has it once, and nothing of the upload' nothing_left
summary
