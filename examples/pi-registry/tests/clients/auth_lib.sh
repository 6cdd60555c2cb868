# Users, rules, and a registry for each way to sign in. Sourced after lib.sh and engines.sh.
# shellcheck shell=bash

# The files that are made here, and the messages, are those of one program.
[[ ${REGISTRY_BIN:-} != peer && ${REGISTRY_BIN:-} != *' '* ]] || die 'this is about pi-registry alone'
# shellcheck disable=SC2034
read -r PROGRAM _ <<<"$(registry_command)"
[[ -n $PROGRAM ]] || exit 1

# A password that would not come through unchanged if somebody split or trimmed it.
WRITER=ann READER=bob PASSWORD='correct horse: battery+staple'
SECRETS=(battery "$(printf '%s' "$WRITER:$PASSWORD" | base64 -w 0 | cut -c 1-24)" eyJ)
AUTH=$WORK/auth
mkdir "$AUTH"

# make_users FILE COST NAME...: all with the same password. Low costs keep the tests quick.
make_users() {
    local file=$1 cost=$2 name
    shift 2
    : >"$file"
    for name in "$@"; do "$PROGRAM" htpasswd -inB -C "$cost" "$name" <<<"$PASSWORD" | grep . >>"$file"; done
}

# Everybody pulls what is public, and signed in one may write there. The same as a policy, where others may only read.
make_policy() {
    cat >"$AUTH/policy.yml" <<YML
groups:
  writers: [$WRITER]
rules:
  - {who: ["group:writers"], repositories: ["public/**", "team/**"], actions: [push, delete, catalog]}
  - {who: [$READER], repositories: ["team/**"], actions: [pull, catalog]}
  - {who: [anonymous], repositories: ["public/**"], actions: [pull]}
YML
}

# libtrust's name of a key, as Docker's own token servers write it.
libtrust_id() {
    openssl pkey -in "$1" -pubout -outform der | openssl dgst -sha256 -binary | head -c 30 | base32 -w 0 | sed 's/..../&:/g; s/:$//'
}

# issuer_start: the token server of auth_issuer.pl, with a key of its own. Sets ISSUER_PORT.
issuer_start() {
    openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=issuer \
        -keyout "$AUTH/issuer.key" -out "$AUTH/issuer.crt" 2>>"$WORK/openssl.log"
    ISSUER_PORT=$(free_port)
    perl "$CLIENTS_DIR/auth_issuer.pl" "$ISSUER_PORT" "$AUTH/issuer.key" "$(libtrust_id "$AUTH/issuer.key")" issuer.lan registry.lan \
        "$WRITER" "$PASSWORD" >"$WORK/issuer.log" 2>&1 &
    STARTED_PIDS+=($!)
    await 'the token server' "$WORK/issuer.log" curl -fs "http://127.0.0.1:$ISSUER_PORT/token"
}

# auth_start MODE [VARIABLE=VALUE...]: a registry with one way to sign in, which logs all it can.
auth_start() {
    local mode=$1 settings=()
    shift
    [[ $mode == open || $mode == external ]] ||
        settings=(REGISTRY_AUTH=htpasswd REGISTRY_AUTH_HTPASSWD_REALM='Our Realm' REGISTRY_AUTH_HTPASSWD_PATH="$AUTH/users")
    case $mode in
    anonymous) settings+=(REGISTRY_AUTH_ANONYMOUS=pull) ;;
    policy) settings+=(REGISTRY_AUTH_POLICY_PATH="$AUTH/policy.yml") ;;
    tokens) settings+=(REGISTRY_AUTH_POLICY_PATH="$AUTH/policy.yml" REGISTRY_AUTH_TOKENSERVER_ENABLED=true) ;;
    external)
        settings=(REGISTRY_AUTH=token REGISTRY_AUTH_TOKEN_REALM="http://localhost:$ISSUER_PORT/token"
            REGISTRY_AUTH_TOKEN_SERVICE=registry.lan REGISTRY_AUTH_TOKEN_ISSUER=issuer.lan
            REGISTRY_AUTH_TOKEN_ROOTCERTBUNDLE="$AUTH/issuer.crt")
        ;;
    esac
    # /v2/ asks for a password.
    PING=/ registry_start "$WORK/data-$mode" REGISTRY_LOG_LEVEL=debug "${settings[@]}" "$@"
    # For crane, a token server has a name and not an address; for oras, if it is in a private network, the registry's own.
    # shellcheck disable=SC2034 # the callers'
    [[ $mode != external ]] || HOST=localhost:$REGISTRY_PORT
}

# as NAME COMMAND...: with the logins of this name, which may be none. Other LOGINS are those of another machine.
as() {
    local -x AS=$1 HOME=$WORK/homes/${LOGINS:-}-$1
    local -x DOCKER_CONFIG=$HOME/.docker REGISTRY_AUTH_FILE=$HOME/auth.json REGCTL_CONFIG=$HOME/regctl.json
    local -x HELM_REGISTRY_CONFIG=$HOME/helm.json
    shift
    if [[ ! -e $DOCKER_CONFIG ]]; then
        mkdir -p "$DOCKER_CONFIG"
        echo '{}' | tee "$DOCKER_CONFIG/config.json" >"$REGISTRY_AUTH_FILE"
    fi
    "$@"
}

# denied COMMAND...: the client fails, and says that it is about rights and not about anything else. As with `scenario`, not from
# an `if` or beside `&&`.
denied() {
    local status output
    set +e
    output=$(
        set -e
        "$@" 2>&1
    )
    status=$?
    set -e
    if ((status != 0 && status != 124)) && grep -qiE "$ABOUT_RIGHTS" <<<"$output"; then return 0; fi
    echo "not denied, status $status: $*"
    tail -n 5 <<<"$output"
    return 1
}
ABOUT_RIGHTS='unauthorized|insufficient_scope|denied|forbidden|authentication required|invalid username/password'
ABOUT_RIGHTS+='|(status|code|:) *(401|403)|no basic auth credentials|basic credential not found'

# no_secret_in FILE...: neither passwords, nor what carries them, nor tokens.
no_secret_in() {
    local secret
    grep -c . "$@"
    for secret in "${SECRETS[@]}"; do
        if grep -aF -m 3 -e "$secret" "$@"; then echo "a secret: $secret" && return 1; fi
    done
}

# put_seed [CURL ARGUMENT...]: pushes public/seed:latest, which is next to nothing, and prints the status.
put_seed() {
    printf '{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}' >"$WORK/seed.json"
    curl -s -o /dev/null -w '%{http_code}' "$@" -X PUT -H 'Content-Type: application/vnd.oci.image.index.v1+json' \
        --data-binary "@$WORK/seed.json" "http://$HOST/v2/public/seed/manifests/latest" || true
}
