#!/usr/bin/env bash
# The Open Container Initiative's own conformance suite, at the level of the spec's main branch.
# Everything with reference checks on, then sparse manifests with them off, which the suite tests only on request; and everything
# once more with a password, with tokens of the built-in server, and with everything in a bucket of MinIO.
# With CONFORMANCE_RESULTS=DIR the reports (results.yaml, junit.xml, report.html) are kept there.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=engines.sh
source "$CLIENTS_DIR/engines.sh"
# shellcheck source=object_lib.sh
source "$CLIENTS_DIR/object_lib.sh"
# shellcheck source=conformance_lib.sh
source "$CLIENTS_DIR/conformance_lib.sh"
need curl jq ss conformance

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

minio_start plain
bucket_make "$BUCKET"
object_start
suite object
registry_stop
show object
scenario conformance "the first on MinIO: $(count object Pass || echo no) passes" judge object "$MIN_PASS"
minio_stop

# Other programs are not told here how to let somebody in.
if [[ -n $OURS ]]; then
    "$PROGRAM" htpasswd -inB -C 10 someone <<<'some password' | grep . >"$WORK/users"
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
