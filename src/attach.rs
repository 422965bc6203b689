//! Readings of another watchfire, over its HTTP API.

use crate::wire;
use parking_lot::Mutex;
use std::time::Duration;
use watchfire_model::Timestamp;
use watchfire_model::reading::{Command, CommandSink, ReadError, Reading, Request, Source, Status};

/// A [`Source`] over `http://host:port`. Blocking calls: used from reader threads, never from the event loop.
pub struct RemoteSource {
    base: String,
    token: Option<String>,
    client: reqwest::Client,
    runtime: tokio::runtime::Handle,
    /// The newest status, and since when the other side has been gone: what is on screen freezes instead of vanishing.
    last: Mutex<Option<Status>>,
}

/// Longer than this and the screen should say that the other side is gone.
const TIMEOUT: Duration = Duration::from_secs(5);
/// No reading is larger; what is belongs to somebody else's protocol.
const MAX_ANSWER: usize = 64 << 20;

impl RemoteSource {
    /// # Errors
    /// When the URL is not http or https.
    pub fn new(url: &str, token: Option<String>, runtime: tokio::runtime::Handle) -> anyhow::Result<Self> {
        let base = url.trim_end_matches('/').to_owned();
        let url = reqwest::Url::parse(&base).map_err(|e| anyhow::anyhow!("{base:?} is not a URL: {e}; use http://host:port"))?;
        anyhow::ensure!(matches!(url.scheme(), "http" | "https"), "{base:?}: use http://host:port or https://host:port");
        let client = reqwest::Client::builder().timeout(TIMEOUT).redirect(reqwest::redirect::Policy::none()).build()?;
        Ok(RemoteSource { base, token, client, runtime, last: Mutex::new(None) })
    }

    pub fn url(&self) -> &str {
        &self.base
    }

    fn send(&self, request: reqwest::RequestBuilder) -> Result<Vec<u8>, ReadError> {
        let request = match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        };
        self.runtime.block_on(async {
            let gone = |e: reqwest::Error| ReadError::Disconnected(root_cause(&e));
            let mut response = request.send().await.map_err(gone)?;
            let status = response.status();
            let mut body = Vec::new();
            while let Some(chunk) = response.chunk().await.map_err(gone)? {
                if body.len() + chunk.len() > MAX_ANSWER {
                    return Err(ReadError::TooHeavy(format!("answer exceeds {} MiB", MAX_ANSWER >> 20)));
                }
                body.extend_from_slice(&chunk);
            }
            if status.is_success() {
                return Ok(body);
            }
            let message = serde_json::from_slice::<serde_json::Value>(&body)
                .ok()
                .and_then(|json| json["error"].as_str().map(str::to_owned))
                .unwrap_or_else(|| format!("{} answered {status}", self.base));
            Err(match status.as_u16() {
                404 => ReadError::NotFound(message),
                422 => ReadError::TooHeavy(message),
                503 => ReadError::Timeout,
                _ => ReadError::BadRequest(message),
            })
        })
    }

    /// Any path of the API, as it answers.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub fn get(&self, path_and_query: &str) -> Result<Vec<u8>, ReadError> {
        self.send(self.client.get(format!("{}{path_and_query}", self.base)))
    }
}

fn root_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}

impl Source for RemoteSource {
    fn read(&self, request: &Request, at: Option<Timestamp>) -> Result<Reading, ReadError> {
        let answer = self.ask(request, at);
        if *request != Request::Status || at.is_some() {
            return answer;
        }
        let mut last = self.last.lock();
        match answer {
            Ok(Reading::Status(status)) => {
                *last = Some(status.clone());
                Ok(Reading::Status(status))
            }
            Err(ReadError::Disconnected(why)) => match last.as_mut() {
                Some(status) => {
                    let frozen_at = status.now;
                    status.disconnected_since.get_or_insert(frozen_at);
                    Ok(Reading::Status(status.clone()))
                }
                None => Err(ReadError::Disconnected(why)),
            },
            other => other,
        }
    }
}

impl RemoteSource {
    fn ask(&self, request: &Request, at: Option<Timestamp>) -> Result<Reading, ReadError> {
        let (path, mut pairs) = wire::to_path(request);
        if let Some(at) = at {
            pairs.push(("at", at.to_string()));
        }
        let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(&pairs).finish();
        let body = self.get(&format!("{}{path}?{query}", wire::PREFIX))?;
        let mut reading = wire::from_json(request, &body)
            .map_err(|e| ReadError::BadRequest(format!("{} does not speak this version of watchfire: {e}", self.base)))?;
        if let Reading::Status(status) = &mut reading {
            status.source = Some(self.base.clone());
        }
        Ok(reading)
    }
}

impl CommandSink for RemoteSource {
    fn execute(&self, command: &Command) -> Result<String, ReadError> {
        let path = match command {
            Command::Silence(_) | Command::ExpireSilence { .. } => "silences",
            Command::Acknowledge { .. } => "acknowledgements",
            Command::PinTrace { .. } | Command::ReloadRules => "commands",
        };
        let body = self.send(self.client.post(format!("{}{}{path}", self.base, wire::PREFIX)).json(command))?;
        Ok(String::from_utf8_lossy(&body).into_owned())
    }
}
