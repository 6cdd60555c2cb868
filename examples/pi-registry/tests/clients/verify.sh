#!/usr/bin/env bash
# A volume of the real docker-registry (distribution 2.8), damaged in many ways: what verify says of each, what a repair does,
# real clients that push the broken image again, and a pull of everything that is whole.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=engines.sh
source "$CLIENTS_DIR/engines.sh"
# shellcheck source=both_ways_lib.sh
source "$CLIENTS_DIR/both_ways_lib.sh"
need curl jq ss openssl tar gzip crane skopeo docker dockerd containerd docker-registry setpriv

PROGRAM=${REGISTRY_BIN:-${CARGO_TARGET_DIR:-$REPO_DIR/target}/release/pi-registry}
[[ -x $PROGRAM ]] || die "verify is a command of pi-registry: $PROGRAM is no program"

# --- who serves ---------------------------------------------------------------------------------------------------------

# serve ours|theirs DIR
serve() {
    # shellcheck disable=SC2034 # for both_ways_lib.sh
    SERVING=$1
    [[ -z $REGISTRY_PID ]] || registry_stop
    case $1 in
    ours) registry_start "$2" REGISTRY_HTTP_SECRET="$SECRET" ;;
    theirs) REGISTRY_BIN=peer registry_start "$2" REGISTRY_HTTP_SECRET="$SECRET" ;;
    esac
}
remove_folder() { rm -r "${DATA:?}/docker/registry/v2/$1"; }

# verify DIR CODE [OPTION...]: the exit code must be that; the report is left in $WORK/report.json.
verify() {
    local dir=$1 expected=$2 status=0
    shift 2
    printf 'version: 0.1\nstorage: {filesystem: {rootdirectory: "%s"}}\n' "$dir" >"$WORK/verify.yml"
    env -u REGISTRY_BIN timeout 120 "$PROGRAM" verify --rate none --json "$@" "$WORK/verify.yml" >"$WORK/report.json" || status=$?
    jq -r '.problems[] | "\(.kind) \(.needs) \(.path): \(.detail) \(.hurts | join(",")) \(.repaired) \(.not_repaired)"' "$WORK/report.json"
    expect "exit code of verify $*" "$expected" "$status"
}

# found KIND NEEDS HURTS: the report has one problem, and it is that.
found() {
    expect 'problems' "$(printf '%s\t%s\t%s' "$@")" \
        "$(jq -r '.problems[] | select(.note | not) | [.kind, .needs, (.hurts | join(" "))] | @tsv' "$WORK/report.json")"
}

# --- trees --------------------------------------------------------------------------------------------------------------

# Our copy of the tree, to be damaged.
copy() { rm -rf "$WORK/copy" && cp -a "$WORK/tree" "$WORK/copy"; }
V2=$WORK/copy/docker/registry/v2
data_of() { echo "$V2/blobs/sha256/${1:7:2}/${1#sha256:}/data"; }
manifest_blob() { jq -r "$2" "$IMAGES/$1/blobs/sha256/$(root_digest "$IMAGES/$1" | cut -d : -f 2)"; }
flip() { printf '\x5a' | dd of="$1" bs=1 seek=100 conv=notrunc status=none; }

# Every tag of what is served can be pulled, and verify has nothing to say.
whole() {
    # shellcheck disable=SC2119 # of all repositories
    all_tags_pull
    verify "$WORK/copy" 0
    expect 'problems left' 0 "$(jq '[.problems[] | select(.note | not)] | length' "$WORK/report.json")"
}

fill() {
    fill_first
    docker_ load -q -i "$(archive "$IMAGES/docker" local/docker:latest)"
    docker_ tag local/docker:latest "$HOST/lib/docker:v1"
    docker_ push -q "$HOST/lib/docker:v1"
    # A note about an image, as signatures are.
    subject_manifest
    expect 'config of the artifact' 201 "$(push_blob lib/oci "$WORK/empty" "$(digest_of "$WORK/empty")")"
    expect 'artifact with a subject' 201 "$(put_manifest lib/oci "$(digest_of "$WORK/subject")" "$WORK/subject")"
}

# collect DIR [OPTION...]: docker-registry's own.
collect() {
    printf 'version: 0.1\nstorage: {filesystem: {rootdirectory: "%s"}, delete: {enabled: true}}\n' "$1" >"$WORK/collect.yml"
    env -u REGISTRY_BIN docker-registry garbage-collect "${@:2}" "$WORK/collect.yml" >"$WORK/collected" 2>&1
}

healthy() {
    copy
    verify "$WORK/copy" 0
    expect 'problems' 0 "$(jq '[.problems[] | select(.note | not)] | length' "$WORK/report.json")"
    verify "$WORK/copy" 0 --quick
    verify "$WORK/copy" 0 --repair
    diff -r "$WORK/tree" "$WORK/copy"
}
# Links to what was collected are left behind; a repair puts them aside, and docker-registry serves all the same.
collected() {
    copy
    collect "$WORK/copy"
    verify "$WORK/copy" 0
    expect 'dead links' true "$(jq '[.problems[] | select(.kind == "link-dead")] | length > 0' "$WORK/report.json")"
    verify "$WORK/copy" 0 --repair
    verify "$WORK/copy" 0
    expect 'dead links' 0 "$(jq '[.problems[] | select(.kind == "link-dead")] | length' "$WORK/report.json")"
}

# --- damage --------------------------------------------------------------------------------------------------------------

# With -m it takes the children of indexes, which have no tag, and their layers.
collected_children() {
    collect "$WORK/copy" --delete-untagged
    verify "$WORK/copy" 1 --repair
    expect 'push again' 'lib/index:latest lib/list:latest' "$(jq -r '.push | join(" ")' "$WORK/report.json")"
    push index lib/index:latest
    push_schema2 index lib/list:latest
}

# A bit of a layer that docker pushed. The registry runs meanwhile, and must see what was done.
flipped_bit() {
    local layer
    layer=$(curl -fsS -H "Accept: $ACCEPT" "http://$HOST/v2/lib/docker/manifests/v1" | jq -r '.layers[-1].digest')
    flip "$(data_of "$layer")"
    sleep 3
    expect 'HEAD before' 200 "$(status_of -I "http://$HOST/v2/lib/docker/blobs/$layer")"
    verify "$WORK/copy" 1
    found blob-corrupt repair-then-push lib/docker:v1
    verify "$WORK/copy" 1 --repair
    found blob-corrupt push lib/docker:v1
    expect 'HEAD after' 404 "$(status_of -I "http://$HOST/v2/lib/docker/blobs/$layer")"
    verify "$WORK/copy" 1
    found blob-missing push lib/docker:v1
    docker_ push -q "$HOST/lib/docker:v1"
    expect 'the layer' "$layer" "$(hash_of "http://$HOST/v2/lib/docker/blobs/$layer")"
    docker_ image rm -f local/docker:latest "$HOST/lib/docker:v1" >/dev/null
    docker_ pull -q "$HOST/lib/docker:v1"
}

truncated_blob() {
    local layer child
    child=$(manifest_blob index '.manifests[1].digest')
    layer=$(jq -r '.layers[-1].digest' "$IMAGES/index/blobs/sha256/${child#sha256:}")
    truncate -s 1000 "$(data_of "$layer")"
    # A quick look sees that from the size. The same layer is in a Docker list.
    verify "$WORK/copy" 1 --quick
    found blob-corrupt repair-then-push 'lib/index:latest lib/list:latest'
    verify "$WORK/copy" 1 --repair
    found blob-corrupt push 'lib/index:latest lib/list:latest'
    push index lib/index:latest
}

# The power was cut while docker-registry wrote these.
empty_links() {
    local config
    config=$(manifest_blob one .config.digest)
    : >"$V2/repositories/lib/oci/_manifests/tags/v1/current/link"
    : >"$V2/repositories/a/b/c/d/_layers/sha256/${config#sha256:}/link"
    verify "$WORK/copy" 1
    expect 'problems' 'link-broken repair;link-broken repair' \
        "$(jq -r '[.problems[] | select(.note | not) | "\(.kind) \(.needs)"] | join(";")' "$WORK/report.json")"
    verify "$WORK/copy" 0 --repair
}

missing_child() {
    local child
    child=$(manifest_blob index '.manifests[2].digest')
    rm -r "$(dirname "$(data_of "$child")")" "$V2/repositories/lib/index/_manifests/revisions/sha256/${child#sha256:}"
    verify "$WORK/copy" 1 --repair
    found manifest-missing push lib/index:latest
    push index lib/index:latest
}

# One manifest that four repositories have; a push to one heals all.
damaged_manifest() {
    local digest hurts
    digest=$(root_digest "$IMAGES/one")
    hurts='a/b/c/d:latest lib/mounted:latest lib/oci:v1'
    flip "$(data_of "$digest")"
    verify "$WORK/copy" 1 --quick
    jq -e --arg h "$hurts" '[.problems[] | select(.kind == "blob-corrupt")][0].hurts - ($h | split(" ")) |
        map(select(contains("@") | not)) == []' "$WORK/report.json"
    verify "$WORK/copy" 1 --repair
    verify "$WORK/copy" 1
    expect 'kinds' manifest-missing "$(jq -r '[.problems[] | select(.note | not) | .kind] | unique | join(" ")' "$WORK/report.json")"
    crane --insecure push "$IMAGES/one" "$HOST/lib/oci:v1" 2>&1
}

strange_things() {
    echo mine >"$V2/repositories/lib/oci/README"
    mkfifo "$V2/repositories/lib/pipe" "$V2/blobs/sha256/pipe"
    ln -s /etc "$V2/repositories/lib/oci/_manifests/tags/etc"
    ln -s / "$V2/repositories/root"
    mkdir "$V2/blobs/lost+found"
    verify "$WORK/copy" 0 --repair
    jq -e '[.problems[] | select(.kind == "foreign")] | length == 6' "$WORK/report.json"
    [[ -p $V2/blobs/sha256/pipe && -L $V2/repositories/root && -e /etc/passwd ]]
}

# Where a FIFO stands in the place of bytes, a server that opens it would wait for ever.
fifo_for_bytes() {
    local path
    path=$(data_of "$(manifest_blob two '.layers[1].digest')")
    rm "$path"
    mkfifo "$path"
    verify "$WORK/copy" 1 --repair
    expect 'kind' blob-not-a-file "$(jq -r '[.problems[] | select(.note | not) | .kind] | join(" ")' "$WORK/report.json")"
    push two lib/oci:V2.0_x-y
}

# The referrers index is ours, so it is there once somebody has asked.
missing_referrer() {
    local subject note list entry
    subject=$(root_digest "$IMAGES/one")
    note=$(digest_of "$WORK/subject")
    list="http://$HOST/v2/lib/oci/referrers/$subject"
    expect 'referrers' "$note" "$(curl -fsS "$list" | jq -r '.manifests[].digest')"
    entry=$V2/repositories/lib/oci/_referrers/sha256/${subject#sha256:}/sha256/${note#sha256:}/link
    rm "$entry"
    verify "$WORK/copy" 1
    found referrer-missing repair lib/oci:v1
    verify "$WORK/copy" 0 --repair
    expect 'referrers' "$note" "$(curl -fsS "$list" | jq -r '.manifests[].digest')"
}

wrong_size() {
    local digest
    jq -c '.layers[0].size += 1' "$(manifest_file five)" >"$WORK/wrong"
    expect 'a manifest with a wrong size' 201 "$(put_manifest a/b wrong "$WORK/wrong")"
    digest=$(digest_of "$WORK/wrong")
    verify "$WORK/copy" 1 --repair
    found size-mismatch push a/b:wrong
    expect 'delete' 202 "$(status_of -X DELETE "http://$HOST/v2/a/b/manifests/$digest")"
}

# with DAMAGE: damages a copy that is served, and heals it.
with() {
    "$1"
    whole
}

# --- somebody else's tree --------------------------------------------------------------------------------------------------

# What root repairs must stay writable for the user whose registry it is.
as_root() {
    local config
    config=$(manifest_blob one .config.digest)
    rm -r "$V2/repositories/lib/oci/_layers" "$V2/repositories/a/b/c/d/_layers/sha256/${config#sha256:}"
    : >"$V2/repositories/lib/oci/_manifests/tags/v1/current/link"
    flip "$(data_of "$(manifest_blob six '.layers[1].digest')")"
    chown -R 12345:12345 "$WORK/copy"
    verify "$WORK/copy" 1 --repair
    expect 'files that are not of the owner' '' "$(find "$WORK/copy" ! -user 12345)"
}
as_another() {
    push six lib/later:gone
    push two lib/oci:new
    whole
}

# ---------------------------------------------------------------------------------------------------------------------------

make_images
layer_make "$LAYERS/docker" docker 300000
make_image "$IMAGES/docker" local/docker:latest amd64 "$LAYERS/docker"
docker_start
serve theirs "$WORK/tree"
scenario first 'docker-registry is filled, by docker too' fill
registry_stop

scenario whole 'its tree is healthy, and is not touched' healthy
scenario whole 'so it is after its garbage collection' collected

for damage in collected_children flipped_bit truncated_blob empty_links missing_child damaged_manifest strange_things fifo_for_bytes \
    missing_referrer wrong_size; do
    copy
    serve ours "$WORK/copy"
    scenario damage "${damage//_/ }: found, repaired, pushed again, pulled whole" with "$damage"
    registry_stop
done

# docker-registry after a repair of ours.
copy
flip "$(data_of "$(manifest_blob six '.layers[1].digest')")"
scenario theirs 'a repair of what docker-registry will serve' verify "$WORK/copy" 1 --repair
serve theirs "$WORK/copy"
scenario theirs 'a push to docker-registry heals it' push six lib/later:gone
registry_stop
serve ours "$WORK/copy"
scenario theirs 'all of it is whole' whole
registry_stop

copy
scenario user "root repairs another user's tree" as_root
chmod 711 "$WORK"
cp "$PROGRAM" "$WORK/pi-registry"
REGISTRY_BIN="setpriv --reuid 12345 --regid 12345 --clear-groups $WORK/pi-registry $WORK/config.yml" serve ours "$WORK/copy"
scenario user 'that user goes on with it' as_another
registry_stop
summary
