//! The registry as a whole: end-1, and Docker's catalog.

use http::{Response, header};
use serde_json::json;

use super::{Call, json as json_response, link_next};
use crate::auth::Access;
use crate::body::Body;
use crate::error::Error;
use crate::header as names;
use crate::route::CatalogQuery;

/// `GET /v2/`: yes, this is a registry, and you are let in.
pub(crate) fn welcome() -> Response<Body> {
    const BODY: &str = "{}";
    let mut response = Response::new(Body::from(BODY.to_owned()));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, names::JSON);
    headers.insert(header::CONTENT_LENGTH, BODY.len().into());
    response
}

/// `GET /v2/_catalog`: the repositories that the caller may pull from.
pub(crate) async fn catalog(call: &Call<'_>, query: CatalogQuery) -> Result<Response<Body>, Error> {
    let limit = call.page_size(query.n);
    let mut visible = Vec::new();
    let mut after = query.last;
    let mut more = limit > 0;
    while more && visible.len() < limit {
        let page = call
            .storage()
            .list_repositories(after.as_ref(), limit - visible.len())
            .await?;
        more = page.more && !page.items.is_empty();
        after = page.items.last().cloned();
        visible.extend(
            page.items
                .into_iter()
                .filter(|name| call.grant.allows(&Access::pull(name.clone()))),
        );
    }
    let mut response = json_response(names::JSON, &json!({ "repositories": visible }))?;
    // The last visible one: a name that was filtered out must not leak here.
    if let Some(last) = visible.last().filter(|_| more) {
        link_next(
            &mut response,
            "/v2/_catalog",
            &[
                ("last", Some(last.to_string())),
                ("n", query.n.map(|_| limit.to_string())),
            ],
        );
    }
    Ok(response)
}
