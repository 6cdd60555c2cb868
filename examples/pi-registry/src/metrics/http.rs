//! Requests, measured.

use std::fmt::{self, Write as _};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Instant;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;
use tower_service::Service;

use super::handler::Handler;
use crate::watched::{Watch, WatchedBody, WatchedFuture};

type Histograms<L> = Family<L, Histogram, fn() -> Histogram>;

/// The counters of requests. Clones share them.
#[derive(Clone, Debug)]
pub struct HttpMetrics {
    in_flight: Family<ByHandler, Gauge>,
    total: Family<ByCode, Counter>,
    duration: Histograms<ByMethod>,
    request_size: Histograms<ByHandler>,
    response_size: Histograms<ByHandler>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByHandler {
    handler: Handler,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByMethod {
    handler: Handler,
    method: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByCode {
    handler: Handler,
    method: &'static str,
    code: Code,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Code(u16);

impl EncodeLabelValue for Code {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
        write!(encoder, "{}", self.0)
    }
}

impl EncodeLabelValue for Handler {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
        encoder.write_str(self.as_str())
    }
}

/// As distribution writes methods; clients can make up any number of others.
fn method(method: &Method) -> &'static str {
    match *method {
        Method::GET => "get",
        Method::HEAD => "head",
        Method::POST => "post",
        Method::PUT => "put",
        Method::PATCH => "patch",
        Method::DELETE => "delete",
        Method::OPTIONS => "options",
        _ => "other",
    }
}

/// Distribution's buckets.
fn durations() -> Histogram {
    Histogram::new([
        0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 25.0, 60.0,
    ])
}

/// Distribution's buckets: 1 KiB to 2 GiB.
fn sizes() -> Histogram {
    Histogram::new(exponential_buckets(1024.0, 2.0, 22))
}

impl HttpMetrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            in_flight: Family::default(),
            total: Family::default(),
            duration: Family::new_with_constructor(durations),
            request_size: Family::new_with_constructor(sizes),
            response_size: Family::new_with_constructor(sizes),
        };
        let registry = registry.sub_registry_with_prefix("registry_http");
        let help = "The in-flight HTTP requests";
        registry.register("in_flight_requests", help, metrics.in_flight.clone());
        let help = "Total number of HTTP requests made";
        // Encoding adds `_total`, and to every help text a full stop.
        registry.register("requests", help, metrics.total.clone());
        let help = "The HTTP request latencies in seconds";
        registry.register("request_duration_seconds", help, metrics.duration.clone());
        let help = "The HTTP request sizes in bytes";
        registry.register("request_size_bytes", help, metrics.request_size.clone());
        let help = "The HTTP response sizes in bytes";
        registry.register("response_size_bytes", help, metrics.response_size.clone());
        metrics
    }
}

/// A service whose requests are measured, where that is asked for.
#[derive(Clone, Debug)]
pub struct Measured<S> {
    inner: S,
    metrics: Option<HttpMetrics>,
}

impl<S> Measured<S> {
    /// Measures the requests of a service.
    pub const fn new(metrics: Option<HttpMetrics>, inner: S) -> Self {
        Self { inner, metrics }
    }
}

impl<S, A, B> Service<Request<A>> for Measured<S>
where
    S: Service<Request<Counted<A>>, Response = Response<B>>,
    B: Body<Data = Bytes>,
{
    type Response = Response<WatchedBody<B, Entry>>;
    type Error = S::Error;
    type Future = WatchedFuture<S::Future, Entry>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<A>) -> Self::Future {
        let entry = self.metrics.as_ref().map(|metrics| {
            let handler = Handler::of(request.uri().path());
            metrics
                .in_flight
                .get_or_create(&ByHandler { handler })
                .inc();
            Entry {
                metrics: metrics.clone(),
                handler,
                method: method(request.method()),
                bodyless: request.method() == Method::HEAD,
                start: Instant::now(),
                status: None,
                received: Arc::new(AtomicU64::new(0)),
                sent: 0,
            }
        });
        let received = entry.as_ref().map(|entry| Arc::clone(&entry.received));
        let request = request.map(|inner| Counted { inner, received });
        WatchedFuture::new(self.inner.call(request), entry)
    }
}

/// One request, recorded when it is dropped.
#[derive(Debug)]
pub struct Entry {
    metrics: HttpMetrics,
    handler: Handler,
    method: &'static str,
    bodyless: bool,
    start: Instant,
    status: Option<StatusCode>,
    received: Arc<AtomicU64>,
    sent: u64,
}

impl Drop for Entry {
    fn drop(&mut self) {
        /// nginx's "client closed request".
        const CLOSED: u16 = 499;
        let Self {
            metrics,
            handler,
            method,
            ..
        } = self;
        let (handler, method) = (*handler, *method);
        let by_handler = ByHandler { handler };
        metrics.in_flight.get_or_create(&by_handler).dec();
        let code = Code(self.status.map_or(CLOSED, |status| status.as_u16()));
        let by_code = ByCode {
            handler,
            method,
            code,
        };
        metrics.total.get_or_create(&by_code).inc();
        let seconds = self.start.elapsed().as_secs_f64();
        let by_method = ByMethod { handler, method };
        metrics.duration.get_or_create(&by_method).observe(seconds);
        let received = self.received.load(Ordering::Relaxed) as f64;
        let size = metrics.request_size.get_or_create(&by_handler);
        size.observe(received);
        let size = metrics.response_size.get_or_create(&by_handler);
        size.observe(self.sent as f64);
    }
}

impl Watch for Entry {
    fn responded(&mut self, status: StatusCode, _: bool) {
        self.status = Some(status);
    }

    fn sent(&mut self, bytes: u64, _: bool) {
        if !self.bodyless {
            self.sent += bytes;
        }
    }

    fn ended(&mut self, _: bool) {}
}

pin_project! {
    /// The body of a [`Measured`] service's request, counted as it is read.
    #[derive(Debug)]
    pub struct Counted<B> {
        #[pin]
        inner: B,
        received: Option<Arc<AtomicU64>>,
    }
}

impl<B: Body<Data = Bytes>> Body for Counted<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let this = self.project();
        let polled = ready!(this.inner.poll_frame(cx));
        if let Some(received) = this.received
            && let Some(Ok(frame)) = &polled
            && let Some(data) = frame.data_ref()
        {
            received.fetch_add(data.len() as u64, Ordering::Relaxed);
        }
        Poll::Ready(polled)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use http_body_util::{BodyExt as _, Full};
    use tower::{ServiceExt as _, service_fn};

    use super::super::Metrics;
    use super::*;

    /// Sends a request with three bytes through a service that reads them and
    /// answers five; returns what is measured then.
    async fn measured(requests: &[(&str, &str)]) -> String {
        let metrics = Metrics::new();
        let service = service_fn(|request: Request<Counted<Full<Bytes>>>| async {
            let _ = request.into_body().collect().await;
            Ok::<_, Infallible>(Response::new(Full::new(Bytes::from_static(b"12345"))))
        });
        for (method, path) in requests {
            let request = Request::builder().method(*method).uri(*path);
            let request = request.body(Full::from("abc")).expect("valid");
            let service = Measured::new(Some(metrics.http().clone()), service);
            let response = service.oneshot(request).await.expect("infallible");
            let text = metrics.text().expect("text");
            let in_flight = format!(
                "registry_http_in_flight_requests{{handler=\"{}\"}} 1\n",
                Handler::of(path).as_str()
            );
            assert!(text.contains(&in_flight), "{in_flight} in {text}");
            response.into_body().collect().await.expect("whole");
        }
        metrics.text().expect("text")
    }

    #[tokio::test]
    async fn a_request_is_measured_by_distributions_names() {
        let text = measured(&[("PUT", "/v2/a/manifests/b"), ("GET", "/v2/a/blobs/c")]).await;
        for line in [
            "registry_http_in_flight_requests{handler=\"manifest\"} 0",
            "registry_http_requests_total{handler=\"manifest\",method=\"put\",code=\"200\"} 1",
            "registry_http_request_duration_seconds_count{handler=\"blob\",method=\"get\"} 1",
            "registry_http_request_size_bytes_sum{handler=\"manifest\"} 3",
            "registry_http_response_size_bytes_sum{handler=\"blob\"} 5",
            "pi_registry_build_info{version=\"",
            "process_resident_memory_bytes ",
            "process_open_fds ",
            "process_start_time_seconds ",
            "process_cpu_seconds_total ",
        ] {
            assert!(text.contains(line), "{line} in {text}");
        }
    }

    #[tokio::test]
    async fn labels_are_bounded_whatever_clients_send() {
        let paths: Vec<String> = (0..50)
            .map(|n| format!("/v2/r{n}/manifests/t{n}"))
            .collect();
        let methods: Vec<String> = (0..50).map(|n| format!("M{n}")).collect();
        let requests: Vec<(&str, &str)> = methods
            .iter()
            .map(String::as_str)
            .zip(paths.iter().map(String::as_str))
            .collect();
        let text = measured(&requests).await;
        let series = text
            .lines()
            .filter(|line| line.starts_with("registry_http_requests_total"));
        let series: Vec<&str> = series.collect();
        assert_eq!(
            series,
            ["registry_http_requests_total{handler=\"manifest\",method=\"other\",code=\"200\"} 50"]
        );
    }

    #[tokio::test]
    async fn a_request_that_is_given_up_is_counted_and_no_longer_in_flight() {
        let metrics = Metrics::new();
        let never = service_fn(|_: Request<Counted<Full<Bytes>>>| {
            std::future::pending::<Result<Response<Full<Bytes>>, Infallible>>()
        });
        let request = Request::new(Full::from("abc"));
        let mut call =
            Box::pin(Measured::new(Some(metrics.http().clone()), never).oneshot(request));
        let polled = std::future::poll_fn(|cx| Poll::Ready(call.as_mut().poll(cx))).await;
        assert!(polled.is_pending());
        let in_flight = "registry_http_in_flight_requests{handler=\"other\"} ";
        assert!(
            metrics
                .text()
                .expect("text")
                .contains(&format!("{in_flight}1"))
        );
        drop(call);
        let text = metrics.text().expect("text");
        assert!(text.contains(&format!("{in_flight}0")), "{text}");
        assert!(text.contains("code=\"499\"} 1"), "{text}");
    }
}
