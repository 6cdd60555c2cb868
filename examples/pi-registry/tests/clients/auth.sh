#!/usr/bin/env bash
# Signing in, by hand: what is malformed, forged, expired or too much, files that cannot be used, users that are removed, hundreds
# of wrong passwords at once, and that no log has a secret in it. With curl, perl and openssl, on 127.0.0.1.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=engines.sh
source "$CLIENTS_DIR/engines.sh"
# shellcheck source=auth_lib.sh
source "$CLIENTS_DIR/auth_lib.sh"
need curl jq ss openssl perl
# How soon the README says that a changed file is noticed, and a second for the reading and the asking.
NOTICED=11
# A part of every wrong password.
SECRETS+=(mistaken)
ME="$WRITER:$PASSWORD"

# --- what is malformed ---------------------------------------------------------------------------------------------------------

# answers STATUS WHAT [CURL ARGUMENT...]: one of these statuses (401|400), and what goes with it.
answers() {
    local wanted=$1 what=$2 status
    shift 2
    status=$(curl -s -o "$WORK/body" -D "$WORK/head" -w '%{http_code}' "$@" || true)
    echo "$what: $status $(head -c 150 "$WORK/body")"
    [[ $status =~ ^($wanted)$ ]] || { echo "expected $wanted" && return 1; }
    case $status in
    401) expect 'challenges' 1 "$(grep -ci '^www-authenticate: ' "$WORK/head")" ;;
    2??) return 0 ;;
    esac
    jq -e '.errors[0] | (.code | length > 0) and (.message | length > 0)' "$WORK/body" >/dev/null
    grep -qi '^content-type: application/json' "$WORK/head"
}

basic() { printf 'Basic %s' "$(printf '%b' "$1" | base64 -w 0)"; }

MALFORMED=(
    Basic 'Basic ' 'Basic !!!' 'Basic YW5u' "$(basic "$ME") more" "$(basic "$ME")," "Basic,$(basic "$ME")"
    "$(basic 'ann\x00:x')" "$(basic '\xff\xfe:x')" "$(basic ":$PASSWORD")" "$(basic 'ann:')" $'Basic \xff\xfe'
    "$(basic 'ann:mistaken')" "$(basic 'Ann:mistaken')" "$(basic "ann:$(head -c 5000 /dev/zero | tr '\0' x)")"
    "Basic $(head -c 15000 /dev/zero | base64 -w 0)"
    Bearer 'Bearer ' 'Bearer x' 'Bearer a.b.c' 'Bearer ..' "Bearer $(head -c 30000 /dev/zero | tr '\0' a)"
    'Digest username="ann"' 'Negotiate YII=' x ',' '='
)

malformed() {
    local value path
    for value in "${MALFORMED[@]}"; do
        for path in /v2/ /v2/_catalog /v2/team/seed/manifests/latest /v2/public/seed/tags/list; do
            answers '40[01]' "${value:0:30}" -H "Authorization: $value" "http://$HOST$path"
        done
        answers '40[01]' "${value:0:30}" -H "Authorization: $value" -X POST "http://$HOST/v2/public/seed/blobs/uploads/"
    done
    answers '40[01]' 'two of them' -H "Authorization: $(basic ann:mistaken)" -H "Authorization: $(basic "$ME")" "http://$HOST/v2/"
    answers 401 'an empty one' -H 'Authorization;' "http://$HOST/v2/"
    answers 401 'nobody, as podman says it' -H 'Authorization: Basic Og==' "http://$HOST/v2/"
}

well_formed() {
    answers 200 'signed in' -u "$ME" "http://$HOST/v2/"
    answers 200 'in lower case' -H "Authorization: basic $(printf '%s' "$ME" | base64 -w 0)" "http://$HOST/v2/"
    answers 200 'with more blanks' -H "Authorization: BASIC   $(printf '%s' "$ME" | base64 -w 0)" "http://$HOST/v2/"
}

# --- tokens of somebody else's, whose key is known here ------------------------------------------------------------------------------

b64url() { base64 -w 0 | tr '+/' '-_' | tr -d =; }

# jwt KEY [CLAIMS] [HEADER]: a good token, changed by jq.
jwt() {
    local key=$1 claims header signed
    header=$(jq -cn --arg k "$(libtrust_id "$AUTH/issuer.key")" "{typ: \"JWT\", alg: \"RS256\", kid: \$k} ${3:+| $3}")
    claims=$(jq -cn "(now | floor) as \$now | {iss: \"issuer.lan\", aud: \"registry.lan\", sub: \"ann\", jti: \"1\",
        exp: (\$now + 300), nbf: (\$now - 10), iat: \$now,
        access: [{type: \"repository\", name: \"public/seed\", actions: [\"pull\", \"push\"]}]} ${2:+| $2}")
    signed=$(printf '%s' "$header" | b64url).$(printf '%s' "$claims" | b64url)
    case $key in
    none) echo "$signed." ;;
    public) echo "$signed.$(printf '%s' "$signed" | openssl dgst -sha256 -hmac "$(cat "$AUTH/issuer.crt")" -binary | b64url)" ;;
    *) echo "$signed.$(printf '%s' "$signed" | openssl dgst -sha256 -sign "$key" | b64url)" ;;
    esac
}

# token_is STATUS WHAT TOKEN [ERROR]: at a manifest that is not there, in a repository that the good one is for.
token_is() {
    answers "$1" "$2" -H "Authorization: Bearer $3" "http://$HOST/v2/public/seed/manifests/none"
    [[ -z ${4:-} ]] || grep -i '^www-authenticate: Bearer realm="http' "$WORK/head" | grep -F "error=\"$4\""
}

forged() {
    local key=$AUTH/issuer.key
    openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out "$AUTH/other.key" 2>>"$WORK/openssl.log"
    token_is 404 'a good one' "$(jwt "$key")"
    token_is 404 'without kid, when there is one key' "$(jwt "$key" '' 'del(.kid)')"
    token_is 404 'for several services' "$(jwt "$key" '.aud = ["x", "registry.lan"]')"
    token_is 404 'of a clock that is a little behind' "$(jwt "$key" '.nbf += 40')"
    token_is 401 'of another key' "$(jwt "$AUTH/other.key")" invalid_token
    token_is 401 'not signed' "$(jwt none '' '.alg = "none"')" invalid_token
    token_is 401 'signed with the public key as secret' "$(jwt public '' '.alg = "HS256"')" invalid_token
    token_is 401 'another algorithm than its key' "$(jwt "$key" '' '.alg = "ES256"')" invalid_token
    token_is 401 'an unknown kid' "$(jwt "$key" '' '.kid = "x"')" invalid_token
    token_is 401 'what must be understood' "$(jwt "$key" '' '.crit = ["x"]')" invalid_token
    token_is 401 'a key of its own' "$(jwt "$AUTH/other.key" '' '.jwk = {kty: "RSA", e: "AQAB", n: "AQAB"}')" invalid_token
    token_is 401 'a key elsewhere' "$(jwt "$AUTH/other.key" '' "del(.kid) | .jku = \"http://127.0.0.1:$ISSUER_PORT/\"")" invalid_token
    token_is 401 'expired' "$(jwt "$key" '.exp = .iat - 100')" invalid_token
    token_is 401 'of the future' "$(jwt "$key" '.nbf += 400')" invalid_token
    token_is 401 'without an end' "$(jwt "$key" 'del(.exp)')" invalid_token
    token_is 401 'an end that is no number' "$(jwt "$key" '.exp |= tostring')" invalid_token
    token_is 401 'an end beyond all numbers' "$(jwt "$key" '.exp = 1e300')" invalid_token
    token_is 401 'another issuer' "$(jwt "$key" '.iss = "issuer.lan."')" invalid_token
    token_is 401 'another service' "$(jwt "$key" '.aud = "other"')" invalid_token
    token_is 401 'no service' "$(jwt "$key" 'del(.aud)')" invalid_token
    token_is 401 'rights that are none' "$(jwt "$key" '.access = "all"')" invalid_token
    token_is 401 'rights of numbers' "$(jwt "$key" '.access[0].actions = [1]')" invalid_token
    token_is 401 'claims that are a list' "$(jwt "$key" '[.]')" invalid_token
    token_is 401 'longer than any' "$(jwt "$key" '.x = ("x" * 20000)')" invalid_token
    token_is 401 'of too little' "$(jwt "$key" '.access[0].name = "public"')" insufficient_scope
    token_is 401 'of nothing' "$(jwt "$key" '.access = []')" insufficient_scope
    token_is 401 'of a pattern' "$(jwt "$key" '.access[0].name = "public/*"')" insufficient_scope
}

# --- a token server ------------------------------------------------------------------------------------------------------------------

# find_realm: the token server of the challenge, as REALM, and its SERVICE.
find_realm() {
    local challenge
    challenge=$(curl -s -o /dev/null -D - "http://$HOST/v2/" | tr -d '\r' | sed -n 's/^www-authenticate: Bearer //Ip')
    SERVICE=$(sed -n 's/.*service="\([^"]*\)".*/\1/p' <<<"$challenge")
    REALM=$(sed -n 's/.*realm="\([^"]*\)".*/\1/p' <<<"$challenge")
    [[ -n $REALM && -n $SERVICE ]] || { echo "challenge: $challenge" && return 1; }
}
asks() { curl -s -G --data-urlencode "service=$SERVICE" "$@" "$REALM"; }
claims_of() { jq -r '.token | split(".")[1] | gsub("-"; "+") | gsub("_"; "/") | @base64d'; }

scopes() {
    local scope big
    big=$(head -c 3000 /dev/zero | tr '\0' a)
    expect 'for me' '["pull","push"]' \
        "$(asks -u "$ME" --data-urlencode 'scope=repository:public/seed:push,pull' | claims_of | jq -c '.access[0].actions | sort')"
    expect 'for everybody' '["pull"]' "$(asks --data-urlencode 'scope=repository:public/seed:pull,push' | claims_of | jq -c '.access[0].actions')"
    for scope in '' x ' ' : :: ::: repository repository: repository:a repository:a: repository::pull 'repository:a:fly' \
        'planet:mars:pull' 'repository:UPPER:pull' 'repository:../../etc:pull' 'repository:team/seed:pull' "repository:$big:pull" \
        "repository(x):a:pull" $'repository:a:pull\n' $'\x01' 'registry:catalog:*' 'repository:other/*:*' 'repository:**:pull'; do
        answers 200 "scope ${scope:0:30}" -G --data-urlencode "service=$SERVICE" --data-urlencode "scope=$scope" "$REALM"
        expect 'rights' '[]' "$(claims_of <"$WORK/body" | jq -c '[.access // [] | .[].actions[]]')"
    done
}

token_requests() {
    local form='application/x-www-form-urlencoded' verb
    answers 200 'nobody' "$REALM?service=$SERVICE"
    answers 400 'another service' "$REALM?service=other"
    answers 200 'a password in a form' --data-urlencode "username=$WRITER" --data-urlencode "password=$PASSWORD" \
        -d "grant_type=password&service=$SERVICE&client_id=x" "$REALM"
    answers 401 'a wrong password' -u ann:mistaken "$REALM?service=$SERVICE"
    answers 401 'an unknown user' -u nobody:mistaken "$REALM?service=$SERVICE"
    answers 401 'a wrong password in a form' -d "grant_type=password&service=$SERVICE&client_id=x&username=ann&password=mistaken" "$REALM"
    answers 401 'a wrong refresh token' -d "grant_type=refresh_token&service=$SERVICE&client_id=x&refresh_token=mistaken" "$REALM"
    answers 401 'half of a header' -H 'Authorization: Basic YW5u' "$REALM?service=$SERVICE"
    answers '400|405' 'another grant' -d "grant_type=magic&service=$SERVICE&client_id=x" "$REALM"
    answers '400|401' 'no grant' -d "service=$SERVICE" "$REALM"
    answers 400 'nothing' -H "Content-Type: $form" --data-binary '' "$REALM"
    answers '400|401|413' 'a form beyond measure' -H "Content-Type: $form" --data-binary "@$WORK/form" "$REALM"
    answers '400|401|415' 'another type' -H 'Content-Type: application/json' --data-binary '{"grant_type":"password"}' "$REALM"
    answers '400|401' 'no text' -H "Content-Type: $form" --data-binary $'\xff=%zz&grant_type=%ff' "$REALM"
    for verb in PUT DELETE PATCH; do answers '404|405' "$verb" -X "$verb" "$REALM"; done
}

# --- files that cannot be used ---------------------------------------------------------------------------------------------------------

# refuses_to_start MESSAGE [VARIABLE=VALUE...]: exit code 1, and one line with the message besides warnings.
refuses_to_start() {
    local message=$1 status=0 words
    shift
    read -ra words <<<"$(registry_command)"
    env -u REGISTRY_BIN REGISTRY_HTTP_ADDR=127.0.0.1:0 REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY="$WORK/never" "$@" \
        timeout 10 "${words[@]}" >"$WORK/start.out" 2>"$WORK/start.err" || status=$?
    cat "$WORK/start.err"
    expect 'exit code' 1 "$status"
    expect 'lines' 1 "$(grep -vc ' WARN ' "$WORK/start.err")"
    grep -v ' WARN ' "$WORK/start.err" | grep -qF -e "$message" || { echo "no '$message'" && return 1; }
    no_secret_in "$WORK/start.err"
}

BAD=$WORK/bad
# bad NAME CONTENT: a file, and its name in FILE.
bad() {
    FILE=$BAD/$1
    printf '%b' "$2" >"$FILE"
}

bad_users() {
    local with=(REGISTRY_AUTH=htpasswd REGISTRY_AUTH_HTPASSWD_REALM=x)
    # shellcheck disable=SC2016 # hashes
    local apr1='$apr1$2YcTbDoR$qLvDB8aiuBDlXIVEIOYRf1' good
    good=$(cat "$AUTH/users")
    refuses_to_start auth.htpasswd.path "${with[@]}"
    refuses_to_start "$BAD/none" "${with[@]}" REGISTRY_AUTH_HTPASSWD_PATH="$BAD/none"
    refuses_to_start "$BAD" "${with[@]}" REGISTRY_AUTH_HTPASSWD_PATH="$BAD"
    for line in "ann:$apr1" 'ann:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=' 'ann:battery' ann ':x' "ann:\$2y\$05\$short" '\xff\xfe:x'; do
        bad users "$good\n\n$line\n"
        refuses_to_start "$FILE:" "${with[@]}" REGISTRY_AUTH_HTPASSWD_PATH="$FILE"
    done
    with=(REGISTRY_AUTH=htpasswd REGISTRY_AUTH_HTPASSWD_PATH="$AUTH/users")
    refuses_to_start auth.htpasswd.realm "${with[@]}" REGISTRY_AUTH_HTPASSWD_REALM='a "quoted" one'
}

bad_policies() {
    local with=(REGISTRY_AUTH=htpasswd REGISTRY_AUTH_HTPASSWD_REALM=x REGISTRY_AUTH_HTPASSWD_PATH="$AUTH/users") content
    refuses_to_start "$BAD/none" "${with[@]}" REGISTRY_AUTH_POLICY_PATH="$BAD/none"
    refuses_to_start "$BAD" "${with[@]}" REGISTRY_AUTH_POLICY_PATH="$BAD"
    for content in 'rules: [' 'rules: all' 'rule: []' 'rules: [{who: [ann]}]' 'rules: [{who: [ann], repositories: [a], actions: [fly]}]' \
        'rules: [{who: ["group:none"], repositories: [a], actions: [pull]}]' 'rules: [{who: [ann], repositories: ["A"], actions: [pull]}]' \
        'rules: [{who: [ann], repositories: [a], actions: [pull], deny: true}]' '\xff\xfe' ''; do
        bad policy.yml "$content"
        refuses_to_start "$FILE" "${with[@]}" REGISTRY_AUTH_POLICY_PATH="$FILE"
    done
    refuses_to_start auth.anonymous "${with[@]}" REGISTRY_AUTH_ANONYMOUS=push
    refuses_to_start auth.anonymous REGISTRY_AUTH_ANONYMOUS=pull
}

bad_keys() {
    local with=(REGISTRY_AUTH=token REGISTRY_AUTH_TOKEN_REALM=http://127.0.0.1/token
        REGISTRY_AUTH_TOKEN_SERVICE=registry.lan REGISTRY_AUTH_TOKEN_ISSUER=issuer.lan)
    local bundle=REGISTRY_AUTH_TOKEN_ROOTCERTBUNDLE jwks=REGISTRY_AUTH_TOKEN_JWKS name content missing
    for missing in REALM SERVICE ISSUER; do
        # shellcheck disable=SC2046 # words without blanks
        refuses_to_start "auth.token.${missing,,}" $(printf '%s\n' "${with[@]}" | grep -v "_$missing=") "$bundle=$AUTH/issuer.crt"
    done
    refuses_to_start auth.token "${with[@]}"
    for name in "$bundle" "$jwks"; do
        refuses_to_start "$BAD/none" "${with[@]}" "$name=$BAD/none"
        refuses_to_start "$BAD" "${with[@]}" "$name=$BAD"
        bad empty ''
        refuses_to_start "$FILE" "${with[@]}" "$name=$FILE"
        refuses_to_start "$AUTH/issuer.key" "${with[@]}" "$name=$AUTH/issuer.key"
    done
    bad cut "$(head -c 300 "$AUTH/issuer.crt")"
    refuses_to_start "$FILE" "${with[@]}" "$bundle=$FILE"
    for content in '{}' '{"keys": []}' '[]' '{"keys": [{"kty": "oct", "k": "eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHg"}]}' \
        '{"keys": [{"kty": "RSA", "e": "AQAB"}]}'; do
        bad keys.json "$content"
        refuses_to_start "$FILE" "${with[@]}" "$jwks=$FILE"
    done
    with=(REGISTRY_AUTH=htpasswd REGISTRY_AUTH_HTPASSWD_REALM=x REGISTRY_AUTH_HTPASSWD_PATH="$AUTH/users")
    bad own.key 'no key'
    openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-521 -out "$BAD/p521.key"
    for name in "$BAD/none" "$BAD" "$FILE" "$BAD/empty" "$AUTH/issuer.crt" "$BAD/p521.key"; do
        refuses_to_start "$name" "${with[@]}" REGISTRY_AUTH_TOKENSERVER_KEY="$name"
    done
    refuses_to_start auth.tokenserver.refresh "${with[@]}" REGISTRY_AUTH_TOKENSERVER_REFRESH=true
    refuses_to_start auth.tokenserver REGISTRY_AUTH_TOKENSERVER_ENABLED=true
}

# --- many at once ------------------------------------------------------------------------------------------------------------------------

# Half of them know users' names. Says `sent`, and how often which answer came when it is ended or has them all.
# shellcheck disable=SC2016 # Perl's own variables
FLOOD='
    use IO::Socket; use IO::Select; use MIME::Base64;
    $| = 1;
    my ($port, $target, $count, @users) = @ARGV;
    my (%answers, $open);
    sub told { print "$_ $answers{$_}\n" for sort keys %answers; print "waiting $open\n"; exit }
    $SIG{TERM} = \&told;
    my $select = IO::Select->new;
    for my $n (1 .. $count) {
        my $user = $n % 2 ? $users[$n / 2 % @users] : "nobody$n";
        my $basic = encode_base64("$user:mistaken$n", "");
        my $s = IO::Socket::INET->new(PeerAddr => "127.0.0.1", PeerPort => $port) or die "connection $n: $!\n";
        syswrite($s, "GET $target HTTP/1.1\r\nHost: 127.0.0.1:$port\r\nAuthorization: Basic $basic\r\nConnection: close\r\n\r\n");
        $select->add($s);
        $open++;
    }
    print "sent\n";
    while ($open) {
        for my $s ($select->can_read(60)) {
            my $got = sysread($s, my $text, 4096);
            $answers{$1}++ if $got && $text =~ /^HTTP\/1.1 (\d+)/;
            next if $got;
            $select->remove($s);
            $open--;
        }
    }
    told();
'

# soon WHAT [CURL ARGUMENT...]: ten times, each under a second.
soon() {
    local what=$1 i took
    shift
    for ((i = 0; i < 10; i++)); do
        took=$(curl -fsS -o /dev/null -w '%{time_total}' -H "Accept: $ACCEPT" "$@")
        awk -v t="$took" 'BEGIN { exit !(t < 1) }' || { echo "$what took $took s" && return 1; }
    done
    echo "$what: the last took $took s"
}

# flooded TARGET COMMAND...: while 500 wrong passwords are being checked at the target.
flooded() {
    local target=$1 pid
    shift
    perl -e "$FLOOD" "$REGISTRY_PORT" "$target" 500 "$WRITER" "$READER" >"$WORK/flood" 2>&1 &
    pid=$!
    STARTED_PIDS+=("$pid")
    await 'the crowd' "$WORK/flood" grep sent "$WORK/flood"
    "$@"
    # They are not through yet.
    kill -0 "$pid"
    end "$pid"
    cat "$WORK/flood"
    expect 'answers' '' "$(grep -vE '^(sent|401 |429 |waiting )' "$WORK/flood" || true)"
    (($(sed -n 's/^waiting //p' "$WORK/flood") > 0))
}

others_with_passwords() {
    local manifest=http://$HOST/v2/public/seed/manifests/latest
    soon 'a user who is remembered' -u "$ME" "$manifest"
    soon 'who is nobody' "$manifest"
    soon 'a probe' "http://$HOST/"
}

others_with_tokens() {
    local manifest=http://$HOST/v2/public/seed/manifests/latest
    soon 'a token of before' -H "Authorization: Bearer $TOKEN" "$manifest"
    soon 'a new token' -u "$ME" "$REALM?service=$SERVICE"
    soon "nobody's token" "$REALM?service=$SERVICE"
}

# --- a user who is removed -----------------------------------------------------------------------------------------------------------------

# Another scenario may use the time that this takes.
remove_reader() {
    answers 200 'before' -u "$READER:$PASSWORD" "http://$HOST/v2/"
    "$PROGRAM" user remove "$READER" --file "$AUTH/users"
    REMOVED_AT=$SECONDS
}
removed() {
    while ((SECONDS - REMOVED_AT <= NOTICED)); do
        if [[ $(status_of -u "$READER:$PASSWORD" "http://$HOST/v2/") == 401 ]]; then break; fi
        sleep 0.2
    done
    answers 401 'after a while' -u "$READER:$PASSWORD" "http://$HOST/v2/"
    answers 200 'another user' -u "$ME" "http://$HOST/v2/"
}

# --- all of it ---------------------------------------------------------------------------------------------------------------------------------

seed() { expect 'push' 201 "$(put_seed "$@")"; }

mkdir "$BAD"
head -c 200000 /dev/zero | tr '\0' 'a' >"$WORK/form"
make_users "$AUTH/users" 4 "$WRITER" "$READER"
make_policy
issuer_start

scenario files 'users' bad_users
scenario files 'rules' bad_policies
scenario files 'keys of tokens' bad_keys
auth_start policy REGISTRY_LOG_LEVEL=trace
scenario passwords 'a first push' seed -u "$ME"
remove_reader >"$WORK/removed"
scenario passwords 'headers that are malformed' malformed
scenario passwords 'and those that only look so' well_formed
scenario passwords 'a user who is removed is out within 10 s' removed
registry_stop
make_users "$AUTH/users" 12 "$WRITER" "$READER"
auth_start policy
# Who is remembered.
status_of -u "$ME" "http://$HOST/v2/" >/dev/null
scenario passwords '500 wrong ones at once (cost 12) delay nobody else' flooded /v2/ others_with_passwords
registry_stop
auth_start external REGISTRY_LOG_LEVEL=trace
scenario tokens 'headers that are malformed' malformed
scenario tokens 'forged, expired, and of other issuers' forged
registry_stop
auth_start tokens REGISTRY_LOG_LEVEL=trace
find_realm
scenario tokens 'scopes that are malformed, or of too much' scopes
scenario tokens 'requests for tokens that are malformed' token_requests
TOKEN=$(asks -u "$ME" --data-urlencode 'scope=repository:public/seed:pull,push' | jq -r .token)
scenario tokens 'a push with one' seed -H "Authorization: Bearer $TOKEN"
scenario tokens 'headers that are malformed, with a server of our own' malformed
scenario tokens '500 wrong passwords at once (cost 12) delay nobody else' \
    flooded "${REALM#"http://$HOST"}?service=$SERVICE" others_with_tokens
registry_stop
scenario logs 'no password and no token is in them' no_secret_in "$WORK/registry.log" "$WORK/access.log"
summary
