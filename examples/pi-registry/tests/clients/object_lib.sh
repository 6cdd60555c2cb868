# A real MinIO, and registries that keep everything in a bucket of it. Sourced after lib.sh and engines.sh.
# shellcheck shell=bash

# shellcheck source=certificates_lib.sh
source "$CLIENTS_DIR/certificates_lib.sh"

# A machine's own settings for stores elsewhere.
unset "${!AWS_@}"

# What is asked of pi-registry alone: its messages, its commands, and what distribution 2.8 cannot do.
OURS=1
[[ ${REGISTRY_BIN:-} != peer && ${REGISTRY_BIN:-} != *' '* ]] || OURS=

# With what YAML, URLs and signatures might take for something else.
STORE_KEY=an-access-key
STORE_SECRET='its/secret+key=of the'
STORE_REGION=us-east-1
BUCKET=registry
MINIO_ADDRESS=127.0.0.1
MINIO_PORT=
MINIO_PID=
# Variables that it gets besides.
MINIO_SETTINGS=()
MINIO_DATA=$WORK/minio
ROOT=docker/registry/v2

# --- the store ------------------------------------------------------------------------------------------------------------------

# minio_start tls|plain: on its own data, MINIO_DATA, and always the same port. Sets MINIO, its URL. With tls its
# certificate is from a CA of its own, MINIO_CA, that nobody trusts.
minio_start() {
    local certificates=()
    need minio
    MINIO_PORT=${MINIO_PORT:-$(free_port)}
    MINIO_SCHEME=http
    if [[ $1 == tls ]]; then
        MINIO_SCHEME=https MINIO_CA=$CERTS/store-ca.crt
        if [[ ! -e $MINIO_CA ]]; then
            make_authority store-ca
            make_certificate store store-ca "subjectAltName=IP:$MINIO_ADDRESS" extendedKeyUsage=serverAuth
            mkdir "$CERTS/minio"
            cp "$CERTS/store.crt" "$CERTS/minio/public.crt"
            cp "$CERTS/store.key" "$CERTS/minio/private.key"
        fi
        certificates=(--certs-dir "$CERTS/minio")
    fi
    MINIO=$MINIO_SCHEME://$MINIO_ADDRESS:$MINIO_PORT
    mkdir -p "$MINIO_DATA"
    "${ENGINE_PREFIX[@]}" env -i PATH="$PATH" HOME="$HOME" MINIO_ROOT_USER="$STORE_KEY" MINIO_ROOT_PASSWORD="$STORE_SECRET" \
        MINIO_SITE_REGION="$STORE_REGION" MINIO_BROWSER=off MINIO_UPDATE=off "${MINIO_SETTINGS[@]}" \
        minio server --quiet --address "$MINIO_ADDRESS:$MINIO_PORT" "${certificates[@]}" "$MINIO_DATA" >>"$WORK/minio.log" 2>&1 &
    MINIO_PID=$!
    STARTED_PIDS+=("$MINIO_PID")
    await MinIO "$WORK/minio.log" on_machine curl -fsk "$MINIO/minio/health/ready"
}

minio_stop() {
    end "$MINIO_PID"
    MINIO_PID=
}

# s3 PATH [CURL ARGUMENT...]: a signed request. Queries must be in order and encoded.
s3() {
    local path=$1
    shift
    on_machine curl -fsS ${MINIO_CA:+--cacert "$MINIO_CA"} --aws-sigv4 "aws:amz:$STORE_REGION:s3" --user "$STORE_KEY:$STORE_SECRET" \
        "$@" "$MINIO/$path"
}

# MinIO may say that it is ready, and answer 503 for a moment all the same.
bucket_make() { s3 "$1" -X PUT --retry 8 --retry-delay 1; }

encoded() { jq -rn --arg t "$1" '$t | @uri'; }

# keys [PREFIX] [BUCKET]: all of them, sorted by bytes.
keys() {
    local prefix=${1:-} bucket=${2:-$BUCKET} after='' page
    while :; do
        page=$(s3 "$bucket?list-type=2&prefix=$(encoded "$prefix")${after:+&start-after=$(encoded "$after")}")
        grep -o '<Key>[^<]*' <<<"$page" | sed 's/<Key>//' || true
        grep -q '<IsTruncated>true' <<<"$page" || break
        after=$(grep -o '<Key>[^<]*' <<<"$page" | tail -n 1 | sed 's/<Key>//')
    done
}

# unfinished [BUCKET]: keys of multipart uploads that nobody has ended. MinIO lists them by their exact prefix only, so they are
# looked for on its disk.
unfinished() { find "$MINIO_DATA/.minio.sys/multipart" -mindepth 2 -maxdepth 2 2>/dev/null | wc -l; }

key_delete() { s3 "${2:-$BUCKET}/$1" -X DELETE; }
key_get() { s3 "${2:-$BUCKET}/$1"; }
# key_header NAME KEY [BUCKET]: a header of a HEAD.
key_header() { s3 "${3:-$BUCKET}/$2" -I | tr -d '\r' | sed -n "s/^$1: //Ip"; }

blob_key() { echo "$ROOT/blobs/${1%%:*}/${1:7:2}/${1#*:}/data"; }

# --- the registry on it -----------------------------------------------------------------------------------------------------------

# store_settings: sets STORE, the registry's variables for BUCKET. Distribution 2.8 has no key for a CA, and sends clients to the store
# unless it is told not to.
# shellcheck disable=SC2034 # the callers'
store_settings() {
    STORE=(REGISTRY_STORAGE=s3 REGISTRY_STORAGE_S3_ACCESSKEY="$STORE_KEY" REGISTRY_STORAGE_S3_SECRETKEY="$STORE_SECRET"
        REGISTRY_STORAGE_S3_REGION="$STORE_REGION" REGISTRY_STORAGE_S3_REGIONENDPOINT="${STORE_ENDPOINT:-$MINIO}"
        REGISTRY_STORAGE_S3_BUCKET="$BUCKET" REGISTRY_HTTP_SECRET=a-secret-of-all)
    [[ $MINIO_SCHEME == https ]] || STORE+=(REGISTRY_STORAGE_S3_SECURE=false)
    if [[ -n $OURS ]]; then
        [[ -z ${MINIO_CA:-} ]] || STORE+=(REGISTRY_STORAGE_S3_CAFILE="$MINIO_CA")
    else
        STORE+=(REGISTRY_STORAGE_REDIRECT_DISABLE=true)
        [[ -z ${MINIO_CA:-} ]] || STORE+=(SSL_CERT_FILE="$MINIO_CA")
    fi
}

# object_start [VARIABLE=VALUE...]
object_start() {
    store_settings
    registry_start '' "${STORE[@]}" "$@"
}

declare -A REPLICA_PORT REPLICA_PID

# replica_start NAME [VARIABLE=VALUE...]: one of several, each of which keeps its port. HOST is the last one that was started.
replica_start() {
    local name=$1
    shift
    REGISTRY_PORT=${REPLICA_PORT[$name]:-}
    object_start "$@"
    REPLICA_PORT[$name]=$REGISTRY_PORT
    REPLICA_PID[$name]=$REGISTRY_PID
}

# shellcheck disable=SC2034 # lib.sh's
# replica_use NAME: the helpers of lib.sh go there.
replica_use() {
    REGISTRY_PORT=${REPLICA_PORT[$1]}
    REGISTRY_PID=${REPLICA_PID[$1]}
    HOST=127.0.0.1:$REGISTRY_PORT
}

replica_kill() {
    kill -KILL "${REPLICA_PID[$1]}"
    wait "${REPLICA_PID[$1]}" 2>/dev/null || true
}

# --- what is bad from the start --------------------------------------------------------------------------------------------------

# refuses KEY VARIABLE=VALUE...: it ends by itself, with one line besides warnings that names the key and no secret.
refuses() {
    local key=$1 status=0 words began=$SECONDS
    shift
    read -ra words <<<"$(registry_command)"
    env -u REGISTRY_BIN REGISTRY_HTTP_ADDR=127.0.0.1:0 "${STORE[@]}" "$@" \
        timeout 60 "${words[@]}" >"$WORK/start.out" 2>"$WORK/start.err" || status=$?
    cat "$WORK/start.err"
    echo "status $status after $((SECONDS - began)) s"
    expect 'exit code' 1 "$status"
    expect 'lines' 1 "$(grep -vc ' WARN ' "$WORK/start.err")"
    grep -v ' WARN ' "$WORK/start.err" | grep -qF -e "$key" || { echo "'$key' is not named" && return 1; }
    if grep -F -e "$STORE_SECRET" "$WORK/start.err"; then echo 'a secret' && return 1; fi
    ((SECONDS - began <= 35)) || { echo 'that took too long' && return 1; }
}

# checked KEY VARIABLE=VALUE...: `check` has an error that names it, too.
checked() {
    local key=$1 status=0
    shift
    env -u REGISTRY_BIN REGISTRY_HTTP_ADDR=127.0.0.1:0 "${STORE[@]}" "$@" \
        timeout 60 "$PROGRAM" check "$WORK/config.yml" >"$WORK/check.out" 2>&1 || status=$?
    cat "$WORK/check.out"
    expect 'exit code' 1 "$status"
    grep '^error' "$WORK/check.out" | grep -qF -e "$key" || { echo "'$key' is not named" && return 1; }
    if grep -F -e "$STORE_SECRET" "$WORK/check.out"; then echo 'a secret' && return 1; fi
}

# shellcheck disable=SC2034 # the callers'
[[ -z $OURS ]] || read -r PROGRAM _ <<<"$(registry_command)"
[[ -z $OURS || -n $PROGRAM ]] || exit 1
