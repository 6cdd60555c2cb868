//! Ranges of bytes: of a pull, and of a chunk of an upload.

use std::convert::Infallible;
use std::ops::Range;
use std::sync::LazyLock;

use bytes::Bytes;
use futures_util::stream;
use http::{HeaderValue, Request, StatusCode};
use http_body::Frame;
use http_body_util::StreamBody;
use regex_lite::Regex;
use registry_spec::types::{Algorithm, Digest};
use registry_spec::{BoxError, Registry};

use crate::service::{NAME, Reply, full, push_blob, registry, send};

/// Pulls blobs with a `Range`, and an `If-Range` if there is a second line:
/// the headers of the answer describe its body, and the body is that part of
/// the blob.
pub fn pull_range(data: &[u8]) {
    const LENGTHS: [u8; 3] = [0, 1, 100];
    static REGISTRY: LazyLock<Registry> = LazyLock::new(|| {
        let registry = registry();
        for length in LENGTHS {
            push_blob(&registry, &Vec::from_iter(0..length));
        }
        registry
    });
    let (range, condition) = lines(data);
    for length in LENGTHS {
        let content = Vec::from_iter(0..length);
        let digest = Digest::of(Algorithm::Sha256, &content);
        let mut request = Request::get(format!("/v2/{NAME}/blobs/{digest}")).header("range", range);
        if let Some(condition) = condition {
            request = request.header("if-range", condition);
        }
        // What is no header never gets as far as this.
        let Ok(request) = request.body(full(b"")) else {
            return;
        };
        let reply = send(&REGISTRY, request);
        if reply.status == StatusCode::BAD_REQUEST {
            assert!(has_many_parts(range), "{reply:?}");
            continue;
        }
        is_consistent(&reply, &content);

        let etag = format!("\"{digest}\"");
        if condition.is_some_and(|condition| condition != etag.as_bytes()) {
            reply.expect(200);
        } else if let Some(part) = one_part(range, content.len()) {
            match part {
                _ if content.is_empty() => assert_eq!(reply.status, 200, "{reply:?}"),
                Some(part) => assert_eq!(reply.body, content[part]),
                None => assert_eq!(reply.status, 416, "{reply:?}"),
            }
        }
    }
}

fn is_consistent(reply: &Reply, content: &[u8]) {
    let length = content.len();
    match reply.status {
        StatusCode::OK => {
            assert_eq!(reply.body, content);
            assert!(!reply.headers.contains_key("content-range"), "{reply:?}");
        }
        StatusCode::PARTIAL_CONTENT => {
            let content_type = reply.header("content-type");
            match content_type.strip_prefix("multipart/byteranges; boundary=") {
                Some(boundary) => {
                    assert!(!reply.headers.contains_key("content-range"), "{reply:?}");
                    are_parts(&reply.body, boundary, content);
                }
                None => {
                    let part = sent_range(reply.header("content-range"), length);
                    assert_eq!(reply.body, content[part]);
                }
            }
        }
        StatusCode::RANGE_NOT_SATISFIABLE => {
            assert_eq!(reply.header("content-range"), format!("bytes */{length}"));
        }
        _ => panic!("{reply:?}"),
    }
}

/// Takes a multipart body apart
/// ([RFC 9110, 14.6](https://www.rfc-editor.org/rfc/rfc9110#section-14.6)).
fn are_parts(body: &[u8], boundary: &str, content: &[u8]) {
    let opening = format!("\r\n--{boundary}\r\n");
    let closing = format!("\r\n--{boundary}--\r\n");
    let (mut rest, mut parts, mut total) = (body, 0, 0);
    while let Some(part) = rest.strip_prefix(opening.as_bytes()) {
        let end = part.windows(4).position(|window| window == b"\r\n\r\n");
        let (headers, content_and_rest) = part.split_at(end.expect("headers") + 4);
        let headers = str::from_utf8(headers).expect("text");
        let mut ranges = headers
            .split("\r\n")
            .filter_map(|line| line.strip_prefix("content-range: "));
        let range = sent_range(ranges.next().expect("a range"), content.len());
        let (sent, after) = content_and_rest.split_at(range.len());
        total += sent.len();
        parts += 1;
        assert_eq!(sent, &content[range]);
        rest = after;
    }
    assert_eq!(rest, closing.as_bytes());
    assert!(parts > 1, "one part needs no multipart");
    assert!(total <= content.len(), "an answer larger than the blob");
}

/// More than any client asks for at once, so that it may be refused.
fn has_many_parts(range: &[u8]) -> bool {
    range.split(|&byte| byte == b',').count() > 1000
}

/// Reads `bytes a-b/length`.
fn sent_range(header: &str, length: usize) -> Range<usize> {
    let range = header
        .strip_prefix("bytes ")
        .and_then(|rest| rest.strip_suffix(&format!("/{length}")))
        .and_then(|range| {
            let (first, last) = range.split_once('-')?;
            let (first, last): (usize, usize) = (first.parse().ok()?, last.parse().ok()?);
            Some(first..last + 1)
        });
    range
        .filter(|range| range.start < range.end && range.end <= length)
        .unwrap_or_else(|| panic!("{header} of {length} bytes"))
}

/// What a well-formed `Range` of one part asks for: outer `None` for any other
/// header, inner when nothing of it is there
/// ([RFC 9110, 14.1.2](https://www.rfc-editor.org/rfc/rfc9110#section-14.1.2)).
fn one_part(header: &[u8], length: usize) -> Option<Option<Range<usize>>> {
    static ONE_PART: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r"\Abytes=([0-9]*)-([0-9]*)\z").expect("an expression of ours")
    });
    let parts = ONE_PART.captures(str::from_utf8(header).ok()?)?;
    let number = |digits: &str| digits.parse().unwrap_or(usize::MAX);
    let range = match (&parts[1], &parts[2]) {
        ("", "") => return Some(None),
        ("", count) => length.saturating_sub(number(count))..length,
        (first, "") => number(first)..length,
        (first, last) => number(first)..number(last).saturating_add(1).min(length),
    };
    Some((range.start < range.end).then_some(range))
}

/// Appends a chunk with a `Content-Range` to a session that holds something
/// already: the session then stands where the answer says, and holds what was
/// sent up to there.
pub fn chunk_range(data: &[u8]) {
    let (range, chunk) = lines(data);
    let Ok(range) = HeaderValue::from_bytes(range) else {
        return;
    };
    let chunk = chunk.unwrap_or_default();
    append(&range, chunk, full(chunk), true);
    append(&range, chunk, in_pieces(chunk), false);
}

/// A body whose length nobody knows before its end.
fn in_pieces(
    content: &[u8],
) -> impl http_body::Body<Data = Bytes, Error = Infallible> + Send + 'static {
    let pieces: Vec<_> = content
        .chunks(3)
        .map(|piece| Ok(Frame::data(Bytes::copy_from_slice(piece))))
        .collect();
    StreamBody::new(stream::iter(pieces))
}

fn append<B>(range: &HeaderValue, chunk: &[u8], body: B, is_announced: bool)
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    const HELD: &[u8] = b"0123456789";
    let registry = registry();
    let request = Request::post(format!("/v2/{NAME}/blobs/uploads/")).body(full(b""));
    let opened = send(&registry, request.expect("a request")).expect(202);
    let location = opened.header("location");
    let request = Request::patch(location).body(full(HELD));
    let appended = send(&registry, request.expect("a request")).expect(202);
    assert_eq!(offset(&appended), HELD.len());

    let request = Request::patch(location)
        .header("content-range", range)
        .body(body);
    let reply = send(&registry, request.expect("a request"));
    let request = Request::get(location).body(full(b""));
    let reached = offset(&send(&registry, request.expect("a request")).expect(204));
    let all = [HELD, chunk].concat();
    match reply.status {
        StatusCode::ACCEPTED => {
            assert_eq!((reached, offset(&reply)), (all.len(), all.len()));
            if !chunk.is_empty() {
                let expected = [HELD.len(), all.len() - 1];
                assert!(numbers(range).starts_with(&expected), "{range:?}");
            }
        }
        StatusCode::RANGE_NOT_SATISFIABLE => {
            assert_eq!((reached, offset(&reply)), (HELD.len(), HELD.len()));
            assert_eq!(reply.header("location"), location);
            assert_ne!(numbers(range).first(), Some(&HELD.len()), "{range:?}");
        }
        StatusCode::BAD_REQUEST if is_announced => assert_eq!(reached, HELD.len()),
        // It shows only at its end that the chunk has another length.
        StatusCode::BAD_REQUEST => assert!((HELD.len()..=all.len()).contains(&reached)),
        _ => panic!("{reply:?}"),
    }

    let digest = Digest::of(Algorithm::Sha256, &all[..reached]);
    let request = Request::put(format!("{location}?digest={digest}")).body(full(b""));
    send(&registry, request.expect("a request")).expect(201);
    let request = Request::get(format!("/v2/{NAME}/blobs/{digest}")).body(full(b""));
    let pulled = send(&registry, request.expect("a request")).expect(200);
    assert_eq!(pulled.body, all[..reached]);
}

/// Where a session with at least one byte stands.
fn offset(reply: &Reply) -> usize {
    let range = reply.header("range");
    let last = range.strip_prefix("0-").expect("from the beginning");
    last.parse::<usize>().expect("a number") + 1
}

/// Every run of digits.
fn numbers(header: &HeaderValue) -> Vec<usize> {
    let text = header.to_str().unwrap_or_default();
    text.split(|c: char| !c.is_ascii_digit())
        .filter(|digits| !digits.is_empty())
        .map(|digits| digits.parse().unwrap_or(usize::MAX))
        .collect()
}

/// The first line, and all that follows it.
fn lines(data: &[u8]) -> (&[u8], Option<&[u8]>) {
    match data.iter().position(|&byte| byte == b'\n') {
        Some(end) => (&data[..end], Some(&data[end + 1..])),
        None => (data, None),
    }
}
