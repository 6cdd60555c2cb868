# Two programs that serve the same place in turn: what is put there, what is served from it, and uploads that change hands.
# Sourced after lib.sh and engines.sh, by scripts that say who serves, in SERVING, ours or theirs, and how a folder below
# docker/registry/v2 is removed: remove_folder PATH.
# shellcheck shell=bash

IMAGES=$WORK/images
LAYERS=$WORK/layers
OCI_MANIFEST=application/vnd.oci.image.manifest.v1+json
SECRET=a-secret-of-both

# --- content ------------------------------------------------------------------------------------------------------------

make_images() {
    local name
    mkdir -p "$LAYERS" "$IMAGES"
    layer_make "$LAYERS/base" base 1000000
    layer_make "$LAYERS/common" common 200000
    make_index "$IMAGES/index" local/index:latest "$LAYERS/common"
    layer_make "$LAYERS/later" later 150000
    make_index "$IMAGES/index2" local/index2:latest "$LAYERS/later"
    for name in one two three four five six gone1 gone2 gone3 gone4 late1 late2; do
        layer_make "$LAYERS/$name" "$name" 100000
        make_image "$IMAGES/$name" "local/$name:latest" amd64 "$LAYERS/base" "$LAYERS/$name"
    done
    for name in one three gone3 late1; do
        skopeo_ copy -q --format v2s2 "oci:$IMAGES/$name:latest" "dir:$IMAGES/schema2-$name"
    done
    skopeo_ copy -q --all --format v2s2 "oci:$IMAGES/index:latest" "dir:$IMAGES/schema2-index"
}

push() { skopeo_ copy -q --all --preserve-digests --dest-tls-verify=false "oci:$IMAGES/$1:latest" "docker://$HOST/$2"; }
push_schema2() { skopeo_ copy -q --all --preserve-digests --dest-tls-verify=false "dir:$IMAGES/schema2-$1" "docker://$HOST/$2"; }

# untag REPOSITORY TAG: 2.8 has no request for it; its users remove the folder.
untag() {
    case $SERVING${REGISTRY_BIN:-} in
    theirs* | ourspeer) remove_folder "repositories/$1/_manifests/tags/$2" ;;
    *) delete "$1" manifests "$2" ;;
    esac
}

# delete REPOSITORY manifests|blobs REFERENCE
delete() { expect "DELETE $1 $2 $3" 202 "$(status_of -X DELETE "http://$HOST/v2/$1/$2/$3")"; }

manifest_file() {
    local digest
    digest=$(root_digest "$IMAGES/$1")
    echo "$IMAGES/$1/blobs/sha256/${digest#sha256:}"
}

# mount_image NAME FROM TO TAG: every blob is mounted, none is uploaded.
mount_image() {
    local manifest digest
    manifest=$(manifest_file "$1")
    for digest in $(jq -r '.config.digest, .layers[].digest' "$manifest"); do
        expect "mount of $digest" 201 \
            "$(status_of -X POST -H 'Content-Length: 0' "http://$HOST/v2/$3/blobs/uploads/?mount=$digest&from=$2")"
    done
    expect "manifest in $3" 201 "$(put_manifest "$3" "$4" "$manifest")"
}

# begin REPOSITORY TEXT: an upload that holds TEXT; prints where it goes on.
begin() {
    local url
    url=$(upload_url "$1")
    url=$(curl -fsS -o /dev/null -D - -X PATCH -H 'Content-Type: application/octet-stream' --data-binary "$2" "$url" |
        tr -d '\r' | sed -n 's/^location: //Ip')
    [[ $url != /* ]] || url=http://$HOST$url
    echo "$url"
}

# What one of them writes first.
fill_first() {
    push one lib/oci:v1
    push two lib/oci:V2.0_x-y
    push_schema2 one lib/schema2:latest
    push_schema2 three lib/schema2:other
    push index lib/index:latest
    push_schema2 index lib/list:latest
    # A tag that moves, one that goes, a manifest that goes with its tags, and one with everything in its repository.
    push one lib/moved:latest
    push two lib/moved:latest
    push three lib/untagged:keep
    push gone1 lib/untagged:gone
    untag lib/untagged gone
    push gone2 lib/deleted:old
    push gone2 lib/deleted:older
    push four lib/deleted:latest
    delete lib/deleted manifests "$(root_digest "$IMAGES/gone2")"
    push_schema2 gone3 lib/emptied:latest
    delete lib/emptied manifests "$(digest_of "$IMAGES/schema2-gone3/manifest.json")"
    mount_image one lib/oci lib/mounted latest
    push four a:latest
    push five a/b:latest
    push one a/b/c/d:latest
    # A blob alone, and one that is deleted.
    noise alone 5000 >"$WORK/alone"
    expect 'blob alone' 201 "$(push_blob a "$WORK/alone" "$(digest_of "$WORK/alone")")"
    noise deleted 5000 >"$WORK/deleted"
    expect 'blob to delete' 201 "$(push_blob a "$WORK/deleted" "$(digest_of "$WORK/deleted")")"
    delete a blobs "$(digest_of "$WORK/deleted")"
    push five lib/later:keep
    push six lib/later:gone
    push gone4 lib/later:byhash
    begin a 'never finished' >/dev/null
    begin only/begun 'never finished either' >/dev/null
}

# subject_manifest: an artifact about lib/oci:v1.
subject_manifest() {
    printf '{}' >"$WORK/empty"
    jq -cn --arg m "$OCI_MANIFEST" --arg d "$(root_digest "$IMAGES/one")" \
        --argjson s "$(stat -c %s "$(manifest_file one)")" --arg e "$(digest_of "$WORK/empty")" '{
        schemaVersion: 2, mediaType: $m, artifactType: "application/vnd.example.note",
        config: {mediaType: "application/vnd.oci.empty.v1+json", digest: $e, size: 2},
        layers: [{mediaType: "application/vnd.oci.empty.v1+json", digest: $e, size: 2}],
        subject: {mediaType: $m, digest: $d, size: $s}, annotations: {note: "about lib/oci"}}' >"$WORK/subject"
}

# What the other one adds to it, and takes from it.
fill_more() {
    push late1 later/oci:latest
    push_schema2 late1 later/schema2:latest
    push index2 later/index:latest
    # The same in what the first one wrote.
    push late2 lib/oci:v3
    push three lib/moved:latest
    untag lib/later gone
    delete lib/later manifests "$(root_digest "$IMAGES/gone4")"
    mount_image two lib/oci later/mounted latest
    # What was deleted comes back, and a repository grows between two others.
    push gone2 lib/deleted:again
    push six a/b/c:latest
    subject_manifest
    expect 'config of the artifact' 201 "$(push_blob lib/oci "$WORK/empty" "$(digest_of "$WORK/empty")")"
    expect 'artifact with a subject' 201 "$(put_manifest lib/oci "$(digest_of "$WORK/subject")" "$WORK/subject")"
    begin a/b 'not finished here either' >/dev/null
}

# --- what is served -------------------------------------------------------------------------------------------------------

# record PATHS OUT: for each path what GET and HEAD answer: status, type, digest, length, and the hash of the body. Of a
# 404 only the status.
record() {
    local paths=$1 out=$2 form='%{http_code} %{content_type} %header{docker-content-digest} %header{content-length}\n'
    rm -rf "$WORK/bodies"
    mkdir "$WORK/bodies"
    awk -v h="$HOST" -v d="$WORK/bodies" '{ printf "url = \"http://%s/v2/%s\"\noutput = \"%s/%06d\"\n", h, $1, d, NR }' "$paths" >"$WORK/get"
    sed 's|^output = .*|output = "/dev/null"|' "$WORK/get" >"$WORK/head"
    curl -sS -K "$WORK/get" -H "Accept: $ACCEPT" -w "$form" >"$WORK/got"
    curl -sS -I -K "$WORK/head" -H "Accept: $ACCEPT" -w "$form" >"$WORK/headed"
    awk '{ printf "%s/%06d\n", "'"$WORK/bodies"'", NR }' "$paths" | while read -r body; do
        if [[ -e $body ]]; then sha256sum <"$body" | cut -d ' ' -f 1; else echo none; fi
    done >"$WORK/hashes"
    paste -d ' ' "$paths" "$WORK/got" "$WORK/hashes" | awk '{ if ($2 == 404) print "GET", $1, 404; else print "GET", $0 }' >"$out"
    paste -d ' ' "$paths" "$WORK/headed" | awk '{ if ($2 == 404) print "HEAD", $1, 404; else print "HEAD", $0 }' >>"$out"
    if grep -v -e ' 404$' -e ' 200 ' "$out"; then
        echo 'neither 200 nor 404' && return 1
    fi
}

# lists OUT: the catalog and the tags of each repository as sets, since 2.8 does not sort them all.
lists() {
    local repository
    curl -fsS "http://$HOST/v2/_catalog?n=1000" | jq -r '.repositories[]' | sort >"$1"
    while read -r repository; do
        echo "$repository: $(curl -sS "http://$HOST/v2/$repository/tags/list" | jq -c '(.tags // []) | sort')"
    done <"$1" >"$1.tags"
    cat "$1.tags" >>"$1"
}

# same WHAT FILE FILE: fails with the lines that differ.
same() { diff "$2" "$3" >"$WORK/diff" || { echo "$1 (< $2, > $3):" && head -n 10 "$WORK/diff" && return 1; }; }

# serves_like NAME: what is served now is what was recorded under that name.
serves_like() {
    record "$WORK/paths" "$WORK/now"
    same "what is served" "$WORK/$1" "$WORK/now"
}
lists_like() {
    "${LISTS:-lists}" "$WORK/lists.now"
    same "what is listed" "$WORK/$1" "$WORK/lists.now"
}

gone_are_gone() {
    local path
    for path in lib/untagged/manifests/gone lib/deleted/manifests/old lib/deleted/manifests/older \
        "lib/deleted/manifests/$(root_digest "$IMAGES/gone2")" lib/emptied/manifests/latest \
        "a/blobs/$(digest_of "$WORK/deleted")"; do
        expect "GET $path" 404 "$(status_of "http://$HOST/v2/$path")"
    done
}

# all_tags_pull [PATTERN]: by a real client, with every platform.
all_tags_pull() {
    local repository tag dir count=0
    for repository in $(curl -fsS "http://$HOST/v2/_catalog?n=1000" | jq -r '.repositories[]' | grep -Ex "${1:-.*}"); do
        for tag in $(curl -sS "http://$HOST/v2/$repository/tags/list" | jq -r '.tags // [] | .[]'); do
            dir=$(mktemp -d "$WORK/pulled.XXXXXX")
            skopeo_ copy -q --all --preserve-digests --src-tls-verify=false "docker://$HOST/$repository:$tag" "dir:$dir"
            rm -r "$dir"
            count=$((count + 1))
        done
    done
    ((count >= 10)) || { echo "only $count tags" && return 1; }
}

# --- uploads that change hands --------------------------------------------------------------------------------------------------

# signed_state NAME UUID OFFSET: what 2.8 wants in the query of an upload, and signs with the secret.
signed_state() {
    jq -cjn --arg n "$1" --arg u "$2" --argjson o "$3" --arg t "$(date -u +%Y-%m-%dT%H:%M:%SZ)" \
        '{Name: $n, UUID: $u, Offset: $o, StartedAt: $t}' >"$WORK/state"
    { openssl dgst -sha256 -hmac "$SECRET" -binary "$WORK/state" && cat "$WORK/state"; } | base64 -w 0 | tr '+/' '-_'
}

STYLES=(chunked whole wrong)
# How the one who does not know an upload says so.
declare -A REFUSED=([ours]='4..' [theirs]='4..')

# hand_file STYLE: what is uploaded; 400 000 bytes of it by the one who begins.
hand_file() { echo "$WORK/hand.$1"; }

begin_uploads() {
    local style file
    for style in "${STYLES[@]}"; do
        file=$(hand_file "$style")
        noise "$1 $style" 700000 >"$file"
        head -c 400000 "$file" >"$file.1"
        tail -c +400001 "$file" >"$file.2"
        begin "hand/$style" "@$file.1" >"$file.location"
    done
}

# go_on STYLE: by the other one. Refused or right, never corrupt.
go_on() {
    local style=$1 repository=hand/$1 file url location id digest status
    file=$(hand_file "$style")
    digest=$(digest_of "$file")
    id=$(sed 's/[?].*//; s/.*[/]//' "$file.location")
    url="http://$HOST/v2/$repository/blobs/uploads/$id?_state=$(signed_state "$repository" "$id" 400000)"
    case $style in
    chunked)
        location=$(curl -sS -o "$WORK/body" -D - -X PATCH -H 'Content-Type: application/octet-stream' \
            -H 'Content-Range: 400000-699999' --data-binary "@$file.2" "$url" | tr -d '\r')
        url=$(sed -n 's/^location: //Ip' <<<"$location")
        [[ $url != /* ]] || url=http://$HOST$url
        status=refused
        [[ -z $url ]] ||
            status=$(curl -sS -o "$WORK/body" -w '%{http_code}' -X PUT -H 'Content-Length: 0' "$(with_digest "$url" "$digest")")
        ;;
    whole)
        status=$(curl -sS -o "$WORK/body" -w '%{http_code}' -X PUT -H 'Content-Type: application/octet-stream' \
            --data-binary "@$file.2" "$(with_digest "$url" "$digest")")
        ;;
    wrong)
        # The first part alone must not pass for the whole.
        status=$(curl -sS -o "$WORK/body" -w '%{http_code}' -X PUT -H 'Content-Length: 0' "$(with_digest "$url" "$digest")")
        [[ $status =~ ^${REFUSED[$SERVING]}$ ]] || { echo "an upload that is not whole: $status" && return 1; }
        ;;
    esac
    echo "$style: $status" >>"$WORK/hands"
    [[ ! $status =~ ^${REFUSED[$SERVING]}$ ]] || status=refused
    case $status in
    201) expect 'the blob' "$digest" "$(hash_of "http://$HOST/v2/$repository/blobs/$digest")" ;;
    refused) expect 'the blob' 404 "$(status_of "http://$HOST/v2/$repository/blobs/$digest")" ;;
    *) return 1 ;;
    esac
}
