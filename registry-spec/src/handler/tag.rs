//! Tags: end-8.

use http::Response;
use serde_json::json;

use super::{Call, json as json_response};
use crate::body::Body;
use crate::error::Error;
use crate::header as names;
use crate::route::TagsQuery;
use crate::types::RepositoryName;

/// `GET …/tags/list`.
pub(crate) async fn list(
    call: &Call<'_>,
    name: RepositoryName,
    query: TagsQuery,
) -> Result<Response<Body>, Error> {
    let limit = call.page_size(query.n, call.shared.limits.tag_items);
    let page = call
        .storage()
        .list_tags(&name, query.last.as_ref(), limit)
        .await?;
    let mut response = json_response(names::JSON, &json!({ "name": name, "tags": page.items }))?;
    if let Some(last) = page.items.last().filter(|_| page.more) {
        call.link_next(
            &mut response,
            format_args!("{name}/tags/list"),
            &[
                ("last", Some(last.to_string())),
                ("n", query.n.map(|_| limit.to_string())),
            ],
        );
    }
    Ok(response)
}
