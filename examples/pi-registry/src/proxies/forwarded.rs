//! The `Forwarded` header of RFC 7239.
//!
//! ```text
//! Forwarded: for=192.0.2.60;proto=https;host="r.example:8443", for="[2001:db8::17]"
//! ```

use std::borrow::Cow;

use http::{HeaderMap, HeaderValue, header};

/// What one proxy said of the request that it received.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Element<'a> {
    /// `for`: who sent it.
    pub(crate) client: Option<Cow<'a, str>>,
    pub(crate) proto: Option<Cow<'a, str>>,
    pub(crate) host: Option<Cow<'a, str>>,
}

/// The first element of the request. What breaks the grammar is as good as
/// nothing: half an understanding of it could be the attacker's.
pub(crate) fn first(headers: &HeaderMap) -> Option<Element<'_>> {
    let line = headers.get(header::FORWARDED)?;
    elements(line)?.into_iter().next()
}

/// All elements of a request's lines, in the order of the proxies; none if
/// any line breaks the grammar.
pub(crate) fn all(headers: &HeaderMap) -> Vec<Element<'_>> {
    let lines = headers.get_all(header::FORWARDED).iter();
    let elements: Option<Vec<_>> = lines.map(elements).collect();
    elements.unwrap_or_default().into_iter().flatten().collect()
}

fn elements(line: &HeaderValue) -> Option<Vec<Element<'_>>> {
    let mut rest = line.to_str().ok()?;
    let mut elements = vec![Element::default()];
    loop {
        rest = rest.trim_start_matches([' ', '\t']);
        let end = rest.find(|c: char| !is_token(c)).unwrap_or(rest.len());
        let (name, after) = rest.split_at(end);
        rest = after;
        if !name.is_empty() {
            let (value, after) = value(rest.strip_prefix('=')?)?;
            rest = after;
            let element = elements.last_mut()?;
            let field = match name.to_ascii_lowercase().as_str() {
                "for" => Some(&mut element.client),
                "proto" => Some(&mut element.proto),
                "host" => Some(&mut element.host),
                _ => None,
            };
            // Each parameter may be there once.
            if let Some(field) = field
                && field.replace(value).is_some()
            {
                return None;
            }
        }
        rest = rest.trim_start_matches([' ', '\t']);
        match rest.chars().next() {
            None => return Some(elements),
            Some(';') => {}
            Some(',') => elements.push(Element::default()),
            Some(_) => return None,
        }
        rest = &rest[1..];
    }
}

/// A token or a quoted string, and what follows it.
fn value(text: &str) -> Option<(Cow<'_, str>, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text
            // Not in the grammar, but everywhere: `host=r.example:8443`.
            .find(|c: char| !is_token(c) && !":[]".contains(c))
            .unwrap_or(text.len());
        let (token, rest) = text.split_at(end);
        return (!token.is_empty()).then_some((Cow::Borrowed(token), rest));
    };
    let mut unquoted = String::new();
    let mut chars = quoted.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((Cow::Owned(unquoted), &quoted[at + 1..])),
            '\\' => unquoted.push(chars.next()?.1),
            _ => unquoted.push(c),
        }
    }
    None
}

fn is_token(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Option<Vec<[Option<String>; 3]>> {
        let value = HeaderValue::from_str(line).expect("valid");
        let elements = elements(&value)?;
        let plain = |e: Element<'_>| [e.client, e.proto, e.host].map(|v| v.map(Cow::into_owned));
        Some(elements.into_iter().map(plain).collect())
    }

    #[test]
    fn elements_and_their_parameters_are_read() {
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(
            parsed(
                "for=192.0.2.60;Proto=https;host=\"r.example:8443\";by=x, for=\"[2001:db8::17]:9\""
            ),
            Some(vec![
                [some("192.0.2.60"), some("https"), some("r.example:8443")],
                [some("[2001:db8::17]:9"), None, None],
            ])
        );
        assert_eq!(
            parsed("host=r.example:8443 ; proto=http"),
            Some(vec![[None, some("http"), some("r.example:8443")]])
        );
        assert_eq!(
            parsed("host=\"a\\\"b,;c\""),
            Some(vec![[None, None, some("a\"b,;c")]])
        );
    }

    #[test]
    fn what_breaks_the_grammar_is_ignored_as_a_whole() {
        for line in [
            "host",
            "host=",
            "host=\"r.example",
            "host=\"r\\",
            "host=a host=b",
            "host=a;host=b",
            "host=a/b",
            "host=a@b",
            "=a",
        ] {
            assert_eq!(parsed(line), None, "{line}");
        }
    }
}
