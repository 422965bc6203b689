//! One record on disk: `WFJ1`, payload length, sequence number, CRC32 over all of that and the payload, payload. Integers are little-endian.
//!
//! A reader that meets damage looks for the next place where a whole record with a later sequence number checks out,
//! so one flipped bit costs one record, and the gap in the numbers says how many were lost.

/// Bytes in front of every payload.
pub const HEADER_BYTES: usize = 20;
/// No record is longer; a length beyond it is damage.
pub const MAX_PAYLOAD_BYTES: usize = 64 << 20;

const MAGIC: [u8; 4] = *b"WFJ1";
/// Bytes of checksum a search for the next good record may compute, so that crafted files cost bounded time.
const SEARCH_BUDGET_BYTES: usize = 256 << 20;

/// Appends one encoded record to `out`.
pub fn encode(sequence: u64, payload: &[u8], out: &mut Vec<u8>) {
    let length = u32::try_from(payload.len()).unwrap_or(u32::MAX).to_le_bytes();
    let sequence = sequence.to_le_bytes();
    out.reserve(HEADER_BYTES + payload.len());
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&length);
    out.extend_from_slice(&sequence);
    out.extend_from_slice(&checksum(&length, &sequence, payload).to_le_bytes());
    out.extend_from_slice(payload);
}

fn checksum(length: &[u8], sequence: &[u8], payload: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(length);
    hasher.update(sequence);
    hasher.update(payload);
    hasher.finalize()
}

/// What a reader finds, in file order.
#[derive(Debug, PartialEq, Eq)]
pub enum Found<'a> {
    Record {
        sequence: u64,
        payload: &'a [u8],
    },
    /// Bytes `from..to` hold no readable record; `to` is where reading resumed, or the end of the file.
    Damage {
        from: usize,
        to: usize,
    },
}

/// Reads the records of one file.
pub struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    last_sequence: u64,
    budget: usize,
}

impl<'a> Reader<'a> {
    /// `last_sequence` is the number of the last record of the file before; only later ones are believed.
    pub fn new(bytes: &'a [u8], last_sequence: u64) -> Self {
        Reader { bytes, at: 0, last_sequence, budget: SEARCH_BUDGET_BYTES }
    }

    fn record_at(&mut self, at: usize, searching: bool) -> Option<(u64, &'a [u8])> {
        let header = self.bytes.get(at..at + HEADER_BYTES)?;
        let (magic, rest) = header.split_first_chunk::<4>()?;
        let (length, rest) = rest.split_first_chunk::<4>()?;
        let (sequence, sum) = rest.split_first_chunk::<8>()?;
        let payload_bytes = u32::from_le_bytes(*length) as usize;
        let number = u64::from_le_bytes(*sequence);
        if *magic != MAGIC || payload_bytes > MAX_PAYLOAD_BYTES || number <= self.last_sequence {
            return None;
        }
        let payload = self.bytes.get(at + HEADER_BYTES..at + HEADER_BYTES + payload_bytes)?;
        if searching {
            self.budget = self.budget.checked_sub(payload_bytes)?;
        }
        (checksum(length, sequence, payload).to_le_bytes() == *sum).then_some((number, payload))
    }
}

impl<'a> Iterator for Reader<'a> {
    type Item = Found<'a>;

    fn next(&mut self) -> Option<Found<'a>> {
        if self.at >= self.bytes.len() {
            return None;
        }
        if let Some((sequence, payload)) = self.record_at(self.at, false) {
            self.at += HEADER_BYTES + payload.len();
            self.last_sequence = sequence;
            return Some(Found::Record { sequence, payload });
        }
        let from = self.at;
        let mut to = from + 1;
        while let Some(ahead) = memchr::memmem::find(self.bytes.get(to..).unwrap_or_default(), &MAGIC) {
            to += ahead;
            if self.record_at(to, true).is_some() {
                self.at = to;
                return Some(Found::Damage { from, to });
            }
            to += 1;
        }
        self.at = self.bytes.len();
        Some(Found::Damage { from, to: self.at })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(payloads: &[&[u8]]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (index, payload) in payloads.iter().enumerate() {
            encode(index as u64 + 1, payload, &mut bytes);
        }
        bytes
    }

    fn sequences(bytes: &[u8]) -> Vec<u64> {
        Reader::new(bytes, 0)
            .filter_map(|f| match f {
                Found::Record { sequence, .. } => Some(sequence),
                Found::Damage { .. } => None,
            })
            .collect()
    }

    #[test]
    fn each_flipped_bit_costs_exactly_its_own_record() {
        let bytes = file(&[b"one", b"", b"three WFJ1 three", b"four"]);
        let starts = [0, 23, 43, 79];
        for position in 0..bytes.len() {
            for bit in 0..8 {
                let mut damaged = bytes.clone();
                damaged[position] ^= 1 << bit;
                let hit = starts.iter().rposition(|s| *s <= position).unwrap() as u64 + 1;
                let expected: Vec<u64> = (1..=4).filter(|n| *n != hit).collect();
                assert_eq!(sequences(&damaged), expected, "byte {position} bit {bit}");
            }
        }
    }

    #[test]
    fn each_damaged_byte_of_a_long_file_costs_one_record() {
        // WATCHFIRE_MODEL_CASES asks for the long run here too: 64 KiB instead of 8.
        let size = if std::env::var_os("WATCHFIRE_MODEL_CASES").is_some() { 64 << 10 } else { 8 << 10 };
        let payloads: Vec<Vec<u8>> = (0..size / 128).map(|n| vec![n as u8; 108]).collect();
        let mut bytes = file(&payloads.iter().map(Vec::as_slice).collect::<Vec<_>>());
        for at in 0..bytes.len() {
            bytes[at] ^= 0x10;
            let found = sequences(&bytes);
            bytes[at] ^= 0x10;
            assert_eq!(found.len(), payloads.len() - 1, "byte {at}");
            assert!(!found.contains(&(at as u64 / 128 + 1)), "byte {at}");
        }
    }

    #[test]
    fn each_truncation_keeps_the_whole_records_before_it() {
        let bytes = file(&[b"one", b"", b"three", b"four"]);
        for end in 0..bytes.len() {
            let found = sequences(&bytes[..end]);
            assert_eq!(found, (1..=found.len() as u64).collect::<Vec<_>>());
            assert_eq!(found.len(), [23, 43, 68, 92].iter().filter(|e| **e <= end).count());
        }
    }

    #[test]
    fn a_record_hidden_in_the_payload_of_a_damaged_record_with_an_old_number_is_not_believed() {
        let mut inner = Vec::new();
        encode(1, b"planted", &mut inner);
        let mut bytes = Vec::new();
        encode(5, &inner, &mut bytes);
        bytes[16] ^= 1;
        let found: Vec<_> = Reader::new(&bytes, 4).collect();
        assert_eq!(found, [Found::Damage { from: 0, to: bytes.len() }]);
    }
}
