//! The bearer token of the API, where one is set.

use super::Api;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use std::sync::Arc;

/// Lets a request pass when no token is set or the right one is shown. Health endpoints stay open: they say nothing.
pub async fn require(State(api): State<Arc<Api>>, request: Request, next: Next) -> Response {
    let Some(token) = &api.token else { return next.run(request).await };
    if request.uri().path().starts_with("/-/healthy") || request.uri().path().starts_with("/-/ready") {
        return next.run(request).await;
    }
    let shown = request
        .headers()
        .get(header::AUTHORIZATION)
        .and_then(|v| v.to_str().ok())
        .and_then(|v| v.strip_prefix("Bearer "))
        .unwrap_or("");
    if same(shown.as_bytes(), token.as_bytes()) {
        return next.run(request).await;
    }
    api.meter.counter("watchfire_http_rejected_total", &[("port", "api"), ("reason", "auth")]).add(1);
    let mut response = (StatusCode::UNAUTHORIZED, "missing or wrong token\n").into_response();
    response.headers_mut().insert(header::WWW_AUTHENTICATE, header::HeaderValue::from_static("Bearer"));
    response
}

/// Compares in time that depends on the secret's length only.
fn same(shown: &[u8], secret: &[u8]) -> bool {
    let mut difference = shown.len() ^ secret.len();
    for (index, byte) in secret.iter().enumerate() {
        difference |= usize::from(byte ^ shown.get(index).copied().unwrap_or(0));
    }
    difference == 0
}

#[cfg(test)]
mod tests {
    use super::same;

    #[test]
    fn only_the_same_token_is_the_same() {
        assert!(same(b"abc", b"abc"));
        for wrong in [&b""[..], b"ab", b"abcd", b"abd", b"ABC"] {
            assert!(!same(wrong, b"abc"));
        }
    }
}
