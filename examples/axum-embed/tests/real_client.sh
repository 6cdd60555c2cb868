#!/usr/bin/env bash
# Pushes to and pulls from the example with a real client, crane.
#
#   real_client.sh [PROGRAM]     default: target/release/axum-embed
#
# Needs curl, and crane on the PATH or in the cache where the client scenarios
# of pi-registry put it.
set -euo pipefail

program=$(realpath "${1:-target/release/axum-embed}")
PATH=$PATH:${XDG_CACHE_HOME:-$HOME/.cache}/registry-tools/bin
work=$(mktemp -d)
server=

cleanup() {
    [ -z "$server" ] || kill "$server" 2>/dev/null || true
    rm -rf "$work"
}
trap cleanup EXIT

fail() {
    echo "FAIL axum-embed: $*"
    sed 's/^/     | /' "$work/log"
    exit 1
}

for tool in crane curl; do
    command -v "$tool" >/dev/null || { echo "FAIL axum-embed: $tool is missing"; exit 1; }
done

USERS='alice:secret bob:hush' DATA=$work/data ADDR=127.0.0.1:0 "$program" >"$work/log" 2>&1 &
server=$!
for _ in $(seq 100); do
    registry=$(sed -n 's,^listening on http://,,p' "$work/log")
    [ -z "$registry" ] || break
    sleep 0.1
done
[ -n "$registry" ] || fail 'did not start'

# Each user of the client machine has a configuration of their own.
as() {
    DOCKER_CONFIG=$work/$1 crane "${@:2}" --insecure
}

head -c 1000000 /dev/urandom >"$work/content"
tar -C "$work" -cf "$work/layer.tar" content

push() {
    as "$1" append -f "$work/layer.tar" -t "$registry/alice/app:v1" >/dev/null 2>&1
}

# crane stores a password without trying it.
as mallory auth login "$registry" -u alice -p wrong >/dev/null 2>&1 || true
! push nobody || fail 'pushed without signing in'
! push mallory || fail 'a wrong password was accepted'
as alice auth login "$registry" -u alice -p secret >/dev/null 2>&1 || fail 'alice cannot sign in'
as bob auth login "$registry" -u bob -p hush >/dev/null 2>&1 || fail 'bob cannot sign in'

! push bob || fail "bob pushed to alice's"
push alice || fail 'alice cannot push'
as bob export "$registry/alice/app:v1" - >"$work/pulled.tar" 2>/dev/null || fail 'bob cannot pull'
tar -xOf "$work/pulled.tar" content | cmp -s - "$work/content" || fail 'what was pulled is not what was pushed'
curl -fsS "http://$registry/pushes" | grep -q 'alice pushed alice/app@sha256:' || fail 'the push is not listed'

echo 'ok   axum-embed  sign in, push and pull with crane, listed by the service'
