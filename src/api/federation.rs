//! `/federate`: the newest sample of every series that is asked for, in the text format, as another Prometheus scrapes it.

use super::envelope::ApiError;
use super::metrics::quoted;
use super::params::Params;
use super::prometheus::{blocking, selectors};
use super::{Answer, Api};
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Uri, header};
use axum::response::IntoResponse;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;
use watchfire_model::{Label, Labels, METRIC_NAME, TimeRange, Timestamp, is_stale};
use watchfire_promql::format_float;

/// A series without it must not get that of the scraped instance: under `honor_labels` what is there stays, and an empty label is there.
const INSTANCE: &str = "instance";

/// How names that are not plain are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Names {
    /// In quotes, for readers of text format 1.0.0 that say `escaping=allow-utf-8`.
    Quoted,
    /// Underscores stand for what text format 0.0.4 does not know.
    Underscored,
}

/// By metric name and labels: the newest sample.
type Newest = BTreeMap<(String, Labels), (Timestamp, f64)>;

/// `/federate`
pub async fn federate(State(api): State<Arc<Api>>, uri: Uri, headers: HeaderMap) -> Answer {
    let params = Params::read(&uri, &headers, &Bytes::new())?;
    let names = understood(&headers);
    let text = blocking(&api, move |api| {
        let now = api.clock.now();
        let range = TimeRange::new(now.saturating_sub(api.engine.options().lookback), now);
        let mut newest = Newest::new();
        for selector in &selectors(api, &params)? {
            api.source
                .select(selector, range, &mut |view| {
                    // Native histograms have no text.
                    let is_histogram = view.histograms.last().is_some_and(Option::is_some);
                    let name = view.labels.metric_name();
                    if let (Some(at), Some(value), false, false) = (view.times.last(), view.values.last(), is_histogram, name.is_empty())
                        && !is_stale(*value)
                    {
                        newest.insert((name.to_owned(), view.labels.clone()), (*at, *value));
                    }
                })
                .map_err(|e| ApiError::execution(e.to_string()))?;
        }
        Ok(exposition(&newest, &api.external_labels, names))
    })
    .await?;
    let content_type = match names {
        Names::Quoted => "text/plain; version=1.0.0; charset=utf-8; escaping=allow-utf-8",
        Names::Underscored => "text/plain; version=0.0.4; charset=utf-8",
    };
    Ok(([(header::CONTENT_TYPE, content_type)], text).into_response())
}

fn understood(headers: &HeaderMap) -> Names {
    let accepted = headers.get_all(header::ACCEPT).into_iter().filter_map(|v| v.to_str().ok()).flat_map(|v| v.split(','));
    let quoted = accepted.map(|item| item.split(';').map(str::trim).collect::<Vec<_>>()).any(|item| {
        item.first() == Some(&"text/plain") && ["version=1.0.0", "escaping=allow-utf-8"].iter().all(|wanted| item.contains(wanted))
    });
    if quoted { Names::Quoted } else { Names::Underscored }
}

fn exposition(newest: &Newest, external: &Labels, names: Names) -> String {
    let mut out = String::new();
    let mut family = "";
    for ((name, labels), (at, value)) in newest {
        let plain = is_plain(name, true);
        let shown = if plain || names == Names::Underscored { underscored(name, true) } else { quoted(name).into() };
        if name != family {
            // What a series was is not known of every one; Prometheus says so of all of them.
            let _ = writeln!(out, "# TYPE {shown} untyped");
            family = name;
        }
        let own = labels.iter().filter(|l| &*l.name != METRIC_NAME);
        let added = external.iter().filter(|l| labels.get(&l.name).is_none());
        let mut texts: Vec<String> = own.chain(added).map(|label| pair(label, names)).collect();
        if labels.get(INSTANCE).or(external.get(INSTANCE)).is_none() {
            texts.push(format!("{INSTANCE}=\"\""));
        }
        if plain || names == Names::Underscored {
            out.push_str(&shown);
        } else {
            texts.insert(0, shown.into_owned());
        }
        let _ = writeln!(out, "{{{}}} {} {}", texts.join(","), format_float(*value), at.millis());
    }
    out
}

fn pair(label: &Label, names: Names) -> String {
    let name = match names {
        Names::Quoted if !is_plain(&label.name, false) => quoted(&label.name).into(),
        _ => underscored(&label.name, false),
    };
    format!("{name}={}", quoted(&label.value))
}

fn is_plain(name: &str, metric: bool) -> bool {
    !name.starts_with(|c: char| c.is_ascii_digit()) && name.chars().all(|c| is_plain_letter(c, metric))
}

fn is_plain_letter(c: char, metric: bool) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || (metric && c == ':')
}

fn underscored(name: &str, metric: bool) -> Cow<'_, str> {
    if is_plain(name, metric) {
        return name.into();
    }
    let replaced = name.char_indices().map(|(i, c)| if is_plain_letter(c, metric) && !(i == 0 && c.is_ascii_digit()) { c } else { '_' });
    replaced.collect::<String>().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn written(external: &[(&str, &str)], names: Names) -> String {
        let mut newest = Newest::new();
        for (labels, value) in [
            (Labels::from_pairs([("__name__", "up"), ("instance", "a:1"), ("cluster", "x\"y")]), 1.0),
            (Labels::from_pairs([("__name__", "up")]), f64::NAN),
            (Labels::from_pairs([("__name__", "2nd.metric"), ("service.name", "a")]), 1e21),
        ] {
            newest.insert((labels.metric_name().to_owned(), labels), (Timestamp(1500), value));
        }
        exposition(&newest, &Labels::from_pairs(external.iter().copied()), names)
    }

    #[test]
    fn families_are_declared_once_and_told_apart_by_the_labels_of_the_instance() {
        assert_eq!(
            written(&[("cluster", "eu"), ("zone", "b")], Names::Underscored),
            "# TYPE _nd_metric untyped\n_nd_metric{service_name=\"a\",cluster=\"eu\",zone=\"b\",instance=\"\"} 1e+21 1500\n\
             # TYPE up untyped\nup{cluster=\"eu\",zone=\"b\",instance=\"\"} NaN 1500\nup{cluster=\"x\\\"y\",instance=\"a:1\",zone=\"b\"} 1 1500\n"
        );
    }

    #[test]
    fn names_that_are_not_plain_stand_in_quotes_for_those_who_read_them() {
        assert_eq!(
            written(&[("instance", "me")], Names::Quoted),
            "# TYPE \"2nd.metric\" untyped\n{\"2nd.metric\",\"service.name\"=\"a\",instance=\"me\"} 1e+21 1500\n\
             # TYPE up untyped\nup{instance=\"me\"} NaN 1500\nup{cluster=\"x\\\"y\",instance=\"a:1\"} 1 1500\n"
        );
        let of = |accept: &'static str| understood(&HeaderMap::from_iter([(header::ACCEPT, HeaderValue::from_static(accept))]));
        assert_eq!(of("text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4, text/plain;version=0.0.4"), Names::Quoted);
        assert_eq!(of("application/openmetrics-text;version=1.0.0;escaping=allow-utf-8,text/plain"), Names::Underscored);
    }
}
