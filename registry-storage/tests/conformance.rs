//! Every clause of the storage contract, for every backend.

#![cfg(unix)]

mod filesystem {
    use registry_storage::FileSystem;

    registry_spec::storage_conformance!({
        let dir = tempfile::tempdir().expect("a directory");
        (FileSystem::new(dir.path()), dir)
    });
}
