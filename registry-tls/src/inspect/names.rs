//! The entries of `subjectAltName`, and the hosts that they are to cover.

use std::net::IpAddr;

use super::certificate::Parsed;
use super::finding::Finding;
use super::problem::Problem;
use crate::HostName;

pub(super) fn check(certificate: &Parsed<'_>, hosts: &[HostName], findings: &mut Vec<Finding>) {
    if !certificate.has_names() {
        let hosts = hosts.to_vec();
        let problem = match certificate.common_name() {
            Some(common_name) => Problem::CommonNameOnly { common_name, hosts },
            None => Problem::NoNames { hosts },
        };
        findings.push(Finding::error(certificate, problem));
        return;
    }
    let entries = entries(certificate, findings);
    let misplaced = |host: &HostName| {
        let names = certificate.names();
        matches!(host, HostName::Ip(ip) if names.iter().any(|name| name.parse() == Ok(*ip)))
    };
    for host in hosts {
        if !entries.iter().any(|entry| entry.covers(host)) && !misplaced(host) {
            let problem = Problem::NotCovered {
                host: host.clone(),
                names: certificate.names().to_vec(),
                addresses: certificate.addresses().to_vec(),
            };
            findings.push(Finding::error(certificate, problem));
        }
    }
    if hosts.is_empty() && certificate.names().is_empty() && entries.is_empty() {
        let problem = Problem::NoNames { hosts: Vec::new() };
        findings.push(Finding::error(certificate, problem));
    }
}

/// The entries that clients use; complains about the others.
fn entries(certificate: &Parsed<'_>, findings: &mut Vec<Finding>) -> Vec<HostName> {
    let addresses = certificate.addresses();
    let mut entries: Vec<_> = addresses.iter().copied().map(HostName::Ip).collect();
    for entry in certificate.names() {
        if let Ok(address) = entry.parse::<IpAddr>() {
            // Twice is what careful people do, for clients that look in the wrong place.
            if !addresses.contains(&address) {
                let addresses = addresses.to_vec();
                let problem = Problem::AddressAsName { address, addresses };
                findings.push(Finding::error(certificate, problem));
            }
            continue;
        }
        // Go takes neither a dot at the end nor an address in brackets.
        let name = match entry.parse() {
            // Clients match no entry that ends in a dot, or is in brackets.
            Ok(name @ HostName::Dns(_)) if !entry.ends_with('.') => name,
            _ => {
                let entry = entry.clone();
                let problem = Problem::UselessEntry { entry };
                findings.push(Finding::warning(certificate, problem));
                continue;
            }
        };
        if entry
            .strip_prefix("*.")
            .is_some_and(|parent| !parent.contains('.'))
        {
            let entry = entry.clone();
            let problem = Problem::WideWildcard { entry };
            findings.push(Finding::warning(certificate, problem));
        }
        entries.push(name);
    }
    entries
}
