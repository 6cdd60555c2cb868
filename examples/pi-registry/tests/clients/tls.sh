#!/usr/bin/env bash
# TLS as the registry serves it: versions and suites, client certificates, certificates that change under load, clients that
# stall, plain HTTP on the same port, and files that cannot be used. With curl, crane and openssl, on 127.0.0.1.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=engines.sh
source "$CLIENTS_DIR/engines.sh"
# shellcheck source=tls_lib.sh
source "$CLIENTS_DIR/tls_lib.sh"
need curl jq ss openssl tar gzip perl crane

IMAGES=$WORK/images
LAYERS=$WORK/layers
# How soon the README says that a changed file is noticed, and a second for the reading and the asking.
NOTICED=11

# --- the beginning -------------------------------------------------------------------------------------------------------------

crane_tls() { SSL_CERT_FILE=$CURL_CA_BUNDLE crane_ "$@"; }

push_and_pull() {
    crane_tls push "$IMAGES/one" "$HOST/one:latest"
    crane_tls pull --format oci "$HOST/one:latest" "$WORK/pulled"
    expect 'digest of what was pulled' "$(root_digest "$IMAGES/one")" "$(root_digest "$WORK/pulled")"
    layout_sound "$WORK/pulled"
    says 'x509: certificate signed by unknown authority' crane_ digest "$HOST/one:latest"
    says 'unable to get local issuer certificate' env -u CURL_CA_BUNDLE curl -sS "https://$HOST/v2/"
}

both_protocols() {
    local version
    for version in 1.1 2; do
        expect "HTTP/$version" "200 $version" "$(curl -s --http"$version" -o /dev/null -w '%{http_code} %{http_version}' "https://$HOST/v2/")"
    done
}

# --- versions and suites -----------------------------------------------------------------------------------------------------

# hello OPTION...: shakes hands and says what came of it.
hello() { timeout 10 openssl s_client -connect "$HOST" -CAfile "$CERTS/ca.crt" -verify_return_error "$@" </dev/null 2>&1; }

versions() {
    # It is the registry that refuses: the alert is what it sends.
    says ' alert ' hello -tls1_1 -cipher DEFAULT@SECLEVEL=0
    says ' alert ' hello -tls1 -cipher DEFAULT@SECLEVEL=0
    hello -tls1_2 | grep '^New, TLSv1.2, Cipher is ECDHE-ECDSA-'
    hello -tls1_3 | grep '^New, TLSv1.3, Cipher is TLS_'
}
only_tls13() {
    says 'alert protocol version' hello -tls1_2
    hello -tls1_3 | grep '^New, TLSv1.3'
}
chosen_suites() {
    hello -tls1_2 | grep '^New, TLSv1.2, Cipher is ECDHE-ECDSA-CHACHA20-POLY1305$'
    says 'alert handshake failure' hello -tls1_2 -cipher ECDHE-ECDSA-AES128-GCM-SHA256
    # A list without a suite of TLS 1.3 leaves that as it is.
    hello -tls1_3 -ciphersuites TLS_AES_128_GCM_SHA256 | grep '^New, TLSv1.3'
}

# --- client certificates -----------------------------------------------------------------------------------------------------

with_client() { curl -sS --cert "$CERTS/$1.crt" --key "$CERTS/$1.key" "${@:2}"; }

client_certificates() {
    local version
    expect 'with one' 200 "$(with_client laptop -o /dev/null -w '%{http_code}' "https://$HOST/v2/")"
    expect 'without one' 403 "$(status_of "https://$HOST/v2/")"
    expect 'a blob without one' 403 "$(status_of "https://$HOST/v2/one/manifests/latest")"
    expect 'the error' DENIED "$(curl -s "https://$HOST/v2/" | jq -r '.errors[0].code')"
    expect 'a probe without one' 200 "$(status_of "https://$HOST/")"
    # Of TLS 1.3 the client learns only after its handshake, so that its words vary.
    for version in 1.2 1.3; do
        expect "by another CA, TLS $version" 000 "$(with_client stranger -o /dev/null -w '%{http_code}' --tls-max "$version" "https://$HOST/")"
        expect "of a server, TLS $version" 000 "$(with_client one -o /dev/null -w '%{http_code}' --tls-max "$version" "https://$HOST/")"
    done
    expect 'complaints' 2 "$(grep -c "the client's certificate is not accepted: no CA of http.tls.clientcas has signed it" "$WORK/registry.log")"
    expect 'complaints' 2 "$(grep -c "the client's certificate is not accepted: .*client authentication" "$WORK/registry.log")"
}

# --- certificates that change --------------------------------------------------------------------------------------------------

# volume_put NAME: as the kubelet updates the files of a secret: the name `..data` changes to another folder.
volume_put() {
    local folder=$VOLUME/..$1
    mkdir -p "$folder"
    cp "$CERTS/$1.crt" "$folder/tls.crt"
    cp "$CERTS/$1.key" "$folder/tls.key"
    ln -s "..$1" "$VOLUME/..data_tmp"
    mv -T "$VOLUME/..data_tmp" "$VOLUME/..data"
    ln -sfn ..data/tls.crt "$VOLUME/tls.crt"
    ln -sfn ..data/tls.key "$VOLUME/tls.key"
}

# at NAME COMMAND...: with the address and the CA of one of two registries.
declare -A HOSTS CAS
at() {
    local AT=$1 HOST=${HOSTS[$1]}
    local -x CURL_CA_BUNDLE=${CAS[$1]}
    shift
    "$@"
}

# again KIND COMMAND...: over and over until there is a file `stop`; what it prints, or `failed`.
again() {
    local file=$WORK/load.$AT.$1
    shift
    while [[ ! -e $WORK/stop ]]; do "$@" || echo failed; done >"$file" 2>&1
}

fresh() { curl -sS -I -o /dev/null -w '%{http_code} %{num_connects}\n' "https://$HOST/v2/one/manifests/latest" && sleep 0.02; }
pulls() { rm -rf "$WORK/pull.$AT" && crane_tls pull --format oci "$HOST/one:latest" "$WORK/pull.$AT" && echo pulled; }

LOAD=() KEPT=()
load_start() {
    local version
    again fresh fresh &
    LOAD+=($!)
    again pulls pulls &
    LOAD+=($!)
    for version in 1.1 2; do
        curl -sS --http"$version" --rate 30/s -o /dev/null -w '%{stderr}%{http_code} %{num_connects}\n' -H "Accept: $ACCEPT" \
            "https://$HOST/v2/one/manifests/latest?n=[1-9999]" 2>"$WORK/load.$AT.kept-$version" &
        KEPT+=($!)
    done
    STARTED_PIDS+=("${LOAD[@]}" "${KEPT[@]}")
}

load_stop() {
    local pid
    # They are still at it, so that nothing has made them give up.
    for pid in "${KEPT[@]}"; do kill -0 "$pid" && end "$pid"; done
    touch "$WORK/stop"
    wait_all "${LOAD[@]}"
}

load_result() {
    local kind version log
    for kind in fresh pulls kept-1.1 kept-2; do
        echo "$AT, $kind: $(sort "$WORK/load.$AT.$kind" | uniq -c | tr -s ' \n' ' ')"
    done
    expect 'new connections' '200 1' "$(sort -u "$WORK/load.$AT.fresh")"
    expect 'pulls' pulled "$(sort -u "$WORK/load.$AT.pulls")"
    for version in 1.1 2; do
        log=$WORK/load.$AT.kept-$version
        # The first opens the connection, and it is the only one.
        expect "requests on a kept connection of HTTP/$version" '200 0 200 1' "$(sort -u "$log" | xargs)"
        expect 'connections' 1 "$(grep -c ' 1$' "$log")"
    done
}

# becomes FILE: new connections get this certificate within the time that is promised.
becomes() {
    local began=$SECONDS wanted
    wanted=$(fingerprint <"$1")
    while [[ $(served_fingerprint) != "$wanted" ]]; do
        ((SECONDS - began <= NOTICED)) || { echo "$1 is not served after $NOTICED s" && return 1; }
        sleep 0.1
    done
}

swapped() {
    local before
    at volume load_start
    at made load_start
    before=$(at made served_fingerprint)
    expect 'before' "$(fingerprint <"$CERTS/one.crt")" "$(at volume served_fingerprint)"
    sleep 1
    "$PROGRAM" cert renew --dir "$MADE" --host registry.lan
    volume_put two
    at volume becomes "$CERTS/two.crt"
    at made becomes "$MADE/tls.crt"
    [[ $(at made served_fingerprint) != "$before" ]]
    sleep 1
    load_stop
    at volume load_result
    at made load_result
}

complaints() { grep -c 'the old certificate stays' "$WORK/registry.log" || true; }
# Another scenario may use the time that this takes.
volume_break() {
    cp "$CERTS/ca.key" "$CERTS/broken.key"
    cp "$CERTS/one.crt" "$CERTS/broken.crt"
    volume_put broken
    BROKEN_AT=$SECONDS
}
broken() {
    # Two looks at least.
    sleep $((BROKEN_AT + 2 * NOTICED - 1 - SECONDS))
    expect 'what is served' "$(fingerprint <"$CERTS/two.crt")" "$(served_fingerprint)"
    grep 'the old certificate stays' "$WORK/registry.log"
    expect 'complaints' 1 "$(complaints)"
    grep 'the old certificate stays' "$WORK/registry.log" | grep "$VOLUME/tls.key"
    expect 'requests' 200 "$(status_of "https://$HOST/v2/one/manifests/latest")"
}
healed() {
    volume_put three
    becomes "$CERTS/three.crt"
    expect 'complaints' 1 "$(complaints)"
}

# --- clients that stall ----------------------------------------------------------------------------------------------------------

# Half of them say nothing, the others begin a handshake and do not go on.
# shellcheck disable=SC2016 # Perl's own variables
STALL='
    $| = 1;
    use IO::Socket;
    my ($port, $count) = @ARGV;
    my @held;
    for my $n (1 .. $count) {
        my $s = IO::Socket::INET->new(PeerAddr => "127.0.0.1", PeerPort => $port) or die "connection $n: $!\n";
        syswrite($s, "\x16\x03\x01\x02\x00\x01\x00") if $n % 2;
        push @held, $s;
    }
    print "all\n";
    sleep 60;
'

stalled() {
    local pid i took
    perl -e "$STALL" "$REGISTRY_PORT" 500 >"$WORK/stall" 2>&1 &
    pid=$!
    await 'the crowd' "$WORK/stall" grep all "$WORK/stall"
    for i in 1 2 3; do
        took=$(curl -fsS -o /dev/null -w '%{time_total}' -H "Accept: $ACCEPT" "https://$HOST/v2/one/manifests/latest")
        echo "took $took s"
        awk -v t="$took" 'BEGIN { exit !(t < 1) }'
    done
    took=$(date +%s%N)
    rm -rf "$WORK/again"
    crane_tls pull --format oci "$HOST/one:latest" "$WORK/again"
    took=$((($(date +%s%N) - took) / 1000000))
    echo "the pull took $took ms"
    ((took < 1000))
    # They are all still there.
    expect 'connections' 500 "$(ss -Htn state established "dport = :$REGISTRY_PORT" | wc -l)"
    # Their time is up after 10 s.
    for ((i = 0; i < 120; i++)); do
        (($(ss -Htn state established "sport = :$REGISTRY_PORT" | wc -l) > 0)) || break
        sleep 0.1
    done
    expect 'connections after a while' 0 "$(ss -Htn state established "sport = :$REGISTRY_PORT" | wc -l)"
    end "$pid"
}

# --- plain HTTP on the same port ---------------------------------------------------------------------------------------------------

plain_http() {
    local path
    for path in / /v2/ /v2/one/manifests/latest; do
        expect "status of $path" 400 "$(status_of "http://$HOST$path")"
        curl -s "http://$HOST$path" | jq -r '.errors[0].message' | grep -F "use https://$HOST$path"
    done
    expect 'a push' 400 "$(status_of -X POST "http://$HOST/v2/one/blobs/uploads/")"
}

no_ca() {
    expect '/ca.crt over HTTPS' 404 "$(status_of "https://$HOST/ca.crt")"
    expect '/ca.crt over HTTP' 400 "$(status_of "http://$HOST/ca.crt")"
}
published_ca() {
    local scheme
    for scheme in http https; do
        curl -fsSk -o "$WORK/ca" "$scheme://$HOST/ca.crt"
        expect "the CA over $scheme" "$(fingerprint <"$CERTS/ca.crt")" "$(fingerprint <"$WORK/ca")"
        if grep -i private "$WORK/ca"; then return 1; fi
        expect 'anything else' "$(if [[ $scheme == http ]]; then echo 400; else echo 200; fi)" "$(status_of "$scheme://$HOST/v2/")"
    done
}

# --- files that cannot be used --------------------------------------------------------------------------------------------------------

BAD=$WORK/bad
bad_files() {
    local crt=$CERTS/one.crt key=$CERTS/one.key
    mkdir -p "$BAD"
    openssl pkey -in "$key" -aes128 -passout pass:secret -out "$BAD/encrypted.key"
    openssl pkey -in "$key" -traditional -aes128 -passout pass:secret -out "$BAD/old-encrypted.key"
    openssl pkey -in "$key" -outform der -out "$BAD/der.key"
    openssl x509 -in "$crt" -outform der -out "$BAD/der.crt"
    openssl pkcs12 -export -in "$crt" -inkey "$key" -passout pass:secret -out "$BAD/store.p12"
    openssl pkey -in "$key" -pubout -out "$BAD/public.key"
    head -c 100 "$key" >"$BAD/short.key"
    head -c 300 "$crt" >"$BAD/short.crt"
    : >"$BAD/empty.key"
    : >"$BAD/empty.crt"
    base64 -w 0 "$crt" >"$BAD/twice.crt"
    start_fails "$crt" "$BAD/encrypted.key" "$BAD/encrypted.key holds a private key that is encrypted"
    start_fails "$crt" "$BAD/old-encrypted.key" "$BAD/old-encrypted.key holds a private key that is encrypted"
    start_fails "$crt" "$BAD/der.key" "$BAD/der.key is a private key in binary (DER)"
    start_fails "$BAD/der.crt" "$key" "$BAD/der.crt is binary (DER)"
    start_fails "$BAD/store.p12" "$key" "$BAD/store.p12 is a PKCS#12 store"
    start_fails "$crt" "$BAD/public.key" "$BAD/public.key holds only a public key"
    start_fails "$crt" "$BAD/short.key" "$BAD/short.key is cut off"
    start_fails "$BAD/short.crt" "$key" "$BAD/short.crt is cut off"
    start_fails "$crt" "$BAD/empty.key" "$BAD/empty.key is empty"
    start_fails "$BAD/empty.crt" "$key" "$BAD/empty.crt is empty"
    start_fails "$BAD/twice.crt" "$key" "$BAD/twice.crt is PEM encoded in base64 once more"
    start_fails "$CERTS/one.csr" "$key" "$CERTS/one.csr holds a certificate request (CSR)"
    start_fails "$key" "$crt" "$key holds a private key and no certificate"
    start_fails "$crt" "$crt" "$crt holds a certificate and no private key"
    start_fails "$crt" "$BAD/missing.key" "$BAD/missing.key does not exist"
    start_fails "$crt" "$BAD" "$BAD is a directory"
    start_fails "$crt" "$CERTS/two.key" "$CERTS/two.key does not belong to the certificate in $crt"
    start_fails "$crt" "$key" "$BAD/empty.crt is empty" REGISTRY_HTTP_TLS_CLIENTCAS="[$BAD/empty.crt]"
    start_fails "$crt" "$key" "$BAD/empty.crt is empty" REGISTRY_HTTP_TLS_PUBLISHCA="$BAD/empty.crt"
}
bad_settings() {
    local crt=$CERTS/one.crt key=$CERTS/one.key
    start_fails "$crt" '' 'http.tls has no key'
    start_fails '' "$key" 'http.tls has no certificate'
    start_fails "$crt" "$key" 'http.tls.minimumtls is "tls1.4"' REGISTRY_HTTP_TLS_MINIMUMTLS=tls1.4
    start_fails "$crt" "$key" 'unknown cipher suite "FAST"' REGISTRY_HTTP_TLS_CIPHERSUITES='[FAST]'
    start_fails "$crt" "$key" 'http.tls.clientauth is "always"' REGISTRY_HTTP_TLS_CLIENTAUTH=always
    start_fails "$crt" "$key" 'http.tls.clientcas beside it' REGISTRY_HTTP_TLS_CLIENTAUTH=require-and-verify-client-cert
}
bad_certificates() {
    make_certificate names ca extendedKeyUsage=serverAuth
    start_fails "$CERTS/names.crt" "$CERTS/names.key" "$CERTS/names.crt is not served: the certificate names its host only as common name"
    DAYS=-1 make_certificate expired ca subjectAltName=IP:127.0.0.1
    start_fails "$CERTS/expired.crt" "$CERTS/expired.key" "$CERTS/expired.crt is not served: the certificate expired on"
    cat "$CERTS/ca.crt" "$CERTS/one.crt" >"$BAD/order.crt"
    start_fails "$BAD/order.crt" "$CERTS/one.key" "$CERTS/one.key does not belong to the certificate in $BAD/order.crt"
}

# --- all of it ---------------------------------------------------------------------------------------------------------------------

mkdir -p "$LAYERS" "$IMAGES"
layer_make "$LAYERS/base" base 300000
make_image "$IMAGES/one" local/one:latest amd64 "$LAYERS/base"
make_authority ca
make_authority foreign
for name in one two three; do
    make_certificate "$name" ca subjectAltName=IP:127.0.0.1,DNS:localhost extendedKeyUsage=serverAuth
done
make_certificate laptop ca extendedKeyUsage=clientAuth
make_certificate stranger foreign extendedKeyUsage=clientAuth
export CURL_CA_BUNDLE=$CERTS/ca.crt
VOLUME=$WORK/volume
MADE=$WORK/made
mkdir "$VOLUME"
volume_put one

scenario files 'what is no PEM of the right kind is named in one line' bad_files
scenario files 'settings that cannot be' bad_settings
scenario files 'certificates that clients refuse are not served' bad_certificates
tls_start "$VOLUME/tls.crt" "$VOLUME/tls.key"
scenario curl 'crane pushes and pulls with the CA, and curl and crane fail without it' push_and_pull
scenario curl 'HTTP/1.1 and HTTP/2' both_protocols
scenario plain 'plain HTTP is answered with a 400 that names https' plain_http
scenario plain 'without publishca there is no /ca.crt' no_ca
scenario openssl 'TLS 1.2 and 1.3 are spoken, 1.0 and 1.1 refused' versions
HOSTS[volume]=$HOST CAS[volume]=$CERTS/ca.crt
OTHER=$REGISTRY_PID REGISTRY_PORT=''
"$PROGRAM" cert new --dir "$MADE" --host localhost --ip 127.0.0.1 >/dev/null
# The same data, so that there is something to pull.
tls_start "$MADE/tls.crt" "$MADE/tls.key"
HOSTS[made]=$HOST CAS[made]=$MADE/ca.crt
scenario reload 'a swapped volume and cert renew are taken over within 10 s, and no request fails' swapped
registry_stop
HOST=${HOSTS[volume]} REGISTRY_PORT=${HOSTS[volume]#*:} REGISTRY_PID=$OTHER
volume_break
scenario stall '500 clients that stall in the handshake do not delay a pull' stalled
scenario reload 'a key of another certificate keeps the old pair, and is told of once' broken
scenario reload 'the next good pair is served' healed
registry_stop
tls_start "$CERTS/one.crt" "$CERTS/one.key" REGISTRY_HTTP_TLS_MINIMUMTLS=tls1.3 REGISTRY_HTTP_TLS_PUBLISHCA="$CERTS/ca.crt"
scenario openssl 'minimumtls: tls1.3 refuses TLS 1.2' only_tls13
scenario plain 'publishca hands out the CA with and without TLS, and nothing else' published_ca
registry_stop
tls_start "$CERTS/one.crt" "$CERTS/one.key" REGISTRY_HTTP_TLS_CIPHERSUITES='[TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256]'
scenario openssl 'ciphersuites: only those are used' chosen_suites
registry_stop
tls_start "$CERTS/one.crt" "$CERTS/one.key" REGISTRY_HTTP_TLS_CLIENTCAS="[$CERTS/ca.crt]"
scenario curl 'clientcas: only clients with a certificate of theirs, and probes' client_certificates
registry_stop
summary
