#!/usr/bin/env bash
# The disk is full, read-only, or holds something unexpected: pushes fail clearly, pulls go on, and nothing inside leaks out.
# Needs root, because it mounts a small file system.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need curl jq ss openssl mount

MOUNT=$WORK/disk
FAILED_REQUESTS=$WORK/failed

# ask NAME CURL-ARGUMENT...: sets STATUS and LOCATION, keeps the body of a 5xx in $WORK/failed/NAME.
ask() {
    local name=$1
    shift
    STATUS=$(curl -s -o "$WORK/body" -D "$WORK/headers" -w '%{http_code}' -m 60 -H 'Expect:' "$@") || true
    LOCATION=$(tr -d '\r' <"$WORK/headers" | sed -n 's/^location: //Ip')
    [[ $LOCATION != /* ]] || LOCATION=http://$HOST$LOCATION
    if [[ $STATUS == 5?? ]]; then cp "$WORK/body" "$FAILED_REQUESTS/$name"; fi
}

# try_push NAME REPOSITORY BYTES: one blob; STATUS is that of the last request, UPLOAD where it was sent, BLOB its digest.
try_push() {
    local name=$1 repository=$2
    noise "$name" "$3" >"$WORK/$name"
    BLOB=$(digest_of "$WORK/$name")
    UPLOAD=
    ask "$name-open" -X POST -H 'Content-Length: 0' "http://$HOST/v2/$repository/blobs/uploads/"
    [[ $STATUS == 202 ]] || return 0
    UPLOAD=$LOCATION
    ask "$name-put" -X PUT -H 'Content-Type: application/octet-stream' -T "$WORK/$name" "$(with_digest "$UPLOAD" "$BLOB")"
    if [[ $STATUS == 201 ]]; then
        echo "$repository/blobs/$BLOB $BLOB" >>"$WORK/stored"
        STORED_BLOB=$BLOB STORED_SIZE=$3
    fi
}

# try_image REPOSITORY TAG: a manifest for the last blob that was stored there, different for each tag.
try_image() {
    local repository=$1 manifest=$WORK/manifest
    jq -cn --arg d "$STORED_BLOB" --argjson s "$STORED_SIZE" --arg n "$2" '{schemaVersion: 2,
        mediaType: "application/vnd.oci.image.manifest.v1+json", annotations: {name: $n}, layers: [],
        config: {mediaType: "application/vnd.example+json", digest: $d, size: $s}}' >"$manifest"
    ask "$2-manifest" -X PUT -H 'Content-Type: application/vnd.oci.image.manifest.v1+json' --data-binary "@$manifest" \
        "http://$HOST/v2/$repository/manifests/$2"
    if [[ $STATUS == 201 ]]; then echo "$repository/manifests/$2 $(digest_of "$manifest")" >>"$WORK/stored"; fi
}

# Starts a new account of failed requests and of what the server says about them.
new_account() {
    rm -rf "$FAILED_REQUESTS"
    mkdir "$FAILED_REQUESTS"
    touch "$WORK/registry.log"
    SAID=$(wc -c <"$WORK/registry.log")
}

# one_line_each CAUSE: as many lines that name the cause as requests that failed, in at least one request.
one_line_each() {
    local failed lines
    failed=$(find "$FAILED_REQUESTS" -type f | wc -l)
    # The line may come a moment after the answer.
    sleep 0.5
    tail -c "+$((SAID + 1))" "$WORK/registry.log" >"$WORK/said"
    lines=$(grep -ci "$1" "$WORK/said" || true)
    ((failed > 0)) || { echo 'no request failed' && return 1; }
    expect "lines that say '$1', for failed requests $(cd "$FAILED_REQUESTS" && echo *)" "$failed" "$lines"
}

# Every body of a failed request has the errors of the spec, and nothing about the machine.
bodies_are_clean() {
    local body
    for body in "$FAILED_REQUESTS"/*; do
        jq -e '.errors | length > 0 and all(.code | test("^[A-Z_]+$"))' "$body" >/dev/null ||
            { echo "no errors body in ${body##*/}: $(head -c 200 "$body")" && return 1; }
        if grep -i -e "$WORK" -e '/docker/registry' -e 'no space' -e 'read-only' -e 'os error' -e errno -e ENOSPC -e EROFS \
            -e 'not a directory' -e 'file exists' "$body"; then
            echo "${body##*/} tells what is inside"
            return 1
        fi
    done
}

everything_stored_is_there() {
    local path digest count=0
    while read -r path digest; do
        expect "GET $path" "$digest" "$(hash_of "http://$HOST/v2/$path")"
        count=$((count + 1))
    done <"$WORK/stored"
    ((count >= ${1:-3}))
}

server_lives() { kill -0 "$REGISTRY_PID" && expect 'GET /v2/' 200 "$(status_of "http://$HOST/v2/")"; }

((EUID == 0)) || die 'mounting needs root'
mkdir "$MOUNT"
mount -t tmpfs -o size=16m,mode=755 tmpfs "$MOUNT" || die 'cannot mount a tmpfs here'
: >"$WORK/stored"
# Without a reserve, which would refuse pushes before the disk does.
registry_start "$MOUNT/registry" REGISTRY_STORAGE_FILESYSTEM_RESERVE=0
new_account

# --- full --------------------------------------------------------------------------------------------------------------

for ((i = 1; i <= 30; i++)); do
    try_push "fill$i" faults/full 1000000
    [[ $STATUS == 201 ]] || break
    try_image faults/full "fill$i"
done
full_status=$STATUS full_blob=$BLOB full_upload=$UPLOAD
scenario full "a push that does not fit gets a 5xx (image $i)" expect status 5xx "${full_status/#5??/5xx}"
scenario full 'its blob is not visible' expect status 404 "$(status_of "http://$HOST/v2/faults/full/blobs/$full_blob")"
# Take the last pages too, so that requests which write only a little fail as well.
head -c 16000000 /dev/zero >"$MOUNT/ballast" 2>/dev/null || true
try_image faults/full one-more
scenario full 'a manifest that does not fit gets a 5xx' expect status 5xx "${STATUS/#5??/5xx}"
scenario full 'the answers have an errors body and tell nothing of the inside' bodies_are_clean
scenario full 'one line on stderr for each failed request, with the cause' one_line_each 'no space left'
scenario full 'what was stored before can be pulled' everything_stored_is_there 5
scenario full 'the server lives' server_lives
rm -f "$MOUNT/ballast"
# The client gives its upload up (404: the server has done so itself), which makes room for something smaller.
ask cancel -X DELETE "$full_upload"
scenario full 'the failed upload can be given up' expect status gone "$(case $STATUS in 204 | 404) echo gone ;; *) echo "$STATUS" ;; esac)"
try_push small faults/full 100000
scenario full 'a smaller push works again' expect status 201 "$STATUS"
mount -o remount,size=64m "$MOUNT"
try_push after faults/full 8000000
try_image faults/full after
scenario full 'with more room pushes work again' expect status 201 "$STATUS"

# --- read-only ---------------------------------------------------------------------------------------------------------

# The kernel refuses while any file is open for writing: between requests the server has no reason to hold one.
remount_read_only() {
    local i
    for i in 1 2 3 4 5; do
        mount -o remount,ro "$MOUNT" 2>/dev/null && return 0
        sleep 1
    done
    ls -l "/proc/$REGISTRY_PID/fd"
    return 1
}

scenario read-only 'no file stays open for writing between requests' remount_read_only
if ! grep -q " $MOUNT tmpfs ro" /proc/mounts; then
    registry_stop
    mount -o remount,ro "$MOUNT"
    registry_start "$MOUNT/registry"
fi
new_account
scenario read-only 'pulls work' everything_stored_is_there 7
try_push refused faults/full 1000
scenario read-only 'a push gets a 5xx' expect status 5xx "${STATUS/#5??/5xx}"
try_image faults/full after
scenario read-only 'a manifest for a tag that exists gets a 5xx' expect status 5xx "${STATUS/#5??/5xx}"
scenario read-only 'the answers have an errors body and tell nothing of the inside' bodies_are_clean
scenario read-only 'one line on stderr for each failed request, with the cause' one_line_each 'read-only file system'
registry_stop
registry_start "$MOUNT/registry" REGISTRY_STORAGE_FILESYSTEM_RESERVE=0
scenario read-only 'the server starts there, and pulls work' everything_stored_is_there 7
mount -o remount,rw "$MOUNT"
try_push writable faults/full 1000
scenario read-only 'writable again, pushes work without a restart' expect status 201 "$STATUS"

# --- something else where a folder should be ------------------------------------------------------------------------------

echo 'a note of the administrator' >"$MOUNT/registry/docker/registry/v2/repositories/note"
new_account
try_push note note 1000
scenario foreign 'a push to a repository whose folder is a file gets a 5xx' expect status 5xx "${STATUS/#5??/5xx}"
scenario foreign 'the answers have an errors body and tell nothing of the inside' bodies_are_clean
scenario foreign 'the catalog lists the repositories beside it' \
    expect catalog '["faults/full"]' "$(curl -s "http://$HOST/v2/_catalog" | jq -c .repositories)"
scenario foreign 'the others can be pulled' everything_stored_is_there 7
try_push others faults/full 1000
scenario foreign 'and pushed' expect status 201 "$STATUS"
summary
