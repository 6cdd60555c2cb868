//! Request lines.

use std::fmt::Write as _;

use http::{Method, Uri, header};
use percent_encoding::percent_decode_str;
use registry_spec::auth::Access;
use registry_spec::route::Route;
use registry_spec::types::RepositoryName;

/// A request line is refused with a status of the protocol, or becomes a route
/// that asks for access to the repository it names, has the path that was asked
/// for, and is the same when it is written and parsed again.
pub fn route(data: &[u8]) {
    let Some((method, uri)) = request_line(data) else {
        return;
    };
    let route = match Route::parse(&method, &uri) {
        Ok(route) => route,
        Err(error) => {
            let status = error.status().as_u16();
            assert!(matches!(status, 400 | 404 | 405 | 414), "{error}: {status}");
            let response = error.into_response();
            let allowed = response.headers().get(header::ALLOW);
            assert_eq!(allowed.is_some(), status == 405);
            if let Some(allowed) = allowed {
                let mut allowed = allowed.to_str().expect("text").split(", ");
                assert!(allowed.all(|allowed| allowed != method.as_str()));
            }
            return;
        }
    };
    is_named(&route.access());
    if let Some(wanted) = route.wanted_access() {
        is_named(&wanted);
    }
    let (method, line) = written(&route);
    let again: Uri = line.parse().expect("a URI of ours");
    let asked = percent_decode_str(uri.path()).decode_utf8_lossy();
    // `/v2` and `…/blobs/uploads` may end in a slash.
    let path = |text: &str| text.trim_end_matches('/').to_owned();
    assert_eq!(path(again.path()), path(&asked));
    assert_eq!(Route::parse(&method, &again).ok(), Some(route), "{line}");
}

/// `METHOD URI`, as far as an HTTP server would let it through.
fn request_line(data: &[u8]) -> Option<(Method, Uri)> {
    let end = data.iter().position(|&byte| byte == b' ')?;
    let method = Method::from_bytes(&data[..end]).ok()?;
    let uri = Uri::try_from(&data[end + 1..]).ok()?;
    Some((method, uri))
}

fn is_named(access: &Access) {
    let scope = access.scope().map(|scope| scope.to_string());
    let Access::Repository { name, actions } = access else {
        return;
    };
    assert_eq!(name.as_str().parse::<RepositoryName>().as_ref(), Ok(name));
    assert!(!actions.is_empty());
    let scope = scope.expect("a repository has a scope");
    let rest = scope.strip_prefix(&format!("repository:{name}:"));
    assert!(
        rest.is_some_and(|actions| !actions.contains(':')),
        "{scope}"
    );
}

/// The route as a client would ask for it.
fn written(route: &Route) -> (Method, String) {
    let mut query = Query::default();
    let (method, path) = match route {
        Route::Base => (Method::GET, String::new()),
        Route::PullBlob { name, digest } => (Method::GET, format!("{name}/blobs/{digest}")),
        Route::PullManifest { name, reference } => {
            (Method::GET, format!("{name}/manifests/{reference}"))
        }
        Route::StartUpload { name, query: start } => {
            if let Some(mount) = &start.mount {
                query.add("mount", Some(&mount.digest));
                query.add("from", mount.from.as_ref());
            }
            query.add("digest", start.digest.as_ref());
            query.add("digest-algorithm", Some(start.algorithm));
            (Method::POST, format!("{name}/blobs/uploads/"))
        }
        Route::AppendUpload { name, id } => (Method::PATCH, format!("{name}/blobs/uploads/{id}")),
        Route::FinishUpload {
            name,
            id,
            query: finish,
        } => {
            query.add("digest", Some(&finish.digest));
            (Method::PUT, format!("{name}/blobs/uploads/{id}"))
        }
        Route::PushManifest {
            name,
            reference,
            query: push,
        } => {
            push.tags.iter().for_each(|tag| query.add("tag", Some(tag)));
            query.add("digest", push.digest.as_ref());
            (Method::PUT, format!("{name}/manifests/{reference}"))
        }
        Route::ListTags { name, query: tags } => {
            query.add("n", tags.n);
            query.add("last", tags.last.as_ref());
            (Method::GET, format!("{name}/tags/list"))
        }
        Route::DeleteManifest { name, reference } => {
            (Method::DELETE, format!("{name}/manifests/{reference}"))
        }
        Route::DeleteBlob { name, digest } => (Method::DELETE, format!("{name}/blobs/{digest}")),
        Route::ListReferrers {
            name,
            digest,
            query: referrers,
        } => {
            query.add("artifactType", referrers.artifact_type.as_ref());
            query.add("n", referrers.n);
            query.add("last", referrers.last.as_ref());
            (Method::GET, format!("{name}/referrers/{digest}"))
        }
        Route::StatUpload { name, id } => (Method::GET, format!("{name}/blobs/uploads/{id}")),
        Route::CancelUpload { name, id } => (Method::DELETE, format!("{name}/blobs/uploads/{id}")),
        Route::Catalog { query: catalog } => {
            query.add("n", catalog.n);
            query.add("last", catalog.last.as_ref());
            (Method::GET, "_catalog".to_owned())
        }
        other => panic!("a route that cannot be written: {other:?}"),
    };
    (method, format!("/v2/{path}{}", query.0))
}

/// A query string, with every byte of its values encoded.
#[derive(Default)]
struct Query(String);

impl Query {
    fn add(&mut self, key: &str, value: Option<impl ToString>) {
        let Some(value) = value else {
            return;
        };
        self.0.push(if self.0.is_empty() { '?' } else { '&' });
        self.0.push_str(key);
        self.0.push('=');
        for byte in value.to_string().bytes() {
            write!(self.0, "%{byte:02x}").expect("strings take any text");
        }
    }
}
