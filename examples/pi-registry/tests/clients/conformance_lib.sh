# The Open Container Initiative's conformance suite, against the registry that runs. Sourced after lib.sh.
# shellcheck shell=bash

# Fewer passes than this mean that the suite gave up early, which it does not always call a failure.
MIN_PASS=${MIN_PASS:-950}

# suite NAME VARIABLE=VALUE...: leaves the output in $WORK/NAME.out.
suite() {
    local name=$1 results=${CONFORMANCE_RESULTS:-$WORK/conformance}/$1
    shift
    # The settings have defaults for every switch of the version; a configuration file lying about must not change them.
    env OCI_CONFIGURATION=/dev/null OCI_VERSION=dev OCI_REGISTRY="$HOST" OCI_TLS=disabled \
        OCI_REPO1=conformance/one OCI_REPO2=conformance/two OCI_RESULTS_DIR="$results" \
        "$@" timeout 600 conformance >"$WORK/$name.out" 2>"$WORK/$name.err" || true
}

# count NAME STATUS: from the suite's own summary; fails when there is none.
count() {
    sed -n '/^OCI Conformance Result/,$p' "$WORK/$1.out" | sed -n "s/^  $2\.*: *\([0-9]*\)$/\1/p" | grep .
}

show() {
    local names=$WORK/$1.names
    echo "--- conformance, $1"
    sed -n '/^OCI Conformance Result/,/^  Total/p' "$WORK/$1.out"
    # A node is followed by its reasons. Inner nodes say again what their children say.
    sed -n '/^Test results/,/^Configuration:/p' "$WORK/$1.out" |
        awk '/: (Pass|FAIL|Skip|Error|Disabled|Unknown)$/ { show = !/: Pass$/ } /^Configuration:/ { exit } show && NF' |
        cut -c 1-250 >"$names"
    if [[ -s $names ]]; then
        echo "    not passed, by name (the first 100 of $(wc -l <"$names") lines):"
        head -n 100 "$names"
    fi
}

# judge NAME MIN_PASS: nothing may fail, be skipped, disabled or in error.
judge() {
    local name=$1 pass status
    pass=$(count "$name" Pass) || { cat "$WORK/$name.err" && return 1; }
    for status in FAIL Skip Error Disabled; do expect "$status" 0 "$(count "$name" "$status")"; done
    ((pass >= $2)) || { echo "only $pass passes, at least $2 expected" && return 1; }
}
