#!/usr/bin/env bash
# kill -9 in the middle of pushes: what was acknowledged is kept, and nothing partial shows.
#
# Each round pushes in parallel with curl and crane, writes down every digest and tag only after its 201, kills the server
# at a random moment, starts it again on the same data, and reads everything back.
# This cuts the process off, not the power: the page cache survives, so fsync is not what is tested here.
#
#   CRASH_ROUNDS=10  CRASH_SEED=1  crash.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need curl jq ss openssl tar gzip crane

ROUNDS=${CRASH_ROUNDS:-10}
RANDOM=${CRASH_SEED:-1}
OCI_MANIFEST=application/vnd.oci.image.manifest.v1+json

# --- the curl pusher ---------------------------------------------------------------------------------------------------

# request WHAT CURL-ARGUMENT...: sets STATUS and LOCATION. Fails when no answer came, which is written down with curl's
# exit code: 7 is "could not connect", anything else means that the server died while it had the request.
request() {
    local what=$1 code=0
    shift
    # As slow as a small board's network, so that a kill meets most pushers within a blob and not between two.
    STATUS=$(curl -s -o /dev/null -D "$MY.headers" -w '%{http_code}' -m 60 --limit-rate 12M "$@") || code=$?
    if ((code != 0)); then
        echo "$code $what" >>"$MY.interrupted"
        return 1
    fi
    LOCATION=$(tr -d '\r' <"$MY.headers" | sed -n 's/^location: //Ip')
    [[ $LOCATION != /* ]] || LOCATION=http://$HOST$LOCATION
    case $STATUS in 201 | 202) ;; *) echo "$STATUS $what" >>"$MY.refused" ;; esac
}

# acknowledged PATH DIGEST: to be called after the 201 only.
acknowledged() {
    [[ $STATUS != 201 ]] || echo "$1 $2" >>"$MY.acknowledged"
}

# curl_blob STYLE FILE DIGEST: whole, streamed as docker does, or in chunks.
curl_blob() {
    local style=$1 file=$2 digest=$3 size half
    request "open $style" -X POST -H 'Content-Length: 0' "http://$HOST/v2/$REPOSITORY/blobs/uploads/" || return 1
    case $style in
    whole)
        request 'put blob' -X PUT -H 'Content-Type: application/octet-stream' -H 'Expect:' -T "$file" \
            "$(with_digest "$LOCATION" "$digest")" || return 1
        ;;
    streamed)
        request 'stream blob' -X PATCH -H 'Content-Type: application/octet-stream' -H 'Transfer-Encoding: chunked' -H 'Expect:' \
            -T "$file" "$LOCATION" || return 1
        request 'finish blob' -X PUT -H 'Content-Length: 0' "$(with_digest "$LOCATION" "$digest")" || return 1
        ;;
    chunked)
        size=$(stat -c %s "$file")
        half=$((size / 2))
        head -c "$half" "$file" >"$MY.chunk"
        request 'first chunk' -X PATCH -H 'Content-Type: application/octet-stream' -H "Content-Range: 0-$((half - 1))" -H 'Expect:' \
            -T "$MY.chunk" "$LOCATION" || return 1
        tail -c "+$((half + 1))" "$file" >"$MY.chunk"
        request 'last chunk' -X PATCH -H 'Content-Type: application/octet-stream' -H "Content-Range: $half-$((size - 1))" -H 'Expect:' \
            -T "$MY.chunk" "$LOCATION" || return 1
        request 'finish blob' -X PUT -H 'Content-Length: 0' "$(with_digest "$LOCATION" "$digest")" || return 1
        ;;
    esac
    acknowledged "$REPOSITORY/blobs/$digest" "$digest"
}

curl_manifest() {
    request "put manifest $1" -X PUT -H "Content-Type: $OCI_MANIFEST" -H 'Expect:' --data-binary "@$2" \
        "http://$HOST/v2/$REPOSITORY/manifests/$1" || return 1
}

# curl_pusher ROUND NUMBER: image after image until the server is gone. `moving` is a tag that is pushed again and again:
# it must name what was acknowledged last, or what was being pushed when the server died.
curl_pusher() {
    local round=$1 number=$2 n style size layer config digest styles=(whole streamed chunked) sizes=(20000 1000000 8000000 8000000)
    MY=$WORK/round/curl$number
    REPOSITORY=crash/$round/curl$number
    RANDOM=$((round * 100 + number))
    for ((n = 1; ; n++)); do
        style=${styles[n % 3]}
        size=${sizes[RANDOM % 4]}
        {
            echo "round $round pusher $number image $n"
            head -c "$size" "$WORK/noise"
        } >"$MY.layer"
        layer=$(digest_of "$MY.layer")
        curl_blob "$style" "$MY.layer" "$layer" || return 0
        jq -cn --arg d "$layer" --arg n "$number.$n" \
            '{architecture: "amd64", os: "linux", author: $n, rootfs: {type: "layers", diff_ids: [$d]}}' >"$MY.config"
        config=$(digest_of "$MY.config")
        curl_blob whole "$MY.config" "$config" || return 0
        # All pushers share one layer, as images of one base do, and push it at the same time.
        curl_blob "$style" "$WORK/shared" "$SHARED" || return 0
        jq -cn --arg m "$OCI_MANIFEST" --arg c "$config" --arg l "$layer" --arg s "$SHARED" \
            --argjson cs "$(stat -c %s "$MY.config")" --argjson ls "$(stat -c %s "$MY.layer")" \
            --argjson ss "$(stat -c %s "$WORK/shared")" '{schemaVersion: 2, mediaType: $m,
            config: {mediaType: "application/vnd.oci.image.config.v1+json", digest: $c, size: $cs},
            layers: [{mediaType: "application/vnd.oci.image.layer.v1.tar", digest: $l, size: $ls},
                     {mediaType: "application/vnd.oci.image.layer.v1.tar", digest: $s, size: $ss}]}' >"$MY.manifest"
        digest=$(digest_of "$MY.manifest")
        curl_manifest "v$n" "$MY.manifest" || return 0
        acknowledged "$REPOSITORY/manifests/v$n" "$digest"
        acknowledged "$REPOSITORY/manifests/$digest" "$digest"
        echo "tried $digest" >>"$MY.moving"
        curl_manifest moving "$MY.manifest" || return 0
        [[ $STATUS != 201 ]] || echo "acknowledged $digest" >>"$MY.moving"
    done
}

# crane_pusher ROUND NUMBER: the prepared images, each round into new repositories. crane tries again when the connection
# breaks, so the round's end kills it; its process id is left in a file for that.
crane_pusher() {
    local round=$1 number=$2 n image child digest file path
    MY=$WORK/round/crane$number
    for ((n = 1; ; n++)); do
        REPOSITORY=crash/$round/crane$number-$n
        image=$WORK/images/$((n % 4))
        crane --insecure push "$image" "$HOST/$REPOSITORY:v1" >"$MY.log" 2>&1 &
        child=$!
        echo "$child" >"$MY.pid"
        if ! wait "$child"; then
            echo 'crane push' >>"$MY.interrupted"
            return 0
        fi
        digest=$(root_digest "$image")
        STATUS=201
        acknowledged "$REPOSITORY/manifests/v1" "$digest"
        for file in "$image"/blobs/sha256/*; do
            path=sha256:${file##*/}
            if [[ $path == "$digest" ]]; then path=manifests/$path; else path=blobs/$path; fi
            acknowledged "$REPOSITORY/$path" "sha256:${file##*/}"
        done
    done
}

# --- reading back ------------------------------------------------------------------------------------------------------

# Prints each file of blob data written since the round began whose content is not what its name says.
partial_blobs() {
    find "$DATA/docker/registry/v2/blobs/sha256" -name data -type f -newer "$WORK/round/began" 2>/dev/null |
        awk -F / '{ print $(NF - 1) "  " $0 }' >"$WORK/blobs.sums"
    if [[ -s $WORK/blobs.sums ]]; then
        sha256sum -c --quiet "$WORK/blobs.sums" 2>/dev/null || true
    fi
}

# references REPOSITORY TAG FILE: what the manifest names, as "path digest" lines.
references() {
    jq -r --arg r "$1" '[.config, .layers[]?] | .[] | "\($r)/blobs/\(.digest) \(.digest)"' "$3"
}

# Prints each tag of the round that cannot be resolved, and lists in FILE what the others refer to.
tags_that_do_not_resolve() {
    local round=$1 list=$2 repository tag status
    : >"$list"
    curl -fsS "http://$HOST/v2/_catalog?n=1000" | jq -r '.repositories[]' | grep "^crash/$round/" >"$WORK/repositories" || true
    while read -r repository; do
        # A repository whose first tag was not finished has no list of tags, which is a 404 and no fault.
        curl -s "http://$HOST/v2/$repository/tags/list" | jq -r '.tags[]?' >"$WORK/tags"
        while read -r tag; do
            status=$(curl -s -o "$WORK/manifest" -w '%{http_code}' -H "Accept: $ACCEPT" \
                "http://$HOST/v2/$repository/manifests/$tag" || true)
            if [[ $status == 200 ]] && references "$repository" "$tag" "$WORK/manifest" >>"$list" 2>/dev/null; then
                echo "$repository $tag" >>"$WORK/tags.resolved"
            else
                echo "tag does not resolve ($status): $repository:$tag"
            fi
        done <"$WORK/tags"
    done <"$WORK/repositories"
}

# Prints the moving tags that name neither what was acknowledged last nor what was tried after that.
moving_tags_gone_astray() {
    local round=$1 file number now
    for file in "$WORK"/round/*.moving; do
        [[ -e $file ]] || continue
        grep -q ^acknowledged "$file" || continue
        number=${file##*/}
        now=$(hash_of "http://$HOST/v2/crash/$round/${number%.moving}/manifests/moving" 2>/dev/null || true)
        tac "$file" | awk '{ print $2 } /^acknowledged/ { exit }' | grep -qx "$now" ||
            echo "moving tag is astray: crash/$round/${number%.moving} names '$now'"
    done
}

# --- the rounds --------------------------------------------------------------------------------------------------------

round() {
    local number=$1 i pids=() moment cut refused
    mkdir -p "$WORK/round"
    touch "$WORK/round/began"
    for i in 1 2 3 4; do
        curl_pusher "$number" "$i" &
        pids+=($!)
    done
    for i in 1 2; do
        crane_pusher "$number" "$i" &
        pids+=($!)
    done
    moment=$((400 + RANDOM % 1600))
    sleep "$(printf '%d.%03d' $((moment / 1000)) $((moment % 1000)))"
    registry_kill
    for i in "$WORK"/round/*.pid; do
        [[ ! -e $i ]] || kill "$(cat "$i")" 2>/dev/null || true
    done
    wait "${pids[@]}" 2>/dev/null || true
    registry_start "$DATA"

    cat "$WORK"/round/*.acknowledged 2>/dev/null | sort -u >"$WORK/acknowledged"
    fetch_and_hash "$WORK/acknowledged" >"$WORK/verified"
    sed '$d' "$WORK/verified" >>"$WORK/lost"
    partial_blobs >>"$WORK/partial"
    {
        tags_that_do_not_resolve "$number" "$WORK/referenced"
        # What is not acknowledged itself, but named by a tag, must be there too.
        sort -u "$WORK/referenced" | comm -23 - "$WORK/acknowledged" >"$WORK/referenced.more"
        fetch_and_hash "$WORK/referenced.more" | sed '$d'
        moving_tags_gone_astray "$number"
    } >>"$WORK/unresolved"
    cat "$WORK"/round/*.interrupted 2>/dev/null >"$WORK/interrupted" || true
    cat "$WORK"/round/*.refused 2>/dev/null >>"$WORK/refused" || true

    ACKNOWLEDGED=$((ACKNOWLEDGED + $(wc -l <"$WORK/acknowledged")))
    VERIFIED=$((VERIFIED + $(tail -n 1 "$WORK/verified")))
    cut=$(grep -c '^[0-9]' "$WORK/interrupted" || true)
    refused=$(grep -c '^7 ' "$WORK/interrupted" || true)
    MIDDLE=$((MIDDLE + cut - refused))
    printf 'round %2d: killed after %4d ms, %3d acknowledged, %3d verified, cut off: %d requests, %d between requests, %d crane pushes\n' \
        "$number" "$moment" "$(wc -l <"$WORK/acknowledged")" "$(tail -n 1 "$WORK/verified")" \
        "$((cut - refused))" "$refused" "$(grep -c ^crane "$WORK/interrupted" || true)"
    cat "$WORK/acknowledged" >>"$WORK/acknowledged.all"
    rm -r "$WORK/round"
}

mkdir -p "$WORK/layers" "$WORK/images"
noise noise 8000000 >"$WORK/noise"
noise shared 2000000 >"$WORK/shared"
SHARED=$(digest_of "$WORK/shared")
layer_make "$WORK/layers/base" base 1500000
for i in 0 1 2 3; do
    layer_make "$WORK/layers/$i" "own $i" 700000
    make_image "$WORK/images/$i" "local/$i:latest" amd64 "$WORK/layers/base" "$WORK/layers/$i"
done
touch "$WORK/lost" "$WORK/partial" "$WORK/unresolved" "$WORK/refused" "$WORK/tags.resolved"
ACKNOWLEDGED=0 VERIFIED=0 MIDDLE=0

registry_start "$WORK/data"
for ((r = 1; r <= ROUNDS; r++)); do round "$r"; done
# Later crashes and starts must not have touched what earlier rounds left.
fetch_and_hash "$WORK/acknowledged.all" >"$WORK/verified"
sed '$d' "$WORK/verified" >>"$WORK/lost"
echo "acknowledged: $ACKNOWLEDGED, verified: $VERIFIED, again after the last round: $(tail -n 1 "$WORK/verified")," \
    "tags resolved: $(wc -l <"$WORK/tags.resolved"), requests cut off: $MIDDLE"

scenario crash 'everything acknowledged is there, byte for byte' nothing_in "$WORK/lost"
scenario crash 'no blob is visible in part' nothing_in "$WORK/partial"
scenario crash 'each tag resolves to a whole image' nothing_in "$WORK/unresolved"
scenario crash 'no push was refused while the server ran' nothing_in "$WORK/refused"
# Fewer cuts, or hardly a push, would show nothing.
scenario crash "enough was cut off: $MIDDLE requests" test "$MIDDLE" -ge $(((ROUNDS + 1) / 2)) -a "$ACKNOWLEDGED" -ge $((ROUNDS * 10))
summary
