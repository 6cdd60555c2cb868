//! Requests in the form in which real clients send them.

use super::*;

#[tokio::test]
async fn docker_signs_in_pulls_and_pushes() {
    let server = server();
    let login = "account=alice&client_id=docker&offline_token=true&service=r.example";
    let reply = server.get(login, ALICE).await;
    assert_eq!(server.access(&reply), json!([]));
    let kept = reply.json["refresh_token"]
        .as_str()
        .expect("asked for")
        .to_owned();
    // With an identity token, docker only does this.
    let scope = "repository%3Aa%2Fb%3Apull%2Cpush";
    let form = format!(
        "access_type=offline&client_id=docker&grant_type=refresh_token&refresh_token={kept}\
         &scope={scope}&service=r.example"
    );
    let reply = server.post(&form).await;
    assert_eq!(
        server.access(&reply),
        json!([entry("a/b", &["pull", "push"])])
    );
    assert_eq!(reply.json["refresh_token"], kept);
    assert_eq!(reply.json["scope"], "repository:a/b:pull,push");
    // Without one, this: several scopes for a mount.
    let query =
        format!("account=alice&scope=repository%3Ax%3Apull&scope={scope}&service=r.example");
    let reply = server.get(&query, ALICE).await;
    let expected = json!([entry("x", &["pull"]), entry("a/b", &["pull", "push"])]);
    assert_eq!(server.access(&reply), expected);
    assert!(reply.json.get("refresh_token").is_none() && reply.json.get("scope").is_none());
    // And pulls what is public without a password.
    let query = "scope=repository%3Apublic%3Apull&service=r.example";
    let reply = server.get(query, "").await;
    assert_eq!(server.access(&reply), json!([entry("public", &["pull"])]));
}

#[tokio::test]
async fn containerd_posts_its_password_with_scopes_of_elsewhere() {
    let server = server();
    let form = "client_id=containerd-client&grant_type=password&password=secret\
                &scope=repository%3Alibrary%2Falpine%3Apull+repository%3Aa%3Apull%2Cpush\
                &service=r.example&username=alice";
    let reply = server.post(form).await;
    let expected = json!([
        entry("library/alpine", &["pull"]),
        entry("a", &["pull", "push"])
    ]);
    assert_eq!(server.access(&reply), expected);
    assert_eq!(
        reply.json["scope"],
        "repository:library/alpine:pull repository:a:pull,push"
    );
    assert!(reply.json.get("refresh_token").is_none());
    // buildkit goes on to GET after 401, 404 and 405 only.
    let form = form.replace("secret", "wrong");
    assert_eq!(server.post(&form).await.status, 401);
}

#[tokio::test]
async fn podman_sends_an_empty_password_and_asks_for_every_action() {
    let server = server();
    let query = "account=&service=r.example&scope=repository%3Apublic%3A*";
    let reply = server.get(query, "Basic Og==").await;
    assert_eq!(server.access(&reply), json!([entry("public", &["pull"])]));
    let query = "account=alice&service=r.example&scope=repository%3Aa%3A*";
    let reply = server.get(query, ALICE).await;
    assert_eq!(
        server.access(&reply),
        json!([entry("a", &["pull", "push"])])
    );
    // Identity tokens go with repeated scopes, in a chunked body.
    let login = server.get("offline_token=true", ALICE).await;
    let kept = login.json["refresh_token"].as_str().expect("asked for");
    let form = format!(
        "service=r.example&scope=repository:a:pull&scope=repository:b:pull\
         &grant_type=refresh_token&refresh_token={kept}&client_id=containers/image"
    );
    let parts: Vec<Result<_, Infallible>> = form
        .as_bytes()
        .chunks(100)
        .map(|part| Ok(http_body::Frame::data(Bytes::copy_from_slice(part))))
        .collect();
    let body = StreamBody::new(futures_util::stream::iter(parts));
    let reply = server
        .send(form_request().body(body).expect("a request"))
        .await;
    assert_eq!(
        server.access(&reply),
        json!([entry("a", &["pull"]), entry("b", &["pull"])])
    );
}

#[tokio::test]
async fn a_reply_is_as_every_client_reads_it() {
    let server = server();
    let reply = server
        .get("service=r.example&scope=registry:catalog:*", ALICE)
        .await;
    let catalog = json!([{"type": "registry", "name": "catalog", "actions": ["*"]}]);
    assert_eq!(server.access(&reply), catalog);
    assert_eq!(reply.json["expires_in"], 300);
    let issued_at = reply.json["issued_at"].as_str().expect("a time");
    let issued_at = humantime::parse_rfc3339(issued_at).expect("RFC 3339");
    let claims = claims(reply.json["token"].as_str().expect("a token"));
    assert_eq!(claims["iat"], seconds(issued_at));
    assert_eq!(claims["exp"], seconds(issued_at) + 300);
    assert_eq!(claims["nbf"], seconds(issued_at) - 30);
    assert_eq!(claims["aud"], "r.example");
    assert_eq!(claims["iss"], "issuer");
    assert_eq!(claims["jti"].as_str().map(str::len), Some(22));
}
