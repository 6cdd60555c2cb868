use super::*;
use crate::types::{Algorithm, Tag};

fn parse(method: &Method, uri: &str) -> Result<Route, Error> {
    Route::parse(method, &uri.parse().expect(uri))
}

fn refusal(method: &Method, uri: &str) -> (u16, &'static str) {
    let error = parse(method, uri).expect_err(uri);
    (error.status().as_u16(), error.code().as_str())
}

fn digest() -> Digest {
    Digest::of(Algorithm::Sha256, b"x")
}

#[test]
fn every_endpoint_is_recognised() {
    let name: RepositoryName = "a/b".parse().expect("valid");
    let (digest, id) = (digest(), UploadId::random());
    let tag: Reference = "t".parse().expect("valid");
    let upload = format!("/v2/a/b/blobs/uploads/{id}");
    for (method, uri, route) in [
        (Method::GET, "/v2".to_owned(), Route::Base),
        (Method::HEAD, "/v2/".to_owned(), Route::Base),
        (
            Method::GET,
            "/v2/_catalog".to_owned(),
            Route::Catalog {
                query: CatalogQuery::default(),
            },
        ),
        (
            Method::HEAD,
            format!("/v2/a/b/blobs/{digest}"),
            Route::PullBlob {
                name: name.clone(),
                digest,
            },
        ),
        (
            Method::DELETE,
            format!("/v2/a/b/blobs/{digest}"),
            Route::DeleteBlob {
                name: name.clone(),
                digest,
            },
        ),
        (
            Method::GET,
            "/v2/a/b/manifests/t".to_owned(),
            Route::PullManifest {
                name: name.clone(),
                reference: tag.clone(),
            },
        ),
        (
            Method::DELETE,
            "/v2/a/b/manifests/t".to_owned(),
            Route::DeleteManifest {
                name: name.clone(),
                reference: tag.clone(),
            },
        ),
        (
            Method::PUT,
            "/v2/a/b/manifests/t".to_owned(),
            Route::PushManifest {
                name: name.clone(),
                reference: tag,
                query: PushManifestQuery::default(),
            },
        ),
        (
            Method::POST,
            "/v2/a/b/blobs/uploads/".to_owned(),
            Route::StartUpload {
                name: name.clone(),
                query: StartUploadQuery::default(),
            },
        ),
        (
            Method::POST,
            "/v2/a/b/blobs/uploads".to_owned(),
            Route::StartUpload {
                name: name.clone(),
                query: StartUploadQuery::default(),
            },
        ),
        (
            Method::PATCH,
            upload.clone(),
            Route::AppendUpload {
                name: name.clone(),
                id: id.clone(),
            },
        ),
        (
            Method::GET,
            format!("{upload}?digest={digest}"),
            Route::StatUpload {
                name: name.clone(),
                id: id.clone(),
            },
        ),
        (
            Method::DELETE,
            upload.clone(),
            Route::CancelUpload {
                name: name.clone(),
                id: id.clone(),
            },
        ),
        (
            Method::PUT,
            format!("{upload}?digest={digest}"),
            Route::FinishUpload {
                name: name.clone(),
                id,
                query: FinishUploadQuery { digest },
            },
        ),
        (
            Method::GET,
            "/v2/a/b/tags/list".to_owned(),
            Route::ListTags {
                name: name.clone(),
                query: TagsQuery::default(),
            },
        ),
        (
            Method::GET,
            format!("/v2/a/b/referrers/{digest}"),
            Route::ListReferrers {
                name,
                digest,
                query: ReferrersQuery::default(),
            },
        ),
    ] {
        assert_eq!(parse(&method, &uri).expect(&uri), route, "{method} {uri}");
    }
}

#[test]
fn names_may_hold_the_words_of_the_protocol() {
    for (uri, name) in [
        ("/v2/manifests/manifests/manifests", "manifests"),
        ("/v2/blobs/uploads/manifests/t", "blobs/uploads"),
        ("/v2/tags/list/tags/list", "tags/list"),
    ] {
        let route = parse(&Method::GET, uri).expect(uri);
        assert_eq!(route.access(), Access::pull(name.parse().expect("valid")));
    }
}

#[test]
fn segments_are_decoded_once() {
    let encoded = digest().to_string().replace(':', "%3A");
    assert!(parse(&Method::GET, &format!("/v2/a/blobs/{encoded}")).is_ok());
    let twice = encoded.replace('%', "%25");
    assert_eq!(
        refusal(&Method::GET, &format!("/v2/a/blobs/{twice}")),
        (400, "DIGEST_INVALID")
    );
    assert_eq!(
        refusal(&Method::GET, "/v2/a%2Fb/manifests/t"),
        (400, "NAME_INVALID")
    );
}

#[test]
fn queries_are_read() {
    let digest = digest();
    let uri = format!("/v2/a/blobs/uploads/?from=b%2Fc&mount={digest}&origin=x&ns=y");
    let route = parse(&Method::POST, &uri).expect("a mount");
    assert_eq!(
        route.wanted_access(),
        Some(Access::pull("b/c".parse().expect("valid")))
    );

    let uri = format!("/v2/a/blobs/uploads/?mount={digest}");
    let route = parse(&Method::POST, &uri).expect("a mount");
    let every = Access::EveryRepository {
        actions: &[crate::auth::Action::Pull],
    };
    assert_eq!(route.wanted_access(), Some(every));

    let route = parse(&Method::POST, "/v2/a/blobs/uploads/?from=Not/Valid").expect("an upload");
    assert_eq!(
        route.wanted_access(),
        None,
        "without a mount it means nothing"
    );

    let uri = "/v2/a/blobs/uploads/?digest-algorithm=sha512";
    let Ok(Route::StartUpload { query, .. }) = parse(&Method::POST, uri) else {
        panic!("an upload");
    };
    assert_eq!(query.algorithm, Algorithm::Sha512);

    let uri = format!("/v2/a/manifests/{digest}?tag=1&tag=2&tag=1");
    let Ok(Route::PushManifest { query, .. }) = parse(&Method::PUT, &uri) else {
        panic!("a push");
    };
    let tags: Vec<&str> = query.tags.iter().map(Tag::as_str).collect();
    assert_eq!(tags, ["1", "2"]);

    for (uri, n) in [
        ("/v2/a/tags/list", None),
        ("/v2/a/tags/list?n=", None),
        ("/v2/a/tags/list?n=0", Some(0)),
        ("/v2/a/tags/list?n=10000", Some(10_000)),
        (
            "/v2/a/tags/list?n=99999999999999999999999999",
            Some(usize::MAX),
        ),
    ] {
        let Ok(Route::ListTags { query, .. }) = parse(&Method::GET, uri) else {
            panic!("{uri}");
        };
        assert_eq!(query.n, n, "{uri}");
    }

    for encoded in ["application/vnd.x+json", "application%2Fvnd.x%2Bjson"] {
        let uri = format!("/v2/a/referrers/{digest}?artifactType={encoded}");
        let Ok(Route::ListReferrers { query, .. }) = parse(&Method::GET, &uri) else {
            panic!("{uri}");
        };
        assert_eq!(query.artifact_type, "application/vnd.x+json".parse().ok());
    }
}

#[test]
fn what_cannot_be_routed_is_refused_with_its_code() {
    let digest = digest();
    let many = "tag=x&".repeat(3) + &(0..70).map(|n| format!("tag=t{n}&")).collect::<String>();
    let cases = [
        (Method::GET, "/".to_owned(), (404, "UNSUPPORTED")),
        (
            Method::GET,
            "/v1/search?q=x".to_owned(),
            (404, "UNSUPPORTED"),
        ),
        (Method::GET, "/v2/a".to_owned(), (404, "UNSUPPORTED")),
        (Method::GET, "/v2//".to_owned(), (404, "UNSUPPORTED")),
        (Method::POST, "/v2/".to_owned(), (405, "UNSUPPORTED")),
        (Method::PUT, "/v2/_catalog".to_owned(), (405, "UNSUPPORTED")),
        (
            Method::GET,
            "/v2/a/blobs/uploads/".to_owned(),
            (405, "UNSUPPORTED"),
        ),
        (
            Method::PUT,
            format!("/v2/a/blobs/{digest}"),
            (405, "UNSUPPORTED"),
        ),
        (
            Method::OPTIONS,
            "/v2/a/tags/list".to_owned(),
            (405, "UNSUPPORTED"),
        ),
        (
            Method::GET,
            "/v2/A/tags/list".to_owned(),
            (400, "NAME_INVALID"),
        ),
        (
            Method::GET,
            "/v2//tags/list".to_owned(),
            (400, "NAME_INVALID"),
        ),
        (
            Method::GET,
            "/v2/a//b/tags/list".to_owned(),
            (400, "NAME_INVALID"),
        ),
        (
            Method::GET,
            "/v2/a/../b/tags/list".to_owned(),
            (400, "NAME_INVALID"),
        ),
        (
            Method::GET,
            "/v2/a%ff/tags/list".to_owned(),
            (400, "NAME_INVALID"),
        ),
        (
            Method::GET,
            "/v2/tags/list".to_owned(),
            (400, "NAME_INVALID"),
        ),
        (
            Method::GET,
            format!("/v2/{}/tags/list", "a".repeat(256)),
            (400, "NAME_INVALID"),
        ),
        (
            Method::GET,
            "/v2/a/manifests/.x".to_owned(),
            (400, "MANIFEST_INVALID"),
        ),
        (
            Method::GET,
            "/v2/a/manifests/".to_owned(),
            (400, "MANIFEST_INVALID"),
        ),
        (
            Method::GET,
            "/v2/a/manifests/sha256:baddigeststring".to_owned(),
            (400, "DIGEST_INVALID"),
        ),
        (
            Method::GET,
            "/v2/a/blobs/x".to_owned(),
            (400, "DIGEST_INVALID"),
        ),
        (
            Method::GET,
            "/v2/a/referrers/x".to_owned(),
            (400, "DIGEST_INVALID"),
        ),
        (
            Method::PATCH,
            "/v2/a/blobs/uploads/..".to_owned(),
            (404, "BLOB_UPLOAD_UNKNOWN"),
        ),
        (
            Method::PUT,
            "/v2/a/blobs/uploads/x".to_owned(),
            (400, "DIGEST_INVALID"),
        ),
        (
            Method::PUT,
            "/v2/a/blobs/uploads/x?digest=y".to_owned(),
            (400, "DIGEST_INVALID"),
        ),
        (
            Method::POST,
            "/v2/a/blobs/uploads/?digest=y".to_owned(),
            (400, "DIGEST_INVALID"),
        ),
        (
            Method::POST,
            "/v2/a/blobs/uploads/?digest-algorithm=md5".to_owned(),
            (400, "DIGEST_INVALID"),
        ),
        (
            Method::POST,
            "/v2/a/blobs/uploads/?mount=y&from=b".to_owned(),
            (400, "DIGEST_INVALID"),
        ),
        (
            Method::POST,
            format!("/v2/a/blobs/uploads/?mount={digest}&from=B"),
            (400, "NAME_INVALID"),
        ),
        (
            Method::PUT,
            format!("/v2/a/manifests/{digest}?tag=.x"),
            (400, "MANIFEST_INVALID"),
        ),
        (
            Method::PUT,
            format!("/v2/a/manifests/{digest}?{many}"),
            (414, "UNSUPPORTED"),
        ),
        (
            Method::GET,
            "/v2/a/tags/list?n=-1".to_owned(),
            (400, "UNSUPPORTED"),
        ),
        (
            Method::GET,
            "/v2/a/tags/list?n=x".to_owned(),
            (400, "UNSUPPORTED"),
        ),
        (
            Method::GET,
            "/v2/a/tags/list?last=.".to_owned(),
            (400, "UNSUPPORTED"),
        ),
        (
            Method::GET,
            "/v2/_catalog?last=A".to_owned(),
            (400, "UNSUPPORTED"),
        ),
        (
            Method::GET,
            format!("/v2/a/referrers/{digest}?artifactType=a%00b"),
            (400, "UNSUPPORTED"),
        ),
    ];
    for (method, uri, expected) in cases {
        assert_eq!(refusal(&method, &uri), expected, "{method} {uri}");
    }
}
