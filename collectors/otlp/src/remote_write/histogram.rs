//! Native histograms of both versions (the message is the same): integer ones come as differences, float ones as they are.

use super::parse::{Items, Problem};
use crate::wire::{LENGTH, Reader};
use watchfire_model::{BucketSpan, CUSTOM_BUCKETS_SCHEMA, CounterResetHint, NativeHistogram, Timestamp, is_stale};

/// What the wire holds of one sign.
#[derive(Default)]
struct Side {
    spans: Vec<BucketSpan>,
    deltas: Vec<i64>,
    counts: Vec<f64>,
}

/// Reads a histogram; the inner error is the reason why this one is refused.
pub(super) fn histogram(bytes: &[u8], items: &mut Items<'_>) -> Result<Result<(Timestamp, NativeHistogram), &'static str>, Problem> {
    let mut histogram = NativeHistogram::default();
    let (mut positive, mut negative) = (Side::default(), Side::default());
    let mut at = 0;
    let mut reader = Reader::new(bytes);
    while let Some((field, wire_type)) = reader.tag()? {
        match field {
            1 => histogram.count = reader.varint()? as f64,
            2 => histogram.count = f64::from_bits(reader.fixed64()?),
            3 => histogram.sum = f64::from_bits(reader.fixed64()?),
            4 => histogram.schema = zigzag(reader.varint()?) as i32,
            5 => histogram.zero_threshold = f64::from_bits(reader.fixed64()?),
            6 => histogram.zero_count = reader.varint()? as f64,
            7 => histogram.zero_count = f64::from_bits(reader.fixed64()?),
            8 | 11 => {
                items.add(1)?;
                let span = span(reader.bytes()?)?;
                (if field == 8 { &mut negative } else { &mut positive }).spans.push(span);
            }
            9 | 12 => {
                let deltas = &mut (if field == 9 { &mut negative } else { &mut positive }).deltas;
                scalars(&mut reader, wire_type, items, |r| r.varint().map(zigzag), deltas)?;
            }
            10 | 13 => {
                let counts = &mut (if field == 10 { &mut negative } else { &mut positive }).counts;
                scalars(&mut reader, wire_type, items, |r| r.fixed64().map(f64::from_bits), counts)?;
            }
            14 => {
                histogram.counter_reset = match reader.varint()? {
                    1 => CounterResetHint::Reset,
                    2 => CounterResetHint::NotReset,
                    3 => CounterResetHint::Gauge,
                    _ => CounterResetHint::Unknown,
                }
            }
            15 => at = reader.varint()?.cast_signed(),
            16 => scalars(&mut reader, wire_type, items, |r| r.fixed64().map(f64::from_bits), &mut histogram.custom_values)?,
            _ => reader.skip(field, wire_type)?,
        }
    }
    Ok(checked(histogram, positive, negative).map(|h| (Timestamp(at), h)))
}

fn zigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -((value & 1).cast_signed())
}

fn span(bytes: &[u8]) -> Result<BucketSpan, Problem> {
    let mut span = BucketSpan::default();
    let mut reader = Reader::new(bytes);
    while let Some((field, wire_type)) = reader.tag()? {
        match field {
            1 => span.offset = zigzag(reader.varint()?) as i32,
            2 => span.length = reader.varint()? as u32,
            _ => reader.skip(field, wire_type)?,
        }
    }
    Ok(span)
}

fn scalars<'a, T>(
    reader: &mut Reader<'a>,
    wire_type: u8,
    items: &mut Items<'_>,
    read: impl Fn(&mut Reader<'a>) -> Result<T, crate::wire::WireError>,
    into: &mut Vec<T>,
) -> Result<(), Problem> {
    if wire_type != LENGTH {
        items.add(1)?;
        into.push(read(reader)?);
        return Ok(());
    }
    let packed = reader.bytes()?;
    let mut inner = Reader::new(packed);
    while inner.position() < packed.len() {
        items.add(1)?;
        into.push(read(&mut inner)?);
    }
    Ok(())
}

/// Brings the counts into place and checks them as Prometheus does (`model/histogram`, `Validate`).
fn checked(mut histogram: NativeHistogram, positive: Side, negative: Side) -> Result<NativeHistogram, &'static str> {
    if is_stale(histogram.sum) {
        return Ok(NativeHistogram { sum: histogram.sum, ..NativeHistogram::default() });
    }
    let custom = histogram.schema == CUSTOM_BUCKETS_SCHEMA;
    if !custom && !(-4..=8).contains(&histogram.schema) {
        return Err("unknown histogram schema");
    }
    if !custom && !histogram.custom_values.is_empty() {
        return Err("histogram bounds do not fit its schema");
    }
    if custom && (!negative.spans.is_empty() || histogram.zero_count != 0.0 || !histogram.custom_values.is_sorted_by(|a, b| a < b)) {
        return Err("histogram bounds do not fit its schema");
    }
    (histogram.positive_spans, histogram.positive_buckets) = side(positive)?;
    (histogram.negative_spans, histogram.negative_buckets) = side(negative)?;
    let total: f64 = histogram.positive_buckets.iter().chain(&histogram.negative_buckets).sum::<f64>() + histogram.zero_count;
    let adds_up = total == histogram.count || histogram.sum.is_nan() && total <= histogram.count;
    // Float counts come out of rates, and differ in their last digits.
    let nearly = (total - histogram.count).abs() <= 1e-9 * histogram.count.abs();
    if adds_up || nearly { Ok(histogram) } else { Err("bucket counts do not add up") }
}

fn side(side: Side) -> Result<(Vec<BucketSpan>, Vec<f64>), &'static str> {
    let mut running = 0i64;
    let counts = if side.counts.is_empty() {
        let absolute = side.deltas.iter().map(|delta| {
            running = running.checked_add(*delta)?;
            Some(running as f64)
        });
        absolute.collect::<Option<Vec<f64>>>().ok_or("bucket counts overflow")?
    } else {
        side.counts
    };
    let spanned: u64 = side.spans.iter().map(|s| u64::from(s.length)).sum();
    if spanned != counts.len() as u64 || side.spans.iter().skip(1).any(|s| s.offset < 0) {
        return Err("histogram spans do not match its buckets");
    }
    if counts.iter().all(|n| *n >= 0.0) { Ok((side.spans, counts)) } else { Err("negative bucket count") }
}
