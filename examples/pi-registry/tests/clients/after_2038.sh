#!/usr/bin/env bash
# Times that 32 bits do not hold: files with dates beyond January 2038, certificates that end there, and a clock that says so.
# Worth a run with a 32-bit program; under dist/emulate.sh that is one as any other.
# shellcheck source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need curl jq ss openssl tar gzip crane faketime readelf

PROGRAM=${REGISTRY_BIN:-${CARGO_TARGET_DIR:-$REPO_DIR/target}/release/pi-registry}
[[ -x $PROGRAM ]] || die "commands of pi-registry are needed: $PROGRAM is no program"
TREE=$WORK/data/docker/registry/v2
LATE=2040-02-29T12:00:00Z

# What is given a clock of the year 2041 at least. A static program asks none but the kernel, so its emulator gets it.
clock() {
    CLOCK=(env "LD_PRELOAD=$(dpkg -L libfaketime | grep -m 1 '/libfaketimeMT.so')" FAKETIME=+15y FAKETIME_DONT_FAKE_MONOTONIC=1 NO_FAKE_STAT=1)
    ! readelf -lW "$PROGRAM" | grep INTERP >"$WORK/interpreter" || return 0
    case $(od -An -tu2 -j18 -N2 "$PROGRAM" | xargs) in
    40) need qemu-arm && CLOCK+=(qemu-arm) ;;
    183) need qemu-aarch64 && CLOCK+=(qemu-aarch64) ;;
    62) die 'a static program of this processor cannot be given another clock: take the dynamic one, or those for ARM' ;;
    esac
}
# late COMMAND...: of the program, with that clock.
late() { env -u REGISTRY_BIN "${CLOCK[@]}" "$PROGRAM" "$@"; }
collect() { env -u REGISTRY_BIN REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY="$WORK/data" "$@" --json "$WORK/config.yml" | tee -a "$WORK/collected"; }

push() { crane --insecure push "$WORK/$1" "$HOST/app:$2"; }

files() {
    push one v1
    find "$WORK/data" -exec touch -d "$LATE" {} +
    expect 'the tag' "$(root_digest "$WORK/one")" "$(crane --insecure digest "$HOST/app:v1")"
    crane --insecure validate --remote "$HOST/app:v1"
    # What is remembered of a file is known by its time.
    push two v1
    expect 'the tag, moved' "$(root_digest "$WORK/two")" "$(crane --insecure digest "$HOST/app:v1")"
    find "$TREE/repositories" -name link -exec touch -d "$LATE" {} +
    expect 'the tag' "$(root_digest "$WORK/two")" "$(crane --insecure digest "$HOST/app:v1")"
    expect tags v1 "$(crane --insecure ls "$HOST/app" | xargs)"
}

# What is younger than the grace stays, also where a clock was wrong.
young() {
    local digest
    digest=$(digest_of "$WORK/blob")
    expect push 201 "$(push_blob app "$WORK/blob" "$digest")"
    find "$TREE" -exec touch -d "$LATE" {} +
    collect "$PROGRAM" garbage-collect
    expect 'the blob' 200 "$(status_of "http://$HOST/v2/app/blobs/$digest")"
    expect 'the tag' "$(root_digest "$WORK/two")" "$(crane --insecure digest "$HOST/app:v1")"
}

old() {
    local digest
    digest=$(digest_of "$WORK/blob")
    find "$TREE" -exec touch -d '2 days ago' {} +
    collect "$PROGRAM" garbage-collect
    expect 'the blob' 404 "$(status_of "http://$HOST/v2/app/blobs/$digest")"
    crane --insecure validate --remote "$HOST/app:v1"
}

# By another tool, as ours makes none for so long.
certificate() {
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 12000 -subj /CN=localhost \
        -addext subjectAltName=DNS:localhost -addext basicConstraints=critical,CA:FALSE -keyout "$WORK/long.key" -out "$WORK/long.crt"
    openssl x509 -in "$WORK/long.crt" -noout -enddate | grep ' 20[5-9][0-9] GMT$'
    "$PROGRAM" cert show "$WORK/long.crt" | tee "$WORK/shown"
    grep -q '20[5-9][0-9]-' "$WORK/shown"
    REGISTRY_PORT='' SCHEME=https registry_start "$WORK/data" REGISTRY_HTTP_TLS_CERTIFICATE="$WORK/long.crt" REGISTRY_HTTP_TLS_KEY="$WORK/long.key"
    # shellcheck disable=SC2064
    trap "end $REGISTRY_PID" EXIT
    curl -fsS --cacert "$WORK/long.crt" "https://localhost:${HOST##*:}/v2/"
}

begins() {
    late init --dir "$WORK/late" --host localhost --user alice <<<correct-horse-battery
    openssl x509 -in "$WORK/late/tls.crt" -noout -startdate | grep ' 20[4-9][0-9] GMT$'
    late check "$WORK/late/config.yml"
}

serves() {
    local i pid port digest url
    port=$(free_port)
    env -u REGISTRY_BIN "REGISTRY_HTTP_ADDR=127.0.0.1:$port" "${CLOCK[@]}" "$PROGRAM" serve "$WORK/late/config.yml" &
    pid=$!
    # What a scenario starts it ends itself.
    # shellcheck disable=SC2064
    trap "end $pid" EXIT
    HOST=localhost:$port SCHEME=https
    for ((i = 0; i < 100; i++)); do
        faketime -f +15y curl -fsS --cacert "$WORK/late/ca.crt" -u alice:correct-horse-battery "https://$HOST/v2/" -D "$WORK/head" && break
        sleep 0.2
    done
    grep -qi '^date: .* 20[4-9][0-9] ' "$WORK/head"
    # Its certificate is of no other time.
    refused_now
    digest=$(digest_of "$WORK/blob")
    url=$(curl -fsSk -o /dev/null -D - -u alice:correct-horse-battery -X POST -H 'Content-Length: 0' "https://$HOST/v2/app/blobs/uploads/" |
        tr -d '\r' | sed -n 's/^location: //Ip')
    expect push 201 "$(status_of -k -u alice:correct-horse-battery -X PUT -H 'Content-Type: application/octet-stream' \
        --data-binary "@$WORK/blob" "$(with_digest "https://$HOST$url" "$digest")")"
    expect pull 200 "$(status_of -k -u alice:correct-horse-battery "https://$HOST/v2/app/blobs/$digest")"
    # Which has renewed it: it was 15 years old.
    late garbage-collect "$WORK/late/config.yml"
    expect 'the blob, young' 200 "$(status_of -k -u alice:correct-horse-battery "https://$HOST/v2/app/blobs/$digest")"
    late garbage-collect --grace 0s "$WORK/late/config.yml"
    expect 'the blob, collected' 404 "$(status_of -k -u alice:correct-horse-battery "https://$HOST/v2/app/blobs/$digest")"
}
refused_now() { ! curl -sS -o /dev/null --cacert "$WORK/late/ca.crt" "https://$HOST/v2/"; }

clock
mkdir -p "$WORK/layers"
for i in one two; do
    layer_make "$WORK/layers/$i" "$i" 100000
    make_image "$WORK/$i" "$i" amd64 "$WORK/layers/$i"
done
head -c 100000 /dev/urandom >"$WORK/blob"
registry_start "$WORK/data"
scenario files 'files of 2040 are served, and seen to change' files
scenario files 'what is of 2040 is not collected' young
scenario files 'what is old is' old
scenario cert 'a certificate beyond 2050' certificate
scenario clock 'init after 2038' begins
scenario clock 'serve, push, pull and collect after 2038' serves
summary
