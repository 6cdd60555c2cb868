//! The text types: digests, tags, references, names and ids.

use std::fmt::{Debug, Display};
use std::str::FromStr;
use std::sync::LazyLock;

use regex_lite::Regex;
use registry_spec::types::{
    Algorithm, Digest, Hasher, MediaType, Reference, RepositoryName, Tag, UploadId,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Each `Regex` is a whole text in a grammar of the
/// [distribution spec](https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#pulling-manifests),
/// character by character.
static NAME: LazyLock<Regex> = LazyLock::new(|| {
    whole(r"[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(\/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*")
});
static TAG: LazyLock<Regex> = LazyLock::new(|| whole(r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}"));
static DIGEST: LazyLock<Regex> =
    LazyLock::new(|| whole(r"sha256:[a-f0-9]{64}|sha512:[a-f0-9]{128}"));

fn whole(grammar: &str) -> Regex {
    Regex::new(&format!(r"\A(?:{grammar})\z")).expect("an expression of ours")
}

/// Texts are taken exactly when the spec's grammar takes them, and print as
/// they were; digests and tags sort as their texts do.
pub fn digest_and_reference(data: &[u8]) {
    digests_of(data);
    let Ok(text) = str::from_utf8(data) else {
        return;
    };
    references(text);
    let Some((left, right)) = text.split_once('\n') else {
        return;
    };
    references(left);
    references(right);
    same_order::<Digest, _>(left, right, str::cmp);
    same_order::<Tag, _>(left, right, str::cmp);
}

/// Names are taken exactly when the spec's grammar takes them, and print as
/// they were; a name sorts before those nested under it.
pub fn repository_name(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else {
        return;
    };
    name(text);
    let Some((left, right)) = text.split_once('\n') else {
        return;
    };
    name(left);
    name(right);
    // A name holds nothing below a dash, but for the slash that must come first.
    let key = |text: &str| text.replace('/', "\0");
    same_order::<RepositoryName, _>(left, right, |left, right| key(left).cmp(&key(right)));
}

fn name(text: &str) {
    let name = as_text::<RepositoryName>(text);
    let is_short = text.len() <= RepositoryName::MAX_LEN;
    assert_eq!(name.is_some(), is_short && NAME.is_match(text), "{text:?}");
    if let Some(name) = name {
        assert_eq!(name.as_str(), text);
        let components: Vec<&str> = name.components().collect();
        assert_eq!(components.join("/"), text);
        // What a backend makes a path of cannot climb out of its folder.
        assert!(components.iter().all(|part| !part.starts_with('.')));
    }
}

fn references(text: &str) {
    let digest = as_text::<Digest>(text);
    let tag = as_text::<Tag>(text);
    assert_eq!(digest.is_some(), DIGEST.is_match(text), "{text:?}");
    assert_eq!(tag.is_some(), TAG.is_match(text), "{text:?}");
    let expected = match (tag.clone(), digest) {
        (Some(_), Some(_)) => panic!("both a tag and a digest: {text:?}"),
        (tag, digest) => tag
            .map(Reference::from)
            .or_else(|| digest.map(Reference::from)),
    };
    assert_eq!(round_trip::<Reference>(text), expected);
    if let Some(tag) = tag {
        assert_eq!(tag.as_str(), text);
    }
    if let Some(digest) = digest {
        same_digest(digest);
    }
    if let Some(id) = as_text::<UploadId>(text) {
        assert_eq!(id.as_str(), text);
        // Safe as the name of a file, as a segment of a path and in a URL.
        assert!(!text.contains(['/', '.', '\\', '%', '?', '#', '\0']));
    }
    if let Some(media_type) = as_text::<MediaType>(text) {
        http::HeaderValue::try_from(media_type.as_str()).expect("safe in a header");
    }
    let algorithm = as_text::<Algorithm>(text);
    assert_eq!(
        algorithm.is_some(),
        Algorithm::ALL.iter().any(|known| known.as_str() == text)
    );
}

/// Any bytes have a digest, however they are cut; only those of the right
/// length are a hash.
fn digests_of(data: &[u8]) {
    for algorithm in Algorithm::ALL {
        let digest = Digest::of(algorithm, data);
        same_digest(digest);
        let (first, second) = data.split_at(data.len() / 2);
        let mut hasher = Hasher::new(algorithm);
        hasher.update(first);
        let mut hasher = Hasher::resume(algorithm, &hasher.save()).expect("its own state");
        hasher.update(second);
        assert_eq!(hasher.finish(), digest);

        let is_hash = data.len() == algorithm.hash_len();
        assert_eq!(Digest::from_hash(algorithm, data).is_ok(), is_hash);
    }
}

/// The digest is the same through each of its forms.
fn same_digest(digest: Digest) {
    let text = digest.to_string();
    assert!(DIGEST.is_match(&text), "{text}");
    assert_eq!(as_text::<Digest>(&text), Some(digest));
    assert_eq!(
        Digest::from_hash(digest.algorithm(), digest.hash()),
        Ok(digest)
    );
    let spelled = format!("{}:{}", digest.algorithm(), digest.hex());
    assert_eq!(spelled, text);
    let fallback = Tag::referrers_fallback(&digest).to_string();
    assert_eq!(
        as_text::<Tag>(&fallback).map(|tag| tag.to_string()),
        Some(fallback)
    );
}

/// Parse, print, parse.
fn round_trip<T>(text: &str) -> Option<T>
where
    T: FromStr + Display + PartialEq + Debug,
{
    let value: T = text.parse().ok()?;
    let printed = value.to_string();
    assert_eq!(printed, text);
    assert_eq!(printed.parse().ok().as_ref(), Some(&value));
    Some(value)
}

/// The same, also as a string of JSON, which is taken exactly when the text is.
fn as_text<T>(text: &str) -> Option<T>
where
    T: FromStr + Display + PartialEq + Debug + Serialize + DeserializeOwned,
{
    let value = round_trip::<T>(text);
    let json = serde_json::to_string(text).expect("any text is a string of JSON");
    assert_eq!(serde_json::from_str::<T>(&json).ok(), value);
    if let Some(value) = &value {
        assert_eq!(serde_json::to_string(value).ok(), Some(json));
    }
    value
}

/// Two values compare as `order` says of their texts.
fn same_order<T, F>(left: &str, right: &str, order: F)
where
    T: FromStr + Ord,
    F: Fn(&str, &str) -> std::cmp::Ordering,
{
    let (Ok(a), Ok(b)) = (left.parse::<T>(), right.parse::<T>()) else {
        return;
    };
    assert_eq!(a.cmp(&b), order(left, right), "{left:?}, {right:?}");
    assert_eq!(a == b, left == right, "{left:?}, {right:?}");
}
