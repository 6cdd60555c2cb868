//! Credentials in `Authorization`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderValue, header};
use registry_spec::auth::Credentials;

/// Credentials are the same when they are written and read again, do not print
/// their secret, and are never anonymous when they could not be read.
pub fn credentials(data: &[u8]) {
    let mut headers = HeaderMap::new();
    for line in data.split(|&byte| byte == b'\n') {
        // What is no header never gets as far as this.
        let Ok(value) = HeaderValue::from_bytes(line) else {
            return;
        };
        headers.append(header::AUTHORIZATION, value);
    }
    let credentials = Credentials::from_headers(&headers);
    let printed = format!("{credentials:?}");
    if headers.len() > 1 {
        assert_eq!(credentials, Credentials::Unreadable);
    }
    match &credentials {
        Credentials::Basic { username, password } => {
            let secret = password.reveal();
            assert!(!username.contains(':'), "the first colon ends the name");
            assert!(!(username.is_empty() && secret.is_empty()));
            assert_eq!(
                printed,
                format!("Basic {{ username: {username:?}, password: [hidden] }}")
            );
            let pair = STANDARD.encode(format!("{username}:{secret}"));
            assert_eq!(read(&format!("Basic {pair}")), credentials);
        }
        Credentials::Bearer { token } => {
            let secret = token.reveal();
            assert!(!secret.is_empty() && !secret.contains(' '));
            assert_eq!(printed, "Bearer { token: [hidden] }");
            assert_eq!(read(&format!("Bearer {secret}")), credentials);
        }
        // Only the empty pair, which stands for no credentials.
        Credentials::Anonymous => {
            let text = String::from_utf8_lossy(data).to_ascii_lowercase();
            let parts: Vec<&str> = text.split_whitespace().collect();
            assert_eq!(parts, ["basic", "og=="]);
        }
        Credentials::Unreadable => {}
        other => panic!("another kind of credentials: {other:?}"),
    }
}

fn read(authorization: &str) -> Credentials {
    let value = authorization.parse().expect("a header of ours");
    Credentials::from_headers(&HeaderMap::from_iter([(header::AUTHORIZATION, value)]))
}
