#!/usr/bin/env bash
# What users do with docker, podman, skopeo, containerd and crane, done with the real programs against a running registry.
# Each engine is a private instance with a store of its own; nothing of the machine's own engines is touched. Needs root.
#
#   clients.sh [CLIENT...]    only these clients
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
source "$(dirname "${BASH_SOURCE[0]}")/engines.sh"

ALL_CLIENTS=(docker podman skopeo containerd crane)
CLIENTS=("${@:-${ALL_CLIENTS[@]}}")

# The scenarios, by the names that the table at the end shows.
ROUND_TRIP='push, clean the store, pull: same id'
SCHEMA2='the same as docker schema 2'
INDEX='index of 3 platforms: by tag, by digest'
BIG='a layer of 300 MB'
MANY='eight pushes at once, all pullable'
AGAIN='push again, mount into another repository'
DELETE='delete, then 404'
LISTS='catalog and tag list'
SCENARIOS=("$ROUND_TRIP" "$SCHEMA2" "$INDEX" "$BIG" "$MANY" "$AGAIN" "$DELETE" "$LISTS")

IMAGES=$WORK/images
LAYERS=$WORK/layers

make_images() {
    local i
    mkdir -p "$LAYERS" "$IMAGES"
    layer_make "$LAYERS/base" base 4000000
    layer_make "$LAYERS/common" common 1000000
    layer_make "$LAYERS/top" top 200000
    layer_make "$LAYERS/big" big 300000000
    make_image "$IMAGES/one" local/one:latest amd64 "$LAYERS/base" "$LAYERS/common" "$LAYERS/top"
    make_image "$IMAGES/big" local/big:latest amd64 "$LAYERS/big"
    make_index "$IMAGES/index" local/index:latest "$LAYERS/common"
    for i in 1 2 3 4 5 6 7 8; do
        layer_make "$LAYERS/own$i" "own $i" 500000
        make_image "$IMAGES/many$i" "local/many$i:latest" amd64 "$LAYERS/base" "$LAYERS/common" "$LAYERS/own$i"
    done
}

# image_archive NAME [ARCHITECTURE]: what `docker save` would write, made once.
image_archive() {
    local name=$1${2:+-$2}
    local file=$IMAGES/$name.tar
    [[ -e $file ]] || skopeo_ --override-os linux --override-arch "${2:-amd64}" \
        copy -q "oci:$IMAGES/$1:latest" "docker-archive:$file:local/$name:latest" >&2
    echo "$file"
}

# child_config NAME ARCHITECTURE: the image id of one platform of an index.
child_config() {
    local blobs=$IMAGES/$1/blobs/sha256 root child
    root=$(root_digest "$IMAGES/$1")
    child=$(jq -r --arg a "$2" '.manifests[] | select(.platform.architecture == $a).digest' "$blobs/${root#sha256:}")
    jq -r .config.digest "$blobs/${child#sha256:}"
}

# remote_digest REPOSITORY [REFERENCE]: of the bytes that the registry serves, and the same in its header.
remote_digest() {
    local url=http://$HOST/v2/$1/manifests/${2:-latest} digest
    digest=$(hash_of "$url")
    expect 'Docker-Content-Digest' "$digest" "$(curl -fsSI -H "Accept: $ACCEPT" "$url" | tr -d '\r' |
        sed -n 's/^docker-content-digest: //Ip')" >&2
    echo "$digest"
}

expect_gone() {
    expect "GET $1 $2" 404 "$(status_of "http://$HOST/v2/$1/manifests/$2")"
}

# --- docker -----------------------------------------------------------------------------------------------------------

# docker_push NAME REPOSITORY: the digest that docker prints is the one that is served.
docker_push() {
    docker_ tag "local/$1:latest" "$HOST/$2:latest"
    docker_ push "$HOST/$2:latest" | tee "$WORK/push.$1"
    expect 'digest that docker prints' "$(remote_digest "$2")" \
        "$(sed -n 's/^latest: digest: \(sha256:[0-9a-f]*\) size.*/\1/p' "$WORK/push.$1")"
}

# docker_round_trip NAME REPOSITORY
docker_round_trip() {
    local id digest
    docker_clean
    docker_ load -q -i "$(image_archive "$1")"
    id=$(docker_id "local/$1:latest")
    expect 'id of what was loaded' "$(config_digest "$IMAGES/$1")" "$id"
    docker_push "$1" "$2"
    digest=$(remote_digest "$2")
    docker_clean
    docker_ pull "$HOST/$2:latest"
    expect 'id of what was pulled' "$id" "$(docker_id "$HOST/$2:latest")"
    docker_clean
    docker_ pull "$HOST/$2@$digest"
    expect 'id of what was pulled by digest' "$id" "$(docker_id "$HOST/$2@$digest")"
    docker_clean
}

docker_index() {
    local architecture names=() digest
    docker_clean
    for architecture in amd64 arm64 arm; do
        docker_ load -q -i "$(image_archive index "$architecture")"
        docker_ tag "local/index-$architecture:latest" "$HOST/docker/index:$architecture"
        docker_ push -q "$HOST/docker/index:$architecture"
        names+=("$HOST/docker/index:$architecture")
    done
    docker_ manifest create --insecure "$HOST/docker/index:latest" "${names[@]}"
    docker_ manifest push --insecure "$HOST/docker/index:latest"
    digest=$(remote_digest docker/index)
    for architecture in amd64 arm64 arm; do
        docker_clean
        docker_ pull --platform "linux/$architecture" "$HOST/docker/index:latest"
        expect "$architecture by tag" "$(child_config index "$architecture")" "$(docker_id "$HOST/docker/index:latest")"
        docker_clean
        docker_ pull --platform "linux/$architecture" "$HOST/docker/index@$digest"
        expect "$architecture by digest" "$(child_config index "$architecture")" "$(docker_id "$HOST/docker/index@$digest")"
    done
}

docker_many() {
    local i pids=()
    docker_clean
    for i in 1 2 3 4 5 6 7 8; do
        docker_ load -q -i "$(image_archive "many$i")"
    done
    for i in 1 2 3 4 5 6 7 8; do
        docker_push "many$i" "docker/many$i" &
        pids+=($!)
    done
    wait_all "${pids[@]}"
    docker_clean
    pids=()
    for i in 1 2 3 4 5 6 7 8; do
        docker_ pull -q "$HOST/docker/many$i:latest" &
        pids+=($!)
    done
    wait_all "${pids[@]}"
    for i in 1 2 3 4 5 6 7 8; do
        expect "id of many$i" "$(config_digest "$IMAGES/many$i")" "$(docker_id "$HOST/docker/many$i:latest")"
    done
}

docker_again() {
    docker_clean
    docker_ load -q -i "$(image_archive one)"
    docker_push one docker/again
    docker_push one docker/again
    expect 'layers that exist' 3 "$(grep -c 'Layer already exists' "$WORK/push.one")"
    docker_push one docker/mounted
    expect 'layers mounted' 3 "$(grep -c 'Mounted from docker/' "$WORK/push.one")"
    docker_clean
    docker_ pull "$HOST/docker/mounted:latest"
    expect 'id' "$(config_digest "$IMAGES/one")" "$(docker_id "$HOST/docker/mounted:latest")"
}

run_docker() {
    docker_start
    scenario docker "$ROUND_TRIP" docker_round_trip one docker/one
    scenario docker "$INDEX" docker_index
    scenario docker "$BIG" docker_round_trip big docker/big
    scenario docker "$MANY" docker_many
    scenario docker "$AGAIN" docker_again
}

# --- podman -----------------------------------------------------------------------------------------------------------

podman_push() { podman_ push --tls-verify=false "docker.io/local/$1:latest" "docker://$HOST/$2:latest"; }
# podman_pull REFERENCE [OPTION...]
podman_pull() { podman_ pull -q --tls-verify=false "${@:2}" "$HOST/$1"; }
podman_clean() {
    podman_ rmi -a -f
    expect 'images left' '' "$(podman_ images -aq)"
}
podman_load() { podman_ load -q -i "$(image_archive "$@")"; }

podman_round_trip() {
    local digest
    podman_clean
    podman_load "$1"
    podman_push "$1" "$2"
    digest=$(remote_digest "$2")
    podman_clean
    podman_pull "$2:latest"
    expect 'id of what was pulled' "$(config_digest "$IMAGES/$1")" "$(podman_id "$HOST/$2:latest")"
    podman_clean
    podman_pull "$2@$digest"
    expect 'id of what was pulled by digest' "$(config_digest "$IMAGES/$1")" "$(podman_id "$HOST/$2@$digest")"
}

podman_index() {
    local architecture digest
    podman_clean
    podman_ manifest create local/list
    for architecture in amd64 arm64 arm; do
        podman_load index "$architecture"
        podman_ manifest add --os linux --arch "$architecture" local/list "containers-storage:docker.io/local/index-$architecture:latest"
    done
    podman_ manifest push --all --tls-verify=false local/list "docker://$HOST/podman/index:latest"
    digest=$(remote_digest podman/index)
    for architecture in amd64 arm64 arm; do
        podman_clean
        podman_pull "podman/index:latest" --arch "$architecture"
        expect "$architecture by tag" "$(child_config index "$architecture")" "$(podman_id "$HOST/podman/index:latest")"
        podman_clean
        podman_pull "podman/index@$digest" --arch "$architecture"
        expect "$architecture by digest" "$(child_config index "$architecture")" "$(podman_id "$HOST/podman/index@$digest")"
    done
}

podman_many() {
    local i pids=()
    podman_clean
    for i in 1 2 3 4 5 6 7 8; do podman_load "many$i"; done
    for i in 1 2 3 4 5 6 7 8; do
        podman_push "many$i" "podman/many$i" &
        pids+=($!)
    done
    wait_all "${pids[@]}"
    podman_clean
    pids=()
    for i in 1 2 3 4 5 6 7 8; do
        podman_pull "podman/many$i:latest" &
        pids+=($!)
    done
    wait_all "${pids[@]}"
    for i in 1 2 3 4 5 6 7 8; do
        expect "id of many$i" "$(config_digest "$IMAGES/many$i")" "$(podman_id "$HOST/podman/many$i:latest")"
    done
}

podman_again() {
    local before
    podman_clean
    podman_load one
    podman_push one podman/again
    before=$(remote_digest podman/again)
    podman_push one podman/again
    expect 'digest after the second push' "$before" "$(remote_digest podman/again)"
    podman_push one podman/mounted
    podman_clean
    podman_pull "podman/mounted:latest"
    expect 'id' "$(config_digest "$IMAGES/one")" "$(podman_id "$HOST/podman/mounted:latest")"
}

podman_lists() {
    podman_ search --tls-verify=false --limit 100 --format '{{.Name}}' "$HOST/" | grep -x "$HOST/podman/one"
    expect 'tags' "NAME TAG $HOST/podman/one latest" \
        "$(podman_ search --tls-verify=false --list-tags "$HOST/podman/one" | xargs)"
}

run_podman() {
    need podman
    podman_ --version
    scenario podman "$ROUND_TRIP" podman_round_trip one podman/one
    scenario podman "$INDEX" podman_index
    scenario podman "$BIG" podman_round_trip big podman/big
    scenario podman "$MANY" podman_many
    scenario podman "$AGAIN" podman_again
    scenario podman "$LISTS" podman_lists
}

# --- skopeo -----------------------------------------------------------------------------------------------------------

skopeo_convert() { skopeo_ copy --src-tls-verify=false --dest-tls-verify=false "$@"; }
# Otherwise skopeo may replace a layer by one that another tool pushed, compressed differently but with the same content:
# it shares a memory of such layers with podman.
skopeo_copy() { skopeo_convert --preserve-digests "$@"; }

# skopeo_pulled NAME SOURCE [OPTION...]: into an empty layout; every blob and the root have the digests of what was pushed.
skopeo_pulled() {
    local dir
    dir=$(mktemp -d "$WORK/pulled.XXXXXX")
    skopeo_copy -q "${@:3}" "docker://$HOST/$2" "oci:$dir:latest"
    expect 'digest of what was pulled' "$(root_digest "$IMAGES/$1")" "$(root_digest "$dir")"
    layout_sound "$dir"
    rm -r "$dir"
}

skopeo_round_trip() {
    skopeo_copy "oci:$IMAGES/$1:latest" "docker://$HOST/$2:latest"
    expect 'digest of what is served' "$(root_digest "$IMAGES/$1")" "$(remote_digest "$2")"
    skopeo_pulled "$1" "$2:latest"
    skopeo_pulled "$1" "$2@$(root_digest "$IMAGES/$1")"
}

skopeo_schema2() {
    local dir=$WORK/schema2
    skopeo_convert --format v2s2 "oci:$IMAGES/one:latest" "docker://$HOST/skopeo/schema2:latest"
    skopeo_copy "docker://$HOST/skopeo/schema2:latest" "dir:$dir"
    expect 'media type' application/vnd.docker.distribution.manifest.v2+json "$(jq -r .mediaType "$dir/manifest.json")"
    expect 'id' "$(config_digest "$IMAGES/one")" "$(jq -r .config.digest "$dir/manifest.json")"
    expect 'digest' "$(remote_digest skopeo/schema2)" "$(digest_of "$dir/manifest.json")"
}

skopeo_index() {
    skopeo_copy --all "oci:$IMAGES/index:latest" "docker://$HOST/skopeo/index:latest"
    expect 'digest of what is served' "$(root_digest "$IMAGES/index")" "$(remote_digest skopeo/index)"
    skopeo_pulled index skopeo/index:latest --all
    skopeo_pulled index "skopeo/index@$(root_digest "$IMAGES/index")" --all
}

skopeo_many() {
    local i pids=()
    for i in 1 2 3 4 5 6 7 8; do
        skopeo_copy "oci:$IMAGES/many$i:latest" "docker://$HOST/skopeo/many$i:latest" &
        pids+=($!)
    done
    wait_all "${pids[@]}"
    pids=()
    for i in 1 2 3 4 5 6 7 8; do
        skopeo_pulled "many$i" "skopeo/many$i:latest" &
        pids+=($!)
    done
    wait_all "${pids[@]}"
}

skopeo_again() {
    skopeo_copy "oci:$IMAGES/one:latest" "docker://$HOST/skopeo/again:latest"
    # Without a terminal only the debug output tells what was sent.
    skopeo_copy --debug "oci:$IMAGES/one:latest" "docker://$HOST/skopeo/again:latest" 2>"$WORK/skopeo.again"
    expect 'uploads' 0 "$(grep -c 'msg="PATCH ' "$WORK/skopeo.again" || true)"
    skopeo_copy --debug "docker://$HOST/skopeo/again:latest" "docker://$HOST/skopeo/mounted:latest" 2>"$WORK/skopeo.copy"
    expect 'layers mounted' 3 "$(grep -c 'msg="... mount OK"' "$WORK/skopeo.copy")"
    skopeo_pulled one skopeo/mounted:latest
}

skopeo_delete() {
    local digest
    digest=$(root_digest "$IMAGES/one")
    skopeo_copy -q "oci:$IMAGES/one:latest" "docker://$HOST/skopeo/gone:latest"
    skopeo_ delete --tls-verify=false "docker://$HOST/skopeo/gone:latest"
    expect_gone skopeo/gone latest
    expect_gone skopeo/gone "$digest"
    refused skopeo_ inspect --tls-verify=false "docker://$HOST/skopeo/gone:latest"
    # What was deleted in one repository stays in the others, and can be pushed again.
    skopeo_pulled one skopeo/one:latest
    skopeo_copy -q "oci:$IMAGES/one:latest" "docker://$HOST/skopeo/gone:latest"
    skopeo_pulled one skopeo/gone:latest
}

skopeo_lists() {
    skopeo_copy -q "oci:$IMAGES/one:latest" "docker://$HOST/skopeo/tags:b"
    skopeo_copy -q "oci:$IMAGES/one:latest" "docker://$HOST/skopeo/tags:a"
    expect 'tags' 'a b' "$(skopeo_ list-tags --tls-verify=false "docker://$HOST/skopeo/tags" | jq -r '.Tags | join(" ")')"
    expect 'inspect' amd64 "$(skopeo_ inspect --tls-verify=false "docker://$HOST/skopeo/tags:a" | jq -r .Architecture)"
}

run_skopeo() {
    skopeo_ --version
    scenario skopeo "$ROUND_TRIP" skopeo_round_trip one skopeo/one
    scenario skopeo "$SCHEMA2" skopeo_schema2
    scenario skopeo "$INDEX" skopeo_index
    scenario skopeo "$BIG" skopeo_round_trip big skopeo/big
    scenario skopeo "$MANY" skopeo_many
    scenario skopeo "$AGAIN" skopeo_again
    scenario skopeo "$DELETE" skopeo_delete
    scenario skopeo "$LISTS" skopeo_lists
}

# --- containerd -------------------------------------------------------------------------------------------------------

ctr_import() {
    tar -C "$IMAGES/$1" -cf "$WORK/import.$1.tar" .
    ctr_ images import --all-platforms --no-unpack "$WORK/import.$1.tar"
    rm "$WORK/import.$1.tar"
}
ctr_push() { ctr_ images push --plain-http "$HOST/$2:latest" "local/$1:latest"; }
# The native snapshotter copies files and works on any file system: what is unpacked has hashed right.
ctr_pull() { ctr_ images pull --plain-http --snapshotter native "${@:2}" "$HOST/$1"; }
ctr_digest() { ctr_ images ls "name==$1" | awk 'NR == 2 { print $3 }'; }
ctr_clean() {
    local names
    mapfile -t names < <(ctr_ images ls -q)
    ((${#names[@]} == 0)) || ctr_ images rm --sync "${names[@]}"
    expect 'content left' '' "$(ctr_ content ls -q)"
}

ctr_round_trip() {
    local digest
    digest=$(root_digest "$IMAGES/$1")
    ctr_clean
    ctr_import "$1"
    ctr_push "$1" "$2"
    expect 'digest of what is served' "$digest" "$(remote_digest "$2")"
    ctr_clean
    ctr_pull "$2:latest"
    expect 'digest by tag' "$digest" "$(ctr_digest "$HOST/$2:latest")"
    ctr_clean
    ctr_pull "$2@$digest"
    expect 'digest by digest' "$digest" "$(ctr_digest "$HOST/$2@$digest")"
    ctr_clean
}

ctr_index() {
    local digest
    digest=$(root_digest "$IMAGES/index")
    ctr_clean
    ctr_import index
    ctr_push index ctr/index
    expect 'digest of what is served' "$digest" "$(remote_digest ctr/index)"
    ctr_clean
    ctr_pull ctr/index:latest --all-platforms
    expect 'digest by tag' "$digest" "$(ctr_digest "$HOST/ctr/index:latest")"
    # 1 index, 3 manifests, 3 configs, 1 common layer, 3 layers
    expect 'objects pulled' 11 "$(ctr_ content ls -q | wc -l)"
    ctr_clean
    ctr_pull "ctr/index@$digest" --platform linux/arm64
    expect 'digest by digest' "$digest" "$(ctr_digest "$HOST/ctr/index@$digest")"
}

ctr_many() {
    local i pids=()
    ctr_clean
    for i in 1 2 3 4 5 6 7 8; do ctr_import "many$i"; done
    for i in 1 2 3 4 5 6 7 8; do
        ctr_push "many$i" "ctr/many$i" >"$WORK/push.$i" 2>&1 &
        pids+=($!)
    done
    wait_all "${pids[@]}" || { tail -n 3 "$WORK"/push.? && return 1; }
    ctr_clean
    pids=()
    for i in 1 2 3 4 5 6 7 8; do
        ctr_pull "ctr/many$i:latest" >"$WORK/pull.$i" 2>&1 &
        pids+=($!)
    done
    wait_all "${pids[@]}" || { tail -n 3 "$WORK"/pull.? && return 1; }
    for i in 1 2 3 4 5 6 7 8; do
        expect "digest of many$i" "$(root_digest "$IMAGES/many$i")" "$(ctr_digest "$HOST/ctr/many$i:latest")"
    done
}

ctr_again() {
    local digest
    digest=$(root_digest "$IMAGES/one")
    ctr_clean
    ctr_import one
    ctr_push one ctr/again
    ctr_push one ctr/again
    ctr_clean
    # After a pull containerd knows where each layer came from, and asks for a mount when it pushes elsewhere.
    ctr_pull ctr/again:latest
    ctr_ images push --plain-http "$HOST/ctr/mounted:latest" "$HOST/ctr/again:latest"
    expect 'digest' "$digest" "$(remote_digest ctr/mounted)"
    ctr_clean
    ctr_pull ctr/mounted:latest
}

run_containerd() {
    containerd_start
    containerd --version
    scenario containerd "$ROUND_TRIP" ctr_round_trip one ctr/one
    scenario containerd "$INDEX" ctr_index
    scenario containerd "$BIG" ctr_round_trip big ctr/big
    scenario containerd "$MANY" ctr_many
    scenario containerd "$AGAIN" ctr_again
}

# --- crane ------------------------------------------------------------------------------------------------------------

crane_() { timeout 300 crane --insecure "$@"; }

crane_pulled() {
    local dir
    dir=$(mktemp -d "$WORK/pulled.XXXXXX")
    crane_ pull --format oci "$HOST/$2" "$dir"
    expect 'digest of what was pulled' "$(root_digest "$IMAGES/$1")" "$(root_digest "$dir")"
    layout_sound "$dir"
    rm -r "$dir"
}

crane_round_trip() {
    crane_ push "$IMAGES/$1" "$HOST/$2:latest"
    expect 'digest of what is served' "$(root_digest "$IMAGES/$1")" "$(remote_digest "$2")"
    expect 'crane digest' "$(root_digest "$IMAGES/$1")" "$(crane_ digest "$HOST/$2:latest")"
    crane_ validate --remote "$HOST/$2:latest"
    crane_pulled "$1" "$2:latest"
    crane_pulled "$1" "$2@$(root_digest "$IMAGES/$1")"
}

crane_many() {
    local i pids=()
    for i in 1 2 3 4 5 6 7 8; do
        crane_ push "$IMAGES/many$i" "$HOST/crane/many$i:latest" &
        pids+=($!)
    done
    wait_all "${pids[@]}"
    pids=()
    for i in 1 2 3 4 5 6 7 8; do
        crane_pulled "many$i" "crane/many$i:latest" &
        pids+=($!)
    done
    wait_all "${pids[@]}"
}

crane_again() {
    crane_ push "$IMAGES/one" "$HOST/crane/again:latest"
    crane_ push "$IMAGES/one" "$HOST/crane/again:latest"
    crane_ copy -v "$HOST/crane/again:latest" "$HOST/crane/mounted:latest" >"$WORK/crane.copy" 2>&1
    # Within a registry nothing is uploaded: each layer and the config are mounted.
    expect 'mounts asked for' 4 "$(grep -c -- '--> POST .*mount=' "$WORK/crane.copy")"
    expect 'uploads' 0 "$(grep -c -- '--> PATCH ' "$WORK/crane.copy" || true)"
    crane_pulled one crane/mounted:latest
}

crane_delete() {
    local digest
    digest=$(root_digest "$IMAGES/one")
    crane_ push "$IMAGES/one" "$HOST/crane/gone:latest"
    crane_ delete "$HOST/crane/gone@$digest"
    expect_gone crane/gone latest
    expect_gone crane/gone "$digest"
    refused crane_ digest "$HOST/crane/gone:latest"
    crane_pulled one crane/one:latest
    crane_ push "$IMAGES/one" "$HOST/crane/gone:latest"
    crane_pulled one crane/gone:latest
}

crane_lists() {
    local tag
    for tag in v2 v10 a latest; do crane_ push "$IMAGES/one" "$HOST/crane/tags:$tag"; done
    expect 'tags' 'a latest v10 v2' "$(crane_ ls "$HOST/crane/tags" | tr '\n' ' ' | sed 's/ $//')"
    crane_ catalog "$HOST" >"$WORK/catalog"
    grep -x crane/tags "$WORK/catalog"
    grep -x crane/one "$WORK/catalog"
    expect 'catalog in order' "$(LC_ALL=C sort "$WORK/catalog")" "$(cat "$WORK/catalog")"
}

run_crane() {
    need crane
    echo "crane $(crane_ version)"
    scenario crane "$ROUND_TRIP" crane_round_trip one crane/one
    scenario crane "$INDEX" crane_round_trip index crane/index
    scenario crane "$BIG" crane_round_trip big crane/big
    scenario crane "$MANY" crane_many
    scenario crane "$AGAIN" crane_again
    scenario crane "$DELETE" crane_delete
    scenario crane "$LISTS" crane_lists
}

# --- all of it --------------------------------------------------------------------------------------------------------

table() {
    local client what row
    echo
    printf '%-45s' ''
    printf '%-12s' "${CLIENTS[@]}"
    echo
    for what in "${SCENARIOS[@]}"; do
        printf '%-45s' "$what"
        for client in "${CLIENTS[@]}"; do
            row=$(awk -F '\t' -v c="$client" -v w="$what" '$2 == c && $3 == w { print $1 }' "$RESULTS")
            printf '%-12s' "${row:--}"
        done
        echo
    done
    echo
}

((EUID == 0)) || die 'the engines need root'
need curl jq ss openssl tar gzip skopeo
make_images
registry_start "$WORK/data"
for client in "${CLIENTS[@]}"; do
    "run_$client"
done
table
summary
