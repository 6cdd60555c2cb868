//! Every clause of the storage contract.

registry_spec::storage_conformance!({
    let dir = tempfile::tempdir().expect("a directory");
    let storage = sqlite_backend::SqliteStorage::open(dir.path()).expect("a storage");
    (storage, dir)
});
