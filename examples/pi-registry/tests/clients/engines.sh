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

# engine_prefix: words before the engines' own commands, for an engine in namespaces of its own.
ENGINE_PREFIX=()

docker_() { timeout 300 docker -H "unix://$WORK/docker.sock" "$@"; }
podman_() {
    timeout 300 podman --root "$WORK/podman" --runroot "$WORK/podman-run" --tmpdir "$WORK/podman-tmp" --storage-driver vfs \
        --cgroup-manager cgroupfs --events-backend none "$@"
}
skopeo_() { timeout 300 skopeo --insecure-policy "$@"; }
crane_() { timeout 300 crane "$@"; }
ctr_() { timeout 300 ctr -a "$WORK/containerd.sock" -n clients "$@"; }

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
