//! The registry as a whole: end-1, and Docker's catalog.

use http::{Response, header};
use serde_json::json;

use super::{Call, json as json_response};
use crate::auth::Access;
use crate::body::Body;
use crate::error::Error;
use crate::header as names;
use crate::route::CatalogQuery;
use crate::types::RepositoryName;

/// `GET /v2/`: yes, this is a registry, and you are let in.
pub(crate) fn welcome() -> Response<Body> {
    const BODY: &str = "{}";
    let mut response = Response::new(Body::from(BODY.to_owned()));
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, names::JSON);
    response
}

/// Most pages of the storage's list that are looked through for one answer, of
/// [`Limits::catalog_items`](crate::Limits) each.
const MOST_PAGES: usize = 64;

/// `GET /v2/_catalog`: the repositories that the caller may pull from.
pub(crate) async fn catalog(call: &Call<'_>, query: CatalogQuery) -> Result<Response<Body>, Error> {
    let most = call.shared.limits.catalog_items;
    let limit = call.page_size(query.n, most);
    let mut visible: Vec<RepositoryName> = Vec::new();
    let mut after = query.last;
    let mut unseen = limit > 0;
    let mut pages = 0;
    // One more than fits shows whether the caller may see more.
    while unseen && visible.len() <= limit && pages < MOST_PAGES {
        let page = call
            .storage()
            .list_repositories(after.as_ref(), most)
            .await?;
        pages += 1;
        unseen = page.more && !page.items.is_empty();
        after = page.items.last().cloned();
        let allowed = |name: &RepositoryName| call.grant.allows(&Access::pull(name.clone()));
        visible.extend(page.items.into_iter().filter(allowed));
    }
    let more = visible.len() > limit || unseen;
    visible.truncate(limit);
    let mut response = json_response(names::JSON, &json!({ "repositories": visible }))?;
    // From the last visible one: a name that was filtered out must not leak here.
    if let Some(last) = visible.last().filter(|_| more) {
        call.link_next(
            &mut response,
            format_args!("_catalog"),
            &[
                ("last", Some(last.to_string())),
                ("n", query.n.map(|_| limit.to_string())),
            ],
        );
    }
    Ok(response)
}
