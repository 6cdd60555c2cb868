#!/usr/bin/env bash
# Real signatures, by cosign in both of its forms, and attestations as build tools make them: what of it outlives a
# garbage collection that removes what has no tag, and what goes with its image.
#
# cosign takes 8 minutes to install, so everything includes this only with CI_EXTRA.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=engines.sh
source "$CLIENTS_DIR/engines.sh"
# shellcheck source=both_ways_lib.sh
source "$CLIENTS_DIR/both_ways_lib.sh"
need curl jq ss openssl tar gzip crane skopeo cosign

PROGRAM=${REGISTRY_BIN:-${CARGO_TARGET_DIR:-$REPO_DIR/target}/release/pi-registry}
[[ -x $PROGRAM ]] || die "garbage-collect is a command of pi-registry: $PROGRAM is no program"
printf 'version: 0.1\nstorage: {filesystem: {rootdirectory: "%s"}, delete: {enabled: true}}\n' "$WORK/data" >"$WORK/data.yml"

collect() { env -u REGISTRY_BIN "$PROGRAM" garbage-collect -m --grace=0s "$@" "$WORK/data.yml"; }

# --- what build tools make ----------------------------------------------------------------------------------------------

# attestation_add DIR DESCRIPTOR: a statement about that image, and the entry for an index that names both.
attestation_add() {
    local dir=$1 scratch config statement
    scratch=$(mktemp "$WORK/attestation.XXXXXX")
    jq -cn --arg h "$(jq -r .digest <<<"$2")" '{_type: "https://in-toto.io/Statement/v0.1",
        predicateType: "https://slsa.dev/provenance/v0.2", subject: [{name: "_", digest: {sha256: $h[7:]}}],
        predicate: {}}' >"$scratch"
    statement=$(layout_add "$dir" "$scratch" application/vnd.in-toto+json)
    jq -cn --argjson s "$statement" '{architecture: "unknown", os: "unknown", config: {},
        rootfs: {type: "layers", diff_ids: [$s.digest]}}' >"$scratch"
    config=$(layout_add "$dir" "$scratch" application/vnd.oci.image.config.v1+json)
    jq -cn --arg m "$OCI_MANIFEST" --argjson c "$config" --argjson s "$statement" '{schemaVersion: 2, mediaType: $m,
        config: $c, layers: [$s + {annotations: {"in-toto.io/predicate-type": "https://slsa.dev/provenance/v0.2"}}]}' \
        >"$scratch"
    layout_add "$dir" "$scratch" "$OCI_MANIFEST" | jq -c --argjson of "$2" '. + {annotations: {
        "vnd.docker.reference.digest": $of.digest, "vnd.docker.reference.type": "attestation-manifest"},
        platform: {architecture: "unknown", os: "unknown"}}'
}

# make_built NAME: an index of two platforms, and of an attestation for each.
make_built() {
    local dir=$IMAGES/$1 architecture images=() attestations=() scratch
    layout_new "$dir"
    for architecture in amd64 arm64; do
        layer_make "$LAYERS/$1-$architecture" "$1 $architecture" 100000
        images+=("$(image_add "$dir" "$architecture" "$LAYERS/$1-$architecture")")
        attestations+=("$(attestation_add "$dir" "${images[-1]}")")
    done
    scratch=$(mktemp "$WORK/index.XXXXXX")
    printf '%s\n' "${images[@]}" "${attestations[@]}" | jq -cs '{
        schemaVersion: 2, mediaType: "application/vnd.oci.image.index.v1+json", manifests: .}' >"$scratch"
    layout_tag "$dir" "local/$1:latest" \
        "$(layout_add "$dir" "$scratch" application/vnd.oci.image.index.v1+json)"
}

# --- cosign -------------------------------------------------------------------------------------------------------------

# Which form a repository's signatures have: true for bundles, which refer to what they sign, false for tags beside it.
declare -A IS_BUNDLE=([bundles]=true [tags]=false)

# Nobody is asked but the registry: no transparency log, no certificates, a key of our own.
cosign_() { (cd "$WORK" && COSIGN_PASSWORD='' timeout 120 cosign "$@"); }
make_key() {
    echo '{"made": "by a test"}' >"$WORK/predicate"
    cosign_ generate-key-pair
    # Without a file of whom to trust the Internet is asked for one. What counts is the key.
    cosign_ trusted-root create --out trusted_root.json
}

# sign REPOSITORY DIGEST: the index, and all that it names; the index also gets an attestation.
sign() {
    local options=(--key cosign.key --tlog-upload=false --use-signing-config=false --yes --allow-insecure-registry
        --new-bundle-format="${IS_BUNDLE[$1]}")
    cosign_ sign "${options[@]}" --recursive "$HOST/$1@$2"
    cosign_ attest "${options[@]}" --type custom --predicate predicate "$HOST/$1@$2"
}

# verified REPOSITORY NAME
verified() {
    local digest options=(--key cosign.pub --insecure-ignore-tlog=true --private-infrastructure=true
        --trusted-root trusted_root.json --allow-insecure-registry --new-bundle-format="${IS_BUNDLE[$1]}")
    for digest in $(digests "$2"); do
        cosign_ verify "${options[@]}" "$HOST/$1@$digest" || return 1
    done
    cosign_ verify-attestation "${options[@]}" --type custom "$HOST/$1@$(root_digest "$IMAGES/$2")"
}

# digests NAME: of the index and of what it names.
digests() { root_digest "$IMAGES/$1" && jq -r '.manifests[].digest' "$(manifest_file "$1")"; }
referrers() { curl -fsS "http://$HOST/v2/$1/referrers/$2" | jq -r '.manifests[].digest'; }
# tags_of NAME: those of its signatures and of its attestation.
tags_of() { { digests "$1" | sed 's/:/-/; s/$/.sig/' && root_digest "$IMAGES/$1" | sed 's/:/-/; s/$/.att/'; } | sort; }

# --- what stays and what goes -------------------------------------------------------------------------------------------

fill() {
    local name
    for name in stays goes; do
        push "$name" "$1:$name"
        sign "$1" "$(root_digest "$IMAGES/$name")"
        whole "$1" "$name"
    done
}

# whole REPOSITORY NAME: the image, its attestations, and its signatures, as clients look at them.
whole() {
    local platform
    for platform in amd64 arm64; do
        crane_ --insecure validate --platform "linux/$platform" --remote "$HOST/$1:$2"
    done
    rm -rf "$WORK/pulled"
    skopeo_ copy -q --all --preserve-digests --src-tls-verify=false "docker://$HOST/$1:$2" "oci:$WORK/pulled:latest"
    expect 'the index' "$(root_digest "$IMAGES/$2")" "$(root_digest "$WORK/pulled")"
    layout_sound "$WORK/pulled"
    verified "$1" "$2"
}

# Each repository has the form that it is named after, and not the other one.
forms() {
    local digest
    expect 'tags' "$({ echo stays && echo goes && tags_of stays && tags_of goes; } | sort)" \
        "$(crane_ --insecure ls "$HOST/tags" | sort)"
    expect 'tags' goes,stays "$(crane_ --insecure ls "$HOST/bundles" | sort | paste -s -d ,)"
    for digest in $(digests stays) $(digests goes); do
        [[ -n $(referrers bundles "$digest") ]] || { echo "nothing refers to $digest" && return 1; }
        expect 'what refers to it' '' "$(referrers tags "$digest")"
    done
}

all_stays() {
    local repository
    collect | tee "$WORK/told"
    expect 'manifests removed' 0 "$(grep -c 'removed manifest' "$WORK/told" || true)"
    for repository in bundles tags; do
        whole "$repository" stays
        whole "$repository" goes
    done
}

# goes REPOSITORY: without its tag an index goes with all that it names, and with what refers to any of that.
goes() {
    local digest
    { digests goes && for digest in $(digests goes); do referrers "$1" "$digest"; done; } | sort >"$WORK/should"
    delete "$1" manifests goes
    collect --json | jq -r '.removed[] | select(.kind == "manifest").digest' | sort >"$WORK/did"
    same 'manifests removed' "$WORK/should" "$WORK/did"
    while read -r digest; do
        expect "GET $digest" 404 "$(status_of "http://$HOST/v2/$1/manifests/$digest")"
    done <"$WORK/did"
    whole "$1" stays
}

# Signatures that are tags stay for as long as these do.
tags_go() {
    local tag
    for tag in $(tags_of goes); do
        expect "GET $tag" 200 "$(status_of "http://$HOST/v2/tags/manifests/$tag")"
        delete tags manifests "$tag"
    done
    collect
    for tag in bundles tags; do whole "$tag" stays; done
    env -u REGISTRY_BIN "$PROGRAM" verify "$WORK/data.yml"
}

nothing_left() {
    local tag
    for tag in stays $(tags_of stays); do delete tags manifests "$tag"; done
    delete bundles manifests stays
    collect
    expect 'bytes left' '' "$(find "$WORK/data" -type f -name data)"
}

# ----------------------------------------------------------------------------------------------------------------------

mkdir -p "$LAYERS" "$IMAGES"
make_built stays
make_built goes
make_key >"$WORK/key.log" 2>&1
registry_start "$WORK/data"
scenario bundles 'two indexes with attestations, all of it signed as what refers to it, verified' fill bundles
scenario tags 'the same, signed as tags beside it' fill tags
scenario cosign 'both forms are what they should be' forms
scenario cosign 'all of it outlives a collection, and is verified' all_stays
scenario bundles 'without its tag an index goes, with its attestations and its signatures' goes bundles
scenario tags 'an index goes, and its signatures stay with their tags' goes tags
scenario tags 'they go with their tags, and nothing else does' tags_go
scenario cosign 'without any tag nothing is left' nothing_left
summary
