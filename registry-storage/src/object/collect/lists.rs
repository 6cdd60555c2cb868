//! What there is: links, pushes, and what was left over.

use futures_util::TryStreamExt;
use futures_util::future::join_all;
use object_store::ObjectMeta;
use object_store::path::Path;
use registry_spec::storage::StorageError;
use registry_spec::types::{Algorithm, Digest, RepositoryName};

use super::super::error::{At, ObjectError};
use super::super::layout::digest_below;
use super::super::objects::{CONCURRENCY, digest_in};
use super::super::push::DEAD_PUSH;
use super::super::tombstones::{DEAD, is_older};
use super::Collection;
use crate::collect::{Found, Listed, Told};
use crate::limits::MAX_LINK_LEN;

impl Collection<'_> {
    /// Goes through the links below a prefix.
    pub(super) async fn list(
        &self,
        prefix: &str,
        mut tell: impl FnMut(Listed) + Send,
    ) -> Result<(), StorageError> {
        let mut below = self.objects.below(prefix);
        while let Some(object) = below.try_next().await.at("list", prefix)? {
            let Some(digest) = digest_below(prefix, object.location.as_ref()) else {
                continue;
            };
            // Only of a sha512 a link may name something else than its place,
            // and one that is broken is not as long.
            let is_plain = digest.algorithm() == Algorithm::Sha256
                && object.size == digest.to_string().len() as u64;
            let told = is_plain.then(|| Told {
                bytes: 0,
                ..self.told(&object)
            });
            tell(Listed { digest, told });
        }
        Ok(())
    }

    pub(super) fn told(&self, object: &ObjectMeta) -> Told {
        Told {
            is_old: self.is_old(object.last_modified.into()),
            bytes: object.size,
        }
    }

    pub(super) fn found(&self, content: Digest, object: &ObjectMeta, is_aside: bool) -> Found {
        let Told { is_old, bytes } = self.told(object);
        Found {
            content,
            is_old,
            is_aside,
            bytes,
        }
    }

    /// Reads a link as it is; one that is broken is a fault.
    pub(super) async fn read_link(&self, path: &Path) -> Result<Option<Digest>, StorageError> {
        let link = self.objects.get(path, MAX_LINK_LEN as u64).await?;
        let fault = || ObjectError::broken(path, "is not a link");
        link.map(|link| digest_in(&link.bytes).ok_or_else(fault))
            .transpose()
    }

    fn is_dead_push(&self, object: &ObjectMeta) -> bool {
        is_older(object.last_modified.into(), self.now, DEAD_PUSH)
    }

    /// The pushes below a prefix that may be under way.
    pub(super) async fn pushes(&self, prefix: &str) -> Result<Vec<Path>, StorageError> {
        let pushes = self.objects.list_all(prefix).await?.into_iter();
        let alive = pushes.filter(|object| !self.is_dead_push(object));
        Ok(alive.map(|object| object.location).collect())
    }

    pub(super) async fn is_pushed(
        &self,
        name: &RepositoryName,
        digest: &Digest,
    ) -> Result<bool, StorageError> {
        let prefix = self.objects.layout.pushes_of(name, digest);
        Ok(!self.pushes(&prefix).await?.is_empty())
    }

    /// Removes what collections and pushes have left that did not come to
    /// their end.
    pub(super) async fn tidy(&self) -> Result<(), StorageError> {
        let layout = &self.objects.layout;
        let is_dead = |object: &ObjectMeta| {
            let modified = object.last_modified.into();
            is_older(modified, self.now, DEAD)
        };
        for some in self.batches(&layout.tombstones(), is_dead).await? {
            // Its collection may be alive, and must not go on with it. If it
            // has just done so, it removes the tombstone itself.
            let withdrawn = some.iter().map(|path| self.objects.withdraw(path));
            let withdrawn = join_all(withdrawn).await.into_iter().zip(some);
            let withdrawn = withdrawn.filter(|(result, _)| result.is_ok());
            let withdrawn = withdrawn.map(|(_, path)| path).collect();
            self.objects.delete(withdrawn).await?;
        }
        let is_dead = |object: &ObjectMeta| self.is_dead_push(object);
        for some in self.batches(&layout.pushes(), is_dead).await? {
            self.objects.delete(some).await?;
        }
        Ok(())
    }

    /// The objects below a prefix of which that holds, a few at a time.
    async fn batches(
        &self,
        prefix: &str,
        which: impl Fn(&ObjectMeta) -> bool + Send,
    ) -> Result<Vec<Vec<Path>>, StorageError> {
        let mut below = self.objects.below(prefix);
        let mut all: Vec<Path> = Vec::new();
        while let Some(object) = below.try_next().await.at("list", prefix)? {
            if which(&object) {
                all.push(object.location);
            }
        }
        Ok(all.chunks(CONCURRENCY).map(<[Path]>::to_vec).collect())
    }
}
