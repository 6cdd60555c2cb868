//! `http.tls.clientauth: require-and-verify-client-cert`: nothing without a
//! verified client certificate.
//!
//! The handshake itself goes on without one, so that `GET /` works for the
//! kubelet's probe, which has none; a certificate that is shown but cannot be
//! verified ends the handshake.

use std::ops::ControlFlow;

use http::{Request, Response};
use registry_spec::{Body, Error, ErrorCode};
use registry_tls::ClientIdentity;

use crate::filter::Filter;

/// Refuses requests without a [`ClientIdentity`], where one is required.
#[derive(Clone, Copy, Debug)]
pub struct ClientCertificate {
    required: bool,
}

impl ClientCertificate {
    /// Requires a certificate, or does nothing.
    #[must_use]
    pub const fn new(required: bool) -> Self {
        Self { required }
    }
}

impl Filter for ClientCertificate {
    fn filter<B>(&self, request: Request<B>) -> ControlFlow<Response<Body>, Request<B>> {
        if !self.required || request.extensions().get::<ClientIdentity>().is_some() {
            return ControlFlow::Continue(request);
        }
        // Not a 401, which would make clients ask for a password.
        let message = "a client certificate is required: docker and podman take client.cert and \
                       client.key from their certs.d";
        ControlFlow::Break(Error::new(ErrorCode::Denied, message).into_response())
    }
}
