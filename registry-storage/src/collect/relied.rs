//! The writers' side of the protocol: publish, then check.

use std::time::Duration;

use futures_util::future::join_all;
use registry_spec::storage::{PutManifest, StorageError};
use registry_spec::types::{Digest, RepositoryName, Requirement};

use super::steps::Unit;

/// How old a link may be that is relied on: a small part of any reasonable
/// grace period, and so long that a link that is asked for all the time is
/// seldom written.
pub(crate) const YOUNG: Duration = Duration::from_secs(15 * 60);

/// How many missing things are named.
const NAMED: usize = 16;
/// How often something is looked for that others put back and set aside.
const LOOKS: usize = 16;

/// What a writer asks of a store, each one step.
pub(crate) trait Shelf: Sync {
    /// How many units are looked at at once.
    const CONCURRENCY: usize;

    /// Writes a link durably, or makes sure of one that is there and renews
    /// its time; whether there was none before, not even set aside.
    fn publish(
        &self,
        link: Unit<'_>,
        content: &Digest,
    ) -> impl Future<Output = Result<bool, StorageError>> + Send;

    /// Takes back a link that was published.
    fn withdraw(&self, link: Unit<'_>) -> impl Future<Output = Result<(), StorageError>> + Send;

    /// What a link that is in its place names; a blob's digest, if its bytes
    /// are in their place.
    fn find(
        &self,
        unit: Unit<'_>,
    ) -> impl Future<Output = Result<Option<Digest>, StorageError>> + Send;

    /// Puts a unit back durably that is set aside; `false` when there is none.
    fn restore(&self, unit: Unit<'_>) -> impl Future<Output = Result<bool, StorageError>> + Send;

    /// Stores a manifest's bytes durably.
    fn store_bytes(
        &self,
        manifest: &PutManifest,
    ) -> impl Future<Output = Result<(), StorageError>> + Send;

    /// Writes what leads to a manifest: its entry among its subject's
    /// referrers, and its tags.
    fn lead_to(
        &self,
        name: &RepositoryName,
        manifest: &PutManifest,
    ) -> impl Future<Output = Result<(), StorageError>> + Send;
}

/// Makes a blob one of the repository's; `false` when its bytes are gone.
pub(crate) async fn link_blob(
    shelf: &impl Shelf,
    name: &RepositoryName,
    digest: &Digest,
    content: &Digest,
) -> Result<bool, StorageError> {
    // The link stays in any case: it may be another writer's too, which found
    // the bytes that a third one has pushed. Without bytes it proves nothing.
    shelf.publish(Unit::Layer(name, *digest), content).await?;
    Ok(rely_on(shelf, Unit::Blob(*content)).await?.is_some())
}

/// Makes a manifest one of the repository's, whose bytes are stored. Nobody
/// else pushes or deletes manifests of the repository meanwhile.
pub(crate) async fn push_manifest(
    shelf: &impl Shelf,
    name: &RepositoryName,
    manifest: &PutManifest,
) -> Result<(), StorageError> {
    let link = Unit::Manifest(name, manifest.digest);
    for _ in 0..LOOKS {
        let is_new = shelf.publish(link, &manifest.digest).await?;
        if let Err(error) = check(shelf, name, manifest).await {
            if is_new {
                shelf.withdraw(link).await?;
            }
            return Err(error);
        }
        shelf.lead_to(name, manifest).await?;
        // A collector that deletes untagged manifests sees the tag from now
        // on. What it has done before, with a grace period that is shorter
        // than a push, is done again.
        if rely_on(shelf, link).await?.is_some() {
            return Ok(());
        }
    }
    let missing = vec![manifest.digest];
    Err(StorageError::ContentUnknown { missing })
}

/// Looks at all that a published manifest needs, its bytes too.
async fn check(
    shelf: &impl Shelf,
    name: &RepositoryName,
    manifest: &PutManifest,
) -> Result<(), StorageError> {
    if rely_on(shelf, Unit::Blob(manifest.digest)).await?.is_none() {
        // They were unlinked until now.
        shelf.store_bytes(manifest).await?;
    }
    let missing = missing(shelf, name, manifest).await?;
    match missing.is_empty() {
        true => Ok(()),
        false => Err(StorageError::ContentUnknown { missing }),
    }
}

async fn missing<S: Shelf>(
    shelf: &S,
    name: &RepositoryName,
    manifest: &PutManifest,
) -> Result<Vec<Digest>, StorageError> {
    let required: Vec<&Requirement> = manifest.requirements.iter().collect();
    let mut missing = Vec::new();
    for some in required.chunks(S::CONCURRENCY) {
        let looks = some.iter().map(|required| is_there(shelf, name, required));
        for (required, is_there) in some.iter().zip(join_all(looks).await) {
            if !is_there? {
                missing.push(*required.digest());
            }
        }
        if missing.len() >= NAMED {
            missing.truncate(NAMED);
            break;
        }
    }
    Ok(missing)
}

async fn is_there(
    shelf: &impl Shelf,
    name: &RepositoryName,
    required: &Requirement,
) -> Result<bool, StorageError> {
    if let Requirement::Child(digest) = required
        && follow(shelf, Unit::Manifest(name, *digest)).await?
    {
        return Ok(true);
    }
    // The children of a build cache are blobs.
    follow(shelf, Unit::Layer(name, *required.digest())).await
}

/// Makes sure of a link and of the bytes that it names.
async fn follow(shelf: &impl Shelf, link: Unit<'_>) -> Result<bool, StorageError> {
    match rely_on(shelf, link).await? {
        Some(content) => Ok(rely_on(shelf, Unit::Blob(content)).await?.is_some()),
        None => Ok(false),
    }
}

/// Makes sure that a unit is in its place, for a caller that has published a
/// keeper of it. `None` when it is gone.
async fn rely_on(shelf: &impl Shelf, unit: Unit<'_>) -> Result<Option<Digest>, StorageError> {
    for _ in 0..LOOKS {
        if let Some(content) = shelf.find(unit).await? {
            return Ok(Some(content));
        }
        if !shelf.restore(unit).await? {
            break;
        }
    }
    // Somebody else may have put it back between the two looks.
    shelf.find(unit).await
}
