//! Request parameters of the Prometheus API: query string and form body mean the same.

use super::envelope::ApiError;
use super::multipart;
use axum::body::Bytes;
use axum::http::{HeaderMap, Uri};
use std::time::Duration;
use watchfire_model::{Timestamp, parse_duration};

/// All parameters, in order, repeated names kept.
#[derive(Clone, Debug, Default)]
pub struct Params(Vec<(String, String)>);

/// More than this and somebody is probing, not asking.
const MAX_PARAMETERS: usize = 1000;

impl Params {
    /// From the query string and, for POST, a form body.
    ///
    /// # Errors
    /// When there are absurdly many.
    pub fn read(uri: &Uri, headers: &HeaderMap, body: &Bytes) -> Result<Self, ApiError> {
        let content_type = headers.get("content-type").and_then(|v| v.to_str().ok()).unwrap_or_default();
        let form = content_type.split(';').next().is_some_and(|t| t.trim().eq_ignore_ascii_case("application/x-www-form-urlencoded"));
        // What stands in a body with escapes comes before the query string, what stands in one of parts after it, as with Go's forms.
        let mut pairs = if form { decode(body) } else { Vec::new() };
        pairs.extend(decode(uri.query().unwrap_or("").as_bytes()));
        if let Some(boundary) = multipart::boundary(content_type) {
            pairs.extend(multipart::fields(body, boundary));
        }
        if pairs.len() > MAX_PARAMETERS {
            return Err(ApiError::bad_data(format!("more than {MAX_PARAMETERS} parameters")));
        }
        Ok(Params(pairs))
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str()).filter(|v| !v.is_empty())
    }

    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    /// The query; nothing where there is none, which does not parse.
    pub fn query(&self) -> &str {
        self.get("query").unwrap_or("")
    }

    /// A point in time: Unix seconds or RFC 3339.
    ///
    /// # Errors
    /// When it is neither.
    pub fn time(&self, name: &str) -> Result<Option<Timestamp>, ApiError> {
        self.get(name)
            .map(|text| {
                parse_time(text).ok_or_else(|| {
                    let reason = format!("invalid time value for '{name}': cannot parse {:?} to a valid timestamp", shown(text));
                    ApiError::bad_data(format!("invalid parameter {name:?}: {reason}"))
                })
            })
            .transpose()
    }

    /// An end of a range query: without it there is none.
    ///
    /// # Errors
    /// When it is absent, or neither Unix seconds nor RFC 3339.
    pub fn range_end(&self, name: &str) -> Result<Timestamp, ApiError> {
        let text = self.get(name).unwrap_or("");
        parse_time(text).ok_or_else(|| invalid(name, text, "a valid timestamp"))
    }

    /// A duration: seconds or `1m30s`.
    ///
    /// # Errors
    /// When it is neither.
    pub fn duration(&self, name: &str) -> Result<Option<Duration>, ApiError> {
        self.get(name)
            .map(|text| match text.parse::<f64>() {
                Ok(seconds) if seconds.is_finite() && seconds.abs() < 1e12 => {
                    Duration::try_from_secs_f64(seconds).map_err(|_| invalid(name, text, "a valid duration"))
                }
                _ => parse_duration(text).map_err(|_| invalid(name, text, "a valid duration")),
            })
            .transpose()
    }

    /// # Errors
    /// When it is not a whole number.
    pub fn number(&self, name: &str) -> Result<Option<usize>, ApiError> {
        let read = |text: &str| match text.parse::<i64>() {
            Ok(n) => usize::try_from(n).map_err(|_| ApiError::bad_data(format!("invalid parameter {name:?}: {name} must be non-negative"))),
            Err(_) => Err(invalid(name, text, "a whole number")),
        };
        self.get(name).map(read).transpose()
    }

    /// Whether something is asked for, in the words of Go's `strconv.ParseBool`.
    ///
    /// # Errors
    /// When it is none of them.
    pub fn flag(&self, name: &str) -> Result<bool, ApiError> {
        match self.get(name) {
            None | Some("0" | "f" | "F" | "false" | "FALSE" | "False") => Ok(false),
            Some("1" | "t" | "T" | "true" | "TRUE" | "True") => Ok(true),
            Some(other) => Err(invalid(name, other, "true or false")),
        }
    }

    pub fn float(&self, name: &str) -> Option<f64> {
        self.get(name)?.parse().ok()
    }
}

fn invalid(name: &str, text: &str, wanted: &str) -> ApiError {
    ApiError::bad_data(format!("invalid parameter {name:?}: cannot parse {:?} to {wanted}", shown(text)))
}

fn shown(text: &str) -> String {
    watchfire_model::harmless_limited(text, 100).into()
}

fn decode(bytes: &[u8]) -> Vec<(String, String)> {
    form_urlencoded::parse(bytes).take(MAX_PARAMETERS + 1).map(|(n, v)| (n.into_owned(), v.into_owned())).collect()
}

/// How clients of Prometheus write that a range has no beginning and no end; no calendar reads these.
const BEGINNING: &str = "-292273086-05-16T16:47:06Z";
const END: &str = "292277025-08-18T07:12:54.999999999Z";

/// Unix seconds (fractions allowed) or RFC 3339.
pub fn parse_time(text: &str) -> Option<Timestamp> {
    if let Ok(seconds) = text.parse::<f64>() {
        return (seconds.is_finite() && seconds.abs() < 9.2e15).then(|| Timestamp::from_seconds(seconds));
    }
    match text {
        BEGINNING => return Some(Timestamp::MIN),
        END => return Some(Timestamp::MAX),
        _ => {}
    }
    chrono::DateTime::parse_from_rfc3339(text).ok().map(|t| Timestamp(t.timestamp_millis()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_unix_seconds_or_rfc_3339() {
        assert_eq!(parse_time("1.5"), Some(Timestamp(1500)));
        assert_eq!(parse_time("2015-07-01T20:10:51.781Z"), Some(Timestamp(1_435_781_451_781)));
        assert_eq!(parse_time("2015-07-01T20:10:51+02:00"), Some(Timestamp(1_435_774_251_000)));
        assert_eq!((parse_time(BEGINNING), parse_time(END)), (Some(Timestamp::MIN), Some(Timestamp::MAX)));
        for bad in ["", "yesterday", "NaN", "1e300", "-292273086-05-16T16:47:07Z"] {
            assert_eq!(parse_time(bad), None, "{bad}");
        }
    }

    #[test]
    fn flags_are_read_as_go_reads_them() {
        let flag = |query: &'static str| {
            let uri = Uri::from_static(query);
            Params::read(&uri, &HeaderMap::new(), &Bytes::new()).and_then(|params| params.flag("exclude_alerts")).ok()
        };
        assert_eq!(flag("/x"), Some(false));
        assert_eq!([flag("/x?exclude_alerts=true"), flag("/x?exclude_alerts=1")], [Some(true); 2]);
        assert_eq!((flag("/x?exclude_alerts=f"), flag("/x?exclude_alerts=yes")), (Some(false), None));
    }

    #[test]
    fn form_and_query_string_mean_the_same() -> Result<(), ApiError> {
        let mut headers = HeaderMap::new();
        headers.insert("content-type", axum::http::HeaderValue::from_static("Application/X-WWW-Form-Urlencoded; charset=utf-8"));
        let uri = Uri::from_static("/x?match[]=a&query=down");
        let params = Params::read(&uri, &headers, &Bytes::from_static(b"query=up%7B%7D&match[]=b"))?;
        assert_eq!(params.get("query"), Some("up{}"));
        assert_eq!(params.all("match[]").collect::<Vec<_>>(), ["b", "a"]);
        headers.insert("content-type", axum::http::HeaderValue::from_static("multipart/form-data; boundary=x"));
        let body = b"--x\r\nContent-Disposition: form-data; name=\"query\"\r\n\r\nup{}\r\n--x--\r\n";
        let params = Params::read(&Uri::from_static("/x"), &headers, &Bytes::from_static(body))?;
        assert_eq!(params.query(), "up{}");
        Ok(())
    }
}
