#!/usr/bin/env bash
# Every script of this folder, one after the other, and the sum of what they say.
#
#   all.sh            everything; see lib.sh for the variables that choose the program under test
#   all.sh tools      only installs what the scripts need
#   all.sh NAME...    only these: conformance clients crash storage_faults memory both_ways verify collect behind_proxy stories
#                     tags tls tls_clients auth auth_clients kubernetes many object object_both_ways replicas collect_object
#                     object_faults object_large emulators signatures
#
# many.sh and object_large.sh get small numbers here, unless CI_EXTRA is set or they are given; auth_clients.sh has helm only
# with it, and only then everything includes emulators and signatures: their tools take minutes to install.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

if [[ ${1:-} == tools ]]; then
    # shellcheck source=lib.sh
    source ./lib.sh
    need curl jq ss openssl tar gzip mount docker dockerd containerd ctr podman skopeo conformance crane \
        docker-registry nginx htpasswd ip unshare nsenter setpriv perl update-ca-certificates \
        oras regctl crictl minio kustomize
    [[ -z ${CI_EXTRA:-} ]] || need helm fake-gcs-server azurite-blob cosign
    exit 0
fi

scripts=("$@")
((${#scripts[@]})) || scripts=(conformance clients crash storage_faults memory both_ways verify collect behind_proxy stories tags
    tls tls_clients auth auth_clients kubernetes many object object_both_ways replicas collect_object object_faults object_large)
((${#})) || [[ -z ${CI_EXTRA:-} ]] || scripts+=(emulators signatures)
[[ -n ${CI_EXTRA:-} ]] || export MANY_TAGS=${MANY_TAGS:-2000} MANY_REPOSITORIES=${MANY_REPOSITORIES:-500}
out=$(mktemp)
trap 'rm -f "$out"' EXIT
passed=0 failed=0 summaries=()
for script in "${scripts[@]}"; do
    echo "=== $script.sh"
    began=$SECONDS status=0
    bash "$script.sh" 2>&1 | tee "$out" || status=$?
    read -r p f < <(sed -n 's/^\([0-9]*\) passed, \([0-9]*\) failed$/\1 \2/p' "$out" | tail -n 1; echo '0 0')
    # A script that ends early has failed, whatever its scenarios said until then.
    if ((status != 0 && f == 0)); then f=1; fi
    passed=$((passed + p)) failed=$((failed + f))
    summaries+=("$(printf '%-16s %3d passed, %d failed, %d s' "$script" "$p" "$f" $((SECONDS - began)))")
done
echo '=== all'
printf '%s\n' "${summaries[@]}"
echo "$passed passed, $failed failed"
((failed == 0 && passed > 0))
