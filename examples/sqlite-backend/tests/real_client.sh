#!/usr/bin/env bash
# Pushes to and pulls from the example with a real client, crane, and kills the
# server in the middle of a push.
#
#   real_client.sh [PROGRAM]     default: target/release/sqlite-backend
#
# Needs curl, and crane on the PATH or in the cache where the client scenarios
# of pi-registry put it.
set -euo pipefail

program=$(realpath "${1:-target/release/sqlite-backend}")
PATH=$PATH:${XDG_CACHE_HOME:-$HOME/.cache}/registry-tools/bin
work=$(mktemp -d)
server=

cleanup() {
    [ -z "$server" ] || kill "$server" 2>/dev/null || true
    rm -rf "$work"
}
trap cleanup EXIT

fail() {
    echo "FAIL sqlite-backend: $*"
    sed 's/^/     | /' "$work/log"
    exit 1
}

for tool in crane curl; do
    command -v "$tool" >/dev/null || { echo "FAIL sqlite-backend: $tool is missing"; exit 1; }
done

start() {
    DATA=$work/data ADDR=127.0.0.1:0 "$program" >"$work/log" 2>&1 &
    server=$!
    registry=
    for _ in $(seq 100); do
        registry=$(sed -n 's,^listening on http://,,p' "$work/log")
        [ -z "$registry" ] || return 0
        sleep 0.1
    done
    fail 'did not start'
}

stop() {
    kill -9 "$server"
    wait "$server" 2>/dev/null || true
    server=
}

# push NAME BYTES: a layer of random bytes, as NAME:v1.
push() {
    head -c "$2" /dev/urandom >"$work/content"
    cp "$work/content" "$work/content-$1"
    tar -C "$work" -cf "$work/$1.tar" content
    crane append --insecure -f "$work/$1.tar" -t "$registry/$1:v1" >"$work/crane.log" 2>&1
}

is_whole() {
    crane export --insecure "$registry/$1:v1" - 2>"$work/crane.log" | tar -xO content 2>/dev/null | cmp -s - "$work/content-$1"
}

start
push first 3000000 || fail "cannot push: $(tail -n 1 "$work/crane.log")"
is_whole first || fail 'what was pulled is not what was pushed'
crane copy --insecure "$registry/first:v1" "$registry/copies/of-first:v1" >/dev/null 2>&1 || fail 'cannot copy'
[ "$(crane catalog --insecure "$registry" | xargs)" = 'copies/of-first first' ] || fail 'the catalog is wrong'

stop
start
is_whole first || fail 'what was pushed is not there after a kill'

# Killed as soon as a session has some bytes of the second image.
push second 200000000 &
pushing=$!
for _ in $(seq 200); do
    [ -z "$(find "$work/data/uploads" -type f -size +1M)" ] || break
    sleep 0.05
done
[ -n "$(find "$work/data/uploads" -type f -size +1M)" ] || fail 'the second push did not begin'
stop
wait "$pushing" 2>/dev/null && fail 'a push succeeded without a server'
start
is_whole first || fail 'what was pushed is not there after a kill in the middle of a push'
! is_whole second || fail 'an interrupted push is visible'
push second 200000000 || fail 'an interrupted push cannot be repeated'
is_whole second || fail 'what was pushed again is not whole'

# The last one to have a blob takes its file along.
layer=$(crane manifest --insecure "$registry/second:v1" | sed -n 's/.*"layers":\[{[^]]*"digest":"sha256:\([0-9a-f]*\)".*/\1/p')
[ -f "$work/data/blobs/sha256/$layer" ] || fail 'the layer has no file'
curl -fsS -X DELETE "http://$registry/v2/second/blobs/sha256:$layer" || fail 'the layer cannot be deleted'
[ ! -e "$work/data/blobs/sha256/$layer" ] || fail "a deleted blob's file stays"

echo 'ok   sqlite-backend  push, pull, copy and delete with crane, killed in the middle of a push'
