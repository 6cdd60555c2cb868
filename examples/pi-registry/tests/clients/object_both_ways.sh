#!/usr/bin/env bash
# One bucket of MinIO, served in turn by the real docker-registry (distribution 2.8) and by the registry under test: each serves
# what the other wrote, layers of more than one part too, and docker-registry's garbage collection leaves what has a tag.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=engines.sh
source "$CLIENTS_DIR/engines.sh"
# shellcheck source=object_lib.sh
source "$CLIENTS_DIR/object_lib.sh"
# shellcheck source=both_ways_lib.sh
source "$CLIENTS_DIR/both_ways_lib.sh"
need curl jq ss openssl tar gzip skopeo crane docker-registry

# --- who serves -----------------------------------------------------------------------------------------------------------------

# serve ours|theirs: not within a scenario, whose shell could not tell the others which process to stop.
serve() {
    SERVING=$1
    [[ -z $REGISTRY_PID ]] || registry_stop
    case $1 in
    ours) object_start REGISTRY_HTTP_SECRET="$SECRET" ;;
    theirs) OURS='' REGISTRY_BIN=peer object_start REGISTRY_HTTP_SECRET="$SECRET" ;;
    esac
}

remove_folder() {
    local key
    keys "$ROOT/$1/" | while read -r key; do key_delete "$key"; done
}

# For 2.8, an upload without data is its own failure.
REFUSED[theirs]='[45]..'

# --- what is there ----------------------------------------------------------------------------------------------------------------

# list_paths OUT: every manifest and every blob that the bucket ever had, under each repository, whether it belongs there or not,
# and every tag, also those that were deleted.
list_paths() {
    local repository
    keys "$ROOT/repositories/" | sed "s|^$ROOT/repositories/||" >"$WORK/keys"
    touch "$WORK/manifests" "$WORK/blobs"
    sed -n 's|.*/_manifests/revisions/sha256/\([0-9a-f]*\)/link$|sha256:\1|p' "$WORK/keys" | sort -u -o "$WORK/manifests" - "$WORK/manifests"
    sed -n 's|.*/_layers/sha256/\([0-9a-f]*\)/link$|sha256:\1|p' "$WORK/keys" | sort -u -o "$WORK/blobs" - "$WORK/blobs"
    sed -n 's|/_manifests/.*||p' "$WORK/keys" | sort -u | while read -r repository; do
        sed "s|^|$repository/manifests/|" "$WORK/manifests"
        sed "s|^|$repository/blobs/|" "$WORK/blobs"
        printf "$repository/manifests/%s\n" gone old older byhash latest
        sed -n "s|^$repository/_manifests/tags/\([^/]*\)/.*|$repository/manifests/\1|p" "$WORK/keys"
    done | sort -u >"$1"
}

# lists_of_tags OUT: 2.8 also lists a repository that has only layers, which in a bucket is one whose last manifest was deleted.
LISTS=lists_of_tags
lists_of_tags() {
    lists "$1.all"
    sed -n 's/: \[".*//p' "$1.all" | sort | cat - <(grep ': \["' "$1.all") >"$1"
}

# keys_are_clean: every link is a digest, every tag has one, every upload a date; the hash of every blob is its name.
keys_are_clean() {
    local key value bad=0
    keys >"$WORK/keys"
    while read -r key; do
        value=$(key_get "$key")
        case $key in
        */link) grep -qzxE 'sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}' <(printf '%s' "$value") ;;
        */startedat) grep -qzxE '[0-9-]{10}T[0-9:]{8}Z' <(printf '%s' "$value") ;;
        esac || { echo "$key has '${value:0:100}'" && bad=1; }
    done < <(grep -e '/link$' -e '/startedat$' "$WORK/keys")
    while read -r key; do
        grep -qxF "$key/current/link" "$WORK/keys" || { echo "no $key/current/link" && bad=1; }
    done < <(sed -n 's|\(/_manifests/tags/[^/]*\)/.*|\1|p' "$WORK/keys" | sort -u)
    while read -r key; do
        grep -qxF "$key/startedat" "$WORK/keys" || { echo "no $key/startedat" && bad=1; }
    done < <(sed -n 's|\(/_uploads/[^/]*\)/.*|\1|p' "$WORK/keys" | sort -u)
    while read -r key; do
        value=${key%/data}
        [[ $(key_get "$key" | sha256sum) == "${value##*/}  -" ]] || { echo "$key has another hash" && bad=1; }
    done < <(grep "^$ROOT/blobs/sha256/" "$WORK/keys")
    ((bad == 0))
}

# big_push NAME: an image with a layer of 55 MB, which 2.8 copies in parts; what is small is beside it.
big_push() {
    layer_make "$LAYERS/$1" "$1" 55000000
    make_image "$IMAGES/$1" "local/$1:latest" amd64 "$LAYERS/base" "$LAYERS/$1"
    push "$1" "big/$1:latest"
    noise "$1 alone" 60000000 >"$WORK/alone.$1"
    expect 'in one request' 201 "$(push_blob "big/$1" "$WORK/alone.$1" "$(digest_of "$WORK/alone.$1")")"
}

# big_pull NAME: whole and in parts.
big_pull() {
    local digest at
    digest=$(digest_of "$WORK/alone.$1")
    at=http://$HOST/v2/big/$1/blobs/$digest
    crane_ --insecure validate --remote "$HOST/big/$1:latest"
    expect 'the blob' "$digest" "$(hash_of "$at")"
    cmp <(curl -fsS -r 20000000-41000000 "$at") <(tail -c +20000001 "$WORK/alone.$1" | head -c 21000001)
}

# collect: docker-registry's own.
collect() {
    store_settings
    env -u REGISTRY_BIN "${STORE[@]}" docker-registry garbage-collect "$WORK/config.yml" >"$WORK/collected" 2>&1 || {
        tail -n 5 "$WORK/collected" && return 1
    }
    echo "$(grep -c 'blob eligible for deletion' "$WORK/collected" || true) blobs fall"
}

# --- all of it ---------------------------------------------------------------------------------------------------------------------

make_images
minio_start plain
bucket_make "$BUCKET"

serve theirs
scenario first 'docker-registry fills the bucket' fill_first
scenario first 'with large layers too' big_push theirs
list_paths "$WORK/paths"
scenario first 'what it serves is written down' record "$WORK/paths" "$WORK/first.served"
scenario first 'so is what it lists' lists_of_tags "$WORK/first.listed"
keys >"$WORK/first.keys"
echo "$(wc -l <"$WORK/paths") paths, $(grep -c '^GET .* 200 ' "$WORK/first.served") of them there; $(wc -l <"$WORK/first.keys") objects"

serve ours
scenario in-place 'every tag and digest, there or not, byte for byte' serves_like first.served
scenario in-place 'the same catalog and tags' lists_like first.listed
scenario in-place 'what was deleted is 404' gone_are_gone
scenario in-place 'a real client pulls every tag' all_tags_pull
scenario in-place 'the large layers, whole and in part' big_pull theirs
keys | grep -v '/_referrers/' >"$WORK/now.keys"
scenario in-place 'reading has changed nothing' same keys "$WORK/first.keys" "$WORK/now.keys"

scenario more 'the registry fills it further' fill_more
scenario more 'with large layers too' big_push ours
list_paths "$WORK/paths"
scenario more 'what it serves is written down' record "$WORK/paths" "$WORK/mixed.served"
scenario more 'so is what it lists' lists_of_tags "$WORK/mixed.listed"
scenario more 'no bad link, no tag without one, no wrong blob, no upload without a date' keys_are_clean

serve theirs
scenario back 'docker-registry serves all of it, byte for byte' serves_like mixed.served
scenario back 'and lists the same' lists_like mixed.listed
scenario back 'a real client pulls every tag from it' all_tags_pull
scenario back 'the large layers, whole and in part' big_pull ours
scenario back 'nothing in its log is an error' expect errors '' \
    "$(grep -a 'level=error' "$WORK/registry.log" | grep -v -e 'unknown' -e 'not found' | head -n 3 || true)"

for from in theirs ours; do
    to=ours who="docker-registry's, gone on with by the registry"
    [[ $from == theirs ]] || to=theirs who="the registry's, gone on with by docker-registry"
    serve "$from"
    begin_uploads "$from"
    serve "$to"
    : >"$WORK/hands"
    for style in "${STYLES[@]}"; do
        scenario uploads "$who: $style" go_on "$style"
    done
    paste -s -d ' ' "$WORK/hands"
done
registry_stop

scenario collect "docker-registry's garbage collection of the bucket" collect
serve ours
scenario collect 'every tag pulls after it' all_tags_pull
scenario collect 'what fell can be pushed again' push gone1 lib/untagged:gone
scenario collect 'and pulled' crane_ --insecure validate --remote "$HOST/lib/untagged:gone"
summary
