//! Every seed through the property of its target, without a fuzzer.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

macro_rules! replay {
    ($($target:ident,)*) => {
        $(
            #[test]
            fn $target() {
                replay(stringify!($target), registry_fuzz::$target);
            }
        )*

        #[test]
        fn every_target_is_replayed() {
            let replayed = BTreeSet::from([$(stringify!($target).to_owned()),*]);
            assert_eq!(names(&folder("fuzz_targets")), replayed);
            assert_eq!(names(&folder("corpus")), replayed);
        }
    };
}

replay! {
    chunk_range,
    credentials,
    digest_and_reference,
    manifest,
    pem,
    policy,
    pull_range,
    repository_name,
    route,
    token,
}

fn replay(target: &str, property: fn(&[u8])) {
    let seeds = entries(&folder("corpus").join(target));
    assert!(!seeds.is_empty(), "no seeds for {target}");
    for seed in seeds {
        // Shown when the property is broken.
        println!("seed {}", seed.display());
        property(&fs::read(&seed).expect("a readable seed"));
    }
}

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder)
        .unwrap_or_else(|error| panic!("cannot list {}: {error}", folder.display()));
    let mut paths: Vec<PathBuf> = entries
        .map(|entry| entry.expect("a readable folder").path())
        .collect();
    paths.sort();
    paths
}

fn names(folder: &Path) -> BTreeSet<String> {
    entries(folder)
        .iter()
        .filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned()))
        .collect()
}
