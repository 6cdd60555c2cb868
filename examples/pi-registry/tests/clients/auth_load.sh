#!/usr/bin/env bash
# What signing in costs: manifests per second, open, with a password (bcrypt, cost 10) and with tokens, beside Debian's
# docker-registry, and how long unknown users and wrong passwords take. Not one of all.sh's, since figures need a machine that does
# nothing else.
#
# The server has the first core for itself, and wrk the second. SECONDS_EACH=5 says how long wrk pulls in a round, ROUNDS=3 how
# often they take turns; the median counts. SAMPLES=20 passwords are tried of each kind.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=engines.sh
source "$CLIENTS_DIR/engines.sh"
# shellcheck source=auth_lib.sh
source "$CLIENTS_DIR/auth_lib.sh"
need curl jq ss taskset wrk docker-registry
(($(nproc) >= 2)) || die 'it takes two cores'

SECONDS_EACH=${SECONDS_EACH:-5}
ROUNDS=${ROUNDS:-3}
SAMPLES=${SAMPLES:-20}
ME=$WRITER:$PASSWORD
NAMES=()
declare -A AT WITH

# serve NAME MODE WORD...: a registry of its own, and how one is let in.
serve() {
    local name=$1 mode=$2 service
    shift 2
    REGISTRY_PORT='' REGISTRY_BIN="taskset -c 0 $* $WORK/config.yml"
    auth_start "$mode" REGISTRY_LOG_LEVEL=warn REGISTRY_LOG_ACCESSLOG_DISABLED=true
    NAMES+=("$name")
    AT[$name]=$HOST
    WITH[$name]="Authorization: Basic $(printf '%s' "$ME" | base64 -w 0)"
    case $mode in
    open) WITH[$name]='X-Nothing: at all' ;;
    tokens)
        service=$(curl -s -o /dev/null -D - "http://$HOST/v2/" | sed -n 's/.*service="\([^"]*\)".*/\1/p')
        WITH[$name]="Authorization: Bearer $(curl -fsS -u "$ME" -G --data-urlencode "service=$service" \
            -d 'scope=repository:public/seed:pull,push' "http://$HOST/token" | jq -r .token)"
        ;;
    esac
    expect "push to $name" 201 "$(put_seed -H "${WITH[$name]}")"
}

pulls() {
    taskset -c 1 wrk -t 1 -c 8 -d "${SECONDS_EACH}s" -H "${WITH[$1]}" -H "Accept: $ACCEPT" \
        "http://${AT[$1]}/v2/public/seed/manifests/latest" >"$WORK/wrk"
    if grep 'Non-2xx' "$WORK/wrk"; then return 1; fi
    sed -n 's/^Requests\/sec: *\([0-9]*\).*/\1/p' "$WORK/wrk"
}

median() { sort -n "$1" | sed -n "$((($(wc -l <"$1") + 1) / 2))p"; }

make_users "$AUTH/users" 10 "$WRITER" "$READER"
make_policy
for mode in open htpasswd policy tokens; do serve "pi-registry-$mode" "$mode" "$PROGRAM"; done
for mode in open htpasswd; do serve "docker-registry-$mode" "$mode" docker-registry serve; done

for ((round = 0; round < ROUNDS; round++)); do
    for name in "${NAMES[@]}"; do pulls "$name" >>"$WORK/rate.$name"; done
done
printf 'manifests per second, one core, 8 connections; the median of %s\n' "$ROUNDS"
for name in "${NAMES[@]}"; do printf '%-28s %8s\n' "$name" "$(median "$WORK/rate.$name")"; done

# Taking turns, so that what else the machine does is the same for both.
HOST=${AT[pi-registry-htpasswd]}
for ((sample = 0; sample < SAMPLES; sample++)); do
    for who in "unknown $RANDOM-nobody" "wrong $WRITER"; do
        curl -s -o /dev/null -w '%{time_total}\n' -u "${who#* }:mistaken $sample" "http://$HOST/v2/" >>"$WORK/took.${who%% *}"
    done
done
for who in unknown wrong; do printf '%-28s %8s s, the median of %s\n' "$who" "$(median "$WORK/took.$who")" "$SAMPLES"; done
