//! What a token lets in for, and the challenges of those it does not.

use super::*;

async fn ask(
    verifier: &Verifier,
    credentials: &Credentials,
    access: &Access,
) -> Result<Grant, Challenge> {
    let mut extensions = Extensions::new();
    extensions.insert(Origin::new("https", "r.example:5000").expect("plain"));
    let request = AuthRequest::new(credentials, access, &extensions);
    match verifier.authorize(&request).await {
        Ok(grant) => Ok(grant),
        Err(AuthError::Challenge(challenge)) => Err(challenge),
        Err(other) => panic!("{other:?}"),
    }
}

/// A verifier in these days, and a token for it.
fn today(access: &Value) -> (Verifier, Credentials) {
    let key = key();
    let mut options = options();
    options.realm = Realm::of_request("/auth/token");
    let verifier = Verifier::new(options, key.public()).expect("valid");
    let mut claims = with("access", Some(access.clone()));
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("after 1970")
        .as_secs();
    for (name, value) in [("iat", now), ("nbf", now), ("exp", now + 300)] {
        claims[name] = value.into();
    }
    let token = Secret::new(key.sign(&claims).expect("signed"));
    (verifier, Credentials::Bearer { token })
}

#[tokio::test]
async fn a_token_lets_in_for_what_it_grants() {
    let access = json!([
        {"type": "repository", "name": "a/b", "actions": ["pull", "push"]},
        {"type": "repository", "name": "c", "actions": ["pull"]},
    ]);
    let (verifier, token) = today(&access);
    let name = |name: &str| name.parse().expect("a name");
    let grant = ask(&verifier, &token, &Access::push(name("a/b")))
        .await
        .expect("granted");
    assert_eq!(grant.identity().name(), Some("alice"));
    assert!(grant.allows(&Access::pull(name("c"))));
    assert!(!grant.allows(&Access::pull(name("d"))));
    let (verifier, token) = today(&json!([]));
    ask(&verifier, &token, &Access::Base)
        .await
        .expect("who has a token may sign in");
}

#[tokio::test]
async fn challenges_say_what_is_missing_and_what_was_wrong() {
    let access = json!([{"type": "repository", "name": "a/b", "actions": ["pull"]}]);
    let (verifier, good) = today(&access);
    let token = Secret::new("a.b.c".to_owned());
    let bad = Credentials::Bearer { token };
    let password = Secret::new("p".to_owned());
    let basic = Credentials::Basic {
        username: "u".to_owned(),
        password,
    };
    let push = Access::push("a/b".parse().expect("a name"));
    let scope = r#",scope="repository:a/b:pull,push""#;
    for (credentials, access, rest) in [
        (&Credentials::Anonymous, &Access::Base, String::new()),
        (&Credentials::Anonymous, &push, scope.to_owned()),
        (&Credentials::Unreadable, &push, scope.to_owned()),
        (&basic, &push, scope.to_owned()),
        (&bad, &Access::Base, r#",error="invalid_token""#.to_owned()),
        (&bad, &push, format!(r#"{scope},error="invalid_token""#)),
        (
            &good,
            &push,
            format!(r#"{scope},error="insufficient_scope""#),
        ),
        (
            &good,
            &Access::Catalog,
            r#",scope="registry:catalog:*",error="insufficient_scope""#.to_owned(),
        ),
    ] {
        let challenge = ask(&verifier, credentials, access)
            .await
            .expect_err("too little");
        let header = challenge.to_header().expect("plain");
        let expected =
            format!(r#"Bearer realm="https://r.example:5000/auth/token",service="registry"{rest}"#);
        assert_eq!(header, expected);
    }
}

#[tokio::test]
async fn the_catalog_lists_all_but_what_rights_hide() {
    let access = json!([{"type": "registry", "name": "catalog", "actions": ["*"]}]);
    let (verifier, token) = today(&access);
    let pull = |name: &str| Access::pull(name.parse().expect("a name"));
    let grant = ask(&verifier, &token, &Access::Catalog)
        .await
        .expect("granted");
    assert!(grant.allows(&pull("a")) && grant.allows(&pull("b")));
    // To pull, it takes more.
    ask(&verifier, &token, &pull("a"))
        .await
        .expect_err("not granted");
    let verifier = verifier.limited_by(Arc::new(|identity: &Identity, access: &Access| {
        assert_eq!(identity.name(), Some("alice"));
        match access {
            Access::Repository { name, .. } => name.as_str() == "a",
            access => *access == Access::Catalog,
        }
    }));
    let grant = ask(&verifier, &token, &Access::Catalog)
        .await
        .expect("granted");
    assert!(grant.allows(&pull("a")) && !grant.allows(&pull("b")));
}

#[tokio::test]
async fn rights_take_away_what_a_token_grants() {
    let access = json!([{"type": "repository", "name": "a", "actions": ["pull"]}]);
    let (verifier, token) = today(&access);
    let verifier = verifier.limited_by(Arc::new(|_: &Identity, _: &Access| false));
    let pull = Access::pull("a".parse().expect("a name"));
    let challenge = ask(&verifier, &token, &pull).await.expect_err("taken away");
    let header = challenge.to_header().expect("plain");
    let header = header.to_str().expect("text");
    assert!(
        header.ends_with(r#"error="insufficient_scope""#),
        "{header}"
    );
    ask(&verifier, &token, &Access::Base)
        .await
        .expect("may sign in");
}

#[tokio::test]
async fn a_mount_is_challenged_only_for_what_the_issuer_will_grant() {
    let access = json!([{"type": "repository", "name": "a", "actions": ["pull", "push"]}]);
    let every = Access::EveryRepository {
        actions: &[registry_spec::auth::Action::Pull],
    };
    let pull = |name: &str| Access::pull(name.parse().expect("a name"));
    let may: Arc<dyn Rights> = Arc::new(
        |_: &Identity, access: &Access| !matches!(access, Access::Repository { name, .. } if name.as_str() == "secret"),
    );
    let (push, extensions) = (
        Access::push("a".parse().expect("a name")),
        Extensions::new(),
    );
    for (own, wanted, challenged) in [
        (
            true,
            pull("b"),
            Some("repository:a:pull,push repository:b:pull"),
        ),
        (
            true,
            every.clone(),
            Some("repository:a:pull,push repository:*:pull"),
        ),
        (true, pull("secret"), None),
        (true, pull("a"), None),
        (false, pull("b"), None),
        (false, every.clone(), None),
    ] {
        let (verifier, token) = today(&access);
        let verifier = match own {
            true => verifier.of_issuer_with(Arc::clone(&may)),
            false => verifier.limited_by(Arc::clone(&may)),
        };
        let mut request = AuthRequest::new(&token, &push, &extensions);
        request.wanted = Some(&wanted);
        let scope = match verifier.authorize(&request).await {
            Err(AuthError::Challenge(Challenge::Bearer { scope, .. })) => Some(scope),
            Ok(_) => None,
            other => panic!("{other:?}"),
        };
        assert_eq!(scope.as_deref(), challenged, "{own} {wanted:?}");
    }

    let access = json!([{"type": "repository", "name": "*", "actions": ["pull"]}]);
    let (verifier, token) = today(&access);
    let grant = ask(&verifier, &token, &Access::Base).await.expect("in");
    assert!(!grant.allows(&every) && !grant.allows(&pull("b")));
    let verifier = verifier.of_issuer_with(may);
    let grant = ask(&verifier, &token, &Access::Base).await.expect("in");
    assert!(grant.allows(&every) && !grant.allows(&pull("b")));
}
