#!/usr/bin/env bash
# nginx in front, with TLS and a password: the configuration is the one of the root README.md, with only paths and ports
# replaced, so that what is written there works. Needs root, for docker and podman.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=engines.sh
source "$CLIENTS_DIR/engines.sh"
((EUID == 0)) || die 'the engines need root'
need curl jq ss openssl tar gzip skopeo crane podman nginx htpasswd

IMAGES=$WORK/images
LAYERS=$WORK/layers
NGINX=$WORK/nginx
USER_NAME=alice
PASSWORD='s3cret: with a colon'
WRONG=wrong
BIG=300000000

# --- the proxy -------------------------------------------------------------------------------------------------------------

# The names are those of the README; 127.0.0.1 is where the clients go.
make_certificate() {
    mkdir -p "$NGINX" "$WORK/certs"
    openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=registry.local \
        -addext 'subjectAltName = DNS:registry.local, IP:127.0.0.1' -keyout "$NGINX/key" -out "$NGINX/crt" 2>"$WORK/openssl.log"
    cp "$NGINX/crt" "$WORK/certs/ca.crt"
    htpasswd -Bbc "$NGINX/htpasswd" "$USER_NAME" "$PASSWORD" 2>"$WORK/htpasswd.log"
    # The workers run as somebody else.
    chmod 755 "$WORK" "$NGINX"
    chmod 644 "$NGINX/htpasswd"
}

# readme_server PORT: the README's server block for this machine. Each of its lines that is replaced must have been there.
readme_server() {
    # shellcheck disable=SC2016 # the backquotes are Markdown's
    sed -n '/^```nginx$/,/^```$/p' "$REPO_DIR/README.md" | sed '/^```/d' >"$NGINX/readme"
    local line
    for line in 'listen 443 ssl;' '/etc/nginx/registry.crt;' '/etc/nginx/registry.key;' '/etc/nginx/registry.htpasswd;' \
        'proxy_pass http://127.0.0.1:5000;'; do
        grep -qF "$line" "$NGINX/readme" || die "README.md's configuration of nginx has no '$line'"
    done
    sed -e "s|listen 443 ssl|listen 127.0.0.1:$1 ssl|" -e "s|/etc/nginx/registry.crt|$NGINX/crt|" -e "s|/etc/nginx/registry.key|$NGINX/key|" \
        -e "s|/etc/nginx/registry.htpasswd|$NGINX/htpasswd|" -e "s|http://127.0.0.1:5000|http://$BEHIND|" "$NGINX/readme"
}

# proxy_start: the README's server on PROXY; the same without its lines on buffering on BUFFERED, to see that buffering
# would be noticed; and one that maps a path on PREFIXED.
proxy_start() {
    local port buffered prefixed
    port=$(free_port)
    buffered=$((port + 1)) prefixed=$((port + 2))
    PROXY=127.0.0.1:$port BUFFERED=127.0.0.1:$buffered PREFIXED=127.0.0.1:$prefixed
    make_certificate
    mkdir "$NGINX"/{body,proxy,fastcgi,uwsgi,scgi}
    readme_server "$port" >"$NGINX/server"
    # Just as Debian's own nginx.conf would include it; warnings tell of each body that went into a file.
    cat >"$NGINX/nginx.conf" <<CONF
daemon off;
pid $NGINX/pid;
worker_processes 2;
error_log $NGINX/error.log warn;
events {}
http {
    access_log $NGINX/access.log;
    client_body_temp_path $NGINX/body;
    proxy_temp_path $NGINX/proxy;
    fastcgi_temp_path $NGINX/fastcgi;
    uwsgi_temp_path $NGINX/uwsgi;
    scgi_temp_path $NGINX/scgi;
    gzip on;
    include $NGINX/server;
    include $NGINX/buffered;
    server {
        listen 127.0.0.1:$prefixed;
        client_max_body_size 0;
        location /registry/v2/ {
            proxy_pass http://$BEHIND/v2/;
            proxy_set_header Host \$http_host;
            proxy_set_header X-Forwarded-Prefix /registry;
        }
    }
}
CONF
    sed -e "s|:$port ssl|:$buffered ssl|" -e '/buffering off/d' "$NGINX/server" >"$NGINX/buffered"
    nginx -c "$NGINX/nginx.conf" -p "$NGINX" -e "$NGINX/error.log" &
    STARTED_PIDS+=($!)
    await nginx "$NGINX/error.log" curl -s --cacert "$NGINX/crt" "https://$PROXY/v2/"
}

# Bodies that went through a file since the marker: nginx removes the names at once, but says so, and the folder changes.
buffered_since() {
    grep -c 'buffered to a temporary file' <(tail -c "+$(($(cat "$WORK/marker.size") + 1))" "$NGINX/error.log") || true
    find "$NGINX"/{body,proxy} -newer "$WORK/marker" -o -type f
}
mark() {
    stat -c %s "$NGINX/error.log" >"$WORK/marker.size"
    sleep 0.02
    touch "$WORK/marker"
    sleep 0.02
}

# --- what is asked ------------------------------------------------------------------------------------------------------------

proxied() { curl -s --cacert "$NGINX/crt" -u "$USER_NAME:$PASSWORD" "$@"; }
headers() { tr -d '\r' <"$WORK/headers"; }

challenge() {
    local how
    for how in '' "-u $USER_NAME:$WRONG" "-u mallory:$WRONG"; do
        # shellcheck disable=SC2086
        expect "status with '$how'" 401 "$(status_of --cacert "$NGINX/crt" -D "$WORK/headers" $how "https://$PROXY/v2/")"
        expect 'challenge' 'Basic realm="registry"' "$(headers | sed -n 's/^www-authenticate: //Ip')"
    done
    expect 'status with the password' 200 "$(proxied -o /dev/null -w '%{http_code}' "https://$PROXY/v2/")"
    expect '/v2' 'relative' "$(proxied -o /dev/null -D - "https://$PROXY/v2" | tr -d '\r' | sed -n 's/^location: //Ip' |
        grep -v '^/v2/$' || echo relative)"
}

# Every answer that has a Location or a Link, from the first to the last request of a push.
locations() {
    local url digest status path
    : >"$WORK/locations"
    noise locations 70000 >"$WORK/blob"
    digest=$(digest_of "$WORK/blob")
    ask() {
        status=$(proxied -o /dev/null -D "$WORK/headers" -w '%{http_code}' -H 'Expect:' "$@")
        headers | sed -n 's/^\(location\|link\): /\1 /Ip' >"$WORK/these"
        sed "s/^/$status /" "$WORK/these" >>"$WORK/locations"
        url=$(sed -n 's/^location //Ip' "$WORK/these")
        [[ $url != /* ]] || url=https://$PROXY$url
    }
    ask -X POST -H 'Content-Length: 0' "https://$PROXY/v2/where/blobs/uploads/"
    ask -X PATCH -H 'Content-Type: application/octet-stream' -H 'Transfer-Encoding: chunked' -T "$WORK/blob" "$url"
    ask "$url"
    ask -X PATCH -H 'Content-Type: application/octet-stream' -H 'Content-Range: 5-9' --data-binary hello "$url"
    expect 'a chunk at the wrong place' 416 "$status"
    ask -X PUT -H 'Content-Length: 0' "$(with_digest "$url" "$digest")"
    expect 'upload' 201 "$status"
    ask -X POST -H 'Content-Length: 0' "https://$PROXY/v2/where/else/blobs/uploads/?mount=$digest&from=where"
    expect 'mount' 201 "$status"
    jq -cn --arg d "$digest" '{schemaVersion: 2, mediaType: "application/vnd.oci.image.manifest.v1+json", layers: [],
        config: {mediaType: "application/vnd.example+json", digest: $d, size: 70000}}' >"$WORK/manifest"
    for path in where/manifests/a where/manifests/b where/else/manifests/a; do
        ask -X PUT -H 'Content-Type: application/vnd.oci.image.manifest.v1+json' --data-binary "@$WORK/manifest" \
            "https://$PROXY/v2/$path"
        expect 'manifest' 201 "$status"
    done
    ask "https://$PROXY/v2/where/tags/list?n=1"
    ask "https://$PROXY/v2/_catalog?n=1"
    cat "$WORK/locations"
    expect 'answers that name a place' 11 "$(wc -l <"$WORK/locations")"
    if grep -E -v '^[0-9]{3} (location /v2/|link </v2/)' -i "$WORK/locations"; then return 1; fi
    if grep -e http -e "${BEHIND##*:}" -e 127.0.0.1 "$WORK/locations"; then return 1; fi
}

# Types and lengths as they are without the proxy.
untouched() {
    local path name
    for path in where/manifests/a "where/blobs/$(digest_of "$WORK/blob")"; do
        expect "hash of $path" "$(hash_of "http://$BEHIND/v2/$path")" \
            "sha256:$(proxied -H "Accept: $ACCEPT" "https://$PROXY/v2/$path" | sha256sum | cut -d ' ' -f 1)"
        for name in content-type content-length docker-content-digest etag; do
            expect "$name of $path" "$(curl -sI "http://$BEHIND/v2/$path" | tr -d '\r' | sed -n "s/^$name: //Ip")" \
                "$(proxied -I -H 'Accept-Encoding: gzip' "https://$PROXY/v2/$path" | tr -d '\r' | sed -n "s/^$name: //Ip")"
        done
    done
}

skopeo_proxied() {
    local dir=$WORK/pulled.skopeo
    skopeo_ login --cert-dir "$WORK/certs" -u "$USER_NAME" -p "$PASSWORD" "$PROXY"
    skopeo_ copy -q --preserve-digests --dest-cert-dir "$WORK/certs" "oci:$IMAGES/one:latest" "docker://$PROXY/skopeo/one:latest"
    skopeo_ copy -q --preserve-digests --src-cert-dir "$WORK/certs" "docker://$PROXY/skopeo/one:latest" "oci:$dir:latest"
    expect 'digest of what was pulled' "$(root_digest "$IMAGES/one")" "$(root_digest "$dir")"
    layout_sound "$dir"
    skopeo_ logout "$PROXY"
    refused skopeo_ inspect --cert-dir "$WORK/certs" "docker://$PROXY/skopeo/one:latest"
}
skopeo_wrong() {
    refused skopeo_ login --cert-dir "$WORK/certs" -u "$USER_NAME" -p "$WRONG" "$PROXY"
    refused skopeo_ copy -q --dest-cert-dir "$WORK/certs" --dest-creds "$USER_NAME:$WRONG" "oci:$IMAGES/one:latest" \
        "docker://$PROXY/skopeo/wrong:latest"
    expect 'what was pushed' 404 "$(status_of "http://$BEHIND/v2/skopeo/wrong/manifests/latest")"
}

crane_tls() { SSL_CERT_FILE=$NGINX/crt crane_ "$@"; }
crane_proxied() {
    local dir=$WORK/pulled.crane
    crane_tls auth login "$PROXY" -u "$USER_NAME" -p "$PASSWORD"
    crane_tls push "$IMAGES/one" "$PROXY/crane/one:latest"
    crane_tls validate --remote "$PROXY/crane/one:latest"
    crane_tls pull --format oci "$PROXY/crane/one:latest" "$dir"
    expect 'digest of what was pulled' "$(root_digest "$IMAGES/one")" "$(root_digest "$dir")"
    crane_tls copy "$PROXY/crane/one:latest" "$PROXY/crane/copy:latest"
    expect 'digest of the copy' "$(root_digest "$IMAGES/one")" "$(crane_tls digest "$PROXY/crane/copy:latest")"
    crane_tls catalog "$PROXY" | grep -x crane/one
    # Without trust in the certificate nothing is said.
    refused crane_ digest "$PROXY/crane/one:latest"
    crane_tls auth logout "$PROXY"
    refused crane_tls digest "$PROXY/crane/one:latest"
}
crane_wrong() {
    crane_tls auth login "$PROXY" -u "$USER_NAME" -p "$WRONG"
    refused crane_tls push "$IMAGES/one" "$PROXY/crane/wrong:latest"
    crane_tls auth logout "$PROXY"
    expect 'what was pushed' 404 "$(status_of "http://$BEHIND/v2/crane/wrong/manifests/latest")"
}

podman_proxied() {
    podman_ load -q -i "$(archive "$IMAGES/one" local/one:latest)"
    podman_ login --cert-dir "$WORK/certs" -u "$USER_NAME" -p "$PASSWORD" "$PROXY"
    podman_ push --cert-dir "$WORK/certs" docker.io/local/one:latest "docker://$PROXY/podman/one:latest"
    podman_ rmi -a -f
    podman_ pull -q --cert-dir "$WORK/certs" "$PROXY/podman/one:latest"
    expect 'id of what was pulled' "$IMAGE_ID" "$(podman_id "$PROXY/podman/one:latest")"
    podman_ logout "$PROXY"
    podman_ rmi -a -f
    refused podman_ pull -q --cert-dir "$WORK/certs" "$PROXY/podman/one:latest"
}
podman_wrong() { refused podman_ login --cert-dir "$WORK/certs" -u "$USER_NAME" -p "$WRONG" "$PROXY"; }

docker_proxied() {
    docker_clean
    docker_ load -q -i "$(archive "$IMAGES/one" local/one:latest)"
    docker_ login -u "$USER_NAME" --password-stdin "$PROXY" <<<"$PASSWORD"
    docker_ tag local/one:latest "$PROXY/docker/one:latest"
    docker_ push "$PROXY/docker/one:latest"
    docker_clean
    docker_ pull "$PROXY/docker/one:latest"
    expect 'id of what was pulled' "$IMAGE_ID" "$(docker_id "$PROXY/docker/one:latest")"
    docker_ logout "$PROXY"
    docker_clean
    refused docker_ pull "$PROXY/docker/one:latest"
}
docker_wrong() { refused docker_ login -u "$USER_NAME" --password-stdin "$PROXY" <<<"$WRONG"; }

# In one PUT as containerd does, or in one PATCH without a length as docker does; then back.
big_layer() {
    local url status digest
    digest=$(digest_of "$WORK/big")
    mark
    url=$(proxied -o /dev/null -D - -X POST -H 'Content-Length: 0' "https://$PROXY/v2/big/$1/blobs/uploads/" |
        tr -d '\r' | sed -n 's/^location: //Ip')
    if [[ $1 == streamed ]]; then
        url=$(proxied -o /dev/null -D - -X PATCH -H 'Content-Type: application/octet-stream' -H 'Transfer-Encoding: chunked' -H 'Expect:' \
            -T "$WORK/big" "https://$PROXY$url" |
            tr -d '\r' | sed -n 's/^location: //Ip')
        status=$(proxied -o /dev/null -w '%{http_code}' -X PUT -H 'Content-Length: 0' "$(with_digest "https://$PROXY$url" "$digest")")
    else
        status=$(proxied -o /dev/null -w '%{http_code}' -X PUT -H 'Content-Type: application/octet-stream' -H 'Expect:' -T "$WORK/big" \
            "$(with_digest "https://$PROXY$url" "$digest")")
    fi
    expect 'push' 201 "$status"
    # Slower than the registry sends at first, so that a proxy which buffers would have something to hold.
    expect 'what was pulled' "$digest" \
        "sha256:$(proxied --limit-rate 150M "https://$PROXY/v2/big/$1/blobs/$digest" | sha256sum | cut -d ' ' -f 1)"
    expect 'bodies that went through a file of nginx' 0 "$(buffered_since)"
}

# The same with the README's two lines on buffering left out is noticed.
would_be_noticed() {
    head -c 20000000 "$WORK/big" >"$WORK/small"
    mark
    expect 'push' 202 "$(proxied -o /dev/null -w '%{http_code}' -X POST -H 'Content-Length: 0' "https://$BUFFERED/v2/buffered/blobs/uploads/")"
    local url
    url=$(proxied -o /dev/null -D - -X POST -H 'Content-Length: 0' "https://$BUFFERED/v2/buffered/blobs/uploads/" |
        tr -d '\r' | sed -n 's/^location: //Ip')
    expect 'push' 201 "$(proxied -o /dev/null -w '%{http_code}' -X PUT -H 'Content-Type: application/octet-stream' -H 'Expect:' -T "$WORK/small" \
        "$(with_digest "https://$BUFFERED$url" "$(digest_of "$WORK/small")")")"
    grep -v '^0$' <(buffered_since | head -n 1)
}

# A path in front of /v2/, as containerd's hosts.toml allows it. Pulls need nothing from the registry; for pushes its
# Locations would have to begin with the path.
prefix_pull() {
    local dir=$WORK/hosts/prefixed.example name=prefixed.example/crane/one:latest
    mkdir -p "$dir"
    printf 'server = "http://%s"\n[host."http://%s/registry/v2"]\n  capabilities = ["pull", "resolve"]\n  override_path = true\n' \
        "$PREFIXED" "$PREFIXED" >"$dir/hosts.toml"
    ctr_ images pull --hosts-dir "$WORK/hosts" --snapshotter native "$name"
    expect 'digest by tag' "$(root_digest "$IMAGES/one")" "$(ctr_ images ls "name==$name" | awk 'NR == 2 { print $3 }')"
    ctr_ images rm --sync "$name"
}
prefix_push() {
    local url
    url=$(curl -fsS -o /dev/null -D - -X POST -H 'Content-Length: 0' "http://$PREFIXED/registry/v2/prefixed/blobs/uploads/" |
        tr -d '\r' | sed -n 's/^location: //Ip')
    expect 'beginning of the Location' /registry/v2/ "${url:0:13}"
    expect 'push' 201 "$(curl -s -o /dev/null -w '%{http_code}' -X PUT -H 'Content-Type: application/octet-stream' --data-binary "@$WORK/blob" \
        "$(with_digest "http://$PREFIXED$url" "$(digest_of "$WORK/blob")")")"
}

# --- all of it -----------------------------------------------------------------------------------------------------------------

mkdir -p "$LAYERS" "$IMAGES"
layer_make "$LAYERS/base" base 3000000
layer_make "$LAYERS/top" top 200000
make_image "$IMAGES/one" local/one:latest amd64 "$LAYERS/base" "$LAYERS/top"
IMAGE_ID=$(config_digest "$IMAGES/one")
registry_start "$WORK/data"
BEHIND=$HOST
proxy_start
scenario curl 'without the password 401 with a challenge, with it 200' challenge
scenario curl 'every Location and Link is a path alone' locations
scenario curl 'bodies, types, lengths and digests as without the proxy' untouched
scenario skopeo 'log in, push, pull, log out' skopeo_proxied
scenario skopeo 'a wrong password fails' skopeo_wrong
scenario crane 'log in, push, pull, copy, log out' crane_proxied
scenario crane 'a wrong password fails' crane_wrong
scenario podman 'log in, push, pull, log out' podman_proxied
scenario podman 'a wrong password fails' podman_wrong
docker_start --log-level info
scenario docker 'log in, push, pull, log out' docker_proxied
scenario docker 'a wrong password fails' docker_wrong
noise big "$BIG" >"$WORK/big"
scenario stream "a layer of $((BIG / 1000000)) MB in one piece is not held up by the proxy" big_layer whole
scenario stream "a layer of $((BIG / 1000000)) MB without a length is not either" big_layer streamed
scenario stream 'without the lines on buffering it would be noticed' would_be_noticed
scenario prefix 'containerd pulls with a path before /v2/' prefix_pull
scenario prefix 'a push with a path before /v2/' prefix_push
summary
