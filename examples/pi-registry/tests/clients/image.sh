#!/usr/bin/env bash
# The container image of dist/image.sh, kept by the registry that is in it: pushed with its SBOMs, pulled for each platform by
# docker, podman and containerd, imported from its archive, and run as `registry:2` is. Needs root, and the image:
#
#   dist/build.sh && dist/image.sh && tests/clients/image.sh
#
#   DIST_OUT=target/dist   where the image is
#
# For another processor than this machine's only the program runs, by qemu-user, in the tree of its image.
# shellcheck source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=engines.sh
source "$CLIENTS_DIR/engines.sh"

DIST_OUT=${DIST_OUT:-$REPO_DIR/target/dist}
LAYOUT=$DIST_OUT/image
[[ -d $LAYOUT ]] || die "$LAYOUT is missing: dist/build.sh, then dist/image.sh"
need curl jq ss docker dockerd containerd ctr podman skopeo oras

declare -A QEMU=([amd64]="" [arm64]=qemu-aarch64-static [arm]=qemu-arm-static)
ROOT=$(jq -r '.manifests[] | select(.annotations["org.opencontainers.image.ref.name"]).digest' "$LAYOUT/index.json")
# "architecture digest" of each platform.
mapfile -t PLATFORMS < <(jq -r '.manifests[] | "\(.platform.architecture) \(.digest)"' "$LAYOUT/blobs/sha256/${ROOT#*:}")
HERE=$(dpkg --print-architecture)

# of DIGEST JQ: what the layout's document says.
of() { jq -r "$2" "$LAYOUT/blobs/sha256/${1#*:}"; }

push() {
    oras cp -r --from-oci-layout "$LAYOUT:latest" --to-plain-http "$HOST/pi-registry:latest"
    expect 'the index' "$ROOT" "$(hash_of "http://$HOST/v2/pi-registry/manifests/latest")"
}

referrers() {
    local platform digest list sbom
    for platform in "${PLATFORMS[@]}"; do
        digest=${platform#* }
        list=$(curl -fsS "http://$HOST/v2/pi-registry/referrers/$digest")
        expect 'the type of what refers to it' application/spdx+json "$(jq -r '.manifests[].artifactType' <<<"$list")"
        sbom=$(curl -fsS "http://$HOST/v2/pi-registry/manifests/$(jq -r '.manifests[0].digest' <<<"$list")" | jq -r '.layers[0].digest')
        curl -fsSL "http://$HOST/v2/pi-registry/blobs/$sbom" |
            jq -e '.spdxVersion == "SPDX-2.3" and ([.packages[].name] | index("pi-registry") and index("tokio") and index("rust-std") and index("musl"))'
    done
}

# The image's id is the digest of its configuration, for docker and podman.
docker_pull() {
    docker_ pull --platform "linux/$1" "$HOST/pi-registry:latest"
    expect id "$(of "$2" .config.digest)" "$(docker_id "$HOST/pi-registry:latest")"
}

podman_pull() {
    podman_ pull -q --tls-verify=false --arch "$1" "$HOST/pi-registry:latest"
    expect id "$(of "$2" .config.digest)" "$(podman_id "$HOST/pi-registry:latest")"
}

containerd_pull() {
    ctr_ image pull --plain-http --platform "linux/$1" --snapshotter native "$HOST/pi-registry:latest"
    ctr_ image ls | grep -F "$ROOT"
    ctr_ content ls -q | grep -qxF "$(of "$2" '.layers[0].digest')"
}

# As k3s does with an image that no registry has.
containerd_import() {
    ctr_ image import --snapshotter native "$DIST_OUT/pi-registry-image.tar"
    ctr_ image ls -q | grep -qx docker.io/library/pi-registry:latest
}

# answers PORT: the registry there, in three seconds or never.
answers() {
    local i
    for ((i = 0; i < 100; i++)); do
        [[ $(status_of "http://127.0.0.1:$1/v2/") == 200 ]] && return 0
        sleep 0.1
    done
    return 1
}

# runs ENGINE [ARGUMENT...]: with what registry:2 is run with, a volume, the root read only, and whatever user.
runs() {
    local engine=$1 port name
    shift
    port=$(free_port) name=registry-$port
    # podman asks for higher limits than a test may have.
    "$engine" run -d --name "$name" --network host --read-only --ulimit nofile=1024:1024 --ulimit nproc=1024:1024 \
        -e "REGISTRY_HTTP_ADDR=127.0.0.1:$port" -v "$name:/var/lib/registry" "${@:1:$#-1}" "$HOST/pi-registry:latest" "${@: -1}"
    answers "$port" || { "$engine" logs "$name" && return 1; }
    expect 'a push' 201 "$(HOST=127.0.0.1:$port push_blob some/thing "$WORK/blob" "$(digest_of "$WORK/blob")")"
    "$engine" rm -f -v "$name"
}

# Without any engine: the image's tree, its user, its command.
chroot_runs() {
    local tree=$WORK/tree-$1 port words qemu=${QEMU[$1]}
    [[ $1 != "$HERE" ]] || qemu=
    mkdir "$tree"
    tar -xzf "$LAYOUT/blobs/sha256/$(of "$2" '.layers[0].digest' | cut -d : -f 2)" -C "$tree"
    [[ -z $qemu ]] || install -D "$(command -v "$qemu")" "$tree/usr/bin/$qemu"
    mapfile -t words < <(jq -r '.config | (.Entrypoint + .Cmd)[]' "$LAYOUT/blobs/sha256/$(of "$2" .config.digest | cut -d : -f 2)")
    port=$(free_port)
    [[ -z $qemu ]] || words=("/usr/bin/$qemu" -0 "${words[0]}" "${words[@]}")
    env -i PATH="$PATH" "REGISTRY_HTTP_ADDR=127.0.0.1:$port" chroot --userspec 65532:65532 "$tree" "${words[@]}" &
    # What a scenario starts it ends itself.
    SCENARIO_PID=$!
    trap 'end "$SCENARIO_PID"' EXIT
    answers "$port"
    expect 'a push' 201 "$(HOST=127.0.0.1:$port push_blob some/thing "$WORK/blob" "$(digest_of "$WORK/blob")")"
    find "$tree/var/lib/registry" -type f -user 65532 | grep -q data
}

head -c 100000 /dev/urandom >"$WORK/blob"
registry_start "$WORK/data"
scenario oras 'push the image and its SBOMs' push
scenario curl 'each platform has an SBOM' referrers
docker_start --storage-driver vfs
for platform in "${PLATFORMS[@]}"; do
    read -r architecture digest <<<"$platform"
    for engine in docker podman containerd; do
        scenario "$engine" "pull for $architecture" "${engine}_pull" "$architecture" "$digest"
    done
    scenario none "run for $architecture" chroot_runs "$architecture" "$digest"
done
scenario containerd 'import the archive' containerd_import
# The last pulls were for other platforms.
for engine in docker podman; do
    scenario "$engine" 'pull for this machine' "${engine}_pull" "$HERE" \
        "$(printf '%s\n' "${PLATFORMS[@]}" | sed -n "s/^$HERE //p")"
    scenario "$engine" 'run it' runs "${engine}_" serve
    scenario "$engine" 'run as another user, with a file' runs "${engine}_" --user 1000 /etc/docker/registry/config.yml
done
summary
