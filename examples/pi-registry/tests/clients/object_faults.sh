#!/usr/bin/env bash
# Harm between the registry and MinIO, one kind after the other (object_faults.pl): no wrong byte reaches a client, nothing that was
# acknowledged is lost, memory stays bounded, and all is well again when the harm ends.
#
#   object_faults.sh [KIND...]      FAULT_SECONDS=3 says for how long each kind is done
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=engines.sh
source "$CLIENTS_DIR/engines.sh"
# shellcheck source=object_lib.sh
source "$CLIENTS_DIR/object_lib.sh"
need curl jq ss openssl perl

SECONDS_EACH=${FAULT_SECONDS:-3}
LIMIT=96
FAULT=$WORK/fault
DONE=$WORK/faults.done
MANIFEST_TYPE=application/vnd.oci.image.index.v1+json
# What must come through because it is tried again, in percent of the pulls and pushes.
declare -A THROUGH=([slowdown]=90 [trickle]=90 [reset-upload]=80)
# Kind, share of the requests in percent, methods.
FAULTS=(
    'slowdown 20 .*'
    'trickle 40 .*'
    'reset-upload 30 .*'
    'reset-download 30 .*'
    'cut-download 30 .*'
    'reset-answer 20 PUT|POST|DELETE'
    'hang 10 .*'
    'hang-download 30 .*'
    'etag 100 .*'
)

# --- the harm ------------------------------------------------------------------------------------------------------------------

# shellcheck disable=SC2034 # object_lib.sh's
proxy_start() {
    local port
    port=$(free_port)
    echo none >"$FAULT"
    perl "$CLIENTS_DIR/object_faults.pl" "$port" "$MINIO_PORT" "$FAULT" >>"$DONE" 2>"$WORK/proxy.log" &
    STARTED_PIDS+=($!)
    await 'the proxy' "$WORK/proxy.log" curl -fs "http://127.0.0.1:$port/minio/health/live"
    STORE_ENDPOINT=http://127.0.0.1:$port
}

harm() { echo "$*" >"$FAULT.new" && mv "$FAULT.new" "$FAULT"; }
times_done() { grep -c "^$1 " "$DONE" || true; }

# --- pulls and pushes, whatever happens -------------------------------------------------------------------------------------------

# wrong TEXT: what must never be.
wrong() { echo "$*" >>"$MY/wrong"; }
went() { echo "$1" >>"$MY/went"; }

# get PATH FILE: the answer is the file, or a 5xx, or a connection that breaks after a part of it; never anything else.
get() {
    local status code=0
    status=$(curl -s -m 12 -o "$MY/body" -w '%{http_code}' -H "Accept: $ACCEPT" "http://$HOST/v2/$1") || code=$?
    case $code,$status in
    0,200) if cmp -s "$MY/body" "$2"; then went ok; else wrong "GET $1: another body, $(stat -c %s "$MY/body") bytes"; fi ;;
    0,5??) went refused ;;
    0,*) wrong "GET $1: $status" ;;
    *,200)
        went broken
        [[ ! -s $MY/body ]] || cmp -s -n "$(stat -c %s "$MY/body")" "$MY/body" "$2" || wrong "GET $1: what came before the break is wrong"
        ;;
    *) went broken ;;
    esac
}

# ask ARGUMENT...: sets STATUS, 000 if there was none, and LOCATION.
ask() {
    STATUS=$(curl -s -m 12 -o "$MY/answer" -D "$MY/headers" -w '%{http_code}' -H 'Expect:' "$@") || STATUS=000
    LOCATION=$(tr -d '\r' <"$MY/headers" | sed -n 's/^location: //Ip' | tail -n 1)
    [[ $LOCATION != /* ]] || LOCATION=http://$HOST$LOCATION
}

# excused WHAT: no answer, or one that says that it is the server's fault.
excused() {
    case $STATUS in
    000 | 5??) went refused && echo "$1: $STATUS" >>"$MY/refused" ;;
    *) wrong "$1: $STATUS $(head -c 200 "$MY/answer")" ;;
    esac
}

# put FILE STYLE: whole, or streamed and finished.
put() {
    local repository=$KIND/$NUMBER digest
    digest=$(digest_of "$1")
    ask -X POST -H 'Content-Length: 0' "http://$HOST/v2/$repository/blobs/uploads/"
    [[ $STATUS == 202 ]] || { excused "POST" && return 0; }
    if [[ $2 == whole ]]; then
        ask -X PUT -H 'Content-Type: application/octet-stream' -T "$1" "$(with_digest "$LOCATION" "$digest")"
    else
        ask -X PATCH -H 'Content-Type: application/octet-stream' -H 'Transfer-Encoding: chunked' -T "$1" "$LOCATION"
        [[ $STATUS == 202 ]] || { excused "PATCH" && return 0; }
        ask -X PUT -H 'Content-Length: 0' "$(with_digest "$LOCATION" "$digest")"
    fi
    [[ $STATUS == 201 ]] || { excused "PUT of a blob, $2" && return 0; }
    went ok
    echo "$repository/blobs/$digest $digest" >>"$MY/acknowledged"
}

put_tag() {
    printf '{"schemaVersion":2,"mediaType":"%s","manifests":[],"annotations":{"n":"%s"}}' "$MANIFEST_TYPE" "$1" >"$MY/manifest"
    ask -X PUT -H "Content-Type: $MANIFEST_TYPE" --data-binary "@$MY/manifest" "http://$HOST/v2/$KIND/$NUMBER/manifests/$1"
    [[ $STATUS == 201 ]] || { excused 'PUT of a manifest' && return 0; }
    went ok
    echo "$KIND/$NUMBER/manifests/$1 $(digest_of "$MY/manifest")" >>"$MY/acknowledged"
}

# worker KIND NUMBER: two pull, two push.
worker() {
    local until=$((SECONDS + SECONDS_EACH)) n=0 file
    KIND=$1 NUMBER=$2
    MY=$WORK/harmed/$1-$2
    mkdir -p "$MY"
    touch "$MY"/{wrong,went,refused,acknowledged,headers,answer}
    while ((SECONDS < until)); do
        n=$((n + 1))
        if ((NUMBER % 2)); then
            for file in "$WORK"/before/*; do get "before/blobs/$(digest_of "$file")" "$file"; done
            get before/manifests/latest "$WORK/before-manifest"
        else
            noise "$KIND $NUMBER $n" $((n % 3 ? 300000 : 12000000)) >"$MY/file"
            put "$MY/file" "$( ((n % 2)) && echo whole || echo streamed)"
            put_tag "v$n"
        fi
    done
}

# --- the verdict ---------------------------------------------------------------------------------------------------------------------

# verified LIST: each "path digest" line, as curl alone fetches them all.
verified() {
    local path digest
    while read -r path digest; do expect "$path" "$digest" "$(hash_of "http://$HOST/v2/$path")"; done <"$1"
    echo "$(wc -l <"$1") verified"
}
nothing_in() { [[ ! -s $1 ]] || { sort "$1" | uniq -c | head -n 10 && return 1; }; }
under_limit() { (($1 <= LIMIT)) || { echo "$1 MiB, the limit is $LIMIT MiB" && return 1; }; }

# well_again: within some seconds, since what hangs may be noticed late.
well_again() {
    local i file=$WORK/well
    noise "well $1" 7000000 >"$file"
    for ((i = 0; i < 30; i++)); do
        [[ $(push_blob "well/$1" "$file" "$(digest_of "$file")") == 201 ]] && break
        sleep 0.5
    done
    expect 'what was pushed then' "$(digest_of "$file")" "$(hash_of "http://$HOST/v2/well/$1/blobs/$(digest_of "$file")")"
}

# enough KIND: what may be tried again was, and came through.
enough() {
    awk -v least="$2" '{ n[$1]++ } END { all = n["ok"] + n["refused"] + n["broken"]; if (all == 0 || n["ok"] * 100 < least * all) exit 1 }' "$1"
}

under_harm() {
    local kind=$1 number pids=() before done_before all=$WORK/harmed
    done_before=$(times_done "$kind")
    from_now_on
    harm "$@"
    for number in 1 2 3 4; do
        worker "$kind" "$number" &
        pids+=($!)
    done
    wait "${pids[@]}"
    harm none
    before=$(peak)
    cat "$all/$kind"-?/went | sort | uniq -c | awk '{ printf "%s%s %s", (NR > 1 ? ", " : ""), $1, $2 }' >"$all/counts"
    echo "$kind: $(($(times_done "$kind") - done_before)) times; pulls and pushes: $(cat "$all/counts"); $before MiB"
    cat "$all/$kind"-?/refused | sort | uniq -c
    cat "$all/$kind"-?/wrong >"$all/$kind.wrong"
    cat "$all/$kind"-?/went >"$all/$kind.went"
    cat "$all/$kind"-?/acknowledged >"$all/$kind.acknowledged"
    scenario "$kind" 'was done' test "$(times_done "$kind")" -gt "$((done_before + 1))"
    scenario "$kind" 'no wrong byte, and no answer that is not so' nothing_in "$all/$kind.wrong"
    [[ -z ${THROUGH[$kind]:-} ]] ||
        scenario "$kind" "${THROUGH[$kind]} % come through, because it is tried again" enough "$all/$kind.went" "${THROUGH[$kind]}"
    scenario "$kind" 'everything works after it' well_again "$kind"
    scenario "$kind" 'everything acknowledged is there' verified "$all/$kind.acknowledged"
    scenario "$kind" 'and what was there before' verified "$WORK/before.list"
    scenario "$kind" "$before MiB, at most $LIMIT" under_limit "$before"
}

# --- all of it ---------------------------------------------------------------------------------------------------------------------------

minio_start plain
bucket_make "$BUCKET"
proxy_start
object_start REGISTRY_STORAGE_S3_CHUNKSIZE=5242880
mkdir "$WORK"/{before,harmed}
for size in 2000 900000 6000000 20000000; do
    noise "before $size" "$size" >"$WORK/before/$size"
    digest=$(digest_of "$WORK/before/$size")
    expect 'push before' 201 "$(push_blob before "$WORK/before/$size" "$digest")"
    echo "before/blobs/$digest $digest" >>"$WORK/before.list"
done
printf '{"schemaVersion":2,"mediaType":"%s","manifests":[]}' "$MANIFEST_TYPE" >"$WORK/before-manifest"
expect 'manifest before' 201 "$(put_manifest before latest "$WORK/before-manifest")"
echo "before/manifests/latest $(digest_of "$WORK/before-manifest")" >>"$WORK/before.list"

# What is said at the start of an endpoint that answers, and refuses.
if [[ -n $OURS ]]; then
    store_settings
    harm denied 100 'PUT|POST'
    scenario denied 'check says what may not be done' checked storage.s3
    harm denied 100 '.*'
    scenario denied 'one line at the start' refuses storage.s3
    harm skewed 100 '.*'
    scenario skewed 'one line at the start' refuses clock
    scenario skewed 'check says so, too' checked clock
    harm none
fi

for fault in "${FAULTS[@]}"; do
    read -ra words <<<"$fault"
    (($# == 0)) || [[ " $* " == *" ${words[0]} "* ]] || continue
    under_harm "${words[@]}"
done
summary
