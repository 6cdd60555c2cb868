# Garbage collections by another process, beside real clients that push what is just being removed, and with kill -9.
# Sourced after lib.sh, engines.sh and both_ways_lib.sh, by scripts that say how garbage is collected, in COLLECT, a
# command, and COLLECTED, its last arguments; where clients push to, in HOSTS; and for how many ROUNDS.
# shellcheck shell=bash

RANDOM=${SEED:-1}
CLIENTS=(crane skopeo oras docker curl)
PROGRAM=${REGISTRY_BIN:-${CARGO_TARGET_DIR:-$REPO_DIR/target}/release/pi-registry}
[[ -x $PROGRAM ]] || die "garbage-collect is a command of pi-registry: $PROGRAM is no program"
COLLECT=(env -u REGISTRY_BIN "$PROGRAM" garbage-collect --grace=0s)
COLLECTED=()
HOSTS=()

# busy_images: those that the clients push, of which docker has its own.
busy_images() {
    local client n
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
}

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
    HOST=${HOSTS[RANDOM % ${#HOSTS[@]}]}
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
            HOST=${HOSTS[RANDOM % ${#HOSTS[@]}]}
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
        "${COLLECT[@]}" -m --json "${COLLECTED[@]}" >"$report" 2>>"$WORK/collector.log" || status=$?
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
    # shellcheck disable=SC2153 # the caller's
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

# needed_blobs: what the tags need, as they are left.
needed_blobs() {
    local client tag digest
    for client in "${CLIENTS[@]}"; do
        while read -r tag digest; do
            echo "$digest"
            curl -fsS -H "Accept: $ACCEPT" "http://$HOST/v2/busy/$client/manifests/$digest" |
                jq -r '.config.digest, .layers[].digest'
        done <"$WORK/busy/$client.tags"
    done | sed 's/sha256://' | sort -u
}

no_5xx() {
    awk -F '"' '{ split($3, status, " "); if (status[1] >= 500) print }' "$WORK/access.log" >"$WORK/5xx"
    nothing_in "$WORK/5xx"
}
no_collection_failed() { awk '$2 != 0 || NF != 5' "$WORK/collections" >"$WORK/bad" && nothing_in "$WORK/bad"; }
# Tags that could not be deleted would not make garbage.
untagged_all() { grep -v ' 202$' "$WORK/untagged" >"$WORK/bad" || true; nothing_in "$WORK/bad"; }

# by FILE COLUMN: how many lines have which word there.
by() { cut -d ' ' -f "$2" "$1" | sort | uniq -c | awk '{ print $2, $1 }' | paste -s -d ,; }

# rounds_report: all rounds, and what came of them; leaves the tags of the last one.
rounds_report() {
    local began=$SECONDS acknowledged freed again
    rounds
    acknowledged=$(wc -l <"$WORK/acknowledged")
    freed=$(awk '$3 > 0 { print $1 }' "$WORK/collections" | sort -u | wc -l)
    again=$(($(wc -l <"$WORK/removed") - $(sort -u "$WORK/removed" | wc -l)))
    echo "$ROUNDS rounds in $((SECONDS - began)) s: $acknowledged pushes acknowledged ($(by "$WORK/acknowledged" 1);" \
        "curl after $(by "$WORK/styles" 1)), $(wc -l <"$WORK/refused") attempts refused ($(by "$WORK/refused" 1))"
    awk -v freed="$freed" -v again="$again" '{ blobs += $3; bytes += $4; back += $5 } END {
        printf "%d collections removed %d blobs (%.1f MB), put back %d, in %d of the rounds; %d blobs again\n",
            NR, blobs, bytes / 1e6, back, freed, again }' "$WORK/collections"
    scenario rounds 'every acknowledged push was whole right after, and until its tag was deleted' nothing_in "$WORK/lost"
    scenario rounds 'what is tagged at the end is whole' whole_at_the_end
    scenario rounds "enough pushes were acknowledged: $acknowledged" \
        test "$acknowledged" -ge $((ROUNDS * ${#CLIENTS[@]} / 2))
    if ((ROUNDS >= 50)); then
        scenario rounds "most rounds freed something: $freed" test $((freed * 2)) -gt "$ROUNDS"
        scenario rounds "what was removed was pushed again, and removed again: $again blobs" test "$again" -ge $((ROUNDS / 3))
    else
        # How often is chance in a few rounds.
        scenario rounds "some rounds freed something: $freed" test "$freed" -gt 0
    fi
    scenario rounds 'no tag was refused to be deleted' untagged_all
    scenario rounds 'no collection failed' no_collection_failed
    scenario rounds 'no request was answered by 5xx' no_5xx
}

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

# push_live: images that live; writes down what must be whole: $WORK/live.
push_live() {
    local name file hex kind
    for name in one two three index; do
        push "$name" "live/$name:v1"
        for file in "$IMAGES/$name"/blobs/sha256/*; do
            hex=${file##*/} kind=blobs
            if jq -e .schemaVersion "$file" >"$WORK/is-manifest" 2>&1; then kind=manifests; fi
            echo "live/$name/$kind/sha256:$hex sha256:$hex"
        done
    done >"$WORK/live"
    (($(wc -l <"$WORK/live") > 12 && $(grep -c /manifests/ "$WORK/live") == 7))
    cut -d ' ' -f 2 "$WORK/live" | sort -u >"$WORK/digests"
}

live_is_whole() {
    fetch_and_hash "$WORK/live" >"$WORK/verified"
    expect 'what lives and is whole' "$(wc -l <"$WORK/live")" "$(cat "$WORK/verified")"
    crane_ --insecure validate --remote "$HOST/live/one:v1" >/dev/null
}

# kill_one: kills a collection at a random moment of the $WORK/takes ms that one takes; how that ended is in STATUS.
kill_one() {
    local pid
    STATUS=0
    "${COLLECT[@]}" -m -q "${COLLECTED[@]}" &
    pid=$!
    sleep "$(awk -v ms=$((RANDOM % $(<"$WORK/takes"))) 'BEGIN { print ms / 1000 }')"
    kill -KILL "$pid" 2>/dev/null || true
    wait "$pid" || STATUS=$?
    # The first one may have been slow; later ones are killed earlier when one has ended before.
    ((STATUS == 137)) || { awk '{ print int($1 * 3 / 4) + 5 }' "$WORK/takes" >"$WORK/less" && mv "$WORK/less" "$WORK/takes"; }
}
