//! One scrape on the wire: the request Prometheus would send, and the answer held to the limits.

use crate::exposition::{Format, Protocol, accept};
use crate::job::Job;
use http::header::{
    ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, USER_AGENT,
};
use parking_lot::Mutex;
use std::ops::{Deref, Range};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use watchfire_fetch::{FetchError, Fetcher, Order, basic_authorization, read_secret};
use watchfire_model::Secret;

/// Body bytes a scrape may hold before it draws on the budget all scrapes share.
const FREE_BYTES: usize = 256 << 10;
/// What it draws at a time.
const PORTION: usize = 256 << 10;
/// Bodies of so many bytes leave their room to the next scrape, and so many of them.
const SPARE_BYTES: Range<usize> = 64 << 10..4 << 20;
const SPARES: usize = 4;

/// Why a scrape brought no body.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScrapeError {
    #[error(transparent)]
    Fetch(#[from] FetchError),
    #[error("no complete answer within {0:?}")]
    Timeout(Duration),
    #[error("server returned HTTP status {0}")]
    Status(String),
    #[error("body size limit exceeded: more than {0}")]
    BodyLimit(crate::ByteSize),
    #[error("too much scrape data in flight; the next scrape is tried as usual")]
    InFlight,
    #[error("{0}")]
    Credentials(String),
    #[error("{0}")]
    Format(String),
}

impl ScrapeError {
    /// The value of a `reason` label.
    pub fn reason(&self) -> &'static str {
        match self {
            ScrapeError::Fetch(e) => e.reason(),
            ScrapeError::Timeout(_) => "timeout",
            ScrapeError::Status(_) => "status",
            ScrapeError::BodyLimit(_) => "body_limit",
            ScrapeError::InFlight => "in_flight",
            ScrapeError::Credentials(_) => "credentials",
            ScrapeError::Format(_) => "format",
        }
    }
}

/// A body with what its header says it is.
pub(crate) struct Page {
    pub(crate) body: Body,
    pub(crate) format: Format,
    /// The content type that was not understood, where the fallback was taken.
    pub(crate) fallback: Option<(String, Protocol)>,
}

/// The bytes of bodies all scrapes together may hold, and room for them that is free.
#[derive(Clone)]
pub(crate) struct BodyBudget {
    portions: Arc<Semaphore>,
    spare: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl BodyBudget {
    pub(crate) fn new(bytes: usize) -> Self {
        BodyBudget { portions: Arc::new(Semaphore::new(bytes / PORTION)), spare: Arc::default() }
    }

    fn begin(&self, expected: usize) -> Body {
        let spare = if expected < SPARE_BYTES.start { None } else { self.spare.lock().pop() };
        let mut bytes = spare.unwrap_or_default();
        bytes.reserve_exact(expected.min(FREE_BYTES));
        Body { bytes, held: Vec::new(), budget: self.clone() }
    }
}

/// Bytes of an answer, within the budget for as long as they are held. Fresh memory costs more than reading what is in it, so that room is used again.
pub(crate) struct Body {
    bytes: Vec<u8>,
    held: Vec<OwnedSemaphorePermit>,
    budget: BodyBudget,
}

impl Body {
    fn extend(&mut self, chunk: &[u8]) -> Result<(), ScrapeError> {
        while self.bytes.len() + chunk.len() > FREE_BYTES + self.held.len() * PORTION {
            self.held.push(self.budget.portions.clone().try_acquire_owned().map_err(|_| ScrapeError::InFlight)?);
        }
        self.bytes.extend_from_slice(chunk);
        Ok(())
    }
}

impl Deref for Body {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        let mut bytes = std::mem::take(&mut self.bytes);
        let mut spare = self.budget.spare.lock();
        if SPARE_BYTES.contains(&bytes.capacity()) && spare.len() < SPARES {
            bytes.clear();
            spare.push(bytes);
        }
    }
}

/// Scrapes once. The caller sets the deadline.
pub(crate) async fn fetch(
    fetcher: &Fetcher,
    job: &Job,
    url: &reqwest::Url,
    timeout: Duration,
    expected: usize,
    budget: &BodyBudget,
) -> Result<Page, ScrapeError> {
    let order = Order {
        method: http::Method::GET,
        url: url.clone(),
        headers: headers(job, timeout),
        credentials: credentials(job).await.map_err(ScrapeError::Credentials)?,
    };
    let mut answer = fetcher.send(&order).await?;
    if answer.status() != http::StatusCode::OK {
        return Err(ScrapeError::Status(answer.status().to_string()));
    }
    let encoding = answer.header(CONTENT_ENCODING).unwrap_or_default().trim();
    if !["", "identity", "gzip"].iter().any(|known| encoding.eq_ignore_ascii_case(known)) {
        let why = format!("the answer is encoded as {encoding:?}, which was not asked for; gzip and identity are understood");
        return Err(ScrapeError::Format(why));
    }
    let content_type = answer.header(CONTENT_TYPE).unwrap_or_default().to_owned();
    let (format, fallback) = match (Format::of_content_type(&content_type), job.fallback_scrape_protocol) {
        (Some(format), _) => (format, None),
        (None, Some(protocol)) => (protocol.format(), Some((content_type, protocol))),
        (None, None) if content_type.is_empty() => {
            return Err(ScrapeError::Format("the answer has no Content-Type and fallback_scrape_protocol is not set".to_owned()));
        }
        (None, None) => {
            return Err(ScrapeError::Format(format!(
                "content type {content_type:?} is no metrics format and fallback_scrape_protocol is not set"
            )));
        }
    };
    let limit = if job.body_size_limit.0 == 0 { usize::MAX } else { job.body_size_limit.0 };
    let mut body = budget.begin(expected.min(limit));
    while let Some(chunk) = answer.chunk().await? {
        if body.len() + chunk.len() > limit {
            return Err(ScrapeError::BodyLimit(job.body_size_limit));
        }
        body.extend(&chunk)?;
    }
    Ok(Page { body, format, fallback })
}

fn headers(job: &Job, timeout: Duration) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(ACCEPT, HeaderValue::from_static(accept(job.scrape_native_histograms)));
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static(if job.enable_compression { "gzip" } else { "identity" }));
    headers.insert(USER_AGENT, HeaderValue::from_static(concat!("watchfire/", env!("CARGO_PKG_VERSION"))));
    if let Ok(seconds) = HeaderValue::try_from(timeout.as_secs_f64().to_string()) {
        headers.insert(HeaderName::from_static("x-prometheus-scrape-timeout-seconds"), seconds);
    }
    headers
}

/// Headers that grant access. Files are read every time, so that rotated tokens work.
async fn credentials(job: &Job) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    for (name, value) in &job.http_headers {
        let name = HeaderName::try_from(name.as_str()).map_err(|e| format!("http_headers: {e}"))?;
        let mut value = HeaderValue::try_from(value.expose()).map_err(|_| format!("http_headers: the value of {name} cannot be sent"))?;
        value.set_sensitive(true);
        headers.insert(name, value);
    }
    if let Some(basic) = &job.basic_auth {
        let user = match &basic.username_file {
            Some(path) => read_secret(path).await?,
            None => basic.username.clone(),
        };
        let password = either(basic.password.as_ref(), basic.password_file.as_deref()).await?;
        headers.insert(AUTHORIZATION, basic_authorization(&user, &password));
    } else if let Some(authorization) = &job.authorization {
        let secret = either(authorization.credentials.as_ref(), authorization.credentials_file.as_deref()).await?;
        headers.insert(AUTHORIZATION, secret_header(&format!("{} {secret}", authorization.kind))?);
    } else if job.bearer_token.is_some() || job.bearer_token_file.is_some() {
        let secret = either(job.bearer_token.as_ref(), job.bearer_token_file.as_deref()).await?;
        headers.insert(AUTHORIZATION, secret_header(&format!("Bearer {secret}"))?);
    }
    Ok(headers)
}

fn secret_header(text: &str) -> Result<HeaderValue, String> {
    let mut value = HeaderValue::try_from(text).map_err(|_| "the credentials cannot be sent as a header".to_owned())?;
    value.set_sensitive(true);
    Ok(value)
}

async fn either(secret: Option<&Secret>, file: Option<&Path>) -> Result<String, String> {
    match (secret, file) {
        (_, Some(path)) => read_secret(path).await,
        (Some(secret), None) => Ok(secret.expose().to_owned()),
        (None, None) => Ok(String::new()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use watchfire_fetch::{Redirects, Resolver, TlsSettings};

    /// Answers every request with a page of this many bytes.
    async fn serve(bytes: usize) -> reqwest::Url {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/metrics", listener.local_addr().unwrap());
        tokio::spawn(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                let mut request = [0; 4096];
                let _ = socket.read(&mut request).await;
                let head = format!("HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\nconnection: close\r\ncontent-length: {bytes}\r\n\r\n");
                let _ = socket.write_all(&[head.into_bytes(), vec![b'\n'; bytes]].concat()).await;
            }
        });
        url.parse().unwrap()
    }

    async fn ask(url: &reqwest::Url, job: &Job, budget: &BodyBudget) -> Result<Page, ScrapeError> {
        let fetcher = Fetcher::new(Resolver::new(), &TlsSettings::default(), Redirects { limit: 0, anywhere: false }).unwrap();
        fetch(&fetcher, job, url, Duration::from_secs(10), 0, budget).await
    }

    #[tokio::test]
    async fn all_bodies_together_stay_within_one_budget() {
        let (url, job, budget) = (serve(1 << 20).await, Job::default(), BodyBudget::new(1 << 20));
        let first = ask(&url, &job, &budget).await.unwrap();
        assert_eq!(first.body.len(), 1 << 20);
        assert!(matches!(ask(&url, &job, &budget).await, Err(ScrapeError::InFlight)), "the first is still held");
        drop(first);
        assert!(ask(&url, &job, &budget).await.is_ok());
        let small = serve(1000).await;
        assert!(ask(&small, &job, &BodyBudget::new(0)).await.is_ok(), "small bodies draw on no budget");
    }

    #[tokio::test]
    async fn room_for_bodies_is_used_again_and_little_of_it_is_kept() {
        let (url, job, budget) = (serve(200_000).await, Job::default(), BodyBudget::new(16 << 20));
        let mut pages = Vec::new();
        for _ in 0..2 * SPARES {
            pages.push(ask(&url, &job, &budget).await.unwrap());
        }
        pages.clear();
        assert_eq!(budget.spare.lock().len(), SPARES);
        let room = budget.spare.lock().last().map(|bytes| bytes.as_ptr());
        let again = budget.begin(200_000);
        assert_eq!((Some(again.bytes.as_ptr()), again.len()), (room, 0));
        assert_eq!(budget.spare.lock().len(), SPARES - 1);
        for bytes in [1000, 5 << 20] {
            let budget = BodyBudget::new(16 << 20);
            drop(ask(&serve(bytes).await, &job, &budget).await.unwrap());
            assert_eq!(budget.spare.lock().len(), 0, "{bytes}");
        }
    }

    #[tokio::test]
    async fn credentials_are_read_from_files_at_every_scrape() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        let job = Job { bearer_token_file: Some(path.clone()), ..Job::default() };
        assert!(credentials(&job).await.unwrap_err().contains("token"));
        for token in ["first", "second"] {
            std::fs::write(&path, format!("{token}\n")).unwrap();
            assert_eq!(credentials(&job).await.unwrap()[AUTHORIZATION], format!("Bearer {token}"));
        }
        std::fs::write(&path, "two\nlines").unwrap();
        assert!(credentials(&job).await.is_err());
    }
}
