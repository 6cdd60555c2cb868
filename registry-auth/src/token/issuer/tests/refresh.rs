//! Refresh tokens, and what ends them.

use super::*;

#[tokio::test]
async fn a_refresh_token_ends_with_the_password() {
    let server = server();
    let login = server
        .get("offline_token=true&service=r.example", ALICE)
        .await;
    let kept = login.json["refresh_token"].as_str().expect("asked for");
    let refresh = |token: &str| format!("grant_type=refresh_token&refresh_token={token}");
    let reply = server.post(&refresh(kept)).await;
    assert_eq!(reply.status, 200);
    assert!(reply.json.get("refresh_token").is_none(), "not asked for");
    for password in [Some("changed"), None] {
        *server.users.password.lock().expect("unpoisoned") = password;
        assert_eq!(
            server.post(&refresh(kept)).await.status,
            401,
            "{password:?}"
        );
    }
    *server.users.password.lock().expect("unpoisoned") = Some("secret");
    assert_eq!(server.post(&refresh(kept)).await.status, 200);
    // One that says something else, of another server, or with a bit more.
    let (content, tag) = kept.split_once('.').expect("two parts");
    let content = BASE64URL_NOPAD.decode(content.as_bytes()).expect("base64");
    let content = String::from_utf8(content)
        .expect("JSON")
        .replace("alice", "admin");
    let content = BASE64URL_NOPAD.encode(content.as_bytes());
    let elsewhere = server_with(|_| {});
    let foreign = elsewhere.get("offline_token=true", ALICE).await;
    let foreign = foreign.json["refresh_token"]
        .as_str()
        .expect("asked for")
        .to_owned();
    for token in [
        format!("{content}.{tag}"),
        foreign,
        format!("{kept}.x"),
        format!("{kept}AA"),
    ] {
        assert_eq!(server.post(&refresh(&token)).await.status, 401, "{token}");
    }
}

#[tokio::test]
async fn the_two_kinds_of_token_do_not_do_for_each_other() {
    let server = server();
    let login = server.get("offline_token=true", ALICE).await;
    let text = |name: &str| login.json[name].as_str().expect("a token").to_owned();
    let outcome = server
        .verifier
        .verify(&text("refresh_token"), SystemTime::now());
    assert_eq!(outcome.map(drop), Err(TokenError::Form));
    let form = format!("grant_type=refresh_token&refresh_token={}", text("token"));
    assert_eq!(server.post(&form).await.status, 401);
}

#[tokio::test]
async fn refresh_tokens_can_end_or_be_off() {
    let server = server_with(|options| options.refresh_tokens = false);
    let reply = server.get("offline_token=true", ALICE).await;
    assert!(reply.json.get("refresh_token").is_none());
    let server = server_with(|options| options.refresh_lifetime = Some(Duration::ZERO));
    let reply = server.get("offline_token=true", ALICE).await;
    let kept = reply.json["refresh_token"].as_str().expect("asked for");
    let form = format!("grant_type=refresh_token&refresh_token={kept}");
    assert_eq!(server.post(&form).await.status, 401);
    let reply = server.get("offline_token=true", "").await;
    assert!(reply.json.get("refresh_token").is_none(), "for nobody");
}

/// Whose password is changed while the old one is being checked.
struct ChangedMeanwhile(Mutex<&'static str>);

#[async_trait]
impl PasswordVerifier for ChangedMeanwhile {
    async fn verify(&self, name: &str, password: &Secret) -> Result<Option<Identity>, AuthError> {
        let mut set = self.0.lock().expect("unpoisoned");
        let right = *set == password.reveal();
        *set = "changed";
        Ok(right.then(|| Identity::user(name)))
    }

    async fn revision(&self, _: &Identity) -> Result<Option<Secret>, AuthError> {
        let set = *self.0.lock().expect("unpoisoned");
        Ok(Some(Secret::new(set.to_owned())))
    }
}

#[tokio::test]
async fn a_password_that_is_changed_meanwhile_gives_no_refresh_token() {
    let users = Arc::new(ChangedMeanwhile(Mutex::new("secret")));
    let key = SigningKey::generate(Algorithm::Es256).expect("random");
    let options = IssuerOptions::new("r.example", "issuer");
    let server = Server {
        issuer: Issuer::new(options, key, users, Arc::new(rights)).expect("valid"),
        ..server()
    };
    assert_eq!(server.get("offline_token=true", ALICE).await.status, 401);
}

#[cfg(feature = "htpasswd")]
#[tokio::test]
async fn the_users_of_a_file_sign_in_until_it_changes() {
    use crate::htpasswd::{Htpasswd, edit};
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("users");
    edit::add(&path, "alice", "secret", 4).expect("added");
    let users = Arc::new(Htpasswd::load(&path, "r").expect("valid"));
    let key = SigningKey::generate(Algorithm::Es256).expect("random");
    let options = IssuerOptions::new("r.example", "issuer");
    let issuer = Issuer::new(options, key, Arc::clone(&users) as _, Arc::new(rights));
    let server = Server {
        issuer: issuer.expect("valid"),
        ..server()
    };
    let login = server.get("offline_token=true", ALICE).await;
    let kept = login.json["refresh_token"].as_str().expect("asked for");
    let form = format!("grant_type=refresh_token&refresh_token={kept}");
    assert_eq!(server.post(&form).await.status, 200);
    edit::set_password(&path, "alice", "secret", 4).expect("changed");
    users.reload().expect("valid");
    assert_eq!(server.get("", ALICE).await.status, 200);
    assert_eq!(server.post(&form).await.status, 401);
    let login = server.get("offline_token=true", ALICE).await;
    let kept = login.json["refresh_token"].as_str().expect("asked for");
    let form = format!("grant_type=refresh_token&refresh_token={kept}");
    edit::remove(&path, "alice").expect("removed");
    users.reload().expect("valid");
    assert_eq!(server.post(&form).await.status, 401);
}
