//! What clients on this machine were told to trust for a registry.

use std::path::{Path, PathBuf};

use registry_tls::pem;
use registry_tls::rustls::pki_types::CertificateDer;
use registry_tls::trust::RegistryAddress;
use saphyr::{LoadableYamlNode as _, Yaml};

use super::machine::Machine;
use super::proxy::contains;
use crate::commands::report::Report;

/// A client's settings for one registry.
#[derive(Debug, Default)]
pub(super) struct Settings {
    /// Files of CAs, beside what the system trusts.
    pub(super) files: Vec<Trusted>,
    /// Why the client takes any certificate.
    pub(super) careless: Option<String>,
    /// The folder that the client looks into.
    pub(super) folder: Option<PathBuf>,
}

/// A file of CAs.
#[derive(Debug)]
pub(super) struct Trusted {
    pub(super) path: PathBuf,
    pub(super) certificates: Vec<CertificateDer<'static>>,
}

/// docker's folder, and its `insecure-registries`.
pub(super) fn docker(
    machine: &Machine,
    address: &RegistryAddress,
    found: &[std::net::SocketAddr],
) -> Settings {
    let mut settings = first_folder(machine, ["/etc/docker/certs.d".into()], address);
    settings.careless = if super::address::is_loopback(found) {
        Some("127.0.0.0/8 and ::1 are among its insecure registries".to_owned())
    } else {
        insecure(machine, address, found)
            .map(|entry| format!("\"insecure-registries\" of /etc/docker/daemon.json has {entry}"))
    };
    settings
}

/// The entry of `insecure-registries` that is for the registry.
pub(super) fn insecure(
    machine: &Machine,
    address: &RegistryAddress,
    found: &[std::net::SocketAddr],
) -> Option<String> {
    let text = machine.read("/etc/docker/daemon.json")?;
    let daemon: serde_json::Value = serde_json::from_str(&text).ok()?;
    let entries = daemon.get("insecure-registries")?.as_array()?;
    let named = |entry: &&str| {
        let network = entry.split_once('/').and_then(|(network, bits)| {
            let (network, bits) = (network.parse().ok()?, bits.parse().ok()?);
            Some((network, bits))
        });
        match network {
            Some((network, bits)) => found.iter().any(|to| contains(network, bits, to.ip())),
            None => **entry == address.to_string(),
        }
    };
    let mut entries = entries.iter().filter_map(|entry| entry.as_str());
    entries.find(named).map(str::to_owned)
}

/// podman's and skopeo's folder: the first that is there, and no other.
pub(super) fn podman(machine: &Machine, address: &RegistryAddress) -> Settings {
    let home = machine.home(".config/containers/certs.d");
    let others = ["/etc/containers/certs.d", "/etc/docker/certs.d"].map(PathBuf::from);
    first_folder(machine, home.into_iter().chain(others), address)
}

fn first_folder(
    machine: &Machine,
    folders: impl IntoIterator<Item = PathBuf>,
    address: &RegistryAddress,
) -> Settings {
    let mut folders = folders.into_iter().map(|all| all.join(address.to_string()));
    match folders.find(|folder| machine.has_folder(folder)) {
        Some(folder) => Settings {
            files: authorities(machine, &folder),
            folder: Some(folder),
            ..Settings::default()
        },
        None => Settings::default(),
    }
}

fn authorities(machine: &Machine, folder: &Path) -> Vec<Trusted> {
    let mut paths = machine.list(folder);
    paths.retain(|path| path.extension().is_some_and(|end| end == "crt"));
    // What is wrong with the others, `check_folder` tells.
    let read = |path| trusted(machine, path).ok();
    paths.into_iter().filter_map(read).collect()
}

fn trusted(machine: &Machine, path: PathBuf) -> Result<Trusted, pem::PemError> {
    let certificates = pem::certificates(machine.place(&path))?;
    Ok(Trusted { path, certificates })
}

/// containerd's `hosts.toml`, or a folder like docker's in its place.
pub(super) fn containerd(
    machine: &Machine,
    address: &RegistryAddress,
    report: &mut Report,
) -> Settings {
    const FOLDER: &str = "/etc/containerd/certs.d";
    let name = address.to_string();
    let names = [name.replace(':', "_") + "_", name, "_default".to_owned()];
    let mut folders = names.iter().map(|name| Path::new(FOLDER).join(name));
    let Some(folder) = folders.find(|folder| machine.has_folder(folder)) else {
        return Settings::default();
    };
    let config = machine.read("/etc/containerd/config.toml");
    let names_it = |line: &str| {
        let line = line.trim();
        line.starts_with("config_path") && line.contains(FOLDER)
    };
    if !config.is_some_and(|text| text.lines().any(names_it)) {
        report.warning(
            "containerd",
            &format!(
                "{} may be never read: set config_path = \"{FOLDER}\" in \
                 /etc/containerd/config.toml and restart containerd",
                folder.display()
            ),
        );
    }
    let path = folder.join("hosts.toml");
    let mut settings = Settings::default();
    let Some(text) = machine.read(&path) else {
        settings.files = authorities(machine, &folder);
        settings.folder = Some(folder);
        return settings;
    };
    let hosts: toml::Table = match toml::from_str(&text) {
        Ok(hosts) => hosts,
        Err(error) => {
            let error = error.to_string();
            report.error(
                "containerd",
                &format!("{}: {}", path.display(), error.trim()),
            );
            return settings;
        }
    };
    let own = hosts.get("host").and_then(|all| all.get(address.url()));
    let own = own.and_then(toml::Value::as_table);
    for table in [Some(&hosts), own].into_iter().flatten() {
        if table.get("skip_verify").and_then(toml::Value::as_bool) == Some(true) {
            settings.careless = Some(format!("{} has skip_verify", path.display()));
        }
        let cas: Vec<_> = match table.get("ca") {
            Some(toml::Value::String(ca)) => vec![ca.as_str()],
            Some(toml::Value::Array(all)) => all.iter().filter_map(|ca| ca.as_str()).collect(),
            _ => Vec::new(),
        };
        for ca in cas {
            add(
                machine,
                "containerd",
                folder.join(ca),
                &path,
                &mut settings,
                report,
            );
        }
    }
    settings
}

/// The `ca_file` of k3s and RKE2.
pub(super) fn k3s(
    machine: &Machine,
    name: &str,
    address: &RegistryAddress,
    report: &mut Report,
) -> Settings {
    let path = PathBuf::from(format!("/etc/rancher/{name}/registries.yaml"));
    let mut settings = Settings::default();
    let Some(text) = machine.read(&path) else {
        return settings;
    };
    let documents = match Yaml::load_from_str(&text) {
        Ok(documents) => documents,
        Err(error) => {
            report.error(
                name,
                &format!("{}: not valid YAML: {error}", path.display()),
            );
            return settings;
        }
    };
    let configs = documents
        .first()
        .and_then(|document| get(document, "configs"));
    let entry = configs.and_then(|all| {
        let own = get(all, &address.to_string());
        own.or_else(|| get(all, "*"))
    });
    let Some(tls) = entry.and_then(|entry| get(entry, "tls")) else {
        return settings;
    };
    let skip = get(tls, "insecure_skip_verify").and_then(Yaml::as_bool);
    if skip == Some(true) {
        settings.careless = Some(format!("{} has insecure_skip_verify", path.display()));
    }
    if let Some(file) = get(tls, "ca_file").and_then(Yaml::as_str) {
        add(machine, name, file.into(), &path, &mut settings, report);
    }
    settings
}

fn get<'a, 'y>(yaml: &'a Yaml<'y>, key: &str) -> Option<&'a Yaml<'y>> {
    yaml.as_mapping_get(key)
}

/// Adds a file that another one names.
fn add(
    machine: &Machine,
    client: &str,
    file: PathBuf,
    by: &Path,
    settings: &mut Settings,
    report: &mut Report,
) {
    match trusted(machine, file) {
        Ok(file) => settings.files.push(file),
        Err(error) => report.error(client, &format!("{} names {error}", by.display())),
    }
}
