//! Every clause of the storage contract, for every backend.

#[cfg(unix)]
mod filesystem {
    use registry_storage::FileSystem;

    registry_spec::storage_conformance!({
        let dir = tempfile::tempdir().expect("a directory");
        (FileSystem::new(dir.path()), dir)
    });
}

#[cfg(feature = "object-store")]
mod object_in_memory {
    use std::sync::Arc;

    use object_store::memory::InMemory;
    use registry_storage::ObjectStorage;

    registry_spec::storage_conformance!((ObjectStorage::new(Arc::new(InMemory::new())), ()));
}

/// So small that most of what is pushed has parts.
#[cfg(feature = "object-store")]
mod object_in_small_parts {
    use std::sync::Arc;

    use object_store::memory::InMemory;
    use registry_storage::ObjectStorage;
    use registry_storage::object::Bucket;

    registry_spec::storage_conformance!({
        let bucket = Bucket::new(Arc::new(InMemory::new()));
        let storage = ObjectStorage::builder(bucket).part_size(1000).build();
        (storage, ())
    });
}

#[cfg(feature = "object-store")]
mod object_in_files {
    use std::sync::Arc;

    use object_store::local::LocalFileSystem;
    use registry_storage::ObjectStorage;

    registry_spec::storage_conformance!({
        let dir = tempfile::tempdir().expect("a directory");
        let store = LocalFileSystem::new_with_prefix(dir.path()).expect("a store");
        (ObjectStorage::new(Arc::new(store)), dir)
    });
}
