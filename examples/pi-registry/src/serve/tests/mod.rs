//! The server over real sockets of 127.0.0.1, with short limits.

mod tls;

use std::net::SocketAddr;
use std::task::{Context, Poll};

use http_body_util::{BodyExt as _, Empty, Full, StreamBody};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use super::*;

const SHORT: Timeouts = Timeouts {
    handshake: Duration::from_millis(600),
    idle: Duration::from_millis(600),
    stall: Duration::from_millis(900),
};

/// Longer than anything here takes.
const LONG: Duration = Duration::from_secs(20);

/// Counts the bytes of a request, answers `/endless` without end, `/refused` without a
/// look at the body, `/transport` with how it came, and fails in the middle of `/broken`.
#[derive(Clone)]
struct Count;

type Answer = http_body_util::combinators::BoxBody<Bytes, BoxError>;

impl Service<Request<RequestBody>> for Count {
    type Response = Response<Answer>;
    type Error = Infallible;
    type Future =
        std::pin::Pin<Box<dyn Future<Output = Result<Response<Answer>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<RequestBody>) -> Self::Future {
        Box::pin(async move {
            if request.uri().path() == "/endless" {
                let frame = || Ok(http_body::Frame::data(Bytes::from(vec![0; 64 * 1024])));
                let frames = futures_util::stream::repeat_with(frame);
                return Ok(Response::new(StreamBody::new(frames).boxed()));
            }
            if request.uri().path() == "/broken" {
                let frames = [
                    Ok(http_body::Frame::data(Bytes::from_static(b"some"))),
                    Err("disk".into()),
                ];
                let body = StreamBody::new(futures_util::stream::iter(frames));
                return Ok(Response::new(body.boxed()));
            }
            if request.uri().path() == "/transport" {
                let transport = format!("{:?}", request.extensions().get::<Transport>());
                let body = Full::from(transport).map_err(|never| match never {});
                return Ok(Response::new(body.boxed()));
            }
            if request.uri().path() == "/refused" {
                let body = Full::from("no").map_err(|never| match never {});
                return Ok(Response::new(body.boxed()));
            }
            let text = match request.into_body().collect().await {
                Ok(body) => body.to_bytes().len().to_string(),
                Err(error) => error.to_string(),
            };
            let body = Full::from(text).map_err(|never| match never {});
            Ok(Response::new(body.boxed()))
        })
    }
}

struct Running {
    addr: SocketAddr,
    stop: oneshot::Sender<()>,
    server: JoinHandle<usize>,
}

async fn start(timeouts: Timeouts, drain: Duration) -> Running {
    let options = Options {
        timeouts,
        ..Options::default()
    };
    start_with(options, None, drain).await
}

async fn start_with(options: Options, tls: Option<Arc<Reloading>>, drain: Duration) -> Running {
    let listener = bind(&"127.0.0.1:0".parse().expect("valid"), "http.addr")
        .await
        .expect("free");
    let &Bound::Tcp(addr) = listener.bound() else {
        panic!("an address was asked for");
    };
    let (stop, stopped) = oneshot::channel();
    let stopped = async {
        let _ = stopped.await;
    };
    let server = tokio::spawn(serve(listener, tls, Count, options, stopped, sleep(drain)));
    Running { addr, stop, server }
}

impl Running {
    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.addr).await.expect("listening")
    }
}

/// Reads until the server closes the connection.
async fn rest(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    // A reset is an end as well.
    let _ = timeout(LONG, stream.read_to_end(&mut bytes))
        .await
        .expect("closed");
    String::from_utf8_lossy(&bytes).into_owned()
}

async fn read_until(stream: &mut TcpStream, end: &str) -> String {
    let mut text = String::new();
    while !text.ends_with(end) {
        let byte = timeout(LONG, stream.read_u8())
            .await
            .expect("in time")
            .expect("open");
        text.push(char::from(byte));
    }
    text
}

#[tokio::test]
async fn a_connection_is_kept_alive_and_closed_when_idle() {
    let running = start(SHORT, LONG).await;
    let mut stream = running.connect().await;
    for _ in 0..3 {
        stream
            .write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            .await
            .expect("open");
        read_until(&mut stream, "\r\n\r\n0").await;
        sleep(SHORT.idle / 2).await;
    }
    let before = Instant::now();
    assert_eq!(rest(&mut stream).await, "");
    assert!(before.elapsed() < SHORT.idle * 2);
}

#[tokio::test]
async fn a_connection_that_says_nothing_or_never_ends_its_head_is_closed() {
    let running = start(SHORT, LONG).await;
    for start in ["", "P", "GET / HTTP/1.1\r\nHost: "] {
        let mut stream = running.connect().await;
        stream.write_all(start.as_bytes()).await.expect("open");
        let before = Instant::now();
        rest(&mut stream).await;
        assert!(before.elapsed() < SHORT.idle * 3, "{start:?}");
    }
}

#[tokio::test]
async fn a_head_has_a_size_limit_below_that_of_the_buffers() {
    let running = start(SHORT, LONG).await;
    for (length, expected) in [(60, "HTTP/1.1 200 "), (70, "HTTP/1.1 431 ")] {
        let mut stream = running.connect().await;
        let filler = "x".repeat(length * 1024);
        let head = format!("GET / HTTP/1.1\r\nHost: x\r\nFiller: {filler}\r\n\r\n");
        // The server may close before it has taken all.
        let _ = stream.write_all(head.as_bytes()).await;
        read_until(&mut stream, expected).await;
    }
}

#[tokio::test]
async fn a_slow_upload_may_take_longer_than_any_limit() {
    let running = start(SHORT, LONG).await;
    let mut stream = running.connect().await;
    stream
        .write_all(b"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n")
        .await
        .expect("open");
    for _ in 0..5 {
        sleep(SHORT.stall / 2).await;
        stream.write_all(b"x").await.expect("open");
    }
    read_until(&mut stream, "\r\n\r\n5").await;
}

#[tokio::test]
async fn an_upload_that_stops_fails_its_body_and_ends() {
    let running = start(SHORT, LONG).await;
    let mut stream = running.connect().await;
    stream
        .write_all(b"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nab")
        .await
        .expect("open");
    let answer = rest(&mut stream).await;
    assert!(
        answer.ends_with("no byte of the request body came for 0 seconds"),
        "{answer}"
    );
}

#[tokio::test]
async fn a_refused_upload_can_read_its_answer_and_go_on() {
    let running = start(SHORT, LONG).await;
    let mut stream = running.connect().await;
    stream
        .write_all(b"PUT /refused HTTP/1.1\r\nHost: x\r\nContent-Length: 4000000\r\n\r\n")
        .await
        .expect("open");
    // As clients do that send everything before they read.
    for _ in 0..40 {
        stream.write_all(&[b'x'; 100_000]).await.expect("open");
    }
    read_until(&mut stream, "\r\n\r\nno").await;
    stream
        .write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        .await
        .expect("open");
    read_until(&mut stream, "\r\n\r\n0").await;
}

#[tokio::test]
async fn a_connection_goes_on_where_it_rested() {
    const REST: Duration = Duration::from_millis(250);
    let running = start(Timeouts::default(), LONG).await;
    let mut stream = running.connect().await;
    let request = "GET / HTTP/1.1\r\nHost: registry.example\r\n\r\n";
    // Behind a whole request, half of another one that is longer than a look.
    let (half, other) = request.split_at(30);
    for (first, then) in [
        (request, request),
        (&format!("{request}{half}"), other),
        (
            "PUT / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            request,
        ),
    ] {
        stream.write_all(first.as_bytes()).await.expect("open");
        read_until(&mut stream, "\r\n\r\n0").await;
        sleep(REST).await;
        stream.write_all(then.as_bytes()).await.expect("open");
        read_until(&mut stream, "\r\n\r\n0").await;
        sleep(REST).await;
    }
    // A body that comes after its answer is not taken for a request.
    let refused = b"PUT /refused HTTP/1.1\r\nHost: x\r\nContent-Length: 37\r\n\r\n";
    stream.write_all(refused).await.expect("open");
    read_until(&mut stream, "\r\n\r\nno").await;
    sleep(REST).await;
    let body = "GET /refused HTTP/1.1\r\nHost: x\r\n\r\n...";
    let body = &body[..37];
    stream.write_all(body.as_bytes()).await.expect("open");
    sleep(REST).await;
    stream.write_all(request.as_bytes()).await.expect("open");
    let answer = read_until(&mut stream, "\r\n\r\n0").await;
    assert_eq!(answer.matches("HTTP/1.1").count(), 1, "{answer}");
}

#[tokio::test]
async fn a_response_that_fails_never_ends_cleanly() {
    let running = start(SHORT, LONG).await;
    let mut stream = running.connect().await;
    stream
        .write_all(b"GET /broken HTTP/1.1\r\nHost: x\r\n\r\n")
        .await
        .expect("open");
    let answer = rest(&mut stream).await;
    // A chunked body ends with an empty chunk.
    assert!(!answer.ends_with("0\r\n\r\n"), "{answer}");
}

#[tokio::test]
async fn a_download_that_nobody_takes_is_cut() {
    let running = start(SHORT, LONG).await;
    let mut stream = running.connect().await;
    stream
        .write_all(b"GET /endless HTTP/1.1\r\nHost: x\r\n\r\n")
        .await
        .expect("open");
    // Slowly is fine, for longer than the limit.
    let mut some = vec![0; 1024 * 1024];
    for _ in 0..4 {
        stream.read_exact(&mut some).await.expect("goes on");
        sleep(SHORT.stall / 3).await;
    }
    sleep(SHORT.stall * 3).await;
    let mut read = 0;
    // What was under way still comes, then the end.
    while let Ok(Ok(more @ 1..)) = timeout(LONG, stream.read(&mut some)).await {
        read += more;
        assert!(read < 512 * 1024 * 1024, "the download goes on");
    }
}

#[tokio::test]
async fn http_2_works_without_negotiation_and_is_closed_when_idle() {
    let running = start(SHORT, LONG).await;
    let io = TokioIo::new(running.connect().await);
    let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), io);
    let (mut client, connection) = handshake.await.expect("HTTP/2");
    let connection = tokio::spawn(connection);
    let request = Request::get("http://x/").body(Empty::<Bytes>::new());
    let response = client
        .send_request(request.expect("valid"))
        .await
        .expect("answered");
    assert_eq!(response.version(), http::Version::HTTP_2);
    let body = response
        .into_body()
        .collect()
        .await
        .expect("whole")
        .to_bytes();
    assert_eq!(body, "0");
    let ended = timeout(LONG, connection).await.expect("closed when idle");
    ended.expect("no panic").expect("in order");
}

#[tokio::test]
async fn http_2_without_tls_can_be_switched_off() {
    let options = Options {
        timeouts: SHORT,
        h2c: false,
        ..Options::default()
    };
    let running = start_with(options, None, LONG).await;
    let mut stream = running.connect().await;
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    stream.write_all(preface).await.expect("open");
    let answer = rest(&mut stream).await;
    assert_eq!(answer, "", "hyper just closes the connection");
    let mut stream = running.connect().await;
    let request = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n";
    stream.write_all(request).await.expect("open");
    read_until(&mut stream, "\r\n\r\n0").await;
}

#[tokio::test]
async fn a_stop_waits_for_transfers_and_not_for_idle_connections() {
    let running = start(Timeouts::default(), LONG).await;
    let mut fresh = running.connect().await;
    let mut used = running.connect().await;
    used.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        .await
        .expect("open");
    read_until(&mut used, "\r\n\r\n0").await;
    let mut busy = running.connect().await;
    busy.write_all(b"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\na")
        .await
        .expect("open");
    sleep(Duration::from_millis(200)).await;

    running.stop.send(()).expect("running");
    rest(&mut fresh).await;
    rest(&mut used).await;
    assert!(
        TcpStream::connect(running.addr).await.is_err(),
        "still listening"
    );
    assert!(!running.server.is_finished());
    busy.write_all(b"b").await.expect("open");
    let answer = rest(&mut busy).await;
    assert!(answer.ends_with("\r\n\r\n2"), "{answer}");
    assert_eq!(
        timeout(LONG, running.server)
            .await
            .expect("ends")
            .expect("no panic"),
        0
    );
}

#[tokio::test]
async fn what_does_not_finish_in_time_is_cut_and_counted() {
    let running = start(Timeouts::default(), Duration::from_millis(300)).await;
    let mut busy = running.connect().await;
    busy.write_all(b"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\na")
        .await
        .expect("open");
    sleep(Duration::from_millis(200)).await;
    running.stop.send(()).expect("running");
    assert_eq!(
        timeout(LONG, running.server)
            .await
            .expect("ends")
            .expect("no panic"),
        1
    );
    assert_eq!(rest(&mut busy).await, "");
}

#[tokio::test]
async fn half_a_head_does_not_hold_up_the_end() {
    let patient = Timeouts {
        handshake: SHORT.handshake,
        idle: LONG,
        stall: LONG,
    };
    let running = start(patient, LONG).await;
    let mut stream = running.connect().await;
    stream.write_all(b"GET / HT").await.expect("sent");
    // Until the server has read it.
    sleep(Duration::from_millis(100)).await;
    let begun = Instant::now();
    running.stop.send(()).expect("running");
    assert_eq!(running.server.await.expect("no panic"), 0);
    assert!(begun.elapsed() < LONG / 2, "{:?}", begun.elapsed());
    rest(&mut stream).await;
}
