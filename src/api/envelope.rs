//! The envelope of every Prometheus answer: `status`, `data`, `errorType`, `error`, `warnings`, `infos`.

use axum::body::Body;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value as Json, json};

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
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let body = json!({"status": "error", "errorType": self.kind, "error": self.message});
        json_response(self.status(), &body)
    }
}

/// A successful answer.
pub fn success(data: Json) -> Response {
    json_response(StatusCode::OK, &json!({"status": "success", "data": data}))
}

/// A successful answer with annotations of the evaluation.
pub fn success_with(data: Json, warnings: &[String], infos: &[String]) -> Response {
    let mut body = json!({"status": "success", "data": data});
    if !warnings.is_empty() {
        body["warnings"] = json!(warnings);
    }
    if !infos.is_empty() {
        body["infos"] = json!(infos);
    }
    json_response(StatusCode::OK, &body)
}

pub fn json_response(status: StatusCode, body: &Json) -> Response {
    let mut response = Response::new(Body::from(body.to_string()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    response.headers_mut().insert(header::CACHE_CONTROL, header::HeaderValue::from_static("no-store"));
    response
}
