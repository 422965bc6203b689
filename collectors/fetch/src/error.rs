//! Why a request brought no answer.

use std::error::Error;

/// One reason per case; the text goes to the target page as it is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    #[error("cannot resolve {host:?}: {why}")]
    Resolve { host: String, why: String },
    #[error("cannot connect: {0}")]
    Connect(String),
    #[error("TLS: {0}")]
    Tls(String),
    #[error("redirect refused: {0}")]
    Redirect(String),
    #[error("request failed: {0}")]
    Exchange(String),
}

impl FetchError {
    /// The value of a `reason` label.
    pub fn reason(&self) -> &'static str {
        match self {
            FetchError::Resolve { .. } => "resolve",
            FetchError::Connect(_) => "connect",
            FetchError::Tls(_) => "tls",
            FetchError::Redirect(_) => "redirect",
            FetchError::Exchange(_) => "exchange",
        }
    }

    pub(crate) fn from_reqwest(error: &reqwest::Error) -> Self {
        let mut cause: &dyn Error = error;
        loop {
            if let Some(ours) = cause.downcast_ref::<FetchError>() {
                return ours.clone();
            }
            if let Some(tls) = cause.downcast_ref::<rustls::Error>() {
                return FetchError::Tls(watchfire_config::tls_refusal(tls));
            }
            // I/O errors hide what they wrap from `source`.
            if let Some(inner) = cause.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref) {
                cause = inner;
                continue;
            }
            match cause.source() {
                Some(next) => cause = next,
                None => break,
            }
        }
        if error.is_connect() { FetchError::Connect(cause.to_string()) } else { FetchError::Exchange(cause.to_string()) }
    }
}
