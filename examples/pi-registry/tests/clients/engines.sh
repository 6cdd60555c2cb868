# Private instances of the engines, for the scripts that use them against something else than plain HTTP on the loopback.
# Sourced after lib.sh. HOST says where the registry is, as a reference names it.
# shellcheck shell=bash

# await NAME LOG COMMAND...: until the command works.
await() {
    local i name=$1 log=$2
    shift 2
    for ((i = 0; i < 300; i++)); do
        "$@" >/dev/null 2>&1 && return 0
        sleep 0.1
    done
    tail -n 20 "$log" >&2
    die "$name does not start"
}

# refused COMMAND...: the client itself must notice. A timeout is no such thing.
refused() {
    local status=0
    "$@" || status=$?
    ((status != 0 && status != 124)) || { echo "not refused (status $status): $*" && return 1; }
}

# Words before the commands of engines and clients, for those in namespaces of their own. docker's client only asks its engine.
ENGINE_PREFIX=()

docker_() { timeout 300 docker -H "unix://$WORK/docker.sock" "$@"; }
podman_() {
    timeout 300 "${ENGINE_PREFIX[@]}" podman --root "$WORK/podman" --runroot "$WORK/podman-run" --tmpdir "$WORK/podman-tmp" \
        --storage-driver vfs --cgroup-manager cgroupfs --events-backend none "$@"
}
skopeo_() { timeout 300 "${ENGINE_PREFIX[@]}" skopeo --insecure-policy "$@"; }
crane_() { timeout 300 "${ENGINE_PREFIX[@]}" crane "$@"; }
ctr_() { timeout 300 "${ENGINE_PREFIX[@]}" ctr -a "$WORK/containerd.sock" -n clients "$@"; }

# Also dockerd's, which is why it may run already.
containerd_start() {
    [[ -S $WORK/containerd.sock ]] && return 0
    need containerd ctr
    cat >"$WORK/containerd.toml" <<TOML
version = 2
root = "$WORK/containerd"
state = "$WORK/containerd-state"
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.internal.v1.opt"]
[grpc]
  address = "$WORK/containerd.sock"
[ttrpc]
  address = "$WORK/containerd.ttrpc"
TOML
    "${ENGINE_PREFIX[@]}" containerd -c "$WORK/containerd.toml" >"$WORK/containerd.log" 2>&1 &
    CONTAINERD_PID=$!
    STARTED_PIDS+=("$CONTAINERD_PID")
    await containerd "$WORK/containerd.log" ctr_ version
}

# cri_start [PAUSE-IMAGE CNI-PLUGINS]: another containerd, as Kubernetes uses one, and a configuration of crictl for it,
# $WORK/crictl.yml. For pods that run, an image for their first process and the folder of the network's plugins.
# shellcheck disable=SC2120
cri_start() {
    need containerd crictl
    cat >"$WORK/cri.toml" <<TOML
version = 2
root = "$WORK/cri"
state = "$WORK/cri-state"
disabled_plugins = ["io.containerd.internal.v1.opt"]
[grpc]
  address = "$WORK/cri.sock"
[ttrpc]
  address = "$WORK/cri.ttrpc"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "${1:-none}"
  # Not every root may ask to be spared where memory is short.
  restrict_oom_score_adj = true
[plugins."io.containerd.grpc.v1.cri".containerd]
  snapshotter = "native"
[plugins."io.containerd.grpc.v1.cri".cni]
  conf_dir = "$WORK/cni"
  bin_dir = "${2:-/opt/cni/bin}"
[plugins."io.containerd.grpc.v1.cri".registry]
  config_path = "$WORK/hosts"
TOML
    printf 'runtime-endpoint: unix://%s\nimage-endpoint: unix://%s\n' "$WORK/cri.sock" "$WORK/cri.sock" >"$WORK/crictl.yml"
    "${ENGINE_PREFIX[@]}" containerd -c "$WORK/cri.toml" >"$WORK/cri.log" 2>&1 &
    STARTED_PIDS+=($!)
    await 'the CRI' "$WORK/cri.log" cri_ images
}
cri_() { timeout 300 "${ENGINE_PREFIX[@]}" crictl -c "$WORK/crictl.yml" "$@"; }

# docker_start [OPTION OF DOCKERD...]: no bridge and no firewall rules, since only images are handled.
# shellcheck disable=SC2120
docker_start() {
    need docker dockerd containerd
    containerd_start
    echo '{}' >"$WORK/daemon.json"
    "${ENGINE_PREFIX[@]}" dockerd --config-file "$WORK/daemon.json" --bridge=none --iptables=false --ip6tables=false \
        --data-root "$WORK/docker" --exec-root "$WORK/docker-exec" --pidfile "$WORK/docker.pid" \
        --containerd "$WORK/containerd.sock" -H "unix://$WORK/docker.sock" "$@" >"$WORK/dockerd.log" 2>&1 &
    STARTED_PIDS+=($!)
    await docker "$WORK/dockerd.log" docker_ info
}

# What is left of dockerd and its containerd, so that both can be started anew.
docker_stop() {
    end "$(cat "$WORK/docker.pid")"
    end "$CONTAINERD_PID"
    rm -rf "$WORK"/{docker,docker-exec,containerd,containerd-state,containerd.sock,docker.sock}
}

docker_clean() {
    local ids
    mapfile -t ids < <(docker_ image ls -aq --no-trunc | sort -u)
    ((${#ids[@]} == 0)) || docker_ image rm -f "${ids[@]}" >/dev/null
    expect 'images left' '' "$(docker_ image ls -aq)"
}

docker_id() { docker_ image inspect -f '{{.Id}}' "$1"; }
podman_id() { podman_ image inspect --format 'sha256:{{.Id}}' "$1"; }

# archive DIR NAME: what `docker save` would write for a layout, named NAME in it, made once.
archive() {
    local file=$1.tar
    [[ -e $file ]] || skopeo_ copy -q "oci:$1:latest" "docker-archive:$file:$2" >&2
    echo "$file"
}

# --- a machine of their own -----------------------------------------------------------------------------------------------

# Not in 127.0.0.0/8, where docker asks for nothing.
MACHINE_ADDRESS=192.168.0.201

# machine_start NAME...: a network whose one address has these names, an /etc (a copy), an /usr/local/share/ca-certificates,
# and an empty /var/lib with registry in it. Engines that are started afterwards are there. Needs root.
machine_start() {
    local name
    need unshare nsenter ip mount
    MACHINE_DIR=$(mktemp -d "$WORK/machine.XXXXXX")
    mkdir "$MACHINE_DIR"/{data,authorities}
    cp -a /etc "$MACHINE_DIR/etc"
    rm -rf "$MACHINE_DIR"/etc/{docker,containerd,containers}/certs.d
    echo '127.0.0.1 localhost' >"$MACHINE_DIR/etc/hosts"
    for name in "$@"; do echo "$MACHINE_ADDRESS $name" >>"$MACHINE_DIR/etc/hosts"; done
    rm -f "$MACHINE_DIR/etc/nsswitch.conf"
    echo 'hosts: files' >"$MACHINE_DIR/etc/nsswitch.conf"
    unshare --net --mount sleep infinity &
    MACHINE=$!
    STARTED_PIDS+=("$MACHINE")
    await machine /dev/null sh -c "[ \$(readlink /proc/$MACHINE/ns/net) != \$(readlink /proc/self/ns/net) ]"
    ENGINE_PREFIX=(nsenter -t "$MACHINE" -n -m)
    # shellcheck disable=SC2016 # the inner shell's
    on_machine sh -euc '
        ip link set lo up
        ip address add "$2/32" dev lo
        mount --bind "$1/etc" /etc
        mount --bind "$1/authorities" /usr/local/share/ca-certificates
        mount -t tmpfs -o mode=755 tmpfs /var/lib
        mkdir /var/lib/registry
        mount --bind "$1/data" /var/lib/registry' sh "$MACHINE_DIR" "$MACHINE_ADDRESS"
}

on_machine() { "${ENGINE_PREFIX[@]}" "$@"; }

machine_stop() {
    end "$MACHINE"
    ENGINE_PREFIX=()
}
