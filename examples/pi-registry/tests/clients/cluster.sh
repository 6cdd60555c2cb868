#!/usr/bin/env bash
# A node of Kubernetes: API server, controllers, scheduler, kubelet and containerd, in a network of their own. It runs what
# ../../kubernetes has, with the image of dist/image.sh as `k3s ctr images import` takes it, and then its pods' images come from
# that registry. Needs root, minutes to build Kubernetes for the first time, and the image:
#
#   dist/build.sh amd64 && dist/image.sh amd64 && tests/clients/cluster.sh
#
#   DIST_OUT=target/dist   where the image is
# shellcheck source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=engines.sh
source "$CLIENTS_DIR/engines.sh"

DIST_OUT=${DIST_OUT:-$REPO_DIR/target/dist}
IMAGE=$DIST_OUT/pi-registry-image.tar
[[ -e $IMAGE ]] || die "$IMAGE is missing: dist/build.sh, then dist/image.sh"
PROGRAM=${REGISTRY_BIN:-${CARGO_TARGET_DIR:-$REPO_DIR/target}/release/pi-registry}
NAME=registry.local:5000 PASSWORD=correct-horse-battery
KUBERNETES=$TOOLS_CACHE/kubernetes-$KUBERNETES_VERSION

# --- Kubernetes -------------------------------------------------------------------------------------------------------

# The module for its own repository's builds only: its parts are elsewhere in modules of the same version.
kubernetes_tools() {
    local source=$WORK/kubernetes-source HOME=$HOME_BEFORE
    [[ -e $KUBERNETES/done ]] && return 0
    echo "building Kubernetes $KUBERNETES_VERSION"
    cp -r "$(go mod download -json "k8s.io/kubernetes@$KUBERNETES_VERSION" | jq -r .Dir)" "$source"
    chmod -R u+w "$source"
    cd "$source"
    rm -rf go.work go.work.sum vendor
    sed -i -E "s#=> \./staging/src/(k8s.io/[a-z-]+)#=> \1 v0${KUBERNETES_VERSION#v1}#" go.mod
    go mod tidy
    go build -trimpath -ldflags "-s -w -X k8s.io/component-base/version.gitVersion=$KUBERNETES_VERSION" -o "$KUBERNETES/" \
        ./cmd/kube{let,ctl,-apiserver,-controller-manager,-scheduler}
    GOBIN=$KUBERNETES go install "$CNI_PLUGINS_MODULE/plugins/main/bridge@$CNI_PLUGINS_VERSION" \
        "$CNI_PLUGINS_MODULE/plugins/main/loopback@$CNI_PLUGINS_VERSION" "$CNI_PLUGINS_MODULE/plugins/ipam/host-local@$CNI_PLUGINS_VERSION"
    touch "$KUBERNETES/done"
    cd "$CLIENTS_DIR"
    chmod -R u+w "$source"
    rm -rf "$source"
}

# service NAME COMMAND...: runs on the machine until the end.
service() {
    "${ENGINE_PREFIX[@]}" "${@:2}" >"$WORK/$1.log" 2>&1 &
    STARTED_PIDS+=($!)
}
kubectl_() { timeout 300 nsenter -t "$MACHINE" -n -m "$KUBERNETES/kubectl" --kubeconfig "$WORK/kubeconfig" "$@"; }
node_ctr() { timeout 300 nsenter -t "$MACHINE" -n -m ctr -a "$WORK/cri.sock" -n k8s.io "$@"; }

control_plane() {
    local api=(--kubeconfig "$WORK/kubeconfig")
    openssl genrsa -out "$WORK/accounts.key" 2048 2>/dev/null
    echo 'token,admin,1,system:masters' >"$WORK/tokens"
    cat >"$WORK/kubeconfig" <<YAML
apiVersion: v1
kind: Config
current-context: here
clusters: [{name: here, cluster: {server: "https://127.0.0.1:6443", insecure-skip-tls-verify: true}}]
users: [{name: admin, user: {token: token}}]
contexts: [{name: here, context: {cluster: here, user: admin}}]
YAML
    service etcd etcd --data-dir "$WORK/etcd" --unsafe-no-fsync
    service apiserver "$KUBERNETES/kube-apiserver" --etcd-servers http://127.0.0.1:2379 --cert-dir "$WORK/apiserver" \
        --bind-address 127.0.0.1 --advertise-address "$MACHINE_ADDRESS" --token-auth-file "$WORK/tokens" \
        --service-account-issuer https://here --service-account-key-file "$WORK/accounts.key" \
        --service-account-signing-key-file "$WORK/accounts.key" --service-cluster-ip-range 10.96.0.0/16
    await 'the API server' "$WORK/apiserver.log" kubectl_ get --raw /readyz
    service controllers "$KUBERNETES/kube-controller-manager" "${api[@]}" --service-account-private-key-file "$WORK/accounts.key" \
        --leader-elect=false
    service scheduler "$KUBERNETES/kube-scheduler" "${api[@]}" --leader-elect=false
}

node() {
    mkdir -p "$WORK"/{cni,hosts,manifests}
    cat >"$WORK/cni/10-bridge.conflist" <<'JSON'
{"cniVersion": "1.0.0", "name": "pods", "plugins": [{"type": "bridge", "bridge": "pods0", "isGateway": true,
    "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.88.0.0/24"}]], "routes": [{"dst": "0.0.0.0/0"}]}}]}
JSON
    cat >"$WORK/kubelet.yml" <<YAML
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
containerRuntimeEndpoint: unix://$WORK/cri.sock
address: 127.0.0.1
cgroupDriver: cgroupfs
cgroupRoot: /
failSwapOn: false
oomScoreAdj: 0
authentication: {anonymous: {enabled: true}, webhook: {enabled: false}}
authorization: {mode: AlwaysAllow}
syncFrequency: 1s
evictionHard: {}
enforceNodeAllocatable: []
resolvConf: ""
podLogsDir: $WORK/pods
YAML
    cri_start docker.io/library/pause:latest "$KUBERNETES"
    IMAGE_CMD='["/bin/busybox", "sleep", "1000000"]' make_image "$WORK/pause" docker.io/library/pause:latest "$HERE" "$WORK/layers/busybox"
    imported "$WORK/pause"
    service kubelet "$KUBERNETES/kubelet" --kubeconfig "$WORK/kubeconfig" --config "$WORK/kubelet.yml" --root-dir "$WORK/kubelet" \
        --hostname-override node --node-ip "$MACHINE_ADDRESS"
    KUBELET_PID=${STARTED_PIDS[-1]}
    await 'the node' "$WORK/kubelet.log" kubectl_ wait --for=condition=Ready node/node --timeout=1s
}

# A layer with the one program that its images run.
busybox_layer() {
    local layer=$WORK/layers/busybox
    mkdir -p "$layer.d/bin"
    cp "$(command -v busybox)" "$layer.d/bin"
    tar --owner=0 --group=0 -C "$layer.d" -cf "$layer.tar" .
    gzip -n <"$layer.tar" >"$layer.tgz"
}

# imported LAYOUT: the node has the image from nowhere.
imported() {
    tar -C "$1" -cf "$1.tar" .
    node_ctr image import --snapshotter native "$1.tar" >"$WORK/import.log"
}

# --- scenarios --------------------------------------------------------------------------------------------------------

# Two commands, as the README has them; the volume is what a cluster's provisioner would make.
applied() {
    mkdir -p "$WORK/images"
    kubectl_ apply -f - <<YAML
apiVersion: v1
kind: PersistentVolume
metadata: {name: images}
spec:
  capacity: {storage: 20Gi}
  accessModes: [ReadWriteOnce]
  local: {path: $WORK/images}
  nodeAffinity: {required: {nodeSelectorTerms: [{matchExpressions: [{key: kubernetes.io/hostname, operator: In, values: [node]}]}]}}
YAML
    "$PROGRAM" init --dir "$WORK/kubernetes/registry" --host registry.local --user alice <<<"$PASSWORD"
    node_ctr image import --snapshotter native "$IMAGE"
    kubectl_ apply -k "$WORK/kubernetes"
    kubectl_ -n registry rollout status deployment/registry --timeout=60s || {
        kubectl_ -n registry get pods,events
        return 1
    }
}

address() { kubectl_ -n registry get pods -l app.kubernetes.io/component=registry -o 'jsonpath={.items[0].status.podIP}'; }

# named: the machine's clients find the pod.
named() {
    sed -i '/registry.local/d' "$MACHINE_DIR/etc/hosts"
    echo "$(address) registry.local" >>"$MACHINE_DIR/etc/hosts"
    # Programs in Go look every five seconds.
    sleep 6
}

pushed() {
    named
    mkdir -p "$WORK/hosts/$NAME"
    cp "$WORK/kubernetes/registry/ca.crt" "$WORK/hosts/$NAME/ca.crt"
    printf 'server = "https://%s"\n[host."https://%s"]\n  capabilities = ["pull", "resolve"]\n  ca = "%s"\n' "$NAME" "$NAME" \
        "$WORK/hosts/$NAME/ca.crt" >"$WORK/hosts/$NAME/hosts.toml"
    export SSL_CERT_FILE=$WORK/kubernetes/registry/ca.crt
    crane_ auth login "$NAME" -u alice -p "$PASSWORD"
    crane_ push "$WORK/app" "$NAME/app:v1"
    crane_ push "$WORK/app" "$NAME/app:v2"
}

# pod NAME TAG: a pod of an image of that registry, which must run.
pod() {
    kubectl_ apply -f - <<YAML
apiVersion: v1
kind: Pod
metadata: {name: $1}
spec:
  automountServiceAccountToken: false
  imagePullSecrets: [{name: registry}]
  containers: [{name: app, image: "$NAME/app:$2", command: [/bin/busybox, sleep, "1000000"]}]
YAML
    kubectl_ wait --for=condition=Ready "pod/$1" --timeout=60s || {
        kubectl_ describe pod "$1"
        return 1
    }
}

pulled() {
    kubectl_ create secret docker-registry registry --docker-server="$NAME" --docker-username=alice --docker-password="$PASSWORD"
    pod app v1
    kubectl_ get events --field-selector reason=Pulled | grep -F "pulled image \"$NAME/app:v1\""
}

collected() {
    kubectl_ -n registry create job --from=cronjob/registry-garbage-collect now
    kubectl_ -n registry wait --for=condition=Complete job/now --timeout=60s || {
        kubectl_ -n registry describe job/now
        kubectl_ -n registry logs job/now
        return 1
    }
    SSL_CERT_FILE=$WORK/kubernetes/registry/ca.crt crane_ validate --remote "$NAME/app:v1"
}

# Users and names that are added are in force without a new pod, once the kubelet has brought them.
changed() {
    local pod
    pod=$(kubectl_ -n registry get pods -l app.kubernetes.io/component=registry -o name)
    "$PROGRAM" user add --file "$WORK/kubernetes/registry/htpasswd" bob <<<"$PASSWORD"
    kubectl_ apply -k "$WORK/kubernetes"
    for ((i = 0; i < 120; i++)); do
        [[ $(on_machine curl -s -o /dev/null -w '%{http_code}' --cacert "$WORK/kubernetes/registry/ca.crt" -u "bob:$PASSWORD" \
            "https://$NAME/v2/") != 200 ]] || break
        sleep 1
    done
    ((i < 120))
    expect 'the pod' "$pod" "$(kubectl_ -n registry get pods -l app.kubernetes.io/component=registry -o name)"
}

# A pod that is deleted drains, and the next one has its images.
replaced() {
    kubectl_ -n registry delete pod -l app.kubernetes.io/component=registry
    kubectl_ -n registry rollout status deployment/registry --timeout=60s
    named
    SSL_CERT_FILE=$WORK/kubernetes/registry/ca.crt crane_ validate --remote "$NAME/app:v1"
    pod again v2
}

# What a kubelet started and made outlives it, and containerd.
tidy() {
    local status=$? i
    set +e
    # First, since it would start them again.
    [[ -z ${KUBELET_PID:-} ]] || end "$KUBELET_PID"
    cri_ rmp -f -a >"$WORK/rmp.log" 2>&1 || true
    for ((i = 0; i < 50; i++)); do
        find /sys/fs/cgroup -depth -type d -path '*/kubepods*' -exec rmdir {} + 2>"$WORK/rmdir.log" && break
        sleep 0.1
    done
    # Which ends with the status that it finds.
    (exit "$status")
    cleanup
}
[[ -z $(find /sys/fs/cgroup -maxdepth 2 -name 'kubepods*') ]] || die 'a kubelet runs here: its pods would be in the way'
trap tidy EXIT

need curl jq ss openssl tar gzip crane containerd ctr crictl runc etcd busybox unshare nsenter ip mount
HERE=$(dpkg --print-architecture)
kubernetes_tools
cp -r "$CLIENTS_DIR/../../kubernetes" "$WORK/kubernetes"
busybox_layer
make_image "$WORK/app" app "$HERE" "$WORK/layers/busybox"
machine_start node
# The kubelet's links to those logs have a place of their own, which is fixed.
on_machine mount -t tmpfs tmpfs /var/log
control_plane
node
scenario kubelet 'runs the registry, as the two commands say' applied
scenario crane 'pushes to it' pushed
scenario kubelet 'pulls a pod of its image, with a secret' pulled
scenario kubelet 'runs the collector beside it' collected
scenario kubelet 'brings it a new user, without a new pod' changed
scenario kubelet 'replaces its pod, and the images are there' replaced
summary
