# Shared by the scripts in this folder: a scratch folder, the registry under test, tools, test images, results.
# shellcheck shell=bash
#
# What is tested is named by one variable, words split at blanks:
#   (unset)                             target/release/pi-registry of this workspace
#   REGISTRY_BIN=/opt/pi-registry       another build of it, called with a small config.yml of ours
#   REGISTRY_BIN='/opt/other serve c.yml'  any program that reads distribution's REGISTRY_* variables, called like this
#   REGISTRY_BIN=peer                   Debian's docker-registry (distribution 2.8), to see that the scripts judge the
#                                       protocol and not one program
# Other switches: KEEP=1 keeps the scratch folder, TMPDIR says where it is made (a disk with 4 GB free).

set -euo pipefail

CLIENTS_DIR=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
REPO_DIR=$(cd "$CLIENTS_DIR/../../../.." && pwd)
# shellcheck source=../../../../.ci/versions
source "$REPO_DIR/.ci/versions"

TOOLS_CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/registry-tools
TOOLS_BIN=$TOOLS_CACHE/bin
# /usr/bin comes early so that the Debian engine's own client is used, whatever else a machine has in /usr/local.
PATH=$TOOLS_BIN:$TOOLS_CACHE/azurite/node_modules/.bin:/usr/local/go/bin:/usr/sbin:/usr/bin:$PATH
# A proxy that a machine needs for package downloads must not see requests to the registry under test.
export NO_PROXY=127.0.0.1,localhost no_proxy=127.0.0.1,localhost
export LC_ALL=C DEBIAN_FRONTEND=noninteractive

WORK=$(mktemp -d "${TMPDIR:-/tmp}/rc.XXXXXX")
# Clients look for credentials and caches in HOME: a private one keeps the tests independent of the machine's user.
export HOME_BEFORE=$HOME HOME=$WORK/home DOCKER_CONFIG=$WORK/home/.docker
mkdir -p "$DOCKER_CONFIG"
echo '{}' >"$DOCKER_CONFIG/config.json"

RESULTS=$WORK/results.tsv
: >"$RESULTS"
STARTED_PIDS=()
MORE_FOLDERS=()
CONTROL_GROUPS=()
REGISTRY_PID=
REGISTRY_PORT=
HOST=
DATA=
# How the registry is reached, and what answers 200 once it has started. curl finds a CA by CURL_CA_BUNDLE.
SCHEME=http
PING=/v2/

# --- ending -----------------------------------------------------------------------------------------------------------

# end PID [SECONDS]: asks a process that this script started to stop, and insists after a while.
end() {
    local pid=$1 patience=${2:-10} i
    kill -TERM "$pid" 2>/dev/null || return 0
    for ((i = 0; i < patience * 10; i++)); do
        kill -0 "$pid" 2>/dev/null || break
        sleep 0.1
    done
    kill -KILL "$pid" 2>/dev/null || true
    wait "$pid" 2>/dev/null || true
}

cleanup() {
    local status=$? i mounts
    trap - EXIT INT TERM
    set +e
    for ((i = ${#STARTED_PIDS[@]} - 1; i >= 0; i--)); do
        end "${STARTED_PIDS[i]}"
    done
    # The engines leave mounts of their own below our folder; the deepest go first.
    mapfile -t mounts < <(awk -v w="$WORK/" 'index($2, w) == 1 { print $2 }' /proc/mounts | sort -r)
    for i in "${mounts[@]}"; do umount "$i" 2>/dev/null || umount -l "$i"; done
    for i in "${CONTROL_GROUPS[@]}"; do rmdir "$i"; done
    if [[ -n ${KEEP:-} ]]; then echo "kept $WORK"; else rm -rf "$WORK" "${MORE_FOLDERS[@]}"; fi
    exit "$status"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

die() {
    echo "$*" >&2
    exit 1
}

# --- tools ------------------------------------------------------------------------------------------------------------

# Debian's names of what a command comes from, where they differ from the command.
declare -A DEBIAN_PACKAGE=([docker]=docker.io [dockerd]=docker.io [ctr]=containerd [ss]=iproute2 [mount]=mount [tar]=tar [update-ca-certificates]=ca-certificates
    [ip]=iproute2 [nginx]=nginx-light [htpasswd]=apache2-utils [unshare]=util-linux [nsenter]=util-linux [setpriv]=util-linux [systemd-nspawn]=systemd-container
    [readelf]=binutils [etcd]=etcd-server [busybox]=busybox-static [qemu-arm]=qemu-user [qemu-aarch64]=qemu-user)

# need COMMAND...: installs what is missing; a tool that cannot be had ends the run, it never counts as passed.
need() {
    local command packages=()
    for command in "$@"; do
        command -v "$command" >/dev/null && continue
        case $command in
        crane) go_tool "$CRANE_MODULE" ;;
        conformance) go_tool "$CONFORMANCE_MODULE" ;;
        oras) go_tool "$ORAS_MODULE" ;;
        regctl) go_tool "$REGCTL_MODULE" ;;
        helm) go_tool "$HELM_MODULE" ;;
        kustomize) go_tool "$KUSTOMIZE_MODULE" ;;
        cosign) go_tool "$COSIGN_MODULE" ;;
        crictl) go_tool "$CRICTL_MODULE" ;;
        minio) go_tool "$MINIO_MODULE" ;;
        fake-gcs-server) go_tool "$FAKE_GCS_MODULE" ;;
        azurite-blob) npm_tool azurite "azurite@$AZURITE_VERSION" ;;
        *) packages+=("${DEBIAN_PACKAGE[$command]:-$command}") ;;
        esac
    done
    if ((${#packages[@]})); then
        echo "installing ${packages[*]}"
        if ! install_packages "${packages[@]}" >"$WORK/apt.log" 2>&1; then
            tail -n 20 "$WORK/apt.log"
            die "could not install ${packages[*]}"
        fi
    fi
    for command in "$@"; do
        command -v "$command" >/dev/null || die "$command is needed and could not be installed"
    done
}

install_packages() {
    local policy=/usr/sbin/policy-rc.d status=0 lock
    # Scripts that run at once may need the same.
    mkdir -p "$TOOLS_CACHE"
    exec {lock}>"$TOOLS_CACHE/apt.lock"
    flock "$lock"
    (
        # Without this the packages' scripts would start daemons beside the private ones of these tests.
        if [[ ! -e $policy ]]; then
            trap 'rm -f "$policy"' EXIT
            printf '#!/bin/sh\nexit 101\n' >"$policy"
            chmod +x "$policy"
        fi
        apt-get update -q && apt-get install -y -q --no-install-recommends "$@"
    ) || status=$?
    exec {lock}>&-
    return "$status"
}

go_tool() {
    echo "installing $1"
    # The user's own module cache is used: HOME was replaced above.
    HOME=$HOME_BEFORE GOBIN=$TOOLS_BIN go install "$1" >"$WORK/go.log" 2>&1 || {
        tail -n 20 "$WORK/go.log"
        die "could not install $1"
    }
}

# npm_tool FOLDER PACKAGE: into a folder of its own.
npm_tool() {
    need npm
    echo "installing $2"
    HOME=$HOME_BEFORE npm install --prefix "$TOOLS_CACHE/$1" --no-audit --no-fund "$2" >"$WORK/npm.log" 2>&1 || {
        tail -n 20 "$WORK/npm.log"
        die "could not install $2"
    }
}

# --- the registry under test ------------------------------------------------------------------------------------------

free_port() {
    local port
    while :; do
        port=$((20000 + RANDOM % 10000))
        [[ -z $(ss -Hltn "sport = :$port") ]] && break
    done
    echo "$port"
}

# Prints the words of the command line of the registry under test. The configuration is always named: without a name the
# program would find one that the machine has in /etc.
registry_command() {
    local config=$WORK/config.yml program=${REGISTRY_BIN:-${CARGO_TARGET_DIR:-$REPO_DIR/target}/release/pi-registry}
    printf 'version: 0.1\nstorage: {filesystem: {}, cache: {blobdescriptor: inmemory}}\nhttp: {addr: ":5000"}\n' >"$config"
    case $program in
    peer) echo "docker-registry serve $config" ;;
    *' '*) echo "$program" ;;
    *)
        [[ -x $program ]] || die "$program is missing: cargo build --release -p pi-registry"
        echo "$program $config"
        ;;
    esac
}

# registry_start DATA_DIR [VARIABLE=VALUE...]: sets HOST (address:port), REGISTRY_PID and DATA, logs to $WORK/registry.log.
# The port stays the same over restarts, so that clients meet the same registry again. With an empty DATA_DIR the variables say
# where the data is.
registry_start() {
    local i words rooted=()
    DATA=$1
    [[ -z $DATA ]] || rooted=(REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY="$DATA")
    shift
    [[ ${REGISTRY_BIN:-} == peer ]] && need docker-registry
    read -ra words <<<"$(registry_command)"
    REGISTRY_PORT=${REGISTRY_PORT:-$(free_port)}
    HOST=127.0.0.1:$REGISTRY_PORT
    # REGISTRY_BIN has the prefix of the registry's own variables, and is none.
    env -u REGISTRY_BIN \
        REGISTRY_HTTP_ADDR="$HOST" \
        REGISTRY_STORAGE_DELETE_ENABLED=true \
        "${rooted[@]}" "$@" "${words[@]}" >>"$WORK/access.log" 2>>"$WORK/registry.log" &
    REGISTRY_PID=$!
    STARTED_PIDS+=("$REGISTRY_PID")
    for ((i = 0; i < 150; i++)); do
        curl -fsk -o "$WORK/ping" "$SCHEME://$HOST$PING" && return 0
        kill -0 "$REGISTRY_PID" 2>/dev/null || break
        sleep 0.1
    done
    tail -n 20 "$WORK/registry.log" >&2
    die "the registry does not answer: ${words[*]}"
}

registry_stop() {
    end "$REGISTRY_PID"
    REGISTRY_PID=
}

registry_kill() {
    kill -KILL "$REGISTRY_PID"
    wait "$REGISTRY_PID" 2>/dev/null || true
    REGISTRY_PID=
}

# peak: the most memory that the registry has held, VmHWM in MiB, rounded up.
peak() { awk '/^VmHWM:/ { print int(($2 + 1023) / 1024) }' "/proc/$REGISTRY_PID/status"; }

# from_now_on: the kernel starts its high-water mark again at what is resident.
from_now_on() { echo 5 >"/proc/$REGISTRY_PID/clear_refs"; }

# --- results ----------------------------------------------------------------------------------------------------------

# report ok|FAIL CLIENT WHAT
report() {
    printf '%-4s %-10s %s\n' "$1" "$2" "$3"
    printf '%s\t%s\t%s\n' "$1" "$2" "$3" >>"$RESULTS"
}
pass() { report ok "$1" "$2"; }
fail() { report FAIL "$1" "$2"; }

# scenario CLIENT WHAT FUNCTION [ARGUMENT...]: runs the function in a subshell in which any failing command counts.
# Must not be called from an `if` or beside `&&`, because bash ignores failing commands there.
scenario() {
    local client=$1 what=$2 status log=$WORK/scenario.log said
    shift 2
    touch "$WORK/registry.log"
    said=$(wc -c <"$WORK/registry.log")
    set +e
    (
        set -e
        "$@"
    ) >"$log" 2>&1
    status=$?
    set -e
    if ((status == 0)); then
        pass "$client" "$what"
    else
        fail "$client" "$what"
        tail -n 15 "$log" | cut -c 1-300 | sed 's/^/       /'
        echo '       the registry meanwhile:'
        tail -c "+$((said + 1))" "$WORK/registry.log" | tail -n 3 | cut -c 1-250 | sed 's/^/       /'
    fi
}

# expect WHAT EXPECTED ACTUAL
expect() {
    [[ $2 == "$3" ]] && return 0
    echo "$1: expected '$2', got '$3'"
    return 1
}

# nothing_in FILE: which is shown otherwise.
nothing_in() { [[ ! -s $1 ]] || { cat "$1" && return 1; }; }

# wait_all PID...: all must have succeeded, and all are waited for before the verdict.
wait_all() {
    local pid failed=0
    for pid in "$@"; do wait "$pid" || failed=$((failed + 1)); done
    ((failed == 0)) || { echo "$failed of $# failed" && return 1; }
}

# The last line of every script; all.sh adds these up.
summary() {
    local passed failed
    passed=$(grep -c '^ok' "$RESULTS" || true)
    failed=$(grep -c '^FAIL' "$RESULTS" || true)
    echo "$passed passed, $failed failed"
    ((failed == 0 && passed > 0))
}

# --- small HTTP helpers -----------------------------------------------------------------------------------------------

# Types of every manifest, as all real clients list them: distribution answers with a schema 1 manifest otherwise.
ACCEPT='application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json'
ACCEPT+=', application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.docker.distribution.manifest.v2+json'

# status_of [CURL ARGUMENT...]: the status code only; 000 when there was no answer.
status_of() { curl -s -o /dev/null -w '%{http_code}' -H "Accept: $ACCEPT" "$@" || true; }

# hash_of URL: sha256:... of what a GET delivers; fails unless it is a 200.
hash_of() { curl -fsS -H "Accept: $ACCEPT" "$1" | sha256sum | sed 's/^\([0-9a-f]*\).*/sha256:\1/'; }

digest_of() { sha256sum "$1" | sed 's/^\([0-9a-f]*\).*/sha256:\1/'; }

# upload_url REPOSITORY: opens an upload and prints its absolute URL, whether the server's Location is relative or not.
upload_url() {
    local location
    location=$(curl -fsS -o /dev/null -D - -X POST -H 'Content-Length: 0' "$SCHEME://$HOST/v2/$1/blobs/uploads/" |
        tr -d '\r' | sed -n 's/^location: //Ip')
    [[ $location == /* ]] && location=$SCHEME://$HOST$location
    echo "$location"
}

# with_digest URL DIGEST: a Location may have a query of its own already.
with_digest() { if [[ $1 == *\?* ]]; then echo "$1&digest=$2"; else echo "$1?digest=$2"; fi; }

# push_blob REPOSITORY FILE DIGEST [CURL ARGUMENT...]: prints the status of the last request.
push_blob() {
    local repository=$1 file=$2 digest=$3 url
    shift 3
    url=$(upload_url "$repository") || { echo 000 && return 0; }
    curl -s -o "${BODY_FILE:-/dev/null}" -w '%{http_code}' -X PUT -H 'Content-Type: application/octet-stream' -H 'Expect:' \
        -T "$file" "$@" "$(with_digest "$url" "$digest")" || true
}

# put_manifest REPOSITORY REFERENCE FILE: prints the status.
put_manifest() {
    curl -s -o "${BODY_FILE:-/dev/null}" -w '%{http_code}' -X PUT \
        -H "Content-Type: $(jq -r .mediaType "$3")" --data-binary "@$3" "$SCHEME://$HOST/v2/$1/manifests/$2" || true
}

# fetch_and_hash LIST: GETs each "path digest" line and hashes it; prints what differs or is missing, and the count of good
# ones last.
fetch_and_hash() {
    local list=$1 dir=$WORK/fetched
    rm -rf "$dir"
    mkdir "$dir"
    awk -v host="$HOST" -v dir="$dir" -v accept="$ACCEPT" '{
        printf "%surl = \"http://%s/v2/%s\"\noutput = \"%s/%d\"\nheader = \"Accept: %s\"\nfail\nsilent\n",
            (NR > 1 ? "next\n" : ""), host, $1, dir, NR, accept }' "$list" >"$WORK/fetch.conf"
    curl -Z --parallel-max 4 -K "$WORK/fetch.conf" 2>/dev/null || true
    awk '{ sub("sha256:", "", $2); printf "%s  %d\n", $2, NR }' "$list" >"$WORK/fetch.sums"
    (cd "$dir" && sha256sum -c "$WORK/fetch.sums" 2>/dev/null) >"$WORK/fetch.checked" || true
    sed -n 's/: FAILED.*//p' "$WORK/fetch.checked" | while read -r number; do
        echo "lost or damaged: $(sed -n "${number}p" "$list")"
    done
    rm -rf "$dir"
    grep -c ': OK$' "$WORK/fetch.checked" || true
}

# --- test content -----------------------------------------------------------------------------------------------------

# noise SEED BYTES: incompressible bytes, the same for the same seed, as fast as AES.
noise() {
    head -c "$2" /dev/zero | openssl enc -aes-128-ctr -nosalt -K "$(printf '%s' "$1" | md5sum | head -c 32)" \
        -iv 00000000000000000000000000000000
}

# layout_new DIR: an empty OCI image layout.
layout_new() {
    mkdir -p "$1/blobs/sha256"
    echo '{"imageLayoutVersion":"1.0.0"}' >"$1/oci-layout"
    echo '{"schemaVersion":2,"manifests":[]}' >"$1/index.json"
}

# layout_add DIR FILE MEDIATYPE: moves a file in and prints its descriptor.
layout_add() {
    local digest size
    digest=$(digest_of "$2")
    size=$(stat -c %s "$2")
    mv "$2" "$1/blobs/sha256/${digest#sha256:}"
    jq -cn --arg m "$3" --arg d "$digest" --argjson s "$size" '{mediaType: $m, digest: $d, size: $s}'
}

# layer_make FILE SEED BYTES: a tar with one file of noise in it, FILE.tar, and FILE.tgz; made once.
# Level 1 because the content cannot be compressed anyway.
layer_make() {
    local file=$1 tree=$1.d
    [[ -e $file.tgz ]] && return 0
    mkdir -p "$tree"
    noise "$2" "$3" >"$tree/${file##*/}"
    tar --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner -C "$tree" -cf "$file.tar" .
    gzip -n -1 <"$file.tar" >"$file.tgz"
    rm -r "$tree"
}

# image_add DIR ARCHITECTURE LAYER...: adds an image of these layers (names as given to layer_make) and prints the
# manifest's descriptor with its platform. IMAGE_CMD is its command, as JSON.
image_add() {
    local dir=$1 architecture=$2 layer diffs=() descriptors=() scratch config
    shift 2
    scratch=$(mktemp "$WORK/image.XXXXXX")
    for layer in "$@"; do
        diffs+=("$(digest_of "$layer.tar")")
        cp "$layer.tgz" "$scratch.layer"
        descriptors+=("$(layout_add "$dir" "$scratch.layer" application/vnd.oci.image.layer.v1.tar+gzip)")
    done
    printf '%s\n' "${diffs[@]}" | jq -cR . | jq -cs --arg a "$architecture" --argjson cmd "${IMAGE_CMD:-[\"/bin/true\"]}" '{
        created: "2024-01-01T00:00:00Z", architecture: $a, os: "linux", config: {Cmd: $cmd},
        rootfs: {type: "layers", diff_ids: .},
        history: map({created: "2024-01-01T00:00:00Z", created_by: .})}' >"$scratch"
    config=$(layout_add "$dir" "$scratch" application/vnd.oci.image.config.v1+json)
    printf '%s\n' "${descriptors[@]}" | jq -cs --argjson c "$config" '{
        schemaVersion: 2, mediaType: "application/vnd.oci.image.manifest.v1+json", config: $c, layers: .}' >"$scratch"
    layout_add "$dir" "$scratch" application/vnd.oci.image.manifest.v1+json |
        jq -c --arg a "$architecture" '. + {platform: {os: "linux", architecture: $a}}'
}

# layout_tag DIR NAME DESCRIPTOR: NAME is also what containerd calls the image after an import.
layout_tag() {
    jq -c --arg n "$2" --argjson d "$3" '.manifests += [$d + {annotations:
        {"org.opencontainers.image.ref.name": "latest", "io.containerd.image.name": $n}}]' "$1/index.json" >"$1/index.new"
    mv "$1/index.new" "$1/index.json"
}

root_digest() { jq -r '.manifests[0].digest' "$1/index.json"; }
# The id that docker and podman give to an image is the digest of its config.
config_digest() {
    local digest
    digest=$(root_digest "$1")
    jq -r .config.digest "$1/blobs/sha256/${digest#sha256:}"
}

# make_image DIR NAME ARCHITECTURE LAYER...
make_image() {
    local descriptor
    layout_new "$1"
    descriptor=$(image_add "$1" "$3" "${@:4}")
    layout_tag "$1" "$2" "$descriptor"
}

# make_index DIR NAME LAYER: one image for each of three platforms, with one common layer and one of its own.
make_index() {
    local dir=$1 architecture descriptors=() scratch
    layout_new "$dir"
    for architecture in amd64 arm64 arm; do
        layer_make "$WORK/layers/index-$architecture" "index $architecture" 300000
        descriptors+=("$(image_add "$dir" "$architecture" "$3" "$WORK/layers/index-$architecture")")
    done
    scratch=$(mktemp "$WORK/index.XXXXXX")
    printf '%s\n' "${descriptors[@]}" | jq -cs '{
        schemaVersion: 2, mediaType: "application/vnd.oci.image.index.v1+json", manifests: .}' >"$scratch"
    layout_tag "$dir" "$2" "$(layout_add "$dir" "$scratch" application/vnd.oci.image.index.v1+json)"
}

# layout_sound DIR: every blob of a layout has the digest that it is named by.
layout_sound() {
    (cd "$1/blobs/sha256" && for f in *; do echo "$f  $f"; done | sha256sum -c --quiet)
}
