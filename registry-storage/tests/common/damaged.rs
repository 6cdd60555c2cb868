//! An image to be damaged, and what verification tells of it.

use std::fs;
use std::ops::ControlFlow;
use std::path::Path;

use bytes::Bytes;
use registry_spec::types::{Digest, MediaType};
use registry_storage::filesystem::verify::{
    ProblemKind as Kind, Remedy, Repair, Verifier, VerifyOptions, VerifyReport,
};

use crate::common::*;

pub(crate) fn options(change: impl FnOnce(&mut VerifyOptions)) -> VerifyOptions {
    let mut options = VerifyOptions::default();
    change(&mut options);
    options
}

pub(crate) fn run(fixture: &Fixture, options: VerifyOptions) -> VerifyReport {
    Verifier::new(&fixture.storage, options)
        .run(|_| ControlFlow::Continue(()))
        .expect("verified")
}

pub(crate) fn verify(fixture: &Fixture) -> VerifyReport {
    run(fixture, VerifyOptions::default())
}

pub(crate) fn quick(fixture: &Fixture) -> VerifyReport {
    run(fixture, options(|options| options.quick = true))
}

pub(crate) fn repair(fixture: &Fixture) -> VerifyReport {
    run(fixture, options(|options| options.repair = true))
}

/// Kind, what is needed, and whom it hurts, of all problems and notes.
pub(crate) fn told(report: &VerifyReport) -> Vec<(Kind, Remedy, Vec<String>)> {
    report
        .problems
        .iter()
        .map(|problem| {
            let hurts = problem.hurts.iter().map(ToString::to_string).collect();
            (problem.kind, problem.needs, hurts)
        })
        .collect()
}

pub(crate) fn one(kind: Kind, needs: Remedy, hurts: &[&str]) -> Vec<(Kind, Remedy, Vec<String>)> {
    let hurts = hurts.iter().map(ToString::to_string).collect();
    vec![(kind, needs, hurts)]
}

/// Each test begins with one image of two blobs in `app`, tags `v1` and `v2`.
pub(crate) struct Image {
    pub(crate) fixture: Fixture,
    pub(crate) config: Digest,
    pub(crate) layer: Digest,
    pub(crate) bytes: Bytes,
    pub(crate) manifest: Digest,
}

pub(crate) const CONFIG: &[u8] = br#"{"architecture":"arm64"}"#;
pub(crate) const LAYER: &[u8] = b"a layer, as it were";

pub(crate) fn manifest_of(config: (&Digest, usize), layer: (&Digest, usize), more: &str) -> Bytes {
    Bytes::from(format!(
        r#"{{"schemaVersion":2,"mediaType":"{}","config":{{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"{}","size":{}}},"layers":[{{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":"{}","size":{}}}]{more}}}"#,
        MediaType::OCI_MANIFEST,
        config.0,
        config.1,
        layer.0,
        layer.1
    ))
}

pub(crate) fn index_of(children: &[(&Digest, usize)]) -> Bytes {
    let children: Vec<_> = children
        .iter()
        .map(|(digest, size)| {
            format!(
                r#"{{"mediaType":"{}","digest":"{digest}","size":{size}}}"#,
                MediaType::OCI_MANIFEST
            )
        })
        .collect();
    Bytes::from(format!(
        r#"{{"schemaVersion":2,"mediaType":"{}","manifests":[{}]}}"#,
        MediaType::OCI_INDEX,
        children.join(",")
    ))
}

impl Image {
    pub(crate) fn new() -> Self {
        let fixture = Fixture::new();
        let config = fixture.foreign_blob("app", CONFIG);
        let layer = fixture.foreign_blob("app", LAYER);
        let bytes = manifest_of((&config, CONFIG.len()), (&layer, LAYER.len()), "");
        let manifest = fixture.foreign_manifest("app", &bytes, &["v1", "v2"]);
        Self {
            fixture,
            config,
            layer,
            bytes,
            manifest,
        }
    }

    /// The same with another image, an index over both, and a note about the first.
    pub(crate) fn with_index_and_note() -> (Self, Digest) {
        let image = Self::new();
        let fixture = &image.fixture;
        let layer = fixture.foreign_blob("app", b"another");
        let other = manifest_of((&image.config, CONFIG.len()), (&layer, 7), "");
        let child = fixture.foreign_manifest("app", &other, &[]);
        let children = [(&image.manifest, image.bytes.len()), (&child, other.len())];
        fixture.foreign_manifest("app", &index_of(&children), &["multi"]);
        let note = fixture.foreign_blob("app", b"{}");
        let subject = format!(
            r#","subject":{{"mediaType":"{}","digest":"{child}","size":{}}}"#,
            MediaType::OCI_MANIFEST,
            other.len()
        );
        let note = manifest_of((&note, 2), (&note, 2), &subject);
        let note = fixture.foreign_manifest("app", &note, &[]);
        (image, note)
    }

    pub(crate) fn overwrite(&self, digest: &Digest, bytes: impl AsRef<[u8]>) {
        self.fixture.write(&data(digest), bytes);
    }

    pub(crate) fn read(&self, path: &str) -> Option<String> {
        fs::read_to_string(self.fixture.path(path)).ok()
    }

    /// A damage that a repair mends wholly, by writing `path` again.
    pub(crate) fn mends(self, kind: Kind, path: &str, expected: &str, hurts: &[&str]) {
        let before = verify(&self.fixture);
        assert_eq!(told(&before), one(kind, Remedy::Repair, hurts));
        assert_eq!(before.problems[0].path, self.fixture.path(path));
        assert!(!before.is_healthy());
        let done = repair(&self.fixture);
        assert_eq!(told(&done), one(kind, Remedy::Nothing, hurts));
        assert!(matches!(&done.problems[0].repair, Some(Repair::Done(_))));
        assert!(done.is_healthy());
        assert_eq!(self.read(path).as_deref(), Some(expected));
        assert_eq!(told(&verify(&self.fixture)), []);
    }

    /// A damage that a repair leaves as it is.
    pub(crate) fn needs(self, kind: Kind, needs: Remedy, hurts: &[&str]) {
        for report in [verify(&self.fixture), repair(&self.fixture)] {
            assert_eq!(told(&report), one(kind, needs, hurts));
            assert!(!report.is_healthy());
        }
    }
}

/// All files below a directory, with what is in them.
pub(crate) fn files(dir: &Path) -> Vec<(String, Vec<u8>)> {
    let mut all = Vec::new();
    let mut dirs = vec![dir.to_path_buf()];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(&dir).into_iter().flatten() {
            let entry = entry.expect("listed");
            match entry.file_type().expect("known") {
                kind if kind.is_dir() => dirs.push(entry.path()),
                kind if kind.is_file() => {
                    let path = entry.path().display().to_string();
                    all.push((path, fs::read(entry.path()).expect("read")));
                }
                _ => {}
            }
        }
    }
    all.sort();
    all
}
