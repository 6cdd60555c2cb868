//! Lists, in pages: end-8, end-12, `_catalog`.
//!
//! Each page is one range of an index. The texts of tags and digests sort as
//! the contract wants them, byte by byte; names of repositories do so once
//! their slashes are spaces.

use std::str::FromStr;

use registry_spec::storage::{Page, StorageError};
use registry_spec::types::{Digest, RepositoryName, Tag};
use rusqlite::{Connection, Params};

use crate::database::parsed;
use crate::error::Result;
use crate::store::Store;

impl Store {
    pub(crate) fn list_tags(
        &self,
        name: &RepositoryName,
        after: Option<&Tag>,
        limit: usize,
    ) -> Result<Page<Tag>> {
        let after = after.map_or("", Tag::as_str);
        self.database.read(|db| {
            // Never removed, so it needs no transaction with what follows.
            let mut known = db.prepare("SELECT 1 FROM repositories WHERE name = ?1")?;
            if !known.exists([name.as_str()])? {
                return Err(StorageError::NameUnknown.into());
            }
            let sql = "SELECT tag FROM tags WHERE repository = ?1 AND tag > ?2
                       ORDER BY tag LIMIT ?3";
            page(db, sql, (name.as_str(), after, fetched(limit)), limit)
        })
    }

    pub(crate) fn list_referrers(
        &self,
        name: &RepositoryName,
        subject: &Digest,
        after: Option<&Digest>,
        limit: usize,
    ) -> Result<Page<Digest>> {
        let after = after.map(Digest::to_string).unwrap_or_default();
        self.database.read(|db| {
            let sql = "SELECT digest FROM manifests
                       WHERE repository = ?1 AND subject = ?2 AND digest > ?3
                       ORDER BY digest LIMIT ?4";
            let range = (name.as_str(), subject.to_string(), after, fetched(limit));
            page(db, sql, range, limit)
        })
    }

    pub(crate) fn list_repositories(
        &self,
        after: Option<&RepositoryName>,
        limit: usize,
    ) -> Result<Page<RepositoryName>> {
        let after = after.map_or("", RepositoryName::as_str);
        self.database.read(|db| {
            let sql = "SELECT name FROM repositories
                       WHERE replace(name, '/', ' ') > replace(?1, '/', ' ')
                       ORDER BY replace(name, '/', ' ') LIMIT ?2";
            page(db, sql, (after, fetched(limit)), limit)
        })
    }
}

/// One more than the page holds, to know whether there is more.
fn fetched(limit: usize) -> i64 {
    i64::try_from(limit).map_or(i64::MAX, |limit| limit.saturating_add(1))
}

fn page<T>(db: &Connection, sql: &str, range: impl Params, limit: usize) -> Result<Page<T>>
where
    T: FromStr<Err: std::error::Error + Send + Sync + 'static>,
{
    let mut statement = db.prepare(sql)?;
    let rows = statement.query_map(range, |row| parsed(row, 0))?;
    let items: Vec<T> = rows.collect::<rusqlite::Result<_>>()?;
    Ok(Page::take(items, limit))
}
