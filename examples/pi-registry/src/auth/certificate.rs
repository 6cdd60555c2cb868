//! `auth.clientcertificate`: who a client is by its certificate.

use async_trait::async_trait;
use registry_spec::Authorizer;
use registry_spec::auth::{AuthError, AuthRequest, Credentials, Grant, Identity};
use registry_tls::ClientIdentity;

use crate::config::CertificateUser;

/// Knows users by their verified client certificates.
///
/// Whoever sends a password or a token is judged by that alone: a wrong one
/// must not seem right because of a certificate.
#[derive(Clone, Copy, Debug)]
pub(super) struct ByCertificate {
    user: CertificateUser,
}

impl ByCertificate {
    pub(super) const fn new(user: CertificateUser) -> Self {
        Self { user }
    }

    fn name(self, client: &ClientIdentity) -> Option<&str> {
        let names = match self.user {
            CertificateUser::CommonName => return client.common_name(),
            CertificateUser::Dns => client.dns_names(),
            CertificateUser::Email => client.emails(),
            CertificateUser::Uri => client.uris(),
        };
        names.first().map(String::as_str)
    }
}

#[async_trait]
impl Authorizer for ByCertificate {
    async fn authorize(&self, request: &AuthRequest<'_>) -> Result<Grant, AuthError> {
        let client = match request.credentials {
            Credentials::Anonymous => request.extensions.get::<ClientIdentity>(),
            _ => None,
        };
        let user = client.and_then(|client| self.name(client));
        // No challenge: a certificate is nothing that could be sent after it.
        let user = user.ok_or(AuthError::Denied)?;
        Ok(Grant::all(Identity::user(user)))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::Arc;

    use http::Extensions;
    use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, SanType};
    use registry_spec::auth::{Access, Secret};
    use registry_tls::Reloading;
    use registry_tls::rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
    use registry_tls::rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConnection};
    use registry_tls::server::{ClientAuth, ServerOptions};

    use super::*;
    use crate::certificates::tls_provider;

    /// What a handshake tells of a client with these alternative names.
    fn client(names: Vec<SanType>) -> ClientIdentity {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = params.self_signed(&key).expect("a CA");
        let issuer = Issuer::new(params, key);

        let dir = tempfile::tempdir().expect("a directory");
        let file = |name: &str, text: String| {
            let path = dir.path().join(name);
            fs::write(&path, text).expect("written");
            path
        };
        let server_key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(["localhost".to_owned()]).expect("a name");
        let server = params.signed_by(&server_key, &issuer).expect("signed");
        let mut options = ServerOptions::new(
            file("tls.crt", server.pem()),
            file("tls.key", server_key.serialize_pem()),
        );
        options.client_cas = vec![file("ca.crt", ca.pem())];
        options.client_auth = Some(ClientAuth::RequireAndVerify);
        let served = Reloading::load(options, tls_provider()).expect("usable");

        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "carol");
        params.subject_alt_names = names;
        let certificate = params.signed_by(&key, &issuer).expect("signed");
        let mut roots = RootCertStore::empty();
        roots.add(ca.der().clone()).expect("a CA");
        let chain = CertificateDer::from_pem_slice(certificate.pem().as_bytes()).expect("PEM");
        let key = PrivateKeyDer::from_pem_slice(key.serialize_pem().as_bytes()).expect("PEM");
        let config = ClientConfig::builder_with_provider(tls_provider())
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots)
            .with_client_auth_cert(vec![chain], key)
            .expect("a pair");
        let name = "localhost".try_into().expect("a name");
        let mut client = ClientConnection::new(Arc::new(config), name).expect("a client");
        let mut server = ServerConnection::new(served.config()).expect("a server");
        while client.is_handshaking() || server.is_handshaking() {
            let mut bytes = Vec::new();
            client.write_tls(&mut bytes).expect("in memory");
            server.read_tls(&mut bytes.as_slice()).expect("in memory");
            server.process_new_packets().expect("accepted");
            let mut bytes = Vec::new();
            server.write_tls(&mut bytes).expect("in memory");
            client.read_tls(&mut bytes.as_slice()).expect("in memory");
            client.process_new_packets().expect("accepted");
        }
        served.client_identity(&server).expect("verified")
    }

    async fn user(
        user: CertificateUser,
        client: Option<&ClientIdentity>,
        credentials: &Credentials,
    ) -> Option<String> {
        let mut extensions = Extensions::new();
        if let Some(client) = client {
            extensions.insert(client.clone());
        }
        let request = AuthRequest::new(credentials, &Access::Base, &extensions);
        match ByCertificate::new(user).authorize(&request).await {
            Ok(grant) => grant.identity().name().map(str::to_owned),
            Err(AuthError::Denied) => None,
            Err(error) => panic!("{error}"),
        }
    }

    #[tokio::test]
    async fn the_user_is_what_the_configuration_says_of_the_certificate() {
        use CertificateUser::{CommonName, Dns, Email, Uri};
        let text = |text: &str| text.try_into().expect("ASCII");
        let full = client(vec![
            SanType::Rfc822Name(text("carol@example.org")),
            SanType::URI(text("spiffe://example.org/ci")),
            SanType::DnsName(text("node-1.example.org")),
            SanType::DnsName(text("node-1")),
        ]);
        let bare = client(vec![]);
        for (kind, full_name, bare_name) in [
            (CommonName, "carol", Some("carol")),
            (Dns, "node-1.example.org", None),
            (Email, "carol@example.org", None),
            (Uri, "spiffe://example.org/ci", None),
        ] {
            let nothing = &Credentials::Anonymous;
            let name = user(kind, Some(&full), nothing).await;
            assert_eq!(name.as_deref(), Some(full_name));
            let name = user(kind, Some(&bare), nothing).await;
            assert_eq!(name.as_deref(), bare_name, "{kind:?}");
            assert_eq!(user(kind, None, nothing).await, None);
        }
        let password = Credentials::Basic {
            username: "carol".to_owned(),
            password: Secret::new("wrong".to_owned()),
        };
        for credentials in [password, Credentials::Unreadable] {
            assert_eq!(user(CommonName, Some(&full), &credentials).await, None);
        }
    }
}
