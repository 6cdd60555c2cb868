//! Objects for a Kubernetes cluster, as YAML for `kubectl apply`.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::PrivateKeyDer;

use super::ca::{certificates, holds_key};
use super::{CaError, Plan, Target, TrustFile};
use crate::pem::{self, PemFile};

/// The certificate and private key of the registry itself.
#[derive(Clone)]
pub(super) struct ServerPair {
    certificate: Vec<u8>,
    key: Vec<u8>,
}

impl ServerPair {
    pub(super) fn new(certificate: &[u8], key: &[u8]) -> Result<Self, CaError> {
        if certificates(certificate)?.is_empty() {
            return Err(CaError::Empty);
        }
        if holds_key(certificate) {
            return Err(CaError::KeyInChain);
        }
        // Written anew: whatever else the file holds is not for the cluster.
        let key = PemFile::new("key", key).private_key();
        let (label, key) = match key.map_err(|_| CaError::NoKey)? {
            PrivateKeyDer::Pkcs1(key) => ("RSA PRIVATE KEY", key.secret_pkcs1_der().to_vec()),
            PrivateKeyDer::Sec1(key) => ("EC PRIVATE KEY", key.secret_sec1_der().to_vec()),
            PrivateKeyDer::Pkcs8(key) => ("PRIVATE KEY", key.secret_pkcs8_der().to_vec()),
            _ => return Err(CaError::NoKey),
        };
        Ok(Self {
            certificate: certificate.to_owned(),
            key: pem::encode(label, &key).into_bytes(),
        })
    }
}

impl fmt::Debug for ServerPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ServerPair")
    }
}

pub(super) fn plan(mut plan: Plan, target: &Target) -> Plan {
    let name = object_name(target);
    let mut files = vec![config_map(target, &name)];
    files.extend(
        target
            .server
            .as_ref()
            .map(|pair| secret(target, &name, pair)),
    );
    let apply = |file: &TrustFile| format!("kubectl apply -f {}", file.path.display());
    plan.commands = files.iter().map(apply).collect();
    plan.files = files;
    plan.notes = vec![
        "The objects name no namespace: add -n NAMESPACE to each command.".into(),
        "They are for pods. Images are pulled by the node's own containerd, k3s or docker: each \
         node needs the files for that as well."
            .into(),
    ];
    plan
}

fn config_map(target: &Target, name: &str) -> TrustFile {
    let mut text = format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: registry-ca-{name}\ndata:\n  ca.crt: |\n"
    );
    for line in target.ca.to_pem().lines() {
        text.push_str(&format!("    {line}\n"));
    }
    target.marked(format!("registry-ca-{name}.yaml"), &text)
}

fn secret(target: &Target, name: &str, pair: &ServerPair) -> TrustFile {
    let text = format!(
        "# It holds the private key of the registry: only for the cluster that it runs in.\n\
         apiVersion: v1\nkind: Secret\nmetadata:\n  name: registry-tls-{name}\n\
         type: kubernetes.io/tls\ndata:\n  tls.crt: {}\n  tls.key: {}\n",
        STANDARD.encode(&pair.certificate),
        STANDARD.encode(&pair.key),
    );
    let mut file = target.marked(format!("registry-tls-{name}.yaml"), &text);
    file.secret = true;
    file
}

/// The address as Kubernetes allows it in a name: 253 characters at most with
/// what stands before it, a letter or digit at its end.
fn object_name(target: &Target) -> String {
    let name: String = target
        .registry
        .to_string()
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
        .take(240)
        .collect();
    name.trim_matches('-').to_owned()
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::{CA, LEAF, LEAF_KEY, paths, plan, target};
    use super::super::{CaCertificates, Client};
    use super::*;

    #[test]
    fn without_the_server_there_is_only_the_ca() {
        let plan = plan(Client::Kubernetes);
        assert_eq!(paths(&plan), ["registry-ca-registry-local-5000.yaml"]);
        let mut expected = "# Made by registry-tls for the registry registry.local:5000\n\
                            apiVersion: v1\nkind: ConfigMap\nmetadata:\n  \
                            name: registry-ca-registry-local-5000\ndata:\n  ca.crt: |\n"
            .to_owned();
        expected.extend(CA.lines().map(|line| format!("    {line}\n")));
        assert_eq!(plan.files[0].contents, expected);
        assert!(!plan.files[0].secret);
    }

    #[test]
    fn the_secret_holds_the_pair_and_is_marked() {
        let target = target()
            .with_server(
                LEAF.as_bytes(),
                format!("a comment\n{LEAF_KEY}{CA}").as_bytes(),
            )
            .expect("a pair");
        let plan = Client::Kubernetes.plan(&target);
        let secret = &plan.files[1];
        assert!(secret.secret);
        assert!(secret.contents.contains("\ntype: kubernetes.io/tls\n"));
        for (field, text) in [("tls.crt", LEAF), ("tls.key", LEAF_KEY)] {
            let line = format!("\n  {field}: {}\n", STANDARD.encode(text));
            assert!(secret.contents.contains(&line), "{field}");
        }
        let debug = format!("{plan:?} {target:?}");
        assert!(!debug.contains(&STANDARD.encode(LEAF_KEY)), "{debug}");
        assert!(!debug.contains("PRIVATE KEY"), "{debug}");
    }

    #[test]
    fn swapped_and_empty_pairs_are_refused() {
        let both = [LEAF, LEAF_KEY].concat();
        for (certificate, key, error) in [
            (LEAF_KEY, LEAF, CaError::Empty),
            (LEAF, LEAF, CaError::NoKey),
            (LEAF, "", CaError::NoKey),
            (LEAF, &[LEAF_KEY, LEAF_KEY].concat(), CaError::NoKey),
            (&both, LEAF_KEY, CaError::KeyInChain),
        ] {
            let result = target().with_server(certificate.as_bytes(), key.as_bytes());
            assert_eq!(result.err(), Some(error));
        }
    }

    #[test]
    fn object_names_are_valid_for_every_address() {
        let long = format!("{}.local", ["a"; 120].join("."));
        for (address, name) in [
            ("my_host.local:5000", "my-host-local-5000"),
            ("[::1]", "1"),
            ("[fd00::1]:5000", "fd00--1--5000"),
            (&long, &format!("{}a", "a-".repeat(119))),
        ] {
            let ca = CaCertificates::from_pem(CA.as_bytes()).expect("a CA");
            let target = Target::new(address.parse().expect(address), ca);
            assert_eq!(object_name(&target), name);
        }
    }
}
