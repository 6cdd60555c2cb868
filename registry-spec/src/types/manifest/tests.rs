use serde_json::{Value, json};

use super::*;
use crate::types::Algorithm;

fn descriptor(media_type: &str, content: &str) -> Value {
    json!({
        "mediaType": media_type,
        "digest": Digest::of(Algorithm::Sha256, content.as_bytes()),
        "size": content.len(),
    })
}

fn image(media_type: &MediaType) -> Value {
    json!({
        "schemaVersion": 2,
        "mediaType": media_type,
        "config": descriptor("application/vnd.oci.image.config.v1+json", "config"),
        "layers": [descriptor("application/vnd.oci.image.layer.v1.tar+gzip", "layer")],
    })
}

fn index(media_type: &MediaType) -> Value {
    json!({
        "schemaVersion": 2,
        "mediaType": media_type,
        "manifests": [descriptor(MediaType::OCI_MANIFEST.as_str(), "child")],
    })
}

fn without(mut document: Value, field: &str) -> Value {
    document.as_object_mut().expect("an object").remove(field);
    document
}

fn with(mut document: Value, field: &str, value: Value) -> Value {
    document[field] = value;
    document
}

fn parse(header: Option<&MediaType>, document: &Value) -> Result<Manifest, ManifestError> {
    Manifest::parse(header, document.to_string().as_bytes())
}

#[test]
fn the_four_types_parse_with_and_without_a_content_type() {
    for media_type in [MediaType::OCI_MANIFEST, MediaType::DOCKER_MANIFEST] {
        for header in [None, Some(&media_type)] {
            let manifest = parse(header, &image(&media_type)).expect("an image manifest");
            assert_eq!(*manifest.media_type(), media_type);
            assert_eq!(manifest.requirements().len(), 2);
        }
    }
    for media_type in [MediaType::OCI_INDEX, MediaType::DOCKER_MANIFEST_LIST] {
        for header in [None, Some(&media_type)] {
            let manifest = parse(header, &index(&media_type)).expect("an index");
            assert_eq!(*manifest.media_type(), media_type);
            assert_eq!(manifest.requirements().len(), 1);
        }
    }
}

#[test]
fn an_oci_document_may_leave_out_its_media_type() {
    let manifest = without(image(&MediaType::OCI_MANIFEST), "mediaType");
    assert!(parse(Some(&MediaType::OCI_MANIFEST), &manifest).is_ok());
    assert!(parse(None, &manifest).is_ok());
    let list = without(index(&MediaType::OCI_INDEX), "mediaType");
    assert!(parse(Some(&MediaType::OCI_INDEX), &list).is_ok());
    assert!(matches!(parse(None, &list), Ok(Manifest::Index(_))));
}

#[test]
fn what_go_writes_for_nothing_is_nothing() {
    let document = with(index(&MediaType::OCI_INDEX), "manifests", Value::Null);
    assert!(parse(Some(&MediaType::OCI_INDEX), &document).is_ok());
    let mut document = with(image(&MediaType::OCI_MANIFEST), "layers", Value::Null);
    document["annotations"] = Value::Null;
    document["artifactType"] = json!("");
    document["subject"] = Value::Null;
    let manifest = parse(None, &document).expect("null and empty fields");
    assert!(manifest.subject().is_none());
}

#[test]
fn layers_that_live_elsewhere_are_not_required() {
    let mut foreign = descriptor("application/vnd.oci.image.layer.v1.tar", "urls");
    foreign["urls"] = json!(["https://example.com/layer"]);
    let layers = json!([
        foreign,
        descriptor(
            "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
            "a"
        ),
        descriptor(
            "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
            "b"
        ),
    ]);
    let document = with(image(&MediaType::OCI_MANIFEST), "layers", layers);
    let requirements = parse(None, &document)
        .expect("foreign layers")
        .requirements();
    assert_eq!(requirements.len(), 1, "only the config");
}

#[test]
fn a_referrer_states_its_artifact_type_or_its_configs() {
    let digest = Digest::of(Algorithm::Sha256, b"self");
    let subject = Digest::of(Algorithm::Sha256, b"subject");
    let describe = |document: &Value| {
        let bytes = document.to_string();
        Manifest::referrer_of(&subject, MediaType::OCI_MANIFEST, digest, bytes.as_bytes())
    };
    let mut document = image(&MediaType::OCI_MANIFEST);
    assert_eq!(describe(&document), None, "has no subject");
    document["subject"] = descriptor(MediaType::OCI_MANIFEST.as_str(), "another subject");
    assert_eq!(describe(&document), None, "has another subject");
    document["subject"] = descriptor(MediaType::OCI_MANIFEST.as_str(), "subject");
    document["annotations"] = json!({"k": "v"});
    let by_config = describe(&document).expect("refers to it");
    assert_eq!(
        by_config.artifact_type,
        "application/vnd.oci.image.config.v1+json".parse().ok()
    );
    assert_eq!(by_config.size, document.to_string().len() as u64);
    assert_eq!(by_config.annotations.as_json(), r#"{"k":"v"}"#);

    document["artifactType"] = json!("application/vnd.example");
    let stated = describe(&document).expect("refers to it");
    assert_eq!(stated.artifact_type, "application/vnd.example".parse().ok());

    let mut list = index(&MediaType::OCI_INDEX);
    list["subject"] = document["subject"].clone();
    assert_eq!(describe(&list).expect("refers to it").artifact_type, None);
    let bytes = list.to_string();
    assert_eq!(Manifest::subject_of(bytes.as_bytes()), Some(subject));
    assert_eq!(Manifest::subject_of(b"{}"), None);
}

#[test]
fn types_of_layers_may_be_anything_printable() {
    for media_type in ["", "text/plain; charset=utf-8", "model"] {
        let layers = json!([descriptor(media_type, "layer")]);
        let document = with(image(&MediaType::OCI_MANIFEST), "layers", layers);
        assert!(parse(None, &document).is_ok(), "{media_type:?}");
    }
}

#[test]
fn what_is_not_a_manifest_is_refused_with_its_reason() {
    use ManifestError as E;
    type Check = fn(&ManifestError) -> bool;
    let oci = image(&MediaType::OCI_MANIFEST);
    let list = index(&MediaType::OCI_INDEX);
    let other: MediaType = "application/json".parse().expect("valid");
    let schema1: MediaType = "application/vnd.docker.distribution.manifest.v1+prettyjws"
        .parse()
        .expect("valid");
    let header = |media_type: &MediaType| Some(media_type.clone());
    let cases: Vec<(&str, Option<MediaType>, Value, Check)> = vec![
        (
            "fields in an array",
            None,
            json!([2, null, null, oci["config"], [], null, null, null]),
            |e| matches!(e, E::Malformed { .. }),
        ),
        (
            "a descriptor in an array",
            None,
            with(
                oci.clone(),
                "config",
                json!(["a/b", oci["config"]["digest"], 1]),
            ),
            |e| matches!(e, E::Malformed { .. }),
        ),
        ("not an object", None, json!([]), |e| {
            matches!(e, E::Malformed { .. })
        }),
        (
            "bad digest",
            None,
            with(
                oci.clone(),
                "config",
                json!({"mediaType": "a/b", "digest": "sha256:x", "size": 1}),
            ),
            |e| matches!(e, E::Malformed { .. }),
        ),
        (
            "negative size",
            None,
            with(
                oci.clone(),
                "config",
                json!({"mediaType": "a/b", "digest": Digest::of(Algorithm::Sha256, b""), "size": -1}),
            ),
            |e| matches!(e, E::Malformed { .. }),
        ),
        (
            "schema 1 by version",
            None,
            json!({"schemaVersion": 1}),
            |e| matches!(e, E::DockerSchema1),
        ),
        ("schema 1 by header", header(&schema1), oci.clone(), |e| {
            matches!(e, E::DockerSchema1)
        }),
        (
            "no version",
            None,
            without(oci.clone(), "schemaVersion"),
            |e| matches!(e, E::SchemaVersion),
        ),
        (
            "version 3",
            None,
            with(oci.clone(), "schemaVersion", json!(3)),
            |e| matches!(e, E::SchemaVersion),
        ),
        ("other header", header(&other), oci.clone(), |e| {
            matches!(e, E::MediaTypeMismatch { .. })
        }),
        (
            "other header, no field",
            header(&other),
            without(oci.clone(), "mediaType"),
            |e| matches!(e, E::UnsupportedMediaType { .. }),
        ),
        (
            "other field",
            None,
            with(oci.clone(), "mediaType", json!("application/json")),
            |e| matches!(e, E::UnsupportedMediaType { .. }),
        ),
        (
            "docker without field",
            header(&MediaType::DOCKER_MANIFEST),
            without(oci.clone(), "mediaType"),
            |e| matches!(e, E::MediaTypeMissing),
        ),
        (
            "index type, image fields",
            None,
            with(oci.clone(), "mediaType", json!(MediaType::OCI_INDEX)),
            |e| matches!(e, E::MediaTypeMismatch { .. }),
        ),
        (
            "image type, index fields",
            None,
            with(list.clone(), "mediaType", json!(MediaType::OCI_MANIFEST)),
            |e| matches!(e, E::MediaTypeMismatch { .. }),
        ),
        ("both", None, with(list.clone(), "layers", json!([])), |e| {
            matches!(e, E::Ambiguous)
        }),
        (
            "both by config",
            None,
            with(list, "config", oci["config"].clone()),
            |e| matches!(e, E::Ambiguous),
        ),
        ("no config", None, without(oci, "config"), |e| {
            matches!(e, E::MissingField { field: "config" })
        }),
        (
            "no manifests",
            header(&MediaType::OCI_INDEX),
            json!({"schemaVersion": 2}),
            |e| matches!(e, E::MissingField { field: "manifests" }),
        ),
    ];
    for (case, header, document, check) in cases {
        let error = parse(header.as_ref(), &document).expect_err(case);
        assert!(check(&error), "{case}: {error:?}");
    }
    let latin1 = b"{\"schemaVersion\":2,\"manifests\":[],\"note\":\"\xe9\"}";
    assert!(matches!(
        Manifest::parse(None, latin1),
        Err(E::Malformed { .. })
    ));
    let twice = br#"{"schemaVersion":2,"manifests":[],"manifests":[]}"#;
    assert!(matches!(
        Manifest::parse(None, twice),
        Err(E::Malformed { .. })
    ));
}

#[test]
fn the_type_of_stored_bytes_is_what_they_show() {
    for (stored, expected) in [
        (
            image(&MediaType::DOCKER_MANIFEST),
            Some(MediaType::DOCKER_MANIFEST),
        ),
        (
            without(image(&MediaType::OCI_MANIFEST), "mediaType"),
            Some(MediaType::OCI_MANIFEST),
        ),
        (
            without(index(&MediaType::OCI_INDEX), "mediaType"),
            Some(MediaType::OCI_INDEX),
        ),
        (
            json!({"schemaVersion": 2, "manifests": null}),
            Some(MediaType::OCI_INDEX),
        ),
        (json!({"schemaVersion": 1, "fsLayers": []}), None),
        (json!("text"), None),
    ] {
        assert_eq!(
            Manifest::media_type_of(stored.to_string().as_bytes()),
            expected
        );
    }
}

#[test]
fn whatever_a_stored_manifest_names_is_seen() {
    let digest = |text: &str| Digest::of(Algorithm::Sha256, text.as_bytes());
    let named = |text: &str| json!({"digest": digest(text)});
    let references_of = |stored: &Value| {
        let references = Manifest::references_of(stored.to_string().as_bytes())?;
        let all = |digests: &[Digest]| digests.iter().map(ToString::to_string).collect::<Vec<_>>();
        let subject = references.subject.map(|subject| subject.to_string());
        Some((all(&references.children), all(&references.blobs), subject))
    };
    let texts =
        |names: &[&str]| -> Vec<String> { names.iter().map(|n| digest(n).to_string()).collect() };
    let subject = Some(digest("subject").to_string());
    for (stored, expected) in [
        (
            json!({"config": named("config"), "layers": [named("a"), named("b")], "subject": named("subject")}),
            Some((vec![], texts(&["config", "a", "b"]), subject.clone())),
        ),
        (
            json!({"manifests": [named("child")]}),
            Some((texts(&["child"]), vec![], None)),
        ),
        (
            json!({"blobs": [named("a")], "subject": named("subject")}),
            Some((vec![], texts(&["a"]), subject)),
        ),
        (
            json!({"schemaVersion": 1, "fsLayers": [{"blobSum": digest("a")}]}),
            Some((vec![], texts(&["a"]), None)),
        ),
        (json!({"manifests": null}), Some((vec![], vec![], None))),
        (json!({}), None),
        (json!([]), None),
        (json!({"layers": [{"digest": "sha256:12"}]}), None),
        (json!({"config": {}, "layers": []}), None),
    ] {
        assert_eq!(references_of(&stored), expected, "{stored}");
    }
}
