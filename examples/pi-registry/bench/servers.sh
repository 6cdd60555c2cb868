# The servers that are compared, and what they serve. Sourced by common.sh after lib.sh and its parts.
# shellcheck shell=bash
# shellcheck disable=SC2034,SC2153 # lib.sh's and run.sh's

# Of each server that runs: scheme://host:port, and its processes with commas between them.
declare -A AT PIDS

is_registry() { [[ $1 != nginx ]]; }

# command_of NAME: its command line.
command_of() {
    case $1 in
    pi-registry) echo "$PROGRAM $WORK/config.yml" ;;
    docker-registry) echo "docker-registry serve $WORK/config.yml" ;;
    registry-v3) echo "$TOOLS_BIN/registry serve $WORK/config.yml" ;;
    nginx) echo nginx ;;
    *=*) echo "${1#*=} $WORK/config.yml" ;;
    *) die "no such server: $1" ;;
    esac
}

install_server() {
    case $1 in
    registry-v3) [[ -x $TOOLS_BIN/registry ]] || go_tool "$REGISTRY_V3_MODULE" ;;
    docker-registry | nginx) need "$1" ;;
    esac
}

# prepare NAME: installs it, and a registry gets its content; nginx serves the files as they are.
prepare() {
    local url
    install_server "$1"
    is_registry "$1" || return 0
    serve "$1" http "$(data_of "$1")"
    expect "push to $1" 201 "$(push_blob bench/pull "$CONTENT/blob" "$DIGEST")"
    expect "push to $1" 201 "$(push_blob bench/pull "$CONTENT/config" "$(digest_of "$CONTENT/config")")"
    expect "push to $1" 201 "$(put_manifest bench/pull latest "$CONTENT/manifest")"
    url=http://$HOST/v2/bench/pull
    expect "blob of $1" "$DIGEST" "$(hash_of "$url/blobs/$DIGEST")"
    expect "manifest of $1" "$(digest_of "$CONTENT/manifest")" "$(hash_of "$url/manifests/latest")"
    stop "$1"
}

data_of() { echo "$PULL_ROOT/${1%%=*}"; }

# What is pushed and pulled, and an image's manifest of common size.
make_content() {
    local config layer
    mkdir "$CONTENT"
    noise blob $((BLOB_MIB << 20)) >"$CONTENT/blob"
    noise large $((MEMORY_MIB << 20)) >"$CONTENT/large"
    echo '{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}' >"$CONTENT/config"
    DIGEST=$(digest_of "$CONTENT/blob")
    config=$(descriptor config application/vnd.oci.image.config.v1+json)
    layer=$(descriptor blob application/vnd.oci.image.layer.v1.tar+gzip)
    jq -cn --argjson c "$config" --argjson l "$layer" '{schemaVersion: 2,
        mediaType: "application/vnd.oci.image.manifest.v1+json", config: $c, layers: [range(8) | $l]}' >"$CONTENT/manifest"
}

descriptor() {
    jq -cn --arg m "$2" --arg d "$(digest_of "$CONTENT/$1")" --argjson s "$(stat -c %s "$CONTENT/$1")" \
        '{mediaType: $m, digest: $d, size: $s}'
}

# The settings that all measurements share. Logs would be measured with what they are written to.
SETTINGS=(REGISTRY_LOG_LEVEL=warn REGISTRY_LOG_ACCESSLOG_DISABLED=true OTEL_TRACES_EXPORTER=none)
WITH_PASSWORD=(REGISTRY_AUTH=htpasswd REGISTRY_AUTH_HTPASSWD_REALM=bench REGISTRY_AUTH_HTPASSWD_PATH="$AUTH/users")

# serve NAME SCHEME DATA [VARIABLE=VALUE...]
serve() {
    local name=$1 data=$3 settings=("${SETTINGS[@]}" "${@:4}")
    SCHEME=$2
    if is_registry "$name"; then
        [[ $SCHEME == http ]] ||
            settings+=(REGISTRY_HTTP_TLS_CERTIFICATE="$CERTS/bench.crt" REGISTRY_HTTP_TLS_KEY="$CERTS/bench.key")
        # /v2/ may ask for a password.
        PING=/ REGISTRY_PORT='' REGISTRY_BIN="${ON_SERVER[*]} $(command_of "$name")"
        registry_start "$data" "${settings[@]}"
        PIDS[$name]=$REGISTRY_PID
    else
        serve_nginx
    fi
    AT[$name]=$SCHEME://$HOST
}

serve_all() {
    local name
    for name in "${SERVERS[@]}"; do serve "$name" "$1" "$(data_of "$name")" "${@:2}"; done
}

# Debian's defaults, but connections may stay as long as they like. NGINX_CONNECTIONS are paid for in memory from the start.
serve_nginx() {
    local port dir ssl=''
    dir=$(mktemp -d "$WORK/nginx.XXXXXX")
    port=$(free_port)
    [[ $SCHEME == http ]] || ssl='ssl http2'
    cat >"$dir/nginx.conf" <<CONF
daemon off;
user root;
pid $dir/pid;
worker_processes 1;
worker_rlimit_nofile 65536;
error_log $dir/error.log;
events { worker_connections ${NGINX_CONNECTIONS:-768}; }
http {
    access_log off;
    sendfile on;
    tcp_nopush on;
    keepalive_timeout 600;
    keepalive_requests 100000000;
    server {
        listen 127.0.0.1:$port $ssl;
        ssl_certificate $CERTS/bench.crt;
        ssl_certificate_key $CERTS/bench.key;
        ssl_protocols TLSv1.2 TLSv1.3;
        location / { root $CONTENT; }
    }
}
CONF
    "${ON_SERVER[@]}" nginx -c "$dir/nginx.conf" -p "$dir" -e "$dir/error.log" &
    STARTED_PIDS+=($!)
    HOST=127.0.0.1:$port
    await nginx "$dir/error.log" curl -fs "$SCHEME://$HOST/config"
    PIDS[nginx]="$!,$(xargs <"/proc/$!/task/$!/children" | tr ' ' ,)"
}

stop() { end "${PIDS[$1]%%,*}"; }
stop_all() {
    local name
    for name in "${SERVERS[@]}"; do stop "$name"; done
}

# blob_of NAME: its URL.
blob_of() { if is_registry "$1"; then echo "${AT[$1]}/v2/bench/pull/blobs/$DIGEST"; else echo "${AT[$1]}/blob"; fi; }
