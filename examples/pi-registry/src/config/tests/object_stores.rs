//! `storage.s3`, `storage.azure` and `storage.gcs`.

use std::path::Path;

use super::super::{
    Azure, AzureCredentials, Config, Driver, Encryption, Gcs, GcsCredentials, ObjectStore, S3,
};
use super::load;

fn store(config: Config) -> ObjectStore {
    match config.storage.driver {
        Driver::ObjectStore(store) => *store,
        Driver::FileSystem(root) => panic!("a directory, {root:?}"),
    }
}

fn s3(keys: &str) -> S3 {
    let text = format!("storage: {{s3: {{bucket: images, {keys}}}}}");
    match store(load(&text, &[]).expect(&text)) {
        ObjectStore::S3(s3) => s3,
        other => panic!("{other:?}"),
    }
}

fn azure(keys: &str) -> Azure {
    let text = format!("storage: {{azure: {{accountname: acc, container: c, {keys}}}}}");
    match store(load(&text, &[]).expect(&text)) {
        ObjectStore::Azure(azure) => azure,
        other => panic!("{other:?}"),
    }
}

fn gcs(keys: &str) -> Gcs {
    let text = format!("storage: {{gcs: {{bucket: images, {keys}}}}}");
    match store(load(&text, &[]).expect(&text)) {
        ObjectStore::Gcs(gcs) => gcs,
        other => panic!("{other:?}"),
    }
}

#[test]
fn s3_has_defaults() {
    let s3 = s3("region: eu-central-1");
    assert_eq!(s3.key, "storage.s3");
    assert_eq!(s3.endpoint, "https://images.s3.eu-central-1.amazonaws.com");
    assert!(!s3.path_style && s3.credentials.is_none() && s3.encryption.is_none());
    assert_eq!(s3.root, "");
    assert_eq!(s3.storage_class.as_deref(), Some("STANDARD"));
    assert_eq!(s3.chunk_size, 10 << 20);
    assert_eq!(s3.copy_part_size, None);
    assert!(!s3.client.skip_verify && s3.client.ca_file.is_none());
}

#[test]
fn every_key_of_s3_is_read() {
    let s3 = s3(
        "accesskey: a, secretkey: s, sessiontoken: t, region: anything, \
         regionendpoint: 'minio:9000', redirectendpoint: 'https://store.example/', \
         encrypt: 'true', keyid: k, secure: 'false', skipverify: 'true', v4auth: 'true', \
         chunksize: '5242880', multipartcopychunksize: 5242881, multipartcopymaxconcurrency: 7, \
         multipartcopythresholdsize: 0, rootdirectory: /a/b/, storageclass: NONE, \
         useragent: me, objectacl: private, cafile: /ca.pem",
    );
    let key = s3.credentials.expect("said");
    assert_eq!(key.id.reveal(), "a");
    assert_eq!(key.secret.reveal(), "s");
    assert_eq!(key.session.expect("said").reveal(), "t");
    assert_eq!(s3.region, "anything");
    assert_eq!(s3.endpoint, "http://minio:9000");
    assert_eq!(
        s3.redirect_endpoint.as_deref(),
        Some("https://store.example")
    );
    assert!(s3.path_style);
    assert_eq!(s3.encryption, Some(Encryption::Kms("k".to_owned())));
    assert_eq!(s3.chunk_size, 5 << 20);
    assert_eq!(s3.copy_part_size, Some((5 << 20) + 1));
    assert_eq!(s3.copy_concurrency, Some(7));
    assert_eq!(s3.copy_threshold, Some(0));
    assert_eq!(s3.root, "a/b");
    assert_eq!(s3.storage_class, None);
    assert!(s3.client.skip_verify);
    assert_eq!(s3.client.user_agent.as_deref(), Some("me"));
    assert_eq!(s3.client.ca_file.as_deref(), Some(Path::new("/ca.pem")));
}

#[test]
fn the_endpoint_of_s3_follows_its_keys() {
    for (keys, endpoint) in [
        ("regionendpoint: 'm:1'", "https://m:1"),
        ("regionendpoint: 'http://m:1/'", "http://m:1"),
        (
            "regionendpoint: 'https://m/s3', secure: false",
            "https://m/s3",
        ),
        (
            "regionendpoint: m, forcepathstyle: false",
            "https://images.m",
        ),
        ("regionendpoint: '[::1]:9000'", "https://[::1]:9000"),
        ("forcepathstyle: true", "https://s3.us-east-1.amazonaws.com"),
        (
            "usedualstack: true",
            "https://images.s3.dualstack.us-east-1.amazonaws.com",
        ),
        (
            "usefipsendpoint: true",
            "https://images.s3-fips.us-east-1.amazonaws.com",
        ),
        (
            "accelerate: 'true'",
            "https://images.s3-accelerate.amazonaws.com",
        ),
        ("secure: false", "http://images.s3.us-east-1.amazonaws.com"),
    ] {
        assert_eq!(
            s3(&format!("region: us-east-1, {keys}")).endpoint,
            endpoint,
            "{keys}"
        );
    }
    let china = s3("region: cn-north-1").endpoint;
    assert_eq!(china, "https://images.s3.cn-north-1.amazonaws.com.cn");
    // A certificate's wildcard covers no dots.
    let config = load("storage: {s3: {bucket: a.b, region: us-east-1}}", &[]);
    match store(config.expect("valid")) {
        ObjectStore::S3(s3) => assert_eq!(s3.endpoint, "https://s3.us-east-1.amazonaws.com"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn variables_alone_are_enough() {
    for name in ["s3", "s3aws"] {
        let variable = |key: &str| format!("REGISTRY_STORAGE_{}_{key}", name.to_uppercase());
        let (bucket, region) = (variable("BUCKET"), variable("REGION"));
        let (endpoint, secure) = (variable("REGIONENDPOINT"), variable("SECURE"));
        let config = load(
            "storage: {filesystem: {rootdirectory: /x}, delete: {enabled: true}}",
            &[
                ("REGISTRY_STORAGE", name),
                (&bucket, "b"),
                (&region, "r"),
                (&endpoint, "m:1"),
                (&secure, "false"),
            ],
        );
        let config = config.expect("valid");
        assert!(!config.storage.deletes, "the whole section is replaced");
        assert_eq!(config.storage.driver.name(), "s3aws");
        match store(config) {
            ObjectStore::S3(s3) => {
                assert_eq!(s3.key, format!("storage.{name}"));
                assert_eq!((&*s3.endpoint, &*s3.bucket), ("http://m:1", "b"));
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn azure_is_read() {
    let shared = azure("accountkey: YWJj, rootdirectory: r, skipverify: 'yes'");
    assert_eq!(shared.endpoint, "https://acc.blob.core.windows.net");
    assert_eq!(
        (&*shared.account, &*shared.container, &*shared.root),
        ("acc", "c", "r")
    );
    assert!(
        matches!(shared.credentials, AzureCredentials::AccountKey(key) if key.reveal() == "YWJj")
    );
    assert!(shared.client.skip_verify);
    let realm = azure("realm: core.chinacloudapi.cn").endpoint;
    assert_eq!(realm, "https://acc.blob.core.chinacloudapi.cn");
    let azurite = azure("serviceurl: 'http://127.0.0.1:10000/acc'");
    assert_eq!(azurite.endpoint, "http://127.0.0.1:10000/acc");
    assert!(matches!(azurite.credentials, AzureCredentials::Environment));
    let application = "credentials: {type: client_secret, clientid: i, tenantid: t, secret: s}";
    match azure(application).credentials {
        AzureCredentials::Application {
            tenant,
            client,
            secret,
        } => assert_eq!((&*tenant, &*client, secret.reveal()), ("t", "i", "s")),
        other => panic!("{other:?}"),
    }
}

#[test]
fn gcs_is_read() {
    let plain = gcs("chunksize: '5242880', rootdirectory: /r");
    assert!(matches!(plain.credentials, GcsCredentials::Environment));
    assert_eq!((plain.chunk_size, &*plain.root), (5 << 20, "r"));
    let file = gcs("keyfile: /k.json").credentials;
    assert!(matches!(file, GcsCredentials::File(path) if path == Path::new("/k.json")));
    let emulator = gcs("endpoint: 'http://127.0.0.1:4443'");
    assert_eq!(emulator.endpoint.as_deref(), Some("http://127.0.0.1:4443"));
    assert!(matches!(emulator.credentials, GcsCredentials::Nobody));
    let keys = "credentials: {client_email: a@b, private_key: \"x\\ny\", private_key_id: '7'}";
    match gcs(keys).credentials {
        GcsCredentials::Key(json) => {
            let json: serde_json::Value = serde_json::from_str(json.reveal()).expect("JSON");
            assert_eq!(json["private_key"], "x\ny");
            assert_eq!(json["private_key_id"], "7");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn redirects_are_off_unless_asked_for() {
    const S3: &str = "s3: {bucket: b, region: us-east-1}";
    for (more, on) in [
        ("", false),
        (", redirect: {disable: true}", false),
        (", redirect: {disable: 'false'}", true),
        (", redirect: ", false),
    ] {
        let config = load(&format!("storage: {{{S3}{more}}}"), &[]).expect(more);
        assert_eq!(config.storage.redirect, on, "{more}");
        assert!(config.warnings.is_empty(), "{:?}", config.warnings);
    }
}

#[test]
fn faults_name_the_key_and_what_is_expected() {
    for (storage, line) in [
        (
            "s3: {region: r}",
            "storage.s3.bucket is missing: expected the name of a bucket",
        ),
        (
            "s3",
            "storage.s3.bucket is missing: expected the name of a bucket",
        ),
        (
            "s3: {bucket: b}",
            "storage.s3.region is missing: expected a region such as us-east-1",
        ),
        (
            "s3aws: {bucket: b, region: mars}",
            "storage.s3aws.region is \"mars\": expected a region of AWS such as us-east-1, or \
             regionendpoint with the address of another store",
        ),
        (
            "s3: {bucket: b, region: us-east-1, accesskey: HUSH}",
            "storage.s3.secretkey is missing: expected the secret of accesskey, or neither of \
             the two, for those of the environment",
        ),
        (
            "s3: {bucket: b, region: us-east-1, chunksize: 1048576}",
            "storage.s3.chunksize is \"1048576\": expected a whole number of bytes from 5242880 \
             to 5368709120",
        ),
        (
            "s3: {bucket: b, region: us-east-1, secure: maybe}",
            "storage.s3.secure is \"maybe\": expected true or false",
        ),
        (
            "s3: {bucket: b, region: us-east-1, objectacl: public-read}",
            "storage.s3.objectacl is \"public-read\": expected private: other people's access is \
             none of a registry's",
        ),
        (
            "s3: {bucket: b, region: us-east-1, v4auth: false}",
            "storage.s3.v4auth is \"false\": expected true: signatures of version 2 are not \
             supported",
        ),
        (
            "s3: {bucket: b, region: us-east-1, keyid: k}",
            "storage.s3.keyid is \"k\": expected encrypt: true beside it",
        ),
        (
            "s3: {bucket: b, region: us-east-1, regionendpoint: 'ftp://x'}",
            "storage.s3.regionendpoint is \"ftp://x\": expected a host or URL such as \
             minio.example:9000 or https://minio.example:9000",
        ),
        (
            "s3: {bucket: b, region: us-east-1, rootdirectory: a//b}",
            "storage.s3.rootdirectory is \"a//b\": expected a path within the bucket such as \
             /registry",
        ),
        (
            "s3: {bucket: b, region: us-east-1, storageclass: cheap}",
            "storage.s3.storageclass is \"cheap\": expected a storage class such as STANDARD, or \
             NONE to send none",
        ),
        (
            "s3: {bucket: b, region: us-east-1, bukcet: x}",
            "storage.s3.bukcet is unknown: did you mean storage.s3.bucket? Correct or remove it",
        ),
        (
            "azure: {container: c}",
            "storage.azure.accountname is missing: expected the name of a storage account",
        ),
        (
            "azure: {accountname: a, container: c, accountkey: HUSH!}",
            "storage.azure.accountkey is ********: expected the key of the account in base64",
        ),
        (
            "gcs: {bucket: b, chunksize: 5242881}",
            "storage.gcs.chunksize is \"5242881\": expected a multiple of 262144 bytes",
        ),
        (
            "gcs: {bucket: b, credentials: {client_email: a}}",
            "storage.gcs.credentials.private_key is missing: expected all that is in the key \
             file of a service account",
        ),
        (
            "gcs: {bucket: b, keyfile: /k, credentials: {client_email: HUSH}}",
            "storage.gcs.keyfile is \"/k\": expected it or credentials, not both",
        ),
    ] {
        let error = load(&format!("storage: {{{storage}}}"), &[]).expect_err(storage);
        assert_eq!(error, format!("c.yml:1: {line}"));
    }
}

#[test]
fn what_a_store_is_told_in_secret_is_never_shown() {
    for text in [
        "storage: {s3: {bucket: b, region: us-east-1, accesskey: HUSH, secretkey: HUSH, sessiontoken: HUSH}}",
        "storage: {azure: {accountname: a, container: c, accountkey: HUSH}}",
        "storage: {gcs: {bucket: b, credentials: {client_email: a, private_key: HUSH, private_key_id: HUSH}}}",
    ] {
        let config = load(text, &[]).expect(text);
        assert!(!format!("{config:?}").contains("HUSH"), "{config:?}");
    }
}

#[test]
fn what_a_store_does_not_need_is_a_warning() {
    for (storage, key) in [
        (
            "s3: {bucket: b, region: us-east-1, loglevel: debug}",
            "storage.s3.loglevel",
        ),
        (
            "azure: {accountname: a, container: c, copy_status_poll_delay: 1s}",
            "storage.azure.copy_status_poll_delay",
        ),
        (
            "gcs: {bucket: b, disablekeepalives: true}",
            "storage.gcs.disablekeepalives",
        ),
    ] {
        let config = load(&format!("storage: {{{storage}}}"), &[]).expect(storage);
        let start = format!("c.yml:1: {key} is ignored: ");
        assert!(
            config.warnings[0].starts_with(&start),
            "{:?}",
            config.warnings
        );
    }
}
