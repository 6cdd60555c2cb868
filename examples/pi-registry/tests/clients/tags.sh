#!/usr/bin/env bash
# Tags that stay, tags that go, and a small disk of which pushes leave some free, as real clients meet them.
# Needs root, because it mounts a small file system and starts engines of its own. With CI_EXTRA docker pushes onto a full
# disk, too, which it tries for a minute.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
source "$(dirname "${BASH_SOURCE[0]}")/engines.sh"

((EUID == 0)) || die 'mounting needs root'
need curl jq ss openssl mount docker dockerd containerd ctr podman skopeo crane

IMAGES=$WORK/images
MOUNT=$WORK/disk
CONFIG=$WORK/tags.yml
PROGRAM=${REGISTRY_BIN:-${CARGO_TARGET_DIR:-$REPO_DIR/target}/release/pi-registry}
# The rules are our own: no other program has them.
[[ -x $PROGRAM ]] || die "$PROGRAM is no pi-registry"
REGISTRY_BIN="$PROGRAM $CONFIG"

cat >"$CONFIG" <<YML
version: 0.1
storage: {filesystem: {rootdirectory: $MOUNT/registry}, delete: {enabled: true}}
tags:
  immutable: [{repositories: ["team/**"], tags: ["v*"], except: ["*-rc*"]}]
  retention:
    rules:
      - {repositories: ["ci/**"], newest: 2, tags: [main]}
      - {repositories: ["used/**"], pulledwithin: 240h}
YML

mkdir -p "$MOUNT" "$IMAGES" "$WORK/layers"
mount -t tmpfs -o size=64m,mode=755 tmpfs "$MOUNT" || die 'cannot mount a tmpfs here'
# 2 %, which is less than 256 MiB.
RESERVE=$((64 * 1024 * 1024 / 50))
for name in one two large; do
    layer_make "$WORK/layers/$name" "tags $name" "$([[ $name == large ]] && echo 6000000 || echo 300000)"
    make_image "$IMAGES/$name" "local/$name:latest" amd64 "$WORK/layers/$name"
done
registry_start "$MOUNT/registry"

push() { crane_ --insecure push "$IMAGES/$1" "$HOST/$2"; }
digest() { crane_ --insecure digest "$HOST/$1"; }
tags() { crane_ --insecure ls "$HOST/$1" | sort | paste -sd ,; }
retention() { env -u REGISTRY_BIN "$PROGRAM" retention "$@" "$CONFIG"; }

# says TEXT COMMAND...: the client fails, and prints the text.
says() {
    local text=$1 status=0
    shift
    refused "$@" >"$WORK/says" 2>&1 || status=$?
    cat "$WORK/says"
    ((status == 0)) && grep -q -e "$text" "$WORK/says"
}

# --- immutable tags -----------------------------------------------------------------------------------------------------

IMMUTABLE='tag v1 is immutable here'

stays() { expect 'where the tag stands' "$(root_digest "$IMAGES/one")" "$(digest team/app:v1)"; }

crane_immutable() {
    push one team/app:v1
    push one team/app:v1
    says "$IMMUTABLE" push two team/app:v1
    says "$IMMUTABLE" crane_ --insecure delete "$HOST/team/app:v1"
    says "$IMMUTABLE" crane_ --insecure delete "$HOST/team/app@$(root_digest "$IMAGES/one")"
    stays
    push one team/app:v2-rc1
    push two team/app:v2-rc1
}

skopeo_push() { skopeo_ copy -q --preserve-digests --dest-tls-verify=false "oci:$IMAGES/$1:latest" "docker://$HOST/$2"; }

skopeo_immutable() {
    skopeo_push one team/app:v1
    says "$IMMUTABLE" skopeo_push two team/app:v1
    says "$IMMUTABLE" skopeo_ delete --tls-verify=false "docker://$HOST/team/app:v1"
    stays
}

podman_immutable() {
    podman_ load -q -i "$(archive "$IMAGES/two" local/two:latest)"
    says "$IMMUTABLE" podman_ push --tls-verify=false local/two:latest "docker://$HOST/team/app:v1"
    stays
}

docker_immutable() {
    local name
    for name in one two; do
        docker_ load -q -i "$(archive "$IMAGES/$name" "local/$name:latest")"
    done
    docker_ tag local/one:latest "$HOST/team/docker:v1"
    docker_ push "$HOST/team/docker:v1"
    docker_ push "$HOST/team/docker:v1"
    docker_ tag local/two:latest "$HOST/team/docker:v1"
    says "denied: $IMMUTABLE" timeout 20 docker -H "unix://$WORK/docker.sock" push "$HOST/team/docker:v1"
}

ctr_immutable() {
    local name
    for name in one two; do
        tar -C "$IMAGES/$name" -cf "$WORK/import.tar" .
        ctr_ images import --all-platforms --no-unpack "$WORK/import.tar"
    done
    ctr_ images push --plain-http "$HOST/team/app:v1" local/one:latest
    says 409 ctr_ images push --plain-http "$HOST/team/app:v1" local/two:latest
    stays
}

# put NAME REFERENCE: the status of a push of that manifest; the body is in $WORK/body.
put() {
    local digest
    digest=$(root_digest "$IMAGES/$1")
    BODY_FILE=$WORK/body put_manifest team/app "$2" "$IMAGES/$1/blobs/sha256/${digest#sha256:}"
}

# Without what clients ask first, and with tags beside a push by digest.
by_hand() {
    local one two
    one=$(root_digest "$IMAGES/one") two=$(root_digest "$IMAGES/two")
    expect 'the same' 201 "$(put one v1)"
    expect 'the same by ?tag=' 201 "$(put one "$one?tag=v1")"
    expect 'another by ?tag=' 409 "$(put two "$two?tag=other&tag=v1")"
    expect code DENIED "$(jq -r '.errors[0].code' "$WORK/body")"
    expect 'the other tag' 404 "$(status_of "http://$HOST/v2/team/app/manifests/other")"
    stays
}

scenario crane 'immutable: the same is accepted, another manifest and deletes are not' crane_immutable
scenario skopeo 'immutable: the same is accepted, another manifest and a delete are not' skopeo_immutable
scenario podman 'immutable: another manifest is refused legibly' podman_immutable
docker_start
scenario docker 'immutable: the same is accepted, another is denied at once, legibly' docker_immutable
scenario containerd 'immutable: the same is accepted, another manifest is refused' ctr_immutable
scenario curl 'immutable: also by ?tag=, and then no other tag moves' by_hand

# --- retention ----------------------------------------------------------------------------------------------------------

fill_ci() {
    local tag
    for tag in main b1 b2 b3; do
        push one "ci/app:$tag"
    done
    # To where it stands already: that makes it the newest. crane would not send it.
    skopeo_push one ci/app:b1
}

dry_run() {
    retention --dry-run | tee "$WORK/told"
    grep -q '^would go ci/app:b2  no rule keeps it' "$WORK/told"
    grep -q "^kept     ci/app:b1  among the newest ($CONFIG:7" "$WORK/told"
    grep -q '^kept     ci/app:main  matches a pattern' "$WORK/told"
    grep -q '^kept     team/app:v1  no rule is about this repository' "$WORK/told"
    expect 'tags that go' 1 "$(grep -c '^would go' "$WORK/told")"
    expect 'decisions in JSON' b2 "$(retention --dry-run --json | jq -r 'select(.kept == false).tag')"
    expect tags b1,b2,b3,main "$(tags ci/app)"
}

real_run() {
    retention | tee "$WORK/told"
    expect tags b1,b3,main "$(tags ci/app)"
    expect 'the tag that went' 404 "$(status_of "http://$HOST/v2/ci/app/manifests/b2")"
    crane_ --insecure validate --remote "$HOST/ci/app:b1"
    stays
    retention
    expect 'tags after another run' b1,b3,main "$(tags ci/app)"
}

scenario retention 'four tags, one of them pushed again' fill_ci
scenario retention '--dry-run explains each decision, and removes nothing' dry_run
scenario retention 'removes what it told, beside a running registry' real_run

# By docker, which gets the manifest by its tag; containerd as well; crane, that looks only; and one that nobody pulls.
fill_used() {
    local tag
    for tag in idle docker ctr looked; do push one "used/app:$tag"; done
    # What clients did to push it counts, too: as if that had been long ago.
    find "$TREE/repositories/used" -name pulled -delete
}

TREE=$MOUNT/registry/docker/registry/v2
pulled_by() { await "the note of $1" "$WORK/registry.log" test -e "$TREE/repositories/used/app/_manifests/tags/$1/pulled"; }

# A server that is started again notes each tag once more, the day's first time.
pulls() {
    docker_ pull -q "$HOST/used/app:docker"
    ctr_ images pull --plain-http "$HOST/used/app:ctr"
    crane_ --insecure digest "$HOST/used/app:looked"
    for tag in docker ctr looked; do pulled_by "$tag"; done
    nothing_in <(ls "$TREE/repositories/used/app/_manifests/tags/idle/pulled" 2>/dev/null)
    retention --dry-run | tee "$WORK/told"
    grep -q '^kept     used/app:idle  pushed recently' "$WORK/told"
    # As if the tags were old, and pulls had been noted for a month.
    find "$TREE/repositories/used" -path '*/current/link' -exec touch -d '-30 days' {} +
    grep -q '^[0-9]*$' "$TREE/pulls-noted"
    retention --dry-run | grep '^kept     used/app:idle  pulls are not noted for long enough'
    date -d '-30 days' +%s >"$TREE/pulls-noted"
    retention --dry-run | tee "$WORK/told"
    grep -q '^would go used/app:idle  no rule keeps it' "$WORK/told"
    expect 'tags kept' 3 "$(grep -c "^kept     used/app:.*  pulled recently ($CONFIG:8.*, pulled 20" "$WORK/told")"
    retention
    expect tags ctr,docker,looked "$(tags used/app)"
}

scenario pulls 'four tags' fill_used
registry_stop
registry_start "$MOUNT/registry"
scenario pulls 'what docker, containerd and crane ask for stays, the rest goes once that is sure' pulls

# --- the reserve --------------------------------------------------------------------------------------------------------

room() { df -B1 --output=avail "$MOUNT" | tail -n 1; }

# fill_up BYTES: another program leaves so much of the disk free.
fill_up() {
    rm -f "$MOUNT/ballast"
    fallocate -l "$(($(room) - $1))" "$MOUNT/ballast"
    # Longer than a look at the disk is believed.
    sleep 0.7
}

# put_large [CURL ARGUMENT...]: 6 MB to a new upload; prints the status and how much was sent.
put_large() {
    local url
    noise large 6000000 >"$WORK/large"
    url=$(with_digest "$(upload_url team/large)" "$(digest_of "$WORK/large")")
    curl -s -o "$WORK/body" -w '%{http_code} %{size_upload}' -X PUT -H 'Content-Type: application/octet-stream' "$@" "$url"
}

NO_ROOM='no room for this: its disk is full'

refused_early() {
    expect 'status and bytes sent' '507 0' "$(put_large -H 'Expect: 100-continue' --expect100-timeout 10 -T "$WORK/large")"
    jq -e --arg said "$NO_ROOM" '.errors[0].message | contains($said)' "$WORK/body"
}

refused_without_length() {
    local answer
    answer=$(put_large -H 'Transfer-Encoding: chunked' -H 'Expect:' -T - <"$WORK/large")
    expect status 507 "${answer%% *}"
    expect 'its blob' 404 "$(status_of "http://$HOST/v2/team/large/blobs/$(digest_of "$WORK/large")")"
}

refused_to_clients() {
    says "$NO_ROOM" push large team/large:v1
    says 507 skopeo_push large team/large:v1
    (($(room) >= RESERVE)) || { echo "only $(room) bytes are free" && return 1; }
}

# No upload is begun when nothing of it has room.
refused_at_once() {
    expect 'POST' 507 "$(status_of -X POST "http://$HOST/v2/team/large/blobs/uploads/")"
}

pull_and_delete() {
    crane_ --insecure pull --format oci "$HOST/team/app:v1" "$WORK/pulled.$1"
    layout_sound "$WORK/pulled.$1"
    expect 'a pull of what stays' "$(root_digest "$IMAGES/one")" "$(digest ci/app:main)"
    crane_ --insecure delete "$HOST/ci/app:$1"
    expect 'GET of what was deleted' 404 "$(status_of "http://$HOST/v2/ci/app/manifests/$1")"
}

works_again() {
    rm "$MOUNT/ballast"
    push large team/large:v1
    crane_ --insecure validate --remote "$HOST/team/large:v1"
}

fill_up 5000000
scenario reserve 'a layer that does not fit is refused before it is sent, with 507' refused_early
scenario reserve 'one of unknown length in the middle' refused_without_length
scenario reserve 'crane and skopeo tell it, and the reserve is free still' refused_to_clients
scenario reserve 'pulls and deletes go on' pull_and_delete b1
fill_up $((RESERVE / 2))
scenario reserve 'where it is touched, no upload begins' refused_at_once
fill_up 0
scenario reserve 'pulls and deletes go on where not a byte is free' pull_and_delete b3
scenario reserve 'with room, pushes work again by themselves' works_again

# --- full by pushes, and room by a collection ---------------------------------------------------------------------------

make_fill() {
    layer_make "$WORK/layers/$1" "tags $1" 6000000
    make_image "$IMAGES/$1" "local/$1:latest" amd64 "$WORK/layers/$1"
}

# Until one is refused, which is left in $WORK/refused; its layer is sent again by each client below.
push_until_full() {
    local n
    for ((n = 1; n <= 12; n++)); do
        make_fill "fill$n"
        echo "fill$n" >"$WORK/refused"
        push "fill$n" "fill/app:fill$n" >"$WORK/pushed" 2>&1 || break
    done
    cat "$WORK/pushed"
    grep -q "$NO_ROOM" "$WORK/pushed"
    ((n > 3 && $(room) >= RESERVE && $(room) < RESERVE + 7000000))
}

refused_to_curl() {
    local layer
    layer=$WORK/layers/$(<"$WORK/refused").tgz
    expect status 507 "$(BODY_FILE=$WORK/body push_blob fill/app "$layer" "$(digest_of "$layer")")"
    jq -e --arg said "$NO_ROOM" '.errors[0].message | contains($said)' "$WORK/body"
}

# It tries for 50 s.
refused_to_docker() {
    local name
    name=$(<"$WORK/refused")
    docker_ load -q -i "$(archive "$IMAGES/$name" "local/$name:latest")"
    docker_ tag "local/$name:latest" "$HOST/fill/app:docker"
    says '507 Insufficient Storage' docker_ push "$HOST/fill/app:docker"
}

collect() { env -u REGISTRY_BIN "$PROGRAM" garbage-collect -m --grace=0s "$CONFIG"; }

room_by_collection() {
    local before
    crane_ --insecure validate --remote "$HOST/fill/app:fill1"
    for tag in fill2 fill3; do crane_ --insecure delete "$HOST/fill/app:$tag"; done
    before=$(room)
    collect
    (($(room) > before + 11000000)) || { echo "$before bytes were free, and $(room) are" && return 1; }
    # Longer than a look at the disk is believed.
    sleep 0.7
    push "$(<"$WORK/refused")" fill/app:again
    for tag in fill1 again; do crane_ --insecure validate --remote "$HOST/fill/app:$tag"; done
    stays
}

scenario full 'crane pushes until the reserve refuses' push_until_full
scenario full 'curl is told so' refused_to_curl
[[ -z ${CI_EXTRA:-} ]] || scenario full 'docker is told so' refused_to_docker
scenario full 'pulls and deletes go on, a collection makes room, and the same push succeeds' room_by_collection
summary
