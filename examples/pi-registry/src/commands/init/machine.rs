//! What this machine is called, as far as it knows.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;

use registry_tls::HostName;

/// What clients may call this machine by.
#[derive(Debug, Default)]
pub(super) struct Machine {
    pub(super) names: Vec<HostName>,
    pub(super) addresses: Vec<IpAddr>,
    /// Whether this is a container, which knows only names and addresses that
    /// no client has.
    pub(super) contained: bool,
}

impl Machine {
    pub(super) fn this() -> Self {
        let of_podman_or_docker =
            ["/.dockerenv", "/run/.containerenv"].map(|path| Path::new(path).exists());
        if of_podman_or_docker.contains(&true)
            || std::env::var_os("KUBERNETES_SERVICE_HOST").is_some()
        {
            return Self {
                contained: true,
                ..Self::default()
            };
        }
        let uname = rustix::system::uname();
        let temporary = std::fs::read_to_string("/proc/net/if_inet6").unwrap_or_default();
        let interfaces = if_addrs::get_if_addrs().unwrap_or_default();
        let interfaces = interfaces
            .iter()
            .map(|interface| (interface.name.as_str(), interface.ip()));
        Self {
            names: names(&uname.nodename().to_string_lossy()),
            addresses: addresses(interfaces, &temporary),
            contained: false,
        }
    }

    /// Everything that goes into a certificate unasked.
    pub(super) fn hosts(&self) -> Vec<HostName> {
        let addresses = self.addresses.iter().copied().map(HostName::Ip);
        let mut hosts = self.names.clone();
        hosts.extend(addresses);
        // A first try, and programs on this machine.
        hosts.push(HostName::Dns("localhost".to_owned()));
        hosts.push(HostName::Ip(Ipv4Addr::LOCALHOST.into()));
        hosts.push(HostName::Ip(Ipv6Addr::LOCALHOST.into()));
        hosts
    }

    /// What clients most surely reach it by: a full name, which somebody has
    /// put into DNS, before an address, and a bare name at last.
    pub(super) fn best(&self) -> Option<HostName> {
        let full = |name: &&HostName| {
            let name = name.to_string();
            name.contains('.') && !name.ends_with(".local")
        };
        let address = self.addresses.first().copied().map(HostName::Ip);
        let full = self.names.iter().find(full).cloned();
        full.or(address).or_else(|| self.names.first().cloned())
    }
}

/// The name, its first part, and that in multicast DNS.
fn names(nodename: &str) -> Vec<HostName> {
    let (first, _) = nodename.split_once('.').unwrap_or((nodename, ""));
    let mut names = Vec::new();
    if first == "localhost" {
        return names;
    }
    for name in [nodename, first, &format!("{first}.local")] {
        // A name of digits would be an address.
        if let Ok(name @ HostName::Dns(_)) = name.parse()
            && !names.contains(&name)
        {
            names.push(name);
        }
    }
    names
}

/// The addresses by which others reach this machine, IPv4 first.
fn addresses<'a>(
    interfaces: impl Iterator<Item = (&'a str, IpAddr)>,
    if_inet6: &str,
) -> Vec<IpAddr> {
    let temporary = temporary(if_inet6);
    let mut addresses: Vec<_> = interfaces
        .filter(|(name, _)| !is_inner(name))
        .map(|(_, address)| address)
        .filter(|address| match address {
            IpAddr::V4(v4) => !(v4.is_loopback() || v4.is_link_local() || v4.is_unspecified()),
            IpAddr::V6(v6) => {
                !(v6.is_loopback()
                    || v6.is_unicast_link_local()
                    || v6.is_unspecified()
                    || temporary.contains(v6))
            }
        })
        .collect();
    // Stable, so that an order of interfaces stays.
    addresses.sort_by_key(IpAddr::is_ipv6);
    addresses.dedup();
    addresses
}

/// Whether an interface is a bridge or a cable's end between containers or
/// virtual machines and this machine: 172.17.0.1 of docker0, 10.42.0.1 of
/// cni0. No other machine reaches it by their addresses, and each machine has
/// the same ones, so that they are nobody's name. VPNs are not among them.
fn is_inner(interface: &str) -> bool {
    const STARTS: &[&str] = &[
        "docker",
        "veth",
        "cni",
        "podman",
        "flannel",
        "cali",
        "cilium",
        "lxc",
        "lxd",
        "virbr",
        "kube-",
        "nodelocaldns",
        "vxlan",
        "weave",
        "antrea",
        "ovn",
        "dummy",
    ];
    // docker's further bridges, unlike br0 or OpenWrt's br-lan.
    let bridge = interface
        .strip_prefix("br-")
        .is_some_and(|id| id.len() == 12 && id.bytes().all(|c| c.is_ascii_hexdigit()));
    bridge || STARTS.iter().any(|start| interface.starts_with(start))
}

/// The addresses of IPv6 that the system gives up after a day, for privacy.
fn temporary(if_inet6: &str) -> HashSet<Ipv6Addr> {
    const TEMPORARY: u8 = 0x01;
    let parse = |line: &str| {
        let mut fields = line.split_ascii_whitespace();
        let address = u128::from_str_radix(fields.next()?, 16).ok()?;
        let flags = u8::from_str_radix(fields.nth(3)?, 16).ok()?;
        (flags & TEMPORARY != 0).then(|| Ipv6Addr::from(address))
    };
    if_inet6.lines().filter_map(parse).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_is_called_by_its_name_and_in_multicast_dns() {
        let text = |nodename| {
            let names = names(nodename);
            names.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(text("Pi4"), ["pi4", "pi4.local"]);
        assert_eq!(text("pi4.lan"), ["pi4.lan", "pi4", "pi4.local"]);
        assert_eq!(text("pi4.local"), ["pi4.local", "pi4"]);
        assert!(text("localhost").is_empty());
        assert!(text("localhost.localdomain").is_empty());
        assert!(text("").is_empty());
        assert!(text("bad name!").is_empty());
    }

    #[test]
    fn only_addresses_that_others_reach_are_guessed() {
        let interfaces = [
            ("lo", "127.0.0.1"),
            ("lo", "::1"),
            ("eth0", "2001:db8::5"),
            ("eth0", "2001:db8::bad"),
            ("eth0", "fe80::1"),
            ("eth0", "192.168.0.201"),
            ("eth1", "169.254.3.4"),
            ("docker0", "172.17.0.1"),
            ("br-0123456789ab", "172.18.0.1"),
            ("cni0", "10.42.0.1"),
            ("flannel.1", "10.42.0.0"),
            ("br-lan", "192.168.1.1"),
            ("tailscale0", "100.64.0.7"),
        ];
        let interfaces = interfaces.map(|(name, ip)| (name, ip.parse().expect(ip)));
        let if_inet6 = "20010db8000000000000000000000bad 02 40 00 01     eth0\n\
                        20010db8000000000000000000000005 02 40 00 00     eth0\n";
        let found: Vec<_> = addresses(interfaces.into_iter(), if_inet6)
            .iter()
            .map(ToString::to_string)
            .collect();
        let expected = ["192.168.0.201", "192.168.1.1", "100.64.0.7", "2001:db8::5"];
        assert_eq!(found, expected);
    }

    #[test]
    fn a_full_name_is_better_than_an_address_and_that_than_a_bare_name() {
        let best = |nodename, address: Option<&str>| {
            let addresses = address.map(|a| a.parse().expect(a)).into_iter().collect();
            let machine = Machine {
                names: names(nodename),
                addresses,
                contained: false,
            };
            machine.best().map(|host| host.to_string())
        };
        let address = Some("192.168.0.201");
        assert_eq!(best("pi4.lan", address).as_deref(), Some("pi4.lan"));
        assert_eq!(best("pi4", address), address.map(str::to_owned));
        assert_eq!(best("pi4", None).as_deref(), Some("pi4"));
        assert_eq!(best("localhost", None), None);
    }

    #[test]
    fn this_machine_is_at_least_localhost() {
        let hosts = Machine::this().hosts();
        for host in ["localhost", "127.0.0.1", "::1"] {
            assert!(hosts.contains(&host.parse().expect("valid")), "{host}");
        }
    }
}
