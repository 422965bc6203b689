//! One request, its redirects, and its body read with a limit.

use crate::inflate::Inflate;
use crate::resolver::Guarded;
use crate::{FetchError, Guard, Resolver, TlsError, TlsSettings, client_config};
use bytes::Bytes;
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, HeaderMap, HeaderValue, LOCATION};
use http::{Method, StatusCode};
use reqwest::{Client, Url};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::OnceLock;
use std::time::Duration;

/// Idle connections kept to one host, where any are.
const KEPT_CONNECTIONS: usize = 2;

/// How far redirects are followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Redirects {
    /// Hops; 0 hands the redirect itself to the caller.
    pub limit: usize,
    /// Also to link-local addresses and from outside to this machine.
    pub anywhere: bool,
}

/// What to ask for.
#[derive(Clone, Debug)]
pub struct Order {
    pub method: Method,
    pub url: Url,
    pub headers: HeaderMap,
    /// Headers that grant access: sent to the target itself, dropped when a redirect leaves it.
    pub credentials: HeaderMap,
}

/// Sends orders; cheap to clone, keeps connections alive between them unless told otherwise.
#[derive(Clone)]
pub struct Fetcher {
    /// One client per guard, since the guard is part of how connections are made.
    clients: Arc<[OnceLock<Client>; 3]>,
    resolver: Arc<Resolver>,
    tls: rustls::ClientConfig,
    redirects: Redirects,
    /// Idle connections kept to one host.
    kept: usize,
}

impl Fetcher {
    /// # Errors
    /// When the TLS settings name files that cannot be used.
    pub fn new(resolver: Arc<Resolver>, tls: &TlsSettings, redirects: Redirects) -> Result<Self, TlsError> {
        Ok(Fetcher { clients: Arc::default(), resolver, tls: client_config(tls)?, redirects, kept: KEPT_CONNECTIONS })
    }

    /// Connects for every order anew: who asks whether a service can be reached must not ask over a connection from when it could.
    pub fn connecting_anew(self) -> Self {
        Fetcher { clients: Arc::default(), kept: 0, ..self }
    }

    /// Sends the order and follows redirects (GET and HEAD only). The body is not read yet.
    ///
    /// # Errors
    /// When there is no answer, or a redirect leads where it must not.
    pub async fn send(&self, order: &Order) -> Result<Answer, FetchError> {
        let (mut guard, mut url, mut trusted) = (Guard::Open, order.url.clone(), true);
        for hop in 0.. {
            let response = self.ask(order, guard, &url, trusted).await?;
            let follow = self.redirects.limit > 0 && is_redirect(response.status()) && matches!(order.method, Method::GET | Method::HEAD);
            let Some(location) = response.headers().get(LOCATION).filter(|_| follow) else {
                return Ok(Answer::new(response));
            };
            if hop == self.redirects.limit {
                return Err(FetchError::Redirect(format!("more than {} hops", self.redirects.limit)));
            }
            let next = location.to_str().ok().and_then(|l| url.join(l).ok());
            let next = next.ok_or_else(|| FetchError::Redirect("the Location header is not a URL".to_owned()))?;
            if !matches!(next.scheme(), "http" | "https") {
                return Err(FetchError::Redirect(format!("scheme {:?}; only http and https are followed", next.scheme())));
            }
            if !self.redirects.anywhere {
                // Without a known peer the stricter rule holds.
                guard = response.remote_addr().map_or(Guard::NoLocal, |peer| Guard::after(peer.ip()));
                check_literal(guard, &next)?;
            }
            trusted = trusted && same_party(&url, &next);
            url = next;
        }
        unreachable!("the loop returns at the redirect limit")
    }

    /// One hop. A server may end an idle connection in the moment it is used again, which says nothing about the server: asked again, as
    /// browsers and Go's client do, until no kept connection can be left.
    async fn ask(&self, order: &Order, guard: Guard, url: &Url, trusted: bool) -> Result<reqwest::Response, FetchError> {
        let repeatable = matches!(order.method, Method::GET | Method::HEAD);
        let mut kept = if repeatable { self.kept } else { 0 };
        loop {
            let mut request = self.client(guard)?.request(order.method.clone(), url.clone()).headers(order.headers.clone());
            if !order.headers.contains_key(ACCEPT_ENCODING) {
                request = request.header(ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
            }
            if trusted {
                request = request.headers(order.credentials.clone());
            }
            match request.send().await.map_err(|e| FetchError::from_reqwest(&e)) {
                Err(FetchError::Exchange(_)) if kept > 0 => kept -= 1,
                outcome => return outcome,
            }
        }
    }

    fn client(&self, guard: Guard) -> Result<&Client, FetchError> {
        let slot = &self.clients[guard as usize];
        if let Some(client) = slot.get() {
            return Ok(client);
        }
        let client = Client::builder()
            .tls_backend_preconfigured(self.tls.clone())
            .tls_info(true)
            .dns_resolver(Arc::new(Guarded { resolver: self.resolver.clone(), guard }))
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .referer(false)
            .gzip(false)
            .pool_max_idle_per_host(self.kept)
            .pool_idle_timeout(Duration::from_secs(150))
            .build()
            .map_err(|e| FetchError::from_reqwest(&e))?;
        Ok(slot.get_or_init(|| client))
    }
}

fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

/// Addresses written as such never pass a resolver, so they are checked here.
fn check_literal(guard: Guard, url: &Url) -> Result<(), FetchError> {
    let host = url.host_str().unwrap_or_default();
    match host.trim_start_matches('[').trim_end_matches(']').parse() {
        Ok(address) if !guard.permits(address) => Err(FetchError::Redirect(format!("to {address}"))),
        _ => Ok(()),
    }
}

/// Whether credentials may go along: same host and port, or the step from http to https on one host.
fn same_party(from: &Url, to: &Url) -> bool {
    if from.host_str() != to.host_str() {
        return false;
    }
    match (from.scheme(), to.scheme()) {
        ("http", "https") => true,
        (a, b) => a == b && from.port_or_known_default() == to.port_or_known_default(),
    }
}

/// An answer whose body is still on the wire.
#[derive(Debug)]
pub struct Answer {
    response: reqwest::Response,
    gzip: Option<Inflate>,
}

/// A body, and whether there was more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Body {
    pub bytes: Bytes,
    pub cut: bool,
}

impl Answer {
    fn new(response: reqwest::Response) -> Self {
        let encoding = response.headers().get(CONTENT_ENCODING).map_or(&b""[..], HeaderValue::as_bytes);
        let gzip = encoding.eq_ignore_ascii_case(b"gzip").then(Inflate::new);
        Answer { response, gzip }
    }

    pub fn status(&self) -> StatusCode {
        self.response.status()
    }

    pub fn header(&self, name: http::HeaderName) -> Option<&str> {
        self.response.headers().get(name).and_then(|v| v.to_str().ok())
    }

    pub fn peer(&self) -> Option<SocketAddr> {
        self.response.remote_addr()
    }

    /// The peer's own certificate as DER, over https.
    pub fn certificate(&self) -> Option<&[u8]> {
        self.response.extensions().get::<reqwest::tls::TlsInfo>().and_then(|info| info.peer_certificate())
    }

    /// The next piece of the decompressed body.
    ///
    /// # Errors
    /// When the connection breaks or the compression is damaged.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, FetchError> {
        let Answer { response, gzip } = self;
        let Some(gzip) = gzip else { return response.chunk().await.map_err(|e| FetchError::from_reqwest(&e)) };
        loop {
            match gzip.next().map_err(|e| FetchError::Exchange(format!("gzip: {e}")))? {
                Some(piece) => return Ok(Some(piece).filter(|p| !p.is_empty())),
                None => gzip.feed(response.chunk().await.map_err(|e| FetchError::from_reqwest(&e))?),
            }
        }
    }

    /// Reads at most `limit` decompressed bytes; the rest is not read.
    ///
    /// # Errors
    /// As [`chunk`](Self::chunk).
    pub async fn read(mut self, limit: usize) -> Result<Body, FetchError> {
        let mut bytes = Vec::new();
        while let Some(chunk) = self.chunk().await? {
            let room = limit - bytes.len();
            if chunk.len() > room {
                bytes.extend_from_slice(&chunk[..room]);
                return Ok(Body { bytes: bytes.into(), cut: true });
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(Body { bytes: bytes.into(), cut: false })
    }
}

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// The value of an `Authorization` header for user and password (RFC 7617), marked as sensitive.
pub fn basic_authorization(user: &str, password: &str) -> http::HeaderValue {
    let text = format!("{user}:{password}");
    let mut out = String::from("Basic ");
    for chunk in text.as_bytes().chunks(3) {
        let bits = chunk.iter().fold(0u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for place in 0..4 {
            let letter = BASE64[(bits >> (18 - 6 * place) & 63) as usize];
            out.push(if place <= chunk.len() { char::from(letter) } else { '=' });
        }
    }
    let mut value = http::HeaderValue::try_from(out).unwrap_or(http::HeaderValue::from_static("Basic"));
    value.set_sensitive(true);
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_kept_connection_that_the_server_ends_costs_no_answer() {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url: Url = format!("http://{}/", listener.local_addr().unwrap()).parse().unwrap();
        // Each connection answers once, reads the next request, and goes without a word.
        tokio::spawn(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                let mut request = [0; 4096];
                let _ = socket.read(&mut request).await;
                let _ = socket.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
                let _ = socket.read(&mut request).await;
            }
        });
        let fetcher = Fetcher::new(Resolver::new(), &TlsSettings::default(), Redirects { limit: 0, anywhere: false }).unwrap();
        let order = Order { method: Method::GET, url, headers: HeaderMap::new(), credentials: HeaderMap::new() };
        for _ in 0..5 {
            assert_eq!(fetcher.send(&order).await.unwrap().read(10).await.unwrap().bytes, "ok");
        }
        let post = Order { method: Method::POST, ..order };
        assert!(fetcher.send(&post).await.is_err(), "what may change something is not sent twice");
    }

    #[test]
    fn user_and_password_are_encoded() {
        for (user, password, header) in [
            ("Aladdin", "open sesame", "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="),
            ("a", "b", "Basic YTpi"),
            ("", "", "Basic Og=="),
            ("ab", "c", "Basic YWI6Yw=="),
        ] {
            assert_eq!(basic_authorization(user, password), header);
        }
    }

    #[test]
    fn credentials_stay_with_their_party() {
        let url = |text: &str| Url::parse(text).unwrap();
        for (from, to, same) in [
            ("http://h:1/a", "http://h:1/b", true),
            ("http://h/a", "https://h/a", true),
            ("https://h/a", "http://h/a", false),
            ("http://h:1/a", "http://h:2/a", false),
            ("http://h/a", "http://g/a", false),
        ] {
            assert_eq!(same_party(&url(from), &url(to)), same, "{from} {to}");
        }
    }
}
