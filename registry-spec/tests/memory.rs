//! The reference backend passes the suite that it is the reference of.

use registry_spec::storage::MemoryStorage;

registry_spec::storage_conformance!((MemoryStorage::new(), ()));

/// A clause that the macro does not name would never run.
#[test]
fn the_macro_names_every_clause() {
    let listed = include_str!("../src/conformance/mod.rs");
    for (resource, source) in [
        ("blob", include_str!("../src/conformance/blob.rs")),
        ("manifest", include_str!("../src/conformance/manifest.rs")),
        ("referrers", include_str!("../src/conformance/referrers.rs")),
        (
            "repository",
            include_str!("../src/conformance/repository.rs"),
        ),
        ("tag", include_str!("../src/conformance/tag.rs")),
        ("upload", include_str!("../src/conformance/upload.rs")),
    ] {
        let clauses: Vec<&str> = source
            .lines()
            .filter_map(|line| line.strip_prefix("pub async fn "))
            .filter_map(|line| line.split('(').next())
            .collect();
        assert!(!clauses.is_empty(), "{resource}");
        for clause in clauses {
            assert!(
                listed.contains(&format!("{resource}::{clause}\n")),
                "{resource}::{clause} is not in storage_conformance!"
            );
        }
    }
}
