//! The envelope of every Prometheus answer: `status`, `data`, `errorType`, `error`, `warnings`, `infos`.

use axum::body::Body;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Value as Json, json};
use watchfire_serve::{Refusal, RequestHead};

/// A refusal in Prometheus's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiError {
    pub kind: &'static str,
    pub message: String,
}

impl ApiError {
    pub fn bad_data(message: impl Into<String>) -> Self {
        ApiError { kind: "bad_data", message: message.into() }
    }

    pub fn execution(message: impl Into<String>) -> Self {
        ApiError { kind: "execution", message: message.into() }
    }

    pub fn not_found(message: impl Into<String>) -> Self {
        ApiError { kind: "not_found", message: message.into() }
    }

    pub fn internal(message: impl Into<String>) -> Self {
        ApiError { kind: "internal", message: message.into() }
    }

    pub fn timeout() -> Self {
        ApiError { kind: "timeout", message: "query timed out in expression evaluation".to_owned() }
    }

    pub fn unavailable(message: impl Into<String>) -> Self {
        ApiError { kind: "unavailable", message: message.into() }
    }

    pub fn status(&self) -> StatusCode {
        match self.kind {
            "bad_data" => StatusCode::BAD_REQUEST,
            "execution" => StatusCode::UNPROCESSABLE_ENTITY,
            "not_found" => StatusCode::NOT_FOUND,
            "timeout" => StatusCode::SERVICE_UNAVAILABLE,
            "unavailable" => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

impl From<watchfire_model::reading::ReadError> for ApiError {
    fn from(error: watchfire_model::reading::ReadError) -> Self {
        use watchfire_model::reading::ReadError;
        match error {
            ReadError::BadRequest(m) => ApiError::bad_data(m),
            ReadError::NotFound(m) => ApiError::not_found(m),
            ReadError::TooHeavy(m) => ApiError::execution(m),
            ReadError::Timeout => ApiError::timeout(),
            ReadError::Disconnected(m) => ApiError::unavailable(m),
            ReadError::Failed(m) => ApiError::internal(m),
        }
    }
}

/// As [`Envelope`], of a refusal.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Refused<'a> {
    status: &'static str,
    error_type: &'static str,
    error: &'a str,
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        json_response(self.status(), &Refused { status: "error", error_type: self.kind, error: &self.message })
    }
}

/// What is refused before it reaches the API, in the API's words. Prometheus has no type for who may not ask; `bad_data` is one that its clients know
/// and do not try again for.
pub fn turned_away(_head: &RequestHead, refusal: &Refusal) -> Response {
    json_response(refusal.status, &Refused { status: "error", error_type: "bad_data", error: &refusal.text })
}

/// The order of the fields is Prometheus's: some clients read while they receive.
#[derive(Serialize)]
struct Envelope<'a, T> {
    status: &'static str,
    data: &'a T,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    warnings: &'a [String],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    infos: &'a [String],
}

/// A successful answer.
pub fn success(data: Json) -> Response {
    success_with(&data, &[], &[])
}

/// A successful answer with annotations of the evaluation.
pub fn success_with<T: Serialize>(data: &T, warnings: &[String], infos: &[String]) -> Response {
    json_response(StatusCode::OK, &Envelope { status: "success", data, warnings, infos })
}

pub fn json_response<T: Serialize>(status: StatusCode, body: &T) -> Response {
    let (status, body) = match serde_json::to_string(body) {
        Ok(body) => (status, body),
        Err(e) => {
            (StatusCode::INTERNAL_SERVER_ERROR, json!({"status": "error", "errorType": "internal", "error": e.to_string()}).to_string())
        }
    };
    body_response(status, body)
}

/// JSON that is written already.
pub fn body_response(status: StatusCode, body: String) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    response.headers_mut().insert(header::CACHE_CONTROL, header::HeaderValue::from_static("no-store"));
    response
}
