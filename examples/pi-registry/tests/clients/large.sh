#!/usr/bin/env bash
# A blob of 5 GB, whose length a 32-bit program could miscount: pushed whole and in chunks that meet at 4 GiB, its length, ranges
# around and beyond that, and all of it. Needs 10 GB below TMPDIR. Under qemu-user a run takes minutes, so all.sh leaves it out:
#
#   dist/emulate.sh env REGISTRY_BIN="$PWD/target/dist/pi-registry-armhf" tests/clients/large.sh
# shellcheck source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need curl ss cmp

BORDER=$((4 << 30))
SIZE=5000000000
BLOB=$WORK/blob

# Holes but for what stands around the border and at the end.
make_blob() {
    truncate -s "$SIZE" "$BLOB"
    dd if=/dev/urandom of="$BLOB" bs=1M count=2 seek=$((BORDER / (1 << 20) - 1)) conv=notrunc status=none
    dd if=/dev/urandom of="$BLOB" bs=1M count=1 oflag=seek_bytes seek=$((SIZE - (1 << 20))) conv=notrunc status=none
    DIGEST=$(digest_of "$BLOB")
}

pushed_whole() { expect status 201 "$(push_blob large/whole "$BLOB" "$DIGEST")"; }

# patch URL BEGIN LENGTH: prints the next URL; the answer's Range must tell what is there.
patch() {
    local head=$WORK/head location
    tail -c "+$(($2 + 1))" "$BLOB" | head -c "$3" | curl -fsS -o /dev/null -D "$head" -X PATCH -H 'Content-Type: application/octet-stream' \
        -H "Content-Range: $2-$(($2 + $3 - 1))" -H "Content-Length: $3" -H 'Expect:' -T - "$1"
    grep -qi "^range: 0-$(($2 + $3 - 1))"$'\r' "$head" || { cat "$head" >&2 && return 1; }
    location=$(tr -d '\r' <"$head" | sed -n 's/^location: //Ip')
    [[ $location != /* ]] || location=$SCHEME://$HOST$location
    echo "$location"
}

pushed_in_chunks() {
    local url
    url=$(upload_url large/chunks)
    url=$(patch "$url" 0 $((BORDER - 5)))
    url=$(patch "$url" $((BORDER - 5)) 10)
    url=$(patch "$url" $((BORDER + 5)) $((SIZE - BORDER - 5)))
    expect status 201 "$(status_of -X PUT -H 'Content-Length: 0' "$(with_digest "$url" "$DIGEST")")"
}

length() {
    expect Content-Length "$SIZE" "$(curl -fsSI "$SCHEME://$HOST/v2/large/whole/blobs/$DIGEST" | tr -d '\r' | sed -n 's/^content-length: //Ip')"
}

# range BEGIN END: both included.
range() {
    local head=$WORK/head
    curl -fsS -D "$head" -o "$WORK/part" -H "Range: bytes=$1-$2" "$SCHEME://$HOST/v2/large/whole/blobs/$DIGEST"
    grep -qi "^content-range: bytes $1-$2/$SIZE"$'\r' "$head"
    cmp "$WORK/part" <(tail -c "+$(($1 + 1))" "$BLOB" | head -c $(($2 - $1 + 1)))
}

pulled_whole() { expect digest "$DIGEST" "$(hash_of "$SCHEME://$HOST/v2/large/whole/blobs/$DIGEST")"; }

make_blob
registry_start "$WORK/data"
scenario curl 'push a blob of 5 GB' pushed_whole
scenario curl 'its length' length
scenario curl 'a range over the border' range $((BORDER - 1000)) $((BORDER + 1000))
scenario curl 'a range beyond it, at the end' range $((SIZE - 1000)) $((SIZE - 1))
scenario curl 'pull it' pulled_whole
scenario curl 'push it in chunks that meet at the border' pushed_in_chunks
echo "the most memory, with that of an emulator: $(peak) MiB"
summary
