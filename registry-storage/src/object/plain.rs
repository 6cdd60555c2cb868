//! What a store without parts and pages of its own makes do with.
//!
//! A part is an object, `<key>.parts/<id>/<part>-<random>`: one that is written
//! once more is another. To complete an upload they are read once more and
//! written as one.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::{StreamExt, TryStreamExt};
use object_store::list::{PaginatedListOptions, PaginatedListResult, PaginatedListStore};
use object_store::multipart::{MultipartStore, PartId};
use object_store::path::Path;
use object_store::{
    ListResult, MultipartId, ObjectStore, ObjectStoreExt, PutPayload, PutResult, Result,
    WriteMultipart,
};
use registry_spec::types::UploadId;

use super::layout::verbatim;

/// How many parts of the written object are under way at once.
const CONCURRENCY: usize = 2;

pub(super) struct Plain(Arc<dyn ObjectStore>);

impl Plain {
    pub(super) fn new(store: Arc<dyn ObjectStore>) -> Self {
        Self(store)
    }
}

fn part(path: &Path, id: &str, index: usize) -> Path {
    let unique = UploadId::random();
    verbatim(&format!("{path}.parts/{id}/{index:06}-{unique}"))
}

#[async_trait]
impl MultipartStore for Plain {
    async fn create_multipart(&self, _: &Path) -> Result<MultipartId> {
        Ok(UploadId::random().to_string())
    }

    async fn put_part(
        &self,
        path: &Path,
        id: &MultipartId,
        part_idx: usize,
        data: PutPayload,
    ) -> Result<PartId> {
        let part = part(path, id, part_idx);
        self.0.put(&part, data).await?;
        Ok(PartId {
            content_id: part.to_string(),
        })
    }

    async fn complete_multipart(
        &self,
        path: &Path,
        id: &MultipartId,
        parts: Vec<PartId>,
    ) -> Result<PutResult> {
        let mut whole = WriteMultipart::new(self.0.put_multipart(path).await?);
        for part in &parts {
            let mut bytes = self.0.get(&verbatim(&part.content_id)).await?.into_stream();
            while let Some(bytes) = bytes.try_next().await? {
                whole.wait_for_capacity(CONCURRENCY).await?;
                whole.put(bytes);
            }
        }
        let result = whole.finish().await?;
        self.abort_multipart(path, id).await?;
        Ok(result)
    }

    async fn abort_multipart(&self, path: &Path, id: &MultipartId) -> Result<()> {
        let parts = self
            .0
            .list(Some(&verbatim(&format!("{path}.parts/{id}"))))
            .map_ok(|part| part.location)
            .boxed();
        self.0.delete_stream(parts).try_collect::<Vec<_>>().await?;
        Ok(())
    }
}

#[async_trait]
impl PaginatedListStore for Plain {
    async fn list_paginated(
        &self,
        prefix: Option<&str>,
        opts: PaginatedListOptions,
    ) -> Result<PaginatedListResult> {
        let prefix = prefix.unwrap_or_default();
        // The store lists below whole segments only, in any order.
        let folder = prefix.rfind('/').map(|end| verbatim(&prefix[..end]));
        let objects: Vec<_> = self.0.list(folder.as_ref()).try_collect().await?;
        let after = opts.page_token.or(opts.offset);
        let mut entries = BTreeMap::new();
        for object in objects {
            let key = object.location.to_string();
            let Some(rest) = key.strip_prefix(prefix) else {
                continue;
            };
            let common = opts
                .delimiter
                .as_deref()
                .and_then(|delimiter| Some(rest.find(delimiter)? + delimiter.len()));
            let (key, object) = match common {
                Some(end) => (key[..prefix.len() + end].to_owned(), None),
                None => (key, Some(object)),
            };
            if after.as_ref().is_none_or(|after| key > *after) {
                entries.insert(key, object);
            }
        }
        let limit = opts.max_keys.unwrap_or(usize::MAX);
        let page_token = (entries.len() > limit)
            .then(|| entries.keys().nth(limit.saturating_sub(1)).cloned())
            .flatten();
        let mut result = ListResult {
            common_prefixes: Vec::new(),
            objects: Vec::new(),
            extensions: Default::default(),
        };
        for (key, object) in entries.into_iter().take(limit) {
            match object {
                Some(object) => result.objects.push(object),
                None => result.common_prefixes.push(verbatim(&key)),
            }
        }
        Ok(PaginatedListResult { result, page_token })
    }
}
