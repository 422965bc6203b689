//! Trace and span ids in what somebody copied, in each of the ways that other systems write them.

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

/// The trace and span ids in what somebody copied: a UUID, a `traceparent`, the address of a trace elsewhere, `trace_id=...` of a log line, an
/// id of X-Ray, base64 as protobuf's JSON has it, a decimal number as Datadog writes it. Trace ids first; those of which the zeros in front were
/// left out are filled up.
pub fn ids_in(text: &str) -> Vec<String> {
    let mut ids: Vec<String> = Vec::new();
    for word in text.split(|c: char| !c.is_ascii_alphanumeric() && c != '-') {
        let parts: Vec<&str> = word.split('-').collect();
        let lengths: Vec<usize> = parts.iter().map(|p| p.len()).collect();
        match lengths.as_slice() {
            [8, 4, 4, 4, 12] if parts.iter().all(|part| is_hex(part)) => ids.push(parts.concat()),
            [1, 8, 24] if parts.iter().all(|part| is_hex(part)) => ids.push(parts[1..].concat()),
            _ => {
                let parts = parts.iter().map(|part| part.strip_prefix("0x").or_else(|| part.strip_prefix("0X")).unwrap_or(part));
                ids.extend(parts.filter(|part| (16..=32).contains(&part.len()) && is_hex(part)).map(|part| match part.len() {
                    16 => part.to_owned(),
                    _ => format!("{part:0>32}"),
                }));
            }
        }
    }
    let stops = |c: char| c.is_whitespace() || matches!(c, '"' | '\'' | ',' | ';' | ':');
    ids.extend(text.split(stops).filter_map(of_base64));
    // A number may be hexadecimal as well, which is likelier.
    ids.extend(text.split(|c: char| !c.is_ascii_alphanumeric()).filter_map(of_decimal));
    ids.sort_by_key(|id| std::cmp::Reverse(id.len()));
    ids
}

fn is_hex(part: &str) -> bool {
    part.bytes().all(|b| b.is_ascii_hexdigit())
}

/// The 64 bits of a number of more digits than anybody counts to.
fn of_decimal(word: &str) -> Option<String> {
    let long = (17..=20).contains(&word.len()) && word.bytes().all(|b| b.is_ascii_digit());
    word.parse::<u64>().ok().filter(|_| long).map(|number| format!("{number:016x}"))
}

/// Eight or sixteen bytes, and nothing else that ends in `=`.
fn of_base64(word: &str) -> Option<String> {
    let digits = word.trim_end_matches('=');
    // `name=value` is none: nothing but the end may be filled up.
    if !matches!((word.len(), word.len() - digits.len()), (24, 2) | (12, 1)) {
        return None;
    }
    let bytes = from_base64(word)?;
    Some(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Bytes written as base64, in either alphabet, with or without padding.
pub fn from_base64(text: &str) -> Option<Vec<u8>> {
    const EITHER: GeneralPurpose = GeneralPurpose::new(
        &STANDARD,
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent).with_decode_allow_trailing_bits(true),
    );
    EITHER.decode(text.replace('-', "+").replace('_', "/")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TraceId;

    #[test]
    fn ids_are_found_in_what_people_copy() {
        const ID: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
        for text in [
            "4bf92f35-77b3-4da6-a3ce-929d0e0e4736",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "https://jaeger.example/trace/4bf92f3577b34da6a3ce929d0e0e4736?uiFind=00f067aa0ba902b7",
            "level=error trace_id=4bf92f3577b34da6a3ce929d0e0e4736 msg=\"no\"",
            "\"4bf92f3577b34da6a3ce929d0e0e4736\",",
            "0x4bf92f3577b34da6a3ce929d0e0e4736",
            "1-4bf92f35-77b34da6a3ce929d0e0e4736",
            "X-Amzn-Trace-Id: Root=1-4bf92f35-77b34da6a3ce929d0e0e4736;Parent=53995c3f42cd8ad8;Sampled=1",
            "S/kvNXezTaajzpKdDg5HNg==",
            "\"traceId\": \"S_kvNXezTaajzpKdDg5HNg==\",",
        ] {
            assert_eq!(ids_in(text).first().map(String::as_str), Some(ID), "{text}");
        }
        assert_eq!(ids_in("span 00f067aa0ba902b7"), ["00f067aa0ba902b7"]);
        assert_eq!(ids_in("/trace/f92f3577b34da6a3ce929d0e0e4736"), ["00f92f3577b34da6a3ce929d0e0e4736"]);
        assert_eq!(ids_in("request 12345 of order-service-decade failed"), [] as [String; 0]);
        assert_eq!(ids_in("dd.trace_id=11803532876627986230"), ["00000000000011803532876627986230", "a3ce929d0e0e4736"]);
        assert_eq!(ids_in("0XA3CE929D0E0E4736"), ["A3CE929D0E0E4736"]);
        assert_eq!(ids_in("APBnqgupArc="), ["00f067aa0ba902b7"]);
        assert_eq!(ids_in("b=order-1 ab=cdefghij="), [] as [String; 0]);
        assert_eq!(TraceId::parse(&"+a".repeat(16)), None);
    }

    #[test]
    fn base64_is_read_in_either_alphabet_and_with_or_without_padding() {
        let read = |text: &str| from_base64(text);
        assert_eq!(
            ["Zm9v", "Zm8=", "Zm8", "Zg==", "Zg", ""].map(read),
            [&b"foo"[..], b"fo", b"fo", b"f", b"f", b""].map(|b| Some(b.to_vec()))
        );
        assert_eq!((read("-_8"), read("+/8=")), (Some(vec![0xfb, 0xff]), Some(vec![0xfb, 0xff])));
        assert_eq!((read("a"), read("a!bc")), (None, None));
    }
}
