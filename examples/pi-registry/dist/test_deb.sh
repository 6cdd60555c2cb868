#!/usr/bin/env bash
# The Debian package in a plain Debian (mmdebstrap): installed, begun as it says, served by its user as the unit would, upgraded with
# an edited configuration, removed and purged. Needs root.
#
#   REGISTRY_BIN=PROGRAM   another program than target/release/pi-registry: build.sh's, say
source "$(dirname "${BASH_SOURCE[0]}")/../tests/clients/lib.sh"
need curl jq ss tar gzip openssl crane dpkg-deb mmdebstrap perl systemd-analyze
DIST=$CLIENTS_DIR/../../dist
PROGRAM=${REGISTRY_BIN:-${CARGO_TARGET_DIR:-$REPO_DIR/target}/release/pi-registry}
HERE=$(dpkg --print-architecture) ROOT=$WORK/root CONFIG=/etc/pi-registry PASSWORD=correct-horse-battery PORT=$(free_port)
HOST=localhost:$PORT
chmod 711 "$WORK"

# package VERSION FOLDER: prints its path.
package() {
    install -D "$PROGRAM" "$2/pi-registry-$HERE"
    HOME=$HOME_BEFORE VERSION=$1 DIST_OUT=$2 "$DIST/deb.sh" "$HERE" >&2
    echo "$2/pi-registry_$1_$HERE.deb"
}
inside() { env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin DEBIAN_FRONTEND=noninteractive chroot "$ROOT" "$@"; }
as_service() { inside setpriv --reuid pi-registry --regid pi-registry --clear-groups --no-new-privs "$@"; }
install_it() { cp "$1" "$ROOT/tmp/it.deb" && inside dpkg -i /tmp/it.deb; }

reproducible() {
    local one
    one=$(package 0.1.0 "$WORK/one")
    sleep 1
    cmp "$one" "$(package 0.1.0 "$WORK/two")"
}

unit() {
    local unit=$DIST/debian/pi-registry.service exposure
    sed "s#/usr/bin/pi-registry#$PROGRAM#; /^Documentation/d" "$unit" >"$WORK/pi-registry.service"
    systemd-analyze verify "$WORK/pi-registry.service"
    exposure=$(systemd-analyze security --offline=true --no-pager "$unit" | sed -n 's/.*exposure level for .*: \([0-9.]*\) .*/\1/p')
    echo "exposure $exposure"
    awk -v e="$exposure" 'BEGIN { exit !(e > 0 && e < 2) }'
}

installs() {
    install_it "$(package 0.1.0 "$WORK/one")" | tee "$WORK/said"
    grep -q 'pi-registry init --dir /etc/pi-registry' "$WORK/said"
    expect 'owner' 'pi-registry 750' "$(inside stat -c '%U %a' $CONFIG)"
    inside test -e /usr/share/man/man1/pi-registry-verify.1.gz
    inside bash -n /usr/share/bash-completion/completions/pi-registry
    # As it says.
    as_service pi-registry init --dir $CONFIG --host registry.local --user alice <<<"$PASSWORD"
    as_service pi-registry check $CONFIG/config.yml
}

serves() {
    local manager
    inside sed -i "s/addr: :5000/addr: 127.0.0.1:$PORT/" $CONFIG/config.yml
    # What systemd would be told.
    perl -MIO::Socket::UNIX -e 'my $s = IO::Socket::UNIX->new(Type => SOCK_DGRAM, Local => $ARGV[0]) or die $!; chmod 0777, $ARGV[0];
        $s->recv(my $m, 4096); print $m' "$ROOT/tmp/notify" >"$WORK/told" &
    manager=$!
    for ((i = 0; i < 50; i++)); do [[ ! -S $ROOT/tmp/notify ]] || break && sleep 0.1; done
    as_service env NOTIFY_SOCKET=/tmp/notify pi-registry serve $CONFIG/config.yml >"$WORK/registry.log" 2>&1 &
    echo $! >"$WORK/pid"
    wait "$manager"
    grep -qx 'READY=1' "$WORK/told"
    curl -fsk -o "$WORK/ca.crt" "https://$HOST/ca.crt"
    export SSL_CERT_FILE=$WORK/ca.crt
    crane auth login "$HOST" -u alice -p "$PASSWORD"
    crane push "$WORK/image" "$HOST/app:v1"
    crane validate --remote "$HOST/app:v1"
    end "$(cat "$WORK/pid")"
    inside test -d /var/lib/pi-registry/docker/registry/v2/repositories/app
}

upgrades() {
    inside sed -i 's/^# Who may pull/# Mine. Who may pull/' $CONFIG/config.yml
    install_it "$(package 0.2.0 "$WORK/two")"
    expect version 0.2.0 "$(inside dpkg -s pi-registry | sed -n 's/^Version: //p')"
    inside grep -q '^# Mine' $CONFIG/config.yml
    inside test -e $CONFIG/tls.key
}

removes() {
    inside dpkg -r pi-registry
    inside test ! -e /usr/bin/pi-registry
    inside test -e $CONFIG/config.yml
    inside dpkg -P pi-registry
    inside test ! -e $CONFIG
    # Images are never removed.
    inside test -d /var/lib/pi-registry/docker/registry/v2/repositories/app
}

mkdir -p "$WORK/layers"
layer_make "$WORK/layers/one" one 100000
make_image "$WORK/image" app "$HERE" "$WORK/layers/one"
scenario deb 'the same program makes the same package' reproducible
scenario systemd 'the unit is valid, and as closed as can be' unit
mmdebstrap --quiet --variant=apt --include=adduser "$(. /etc/os-release && echo "$VERSION_CODENAME")" "$ROOT" >"$WORK/mmdebstrap.log" 2>&1 ||
    die "no plain Debian: $(tail -n 5 "$WORK/mmdebstrap.log")"
scenario deb 'installs, and begins as it says' installs
scenario deb 'serves by its user, and says that it is ready' serves
scenario deb 'an upgrade keeps the configuration' upgrades
scenario deb 'is removed, and purged without the images' removes
summary
