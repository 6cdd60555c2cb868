//! What stands between the server and the registry, from the outside in.
//!
//! ```text
//! serve -> proxies -> access_log -> response_headers -> https_only -> public_url -> metrics -> health -> app
//! ```
//!
//! The access log comes after the client's address is known and before a
//! prefix is taken off; metrics tell paths by what is behind the prefix.

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use registry_spec::BoxError;
use tower_service::Service;

use crate::access_log::AccessLog;
use crate::config;
use crate::filter::Filtered;
use crate::health::Health;
use crate::https_only::HttpsOnly;
use crate::metrics::{Counted, HttpMetrics, Measured};
use crate::proxies::Proxies;
use crate::public_url::PublicUrls;

/// Puts everything that the configuration asks for before an app.
pub fn front<S, A>(
    http: &config::Http,
    access_log: &AccessLog,
    https_only: HttpsOnly,
    metrics: Option<HttpMetrics>,
    health: Health,
    app: S,
) -> impl Service<
    Request<A>,
    Response = Response<impl Body<Data = Bytes, Error = BoxError> + Send + use<S, A>>,
    Error = S::Error,
    Future: Send,
> + Clone
+ Send
+ use<S, A>
where
    S: Service<Request<Counted<A>>, Response = Response<registry_spec::Body>, Future: Send>
        + Clone
        + Send,
{
    let proxies = Proxies::new(&http.trusted_proxies);
    let urls = PublicUrls::new(http, proxies.clone());
    let measured = Measured::new(metrics, Filtered::new(health, app));
    let nested = Filtered::new(https_only, Filtered::new(urls, measured));
    let logged = access_log.wrap(http.headers.wrap(nested));
    proxies.wrap(logged)
}
