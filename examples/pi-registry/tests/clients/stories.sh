#!/usr/bin/env bash
# What public guides to `registry:2` tell their readers to do, with the program under test in its place: the variables, names,
# ports and folders are theirs. Each story runs in namespaces of its own, so that /var/lib/registry, /etc/hosts and port 443
# are too. Needs root.
#
# Left out of them: Kubernetes itself, and `docker run`, which needs no registry.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=engines.sh
source "$CLIENTS_DIR/engines.sh"
# shellcheck source=object_lib.sh
source "$CLIENTS_DIR/object_lib.sh"
((EUID == 0)) || die 'namespaces need root'
need curl jq ss openssl tar gzip skopeo setpriv htpasswd docker dockerd containerd ctr update-ca-certificates

IMAGES=$WORK/images
LAYERS=$WORK/layers
REPOSITORIES=/var/lib/registry/docker/registry/v2/repositories

# --- the machine of a story ----------------------------------------------------------------------------------------------------

# What is given to each curl.
CURL=()

# machine NAME...: see engines.sh; with the configuration that the image of the registry brings.
machine() {
    : >"$WORK/registry.log"
    machine_start "$@"
    mkdir "$MACHINE_DIR/etc/certs"
    # registry:2 has this as /etc/docker/registry/config.yml.
    cat >"$MACHINE_DIR/config.yml" <<'YAML'
version: 0.1
log:
  fields:
    service: registry
storage:
  cache:
    blobdescriptor: inmemory
  filesystem:
    rootdirectory: /var/lib/registry
http:
  addr: :5000
  headers:
    X-Content-Type-Options: [nosniff]
health:
  storagedriver:
    enabled: true
    interval: 10s
    threshold: 3
YAML
}

machine_end() {
    docker_stop
    end "$REGISTRY_PID"
    machine_stop
    REGISTRY_PID='' SCHEME=http CURL=()
}

# registry_serve ADDRESS VARIABLE=VALUE...: the program with the file that the image brings, and these variables only.
# As another user with AS=uid.
registry_serve() {
    local program words who=() address=$1
    shift
    read -ra words <<<"$(registry_command)"
    case ${REGISTRY_BIN:-} in
    *' '*) ;;
    *)
        program=${words[0]}
        # Where another user can read it, too.
        on_machine install -m 755 "$(command -v "$program")" /var/lib/program
        on_machine install -m 644 "$MACHINE_DIR/config.yml" /var/lib/config.yml
        words=(/var/lib/program serve /var/lib/config.yml)
        ;;
    esac
    [[ -z ${AS:-} ]] || who=(setpriv --reuid "$AS" --regid "$AS" --clear-groups)
    # Not by on_machine, whose process in the background would be a shell.
    "${ENGINE_PREFIX[@]}" "${who[@]}" env -i PATH="$PATH" HOME=/ "$@" "${words[@]}" >>"$WORK/access.log" 2>>"$WORK/registry.log" &
    REGISTRY_PID=$!
    STARTED_PIDS+=("$REGISTRY_PID")
    await registry "$WORK/registry.log" on_machine curl -fs "${CURL[@]}" "$SCHEME://$address/"
    kill -0 "$REGISTRY_PID" || die 'the registry has gone'
}

# --- steps that the stories share ------------------------------------------------------------------------------------------------

# catalog ADDRESS NAMES: as a reader sees it in a terminal.
catalog() {
    expect "_catalog" "{\"repositories\":[$2]}" "$(on_machine curl -s "${CURL[@]}" "$SCHEME://$1/v2/_catalog")"
}

# push_rmi_pull REFERENCE: retags, pushes, removes, pulls.
push_rmi_pull() {
    docker_clean
    docker_ load -q -i "$(archive "$IMAGES/nginx" nginx:latest)"
    docker_ tag nginx:latest "$1"
    docker_ push "$1"
    docker_ rmi "$1" nginx:latest
    refused docker_ image inspect "$1"
    docker_ pull "$1"
    expect 'id of what was pulled' "$(config_digest "$IMAGES/nginx")" "$(docker_id "$1")"
}

pull_again() {
    docker_clean
    docker_ pull "$1"
    expect 'id of what was pulled' "$(config_digest "$IMAGES/nginx")" "$(docker_id "$1")"
}

# looks_into NAMES: what `ls` finds there.
looks_into() { expect "ls $REPOSITORIES" "$1" "$(on_machine ls "$REPOSITORIES")"; }

nothing_refused() {
    # Not what distribution logs as errors: the 404s of a push, the 401 that everybody gets first, a folder to come. Nor what
    # is said of the certificates, each of which is a CA.
    if grep -v -e err.code -e 'basic authentication challenge' -e 'Purge uploads' -e 'WARN pi_registry::certificates:' "$WORK/registry.log" | grep -i -e refus -e unknown -e error; then return 1; fi
}

# certificate NAME SUBJECT SAN [OPTION OF OPENSSL...]: as in the stories: it signs itself, lasts ten years, and is in /etc/certs.
certificate() {
    local dir=$MACHINE_DIR/etc/certs
    openssl req -newkey rsa:"${BITS:-2048}" -nodes -sha256 -x509 -days 3650 -subj "$2" -addext "subjectAltName = $3" \
        -keyout "$dir/$1.key" -out "$dir/$1.crt" 2>>"$WORK/openssl.log"
    chmod 644 "$dir/$1.key"
    SCHEME=https
}

# docker_folder AT: where docker looks for what belongs to a registry.
docker_folder() {
    local dir=$MACHINE_DIR/etc/docker/certs.d/$1
    mkdir -p "$dir"
    echo "$dir"
}

# docker_refuses REFERENCE: without the certificate, docker says what is wrong. The folder comes back after that.
docker_refuses() {
    mv "$MACHINE_DIR/etc/docker/certs.d" "$MACHINE_DIR/aside"
    docker_ pull "$1" 2>"$WORK/refusal" && return 1
    mv "$MACHINE_DIR/aside" "$MACHINE_DIR/etc/docker/certs.d"
    cat "$WORK/refusal"
    grep 'x509: certificate signed by unknown authority' "$WORK/refusal"
}

# --- the stories -------------------------------------------------------------------------------------------------------------------

# A Raspberry Pi with k3s, Docker as its runtime.
story_1() {
    local at=pi-dockerregistry:443 variables folder
    machine pi-dockerregistry
    BITS=4096 certificate domain '/C=GB/O=home/CN=pi-dockerregistry' DNS:pi-dockerregistry
    CURL=(--cacert /etc/certs/domain.crt)
    variables=(REGISTRY_HTTP_ADDR=0.0.0.0:443 REGISTRY_HTTP_TLS_CERTIFICATE=/etc/certs/domain.crt
        REGISTRY_HTTP_TLS_KEY=/etc/certs/domain.key)
    # The key would not be needed here, but that is what it says.
    folder=$(docker_folder "$at")
    cp "$MACHINE_DIR/etc/certs/domain.crt" "$folder/ca.crt"
    cp "$MACHINE_DIR/etc/certs/domain.crt" "$folder/client.cert"
    cp "$MACHINE_DIR/etc/certs/domain.key" "$folder/client.key"
    docker_start
    registry_serve "$at" "${variables[@]}"
    scenario 'story 1' 'the catalog is empty before' catalog "$at" ''
    scenario 'story 1' 'docker push, rmi, pull over TLS' push_rmi_pull "$at/nginx:latest"
    scenario 'story 1' 'the catalog names it afterwards' catalog "$at" '"nginx"'
    scenario 'story 1' 'the data is in /var/lib/registry' looks_into nginx
    scenario 'story 1' 'its log has no complaint' nothing_refused
    end "$REGISTRY_PID"
    registry_serve "$at" "${variables[@]}"
    scenario 'story 1' 'after a restart it can be pulled' pull_again "$at/nginx:latest"
    scenario 'story 1' 'without the certificate docker refuses' docker_refuses "$at/nginx:latest"
    machine_end
}

# k3s with Longhorn and MetalLB: the certificate is in the system's store, and clients use the name and the address.
story_2() {
    local at=registry.cube.local:5000 address=$MACHINE_ADDRESS:5000
    machine registry.cube.local
    certificate tls '/CN=registry.cube.local' "DNS:registry.cube.local,DNS:*.cube.local,IP:$MACHINE_ADDRESS"
    on_machine cp /etc/certs/tls.crt /usr/local/share/ca-certificates/registry.crt
    on_machine update-ca-certificates >"$WORK/update.log" 2>&1
    docker_start
    registry_serve "$at" REGISTRY_HTTP_TLS_CERTIFICATE=/etc/certs/tls.crt REGISTRY_HTTP_TLS_KEY=/etc/certs/tls.key
    scenario 'story 2' 'the catalog is empty before' catalog "$at" ''
    scenario 'story 2' 'docker push, rmi, pull by name' push_rmi_pull "$at/my-ubuntu:latest"
    scenario 'story 2' 'docker push, rmi, pull by address' push_rmi_pull "$address/my-ubuntu:latest"
    scenario 'story 2' 'the catalog names it afterwards' catalog "$at" '"my-ubuntu"'
    scenario 'story 2' 'containerd pulls it' ctr_ images pull --snapshotter native "$at/my-ubuntu:latest"
    scenario 'story 2' 'its log has no complaint' nothing_refused
    machine_end
}

# A Pod on a hostPath volume with TLS and users, reached as docker-registry:5000; the Service gives it variables.
story_3() {
    local at=docker-registry:5000
    machine docker-registry
    certificate tls '/CN=docker-registry' DNS:docker-registry
    cp "$MACHINE_DIR/etc/certs/tls.crt" "$(docker_folder "$at")/ca.crt"
    image_htpasswd -Bbn myuser mypasswd >"$MACHINE_DIR/etc/certs/htpasswd"
    CURL=(--cacert /etc/certs/tls.crt -u myuser:mypasswd)
    docker_start
    registry_serve "$at" KUBERNETES_SERVICE_HOST=10.96.0.1 KUBERNETES_PORT=tcp://10.96.0.1:443 \
        DOCKER_REGISTRY_SERVICE_HOST=10.107.59.13 DOCKER_REGISTRY_SERVICE_PORT=5000 DOCKER_REGISTRY_PORT=tcp://10.107.59.13:5000 \
        REGISTRY_HTTP_TLS_CERTIFICATE=/etc/certs/tls.crt REGISTRY_HTTP_TLS_KEY=/etc/certs/tls.key \
        REGISTRY_AUTH=htpasswd REGISTRY_AUTH_HTPASSWD_REALM='Registry Realm' REGISTRY_AUTH_HTPASSWD_PATH=/etc/certs/htpasswd
    scenario 'story 3' 'the realm is the one of the variable' realm "$at" 'Registry Realm'
    scenario 'story 3' 'docker login' docker_ login -u myuser -p mypasswd "$at"
    scenario 'story 3' 'the catalog is empty before' catalog "$at" ''
    scenario 'story 3' 'docker push, rmi, pull' push_rmi_pull "$at/mynginx:v1"
    scenario 'story 3' 'the catalog names it afterwards' catalog "$at" '"mynginx"'
    scenario 'story 3' 'mynginx is found in the repositories folder' looks_into mynginx
    scenario 'story 3' 'its log has no complaint' nothing_refused
    docker_ logout "$at" >/dev/null
    scenario 'story 3' 'docker login with a wrong password fails' refused docker_ login -u myuser -p wrong "$at"
    scenario 'story 3' 'without a login docker is refused' signed_out "$at/mynginx:v1"
    machine_end
}

# htpasswd as the image of the registry has it.
image_htpasswd() {
    case ${REGISTRY_BIN:-} in
    peer | *' '*) htpasswd "$@" ;;
    *) (exec -a htpasswd "$(registry_command | cut -d ' ' -f 1)" "$@") ;;
    esac
}

realm() {
    expect 'challenge' "Basic realm=\"$2\"" "$(on_machine curl -s -o /dev/null -D - --cacert /etc/certs/tls.crt "https://$1/v2/" |
        tr -d '\r' | sed -n 's/^www-authenticate: //Ip')"
}

signed_out() {
    docker_clean
    refused docker_ pull "$1"
    docker_ load -q -i "$(archive "$IMAGES/nginx" nginx:latest)"
    docker_ tag nginx:latest "$1"
    refused docker_ push "$1"
}

# microk8s and the chart of twuni: only an address, port 9005, and UUIDs for user and password; MinIO behind it, with a certificate
# that nobody knows, and what the chart makes of its values: true and false in quotes.
story_4() {
    local MACHINE_ADDRESS=192.168.86.201 at=192.168.86.201:9005 user=5bd8f2c1-37a2-4d5c-9a3f-0b2e7c1f6a10
    local password=e0c2b7a4-91b7-4c1c-8e1e-6c8f0a7d2b53 redirect=()
    machine
    certificate tls '/CN=registry' IP:192.168.86.201
    cp "$MACHINE_DIR/etc/certs/tls.crt" "$(docker_folder "$at")/ca.crt"
    htpasswd -Bbn "$user" "$password" >"$MACHINE_DIR/etc/certs/htpasswd"
    CURL=(--cacert /etc/certs/tls.crt -u "$user:$password")
    docker_start
    minio_start tls
    bucket_make "$BUCKET"
    # Without it distribution sends docker to MinIO, whose certificate it does not trust.
    [[ -n $OURS ]] || redirect=(REGISTRY_STORAGE_REDIRECT_DISABLE=true)
    registry_serve "$at" REGISTRY_HTTP_ADDR=:9005 REGISTRY_STORAGE_DELETE_ENABLED=true REGISTRY_HTTP_SECRET=not-so-secret \
        REGISTRY_STORAGE=s3 REGISTRY_STORAGE_S3_REGION="$STORE_REGION" REGISTRY_STORAGE_S3_BUCKET="$BUCKET" \
        REGISTRY_STORAGE_S3_ACCESSKEY="$STORE_KEY" REGISTRY_STORAGE_S3_SECRETKEY="$STORE_SECRET" \
        REGISTRY_STORAGE_S3_REGIONENDPOINT="$MINIO" REGISTRY_STORAGE_S3_ENCRYPT=false REGISTRY_STORAGE_S3_SECURE=true \
        REGISTRY_STORAGE_S3_FORCEPATHSTYLE=true REGISTRY_STORAGE_S3_SKIPVERIFY='"true"' "${redirect[@]}" \
        REGISTRY_HTTP_TLS_CERTIFICATE=/etc/certs/tls.crt REGISTRY_HTTP_TLS_KEY=/etc/certs/tls.key \
        REGISTRY_AUTH=htpasswd REGISTRY_AUTH_HTPASSWD_REALM='Registry Realm' REGISTRY_AUTH_HTPASSWD_PATH=/etc/certs/htpasswd
    scenario 'story 4' 'docker login' docker_ login -u "$user" -p "$password" "$at"
    scenario 'story 4' 'docker push, rmi, pull by address' push_rmi_pull "$at/nginx:latest"
    scenario 'story 4' 'a browser reads the catalog' catalog "$at" '"nginx"'
    scenario 'story 4' 'and the tags' expect tags '{"name":"nginx","tags":["latest"]}' \
        "$(on_machine curl -s "${CURL[@]}" "https://$at/v2/nginx/tags/list")"
    scenario 'story 4' 'the data is in the bucket' in_bucket nginx
    scenario 'story 4' 'and nowhere else' expect files '' "$(on_machine find /var/lib/registry -type f)"
    scenario 'story 4' 'its log has no complaint' nothing_refused
    minio_stop
    docker_ logout "$at" >/dev/null
    machine_end
}

# in_bucket REPOSITORY: its tag, the manifest that docker made, and what that names.
in_bucket() {
    local digest
    digest=$(key_get "$ROOT/repositories/$1/_manifests/tags/latest/current/link")
    key_get "$(blob_key "$digest")" >"$WORK/manifest"
    expect 'hash of the manifest' "$digest" "$(digest_of "$WORK/manifest")"
    for digest in $(jq -r '.config.digest, .layers[].digest' "$WORK/manifest"); do
        expect 'hash of a blob' "$digest" "$(key_get "$(blob_key "$digest")" | digest_of -)"
    done
}

# At home: plain HTTP on port 5000, a folder of mode 777 as on NFS, where root is somebody else, and a Service `registry`.
story_5() {
    local at=registry:5000 service=10.43.117.8
    machine registry
    docker_start --insecure-registry "$at"
    chmod 777 "$MACHINE_DIR/data"
    service=(REGISTRY_PORT="tcp://$service:5000" REGISTRY_SERVICE_HOST="$service" REGISTRY_SERVICE_PORT=5000
        REGISTRY_SERVICE_PORT_HTTP=5000 REGISTRY_PORT_5000_TCP="tcp://$service:5000" REGISTRY_PORT_5000_TCP_ADDR="$service"
        REGISTRY_PORT_5000_TCP_PORT=5000 REGISTRY_PORT_5000_TCP_PROTO=tcp
        KUBERNETES_SERVICE_HOST=10.43.0.1 KUBERNETES_PORT=tcp://10.43.0.1:443)
    AS=65534 registry_serve "$at" "${service[@]}"
    scenario 'story 5' 'the catalog is empty before' catalog "$at" ''
    scenario 'story 5' 'docker push, rmi, pull' push_rmi_pull "$at/my/nginx:latest"
    scenario 'story 5' 'the catalog names it afterwards' catalog "$at" '"my/nginx"'
    scenario 'story 5' 'the data is in the folder, of the user who may only write there' \
        expect owner 65534 "$(on_machine stat -c %u "$REPOSITORIES/my/nginx/_manifests/tags/latest/current/link")"
    scenario 'story 5' 'its log has no complaint' nothing_refused
    # With Services of other names, whose variables collide with keys that hold more than a text: distribution does not start.
    if [[ ${REGISTRY_BIN:-} != peer ]]; then
        end "$REGISTRY_PID"
        AS=65534 registry_serve "$at" "${service[@]}" REGISTRY_AUTH_PORT="tcp://10.43.117.9:5001" REGISTRY_AUTH_SERVICE_HOST=10.43.117.9 \
            REGISTRY_AUTH_SERVICE_PORT=5001 REGISTRY_AUTH_PORT_5001_TCP="tcp://10.43.117.9:5001" \
            REGISTRY_STORAGE_PORT="tcp://10.43.117.10:80" REGISTRY_STORAGE_SERVICE_HOST=10.43.117.10 REGISTRY_HTTP_PORT=tcp://10.43.117.11:80
        scenario 'story 5' 'with more Services it starts too, and the image can be pulled' pull_again "$at/my/nginx:latest"
    fi
    machine_end
}

mkdir -p "$LAYERS" "$IMAGES"
layer_make "$LAYERS/base" base 3000000
layer_make "$LAYERS/nginx" nginx 500000
make_image "$IMAGES/nginx" nginx:latest amd64 "$LAYERS/base" "$LAYERS/nginx"
archive "$IMAGES/nginx" nginx:latest >/dev/null
story_1
story_2
story_3
story_4
story_5
summary
