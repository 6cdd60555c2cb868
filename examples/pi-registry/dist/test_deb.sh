#!/usr/bin/env bash
# The Debian package in a plain Debian (mmdebstrap) that systemd has booted (systemd-nspawn, with a network of its own): installed
# by one command, used by a user that is added, upgraded with an edited configuration, with a port below 1024, removed and purged.
# Needs root.
#
#   REGISTRY_BIN=PROGRAM   another program than target/release/pi-registry: build.sh's, say
source "$(dirname "${BASH_SOURCE[0]}")/../tests/clients/lib.sh"
need curl jq ss openssl tar gzip crane dpkg-deb mmdebstrap systemd-analyze systemd-nspawn nsenter setpriv
DIST=$CLIENTS_DIR/../../dist
PROGRAM=${REGISTRY_BIN:-${CARGO_TARGET_DIR:-$REPO_DIR/target}/release/pi-registry}
HERE=$(dpkg --print-architecture) ROOT=$WORK/root CONFIG=/etc/pi-registry IMAGES=/var/lib/pi-registry PASSWORD=correct-horse-battery
HOST=localhost:5000
chmod 711 "$WORK"

# --- a machine --------------------------------------------------------------------------------------------------------

boot() {
    local i nspawn
    mmdebstrap --quiet --variant=apt --include=adduser,systemd-sysv "$(. /etc/os-release && echo "$VERSION_CODENAME")" "$ROOT" \
        >"$WORK/mmdebstrap.log" 2>&1 || die "no plain Debian: $(tail -n 5 "$WORK/mmdebstrap.log")"
    echo raspberrypi >"$ROOT/etc/hostname"
    systemd-nspawn --quiet --register=no --keep-unit --private-network -D "$ROOT" -b \
        >"$WORK/boot.log" 2>&1 </dev/null &
    nspawn=$!
    STARTED_PIDS+=("$nspawn")
    for ((i = 0; i < 300; i++)); do
        MACHINE=$(pgrep -P "$nspawn" || true)
        # Degraded, too: some of Debian's own services are not for containers.
        [[ -z $MACHINE || $(inside systemctl is-system-running 2>&1) != @(running|degraded) ]] || return 0
        kill -0 "$nspawn" || break
        sleep 0.2
    done
    die "systemd did not boot: $(tail -n 5 "$WORK/boot.log")"
}

# inside COMMAND...: as root there.
inside() { nsenter -t "$MACHINE" -a env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin DEBIAN_FRONTEND=noninteractive LC_ALL=C "$@"; }
as_user() { inside setpriv --reuid pi-registry --regid pi-registry --clear-groups "$@"; }
# near COMMAND...: this machine's program on that one's network.
near() { nsenter -t "$MACHINE" -n "$@"; }

# package VERSION FOLDER: prints its path.
package() {
    install -D "$PROGRAM" "$2/pi-registry-$HERE"
    HOME=$HOME_BEFORE VERSION=$1 DIST_OUT=$2 "$DIST/deb.sh" "$HERE" >&2
    echo "$2/pi-registry_$1_$HERE.deb"
}
install_it() { cp "$1" "$ROOT/root/it.deb" && inside apt-get install -y --no-install-recommends /root/it.deb; }

# answers STATUS URL [SECONDS]: so soon, three by default.
answers() {
    local i status
    for ((i = 0; i < ${3:-3} * 10; i++)); do
        status=$(near curl -sk -o /dev/null -w '%{http_code}' "$2" || true)
        [[ $status != "$1" ]] || return 0
        sleep 0.1
    done
    inside journalctl -u pi-registry -n 10 --no-pager
    expect "$2" "$1" "$status"
}

# --- scenarios --------------------------------------------------------------------------------------------------------

reproducible() {
    local one
    one=$(package 0.1.0 "$WORK/one")
    sleep 1
    cmp "$one" "$(package 0.1.0 "$WORK/two")"
}

unit() {
    local unit exposure
    for unit in "$DIST"/debian/*.service; do
        sed "s#/usr/bin/pi-registry#$PROGRAM#; /^Documentation/d" "$unit" >"$WORK/$(basename "$unit")"
    done
    systemd-analyze verify "$WORK"/pi-registry*.service
    exposure=$(systemd-analyze security --offline=true --no-pager "$DIST/debian/pi-registry.service" | sed -n 's/.*exposure level for .*: \([0-9.]*\) .*/\1/p')
    echo "exposure $exposure"
    awk -v e="$exposure" 'BEGIN { exit !(e > 0 && e < 2) }'
}

# The name of a processor is all that a package knows of it.
wrong_processor() {
    mkdir "$ROOT/root/bin"
    printf '#!/bin/sh\necho armv6l\n' >"$ROOT/root/bin/uname"
    chmod 755 "$ROOT/root/bin/uname"
    cp "$WORK/one/pi-registry_0.1.0_$HERE.deb" "$ROOT/root/it.deb"
    ! inside env PATH=/root/bin:/usr/sbin:/usr/bin:/sbin:/bin dpkg -i /root/it.deb >"$WORK/said" 2>&1 || return 1
    grep '^pi-registry: this processor is an ARMv6' "$WORK/said"
    inside test ! -e /usr/bin/pi-registry
}

# Nor is a program packed as what it is not.
wrong_program() {
    local other=arm64
    [[ $HERE != arm64 ]] || other=amd64
    cp "$WORK/one/pi-registry-$HERE" "$WORK/one/pi-registry-$other"
    ! HOME=$HOME_BEFORE DIST_OUT=$WORK/one "$DIST/deb.sh" "$other" 2>"$WORK/said" || return 1
    grep "there is no program for $other; run .*build.sh $other" "$WORK/said"
}

installs() {
    install_it "$(package 0.1.0 "$WORK/one")" | tee "$WORK/said"
    grep -q 'pi-registry user add --config /etc/pi-registry/config.yml' "$WORK/said"
    expect owner 'pi-registry 750' "$(inside stat -c '%U %a' $CONFIG)"
    expect key 'pi-registry 600' "$(inside stat -c '%U %a' $CONFIG/tls.key)"
    inside test -e /usr/share/man/man1/pi-registry-verify.1.gz
    inside bash -n /usr/share/bash-completion/completions/pi-registry
    expect service 'active notify' "$(inside systemctl show pi-registry -P ActiveState) $(inside systemctl show pi-registry -P Type)"
    expect 'at boot' enabled "$(inside systemctl is-enabled pi-registry)"
    # Of nobody yet.
    answers 401 "https://$HOST/v2/"
    near curl -fsk -o "$WORK/ca.crt" "https://$HOST/ca.crt"
    near curl -fsS --cacert "$WORK/ca.crt" --resolve raspberrypi.local:5000:127.0.0.1 https://raspberrypi.local:5000/
}

pushes() {
    as_user pi-registry user add --config $CONFIG/config.yml alice <<<"$PASSWORD"
    export SSL_CERT_FILE=$WORK/ca.crt
    # Until the running registry has noticed.
    for ((i = 0; i < 150; i++)); do
        [[ $(near curl -s --cacert "$WORK/ca.crt" -o /dev/null -w '%{http_code}' -u "alice:$PASSWORD" "https://$HOST/v2/") != 200 ]] || break
        sleep 0.1
    done
    near crane auth login "$HOST" -u alice -p "$PASSWORD"
    near crane push "$WORK/image" "$HOST/app:v1"
    near crane validate --remote "$HOST/app:v1"
    inside test -d $IMAGES/docker/registry/v2/repositories/app
}

upgrades() {
    inside sed -i 's/^# Who may pull/# Mine. Who may pull/' $CONFIG/config.yml
    install_it "$(package 0.2.0 "$WORK/two")"
    # shellcheck disable=SC2016 # dpkg's own variable
    expect version 0.2.0 "$(inside dpkg-query -W -f '${Version}' pi-registry)"
    inside grep -q '^# Mine' $CONFIG/config.yml
    SSL_CERT_FILE=$WORK/ca.crt near crane validate --remote "$HOST/app:v1"
}

port_443() {
    inside sed -i 's/addr: :5000/addr: :443/' $CONFIG/config.yml
    inside systemctl restart pi-registry
    answers 401 https://localhost/v2/
}

# A line in the journal says what is wrong.
says() {
    inside sed -i 's/addr: :443/addr: :99999/' $CONFIG/config.yml
    ! inside systemctl restart pi-registry || return 1
    inside journalctl -u pi-registry -n 20 --no-pager -o cat | tee "$WORK/journal"
    grep "config.yml:[0-9]*: http.addr" "$WORK/journal"
    inside sed -i 's/addr: :99999/addr: :5000/' $CONFIG/config.yml
    inside systemctl reset-failed pi-registry
    inside systemctl restart pi-registry
}

# Nobody must wait for systemd to kill it.
stops() {
    inside systemctl stop pi-registry
    expect result success "$(inside systemctl show pi-registry -P Result)"
    as_user pi-registry check $CONFIG/config.yml
    inside systemctl start pi-registry
}

# Removed and installed again, it goes on with its keys; what was switched off stays off.
removes() {
    inside apt-get remove -y pi-registry
    inside test ! -e /usr/bin/pi-registry
    inside test -e $CONFIG/config.yml
    install_it "$WORK/two/pi-registry_0.2.0_$HERE.deb"
    SSL_CERT_FILE=$WORK/ca.crt near crane validate --remote "$HOST/app:v1"
    inside systemctl disable --now pi-registry
    inside apt-get remove -y pi-registry
    install_it "$WORK/two/pi-registry_0.2.0_$HERE.deb"
    expect 'after that' inactive "$(inside systemctl is-active pi-registry || true)"
}

purges() {
    inside apt-get purge -y pi-registry
    inside test ! -e $CONFIG
    # Images are never removed.
    inside test -d $IMAGES/docker/registry/v2/repositories/app
}

# Without a system that runs: no key that all boards with this image would share, but at the first start.
images() {
    cp "$WORK/one/pi-registry_0.1.0_$HERE.deb" "$ROOT/root/it.deb"
    env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin chroot "$ROOT" dpkg -i /root/it.deb
    inside test ! -e $CONFIG/tls.key
    inside systemctl daemon-reload
    # As at boot.
    inside systemctl start multi-user.target
    answers 401 "https://$HOST/v2/"
}

# The power went between the two files.
half_made() {
    inside rm $CONFIG/tls.crt
    inside systemctl restart pi-registry
    answers 401 "https://$HOST/v2/"
}

# What keeps it from making them is mended, and it needs no word about that.
init_fails() {
    inside rm $CONFIG/tls.{key,crt}
    inside chown root $CONFIG
    ! inside systemctl restart pi-registry || return 1
    inside journalctl -u pi-registry-init -n 5 --no-pager -o cat | tee "$WORK/journal"
    grep 'no permission' "$WORK/journal"
    inside chown pi-registry $CONFIG
    answers 401 "https://$HOST/v2/" 20
}

mkdir -p "$WORK/layers"
layer_make "$WORK/layers/one" one 100000
make_image "$WORK/image" app "$HERE" "$WORK/layers/one"
scenario deb 'the same program makes the same package' reproducible
scenario systemd 'the unit is valid, and as closed as can be' unit
scenario deb 'a program for another machine is refused' wrong_program
boot
scenario deb 'a processor that it is not for is refused' wrong_processor
scenario deb 'one command installs it, and it serves' installs
scenario systemd 'a user who is added pushes' pushes
scenario deb 'an upgrade keeps the configuration' upgrades
scenario systemd 'a port below 1024' port_443
scenario systemd 'what is wrong is told in the journal' says
scenario systemd 'stops in order' stops
scenario deb 'is removed and installed again' removes
scenario deb 'is purged without the images' purges
scenario deb 'in an image for many boards it makes keys at the first start' images
scenario systemd 'makes the rest of what was half made' half_made
scenario systemd 'is there once its keys can be made' init_fails
summary
