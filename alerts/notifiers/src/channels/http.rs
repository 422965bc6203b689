//! One request, safely: no redirects, 64 KiB of answer at most, TLS verified, and errors that never show the address's secrets.

use super::connection::{Authorization, Connection};
use super::{Failure, Retry};
use chrono::DateTime;
use reqwest::header::{CONTENT_TYPE, DATE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use reqwest::{StatusCode, Url};
use std::sync::Arc;
use std::time::Duration;
use watchfire_config::{Named, tls_refusal};
use watchfire_model::{causes, harmless_limited};

/// Bytes of an answer that are read; the rest is left on the wire and the connection closed.
const ANSWER_BYTES: usize = 64 << 10;
/// Characters of an answer that are quoted in an error.
const QUOTED: usize = 100;
/// No receiver may ask for more patience than this.
const LONGEST_WAIT: Duration = Duration::from_secs(3600);

/// An HTTP client for one channel.
#[derive(Clone, Debug)]
pub struct Http {
    client: reqwest::Client,
    headers: HeaderMap,
    authorization: Arc<Authorization>,
}

/// What a server answered, as far as it is read.
pub struct Answer {
    pub status: StatusCode,
    after: Option<Duration>,
    location: Option<String>,
    body: Vec<u8>,
}

impl Answer {
    /// The beginning of the body.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

impl Http {
    /// # Errors
    /// When the TLS settings are refused.
    pub fn new(timeout: Duration, trusted: Arc<Named>, connection: &Connection) -> Result<Self, String> {
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(connection.tls.client(trusted)?)
            .redirect(reqwest::redirect::Policy::none())
            .timeout(timeout)
            .connect_timeout(timeout)
            .pool_idle_timeout(Duration::from_secs(60))
            .user_agent(concat!("watchfire/", env!("CARGO_PKG_VERSION")));
        let client = connection.proxy.apply(client)?.build().map_err(|e| format!("HTTP client: {e}"))?;
        let headers = connection.headers.iter().map(|(name, value)| header(name, value)).collect::<Result<_, _>>()?;
        Ok(Http { client, headers, authorization: Arc::new(Authorization::of(connection)?) })
    }

    /// Posts and takes any 2xx for success.
    ///
    /// # Errors
    /// 408, 429, 5xx and everything below HTTP may pass; other answers will not change.
    pub async fn post(&self, url: &Url, headers: HeaderMap, content_type: &'static str, body: Vec<u8>) -> Result<Answer, Failure> {
        self.judged(url, headers, self.client.post(url.clone()).header(CONTENT_TYPE, content_type).body(body)).await
    }

    /// As [`post`](Self::post), for those who take everything in the address.
    ///
    /// # Errors
    /// As there.
    pub async fn get(&self, url: &Url, headers: HeaderMap) -> Result<Answer, Failure> {
        self.judged(url, headers, self.client.get(url.clone())).await
    }

    async fn judged(&self, url: &Url, own: HeaderMap, request: reqwest::RequestBuilder) -> Result<Answer, Failure> {
        let mut headers = self.headers.clone();
        self.authorization.add(&mut headers)?;
        if let Authorization::Tokens(tokens) = &*self.authorization {
            tokens.add(&self.client, &mut headers).await?;
        }
        // What the channel says itself goes before what holds for all its requests.
        headers.extend(own);
        let answer = answer(url, request.headers(headers)).await?;
        match (&*self.authorization, answer.status) {
            (Authorization::Tokens(tokens), StatusCode::UNAUTHORIZED) => {
                tokens.forget().await;
                Err(Failure::retry(format!("{} refused the token; it is asked for anew", place(url))))
            }
            _ => judge(url, answer),
        }
    }
}

/// Sends, and reads of the answer what is of use.
pub async fn answer(url: &Url, request: reqwest::RequestBuilder) -> Result<Answer, Failure> {
    let mut response = request.send().await.map_err(|e| Failure::retry(transport(url, e)))?;
    let status = response.status();
    let header = |name| response.headers().get(name).and_then(|v: &HeaderValue| v.to_str().ok());
    let after = header(RETRY_AFTER).and_then(|text| retry_after(text, header(DATE)));
    let location = response.headers().get("location").and_then(|l| l.to_str().ok()).map(str::to_owned);
    let mut body = Vec::new();
    while body.len() < ANSWER_BYTES {
        match response.chunk().await {
            Ok(Some(chunk)) => body.extend_from_slice(&chunk[..chunk.len().min(ANSWER_BYTES - body.len())]),
            // The status is the answer; the body is only quoted. Who has said 200 and nothing more has been told.
            Ok(None) | Err(_) => break,
        }
    }
    Ok(Answer { status, after, location, body })
}

fn judge(url: &Url, answer: Answer) -> Result<Answer, Failure> {
    if answer.status.is_success() {
        return Ok(answer);
    }
    let Answer { status, after, location, body } = answer;
    let host = place(url);
    if status.is_redirection() {
        let target = location.and_then(|l| url.join(&l).ok()).map(|u| place(&u)).unwrap_or_else(|| "nowhere".to_owned());
        return Err(Failure::Refused(format!("{host} redirects to {target}; redirects are not followed, configure the final address")));
    }
    let text = String::from_utf8_lossy(&body);
    let quoted = harmless_limited(text.trim(), QUOTED);
    let reason = if quoted.is_empty() { format!("{host} answered {status}") } else { format!("{host} answered {status}: {quoted}") };
    match status {
        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => Err(Failure::Retry(Retry { reason, after })),
        s if s.is_server_error() => Err(Failure::Retry(Retry { reason, after })),
        _ => Err(Failure::Refused(reason)),
    }
}

/// Host and port: the path of a webhook is often its password.
pub fn place(url: &Url) -> String {
    let host = url.host_str().unwrap_or("?");
    let shown = url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
    harmless_limited(&shown, QUOTED).into_owned()
}

fn transport(url: &Url, error: reqwest::Error) -> String {
    let kind = if error.is_timeout() {
        "timed out"
    } else if error.is_connect() {
        "cannot connect"
    } else {
        "failed"
    };
    let error = error.without_url();
    let told = |deepest: &(dyn std::error::Error + 'static)| match deepest.downcast_ref() {
        Some(tls) => tls_refusal(tls, "ca_file"),
        None => deepest.to_string(),
    };
    let reason = causes(&error).last().map(told).unwrap_or_default();
    format!("{} {kind}: {}", place(url), harmless_limited(&reason, QUOTED))
}

/// `Retry-After` as seconds, or as a date by the clock of whoever sent it: without their `Date` it says nothing here.
fn retry_after(text: &str, date: Option<&str>) -> Option<Duration> {
    let text = text.trim();
    let wait = match text.parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let at = |text: &str| DateTime::parse_from_rfc2822(text.trim()).ok();
            (at(text)? - at(date?)?).to_std().unwrap_or_default()
        }
    };
    Some(wait.min(LONGEST_WAIT))
}

/// An address from configuration.
///
/// # Errors
/// When it is not an http or https URL; the text does not show it.
pub fn url(what: &str, text: &str) -> Result<Url, String> {
    let url = Url::parse(text.trim()).map_err(|e| format!("{what} is not a URL: {e}"))?;
    match url.scheme() {
        "http" | "https" if url.has_host() => Ok(url),
        other => Err(format!("{what}: scheme {other:?} is not supported; use http or https")),
    }
}

/// A header from configuration.
///
/// # Errors
/// When the name or the value holds characters that would end the header, such as line breaks.
pub fn header(name: &str, value: &str) -> Result<(HeaderName, HeaderValue), String> {
    let shown = harmless_limited(name, 40).into_owned();
    let name =
        HeaderName::from_bytes(name.as_bytes()).map_err(|_| format!("header name {shown:?} holds characters that are not allowed"))?;
    let mut value = HeaderValue::from_str(value).map_err(|_| format!("the value of header {shown:?} holds control characters"))?;
    value.set_sensitive(true);
    Ok((name, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_sorted_into_those_that_may_pass_and_those_that_will_not() {
        let url = Url::parse("https://hooks.example/services/SECRET").unwrap();
        let judged = |status: u16| {
            let status = StatusCode::from_u16(status).unwrap();
            judge(&url, Answer { status, after: None, location: None, body: b"no\x1b[31m".to_vec() }).map(|_| ())
        };
        for status in [200, 202, 204] {
            assert_eq!(judged(status), Ok(()));
        }
        for status in [408, 429, 500, 502, 503, 504] {
            assert!(matches!(judged(status), Err(Failure::Retry(_))), "{status}");
        }
        for status in [301, 307, 400, 401, 403, 404, 410, 413, 422] {
            assert!(matches!(judged(status), Err(Failure::Refused(_))), "{status}");
        }
        let text = judged(404).unwrap_err().reason().to_owned();
        assert_eq!(text, "hooks.example answered 404 Not Found: no␛[31m");
    }

    #[test]
    fn patience_is_asked_for_in_seconds_or_by_the_clock_of_the_other_side() {
        let date = Some("Wed, 21 Oct 2015 07:28:00 GMT");
        for (text, date, seconds) in [
            ("120", None, Some(120)),
            (" 0 ", date, Some(0)),
            ("999999", date, Some(3600)),
            ("Wed, 21 Oct 2015 07:29:30 GMT", date, Some(90)),
            ("Wed, 21 Oct 2015 07:00:00 GMT", date, Some(0)),
            ("Wed, 21 Oct 2015 07:29:30 GMT", None, None),
            ("soon", date, None),
            ("-5", date, None),
        ] {
            assert_eq!(retry_after(text, date), seconds.map(Duration::from_secs), "{text} {date:?}");
        }
    }

    #[test]
    fn header_injection_from_configuration_is_an_error() {
        assert!(header("X-Team", "ops").is_ok());
        for (name, value) in [("X-Team", "a\r\nX-Evil: 1"), ("X-Team", "a\0"), ("X Team", "a"), ("X\n", "a")] {
            assert!(header(name, value).is_err(), "{name:?} {value:?}");
        }
    }
}
