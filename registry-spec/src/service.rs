//! [`Registry`]: the protocol as a service.

use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use tower_service::Service;

use crate::auth::{AuthError, AuthRequest, Authorizer, Credentials, Grant};
use crate::base_url::BaseUrl;
use crate::body::{Body, Payload};
use crate::builder::{Deletes, Limits, RegistryBuilder, Validation};
use crate::error::{Error, ErrorCode};
use crate::handler::{self, Call};
use crate::observer::{Failure, Observer};
use crate::route::Route;
use crate::storage::Storage;
use crate::{BoxError, header as names};

/// A registry: give it requests whose path begins with `/v2`.
///
/// Cheap to clone, always ready, and infallible: whatever goes wrong is a
/// response already. Timeouts, rate limits and logs are layers around it.
///
/// The response to `HEAD` has the headers of `GET`, and no body.
#[derive(Clone, Debug)]
pub struct Registry {
    shared: Arc<Shared>,
}

/// What all requests share.
#[derive(Clone, Debug)]
pub(crate) struct Shared {
    pub(crate) storage: Arc<dyn Storage>,
    pub(crate) authorizer: Arc<dyn Authorizer>,
    pub(crate) observer: Arc<dyn Observer>,
    pub(crate) deletes: Deletes,
    pub(crate) validation: Validation,
    pub(crate) limits: Limits,
    pub(crate) base_url: BaseUrl,
    pub(crate) read_only: bool,
}

impl Registry {
    /// A registry over `storage` that asks `authorizer` about each request.
    /// Open access is spelled `Arc::new(AllowAll)`.
    pub fn builder(storage: Arc<dyn Storage>, authorizer: Arc<dyn Authorizer>) -> RegistryBuilder {
        RegistryBuilder::new(storage, authorizer)
    }

    pub(crate) fn new(shared: Shared) -> Self {
        Self {
            shared: Arc::new(shared),
        }
    }
}

impl Shared {
    /// One request, start to end.
    async fn respond(&self, request: &Parts, payload: Payload) -> Result<Response<Body>, Error> {
        let route = Route::parse(&request.method, &request.uri)?;
        let grant = self.authorize(&route, request).await?;
        if self.read_only && !route.is_pull() {
            return Err(read_only());
        }
        let call = Call {
            shared: self,
            grant: &grant,
            request,
        };
        match route {
            Route::Base => Ok(handler::base::welcome()),
            Route::Catalog { query } => handler::base::catalog(&call, query).await,
            Route::PullBlob { name, digest } => handler::blob::pull(&call, name, digest).await,
            Route::DeleteBlob { name, digest } => handler::blob::delete(&call, name, digest).await,
            Route::StartUpload { name, query } => {
                handler::upload::start(&call, name, query, payload).await
            }
            Route::AppendUpload { name, id } => {
                handler::upload::append(&call, name, id, payload).await
            }
            Route::FinishUpload { name, id, query } => {
                handler::upload::finish(&call, name, id, query, payload).await
            }
            Route::StatUpload { name, id } => handler::upload::stat(&call, name, id).await,
            Route::CancelUpload { name, id } => handler::upload::cancel(&call, name, id).await,
            Route::PullManifest { name, reference } => {
                handler::manifest::pull(&call, name, reference).await
            }
            Route::PushManifest {
                name,
                reference,
                query,
            } => handler::manifest::push(&call, name, reference, query, payload).await,
            Route::DeleteManifest { name, reference } => {
                handler::manifest::delete(&call, name, reference).await
            }
            Route::ListTags { name, query } => handler::tag::list(&call, name, query).await,
            Route::ListReferrers {
                name,
                digest,
                query,
            } => handler::referrers::list(&call, name, digest, query).await,
        }
    }

    async fn authorize(&self, route: &Route, request: &Parts) -> Result<Grant, Error> {
        let access = route.access();
        let wanted = route.wanted_access();
        let credentials = Credentials::from_headers(&request.headers);
        let mut question = AuthRequest::new(&credentials, &access, &request.extensions);
        question.wanted = wanted.as_ref();
        let grant = self.authorizer.authorize(&question).await?;
        if grant.allows(&access) {
            Ok(grant)
        } else {
            Err(AuthError::Denied.into())
        }
    }

    async fn handle(&self, request: Parts, payload: Payload) -> Response<Body> {
        let mut response = match self.respond(&request, payload).await {
            Ok(response) => response,
            Err(error) => {
                if let Some(cause) = error.cause() {
                    self.failed(&request, cause);
                }
                error.into_response()
            }
        };
        let status = response.status();
        let length = http_body::Body::size_hint(response.body()).exact();
        let headers = response.headers_mut();
        headers.insert(names::DOCKER_API_VERSION, names::API_VERSION);
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, names::NOSNIFF);
        headers
            .entry(header::CACHE_CONTROL)
            .or_insert(names::NO_STORE);
        if status != StatusCode::NO_CONTENT && status != StatusCode::NOT_MODIFIED {
            // A handler that spares itself the body of a HEAD says it by itself.
            let length = length.map(HeaderValue::from);
            headers
                .entry(header::CONTENT_LENGTH)
                .or_insert_with(|| length.unwrap_or(HeaderValue::from_static("0")));
        }
        if request.method == Method::HEAD {
            *response.body_mut() = Body::empty();
        }
        let observer = Arc::clone(&self.observer);
        response.map(|body| body.watched(observer, request))
    }

    /// Tells the observer of a failure of our own.
    pub(crate) fn failed(
        &self,
        request: &Parts,
        cause: &(dyn std::error::Error + Send + Sync + 'static),
    ) {
        self.observer.failure(&Failure {
            method: &request.method,
            path: request.uri.path(),
            cause,
        });
    }
}

impl<B> Service<Request<B>> for Registry
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = ResponseFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> ResponseFuture {
        let shared = Arc::clone(&self.shared);
        let (request, body) = request.into_parts();
        let payload = Payload::new(&request.headers, body);
        ResponseFuture(Box::pin(
            async move { shared.handle(request, payload).await },
        ))
    }
}

fn read_only() -> Error {
    Error::new(
        ErrorCode::Unsupported,
        "the registry is read-only for the time being",
    )
    .with_header(header::ALLOW, HeaderValue::from_static("GET, HEAD"))
}

/// The future of a response.
#[must_use = "futures do nothing unless polled"]
pub struct ResponseFuture(Pin<Box<dyn Future<Output = Response<Body>> + Send>>);

impl Future for ResponseFuture {
    type Output = Result<Response<Body>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(cx).map(Ok)
    }
}

impl fmt::Debug for ResponseFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ResponseFuture")
    }
}
