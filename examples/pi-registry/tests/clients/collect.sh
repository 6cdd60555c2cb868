#!/usr/bin/env bash
# Garbage is collected beside a running registry, by another process: while real clients push what is just being
# removed, with kill -9 in the middle, with indexes and signatures, and in a volume of the real docker-registry
# (distribution 2.8).
#
#   ROUNDS=12  KILLS=8  SEED=1  collect.sh
#
# The long run has ROUNDS=200 KILLS=50. There is no grace period in any of it: pushes may be refused, but not lie.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=engines.sh
source "$CLIENTS_DIR/engines.sh"
# shellcheck source=both_ways_lib.sh
source "$CLIENTS_DIR/both_ways_lib.sh"
# shellcheck source=collect_lib.sh
source "$CLIENTS_DIR/collect_lib.sh"
need curl jq ss openssl tar gzip split crane skopeo oras docker dockerd containerd docker-registry

ROUNDS=${ROUNDS:-12}
KILLS=${KILLS:-8}

# config DIR: the name of a configuration for the data there.
config() {
    printf 'version: 0.1\nstorage: {filesystem: {rootdirectory: "%s"}, delete: {enabled: true}}\n' "$1" >"$1.yml"
    echo "$1.yml"
}

# collect DIR [OPTION...]: ours; fails also when something was kept since it could not be read.
collect() { "${COLLECT[@]}" "${@:2}" "$(config "$1")"; }

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

# Which blobs a tree has, and all that is read from it.
blobs_of() { (cd "$1/docker/registry/v2/blobs" && find . -type f | sort); }
files_of() { (cd "$1/docker/registry/v2" && find . -name data -o -name link | sort); }
aside_in() { find "$1" -name '*.aside'; }

# verified DIR: verify finds no problem in the tree.
verified() { env -u REGISTRY_BIN "$PROGRAM" verify "$(config "$1")"; }

# Afterwards one more collection leaves nothing but what the tags need.
only_what_is_tagged() {
    collect "$DATA" -m
    expect 'set aside' '' "$(aside_in "$DATA")"
    needed_blobs >"$WORK/needed"
    blobs_of "$DATA" | sed 's|/data$||; s|.*/||' | sort -u >"$WORK/there"
    same 'blobs' "$WORK/needed" "$WORK/there"
    verified "$DATA"
}

# --- kill -9 ----------------------------------------------------------------------------------------------------------

# Images that live, in repositories of which one has all the garbage.
fill_for_kills() {
    local began
    push_live
    garbage "$DATA"
    tar -C "$DATA" -cf "$WORK/full.tar" .
    # How long one takes that nothing disturbs, and what it leaves.
    began=${EPOCHREALTIME/./}
    collect "$DATA" -m -q
    echo $(((${EPOCHREALTIME/./} - began) / 1000)) >"$WORK/takes"
    files_of "$DATA" >"$WORK/files"
    expect 'blobs left' "$(wc -l <"$WORK/digests")" "$(blobs_of "$DATA" | wc -l)"
    live_is_whole
}

# refill: the garbage is there again, beside what is.
refill() { tar -C "$DATA" --skip-old-files -xf "$WORK/full.tar"; }

kill_collection() {
    kill_one
    aside_in "$DATA" >"$WORK/aside"
    echo "$STATUS $(wc -l <"$WORK/aside")" >>"$WORK/kills"
    live_is_whole
}

killed() {
    local i
    for ((i = 1; i <= KILLS; i++)); do
        refill
        kill_collection
        # Every third time another one is killed that finds what the first one has left.
        ((i % 3 != 0)) || kill_collection
        collect "$DATA" -m -q
        expect 'set aside' '' "$(aside_in "$DATA")"
        files_of "$DATA" >"$WORK/now"
        same 'files' "$WORK/files" "$WORK/now"
        live_is_whole
    done
    verified "$DATA"
}

# --- indexes, signatures ----------------------------------------------------------------------------------------------

# attach REPOSITORY[:TAG|@DIGEST] [OPTION...]: signs that, so to speak; prints the digest of the signature.
attach() {
    (cd "$WORK" && timeout 60 oras attach --plain-http --format json "${@:2}" \
        --artifact-type application/vnd.example.signature "$HOST/$1" note:text/plain) | jq -r .digest
}
# referrers REPOSITORY DIGEST
referrers() { curl -fsS "http://$HOST/v2/$1/referrers/$2" | jq -r '.manifests[].digest' | sort; }

fill_signed() {
    local root child tag
    echo 'signed by a test' >"$WORK/note"
    push index signed/index:v1
    root=$(root_digest "$IMAGES/index")
    child=$(jq -r '.manifests[1].digest' "$(manifest_file index)")
    attach "signed/index@$root" >"$WORK/of-root"
    attach "signed/index@$child" >"$WORK/of-child"
    # A note about the signature.
    attach "signed/index@$(<"$WORK/of-root")" >"$WORK/of-signature"
    # The fallback tag of the distribution specification, and what cosign has made for long: a tag beside the image.
    push three signed/fallback:v1
    attach signed/fallback:v1 --distribution-spec v1.1-referrers-tag >"$WORK/of-three"
    tag=$(root_digest "$IMAGES/three" | tr : -)
    expect 'the fallback tag' 200 "$(status_of "http://$HOST/v2/signed/fallback/manifests/$tag")"
    push four signed/cosign:v1
    tag=$(root_digest "$IMAGES/four" | tr : -).sig
    push late1 "signed/cosign:$tag"
    # An image that loses its tag, with a signature that nobody else needs, and the same image where it keeps its tag.
    push two signed/index:gone
    attach "signed/index:gone" >"$WORK/of-gone"
    push two signed/other:v1
    expect 'referrers' "$(<"$WORK/of-gone")" "$(referrers signed/index "$(root_digest "$IMAGES/two")")"
    delete signed/index manifests gone
}

# What is tagged is whole, with its signatures.
signed_stays() {
    local root child
    root=$(root_digest "$IMAGES/index") child=$(jq -r '.manifests[1].digest' "$(manifest_file index)")
    expect 'signature of the index' "$(<"$WORK/of-root")" "$(referrers signed/index "$root")"
    expect 'signature of an image in it' "$(<"$WORK/of-child")" "$(referrers signed/index "$child")"
    expect 'note about the signature' "$(<"$WORK/of-signature")" "$(referrers signed/index "$(<"$WORK/of-root")")"
    whole signed/index "$(<"$WORK/of-root")" "$(<"$WORK/of-root")"
    whole signed/index "$(<"$WORK/of-child")" "$(<"$WORK/of-child")"
    whole signed/index "$(<"$WORK/of-signature")" "$(<"$WORK/of-signature")"
    whole signed/fallback "$(<"$WORK/of-three")" "$(<"$WORK/of-three")"
    whole signed/cosign "$(root_digest "$IMAGES/four" | tr : -).sig" "$(root_digest "$IMAGES/late1")"
    crane_ --insecure validate --remote "$HOST/signed/index:v1"
    timeout 60 oras discover --plain-http --format json "$HOST/signed/index:v1" | grep -q "$(<"$WORK/of-signature")"
    timeout 60 oras discover --plain-http --format json --distribution-spec v1.1-referrers-tag \
        "$HOST/signed/fallback:v1" | grep -q "$(<"$WORK/of-three")"
    rm -rf "$WORK/pulled"
    skopeo_ copy -q --all --preserve-digests --src-tls-verify=false "docker://$HOST/signed/index:v1" "dir:$WORK/pulled"
    whole signed/other v1 "$(root_digest "$IMAGES/two")"
}

# gone_and_signature STATUS: of the image that lost its tag, and of its signature.
gone_and_signature() {
    local two
    two=$(root_digest "$IMAGES/two")
    expect 'the untagged image' "$1" "$(status_of "http://$HOST/v2/signed/index/manifests/$two")"
    expect 'its signature' "$1" "$(status_of "http://$HOST/v2/signed/index/manifests/$(<"$WORK/of-gone")")"
}

untagged_kept() {
    collect "$DATA" | tee "$WORK/told"
    expect 'manifests removed' 0 "$(grep -c 'removed manifest' "$WORK/told" || true)"
    gone_and_signature 200
    signed_stays
}

manifests_removed() {
    collect "$DATA" --delete-untagged --json "$@" | jq -r '.removed[] | select(.kind == "manifest").digest' | sort
}

untagged_gone() {
    local gone
    manifests_removed --dry-run >"$WORK/would"
    gone_and_signature 200
    manifests_removed >"$WORK/did"
    same 'what a dry run told' "$WORK/would" "$WORK/did"
    { root_digest "$IMAGES/two" && cat "$WORK/of-gone"; } | sort >"$WORK/should"
    same 'manifests removed' "$WORK/should" "$WORK/did"
    gone_and_signature 404
    expect 'what refers to the untagged image' '' "$(referrers signed/index "$(root_digest "$IMAGES/two")")"
    gone=$(<"$WORK/of-gone")
    expect 'bytes of its signature' '' "$(find "$DATA" -path "*${gone#sha256:}*")"
    signed_stays
    verified "$DATA"
}

# --- a volume of docker-registry --------------------------------------------------------------------------------------

# both_collect [-m]: on copies of its tree.
both_collect() {
    local name
    for name in theirs ours; do
        rm -rf "$WORK/by-$name"
        cp -a "$WORK/tree" "$WORK/by-$name"
        # Without tags of their own, platforms of indexes fall with 2.8 and -m; ours keeps them.
        [[ $# == 0 ]] || rm -r "$WORK/by-$name"/docker/registry/v2/repositories/lib/{index,list}
    done
    env -u REGISTRY_BIN docker-registry garbage-collect "$@" "$(config "$WORK/by-theirs")"
    collect "$WORK/by-ours" "$@"
    for name in theirs ours; do blobs_of "$WORK/by-$name" >"$WORK/blobs-$name"; done
    same 'blobs left' "$WORK/blobs-theirs" "$WORK/blobs-ours"
    echo "$(wc -l <"$WORK/blobs-ours") of $(blobs_of "$WORK/tree" | wc -l) blobs are left"
    (($(wc -l <"$WORK/blobs-ours") < $(blobs_of "$WORK/tree" | wc -l)))
}

# Our result by docker-registry: the tags are those of its own, every one pulls, and what was removed comes back.
served_by_theirs() {
    serve theirs "$WORK/by-theirs"
    lists "$WORK/lists-theirs"
    serve theirs "$WORK/by-ours"
    lists "$WORK/lists-ours"
    # It lists what has no tag; ours removes what is empty.
    sed '/^[^:]*$/d; /: \[\]$/d' -i "$WORK/lists-theirs" "$WORK/lists-ours"
    same 'tags' "$WORK/lists-theirs" "$WORK/lists-ours"
    # shellcheck disable=SC2119 # of all repositories
    all_tags_pull
    push gone2 lib/deleted:again
    push six lib/untagged:again
    crane_ --insecure validate --remote "$HOST/lib/deleted:again"
    registry_stop
}

# ----------------------------------------------------------------------------------------------------------------------

make_images
busy_images
serve ours "$WORK/data"
HOSTS=("$HOST")
COLLECTED=("$(config "$WORK/data")")
rounds_report
scenario rounds 'one more collection leaves just that' only_what_is_tagged

: >"$WORK/kills"
serve ours "$WORK/kill"
COLLECTED=("$(config "$WORK/kill")")
scenario kill 'images, and garbage that is collected undisturbed' fill_for_kills
scenario kill 'what lives is whole after each, and the next collection leaves no garbage and nothing aside' killed
registry_stop
CUT=$(awk '$1 == 137' "$WORK/kills" | wc -l)
echo "$(wc -l <"$WORK/kills") kills, in the end within $(<"$WORK/takes") ms: $CUT in the middle," \
    "$(awk '$2 > 0' "$WORK/kills" | wc -l) left something aside," \
    "$(cut -d ' ' -f 2 "$WORK/kills" | sort -n | tail -n 1) files at most"
scenario kill "enough were killed in the middle: $CUT" test "$CUT" -ge $(((KILLS + 2) / 3))

serve ours "$WORK/signed"
scenario signed 'an index, signatures by referrer and by tag, an image that loses its tag' fill_signed
scenario signed 'all of it stays without --delete-untagged' untagged_kept
scenario signed 'with it the untagged image goes, with its signature, and nothing else' untagged_gone
registry_stop

serve theirs "$WORK/tree"
scenario theirs 'docker-registry is filled' fill_first
registry_stop
scenario theirs 'ours and its own collection leave the same blobs' both_collect
scenario theirs 'it serves what ours leaves' served_by_theirs
scenario theirs 'the same with -m, without indexes' both_collect -m
scenario theirs 'it serves that too' served_by_theirs
summary
