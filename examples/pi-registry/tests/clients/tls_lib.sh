# A registry that serves certificates made by openssl. Sourced after lib.sh and engines.sh.
# shellcheck shell=bash

# Other programs have none of the commands, and other messages.
[[ ${REGISTRY_BIN:-} != peer && ${REGISTRY_BIN:-} != *' '* ]] || die 'this is about pi-registry alone'
# shellcheck disable=SC2034
read -r PROGRAM _ <<<"$(registry_command)"
[[ -n $PROGRAM ]] || exit 1

# shellcheck source=certificates_lib.sh
source "$CLIENTS_DIR/certificates_lib.sh"

fingerprint() { openssl x509 -noout -fingerprint -sha256 | sed 's/.*=//'; }

# served_fingerprint: of what a new connection gets.
served_fingerprint() { openssl s_client -connect "$HOST" </dev/null 2>/dev/null | fingerprint; }

# shellcheck disable=SC2034 # lib.sh's
# tls_start CERTIFICATE KEY [VARIABLE=VALUE...]: SCHEME and PING are set for the helpers of lib.sh.
tls_start() {
    SCHEME=https PING=/
    registry_start "$WORK/data" REGISTRY_HTTP_TLS_CERTIFICATE="$1" REGISTRY_HTTP_TLS_KEY="$2" "${@:3}"
}

# says MESSAGE COMMAND...: the command fails, and this is part of what it prints.
says() {
    local message=$1 status=0 output
    shift
    output=$("$@" 2>&1) || status=$?
    [[ $output == *"$message"* ]] && ((status != 0 && status != 124)) && return 0
    echo "expected a failure with '$message', got status $status: $output"
    return 1
}

# start_fails CERTIFICATE KEY MESSAGE [VARIABLE=VALUE...]: exit code 1, and one line with the message besides warnings.
start_fails() {
    local message=$3 status=0 words
    read -ra words <<<"$(registry_command)"
    env -u REGISTRY_BIN REGISTRY_HTTP_ADDR=127.0.0.1:0 REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY="$WORK/never" \
        REGISTRY_HTTP_TLS_CERTIFICATE="$1" REGISTRY_HTTP_TLS_KEY="$2" "${@:4}" \
        timeout 10 "${words[@]}" >"$WORK/start.out" 2>"$WORK/start.err" || status=$?
    cat "$WORK/start.err"
    expect 'exit code' 1 "$status"
    expect 'lines' 1 "$(grep -vc ' WARN ' "$WORK/start.err")"
    grep -v ' WARN ' "$WORK/start.err" | grep -qF -e "$message" || { echo "no '$message'" && return 1; }
    expect 'standard output' '' "$(cat "$WORK/start.out")"
}
