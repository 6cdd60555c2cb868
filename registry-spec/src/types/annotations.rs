//! Annotations ([annotations.md](https://github.com/opencontainers/image-spec/blob/v1.1.1/annotations.md)).

use std::fmt;

use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

/// Free-form notes: a JSON object of strings, kept as it was sent.
///
/// A registry copies annotations and never looks into them. As one text they
/// take the room that they took in the manifest; as a map, a manifest of the
/// largest size would take ten times as much.
#[derive(Clone, Default)]
pub struct Annotations(Option<Box<RawValue>>);

impl Annotations {
    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// The object's JSON text.
    #[must_use]
    pub fn as_json(&self) -> &str {
        self.0.as_ref().map_or("{}", |raw| raw.get())
    }
}

impl PartialEq for Annotations {
    fn eq(&self, other: &Self) -> bool {
        self.as_json() == other.as_json()
    }
}

impl Eq for Annotations {}

impl fmt::Debug for Annotations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_json())
    }
}

impl Serialize for Annotations {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match &self.0 {
            Some(raw) => raw.serialize(to),
            None => to.collect_map(std::iter::empty::<((), ())>()),
        }
    }
}

impl<'de> Deserialize<'de> for Annotations {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        // Go programs write an empty map as `null`.
        let Some(raw) = Option::<Box<RawValue>>::deserialize(from)? else {
            return Ok(Self(None));
        };
        let entries: Entries = serde_json::from_str(raw.get()).map_err(de::Error::custom)?;
        Ok(Self((entries.0 > 0).then_some(raw)))
    }
}

/// Counts the entries of an object of strings, and keeps none of them.
struct Entries(usize);

impl<'de> Deserialize<'de> for Entries {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Count;

        impl<'de> Visitor<'de> for Count {
            type Value = Entries;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("annotations, an object of strings")
            }

            fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<Entries, A::Error> {
                let mut count = 0;
                while map.next_entry::<AnyText, AnyText>()?.is_some() {
                    count += 1;
                }
                Ok(Entries(count))
            }
        }

        from.deserialize_map(Count)
    }
}

/// Some string, of which nothing is kept.
struct AnyText;

impl<'de> Deserialize<'de> for AnyText {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Text;

        impl Visitor<'_> for Text {
            type Value = AnyText;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_str<E>(self, _: &str) -> Result<AnyText, E> {
                Ok(AnyText)
            }
        }

        from.deserialize_str(Text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_of_strings_is_kept_as_it_is() {
        let text = r#"{ "b": "\u0031", "a":"2" }"#;
        let annotations: Annotations = serde_json::from_str(text).expect("strings");
        assert_eq!(annotations.as_json(), text);
        assert_eq!(serde_json::to_string(&annotations).expect("text"), text);
    }

    #[test]
    fn nothing_is_written_in_several_ways() {
        for text in ["null", "{}", "{ }"] {
            let annotations: Annotations = serde_json::from_str(text).expect(text);
            assert!(annotations.is_empty(), "{text}");
            assert_eq!(serde_json::to_string(&annotations).expect("text"), "{}");
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "[]",
            "1",
            r#""a""#,
            r#"{"a":1}"#,
            r#"{"a":null}"#,
            r#"{"a":{}}"#,
        ] {
            assert!(serde_json::from_str::<Annotations>(text).is_err(), "{text}");
        }
    }
}
