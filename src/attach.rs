//! Readings of another watchfire, over its HTTP API: through the socket of the same user, or over HTTP(S) with a token.

use crate::door;
use crate::wire;
use anyhow::{Context as _, ensure};
use parking_lot::{Mutex, RwLock};
use reqwest::StatusCode;
use reqwest::header::{self, HeaderValue};
use std::borrow::Cow;
use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use watchfire_config::tls_refusal;
use watchfire_fetch::{TlsSettings, client_config};
use watchfire_model::reading::{Command, CommandSink, ReadError, Reading, Request, Source, Status};
use watchfire_model::{Timestamp, causes, without_secrets};

/// A [`Source`] over `http://host:port`, `https://host:port` or `unix:/path`. Blocking calls: used from reader threads, never from the event loop.
pub struct RemoteSource {
    credentials: Credentials,
    line: RwLock<Arc<Line>>,
    /// Where the doors of this user are, when nobody named one of them: a restart opens another.
    doors: Option<PathBuf>,
    runtime: tokio::runtime::Handle,
    /// The newest status, and since when the other side has been gone: what is on screen freezes instead of vanishing.
    last: LastStatus,
    /// The newest large answers: one that has not changed is not sent again.
    held: Mutex<VecDeque<Held>>,
}

/// Who is asked.
struct Line {
    address: String,
    /// What requests are addressed to.
    base: String,
    /// How people know it.
    name: String,
    client: reqwest::Client,
}

/// An answer, and what the other side calls it.
struct Held {
    /// Path and query of the question.
    asked: String,
    tag: HeaderValue,
    reading: Reading,
}

/// What came back, if it is not what was `Held`.
struct Answer {
    body: Option<Vec<u8>>,
    tag: Option<HeaderValue>,
}

/// What a caller shows and what it accepts; neither is needed on the socket of the same user.
#[derive(Clone, Debug, Default)]
struct Credentials {
    /// Sent with every request.
    token: Option<String>,
    /// Certificates (PEM) that the other side's must come from, instead of the system's.
    ca: Option<PathBuf>,
}

impl Credentials {
    /// `WATCHFIRE_TOKEN` and `WATCHFIRE_CA`: an argument would be seen by every user of the machine.
    fn of_environment() -> Self {
        Credentials { token: std::env::var("WATCHFIRE_TOKEN").ok(), ca: std::env::var_os("WATCHFIRE_CA").map(PathBuf::from) }
    }
}

/// Silent for longer than this and the screen should say that the other side is gone. An answer that trickles in is slow, not gone.
const TIMEOUT: Duration = Duration::from_secs(5);
/// But nobody waits longer than this for one.
const WHOLE_ANSWER: Duration = Duration::from_secs(60);
/// No reading is larger; what is belongs to somebody else's protocol.
const MAX_ANSWER: usize = 256 << 20;
/// Answers that are worth holding: whatever is smaller is soon sent again.
const WORTH_HOLDING: usize = 64 << 10;
/// Answers held at the same time: a screen asks for a few things.
const MOST_HELD: usize = 4;

impl RemoteSource {
    /// The instance at an address, with what the environment says about it.
    ///
    /// # Errors
    /// When the address is none, or the certificates cannot be read.
    pub fn of_environment(address: &str, runtime: &tokio::runtime::Runtime) -> anyhow::Result<Self> {
        let credentials = Credentials::of_environment();
        Ok(RemoteSource {
            line: RwLock::new(Arc::new(Line::to(address, &credentials)?)),
            credentials,
            doors: None,
            runtime: runtime.handle().clone(),
            last: LastStatus::default(),
            held: Mutex::default(),
        })
    }

    /// Whoever this user starts in place of an instance that ended is asked from then on.
    #[must_use]
    pub fn through_doors_in(self, directory: PathBuf) -> Self {
        RemoteSource { doors: Some(directory), ..self }
    }

    fn line(&self) -> Arc<Line> {
        self.line.read().clone()
    }

    /// Turns to the only instance that this user runs now, if it is another one than before.
    fn turn_to_another(&self) -> bool {
        let Some(directory) = &self.doors else { return false };
        let [door] = &door::open_doors(directory)[..] else { return false };
        let address = format!("unix:{}", door.display());
        if address == self.line().address {
            return false;
        }
        let Ok(line) = Line::to(&address, &self.credentials) else { return false };
        *self.line.write() = Arc::new(line);
        self.held.lock().clear();
        true
    }
}

impl Line {
    fn to(address: &str, credentials: &Credentials) -> anyhow::Result<Self> {
        let address = &*whole(address);
        let client = reqwest::Client::builder()
            .connect_timeout(TIMEOUT)
            .read_timeout(TIMEOUT)
            .timeout(WHOLE_ANSWER)
            .redirect(reqwest::redirect::Policy::none());
        let (client, base, name) = match address.strip_prefix("unix:") {
            Some(path) => {
                let path = Path::new(path.strip_prefix("//").unwrap_or(path));
                ensure!(path.is_absolute(), "{address:?}: write unix:/path/to/socket");
                let name = door::process_of(path).map_or_else(|| path.display().to_string(), |pid| format!("pid {pid}"));
                (client.unix_socket(path), "http://localhost".to_owned(), name)
            }
            None => {
                let base = address.trim_end_matches('/').to_owned();
                let url = reqwest::Url::parse(&base).map_err(|e| anyhow::anyhow!("{base:?} is not a URL: {e}; use http://host:port"))?;
                let schemes = "use http://host:port, https://host:port or unix:/path";
                ensure!(matches!(url.scheme(), "http" | "https"), "{base:?}: {schemes}");
                // A password in it is for the other side, not for everybody who looks at the header.
                let name = without_secrets(&base).into_owned();
                (client, base, name)
            }
        };
        let tls = client_config(&TlsSettings { ca_file: credentials.ca.clone(), ..TlsSettings::default() }).context("WATCHFIRE_CA")?;
        Ok(Line { address: address.to_owned(), base, name, client: client.tls_backend_preconfigured(tls).build()? })
    }
}

impl RemoteSource {
    /// How people know it: a URL, or the process behind a socket.
    pub fn name(&self) -> String {
        self.line().name.clone()
    }

    fn send(&self, request: reqwest::RequestBuilder) -> Result<Answer, ReadError> {
        let request = match &self.credentials.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        };
        self.runtime.block_on(async {
            // Who took the connection and does not answer in time has too much to do, and is not gone.
            let gone = |e: reqwest::Error| match e.is_timeout() && !e.is_connect() {
                true => ReadError::Timeout,
                false => no_answer(&e),
            };
            let mut response = request.send().await.map_err(gone)?;
            let status = response.status();
            let tag = response.headers().get(header::ETAG).cloned();
            if status == StatusCode::NOT_MODIFIED {
                return Ok(Answer { body: None, tag });
            }
            let mut body = Vec::new();
            while let Some(chunk) = response.chunk().await.map_err(gone)? {
                if body.len() + chunk.len() > MAX_ANSWER {
                    return Err(ReadError::TooHeavy(format!("answer exceeds {} MiB", MAX_ANSWER >> 20)));
                }
                body.extend_from_slice(&chunk);
            }
            if status.is_success() {
                return Ok(Answer { body: Some(body), tag });
            }
            Err(refusal(&self.name(), status, self.credentials.token.is_some(), &body))
        })
    }

    /// An error with what to do about it: who answers and is not understood is running.
    pub fn advise(&self, error: ReadError) -> anyhow::Error {
        match error {
            ReadError::Disconnected(why) => {
                // Some servers hang up on who speaks plainly to them.
                let plainly = why.starts_with("connection closed") && self.line().base.starts_with("http://");
                let or = if plainly { ", or if it speaks TLS write https://" } else { "" };
                anyhow::anyhow!(
                    "{why}\nis watchfire running at {}? start one with `watchfire run --headless`, or name another{or}",
                    self.name()
                )
            }
            // Every watchfire knows how it is.
            ReadError::NotFound(why) => match self.other_program() {
                Some(Program { name, ours: true }) => anyhow::anyhow!("{why}, says {name}"),
                Some(Program { name, ours: false }) => anyhow::anyhow!("no watchfire answers there: {name}\n{LISTENS}"),
                None => anyhow::anyhow!("no watchfire answers there: {why}\n{LISTENS}"),
            },
            other => other.into(),
        }
    }

    /// Any path of the API, as it answers.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub fn get(&self, path_and_query: &str) -> Result<Vec<u8>, ReadError> {
        Ok(self.fetch(path_and_query, None)?.body.unwrap_or_default())
    }

    fn fetch(&self, path_and_query: &str, known: Option<HeaderValue>) -> Result<Answer, ReadError> {
        let line = self.line();
        let mut request = line.client.get(format!("{}{path_and_query}", line.base));
        if let Some(known) = known {
            request = request.header(header::IF_NONE_MATCH, known);
        }
        self.send(request)
    }
}

/// Where to look for it instead.
const LISTENS: &str = "its API listens at port 9499 unless it was told otherwise";

/// What says of itself what it is.
struct Program {
    name: String,
    ours: bool,
}

/// An address as it may be left short: `host:port`, or the path of a socket.
fn whole(address: &str) -> Cow<'_, str> {
    let port = address.rsplit_once(':').map(|(_, port)| port.trim_end_matches('/'));
    if address.starts_with('/') {
        return Cow::Owned(format!("unix:{address}"));
    }
    match port {
        Some(port) if !address.contains("://") && !address.starts_with("unix:") && port.parse::<u16>().is_ok() => {
            Cow::Owned(format!("http://{address}"))
        }
        _ => Cow::Borrowed(address),
    }
}

/// Why a request brought no answer. Who refuses to speak, or speaks something else, is there: that is for the caller to mend.
fn no_answer(error: &reqwest::Error) -> ReadError {
    if let Some(refused) = causes(error).find_map(|cause| cause.downcast_ref::<rustls::Error>()) {
        return ReadError::BadRequest(format!("TLS: {}", tls_refusal(refused, "WATCHFIRE_CA")));
    }
    let why = causes(error).last().map(ToString::to_string).unwrap_or_default();
    // The client's words for the first bytes that a TLS server answers plain HTTP with, and for a greeting, which comes before the question or after.
    if ["received unexpected message", "invalid HTTP"].iter().any(|words| why.starts_with(words)) {
        return ReadError::BadRequest(format!("what listens there does not speak HTTP; write https:// if it speaks TLS\n{LISTENS}"));
    }
    ReadError::Disconnected(why)
}

impl Source for RemoteSource {
    fn read(&self, request: &Request, at: Option<Timestamp>) -> Result<Reading, ReadError> {
        let mut answer = self.ask(request, at);
        if matches!(answer, Err(ReadError::Disconnected(_))) && self.turn_to_another() {
            answer = self.ask(request, at);
        }
        if *request == Request::Status && at.is_none() { self.last.or_frozen(answer) } else { answer }
    }
}

/// The last header of another side. When that does not answer, the screen is frozen at it.
#[derive(Default)]
pub struct LastStatus(Mutex<Option<Status>>);

impl LastStatus {
    /// What was answered to the question for the status of now, or the status before with since when there is none.
    ///
    /// # Errors
    /// As the answer, where there was no status before or the other side is there.
    pub fn or_frozen(&self, answer: Result<Reading, ReadError>) -> Result<Reading, ReadError> {
        let mut last = self.0.lock();
        match answer {
            Ok(Reading::Status(status)) => {
                *last = Some(status.clone());
                Ok(Reading::Status(status))
            }
            // Even this small question is not answered in time.
            Err(error @ (ReadError::Disconnected(_) | ReadError::Timeout)) => match last.as_mut() {
                Some(status) => {
                    let frozen_at = status.now;
                    status.disconnected_since.get_or_insert(frozen_at);
                    Ok(Reading::Status(status.clone()))
                }
                None => Err(error),
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
        let asked = format!("{}{path}?{query}", wire::PREFIX);
        let known = self.held.lock().iter().find(|h| h.asked == asked).map(|h| (h.tag.clone(), h.reading.clone()));
        let answer = self.fetch(&asked, known.as_ref().map(|(tag, _)| tag.clone()))?;
        let (Some(body), tag) = (answer.body, answer.tag) else {
            return known.map(|(_, reading)| reading).ok_or_else(|| self.mismatch("an answer without a body"));
        };
        let mut reading = wire::from_json(request, &body).map_err(|e| self.mismatch(&e.to_string()))?;
        if let Reading::Status(status) = &mut reading {
            status.source = Some(self.name());
        }
        let mut held = self.held.lock();
        held.retain(|h| h.asked != asked);
        if let Some(tag) = tag.filter(|_| body.len() >= WORTH_HOLDING) {
            held.truncate(MOST_HELD - 1);
            held.push_front(Held { asked, tag, reading: reading.clone() });
        }
        Ok(reading)
    }
}

impl RemoteSource {
    /// An answer that cannot be read comes from another version; both are named.
    fn mismatch(&self, why: &str) -> ReadError {
        let (name, here) = (self.name(), env!("CARGO_PKG_VERSION"));
        ReadError::BadRequest(match self.other_program() {
            Some(Program { name: there, ours: true }) => format!(
                "{name} does not speak this version of watchfire: there {there}, here {here}; attach with the watchfire it was started from: {why}"
            ),
            Some(Program { name: there, ours: false }) => format!("no watchfire answers there: {there}; {LISTENS}"),
            None => format!("no watchfire answers there: {why}; {LISTENS}"),
        })
    }

    /// What a Prometheus, or what answers like it, calls itself.
    pub fn prometheus(&self) -> Option<String> {
        let program = self.other_program().filter(|program| !program.ours)?;
        Some(program.name.split(',').next().unwrap_or_default().to_owned())
    }

    /// What the other side says that it is.
    fn other_program(&self) -> Option<Program> {
        let body = self.get("/api/v1/status/buildinfo").ok()?;
        let json: serde_json::Value = serde_json::from_slice(&body).ok()?;
        let data = &json["data"];
        // Of watchfire the version is that of the query language.
        let application = data["application"].as_str().map(|name| Program { name: name.to_owned(), ours: name.starts_with("watchfire") });
        let version = || Some(format!("Prometheus {}, or something that answers like it", data["version"].as_str()?));
        application.or_else(|| version().map(|name| Program { name, ours: false }))
    }
}

impl CommandSink for RemoteSource {
    fn execute(&self, command: &Command) -> Result<String, ReadError> {
        let path = match command {
            Command::Silence(_) | Command::ExpireSilence { .. } => "silences",
            Command::Acknowledge { .. } => "acknowledgements",
            Command::PinTrace { .. } | Command::ReloadRules => "commands",
        };
        let line = self.line();
        let answer = self.send(line.client.post(format!("{}{}{path}", line.base, wire::PREFIX)).json(command))?;
        Ok(said(&answer.body.unwrap_or_default()))
    }
}

/// Why another instance does not answer a question, in words that say what to do.
fn refusal(name: &str, status: StatusCode, with_token: bool, body: &[u8]) -> ReadError {
    if status == StatusCode::UNAUTHORIZED {
        let what = if with_token { "refuses the token" } else { "wants a token" };
        return ReadError::BadRequest(format!("{name} {what}: set WATCHFIRE_TOKEN to its security.token and attach again"));
    }
    let message = serde_json::from_slice::<serde_json::Value>(body)
        .ok()
        .and_then(|json| json["error"].as_str().map(str::to_owned))
        .unwrap_or_else(|| format!("{name} answered {status}"));
    match status.as_u16() {
        403 => ReadError::BadRequest(format!("{name} refuses this caller: {message}")),
        404 => ReadError::NotFound(message),
        300..=399 => ReadError::BadRequest(format!("{message}, which sends callers elsewhere: name the address of watchfire itself")),
        422 => ReadError::TooHeavy(message),
        500 => ReadError::Failed(message),
        503 => ReadError::Timeout,
        _ => ReadError::BadRequest(message),
    }
}

/// The sentence in an answer to a command; the rest of it is for scripts.
fn said(body: &[u8]) -> String {
    let message = serde_json::from_slice::<serde_json::Value>(body).ok().and_then(|json| json["message"].as_str().map(str::to_owned));
    message.unwrap_or_else(|| String::from_utf8_lossy(body).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_to_a_command_is_a_sentence() {
        assert_eq!(said(br#"{"message":"acknowledged by ana: 857a","silenceID":"857a","status":"success"}"#), "acknowledged by ana: 857a");
        assert_eq!(said(b"done"), "done");
    }

    #[test]
    fn a_refused_caller_reads_who_refuses_why_and_what_to_do() {
        let said = |status, with_token, body: &[u8]| refusal("http://ops:9499", status, with_token, body).to_string();
        let refused = said(
            StatusCode::FORBIDDEN,
            false,
            br#"{"status":"error","error":"this host is not allowed; add it to security.allowed_hosts"}"#,
        );
        assert!(refused.contains("http://ops:9499 refuses this caller: this host is not allowed; add it to"), "{refused}");
        assert!(
            said(StatusCode::FORBIDDEN, false, b"<html>no</html>").contains("refuses this caller: http://ops:9499 answered 403 Forbidden")
        );
        for (with_token, what) in [(true, "refuses the token"), (false, "wants a token")] {
            let refused = said(StatusCode::UNAUTHORIZED, with_token, b"");
            assert!(
                refused.contains(&format!("http://ops:9499 {what}: set WATCHFIRE_TOKEN to its security.token and attach again")),
                "{refused}"
            );
        }
        assert_eq!(refusal("x", StatusCode::SERVICE_UNAVAILABLE, false, b""), ReadError::Timeout);
    }
}
