#!/bin/sh
# Makes the files of this directory as users make theirs, with OpenSSL. The
# keys are for tests and protect nothing.
set -eu
cd "$(dirname "$0")"
# As it writes keys by default: "EC PARAMETERS", then SEC1.
openssl ecparam -name prime256v1 -genkey -out sec1.key
openssl pkey -in sec1.key -out pkcs8.key
openssl ec -in sec1.key -aes128 -passout pass:secret -out sec1-encrypted.key
openssl pkcs8 -topk8 -in sec1.key -passout pass:secret -out pkcs8-encrypted.key
openssl pkey -in sec1.key -pubout -out public.key
openssl genrsa -traditional -out pkcs1.key 2048
openssl req -new -key sec1.key -subj /CN=registry.local -out request.csr
# A CA of itself with a subject and no alternative names, for ever.
openssl req -x509 -key sec1.key -days 36500 -subj /CN=registry.local -out self-signed.crt
openssl req -x509 -key pkcs1.key -days 36500 -subj /CN=registry.local -out rsa.crt
# X.509 version 1: no extensions at all.
openssl x509 -req -x509v1 -in request.csr -signkey sec1.key -days 36500 -out v1.crt 2>/dev/null ||
    openssl x509 -req -in request.csr -signkey sec1.key -days 36500 -out v1.crt
openssl x509 -in self-signed.crt -trustout -addtrust serverAuth -out trusted.crt
openssl x509 -in self-signed.crt -outform der -out self-signed.der
openssl pkey -in sec1.key -outform der -out pkcs8.der
openssl pkcs12 -export -in self-signed.crt -inkey sec1.key -passout pass:secret -out store.p12
openssl crl2pkcs7 -nocrl -certfile self-signed.crt -out bundle.p7b
ssh-keygen -q -t ed25519 -N '' -C test -f openssh.key
rm openssh.key.pub
