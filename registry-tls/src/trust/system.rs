//! The certificates that all programs of a Linux system trust.

use std::path::Path;

use super::{Plan, Target};

/// Where a kind of Linux system keeps the certificates that its users add.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SystemStore {
    /// Debian, Ubuntu, Raspberry Pi OS, Alpine.
    Debian,
    /// Fedora, RHEL, CentOS, Rocky, Amazon Linux.
    Fedora,
    /// Arch Linux.
    Arch,
    /// openSUSE and SLES.
    Suse,
}

impl SystemStore {
    /// Which kind of system lives below `root` (`/` for this machine), by the
    /// folders that it has. `None` when the package `ca-certificates` is
    /// missing, or the system is of another kind.
    ///
    /// ```
    /// use registry_tls::trust::SystemStore;
    ///
    /// let root = tempfile::tempdir()?;
    /// assert_eq!(SystemStore::detect(root.path()), None);
    /// std::fs::create_dir_all(root.path().join("etc/pki/ca-trust/source/anchors"))?;
    /// assert_eq!(SystemStore::detect(root.path()), Some(SystemStore::Fedora));
    /// # Ok::<_, std::io::Error>(())
    /// ```
    #[must_use]
    pub fn detect(root: &Path) -> Option<Self> {
        // Debian's comes last: /usr/local may have been made by anybody.
        [Self::Fedora, Self::Suse, Self::Arch, Self::Debian]
            .into_iter()
            .find(|store| root.join(store.folder().trim_start_matches('/')).is_dir())
    }

    fn folder(self) -> &'static str {
        match self {
            Self::Debian => "/usr/local/share/ca-certificates",
            Self::Fedora => "/etc/pki/ca-trust/source/anchors",
            Self::Arch => "/etc/ca-certificates/trust-source/anchors",
            Self::Suse => "/etc/pki/trust/anchors",
        }
    }

    fn update(self) -> &'static str {
        match self {
            Self::Debian | Self::Suse => "update-ca-certificates",
            Self::Fedora | Self::Arch => "update-ca-trust",
        }
    }
}

pub(super) fn plan(mut plan: Plan, target: &Target, store: SystemStore) -> Plan {
    // OpenSSL's index skips files with more than one certificate.
    plan.files = target.ca_files(store.folder(), &target.registry.file_stem());
    plan.commands = vec![store.update().to_owned()];
    plan.notes = vec![
        "Restart docker, containerd, k3s and other programs that run: they read the store once, \
         when they start."
            .into(),
        "Browsers and Java have stores of their own.".into(),
    ];
    plan
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::{CA, SECOND_CA, paths};
    use super::super::{CaCertificates, Client};
    use super::*;

    #[test]
    fn each_certificate_has_a_file_of_its_own() {
        let ca = CaCertificates::from_pem([CA, SECOND_CA].concat().as_bytes()).expect("two CAs");
        let target = Target::new("registry.local".parse().expect("an address"), ca);
        let plan = Client::System(SystemStore::Debian).plan(&target);
        assert_eq!(
            paths(&plan),
            [
                "/usr/local/share/ca-certificates/registry-ca-registry.local.crt",
                "/usr/local/share/ca-certificates/registry-ca-registry.local-2.crt"
            ]
        );
        assert!(plan.files[0].contents.ends_with(CA));
        assert!(plan.files[1].contents.ends_with(SECOND_CA));
        assert_eq!(plan.commands, ["update-ca-certificates"]);
    }

    #[test]
    fn systems_are_told_apart_by_their_folders() {
        for store in [
            SystemStore::Debian,
            SystemStore::Fedora,
            SystemStore::Arch,
            SystemStore::Suse,
        ] {
            let root = tempfile::tempdir().expect("a folder");
            let folder = root.path().join(store.folder().trim_start_matches('/'));
            std::fs::create_dir_all(folder).expect("a folder");
            assert_eq!(SystemStore::detect(root.path()), Some(store));
        }
    }
}
