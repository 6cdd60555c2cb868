#!/usr/bin/env bash
# The manifests of ../../kubernetes: built by kustomize with what `init` makes, and the registry and its collector run as their pods
# would be, by their arguments, as their user, with their files; but for the directories, which are other ones here.
#
#   CI_EXTRA=1        also compares every object with Kubernetes' schemas
#   TWUNI_CHART=DIR   also makes the objects of that helm chart with twuni-values.yaml, and compares them
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need curl jq ss openssl tar gzip crane kustomize setpriv

PROGRAM=${REGISTRY_BIN:-${CARGO_TARGET_DIR:-$REPO_DIR/target}/release/pi-registry}
[[ -x $PROGRAM ]] || die "init is a command of pi-registry: $PROGRAM is no program"
SCHEMAS=1.34
POD=$WORK/pod USER_ID=65532 PASSWORD=correct-horse-battery
# The pods' user must get to the files.
chmod 711 "$WORK"
mkdir -p "$POD/bin" "$POD/registry" "$POD/distribution" "$POD/images"
install -m 755 "$PROGRAM" "$POD/bin/registry"

cp -r "$CLIENTS_DIR/../../kubernetes" "$WORK/kubernetes"
rm -rf "$WORK/kubernetes/registry"
printf 'REGISTRY_STORAGE_S3_ACCESSKEY=key\nREGISTRY_STORAGE_S3_SECRETKEY=secret\n' >"$WORK/kubernetes/bucket/bucket.env"
program() { env -u REGISTRY_BIN "$POD/bin/registry" "$@"; }

# build NAME COMPONENT...: into the folder NAME, one file for each object.
build() {
    local name=$1 component
    rm -rf "${WORK:?}/$name" "$WORK/build"
    mkdir "$WORK/$name"
    cp -r "$WORK/kubernetes" "$WORK/build"
    for component in "${@:2}"; do
        sed -i "s/^  # - $component\$/  - $component/" "$WORK/build/kustomization.yaml"
    done
    kustomize build "$WORK/build" -o "$WORK/$name"
    ls "$WORK/$name"
}

builds() {
    build volume
    build bucket bucket monitoring
    # The CA's key stays where it was made.
    expect 'the secret' "$(printf '%s\n' ca.crt htpasswd tls.crt tls.key)" \
        "$(sed -n 's/^  \([a-z]*\.\{0,1\}[a-z]*\): .*/\1/p' "$WORK"/volume/v1_secret_registry.yaml | grep -vx 'name\|namespace')"
    [[ -e $WORK/bucket/monitoring.coreos.com_v1_servicemonitor_registry.yaml && ! -e $WORK/volume/v1_service_registry-metrics.yaml ]]
    [[ -e $WORK/volume/v1_persistentvolumeclaim_registry.yaml && ! -e $WORK/bucket/v1_persistentvolumeclaim_registry.yaml ]]
    ! grep -rn 'claimName' "$WORK/bucket"
}

# of_schema FILE...
of_schema() {
    local lib=$TOOLS_CACHE/kubernetes-validate
    [[ -d $lib ]] || HOME=$HOME_BEFORE python3 -m pip install -q --root-user-action ignore --target "$lib" \
        "kubernetes-validate==$KUBERNETES_VALIDATE_VERSION"
    PYTHONPATH=$lib python3 -m kubernetes_validate --strict -k "$SCHEMAS" "$@"
}

chart() {
    helm template -n registry registry "$TWUNI_CHART" -f "$WORK/kubernetes/twuni-values.yaml" \
        --set tlsSecretName=registry-tls-registry-local-5000 --set-file secrets.htpasswd="$WORK/kubernetes/registry/htpasswd" \
        >"$WORK/chart.yaml"
    of_schema "$WORK/chart.yaml"
}

# arguments_of FILE: of the pod in it, and our places for its own.
arguments_of() { sed -n '/^ *- args:$/,/^ *[a-z]*:/s/^ *- \([^:]*\)$/\1/p' "$1" | moved; }
moved() { sed "s#/etc/distribution#$POD/distribution#; s#/etc/registry#$POD/registry#; s#/var/lib/registry#$POD/images#"; }

# pod NAME: the words of the command that runs it, in the array COMMAND.
pod() {
    mapfile -t COMMAND < <(arguments_of "$WORK/volume/$1")
    ((${#COMMAND[@]} > 1)) || die "no arguments in $1"
    COMMAND=(setpriv --reuid "$USER_ID" --regid "$USER_ID" --clear-groups --no-new-privs "$POD/bin/registry" "${COMMAND[@]}")
}

# What a kubelet does with the volumes: files of root's that the pod's group may read.
mount_volumes() {
    local port=$1 debug=$2
    install -m 440 -g $USER_ID "$WORK"/kubernetes/registry/{ca.crt,tls.crt,tls.key,htpasswd} "$POD/registry"
    moved <"$WORK/kubernetes/config.yml" | sed "s/addr: :5000/addr: 127.0.0.1:$port/; s/addr: :5001/addr: 127.0.0.1:$debug/" \
        >"$POD/distribution/config.yml"
    chgrp $USER_ID "$POD/images"
    chmod 2770 "$POD/images"
}

serves() {
    local image=$HOST/app:v1
    SSL_CERT_FILE=$POD/ca.crt
    export SSL_CERT_FILE
    expect 'without a password' 401 "$(status_of --cacert "$POD/ca.crt" "https://$HOST/v2/")"
    crane auth login "$HOST" -u alice -p "$PASSWORD"
    crane push "$WORK/image" "$image"
    crane validate --remote "$image"
    expect metrics 200 "$(status_of "http://127.0.0.1:$DEBUG_PORT/metrics")"
    expect ready 200 "$(status_of "http://127.0.0.1:$DEBUG_PORT/debug/health")"
}

collects() {
    local COMMAND
    pod batch_v1_cronjob_registry-garbage-collect.yaml
    env -u REGISTRY_BIN "${COMMAND[@]}"
    SSL_CERT_FILE=$POD/ca.crt crane validate --remote "$HOST/app:v1"
}

program init --dir "$WORK/kubernetes/registry" --host registry.local --user alice <<<"$PASSWORD" >"$WORK/init.log" ||
    die "init failed: $(cat "$WORK/init.log")"
scenario kustomize 'builds a volume, and a bucket with monitoring' builds
[[ -z ${CI_EXTRA:-} ]] || scenario schemas "of Kubernetes $SCHEMAS fit every object" of_schema "$WORK"/{volume,bucket}/*.yaml
if [[ -n ${TWUNI_CHART:-} ]]; then
    need helm
    scenario helm 'the chart takes the values, and makes objects of their schemas' chart
fi

REGISTRY_PORT=$(free_port) DEBUG_PORT=$(free_port)
HOST=localhost:$REGISTRY_PORT
mount_volumes "$REGISTRY_PORT" "$DEBUG_PORT"
pod apps_v1_deployment_registry.yaml
env -u REGISTRY_BIN "${COMMAND[@]}" >"$WORK/registry.log" 2>&1 &
STARTED_PIDS+=($!)
for ((i = 0; i < 100; i++)); do
    # As the kubelet probes it: without a look at the certificate.
    ! curl -fsk -o "$POD/ca.crt" "https://$HOST/ca.crt" || break
    sleep 0.1
done
make_layers() {
    mkdir -p "$WORK/layers"
    layer_make "$WORK/layers/one" one 100000
    make_image "$WORK/image" app amd64 "$WORK/layers/one"
}
make_layers
scenario pod 'the registry as its pod: TLS, users, health, metrics' serves
scenario pod 'the collector as its pod, beside it' collects
summary
