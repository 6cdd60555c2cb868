//! Names below a prefix, in their own order.
//!
//! A store lists keys in the order of their bytes, in which `/` comes after `-`
//! and `.`: `1.0-rc/…`, `1.0.1/…`, `1.0/…`. The order of the names themselves
//! is another one, `1.0`, `1.0-rc`, `1.0.1`, and only what is a prefix of
//! another, up to such a character, is in another place. Within a page of the
//! list its names are put in order; only where a page ends, the prefixes of its
//! last name are still to come, and are looked for:
//!
//! | a page holds | looked for | told |
//! |---|---|---|
//! | `1.0-rc` | `1`, `1.0` | `1.0`, `1.0-rc` |
//! | `1.0.1`, `1.0` | nothing: `1.0` has been told | `1.0.1` |
//!
//! Everything that comes before a listed name is known then, and a page costs
//! what it holds, not what the bucket holds.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap, VecDeque};

use futures_util::{StreamExt, TryStreamExt, stream};
use object_store::ListResult;
use object_store::list::{PaginatedListOptions, PaginatedListResult};
use registry_spec::storage::StorageError;

use super::error::{At, ObjectError};
use super::layout::verbatim;
use super::objects::{CONCURRENCY, Objects};

/// How many keys are asked for at once, as many as S3 gives.
pub(super) const PAGE: usize = 1000;

/// The names that have a certain key below them.
pub(super) struct Names<'a> {
    objects: &'a Objects,
    prefix: String,
    marker: &'static str,
    after: Option<String>,
    /// Whether a name that comes late in the store's order is there.
    early: HashMap<String, bool>,
    /// Known, and to be told.
    known: VecDeque<String>,
    /// The last name of the last page, if there are more.
    reached: Option<String>,
    /// The key after which the next page begins.
    offset: Option<String>,
    exhausted: bool,
}

impl Objects {
    /// The names `n` after `after` for which there is a key that begins with
    /// `<prefix>n/<marker>`. Without a marker, any key will do.
    pub(super) fn names(
        &self,
        prefix: String,
        marker: &'static str,
        after: Option<&str>,
    ) -> Names<'_> {
        Names {
            objects: self,
            // What comes after `after`, in either order, comes after this key.
            offset: after.map(|after| format!("{prefix}{after}")),
            prefix,
            marker,
            after: after.map(str::to_owned),
            early: HashMap::new(),
            known: VecDeque::new(),
            reached: None,
            exhausted: false,
        }
    }

    /// Whether there is any key that begins with `prefix`.
    pub(super) async fn has_any(&self, prefix: &str) -> Result<bool, StorageError> {
        let listed = self.list_page(prefix, None, None, 1).await?;
        Ok(!listed.result.objects.is_empty())
    }

    /// A page of the store's own list: keys that begin with `prefix`, from the
    /// first after `offset` on.
    pub(super) async fn list_page(
        &self,
        prefix: &str,
        offset: Option<&str>,
        delimiter: Option<&'static str>,
        most: usize,
    ) -> Result<PaginatedListResult, StorageError> {
        let listed = self.try_list_page(prefix, offset, delimiter, most).await;
        let page = listed.at("list", prefix)?;
        // To ask such a store for the next page would never end.
        if page.page_token.is_some()
            && let Some(offset) = offset
            && keys(&page.result).all(|key| *key <= *offset)
        {
            let fault = "is listed from somewhere else than where it was asked for";
            return Err(ObjectError::broken(&verbatim(prefix), fault));
        }
        Ok(page)
    }

    /// The same, without a look at what the store makes of it.
    pub(super) async fn try_list_page(
        &self,
        prefix: &str,
        offset: Option<&str>,
        delimiter: Option<&'static str>,
        most: usize,
    ) -> object_store::Result<PaginatedListResult> {
        let lists = &self.bucket.lists;
        let (mut token, mut max_keys) = (None, most.min(PAGE));
        let mut offset = offset.map(str::to_owned);
        loop {
            let options = PaginatedListOptions {
                offset: offset.clone(),
                delimiter: delimiter.map(Into::into),
                max_keys: Some(max_keys),
                page_token: token.take(),
                ..PaginatedListOptions::default()
            };
            match lists.list_paginated(Some(prefix), options).await {
                Ok(mut page) => {
                    token = page
                        .page_token
                        .take_if(|_| keys(&page.result).next().is_none());
                    // An answer may hold nothing although there is more.
                    if token.is_none() {
                        return Ok(page);
                    }
                }
                // One key that is no path spoils the page that it is in.
                Err(object_store::Error::InvalidPath { .. }) if max_keys > 1 => max_keys /= 2,
                Err(error) => {
                    let Some(next) =
                        behind_no_path(&error).filter(|next| Some(next) > offset.as_ref())
                    else {
                        return Err(error);
                    };
                    self.warn_once(&verbatim(prefix), format_args!("passed over: {error}"));
                    (offset, max_keys) = (Some(next), most.min(PAGE));
                }
            }
        }
    }
}

/// Where to go on behind a key that is no path, as `a//b`. What begins with it
/// is none either.
fn behind_no_path(error: &object_store::Error) -> Option<String> {
    use object_store::path::Error::{BadSegment, EmptySegment};
    let object_store::Error::InvalidPath {
        source: EmptySegment { path } | BadSegment { path, .. },
    } = error
    else {
        return None;
    };
    Some(match path.strip_suffix('/') {
        // `0` is the character after `/`.
        Some(folder) => format!("{folder}0"),
        None => path.clone(),
    })
}

/// What a page holds, folders with a `/` at their end.
fn keys(page: &ListResult) -> impl Iterator<Item = Cow<'_, str>> {
    let folders = page.common_prefixes.iter();
    let folders = folders.map(|folder| Cow::from(format!("{folder}/")));
    let objects = page.objects.iter();
    folders.chain(objects.map(|object| Cow::from(object.location.as_ref())))
}

impl Names<'_> {
    pub(super) async fn next(&mut self) -> Result<Option<String>, StorageError> {
        while self.known.is_empty() && !self.exhausted {
            self.read_page().await?;
        }
        Ok(self.known.pop_front())
    }

    async fn read_page(&mut self) -> Result<(), StorageError> {
        let mut names = self.list().await?;
        names.retain(|name| !self.early.contains_key(name));
        // What begins with one of these, and `-` or `.`, is listed before it. All
        // others have been listed, as far as they are there.
        let reached = self.reached.as_deref().unwrap_or_default();
        let early = reached.match_indices(['-', '.']);
        let early = early.map(|(end, _)| &reached[..end]);
        let unknown: Vec<String> = early
            .filter(|name| !name.is_empty() && self.is_due(name))
            .filter(|name| !self.early.contains_key(*name))
            .map(str::to_owned)
            .collect();

        let (objects, prefix, marker) = (self.objects, &self.prefix, self.marker);
        let looks = unknown.into_iter().map(|name| async move {
            let there = objects.has_any(&format!("{prefix}{name}/{marker}")).await?;
            Ok::<_, StorageError>((name, there))
        });
        let mut looks = stream::iter(looks).buffer_unordered(CONCURRENCY);
        while let Some((name, there)) = looks.try_next().await? {
            if there {
                names.insert(name.clone());
            }
            self.early.insert(name, there);
        }
        self.known.extend(names);
        Ok(())
    }

    fn is_due(&self, name: &str) -> bool {
        self.after.as_deref().is_none_or(|after| name > after)
    }

    /// The names in the next page of the store's list.
    async fn list(&mut self) -> Result<BTreeSet<String>, StorageError> {
        let delimiter = self.marker.is_empty().then_some("/");
        let offset = self.offset.as_deref();
        let page = self
            .objects
            .list_page(&self.prefix, offset, delimiter, PAGE)
            .await?;
        let mut names = BTreeSet::new();
        let mut last = None;
        for key in keys(&page.result) {
            if let Some((name, below)) = self.split(&key)
                && below.starts_with(self.marker)
                && self.is_due(name)
            {
                names.insert(name.to_owned());
            }
            last = last.max(Some(key));
        }
        self.exhausted = page.page_token.is_none() || last.is_none();
        let reached = last.as_deref().filter(|_| !self.exhausted);
        let reached = reached.and_then(|key| key.strip_prefix(&self.prefix)?.split('/').next());
        self.reached = reached.map(str::to_owned);
        self.offset = last.map(|key| match self.split(&key) {
            // All the rest below the name tells nothing new, and may be much.
            // `0` is the character after `/`.
            Some((name, below)) if below >= self.marker => format!("{}{name}0", self.prefix),
            _ => key.into_owned(),
        });
        Ok(names)
    }

    /// The name in a key, and what follows.
    fn split<'k>(&self, key: &'k str) -> Option<(&'k str, &'k str)> {
        key.strip_prefix(&self.prefix)?.split_once('/')
    }
}
