#!/usr/bin/env bash
# Azure Blob Storage and Google Cloud Storage, as far as their emulators go: Azurite and fake-gcs-server. Real clients push, pull,
# list and delete, and the conformance suite runs. Nothing is known from here about the services themselves.
#
#   emulators.sh [azure] [gcs]
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=engines.sh
source "$CLIENTS_DIR/engines.sh"
# shellcheck source=conformance_lib.sh
source "$CLIENTS_DIR/conformance_lib.sh"
need curl jq ss openssl tar gzip skopeo crane conformance

IMAGES=$WORK/images
LAYERS=$WORK/layers
ACCOUNT=anaccount
ACCOUNT_KEY=$(noise account 64 | base64 -w 0)
PLACE=registry
ROOT=docker/registry/v2

# --- Azurite ----------------------------------------------------------------------------------------------------------------------

azure_start() {
    local port
    need azurite-blob
    port=$(free_port)
    AZURE=http://127.0.0.1:$port/$ACCOUNT
    mkdir "$WORK/azurite"
    # Its check of the API version is about versions that it does not know yet.
    AZURITE_ACCOUNTS=$ACCOUNT:$ACCOUNT_KEY azurite-blob --silent --disableTelemetry --skipApiVersionCheck --location "$WORK/azurite" \
        --blobHost 127.0.0.1 --blobPort "$port" >"$WORK/azurite.log" 2>&1 &
    STARTED_PIDS+=($!)
    await Azurite "$WORK/azurite.log" azure GET "$PLACE" comp=list
}

# azure METHOD PATH PARAMETER=VALUE...: a signed request; the parameters in order. Any answer will do.
azure() {
    local method=$1 path=$2 date key parameter query='' resource
    shift 2
    date=$(LC_ALL=C date -u '+%a, %d %b %Y %H:%M:%S GMT')
    resource=/$ACCOUNT/$ACCOUNT/$path
    for parameter in "$@"; do
        query+=${query:+&}$parameter
        resource+=$'\n'${parameter/=/:}
    done
    key=$(base64 -d <<<"$ACCOUNT_KEY" | od -An -v -tx1 | tr -d ' \n')
    curl -sS -X "$method" -H 'Content-Length: 0' -H "x-ms-date: $date" -H 'x-ms-version: 2021-08-06' \
        -H "Authorization: SharedKey $ACCOUNT:$(printf '%s\n\n\n\n\n\n\n\n\n\n\n\nx-ms-date:%s\nx-ms-version:2021-08-06\n%s' "$method" "$date" "$resource" |
            openssl dgst -sha256 -mac HMAC -macopt "hexkey:$key" -binary | base64 -w 0)" "$AZURE/$path?$query"
}

azure_place() { azure PUT "$PLACE" restype=container; }
azure_keys() { azure GET "$PLACE" comp=list restype=container | grep -o '<Name>[^<]*' | sed 's/<Name>//'; }
azure_settings() {
    STORE=(REGISTRY_STORAGE=azure REGISTRY_STORAGE_AZURE_ACCOUNTNAME="$ACCOUNT" REGISTRY_STORAGE_AZURE_ACCOUNTKEY="$ACCOUNT_KEY"
        REGISTRY_STORAGE_AZURE_CONTAINER="$PLACE" REGISTRY_STORAGE_AZURE_SERVICEURL="$AZURE")
}

# --- fake-gcs-server -----------------------------------------------------------------------------------------------------------------

# Clients of the XML API, which the registry is, cannot push to fake-gcs-server: gcs_xml.pl stands before it.
gcs_start() {
    local port front
    need fake-gcs-server perl
    port=$(free_port) front=$(free_port)
    GCS=http://127.0.0.1:$port GCS_XML=http://127.0.0.1:$front
    fake-gcs-server -scheme http -host 127.0.0.1 -port "$port" -public-host "127.0.0.1:$port" -external-url "$GCS" -backend filesystem \
        -filesystem-root "$WORK/gcs" -log-level error >"$WORK/gcs.log" 2>&1 &
    STARTED_PIDS+=($!)
    await fake-gcs-server "$WORK/gcs.log" curl -fs "$GCS/storage/v1/b?project=p"
    mkdir "$WORK/gcs-parts"
    perl "$CLIENTS_DIR/gcs_xml.pl" "$front" "$port" "$WORK/gcs-parts" >>"$WORK/gcs.log" 2>&1 &
    STARTED_PIDS+=($!)
    await 'the XML API' "$WORK/gcs.log" curl -s "$GCS_XML/any?list-type=2"
}

gcs_place() { curl -fsS -o /dev/null -H 'Content-Type: application/json' -d "{\"name\":\"$PLACE\"}" "$GCS/storage/v1/b?project=p"; }
gcs_keys() { curl -fsS "$GCS/storage/v1/b/$PLACE/o" | jq -r '.items[]?.name'; }
gcs_settings() { STORE=(REGISTRY_STORAGE=gcs REGISTRY_STORAGE_GCS_BUCKET="$PLACE" REGISTRY_STORAGE_GCS_ENDPOINT="$GCS_XML"); }

# --- what is done with both --------------------------------------------------------------------------------------------------------------

crane_round() {
    crane_ --insecure push "$IMAGES/$1" "$HOST/crane/$1:latest"
    crane_ --insecure validate --remote "$HOST/crane/$1:latest"
    expect 'digest' "$(root_digest "$IMAGES/$1")" "$(crane_ --insecure digest "$HOST/crane/$1:latest")"
}

skopeo_round() {
    skopeo_ copy -q --all --preserve-digests --dest-tls-verify=false "oci:$IMAGES/index:latest" "docker://$HOST/skopeo/index:1.0"
    rm -rf "$WORK/pulled"
    skopeo_ copy -q --all --preserve-digests --src-tls-verify=false "docker://$HOST/skopeo/index:1.0" "oci:$WORK/pulled:latest"
    layout_sound "$WORK/pulled"
}

lists() {
    local tag
    for tag in 1.0-a 1.0.1 a; do crane_ --insecure tag "$HOST/skopeo/index:1.0" "$tag"; done
    expect catalog crane/big,crane/index,skopeo/index "$(crane_ --insecure catalog "$HOST" | paste -s -d ,)"
    expect tags 1.0,1.0-a,1.0.1,a "$(crane_ --insecure ls "$HOST/skopeo/index" | paste -s -d ,)"
    expect 'a page' '["1.0-a","1.0.1"]' "$(curl -fsS "http://$HOST/v2/skopeo/index/tags/list?n=2&last=1.0" | jq -c .tags)"
}

# chunks: smaller and larger than a part, after which the upload's own keys are gone.
chunks() {
    local file=$WORK/chunks url digest offset=0 size
    noise chunks 25000000 >"$file"
    digest=$(digest_of "$file")
    url=$(upload_url chunks)
    for size in 100 3000000 12000000 9999900; do
        dd if="$file" iflag=skip_bytes,count_bytes skip="$offset" count="$size" bs=1M status=none >"$file.part"
        url=$(curl -fsS -o /dev/null -D - -X PATCH -H 'Content-Type: application/octet-stream' -H 'Expect:' \
            -H "Content-Range: $offset-$((offset + size - 1))" -T "$file.part" "$url" | tr -d '\r' | sed -n 's/^location: //Ip')
        [[ $url != /* ]] || url=http://$HOST$url
        offset=$((offset + size))
    done
    expect 'the end' 201 "$(curl -s -o /dev/null -w '%{http_code}' -X PUT -H 'Content-Length: 0' "$(with_digest "$url" "$digest")")"
    expect 'the blob' "$digest" "$(hash_of "http://$HOST/v2/chunks/blobs/$digest")"
    expect 'a part of it' "$(tail -c 2000 "$file" | digest_of -)" "$(curl -fsS -r -2000 "http://$HOST/v2/chunks/blobs/$digest" | digest_of -)"
}

# layout STORE: where distribution has them.
layout() {
    "$1_keys" >"$WORK/keys"
    if grep -v "^$ROOT/" "$WORK/keys"; then echo "keys outside of $ROOT" && return 1; fi
    grep -qx "$ROOT/repositories/crane/big/_manifests/tags/latest/current/link" "$WORK/keys"
    expect 'uploads left' '' "$(grep /_uploads/ "$WORK/keys" || true)"
}

deletes() {
    local digest
    digest=$(root_digest "$IMAGES/big")
    expect 'DELETE of a tag' 202 "$(status_of -X DELETE "http://$HOST/v2/skopeo/index/manifests/a")"
    expect 'tags' 1.0,1.0-a,1.0.1 "$(crane_ --insecure ls "$HOST/skopeo/index" | paste -s -d ,)"
    crane_ --insecure delete "$HOST/crane/big@$digest"
    expect 'its tag' 404 "$(status_of "http://$HOST/v2/crane/big/manifests/latest")"
    digest=$(config_digest "$IMAGES/big")
    expect 'DELETE of a blob' 202 "$(status_of -X DELETE "http://$HOST/v2/crane/big/blobs/$digest")"
    expect 'the blob' 404 "$(status_of "http://$HOST/v2/crane/big/blobs/$digest")"
    crane_round big
}

emulator() {
    "$1_start"
    "$1_place" >"$WORK/place" 2>&1
    "$1_settings"
    registry_start '' "${STORE[@]}"
    scenario "$1" 'crane pushes and pulls a large layer' crane_round big
    scenario "$1" 'crane pushes and pulls an index' crane_round index
    scenario "$1" 'skopeo pushes and pulls an index' skopeo_round
    scenario "$1" 'the lists' lists
    scenario "$1" 'an upload in chunks' chunks
    scenario "$1" 'the objects lie where distribution has them' layout "$1"
    scenario "$1" 'a tag, a manifest and a blob are deleted' deletes
    suite "$1"
    show "$1"
    scenario "$1" "the conformance suite: $(count "$1" Pass || echo no) passes, all else must be 0" judge "$1" "$MIN_PASS"
    scenario "$1" 'no secret is in the log' expect secrets 0 "$(grep -cF "$ACCOUNT_KEY" "$WORK/registry.log" || true)"
    registry_stop
}

mkdir -p "$LAYERS" "$IMAGES"
layer_make "$LAYERS/base" base 1000000
layer_make "$LAYERS/big" big 34000000
make_image "$IMAGES/big" local/big:latest amd64 "$LAYERS/base" "$LAYERS/big"
make_index "$IMAGES/index" local/index:latest "$LAYERS/base"
stores=("$@")
((${#stores[@]})) || stores=(azure gcs)
for store in "${stores[@]}"; do emulator "$store"; done
summary
