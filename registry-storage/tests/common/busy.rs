//! Pushes that reuse old blobs, as clients push.

use bytes::Bytes;
use registry_spec::storage::{Storage, StorageError};
use registry_spec::types::{Digest, Manifest, Reference};

use super::{collect, name, put, sha256, tag};

pub(crate) const PUSHES: usize = 60;
/// So few that each is garbage and in use all the time.
pub(crate) const BLOBS: usize = 6;

/// How a client comes by a blob.
#[derive(Clone, Copy)]
enum Way {
    Head,
    Mount,
    Upload,
}

pub(crate) fn content(blob: usize) -> Vec<u8> {
    format!("blob {blob}").into_bytes()
}

fn image(text: &str, blob: &Digest) -> Bytes {
    let descriptor =
        format!(r#"{{"mediaType":"application/octet-stream","digest":"{blob}","size":1}}"#);
    Bytes::from(format!(
        r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{descriptor},"layers":[],"annotations":{{"text":"{text}"}}}}"#
    ))
}

/// Pushes a blob until it is there.
pub(crate) async fn upload(storage: &impl Storage, repository: &str, content: &[u8]) {
    let (name, digest) = (name(repository), sha256(content));
    loop {
        let id = storage.start_upload(&name, digest.algorithm()).await;
        let id = id.expect("started");
        let body = Bytes::copy_from_slice(content).into();
        let appended = storage.append_upload(&name, &id, 0, body).await;
        appended.expect("appended");
        match storage.finish_upload(&name, &id, &digest).await {
            Ok(()) => return,
            // Collected before it had its link.
            Err(StorageError::UploadUnknown) => {}
            Err(error) => panic!("{error:?}"),
        }
    }
}

/// Makes sure of a blob as a client does; the last way always works.
async fn bring(storage: &impl Storage, blob: usize, way: Way) {
    let digest = sha256(content(blob));
    let found = match way {
        Way::Head => storage.stat_blob(&name("app"), &digest).await.map(|_| ()),
        Way::Mount => {
            let (to, from) = (name("app"), name("pool"));
            storage.mount_blob(&to, &digest, Some(&from)).await
        }
        Way::Upload => Err(StorageError::BlobUnknown),
    };
    match found {
        Ok(()) => {}
        Err(StorageError::BlobUnknown) => {
            upload(storage, "app", &content(blob)).await;
        }
        Err(error) => panic!("{error:?}"),
    }
}

async fn pull(storage: &impl Storage, text: &str) {
    let reference = Reference::Tag(tag(text));
    let manifest = storage
        .read_manifest(&name("app"), &reference)
        .await
        .unwrap_or_else(|error| panic!("{text}: {error}"));
    let references = Manifest::references_of(&manifest.bytes).expect("a manifest");
    for blob in references.blobs {
        let read = storage.read_blob(&name("app"), &blob, None).await;
        let read = read.unwrap_or_else(|error| panic!("{text}: {error}"));
        let bytes = collect(read.content).await.expect("read");
        assert_eq!(sha256(bytes), blob);
    }
}

/// Pushes manifests in rounds, and pulls each.
pub(crate) async fn push_all(storage: impl Storage, writer: usize) {
    for round in 0..PUSHES {
        let blob = round % BLOBS;
        // One is kept, the others come and go.
        let tags = match blob {
            0 => format!("keep-{writer}-{round}"),
            _ => format!("moves-{writer}"),
        };
        let bytes = image(&format!("{writer} {round}"), &sha256(content(blob)));
        let mut way = [Way::Head, Way::Mount, Way::Upload][round % 3];
        loop {
            bring(&storage, blob, way).await;
            let mut put = put(&bytes, &[&tags]);
            put.requirements = Manifest::parse(None, &bytes).expect("one").requirements();
            match storage.put_manifest(&name("app"), put).await {
                Ok(()) => break,
                // Collected in between: there is no grace period.
                Err(StorageError::ContentUnknown { .. }) => way = Way::Upload,
                Err(error) => panic!("{error:?}"),
            }
        }
        pull(&storage, &tags).await;
    }
}

/// All that is tagged in the end is whole.
pub(crate) async fn pull_all(storage: &impl Storage, writers: usize) {
    for writer in 0..writers {
        for round in (0..PUSHES).step_by(BLOBS) {
            pull(storage, &format!("keep-{writer}-{round}")).await;
        }
        pull(storage, &format!("moves-{writer}")).await;
    }
}
