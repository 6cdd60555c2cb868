//! Manifests and indexes.

use registry_spec::types::{
    Algorithm, Annotations, Descriptor, Digest, Index, Manifest, MediaType, Requirement,
};
use serde_json::Value;

static ACCEPTED: [MediaType; 4] = [
    MediaType::OCI_MANIFEST,
    MediaType::OCI_INDEX,
    MediaType::DOCKER_MANIFEST,
    MediaType::DOCKER_MANIFEST_LIST,
];

/// Whatever is accepted reads the same with every `Content-Type` that fits,
/// is of the type that its bytes alone show, agrees with a plain reading of
/// the JSON, and survives being written again.
pub fn manifest(data: &[u8]) {
    let others = [
        "application/vnd.docker.distribution.manifest.v1+json",
        "a/b",
    ]
    .map(|text| text.parse().expect("a media type"));
    for refused in &others {
        assert!(Manifest::parse(Some(refused), data).is_err(), "{refused}");
    }
    let content_types = ACCEPTED.iter().map(Some).chain([None]);
    let mut readings = content_types.filter_map(|content_type| {
        let manifest = Manifest::parse(content_type, data).ok()?;
        if let Some(content_type) = content_type {
            assert_eq!(manifest.media_type(), content_type);
        }
        Some(manifest)
    });
    let Some(reading) = readings.next() else {
        return;
    };
    // The one type that fits, and none at all.
    assert_eq!(readings.next().as_ref(), Some(&reading));
    assert_eq!(readings.next(), None);

    assert!(ACCEPTED.contains(reading.media_type()));
    // A backend that keeps nothing but the bytes relies on it.
    assert_eq!(
        Manifest::media_type_of(data).as_ref(),
        Some(reading.media_type())
    );
    // Duplicate keys, depth and broken UTF-8 are judged only where they matter.
    if let Ok(document) = serde_json::from_slice::<Value>(data) {
        agrees(&reading, &document);
    }
    if let Manifest::Index(index) = &reading {
        written_again(index);
    }
    referrer(&reading, data);
}

/// What was read is what the JSON says, field by field.
fn agrees(reading: &Manifest, document: &Value) {
    assert!(document.is_object(), "{document}");
    assert_eq!(document["schemaVersion"], 2);
    if let Some(subject) = reading.subject() {
        same_descriptor(subject, &document["subject"]);
    }
    let listed = match reading {
        Manifest::Image(image) => {
            same_descriptor(&image.config, &document["config"]);
            same_descriptors(&image.layers, &document["layers"]);
            image.layers.iter().chain([&image.config]).collect()
        }
        Manifest::Index(index) => {
            same_descriptors(&index.manifests, &document["manifests"]);
            index.manifests.iter().collect()
        }
        _ => Vec::new(),
    };
    for requirement in reading.requirements() {
        let found = listed
            .iter()
            .filter(|descriptor| descriptor.digest == *requirement.digest())
            .any(|descriptor| !descriptor.has_urls);
        // A config is needed wherever else it may be.
        let is_config = matches!(
            (reading, requirement),
            (Manifest::Image(image), Requirement::Blob(digest)) if image.config.digest == digest
        );
        assert!(found || is_config, "{requirement:?}");
    }
}

fn same_descriptors(read: &[Descriptor], written: &Value) {
    let written = written.as_array().map(Vec::as_slice).unwrap_or_default();
    assert_eq!(read.len(), written.len());
    for (read, written) in read.iter().zip(written) {
        same_descriptor(read, written);
    }
}

fn same_descriptor(read: &Descriptor, written: &Value) {
    assert!(written.is_object(), "{written}");
    let media_type = stated(&written["mediaType"]).unwrap_or("application/octet-stream");
    assert_eq!(read.media_type.as_str(), media_type);
    assert_eq!(written["digest"], read.digest.to_string());
    assert_eq!(written["size"], read.size);
    let urls = written["urls"].as_array();
    assert_eq!(read.has_urls, urls.is_some_and(|urls| !urls.is_empty()));
}

/// A type that is there: an empty text states nothing.
fn stated(media_type: &Value) -> Option<&str> {
    media_type.as_str().filter(|text| !text.is_empty())
}

/// A document of ours reads as what it was written from.
fn written_again(index: &Index) {
    let json = serde_json::to_vec(index).expect("an index can be written");
    let again = Manifest::parse(Some(&index.media_type), &json).expect("and read again");
    let mut expected = index.clone();
    let subject = expected.subject.as_mut();
    for descriptor in expected.manifests.iter_mut().chain(subject) {
        // The fields that go one way only.
        descriptor.has_urls = false;
        descriptor.artifact_type = None;
        descriptor.annotations = Annotations::default();
    }
    assert_eq!(again, Manifest::Index(expected));
}

/// What refers to a subject is listed among its referrers and no other's, with
/// the type and the annotations that it states, and the list can be read.
fn referrer(reading: &Manifest, data: &[u8]) {
    let subject = reading.subject().map(|subject| subject.digest);
    assert_eq!(Manifest::subject_of(data), subject);

    let digest = Digest::of(Algorithm::Sha256, data);
    let media_type = reading.media_type();
    let listed =
        |subject: &Digest| Manifest::referrer_of(subject, media_type.clone(), digest, data);
    // Nothing can hold its own digest.
    assert_eq!(listed(&digest), None);
    let Some(referrer) = subject.and_then(|subject| listed(&subject)) else {
        assert_eq!(subject, None);
        return;
    };
    let (artifact_type, annotations) = match reading {
        Manifest::Image(image) => (&image.artifact_type, &image.annotations),
        Manifest::Index(index) => (&index.artifact_type, &index.annotations),
        other => panic!("another kind of manifest: {other:?}"),
    };
    let mut expected = Descriptor::new(media_type.clone(), digest, data.len() as u64);
    expected.annotations = annotations.clone();
    expected.artifact_type = artifact_type.clone().or_else(|| match reading {
        Manifest::Image(image) => Some(image.config.media_type.clone()),
        _ => None,
    });
    // For want of a type, a config is read as bytes and listed as nothing.
    if expected.artifact_type == Some(MediaType::OCTET_STREAM) && referrer.artifact_type.is_none() {
        expected.artifact_type = None;
    }
    assert_eq!(referrer, expected);
    written_again(&Index::new(MediaType::OCI_INDEX, vec![referrer]));
}
