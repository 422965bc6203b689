//! One attempt of one check, over its wire.

use crate::certificate;
use crate::formats::{self, Body, Verdict};
use crate::greeting::Greeting;
use crate::grpc;
use crate::judgement::{Outcome, judge};
use crate::settings::{CheckSettings, Way};
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, USER_AGENT};
use std::borrow::Cow;
use std::fmt::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::Instant;
use watchfire_fetch::{FetchError, Fetcher, Order, Redirects, Resolver, client_config, read_secret};
use watchfire_model::{DependencyReport, Timestamp};

/// What one attempt found.
pub(crate) struct Finding {
    pub(crate) outcome: Outcome,
    pub(crate) dependencies: Vec<DependencyReport>,
    pub(crate) certificate_expires: Option<Timestamp>,
    /// The name the answer gives the service.
    pub(crate) service: Option<String>,
    pub(crate) uptime_seconds: Option<f64>,
    /// How long the answer took, where that is less than the attempt.
    pub(crate) took: Option<Duration>,
}

impl From<Outcome> for Finding {
    fn from(outcome: Outcome) -> Self {
        Finding { outcome, dependencies: Vec::new(), certificate_expires: None, service: None, uptime_seconds: None, took: None }
    }
}

/// A check made ready: everything that can be wrong about its settings is settled.
pub(crate) struct Probe {
    pub(crate) settings: CheckSettings,
    pub(crate) url: reqwest::Url,
    way: Wire,
    resolver: Arc<Resolver>,
}

enum Wire {
    Http(Box<(Fetcher, Order)>),
    Tcp(Greeting),
    Grpc { tls: Option<Arc<rustls::ClientConfig>> },
}

impl Probe {
    /// # Errors
    /// When the settings are impossible, in words.
    pub(crate) fn new(settings: CheckSettings, resolver: Arc<Resolver>) -> Result<Self, String> {
        settings.validate().map_err(|e| e.to_string())?;
        let url = settings.parsed().map_err(|e| e.to_string())?;
        let way = match settings.way(&url) {
            Some(Way::Grpc { tls: false }) => Wire::Grpc { tls: None },
            Some(Way::Grpc { tls: true }) => {
                let mut tls = client_config(&settings.tls).map_err(|e| e.to_string())?;
                tls.alpn_protocols = vec![b"h2".to_vec()];
                Wire::Grpc { tls: Some(Arc::new(tls)) }
            }
            Some(Way::Tcp) => Wire::Tcp(Greeting::default()),
            Some(Way::Http) | None => {
                let redirects = Redirects { limit: settings.max_redirects, anywhere: settings.allow_local_redirects };
                let fetcher = Fetcher::new(resolver.clone(), &settings.tls, redirects).map_err(|e| e.to_string())?;
                Wire::Http(Box::new((fetcher.connecting_anew(), order(&settings, &url)?)))
            }
        };
        Ok(Probe { settings, url, way, resolver })
    }

    /// How long an attempt may take.
    pub(crate) fn limit(&self) -> Duration {
        self.settings.timeout.min(self.settings.interval)
    }

    /// Asks once, within the time-out.
    pub(crate) async fn attempt(&self) -> Finding {
        let limit = self.limit();
        let began = Instant::now();
        let asked = async {
            match &self.way {
                Wire::Http(http) => self.http(&http.0, &http.1).await,
                Wire::Tcp(greeting) => match self.host_and_port() {
                    (host, Some(port)) => match connect_tcp(&self.resolver, host, port).await {
                        Ok(stream) => {
                            let connected = began.elapsed();
                            let (outcome, greeted) = greeting.of(stream, limit / 2).await;
                            Finding { took: (!greeted).then_some(connected), ..outcome.into() }
                        }
                        Err(outcome) => outcome.into(),
                    },
                    (_, None) => Outcome::misconfigured("no port").into(),
                },
                Wire::Grpc { tls } => {
                    let (host, port) = self.host_and_port();
                    let port = port.unwrap_or(if tls.is_some() { 443 } else { 80 });
                    let service = self.url.path().trim_matches('/');
                    let (outcome, der) = grpc::check(&self.resolver, host, port, service, tls.clone(), self.settings.unknown_as).await;
                    Finding { certificate_expires: der.as_deref().and_then(certificate::not_after), ..outcome.into() }
                }
            }
        };
        match tokio::time::timeout(limit, asked).await {
            Ok(finding) => finding,
            Err(_) => Outcome::unhealthy("timeout", format!("no complete answer within {limit:?}")).into(),
        }
    }

    fn host_and_port(&self) -> (&str, Option<u16>) {
        (self.url.host_str().unwrap_or_default(), self.url.port())
    }

    async fn http(&self, fetcher: &Fetcher, order: &Order) -> Finding {
        let mut order = Cow::Borrowed(order);
        if let Some(path) = &self.settings.bearer_token_file {
            match bearer(path).await {
                Ok(value) => order.to_mut().credentials.insert(AUTHORIZATION, value),
                Err(why) => return Outcome::misconfigured(why).into(),
            };
        }
        let answer = match fetcher.send(&order).await {
            Ok(answer) => answer,
            Err(e @ (FetchError::Redirect(_) | FetchError::Protocol)) => return Outcome::misconfigured(e).into(),
            Err(e) => return Outcome::unhealthy(e.reason(), e.to_string()).into(),
        };
        let status = answer.status().as_u16();
        let content_type = answer.header(CONTENT_TYPE).unwrap_or_default().to_owned();
        let certificate_expires = answer.certificate().and_then(certificate::not_after);
        let body = match answer.read(self.settings.body_limit).await {
            Ok(body) => body,
            Err(e) => {
                let outcome = Outcome::unhealthy(e.reason(), format!("HTTP {status}, but the body broke off: {e}"));
                return Finding { certificate_expires, ..outcome.into() };
            }
        };
        let text = String::from_utf8_lossy(&body.bytes);
        // A cut body cannot be believed; the status code can.
        if body.cut {
            let mut outcome = judge(status, None, &self.settings.expected_status, self.settings.unknown_as);
            let _ = write!(outcome.detail, ", the body is longer than {} bytes and was not read", self.settings.body_limit);
            return Finding { certificate_expires, ..outcome.into() };
        }
        Finding { certificate_expires, ..understand(&self.settings, status, &content_type, self.url.path(), &text) }
    }
}

/// What a complete answer says.
pub(crate) fn understand(settings: &CheckSettings, status: u16, content_type: &str, path: &str, text: &str) -> Finding {
    // Some writers begin with a byte order mark, which is no part of the text.
    let text = text.trim_start_matches('\u{feff}');
    let verdict = read(text, status, content_type, path, settings.format.name());
    let outcome = judge(status, verdict.as_ref(), &settings.expected_status, settings.unknown_as);
    let Verdict { dependencies, service, uptime_seconds, .. } = verdict.unwrap_or_default();
    Finding { outcome, dependencies, certificate_expires: None, service, uptime_seconds, took: None }
}

fn read(text: &str, status: u16, content_type: &str, path: &str, hint: Option<&str>) -> Option<Verdict> {
    let json = serde_json::from_str(text).ok();
    formats::read(&Body { status, content_type, path, text, json: json.as_ref() }, hint).map(|(_, verdict)| verdict)
}

fn order(settings: &CheckSettings, url: &reqwest::Url) -> Result<Order, String> {
    let mut headers = HeaderMap::new();
    headers.insert(ACCEPT, HeaderValue::from_static("application/health+json, application/json;q=0.9, text/plain;q=0.8, */*;q=0.5"));
    headers.insert(USER_AGENT, HeaderValue::from_static(concat!("watchfire/", env!("CARGO_PKG_VERSION"))));
    let mut credentials = HeaderMap::new();
    for (name, value) in &settings.headers {
        let name = HeaderName::try_from(name.as_str()).map_err(|e| e.to_string())?;
        let mut value = HeaderValue::try_from(value.expose()).map_err(|e| e.to_string())?;
        value.set_sensitive(true);
        credentials.insert(name, value);
    }
    let method = http::Method::try_from(settings.method.as_str()).map_err(|e| e.to_string())?;
    Ok(Order { method, url: url.clone(), headers, credentials })
}

async fn bearer(path: &Path) -> Result<HeaderValue, String> {
    let token = read_secret(path).await?;
    let mut value = HeaderValue::try_from(format!("Bearer {token}"))
        .map_err(|_| format!("the token in {} cannot be sent as a header", path.display()))?;
    value.set_sensitive(true);
    Ok(value)
}

/// Connects to the first address that answers; each has two seconds when there are several.
pub(crate) async fn connect_tcp(resolver: &Arc<Resolver>, host: &str, port: u16) -> Result<TcpStream, Outcome> {
    let addresses = resolver.lookup(host.trim_matches(['[', ']'])).await.map_err(|e| Outcome::unhealthy(e.reason(), e.to_string()))?;
    let mut last = String::new();
    for (index, address) in addresses.iter().enumerate() {
        let connecting = TcpStream::connect((*address, port));
        let result = if index + 1 == addresses.len() {
            connecting.await
        } else {
            tokio::time::timeout(Duration::from_secs(2), connecting).await.unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()))
        };
        match result {
            Ok(stream) => return Ok(stream),
            Err(e) => last = format!("cannot connect to {address}: {e}"),
        }
    }
    Err(Outcome::unhealthy("connect", last))
}
