#!/usr/bin/env bash
# The Open Container Initiative's own conformance suite, at the level of the spec's main branch.
# Everything with reference checks on, then sparse manifests with them off, which the suite tests only on request; and everything
# once more with a password, and with tokens of the built-in server.
# With CONFORMANCE_RESULTS=DIR the reports (results.yaml, junit.xml, report.html) are kept there.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need curl jq ss conformance

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

registry_start "$WORK/data-checked"
suite main
registry_stop
show main
scenario conformance "main branch of the spec: $(count main Pass || echo no) passes, all else must be 0" judge main "$MIN_PASS"

registry_start "$WORK/data-sparse" REGISTRY_VALIDATION_DISABLED=true
suite sparse OCI_DATA_SPARSE=true
registry_stop
show sparse
scenario conformance "the same with sparse manifests: $(count sparse Pass || echo no) passes" judge sparse "$((MIN_PASS + 10))"

# Other programs are not told here how to let somebody in.
if [[ ${REGISTRY_BIN:-} != peer && ${REGISTRY_BIN:-} != *' '* ]]; then
    read -r program _ <<<"$(registry_command)"
    "$program" htpasswd -inB -C 10 someone <<<'some password' | grep . >"$WORK/users"
    for way in password tokens; do
        # /v2/ asks for a password.
        PING=/ registry_start "$WORK/data-$way" REGISTRY_AUTH=htpasswd REGISTRY_AUTH_HTPASSWD_REALM=ours \
            REGISTRY_AUTH_HTPASSWD_PATH="$WORK/users" REGISTRY_AUTH_TOKENSERVER_ENABLED="$([[ $way == tokens ]] && echo true || echo false)"
        scenario conformance "$way: without them nothing is let in" expect status 401 "$(status_of "http://$HOST/v2/")"
        suite "$way" OCI_USERNAME=someone OCI_PASSWORD='some password'
        registry_stop
        show "$way"
        scenario conformance "the first with $way: $(count "$way" Pass || echo no) passes" judge "$way" "$MIN_PASS"
    done
fi
summary
