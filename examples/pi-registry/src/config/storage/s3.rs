//! `storage.s3`, also called `storage.s3aws`: S3, and what speaks its protocol.

use super::super::error::ConfigError;
use super::super::secret::Secret;
use super::section::{Client, Section};

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// A bucket of S3 or of something that speaks its protocol.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct S3 {
    /// The driver's name as it was written: `storage.s3` or `storage.s3aws`.
    pub key: &'static str,
    /// `bucket`.
    pub bucket: String,
    /// `region`: with `regionendpoint` any text that its server signs with.
    pub region: String,
    /// `accesskey` and `secretkey`. Default: those of the environment.
    pub credentials: Option<AccessKey>,
    /// `regionendpoint`, or the region's own. A URL; with the bucket in its
    /// host unless `path_style` is set.
    pub endpoint: String,
    /// Whether the bucket is the first part of every path: `forcepathstyle`,
    /// which is the default for a `regionendpoint`, and for names of buckets
    /// that no certificate is good for as part of a host.
    pub path_style: bool,
    /// `redirectendpoint`: where clients are sent, in the form of `endpoint`.
    pub redirect_endpoint: Option<String>,
    /// `rootdirectory`, without slashes around it. Default: empty.
    pub root: String,
    /// `encrypt` and `keyid`. Default: whatever the bucket says.
    pub encryption: Option<Encryption>,
    /// `storageclass`; `None` for `NONE`, which sends none. Default: `STANDARD`.
    pub storage_class: Option<String>,
    /// `chunksize`: the length of a part of an upload in bytes. Default: 10 MiB.
    pub chunk_size: u64,
    /// `multipartcopychunksize`: bytes. Default: the storage's.
    pub copy_part_size: Option<u64>,
    /// `multipartcopymaxconcurrency`. Default: the storage's.
    pub copy_concurrency: Option<u64>,
    /// `multipartcopythresholdsize`: bytes. Default: the storage's.
    pub copy_threshold: Option<u64>,
    /// How its server is spoken to.
    pub client: Client,
}

/// Who the registry is to S3.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct AccessKey {
    /// `accesskey`.
    pub id: Secret,
    /// `secretkey`.
    pub secret: Secret,
    /// `sessiontoken`, of temporary keys.
    pub session: Option<Secret>,
}

/// How S3 encrypts what it keeps.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Encryption {
    /// `encrypt` alone: by keys of S3, `AES256`.
    Aes256,
    /// With `keyid`: by a key of KMS, `aws:kms`.
    Kms(String),
}

impl S3 {
    pub(super) fn read(section: Section<'_>) -> Result<Self, ConfigError> {
        let bucket = section.required("bucket", "the name of a bucket")?;
        only(
            section,
            "objectacl",
            &["private"],
            "other people's access is none of a registry's",
        )?;
        only(
            section,
            "v4auth",
            &["true"],
            "signatures of version 2 are not supported",
        )?;
        let secure = section.boolean("secure", true)?;
        let scheme = if secure { "https" } else { "http" };
        let custom = section.url("regionendpoint", scheme)?;
        let region = section.required("region", "a region such as us-east-1")?;
        if custom.is_none() && !is_region(&region) {
            return Err(section.refused(
                "region",
                "a region of AWS such as us-east-1, or regionendpoint with the address of \
                 another store",
            ));
        }
        let plain = custom.is_some() || bucket.contains('.');
        let path_style = section.boolean("forcepathstyle", plain)?;
        let place = |url: String| match path_style {
            true => url,
            false => with_bucket(&url, &bucket),
        };
        let endpoint = match custom {
            Some(url) => place(url),
            None => place(aws(section, &region, scheme)?),
        };
        Ok(Self {
            key: section.name,
            credentials: AccessKey::read(section)?,
            endpoint,
            path_style,
            redirect_endpoint: section.url("redirectendpoint", scheme)?.map(place),
            root: section.root_directory()?,
            encryption: Encryption::read(section)?,
            storage_class: storage_class(section)?,
            chunk_size: bytes(section, "chunksize", 5 * MIB)?.unwrap_or(10 * MIB),
            copy_part_size: bytes(section, "multipartcopychunksize", 5 * MIB)?,
            copy_concurrency: section.number(
                "multipartcopymaxconcurrency",
                (1, 1000),
                "requests",
            )?,
            copy_threshold: bytes(section, "multipartcopythresholdsize", 0)?,
            client: Client::read(section)?,
            bucket,
            region,
        })
    }
}

impl AccessKey {
    fn read(section: Section<'_>) -> Result<Option<Self>, ConfigError> {
        let id = section.secret("accesskey", "the name of an access key")?;
        let secret = section.secret("secretkey", "the secret of accesskey")?;
        let session = section.secret("sessiontoken", "the token of temporary keys")?;
        let neither = "or neither of the two, for those of the environment";
        match (id, secret) {
            (Some(id), Some(secret)) => Ok(Some(Self {
                id,
                secret,
                session,
            })),
            (None, None) => Ok(None),
            (Some(_), None) => {
                Err(section.missing("secretkey", &format!("the secret of accesskey, {neither}")))
            }
            (None, Some(_)) => Err(section.missing(
                "accesskey",
                &format!("the name of the key of secretkey, {neither}"),
            )),
        }
    }
}

impl Encryption {
    fn read(section: Section<'_>) -> Result<Option<Self>, ConfigError> {
        let key = section.text("keyid", "the name of a KMS key")?;
        match (section.boolean("encrypt", false)?, key) {
            (true, Some(key)) => Ok(Some(Self::Kms(key))),
            (true, None) => Ok(Some(Self::Aes256)),
            (false, None) => Ok(None),
            (false, Some(_)) => Err(section.refused("keyid", "encrypt: true beside it")),
        }
    }
}

/// The endpoint of a region of AWS.
fn aws(section: Section<'_>, region: &str, scheme: &str) -> Result<String, ConfigError> {
    let dual = section.boolean("usedualstack", false)?;
    let fips = section.boolean("usefipsendpoint", false)?;
    let accelerate = section.boolean("accelerate", false)?;
    let domain = if region.starts_with("cn-") {
        "amazonaws.com.cn"
    } else {
        "amazonaws.com"
    };
    let dual = if dual { ".dualstack" } else { "" };
    Ok(match (accelerate, fips) {
        (true, true) => {
            return Err(section.refused("accelerate", "false beside usefipsendpoint"));
        }
        (true, false) => format!("{scheme}://s3-accelerate{dual}.{domain}"),
        (false, true) => format!("{scheme}://s3-fips{dual}.{region}.{domain}"),
        (false, false) => format!("{scheme}://s3{dual}.{region}.{domain}"),
    })
}

fn with_bucket(url: &str, bucket: &str) -> String {
    let (scheme, host) = url.split_once("://").unwrap_or(("https", url));
    format!("{scheme}://{bucket}.{host}")
}

/// Whether AWS might have a region of that name: `us-east-1`, `us-gov-west-1`.
fn is_region(text: &str) -> bool {
    let mut parts = text.split('-').rev();
    let number = parts.next().unwrap_or_default();
    let words: Vec<&str> = parts.collect();
    !number.is_empty()
        && number.bytes().all(|c| c.is_ascii_digit())
        && words.len() >= 2
        && words
            .iter()
            .all(|word| word.len() >= 2 && word.bytes().all(|c| c.is_ascii_lowercase()))
}

fn bytes(section: Section<'_>, name: &str, least: u64) -> Result<Option<u64>, ConfigError> {
    section.number(name, (least, 5 * GIB), "bytes")
}

fn storage_class(section: Section<'_>) -> Result<Option<String>, ConfigError> {
    const NAME: &str = "storageclass";
    const EXPECTED: &str = "a storage class such as STANDARD, or NONE to send none";
    let class = section.text(NAME, EXPECTED)?;
    let class = class.unwrap_or_else(|| "STANDARD".to_owned());
    if class
        .bytes()
        .any(|c| !c.is_ascii_uppercase() && !c.is_ascii_digit() && c != b'_')
    {
        return Err(section.refused(NAME, EXPECTED));
    }
    Ok((class != "NONE").then_some(class))
}

/// Refuses all values but these.
fn only(section: Section<'_>, name: &str, good: &[&str], why: &str) -> Result<(), ConfigError> {
    let expected = good.join(" or ");
    match section.text(name, &expected)? {
        Some(text) if !good.contains(&text.to_ascii_lowercase().as_str()) => {
            Err(section.refused(name, format_args!("{expected}: {why}")))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regions_of_aws_are_known_by_their_form() {
        for region in [
            "us-east-1",
            "us-gov-west-1",
            "ap-southeast-2",
            "cn-north-1",
            "us-isob-east-1",
        ] {
            assert!(is_region(region), "{region}");
        }
        for region in [
            "",
            "us",
            "us-east",
            "us-east-",
            "US-EAST-1",
            "1",
            "default",
            "us--1",
            "garage",
        ] {
            assert!(!is_region(region), "{region}");
        }
    }

    #[test]
    fn a_bucket_goes_before_the_host() {
        assert_eq!(with_bucket("http://a:1/x", "b"), "http://b.a:1/x");
    }
}
