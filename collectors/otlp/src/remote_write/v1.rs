//! `prometheus.WriteRequest`: labels written out, metadata beside the series.

use super::histogram::histogram;
use super::parse::{Items, Problem, Request, Series, add, exemplar, kind, labels, message, sample};
use crate::limits::Limits;
use crate::wire::{Reader, WireError};
use watchfire_model::{Metadata, Timestamp};

type Pair<'a> = (&'a [u8], &'a [u8]);

pub(super) fn parse(bytes: &[u8], limits: &Limits) -> Result<Request, Problem> {
    let mut request = Request::default();
    let mut items = Items { count: 0, limits };
    let mut reader = Reader::new(bytes);
    while let Some((field, wire_type)) = reader.tag()? {
        match field {
            1 => series(message(&mut reader, field, wire_type)?, &mut request, &mut items)?,
            3 => {
                items.add(1)?;
                request.metadata.push(metadata(message(&mut reader, field, wire_type)?)?);
            }
            _ => reader.skip(field, wire_type)?,
        }
    }
    Ok(request)
}

fn series(bytes: &[u8], request: &mut Request, items: &mut Items<'_>) -> Result<(), Problem> {
    items.add(1)?;
    let mut pairs: Vec<Pair<'_>> = Vec::new();
    let mut series = Series::default();
    let mut samples = 0;
    let mut bad_histograms: Vec<(&'static str, u64)> = Vec::new();
    let mut reader = Reader::new(bytes);
    while let Some((field, wire_type)) = reader.tag()? {
        if !(1..=4).contains(&field) {
            reader.skip(field, wire_type)?;
            continue;
        }
        let body = message(&mut reader, field, wire_type)?;
        items.add(1)?;
        match field {
            1 => pairs.push(pair(body)?),
            2 => {
                series.samples.push(sample(body)?);
                samples += 1;
            }
            3 => series.exemplars.push(wire_exemplar(body, items)?),
            _ => {
                samples += 1;
                match histogram(body, items)? {
                    Ok(h) => series.histograms.push(h),
                    Err(reason) => add(&mut bad_histograms, reason, 1),
                }
            }
        }
    }
    match labels(&pairs, items.limits) {
        Ok(labels) => {
            series.labels = labels;
            request.series.push(series);
            bad_histograms.into_iter().for_each(|(reason, n)| add(&mut request.rejected, reason, n));
        }
        Err(reason) => add(&mut request.rejected, reason, samples.max(1)),
    }
    Ok(())
}

fn pair(bytes: &[u8]) -> Result<Pair<'_>, WireError> {
    let (mut name, mut value): Pair<'_> = (&[], &[]);
    let mut reader = Reader::new(bytes);
    while let Some((field, wire_type)) = reader.tag()? {
        match field {
            1 => name = message(&mut reader, field, wire_type)?,
            2 => value = message(&mut reader, field, wire_type)?,
            _ => reader.skip(field, wire_type)?,
        }
    }
    Ok((name, value))
}

fn wire_exemplar(bytes: &[u8], items: &mut Items<'_>) -> Result<watchfire_model::Exemplar, Problem> {
    let mut pairs = Vec::new();
    let (mut value, mut at) = (0.0, 0);
    let mut reader = Reader::new(bytes);
    while let Some((field, wire_type)) = reader.tag()? {
        match field {
            1 => {
                items.add(1)?;
                pairs.push(pair(message(&mut reader, field, wire_type)?)?);
            }
            2 => value = f64::from_bits(reader.fixed64()?),
            3 => at = reader.varint()?.cast_signed(),
            _ => reader.skip(field, wire_type)?,
        }
    }
    Ok(exemplar(Timestamp(at), value, &pairs))
}

fn metadata(bytes: &[u8]) -> Result<(String, Metadata), WireError> {
    let (mut family, mut found) = (String::new(), Metadata::default());
    let mut reader = Reader::new(bytes);
    while let Some((field, wire_type)) = reader.tag()? {
        match field {
            1 => found.kind = kind(reader.varint()?),
            2 => family = String::from_utf8_lossy(message(&mut reader, field, wire_type)?).into_owned(),
            4 => found.help = String::from_utf8_lossy(message(&mut reader, field, wire_type)?).into_owned(),
            5 => found.unit = String::from_utf8_lossy(message(&mut reader, field, wire_type)?).into_owned(),
            _ => reader.skip(field, wire_type)?,
        }
    }
    Ok((family, found))
}
