//! What a token server is asked, what a client brings, and files of keys.

use std::sync::LazyLock;
use std::time::SystemTime;

use registry_auth::token::{
    Algorithm, Keys, Realm, Scope, SigningKey, Token, Verifier, VerifierOptions,
};

static VERIFIER: LazyLock<Verifier> = LazyLock::new(|| {
    let key = SigningKey::generate(Algorithm::EdDsa).expect("made");
    let realm = Realm::fixed("https://registry.local/token");
    let mut options = VerifierOptions::new(realm, "registry.local", "registry.local");
    options.algorithms = Algorithm::ALL.to_vec();
    Verifier::new(options, key.public()).expect("a key")
});

/// Nobody gets in without the key; a scope prints as it parses, and scopes are
/// never more than were asked for; whatever is wrong with a file of keys is
/// one line.
pub fn token(data: &[u8]) {
    let mut keys = Keys::new();
    for error in [
        keys.add_jwks("f.json", data).err(),
        keys.add_certificates("f.pem", data).err(),
    ] {
        let line = error.map(|error| error.to_string()).unwrap_or_default();
        assert!(!line.contains(char::is_control), "{line:?}");
    }
    if let Err(error) = SigningKey::from_pem("f.pem", data) {
        let line = error.to_string();
        assert!(!line.contains(char::is_control), "{line:?}");
    }
    let Ok(text) = str::from_utf8(data) else {
        return;
    };
    let _ = Token::parse(text);
    assert!(VERIFIER.verify(text, SystemTime::now()).is_err());
    let scopes = Scope::parse_all([text]);
    assert!(scopes.len() <= 100);
    for scope in scopes {
        let again = Scope::parse(&scope.to_string());
        // Joined from several, it may have become too long for one.
        assert!(again.is_none_or(|again| again == scope));
    }
}
