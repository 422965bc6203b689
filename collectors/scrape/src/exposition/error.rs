//! Why a body, and with it a scrape, is refused.

/// One fault and the line it is on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    #[error("line {line}: {what}")]
    Syntax { line: usize, what: String },
    #[error("{0}")]
    Refused(String),
    #[error("sample limit exceeded: more than {0} samples")]
    SampleLimit(usize),
    #[error("label limit exceeded: {0}")]
    LabelLimit(String),
    #[error("data does not end with # EOF")]
    NoEnd,
    #[error("protobuf: {0}")]
    Protobuf(String),
}

impl ParseError {
    /// The value of a `reason` label.
    pub fn reason(&self) -> &'static str {
        match self {
            ParseError::SampleLimit(_) => "sample_limit",
            ParseError::LabelLimit(_) => "label_limit",
            _ => "parse",
        }
    }

    pub(crate) fn syntax(what: impl Into<String>) -> Self {
        ParseError::Syntax { line: 0, what: what.into() }
    }

    /// Adds the line, found by counting line feeds before `offset`; paid only on failure.
    pub(crate) fn at(self, body: &[u8], offset: usize) -> Self {
        match self {
            ParseError::Syntax { line: 0, what } => {
                ParseError::Syntax { line: 1 + memchr::memchr_iter(b'\n', &body[..offset.min(body.len())]).count(), what }
            }
            ParseError::Refused(what) => {
                ParseError::Syntax { line: 1 + memchr::memchr_iter(b'\n', &body[..offset.min(body.len())]).count(), what }
            }
            other => other,
        }
    }
}
