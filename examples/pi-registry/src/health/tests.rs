use http::{HeaderMap, StatusCode, Uri};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;

const SHORT: Duration = Duration::from_millis(20);

/// Longer than anything here takes.
const LONG: Duration = Duration::from_secs(20);

fn check(probe: Probe, threshold: usize) -> Check {
    Check {
        name: "it".to_owned(),
        probe: Arc::new(probe),
        interval: SHORT,
        timeout: Duration::from_millis(200),
        threshold,
    }
}

/// The status of a request, 200 standing for what lies behind.
fn status(health: &Health) -> StatusCode {
    match health.filter(Request::new(())) {
        ControlFlow::Continue(_) => StatusCode::OK,
        ControlFlow::Break(response) => {
            assert_eq!(response.headers()[header::RETRY_AFTER], "10");
            response.status()
        }
    }
}

async fn becomes(health: &Health, expected: StatusCode) {
    let reached = async {
        while status(health) != expected {
            tokio::time::sleep(SHORT).await;
        }
    };
    timeout(LONG, reached).await.expect("in time");
}

#[tokio::test]
async fn a_file_takes_the_registry_out_of_service_and_its_removal_back() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let path = dir.path().join("down");
    let (health, _checks) = Health::start(vec![check(Probe::File(path.clone()), 1)]);
    assert_eq!(status(&health), StatusCode::OK);
    std::fs::write(&path, "").expect("written");
    becomes(&health, StatusCode::SERVICE_UNAVAILABLE).await;
    let failing = health.failing();
    assert_eq!(failing["it"], "file exists");
    std::fs::remove_file(&path).expect("removed");
    becomes(&health, StatusCode::OK).await;
    assert!(health.failing().is_empty());
}

/// The clock stands still but for the sleeps here.
#[tokio::test(start_paused = true)]
async fn a_check_fails_at_its_threshold_and_not_before() {
    let probe = Arc::new(Probe::Counting {
        runs: AtomicUsize::new(0),
        answer: |run| match run {
            3 | 7 => Ok(()),
            _ => Err(format!("failure {run}")),
        },
    });
    let mut it = check(Probe::File("unused".into()), 3);
    it.probe = Arc::clone(&probe);
    let half = it.interval / 2;
    let (health, _checks) = Health::start(vec![it]);
    // Two failures, a success that starts anew, three failures, a success.
    for (run, expected) in (1..).zip([200, 200, 200, 200, 200, 503, 200]) {
        tokio::time::sleep(half).await;
        let Probe::Counting { runs, .. } = &*probe else {
            unreachable!()
        };
        assert_eq!(runs.load(Ordering::SeqCst), run);
        assert_eq!(status(&health), expected, "after run {run}");
        if expected == 503 {
            assert_eq!(health.failing()["it"], "failure 6");
        }
        tokio::time::sleep(half).await;
    }
}

#[tokio::test]
async fn a_listener_is_enough_for_a_tcp_check() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("free");
    let addr = listener.local_addr().expect("bound").to_string();
    assert_eq!(Probe::Tcp(addr).run().await, Ok(()));
}

/// Answers one request, and returns its head.
async fn answer_once(listener: TcpListener, answer: &str) -> String {
    let (mut stream, _) = listener.accept().await.expect("a client");
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.expect("a head"));
    }
    stream.write_all(answer.as_bytes()).await.expect("open");
    String::from_utf8(head).expect("text")
}

#[tokio::test]
async fn an_http_check_compares_the_status_of_a_head_request() {
    let checks = config::Health::default();
    assert!(checks.http.is_empty(), "off by default");
    for (answer, expected) in [
        ("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n", Ok(())),
        ("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n", Ok(())),
        (
            "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n",
            Err("status 404, expected 200".to_owned()),
        ),
        (
            "HTTP/1.1 302 Found\r\nlocation: /b\r\ncontent-length: 0\r\n\r\n",
            Err(
                "status 302, expected 200: 302 redirects are not followed: check the final \
                 address"
                    .to_owned(),
            ),
        ),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("free");
        let addr = listener.local_addr().expect("bound");
        let environment = [(
            "REGISTRY_HEALTH_HTTP".into(),
            format!("[{{uri: 'http://{addr}/ok?a=b', headers: {{x-a: [b]}}}}]").into(),
        )];
        let config = crate::Config::load(None, environment).expect("valid");
        let probe = Probe::Http(Box::new(config.health.http[0].clone()));
        let server = tokio::spawn(answer_once(listener, answer));
        assert_eq!(probe.run().await, expected);
        let head = server.await.expect("no panic");
        assert!(head.starts_with("HEAD /ok?a=b HTTP/1.1\r\n"), "{head}");
        assert!(head.contains(&format!("host: {addr}\r\n")), "{head}");
        assert!(head.contains("x-a: b\r\n"), "{head}");
    }
}

#[tokio::test]
async fn what_does_not_answer_fails() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("free");
    let addr = listener.local_addr().expect("bound");
    let uri: Uri = format!("http://{addr}/").parse().expect("valid");
    let environment = [(
        "REGISTRY_HEALTH_HTTP".into(),
        format!("[{{uri: '{uri}'}}]").into(),
    )];
    let config = crate::Config::load(None, environment).expect("valid");
    assert_eq!(config.health.http[0].headers, HeaderMap::new());
    let probe = Probe::Http(Box::new(config.health.http[0].clone()));
    let (health, _checks) = Health::start(vec![check(probe, 1)]);
    becomes(&health, StatusCode::SERVICE_UNAVAILABLE).await;
    assert_eq!(health.failing()["it"], "no answer in 200ms");
}
