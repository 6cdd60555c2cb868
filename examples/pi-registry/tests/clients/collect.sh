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
need curl jq ss openssl tar gzip split crane skopeo oras docker dockerd containerd docker-registry

ROUNDS=${ROUNDS:-12}
KILLS=${KILLS:-8}
RANDOM=${SEED:-1}
CLIENTS=(crane skopeo oras docker curl)
PROGRAM=${REGISTRY_BIN:-${CARGO_TARGET_DIR:-$REPO_DIR/target}/release/pi-registry}
[[ -x $PROGRAM ]] || die "garbage-collect is a command of pi-registry: $PROGRAM is no program"
COLLECT=(env -u REGISTRY_BIN "$PROGRAM" garbage-collect --grace=0s)

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

# whole REPOSITORY REFERENCE DIGEST: the manifest is that, and all that it names is there, byte for byte.
whole() {
    local dir digest hex manifest get=() bad=0
    dir=$(mktemp -d "$WORK/whole.XXXXXX")
    manifest=$dir/${3#sha256:}
    curl -fsS -H "Accept: $ACCEPT" -o "$manifest" "http://$HOST/v2/$1/manifests/$2" || bad=1
    if ((bad == 0)); then
        for digest in $(jq -r '.config.digest, .layers[].digest' "$manifest"); do
            hex=${digest#sha256:}
            get+=(-o "$dir/$hex" "http://$HOST/v2/$1/blobs/$digest")
            printf '%s  %s\n' "$hex" "$dir/$hex" >>"$dir/sums"
        done
        echo "${3#sha256:}  $manifest" >>"$dir/sums"
        curl -fsS "${get[@]}" || bad=1
        sha256sum -c --quiet "$dir/sums" || bad=1
    fi
    rm -r "$dir"
    ((bad == 0)) || { echo "not whole: $1:$2 $3" && return 1; }
}

# --- pushes of what is just being collected ---------------------------------------------------------------------------

push_crane() { crane_ --insecure push "$IMAGES/$1" "$HOST/$2"; }
push_skopeo() { push "$1" "$2"; }
push_oras() { timeout 60 oras cp --from-oci-layout --to-plain-http "$IMAGES/$1:latest" "$HOST/$2"; }
push_docker() {
    docker_ tag "local/$1:latest" "$HOST/$2" || return 1
    timeout 60 docker -H "unix://$WORK/docker.sock" push "$HOST/$2"
}

# What a client may do that thinks it knows what is there: first nothing but the manifest, or mounts, or a look.
push_curl() {
    local repository=${2%:*} tag=${2##*:} blobs=$IMAGES/$1/blobs/sha256 manifest digest status missing=()
    local styles=(manifest mount look) style
    style=${styles[ROUND % 3]}
    ((TRY == 1)) || style=look
    manifest=$(manifest_file "$1")
    mapfile -t missing < <(jq -r '.config.digest, .layers[].digest' "$manifest")
    case $style in
    manifest) missing=() ;;
    mount)
        for digest in "${missing[@]}"; do
            status=$(status_of -X POST -H 'Content-Length: 0' \
                "http://$HOST/v2/$repository/blobs/uploads/?mount=$digest&from=busy/crane")
            [[ $status == 201 ]] || echo "$digest"
        done >"$WORK/busy/missing"
        ;;
    look)
        # One process for all, since a collection may come between.
        printf "url = \"http://$HOST/v2/$repository/blobs/%s\"\noutput = /dev/null\n" "${missing[@]}" |
            curl -s -I -K - -w '%{http_code} %{url}\n' | sed -n '/^200 /!s/.*[/]//p' >"$WORK/busy/missing"
        ;;
    esac
    [[ $style == manifest ]] || mapfile -t missing <"$WORK/busy/missing"
    for digest in "${missing[@]}"; do
        status=$(push_blob "$repository" "$blobs/${digest#sha256:}" "$digest")
        [[ $status == 201 ]] || { echo "blob: $status" && return 1; }
    done
    status=$(put_manifest "$repository" "$tag" "$manifest")
    [[ $status == 201 ]] || { echo "manifest after $style: $status" && return 1; }
    echo "$style" >>"$WORK/styles"
}

# is_whole WHEN CLIENT TAG DIGEST: what is not is written down.
is_whole() { whole "busy/$2" "$3" "$4" >>"$WORK/lost" 2>&1 || echo "$1" >>"$WORK/lost"; }

# pusher NUMBER ROUND: of the client's images the last one stays tagged, now and then none; it pushes one that may be
# tagged, may be garbage, may be gone. Clients try again what was refused.
pusher() {
    local client=${CLIENTS[$1]} tag digest name log tags
    log=$WORK/busy/$client.log tags=$WORK/busy/$client.tags
    ROUND=$2
    RANDOM=$((${SEED:-1} * 1000 + ROUND * 10 + $1))
    while read -r tag digest; do is_whole "before round $ROUND" "$client" "$tag" "$digest"; done <"$tags"
    cp "$tags" "$tags.old"
    : >"$tags"
    if ((ROUND % 4 != 1)); then
        tail -n 1 "$tags.old" >"$tags"
        sed -i '$d' "$tags.old"
    fi
    while read -r tag _; do
        echo "$client $tag $(status_of -X DELETE "http://$HOST/v2/busy/$client/manifests/$tag")" >>"$WORK/untagged"
    done <"$tags.old"
    # Sometimes at once, sometimes when a collection has seen it.
    sleep "0.$((RANDOM % 4))"
    name=$client-$((RANDOM % 3))
    for ((TRY = 1; TRY <= 12; TRY++)); do
        if "push_$client" "$name" "busy/$client:r$ROUND" >"$log" 2>&1; then
            digest=$(root_digest "$IMAGES/$name")
            [[ $client != docker ]] || digest=$(sed -n 's/.*digest: \(sha256:[0-9a-f]*\).*/\1/p' "$log")
            echo "r$ROUND $digest" >>"$tags"
            echo "$client r$ROUND $digest" >>"$WORK/acknowledged"
            is_whole "right after round $ROUND" "$client" "r$ROUND" "$digest"
            return 0
        fi
        { echo "$client r$ROUND" && tail -n 1 "$log"; } | paste -s -d ' ' >>"$WORK/refused"
    done
}

# One collection after the other until $WORK/enough is there, most with a short pause, without which hardly a push could
# succeed: round, exit code, blobs and bytes removed, things put back.
collector() {
    local status report=$WORK/busy/report.json
    while [[ ! -e $WORK/enough ]]; do
        status=0
        "${COLLECT[@]}" -m --json "$WORK/data.yml" >"$report" 2>>"$WORK/collector.log" || status=$?
        echo "$(<"$WORK/round") $status $(jq -r '"\(.blobs_removed) \(.bytes_freed) \(.put_back)"' "$report")" \
            >>"$WORK/collections"
        jq -r '.removed[] | select(.kind == "blob").digest' "$report" >>"$WORK/removed"
        sleep "0.0$((RANDOM % 10))"
    done
}

rounds() {
    local client pids collecting number
    for client in "${CLIENTS[@]}"; do : >"$WORK/busy/$client.tags"; done
    echo 0 >"$WORK/round"
    collector &
    collecting=$!
    STARTED_PIDS+=("$collecting")
    for ((ROUND = 1; ROUND <= ROUNDS; ROUND++)); do
        echo "$ROUND" >"$WORK/round.new"
        mv "$WORK/round.new" "$WORK/round"
        pids=()
        for number in "${!CLIENTS[@]}"; do
            pusher "$number" "$ROUND" &
            pids+=($!)
        done
        wait "${pids[@]}"
    done
    touch "$WORK/enough"
    wait "$collecting"
}

# As the tags are left, by a client of its own too.
whole_at_the_end() {
    local client tag digest count=0
    for client in "${CLIENTS[@]}"; do
        while read -r tag digest; do
            whole "busy/$client" "$tag" "$digest"
            crane_ --insecure validate --remote "$HOST/busy/$client:$tag"
            count=$((count + 1))
        done <"$WORK/busy/$client.tags"
    done
    echo "$count tags"
    ((count * 2 >= ${#CLIENTS[@]}))
}

# Afterwards one more collection leaves nothing but what the tags need.
only_what_is_tagged() {
    local client tag digest
    collect "$DATA" -m
    expect 'set aside' '' "$(aside_in "$DATA")"
    for client in "${CLIENTS[@]}"; do
        while read -r tag digest; do
            echo "$digest"
            curl -fsS -H "Accept: $ACCEPT" "http://$HOST/v2/busy/$client/manifests/$digest" |
                jq -r '.config.digest, .layers[].digest'
        done <"$WORK/busy/$client.tags"
    done | sed 's/sha256://' | sort -u >"$WORK/needed"
    blobs_of "$DATA" | sed 's|/data$||; s|.*/||' | sort -u >"$WORK/there"
    same 'blobs' "$WORK/needed" "$WORK/there"
    verified "$DATA"
}

no_5xx() {
    awk -F '"' '{ split($3, status, " "); if (status[1] >= 500) print }' "$WORK/access.log" >"$WORK/5xx"
    nothing_in "$WORK/5xx"
}
no_collection_failed() { awk '$2 != 0 || NF != 5' "$WORK/collections" >"$WORK/bad" && nothing_in "$WORK/bad"; }
# Tags that could not be deleted would not make garbage.
untagged_all() { grep -v ' 202$' "$WORK/untagged" >"$WORK/bad" || true; nothing_in "$WORK/bad"; }

# --- kill -9 ----------------------------------------------------------------------------------------------------------

# garbage DIR: beside what lives there, blobs that a repository with and one without an image has, some that none has,
# and manifests without a tag.
garbage() {
    local v2=$1/docker/registry/v2 heap=$WORK/heap hex file n=0 blobs=() live repository
    live=$(jq -c '{schemaVersion, mediaType, config}' "$(manifest_file one)")
    mkdir "$heap"
    noise heap 360000 | split -b 1000 -a 3 - "$heap/"
    while read -r hex file; do
        mkdir -p "$v2/blobs/sha256/${hex:0:2}/$hex"
        mv "$file" "$v2/blobs/sha256/${hex:0:2}/$hex/data"
        blobs+=("$hex")
        for repository in live/one dead/app; do
            ((n % 3 == 0)) || [[ $repository$((n % 3)) == live/one2 ]] || continue
            mkdir -p "$v2/repositories/$repository/_layers/sha256/$hex"
            printf 'sha256:%s' "$hex" >"$v2/repositories/$repository/_layers/sha256/$hex/link"
        done
        n=$((n + 1))
    done < <(sha256sum "$heap"/*)
    for ((n = 0; n < 60; n++)); do
        printf '%s,"layers":[{"mediaType":"application/x","digest":"sha256:%s","size":1000}]}' \
            "${live%?}" "${blobs[n * 3]}" >"$heap/$n"
    done
    while read -r hex file; do
        mkdir -p "$v2/blobs/sha256/${hex:0:2}/$hex" "$v2/repositories/live/one/_manifests/revisions/sha256/$hex"
        mv "$file" "$v2/blobs/sha256/${hex:0:2}/$hex/data"
        printf 'sha256:%s' "$hex" >"$v2/repositories/live/one/_manifests/revisions/sha256/$hex/link"
    done < <(sha256sum "$heap"/*)
}

# Images that live, in repositories of which one has all the garbage; writes down what must be whole: $WORK/live.
fill_for_kills() {
    local name file hex kind began
    for name in one two three index; do
        push "$name" "live/$name:v1"
        for file in "$IMAGES/$name"/blobs/sha256/*; do
            hex=${file##*/} kind=blobs
            if jq -e .schemaVersion "$file" >"$WORK/is-manifest" 2>&1; then kind=manifests; fi
            echo "live/$name/$kind/sha256:$hex sha256:$hex"
        done
    done >"$WORK/live"
    garbage "$DATA"
    (($(wc -l <"$WORK/live") > 12 && $(grep -c /manifests/ "$WORK/live") == 7))
    tar -C "$DATA" -cf "$WORK/full.tar" .
    # How long one takes that nothing disturbs, and what it leaves.
    began=${EPOCHREALTIME/./}
    collect "$DATA" -m -q
    echo $(((${EPOCHREALTIME/./} - began) / 1000)) >"$WORK/takes"
    files_of "$DATA" >"$WORK/files"
    cut -d ' ' -f 2 "$WORK/live" | sort -u >"$WORK/digests"
    expect 'blobs left' "$(wc -l <"$WORK/digests")" "$(blobs_of "$DATA" | wc -l)"
    live_is_whole
}

# refill: the garbage is there again, beside what is.
refill() { tar -C "$DATA" --skip-old-files -xf "$WORK/full.tar"; }

live_is_whole() {
    fetch_and_hash "$WORK/live" >"$WORK/verified"
    expect 'what lives and is whole' "$(wc -l <"$WORK/live")" "$(cat "$WORK/verified")"
    crane_ --insecure validate --remote "$HOST/live/one:v1" >/dev/null
}

# kill_one: at a random moment.
kill_one() {
    local pid status=0
    "${COLLECT[@]}" -m -q "$(config "$DATA")" &
    pid=$!
    sleep "$(printf '0.%03d' $((RANDOM % $(<"$WORK/takes"))))"
    kill -KILL "$pid" 2>/dev/null || true
    wait "$pid" || status=$?
    # The first one may have been slow; later ones are killed earlier when one has ended before.
    ((status == 137)) || { awk '{ print int($1 * 3 / 4) + 5 }' "$WORK/takes" >"$WORK/less" && mv "$WORK/less" "$WORK/takes"; }
    aside_in "$DATA" >"$WORK/aside"
    echo "$status $(wc -l <"$WORK/aside")" >>"$WORK/kills"
    live_is_whole
}

killed() {
    local i
    for ((i = 1; i <= KILLS; i++)); do
        refill
        kill_one
        # Every third time another one is killed that finds what the first one has left.
        ((i % 3 != 0)) || kill_one
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
mkdir -p "$WORK/busy"
docker_start
for client in "${CLIENTS[@]}"; do
    for n in 0 1 2; do
        layer_make "$LAYERS/busy-$client-$n" "busy $client $n" 300000
        make_image "$IMAGES/$client-$n" "local/$client-$n:latest" amd64 "$LAYERS/common" "$LAYERS/busy-$client-$n"
        [[ $client != docker ]] ||
            docker_ load -q -i "$(archive "$IMAGES/$client-$n" "local/$client-$n:latest")" >/dev/null
    done
done

touch "$WORK"/{lost,refused,acknowledged,untagged,removed,styles}
serve ours "$WORK/data"
config "$WORK/data" >/dev/null
began=$SECONDS
rounds
# by FILE COLUMN: how many lines have which word there.
by() { cut -d ' ' -f "$2" "$1" | sort | uniq -c | awk '{ print $2, $1 }' | paste -s -d ,; }
ACKNOWLEDGED=$(wc -l <"$WORK/acknowledged")
FREED=$(awk '$3 > 0 { print $1 }' "$WORK/collections" | sort -u | wc -l)
AGAIN=$(($(wc -l <"$WORK/removed") - $(sort -u "$WORK/removed" | wc -l)))
echo "$ROUNDS rounds in $((SECONDS - began)) s: $ACKNOWLEDGED pushes acknowledged ($(by "$WORK/acknowledged" 1);" \
    "curl after $(by "$WORK/styles" 1)), $(wc -l <"$WORK/refused") attempts refused ($(by "$WORK/refused" 1))"
awk -v freed="$FREED" -v again="$AGAIN" '{ blobs += $3; bytes += $4; back += $5 } END {
    printf "%d collections removed %d blobs (%.1f MB), put back %d, in %d of the rounds; %d blobs again\n",
        NR, blobs, bytes / 1e6, back, freed, again }' "$WORK/collections"
scenario rounds 'every acknowledged push was whole right after, and until its tag was deleted' nothing_in "$WORK/lost"
scenario rounds 'what is tagged at the end is whole' whole_at_the_end
scenario rounds 'one more collection leaves just that' only_what_is_tagged
scenario rounds "enough pushes were acknowledged: $ACKNOWLEDGED" \
    test "$ACKNOWLEDGED" -ge $((ROUNDS * ${#CLIENTS[@]} / 2))
scenario rounds "most rounds freed something: $FREED" test $((FREED * 2)) -gt "$ROUNDS"
scenario rounds "what was removed was pushed again, and removed again: $AGAIN blobs" test "$AGAIN" -ge "$ROUNDS"
scenario rounds 'no tag was refused to be deleted' untagged_all
scenario rounds 'no collection failed' no_collection_failed
scenario rounds 'no request was answered by 5xx' no_5xx

: >"$WORK/kills"
serve ours "$WORK/kill"
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
