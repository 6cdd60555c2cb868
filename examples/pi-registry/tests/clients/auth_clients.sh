#!/usr/bin/env bash
# Real clients and who may do what: docker, podman, skopeo, crane, containerd (ctr, and its CRI through crictl), oras, regctl and,
# with CI_EXTRA, helm; against passwords, with and without anonymous pull, a policy, the built-in token server, and somebody
# else's. Needs root.
#
#   auth_clients.sh [MODE...]    only these: htpasswd anonymous policy tokens external
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=engines.sh
source "$CLIENTS_DIR/engines.sh"
# shellcheck source=auth_lib.sh
source "$CLIENTS_DIR/auth_lib.sh"
((EUID == 0)) || die 'the engines need root'
need curl jq ss openssl tar gzip perl skopeo podman docker dockerd containerd ctr crane oras regctl crictl
CLIENTS=(docker podman skopeo crane ctr cri oras regctl)
# It takes more than a minute to compile.
[[ -z ${CI_EXTRA:-} ]] || { need helm && CLIENTS+=(helm); }

MODES=("$@")
((${#MODES[@]})) || MODES=(htpasswd anonymous policy tokens external)
declare -A WHAT=(
    [htpasswd]='wrong passwords, push, pull; nothing without a login'
    [anonymous]='wrong passwords, push, pull; without a login only pull'
    [policy]='the same, and others may read, or not at all'
    [tokens]='the same, with tokens of our own'
    [external]='wrong passwords, push, pull; tokens of somebody else'
)
IMAGES=$WORK/images
LAYERS=$WORK/layers
IMAGE=$IMAGES/one

# --- each client: login USER PASSWORD, push REPOSITORY, pull REPOSITORY, and a look at what was pulled ------------------------------

docker_login() { docker_ login -u "$1" --password-stdin "$HOST" <<<"$2"; }
docker_push() {
    docker_ image inspect local/one:latest >/dev/null 2>&1 || docker_ load -q -i "$(archive "$IMAGE" local/one:latest)"
    docker_ tag local/one:latest "$HOST/$1:latest"
    # Not longer: a refusal is no reason for it to try again.
    timeout 20 docker -H "unix://$WORK/docker.sock" push "$HOST/$1:latest"
}
docker_pull() {
    docker_clean
    docker_ pull "$HOST/$1:latest"
    expect 'id of what was pulled' "$(config_digest "$IMAGE")" "$(docker_id "$HOST/$1:latest")"
}

podman_login() { podman_ login --tls-verify=false -u "$1" --password-stdin "$HOST" <<<"$2"; }
podman_push() {
    podman_ image exists docker.io/local/one:latest || podman_ load -q -i "$(archive "$IMAGE" local/one:latest)"
    podman_ push -q --tls-verify=false docker.io/local/one:latest "docker://$HOST/$1:latest"
}
podman_pull() {
    podman_ pull -q --tls-verify=false "$HOST/$1:latest"
    expect 'id of what was pulled' "$(config_digest "$IMAGE")" "$(podman_id "$HOST/$1:latest")"
    podman_ rmi -f "$HOST/$1:latest"
}

layout_is_whole() {
    expect 'digest of what was pulled' "$(root_digest "$IMAGE")" "$(root_digest "$1")"
    layout_sound "$1"
    rm -r "$1"
}

skopeo_login() { skopeo_ login --tls-verify=false -u "$1" --password-stdin "$HOST" <<<"$2"; }
skopeo_push() { skopeo_ copy -q --preserve-digests --dest-tls-verify=false "oci:$IMAGE:latest" "docker://$HOST/$1:latest"; }
skopeo_pull() {
    skopeo_ copy -q --preserve-digests --src-tls-verify=false "docker://$HOST/$1:latest" "oci:$WORK/pulled.skopeo:latest"
    layout_is_whole "$WORK/pulled.skopeo"
}

# It takes any password, and never asks the registry.
crane_login() { crane_ auth login -u "$1" --password-stdin "$HOST" <<<"$2" && crane_ catalog --insecure "$HOST"; }
crane_push() { crane_ push --insecure "$IMAGE" "$HOST/$1:latest"; }
crane_pull() {
    crane_ pull --insecure --format oci "$HOST/$1:latest" "$WORK/pulled.crane"
    layout_is_whole "$WORK/pulled.crane"
}

oras_login() { timeout 60 oras login --plain-http -u "$1" --password-stdin "$HOST" <<<"$2"; }
oras_push() { (cd "$WORK" && timeout 60 oras push --plain-http --artifact-type application/x.file "$HOST/$1:latest" auth/file:text/plain); }
oras_pull() {
    timeout 60 oras pull --plain-http -o "$WORK/pulled.oras" "$HOST/$1:latest"
    cmp "$AUTH/file" "$WORK/pulled.oras/auth/file"
    rm -r "$WORK/pulled.oras"
}

regctl_() { timeout 60 regctl --host "reg=$HOST,tls=disabled" "$@"; }
regctl_login() { regctl_ registry login "$HOST" -u "$1" --pass-stdin <<<"$2"; }
regctl_push() { regctl_ image copy "ocidir://$IMAGE:latest" "$HOST/$1:latest"; }
regctl_pull() {
    regctl_ image copy "$HOST/$1:latest" "ocidir://$WORK/pulled.regctl:latest"
    layout_is_whole "$WORK/pulled.regctl"
}

helm_login() { timeout 60 helm registry login --plain-http -u "$1" --password-stdin "$HOST" <<<"$2"; }
helm_push() { timeout 60 helm push --plain-http "$WORK/chart-0.1.0+one.tgz" "oci://$HOST/$1"; }
helm_pull() {
    rm -rf "$WORK/pulled.helm"
    mkdir "$WORK/pulled.helm"
    timeout 60 helm pull --plain-http "oci://$HOST/$1/chart" --version 0.1.0+one -d "$WORK/pulled.helm"
    cmp "$WORK/chart-0.1.0+one.tgz" "$WORK/pulled.helm/chart-0.1.0+one.tgz"
    timeout 60 helm show chart --plain-http "oci://$HOST/$1/chart" --version '^0.1.0-0' | grep 'name: chart'
}

# These keep no logins: each call says who it is.
who() { [[ $AS == nobody ]] || echo "$AS:$PASSWORD"; }
ctr_login() { ctr_ images pull --plain-http --snapshotter native --user "$1:$2" "$HOST/team/seed:latest"; }
ctr_push() {
    local options=()
    [[ $AS == nobody ]] || options=(--user "$(who)")
    ctr_ images push --plain-http "${options[@]}" "$HOST/$1:latest" local/one:latest
}
ctr_pull() {
    local options=()
    [[ $AS == nobody ]] || options=(--user "$(who)")
    ctr_ images pull --plain-http --snapshotter native "${options[@]}" "$HOST/$1:latest"
    ctr_ images rm --sync "$HOST/$1:latest"
}

# As the kubelet does with an imagePullSecret.
cri_login() { cri_ pull --creds "$1:$2" "$HOST/team/seed:latest"; }
cri_pull() {
    local options=()
    [[ $AS == nobody ]] || options=(--creds "$(who)")
    cri_ pull "${options[@]}" "$HOST/$1:latest"
    expect 'id of what was pulled' "$(config_digest "$IMAGE")" "$(cri_ inspecti -o json "$HOST/$1:latest" | jq -r .status.id)"
    cri_ rmi "$HOST/$1:latest"
}

# --- what each of them does ------------------------------------------------------------------------------------------------------------

# pulls_freely CLIENT: whether it gets what is public without a login.
pulls_freely() {
    case $MODE/$1 in
    htpasswd/*) return 1 ;;
    # It takes a challenge that asks for a password as the end.
    anonymous/docker | policy/docker) return 1 ;;
    esac
}

round() {
    local client=$1 pushed=$1
    # docker's logins would be podman's, too.
    LOGINS=$MODE-$client
    [[ $client != cri ]] || pushed=seed
    case $MODE/$client in
    # containerd shows none where it is not asked.
    anonymous/ctr | anonymous/cri) ;;
    *)
        denied as stranger "${client}_login" "$WRITER" wrong
        denied as stranger "${client}_login" unknown "$PASSWORD"
        ;;
    esac
    as "$WRITER" "${client}_login" "$WRITER" "$PASSWORD"
    if [[ $client != cri ]]; then
        as "$WRITER" "${client}_push" "public/$client"
        denied as nobody "${client}_push" "public/$client/of/nobody"
    fi
    as "$WRITER" "${client}_pull" "public/$pushed"
    if pulls_freely "$client"; then
        as nobody "${client}_pull" "public/$pushed"
    else
        denied as nobody "${client}_pull" "public/$pushed"
    fi
    case $MODE in policy | tokens) rules "$client" "$pushed" ;; esac
}

rules() {
    local client=$1 pushed=$2
    as "$READER" "${client}_login" "$READER" "$PASSWORD"
    if [[ $client != cri ]]; then
        as "$WRITER" "${client}_push" "team/$client"
        denied as "$WRITER" "${client}_push" "other/$client"
        denied as "$READER" "${client}_push" "team/$client/of/reader"
    fi
    as "$READER" "${client}_pull" "team/$pushed"
    denied as nobody "${client}_pull" "team/$pushed"
}

second_daemon() {
    LOGINS=second
    denied as nobody docker_pull public/docker
    as "$WRITER" docker_login "$WRITER" "$PASSWORD"
    as "$WRITER" docker_pull public/docker
}

# --- all of it ---------------------------------------------------------------------------------------------------------------------------

mkdir -p "$LAYERS" "$IMAGES"
layer_make "$LAYERS/base" base 300000
make_image "$IMAGE" local/one:latest amd64 "$LAYERS/base"
archive "$IMAGE" local/one:latest >/dev/null
echo 'a file' >"$AUTH/file"
mkdir -p "$WORK/chart/templates"
printf 'apiVersion: v2\nname: chart\nversion: 0.1.0+one\n' >"$WORK/chart/Chart.yaml"
[[ -z ${CI_EXTRA:-} ]] || helm package "$WORK/chart" -d "$WORK" >/dev/null
make_users "$AUTH/users" 4 "$WRITER" "$READER"
make_policy
openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$AUTH/tokens.key"
docker_start
cri_start
tar -C "$IMAGE" -cf "$WORK/import.tar" .
ctr_ images import --all-platforms --no-unpack "$WORK/import.tar" >/dev/null
for MODE in "${MODES[@]}"; do
    options=()
    case $MODE in
    external) issuer_start ;;
    # With these, docker keeps no password.
    tokens) options=(REGISTRY_AUTH_TOKENSERVER_KEY="$AUTH/tokens.key" REGISTRY_AUTH_TOKENSERVER_REFRESH=true) ;;
    esac
    auth_start "$MODE" "${options[@]}"
    for seed in public/seed team/seed; do
        skopeo_ copy -q --dest-tls-verify=false --dest-creds "$WRITER:$PASSWORD" "oci:$IMAGE:latest" "docker://$HOST/$seed:latest"
    done
    for client in "${CLIENTS[@]}"; do
        scenario "$client" "$MODE: ${WHAT[$MODE]}" round "$client"
    done
    registry_stop
done
if [[ -d $WORK/data-htpasswd ]]; then
    auth_start htpasswd
    docker_stop
    docker_start
    scenario docker 'a second daemon gets nothing without a login' second_daemon
    registry_stop
fi
scenario logs 'no password and no token is in them' no_secret_in "$WORK/registry.log" "$WORK/access.log"
summary
