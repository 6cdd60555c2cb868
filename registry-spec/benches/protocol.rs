//! What every request or byte costs before any storage is asked: `cargo bench -p registry-spec`.

use std::hint::black_box;

use criterion::{Criterion, Throughput};
use http::{Method, Uri};
use registry_spec::route::Route;
use registry_spec::types::{Algorithm, Digest, Manifest, MediaType};
use serde_json::json;

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    digests(&mut criterion);
    manifests(&mut criterion);
    routes(&mut criterion);
    criterion.final_summary();
}

fn digests(criterion: &mut Criterion) {
    let bytes = vec![0x5a; 1 << 20];
    let mut group = criterion.benchmark_group("digest of 1 MiB");
    group.throughput(Throughput::Bytes(bytes.len() as u64));
    for algorithm in Algorithm::ALL {
        group.bench_function(algorithm.as_str(), |bencher| {
            bencher.iter(|| Digest::of(algorithm, black_box(&bytes)));
        });
    }
}

fn manifests(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("parse a manifest");
    for (name, media_type, bytes) in [
        ("image of 8 layers", MediaType::OCI_MANIFEST, image()),
        ("index of 4 MiB", MediaType::OCI_INDEX, index(4 << 20)),
    ] {
        group.throughput(Throughput::Bytes(bytes.len() as u64));
        group.bench_function(name, |bencher| {
            bencher.iter(|| Manifest::parse(Some(&media_type), black_box(&bytes)).expect("valid"));
        });
    }
}

fn routes(criterion: &mut Criterion) {
    let digest = Digest::of(Algorithm::Sha256, b"");
    let upload = "f81d4fae-7dec-41d0-a765-00a0c91e6bf6";
    let mut group = criterion.benchmark_group("parse a route");
    for (name, method, uri) in [
        (
            "manifest by tag",
            Method::GET,
            "/v2/library/alpine/manifests/3.22".to_owned(),
        ),
        (
            "blob",
            Method::GET,
            format!("/v2/library/alpine/blobs/{digest}"),
        ),
        (
            "end of an upload",
            Method::PUT,
            format!("/v2/library/alpine/blobs/uploads/{upload}?digest={digest}"),
        ),
    ] {
        let uri: Uri = uri.parse().expect("valid");
        group.bench_function(name, |bencher| {
            bencher.iter(|| Route::parse(&method, black_box(&uri)).expect("valid"));
        });
    }
}

fn descriptor(media_type: &str, number: usize) -> serde_json::Value {
    let digest = Digest::of(Algorithm::Sha256, &number.to_le_bytes());
    json!({ "mediaType": media_type, "digest": digest, "size": 1_000_000 + number })
}

fn image() -> Vec<u8> {
    let layer = |number| descriptor("application/vnd.oci.image.layer.v1.tar+gzip", number);
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MediaType::OCI_MANIFEST,
        "config": descriptor("application/vnd.oci.image.config.v1+json", 0),
        "layers": (1..=8).map(layer).collect::<Vec<_>>(),
    });
    manifest.to_string().into_bytes()
}

/// An index as long as a registry must accept one, but for less than a descriptor.
fn index(length: usize) -> Vec<u8> {
    let entry = |number| {
        let mut entry = descriptor("application/vnd.oci.image.manifest.v1+json", number);
        entry["platform"] = json!({ "architecture": "arm64", "os": "linux", "variant": "v8" });
        entry
    };
    let each = entry(0).to_string().len() + 1;
    let index = json!({
        "schemaVersion": 2,
        "mediaType": MediaType::OCI_INDEX,
        "manifests": (0..length / each - 1).map(entry).collect::<Vec<_>>(),
    });
    index.to_string().into_bytes()
}
