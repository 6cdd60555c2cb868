#!/usr/bin/env bash
# From nothing to pushes over trusted TLS, with the commands of the program: `init` on the server, `trust` on the clients, and
# what `doctor` and `cert check` say when something is wrong. docker, podman, skopeo, containerd, crane and curl find the
# files in their own places, in namespaces of this script. Needs root.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=engines.sh
source "$CLIENTS_DIR/engines.sh"
# shellcheck source=tls_lib.sh
source "$CLIENTS_DIR/tls_lib.sh"
((EUID == 0)) || die 'namespaces need root'
need curl jq ss openssl tar gzip skopeo crane podman docker dockerd containerd ctr update-ca-certificates

IMAGES=$WORK/images
LAYERS=$WORK/layers
NAME=registry.lan:5000
ADDRESS=$MACHINE_ADDRESS:5000
PLACES=("$NAME" "$ADDRESS")
# Where init puts everything, on the machine.
MADE=/var/lib/made
USER_NAME=ann
PASSWORD='correct horse: battery'
UNTRUSTED='x509: certificate signed by unknown authority'

pi() { on_machine "$PROGRAM" "$@"; }
curl_() { on_machine curl -sS "$@"; }

serve() {
    "${ENGINE_PREFIX[@]}" "$PROGRAM" serve "$MADE/config.yml" >>"$WORK/access.log" 2>>"$WORK/registry.log" &
    REGISTRY_PID=$!
    STARTED_PIDS+=("$REGISTRY_PID")
    await 'the registry' "$WORK/registry.log" on_machine curl -fsk -o "$WORK/ping" "https://$NAME/"
}

# --- the server ----------------------------------------------------------------------------------------------------------------

# The machine's names are guessed, where it is not a container, and others come with a second run.
init() {
    local file
    printf '%s\n' "$PASSWORD" | pi init --dir "$MADE" --user "$USER_NAME" >"$WORK/init.1"
    cat "$WORK/init.1"
    grep -e "guessed .*$MACHINE_ADDRESS" -e 'This is a container' "$WORK/init.1"
    for file in ca.key tls.key htpasswd; do expect "mode of $file" 600 "$(on_machine stat -c %a "$MADE/$file")"; done
    on_machine sha256sum "$MADE"/{ca.key,ca.crt,tls.key,htpasswd,config.yml} >"$WORK/before"
    pi init --dir "$MADE" --host registry.lan --host '*.cube.lan' --ip "$MACHINE_ADDRESS" >"$WORK/init.2"
    grep 'trust docker --server https://registry.lan:5000 --install' "$WORK/init.2"
    grep 'docker push registry.lan:5000/' "$WORK/init.2"
    on_machine sha256sum "$MADE"/{ca.key,ca.crt,tls.key,htpasswd,config.yml} | diff "$WORK/before" -
    pi init --dir "$MADE" --host registry.lan | grep -c 'already there' | grep 5
    pi cert check --dir "$MADE" --host registry.lan --host a.cube.lan --ip "$MACHINE_ADDRESS"
    pi check "$MADE/config.yml"
}

# --- a push and a pull by each client, to a registry AT ---------------------------------------------------------------------------

docker_round() {
    local image=$1/docker/one:latest
    docker_clean
    docker_ load -q -i "$(archive "$IMAGES/one" local/one:latest)"
    docker_ tag local/one:latest "$image"
    docker_ push -q "$image"
    docker_clean
    docker_ pull -q "$image"
    expect 'id of what was pulled' "$IMAGE_ID" "$(docker_id "$image")"
}
podman_round() {
    local image=$1/podman/one:latest
    podman_ load -q -i "$(archive "$IMAGES/one" local/one:latest)"
    podman_ push -q docker.io/local/one:latest "docker://$image"
    podman_ rmi -a -f
    podman_ pull -q "$image"
    expect 'id of what was pulled' "$IMAGE_ID" "$(podman_id "$image")"
    podman_ rmi -a -f
}
skopeo_round() {
    skopeo_ copy -q --preserve-digests "oci:$IMAGES/one:latest" "docker://$1/skopeo/one:latest"
    rm -rf "$WORK/pulled"
    skopeo_ copy -q --preserve-digests "docker://$1/skopeo/one:latest" "oci:$WORK/pulled:latest"
    expect 'digest of what was pulled' "$(root_digest "$IMAGES/one")" "$(root_digest "$WORK/pulled")"
}
ctr_round() {
    local image=$1/ctr/one:latest options=(--hosts-dir /etc/containerd/certs.d --user "$USER_NAME:$PASSWORD")
    tar -C "$IMAGES/one" -cf "$WORK/import.tar" .
    ctr_ images import --all-platforms --no-unpack "$WORK/import.tar"
    ctr_ images push "${options[@]}" "$image" local/one:latest
    ctr_ images rm --sync local/one:latest
    ctr_ images pull "${options[@]}" --snapshotter native "$image"
    expect 'digest by tag' "$(root_digest "$IMAGES/one")" "$(ctr_ images ls "name==$image" | awk 'NR == 2 { print $3 }')"
    ctr_ images rm --sync "$image"
}
crane_round() {
    crane_ push "$IMAGES/one" "$1/crane/one:latest"
    crane_ validate --remote "$1/crane/one:latest"
    expect 'digest' "$(root_digest "$IMAGES/one")" "$(crane_ digest "$1/crane/one:latest")"
}
# By hand, which needs the file and nothing else.
curl_round() {
    local with=(--cacert "$MADE/ca.crt" -u "$USER_NAME:$PASSWORD") url digest
    digest=$(digest_of "$LAYERS/base.tgz")
    url=$(curl_ "${with[@]}" -o /dev/null -D - -X POST -H 'Content-Length: 0' "https://$1/v2/curl/blobs/uploads/" |
        tr -d '\r' | sed -n 's/^location: //Ip')
    expect 'push' 201 "$(curl_ "${with[@]}" -o /dev/null -w '%{http_code}' -X PUT -H 'Content-Type: application/octet-stream' \
        --data-binary "@$LAYERS/base.tgz" "$(with_digest "https://$1$url" "$digest")")"
    expect 'pull' "${digest#sha256:}" "$(curl_ "${with[@]}" "https://$1/v2/curl/blobs/$digest" | sha256sum | cut -d ' ' -f 1)"
}

# rounds CLIENT: by name and by address.
rounds() {
    local at
    for at in "${PLACES[@]}"; do "$1_round" "$at"; done
}

# nobody_trusts: what each client says before it has been given the CA. All of it is what `doctor` foretells.
nobody_trusts() {
    local at
    for at in "${PLACES[@]}"; do
        says "$UNTRUSTED" docker_ pull "$at/one:latest"
        says "$UNTRUSTED" podman_ pull "$at/one:latest"
        says "$UNTRUSTED" skopeo_ inspect "docker://$at/one:latest"
        says "$UNTRUSTED" ctr_ images pull --hosts-dir /etc/containerd/certs.d --snapshotter native "$at/one:latest"
        says "$UNTRUSTED" crane_ digest "$at/one:latest"
        says 'SSL certificate problem: self-signed certificate in certificate chain' curl_ "https://$at/v2/"
    done
}

# --- trust -----------------------------------------------------------------------------------------------------------------------

# From the running server: only the CA whose fingerprint was told.
trust_docker() {
    local wrong at
    FINGERPRINT=$(on_machine cat "$MADE/ca.crt" | fingerprint)
    pi cert show --dir "$MADE" | grep -F "$FINGERPRINT"
    wrong=$(fingerprint <"$CERTS/foreign.crt")
    says 'pi-registry: ' pi trust docker --server "https://$NAME" --fingerprint "$wrong" --install
    says fingerprint pi trust docker --server "https://$NAME" --install </dev/null
    on_machine test ! -e /etc/docker/certs.d
    for at in "${PLACES[@]}"; do
        pi trust docker --server "https://$at" --fingerprint "$FINGERPRINT" --install
        on_machine cat "/etc/docker/certs.d/$at/ca.crt" | fingerprint | grep -xF "$FINGERPRINT"
    done
    pi trust docker --server "https://$NAME" --fingerprint "$FINGERPRINT" --install | grep unchanged
}
# From a copied file, as a script for another machine.
trust_podman() {
    pi trust podman --ca "$MADE/ca.crt" --registry "$NAME" --registry "$ADDRESS" >"$WORK/trust.sh"
    on_machine sh "$WORK/trust.sh"
}
# From the server's own folder, for all its names.
trust_containerd() {
    pi trust containerd --dir "$MADE" --install
    on_machine cat "/etc/containerd/certs.d/$NAME/hosts.toml"
}
trust_system() { pi trust system --dir "$MADE" --install; }

no_key_has_left() {
    local key
    key=$(on_machine sed -n 2p "$MADE/tls.key")
    if grep -rlF -e "$key" -e 'PRIVATE KEY' "$MACHINE_DIR"/etc/{docker,containers,containerd} "$MACHINE_DIR/authorities"; then return 1; fi
}

# --- users -----------------------------------------------------------------------------------------------------------------------

log_in() {
    docker_ login -u "$USER_NAME" --password-stdin "$1" <<<"$PASSWORD"
    podman_ login -u "$USER_NAME" --password-stdin "$1" <<<"$PASSWORD"
    skopeo_ login -u "$USER_NAME" --password-stdin "$1" <<<"$PASSWORD"
    crane_ auth login -u "$USER_NAME" --password-stdin "$1" <<<"$PASSWORD"
}
logs_in() {
    local at
    for at in "${PLACES[@]}"; do log_in "$at"; done
}
wrong_passwords() {
    local options=(--hosts-dir /etc/containerd/certs.d --snapshotter native)
    says '401 Unauthorized' docker_ login -u "$USER_NAME" -p wrong "$NAME"
    says 'invalid username/password' podman_ login -u "$USER_NAME" -p wrong "$NAME"
    says 'invalid username/password' skopeo_ login -u "$USER_NAME" -p wrong "$NAME"
    says unauthorized skopeo_ inspect --creds "$USER_NAME:wrong" "docker://$NAME/skopeo/one:latest"
    says '401 Unauthorized' ctr_ images pull "${options[@]}" --user "$USER_NAME:wrong" "$NAME/ctr/one:latest"
    says '401 Unauthorized' ctr_ images pull "${options[@]}" "$NAME/ctr/one:latest"
    DOCKER_CONFIG=$WORK/nobody says UNAUTHORIZED crane_ digest "$NAME/crane/one:latest"
    expect 'curl' 401 "$(curl_ --cacert "$MADE/ca.crt" -o /dev/null -w '%{http_code}' -u "$USER_NAME:wrong" "https://$NAME/v2/")"
}

# --- client certificates -----------------------------------------------------------------------------------------------------------

client_certificate() {
    local folder=/etc/docker/certs.d/$NAME
    pi cert new --dir "$MADE" --client laptop
    says 'a client certificate is required' docker_ pull "$NAME/docker/one:latest"
    on_machine cp "$MADE"/clients/laptop/client.{cert,key} "$folder/"
    docker_round "$NAME"
    # The names that one would expect are not those that docker looks for.
    on_machine mv "$folder/client.cert" "$folder/client.crt"
    refused docker_ pull "$NAME/docker/one:latest"
    says client.cert pi doctor "https://$NAME"
    on_machine rm "$folder/client.crt" "$folder/client.key"
}

# --- what is wrong -----------------------------------------------------------------------------------------------------------------

# doctor_says MESSAGE... : an error is found, and each of these is part of what it prints about registry AT.
doctor_says() {
    local at=$1 message status=0
    shift
    pi doctor "https://$at" >"$WORK/doctor" 2>&1 || status=$?
    cat "$WORK/doctor"
    expect 'exit code' 1 "$status"
    for message in "$@"; do grep -qF -e "$message" "$WORK/doctor" || { echo "no '$message'" && return 1; }; done
}

other_name() {
    local folder=/etc/docker/certs.d/$NAME
    { pi doctor "https://$NAME" || true; } | grep '^ok: docker: trusts the registry'
    on_machine mv "$folder/ca.crt" "$folder/ca.pem"
    says "$UNTRUSTED" docker_ pull "$NAME/one:latest"
    doctor_says "$NAME" "$folder: ca.pem is never read" 'error: docker: will say'
    on_machine mv "$folder/ca.pem" "$folder/ca.crt"
}

# with_server NAME COMMAND...: while openssl serves this certificate on port 5001.
with_server() {
    local name=$1 status=0 server
    shift
    "${ENGINE_PREFIX[@]}" openssl s_server -accept "$MACHINE_ADDRESS:5001" -cert "$CERTS/$name.crt" -key "$CERTS/$name.key" \
        -www >"$WORK/s_server" 2>&1 &
    server=$!
    STARTED_PIDS+=("$server")
    await s_server "$WORK/s_server" on_machine curl -sk "https://$MACHINE_ADDRESS:5001/"
    "$@" || status=$?
    end "$server"
    return "$status"
}

# What `doctor` and `cert check` say of a certificate is what docker and curl print.
foretold() {
    local name=$1 at=$2 go=$3 openssl=${4:-}
    mkdir -p "$(dirname "$MACHINE_DIR/etc/docker/certs.d/$at/ca.crt")"
    cp "$CERTS/local.crt" "$MACHINE_DIR/etc/docker/certs.d/$at/ca.crt"
    says "$go" docker_ pull "$at/one:latest"
    if [[ -n $openssl ]]; then
        says "$openssl" curl_ --cacert "$CERTS/local.crt" "https://$at/"
    else
        curl_ --cacert "$CERTS/local.crt" "https://$at/" >/dev/null
    fi
    pi doctor --ca "$CERTS/local.crt" "https://$at" >"$WORK/doctor" 2>&1 && return 1
    cat "$WORK/doctor"
    grep -F -e "$go" "$WORK/doctor"
    grep -F -e "$openssl" "$WORK/doctor"
    pi cert check "$CERTS/$name.crt" --host "${at%:*}" >"$WORK/check" 2>&1 && return 1
    cat "$WORK/check"
    grep -F -e "$go" "$WORK/check"
    grep -F -e "$openssl" "$WORK/check"
}

# --- all of it ---------------------------------------------------------------------------------------------------------------------

mkdir -p "$LAYERS" "$IMAGES"
layer_make "$LAYERS/base" base 300000
make_image "$IMAGES/one" local/one:latest amd64 "$LAYERS/base"
IMAGE_ID=$(config_digest "$IMAGES/one")
make_authority foreign
archive "$IMAGES/one" local/one:latest >/dev/null
machine_start registry.lan
scenario init 'makes everything, and a second run only adds hosts' init
serve
docker_start
scenario clients 'before, each of them fails for the unknown authority' nobody_trusts
scenario doctor 'nobody trusts the CA' doctor_says "$NAME" "$UNTRUSTED" 'self-signed certificate in certificate chain' "trust docker"
scenario trust 'docker: from the running server, only with the right fingerprint' trust_docker
scenario doctor 'the file in certs.d has another name' other_name
scenario trust 'podman: a script, from the copied CA' trust_podman
scenario trust 'containerd: on the machine, from the files of init' trust_containerd
scenario trust 'system: and its store is made anew' trust_system
scenario trust 'no private key is among these files' no_key_has_left
scenario clients 'docker, podman, skopeo and crane log in' logs_in
for client in docker podman skopeo ctr crane curl; do
    scenario "$client" 'pushes and pulls by name and by address' rounds "$client"
done
scenario clients 'a wrong password is refused, and none' wrong_passwords
scenario doctor 'all is well' pi doctor "https://$NAME"
make_authority local
make_certificate registry.lan local extendedKeyUsage=serverAuth
scenario doctor 'a certificate with a common name alone' with_server registry.lan foretold registry.lan registry.lan:5001 \
    'x509: certificate relies on legacy Common Name field, use SANs instead'
make_certificate name local subjectAltName=DNS:registry.lan
scenario doctor 'a certificate without the address' with_server name foretold name "$MACHINE_ADDRESS:5001" \
    "x509: cannot validate certificate for $MACHINE_ADDRESS because it doesn't contain any IP SANs" "no alternative certificate subject name matches target host name '$MACHINE_ADDRESS'"
DAYS=-1 make_certificate expired local "subjectAltName=DNS:registry.lan,IP:$MACHINE_ADDRESS"
scenario doctor 'an expired certificate' with_server expired foretold expired registry.lan:5001 \
    'x509: certificate has expired or is not yet valid: ' 'SSL certificate problem: certificate has expired'
end "$REGISTRY_PID"
"${ENGINE_PREFIX[@]}" env -u REGISTRY_BIN REGISTRY_HTTP_ADDR="$ADDRESS" REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY=/var/lib/plain \
    "$PROGRAM" serve "$WORK/config.yml" >>"$WORK/access.log" 2>>"$WORK/registry.log" &
STARTED_PIDS+=($!)
REGISTRY_PID=$!
await 'the registry' "$WORK/registry.log" on_machine curl -fs "http://$NAME/v2/"
scenario doctor 'plain HTTP' doctor_says "$NAME" 'http: server gave HTTP response to HTTPS client'
end "$REGISTRY_PID"
on_machine sed -i "s|^  tls:|  tls:\n    clientcas: [$MADE/ca.crt]|" "$MADE/config.yml"
serve
scenario docker 'shows its client certificate' client_certificate
docker_stop
end "$REGISTRY_PID"
machine_stop
summary
