//! Conditional requests ([RFC 9110, 13](https://www.rfc-editor.org/rfc/rfc9110#section-13)).
//! The entity tag of content is its digest in quotes.

use http::header::{HeaderName, IF_MATCH, IF_NONE_MATCH, IF_RANGE};
use http::{HeaderMap, HeaderValue};

use super::value;
use crate::storage::{Expected, Precondition};
use crate::types::{Digest, Reference};

pub(super) fn etag(digest: &Digest) -> HeaderValue {
    let text = digest.to_string();
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    quoted.push_str(&text);
    quoted.push('"');
    value(quoted)
}

/// Whether the client has this content already (304).
pub(super) fn not_modified(headers: &HeaderMap, digest: &Digest) -> bool {
    match Tags::read(headers, &IF_NONE_MATCH) {
        None => false,
        Some(Tags::Any) => true,
        Some(Tags::Listed(digests)) => digests.contains(digest),
    }
}

/// Whether a `Range` still applies: content by digest never changes, so it
/// does unless the client speaks of other content, or of a date.
pub(super) fn range_applies(headers: &HeaderMap, digest: &Digest) -> bool {
    headers.get(IF_RANGE).is_none_or(|tag| *tag == etag(digest))
}

/// What a conditional push expects of the reference. `If-Match` goes before
/// `If-None-Match`, as the RFC has it.
pub(super) fn precondition(headers: &HeaderMap, reference: &Reference) -> Option<Precondition> {
    let expected = match Tags::read(headers, &IF_MATCH) {
        Some(Tags::Any) => Expected::Present,
        Some(Tags::Listed(digests)) => Expected::OneOf(digests),
        None => match Tags::read(headers, &IF_NONE_MATCH)? {
            Tags::Any => Expected::Absent,
            Tags::Listed(digests) => Expected::NoneOf(digests),
        },
    };
    Some(Precondition::new(reference.clone(), expected))
}

enum Tags {
    Any,
    /// Tags that are not digests are left out: they match nothing of ours.
    Listed(Vec<Digest>),
}

impl Tags {
    fn read(headers: &HeaderMap, name: &HeaderName) -> Option<Self> {
        let mut lines = headers.get_all(name).iter().peekable();
        lines.peek()?;
        let mut digests = Vec::new();
        for tag in lines
            .filter_map(|line| line.to_str().ok())
            .flat_map(|line| line.split(','))
            .map(str::trim)
        {
            if tag == "*" {
                return Some(Self::Any);
            }
            // `If-Match` compares strongly: a weak tag matches nothing there.
            let weak = tag.strip_prefix("W/").filter(|_| *name == IF_NONE_MATCH);
            let tag = weak.unwrap_or(tag);
            digests.extend(tag.trim_matches('"').parse::<Digest>());
        }
        Some(Self::Listed(digests))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Algorithm;

    fn headers(name: HeaderName, values: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(name.clone(), value.parse().expect("a header"));
        }
        headers
    }

    #[test]
    fn entity_tags_are_digests_in_quotes() {
        let digest = Digest::of(Algorithm::Sha256, b"x");
        let other = Digest::of(Algorithm::Sha256, b"y");
        for (values, expected) in [
            (vec![], false),
            (vec!["*".to_owned()], true),
            (vec![format!("\"{digest}\"")], true),
            (vec![format!("W/\"{digest}\"")], true),
            (vec![format!("\"{other}\", \"{digest}\"")], true),
            (vec![format!("\"{other}\""), format!("\"{digest}\"")], true),
            (vec![format!("\"{other}\"")], false),
            (vec!["\"v1\"".to_owned()], false),
        ] {
            let values: Vec<&str> = values.iter().map(String::as_str).collect();
            let headers = headers(IF_NONE_MATCH, &values);
            assert_eq!(not_modified(&headers, &digest), expected, "{values:?}");
        }
        assert!(range_applies(&HeaderMap::new(), &digest));
        assert!(!range_applies(&headers(IF_RANGE, &["\"v1\""]), &digest));
        assert!(range_applies(
            &headers(IF_RANGE, &[&format!("\"{digest}\"")]),
            &digest
        ));
    }
}
