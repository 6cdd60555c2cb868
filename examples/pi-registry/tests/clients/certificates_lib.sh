# Certificates made by openssl. Sourced after lib.sh.
# shellcheck shell=bash

CERTS=$WORK/certs
mkdir "$CERTS"

# make_authority NAME: a CA, as the files NAME.crt and NAME.key of $CERTS.
make_authority() {
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj "/CN=$1" \
        -keyout "$CERTS/$1.key" -out "$CERTS/$1.crt" 2>>"$WORK/openssl.log"
}

# make_certificate NAME AUTHORITY EXTENSION...: one that the authority signed, in the same way; DAYS=-1 is an expired one.
make_certificate() {
    local name=$1 authority=$2
    shift 2
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$name" \
        -keyout "$CERTS/$name.key" -out "$CERTS/$name.csr" 2>>"$WORK/openssl.log"
    openssl x509 -req -in "$CERTS/$name.csr" -CA "$CERTS/$authority.crt" -CAkey "$CERTS/$authority.key" -days "${DAYS:-20}" \
        -extfile <(printf '%s\n' basicConstraints=CA:FALSE "$@") -out "$CERTS/$name.crt" 2>>"$WORK/openssl.log"
}
