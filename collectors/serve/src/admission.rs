//! Who may speak at all: header sizes, `Host`, `Origin`, token. What passes reaches the service with a guarded body.

use crate::accept::Port;
use crate::body::{Answered, Guarded};
use crate::connection::{Activity, InFlight};
use crate::guard::{Guard, Refusal, RequestHead};
use crate::host::is_allowed_host;
use axum::body::Body;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, Version, header};
use hyper::body::Incoming;
use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;
use tower::{Service, ServiceExt};
use watchfire_model::harmless_limited;

/// Text quoted from a request is cut here.
const QUOTED: usize = 100;
const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// What a guarded port runs: an `axum::Router` or any tower service like it.
pub trait HttpService:
    Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future: Send> + Clone + Send + Sync + 'static
{
}

impl<S> HttpService for S where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future: Send> + Clone + Send + Sync + 'static
{
}

/// The door of one connection.
pub(crate) struct Admission<S> {
    port: Arc<Port<S>>,
    activity: Arc<Activity>,
    peer: Option<IpAddr>,
}

impl<S: HttpService> Admission<S> {
    pub(crate) fn new(port: Arc<Port<S>>, activity: Arc<Activity>, peer: Option<IpAddr>) -> Self {
        Admission { port, activity, peer }
    }

    pub(crate) async fn handle(&self, request: Request<Incoming>) -> Result<Response<Answered>, Infallible> {
        let in_flight = InFlight::new(&self.activity);
        let guard = &self.port.guard;
        let (head, body) = request.into_parts();
        let response = match check(&head, guard) {
            Ok(()) => {
                let body = Guarded::new(body, guard, in_flight.clone(), self.port.rejected_slow.clone());
                let request = Request::from_parts(head, Body::new(body));
                self.port.service.clone().oneshot(request).await.unwrap_or_else(|never| match never {})
            }
            Err(refusal) => {
                let (refusal, wait) = self.too_often(refusal);
                self.port.rejected(refusal.reason);
                let mut response = if is_grpc(&head.headers) { grpc_refusal(&refusal) } else { (guard.render)(&head, &refusal) };
                if refusal.status == StatusCode::UNAUTHORIZED {
                    response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
                }
                if let Some(seconds) = wait {
                    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
                }
                response
            }
        };
        Ok(response.map(|body| Answered::new(body, in_flight)))
    }
}

impl<S> Admission<S> {
    /// Makes a 429 of the wrong token that was one too many, with the seconds to wait.
    fn too_often(&self, refusal: Refusal) -> (Refusal, Option<u64>) {
        let wrong = (refusal.status == StatusCode::UNAUTHORIZED).then_some(self.peer).flatten();
        let Some(wait) = wrong.and_then(|peer| self.port.guard.attempts.wrong(peer, Instant::now())) else { return (refusal, None) };
        let seconds = wait.as_secs() + 1;
        let text = format!("too many wrong tokens from this address; try again in {seconds}s");
        (Refusal { status: StatusCode::TOO_MANY_REQUESTS, reason: "auth_rate", text }, Some(seconds))
    }
}

fn check(head: &RequestHead, guard: &Guard) -> Result<(), Refusal> {
    headers_fit(head, guard)?;
    host_is_ours(head, guard)?;
    origin_is_welcome(head, guard)?;
    token_is_right(head, guard)
}

fn headers_fit(head: &RequestHead, guard: &Guard) -> Result<(), Refusal> {
    let uri = head.uri.path_and_query().map_or(0, |p| p.as_str().len()) + head.uri.authority().map_or(0, |a| a.as_str().len());
    let lines: usize = head.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + ": \r\n".len()).sum();
    let text = if uri + lines > guard.max_header_bytes {
        format!("headers exceed {} KiB", guard.max_header_bytes >> 10)
    } else if head.headers.len() > guard.max_headers {
        format!("headers exceed {} lines", guard.max_headers)
    } else {
        return Ok(());
    };
    Err(Refusal { status: StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, reason: "headers", text })
}

fn host_is_ours(head: &RequestHead, guard: &Guard) -> Result<(), Refusal> {
    let refuse = |host: &str| {
        let text = format!("host \"{}\" is not allowed", harmless_limited(host, QUOTED));
        Err(Refusal { status: StatusCode::FORBIDDEN, reason: "host", text })
    };
    let mut named = false;
    for value in head.headers.get_all(header::HOST) {
        named = true;
        match value.to_str() {
            Ok(host) if is_allowed_host(host, &guard.allowed_hosts) => {}
            _ => return refuse(&String::from_utf8_lossy(value.as_bytes())),
        }
    }
    if let Some(authority) = head.uri.authority() {
        named = true;
        if !is_allowed_host(authority.as_str(), &guard.allowed_hosts) {
            return refuse(authority.as_str());
        }
    }
    // Browsers always name the host; only tools speaking HTTP/1.0 or bare HTTP/2 may leave it out.
    if !named && head.version == Version::HTTP_11 {
        return Err(Refusal { status: StatusCode::BAD_REQUEST, reason: "host", text: "missing host header".to_owned() });
    }
    Ok(())
}

fn origin_is_welcome(head: &RequestHead, guard: &Guard) -> Result<(), Refusal> {
    let listed = |origin: &HeaderValue| {
        origin.to_str().is_ok_and(|o| guard.allowed_origins.iter().any(|allowed| allowed == "*" || allowed.eq_ignore_ascii_case(o)))
    };
    let quoted = match head.headers.get(header::ORIGIN) {
        Some(origin) if listed(origin) => return Ok(()),
        Some(origin) => String::from_utf8_lossy(origin.as_bytes()).into_owned(),
        None if head.headers.get(FETCH_SITE).is_some_and(|site| site == "cross-site") => "cross-site".to_owned(),
        None => return Ok(()),
    };
    let text = format!("origin \"{}\" is not allowed", harmless_limited(&quoted, QUOTED));
    Err(Refusal { status: StatusCode::FORBIDDEN, reason: "origin", text })
}

fn token_is_right(head: &RequestHead, guard: &Guard) -> Result<(), Refusal> {
    let Some(token) = &guard.token else { return Ok(()) };
    let given = head.headers.get(header::AUTHORIZATION).map(HeaderValue::as_bytes).unwrap_or_default();
    let given = match given.split_at_checked("Bearer ".len()) {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case(b"Bearer ") => token,
        _ => &[],
    };
    if same(token.as_bytes(), given) {
        return Ok(());
    }
    // The same words for both, so that nobody learns which it was.
    Err(Refusal { status: StatusCode::UNAUTHORIZED, reason: "auth", text: "missing or wrong token".to_owned() })
}

/// Compares in a time that depends on the length of `given` alone.
fn same(wanted: &[u8], given: &[u8]) -> bool {
    let mut difference = u8::from(wanted.len() != given.len());
    for (index, byte) in given.iter().enumerate() {
        let expected = wanted.get(index % wanted.len().max(1)).copied().unwrap_or(0);
        difference |= std::hint::black_box(byte ^ expected);
    }
    difference == 0 && !wanted.is_empty()
}

fn is_grpc(headers: &HeaderMap) -> bool {
    headers.get(header::CONTENT_TYPE).is_some_and(|t| t.as_bytes().starts_with(b"application/grpc"))
}

/// A refusal as gRPC tells it: HTTP 200, the status in the headers, no body.
fn grpc_refusal(refusal: &Refusal) -> Response<Body> {
    let code = match refusal.status {
        StatusCode::FORBIDDEN => "7",
        StatusCode::UNAUTHORIZED => "16",
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE | StatusCode::TOO_MANY_REQUESTS => "8",
        _ => "3",
    };
    let mut message = String::with_capacity(refusal.text.len());
    for byte in refusal.text.bytes() {
        match byte {
            b' '..=b'~' if byte != b'%' => message.push(char::from(byte)),
            _ => message.push_str(&format!("%{byte:02X}")),
        }
    }
    let mut response = Response::new(Body::empty());
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert(HeaderName::from_static("grpc-status"), HeaderValue::from_static(code));
    if let Ok(message) = HeaderValue::from_str(&message) {
        headers.insert(HeaderName::from_static("grpc-message"), message);
    }
    response
}
