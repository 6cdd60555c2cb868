#!/usr/bin/env bash
# Everything in a bucket of a real MinIO, over TLS from its own CA: real clients push and pull, the objects lie where distribution
# has them, redirects are given only when asked for, and what is wrong with the store is said in one line.
#
# Docker itself is with MinIO in stories.sh, story 4.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=engines.sh
source "$CLIENTS_DIR/engines.sh"
# shellcheck source=object_lib.sh
source "$CLIENTS_DIR/object_lib.sh"
((EUID == 0)) || die 'podman needs root'
need curl jq ss openssl tar gzip skopeo crane podman oras regctl htpasswd

IMAGES=$WORK/images
LAYERS=$WORK/layers

# --- clients -------------------------------------------------------------------------------------------------------------------

make_images() {
    mkdir -p "$LAYERS" "$IMAGES"
    layer_make "$LAYERS/base" base 1000000
    layer_make "$LAYERS/one" one 200000
    # More than three parts of 10 MiB.
    layer_make "$LAYERS/big" big 34000000
    make_image "$IMAGES/one" local/one:latest amd64 "$LAYERS/base" "$LAYERS/one"
    make_image "$IMAGES/big" local/big:latest amd64 "$LAYERS/base" "$LAYERS/big"
    make_index "$IMAGES/index" local/index:latest "$LAYERS/base"
}

podman_round() {
    local image=$HOST/podman/big:latest
    podman_ load -q -i "$(archive "$IMAGES/big" local/big:latest)"
    podman_ push -q --tls-verify=false docker.io/local/big:latest "docker://$image"
    podman_ rmi -a -f
    podman_ pull -q --tls-verify=false "$image"
    expect 'id of what was pulled' "$(config_digest "$IMAGES/big")" "$(podman_id "$image")"
    podman_ rmi -a -f
}

# skopeo_round NAME: with all of an index.
skopeo_round() {
    local image=$HOST/skopeo/$1:latest
    skopeo_ copy -q --all --preserve-digests --dest-tls-verify=false "oci:$IMAGES/$1:latest" "docker://$image"
    rm -rf "$WORK/pulled"
    skopeo_ copy -q --all --preserve-digests --src-tls-verify=false "docker://$image" "oci:$WORK/pulled:latest"
    expect 'digest of what was pulled' "$(root_digest "$IMAGES/$1")" "$(root_digest "$WORK/pulled")"
    layout_sound "$WORK/pulled"
}

crane_round() {
    local image=$HOST/crane/$1:latest
    crane_ --insecure push "$IMAGES/$1" "$image"
    crane_ --insecure validate --remote "$image"
    expect 'digest' "$(root_digest "$IMAGES/$1")" "$(crane_ --insecure digest "$image")"
}

# A referrer, by two clients that ask for it in the registry's own list.
artifact() {
    local image=$HOST/crane/one:latest
    printf 'a note' >"$WORK/note"
    (cd "$WORK" && timeout 60 oras attach --plain-http --artifact-type application/vnd.example.note "$image" note:text/plain)
    timeout 60 oras discover --plain-http --format json "$image" | tee "$WORK/discovered" | grep -q application/vnd.example.note
    timeout 60 regctl --host "reg=$HOST,tls=disabled" artifact list --format '{{jsonPretty .}}' "$image" |
        grep -q application/vnd.example.note
    expect 'referrers' 1 "$(curl -fsS "http://$HOST/v2/crane/one/referrers/$(root_digest "$IMAGES/one")" | jq '.manifests | length')"
    expect 'tags of the fallback' 0 "$(curl -fsS "http://$HOST/v2/crane/one/tags/list" | grep -c 'sha256-' || true)"
}

lists() {
    expect catalog '["crane/index","crane/one","podman/big","skopeo/big","skopeo/index"]' \
        "$(curl -fsS "http://$HOST/v2/_catalog" | jq -c '.repositories | sort')"
    expect tags '["latest"]' "$(curl -fsS "http://$HOST/v2/skopeo/index/tags/list" | jq -c .tags)"
    [[ -n $OURS ]] || return 0
    # Names sort otherwise than keys, where 1.0-a/ comes before 1.0/.
    local tag
    for tag in 1.0 1.0-a 1.0.1 1 a; do
        crane_ --insecure tag "$HOST/crane/index:latest" "$tag"
    done
    expect 'all tags' '["1","1.0","1.0-a","1.0.1","a","latest"]' "$(curl -fsS "http://$HOST/v2/crane/index/tags/list" | jq -c .tags)"
    expect 'a page of tags' '["1.0-a","1.0.1"]' "$(curl -fsS "http://$HOST/v2/crane/index/tags/list?n=2&last=1.0" | jq -c .tags)"
    expect 'a page of the catalog' '["podman/big","skopeo/big"]' \
        "$(curl -fsS "http://$HOST/v2/_catalog?n=2&last=crane/one" | jq -c .repositories)"
}

# --- what is in the bucket -------------------------------------------------------------------------------------------------------

layout() {
    local digest file key
    keys >"$WORK/keys"
    if grep -v "^$ROOT/" "$WORK/keys"; then echo "keys outside of $ROOT" && return 1; fi
    for file in "$IMAGES"/{one,big,index}/blobs/sha256/*; do
        digest=sha256:${file##*/}
        key=$(blob_key "$digest")
        grep -qxF "$key" "$WORK/keys" || { echo "no $key" && return 1; }
        expect "hash of $key" "$digest" "$(key_get "$key" | digest_of -)"
    done
    digest=$(root_digest "$IMAGES/one")
    for key in _manifests/tags/latest/current _manifests/tags/latest/index/sha256/"${digest#*:}" \
        _manifests/revisions/sha256/"${digest#*:}"; do
        expect "$key" "$digest" "$(key_get "$ROOT/repositories/crane/one/$key/link")"
    done
    digest=$(config_digest "$IMAGES/one")
    expect 'the link of a blob' "$digest" "$(key_get "$ROOT/repositories/crane/one/_layers/sha256/${digest#*:}/link")"
    # What is finished leaves no upload behind.
    expect 'uploads left' '' "$(grep /_uploads/ "$WORK/keys" || true)"
    expect 'unfinished multipart uploads' 0 "$(unfinished)"
}

# gone WHAT PATH: deleted, and 404 at once. 2.8 does not delete tags.
gone() {
    expect "DELETE of a $1" 202 "$(status_of -X DELETE "http://$HOST/v2/$2")"
    expect "GET of a deleted $1" 404 "$(status_of "http://$HOST/v2/$2")"
    expect "HEAD of a deleted $1" 404 "$(status_of -I "http://$HOST/v2/$2")"
}
deletes() {
    local digest
    crane_ --insecure push "$IMAGES/one" "$HOST/deleted:old"
    crane_ --insecure tag "$HOST/deleted:old" other
    digest=$(root_digest "$IMAGES/one")
    if [[ -n $OURS ]]; then
        gone tag deleted/manifests/other
        expect 'the other tag' 200 "$(status_of "http://$HOST/v2/deleted/manifests/old")"
    fi
    gone manifest "deleted/manifests/$digest"
    expect 'its tag' 404 "$(status_of "http://$HOST/v2/deleted/manifests/old")"
    gone blob "deleted/blobs/$(config_digest "$IMAGES/one")"
    expect 'the same in another repository' 200 "$(status_of "http://$HOST/v2/crane/one/blobs/$(config_digest "$IMAGES/one")")"
    # And back again.
    crane_ --insecure push "$IMAGES/one" "$HOST/deleted:old"
    crane_ --insecure validate --remote "$HOST/deleted:old"
}

# --- ways to name the store --------------------------------------------------------------------------------------------------------

# quoted_file: as people write it, with booleans in quotes, and without the CA.
quoted_file() {
    cat >"$WORK/quoted.yml" <<YML
version: 0.1
storage:
  s3:
    accesskey: "$STORE_KEY"
    secretkey: "$STORE_SECRET"
    region: $STORE_REGION
    regionendpoint: $MINIO
    forcepathstyle: "true"
    bucket: $BUCKET
    secure: "true"
    skipverify: "true"
    v4auth: "true"
    encrypt: "false"
    chunksize: "5242880"
    rootdirectory: /some/where/
  delete: {enabled: true}
  redirect: {disable: true}
http: {addr: ":5000"}
YML
}

# serves_quoted: nothing of the environment but the address.
quoted_round() {
    crane_round big
    keys some/where/docker/registry/v2/blobs/ | grep -c '/data$' | grep -x 4
    expect 'repositories' crane/big "$(curl -fsS "http://$HOST/v2/_catalog" | jq -r '.repositories[]')"
}

# encrypted: what the store says of an object that has just been made.
encrypted() {
    local digest
    for digest in "$(push_noise small 20000)" "$(push_noise large 40000000)"; do
        expect "encryption of $digest" AES256 "$(key_header x-amz-server-side-encryption "$(blob_key "$digest")")"
        expect "class of $digest" REDUCED_REDUNDANCY "$(key_header x-amz-storage-class "$(blob_key "$digest")")"
        expect 'the blob' "$digest" "$(hash_of "http://$HOST/v2/noise/blobs/$digest")"
    done
}

# push_noise SEED BYTES: prints the digest, the last word of what it prints.
push_noise() {
    noise "$1" "$2" >"$WORK/noise.$1"
    expect "push of $1" 201 "$(push_blob noise "$WORK/noise.$1" "$(digest_of "$WORK/noise.$1")")"
    digest_of "$WORK/noise.$1"
}

# --- redirects -----------------------------------------------------------------------------------------------------------------------

blob_answer() { curl -s -o /dev/null -w '%{http_code}' "http://$HOST/v2/crane/one/blobs/$(config_digest "$IMAGES/one")"; }

redirects() {
    local digest url
    digest=$(config_digest "$IMAGES/one")
    for user in '' ann:wrong; do
        expect "as '$user'" '401 ' "$(curl -s -o /dev/null -w '%{http_code} %{redirect_url}' ${user:+-u "$user"} \
            "http://$HOST/v2/crane/one/blobs/$digest")"
    done
    url=$(curl -s -o /dev/null -w '%{http_code} %{redirect_url}' -u ann:secret "http://$HOST/v2/crane/one/blobs/$digest")
    expect status 307 "${url%% *}"
    url=${url#* }
    [[ $url == "$MINIO/$BUCKET/$(blob_key "$digest")"\?* ]] || { echo "goes to $url" && return 1; }
    expect 'validity' ok "$(sed -n 's/.*[?&]X-Amz-Expires=\([0-9]*\).*/\1/p' <<<"$url" | awk '$1 > 0 && $1 <= 1200 { print "ok" }')"
    # By itself, without a password for the store.
    expect 'what is there' "$digest" "$(curl -fsS --cacert "$MINIO_CA" "$url" | digest_of -)"
    expect 'followed by curl' "$digest" \
        "$(curl -fsSL --cacert "$MINIO_CA" -u ann:secret "http://$HOST/v2/crane/one/blobs/$digest" | digest_of -)"
    expect 'manifests are not' 200 "$(status_of -u ann:secret "http://$HOST/v2/crane/one/manifests/latest")"
    expect 'a missing blob' 404 "$(status_of -u ann:secret "http://$HOST/v2/crane/one/blobs/sha256:$(printf '%064d' 0)")"
}

# --- the store goes away ---------------------------------------------------------------------------------------------------------------

# away CURL-ARGUMENT...: 503 in the words of the spec, with Retry-After, and in time.
away() {
    local answer
    answer=$(curl -s -m 40 -o "$WORK/body" -D "$WORK/headers" -w '%{http_code}' -H "Accept: $ACCEPT" "$@" || true)
    expect "$*" 503 "$answer"
    grep -qi '^retry-after: [0-9]' "$WORK/headers" || { echo "no Retry-After: $*" && return 1; }
    # HEAD has none.
    [[ " $* " == *' -I '* ]] || jq -e '.errors | length > 0' "$WORK/body" >/dev/null || { echo "no errors: $(head -c 200 "$WORK/body")" && return 1; }
    if grep -e "$MINIO_ADDRESS:$MINIO_PORT" -e "$STORE_SECRET" "$WORK/body"; then echo 'tells what is inside' && return 1; fi
}

all_away() {
    local digest i began=$SECONDS at=http://$HOST/v2/crane/one
    digest=$(config_digest "$IMAGES/one")
    for i in 1 2 3; do
        away "$at/manifests/latest"
        away "$at/manifests/$(root_digest "$IMAGES/one")"
        away "$at/blobs/$digest"
        away -I "$at/blobs/$digest"
        away -X POST -H 'Content-Length: 0' "$at/blobs/uploads/"
        away -X PUT -H 'Content-Type: application/vnd.oci.image.index.v1+json' \
            -d '{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}' "$at/manifests/empty"
        away "$at/tags/list"
        away "http://$HOST/v2/_catalog"
    done
    echo "24 answers in $((SECONDS - began)) s"
    expect 'the base' 200 "$(status_of "http://$HOST/v2/")"
}

within() { (($3 >= $1 && $3 <= $2)) || { echo "lines: $3, expected $1 to $2" && return 1; }; }

# complaints SINCE: what the log has at these levels.
complaints() { tail -c "+$(($1 + 1))" "$WORK/registry.log" | grep -E ' (WARN|ERROR) ' || true; }

# outage: MinIO is stopped, and started again.
outage() {
    local said began=$SECONDS
    said=$(wc -c <"$WORK/registry.log")
    minio_stop
    scenario outage 'requests are answered 503 with Retry-After' all_away
    sleep 1
    complaints "$said" >"$WORK/complaints"
    cut -c 1-200 "$WORK/complaints"
    # One when it begins, and one a minute.
    scenario outage 'the log has a line, and not one for each request' within 1 $((1 + (SECONDS - began) / 60)) "$(wc -l <"$WORK/complaints")"
    scenario outage 'which names the store' grep -q -e "$MINIO_PORT" -e s3 -e "$BUCKET" "$WORK/complaints"
    minio_start tls
    scenario outage 'when it is back, pulls work at once, without a restart' crane_ --insecure validate --remote "$HOST/crane/one:latest"
    scenario outage 'and pushes' push_noise again 6000000
    scenario outage 'its end is told' end_told "$said"
    said=$(wc -c <"$WORK/registry.log")
    minio_stop
    scenario outage 'a second one is told again' told_again "$said"
    minio_start tls
}
# end_told SINCE: an outage is over when nothing has failed for five seconds, since some requests may work in the middle
# of it; a look that began while the store was away may take its time beside.
end_told() {
    local i
    for ((i = 0; i < 600; i++)); do
        tail -c "+$(($1 + 1))" "$WORK/registry.log" | grep 'works again' && return
        sleep 0.1
    done
    return 1
}
told_again() {
    away "http://$HOST/v2/crane/one/manifests/latest"
    sleep 1
    complaints "$1" | grep -c . | grep -x 1
}

# --- bad input -------------------------------------------------------------------------------------------------------------------------

# bad WHAT KEY VARIABLE=VALUE...
bad() {
    local what=$1
    shift
    scenario start "$what: one line with $1" refuses "$@"
    scenario check "$what: an error with $1" checked "$@"
}

bad_input() {
    local s3=REGISTRY_STORAGE_S3 nobody
    nobody=$(free_port)
    store_settings
    bad 'a missing bucket' storage.s3.bucket "${s3}_BUCKET=missing"
    bad 'a wrong secret' storage.s3.secretkey "${s3}_SECRETKEY=wrong"
    bad 'an unknown access key' storage.s3.accesskey "${s3}_ACCESSKEY=nobody"
    bad 'another region' storage.s3.region "${s3}_REGION=eu-central-1"
    bad 'nobody listens' storage.s3.regionendpoint "${s3}_REGIONENDPOINT=https://127.0.0.1:$nobody"
    bad 'a host that does not exist' storage.s3.regionendpoint "${s3}_REGIONENDPOINT=https://store.invalid:9000"
    bad 'a CA that is not trusted' storage.s3.cafile "${s3}_CAFILE="
    make_authority other
    bad 'another CA' storage.s3.cafile "${s3}_CAFILE=$CERTS/other.crt"
    bad 'no file of a CA' storage.s3.cafile "${s3}_CAFILE=$WORK/none.crt"
    bad 'HTTP where HTTPS is spoken' storage.s3 "${s3}_REGIONENDPOINT=http://127.0.0.1:$MINIO_PORT" "${s3}_SECURE=false"
    bad 'not a store at all' storage.s3.regionendpoint "${s3}_REGIONENDPOINT=http://$HOST" "${s3}_SECURE=false"
    bad 'no bucket' storage.s3.bucket "${s3}_BUCKET="
    bad 'no region' storage.s3.region "${s3}_REGION="
    bad 'parts that are too small' storage.s3.chunksize "${s3}_CHUNKSIZE=1000"
    bad 'not an encryption' storage.s3.encrypt "${s3}_ENCRYPT=perhaps"
}

# A check of what is right says so, and leaves nothing behind.
check_is_content() {
    keys >"$WORK/keys.before"
    store_settings
    env -u REGISTRY_BIN REGISTRY_HTTP_ADDR=127.0.0.1:0 "${STORE[@]}" "$PROGRAM" check "$WORK/config.yml" >"$WORK/check.out"
    cat "$WORK/check.out"
    grep -q "^ok.*$BUCKET" "$WORK/check.out"
    keys | diff "$WORK/keys.before" -
}

# no_secrets FILE...: the secret key, as it is and encoded.
no_secrets() {
    local secret
    grep -c . "$@"
    for secret in "$STORE_SECRET" "$(encoded "$STORE_SECRET")" 'its/secret' 'its%2Fsecret'; do
        if grep -aF -m 3 -e "$secret" "$@"; then echo "a secret: $secret" && return 1; fi
    done
}
printed_config() {
    env -u REGISTRY_BIN "${STORE[@]}" "$PROGRAM" config "$WORK/config.yml" >"$WORK/printed"
    grep -q "$BUCKET" "$WORK/printed"
}

# --- all of it ---------------------------------------------------------------------------------------------------------------------------

make_images
# Its key for encryption.
MINIO_SETTINGS=(MINIO_KMS_SECRET_KEY="a-key:$(noise master 32 | base64 -w 0)")
minio_start tls
bucket_make "$BUCKET"
object_start REGISTRY_LOG_LEVEL=debug
scenario podman 'pushes and pulls' podman_round
scenario skopeo 'pushes and pulls' skopeo_round big
scenario skopeo 'pushes and pulls an index' skopeo_round index
scenario crane 'pushes and pulls' crane_round one
scenario crane 'pushes and pulls an index' crane_round index
scenario curl 'the lists are complete and in order' lists
scenario bucket 'the objects lie where distribution has them' layout
[[ -z $OURS ]] || scenario oras 'attaches, and regctl finds it' artifact
scenario curl 'a tag, a manifest and a blob are deleted' deletes
scenario redirect 'none unless it is asked for' expect status 200 "$(blob_answer)"
if [[ -n $OURS ]]; then
    outage
    store_settings
    scenario check 'a good store is all right, and nothing stays there' check_is_content
    scenario config 'prints where it is' printed_config
    scenario config 'but no secret' no_secrets "$WORK/printed"
fi
scenario log 'has no secret' no_secrets "$WORK/registry.log" "$WORK/access.log"
registry_stop

htpasswd -Bbn ann secret >"$WORK/users"
PING=/ object_start REGISTRY_STORAGE_REDIRECT_DISABLE=false REGISTRY_AUTH=htpasswd REGISTRY_AUTH_HTPASSWD_REALM=ours \
    REGISTRY_AUTH_HTPASSWD_PATH="$WORK/users"
scenario redirect 'asked for, those who may pull are sent to the store' redirects
scenario log 'has no secret' no_secrets "$WORK/registry.log" "$WORK/access.log"
registry_stop

object_start REGISTRY_STORAGE_S3_ENCRYPT=true REGISTRY_STORAGE_S3_STORAGECLASS=REDUCED_REDUNDANCY
scenario bucket 'encryption and class are those of the configuration' encrypted
registry_stop

quoted_file
quoted="${PROGRAM:-docker-registry} serve $WORK/quoted.yml"
REGISTRY_BIN=$quoted registry_start ''
scenario config 'quoted booleans, any certificate, a folder of its own, parts of 5 MiB' quoted_round
registry_stop

if [[ -n $OURS ]]; then
    # An endpoint that is no store answers in HTTP, too.
    registry_start "$WORK/elsewhere"
    bad_input
fi
summary
