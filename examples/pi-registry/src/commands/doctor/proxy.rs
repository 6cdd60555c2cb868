//! Step 2: whether requests take a way over a proxy that should not.
//!
//! | who | reads |
//! |---|---|
//! | this shell (podman, skopeo, curl, `docker login` of plugins) | its variables |
//! | docker's daemon | `"proxies"` in `/etc/docker/daemon.json`, else its unit's `Environment=` |
//! | containerd | its unit's `Environment=` |
//! | k3s, RKE2 | the environment files of its units; `CONTAINERD_…` first |
//!
//! They are programs in Go: [`passes_by`] decides as its `httpproxy` does.
//! `ALL_PROXY` is curl's alone.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use registry_tls::HostName;
use registry_tls::trust::RegistryAddress;

use super::machine::Machine;
use crate::commands::report::Report;

const NAMES: [&str; 4] = ["HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy"];

type Variables = BTreeMap<String, String>;

/// Somebody's settings.
#[derive(Debug)]
struct Settings {
    who: &'static str,
    /// Where to change them.
    place: String,
    /// What to run after a change.
    then: &'static str,
    variables: Variables,
}

pub(super) fn check(machine: &Machine, address: &RegistryAddress, report: &mut Report) {
    let mut found = false;
    for settings in all(machine) {
        let get = |name: &str| {
            settings
                .variables
                .get(name)
                .filter(|value| !value.is_empty())
        };
        let either = |upper, lower| get(upper).or_else(|| get(lower));
        let Some(proxy) = either("HTTPS_PROXY", "https_proxy") else {
            continue;
        };
        found = true;
        let (who, proxy) = (settings.who, without_password(proxy));
        let exceptions = either("NO_PROXY", "no_proxy").map_or("", String::as_str);
        if passes_by(exceptions, address) {
            let text = format!("{who} asks the registry without the proxy {proxy}");
            report.ok("proxy", &text);
            continue;
        }
        let (host, place, then) = (address.host(), &settings.place, settings.then);
        report.warning(
            "proxy",
            &format!(
                "{who} asks the registry through the proxy {proxy}: if the proxy does not know \
                 it, add {host} to NO_PROXY in {place}{then}"
            ),
        );
    }
    if let Some(proxy) = machine
        .variable("ALL_PROXY")
        .or(machine.variable("all_proxy"))
    {
        let text = format!(
            "ALL_PROXY is {}: only curl heeds it",
            without_password(proxy)
        );
        report.ok("proxy", &text);
    }
    if !found {
        report.ok("proxy", "none is set for HTTPS");
    }
}

fn all(machine: &Machine) -> Vec<Settings> {
    let here = NAMES
        .iter()
        .filter_map(|name| Some(((*name).to_owned(), machine.variable(name)?.to_owned())));
    let mut all = vec![Settings {
        who: "this shell",
        place: "the environment of this shell".to_owned(),
        then: "",
        variables: here.collect(),
    }];
    all.push(daemon_json(machine).unwrap_or_else(|| unit(machine, "docker")));
    all.push(unit(machine, "containerd"));
    for (who, then) in [
        ("k3s", ", then systemctl try-restart 'k3s*.service'"),
        ("rke2", ", then systemctl try-restart 'rke2*.service'"),
    ] {
        all.extend(service_files(machine, who, then));
    }
    all
}

fn daemon_json(machine: &Machine) -> Option<Settings> {
    const PATH: &str = "/etc/docker/daemon.json";
    let daemon: serde_json::Value = serde_json::from_str(&machine.read(PATH)?).ok()?;
    let proxies = daemon.get("proxies")?;
    let get = |key: &str| Some(proxies.get(key)?.as_str()?.to_owned());
    let mut variables = Variables::new();
    variables.insert("HTTPS_PROXY".to_owned(), get("https-proxy")?);
    let exceptions = get("no-proxy").unwrap_or_default();
    variables.insert("NO_PROXY".to_owned(), exceptions);
    Some(Settings {
        who: "docker's daemon",
        place: format!("\"proxies\", \"no-proxy\", of {PATH}"),
        then: ", then systemctl restart docker",
        variables,
    })
}

/// What drop-in files give to a unit of systemd.
fn unit(machine: &Machine, name: &'static str) -> Settings {
    let folder = format!("/etc/systemd/system/{name}.service.d");
    let mut place = format!("{folder}/http-proxy.conf");
    let mut variables = Variables::new();
    for path in machine.list(&folder) {
        if path.extension().is_none_or(|end| end != "conf") {
            continue;
        }
        let text = machine.read(&path).unwrap_or_default();
        for line in text.lines() {
            let Some(value) = line.trim().strip_prefix("Environment=") else {
                continue;
            };
            for (name, value) in words(value).iter().filter_map(|word| word.split_once('=')) {
                if NAMES.contains(&name) {
                    place = path.display().to_string();
                    variables.insert(name.to_owned(), value.to_owned());
                }
            }
        }
    }
    let docker = name == "docker";
    Settings {
        who: if docker { "docker's daemon" } else { name },
        place,
        then: if docker {
            ", then systemctl daemon-reload && systemctl restart docker"
        } else {
            ", then systemctl daemon-reload && systemctl restart containerd"
        },
        variables,
    }
}

/// Splits as systemd does: at spaces outside quotes.
fn words(text: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), String::new(), None);
    for c in text.chars() {
        match quote {
            Some(open) if c == open => quote = None,
            None if c == '"' || c == '\'' => quote = Some(c),
            None if c.is_whitespace() => words.push(std::mem::take(&mut word)),
            _ => word.push(c),
        }
    }
    words.push(word);
    words.retain(|word| !word.is_empty());
    words
}

fn service_files(machine: &Machine, who: &'static str, then: &'static str) -> Vec<Settings> {
    let is_ours = |path: &Path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with(who) && name.ends_with(".service.env")
    };
    let mut paths = machine.list("/etc/systemd/system");
    paths.retain(|path| is_ours(path));
    for name in [
        who.to_owned(),
        format!("{who}-server"),
        format!("{who}-agent"),
    ] {
        paths.push(PathBuf::from(format!("/etc/default/{name}")));
        paths.push(PathBuf::from(format!("/etc/sysconfig/{name}")));
    }
    let settings = |path: PathBuf| {
        let text = machine.read(&path)?;
        let mut variables = Variables::new();
        for line in text.lines() {
            let (name, value) = line.trim().split_once('=').unwrap_or_default();
            let value = value.trim().trim_matches(['"', '\'']);
            let (bare, first) = match name.strip_prefix("CONTAINERD_") {
                Some(bare) => (bare, true),
                None => (name, false),
            };
            if NAMES.contains(&bare) && (first || !variables.contains_key(bare)) {
                variables.insert(bare.to_owned(), value.to_owned());
            }
        }
        Some(Settings {
            who,
            place: path.display().to_string(),
            then,
            variables,
        })
    };
    paths.into_iter().filter_map(settings).collect()
}

/// A proxy's password is nobody's business.
fn without_password(proxy: &str) -> String {
    match (proxy.split_once("://"), proxy.rsplit_once('@')) {
        (_, None) => proxy.to_owned(),
        (Some((scheme, _)), Some((_, host))) => format!("{scheme}://{host}"),
        (None, Some((_, host))) => host.to_owned(),
    }
}

/// Whether programs in Go leave out the proxy, given their `NO_PROXY`. They do
/// not resolve names, so that a network covers addresses alone.
fn passes_by(exceptions: &str, address: &RegistryAddress) -> bool {
    let host = address.host();
    let itself = match host {
        HostName::Ip(ip) => ip.is_loopback(),
        name => name.to_string() == "localhost",
    };
    itself
        || exceptions
            .split(',')
            .any(|entry| covers(&entry.trim().to_lowercase(), host, address.port()))
}

fn covers(entry: &str, host: &HostName, port: u16) -> bool {
    if entry == "*" {
        return true;
    }
    if let (Some((network, bits)), HostName::Ip(ip)) = (entry.split_once('/'), host) {
        let (network, bits) = (network.parse(), bits.parse());
        return matches!((network, bits), (Ok(network), Ok(bits)) if contains(network, bits, *ip));
    }
    let (name, entry_port) = match entry.rsplit_once(':') {
        // The colons of an address without a port.
        _ if entry.parse::<IpAddr>().is_ok() => (entry, None),
        Some((name, port)) => (name.trim_matches(['[', ']']), Some(port)),
        None => (entry, None),
    };
    if entry_port.is_some_and(|entry| entry != port.to_string()) {
        return false;
    }
    match host {
        HostName::Ip(ip) => name.parse() == Ok(*ip),
        host => {
            let (host, name) = (host.to_string(), name.strip_prefix('*').unwrap_or(name));
            match name.strip_prefix('.') {
                Some(_) => host.ends_with(name),
                None if name.is_empty() => false,
                None => host == name || host.ends_with(&format!(".{name}")),
            }
        }
    }
}

/// Whether a network has an address.
pub(super) fn contains(network: IpAddr, bits: u32, address: IpAddr) -> bool {
    match (network, address) {
        (IpAddr::V4(network), IpAddr::V4(address)) if bits <= 32 => {
            let differ = network.to_bits() ^ address.to_bits();
            differ.leading_zeros() >= bits
        }
        (IpAddr::V6(network), IpAddr::V6(address)) if bits <= 128 => {
            let differ = network.to_bits() ^ address.to_bits();
            differ.leading_zeros() >= bits
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests;
