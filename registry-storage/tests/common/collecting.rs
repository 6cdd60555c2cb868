//! Trees with images in them, and collections of their garbage.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use registry_spec::storage::{Storage, StorageError};
use registry_spec::types::{Digest, MediaType, Reference};
use registry_storage::FileSystem;
use registry_storage::collect::{CollectOptions, Report};

use super::Fixture;

pub(crate) const DAY: Duration = Duration::from_secs(24 * 60 * 60);

impl Fixture {
    /// An image of one layer, with its config, in a repository.
    pub(crate) fn image(&self, name: &str, text: &str, tags: &[&str]) -> Digest {
        let config = self.foreign_blob(name, format!("config of {text}").as_bytes());
        let layer = self.foreign_blob(name, format!("layer of {text}").as_bytes());
        self.foreign_manifest(name, &image(text, &config, &[layer], None), tags)
    }

    pub(crate) fn signature(
        &self,
        name: &str,
        text: &str,
        subject: &Digest,
        tags: &[&str],
    ) -> Digest {
        let config = self.foreign_blob(name, format!("config of {text}").as_bytes());
        let bytes = image(text, &config, &[], Some(subject));
        self.foreign_manifest(name, &bytes, tags)
    }

    pub(crate) fn index(&self, name: &str, children: &[Digest], tags: &[&str]) -> Digest {
        self.foreign_manifest(name, &index(children), tags)
    }

    /// As if nothing had been written for two days.
    pub(crate) fn age(&self) {
        age(&self.root());
    }

    pub(crate) async fn collect(&self, options: CollectOptions) -> Report {
        collect(&self.storage, options).await.expect("collected")
    }

    pub(crate) async fn collect_untagged(&self) -> Report {
        self.collect(untagged()).await
    }

    pub(crate) async fn has_manifest(&self, name: &str, digest: &Digest) -> bool {
        let reference = Reference::Digest(*digest);
        let name = super::name(name);
        match self.storage.read_manifest(&name, &reference).await {
            Ok(_) => true,
            Err(StorageError::ManifestUnknown) => false,
            Err(error) => panic!("{error}"),
        }
    }

    pub(crate) fn exists(&self, path: &str) -> bool {
        fs::symlink_metadata(self.path(path)).is_ok()
    }

    /// Every file of the tree, with its content.
    pub(crate) fn files(&self) -> BTreeSet<(PathBuf, Vec<u8>)> {
        let mut files = BTreeSet::new();
        visit(&self.root(), &mut |path, metadata| {
            if metadata.is_file() {
                files.insert((path.to_path_buf(), fs::read(path).expect("read")));
            }
        });
        files
    }
}

pub(crate) fn untagged() -> CollectOptions {
    let mut options = CollectOptions::default();
    options.delete_untagged = true;
    options
}

pub(crate) async fn collect(
    storage: &FileSystem,
    options: CollectOptions,
) -> Result<Report, StorageError> {
    storage.collect(options, |_| {}).await
}

pub(crate) fn visit(dir: &Path, see: &mut impl FnMut(&Path, &fs::Metadata)) {
    for entry in fs::read_dir(dir).expect("listed") {
        let path = entry.expect("an entry").path();
        let metadata = fs::symlink_metadata(&path).expect("looked at");
        see(&path, &metadata);
        if metadata.is_dir() {
            visit(&path, see);
        }
    }
}

pub(crate) fn age(dir: &Path) {
    let long_ago = SystemTime::now() - 2 * DAY;
    visit(dir, &mut |path, metadata| {
        if metadata.is_file() || metadata.is_dir() {
            let file = File::open(path).expect("opened");
            file.set_modified(long_ago).expect("aged");
        }
    });
}

pub(crate) fn is_young(path: &Path) -> bool {
    let modified = fs::metadata(path).expect("there").modified();
    modified.expect("a time").elapsed().expect("a past") < DAY
}

pub(crate) fn descriptor(digest: &Digest) -> String {
    format!(r#"{{"mediaType":"application/octet-stream","digest":"{digest}","size":1}}"#)
}

pub(crate) fn image(
    text: &str,
    config: &Digest,
    layers: &[Digest],
    subject: Option<&Digest>,
) -> Bytes {
    let layers: Vec<String> = layers.iter().map(descriptor).collect();
    let subject = subject.map(|subject| format!(r#""subject":{},"#, descriptor(subject)));
    Bytes::from(format!(
        r#"{{"schemaVersion":2,"mediaType":"{}",{}"config":{},"layers":[{}],"annotations":{{"text":"{text}"}}}}"#,
        MediaType::OCI_MANIFEST,
        subject.unwrap_or_default(),
        descriptor(config),
        layers.join(","),
    ))
}

pub(crate) fn index(children: &[Digest]) -> Bytes {
    let children: Vec<String> = children.iter().map(descriptor).collect();
    Bytes::from(format!(
        r#"{{"schemaVersion":2,"mediaType":"{}","manifests":[{}]}}"#,
        MediaType::OCI_INDEX,
        children.join(",")
    ))
}
