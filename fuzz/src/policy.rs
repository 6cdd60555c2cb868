//! Patterns of repositories, as people write them into a policy.

use registry_auth::policy::{RepositoryPattern, Right, Who};
use registry_spec::types::RepositoryName;

/// What is taken prints as it was and matches as a plain reading says; what is
/// refused is told in one line.
pub fn policy(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else {
        return;
    };
    let (pattern, name) = text.split_once('\n').unwrap_or((text, ""));
    let _ = pattern.parse::<Who>().map(|who| {
        assert_eq!(who.to_string().parse(), Ok(who));
    });
    let _ = pattern.parse::<Right>();
    let parsed = match pattern.parse::<RepositoryPattern>() {
        Ok(parsed) => parsed,
        Err(error) => {
            let line = error.to_string();
            assert!(!line.contains(['\n', '\r']), "{line:?}");
            return;
        }
    };
    assert_eq!(parsed.to_string(), pattern);
    let Ok(name) = name.parse::<RepositoryName>() else {
        return;
    };
    if !pattern.contains('*') {
        assert_eq!(parsed.matches(&name), pattern == name.as_str());
    }
    if parsed.is_every() {
        assert!(parsed.matches(&name));
    }
    // Whatever stands before the first star stands at the start of the name.
    let literal = pattern.split("**/").next().unwrap_or_default();
    let literal = literal.split('*').next().unwrap_or_default();
    if parsed.matches(&name) && !pattern.starts_with("**/") {
        assert!(
            name.as_str().starts_with(literal.trim_end_matches('/')),
            "{pattern} {name}"
        );
    }
}
