#!/usr/bin/env bash
# What public guides to `registry:2` tell their readers to do, with the program under test in its place: the variables, names,
# ports and folders are theirs. Each story runs in namespaces of its own, so that /var/lib/registry, /etc/hosts and port 443
# are too. Needs root.
#
# Left out of them so far: TLS (1, 3), users (3), Kubernetes itself, and `docker run`, which needs no registry.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=engines.sh
source "$CLIENTS_DIR/engines.sh"
((EUID == 0)) || die 'namespaces need root'
need curl jq ss openssl tar gzip skopeo unshare nsenter ip setpriv docker dockerd containerd

IMAGES=$WORK/images
LAYERS=$WORK/layers
REPOSITORIES=/var/lib/registry/docker/registry/v2/repositories

# --- the machine of a story ----------------------------------------------------------------------------------------------------

# machine NAME...: a network, an /etc/hosts that knows these names, and an empty /var/lib/registry.
machine() {
    local name
    MACHINE_DIR=$(mktemp -d "$WORK/machine.XXXXXX")
    mkdir "$MACHINE_DIR/data"
    echo '127.0.0.1 localhost' >"$MACHINE_DIR/hosts"
    # Not in 127.0.0.0/8, where docker asks for nothing.
    for name in "$@"; do echo "192.168.0.201 $name" >>"$MACHINE_DIR/hosts"; done
    printf 'hosts: files\n' >"$MACHINE_DIR/nsswitch"
    unshare --net --mount sleep infinity &
    MACHINE=$!
    STARTED_PIDS+=("$MACHINE")
    await machine /dev/null sh -c "[ \$(readlink /proc/$MACHINE/ns/net) != \$(readlink /proc/self/ns/net) ]"
    ENGINE_PREFIX=(nsenter -t "$MACHINE" -n -m)
    # shellcheck disable=SC2016 # the inner shell's
    on_machine sh -euc '
        ip link set lo up
        ip address add 192.168.0.201/32 dev lo
        mount --bind "$1/hosts" /etc/hosts
        mount --bind "$1/nsswitch" /etc/nsswitch.conf
        mount -t tmpfs -o mode=755 tmpfs /var/lib
        mkdir /var/lib/registry
        mount --bind "$1/data" /var/lib/registry' sh "$MACHINE_DIR"
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
    docker_start --insecure-registry "$1:443" --insecure-registry "$1:5000"
}

on_machine() { "${ENGINE_PREFIX[@]}" "$@"; }

machine_end() {
    docker_stop
    end "$REGISTRY_PID"
    end "$MACHINE"
    REGISTRY_PID=
}

# Each story has an engine of its own.
docker_stop() {
    end "$(cat "$WORK/docker.pid")"
    end "$CONTAINERD_PID"
    rm -rf "$WORK"/{docker,docker-exec,containerd,containerd-state,containerd.sock,docker.sock}
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
    await registry "$WORK/registry.log" on_machine curl -fs "http://$address/v2/"
    kill -0 "$REGISTRY_PID" || die 'the registry has gone'
}

# --- steps that the stories share ------------------------------------------------------------------------------------------------

# catalog ADDRESS NAMES: as a reader sees it in a terminal.
catalog() {
    expect "_catalog" "{\"repositories\":[$2]}" "$(on_machine curl -s "http://$1/v2/_catalog")"
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
    # Not the 404s of a push, which distribution logs as errors.
    if grep -v err.code "$WORK/registry.log" | grep -i -e refus -e unknown -e error; then return 1; fi
}

# --- the stories -------------------------------------------------------------------------------------------------------------------

# A Raspberry Pi with k3s, Docker as its runtime.
story_1() {
    local at=pi-dockerregistry:443
    : >"$WORK/registry.log"
    machine pi-dockerregistry
    registry_serve "$at" REGISTRY_HTTP_ADDR=0.0.0.0:443
    scenario 'story 1' 'the catalog is empty before' catalog "$at" ''
    scenario 'story 1' 'docker push, rmi, pull' push_rmi_pull "$at/nginx:latest"
    scenario 'story 1' 'the catalog names it afterwards' catalog "$at" '"nginx"'
    scenario 'story 1' 'the data is in /var/lib/registry' looks_into nginx
    scenario 'story 1' 'its log has no complaint' nothing_refused
    end "$REGISTRY_PID"
    registry_serve "$at" REGISTRY_HTTP_ADDR=0.0.0.0:443
    scenario 'story 1' 'after a restart it can be pulled' pull_again "$at/nginx:latest"
    machine_end
}

# A Pod on a hostPath volume, reached as docker-registry:5000; the Service gives it variables.
story_3() {
    local at=docker-registry:5000
    : >"$WORK/registry.log"
    machine docker-registry
    registry_serve "$at" KUBERNETES_SERVICE_HOST=10.96.0.1 KUBERNETES_PORT=tcp://10.96.0.1:443 \
        DOCKER_REGISTRY_SERVICE_HOST=10.107.59.13 DOCKER_REGISTRY_SERVICE_PORT=5000 DOCKER_REGISTRY_PORT=tcp://10.107.59.13:5000
    scenario 'story 3' 'the catalog is empty before' catalog "$at" ''
    scenario 'story 3' 'docker push, rmi, pull' push_rmi_pull "$at/mynginx:v1"
    scenario 'story 3' 'the catalog names it afterwards' catalog "$at" '"mynginx"'
    scenario 'story 3' 'mynginx is found in the repositories folder' looks_into mynginx
    scenario 'story 3' 'its log has no complaint' nothing_refused
    machine_end
}

# At home: plain HTTP on port 5000, a folder of mode 777 as on NFS, where root is somebody else, and a Service `registry`.
story_5() {
    local at=registry:5000 service=10.43.117.8
    : >"$WORK/registry.log"
    machine registry
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
story_3
story_5
summary
