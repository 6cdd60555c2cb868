#!/usr/bin/env bash
# Pulls over TLS: CPU seconds of the server per GB, beside nginx with the same file and Debian's docker-registry with the same
# tree. Not one of all.sh's, since figures need a machine that does nothing else.
#
#   tls_load.sh                      the release build
#   tls_load.sh NAME=PROGRAM...      other builds, such as ring=… aws-lc-rs=…
#
# Each server has the first core for itself, and curl the second. The data is on /dev/shm (2 GB), in the page cache as that of
# a busy registry is. All of them speak TLS 1.3 with AES-128-GCM and have the same certificate, ECDSA P-256. GB=4 says how
# much each pulls in a round, ROUNDS=3 how often they take turns; the median counts.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=engines.sh
source "$CLIENTS_DIR/engines.sh"
# The programs are named by the arguments.
(($# == 0)) || REGISTRY_BIN=${1#*=}
# shellcheck source=tls_lib.sh
source "$CLIENTS_DIR/tls_lib.sh"
need curl jq ss openssl taskset nginx docker-registry
(($(nproc) >= 2)) || die 'it takes two cores'

GB=${GB:-4}
ROUNDS=${ROUNDS:-3}
SIZE=1000000000
SERVERS=()
declare -A URL PIDS

# serve NAME WORD...: a registry with a command line.
serve() {
    local name=$1
    shift
    REGISTRY_BIN="taskset -c 0 $*" REGISTRY_PORT=''
    registry_start "$TREE" REGISTRY_HTTP_TLS_CERTIFICATE="$CERTS/load.crt" REGISTRY_HTTP_TLS_KEY="$CERTS/load.key"
    SERVERS+=("$name")
    PIDS[$name]=$REGISTRY_PID
    URL[$name]=https://$HOST/v2/load/blobs/$DIGEST
}

# The file that the registries have made, and nginx's defaults, with what Debian adds to them.
serve_nginx() {
    local port dir=$WORK/nginx
    mkdir "$dir"
    port=$(free_port)
    cat >"$dir/nginx.conf" <<CONF
daemon off;
user root;
pid $dir/pid;
worker_processes 1;
error_log $dir/error.log;
events {}
http {
    access_log off;
    sendfile on;
    tcp_nopush on;
    server {
        listen 127.0.0.1:$port ssl http2;
        ssl_certificate $CERTS/load.crt;
        ssl_certificate_key $CERTS/load.key;
        ssl_protocols TLSv1.2 TLSv1.3;
        location / { root $TREE/docker/registry/v2/blobs/sha256; }
    }
}
CONF
    taskset -c 0 nginx -c "$dir/nginx.conf" -p "$dir" -e "$dir/error.log" &
    STARTED_PIDS+=($!)
    URL[nginx]=https://127.0.0.1:$port/${DIGEST:7:2}/${DIGEST#sha256:}/data
    await nginx "$dir/error.log" curl -fs -r 0-0 "${URL[nginx]}"
    PIDS[nginx]="$! $(cat "/proc/$!/task/$!/children")"
    SERVERS+=(nginx)
}

# cpu NAME: hundredths of a second that its processes have used.
cpu() {
    local pid total=0 user system
    for pid in ${PIDS[$1]}; do
        read -r user system < <(sed 's/.*) //' "/proc/$pid/stat" | cut -d ' ' -f 12,13)
        total=$((total + user + system))
    done
    echo "$total"
}

# pull NAME VERSION TIMES
pull() {
    local i
    for ((i = 0; i < $3; i++)); do
        expect "$1" "200 $2 $SIZE" "$(taskset -c 1 curl -s --http"$2" --tlsv1.3 --tls13-ciphers TLS_AES_128_GCM_SHA256 -o /dev/null \
            -w '%{http_code} %{http_version} %{size_download}' "${URL[$1]}")"
    done
}

# --- all of it -----------------------------------------------------------------------------------------------------------------

builds=("$@")
((${#builds[@]})) || builds=("pi-registry=$PROGRAM")
TREE=$(mktemp -d /dev/shm/rc.XXXXXX)
MORE_FOLDERS+=("$TREE")
SCHEME=https PING=/
make_authority ca
make_certificate load ca subjectAltName=IP:127.0.0.1 extendedKeyUsage=serverAuth
export CURL_CA_BUNDLE=$CERTS/ca.crt
noise load "$SIZE" >"$TREE/noise"
DIGEST=$(digest_of "$TREE/noise")
for build in "${builds[@]}"; do serve "${build%%=*}" "${build#*=}" "$WORK/config.yml"; done
expect 'push' 201 "$(push_blob load "$TREE/noise" "$DIGEST")"
rm "$TREE/noise"
serve docker-registry docker-registry serve "$WORK/config.yml"
serve_nginx

printf 'CPU seconds per GB, beside nginx; the median of %s\n' "$ROUNDS"
for version in 1.1 2; do
    for name in "${SERVERS[@]}"; do
        pull "$name" "$version" 1
        : >"$WORK/used.$name"
    done
    for ((round = 0; round < ROUNDS; round++)); do
        for name in "${SERVERS[@]}"; do
            before=$(cpu "$name")
            pull "$name" "$version" "$GB"
            echo $(($(cpu "$name") - before)) >>"$WORK/used.$name"
        done
    done
    for name in "${SERVERS[@]}"; do
        printf '%s %s\n' "$name" "$(sort -n "$WORK/used.$name" | sed -n "$(((ROUNDS + 1) / 2))p")"
    done | awk -v gb="$GB" -v version="$version" '{ name[NR] = $1; used[$1] = $2 }
        END { for (i = 1; i <= NR; i++) printf "HTTP/%-4s %-16s %.3f  x %.2f\n", version, name[i], used[name[i]] / gb / 100,
            used[name[i]] / used["nginx"] }'
done
