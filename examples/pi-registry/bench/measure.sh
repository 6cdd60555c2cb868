# What is measured: one function for each word of ONLY. Sourced by run.sh.
# shellcheck shell=bash
# shellcheck disable=SC2034,SC2153 # run.sh's and servers.sh's

# show_bytes BYTES SECONDS CPU
show_bytes() { awk '{ printf "%.0f MB/s, %.3f CPU seconds per GB", $1 / $2 / 1e6, $3 / $1 * 1e9 }' <<<"$*"; }

# record_bytes WHAT NAME BYTES SECONDS CPU
record_bytes() {
    echo "$1: $2: $(show_bytes "${@:3}")"
    record "$1: MB/s" "$2" "$(awk '{ print $1 / $2 / 1e6 }' <<<"${*:3}")" 0 more
    record "$1: CPU seconds per GB" "$2" "$(awk '{ print $3 / $1 * 1e9 }' <<<"${*:3}")" 3 less
}

# record_requests WHAT NAME REQUESTS SECONDS CPU
record_requests() {
    echo "$1: $2: $(awk '{ printf "%.0f requests/s, %.1f us each", $1 / $2, $1 ? $3 / $1 * 1e6 : 0 }' <<<"${*:3}")"
    record "$1: requests/s" "$2" "$(awk '{ print $1 / $2 }' <<<"${*:3}")" 0 more
    record "$1: CPU microseconds per request" "$2" "$(awk '{ print $1 ? $3 / $1 * 1e6 : 0 }' <<<"${*:3}")" 1 less
}

# --- pulls --------------------------------------------------------------------------------------------------------------------

measure_pull() {
    local scheme connections round name line
    for scheme in "${SCHEMES[@]}"; do
        serve_all "$scheme"
        for connections in 1 32; do
            for ((round = 0; round < ROUNDS; round++)); do
                for name in "${SERVERS[@]}"; do
                    line=$(load pull --connections "$connections" --cpu "${PIDS[$name]}" --ca "$CERTS/ca.crt" \
                        --content "$CONTENT/blob" --bytes $((PULL_MIB << 20)) "$(blob_of "$name")")
                    # shellcheck disable=SC2086
                    record_bytes "pull $scheme, $connections" "$name" $line
                done
            done
        done
        [[ $scheme == http ]] || pull_http2
        stop_all
    done
}

# cpu_of NAME: hundredths of a second that its processes have used.
cpu_of() {
    local pid total=0 user system
    for pid in ${PIDS[$1]//,/ }; do
        read -r user system < <(sed 's/.*) //' "/proc/$pid/stat" | cut -d ' ' -f 12,13)
        total=$((total + user + system))
    done
    echo "$total"
}

# By curl, one stream at a time. Each body is hashed in a pull that is not measured; for the others the length must do.
pull_http2() {
    local round name url i began cpu words wanted=$((PULL_MIB / BLOB_MIB)) size=$((BLOB_MIB << 20))
    for ((round = 0; round < ROUNDS; round++)); do
        for name in "${SERVERS[@]}"; do
            url=$(blob_of "$name")
            expect "$name" "$DIGEST" "$(hash_of "$url")"
            words=()
            for ((i = 0; i < wanted; i++)); do words+=(-o /dev/null "$url"); done
            cpu=$(cpu_of "$name") began=$EPOCHREALTIME
            "${ON_LOAD[@]}" curl -s --http2 --tlsv1.3 --tls13-ciphers TLS_AES_128_GCM_SHA256 \
                -w '%{http_code} %{http_version} %{size_download}\n' "${words[@]}" >"$WORK/curl"
            expect "pulls from $name" "$wanted" "$(grep -cx "200 2 $size" "$WORK/curl")"
            # shellcheck disable=SC2046
            record_bytes 'pull https, HTTP/2' "$name" $(awk -v began="$began" -v ended="$EPOCHREALTIME" -v cpu="$cpu" \
                -v now="$(cpu_of "$name")" -v bytes=$((wanted * size)) 'BEGIN { print bytes, ended - began, (now - cpu) / 100 }')
        done
    done
}

# --- pushes -------------------------------------------------------------------------------------------------------------------

# Into an empty registry each time, which has had a push before, as caches and allocators have then.
measure_push() {
    local scheme connections round name line arguments
    for scheme in "${SCHEMES[@]}"; do
        for connections in 1 8; do
            for ((round = 0; round < ROUNDS; round++)); do
                for name in "${SERVERS[@]}"; do
                    is_registry "$name" || continue
                    serve "$name" "$scheme" "$PUSH_ROOT/push"
                    arguments=(--content "$CONTENT/blob" --ca "$CERTS/ca.crt" "${AT[$name]}")
                    load push --blobs 1 --unchecked "${arguments[@]}" >"$WORK/warm"
                    line=$(load push --connections "$connections" --cpu "${PIDS[$name]}" --blobs $((PUSH_MIB / BLOB_MIB)) \
                        "${arguments[@]}")
                    # shellcheck disable=SC2086
                    record_bytes "push $scheme, $connections" "$name" $line
                    stop "$name"
                    rm -rf "$PUSH_ROOT/push"
                done
            done
        done
    done
}

# What a push over http costs at least, over one connection: a loop that receives, hashes and writes, without HTTP and without a
# registry. No row of the table, since it is nobody's.
measure_floor() {
    local round line pin=()
    [[ ${ON_SERVER[0]} != taskset ]] || pin=(--cores "${SERVER_CORES%%[,-]*}" "${LOAD_CORES%%[,-]*}")
    for ((round = 0; round < ROUNDS; round++)); do
        line=$("$LOAD" floor --content "$CONTENT/blob" --directory "$PUSH_ROOT" --times $((PUSH_MIB / BLOB_MIB)) "${pin[@]}")
        # shellcheck disable=SC2086
        echo "a bare loop: $(show_bytes $line)"
    done
}

# --- small requests -----------------------------------------------------------------------------------------------------------

# requests WHAT NAME PATH CONTENT [ARGUMENT...]
requests() {
    local line
    is_registry "$2" || return 0
    line=$(load requests --connections 8 --seconds "$SECONDS_EACH" --cpu "${PIDS[$2]}" --content "$4" "${@:5}" "${AT[$2]}$3")
    # shellcheck disable=SC2086
    record_requests "$1" "$2" $line
}

measure_manifests() {
    local round name basic
    basic="Authorization: Basic $(printf '%s' "$WRITER:$PASSWORD" | base64 -w 0)"
    serve_all http
    for ((round = 0; round < ROUNDS; round++)); do
        for name in "${SERVERS[@]}"; do
            requests 'manifest by tag' "$name" /v2/bench/pull/manifests/latest "$CONTENT/manifest" --header "Accept: $ACCEPT"
        done
    done
    stop_all
    serve_all http "${WITH_PASSWORD[@]}"
    for name in "${SERVERS[@]}"; do
        is_registry "$name" || continue
        expect "$name without a password" 401 "$(status_of "${AT[$name]}/v2/bench/pull/manifests/latest")"
    done
    for ((round = 0; round < ROUNDS; round++)); do
        for name in "${SERVERS[@]}"; do
            requests 'manifest by tag, htpasswd' "$name" /v2/bench/pull/manifests/latest "$CONTENT/manifest" \
                --header "Accept: $ACCEPT" --header "$basic"
        done
    done
    stop_all
}

measure_head() {
    local round name
    serve_all http
    for ((round = 0; round < ROUNDS; round++)); do
        for name in "${SERVERS[@]}"; do
            requests 'blob HEAD' "$name" "/v2/bench/pull/blobs/$DIGEST" "$CONTENT/blob" --method HEAD
        done
    done
    stop_all
}

# --- memory -------------------------------------------------------------------------------------------------------------------

# memory_of NAME FIELD: of /proc/PID/status, in MiB, the sum over its processes.
memory_of() {
    local pid
    for pid in ${PIDS[$1]//,/ }; do cat "/proc/$pid/status"; done | awk -v f="$2:" '$1 == f { kib += $2 } END { printf "%.1f", kib / 1024 }'
}

# Idle, and the most that 8 pushes and 32 pulls at once ever take. nginx has only the pulls.
measure_memory() {
    local name url digest pids
    digest=$(digest_of "$CONTENT/large")
    for name in "${SERVERS[@]}"; do
        serve "$name" http "$PUSH_ROOT/memory"
        record_value 'memory: MiB idle' "$name" "$(memory_of "$name" VmRSS)" 0
        url=${AT[$name]}/large pids=()
        if is_registry "$name"; then
            expect "push to $name" 201 "$(push_blob bench/memory "$CONTENT/large" "$digest")"
            url=${AT[$name]}/v2/bench/memory/blobs/$digest
            load push --connections 8 --blobs 8 --content "$CONTENT/large" "${AT[$name]}" >"$WORK/pushed" &
            pids+=($!)
        fi
        load pull --connections 32 --bytes $((32 * 3 * MEMORY_MIB << 20)) --content "$CONTENT/large" "$url" >"$WORK/pulled" &
        wait_all "${pids[@]}" $!
        record_value "memory: MiB at most, 32 pulls and 8 pushes of $MEMORY_MIB MiB" "$name" "$(memory_of "$name" VmHWM)" 0
        stop "$name"
        rm -rf "$PUSH_ROOT/memory"
    done
}

measure_idle() {
    local scheme name path holder i before NGINX_CONNECTIONS=$((IDLE_CONNECTIONS + 100))
    for scheme in "${SCHEMES[@]}"; do
        for name in "${SERVERS[@]}"; do
            serve "$name" "$scheme" "$(data_of "$name")"
            path=/v2/
            is_registry "$name" || path=/config
            before=$(memory_of "$name" VmRSS)
            rm -f "$WORK/hold" "$WORK/held"
            mkfifo "$WORK/hold"
            load idle --connections "$IDLE_CONNECTIONS" --ca "$CERTS/ca.crt" "${AT[$name]}$path" <"$WORK/hold" >"$WORK/held" &
            holder=$!
            STARTED_PIDS+=("$holder")
            exec {hold}>"$WORK/hold"
            for ((i = 0; i < 600; i++)); do
                [[ ! -s $WORK/held ]] || break
                kill -0 "$holder" 2>/dev/null || die "$name does not take $IDLE_CONNECTIONS connections"
                sleep 0.1
            done
            expect "connections to $name" open "$(cat "$WORK/held")"
            sleep 1
            echo "$name: $before MiB before"
            record_value "memory: MiB with $IDLE_CONNECTIONS idle connections, $scheme" "$name" "$(memory_of "$name" VmRSS)" 0
            exec {hold}>&-
            wait_all "$holder"
            stop "$name"
        done
    done
}

# --- the program itself -------------------------------------------------------------------------------------------------------

measure_startup() {
    local name port round words
    load tree "$PULL_ROOT/tree" "$TREE_BLOBS"
    sync -f "$PULL_ROOT"
    for ((round = 0; round < ROUNDS; round++)); do
        for name in "${SERVERS[@]}"; do
            is_registry "$name" || continue
            read -ra words <<<"$(command_of "$name")"
            port=$(free_port)
            record_value "milliseconds until the first answer, $TREE_BLOBS blobs" "$name" "$(env -u REGISTRY_BIN "${SETTINGS[@]}" \
                REGISTRY_HTTP_ADDR="127.0.0.1:$port" REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY="$PULL_ROOT/tree" \
                "${ON_LOAD[@]}" "$LOAD" start "http://127.0.0.1:$port/v2/" -- "${ON_SERVER[@]}" "${words[@]}" \
                2>>"$WORK/registry.log" | awk '{ print $1 * 1000 }')" 1
        done
    done
    rm -rf "$PULL_ROOT/tree"
}

measure_size() {
    local name words
    for name in "${SERVERS[@]}"; do
        read -ra words <<<"$(command_of "$name")"
        record_value 'program: MiB' "$name" "$(stat -Lc %s "$(command -v "${words[0]}")" | awk '{ print $1 / 1048576 }')" 1
    done
}

# --- the machine --------------------------------------------------------------------------------------------------------------

about_the_machine() {
    local sha=no
    # Of x86 and of ARM.
    ! grep -qE '^(flags|Features)\b.*\b(sha_ni|sha2)\b' /proc/cpuinfo || sha=yes
    echo "CPU: $(lscpu | sed -n 's/^Model name: *//p' | head -n 1), $(nproc) cores; SHA extensions: $sha"
    echo "kernel: $(uname -srm); pulls from $(stat -f -c %T "$PULL_DIR"), pushes to $(stat -f -c %T "$PUSH_DIR")"
    echo "servers: ${SERVERS[*]}; pinned: ${ON_SERVER[*]}; load: ${ON_LOAD[*]}; rounds: $ROUNDS"
}
