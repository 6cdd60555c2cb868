//! The proxies in front: whom to believe, and who the client behind them is.
//!
//! Anybody can send `X-Forwarded-For`. So these headers count only when the
//! peer of the connection is a proxy that the configuration trusts.

pub(crate) mod forwarded;

use std::net::IpAddr;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{HeaderMap, HeaderName, Request};
use tower_service::Service;

use crate::config::Network;
use crate::serve::Peer;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The address of the client, as far as it is known: the peer, or whom trusted
/// proxies name. Each request carries it among its extensions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Client(pub IpAddr);

/// The proxies that are believed.
#[derive(Clone, Debug)]
pub struct Proxies {
    trusted: Arc<[Network]>,
}

impl Proxies {
    /// Believes proxies with an address in one of the networks.
    #[must_use]
    pub fn new(trusted: &[Network]) -> Self {
        Self {
            trusted: trusted.into(),
        }
    }

    /// The service with the [`Client`] among its requests' extensions.
    pub fn wrap<S>(&self, inner: S) -> WithClient<S> {
        let proxies = self.clone();
        WithClient { inner, proxies }
    }

    fn trust(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.trusted.iter().any(|network| network.contains(address))
    }

    /// Whether a request came from a proxy whose headers are believed.
    pub(crate) fn sent<B>(&self, request: &Request<B>) -> bool {
        match request.extensions().get() {
            Some(Peer::Tcp(peer)) => self.trust(peer.ip()),
            // Whoever can open the socket is on this machine.
            Some(Peer::Unix) => self.trust(IpAddr::from([127, 0, 0, 1])),
            None => false,
        }
    }

    fn client<B>(&self, request: &Request<B>) -> Option<IpAddr> {
        let peer = match request.extensions().get() {
            Some(Peer::Tcp(peer)) => Some(peer.ip().to_canonical()),
            _ => None,
        };
        if !self.sent(request) {
            return peer;
        }
        // Each proxy appends whom it got the request from. So from the right,
        // all is true up to and with the first that is no proxy of ours; what
        // is left of that, the client may have made up.
        let mut client = peer;
        for hop in hops(request.headers()).into_iter().rev() {
            let Some(hop) = hop else { break };
            client = Some(hop);
            if !self.trust(hop) {
                break;
            }
        }
        client
    }
}

/// A service that is told who the client is.
#[derive(Clone, Debug)]
pub struct WithClient<S> {
    inner: S,
    proxies: Proxies,
}

impl<S, B> Service<Request<B>> for WithClient<S>
where
    S: Service<Request<B>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> S::Future {
        if let Some(client) = self.proxies.client(&request) {
            request.extensions_mut().insert(Client(client));
        }
        self.inner.call(request)
    }
}

/// The way that the request took, in order; `None` for what is no address.
///
/// `X-Forwarded-For` comes first: proxies that write it pass on a `Forwarded`
/// that the client made up, and hardly any does the opposite.
fn hops(headers: &HeaderMap) -> Vec<Option<IpAddr>> {
    if headers.contains_key(X_FORWARDED_FOR) {
        let lines = headers.get_all(X_FORWARDED_FOR).iter();
        return lines
            .flat_map(|line| line.to_str().unwrap_or_default().split(','))
            .map(|text| node(text.trim()))
            .collect();
    }
    let elements = forwarded::all(headers).into_iter();
    elements.map(|e| node(e.client.as_deref()?)).collect()
}

/// An address, with or without a port; an IPv6 address may lack its brackets.
fn node(text: &str) -> Option<IpAddr> {
    let unbracketed = text
        .strip_prefix('[')
        .and_then(|rest| rest.split_once(']'))
        .map(|(address, _)| address);
    let without_port = match text.split_once(':') {
        Some((v4, _)) if text.matches(':').count() == 1 => v4,
        _ => text,
    };
    let address: IpAddr = unbracketed.unwrap_or(without_port).parse().ok()?;
    Some(address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(peer: Peer, headers: &[(&str, &str)]) -> Option<String> {
        let trusted: Vec<Network> = ["10.0.0.0/8", "127.0.0.0/8", "fd00::/8"]
            .map(|network| network.parse().expect("valid"))
            .into();
        let mut request = Request::get("/v2/").extension(peer);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(()).expect("valid");
        let client = Proxies::new(&trusted).client(&request);
        client.map(|address| address.to_string())
    }

    fn tcp(address: &str) -> Peer {
        Peer::Tcp(address.parse().expect("valid"))
    }

    #[test]
    fn only_trusted_proxies_can_name_the_client() {
        let header = [("x-forwarded-for", "192.0.2.1")];
        for (peer, expected) in [
            (tcp("10.0.0.1:1"), "192.0.2.1"),
            (tcp("[::ffff:10.0.0.1]:1"), "192.0.2.1"),
            (tcp("[fd00::1]:1"), "192.0.2.1"),
            (Peer::Unix, "192.0.2.1"),
            (tcp("198.51.100.1:1"), "198.51.100.1"),
            (tcp("[2001:db8::1]:1"), "2001:db8::1"),
        ] {
            assert_eq!(client(peer, &header).as_deref(), Some(expected), "{peer:?}");
        }
        assert_eq!(client(Peer::Unix, &[]), None);
    }

    #[test]
    fn the_client_is_the_last_that_no_proxy_of_ours_can_be() {
        for (value, expected) in [
            ("192.0.2.1, 10.0.0.2", "192.0.2.1"),
            // The client wrote the first itself.
            ("203.0.113.9, 192.0.2.1", "192.0.2.1"),
            ("10.0.0.3, 10.0.0.2", "10.0.0.3"),
            ("unknown, 10.0.0.2", "10.0.0.2"),
            ("203.0.113.9, nonsense", "10.0.0.1"),
            ("", "10.0.0.1"),
            ("192.0.2.1:4711", "192.0.2.1"),
            ("[2001:db8::1]:4711", "2001:db8::1"),
            ("2001:db8::1", "2001:db8::1"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
        ] {
            let found = client(tcp("10.0.0.1:1"), &[("x-forwarded-for", value)]);
            assert_eq!(found.as_deref(), Some(expected), "{value}");
        }
    }

    #[test]
    fn several_lines_are_one_list() {
        let lines = [
            ("x-forwarded-for", "203.0.113.9"),
            ("x-forwarded-for", "192.0.2.1"),
        ];
        let found = client(tcp("10.0.0.1:1"), &lines);
        assert_eq!(found.as_deref(), Some("192.0.2.1"));
    }

    #[test]
    fn forwarded_counts_where_x_forwarded_for_is_missing() {
        let forwarded = (
            "forwarded",
            "for=192.0.2.1;proto=https, for=\"[fd00::2]:1\"",
        );
        let found = client(tcp("10.0.0.1:1"), &[forwarded]);
        assert_eq!(found.as_deref(), Some("192.0.2.1"));
        let both = [forwarded, ("x-forwarded-for", "192.0.2.7")];
        assert_eq!(
            client(tcp("10.0.0.1:1"), &both).as_deref(),
            Some("192.0.2.7")
        );
    }
}
