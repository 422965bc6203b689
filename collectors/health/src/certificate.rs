//! The end of a certificate's validity, read from its DER (RFC 5280, 4.1). Only as deep as that needs.

use watchfire_model::Timestamp;

/// `notAfter` of a certificate.
pub(crate) fn not_after(der: &[u8]) -> Option<Timestamp> {
    let mut certificate = Reader(der).enter(0x30)?;
    let mut fields = certificate.enter(0x30)?;
    if fields.0.first() == Some(&0xa0) {
        fields.next()?; // version
    }
    for _ in 0..3 {
        fields.next()?; // serial number, signature algorithm, issuer
    }
    let mut validity = fields.enter(0x30)?;
    validity.next()?;
    let (tag, time) = validity.next()?;
    let text = std::str::from_utf8(time).ok()?.strip_suffix('Z')?;
    let text = match tag {
        // UTCTime has two digits of the year; 50 and above is the last century.
        0x17 if text.get(..2)? >= "50" => format!("19{text}"),
        0x17 => format!("20{text}"),
        0x18 => text.to_owned(),
        _ => return None,
    };
    let time = chrono::NaiveDateTime::parse_from_str(&text, "%Y%m%d%H%M%S").ok()?;
    Some(Timestamp::from_millis(time.and_utc().timestamp_millis()))
}

/// Elements one after the other.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// The next element: tag and content.
    fn next(&mut self) -> Option<(u8, &'a [u8])> {
        let (&tag, rest) = self.0.split_first()?;
        let (&first, mut rest) = rest.split_first()?;
        let mut length = usize::from(first);
        if first & 0x80 != 0 {
            let bytes = usize::from(first & 0x7f);
            if bytes == 0 || bytes > 4 {
                return None;
            }
            length = rest.get(..bytes)?.iter().fold(0, |length, byte| length << 8 | usize::from(*byte));
            rest = &rest[bytes..];
        }
        let content = rest.get(..length)?;
        self.0 = &rest[length..];
        Some((tag, content))
    }

    /// The next element, which must have this tag, as a reader of its content.
    fn enter(&mut self, tag: u8) -> Option<Reader<'a>> {
        self.next().filter(|(found, _)| *found == tag).map(|(_, content)| Reader(content))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    fn element(tag: u8, content: &[u8]) -> Vec<u8> {
        let mut out = vec![tag];
        if content.len() < 128 {
            out.push(content.len() as u8);
        } else {
            out.extend([0x82, (content.len() >> 8) as u8, content.len() as u8]);
        }
        out.extend_from_slice(content);
        out
    }

    /// The outer shape of a certificate, with a long issuer so that lengths need two bytes.
    fn certificate(version: bool, tag: u8, time: &str) -> Vec<u8> {
        let mut fields = if version { element(0xa0, &element(2, &[2])) } else { Vec::new() };
        fields.extend(element(2, &[7]));
        fields.extend(element(0x30, &[]));
        fields.extend(element(0x30, &[b'x'; 300]));
        fields.extend(element(0x30, &[element(0x17, b"200101000000Z"), element(tag, time.as_bytes())].concat()));
        element(0x30, &element(0x30, &fields))
    }

    #[test]
    fn the_end_of_validity_is_found() {
        for (version, tag, time, expected) in [
            (true, 0x17, "300102030405Z", Some(1_893_553_445_000)),
            (false, 0x17, "700101000000Z", Some(0)),
            (true, 0x18, "20500101000000Z", Some(2_524_608_000_000)),
            (true, 0x18, "20501301000000Z", None),
            (true, 0x04, "300102030405Z", None),
        ] {
            assert_eq!(not_after(&certificate(version, tag, time)), expected.map(Timestamp::from_millis), "{time}");
        }
    }

    proptest! {
        #[test]
        fn damaged_certificates_are_refused_without_panic(cut in 0usize..400, flip in 0usize..400, bit in 0u8..8) {
            let mut der = certificate(true, 0x17, "300102030405Z");
            let at = flip % der.len();
            der[at] ^= 1 << bit;
            der.truncate(cut);
            let _ = not_after(&der);
        }
    }
}
