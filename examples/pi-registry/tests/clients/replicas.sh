#!/usr/bin/env bash
# Two replicas of the registry on one bucket of MinIO, behind nginx that sends each request to the next one. They share nothing
# else: one upload goes on at the other replica, docker, podman, skopeo and crane push and pull at once, and one of them is killed
# in the middle of pushes.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=engines.sh
source "$CLIENTS_DIR/engines.sh"
# shellcheck source=object_lib.sh
source "$CLIENTS_DIR/object_lib.sh"
((EUID == 0)) || die 'the engines need root'
need curl jq ss openssl tar gzip skopeo crane podman docker dockerd containerd ctr nginx

IMAGES=$WORK/images
LAYERS=$WORK/layers
NGINX=$WORK/nginx
OCI_MANIFEST=application/vnd.oci.image.manifest.v1+json
COUNT=20

# --- who is there ----------------------------------------------------------------------------------------------------------------

# shellcheck disable=SC2153 # object_lib.sh's
at() { echo "127.0.0.1:${REPLICA_PORT[$1]}"; }

# balancer_start: FRONT is its address. Only what it takes for uploads of any size is set.
balancer_start() {
    local port
    port=$(free_port)
    FRONT=127.0.0.1:$port
    mkdir -p "$NGINX"
    cat >"$NGINX/nginx.conf" <<CONF
daemon off;
pid $NGINX/pid;
error_log $NGINX/error.log;
events {}
http {
    access_log $NGINX/access.log combined;
    client_body_temp_path $NGINX/body;
    proxy_temp_path $NGINX/proxy;
    fastcgi_temp_path $NGINX/fastcgi;
    uwsgi_temp_path $NGINX/uwsgi;
    scgi_temp_path $NGINX/scgi;
    upstream replicas {
        server $(at a);
        server $(at b);
    }
    server {
        listen $FRONT;
        client_max_body_size 0;
        proxy_buffering off;
        proxy_request_buffering off;
        proxy_http_version 1.1;
        proxy_read_timeout 300;
        location /v2/ {
            proxy_pass http://replicas;
            proxy_set_header Host \$http_host;
            add_header X-Replica \$upstream_addr always;
        }
    }
}
CONF
    nginx -c "$NGINX/nginx.conf" -p "$NGINX" -e "$NGINX/error.log" &
    STARTED_PIDS+=($!)
    await nginx "$NGINX/error.log" curl -fs "http://$FRONT/v2/"
}

# balanced: two requests in a row are answered by two of them.
balanced() {
    local i
    for i in 1 2 3 4; do
        curl -s -o /dev/null -D - "http://$FRONT/v2/" | tr -d '\r' | sed -n 's/^x-replica: //Ip'
    done | sort | uniq -c | awk '$1 != 2 { bad = 1 } END { exit bad || NR != 2 }'
}

# --- one upload, two replicas -----------------------------------------------------------------------------------------------------------

# moved_to NAME LOCATION: the same upload, asked of another replica.
moved_to() {
    local path=${2#http://*/}
    echo "http://$(at "$1")/${path#/}"
}

# slice FILE FROM BYTES
slice() { dd if="$1" iflag=skip_bytes,count_bytes skip="$2" count="$3" bs=1M status=none; }

# part URL FROM FILE: a PATCH; prints the next Location.
part() {
    local size
    size=$(stat -c %s "$3")
    curl -sS -o "$WORK/answer" -D - -X PATCH -H 'Content-Type: application/octet-stream' -H 'Expect:' \
        -H "Content-Range: $2-$(($2 + size - 1))" -T "$3" "$1" | tr -d '\r' | tee "$WORK/patched" | sed -n 's/^location: //Ip'
    grep -q '^HTTP/1.1 202' "$WORK/patched" || { head -n 1 "$WORK/patched" >&2 && cat "$WORK/answer" >&2 && return 1; }
    grep -qi "^range: 0-$(($2 + size - 1))\$" "$WORK/patched" || { grep -i '^range' "$WORK/patched" >&2 && return 1; }
}

# alternating NAME SIZE...: an upload in chunks of these sizes, each at the other replica. The last one is in the PUT.
alternating() {
    local name=$1 file=$WORK/chunks url offset=0 digest size who=b
    shift
    noise "chunks $name" $(($(printf '%s+' "$@")0)) >"$file"
    digest=$(digest_of "$file")
    HOST=$(at a)
    url=$(upload_url "chunks/$name")
    while (($# > 1)); do
        slice "$file" "$offset" "$1" >"$file.part"
        url=$(part "$(moved_to "$who" "$url")" "$offset" "$file.part")
        offset=$((offset + $1))
        if [[ $who == a ]]; then who=b; else who=a; fi
        shift
    done
    if [[ -n $OURS ]]; then
        # What the other says where it stands, and that it cannot go on elsewhere.
        expect 'where the upload is' "0-$((offset - 1))" \
            "$(curl -sS -o /dev/null -D - "$(moved_to "$who" "$url")" | tr -d '\r' | sed -n 's/^range: //Ip')"
        expect 'a chunk that leaves a gap' 416 "$(curl -s -o /dev/null -w '%{http_code}' -X PATCH -H 'Content-Type: application/octet-stream' \
            -H "Content-Range: $((offset + 5))-$((offset + 9))" --data-binary 12345 "$(moved_to "$who" "$url")")"
    fi
    tail -c "+$((offset + 1))" "$file" >"$file.part"
    size=$(stat -c %s "$file.part")
    expect 'the last chunk' 201 "$(curl -s -o "$WORK/answer" -w '%{http_code}' -X PUT -H 'Content-Type: application/octet-stream' \
        -H "Content-Range: $offset-$((offset + size - 1))" -H 'Expect:' -T "$file.part" "$(with_digest "$(moved_to "$who" "$url")" "$digest")")"
    for who in a b; do expect "the blob at $who" "$digest" "$(hash_of "http://$(at "$who")/v2/chunks/$name/blobs/$digest")"; done
    expect 'uploads left' '' "$(keys "$ROOT/repositories/chunks/$name/_uploads/")"
}

# both_finish: two PUTs of one upload at once, one at each replica: at least one is right, and the blob is whole.
both_finish() {
    local digest url
    noise 'both finish' 12000000 >"$WORK/both"
    digest=$(digest_of "$WORK/both")
    HOST=$(at a)
    url=$(part "$(upload_url chunks/both)" 0 "$WORK/both")
    for who in a b; do
        curl -s -o /dev/null -w '%{http_code}\n' -X PUT -H 'Content-Length: 0' "$(with_digest "$(moved_to "$who" "$url")" "$digest")" \
            >"$WORK/finish.$who" &
    done
    wait
    cat "$WORK"/finish.?
    grep -qx 201 "$WORK"/finish.?
    if grep -vx -h -e 201 -e '4..' "$WORK"/finish.?; then return 1; fi
    expect 'the blob' "$digest" "$(hash_of "http://$(at b)/v2/chunks/both/blobs/$digest")"
}

# --- tags that both move ------------------------------------------------------------------------------------------------------------------

note_manifest() {
    printf '{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[],"annotations":{"n":"%s"}}' "$1"
}

# put_note REPLICA TAG TEXT [CURL ARGUMENT...]: prints the status.
put_note() {
    note_manifest "$3" | curl -s -o /dev/null -w '%{http_code}' -X PUT -H 'Content-Type: application/vnd.oci.image.index.v1+json' \
        "${@:4}" --data-binary @- "http://$(at "$1")/v2/notes/manifests/$2" || true
}

# moved_by_both: the tag is in the end what one of them has pushed, and both say so.
moved_by_both() {
    local i who
    for i in {1..10}; do
        for who in a b; do put_note "$who" moved "$who $i" >"$WORK/moved.$who" & done
        wait
        expect "round $i" '201201' "$(cat "$WORK"/moved.?)"
    done
    i=$(hash_of "http://$(at a)/v2/notes/manifests/moved")
    expect 'the same at both' "$i" "$(hash_of "http://$(at b)/v2/notes/manifests/moved")"
    for who in a b; do note_manifest "$who 10" | digest_of -; done | grep -xF "$i"
}

# made_by_one: with If-None-Match, of two that make a tag at once exactly one does.
made_by_one() {
    local i who
    for i in {1..15}; do
        for who in a b; do put_note "$who" "once$i" "$who $i" -H 'If-None-Match: *' >"$WORK/made.$who" & done
        wait
        expect "round $i" '201 412' "$(for who in a b; do cat "$WORK/made.$who" && echo; done | sort | paste -s -d ' ')"
        who=a
        [[ $(cat "$WORK/made.b") == 412 ]] || who=b
        expect "what round $i made" "$(note_manifest "$who $i" | digest_of -)" "$(hash_of "http://$(at b)/v2/notes/manifests/once$i")"
    done
}

# --- twenty images at once --------------------------------------------------------------------------------------------------------------------

CLIENTS=(docker podman skopeo crane)

make_images() {
    local i
    mkdir -p "$LAYERS" "$IMAGES"
    layer_make "$LAYERS/base" base 3000000
    for ((i = 0; i < COUNT; i++)); do
        layer_make "$LAYERS/$i" "image $i" 2000000
        make_image "$IMAGES/$i" "local/$i:latest" amd64 "$LAYERS/base" "$LAYERS/$i"
    done
}

# load: what docker and podman push is with them before.
load() {
    local i
    for ((i = 0; i < COUNT; i++)); do
        case ${CLIENTS[i % 4]} in
        docker) docker_ load -q -i "$(archive "$IMAGES/$i" "local/$i:latest")" && docker_ tag "local/$i:latest" "$FRONT/images/$i:v1" ;;
        podman) podman_ load -q -i "$(archive "$IMAGES/$i" "local/$i:latest")" ;;
        esac
    done
}

image_push() {
    local image=$FRONT/images/$1:v1
    case $2 in
    docker) docker_ push -q "$image" ;;
    podman) podman_ push -q --tls-verify=false "docker.io/local/$1:latest" "docker://$image" ;;
    skopeo) skopeo_ copy -q --preserve-digests --dest-tls-verify=false "oci:$IMAGES/$1:latest" "docker://$image" ;;
    crane) crane_ --insecure push "$IMAGES/$1" "$image" ;;
    esac
}

image_pull() {
    local image=$FRONT/images/$1:v1 id
    id=$(config_digest "$IMAGES/$1")
    case $2 in
    docker) docker_ pull -q "$image" && expect "id of $1" "$id" "$(docker_id "$image")" ;;
    podman) podman_ pull -q --tls-verify=false "$image" && expect "id of $1" "$id" "$(podman_id "$image")" ;;
    skopeo)
        skopeo_ copy -q --preserve-digests --src-tls-verify=false "docker://$image" "dir:$WORK/pulled/$1" &&
            expect "id of $1" "$id" "$(jq -r .config.digest "$WORK/pulled/$1/manifest.json")"
        ;;
    crane) crane_ --insecure validate --remote "$image" && expect "id of $1" "$id" "$(crane_ --insecure manifest "$image" | jq -r .config.digest)" ;;
    esac
}

# at_once FUNCTION SHIFT: all images, each by the client that is SHIFT further than the one that pushed it.
at_once() {
    local i pids=()
    for ((i = 0; i < COUNT; i++)); do
        "$1" "$i" "${CLIENTS[(i + $2) % 4]}" &
        pids+=($!)
    done
    wait_all "${pids[@]}"
}

# --- one is killed ----------------------------------------------------------------------------------------------------------------------------

# put_blob REPOSITORY FILE DIGEST: slowly enough that a kill meets it; fails when it was not acknowledged.
put_blob() {
    local url status
    url=$(curl -fsS -m 60 -o /dev/null -D - -X POST -H 'Content-Length: 0' "http://$FRONT/v2/$1/blobs/uploads/" | tr -d '\r' |
        sed -n 's/^location: //Ip') || return 1
    [[ $url == http* ]] || url=http://$FRONT$url
    status=$(curl -s -m 60 --limit-rate 6M -o /dev/null -w '%{http_code}' -X PUT -H 'Content-Type: application/octet-stream' -H 'Expect:' \
        -T "$2" "$(with_digest "$url" "$3")") || return 1
    [[ $status == 201 ]]
}

# put_image NAME: one layer, a config and a manifest; each that is acknowledged is written down.
put_image() {
    local repository=killed/$1 file=$WORK/killed/$1 layer config status
    [[ -e $file ]] || noise "$1" 8000000 >"$file"
    layer=$(digest_of "$file")
    put_blob "$repository" "$file" "$layer" || return 1
    echo "$repository/blobs/$layer $layer" >>"$file.acknowledged"
    printf '{"architecture":"amd64","os":"linux","author":"%s"}' "$1" >"$file.config"
    config=$(digest_of "$file.config")
    put_blob "$repository" "$file.config" "$config" || return 1
    echo "$repository/blobs/$config $config" >>"$file.acknowledged"
    jq -cn --arg m "$OCI_MANIFEST" --arg c "$config" --arg l "$layer" --argjson s "$(stat -c %s "$file.config")" '{
        schemaVersion: 2, mediaType: $m, config: {mediaType: "application/vnd.oci.image.config.v1+json", digest: $c, size: $s},
        layers: [{mediaType: "application/vnd.oci.image.layer.v1.tar", digest: $l, size: 8000000}]}' >"$file.manifest"
    status=$(curl -s -m 60 -o /dev/null -w '%{http_code}' -X PUT -H "Content-Type: $OCI_MANIFEST" --data-binary "@$file.manifest" \
        "http://$FRONT/v2/$repository/manifests/v1") || return 1
    [[ $status == 201 ]] || return 1
    echo "$repository/manifests/v1 $(digest_of "$file.manifest")" >>"$file.acknowledged"
}

# pusher NUMBER: until it is told to stop; what was cut off is left for a second try.
pusher() {
    local n
    for ((n = 1; ; n++)); do
        [[ ! -e $WORK/killed/stop ]] || return 0
        put_image "$1-$n" || echo "$1-$n" >>"$WORK/killed/interrupted"
    done
}

# crane tries again by itself.
crane_pusher() {
    local n
    for ((n = 1; ; n++)); do
        [[ ! -e $WORK/killed/stop ]] || return 0
        if crane_ --insecure push "$IMAGES/$((n % COUNT))" "$FRONT/killed/crane-$1-$n:v1" >"$WORK/killed/crane.$1" 2>&1; then
            echo "killed/crane-$1-$n/manifests/v1 $(root_digest "$IMAGES/$((n % COUNT))")" >>"$WORK/killed/crane-$1-$n.acknowledged"
            for file in "$IMAGES/$((n % COUNT))"/blobs/sha256/*; do
                [[ sha256:${file##*/} == "$(root_digest "$IMAGES/$((n % COUNT))")" ]] ||
                    echo "killed/crane-$1-$n/blobs/sha256:${file##*/} sha256:${file##*/}" >>"$WORK/killed/crane-$1-$n.acknowledged"
            done
        else
            echo "crane $1-$n $((n % COUNT))" >>"$WORK/killed/interrupted"
        fi
    done
}

# killing: pushes go on while b is killed, twice, and started again.
killing() {
    local i pids=()
    mkdir "$WORK/killed"
    touch "$WORK/killed/interrupted"
    # An upload that both have a part of goes on at the other one.
    HOST=$(at b)
    noise orphan 16000000 >"$WORK/orphan"
    head -c 14000000 "$WORK/orphan" >"$WORK/orphan.1"
    tail -c +14000001 "$WORK/orphan" >"$WORK/orphan.2"
    part "$(upload_url killed/orphan)" 0 "$WORK/orphan.1" >"$WORK/orphan.url"
    for i in 1 2 3 4 5 6; do
        pusher "$i" &
        pids+=($!)
    done
    for i in 1 2; do
        crane_pusher "$i" &
        pids+=($!)
    done
    for i in 1 2; do
        sleep "1.$((RANDOM % 10))"
        replica_kill b
        sleep 1
        replica_start b
    done
    sleep 1
    touch "$WORK/killed/stop"
    wait "${pids[@]}"
    cat "$WORK"/killed/*.acknowledged >"$WORK/acknowledged"
    echo "$(wc -l <"$WORK/acknowledged") acknowledged, $(wc -l <"$WORK/killed/interrupted") pushes interrupted," \
        "$(grep -cE '" 50[0-9] ' "$NGINX/access.log" || true) answers 50x"
}

orphan() {
    local digest
    digest=$(digest_of "$WORK/orphan")
    expect 'the rest at a' 201 "$(curl -s -o "$WORK/answer" -w '%{http_code}' -X PUT -H 'Content-Type: application/octet-stream' \
        -T "$WORK/orphan.2" "$(with_digest "$(moved_to a "$(cat "$WORK/orphan.url")")" "$digest")")"
    expect 'the blob' "$digest" "$(hash_of "http://$(at b)/v2/killed/orphan/blobs/$digest")"
}

# verified REPLICA LIST
verified() {
    local path digest count=0
    while read -r path digest; do
        expect "$path" "$digest" "$(hash_of "http://$(at "$1")/v2/$path")"
        count=$((count + 1))
    done <"$2"
    echo "$count verified"
    ((count >= 20))
}

again() {
    local name number image
    [[ -s $WORK/killed/interrupted ]] || { echo 'nothing was interrupted' && return 1; }
    while read -r name number image; do
        if [[ $name == crane ]]; then
            crane_ --insecure push "$IMAGES/$image" "$FRONT/killed/crane-$number:v1"
            crane_ --insecure validate --remote "$FRONT/killed/crane-$number:v1"
        else
            put_image "$name"
            cat "$WORK/killed/$name.acknowledged" >>"$WORK/retried"
        fi
    done <"$WORK/killed/interrupted"
}

# --- all of it ------------------------------------------------------------------------------------------------------------------------------------

make_images
minio_start plain
bucket_make "$BUCKET"
replica_start a
replica_start b
balancer_start
scenario replicas 'each request goes to the next one' balanced
scenario uploads 'chunks that are smaller than a part' alternating small 1000000 900001 1 1100000 500000 700000
scenario uploads 'chunks that are larger than a part' alternating large 12000000 25000000 11000000 10485760
scenario uploads 'chunks of all sizes' alternating mixed 10 6000000 5242880 30000001 1 5242879 200
[[ -z $OURS ]] || scenario uploads 'an upload that both finish at once' both_finish
scenario tags 'a tag that both move at once is one of theirs, and the same at both' moved_by_both
[[ -z $OURS ]] || scenario tags 'a tag that both make at once is made by one' made_by_one
docker_start
load >"$WORK/load.log" 2>&1
scenario clients "$COUNT images are pushed at once" at_once image_push 0
mkdir "$WORK/pulled"
docker_clean
podman_ rmi -a -f >/dev/null 2>&1
scenario clients 'and pulled, each by another client' at_once image_pull 1
killing
scenario killed 'an upload that was begun at the killed one goes on at the other' orphan
for who in a b; do scenario killed "everything acknowledged is there, at $who" verified "$who" "$WORK/acknowledged"; done
scenario killed 'what was interrupted can be pushed again' again
sort -u "$WORK/acknowledged" "$WORK"/killed/*.acknowledged >"$WORK/all"
scenario killed 'and everything is there' verified b "$WORK/all"
summary
