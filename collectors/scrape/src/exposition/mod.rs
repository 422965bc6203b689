//! The formats metrics are exposed in. Each walker turns a body into calls on a [`Recipient`]; none of them keeps anything.
//!
//! To add a format: one file with a `walk` function, one variant of [`Format`], one line in [`Format::of_content_type`] and in [`accept`].

pub mod custom_buckets;
mod error;
pub mod line;
pub mod number;
pub mod openmetrics;
pub mod protobuf;
mod protobuf_messages;
pub mod text;

pub use error::ParseError;

use serde::{Deserialize, Serialize};
use watchfire_model::{MetricKind, NativeHistogram};

/// What a body is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Text 0.0.4 and 1.0.0.
    Text,
    OpenMetrics,
    Protobuf,
}

/// Names of formats in `fallback_scrape_protocol`, as Prometheus spells them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Protocol {
    PrometheusProto,
    #[serde(rename = "OpenMetricsText1.0.0")]
    OpenMetricsText1_0_0,
    #[serde(rename = "OpenMetricsText0.0.1")]
    OpenMetricsText0_0_1,
    #[serde(rename = "PrometheusText1.0.0")]
    PrometheusText1_0_0,
    #[serde(rename = "PrometheusText0.0.4")]
    PrometheusText0_0_4,
}

impl Protocol {
    pub fn format(self) -> Format {
        match self {
            Protocol::PrometheusProto => Format::Protobuf,
            Protocol::OpenMetricsText1_0_0 | Protocol::OpenMetricsText0_0_1 => Format::OpenMetrics,
            Protocol::PrometheusText1_0_0 | Protocol::PrometheusText0_0_4 => Format::Text,
        }
    }
}

impl Format {
    /// The format a `Content-Type` names; `None` when it names none of ours.
    pub fn of_content_type(content_type: &str) -> Option<Self> {
        let mut parts = content_type.split(';').map(str::trim);
        let media = parts.next().unwrap_or_default();
        let parameter = |wanted: &str| {
            content_type.split(';').skip(1).find_map(|p| {
                let (name, value) = p.split_once('=')?;
                name.trim().eq_ignore_ascii_case(wanted).then(|| value.trim().trim_matches('"').to_owned())
            })
        };
        if media.eq_ignore_ascii_case("text/plain") {
            Some(Format::Text)
        } else if media.eq_ignore_ascii_case("application/openmetrics-text") {
            Some(Format::OpenMetrics)
        } else if media.eq_ignore_ascii_case("application/vnd.google.protobuf") {
            let family = parameter("proto").is_none_or(|p| p == "io.prometheus.client.MetricFamily");
            let delimited = parameter("encoding").is_none_or(|e| e == "delimited");
            (family && delimited).then_some(Format::Protobuf)
        } else {
            None
        }
    }
}

/// The `Accept` header, weighted as Prometheus weighs it. `text/plain;version=0.0.4` and `*/*` are always there: some exporters answer 406 otherwise.
pub fn accept(native_histograms: bool) -> &'static str {
    if native_histograms {
        "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.6,\
         application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,\
         application/openmetrics-text;version=0.0.1;q=0.4,\
         text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,text/plain;version=0.0.4;q=0.2,*/*;q=0.1"
    } else {
        "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=0.0.1;q=0.5,\
         text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
    }
}

/// What the recipient expects at the start of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guess {
    /// Nothing known fits: read the line.
    None,
    /// This line is a comment seen before; skip so many bytes, line feed included.
    Comment(usize),
    /// The line begins with the text of a known series, so many bytes, followed by a blank.
    Series { length: usize, entry: u32 },
}

/// A series as a walker names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which<'a> {
    /// As guessed.
    Entry(u32),
    /// By its text: `name{label="value"}`, as it stands in the body.
    Text(&'a [u8]),
}

/// An exemplar as it stands in the body.
#[derive(Clone, Debug, PartialEq)]
pub struct ExemplarText<'a> {
    /// The label set with its braces.
    pub labels: &'a [u8],
    pub value: f64,
    /// Milliseconds.
    pub at: Option<i64>,
}

/// Where a walker puts what it reads. Calls come in the order of the body.
pub trait Recipient {
    /// Asked at the start of each line with the rest of the body.
    fn guess(&mut self, rest: &[u8]) -> Guess;

    /// A float sample; `at` is an explicit time in milliseconds. Gives the entry, for [`exemplar`](Self::exemplar).
    ///
    /// # Errors
    /// When the series is refused in a way that fails the scrape.
    fn sample(&mut self, which: Which<'_>, value: f64, at: Option<i64>) -> Result<u32, ParseError>;

    /// A native histogram sample.
    ///
    /// # Errors
    /// As [`sample`](Self::sample).
    fn histogram(&mut self, which: Which<'_>, value: NativeHistogram, at: Option<i64>) -> Result<u32, ParseError>;

    fn exemplar(&mut self, entry: u32, exemplar: ExemplarText<'_>);

    /// A comment line was read, line feed included: what [`guess`](Self::guess) may skip next time.
    fn comment(&mut self, line: &[u8]);

    fn kind(&mut self, family: &str, kind: MetricKind);
    fn help(&mut self, family: &str, help: &str);
    fn unit(&mut self, family: &str, unit: &str);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_types_of_the_field_are_known() {
        for (header, format) in [
            ("text/plain; version=0.0.4; charset=utf-8", Some(Format::Text)),
            ("text/plain", Some(Format::Text)),
            ("Text/Plain;version=1.0.0;escaping=allow-utf-8", Some(Format::Text)),
            ("application/openmetrics-text; version=1.0.0; charset=utf-8", Some(Format::OpenMetrics)),
            ("application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited", Some(Format::Protobuf)),
            ("application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=text", None),
            ("text/html", None),
            ("application/json", None),
            ("", None),
        ] {
            assert_eq!(Format::of_content_type(header), format, "{header}");
        }
    }

    #[test]
    fn old_exporters_find_their_format_in_the_accept_header() {
        for native in [false, true] {
            assert!(accept(native).contains("text/plain;version=0.0.4"));
            assert!(accept(native).contains("*/*"));
            assert_eq!(accept(native).starts_with("application/vnd.google.protobuf"), native);
        }
    }
}
