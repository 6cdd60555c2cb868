#!/usr/bin/env bash
# Every script of this folder, and the sum of what they say.
#
#   all.sh            everything; see lib.sh for the variables that choose the program under test
#   all.sh tools      only installs what the scripts need
#   all.sh NAME...    only these: conformance clients crash storage_faults memory both_ways verify collect behind_proxy stories
#                     tags tls tls_clients auth auth_clients kubernetes many object object_both_ways replicas collect_object
#                     object_faults object_large after_2038 emulators signatures large
#
# many.sh and object_large.sh get small numbers here, unless CI_EXTRA is set or they are given; auth_clients.sh has helm only
# with it, and only then everything includes emulators and signatures: their tools take minutes to install. large.sh is for
# programs of 32 bits, see dist/test_arm_clients.sh.
#
#   LANES=2   so many at once: each has its folders, ports and networks for itself, and waits a good deal of its time. What a
#             script says is then shown when it has ended.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

if [[ ${1:-} == tools ]]; then
    # shellcheck source=lib.sh
    source ./lib.sh
    need curl jq ss openssl tar gzip mount docker dockerd containerd ctr podman skopeo conformance crane \
        docker-registry nginx htpasswd ip unshare nsenter setpriv perl update-ca-certificates \
        oras regctl crictl minio kustomize faketime
    [[ -z ${CI_EXTRA:-} ]] || need helm fake-gcs-server azurite-blob cosign
    exit 0
fi

scripts=("$@")
((${#scripts[@]})) || scripts=(conformance clients crash storage_faults memory both_ways verify collect behind_proxy stories tags
    tls tls_clients auth auth_clients kubernetes many object object_both_ways replicas collect_object object_faults object_large
    after_2038)
((${#})) || [[ -z ${CI_EXTRA:-} ]] || scripts+=(emulators signatures)
[[ -n ${CI_EXTRA:-} ]] || export MANY_TAGS=${MANY_TAGS:-2000} MANY_REPOSITORIES=${MANY_REPOSITORIES:-500}
LANES=${LANES:-1}
dir=$(mktemp -d)
finish() {
    local status=$? pid
    trap - EXIT INT TERM
    # Each is a group of its own, of which the script ends what it started.
    for pid in $(jobs -rp); do kill -TERM -- "-$pid" 2>/dev/null || true; done
    wait
    rm -rf "$dir"
    exit "$status"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# run SCRIPT: leaves its output in SCRIPT.out, its status and how many seconds it took in SCRIPT.end.
run() {
    local began=$SECONDS status=0
    if ((LANES == 1)); then
        echo "=== $1.sh"
        bash "$1.sh" 2>&1 | tee "$dir/$1.out" || status=$?
    else
        { echo "=== $1.sh" && bash "$1.sh"; } >"$dir/$1.out" 2>&1 || status=$?
        # Not in the middle of another one's.
        flock "$dir" cat "$dir/$1.out"
    fi
    echo "$status $((SECONDS - began))" >"$dir/$1.end"
}

for script in "${scripts[@]}"; do
    if ((LANES == 1)); then
        run "$script"
        continue
    fi
    # One that has ended meanwhile is told by another `wait`.
    while (($(jobs -rp | wc -l) >= LANES)); do wait -n || true; done
    set -m
    # It stays until the script has tidied up. Not ignored: the script would inherit that.
    { trap : TERM && run "$script"; } </dev/null &
    set +m
done
wait

passed=0 failed=0 summaries=()
for script in "${scripts[@]}"; do
    # What did not come to its end has failed too.
    read -r status seconds < <(cat "$dir/$script.end" || echo '1 0')
    read -r p f < <(sed -n 's/^\([0-9]*\) passed, \([0-9]*\) failed$/\1 \2/p' "$dir/$script.out" | tail -n 1; echo '0 0')
    # A script that ends early has failed, whatever its scenarios said until then.
    if ((status != 0 && f == 0)); then f=1; fi
    passed=$((passed + p)) failed=$((failed + f))
    summaries+=("$(printf '%-16s %3d passed, %d failed, %d s' "$script" "$p" "$f" "$seconds")")
done
echo '=== all'
printf '%s\n' "${summaries[@]}"
echo "$passed passed, $failed failed"
((failed == 0 && passed > 0))
