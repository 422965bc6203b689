//! `io.prometheus.write.v2.Request`: every text once in a table of symbols, metadata inside the series.

use super::histogram::histogram;
use super::parse::{Items, Problem, Request, Series, add, exemplar, kind, labels, message, sample};
use crate::limits::Limits;
use crate::wire::{LENGTH, Reader, WireError};
use watchfire_model::{Metadata, MetricKind, Timestamp};

type Pair<'a> = (&'a [u8], &'a [u8]);

pub(super) fn parse(bytes: &[u8], limits: &Limits) -> Result<Request, Problem> {
    let mut items = Items { count: 0, limits };
    let mut symbols: Vec<&[u8]> = Vec::new();
    let mut series_bodies: Vec<&[u8]> = Vec::new();
    let mut reader = Reader::new(bytes);
    while let Some((field, wire_type)) = reader.tag()? {
        match field {
            4 | 5 => {
                items.add(1)?;
                let body = message(&mut reader, field, wire_type)?;
                if field == 4 { symbols.push(body) } else { series_bodies.push(body) }
            }
            _ => reader.skip(field, wire_type)?,
        }
    }
    if symbols.first().is_some_and(|first| !first.is_empty()) {
        return Err(Problem::Decode("symbol 0 is not the empty string".to_owned()));
    }
    let mut request = Request::default();
    for body in series_bodies {
        series(body, &symbols, &mut request, &mut items)?;
    }
    Ok(request)
}

fn series(bytes: &[u8], symbols: &[&[u8]], request: &mut Request, items: &mut Items<'_>) -> Result<(), Problem> {
    let mut refs = Vec::new();
    let mut series = Series::default();
    let mut metadata = None;
    let mut samples = 0;
    let mut bad_histograms: Vec<(&'static str, u64)> = Vec::new();
    let mut reader = Reader::new(bytes);
    while let Some((field, wire_type)) = reader.tag()? {
        match field {
            1 => references(&mut reader, wire_type, &mut refs, items)?,
            2..=5 => {
                items.add(1)?;
                let body = message(&mut reader, field, wire_type)?;
                match field {
                    2 => {
                        series.samples.push(sample(body)?);
                        samples += 1;
                    }
                    3 => {
                        samples += 1;
                        match histogram(body, items)? {
                            Ok(h) => series.histograms.push(h),
                            Err(reason) => add(&mut bad_histograms, reason, 1),
                        }
                    }
                    4 => {
                        if let Some(exemplar) = wire_exemplar(body, symbols, items)? {
                            series.exemplars.push(exemplar);
                        }
                    }
                    _ => metadata = Some(wire_metadata(body, symbols)?),
                }
            }
            _ => reader.skip(field, wire_type)?,
        }
    }
    let pairs = pairs(&refs, symbols);
    match pairs.ok_or("invalid label reference").and_then(|pairs| labels(&pairs, items.limits)) {
        Ok(labels) => {
            if let Some(found) = metadata {
                series.kind = Some(found.kind).filter(|kind| *kind != MetricKind::Unknown);
                if found != Metadata::default() {
                    request.metadata.push((family(labels.metric_name(), found.kind).to_owned(), found));
                }
            }
            series.labels = labels;
            request.series.push(series);
            bad_histograms.into_iter().for_each(|(reason, n)| add(&mut request.rejected, reason, n));
        }
        Err(reason) => add(&mut request.rejected, reason, samples.max(1)),
    }
    Ok(())
}

/// The family of a series: the parts of a classic histogram or summary are described together.
fn family(name: &str, kind: MetricKind) -> &str {
    let suffixes: &[&str] = match kind {
        MetricKind::Histogram => &["_bucket", "_sum", "_count"],
        MetricKind::Summary => &["_sum", "_count"],
        _ => &[],
    };
    suffixes.iter().find_map(|suffix| name.strip_suffix(suffix)).unwrap_or(name)
}

fn references(reader: &mut Reader<'_>, wire_type: u8, refs: &mut Vec<u64>, items: &mut Items<'_>) -> Result<(), Problem> {
    if wire_type != LENGTH {
        items.add(1)?;
        refs.push(reader.varint()?);
        return Ok(());
    }
    let packed = reader.bytes()?;
    let mut inner = Reader::new(packed);
    while inner.position() < packed.len() {
        items.add(1)?;
        refs.push(inner.varint()?);
    }
    Ok(())
}

/// Names and values behind references; `None` when a reference leads nowhere or one is left over.
fn pairs<'a>(refs: &[u64], symbols: &[&'a [u8]]) -> Option<Vec<Pair<'a>>> {
    let symbol = |reference: &u64| usize::try_from(*reference).ok().and_then(|r| symbols.get(r)).copied();
    if !refs.len().is_multiple_of(2) {
        return None;
    }
    refs.chunks(2).map(|pair| Some((symbol(&pair[0])?, symbol(&pair[1])?))).collect()
}

fn wire_exemplar(bytes: &[u8], symbols: &[&[u8]], items: &mut Items<'_>) -> Result<Option<watchfire_model::Exemplar>, Problem> {
    let mut refs = Vec::new();
    let (mut value, mut at) = (0.0, 0);
    let mut reader = Reader::new(bytes);
    while let Some((field, wire_type)) = reader.tag()? {
        match field {
            1 => references(&mut reader, wire_type, &mut refs, items)?,
            2 => value = f64::from_bits(reader.fixed64()?),
            3 => at = reader.varint()?.cast_signed(),
            _ => reader.skip(field, wire_type)?,
        }
    }
    Ok(pairs(&refs, symbols).map(|pairs| exemplar(Timestamp(at), value, &pairs)))
}

fn wire_metadata(bytes: &[u8], symbols: &[&[u8]]) -> Result<Metadata, WireError> {
    let text = |reference: u64| {
        let symbol = usize::try_from(reference).ok().and_then(|r| symbols.get(r));
        symbol.map(|s| String::from_utf8_lossy(s).into_owned()).unwrap_or_default()
    };
    let mut found = Metadata::default();
    let mut reader = Reader::new(bytes);
    while let Some((field, wire_type)) = reader.tag()? {
        match field {
            1 => found.kind = kind(reader.varint()?),
            3 => found.help = text(reader.varint()?),
            4 => found.unit = text(reader.varint()?),
            _ => reader.skip(field, wire_type)?,
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_a_histogram_are_one_family() {
        for (name, kind, expected) in [
            ("latency_seconds_bucket", MetricKind::Histogram, "latency_seconds"),
            ("latency_seconds_sum", MetricKind::Summary, "latency_seconds"),
            ("latency_seconds", MetricKind::Histogram, "latency_seconds"),
            ("page_count", MetricKind::Gauge, "page_count"),
            ("fill_bucket", MetricKind::Summary, "fill_bucket"),
        ] {
            assert_eq!(family(name, kind), expected);
        }
    }
}
