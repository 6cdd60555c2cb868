# What run.sh and slow.sh share: the libraries, which program makes the load, the cores, the table. Sourced first.
# shellcheck shell=bash
# shellcheck disable=SC2034 # the scripts' that source this
BENCH_DIR=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=../tests/clients/lib.sh
source "$BENCH_DIR/../tests/clients/lib.sh"
# shellcheck source=../tests/clients/engines.sh
source "$CLIENTS_DIR/engines.sh"
# shellcheck source=../tests/clients/tls_lib.sh
source "$CLIENTS_DIR/tls_lib.sh"
# shellcheck source=../tests/clients/auth_lib.sh
source "$CLIENTS_DIR/auth_lib.sh"
# shellcheck source=servers.sh
source "$BENCH_DIR/servers.sh"

SERVER_CORES=${SERVER_CORES:-0}
LOAD_CORES=${LOAD_CORES:-1}

LOAD=${PROGRAM%/*}/registry-load
[[ -x $LOAD ]] || LOAD=${CARGO_TARGET_DIR:-$REPO_DIR/target}/release/registry-load
[[ -x $LOAD ]] || die "$LOAD is missing: cargo build --release -p registry-load"
need curl jq ss openssl taskset awk
ON_SERVER=(taskset -c "$SERVER_CORES") ON_LOAD=(taskset -c "$LOAD_CORES")
(($(nproc) >= 2)) || { ON_SERVER=(env) ON_LOAD=(env) && echo 'one core: servers and load share it'; }
# For many connections; where it is not allowed, those measurements fail by themselves.
ulimit -n 65536 2>/dev/null || true

# load SUBCOMMAND [ARGUMENT...]
load() { "${ON_LOAD[@]}" "$LOAD" "$@"; }

TABLE=$WORK/table.tsv
: >"$TABLE"

# record QUANTITY NAME VALUE DIGITS more|less: one line of the table, whether more of it is better or less.
record() { printf '%s\t%s\t%s\t%s\t%s\n' "$@" >>"$TABLE"; }

# record_value WHAT NAME VALUE DIGITS: less of it is better.
record_value() {
    echo "$1: $2: $3"
    record "$1" "$2" "$3" "$4" less
}

show_table() {
    echo
    awk -F '\t' -v servers="${SERVERS[*]}" -f "$BENCH_DIR/table.awk" "$TABLE"
}
