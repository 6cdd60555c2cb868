//! Whom a rule is about.

use std::fmt;
use std::str::FromStr;

/// Whom a rule is about.
///
/// | text | who |
/// |---|---|
/// | `alice` | the user `alice` |
/// | `user:alice` | the same; for names that mean something else, or have a colon |
/// | `group:dev` | the users of the group `dev` |
/// | `*` | everybody who has signed in |
/// | `anonymous` | everybody, also without signing in |
///
/// Whoever signs in keeps what `anonymous` may: clients send the credentials
/// that they have, and must not lose a public repository by them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Who {
    /// Everybody, also without signing in.
    Anonymous,
    /// Everybody who has signed in.
    SignedIn,
    /// One user.
    User(String),
    /// The users of a group.
    Group(String),
}

impl FromStr for Who {
    type Err = WhoError;

    fn from_str(text: &str) -> Result<Self, WhoError> {
        let named = |name: &str| match name {
            "" => Err(WhoError::NoName),
            name if name.contains(char::is_control) => Err(WhoError::Control),
            name => Ok(name.to_owned()),
        };
        match text.split_once(':') {
            Some(("user", name)) => named(name).map(Self::User),
            Some(("group", name)) => named(name).map(Self::Group),
            Some(_) => Err(WhoError::Kind),
            None => match text {
                "anonymous" => Ok(Self::Anonymous),
                "*" => Ok(Self::SignedIn),
                // Somebody believes in patterns; nobody's name has a star.
                name if name.contains('*') => Err(WhoError::Pattern),
                name => named(name).map(Self::User),
            },
        }
    }
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Anonymous => f.write_str("anonymous"),
            Self::SignedIn => f.write_str("*"),
            Self::Group(name) => write!(f, "group:{name}"),
            Self::User(name) if name.parse().as_ref() == Ok(self) => f.write_str(name),
            Self::User(name) => write!(f, "user:{name}"),
        }
    }
}

/// Why a text is not a [`Who`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WhoError {
    /// Nothing, or nothing after `user:` or `group:`.
    #[error("the name is empty")]
    NoName,
    /// A name with control characters.
    #[error("the name has control characters")]
    Control,
    /// A colon after something else than `user` and `group`.
    #[error("only user: and group: go before a colon; write user:NAME for a name with a colon")]
    Kind,
    /// A star beside something else.
    #[error("'*' stands alone, for everybody who has signed in: names are no patterns")]
    Pattern,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_what_is_meant() {
        let user = |name: &str| Who::User(name.to_owned());
        for (text, who, printed) in [
            ("alice", user("alice"), "alice"),
            ("user:alice", user("alice"), "alice"),
            ("bob smith", user("bob smith"), "bob smith"),
            ("user:anonymous", user("anonymous"), "user:anonymous"),
            ("user:*", user("*"), "user:*"),
            (
                "user:spiffe://a/b",
                user("spiffe://a/b"),
                "user:spiffe://a/b",
            ),
            ("Anonymous", user("Anonymous"), "Anonymous"),
            ("group:dev", Who::Group("dev".to_owned()), "group:dev"),
            ("anonymous", Who::Anonymous, "anonymous"),
            ("*", Who::SignedIn, "*"),
        ] {
            let parsed: Who = text.parse().expect(text);
            assert_eq!(parsed, who, "{text}");
            assert_eq!(parsed.to_string(), printed);
            assert_eq!(printed.parse(), Ok(who));
        }
        for (text, error) in [
            ("", WhoError::NoName),
            ("group:", WhoError::NoName),
            ("user:", WhoError::NoName),
            ("a\nb", WhoError::Control),
            ("grop:dev", WhoError::Kind),
            ("spiffe://a/b", WhoError::Kind),
            ("team-*", WhoError::Pattern),
            ("**", WhoError::Pattern),
        ] {
            assert_eq!(text.parse::<Who>(), Err(error), "{text}");
        }
    }
}
