//! What is probed, how and how often.

use crate::formats::FORMATS;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;
use watchfire_config::duration_text;
use watchfire_fetch::TlsSettings;
use watchfire_model::{HealthState, Secret};

/// One check. Only `url` is needed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CheckSettings {
    /// The service this check belongs to. Empty: the name the answer gives, or the address.
    pub service: String,
    /// Short name, default from the URL: `health`, `health/ready`, `tcp`, `grpc`.
    pub check: String,
    /// `http://`, `https://`, `tcp://host:port`, `grpc://host:port[/service]` or `grpcs://...`.
    pub url: String,
    /// Default 10s; checks are spread over it.
    #[serde(with = "duration_text")]
    pub interval: Duration,
    /// Default 5s, from look-up to the last byte; never more than the interval.
    #[serde(with = "duration_text")]
    pub timeout: Duration,
    /// `GET` (default) or `HEAD`, `POST`, `OPTIONS`.
    pub method: String,
    pub headers: BTreeMap<String, Secret>,
    /// Status codes that are good; empty means 200 to 299.
    pub expected_status: Vec<u16>,
    /// How to read the body; default: by what it looks like.
    pub format: FormatHint,
    /// What it means when a service says that it does not know: `unknown` (default), `degraded`, `unhealthy` or `healthy`.
    pub unknown_as: HealthState,
    /// Failures in a row before the state follows (default 2).
    pub failures_before_down: u32,
    pub tls: TlsSettings,
    /// File of a token, read at every attempt and sent as `Authorization: Bearer`.
    pub bearer_token_file: Option<PathBuf>,
    /// Redirects followed (default 3).
    pub max_redirects: usize,
    /// Let redirects lead to link-local addresses, and from other machines to this one.
    pub allow_local_redirects: bool,
    /// Bytes of a body that are read (default 64 KiB); of a longer one only the status code is believed.
    pub body_limit: usize,
}

impl Default for CheckSettings {
    fn default() -> Self {
        CheckSettings {
            service: String::new(),
            check: String::new(),
            url: String::new(),
            interval: Duration::from_secs(10),
            timeout: Duration::from_secs(5),
            method: "GET".to_owned(),
            headers: BTreeMap::new(),
            expected_status: Vec::new(),
            format: FormatHint::default(),
            unknown_as: HealthState::Unknown,
            failures_before_down: 2,
            tls: TlsSettings::default(),
            bearer_token_file: None,
            max_redirects: 3,
            allow_local_redirects: false,
            body_limit: 64 << 10,
        }
    }
}

/// `auto`, or the name of a format, kept as its place in the list of formats.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct FormatHint(Option<usize>);

impl FormatHint {
    pub fn name(&self) -> Option<&'static str> {
        self.0.map(|index| FORMATS[index].name)
    }
}

impl TryFrom<String> for FormatHint {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if text == "auto" {
            return Ok(FormatHint(None));
        }
        let names: Vec<&str> = FORMATS.iter().map(|f| f.name).collect();
        match names.iter().position(|n| *n == text) {
            Some(index) => Ok(FormatHint(Some(index))),
            None => Err(format!("unknown body format {text:?}; use auto, {}", names.join(", "))),
        }
    }
}

impl From<FormatHint> for String {
    fn from(hint: FormatHint) -> String {
        hint.name().unwrap_or("auto").to_owned()
    }
}

/// A check that cannot be run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("check {url:?}: {what}")]
pub struct CheckError {
    pub url: String,
    pub what: String,
}

/// How a target is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Http,
    Tcp,
    Grpc { tls: bool },
}

impl CheckSettings {
    /// A check of one URL, as `--probe` takes it. A fragment names the service: `http://10.0.0.7:8000/health#orders`; without one the host's
    /// name does, and where the host is an address, the name in the answer.
    ///
    /// # Errors
    /// When the text is not a URL that can be probed.
    pub fn from_url(text: &str) -> Result<CheckSettings, CheckError> {
        let written = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
        let settings = CheckSettings { url: written, ..CheckSettings::default() };
        let mut url = settings.parsed()?;
        let host = url.host_str().unwrap_or_default().to_owned();
        let named = host.parse::<std::net::IpAddr>().is_err() && !host.starts_with('[') && host != "localhost";
        let service = match url.fragment() {
            Some(name) if !name.is_empty() => name.to_owned(),
            _ if named => host.split('.').next().unwrap_or_default().to_owned(),
            _ => String::new(),
        };
        url.set_fragment(None);
        Ok(CheckSettings { service, url: url.to_string(), ..settings })
    }

    /// Finds what makes the check impossible.
    ///
    /// # Errors
    /// On the first impossible setting, naming it.
    pub fn validate(&self) -> Result<(), CheckError> {
        let fail = |what: String| Err(CheckError { url: self.url.clone(), what });
        let url = self.parsed()?;
        if self.way(&url) == Some(Way::Tcp) && url.port().is_none() {
            return fail("a tcp check needs a port".to_owned());
        }
        if self.interval < Duration::from_millis(100) {
            return fail("interval must be at least 100ms".to_owned());
        }
        if self.timeout.is_zero() {
            return fail("timeout must be above 0".to_owned());
        }
        if !matches!(self.method.as_str(), "GET" | "HEAD" | "POST" | "OPTIONS") {
            return fail(format!("method {:?}: use GET, HEAD, POST or OPTIONS", self.method));
        }
        for (name, value) in &self.headers {
            if http::HeaderName::try_from(name.as_str()).is_err() || http::HeaderValue::try_from(value.expose()).is_err() {
                return fail(format!("header {name:?} cannot be sent"));
            }
        }
        match watchfire_fetch::client_config(&self.tls) {
            Ok(_) => Ok(()),
            Err(e) => fail(format!("tls: {e}")),
        }
    }

    pub(crate) fn parsed(&self) -> Result<reqwest::Url, CheckError> {
        let fail = |what: String| CheckError { url: self.url.clone(), what };
        let url = reqwest::Url::parse(&self.url).map_err(|e| fail(format!("not a URL: {e}; write http://host:port/health")))?;
        if self.way(&url).is_none() {
            return Err(fail(format!("scheme {:?}: use http, https, tcp, grpc or grpcs", url.scheme())));
        }
        if url.host_str().is_none_or(str::is_empty) {
            return Err(fail("the URL has no host".to_owned()));
        }
        Ok(url)
    }

    pub(crate) fn way(&self, url: &reqwest::Url) -> Option<Way> {
        match url.scheme() {
            "http" | "https" => Some(Way::Http),
            "tcp" => Some(Way::Tcp),
            "grpc" => Some(Way::Grpc { tls: false }),
            "grpcs" => Some(Way::Grpc { tls: true }),
            _ => None,
        }
    }

    /// The short name of the check.
    pub(crate) fn check_name(&self, url: &reqwest::Url) -> String {
        if !self.check.is_empty() {
            return self.check.clone();
        }
        let path = url.path().trim_matches('/');
        match self.way(url) {
            Some(Way::Tcp) => "tcp".to_owned(),
            Some(Way::Grpc { .. }) if path.is_empty() => "grpc".to_owned(),
            Some(Way::Grpc { .. }) => format!("grpc/{path}"),
            _ if path.is_empty() => "http".to_owned(),
            _ => path.to_owned(),
        }
    }
}

/// `host:port` of a URL, the port only where it is written.
pub(crate) fn address(url: &reqwest::Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_a_check() {
        for (text, service, check) in [
            ("http://127.0.0.1:8000/health", "", "health"),
            ("http://orders:8000/health/ready", "orders", "health/ready"),
            ("https://shop.example.org/", "shop", "http"),
            ("http://127.0.0.1:8000/health#orders", "orders", "health"),
            ("tcp://redis:6379", "redis", "tcp"),
            ("grpc://cart:50051", "cart", "grpc"),
            ("grpcs://cart:50051/cart.v1.Cart", "cart", "grpc/cart.v1.Cart"),
            ("localhost:8080/health", "", "health"),
        ] {
            let made = CheckSettings::from_url(text).unwrap();
            assert_eq!((made.service.as_str(), made.check_name(&made.parsed().unwrap()).as_str()), (service, check), "{text}");
            assert_eq!(made.validate(), Ok(()), "{text}");
        }
        for bad in ["ftp://x", "http://", "file:///etc/passwd", "tcp://redis"] {
            assert!(CheckSettings::from_url(bad).and_then(|c| c.validate()).is_err(), "{bad}");
        }
    }

    #[test]
    fn settings_are_read_strictly() {
        let read = |text: &str| serde_json::from_str::<CheckSettings>(text);
        let made = read(r#"{"url":"http://x/health","interval":"30s","format":"spring","unknown_as":"degraded"}"#).unwrap();
        assert_eq!((made.interval, made.format.name(), made.unknown_as), (Duration::from_secs(30), Some("spring"), HealthState::Degraded));
        assert!(read(r#"{"url":"http://x","intervall":"30s"}"#).is_err());
        assert!(read(r#"{"url":"http://x","format":"xml"}"#).unwrap_err().to_string().contains("use auto, kubernetes"));
        let hasty = CheckSettings { timeout: Duration::ZERO, ..CheckSettings::from_url("http://x").unwrap() };
        assert!(hasty.validate().unwrap_err().to_string().contains("timeout"));
    }
}
