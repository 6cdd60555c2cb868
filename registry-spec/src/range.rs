//! Byte ranges, in the two directions: what a pull asks for, and where the
//! chunk of an upload belongs.
//!
//! | header | example | here |
//! |---|---|---|
//! | `Range` of a pull | `bytes=0-99`, `bytes=-5`, `bytes=0-1,5-` | [`requested`] |
//! | `Content-Range` of a chunk | `0-99`, also `bytes 0-99/*` | [`chunk`] |
//! | `Range` of an upload's answer | `0-99`, `0-0` for none | [`held`] |
//!
//! On the wire the last byte is included; a `Range<u64>` here excludes its end.

use std::ops::Range;

use http::HeaderValue;

/// What a `Range` header comes to for content of a known length.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Requested {
    /// Everything: no header, or one that may be ignored.
    Whole,
    /// These parts, in the order asked for. At least one.
    Parts(Vec<Range<u64>>),
    /// Nothing of what was asked for exists (416).
    Unsatisfiable,
    /// More than [`MAX_PARTS`] (400).
    TooMany,
}

/// Most parts in one answer: as many as podman asks for when it pulls only the
/// chunks that it lacks.
pub(crate) const MAX_PARTS: usize = 1024;

/// Reads a `Range` header ([RFC 9110, 14.2](https://www.rfc-editor.org/rfc/rfc9110#section-14.2)).
///
/// A unit other than bytes is ignored as the RFC says. So are parts that
/// together are longer than the content: overlapping parts would let a small
/// request cause a large answer. Malformed ranges are refused rather than
/// ignored, as the conformance suite wants it. Content of length zero has no
/// bytes to choose from and is sent whole, since some containerd versions send
/// `bytes=0-` with every request.
pub(crate) fn requested(header: &str, length: u64) -> Requested {
    let Some(specs) = header
        .split_once('=')
        .filter(|(unit, _)| unit.trim().eq_ignore_ascii_case("bytes"))
        .map(|(_, specs)| specs)
    else {
        return Requested::Whole;
    };
    if length == 0 {
        return Requested::Whole;
    }
    let mut parts = Vec::new();
    let specs = specs.split(',').map(str::trim);
    for spec in specs.filter(|spec| !spec.is_empty()) {
        match part(spec, length) {
            Some(part) => parts.extend(part),
            None => return Requested::Unsatisfiable,
        }
        if parts.len() > MAX_PARTS {
            return Requested::TooMany;
        }
    }
    let total: u64 = parts
        .iter()
        .map(|part| part.end - part.start)
        .fold(0, u64::saturating_add);
    if parts.is_empty() {
        Requested::Unsatisfiable
    } else if total > length {
        Requested::Whole
    } else {
        Requested::Parts(parts)
    }
}

/// One `a-b`, `a-` or `-n`: outer `None` when malformed, inner when it lies
/// outside of the content.
fn part(spec: &str, length: u64) -> Option<Option<Range<u64>>> {
    let (first, last) = spec.split_once('-')?;
    let range = match (first.is_empty(), last.is_empty()) {
        (true, _) => length.saturating_sub(number(last)?)..length,
        (false, true) => number(first)?..length,
        (false, false) => {
            let (first, last) = (number(first)?, number(last)?);
            if last < first {
                return None;
            }
            first..last.saturating_add(1).min(length)
        }
    };
    Some((range.start < range.end).then_some(range))
}

/// Digits only: `u64::from_str` alone would accept a plus sign. A number too
/// large for us is larger than any content, too.
fn number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|c| c.is_ascii_digit());
    digits.then(|| text.parse().unwrap_or(u64::MAX))
}

/// `Content-Range` of a part of some content (206).
pub(crate) fn content_range(part: &Range<u64>, length: u64) -> String {
    format!("bytes {}-{}/{length}", part.start, part.end - 1)
}

/// Reads the `Content-Range` of a chunk (end-5): the spec's `a-b`, and the
/// forms of the RFC that some clients send, `bytes a-b/*`. `None` when malformed.
pub(crate) fn chunk(header: &str) -> Option<Range<u64>> {
    let range = header.trim();
    let range = range
        .strip_prefix("bytes")
        .map_or(range, |rest| rest.trim_start_matches(['=', ' ']));
    let range = range.split_once('/').map_or(range, |(range, _)| range);
    let (first, last) = range.split_once('-')?;
    let (first, last) = (number(first)?, number(last)?);
    let end = last.checked_add(1)?;
    (first < end).then_some(first..end)
}

/// `Range` of an upload session's answers: the bytes held so far. Without the
/// `bytes=`, and `0-0` for none, which is also what one byte looks like: every
/// client lives with it.
pub(crate) fn held(offset: u64) -> HeaderValue {
    HeaderValue::try_from(format!("0-{}", offset.saturating_sub(1)))
        .expect("digits and a dash make a header value")
}

#[cfg(test)]
#[expect(clippy::single_range_in_vec_init, reason = "one part is meant")]
mod tests {
    use super::*;

    #[test]
    fn ranges_of_a_pull() {
        use Requested::{Parts, Unsatisfiable, Whole};
        for (header, expected) in [
            ("bytes=500-1499", Parts(vec![500..1500])),
            ("bytes=500-", Parts(vec![500..2048])),
            ("bytes=-500", Parts(vec![1548..2048])),
            ("bytes=-9999", Parts(vec![0..2048])),
            ("bytes=2000-5000", Parts(vec![2000..2048])),
            ("Bytes=0-0", Parts(vec![0..1])),
            ("bytes=0-0, 5-6 ,-1", Parts(vec![0..1, 5..7, 2047..2048])),
            ("bytes=0-1,9999-", Parts(vec![0..2])),
            ("bytes=,0-1,,", Parts(vec![0..2])),
            ("bytes=0-99999999999999999999999", Parts(vec![0..2048])),
            ("bytes=0-2047,0-2047", Whole),
            ("items=0-1", Whole),
            ("bytes", Whole),
            ("bytes=500-0", Unsatisfiable),
            ("bytes=5000-10000", Unsatisfiable),
            ("bytes=2048-", Unsatisfiable),
            ("bytes=-0", Unsatisfiable),
            ("bytes=", Unsatisfiable),
            ("bytes=-", Unsatisfiable),
            ("bytes=a-b", Unsatisfiable),
            ("bytes=+1-2", Unsatisfiable),
            ("bytes=0-1,x", Unsatisfiable),
        ] {
            assert_eq!(requested(header, 2048), expected, "{header}");
        }
        assert_eq!(requested("bytes=0-", 0), Whole);
        let many = format!("bytes={}", "0-0,".repeat(MAX_PARTS) + "0-0");
        assert_eq!(requested(&many, 2048), Requested::TooMany);
    }

    #[test]
    fn ranges_of_a_chunk() {
        for (header, expected) in [
            ("0-99", Some(0..100)),
            ("bytes 0-99/*", Some(0..100)),
            ("bytes 5-9/10", Some(5..10)),
            ("bytes=5-9", Some(5..10)),
            ("9-5", None),
            ("0-", None),
            ("-5", None),
            ("", None),
            ("a-b", None),
            ("+1-2", None),
            ("0-18446744073709551615", None),
        ] {
            assert_eq!(chunk(header), expected, "{header}");
        }
    }

    #[test]
    fn an_empty_session_holds_zero_to_zero() {
        assert_eq!(held(0), "0-0");
        assert_eq!(held(1), "0-0");
        assert_eq!(held(100), "0-99");
    }
}
