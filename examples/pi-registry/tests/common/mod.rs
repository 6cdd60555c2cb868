//! A small registry's directory, and the program run on it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use registry_spec::types::{Algorithm, Digest};
use tempfile::TempDir;

/// A tree with one image, `app:v1`, and a configuration for it.
pub(crate) struct Fixture {
    pub(crate) dir: TempDir,
    pub(crate) layer: Digest,
}

impl Fixture {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let layer = Digest::of(Algorithm::Sha256, b"layer");
        let fixture = Self { dir, layer };
        let data = fixture.dir.path().join("data");
        let text = format!(
            "version: 0.1\nstorage: {{filesystem: {{rootdirectory: '{}'}}}}\n",
            data.display()
        );
        fs::write(fixture.dir.path().join("c.yml"), text).expect("written");
        fixture.link(&format!("_layers/{}", pair(&layer)), &layer);
        fixture.data(b"layer");
        let manifest = format!(
            r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{{"mediaType":"application/vnd.example","digest":"{layer}","size":5}},"layers":[]}}"#
        );
        let digest = fixture.data(manifest.as_bytes());
        for folder in [
            format!("revisions/{}", pair(&digest)),
            format!("tags/v1/index/{}", pair(&digest)),
            "tags/v1/current".to_owned(),
        ] {
            fixture.link(&format!("_manifests/{folder}"), &digest);
        }
        fixture
    }

    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.dir.path().join("data/docker/registry/v2").join(path)
    }

    pub(crate) fn write(&self, path: &str, bytes: &[u8]) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().expect("a file")).expect("created");
        fs::write(path, bytes).expect("written");
    }

    pub(crate) fn link(&self, folder: &str, digest: &Digest) {
        let path = format!("repositories/app/{folder}/link");
        self.write(&path, digest.to_string().as_bytes());
    }

    pub(crate) fn data(&self, bytes: &[u8]) -> Digest {
        let digest = Digest::of(Algorithm::Sha256, bytes);
        self.write(&data(&digest), bytes);
        digest
    }

    /// Runs a command on the configuration.
    pub(crate) fn run(&self, command: &str, arguments: &[&str]) -> (Option<i32>, String, String) {
        let config = self.dir.path().join("c.yml");
        let config = config.to_str().expect("UTF-8");
        run(self.dir.path(), command, &[arguments, &[config]].concat())
    }
}

pub(crate) fn pair(digest: &Digest) -> String {
    format!("{}/{}", digest.algorithm(), digest.hex())
}

pub(crate) fn data(digest: &Digest) -> String {
    let hex = digest.hex();
    format!("blobs/{}/{}/{hex}/data", digest.algorithm(), &hex[..2])
}

/// The exit code, standard output and standard error.
pub(crate) fn run(dir: &Path, command: &str, arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_pi-registry"))
        .current_dir(dir)
        .arg(command)
        .args(arguments)
        .env_clear()
        .output()
        .expect("run");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    (
        output.status.code(),
        text(output.stdout),
        text(output.stderr),
    )
}
