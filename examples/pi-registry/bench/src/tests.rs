//! That wrong bytes end a measurement: against a server that answers every request with the same bytes.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;

async fn serve(answer: impl Into<Vec<u8>>) -> String {
    let answer = answer.into();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = [0; 4096];
            while stream.read(&mut request).await.is_ok_and(|read| read > 0) {
                stream.write_all(&answer).await.expect("a reader");
            }
        }
    });
    format!("http://{address}/file")
}

/// A file of more than one part that is compared at a time.
fn content() -> (tempfile::NamedTempFile, Vec<u8>) {
    let bytes: Vec<u8> = (0..(2 << 20) + 5_u32).map(|n| (n % 251) as u8).collect();
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), &bytes).expect("written");
    (file, bytes)
}

async fn outcome(arguments: &[&str]) -> std::result::Result<(), String> {
    let words = ["registry-load"].iter().chain(arguments);
    let done = match Cli::try_parse_from(words).expect("valid").command {
        Command::Pull(arguments) => pull::run(arguments).await,
        Command::Requests(arguments) => requests::run(arguments).await,
        other => panic!("not tried here: {other:?}"),
    };
    done.map_err(|error| error.to_string())
}

fn answer(head: &str, body: &[u8]) -> Vec<u8> {
    [
        format!("HTTP/1.1 {head}\r\nContent-Length: {}\r\n\r\n", body.len()).as_bytes(),
        body,
    ]
    .concat()
}

#[tokio::test]
async fn a_pull_compares_every_part_in_turn() {
    let (file, bytes) = content();
    let content = file.path().to_str().expect("UTF-8");
    // Three pulls see the three parts.
    let all = ["--bytes", "6000000", "--content", content];
    let pull = async |url: &str| outcome(&[&["pull", url][..], &all].concat()).await;

    let good = serve(answer("200 OK", &bytes)).await;
    assert_eq!(pull(&good).await, Ok(()));
    for wrong in [0, 1 << 20, bytes.len() - 1] {
        let mut bytes = bytes.clone();
        bytes[wrong] ^= 1;
        let url = serve(answer("200 OK", &bytes)).await;
        let failure = pull(&url).await.expect_err("another byte");
        assert_eq!(failure, "received other bytes than expected", "{wrong}");
    }
}

#[tokio::test]
async fn other_answers_end_it() {
    let (file, bytes) = content();
    let content = file.path().to_str().expect("UTF-8");
    for (answer, expected) in [
        (answer("404 Not Found", b""), "expected status 200, got 404"),
        (answer("200 OK", b"short"), "expected 2097157 bytes, got 5"),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec(),
            "an answer 200 of unknown length",
        ),
    ] {
        let url = serve(answer).await;
        for subcommand in ["pull", "requests"] {
            let amount = match subcommand {
                "pull" => ["--bytes", "1"],
                _ => ["--seconds", "0.01"],
            };
            let arguments = [&[subcommand, &url, "--content", content][..], &amount].concat();
            assert_eq!(outcome(&arguments).await, Err(expected.to_owned()));
        }
    }
    let mut wrong = bytes;
    wrong[5] ^= 1;
    let url = serve(answer("200 OK", &wrong)).await;
    let arguments = ["requests", &url, "--content", content, "--seconds", "0.01"];
    let failure = outcome(&arguments).await.expect_err("another byte");
    assert_eq!(failure, "received other bytes than expected");
}

#[tokio::test]
async fn a_cut_connection_is_no_short_answer() {
    let (file, bytes) = content();
    let content = file.path().to_str().expect("UTF-8");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/", listener.local_addr().expect("an address"));
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a client");
        let mut answer = answer("200 OK", &bytes);
        answer.truncate(1 << 20);
        let asked = stream.read(&mut [0; 4096]).await.expect("a request");
        assert!(asked > 0);
        stream.write_all(&answer).await.expect("a reader");
    });
    let failure = outcome(&["pull", &url, "--content", content, "--bytes", "1"]).await;
    let failure = failure.expect_err("cut short");
    assert_eq!(failure, "the server closed the connection");
}

#[tokio::test]
async fn each_thing_is_asked_for_once_and_compared_with_its_own_content() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/", listener.local_addr().expect("an address"));
    let (asked, paths) = std::sync::mpsc::channel();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let asked = asked.clone();
            tokio::spawn(async move {
                let mut request = [0; 4096];
                while let Ok(read @ 1..) = stream.read(&mut request).await {
                    let text = String::from_utf8_lossy(&request[..read]);
                    let path = text.split(' ').nth(1).expect("a path").to_owned();
                    // The content of a thing is its path.
                    let answer = answer("200 OK", path.as_bytes());
                    asked.send(path).expect("a test");
                    stream.write_all(&answer).await.expect("a reader");
                }
            });
        }
    });
    let dir = tempfile::tempdir().expect("a directory");
    for (number, content) in [(0, "/t/0"), (1, "/t/1"), (2, "/t/2"), (3, "/t/x")] {
        std::fs::write(dir.path().join(format!("c{number}")), content).expect("written");
    }
    let (url, content) = (format!("{url}t/{{}}"), dir.path().join("c{}"));
    let content = content.to_str().expect("UTF-8");
    let each = async |count: &str| {
        let all = ["--seconds", "60", "--connections", "2", "--each", count];
        outcome(&[&["requests", &url, "--content", content][..], &all].concat()).await
    };
    assert_eq!(each("3").await, Ok(()));
    let mut seen: Vec<String> = std::iter::from_fn(|| paths.try_recv().ok()).collect();
    seen.sort_unstable();
    assert_eq!(seen, ["/t/0", "/t/1", "/t/2"]);
    let failure = each("4").await.expect_err("another byte");
    assert_eq!(failure, "received other bytes than expected");
}
