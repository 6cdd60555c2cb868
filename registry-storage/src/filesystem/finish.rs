//! Finishing an upload session: end-6.
//!
//! | step | a crash after it leaves |
//! |---|---|
//! | compare the digest | the session |
//! | fsync `data` | the session |
//! | create `blobs/<alg>/<hh>/<hex>/` | the session, an empty directory |
//! | rename `data` there | a blob that no repository has |
//! | fsync that directory, and what holds each new one | the same |
//! | write the `_layers` link, fsyncs included | the blob, and a rest of the session |
//! | look whether a garbage collection has left the blob | the same |
//! | remove the rest of the session | the blob |
//!
//! The rename replaces a blob that is there already, whatever its state: the
//! bytes have just been verified, so that a truncated one is healed, and any
//! number of pushes of one digest can end at once.

use registry_spec::storage::StorageError;
use registry_spec::types::{Digest, RepositoryName, UploadId};

use super::error::At;
use super::shelf::done;
use super::tree::Tree;
use super::upload::{Session, remove_session};
use super::{FileSystem, aside, atomic};
use crate::collect;

impl FileSystem {
    pub(super) async fn finish(
        &self,
        name: &RepositoryName,
        id: &UploadId,
        digest: &Digest,
    ) -> Result<(), StorageError> {
        let (repository, digest) = (name.clone(), *digest);
        self.with_session(
            &self.places.finishes,
            name,
            id,
            None,
            move |tree, session| tree.finish_session(&repository, &session, &digest),
        )
        .await
    }
}

impl Tree {
    /// The caller holds the session's lock.
    pub(super) fn finish_session(
        &self,
        name: &RepositoryName,
        session: &Session,
        digest: &Digest,
    ) -> Result<(), StorageError> {
        let actual = session.digest(digest.algorithm())?;
        if actual != *digest {
            remove_session(&session.dir);
            return Err(StorageError::DigestMismatch { actual });
        }
        let data = session.data_path();
        if let Err(error) = self.durability.sync_file(&session.data, &data) {
            // The kernel reports lost writes once: a second fsync would
            // succeed, and prove nothing. The client has to send them again.
            remove_session(&session.dir);
            return Err(error).at("sync", &data);
        }
        let blob = self.layout.blob_data(digest);
        // What a collection that died has set aside would stay beside it.
        aside::restore(&blob)?;
        // Cancelled meanwhile: there is nothing to move.
        atomic::move_into(&data, &blob, self.durability)?.ok_or(StorageError::UploadUnknown)?;
        let is_there = done(collect::link_blob(self, name, digest, digest));
        remove_session(&session.dir);
        match is_there? {
            true => Ok(()),
            // Before there was a link, with a grace period of next to nothing.
            false => Err(StorageError::UploadUnknown),
        }
    }
}
