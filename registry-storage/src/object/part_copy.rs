//! Copies within S3, by parts.
//!
//! S3 copies no more than 5 GiB by one request, and that takes longer than most
//! clients wait. So the store is asked to copy ranges, several at once, as
//! parts of the new object. `object_store` has no request for that; it is made
//! with an address that it signs.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt, stream};
use http::{HeaderName, HeaderValue, Method};
use object_store::client::{HttpClient, HttpRequest, HttpRequestBody};
use object_store::multipart::{MultipartStore, PartId};
use object_store::path::Path;
use object_store::signer::{SignedUrlOptions, Signer};
use object_store::{Attributes, Error, PutMultipartOptions, Result};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use tokio::time::sleep;

const SOURCE: HeaderName = HeaderName::from_static("x-amz-copy-source");
const SOURCE_RANGE: HeaderName = HeaderName::from_static("x-amz-copy-source-range");
/// How long a signed address is good: longer than one attempt takes.
const VALID_FOR: Duration = Duration::from_secs(15 * 60);
/// How often a part is asked for, and the pause after the first time, which
/// doubles each time.
const ATTEMPTS: u32 = 6;
const PAUSE: Duration = Duration::from_millis(100);
/// The most parts that S3 takes.
const MAX_PARTS: u64 = 10_000;
/// What S3 keeps as it is in a key.
const IN_KEYS: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'/')
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// How large objects are copied within a bucket.
#[derive(Debug)]
pub struct PartCopy {
    bucket: String,
    client: HttpClient,
    part_size: u64,
    concurrency: usize,
    threshold: u64,
}

impl PartCopy {
    /// Copies within `bucket` by requests of `client`, which should have the
    /// certificates and the time limits that the store's own client has.
    ///
    /// Default headers of the store, and keys of the client's own for
    /// encryption (SSE-C), are not sent with the parts; what else is said of
    /// encryption holds for copies as for all objects.
    #[must_use]
    pub fn new(bucket: impl Into<String>, client: HttpClient) -> Self {
        Self {
            bucket: bucket.into(),
            client,
            part_size: 32 << 20,
            concurrency: 8,
            threshold: 32 << 20,
        }
    }

    /// Distribution's `multipartcopychunksize`: the length of a part in bytes.
    /// Default: 32 MiB. S3 takes nothing below 5 MiB.
    #[must_use]
    pub fn part_size(mut self, bytes: u64) -> Self {
        self.part_size = bytes;
        self
    }

    /// Distribution's `multipartcopymaxconcurrency`: how many parts are copied
    /// at once. Default: 8.
    #[must_use]
    pub fn concurrency(mut self, parts: usize) -> Self {
        self.concurrency = parts;
        self
    }

    /// Distribution's `multipartcopythresholdsize`: objects up to this length,
    /// in bytes, are copied by one request. Default: 32 MiB.
    #[must_use]
    pub fn threshold(mut self, bytes: u64) -> Self {
        self.threshold = bytes;
        self
    }

    /// The length of the parts of an object with `len` bytes.
    fn parts_of(&self, len: u64) -> u64 {
        self.part_size.max(len.div_ceil(MAX_PARTS)).max(1)
    }
}

/// Copies within a store.
#[derive(Clone)]
pub(super) struct Copier {
    pub(super) how: Arc<PartCopy>,
    pub(super) signer: Arc<dyn Signer>,
    pub(super) multipart: Arc<dyn MultipartStore>,
}

impl Copier {
    /// Whether an object is better copied here than by one request. That one
    /// takes no attributes.
    pub(super) fn is_for(&self, len: u64, attributes: &Attributes) -> bool {
        len > self.how.threshold || (!attributes.is_empty() && len > 0)
    }

    pub(super) async fn copy(
        &self,
        from: &Path,
        to: &Path,
        len: u64,
        attributes: &Attributes,
    ) -> Result<()> {
        let options = PutMultipartOptions::from(attributes.clone());
        let id = self.multipart.create_multipart_opts(to, options).await?;
        let copied = async {
            let parts = self.copy_parts(from, to, len, &id).await?;
            self.multipart.complete_multipart(to, &id, parts).await
        };
        match copied.await {
            Ok(_) => Ok(()),
            Err(error) => {
                if let Err(error) = self.multipart.abort_multipart(to, &id).await {
                    tracing::warn!(key = %to, %error, "parts of a copy are left over");
                }
                Err(error)
            }
        }
    }

    async fn copy_parts(&self, from: &Path, to: &Path, len: u64, id: &str) -> Result<Vec<PartId>> {
        let part_size = self.how.parts_of(len);
        let parts = (0..len.div_ceil(part_size)).map(|index| {
            let start = index * part_size;
            let end = len.min(start + part_size);
            self.copy_part(from, to, id, index + 1, start, end)
        });
        stream::iter(parts)
            .buffered(self.how.concurrency.max(1))
            .try_collect()
            .await
    }

    async fn copy_part(
        &self,
        from: &Path,
        to: &Path,
        id: &str,
        number: u64,
        start: u64,
        end: u64,
    ) -> Result<PartId> {
        let source = utf8_percent_encode(from.as_ref(), IN_KEYS);
        let source = header(format!("{}/{source}", self.how.bucket))?;
        let range = header(format!("bytes={start}-{}", end - 1))?;
        let options = SignedUrlOptions::default()
            .with_query([("partNumber", number.to_string()), ("uploadId", id.into())])
            .with_signed_header(SOURCE, source)
            .with_signed_header(SOURCE_RANGE, range);
        let mut pause = PAUSE;
        for attempt in 1.. {
            match self.ask(to, &options).await {
                Ok(part) => return Ok(part),
                Err(Failure { may_pass, error }) if !may_pass || attempt == ATTEMPTS => {
                    return Err(error);
                }
                Err(failure) => {
                    tracing::debug!(key = %to, number, error = %failure.error, "copying a part again");
                    sleep(pause).await;
                    pause *= 2;
                }
            }
        }
        Err(generic("a part was never asked for"))
    }

    async fn ask(&self, to: &Path, options: &SignedUrlOptions) -> Result<PartId, Failure> {
        let signer = &self.signer;
        let url = signer
            .signed_url_opts(Method::PUT, to, VALID_FOR, options)
            .await;
        let url = url.map_err(Failure::lasting)?;
        let mut request = HttpRequest::new(HttpRequestBody::empty());
        *request.method_mut() = Method::PUT;
        *request.uri_mut() = url.as_str().parse().map_err(Failure::lasting_cause)?;
        *request.headers_mut() = options.signed_headers.clone();
        let response = self.how.client.execute(request).await;
        let response = response.map_err(Failure::passing_cause)?;
        let status = response.status();
        let body = response.into_body().bytes().await;
        let body = body.map_err(Failure::passing_cause)?;
        let text = String::from_utf8_lossy(&body);
        if !status.is_success() {
            let may_pass = status.is_server_error() || matches!(status.as_u16(), 408 | 429);
            let error = generic(format!("{status}: {text}"));
            return Err(Failure { may_pass, error });
        }
        // Begun with 200, a copy may still end in an error.
        match quick_xml::de::from_str::<CopyPartResult>(&text) {
            Ok(result) => Ok(PartId {
                content_id: result.e_tag,
            }),
            Err(_) => Err(Failure {
                may_pass: true,
                error: generic(format!("no part was copied: {text}")),
            }),
        }
    }
}

#[derive(Debug, Deserialize)]
struct CopyPartResult {
    #[serde(rename = "ETag")]
    e_tag: String,
}

struct Failure {
    /// Whether asking again may help.
    may_pass: bool,
    error: Error,
}

impl Failure {
    const fn lasting(error: Error) -> Self {
        Self {
            may_pass: false,
            error,
        }
    }

    fn lasting_cause(cause: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self::lasting(generic(cause))
    }

    fn passing_cause(cause: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self {
            may_pass: true,
            error: generic(cause),
        }
    }
}

fn header(text: String) -> Result<HeaderValue> {
    HeaderValue::try_from(text).map_err(generic)
}

fn generic(cause: impl Into<registry_spec::BoxError>) -> Error {
    Error::Generic {
        store: "S3",
        source: cause.into(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::{Mutex, PoisonError};

    use async_trait::async_trait;
    use object_store::client::{HttpError, HttpErrorKind, HttpResponse, HttpService};
    use object_store::signer::Url;
    use object_store::{MultipartId, PutPayload, PutResult};

    use super::*;

    /// A store of which one part is troublesome.
    #[derive(Clone, Debug, Default)]
    struct S3(Arc<Mutex<State>>);

    #[derive(Debug, Default)]
    struct State {
        /// What the second part is answered with before it is copied.
        answers: Vec<Option<(u16, &'static str)>>,
        asked: usize,
        /// Ranges by part number.
        copied: BTreeMap<String, String>,
        completed: Option<Vec<String>>,
        aborted: bool,
    }

    impl S3 {
        fn state(&self) -> std::sync::MutexGuard<'_, State> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner)
        }

        async fn copy(&self, len: u64) -> Result<()> {
            let how = PartCopy::new("my bucket", HttpClient::new(self.clone())).part_size(10);
            let copier = Copier {
                how: Arc::new(how),
                signer: Arc::new(self.clone()),
                multipart: Arc::new(self.clone()),
            };
            let (from, to) = (Path::from("a b/from"), Path::from("to"));
            copier.copy(&from, &to, len, &Attributes::new()).await
        }
    }

    #[async_trait]
    impl HttpService for S3 {
        async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
            assert_eq!(request.method(), Method::PUT);
            let query = request.uri().query().unwrap_or_default().to_owned();
            assert!(query.ends_with("&uploadId=id"), "{query}");
            let source = &request.headers()[SOURCE];
            assert_eq!(source, "my bucket/a%20b/from");
            let range = request.headers()[SOURCE_RANGE].to_str().expect("text");
            let number = query.trim_start_matches("partNumber=");
            let number = number.trim_end_matches("&uploadId=id").to_owned();
            let mut state = self.state();
            let mut answer = Some((200, ""));
            if number == "2" {
                state.asked += 1;
                if let Some(bad) = state.answers.pop() {
                    answer = bad;
                }
            }
            let interrupted = || HttpError::new(HttpErrorKind::Interrupted, std::fmt::Error);
            let (status, mut body) = answer
                .map(|(status, body)| (status, body.to_owned()))
                .ok_or_else(interrupted)?;
            if body.is_empty() && status == 200 {
                body = format!(
                    "<?xml version=\"1.0\"?><CopyPartResult xmlns=\"urn:s3\"><LastModified>now\
                     </LastModified><ETag>&quot;{number}&quot;</ETag></CopyPartResult>"
                );
                state.copied.insert(number, range.to_owned());
            }
            let mut response = HttpResponse::new(body.into());
            *response.status_mut() = http::StatusCode::from_u16(status).expect("valid");
            Ok(response)
        }
    }

    #[async_trait]
    impl Signer for S3 {
        async fn signed_url(&self, _: Method, _: &Path, _: Duration) -> Result<Url> {
            Err(generic("the part is missing"))
        }

        async fn signed_url_opts(
            &self,
            _: Method,
            path: &Path,
            _: Duration,
            options: &SignedUrlOptions,
        ) -> Result<Url> {
            let query: Vec<_> = options
                .extra_query
                .iter()
                .map(|(key, value)| format!("{key}={value}"))
                .collect();
            let url = format!("http://127.0.0.1/{path}?{}", query.join("&"));
            Url::parse(&url).map_err(generic)
        }
    }

    #[async_trait]
    impl MultipartStore for S3 {
        async fn create_multipart(&self, _: &Path) -> Result<MultipartId> {
            Ok("id".into())
        }

        async fn put_part(
            &self,
            _: &Path,
            _: &MultipartId,
            _: usize,
            _: PutPayload,
        ) -> Result<PartId> {
            Err(generic("nothing is sent"))
        }

        async fn complete_multipart(
            &self,
            _: &Path,
            _: &MultipartId,
            parts: Vec<PartId>,
        ) -> Result<PutResult> {
            let parts = parts.into_iter().map(|part| part.content_id);
            self.state().completed = Some(parts.collect());
            Ok(PutResult {
                e_tag: None,
                version: None,
                extensions: Default::default(),
            })
        }

        async fn abort_multipart(&self, _: &Path, _: &MultipartId) -> Result<()> {
            self.state().aborted = true;
            Ok(())
        }
    }

    const SLOW_DOWN: &str = "<Error><Code>SlowDown</Code></Error>";

    #[tokio::test(start_paused = true)]
    async fn every_byte_is_copied_once_whatever_passes() {
        let passing = [None, Some((200, SLOW_DOWN)), Some((503, SLOW_DOWN))];
        let s3 = S3::default();
        s3.state().answers = passing.to_vec();
        s3.copy(25).await.expect("is copied");
        let state = s3.state();
        assert_eq!(state.asked, 4);
        let ranges: Vec<_> = state.copied.values().map(String::as_str).collect();
        assert_eq!(ranges, ["bytes=0-9", "bytes=10-19", "bytes=20-24"]);
        let parts = ["\"1\"", "\"2\"", "\"3\""].map(str::to_owned);
        assert_eq!(state.completed.as_deref(), Some(&parts[..]));
        assert!(!state.aborted);
    }

    #[tokio::test(start_paused = true)]
    async fn what_does_not_pass_leaves_no_parts() {
        for (answer, asked) in [
            (Some((403, "<Error><Code>AccessDenied</Code></Error>")), 1),
            (Some((200, SLOW_DOWN)), ATTEMPTS as usize),
            (None, ATTEMPTS as usize),
        ] {
            let s3 = S3::default();
            s3.state().answers = vec![answer; 10];
            s3.copy(25).await.expect_err("one part fails");
            let state = s3.state();
            assert_eq!(state.asked, asked, "{answer:?}");
            assert!(state.aborted && state.completed.is_none());
        }
    }

    #[test]
    fn no_copy_has_more_parts_than_s3_takes() {
        let len = 5 << 40_u64;
        let part_size = PartCopy::new("b", HttpClient::new(S3::default())).parts_of(len);
        assert!(len.div_ceil(part_size) <= MAX_PARTS);
    }
}
