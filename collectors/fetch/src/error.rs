//! Why a request brought no answer.

use watchfire_model::causes;

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
    #[error("the answer is not HTTP/1.1: write https:// if the server speaks TLS; HTTP/2 without TLS is not asked for")]
    Protocol,
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
            FetchError::Protocol => "protocol",
            FetchError::Exchange(_) => "exchange",
        }
    }

    pub(crate) fn from_reqwest(error: &reqwest::Error) -> Self {
        for cause in causes(error) {
            if let Some(ours) = cause.downcast_ref::<FetchError>() {
                return ours.clone();
            }
            if let Some(tls) = cause.downcast_ref::<rustls::Error>() {
                return FetchError::Tls(watchfire_config::tls_refusal(tls, "ca_file"));
            }
        }
        let cause = causes(error).last().map(ToString::to_string).unwrap_or_default();
        // The client's words for the first bytes of a server that speaks TLS, or HTTP/2 and nothing older.
        if cause.starts_with("invalid HTTP version") {
            return FetchError::Protocol;
        }
        if error.is_connect() { FetchError::Connect(cause) } else { FetchError::Exchange(cause) }
    }
}
